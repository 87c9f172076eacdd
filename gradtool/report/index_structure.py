"""What the indices of one use say: what is summed, what is filled, what picks, what slides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.derive.calculus import partial
from gradtool.derive.explain import Use
from gradtool.ir.dims import ONE
from gradtool.ir.graph import Statement
from gradtool.ir.index import Index
from gradtool.ir.poly import NOTHING, Access, Compare, Poly, Term, number, poly_of
from gradtool.ir.tree import Call, Tree, children
from gradtool.ir.walk import accesses, replace_atoms


def entry_of(body: Poly, name: str) -> Access:
    return next(a for a in accesses(body) if a.tensor.name == name)


def axes_of(use: Use, entry: Access) -> tuple[Index, ...]:
    """The axes of a stage, or those of an operand of size one that the stage has lost."""
    statement = use.stage.statement
    assert isinstance(statement, Statement)
    if len(entry.index) > len(statement.free) and not entry.indices:
        return tuple(Index(f"@{k}", ONE) for k in range(len(entry.index)))
    return statement.free or tuple(
        e.as_index or Index(f"@{k}", ONE) for k, e in enumerate(entry.index)
    )


CONDITIONS = ("gt", "ge", "lt", "le", "eq", "ne")


def lacking_indices(indices: Iterable[Index], entry: Access) -> list[Index]:
    """Indices over which an entry stays the same."""
    return [i for i in indices if i.size != ONE and i not in entry.indices]


def term_mentions(term: Term, name: str) -> bool:
    return any(a.tensor.name == name for a in accesses(poly_of((term,))))


def condition_mentions(base: Compare, name: str) -> bool:
    return any(a.tensor.name == name for p in (base.left, base.right) for a in accesses(p))


def other_arrays(term: Term, entry: Access) -> list[Access]:
    """The other arrays of a product."""
    return [
        a
        for a, _ in term.factors
        if isinstance(a, Access) and a != entry and a.tensor.kind == "real" and a.index
    ]


def is_linear(term: Term, entry: Access) -> bool:
    plain = [e for a, e in term.factors if a == entry]
    everywhere = [a for a in accesses(poly_of((term,))) if a.tensor.name == entry.tensor.name]
    return plain == [1] and len(everywhere) == 1


def is_labelled(entry: Access) -> bool:
    return any(True for e in entry.index for _ in e.labels())


def slope_of(body: Poly, name: str, entry: Access) -> Poly:
    total = NOTHING
    for term in body.terms:
        if term_mentions(term, name):
            total = total + partial(Term(term.coefficient, term.factors), entry)
    return total


def under(body: Poly, condition: Compare, value: int) -> Poly | None:
    """An expression where a condition holds or does not."""
    return replace_atoms(body, lambda a: number(value) if a == condition else None)


def outermost(tree: Tree, op: str) -> Call | None:
    if isinstance(tree, Call) and tree.op == op:
        return tree
    return next((f for child in children(tree) if (f := outermost(child, op))), None)


def sliding(use: Use) -> tuple[str, str, bool] | None:
    """How a gradient slides over an array: the kind, the other array, whether in strides."""
    label = use.derivation.closed.gradients[use.of].name
    made = next((s for s in use.derivation.closed.statements if s.out.name == label), None)
    term = made.body.single if isinstance(made, Statement) else None
    if term is None or not isinstance(made, Statement):
        return None
    used = [a for a, _ in term.factors if isinstance(a, Access)]
    above = [a for a in used if a.tensor.name == f"d{use.stage.name}"]
    others = [a for a in used if a.tensor.name != f"d{use.stage.name}"]
    for other in others:
        for gradient in above:
            kind = _kind(gradient, other, frozenset(made.free))
            if kind is not None:
                return kind[0], other.tensor.name, kind[1]
    return None


def _kind(gradient: Access, other: Access, free: frozenset[Index]) -> tuple[str, bool] | None:
    """Correlation: other[s*i + p], gradient[i]. Convolution: gradient[i - p] or other[i - s*p]."""
    bare_ = {e.as_index for e in gradient.index} - {None}
    for entry in other.index:
        inside = {i: entry.coefficient(i) for i in entry.indices}
        if len(inside) == 2 and set(inside) & free and set(inside) & bare_:
            moving = next(c for i, c in inside.items() if i not in free)
            backwards = all(c < 0 for _, c in moving.terms)
            strided = moving not in (ONE, -ONE)
            return ("convolution" if backwards else "correlation"), strided
    for entry in gradient.index:
        inside = {i: entry.coefficient(i) for i in entry.indices}
        bound = [i for i in inside if i not in free]
        if len(inside) == 2 and len(bound) == 1 and any(bound[0] in e.indices for e in other.index):
            if all(c < 0 for _, c in inside[bound[0]].terms):
                return "convolution", False
            return "correlation", False
    return None


def axes_text(indices: Sequence[Index], name: str, axes: Sequence[Index | None]) -> str:
    """What axes are called in a sentence: their sizes, where these are names and tell them apart.

    Otherwise they are counted, as axes of the array `name`.
    """
    if not indices:
        return ""
    every = [i.size for i in axes if i is not None and i.size != ONE]
    plain = all(i.size.as_symbol is not None and every.count(i.size) <= 1 for i in indices)
    sizes = listed(str(i.size) for i in indices)
    if plain:
        return sizes
    places = [str(axes.index(i)) for i in indices if i in axes]
    if len(every) > 1 and len(places) == len(indices):
        return f"{'axis' if len(places) == 1 else 'axes'} {listed(places)} of {name}"
    return f"the axis of size {sizes}" if len(indices) == 1 else f"the axes of sizes {sizes}"


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    every = list(parts)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
