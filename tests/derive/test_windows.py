"""Gradients of windows are printed as convolutions, transposed ones, pooling and col2im."""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import Derivation, derive
from gradtool.emit.text import text
from gradtool.ir.tree import replace_names
from gradtool.numeric.certify import certify
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

IMAGE, FILTER = "[N, C, H, W]", "[K, C, R, S]"


def derived(line: str, inputs: str, *, constants: str = "") -> Derivation:
    """The certified derivation of one forward line."""
    named = f"constants: {{{constants}}}\n" if constants else ""
    spec = load_text(f"layer: t\ninputs: {{{inputs}}}\n{named}forward: |\n  Y = {line}\n", "t")
    graph = graph_of(spec)
    result = derive(graph)
    assert certify(spec, graph, result).digits >= 30
    return result


def printed(result: Derivation, name: str) -> str:
    """The text of a gradient, inner values of the forward pass written in place."""
    line = result.gradient(name)
    assert line is not None
    inner = {each.name: each.tree for each in result.lines if each.role == "inner"}
    return text(replace_names(line.tree, inner))


@pytest.mark.parametrize(
    ("line", "inputs", "dX"),
    [
        # V. Dumoulin and F. Visin (2016): the full correlation with the filter turned by 180.
        ("conv2d(X, F)", "X: [3, 3], F: [2, 2]", "conv2d(dY, rot180(F), pad=1)"),
        (
            "conv2d(X, F)",
            f"X: [C, H, W], F: {FILTER}",
            "conv2d(dY, rot180(F).swapaxes(0, 1), pad=(R - 1, S - 1))",
        ),
        (
            "conv2d(X, F, pad=1)",
            f"X: {IMAGE}, F: [K, C, 3, 3]",
            "conv2d(dY, rot180(F).swapaxes(0, 1), pad=1)",
        ),
        (
            "conv2d(X, F, pad=1, groups=C)",
            f"X: {IMAGE}, F: [C, 1, 3, 3]",
            "conv2d(dY, rot180(F), pad=1, groups=C)",
        ),
        # In general the transposed convolution of the same window.
        (
            "conv2d(X, F, stride=2, pad=1)",
            f"X: {IMAGE}, F: {FILTER}",
            "conv_transpose2d(dY, F, stride=2, pad=1, shape=(H, W))",
        ),
        (
            "conv2d(X, F, stride=(2, 3), dilation=(3, 2))",
            f"X: {IMAGE}, F: {FILTER}",
            "conv_transpose2d(dY, F, stride=(2, 3), dilation=(3, 2), shape=(H, W))",
        ),
        (
            "conv2d(X, F, dilation=2)",
            f"X: {IMAGE}, F: {FILTER}",
            "conv_transpose2d(dY, F, dilation=2)",
        ),
        (
            "conv2d(X, F, stride=2, layout='NHWC')",
            "X: [N, H, W, C], F: [R, S, C, K]",
            "conv_transpose2d(dY, F, stride=2, layout='NHWC', shape=(H, W))",
        ),
        (
            "conv2d(X, F, stride=2, groups=C, layout='NHWC')",
            "X: [N, H, W, C], F: [R, S, 1, C]",
            "conv_transpose2d(dY, F, stride=2, groups=C, layout='NHWC', shape=(H, W))",
        ),
        ("conv1d(X, F)", "X: [N, C, T], F: [K, C, R]", "conv_transpose1d(dY, F)"),
        (
            "conv_transpose2d(X, F, stride=2, pad=1)",
            f"X: {IMAGE}, F: [C, K, R, S]",
            "conv2d(dY, F, stride=2, pad=1)",
        ),
        ("conv_transpose2d(X, F)", f"X: {IMAGE}, F: [C, K, R, S]", "conv2d(dY, F)"),
    ],
)
def test_the_image_of_a_convolution(line: str, inputs: str, dX: str) -> None:
    assert printed(derived(line, inputs), "X") == dX


def test_a_named_stride_stays_a_name() -> None:
    result = derived(
        "conv2d(X, F, stride=stride, pad=pad)",
        f"X: {IMAGE}, F: {FILTER}",
        constants="stride: 2, pad: 1",
    )
    assert printed(result, "X") == ("conv_transpose2d(dY, F, stride=stride, pad=pad, shape=(H, W))")
    assert "windows(X, (R, S), stride=stride, pad=pad)" in printed(result, "F")


@pytest.mark.parametrize(
    ("line", "inputs", "windows"),
    [
        ("conv2d(X, F)", f"X: {IMAGE}, F: {FILTER}", "windows(X, (R, S))"),
        ("conv2d(X, F, pad=1)", f"X: {IMAGE}, F: [K, C, 3, 3]", "windows(X, (3, 3), pad=1)"),
        ("conv2d(X, F, dilation=2)", f"X: {IMAGE}, F: {FILTER}", "windows(X, (R, S), dilation=2)"),
        (
            "conv2d(X, F, pad=((0, 1), (1, 0)))",
            f"X: {IMAGE}, F: {FILTER}",
            "windows(X, (R, S), pad=((0, 1), (1, 0)))",
        ),
        (
            "conv2d(X, F, layout='NHWC')",
            "X: [N, H, W, C], F: [R, S, C, K]",
            "windows(X, (R, S, 1))",
        ),
        (
            "conv1d(X, F, stride=2, pad=1)",
            "X: [N, C, T], F: [K, C, R]",
            "windows(X, R, stride=2, pad=1)",
        ),
        (
            "conv_transpose2d(X, F, stride=2)",
            f"X: {IMAGE}, F: [C, K, R, S]",
            "windows(dY, (R, S), stride=2)",
        ),
        ("conv2d(X, F, groups=G)", "X: [N, G*C, H, W], F: [G*K, C, R, S]", "(R, S)"),
    ],
)
def test_the_filter_of_a_convolution(line: str, inputs: str, windows: str) -> None:
    result = derived(line, inputs)
    shown = " ".join(text(each.tree) for each in result.lines)
    assert windows in shown


def test_the_filter_of_one_image_is_a_correlation_with_the_upstream() -> None:
    assert printed(derived("conv2d(X, F)", "X: [3, 3], F: [2, 2]"), "F") == "conv2d(X, dY)"
    assert printed(derived("conv2d(X, F)", "X: [H, W], F: [R, S]"), "F") == "conv2d(X, dY)"
    assert printed(derived("conv1d(X, F)", "X: [T], F: [R]"), "F") == "conv1d(X, dY)"


@pytest.mark.parametrize(
    ("line", "inputs", "dX"),
    [
        (
            "max_pool2d(X)",
            f"X: {IMAGE}",
            "max_unpool2d(dY, argmax_pool2d(X, size=2), size=2, shape=(H, W))",
        ),
        (
            "max_pool2d(X, size=(3, 2), stride=(1, 2))",
            f"X: {IMAGE}",
            "max_unpool2d(dY, argmax_pool2d(X, size=(3, 2), stride=(1, 2)), "
            "size=(3, 2), stride=(1, 2), shape=(H, W))",
        ),
        (
            "max_pool2d(X, size=2, stride=1)",
            f"X: {IMAGE}",
            "max_unpool2d(dY, argmax_pool2d(X, size=2, stride=1), size=2, stride=1, shape=(H, W))",
        ),
        (
            "avg_pool2d(X, size=3, stride=1, pad=1)",
            f"X: {IMAGE}",
            "conv_transpose2d(dY, ones((C, 1, 3, 3)), pad=1, groups=C, shape=(H, W)) / 9",
        ),
        (
            "max_pool2d(X, size=3, stride=2, pad=1)",
            f"X: {IMAGE}",
            "max_unpool2d(dY, argmax_pool2d(X, size=3, stride=2, pad=1), "
            "size=3, stride=2, pad=1, shape=(H, W))",
        ),
        (
            "max_pool2d(X, layout='NHWC')",
            "X: [N, H, W, C]",
            "max_unpool2d(dY, argmax_pool2d(X, size=2, layout='NHWC'), "
            "size=2, layout='NHWC', shape=(H, W))",
        ),
        ("avg_pool2d(X)", "X: [N, C, 2*H, 2*W]", "upsample_nearest(dY, scale=2) / 4"),
        (
            "avg_pool2d(X, size=3, stride=2)",
            f"X: {IMAGE}",
            "conv_transpose2d(dY, ones((C, 1, 3, 3)), stride=2, groups=C, shape=(H, W)) / 9",
        ),
        (
            "avg_pool2d(X, size=3, stride=2, layout='NHWC')",
            "X: [N, H, W, C]",
            "conv_transpose2d(dY, ones((3, 3, 1, C)), stride=2, groups=C, layout='NHWC', "
            "shape=(H, W)) / 9",
        ),
        (
            "avg_pool2d(X, size=2, pad=1)",
            "X: [H, W]",
            "conv_transpose2d(dY, ones((2, 2)), stride=2, pad=1, shape=(H, W)) / 4",
        ),
        ("upsample_nearest(X)", f"X: {IMAGE}", "dY.reshape(N, C, H, 2, W, 2).sum(axis=(3, 5))"),
    ],
)
def test_pooling(line: str, inputs: str, dX: str) -> None:
    assert printed(derived(line, inputs), "X") == dX


@pytest.mark.parametrize("options", ["", ", stride=2", ", pad=1, dilation=2", ", stride=2, pad=1"])
def test_im2col_goes_back_by_col2im(options: str) -> None:
    shown = printed(derived(f"im2col(X, (R, S){options})", f"X: {IMAGE}, F: [R, S]"), "X")
    assert shown.startswith("col2im(dY")
    assert shown.endswith(f", (N, C, H, W), (R, S){options})")


@pytest.mark.parametrize(
    ("line", "inputs"),
    [
        ("windows(X, (R, S), stride=2).sum(axis=(2, 3))", "X: [H, W], F: [R, S]"),
        ("max_pool2d(conv2d(X, F, pad=1), size=2)", "X: [N, C, 2*H, 2*W], F: [K, C, 3, 3]"),
        ("conv2d(relu(conv2d(X, F, pad=1)), F, pad=1)", "X: [N, C, H, W], F: [C, C, 3, 3]"),
        ("conv2d(X, X[:, :, :2, :2])", "X: [N, C, 4, 5]"),
        ("conv2d(avg_pool2d(X, size=2), F, stride=2)", f"X: {IMAGE}, F: {FILTER}"),
        ("conv2d(upsample_nearest(X), F)", f"X: {IMAGE}, F: {FILTER}"),
    ],
)
def test_compositions_hold(line: str, inputs: str) -> None:
    derived(line, inputs)
