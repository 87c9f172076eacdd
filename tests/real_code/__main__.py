"""Measure the agreement of gradtool's verdicts with a list of verdicts on public code.

    python -m tests.real_code FOLDER [--only TEXT] [--save RESULTS.json] [--show]

The code is not part of this project.  FOLDER holds one folder for each repository that
`cases.yaml` names, called OWNER+NAME and checked out at the commit given there:

    git clone https://github.com/OWNER/NAME FOLDER/OWNER+NAME
    git -C FOLDER/OWNER+NAME checkout COMMIT

Repositories that are not there are left out and counted.  A case is a layer of a file, the
verdict of the list (judged with small centered differences), and the spec to check it with: a
layer that comes with gradtool, recognised in the file as `gradtool check` does it, or one of
`specs/`, mostly with a `check:` block.  The code itself is not changed.

A verdict agrees when right code passes, wrong code fails, and code that cannot be run is told
as such; code that is right up to a scale or a shape agrees when gradtool names that.  "follows"
is code whose forward is not the spec's and whose backward is the derivative of that forward.
Where the list is wrong, the case says so (`disputed`), with the evidence.

With --save, what is measured is kept, and a second run goes on where the first was; a case is
measured again when it or its spec has changed.  Delete the file after changing gradtool.
Code that uses a framework needs it installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.check.wanted import EVERYTHING, Wanted
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import replace
from gradtool.report import check_text, library
from gradtool.spec.load import load_path
from gradtool.spec.model import Check
from tests.real_code.manifest import Case, Manifest, load, own

_SECONDS = 60.0  # importing a framework on a busy machine takes its time


UNAVAILABLE = "unavailable"  # the code needs a module that is not installed here


def outcome(verdict: Verdict) -> str:
    """gradtool's answer in the words of the list."""
    if verdict.trouble is not None:
        return UNAVAILABLE if "AbsentModuleUsed" in verdict.trouble.message else "crash"
    if verdict.verdict == "pass":
        codes = {remark.code for remark in verdict.remarks}
        return next((f"right-{code}" for code in ("scale", "shape") if code in codes), "right")
    bad = [g for g in verdict.gradients if g.standing != "ok"]
    if all(g.standing == "follows" for g in bad):
        # With right gradients only, it is the forward that is another function's.
        return "follows" if bad or any("times" in o.message for o in verdict.forward) else "wrong"
    if all("times the right one" in g.message for g in bad if g.standing == "wrong"):
        return "wrong-scale"
    return "wrong"


AGREES: Mapping[str, frozenset[str]] = {
    "right": frozenset({"right", "right-shape", "right-scale", "follows"}),
    "wrong": frozenset({"wrong", "wrong-scale", "crash"}),
    "crash": frozenset({"crash", "wrong"}),
    "not-runnable": frozenset({"crash"}),
    "right-scale": frozenset({"right-scale", "wrong-scale", "right"}),
    "right-shape": frozenset({"right-shape", "wrong", "right"}),
    "right-contract": frozenset({"right", "crash"}),
}


@cache
def reference(name: str, python: int) -> Reference:
    """A layer by its name, for code of that Python."""
    path = own(name)
    spec = load_path(path) if path.exists() else library.load(name)
    found = reference_for(spec, library.finder(spec))
    if python == 2:
        assert isinstance(found, DerivedReference)
        check = replace(spec.check or Check(), load_python=2)
        found = replace(found, spec=replace(spec, check=check))
    return found


def judged(case: Case, folder: Path) -> Judgement:
    """The judgement with the first spec whose forward is the code's, else with the first."""
    file = folder / case.folder / case.path
    first: Judgement | None = None
    for name in case.specs:
        layer = reference(name, case.python)
        check = layer.spec.check
        stated = check is not None and (check.forward or check.backward)
        wanted = EVERYTHING if stated else Wanted(function=case.function)
        latest = check_pair(layer, file, seed=0, version="", wanted=wanted, seconds=_SECONDS)
        if latest.verdict.forward and all(o.standing == "ok" for o in latest.verdict.forward):
            return latest
        first = first or latest
    assert first is not None
    return first


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """What gradtool says of a case."""
    verdict = judged(case, folder).verdict
    said = outcome(verdict)
    return {
        "repository": case.repository,
        "path": case.path,
        "layer": case.layer,
        "function": case.function,
        "verdict": case.verdict,
        "said": said,
        "agrees": said in AGREES[case.verdict],
        "disputed": case.disputed,
        "why": case.why,
        "report": check_text.plain(verdict),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real_code")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="cases with this text in them")
    parser.add_argument("--save", type=Path, help="keep results here, and go on from them")
    parser.add_argument("--show", action="store_true", help="print every report")
    options = parser.parse_args()
    manifest = load()
    kept = _kept(options.save)
    results, absent = [], Counter[str]()
    for case in manifest.cases:
        if options.only and options.only not in str(case):
            continue
        if not (options.folder / case.folder).is_dir():
            absent[case.repository] += 1
            continue
        if case.key not in kept:
            kept[case.key] = measured(case, options.folder)
            if options.save:
                _keep(options.save, kept)
        results.append(kept[case.key])
        if options.show or not results[-1]["agrees"]:
            _tell(results[-1])
    print(summary(results, absent, manifest))
    return 0


def _kept(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None or not path.exists():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _keep(path: Path, results: Mapping[str, Any]) -> None:
    """Write them aside first: a run that is stopped leaves what was there."""
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps(results, indent=1), encoding="utf-8")
    aside.replace(path)


def _tell(result: Mapping[str, Any]) -> None:
    print(f"\n=== {result['repository']} {result['path']} {result['layer']} {result['function']}")
    why = f" ({result['why']})" if result["why"] else ""
    print(f"expected {result['verdict']}{why}, said {result['said']}")
    print(result["report"])
    sys.stdout.flush()


def summary(results: list[dict[str, Any]], absent: Mapping[str, int], manifest: Manifest) -> str:
    """Agreement by kind, what was said of each verdict, and the disagreements by name."""
    lines = []
    unknown = [r for r in results if r["said"] == UNAVAILABLE]
    results = [r for r in results if r["said"] != UNAVAILABLE]
    wrong = [r for r in results if not r["agrees"]]
    lines += [f"disagrees: {_name(r)}: expected {r['verdict']}, said {r['said']}" for r in wrong]
    lines += [f"disputed: {_name(r)}: {r['disputed']}" for r in results if r["disputed"]]
    lines += [f"left out: {name}: {why}" for name, why in manifest.left_out.items()]
    lines += ["", f"{'layer':<30} {'cases':>5} {'agree':>5}"]
    for kind in sorted({r["layer"] for r in results}):
        those = [r for r in results if r["layer"] == kind]
        lines.append(f"{kind:<30} {len(those):>5} {sum(r['agrees'] for r in those):>5}")
    lines.append("")
    counts = Counter((r["verdict"], r["said"]) for r in results)
    lines += [f"expected {a:<14} said {b:<12} {n:>5}" for (a, b), n in sorted(counts.items())]
    agree = len(results) - len(wrong)
    share = agree / len(results) if results else 0.0
    where = len({r["repository"] for r in results})
    lines.append(f"{agree} of {len(results)} cases in {where} repositories agree: {share:.1%}")
    if unknown:
        lines.append(f"{len(unknown)} cases need a module that is not installed here")
    if absent:
        lines.append(f"{sum(absent.values())} cases in {len(absent)} repositories are not there")
    return "\n".join(lines)


def _name(result: Mapping[str, Any]) -> str:
    return f"{result['repository']} {result['path']} {result['layer']}"


if __name__ == "__main__":
    sys.exit(main())
