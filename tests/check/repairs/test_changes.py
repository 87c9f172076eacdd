"""A mistake that one change of the code mends is told by that change, at its line.

One value at several places of an expression, a mask or a kernel that is turned around, the rest to
1, rows that are named twice, another order of steps or entries, a slope that is that of another
function.  Beside each stands a mistake that looks like it, and is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import Struct
from gradtool.report import library
from tests.lasting_worker import LastingWorker

CELL = """
import numpy as np

def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    pre = x @ Wx + prev_h @ Wh + b
    i, f, o, g = np.split(pre, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
    g = np.tanh(g)
    next_c = f * prev_c + i * g
    t = np.tanh(next_c)
    kept = dict(x=x, h=prev_h, c=prev_c, Wx=Wx, Wh=Wh, i=i, f=f, o=o, g=g, t=t)
    return o * t, next_c, kept

def lstm_step_backward(dnext_h, dnext_c, k):
    do = dnext_h * k["t"]
    dc = dnext_c + dnext_h * k["o"] * (1 - k["t"] ** 2)
    df, di, dg = dc * k["c"], dc * k["g"], dc * k["i"]
    dpre = np.hstack([
        di * k["i"] * (1 - k["i"]),
        df * k["f"] * (1 - k["f"]),
        do * k["o"] * (1 - k["o"]),
        dg * (1 - k["g"] ** 2),
    ])
    dWx, dWh, db = k["x"].T @ dpre, k["h"].T @ dpre, dpre.sum(0)
    return dpre @ k["Wx"].T, dpre @ k["Wh"].T, dc * k["f"], dWx, dWh, db
"""
SEQUENCE = """
import numpy as np

def rnn_forward(x, h0, Wx, Wh, b):
    states = [h0]
    for t in range(x.shape[1]):
        states.append(np.tanh(x[:, t] @ Wx + states[-1] @ Wh + b))
    return np.stack(states[1:], axis=1), (x, states, Wx, Wh)

def rnn_backward(dh, cache):
    x, states, Wx, Wh = cache
    dx, carry, dWx, dWh, db = np.zeros_like(x), 0, 0, 0, 0
    for t in reversed(range(x.shape[1])):
        after, before = states[t + 1], states[t]
        raw = (dh[:, t] + carry) * (1 - after * after)
        dx[:, t] = raw @ Wx.T
        dWx = dWx + x[:, t].T @ raw
        dWh = dWh + before.T @ raw
        db = db + raw.sum(0)
        carry = raw @ Wh.T
    return dx, carry, dWx, dWh, db
"""
GATES = """
import numpy as np

def sigmoid(v):
    return 1 / (1 + np.exp(-v))

def gru_step_forward(x, prev_h, Wz, Uz, bz, Wr, Ur, br, W, U, b):
    z = sigmoid(x @ Wz + prev_h @ Uz + bz)
    r = sigmoid(x @ Wr + prev_h @ Ur + br)
    hbar = np.tanh(x @ W + (r * prev_h) @ U + b)
    return hbar + z * (prev_h - hbar), (x, prev_h, z, r, hbar, Wz, Uz, Wr, Ur, W, U)

def gru_step_backward(dh, cache):
    x, prev_h, z, r, hbar, Wz, Uz, Wr, Ur, W, U = cache
    a_h = dh * (1 - z) * (1 - hbar ** 2)
    drh = a_h @ U.T
    a_z = dh * (prev_h - hbar) * z * (1 - z)
    a_r = drh * prev_h * r * (1 - r)
    dx = a_z @ Wz.T + a_r @ Wr.T + a_h @ W.T
    dprev_h = dh * z + drh * r + a_z @ Uz.T + a_r @ Ur.T
    dWz, dUz, dbz = x.T @ a_z, prev_h.T @ a_z, a_z.sum(0)
    dWr, dUr, dbr = x.T @ a_r, prev_h.T @ a_r, a_r.sum(0)
    dW, dU, db = x.T @ a_h, (r * prev_h).T @ a_h, a_h.sum(0)
    return dx, dprev_h, dWz, dUz, dbz, dWr, dUr, dbr, dW, dU, db
"""
MASKED = """
import numpy as np

def affine_relu_forward(x, w, b):
    lin = x @ w + b
    kept = {"x": x, "w": w, "off": lin <= 0}
    return np.where(kept["off"], 0.0, lin), kept

def affine_relu_backward(dout, kept):
    g = dout.copy()
    g[kept["off"]] = 0.0
    return {"dx": g @ kept["w"].T, "dw": kept["x"].T @ g, "db": g.sum(axis=0)}
"""
RELU = """
import numpy as np

def relu(Z):
    return np.maximum(0, Z), Z

def relu_backward(dA, Z):
    active = Z > 0
    dZ = np.array(dA, copy=True)
    dZ[~active] = 0
    return dZ
"""
POOL = """
import numpy as np

def max_pool_forward(x, size, stride):
    N, C, H, W = x.shape
    rows, cols = (H - size) // stride + 1, (W - size) // stride + 1
    out = np.zeros((N, C, rows, cols))
    won = np.zeros((N, C, rows, cols), dtype=int)
    for r in range(rows):
        for c in range(cols):
            top, left = r * stride, c * stride
            patch = x[:, :, top:top + size, left:left + size].reshape(N, C, -1)
            won[:, :, r, c] = patch.argmax(-1)
            out[:, :, r, c] = patch.max(-1)
    return out, (x.shape, won, size, stride)

def max_pool_backward(dout, cache):
    shape, won, size, stride = cache
    dx = np.zeros(shape)
    for (n, k, r, c), at in np.ndenumerate(won):
        p, q = divmod(at, size)
        dx[n, k, r * stride + p, c * stride + q] += dout[n, k, r, c]
    return dx
"""
WINDOWS = """
import numpy as np

def conv_forward(x, w, b, stride, pad):
    R, S = w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows = (xp.shape[2] - R) // stride + 1
    cols = (xp.shape[3] - S) // stride + 1
    out = np.zeros((x.shape[0], w.shape[0], rows, cols))
    for i in range(rows):
        for j in range(cols):
            window = xp[:, :, i * stride:i * stride + R, j * stride:j * stride + S]
            out[:, :, i, j] = np.einsum("nchw,kchw->nk", window, w) + b
    return out, (x, w, xp, stride, pad)

def conv_backward(dout, cache):
    x, w, xp, stride, pad = cache
    R, S = w.shape[2:]
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            across = slice(j * stride, j * stride + S)
            down = slice(i * stride, i * stride + R)
            g = dout[:, :, i, j]
            dw += np.einsum("nk,nchw->kchw", g, xp[:, :, down, across])
            dxp[:, :, down, across] += np.einsum("nk,kchw->nchw", g, w)
    H, W = x.shape[2:]
    return dxp[:, :, pad:pad + H, pad:pad + W], dw, dout.sum(axis=(0, 2, 3))
"""
WORDS = """
import numpy as np

class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, words):
        W, = self.params
        self.words = words
        return W[words]

    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        np.add.at(dW, self.words, dout)
        return None
"""
COLLECTED = """
import numpy as np
sig = lambda z: 1 / (1 + np.exp(-z))

def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h, c = h0, np.zeros_like(h0)
    hs, log = np.empty((N, T, H)), []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        i, f, o = sig(a[:, :H]), sig(a[:, H:2*H]), sig(a[:, 2*H:3*H])
        g = np.tanh(a[:, 3*H:])
        c_new = f * c + i * g
        log.append((x[:, t], h, c, i, f, o, g, np.tanh(c_new)))
        c = c_new
        h = o * np.tanh(c)
        hs[:, t] = h
    return hs, (log, Wx, Wh)

def lstm_backward(dhs, cache):
    log, Wx, Wh = cache
    N, T, H = dhs.shape
    dx, dWx, dWh, db = [], 0, 0, 0
    dh_next = dc_next = 0
    for t in reversed(range(T)):
        xt, h, c, i, f, o, g, tc = log.pop()
        dh = dhs[:, t] + dh_next
        dc = dc_next + dh * o * (1 - tc ** 2)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        da = np.concatenate((di, df, dh * tc * o * (1 - o), dc * i * (1 - g ** 2)), 1)
        dx.insert(0, da @ Wx.T)
        dWx = dWx + xt.T @ da
        dWh = dWh + h.T @ da
        db = db + da.sum(0)
        dh_next, dc_next = da @ Wh.T, dc * f
    return np.stack(dx, axis=1), dh_next, dWx, dWh, db
"""
SAMPLES = """
import numpy as np

def sigmoid(x): return 1 / (1 + np.exp(-x))

def neg_sampling_loss_and_gradient(v, o, k, U):
    uo, uk = U[o], U[k]
    po, pk = sigmoid(uo @ v), sigmoid(-(uk @ v))
    loss = -np.log(po) - np.log(pk).sum()
    dv = (po - 1) * uo + (1 - pk) @ uk
    dU = np.zeros_like(U)
    dU[o] = (po - 1) * v
    np.add.at(dU, k, np.outer(1 - pk, v))
    return loss, dv, dU
"""
FOCAL = """
import numpy as np

def focal_loss(z, t, gamma=2.0):
    p = 1 / (1 + np.exp(-t * z))
    q = 1 - p
    loss = np.mean(-q ** gamma * np.log(p))
    # d/dp then the chain
    dp = gamma * q ** (gamma - 1) * np.log(p) - q ** gamma / p
    dz = dp * p * q * t / len(z)
    return loss, dz
"""
COLUMNS = """
import numpy as np

class Conv:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def _idx(self, shape):
        N, C, H, Wd = shape
        _, _, R, S = self.W.shape
        oh = (H + 2 * self.pad - R) // self.stride + 1
        ow = (Wd + 2 * self.pad - S) // self.stride + 1
        i = np.repeat(np.arange(R), S)[:, None] + self.stride * np.repeat(np.arange(oh), ow)[None]
        j = np.tile(np.arange(S), R)[:, None] + self.stride * np.tile(np.arange(ow), oh)[None]
        return i, j, oh, ow

    def forward(self, x):
        self.x_shape = x.shape
        N, C, H, Wd = x.shape
        i, j, oh, ow = self._idx(x.shape)
        p = self.pad
        xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.col = xp[:, :, i, j].reshape(N, -1, oh * ow)
        K = self.W.shape[0]
        out = np.einsum("kp,npl->nkl", self.W.reshape(K, -1), self.col) + self.b[:, None]
        return out.reshape(N, K, oh, ow)

    def backward(self, dout):
        N, C, H, Wd = self.x_shape
        K, _, R, S = self.W.shape
        d = dout.reshape(N, K, -1)
        self.db = d.sum((0, 2))
        self.dW = np.einsum("nkl,npl->kp", d, self.col).reshape(self.W.shape)
        dcol = np.einsum("kp,nkl->npl", self.W.reshape(K, -1), d)
        i, j, oh, ow = self._idx(self.x_shape)
        p = self.pad
        dxp = np.zeros((N, C, H + 2 * p, Wd + 2 * p))
        np.add.at(dxp, (slice(None), slice(None), i, j), dcol.reshape(N, C, R * S, oh * ow))
        return dxp[:, :, p:H + p, p:Wd + p]
"""
GATED = """
import numpy as np

def swiglu_forward(X, W, V, W2):
    z, u = X @ W, X @ V
    s = 1 / (1 + np.exp(-z))
    a = z * s
    return (a * u) @ W2, (X, W, V, W2, z, u, s, a)

def swiglu_backward(dY, cache):
    X, W, V, W2, z, u, s, a = cache
    dm = dY @ W2.T
    dW2 = (a * u).T @ dY
    du = dm * a
    dz = dm * u * (s + a * (1 - s))
    return dz @ W.T + du @ V.T, X.T @ dz, X.T @ du, dW2
"""
WEIGHTED = """
import numpy as np

def weighted_ce(S, y, w):
    n = len(y)
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    v = w[y]
    loss = -np.sum(v * np.log(P[np.arange(n), y])) / v.sum()
    G = P.copy()
    G[np.arange(n), y] -= 1
    return loss, G * v[:, None] / v.sum()
"""
ERRORS = """
import numpy as np

class MAELoss:
    def forward(self, y_pred, y_true):
        self.e = y_pred - y_true
        return np.abs(self.e).mean()

    def backward(self):
        return np.where(self.e > 0, 1.0, -1.0) / self.e.size
"""
DENSITY = """
import math
import numpy as np

_erf = np.vectorize(math.erf)

def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))

def gelu_grad(x, dy):
    cdf = 0.5 * (1 + _erf(x / math.sqrt(2)))
    pdf = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * (cdf + x * pdf)
"""
SAMPLES_IN_COLUMNS = """
import numpy as np

def linear_forward(A, W, b):
    Z = W.dot(A) + b
    return Z, (A, W, b)

def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = 1 / m * np.dot(dZ, A_prev.T)
    db = 1 / m * np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db
"""
NORM = """
import numpy as np

class LayerNorm:
    def __init__(self, d, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(d), np.zeros(d), eps
        self.grads = dict.fromkeys(("gamma", "beta"))
    def __call__(self, x):
        c = x - x.mean(-1, keepdims=True)
        self.inv = (np.square(c).mean(-1, keepdims=True) + self.eps) ** -0.5
        self.h = c * self.inv
        return self.h * self.gamma + self.beta
    def backward(self, dy):
        self.grads.update(gamma=np.einsum("nd,nd->d", dy, self.h), beta=np.einsum("nd->d", dy))
        g = dy * self.gamma
        g = g - g.mean(-1, keepdims=True) - self.h * (g * self.h).mean(-1, keepdims=True)
        return g * self.inv
"""
FILES = {
    "cell": ("lstm_cell", CELL),
    "sequence": ("rnn", SEQUENCE),
    "gates": ("gru_cell", GATES),
    "masked": ("affine_relu", MASKED),
    "relu": ("relu", RELU),
    "pool": ("max_pool2d", POOL),
    "windows": ("conv2d", WINDOWS),
    "words": ("word_embedding", WORDS),
    "collected": ("lstm", COLLECTED),
    "samples": ("skipgram_negative", SAMPLES),
    "focal": ("focal", FOCAL),
    "columns": ("conv2d", COLUMNS),
    "gated": ("swiglu", GATED),
    "errors": ("mae", ERRORS),
    "norm": ("layer_norm", NORM),
    "density": ("gelu", DENSITY),
    "course": ("affine_column", SAMPLES_IN_COLUMNS),
    "weighted": ("weighted_cross_entropy", WEIGHTED),
}


class Change(Struct, frozen=True):
    """`codes` are right of a file with `wrong` in place of `right`, and the line has `wrong`."""

    file: str
    right: str
    wrong: str
    codes: tuple[str, ...]


CHANGES = [
    # Another gate's slope, and one that is not the same at both places.
    Change("cell", 'k["f"] * (1 - k["f"])', 'k["i"] * (1 - k["i"])', ("wrong-tensor",)),
    Change("cell", 'k["f"] * (1 - k["f"])', 'k["i"] * (1 - k["f"])', ("wrong-tensor",)),
    Change("cell", 'k["i"] * (1 - k["i"])', '(1 - k["i"] ** 2)', ("wrong-function",)),
    # What is read out of a dictionary is missing as a factor.
    Change("cell", 'dnext_h * k["o"] * (1', "dnext_h * (1", ("missing-factor",)),
    Change("cell", '(1 - k["t"] ** 2)', '(1 - k["t"])', ("power",)),
    Change("sequence", "after * after", "before * before", ("wrong-tensor",)),
    Change("sequence", "after * after", "after", ("power",)),
    # z where 1 - z belongs, and the other way.
    Change("gates", "dh * (1 - z) *", "dh * z *", ("missing-term",)),
    Change("gates", "dh * z + drh", "dh * (1 - z) + drh", ("extra-term", "constant", "sign")),
    Change("gates", "drh * r +", "drh +", ("missing-factor",)),
    Change("masked", 'g[kept["off"]]', 'g[~kept["off"]]', ("mask",)),
    Change("masked", 'kept["x"].T @ g', 'kept["x"].T @ dout', ("wrong-gradient",)),
    Change("relu", "dZ[~active] = 0", "dZ[active] = 0", ("mask",)),
    Change("relu", "dZ[~active] = 0", "dZ[~active] = 0; dZ[active] = 1", ("upstream-ignored",)),
    Change("relu", "dZ[~active] = 0", "dZ[dZ <= 0] = 0", ("wrong-tensor", "wrong-gradient")),
    # A stride that is forgotten along both axes, along one, and a place that is off.
    Change("pool", "r * stride + p, c * stride + q", "r + p, c + q", ("stride-ignored",)),
    Change("pool", "c * stride + q", "c + q", ("stride-ignored",)),
    Change("pool", "p, q = divmod", "q, p = divmod", ("offset", "wrong-tensor")),
    Change("windows", "slice(j * stride, j * stride + S)", "slice(j, j + S)", ("stride-ignored",)),
    Change("windows", "kchw->nchw\", g, w)", "kchw->nchw\", g, w[:, :, ::-1, ::-1])",
           ("kernel-rotated",)),
    Change("windows", "kchw->nchw\", g, w)", "kchw->nchw\", g, np.flip(w, (2, 3)))",
           ("kernel-rotated",)),
    Change("words", "np.add.at(dW, self.words, dout)", "dW[self.words] = dout", ("overwritten",)),
    Change("words", "np.add.at(dW, self.words, dout)", "dW[self.words] += dout", ("overwritten",)),
    Change("words", "np.add.at(dW, self.words, dout)", "np.add.at(dW, self.words, 2 * dout)",
           ("scale",)),
    Change("collected", "dx.insert(0, da @ Wx.T)", "dx.append(da @ Wx.T)", ("step-order",)),
    Change("collected", "dx.insert(0, da @ Wx.T)", "dx.insert(0, da @ Wx.T * 2)", ("scale",)),
    Change("samples", "np.outer(1 - pk, v)", "np.outer(pk, v)", ("missing-term",)),
    Change("samples", "np.outer(1 - pk, v)", "np.outer(pk - 1, v)", ("sign",)),
    Change("focal", "q ** (gamma - 1) * np.log(p)", "q ** gamma * np.log(p)", ("power",)),
    Change("focal", "q ** (gamma - 1) * np.log(p)", "q ** (gamma - 1) * p", ("wrong-function",)),
    Change("columns", "np.add.at(dxp, (slice(None), slice(None), i, j), "
           "dcol.reshape(N, C, R * S, oh * ow))",
           "dxp[:, :, i, j] += dcol.reshape(N, C, R * S, oh * ow)", ("overwritten",)),
    Change("columns", "d, self.col).reshape(self.W.shape)",
           "d, self.col).reshape(self.W.shape, order='F')", ("transposed",)),
    Change("columns", "d = dout.reshape(N, K, -1)", "d = dout.reshape(K, N, -1).swapaxes(0, 1)",
           ("transposed",)),
    Change("gated", "(s + a * (1 - s))", "s * (1 - s)", ("wrong-function",)),
    Change("gated", "(s + a * (1 - s))", "(s + z * (1 - s))", ("wrong-tensor",)),
    Change("weighted", "G * v[:, None] /", "G * v /", ("wrong-axis",)),
    Change("weighted", "G * v[:, None] /", "G * w /", ("wrong-tensor",)),
    Change("weighted", "G * v[:, None] /", "G /", ("missing-factor",)),
    Change("errors", "np.where(self.e > 0, 1.0, -1.0) / ", "2 * self.e / ", ("wrong-function",)),
    Change("errors", "np.where(self.e > 0, 1.0, -1.0)", "np.abs(self.e)", ("wrong-function",)),
    Change("density", "math.sqrt(2 * math.pi)", "math.sqrt(math.pi)", ("missing-factor", "scale")),
    Change("density", "np.exp(-x * x / 2)", "np.exp(-x * x)", ("scale", "missing-factor")),
    Change("norm", 'gamma=np.einsum("nd,nd->d", dy, self.h), beta=np.einsum("nd->d", dy)',
           'beta=np.einsum("nd,nd->d", dy, self.h), gamma=np.einsum("nd->d", dy)', ("order",)),
    Change("norm", 'np.einsum("nd,nd->d", dy, self.h)', 'np.einsum("nd->d", dy)',
           ("missing-factor", "wrong-gradient")),
]  # fmt: skip


@cache
def reference(file: str) -> DerivedReference:
    known = library.load(FILES[file][0])
    return reference_for(known, library.finder(known))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingWorker]:
    with LastingWorker(tmp_path_factory.mktemp("everywhere")) as made:
        yield made


@pytest.mark.parametrize("file", FILES)
def test_the_right_code_passes(file: str, worker: LastingWorker) -> None:
    verdict = worker.check(reference(file), FILES[file][1], file)
    assert (verdict.verdict, verdict.trouble) == ("pass", None)


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: f"{c.file}: {c.wrong}")
def test_the_mistake_and_its_line_are_told(change: Change, worker: LastingWorker) -> None:
    text = FILES[change.file][1]
    assert text.count(change.right) == 1
    found = worker.check(
        reference(change.file), text.replace(change.right, change.wrong), change.file
    )
    wrong = [g for g in found.gradients if g.standing == "wrong"]
    assert wrong
    for gradient in wrong:
        assert gradient.cause is not None
        assert gradient.cause.code in change.codes, gradient.cause
        assert change.wrong in gradient.source, (gradient.source, gradient.cause)


def test_a_mistake_beside_a_factor_that_another_gradient_has_is_told(worker: LastingWorker) -> None:
    """Who divides the weights' gradient by the number of samples divides that of the bias, too."""
    wrong = "np.sum(dZ, axis=0, keepdims=True)"
    text = SAMPLES_IN_COLUMNS.replace("np.sum(dZ, axis=1, keepdims=True)", wrong)
    found = worker.check(reference("course"), text, "course")
    told = {g.name: g for g in found.gradients if g.standing == "wrong"}
    weights, bias = told["W"].cause, told["b"].cause
    assert weights is not None
    assert bias is not None
    assert (weights.code, bias.code) == ("mean-for-sum", "wrong-axis")
    assert "two mistakes" in bias.message
    assert "1/N times" in bias.message
    assert bias.proof.endswith("it is right but for 1/N")
    assert "np.dot(dZ" in told["W"].source
    assert wrong in told["b"].source


def test_without_such_a_factor_one_mistake_is_told(worker: LastingWorker) -> None:
    text = SAMPLES_IN_COLUMNS.replace("1 / m * ", "").replace("axis=1, keep", "axis=0, keep")
    found = worker.check(reference("course"), text, "course")
    (told,) = [g for g in found.gradients if g.standing == "wrong"]
    assert told.cause is not None
    assert told.cause.code == "wrong-axis"
    assert "two mistakes" not in told.cause.message
