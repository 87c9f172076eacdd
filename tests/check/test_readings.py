"""What names do not tell is found by running: right code passes, and no guess makes it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.report.check_command import exit_code
from tests.layers import every_layer, verdicts

LAZY = """
class Dense:
    def __init__(self, units):
        self.units, self.built = units, False
    def build(self, size):
        self.weights = np.random.randn(size, self.units)
        self.bias = np.zeros((1, self.units))
        self.built = True
    def forward(self, inputs):
        if not self.built:
            self.build(inputs.shape[1])
        self.inputs = inputs
        return inputs @ self.weights + self.bias
    def backward(self, grad):
        self.grad_weights = self.inputs.T @ grad
        self.grad_bias = grad.sum(0, keepdims=True)
        return grad @ self.weights.T
"""
ROW = """
class Linear:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(input_size, output_size)
        self.bias = np.random.randn(1, output_size)
    def forward(self, input_tensor):
        self.input = input_tensor
        return input_tensor @ self.weights + self.bias
    def backward(self, output_error, learning_rate):
        input_error = output_error @ self.weights.T
        self.weights -= learning_rate * self.input.T @ output_error
        self.bias -= learning_rate * output_error.sum(0, keepdims=True)
        return input_error
"""
CONV = """
def conv_forward(A_prev, W, b, hparameters):
    stride, pad = hparameters["stride"], hparameters["pad"]
    f, f, C, K = W.shape
    P = np.pad(A_prev, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = (P.shape[1] - f) // stride + 1, (P.shape[2] - f) // stride + 1
    Z = np.zeros((len(P), rows, columns, K))
    for h in range(rows):
        for w in range(columns):
            s = P[:, h * stride:h * stride + f, w * stride:w * stride + f]
            Z[:, h, w] = np.tensordot(s, W, 3) + b[0, 0, 0]
    return Z, (P, W, b, stride, pad, A_prev.shape)
def conv_backward(dZ, cache):
    P, W, b, stride, pad, shape = cache
    f = len(W)
    dP, dW, db = np.zeros_like(P), np.zeros_like(W), np.zeros_like(b)
    for h in range(dZ.shape[1]):
        for w in range(dZ.shape[2]):
            at = np.s_[:, h * stride:h * stride + f, w * stride:w * stride + f]
            dP[at] += np.tensordot(dZ[:, h, w], W, (1, 3))
            dW += np.tensordot(P[at], dZ[:, h, w], (0, 0))
            db[0, 0, 0] += dZ[:, h, w].sum(0)
    return dP[:, pad:pad + shape[1], pad:pad + shape[2]], dW, db
"""
AVERAGE = """
class GlobalAveragePool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean((1, 2), keepdims=True)
    def backward(self, dout):
        n, h, w, c = self.shape
        return np.ones(self.shape) * dout[:, :1, :1, :] / (h * w)
"""
ACTIVATED = """
def dense_forward(A_prev, W, b, activation):
    Z = W @ A_prev + b
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-Z)), (A_prev, W, Z)
    elif activation == "relu":
        return np.maximum(0, Z), (A_prev, W, Z)
def dense_backward(dA, cache, activation):
    A_prev, W, Z = cache
    dZ = dA * (Z > 0)
    return W.T @ dZ, dZ @ A_prev.T, dZ.sum(axis=1, keepdims=True)
"""
GIVEN_PREDICTION = """
class Loss:
    def forward(self, y_pred, y_true):
        return np.mean((y_true - y_pred) ** 2)
    def backward(self, dvalues, y_true):
        self.dinputs = -2 * (y_true - dvalues) / dvalues.size
"""
GIVEN_OUTPUT = """
class SoftmaxLoss:
    def forward(self, inputs, y_true):
        e = np.exp(inputs - inputs.max(1, keepdims=True))
        self.output = e / e.sum(1, keepdims=True)
        return -np.log(self.output[np.arange(len(y_true)), y_true]).mean()
    def backward(self, dvalues, y_true):
        self.dinputs = dvalues.copy()
        self.dinputs[range(len(dvalues)), y_true] -= 1
        self.dinputs = self.dinputs / len(dvalues)
"""
COLUMN = """
class Softmax:
    def forward(self, input):
        e = np.exp(input)
        self.output = e / np.sum(e)
        return self.output
    def backward(self, output_gradient):
        n = np.size(self.output)
        return ((np.identity(n) - self.output.T) * self.output) @ output_gradient
"""
UNNAMED = """
def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    return x.T @ dout, dout.sum(0), dout @ w.T
"""
SIGNATURE = """
def linear_forward(A, W, b):
    return A @ W + b, (A, W)
def linear_backward(dZ, cache):
    A, W = cache
    return dZ @ W.T, A.T @ dZ, dZ.sum(0)
"""
SYMMETRIC = """
class MSE:
    def forward(self, a, y):
        self.u = {sign}(a - y)
        return np.mean(self.u ** 2)
    def backward(self):
        return 2 * self.u / self.u.size
"""
EACH_SAMPLE = """
class Loss:
    def forward(self, y_pred, y_true):
        return np.mean((y_true - y_pred) ** 2, axis=-1)
    def backward(self, dvalues, y_true):
        return -2 * (y_true - dvalues) / dvalues.size
"""
DROPPED = """
class Dropout:
    def __init__(self, rate):
        self.rate = 1 - rate
    def forward(self, inputs):
        self.inputs = inputs
        self.mask = np.random.binomial(1, self.rate, size=inputs.shape) / self.rate
        self.output = inputs * self.mask
    def backward(self, dvalues):
        self.dinputs = dvalues * self.mask
"""
BUILT = """
class Dense:
    def __init__(self, units):
        self.units, self.params, self.optimizer = units, {}, None
    def build(self, input_shape):
        samples, size = input_shape
        self.params["W"] = np.random.randn(size, self.units)
        self.params["b"] = np.zeros((1, self.units))
        self.counts = np.ones(samples)
    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.params["W"] + self.params["b"] * self.counts[:, None]
    def backward(self, grads):
        self.dW, self.db = self.inputs.T @ grads, grads.sum(0)
        return grads @ self.params["W"].T
"""
TURNED = """
class Linear:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_out, n_in), np.random.randn(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b
    def backward(self, dout):
        self.dW, self.db = dout.T @ self.x, dout.sum(0)
        return dout @ self.W
"""
# name: (code, layer, what makes it wrong)
SEVERAL = """
def cell(x, h, Wx, Wh, b):
    h_new = np.tanh(x @ Wx + h @ Wh + b)
    def back(dh_new):
        d = dh_new * (1 - h_new ** 2)
        return d @ Wx.T, d @ Wh.T, x.T @ d, h.T @ d, d.sum(0)
    return h_new, back

def rnn_forward(X, h0, Wx, Wh, b):
    h, hs, backs = h0, [], []
    for x in X.swapaxes(0, 1):
        h, bk = cell(x, h, Wx, Wh, b)
        hs.append(h)
        backs.append(bk)
    return np.stack(hs, 1), backs

def rnn_backward(dhs, backs):
    dh = 0
    dX, acc = [], None
    for g, bk in zip(dhs.swapaxes(0, 1)[::-1], backs[::-1]):
        dx, dh, *ws = bk(g + dh)
        dX.append(dx)
        acc = ws if acc is None else [a + w for a, w in zip(acc, ws)]
    return np.stack(dX[::-1], 1), dh, *acc
"""
READINGS = {
    "weights made in the first call": (LAZY, "affine", ("@ grad", "@ (grad * grad)")),
    "weights made for a shape": (BUILT, "affine", ("grads.sum(0)", "grads.mean(0)")),
    "a bias of the shape it makes": (ROW, "affine", ("self.input.T @", "2 * self.input.T @")),
    "channels last": (CONV, "conv2d", ("dW += ", "dW[:] = ")),
    "an output with axes of one": (AVERAGE, "global_avg_pool", ("/ (h * w)", "/ h")),
    "an activation by its name": (ACTIVATED, "affine_relu", ("(Z > 0)", "(Z < 0)")),
    "a prediction beside the labels": (GIVEN_PREDICTION, "mse", ("-2 *", "-4 *")),
    "the weights of an output in a row": (TURNED, "affine", ("dout.sum(0)", "dout.mean(0)")),
    "a loss for each sample": (EACH_SAMPLE, "mse", ("-2 *", "-4 *")),
    "a mask beside what it masks": (DROPPED, "dropout", ("dvalues * self.mask", "dvalues")),
    "one sample as a column": (COLUMN, "softmax", ("- self.output.T", "+ self.output.T")),
    "a result that is several": (SEVERAL, "rnn", ("1 - h_new ** 2", "1 - h ** 2")),
    "results in the order of the arguments": (SIGNATURE, "affine", ("dZ.sum", "dZ.mean")),
}


@pytest.mark.parametrize("name", READINGS)
def test_right_code_is_right(tmp_path: Path, name: str) -> None:
    text, layer, _ = READINGS[name]
    (known,) = [v for v in verdicts(tmp_path, text) if v.layer]
    assert (known.verdict, known.layer) == ("pass", layer)


@pytest.mark.parametrize("name", READINGS)
def test_a_mistake_in_it_is_found(tmp_path: Path, name: str) -> None:
    text, layer, (right, wrong) = READINGS[name]
    assert right in text
    (known,) = [v for v in verdicts(tmp_path, text.replace(right, wrong)) if v.layer]
    assert (known.verdict, known.layer) == ("fail", layer)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("return np.stack(dX[::-1], 1), dh, *acc", "return np.stack(dX[::-1], 1), dh, *acc[:2]"),
        ("return np.stack(dX[::-1], 1), dh, *acc", "return np.stack(dX[::-1], 1), dh, *acc[::-1]"),
        ("return np.stack(dX[::-1], 1), dh, *acc", "return np.stack(dX, 1), dh, *acc"),
    ],
    ids=["too few", "in another order", "steps in another order"],
)
def test_a_result_that_is_several_excuses_nothing(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in SEVERAL
    for verdict in verdicts(tmp_path, SEVERAL.replace(right, wrong)):
        assert verdict.verdict != "pass"


def test_what_a_loss_is_given_is_what_its_forward_left(tmp_path: Path) -> None:
    (only,) = verdicts(tmp_path, GIVEN_OUTPUT)
    assert (only.verdict, only.layer) == ("pass", "softmax_cross_entropy")
    assert "layer.backward(layer.output, y)" in "\n".join(only.binding)


def test_what_is_wrong_by_a_factor_alone_shows_what_a_loss_is_given(tmp_path: Path) -> None:
    file = tmp_path / "loss.py"
    mean = "        self.dinputs = self.dinputs / len(dvalues)\n"
    assert mean in GIVEN_OUTPUT
    file.write_text("import numpy as np\n" + GIVEN_OUTPUT.replace(mean, ""))
    layers, reference_for = every_layer()
    (named,) = (r.spec for r in layers.references if r.spec.name == "softmax_cross_entropy")
    found = check_pair(reference_for(named), file, seed=0, version="").verdict
    assert (found.verdict, found.trouble) == ("fail", None)
    assert [g.cause.code for g in found.gradients if g.cause] == ["sum-for-mean"]


def _named(tmp_path: Path, text: str) -> Verdict:
    file = tmp_path / "loss.py"
    file.write_text("import numpy as np\n" + text)
    layers, reference_for = every_layer()
    (named,) = (r.spec for r in layers.references if r.spec.name == "softmax_cross_entropy")
    return check_pair(reference_for(named), file, seed=0, version="").verdict


def test_one_mistake_shows_what_a_loss_is_given(tmp_path: Path) -> None:
    """In any other reading more is wrong than that the labels choose whole columns."""
    right = "self.dinputs[range(len(dvalues)), y_true] -= 1"
    assert right in GIVEN_OUTPUT
    found = _named(tmp_path, GIVEN_OUTPUT.replace(right, "self.dinputs[:, y_true] -= 1"))
    assert (found.verdict, found.trouble) == ("fail", None)
    assert "layer.backward(layer.output, y)" in "\n".join(found.binding)
    (gradient,) = found.gradients
    assert gradient.cause is not None
    assert gradient.cause.code == "some-entries"
    assert gradient.source == "self.dinputs[:, y_true] -= 1"


def test_a_change_of_what_a_loss_is_given_shows_nothing(tmp_path: Path) -> None:
    """The code is right for probabilities that nobody keeps, and the file can compute them."""
    text = GIVEN_OUTPUT.replace("self.output = e", "p = e").replace("self.output[", "p[")
    helper = """
def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
"""
    for added in ("", helper):
        found = _named(tmp_path, added + text)
        assert found.trouble is not None
        assert found.trouble.stage == "unclear"
        assert "what backward is to be given is not known" in found.trouble.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            UNNAMED,
            "the gradients that it returns have no names, and are right in another order",
            id="results in another order",
        ),
        pytest.param(
            GIVEN_OUTPUT.replace("self.output = e", "p = e").replace("self.output[", "p["),
            "what backward is to be given is not known (S, the upstream gradient were tried)",
            id="probabilities that are computed elsewhere",
        ),
        pytest.param(
            COLUMN.replace("np.sum(e)", "e.sum(1, keepdims=True)")
            .replace("output_gradient", "labels")
            .replace("@ labels", "[np.arange(len(labels)), labels]"),
            "backward takes labels, so it seems to be the gradient of a loss",
            id="labels behind a softmax",
        ),
        pytest.param(
            COLUMN.replace("return ((", "return; ((").replace(
                "np.sum(e)", "e.sum(1, keepdims=True)"
            ),
            "where the object leaves dZ was not recognised",
            id="no gradient",
        ),
        pytest.param(
            COLUMN.replace("return ((", "return output_gradient; ((").replace(
                "np.sum(e)", "e.sum(1, keepdims=True)"
            ),
            "its backward passes on what it is given: that is right only before a loss",
            id="a softmax whose loss has its derivative",
        ),
        pytest.param(
            BUILT.replace("return grads @", "self.optimizer.step(self.dW); return grads @"),
            "AttributeError: 'NoneType' object has no attribute 'step' in line 16; if the object",
            id="an optimizer that nobody gave it",
        ),
    ],
)
def test_what_cannot_be_known_is_no_mistake(tmp_path: Path, text: str, reason: str) -> None:
    (only,) = verdicts(tmp_path, text)
    assert only.trouble is not None
    assert only.trouble.stage == "match"
    assert reason in only.trouble.message
    assert exit_code([only]) == 2


def test_the_gradient_of_a_sum_of_losses_is_said_to_be_one(tmp_path: Path) -> None:
    (only,) = verdicts(tmp_path, EACH_SAMPLE.replace("dvalues.size", "dvalues.shape[1]"))
    assert only.verdict == "pass"
    assert any("that of the sum over N" in remark.message for remark in only.remarks)


def test_a_mean_that_is_forgotten_in_the_gradient_alone_is_wrong(tmp_path: Path) -> None:
    loss = SYMMETRIC.format(sign="").replace("/ self.u.size", "")
    (only,) = verdicts(tmp_path, loss)
    assert (only.verdict, only.layer) == ("fail", "mse")


def test_a_wrong_sign_does_not_choose_the_prediction(tmp_path: Path) -> None:
    (right,) = verdicts(tmp_path, SYMMETRIC.format(sign=""))
    assert (right.verdict, right.remarks) == ("pass", ())
    (only,) = verdicts(tmp_path, SYMMETRIC.format(sign="-"))
    assert only.trouble is not None
    assert only.trouble.message == (
        "its forward is that of mse, but no name tells which argument is the prediction. With a, "
        "the gradient has the wrong sign; with y, it is right. Say which it is in a check: block, "
        "or by a name such as a_pred"
    )


def test_whoever_names_the_layer_has_its_order(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    loss = SYMMETRIC.format(sign="-")
    for text, layer, cause in ((UNNAMED, "affine", "order"), (loss, "mse", "sign")):
        file.write_text("import numpy as np\n" + text)
        layers, reference_for = every_layer()
        (named,) = (r.spec for r in layers.references if r.spec.name == layer)
        verdict = check_pair(reference_for(named), file, seed=0, version="").verdict
        assert verdict.verdict == "fail"
        assert {g.cause.code for g in verdict.gradients if g.cause} == {cause}


def test_every_text_that_chooses_is_tried(tmp_path: Path) -> None:
    text = ACTIVATED.replace('"sigmoid"', '"linear"').replace("1 / (1 + np.exp(-Z))", "Z")
    linear, relu = verdicts(tmp_path, text)
    assert (linear.layer, linear.verdict) == ("affine", "fail")
    assert (relu.layer, relu.verdict) == ("affine_relu", "pass")


def test_a_layer_that_is_nearly_the_same_hides_none_that_is(tmp_path: Path) -> None:
    # With a small eps, label smoothing is nearly this.
    text = """
class Criterion:
    def forward(self, scores, labels):
        e = np.exp(scores - scores.max(1, keepdims=True))
        self.p, self.labels = e / e.sum(1, keepdims=True), labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()
    def backward(self):
        self.p[np.arange(len(self.labels)), self.labels] -= 1
        return self.p / len(self.labels)
"""
    (only,) = verdicts(tmp_path, text)
    assert (only.verdict, only.layer) == ("pass", "softmax_cross_entropy")
