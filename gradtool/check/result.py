"""The verdict on one layer of one file, as plain data."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from gradtool.records import Struct

RUNNING = "running your code: "
"""How the message begins that says how a worker was lost."""

RETURNS_NONE = "returns None: it is not written yet, or a return is missing"
"""How the message ends of a function that returned nothing where something is read from it."""

SNIPPET = "check: "
"""How the place begins that is no place in the user's file but in the snippets that call it."""

Standing = Literal["ok", "wrong", "follows", "not offered", "not computed"]


class Worst(Struct, frozen=True, forbid_unknown_fields=True):
    """The entry that is furthest out: ``error = |got - expected|`` and the bound it was held to.

    `sizes` are those of the probe.
    """

    index: tuple[int, ...]
    got: float
    expected: float
    error: float
    bound: float
    sizes: tuple[tuple[str, int], ...]


class Cause(Struct, frozen=True, forbid_unknown_fields=True):
    """Which mistake explains a wrong gradient.

    Attributes:
        code: as `gradtool explain` knows it; "unknown" for a pattern without a cause.
        message: the mistake in words; it may name a part of the right formula.
        explains: the share of entries explained.
        proof: what the gradient equals if this is the mistake, as a formula.
        measure: how well that fits: ``explains all 20 entries to 2e-16``.
        title: the kind of mistake, for a reader who must not see the formula.
    """

    code: str
    message: str
    explains: float
    proof: str = ""
    measure: str = ""
    title: str = ""


DIFFERENCES = "differences"
"""The code of the one cause whose gradient is right, to some digits."""


class Heat(Struct, frozen=True, forbid_unknown_fields=True):
    """|difference| / bound of every entry of one probe, row by row, as two axes."""

    rows: tuple[tuple[float, ...], ...]
    sizes: tuple[tuple[str, int], ...]


class Compared(Struct, frozen=True, forbid_unknown_fields=True):
    """An output or a gradient against the spec.

    Attributes:
        name: as in the spec: ``Y``; the gradient of ``X`` is named ``X``.
        shape: the symbolic shape, as text.
        standing: "follows" is a gradient that fits the user's own forward where that forward
            differs from the spec; "not computed" is one that an exception prevented, or a worker
            that was lost: it may have been right before, and has an `error` then.
        error: the largest |difference| over all probes, relative to the gradient's scale.
        message: what is wrong in words, where it is not (only) a number.
        line: the line that assigns it, when known; `source` is its text, `place` its cell.
        heat: where the cause is not known, the errors of one probe in units of their bounds.
        nothing: it "follows" a forward that does not depend on the variable: it is zero.
    """

    name: str
    shape: str
    standing: Standing
    error: float | None = None
    worst: Worst | None = None
    message: str = ""
    cause: Cause | None = None
    line: int | None = None
    source: str = ""
    place: str = ""
    heat: Heat | None = None
    nothing: bool = False

    @property
    def was_right(self) -> bool:
        """Right wherever it was compared, whether or not that was everywhere."""
        stopped = self.standing == "not computed" and self.error is not None
        return self.standing == "ok" or stopped


class Remark(Struct, frozen=True, forbid_unknown_fields=True):
    """A fact beside the verdict: scale, shape, dtype, mutates, aliases, float32, state, …"""

    code: str
    message: str


class Trouble(Struct, frozen=True, forbid_unknown_fields=True):
    """Why there is nothing to compare.

    `stage` is where: file, import, binding, setup, forward, backward, worker (it hung, ended or
    crashed), or unclear (it is right in one reading and wrong in another).  `place` and `line`
    point into the user's file when known, else into the snippet that calls it.
    """

    stage: str
    message: str
    place: str = ""
    line: int = 0
    source: str = ""

    @property
    def own_line(self) -> int:
        """The line in the user's file, 0 when unknown."""
        return 0 if self.place.startswith(SNIPPET) else self.line


def told_at(place: str, trouble: Trouble) -> str:
    """What happened at a place ("at large inputs"): an exception, or a worker that was lost."""
    if is_lost(trouble):
        return f"{place} {trouble.message.removeprefix(RUNNING)}"
    return f"{place} the code raises {trouble.message}"


def is_lost(trouble: Trouble | None) -> bool:
    """Whether it is that the worker hung, ended or crashed."""
    return trouble is not None and trouble.stage == "worker"


class Called(Struct, frozen=True, forbid_unknown_fields=True):
    """A function of the user's that was checked; `place` is the file, or a cell of it."""

    name: str
    line: int
    place: str = ""


def within(file: str, place: str) -> str:
    """What a place says beside a file: a cell of the notebook, another file; "" for all of it.

    A place is a name, with a cell, or a path, as of functions that a test hands over.
    """
    own, name = PurePath(file).name, PurePath(place).name
    if name == own:
        return ""
    return name if PurePath(place).is_absolute() else place.removeprefix(f"{own} ")


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a report prints.

    Attributes:
        verdict: "pass" when forward and backward both fit the spec; "fail" when something does
            not; "error" when nothing could be compared.
        binding: the snippets that were run, one text per line, and where they come from.
        notes: departures from a plain import of the file.
        conduct: impure behaviour that the numbers do not show.
        spared: points that slow code was not asked at, each reason once; `notes` has them, too.
    """

    verdict: Literal["pass", "fail", "error"]
    file: str
    layer: str
    called: tuple[Called, ...]
    convention: str
    binding: tuple[str, ...]
    forward: tuple[Compared, ...]
    gradients: tuple[Compared, ...]
    remarks: tuple[Remark, ...]
    conduct: tuple[Remark, ...]
    notes: tuple[str, ...]
    trouble: Trouble | None
    probes: int
    seed: int
    version: str
    spared: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[tuple[str, Compared], ...]:
        """Every output and gradient, each with what it is called: ``Y``, ``dX``."""
        outputs = ((output.name, output) for output in self.forward)
        return (*outputs, *((f"d{gradient.name}", gradient) for gradient in self.gradients))

    @property
    def trouble_line(self) -> int:
        """Where in the file the trouble is: the line, or else its function; 0 when unknown."""
        if self.trouble is None or self.trouble.own_line or not self.called:
            return self.trouble.own_line if self.trouble else 0
        match self.trouble.stage:
            case "forward":
                return self.called[0].line
            case "backward" | "match":
                return self.called[-1].line
        return 0  # a worker that was lost does not say in which of them

    @property
    def trouble_place(self) -> str:
        """The cell or other file that `trouble_line` counts in; "" for the file itself."""
        if self.trouble is not None and self.trouble.own_line:
            return within(self.file, self.trouble.place)
        if not self.trouble_line:
            return ""
        assert self.trouble is not None
        first = self.trouble.stage == "forward"
        return within(self.file, self.called[0 if first else -1].place)

    @property
    def right_until_lost(self) -> tuple[str, ...]:
        """The outputs and gradients that were right until the worker was lost, as labels."""
        if not is_lost(self.trouble):
            return ()
        return tuple(label for label, row in self.rows if row.was_right)
