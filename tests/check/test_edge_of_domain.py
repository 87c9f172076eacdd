"""At the end of a domain, where a move to one side gives no number, entries are compared too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.check.tolerance import expected
from tests.check.references import Arrays, HandReference, Sizes, shape, spec, variable

SETS = ({"N": 3, "D": 4}, {"N": 2, "D": 5}, {"N": 1, "D": 3})


class AtTheEnd(HandReference, frozen=True):
    """``Y = (1 - X)**1.5``, all of whose samples have an entry that is 1."""

    def sample(self, sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
        values = rng.uniform(0.1, 0.9, (sizes["N"], sizes["D"]))
        values[:, 0] = 1.0
        return {"X": values}


def root() -> HandReference:
    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"Y": (1 - v["X"]) ** 1.5}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"X": -1.5 * np.sqrt(1 - v["X"]) * up["Y"]}

    layer = spec("root", variable("X", "input", "N", "D"))
    return AtTheEnd(layer, ("Y",), {"Y": shape("N", "D")}, forward, backward, SETS)


class OnThePoint(AtTheEnd, frozen=True):
    """``Y = 2 X`` where X is 1, and no number anywhere else."""

    def sample(self, sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"X": np.ones((sizes["N"], sizes["D"]))}


def point() -> HandReference:
    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"Y": np.where(v["X"] == 1, 2 * v["X"], np.nan)}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"X": np.where(v["X"] == 1, 2 * up["Y"], np.nan)}

    layer = spec("root", variable("X", "input", "N", "D"))
    return OnThePoint(layer, ("Y",), {"Y": shape("N", "D")}, forward, backward, SETS)


CODE = """
import numpy as np
def root_forward(x):
    return {forward}, x
def root_backward(dy, x):
    return {backward}
"""


def verdict(folder: Path, reference: HandReference, forward: str, backward: str) -> Verdict:
    file = folder / "hw.py"
    file.write_text(CODE.format(forward=forward, backward=backward))
    return check_pair(reference, file, seed=0, version="", explain=False).verdict


def uncompared(found: Verdict) -> list[str]:
    return [r.message for r in found.remarks if r.code == "uncompared"]


@pytest.mark.parametrize(
    ("backward", "standing"),
    [
        ("-1.5 * np.sqrt(1 - x) * dy", "ok"),
        ("-1.5 * np.sqrt(1 - x) * dy + 5 * (x == 1)", "wrong"),
        ("-1.5 * np.sqrt(1 - x) * dy + 1e-7 * (x == 1)", "wrong"),
    ],
)
def test_the_end_of_a_domain_is_compared(tmp_path: Path, backward: str, standing: str) -> None:
    found = verdict(tmp_path, root(), "(1 - x) ** 1.5", backward)
    assert [g.standing for g in found.gradients] == [standing]
    assert not uncompared(found)


def test_the_bound_there_is_that_of_the_side_which_has_numbers() -> None:
    layer, sizes = root(), SETS[0]
    values = layer.sample(sizes, np.random.default_rng(0))
    found = expected(layer, values, {"Y": np.ones((3, 4))}, sizes, 0)
    for bounds in (found.double, found.single(), found.careful()):
        # sqrt(eps) is what the gradient is one unit below 1.
        assert np.all(np.isfinite(bounds.gradient_bounds["X"]))
    assert np.all(found.double.gradient_bounds["X"] < 1e-6)


def test_what_no_side_has_numbers_for_is_told_and_not_taken_for_right(tmp_path: Path) -> None:
    found = verdict(tmp_path, point(), "2 * x", "5 * dy")
    assert found.verdict != "pass"
    (gradient,) = found.gradients
    assert (gradient.standing, gradient.message) == (
        "not computed",
        "no entry could be compared at any point",
    )
    assert any("dX has 12 of 12 entries that are not compared at N=3, D=4" in t
               for t in uncompared(found))  # fmt: skip
