"""Tests that are run by name are found, and what has none of them is not imported for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_collection_modifyitems, pytest_ignore_collect

MARKED = "import pytest\npytestmark = pytest.mark.latex\n"
OTHERS = "from shared import pytestmark\n"


def config(markexpr: str) -> Any:
    return SimpleNamespace(option=SimpleNamespace(markexpr=markexpr))


def test_only_files_that_name_the_marker_are_collected(tmp_path: Path) -> None:
    marked, other = tmp_path / "test_one.py", tmp_path / "test_other.py"
    marked.write_text(MARKED)
    other.write_text(OTHERS)
    assert pytest_ignore_collect(other, config("latex"))
    assert pytest_ignore_collect(marked, config("latex")) is None
    assert pytest_ignore_collect(tmp_path, config("latex")) is None
    for asked in ("", "not latex", "latex or frameworks", "slow"):
        assert pytest_ignore_collect(other, config(asked)) is None


@pytest.mark.parametrize(("text", "found"), [(MARKED, True), (OTHERS, False)])
def test_a_marker_that_its_file_does_not_name_is_refused(
    tmp_path: Path, text: str, found: bool
) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(text)
    item: Any = SimpleNamespace(
        nodeid="test_it.py::test", path=file, iter_markers=lambda: [SimpleNamespace(name="latex")]
    )
    if found:
        pytest_collection_modifyitems([item])
        return
    with pytest.raises(pytest.UsageError, match=r"does not say mark\.latex"):
        pytest_collection_modifyitems([item])
