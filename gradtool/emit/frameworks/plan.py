"""Which lines a layer has in a framework, and what its backward pass reads of the forward pass.

The forward pass keeps the lines of the spec and the backward pass is the printed one.  What the
backward pass reads are inputs, outputs, and values in between, which the frameworks treat apart:
see the modules that write the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from gradtool.derive.line import Block
from gradtool.derive.naming import telling_name
from gradtool.emit.frameworks.index_lines import index_lines
from gradtool.emit.frameworks.loops import LoopCode, backward_loop, forward_loop
from gradtool.emit.frameworks.words import Words
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.sizes import Read, reads
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Loop, Scan
from gradtool.ir.index import Tensor
from gradtool.ir.order import runnable
from gradtool.ir.tree import (
    Call,
    Name,
    Tree,
    call,
    children,
    count_name,
    names,
    rebuild,
    replace_names,
    size_of,
)
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec, Variable

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

Shapes = Sequence[tuple[str, tuple[Dim, ...]]]


class Line(Struct, frozen=True):
    """``target = tree``, in the words of the framework.

    A loop is a line of its own, and a line that reads it for each result.

    Attributes:
        serves: positions of the inputs whose gradients need it; empty in the forward pass.
        loop: the loop's code; its tree is a Call of "loop" on the names that it reads.
    """

    target: str
    tree: Tree
    serves: frozenset[int] = frozenset()
    loop: LoopCode | None = None

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(name.split(".")[0] for name in names(self.tree))

    @property
    def of_loop(self) -> str | None:
        """The loop that it is a result of."""
        if isinstance(self.tree, Call) and self.tree.op == "loop" and self.loop is None:
            (loop,) = self.tree.args
            assert isinstance(loop, Name)
            return loop.id
        return None


class Input(Struct, frozen=True):
    """An argument of the layer.  `gradient` names its gradient; None when it has none."""

    name: str
    variable: Variable
    gradient: str | None


class Plan(Struct, frozen=True):
    """A layer, with names as they are spelled in the code.

    Attributes:
        inputs: the arrays.
        numbers: named numbers with their values; None for a size that no shape tells.
        forward_sizes, backward_sizes: the sizes that the lines use, and where they are read.
        saved: inputs and outputs that the backward pass reads.
        kept: values between that it reads.
        numbers_read: named numbers that it reads.
        upstream: name and shape of the upstream gradient of each output.
        is_loss: the gradients are those of a single number, to be multiplied by its own.
        needs: helpers, and ``math``.
    """

    inputs: tuple[Input, ...]
    numbers: Mapping[str, int | Fraction | None]
    outputs: tuple[tuple[str, tuple[Dim, ...]], ...]
    forward_sizes: tuple[Read, ...]
    forward: tuple[Line, ...]
    saved: tuple[str, ...]
    kept: tuple[str, ...]
    numbers_read: tuple[str, ...]
    backward_sizes: tuple[Read, ...]
    backward: tuple[Line, ...]
    upstream: tuple[tuple[str, tuple[Dim, ...]], ...]
    is_loss: bool
    needs: frozenset[str]


def plan_of(
    spec: LayerSpec, derivation: Derivation, dialect: type[Words], reserved: frozenset[str]
) -> Plan:
    """The lines of a layer in a framework.

    Args:
        reserved: names that the module uses for itself.

    Raises:
        UnsupportedError: a word without a text, or gradients that were not asked for: the
            frameworks would take a missing gradient for zero.
    """
    return _Planner(spec, derivation, dialect, reserved).plan()


class _Planner:
    def __init__(
        self,
        spec: LayerSpec,
        derivation: Derivation,
        dialect: type[Words],
        reserved: frozenset[str],
    ) -> None:
        self.spec = spec
        self.derivation = derivation
        self.dialect = dialect
        self.graph = derivation.graph
        self.loops = 0
        self.blocks = {x.name: x.block for x in derivation.lines if x.block is not None}
        gradients = {line.of for line in derivation.lines if line.role == "gradient"}
        left_out = [n for n in self.graph.wanted if n not in gradients | {*derivation.zero}]
        if left_out:
            raise UnsupportedError(
                f"{dialect.framework} code without the gradient of {' and '.join(left_out)}",
                hint="it would count as zero: derive all of them, or declare constant: true",
            )
        seed = f"d{self.graph.outputs[0]}" if derivation.is_loss else None
        self.module = ModuleNames(derivation, seed, reserved)
        self.upstream: list[tuple[str, tuple[Dim, ...]]]
        if seed is not None:
            self.upstream = [(self.module.python(seed), ())]
        else:
            self.upstream = [
                (self.module.python(name), shape) for name, shape in derivation.upstream.values()
            ]
        self.inputs = tuple(
            Input(
                self.module.python(v.name),
                v,
                self.module.python(f"d{v.name}") if v.name in gradients else None,
            )
            for v in spec.variables
        )
        self.shapes: dict[str, tuple[Dim, ...]] = {i.name: i.variable.shape for i in self.inputs}

    def plan(self) -> Plan:
        lines = [(line.name, line.tree) for line in self.derivation.lines if line.role != "inner"]
        inner = {line.of or f"?{line.name}": (line.name, line.tree)
                 for line in self.derivation.lines if line.role == "inner"}  # fmt: skip
        read = {n for _, tree in (*lines, *inner.values()) for n in names(tree)}
        forward, made = self._forward(inner, read)
        late = [pair for of, pair in inner.items() if pair[0] not in made]
        upstream = self.upstream[0][0]
        backward = self._translated(_shared([*late, *lines]), upstream, backward=True)
        backward = self._serving(backward)
        return self._meet(forward, backward)

    # -- forward ---------------------------------------------------------------------------

    def _forward(
        self, inner: Mapping[str, tuple[str, Tree]], read: set[str]
    ) -> tuple[list[Line], set[str]]:
        """The forward lines, and the names of the inner values that they define."""
        live = self._live({
            s.out.name for s in self.graph.statements
            if s.out.name in self.graph.outputs or (not s.hidden and s.out.name in read)
        })  # fmt: skip
        trees = {s.out.name: s.tree for s in self.graph.statements if s.out.name in live}
        looped = {n for s in self.graph.statements if isinstance(s, Scan) and s.out.name in live
                  for n in names(s.tree)}  # fmt: skip
        uses = {n: sum(count_name(tree, n) for tree in trees.values()) for n in live}
        written: dict[str, Tree] = {}
        lines: list[tuple[str, Tree]] = []
        made: set[str] = set()
        for statement in self.graph.statements:
            name, out = statement.out.name, statement.out
            if name not in live:
                continue
            tree = replace_names(trees[name], written)
            # What a loop reads keeps its name.
            if not statement.hidden or isinstance(statement, Scan) or name in looped:
                lines.append((name, tree))
                continue
            if name in inner:
                target = inner[name][0]
                made.add(target)
            elif (uses[name] > 1 and size_of(tree) > 4) or not self.dialect.knows(tree):
                target = telling_name(statement.tree, self.module.taken)
                self.module.taken.add(target)
            else:
                written[name] = tree
                continue
            self.module.define(Tensor(target, out.shape, out.kind, out.labels))
            written[name] = Name(target)
            lines.append((target, tree))
        like = next(i.name for i in self.inputs if i.variable.dtype == "real")
        return self._translated(lines, like), made

    def _live(self, roots: set[str]) -> set[str]:
        live = set(roots)
        for statement in reversed(self.graph.statements):
            if statement.out.name in live:
                live |= names(statement.tree) & set(self.graph.definitions)
        return live

    # -- translation -----------------------------------------------------------------------

    def _translated(
        self, lines: Iterable[tuple[str, Tree]], like: str, *, backward: bool = False
    ) -> list[Line]:
        words = self.dialect(self.module, like)
        found: list[Line] = []
        lines = list(lines)
        done: dict[Loop | Block, str] = {}
        for name, tree in lines:
            loop = self._loop_of(name, backward)
            if loop is not None:
                if loop not in done:
                    code = self._loop(words, loop, [other for other, _ in lines])
                    self.loops += 1
                    done[loop] = f"<loop {self.loops}>"
                    reads = sorted(name for name in code.reads)
                    tree = call("loop", *map(Name, reads))
                    found.append(Line(done[loop], tree, loop=code))
                found.append(Line(self.module.python(name), call("loop", Name(done[loop]))))
                continue
            if not words.knows(tree):
                made = index_lines(self.module, words, name, tree)
                found += [Line(target, right) for target, right in made]
                continue
            own = self.module.kind(name)
            if own == "int":
                right = words.position(tree)
            else:  # what is named a truth value is read as one
                shown, kind = words.arrayed(tree)
                right = shown if own == kind == "bool" else words.cast(shown, kind)
            found.append(Line(self.module.python(name), right))
        return found

    def _loop_of(self, name: str, backward: bool) -> Loop | Block | None:
        if backward:
            return self.blocks.get(name)
        statement = self.graph.definitions.get(name)
        return statement.loop if isinstance(statement, Scan) else None

    def _loop(self, words: Words, loop: Loop | Block, wanted: Sequence[str]) -> LoopCode:
        """The code of a loop, for those of its results that are wanted."""
        if isinstance(loop, Block):
            results = [name for name in wanted if self.blocks.get(name) is loop]
            return backward_loop(self.module, words, loop, results)
        scans = [s for s in self.graph.statements
                 if isinstance(s, Scan) and s.loop is loop and s.out.name in wanted]  # fmt: skip
        return forward_loop(self.module, words, loop, scans)

    # -- backward --------------------------------------------------------------------------

    def _serving(self, lines: Sequence[Line]) -> list[Line]:
        """The lines that some gradient needs, each with the inputs whose gradients need it."""
        serves: dict[str, set[int]] = {}
        for place, one in enumerate(self.inputs):
            if one.gradient is not None:
                serves.setdefault(one.gradient, set()).add(place)
        ordered = runnable(lines, lambda line: line.target, lambda line: line.reads)
        for line in reversed(ordered):
            for name in line.reads:
                serves.setdefault(name, set()).update(serves.get(line.target, ()))
        return [replace(x, serves=frozenset(serves[x.target])) for x in ordered
                if serves.get(x.target)]  # fmt: skip

    def _meet(self, forward: list[Line], backward: list[Line]) -> Plan:
        outputs = [(self.module.python(n), self.graph.tensors[n].shape) for n in self.graph.outputs]
        own = {line.target for line in backward}
        needed = {n for line in backward for n in line.reads} - own
        made = {line.target for line in forward}
        inputs = [i.name for i in self.inputs]
        results = [name for name, _ in outputs]
        saved = [n for n in dict.fromkeys([*inputs, *results]) if n in needed]
        kept = [line.target for line in forward if line.target in needed - {*results, *inputs}]
        forward = _reached(forward, {*results, *kept})
        forward_reads = {n for line in forward for n in line.reads}
        sizes = [self.module.python(n) for n in self._sizes()]
        asked = [n for n in sizes if n in forward_reads | needed and n not in made]
        shapes: Shapes = list(self.shapes.items())
        head, untold = reads([n for n in asked if n in forward_reads], shapes)
        known = [*self.upstream, *[(n, self._shape(n)) for n in saved + kept], *shapes]
        found, unread = reads([n for n in asked if n in needed], known)
        numbers: dict[str, int | Fraction | None] = dict.fromkeys([*untold, *unread])
        numbers |= {self.module.python(n): v for n, v in self.graph.constants.items()}
        return Plan(
            self.inputs,
            numbers,
            tuple(outputs),
            tuple(head),
            tuple(forward),
            tuple(saved),
            tuple(kept),
            tuple(n for n in numbers if n in needed),
            tuple(found),
            tuple(backward),
            tuple(self.upstream),
            self.derivation.is_loss,
            frozenset(self.module.needs),
        )

    def _sizes(self) -> list[str]:
        """Every named size, those of labels and shapes included."""
        found = dict.fromkeys(self.graph.dimensions)
        for tensor in self.graph.tensors.values():
            for dim in tensor.shape:
                found.update(dict.fromkeys(sorted(dim.symbols)))
        return [name for name in found if name not in self.graph.constants]

    def _shape(self, spelled: str) -> tuple[Dim, ...]:
        for name, operand in self.module.reader.build.scope.items():
            if self.module.python(name) == spelled:
                return operand.shape
        return ()


def _reached(lines: Sequence[Line], wanted: set[str]) -> list[Line]:
    """The lines that the wanted names need."""
    needed = set(wanted)
    kept: list[Line] = []
    for line in reversed(lines):
        if line.target in needed:
            needed |= line.reads
            kept.append(line)
    return kept[::-1]


def _shared(lines: list[tuple[str, Tree]]) -> list[tuple[str, Tree]]:
    """Use the result of one line inside another: ``dbeta`` where ``dY.sum(axis=0)`` stands."""
    table = dict(lines)
    for source in table:
        if size_of(table[source]) < 3:
            continue
        for name, tree in table.items():
            indexed = isinstance(tree, Call) and tree.op == "indexed"
            if name == source or indexed or name in _everything_read(source, table):
                continue
            table[name] = _replaced(tree, table[source], Name(source))
    return list(table.items())


def _everything_read(name: str, table: Mapping[str, Tree]) -> set[str]:
    found: set[str] = set()
    frontier = {name}
    while frontier:
        found |= frontier
        frontier = {n for f in frontier if f in table for n in names(table[f])} - found
    return found


def _replaced(tree: Tree, part: Tree, by: Tree) -> Tree:
    if tree == part:
        return by
    if not any(True for _ in children(tree)):
        return tree
    return rebuild(tree, lambda child: _replaced(child, part, by))
