"""What is told of a mistake leads nobody astray: to a line that is right, to something else.

Each file is right as it stands.  Each change was told once in a way that misleads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import Struct
from gradtool.report import library
from gradtool.spec.load import load_text
from tests.lasting_worker import LastingWorker

FILES = yaml.safe_load((Path(__file__).parent / "misled.yaml").read_text())


class Change(Struct, frozen=True):
    """`codes` are right, `says` stands in every sentence that is told, `never` in none."""

    file: str
    about: str
    right: str
    wrong: str
    codes: tuple[str, ...]
    says: str = ""
    never: str = ""


CHANGES = [Change(name, **change) for name, file in FILES.items() for change in file["changes"]]


@cache
def reference(file: str) -> DerivedReference:
    spec = FILES[file]["spec"]
    if "\n" in spec:
        return reference_for(load_text(spec, f"{file}.yaml"))
    known = library.load(spec)
    return reference_for(known, library.finder(known))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingWorker]:
    with LastingWorker(tmp_path_factory.mktemp("misled")) as made:
        yield made


@pytest.mark.parametrize("file", FILES)
def test_the_right_code_passes(file: str, worker: LastingWorker) -> None:
    verdict = worker.check(reference(file), FILES[file]["code"], file)
    assert (verdict.verdict, verdict.trouble) == ("pass", None)


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: f"{c.file}: {c.about}")
def test_nobody_is_misled(change: Change, worker: LastingWorker) -> None:
    text = FILES[change.file]["code"]
    assert text.count(change.right) == 1
    changed = text.replace(change.right, change.wrong)
    verdict = worker.check(reference(change.file), changed, change.file)
    told = [g.cause for g in verdict.gradients if g.cause is not None]
    assert told
    for cause in told:
        sentence = f"{cause.message}; {cause.proof}"
        assert cause.code in change.codes, sentence
        assert change.says in sentence
        assert not change.never or change.never not in sentence
