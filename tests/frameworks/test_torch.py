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
    layer_of,
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


# -- what a training loop relies on -------------------------------------------------------

SMALL = ("affine", "batch_norm", "conv2d", "max_pool2d", "svm_hinge", "lstm_cell", "word_embedding",
         "attention_causal", "dropout", "label_smoothing", "huber", "hard_swish")  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_float32_stays_float32(name: str) -> None:
    one = layer(name)
    t = torch()
    tensors = _tensors(one, t.float32)
    found = _emitted(one)(*tensors)
    outputs = found if isinstance(found, tuple) else (found,)
    assert {y.dtype for y in outputs} == {t.float32}
    derived = one.gradients()
    for wanted, gradient in _gradients(one, outputs, tensors).items():
        assert gradient.dtype == np.float32, wanted
        np.testing.assert_allclose(gradient, derived[wanted], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_tensors_stay_on_their_device(name: str) -> None:
    one = layer(name)
    t = torch()
    # The meta device computes shapes only, and refuses to meet a tensor of another device.
    tensors = [x.detach().to("meta").requires_grad_(x.requires_grad) for x in _tensors(one)]
    found = _emitted(one)(*tensors)
    outputs = found if isinstance(found, tuple) else (found,)
    t.autograd.backward(outputs, [t.ones_like(y) for y in outputs])
    assert {y.device.type for y in outputs} == {"meta"}
    for x in tensors:
        assert x.grad is None or (x.grad.device.type, x.grad.shape) == ("meta", x.shape)


def test_only_the_gradients_that_are_needed_are_computed() -> None:
    one = layer("batch_norm")
    x, gamma, beta = _tensors(one)
    found = _emitted(one)(x.detach(), gamma, beta.detach())
    found.backward(torch().ones_like(found))
    assert (x.grad, beta.grad) == (None, None)
    assert gamma.grad is not None


def test_one_output_of_several_may_be_left_out_of_the_loss() -> None:
    one = layer("lstm_cell")
    tensors = _tensors(one)
    h, _ = _emitted(one)(*tensors)
    h.sum().backward()
    own = _tensors(one)
    _own_forward(one, own)[0].sum().backward()
    for a, b in zip(tensors, own, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_a_second_derivative_with_the_kept_values_as_constants_would_be_wrong() -> None:
    # The reason for the branch in the emitted backward pass: without it, gradgradcheck fails.
    one = layer("batch_norm")
    t = torch()
    text = torch_module(one.spec, one.derivation)
    assert "if torch.is_grad_enabled():" in text
    wrong = compiled_function(text.replace("torch.is_grad_enabled()", "False"), "wrong")
    assert t.autograd.gradcheck(wrong, _tensors(one), fast_mode=True)
    assert not t.autograd.gradgradcheck(wrong, _tensors(one), fast_mode=True, raise_exception=False)


def test_a_constant_is_a_keyword() -> None:
    one = layer_of("layer: l\ninputs: {X: [N]}\nconstants: {a: 2.5, k: 2}\nforward: Y = a * X**k\n")
    function = _emitted(one)
    x = torch().tensor([2.0], requires_grad=True)
    assert function(x) == 10
    raised = compiled_function(torch_module(one.spec, one.derivation), "l")(x, a=1.0)
    raised.backward()
    assert (raised.item(), x.grad.item()) == (4, 4)


def test_a_size_that_no_shape_tells_is_a_keyword() -> None:
    one = layer_of(
        "layer: l\ninputs: {X: [N], y: {shape: [N], index: C}}\n"
        "forward: Y = X[:, None] * onehot(y, C)\n"
    )
    assert torch().autograd.gradcheck(_emitted(one), _tensors(one))
