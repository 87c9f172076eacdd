"""A wrong forward pass that is not given whole numbers of the layer: the remark names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import bundled, verdict_on

CONVOLUTION = """
import numpy as np

def windows(x, w):
    rows, columns = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    for r in range(w.shape[2]):
        for s in range(w.shape[3]):
            yield r, s, slice(r, r + rows), slice(s, s + columns)

def conv_forward(x, w, b):
    parts = (np.einsum("nchw,kc->nkhw", x[:, :, i, j], w[:, :, r, s])
             for r, s, i, j in windows(x, w))
    return sum(parts) + b[:, None, None], (x, w)

def conv_backward(dout, cache):
    x, w = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for r, s, i, j in windows(x, w):
        dw[:, :, r, s] = np.einsum("nkhw,nchw->kc", dout, x[:, :, i, j])
        dx[:, :, i, j] += np.einsum("nkhw,kc->nchw", dout, w[:, :, r, s])
    return dx, dw, dout.sum(axis=(0, 2, 3))
"""
BATCH_NORM = """
import numpy as np

def batchnorm_forward(x, gamma, beta):
    std = np.sqrt(x.var(axis=0, ddof=1) + 1e-5)
    xhat = (x - x.mean(axis=0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)

def batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    inner = dout - dout.mean(axis=0) - xhat * (dout * xhat).mean(axis=0)
    return gamma * inner / std, (dout * xhat).sum(axis=0), dout.sum(axis=0)
"""


@pytest.mark.parametrize(
    ("text", "layer", "said"),
    [
        (CONVOLUTION, "conv2d", "the layer has stride = 2 and pad = 1"),
        (BATCH_NORM, "batch_norm", ""),  # its eps is no whole number, and is in the code
    ],
)
def test_the_remark_on_a_wrong_forward(text: str, layer: str, said: str, tmp_path: Path) -> None:
    found = verdict_on(bundled(layer), tmp_path, text)
    assert found.forward[0].standing == "wrong"
    remarks = [r.message for r in found.remarks if "no argument of your code" in r.message]
    assert [m.split(", and no")[0] for m in remarks] == ([said] if said else [])


def test_a_right_forward_has_no_such_remark(tmp_path: Path) -> None:
    text = CONVOLUTION.replace("w, b):", "w):").replace(" + b[:, None, None]", "")
    text = text.replace(", dout.sum(axis=(0, 2, 3))", "")
    found = verdict_on(bundled("conv2d_valid"), tmp_path, text)
    assert found.verdict == "pass"
    assert not found.remarks
