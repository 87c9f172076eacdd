"""Every character that gradtool prints has a readable ASCII form."""

from __future__ import annotations

import io

import pytest

from gradtool.terminal import ascii_for, beside, folded


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


def test_shades_are_told_apart_and_as_wide() -> None:
    shades = [ascii_for(shade) for shade in "░▒▓█"]
    assert "?" not in shades
    assert list(map(len, shades)) == [1] * 4
    assert len(set(shades)) == 4


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


def test_a_meaning_stands_below_its_word_where_there_is_no_room_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", _Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    assert beside("word", 10, "what it means") == "word      what it means"
    assert beside("word", 60, "what it means") == "word\n    what it means"
    assert beside("word", 60, "") == "word"
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert beside("word", 60, "what it means") == f"{'word':60}what it means"
