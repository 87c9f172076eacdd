"""The manifest can be read and its specs are specs, whether or not the public code is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.report import library
from gradtool.spec.load import load_path
from tests.real_code.__main__ import AGREES
from tests.real_code.manifest import SPECS, VERDICTS, load, own

MANIFEST = load()


def test_every_verdict_has_what_agrees_with_it() -> None:
    assert set(AGREES) == set(VERDICTS)


def test_every_case_has_specs_and_every_spec_has_cases() -> None:
    used = {name for case in MANIFEST.cases for name in case.specs}
    mine = {path.stem for path in SPECS.glob("*.yaml")}
    assert mine <= used
    for name in used - mine:
        assert library.load(name).name == name


def test_a_case_is_named_once_and_a_dispute_says_what_is_right() -> None:
    keys = [case.key for case in MANIFEST.cases]
    # Cases of one layer differ in the spec; three of the list are the same one.
    assert len(set(keys)) >= len(keys) - 3
    for case in MANIFEST.cases:
        assert bool(case.disputed) == bool(case.really)
        assert case.function


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_spec_is_named_as_its_file_and_calls_the_code(path: Path) -> None:
    spec = load_path(path)
    assert spec.name == path.stem == own(spec.name).stem
    assert spec.about
