"""A reading that is narrower or turned excuses nothing that the plain one can be asked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gradtool.report.check_command import Request, run

HEAD = "import numpy as np\n"
OVER_ROWS = """
def softmax_forward(Z):
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    return P, P
def softmax_backward(dP, P):
    return P * (dP - (dP * P).sum(axis=1, keepdims=True))
"""
OVER_COLUMNS = OVER_ROWS.replace("axis=1", "axis=0")
IN_COLUMNS = """
def affine_forward(X, W, b):
    return W @ X + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    return W.T @ dY, dY @ X.T, dY.sum(axis=1, keepdims=True)
"""
CONV = """
def conv2d_forward(X, F):
    (N, C, H, W), (K, _, R, S) = X.shape, F.shape
    Y = np.zeros((N, K, H - R + 1, W - S + 1))
    for r in range(R):
        for s in range(S):
            part = X[:, :, r:r + Y.shape[2], s:s + Y.shape[3]]
            Y += np.einsum("nchw,kc->nkhw", part, F[:, :, r, s])
    return Y, (X, F)
def conv2d_backward(dY, cache):
    X, F = cache
    dX, dF = np.zeros_like(X), np.zeros_like(F)
    R, S = F.shape[2:]
    for r in range(R):
        for s in range(S):
            rows, columns = slice(r, r + dY.shape[2]), slice(s, s + dY.shape[3])
            dF[:, :, r, s] = np.einsum("nkhw,nchw->kc", dY, X[:, :, rows, columns])
            dX[:, :, rows, columns] += np.einsum("nkhw,kc->nchw", dY, F[:, :, r, s])
    return dX, dF
"""
SCALED = """
def affine_forward(X, W, b):
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    m = X.shape[0]
    return dY @ W.T, X.T @ dY / m, dY.sum(axis=0) / m
"""
LOSS = """
def two_layer_net(X, y, W1, b1, W2, b2, reg):
    N = len(X)
    Z = X @ W1 + b1
    H = np.maximum(Z, 0)
    S = H @ W2 + b2
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    loss = -np.log(P[np.arange(N), y]).mean() + reg * ((W1**2).sum() + (W2**2).sum())
    P[np.arange(N), y] -= 1
    P /= N
    dZ = P @ W2.T * (Z > 0)
    grads = {"W2": H.T @ P + 2 * reg * W2, "b2": P.sum(axis=0)}
    grads["W1"] = X.T @ dZ + 2 * reg * W1
    grads["b1"] = dZ.sum(axis=0)
    return loss, grads
"""


def reported(folder: Path, text: str, *specs: str) -> tuple[int, str]:
    file, out = folder / "layers.py", io.StringIO()
    file.write_text(HEAD + text)
    return run(Request(file, specs), out), out.getvalue()


def test_another_axis_is_not_taken_for_another_layout_where_a_spec_says_which(
    tmp_path: Path,
) -> None:
    code, told = reported(tmp_path, OVER_COLUMNS, "softmax")
    assert code == 2
    assert "with one sample per column, everything is right" in " ".join(told.split())
    assert "the gradient is right" not in told
    # Nobody has said how the samples lie: then it is told how they were taken.
    code, told = reported(tmp_path, OVER_COLUMNS)
    assert code == 0
    assert "one sample per column" in told


@pytest.mark.parametrize(("text", "layer"), [(OVER_ROWS, "softmax"), (IN_COLUMNS, "affine")])
def test_what_runs_in_one_layout_only_is_meant_in_it(tmp_path: Path, text: str, layer: str) -> None:
    code, told = reported(tmp_path, text, layer)
    assert code == 0, told


def test_square_filters_excuse_no_code_that_takes_others(tmp_path: Path) -> None:
    assert reported(tmp_path, CONV, "conv2d_valid")[0] == 0
    lines = CONV.partition("dX, dF = ")
    wrong = lines[0] + lines[1] + lines[2].replace("range(S)", "range(min(R, S))")
    for specs in (("conv2d_valid",), ()):
        code, told = reported(tmp_path, wrong, *specs)
        assert code == 1, told
        assert "2 of 2 gradients are wrong" in told
    # A forward pass that takes nothing but square filters owes no more.
    square = CONV.replace("range(S)", "range(R)").replace("W - S + 1", "W - R + 1")
    code, told = reported(tmp_path, square, "conv2d_valid")
    assert code == 0, told
    assert "with R = S" in told


@pytest.mark.parametrize(("axis", "code"), [(0, 0), (1, 1)])
def test_a_mean_over_samples_is_a_convention_and_one_over_features_is_none(
    tmp_path: Path, axis: int, code: int
) -> None:
    found, told = reported(tmp_path, SCALED.replace("shape[0]", f"shape[{axis}]"), "affine")
    assert found == code, told
    assert ("1/N times the gradient, as some courses" in " ".join(told.split())) == (code == 0)


def test_a_loss_owes_the_gradient_of_every_parameter(tmp_path: Path) -> None:
    assert reported(tmp_path, LOSS, "two_layer_net")[0] == 0
    code, told = reported(
        tmp_path, LOSS.replace('    grads["b1"] = dZ.sum(axis=0)\n', ""), "two_layer_net"
    )
    assert code == 1
    assert "1 of 4 gradients is not offered" in told
