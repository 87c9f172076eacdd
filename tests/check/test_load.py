"""Files with the baggage of real repositories load unmodified; every departure is told."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradtool.check import modernise, python2
from gradtool.check.cells import FileProblem
from gradtool.check.division import classic
from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from tests.check.references import HandReference, affine

PAIR = """
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
"""
NUMPY = "import numpy as np\n"


def check(file: Path, reference: HandReference | None = None, seconds: float = 10.0) -> Verdict:
    return check_pair(reference or affine(), file, seed=0, version="", seconds=seconds).verdict


@pytest.mark.parametrize(
    ("before", "note"),
    [
        ("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.show()\n", "matplotlib"),
        ("import pdb; pdb.set_trace()\n", "pdb"),
        ("breakpoint()\n", ""),
        ("import torch\nclass Net(torch.nn.Module): pass\n", "torch is not there"),
        ("import torch\n@torch.no_grad()\ndef f(): pass\n", "torch is not there"),
        ("from .fast_layers import conv_fast\n", "fast_layers is not there"),
        ("from im2col_cython import col2im_cython\n", "im2col_cython is not there"),
        ("import cupy as np\nnp.cuda.set_allocator(np.cuda.MemoryPool().malloc)\n", "cupy is not"),
        ("from past.builtins import xrange\n", "past.builtins is not installed"),
        ("x = np.float(3)\n", "np.float no longer exists"),
        ("x = np.reshape(np.arange(4), newshape=(2, 2))\n", "np.reshape(newshape=…) no longer"),
        ("x = np.sum(i for i in range(3))\n", "np.sum of a generator no longer exists"),
        ("from numpy.linalg import gone\n", "numpy.linalg.gone is not there"),
        ("data = np.load('train.npy')\n", "only the definitions"),
        ("data = open('train.csv').read()\nN = len(data)\n", "only the definitions"),
        ("if __name__ == '__main__':\n    import train\n", ""),
    ],
)  # fmt: skip
def test_baggage_at_import(tmp_path: Path, before: str, note: str) -> None:
    (tmp_path / "layers.py").write_text(NUMPY + before + PAIR)
    verdict = check(tmp_path / "layers.py")
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict.notes
    assert any(note in told for told in verdict.notes) if note else verdict.notes == ()


def test_a_missing_module_is_an_error_only_where_it_is_used(tmp_path: Path) -> None:
    text = PAIR.replace("dout.sum(axis=0)", "torch.sum(dout, 0)")
    (tmp_path / "layers.py").write_text(NUMPY + "import torch\n" + text)
    verdict = check(tmp_path / "layers.py")
    assert verdict.trouble is not None
    assert "torch.sum is used, but its module is not there" in verdict.trouble.message


def test_a_guarded_import_takes_the_users_own_way_out(tmp_path: Path) -> None:
    guarded = "try:\n    import fast\n    HAVE = True\nexcept ImportError:\n    HAVE = False\n"
    body = PAIR.replace("x, w = cache", "x, w = cache; assert not HAVE")
    (tmp_path / "layers.py").write_text(NUMPY + guarded + body)
    assert check(tmp_path / "layers.py").verdict == "pass"


def test_a_helper_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def total(a): return a.sum(axis=0)\n")
    text = PAIR.replace("dout.sum(axis=0)", "total(dout)")
    (tmp_path / "layers.py").write_text("from helper import *\n" + text)
    assert check(tmp_path / "layers.py").verdict == "pass"


def test_a_relative_import_finds_its_package(tmp_path: Path) -> None:
    package = tmp_path / "course" / "nn"
    package.mkdir(parents=True)
    (tmp_path / "course" / "__init__.py").write_text("raise RuntimeError('needs a GPU')")
    (package / "__init__.py").write_text("")
    (tmp_path / "course" / "tools.py").write_text("def total(a): return a.sum(axis=0)\n")
    text = PAIR.replace("dout.sum(axis=0)", "total(dout)")
    (package / "layers.py").write_text("from ..tools import total\n" + text)
    verdict = check(package / "layers.py")
    assert verdict.verdict == "pass"
    assert any("course was not run" in note for note in verdict.notes)


def test_an_absolute_import_finds_the_package_root(tmp_path: Path) -> None:
    package = tmp_path / "cs" / "layers"
    package.mkdir(parents=True)
    (tmp_path / "cs" / "tools.py").write_text("def total(a): return a.sum(axis=0)\n")
    text = PAIR.replace("dout.sum(axis=0)", "total(dout)")
    (package / "fc.py").write_text("from cs.tools import total\n" + text)
    assert check(package / "fc.py").verdict == "pass"


def test_training_at_top_level_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(NUMPY + PAIR + "while True:\n    pass\n")
    verdict = check(tmp_path / "layers.py", seconds=1.0)
    assert verdict.verdict == "pass"
    assert any("no answer within 1 s" in note for note in verdict.notes)


def test_provided_modules_stand_in_for_a_courses_own(tmp_path: Path) -> None:
    text = PAIR.replace("dout.sum(axis=0)", "total(dout)")
    (tmp_path / "layers.py").write_text("from course.tools import total\n" + text)
    reference = affine().checked_by(
        forward="Y, cache = affine_forward(X, W, b)",
        backward="dX, dW, db = affine_backward(dY, cache)",
        provide={"course.tools": "def total(a):\n    return a.sum(axis=0)\n"},
    )
    verdict = check(tmp_path / "layers.py", reference)
    assert (verdict.verdict, verdict.notes) == ("pass", ())


def notebook(path: Path, *cells: str) -> Path:
    content = {"cells": [{"cell_type": "code", "source": text.splitlines(True)} for text in cells]}
    path.write_text(json.dumps(content))
    return path


def test_a_notebook_without_its_magics(tmp_path: Path) -> None:
    file = notebook(
        tmp_path / "hw.ipynb",
        "%matplotlib inline\nimport numpy as np\n!pip install numpy\nnp.sum?",
        "%%bash\nls -l | grep",
        "%%time\n" + PAIR,
        "this is no Python at all",
        "affine_forward(1, 2, 3)",
    )
    verdict = check(file)
    assert verdict.verdict == "pass"
    assert verdict.notes[0].startswith("5 lines that are no Python were dropped")
    assert any("cell 4, which was left out" in note for note in verdict.notes)
    assert any("cell 5" in note for note in verdict.notes)


def test_an_error_in_a_notebook_names_the_cell(tmp_path: Path) -> None:
    text = PAIR.replace("dout.sum(axis=0)", "dout.sum(axis=7)")
    verdict = check(notebook(tmp_path / "hw.ipynb", "import numpy as np", text))
    assert verdict.trouble is not None
    assert (verdict.trouble.place, verdict.trouble.line) == ("hw.ipynb cell 2", 6)


def test_a_cell_of_straight_line_code(tmp_path: Path) -> None:
    file = notebook(
        tmp_path / "hw.ipynb",
        "import numpy as np",
        "# forward\nY = X @ W + b",
        "# backward\ndX = dY @ W.T; dW = X.T @ dY; db = dY.sum(0)",
    )
    reference = affine().checked_by(forward='cell("# forward")', backward='cell("# backward")')
    verdict = check(file, reference)
    # The judge cannot see into the cell: it says what was assigned, not what was mentioned.
    assert (verdict.verdict, verdict.trouble) == ("pass", None)


def test_python_2_names_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python2, "converter_installed", lambda: False)
    with pytest.raises(FileProblem, match=r"old.py is Python 2 .*pip install .*fissix") as caught:
        modernise.parsed("for i in xrange(3):\n    print i\n", "old.py", False, print)
    assert caught.value.line == 2


OLD_PAIR = """
from rows import count
def affine_forward(x, w, b):
    cache = {}
    for name, value in [("x", x), ("w", w)]:
        cache[name] = value
    halves = len(x) / 2  # an integer, rounded down
    rows = np.zeros((halves * 2 + count(x) % 2,))
    return x.dot(w) + b + 0 * rows[:, None], cache
def affine_backward(dout, cache):
    for key in cache.iterkeys():
        print key, 10L
    x, w = cache["x"], cache["w"]
    return dout.dot(w.T), x.T.dot(dout), dout.sum(axis=0)
"""


def test_python_2_is_converted_with_its_division_and_its_helpers(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(NUMPY + OLD_PAIR)
    (tmp_path / "rows.py").write_text("def count(x):\n    print len(x)\n    return len(x)\n")
    verdict = check(tmp_path / "layers.py")
    assert (verdict.verdict, verdict.trouble) == ("pass", None)
    told = " ".join(verdict.notes)
    assert "layers.py is Python 2: it was converted" in told
    assert "rows.py is Python 2: it was converted" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["layers.py", "rows.py"]


def test_a_spec_may_say_that_a_file_is_python_2(tmp_path: Path) -> None:
    # Nothing in it shows it but a size that is computed by division.
    text = PAIR.replace(
        "return x @ w + b", "return x @ w + b + 0 * np.zeros(2 * len(x) / 2)[:, None]"
    )
    (tmp_path / "layers.py").write_text(NUMPY + text)
    trouble = check(tmp_path / "layers.py").trouble
    assert trouble is not None
    assert "if this is code of Python 2, say so in the spec" in trouble.message
    reference = affine().checked_by(
        forward="Y, cache = affine_forward(X, W, b)",
        backward="dX, dW, db = affine_backward(dY, cache)",
        load_python=2,
    )
    assert check(tmp_path / "layers.py", reference).verdict == "pass"


def test_a_method_that_only_python_2_has_shows_beside_a_star_import(tmp_path: Path) -> None:
    old = "sum(v for _, v in {0: 0}.iteritems()) + x @ w"
    text = "from numpy.linalg import *\n" + PAIR.replace("x @ w", old, 1)
    (tmp_path / "layers.py").write_text(text)
    verdict = check(tmp_path / "layers.py")
    assert verdict.verdict == "pass"
    assert any("is Python 2" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("before", "converted"),
    [
        ("", True),
        ("from past.builtins import xrange\n", False),
        ("from six.moves import *\n", False),
        ("from numpy.linalg import *\n", True),
        ("try:\n    xrange\nexcept NameError:\n    xrange = range\n", False),
    ],
)
def test_a_name_that_only_python_2_has(tmp_path: Path, before: str, converted: bool) -> None:
    text = PAIR.replace("return x @ w", "for i in xrange(len(x) / len(x)): pass\n    return x @ w")
    text = text if converted else text.replace("/ len(x)", "// len(x)")
    (tmp_path / "layers.py").write_text(before + text)
    verdict = check(tmp_path / "layers.py")
    assert verdict.verdict == "pass"
    assert any("is Python 2" in note for note in verdict.notes) == converted


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a = 7 / 2", 3),
        ("a = -7 / 2", -4),
        ("a = 7 / 2.0", 3.5),
        ("a = np.array([7, 8]) / 2", [3, 4]),
        ("a = np.array([7.0, 8.0]) / 2", [3.5, 4]),
        ("a = [7, 8]\na[1] /= 3", [7, 2]),
        ("from __future__ import division\na = 7 / 2", 3.5),
    ],
)
def test_classic_division(line: str, expected: object) -> None:
    names: dict[str, object] = {"np": np}
    exec(compile(classic(ast.parse(line)), "old", "exec"), names)
    assert np.array_equal(np.asarray(names["a"]), np.asarray(expected))


def test_division_in_place_changes_the_array_that_is_there() -> None:
    a = np.array([7.0, 8.0])
    exec(compile(classic(ast.parse("a /= 2")), "old", "exec"), {"a": a})
    assert a.tolist() == [3.5, 4.0]


def test_a_provided_module_leaves_its_package_alone(tmp_path: Path) -> None:
    package = tmp_path / "course"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tools.py").write_text("def total(a):\n    return a.sum(axis=0)\n")
    text = PAIR.replace("dout.sum(axis=0)", "fast(total(dout))")
    imports = "from course.tools import total\nfrom course.compiled import fast\n"
    (package / "layers.py").write_text(imports + text)
    reference = affine().checked_by(
        forward="Y, cache = affine_forward(X, W, b)",
        backward="dX, dW, db = affine_backward(dY, cache)",
        provide={"course.compiled": "def fast(a):\n    return a\n"},
    )
    verdict = check(package / "layers.py", reference)
    assert (verdict.verdict, verdict.notes) == ("pass", ())


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "layers.py").write_text("import helper\n" + PAIR)
    check(tmp_path / "layers.py")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["helper.py", "layers.py"]


def test_one_process_loads_thousands_of_files(tmp_path: Path) -> None:
    """What is installed for a file takes the place of what was for the one before."""
    script = f"""
import sys
from pathlib import Path
import numpy as np
from gradtool.check.load import Options, load
file = Path({str(tmp_path / "hw.py")!r})
file.write_text("import numpy as np\\nx = np.sum(i for i in range(3))\\ny = np.float(2)\\n")
def sizes():
    return len(sys.path), len(sys.path_hooks), len(sys.meta_path)
loaded = load(file, Options())
before = sizes(), np.sum
for _ in range(1200):
    loaded = load(file, Options())
assert (sizes(), np.sum) == before
assert sum("no longer exists" in note for note in loaded.notes) == 2
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("magic", "imported"),
    [
        ("%%writefile layers.py", "from layers import affine_forward, affine_backward"),
        ("%%writefile layers.py", "from layers import *"),
        ("\n%%file -a './course/layers.py'", "import course.layers as layers"),
        ("%%writefile /content/layers.py", "import layers"),
        ("%%writefile layers.py", ""),
    ],
)
@pytest.mark.parametrize(("term", "line"), [("dout.sum(axis=0)", 0), ("dout.mean(axis=0)", 1)])
def test_a_cell_that_is_written_to_a_file(
    tmp_path: Path, magic: str, imported: str, term: str, line: int
) -> None:
    text = f"{magic}\nimport numpy as np\neps = 1\n" + PAIR.replace("dout.sum(axis=0)", term)
    others = imported, "import numpy as np\neps = 2", "assert eps == 2"
    verdict = check(notebook(tmp_path / "hw.ipynb", text, *others))
    assert verdict.verdict == ("fail" if line else "pass")
    assert not verdict.notes
    if line:
        (wrong,) = [g for g in verdict.gradients if g.standing == "wrong"]
        lines = text.splitlines()
        assert (wrong.name, wrong.place) == ("b", "hw.ipynb cell 1")
        assert wrong.line is not None
        assert "mean" in lines[wrong.line - 1]


def test_a_cell_that_is_written_to_a_text_is_no_python(tmp_path: Path) -> None:
    file = notebook(tmp_path / "hw.ipynb", "%%writefile notes.txt\nx =", "import numpy as np", PAIR)
    verdict = check(file)
    assert verdict.verdict == "pass"
    assert "%%writefile notes.txt" in verdict.notes[0]
