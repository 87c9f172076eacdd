"""Statements and graphs: named tensors defined one after the other in index notation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import Poly
from gradtool.ir.tree import Tree
from gradtool.ir.walk import accesses, labels
from gradtool.records import Struct, field

T = TypeVar("T")
Reduction: TypeAlias = Literal["sum", "max", "min", "argmax", "argmin"]


class Statement(Struct, frozen=True):
    """``out[free] = reduce over bound of body``.

    A "sum" keeps its bound indices inside the terms of `body`.  "max" and "min" take the best of
    `body` over `bound`; "argmax" and "argmin" give the first best position, counted row-major
    over `bound`.  An axis of size one has a free index that never occurs in `body`.

    Attributes:
        tree: how the value is written with array operations on earlier tensors.
        hidden: an inner value of a line, without a name of its own in the spec.
        line: 1-based line of the forward block.
    """

    out: Tensor
    free: tuple[Index, ...]
    body: Poly
    tree: Tree
    reduce: Reduction = "sum"
    bound: tuple[Index, ...] = ()
    hidden: bool = False
    line: int = 0


class Reshape(Struct, frozen=True):
    """``out = operand.reshape(shape)``: the same entries in row-major order."""

    out: Tensor
    operand: Tensor
    tree: Tree
    hidden: bool = False
    line: int = 0


class MatrixFunction(Struct, frozen=True):
    """``out = function(operands)`` on the last two axes, such as an inverse.

    Its differentiation rule stands with the word in the vocabulary, with its source.
    """

    out: Tensor
    function: str
    operands: tuple[Tensor, ...]
    tree: Tree
    hidden: bool = False
    line: int = 0


class Sliced(Struct, frozen=True):
    """An input of a loop's body: the slice of `source` at ``t + offset`` along `axis`."""

    name: str
    source: Tensor
    axis: int
    offset: Dim


class Carried(Struct, frozen=True):
    """An input of a loop's body that holds a value of the step before.

    Attributes:
        name: the input.
        initial: its value in the first step; None for zeros.
        result: the value of the body that the next step gets.
        label: what the spec calls it.
        renamed: whether its initial value has another name here than in the spec, where both have
            the same.
    """

    name: str
    initial: Tensor | None
    result: str
    label: str = ""
    renamed: bool = False


class Loop(Struct, frozen=True, eq=False, dict=True):
    """``for index in range(first, first + size)``: one step is a graph of the same language.

    Inputs of the body are slices, carried values, the step itself (when it is used, a label
    called `index`) and tensors of the graph around the loop, under the names they have there.
    Loops are compared by identity: the `Scan` statements of one loop share it.
    """

    index: str
    first: Dim
    size: Dim
    backwards: bool
    body: Graph
    sliced: tuple[Sliced, ...] = ()
    carried: tuple[Carried, ...] = ()

    @cached_property
    def invariant(self) -> tuple[Tensor, ...]:
        """The inputs of the body that are the same in every step."""
        own = {s.name for s in self.sliced} | {c.name for c in self.carried} | {self.index}
        return tuple(t for t in self.body.inputs if t.name not in own)

    def shape_of(self, name: str) -> tuple[Dim, ...]:
        """The shape of a carried value, which the body need not read."""
        result = next(c.result for c in self.carried if c.name == name)
        return self.body.tensors[result].shape

    @cached_property
    def sources(self) -> Mapping[str, Tensor]:
        """The tensors around the loop that it reads."""
        found = {t.name: t for t in self.invariant}
        found.update((s.source.name, s.source) for s in self.sliced)
        found.update((c.initial.name, c.initial) for c in self.carried if c.initial is not None)
        return found


class Scan(Struct, frozen=True):
    """One result of a loop: what becomes of the body's value `source`.

    "slices" puts the value of every step at ``t + offset`` along `axis` of an array that is zero
    elsewhere; "last" is the value after the last step; "sum" adds the values to `initial`.
    """

    out: Tensor
    loop: Loop
    source: str
    what: Literal["slices", "last", "sum"]
    tree: Tree
    axis: int = 0
    offset: Dim = ZERO
    initial: Tensor | None = None
    hidden: bool = False
    line: int = 0


AnyStatement: TypeAlias = Statement | Reshape | MatrixFunction | Scan


class Graph(Struct, frozen=True, dict=True):
    """A forward (or backward) pass: typed inputs, then single-assignment statements.

    Attributes:
        inputs: tensors that are given, in the order of the spec.
        wanted: names of the inputs that get a gradient.
        outputs: names of the results, in order.
        constants: named numbers; an int may occur in sizes.
        assumptions: sizes that must be >= 0 for the code to make sense (slices, windows).
        remarks: what the reader should know of the names.
        hints: names that a used spec gave to inner values.
        distributions: constant inputs that sum to one over their last axis, by their domain.
        memory: what later stages found out about this graph, by `once`; a changed graph begins
            with an empty one.
    """

    name: str
    inputs: tuple[Tensor, ...]
    wanted: tuple[str, ...]
    statements: tuple[AnyStatement, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, int | Fraction] = field(default_factory=dict)
    assumptions: tuple[Dim, ...] = ()
    remarks: tuple[str, ...] = ()
    distributions: frozenset[str] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def memory(self) -> dict[Any, Any]:
        return {}

    def once(self, make: Callable[..., T], *more: Hashable) -> T:
        """`make` of this graph and of `more`, kept in its memory: made when first asked for."""
        key = (make, *more)
        if key not in self.memory:
            self.memory[key] = make(self, *more)
        found: T = self.memory[key]
        return found

    @cached_property
    def integers(self) -> Mapping[str, int]:
        """The named whole numbers, which may stand in sizes."""
        return {name: value for name, value in self.constants.items() if isinstance(value, int)}

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        table = {tensor.name: tensor for tensor in self.inputs}
        table.update((statement.out.name, statement.out) for statement in self.statements)
        return table

    @cached_property
    def names(self) -> frozenset[str]:
        """What an index must not be called like: values, named constants and sizes."""
        return frozenset((*self.tensors, *self.constants, *self.dimensions))

    @cached_property
    def definitions(self) -> Mapping[str, AnyStatement]:
        return {statement.out.name: statement for statement in self.statements}

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the sizes, in order of first use, without the named constants."""
        seen: dict[str, None] = {}
        for tensor in self.inputs:
            dims = [*tensor.shape, *([tensor.labels] if tensor.labels is not None else [])]
            for dim in dims:
                for symbol in _in_order(dim):
                    seen.setdefault(symbol)
        return tuple(name for name in seen if name not in self.constants)


def every_statement(graph: Graph) -> Iterator[AnyStatement]:
    """All statements, those of loops included."""
    yield from graph.statements
    loops = {s.loop for s in graph.statements if isinstance(s, Scan)}
    for loop in loops:
        yield from every_statement(loop.body)


def operands(statement: AnyStatement) -> frozenset[str]:
    """Names of the tensors that a statement reads."""
    match statement:
        case Statement(body=body):
            return tensors_in(body)
        case Reshape(operand=operand):
            return frozenset((operand.name,))
        case MatrixFunction(operands=several):
            return frozenset(tensor.name for tensor in several)
        case Scan(loop=loop, initial=initial):
            return frozenset(loop.sources) | ({initial.name} if initial is not None else set())


def leads_to_output(graph: Graph, name: str) -> bool:
    """Whether an output depends on a value, be it through a comparison only."""
    return not computed_from(graph, (name,)).isdisjoint(graph.outputs)


def computed_from(graph: Graph, given: Iterable[str]) -> frozenset[str]:
    """The given values, and those that depend on one of them, be it through a comparison only."""
    reached = set(given)
    for statement in graph.statements:
        if operands(statement) & reached:
            reached.add(statement.out.name)
    return frozenset(reached)


def inputs_of(statements: Iterable[AnyStatement]) -> tuple[Tensor, ...]:
    """The tensors that statements read and that none of them defines, in order of first use."""
    made = {statement.out.name for statement in statements}
    found: dict[str, Tensor] = {}
    for statement in statements:
        match statement:
            case Statement(body=body):
                read = [a.tensor for a in accesses(body)] + [x.tensor for x in labels(body)]
            case Reshape(operand=operand):
                read = [operand]
            case MatrixFunction(operands=several):
                read = list(several)
            case Scan(loop=loop, initial=initial):
                read = [*loop.sources.values(), *([initial] if initial is not None else [])]
        found.update((t.name, t) for t in read if t.name not in made and t.name not in found)
    return tuple(found.values())


def tensors_in(body: Poly) -> frozenset[str]:
    """Names of all tensors that an expression mentions, labels included."""
    found = {access.tensor.name for access in accesses(body)}
    return frozenset(found | {label.tensor.name for label in labels(body)})


def _in_order(dim: Dim) -> list[str]:
    found: list[str] = []
    for monomial, _ in dim.terms:
        for atom, _ in monomial:
            if isinstance(atom, str):
                found.append(atom)
            else:
                found += [*_in_order(atom.numerator), *_in_order(atom.denominator)]
    return found


def refuse_loops(graph: Graph, what: str) -> None:
    """Refuse a graph with a loop where loops are not written yet.

    Raises:
        UnsupportedError
    """
    if any(isinstance(statement, Scan) for statement in graph.statements):
        raise UnsupportedError(f"a loop over an axis in {what}", "the plain text form has loops")
