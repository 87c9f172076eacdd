"""Whatever the user's file does, the answer is one clear message and never our traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.records import replace
from gradtool.report import check_github, check_text
from tests.check.references import affine

RIGHT = """
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
"""


def verdict(tmp_path: Path, text: str | bytes, seconds: float = 10.0) -> Verdict:
    file = tmp_path / "hw.py"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return check_pair(affine(), file, seed=0, version="", seconds=seconds).verdict


def backward(body: str) -> str:
    """A file whose backward has another body."""
    return RIGHT.partition("def affine_backward")[0] + (
        "def affine_backward(dout, cache):\n    x, w = cache\n" + body
    )


RETURN = "    return dx, dw, db\n"
GOOD = "    dx, dw, db = dout @ w.T, x.T @ dout, dout.sum(axis=0)\n"


@pytest.mark.parametrize(
    ("text", "stage", "message"),
    [
        pytest.param("def f(:\n", "file", "invalid syntax", id="does not parse"),
        pytest.param(b"\x00\x01\x02", "file", "binary", id="binary"),
        pytest.param(b"# \xff\xfe\n", "file", "no text in UTF-8", id="not UTF-8"),
        pytest.param(b"\n\n\n# caf\xe9\n", "file", "a byte 0xe9", id="of Windows"),
        pytest.param(b"\xff\xfea\x00", "file", "in UTF-16; save it", id="UTF-16"),
        pytest.param("# coding: no\n", "file", "encoding of the file is not known", id="encoding"),
        pytest.param("if 1:\n\tif 2:\n        x\n\ty\n", "file", "with spaces only", id="tabs"),
        pytest.param("(" * 5000, "file", "", id="nested too deeply"),
        pytest.param("", "binding", "it defines no function", id="empty"),
        pytest.param("def relu(x):\n    return x\n", "binding", "it defines relu", id="no pair"),
        pytest.param(backward("    import os; os._exit(3)\n"), "worker", "exit code 3", id="exits"),
        pytest.param(
            backward("    import ctypes; ctypes.string_at(0)\n"), "worker", "SIGSEGV", id="crashes"
        ),
        pytest.param(
            backward("    import os; os.closerange(3, 100)\n"), "worker", "", id="closes the pipes"
        ),
    ],
)
def test_nothing_to_compare(tmp_path: Path, text: str | bytes, stage: str, message: str) -> None:
    found = verdict(tmp_path, text)
    assert found.verdict == "error"
    assert found.trouble is not None
    assert found.trouble.stage == stage
    assert message in found.trouble.message


def test_a_notebook_may_hold_half_of_a_character(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "x = '\ud800'", "metadata": {}}
    file = tmp_path / "hw.ipynb"
    file.write_text(json.dumps({"cells": [cell]}))
    found = check_pair(affine(), file, seed=0, version="").verdict
    assert found.trouble is not None
    assert (found.trouble.stage, found.trouble.place) == ("file", "hw.ipynb cell 1")
    assert "surrogates not allowed" in found.trouble.message


def test_a_hang_ends_at_the_time_limit(tmp_path: Path) -> None:
    found = verdict(tmp_path, backward("    while True: pass\n"), seconds=1.0)
    assert found.trouble is not None
    assert "no answer within 1 s" in found.trouble.message


@pytest.mark.parametrize("end", ["while True: pass", "import os; os._exit(0)"])
def test_what_was_right_until_the_worker_was_lost_is_not_decided(tmp_path: Path, end: str) -> None:
    text = f"    if x.shape[0] == x.shape[1]:\n        {end}\n"
    found = verdict(tmp_path, backward(text + GOOD + RETURN), seconds=1.0)
    assert found.verdict == "fail"
    assert {row.standing for row in (*found.forward, *found.gradients)} == {"not computed"}
    assert found.right_until_lost == ("Y", "dX", "dW", "db")
    assert found.trouble_line == 0  # it may have been either function
    assert check_text.plain(found).endswith("3 of 3 gradients are not computed (seed 0)\n")
    assert "line=" not in check_github.document([found])
    half = backward(text + GOOD + "    db = 2 * db\n" + RETURN)
    end_of = check_text.plain(verdict(tmp_path, half, seconds=1.0))
    assert end_of.endswith("1 of 3 gradients is wrong, 2 are not computed (seed 0)\n")


def test_an_exception_behind_the_last_gradient_leaves_none_right(tmp_path: Path) -> None:
    text = """
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dY):
        self.dX, self.dW, self.db = dY @ self.W.T, self.X.T @ dY, dY.sum(axis=0)
        if len(dY) == 1:
            raise ValueError("one")
        return self.dX
"""
    found = verdict(tmp_path, text)
    assert found.verdict == "fail"
    assert [o.standing for o in found.forward] == ["ok"]
    assert {g.standing for g in found.gradients} == {"not computed"}


@pytest.mark.parametrize(
    "line",
    [
        "while True: pass",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "import ctypes; ctypes.string_at(0)",
        "raise SystemExit",
        "open('data.csv')",
        "raise BaseExceptionGroup('a', [ValueError()])",
        "assert False",
    ],
)
def test_what_fails_at_import_is_left_out_and_told(tmp_path: Path, line: str) -> None:
    found = verdict(tmp_path, f"{RIGHT}\n{line}\n", seconds=1.5)
    assert found.verdict == "pass"
    assert any("only the definitions" in note for note in found.notes)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1/0, 0, 0\n", "ZeroDivisionError"),
        ("    import sys; sys.exit(1)\n", "SystemExit"),
        ("    raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("    return affine_backward(dout, cache)\n", "RecursionError"),
        ("    return dout\n", "ValueError"),
        ("    raise NotImplementedError\n", "NotImplementedError"),
        ("    class E(Exception):\n        def __str__(self): raise self\n    raise E\n", "E"),
    ],
)
def test_an_exception_is_named_with_its_line(tmp_path: Path, body: str, message: str) -> None:
    found = verdict(tmp_path, backward(body))
    assert found.verdict in ("error", "fail")
    assert found.trouble is not None
    assert message in found.trouble.message
    assert found.forward[0].standing == "ok"
    assert {g.standing for g in found.gradients} <= {"not computed", "wrong"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    db = None\n", "is None"),
        ("    db = 'a'\n", "is text"),
        ("    db = [[1.0], [1.0, 2.0]]\n", "rows differ in length"),
        ("    db = object()\n", "no array of numbers"),
        ("    db = db * np.nan\n", "not finite"),
        ("    db = np.inf\n", "should be (C,)"),
        ("    db = db + 1j\n", "is complex"),
        ("    db = db.astype(int)\n", "integer buffer"),
        ("    db = dout\n", "the sum over axis 0 is missing (with it, every entry is right)"),
        ("    db = dout.sum()\n", "summed over every axis"),
        ("    db = 3.0\n", "db has shape (), should be (C,)"),
        ("    db = np.zeros(10**7)\n", "far larger"),
        ("    db = np.zeros((2,) * 33)\n", ""),
        ("    db = {'a': 1}\n", "no array of numbers"),
        ("    db = (x for x in db)\n", "no array of numbers"),
    ],
)
def test_a_value_that_is_no_gradient_is_named(tmp_path: Path, body: str, message: str) -> None:
    found = verdict(tmp_path, backward(GOOD + body + RETURN))
    assert found.verdict in ("fail", "error")
    by_name = {g.name: g for g in found.gradients}
    assert by_name["b"].standing in ("wrong", "not computed")
    assert message in by_name["b"].message


@pytest.mark.parametrize(
    "line",
    [
        "print('x' * 20_000_000)",
        "import os; os.write(1, b'x' * 5_000_000); os.write(2, b'x' * 5_000_000)",
        "import warnings; warnings.warn('careful')",
        "import os; os.chdir('/')",
        "import sys; sys.stdout.close(); sys.stdin.close()",
        "import sys; sys.setrecursionlimit(100)",
        "import numpy; numpy.seterr(all='raise')",
    ],
)
def test_noise_changes_nothing(tmp_path: Path, line: str) -> None:
    found = verdict(tmp_path, RIGHT.replace("x, w = cache", f"x, w = cache; {line}"))
    assert (found.verdict, found.trouble) == ("pass", None)


def test_a_child_that_was_forked_does_not_answer(tmp_path: Path) -> None:
    body = "    import os; os.fork()\n" + GOOD + RETURN
    assert verdict(tmp_path, backward(body)).verdict == "pass"


def test_text_from_the_user_cannot_steer_the_terminal(tmp_path: Path) -> None:
    found = verdict(tmp_path, backward("    raise ValueError('\\x1b[2J' + 'a' * 10000)\n"))
    assert found.trouble is not None
    assert "\x1b" not in found.trouble.message
    assert len(found.trouble.message) < 1000


def test_the_line_of_an_exception_is_the_users(tmp_path: Path) -> None:
    found = verdict(tmp_path, backward("    y = 1\n    return np.zeros((2, 3)) @ np.zeros(2)\n"))
    assert found.trouble is not None
    assert (found.trouble.place, found.trouble.line) == ("hw.py", 8)
    assert found.trouble.source == "return np.zeros((2, 3)) @ np.zeros(2)"


@pytest.mark.parametrize("name", ["gone.py", "gone/hw.py", "."])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    found = check_pair(affine(), tmp_path / name, seed=0, version="").verdict
    assert found.trouble is not None
    assert found.trouble.stage == "file"
    assert "there is no such file" in found.trouble.message


def test_the_right_file_passes(tmp_path: Path) -> None:
    found = verdict(tmp_path, RIGHT)
    assert (found.verdict, found.notes, found.trouble) == ("pass", (), None)


def test_slow_code_that_was_right_is_right_as_far_as_it_was_looked_at(tmp_path: Path) -> None:
    text = """
import time
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    time.sleep(60 * (x.size * w.size > 2000))
    return dout @ w.T, x.T @ dout, dout.sum(0)
"""
    slow = replace(affine(), sets=({"N": 3, "D": 4, "C": 2}, {"N": 90, "D": 20, "C": 2}))
    file = tmp_path / "slow.py"
    file.write_text(text)
    verdict = check_pair(slow, file, seed=0, version="1", seconds=1.0).verdict
    assert verdict.verdict == "pass"
    assert any("your code gave no answer in 1 s" in note for note in verdict.notes)
    # Where it was not right before, there is nothing to go by.
    file.write_text(text.replace("x.T @ dout", "2 * x.T @ dout"))
    assert check_pair(slow, file, seed=0, version="1", seconds=1.0).verdict.verdict == "fail"
