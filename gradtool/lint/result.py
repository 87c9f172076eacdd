"""What a run found out, as plain data: one `Graded` for each submission."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gradtool.check.result import Verdict
from gradtool.lint.isolation.status import LayerStatus
from gradtool.lint.rules import NOTHING
from gradtool.records import Struct


class Finding(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a report tells.

    Attributes:
        code: of a rule.
        message: for the student; no right values in it.
        line: in the file, 0 when unknown.
        place: what the line counts in, where that is not the file: ``cell 3`` of it, another one.
        subject: the gradient or output it is about, as ``dW``; "" for the whole question.
        cause: code of the mistake that explains it, or "".
        why: that mistake in words, or "".
    """

    code: str
    message: str
    line: int = 0
    subject: str = ""
    cause: str = ""
    why: str = ""
    place: str = ""

    @property
    def line_of_file(self) -> int:
        """The line, where it counts in the file itself; 0 of a cell of it, or of another file."""
        return 0 if self.place else self.line


class Spot(Struct, frozen=True):
    """Where a finding is: a line, 0 when unknown, and what it counts in, as there."""

    line: int = 0
    place: str = ""

    def finding(self, code: str, message: str, subject: str = "") -> Finding:
        """One that is here."""
        return Finding(code, message, self.line, subject, place=self.place)


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of a question's points: "forward", or the gradient of a variable as ``dW``."""

    name: str
    points: float
    of: float


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """One question of one submission.

    Attributes:
        question: its name.
        file: in the submission, "" when there is none.
        verdict: of the check; None when no file was opened.
        passed: right, and by permitted means.
    """

    question: str
    file: str
    passed: bool
    points: float
    of: float
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict | None
    seconds: float = 0.0

    @property
    def skipped(self) -> bool:
        """There is nothing that it asks for, and need not be."""
        return any(finding.code == NOTHING for finding in self.findings)


class Graded(Struct, frozen=True, forbid_unknown_fields=True):
    """One submission.

    Attributes:
        name: path from the folder of the course.
        key: of the content, the assignment and the version: the same key, the same result.
        cpu_seconds, peak_bytes: of its workers.
    """

    name: str
    key: str
    answers: tuple[Answer, ...]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def passed(self) -> bool:
        """Nothing in it is wrong."""
        return all(answer.passed or answer.skipped for answer in self.answers)

    @property
    def skipped(self) -> bool:
        """There is nothing in it to check, which is not to be right."""
        return all(answer.skipped for answer in self.answers)

    @property
    def points(self) -> float:
        return round(sum(answer.points for answer in self.answers), 4)

    @property
    def of(self) -> float:
        return round(sum(answer.of for answer in self.answers), 4)

    @property
    def seed(self) -> int | None:
        """Of the run that graded it, which may be an earlier one; None where nothing was run."""
        return next((a.verdict.seed for a in self.answers if a.verdict is not None), None)


class Sandbox(Struct, frozen=True, forbid_unknown_fields=True):
    """What kept the submissions in: `missing` is what nothing guarded."""

    layers: tuple[LayerStatus, ...]
    missing: tuple[str, ...]


class GradedSequence(Protocol):
    """All submissions in order of their names; may read them from a file as they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Graded]: ...


class Heading(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for a whole run.

    Attributes:
        key: of assignment, specs and version; results are only merged under one key.
        seed: of the sampling; drawn anew for each run, unless one was asked for. Results that are
            kept, or come from another shard, have another: reports tell those of the results.
        shard: ``(2, 4)`` is the second part of four.
        total: submissions in the folder, in all shards.
    """

    assignment: str
    title: str
    key: str
    version: str
    questions: tuple[str, ...]
    points: float
    hide_expected: bool
    explain: bool
    sandbox: Sandbox
    seed: int
    shard: tuple[int, int] = (1, 1)
    total: int = 0


class Course(Struct, frozen=True, forbid_unknown_fields=True):
    """A run, as a report gets it.

    Attributes:
        folder: before each name, as the user wrote it; "" in linter mode.
        seconds: of the whole run.
    """

    heading: Heading
    graded: GradedSequence
    folder: str = ""
    seconds: float = 0.0


def in_order(graded: Sequence[Graded]) -> list[Graded]:
    """Sorted by name, as every report lists them."""
    return sorted(graded, key=lambda one: one.name)
