"""Long arithmetic in several lines, each of which works in the array that the first one made.

    dX = xhat * (-dgamma / N)
    dX += dY
    dX -= dbeta / N
    dX *= gamma / std

Safe by construction: an array is changed only in the consecutive lines that make it, before
anything else can refer to it, and the first of them makes a new array.  Arguments, the cache and
views of them are never written to.  The first value must be inexact for certain, since an integer
array cannot hold what is divided into it later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gradtool.emit.array_forms import Form, NotBroadcast, broadcast
from gradtool.emit.array_text import Made, Operator, Writer
from gradtool.emit.numpy_steps import Write, is_new
from gradtool.emit.numpy_words import numpy_tree
from gradtool.ir.tree import Call, Name, Number, Tree, call, children, names
from gradtool.ops.scalar import FUNCTIONS

_UPDATES = {"add": "+=", "sub": "-=", "mul": "*=", "div": "/="}
FEWEST = 2  # updates; below, one line is as good

_INEXACT = ("div", "mean", "var", "std", "sqrt", "softmax", "log_softmax", "logsumexp", "norm",
            "inv", "det", "cholesky", "solve", "logdet", "inverse_cholesky",
            "reciprocal")  # fmt: skip
_EXACT = ("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not", "argmax",
          "argmin", "arange", "onehot", "zeros", "ones", "eye", "full")  # fmt: skip


def in_place(writer: Writer, name: str, form: Form, inexact: Collection[str]) -> list[Write] | None:
    """The lines; None when one line is as good or nothing says that working in place is safe."""
    shape = form.shape
    if len(shape) < 2:
        return None
    chain = writer.chain(form)
    rest = list(chain.rest)
    tree, have = chain.start.tree, chain.start.shape
    fresh = chain.fresh
    try:
        if not (fresh and have == shape):
            if not rest:
                return None
            operator, part = rest.pop(0)
            tree = call(operator, tree, part.tree)
            have = broadcast((have, part.shape))
            fresh = True
    except NotBroadcast:
        return None
    if have != shape or len(rest) < FEWEST or not is_inexact(tree, inexact):
        return None
    if any(name in names(part.tree) for _, part in rest):
        return None
    if not is_new(numpy_tree(tree, writer.module)):
        return None  # a view, once it is in NumPy's words
    return [Write(tree), *updates(rest)]


def updates(rest: Iterable[tuple[Operator, Made]]) -> list[Write]:
    """The lines that work in an array."""
    return [Write(part.tree, _UPDATES[operator]) for operator, part in rest]


def is_inexact(tree: Tree, inexact: Collection[str]) -> bool:
    """Whether a value is floating point whatever its arguments are."""
    match tree:
        case Name(id=name):
            return name in inexact
        case Number(value=value):
            return value.denominator != 1
        case Call(op=op) if op in _EXACT:
            return False
        case Call(op=op) if op in _INEXACT or (op in FUNCTIONS and op not in ("abs", "sign")):
            return True
        case Call(op="getitem" | "sum" | "reshape" | "transpose", args=(first, *_)):
            return is_inexact(first, inexact)
        case Call(op="where", args=(_, *branches)):
            return any(is_inexact(b, inexact) for b in branches)
    return any(is_inexact(child, inexact) for child in children(tree))
