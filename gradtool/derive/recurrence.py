"""Loops of the backward pass as they are written: one block of lines for all results of a loop.

A step is compacted and raised like any backward pass.  Then its values get the names that they
have around the loop: slices (``X[:, t]``), what the forward loop collects (``H[:, t]``) or keeps
for this (``i_at[t]``), and the cotangents that travel (``dh_next``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from gradtool.derive.compact import Closed
from gradtool.derive.cotangents import Cotangents, Handed, Turned
from gradtool.derive.line import Block, Line, Step, Tape, target_name
from gradtool.derive.naming import unlike
from gradtool.derive.turn import is_tape, tape
from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.graph import AnyStatement, Graph, Loop, Scan, operands
from gradtool.ir.index import Tensor
from gradtool.ir.tree import (
    Call,
    Items,
    Name,
    Slice,
    Tree,
    call,
    integer,
    loop_tree,
    names,
    rebuild,
    replace_names,
)
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, field, replace

StepLines = Callable[[Cotangents, tuple[str, ...]], tuple[list[Line], Closed]]


def with_blocks(
    lines: Sequence[Line], found: Cotangents, closed: Closed, step_lines: StepLines
) -> tuple[list[Line], Graph, tuple[Tape, ...]]:
    """The lines with the blocks of their loops, the forward graph that keeps what they need, and
    what it keeps."""
    scans = {s.out.name: s for s in closed.statements if isinstance(s, Scan)}
    graph = found.graph
    taken = {*graph.tensors, *graph.constants, *graph.dimensions, *(line.name for line in lines)}
    taken |= {t.name for t in found.upstream.values()}
    taken -= {s.out.name for s in graph.statements if isinstance(s, Scan) and is_tape(s)}
    result = list(lines)
    tapes: list[Tape] = []
    for loop in dict.fromkeys(s.loop for s in scans.values()):
        places = [k for k, x in enumerate(result) if x.name in scans and scans[x.name].loop is loop]
        several = [scans[result[k].name] for k in places]
        known = _known(result[places[0]], loop)
        writing = _Writing(found.turned[loop], several, graph, known, taken, step_lines)
        block = writing.block()
        for k in places:
            tree = loop_tree(sorted(block.reads), result[k].name)
            result[k] = replace(result[k], tree=tree, block=block)
        others = [x for k, x in enumerate(result) if k > places[0] and k not in places]
        result = [*result[: places[0]], *(result[k] for k in places), *others]
        graph = writing.keeping(graph)
        tapes = [*writing.tapes, *tapes]
    return result, graph, (*_begun(result, graph), *tapes)


def _begun(lines: Sequence[Line], graph: Graph) -> Iterator[Tape]:
    """The values before a loop that lines read under other names than the spec has for them."""
    read = frozenset[str]().union(*(names(x.tree) for x in lines if x.block is None))
    for block in dict.fromkeys(x.block for x in lines if x.block is not None):
        for step in (*block.before, *block.steps, *block.after):
            read |= names(step.tree)
    told: set[str] = set()
    for scan in graph.statements:
        for carried in scan.loop.carried if isinstance(scan, Scan) else ():
            initial = carried.initial
            if carried.renamed and initial is not None and initial.name in read - told:
                told.add(initial.name)
                yield Tape(initial.name, "", Name(carried.label), True, scan.line)


def _known(line: Line, loop: Loop) -> dict[str, str]:
    """What the tensors that a loop reads are called in the lines."""
    assert isinstance(line.tree, Call)
    found: dict[str, str] = {}
    for source, tree in zip(loop.sources, line.tree.args, strict=True):
        assert isinstance(tree, Name)
        found[source] = tree.id
    return found


class _Writing(Struct):
    """One loop being written."""

    turned: Turned
    scans: Sequence[Scan]
    graph: Graph
    known: Mapping[str, str]
    taken: set[str]
    step_lines: StepLines
    tapes: list[Tape] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)  # value of the step -> array that keeps it
    entries: dict[str, Tree] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)  # name of an inner line -> tensor

    def block(self) -> Block:
        loop = self.turned.forward
        found = self.turned.found
        sources = {s.source for s in self.scans}
        hands = {h.of for h in self.turned.handed}
        wanted = tuple(
            n for n in self.turned.wanted
            if n in found.of and (found.of[n].name in sources or n in hands)
        )  # fmt: skip
        lines, closed = self.step_lines(found, wanted)
        read = frozenset[str]().union(*(names(line.tree) for line in lines))
        self._name_entries(lines, read)
        own = {target for target in self._results()}
        local: dict[str, Tree] = {}
        for line in lines:
            if line.role == "inner" and line.of in self.entries:
                continue  # kept by the forward loop
            if line.name in own or line.name in self.taken:
                fresh = unlike(f"{line.name}_{loop.index}", self.taken | own)
                self.taken.add(fresh)
                local[line.name] = Name(fresh)
        self.entries |= local
        steps: list[Step] = []
        handing: list[Step] = []
        for line in lines:
            if line.role == "inner" and line.of in self.entries:
                continue
            tree, inner = self._written(line.tree), self._inner(line.tree)
            uses = self._uses(line) if line.role == "gradient" else []
            direct = len(uses) == 1 and line.name not in read
            source = line.name
            indexed = isinstance(tree, Call) and tree.op == "indexed"
            if not uses or not direct or (indexed and uses[0][0] is not None):
                name = local.get(line.name, Name(line.name))
                steps.append(Step(name, "=", tree, line.shape, inner, line.name))
                tree = inner = name
                source = ""
            for target, operator in uses:
                if target is None:
                    hand = next(h for h in self.turned.handed if h.of == line.of)
                    handing.append(Step(Name(hand.name), "=", tree, line.shape, inner, source))
                else:
                    steps.append(Step(target, operator, tree, line.shape, inner, source))
        for hand in self.turned.handed:
            if hand.of not in found.of:
                shape = self._shape(hand)
                handing.append(Step(Name(hand.name), "=", _zeros(shape), shape, _zeros(shape)))
        steps += self._in_turn(handing)
        return Block(
            loop.index, loop.first, loop.size, self.turned.loop.backwards, self._before(),
            tuple(steps),
            self._after(), dict(self.entries), self._values(), loop,
            tuple(lines), closed, found,
        )  # fmt: skip

    # -- names --------------------------------------------------------------------------------

    def _shape(self, hand: Handed) -> tuple[Dim, ...]:
        """The shape of what travels; a step need not read the carried value."""
        if self.turned.along:
            return self.turned.forward.body.tensors[hand.of].shape
        return self.turned.forward.shape_of(hand.of)

    def _results(self) -> set[str]:
        return {s.out.name for s in self.scans} | {h.name for h in self.turned.handed}

    def _name_entries(self, lines: Sequence[Line], read: frozenset[str]) -> None:
        loop, body = self.turned.forward, self.turned.found.graph
        index = loop.index
        for part in (*loop.sliced, *self.turned.seeds):
            source = self.known.get(part.source.name, part.source.name)
            self.entries[part.name] = entry(
                source, len(part.source.shape), part.axis, index, part.offset
            )
        for tensor in (*loop.invariant, *self.turned.loop.invariant):
            name = self.known.get(tensor.name, tensor.name)
            if name != tensor.name:
                self.entries[tensor.name] = Name(name)
        inner = {line.of: line for line in lines if line.role == "inner" and line.of}
        begins = {c.name: c.label for c in loop.carried}
        ends = {c.result: c.label for c in loop.carried}
        for name in body.tensors:
            line = inner.get(name)
            if line is None and name not in read:
                continue
            if name in begins:
                self._keep(name, name, Name(begins[name]), begins=True)
            elif name in body.definitions:
                collected = self._collected(name)
                if collected is not None:
                    self.entries[name] = collected
                else:
                    called = ends.get(name, name)
                    shown = Name(called) if line is None else line.tree
                    self._keep(name, called if line is None else line.name, shown)
            if line is not None:
                self.entries[line.name] = self.entries[name]
                self.aliases[line.name] = name

    def _collected(self, name: str) -> Tree | None:
        for scan in self.graph.statements:
            if (
                isinstance(scan, Scan)
                and scan.loop is self.turned.forward
                and scan.source == name
                and scan.what == "slices"
                and not is_tape(scan)
            ):
                rank = len(scan.out.shape)
                return entry(scan.out.name, rank, scan.axis, scan.loop.index, scan.offset)
        return None

    def _keep(self, source: str, wish: str, tree: Tree, *, begins: bool = False) -> None:
        loop = self.turned.forward
        name = unlike(wish if begins else f"{wish}_at", self.taken)
        self.taken.add(name)
        self.kept[source] = name
        rank = len(self.turned.found.graph.tensors[source].shape) + 1
        self.entries[source] = entry(name, rank, 0, loop.index)
        line = next(s.line for s in self.graph.statements
                    if isinstance(s, Scan) and s.loop is loop)  # fmt: skip
        self.tapes.append(Tape(name, loop.index, self._in_step(tree), begins, line))

    def _in_step(self, tree: Tree) -> Tree:
        """A value in names of the step of the forward loop."""
        loop = self.turned.forward
        table = {s.name: self.entries[s.name] for s in loop.sliced}
        # By then a step may have given the name of a carried value to the next one.
        table |= {c.name: self.entries[c.name] for c in loop.carried if c.name in self.entries}
        table |= {c.result: Name(c.label) for c in loop.carried}
        return _replaced(tree, table)

    def _written(self, tree: Tree) -> Tree:
        tree = _counted(tree, self.turned.forward.index)
        return _replaced(_apart(tree, self._outside(tree)), self.entries)

    def _outside(self, tree: Tree) -> frozenset[str]:
        """Names that entries bring into an expression: no index of it may be called so."""
        found = {self.turned.forward.index}
        for name in names(tree):
            if name in self.entries:
                # The name itself, too: an index that is called like it would be replaced.
                found |= {name} | names(self.entries[name])
        return frozenset(found)

    # -- what becomes of the values of a step ----------------------------------------------------

    def _inner(self, tree: Tree) -> Tree:
        renamed = {k: v for k, v in self.entries.items() if isinstance(v, Name)}
        tree = _counted(tree, self.turned.forward.index)
        return _replaced(_apart(tree, self._outside(tree)), renamed)

    def _values(self) -> dict[str, Tensor]:
        """The tensors that are written as entries."""
        found: dict[str, Tensor] = {}
        seeds = {s.name: s.source.shape for s in self.turned.seeds}
        axes = {s.name: s.axis for s in self.turned.seeds}
        for name in self.entries:
            tensor = self.turned.found.graph.tensors.get(self.aliases.get(name, name))
            if tensor is not None:
                found[name] = replace(tensor, name=name)
            elif name in seeds:
                whole = seeds[name]
                found[name] = Tensor(name, (*whole[: axes[name]], *whole[axes[name] + 1 :]))
        return found

    def _uses(self, line: Line) -> list[tuple[Tree | None, str]]:
        """The results that a cotangent of the step goes into; None for what travels on."""
        of = self.turned.found.of.get(line.of)
        if of is None:
            return []
        found: list[tuple[Tree | None, str]] = []
        for scan in self.scans:
            if scan.source != of.name or not self._same_input(scan, line.of):
                continue
            if scan.what == "sum":
                found.append((Name(scan.out.name), "+="))
            elif scan.what == "slices":
                place = entry(
                    scan.out.name, len(scan.out.shape), scan.axis, scan.loop.index, scan.offset
                )
                found.append((place, "="))
        if any(h.of == line.of for h in self.turned.handed):
            found.append((None, "="))
        return found

    def _same_input(self, scan: Scan, name: str) -> bool:
        """Two inputs of a step may share one cotangent; each goes into its own result."""
        if self.turned.along:
            return True
        loop = self.turned.forward
        sliced = next((s for s in loop.sliced if s.name == name), None)
        if scan.what == "slices":
            return (
                sliced is not None
                and sliced.axis == scan.axis
                and sliced.offset == scan.offset
                and self._result_of(scan) == sliced.source.name
            )
        return sliced is None and self._result_of(scan) == name

    def _result_of(self, scan: Scan) -> str:
        """The tensor of the graph that a result is a part of the cotangent of."""
        return self.turned.arrivals[scan.line][0].name

    def _in_turn(self, handing: Sequence[Step]) -> list[Step]:
        """Assignments of what travels on, each after the lines that read the value it replaces."""
        waiting, steps, last = list(handing), [], []
        while waiting:
            ready = next(
                (
                    one
                    for one in waiting
                    if not any(
                        target_name(one.target) in names(o.tree) for o in waiting if o is not one
                    )
                ),
                None,
            )
            if ready is None:  # each reads another's: put one aside
                one = waiting.pop(0)
                aside = Name(unlike(f"{target_name(one.target)}_new", self.taken))
                self.taken.add(aside.id)
                steps.append(replace(one, target=aside))
                last.append(replace(one, tree=aside, inner=aside, source=""))
            else:
                waiting.remove(ready)
                steps.append(ready)
        return [*steps, *last]

    def _before(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        for scan in self.scans:
            if scan.what != "last":
                shape = scan.out.shape
                steps.append(_plain(scan.out.name, _zeros(shape), shape))
        for hand in self.turned.handed:
            shape = self._shape(hand)
            initial = hand.initial
            begin = (
                _zeros(shape)
                if initial is None
                else Name(self.known.get(initial.name, initial.name))
            )
            steps.append(_plain(hand.name, begin, shape))
        return tuple(steps)

    def _after(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        carried = {c.result: c.name for c in self.scans[0].loop.carried}
        for scan in self.scans:
            if scan.what == "last":
                value = Name(carried[scan.source])
                steps.append(_plain(scan.out.name, value, scan.out.shape))
        return tuple(steps)

    # -- the forward loop ------------------------------------------------------------------------

    def keeping(self, graph: Graph) -> Graph:
        """The graph whose forward loop keeps exactly what the block reads."""
        old = self.turned.forward
        several = [s for s in graph.statements if isinstance(s, Scan) and s.loop is old]
        body = self.turned.found.graph
        wanted = {s.source for s in several if not is_tape(s)} | set(self.kept)
        wanted |= {c.result for c in old.carried}
        statements: list[AnyStatement] = []
        for statement in reversed(body.statements):
            if statement.out.name in wanted:
                wanted |= operands(statement) | names(statement.tree)
                statements.append(statement)
        new = replace(
            old,
            body=replace(old.body, statements=tuple(reversed(statements))),
        )
        result: list[AnyStatement] = []
        for statement in graph.statements:
            if not isinstance(statement, Scan) or statement.loop is not old:
                result.append(statement)
            elif not is_tape(statement):
                result.append(replace(statement, loop=new))
            if isinstance(statement, Scan) and statement is several[-1]:
                for source, name in self.kept.items():
                    result += tape(replace(several[0], loop=new), source, name)
        return replace(graph, statements=tuple(result))


def entry(name: str, rank: int, axis: int, index: str, offset: Dim = ZERO) -> Tree:
    """``name[:, t]``."""
    place: Tree = Name(index)
    value = offset.as_int
    if value is not None and value < 0:
        place = call("sub", place, integer(-value))
    elif offset.terms:
        place = call("add", place, dim_tree(offset))
    items = (*(Slice(None, None, None) for _ in range(axis)), place)
    return Call("getitem", (Name(name), Items(items)))


def _plain(name: str, tree: Tree, shape: tuple[Dim, ...]) -> Step:
    return Step(Name(name), "=", tree, shape, tree)


def _zeros(shape: Sequence[Dim]) -> Tree:
    if not shape:
        return integer(0)
    items = tuple(dim_tree(dim) for dim in shape)
    return Call("zeros", (Items(items) if len(items) > 1 else items[0],))


def _counted(tree: Tree, index: str) -> Tree:
    """The step as a number by its name: ``t`` for ``arange(T)[t]``."""
    if isinstance(tree, Call) and tree.op == "getitem" and tree.args[1] == Items((Name(index),)):
        base = tree.args[0]
        if isinstance(base, Call) and base.op == "arange":
            return Name(index)
    return rebuild(tree, lambda child: _counted(child, index))


def _apart(tree: Tree, outside: frozenset[str]) -> Tree:
    """Index notation whose indices have other names than what it is about to mention."""
    if not isinstance(tree, Call):
        return rebuild(tree, lambda child: _apart(child, outside))
    declared: tuple[Tree, ...] = ()
    for group in (tree.args[0] if tree.op == "indexed" else None, tree.keyword("over")):
        if isinstance(group, Items):
            declared += group.items
    bound = {n for one in declared for n in _indices(one)}
    present = names(tree) | outside
    table: dict[str, Tree] = {}
    for name in sorted(bound & outside):
        fresh = next(c for c in "ijklmnpqrsuvwabcdefgh" if c not in present)
        present |= {fresh}
        table[name] = Name(fresh)
    if table:
        tree = replace_names(tree, table)
    return rebuild(tree, lambda child: _apart(child, outside))


def _indices(tree: Tree) -> frozenset[str]:
    """The index that ``n`` or ``n < N`` declares."""
    first = tree.args[0] if isinstance(tree, Call) else tree
    return frozenset((first.id,)) if isinstance(first, Name) else frozenset()


def _replaced(tree: Tree, table: Mapping[str, Tree]) -> Tree:
    """Names replaced; an entry of a slice becomes an entry of the array: ``X[n, t, d]``."""
    if isinstance(tree, Name):
        return table.get(tree.id, tree)
    if isinstance(tree, Call) and tree.op == "indexed":
        return rebuild(tree, lambda child: _entries_replaced(child, table))
    return rebuild(tree, lambda child: _replaced(child, table))


def _entries_replaced(tree: Tree, table: Mapping[str, Tree]) -> Tree:
    if isinstance(tree, Name):
        return table.get(tree.id, tree)
    if isinstance(tree, Call) and tree.op == "getitem" and isinstance(tree.args[0], Name):
        new = table.get(tree.args[0].id)
        if isinstance(new, Call):
            outer, inner = new.args[1], tree.args[1]
            assert isinstance(outer, Items)
            given = list(inner.items if isinstance(inner, Items) else (inner,))
            given = [_entries_replaced(item, table) for item in given]
            items = [given.pop(0) if isinstance(item, Slice) else item for item in outer.items]
            return Call("getitem", (new.args[0], Items((*items, *given))))
    return rebuild(tree, lambda child: _entries_replaced(child, table))
