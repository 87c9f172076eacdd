"""At a kink every choice is right; what is left when its outputs are masked has one gradient."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gradtool.check import kinked
from gradtool.check.bind import Binding
from gradtool.check.probes import make_probe
from gradtool.check.result import Verdict
from gradtool.check.tolerance import expected
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import replace
from gradtool.spec.load import load_text
from tests.layers import bundled, verdict_on, written

UNIT = """
layer: unit
inputs: {X: [N, D]}
parameters: {w: [D]}
forward: Y = relu(X @ w)
check:
  forward: Y, cache = forward(X, w)
  backward: dX, dw = backward(dY, cache)
"""
UNIT_CODE = """
import numpy as np
def forward(x, w):
    z = x @ w
    return np.maximum(z, 0), (x, w, z)
def backward(dout, cache):
    x, w, z = cache
    dz = dout * (z > 0)
    dx, dw = np.outer(dz, w), x.T @ dz
    CHANGE
    return dx, dw
"""

NET = """
layer: net
inputs: {X: [N, D]}
parameters: {W1: [D, H], W2: [H, C]}
forward: |
  A = relu(X @ W1)
  Y = A @ W2
check:
  forward: Y, cache = forward(X, W1, W2)
  backward: dX, dW1, dW2 = backward(dY, cache)
"""
NET_CODE = """
import numpy as np
def forward(x, W1, W2):
    z = x @ W1
    a = np.maximum(z, 0)
    return a @ W2, (x, z, a, W1, W2)
def backward(dout, cache):
    x, z, a, W1, W2 = cache
    dz = (dout @ W2.T) * (z > 0)
    CHANGE
    return dz @ W1.T, x.T @ dz, a.T @ dout
"""

POOL = """
layer: pool
inputs: {X: [N, H, W]}
sizes: {H: '>=4', W: '>=4'}
forward: Y = max(windows(X, (2, 2), stride=2), axis=(3, 4))
check:
  forward: Y, cache = forward(X)
  backward: dX = backward(dY, cache)
"""
POOL_CODE = """
import numpy as np
def forward(x):
    N, H, W = x.shape
    y = np.zeros((N, H // 2, W // 2))
    for i in range(H // 2):
        for j in range(W // 2):
            y[:, i, j] = x[:, 2 * i:2 * i + 2, 2 * j:2 * j + 2].max(axis=(1, 2))
    return y, (x, y)
def backward(dout, cache):
    x, y = cache
    dx = np.zeros_like(x)
    for n, i, j in np.ndindex(dout.shape):
        rows, cols = slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2)
        CHANGE
    return dx
"""


@cache
def layer(text: str) -> DerivedReference:
    return reference_for(load_text(text.lstrip(), "kinked.yaml"))


def judged(folder: Path, spec: str, code: str, change: str, seed: int = 0) -> Verdict:
    return verdict_on(layer(spec), folder, code.replace("CHANGE", change), seed=seed)


@pytest.mark.parametrize(
    ("spec", "code", "change"),
    [
        (UNIT, UNIT_CODE, "pass"),
        (UNIT, UNIT_CODE, "dz = dout * (z >= 0); dx, dw = np.outer(dz, w), x.T @ dz"),
        # One choice for one gradient, another for the next: neither is a mistake.
        (UNIT, UNIT_CODE, "dw = x.T @ (dout * np.heaviside(z, 0.5))"),
        (NET, NET_CODE, "dz = (dout @ W2.T) * (z >= 0)"),
        (POOL, POOL_CODE, "dx[n, rows, cols] += dout[n, i, j] * (x[n, rows, cols] == y[n, i, j])"),
        (
            POOL,
            POOL_CODE,
            "hit = x[n, rows, cols] == y[n, i, j]\n"
            "        dx[n, rows, cols] += dout[n, i, j] * hit / hit.sum()",
        ),
        (
            POOL,
            POOL_CODE,
            "p = x[n, rows, cols].argmax(); dx[n, 2 * i + p // 2, 2 * j + p % 2] += dout[n, i, j]",
        ),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_every_choice_is_right(
    tmp_path: Path, spec: str, code: str, change: str, seed: int
) -> None:
    verdict = judged(tmp_path, spec, code, change, seed)
    assert verdict.verdict == "pass", verdict


@pytest.mark.parametrize(
    ("spec", "code", "change", "wrong"),
    [
        (UNIT, UNIT_CODE, "dw = dw * (z != 0).mean()", {"w"}),
        (UNIT, UNIT_CODE, "dx = dx * (z != 0).mean()", {"X"}),
        # It goes to the kink alone, but whatever the upstream gradient is.
        (UNIT, UNIT_CODE, "dw = dw + x.T @ (z == 0)", {"w"}),
        (NET, NET_CODE, "dz = dz * (z != 0).all(axis=0)", {"X", "W1"}),
        # The mask is one of the whole image: equal values in other windows take part.
        (POOL, POOL_CODE, "dx[n] += dout[n, i, j] * (x[n] == y[n, i, j])", {"X"}),
    ],
)
def test_what_is_wrong_where_values_are_equal_only_is_found(
    tmp_path: Path, spec: str, code: str, change: str, wrong: set[str]
) -> None:
    verdicts = [judged(tmp_path, spec, code, change, seed) for seed in range(3)]
    for verdict in verdicts:
        assert verdict.verdict == "fail"
        for gradient in verdict.gradients:
            if gradient.standing == "wrong":
                assert "compared values are equal" in gradient.message
                assert gradient.worst is not None
                assert gradient.worst.error > gradient.worst.bound
                assert not any(f"d{gradient.name}[" in r.message for r in verdict.remarks)
    # One sample need not show it in every gradient.
    assert wrong == {g.name for v in verdicts for g in v.gradients if g.standing == "wrong"}


@pytest.mark.parametrize(
    ("spec", "code", "change", "wrong"),
    [
        (
            POOL,
            POOL_CODE,
            "(a,), (b,) = np.where(x[n, rows, cols] == y[n, i, j])\n"
            "        dx[n, 2 * i + a, 2 * j + b] += dout[n, i, j]",
            {"X"},
        ),
        (UNIT, UNIT_CODE, "assert np.all(z)", {"X", "w"}),
    ],
)
def test_a_backward_may_not_refuse_ties_that_its_forward_took(
    tmp_path: Path, spec: str, code: str, change: str, wrong: set[str]
) -> None:
    verdict = judged(tmp_path, spec, code, change)
    assert verdict.verdict == "fail"
    assert {g.name for g in verdict.gradients if g.standing == "wrong"} == wrong
    assert all("Error" in g.message for g in verdict.gradients)


def test_a_forward_may_refuse_ties(tmp_path: Path) -> None:
    code = UNIT_CODE.replace("    return np.maximum", "    assert np.all(z)\n    return np.maximum")
    verdict = judged(tmp_path, UNIT, code, "pass")
    assert verdict.verdict == "pass"
    assert any("AssertionError" in r.message for r in verdict.remarks if r.code == "kink")


def test_a_mask_is_sharper_than_a_bound_as_wide_as_the_kink() -> None:
    """One row at the kink moves every entry of dw; its rows without the kink are held to rounding.

    The right values are those of the definition, row by row, at numbers without rounding.
    """
    found = layer(UNIT)
    x = np.array([[1.0, 2.0], [2.0, -1.0], [0.5, 1.5], [-1.0, 0.5]])
    values = {"X": x, "w": np.array([1.0, 2.0])}  # z = 5, 0, 3.5, 0
    first = make_probe(found, Binding("", ""), found.settings()[0], 0, 0)
    upstream = np.array([1.0, -2.0, 0.5, 3.0])
    sizes = {"N": 4, "D": 2}
    probe = replace(first, sizes=sizes, env=sizes, values=values, upstream={"Y": upstream})
    rng = np.random.default_rng(0)
    bent = kinked._bent(found, probe, values, rng)["Y"]
    assert bent.tolist() == [False, True, False, True]
    sides = np.array([x.T @ (upstream * np.array([1, a, 1, b])) for a in (0, 1) for b in (0, 1)])
    # Every entry depends on the kinks, by more than it is: a bound would excuse dw = 0 ...
    wide = sides.max(axis=0) - sides.min(axis=0)
    assert np.all(wide >= np.abs(sides[0]))
    # ... and without the outputs of the kinks every choice gives one number.
    calm = np.where(bent, 0, upstream)
    every = [x.T @ (calm * np.array([1, a, 1, b])) for a in (0, 1) for b in (0, 1)]
    assert np.ptp(every, axis=0).max() == 0
    assert np.array_equal(found.evaluate(values, {"Y": calm}, sizes)[1]["w"], every[0])


def test_a_smooth_output_and_a_bent_one_are_told_apart() -> None:
    """Huber and a hinge squared have no kink where they compare; a jump is one."""
    text = """
layer: several
inputs: {X: [N]}
forward: |
  A = where(abs(X) <= 1, 0.5 * X**2, abs(X) - 0.5)
  B = relu(X)**2
  C = abs(X)
  D = where(X > 0, X + 1, X)
  E = exp(3*X)
outputs: [A, B, C, D, E]
"""
    found = layer(text)
    first = make_probe(found, Binding("", ""), found.settings()[0], 0, 0)
    values = {"X": np.array([0.0, 1.0, -1.0, 0.25])}
    probe = replace(first, sizes={"N": 4}, env={"N": 4}, values=values)
    bent = kinked._bent(found, probe, values, np.random.default_rng(1))
    assert not bent["A"].any()
    assert not bent["B"].any()
    assert bent["C"].tolist() == [True, False, False, False]
    assert bent["D"].tolist() == [True, False, False, False]
    assert not bent["E"].any()


@pytest.mark.parametrize(
    "name", ["two_layer_relu", "max_pool2d", "svm_hinge", "maxout", "huber", "triplet"]
)
def test_no_bound_of_float64_is_as_wide_as_a_kink(name: str) -> None:
    """Samples keep away from kinks: what is excused at any size is rounding."""
    found = bundled(name)
    assert found.plan.sites
    for number, setting in enumerate(found.settings()):
        for seed in range(2):
            probe = make_probe(found, Binding("", ""), setting, number, seed)
            right = expected(found, probe.values, probe.upstream, probe.given, 0, setting.work)
            for gradient, bound in right.gradient_bounds.items():
                largest = np.max(np.abs(right.gradients[gradient]), initial=0.0)
                upstream = max(np.max(np.abs(u)) for u in probe.upstream.values())
                assert np.max(bound, initial=0.0) < 1e-10 * max(largest, upstream)


LOSSES = {
    "hinge": ("loss = sum(relu(1 - S * T)) / N", "np.maximum(1 - S * T, 0).sum() / len(S)"),
    "mae": ("loss = sum(abs(S - T)) / N", "np.abs(S - T).sum() / len(S)"),
    "top": ("loss = sum(max(S, axis=1))", "S.max(1).sum()"),
}
CHOICES = [
    ("hinge", "-T * (1 - S * T > 0)", ""),
    ("hinge", "-T * (1 - S * T >= 0)", ""),
    ("hinge", "-T * ((1 - S * T > 0) + 0.5 * (1 - S * T == 0))", ""),
    ("hinge", "-T * ((1 - S * T > 0) - 9.0 * (1 - S * T == 0))", "outside of what the choices"),
    ("hinge", "-T * (1 - S * T > 0) * (S != 0)", "does not depend on the choice"),
    ("mae", "np.sign(S - T)", ""),
    ("mae", "np.where(S >= T, 1.0, -1.0)", ""),
    ("mae", "np.sign(S - T) + 9 * (S == T)", "outside of what the choices"),
    ("mae", "np.sign(S - T) * (S != 0)", "does not depend on the choice"),
    ("top", "len(S) * np.eye(S.shape[1])[S.argmax(1)]", ""),
    ("top", "len(S) * (S == S.max(1, keepdims=True)) / (S == S.max(1, keepdims=True)).sum(1, "
     "keepdims=True)", ""),
    ("top", "len(S) * (np.eye(S.shape[1])[S.argmax(1)] - 9.0 * ((S == S.max(1, keepdims=True)).sum("
     "1, keepdims=True) > 1))", "wrong where compared values are equal"),
]  # fmt: skip


@cache
def loss(name: str) -> DerivedReference:
    given = "S" if name == "top" else "S, T"
    inputs = "{S: [N, C]}" if name == "top" else "{S: [N, C], T: [N, C]}"
    text = (
        f"layer: {name}\ninputs: {inputs}\nforward: {LOSSES[name][0]}\ncheck:\n"
        f"  forward: loss, dS = f({given})\n  gradients: [S]\n"
    )
    found = reference_for(load_text(text, f"{name}.yaml"), lambda _: None)
    assert isinstance(found, DerivedReference)
    return found


@pytest.mark.parametrize(("name", "slope", "said"), CHOICES)
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_of_one_number_is_held_to_its_choices(
    tmp_path: Path, name: str, slope: str, said: str, seed: int
) -> None:
    given = "S" if name == "top" else "S, T"
    text = (
        f"import numpy as np\ndef f({given}):\n    return {LOSSES[name][1]}, ({slope}) / len(S)\n"
    )
    verdict = verdict_on(loss(name), tmp_path, text, seed=seed)
    (gradient,) = verdict.gradients
    assert (verdict.verdict, gradient.standing) == (
        ("fail", "wrong") if said else ("pass", "ok")
    ), gradient.message
    assert said in gradient.message


POWER = """
inputs:
  X: {shape: [N, D], domain: nonnegative}
forward: L = sum(X**1.5 + maximum(X, 1))
"""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("slope", "verdict"),
    [("(X > 1)", "pass"), ("(X >= 1)", "pass"), ("(X > 1) + 5*(X == 1)", "fail")],
)
def test_an_entry_without_a_number_on_one_side_hides_no_other(
    tmp_path: Path, slope: str, verdict: str, seed: int
) -> None:
    """At X = 0, the end of the domain, a move goes where the layer has no number."""
    text = f"""
import numpy as np
def power_forward(X):
    return np.sum(X**1.5 + np.maximum(X, 1)), X
def power_backward(X):
    return 1.5 * np.sqrt(X) + {slope}
"""
    found = verdict_on(written("power", POWER), tmp_path, text, seed=seed)
    assert found.verdict == verdict
    assert found.remarks == ()  # either choice at X = 1 is one, however many entries there are
