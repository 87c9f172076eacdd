"""Emitted PyTorch and JAX code as text: what it imports, what it refuses, how it reads.

That it computes the right thing is shown by the tests marked `frameworks`, which run it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradtool.derive.derivation import Derivation, derive
from gradtool.emit.frameworks.jax_module import jax_module
from gradtool.emit.frameworks.torch_module import torch_module
from gradtool.ir.errors import UnsupportedError
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec
from tests.conftest import RunPython
from tests.emit.examples import example

Emit = Callable[[LayerSpec, Derivation], str]
EMITTERS: dict[str, Emit] = {"torch": torch_module, "jax": jax_module}
FEW = ("affine", "conv2d", "max_pool2d", "svm_hinge", "lstm_cell", "l2_full", "gelu_tanh")


def _bundled(name: str) -> tuple[LayerSpec, Derivation]:
    spec = load_path(bundled_specs()[name])
    return spec, derive(graph_of(spec))


def _modules(emit: Emit) -> dict[str, str]:
    found = {name: emit(*_bundled(name)) for name in FEW}
    return found | {name: emit(*example(name)) for name in ("batch_norm", "conv", "row_max")}


@pytest.mark.parametrize("framework", EMITTERS)
def test_modules_import_the_framework_only_and_have_no_dead_code(
    framework: str, tmp_path: Path
) -> None:
    allowed = {"torch": {"torch", "math"}, "jax": {"jax", "jax.numpy", "math", "functools"}}
    for name, text in _modules(EMITTERS[framework]).items():
        imported = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
            for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)
        }  # fmt: skip
        assert imported <= allowed[framework], name
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F,E7,E9,W",
         "--ignore", "E741", str(tmp_path)],  # E741: a name such as O is the user's choice
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


AFFINE = {
    "torch": '''\
class Layer(torch.autograd.Function):
    """The forward pass, and the backward pass that was derived from it."""

    @staticmethod
    def forward(X, W, b):
        Y = X @ W + b
        return Y

    @staticmethod
    def setup_context(ctx, inputs, output):
        X, W, _ = inputs
        ctx.save_for_backward(X, W)

    @staticmethod
    def backward(ctx, dY):
        X, W = ctx.saved_tensors
        dX = dW = db = None
        needed = ctx.needs_input_grad
        if needed[0]:
            dX = dY @ W.T
        if needed[1]:
            dW = X.T @ dY
        if needed[2]:
            db = dY.sum(dim=0)
        return dX, dW, db
''',
    "jax": '''\
def _forward(X, W, b):
    """The result, and what the backward pass reads."""
    Y = X @ W + b
    return Y, (X, W)


def _backward(residuals, dY):
    """The gradient of every argument; None where there is none."""
    X, W = residuals
    dX = dY @ W.T
    dW = X.T @ dY
    db = dY.sum(axis=0)
    return dX, dW, db


layer.defvjp(_forward, _backward)
''',
}


@pytest.mark.parametrize("framework", EMITTERS)
def test_the_printed_formulas_are_the_code(framework: str) -> None:
    assert AFFINE[framework] in EMITTERS[framework](*example("affine"))


def test_a_constant_is_a_keyword_with_its_default() -> None:
    spec, derivation = example("batch_norm")
    assert "def layer(X, gamma, beta, *, eps=1e-5):" in torch_module(spec, derivation)
    assert "nondiff_argnums=(3,)" in jax_module(spec, derivation)


def test_a_result_that_another_gradient_needs_is_computed_when_either_is_asked_for() -> None:
    text = torch_module(*example("batch_norm"))
    assert "if needed[0] or needed[2]:\n            dbeta = dY.sum(dim=0)" in text
    assert "dX = gamma / (N * std) * (N * dY - dbeta - xhat * dgamma)" in text


@pytest.mark.parametrize("framework", EMITTERS)
def test_a_gradient_that_is_left_out_is_refused_because_it_would_count_as_zero(
    framework: str,
) -> None:
    spec, _ = example("affine")
    with pytest.raises(UnsupportedError, match="without the gradient of X and b"):
        EMITTERS[framework](spec, derive(graph_of(spec), ("W",)))


def test_a_loop_is_a_loop_over_the_steps_and_the_code_does_not_grow_with_them() -> None:
    spec, derivation = _bundled("discounted_returns")
    text = torch_module(spec, derivation)
    assert (
        """\
        for t in reversed(range(T)):
            g_prev[t] = g
            g = r[:, t] + gamma * g
            G[:, t] = g
        return G, g_prev
"""
        in text
    )
    text = jax_module(spec, derivation)
    assert (
        """\
    def step(state, t):
        dr, dgamma, dg_next = state
        dg = dG[:, t] + dg_next
        dr = dr.at[:, t].set(dg)
        dgamma = dgamma + (dg * g_prev[t]).sum()
        dg_next = gamma * dg
        return (dr, dgamma, dg_next), None

    (dr, dgamma, dg_next), _ = jax.lax.scan(step, (dr, dgamma, dg_next), jnp.arange(T))
    return dr, dgamma
"""
        in text
    )


def test_an_index_that_numpy_and_pytorch_order_differently_is_refused() -> None:
    spec = load_text(
        "layer: l\ninputs: {T: [M, N, D], y: {shape: [K], index: D}}\nforward: Y = T[0, :, y]\n",
        "l.yaml",
    )
    derivation = derive(graph_of(spec))
    with pytest.raises(UnsupportedError, match="on both sides of a slice"):
        torch_module(spec, derivation)
    assert "T[0, :, y]" in jax_module(spec, derivation)


@pytest.mark.parametrize("framework", EMITTERS)
@pytest.mark.parametrize("name", ["layer", "torch", "jnp", "ctx", "upstream", "needed", "partial"])
def test_names_of_the_module_itself_may_be_names_of_the_spec(framework: str, name: str) -> None:
    spec = load_text(
        f"layer: l\ninputs: {{{name}: [N], X: [N]}}\nforward: Y = exp({name}) * X + 1\n", "l.yaml"
    )
    text = EMITTERS[framework](spec, derive(graph_of(spec)))
    compile(text, "l", "exec")
    reserved = {"torch": ("layer", "torch", "ctx", "needed"), "jax": ("layer", "jnp", "partial",
                "upstream")}[framework]  # fmt: skip
    assert (f"{name}_" in text) == (name in reserved)


@pytest.mark.parametrize("framework", EMITTERS)
def test_the_command_prints_the_module(run_python: RunPython, framework: str) -> None:
    ended = run_python("-m", "gradtool", "derive", "affine", "--format", framework)
    assert ended.code == 0, ended.err
    assert AFFINE[framework] in ended.out
    partly = run_python("-m", "gradtool", "derive", "affine", "--format", framework, "--wrt", "W")
    assert (partly.code, partly.out) == (2, "")
    assert "it would count as zero" in partly.err
