"""Conditions that keep a value finite, and must stand where that value does.

``where(X > 0, Z / X, 0)`` is finite at ``X = 0``, and so is its derivative.  A product with a 0/1
factor is zero in the normal form whatever the other factors are, but in NumPy ``0 * inf`` is nan:
there a condition is only as good as the ``where`` that it stands in.  So a condition may not be
left out because another factor is zero where it is false, and may not be a factor, as long as
something else in the product need not be finite on that side.

Only what a ``where`` guards is looked at.  A value that an output needs on both sides (the
normalised input of a batch norm under a relu) has to be finite for the forward pass already.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from gradtool.derive.truths import is_condition
from gradtool.ir.graph import Graph, MatrixFunction, Scan, operands
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Factor,
    Function,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    atom,
)
from gradtool.ir.tree import Call, Name, Tree, call, children, integer, names, rebuild
from gradtool.ir.tree import Number as Numeral
from gradtool.ir.walk import accesses
from gradtool.records import Struct, replace

# Not finite, or without a finite slope, at some finite arguments; exp overflows.
_SINGULAR = frozenset(
    (
        *("log", "log2", "log10", "log1p", "sqrt", "norm", "std", "exp", "expm1", "sinh", "cosh"),
        *("tan", "inv", "solve", "cholesky", "det"),
    )
)


class Guards(Struct, frozen=True):
    """What the conditions of a forward pass guard.

    Attributes:
        fragile: values that only one side of a condition needs, and that need not be finite on
            the other.
        under: values of which something that is singular is guarded: the X of the quotient above.
        masks: arrays of truth values.
    """

    fragile: frozenset[str]
    under: frozenset[str]
    masks: frozenset[str]

    @staticmethod
    def of_graph(graph: Graph) -> Guards:
        """The guards of a graph, kept with it."""
        return graph.once(_guards)

    @property
    def any(self) -> bool:
        """Whether there is anything to guard."""
        return bool(self.fragile or self.under)

    def unsafe(self, factors: Iterable[Factor]) -> bool:
        """Whether a product may have a factor that is not finite where a condition is false."""
        return self.any and any(
            self._unsafe(base, exponent < 0 or exponent.denominator != 1)
            for base, exponent in factors
        )

    def _unsafe(self, base: Atom, singular: bool) -> bool:
        if isinstance(base, Symbol | Size | Number | Iverson | Compare):
            return False
        if isinstance(base, Function) and base.name in (*_SINGULAR, "pow"):
            singular = True
        mentioned = {a.tensor.name for a in accesses(atom(base))}
        risky = self.fragile | self.under if singular else self.fragile
        return not mentioned.isdisjoint(risky)

    def restored(self, tree: Tree) -> Tree:
        """A formula in which conditions guard what is not finite where they are false."""
        if not self.any:
            return tree
        if isinstance(tree, Call) and tree.op in ("mul", "div"):
            found: list[Tree] = []
            rest = self._without_conditions(tree, found)
            # A `where` in there guards against its own condition only.
            if found and rest is not None and any(self._may_fail(part) for part, _ in _parts(rest)):
                rest = self.restored(rest)
                for condition in found:
                    rest = _where(condition, rest)
                return rest
        return rebuild(tree, self.restored)

    def _without_conditions(self, tree: Tree, found: list[Tree]) -> Tree | None:
        """A product without its conditions, which are added to `found`; None for no factor."""
        if isinstance(tree, Call) and tree.op == "mul":
            left, right = (self._without_conditions(part, found) for part in tree.args)
            if left is None or right is None:
                return left or right
            return Call("mul", (left, right), tree.kwargs)
        if is_condition(tree, self.masks) or self._is_opposite(tree):
            found.append(tree)
            return None
        if isinstance(tree, Call) and tree.op == "div":
            above = self._without_conditions(tree.args[0], found)
            return Call("div", (above or integer(1), tree.args[1]), tree.kwargs)
        if isinstance(tree, Call) and tree.op == "neg":
            inner = self._without_conditions(tree.args[0], found)
            return call("neg", inner or integer(1))
        return tree

    def _is_opposite(self, tree: Tree) -> bool:
        """``1 - M`` of a condition M."""
        return (
            isinstance(tree, Call)
            and tree.op == "sub"
            and tree.args[0] == integer(1)
            and is_condition(tree.args[1], self.masks)
        )

    def _may_fail(self, part: Tree) -> bool:
        """Whether a part of a formula is something that a condition guards in the forward pass."""
        if isinstance(part, Name):
            return part.id in self.fragile
        return not self.under.isdisjoint(_singular_in(part))

    def beside(self, derivatives: Mapping[str, Tensor]) -> Guards:
        """The same for formulas in which the derivatives of these values have names."""
        own = {derivatives[name].name for name in self.fragile & derivatives.keys()}
        return replace(self, fragile=self.fragile | own)

    def also(self, name: str) -> Guards:
        """The same with one more fragile value."""
        return replace(self, fragile=self.fragile | {name})

    def bare(self, tree: Tree) -> bool:
        """Whether a formula has such a part outside every ``where``.

        In a comparison what is infinite is larger or smaller than anything else, and no nan.
        """
        if is_condition(tree, self.masks):
            return False
        if isinstance(tree, Call) and tree.op == "where":
            return self.bare(tree.args[0])
        return self._may_fail(tree) or any(map(self.bare, children(tree)))


def _where(condition: Tree, value: Tree) -> Tree:
    if isinstance(condition, Call) and condition.op == "sub":
        return call("where", _both(condition.args[1]), integer(0), value)
    return call("where", condition, value, integer(0))


def _both(condition: Tree) -> Tree:
    """A product of conditions as one condition."""
    if isinstance(condition, Call) and condition.op == "mul":
        return call("logical_and", *map(_both, condition.args))
    return condition


def _guards(graph: Graph) -> Guards:
    masks = frozenset(n for n, tensor in graph.tensors.items() if tensor.kind == "bool")
    trees = {s.out.name: s.tree for s in graph.statements if not isinstance(s, Scan)}
    fragile: set[str] = set()
    under: set[str] = set()
    for kind in (_BRANCHES, _BOUNDS):
        if any(kind.chooses(tree) for tree in trees.values()):
            found = _guarded_by(kind, graph, trees)
            fragile |= found[0]
            under |= found[1]
    return Guards(frozenset(fragile), frozenset(under), masks)


class _Chooser(Struct, frozen=True):
    """Words that give one of several values, and what the values that they do not give may be.

    A `where` gives nothing of a branch that is nan; a maximum is nan with it, but not infinite.

    Attributes:
        words: with the number of arguments before the values.
        singular: functions that need not be finite.
        quotients: whether quotients and powers need not be, either.
    """

    words: Mapping[str, int]
    singular: frozenset[str]
    quotients: bool

    def chooses(self, tree: Tree) -> bool:
        return isinstance(tree, Call) and (
            tree.op in self.words or any(map(self.chooses, children(tree)))
        )

    def parts(self, tree: Tree, guarded: bool = False) -> Iterator[tuple[Tree, bool]]:
        """Every part of a formula, and whether it stands in a value that may not be given."""
        yield tree, guarded
        if isinstance(tree, Call) and tree.op in self.words:
            first = self.words[tree.op]
            for place, argument in enumerate(tree.args):
                yield from self.parts(argument, guarded or place >= first)
            return
        for child in children(tree):
            yield from self.parts(child, guarded)

    def singular_in(self, tree: Tree) -> frozenset[str]:
        """The names in what need not be finite, for this part alone."""
        if not self.quotients and not (isinstance(tree, Call) and tree.op in self.singular):
            return frozenset()
        return _singular_in(tree)


_BRANCHES = _Chooser({"where": 1}, _SINGULAR, True)
_BOUNDS = _Chooser(
    {"maximum": 0, "minimum": 0, "relu": 0, "clip": 0},
    frozenset(("exp", "expm1", "sinh", "cosh")),
    False,
)


def _guarded_by(
    kind: _Chooser, graph: Graph, trees: Mapping[str, Tree]
) -> tuple[set[str], set[str]]:
    """The fragile values, and those of which something singular is guarded."""
    visible = partial(_opened, graph=graph, known={})
    needed = set(graph.outputs)  # on both sides of every condition
    for statement in reversed(graph.statements):
        tree = trees.get(statement.out.name)
        if tree is not None and not kind.quotients:
            needed |= visible(_divisors(tree))  # of two that are infinite, the quotient is nan
        if statement.out.name not in needed:
            continue
        if tree is None or not kind.chooses(tree):
            needed |= operands(statement)
            continue
        for part, guarded in kind.parts(tree):
            if isinstance(part, Name) and not guarded:
                needed.add(part.id)
            if isinstance(part, Call) and part.op in kind.words:
                values = [visible(names(value)) for value in part.args[kind.words[part.op] :]]
                for value, other in itertools.combinations(values, 2):
                    needed |= value & other
    guarded_names: set[str] = set()
    open_names: set[frozenset[str]] = set()
    fragile: set[str] = set()
    singular: list[frozenset[str]] = []
    written = _written(graph, trees)
    for statement in graph.statements:
        name = statement.out.name
        tree = trees.get(name)
        if tree is None or (name not in written and not kind.quotients):
            continue  # the exponentials of a softmax are nowhere but in it
        of_tensors = isinstance(statement, MatrixFunction) and kind.quotients
        for part, guarded in kind.parts(tree):
            read = kind.singular_in(part) & graph.tensors.keys()
            if not read:
                continue
            if guarded or name not in needed:
                singular.append(frozenset(read))
                if not guarded:
                    fragile.add(name)
            else:
                open_names.add(frozenset(read))
        if name not in needed and (of_tensors or names(tree) & fragile):
            fragile.add(name)
    for read in singular:
        if read not in open_names:
            guarded_names |= visible(read)
    return fragile, guarded_names


def _written(graph: Graph, trees: Mapping[str, Tree]) -> set[str]:
    """The values that formulas mention: a word is no formula of what it is made from."""
    found = set(graph.outputs)
    for statement in reversed(graph.statements):
        name = statement.out.name
        if not statement.hidden or name in found:
            found |= names(trees[name]) if name in trees else operands(statement)
    return found | {s.out.name for s in graph.statements if not s.hidden}


def _divisors(tree: Tree) -> frozenset[str]:
    own = frozenset(names(tree.args[1])) if isinstance(tree, Call) and tree.op == "div" else ()
    return frozenset(own).union(*map(_divisors, children(tree)))


def _parts(tree: Tree) -> Iterator[tuple[Tree, bool]]:
    """Every part of a formula, and whether it stands in a branch of a ``where``."""
    return _BRANCHES.parts(tree)


def _singular_in(tree: Tree) -> frozenset[str]:
    """The names in what a quotient divides by, a logarithm is of, …; for this part alone."""
    if not isinstance(tree, Call):
        return frozenset()
    if tree.op == "div":
        return frozenset(names(tree.args[1]))
    if tree.op == "pow":
        match tree.args[1]:
            case Numeral(value=value) if value >= 0 and value.denominator == 1:
                return frozenset()
        return frozenset(names(tree))
    if tree.op in _SINGULAR:
        return frozenset(names(tree))
    return frozenset()


def _opened(
    read: Collection[str], graph: Graph, known: dict[str, frozenset[str]]
) -> frozenset[str]:
    """Values, and those that unnamed ones among them are made of: they are printed instead."""
    found = frozenset(read)
    for name in read:
        if name not in known:
            statement = graph.definitions.get(name)
            if statement is not None and statement.hidden:
                known[name] = _opened(operands(statement), graph, known)
            else:
                known[name] = frozenset()
        found |= known[name]
    return found


class Guarded(Struct, frozen=True):
    """The 0/1 factors without which no term of a cotangent stands, in the indices of its value."""

    free: tuple[Index, ...]
    guards: tuple[Atom, ...]

    def at(self, index: Sequence[Affine | Index]) -> tuple[Atom, ...]:
        """The same at an entry."""
        values = {
            i: entry if isinstance(entry, Affine) else Affine.of(entry)
            for i, entry in zip(self.free, index, strict=True)
        }
        return tuple(guard.substitute(values) for guard in self.guards)


def guarded(body: Poly, free: tuple[Index, ...], known: Mapping[str, Guarded]) -> Guarded:
    """What every term of a sum stands under; `known` are those of other cotangents."""
    shared: set[Atom] | None = None
    for term in body.terms:
        own = [base for base, _ in term.factors if base.is_condition]
        for base, exponent in term.factors:
            if isinstance(base, Access) and exponent > 0 and base.tensor.name in known:
                own += known[base.tensor.name].at(base.index)
        outer = {base for base in own if base.indices.isdisjoint(term.bound)}
        shared = outer if shared is None else shared & outer
    return Guarded(free, tuple(sorted(shared or (), key=lambda base: base.key)))
