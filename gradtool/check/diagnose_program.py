"""A layer as one program, forward then backward, that can be evaluated with one line changed.

The derivation gives the same backward pass in three grains: closed forms as a textbook prints
them, one line per named value, and one line per operation.  A mistake is a small change of one of
these lines, since people write their code in one of these grains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradtool.check.measure import Point
from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.raising import raised
from gradtool.emit.text import text
from gradtool.ir.dims import ONE
from gradtool.ir.graph import AnyStatement, Graph, Statement, operands
from gradtool.ir.index import Index
from gradtool.ir.poly import Poly, Term
from gradtool.ir.tree import Name, Tree, replace_names
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import Setting, evaluate
from gradtool.numeric.sample import setting_for

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Grain:
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

    def leads_to(self, tensor: str) -> frozenset[int]:
        """The statements that take part in a tensor."""
        wanted, found = {tensor}, set()
        for place in range(len(self.statements) - 1, -1, -1):
            statement = self.statements[place]
            if statement.out.name in wanted:
                found.add(place)
                wanted |= operands(statement)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Derived:
    """The grains of a layer, coarsest first."""

    graph: Graph
    grains: tuple[Grain, ...]


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
    return Derived(closed.graph, tuple(grains))


def _grain(name: str, derivation: Derivation, backward: Iterable[AnyStatement]) -> Grain:
    graph = derivation.graph
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


@dataclass
class Bench:
    """The values of every tensor of a grain at one point; evaluations with a line changed."""

    grain: Grain
    point: Point
    setting: Setting
    is_loss: bool
    _terms: dict[tuple[int, str], Array] = field(default_factory=dict)

    @staticmethod
    def at(grain: Grain, graph: Graph, point: Point) -> Bench:
        integers = {n for n, v in graph.constants.items() if isinstance(v, int)}
        sizes = {n: v for n, v in point.probe.env.items() if n not in integers}
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
        changes: Mapping[int, AnyStatement] | None = None,
        values: Mapping[str, Array] | None = None,
        after: int = 0,
    ) -> Array:
        """A gradient's tensor with statements or values changed.

        `values` replace tensors for the statements from `after` on.
        """
        changes, values = changes or {}, values or {}
        dirty = set(values)
        known = {**self.known, **values}
        needed = self.grain.leads_to(gradient)
        for place, original in enumerate(self.grain.statements):
            statement = changes.get(place, original)
            name = original.out.name
            if place < after or name in values:
                continue
            stale = place in changes or not dirty.isdisjoint(operands(statement))
            if not stale:
                continue
            if place not in needed and place not in changes and not _feeds(changes, name):
                continue
            known[name] = np.asarray(evaluate(statement, known, self.setting))
            dirty.add(name)
        return known[gradient] * self.factor

    def term(self, statement: Statement, term: Term) -> Array:
        """The value of one term of a statement, over its free indices."""
        key = (hash(statement.free), term.key)
        if key not in self._terms:
            single = replace(statement, body=Poly((term,)))
            value = np.asarray(evaluate(single, self.known, self.setting))
            shape = tuple(self.setting.size(d) for d in statement.out.shape)
            self._terms[key] = np.broadcast_to(value, shape) * self.factor
        return self._terms[key]


def _feeds(changes: Mapping[int, AnyStatement], name: str) -> bool:
    return any(name in operands(statement) for statement in changes.values())


def written(grain: Grain, body: Poly, free: Iterable[Index]) -> str:
    """An expression as text, hidden values written out; "" where it has no short text."""
    used = body.indices
    slots = [i if i in used else Index("1", ONE) for i in free]
    while slots and slots[0].size == ONE and len(slots) > len(used):
        del slots[0]  # leading axes come by broadcasting
    try:
        tree = raised(body, slots)
    except Exception:  # text only: a cause is still a cause without its formula
        return ""
    for _ in range(8):
        tree = replace_names(tree, grain.shown)
    return text(tree)
