"""Every word of the vocabulary means in PyTorch and JAX what it means in NumPy code.

For an example of every word, and for layers that only index notation can write: forward values
and gradients of the emitted code equal those of the emitted NumPy code, which other tests compare
with the graph itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from gradtool.emit.frameworks.jax_module import jax_module
from gradtool.emit.frameworks.torch_module import torch_module
from tests.emit.examples import SPECS
from tests.frameworks.index_layers import INDEX_LAYERS
from tests.frameworks.jax_functions import jax
from tests.frameworks.layers import Layer, compiled_function, keywords, layer_of
from tests.frameworks.torch_functions import torch

pytestmark = [
    pytest.mark.frameworks,
    # A variance of one value, a logarithm of zero: also undefined in NumPy.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TEXTS = {**SPECS, **{name: f"layer: {name}\n{text}" for name, text in INDEX_LAYERS.items()}}
EVERY = sorted(TEXTS)
_GROUP = 12  # layers that JAX compiles at once, and that one process derives


def _in_group(value: Any, number: int) -> Any:
    return pytest.param(value, marks=pytest.mark.xdist_group(f"words{number // _GROUP}"))


@cache
def _layer(name: str) -> Layer:
    return layer_of(TEXTS[name])


def _expected(one: Layer) -> list[Any]:
    """The outputs and the gradients of the emitted NumPy code."""
    outputs = one.reference.forward(one.values, one.sizes)
    return [*outputs.values(), *one.gradients().values()]


def _assert_equal(found: list[Any], expected: list[Any], name: str) -> None:
    text = TEXTS[name].split("forward:")[1].strip()
    for a, b in zip(found, expected, strict=True):
        if np.all(np.isfinite(b)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=text)


@pytest.mark.parametrize("name", [_in_group(name, k) for k, name in enumerate(EVERY)])
def test_torch(name: str) -> None:
    one, t = _layer(name), torch()
    function = compiled_function(torch_module(one.spec, one.derivation), one.spec.name)
    tensors = {k: t.from_numpy(np.array(v)) for k, v in one.values.items()}
    wanted = [tensors[k].requires_grad_() for k in one.wanted]
    found = function(*tensors.values(), **keywords(function, one.sizes))
    outputs = found if isinstance(found, tuple) else (found,)
    given = [t.from_numpy(np.array(g)) for g in one.upstream.values()]
    gradients = t.autograd.grad(outputs, wanted, given, allow_unused=True)
    shown = [y.detach().numpy() for y in outputs]
    shown += [np.zeros(x.shape) if g is None else g.numpy()
              for g, x in zip(gradients, wanted, strict=True)]  # fmt: skip
    _assert_equal(shown, _expected(one), name)


def _jax_results(one: Layer) -> Any:
    """A function without arguments that gives outputs and gradients."""
    function = compiled_function(jax_module(one.spec, one.derivation), one.spec.name)
    told = keywords(function, one.sizes)
    given = tuple(one.upstream.values())

    def results(values: dict[str, Any], upstream: Any) -> list[Any]:
        def of_wanted(*wanted: Any) -> Any:
            every = {**values, **dict(zip(one.wanted, wanted, strict=True))}
            return function(*(every[v.name] for v in one.spec.variables), **told)

        found, pull = jax().vjp(of_wanted, *(values[k] for k in one.wanted))
        outputs = found if isinstance(found, tuple) else (found,)
        return [*outputs, *pull(upstream if len(upstream) > 1 else upstream[0])]

    return results, one.values, given


@pytest.mark.parametrize("start", [_in_group(k, k) for k in range(0, len(EVERY), _GROUP)])
def test_jax(start: int) -> None:
    chosen = EVERY[start : start + _GROUP]
    several = [_jax_results(_layer(name)) for name in chosen]

    def every(arguments: Any) -> Any:
        return [results(*a) for (results, *_), a in zip(several, arguments, strict=True)]

    found = jax().jit(every)([(values, given) for _, values, given in several])
    for name, shown in zip(chosen, found, strict=True):
        _assert_equal(shown, _expected(_layer(name)), name)
