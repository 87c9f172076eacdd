"""A backward pass one stage at a time, as a teacher writes it on the board.

Every named value of the forward pass is a stage.  A stage taken alone is a small layer, so the
engine that derives whole layers also derives what the stage hands back to each of its operands;
the cotangent of a value is the sum of what all its users hand back.  The formulas here are longer
than the closed forms and each of them follows from one line of the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from gradtool.derive.calculus import partial
from gradtool.derive.derivation import Derivation, derive, is_loss
from gradtool.derive.facts import Fact, Recording
from gradtool.derive.knowledge import Knowledge
from gradtool.derive.line import Line
from gradtool.derive.naming import telling_name
from gradtool.derive.raising import raised
from gradtool.derive.reveal import elementwise, expanded, revealed, shown, stage_graph, written
from gradtool.derive.reverse import Cotangents, reverse
from gradtool.derive.shares import added, bare
from gradtool.derive.simplify import simplified
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.graph import AnyStatement, Graph, Statement
from gradtool.ir.index import Index
from gradtool.ir.poly import NOTHING, Poly, Term, poly_of
from gradtool.ir.tree import Call, Name, Tree, replace_names
from gradtool.ir.walk import accesses
from gradtool.records import Struct


class Stage(Struct, frozen=True):
    """One named value of the forward pass.

    Attributes:
        tree: how it is computed from the stages before it.
        graph: the stage as a layer of its own.
        inner: it is part of a line of the spec and was given a name for the explanation.
        alive: a gradient goes through it.
    """

    name: str
    shape: tuple[Dim, ...]
    tree: Tree
    statement: AnyStatement
    graph: Graph
    inner: bool
    alive: bool


class Use(Struct, frozen=True):
    """What one stage hands back to one of its operands.

    Attributes:
        of: the operand.
        tree: its share of the operand's cotangent, in terms of the stage's cotangent.
        line: the name of the share when it needs a line of its own, else "".
        derivation: of the stage alone, with respect to the operand.
        body: the stage's value over named values; None when it is no sum of products.
        local: the derivative of an entry of the stage with respect to the one entry of the
            operand that it depends on; None when it depends on several.
        vanishes: the share is zero, by the facts of the explanation.
        several: it is one of several shares.
    """

    of: str
    stage: Stage
    tree: Tree
    line: str
    derivation: Derivation
    body: Poly | None
    local: Tree | None
    vanishes: bool
    several: bool


class Step(Struct, frozen=True):
    """The cotangent of one value.

    Attributes:
        of, name, shape: the value and its cotangent.
        upstream: the given gradient that is part of it, when the value is an output; else "".
        lines: the lines that compute it, inner values and single shares before the total.
    """

    of: str
    name: str
    shape: tuple[Dim, ...]
    upstream: str
    uses: tuple[Use, ...]
    lines: tuple[Line, ...]


class Explanation(Struct, frozen=True, dict=True):
    """The stages first to last, and the cotangents last to first.

    Attributes:
        derivation: all lines of the steps, as a backward pass that can be certified.
        given: the names that inner values of the forward pass were given, by their hidden names.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...]
    derivation: Derivation
    given: Mapping[str, str]

    @cached_property
    def by_name(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def step_of(self) -> dict[str, Step]:
        return {step.of: step for step in self.steps}


def explain(graph: Graph, derivation: Derivation) -> Explanation:
    """Explain the gradients of a derivation of `graph`."""
    given = {*derivation.closed.gradients, *derivation.zero}
    targets = tuple(name for name in graph.wanted if name in given)
    kept = frozenset(s.out.name for s in derivation.closed.statements)
    return _Explainer(revealed(graph, targets), graph, targets, kept).run()


class _Explainer:
    def __init__(
        self, graph: Graph, original: Graph, targets: tuple[str, ...], kept: frozenset[str]
    ) -> None:
        self.graph = graph
        self.kept = kept
        pairs = zip(original.statements, graph.statements, strict=True)
        self.given = {a.out.name: b.out.name for a, b in pairs if a.out.name != b.out.name}
        self.targets = targets
        self.found: Cotangents = reverse(graph, targets)
        self.alive = frozenset(self.found.of)
        self.knowledge = Recording(graph)
        self.inner: dict[Tree, str] = {}
        self.placed: set[str] = set()
        self.taken = {n for n in graph.tensors if not n.startswith("_")}
        self.taken |= {f"d{n}" for n in self.taken} | {*graph.constants, *graph.dimensions}
        self.stages = tuple(
            Stage(
                s.out.name,
                s.out.shape,
                written(graph, s.out.name),
                s,
                stage_graph(graph, s.out.name),
                s.out.name not in original.tensors,
                s.out.name in self.alive,
            )
            for s in graph.statements
            if not s.hidden
        )

    def run(self) -> Explanation:
        steps = tuple(
            self._step(name)
            for name in self._order()
            if not (is_loss(self.graph) and name == self.graph.outputs[0])
        )
        self._shorten()
        lines = tuple(line for step in steps for line in step.lines)
        upstream = (
            {}
            if is_loss(self.graph)
            else {out: (t.name, t.shape) for out, t in self.found.upstream.items()}
        )
        zero = tuple(n for n in self.targets if n not in self.alive)
        closed = derive(self.graph, self.targets, staged=True).closed
        whole = Derivation(self.graph, upstream, lines, zero, closed, self.found)
        return Explanation(
            self.graph, self.stages, steps, self.knowledge.proven(), whole, self.given
        )

    def _order(self) -> list[str]:
        """Stages last to first, each followed by the inputs that are complete with it."""
        alive = [s for s in self.stages if s.alive]
        first = {
            name: next((s.name for s in alive if name in self._reads(s)), "")
            for name in self.targets
            if name in self.alive
        }
        order = [name for name, stage in first.items() if not stage]
        for stage in reversed(alive):
            order += [stage.name, *(n for n, earliest in first.items() if earliest == stage.name)]
        return order

    def _reads(self, stage: Stage) -> set[str]:
        return {t.name for t in stage.graph.inputs}

    # -- one cotangent --------------------------------------------------------------------

    def _cotangent(self, name: str) -> str:
        """What the cotangent of a stage is called; the total, when it is an output used again."""
        label = f"d{name}"
        again = any(s.alive and name in self._reads(s) for s in self.stages)
        return f"{label}_total" if name in self.graph.outputs and again else label

    def _step(self, name: str) -> Step:
        tensor = self.graph.tensors[name]
        label = self._cotangent(name)
        upstream = f"d{name}" if name in self.graph.outputs else ""
        lines: list[Line] = []
        uses = tuple(
            use
            for stage in self.stages
            if stage.alive and name in self._reads(stage)
            for use in self._use(stage, name, lines)
        )
        shares: list[Tree] = [Name(upstream)] if upstream else []
        shares += [Name(u.line) if u.line else u.tree for u in uses if not u.vanishes]
        if label == upstream:
            return Step(name, label, tensor.shape, upstream, uses, tuple(lines))
        role = "gradient" if name in self.targets else "cotangent"
        total = added(shares) if shares else raised(NOTHING, _axes(tensor.shape))
        lines.append(Line(label, name, role, tensor.shape, total))
        return Step(name, label, tensor.shape, upstream, uses, tuple(lines))

    def _use(self, stage: Stage, of: str, lines: list[Line]) -> Iterable[Use]:
        alone = derive(stage.graph, (of,))
        gradient = alone.gradient(of)
        if gradient is None:
            return
        # The stage's cotangent may be called dY_total; inner values are shared by all stages.
        changed: dict[str, Tree] = {f"d{stage.name}": Name(self._cotangent(stage.name))}
        for line in alone.lines:
            if line.role == "gradient":
                continue
            tree = shown(self.graph, replace_names(line.tree, changed))
            label = self.inner.get(tree) or self._fresh(line.name)
            if tree not in self.inner and line.role == "inner":
                self.inner[tree] = label
            if label not in self.placed:
                self.placed.add(label)
                lines.append(Line(label, line.of, line.role, line.shape, tree))
            changed[line.name] = Name(label)
        # Of norm(A * A) the stage knows the sum of squares, and its tree what these are of.
        tree = shown(self.graph, replace_names(gradient.tree, changed))
        name = ""
        if isinstance(tree, Call) and tree.op == "indexed" and self._several(of):
            name = self._fresh(f"d{of}_{stage.name}")
            lines.append(Line(name, of, "cotangent", gradient.shape, tree))
        body = expanded(self.graph, stage.name)
        yield Use(
            of,
            stage,
            tree,
            name,
            alone,
            body,
            self._local(stage, of, body),
            self._vanishes(alone, of),
            self._several(of),
        )

    def _several(self, of: str) -> bool:
        count = sum(1 for s in self.stages if s.alive and of in self._reads(s))
        return count + (of in self.graph.outputs) > 1

    def _fresh(self, wish: str) -> str:
        name = wish if wish not in self.taken else telling_name(Name(wish), self.taken)
        number = 2
        while name in self.taken:
            name = f"{wish}{number}"
            number += 1
        self.taken.add(name)
        return name

    def _local(self, stage: Stage, of: str, body: Poly | None) -> Tree | None:
        """The derivative that sympy finds, as an array expression."""
        entry = elementwise(self.graph, stage.name, of)
        if entry is None or body is None or any(t.bound for t in _mentioning(body, of)):
            return None
        assert isinstance(stage.statement, Statement)
        total = NOTHING
        for term in body.terms:
            total = total + partial(term, entry)
        short = simplified(total, Knowledge.of_graph(stage.graph))
        free = stage.statement.free
        if len(entry.index) > len(free):  # axes of size one have no index; others of one entry
            axes = enumerate(zip(entry.index, entry.tensor.shape, strict=True))
            named = tuple(
                place.as_index or Index(f"@{k}", ONE)
                for k, (place, size) in axes
                if place.as_index or size.as_int == 1
            )
            free = named if set(free) <= set(named) else free
        return bare(shown(self.graph, raised(short, free)))

    # -- facts ----------------------------------------------------------------------------

    def _vanishes(self, alone: Derivation, of: str) -> bool:
        """Whether what the forward pass tells makes a share zero."""
        label = alone.closed.gradients[of].name
        made = next((s for s in alone.closed.statements if s.out.name == label), None)
        if not isinstance(made, Statement) or not made.body.terms:
            return False
        return self.knowledge.vanishes(made.body)

    def _shorten(self) -> None:
        """Find the facts behind the closed forms, cotangent by kept cotangent."""
        every = {s.out.name: s for s in self.found.statements if isinstance(s, Statement)}
        # The closed forms do not look behind the cotangents that they keep either.
        open_ = {n: s for n, s in every.items() if n not in self.kept}
        for name in self.targets:
            cotangent = self.found.of.get(name)
            if cotangent is not None and cotangent.name in every:
                self.knowledge.shorten(every[cotangent.name].body, open_)


def _mentioning(body: Poly, name: str) -> list[Term]:
    return [t for t in body.terms if any(a.tensor.name == name for a in accesses(poly_of((t,))))]


def _axes(shape: tuple[Dim, ...]) -> list[Index]:
    return [Index(f"@{k}", size) for k, size in enumerate(shape)]
