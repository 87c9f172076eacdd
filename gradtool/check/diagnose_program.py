"""A layer as one program, forward then backward, that can be evaluated with one line changed.

The derivation gives the same backward pass in three grains: closed forms as a textbook prints
them, one line per named value, and one line per operation.  A mistake is a small change of one of
these lines, since people write their code in one of these grains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from gradtool.check.measure import Point
from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.raising import raised
from gradtool.emit.text import text
from gradtool.ir.dims import ONE
from gradtool.ir.graph import AnyStatement, Graph, Scan, Statement, operands
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import Access, Atom, Poly, Size, Symbol, Term, poly_of, product
from gradtool.ir.tree import Call, Name, Number, Tree, call, children, names, rebuild, replace_names
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import Setting, evaluate
from gradtool.numeric.sample import setting_for
from gradtool.records import Struct, field, replace

Array = np.ndarray[Any, Any]

_MOST_PATHS = 12
_MOST_KEPT = 20_000  # entries of the value of a term that is remembered


class Written(Struct, frozen=True):
    """Lines of array expressions that end in a gradient; `cost` tells how unusual they are."""

    gradient: str
    lines: tuple[tuple[str, Tree], ...]
    cost: float = 0.0


class Grain(Struct, frozen=True, dict=True):
    """One way to write the pass.

    Attributes:
        name: "closed", "staged" or "single".
        statements: forward and backward, in an order that can be run.
        first: where the backward pass begins.
        gradients: the tensor that holds the gradient of a variable.
        shown: how hidden tensors are printed.
    """

    name: str
    statements: tuple[AnyStatement, ...]
    first: int
    gradients: Mapping[str, str]
    shown: Mapping[str, Tree]

    def place(self, tensor: str) -> int | None:
        """Where a tensor is defined."""
        for place, statement in enumerate(self.statements):
            if statement.out.name == tensor:
                return place
        return None

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor, the given ones included."""
        found = {s.out.name: s.out for s in self.statements}
        for statement in self.statements:
            if isinstance(statement, Statement):
                for access in accesses(statement.body):
                    found.setdefault(access.tensor.name, access.tensor)
        return found

    @cached_property
    def upstream(self) -> frozenset[str]:
        made = {s.out.name for s in self.statements}
        return frozenset(
            n for n in self.tensors if n not in made and n[:1] == "d" and n[1:] in self.tensors
        )

    @cached_property
    def cotangents(self) -> frozenset[str]:
        return self.upstream | {s.out.name for s in self.statements[self.first :]}

    def written(self, variable: str) -> Iterable[Written]:
        """The lines that lead to a gradient, in several ways to write a sum."""
        tensor = self.gradients.get(variable)
        if tensor is None or self.place(tensor) is None:
            return
        lines: list[tuple[str, Tree]] = []
        sums: list[tuple[int, Statement]] = []
        for place in sorted(self.leads_to(tensor)):
            statement = self.statements[place]
            if place < self.first:
                continue
            if not isinstance(statement, Statement):
                lines.append((statement.out.name, statement.tree))
                continue
            if statement.reduce != "sum":
                return
            try:
                lines.append((statement.out.name, raised(statement.body, statement.free)))
            except Exception:  # no array text: these lines are left to index notation
                return
            if len(statement.body.terms) > 1:
                sums.append((len(lines) - 1, statement))
        yield Written(tensor, tuple(lines))
        for number, statement in sums:
            for cost, tree in _other_writings(statement):
                changed = (*lines[:number], (statement.out.name, tree), *lines[number + 1 :])
                yield Written(tensor, changed, cost)

    @cached_property
    def reads(self) -> tuple[frozenset[str], ...]:
        """What each statement reads."""
        return tuple(operands(statement) for statement in self.statements)

    @cached_property
    def _paths(self) -> dict[str, tuple[int, ...]]:
        return {}

    def leads_to(self, tensor: str) -> tuple[int, ...]:
        """The statements that take part in a tensor, in order."""
        if tensor not in self._paths:
            wanted, found = {tensor}, []
            for place in range(len(self.statements) - 1, -1, -1):
                if self.statements[place].out.name in wanted:
                    found.append(place)
                    wanted |= self.reads[place]
            self._paths[tensor] = tuple(reversed(found))
        return self._paths[tensor]


class Derived(Struct, frozen=True):
    """The grains of a layer, coarsest first.

    `memory` keeps what is the same for every file that is checked against the layer.
    """

    graph: Graph
    grains: tuple[Grain, ...]
    memory: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def has_loops(self) -> bool:
        return any(isinstance(s, Scan) for grain in self.grains for s in grain.statements)

    def remembered(self, what: str, variable: str, make: Callable[[], Any]) -> Any:
        """The value of `make`, made once for each variable."""
        if (what, variable) not in self.memory:
            self.memory[what, variable] = make()
        return self.memory[what, variable]


def derived(graph: Graph) -> Derived:
    """Derive a layer in every grain.

    Raises:
        UnsupportedError: a construct that cannot be derived.
    """
    closed, staged = derive(graph), derive(graph, staged=True)
    grains = [_grain("closed", closed, closed.closed.statements)]
    for name, statements in (
        ("staged", staged.closed.statements),
        ("single", staged.cotangents.statements),
    ):
        grain = _grain(name, staged, statements)
        if all(g.statements != grain.statements for g in grains):
            grains.append(grain)
    grains += _cuts(_forward(closed), staged)
    grains += _without(staged)
    grains.append(_paths(grains[0], staged))
    return Derived(_forward(closed), tuple(grains))


def _forward(derivation: Derivation) -> Graph:
    """The forward pass with what its backward pass in index notation reads.

    A step of a loop there computes its values again; the printed one keeps them.
    """
    found = derivation.cotangents
    return found.graph if found.turned else derivation.graph


def _cuts(graph: Graph, staged: Derivation) -> Iterable[Grain]:
    """Line by line down to one value, closed forms from there on, as people write who know them.

    Right only for variables whose every path leads through that value; see `Evidence.grains`.
    """
    backward = staged.closed.statements
    shown = _shown(staged)
    for place, statement in enumerate(graph.statements):
        cotangent = staged.cotangents.of.get(statement.out.name)
        if statement.hidden or cotangent is None or statement.out.name in graph.outputs:
            continue
        if cotangent.name not in {s.out.name for s in backward} or not statement.out.shape:
            continue
        part = replace(
            graph, statements=graph.statements[: place + 1], outputs=(statement.out.name,)
        )
        try:
            below = derive(part, tuple(n for n in graph.wanted if n in staged.cotangents.of))
        except Exception:  # a part that cannot stand alone is no grain
            continue
        head: list[AnyStatement] = []
        for line in backward:
            head.append(line)
            if line.out.name == cotangent.name:
                break
        known = {s.out.name for s in head}
        tail = [s for s in below.closed.statements if s.out.name not in known]
        extra = [s for s in below.graph.statements if s.out.name not in graph.tensors]
        gradients = {n: t.name for n, t in below.closed.gradients.items()}
        yield Grain(
            f"below {statement.out.name}",
            (*graph.statements, *extra, *head, *tail),
            len(graph.statements) + len(extra),
            gradients,
            {**shown, **_shown(below)},
        )


def _without(staged: Derivation) -> Iterable[Grain]:
    """Line by line with one value left out: not everybody gives every value a name."""
    lines = staged.closed.statements
    gradients = {t.name for t in staged.closed.gradients.values()}
    for place, line in enumerate(lines):
        if not isinstance(line, Statement) or line.out.name in gradients or line.reduce != "sum":
            continue

        def change(base: Atom, inner: Statement = line) -> Poly | None:
            if not isinstance(base, Access) or base.tensor.name != inner.out.name:
                return None
            return inner.body.substitute(dict(zip(inner.free, base.index, strict=True)))

        made: list[AnyStatement] = []
        for other in (*lines[:place], *lines[place + 1 :]):
            if isinstance(other, Statement) and line.out.name in operands(other):
                body = replace_atoms(other.body, change)
                if len(body.terms) > _MOST_PATHS:
                    break
                other = replace(other, body=_with_roots(body, staged.graph))
            elif line.out.name in operands(other):
                break
            made.append(other)
        else:
            yield _grain(f"without {line.out.name}", staged, made)


def _paths(closed: Grain, staged: Derivation) -> Grain:
    """Every gradient as a plain sum over paths, nothing simplified."""
    raw = {s.out.name: s for s in staged.cotangents.statements if isinstance(s, Statement)}
    # A cotangent that is no sum, such as a reshaped one, cannot be written out.
    lines = {s.out.name for s in staged.cotangents.statements}
    made: list[AnyStatement] = []
    for name in dict.fromkeys(closed.gradients.values()):
        statement = raw.get(name)
        body = None if statement is None else _expanded(statement.body, raw)
        body = None if body is None else _with_roots(body, staged.graph)
        if statement is not None and body is not None:
            path = replace(statement, body=body)
            if lines.isdisjoint(operands(path)):
                made.append(path)
    gradients = {v: t for v, t in closed.gradients.items() if t in {s.out.name for s in made}}
    return Grain(
        "paths", (*closed.statements[: closed.first], *made), closed.first, gradients, closed.shown
    )


def _with_roots(body: Poly, graph: Graph) -> Poly:
    """Powers of what a named value is a power of, as powers of that: ``std**-3``."""
    roots: dict[str, tuple[Statement, Access, Fraction]] = {}
    for statement in graph.statements:
        if isinstance(statement, Statement) and not statement.hidden:
            term = statement.body.single
            if term is None or term.bound or term.coefficient != 1 or len(term.factors) != 1:
                continue
            base, exponent = term.factors[0]
            plain = isinstance(base, Access) and all(
                e.as_index == i for e, i in zip(base.index, statement.free, strict=False)
            )
            if isinstance(base, Access) and plain and len(base.index) == len(statement.free):
                roots[base.tensor.name] = statement, base, exponent

    def factor(base: Atom, exponent: Fraction) -> tuple[Atom, Fraction]:
        if isinstance(base, Access) and base.tensor.name in roots:
            statement, _, power = roots[base.tensor.name]
            if exponent.denominator != 1:
                return Access(statement.out, base.index), exponent / power
        return base, exponent

    return poly_of(
        product(t.coefficient, [factor(b, e) for b, e in t.factors], t.bound) for t in body.terms
    )


def _expanded(body: Poly, raw: Mapping[str, Statement]) -> Poly | None:
    """The body with every cotangent written out; None when that gets too long."""

    def change(base: Atom) -> Poly | None:
        if not isinstance(base, Access) or base.tensor.name not in raw:
            return None
        inner = raw[base.tensor.name]
        return inner.body.substitute(dict(zip(inner.free, base.index, strict=True)))

    for _ in range(40):
        new = replace_atoms(body, change)
        if len(new.terms) > _MOST_PATHS:
            return None
        if new == body:
            return body
        body = new
    return None


def _grain(name: str, derivation: Derivation, backward: Iterable[AnyStatement]) -> Grain:
    graph = _forward(derivation)
    gradients = {n: t.name for n, t in derivation.cotangents.of.items() if n in graph.wanted}
    return Grain(
        name,
        (*graph.statements, *backward),
        len(graph.statements),
        gradients,
        _shown(derivation),
    )


def _shown(derivation: Derivation) -> dict[str, Tree]:
    """Hidden values in terms of named ones, and the names of hidden cotangents."""
    found: dict[str, Tree] = {}
    for statement in derivation.graph.statements:
        if statement.hidden:
            found[statement.out.name] = replace_names(statement.tree, found)
    for line in derivation.lines:
        if line.role == "cotangent" and line.of in found:
            found[f"d{line.of}"] = Name(line.name)
    return found


def _other_writings(statement: Statement) -> Iterable[tuple[float, Tree]]:
    """A sum without brackets, and one with a common factor in front but its means spelled out."""
    terms = statement.body.terms
    free = statement.free
    try:
        yield 0.02, _sum_of(terms, free)
        yield 0.02, _sum_of(terms, free, means=True)
        common = [
            (b, e)
            for b, e in terms[0].factors
            if not isinstance(b, Symbol | Size)
            and all((b, e) in t.factors for t in terms[1:])
            and b.indices <= set(free)
        ]
        if common:
            rest = [
                product(t.coefficient, [f for f in t.factors if f not in common], t.bound)
                for t in terms
            ]
            above = [(b, e) for b, e in common if e > 0]
            below = [(b, -e) for b, e in common if e < 0]
            for means in (False, True):
                tree = _sum_of(rest, free, means=means)
                if above:
                    tree = call("mul", _broadcast(above, free), tree)
                if below:
                    tree = call("div", tree, _broadcast(below, free))
                yield 0.02, tree
    except Exception:  # no array text
        return


def _sum_of(terms: Iterable[Term], free: tuple[Index, ...], *, means: bool = False) -> Tree:
    result: Tree | None = None
    ordered = sorted(terms, key=lambda t: (t.coefficient < 0, len(t.bound)))
    for term in ordered:
        positive = Poly((replace(term, coefficient=abs(term.coefficient)),))
        tree = _averaged(positive.terms[0], free) if means else None
        tree = tree or raised(positive, _slots(positive, free))
        if result is None:
            result = tree if term.coefficient > 0 else call("neg", tree)
        else:
            result = call("add" if term.coefficient > 0 else "sub", result, tree)
    assert result is not None
    return result


def _averaged(term: Term, free: tuple[Index, ...]) -> Tree | None:
    """A term with ``sum(...) / N`` as a mean; None when it has no such sum."""
    if len(term.bound) != 1:
        return None
    size = term.bound[0].size
    count = [f for f in term.factors if isinstance(f[0], Symbol | Size) and f[1] == -1]
    count = [f for f in count if f[0].key == str(size) or f[0].key == f"({size})"]
    if len(count) != 1:
        return None
    rest = tuple(f for f in term.factors if f is not count[0])
    body = Poly((replace(term, factors=rest),))
    tree = raised(body, _slots(body, free))
    return _mean_for_sum(tree) if _sums_in(tree) == 1 else None


def _sums_in(tree: Tree) -> int:
    own = isinstance(tree, Call) and tree.op == "sum"
    return own + sum(_sums_in(child) for child in children(tree))


def _mean_for_sum(tree: Tree) -> Tree:
    if isinstance(tree, Call) and tree.op == "sum":
        return replace(tree, op="mean")
    return rebuild(tree, _mean_for_sum)


def _broadcast(factors: Sequence[tuple[Atom, Fraction]], free: tuple[Index, ...]) -> Tree:
    body = Poly((product(Fraction(1), factors),))
    return raised(body, _slots(body, free))


def _slots(body: Poly, free: Iterable[Index]) -> list[Index]:
    """The free indices with axes of size one where the body does not use them."""
    used = body.indices
    slots = [i if i in used else Index("1", ONE) for i in free]
    while slots and slots[0].size == ONE and len(slots) > len(used):
        del slots[0]  # leading axes come by broadcasting
    return slots


class Bench(Struct, dict=True):
    """The values of every tensor of a grain at one point; evaluations with a line changed."""

    grain: Grain
    point: Point
    setting: Setting
    is_loss: bool
    _terms: dict[tuple[int, str], Array] = field(default_factory=dict)
    _opened: dict[str, Array] = field(default_factory=dict)

    @staticmethod
    def at(grain: Grain, graph: Graph, point: Point) -> Bench:
        sizes = {n: v for n, v in point.probe.env.items() if n not in graph.integers}
        loss = len(graph.outputs) == 1 and graph.tensors[graph.outputs[0]].shape == ()
        return Bench(grain, point, setting_for(graph, sizes, Double()), loss)

    @cached_property
    def given(self) -> dict[str, Array]:
        upstream = {f"d{n}": v for n, v in self.point.probe.upstream.items()}
        return {**({} if self.is_loss else upstream), **self.point.values}

    @cached_property
    def known(self) -> dict[str, Array]:
        return self._run(range(len(self.grain.statements)), self.given, {})

    def _run(
        self,
        places: Iterable[int],
        given: Mapping[str, Array],
        changed: Mapping[int, AnyStatement],
    ) -> dict[str, Array]:
        known = dict(given)
        for place in places:
            statement = changed.get(place, self.grain.statements[place])
            known[statement.out.name] = np.asarray(evaluate(statement, known, self.setting))
        return known

    @property
    def factor(self) -> float:
        """The upstream gradient of a loss, which the derived lines leave out."""
        return float(next(iter(self.point.probe.upstream.values()))) if self.is_loss else 1.0

    def changed(
        self,
        gradient: str,
        changes: Mapping[int, Statement] | None = None,
        values: Mapping[str, Array] | None = None,
        after: int = 0,
    ) -> Array:
        """A gradient's tensor with statements or values changed.

        `values` replace tensors for the statements from `after` on.
        """
        changes, values = changes or {}, values or {}
        dirty = set(values)
        known: dict[str, Array] = {**self.known, **values}
        needed = self.grain.leads_to(gradient)
        for place in needed:
            original = self.grain.statements[place]
            name = original.out.name
            if place < after or name in values:
                continue
            changed = changes.get(place)
            if changed is not None and dirty.isdisjoint(operands(changed)):
                # Most terms are as they were: their values are kept.
                parts = [self.term(changed, t) / self.factor for t in changed.body.terms]
                shape = np.shape(self.known[name])
                known[name] = sum(parts[1:], parts[0]) if parts else np.zeros(shape)
            elif changed is not None or not dirty.isdisjoint(self.grain.reads[place]):
                known[name] = np.asarray(evaluate(changed or original, known, self.setting))
            else:
                continue
            dirty.add(name)
        return np.asarray(known[gradient]) * self.factor

    def opened(self, statement: Statement) -> Array:
        """A statement that is no part of the grain, over the grain's values."""
        if statement.out.name not in self._opened:
            value = np.asarray(evaluate(statement, self.known, self.setting)) * self.factor
            shape = tuple(self.setting.size(d) for d in statement.out.shape)
            self._opened[statement.out.name] = np.broadcast_to(value, shape)
        return self._opened[statement.out.name]

    def term(self, statement: Statement, term: Term) -> Array:
        """The value of one term of a statement, over its free indices."""
        key = (hash(statement.free), term.key)
        if key not in self._terms:
            single = replace(statement, body=Poly((term,)))
            value = np.asarray(evaluate(single, self.known, self.setting))
            shape = tuple(self.setting.size(d) for d in statement.out.shape)
            made = np.broadcast_to(value, shape) * self.factor
            if made.size > _MOST_KEPT:
                return made  # of thousands of edits at a large size
            self._terms[key] = made
        return self._terms[key]


def written(grain: Grain, body: Poly, free: Iterable[Index], in_words: bool = False) -> str:
    """An expression as text, hidden values written out; "" where it has no short text.

    A condition that stands `in_words` is not made a number: ``h > 0``, and not ``1 * (h > 0)``.
    """
    try:
        body = poly_of(product(t.coefficient, t.factors, t.bound) for t in body.terms)
        tree = raised(body, _slots(body, free))
    except Exception:  # text only: a cause is still a cause without its formula
        return ""
    for _ in range(8):
        tree = replace_names(tree, grain.shown)
    match tree:
        case Call(op="mul", args=(Number(value=1), condition)) if in_words:
            tree = condition
    return "" if has_hidden(tree) else text(tree)


def has_hidden(tree: Tree) -> bool:
    """Whether a tree reads a value that has no name in any text: ``_3``, ``d_3``, ``dY:_3``."""
    return any(p.lstrip("d").startswith("_") for name in names(tree) for p in name.split(":"))
