"""How classes of frameworks at home are made: as in PyTorch, with flags, pairs and dictionaries.

Each stands for a way that many people write; a right one passes with every gradient compared, a
wrong one fails in the gradient that is wrong.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gradtool.report.check_command import Request, run

HEAD = "import numpy as np\n"
FLAG = """
class Linear:
    def __init__(self, in_features, out_features, bias=True):
        self.bias = bias
        self.W = np.random.randn(in_features, out_features)
        self.b = np.zeros(out_features)
    def forward(self, x):
        self.x = x
        out = x @ self.W
        return out + self.b if self.bias else out
    def backward(self, dout):
        self.dW = self.x.T @ dout
        if self.bias:
            self.db = dout.sum(axis=0)
        return dout @ self.W.T
"""
STATE = """
class Linear:
    def __init__(self, in_features, out_features, bias=True):
        self.params = {"in_features": in_features, "out_features": out_features, "bias": bias}
        self.state = self.drawn()
        self.cache = {}
    def drawn(self):
        weight = np.random.randn(self.params["out_features"], self.params["in_features"])
        if self.params["bias"]:
            return {"weight": weight, "bias": np.zeros(self.params["out_features"])}
        return {"weight": weight}
    def forward(self, x):
        self.cache["x"] = x
        out = x @ self.state["weight"].T
        return out + self.state["bias"] if self.params["bias"] else out
    def backward(self, dout):
        self.grads = {"weight": dout.T @ self.cache["x"]}
        if self.params["bias"]:
            self.grads["bias"] = dout.sum(axis=0)
        return dout @ self.state["weight"]
"""
NORM = """
class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5, affine=True):
        self.weight, self.bias = np.ones(num_features), np.zeros(num_features)
        self.eps = eps
    def forward(self, x):
        self.std = np.sqrt(x.var(axis=0) + self.eps)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.weight * self.xhat + self.bias
    def backward(self, dout):
        self.dweight, self.dbias = (dout * self.xhat).sum(axis=0), dout.sum(axis=0)
        inner = dout - dout.mean(axis=0) - self.xhat * (dout * self.xhat).mean(axis=0)
        return self.weight * inner / self.std
"""
ABSENT = """
from framework_of_ours.base import Layer
class Linear(Layer):
    def __init__(self, n_inputs, n_neurons):
        super().__init__("linear", True)
        self.weights = np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))
    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.weights + self.biases
    def backward(self, dvalues):
        self.dweights = self.inputs.T @ dvalues
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        return dvalues @ self.weights.T
"""
PAIRS = """
class MaxPool2D:
    def __init__(self, filter_dim, stride=(1, 1)):
        self.filter_dim, self.stride = filter_dim, stride
    def windows(self, shape):
        (h, w), (s, t) = self.filter_dim, self.stride
        for i in range((shape[2] - h) // s + 1):
            for j in range((shape[3] - w) // t + 1):
                yield i, j, slice(s * i, s * i + self.filter_dim[0]), slice(t * j, t * j + w)
    def forward(self, x):
        self.x = x
        h, w = self.filter_dim
        s, t = self.stride
        out = np.zeros((*x.shape[:2], (x.shape[2] - h) // s + 1, (x.shape[3] - w) // t + 1))
        for i, j, rows, columns in self.windows(x.shape):
            out[:, :, i, j] = x[:, :, rows, columns].max(axis=(2, 3))
        return out
    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for i, j, rows, columns in self.windows(self.x.shape):
            part = self.x[:, :, rows, columns]
            largest = part == part.max(axis=(2, 3), keepdims=True)
            dx[:, :, rows, columns] += largest * dout[:, :, i, j, None, None]
        return dx
"""
FILTERS = """
class Conv2D:
    def __init__(self, F):
        self.F = F
    def forward(self, x):
        self.x = x
        K, _, R, S = self.F.shape
        out = np.zeros((len(x), K, x.shape[2] - R + 1, x.shape[3] - S + 1))
        for r in range(R):
            for s in range(S):
                part = x[:, :, r:r + out.shape[2], s:s + out.shape[3]]
                out += np.einsum("nchw,kc->nkhw", part, self.F[:, :, r, s])
        return out
    def backward(self, dout):
        K, _, R, S = self.F.shape
        dx, self.dF = np.zeros_like(self.x), np.zeros_like(self.F)
        for r in range(R):
            for s in range(S):
                rows, columns = slice(r, r + dout.shape[2]), slice(s, s + dout.shape[3])
                self.dF[:, :, r, s] = np.einsum("nkhw,nchw->kc", dout, self.x[:, :, rows, columns])
                dx[:, :, rows, columns] += np.einsum("nkhw,kc->nchw", dout, self.F[:, :, r, s])
        return dx
"""
BY_NAME = """
def elu_forward(Z, *, alpha=0.3):
    return np.where(Z > 0, Z, alpha * (np.exp(Z) - 1)), (Z, alpha)
def elu_backward(dA, cache):
    Z, alpha = cache
    return dA * np.where(Z > 0, 1, alpha * np.exp(Z))
"""
OWED = """
class Linear:
    def __init__(self, *, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, *, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T
"""
FIELDS = """
import dataclasses
from typing import ClassVar
@dataclasses.dataclass(eq=False)
class Linear:
    kind: ClassVar[str] = "dense"
    W: np.ndarray
    b: np.ndarray
    x: np.ndarray = dataclasses.field(init=False, repr=False)
    grads: dict = dataclasses.field(default_factory=dict)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.grads["W"], self.grads["b"] = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T
"""
DEFAULTS = """
from dataclasses import dataclass
@dataclass
class BatchNorm:
    gamma: np.ndarray
    beta: np.ndarray
    eps: float = 1e-5
    dgamma: np.ndarray = None
    dbeta: np.ndarray = None
    def forward(self, x):
        self.std = np.sqrt(x.var(axis=0) + self.eps)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.gamma * self.xhat + self.beta
    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.xhat).sum(axis=0), dout.sum(axis=0)
        inner = dout - dout.mean(axis=0) - self.xhat * (dout * self.xhat).mean(axis=0)
        return self.gamma * inner / self.std
"""
LISTS = """
class Embedding:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]
    def forward(self, idx):
        self.idx = idx
        return self.params[0][idx]
    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None
"""
SCALE = """
class RMSNorm:
    def __init__(self, dim, eps=1e-5):
        self.eps, self.weight = eps, np.ones(dim)
    def __call__(self, x):
        self.rms = np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.eps)
        self.n = x / self.rms
        return self.weight * self.n
    def backward(self, g):
        self.grad_weight = (g * self.n).sum(axis=0)
        g = g * self.weight
        return (g - self.n * (g * self.n).mean(axis=-1, keepdims=True)) / self.rms
"""
KERNEL = """
class AvgPool:
    def __init__(self, kernel, stride):
        self.k, self.s = kernel, stride
    def windows(self, shape):
        for i in range((shape[2] - self.k) // self.s + 1):
            for j in range((shape[3] - self.k) // self.s + 1):
                y, x = self.s * i, self.s * j
                yield i, j, slice(y, y + self.k), slice(x, x + self.k)
    def forward(self, x):
        self.shape = x.shape
        rows, columns = ((n - self.k) // self.s + 1 for n in x.shape[2:])
        out = np.zeros((*x.shape[:2], rows, columns))
        for i, j, down, right in self.windows(x.shape):
            out[..., i, j] = x[..., down, right].mean(axis=(-1, -2))
        return out
    def backward(self, dout):
        dx = np.zeros(self.shape)
        for i, j, down, right in self.windows(self.shape):
            dx[..., down, right] += dout[..., i, j, None, None] / self.k**2
        return dx
"""
CHANNELS = """
class Conv2D:
    def __init__(self, in_channel, out_channel, kernel_size):
        self.W = np.random.randn(out_channel, in_channel, kernel_size, kernel_size)
    def windows(self):
        rows, columns = (n - k + 1 for n, k in zip(self.A.shape[2:], self.W.shape[2:]))
        for r in range(self.W.shape[2]):
            for s in range(self.W.shape[3]):
                yield r, s, slice(r, r + rows), slice(s, s + columns)
    def forward(self, A):
        self.A = A
        return sum(np.einsum("nchw,kc->nkhw", A[:, :, y, x], self.W[:, :, r, s])
                   for r, s, y, x in self.windows())
    def backward(self, dLdZ):
        dLdA, self.dLdW = np.zeros_like(self.A), np.zeros_like(self.W)
        for r, s, y, x in self.windows():
            self.dLdW[:, :, r, s] = np.einsum("nkhw,nchw->kc", dLdZ, self.A[:, :, y, x])
            dLdA[:, :, y, x] += np.einsum("nkhw,kc->nchw", dLdZ, self.W[:, :, r, s])
        return dLdA
"""
HEADS = """
class MultiHeadAttention:
    def __init__(self, embed_dim, num_heads):
        self.h, self.d = num_heads, embed_dim // num_heads
        self.Wq, self.Wk, self.Wv, self.Wo = np.random.randn(4, embed_dim, embed_dim)
        self.bo = np.zeros(embed_dim)
    def split(self, x):
        return x.reshape(*x.shape[:2], self.h, self.d).transpose(0, 2, 1, 3)
    def merge(self, x):
        return x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)
    def forward(self, x):
        self.x = x
        self.q, self.k, self.v = (self.split(x @ W) for W in (self.Wq, self.Wk, self.Wv))
        e = np.exp(self.q @ self.k.swapaxes(2, 3) / np.sqrt(self.d))
        self.p = e / e.sum(axis=-1, keepdims=True)
        self.o = self.merge(self.p @ self.v)
        return self.o @ self.Wo + self.bo
    def backward(self, dout):
        self.dWo, self.dbo = np.einsum("nti,ntj->ij", self.o, dout), dout.sum(axis=(0, 1))
        do = self.split(dout @ self.Wo.T)
        dp = do @ self.v.swapaxes(2, 3)
        ds = self.p * (dp - (dp * self.p).sum(axis=-1, keepdims=True)) / np.sqrt(self.d)
        dq, dk = self.merge(ds @ self.k), self.merge(ds.swapaxes(2, 3) @ self.q)
        dv = self.merge(self.p.swapaxes(2, 3) @ do)
        self.dWq, self.dWk, self.dWv = (
            np.einsum("nti,ntj->ij", self.x, d) for d in (dq, dk, dv)
        )
        return dq @ self.Wq.T + dk @ self.Wk.T + dv @ self.Wv.T
"""
GROUPS = """
class GroupNorm:
    def __init__(self, num_groups, gamma, beta, eps=1e-5):
        self.params = [gamma, beta]
        self.grads = [np.zeros_like(gamma), np.zeros_like(beta)]
        self.groups, self.eps = num_groups, eps
    def forward(self, x):
        g = x.reshape(len(x), self.groups, -1)
        self.std = np.sqrt(g.var(axis=2, keepdims=True) + self.eps)
        self.xhat = ((g - g.mean(axis=2, keepdims=True)) / self.std).reshape(x.shape)
        gamma, beta = self.params
        return gamma[:, None, None] * self.xhat + beta[:, None, None]
    def backward(self, dout):
        self.grads[0][...] = (dout * self.xhat).sum(axis=(0, 2, 3))
        self.grads[1][...] = dout.sum(axis=(0, 2, 3))
        d = (dout * self.params[0][:, None, None]).reshape(len(dout), self.groups, -1)
        n = self.xhat.reshape(d.shape)
        d = d - d.mean(axis=2, keepdims=True) - n * (d * n).mean(axis=2, keepdims=True)
        return (d / self.std).reshape(dout.shape)
"""
CONTEXT = """
class Function:
    pass
class LogSoftmax(Function):
    @staticmethod
    def forward(ctx, inp):
        largest = inp.max(axis=1, keepdims=True)
        output = inp - largest
        output = output - np.log(np.exp(output).sum(axis=1, keepdims=True))
        ctx.save_for_backward(output)
        return output
    @staticmethod
    def backward(ctx, grad_output):
        output, = ctx.saved_tensors
        return grad_output - np.exp(output) * grad_output.sum(axis=1, keepdims=True)
"""
RATE = """
class Dense:
    def __init__(self, W, b, learning_rate=0.1):
        self.W, self.b, self.lr = W, b, learning_rate
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, grad_output):
        grad_input = grad_output @ self.W.T
        self.W = self.W - self.lr * self.x.T @ grad_output
        self.b = self.b - self.lr * grad_output.sum(axis=0)
        return grad_input
"""
STATES = """
class Recurrent:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
    def forward(self, x, h0):
        self.x, self.states = x, [h0]
        for t in range(x.shape[1]):
            z = x[:, t] @ self.Wx + self.states[-1] @ self.Wh + self.b
            self.states.append(np.tanh(z))
        return np.stack(self.states[1:], axis=1)
    def backward(self, dout):
        self.dWx, self.dWh = np.zeros_like(self.Wx), np.zeros_like(self.Wh)
        self.db, dx = np.zeros_like(self.b), np.zeros_like(self.x)
        carried = np.zeros_like(self.states[0])
        for t in range(self.x.shape[1] - 1, -1, -1):
            dz = (dout[:, t] + carried) * (1 - self.states[t + 1] ** 2)
            self.dWx += self.x[:, t].T @ dz
            self.dWh += self.states[t].T @ dz
            self.db += dz.sum(axis=0)
            dx[:, t] = dz @ self.Wx.T
            carried = dz @ self.Wh.T
        return dx, carried
"""
TURNED = """
def batchnorm_forward(x, gamma, beta, eps):
    std = np.sqrt(x.var(axis=0) + eps)
    xhat = (x - x.mean(axis=0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)
def batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    dxhat = dout * gamma
    centred = dxhat - dxhat.mean(axis=0)
    dx = (centred - xhat * (dxhat * xhat).mean(axis=0)) / std
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)
def spatial_batchnorm_forward(x, gamma, beta, eps):
    rows = x.transpose(0, 2, 3, 1)
    out, cache = batchnorm_forward(rows.reshape(-1, len(gamma)), gamma, beta, eps)
    return out.reshape(rows.shape).transpose(0, 3, 1, 2), cache
def spatial_batchnorm_backward(dout, cache):
    rows = dout.transpose(0, 2, 3, 1)
    dx, dgamma, dbeta = batchnorm_backward(rows.reshape(-1, dout.shape[1]), cache)
    return dx.reshape(rows.shape).transpose(0, 3, 1, 2), dgamma, dbeta
"""
CELL = """
class LSTMCell:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
    def forward(self, x, prev_h, prev_c):
        a = x @ self.Wx + prev_h @ self.Wh + self.b
        i, f, o, g = np.split(a, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        g = np.tanh(g)
        c = f * prev_c + i * g
        self.kept = x, prev_h, prev_c, i, f, o, g, np.tanh(c)
        return o * np.tanh(c), c
    def backward(self, dnext_h, dnext_c):
        x, prev_h, prev_c, i, f, o, g, t = self.kept
        dc = dnext_c + dnext_h * o * (1 - t ** 2)
        gates = [dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dnext_h * t * o * (1 - o)]
        da = np.concatenate([*gates, dc * i * (1 - g ** 2)], axis=1)
        self.dWx, self.dWh, self.db = x.T @ da, prev_h.T @ da, da.sum(axis=0)
        return da @ self.Wx.T, da @ self.Wh.T, dc * f
"""
BEFORE = """
def rnn_cell_forward(xt, a_prev, Wx, Wh, b):
    a_next = np.tanh(xt @ Wx + a_prev @ Wh + b)
    return a_next, (a_next, a_prev, xt, Wx, Wh)
def rnn_cell_backward(da_next, cache):
    a_next, a_prev, xt, Wx, Wh = cache
    dz = da_next * (1 - a_next ** 2)
    return dz @ Wx.T, dz @ Wh.T, xt.T @ dz, a_prev.T @ dz, dz.sum(axis=0)
"""
TIME = """
class TimeRNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
    def forward(self, xs, h0):
        Wx, Wh, b = self.params
        self.kept, hs, h = [], [], h0
        for x in xs.transpose(1, 0, 2):
            h_next = np.tanh(x @ Wx + h @ Wh + b)
            self.kept.append((x, h, h_next))
            hs.append(h_next)
            h = h_next
        return np.stack(hs, axis=1)
    def backward(self, dhs):
        Wx, Wh, b = self.params
        for grad in self.grads:
            grad[...] = 0
        dh, dxs = 0, np.empty((*dhs.shape[:2], len(Wx)))
        for t in reversed(range(dhs.shape[1])):
            x, h, h_next = self.kept[t]
            da = (dhs[:, t] + dh) * (1 - h_next ** 2)
            for grad, part in zip(self.grads, (x.T @ da, h.T @ da, da.sum(axis=0))):
                grad += part
            dxs[:, t] = da @ Wx.T
            dh = da @ Wh.T
        self.dh = dh
        return dxs
"""
SUM = "dout.sum(axis=0)"
IDIOMS = {
    "gradients in a list, and that of the first state as dh": (
        *(TIME, "rnn", "TimeRNN(Wx=Wx, Wh=Wh, b=b)", 5),
        *("self.dh = dh", "self.dh = -dh", "dh0"),
    ),
    "a cell with two outputs and an upstream gradient for each": (
        *(CELL, "lstm_cell", "layer.backward(dnext_h, dnext_c)", 6),
        *("da @ self.Wh.T, dc * f", "da @ self.Wh.T, dc * f * f", "dprev_c"),
    ),
    "a state that is called a_prev": (
        *(BEFORE, "rnn_cell", "rnn_cell_forward(x, prev_h, Wx, Wh, b)", 5),
        *("xt.T @ dz", "xt.T @ dz * 2", "dWx"),
    ),
    "a state that is returned under a name of its own": (
        *(STATES, "rnn", "Recurrent(Wx=Wx, Wh=Wh, b=b)", 5),
        *("return dx, carried", "return dx, carried * 2", "dh0"),
    ),
    "the words of a layer's name in another order": (
        *(TURNED, "batch_norm_spatial", "spatial_batchnorm_backward(dY, cache)", 3),
        *("dx.reshape(rows.shape)", "2 * dx.reshape(rows.shape)", "dX"),
    ),
    "lists of parameters and gradients, and nothing returned": (
        *(LISTS, "word_embedding", "dW = layer.grads[0]", 1),
        *("np.add.at(dW, self.idx, dout)", "dW[self.idx] += dout", "dW"),
    ),
    "a scale that is called weight": (
        *(SCALE, "rms_norm", "layer.weight = gamma", 2),
        *(".mean(axis=-1, keepdims=True)) / self.rms", ".mean(axis=0)) / self.rms", "dX"),
    ),
    "a window that is called kernel": (
        *(KERNEL, "avg_pool2d", "AvgPool(kernel=size, stride=stride)", 1),
        *("/ self.k**2", "/ self.k", "dX"),
    ),
    "one channel in the name of many": (
        *(CHANNELS, "conv2d_valid", "in_channel=C, out_channel=K, kernel_size=R", 2),
        *("dLdA[:, :, y, x] +=", "dLdA[:, :, y, x] =", "dX"),
    ),
    "a number of groups": (
        *(GROUPS, "group_norm", "GroupNorm(num_groups=G,", 3),
        *("- n * (d", "+ n * (d", "dX"),
    ),
    "a context to keep values in": (
        *(CONTEXT, "log_softmax", "layer.forward(context, Z)", 1),
        *("np.exp(output) * grad_output", "output * grad_output", "dZ"),
    ),
    "a learning rate that the object has": (
        *(RATE, "affine", "Dense(W=W, b=b, learning_rate=1.0)", 3),
        *("self.lr * grad_output.sum(axis=0)", "self.lr * grad_output.mean(axis=0)", "db"),
    ),
    "fields of a dataclass": (FIELDS, "affine", "Linear(W=W", 3, SUM, "dout.mean(axis=0)", "db"),
    "fields with defaults": (
        *(DEFAULTS, "batch_norm", "BatchNorm(gamma=gamma", 3),
        *("- dout.mean(axis=0)", "+ dout.mean(axis=0)", "dX"),
    ),
    "a flag for the bias": (FLAG, "affine", "bias=True", 3, SUM, "dout.mean(axis=0)", "db"),
    "a dictionary that a method makes": (
        *(STATE, "affine", 'layer.state["bias"] = b', 3),
        *(SUM, "dout.max(axis=0)", "db"),
    ),
    "weight and bias of a normalization": (
        *(NORM, "batch_norm", "layer.weight = gamma", 3),
        *("- dout.mean(axis=0)", "+ dout.mean(axis=0)", "dX"),
    ),
    "a base class that is not there": (
        *(ABSENT, "affine", "layer.weights = W", 3),
        *("self.inputs.T @ dvalues", "self.inputs.T @ dvalues / 2", "dW"),
    ),
    "two numbers for a window": (
        *(PAIRS, "max_pool2d", "filter_dim=(size, size), stride=(stride, stride)", 1),
        *("+= largest", "= largest", "dX"),
    ),
    "a constant that is given by name": (
        *(BY_NAME, "elu", "elu_forward(Z, alpha=alpha)", 1),
        *("Z, alpha = cache", "Z, alpha = cache[0], 0.3", "dZ"),
    ),
    "parameters that are given by name": (
        *(OWED, "affine", "Linear(W=W, b=b)", 3),
        *("self.x.T @ dout", "self.x.T @ dout * 2", "dW"),
    ),
    "a parameter of just that name": (
        *(FILTERS, "conv2d_valid", "layer = Conv2D(F=F)", 2),
        *('+= np.einsum("nkhw', '-= np.einsum("nkhw', "dX"),
    ),
}


def reported(folder: Path, text: str, spec: str | None) -> tuple[int, str]:
    file, out = folder / "layers.py", io.StringIO()
    file.write_text(HEAD + text)
    return run(Request(file, (spec,) if spec else ()), out), out.getvalue()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("idiom", IDIOMS)
def test_right_code_passes_in_every_gradient(tmp_path: Path, idiom: str, named: bool) -> None:
    text, layer, said, count, *_ = IDIOMS[idiom]
    code, told = reported(tmp_path, text, layer if named else None)
    assert code == 0, told
    assert f"spec {layer}" in told
    assert said in told
    assert ("the gradient is" if count == 1 else f"all {count} gradients are") + " right" in told


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("idiom", IDIOMS)
def test_wrong_code_fails_in_the_wrong_gradient(tmp_path: Path, idiom: str, named: bool) -> None:
    text, layer, _, _, right, wrong, gradient = IDIOMS[idiom]
    assert right in text
    code, told = reported(tmp_path, text.replace(right, wrong), layer if named else None)
    assert code == 1, told
    standing = {line.split()[0]: line for line in told.splitlines() if line.startswith("  d")}
    assert [name for name, line in standing.items() if "wrong" in line.split()] == [gradient]


@pytest.mark.parametrize("scale", ["self.d", "self.x.shape[2]"])
def test_the_number_of_heads_is_the_factor_with_which_the_forward_is_right(
    tmp_path: Path, scale: str
) -> None:
    """By name either factor of A*E may be meant; a wrong scale of the backward hides nothing."""
    backward = "keepdims=True)) / np.sqrt(self.d)"
    assert HEADS.count(backward) == 1
    text = HEADS.replace(backward, backward.replace("self.d", scale))
    code, told = reported(tmp_path, text, "multi_head_attention")
    assert "MultiHeadAttention(embed_dim=A*E, num_heads=A)" in told
    assert code == (scale != "self.d"), told
    wrong = {line.split()[0] for line in told.splitlines() if line.startswith("  d")
             and "wrong" in line.split()}  # fmt: skip
    assert wrong == ({"dX", "dWq", "dWk"} if code else set())


BIAS_FORGOTTEN = """
class Conv2D:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        self.k, self.s, self.p, self.bias = kernel_size, stride, padding, bias
        self.weights = np.random.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.biases = np.zeros(out_channels)
    def parts(self, shape):
        k, s = self.k, self.s
        for i in range((shape[2] - k) // s + 1):
            for j in range((shape[3] - k) // s + 1):
                yield i, j, slice(s * i, s * i + k), slice(s * j, s * j + k)
    def forward(self, x):
        p = self.p
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        size = [(n - self.k) // self.s + 1 for n in self.x.shape[2:]]
        out = np.zeros((len(x), len(self.weights), *size))
        for i, j, rows, columns in self.parts(self.x.shape):
            part = self.x[:, :, rows, columns]
            out[:, :, i, j] = np.einsum("ncrs,kcrs->nk", part, self.weights)
        return out + self.biases[:, None, None] if self.bias else out
    def backward(self, dout):
        dx, self.dweights = np.zeros_like(self.x), np.zeros_like(self.weights)
        self.dbiases = dout.sum(axis=(0, 2))[:, 0]
        for i, j, rows, columns in self.parts(self.x.shape):
            part = self.x[:, :, rows, columns]
            self.dweights += np.einsum("nk,ncrs->kcrs", dout[:, :, i, j], part)
            moved = np.einsum("nk,kcrs->ncrs", dout[:, :, i, j], self.weights)
            dx[:, :, rows, columns] += moved
        p = self.p
        return dx[:, :, p:dx.shape[2] - p, p:dx.shape[3] - p]
"""


def test_a_layer_that_asks_less_excuses_nothing(tmp_path: Path) -> None:
    """Without its bias and with the default stride it would be another layer, and right."""
    code, told = reported(tmp_path, BIAS_FORGOTTEN, None)
    assert code == 1, told
    assert "spec conv2d " in told.replace("\n", " ")
    assert "1 of 3 gradients is wrong" in told
    mended = BIAS_FORGOTTEN.replace("dout.sum(axis=(0, 2))[:, 0]", "dout.sum(axis=(0, 2, 3))")
    code, told = reported(tmp_path, mended, None)
    assert code == 0, told
    assert "all 3 gradients are right" in told


RIDGE = """
class Ridge:
    def __init__(self, lam=0.5):
        self.lam = lam
    def loss(self, X, y, w):
        self.X, self.w = X, w
        self.err = X @ w - y
        return self.err @ self.err + self.lam * w @ w
    def gradient(self):
        return 2 * self.X.T @ self.err + 2 * self.lam * self.w
"""


def test_a_loss_that_is_asked_with_its_weights_gives_their_gradient(tmp_path: Path) -> None:
    """It keeps them in an attribute, too, and what it returns is called nothing."""
    code, told = reported(tmp_path, RIDGE, "ridge_loss")
    assert "layer.loss(X, y, w)" in told
    assert "dw = layer.gradient()" in told
    assert code == 0, told
    assert "Ridge offers no dX, no dy" in told
    wrong = RIDGE.replace("2 * self.lam * self.w", "self.lam * self.w")
    code, told = reported(tmp_path, wrong, "ridge_loss")
    assert code == 1, told
    assert "the gradient is wrong" in told
    assert "regulariser" in told


def test_what_a_loss_returns_by_the_name_of_its_input_is_that(tmp_path: Path) -> None:
    named = RIDGE.replace(
        "return 2 * self.X.T @ self.err + 2 * self.lam * self.w",
        "dX = 2 * np.outer(self.err, self.w)\n        return dX",
    )
    _, told = reported(tmp_path, named, "ridge_loss")
    assert "dX = layer.gradient()" in told
    assert "wrong" not in told


LOGISTIC = """
class LogisticRegression:
    def __init__(self, n):
        self.w, self.b = np.zeros(n), 0.0
    def forward(self, X, t):
        self.X, self.t = X, t
        self.a = 1 / (1 + np.exp(-(X @ self.w + self.b)))
        return -np.mean(t * np.log(self.a) + (1 - t) * np.log(1 - self.a))
    def backward(self):
        dz = (self.a - self.t) / len(self.t)
        self.dw = self.X.T @ dz
        self.db = dz.sum()
"""


def test_a_model_owes_the_gradients_of_its_parameters_alone(tmp_path: Path) -> None:
    code, told = reported(tmp_path, LOGISTIC, "logistic_regression")
    assert code == 0, told
    assert "LogisticRegression offers no dX" in told
    code, told = reported(
        tmp_path, LOGISTIC.replace("        self.db = dz.sum()\n", ""), "logistic_regression"
    )
    assert code == 1, told
    assert "db" in told
    assert "not offered" in told
