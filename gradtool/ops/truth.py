"""Where NumPy computes with truth values, and what it then does otherwise than with numbers.

``(X > 0) + (X < 1)`` is "or" in NumPy, ``-(X > 0)`` is an error, and a matrix product of two masks
is "or" of "and".  A formula that read them as the numbers 0 and 1 would be another function.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.ir.poly import Poly
from gradtool.ir.tree import Call, Items, Tree
from gradtool.ops.errors import OpError

# Words whose NumPy function, given truth values, has truth values: by the arguments that count.
_FIRST = frozenset((
    *("transpose", "swapaxes", "moveaxis", "reshape", "ravel", "expand_dims", "squeeze"),
    *("broadcast_to", "getitem", "flip", "rot180", "tril", "triu", "diag", "pad", "windows"),
    *("max", "min", "abs", "concatenate", "stack", "hstack", "vstack"),
))  # fmt: skip
_BOTH = frozenset(("mul", "maximum", "minimum", "outer"))
_LATER = frozenset(("where",))


def deciding(call: Call) -> tuple[Tree, ...]:
    """The arguments that must all be truth values for the result to be of truth values.

    Empty for a word that makes numbers of them: ``sum`` counts, ``exp`` is real.
    """
    arguments = (*call.args, *(value for key, value in call.kwargs if key in ("x", "y", "arrays")))
    if call.op in _FIRST:
        arguments = arguments[:1]
        if arguments and isinstance(arguments[0], Items):
            return arguments[0].items
        return arguments
    if call.op in _BOTH:
        return arguments
    return arguments[1:] if call.op in _LATER else ()


def refuse_truths(call: Call, truths: Sequence[bool], meaning: str, instead: str) -> None:
    """Stop where NumPy would compute with truth values only.

    Raises:
        OpError: all of them are.
    """
    if truths and all(truths):
        raise OpError(
            f"both sides are truth values: in NumPy this is {meaning}"
            if len(truths) == 2
            else f"of truth values this is {meaning}",
            call.span,
            instead,
        )


def inverse(call: Call, body: Poly, exponent: int | Fraction) -> Poly:
    """``body ** exponent`` for a negative exponent, where no condition is divided by.

    Raises:
        OpError: a factor is 0 where a condition is false.
    """
    single = body.single
    if single is not None and any(base.is_condition for base, _ in single.factors):
        raise OpError(
            "division by a condition: it is infinite where the condition is false",
            call.span,
            "write where(condition, x / y, 0)",
        )
    return body.power(exponent)


__all__ = ["deciding", "inverse", "refuse_truths"]
