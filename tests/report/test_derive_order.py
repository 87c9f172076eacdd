"""`gradtool derive` with --jvp, --jacobian, --hvp, --hessian, and --wrt of values on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from gradtool.cli import main
from gradtool.numeric.compile import compiled, namespace_of
from gradtool.report.derive_schema import differential_schema
from gradtool.report.order import Order, order_of
from gradtool.spec.usage import UsageError


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADTOOL_CACHE", "")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["derive", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_directional_derivative_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "affine", "--jvp")
    assert code == 0
    assert out == (
        "affine   Y = X @ W + b                         N, D, C\n\n"
        "  Ydot  (N, C)   Xdot @ W + X @ Wdot + bdot\n\n"
        "note: Ydot: the change of Y when X, W, b change along Xdot, Wdot, bdot\n"
        "certified to 1e-40 against 60-digit centered differences (4 size sets); "
        "printed formulas evaluated\n"
    )


def test_a_jacobian_tells_its_size_and_symmetry(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "tanh", "--jacobian", "A,Z")
    assert "dA_dZ  (N, D, N, D)" in out
    assert "D**2*N**2 entries, symmetric" in out


def test_a_zero_hessian_says_that_it_is_one_away_from_kinks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(capsys, "relu", "--hessian", "Z")
    assert "  d2A_dZ2  (N, D, N, D)   0\n" in out
    assert "the gradient of Z changes with Z at kinks only, if at all" in " ".join(out.split())
    assert "away from kinks (of relu, max, abs, …): there the gradient jumps" in out
    assert "second derivatives are those of sum(dA * A), dA held fixed" in out


def test_a_smooth_linear_layer_says_that_nothing_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(capsys, "affine", "--hvp", "--wrt", "b")
    assert "0    the gradient of b does not depend on b" in out
    assert "kinks" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["affine", "--jvp"],
        ["two_layer_relu", "--hvp"],
        ["softmax", "--jacobian", "all"],
        ["logistic_regression", "--hessian", "w"],
        ["relu", "--hessian", "Z"],
    ],
    ids=" ".join,
)
def test_every_format(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    forms = {}
    for form in ("index", "latex", "json", "numpy"):
        code, forms[form], _ = run(capsys, *arguments, "--format", form)
        assert code == 0
    jsonschema.validate(
        json.loads(forms["json"]), differential_schema(), jsonschema.Draft202012Validator
    )
    (found,) = json.loads(forms["json"])
    for result in found["results"]:
        assert result["zero"] or result["name"] in {p["name"] for p in found["lines"]}
        assert result["name"] in forms["index"]
    assert "\\begin{document}" in forms["latex"]
    assert found["kind"] in namespace_of(forms["numpy"])


def test_the_kept_tangent_in_subscripts_and_latex(capsys: pytest.CaptureFixture[str]) -> None:
    _, index, _ = run(capsys, "two_layer_relu", "--jvp", "--format", "index")
    assert "Zdot[n,h] = b1dot[h] + Σ_d Xdot[n,d] W1[d,h] + Σ_d X[n,d] W1dot[d,h]\n" in index
    _, latex, _ = run(capsys, "softmax", "--jacobian", "all", "--format", "latex")
    assert "\\left(\\frac{\\partial P}{\\partial Z}\\right)_{n,d,i,j} &= " in latex
    _, latex, _ = run(capsys, "affine", "--hvp", "--wrt", "X,W", "--format", "latex")
    assert "\\frac{d}{dt} \\frac{\\partial L}{\\partial W} &= \\dot{X}^{\\top} \\, " in latex


# -- emitted code against plain NumPy -----------------------------------------------------


def _function(capsys: pytest.CaptureFixture[str], kind: str, *arguments: str) -> Any:
    code, out, _ = run(capsys, *arguments, "--format", "numpy")
    assert code == 0
    return namespace_of(out)[kind]


def test_emitted_directional_derivative(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    shapes = {"X": (5, 3), "W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}
    point = {n: rng.standard_normal(s) for n, s in shapes.items()}
    way = {n: rng.standard_normal(s) for n, s in shapes.items()}

    def forward(step: float) -> Any:
        v = {n: point[n] + step * way[n] for n in point}
        return np.maximum(v["X"] @ v["W1"] + v["b1"], 0) @ v["W2"] + v["b2"]

    result = _function(capsys, "jvp", "two_layer_relu", "--jvp")(*point.values(), *way.values())
    assert pytest.approx(forward(0)) == result.S
    assert result.Sdot == pytest.approx((forward(1e-6) - forward(-1e-6)) / 2e-6, abs=1e-7)


def test_emitted_jacobian_and_hessian(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2, 3))
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    rows = [np.diag(row) - np.outer(row, row) for row in p]
    expected = np.zeros((2, 3, 2, 3))
    for n, row in enumerate(rows):
        expected[n, :, n, :] = row
    assert _function(capsys, "jacobian", "softmax", "--jacobian", "all")(z).dP_dZ == pytest.approx(
        expected
    )
    x, t = rng.standard_normal((6, 3)), rng.integers(0, 2, 6).astype(float)
    w, b = rng.standard_normal(3), 0.3
    a = 1 / (1 + np.exp(-(x @ w + b)))
    made = _function(capsys, "hessian", "logistic_regression", "--hessian", "w")(x, t, w, b)
    assert made == pytest.approx(x.T @ np.diag(a * (1 - a)) @ x / 6)


# -- values of the forward pass -----------------------------------------------------------


def test_gradients_of_values_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "two_layer_relu", "--wrt", "Z,W1")
    assert code == 0
    assert "  dZ   (N, H)   (dS @ W2.T) * (Z > 0)" in out
    assert "  dW1  (D, H)   X.T @ dZ" in out
    _, text, _ = run(capsys, "two_layer_relu", "--wrt", "Z,W1", "--format", "numpy")
    made = compiled(text)
    rng = np.random.default_rng(2)
    given = [rng.standard_normal(s) for s in ((5, 3), (3, 4), (4,), (4, 2), (2,))]
    out_, cache = made.forward(*given)
    upstream = rng.standard_normal(out_.shape)
    gradients = made.backward(upstream, cache)
    mask = given[0] @ given[1] + given[2] > 0
    assert gradients._fields == ("dW1", "dZ")
    assert gradients.dZ == pytest.approx((upstream @ given[3].T) * mask)
    _, text, _ = run(capsys, "two_layer_relu", "--wrt", "Z", "--format", "json")
    assert [g["of"] for g in json.loads(text)[0]["gradients"]] == ["Z"]


def test_only_some_gradients_as_numpy_run(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, "affine", "--wrt", "W", "--format", "numpy")
    made = compiled(text)
    x, w = np.eye(2), np.ones((2, 3))
    _, cache = made.forward(x, w, np.zeros(3))
    assert made.backward(np.ones((2, 3)), cache)._fields == ("dW",)


# -- mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["affine", "--jvp", "--hvp"], "--jvp and --hvp: give one of them"),
        (["affine", "--jacobian", "Y,Q"], "--jacobian Q: affine has no differentiable value 'Q'"),
        (["affine", "--hessian", "X,W,b"], "expected one name, or two separated by a comma"),
        (["affine", "--hessian", "W", "--wrt", "X"], "leave --wrt out"),
        (["affine", "--jvp", "--steps"], "--steps explains gradients, not --jvp"),
        (["affine", "--wrt", "Y"], "--wrt Y: Y is an output, so dY is given"),
        (["affine", "--wrt", "Q"], "--wrt Q: affine has no differentiable value 'Q'"),
        (["two_layer_relu", "--wrt", "Z", "--steps"], "--steps explains the gradients of inputs"),
        (["softmax_cross_entropy", "--jvp", "--wrt", "y"], "no differentiable value 'y'"),
        (["two_layer_relu", "--hvp", "--wrt", "X,Z"], "Z is computed from X"),
    ],
)
def test_mistakes_are_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_orders() -> None:
    nothing: dict[str, Any] = {"jvp": False, "hvp": False, "jacobian": None, "hessian": None}
    assert order_of(**nothing, wrt=("W",)) is None
    assert order_of(**{**nothing, "hessian": "x"}, wrt=None) == Order("hessian", ("x", "x"))
    assert order_of(**{**nothing, "jacobian": "all"}, wrt=None) == Order("jacobian", ())
    assert order_of(**{**nothing, "jvp": True}, wrt=("W",)) == Order("jvp", ("W",))
    with pytest.raises(UsageError, match="found an empty one"):
        order_of(**{**nothing, "hessian": "x,"}, wrt=None)


def test_every_form_says_where_a_formula_is_not_the_derivative_of_the_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The layer is x + z, at x = 0 too; the chain rule through its kinks gives 0 there."""
    spec = tmp_path / "t.yaml"
    spec.write_text(
        "layer: t\ninputs: {x: [], z: []}\nforward: |\n  y = abs(x) * sign(x) + z\n  w = x * z\n"
        "outputs: [y, w]\n"
    )
    _, gradient, _ = run(capsys, str(spec))
    assert "where x == 0 (line 1) the layer has a derivative, but dx is not it" in gradient
    _, out, err = run(capsys, str(spec), "--format", "numpy")
    assert "note: t: where x == 0 (line 1)" in err
    assert "kink" not in out
    _, out, _ = run(capsys, str(spec), "--jvp")
    assert "but ydot is not it" in out
    assert "wdot is not it" not in out
    _, out, _ = run(capsys, str(spec), "--jacobian", "y,z")
    assert "has a derivative" not in out
