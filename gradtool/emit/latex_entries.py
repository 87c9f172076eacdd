"""Entries in LaTeX: subscripts, one-hot rows, einsum, and arrays made from sizes."""

from __future__ import annotations

import string
from collections.abc import Sequence

from gradtool.emit.latex_tree import ALL, POWER, SCALAR, Printer, Shown, bracketed
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.tree import Call, Items, Literal, Name, Slice, Tree, call, integer

# -- entries ------------------------------------------------------------------------------


def show_getitem(p: Printer, tree: Call) -> Shown | None:
    base, index = tree.args
    own = p.places(index)
    if own is not None:
        return p.entry(base, own)
    items = index.items if isinstance(index, Items) else (index,)
    if any((p.rank(item) or 0) > 0 for item in items if not isinstance(item, Slice | Literal)):
        collected = p.collected(tree)
        if collected is not None:
            return collected
    places = [_place(p, item) for item in items]
    rank = p.rank(base)
    if not p.entrywise and rank is not None and not any(_is_dots(i) for i in items):
        places += [ALL] * (rank - sum(not _is_new(item) for item in items))
    if isinstance(base, Name):
        return p.name(base.id, ",".join(places))
    return Shown(f"{bracketed(p.text(base))}_{{{','.join(places)}}}")


def _place(p: Printer, item: Tree) -> str:
    if _is_new(item):
        return "\\bullet"
    if isinstance(item, Slice) and item.start is item.stop is item.step is None:
        return ALL
    return p.text(item)


def _is_new(item: Tree) -> bool:
    return isinstance(item, Literal) and item.value is None


def _is_dots(item: Tree) -> bool:
    return isinstance(item, Literal) and item.value == "..."


def show_getitem_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    """``P[arange(N), y]`` at n is ``P_{n, y_{n}}``; None for a slice that shifts."""
    base, index = tree.args
    items = list(index.items) if isinstance(index, Items) else [index]
    rank = p.rank(base)
    if rank is None or p.entrywise:
        return None
    whole = Slice(None, None, None)
    missing = rank - sum(not _is_new(i) and not _is_dots(i) for i in items)
    dots = next((k for k, item in enumerate(items) if _is_dots(item)), len(items))
    items[dots : dots + 1] = [whole] * missing
    picks = [k for k, i in enumerate(items) if not isinstance(i, Slice | Literal)]
    shapes = {k: p.shape(items[k]) for k in picks}
    if any(shape is None for shape in shapes.values()):
        return None
    count = max((len(shape or ()) for shape in shapes.values()), default=0)
    adjacent = picks == list(range(picks[0], picks[-1] + 1)) if picks else True
    # NumPy puts the picked axes where they stood, or first when they stood apart.
    start = sum(1 for k in range(picks[0]) if k not in picks) if picks and adjacent else 0
    picked, rest = places[start : start + count], places[:start] + places[start + count :]
    subscript: list[str] = []
    for k, item in enumerate(items):
        if k in shapes:
            subscript.append(_picked(p, item, shapes[k] or (), picked))
            continue
        place = rest.pop(0)
        if _is_new(item):
            continue
        if item != whole:
            return None
        subscript.append(place)
    return p.entry(base, subscript)


def _picked(p: Printer, item: Tree, shape: Sequence[Dim], picked: Sequence[str]) -> str:
    """An index array at the indices that it broadcasts along."""
    if not shape:
        return p.text(item)
    own = picked[len(picked) - len(shape) :]
    return p.entry(
        item, ["0" if axis == ONE else place for axis, place in zip(shape, own, strict=True)]
    ).text


def show_onehot(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if not shape:
        return None
    with p.indices(shape) as places:
        inner = show_onehot_entry(p, tree, places)
    return Shown(f"{inner.text}_{{{','.join(places)}}}")


def show_onehot_entry(p: Printer, tree: Call, places: list[str]) -> Shown:
    label = p.entry(tree.args[0], places[:-1])
    return Shown(f"\\mathbf{{1}}\\left[{label.text} = {places[-1]}\\right]")


def show_arange(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 1:
        return None
    last = call("sub", tree.args[0], integer(1))
    return Shown(f"\\left(0, \\dots, {p.text(last)}\\right)")


def show_arange_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    return Shown(places[0])


def show_einsum(p: Printer, tree: Call) -> Shown | None:
    rank = p.rank(tree)
    read = _letters(p, tree)
    if rank is None or read is None:
        return None
    if rank == 0:
        return show_einsum_entry(p, tree, [])
    _, out = read
    inner = show_einsum_entry(p, tree, list(out))
    return None if inner is None else Shown(f"\\left[{inner.text}\\right]_{{{','.join(out)}}}")


def show_einsum_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    read = _letters(p, tree)
    if read is None or list(read[1]) != places:
        return None
    terms, out = read
    summed = dict.fromkeys(letter for term in terms for letter in term if letter not in out)
    before = p.letters
    for term, operand in zip(terms, tree.args[1:], strict=True):
        p.letters = p.letters | dict(zip(term, p.shape(operand) or (), strict=False))
    shown = [p.entry(x, list(t)) for t, x in zip(terms, tree.args[1:], strict=True)]
    p.letters = before
    body = shown[0]
    for factor in shown[1:]:
        body = p.product(body, factor, SCALAR)
    return p.reduction("sum", ",".join(summed), body) if summed else body


def _letters(p: Printer, tree: Call) -> tuple[list[str], str] | None:
    """The letters of an einsum as they were chosen, unless something has that name already.

    In the einsum they are apart from all names; a sum over s beside a stride s is not.
    """
    read = _subscripts(tree)
    if read is None:
        return None
    terms, out = read
    chosen = dict.fromkeys("".join((*terms, out)))
    names = p.notation.names.keys()
    free = (c for c in string.ascii_letters if c not in names and c not in chosen)
    turned = str.maketrans({c: next(free, c) for c in chosen if c in names})
    return [term.translate(turned) for term in terms], out.translate(turned)


def _subscripts(tree: Call) -> tuple[list[str], str] | None:
    """The letters of each operand and of the result; None for what is not a plain einsum."""
    spec = tree.args[0]
    if not isinstance(spec, Literal) or not isinstance(spec.value, str) or tree.kwargs:
        return None
    text = spec.value.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if not arrow:
        out = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if len(terms) != len(tree.args) - 1 or not all(t.isalpha() for t in terms):
        return None
    return terms, out


# -- arrays made from sizes ---------------------------------------------------------------


def show_filled(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if shape is None:
        return None
    digit = "0" if tree.op.startswith("zeros") else "1"
    made = Shown(f"\\mathbf{{{digit}}}_{{{p.sizes(shape)}}}" if shape else digit)
    return p.product(p.show(tree.args[1]), made, SCALAR) if tree.op == "full" else made


def show_eye(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\mathbf{{I}}_{{{p.text(tree.args[0])}}}") if len(tree.args) == 1 else None


def show_shaped(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if shape is None or len(tree.args) != 2:
        return None
    inner = bracketed(p.text(tree.args[0]))
    return Shown(f"{p.word(tree.op)}_{{{p.sizes(shape)}}}{inner}", POWER)
