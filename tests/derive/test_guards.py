"""A derivative is finite where the ``where`` of the forward pass keeps the forward pass finite.

Every layer is evaluated where a condition is false and what it guards is not finite.  Expected is
what HIPS autograd finds of the branch that is taken, at the entries that take it, and 0 elsewhere:
autograd never sees the other branch, nor a condition.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import gradtool
from gradtool.report.make_sheet import make_sheet
from gradtool.report.sheet import Sheet
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

_X = np.array([[0.0, 0.5, 2.0], [1.5, 0.0, 0.25]])
_Z = np.array([[0.3, -1.2, 0.8], [2.0, 0.7, -0.4]])
_M = np.array([[False, True, True], [True, False, True]])
_UP = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])

_INPUTS = """inputs:
  X: {shape: [N, D], domain: nonnegative}
  Z: [N, D]
  M: {shape: [N, D], dtype: bool}
forward: |
"""

# The forward pass, and the branch that is taken where X is not zero (where M holds).
LAYERS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "quotient": ("  Y = where(X > 0, Z / X, 0)", lambda x, z: z / x),
    "logarithm": ("  Y = where(X > 0, X * log(X), 0)", lambda x, z: x * anp.log(x)),
    "mask": ("  Y = where(M, X * log(X), 0)", lambda x, z: x * anp.log(x)),
    "opposite mask": ("  Y = where(~M, 0, X * log(X) * Z)", lambda x, z: x * anp.log(x) * z),
    "opposite": ("  Y = where(X == 0, 0, Z**2 / X)", lambda x, z: z**2 / x),
    "root": ("  Y = where(X > 0, sqrt(X) * Z, 0)", lambda x, z: anp.sqrt(x) * z),
    "named value": (
        "  H = X * log(X)\n  Y = where(X > 0, H, 0) * Z",
        lambda x, z: x * anp.log(x) * z,
    ),
    "used twice": (
        "  R = Z / X\n  Y = where((X > 0) & M, R * R + R, 0)",
        lambda x, z: (z / x) ** 2 + z / x,
    ),
    "index notation": ("  Y[n, d] = where(X[n, d] > 0, Z[n, d] / X[n, d], 0)", lambda x, z: z / x),
    "exponential": ("  Y = where(X > 0, exp(-1 / X), 0)", lambda x, z: anp.exp(-1 / x)),
}


def _expected(branch: Callable[[Any, Any], Any], taken: Any) -> tuple[Any, Any]:
    def total(x: Any, z: Any) -> Any:
        return anp.sum(_UP[taken] * branch(x, z))

    found = []
    for which in (0, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a branch that does not depend on Z
            part = grad(total, which)(_X[taken], _Z[taken])
        whole = np.zeros_like(_X)
        whole[taken] = part
        found.append(whole)
    return found[0], found[1]


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_that_of_the_branch_that_is_taken(name: str) -> None:
    text, branch = LAYERS[name]
    layer = gradtool.load(f"layer: guarded\n{_INPUTS}{text}\n")
    found = layer.derive()
    forward, backward = found.numpy()
    with np.errstate(all="ignore"):
        _, cache = forward(X=_X, Z=_Z, M=_M)
        gradients = backward(_UP, cache)
    for variable, expected in zip(("X", "Z"), _expected(branch, _X > 0), strict=True):
        np.testing.assert_allclose(
            getattr(gradients, f"d{variable}"), expected, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    ("line", "taken", "other"),
    [
        ("S = sqrt(Z)\n  Y = where(Z > 0, S, Z**2)", anp.sqrt, lambda z: z**2),
        ("S = 1 / Z\n  Y = where(Z > 0, S, Z**2)", lambda z: 1 / z, lambda z: z**2),
        ("Y = where((Z > 0) & (X >= 0), Z * sqrt(Z), Z * Z)", lambda z: z**1.5, lambda z: z**2),
        (
            "S = 1 / Z\n  Y = where(~((Z > 0) & (X >= 0)), Z * Z, S * Z**4)",
            lambda z: z**3,
            lambda z: z**2,
        ),
        (
            "S = Z**0.5\n  H = where((Z > 0) & (X >= 0), S, Z**2)\n  Y = H @ eye(D)",
            anp.sqrt,
            lambda z: z**2,
        ),
        ("S = 1 / sqrt(Z)\n  Y = where(Z > 0, S, Z**3)", lambda z: z**-0.5, lambda z: z**3),
    ],
)
def test_the_other_branch_is_not_written_with_what_it_does_not_have(
    line: str, taken: Callable[[Any], Any], other: Callable[[Any], Any]
) -> None:
    """``2 * Z`` as ``2 * S**2`` is nan where Z is negative."""
    z = np.array([[0.3, -1.2, 0.0], [2.0, 0.7, -0.4]])
    layer = gradtool.load(f"layer: guarded\n{_INPUTS}  {line}\n")
    forward, backward = layer.derive().numpy()
    with np.errstate(all="ignore"):
        _, cache = forward(X=_X, Z=z, M=_M)
        found = backward(_UP, cache).dZ
    expected = np.zeros_like(z)
    for mask, branch in ((z > 0, taken), (z <= 0, other)):
        expected[mask] = grad(lambda part: anp.sum(_UP[mask] * branch(part)))(z[mask])  # noqa: B023
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("line", "small"),
    [
        ("Y = maximum(0, Z) + minimum(0, exp(Z) - 1)", lambda z: anp.exp(z) - 1),
        ("E = exp(Z)\n  Y = maximum(0, Z) + minimum(0, 2 * (E - 1))", lambda z: 2 * anp.exp(z)),
        ("Y = minimum(exp(Z), 1) + relu(Z)", anp.exp),
        ("Y = clip(cosh(Z), 0, 1) + relu(Z) + relu(1 - exp(Z))", lambda z: -anp.exp(z)),
        ("Y = relu(Z) - relu(1 - exp(Z)) * exp(minimum(Z, 0) * 0)", lambda z: anp.exp(z)),
    ],
)
def test_an_exponential_that_a_bound_keeps_out_has_no_slope(
    line: str, small: Callable[[Any], Any]
) -> None:
    """``exp(Z) * (exp(Z) < 1)`` was inf * 0 from Z = 710 on (89 in single precision)."""
    z = np.array([[1000.0, -1.2, 750.0], [2.0, -0.7, 800.0]])
    layer = gradtool.load(f"layer: bounded\n{_INPUTS}  {line}\n")
    forward, backward = layer.derive().numpy()
    with np.errstate(all="ignore"):
        _, cache = forward(X=_X, Z=z, M=_M)
        found = backward(_UP, cache).dZ
    low = z < 0
    expected = np.array(_UP)
    expected[low] = grad(lambda part: anp.sum(_UP[low] * small(part)))(z[low])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("line", ["minimum(0, exp(Z) - 1)", "0 - relu(1 - exp(Z))"])
def test_a_comparison_of_what_is_infinite_gives_no_nan(line: str) -> None:
    """``where(exp(Z) - 1 < 0, exp(Z), 0)``: it was said of dZ that it may come out as nan."""
    sheet = _sheet(f"layer: compared\n{_INPUTS}  Y = relu(Z) + {line}\n")
    assert not any("nan" in note for note in sheet.conventions)


@pytest.mark.parametrize("inner", ["softmax(Z)", "exp(Z) / sum(exp(Z), axis=1, keepdims=True)"])
def test_what_a_word_is_made_from_is_guarded_by_nothing(inner: str) -> None:
    text = f"layer: word\n{_INPUTS}  Y = relu({inner} - X)\n"
    assert "where" not in str(gradtool.load(text).derive())


def test_a_product_of_conditions_is_read_back() -> None:
    """``where((Z > 0) * (V > 0), …)`` was printed, which the spec language refuses."""
    lines = (
        "V = X * Z",
        "S = 1 / V",
        "H = where(~((Z > 0) & (V > 0)), X * Z, S * X)",
        "Y = H * H",
    )
    found = gradtool.load(f"layer: guarded\n{_INPUTS}  " + "\n  ".join(lines) + "\n").derive()
    assert found.certified.digits >= 30
    assert "(Z > 0) *" not in str(found)


@pytest.mark.parametrize("name", LAYERS)
def test_the_printed_directional_derivative_is_finite_there(name: str) -> None:
    text, branch = LAYERS[name]
    layer = gradtool.load(f"layer: guarded\n{_INPUTS}{text}\n")
    found = layer.jvp()
    forward_mode = found.numpy()
    with np.errstate(all="ignore"):
        _, moved = forward_mode(_X, _Z, _M, _UP, _UP)
    dx, dz = _expected(branch, _X > 0)
    np.testing.assert_allclose(moved, dx + dz, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "  A = where(X > 0, Z / X, 0)\n  Y = A + 2 * where(M, Z / X, 0)",
        "  R = sum(log(X), axis=1)\n  Y = where(M, R[:, None] * Z, 0)",
    ],
)
def test_a_condition_that_cannot_be_kept_is_told(text: str) -> None:
    sheet = _sheet(f"layer: told\n{_INPUTS}{text}\n")
    assert any(note.startswith("dX") and "nan" in note for note in sheet.conventions)


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_is_told_of_conditions_that_are_kept(name: str) -> None:
    sheet = _sheet(f"layer: kept\n{_INPUTS}{LAYERS[name][0]}\n")
    assert not any("nan" in note for note in sheet.conventions)


@pytest.mark.parametrize(
    ("forward", "gradient"),
    [
        ("A = relu(Z)", "dA * (Z > 0)"),
        ("A = where(Z > 0, Z, 0)", "dA * (Z > 0)"),
        ("h = Z / sqrt(mean(Z**2, axis=0))\n  A = where(M, h, 0) + h", None),
    ],
)
def test_conditions_that_guard_nothing_stay_factors(forward: str, gradient: str | None) -> None:
    found = gradtool.load(f"layer: plain\n{_INPUTS}  {forward}\n").derive()
    if gradient is None:
        assert "where" not in str(found)
    else:
        assert found.gradients["Z"].text == gradient


def _sheet(text: str) -> Sheet:
    spec = load_text(text, "<text>")
    sheet, _, _ = make_sheet(spec, graph_of(spec), None, staged=False)
    return sheet
