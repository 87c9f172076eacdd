"""What a program is made of: values with their own symbolic shape, and the writer that makes them.

A `Value` is a piece of an expression.  Its text is what the spec says; its reference is what
Python executes with NumPy, which is the same text except for index notation.  Shapes, positivity
and magnitude are tracked here, never asked of the engine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from gradtool.records import Struct, field, replace
from tests.programs.sizes import Shape, Size, broadcast, total

T = TypeVar("T")

MOST_AXES = 4
MOST_ENTRIES = 110  # with every name at 3: keeps the 60-digit arithmetic quick
HEAVIEST = 9


class Value(Struct, frozen=True):
    """A piece of an expression.

    Attributes:
        text: how the spec writes it.
        reference: how NumPy computes it.
        atomic: needs no brackets as an operand.
        kind: "real", "bool" or "labels".
        weight: roughly the decimal magnitude; 1 for a drawn input.
        positive: provably above zero, so that a logarithm or a root exists.
        labels: for labels, the size of the axis that they index.
    """

    text: str
    reference: str
    shape: Shape
    atomic: bool = True
    kind: str = "real"
    weight: int = 1
    positive: bool = False
    labels: Size | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)


class _Shown(str):
    """Formats as an operand (``{0}``, in brackets when needed) or as an argument (``{0:b}``)."""

    bare: str

    def __format__(self, spec: str) -> str:
        return self.bare if spec == "b" else str(self)


def _shown(text: str, atomic: bool) -> _Shown:
    made = _Shown(text if atomic else f"({text})")
    made.bare = text
    return made


def write(
    template: str,
    values: Sequence[Value],
    shape: Shape,
    *,
    reference: str | None = None,
    atomic: bool = True,
    kind: str = "real",
    weight: int | None = None,
    positive: bool = False,
    labels: Size | None = None,
) -> Value:
    """A value from a template with ``{0}`` (operand) and ``{0:b}`` (argument of a function)."""
    texts = [_shown(v.text, v.atomic) for v in values]
    references = [_shown(v.reference, v.atomic) for v in values]
    if weight is None:
        weight = max((v.weight for v in values), default=0)
    return Value(
        template.format(*texts),
        (reference or template).format(*references),
        shape,
        atomic,
        kind,
        weight,
        positive,
        labels,
    )


def entries(shape: Shape) -> int:
    """Entries with every name at 3."""
    count = 1
    for size in shape:
        number = size.as_int
        count *= 3 if number is None else max(number, 1)
        if not size.text.isidentifier() and number is None:
            count *= 2
    return count


def fits(value: Value | None) -> bool:
    return (
        value is not None
        and value.rank <= MOST_AXES
        and entries(value.shape) <= MOST_ENTRIES
        and value.weight <= HEAVIEST
        and len(value.text) < 400
    )


Operation: TypeAlias = "Callable[[Writer, int], Value | None]"
_OPERATIONS: list[tuple[int, Operation]] = []


def operation(weight: int) -> Callable[[Operation], Operation]:
    """Add a way to make a value; a heavier one is chosen more often."""

    def add(rule: Operation) -> Operation:
        _OPERATIONS.append((weight, rule))
        return rule

    return add


class Writer(Struct):
    """A program under way."""

    rng: random.Random
    sizes: list[Size]
    pool: list[Value] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # functions that a name of the program shadows
    needs: list[Size] = field(default_factory=list)  # sizes that must be at least 1

    # -- choosing -------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def below(self, number: int) -> int:
        return self.rng.randrange(number)

    def axis(self, value: Value) -> tuple[int, str]:
        """An axis of a value, and how it is written: from the front or from the back."""
        axis = self.below(value.rank)
        return axis, str(axis - value.rank if self.chance(0.4) else axis)

    def axes(self, value: Value) -> list[int]:
        """Some axes of a value, at least one, sorted."""
        count = 1 if self.chance(0.7) else 1 + self.below(value.rank)
        return sorted(self.rng.sample(range(value.rank), count))

    def may_call(self, *words: str) -> bool:
        return not any(word in self.hidden for word in words)

    def prefix(self, word: str) -> str:
        """``np.exp`` now and then; then a shadowed name does not matter either."""
        return "np." + word if word in self.hidden or self.chance(0.12) else word

    def need(self, size: Size) -> None:
        if size.as_int is None and size not in self.needs:
            self.needs.append(size)

    # -- values ---------------------------------------------------------------------------

    def value(self, depth: int, accept: Callable[[Value], bool] = lambda v: True) -> Value | None:
        """A real value that is accepted; None when luck was out."""
        for _ in range(8):
            made = self._once(depth)
            if made is not None and fits(made) and made.kind == "real" and accept(made):
                return made
        options = [v for v in self.pool if v.kind == "real" and accept(v)]
        return self.pick(options) if options else None

    def _once(self, depth: int) -> Value | None:
        if depth <= 0 or self.chance(0.25):
            return self.leaf()
        weights = [weight for weight, _ in _OPERATIONS]
        (chosen,) = self.rng.choices([rule for _, rule in _OPERATIONS], weights)
        marked = len(self.needs)
        made = chosen(self, depth - 1)
        if not fits(made):
            del self.needs[marked:]
            return None
        return made

    def leaf(self) -> Value:
        real = [v for v in self.pool if v.kind == "real"]
        # Later names are nearer to the output: a program should not forget its own lines.
        return real[-1 - self.below(3)] if self.chance(0.5) and len(real) > 3 else self.pick(real)

    def partner(self, shape: Shape, depth: int) -> Value | None:
        """A value that broadcasts with a shape."""

        def matches(other: Value) -> bool:
            common = broadcast(shape, other.shape)
            return common is not None and entries(common) <= MOST_ENTRIES

        return self.value(depth, matches)

    def positive(self, depth: int) -> Value | None:
        """A value above zero, made so when it is not."""
        made = self.value(depth, lambda v: v.weight <= 4)
        if made is None or made.positive:
            return made
        shift = self.pick(["1", "0.5", "2", "0.1"])
        forms = [f"{{0}}**2 + {shift}"]
        if self.may_call("abs"):
            forms.append(f"abs({{0:b}}) + {shift}")
        if self.may_call("exp") and made.weight <= 1:
            forms.append("exp({0:b})")
        if self.may_call("softplus"):
            forms.append(f"softplus({{0:b}}) + {shift}")
        form = self.pick(forms)
        return write(
            form,
            [made],
            made.shape,
            atomic=form.startswith("exp"),
            weight=2 * made.weight + 1,
            positive=True,
        )

    def labels(self) -> list[Value]:
        return [v for v in self.pool if v.kind == "labels"]

    def add(self, value: Value) -> None:
        self.pool.append(value)


def named(name: str, value: Value) -> Value:
    """The name of a value that was just assigned."""
    return replace(value, text=name, reference=name, atomic=True)


def grown(shape: Shape) -> int:
    """By how much a sum over axes can grow a value, as a weight."""
    number = total(shape).as_int
    return 1 if number is None or number > 3 else 0
