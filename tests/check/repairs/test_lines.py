"""The line that a mistake is told at is the one that is wrong, though another would do as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text
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


SPATIAL = """
import numpy as np

def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, C, H, W = x.shape
    rows = x.transpose(0, 2, 3, 1).reshape(-1, C)
    std = np.sqrt(rows.var(axis=0) + eps)
    xhat = (rows - rows.mean(axis=0)) / std
    out = gamma * xhat + beta
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), (xhat, std, gamma)

def spatial_batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    N, C, H, W = dout.shape
    d = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    M = len(d)
    dgamma = (d * xhat).sum(axis=0)
    dx = gamma / (M * std) * (M * d - d.sum(axis=0) - xhat * dgamma)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, d.sum(axis=0)
"""
RUNNING = """
import numpy as np

class BatchNorm:
    def __init__(self, gamma, beta, eps=1e-5, momentum=0.1):
        self.gamma, self.beta, self.eps, self.momentum = gamma, beta, eps, momentum
        self.running_mean, self.running_var = np.zeros(len(gamma)), np.ones(len(gamma))

    def forward(self, x, train=True):
        if train:
            m, v = x.mean(axis=0), x.var(axis=0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * m
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * v
        else:
            m, v = self.running_mean, self.running_var
        self.std = np.sqrt(v + self.eps)
        self.xhat = (x - m) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, d):
        self.dgamma, self.dbeta = (d * self.xhat).sum(axis=0), d.sum(axis=0)
        inner = d - d.mean(axis=0) - self.xhat * (d * self.xhat).mean(axis=0)
        return self.gamma / self.std * inner
"""


def test_of_a_gradient_that_is_returned_in_another_shape(tmp_path: Path) -> None:
    """By the numbers alone it is wrong where it is returned, and was made a line before."""
    said = told(SPATIAL, "M = len(d)", "M = N", "batch_norm_spatial", tmp_path)
    assert said.startswith("dx =")


def test_of_a_gradient_that_is_returned_by_its_name(tmp_path: Path) -> None:
    """A sum in the line that returns it would do as well, and is missing where it is computed."""
    right, wrong = "dbeta = dout.sum(axis=0)", "dbeta = dout * 1"
    assert told(BATCH_NORM, right, wrong, "batch_norm", tmp_path) == wrong


FILM = """
import numpy as np

class FiLM:
    def __init__(self, G):
        self.G = G

    def forward(self, X, z):
        self.X, self.z = X, z
        return X * (z @ self.G)

    def backward(self, dY):
        dg = dY * self.X
        self.dG = self.z.T @ dg
        return dY * (self.z @ self.G), dg @ self.G.T
"""


def test_of_a_gradient_that_is_returned_without_a_name(tmp_path: Path) -> None:
    """What is returned is told apart by its shape; its place in the result is known."""
    spec = """
layer: film
inputs:
  X: [N, C]
  z: [N, E]
parameters:
  G: [E, C]
forward: |
  Y = X * (z @ G)
"""
    reference = reference_for(load_text(spec, "film.yaml"))
    text = FILM.replace("dg @ self.G.T", "(dg * np.cosh(self.X)) @ np.sin(self.G).T")
    verdict = verdict_on(reference, tmp_path, text, explain=True)
    (wrong,) = (g for g in verdict.gradients if g.standing == "wrong")
    assert (wrong.name, wrong.source[:6]) == ("z", "return")


def test_of_a_running_value_that_the_backward_pass_reads(tmp_path: Path) -> None:
    """The line that updates it is right; with the batch's own value there all comes out, too."""
    wrong = "return self.gamma / np.sqrt(self.running_var + self.eps) * inner"
    said = told(RUNNING, "return self.gamma / self.std * inner", wrong, "batch_norm", tmp_path)
    assert said == wrong


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


NETWORK = """
import numpy as np

class Dense:
    def __init__(self, W):
        self.W = W
    def forward(self, x):
        self.x = x
        return x @ self.W
    def backward(self, d):
        self.dW = self.x.T @ d
        return d @ self.W.T

class Softsign:
    def forward(self, x):
        self.x = x
        return x / (1 + np.abs(x))
    def backward(self, d):
        return d / (1 + np.abs(self.x)) ** 2

class Squared:
    def forward(self, y, t):
        self.e = y - t
        return np.mean(self.e ** 2)
    def backward(self):
        return self.e * 2 / self.e.size

class Net:
    def __init__(self, W1, W2):
        self.layers, self.loss = [Dense(W1), Softsign(), Dense(W2)], Squared()
    def forward(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss.forward(x, t)
    def backward(self):
        d = self.loss.backward()
        for layer in reversed(self.layers):
            d = layer.backward(d)
        return d
"""
NETWORK_SPEC = """
layer: net_of_layers
inputs:
  X: [N, D]
  T: {shape: [N, C], constant: true}
parameters:
  W1: [D, H]
  W2: [H, C]
forward: |
  Z = X @ W1
  Y = (Z / (1 + abs(Z))) @ W2
  L = mean((Y - T)**2)
check:
  setup: net = Net(W1, W2)
  forward: L = net.forward(X, T)
  backward: |
    dX = net.backward()
    dW1, dW2 = net.layers[0].dW, net.layers[2].dW
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("return d / (1 + np.abs(self.x)) ** 2", "return d / (1 + np.abs(self.x))"),
        ("return self.e * 2 / self.e.size", "return self.e * 2"),
        ("self.dW = self.x.T @ d", "self.dW = self.x.T @ d / len(d)"),
        ("return d @ self.W.T", "return d @ self.W.T / len(d)"),
    ],
)
def test_of_one_of_several_methods_of_a_name(right: str, wrong: str, tmp_path: Path) -> None:
    """Every class has its backward, and the mistake may be in each of them."""
    assert NETWORK.count(right) == 1
    reference = reference_for(load_text(NETWORK_SPEC, "net.yaml"))
    verdict = verdict_on(reference, tmp_path, NETWORK.replace(right, wrong), explain=True)
    assert {g.source for g in verdict.gradients if g.standing == "wrong"} == {wrong}
    assert all(g.cause and g.cause.explains for g in verdict.gradients if g.standing == "wrong")
