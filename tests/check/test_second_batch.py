"""Code that is right for its first batch only is wrong; what only an odd order spoils is told.

Wrong and right classes differ in what they keep.  The oracle is the derivation: what is right for
the second batch is what a new object gives for it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_path
from tests.layers import bundled, verdict_on

AFFINE = """
import numpy as np
class Affine:
    def __init__(self, W, b):
        {made}
    def forward(self, X):
        {forward}
        return X @ self.W + self.b
    def backward(self, dY):
        {backward}
        return dY @ self.W.T
"""
MADE, KEPT = "self.W, self.b = W, b", "self.X = X"
GIVEN = "self.dW, self.db = self.X.T @ dY, dY.sum(0)"


def checked(folder: Path, layer: str, text: str) -> Verdict:
    return verdict_on(bundled(layer), folder, text)


def affine(folder: Path, made: str = MADE, forward: str = KEPT, backward: str = GIVEN) -> Verdict:
    def body(lines: str) -> str:
        return lines.replace("\n", "\n        ")

    text = AFFINE.format(made=body(made), forward=body(forward), backward=body(backward))
    return checked(folder, "affine", text)


def told(verdict: Verdict) -> dict[str, str]:
    return {remark.code: remark.message for remark in verdict.conduct}


@pytest.mark.parametrize(
    ("made", "forward", "backward", "wrong", "message"),
    [
        (
            f"{MADE}\nself.all = []", "self.all.append(X)\nself.X = self.all[0]", GIVEN,
            "W", "right for the first batch only",
        ),
        (
            f"{MADE}\nself.v = 0", KEPT,
            "self.v = 0.9 * self.v + self.X.T @ dY\nself.dW, self.db = self.v, dY.sum(0)",
            "W", "right for the first batch only",
        ),
        (
            f"{MADE}\nself.n = 0", f"{KEPT}\nself.n += 1",
            "self.dW, self.db = self.X.T @ dY / self.n, dY.sum(0)",
            "W", "right for the first batch only",
        ),
        (
            f"{MADE}\nself.back = W.T.copy()", KEPT, f"{GIVEN}\nreturn dY @ self.back",
            "X", "right until W changes",
        ),
        (
            "self.b, self.rows = b, np.array(W)", f"{KEPT}\nself.W = self.rows",
            f"{GIVEN}\nself.b = self.b + dY.mean()",
            "", "",
        ),
    ],
)  # fmt: skip
def test_an_object_that_is_right_once_is_wrong(
    tmp_path: Path, made: str, forward: str, backward: str, wrong: str, message: str
) -> None:
    verdict = affine(tmp_path, made, forward, backward)
    found = {g.name: g.message for g in verdict.gradients if g.standing == "wrong"}
    if not wrong:  # its backward pass changes the weights: an update, or a mistake
        assert (verdict.verdict, found) == ("pass", {})
        assert "after a backward pass" in told(verdict)["state"]
        return
    assert verdict.verdict == "fail"
    assert list(found) == [wrong]
    assert message in found[wrong]


@pytest.mark.parametrize(
    ("made", "forward", "backward", "codes"),
    [
        (MADE, KEPT, GIVEN, set()),
        ("self.W, self.b = W.copy(), b.copy()", KEPT, GIVEN, set()),
        ("self.W, self.b = W.copy(), b", KEPT, GIVEN, set()),
        ("self.W, self.b = W, b.reshape(1, -1)", KEPT, GIVEN, set()),
        (f"{MADE}\nself.kept = []", f"{KEPT}\nself.kept.append(X)",
         "x = self.kept.pop()\nself.dW, self.db = x.T @ dY, dY.sum(0)", set()),
        (f"{MADE}\nself.dW, self.db = np.zeros_like(W), np.zeros_like(b)", KEPT,
         "self.dW += self.X.T @ dY\nself.db += dY.sum(0)", {"accumulates"}),
        (f"{MADE}\nself.dW, self.db = np.zeros_like(W), np.zeros_like(b)", KEPT,
         "self.dW[...] = self.X.T @ dY\nself.db[...] = dY.sum(0)", set()),
        (f"{MADE}\nself.mean = 0", f"{KEPT}\nself.mean = 0.9 * self.mean + X.mean(0)", GIVEN,
         set()),
        (f"{MADE}\nself.done = False", f"{KEPT}\nself.done = False",
         f"assert not self.done\nself.done = True\n{GIVEN}", set()),
        (f"{MADE}\nself.used = False", f"assert not self.used\nself.used = True\n{KEPT}", GIVEN,
         {"state"}),
        (f"{MADE}\nself.rate = 0.1", KEPT, f"{GIVEN}\nself.W = self.W + 0.0", set()),
    ],
)  # fmt: skip
def test_an_object_that_keeps_what_it_may_is_right(
    tmp_path: Path, made: str, forward: str, backward: str, codes: set[str]
) -> None:
    verdict = affine(tmp_path, made, forward, backward)
    assert verdict.verdict == "pass", verdict
    assert set(told(verdict)) == codes


def test_weights_that_are_set_are_set_again(tmp_path: Path) -> None:
    text = (
        "import numpy as np\nclass Affine:\n"
        "    def __init__(self, D, C): self.W, self.b = np.ones((D, C)), np.ones(C)\n"
        "    def forward(self, X):\n        self.X = X\n        return X @ self.W + self.b\n"
        "    def backward(self, dY):\n        self.dW, self.db = self.X.T @ dY, dY.sum(0)\n"
        "        dX = dY @ self.W.T\n        self.W = self.W - 0.1 * self.dW\n        return dX\n"
    )
    verdict = checked(tmp_path, "affine", text)
    assert (verdict.verdict, told(verdict)) == ("pass", {})
    # By its constructor: what it made of them nobody can set.
    text = text.replace("def __init__(self, D, C): self.W, self.b = np.ones((D, C)), np.ones(C)",
                        "def __init__(self, W, b): self.W, self.b = W, b")  # fmt: skip
    verdict = checked(tmp_path, "affine", text)
    assert verdict.verdict == "pass"
    assert told(verdict)["state"].startswith("after a backward pass the forward pass")


BATCH_NORM = """
import numpy as np
class BatchNorm:
    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps, self.mean = gamma, beta, eps, None
    def forward(self, X):
        mu, var = X.mean(0), X.var(0)
        if self.mean is None: self.mean, self.var = mu, var
        self.mean, self.var = 0.9*self.mean + 0.1*mu, 0.9*self.var + 0.1*var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (X - mu) / self.std
        return self.gamma*self.xhat + self.beta
    def backward(self, dY):
        self.dgamma, self.dbeta = (dY*self.xhat).sum(0), dY.sum(0)
        g = dY*self.gamma
        return (g - g.mean(0) - self.xhat*(g*self.xhat).mean(0)) / self.std
"""


def test_running_statistics_may_be_kept_and_not_be_used(tmp_path: Path) -> None:
    right = checked(tmp_path, "batch_norm", BATCH_NORM)
    assert (right.verdict, told(right)) == ("pass", {})
    used = BATCH_NORM.replace("(X - mu)", "(X - self.mean)").replace("(var +", "(self.var +")
    wrong = checked(tmp_path, "batch_norm", used)
    assert wrong.verdict == "fail"
    assert wrong.forward[0].standing == "wrong"
    assert "right for the first batch only" in wrong.forward[0].message


DROPOUT = """
import numpy as np
class Dropout:
    def __init__(self, p): self.p, self.mask = p, None
    def forward(self, X):
        {drawn}
        return X * self.mask / self.p
    def backward(self, dY): return dY * self.mask / self.p
"""


@pytest.mark.parametrize(
    ("drawn", "verdict"),
    [
        ("self.mask = np.random.rand(*X.shape) < self.p", "pass"),
        ("np.random.seed(3); self.mask = np.random.rand(*X.shape) < self.p", "pass"),
        ("if self.mask is None: self.mask = np.random.rand(*X.shape) < self.p", "fail"),
    ],
)
def test_a_mask_is_drawn_for_every_batch(tmp_path: Path, drawn: str, verdict: str) -> None:
    found = checked(tmp_path, "dropout", DROPOUT.format(drawn=drawn))
    assert found.verdict == verdict
    assert ("is that of the first" in found.forward[0].message) == (verdict == "fail")


RELU = """
import numpy as np
class Relu:
    def __init__(self): self.kept = []
    def forward(self, Z):
        {forward}
        return np.maximum(Z, 0)
    def backward(self, dA):
        {backward}
"""


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ("self.kept.append(Z > 0)", "return dA * self.kept.pop()", ""),
        ("self.kept.append(Z > 0)", "return dA * self.kept.pop(0)", "a forward whose backward"),
        (
            "self.Z = (Z > 0) * 1.0", "self.Z *= dA; return self.Z",
            "dZ of a second backward after the same forward is another one",
        ),
        ("self.Z = Z > 0", "return dA * self.Z", ""),
    ],
)  # fmt: skip
def test_what_only_another_order_of_calls_spoils_is_told(
    tmp_path: Path, forward: str, backward: str, message: str
) -> None:
    verdict = checked(tmp_path, "relu", RELU.format(forward=forward, backward=backward))
    assert verdict.verdict == "pass"
    assert told(verdict).get("state", "").startswith(message)
    assert bool(message) == bool(told(verdict))


FUNCTIONS = """
import numpy as np
kept = {{}}
def affine_forward(X, W, b):
    {forward}
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    {backward}
"""
RETURNED = "return dY @ W.T, X.T @ dY, dY.sum(0)"


@pytest.mark.parametrize(
    ("forward", "backward", "verdict", "codes"),
    [
        ("", RETURNED, "pass", set()),
        ("kept[0] = X", f"X = kept[0]; {RETURNED}", "pass", {"state"}),
        ("kept[X.shape] = X", f"X = kept[X.shape]; {RETURNED}", "pass", {"state"}),
        ("", "D = kept.setdefault(W.shape, np.zeros(W.shape)); D[...] = X.T @ dY; "
         "return dY @ W.T, D, dY.sum(0)", "pass", {"aliases"}),
        ("", f"X = kept.setdefault(X.shape, X); {RETURNED}", "fail", None),
    ],
)  # fmt: skip
def test_functions_that_keep_something_for_each_shape(
    tmp_path: Path, forward: str, backward: str, verdict: str, codes: set[str] | None
) -> None:
    text = FUNCTIONS.format(forward=forward or "pass", backward=backward)
    found = checked(tmp_path, "affine", text)
    assert found.verdict == verdict
    if codes is not None:
        assert set(told(found)) == codes


CBOW = """\
layer: cbow
inputs:
  c: {shape: [], index: V}
  context: {shape: [M], index: V}
parameters:
  A: [V, D]
  U: [V, D]
forward: |
  cost = -log_softmax(U @ sum(A[context], axis=0))[c]
"""
NAIVE = """\
import numpy as np
def cbow_forward(c, context, A, U):
    h = A[context].sum(axis=0)
    e = np.exp(U @ h)
    p = e / e.sum()
    return -np.log(p[c]), (c, context, A, U, h, p)
def cbow_backward(dcost, cache):
    c, context, A, U, h, p = cache
    d = p.copy()
    d[c] -= 1
    d = dcost * d
    dA = np.zeros_like(A)
    np.add.at(dA, context, U.T @ d)
    return dA, np.outer(d, h)
"""


@pytest.mark.parametrize("seed", range(6))
def test_what_overflows_along_a_long_axis_is_not_looked_at_again_there(
    tmp_path: Path, seed: int
) -> None:
    # Of a sum of 1,000 vectors the softmax overflows for some values, and not for others.
    (tmp_path / "cbow.yaml").write_text(CBOW)
    spec = load_path(tmp_path / "cbow.yaml")
    found = verdict_on(reference_for(spec), tmp_path, NAIVE, seed=seed)
    assert found.verdict == "pass", found
