"""How each word of the vocabulary looks in LaTeX; a word that is not here is a function."""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.emit.latex_tree import (
    ALL,
    ATOM,
    BIG,
    HADAMARD,
    MATMUL,
    POWER,
    SCALAR,
    SUM,
    Entry,
    Printer,
    Rule,
    Shown,
    Words,
    bracketed,
    held,
)
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer
from gradtool.ops.registry import vocabulary
from gradtool.ops.scalar import FUNCTIONS

# -- arithmetic ---------------------------------------------------------------------------


def _add(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = p.show(tree.args[0]), p.show(tree.args[1])
    least = BIG if tree.op == "sub" else SUM
    sign = "-" if tree.op == "sub" else "+"
    return Shown(f"{left.text} {sign} {held(right, least)}", SUM)


def _neg(p: Printer, tree: Call) -> Shown | None:
    inner = p.show(tree.args[0])
    return Shown("-" + held(inner, BIG), max(inner.strength, BIG), True)


def _pos(p: Printer, tree: Call) -> Shown | None:
    return p.show(tree.args[0])


def _mul(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = tree.args
    scalar = 0 in (p.rank(left), p.rank(right))
    return p.product(p.show(left), p.show(right), SCALAR if scalar else HADAMARD)


def _div(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    above, below = tree.args
    arrays = 0 not in (p.rank(above), p.rank(below))
    return p.fraction(p.show(above), p.show(below), arrays=arrays)


def _floordiv(p: Printer, tree: Call) -> Shown | None:
    above, below = (p.text(a) for a in tree.args)
    return Shown(f"\\left\\lfloor \\frac{{{above}}}{{{below}}} \\right\\rfloor")


def _reciprocal(p: Printer, tree: Call) -> Shown | None:
    return p.fraction(Shown("1"), p.show(tree.args[0]), arrays=False)


def _pow(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    base, exponent = tree.args
    sign = "" if p.rank(base) == 0 == p.rank(exponent) else "\\odot "
    return Shown(f"{p.within(base, ATOM)}^{{{sign}{p.text(exponent)}}}", POWER)


def _square(p: Printer, tree: Call) -> Shown | None:
    return _pow(p, call("pow", tree.args[0], integer(2)))


def _sqrt(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\sqrt{{{p.text(tree.args[0])}}}")


def _abs(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\left|{p.text(tree.args[0])}\\right|")


def _log_base(p: Printer, tree: Call) -> Shown | None:
    base = tree.op.removeprefix("log")
    return Shown(f"\\log_{{{base}}}{bracketed(p.text(tree.args[0]))}", POWER)


def _log1p(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\log{bracketed('1 + ' + p.within(tree.args[0], BIG))}", POWER)


def _expm1(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\exp{bracketed(p.text(tree.args[0]))} - 1", SUM)


# -- conditions ---------------------------------------------------------------------------


def _indicator(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\mathbf{{1}}\\left[{p.condition(tree)}\\right]")


def _where(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 3:
        return None
    test, yes, no = tree.args
    return Shown(
        f"\\begin{{cases}} {p.text(yes)} & \\text{{if }} {p.condition(test)} \\\\ "
        f"{p.text(no)} & \\text{{otherwise}} \\end{{cases}}", SUM,
    )


# -- matrices -----------------------------------------------------------------------------


def _matmul(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = tree.args
    ranks = p.rank(left), p.rank(right)
    if tree.op == "dot":
        if 0 in ranks:
            return _mul(p, tree)
        if None in ranks or max(r or 0 for r in ranks) > 2:
            return None
    first = p.show(left)
    if ranks[0] == 1:
        first = Shown(f"{held(first, ATOM)}^{{\\top}}", POWER)
    return p.product(first, p.show(right), MATMUL)


def _outer(p: Printer, tree: Call) -> Shown | None:
    if [p.rank(a) for a in tree.args] != [1, 1]:
        return None
    right = Shown(f"{p.within(tree.args[1], ATOM)}^{{\\top}}", POWER)
    return p.product(p.show(tree.args[0]), right, MATMUL)


def _inverse(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"{p.within(tree.args[0], ATOM)}^{{-1}}", POWER)


def _solve(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    inverse = Shown(f"{p.within(tree.args[0], ATOM)}^{{-1}}", POWER)
    return p.product(inverse, p.show(tree.args[1]), MATMUL)


def _logdet(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\log\\left|\\det{bracketed(p.text(tree.args[0]))}\\right|", POWER)


def _norm(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 1 or tree.kwargs:
        return None
    kind = {1: "_{2}", 2: "_{F}"}.get(p.rank(tree.args[0]) or 0, "")
    return Shown(f"\\left\\lVert {p.text(tree.args[0])} \\right\\rVert{kind}")


def _transpose(p: Printer, tree: Call) -> Shown | None:
    order = _order(p, tree)
    if order == [0] or order == [0, 1]:
        return p.show(tree.args[0])
    if order == [1, 0] or (order is None and tree.op == "transpose" and len(tree.args) == 1
                           and not tree.kwargs):
        return Shown(f"{p.within(tree.args[0], ATOM)}^{{\\top}}", POWER)
    return p.collected(tree)


def _transpose_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
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


def _reduction(p: Printer, tree: Call) -> Shown | None:
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
        under = [p.under(name, shape[axis]) for name, axis in zip(letters, axes, strict=True)
                 if name != "0"]
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


def _indexed(p: Printer, tree: Call) -> Shown | None:
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


# -- entries ------------------------------------------------------------------------------


def _getitem(p: Printer, tree: Call) -> Shown | None:
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


def _getitem_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    """``P[arange(N), y]`` at n is ``P_{n, y_{n}}``; None for a slice that shifts."""
    base, index = tree.args
    items = list(index.items) if isinstance(index, Items) else [index]
    rank = p.rank(base)
    if rank is None or p.entrywise:
        return None
    whole = Slice(None, None, None)
    missing = rank - sum(not _is_new(i) and not _is_dots(i) for i in items)
    dots = next((k for k, item in enumerate(items) if _is_dots(item)), len(items))
    items[dots:dots + 1] = [whole] * missing
    picks = [k for k, i in enumerate(items) if not isinstance(i, Slice | Literal)]
    shapes = {k: p.shape(items[k]) for k in picks}
    if any(shape is None for shape in shapes.values()):
        return None
    count = max((len(shape or ()) for shape in shapes.values()), default=0)
    adjacent = picks == list(range(picks[0], picks[-1] + 1)) if picks else True
    # NumPy puts the picked axes where they stood, or first when they stood apart.
    start = sum(1 for k in range(picks[0]) if k not in picks) if picks and adjacent else 0
    picked, rest = places[start:start + count], places[:start] + places[start + count:]
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
    own = picked[len(picked) - len(shape):]
    return p.entry(item, ["0" if axis == ONE else place
                          for axis, place in zip(shape, own, strict=True)]).text


def _onehot(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if not shape:
        return None
    with p.indices(shape) as places:
        inner = _onehot_entry(p, tree, places)
    return Shown(f"{inner.text}_{{{','.join(places)}}}")


def _onehot_entry(p: Printer, tree: Call, places: list[str]) -> Shown:
    label = p.entry(tree.args[0], places[:-1])
    return Shown(f"\\mathbf{{1}}\\left[{label.text} = {places[-1]}\\right]")


def _arange(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 1:
        return None
    last = call("sub", tree.args[0], integer(1))
    return Shown(f"\\left(0, \\dots, {p.text(last)}\\right)")


def _arange_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    return Shown(places[0])


def _einsum(p: Printer, tree: Call) -> Shown | None:
    rank = p.rank(tree)
    if rank is None or _subscripts(tree) is None:
        return None
    if rank == 0:
        return _einsum_entry(p, tree, [])
    _, out = _subscripts(tree) or ([], "")
    inner = _einsum_entry(p, tree, list(out))  # the letters that the user chose
    return None if inner is None else Shown(f"\\left[{inner.text}\\right]_{{{','.join(out)}}}")


def _einsum_entry(p: Printer, tree: Call, places: list[str]) -> Shown | None:
    read = _subscripts(tree)
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


def _filled(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if shape is None:
        return None
    digit = "0" if tree.op.startswith("zeros") else "1"
    made = Shown(f"\\mathbf{{{digit}}}_{{{p.sizes(shape)}}}" if shape else digit)
    return p.product(p.show(tree.args[1]), made, SCALAR) if tree.op == "full" else made


def _eye(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\mathbf{{I}}_{{{p.text(tree.args[0])}}}") if len(tree.args) == 1 else None


def _shaped(p: Printer, tree: Call) -> Shown | None:
    shape = p.shape(tree)
    if shape is None or len(tree.args) != 2:
        return None
    inner = bracketed(p.text(tree.args[0]))
    return Shown(f"{p.word(tree.op)}_{{{p.sizes(shape)}}}{inner}", POWER)


_RULES: dict[str, Rule] = {
    "add": _add, "sub": _add, "neg": _neg, "pos": _pos, "mul": _mul, "div": _div,
    "floordiv": _floordiv, "pow": _pow, "square": _square, "sqrt": _sqrt, "abs": _abs,
    "reciprocal": _reciprocal, "log2": _log_base, "log10": _log_base, "log1p": _log1p,
    "expm1": _expm1, "where": _where, "matmul": _matmul, "dot": _matmul, "outer": _outer,
    "inv": _inverse, "solve": _solve, "logdet": _logdet, "norm": _norm, "transpose": _transpose,
    "swapaxes": _transpose, "moveaxis": _transpose, "indexed": _indexed, "getitem": _getitem,
    "onehot": _onehot, "arange": _arange, "einsum": _einsum, "zeros": _filled, "ones": _filled,
    "zeros_like": _filled, "ones_like": _filled, "full": _filled, "eye": _eye,
    "reshape": _shaped, "broadcast_to": _shaped,
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or",
                     "logical_not"), _indicator),
    **dict.fromkeys(("sum", "mean", "max", "min", "argmax", "argmin", "logsumexp", "var", "std"),
                    _reduction),
}
_ELEMENTWISE = frozenset((
    "add", "sub", "neg", "pos", "mul", "div", "pow", "square", "sqrt", "reciprocal", "where",
    "maximum", "minimum", "clip", "relu", "leaky_relu", "gt", "ge", "lt", "le", "eq", "ne",
    "logical_and", "logical_or", "logical_not", *FUNCTIONS,
))
_ENTRIES: dict[str, Entry] = {
    "transpose": _transpose_entry, "swapaxes": _transpose_entry, "moveaxis": _transpose_entry,
    "getitem": _getitem_entry, "onehot": _onehot_entry, "arange": _arange_entry,
    "einsum": _einsum_entry,
}


def words() -> Words:
    """Every rule, under every spelling of its word."""
    spellings = {name: getattr(word, "name", name) for name, word in vocabulary().items()}
    spellings |= {name: name for name in _RULES}
    return Words(
        {name: _RULES[word] for name, word in spellings.items() if word in _RULES},
        {name: _ENTRIES[word] for name, word in spellings.items() if word in _ENTRIES},
        {name for name, word in spellings.items() if word in _ELEMENTWISE},
    )
