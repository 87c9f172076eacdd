"""How long a derivation takes and how long its text is, beside other symbolic tools.

    python -m tests.benchmarks.derivation

gradtool, sympy's own matrix derivative and tensorgrad (when the extra `bench` is installed) derive
and print all gradients of each case, and of a chain of affine layers with tanh at depth 1 to 32.
Time is processor time of differentiating, simplifying and printing, without imports, without
the forward pass and without verification.  "longest" is the longest single gradient in characters,
"total" all that is printed: gradtool's also counts the values that several gradients refer to.

sympy's derivatives are compared with differences of the forward pass, gradtool's are certified;
tensorgrad's text has no order of axes that could be evaluated.

`--runs 1 --cases affine,mlp_4 --limit 20` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.tables import milliseconds, number, ratio, table
from tests.benchmarks.tools.case import CASES, DEPTHS, depth_case, depth_of

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("gradtool", "sympy", "tensorgrad")
_HEAD = (
    "case",
    *(f"{tool} {what}" for tool in TOOLS for what in ("ms", "longest", "total")),
    *(f"ms against {tool}" for tool in TOOLS[1:]),
)
Results = dict[tuple[str, str], dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.derivation")
    parser.add_argument("--runs", type=int, default=5, help="processes for each tool and case")
    parser.add_argument("--limit", type=float, default=60, help="seconds of each derivation")
    parser.add_argument("--cases", default="", help="names with commas; all otherwise")
    chosen = parser.parse_args(arguments)
    known = [*CASES, *map(depth_case, DEPTHS)]
    names = chosen.cases.split(",") if chosen.cases else known
    for name in names:
        if name not in known:
            parser.error(f"no case '{name}'; there are {', '.join(known)}")
    chains = [name for name in names if depth_of(name) is not None]
    layers = [name for name in names if depth_of(name) is None]
    if layers:
        results = _measure(layers, chosen.runs, chosen.limit)
        print(_table(f"Layers, medians of {chosen.runs} processes in turns", layers, results))
        print(_remarks(layers, results), flush=True)
    if chains:
        results = _measure(chains, chosen.runs, chosen.limit)
        print(_table("Affine layers with tanh, by depth", chains, results))
        print(_growth(chains, results))
        print(_remarks(chains, results))


def _measure(names: Sequence[str], runs: int, limit: float) -> Results:
    results: Results = {}
    for name in names:
        seconds: dict[str, list[float]] = {tool: [] for tool in TOOLS}
        for _ in range(runs):
            for tool in TOOLS:
                if "seconds" not in results.get((tool, name), {"seconds": None}):
                    continue  # it has refused already
                if _gave_up(tool, name, results):
                    results[tool, name] = {"refused": "not tried: a smaller depth was too much"}
                    continue
                print(f"\r\x1b[K{name}: {tool}", end="", file=sys.stderr, flush=True)
                result = results[tool, name] = _once(tool, name, limit)
                if "seconds" in result:
                    seconds[tool].append(result["seconds"])
                    result["seconds"] = median(seconds[tool])
    print("\r\x1b[K", end="", file=sys.stderr)
    return results


def _gave_up(tool: str, name: str, results: Results) -> bool:
    """Whether a chain that is less deep was already too much for the tool."""
    depth = depth_of(name)
    return depth is not None and any(
        "refused" in results.get((tool, depth_case(less)), {}) for less in DEPTHS if less < depth
    )


def _once(tool: str, case: str, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.derive_once", tool, case, str(limit)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{ended.stderr}")
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


def _table(title: str, names: Sequence[str], results: Results) -> str:
    rows = []
    for name in names:
        row = [name]
        for tool in TOOLS:
            result = results[tool, name]
            mark = " WRONG" if result.get("wrong") else ""
            row += [
                milliseconds(result.get("seconds")),
                number(result.get("longest")) + mark,
                number(result.get("total")),
            ]
        ours = results["gradtool", name]["seconds"]
        row += [ratio(ours, results[tool, name].get("seconds")) for tool in TOOLS[1:]]
        rows.append(row)
    return table(title, _HEAD, rows)


def _growth(chains: Sequence[str], results: Results) -> str:
    """Text and time for each layer of gradtool's chains: constant when they grow linearly."""
    rows = []
    for name in chains:
        depth, result = depth_of(name) or 1, results["gradtool", name]
        rows.append(
            [
                str(depth),
                number(result["total"] / depth),
                milliseconds(result["seconds"] / depth),
            ]
        )
    head = ("depth", "characters per layer", "ms per layer")
    return table("gradtool, linear in the depth when these are constant", head, rows)


def _remarks(names: Sequence[str], results: Results) -> str:
    """Why a dash stands in the tables, and what is wrong."""
    lines = []
    for tool in TOOLS:
        missing = next((r["missing"] for r in _of(tool, results) if "missing" in r), None)
        if missing is not None:
            lines.append(f"{tool}: not installed (no module {missing}); pip install -e '.[bench]'")
            continue
        for name in names:
            result = results[tool, name]
            if "refused" in result:
                lines.append(f"{tool}, {name}: {result['refused'][:100]}")
            elif result.get("wrong"):
                lines.append(f"{tool}, {name}: wrong gradients of {', '.join(result['wrong'])}")
    return "".join(f"{line}\n" for line in lines)


def _of(tool: str, results: Results) -> list[dict[str, Any]]:
    return [result for (of, _), result in results.items() if of == tool]


if __name__ == "__main__":
    main()
