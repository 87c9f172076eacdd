"""JAX agrees with the derived gradients, and passes the emitted JAX code.

Two independent facts for every bundled layer: JAX's own derivative of the forward pass, run from
the spec's text by the tests, equals the gradients of gradtool; and the emitted `custom_vjp`
passes `jax.test_util.check_grads` in reverse mode, to the second order.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradtool.derive.second import jvp
from gradtool.emit.frameworks.jax_module import jax_module
from gradtool.emit.numpy_differential import module_text
from gradtool.spec.forward import graph_of
from tests.frameworks.forward_text import outputs_of, run_forward
from tests.frameworks.jax_functions import conv3d, functions, jax
from tests.frameworks.layers import (
    EVERY,
    PATHS,
    Layer,
    compiled_function,
    find,
    keywords,
    layer,
    layer_of,
)

pytestmark = pytest.mark.frameworks


def _arrays(one: Layer) -> list[Any]:
    return [np.asarray(one.values[v.name]) for v in one.spec.variables]


def _of_wanted(one: Layer, function: Callable[..., Any]) -> tuple[Callable[..., Any], list[Any]]:
    """A layer as a function of its differentiable inputs only, and these."""
    arrays = dict(zip([v.name for v in one.spec.variables], _arrays(one), strict=True))

    def of_wanted(*wanted: Any) -> Any:
        return function(*{**arrays, **dict(zip(one.wanted, wanted, strict=True))}.values())

    return of_wanted, [arrays[name] for name in one.wanted]


def _emitted(one: Layer) -> Callable[..., Any]:
    function = compiled_function(jax_module(one.spec, one.derivation), one.spec.name)
    told = keywords(function, one.sizes)
    return lambda *arrays: function(*arrays, **told)


def _own_forward(one: Layer) -> Callable[..., Any]:
    def forward(*arrays: Any) -> Any:
        values = {v.name: x for v, x in zip(one.spec.variables, arrays, strict=True)}
        if one.spec.name == "conv3d":
            return conv3d(values)
        scope = run_forward(one.spec, values, one.numbers, functions(), find)
        found = tuple(scope[name] for name in outputs_of(one.spec))
        return found if len(found) > 1 else found[0]

    return forward


def _packed(one: Layer, function: Callable[..., Any]) -> tuple[Callable[[Any], Any], Any]:
    """A layer from one vector to one vector, both padded, and the vector of its inputs.

    JAX compiles what its checker does for every shape anew: with vectors of a few lengths it
    does so once for all layers.
    """
    jnp = jax().numpy
    of_wanted, wanted = _of_wanted(one, function)

    def of_vector(vector: Any) -> Any:
        arrays, start = [], 0
        for like in wanted:
            arrays.append(vector[start : start + like.size].reshape(like.shape))
            start += like.size
        found = of_wanted(*arrays)
        outputs = found if isinstance(found, tuple) else (found,)
        result = jnp.concatenate([jnp.ravel(y) for y in outputs])
        return jnp.pad(result, (0, _length(result.size) - result.size))

    vector = np.concatenate([x.ravel() for x in wanted])
    return jax().jit(of_vector), np.pad(vector, (0, _length(vector.size) - vector.size))


def _length(size: int) -> int:
    return max(64, 1 << 2 * math.ceil(math.log(size, 4)))


def _gradients(one: Layer, function: Callable[..., Any]) -> dict[str, Any]:
    of_wanted, wanted = _of_wanted(one, function)
    given = tuple(map(jax().numpy.asarray, one.upstream.values()))

    def gradient(*arrays: Any) -> Any:
        _, pull = jax().vjp(of_wanted, *arrays)
        return pull(given if len(given) > 1 else given[0])

    return dict(zip(one.wanted, jax().jit(gradient)(*wanted), strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_the_derivative_of_the_forward_text_is_the_derived_one(name: str) -> None:
    one = layer(name)
    derived = one.gradients()
    for wanted, gradient in _gradients(one, _own_forward(one)).items():
        np.testing.assert_allclose(derived[wanted], gradient, rtol=1e-9, atol=1e-9, err_msg=wanted)


@pytest.mark.parametrize("name", EVERY)
def test_emitted_code_passes_check_grads(name: str) -> None:
    one = layer(name)
    function, vector = _packed(one, _emitted(one))
    outputs = [y.ravel() for y in one.reference.forward(one.values, one.sizes).values()]
    whole = np.concatenate(outputs)
    np.testing.assert_allclose(function(vector)[: whole.size], whole, rtol=1e-12, atol=1e-12)
    check = importlib.import_module("jax.test_util").check_grads
    # The default step of 1e-4 leaves an error of the order of the tolerance, 1e-5.
    check(function, (vector,), order=2, modes=["rev"], eps=1e-5)


# -- directions of loops ------------------------------------------------------------------

LOOPS = [p for p in EVERY if " in range(" in PATHS[str(p.id)].read_text("utf-8")
         or " in reversed(range(" in PATHS[str(p.id)].read_text("utf-8")]  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_the_direction_of_a_loop_is_that_of_the_forward_text(name: str) -> None:
    one = layer(name)
    rng = np.random.default_rng(3)
    function, wanted = _of_wanted(one, _own_forward(one))
    ways = [np.asarray(rng.standard_normal(x.shape)) for x in wanted]
    output, change = jax().jvp(function, tuple(wanted), tuple(ways))
    found = jvp(graph_of(one.spec, find), one.wanted)
    scope: dict[str, Any] = {"__name__": "emitted"}
    exec(module_text(one.spec, found), scope)  # what gradtool emitted for a bundled spec
    emitted = scope["jvp"]
    result = emitted(*_arrays(one), *ways, **keywords(emitted, one.sizes))
    several = output if isinstance(output, tuple) else (output,)
    changes = change if isinstance(change, tuple) else (change,)
    for value, expected in zip(result, (*several, *changes), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)


# -- what a training loop relies on -------------------------------------------------------

SMALL = ("affine", "batch_norm", "max_pool2d", "svm_hinge", "lstm_cell", "dropout", "huber")


@pytest.mark.parametrize("name", SMALL)
def test_float32_stays_float32(name: str) -> None:
    one = layer(name)
    small = [x.astype(np.float32) if x.dtype == np.float64 else x for x in _arrays(one)]
    function = _emitted(one)
    found, pull = jax().vjp(jax().jit(function), *small)
    outputs = found if isinstance(found, tuple) else (found,)
    assert {y.dtype for y in outputs} == {np.dtype(np.float32)}
    given = tuple(np.asarray(g, np.float32) for g in one.upstream.values())
    gradients = pull(given if len(given) > 1 else given[0])
    derived = one.gradients()
    for variable, gradient in zip(one.spec.variables, gradients, strict=True):
        if variable.name in one.wanted:
            assert gradient.dtype == np.float32, variable.name
            np.testing.assert_allclose(gradient, derived[variable.name], rtol=1e-3, atol=1e-4)


def test_labels_and_masks_have_no_gradient() -> None:
    one = layer("svm_hinge")
    scores, labels = _arrays(one)
    _, pull = jax().vjp(_emitted(one), scores, labels)
    _, of_labels = pull(np.asarray(1.0))
    assert of_labels.dtype == jax().dtypes.float0


def test_constants_and_sizes_are_static_keywords() -> None:
    one = layer_of("layer: l\ninputs: {X: [N]}\nconstants: {a: 2.5, k: 2}\nforward: Y = a * X**k\n")
    function = compiled_function(jax_module(one.spec, one.derivation), "l")
    x = np.array([2.0])
    assert jax().jit(function)(x) == 10
    assert jax().jit(function, static_argnames=("a", "k"))(x, a=1.0, k=3) == 8
    told = layer_of(
        "layer: l\ninputs: {X: [N], y: {shape: [N], index: C}}\n"
        "forward: Y = X[:, None] * onehot(y, C)\n"
    )
    gradients = _gradients(told, _emitted(told))
    np.testing.assert_allclose(gradients["X"], told.gradients()["X"])


def test_the_layer_is_mapped_over_a_batch() -> None:
    one = layer("batch_norm")
    x, gamma, beta = _arrays(one)
    function = _emitted(one)
    mapped = jax().vmap(function, (0, None, None))(np.stack([x, 2 * x]), gamma, beta)
    np.testing.assert_allclose(mapped[0], function(x, gamma, beta), rtol=1e-12)
