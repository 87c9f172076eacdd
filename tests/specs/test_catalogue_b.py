"""Convolution, sequences, attention, matrices, networks: values and gradients are autograd's.

Every forward pass is written here once more, in plain NumPy and from the published formula, and
differentiated by HIPS autograd.  The spec's own forward pass must give the same values, and the
printed formulas, parsed back and evaluated in double precision, the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import autograd
import autograd.numpy as np
import numpy
import pytest

from gradtool.derive.derivation import Derivation, derive
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

FOLDERS = ("conv", "sequence", "attention", "matrix", "networks")
BUNDLED = bundled_specs()
PATHS = {name: path for name, path in BUNDLED.items() if path.parent.name in FOLDERS}

Oracle = Callable[..., Any]
ORACLES: dict[str, Oracle] = {}


def oracle(function: Oracle) -> Oracle:
    ORACLES[function.__name__] = function
    return function


# -- what several oracles share -----------------------------------------------------------


def _logistic(z: Any) -> Any:
    return 0.5 * (1 + np.tanh(z / 2))


def _relu(z: Any) -> Any:
    return np.where(z > 0, z, 0.0)


def _log_softmax(s: Any) -> Any:
    shifted = s - np.max(s, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _cross_entropy(s: Any, y: Any) -> Any:
    return -np.mean(_log_softmax(s)[numpy.arange(len(y)), y])


def _zeros_around(x: Any, pad: int, axes: int) -> Any:
    return np.pad(x, [(0, 0)] * (x.ndim - axes) + [(pad, pad)] * axes, mode="constant")


def _correlate(
    x: Any, f: Any, stride: int = 1, pad: int = 0, dilation: int = 1, groups: int = 1
) -> Any:
    """A convolution of any number of places, one filter entry after the other."""
    axes = f.ndim - 2
    stride, pad, dilation = int(stride), int(pad), int(dilation)
    wide = _zeros_around(x, pad, axes)
    counts = [
        (n - dilation * (r - 1) - 1) // stride + 1
        for n, r in zip(wide.shape[2:], f.shape[2:], strict=True)
    ]
    parts = []
    for x_part, f_part in zip(
        np.split(wide, groups, axis=1), np.split(f, groups, axis=0), strict=True
    ):
        total: Any = 0.0
        for place in product(*(range(r) for r in f.shape[2:])):
            reach = tuple(
                slice(dilation * p, dilation * p + stride * (n - 1) + 1, stride)
                for p, n in zip(place, counts, strict=True)
            )
            seen = x_part[(slice(None), slice(None), *reach)]
            total = total + np.moveaxis(
                np.tensordot(seen, f_part[(slice(None), slice(None), *place)], ((1,), (1,))), -1, 1
            )
        parts.append(total)
    return np.concatenate(parts, axis=1)


def _on_channels(b: Any, places: int) -> Any:
    return np.reshape(b, (1, -1, *(1,) * places))


def _windows(x: Any, size: int, stride: int) -> Any:
    """The entries of every window, along a new last axis."""
    rows, columns = ((n - size) // stride + 1 for n in x.shape[2:])
    return np.stack(
        [
            x[
                :,
                :,
                p : p + stride * (rows - 1) + 1 : stride,
                q : q + stride * (columns - 1) + 1 : stride,
            ]
            for p in range(size)
            for q in range(size)
        ],
        axis=-1,
    )


# -- convolution and pooling --------------------------------------------------------------


@oracle
def conv2d_tiny(X: Any, F: Any) -> Any:
    return _correlate(X[None, None], F[None, None])[0, 0]


@oracle
def conv2d(X: Any, F: Any, b: Any, stride: float, pad: float) -> Any:
    return _correlate(X, F, int(stride), int(pad)) + _on_channels(b, 2)


@oracle
def conv2d_valid(X: Any, F: Any) -> Any:
    return _correlate(X, F)


@oracle
def conv2d_dilated(X: Any, F: Any, dilation: float) -> Any:
    return _correlate(X, F, dilation=int(dilation))


@oracle
def conv2d_grouped(X: Any, F: Any) -> Any:
    return _correlate(X, F, groups=X.shape[1] // F.shape[1])


@oracle
def conv2d_depthwise(X: Any, F: Any, b: Any, pad: float) -> Any:
    return _correlate(X, F, pad=int(pad), groups=X.shape[1]) + _on_channels(b, 2)


@oracle
def conv1d(X: Any, F: Any, b: Any, stride: float, pad: float) -> Any:
    return _correlate(X, F, int(stride), int(pad)) + _on_channels(b, 1)


@oracle
def conv3d(X: Any, F: Any, b: Any) -> Any:
    return _correlate(X, F) + _on_channels(b, 3)


@oracle
def conv_transpose2d(X: Any, F: Any, b: Any, stride: float, pad: float) -> Any:
    """Zeros between the pixels, then a convolution with the rotated filter."""
    step, cut = int(stride), int(pad)
    n, c, h, w = X.shape
    between = np.reshape(X, (n, c, h, 1, w, 1)) * numpy.eye(step)[0].reshape(1, 1, 1, step, 1, 1)
    between = between * numpy.eye(step)[0]
    sparse = np.reshape(between, (n, c, h * step, w * step))
    sparse = sparse[:, :, : (h - 1) * step + 1, : (w - 1) * step + 1]
    rows, columns = F.shape[2:]
    wide = np.pad(sparse, [(0, 0), (0, 0), (rows - 1,) * 2, (columns - 1,) * 2], mode="constant")
    whole = _correlate(wide, np.swapaxes(F, 0, 1)[:, :, ::-1, ::-1])
    inside = whole[:, :, cut : whole.shape[2] - cut, cut : whole.shape[3] - cut]
    return inside + _on_channels(b, 2)


@oracle
def conv2d_im2col(X: Any, F: Any, b: Any) -> Any:
    rows = np.moveaxis(_correlate(X, F) + _on_channels(b, 2), 1, -1)
    return np.reshape(rows, (-1, len(b)))


@oracle
def max_pool2d(X: Any, size: float, stride: float) -> Any:
    return np.max(_windows(X, int(size), int(stride)), axis=-1)


@oracle
def max_pool2d_overlapping(X: Any) -> Any:
    lowest = numpy.full([n + 2 if k > 1 else n for k, n in enumerate(X.shape)], -1e9)
    lowest[:, :, 1:-1, 1:-1] = 0
    return np.max(_windows(_zeros_around(X, 1, 2) + lowest, 3, 2), axis=-1)


@oracle
def max_pool2d_reshape(X: Any, P: int) -> Any:
    return np.max(_windows(X, P, P), axis=-1)


@oracle
def avg_pool2d(X: Any, size: float, stride: float) -> Any:
    return np.mean(_windows(X, int(size), int(stride)), axis=-1)


@oracle
def global_avg_pool(X: Any) -> Any:
    return np.mean(X, axis=(2, 3))


@oracle
def flatten(X: Any) -> Any:
    return np.stack([np.ravel(image) for image in X])


@oracle
def upsample_nearest(X: Any, scale: float) -> Any:
    return np.repeat(np.repeat(X, int(scale), axis=2), int(scale), axis=3)


# -- sequences ----------------------------------------------------------------------------


@oracle
def rnn_cell(x: Any, prev_h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return np.tanh(np.dot(x, Wx) + np.dot(prev_h, Wh) + b)


@oracle
def lstm_cell(x: Any, prev_h: Any, prev_c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    i, f, o, g = np.split(np.dot(x, Wx) + np.dot(prev_h, Wh) + b, 4, axis=1)
    c = _logistic(f) * prev_c + _logistic(i) * np.tanh(g)
    return _logistic(o) * np.tanh(c), c


@oracle
def rnn(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    states, h = [], h0
    for t in range(X.shape[1]):
        h = rnn_cell(X[:, t], h, Wx, Wh, b)
        states.append(h)
    return np.stack(states, axis=1)


@oracle
def lstm(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    states, h, c = [], h0, numpy.zeros(h0.shape)
    for t in range(X.shape[1]):
        h, c = lstm_cell(X[:, t], h, c, Wx, Wh, b)
        states.append(h)
    return np.stack(states, axis=1)


@oracle
def gru(X: Any, h0: Any, **weights: Any) -> Any:
    h = h0
    for t in range(X.shape[1]):
        h = gru_cell(X[:, t], h, **weights)
    return h


@oracle
def bidirectional_rnn(X: Any, Wf: Any, Uf: Any, Wb: Any, Ub: Any) -> Any:
    start, none = numpy.zeros((len(X), Uf.shape[0])), numpy.zeros(Uf.shape[0])
    forwards = rnn(X, start, Wf, Uf, none)
    backwards = rnn(X[:, ::-1], start, Wb, Ub, none)
    return np.concatenate([forwards, backwards[:, ::-1]], axis=2)


@oracle
def discounted_returns(r: Any, gamma: Any) -> Any:
    later = numpy.arange(r.shape[1])
    return np.stack(
        [np.sum(r[:, t:] * gamma ** later[: r.shape[1] - t], axis=1) for t in later], axis=1
    )


@oracle
def lstm_cell_gates(
    x: Any,
    prev_h: Any,
    prev_c: Any,
    Wf: Any,
    Wi: Any,
    Wc: Any,
    Wo: Any,
    bf: Any,
    bi: Any,
    bc: Any,
    bo: Any,
) -> Any:
    size = prev_h.shape[1]

    def joined(w: Any, b: Any) -> Any:
        return np.dot(prev_h, w[:size]) + np.dot(x, w[size:]) + b

    c = _logistic(joined(Wf, bf)) * prev_c + _logistic(joined(Wi, bi)) * np.tanh(joined(Wc, bc))
    return _logistic(joined(Wo, bo)) * np.tanh(c), c


@oracle
def gru_cell(
    x: Any,
    prev_h: Any,
    Wz: Any,
    Uz: Any,
    bz: Any,
    Wr: Any,
    Ur: Any,
    br: Any,
    W: Any,
    U: Any,
    b: Any,
) -> Any:
    z = _logistic(np.dot(x, Wz) + np.dot(prev_h, Uz) + bz)
    r = _logistic(np.dot(x, Wr) + np.dot(prev_h, Ur) + br)
    return z * prev_h + (1 - z) * np.tanh(np.dot(x, W) + np.dot(r * prev_h, U) + b)


@oracle
def word_embedding(x: Any, W: Any) -> Any:
    return np.stack([np.stack([W[word] for word in row]) for row in x])


@oracle
def temporal_affine(x: Any, W: Any, b: Any) -> Any:
    return np.stack([np.dot(x[:, t], W) + b for t in range(x.shape[1])], axis=1)


@oracle
def temporal_softmax_loss(x: Any, y: Any, mask: Any) -> Any:
    total = 0.0
    for n, t in np.ndindex(*mask.shape):
        total = total - float(mask[n, t]) * _log_softmax(x[n, t])[y[n, t]]
    return total / len(x)


# -- attention ----------------------------------------------------------------------------


def _attend(q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    scores = np.dot(q, k.T) / np.sqrt(q.shape[-1]) + mask
    return np.dot(np.exp(_log_softmax(scores)), v)


@oracle
def attention(Q: Any, K: Any, V: Any) -> Any:
    return _attend(Q, K, V)


@oracle
def attention_batch(Q: Any, K: Any, V: Any, mask: Any) -> Any:
    return np.stack([_attend(q, k, v, mask) for q, k, v in zip(Q, K, V, strict=True)])


@oracle
def attention_causal(Q: Any, K: Any, V: Any) -> Any:
    return np.stack([_attend(Q[t : t + 1], K[: t + 1], V[: t + 1])[0] for t in range(len(Q))])


@oracle
def multi_head_attention(X: Any, Wq: Any, Wk: Any, Wv: Any, Wo: Any, bo: Any, A: int) -> Any:
    results = []
    for x in X:
        parts = (np.split(np.dot(x, w), A, axis=1) for w in (Wq, Wk, Wv))
        heads = [_attend(q, k, v) for q, k, v in zip(*parts, strict=True)]
        results.append(np.dot(np.concatenate(heads, axis=1), Wo) + bo)
    return np.stack(results)


@oracle
def rotary_embedding(X: Any, theta: Any) -> Any:
    half = X.shape[1] // 2
    rows = []
    for t, row in enumerate(X):
        turned = (row[:half] + 1j * row[half:]) * numpy.exp(1j * t * theta)
        rows.append(np.concatenate([np.real(turned), np.imag(turned)]))
    return np.stack(rows)


@oracle
def linear_attention(Q: Any, K: Any, V: Any) -> Any:
    def features(x: Any) -> Any:
        return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1) + 1

    weights = np.dot(features(Q), features(K).T)
    return np.dot(weights / np.sum(weights, axis=1, keepdims=True), V)


@oracle
def transformer_block(
    X: Any,
    Wq: Any,
    Wk: Any,
    Wv: Any,
    Wo: Any,
    gamma1: Any,
    beta1: Any,
    W1: Any,
    b1: Any,
    W2: Any,
    b2: Any,
    gamma2: Any,
    beta2: Any,
) -> Any:
    def normalised(x: Any, gamma: Any, beta: Any) -> Any:
        spread = np.sqrt(np.var(x, axis=1, keepdims=True) + 1e-5)
        return gamma * (x - np.mean(x, axis=1, keepdims=True)) / spread + beta

    attended = np.dot(_attend(np.dot(X, Wq), np.dot(X, Wk), np.dot(X, Wv)), Wo)
    x1 = normalised(X + attended, gamma1, beta1)
    return normalised(x1 + np.dot(_relu(np.dot(x1, W1) + b1), W2) + b2, gamma2, beta2)


# -- matrices -----------------------------------------------------------------------------


@oracle
def trace(A: Any, B: Any) -> Any:
    return np.sum(A * B.T)


@oracle
def determinant(A: Any) -> Any:
    return np.linalg.det(A)


@oracle
def log_determinant(A: Any) -> Any:
    return np.linalg.slogdet(A)[1]


@oracle
def inverse(A: Any) -> Any:
    return np.linalg.solve(A, numpy.eye(len(A)))


@oracle
def linear_solve(A: Any, B: Any) -> Any:
    return np.linalg.solve(A, B)


@oracle
def frobenius_norm(A: Any) -> Any:
    return np.sqrt(np.trace(np.dot(A.T, A)))


@oracle
def mahalanobis(x: Any, mu: Any, Sigma: Any) -> Any:
    return np.dot(x - mu, np.linalg.solve(Sigma, x - mu))


@oracle
def gaussian_log_likelihood(X: Any, mu: Any, Sigma: Any) -> Any:
    total = 0.0
    for x in X:
        distance = np.dot(x - mu, np.linalg.solve(Sigma, x - mu))
        total = total - (np.linalg.slogdet(2 * numpy.pi * Sigma)[1] + distance) / 2
    return total


@oracle
def cholesky(A: Any) -> Any:
    return np.linalg.cholesky((A + A.T) / 2)


@oracle
def ridge(X: Any, y: Any, lam: float) -> Any:
    """The normal equations of the data with sqrt(lam) times the identity below them."""
    rows = np.concatenate([X, numpy.sqrt(lam) * numpy.eye(X.shape[1])])
    return np.linalg.solve(np.dot(rows.T, rows), np.dot(X.T, y))


@oracle
def ridge_loss(X: Any, y: Any, w: Any, lam: float) -> Any:
    return np.linalg.norm(np.dot(X, w) - y) ** 2 + lam * np.dot(w, w)


@oracle
def linear_autoencoder(X: Any, W: Any) -> Any:
    return np.linalg.norm(X - np.dot(np.dot(X, W), W.T)) ** 2


# -- networks -----------------------------------------------------------------------------


@oracle
def two_layer_net(X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, reg: float) -> Any:
    scores = np.dot(_relu(np.dot(X, W1) + b1), W2) + b2
    return _cross_entropy(scores, y) + reg * (np.sum(W1 * W1) + np.sum(W2 * W2))


@oracle
def three_layer_net(
    X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, reg: float
) -> Any:
    h = X
    for w, b in ((W1, b1), (W2, b2)):
        h = _relu(np.dot(h, w) + b)
    penalty = sum(np.sum(w * w) for w in (W1, W2, W3))
    return _cross_entropy(np.dot(h, W3) + b3, y) + reg / 2 * penalty


@oracle
def small_cnn(X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    h = _relu(_correlate(X, W1, pad=1) + _on_channels(b1, 2))
    pooled = np.max(_windows(h, 2, 2), axis=-1)
    return _cross_entropy(np.dot(np.reshape(pooled, (len(X), -1)), W2) + b2, y)


@oracle
def residual_block(X: Any, F1: Any, F2: Any) -> Any:
    return _relu(_correlate(_relu(_correlate(X, F1, pad=1)), F2, pad=1) + X)


@oracle
def residual_mlp(X: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    return X + np.dot(_relu(np.dot(X, W1) + b1), W2) + b2


@oracle
def autoencoder(X: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    reconstruction = _logistic(np.dot(_logistic(np.dot(X, W1) + b1), W2) + b2)
    return np.linalg.norm(reconstruction - X) ** 2 / (2 * len(X))


@oracle
def lstm_captioner_step(
    word: Any,
    prev_h: Any,
    prev_c: Any,
    y: Any,
    W_embed: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    W_vocab: Any,
    b_vocab: Any,
) -> Any:
    x = np.stack([W_embed[w] for w in word])
    h, _ = lstm_cell(x, prev_h, prev_c, Wx, Wh, b)
    return _cross_entropy(np.dot(h, W_vocab) + b_vocab, y)


@oracle
def rnn_captioner(
    features: Any,
    words: Any,
    y: Any,
    mask: Any,
    W_proj: Any,
    b_proj: Any,
    W_embed: Any,
    W_vocab: Any,
    b_vocab: Any,
    **cell: Any,
) -> Any:
    """As a whole: the states of all steps, then scores and loss of all steps at once."""
    states = rnn(W_embed[words], np.dot(features, W_proj) + b_proj, **cell)
    scores = np.dot(states, W_vocab) + b_vocab
    rows, columns = numpy.arange(len(y))[:, None], numpy.arange(y.shape[1])
    return -np.sum(mask * _log_softmax(scores)[rows, columns, y]) / len(y)


# -- the comparison -----------------------------------------------------------------------


@cache
def _derived(name: str) -> tuple[LayerSpec, Graph, Derivation]:
    spec = load_path(PATHS[name])
    graph = graph_of(spec, lambda other: load_path(BUNDLED[other]) if other in BUNDLED else None)
    return spec, graph, derive(graph)


@cache
def _printed(name: str) -> tuple[tuple[AnyStatement, ...], dict[str, Tensor]]:
    return read_back(_derived(name)[2])


# Sizes that no shape reveals, by the spec that has them.
HIDDEN_SIZES = {"max_pool2d_reshape": "P", "multi_head_attention": "A"}


def _settings(spec: LayerSpec, sizes: dict[str, int]) -> dict[str, Any]:
    """The constants that the oracle takes, and the one size that no shape reveals."""
    given: dict[str, Any] = {k: float(v) for k, v in spec.constants.items()}
    hidden = HIDDEN_SIZES.get(spec.name)
    return given if hidden is None else given | {hidden: sizes[hidden]}


@pytest.mark.parametrize("number", [0, 1], ids=["sizes1", "sizes2"])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_values_and_gradients_are_those_of_autograd(name: str, number: int) -> None:
    spec, graph, derivation = _derived(name)
    rng = numpy.random.default_rng(11 + number)
    sets = size_sets(graph, spec.sizes)
    sizes = dict(sets[number % len(sets)])
    values = draw(spec, sizes, rng)
    setting = setting_for(graph, sizes, Double())
    known = run(derivation.graph.statements, values, setting)
    fixed = _settings(spec, sizes)
    wanted = [v.name for v in spec.variables if v.differentiable]
    others = {k: v for k, v in values.items() if k not in wanted}

    def results(chosen: dict[str, Any]) -> tuple[Any, ...]:
        result = ORACLES[name](**chosen, **others, **fixed)
        return result if isinstance(result, tuple) else (result,)

    chosen = {k: values[k] for k in wanted}
    expected = results(chosen)
    assert len(expected) == len(graph.outputs)
    weights: list[Any] = []
    for output, value in zip(graph.outputs, expected, strict=True):
        numpy.testing.assert_allclose(known[output], value, rtol=1e-9, atol=1e-10)
        weights.append(rng.standard_normal(numpy.shape(value)) if derivation.upstream else 1.0)

    def weighed(chosen: dict[str, Any]) -> Any:
        return sum(np.sum(v * w) for v, w in zip(results(chosen), weights, strict=True))

    upstream = {
        derivation.upstream[output][0]: weight
        for output, weight in zip(graph.outputs, weights, strict=True)
        if derivation.upstream
    }
    statements, gradients = _printed(name)
    backward = run(statements, {**known, **upstream}, setting)
    truth = autograd.grad(weighed)(chosen)
    for variable in wanted:
        found = backward[gradients[variable].name]
        assert numpy.shape(found) == values[variable].shape
        numpy.testing.assert_allclose(
            found, truth[variable], rtol=1e-7, atol=1e-9, err_msg=f"d{variable}"
        )


def test_every_spec_of_these_folders_has_an_oracle() -> None:
    assert sorted(PATHS) == sorted(ORACLES)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_a_spec_says_what_it_is_in_one_sentence(name: str) -> None:
    spec = load_path(PATHS[name])
    assert spec.name == name
    assert spec.about.endswith(".")
    assert "\n" not in spec.about
