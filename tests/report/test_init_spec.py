"""`gradtool init FILE` writes a spec that only wants its forward pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from gradtool.check.docstrings import labels_in, shapes_of
from gradtool.cli import main
from gradtool.report.init_spec import first_spec
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from gradtool.spec.usage import UsageError

UNPAIRED = "def f(X, W):\n    return X @ W\n\n\ndef g(dY, X, W):\n    return dY @ W.T, X.T @ dY\n"
FILE = '''\
import torch_that_is_not_there


def affine_forward(x, w, b):
    """A layer.

    Inputs:
    - x: Input data, of shape (N, D)
    - w: Weights, of shape
      (D, M)
    - b: A bias
    """
    return x @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def hinge_loss(x, y):
    """
    - x: scores, shape (N, C)
    - y: labels (N,)
    """
    return x.sum(), x


raise SystemExit("never run")
'''


def test_the_spec_wants_only_what_nobody_said(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(FILE)
    layer, text = first_spec(file, "affine_backward", None)
    assert layer == "affine"
    with pytest.raises(SpecError, match="TODO"):
        load_text(text, "affine.yaml")
    done = text.replace("b: TODO", "b: [M]").replace("out = TODO", "out = x @ w + b")
    spec = load_text(done, "affine.yaml")
    assert [(v.name, v.role, len(v.shape)) for v in spec.variables] == [
        ("x", "input", 2),
        ("w", "parameter", 2),
        ("b", "parameter", 1),
    ]
    assert spec.check is not None
    assert spec.check.backward is not None
    assert spec.check.backward.text.strip() == "dx, dw, db = affine_backward(dout, cache)"


PAIRS = """\
def conv_forward(x, w, b, stride, pad):
    return x, (x, w, b, stride, pad)
def conv_backward(dout, cache):
    dx, dw, db = cache[:3]
    return dx, dw, db
def softmax_loss(x, y):
    return 0.0, x
def batchnorm_forward(x, gamma, beta, eps):
    return x, (x, gamma)
def batchnorm_backward(dout, cache):
    dx = dgamma = dbeta = dout
    return dx, dgamma, dbeta
def thing_forward(u, weights, reg):
    return u, u
def thing_backward(dout, cache):
    return dout, dout
"""


@pytest.mark.parametrize(
    ("function", "layer", "shapes", "constants"),
    [
        (
            "conv_forward",
            "conv2d",
            {"x": "[N, C, H, W]", "w": "[K, C, R, S]", "b": "[K]"},
            {"stride": 2, "pad": 1},
        ),
        (
            "softmax_loss",
            "softmax_cross_entropy",
            {"x": "[N, C]", "y": "{shape: [N], index: C}"},
            {},
        ),
        (
            "batchnorm_forward",
            "batch_norm",
            {"x": "[N, D]", "gamma": "[D]", "beta": "[D]"},
            {"eps": Fraction(1, 10**5)},
        ),
        (
            "thing_forward",
            None,
            {"u": "[N, D] or [D], or [] for a number", "weights": "[D, C]"},
            {"reg": Fraction(1, 10)},
        ),
    ],
)
def test_examples_are_those_of_the_layer_that_is_called_like_it(
    function: str,
    layer: str | None,
    shapes: dict[str, str],
    constants: dict[str, int | Fraction],
    tmp_path: Path,
) -> None:
    file = tmp_path / "layers.py"
    file.write_text(PAIRS)
    name, text = first_spec(file, function, None)
    for argument, shape in shapes.items():
        assert f"  {argument}: TODO   # its shape, such as {shape}\n" in text
        text = text.replace(f"  {argument}: TODO", f"  {argument}: {shape.partition(' or ')[0]}")
    assert (f"`gradtool check layers.py --spec {layer}`" in text) is (layer is not None)
    spec = load_text(text.replace("out = TODO", f"out = {next(iter(shapes))}"), f"{name}.yaml")
    assert spec.constants == constants
    assert spec.check is not None
    assert spec.check.forward is not None
    # Constants are given to the function, and have no gradient.
    called = spec.check.forward.text.partition("(")[2].partition(")")[0].split(", ")
    assert called == [*shapes, *constants]


def test_what_no_docstring_says_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(FILE)
    asked: list[str] = []

    def ask(name: str, example: str) -> str:
        asked.append(f"{name}: {example}")
        return "M"

    _, text = first_spec(file, "affine_forward", ask)
    assert asked == ["b: C"]
    assert "  b: [M]\n" in text
    _, loss = first_spec(file, "hinge_loss", None)
    assert "  y: {shape: [N], index: C}\n" in loss
    assert "    out, dx = hinge_loss(x, y)\n" in loss
    file.write_text(
        "def square_loss(u, v):\n    return ((u - v) ** 2).sum(), 2 * (u - v), 2 * (v - u)\n"
    )
    _, loss = first_spec(file, None, None)
    assert "    out, du, dv = square_loss(u, v)\n" in loss


@pytest.mark.parametrize(
    ("text", "function", "expected"),
    [
        (FILE, None, "has 2 pairs: affine_forward / affine_backward; hinge_loss"),
        (FILE, "gone", "has no function gone\nit has affine_forward / affine_backward; hinge_loss"),
        ("x = 1\n", None, "has no pair of forward and backward\nit defines no function; a pair"),
        (UNPAIRED, None, "has no pair of forward and backward\nit defines f, g; a pair is told by"),
        (UNPAIRED, "g", "has no pair of forward and backward with g\nit defines f, g; a pair"),
        ("def f(:\n", None, "line 1: Python cannot read this file: invalid syntax"),
    ],
)
def test_no_pair_or_several(tmp_path: Path, text: str, function: str | None, expected: str) -> None:
    file = tmp_path / "layers.py"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        first_spec(file, function, None)
    assert expected in str(raised.value)


def test_a_file_that_is_there_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "layers.py").write_text(FILE)
    arguments = ["init", str(tmp_path / "layers.py"), "--function", "affine_forward"]
    assert main([*arguments, "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "affine.yaml").is_file()
    assert main([*arguments, "--folder", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_shapes_in_docstrings() -> None:
    text = """
    Arguments:
    X -- input data of shape (n_x, m)
    W1: weights (H, 2*D), whatever (see above)
    :param b: bias, shape (H,)
    x: Inputs, of shape (N, d_1, ..., d_k)
    y: Vector of labels (N,)
    Q: (T, D), K: [S, D], V: array of shape [S, D]
    """
    names = ["X", "W1", "b", "x", "y", "Q", "K", "V"]
    shapes = {"X": "n_x, m", "W1": "H, 2*D", "b": "H", "y": "N"}
    shapes |= {"Q": "T, D", "K": "S, D", "V": "S, D"}
    assert shapes_of(text, names) == shapes
    assert labels_in(text, names) == {"y"}


def test_a_backward_pass_that_the_forward_returns_is_called_so(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(
        "def affine(x, w, b):\n"
        "    def backprop(dout):\n"
        "        return dout @ w.T, x.T @ dout, dout.sum(0)\n"
        "    return x @ w + b, backprop\n"
        "def mse(Y, T):\n"
        "    return ((Y - T) ** 2).mean(), lambda: 2 * (Y - T) / Y.size\n"
    )
    _, text = first_spec(file, "affine", None)
    assert "    out, backprop = affine(x, w, b)\n" in text
    assert "    dx, dw, db = backprop(dout)\n" in text
    _, text = first_spec(file, "mse", None)
    assert "    out, backward = mse(Y, T)\n" in text
    assert "    dY, dT = backward()\n" in text
