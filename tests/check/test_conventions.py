"""Each calling convention of real code is recognised, a right one passes, a wrong one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from tests.check import references
from tests.check.references import HandReference

# name: (layer, file, a piece of the file, what makes it wrong, the gradient that is then wrong)
CONVENTIONS: dict[str, tuple[str, str, str, str, str]] = {
    "cache pair": (
        "affine",
        """
def affine_forward(x, w, b):
    cache = (x, w)
    out = x @ w + b
    return out, cache
def affine_backward(dout, cache):
    x, w = cache
    dx, dw, db = dout @ w.T, x.T @ dout, dout.sum(0)
    return dx, dw, db
""",
        "x.T @ dout",
        "x.T @ (dout * dout)",
        "W",
    ),
    "cache pair with other names": (
        "affine",
        """
def fc_fwd(inputs, weights, bias):
    out = inputs @ weights + bias
    return out, (inputs, weights)
def fc_bwd(cache, grad_output):
    inputs, weights = cache
    grad_bias = grad_output.sum(0)
    grad_weights = inputs.T @ grad_output
    return grad_bias, grad_weights, grad_output @ weights.T
""",
        "grad_output.sum(0)",
        "grad_output.mean(0)",
        "b",
    ),
    "loss and gradient": (
        "softmax_loss",
        """
def softmax_loss(x, y):
    N = len(x)
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(N), y]).mean()
    dx = p.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx
""",
        "-= 1",
        "-= 2",
        "S",
    ),
    "loss and gradient of the weights": (
        "regularised_softmax",
        """
def softmax_loss_naive(W, X, y, reg):
    scores = X @ W
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + reg * np.sum(W * W)
    p[np.arange(len(y)), y] -= 1
    dW = X.T @ p / len(y) + 2 * reg * W
    return loss, dW
""",
        "2 * reg",
        "reg",
        "W",
    ),
    "method with a dictionary of parameters": (
        "regularised_softmax",
        """
class SoftmaxClassifier:
    def __init__(self, input_dim, num_classes, reg=0.0):
        self.params = {}
        self.reg = reg
        self.params["W"] = np.random.randn(input_dim, num_classes)
    def loss(self, X, y=None):
        W = self.params["W"]
        scores = X @ W
        if y is None:
            return scores
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + self.reg * np.sum(W * W)
        p[np.arange(len(y)), y] -= 1
        grads = {}
        grads["W"] = X.T @ p / len(y) + 2 * self.reg * W
        return loss, grads
""",
        "/ len(y) + 2",
        "/ len(y) + 1",
        "W",
    ),
    "class with gradients in attributes": (
        "affine",
        """
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
        self.dW = self.db = None
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T
""",
        "self.x.T @ dout",
        "self.x.T @ abs(dout)",
        "W",
    ),
    "class with lists of parameters and gradients": (
        "affine",
        """
class MatMulAdd:
    pass
class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
    def forward(self, x):
        W, b = self.params
        self.x = x
        return x @ W + b
    def backward(self, dout):
        W, b = self.params
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ W.T
""",
        "@ W.T",
        "@ W.T * 2",
        "X",
    ),
    "class that makes its own parameters": (
        "affine",
        """
class Layer:
    def forward(self, inputs):
        raise NotImplementedError
class Dense(Layer):
    def __init__(self, in_features, out_features):
        self.weights = np.random.randn(in_features, out_features)
        self.biases = np.zeros(out_features)
    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.weights + self.biases
    def backward(self, dvalues):
        self.dweights = self.inputs.T @ dvalues
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T
""",
        "axis=0, keepdims=True",
        "axis=1, keepdims=True",
        "b",
    ),
    "class that accumulates into buffers": (
        "affine",
        """
class Linear:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.b = np.zeros(n_out)
        self.grad_W = np.zeros((n_in, n_out))
        self.grad_b = np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, grad):
        self.grad_W += self.x.T @ grad
        self.grad_b += grad.sum(axis=0)
        return grad @ self.W.T
""",
        "self.grad_b +=",
        "self.grad_b -=",
        "b",
    ),
    "cache to dictionary of gradients": (
        "affine",
        """
def linear_forward(X, W, b):
    cache = {"X": X, "W": W}
    return X @ W + b, cache
def linear_backward(dZ, cache):
    gradients = {"dX": dZ @ cache["W"].T, "dW": cache["X"].T @ dZ, "db": dZ.sum(0)}
    return gradients
""",
        "dZ.sum(0)",
        "dZ.max(0)",
        "b",
    ),
    "derivative alone": (
        "sigmoid",
        """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))
""",
        "(1 - sigmoid(z))",
        "(1 + sigmoid(z))",
        "Z",
    ),
    "derivative of the output": (
        "sigmoid",
        """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def d_sigmoid(y):
    return y * (1 - y)
""",
        "y * (1 - y)",
        "y * (1 - 2 * y)",
        "Z",
    ),
    "loss object": (
        "softmax_loss",
        """
class SoftmaxCrossEntropyLoss:
    def forward(self, logits, labels):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        self.labels = labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()
    def backward(self):
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.labels] -= 1
        return grad / len(grad)
""",
        "/ len(grad)",
        "",
        "S",
    ),
    "inputs given again": (
        "affine",
        """
def linear(X, W, b):
    return X @ W + b
def linear_grad(X, W, b, dY):
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)
""",
        "dY @ W.T",
        "-dY @ W.T",
        "X",
    ),
    "one sample per column, divided by the number of samples": (
        "affine",
        """
def linear_forward(A, W, b):
    Z = np.dot(W, A) + b
    assert Z.shape == (W.shape[0], A.shape[1])
    return Z, (A, W, b)
def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T) / m
    db = np.sum(dZ, axis=1, keepdims=True) / m
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db
""",
        "np.dot(W.T, dZ)",
        "np.dot(W.T, dZ ** 2)",
        "X",
    ),
    "quotients as names": (
        "affine",
        """
class Linear:
    def __init__(self, units): self.cache = {}
    def build(self, d): self.weights, self.biases = np.zeros((d, 3)), np.zeros((1, 3))
    def forward(self, X, training=False):
        self.cache["X"] = X
        return X @ self.weights + self.biases
    def backward(self, dJ_dZ, training=False):
        dJ_dX = dJ_dZ @ self.weights.T
        dJ_dW = self.cache["X"].T @ dJ_dZ
        dJ_db = np.sum(dJ_dZ, axis=0, keepdims=True)
        return dJ_db, dJ_dW, dJ_dX
""",
        "np.sum(dJ_dZ, axis=0",
        "np.min(dJ_dZ, axis=0",
        "b",
    ),
    "separate loss and gradient": (
        "softmax_loss",
        """
def cross_entropy(logits, y):
    e = np.exp(logits)
    return -np.log(e[np.arange(len(y)), y] / e.sum(1)).mean()
def cross_entropy_grad(logits, y):
    e = np.exp(logits)
    p = e / e.sum(1, keepdims=True)
    return (p - np.eye(logits.shape[1])[y]) / len(y)
""",
        "/ len(y)\n",
        "\n",
        "S",
    ),
}


def judged(tmp_path: Path, reference: HandReference, text: str) -> Judgement:
    file = tmp_path / "layers.py"
    file.write_text("import numpy as np\n" + text)
    return check_pair(reference, file, seed=0, version="")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_right_code_passes_and_says_what_was_taken(tmp_path: Path, name: str) -> None:
    layer, text, *_ = CONVENTIONS[name]
    verdict = judged(tmp_path, getattr(references, layer)(), text).verdict
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert verdict.convention
    assert verdict.binding


@pytest.mark.parametrize("name", CONVENTIONS)
def test_wrong_code_fails_in_the_wrong_gradient_only(tmp_path: Path, name: str) -> None:
    layer, text, right, wrong, gradient = CONVENTIONS[name]
    assert text.count(right) >= 1
    verdict = judged(tmp_path, getattr(references, layer)(), text.replace(right, wrong)).verdict
    assert verdict.verdict == "fail", verdict
    standing = {g.name: g.standing for g in verdict.gradients}
    assert standing.pop(gradient) == "wrong"
    assert set(standing.values()) <= {"ok"}
