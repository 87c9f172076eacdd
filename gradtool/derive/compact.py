"""Closed forms: which cotangents keep a name, and which are written where they are used.

A cotangent keeps its name where the backward pass branches towards different inputs (``dS`` of a
layer feeds ``dX``, ``dW`` and ``db``), or where writing it out would repeat work.  Everything else
is written in place, and simplified with what the forward pass tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

from gradtool.derive.definitions import entry_of
from gradtool.derive.factor import nested
from gradtool.derive.knowledge import Knowledge
from gradtool.derive.match import matches
from gradtool.derive.reverse import Cotangents, is_joined
from gradtool.derive.simplify import simplified
from gradtool.derive.units import Choice, Contraction, Sum, Unit
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    MatrixFunction,
    Reshape,
    Scan,
    Statement,
    operands,
)
from gradtool.ir.index import Tensor
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    defined_at,
    poly_of,
    product,
)
from gradtool.ir.walk import replace_atoms
from gradtool.records import Struct, replace

_MAX_TERMS = 30
_NAME = 1.2  # what writing a named tangent in place must save

Direction: TypeAlias = Literal["backward", "forward", "whole"]
Inner: TypeAlias = Literal["all", "scaled", ""]

_OPEN: Mapping[Direction, Inner] = {"backward": "all", "forward": "scaled", "whole": ""}


class Closed(Struct, frozen=True):
    """The backward pass as few statements as read well.

    Attributes:
        statements: kept cotangents and the gradients, outputs first.
        gradients: the cotangent tensor of each wanted input; absent when it is zero.
        scaled: cotangents of named values that are written out and could keep their names.
    """

    statements: tuple[AnyStatement, ...]
    gradients: Mapping[str, Tensor]
    scaled: tuple[str, ...] = ()


def compact(
    found: Cotangents,
    wanted: tuple[str, ...],
    *,
    staged: bool = False,
    direction: Direction = "backward",
    keep: frozenset[str] = frozenset(),
) -> Closed:
    """Choose names and simplify; with `staged` every named value keeps its cotangent.

    A sweep in forward mode has tangents in the place of cotangents; none of them branches towards
    an input.  With "whole" no tangent keeps a name: what is wanted is written as one formula.
    The cotangents in `keep` keep their names in any case.

    Raises:
        UnsupportedError: one formula would be too long.
    """
    return _Compact(found, wanted, staged, direction, keep).run()


class _Compact:
    def __init__(
        self,
        found: Cotangents,
        wanted: tuple[str, ...],
        staged: bool,
        direction: Direction,
        keep: frozenset[str],
    ) -> None:
        self.direction = direction
        self.found = found
        self.keep = keep
        self.graph: Graph = found.graph
        self.knowledge = Knowledge.of_graph(found.graph)
        self.staged = staged
        self.wanted = wanted
        self.raw = {s.out.name: s for s in found.statements}
        self.order = {s.out.name: k for k, s in enumerate(found.statements)}
        self.forward = {d.name: f for f, d in found.of.items()}
        self.targets = self._targets()
        # Values of the forward pass whose own cotangents are wanted.
        self.asked = {
            found.of[n].name for n in wanted if n in found.of and n in self.graph.definitions
        }
        self.kept: dict[str, AnyStatement] = {}
        self.owned: dict[str, Poly] = {}

    def run(self) -> Closed:
        gradients = {name: self.found.of[name] for name in self.wanted if name in self.found.of}
        for cotangent in gradients.values():
            self._keep(cotangent.name)
        if self.direction != "whole":
            self._named_again()
        used = {cotangent.name for cotangent in gradients.values()}
        frontier = set(used)
        while frontier:
            frontier = {
                n
                for name in frontier
                if name in self.kept
                for n in operands(self.kept[name])
                if n in self.kept
            } - used
            used |= frontier
        ordered = sorted(
            (s for s in self.kept.values() if s.out.name in used),
            key=lambda s: self.order[s.out.name],
        )
        return Closed(tuple(ordered), gradients, tuple(self._scaled()))

    def _scaled(self) -> Iterator[str]:
        """Scaled cotangents of named values (``dxhat = dY * gamma``) that are written out."""
        for name, statement in self.raw.items():
            if not isinstance(statement, Statement) or name in self.kept:
                continue
            own = self.owned.get(name)
            term = None if own is None else own.single
            if term is None or term.bound or len(term.factors) < 2:
                continue
            if not self._named(name) and self.forward.get(name) not in self.graph.hints:
                continue
            if not any(isinstance(b, Symbol | Size) for b, _ in term.factors):
                yield name

    def _named_again(self) -> None:
        """A scaled cotangent that was written out often is kept."""
        cost = self.knowledge.cost
        for name in self._scaled():
            statement, own = self.raw[name], self.owned[name]
            assert isinstance(statement, Statement)
            definition = replace(statement, body=own)
            before = {
                other: kept
                for other, kept in self.kept.items()
                if isinstance(kept, Statement) and not is_joined(kept)
            }
            folded = {
                other: replace(kept, body=with_name(kept.body, definition, self.knowledge))
                for other, kept in before.items()
            }
            saved = sum(cost(before[other].body) - cost(folded[other].body) for other in before)
            if saved > cost(own) + 0.4:
                self.kept.update(folded)
                self.kept[name] = definition

    # -- which inputs a value leads to ----------------------------------------------------

    def _targets(self) -> Mapping[str, frozenset[str]]:
        def own(name: str) -> frozenset[str]:
            return frozenset((name,)) if name in self.wanted else frozenset()

        reach = {t.name: own(t.name) for t in self.graph.inputs}
        for statement in self.graph.statements:
            name = statement.out.name
            reach[name] = own(name).union(*(reach.get(n, ()) for n in operands(statement)))
        return reach

    def _branches(self, cotangent: str, products: bool = False) -> bool:
        """Whether a value's operands lead to different inputs.

        With `products` also whether it is a product of two of them: ``Q @ K.T`` of one input.
        """
        if self.direction != "backward":
            return False
        name = self.forward.get(cotangent)
        statement = None if name is None else self.graph.definitions.get(name)
        if statement is None:
            return False
        leading = [n for n in operands(statement) if self.targets.get(n)]
        if len({self.targets[n] for n in leading}) > 1:
            return True
        if products and len(leading) > 1 and _multiplies(statement, leading):
            return True
        if len(leading) != 1 or leading[0] not in self.found.of:
            return False
        # A value that is passed on almost unchanged (scaled, shifted) branches where that does.
        onward = self.found.of[leading[0]].name
        raw = self.raw.get(onward)
        return (
            isinstance(raw, Statement)
            and self._cheap(raw.body, branching=False)
            and self._branches(onward, products)
        )

    def _named(self, cotangent: str) -> bool:
        name = self.forward.get(cotangent)
        return name is not None and not self.knowledge.hidden(name)

    # -- statements -----------------------------------------------------------------------

    def _keep(self, name: str) -> None:
        """Resolve a cotangent that stays, and everything it needs."""
        if name in self.kept or name not in self.raw:
            return
        statement = self.raw[name]
        self.kept[name] = statement  # reserves the place
        if isinstance(statement, Statement) and is_joined(statement):
            for block in sorted(operands(statement)):
                self._keep(block)
        elif isinstance(statement, Statement):
            self.kept[name] = self._resolved(replace(statement, body=self._own(statement)))
        elif isinstance(statement, Reshape):
            self._keep(statement.operand.name)
        elif isinstance(statement, MatrixFunction):
            for operand in statement.operands:
                self._keep(operand.name)
        elif isinstance(statement, Scan):
            for source in sorted(operands(statement)):
                self._keep(source)

    def _resolved(self, statement: Statement, *, inner: Inner = "") -> Statement:
        """A statement in terms of kept cotangents.

        With `inner` a product of matrices that has a name stays open ("scaled": only where it is
        all there is, as in the ``-zdot`` of ``1 - z``): whether it is written out is decided
        where it is known how often it is needed.
        """
        body = simplified(statement.body, self.knowledge)
        settled: set[str] = set()
        while True:
            name = self._latest(body, settled)
            if name is None:
                return replace(statement, body=body)
            opened = inner == "all" or (inner == "scaled" and _scales(body))
            if opened and self._named(name) and self._contracts(name):
                settled.add(name)
                continue
            inlined = self._inlined(body, name)
            if inlined is None:
                settled.add(name)
                self._keep(name)
            else:
                body = inlined

    def _latest(self, body: Poly, settled: set[str]) -> str | None:
        """The cotangent nearest to the inputs that is not decided yet."""
        present = [name for name in body.mentions if name in self.raw]
        open_names = [n for n in present if n not in settled]
        return max(open_names, key=lambda n: self.order[n], default=None)

    def _inlined(self, body: Poly, name: str) -> Poly | None:
        """The body with a cotangent written out, or None when it keeps its name."""
        statement = self.raw[name]
        if not isinstance(statement, Statement) or is_joined(statement):
            return None
        if name in self.keep:
            return None
        if name in self.asked:
            return None  # it is printed anyway
        own = self._own(statement)
        if self.staged and self._named(name) and own.mentions:
            return None  # one line for every line of the forward pass
        if self.direction == "whole":
            return self._written_out(body, replace(statement, body=own))
        if name in self.found.begun and len(own.terms) > 1:
            return None  # what reaches a step from outside and from the next step: dh
        # A sum that two products need is written once; a selection is simple enough.
        swaps = _swaps_axes(own, statement)
        branches = self._branches(name, products=swaps or len(own.terms) > 1)
        if branches and swaps:
            return None  # dz = dheads.reshape(…).transpose(…), which two products need
        if self._cheap(own, branches and self._named(name)) or (
            self._masked(own) and not self._named(name) and not self._feeds_contraction(name)
        ):
            short = simplified(
                _substituted(body, name, replace(statement, body=own)), self.knowledge
            )
            cost = self.knowledge.cost
            if (
                self._named(name)
                and not branches
                and occurrences(body, name) > 1
                and (cost(short) >= cost(body) + cost(own))
            ):
                return None  # written out it repeats itself: layer norm's dxhat
            return short
        if name in self.kept or branches or (self.staged and self._named(name)):
            return None
        count = occurrences(body, name)
        written = _substituted(body, name, replace(statement, body=own))
        uses = sum(
            1
            for term in body.terms
            for base, _ in term.factors
            if isinstance(base, Access) and base.tensor.name == name
        )
        naive = len(body.terms) - uses + uses * len(own.terms)
        if len(written.terms) > _MAX_TERMS:
            return None
        short = simplified(written, self.knowledge)
        backward = self.direction == "backward"
        if backward and count <= 1 and len(short.terms) <= max(8, naive):
            return short
        contracts = self._named(name) and any(t.bound for t in own.terms)
        if contracts and (backward or uses > 1) and len(short.terms) >= naive:
            return None  # a product of matrices that is needed twice: attention's dP
        cost = self.knowledge.cost
        # Terms that cancel make a closed form; an unnamed value is worth a name only for much.
        bonus = 2.0 if not self._named(name) or len(short.terms) < naive else 0.0
        if not backward and self._named(name):
            bonus -= _NAME  # a chain of named tangents reads as the forward pass does
        return short if cost(short) < cost(body) + cost(own) + bonus else None

    def _written_out(self, body: Poly, statement: Statement) -> Poly:
        written = _substituted(body, statement.out.name, statement)
        if len(written.terms) > _MAX_TERMS:
            raise UnsupportedError(
                f"the derivative as one formula: it has {len(written.terms)} terms",
                "--jvp and --hvp give its product with a direction, in steps",
            )
        return simplified(written, self.knowledge)

    def _own(self, statement: Statement) -> Poly:
        """A cotangent in terms of kept ones and of named products of matrices."""
        name = statement.out.name
        if name not in self.owned:
            self.owned[name] = self._resolved(statement, inner=_OPEN[self.direction]).body
        return self.owned[name]

    def _contracts(self, name: str) -> bool:
        """Whether a cotangent is a sum of products of matrices."""
        statement = self.raw[name]
        if not isinstance(statement, Statement) or is_joined(statement):
            return False
        return any(term.bound for term in self._own(statement).terms)

    def _cheap(self, body: Poly, branching: bool) -> bool:
        """One array, scaled: by numbers always, by smaller arrays unless it is shared widely."""
        if not body.terms:
            return True
        term = body.single
        if term is None or term.bound:
            return False
        arrays = [b for b, _ in term.factors if not isinstance(b, Symbol | Size | Number)]
        if len(arrays) < 2:
            return not any(isinstance(b, Function | Group) for b in arrays)
        if branching or self.staged or not all(isinstance(b, Access) for b in arrays):
            return False
        ranks = sorted(len(b.indices) for b in arrays)
        return len(arrays) == 2 and ranks[0] < ranks[1]

    def _masked(self, body: Poly) -> bool:
        """A cotangent under a condition: ``dA * (Z > 0)``."""
        term = body.single
        if term is None or term.bound:
            return False
        arrays = [b for b, _ in term.factors if not isinstance(b, Symbol | Size | Number)]
        return len(arrays) <= 3 and all(isinstance(b, Access | Compare) for b in arrays)

    def _feeds_contraction(self, cotangent: str) -> bool:
        """Whether a value was computed by sums of products, directly or by a shift of them."""
        name = self.forward.get(cotangent)
        statement = None if name is None else self.graph.definitions.get(name)
        if not isinstance(statement, Statement):
            return statement is not None
        if any(term.bound for term in statement.body.terms):
            return True
        return any(
            self._feeds_contraction(self.found.of[n].name)
            for n in operands(statement)
            if n in self.found.of and self.knowledge.hidden(n)
        )


def _multiplies(statement: AnyStatement, operands: Sequence[str]) -> bool:
    """Whether a value is one product of these, summed: ``Q @ K.T``."""
    term = statement.body.single if isinstance(statement, Statement) else None
    return term is not None and bool(term.bound) and term.mentions >= {*operands}


def _scales(body: Poly) -> bool:
    """A number times one array: ``-zdot``."""
    term = body.single
    if term is None or term.bound:
        return False
    arrays = [b for b, _ in term.factors if not isinstance(b, Symbol | Size | Number)]
    return len(arrays) == 1 and isinstance(arrays[0], Access)


def _swaps_axes(body: Poly, statement: Statement) -> bool:
    """An array with its axes in another order, where `.T` does not say it."""
    term = body.single
    if term is None or len(statement.free) < 3 or term.coefficient != 1 or len(term.factors) != 1:
        return False
    base = term.factors[0][0]
    if not isinstance(base, Access):
        return False
    order = [entry.as_index for entry in base.index]
    return order != [*statement.free] and {*order} == {*statement.free}


def with_name(body: Poly, definition: Statement, knowledge: Knowledge) -> Poly:
    """Every product that is the definition's body, as the definition's tensor."""
    (pattern,) = definition.body.terms
    variables = frozenset(definition.free)
    result: list[Term] = []
    for term in body.terms:
        current = term
        for bindings, rest in matches(pattern.factors, variables, term.factors):
            entry = entry_of(definition, bindings)
            if entry is not None:
                kept = knowledge.still_needed(term, rest)
                current = product(
                    term.coefficient / pattern.coefficient,
                    (*rest, *kept, (entry, Fraction(1))),
                    term.bound,
                )
                break
        result.append(current)
    return poly_of(result)


def occurrences(body: Poly, name: str) -> int:
    """How often a tensor stands in an expression when common factors are pulled out."""

    def in_unit(unit: Unit) -> int:
        match unit:
            case Sum():
                return in_sum(unit)
            case Choice(yes=yes, no=no):
                return in_sum(yes) + in_sum(no)
            case Contraction(term=term):
                return sum(
                    1 for b, _ in term.factors if isinstance(b, Access) and b.tensor.name == name
                )
            case Access(tensor=tensor):
                return int(tensor.name == name)
        return 0

    def in_sum(total: Sum) -> int:
        return sum(in_unit(unit) for p in total.products for unit, _ in p.factors)

    return in_sum(nested(body)) if body.terms else 0


def _substituted(body: Poly, name: str, statement: Statement) -> Poly:
    def change(base: Atom) -> Poly | None:
        if not isinstance(base, Access) or base.tensor.name != name:
            return None
        return defined_at(statement.body, statement.free, base.index)

    return replace_atoms(body, change, (name,))
