"""``for t in range(T):`` lowered to one loop: a step is a graph, its results are `Scan` statements.

A name that is assigned before the loop and again in it is carried from step to step; a carried
value to which every step only adds (``loss += …``) is a sum.  ``H[:, t] = h`` collects slices.
The loop is never unrolled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from typing import Literal, cast

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import (
    AnyStatement,
    Carried,
    Graph,
    Loop,
    Scan,
    Statement,
    inputs_of,
    operands,
)
from gradtool.ir.index import Tensor
from gradtool.ir.poly import NOTHING, Access, access
from gradtool.ir.tree import Call, Name, Span, Tree, loop_tree, names
from gradtool.ir.walk import accesses
from gradtool.ops.build import Builder, Operand, Unreadable, of_tensor, renamed
from gradtool.ops.errors import OpError
from gradtool.records import Struct, replace
from gradtool.spec.loop_frame import LoopFrame, own_tensor
from gradtool.spec.loop_header import Header, header_of
from gradtool.spec.parse import ParseError, Reader


class Around(Struct, frozen=True):
    """What a loop must know of the lines around it.

    Attributes:
        line: lowers an ordinary line of the body; False when it has a mistake (and said so).
        inputs: names that must not be assigned.
        taken: names that the graph has or will have.
        later: names that are read after the loop.
        constants: the named numbers of the whole graph.
        named: whether results keep their names; those of a used spec must differ from the
            names of the graph.
    """

    line: Callable[[ast.stmt], bool]
    inputs: Collection[str]
    taken: Collection[str]
    later: Collection[str]
    constants: Mapping[str, int | Fraction]
    named: bool = True


def lower_loop(build: Builder, reader: Reader, node: ast.For, around: Around) -> bool:
    """Lower a loop and bind its results; False when a line of its body has a mistake.

    Raises:
        OpError, ParseError: the loop itself has one.
    """
    return _Lowering(build, reader, node, around).run()


def stored_names(node: ast.stmt) -> dict[str, ast.expr]:
    """The plain names that a statement assigns, and where it does last."""
    return {
        n.id: n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def loaded_names(nodes: Collection[ast.stmt]) -> frozenset[str]:
    """The names that statements read."""
    found = {
        n.id
        for node in nodes
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    augmented = {
        n.target.id
        for node in nodes
        for n in ast.walk(node)
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
    }
    return frozenset(found | augmented)


class _Start(Struct):
    """A name that is carried: its value before the loop and its input of the body."""

    operand: Operand
    initial: Tensor | None
    input: Tensor
    renamed: bool


class _Lowering:
    def __init__(self, build: Builder, reader: Reader, node: ast.For, around: Around) -> None:
        self.build = build
        self.reader = reader
        self.node = node
        self.around = around
        self.header: Header = header_of(build, reader, node)
        self.outer = build.scope
        self.stores: dict[str, ast.expr] = {}
        self.indexed: dict[str, ast.Subscript] = {}
        for statement in node.body:
            self._look_at(statement)

    def _look_at(self, statement: ast.stmt) -> None:
        for inner in ast.walk(statement):
            if isinstance(inner, ast.For | ast.While):
                raise ParseError(
                    "a loop inside a loop is not part of the language",
                    self.reader.span(inner),
                    "write one of the two as array operations",
                )
        self.stores |= stored_names(statement)
        for inner in ast.walk(statement):
            if (
                isinstance(inner, ast.Subscript)
                and isinstance(inner.ctx, ast.Store)
                and isinstance(inner.value, ast.Name)
            ):
                if any(
                    isinstance(n, ast.Name) and n.id == self.header.index
                    for n in ast.walk(inner.slice)
                ):
                    self.indexed[inner.value.id] = inner
                else:
                    self.stores[inner.value.id] = inner

    def run(self) -> bool:
        self._check_names()
        starts = {name: self._start(name) for name in self.stores if self._is_before(name)}
        targets = {name: self._target(name) for name in self.indexed if self._is_before(name)}
        reserved = set(self.around.taken) - set(starts) | (set(starts) & set(self.around.later))
        reserved |= {s.out.name for s in self.build.statements}
        self._named_inputs()
        inputs = inputs_of(self.build.statements)
        frame = LoopFrame(
            self.header,
            {t.name for t in inputs}
            | {o.tensor.name for o in self.outer.values() if o.tensor is not None},
            reserved,
            targets,
        )
        body = self._body(frame, starts)
        if body is None:
            return False
        self._results(frame, starts, *body)
        return True

    # -- before the loop --------------------------------------------------------------------

    def _is_before(self, name: str) -> bool:
        return name in self.outer and not isinstance(self.outer[name], Unreadable)

    def _check_names(self) -> None:
        index, span = self.header.index, self.reader.span(self.node.target)
        if index in self.build.dimensions or index in self.build.constants:
            raise OpError(f"'{index}' is a size or constant of this spec", span)
        if index in self.stores:
            raise OpError(
                f"the step '{index}' is assigned in the loop",
                self.reader.span(self.stores[index]),
                "give the value another name",
            )
        if self._is_before(index):
            raise OpError(f"'{index}' has a value already", span, "count with another name")
        for name, place in (*self.stores.items(), *self.indexed.items()):
            if name in self.stores and name in self.indexed:
                raise OpError(
                    f"'{name}' is assigned as a whole and by slices in one loop",
                    self.reader.span(self.indexed[name]),
                    "use two names",
                )
            if name in self.around.inputs:
                raise OpError(
                    f"'{name}' is an input: a loop does not change it",
                    self.reader.span(place),
                    f"begin with a copy under another name:  h = {name}  before the loop"
                    if name in self.stores
                    else "collect into a new array, declared with zeros before the loop",
                )

    def _start(self, name: str) -> _Start:
        operand = self.outer[name]
        if operand.kind != "real" and operand.dim is None:
            raise OpError(
                f"'{name}' holds {'labels' if operand.kind == 'index' else 'conditions'}: only "
                "real values are carried from step to step",
                self.reader.span(self.stores[name]),
            )
        initial: Tensor | None = None
        copied = self._copied(operand)
        if self._is_zero(operand):
            self._forget(name)
        elif copied is not None:
            initial = copied
            self._forget(name)
        elif operand.tensor is not None and not operand.tensor.name.startswith("_"):
            initial = self._renamed(operand.tensor)
        else:
            initial = self._given_name(f"{name}_start", operand)
        made = Tensor(self._unlike(f"{name}_prev"), operand.shape)
        renamed = initial is not None and copied is None and initial.name != name
        return _Start(operand, initial, made, renamed)

    def _is_zero(self, operand: Operand) -> bool:
        """Whether every entry is zero by definition, whatever the inputs are."""
        definition = self._definition(operand.tensor)
        if definition is not None:
            return not definition.body.terms and definition.reduce == "sum"
        return not self.build.entry(operand, self.build.indices(operand.shape)).terms

    def _definition(self, tensor: Tensor | None) -> Statement | None:
        found = next((s for s in self.build.statements if s.out is tensor), None)
        return found if isinstance(found, Statement) else None

    def _copied(self, operand: Operand) -> Tensor | None:
        """The tensor of which a value is an exact copy: ``h = h0``."""
        tensor, copied = operand.tensor, None
        while (definition := self._definition(tensor)) is not None:
            source = _copy_of(definition)
            if source is None:
                break
            tensor = source
            copied = copied if source.name.startswith("_") else source
        return copied

    def _target(self, name: str) -> tuple[Dim, ...]:
        operand = self.outer[name]
        if operand.kind != "real" or not self._is_zero(operand):
            raise OpError(
                f"'{name}' must be zeros before a loop collects into it",
                self.reader.span(self.indexed[name]),
                f"write  {name} = zeros(…)  before the loop, and every slice in the loop",
            )
        self._forget(name)
        return operand.shape

    def _forget(self, name: str) -> None:
        """Drop the statement of a value that only the loop replaces."""
        tensor = self.outer[name].tensor
        if tensor is None or tensor.name != name:
            return
        others = [o for n, o in self.outer.items() if n != name and o.tensor is tensor]
        if others or any(tensor.name in operands(s) for s in self.build.statements):
            return
        self.build.statements[:] = [s for s in self.build.statements if s.out is not tensor]
        for key in [k for k, o in self.build.shared.items() if o.tensor is tensor]:
            del self.build.shared[key]

    def _renamed(self, tensor: Tensor) -> Tensor:
        """The value before the loop gets a name of its own; the loop has the plain one."""
        defined = [k for k, s in enumerate(self.build.statements) if s.out is tensor]
        if not defined or any(
            isinstance(s, Scan) and tensor.name in operands(s) for s in self.build.statements
        ):
            return tensor
        new = replace(tensor, name=self._unlike(f"{tensor.name}_start"))
        statements = self.build.statements
        statements[defined[0]] = replace(statements[defined[0]], out=new)
        for place in range(defined[0] + 1, len(statements)):
            statements[place] = renamed(statements[place], tensor.name, new)
        for table in (self.outer, self.build.shared):
            for key, operand in list(table.items()):
                if operand.tensor is tensor:
                    table[key] = of_tensor(new)
        return new

    def _given_name(self, wish: str, operand: Operand) -> Tensor:
        made = self.build.assign(self._unlike(wish), operand).tensor
        assert made is not None
        return made

    def _unlike(self, wish: str) -> str:
        taken = {s.out.name for s in self.build.statements} | set(self.around.taken)
        taken |= set(self.outer)
        name, number = wish, 2
        while name in taken:
            name, number = f"{wish}{number}", number + 1
        return name

    def _named_inputs(self) -> None:
        """Values without a name that the body may read get one: a loop reads names only."""
        for name, operand in list(self.outer.items()):
            tensor = operand.tensor
            if tensor is not None and tensor.name.startswith("_"):
                made = self.build.assign(self._unlike(name), operand)
                for other, value in list(self.outer.items()):
                    if value.tensor is tensor:
                        self.outer[other] = made

    # -- the body ---------------------------------------------------------------------------

    def _body(
        self, frame: LoopFrame, starts: Mapping[str, _Start]
    ) -> tuple[list[AnyStatement], dict[str, Operand]] | None:
        build = self.build
        saved = build.statements, build.shared, build.frame, build.line
        inside = dict(self.outer)
        inside |= {name: of_tensor(start.input) for name, start in starts.items()}
        # The step counts as a number too, as the entries of arange do.
        inside[self.header.index] = replace(of_tensor(frame.step), tensor=None, labels=None)
        for name in frame.targets:
            inside[name] = Unreadable(
                (), lambda _: NOTHING, Name(name), why=f"the loop collects into '{name}': its "
                "slices cannot be read here",
                hint="carry the value under a name of its own, and collect it at the end",
            )  # fmt: skip
        build.scope, build.statements, build.shared, build.frame = inside, [], {}, frame
        frame.reserved |= {start.input.name for start in starts.values()}
        frame.reserved.add(self.header.index)
        well = True
        try:
            for statement in self.node.body:
                build.line = statement.lineno
                well = self.around.line(statement) and well
            if well:
                self._finish(frame, starts)
            return (build.statements, dict(build.scope)) if well else None
        finally:
            build.scope = self.outer
            build.statements, build.shared, build.frame, build.line = saved
            build.lowered.clear()

    def _finish(self, frame: LoopFrame, starts: Mapping[str, _Start]) -> None:
        """Every carried name holds a tensor of the body of the same shape as before."""
        held: set[str] = set()
        for name, start in starts.items():
            operand, span = self.build.scope[name], self.reader.span(self.stores[name])
            if operand.kind != "real" and operand.dim is None:
                raise OpError(f"'{name}' is real before the loop and must stay so", span)
            if operand.shape != start.operand.shape:
                raise OpError(
                    f"'{name}' is carried from step to step: it has the shape "
                    f"{shape_text(start.operand.shape)} before the loop and "
                    f"{shape_text(operand.shape)} after a step",
                    span,
                    f"begin with the whole shape:  {name} = zeros({shape_text(operand.shape)})",
                )
            tensor = own_tensor(self.build, operand)
            if tensor.name in held:  # two names for one value: each travels by itself
                copied = self.build.assign(frame.fresh(name), of_tensor(tensor)).tensor
                assert copied is not None
                tensor = copied
            held.add(tensor.name)
            self.build.scope[name] = of_tensor(tensor)
        for name, place in self.indexed.items():
            if name not in frame.collected:
                raise OpError(f"'{name}' is not collected", self.reader.span(place))

    # -- after the loop -----------------------------------------------------------------------

    def _results(
        self,
        frame: LoopFrame,
        starts: Mapping[str, _Start],
        statements: list[AnyStatement],
        inside: Mapping[str, Operand],
    ) -> None:
        sums: dict[str, tuple[_Start, str]] = {}
        for name, start in starts.items():
            tensor = cast(Tensor, inside[name].tensor)
            kept = {c.source.name for c in frame.collected.values()}
            kept |= {cast(Tensor, inside[n].tensor).name for n in starts if n != name}
            found = _added(self.build, statements, start.input, tensor, kept, name)
            if found is not None:
                statements, source = found
                sums[name] = start, source
        carried = {n: s for n, s in starts.items() if n not in sums}
        last = [n for n in carried if n in self.around.later]
        outputs = [c.source.name for c in frame.collected.values()]
        outputs += [source for _, source in sums.values()]
        outputs += [cast(Tensor, inside[n].tensor).name for n in carried]
        statements = _alive(statements, outputs)
        read = {t.name: t for t in inputs_of(statements)}
        read |= self._written(frame, starts, statements)
        body = Graph(
            f"step {self.header.index}",
            tuple(read.values()),
            (),
            tuple(statements),
            tuple(dict.fromkeys(outputs)),
            self.around.constants,
            hints=dict(self.build.hints),
        )
        loop = Loop(
            self.header.index,
            self.header.first,
            self.header.size,
            self.header.backwards,
            body,
            tuple(s for s in frame.slices.values() if s.name in read),
            tuple(
                Carried(s.input.name, s.initial, cast(Tensor, inside[n].tensor).name, n, s.renamed)
                for n, s in carried.items()
            ),
        )
        for name, made in frame.collected.items():
            self._scan(name, loop, frame.targets[name], made.source.name, "slices",
                       axis=made.axis, offset=made.offset)  # fmt: skip
        for name, (start, source) in sums.items():
            shape = start.operand.shape
            self._scan(name, loop, shape, source, "sum", initial=start.initial)
        for name in last:
            source = cast(Tensor, inside[name].tensor).name
            self._scan(name, loop, carried[name].operand.shape, source, "last")
        bound = {*frame.collected, *sums, *last}
        for name in {*self.stores} - bound:
            kept_by = f"{name.upper()}[:, {self.header.index}] = {name}"
            self.outer[name] = Unreadable(
                (), lambda _: NOTHING, Name(name),
                why=f"'{name}' has a value inside the loop only",
                hint=f"assign it before the loop too, or collect it:  {kept_by}",
            )  # fmt: skip

    def _written(
        self,
        frame: LoopFrame,
        starts: Mapping[str, _Start],
        statements: list[AnyStatement],
    ) -> dict[str, Tensor]:
        """Tensors that stand in the text of the body and cancel in its meaning: ``0 * u``."""
        known = {o.tensor.name: o.tensor for o in self.outer.values() if o.tensor is not None}
        known |= {t.name: t for t in frame.tensors()}
        known |= {start.input.name: start.input for start in starts.values()}
        own = {s.out.name for s in statements}
        mentioned = frozenset[str]().union(*(names(s.tree) for s in statements))
        return {name: known[name] for name in sorted(mentioned & set(known) - own)}

    def _scan(
        self,
        name: str,
        loop: Loop,
        shape: tuple[Dim, ...],
        source: str,
        what: Literal["slices", "last", "sum"],
        *,
        axis: int = 0,
        offset: Dim | None = None,
        initial: Tensor | None = None,
    ) -> None:
        build = self.build
        taken = {s.out.name for s in build.statements} | set(self.around.inputs)
        free = name not in taken and self.around.named
        label = name if free else self._unlike(name)
        out = Tensor(label, shape)
        read = [*loop.sources, *([initial.name] if initial is not None else [])]
        tree = loop_tree(dict.fromkeys(read), label)
        build.statements.append(
            Scan(
                out,
                loop,
                source,
                what,
                tree,
                axis,
                offset or Dim.of(0),
                initial,
                line=self.node.lineno,
            )
        )
        self.outer[name] = of_tensor(out)


def _copy_of(statement: Statement) -> Tensor | None:
    """The tensor that a statement copies entry by entry."""
    term = statement.body.single
    if statement.reduce != "sum" or term is None or term.coefficient != 1 or term.bound:
        return None
    if len(term.factors) != 1 or term.factors[0][1] != 1:
        return None
    base = term.factors[0][0]
    if not isinstance(base, Access) or base.tensor.shape != statement.out.shape:
        return None
    return base.tensor if access(base.tensor, statement.free) == statement.body else None


def _alive(statements: list[AnyStatement], wanted: list[str]) -> list[AnyStatement]:
    needed, kept = set(wanted), []
    for statement in reversed(statements):
        if statement.out.name in needed:
            needed |= operands(statement) | names(statement.tree)
            kept.append(statement)
    return kept[::-1]


def _added(
    build: Builder,
    statements: list[AnyStatement],
    before: Tensor,
    after: Tensor,
    kept: Collection[str],
    name: str,
) -> tuple[list[AnyStatement], str] | None:
    """The body without ``after = before + x``, and the name of x, when x alone is added."""
    place = next(k for k, s in enumerate(statements) if s.out.name == after.name)
    total = statements[place]
    readers = [s for s in statements if before.name in operands(s)]
    if readers != [total] or after.name in kept or not isinstance(total, Statement):
        return None
    if total.reduce != "sum" or any(after.name in operands(s) for s in statements):
        return None
    rest = total.body - access(before, total.free)
    if any(a.tensor.name == before.name for a in accesses(rest)):
        return None
    tree = _without(total.tree, before.name)
    if tree is None:
        return None
    term = rest.single
    if (
        term is not None
        and term.coefficient == 1
        and len(term.factors) == 1
        and isinstance(tree, Name)
        and any(s.out.name == tree.id and s.out.shape == after.shape for s in statements)
    ):
        return [s for k, s in enumerate(statements) if k != place], tree.id
    build.counter += 1
    out = Tensor(f"_{build.counter}", after.shape)
    build.hints.setdefault(out.name, f"{name}_step")
    changed = list(statements)
    changed[place] = replace(total, out=out, body=rest, tree=tree, hidden=True)
    return changed, out.name


def _without(tree: Tree, name: str) -> Tree | None:
    """What a sum adds to a name that stands in it once; None when that cannot be written."""
    if not isinstance(tree, Call) or tree.op not in ("add", "sub"):
        return None
    left, right = tree.args
    if left == Name(name):
        return right if tree.op == "add" else Call("neg", (right,))
    if right == Name(name) and tree.op == "add":
        return left
    inner = _without(left, name)
    return None if inner is None else Call(tree.op, (inner, right))


__all__ = ["Around", "Span", "loaded_names", "lower_loop", "stored_names"]
