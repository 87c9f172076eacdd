"""A rehearsal leaves nothing behind but memory that is warm."""

from __future__ import annotations

import gc
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

from gradtool.check import frames
from gradtool.lint import rehearsal, sample
from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.serve import Observed
from tests.conftest import ROOT

STATE = """
import gc, os, sys
sys.path.insert(0, {root!r})
from gradtool.lint import rehearsal

def state():
    return (
        list(sys.path), list(sys.argv), list(sys.meta_path), list(sys.path_hooks),
        dict(sys.path_importer_cache), list(sys.modules), sys.breakpointhook,
        os.getcwd(),
        sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None,
    )

arguments, hook, path = list(sys.argv), sys.breakpointhook, list(sys.path)
rehearsal.rehearse()  # whatever is imported at the first time, may stay
assert (sys.argv, sys.breakpointhook, sys.path) == (arguments, hook, path)
before = state()
rehearsal.rehearse()
assert state() == before
assert sys.getprofile() is None
"""


def test_the_interpreter_is_as_it_was() -> None:
    text = STATE.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


IMPORTED = """
import sys
sys.path.insert(0, {root!r})
from gradtool.lint import rehearsal, serve

before, found = set(sys.modules), set()
plain = serve.Observed.answer

def answer(self, request):
    replied = plain(self, request)
    found.update(set(sys.modules) - before)
    return replied

serve.Observed.answer = answer
rehearsal.rehearse()
print(*found)
"""


def test_what_a_worker_needs_is_there_before_it_is_forked() -> None:
    """What it imported itself, each of them would."""
    text = IMPORTED.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (done.stderr, done.stdout.split()) == ("", ["sample"])


def test_no_answer_of_it_is_left_for_a_submission_to_find() -> None:
    gc.unfreeze()  # a judge that another test ran has taken what there was out of sight

    def functions() -> set[int]:
        gc.collect()
        return {
            id(found)
            for found in gc.get_objects()
            if isinstance(found, types.FunctionType) and found.__name__ == "halved_backward"
        }

    assert functions() == {id(sample.halved_backward)}
    rehearsal.rehearse()
    assert functions() == {id(sample.halved_backward)}


def test_every_question_of_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = []
    answer = Observed.answer

    def seen(self: Observed, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        replies.append(answer(self, request))
        return replies[-1]

    monkeypatch.setattr(Observed, "answer", seen)
    rehearsal.rehearse()
    assert replies
    assert [reply for reply, _ in replies if "error" in reply] == []


def test_a_setup_with_one_travels() -> None:
    setup = Setup(rehearse=("gradtool.lint.rehearsal:rehearse",))
    assert Setup.from_bytes(setup.to_bytes()) == setup
