"""One submission: copied, asked every question in a sandbox, and given points."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import PurePath
from traceback import extract_tb

from gradtool.check.answers import clean
from gradtool.check.recall import Recall
from gradtool.check.reference import Reference
from gradtool.lint import presence
from gradtool.lint.assignment import Assignment, Question
from gradtool.lint.causes import Causes
from gradtool.lint.credit import parts
from gradtool.lint.desk import Desk, Judged, Loading, loading_of
from gradtool.lint.findings import findings
from gradtool.lint.foresight import Foresight
from gradtool.lint.isolation.zygote import SandboxUnavailable, Zygote, ZygoteGone
from gradtool.lint.parcel import Parcel, unpacked
from gradtool.lint.result import Answer, Finding, Graded
from gradtool.lint.rooms import Rooms
from gradtool.lint.rules import NOT_GRADED, NOT_THERE, RULES
from gradtool.lint.submissions import (
    Staged,
    Submission,
    choose,
    contents,
    further,
    names_random,
    shown_name,
    stage,
)
from gradtool.records import Struct, field

_MOST_ANSWERS = 16 << 20  # bytes
_MOST_TEXT = 200
_PACKAGE = PurePath(__file__).parents[1]
# Not by what is in a submission: nothing can be graded then.
_NOBODYS = (OSError, MemoryError, ZygoteGone, SandboxUnavailable)
_FORBIDDEN = ("GT401", "GT402", "GT403")


class Bench(Struct, frozen=True):
    """What every submission of a run is graded with.

    Attributes:
        references: of each question by its name.
        key: of assignment, specs and version.
    """

    zygote: Zygote
    assignment: Assignment
    references: Mapping[str, Reference]
    seed: int
    version: str
    key: str
    causes: Causes = field(default_factory=Causes)
    answers: Recall = field(default_factory=lambda: Recall(_MOST_ANSWERS))
    foresight: Foresight = field(default_factory=Foresight)


class Case:
    """A submission in a private folder.  A context manager, which empties the folder.

    Attributes:
        key: of its content, the assignment and the version.
    """

    def __init__(
        self, submission: Submission, key: str, rooms: Rooms, parcel: Parcel | None = None
    ) -> None:
        """`key` is that of a bench; `parcel` what was copied elsewhere, else it is copied now."""
        self._submission = submission
        self._stack = ExitStack()
        room = self._stack.enter_context(rooms.one())
        try:
            self.staged: Staged = (
                stage(submission, room) if parcel is None else unpacked(parcel, room)
            )
        except BaseException:
            self._stack.close()
            raise
        text = f"{key} {self.staged.digest}"
        self.key = hashlib.sha256(text.encode()).hexdigest()[:32]

    def __enter__(self) -> Case:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def grade(self, bench: Bench) -> Graded:
        """Ask every question; never raises for what is in the submission.

        Where a file has nothing that answers a question, those that later patterns choose are
        asked, too: ``helper.py`` may stand beside the notebook that it helps.
        """
        started = time.monotonic()
        answers: dict[str, Answer] = {}
        waiting: list[tuple[Question, tuple[str, ...]]] = []
        for question in bench.assignment.questions:
            file, problem = choose(self.staged, question.files)
            if file:
                files = (file, *further(self.staged, question.files, file))
                waiting.append((question, files))
            else:
                answers[question.name] = self._without_file(bench, question, problem)
        cpu, peak = 0.0, 0
        while waiting:
            asked, seconds, most = self._asked(bench, [(q, files[0]) for q, files in waiting])
            cpu, peak = cpu + seconds, max(peak, most)
            for name, answer in asked.items():
                if name not in answers or not _is_missing(answer):
                    answers[name] = answer
            waiting = [
                (q, files[1:]) for q, files in waiting if files[1:] and _is_missing(answers[q.name])
            ]
        ordered = tuple(answers[question.name] for question in bench.assignment.questions)
        seconds = round(time.monotonic() - started, 4)
        return Graded(self._submission.name, self.key, ordered, seconds, round(cpu, 4), peak)

    def _asked(
        self, bench: Bench, pairs: Iterable[tuple[Question, str]]
    ) -> tuple[dict[str, Answer], float, int]:
        """The answers to questions, each in a file; the processor time and the memory it took."""
        chosen: dict[tuple[str, Loading], list[Question]] = {}
        for question, file in pairs:
            reference = bench.references[question.name]
            loading = loading_of(reference, question, bench.assignment)
            chosen.setdefault((file, loading), []).append(question)
        answers: dict[str, Answer] = {}
        cpu, peak = 0.0, 0
        for (file, loading), questions in chosen.items():
            desk = Desk(
                bench.zygote,
                bench.assignment,
                loading,
                self.staged.folder,
                file,
                questions=len(questions),
                seed=bench.seed,
                version=bench.version,
                causes=bench.causes,
                answers=bench.answers,
                foresight=bench.foresight,
                random=self.staged.random
                or any(names_random(text.encode()) for _, text in loading.provide),
                reaches=self.staged.reaches,
                layers=[reference.spec.name for reference in bench.references.values()],
            )
            with desk:
                for question in questions:
                    before = time.monotonic()
                    try:
                        judged = desk.ask(question, bench.references[question.name])
                        seconds = round(time.monotonic() - before, 4)
                        answer = self._answer(bench, question, file, judged, seconds)
                    except _NOBODYS:
                        raise
                    except Exception as error:  # what one answers must not cost others a grade
                        desk.drop()
                        answer = self._not_graded(bench, question, file, error)
                    answers[question.name] = answer
            cpu, peak = cpu + desk.cpu_seconds, max(peak, desk.peak_bytes)
        return answers, cpu, peak

    def _not_graded(self, bench: Bench, question: Question, file: str, error: Exception) -> Answer:
        shares = parts(question, self._gradients(bench, question), None)
        finding = Finding(NOT_GRADED, f"gradtool failed: {_told(error)}")
        of = float(question.points)
        return Answer(question.name, shown_name(file), False, 0.0, of, shares, (finding,), None)

    def _without_file(self, bench: Bench, question: Question, problem: str) -> Answer:
        expected = " or ".join(question.files)
        if problem:
            finding = Finding("GT102", problem)
        else:
            finding = Finding("GT101", f"expected a file {expected}, found {contents(self.staged)}")
        shares = parts(question, self._gradients(bench, question), None)
        of = float(question.points)
        return Answer(question.name, "", False, 0.0, of, shares, (finding,), None)

    def _answer(
        self, bench: Bench, question: Question, file: str, judged: Judged, seconds: float
    ) -> Answer:
        verdict = judged.judgement.verdict
        told = findings(verdict, judged.end)
        if any(finding.code == "GT402" for finding in judged.means):
            told = tuple(finding for finding in told if finding.code != "GT303")  # not single
        found = (*judged.means, *told)
        forbidden = any(finding.code in _FORBIDDEN for finding in judged.means)
        passed = verdict.verdict == "pass" and not forbidden
        shares = parts(question, self._gradients(bench, question), None if forbidden else verdict)
        if judged.presence != "there":
            found = presence.told(judged.presence, verdict.layer, found)
        elif not passed and not any(RULES[finding.code].level == "error" for finding in found):
            found = (*found, Finding("GT204", "could not be decided"))
        return Answer(
            question.name,
            shown_name(file),
            passed,
            float(question.points) if passed else round(sum(p.points for p in shares), 4),
            float(question.points),
            shares,
            found,
            verdict,
            seconds,
        )

    def _gradients(self, bench: Bench, question: Question) -> list[str]:
        """The variables whose gradient the question asks for."""
        spec = bench.references[question.name].spec
        wanted = spec.check.gradients if spec.check else None
        return [
            v.name
            for v in spec.variables
            if v.differentiable and (wanted is None or v.name in wanted)
        ]


def _told(error: Exception) -> str:
    """An exception and the line of ours that it comes from; its text may be the submission's."""
    ours = [
        f"{PurePath(frame.filename).name} line {frame.lineno}"
        for frame in extract_tb(error.__traceback__)
        if PurePath(frame.filename).is_relative_to(_PACKAGE)
    ]
    text = clean(str(error))[:_MOST_TEXT]
    return f"{type(error).__name__} in {ours[-1] if ours else 'another library'}: {text}"


def _is_missing(answer: Answer) -> bool:
    """Whether a file has nothing that answers the question."""
    return any(finding.code == NOT_THERE for finding in answer.findings)
