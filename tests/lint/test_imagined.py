"""The submission that is imagined is right, and is asked what a right one is asked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.process import WorkerLost
from gradtool.check.reference import Reading, Reference
from gradtool.check.session import Session
from gradtool.lint import imagined
from gradtool.lint.foresight import Foresight
from gradtool.lint.imagined import Imagined
from gradtool.lint.memo import Remembering
from gradtool.report import library, plans


def reference_of(name: str) -> Remembering:
    spec = library.load(name)
    return Remembering(plans.reference_of(spec, library.finder(spec)))


RIGHT = {
    "affine": """\
def affine_forward(X, W, b):
    return X @ W + b, (X, W)

def affine_backward(dY, cache):
    X, W = cache
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)
""",
    "tanh": """\
import numpy as np

def tanh_forward(Z):
    A = np.tanh(Z)
    return A, A

def tanh_backward(dA, A):
    return dA * (1 - A**2)
""",
    "leaky_relu": """\
import numpy as np

def leaky_relu_forward(Z, alpha):
    return np.where(Z > 0, Z, alpha * Z), (Z, alpha)

def leaky_relu_backward(dA, cache):
    Z, alpha = cache
    return dA * np.where(Z > 0, 1, alpha)
""",
}


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_asked_what_a_right_submission_is_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, foresight = reference_of(name), Foresight()
    imagined.grade(reference, foresight, 3, threading.Event())
    (tmp_path / "layer.py").write_text(RIGHT[name])
    asked = []
    evaluate, live = Session.evaluate, Session.live

    def evaluated(self, arrays, scalars, **options):  # type: ignore[no-untyped-def]
        asked.append((options.get("op", "run"), {n: a.tolist() for n, a in arrays.items()}))
        return evaluate(self, arrays, scalars, **options)

    def lived(self, arrays, scalars, **options):  # type: ignore[no-untyped-def]
        asked.append(("live", {n: a.tolist() for n, a in arrays.items()}))
        return live(self, arrays, scalars, **options)

    monkeypatch.setattr(Session, "evaluate", evaluated)
    monkeypatch.setattr(Session, "live", lived)
    judgement = check_pair(reference, tmp_path / "layer.py", seed=3, version="")
    assert judgement.verdict.verdict == "pass"
    first = judgement.points[0].probe
    (script,) = foresight._begun.values()
    known = [
        (one.header["op"], {n: a.tolist() for n, a in one.arrays.items()})
        for one in script.requests
    ]
    assert known[:-1] == asked
    assert known[0][1] == {n: a.tolist() for n, a in first.arrays.items()}
    assert known[-1][0] == "count"


def test_it_ends_when_nobody_waits_for_it() -> None:
    reference, foresight, over = reference_of("affine"), Foresight(), threading.Event()
    over.set()
    with pytest.raises(WorkerLost):
        Imagined(reference, over).ask({"op": "bind"})
    with imagined.graded([reference], foresight, 3):
        pass
    assert "imagined" not in {thread.name for thread in threading.enumerate()}


def test_a_layer_that_draws_numbers_itself_is_not_imagined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Reference] = []
    came = threading.Event()

    def grade(reference: Reference, *_: object) -> None:
        asked.append(reference)
        came.set()

    monkeypatch.setattr(imagined, "grade", grade)
    plain = reference_of("affine")
    with imagined.graded([Reading(plain, ["X"]), plain], Foresight(), 3):
        assert came.wait(20)
    assert asked == [plain]


def test_what_fails_is_left_to_the_submissions() -> None:
    class Failing(Foresight):
        def learn(self, *_: object, **__: object) -> None:
            failed.set()
            raise ValueError

    failed = threading.Event()
    with imagined.graded([reference_of("tanh")], Failing(), 3):
        assert failed.wait(20)
