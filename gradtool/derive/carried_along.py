"""The tangent of a loop is a loop in the same direction that carries tangents.

One step is differentiated like any graph.  The tangent of a carried value travels to the next
step; slices of the tangents of arrays are read, those of results are collected or added up.  What
a step of the forward loop began with is kept (`turn.with_tapes`).
Source: forward accumulation, R. Wengert, A Simple Automatic Derivative Evaluation Program (1964).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gradtool.derive.cotangents import Cotangents, Handed, Turned
from gradtool.derive.turn import is_tape
from gradtool.ir.dims import Dim
from gradtool.ir.graph import (
    AnyStatement,
    Carried,
    Graph,
    Loop,
    Scan,
    Sliced,
    Statement,
    inputs_of,
    operands,
)
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import NOTHING
from gradtool.ir.tree import Call, loop_tree
from gradtool.records import Struct, field, replace

# The tangents of a step, from those of its inputs.
Step = Callable[[Graph, Mapping[str, Tensor]], Cotangents]


def carried_along(
    graph: Graph,
    results: Sequence[Scan],
    found: Mapping[str, Tensor],
    label: Callable[[str], str],
    step: Step,
) -> Turned | None:
    """The loop of the tangents of a loop's results; None when all of them are zero.

    Args:
        results: results of one loop.
        found: the tangents of the values around it.
        label: what the tangent of a value is called.
    """
    return _Along(graph, results, found, label, step).run()


class _Along(Struct):
    graph: Graph
    results: Sequence[Scan]
    found: Mapping[str, Tensor]
    label: Callable[[str], str]
    step: Step
    taken: set[str] = field(default_factory=set)

    def run(self) -> Turned | None:
        loop = self.results[0].loop
        body = loop.body
        self.taken |= {*body.tensors, *self.graph.tensors, *(t.name for t in self.found.values())}
        self.taken |= set(map(self.label, (*body.tensors, *self.graph.tensors)))
        read = {t.name for t in body.inputs}
        given = {t.name: self.found[t.name] for t in loop.invariant if t.name in self.found}
        seeds: list[Sliced] = []
        for part in loop.sliced:
            if part.source.name in self.found and part.name in read:
                name = self._unlike(self.label(part.name))
                source = self.found[part.source.name]
                seeds.append(Sliced(name, source, part.axis, part.offset))
                given[part.name] = Tensor(name, body.tensors[part.name].shape)
        lasts = {s.source for s in self.results if s.what == "last"}
        hands: list[Handed] = []
        for carried in self._moving(loop, set(given)):
            if carried.name not in read and carried.result not in lasts:
                continue
            shape = body.tensors[carried.result].shape
            name = self._unlike(f"{self.label(carried.label or carried.result)}_prev")
            initial = None if carried.initial is None else self.found.get(carried.initial.name)
            hands.append(Handed(name, carried.result, initial))
            if carried.name in read:
                given[carried.name] = Tensor(name, shape)
        if not given and not hands:
            return None
        wanted = tuple(dict.fromkeys((*(s.source for s in self.results), *(h.of for h in hands))))
        made = self.step(replace(body, outputs=wanted, wanted=tuple(given)), given)
        live = tuple(name for name in wanted if name in made.of)
        if not any(s.source in live for s in self.results):
            return None
        return self._assembled(loop, made, live, tuple(hands), tuple(seeds))

    def _unlike(self, wish: str) -> str:
        name, number = wish, 2
        while name in self.taken:
            name, number = f"{wish}{number}", number + 1
        self.taken.add(name)
        return name

    def _moving(self, loop: Loop, active: set[str]) -> list[Carried]:
        """The carried values that change with what is varied."""
        moving = {c.name for c in loop.carried
                  if c.initial is not None and c.initial.name in self.found}  # fmt: skip
        while True:
            reached = active | moving
            for statement in loop.body.statements:
                if statement.out.kind == "real" and operands(statement) & reached:
                    reached.add(statement.out.name)
            more = {c.name for c in loop.carried if c.result in reached} - moving
            if not more:
                return [c for c in loop.carried if c.name in moving]
            moving |= more

    def _assembled(
        self,
        loop: Loop,
        made: Cotangents,
        live: tuple[str, ...],
        hands: tuple[Handed, ...],
        seeds: tuple[Sliced, ...],
    ) -> Turned:
        zeros: list[AnyStatement] = []
        carried: list[Carried] = []
        for hand in hands:
            value = made.of.get(hand.of)
            if value is None:  # what a step hands on does not change, whatever it began with
                shape = loop.body.tensors[hand.of].shape
                free = tuple(Index(f"i{k}:{hand.of}", d) for k, d in enumerate(shape))
                value = Tensor(self._unlike(self.label(hand.of)), shape)
                zeros.append(Statement(value, free, NOTHING, Call("zeros", ())))
            carried.append(Carried(hand.name, hand.initial, value.name))
        statements = (*made.graph.statements, *made.statements, *zeros)
        kept = [
            Sliced(s.source, s.out, 0, Dim.of(0))
            for s in self.graph.statements
            if isinstance(s, Scan) and s.loop is loop and is_tape(s)
        ]
        read = inputs_of(statements)
        known = {t.name for t in read}
        more = [Tensor(h.name, loop.body.tensors[h.of].shape) for h in hands if h.name not in known]
        body = Graph(
            f"{loop.body.name} along a direction", (*read, *more), (), statements,
            tuple(made.of[name].name for name in live), loop.body.constants,
        )  # fmt: skip
        along = Loop(
            loop.index, loop.first, loop.size, loop.backwards, body,
            tuple(s for s in (*loop.sliced, *kept, *seeds) if s.name in known), tuple(carried),
        )  # fmt: skip
        several = [s for s in self.results if s.source in live]
        scans = tuple(self._scan(s, along, made.of[s.source]) for s in several)
        arrivals = tuple((s.out, t.out) for s, t in zip(several, scans, strict=True))
        return Turned(loop, made, live, hands, seeds, scans, arrivals, along=True)

    def _scan(self, scan: Scan, along: Loop, source: Tensor) -> Scan:
        name = self.label(scan.out.name)
        if scan.what == "sum" and scan.initial is not None and scan.initial.name in self.found:
            name = self._unlike(f"{name}_steps")  # what it began with is added after the loop
        out = Tensor(name, scan.out.shape)
        return replace(
            scan, out=out, loop=along, source=source.name, tree=loop_tree(along.sources, name),
            initial=None,
        )  # fmt: skip
