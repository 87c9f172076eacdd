"""Loops over an axis in a framework's words: what is set before, one step, what follows.

Arrays that collect a value of every step are made of zeros before the loop and written slice by
slice, as the printed loop does.  How a loop is run is the dialect's: a Python loop in PyTorch, a
`jax.lax.scan` in JAX, so that neither text nor compiled code grows with the number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.derive.line import Block, Step, target_name
from gradtool.emit.frameworks.words import Words
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Loop, Scan
from gradtool.ir.index import Tensor
from gradtool.ir.tree import (
    Call,
    Items,
    Name,
    Slice,
    Tree,
    call,
    count_name,
    names,
    replace_names,
    size_of,
)
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct


class Assignment(Struct, frozen=True):
    """``target = tree`` in a framework's words; a target in brackets is a part of an array."""

    target: Tree
    tree: Tree

    @property
    def name(self) -> str:
        return target_name(self.target)


class LoopCode(Struct, frozen=True):
    """A loop as code.

    Attributes:
        index, first, stop, backwards: its steps.
        before: the values that it begins with.
        steps: the lines of one step.
        after: the lines that follow it.
        results: the names that the code after it may read.
    """

    index: str
    first: Tree | None
    stop: Tree
    backwards: bool
    before: tuple[Assignment, ...]
    steps: tuple[Assignment, ...]
    after: tuple[Assignment, ...]
    results: tuple[str, ...]

    @property
    def reads(self) -> frozenset[str]:
        """The names around the loop that it needs."""
        ends = (self.stop,) if self.first is None else (self.first, self.stop)
        found = frozenset[str]().union(*map(names, ends))
        made: set[str] = {self.index}
        for line in (*self.before, *self.steps, *self.after):
            read = names(line.tree)
            if not isinstance(line.target, Name):
                read |= names(line.target)
            found |= {n for n in read if n.split(".")[0] not in made}
            made.add(line.name)
        return found

    @property
    def carried(self) -> tuple[str, ...]:
        """The names that one step hands to the next."""
        begun = [line.name for line in self.before]
        changed = {line.name for line in self.steps}
        return tuple(name for name in dict.fromkeys(begun) if name in changed)


class _Scope:
    """The names of a loop's step, which are forgotten after it."""

    def __init__(self, module: ModuleNames, words: Words, index: str, size: Dim) -> None:
        self.module = module
        self.words = words
        self.outer = dict(module.reader.build.scope)
        self.define(Tensor(index, (), "index", size))
        words.steps.add(index)
        module.steps.add(index)
        self.index = module.python(index)

    def define(self, tensor: Tensor) -> None:
        self.module.define(tensor)
        self.module.spell(tensor.name)

    def close(self, kept: Sequence[Tensor]) -> None:
        self.module.reader.build.scope.clear()
        self.module.reader.build.scope.update(self.outer)
        for tensor in kept:
            self.define(tensor)

    def right(self, tree: Tree, kind: str = "real") -> Tree:
        if not self.words.knows(tree):
            raise UnsupportedError(f"index notation inside a loop in {self.words.framework} code")
        return self.words.position(tree) if kind == "index" else self.words.array(tree)

    def ends(self, loop: Loop | Block) -> tuple[Tree | None, Tree]:
        first = None if loop.first == ZERO else self.words.position(dim_tree(loop.first))
        return first, self.words.position(dim_tree(loop.first + loop.size))

    def zeros(self, tensor: Tensor) -> Tree:
        if not tensor.shape:
            return self.words.number_array(Name("0.0"))
        made = self.words.typed(call("zeros", Items(tuple(map(dim_tree, tensor.shape)))))[0]
        return self.words.of_integers(made) if tensor.kind == "index" else made


def forward_loop(module: ModuleNames, words: Words, loop: Loop, scans: Sequence[Scan]) -> LoopCode:
    """The code of a forward loop with the results `scans`."""
    body = loop.body
    scope = _Scope(module, words, loop.index, loop.first + loop.size)
    written: dict[str, Tree] = {}  # inputs of the step and hidden values, as they are written
    carried: dict[str, str] = {}
    sources: dict[str, Tensor] = {t.name: t for t in body.inputs}
    for part in loop.carried:
        if part.name in sources:
            old = sources[part.name]
            carried[part.name] = module.fresh(f"{part.label or part.result}_before".lstrip("_"))
            scope.define(Tensor(carried[part.name], old.shape, old.kind, old.labels))
            written[part.name] = Name(carried[part.name])
    for piece in loop.sliced:
        written[piece.name] = _entry(piece.source, piece.axis, loop.index, piece.offset)
    wanted = {s.source for s in scans} | {c.result for c in loop.carried}
    lines = _step_lines(scope, loop, written, wanted)
    made = {line.name for line in lines}

    def value(source: str) -> Tree:
        return scope.right(written.get(source, Name(source)), body.tensors[source].kind)

    handed_on = {part.result for part in loop.carried if part.name in carried}
    before: list[Assignment] = []
    top: list[Assignment] = []
    end: list[Assignment] = []
    after: list[Assignment] = []
    for scan in scans:
        out = Name(module.python(scan.out.name))
        if scan.what == "last" and words.forgets_steps and scan.source not in handed_on:
            before.append(Assignment(out, scope.zeros(scan.out)))
            end.append(Assignment(out, value(scan.source)))
            continue
        if scan.what == "last":
            after.append(Assignment(out, value(scan.source)))
            continue
        begin = scope.zeros(scan.out) if scan.initial is None else words.fresh_copy(
            Name(module.python(scan.initial.name)))  # fmt: skip
        before.append(Assignment(out, begin))
        if scan.what == "sum":
            end.append(Assignment(out, call("add", out, value(scan.source))))
            continue
        scope.define(scan.out)
        target = words.position(_entry(scan.out, scan.axis, loop.index, scan.offset))
        begins = scan.source in carried
        (top if begins else end).append(Assignment(target, value(scan.source)))
    late: list[Assignment] = []
    for part in loop.carried:
        if part.name not in carried:
            continue
        name = Name(carried[part.name])
        begin = scope.zeros(body.tensors[part.result]) if part.initial is None else Name(
            module.python(part.initial.name))  # fmt: skip
        before.append(Assignment(name, begin))
        late.append(Assignment(name, value(part.result)))
    steps = [*top, *lines, *end, *_in_turn(late, words)]
    # The last value is that of the variable that the next step would have begun with.
    last = {value(p.result): Name(carried[p.name]) for p in loop.carried if p.name in carried}
    after = [Assignment(a.target, last.get(a.tree, a.tree)) for a in after]
    before, steps, after = _merged(before, steps, after, carried, loop, module, made)
    first, stop = scope.ends(loop)
    results = tuple(module.python(s.out.name) for s in scans)
    scope.close([s.out for s in scans])
    return LoopCode(
        scope.index, first, stop, loop.backwards, tuple(before), tuple(steps), tuple(after), results
    )


def _step_lines(
    scope: _Scope, loop: Loop, written: dict[str, Tree], wanted: set[str]
) -> list[Assignment]:
    """The lines of a step; hidden values are written where they are used, when that is short."""
    body, module = loop.body, scope.module
    needed = set(wanted)
    for statement in reversed(body.statements):
        if statement.out.name in needed:
            needed |= names(statement.tree)
    live = [s for s in body.statements if s.out.name in needed]
    lines: list[Assignment] = []
    for statement in live:
        if isinstance(statement, Scan):
            raise UnsupportedError(f"a loop in a loop in {scope.words.framework} code")
        out = statement.out
        tree = replace_names(statement.tree, written)
        if statement.hidden:
            uses = sum(count_name(other.tree, out.name) for other in live)
            if out.name not in wanted and (uses < 2 or size_of(tree) <= 4):
                written[out.name] = tree
                continue
            hint = body.hints.get(out.name, "part")
            fresh = module.fresh(hint)
            written[out.name] = Name(fresh)
            out = Tensor(fresh, out.shape, out.kind, out.labels)
        right = scope.right(tree, out.kind)
        scope.define(out)
        lines.append(Assignment(Name(module.python(out.name)), right))
    return lines


def _in_turn(late: Sequence[Assignment], words: Words) -> list[Assignment]:
    """The assignments of values for the next step, each before what it reads is overwritten."""
    waiting, found = list(late), list[Assignment]()
    while waiting:
        ready = next((a for a in waiting if not any(
            a.name in names(b.tree) for b in waiting if b is not a)), None)  # fmt: skip
        if ready is None:
            raise UnsupportedError(f"a loop that swaps values in {words.framework} code")
        waiting.remove(ready)
        found.append(ready)
    return found


def _merged(
    before: list[Assignment],
    steps: list[Assignment],
    after: list[Assignment],
    carried: Mapping[str, str],
    loop: Loop,
    module: ModuleNames,
    made: set[str],
) -> tuple[list[Assignment], list[Assignment], list[Assignment]]:
    """One variable for a value and its successor, where nothing reads the old one afterwards."""
    for part in loop.carried:
        name = carried.get(part.name)
        result = module.python(part.result)
        if name is None or result not in made:
            continue
        place = next(k for k, line in enumerate(steps) if line.target == Name(result))
        reads = [k for k, line in enumerate(steps) if name in names(line.tree)]
        taken = {n for line in before for n in (*names(line.tree), line.name)}
        if max(reads, default=-1) > place or result in taken:
            continue
        table: dict[str, Tree] = {name: Name(result)}
        moved = [
            [
                Assignment(replace_names(a.target, table), replace_names(a.tree, table))
                for a in part_
            ]
            for part_ in (before, steps, after)
        ]
        before, steps, after = ([a for a in several if a.target != a.tree] for several in moved)
    return before, steps, after


def backward_loop(
    module: ModuleNames, words: Words, block: Block, results: Sequence[str]
) -> LoopCode:
    """The code of a loop of the backward pass, which defines `results`."""
    scope = _Scope(module, words, block.index, block.first + block.size)
    stored = {target_name(s.target) for s in block.steps if not isinstance(s.target, Name)}
    kept: list[Tensor] = []

    def assigned(step: Step, begins: bool = False) -> Assignment:
        right, target = scope.right(step.tree), step.target
        if isinstance(target, Name):
            module.add(target.id, step.tree, step.shape)
            module.spell(target.id)
            if target.id in results:
                kept.append(module.tensor(target.id))
        if begins and target_name(target) in stored:
            right = words.fresh_copy(right)
        place = words.position(target)
        return Assignment(place, call("add", place, right) if step.operator == "+=" else right)

    before = [assigned(step, begins=True) for step in block.before]
    steps = [assigned(step) for step in block.steps]
    after = [assigned(step) for step in block.after]
    first, stop = scope.ends(block)
    spelled = tuple(module.python(name) for name in results)
    scope.close(kept)
    return LoopCode(
        scope.index,
        first,
        stop,
        block.backwards,
        tuple(before),
        tuple(steps),
        tuple(after),
        spelled,
    )


def _entry(source: Tensor, axis: int, index: str, offset: Dim) -> Tree:
    place: Tree = Name(index)
    if offset != ZERO:
        value = offset.as_int
        negative = value is not None and value < 0
        place = call("sub" if negative else "add", place, dim_tree(-offset if negative else offset))
    items = (*(Slice(None, None, None) for _ in range(axis)), place)
    return Call("getitem", (Name(source.name), Items(items)))
