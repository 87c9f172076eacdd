"""Without a spec: what is right at values of about 1 and at small sizes is looked at elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.check.test_unaided import report

HEAD = "import numpy as np\n\n\n"
# Each is right for values of about 1, at sizes up to five.
WRONG = {
    "relu6 without its upper end": (
        "def f(x):\n    return np.minimum(np.maximum(x, 0), 6), x\n\n",
        "def g(dout, x):\n    return dout * (x > 0)\n",
        "def g(dout, x):\n    return dout * ((x > 0) & (x < 6))\n",
        "right at random values, wrong at values",
    ),
    "a clip that is passed through": (
        "def f(x):\n    return np.clip(x, -100.0, 100.0), x\n\n",
        "def g(dout, x):\n    return dout.copy()\n",
        "def g(dout, x):\n    return np.where(np.abs(x) < 100, dout, 0)\n",
        "right at random values, wrong at values",
    ),
    "a shifted sign": (
        "def f(x):\n    return np.abs(x), x\n\n",
        "def g(dout, x):\n    return dout * np.sign(x + 1e-4)\n",
        "def g(dout, x):\n    return dout * np.sign(x)\n",
        "wrong at values 0.001 times as large",
    ),
    "a slope that is forgotten far out": (
        "def f(x):\n    return np.where(np.abs(x) > 20, x**2, 20 * np.abs(x)), x\n\n",
        "def g(dout, x):\n    return dout * np.where(np.abs(x) > 20, x, 20 * np.sign(x))\n",
        "def g(dout, x):\n    return dout * np.where(np.abs(x) > 20, 2 * x, 20 * np.sign(x))\n",
        "right at random values, wrong at values 60 times as large",
    ),
    "a block that is lost": (
        "def f(x):\n    return x**2, x\n\n",
        "def g(dout, x):\n    dx = np.zeros_like(x)\n    n = len(x) // 8 * 8 or len(x)\n"
        "    dx[:n] = 2 * x[:n] * dout[:n]\n    return dx\n",
        "def g(dout, x):\n    return 2 * x * dout\n",
        "right at other sizes, wrong where",
    ),
    "a batch of one is squeezed": (
        "def f(x):\n    return x - x.mean(axis=1, keepdims=True), x\n\n",
        "def g(dout, x):\n    if len(x) == 1 and x.size > 1:\n        return dout\n"
        "    return dout - dout.mean(axis=1, keepdims=True)\n",
        "def g(dout, x):\n    return dout - dout.mean(axis=1, keepdims=True)\n",
        "right at other sizes, wrong where N is 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_elsewhere_is_found(tmp_path: Path, name: str) -> None:
    forward, wrong, right, text = WRONG[name]
    told = report(tmp_path, HEAD + forward + wrong, "f", "g", "x: [N, D]")
    assert text in told, told
    assert "chosen by chance" not in told  # of few entries all were compared
    assert "the gradient is wrong" in told
    told = report(tmp_path, HEAD + forward + right, "f", "g", "x: [N, D]")
    assert "the gradient is right" in told, told


# Right, each with something that differences at other values or sizes could take for a mistake.
RIGHT = {
    "saturates": (
        "def f(x):\n    y = 1 / (1 + np.exp(-x))\n    return y, y\n\n"
        "def g(dout, y):\n    return dout * y * (1 - y)\n",
        "",
    ),
    "stable": (
        "def f(x):\n    m = x.max(axis=1, keepdims=True)\n    e = np.exp(x - m)\n"
        "    s = e.sum(axis=1, keepdims=True)\n    return np.log(s) + m, e / s\n\n"
        "def g(dout, p):\n    return dout * p\n",
        "",
    ),
    "oscillates": (
        "def f(x):\n    return np.sin(x), x\n\ndef g(dout, x):\n    return dout * np.cos(x)\n",
        "",
    ),
    "overflows": (
        "def f(x):\n    return np.logaddexp(0, x), x\n\n"
        "def g(dout, x):\n    return dout * np.exp(x) / (1 + np.exp(x))\n",
        "dx is not finite at values 500 times as large: it overflows",
    ),
    "cut off": (
        "def f(x):\n    return x**2 / 2, x\n\n"
        "def g(dout, x):\n    return np.clip(dout * x, -20, 20)\n",
        "dx is cut off at 20 at values",
    ),
    "normed": (
        "def f(x):\n    v = x.var(axis=1, keepdims=True) + 1e-5\n    n = (x - x.mean(axis=1, "
        "keepdims=True)) / np.sqrt(v)\n    return n, (n, v)\n\n"
        "def g(dout, cache):\n    n, v = cache\n    return (dout - dout.mean(axis=1, "
        "keepdims=True) - n * (dout * n).mean(axis=1, keepdims=True)) / np.sqrt(v)\n",
        "",
    ),
    "refuses a batch of one": (
        "def f(x):\n    if len(x) == 1 and x.size > 1:\n        raise ValueError('a batch')\n"
        "    return x - x.mean(axis=0), x\n\n"
        "def g(dout, x):\n    return dout - dout.mean(axis=0)\n",
        "not compared where N is 1",
    ),
    "float32": (
        "def f(x):\n    return np.tanh(x), x\n\n"
        "def g(dout, x):\n    x = x.astype(np.float32)\n"
        "    return dout.astype(np.float32) * (1 - np.tanh(x) ** 2)\n",
        "dx is float32 and was judged as such",
    ),
    "a table": (
        "def f(x):\n    return np.floor(x) + x, x\n\ndef g(dout, x):\n    return 1.0 * dout\n",
        "",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_stays_right(tmp_path: Path, name: str) -> None:
    text, remark = RIGHT[name]
    told = report(tmp_path, HEAD + text, "f", "g", "x: [N, D]")
    assert "the gradient is right" in told, told
    assert remark in told, told


def test_what_the_forward_takes_the_backward_may_not_refuse(tmp_path: Path) -> None:
    text = (
        "def f(x):\n    return x**2, x\n\n"
        "def g(dout, x):\n    assert len(x) < 20\n    return 2 * x * dout\n"
    )
    told = report(tmp_path, HEAD + text, "f", "g", "x: [N, D]")
    assert "AssertionError" in told
    assert "gradient is right" not in told


def test_of_many_entries_those_that_were_not_chosen_are_compared_all_at_once(
    tmp_path: Path,
) -> None:
    text = "def f(x):\n    return (x**2).sum(), x\n\ndef g(x):\n    dx = 2 * x\n    return dx\n"
    assert "is right" in report(tmp_path, HEAD + text, "f", "g", "x: [3000]")
    wrong = text.replace("    return dx", "    dx[1234] *= 1.01\n    return dx")
    told = report(tmp_path, HEAD + wrong, "f", "g", "x: [3000]")
    assert "right in entries that were chosen by chance, wrong at random values" in told, told


def test_a_small_gradient_is_compared_beside_a_large_one(tmp_path: Path) -> None:
    text = (
        "def f(x, b):\n    return 5e5 * x + b, x\n\n"
        "def g(dout, x):\n    return 5e5 * dout, dout * (np.abs(x) < 100)\n"
    )
    told = report(tmp_path, HEAD + text, "f", "g", "x: [N, D], b: [N, D]")
    assert "1 of 2 gradients is wrong" in told, told
    right = text.replace(" * (np.abs(x) < 100)", "")
    assert "gradients are right" in report(tmp_path, HEAD + right, "f", "g", "x: [N, D], b: [N, D]")
