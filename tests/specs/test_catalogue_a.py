"""Dense layers, losses, activations, normalisation: forward and gradients agree with HIPS autograd.

Every forward pass is written here once more, in plain NumPy and from the published formula, and
differentiated by HIPS autograd.  The spec's own forward pass must give the same value, and the
printed formulas, parsed back and evaluated in double precision, the same gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy as np
import numpy
import pytest
from autograd.extend import defvjp, primitive

from gradtool.derive.derivation import Derivation, derive
from gradtool.emit.text import text
from gradtool.ir.graph import AnyStatement, Graph
from gradtool.ir.index import Tensor
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.certify import read_back
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path
from gradtool.spec.model import LayerSpec

FOLDERS = ("activations", "basics", "dense", "losses", "norm")
PATHS = {name: path for name, path in bundled_specs().items() if path.parent.name in FOLDERS}

Oracle = Callable[..., Any]
ORACLES: dict[str, Oracle] = {}


def oracle(function: Oracle) -> Oracle:
    ORACLES[function.__name__.removeprefix("_")] = function
    return function


# -- what several oracles share -----------------------------------------------------------


@primitive  # type: ignore[untyped-decorator]
def _erf(x: Any) -> Any:
    return numpy.vectorize(math.erf, otypes=[float])(x)


defvjp(_erf, lambda _, x: lambda g: g * 2 / math.sqrt(math.pi) * np.exp(-x * x))


def _logistic(z: Any) -> Any:
    return 0.5 * (1 + np.tanh(z / 2))


def _log_rows(s: Any, axis: int = 1) -> Any:
    """log softmax, from the scores less their largest."""
    shifted = s - np.max(s, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _picked(s: Any, y: Any) -> Any:
    return s[numpy.arange(len(y)), y]


def _standardised(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    return (x - np.mean(x, axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + eps)


def _per_channel(v: Any) -> Any:
    return np.reshape(v, (1, -1, 1, 1))


# -- basics -------------------------------------------------------------------------------


@oracle
def chain(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
    a = x
    for w, b in ((w1, b1), (w2, b2), (w3, b3)):
        a = _logistic(w * a + b)
    return (a - y) ** 2


@oracle
def gate(x: Any, y: Any, z: Any) -> Any:
    return (x + y) * z


@oracle
def sigmoid_fraction(x: Any, y: Any) -> Any:
    return (x + _logistic(y)) / (_logistic(x) + (x + y) ** 2)


@oracle
def mlp_sigmoid_mse(x: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
    a = x
    for w, b in ((W1, b1), (W2, b2), (W3, b3)):
        a = _logistic(np.dot(w, a) + b)
    return np.sum((a - y) ** 2)


@oracle
def window_max_margin(x: Any, x_c: Any, W: Any, b: Any, U: Any) -> Any:
    true, corrupt = (np.dot(U.T, _logistic(np.dot(W, v) + b))[0, 0] for v in (x, x_c))
    return np.maximum(0.0, 1 + corrupt - true)


# -- dense --------------------------------------------------------------------------------


@oracle
def affine(X: Any, W: Any, b: Any) -> Any:
    return np.einsum("nd,dc->nc", X, W) + b


ORACLES["affine_row_bias"] = affine


@oracle
def affine_column(X: Any, W: Any, b: Any) -> Any:
    return np.einsum("dn,cd->cn", X, W) + b


@oracle
def bilinear(X: Any, Z: Any, W: Any, b: Any) -> Any:
    return np.stack([np.sum(np.dot(X, w) * Z, axis=1) for w in W], axis=1) + b


@oracle
def quadratic_form(x: Any, A: Any) -> Any:
    return np.sum(np.outer(x, x) * A)


@oracle
def two_layer_relu(X: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    return np.dot(np.maximum(0.0, np.dot(X, W1) + b1), W2) + b2


@oracle
def affine_relu(X: Any, W: Any, b: Any) -> Any:
    return np.maximum(0.0, np.einsum("nd,dc->nc", X, W) + b)


@oracle
def softmax_layer(X: Any, y: Any, W: Any, b: Any) -> Any:
    return -np.mean(_picked(_log_rows(np.dot(X, W) + b), y))


@oracle
def dropout(X: Any, M: Any, p: float) -> Any:
    return np.where(M > 0, X / p, 0.0)


# -- losses -------------------------------------------------------------------------------


@oracle
def softmax_cross_entropy(S: Any, y: Any) -> Any:
    return -np.mean(_picked(_log_rows(S), y))


ORACLES["softmax_cross_entropy_steps"] = softmax_cross_entropy


def _decayed(X: Any, y: Any, W1: Any, W2: Any, weight: float) -> Any:
    scores = np.dot(np.maximum(0.0, np.dot(X, W1)), W2)
    norms = np.trace(np.dot(W1.T, W1)) + np.trace(np.dot(W2.T, W2))
    return -np.mean(_picked(_log_rows(scores), y)) + weight * norms


@oracle
def l2_half(X: Any, y: Any, W1: Any, W2: Any, lam: float) -> Any:
    return _decayed(X, y, W1, W2, lam / 2)


@oracle
def l2_full(X: Any, y: Any, W1: Any, W2: Any, lam: float) -> Any:
    return _decayed(X, y, W1, W2, lam)


@oracle
def mse(Y: Any, T: Any) -> Any:
    return np.sum((Y - T) ** 2) / T.size


@oracle
def mae(Y: Any, T: Any) -> Any:
    return np.sum(np.abs(Y - T)) / T.size


@oracle
def huber(Y: Any, T: Any, delta: float) -> Any:
    error = np.abs(Y - T)
    near = np.minimum(error, delta)
    return np.mean(near**2 / 2 + delta * (error - near))


@oracle
def log_cosh(Y: Any, T: Any) -> Any:
    return np.mean(np.log((np.exp(Y - T) + np.exp(T - Y)) / 2))


@oracle
def binary_cross_entropy(A: Any, T: Any) -> Any:
    return -np.mean(np.log(np.where(T > 0, A, 1 - A)))


def _logits(Z: Any, T: Any) -> Any:
    return np.mean(np.logaddexp(0.0, Z) - T * Z)


@oracle
def binary_cross_entropy_logits(Z: Any, T: Any) -> Any:
    return _logits(Z, T)


@oracle
def logistic_regression(X: Any, t: Any, w: Any, b: Any) -> Any:
    return _logits(np.dot(X, w) + b, t)


@oracle
def soft_cross_entropy(S: Any, Q: Any) -> Any:
    return -np.mean(np.sum(Q * _log_rows(S), axis=1))


@oracle
def label_smoothing(S: Any, y: Any, eps: float) -> Any:
    logs = _log_rows(S)
    return -np.mean((1 - eps) * _picked(logs, y) + eps * np.mean(logs, axis=1))


@oracle
def weighted_cross_entropy(S: Any, y: Any, w: Any) -> Any:
    return -np.dot(w[y], _picked(_log_rows(S), y)) / np.sum(w[y])


@oracle
def masked_cross_entropy(S: Any, y: Any, m: Any) -> Any:
    return -np.mean(np.where(m > 0, _picked(_log_rows(S), y), 0.0))


@oracle
def svm_hinge(S: Any, y: Any, delta: float) -> Any:
    rows = []
    for n, right in enumerate(y):
        for wrong in range(S.shape[1]):
            if wrong != right:
                rows.append(np.maximum(0.0, S[n, wrong] - S[n, right] + delta))
    return sum(rows, 0.0) / len(y)


@oracle
def linear_svm(X: Any, y: Any, W: Any, reg: float) -> Any:
    return svm_hinge(np.einsum("nd,dc->nc", X, W), y, 1.0) + reg * np.sum(W * W)


@oracle
def linear_svm_half(X: Any, y: Any, W: Any, reg: float) -> Any:
    return linear_svm(X, y, W, reg / 2)


@oracle
def linear_softmax(X: Any, y: Any, W: Any, reg: float) -> Any:
    return -np.mean(_picked(_log_rows(np.dot(X, W)), y)) + reg * np.sum(W * W)


@oracle
def linear_softmax_half(X: Any, y: Any, W: Any, reg: float) -> Any:
    return linear_softmax(X, y, W, reg / 2)


@oracle
def squared_hinge(s: Any, t: Any) -> Any:
    return np.mean(np.maximum(0.0, 1 - t * s) ** 2)


@oracle
def max_margin(s: Any, s_c: Any) -> Any:
    return np.mean(np.maximum(0.0, 1 + s_c - s))


@oracle
def focal(z: Any, t: Any, gamma: float) -> Any:
    return np.mean(_logistic(-t * z) ** gamma * np.logaddexp(0.0, -t * z))


@oracle
def kl_divergence(S: Any, Q: Any) -> Any:
    return np.mean(np.sum(Q * np.log(Q), axis=1) - np.sum(Q * _log_rows(S), axis=1))


@oracle
def gaussian_nll(mu: Any, var: Any, t: Any) -> Any:
    density = np.exp(-((t - mu) ** 2) / (2 * var)) / np.sqrt(var)
    return -np.mean(np.log(density))


@oracle
def vae_kl(mu: Any, logvar: Any) -> Any:
    each = (np.exp(logvar) + mu**2 - 1 - logvar) / 2
    return np.mean(np.sum(each, axis=1))


@oracle
def cosine_similarity(u: Any, v: Any) -> Any:
    return np.dot(u, v) / np.sqrt(np.dot(u, u) * np.dot(v, v))


@oracle
def triplet(A: Any, P: Any, Q: Any, margin: float) -> Any:
    near, far = (np.linalg.norm(A - other, axis=1) ** 2 for other in (P, Q))
    return np.mean(np.maximum(0.0, near - far + margin))


@oracle
def info_nce(Q: Any, K: Any, tau: float) -> Any:
    return -np.mean(np.diag(_log_rows(np.dot(Q, K.T) / tau)))


@oracle
def clip_loss(F: Any, G: Any, t: Any) -> Any:
    u, v = (m / np.sqrt(np.sum(m**2, axis=1, keepdims=True)) for m in (F, G))
    scores = np.exp(t) * np.dot(u, v.T)
    images, texts = _log_rows(scores), _log_rows(scores.T)
    return -(np.mean(np.diag(images)) + np.mean(np.diag(texts))) / 2


@oracle
def skipgram_softmax(v: Any, o: Any, U: Any) -> Any:
    scores = np.dot(U, v)
    return np.log(np.sum(np.exp(scores))) - scores[o]


@oracle
def skipgram_negative(v: Any, o: Any, k: Any, U: Any) -> Any:
    scores = np.dot(U, v)
    return np.logaddexp(0.0, -scores[o]) + np.sum(np.logaddexp(0.0, scores[k]))


# -- activations --------------------------------------------------------------------------


@oracle
def sigmoid(Z: Any) -> Any:
    return _logistic(Z)


@oracle
def tanh(Z: Any) -> Any:
    return (np.exp(Z) - np.exp(-Z)) / (np.exp(Z) + np.exp(-Z))


@oracle
def hard_tanh(Z: Any) -> Any:
    return np.where(Z < -1, -1.0, np.where(Z > 1, 1.0, Z))


@oracle
def softsign(Z: Any) -> Any:
    return np.where(Z > 0, Z / (1 + Z), Z / (1 - Z))


@oracle
def relu(Z: Any) -> Any:
    return np.where(Z > 0, Z, 0.0)


@oracle
def leaky_relu(Z: Any, alpha: float) -> Any:
    return np.maximum(Z, alpha * Z)


@oracle
def prelu(Z: Any, alpha: Any) -> Any:
    return np.maximum(0.0, Z) + alpha * np.minimum(0.0, Z)


@oracle
def elu(Z: Any, alpha: float) -> Any:
    return np.maximum(0.0, Z) + alpha * (np.exp(np.minimum(0.0, Z)) - 1)


@oracle
def selu(Z: Any, alpha: float, scale: float) -> Any:
    return scale * elu(Z, alpha)


@oracle
def softplus(Z: Any) -> Any:
    return np.logaddexp(0.0, Z)


@oracle
def silu(Z: Any) -> Any:
    return Z / (1 + np.exp(-Z))


@oracle
def gelu(Z: Any) -> Any:
    return Z / 2 * (1 + _erf(Z / math.sqrt(2)))


@oracle
def gelu_tanh(Z: Any) -> Any:
    return Z * _logistic(2 * math.sqrt(2 / math.pi) * (Z + 0.044715 * Z**3))


@oracle
def mish(Z: Any) -> Any:
    return Z * np.tanh(np.logaddexp(0.0, Z))


@oracle
def hard_swish(Z: Any) -> Any:
    return np.where(Z < -3, 0.0, np.where(Z > 3, Z, Z * (Z + 3) / 6))


@oracle
def softmax(Z: Any) -> Any:
    return np.exp(_log_rows(Z))


@oracle
def log_softmax(Z: Any) -> Any:
    return _log_rows(Z)


@oracle
def glu(X: Any, W: Any, V: Any) -> Any:
    return np.dot(X, W) * _logistic(np.dot(X, V))


@oracle
def swiglu(X: Any, W: Any, V: Any, W2: Any) -> Any:
    return np.dot(silu(np.dot(X, W)) * np.dot(X, V), W2)


@oracle
def geglu(X: Any, W: Any, V: Any, W2: Any) -> Any:
    return np.dot(gelu(np.dot(X, W)) * np.dot(X, V), W2)


@oracle
def maxout(X: Any, W: Any, b: Any) -> Any:
    pieces = [np.dot(X, w) + row for w, row in zip(W, b, strict=True)]
    largest = pieces[0]
    for piece in pieces[1:]:
        largest = np.maximum(largest, piece)
    return largest


# -- normalisation ------------------------------------------------------------------------


@oracle
def batch_norm(X: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return gamma * _standardised(X, (0,), eps) + beta


@oracle
def batch_norm_eval(X: Any, mu: Any, var: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return gamma * (X - mu) / np.sqrt(var + eps) + beta


@oracle
def batch_norm_spatial(X: Any, gamma: Any, beta: Any, eps: float) -> Any:
    rows = np.reshape(np.transpose(X, (0, 2, 3, 1)), (-1, X.shape[1]))
    n, c, h, w = X.shape
    out = np.reshape(batch_norm(rows, gamma, beta, eps), (n, h, w, c))
    return np.transpose(out, (0, 3, 1, 2))


@oracle
def layer_norm(X: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return gamma * _standardised(X, (1,), eps) + beta


@oracle
def rms_norm(X: Any, gamma: Any, eps: float) -> Any:
    return X * gamma / np.sqrt(np.mean(X * X, axis=1, keepdims=True) + eps)


@oracle
def group_norm(X: Any, gamma: Any, beta: Any, eps: float, groups: int) -> Any:
    parts = np.split(X, groups, axis=1)
    out = np.concatenate([_standardised(p, (1, 2, 3), eps) for p in parts], axis=1)
    return _per_channel(gamma) * out + _per_channel(beta)


@oracle
def instance_norm(X: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return _per_channel(gamma) * _standardised(X, (2, 3), eps) + _per_channel(beta)


@oracle
def weight_norm(X: Any, V: Any, g: Any, b: Any) -> Any:
    columns = [c * v / np.sqrt(np.dot(v, v)) for c, v in zip(g, V.T, strict=True)]
    return np.dot(X, np.stack(columns, axis=1)) + b


@oracle
def l2_normalise(X: Any) -> Any:
    return np.stack([x / np.sqrt(np.dot(x, x)) for x in X])


# -- the comparison -----------------------------------------------------------------------


@cache
def _derived(name: str) -> tuple[LayerSpec, Graph, Derivation]:
    spec = load_path(PATHS[name])
    graph = graph_of(spec, lambda other: load_path(PATHS[other]) if other in PATHS else None)
    return spec, graph, derive(graph)


@cache
def _printed(name: str) -> tuple[tuple[AnyStatement, ...], dict[str, Tensor]]:
    return read_back(_derived(name)[2])


def _settings(spec: LayerSpec, sizes: dict[str, int]) -> dict[str, Any]:
    """The constants that the oracle takes, and the one size that no shape reveals."""
    given: dict[str, Any] = {k: float(v) for k, v in spec.constants.items()}
    return given | ({"groups": sizes["G"]} if spec.name == "group_norm" else {})


@pytest.mark.parametrize("number", [0, 1], ids=["sizes1", "sizes2"])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_value_and_gradients_are_those_of_autograd(name: str, number: int) -> None:
    spec, graph, derivation = _derived(name)
    rng = numpy.random.default_rng(7 + number)
    sets = size_sets(graph, spec.sizes)
    sizes = dict(sets[number % len(sets)])
    values = draw(spec, sizes, rng)
    setting = setting_for(graph, sizes, Double())
    known = run(graph.statements, values, setting)
    (output,) = graph.outputs
    fixed = _settings(spec, sizes)
    wanted = [v.name for v in spec.variables if v.differentiable]
    others = {k: v for k, v in values.items() if k not in wanted}

    def value(chosen: dict[str, Any]) -> Any:
        return ORACLES[name](**chosen, **others, **fixed)

    chosen = {k: values[k] for k in wanted}
    expected = value(chosen)
    numpy.testing.assert_allclose(known[output], expected, rtol=1e-11, atol=1e-12)

    weights = rng.standard_normal(numpy.shape(expected)) if derivation.upstream else 1.0
    upstream = {cotangent: weights for cotangent, _ in derivation.upstream.values()}
    statements, gradients = _printed(name)
    backward = run(statements, {**known, **upstream}, setting)
    truth = autograd.grad(lambda given: np.sum(value(given) * weights))(chosen)
    for variable in wanted:
        found = backward[gradients[variable].name]
        assert numpy.shape(found) == values[variable].shape
        numpy.testing.assert_allclose(
            found, truth[variable], rtol=1e-9, atol=1e-11, err_msg=f"d{variable}"
        )


# The backward pass as the source of each spec prints it, by our names for its variables.
PUBLISHED: dict[str, dict[str, str]] = {
    "affine": {"dX": "dY @ W.T", "dW": "X.T @ dY", "db": "dY.sum(axis=0)"},
    "affine_row_bias": {"db": "dY.sum(axis=0, keepdims=True)"},
    "affine_column": {
        "dX": "W.T @ dZ",
        "dW": "dZ @ X.T",
        "db": "dZ.sum(axis=1, keepdims=True)",
    },
    "two_layer_relu": {
        "dZ": "(dS @ W2.T) * (Z > 0)",
        "dX": "dZ @ W1.T",
        "dW1": "X.T @ dZ",
        "db1": "dZ.sum(axis=0)",
        "dW2": "H1.T @ dS",
        "db2": "dS.sum(axis=0)",
    },
    "softmax_cross_entropy": {"dS": "(P - onehot(y)) / N"},
    "softmax_cross_entropy_steps": {"dS": "(P - onehot(y)) / N"},
    "softmax_layer": {"dS": "(P - onehot(y)) / N", "dW": "X.T @ dS", "db": "dS.sum(axis=0)"},
    "batch_norm": {
        "dX": "gamma / (N * std) * (N * dY - dY.sum(axis=0) - xhat * (dY * xhat).sum(axis=0))",
        "dgamma": "(dY * xhat).sum(axis=0)",
        "dbeta": "dY.sum(axis=0)",
    },
    "chain": {
        "dz3": "2 * (a3 - y) * a3 * (1 - a3)",
        "dz2": "dz3 * w3 * a2 * (1 - a2)",
        "dw2": "dz2 * a1",
        "db2": "dz2",
    },
    "mlp_sigmoid_mse": {  # the four fundamental equations
        "dz3": "2 * (a3 - y) * a3 * (1 - a3)",
        "dz2": "(W3.T @ dz3) * a2 * (1 - a2)",
        "db2": "dz2",
    },
    "l2_half": {"dW2": "H1.T @ dz_P + lam * W2"},
    "dropout": {"dX": "dY * M / p"},
    "gate": {"dx": "z", "dy": "z", "dz": "q"},
    "relu": {"dZ": "dA * (Z > 0)"},
    "tanh": {"dZ": "dA * (1 - A**2)"},
    "softmax": {"dZ": "P * (dP - (dP * P).sum(axis=1, keepdims=True))"},
    "sigmoid": {"dZ": "dA * A * (1 - A)"},
    "softsign": {"dZ": "dA / (1 + abs(Z))**2"},  # circulating notes print sgn(z) / (1 + z)^2
    "softplus": {"dZ": "dA * sigmoid(Z)"},
    "leaky_relu": {"dZ": "dA * where(Z > 0, 1, alpha)"},
    "prelu": {"dZ": "dA * where(Z > 0, 1, alpha)"},
    "elu": {"dZ": "dA * where(Z > 0, 1, alpha * exp(Z))"},
    "gelu": {"dZ": "dA * (Phi + Z * exp(-Z**2 / 2) / sqrt(2 * pi))"},
    "silu": {"dZ": "dA * (A + G * (1 - A))"},
    "log_softmax": {"dZ": "dA - P * dA.sum(axis=1, keepdims=True)"},
    "layer_norm": {
        "dxhat": "dY * gamma",
        "dX": "(D * dxhat - dxhat.sum(axis=1, keepdims=True)"
        " - xhat * (dxhat * xhat).sum(axis=1, keepdims=True)) / (D * std)",
    },
    "l2_normalise": {"dX": "(dY - Y * (dY * Y).sum(axis=1, keepdims=True)) / r"},
    "weight_norm": {"dW": "X.T @ dY", "dg": "(dW * V).sum(axis=0) / r"},
    "info_nce": {"dS": "(P - eye(N)) / N", "dQ": "dS @ K / tau", "dK": "dS.T @ Q / tau"},
    "clip_loss": {"dS": "(P + Q - 2 * eye(N)) / (2 * N)"},
    "skipgram_softmax": {"dz": "p - onehot(o)", "dv": "U.T @ dz", "dU": "outer(dz, v)"},
    "soft_cross_entropy": {"dS": "(P - Q) / N"},
    "kl_divergence": {"dS": "(P - Q) / N"},
    "quadratic_form": {"dA": "outer(x, x)"},
    "vae_kl": {"dmu": "mu / N", "dlogvar": "(exp(logvar) - 1) / (2 * N)"},
    "log_cosh": {"dY": "tanh(E) / N"},
    "window_max_margin": {
        "dz_c": "da_c * a_c * (1 - a_c)",
        "dz": "-da_c * a * (1 - a)",
        "dx": "W.T @ dz",
        "dW": "dz @ x.T + dz_c @ x_c.T",
        "db": "dz + dz_c",
        "dU": "active * (a_c - a)",
    },
    "svm_hinge": {"dS": "((Z > 0) - (Z > 0).sum(axis=1, keepdims=True) * onehot(y)) / N"},
    "squared_hinge": {"ds": "-2 * m * t / N"},
    "instance_norm": {
        "dX": "(dxhat - dxhat.mean(axis=(2, 3), keepdims=True)"
        " - xhat * (dxhat * xhat).mean(axis=(2, 3), keepdims=True)) / std"
    },
    "masked_cross_entropy": {"dS": "m[:, None] * (P - onehot(y)) / N"},
    "cosine_similarity": {"du": "(vhat - c * uhat) / r"},
    "label_smoothing": {"dS": "(P - Q) / N"},
    "logistic_regression": {"dz": "(a - t) / N", "dw": "X.T @ dz", "db": "dz.sum()"},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_text_is_the_published_one(name: str) -> None:
    printed = {each.name: text(each.tree) for each in _derived(name)[2].lines}
    assert {key: printed.get(key) for key in PUBLISHED[name]} == PUBLISHED[name]


# Two means over three axes of one image, each with `keepdims=True`, do not fit in 120 characters.
@pytest.mark.parametrize("name", sorted(PATHS))
def test_a_line_is_at_most_120_characters(name: str) -> None:
    formulas = [text(each.tree) for each in _derived(name)[2].lines]
    assert [shown for shown in formulas if len(shown) > 120] == []


def test_the_gate_has_the_value_12_and_the_gradients_4_4_3() -> None:
    """A circulating text prints -12 for the same numbers."""
    _, graph, _ = _derived("gate")
    setting = setting_for(graph, {}, Double())
    point = {"x": numpy.array(-2.0), "y": numpy.array(5.0), "z": numpy.array(4.0)}
    known = run(graph.statements, point, setting)
    assert known["f"] == 12
    statements, gradients = _printed("gate")
    backward = run(statements, known, setting)
    assert [backward[gradients[name].name] for name in "xyz"] == [4, 4, 3]


def test_the_network_for_digits_has_13002_parameters() -> None:
    spec, _, _ = _derived("mlp_sigmoid_mse")
    parameters = [v for v in spec.variables if v.role == "parameter"]
    assert sum(math.prod(d.evaluate({}) for d in v.shape) for v in parameters) == 13_002


def test_every_spec_of_these_folders_has_an_oracle() -> None:
    assert sorted(PATHS) == sorted(ORACLES)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_a_spec_says_what_it_is_in_one_sentence(name: str) -> None:
    spec = load_path(PATHS[name])
    assert spec.name == name == Path(PATHS[name]).stem
    assert spec.about.endswith(".")
    assert "\n" not in spec.about
