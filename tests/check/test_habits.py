"""Code that an old NumPy ran says what today's NumPy does not take, and how to write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.habits import habit
from gradtool.check.pair import check_pair
from tests.check.references import softmax_loss

pytestmark = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="this NumPy takes them for numbers"
)
HINT = "NumPy before 2.4 took an array with one entry for a number"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("float(np.ones(1))", True),
        ("int(np.ones((1, 1)))", True),
        ("np.zeros(3).__setitem__(0, np.ones(1))", True),
        ("float('x')", False),
        ("float([1.0])", False),
        ("np.array([[1.0], [1.0, 2.0]])", False),
        ("np.zeros(3)[5]", False),
    ],
)
def test_the_hint_stands_beside_its_exceptions_alone(text: str, told: bool) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        eval(text, {"np": np})
    assert (HINT in habit(caught.value)) == told


LOSS = """
import numpy as np
def softmax_loss(scores, y):
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = np.zeros(1)
    for n in range(len(y)):
        loss -= np.log(p[n, y[n]]) / len(y)
        p[n, y[n]] -= 1
    return {result}, p / len(y)
"""


def test_a_report_says_so(tmp_path: Path) -> None:
    file = tmp_path / "hw.py"
    file.write_text(LOSS.format(result="loss.item()"))
    assert check_pair(softmax_loss(), file, seed=0, version="").verdict.verdict == "pass"
    file.write_text(LOSS.format(result="float(loss)"))
    trouble = check_pair(softmax_loss(), file, seed=0, version="").verdict.trouble
    assert trouble is not None
    assert trouble.message.startswith("TypeError: only 0-dimensional arrays")
    assert HINT in trouble.message
    assert trouble.line == 10
