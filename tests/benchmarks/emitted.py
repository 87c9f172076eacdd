"""Speed and memory of the emitted NumPy backward pass, the forward pass excluded.

    python -m tests.benchmarks.emitted

Against a good hand-written NumPy version (`layers/handwritten.py`), HIPS autograd, and PyTorch
eager on the CPU when it is installed: the same values and dtype, one thread for all.  The aims
are at most 1x of the first two and 2x of PyTorch.  It prints the table of the README.

A run decides, though the machine does other things: what is compared takes turns, a ratio is that
of two neighbours in one turn, and the median of all ratios is printed.  The turns are spread over
several processes, since how memory lies differs from process to process more than from turn to
turn.  Peak memory is what tracemalloc sees during one backward pass, results included; PyTorch's
allocator is not seen, and what a forward pass keeps is not counted (the hand-written convolution
keeps its patches, 36 MiB).

`--processes 1 --runs 5 --cases affine,max_pool` is a quick look.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.tables import markdown, milliseconds

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("hand", "autograd", "torch")
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
}
# No import of NumPy here: how many threads it has is decided when it is loaded.
_NAMES = ("affine", "batch_norm", "layer_norm", "softmax_ce", "conv2d", "attention", "max_pool",
          "lstm")  # fmt: skip
_HEAD = (
    "backward pass of", "gradtool", "by hand", "HIPS autograd", "PyTorch",
    "peak memory", "by hand", "HIPS autograd",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.emitted")
    parser.add_argument("--processes", type=int, default=5, help="of each layer")
    parser.add_argument("--runs", type=int, default=11, help="of each process, in turns")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--cases", default=",".join(_NAMES), help="names with commas")
    chosen = parser.parse_args(arguments)
    names = chosen.cases.split(",")
    for name in names:
        if name not in _NAMES:
            parser.error(f"no case '{name}'; there are {', '.join(_NAMES)}")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    # Layer after layer, not process after process: a slow minute hits all layers alike.
    for number in range(chosen.processes):
        for name in names:
            print(f"\r\x1b[K{number + 1}/{chosen.processes} {name}\r",
                  end="", file=sys.stderr, flush=True)  # fmt: skip
            found[name].append(_run(name, chosen.dtype, chosen.runs, number))
    print("\r\x1b[K\r", end="", file=sys.stderr, flush=True)
    print(markdown(_HEAD, [_row(several) for several in found.values()]))
    print()
    print(_conditions(chosen.dtype, chosen.processes * chosen.runs))


def _run(name: str, dtype: str, runs: int, first: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.emitted_once"]
    command += [name, dtype, str(runs), str(first)]
    environment = {**os.environ, **_ONE_THREAD}
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def _row(several: Sequence[dict[str, Any]]) -> list[str]:
    """The cells of one layer, from what its processes report."""
    passes = several[0]["passes"]
    ours = [second for one in several for second in one["passes"]["gradtool"]["seconds"]]
    cells = [several[0]["title"], f"{milliseconds(median(ours))} ms"]
    for who in OTHERS:
        if who not in passes:
            cells.append("-")
            continue
        theirs = [second for one in several for second in one["passes"][who]["seconds"]]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        cells.append(f"{median(ratios):.2f}")
    peak = passes["gradtool"]["bytes"]
    cells.append(f"{peak / 2**20:.1f} MiB")
    cells += [f"{peak / passes[who]['bytes']:.2f}" if who in passes else "-"
              for who in OTHERS if who != "torch"]  # fmt: skip
    return cells


def _conditions(dtype: str, turns: int) -> str:
    """What the numbers mean, and where and when they were measured."""
    versions = [f"Python {platform.python_version()}"]
    for name, package in (("NumPy", "numpy"), ("autograd", "autograd"), ("PyTorch", "torch")):
        try:
            versions.append(f"{name} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    text = (
        f"The other columns are gradtool's time (or memory) divided by theirs: medians of {turns} "
        f"turns, {dtype}, one thread, processor time. "
        f"{date.today().isoformat()}, {_processor()}, {', '.join(versions)}."
    )
    return textwrap.fill(text, 100)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = next(line for line in lines if line.startswith("model name"))
            return found.partition(":")[2].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
