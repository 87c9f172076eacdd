"""How long an expression is when it is printed: about, and without a printer."""

from __future__ import annotations

from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree

LINE = 120  # the longest formula that a reader takes in at once

_METHODS = frozenset(
    ("sum", "mean", "max", "min", "reshape", "transpose", "var", "std", "swapaxes")
)
_INFIX = frozenset(("add", "sub", "mul", "div", "matmul", "gt", "ge", "lt", "le", "eq", "ne"))


def width_of(tree: Tree) -> int:
    """The number of characters of the text."""
    match tree:
        case Name(id=name):
            return len(name)
        case Number(value=value, text=text):
            return len(text or str(value))
        case Literal(value=value):
            return len(repr(value))
        case Slice(start=start, stop=stop):
            return 1 + sum(width_of(part) for part in (start, stop) if part is not None)
        case Items(items=items):
            return sum(width_of(item) for item in items) + 2 * max(1, len(items))
        case Call(op="neg", args=(inner,)):
            return 1 + width_of(inner)
        case Call(op="transpose", args=(inner,)):
            return 2 + width_of(inner)
        case Call(op="pow", args=(base, exponent)):
            return 2 + width_of(base) + width_of(exponent)
        case Call(op=op, args=(left, right)) if op in _INFIX:
            sides = width_of(left) + width_of(right) + 3
            if op in ("mul", "div", "matmul"):
                loose = [a for a in (left, right) if isinstance(a, Call) and a.op in ("add", "sub")]
                sides += 2 * len(loose)
            return sides
        case Call(op="getitem", args=(base, index)):
            return 2 + width_of(base) + width_of(index)
    parts = [width_of(a) for a in tree.args]
    before = 0
    if tree.op in _METHODS and parts:
        receiver = tree.args[0]
        bracketed = isinstance(receiver, Call) and receiver.op in (*_INFIX, "neg")
        before = parts.pop(0) + (3 if bracketed else 1)
    parts += [len(key) + 1 + width_of(value) for key, value in tree.kwargs]
    return before + len(tree.op) + 2 + sum(parts) + 2 * max(0, len(parts) - 1)
