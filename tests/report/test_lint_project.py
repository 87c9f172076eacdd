"""`gradtool lint --spec`: the files of a project, most of which have nothing to do with a layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradtool.cli import main
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT, WRONG

RELU = """\
import numpy as np
def relu_forward(X):
    return np.maximum(X, 0), X
def relu_backward(dout, cache):
    return dout * (cache > 0)
"""
ANOTHER = RELU.replace("np.maximum(X, 0)", "np.maximum(X, 0) ** 2")
BESIDE = """\
def leaky_relu_forward(X):
    return X * (X > 0) + 0.1 * X * (X <= 0), X
def leaky_relu_backward(dout, cache):
    return dout * (cache > 0) + 0.1 * dout * (cache <= 0)
"""
# Nobody's layer, and called like one.
PERHAPS = BESIDE.replace("leaky_relu", "relu_and_more")
# Of x.T it is a batch norm.
LAYER_NORM = """\
import numpy as np
def layernorm_forward(x, gamma, beta, ln_param):
    mu, std = x.mean(1, keepdims=True), np.sqrt(x.var(1, keepdims=True) + ln_param["eps"])
    xn = (x - mu) / std
    return gamma * xn + beta, (xn, std, gamma)
def layernorm_backward(dout, cache):
    xn, std, gamma = cache
    d = dout * gamma
    dx = d - d.mean(1, keepdims=True) - xn * (d * xn).mean(1, keepdims=True)
    return dx / std, (dout * xn).sum(0), dout.sum(0)
"""
LIN = RIGHT.replace("affine_forward", "lin").replace("affine_backward", "lin_grad")
LIN_WRONG = WRONG.replace("affine_forward", "lin").replace("affine_backward", "lin_grad")
BACKWARD = "def affine_backward(dY, cache):\n    return cache\n"
assert "def lin(" in LIN
assert "def lin_grad(" in LIN

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)


def linted(capsys: Captured, *arguments: str) -> dict[str, Any]:
    """The JSON report of a run."""
    main(["lint", *arguments, "--format", "json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


FILES = {
    # What has nothing to do with the layer is not told.
    "empty": ("", "affine", None, ""),
    "helper": ("def join(a, b):\n    return a + b\n", "affine", None, ""),
    "training": ("import torch\ndef train():\n    return 1, 2\n", "affine", None, ""),
    "raises": ("raise RuntimeError\n", "affine", None, ""),
    "another": (RELU, "affine", None, ""),
    "another_that_could_be_called": (RELU, "sigmoid", None, ""),
    "another_with_its_name": (BESIDE, "relu", None, ""),
    "forward_alone": (HEAD + FORWARD, "affine", None, ""),
    "its_name_alone": ("def affine(X, W, b):\n    return X @ W + b, X\n", "affine", None, ""),
    "something_else": ("def _affine(tree):\n    return tree.terms, 1\n", "affine", None, ""),
    # What has the layer is.
    "right": (RIGHT, "affine", "ok", ""),
    "wrong": (WRONG, "affine", "FAIL", "GT202"),
    "wrong_forward": (ANOTHER, "relu", "FAIL", "GT201"),
    "beside_a_framework": ("import torch\n" + RIGHT, "affine", "ok", ""),
    "beside_another": (RIGHT + BESIDE, "affine", "ok", ""),
    "by_its_numbers": (LIN, "affine", "ok", ""),
    "wrong_by_its_numbers": (LIN_WRONG, "affine", "FAIL", "GT202"),
    "both_in_one": (
        "def affine(X, W, b, dY):\n    dX = dY @ W\n    return X @ W + b, dX\n",
        "affine",
        "FAIL",
        "GT105",
    ),
    "gradients_of_what": (
        "def affine(a, c):\n    da = c\n    return a, da\n",
        "affine",
        "FAIL",
        "GT106",
    ),
    "backward_alone": (BACKWARD, "affine", "FAIL", "GT105"),
    "fails": (RIGHT.replace("return X @ W + b", "return oops"), "affine", "FAIL", "GT106"),
    # Of what cannot be read nobody knows.
    "broken": ("def f(:\n", "affine", "FAIL", "GT103"),
    # What may be meant is named, and costs nothing.
    "perhaps": (PERHAPS, "relu", "skip", "GT308"),
    "transposed": (LAYER_NORM, "batch_norm", "skip", "GT308"),
    "also_transposed": (
        LAYER_NORM.replace("layernorm", "normalise"),
        "batch_norm",
        "FAIL",
        "GT202",
    ),
}


@pytest.mark.parametrize("spec", ["affine", "relu", "sigmoid", "batch_norm"])
def test_a_file_is_told_where_it_has_the_layer(spec: str, capsys: Captured) -> None:
    expected = {}
    for name, (text, layer, mark, code) in FILES.items():
        if layer == spec:
            Path(f"{name}.py").write_text(text)
            expected.update({f"{name}.py": (mark, code)} if mark else {})
    main(["lint", ".", "--spec", spec])
    found: dict[str, tuple[str, str]] = {}
    lines = capsys.readouterr().out.strip().partition("\n\n")[0].splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(("ok  ", "FAIL", "skip")):
            mark, name = line.split()
            found[name] = mark, following.split()[0] if following.startswith(" ") else ""
    assert found == expected


def test_the_rest_is_counted_and_named_where_that_is_wanted(capsys: Captured) -> None:
    for name, text in {"a": RIGHT, "b": WRONG, "c": RELU, "d": "import os\n"}.items():
        Path(f"{name}.py").write_text(text)
    assert main(["lint", ".", "--spec", "affine"]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 right, 2 more files have nothing to check, seed" in captured.out
    assert "c.py" not in captured.out
    assert captured.err == ""
    assert main(["lint", ".", "--spec", "affine", "--select", "GT1"]) == 0
    assert "c.py" not in capsys.readouterr().out
    main(["lint", ".", "--spec", "affine", "--select", "GT1,nothing-to-check"])
    out = capsys.readouterr().out
    assert "skip c.py\n       GT112 relu_forward / relu_backward: relu_forward has" in out
    assert "skip d.py\n       GT112 d.py has no forward and backward for the layer affine" in out
    report = linted(capsys, ".", "--spec", "affine", "--spec", "relu")
    assert {one["name"]: one["passed"] for one in report["submissions"]} == {
        "a.py": True,
        "b.py": False,
        "c.py": True,
        "d.py": None,
    }
    assert [q["passed"] for q in report["submissions"][2]["questions"]] == [None, True]
    assert {k: report["summary"][k] for k in ("submissions", "skipped", "passed")} == {
        "submissions": 4,
        "skipped": 1,
        "passed": 2,
    }


def test_a_layer_that_is_nowhere_in_a_folder_is_no_success(capsys: Captured) -> None:
    for name in ("a", "b"):
        Path(f"{name}.py").write_text(RELU + f"# {name}\n")
    assert main(["lint", ".", "--spec", "affine"]) == 2
    captured = capsys.readouterr()
    assert "nothing was checked: none of 2 files has the layer affine" in captured.out
    assert "warning: none of 2 files has the layer affine. Was something renamed?" in captured.err
    # Of several layers, too.
    assert main(["lint", ".", "--spec", "affine", "--spec", "relu"]) == 2
    captured = capsys.readouterr()
    assert "2 of 2 right" in captured.out
    assert "none of 2 files has the layer affine." in captured.err
    # Files that have changed may have nothing of it, which is told where none has anything.
    assert main(["lint", "a.py", "b.py", "--spec", "affine"]) == 0
    assert "warning: none of 2 files has the layer affine." in capsys.readouterr().err
    assert main(["lint", "a.py", "--spec", "affine", "--spec", "relu"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["lint", ".", "--spec", "affine", "--format", "github"]) == 2
    assert capsys.readouterr().out == (
        "::warning title=gradtool::nothing was checked: none of 2 files has the layer affine\n"
    )


SPEC = """\
layer: my_relu
inputs: {X: [N, D]}
forward: |
  Y = maximum(X, 0)
"""


def test_the_settings_of_a_project_hold_wherever_it_is_called(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("layers").mkdir()
    Path("layers/my_relu.yaml").write_text(SPEC)
    Path("src").mkdir()
    Path("src/a.py").write_text(RELU.replace("relu", "my_relu"))
    Path("pyproject.toml").write_text('[tool.gradtool]\nspec = ["layers/my_relu.yaml"]\n')
    assert main(["lint", "."]) == 0
    monkeypatch.chdir("src")
    assert main(["lint", "."]) == 0
    assert "1 of 1 right" in capsys.readouterr().out
    assert main(["lint", ".", "--spec", "../layers/my_relu.yaml"]) == 0
    where = Path("../pyproject.toml").resolve()
    for text, told in {
        'spec = ["my_relu.yaml"]': "spec: there is no file 'my_relu.yaml' here",
        'spec = ["rleu"]': "spec: there is no bundled layer and no file called 'rleu'",
        'spec = ["relu", "relu"]': "spec: the same layer is given twice",
        'spec = ["relu"]\nignore = ["GT9"]': "ignore: there is no rule 'GT9'",
        'spec = ["relu"]\nassignment = "a.yaml"': "spec: there is an assignment, too",
    }.items():
        where.write_text(f"[tool.gradtool]\n{text}\n")
        assert main(["lint", "."]) == 2
        assert f"gradtool: {where}: [tool.gradtool]: {told}" in capsys.readouterr().err


def test_a_shard_need_not_have_the_layer(capsys: Captured) -> None:
    Path("a.py").write_text(RIGHT)
    Path("b.py").write_text("import os\n")
    common = ["lint", ".", "--spec", "affine"]
    for number in (1, 2):
        shard = ["--shard", f"{number}/2", "--results", f"../{number}.jsonl"]
        assert main([*common, *shard]) == 0
    capsys.readouterr()
    assert main(["merge", "../1.jsonl", "../2.jsonl"]) == 0
    assert "1 of 1 right, 1 more file has nothing to check" in capsys.readouterr().out


def test_every_report_has_what_was_skipped(capsys: Captured) -> None:
    Path("a.py").write_text(RIGHT)
    Path("b.py").write_text("import os\n")
    common = ["lint", ".", "--spec", "affine", "--format"]

    def report(form: str) -> str:
        assert main([*common, form]) == 0
        return capsys.readouterr().out

    assert "b.py,skipped,0.0,0.0,0.0,\r\n" in report("csv")
    assert '<testsuite name="b.py" tests="1" failures="0" errors="0" skipped="1"' in report("junit")
    assert "b.py" not in report("markdown")
    assert "1 of 1 right, 1 more file has nothing to check.\n" in report("markdown")
    assert report("gitlab") == "[]\n"
    assert json.loads(report("sarif"))["runs"][0]["results"] == []
    assert "nothing to check" in report("github")
