"""What is asked of records beyond what msgspec tests itself."""

from __future__ import annotations

import subprocess
import sys
from operator import ne
from pathlib import Path

import pytest

from gradtool.ir.dims import Dim
from gradtool.ir.index import Index
from gradtool.ir.tree import Call, Name, Number, Span


def test_what_equals_is_not_unequal() -> None:
    size = Dim.parse("N + 1") - 1
    assert size == Dim.of("N")
    assert ne(size, Dim.of("N")) is False
    assert Index("n", size) == Index("n", Dim.of("N"))
    assert ne(Index("n", size), Index("n", Dim.of("N"))) is False
    assert Index("n", size) != Index("m", size)


def test_trees_are_equal_wherever_they_stand() -> None:
    here, there = Name("X", Span(1, 0, 1)), Name("X", Span(2, 4, 5), truth=True)
    assert here == there
    assert ne(here, there) is False
    assert hash(Call("exp", (here,))) == hash(Call("exp", (there,), method=True))
    assert {Call("exp", (here,)): 1}[Call("exp", (there,), method=True)] == 1
    assert here != Name("Z", Span(1, 0, 1))
    assert Name("1") != Number(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", ["", "import typing_extensions; "])
def test_typing_extensions_is_left_as_it_was(before: str, tmp_path: Path) -> None:
    (tmp_path / "typing_extensions.py").write_text("from typing import *\nMINE = 1\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {before}known = set(sys.modules); "
        "import gradtool.records; print('typing_extensions' in set(sys.modules) - known); "
        "import typing_extensions; print(typing_extensions.MINE)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "1"]
