"""Code that has a constant's value written into it is wrong with every seed; right code passes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gradtool.check.bind import Binding
from gradtool.check.probes import Probe, probes
from gradtool.check.result import Verdict
from gradtool.check.telling import telling
from gradtool.lint.memo import Remembering
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text
from tests.layers import bundled, verdict_on

SPECS = {
    "threshold": """
layer: threshold
inputs: {Z: [N, D]}
constants: {t: 0.5}
forward: A = where(Z > t, Z**2, 0)
""",
    "cap": """
layer: cap
inputs: {X: [N, D]}
constants: {c: 5.0}
forward: |
  n = sqrt(sum(X**2, axis=1, keepdims=True))
  Y = X * minimum(1, c / n)
""",
    "whole": """
layer: whole
inputs: {X: [N]}
constants: {c: 4}
forward: Y = maximum(0, X - c)
""",
    "two": """
layer: two
inputs: {X: [N, D]}
constants: {low: 0.5, high: 1.5}
forward: Y = clip(X, low, high)
""",
    "none": """
layer: none
inputs: {X: [N, D]}
constants: {decay: 0.0}
forward: Y = tanh(X) + decay * X
""",
    "far": """
layer: far
inputs: {X: [N, D]}
constants: {c: 1000000.0}
forward: Y = minimum(X, c)
""",
}
CODE = {
    "triplet": """
def triplet_loss(A, P, Q, margin):
    near, far = ((A - P)**2).sum(axis=1), ((A - Q)**2).sum(axis=1)
    z = near - far + HERE
    m = (near - far + THERE > 0)[:, None] / len(A)
    return np.maximum(0, z).mean(), 2 * m * (Q - P), -2 * m * (A - P), 2 * m * (A - Q)
""",
    "svm_hinge": """
def svm_loss(S, y, delta):
    N = S.shape[0]
    Z = S - S[np.arange(N), y][:, None]
    M = np.maximum(0, Z + HERE)
    M[np.arange(N), y] = 0
    dS = (Z + THERE > 0).astype(float)
    dS[np.arange(N), y] = 0
    dS[np.arange(N), y] -= dS.sum(axis=1)
    return M.sum() / N, dS / N
""",
    "threshold": """
def threshold_forward(Z, t):
    return np.where(Z > HERE, Z**2, 0), (Z, t)
def threshold_backward(dA, cache):
    Z, t = cache
    return dA * np.where(Z > THERE, 2 * Z, 0)
""",
    "cap": """
def cap_forward(X, c):
    n = np.sqrt((X**2).sum(axis=1, keepdims=True))
    return X * np.minimum(1, HERE / n), (X, n, c)
def cap_backward(dY, cache):
    X, n, c = cache
    turned = dY - X * (dY * X).sum(axis=1, keepdims=True) / n**2
    return np.where(n <= THERE, dY, THERE / n * turned)
""",
    "whole": """
def whole_forward(X, c):
    return np.maximum(0, X - HERE), (X, c)
def whole_backward(dY, cache):
    X, c = cache
    return dY * (X > THERE)
""",
    "two": """
def two_forward(X, low, high):
    return np.clip(X, low, HERE), (X, low, high)
def two_backward(dY, cache):
    X, low, high = cache
    return dY * ((X > low) & (X < THERE))
""",
    "none": """
def none_forward(X, decay):
    return np.tanh(X) + HERE * X, (X, decay)
def none_backward(dY, cache):
    X, decay = cache
    return dY * (1 - np.tanh(X)**2 + THERE)
""",
}
NAMES = {
    "triplet": ("margin", "0.2"),
    "svm_hinge": ("delta", "1"),
    "threshold": ("t", "0.5"),
    "cap": ("c", "5"),
    "whole": ("c", "4"),
    "two": ("high", "1.5"),
    "none": ("decay", "0"),
}


@cache
def layer(name: str) -> DerivedReference:
    return reference_for(load_text(SPECS[name], f"{name}.yaml")) if name in SPECS else bundled(name)


def judged(name: str, text: str, folder: Path, seed: int) -> Verdict:
    text = f"import numpy as np\n{text}"
    return verdict_on(layer(name), folder, text, seed=seed, explain=True)


def changed(reference: DerivedReference, seed: int) -> list[tuple[Probe, ...]]:
    """Every probe with other constants, with those beside it."""
    given = Binding("", "; ".join(reference.constants))
    return [
        telling(reference, given, probe, seed)
        for probe in probes(reference, given, seed)
        if probe.setting.constants
    ]


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_value_in_place_of_a_constant_is_wrong(name: str, seed: int, tmp_path: Path) -> None:
    own, value = NAMES[name]
    right = CODE[name].replace("THERE", own).replace("HERE", own)
    verdict = judged(name, right, tmp_path, seed)
    assert (verdict.verdict, verdict.remarks) == ("pass", ())
    for forward, backward in ((value, value), (own, value)):
        text = CODE[name].replace("THERE", backward).replace("HERE", forward)
        assert judged(name, text, tmp_path, seed).verdict == "fail"


@pytest.mark.parametrize("seed", range(40))
def test_a_triplet_lies_between_both_margins(seed: int) -> None:
    """The loss by its formula, at the points that are chosen."""
    (points,) = changed(layer("triplet"), seed)

    def loss(probe: Probe, margin: float) -> float:
        a, p, q = (probe.values[name] for name in "APQ")
        apart = np.sum((a - p) ** 2, axis=1) - np.sum((a - q) ** 2, axis=1)
        return float(np.mean(np.maximum(0, apart + margin)))

    assert any(loss(p, p.setting.constants["margin"]) != loss(p, 0.2) for p in points)
    # And a mask differs: some triplet counts with one margin only.
    active = [
        [np.sum((a - p) ** 2, axis=1) - np.sum((a - q) ** 2, axis=1) + m > 0 for m in margins]
        for probe in points
        for a, p, q in [[probe.values[name] for name in "APQ"]]
        for margins in [(0.2, probe.setting.constants["margin"])]
    ]
    assert any(np.any(first != second) for first, second in active)


def test_each_of_several_constants_is_told_while_the_others_are_changed() -> None:
    for seed in range(10):
        (points,) = changed(layer("two"), seed)
        for name in ("low", "high"):
            found = []
            for probe in points:
                other = dict(probe.setting.constants)
                own = {**other, name: float(layer("two").spec.constants[name])}
                x = probe.values["X"]
                found.append(
                    np.clip(x, other["low"], other["high"]) != np.clip(x, own["low"], own["high"])
                )
            assert any(map(np.any, found)), (seed, name)


def test_code_that_is_given_one_of_two_constants_is_held_to_that(tmp_path: Path) -> None:
    text = CODE["two"].replace("low, high", "high").replace("(X, low)", "X").replace("low", "0.5")
    right = text.replace("THERE", "high").replace("HERE", "high")
    assert judged("two", right, tmp_path, 0).verdict == "pass"
    wrong = text.replace("THERE", "1.5").replace("HERE", "1.5")
    assert judged("two", wrong, tmp_path, 0).verdict == "fail"


def test_a_constant_that_no_point_tells_is_told(tmp_path: Path) -> None:
    text = """
def far_forward(X, c):
    return np.minimum(X, c), (X, c)
def far_backward(dY, cache):
    X, c = cache
    return dY * (X < c)
"""
    verdict = judged("far", text, tmp_path, 0)
    assert verdict.verdict == "pass"
    assert [r.message for r in verdict.remarks] == [
        "your code was not seen to use c: no point tells 1e+06 from another value"
    ]


def test_a_class_is_asked_at_the_same_points_and_they_depend_on_the_seed_alone() -> None:
    reference, given = Remembering(layer("triplet")), Binding("", "margin")
    (first,) = [p for p in probes(reference, given, 1) if p.setting.constants]
    once, again = (telling(reference, given, first, 1) for _ in range(2))
    assert once is again
    assert all(map(reference.recall.keeps, once))
    (anew,) = changed(layer("triplet"), 1)
    assert len(anew) == len(once)
    for one, other in zip(once, anew, strict=True):
        assert all(np.array_equal(one.values[n], other.values[n]) for n in one.values)


@pytest.mark.parametrize("name", ["affine", "conv2d", "max_pool2d"])
def test_constants_that_shapes_depend_on_need_no_more_points(name: str) -> None:
    assert all(len(points) == 1 for points in changed(layer(name), 0))
