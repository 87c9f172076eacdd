"""Lowering: from array expressions to statements in index notation.

A word of the vocabulary turns operands into an operand.  An `Operand` knows its shape and gives
its entry at any index expression; views (a transpose, a slice, a broadcast) are operands without
a statement of their own, everything else is a statement with a tensor, shared when the same value
was computed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import NoReturn, Protocol, TypeAlias

from gradtool.ir.dims import ONE, Dim, DimError, shape_text
from gradtool.ir.graph import AnyStatement, MatrixFunction, Reduction, Reshape, Scan, Statement
from gradtool.ir.index import Affine, Index, Kind, Label, Tensor
from gradtool.ir.poly import Poly, Position, access, atom, number, size
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Span, Tree, replace_names
from gradtool.ir.walk import accesses, with_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.truth import deciding
from gradtool.records import Struct, field, replace

Entries: TypeAlias = tuple[Affine, ...]


class Operand(Struct, frozen=True):
    """A value of the forward pass.

    Attributes:
        shape: its axes.
        at: its entry at index expressions, one per axis.
        tree: how it is written, in names of tensors, sizes and constants.
        kind: "real", "index" (integers that index an axis) or "bool" (0/1).
        position: for an integer operand, its entry as an index expression.
        labels: for an integer operand, the size of the axis that it indexes, when known.
        tensor: the tensor that holds it, None for a view or a number.
    """

    shape: tuple[Dim, ...]
    at: Callable[[Entries], Poly]
    tree: Tree
    kind: Kind = "real"
    position: Callable[[Entries], Affine] | None = None
    labels: Dim | None = None
    tensor: Tensor | None = None
    dim: Dim | None = None  # the value of a scalar that is a size, such as N or 2*H
    truth: bool = False  # real here, and truth values in NumPy: ``(X > 0) * (Z > 0)``

    @property
    def of_truths(self) -> bool:
        """Whether NumPy's array is one of truth values."""
        return self.kind == "bool" or self.truth

    @property
    def rank(self) -> int:
        return len(self.shape)


class Unreadable(Operand, frozen=True):
    """A name that must not be read here; says why, and what to do."""

    why: str = ""
    hint: str = ""


class Frame(Protocol):
    """The loop whose body is being lowered."""

    @property
    def step(self) -> Tensor:
        """The step, as a label."""

    def slice(self, build: Builder, x: Operand, entries: Sequence[Tree]) -> Sliced | None:
        """What an index with the step in it reads: a slice, and the entries left to apply."""


Sliced: TypeAlias = tuple[Operand, tuple[Tree, ...]]


class Lowering(Protocol):
    def __call__(self, build: Builder, call: Call) -> Operand: ...


class Builder(Struct):
    """The graph under construction, and the lowering of trees onto it."""

    vocabulary: Mapping[str, Lowering]
    constants: Mapping[str, int | Fraction]
    dimensions: frozenset[str]
    scope: dict[str, Operand] = field(default_factory=dict)
    statements: list[AnyStatement] = field(default_factory=list)
    assumptions: list[Dim] = field(default_factory=list)
    shared: dict[str, Operand] = field(default_factory=dict)
    line: int = 0
    counter: int = 0
    lowered: dict[int, tuple[Tree, Operand]] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    frame: Frame | None = None

    # -- trees to operands ----------------------------------------------------------------

    def operand(self, tree: Tree) -> Operand:
        """Lower an expression.

        Raises:
            OpError: with the span of the part that is wrong.
        """
        match tree:
            case Number(value=value):
                dim = Dim.of(int(value)) if value.denominator == 1 else None
                return constant(number(value), tree, dim)
            case Name(id=name):
                return self._named(name, tree)
            case Literal(value=bool() as truth):
                return Operand((), lambda _: number(int(truth)), tree, "bool")
            case Call(op=op):
                # A word may look at an argument more than once; it is lowered once.
                seen = self.lowered.get(id(tree))
                if seen is not None:
                    return seen[1]
                lowering = self.vocabulary.get(op)
                if lowering is None:
                    raise OpError(f"unknown function '{op}'", tree.span, near=("function", op))
                try:
                    made = lowering(self, tree)
                except OpError as error:
                    raise error.at(tree.span) from None
                if made.kind == "real" and self.of_truths(deciding(tree)):
                    made = replace(made, truth=True)
                self.lowered[id(tree)] = tree, made
                return made
            case Items():
                raise OpError(
                    "a list stands where an array is expected",
                    tree.span,
                    hint="use stack([...]) or concatenate([...]) to join arrays",
                )
            case _:
                raise OpError("this cannot stand where a value is expected", tree.span)

    def of_truths(self, trees: Sequence[Tree]) -> bool:
        """Whether all of some arguments, and at least one, are arrays of truth values."""
        return bool(trees) and all(self.operand(tree).of_truths for tree in trees)

    def is_number(self, body: Poly) -> bool:
        """Whether a value is computed from numbers, sizes and constants alone.

        In Python it is then a plain number, and no array of NumPy.
        """
        numbers: set[str] = set()
        for statement in self.statements:
            if isinstance(statement, Statement) and _made_of(statement.body, numbers):
                numbers.add(statement.out.name)
        return _made_of(body, numbers)

    def _named(self, name: str, tree: Name) -> Operand:
        if name in self.scope:
            found = self.scope[name]
            if isinstance(found, Unreadable):
                raise OpError(found.why, tree.span, found.hint)
            return found
        if name in self.constants:
            value = self.constants[name]
            dim = Dim.of(name) if isinstance(value, int) else None
            return constant(size(Dim.of(name)), tree, dim)
        if name in self.dimensions:
            return constant(size(Dim.of(name)), tree, Dim.of(name))
        if name == "pi":
            return constant(size(Dim.of("pi")), tree, None)
        raise OpError(f"unknown name '{name}'", tree.span, near=("name", name))

    def dim(self, tree: Tree, what: str = "a size") -> Dim:
        """A size written as an expression of integers, dimensions and integer constants."""
        operand = self.operand(tree)
        if operand.dim is None:
            raise OpError(f"{what} must be an integer or a size such as N or 2*H", span_of(tree))
        return operand.dim

    def integer(self, tree: Tree, what: str) -> int:
        value = self.dim(tree, what).as_int
        if value is None:
            raise OpError(f"{what} must be a plain integer", span_of(tree))
        return value

    # -- new tensors ----------------------------------------------------------------------

    def indices(self, shape: Sequence[Dim]) -> tuple[Index, ...]:
        """Fresh free indices, one per axis."""
        made: list[Index] = []
        for axis in shape:
            self.counter += 1
            made.append(Index(f"i{self.counter}", axis))
        return tuple(made)

    def define(
        self,
        free: tuple[Index, ...],
        body: Poly,
        tree: Tree,
        *,
        kind: Kind = "real",
        reduce: Reduction = "sum",
        bound: tuple[Index, ...] = (),
        labels: Dim | None = None,
    ) -> Operand:
        """The operand of a new hidden tensor, or the one that already has this value."""
        shape = tuple(index.size for index in free)
        places = {i: Affine.of(Index(f"@{k}", i.size)) for k, i in enumerate(free)}
        inner = {i: Affine.of(Index(f"&{k}", i.size)) for k, i in enumerate(bound)}
        key = f"{reduce}{kind}{shape_text(shape)}{body.substitute({**places, **inner}).key}"
        seen = self.shared.get(key)
        if seen is not None:
            return seen
        tensor = self._tensor(shape, kind, labels)
        self.statements.append(
            Statement(tensor, free, body, tree, reduce, bound, hidden=True, line=self.line)
        )
        self.shared[key] = of_tensor(tensor)
        return self.shared[key]

    def reshape(self, operand: Operand, shape: tuple[Dim, ...], tree: Tree) -> Operand:
        source = self.materialise(operand)
        key = f"reshape{source.name}{shape_text(shape)}"
        if key not in self.shared:
            tensor = self._tensor(shape, operand.kind, operand.labels)
            self.statements.append(Reshape(tensor, source, tree, hidden=True, line=self.line))
            self.shared[key] = of_tensor(tensor)
        return self.shared[key]

    def _tensor(self, shape: tuple[Dim, ...], kind: Kind, labels: Dim | None) -> Tensor:
        self.counter += 1
        return Tensor(f"_{self.counter}", shape, kind, labels)

    def materialise(self, operand: Operand) -> Tensor:
        """The tensor of an operand, made by a copy when it is a view."""
        if operand.tensor is not None:
            return operand.tensor
        free = self.indices(operand.shape)
        made = self.define(
            free, self.entry(operand, free), operand.tree, kind=operand.kind, labels=operand.labels
        )
        assert made.tensor is not None
        return made.tensor

    def entry(self, operand: Operand, free: Sequence[Index]) -> Poly:
        return operand.at(tuple(Affine.of(index) for index in free))

    def assign(self, name: str, operand: Operand) -> Operand:
        """Give a value its name: a hidden statement of this line is renamed, others copied."""
        self.lowered.clear()
        place = next(
            (
                k
                for k, s in enumerate(self.statements)
                if operand.tensor is not None
                and s.out is operand.tensor
                and s.hidden
                and s.line == self.line
            ),
            None,
        )
        if (
            place is not None
            and operand.tensor is not None
            and not any(operand.tensor is known.tensor for known in self.scope.values())
        ):
            tensor = replace(operand.tensor, name=name)
            self.statements[place] = replace(self.statements[place], out=tensor, hidden=False)
            for later in range(place + 1, len(self.statements)):
                self.statements[later] = renamed(
                    self.statements[later], operand.tensor.name, tensor
                )
        else:
            free = self.indices(operand.shape)
            tensor = Tensor(name, operand.shape, operand.kind, operand.labels)
            body = self.entry(operand, free)
            self.statements.append(
                Statement(tensor, free, body, operand.tree, hidden=False, line=self.line)
            )
        made = replace(of_tensor(tensor), truth=operand.truth)
        for key, value in list(self.shared.items()):
            if value.tensor is operand.tensor and operand.tensor is not None:
                self.shared[key] = made
        return made

    # -- shapes ---------------------------------------------------------------------------

    def broadcast(self, operands: Sequence[Operand], call: Call) -> tuple[Dim, ...]:
        """The common shape, axes aligned from the right as in NumPy.

        Raises:
            OpError: naming the axis and both sizes.
        """
        rank = max((o.rank for o in operands), default=0)
        result: list[Dim] = []
        for place in range(1, rank + 1):
            common = ONE
            for operand in operands:
                if operand.rank < place:
                    continue
                axis = operand.shape[-place]
                if axis in (ONE, common):
                    continue
                if common != ONE:
                    shapes = " and ".join(shape_text(o.shape) for o in operands)
                    raise OpError(
                        f"shapes {shapes} do not broadcast: axis -{place} is {common} and {axis}",
                        call.span,
                        hint="axes are aligned from the right; insert one with [:, None] or "
                        "keepdims=True",
                    )
                common = axis
            result.append(common)
        return tuple(reversed(result))

    def assume(self, dim: Dim) -> None:
        """Record that a size must be >= 0; sizes are then drawn accordingly."""
        if dim.as_int is not None and dim.as_int < 0:
            raise OpError("this reaches outside the array")
        if dim.as_int is None and dim not in self.assumptions:
            self.assumptions.append(dim)


def renamed(statement: AnyStatement, old: str, new: Tensor) -> AnyStatement:
    """A statement that reads `new` where it read the tensor called `old`."""
    tree = replace_names(statement.tree, {old: Name(new.name)})
    match statement:
        case Statement(body=body):
            return replace(statement, body=with_tensor(body, old, new), tree=tree)
        case Reshape(operand=operand):
            return replace(statement, operand=new if operand.name == old else operand, tree=tree)
        case MatrixFunction(operands=several):
            moved = tuple(new if t.name == old else t for t in several)
            return replace(statement, operands=moved, tree=tree)
        case Scan(loop=loop):
            # What a loop reads has a name of its own before the loop is lowered.
            assert old not in loop.sources
            return statement


def _made_of(body: Poly, names: Collection[str]) -> bool:
    """Whether an expression reads no other tensors than these."""
    return all(entry.tensor.name in names for entry in accesses(body))


def constant(body: Poly, tree: Tree, dim: Dim | None) -> Operand:
    return Operand((), lambda _: body, tree, dim=dim)


def of_tensor(tensor: Tensor) -> Operand:
    """The operand that a tensor is."""
    tree = Name(tensor.name)
    if tensor.kind == "index":

        def position(entries: Entries) -> Affine:
            return Affine.of(Label(tensor, _zeroed(tensor.shape, entries)))

        def at(entries: Entries) -> Poly:
            return atom(Position(position(entries)))

        return Operand(tensor.shape, at, tree, "index", position, tensor.labels, tensor)
    return Operand(
        tensor.shape, lambda entries: access(tensor, entries), tree, tensor.kind, tensor=tensor
    )


def _zeroed(shape: tuple[Dim, ...], entries: Entries) -> Entries:
    zero = Affine.of(0)
    return tuple(zero if axis == ONE else e for axis, e in zip(shape, entries, strict=True))


def view(
    source: Operand, shape: tuple[Dim, ...], move: Callable[[Entries], Entries], tree: Tree
) -> Operand:
    """The same entries at other places; `move` maps an entry of the view to one of the source."""
    position = source.position
    return Operand(
        shape,
        lambda entries: source.at(move(entries)),
        tree,
        source.kind,
        None if position is None else (lambda entries: position(move(entries))),
        source.labels,
    )


def aligned(operand: Operand, shape: Sequence[Dim]) -> Callable[[Sequence[Affine]], Poly]:
    """Entries of `operand` broadcast to `shape`."""
    skip = len(shape) - operand.rank

    def at(entries: Sequence[Affine]) -> Poly:
        return operand.at(broadcast_entries(operand.shape, entries[skip:]))

    return at


def broadcast_entries(shape: Sequence[Dim], entries: Sequence[Affine]) -> Entries:
    zero = Affine.of(0)
    return tuple(zero if axis == ONE else e for axis, e in zip(shape, entries, strict=True))


def span_of(tree: Tree) -> Span | None:
    return tree.span


def fail(message: str, tree: Tree, hint: str = "") -> NoReturn:
    raise OpError(message, span_of(tree), hint)


__all__ = [
    "Builder",
    "DimError",
    "Entries",
    "Lowering",
    "Operand",
    "aligned",
    "broadcast_entries",
    "constant",
    "fail",
    "of_tensor",
    "span_of",
    "view",
]
