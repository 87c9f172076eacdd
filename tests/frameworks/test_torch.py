"""PyTorch agrees with the derived gradients, and passes the emitted PyTorch code.

Two independent facts for every bundled layer: PyTorch's own derivative of the forward pass, run
from the spec's text by the tests, equals the gradients of gradtool; and the emitted
`torch.autograd.Function` passes `gradcheck` and `gradgradcheck`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradtool.emit.frameworks.torch_module import torch_module
from tests.frameworks.forward_text import outputs_of, run_forward
from tests.frameworks.layers import (
    EVERY,
    Layer,
    compiled_function,
    find,
    keywords,
    layer,
)
from tests.frameworks.torch_functions import conv3d, functions, torch

pytestmark = pytest.mark.frameworks


def _tensors(one: Layer, dtype: Any = None) -> list[Any]:
    t = torch()
    found = []
    for variable in one.spec.variables:
        value = t.from_numpy(np.array(one.values[variable.name]))
        if dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        found.append(value.requires_grad_(variable.name in one.wanted))
    return found


def _emitted(one: Layer) -> Any:
    """The emitted layer, told the sizes that no shape tells."""
    function = compiled_function(torch_module(one.spec, one.derivation), one.spec.name)
    told = keywords(function, one.sizes)
    return lambda *arrays: function(*arrays, **told)


def _own_forward(one: Layer, tensors: list[Any]) -> tuple[Any, ...]:
    values = {v.name: x for v, x in zip(one.spec.variables, tensors, strict=True)}
    if one.spec.name == "conv3d":
        return (conv3d(values),)
    scope = run_forward(one.spec, values, one.numbers, functions(), find)
    return tuple(scope[name] for name in outputs_of(one.spec))


def _gradients(one: Layer, outputs: tuple[Any, ...], tensors: list[Any]) -> dict[str, Any]:
    t = torch()
    leaves = {v.name: x for v, x in zip(one.spec.variables, tensors, strict=True)}
    wanted = [leaves[name] for name in one.wanted]
    given = [t.from_numpy(np.array(g)).to(outputs[0].dtype) for g in one.upstream.values()]
    found = t.autograd.grad(outputs, wanted, given, allow_unused=True)
    return {
        name: np.zeros(x.shape) if g is None else g.numpy()
        for name, x, g in zip(one.wanted, wanted, found, strict=True)
    }


@pytest.mark.parametrize("name", EVERY)
def test_the_derivative_of_the_forward_text_is_the_derived_one(name: str) -> None:
    one = layer(name)
    tensors = _tensors(one)
    outputs = _own_forward(one, tensors)
    derived = one.gradients()
    for wanted, gradient in _gradients(one, outputs, tensors).items():
        np.testing.assert_allclose(derived[wanted], gradient, rtol=1e-9, atol=1e-9, err_msg=wanted)


@pytest.mark.parametrize("name", EVERY)
def test_emitted_code_passes_gradcheck(name: str) -> None:
    one = layer(name)
    t = torch()
    function, tensors = _emitted(one), _tensors(one)
    found = function(*tensors)
    outputs = found if isinstance(found, tuple) else (found,)
    for output, value in one.reference.forward(one.values, one.sizes).items():
        shown = outputs[one.reference.outputs.index(output)].detach().numpy()
        np.testing.assert_allclose(shown, value, rtol=1e-12, atol=1e-12, err_msg=output)
    assert t.autograd.gradcheck(function, tensors, fast_mode=True)
    assert t.autograd.gradgradcheck(function, tensors, fast_mode=True)
