"""The judge of a course constructs no object that a worker describes, and parses no submission."""

from __future__ import annotations

import ast
import builtins
import io
import json
from pathlib import Path
from typing import Any

import pytest

import gradtool
from gradtool.report import lint_command
from tests.lint.hostile.model import RIGHT, WRONG

PACKAGE = Path(gradtool.__file__).parent
DANGEROUS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
LOADERS = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap"}


def unsafe(tree: ast.AST) -> list[str]:
    """Imports of modules that can construct anything, and NumPy's readers of files."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [a.name for a in names if a.name.partition(".")[0] in DANGEROUS]
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in DANGEROUS:
                found.append(module)
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) if name in LOADERS:
                found.append(f"np.{name}")
            case ast.keyword(arg="allow_pickle"):
                found.append("allow_pickle")
    return found


@pytest.mark.parametrize(
    "path",
    [p for part in ("check", "lint", "report") for p in sorted((PACKAGE / part).rglob("*.py"))],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_nothing_that_a_worker_wrote_is_unpickled(path: Path) -> None:
    assert unsafe(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text", ["import pickle", "from dill import loads", "np.load(f)", "f(allow_pickle=True)"]
)
def test_the_guard_would_notice(text: str) -> None:
    assert unsafe(ast.parse(text))


def test_the_judge_parses_no_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = "a_name_that_only_the_submission_has"
    course = tmp_path / "course"
    course.mkdir()
    (course / "right.py").write_text(f"{RIGHT}{marker} = 1\n")
    (course / "wrong.py").write_text(f"{WRONG}{marker} = 1\n")
    (course / "broken.py").write_text(f"{WRONG}{marker} = (\n")
    (tmp_path / "hw.yaml").write_text("assignment: a\nquestions:\n  - spec: affine\n")
    monkeypatch.setenv("GRADTOOL_CACHE", "")
    parsed: list[str] = []
    original = builtins.compile

    def watched(source: Any, *arguments: Any, **options: Any) -> Any:
        parsed.append(str(source))
        return original(source, *arguments, **options)

    monkeypatch.setattr(builtins, "compile", watched)
    ast.parse("guard = 1")
    assert parsed == ["guard = 1"]  # `ast.parse` goes through it, too
    out = io.StringIO()
    request = lint_command.Request((course,), assignment=tmp_path / "hw.yaml", form="json")
    assert lint_command.run(request, out) == 1
    graded = {one["name"]: one for one in json.loads(out.getvalue())["submissions"]}
    assert [graded[name]["passed"] for name in ("right.py", "wrong.py", "broken.py")] == [
        True,
        False,
        False,
    ]
    # The line of the mistake is known all the same: the worker looked.
    rows = graded["wrong.py"]["questions"][0]["check"]["gradients"]
    assert [row["line"] for row in rows if row["verdict"] == "wrong"] != []
    assert all(row["line"] for row in rows if row["verdict"] == "wrong")
    assert not [text for text in parsed if marker in text]
