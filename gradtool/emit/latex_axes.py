"""Reductions, transpositions and index notation in LaTeX: everything that is about axes."""

from __future__ import annotations

from gradtool.emit.latex_tree import ALL, ATOM, BIG, POWER, Printer, Shown, bracketed
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Tree, integer


def show_transpose(p: Printer, tree: Call) -> Shown | None:
    order = _order(p, tree)
    if order == [0] or order == [0, 1]:
        return p.show(tree.args[0])
    if order == [1, 0] or (
        order is None and tree.op == "transpose" and len(tree.args) == 1 and not tree.kwargs
    ):
        return Shown(f"{p.within(tree.args[0], ATOM)}^{{\\top}}", POWER)
    return p.collected(tree)


def show_transpose_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    order = _order(p, tree)
    if order is None:
        return None
    source = [""] * len(order)
    for place, axis in zip(places, order, strict=True):
        source[axis] = place
    return p.entry(tree.args[0], source)


def _order(p: Printer, tree: Call) -> list[int] | None:
    """For each axis of a transposed array, the axis that it was."""
    rank = p.rank(tree.args[0])
    if rank is None:
        return None
    order = list(range(rank))
    rest = [*tree.args[1:], *(value for _, value in tree.kwargs)]
    if tree.op == "transpose":
        if not rest:
            return order[::-1]
        axes = _integers(rest[0])
        return None if axes is None else [axis % rank for axis in axes]
    moved = [axes[0] for axes in map(_integers, rest) if axes is not None and len(axes) == 1]
    if len(moved) != 2:
        return None
    first, second = (axis % rank for axis in moved)
    if tree.op == "swapaxes":
        order[first], order[second] = second, first
    else:
        order.insert(second, order.pop(first))
    return order


def _integers(tree: Tree) -> list[int] | None:
    items = tree.items if isinstance(tree, Items) else (tree,)
    numbers = [int(i.value) for i in items if isinstance(i, Number)]
    return numbers if len(numbers) == len(items) else None


# -- sums over axes -----------------------------------------------------------------------


def show_reduction(p: Printer, tree: Call) -> Shown | None:
    if tree.keyword("over") is not None:
        return _over(p, tree)
    known = {key: value for key, value in tree.kwargs}
    for key, value in zip(("axis", "keepdims"), tree.args[1:], strict=False):
        known[key] = value
    shape = p.shape(tree.args[0])
    if tree.op == "logsumexp":
        known.setdefault("axis", integer(-1))
    axes = None if shape is None else _axes(known.get("axis"), len(shape))
    if shape is None or axes is None or not known.keys() <= {"axis", "keepdims"}:
        return None
    if not axes:
        return p.show(tree.args[0]) if tree.op in ("sum", "mean", "max", "min") else None
    with p.indices([shape[axis] for axis in axes]) as letters:
        places = [ALL] * len(shape)
        for axis, letter in zip(axes, letters, strict=True):
            places[axis] = letter
        body = p.entry(tree.args[0], places)
        under = [
            p.under(name, shape[axis])
            for name, axis in zip(letters, axes, strict=True)
            if name != "0"
        ]
    if not under and tree.op in ("sum", "mean", "max", "min"):
        result = body
    elif tree.op == "mean":
        sizes = Shown(" \\, ".join(p.sizes([shape[axis]]) for axis in axes))
        total = p.reduction("sum", ",".join(under), body)
        result = Shown(f"\\frac{{1}}{{{sizes.text}}} {total.text}", BIG)
    else:
        result = p.reduction(tree.op, ",".join(under), body)
    if known.get("keepdims") == Literal(True):
        kept = ",".join("\\bullet" if k in axes else ALL for k in range(len(shape)))
        return Shown(f"{bracketed(result.text)}_{{{kept}}}")
    return result


def _axes(axis: Tree | None, rank: int) -> list[int] | None:
    if axis is None or (isinstance(axis, Literal) and axis.value is None):
        return list(range(rank))
    axes = _integers(axis)
    return None if axes is None else sorted(a % rank for a in axes)


# -- index notation -----------------------------------------------------------------------


def _over(p: Printer, tree: Call) -> Shown | None:
    over = tree.keyword("over")
    assert over is not None
    items = over.items if isinstance(over, Items) else (over,)
    with p.numbers():
        body = p.show(tree.args[0])
        under = ",".join(_declared(p, item) for item in items)
    if not under:
        return body
    if tree.op == "mean":
        return p.reduction("mean", under, body)
    return p.reduction(tree.op, under, body)


def _declared(p: Printer, item: Tree) -> str:
    if isinstance(item, Call) and item.op == "lt" and isinstance(item.args[0], Name):
        return p.under(item.args[0].id, item.args[1])
    return p.condition(item)


def show_indexed(p: Printer, tree: Call) -> Shown | None:
    """The right side of an index statement; inside an expression, the array of its entries."""
    left, right = tree.args
    assert isinstance(left, Items)
    with p.numbers():
        body = p.show(right)
    places = index_names(left)
    if not places:
        return body
    return Shown(f"\\left[{body.text}\\right]_{{{','.join(places)}}}")


def index_names(left: Items) -> list[str]:
    """The indices on the left side of an index statement."""
    heads = [i.args[0] if isinstance(i, Call) else i for i in left.items]
    return [head.id for head in heads if isinstance(head, Name)]
