"""What a class as a whole got wrong, most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Finding, Graded
from gradtool.lint.rules import RULES
from gradtool.records import Struct


class Frequent(Struct, frozen=True):
    """One kind of mistake.

    Attributes:
        count: submissions that have it.
        subject: the gradient or output, or "".
        what: the cause in words, or what the rule says.
    """

    count: int
    question: str
    code: str
    subject: str
    cause: str
    what: str


class ByQuestion(Struct, frozen=True):
    """One question of a class.

    Attributes:
        solved: submissions that are right in it.
        points: of all submissions together; `of` is the most that one can get.
    """

    question: str
    solved: int
    points: float
    of: float


class Summary(Struct, frozen=True):
    """Of a whole course.

    Attributes:
        skipped: submissions that have nothing to check, and need not have.
        passed: all others that are right in every question.
        unseen: questions of which there is nothing to check in any.
        questions: the same by question.
        points: of all submissions together.
        frequent: errors, most frequent first.
        codes: how many findings of each code there are, by code.
        seeds: of the results: several where some are kept from earlier runs, or are merged.
    """

    total: int
    skipped: int
    passed: int
    questions: tuple[ByQuestion, ...]
    points: float
    frequent: tuple[Frequent, ...]
    codes: tuple[tuple[str, int], ...]
    seeds: tuple[int, ...]
    unseen: tuple[str, ...] = ()

    @property
    def solved(self) -> dict[str, int]:
        """By question, how many got it right."""
        return {one.question: one.solved for one in self.questions}

    @property
    def checked(self) -> int:
        """Submissions that have something to check."""
        return self.total - self.skipped

    @property
    def seed(self) -> int | None:
        """That of all results; None where they have several, or none."""
        return self.seeds[0] if len(self.seeds) == 1 else None

    @property
    def mean(self) -> float:
        """Points of a submission on the average."""
        return self.points / self.total if self.total else 0.0


def summary(graded: Iterable[Graded], choice: Choice) -> Summary:
    """Count once through all submissions."""
    total = passed = skipped = 0
    points = 0.0
    solved: Counter[str] = Counter()
    earned: dict[str, float] = {}
    most: dict[str, float] = {}
    there: dict[str, bool] = {}
    codes: Counter[str] = Counter()
    kinds: Counter[tuple[str, str, str, str]] = Counter()
    words: dict[tuple[str, str, str, str], str] = {}
    seeds: set[int] = set()
    for one in graded:
        if (seed := one.seed) is not None:
            seeds.add(seed)
        total += 1
        skipped += one.skipped
        passed += choice.right(one) and not one.skipped
        points += one.points
        for answer in one.answers:
            solved[answer.question] += answer.passed
            earned[answer.question] = earned.get(answer.question, 0.0) + answer.points
            most[answer.question] = answer.of
            there[answer.question] = there.get(answer.question, False) or not answer.skipped
        seen = set()
        for answer, finding in choice.of(one):
            codes[finding.code] += 1
            if RULES[finding.code].level == "error":
                kind = (answer.question, finding.code, finding.subject, finding.cause)
                seen.add(kind)
                words.setdefault(kind, _what(answer, finding))
        kinds.update(seen)
    frequent = tuple(
        Frequent(count, question, code, subject, cause, words[question, code, subject, cause])
        for (question, code, subject, cause), count in sorted(
            kinds.items(), key=lambda item: (-item[1], item[0])
        )
    )
    return Summary(
        total=total,
        skipped=skipped,
        passed=passed,
        questions=tuple(
            ByQuestion(question, count, earned[question], most[question])
            for question, count in solved.items()
        ),
        points=points,
        frequent=frequent,
        codes=tuple(sorted(codes.items())),
        seeds=tuple(sorted(seeds)),
        unseen=tuple(question for question, found in there.items() if not found),
    )


def _what(answer: Answer, finding: Finding) -> str:
    return finding.why or RULES[finding.code].name.replace("-", " ")
