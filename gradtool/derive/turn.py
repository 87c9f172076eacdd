"""The backward pass of a loop is a loop in the other direction.

One step is differentiated like any graph.  The cotangent of a carried value travels to the step
before; the cotangents of arrays that every step reads whole add up over the steps (nothing is
truncated); those of slices are collected.  What a step of the forward loop began with is kept
(`with_tapes`), everything else of the step can be computed from it again.
Source: P. Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

from gradtool.derive.cotangents import Cotangents, Handed, Turned
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
from gradtool.ir.poly import NOTHING, Access, Number, Poly, Size, Symbol, access
from gradtool.ir.tree import Call, loop_tree
from gradtool.ir.walk import atoms, replace_atoms
from gradtool.records import replace


class Reverse(Protocol):
    def __call__(
        self,
        graph: Graph,
        wanted: Sequence[str] | None = None,
        seeds: Mapping[str, Sequence[Tensor | Poly]] | None = None,
    ) -> Cotangents: ...


# -- what the forward loop keeps ------------------------------------------------------------


def with_tapes(graph: Graph, needed: Collection[str]) -> Graph:
    """The graph with the values that each step of its loops began with, as arrays."""
    if not any(isinstance(s, Scan) and s.out.name in needed for s in graph.statements):
        return graph
    last = {s.loop: s for s in graph.statements if isinstance(s, Scan)}
    kept = {(s.loop, s.source) for s in graph.statements if isinstance(s, Scan) and is_tape(s)}
    statements: list[AnyStatement] = []
    for statement in graph.statements:
        statements.append(statement)
        if isinstance(statement, Scan) and last[statement.loop] is statement:
            for carried in statement.loop.carried:
                if (statement.loop, carried.name) not in kept:
                    statements += tape(statement, carried.name, carried.name)
    return replace(graph, statements=tuple(statements))


def is_tape(statement: Scan) -> bool:
    """Whether a result of a loop holds what each step began with."""
    return statement.what == "slices" and any(
        c.name == statement.source for c in statement.loop.carried
    )


def tape(statement: Scan, source: str, name: str) -> list[AnyStatement]:
    """One more result of a loop: the value of every step, along a new first axis."""
    loop = statement.loop
    value = loop.body.tensors.get(source)
    if value is None:
        return []
    out = Tensor(name, (loop.first + loop.size, *value.shape), value.kind, value.labels)
    tree = loop_tree(loop.sources, name)
    return [Scan(out, loop, source, "slices", tree, line=statement.line)]


# -- turning a loop -------------------------------------------------------------------------


def turn(
    graph: Graph,
    results: Sequence[tuple[Scan, Tensor]],
    needed: Collection[str],
    before: Sequence[AnyStatement],
    reverse: Reverse,
) -> Turned | None:
    """The backward loop for the cotangents of a loop's results; None when all are zero.

    Args:
        results: results of one loop and their cotangents.
        needed: tensors of the graph that lead from a wanted input to an output.
        before: the statements that define the cotangents.
    """
    return _Turning(graph, results, needed, before, reverse).run()


class _Turning:
    def __init__(
        self,
        graph: Graph,
        results: Sequence[tuple[Scan, Tensor]],
        needed: Collection[str],
        before: Sequence[AnyStatement],
        reverse: Reverse,
    ) -> None:
        self.graph = graph
        self.results = results
        self.loop = results[0][0].loop
        self.needed = needed
        self.reverse = reverse
        self.numbers = _numbers(before)
        names = set(self.loop.body.tensors) | set(graph.tensors)
        self.taken = names | {f"d{name}" for name in names}
        self.slices: dict[str, Sliced] = {}
        self.reached: set[str] = set()
        self.active = self._active()

    def _unlike(self, wish: str) -> str:
        name, number = wish, 2
        while name in self.taken:
            name, number = f"{wish}{number}", number + 1
        self.taken.add(name)
        return name

    def _active(self) -> tuple[str, ...]:
        """The inputs of a step through which a wanted input of the graph has influence."""
        loop = self.loop
        active = {s.name for s in loop.sliced if s.source.name in self.needed}
        active |= {t.name for t in loop.invariant if t.name in self.needed and t.kind == "real"}
        active |= {
            c.name for c in loop.carried if c.initial is not None and c.initial.name in self.needed
        }
        while True:
            reached = set(active)
            for statement in loop.body.statements:
                if statement.out.kind == "real" and operands(statement) & reached:
                    reached.add(statement.out.name)
            more = {c.name for c in loop.carried if c.result in reached} - active
            self.reached = reached
            if not more:
                break
            active |= more
        place = {name: k for k, name in enumerate(self.graph.tensors)}
        order = {s.name: place[s.source.name] for s in loop.sliced}
        order |= {t.name: place[t.name] for t in loop.invariant}
        every = [t.name for t in loop.body.inputs if t.name in active]
        return tuple(sorted(every, key=lambda name: order.get(name, len(place))))

    def run(self) -> Turned | None:
        loop = self.loop
        fixed: dict[str, list[Tensor | Poly]] = {}
        initial: dict[str, Tensor] = {}
        seeds: list[Sliced] = []
        for scan, cotangent in self.results:
            body_shape = loop.body.tensors[scan.source].shape
            if scan.what == "slices":
                name = self._unlike(f"{cotangent.name}_{loop.index}")
                seeds.append(Sliced(name, cotangent, scan.axis, scan.offset))
                fixed.setdefault(scan.source, []).append(Tensor(name, body_shape))
            elif scan.what == "sum":
                number = self.numbers.get(cotangent.name)
                seed = cotangent if number is None else number
                fixed.setdefault(scan.source, []).append(seed)
            else:
                initial[scan.source] = cotangent
        carried = [c for c in loop.carried if c.result in self.reached]
        hands = {
            c.name: Tensor(
                self._unlike(f"d{c.label or c.result}_next"), loop.body.tensors[c.result].shape
            )
            for c in carried
        }
        live = [c for c in carried if c.result in initial]
        while True:
            begins = {name: list(parts) for name, parts in fixed.items()}
            for c in live:
                begins.setdefault(c.result, []).append(hands[c.name])
            found = self._reversed(begins)
            more = [c for c in carried if c not in live and c.name in found.of]
            if not more:
                break
            live = [c for c in carried if c in live or c in more]
        if not found.of:
            return None
        handed = tuple(Handed(hands[c.name].name, c.name, initial.get(c.result)) for c in live)
        made = self._assembled(found, handed, tuple(seeds))
        return made if made.statements else None

    def _reversed(self, begins: Mapping[str, list[Tensor | Poly]]) -> Cotangents:
        body = replace(self.loop.body, wanted=self.active, outputs=tuple(begins))
        return self.reverse(body, self.active, begins)

    def _assembled(
        self, found: Cotangents, handed: tuple[Handed, ...], seeds: tuple[Sliced, ...]
    ) -> Turned:
        loop = self.loop
        zeros: list[AnyStatement] = []
        carried: list[Carried] = []
        for hand in handed:
            made = found.of.get(hand.of)
            if made is None:
                shape = self._shape(hand)
                free = tuple(Index(f"i{k}:{hand.of}", d) for k, d in enumerate(shape))
                made = Tensor(f"d{hand.of}", shape)
                zeros.append(Statement(made, free, NOTHING, Call("zeros", ())))
            carried.append(Carried(hand.name, hand.initial, made.name))
        statements = (*found.graph.statements, *found.statements, *zeros)
        tapes = {
            s.source: s.out
            for s in self.graph.statements
            if isinstance(s, Scan) and s.loop is loop and is_tape(s)
        }
        kept = [Sliced(n, t, 0, Dim.of(0)) for n, t in tapes.items()]
        inputs = inputs_of(statements)
        read = {t.name for t in inputs} | {h.name for h in handed}
        body = Graph(
            f"{loop.body.name} backwards",
            (*inputs, *(t for t in self._hand_tensors(handed) if t.name not in
                        {i.name for i in inputs})),
            (),
            statements,
            tuple(t.name for t in found.of.values()),
            loop.body.constants,
        )  # fmt: skip
        turned = Loop(
            loop.index, loop.first, loop.size, not loop.backwards, body,
            tuple(s for s in (*loop.sliced, *kept, *seeds) if s.name in read),
            tuple(carried),
        )  # fmt: skip
        made_of: list[Scan] = []
        arrivals: list[tuple[Tensor, Tensor]] = []

        def add(
            source: Tensor,
            inner: str,
            what: Literal["slices", "last", "sum"],
            axis: int = 0,
            offset: Dim | None = None,
        ) -> None:
            out = Tensor(f"d{source.name}:{len(made_of)}:{id(turned)}", source.shape)
            tree = loop_tree(turned.sources, out.name)
            made_of.append(
                Scan(
                    out,
                    turned,
                    inner,
                    what,
                    tree,
                    axis,
                    offset or Dim.of(0),
                    hidden=True,
                    line=len(made_of),
                )
            )
            arrivals.append((source, out))

        wanted = [name for name in self.active if name in found.of]
        for sliced in loop.sliced:
            if sliced.name in wanted:
                inner = found.of[sliced.name].name
                add(sliced.source, inner, "slices", sliced.axis, sliced.offset)
        for tensor in loop.invariant:
            if tensor.name in wanted:
                add(tensor, found.of[tensor.name].name, "sum")
        for hand, carry in zip(handed, carried, strict=True):
            start = next(c.initial for c in loop.carried if c.name == hand.of)
            if start is not None and start.name in self.needed:
                add(start, carry.result, "last")
        return Turned(loop, found, tuple(wanted), handed, seeds, tuple(made_of), tuple(arrivals))

    def _hand_tensors(self, handed: Sequence[Handed]) -> list[Tensor]:
        return [Tensor(h.name, self._shape(h)) for h in handed]

    def _shape(self, hand: Handed) -> tuple[Dim, ...]:
        return self.loop.shape_of(hand.of)


def _numbers(statements: Sequence[AnyStatement]) -> dict[str, Poly]:
    """Cotangents that are numbers, whatever the inputs are: of a mean over steps, 1/N."""
    found: dict[str, Poly] = {}
    for statement in statements:
        if not isinstance(statement, Statement) or statement.out.shape:
            continue
        body = replace_atoms(
            statement.body,
            lambda a: found.get(a.tensor.name) if isinstance(a, Access) else None,
        )
        if all(isinstance(a, Symbol | Size | Number) for a in atoms(body)) and not any(
            t.bound for t in body.terms
        ):
            found[statement.out.name] = body
    return found


def settled(statements: Sequence[AnyStatement]) -> tuple[AnyStatement, ...]:
    """Results of backward loops under the names of the cotangents that they are, or are part of."""
    taken = {s.out.name for s in statements}
    scans = {s.out.name: s for s in statements if isinstance(s, Scan)}
    named: dict[str, Tensor] = {}
    dropped: set[str] = set()
    for statement in statements:
        if not isinstance(statement, Statement):
            continue
        term = statement.body.single
        if term is None or len(term.factors) != 1:
            continue
        base = term.factors[0][0]
        if (
            isinstance(base, Access)
            and base.tensor.name in scans
            and statement.body == access(base.tensor, statement.free)
        ):
            named[base.tensor.name] = statement.out
            dropped.add(statement.out.name)
    for name in scans:
        if name not in named:
            wish = name.split(":")[0] + "_steps"
            label, number = wish, 2
            while label in taken:
                label, number = f"{wish}{number}", number + 1
            taken.add(label)
            named[name] = replace(scans[name].out, name=label)
    result: list[AnyStatement] = []
    for statement in statements:
        if isinstance(statement, Scan):
            result.append(replace(statement, out=named[statement.out.name], hidden=False))
        elif statement.out.name in dropped:
            continue
        elif isinstance(statement, Statement):
            result.append(replace(statement, body=_with(statement.body, named)))
        else:
            result.append(statement)
    return tuple(result)


def _with(body: Poly, named: Mapping[str, Tensor]) -> Poly:
    def change(base: object) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in named:
            return access(named[base.tensor.name], base.index)
        return None

    return replace_atoms(body, change)


__all__ = ["Turned", "is_tape", "settled", "tape", "turn", "with_tapes"]
