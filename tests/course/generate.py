"""Write a course: submissions that mix right, wrong, broken and hostile answers, and their key."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from gradtool.records import Struct
from tests.course.affine import AFFINE
from tests.course.losses import RELU, SOFTMAX
from tests.course.model import Answer, Question
from tests.course.norm import BATCH_NORM, LAYER_NORM
from tests.lint.hostile import generate as hostile
from tests.lint.hostile.honest import notebook

QUESTIONS: tuple[Question, ...] = (AFFINE, BATCH_NORM, LAYER_NORM, SOFTMAX, RELU)
HEAD = "import numpy as np\n\n"

ASSIGNMENT = (
    'assignment: course\ntitle: "Five layers"\nquestions:\n'
    + "".join(f"  - spec: {q.spec}\n    points: {q.points}\n" for q in QUESTIONS)
    + "limits: {seconds: 3, cpu: 3, memory: 256 MB}\n"
)


class Expected(Struct, frozen=True):
    """What the key says of one question: all of it, or only that it is not worth full points."""

    points: float | None
    passed: bool
    wrong: Mapping[str, tuple[str, ...]]
    codes: tuple[str, ...]


def expected(question: Question, answer: Answer) -> Expected:
    return Expected(question.worth(answer), answer.right, answer.wrong, answer.codes)


def write_right(folder: Path, count: int, seed: int) -> dict[str, dict[str, Expected]]:
    """As `write`, with right answers in all their styles, and nothing else."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    right = {q.spec: [a for a in q.answers if a.right] for q in QUESTIONS}
    every = ({spec: rng.choice(answers) for spec, answers in right.items()} for _ in range(count))
    return _write_all(folder, rng, every)


def write(folder: Path, count: int, seed: int) -> dict[str, dict[str, Expected]]:
    """Write `count` submissions into a new folder; what each question of each is worth, by name.

    One in six is hostile or broken; the rest answer all five questions, most of them rightly.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    key: dict[str, dict[str, Expected]] = {}
    dangerous = [case for case in hostile.CASES if not case.passed]
    rng.shuffle(dangerous)
    for name in hostile.write(folder, dangerous[: count // 6]):
        key[name] = {
            q.spec: Expected(None if q is AFFINE else 0.0, False, {}, ()) for q in QUESTIONS
        }
    # Every answer at least once when there are enough submissions; then as a class would.
    decks = {q.spec: list(q.answers) for q in QUESTIONS}
    for deck in decks.values():
        rng.shuffle(deck)

    def answers(number: int) -> Mapping[str, Answer]:
        chosen: dict[str, Answer] = {}
        for question in QUESTIONS:
            deck = decks[question.spec]
            right = [a for a in question.answers if a.right]
            draw = rng.random() < 0.6 and not (deck and number % 2)
            chosen[question.spec] = (
                rng.choice(right) if draw else deck.pop() if deck else rng.choice(question.answers)
            )
        return chosen

    return key | _write_all(folder, rng, map(answers, range(count - len(key))))


def _write_all(
    folder: Path, rng: random.Random, every: Iterable[Mapping[str, Answer]]
) -> dict[str, dict[str, Expected]]:
    """Submissions with these answers, in different forms, and their key."""
    key: dict[str, dict[str, Expected]] = {}
    for number, chosen in enumerate(every):
        name = _write(folder, f"student{number:05d}", chosen, rng.choice("fffnd"))
        key[name] = {q.spec: expected(q, chosen[q.spec]) for q in QUESTIONS}
    return key


def _write(folder: Path, name: str, chosen: Mapping[str, Answer], form: str) -> str:
    """As a file, a notebook or a folder; the name of the submission."""
    texts = [answer.text for answer in chosen.values()]
    if form == "n":
        (folder / f"{name}.ipynb").write_text(notebook(HEAD, *texts))
        return f"{name}.ipynb"
    whole = HEAD + "\n\n".join(texts)
    if form == "d":
        (folder / name).mkdir()
        (folder / name / "layers.py").write_text(whole)
        (folder / name / "notes.txt").write_text("My homework.\n")
        return name
    (folder / f"{name}.py").write_text(whole)
    return f"{name}.py"


def as_json(key: Mapping[str, Mapping[str, Expected]]) -> str:
    """The key, for people and other programs."""
    data = {
        name: {
            spec: {
                "points": e.points,
                "passed": e.passed,
                "wrong": {k: list(v) for k, v in e.wrong.items()},
            }
            for spec, e in answers.items()
        }
        for name, answers in key.items()
    }
    return json.dumps(data, indent=1) + "\n"
