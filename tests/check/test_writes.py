"""What a call is said to write into is what it changes, and a gradient may be made like that."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from gradtool.check.bind import Binding
from gradtool.check.cells import read_cells
from gradtool.check.diagnose_where import where
from gradtool.check.inventory import class_of
from gradtool.check.pair import check_pair
from gradtool.check.writes import written
from tests.check.references import affine

CALLS = [
    "np.add(a, b, out=c)",
    "np.add(a, b, c)",
    "np.sin(a, c)",
    "np.matmul(a, b, out=c)",
    "np.modf(a, out=(c, d))",
    "np.modf(a, c, d)",
    "np.sum([a, b], axis=0, out=c)",
    "a.dot(b, out=c)",
    "np.add.at(c, [0, 1], b)",
    "np.copyto(c, a)",
    "np.put(c, 0, 5.0)",
    "np.putmask(c, a > 0, b)",
    "np.place(c, a > 0, [1.0, 2.0])",
    "np.fill_diagonal(c, 7.0)",
    "np.put_along_axis(c, np.zeros((2, 1), int), 1.0, 1)",
    "c.fill(3.0)",
    "c.put(0, 3.0)",
    "np.add(a, b)",
    "np.sum(a, 0)",
    "np.stack([a, b])",
    "a.sum(0)",
]


@pytest.mark.parametrize("text", CALLS)
def test_what_is_written_is_what_numpy_changes(text: str) -> None:
    names = {name: np.array([[1.5, 2.25], [3.125, 4.0]]) + i for i, name in enumerate("abcd")}
    before = {name: array.copy() for name, array in names.items()}
    eval(text, {"np": np, **names})
    changed = [name for name in names if not np.array_equal(names[name], before[name])]
    said = [ast.unparse(e) for node in ast.walk(ast.parse(text)) for e in written(node)]
    assert sorted(said) == changed


CLASS = """\
import numpy as np
class Affine:
    def __init__(self, W, b):
        self.params = {"W": W, "b": b}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
    def forward(self, X):
        self.X = X
        return X @ self.params["W"] + self.params["b"]
    def backward(self, dY):
        np.matmul(self.X.T, dY, out=self.grads["W"])
        np.add(dY.sum(axis=0), 0, out=self.grads["b"])
        return dY @ self.params["W"].T
"""
PLAIN = """\
import numpy as np
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
        for name in ("W", "b"):
            setattr(self, f"d{name}", np.zeros_like(getattr(self, name)))
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dY):
        np.matmul(self.X.T, dY, self.dW)
        np.copyto(self.db, dY.sum(axis=0))
        return dY @ self.W.T
"""


@pytest.mark.parametrize(("text", "call"), [(CLASS, "np.add("), (PLAIN, "np.copyto(")])
@pytest.mark.parametrize("wrong", [False, True])
def test_gradients_that_are_written_in_place(
    tmp_path: Path, text: str, call: str, wrong: bool
) -> None:
    file = tmp_path / "hw.py"
    text = text.replace("dY.sum(axis=0)", "np.sin(dY).sum(axis=0)") if wrong else text
    file.write_text(text)
    judgement = check_pair(affine(), file, seed=0, version="", explain=False)
    verdict, binding = judgement.verdict, judgement.binding
    standing = {g.name: g.standing for g in verdict.gradients}
    assert standing == {"X": "ok", "W": "ok", "b": "wrong" if wrong else "ok"}
    for name, begin in (("W", "np.matmul("), ("b", call)):
        found = where(file, binding, name)
        assert found is not None
        assert found.source.startswith(begin)


def test_the_line_of_a_name_is_where_its_array_is_filled(tmp_path: Path) -> None:
    file = tmp_path / "embed.py"
    file.write_text(
        "import numpy as np\n"
        "def backward(dout, cache):\n"
        "    idx, W = cache\n"
        "    dW = np.zeros_like(W)\n"
        "    np.add.at(dW, idx, dout)\n"
        "    return dW\n"
    )
    found = where(file, Binding("", None, backward="dW = backward(dout, cache)"), "W")
    assert found is not None
    assert found.line == 5


def test_the_line_of_a_part_is_where_that_part_stands(tmp_path: Path) -> None:
    """Of gradients in a tuple beside a loss, and of those in a dictionary that is written out."""
    file = tmp_path / "triplet.py"
    file.write_text(
        "def triplet(A, P):\n"
        "    return (\n"
        "        A.sum(),\n"
        "        (\n"
        "            A * 2,\n"
        "            P * 2,\n"
        "        ),\n"
        "    )\n"
        "def named(A, P):\n"
        "    return A.sum(), dict(\n"
        "        dA=A,\n"
        "        dP=P * 3,\n"
        "    )\n"
    )
    ways = {
        "L, returned = triplet(A, P)\ndA = returned[0]\ndP = returned[1]": (5, 6),
        "L, (dA, dP) = triplet(A, P)": (5, 6),
        "L, grads = named(A, P)\ndA = grads['dA']\ndP = grads['dP']": (11, 12),
    }
    for text, lines in ways.items():
        found = [where(file, Binding("", text), name) for name in ("A", "P")]
        assert tuple(one.line for one in found if one is not None) == lines


def test_an_entry_of_an_attribute_is_nothing_that_is_returned(tmp_path: Path) -> None:
    file = tmp_path / "words.py"
    file.write_text(
        "class Embedding:\n"
        "    def backward(self, dout):\n"
        "        (dW,) = self.grads\n"
        "        dW[self.words] = dout\n"
        "        return None\n"
    )
    binding = Binding("", None, backward="layer.backward(dY)\ndW = layer.grads[0]")
    assert where(file, binding, "W") is None


def test_the_line_of_an_annotated_attribute_is_where_it_gets_its_value(tmp_path: Path) -> None:
    file = tmp_path / "affine.py"
    file.write_text(
        "class Affine:\n"
        "    def backward(self, dY):\n"
        "        self.dW: object = self.X.T @ dY\n"
        "        self.dW: object\n"
        "        return dY @ self.W.T\n"
    )
    found = where(file, Binding("", None, backward="dX = Affine().backward(dY)\ndW = a.dW"), "W")
    assert found is not None
    assert found.line == 3


def test_the_inventory_has_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "hw.py"
    more = "np.add.at(self.dV[0], 0, 1)", 'self.grads["c"][...] = dY'
    file.write_text(CLASS + "".join(f"        {line}\n" for line in more))
    (cell,), _ = read_cells(file)
    (node,) = [n for n in ast.parse(cell.text).body if isinstance(n, ast.ClassDef)]
    backward = class_of(node, cell.place).method("backward")
    assert backward is not None
    assert backward.keys == {"self.grads": ("W", "b", "c")}
    assert "dV" in backward.sets
