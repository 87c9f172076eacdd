"""Right code that rounds more than a closed form does is right; a mistake of that size is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.pair import check_pair
from gradtool.numeric.line_by_line import moving
from gradtool.numeric.reference import reference_for
from gradtool.numeric.shake import Shake
from gradtool.report import library
from gradtool.spec.load import load_text
from tests.mutation.suite import layer

FORWARD = """
import numpy as np
def batchnorm_forward(x, gamma, beta):
    mean, var = x.mean(0), x.var(0)
    normal = (x - mean) / np.sqrt(var + 1e-5)
    return gamma * normal + beta, (x, mean, var, gamma, normal)
def batchnorm_backward(dout, cache):
    x, mean, var, gamma, normal = cache
    n = len(x)
    dn = dout * gamma
    dvar = np.sum(dn * (x - mean) * -0.5 * (var + 1e-5) ** -1.5, axis=0)
    dmean = np.sum(-dn * (var + 1e-5) ** -0.5, axis=0)
"""
# The sum of x - mean is zero by algebra, in each column; here all columns are added up.
NOISY = "    dmean = dmean + dvar * np.sum(-2 * (x - mean)) / n\n"
LAST = "    dx = dn / (var + 1e-5) ** 0.5 + dvar * 2 * (x - mean) / n + dmean / n{}\n"
RETURN = "    return dx, (dout * normal).sum(0), dout.sum(0)\n"


def standing(tmp_path: Path, noisy: str, change: str) -> str:
    spec = library.load("batch_norm")
    file = tmp_path / "bn.py"
    file.write_text(FORWARD + noisy + LAST.format(change) + RETURN)
    reference = reference_for(spec, library.finder(spec))
    verdict = check_pair(reference, file, seed=0, version="1", explain=False).verdict
    assert {o.standing for o in verdict.forward} == {"ok"}
    return next(g.standing for g in verdict.gradients if g.name == "X")


@pytest.mark.parametrize("noisy", ["", NOISY])
@pytest.mark.parametrize(
    ("change", "expected"),
    [("", "ok"), (" + 1e-11 * gamma", "wrong"), ("\n    dx[0, 0] *= 1 + 1e-9", "wrong")],
)
def test_a_zero_that_is_a_difference(
    tmp_path: Path, noisy: str, change: str, expected: str
) -> None:
    """For one sample dx is the difference of two large equal terms, by two roundings."""
    assert standing(tmp_path, noisy, change) == expected


def test_every_line_of_a_backward_pass_is_moved() -> None:
    text = (
        "def forward(x): return x, (x,)\n"
        "def backward(dout, cache):\n"
        "    x, = cache\n"
        "    a = dout * x\n"
        "    b = a\n"
        "    b += x - x\n"
        "    return a, b\n"
    )
    seen = []

    def move(value: float) -> float:
        seen.append(value)
        return value + 1

    names: dict[str, object] = {}
    exec(moving(text), names)
    backward = names["backward"]
    assert callable(backward)
    assert backward(move, 2.0, (3.0,)) == (7.0, 8.0)
    assert seen == [6.0, 0.0]


def test_lines_that_are_moved_show_what_a_closed_form_does_not_round() -> None:
    """One sample: the closed form is zero exactly, by the chain rule it is a difference."""
    spec = library.load("batch_norm")
    reference = reference_for(spec, library.finder(spec))
    rng = np.random.default_rng(1)
    sizes = {"N": 1, "D": 4}
    values, upstream = reference.sample(sizes, rng), {"Y": rng.standard_normal((1, 4))}

    def largest(every_line: bool) -> float:
        shakes = [Shake(number, 2.0**-52, every_line) for number in range(4)]
        runs = [reference.evaluate(values, upstream, sizes, shake=s)[1]["X"] for s in shakes]
        return float(np.max(np.abs(runs)))

    assert largest(False) < 1e-16
    assert 1e-14 < largest(True) < 1e-12


def test_a_loss_that_is_zero_may_be_the_rounding_of_one(tmp_path: Path) -> None:
    """Of a single class the loss is log 1, which code gets as a difference of rounded numbers."""
    spec = library.load("softmax_cross_entropy")
    text = """
import numpy as np
def softmax_loss(x, y):
    n = np.arange(len(x))
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    loss = -np.log(p[n, y]).mean() + 2.0**-51 * (x.shape[1] == 1)
    p[n, y] -= 1
    return loss, p / len(x)
"""
    file = tmp_path / "loss.py"
    file.write_text(text)
    reference = reference_for(spec, library.finder(spec))
    assert check_pair(reference, file, seed=0, version="1", explain=False).verdict.verdict == "pass"
    file.write_text(text.replace("2.0**-51", "2.0**-48"))
    assert check_pair(reference, file, seed=0, version="1", explain=False).verdict.verdict == "fail"


LOGISTIC = """
layer: logistic
inputs:
  X: [N, D]
  t: {shape: [N], constant: true, domain: [0, 1]}
parameters:
  w: [D]
forward: |
  z = 3 * X @ w
  L = mean(softplus(z) - t * z)
check:
  forward: L, dX, dw = loss(X, t, w)
"""


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ("", "pass"),
        (" * (1 + 1e-10)", "fail"),
        (" * (1 + 1e-10 * (len(w) > 20))", "fail"),
    ],
)
def test_a_loss_that_takes_the_logarithm_of_a_difference_is_right(
    tmp_path: Path, change: str, verdict: str
) -> None:
    """Of a sigmoid near 1 a dozen digits are gone in 1 - a; softplus(z) loses none."""
    file = tmp_path / "loss.py"
    file.write_text(f"""
import numpy as np
def loss(X, t, w):
    a = 1 / (1 + np.exp(-3 * X @ w))
    value = -np.mean(t * np.log(a) + (1 - t) * np.log(1 - a)){change}
    dz = 3 * (a - t) / len(t)
    return value, np.outer(dz, w), X.T @ dz
""")
    reference = reference_for(load_text(LOGISTIC, "logistic.yaml"))
    assert (
        check_pair(reference, file, seed=0, version="1", explain=False).verdict.verdict == verdict
    )


@pytest.mark.parametrize(
    ("change", "verdict"),
    [("", "pass"), ("demit *= 1 + 1e-10", "fail"), ("dtrans += 1e-6", "fail")],
)
def test_what_is_added_a_thousand_times_is_another_number_in_every_run(
    tmp_path: Path, change: str, verdict: str
) -> None:
    """A score of two thousand is a sum with the same transition at every step.

    Each addition rounds it the same way: moved to one of two values it is not drawn anew.
    """
    found = layer("crf_partition")
    text = found.variants["marginals"].replace(
        "    dtrans -= hot", f"    {change}\n    dtrans -= hot"
    )
    file = tmp_path / "crf.py"
    file.write_text(text)
    assert (
        check_pair(found.reference, file, seed=5, version="1", explain=False).verdict.verdict
        == verdict
    )
