"""A bundled spec is found by its file's stem, in any folder; one name never means two files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.spec.bundled import about, bundled_specs, bundled_specs_dir


def _write(path: Path, text: str = "layer: a\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_folders_are_searched_and_names_sorted(tmp_path: Path) -> None:
    relu = _write(tmp_path / "z" / "deep" / "relu.yaml")
    affine = _write(tmp_path / "affine.yaml")
    _write(tmp_path / "README.md")
    assert list(bundled_specs(tmp_path).items()) == [("affine", affine), ("relu", relu)]


def test_two_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "relu.yaml")
    _write(tmp_path / "b" / "relu.yaml")
    with pytest.raises(ValueError, match=r"two specs are called 'relu': .*a.relu.* and .*b.relu"):
        bundled_specs(tmp_path)


def test_the_bundled_names_are_unique_and_there() -> None:
    assert all(path.is_relative_to(bundled_specs_dir()) for path in bundled_specs().values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer: a\nabout: Fully connected.\n", "Fully connected."),
        ("about: |\n  First line.\n  Second.\n", "First line."),
        ("layer: a\n", ""),
        ("about: [1, 2]\n", ""),
        ("- about\n", ""),
        ("about: [\n", ""),
        ("", ""),
    ],
)
def test_about(tmp_path: Path, text: str, expected: str) -> None:
    assert about(_write(tmp_path / "a.yaml", text)) == expected


def test_every_bundled_spec_says_what_it_is_about() -> None:
    assert [name for name, path in bundled_specs().items() if not about(path)] == []
