"""What the names of a derivation are in an emitted module: kinds, shapes, spelling."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from gradtool.emit.numpy_words import Kind
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph, Statement
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Items, Tree, call, integer, names, rebuild
from gradtool.ops.build import Operand, of_tensor
from gradtool.records import replace
from gradtool.spec.lines import LineReader

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

# Names that the emitted module uses for itself.
_RESERVED = frozenset(
    {"np", "math", "erf", "cache", "dtype", "upstream", "forward", "backward", "Gradients",
     "NamedTuple", "sliding_window_view"}
)  # fmt: skip


class ModuleNames:
    """The names of one emitted module; implements `gradtool.emit.numpy_words.Names`.

    Attributes:
        reserved: names that the module uses for itself.
        needs: helpers, ``math`` and ``erf`` that the code has asked for.
        windows: names of arrays of overlapping windows, which have no memory of their own.
        made: arrays that index notation needs and array words do not say, by what they are.
        counters: the steps of loops that are plain integers of Python.
        steps: the steps of all loops.
        parts: names of what an array is at one place of a window, with the array.
        selectors: names of winners of a maximum, with the statement that finds them.
    """

    def __init__(
        self, derivation: Derivation, seed: str | None, reserved: frozenset[str] = _RESERVED
    ) -> None:
        self.reserved = reserved
        graph = derivation.graph
        self.graph: Graph = graph
        self.needs: set[str] = set()
        self.counters: set[str] = set()
        self.steps: set[str] = set()
        self.selectors: dict[str, Statement] = {}
        self.windows: set[str] = set()
        self.parts: dict[str, str] = {}
        self.made: dict[Tree, str] = {}
        given = [Tensor(name, shape) for name, shape in derivation.upstream.values()]
        self.reader = LineReader(graph, given)
        for tensor in graph.tensors.values():
            self.reader.build.scope[tensor.name] = of_tensor(tensor)
        self.seed = seed
        self._spelled: dict[str, str] = {}
        for line in derivation.lines:
            inner = graph.definitions.get(line.of) if line.role == "inner" else None
            if inner is not None:
                self.define(replace(inner.out, name=line.name))
            else:
                self.add(line.name, line.tree, line.shape)
        known = [*graph.tensors, *self.reader.build.scope, *graph.constants, *graph.dimensions]
        self.taken = set(known) | ({seed} if seed else set())
        for name in dict.fromkeys(known):
            self.spell(name)
        for name, spelled in self._spelled.items():
            if name in self.reader.build.scope:
                self.reader.build.scope[spelled] = self.reader.build.scope[name]

    def add(self, name: str, tree: Tree, shape: tuple[Dim, ...]) -> None:
        """A tensor that the backward pass defines."""
        tensor = Tensor(name, shape)
        found = self._operand(tree)
        if found is not None and found.kind != "real":
            tensor = Tensor(name, shape, found.kind, found.labels)
        self.define(tensor)

    def define(self, tensor: Tensor) -> None:
        self.reader.build.scope[tensor.name] = of_tensor(tensor)

    def _operand(self, tree: Tree) -> Operand | None:
        from gradtool.ops.errors import OpError

        try:
            return self.reader.operand(tree)
        except OpError:
            return None  # index notation: always real

    def spell(self, name: str) -> None:
        """Choose how a name is written: not like a word of Python or of the module."""
        spelled = name
        while (
            spelled in self.reserved
            or keyword.iskeyword(spelled)
            or _hides_builtin(spelled)
            or (spelled != name and spelled in self.taken)
        ):
            spelled += "_"
        if spelled != name:
            self._spelled[name] = spelled
            self.taken.add(spelled)

    def fresh(self, wish: str) -> str:
        """A new local name."""
        name, number = wish, 2
        while name in self.taken or name in self.reserved or keyword.iskeyword(name):
            name, number = f"{wish}{number}", number + 1
        self.taken.add(name)
        return name

    @cached_property
    def short_sizes(self) -> frozenset[str]:
        """Sizes that are subtracted from others in the shapes of the layer: windows."""
        dims = [d for tensor in self.graph.tensors.values() for d in tensor.shape]
        found = {s for dim in [*dims, *self.graph.assumptions] for s in _subtracted(dim)}
        return frozenset(found - self.graph.constants.keys())

    # -- Names ----------------------------------------------------------------------------

    def kind(self, name: str) -> Kind:
        operand = self.reader.build.scope.get(name)
        if name == self.seed or operand is None or name in self.counters:
            return "size"
        if operand.kind == "index":
            return "int"
        return operand.kind

    def kind_of(self, tree: Tree) -> Kind:
        """The kind of an expression of names of one kind."""
        kinds = {self.kind(name) for name in names(tree)}
        return kinds.pop() if len(kinds) == 1 else "size" if not kinds else "real"

    def python(self, name: str) -> str:
        return self._spelled.get(name, name)

    def shape(self, tree: Tree) -> tuple[Dim, ...]:
        return self.reader.shape(self._at_a_step(_in_the_language(tree)))

    def _at_a_step(self, tree: Tree) -> Tree:
        """``X[:, t - 1]`` as ``X[:, 0]``: of the same shape, and nobody asks whether t >= 1."""
        new = rebuild(tree, self._at_a_step)
        match new:
            case Call(op="getitem", args=(source, Items(items=entries))):
                shown = (integer(0) if self._is_step(entry) else entry for entry in entries)
                return Call("getitem", (source, Items(tuple(shown))), new.kwargs)
            case Call(op="getitem", args=(source, entry)) if self._is_step(entry):
                return Call("getitem", (source, integer(0)), new.kwargs)
        return new

    def _is_step(self, tree: Tree) -> bool:
        read = names(tree)
        return not read.isdisjoint(self.steps) and all(
            n in self.steps or n not in self.reader.build.scope for n in read
        )

    def classes(self, labels: Tree) -> Dim | None:
        return self.reader.operand(labels).labels

    def need(self, what: str) -> None:
        self.needs.add(what)

    def tensor(self, name: str) -> Tensor:
        found = self.reader.build.scope[name].tensor
        assert found is not None
        return found

    def tensors(self, names: Iterable[str]) -> list[Tensor]:
        return [self.tensor(name) for name in names]


def _in_the_language(tree: Tree) -> Tree:
    """An expression with the words that only emitted code has as words of the spec language."""
    new = rebuild(tree, _in_the_language)
    match new:
        case Call(op="contract", args=args):
            return Call("einsum", args)
        case Call(op="vecdot", args=(left, right)):
            return Call("sum", (call("mul", left, right),), (("axis", integer(-1)),))
    return tree if new == tree else new


def _subtracted(dim: Dim) -> Iterator[str]:
    for monomial, coefficient in dim.terms:
        for part, _ in monomial:
            if not isinstance(part, str):
                yield from _subtracted(part.numerator)
            elif coefficient < 0:
                yield part


def _hides_builtin(name: str) -> bool:
    """The few builtins that emitted code calls."""
    return name in ("abs", "slice", "range", "tuple") and hasattr(builtins, name)
