"""Classes of convolutions and poolings, as they are constructed in code of other people."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.arguments import Names
from gradtool.check.filters import filters_of
from gradtool.check.result import Verdict
from tests.layers import every_layer, verdicts


def only(folder: Path, text: str) -> Verdict:
    (found,) = verdicts(folder, text)
    return found


CONV = """
class Conv2D:
    def __init__(self, in_channels, out_channels, kernel_size{rest}):
        self.{kernel}
        self.stride, self.padding = {strides}
        self.{weights} = np.random.randn(out_channels, in_channels, self.kh, self.kw)
        self.{biases} = np.zeros({shape})
    def windows(self):
        s, (N, K, rows, columns) = self.stride, self.out
        for i in range(rows):
            for j in range(columns):
                yield i, j, slice(s * i, s * i + self.kh), slice(s * j, s * j + self.kw)
    def forward(self, x):
        p, s = self.padding, self.stride
        F = self.{weights}
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        H, W = self.x.shape[2:]
        self.out = len(x), len(F), (H - self.kh) // s + 1, (W - self.kw) // s + 1
        out = np.zeros(self.out)
        for i, j, rows, columns in self.windows():
            part = self.x[:, :, rows, columns]
            out[:, :, i, j] = np.einsum("ncrs,kcrs->nk", part, F) + self.{biases}.reshape(1, -1)
        return out
    def backward(self, dout):
        F, dx, dF = self.{weights}, np.zeros(self.x.shape), np.zeros(self.{weights}.shape)
        for i, j, rows, columns in self.windows():
            dx[:, :, rows, columns] {add} np.einsum("nk,kcrs->ncrs", dout[:, :, i, j], F)
            dF += np.einsum("nk,ncrs->kcrs", dout[:, :, i, j], self.x[:, :, rows, columns])
        self.{dweights}, self.{dbiases} = dF, dout.sum((0, 2, 3))
        p, (H, W) = self.padding, self.x.shape[2:]
        return dx[:, :, p:H - p, p:W - p]
"""
ONE = "kh = self.kw = kernel_size"
PAIR = "kh, self.kw = kernel_size"
PLAIN = {
    "kernel": ONE,
    "rest": ", stride=1, padding=0",
    "strides": "stride, padding",
    "weights": "weight",
    "biases": "bias",
    "dweights": "dweight",
    "dbiases": "dbias",
    "shape": "out_channels",
    "add": "+=",
}
IN_STORES = {
    "weights": 'params["W"]',
    "biases": 'params["b"]',
    "dweights": 'grads["W"]',
    "dbiases": 'grads["b"]',
    "kernel": "params = self.grads = None\n        self.params, self.grads = {}, {}\n"
    f"        self.{ONE}",
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "with R = S"),
        ({"kernel": PAIR}, "the class Conv2D"),
        ({"shape": "(out_channels, 1)"}, "with R = S"),
        (IN_STORES, "with R = S"),
    ],
)
def test_a_convolution_is_made_with_its_sizes(
    tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    right = only(tmp_path, CONV.format(**{**PLAIN, **changes}))
    assert (right.verdict, right.layer) == ("pass", "conv2d"), right.trouble
    assert told in right.convention
    assert ("R = S" in right.convention) == ("R = S" in told)
    wrong = only(tmp_path, CONV.format(**{**PLAIN, **changes, "add": "="}))
    assert {g.name: g.standing for g in wrong.gradients} == {"X": "wrong", "F": "ok", "b": "ok"}


@pytest.mark.parametrize(
    ("strides", "said"), [("1, 0", "stride is 1, pad is 0"), ("2, 2", "pad is 2"), ("3, 1", "")]
)
def test_a_stride_that_is_no_argument_is_read_from_the_numbers(
    tmp_path: Path, strides: str, said: str
) -> None:
    found = only(tmp_path, CONV.format(**{**PLAIN, "rest": "", "strides": strides}))
    assert (found.verdict, found.layer) == ("pass", "conv2d"), found.trouble
    (remark,) = (r.message for r in found.remarks if r.code == "contract")
    assert said in remark
    assert "in your code, another number than in the layer of that name" in remark


def test_a_gradient_that_was_not_found_is_no_mistake(tmp_path: Path) -> None:
    hidden = {**PLAIN, "dweights": "somewhere", "dbiases": "elsewhere"}
    found = only(tmp_path, CONV.format(**hidden))
    assert (found.verdict, found.layer) == ("error", "")
    assert found.trouble is not None
    assert "where the object leaves dF and db was not recognised" in found.trouble.message


METHODS = """
class Layer:
    def {forward}(self, x):
        self.x = x
        return 1 / (1 + np.exp(-x))
    def {backward}(self, delta):
        s = 1 / (1 + np.exp(-self.x))
        return delta * s * (1 - s)
"""


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("forward_propagation", "backward_propagation"),
        ("_forwards", "_backwards"),
        ("propagate", "backpropagate"),
        ("forward_prop", "back_prop"),
    ],
)
def test_methods_are_found_by_the_words_of_their_names(
    tmp_path: Path, forward: str, backward: str
) -> None:
    found = only(tmp_path, METHODS.format(forward=forward, backward=backward))
    assert (found.verdict, found.layer) == ("pass", "sigmoid"), found.trouble


def test_what_the_sizes_of_filters_count() -> None:
    layers, _ = every_layer()
    found = {layer.spec.name: filters_of(Names.of(layer)) for layer in layers.references}
    conv, turned = found["conv2d"], found["conv_transpose2d"]
    assert conv is not None
    assert (conv.channels, conv.filters, conv.window) == ("C", "K", ("R", "S"))
    assert [conv.size(name) for name in ("in_channels", "num_filters", "stride")] == [
        "C",
        "K",
        None,
    ]
    assert turned is not None
    assert (turned.channels, turned.filters) == ("C", "K")
    assert found["affine"] is found["conv2d_depthwise"] is found["max_pool2d"] is None
