"""Whether a right answer was found by permitted means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, prod
from typing import Any

from gradtool.check.judge import Judgement
from gradtool.check.measure import Point
from gradtool.check.result import DIFFERENCES
from gradtool.lint.result import Finding

FRAMEWORKS = frozenset(
    {
        "autograd",
        "torch",
        "functorch",
        "tensorflow",
        "jax",
        "jaxlib",
        "theano",
        "aesara",
        "pytensor",
    }
    | {
        "mxnet",
        "keras",
        "tinygrad",
        "paddle",
        "chainer",
        "mindspore",
        "micrograd",
        "casadi",
        "flax",
    }
    | {"sympy", "numdifftools", "gradtool", "needle", "tangent", "adept", "algopy", "pyadolc"}
)
_FEWEST = 3  # calls of the forward pass that no backward pass has another reason for


def imports(found: object) -> tuple[Finding, ...]:
    """Findings on what a file says that it imports: the worker's answer before any code ran."""
    named = found if isinstance(found, dict) else {}
    return tuple(
        Finding("GT401", f"imports {name.partition('.')[0]}", line if isinstance(line, int) else 0)
        for name, line in named.items()
        if isinstance(name, str) and name.partition(".")[0] in FRAMEWORKS
    )


def loaded(modules: object, granted: Iterable[str]) -> tuple[Finding, ...]:
    """Findings on the modules that a worker had loaded in the end."""
    names = {name for name in modules if isinstance(name, str)} if isinstance(modules, list) else ()
    used = sorted((FRAMEWORKS & set(names)) - set(granted))
    return tuple(Finding("GT401", f"loads {name} while it runs") for name in used)


def counted(reply: Mapping[str, Any], point: Point, line: int) -> tuple[Finding, ...]:
    """Findings on the calls of the forward pass during one forward and one backward pass.

    A difference needs the forward pass once or more for each entry of a variable; a backward
    pass that recomputes it needs it once.
    """
    if reply.get("undisturbed") is not True:
        return (Finding("GT403", "the profiler was switched off while the code ran", line),)
    if reply.get("threads") != 1:
        text = "a thread of its own runs beside it, where no calls can be counted"
        return (Finding("GT403", text, line),)
    calls, top = _counts(reply.get("calls")), _counts(reply.get("top"))
    counts = [calls.get(name, 0) for name in top]
    entries = [prod(g.shape) for g in point.expected.gradients.values()]
    most = max(counts, default=0)
    if entries and most - 1 >= max(_FEWEST, min(entries)):
        return (Finding("GT402", f"one backward pass calls the forward pass {most} times", line),)
    return ()


def otherwise(line: int) -> tuple[Finding, ...]:
    """The finding on gradients that are right only where no calls are counted."""
    return (Finding("GT403", "it computes something else while its calls are counted", line),)


def complex_step(sizes: Iterable[object], line: int) -> tuple[Finding, ...]:
    """A finding when the code moved a given number by a tiny imaginary one."""
    seen = [size for size in sizes if isinstance(size, float) and 0 < size < inf]
    if not seen:
        return ()
    text = f"differentiates numerically, by a step of {max(seen):.0e} into the complex plane"
    return (Finding("GT402", text, line),)


def _counts(rows: object) -> dict[str, int]:
    """Pairs of a name and a number, as far as the answer of the worker has them."""
    return {
        row[0]: row[1]
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, list) and len(row) == 2
        if isinstance(row[0], str) and isinstance(row[1], int)
    }


def differenced(judgement: Judgement, line: int) -> tuple[Finding, ...]:
    """Findings on gradients that the judge has found to be differences of the forward pass."""
    return tuple(
        Finding("GT402", f"d{gradient.name}: {gradient.cause.message}", line, f"d{gradient.name}")
        for gradient in judgement.verdict.gradients
        if gradient.cause is not None and gradient.cause.code == DIFFERENCES
    )
