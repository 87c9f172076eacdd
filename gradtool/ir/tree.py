"""Array expressions: the one tree that specs are parsed to and that every printer prints.

A tree says how a value is written with NumPy-like operations; what it means is its lowering to
index notation.  Names are tensors, sizes or constants; everything else is a `Call` of a word of
the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TypeAlias

from gradtool.records import Own, Struct


class Span(Struct, frozen=True):
    """Where a piece of code stands: 1-based line, 0-based columns in characters, in its block."""

    line: int
    start: int
    end: int


class Node(Own, frozen=True, eq=False):
    """What trees are made of; two are equal that say the same, wherever they were written."""

    @property
    def said(self) -> object:
        """All but where and how it was written."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(self) is type(other) and isinstance(other, Node) and self.said == other.said
        )

    def __hash__(self) -> int:
        return hash(self.said)


class Name(Node, frozen=True, eq=False):
    """A name; `truth` where the array that it stands for holds truth values."""

    id: str
    span: Span | None = None
    truth: bool = False

    @property
    def said(self) -> object:
        return self.id


class Number(Node, frozen=True, eq=False):
    """An exact number; `text` is how it was written."""

    value: Fraction
    text: str = ""
    span: Span | None = None

    @property
    def said(self) -> object:
        return self.value


class Literal(Node, frozen=True, eq=False):
    """None, True, False, a string or Ellipsis."""

    value: str | bool | None
    span: Span | None = None

    @property
    def said(self) -> object:
        return self.value


class Items(Node, frozen=True, eq=False):
    """A tuple or list: ``(N, -1)``, ``[A, B]``, or the entries of an index."""

    items: tuple[Tree, ...]
    span: Span | None = None

    @property
    def said(self) -> object:
        return self.items


class Slice(Node, frozen=True, eq=False):
    start: Tree | None
    stop: Tree | None
    step: Tree | None
    span: Span | None = None

    @property
    def said(self) -> object:
        return self.start, self.stop, self.step


class Call(Node, frozen=True, eq=False):
    """A word of the vocabulary applied to arguments; operators are words too (``add``).

    `method` tells that it was written ``x.word(…)`` or ``np.word(…)``, `plain` that it was written
    ``word(…)``, which a variable called word hides.  What an operator means nothing hides.
    """

    op: str
    args: tuple[Tree, ...]
    kwargs: tuple[tuple[str, Tree], ...] = ()
    span: Span | None = None
    method: bool = False
    plain: bool = False

    @property
    def said(self) -> object:
        return self.op, self.args, self.kwargs

    def keyword(self, name: str) -> Tree | None:
        for key, value in self.kwargs:
            if key == name:
                return value
        return None


Tree: TypeAlias = "Name | Number | Literal | Items | Slice | Call"


def children(tree: Tree) -> Iterator[Tree]:
    match tree:
        case Items(items=items):
            yield from items
        case Slice(start=start, stop=stop, step=step):
            yield from (part for part in (start, stop, step) if part is not None)
        case Call(args=args, kwargs=kwargs):
            yield from args
            yield from (value for _, value in kwargs)
        case _:
            return


def rebuild(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The same node with `change` applied to each child."""
    match tree:
        case Items(items=items, span=span):
            return Items(tuple(change(item) for item in items), span)
        case Slice(start=start, stop=stop, step=step, span=span):
            first, last, by = (
                None if part is None else change(part) for part in (start, stop, step)
            )
            return Slice(first, last, by, span)
        case Call(op=op, args=args, kwargs=kwargs, span=span, method=method, plain=plain):
            named = tuple((key, change(value)) for key, value in kwargs)
            return Call(op, tuple(map(change, args)), named, span, method, plain)
        case _:
            return tree


def names(tree: Tree) -> frozenset[str]:
    """Every name that occurs."""
    if isinstance(tree, Name):
        return frozenset((tree.id,))
    return frozenset().union(*(names(child) for child in children(tree)))


def replace_names(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    """Replace names by trees."""
    if isinstance(tree, Name):
        return values.get(tree.id, tree)
    return rebuild(tree, lambda child: replace_names(child, values))


def count_name(tree: Tree, name: str) -> int:
    """How often a name occurs."""
    if isinstance(tree, Name):
        return int(tree.id == name)
    return sum(count_name(child, name) for child in children(tree))


def size_of(tree: Tree) -> int:
    """Operators and names: the length that a reader feels."""
    match tree:
        case Name() | Number() | Literal():
            return 1
        case _:
            return 1 + sum(size_of(child) for child in children(tree))


def call(op: str, *args: Tree, **kwargs: Tree) -> Call:
    return Call(op, args, tuple(kwargs.items()))


def loop_tree(reads: Iterable[str], result: str) -> Call:
    """What stands for a result of a loop: the names that the loop reads, and which result it is."""
    return Call("loop", tuple(map(Name, reads)), (("result", Literal(result)),))


def integer(value: int) -> Number:
    return Number(Fraction(value), str(value))
