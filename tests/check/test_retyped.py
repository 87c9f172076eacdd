"""Code that takes a mask or labels in one type only is judged with that type, and told which."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, verdicts

# name: (layer, file, a piece of the file, what makes it wrong, what is told)
CODE = {
    "a mask that chooses": (
        "masked_cross_entropy",
        """
def masked_cross_entropy(S, y, mask):
    p = np.exp(S - S.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    d = p.copy()
    d[np.arange(len(y)), y] -= 1
    loss = -np.log(p[np.arange(len(y)), y])[mask].sum() / len(y)
    return loss, np.where(mask[:, None], d, 0) / len(y)
""",
        "0) / len(y)",
        "0)",
        "m is given as bool",
    ),
    "a mask that is inverted": (
        "dropout",
        """
def dropout_forward(X, mask, p):
    return np.where(mask, X, 0) / p, (mask, p)
def dropout_backward(dY, cache):
    mask, p = cache
    dX = dY / p
    dX[~mask] = 0
    return dX
""",
        "dX[~mask]",
        "dX[~mask.T.reshape(mask.shape)]",
        "M is given as bool",
    ),
    "labels that are places": (
        "logistic_regression",
        """
def logistic_regression(X, t, w, b):
    a = 1 / (1 + np.exp(-(X @ w + b)))
    both = np.stack([1 - a, a], 1)
    d = (a - t) / len(t)
    loss = -np.log(both[np.arange(len(t)), t]).mean()
    return loss, np.outer(d, w), X.T @ d, d.sum()
""",
        "d.sum()",
        "d.mean()",
        "t is given as int",
    ),
    "a mask with a sign": (
        "temporal_softmax_loss",
        """
def temporal_softmax_loss(x, y, mask):
    p = np.exp(x - x.max(2, keepdims=True))
    p /= p.sum(2, keepdims=True)
    chosen = np.log(np.take_along_axis(p, y[..., None], 2))[..., 0]
    return (-mask * chosen).sum() / len(x), (p - np.eye(x.shape[2])[y]) * mask[..., None] / len(x)
""",
        "mask[..., None] / len(x)",
        "mask[..., None]",
        "mask is given as float",
    ),
    "a label that is an int": (
        "skipgram_softmax",
        """
def skipgram_softmax(v, o, U):
    if not isinstance(o, int):
        raise TypeError("o must be an int")
    z = U @ v
    p = np.exp(z - z.max())
    p /= p.sum()
    d = p.copy()
    d[o] -= 1
    return -np.log(p[o]), U.T @ d, np.outer(d, v)
""",
        "d[o] -= 1",
        "d[o] -= 2",
        "o is given as int",
    ),
}


def judged(folder: Path, layer: str, text: str) -> Verdict:
    return verdict_on(bundled(layer), folder, f"import numpy as np\n{text}")


def told(verdict: Verdict) -> str:
    return "; ".join(remark.message for remark in verdict.remarks)


@pytest.mark.parametrize("name", CODE)
def test_the_type_that_is_wanted_is_found(tmp_path: Path, name: str) -> None:
    layer, right, piece, mistake, said = CODE[name]
    found = judged(tmp_path, layer, right)
    assert found.verdict == "pass"
    assert said in told(found)
    assert right.count(piece) == 1
    wrong = judged(tmp_path, layer, right.replace(piece, mistake))
    assert wrong.verdict == "fail"
    assert any(gradient.standing == "wrong" for gradient in wrong.gradients)


@pytest.mark.parametrize("name", ["a mask that is inverted", "a mask with a sign"])
def test_without_a_spec_as_well(tmp_path: Path, name: str) -> None:
    layer, right, *_, said = CODE[name]
    (found,) = verdicts(tmp_path, right)
    assert (found.verdict, found.layer) == ("pass", layer)
    assert said in told(found)


def test_code_that_takes_the_type_of_the_spec_is_given_that(tmp_path: Path) -> None:
    """Also where it is wrong, or raises at some sizes only: then no type is the reason."""
    plain = """
def dropout_forward(X, M, p):
    return X * M / p, (M, p)
def dropout_backward(dY, cache):
    M, p = cache
    {refusal}
    return dY * M {divided}
"""
    found = judged(tmp_path, "dropout", plain.format(refusal="", divided="/ p"))
    assert (found.verdict, told(found)) == ("pass", "")
    found = judged(tmp_path, "dropout", plain.format(refusal="", divided=""))
    assert found.verdict == "fail"
    assert "is given as" not in told(found)
    some = "if M.shape[0] == 1: raise TypeError('one sample')"
    found = judged(tmp_path, "dropout", plain.format(refusal=some, divided="/ p"))
    assert found.verdict == "fail"
    assert "is given as" not in told(found)
