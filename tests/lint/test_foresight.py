"""Asking in advance changes nothing but the time: the same grades, findings and verdicts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradtool.check import frames, judge
from gradtool.check.process import WorkerLost
from gradtool.check.reference import Reference
from gradtool.lint import imagined
from gradtool.lint.foresight import Foreseeing, Foresight, Request
from gradtool.lint.transport import Boxed
from gradtool.report import lint_command
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT, WRONG, inside

ASSIGNMENT = """\
assignment: ahead
questions:
  - spec: affine
    points: 10
limits: {seconds: 4, memory: 256 MB}
"""
# Each stops in the middle of a script, in its own way; the forward pass is right until then.
LATE = "if len(dY) > 50: {}"
SUBMISSIONS = {
    "a_right": RIGHT,
    "b_right_again": RIGHT,
    "c_wrong": WRONG,
    "d_wrong_again": WRONG,
    "e_raises_late": inside(LATE.format("raise ValueError('large')")),
    "f_exits_late": inside(LATE.format("import os; os._exit(0)")),
    "g_hangs_late": inside(LATE.format("\n    while True: pass")),
    "h_slow_late": inside(LATE.format("import time; time.sleep(0.6)")),
    "i_remembers": HEAD
    + FORWARD
    + "calls = []\ndef affine_backward(dY, cache):\n    calls.append(1)\n    X, W, b = cache\n"
    "    return dY @ W.T + len(calls), X.T @ dY, dY.sum(axis=0)\n",
    "j_single": HEAD
    + FORWARD
    + "def affine_backward(dY, cache):\n    X, W, b = [v.astype(np.float32) for v in cache]\n"
    "    dY = dY.astype(np.float32)\n    return dY @ W.T, X.T @ dY, dY.sum(axis=0)\n",
    "k_differences": HEAD
    + FORWARD
    + "def affine_backward(dY, cache):\n    X, W, b = cache\n    db = np.zeros_like(b)\n"
    "    for place in range(b.size):\n        step = np.zeros_like(b)\n"
    "        step[place] = 1e-4\n        change = X @ W + (b + step) - (X @ W + (b - step))\n"
    "        db[place] = np.sum(change * dY) / 2e-4\n    return dY @ W.T, X.T @ dY, db\n",
    "l_fits_its_own_forward": HEAD
    + "def affine_forward(X, W, b):\n    return 2 * (X @ W + b), (X, W, b)\n\n"
    "def affine_backward(dY, cache):\n    X, W, b = cache\n"
    "    return 2 * dY @ W.T, 2 * X.T @ dY, 2 * dY.sum(axis=0)\n",
    "m_right_at_last": RIGHT,
    "n_right_on_other_lines": "# Of a group of two\n\n" + RIGHT,
    "o_right_with_a_note": RIGHT + "raise ValueError('what runs at last fails')\n",
    "p_right_in_other_words": HEAD
    + FORWARD
    + "def affine_backward(dout, cache):\n    X, W, b = cache\n"
    "    return np.dot(dout, W.T), np.dot(X.T, dout), np.sum(dout, axis=0)\n",
    "q_right_by_a_framework": "import autograd\n" + RIGHT,
    "r_late_state": HEAD
    + FORWARD
    + "calls = []\ndef affine_backward(dY, cache):\n    calls.append(1)\n    X, W, b = cache\n"
    "    return dY @ W.T + (len(calls) > 18), X.T @ dY, dY.sum(axis=0)\n",
    "s_right_for_the_second_time": RIGHT,
    # Of a call of its own, so that no script is known: slow once, where its forward pass is asked
    # in advance whether the gradient fits it.
    "t_slow_where_it_is_followed": HEAD
    + """import time
unanswered = []
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        if unanswered == [1]:
            unanswered.append(2)
            time.sleep(0.6)
        elif not unanswered:
            unanswered.append(1)
        self.X = X
        return X @ self.W + self.b**2
    def backward(self, dY):
        if unanswered == [1]:
            unanswered.clear()
        return dY @ self.W.T, self.X.T @ dY, 2 * self.b * dY.sum(axis=0)
""",
}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "course").mkdir()
    for name, text in SUBMISSIONS.items():
        (tmp_path / "course" / f"{name}.py").write_text(text)
    (tmp_path / "ahead.yaml").write_text(ASSIGNMENT)
    return tmp_path


def graded(course: Path) -> dict[str, Any]:
    """The report, one submission after the other; without what time it took."""
    request = lint_command.Request(
        (course / "course",), assignment=course / "ahead.yaml", form="json", seed=7, fresh=True,
        jobs=1, require_sandbox=False,
    )  # fmt: skip
    out = io.StringIO()
    lint_command.run(request, out)
    report = json.loads(out.getvalue())
    found = {}
    for one in report["submissions"]:
        for key in ("seconds", "cpu_seconds", "peak_bytes"):
            del one[key]
        found[one["name"]] = one
    return found


def test_what_was_asked_in_advance_counts_as_if_asked_now(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ahead: list[int] = []
    ask, ask_ahead = Boxed.ask, Boxed.ask_ahead

    def counted(self: Boxed, *arguments: Any, **options: Any) -> Any:
        asked.append(1)
        return ask(self, *arguments, **options)

    def counted_ahead(self: Boxed, *arguments: Any) -> Any:
        ahead.append(1)
        return ask_ahead(self, *arguments)

    monkeypatch.setattr(Boxed, "ask", counted)
    monkeypatch.setattr(Boxed, "ask_ahead", counted_ahead)
    rushed = graded(course)
    few = len(asked)
    assert len(ahead) >= len(SUBMISSIONS) - 1
    asked.clear()
    monkeypatch.setattr(Foresight, "find", lambda *_: None)
    monkeypatch.setattr(Foresight, "begun", lambda *_: None)
    monkeypatch.setattr(Foreseeing, "foresee", lambda *_: None)
    plain = graded(course)
    assert few < len(asked) - 100
    assert rushed == plain


@contextmanager
def before(references: Iterable[Reference], foresight: Foresight, seed: int) -> Iterator[None]:
    """As `imagined.graded`, but all of it before the first submission."""
    for reference in references:
        imagined.grade(reference, foresight, seed, threading.Event())
    yield


@contextmanager
def never(*_: object) -> Iterator[None]:
    """Nothing is known before the first submission."""
    yield


@pytest.mark.parametrize(("ahead", "least", "most"), [(never, 20, 60), (before, 4, 4)])
def test_right_submissions_take_three_questions(
    course: Path, monkeypatch: pytest.MonkeyPatch, ahead: Any, least: int, most: int
) -> None:
    """But for the first, which has a binding of its own to be asked first, and asks all of it
    where none was imagined before."""
    monkeypatch.setattr(imagined, "graded", ahead)
    for name in SUBMISSIONS:
        if name not in ("a_right", "b_right_again", "m_right_at_last"):
            (course / "course" / f"{name}.py").unlink()
    asked: list[str] = []
    exchange = Boxed._exchange

    def counted(self: Boxed, *arguments: Any) -> Any:
        asked.append("")
        return exchange(self, *arguments)

    monkeypatch.setattr(Boxed, "_exchange", counted)
    assert all(one["passed"] for one in graded(course).values())
    first = len(asked) - 2 * 3  # look, load, and the script
    assert least <= first <= most


def test_another_binding_is_asked_the_script_that_begins_alike() -> None:
    worker, foresight = Told(), Foresight()
    one, other = (
        {"op": "bind", "snippets": {"forward": text}} for text in ("Y = f(X)", "Y = g(X)")
    )
    points = [{"X": np.full(2, float(number))} for number in range(3)]
    foresight.learn(one, [Request(RUN, arrays, 100) for arrays in points], right=True)
    found = Foreseeing(worker, foresight)  # type: ignore[arg-type]
    found.ask(other)
    for arrays in points:
        assert found.ask(RUN, arrays, 100).arrays["Y"].tolist() == (arrays["X"] + 1).tolist()
    assert worker.asked == ["bind", "batch"]
    found.learn(right=True)
    kept = len(foresight.kept)
    again = Foreseeing(worker, foresight)  # type: ignore[arg-type]
    again.ask(other)
    again.ask(RUN, points[0], 100)
    assert worker.asked == ["bind", "batch", "batch"]
    again.learn(right=True)
    assert len(foresight.kept) == kept == 3  # two bindings and one script
    # Not what begins otherwise.
    third = Foreseeing(worker, foresight)  # type: ignore[arg-type]
    third.ask({"op": "bind", "snippets": {"forward": "Y = h(X)"}})
    third.ask(RUN, points[1], 100)
    assert worker.asked[3:] == ["bind", "run"]


def test_equal_answers_are_judged_once(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[object] = []
    recalled = Foreseeing.recalled

    def seen(self: Foreseeing, about: object) -> object | None:
        found = recalled(self, about)
        came.append(found)
        return found

    monkeypatch.setattr(Foreseeing, "recalled", seen)
    report = graded(course)
    kept = [found for found in came if isinstance(found, judge.Judgement)]
    assert len(kept) >= 4
    assert len({id(found) for found in kept}) < len(kept)
    assert all(found.verdict.verdict == "pass" for found in kept)
    verdicts = {n: one["questions"][0] for n, one in report.items()}
    assert verdicts["n_right_on_other_lines.py"]["file"] == "n_right_on_other_lines.py"


def test_answers_are_known_only_where_all_came_and_no_more_was_asked() -> None:
    worker, foresight = Told(), Foresight()
    first = {"op": "bind", "snippets": {}}
    points = [{"X": np.full(2, float(number))} for number in range(3)]
    asked = [Request(RUN, arrays, 100) for arrays in points]
    foresight.learn(first, asked, right=True)

    def bound() -> Foreseeing:
        found = Foreseeing(worker, foresight)  # type: ignore[arg-type]
        found.ask(first)
        return found

    one = bound()
    assert one.recalled("matter") is None
    one.ask(RUN, {"X": np.zeros(7)}, 100)  # which no script has
    one.keep("matter", "verdict")
    assert bound().recalled("matter") is None
    bound().keep("matter", "verdict")
    assert bound().recalled("matter") == "verdict"
    assert bound().recalled("another matter") is None
    worker.adds = 2.0  # another answer
    assert bound().recalled("matter") is None
    worker.adds, worker.stops = 1.0, True
    assert bound().recalled("matter") is None


class Told:
    """A worker that adds one to what it is sent, and notes each question; it may be lost."""

    def __init__(self, *, lost: bool = False) -> None:
        self.asked: list[str] = []
        self.lost = lost
        self.adds = 1.0
        self.stops = False  # before the last answer to a script
        self.kept: frozenset[str] = frozenset()

    def ask(self, header: Any, arrays: Any = None, max_bytes: int = 0) -> frames.Frame:
        self.asked.append(header["op"])
        return frames.Frame({}, {"Y": arrays["X"] + 1} if arrays else {})

    def ask_ahead(self, encoded: Any, count: int, max_bytes: int) -> tuple[bytes, ...]:
        self.asked.append("batch")
        if self.lost:
            raise WorkerLost("timeout", "no answer")
        request = frames.whole(encoded(1.0), 1 << 20)
        assert len(request.header["requests"]) == count
        found = []
        for one in request.header["requests"]:
            arrays = {name: request.arrays[place] for name, place in one["arrays"].items()}
            answer = {"Y": arrays["X"] + self.adds} if arrays else {}
            found.append(frames.encode({}, answer))
        return tuple(found[:-1] if self.stops else found)

    def checked(self, read: Any, max_bytes: int) -> Any:
        return read(max_bytes + 1000)


RUN = {"op": "run", "scalars": {}, "seed": 1, "slot": 0, "watch": False, "forward_only": True}


def test_what_is_told_is_asked_once_and_in_one_piece() -> None:
    told = Told()
    worker = Foreseeing(told, Foresight())  # type: ignore[arg-type]
    points = [{"X": np.full(2, float(number))} for number in range(5)]
    worker.foresee([(RUN, arrays, 100) for arrays in points])
    for arrays in reversed(points):
        assert worker.ask(RUN, arrays, 100).arrays["Y"].tolist() == (arrays["X"] + 1).tolist()
    assert told.asked == ["batch"]
    # A copy is another question, and so is the same one again.
    worker.ask(RUN, {"X": points[0]["X"].copy()}, 100)
    worker.ask(RUN, points[0], 100)
    assert told.asked == ["batch", "run", "run"]


def test_a_worker_that_is_lost_by_it_is_known_to_be() -> None:
    told = Told(lost=True)
    worker = Foreseeing(told, Foresight())  # type: ignore[arg-type]
    points = [{"X": np.full(2, float(number))} for number in range(2)]
    worker.foresee([(RUN, arrays, 100) for arrays in points])
    assert worker.rushed


def test_the_same_arrays_in_other_calls_are_another_question() -> None:
    arrays = {"X": np.ones(2)}
    headers = [RUN, {**RUN, "calls": ["forward"]}, {**RUN, "calls": ["forward", "backward"]}]
    keys = [Request(header, arrays, 0).key for header in headers]
    assert len(set(keys)) == len(keys)
    assert Request({**RUN, "calls": ["forward"]}, arrays, 0).key == keys[1]
