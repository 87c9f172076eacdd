"""What is off by float32 numbers or by guards is told from what is off by a mistake."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.check.rewrite import Change, changed
from gradtool.check.tiny import guards
from tests.layers import bundled

NORM = """
import numpy as np
CONSTANT
def batchnorm_forward(x, gamma, beta):
    SCALE
    eps = EPS
    std = np.sqrt(x.var(axis=0) + eps)
    xhat = (x - x.mean(axis=0)) / std
    return gamma * xhat + beta, (xhat, gamma, std)
def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    g = dout * gamma
    dx = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std
    CHANGE
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)
"""
LOSS = """
import numpy as np
def softmax_loss(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    N = len(x)
    hit = p[np.arange(N), y]
    loss = -np.mean(LOG)
    d = p.copy()
    d[np.arange(N), y] -= 1
    d /= N
    CHANGE
    return loss, d
"""


def checked(folder: Path, name: str, text: str, *, explain: bool = False) -> Verdict:
    file = folder / "hw.py"
    file.write_text(text)
    return check_pair(bundled(name), file, seed=0, version="1", explain=explain).verdict


def norm(folder: Path, **changes: str) -> Verdict:
    text = NORM
    for key in ("CONSTANT", "SCALE", "EPS", "CHANGE"):
        text = text.replace(key, changes.get(key.lower(), "1e-5" if key == "EPS" else "pass"))
    return checked(folder, "batch_norm", text)


@pytest.mark.parametrize(
    "changes",
    [
        {"eps": "np.float32(1e-5)"},
        {"constant": "from numpy import float32 as single", "eps": "single(1e-5)"},
        {"constant": "E = np.array([1e-5], dtype='float32')", "eps": "E[0]"},
        {"constant": "E = np.array([1e-5]).astype('f')", "eps": "E"},
        {"scale": "gamma = gamma.astype(np.float32)"},
        {"scale": "gamma = np.asarray(gamma, 'float32')"},
        {"change": "dx = dx * np.float32(0.1) * 10", "eps": "np.float32(1e-5)"},
    ],
)
def test_float32_numbers_in_float64_code_are_no_mistake(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    verdict = norm(tmp_path, **changes)
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert {r.code for r in verdict.remarks} == {"float32"}


@pytest.mark.parametrize(
    "change",
    [
        "dx = dx * (1 + 1e-7)",
        "dx = dx + 3e-8 * xhat",
        "dx[0, 0] *= 1 + 1e-7",
        "dx = dx / (1 + 1e-8)",
        "dx = dx + 1e-8 * dout / (std + 1)",
    ],
)
@pytest.mark.parametrize("eps", ["1e-5", "np.float32(1e-5)"])
def test_a_mistake_of_that_size_is_found_beside_float32(
    tmp_path: Path, change: str, eps: str
) -> None:
    verdict = norm(tmp_path, eps=eps, change=change)
    assert verdict.verdict == "fail"
    assert verdict.gradients[0].standing == "wrong", verdict.gradients


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("np.log(hit + 1e-14)", "1e-14 in line 8"),
        ("np.log(hit + 1e-8)", "1e-08 in line 8"),
        ("np.log(hit + 10 ** -9)", "10 ** (-9) in line 8"),
        ("np.log(hit + 4 * np.finfo(float).eps)", "4 * np.finfo(float).eps in line 8"),
        ("np.log(hit + np.finfo(float).eps * 100 + 1e-12)", "1e-12 in line 8"),
        ("np.log(hit * (1 / (hit + 1e-12)) * hit)", "1e-12 in line 8"),
    ],
)
def test_a_guard_in_a_loss_is_told_and_no_mistake(tmp_path: Path, log: str, told: str) -> None:
    text = LOSS.replace("LOG", log).replace("CHANGE", "pass")
    verdict = checked(tmp_path, "softmax_cross_entropy", text)
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert [r.code for r in verdict.remarks] == ["guard"]
    assert told in verdict.remarks[0].message


def test_a_gradient_may_be_that_of_the_guarded_forward(tmp_path: Path) -> None:
    text = LOSS.replace("LOG", "np.log(hit + 1e-4)")
    exact = "d *= (hit / (hit + 1e-4))[:, None]"
    verdict = checked(tmp_path, "softmax_cross_entropy", text.replace("CHANGE", exact))
    assert verdict.verdict == "pass", verdict
    assert [r.code for r in verdict.remarks] == ["guard", "guard"]
    other = "d *= (hit / (hit + 5e-5))[:, None]"
    verdict = checked(
        tmp_path, "softmax_cross_entropy", text.replace("CHANGE", other), explain=True
    )
    assert verdict.gradients[0].standing == "wrong"
    assert verdict.gradients[0].cause is not None
    assert verdict.gradients[0].cause.code == "guard"


def test_a_guard_does_not_hide_a_mistake(tmp_path: Path) -> None:
    text = LOSS.replace("LOG", "np.log(hit + 1e-8)").replace("CHANGE", "d *= 1 + 1e-7")
    verdict = checked(tmp_path, "softmax_cross_entropy", text)
    assert verdict.verdict == "fail"
    assert [f.standing for f in verdict.forward] == ["ok"]
    assert [g.standing for g in verdict.gradients] == ["wrong"]


def test_a_gradient_follows_a_wrong_forward_but_for_its_guard(tmp_path: Path) -> None:
    text = LOSS.replace("np.mean(LOG)", "np.sum(np.log(hit + 1e-4))").replace("d /= N", "")
    verdict = checked(tmp_path, "softmax_cross_entropy", text.replace("CHANGE", "pass"))
    assert [f.standing for f in verdict.forward] == ["wrong"]
    assert [g.standing for g in verdict.gradients] == ["follows"]
    assert verdict.gradients[0].message == "but for 0.0001 in line 8"
    verdict = checked(
        tmp_path, "softmax_cross_entropy", text.replace("CHANGE", "d *= 1.01"), explain=True
    )
    assert [g.standing for g in verdict.gradients] == ["wrong"]
    assert verdict.gradients[0].cause is None or verdict.gradients[0].cause.code != "differences"


def test_another_constant_than_the_specs_is_named(tmp_path: Path) -> None:
    verdict = norm(tmp_path, eps="1e-8")
    assert verdict.verdict == "fail"
    assert "1e-08 in line 7 is eps = 1e-05 in the spec" in verdict.forward[0].message
    assert [g.standing for g in verdict.gradients] == ["follows", "follows", "ok"]


def test_only_what_stands_where_a_zero_would_do_harm_is_a_guard() -> None:
    text = """
EPS = 1e-9
def f(x, step=1e-6, tiny=1e-7):
    a = x / (x.sum() + tiny)
    b = np.log(EPS + x) + 1e-5
    c = (f(x + step) - f(x - step)) / (2 * step)
    n = np.sqrt(x @ x) + 1e-8
    p = np.clip(x, 2e-9, 1 - 3e-9).clip(min=0.1)
    return a / n, b + 2e-5, x * (1 + 1e-6), np.maximum(p, 4e-9)
"""
    tree = ast.parse(text)
    assert [(g.line, g.text, g.value) for g in guards(tree, "f")] == [
        (4, "tiny = 1e-07", 1e-7),
        (5, "EPS = 1e-09", 1e-9),
        (7, "1e-08", 1e-8),
        (8, "2e-09", 2e-9),
        (8, "3e-09", 3e-9),
        (9, "4e-09", 4e-9),
    ]
    keys = tuple((g.key, 0.0) for g in guards(tree, "f"))
    without = ast.unparse(changed(tree, "f", Change(numbers=keys)))
    assert "np.log(0.0 + x) + 1e-05" in without
    assert "np.clip(x, 0.0, 1 - 0.0).clip(min=0.1)" in without
    assert "np.maximum(p, 0.0)" in without
    assert ast.unparse(tree) == ast.unparse(ast.parse(text))


CLIPPED = """
import numpy as np
def rnn_forward(x, h0, Wx, Wh, b):
    hs, h = np.zeros((*x.shape[:2], h0.shape[1])), h0
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
        hs[:, t] = h
    return hs, (x, h0, Wx, Wh, hs)
def rnn_backward(dhs, cache):
    x, h0, Wx, Wh, hs = cache
    dx, dWx, dWh, db = np.zeros(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(len(Wh))
    carried = np.zeros(h0.shape)
    for t in reversed(range(x.shape[1])):
        d = (carried + dhs[:, t]) * (1 - hs[:, t] ** 2)
        dx[:, t] = d @ Wx.T
        dWx += x[:, t].T @ d
        dWh += (hs[:, t - 1] if t else h0).T @ d
        db += d.sum(0)
        carried = d @ Wh.T
    CHANGE
    return dx, carried, dWx, dWh, db
"""


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ("for g in (dWx, dWh, db): np.clip(g, -20, 20, out=g)", "ok"),
        ("db = np.clip(db, -20, 20)", "ok"),
        ("most = 20; db = db.clip(-most, most)", "ok"),
        ("db = np.clip(db, -20, 20) * (1 + 1e-9)", "wrong"),
        ("db = np.clip(db + (np.abs(db) > 19) * 1e-7, -20, 20)", "wrong"),
        ("db = np.minimum(db, 20)", "wrong"),
        ("db = np.clip(db, -1e-3, 1e-3)", "wrong"),
    ],
)
def test_clipping_is_told_and_no_mistake(tmp_path: Path, change: str, standing: str) -> None:
    verdict = checked(tmp_path, "rnn", CLIPPED.replace("CHANGE", change))
    (bias,) = (g for g in verdict.gradients if g.name == "b")
    assert bias.standing == standing, verdict
    assert (("clips", "db is cut off at 20, and right without that") in [
        (r.code, r.message) for r in verdict.remarks
    ]) == (standing == "ok")  # fmt: skip


def test_what_cuts_off_to_an_interval_around_zero_is_left_out() -> None:
    text = """
import numpy as np
def f(g, c, p):
    np.clip(g, -c, c, out=g)
    a = g.clip(-5, 5) + np.clip(g, a_min=-2.0, a_max=2.0)
    return np.clip(a, 0, 6), np.clip(p, 1e-7, 1 - 1e-7), np.clip(g, -c, c, out=a), g.clip(0)
"""
    plain = ast.unparse(changed(ast.parse(text), "f", Change(unclip=True)))
    assert plain == ast.unparse(ast.parse("""
import numpy as np
def f(g, c, p):
    g
    a = g + g
    return np.clip(a, 0, 6), np.clip(p, 1e-7, 1 - 1e-7), np.clip(g, -c, c, out=a), g.clip(0)
"""))  # fmt: skip


def test_every_name_of_a_short_type_is_widened() -> None:
    text = "a = np.zeros(3, dtype='f4') + np.single(1) + t.float() + x.astype('float16')"
    names: dict[str, object] = {"np": np, "x": np.ones(3)}
    wide = changed(ast.parse(text.replace(" + t.float()", "")), "f", Change(widen=True))
    exec(compile(wide, "f", "exec"), names)
    assert np.asarray(names["a"]).dtype == np.float64
    assert "t.double()" in ast.unparse(changed(ast.parse(text), "f", Change(widen=True)))


TENSORS = """
import torch
THIRD = torch.ones(1) / 3
def batchnorm_forward(x, gamma, beta):
    x, gamma, beta = torch.tensor(x), torch.tensor(gamma), torch.tensor(beta)
    std = torch.sqrt(x.var(0, unbiased=False) + 1e-5)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, gamma, std)
def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    dout = torch.tensor(dout)
    g = dout * gamma
    n = len(g)
    spread = SPREAD
    dx = (g - spread * g.sum(0) - xhat * (g * xhat).mean(0)) / std
    CHANGE
    return dx, (dout * xhat).sum(0), dout.sum(0)
"""


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("spread", "change", "standing"),
    [
        # float32, because nobody says what it is
        ("1.0 / n * torch.ones(g.shape)", "pass", "ok"),
        ("torch.FloatTensor([1.0 / n])", "pass", "ok"),
        ("(3 * THIRD) / n", "pass", "ok"),
        ("1.0 / n * torch.ones(g.shape)", "dx = dx * (1 + 1e-9)", "wrong"),
        ("torch.full((1,), 1.0 / n)", "dx = dx + 3e-8 * xhat", "wrong"),
        ("(3 * THIRD) / n", "dx[0, 0] *= 1 + 1e-8", "wrong"),
    ],
)
def test_a_framework_makes_float32_that_no_text_shows(
    tmp_path: Path, spread: str, change: str, standing: str
) -> None:
    text = TENSORS.replace("SPREAD", spread).replace("CHANGE", change)
    verdict = checked(tmp_path, "batch_norm", text)
    assert [g.standing for g in verdict.gradients] == [standing, "ok", "ok"], verdict
    assert [r.code for r in verdict.remarks] == ["float32"] * (standing == "ok")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        ("1e-7", "1 - 1e-7", "1e-07 in line 5"),
        ("EPS", "1.0 - EPS", "EPS = 1e-12 in line 5"),
        ("a_min=EPS", "a_max=1 - EPS", "EPS = 1e-12 in line 5"),
    ],
)
def test_a_clip_at_one_is_a_guard(tmp_path: Path, low: str, high: str, told: str) -> None:
    """With one class p is exactly 1, and log(1 - 1e-7) is no longer 0."""
    verdict = checked(tmp_path, "softmax_cross_entropy", _clipped(low, high))
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert {r.code for r in verdict.remarks} == {"guard"}
    assert all(told in r.message for r in verdict.remarks)


def test_a_clip_that_no_text_shows_to_be_a_guard_is_named(tmp_path: Path) -> None:
    verdict = checked(
        tmp_path, "softmax_cross_entropy", _clipped("1e-7", "0.9999999"), explain=True
    )
    cause = verdict.gradients[0].cause
    assert cause is not None
    assert (cause.code, verdict.gradients[0].line) == ("guard", 5)
    assert "cut off: np.clip(" in cause.message


def _clipped(low: str, high: str) -> str:
    return f"""import numpy as np
EPS = 1e-12
def softmax_loss(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p = np.clip(p / p.sum(axis=1, keepdims=True), {low}, {high})
    N = len(y)
    loss = -np.mean(np.log(p[np.arange(N), y]))
    d = p.copy()
    d[np.arange(N), y] -= 1
    return loss, d / N
"""
