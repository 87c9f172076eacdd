"""Accesses of index notation that no plain array operation says, as arrays of their own.

``X[n, c, i + p]`` becomes the array ``X_windows`` with the axes n, c, i, p; what is left is a
product of plain accesses, which is raised to matrix products and einsums like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.derive.padding import SINGULAR_AT_ZERO
from gradtool.derive.pieces import NotRaisable, access_piece
from gradtool.emit.array_sizes import volume
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step, assign
from gradtool.emit.numpy_words import known_words, position_tree
from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.index import Affine, Index, Label, Tensor, nonnegative
from gradtool.ir.poly import (
    Access,
    Atom,
    Factor,
    Function,
    Group,
    Iverson,
    Poly,
    Term,
    atom,
    poly_of,
    product,
)
from gradtool.ir.tree import Items, Literal, Name, Slice, Tree, call, integer
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.ops.affine import affine_tree
from gradtool.ops.shape import dim_tree


class Arrays:
    """New arrays under way: their steps, each made once.

    Attributes:
        steps: the lines that make them, in order.
        fill: what stands outside an array; zero except below a maximum.
    """

    def __init__(self, module: ModuleNames, fill: Tree | None = None) -> None:
        self.module = module
        self.steps: list[Step] = []
        self.fill = fill
        self._made: dict[str, Access] = {}

    def plain(self, body: Poly) -> Poly:
        """The same expression with plain accesses only."""
        # What is divided by must not be zero outside, where another factor is.
        terms = [
            product(
                term.coefficient,
                [(self._regular(base, e), e) for base, e in term.factors],
                term.bound,
            )
            for term in body.terms
        ]
        return replace_atoms(poly_of(terms), self._plain)

    def _regular(self, base: Atom, exponent: Fraction) -> Atom:
        """The factor, finite where it is read outside of an array."""
        if self.fill is not None or not singular_at_zero(base, exponent):
            return base

        def entry(inner: Atom) -> Poly | None:
            if not isinstance(inner, Access) or not reaches_outside(inner):
                return None
            return self._gathered(inner, 1)

        single = replace_atoms(atom(base), entry).single
        return base if single is None else single.factors[0][0]

    def gathered(self, body: Poly) -> Poly:
        """The same with every access gathered entry by entry: the last resort."""
        made: set[str] = set()

        def entry(base: Atom, fill: int) -> Poly | None:
            if not isinstance(base, Access) or not base.index or base.tensor.name in made:
                return None
            found = self._gathered(base, fill)
            made.update(access.tensor.name for access in accesses(found))
            return found

        # What is divided by must not be zero outside, where another factor is.
        terms: list[Term] = []
        for term in body.terms:
            factors: list[Factor] = []
            for base, exponent in term.factors:
                found = entry(base, 1) if exponent < 0 else None
                single = None if found is None else found.single
                factors.append((single.factors[0][0] if single else base, exponent))
            terms.append(product(term.coefficient, factors, term.bound))
        return replace_atoms(poly_of(terms), lambda base: entry(base, 0))

    def _plain(self, base: Atom) -> Poly | None:
        if not isinstance(base, Access) or not base.index:
            return None
        if self.fill is None:
            try:
                piece = access_piece(base)
            except NotRaisable:
                pass
            else:
                if known_words(piece.tree):
                    return None
        if any(True for e in base.index for _ in e.labels()):
            return self._gathered(base, 0)
        return self._windows(base)

    def _windows(self, base: Access) -> Poly:
        """An access of sums of indices as an array with one axis for each index.

        Of ``X[n, c, stride*i + p]`` the short index p takes the place of the axis and i comes
        last: the order in which the windows of an image are copied fastest.  The same windows
        have the same name in the forward and in the backward pass.
        """
        axes: list[Index] = []
        extra: list[Index] = []
        tree: Tree = Name(self.module.python(base.tensor.name))
        for axis, (entry, size) in enumerate(zip(base.index, base.tensor.shape, strict=True)):
            parts = [(p, c) for p, c in entry.terms if isinstance(p, Index)]
            parts.sort(key=self._shorter)
            if not parts:
                parts = [(Index("one", ONE), ONE)]
            axes.append(parts[0][0])
            extra += [index for index, _ in parts[1:]]
            if len(parts) == 1 and entry == Affine.of(parts[0][0]) and parts[0][0].size == size:
                continue
            tree = self._window(tree, axis, entry.const, parts)
        live = [*axes, *extra]
        name = self.named(tree, f"{base.tensor.name.strip('_')}_windows", live)
        if extra:
            self.module.windows.add(name)
        return atom(Access(self.module.tensor(name), tuple(Affine.of(i) for i in live)))

    def _shorter(self, part: tuple[Index, Dim]) -> tuple[int, bool, str]:
        """The place in a window before the number of the window."""
        index, step = part
        return volume(self.module, (index.size,)), step != ONE, str(index.size)

    def _window(
        self, tree: Tree, axis: int, start: Dim, parts: Sequence[tuple[Index, Dim]]
    ) -> Tree:
        self.module.need("window")
        arguments: list[Tree] = [
            tree, integer(axis), self._size(start),
            Items(tuple(self._size(c) for _, c in parts)),
            Items(tuple(self._size(i.size) for i, _ in parts)),
        ]  # fmt: skip
        if self.fill is not None:
            arguments.append(self.fill)
        return call("_window", *arguments)

    def named(self, tree: Tree, wish: str, axes: Sequence[Index]) -> str:
        """The name of an array in NumPy's words, the same for the same array everywhere."""
        name = self.module.made.get(tree)
        if name is None:
            name = self._fresh(wish)
            self.module.made[tree] = name
            self.module.define(Tensor(name, tuple(i.size for i in axes)))
        if not any(step.defines == name for step in self.steps):
            self.steps.append(assign(name, tree))
        return name

    def _size(self, dim: Dim) -> Tree:
        return position_tree(dim_tree(dim), self.module)

    def _fresh(self, wish: str) -> str:
        return self.module.fresh(wish if not wish[0].isdigit() else f"t{wish}")

    def _gathered(self, base: Access, fill: int) -> Poly:
        """Entries taken one by one, `fill` outside."""
        key = f"gathered {base.key} {fill}"
        if key not in self._made:
            order = sorted(base.indices, key=lambda i: i.name)
            index = [positions(self.module, e, order) for e in base.index]
            source = Name(self.module.python(base.tensor.name))
            if all(e.within(d) for e, d in zip(base.index, base.tensor.shape, strict=True)):
                tree: Tree = call("getitem", source, Items(tuple(index)))
            else:
                self.module.need("entries")
                outside = {"fill": integer(fill)} if fill else {}
                tree = call("_entries", source, *index, **outside)
            name = self._fresh(f"{base.tensor.name.strip('_')}_at")
            self.module.define(Tensor(name, tuple(i.size for i in order)))
            self.steps.append(assign(name, tree))
            self._made[key] = Access(self.module.tensor(name), tuple(map(Affine.of, order)))
        return atom(self._made[key])

    # -- strides that run the other way ---------------------------------------------------

    def turned(self, term: Term) -> Term:
        """A term in which no bound index is accessed backwards with a stride.

        ``sum over i of F[h - s*i] * dY[i]`` is ``sum over r of F[r] * dY_spread[h - r]`` with
        the entries of dY s apart and zeros between them: as many products as F has entries, not
        as many as dY has.  The same holds for ``[0 <= h - s*i < R]`` (a mean over windows) and
        for ``[h == s*i + r]``.
        """
        for index in term.bound:
            found = backwards(term, index)
            if found is None or not self.fewer(found, index):
                continue
            changed = self._turned(term, index, *found)
            if changed is not None:
                return self.turned(changed)
        return term

    def fewer(self, found: Found, index: Index) -> bool:
        """Whether the new range is the shorter one for images of ordinary sizes.

        What is subtracted from a length that must not be negative is a window, and short.
        """
        entry, size, _ = found
        if size is None:
            return True
        than = index.size
        strided = entry.coefficient(index) not in (ONE, -ONE)
        short = self.module.short_sizes
        typical = {s: 3 if s in short else 64 for s in size.symbols | than.symbols}
        constants = self.module.graph.constants
        typical.update({n: int(constants[n]) for n in typical if n in constants})
        new, old = size.evaluate(typical), than.evaluate(typical)
        return new < old or (strided and new == old)

    def _turned(
        self, term: Term, index: Index, entry: Affine, size: Dim | None, drop: frozenset[Atom]
    ) -> Term | None:
        """Replace `index` by the value of `entry`, which lies in ``0 .. size-1`` (None: is 0)."""
        others = [b for b, _ in term.factors if b not in drop and index in b.indices]
        if not others:
            return None  # a count of entries: no array of zeros would say where there are none
        slope = entry.coefficient(index)
        rest = entry - Affine.of(index) * slope  # h + pad, without the index
        fresh = Index(f"{index.name}~", size if size is not None else ONE)
        value = Affine.of(fresh) if size is not None else Affine.of(0)
        forwards = slope == ONE
        step = ONE if forwards else -slope
        place = value - rest if forwards else rest - value
        factors: list[Factor] = []
        for base, exponent in term.factors:
            if base in drop:
                continue
            if index not in base.indices:
                factors.append((base, exponent))
                continue
            if not isinstance(base, Access) or exponent < 0:
                return None  # zeros between entries are nothing to divide by
            if entry in base.index:
                moved = tuple(Affine.of(fresh) if e == entry else e for e in base.index)
                if any(index in e.indices for e in moved):
                    return None
                factors.append((Access(base.tensor, moved), exponent))
                continue
            if sum(index in e.indices for e in base.index) != 1:
                return None
            axis = next(k for k, e in enumerate(base.index) if index in e.indices)
            if base.index[axis].as_index != index or base.tensor.shape[axis] != index.size:
                return None
            source = self._spread(base.tensor, axis, step)
            moved = (*base.index[:axis], place, *base.index[axis + 1 :])
            factors.append((Access(source, moved), exponent))
        bound = [i for i in term.bound if i != index]
        if size is not None:
            bound.append(fresh)
        return product(term.coefficient, factors, tuple(bound))

    def _spread(self, tensor: Tensor, axis: int, step: Dim) -> Tensor:
        if step == ONE:
            return tensor
        key = f"spread {tensor.name} {axis} {step}"
        if key not in self._made:
            self.module.need("spread")
            size = (tensor.shape[axis] - 1) * step + 1
            shape = (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :])
            name = self._fresh(f"{tensor.name.strip('_')}_spread")
            self.module.define(Tensor(name, shape))
            source = Name(self.module.python(tensor.name))
            self.steps.append(
                assign(name, call("_spread", source, integer(axis), self._size(step)))
            )
            self._made[key] = Access(self.module.tensor(name), ())
        return self._made[key].tensor


def reaches_outside(base: Access) -> bool:
    """Whether an entry may lie outside of its array."""
    return not all(e.within(d) for e, d in zip(base.index, base.tensor.shape, strict=True))


def singular_at_zero(base: Atom, exponent: Fraction) -> bool:
    """Whether a factor has no finite value where all entries that it reads are zero.

    With a number added to them (``log(1 + x)``) it is taken to have one.
    """
    match base:
        case Access():
            return exponent < 0
        case Function(name=name, args=(argument, *_)):
            return (exponent < 0 or name in SINGULAR_AT_ZERO) and _vanishes(argument)
        case Group(poly=poly):
            return (exponent < 0 or exponent.denominator != 1) and _vanishes(poly)
    return False


def _vanishes(body: Poly) -> bool:
    return all(any(True for _ in accesses(poly_of((term,)))) for term in body.terms)


Found = tuple[Affine, "Dim | None", frozenset[Atom]]


def backwards(term: Term, index: Index) -> Found | None:
    """An expression ``h - s*index`` of a term, the range it is kept in, and the atoms that do it.

    The range is None when the expression is zero.
    """
    for base, _ in term.factors:
        match base:
            case Access(tensor=tensor, index=entries):
                for size, entry in zip(tensor.shape, entries, strict=True):
                    if _against(entry, index, term) and not entry.within(size):
                        return entry, size, frozenset()
            case Iverson(relation="eq", value=value):
                for sign in (1, -1):
                    entry = value * sign
                    if _against(entry, index, term):
                        return entry, None, frozenset({base})
            case Iverson(relation="ge", value=value) if _against(value, index, term):
                pair = _upper(term, value, index)
                if pair is not None:
                    return value, pair[0], frozenset({base, pair[1]})
    return None


def _against(entry: Affine, index: Index, term: Term) -> bool:
    """Whether an expression is ``h - s*index`` or ``index - s*h`` with a free index h."""
    slope = entry.coefficient(index)
    others = [(p, c) for p, c in entry.terms if p != index]
    if slope == ZERO or any(isinstance(p, Label) for p, _ in others):
        return False
    free = [c for p, c in others if p not in term.bound]
    if slope == ONE:
        return any(nonnegative(-c - 1) for c in free)
    return nonnegative(-slope - 1) and ONE in free


def _upper(term: Term, value: Affine, index: Index) -> tuple[Dim, Iverson] | None:
    """The size R of ``value < R``, and the atom that says so."""
    for base, _ in term.factors:
        if isinstance(base, Iverson) and base.relation == "ge":
            total = (base.value + value).as_dim
            if total is not None and index in base.indices and base.value != value:
                return total + 1, base
    return None


def positions(module: ModuleNames, entry: Affine, order: Sequence[Index]) -> Tree:
    """An index expression as an integer array that broadcasts over the indices `order`."""

    def position(place: Index | Label) -> Tree:
        if isinstance(place, Index):
            return _spaced(call("np.arange", _python(module, place.size)), [place], order)
        inner = sorted(place.index_set, key=lambda i: order.index(i))
        source = Name(module.python(place.tensor.name))
        if not place.index:
            return source
        own = [e.as_index for e in place.index]
        if own == inner and [i.size for i in inner] == list(place.tensor.shape):
            return _spaced(source, inner, order)
        entries = [positions(module, e, order) for e in place.index]
        return call("getitem", source, Items(tuple(entries)))

    return affine_tree(entry, position, lambda dim: _python(module, dim))


def _python(module: ModuleNames, dim: Dim) -> Tree:
    return position_tree(dim_tree(dim), module)


def _spaced(tree: Tree, own: Sequence[Index], order: Sequence[Index]) -> Tree:
    """An array over `own` with axes of size one where `order` has further indices."""
    first = order.index(own[0])
    entries = [
        Slice(None, None, None) if index in own else Literal(None) for index in order[first:]
    ]
    if not any(isinstance(e, Literal) for e in entries):
        return tree
    return call("getitem", tree, Items(tuple(entries)))
