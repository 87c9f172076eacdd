"""Speed and memory of the emitted NumPy backward pass, the forward pass excluded.

    python -m tests.benchmarks.emitted

Against a good hand-written NumPy version (`layers/handwritten.py`), HIPS autograd, and PyTorch
eager on the CPU when it is installed: the same values and dtype, one thread for all, medians of
runs in turns.  The aims are at most 1x of the first two and 2x of PyTorch.  Peak memory is what
tracemalloc sees during one backward pass, results included; PyTorch's allocator is not seen, and
what a forward pass keeps is not counted (the hand-written convolution keeps its patches, 36 MiB).

`--runs 2 --cases affine,max_pool` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.tables import milliseconds, ratio, table

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.emitted")
    parser.add_argument("--runs", type=int, default=25, help="of each backward pass, in turns")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--cases", default=",".join(_NAMES), help="names with commas")
    chosen = parser.parse_args(arguments)
    names = chosen.cases.split(",")
    for name in names:
        if name not in _NAMES:
            parser.error(f"no case '{name}'; there are {', '.join(_NAMES)}")
    results = {name: _run(name, chosen.dtype, chosen.runs) for name in names}
    print(_times(results, chosen.dtype, chosen.runs))
    print(_memory(results))


def _run(name: str, dtype: str, runs: int) -> dict[str, Any]:
    print(f"\r\x1b[K{name}\r", end="", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.benchmarks.emitted_once", name, dtype, str(runs)]
    environment = {**os.environ, **_ONE_THREAD}
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def _times(results: dict[str, dict[str, Any]], dtype: str, runs: int) -> str:
    head = ["layer", "gradtool ms", *(f"{who} ms" for who in OTHERS)]
    head += [f"against {who}" for who in OTHERS]
    rows = []
    for name, result in results.items():
        seconds = {who: found["seconds"] for who, found in result.items()}
        ours = seconds["gradtool"]
        rows.append(
            [
                name,
                milliseconds(ours),
                *(milliseconds(seconds.get(who)) for who in OTHERS),
                *(ratio(ours, seconds.get(who)) for who in OTHERS),
            ]
        )
    return table(f"Backward passes, {dtype}, cpu time, medians of {runs} runs", head, rows)


def _memory(results: dict[str, dict[str, Any]]) -> str:
    who = ("gradtool", "hand", "autograd")
    rows = []
    for name, result in results.items():
        peaks = [result.get(one, {}).get("bytes") for one in who]
        rows.append(
            [
                name,
                *("-" if peak is None else f"{peak / 2**20:.1f}" for peak in peaks),
                *(ratio(peaks[0], other) for other in peaks[1:]),
            ]
        )
    head = ("layer", *(f"{one} MiB" for one in who), "against hand", "against autograd")
    return table("Peak memory of one backward pass", head, rows)


if __name__ == "__main__":
    main()
