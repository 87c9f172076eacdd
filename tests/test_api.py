"""The Python interface gives what the command line prints, as objects that compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import gradtool
from gradtool.emit.text import line
from gradtool.ir.dims import Dim
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from tests.conftest import RunPython


def test_importing_gradtool_loads_nothing(run_python: RunPython) -> None:
    ended = run_python(
        "-c",
        "import sys, gradtool; dir(gradtool); "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('numpy', 'sympy', 'yaml', 'typer', 'rich') or m.startswith('gradtool.')))",
    )
    assert ended.out == "[]\n", ended.err


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'oops'"):
        gradtool.oops  # type: ignore[attr-defined]  # noqa: B018


def test_the_gradients_of_a_layer() -> None:
    layer = gradtool.load("affine")
    assert layer.variables == {"X": ("N", "D"), "W": ("D", "C"), "b": ("C",)}
    assert layer.outputs == {"Y": ("N", "C")}
    found = layer.derive()
    gradient = found.gradients["W"]
    assert (gradient.name, gradient.shape, gradient.text) == ("dW", ("D", "C"), "X.T @ dY")
    assert gradient.line == str(gradient) == "dW = X.T @ dY"
    assert gradient.index == "dW[d,c] = Σ_n X[n,d] dY[n,c]"
    assert gradient.latex.startswith("\\frac{\\partial L}{\\partial W} = X^{\\top}")
    assert gradient._repr_latex_() == f"$\\displaystyle {gradient.latex}$"
    assert found.certified.digits >= 30
    assert found.upstream == {"Y": "dY"}
    assert "\\begin{aligned}" in found._repr_latex_()
    assert str(found) == "\n".join(line(p.name, p.tree) for p in found.derivation.lines)


def test_only_some_gradients_and_values_on_the_way() -> None:
    assert set(gradtool.load("affine").derive("W").gradients) == {"W"}
    found = gradtool.load("two_layer_relu").derive(wrt=["H1"])
    assert found.gradients["H1"].text == "dS @ W2.T"


def test_numpy_callables() -> None:
    forward, backward = gradtool.load("affine").derive().numpy()
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in ((4, 3), (3, 2), (2,)))
    y, cache = forward(x, w, b)
    assert y == pytest.approx(x @ w + b)
    upstream = rng.standard_normal(y.shape)
    assert backward(upstream, cache).dW == pytest.approx(x.T @ upstream)


def test_a_spec_as_text_and_as_a_path(tmp_path: Any) -> None:
    text = "layer: own\ninputs:\n  x: [D]\nforward: L = sum(x**2)\n"
    path = tmp_path / "own.yaml"
    path.write_text(text)
    for given in (text, path, str(path)):
        assert gradtool.load(given).derive().gradients["x"].text == "2 * x"


def test_errors_are_those_of_the_command_line() -> None:
    with pytest.raises(gradtool.UsageError, match="did you mean 'softmax'"):
        gradtool.load("softmx")
    with pytest.raises(gradtool.SpecError, match=r"<text>:4:14: unknown function 'sumx'"):
        gradtool.load("layer: own\ninputs:\n  x: [D]\nforward: L = sumx(x**2)\n").derive()
    with pytest.raises(gradtool.UsageError, match="--wrt Q"):
        gradtool.load("affine").derive("Q")


# -- higher order -------------------------------------------------------------------------


def test_higher_order() -> None:
    layer = gradtool.load("layer: own\ninputs:\n  x: [C]\nforward: L = logsumexp(x)\n")
    found = layer.hessian("x")
    assert found.results["d2L_dx2"].text == "diag(p) - outer(p, p)"
    assert found.symmetric == ("d2L_dx2",)
    p = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    assert found.numpy()(np.array([0.0, 1.0])) == pytest.approx(np.diag(p) - np.outer(p, p))
    assert "\\frac{\\partial^2 L}{\\partial x^2} &= " in found._repr_latex_()
    assert gradtool.load("affine").jvp().results["Ydot"].text == "Xdot @ W + X @ Wdot + bdot"
    product = gradtool.load("affine").hvp()
    assert product.zero == ("dbdot",)
    assert product.directions == {"X": "Xdot", "W": "Wdot", "b": "bdot"}
    assert str(product).endswith("dbdot = 0")
    assert set(gradtool.load("affine").jacobian(wrt="W").results) == {"dY_dW"}


# -- sympy --------------------------------------------------------------------------------

SIZES = {"N": 3, "D": 2, "C": 4, "H": 5, "K": 2, "M": 3}


def _values(formula: Any, given: dict[str, Any]) -> Any:
    """A sympy form as an array: every symbol replaced by its values."""
    expression, indices = formula.to_sympy(), formula.sympy_indices
    sizes = {sympy.Symbol(n, integer=True, positive=True): v for n, v in SIZES.items()}
    numbers = {sympy.Symbol(n, real=True): v for n, v in given.items() if np.ndim(v) == 0}
    shape = tuple(Dim.parse(s).evaluate(SIZES) for s in formula.shape)
    if not indices:
        expression = expression.subs(sizes).subs(numbers)
        matrices = {
            m: sympy.Matrix(np.atleast_2d(given[m.name]).reshape([int(s) for s in m.shape]))
            for m in expression.atoms(sympy.MatrixSymbol)
        }
        done = expression.subs(matrices).doit()
        if not shape:
            return float(done)
        explicit = done.as_explicit() if hasattr(done, "as_explicit") else done
        return np.array(sympy.Matrix(explicit).evalf().tolist(), dtype=float).reshape(shape)
    result = np.zeros(shape)
    for place in np.ndindex(*shape):
        at = {i: p for i, p in zip(indices, place, strict=True) if i is not None}
        entry = expression.subs(sizes).subs(numbers).subs(at).doit()
        arrays = {
            x: given[x.base.name][tuple(int(i) for i in x.indices)]
            for x in entry.atoms(sympy.Indexed)
        }
        result[place] = float(entry.subs(arrays))
    return result


def _agrees(name: str, expected: dict[str, type]) -> None:
    """Every line in sympy equals the emitted NumPy code; its kind is the expected one."""
    layer = gradtool.load(name)
    found = layer.derive()
    forward, backward = found.numpy()
    rng = np.random.default_rng(3)
    point: dict[str, Any] = {
        n: rng.uniform(0.2, 1, [Dim.parse(s).evaluate(SIZES) for s in shape]) if shape else 0.7
        for n, shape in layer.variables.items()
    }
    for variable in layer.spec.variables:
        if variable.dtype == "index":
            point[variable.name] = rng.integers(0, SIZES[str(variable.index)], SIZES["N"])
    output, cache = forward(*point.values())
    upstream: Any = 1.0
    given = {**point, **{k: float(v) for k, v in layer.spec.constants.items()}}
    if found.upstream:
        upstream = rng.standard_normal(np.shape(output))
        (given_name,) = found.upstream.values()
        given[given_name] = upstream
    known = run(found.derivation.graph.statements, point, setting_for(
        found.derivation.graph, SIZES, Double()))  # fmt: skip
    given |= {k: np.asarray(v) for k, v in known.items() if not k.startswith("_")}
    gradients = backward(upstream, cache)
    for formula in found.lines:
        value = _values(formula, given)
        given[formula.name] = value
        if formula.role == "gradient":
            assert value == pytest.approx(np.asarray(getattr(gradients, formula.name)), abs=1e-9)
            assert isinstance(formula.to_sympy(), expected.get(formula.of, sympy.Basic))


_RESHAPED = "layer: own\ninputs: {{X: [N, K*H], W: [K, H]}}\nforward: Y = {}\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("affine", {"X": sympy.MatrixExpr, "W": sympy.MatrixExpr}),
        ("two_layer_relu", {"W1": sympy.MatrixExpr, "W2": sympy.MatrixExpr}),
        ("softmax_cross_entropy", {"S": sympy.Expr}),
        ("batch_norm", {"X": sympy.Expr}),
        ("tanh", {"Z": sympy.MatrixExpr}),
        ("quadratic_form", {"A": sympy.MatrixExpr, "x": sympy.MatrixExpr}),
        ("linear_solve", {"B": sympy.MatrixExpr}),
        # Entries of reshaped values: axes split, joined, and both at once.
        (_RESHAPED.format("(X.reshape(N, K, H) * W).reshape(N, K*H)"), {"X": sympy.Expr}),
        (_RESHAPED.format("tanh(X).reshape(N, H, K) @ W"), {"X": sympy.Expr}),
        (_RESHAPED.format("tanh(X).reshape(N*K, H).sum(axis=1) * W.sum()"), {"X": sympy.Expr}),
        (_RESHAPED.format("(X.reshape(H, N, K) * W.T[:, None]).transpose(2, 0, 1).reshape(K*H, N)"),
         {"X": sympy.Expr}),
    ],
)  # fmt: skip
def test_sympy_forms_compute_the_gradients(name: str, expected: dict[str, type]) -> None:
    _agrees(name, expected)


def test_famous_sympy_forms() -> None:
    affine = gradtool.load("affine").derive().gradients
    n, d, c = (sympy.Symbol(s, integer=True, positive=True) for s in "NDC")
    x, upstream = sympy.MatrixSymbol("X", n, d), sympy.MatrixSymbol("dY", n, c)
    assert affine["W"].to_sympy() == x.T * upstream
    layer = gradtool.load("layer: own\ninputs:\n  s: [C]\nforward: p = softmax(s)\n")
    p = sympy.MatrixSymbol("p", c, 1)
    assert layer.jacobian().results["dp_ds"].to_sympy() == sympy.DiagMatrix(p) - p * p.T
    i, j = (sympy.Symbol(s, integer=True) for s in ("n", "c"))
    row = affine["b"].to_sympy()
    assert row == sympy.Sum(sympy.IndexedBase("dY")[i, j], (i, 0, n - 1))
    assert affine["b"].sympy_indices == (j,)
