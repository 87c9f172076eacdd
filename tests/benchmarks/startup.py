"""What a whole `gradtool` process costs beside the imports that nobody can avoid.

    python -m tests.benchmarks.startup

It asks for `derive` without a cache against ``import sympy``, `derive` of a layer that is in the
cache against ``import numpy``, `check` of a file with its worker process against
``import numpy, typer, rich.console``, and `--help` and `--version` against ``import typer``; the
aims are at most 2x (every bundled layer 5x), 2x, 2x and 1.5x.  Nothing is asserted: the machine is
not ours.

`--runs 3 --specs affine,gelu` is a quick look; `--specs none` leaves the bundled layers out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from gradtool.spec.bundled import bundled_specs
from tests.benchmarks.processes import Command, Cost, medians
from tests.benchmarks.tables import milliseconds, ratio, table

ROOT = Path(__file__).resolve().parents[2]
_HEAD = ("command", "cpu ms", "wall ms", "against", "cpu ms", "cpu ratio", "wall ratio", "aim")
_OFF = ""  # the value of GRADTOOL_CACHE that switches the cache off


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.startup")
    parser.add_argument("--runs", type=int, default=9, help="of each command, after one to warm up")
    parser.add_argument("--spec-runs", type=int, default=3, help="of each bundled layer")
    parser.add_argument("--specs", default="all", help="all, none, or names with commas")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        print(_commands(here, chosen.runs))
        names = _names(chosen.specs)
        if names:
            print(_layers(here, names, chosen.spec_runs))


_AFFINE = """
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
"""
_CONSOLE = "numpy, typer, rich.console"


def _names(text: str) -> list[str]:
    if text == "none":
        return []
    return list(bundled_specs()) if text == "all" else text.split(",")


def _python(folder: Path, *arguments: str, cache: str = _OFF) -> Command:
    # From an empty folder, so that nothing that lies there is imported by accident.
    env = {"PYTHONPATH": str(ROOT), "GRADTOOL_CACHE": cache}
    return Command((sys.executable, *arguments), env, folder)


def _gradtool(folder: Path, *arguments: str, cache: str = _OFF) -> Command:
    return _python(folder, "-m", "gradtool", *arguments, cache=cache)


def _import(folder: Path, module: str) -> Command:
    return _python(folder, "-c", f"import {module}")


def _commands(folder: Path, runs: int) -> str:
    cache = str(folder / "cache")
    (folder / "layers.py").write_text(_AFFINE)
    commands = {
        "import sympy": _import(folder, "sympy"),
        "import numpy": _import(folder, "numpy"),
        "import typer": _import(folder, "typer"),
        f"import {_CONSOLE}": _import(folder, _CONSOLE),
        "check affine, warm": _gradtool(
            folder, "check", "layers.py", "--spec", "affine", cache=str(folder / "plans")
        ),
        "derive affine, cold": _gradtool(folder, "derive", "affine"),
        "derive affine, warm": _gradtool(folder, "derive", "affine", cache=cache),
        "derive batch_norm, warm": _gradtool(folder, "derive", "batch_norm", cache=cache),
        "--help": _gradtool(folder, "--help"),
        "derive --help": _gradtool(folder, "derive", "--help"),
        "--version": _gradtool(folder, "--version"),
    }
    costs = medians(commands, runs)
    against = [
        ("derive affine, cold", "import sympy", "2x"),
        ("derive affine, warm", "import numpy", "2x"),
        ("derive batch_norm, warm", "import numpy", "2x"),
        ("check affine, warm", f"import {_CONSOLE}", "2x"),
        ("--help", "import typer", "1.5x"),
        ("derive --help", "import typer", "1.5x"),
        ("--version", "import typer", "1.5x"),
    ]
    rows = [_row(name, costs[name], base, costs[base], aim) for name, base, aim in against]
    text = table(f"Whole processes, medians of {runs} runs in turns", _HEAD, rows)
    layers = sum("derive" in name and "warm" in name for name in commands)
    if len(list(Path(cache).glob("*.json"))) != layers:  # gradtool's own source is in the key
        text += "NOT WARM: gradtool was edited meanwhile, or does not keep what it derives.\n"
    return text


def _layers(folder: Path, names: Sequence[str], runs: int) -> str:
    """Each layer with a sympy of its own beside it: the machine may change in between."""
    rows: list[tuple[float, tuple[str, ...]]] = []
    walls = []
    for done, name in enumerate(names, 1):
        print(f"\r\x1b[K{done} of {len(names)}: {name}", end="", file=sys.stderr, flush=True)
        commands = {
            "import sympy": _import(folder, "sympy"),
            name: _gradtool(folder, "derive", name),
        }
        costs = medians(commands, runs, warmups=0)
        base = costs["import sympy"]
        rows.append(
            (
                costs[name].cpu / base.cpu,
                _row(name, costs[name], "import sympy", base, "5x"),
            )
        )
        walls.append(costs[name].wall / base.wall)
    print("\r\x1b[K", end="", file=sys.stderr)
    rows.sort(reverse=True)
    ratios = [of for of, _ in rows]
    title = f"Bundled layers without a cache, medians of {runs} runs in turns, slowest first"
    return "\n".join(
        [
            table(title, _HEAD, [row for _, row in rows]),
            f"cpu ratio:  median {median(ratios):.2f}x, max {max(ratios):.2f}x"
            f" ({rows[0][1][0]}), above 5x: {sum(of > 5 for of in ratios)} of {len(ratios)}",
            f"wall ratio: median {median(walls):.2f}x, max {max(walls):.2f}x",
            "",
        ]
    )


def _row(name: str, cost: Cost, base_name: str, base: Cost, aim: str) -> tuple[str, ...]:
    return (
        name,
        milliseconds(cost.cpu),
        milliseconds(cost.wall),
        base_name,
        milliseconds(base.cpu),
        ratio(cost.cpu, base.cpu),
        ratio(cost.wall, base.wall),
        aim,
    )


if __name__ == "__main__":
    main()
