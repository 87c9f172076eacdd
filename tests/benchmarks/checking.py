"""What it costs to check the gradients of an affine layer, beside other checkers.

    python -m tests.benchmarks.checking [--sizes 1000,100000,1000000] [--limit 60]

For gradtool the time of one point is taken: the arrays are sent to a worker process, the user's
code runs there, the reference is evaluated with its bounds, every entry is compared.  Not counted
are the start of the worker, the derivation (kept between runs) and the drawing of the inputs,
which the others are given, too.  "wrong" is a weight gradient with one entry off by 1e-9: the
failing path, with the longer reference of a doubt.

The others get the same layer with its backward pass: torch's `gradcheck` (slow and fast mode),
jax's and HIPS autograd's `check_grads`, and the loop of centered differences over every entry
that courses hand out.  Times are processor time, that of the worker process too: what somebody
waits for on a machine that has nothing else to do, if every library keeps to one thread
(``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1``).  What is not installed, or would take longer than
`--limit` seconds by the time of the size before, is a dash.  The table is Markdown: that of the
README.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.measure import bind, measure
from gradtool.check.probes import make_probe
from gradtool.check.process import Worker
from gradtool.check.session import Session
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.numeric.settings import Setting
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path
from tests.benchmarks.tables import markdown, milliseconds

_MOST_RUNS, _LONG_ENOUGH = 100, 0.5  # seconds
_ROWS = 5  # samples in a batch
_CODE = """
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    dx, dw, db = dout @ w.T, x.T @ dout, dout.sum(axis=0)
    {change}
    return dx, dw, db
"""
_OFF = "dw[dw.shape[0] // 2, dw.shape[1] // 3] *= 1 + 1e-9"
_BINDING = Binding(
    "", "Y, cache = affine_forward(X, W, b)", "dX, dW, db = affine_backward(dY, cache)"
)

Check = Callable[[], bool]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.checking")
    parser.add_argument("--sizes", default="1000,100000,1000000", help="numbers of parameters")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that one check may take")
    parser.add_argument("--runs", type=int, default=7, help="of each check; the median counts")
    chosen = parser.parse_args(arguments)
    sizes = [int(text) for text in chosen.sizes.split(",")]
    reference = reference_for(load_path(bundled_specs()["affine"]))
    rows = []
    for name, make in _checkers(reference).items():
        cells: list[str] = []
        before: tuple[int, float] | None = None
        for size in sizes:
            side = round(size**0.5)
            # Every checker's work grows with the parameters at least, the loop's with their square.
            growth = (size / before[0]) ** 2 if before else 1.0
            if before is not None and before[1] * growth > chosen.limit:
                cells.append("-")
                continue
            found = _timed(make, side, chosen.runs, chosen.limit)
            if found is None:
                cells.append("-")
                continue
            before = size, found if "gradtool" not in name else 0.0
            cells.append(milliseconds(found))
            print(f"{name}, {side}x{side}: {milliseconds(found)} ms", file=sys.stderr, flush=True)
        rows.append((name, *cells))
    head = (f"ms of processor time, {_ROWS} samples", *(f"{size:,} parameters" for size in sizes))
    print(markdown(head, rows))


def _timed(
    make: Callable[[int], tuple[Check, bool, Callable[[], None]] | None],
    side: int,
    runs: int,
    limit: float,
) -> float | None:
    """The median seconds of a check; None when its library is not there.

    Raises:
        RuntimeError: it did not say what it should.
    """
    made = make(side)
    if made is None:
        return None
    check, expected, end = made
    times: list[float] = []
    try:
        # The first warms up; what is quick is run more often.
        while len(times) <= runs or (len(times) < _MOST_RUNS and sum(times) < _LONG_ENOUGH):
            started = _processor_time()
            said = check()
            times.append(_processor_time() - started)
            if said is not expected:
                raise RuntimeError(f"{make.__name__} said {said}, not {expected}")
            if sum(times) > limit:
                break
    finally:
        end()
    return median(times[1:] or times)


_workers: list[int] = []


def _processor_time() -> float:
    """Seconds of this process and of the worker that runs; the worker's only where Linux tells."""
    total = time.process_time()
    for worker in _workers:
        try:
            nanoseconds = Path(f"/proc/{worker}/schedstat").read_text().split()[0]
        except (OSError, IndexError):
            continue
        total += int(nanoseconds) / 1e9
    return total


def _checkers(reference: DerivedReference) -> dict[str, Any]:
    def right(side: int) -> Any:
        return _gradtool(reference, side, "pass")

    def wrong(side: int) -> Any:
        return _gradtool(reference, side, _OFF)

    return {
        "gradtool, right": right,
        "gradtool, one entry wrong by 1e-9": wrong,
        "torch gradcheck, fast": lambda side: _torch(side, fast=True),
        "torch gradcheck, slow": lambda side: _torch(side, fast=False),
        "jax check_grads": _jax,
        "autograd check_grads": _autograd,
        "loop of centered differences": _loop,
    }


def _gradtool(reference: DerivedReference, side: int, change: str) -> Any:
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / "layer.py"
    file.write_text(_CODE.format(change=change))
    worker = Worker(Path(folder.name), 60.0)
    _workers[:] = [worker.process_id]
    session = Session(file, seconds=60.0, worker=worker)
    session.load()
    bind(session, reference, _BINDING)
    sizes = {"N": _ROWS, "D": side, "C": side}
    probe = make_probe(reference, _BINDING, Setting(sizes, "", 3 * _ROWS * side * side), 0, 0)

    def check() -> bool:
        measured = measure(session, reference, _BINDING, [probe], 0)
        (point,) = measured.points
        return all(
            outcome.right for outcome in (*point.outputs.values(), *point.gradients.values())
        )

    def end() -> None:
        _workers.clear()
        session.__exit__(None, None, None)
        folder.cleanup()

    return check, change == "pass", end


def _values(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((_ROWS, side)),
        rng.standard_normal((side, side)),
        rng.standard_normal(side),
    )


def _nothing() -> None:
    """Nothing to end."""


def _torch(side: int, *, fast: bool) -> Any:
    try:
        import torch
    except ImportError:
        return None

    class Affine(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any, b: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x @ w + b

        @staticmethod
        def backward(ctx: Any, dout: Any) -> Any:
            x, w = ctx.saved_tensors
            return dout @ w.T, x.T @ dout, dout.sum(0)

    inputs = [torch.tensor(value, requires_grad=True) for value in _values(side)]
    return (
        lambda: bool(torch.autograd.gradcheck(Affine.apply, inputs, fast_mode=fast)),
        True,
        _nothing,
    )


def _jax(side: int) -> Any:
    try:
        import jax
        from jax.test_util import check_grads
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    def plain(x: Any, w: Any, b: Any) -> Any:
        return x @ w + b

    affine = jax.custom_vjp(plain)

    def backward(cache: Any, dout: Any) -> Any:
        x, w = cache
        return dout @ w.T, x.T @ dout, dout.sum(0)

    affine.defvjp(lambda x, w, b: (x @ w + b, (x, w)), backward)

    def check() -> bool:
        check_grads(affine, _values(side), order=1, modes=["rev"], atol=1e-3, rtol=1e-3)
        return True

    return check, True, _nothing


def _autograd(side: int) -> Any:
    try:
        import autograd.numpy as anp
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads
    except ImportError:
        return None

    def plain(x: Any, w: Any, b: Any) -> Any:
        return anp.dot(x, w) + b

    affine = primitive(plain)

    defvjp(
        affine,
        lambda out, x, w, b: lambda g: g @ w.T,
        lambda out, x, w, b: lambda g: x.T @ g,
        lambda out, x, w, b: lambda g: g.sum(0),
    )

    def check() -> bool:
        check_grads(affine, modes=["rev"], order=1)(*_values(side))
        return True

    return check, True, _nothing


def _loop(side: int) -> Any:
    values = _values(side)
    dout = np.random.default_rng(1).standard_normal((_ROWS, side))
    x, w, _ = values
    gradients = (dout @ w.T, x.T @ dout, dout.sum(axis=0))

    def numeric(value: np.ndarray, step: float = 1e-5) -> np.ndarray:
        found = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            old = value[index]
            value[index] = old + step
            ahead = values[0] @ values[1] + values[2]
            value[index] = old - step
            behind = values[0] @ values[1] + values[2]
            value[index] = old
            found[index] = np.sum((ahead - behind) * dout) / (2 * step)
        return found

    def check() -> bool:
        return all(np.allclose(numeric(v), g) for v, g in zip(values, gradients, strict=True))

    return check, True, _nothing


if __name__ == "__main__":
    main()
