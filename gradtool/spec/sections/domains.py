"""The `domain:` of a variable: what is sampled for it."""

from __future__ import annotations

from fractions import Fraction

from gradtool.ir.dims import Dim, shape_text
from gradtool.spec.chance import WORD, parse_chance
from gradtool.spec.model import Domain
from gradtool.spec.names import shown
from gradtool.spec.scalars import parse_constant
from gradtool.spec.sections.reading import Reading
from gradtool.spec.suggest import nearest
from gradtool.spec.yamltree import Node, Scalar, Sequence

#: Every named domain with the number of axes that it needs.
NAMED = {
    "real": 0,
    "positive": 0,
    "nonnegative": 0,
    "binary": 0,
    "sign": 0,
    "probabilities": 1,
    "one-hot": 1,
    "symmetric": 2,
    "positive-definite": 2,
    "lower-triangular": 2,
}
_INFINITE = {"inf": 1, "+inf": 1, ".inf": 1, "+.inf": 1, "-inf": -1, "-.inf": -1}


def read_domain(node: Node, shape: tuple[Dim, ...] | None, what: str, reading: Reading) -> Domain:
    """A named domain, ``bernoulli(p)`` or a closed interval.

    `shape` is None when it could not be read.
    """
    if isinstance(node, Sequence):
        return _interval(node, what, reading)
    if not isinstance(node, Scalar) or node.is_null:
        reading.expected(node, what, "a domain", _choices())
        return Domain()
    kind = node.text
    if kind.strip().startswith(WORD):
        chance = reading.scalar(node, what, "a probability", parse_chance)
        return Domain("binary", chance=chance)
    if kind not in NAMED:
        near = nearest(kind, NAMED)
        hint = f"did you mean '{near}'?" if near else _choices()
        reading.problem(node, f"{what}: unknown domain {shown(kind)}", hint)
        return Domain()
    if shape is not None:
        axes = NAMED[kind]
        if len(shape) < axes:
            needed = "an axis to sum over" if axes == 1 else "a square matrix"
            reading.problem(
                node, f"{what}: '{kind}' needs {needed}, found the shape {shape_text(shape)}"
            )
        elif axes == 2 and shape[-1] != shape[-2]:
            reading.problem(
                node,
                f"{what}: '{kind}' needs a square matrix, found the shape {shape_text(shape)}",
                "the last two sizes must be the same",
            )
    return Domain(kind)


def _interval(node: Sequence, what: str, reading: Reading) -> Domain:
    if len(node.items) != 2:
        reading.problem(
            node,
            f"{what}: expected an interval of two ends, found a list of {len(node.items)}",
            "write [0, 1]; null leaves an end open",
        )
        return Domain()
    known = len(reading.problems)
    low = _end(node.items[0], -1, what, reading)
    high = _end(node.items[1], 1, what, reading)
    if len(reading.problems) > known:
        return Domain()
    if low is not None and high is not None and low >= high:
        reading.problem(
            node, f"{what}: expected an interval [low, high] with low < high, found [{low}, {high}]"
        )
        return Domain()
    return Domain() if low is None and high is None else Domain("interval", low, high)


def _end(node: Node, side: int, what: str, reading: Reading) -> Fraction | None:
    """One end of an interval; `side` is -1 for the lower end, whose infinity is negative."""
    if isinstance(node, Scalar):
        if node.is_null:
            return None
        infinite = _INFINITE.get(node.text.lower())
        if infinite is not None:
            if infinite != side:
                reading.problem(
                    node,
                    f"{what}: the interval is empty: found {node.text} "
                    f"as its {'lower' if side < 0 else 'upper'} end",
                )
            return None
    value = reading.scalar(node, what, "a number", parse_constant)
    return None if value is None else Fraction(value)


def _choices() -> str:
    return f"one of: {', '.join(NAMED)}, {WORD}(p), or an interval [0, 1]"
