"""`--select` and `--ignore`: which findings count and are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradtool.lint.result import Answer, Course, Finding, Graded
from gradtool.lint.rules import BY_NAME, NOT_GRADED, NOTHING, RULES
from gradtool.records import Struct
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError


class Choice(Struct, frozen=True):
    """Prefixes of codes; nothing in `select` means all that is of interest: not of each file of a
    project that it has nothing to check, which is told where it is selected by its whole code.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def takes(self, finding: Finding) -> bool:
        """The longest prefix that fits decides; of equals, ignoring does."""
        if finding.code == NOTHING:
            return NOTHING in self.select
        chosen = max((len(p) for p in self.select if finding.code.startswith(p)), default=-1)
        ignored = max((len(p) for p in self.ignore if finding.code.startswith(p)), default=-1)
        return ignored < 0 and not self.select if chosen < 0 else chosen > ignored

    def right(self, graded: Graded) -> bool:
        """Whether all of it is right that has to be there."""
        return all(self.answered(answer) or answer.skipped for answer in graded.answers)

    def answered(self, answer: Answer) -> bool:
        """Whether a question is answered right. What is not told costs its points all the same;
        where there are none, it does not count.
        """
        found = answer.findings
        errors = (f for f in found if RULES[f.code].level == "error" and self.takes(f))
        return answer.passed or (not answer.of and not answer.skipped and not any(errors))

    def clean(self, graded: Graded) -> bool:
        """Whether no error of it is told."""
        return not any(RULES[finding.code].level == "error" for _, finding in self.of(graded))

    def of(self, graded: Graded) -> Iterator[tuple[Answer, Finding]]:
        """The findings of a submission that count, with their questions."""
        for answer in graded.answers:
            for finding in answer.findings:
                if self.takes(finding):
                    yield answer, finding


def parse_codes(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """Codes, prefixes of codes (``GT3``) or names (``mutates``), separated by commas.

    Raises:
        UsageError: no rule has it.
    """
    found = []
    for text in texts:
        for word in filter(None, (part.strip() for part in text.split(","))):
            code = BY_NAME[word].code if word in BY_NAME else word.upper()
            if not any(known.startswith(code) for known in RULES):
                hint = did_you_mean(word, [*RULES, *BY_NAME]) or "`gradtool explain` lists them"
                raise UsageError(f"{option}: there is no rule '{word}'", hint)
            found.append(code)
    return tuple(dict.fromkeys(found))


def is_graded(graded: Graded) -> bool:
    """Whether gradtool did not fail itself, which it does not choose not to tell."""
    findings = (finding for answer in graded.answers for finding in answer.findings)
    return all(finding.code != NOT_GRADED for finding in findings)


def is_clean(course: Course, choice: Choice) -> bool:
    """Whether no chosen finding is an error."""
    return all(choice.clean(one) for one in course.graded)
