"""Convolution, pooling and window words compute what plain loops over all entries compute."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gradtool.emit.text import text
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

Array = Any


def evaluate(line: str, constants: str = "{unused: 1}", **arrays: Array) -> Array:
    """Evaluate ``Y = …`` with arrays of literal shapes."""
    shapes = ", ".join(f"{n}: [{', '.join(map(str, a.shape))}]" for n, a in arrays.items())
    spec = load_text(
        f"layer: t\ninputs: {{{shapes}}}\nconstants: {constants}\nforward: |\n  Y = {line}\n", "t"
    )
    graph = graph_of(spec)
    return run(graph.statements, arrays, setting_for(graph, {}, Double()))["Y"]


def message(line: str, **arrays: Array) -> str:
    with pytest.raises(SpecError) as caught:
        evaluate(line, **arrays)
    return str(caught.value)


def entry(x: Array, n: int, c: int, i: int, j: int) -> float:
    """An image entry, zero outside."""
    inside = 0 <= i < x.shape[2] and 0 <= j < x.shape[3]
    return float(x[n, c, i, j]) if inside else 0.0


def loops(
    x: Array,
    f: Array,
    b: Array | None,
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """The definition of a convolution, one output entry after the other."""
    n, _, h, w = x.shape
    k, cg, r, s = f.shape
    rows = (h + 2 * pad[0] - dilation[0] * (r - 1) - 1) // stride[0] + 1
    columns = (w + 2 * pad[1] - dilation[1] * (s - 1) - 1) // stride[1] + 1
    y = np.zeros((n, k, rows, columns))
    for a, kk, i, j in np.ndindex(*y.shape):
        first = kk // (k // groups) * cg
        y[a, kk, i, j] = 0 if b is None else b[kk]
        for cc, p, q in itertools.product(range(cg), range(r), range(s)):
            y[a, kk, i, j] += f[kk, cc, p, q] * entry(
                x,
                a,
                first + cc,
                stride[0] * i + dilation[0] * p - pad[0],
                stride[1] * j + dilation[1] * q - pad[1],
            )
    return y


rng = np.random.default_rng(0)
X = rng.standard_normal((2, 4, 7, 6))
F = rng.standard_normal((6, 4, 3, 2))
B = rng.standard_normal(6)
F2 = rng.standard_normal((6, 2, 3, 2))
DEPTH = rng.standard_normal((4, 1, 3, 2))
DOUBLED = rng.standard_normal((8, 1, 3, 2))


@pytest.mark.parametrize(
    ("options", "stride", "pad", "dilation"),
    [
        ("", (1, 1), (0, 0), (1, 1)),
        ("stride=2", (2, 2), (0, 0), (1, 1)),
        ("pad=1", (1, 1), (1, 1), (1, 1)),
        ("stride=(2, 3), pad=(2, 1)", (2, 3), (2, 1), (1, 1)),
        ("dilation=(2, 3), pad=1", (1, 1), (1, 1), (2, 3)),
        ("stride=3, pad=2, dilation=2", (3, 3), (2, 2), (2, 2)),
    ],
)
def test_conv2d_is_the_loop(
    options: str, stride: tuple[int, int], pad: tuple[int, int], dilation: tuple[int, int]
) -> None:
    comma = ", " if options else ""
    got = evaluate(f"conv2d(X, F{comma}{options})", X=X, F=F)
    assert np.allclose(got, loops(X, F, None, stride, pad, dilation, 1))
    got = evaluate(f"conv2d(X, F, b{comma}{options})", X=X, F=F, b=B)
    assert np.allclose(got, loops(X, F, B, stride, pad, dilation, 1))
    last = evaluate(
        f'conv2d(X, F, b, layout="NHWC"{comma}{options})',
        X=X.transpose(0, 2, 3, 1),
        F=F.transpose(2, 3, 1, 0),
        b=B,
    )
    assert np.allclose(last.transpose(0, 3, 1, 2), got)


def test_strides_and_pads_may_be_named_integers() -> None:
    got = evaluate("conv2d(X, F, stride=stride, pad=pad)", "{stride: 2, pad: 1}", X=X, F=F)
    assert np.allclose(got, loops(X, F, None, (2, 2), (1, 1), (1, 1), 1))


@pytest.mark.parametrize(("f", "groups"), [(F2, 2), (DEPTH, 4), (DOUBLED, 4)])
def test_groups_have_their_own_filters(f: Array, groups: int) -> None:
    b = rng.standard_normal(len(f))
    got = evaluate(f"conv2d(X, F, b, stride=2, pad=1, groups={groups})", X=X, F=f, b=b)
    expected = loops(X, f, b, (2, 2), (1, 1), (1, 1), groups)
    assert np.allclose(got, expected)
    last = evaluate(
        f'conv2d(X, F, b, stride=2, pad=1, groups={groups}, layout="NHWC")',
        X=X.transpose(0, 2, 3, 1),
        F=f.transpose(2, 3, 1, 0),
        b=b,
    )
    assert np.allclose(last.transpose(0, 3, 1, 2), expected)


def test_axes_of_size_one_and_views_are_padded_too() -> None:
    thin, point = X[:, :1, :1, :], rng.standard_normal((3, 1, 3, 2))
    got = evaluate("conv2d(X, F, pad=1)", X=thin, F=point)
    assert np.allclose(got, loops(thin, point, None, (1, 1), (1, 1), (1, 1), 1))
    turned = evaluate("conv2d(swapaxes(X, 2, 3), F, pad=1)", X=X, F=F)
    assert np.allclose(turned, loops(X.swapaxes(2, 3), F, None, (1, 1), (1, 1), (1, 1), 1))


def test_conv2d_without_batch_or_channels() -> None:
    assert np.allclose(
        evaluate("conv2d(X, F, b)", X=X[0], F=F, b=B), evaluate("conv2d(X, F, b)", X=X, F=F, b=B)[0]
    )
    x, f = X[0, 0], F[0, 0]
    assert np.allclose(
        evaluate("conv2d(X, F)", X=x, F=f),
        loops(x[None, None], f[None, None], None, (1, 1), (0, 0), (1, 1), 1)[0, 0],
    )


def test_same_keeps_the_size_and_pairs_pad_each_side() -> None:
    got = evaluate('conv2d(X, F, pad="same")', X=X, F=F)
    assert got.shape == (2, 6, 7, 6)
    padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (0, 1)))
    assert np.allclose(got, loops(padded, F, None, (1, 1), (0, 0), (1, 1), 1))
    assert np.allclose(got, evaluate("conv2d(X, F, pad=((1, 1), (0, 1)))", X=X, F=F))


@pytest.mark.parametrize("options", ["", ", stride=2", ", pad=2, dilation=2"])
def test_conv1d_is_a_flat_conv2d(options: str) -> None:
    x, f = X[:, :, 0], F[:, :, :, 0]
    two = options.replace("pad=2", "pad=(0, 2)")
    flat = evaluate(f"conv2d(X, F, b{two})", X=x[:, :, None], F=f[:, :, None], b=B)
    assert np.allclose(evaluate(f"conv1d(X, F, b{options})", X=x, F=f, b=B), flat[:, :, 0])
    turned = evaluate(
        f'conv1d(X, F, b, layout="NWC"{options})',
        X=x.transpose(0, 2, 1),
        F=f.transpose(2, 1, 0),
        b=B,
    )
    assert np.allclose(turned.transpose(0, 2, 1), flat[:, :, 0])


def spread(
    x: Array, f: Array, stride: int, pad: int, dilation: int, extra: int, groups: int
) -> Array:
    """Every entry adds a scaled filter to the result."""
    n, c, h, w = x.shape
    _, kg, r, s = f.shape
    whole = np.zeros(
        (
            n,
            kg * groups,
            (h - 1) * stride + dilation * (r - 1) + 1 + extra,
            (w - 1) * stride + dilation * (s - 1) + 1 + extra,
        )
    )
    for a, cc, i, j in np.ndindex(*x.shape):
        first = cc // (c // groups) * kg
        for k, p, q in np.ndindex(*f.shape[1:]):
            whole[a, first + k, stride * i + dilation * p, stride * j + dilation * q] += (
                x[a, cc, i, j] * f[cc, k, p, q]
            )
    return whole[:, :, pad : whole.shape[2] - pad, pad : whole.shape[3] - pad]


@pytest.mark.parametrize(
    ("stride", "pad", "dilation", "extra", "groups"),
    [
        (1, 0, 1, 0, 1),
        (2, 0, 1, 0, 1),
        (2, 1, 1, 1, 1),
        (3, 1, 2, 0, 1),
        (2, 1, 1, 0, 2),
        (2, 0, 1, 0, 4),
    ],
)
def test_conv_transpose2d_spreads_filters(
    stride: int, pad: int, dilation: int, extra: int, groups: int
) -> None:
    f, x = rng.standard_normal((4, 3, 3, 2)), X[:, :, :3, :2]
    b = rng.standard_normal(3 * groups)
    options = f"stride={stride}, pad={pad}, dilation={dilation}, groups={groups}"
    got = evaluate(f"conv_transpose2d(X, F, b, {options}, output_pad={extra})", X=x, F=f, b=b)
    expected = spread(x, f, stride, pad, dilation, extra, groups) + b[:, None, None]
    assert np.allclose(got, expected)
    rows, columns = expected.shape[2:]
    sized = evaluate(
        f"conv_transpose2d(X, F, b, {options}, shape=({rows}, {columns}))", X=x, F=f, b=b
    )
    assert np.allclose(sized, expected)
    last = evaluate(
        f'conv_transpose2d(X, F, b, {options}, output_pad={extra}, layout="NHWC")',
        X=x.transpose(0, 2, 3, 1),
        F=f.transpose(2, 3, 1, 0),
        b=b,
    )
    assert np.allclose(last.transpose(0, 3, 1, 2), expected)


def test_conv_transpose2d_is_the_transpose_of_conv2d() -> None:
    forward = evaluate("conv2d(X, F, stride=2, pad=1)", X=X, F=F)
    assert forward.shape == (2, 6, 4, 4)
    y = rng.standard_normal(forward.shape)
    back = evaluate("conv_transpose2d(U, F, stride=2, pad=1, shape=(7, 6))", U=y, F=F)
    assert np.isclose((forward * y).sum(), (X * back).sum())


def test_windows_and_im2col() -> None:
    flat = np.lib.stride_tricks.sliding_window_view(X, (3, 2), axis=(2, 3))
    assert np.allclose(evaluate("windows(X, (3, 2))", X=X), flat)
    wide = np.lib.stride_tricks.sliding_window_view(
        np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3)
    )[:, :, ::2, ::2]
    assert np.allclose(evaluate("windows(X, (3, 3), stride=2, pad=1)", X=X), wide)
    rows = wide.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 4 * 9)
    assert np.allclose(evaluate("im2col(X, 3, stride=2, pad=1)", X=X), rows)
    assert np.allclose(
        evaluate("im2col(X, (3, 2)) @ reshape(F, (6, -1)).T", X=X, F=F),
        loops(X, F, None, (1, 1), (0, 0), (1, 1), 1).transpose(0, 2, 3, 1).reshape(-1, 6),
    )


def test_col2im_is_the_transpose_of_im2col() -> None:
    col = evaluate("im2col(X, (3, 2), stride=2, pad=1)", X=X)
    u = rng.standard_normal(col.shape)
    back = evaluate("col2im(U, (2, 4, 7, 6), (3, 2), stride=2, pad=1)", U=u)
    assert back.shape == X.shape
    assert np.isclose((col * u).sum(), (back * X).sum())


@pytest.mark.parametrize("options", ["", "size=3, stride=2, pad=1", "size=(2, 3), stride=1"])
def test_max_unpool2d_puts_entries_back_where_the_maxima_were(options: str) -> None:
    comma = ", " if options else ""
    y = evaluate(f"max_pool2d(X{comma}{options})", X=X)
    u = rng.standard_normal(y.shape)
    line = f"max_unpool2d(U, argmax_pool2d(X{comma}{options}){comma}{options}, shape=(7, 6))"
    back = evaluate(line, U=u, X=X)
    expected = np.zeros_like(X)
    for n, c, i, j in np.ndindex(*y.shape):
        expected[n, c][np.nonzero(X[n, c] == y[n, c, i, j])] += u[n, c, i, j]
    assert np.allclose(back, expected)
    last = evaluate(
        line.replace("(X", "(X, layout='NHWC'").replace("shape", "layout='NHWC', shape"),
        U=u.transpose(0, 2, 3, 1),
        X=X.transpose(0, 2, 3, 1),
    )
    assert np.allclose(last.transpose(0, 3, 1, 2), expected)


def pooled(x: Array, size: tuple[int, int], stride: tuple[int, int], pad: int, how: str) -> Array:
    empty = -np.inf if how == "max" else 0.0
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=empty)
    rows = (wide.shape[2] - size[0]) // stride[0] + 1
    columns = (wide.shape[3] - size[1]) // stride[1] + 1
    y = np.zeros((*x.shape[:2], rows, columns))
    for n, c, i, j in np.ndindex(*y.shape):
        window = wide[n, c, i * stride[0] :, j * stride[1] :][: size[0], : size[1]]
        y[n, c, i, j] = window.max() if how == "max" else window.mean()
    return y


@pytest.mark.parametrize("how", ["max", "avg"])
@pytest.mark.parametrize(
    ("options", "size", "stride", "pad"),
    [
        ("", (2, 2), (2, 2), 0),
        ("size=3", (3, 3), (3, 3), 0),
        ("size=(3, 2), stride=1", (3, 2), (1, 1), 0),
        ("size=3, stride=2, pad=1", (3, 3), (2, 2), 1),
        ("size=(1, 2), stride=(2, 1)", (1, 2), (2, 1), 0),
        ("size=2, stride=None, pad=1", (2, 2), (2, 2), 1),
    ],
)
def test_pooling_is_the_loop(
    how: str, options: str, size: tuple[int, int], stride: tuple[int, int], pad: int
) -> None:
    comma = ", " if options else ""
    got = evaluate(f"{how}_pool2d(X{comma}{options})", X=X)
    assert np.allclose(got, pooled(X, size, stride, pad, how))
    last = evaluate(f'{how}_pool2d(X{comma}{options}, layout="NHWC")', X=X.transpose(0, 2, 3, 1))
    assert np.allclose(last.transpose(0, 3, 1, 2), got)


def test_padding_never_wins_a_maximum() -> None:
    x = -1 - rng.random((1, 1, 3, 3))
    got = evaluate("max_pool2d(X, size=2, stride=1, pad=1)", X=x)
    assert (got < -1).all()
    assert got[0, 0, 0, 0] == x[0, 0, 0, 0]


def test_global_pooling_and_upsampling() -> None:
    assert np.allclose(evaluate("global_avg_pool(X)", X=X), X.mean(axis=(2, 3)))
    assert np.allclose(evaluate("global_max_pool(X)", X=X), X.max(axis=(2, 3)))
    assert np.allclose(evaluate("upsample_nearest(X)", X=X), X.repeat(2, 2).repeat(2, 3))
    assert np.allclose(
        evaluate('upsample_nearest(X, scale=(2, 3), layout="NHWC")', X=X),
        X.repeat(2, 1).repeat(3, 2),
    )


@pytest.mark.parametrize(
    "line",
    [
        "conv2d(X, F, b, stride=(2, 1), pad=stride, layout='NHWC')",
        "conv_transpose2d(X, F, stride=stride, layout='NHWC', shape=(9, 9))",
        "max_pool2d(X, size=3, stride=stride, pad=1)",
        "avg_pool2d(X, size=(2, 1))",
        "upsample_nearest(X, scale=stride)",
        "windows(X, (1, 2), pad=((0, 0), (0, 1)))",
        "im2col(X, 2, stride=stride)",
        "col2im(col, (2, 1, 5, 5), 2, pad=((0, 1), (0, 1)))",
        "max_unpool2d(P, A, size=2, shape=(5, 4))",
    ],
)
def test_the_printed_tree_reads_back(line: str) -> None:
    shapes = (
        "X: [2, 5, 5, 4], F: [3, 2, 4, 4], b: [4], col: [50, 4], P: [2, 5, 2, 2], "
        "A: {shape: [2, 5, 2, 2], index: 4}"
    )
    spec = load_text(
        f"layer: t\ninputs: {{{shapes}}}\nconstants: {{stride: 2}}\nforward: |\n  Y = {line}\n", "t"
    )
    graph = graph_of(spec)
    assert text(graph.statements[-1].tree) == line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("conv2d(X, F2)", "the filter (6, 2, 3, 2) has 2 channels, the image (2, 4, 7, 6) needs 4"),
        ("conv2d(X, F, groups=3)", "4 channels do not split into 3 groups"),
        ("conv2d(X, B)", "needs images of 4 axes (NCHW)"),
        ("conv2d(X, F, stride=0)", "a stride must be at least 1, found 0"),
        ("conv2d(X, F, pad=-1)", "a pad must be at least 0, found -1"),
        ("conv2d(X, F, dilation=9)", "a window of 3 does not fit an axis of 7"),
        ("conv2d(X, F, F)", "the bias needs the shape (6,)"),
        ('conv2d(X, F, layout="CHWN")', "knows the layouts NCHW and NHWC"),
        ("conv2d(X, F, stride=(1, 2, 3))", "one for each of 2 axes, found 3"),
        ('conv2d(X, F, pad="same", stride=2)', "needs stride 1"),
        ("max_pool2d(B)", "max_pool2d needs images"),
        ("max_pool2d(X, size=2, pad=2)", "outside"),
        ("im2col(B, 2)", "im2col needs images (N, C, H, W)"),
    ],
)
def test_wrong_uses_say_what_is_wrong(line: str, said: str) -> None:
    assert said in message(line, X=X, F=F, F2=F2, B=B)
