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
_LOSS = 1e-8  # of a gradient: more than a formula loses that is right at random values
_LOST = (
    "it is off by {:.0e} where its numbers longer than float64 are read as float64: it is a "
    "difference of nearly equal numbers, not a formula"
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


def entry_by_entry(size: object, line: int) -> tuple[Finding, ...]:
    """A finding when the code moved one entry of a given array after the other."""
    if not isinstance(size, float) or not 0 < size < inf:
        return ()
    text = f"differentiates numerically: it moves one entry after the other by {size:.0e}"
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


def without_longer(judgement: Judgement, double: Judgement, line: int) -> tuple[Finding, ...]:
    """Findings on gradients that are right in numbers longer than float64 only.

    `double` is the judgement on the same code with these read as float64.  A formula loses a few
    digits by that.  What loses many is a difference of nearly equal numbers, as that of two forward
    passes is.
    """
    if found := differenced(double, line):
        return found
    if double.verdict.trouble is not None and judgement.verdict.trouble is None:
        return (only_longer(line),)
    right = {g.name for g in judgement.verdict.gradients if g.was_right}
    return tuple(
        Finding("GT402", f"d{g.name}: {_LOST.format(g.error)}", line, f"d{g.name}")
        for g in double.verdict.gradients
        if g.name in right and g.standing == "wrong" and (g.error or 0.0) > _LOSS
    )


def only_longer(line: int) -> Finding:
    """The finding on code of which it cannot be seen what it is without its longer numbers."""
    text = (
        "it computes with numbers longer than float64 and cannot be run without them, so that "
        "differences in place of a derivative could not be told"
    )
    return Finding("GT403", text, line)
