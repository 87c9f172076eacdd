"""A formula has all digits where a variable is so large that no step is left of it; a difference
has none.

What is right there needs no reference: the gradient of a layer that is linear is the one at the
variable as it was drawn, and that of a quadratic one lies on a line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.bind import Binding
from gradtool.check.outgrown import outgrown
from gradtool.check.probes import make_probe
from tests.layers import bundled, verdict_on, written

BINDING = Binding("by hand", None)
NORM = """\
import numpy as np
def batchnorm_forward(X, gamma, beta, eps):
    mu, var = X.mean(axis=0), X.var(axis=0)
    std = np.sqrt(var + eps)
    out = gamma * (X - mu) / std + beta
    return out, (out, gamma, beta, std)
def batchnorm_backward(dY, cache):
    out, gamma, beta, std = cache
    N, D = dY.shape
    xhat = np.zeros((N, D))
    for n in range(N):
        xhat[n] = (out[n] - beta) / gamma  # as code does that keeps the output only
    BODY
    g = dY * gamma
    dX = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std
    return dX, dgamma, dbeta
"""
FORMULA = "dgamma, dbeta = (dY * xhat).sum(axis=0), dY.sum(axis=0)"
DIFFERENCE = """Y = gamma * xhat + beta
    dgamma = (dY * xhat).sum(axis=0)
    dbeta = np.array([((Y + 1.0 * e - Y) * dY).sum() for e in np.eye(D)])"""


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("affine", {"X", "W", "b"}),
        ("batch_norm", {"gamma", "beta"}),
        ("relu", set()),
        ("discounted_returns", {"r"}),
        ("weight_norm", {"X", "g", "b"}),
        ("conv2d", {"X", "F", "b"}),
        ("sigmoid", set()),
        ("softmax_cross_entropy", set()),
        ("attention", {"V"}),
        ("mse", {"Y"}),
        ("triplet", set()),
        ("quadratic_form", {"x", "A"}),
        ("dropout", {"X"}),
    ],
)
def test_of_which_variables_it_is_known(name: str, variables: set[str]) -> None:
    reference = bundled(name)
    probe = make_probe(reference, BINDING, reference.settings()[0], 0, 0)
    found = outgrown(reference, BINDING, probe)
    assert {name for one in found for name in one.scale} == variables
    for one in found:
        (name,) = one.scale
        assert np.abs(one.values[name]).max() > 1e15
        grown = reference.evaluate(one.values, one.upstream, one.given)[1][name]
        right = reference.evaluate(probe.values, probe.upstream, probe.given)[1][name]
        if np.abs(grown).max() < 1e10:
            np.testing.assert_allclose(grown, right, rtol=1e-9)
        else:  # as of a quadratic form: linear in the step from there to here
            step = one.values[name] - probe.values[name]
            values = {**probe.values, name: probe.values[name] + step / 2}
            half = reference.evaluate(values, one.upstream, one.given)[1][name]
            np.testing.assert_allclose(grown - half, half - right, rtol=1e-9)


@pytest.mark.parametrize(
    "forward",
    [
        "L = sum((A - P)**2) - sum((A - Q)**2)",
        "L = sum((A - P)**2 - (A - Q)**2)",
        "L = sum((A - P)**2 - A**2 + Q)",
    ],
)
def test_what_only_a_simplified_formula_does_not_read(forward: str) -> None:
    reference = written(
        "contrast", f"inputs: {{A: [N, D], P: [N, D], Q: [N, D]}}\nforward: {forward}"
    )
    probe = make_probe(reference, BINDING, reference.settings()[0], 0, 0)
    assert not [one for one in outgrown(reference, BINDING, probe) if "A" in one.scale]


SQUARES = """\
import numpy as np
def mse_forward(Y, T):
    return np.mean((Y - T) ** 2), (Y, T)
def mse_backward(cache):
    Y, T = (v.astype(float) for v in cache)
    BODY
"""
CLIPPED = """g = np.zeros(Y.shape)
    for n in range(len(Y)):
        g[n] = 2 * (Y[n] - T[n]) / Y.size
    return np.clip(g, -20, 20)"""
SCALED_DOWN = """g = 2 * np.stack([y - t for y, t in zip(Y, T)]) / Y.size
    return g * min(1, 100 / np.sqrt((g ** 2).sum()))"""
SINGLE = """found = [2 * (y - t) / Y.size for y, t in zip(Y, T)]
    return np.array(found, dtype=np.float32)"""
CENTERED = """sides = [[np.mean((Y + h * e - T) ** 2) for h in (1, -1)]
             for e in np.eye(Y.size).reshape(-1, *Y.shape)]
    return np.reshape([(up - down) / 2 for up, down in sides], Y.shape)"""


@pytest.mark.parametrize(
    ("body", "told"),
    [(CLIPPED, False), (SCALED_DOWN, False), (SINGLE, False), (CENTERED, True)],
    ids=["clipped", "scaled down", "single", "centered"],
)
def test_a_quadratic_loss(tmp_path: Path, body: str, told: bool) -> None:
    verdict = verdict_on(bundled("mse"), tmp_path, SQUARES.replace("BODY", body))
    assert verdict.verdict == "pass"
    assert any(one.code == "differences" for one in verdict.remarks) == told


@pytest.mark.parametrize(("body", "told"), [(FORMULA, False), (DIFFERENCE, True)])
def test_who_subtracts_what_was_added_is_no_difference(
    tmp_path: Path, body: str, told: bool
) -> None:
    verdict = verdict_on(bundled("batch_norm"), tmp_path, NORM.replace("BODY", body))
    assert verdict.verdict == "pass"
    found = [one.message for one in verdict.remarks if one.code == "differences"]
    assert len(found) == told
    assert all("dbeta: it is off by" in text for text in found)
