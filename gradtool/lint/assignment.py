"""An assignment as data: what `assignment.yaml` says."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from gradtool.lint.isolation.limits import Limits
from gradtool.records import Struct, field
from gradtool.spec.model import Place, Source

Forbidden = Literal["frameworks", "numeric-differentiation"]
FORBIDDEN: tuple[Forbidden, ...] = ("frameworks", "numeric-differentiation")

CreditKind = Literal["equal", "none", "stated"]

DEFAULT_FILES = ("*.py", "*.ipynb")


class Credit(Struct, frozen=True):
    """How the points of a question are divided when it is not right as a whole.

    Attributes:
        kind: "equal" (a share for the forward pass and one for each gradient), "none" (all or
            nothing) or "stated" (by `shares`).
        shares: the weight of "forward" and of each variable whose gradient counts.
        follows: what a gradient that fits the student's own wrong forward is worth, from 0 to 1;
            nothing where that forward does not depend on the variable.
    """

    kind: CreditKind = "equal"
    shares: Mapping[str, Fraction] = field(default_factory=dict)
    follows: Fraction = Fraction(0)


class Question(Struct, frozen=True):
    """One layer that is asked for.

    Attributes:
        name: unique in the assignment.
        title: for people.
        spec: a bundled name, or a path from the assignment's folder.
        place: of `spec` in the file.
        places: of "probes", and of each stated share as "credit.W".
        files: patterns of the file in a submission that is a folder.
        function: name of the forward, the backward or the class; None to recognise it.
        cell: the tag of the notebook cells that answer it; None for the whole notebook.
        points: for all of it.
        probes: sizes to check at, beside those that are chosen for the layer.
        limits, forbidden: in place of the assignment's; None for those.
        required: a file without it is wrong; otherwise it has nothing to check.
    """

    name: str
    title: str
    spec: str
    place: Place
    files: tuple[str, ...] = DEFAULT_FILES
    function: str | None = None
    points: Fraction = Fraction(1)
    credit: Credit = Credit()
    cell: str | None = None
    probes: tuple[Mapping[str, int], ...] = ()
    limits: Limits | None = None
    forbidden: tuple[Forbidden, ...] | None = None
    required: bool = True
    places: Mapping[str, Place] = field(default_factory=dict)


class Assignment(Struct, frozen=True):
    """A whole assignment.

    Attributes:
        name: short, for keys and reports.
        source, text: of the file; both empty when the questions come from the command line.
        limits: of one question of one submission; the wall clock is that of a question.
        libraries: top-level packages that a submission may import.
        places: of each of these in the file, but for what is always granted.
        forbidden: which means cost a question its points.
        hide_expected: right values stay out of every report.
        explain: causes of mistakes are told.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    source: Source
    text: str = ""
    limits: Limits = field(default_factory=Limits)
    libraries: tuple[str, ...] = ("numpy",)
    forbidden: tuple[Forbidden, ...] = FORBIDDEN
    hide_expected: bool = True
    explain: bool = True
    places: Mapping[str, Place] = field(default_factory=dict)

    def limits_of(self, question: Question) -> Limits:
        """Those of a question."""
        return question.limits or self.limits

    def forbidden_in(self, question: Question) -> tuple[Forbidden, ...]:
        """The means that are forbidden in a question."""
        return self.forbidden if question.forbidden is None else question.forbidden

    @property
    def points(self) -> Fraction:
        """The most that a submission can get."""
        return sum((question.points for question in self.questions), Fraction(0))
