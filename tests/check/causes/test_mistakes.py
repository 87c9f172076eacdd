"""Backward passes as people write them, with one thing misunderstood, are told with that mistake.

Each file in `mistakes` is right as it stands, and has its mistakes beside it: not changes of one
operator, but what somebody believed. A mistake may have more than one right name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import Struct
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path, load_text
from tests.lasting_worker import LastingWorker

FOLDER = Path(__file__).parent / "mistakes"


class Mistake(Struct, frozen=True):
    file: str
    about: str
    text: str
    codes: frozenset[str]


@cache
def data(file: str) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((FOLDER / f"{file}.yaml").read_text())
    return found


@cache
def reference(file: str) -> DerivedReference:
    found = data(file)
    if "spec" in found:
        return reference_for(load_text(found["spec"], f"{file}.yaml"))
    return reference_for(load_path(bundled_specs()[found["layer"]]))


FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def mistakes() -> list[Mistake]:
    found = []
    for file in FILES:
        text = data(file)["code"]
        for one in yaml.safe_load((FOLDER / f"{file}.yaml").read_text())["mistakes"]:
            assert text.count(one["right"]) == 1, one
            changed = text.replace(one["right"], one["wrong"])
            found.append(Mistake(file, one["about"], changed, frozenset(one["codes"])))
    return found


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingWorker]:
    with LastingWorker(tmp_path_factory.mktemp("mistakes")) as made:
        yield made


@pytest.mark.parametrize("file", FILES)
def test_the_right_code_passes(file: str, worker: LastingWorker) -> None:
    found = worker.check(reference(file), data(file)["code"], file)
    assert (found.verdict, found.trouble) == ("pass", None)


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda m: f"{m.file}: {m.about}")
def test_the_mistake_is_told(mistake: Mistake, worker: LastingWorker) -> None:
    found = worker.check(reference(mistake.file), mistake.text, mistake.file)
    wrong = [g for g in found.gradients if g.standing == "wrong"]
    assert wrong
    told = {g.cause.code if g.cause is not None else "" for g in wrong}
    assert told <= mistake.codes, [(g.name, g.cause) for g in wrong]
