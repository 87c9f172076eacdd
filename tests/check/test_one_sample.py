"""Code for one sample: right as it is, and never called wrong because it takes no batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.one_sample import Batch, batch_of, is_apart
from gradtool.check.result import Verdict
from gradtool.report.check_command import exit_code
from tests.layers import every_layer, verdicts


def remarks(verdict: Verdict, code: str) -> list[str]:
    return [remark.message for remark in verdict.remarks if remark.code == code]


VECTORS = """
def affine_forward(x, W, b):
    return x @ W + b, (x, W)
def affine_backward(dy, cache):
    x, W = cache
    return dy @ W.T, {dW}, dy
"""
TURNED = """
def dense_forward(x, W, b):
    return W.dot(x) + b, (x, W, b)
def dense_backward(dy, cache):
    x, W, b = cache
    return W.T.dot(dy), np.outer(dy, x), dy
"""
SOFTMAX = """
def softmax_forward(z):
    e = np.exp(z - z.max())
    p = e / e.sum()
    return p, p
def softmax_backward(dp, p):
    return (np.diag(p) - {product}) @ dp
"""


@pytest.mark.parametrize("text", [VECTORS.format(dW="np.outer(x, dy)"), TURNED])
def test_a_layer_of_one_vector_is_right_and_says_so(tmp_path: Path, text: str) -> None:
    (only,) = verdicts(tmp_path, text)
    assert (only.verdict, only.layer) == ("pass", "affine")
    assert {g.name for g in only.gradients} == {"X", "W", "b"}
    (said,) = remarks(only, "restricted")
    assert said.startswith("takes one sample only; with a batch, X (N, D): dW has shape")


def test_a_layer_of_one_vector_with_a_mistake_is_not_right(tmp_path: Path) -> None:
    (only,) = verdicts(tmp_path, VECTORS.format(dW="np.outer(x, 2 * dy)"))
    assert only.verdict == "fail"


@pytest.mark.parametrize(
    ("product", "verdict"), [("np.outer(p, p)", "pass"), ("np.outer(p, np.ones_like(p))", "fail")]
)
def test_one_sum_over_everything_is_a_softmax_of_one_vector(
    tmp_path: Path, product: str, verdict: str
) -> None:
    (only,) = verdicts(tmp_path, SOFTMAX.format(product=product))
    assert (only.verdict, only.layer) == (verdict, "softmax")
    assert remarks(only, "restricted")


COLUMNS = """
class Dense:
    def __init__(self, n_in, n_out):
        self.weights = np.random.randn(n_out, n_in)
        self.bias = np.random.randn(n_out, 1)
    def forward(self, x):
        self.x = x
        return self.weights @ x + self.bias
    def backward(self, dy{rate}):
        dx = self.weights.T @ dy
        {update}
        return dx
"""


def test_an_update_that_only_one_column_fits_is_right_for_one_sample(tmp_path: Path) -> None:
    update = "self.weights -= lr * dy @ self.x.T; self.bias -= lr * dy"
    (only,) = verdicts(tmp_path, COLUMNS.format(rate=", lr", update=update))
    assert only.verdict == "pass"
    (said,) = remarks(only, "restricted")
    assert "X (D, N): ValueError: non-broadcastable output operand" in said


def test_a_sum_over_columns_that_may_be_forgotten_is_no_verdict(tmp_path: Path) -> None:
    # With one column it is right, for a batch it is the commonest mistake there is.
    update = "self.dweights = dy @ self.x.T; self.dbias = dy"
    (only,) = verdicts(tmp_path, COLUMNS.format(rate="", update=update))
    assert only.verdict == "error"
    assert only.trouble is not None
    assert only.trouble.stage == "contract"
    assert "right for one sample (N = 1), and not for a batch: db has shape (" in (
        only.trouble.message
    )
    assert "a sum over the samples is missing" in only.trouble.message
    assert only.trouble.message.endswith("--spec affine")
    assert exit_code([only]) == 1


FORGOTTEN = {
    # The mean over the samples says that it is meant for many.
    "columns with a mean": """
def linear_forward(A, W, b):
    return W @ A + b, (A, W)
def linear_backward(dZ, cache):
    A, W = cache
    return W.T @ dZ, dZ @ A.T / A.shape[1], dZ
""",
    # A vector has no transpose to multiply by.
    "rows": """
def affine_forward(x, W, b):
    return x @ W + b, (x, W)
def affine_backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy, dy
""",
    # Of one vector this is the right sum; the forward, though, is for a batch.
    "softmax": """
def softmax_forward(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return p, p
def softmax_backward(dp, p):
    return p * (dp - (p * dp).sum())
""",
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_is_wrong_for_a_batch_stays_wrong(tmp_path: Path, name: str) -> None:
    (only,) = verdicts(tmp_path, FORGOTTEN[name])
    assert only.verdict == "fail"
    assert not remarks(only, "restricted")


def test_a_sum_and_a_mean_are_told_apart_where_one_sample_cannot(tmp_path: Path) -> None:
    text = """
def squared_loss(y, t):
    loss = 0.7 * np.sum((y - t) ** 2) / y.shape[0] ** 2
    return loss, 1.4 * (y - t) / y.shape[0] ** 2
"""
    (only,) = verdicts(tmp_path, text)
    assert only.layer == ""


def test_what_counts_samples() -> None:
    layers, _ = every_layer()
    known = {reference.spec.name: reference for reference in layers.references}
    found = {name: batch_of(reference) for name, reference in known.items()}
    assert found["affine"] == found["conv2d"] == found["lstm"] == Batch("N", 0)
    assert found["affine_column"] == Batch("N", -1)
    assert found["inverse"] is None
    assert found["frobenius_norm"] is None
    assert is_apart(known["layer_norm"], Batch("N", 0))
    assert not is_apart(known["batch_norm"], Batch("N", 0))
