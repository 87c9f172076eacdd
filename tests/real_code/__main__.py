"""Measure the agreement of gradtool's verdicts with a list of verdicts on public code.

    python -m tests.real_code MANIFEST FOLDER [--only TEXT] [--save RESULTS.json]

The code is not part of this project: FOLDER holds one folder for each repository, checked out
by whoever measures, and MANIFEST is a JSON array with one object for each case:

    folder      the repository's folder in FOLDER
    path        the file in it
    layer       what it implements, for the table
    convention  how it is called, for the table
    verdict     what is expected: right, wrong, crash, not-runnable, right-scale, right-shape,
                right-contract
    specs       paths of spec files, from the manifest's folder, each with its `check:` block;
                of several (two courses disagree on a factor in the penalty) the first whose
                forward is that of the code is the spec of the case

A verdict agrees when right code passes, wrong code fails, and code that cannot be run is told
as such; code that is right up to a scale or a shape agrees when gradtool names that.
Every disagreement is printed, to be looked into: the list may be wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gradtool.check.pair import check_pair
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.report import check_text, library
from gradtool.spec.load import load_path

_SECONDS = 60.0  # importing a framework on a busy machine takes its time


def outcome(verdict: Verdict) -> str:
    """gradtool's answer in the words of the list."""
    if verdict.verdict == "error":
        return "crash"
    if verdict.verdict == "pass":
        codes = {remark.code for remark in verdict.remarks}
        return next((f"right-{code}" for code in ("scale", "shape") if code in codes), "right")
    bad = [g for g in verdict.gradients if g.standing != "ok"]
    if verdict.trouble is None and all(g.standing == "follows" for g in bad):
        return "follows"
    messages = " ".join(g.message for g in verdict.gradients if g.standing != "ok")
    if verdict.trouble is not None:
        return "crash"
    if "times the right one in every entry" in messages and all(
        "times the right one" in g.message for g in verdict.gradients if g.standing == "wrong"
    ):
        return "wrong-scale"
    return "wrong"


AGREES: dict[str, frozenset[str]] = {
    # A forward that is not the spec's, and a backward that is the derivative of that forward.
    "right": frozenset({"right", "right-shape", "right-scale", "follows"}),
    "wrong": frozenset({"wrong", "wrong-scale", "crash"}),
    "crash": frozenset({"crash", "wrong"}),
    "not-runnable": frozenset({"crash"}),
    "right-scale": frozenset({"right-scale", "wrong-scale", "right"}),
    "right-shape": frozenset({"right-shape", "wrong", "right"}),
    "right-contract": frozenset({"right", "crash"}),
}


def measure(manifest: Path, folder: Path, only: str) -> Iterator[dict[str, Any]]:
    """The cases with what gradtool says of each."""

    @cache
    def reference(name: str) -> Reference:
        spec = load_path(manifest.parent / name)
        return reference_for(spec, library.finder(spec))

    for case in json.loads(manifest.read_text(encoding="utf-8")):
        text = " ".join(map(str, case.values()))
        if only and only not in text:
            continue
        file = folder / case["folder"] / case["path"]
        verdict = None
        for name in case["specs"]:
            latest = check_pair(
                reference(name), file, seed=0, version="", explain=False, seconds=_SECONDS
            ).verdict
            fits = latest.forward and all(o.standing == "ok" for o in latest.forward)
            if verdict is None or fits:
                verdict = latest
            if fits:
                break
        assert verdict is not None
        said = outcome(verdict)
        agrees = said in AGREES[case["verdict"]]
        yield case | {"said": said, "agrees": agrees, "report": check_text.plain(verdict)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real_code")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="cases with this text in them")
    parser.add_argument("--save", type=Path, help="write all results here, as JSON")
    options = parser.parse_args()
    results = []
    for case in measure(options.manifest, options.folder, options.only):
        results.append(case)
        if not case["agrees"] or case["said"] == "follows":
            print(f"\n=== {case['folder']} {case['path']} {case['layer']}")
            print(f"listed {case['verdict']} ({case.get('mistake', '')}), said {case['said']}")
            print(case["report"])
            sys.stdout.flush()
        if options.save:
            options.save.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(table(results))
    return 0


def table(results: list[dict[str, Any]]) -> str:
    """Agreement by convention, and what was said of each listed verdict."""
    lines = [f"{'convention':<50} {'cases':>5} {'agree':>5}"]
    for kind in sorted({case["convention"] for case in results}):
        those = [case for case in results if case["convention"] == kind]
        lines.append(f"{kind:<50} {len(those):>5} {sum(c['agrees'] for c in those):>5}")
    agree = sum(case["agrees"] for case in results)
    share = agree / len(results) if results else 0.0
    lines.append(f"{'all':<50} {len(results):>5} {agree:>5}  {share:.1%}")
    counts = Counter((case["verdict"], case["said"]) for case in results)
    lines += [f"listed {a:<14} said {b:<12} {n:>5}" for (a, b), n in sorted(counts.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
