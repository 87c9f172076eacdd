"""Hold the grades of a course against its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gradtool.records import Struct
from tests.course.generate import Expected


class Difference(Struct, frozen=True):
    """A grade that is not the key's (`kind` "points"), or a cause that is not ("cause")."""

    submission: str
    question: str
    kind: str
    told: str


def differences(
    report: Mapping[str, Any], key: Mapping[str, Mapping[str, Expected]]
) -> Iterator[Difference]:
    """Everything in a JSON report that is not as the key says."""
    graded = {one["name"]: one for one in report["submissions"]}
    for name in sorted(key.keys() ^ graded.keys()):
        yield Difference(name, "", "points", "lost" if name in key else "not in the key")
    for name in sorted(key.keys() & graded.keys()):
        questions = {q["name"]: q for q in graded[name]["questions"]}
        for spec, expected in key[name].items():
            yield from _question(name, spec, questions[spec], expected)


def _question(
    name: str, spec: str, found: Mapping[str, Any], expected: Expected
) -> Iterator[Difference]:
    def difference(kind: str, told: str) -> Difference:
        return Difference(name, spec, kind, told)

    errors = {f["code"] for f in found["findings"] if f["level"] == "error"}
    if found["passed"] != expected.passed:
        yield difference("points", f"passed is {found['passed']}: {sorted(errors)}")
    elif expected.points is None:
        if found["points"] >= found["of"]:
            yield difference("points", "full points for a hostile submission")
    elif abs(found["points"] - expected.points) > 1e-3:
        yield difference("points", f"{found['points']} points, expected {expected.points}")
    if expected.codes and not errors & set(expected.codes):
        yield difference("cause", f"{sorted(errors)}, expected one of {expected.codes}")
    for gradient, causes in expected.wrong.items():
        told = {f["cause"] for f in found["findings"] if f["subject"] == f"d{gradient}"}
        if causes and not told & set(causes):
            yield difference("cause", f"d{gradient}: {sorted(told)}, expected one of {causes}")
