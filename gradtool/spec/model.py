"""A layer spec as data: what the YAML says, checked for form, not yet for maths."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from gradtool.ir.dims import Dim
from gradtool.records import Struct, field
from gradtool.spec.errors import Problem


class Place(Struct, frozen=True):
    """Where a piece of text stands: 1-based line and column in characters."""

    line: int
    column: int


class Block(Struct, frozen=True):
    """A scalar of the YAML file that holds code, with the place of each of its lines.

    ``places[k]`` is the position in the file of the first character of line ``k`` of `text`.
    `exact` is empty, except for quoted text with escapes, where one character of `text` may be
    written as several: then it holds the place of every character of `text`, and of its end.
    """

    text: str
    places: tuple[Place, ...]
    exact: tuple[Place, ...] = ()

    def at(self, row: int, offset: int) -> Place:
        """The place of character `offset` of line `row`, both 0-based."""
        if self.exact:
            lines = self.text.split("\n")
            return self.exact[sum(len(line) + 1 for line in lines[:row]) + offset]
        return Place(self.places[row].line, self.places[row].column + offset)


class Source(Struct, frozen=True):
    """A file's name and lines, to show the line of an error."""

    file: str
    lines: tuple[str, ...]

    def problem(self, place: Place, message: str, hint: str = "", length: int = 1) -> Problem:
        line = self.lines[place.line - 1] if 0 < place.line <= len(self.lines) else ""
        return Problem(self.file, place.line, place.column, length, line, message, hint)


class Domain(Struct, frozen=True):
    """What is sampled for a variable.

    `kind` is "real", "positive", "nonnegative", "interval" (closed, `low`..`high`; None is
    unbounded), "probabilities" (sums to one over the last axis), "one-hot" (last axis),
    "binary" (0 or 1), "sign" (-1 or 1), "symmetric", "positive-definite" (last two axes),
    "lower-triangular".

    `chance` is the p of ``bernoulli(p)``, a "binary" one: the probability that an entry is 1, as
    arithmetic of constants.  It is what a mask is held to that the user's code draws itself; what
    is drawn for it here is any mask, for gradients hold for all.
    """

    kind: str = "real"
    low: Fraction | None = None
    high: Fraction | None = None
    chance: str | None = None


class Variable(Struct, frozen=True):
    """An input or a parameter.

    `dtype` "index" carries `index`, the size of the axis that its values index
    (0 <= value < index), and `excluded`, the name of an index input that it never equals.
    `constant`: not differentiated.  `read`: drawn by the user's code and read back from it.
    """

    name: str
    role: Literal["input", "parameter"]
    shape: tuple[Dim, ...]
    dtype: Literal["real", "index", "bool"]
    place: Place
    index: Dim | None = None
    excluded: str | None = None
    constant: bool = False
    read: bool = False
    domain: Domain = Domain()

    @property
    def differentiable(self) -> bool:
        return self.dtype == "real" and not self.constant


class SizeRule(Struct, frozen=True):
    """How a dimension's size is chosen: pinned to `exactly`, or at least `minimum`."""

    exactly: int | None = None
    minimum: int = 1


class Check(Struct, frozen=True):
    """The `check:` block; see DESIGN section 2.  Code is a `Block`, the rest plain data."""

    setup: Block | None = None
    forward: Block | None = None
    backward: Block | None = None
    gradients: tuple[str, ...] | None = None
    grads: Mapping[str, Block] = field(default_factory=dict)
    scale: Mapping[str, Block] = field(default_factory=dict)
    upstream: str | None = None  # "one-hot", "ones" or None
    upstream_scale: Fraction | None = None
    load_root: str | None = None
    load_only: str | None = None  # "definitions" or None
    load_python: int | None = None  # 2 or None
    provide: Mapping[str, Block] = field(default_factory=dict)


class LayerSpec(Struct, frozen=True):
    """A whole spec file.

    `constants` are named numbers: an int may stand in sizes, a Fraction is a real constant
    (read exactly from its decimal text).  `outputs` is None when the last assigned name is
    the output.  `text` is the file's exact content, the key of the plan cache.
    """

    name: str
    source: Source
    text: str
    about: str
    variables: tuple[Variable, ...]
    constants: Mapping[str, int | Fraction]
    sizes: Mapping[str, SizeRule]
    forward: Block
    outputs: tuple[str, ...] | None
    outputs_place: Place | None
    check: Check | None
    reference: str = ""  # the paper or course that defines the layer
