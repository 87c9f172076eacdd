"""Terms that live at some positions only: written or added there, never as a dense one-hot array.

``dS[n, c] -= [c == y[n]] / N`` touches one entry of each row; ``dE[v, d] = sum over n of
[v == ids[n]] * dY[n, d]`` adds rows where the ids say; a window maximum sends its cotangent to
the entry that won.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.emit.numpy_access import positions
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_winners import sends_to_winners
from gradtool.emit.numpy_words import position_tree
from gradtool.ir.dims import ONE
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import Access, Atom, Factor, Iverson, Poly, Term, poly_of, product
from gradtool.ir.tree import Items, Name, Slice, Tree, call, integer
from gradtool.ir.walk import accesses
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, replace

# What stands for the positions of winners until they have a name.
WINNERS = Name("winners")


class Scatter(Struct, frozen=True):
    """A term as a value and the positions where it is added.

    Attributes:
        value: the value, over `order`.
        order: the indices of the value, in the order in which indexing places them.
        index: what stands in the brackets, one entry for each axis of the result.
        every: the same as integer arrays that broadcast, one for each axis.
        repeats: whether a position may occur twice.
        outer: factors that multiply the scattered array.
        flat: the name of the positions as numbers from 0, when the forward pass keeps those.
    """

    value: Poly
    order: tuple[Index, ...]
    index: tuple[Tree, ...]
    every: tuple[Tree, ...]
    repeats: bool
    outer: tuple[Factor, ...] = ()
    flat: Tree | None = None

    @property
    def axes(self) -> tuple[Index, ...]:
        """The indices that the value must have: broadcasting adds leading ones by itself."""
        if self.repeats:
            return self.order
        used = [k for k, index in enumerate(self.order) if index in self.value.indices]
        return self.order[used[0] :] if used else ()

    def whole(self, module: ModuleNames, free: Sequence[Index], value: Tree) -> Tree:
        """The scattered value as an array of the shape of the result."""
        shape = _shape(module, free)
        if not self.order:  # a number, which may be Python's
            module.need("dtype")
            value = call("np.asarray", value, Name("dtype"))
        if self.flat is not None:
            module.need("add_at")
            return call("_add_at", shape, self.flat, value)
        module.need("scatter")
        return call("_scatter", shape, Items(self.every), value)

    def flattened(self, module: ModuleNames, free: Sequence[Index]) -> Tree:
        """The positions as numbers from 0 in row-major order, in NumPy's words."""
        return call("np.ravel_multi_index", Items(self.every), _shape(module, free))


def _shape(module: ModuleNames, free: Sequence[Index]) -> Items:
    return Items(tuple(position_tree(dim_tree(i.size), module) for i in free))


def together(scatters: Sequence[Scatter]) -> list[Scatter]:
    """Values at the same positions added up, which may cancel."""
    found: list[Scatter] = []
    for scatter in scatters:
        place = next((k for k, s in enumerate(found) if not s.repeats and not scatter.repeats
                      and (s.every, s.order) == (scatter.every, scatter.order)), None)  # fmt: skip
        if place is None:
            found.append(scatter)
        else:
            found[place] = replace(found[place], value=found[place].value + scatter.value)
    return [scatter for scatter in found if scatter.value.terms]


def scattered(module: ModuleNames, term: Term, free: Sequence[Index]) -> Scatter | None:
    """The term as a scatter, when 0/1 factors determine axes of the result."""
    selected = _selected(module, term, free)
    if selected is not None:
        return selected
    places: dict[Index, Affine] = {}
    # The places name bound indices: nothing may rename these, as a canonical term would.
    table = {index: Index(f"lifted {k}", index.size) for k, index in enumerate(term.bound)}
    moved = {old: Affine.of(new) for old, new in table.items()}
    current = Term(
        term.coefficient,
        tuple((base.substitute(moved), e) for base, e in term.factors),
        tuple(table.values()),
    )
    while True:
        found = _determined(current, free, places)
        if found is None:
            break
        index, place, base = found
        places = {i: e.substitute({index: place}) for i, e in places.items()}
        places[index] = place
        factors = tuple((a.substitute({index: place}), e) for a, e in current.factors if a != base)
        current = Term(current.coefficient, factors, current.bound)
    if not places:
        return None
    used = frozenset[Index]().union(*(e.indices for e in places.values()))
    if any(isinstance(a, Iverson) and not a.indices.isdisjoint(places) for a, _ in current.factors):
        return None
    lifted = [i for i in current.bound if i in used]
    if any(i not in current.bound and i not in free for i in used):
        return None
    value = poly_of(
        (product(current.coefficient, current.factors,
                 tuple(i for i in current.bound if i not in lifted)),)
    )  # fmt: skip
    return _placed(module, free, places, value, lifted)


def _determined(
    term: Term, free: Sequence[Index], places: dict[Index, Affine]
) -> tuple[Index, Affine, Iverson] | None:
    """A free index that an equality fixes, its value, and the equality."""
    for base, exponent in term.factors:
        if not isinstance(base, Iverson) or base.relation != "eq" or exponent != 1:
            continue
        for index in free:
            if index in places or index.size == ONE:
                continue
            slope = base.value.coefficient(index).as_int
            if slope not in (1, -1):
                continue
            place = (base.value - Affine.of(index) * slope) * -slope
            if index in place.indices or not place.within(index.size):
                continue
            if not all(_inside(label) for label in place.labels()):
                continue
            return index, place, base
    return None


def _inside(label: Label) -> bool:
    """Whether a label is read inside its array, wherever the indices are."""
    return all(e.within(d) for e, d in zip(label.index, label.tensor.shape, strict=True))


def _placed(
    module: ModuleNames,
    free: Sequence[Index],
    places: dict[Index, Affine],
    value: Poly,
    lifted: Sequence[Index],
) -> Scatter:
    used = frozenset[Index]().union(*(e.indices for e in places.values()))
    # Indices of the index arrays, in the order of their axes; what is summed comes first.
    arrays = [*lifted, *(i for i in free if i in used)]
    plain = [i for i in free if i not in places and i not in used]
    if lifted:  # an axis of size one occurs in no value that is added row by row
        plain = [i for i in plain if i.size != ONE]
    entries: list[Tree] = []
    advanced: list[int] = []
    for axis, index in enumerate(free):
        if index in places:
            entries.append(positions(module, places[index], arrays))
            advanced.append(axis)
        elif index in used:
            entries.append(positions(module, Affine.of(index), arrays))
            advanced.append(axis)
        else:
            entries.append(Slice(None, None, None))
    if arrays:
        together = advanced == list(range(advanced[0], advanced[-1] + 1))
        first = sum(1 for i in free[: advanced[0]] if i in plain) if together else 0
    else:
        first = 0
    order = (*plain[:first], *arrays, *plain[first:])
    while entries and entries[-1] == Slice(None, None, None):
        entries.pop()
    alone = {i: Affine.of(0) for i in free if i.size == ONE}
    at = {**alone, **places}
    whole = tuple(positions(module, at.get(i, Affine.of(i)), order) for i in free)
    return Scatter(value, order, tuple(entries), whole, bool(lifted))


# -- the entry that won a maximum ---------------------------------------------------------


def _selected(module: ModuleNames, term: Term, free: Sequence[Index]) -> Scatter | None:
    """A cotangent sent to the entries of windows that won.

    The equality of a position with the winner's number, and the inequalities that keep it inside
    the window, say together: this is the entry that the selector chose.  Every window sends its
    value once; what depends on the entry itself is multiplied afterwards.
    """
    chosen = [
        label for a, _ in term.factors if isinstance(a, Iverson) for label in a.value.labels()
        if label.tensor.name in module.selectors
    ]  # fmt: skip
    if not chosen or len({label.key for label in chosen}) != 1:
        return None
    label = chosen[0]
    statement = module.selectors[label.tensor.name]
    source = _source(statement)
    if source is None or len(source.tensor.shape) != len(free):
        return None
    if not sends_to_winners(term, free, label, statement, source):
        return None
    window = {
        e.key: Affine.of(i) for e, i in zip(label.index, statement.free, strict=True) if e.terms
    }
    outer: list[Factor] = []
    inner: list[Factor] = []
    for base, exponent in term.factors:
        if isinstance(base, Iverson):
            continue
        moved = _per_window(base, window)
        if moved is not None:
            inner.append((moved, exponent))
        elif base.indices <= set(free):
            outer.append((base, exponent))
        else:
            return None
    value = poly_of((product(term.coefficient, inner, ()),))
    order = tuple(i for i in statement.free if i.size != ONE)
    winners = _winners(module, label, statement.bound)
    every = tuple(_entry(module, e, order, winners) for e in source.index)
    return Scatter(value, order, (), every, True, tuple(outer), WINNERS)


def _per_window(base: Atom, window: Mapping[str, Affine]) -> Atom | None:
    """A factor in the indices of the windows; None when it depends on anything else."""
    if not base.indices:
        return base
    if isinstance(base, Access) and all(e.key in window or not e.terms for e in base.index):
        return Access(base.tensor, tuple(window.get(e.key, e) for e in base.index))
    return None


def _source(statement: Statement) -> Access | None:
    """The array whose windows a maximum was taken of."""
    found = list(accesses(statement.body))
    return found[0] if len(found) == 1 else None


def _winners(module: ModuleNames, label: Label, bound: Sequence[Index]) -> dict[Index, Tree]:
    """For each index of a window, its value at the winner."""
    source: Tree = Name(module.python(label.tensor.name))
    shape = label.tensor.shape
    if ONE in shape:  # such axes have no index: they must not broadcast against the others
        places = (integer(0) if size == ONE else Slice(None, None, None) for size in shape)
        source = call("getitem", source, Items(tuple(places)))
    if len(bound) == 1:
        return {bound[0]: source}
    sizes = Items(tuple(position_tree(dim_tree(i.size), module) for i in bound))
    unravelled = call("np.unravel_index", source, sizes)
    return {i: call("getitem", unravelled, integer(k)) for k, i in enumerate(bound)}


def _entry(
    module: ModuleNames, entry: Affine, order: Sequence[Index], winners: dict[Index, Tree]
) -> Tree:
    """A position of the source, with the indices of the window replaced by the winner's."""
    outer = Affine(tuple((p, c) for p, c in entry.terms if p not in winners), entry.const)
    tree = positions(module, outer, order)
    for position, coefficient in entry.terms:
        if isinstance(position, Index) and position in winners:
            part = winners[position]
            if coefficient != ONE:
                part = call("mul", position_tree(dim_tree(coefficient), module), part)
            tree = part if tree == integer(0) else call("add", tree, part)
    return tree
