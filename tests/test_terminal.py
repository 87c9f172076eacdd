"""Every character that gradtool prints has a readable ASCII form."""

from __future__ import annotations

import pytest

from gradtool.terminal import ascii_for


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
