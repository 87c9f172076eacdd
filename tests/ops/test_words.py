"""Every example of every word: its forward pass is NumPy's, its gradient is the differences'.

The examples stand with the words; the reference executes the same line with NumPy, and every
printed line of both backward passes is read back and compared with 60-digit differences.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.ops.registry import vocabulary
from tests.programs.generate import Declared, Line, Program
from tests.programs.prove import prove
from tests.programs.reference import execute

SHAPES = {
    "X": "[N, D]",
    "Z": "[N, D]",
    "Q": "{shape: [N, D], domain: positive}",
    "T3": "[M, N, D]",
    "b": "[D]",
    "y": "{shape: [N], index: D}",
}
# What an example needs beside these shapes: other labels, sizes that leave room.
LABELS = {"Y = X[y]": "{shape: [N], index: N}"}
NEEDS = ("N - 1", "D - 1", "M - 1")
# Their result depends on a library that NumPy is not: the classes are counted by hand.
REFERENCES = {
    "Y = X*onehot(y)": "Y = X*onehot(y, D)",
    "Y = scatter_add(y, X)": "Y = scatter_add(y, X, D)",
}
# They put a maximum back where it was: another way to write the gradient of max_pool2d, with
# tests of their own beside the other windows.
WITHOUT_EXAMPLES = {"floordiv", "pos", "argmax_pool2d", "max_unpool2d"}

WORDS = {id(word): word for word in vocabulary().values()}
EXAMPLES = sorted(
    {(word.name, line) for word in WORDS.values() for line in word.examples}  # type: ignore[attr-defined]
)


def program(line: str) -> Program:
    shapes = {**SHAPES, **({"y": LABELS[line]} if line in LABELS else {})}
    declared = tuple(Declared(name, "inputs", yaml) for name, yaml in shapes.items())
    reference = REFERENCES.get(line, line)
    return Program(declared, (Line("Y", line, reference),), ("Y",), ("M", "N", "D"), NEEDS)


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_right(name: str, line: str) -> None:
    outcome = prove(program(line), seed=len(line))
    assert outcome.status == "agrees", (
        f"{outcome.status}: {outcome.reason}\n{program(line).yaml}\n{outcome.detail}"
    )


def test_every_word_has_an_example() -> None:
    missing = {w.name for w in WORDS.values() if not w.examples}  # type: ignore[attr-defined]
    assert missing == WITHOUT_EXAMPLES


def test_every_word_has_a_doc() -> None:
    missing = {w.name for w in WORDS.values() if not w.doc}  # type: ignore[attr-defined]
    assert missing <= {"gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or"}


def test_the_reference_is_numpy() -> None:
    x = np.arange(6.0).reshape(2, 3)
    names = execute("Y = softmax(X) @ X.T", {"X": x})
    e = np.exp(x)
    assert np.allclose(names["Y"].astype(float), e / e.sum(axis=1, keepdims=True) @ x.T)


def test_the_operator_that_the_readme_shows_is_the_whole_of_it() -> None:
    root = Path(__file__).resolve().parents[2]
    code = (root / "gradtool" / "ops" / "difference.py").read_text(encoding="utf-8")
    shown = code[code.index("@word(") :]
    assert f"```python\n{shown}```" in (root / "README.md").read_text(encoding="utf-8")
    for folder in ("emit", "spec", "check", "numeric", "report"):  # in derive/ a name of a value
        for path in (root / "gradtool" / folder).rglob("*.py"):
            assert '"diff"' not in path.read_text(encoding="utf-8"), path
