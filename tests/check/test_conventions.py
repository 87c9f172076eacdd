"""Each calling convention of real code is recognised, a right one passes, a wrong one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from tests.check import references
from tests.check.references import HandReference
from tests.layers import bundled

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
    "loss object that is given the truth first, and again": (
        "squared_error",
        """
class MSE:
    def forward(self, y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2)
    def backward(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_true.size
""",
        "2 * (y_pred - y_true)",
        "2 * (y_true - y_pred)",
        "Y",
    ),
    "loss object whose prediction is known by the gradient's name": (
        "squared_error",
        """
class MSELoss:
    def forward(self, A, Y):
        self.A, self.Y = A, Y
        return np.mean((A - Y) ** 2)
    def backward(self):
        dLdA = 2 * (self.A - self.Y) / self.A.size
        return dLdA
""",
        "2 * (self.A",
        "(self.A",
        "Y",
    ),
    "class whose backward takes what its forward takes": (
        "sigmoid",
        """
class Sigmoid:
    def forward(self, x):
        return 1 / (1 + np.exp(-x))
    def backward(self, x):
        s = self.forward(x)
        return s * (1 - s)
""",
        "s * (1 - s)",
        "s * (1 + s)",
        "Z",
    ),
    "class with the derivative alone": (
        "sigmoid",
        """
class Sigmoid:
    def forward(self, x):
        self.state = 1 / (1 + np.exp(-x))
        return self.state
    def backward(self, state=None):
        state = self.state if state is None else state
        return state * (1 - state)
""",
        "(1 - state)",
        "(1 + state)",
        "Z",
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
    "function of a dictionary of parameters": (
        "affine",
        """
def forward_propagation(X, parameters):
    W, b = parameters["W"], parameters["b"]
    return X @ W + b, (X, W)
def backward_propagation(dY, cache):
    X, W = cache
    grads = {}
    grads["dX"] = dY @ W.T
    grads["dW"] = X.T @ dY
    grads["db"] = dY.sum(axis=0)
    return grads
""",
        "X.T @ dY",
        "X.T @ abs(dY)",
        "W",
    ),
    "gradients added to buffers that are given": (
        "affine",
        """
def linear_forward(X, W, b):
    return X @ W + b, (X, W)
def linear_backward(dout, cache, dW, db):
    X, W = cache
    dW += X.T @ dout
    db += dout.sum(axis=0)
    return dout @ W.T
""",
        "db += ",
        "db -= ",
        "b",
    ),
    "input gradient and a list of the others": (
        "affine",
        """
class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        dx = dout @ self.W.T
        dW = self.x.T @ dout
        db = dout.sum(axis=0)
        return dx, [dW, db]
""",
        "dout @ self.W.T",
        "dout @ self.W.T / 3",
        "X",
    ),
    "backward that also updates": (
        "affine",
        """
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.zeros((n_in, n_out)), np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, output_gradient, learning_rate):
        dx = output_gradient @ self.W.T
        self.W = self.W - learning_rate * (self.x.T @ output_gradient)
        self.b = self.b - learning_rate * output_gradient.sum(axis=0)
        return dx
""",
        "output_gradient.sum(axis=0)",
        "2 * output_gradient.sum(axis=0)",
        "b",
    ),
    "autograd operator": (
        "sigmoid",
        """
class Sigmoid:
    def compute(self, a):
        return 1 / (1 + np.exp(-a))
    def gradient(self, out_grad, node):
        a = node.inputs[0]
        s = self.compute(a)
        return out_grad * s * (1 - s)
""",
        "(1 - s)",
        "(1 - a)",
        "Z",
    ),
    "one flat vector of parameters": (
        "affine_loss",
        """
def cost(theta, X):
    D = X.shape[1]
    C = len(theta) // (D + 1)
    W, b = theta[:D * C].reshape(D, C), theta[D * C:]
    Y = X @ W + b
    dW, db = X.T @ Y, Y.sum(axis=0)
    return 0.5 * np.sum(Y ** 2), np.concatenate([dW.ravel(), db.ravel()])
""",
        "Y.sum(axis=0)",
        "Y.mean(axis=0)",
        "b",
    ),
    "settings in a dictionary": (
        "window_sum",
        """
def sum_pool_forward(x, pool_param):
    k, s = pool_param["pool_width"], pool_param["stride"]
    starts = range(0, len(x) - k + 1, s)
    return np.stack([x[i:i + k].sum(0) for i in starts]), (x, pool_param)
def sum_pool_backward(dout, cache):
    x, pool_param = cache
    k, s = pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for j, d in enumerate(dout):
        dx[s * j:s * j + k] += d
    return dx
""",
        "] += d",
        "] = d",
        "X",
    ),
    "derivative of values as a method": (
        "sigmoid",
        """
class Sigmoid:
    def __call__(self, v):
        return 1 / (1 + np.exp(-v))
    def gradient(self, v):
        return self.__call__(v) * (1 - self.__call__(v))
""",
        "(1 - self",
        "(2 - self",
        "Z",
    ),
    "derivative of the output as a method": (
        "sigmoid",
        """
class Sigmoid:
    @staticmethod
    def activate(v):
        return 1 / (1 + np.exp(-v))
    @staticmethod
    def derivative(a):
        return a * (1 - a)
""",
        "(1 - a)",
        "(1 - a * a)",
        "Z",
    ),
    "upstream gradient to a method called gradient": (
        "sigmoid",
        """
class Sigmoid:
    def forward(self, v):
        self.s = 1 / (1 + np.exp(-v))
        return self.s
    def gradient(self, v):
        return v * self.s * (1 - self.s)
""",
        "(1 - self",
        "(2 - self",
        "Z",
    ),
    "output and gradients kept, nothing returned": (
        "affine",
        """
class Dense:
    def __init__(self, n_inputs, n_neurons, l1, l2=0.5):
        self.weights = 0.01 * np.ones((n_inputs, n_neurons))
        self.biases = np.zeros(n_neurons)
        self.l1, self.l2 = l1, l2
    def forward(self, inputs):
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases
    def backward(self, dvalues):
        self.dweights = self.inputs.T @ dvalues
        self.dweights += self.l1 * np.sign(self.weights) + 2 * self.l2 * self.weights
        self.dbiases = dvalues.sum(axis=0)
        self.dinputs = dvalues @ self.weights.T
""",
        "dvalues @ self.weights.T",
        "dvalues @ abs(self.weights.T)",
        "X",
    ),
    "loss whose gradient is kept": (
        "squared_error",
        """
class Loss:
    def forward(self, y_pred, y_true):
        self.e = y_pred - y_true
        return np.mean(self.e ** 2)
    def backward(self):
        self.dinputs = 2 * self.e / self.e.size
""",
        "2 * self.e",
        "self.e",
        "Y",
    ),
    "an empty list for parameters that there are not": (
        "sigmoid",
        """
class Sigmoid:
    def __init__(self):
        self.params = []
    def forward(self, X):
        self.out = 1 / (1 + np.exp(-X))
        return self.out
    def backward(self, dout):
        dX = dout * self.out * (1 - self.out)
        return dX, []
""",
        "(1 - self",
        "(2 - self",
        "Z",
    ),
    "network with a hidden size and a dictionary of parameters": (
        "hidden_loss",
        """
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size):
        self.params = {}
        self.params["W1"] = np.zeros((input_size, hidden_size))
        self.params["W2"] = np.zeros((hidden_size, output_size))
        assert self.params["W1"].shape[1] == self.params["W2"].shape[0]
        self.out = np.zeros(output_size)
    def loss(self, X, Y):
        h = np.tanh(X @ self.params["W1"])
        e = h @ self.params["W2"] + self.out - Y
        grads = {"W2": h.T @ e}
        grads["W1"] = X.T @ ((e @ self.params["W2"].T) * (1 - h ** 2))
        return 0.5 * np.sum(e ** 2), grads
""",
        "h.T @ e",
        "-h.T @ e",
        "W2",
    ),
    "loss that takes its upstream gradient for one": (
        "softmax_loss",
        """
class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.t, self.y = t, e / e.sum(axis=1, keepdims=True)
        if t.size == x.size:  # one-hot rows, or one class
            t = t.argmax(axis=1)
        return -np.log(self.y[np.arange(len(x)), t]).mean()
    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx / len(dx)
""",
        "-= 1",
        "-= 2",
        "S",
    ),
    "results left in attributes": (
        "affine",
        """
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dY):
        self.dX = dY @ self.W.T
        self.dW = self.X.T @ dY
        self.db = dY.sum(axis=0)
""",
        "dY @ self.W.T",
        "dY @ -self.W.T",
        "X",
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


# What no signature tells: two lines of a check: block, or three, say it.
STATED: dict[str, tuple[dict[str, object], str, str, str, str]] = {
    "module globals and straight-line code": (
        {
            "setup": "module.W, module.b = W, b",
            "forward": "Y = predict(X)",
            "backward": "dX, dW, db = learn(X, dY)",
        },
        """
W, b = np.zeros((2, 2)), np.zeros(2)
def predict(x):
    return x @ W + b
def learn(x, error):
    return error @ W.T, x.T @ error, error.sum(axis=0)
""",
        "error.sum(axis=0)",
        "error.sum(axis=0) * W[0, 0]",
        "b",
    ),
    "dictionary of layer objects": (
        {
            "setup": 'net = Net(); net.layers["first"].W, net.layers["first"].b = W, b',
            "forward": "Y = net.predict(X)",
            "backward": 'dX = net.back(dY); dW, db = net.layers["first"].grads',
        },
        """
class Linear:
    def run(self, x):
        self.x = x
        return x @ self.W + self.b
    def pull(self, d):
        self.grads = self.x.T @ d, d.sum(axis=0)
        return d @ self.W.T
class Net:
    def __init__(self):
        self.layers = {"first": Linear()}
    def predict(self, x):
        for layer in self.layers.values():
            x = layer.run(x)
        return x
    def back(self, d):
        for layer in reversed(list(self.layers.values())):
            d = layer.pull(d)
        return d
""",
        "d @ self.W.T",
        "d @ (self.W.T * 1.001)",
        "X",
    ),
    "gradients on values": (
        {
            "setup": "x, w, c = Value(X), Value(W), Value(b)",
            "forward": "out = add(matmul(x, w), c); Y = out.data",
            "backward": "out.backward(dY); dX, dW, db = x.grad, w.grad, c.grad",
        },
        """
class Value:
    def __init__(self, data, parents=(), pull=None):
        self.data, self.parents, self.pull, self.grad = data, parents, pull, 0
    def backward(self, grad):
        self.grad = self.grad + grad
        for parent, part in zip(self.parents, self.pull(grad) if self.pull else ()):
            parent.backward(part)
def matmul(a, b):
    return Value(a.data @ b.data, (a, b), lambda g: (g @ b.data.T, a.data.T @ g))
def add(a, b):
    return Value(a.data + b.data, (a, b), lambda g: (g, g.sum(axis=0)))
""",
        "(g, g.sum(axis=0))",
        "(g, g.max(axis=0))",
        "b",
    ),
    "elements updated in place, with a course's scale": (
        {
            "setup": "layer = Dense(W, b)",
            "forward": "Y = layer.forward(X)",
            "backward": "dX = layer.backward(dY, 0.5)",
            "grads": {"W": "step(layer.W)", "b": "step(layer.b)"},
            "scale": {"W": "2 * N", "b": "2 * N"},
        },
        """
class Dense:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, d, rate):
        dx = d @ self.W.T
        for i in range(len(self.W)):
            self.W[i] -= rate * self.x[:, i] @ d / len(d)
        self.b -= rate * d.mean(axis=0)
        return dx
""",
        "d @ self.W.T",
        "d @ self.W.T / len(d)",
        "X",
    ),
    "one sample at a time": (
        {
            "forward": "Y = np.stack([fire(x, W, b) for x in X])",
            "backward": "parts = [blame(d, x, W) for d, x in zip(dY, X)]\n"
            "dX = np.stack([p[0] for p in parts]); dW = sum(p[1] for p in parts)\n"
            "db = sum(p[2] for p in parts)",
        },
        """
def fire(x, W, b):
    return W.T @ x + b
def blame(d, x, W):
    return W @ d, np.outer(x, d), d
""",
        "np.outer(x, d)",
        "np.outer(x, d) ** 2",
        "W",
    ),
}


@pytest.mark.parametrize("name", STATED)
def test_stated_conventions(tmp_path: Path, name: str) -> None:
    block, text, right, wrong, gradient = STATED[name]
    reference = references.affine().checked_by(**block)
    verdict = judged(tmp_path, reference, text).verdict
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert text.count(right) == 1
    verdict = judged(tmp_path, reference, text.replace(right, wrong)).verdict
    standing = {g.name: g.standing for g in verdict.gradients}
    assert standing.pop(gradient) == "wrong"
    assert set(standing.values()) == {"ok"}


def test_a_backward_that_writes_into_the_output_leaves_the_forward_right(tmp_path: Path) -> None:
    text = """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def sigmoid_grad(f):
    f *= 1 - f
    return f
"""
    reference = references.sigmoid().checked_by(
        forward="A = sigmoid(Z)", backward="dZ = dA * sigmoid_grad(A)"
    )
    verdict = judged(tmp_path, reference, text).verdict
    assert verdict.verdict == "pass"
    assert [remark.code for remark in verdict.conduct] == ["mutates"]


def test_a_snippet_may_define_what_it_calls(tmp_path: Path) -> None:
    reference = references.sigmoid().checked_by(
        setup="class Half:\n    def __call__(self, x): return np.exp(x / 2)\n"
        "def ratio(x): return 1 / (1 + Half()(-2 * x))",
        forward="A = ratio(Z)",
        backward="dZ = dA * slope(A)",
    )
    assert judged(tmp_path, reference, "def slope(a): return a * (1 - a)").verdict.verdict == "pass"


def test_a_jacobian_is_contracted_in_the_line(tmp_path: Path) -> None:
    text = """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def jacobian(z):
    s = sigmoid(z.ravel())
    return np.diag(s * (1 - s))
"""
    reference = references.sigmoid().checked_by(
        forward="A = sigmoid(Z)", backward="dZ = (jacobian(Z) @ dA.ravel()).reshape(Z.shape)"
    )
    assert judged(tmp_path, reference, text).verdict.verdict == "pass"
    assert judged(tmp_path, reference, text.replace("(1 - s)", "(1 + s)")).verdict.verdict == "fail"


TORCH = """
import torch
class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return x @ w + b
    @staticmethod
    def backward(ctx, grad_output):
        x, w = ctx.saved_tensors
        return grad_output @ w.t(), x.t() @ grad_output, grad_output.sum(0)
"""
JAX = """
import jax
import jax.numpy as jnp
@jax.custom_vjp
def linear(x, w, b):
    return x @ w + b
def forward_rule(x, w, b):
    return linear(x, w, b), (x, w)
def backward_rule(saved, g):
    x, w = saved
    return g @ w.T, x.T @ g, g.sum(0)
linear.defvjp(forward_rule, backward_rule)
"""


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        (TORCH, "grad_output.sum(0)", "grad_output.mean(0)"),
        (JAX, "g.sum(0)", "g.mean(0)"),
    ],
)
def test_operations_of_frameworks(tmp_path: Path, text: str, right: str, wrong: str) -> None:
    verdict = judged(tmp_path, references.affine(), text).verdict
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    verdict = judged(tmp_path, references.affine(), text.replace(right, wrong)).verdict
    assert [g.standing for g in verdict.gradients] == ["ok", "ok", "wrong"]


DROPOUTS = {
    "class": """
class Dropout:
    def __init__(self, p=0.5):
        self.p = p
    def forward(self, x):
        self.mask = (np.random.rand(*x.shape) < self.p) / self.p
        return x * self.mask
    def backward(self, dout):
        return dout * self.mask
""",
    "pair": """
def dropout_forward(x, keep_prob):
    mask = (np.random.rand(*x.shape) < keep_prob) / keep_prob
    return x * mask, mask
def dropout_backward(dout, cache):
    return dout * cache
""",
    "dictionary": """
def dropout_forward(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "train":
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    return out, (dropout_param, mask)
def dropout_backward(dout, cache):
    dropout_param, mask = cache
    return dout * mask
""",
    "share that is dropped": """
class Dropout:
    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio = dropout_ratio
    def forward(self, x, train_flg=True):
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return x * self.mask / (1 - self.dropout_ratio)
    def backward(self, dout):
        return dout * self.mask / (1 - self.dropout_ratio)
""",
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_mask_that_the_code_draws_is_read_back_without_a_check_block(
    name: str, tmp_path: Path
) -> None:
    layer = bundled("dropout")
    file = tmp_path / "hw.py"
    file.write_text("import numpy as np\n" + DROPOUTS[name])
    verdict = check_pair(layer, file, seed=0, version="1").verdict
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert "the mask that it draws read back" in verdict.convention
    assert verdict.conduct == ()
    file.write_text("import numpy as np\n" + DROPOUTS[name].replace("return dout * ", "return "))
    verdict = check_pair(layer, file, seed=0, version="1").verdict
    assert [f.standing for f in verdict.forward] == ["ok"]
    assert [g.standing for g in verdict.gradients] == ["wrong"]


def test_two_arguments_are_never_taken_for_one_variable(tmp_path: Path) -> None:
    # The output of an activation stands between the two: this is no backward pass of an affine.
    verdict = judged(
        tmp_path,
        references.affine(),
        """
def fc_forward(A, W, b):
    return A @ W + b
def fc_backward(dout, A, X, W, b):
    d = dout * (A > 0)
    return d @ W.T, X.T @ d, d.sum(0)
""",
    ).verdict
    assert verdict.trouble is not None
    assert "A and X would both be X" in verdict.trouble.message


def test_an_update_that_an_exception_prevented_is_no_gradient_of_zero(tmp_path: Path) -> None:
    verdict = judged(
        tmp_path,
        references.affine(),
        """
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.zeros((n_in, n_out)), np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout, learning_rate):
        dx = dout @ self.W.T
        self.W -= learning_rate * self.x.T @ dout
        self.b -= learning_rate * dout
        return dx
""",
    ).verdict
    standing = {g.name: g.standing for g in verdict.gradients}
    assert standing == {"X": "not computed", "W": "ok", "b": "not computed"}


def test_the_line_is_one_of_the_class_that_was_checked(tmp_path: Path) -> None:
    from gradtool.check.bind import Binding
    from gradtool.check.diagnose_where import where

    text = """
class First:
    def forward(self, x): return x
    def backward(self, dout):
        dx = 2 * dout
        return dx
class Second:
    def forward(self, x): return x
    def backward(self, dout):
        dx = 3 * dout
        return dx
def backward(dout):
    dx = 4 * dout
    return dx
"""
    file = tmp_path / "layers.py"
    file.write_text(text)
    forward = "Y = layer.forward(X)"
    for name, line in (("First", 5), ("Second", 10)):
        binding = Binding("", forward, "dX = layer.backward(dY)", setup=f"layer = {name}()")
        found = where(file, binding, "X")
        assert found is not None
        assert found.line == line
    static = where(file, Binding("", "Y = X", "dX = First.backward(None, dY)"), "X")
    plain = where(file, Binding("", "Y = X", "dX = backward(dY)"), "X")
    assert static is not None
    assert plain is not None
    assert (static.line, plain.line) == (5, 13)
