"""Code that is right for some sizes or values only is found; what is right but naive passes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from gradtool.check.limits import clipped
from gradtool.check.measure import Point
from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.check.stress import _BEYOND
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text

SPECS = {
    "affine": """
layer: affine
inputs: {X: [N, D]}
parameters: {W: [D, C], b: [C]}
forward: Y = tanh(X @ W + b)
""",
    "pool": """
layer: pool
inputs: {X: [N, H]}
constants: {size: 2, stride: 2}
forward: |
  Y[n, i] = sum(X[n, stride*i + p], over=[p < size])
check:
  forward: Y, cache = pool_forward(X, size, stride)
  backward: dX = pool_backward(dY, cache)
""",
    "softmax": """
layer: softmax
inputs: {S: [N, C]}
forward: P = softmax(S, axis=1)
""",
    "logistic": """
layer: logistic
inputs: {X: [N], y: {shape: [N], domain: binary, constant: true}}
forward: |
  L = sum(softplus(X) - y * X)
""",
    "relu": """
layer: relu
inputs: {X: [N, D]}
forward: Y = relu(X)
""",
    "hinge": """
layer: hinge
inputs: {X: [N]}
forward: L = sum(maximum(0, X - 4))
""",
    "centred": """
layer: centred
inputs: {X: [N, D]}
parameters: {b: [D]}
forward: |
  Z = X + b
  Y = Z - Z.mean(axis=0)
""",
}
AFFINE = """
import numpy as np
def affine_forward(x, w, b):
    y = np.tanh(x @ w + b)
    return y, (x, w, y)
def affine_backward(dout, cache):
    x, w, y = cache
    d = dout * (1 - y ** 2)
    dx, dw, db = d @ w.T, x.T @ d, d.sum(axis=0)
    CHANGE
    return dx, dw, db
"""


@cache
def reference(name: str) -> DerivedReference:
    return reference_for(load_text(SPECS[name].lstrip(), f"{name}.yaml"))


def checked(folder: Path, name: str, text: str, seed: int = 0) -> Verdict:
    file = folder / "hw.py"
    file.write_text(text)
    return check_pair(reference(name), file, seed=seed, version="1", explain=False).verdict


def remarks(verdict: Verdict) -> set[str]:
    return {remark.code for remark in verdict.remarks}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("dw = x[:10].T @ d[:10]", "all sizes 6 times larger"),
        ("db = d[:100].sum(axis=0)", "N is 1000"),
        ("dx = d @ w.T if len(x) > 1 else d @ w.T * 2", "all sizes 6 times larger"),
        ("dx = d @ w.T if w.shape[0] != w.shape[1] else d @ w", "equal sizes"),
        (
            "dx = d @ w.T if abs(x).max() < 8 else d @ w.T * 1.5",
            "right until the largest value reaches 8",
        ),
        ("dw = dw if abs(w).max() < 8 else -dw", "right until the largest value reaches 8"),
        ("dx = dx if abs(x).max() > 1e-2 else 0 * dx", "right until the largest value shrinks to"),
        ("db = db if abs(dout).max() < 80 else -db", "until the upstream gradient reaches 80"),
        ("db = db if abs(dout).max() > 0.01 else 0 * db", "until the upstream gradient shrinks to"),
    ],
)
def test_right_for_some_sizes_and_values_only(tmp_path: Path, change: str, said: str) -> None:
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change))
    assert verdict.verdict == "fail"
    wrong = [g for g in verdict.gradients if g.standing == "wrong"]
    assert len(wrong) == 1
    if "len(x) > 1" not in change:
        assert said in wrong[0].message


def test_a_switch_at_huge_values_is_found(tmp_path: Path) -> None:
    code = """
def centred_forward(x, b):
    return (x + b) - (x + b).mean(axis=0), x
def centred_backward(dout, x):
    db = 0 * dout[0]
    dx = dout - dout.mean(axis=0)
    return (dx if abs(x).max() < 800 else -dx), db
"""
    (wrong,) = [g for g in checked(tmp_path, "centred", code).gradients if g.standing == "wrong"]
    assert wrong.message == "right until the largest value reaches 800, wrong from there on"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("dx = np.clip(dx, -1500, 1500)", "dX is cut off at 1500"),
        ("dw *= min(1, 1000 / np.linalg.norm(dw))", "dW is scaled down where it is large"),
        ("dw *= min(1, 20 / np.linalg.norm(dw))", "dW is scaled down where it is large, and"),
    ],
)
def test_a_limit_is_told_and_no_mistake(tmp_path: Path, code: str, said: str) -> None:
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", code))
    assert verdict.verdict == "pass", verdict
    (remark,) = verdict.remarks
    assert remark.code == "clips"
    assert remark.message.startswith(said)


@pytest.mark.parametrize(
    "change",
    [
        "dw *= 20 / np.linalg.norm(dw)",
        "dw = dw / np.linalg.norm(dw) if len(x) > 10 else dw",
        "dw *= min(1, 20 / np.linalg.norm(dw)) * (1 if len(x) < 20 else 0.5)",
    ],
)
def test_a_norm_that_is_always_set_or_set_and_wrong_is_a_mistake(
    tmp_path: Path, change: str
) -> None:
    assert checked(tmp_path, "affine", AFFINE.replace("CHANGE", change)).verdict == "fail"


@pytest.mark.parametrize(
    "code",
    [
        "dw = np.einsum('nd,nc->dc', x, d)",
        "db = np.array([sum(float(v) for v in d[:, c]) for c in range(d.shape[1])])",
        "dx = np.stack([w @ row for row in d])",
    ],
)
def test_right_in_other_words(tmp_path: Path, code: str) -> None:
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", code))
    assert (verdict.verdict, verdict.remarks, verdict.conduct) == ("pass", (), ())


@pytest.mark.parametrize(
    "change",
    [
        "dw = np.float64(x.T.astype(np.float32) @ d.astype(np.float32))",
        "k = np.zeros(w.shape, np.float32); k += x.T @ d; dw = k * np.ones(w.shape)",
        "h = y.astype(np.float32).astype(float); dw = x.T @ (dout * (1 - h ** 2))",
    ],
)
def test_float32_inside_is_right_with_a_remark(tmp_path: Path, change: str) -> None:
    for seed in range(3):
        verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change), seed)
        assert verdict.verdict == "pass", verdict
        assert remarks(verdict) == {"float32"}


@pytest.mark.parametrize(
    "change",
    [
        "dw = dw * (1 + 1e-7)",
        "dw = dw + 1e-6 * np.sin(1e3 * dw)",
        "dw = np.float32(dw) * np.float32(1 + 4e-6)",
        "dw = np.round(dw, 7)",
    ],
)
def test_errors_of_the_size_of_float32_are_wrong(tmp_path: Path, change: str) -> None:
    for seed in range(5):
        verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change), seed)
        assert [g.standing for g in verdict.gradients] == ["ok", "wrong", "ok"]


@pytest.mark.parametrize("step", ["1e-4", "1e-5", "1e-6", "1e-7", "1e-8"])
@pytest.mark.parametrize("ends", ["f(e) - f(-e)|2", "f(e) - f(0)|1"])
def test_differences_are_wrong_and_named(tmp_path: Path, step: str, ends: str) -> None:
    difference, width = ends.split("|")
    change = f"""db = []
    for e in {step} * np.eye(len(db_shape := w[0])):
        def f(h): return np.tanh(np.arctanh(y) + h)
        db.append((({difference}) * dout).sum() / ({width} * {step}))
    db = np.array(db)"""
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change))
    assert [g.standing for g in verdict.gradients] == ["ok", "ok", "wrong"]
    cause = verdict.gradients[2].cause
    assert cause is not None
    assert cause.code == "differences"


POOL = """
import numpy as np
def pool_forward(x, size, stride):
    n, h = x.shape
    starts = range(0, h - size + 1, stride)
    return np.stack([x[:, s:s + size].sum(axis=1) for s in starts], axis=1), (x.shape, size, stride)
def pool_backward(dout, cache):
    shape, size, stride = cache
    dx = np.zeros(shape)
    for i in range(dout.shape[1]):
        dx[:, i * stride:i * stride + size] OP dout[:, i:i + 1]
    return dx
"""


def test_a_stride_other_than_the_window_is_tried_where_the_code_is_given_it(tmp_path: Path) -> None:
    assert checked(tmp_path, "pool", POOL.replace("OP", "+=")).verdict == "pass"
    overwritten = checked(tmp_path, "pool", POOL.replace("OP", "="))
    assert overwritten.verdict == "fail"
    assert "stride is 1" in overwritten.gradients[0].message or "size is 3" in (
        overwritten.gradients[0].message
    )
    refusing = POOL.replace("OP", "+=").replace("    n, h =", "    assert size == stride; n, h =")
    verdict = checked(tmp_path, "pool", refusing)
    assert verdict.verdict == "pass"
    assert remarks(verdict) == {"constant"}


def test_a_softmax_that_overflows_at_large_inputs_is_a_remark(tmp_path: Path) -> None:
    text = """
import numpy as np
def softmax_forward(s):
    e = np.exp(s)
    p = e / e.sum(axis=1, keepdims=True)
    return p, p
def softmax_backward(dout, p):
    return p * (dout - (dout * p).sum(axis=1, keepdims=True))
"""
    verdict = checked(tmp_path, "softmax", text)
    assert verdict.verdict == "pass"
    assert remarks(verdict) == {"overflow"}


@pytest.mark.parametrize(("right", "limit"), [(1.0000001, None), (1.5, 1.0)])
def test_a_last_digit_is_no_limit(right: float, limit: float | None) -> None:
    found = SimpleNamespace(array=np.array([1.0, -1.0, 0.5]), bound=np.full(3, 1e-15))
    expected = SimpleNamespace(gradients={"x": np.array([right, -right, 0.5])})
    point = SimpleNamespace(gradients={"x": found}, expected=expected)
    assert clipped(cast(Point, point), "x", _BEYOND) == limit


@pytest.mark.parametrize(
    "backward",
    [
        "s - y",
        "(s - y) / (s * (1 - s)) * s * (1 - s)",
        "-y / s * s * (1-s) + (1-y) / (1-s) * s * (1-s)",
    ],
)
def test_a_saturated_sigmoid_loses_digits_and_is_right(tmp_path: Path, backward: str) -> None:
    text = f"""
import numpy as np
def logistic_loss(x, y):
    s = 1 / (1 + np.exp(-x))
    return -np.sum(y * np.log(s) + (1 - y) * np.log(1 - s)), {backward}
"""
    for seed in range(2):
        verdict = checked(tmp_path, "logistic", text, seed)
        assert verdict.verdict == "pass", verdict


def test_what_is_zero_by_chance_is_drawn_again_and_what_is_always_zero_is_told(
    tmp_path: Path,
) -> None:
    text = "import numpy as np\ndef hinge_loss(x):\n    return np.maximum(0, x - 4).sum(), {}\n"
    assert checked(tmp_path, "hinge", text.format("1.0 * (x > 4)")).verdict == "pass"
    zero = checked(tmp_path, "hinge", text.format("np.zeros_like(x)"))
    assert zero.gradients[0].standing == "wrong"
    centred = """
import numpy as np
def centred_forward(x, b):
    z = x + b
    return z - z.mean(axis=0), x.shape
def centred_backward(dout, shape):
    dx = dout - dout.mean(axis=0)
    return dx, DB
"""
    right = checked(tmp_path, "centred", centred.replace("DB", "dx.sum(axis=0)"))
    assert right.verdict == "pass"
    assert remarks(right) == {"zero"}
    wrong = checked(tmp_path, "centred", centred.replace("DB", "dout.sum(axis=0)"))
    assert wrong.gradients[1].standing == "wrong"


@pytest.mark.parametrize(
    ("mask", "remarked"),
    [
        ("(x > 0)", set()),
        ("(x >= 0)", set()),
        ("np.where(x == 0, 0.5, x > 0)", set()),
        ("np.maximum(x, 0) / x", {"kink"}),
        ("np.where(x == 0, 9.0, x > 0)", {"kink"}),
    ],
)
def test_any_choice_at_a_kink_is_right_and_what_is_no_choice_is_told(
    tmp_path: Path, mask: str, remarked: set[str]
) -> None:
    text = f"""
import numpy as np
def relu_forward(x):
    return np.maximum(x, 0), x
def relu_backward(dout, x):
    return dout * {mask}
"""
    verdict = checked(tmp_path, "relu", text)
    assert verdict.verdict == "pass"
    assert remarks(verdict) == remarked


CONV = """
import numpy as np
def slide_forward(x, w, stride):
    n, h = x.shape
    CHECK
    starts = range(0, h - len(w) + 1, stride)
    return np.stack([x[:, s:s + len(w)] @ w for s in starts], axis=1), (x, w, stride)
def slide_backward(dout, cache):
    x, w, stride = cache
    dx, dw = np.zeros(SHAPE), np.zeros_like(w)
    for i in range(dout.shape[1]):
        dx[:, i * stride:i * stride + len(w)] += np.outer(dout[:, i], w)
        dw += dout[:, i] @ x[:, i * stride:i * stride + len(w)]
    return dx, dw
"""
SLIDE = """
layer: slide
inputs: {X: [N, H]}
parameters: {W: [K]}
constants: {stride: 3}
forward: |
  Y[n, i] = sum(X[n, stride*i + p] * W[p], over=[p])
check:
  forward: Y, cache = slide_forward(X, W, stride)
  backward: dX, dW = slide_backward(dY, cache)
"""


def slid(folder: Path, check: str, shape: str) -> Verdict:
    file = folder / "hw.py"
    file.write_text(CONV.replace("CHECK", check).replace("SHAPE", shape))
    layer = reference_for(load_text(SLIDE.lstrip(), "slide.yaml"))
    return check_pair(layer, file, seed=0, version="1", explain=False).verdict


def test_windows_that_do_not_fit_may_be_refused(tmp_path: Path) -> None:
    fits = "assert (h - len(w)) % stride == 0, 'does not fit'"
    verdict = slid(tmp_path, fits, "x.shape")
    assert (verdict.verdict, verdict.trouble) == ("pass", None)
    assert remarks(verdict) <= {"restricted", "constant"}
    told = [r.message for r in verdict.remarks if r.code == "restricted"]
    assert len(told) == 1
    assert "does not fit" in told[0]
    verdict = slid(tmp_path, f"{fits}; w = w * 2", "x.shape")
    assert [f.standing for f in verdict.forward] == ["wrong"]
    # What refuses every size is not right anywhere.
    verdict = slid(tmp_path, "assert False", "x.shape")
    assert (verdict.verdict, verdict.trouble is None) == ("error", False)


def test_windows_that_do_not_fit_may_not_be_wrong(tmp_path: Path) -> None:
    verdict = slid(tmp_path, "pass", "(len(x), (dout.shape[1] - 1) * stride + len(w))")
    assert [g.standing for g in verdict.gradients] == ["wrong", "ok"]
    assert "right where the windows fit" in verdict.gradients[0].message


PADDED = """
import numpy as np
def padded_forward(x, w, pad):
    wide = np.pad(x, ((0, 0), (pad, pad)))
    starts = range(wide.shape[1] - len(w) + 1)
    return np.stack([wide[:, s:s + len(w)] @ w for s in starts], axis=1), (wide, w, pad)
def padded_backward(dout, cache):
    wide, w, pad = cache
    CHECK
    d, dw = np.zeros_like(wide), np.zeros_like(w)
    for i in range(dout.shape[1]):
        d[:, i:i + len(w)] += np.outer(dout[:, i], w)
        dw += dout[:, i] @ wide[:, i:i + len(w)]
    return d[:, CUT], dw
"""
PADDED_SPEC = """
layer: padded
inputs: {X: [N, H]}
parameters: {W: [K]}
constants: {pad: 2}
forward: |
  Y[n, i < H + 2*pad - K + 1] = sum(X[n, i + p - pad] * W[p], over=[p], outside=0)
check:
  forward: Y, cache = padded_forward(X, W, pad)
  backward: dX, dW = padded_backward(dY, cache)
"""


@pytest.mark.parametrize(
    ("check", "cut", "said"),
    [
        ("", "pad:-pad", "dX is wrong where pad is 0"),
        ("assert pad", "pad:-pad", "where pad is 0, it raises AssertionError"),
        ("", "pad:d.shape[1] - pad", ""),
    ],
)
def test_code_that_needs_a_padding_is_told_so(
    tmp_path: Path, check: str, cut: str, said: str
) -> None:
    file = tmp_path / "hw.py"
    file.write_text(PADDED.replace("CHECK", check).replace("CUT", cut))
    layer = reference_for(load_text(PADDED_SPEC.lstrip(), "padded.yaml"))
    verdict = check_pair(layer, file, seed=0, version="1", explain=False).verdict
    assert verdict.verdict == "pass"
    told = [r.message for r in verdict.remarks]
    assert len(told) == bool(said)
    assert all(message.startswith(said) for message in told)


def test_code_that_has_its_padding_written_into_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "hw.py"
    file.write_text(PADDED.replace("CHECK", "").replace("CUT", "2:d.shape[1] - 2"))
    layer = reference_for(load_text(PADDED_SPEC.lstrip(), "padded.yaml"))
    verdict = check_pair(layer, file, seed=0, version="1", explain=False).verdict
    assert [g.standing for g in verdict.gradients] == ["wrong", "ok"]


def test_a_window_beyond_the_first_along_one_axis_may_not_be_refused(tmp_path: Path) -> None:
    """Sizes that the windows do not fit excuse an exception; there are some that they do fit."""
    code = """
import numpy as np
def pool_forward(x):
    N, H, W = x.shape
    y = np.zeros((N, (H - 3) // 2 + 1, (W - 3) // 2 + 1))
    for i, j in np.ndindex(y.shape[1:]):
        y[:, i, j] = x[:, 2 * i:2 * i + 3, 2 * j:2 * j + 3].mean(axis=(1, 2))
    return y, x.shape
def pool_backward(dout, shape):
    dx = np.zeros(shape)
    for n, i, j in np.ndindex(dout.shape):
        dx[n, ROWS, COLUMNS] += np.ones((3, 3)) * dout[n, i, j] / 9
    return dx
"""
    spec = """
layer: pool
inputs: {X: [N, H, W]}
sizes: {H: '>=3', W: '>=3'}
forward: Y = mean(windows(X, (3, 3), stride=2), axis=(3, 4))
check:
  forward: Y, cache = pool_forward(X)
  backward: dX = pool_backward(dY, cache)
"""
    layer = reference_for(load_text(spec.lstrip(), "pool.yaml"))
    file = tmp_path / "hw.py"
    right, wrong = ("2 * {0}:2 * {0} + 3", "2 * {0}:3")
    for rows, columns in ((right, right), (right, wrong), (wrong, right)):
        text = code.replace("ROWS", rows.format("i")).replace("COLUMNS", columns.format("j"))
        file.write_text(text)
        verdict = check_pair(layer, file, seed=0, version="1", explain=False).verdict
        expected = "pass" if rows == columns else "fail"
        assert verdict.verdict == expected, (rows, columns, verdict)


def test_a_gradient_that_overflows_beside_a_forward_that_does_not_is_wrong(
    tmp_path: Path,
) -> None:
    change = "dw = dw if len(x) < 200 else dw * np.nan"
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change))
    (dW,) = (g for g in verdict.gradients if g.name == "W")
    assert (verdict.verdict, dW.standing) == ("fail", "wrong")
    assert "not finite" in dW.message


@pytest.mark.parametrize(("wrong", "verdict"), [("", "pass"), ("2 * ", "fail")])
def test_what_overflows_only_along_a_long_axis_is_a_remark(
    tmp_path: Path, wrong: str, verdict: str
) -> None:
    spec = """
layer: none_of_them
inputs: {z: [N]}
forward: L = -sum(log(1 - sigmoid(z)))
"""
    file = tmp_path / "layer.py"
    file.write_text(f"""
import numpy as np
def none_of_them(z):
    p = 1 / (1 + np.exp(-z))
    none = np.prod(1 - p)
    return -np.log(none), {wrong}none / none * p
""")
    layer = reference_for(load_text(spec, "none_of_them.yaml"))
    found = check_pair(layer, file, seed=0, version="", explain=False).verdict
    assert found.verdict == verdict
    told = [r.message for r in found.remarks if r.code == "overflow"]
    assert "dz is not finite where N is 1000: it overflows" in told or verdict == "fail"


@pytest.mark.parametrize(
    ("factor", "said"), [("1.5", "1.5"), ("(1 + 1e-7)", "1.0000001"), ("1 / 3", "0.333333")]
)
def test_a_factor_is_told_with_digits_that_are_not_those_of_1(
    tmp_path: Path, factor: str, said: str
) -> None:
    change = f"dw = {factor} * dw"
    verdict = checked(tmp_path, "affine", AFFINE.replace("CHANGE", change))
    (dW,) = (g for g in verdict.gradients if g.name == "W")
    assert f"it is {said} times the right one in every entry" in dW.message
