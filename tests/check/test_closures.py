"""A forward pass may return its backward pass as a function, in place of a cache.

Right code passes with every gradient compared; code with one mistake in the closure fails in the
gradient that is wrong, with the line of the closure that has it and the cause.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from textwrap import dedent

import pytest

from gradtool.check.cells import Cell
from gradtool.check.inventory import from_json, inventory, to_json
from gradtool.check.result import Compared
from gradtool.records import Struct
from tests.layers import bundled, verdict_on, verdicts

AFFINE = """
def affine(X, W, b):
    Y = X @ W + b
    def backprop(dY):
        dX = dY @ W.T
        dW = X.T @ dY
        db = dY.sum(axis=0)
        return dX, dW, db
    return Y, backprop
"""
ANONYMOUS = """
def affine(X, W, b):
    Y = X @ W + b
    def backprop(dY):
        return dY @ W.T, X.T @ dY, dY.sum(0)
    return Y, backprop
"""
DICTIONARY = """
def affine(X, W, b):
    def vjp(g):
        grads = {}
        grads["X"] = np.dot(g, W.T)
        grads["W"] = np.dot(X.T, g)
        grads["b"] = np.sum(g, axis=0)
        return grads
    return np.dot(X, W) + b, vjp
"""
RELU = """
def relu(Z):
    A = np.maximum(Z, 0)
    return A, lambda dA: dA * (Z > 0)
"""
GIVEN_NAME = """
def relu_fwd(x):
    mask = x > 0
    backward = lambda dout: dout * mask
    return x * mask, backward
"""
VJP = """
def sigmoid_vjp(z):
    a = 1 / (1 + np.exp(-z))
    return a, lambda g: g * a * (1 - a)
"""
FIRST = """
def relu(Z):
    def pullback(dA):
        dZ = dA * (Z > 0)
        return dZ
    return pullback, np.maximum(Z, 0)
"""
BATCH_NORM = """
def batch_norm(X, gamma, beta, eps=1e-5):
    mu, var = X.mean(axis=0), X.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (X - mu) / std

    def backward_fn(dY):
        dgamma = np.sum(dY * xhat, axis=0)
        dbeta = np.sum(dY, axis=0)
        dxhat = dY * gamma
        inner = dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)
        dX = inner / std
        return dX, dgamma, dbeta

    return gamma * xhat + beta, backward_fn
"""
LOSS = """
def softmax_cross_entropy(S, y):
    N = S.shape[0]
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    loss = -np.log(P[np.arange(N), y]).mean()
    dS = P.copy()
    dS[np.arange(N), y] -= 1
    dS /= N
    return loss, lambda: dS
"""
LOSS_WITH_UPSTREAM = """
def softmax_cross_entropy(S, y):
    N = S.shape[0]
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    loss = -np.log(P[np.arange(N), y]).mean()
    def backward(dloss=1.0):
        dS = P.copy()
        dS[np.arange(N), y] -= 1
        return dloss * dS / N
    return loss, backward
"""
KEPT = """
class Affine:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.b = np.zeros(n_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, X):
        def backprop(dY):
            self.dW = X.T @ dY
            self.db = dY.sum(axis=0)
            return dY @ self.W.T
        return X @ self.W + self.b, backprop
"""
RETURNED = """
class Affine:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.b = np.zeros(n_out)

    def __call__(self, X):
        def backward(dY):
            dX = dY @ self.W.T
            dW = X.T @ dY
            db = dY.sum(axis=0)
            return dX, dW, db
        return X @ self.W + self.b, backward
"""
LSTM = """
def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def lstm_cell(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = (sigmoid(a[:, k * H:(k + 1) * H]) for k in range(3))
    g = np.tanh(a[:, 3 * H:])
    next_c = f * prev_c + i * g
    t = np.tanh(next_c)
    next_h = o * t

    def backprop(dnext_h, dnext_c):
        dc = dnext_c + dnext_h * o * (1 - t ** 2)
        da = np.hstack([
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * t * o * (1 - o),
            dc * i * (1 - g ** 2),
        ])
        dx = da @ Wx.T
        dprev_h = da @ Wh.T
        dprev_c = dc * f
        dWx = x.T @ da
        dWh = prev_h.T @ da
        db = da.sum(axis=0)
        return dx, dprev_h, dprev_c, dWx, dWh, db

    return next_h, next_c, backprop
"""
ATTENTION = """
def softmax(S):
    e = np.exp(S - S.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def attention(Q, K, V):
    scale = np.sqrt(Q.shape[1])
    P = softmax(Q @ K.T / scale)

    def backward(dO):
        dV = P.T @ dO
        dP = dO @ V.T
        dS = P * (dP - (dP * P).sum(axis=1, keepdims=True)) / scale
        dQ = dS @ K
        dK = dS.T @ Q
        return dQ, dK, dV

    return P @ V, backward
"""
TWO_CALLS = """
def relu(Z):
    return np.maximum(Z, 0)

def relu_vjp(ans, Z):
    return lambda g: g * (Z > 0)
"""
TWO_CALLS_NAMED = """
def affine(X, W, b):
    return X @ W + b

def affine_backward_fn(X, W, b):
    def backprop(dY):
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)
    return backprop
"""
DEFAULTS = """
def relu(Z):
    return np.maximum(Z, 0), lambda dA, Z=Z: dA * (Z > 0)
"""
ONLY_AT_TIMES = """
def relu(Z, training=True):
    A = np.maximum(Z, 0)
    if not training:
        return A, None
    def backprop(dA):
        return dA * (Z > 0)
    return A, backprop
"""


IN_PLACES = """
def affine(X, W, b, training=True):
    def backprop(dY):
        dX = dY @ W.T
        return dX, {"W": X.T @ dY, "b": dY.sum(axis=0)}
    return X @ W + b, (backprop if training else None)
"""
COMPOSED = """
def affine(X, W, b):
    def backprop(dY):
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)
    return X @ W + b, backprop

def relu(Z):
    return np.maximum(Z, 0), lambda dA: dA * (Z > 0)

def affine_relu(X, W, b):
    Z, through_affine = affine(X, W, b)
    A, through_relu = relu(Z)
    def backprop(dA):
        dZ = through_relu(dA)
        return through_affine(dZ)
    return A, backprop
"""
MADE = """
def forward(X, W, b):
    return X @ W + b

def make_backprop(X, W):
    def backprop(dY):
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)
    return backprop
"""
OBJECT = """
class TanhBackward:
    def __init__(self, a):
        self.a = a

    def __call__(self, g):
        return g * (1 - self.a ** 2)

def tanh_forward(Z):
    A = np.tanh(Z)
    return A, TanhBackward(A)
"""
OBJECT_WITH_A_NAME = """
def affine(X, W, b):
    back = Back(X=X, W=W)
    return X @ W + b, back

class Back:
    def __init__(self, **kept):
        self.__dict__.update(kept)

    def __call__(self, dout):
        dX = dout @ self.W.T
        dW = self.X.T @ dout
        db = dout.sum(axis=0)
        return dX, dW, db
"""
FUNCTION_OBJECTS = """
class Forward:
    def __call__(self, X, W, b):
        return X @ W + b, (X, W)

class Backward:
    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, dY, cache):
        X, W = cache
        dX = dY @ W.T
        dW = X.T @ dY * self.factor
        db = dY.sum(axis=0)
        return dX, dW, db

affine_forward = Forward()
affine_backward = Backward()
"""
IN_A_DICTIONARY = """
def sigmoid(z):
    a = 1 / (1 + np.exp(-z))
    return {"out": a, "back": lambda da: da * a * (1 - a)}
"""
IN_A_DICTIONARY_WITH_A_NAME = """
def affine(X, W, b):
    def backprop(dY):
        dX = dY @ W.T
        dW = X.T @ dY
        db = dY.sum(axis=0)
        return {"X": dX, "W": dW, "b": db}
    result = dict(output=X @ W + b, backward=backprop)
    return result
"""


class Mistake(Struct, frozen=True):
    """What is written in place of what; the gradients that it makes wrong, the code of their
    cause, and a part of the line that is told."""

    old: str
    new: str
    wrong: str
    code: str
    line: str


TURNED = "Z > 0", "Z < 0", "Z", "mask", "Z < 0"
CASES: dict[str, tuple[str, str, Mistake]] = {
    "affine": (
        "affine",
        AFFINE,
        Mistake("dY.sum(axis=0)", "dY.mean(axis=0)", "b", "mean-for-sum", "db = dY.mean"),
    ),
    "affine, a transpose": (
        "affine",
        AFFINE,
        Mistake("dY @ W.T", "dY @ W", "X", "transposed", "dX = dY @ W"),
    ),
    "affine, without names": (
        "affine",
        ANONYMOUS,
        Mistake("X.T @ dY", "2 * X.T @ dY", "W", "scale", "2 * X.T @ dY"),
    ),
    "a dictionary": (
        "affine",
        DICTIONARY,
        Mistake("np.dot(X.T, g)", "-np.dot(X.T, g)", "W", "sign", "-np.dot"),
    ),
    "a lambda": ("relu", RELU, Mistake(*TURNED)),
    "a lambda with a name": (
        "relu",
        GIVEN_NAME,
        Mistake("dout * mask", "dout", "Z", "mask-missing", "backward = lambda dout: dout"),
    ),
    "called vjp": (
        "sigmoid",
        VJP,
        Mistake("a * (1 - a)", "(1 - a)", "Z", "missing-factor", "lambda g: g * (1 - a)"),
    ),
    "before the output": ("relu", FIRST, Mistake(*TURNED)),
    "batch norm": (
        "batch_norm",
        BATCH_NORM,
        Mistake(" - dxhat.mean(axis=0)", "", "X", "missing-path", "dX = inner / std"),
    ),
    "batch norm, a factor": (
        "batch_norm",
        BATCH_NORM,
        Mistake("dxhat = dY * gamma", "dxhat = dY", "X", "missing-factor", "dxhat = dY"),
    ),
    "a loss": (
        "softmax_cross_entropy",
        LOSS,
        Mistake("    dS /= N\n", "", "S", "sum-for-mean", "dS[np.arange"),
    ),
    "a loss with an upstream gradient": (
        "softmax_cross_entropy",
        LOSS_WITH_UPSTREAM,
        Mistake("dloss * dS / N", "dloss * dS", "S", "sum-for-mean", "dloss * dS"),
    ),
    "gradients kept": (
        "affine",
        KEPT,
        Mistake("dY.sum(axis=0)", "dY.mean(axis=0)", "b", "mean-for-sum", "self.db = dY.mean"),
    ),
    "an object that is called": (
        "affine",
        RETURNED,
        Mistake("dW = X.T @ dY", "dW = -X.T @ dY", "W", "sign", "-X.T @ dY"),
    ),
    "lstm": (
        "lstm_cell",
        LSTM,
        Mistake("dprev_c = dc * f", "dprev_c = dc", "prev_c", "missing-factor", "dprev_c = dc"),
    ),
    "lstm, a power": (
        "lstm_cell",
        LSTM,
        Mistake("(1 - g ** 2)", "(1 - g)", "x prev_h Wx Wh b", "power", "dc * i * (1 - g)"),
    ),
    "attention": (
        "attention",
        ATTENTION,
        Mistake("dS = P * (dP - (", "dS = (dP - (", "Q K", "missing-factor", "dS = (dP"),
    ),
    "in two calls": ("relu", TWO_CALLS, Mistake(*TURNED)),
    "in two calls, with def": (
        "affine",
        TWO_CALLS_NAMED,
        Mistake("dY.sum(axis=0)", "2 * dY.sum(axis=0)", "b", "scale", "2 * dY.sum"),
    ),
    "in two calls, by what makes it": (
        "affine",
        MADE,
        Mistake("dY.sum(axis=0)", "dY.mean(axis=0)", "b", "mean-for-sum", "dY.mean(axis=0)"),
    ),
    "an object": (
        "tanh",
        OBJECT,
        Mistake("1 - self.a ** 2", "1 - self.a", "Z", "power", "return g * (1 - self.a)"),
    ),
    "an object with a name": (
        "affine",
        OBJECT_WITH_A_NAME,
        Mistake("self.X.T @ dout", "-self.X.T @ dout", "W", "sign", "dW = -self.X.T"),
    ),
    "objects that are functions": (
        "affine",
        FUNCTION_OBJECTS,
        Mistake("dY.sum(axis=0)", "dY.mean(axis=0)", "b", "mean-for-sum", "db = dY.mean"),
    ),
    "in a dictionary": (
        "sigmoid",
        IN_A_DICTIONARY,
        Mistake("da * a * (1 - a)", "da * (1 - a)", "Z", "missing-factor", "da * (1 - a)"),
    ),
    "in a dictionary with a name": (
        "affine",
        IN_A_DICTIONARY_WITH_A_NAME,
        Mistake("X.T @ dY", "2 * X.T @ dY", "W", "scale", "dW = 2 * X.T @ dY"),
    ),
    "with defaults": ("relu", DEFAULTS, Mistake(*TURNED)),
    "only in training": ("relu", ONLY_AT_TIMES, Mistake(*TURNED)),
    "gradients in places": (
        "affine",
        IN_PLACES,
        Mistake("dY @ W.T", "-dY @ W.T", "X", "sign", "dX = -dY @ W.T"),
    ),
    "of closures": (
        "affine_relu",
        COMPOSED,
        Mistake("through_relu(dA)", "dA", "X W b", "mask-missing", "dZ = dA"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_right_code_passes(tmp_path: Path, case: str) -> None:
    layer, text, _ = CASES[case]
    found = verdict_on(bundled(layer), tmp_path, "import numpy as np\n" + text)
    assert (found.verdict, found.remarks) == ("pass", ()), found
    assert {g.standing for g in found.gradients} == {"ok"}
    assert {o.standing for o in found.forward} == {"ok"}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_line_and_cause(tmp_path: Path, case: str) -> None:
    layer, right, mistake = CASES[case]
    assert mistake.old in right
    text = "import numpy as np\n" + right.replace(mistake.old, mistake.new)
    found = verdict_on(bundled(layer), tmp_path, text, explain=True)
    assert found.verdict == "fail", found
    wrong = [gradient for gradient in found.gradients if gradient.standing == "wrong"]
    assert " ".join(gradient.name for gradient in wrong) == mistake.wrong
    for gradient in wrong:
        assert gradient.cause is not None
        assert gradient.line is not None
        assert gradient.cause.code == mistake.code, gradient.cause
        assert mistake.line in gradient.source
        assert text.splitlines()[gradient.line - 1].strip() == gradient.source


def test_a_layer_that_can_be_called_is_no_function(tmp_path: Path) -> None:
    """Beside its class, which has both passes, an object of it is nothing new."""
    text = """
import numpy as np

class Relu:
    def __call__(self, Z):
        return self.forward(Z)

    def forward(self, Z):
        self.Z = Z
        return np.maximum(Z, 0)

    def backward(self, dA):
        return dA * (self.Z > 0)

relu = Relu()
"""
    found = verdict_on(bundled("relu"), tmp_path, text)
    assert (found.verdict, found.remarks) == ("pass", ()), found
    (owner,) = inventory([(Cell("layer.py", text), ast.parse(text))]).classes
    assert owner.name == "Relu"
    assert not inventory([(Cell("layer.py", text), ast.parse(text))]).functions


def test_of_closures_of_one_name_the_line_is_that_of_its_layer(tmp_path: Path) -> None:
    text = "import numpy as np\n" + AFFINE.replace("X.T @ dY", "-X.T @ dY")
    text += BATCH_NORM.replace("backward_fn", "backprop")
    (found,) = (g for g in _told(tmp_path, "affine", text) if g.standing == "wrong")
    assert (found.name, found.line, found.source) == ("W", 7, "dW = -X.T @ dY")
    text = text.replace("-X.T @ dY", "X.T @ dY").replace("dX = inner / std", "dX = inner")
    (found,) = (g for g in _told(tmp_path, "batch_norm", text) if g.standing == "wrong")
    assert found.line is not None
    assert found.line > text.splitlines().index("def batch_norm(X, gamma, beta, eps=1e-5):")


def test_what_a_repair_needs_is_taken_from_around_the_closure(tmp_path: Path) -> None:
    """A factor that the closure nowhere names is one that its function has."""
    text = "import numpy as np\n" + BATCH_NORM.replace("dX = inner / std", "dX = inner")
    (found,) = (g for g in _told(tmp_path, "batch_norm", text) if g.standing == "wrong")
    assert found.cause is not None
    assert (found.cause.code, "std" in found.cause.message) == ("missing-factor", True)


def _told(folder: Path, layer: str, text: str) -> tuple[Compared, ...]:
    return verdict_on(bundled(layer), folder, text, explain=True).gradients


def _parsed(text: str) -> ast.Module:
    return ast.parse("import numpy as np\n" + text)


def test_what_a_worker_sends_is_what_it_read() -> None:
    for _, text, _ in CASES.values():
        found = inventory([(Cell("layer.py", text), _parsed(text))])
        again = from_json(json.loads(json.dumps(to_json(found))))
        assert (again.functions, again.classes) == (found.functions, found.classes)
    (sent,) = to_json(inventory([(Cell("layer.py", RELU), _parsed(RELU))]))["functions"]
    sent["inner"][0]["name"] = "print(1)"
    with pytest.raises(ValueError, match="no inventory"):
        from_json({"functions": [sent], "classes": [], "choices": {}, "made": []})


def test_without_a_spec_every_closure_is_judged(tmp_path: Path) -> None:
    found = verdicts(tmp_path, AFFINE + RELU + VJP + BATCH_NORM + LOSS)
    told = [(one.verdict, one.layer, *(called.name for called in one.called)) for one in found]
    assert told == [
        ("pass", "affine", "affine"),
        ("pass", "relu", "relu"),
        ("pass", "sigmoid", "sigmoid_vjp"),
        ("pass", "batch_norm", "batch_norm"),
        ("pass", "softmax_cross_entropy", "softmax_cross_entropy"),
    ]


def test_a_name_that_another_function_has_is_not_used_twice(tmp_path: Path) -> None:
    """Every layer calls its closure `backprop`, and the network has a function of that name."""
    network = "\ndef backprop(layers, dY):\n    return [layer(dY) for layer in layers]\n"
    first, second, *_ = verdicts(tmp_path, AFFINE + RELU.replace("relu", "rectify") + network)
    assert (first.verdict, first.layer) == ("pass", "affine")
    assert "backward: dX, dW, db = backprop_(dY)" in first.binding
    assert (second.verdict, second.layer) == ("pass", "relu")


def test_a_closure_with_the_name_of_a_gradient_takes_no_value_away(tmp_path: Path) -> None:
    text = "import numpy as np\n" + AFFINE.replace("backprop", "dX")
    text = text.replace("dX = dY @", "gradient = dY @").replace(
        "return dX, dW", "return gradient, dW"
    )
    found = verdict_on(bundled("affine"), tmp_path, text)
    assert found.verdict == "pass", found
    assert "backward: dX, dW, db = dX_(dY)" in found.binding


def test_the_upstream_gradient_of_a_loss_may_be_left_at_one(tmp_path: Path) -> None:
    text = "import numpy as np\n" + LOSS_WITH_UPSTREAM.replace("dloss * dS", "dS")
    found = verdict_on(bundled("softmax_cross_entropy"), tmp_path, text)
    assert found.verdict == "pass"
    assert any("dloss is not used" in remark.message for remark in found.remarks)


DROPOUT = """
def dropout(X, p=0.5):
    keep = np.random.rand(*X.shape) < p
    return X * keep / p, lambda dY: dY * keep / p
"""


@pytest.mark.parametrize(("kept", "standing"), [("X", "ok"), ("2 * X", "wrong")])
@pytest.mark.parametrize("star", ["", "*, "])
def test_what_a_closure_binds_by_a_default_is_not_given(
    tmp_path: Path, kept: str, standing: str, star: str
) -> None:
    text = f"""
    def affine(X, W, b):
        def backward(dY, {star}X={kept}):
            return dY @ W.T, X.T @ dY, dY.sum(axis=0)
        return X @ W + b, backward
    """
    verdict = verdict_on(bundled("affine"), tmp_path, dedent(text))
    assert {g.name: g.standing for g in verdict.gradients} == {"X": "ok", "W": standing, "b": "ok"}


def test_a_mask_that_only_the_closure_keeps_is_read_back(tmp_path: Path) -> None:
    text = "import numpy as np\n" + DROPOUT
    assert verdict_on(bundled("dropout"), tmp_path, text).verdict == "pass"
    found = verdict_on(bundled("dropout"), tmp_path, text.replace("dY * keep / p", "dY * keep"))
    assert [gradient.standing for gradient in found.gradients] == ["wrong"]


OTHERS = """
def affine(X, W, b):
    def predict(data):
        return data @ W + b
    return X @ W + b, predict
"""
TANGENT = """
def affine(X, W, b):
    def jvp(dX):
        return dX @ W
    return X @ W + b, jvp
"""
ONE_TOO_MANY = """
def affine(X, W, b):
    def backprop(dY, optimizer):
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)
    return X @ W + b, backprop
"""
NO_UPSTREAM = """
def affine(X, W, b):
    def backprop():
        return W.T, X.T, np.ones_like(b)
    return X @ W + b, backprop
"""
NO_UPSTREAM_IN_A_CLASS = """
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        def backward():
            return self.W.T
        return X @ self.W + self.b, backward
"""
MADE_ELSEWHERE = """
def make(X, W):
    return lambda dY: (dY @ W.T, X.T @ dY, dY.sum(axis=0))

def affine(X, W, b):
    return X @ W + b, make(X, W)
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OTHERS, "affine returns predict: it is not clear which function is the backward pass"),
        (TANGENT, "affine returns jvp: it is not clear which function is the backward pass"),
        (ONE_TOO_MANY, "backprop takes optimizer: no input, parameter or constant is called that"),
        (NO_UPSTREAM, "affine returns backprop, which takes no upstream gradient"),
        (NO_UPSTREAM_IN_A_CLASS, "forward returns backward, which takes no upstream gradient"),
        (MADE_ELSEWHERE, "which of the results"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    found = verdict_on(bundled("affine"), tmp_path, "import numpy as np\n" + text)
    assert (found.verdict, found.gradients) == ("error", ()), found
    assert found.trouble is not None
    assert reason in found.trouble.message
    assert "loss" not in found.convention  # it is none


def test_a_closure_that_is_not_written_is_told_as_that(tmp_path: Path) -> None:
    text = "import numpy as np\ndef affine(X, W, b):\n    def backprop(dY):\n        pass\n"
    found = verdict_on(bundled("affine"), tmp_path, text + "    return X @ W + b, backprop\n")
    assert found.trouble is not None
    assert found.trouble.message.startswith("backprop returns None")
    assert found.trouble.line == 3


def test_a_vjp_beside_a_jvp_is_the_backward_pass(tmp_path: Path) -> None:
    text = AFFINE.replace("backprop", "vjp").replace("return Y, vjp", "return Y, jvp, vjp")
    text = text.replace("    def vjp", "    def jvp(dX):\n        return dX @ W\n    def vjp")
    found = verdict_on(bundled("affine"), tmp_path, "import numpy as np\n" + text)
    assert found.verdict == "pass", found


DIFFERENCES = """
def affine(X, W, b):
    def differences(x, dY):
        dx = np.zeros_like(x)
        for place in np.ndindex(*x.shape):
            kept = x[place]
            x[place] = kept + 0.5
            above = AGAIN
            x[place] = kept - 0.5
            dx[place] = ((above - AGAIN) * dY).sum()
            x[place] = kept
        return dx
    def backprop(dY):
        return differences(X, dY), differences(W, dY), differences(b, dY)
    return X @ W + b, backprop
"""


@pytest.mark.parametrize("again", ["affine(X, W, b)[0]", "(X @ W + b)"])
def test_differences_inside_a_closure_are_told(tmp_path: Path, again: str) -> None:
    text = "import numpy as np\n" + DIFFERENCES.replace("AGAIN", again)
    found = verdict_on(bundled("affine"), tmp_path, text)
    assert any(remark.code == "differences" for remark in found.remarks), found


REST = """
def affine_forward(x, w, b):
    KEPT
def affine_backward(dout, *cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
"""


@pytest.mark.parametrize(
    "kept",
    [
        "return x @ w + b, x, w",
        "return x @ w + b, (x, w)",
        "cache = x, w; return x @ w + b, cache",
    ],
)
def test_a_backward_pass_that_takes_all_that_was_kept(tmp_path: Path, kept: str) -> None:
    text = "import numpy as np\n" + REST.replace("KEPT", kept)
    found = verdict_on(bundled("affine"), tmp_path, text)
    assert (found.verdict, found.remarks) == ("pass", ()), found
    found = verdict_on(bundled("affine"), tmp_path, text.replace("x.T @ dout", "2 * x.T @ dout"))
    assert [g.standing for g in found.gradients] == ["ok", "wrong", "ok"]


def test_one_array_that_was_kept_is_not_taken_apart(tmp_path: Path) -> None:
    text = (
        "import numpy as np\ndef relu_forward(z):\n    return np.maximum(z, 0), z > 0\n"
        "def relu_backward(dout, *cache):\n    return dout * cache[0]\n"
    )
    assert verdict_on(bundled("relu"), tmp_path, text).verdict == "pass"
