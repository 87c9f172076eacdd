"""Every character that gradtool prints has a readable ASCII form."""

from __future__ import annotations

import io

import pytest

from gradtool.terminal import ascii_for, folded


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("σ", "sigma"),
        ("δ", "delta"),
        ("Δ", "Delta"),
        ("ς", "final sigma"),
        ("Σ", "sum"),
        ("∂", "d"),
        ("é", "e"),
        ("²", "2"),
        ("′", "'"),
        ("ᵀ", "T"),
        ("…", "..."),
        ("→", "->"),
        ("─", "-"),
        ("│", "|"),
        ("┌", "+"),
        ("┼", "+"),
        ("漢", "?"),
        ("\udcff", "?"),
    ],
)
def test_ascii_for(character: str, expected: str) -> None:
    assert ascii_for(character) == expected
    assert expected.isascii()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LONG = "name      the first words of a meaning and then so many more that no terminal holds them"


def test_a_long_line_goes_on_under_its_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout", _Terminal())
    first, *others = folded(f"{LONG}\n\nshort").split("\n")
    assert first == "name      the first words of a meaning and then so"
    assert others == ["          many more that no terminal holds them", "", "short"]


def test_what_is_piped_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert folded(LONG) == LONG
