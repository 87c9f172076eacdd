"""The backward passes of one layer, timed in turns in one process: `emitted` starts it.

    python -m tests.benchmarks.emitted_once affine float64 15 0

The last number says who goes first.

All of them get the same values and the same upstream gradient, and must agree before a time of
theirs is taken.  The forward pass is done before.  Time is processor time, with one thread.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.layers.case import CASES, Case
from tests.benchmarks.layers.handwritten import LAYERS

Backward = Callable[[Any], Any]


def main() -> None:
    """Print the title of the layer and {contestant: {seconds, bytes}}.

    There is a number of seconds for each turn; bytes is null where memory is not NumPy's.
    """
    case, dtype, runs, first = sys.argv[1:]
    passes = measure(case, dtype, int(runs), int(first))
    print(json.dumps({"title": CASES[case].title, "passes": passes}))


def measure(name: str, dtype: str, runs: int, first: int) -> dict[str, dict[str, Any]]:
    """Times and peak memory of every backward pass that is there.

    Raises:
        AssertionError: two of them do not agree.
    """
    case = CASES[name]
    values = case.draw(dtype)
    output: Any
    output, by_hand = LAYERS[name](*values, **case.constants)
    upstream: Any = 1.0
    if np.ndim(output):
        rng = np.random.default_rng(1)
        upstream = rng.standard_normal(output.shape).astype(dtype)
    passes: dict[str, Backward] = {"hand": by_hand, "gradtool": _emitted(case, values)}
    for tool in ("autograd", "torch"):
        try:
            module = importlib.import_module(f"tests.benchmarks.layers.by_{tool}")
            passes[tool] = module.backward_of(name, values, len(case.shapes), case.constants)
        except ImportError:
            continue  # a dash in the table
    _agree(passes, upstream, dtype)
    seconds: dict[str, list[float]] = {who: [] for who in passes}
    gc.disable()
    order = list(passes)
    order = order[first % len(order) :] + order[: first % len(order)]
    for _ in range(runs):
        for who in order:
            started = time.process_time()
            passes[who](upstream)
            seconds[who].append(time.process_time() - started)
        order.append(order.pop(0))  # nobody always runs on the caches that another one left
    return {
        who: {
            "seconds": seconds[who],
            "bytes": None if who == "torch" else _peak(passes[who], upstream),
        }
        for who in passes
    }


def _emitted(case: Case, values: list[Any]) -> Backward:
    """The backward pass of the module that `derive --format numpy` prints."""
    from gradtool.derive.derivation import derive
    from gradtool.emit.numpy_module import module_text
    from gradtool.report.library import finder, load
    from gradtool.spec.forward import graph_of
    from gradtool.spec.load import load_text

    spec = load_text(case.spec, "benchmark") if "\n" in case.spec else load(case.spec)
    module: dict[str, Any] = {"__name__": "emitted"}
    exec(module_text(spec, derive(graph_of(spec, finder(spec)))), module)
    _, cache = module["forward"](*values, **case.constants)
    return lambda upstream: module["backward"](upstream, cache)


def _agree(passes: dict[str, Backward], upstream: Any, dtype: str) -> None:
    """The passes run once here, which also warms them up."""
    close = {"float64": 1e-9, "float32": 2e-3}[dtype]
    expected = passes["hand"](upstream)
    for who, backward in passes.items():
        found = backward(upstream)
        if len(found) != len(expected):
            raise AssertionError(f"{who}: {len(found)} gradients instead of {len(expected)}")
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            if one.shape != other.shape or one.dtype != other.dtype:
                raise AssertionError(f"{who}, gradient {number}: {other.shape} {other.dtype}")
            scale = abs(one).max()
            if not np.allclose(one / scale, other / scale, rtol=0, atol=close):
                raise AssertionError(f"{who}, gradient {number}: another value")


def _peak(backward: Backward, upstream: Any) -> int:
    """Bytes above what was there before, results included."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    backward(upstream)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


if __name__ == "__main__":
    main()
