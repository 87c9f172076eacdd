"""The nodes of a tree are those that the standard library's walk gives, in its order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gradtool.check.nodes import nodes_of

FILES = sorted(Path(__file__).parents[2].glob("gradtool/check/**/*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_those_of_the_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert list(map(id, nodes_of(tree))) == list(map(id, ast.walk(tree)))


def test_a_tree_that_somebody_put_together_may_lack_fields() -> None:
    tree = ast.Call(func=ast.Name(id="f", ctx=ast.Load()), args=[], keywords=[])
    del tree.keywords
    assert list(map(id, nodes_of(tree))) == list(map(id, ast.walk(tree)))
