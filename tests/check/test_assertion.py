"""`gradtool.assert_gradients` says in a test what `gradtool check` says of a file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradtool import assert_gradients
from gradtool.spec.usage import UsageError

Array = Any

SCALED = """\
layer: scaled
inputs: {X: [N, D]}
parameters: {g: [D]}
forward: |
  Y = X * g
check:
  forward: Y = scale(X, g)
  backward: dX, dg = unscale(dY, X, g)
"""


def scale(X: Array, g: Array) -> Array:
    return X * g


def unscale(upstream: Array, X: Array, g: Array) -> tuple[Array, Array]:
    return upstream * g, (upstream * X).sum(axis=0)


def unscale_without_sum(upstream: Array, X: Array, g: Array) -> tuple[Array, Array]:
    return upstream * g, upstream * X


class Sigmoid:
    def forward(self, z: Array) -> Array:
        self.a = 1 / (1 + np.exp(-z))
        return self.a

    def backward(self, dout: Array) -> Array:
        return dout * self.a * (1 - self.a)


class SigmoidOfNothing(Sigmoid):
    def forward(self, z: Array) -> Array:
        return super().forward(z)

    def backward(self, dout: Array) -> Array:
        return dout * self.a


def test_right_functions_pass_and_leave_the_random_state_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    assert_gradients(scale, unscale, SCALED)
    assert_gradients(Sigmoid, spec="sigmoid")
    assert_gradients(lambda z: np.tanh(z), lambda dA, z: dA / np.cosh(z) ** 2, "tanh")
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_the_message_is_the_report() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_gradients(SigmoidOfNothing, spec="sigmoid")
    text = str(caught.value)
    assert text.startswith("test_assertion.py   SigmoidOfNothing (line ")
    assert "wrong" in text
    assert "should be" in text
    with pytest.raises(AssertionError) as caught:
        assert_gradients(SigmoidOfNothing, spec="sigmoid", hide_expected=True)
    assert "should be" not in str(caught.value)


def test_a_missing_sum_is_named_for_functions_of_another_name() -> None:
    # The spec's check: block calls `unscale`; these are recognised by what they take.
    with pytest.raises(AssertionError, match="the sum over axis 0 is missing"):
        assert_gradients(scale, unscale_without_sum, SCALED)


def test_without_a_spec_differences_decide() -> None:
    assert_gradients(scale, unscale, inputs="X: [N, D], g: [D]")
    with pytest.raises(AssertionError, match=r"dX .* wrong"):
        assert_gradients(
            scale, lambda d, X, g: (d, (d * X).sum(axis=0)), inputs="X: [N, D], g: [D]"
        )


def test_misuse_is_told_as_such() -> None:
    with pytest.raises(UsageError, match="a spec, or inputs"):
        assert_gradients(scale, unscale)
    with pytest.raises(UsageError, match="no bundled layer"):
        assert_gradients(scale, unscale, "sigmoyd")
    with pytest.raises(UsageError, match="no input, parameter or constant is called"):
        assert_gradients(scale, lambda: None, "affine")


def test_what_is_right_in_one_reading_only_is_told_as_such() -> None:
    """A softmax over the samples is right with samples in columns, which the spec has not."""

    def softmax(Z: Array) -> tuple[Array, Array]:
        E = np.exp(Z - Z.max(axis=0))
        P = E / E.sum(axis=0)
        return P, P

    with pytest.raises(UsageError, match="with one sample per column, everything is right"):
        assert_gradients(softmax, lambda dP, P: P * (dP - (dP * P).sum(axis=0)), "softmax")


NORM = """
import numpy as np
EPS = np.float32(1e-5)
SCALE = 1.0
def batchnorm_forward(x, gamma, beta):
    std = np.sqrt(x.var(axis=0) + EPS)
    xhat = (x - x.mean(axis=0)) / std
    return gamma * xhat + beta, (xhat, gamma, std)
def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    g = dout * gamma
    dx = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std
    return SCALE * dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)
"""


def test_functions_of_a_module_are_run_with_a_change_as_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_norm_of_float32.py").write_text(NORM)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("a_norm_of_float32")
    pair = module.batchnorm_forward, module.batchnorm_backward
    assert_gradients(*pair, "batch_norm")  # off by the rounding of its eps, and by nothing else
    # What the module is now is not what its file says: that the file is right proves nothing.
    monkeypatch.setattr(module, "SCALE", 1 + 1e-7)
    with pytest.raises(AssertionError, match="wrong"):
        assert_gradients(*pair, "batch_norm")
    monkeypatch.setattr(module, "SCALE", 1.0)
    assert_gradients(*pair, "batch_norm")


def test_a_module_that_checks_itself_starts_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checks_itself.py").write_text(
        NORM + "import gradtool\n"
        "gradtool.assert_gradients(batchnorm_forward, batchnorm_backward, 'batch_norm')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("checks_itself")


def returning(Z: Array) -> tuple[Array, object]:
    return np.maximum(Z, 0), lambda dA: dA * (Z > 0)


def returning_another(Z: Array) -> tuple[Array, object]:
    return np.maximum(Z, 0), lambda dA: dA * (Z < 0)


def test_a_function_that_returns_its_backward_pass() -> None:
    assert_gradients(returning, spec="relu")
    assert_gradients(returning, inputs="Z: [N, D]")
    with pytest.raises(AssertionError, match=r"line \d+: .*Z < 0"):
        assert_gradients(returning_another, spec="relu")
