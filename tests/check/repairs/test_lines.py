"""The line that a mistake is told at is the one that is wrong, though another would do as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import bundled, verdict_on

BATCH_NORM = """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    xhat = (x - mu) / np.sqrt(var + eps)
    return gamma * xhat + beta, (x, xhat, mu, var, gamma, eps)

def batchnorm_backward(dout, cache):
    x, xhat, mu, var, gamma, eps = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dvar = (dxhat * (x - mu) * -0.5 * (var + eps) ** -1.5).sum(axis=0)
    dmu = (-dxhat / np.sqrt(var + eps)).sum(axis=0)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * (x - mu) / N + dmu / N
    return dx, dgamma, dbeta
"""
RELU_NET = """
import numpy as np

def forward(x, w1, b1, w2, b2):
    z = x @ w1 + b1
    h = np.maximum(z, 0)
    return h @ w2 + b2, (x, z, h, w1, w2)

def backward(dout, cache):
    x, z, h, w1, w2 = cache
    dw2 = h.T @ dout
    db2 = dout.sum(axis=0)
    dh = dout @ w2.T
    dz = dh * (z > 0)
    return dz @ w1.T, x.T @ dz, dz.sum(axis=0), dw2, db2
"""


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        # Twice as much in the line of dvar would make dx right, too, but dvar is right.
        ("dvar * 2 * (x", "dvar * (x", "dx ="),
        ("dvar * 2 * (x", "dvar * 3 * (x", "dx ="),
        ("* -0.5 *", "* -0.25 *", "dvar ="),
        ("+ dmu / N", "+ dmu", "dx ="),
        # What is left is right for another value, which has a name: the upstream gradient.
        ("dout * gamma\n", "dout\n", "dxhat ="),
        # A wrong gradient is no right value of another one.
        ("dbeta = dout.sum(axis=0)", "dbeta = dout", "dbeta ="),
    ],
)
def test_of_batch_norm(right: str, wrong: str, line: str, tmp_path: Path) -> None:
    assert told(BATCH_NORM, right, wrong, "batch_norm", tmp_path).startswith(line)


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("dh = dout @ w2.T\n    dz = dh * (z > 0)", "dz = dout @ w2.T", "dz ="),
        ("dout @ w2.T", "dout @ w2.T / 2", "dh ="),
    ],
)
def test_of_a_network(right: str, wrong: str, line: str, tmp_path: Path) -> None:
    assert told(RELU_NET, right, wrong, "two_layer_relu", tmp_path).startswith(line)


def told(text: str, right: str, wrong: str, layer: str, folder: Path) -> str:
    """The line at which the mistake of the first wrong gradient is told."""
    assert right in text
    verdict = verdict_on(bundled(layer), folder, text.replace(right, wrong), explain=True)
    assert verdict.verdict == "fail"
    return next(g.source for g in verdict.gradients if g.standing == "wrong")
