"""The same layers in PyTorch eager on the CPU, by its own functions (optional)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F


def backward_of(
    case: str, values: list[Any], differentiable: int, constants: Mapping[str, int]
) -> Callable[[Any], Any]:
    """The function from the upstream gradient to the gradients, the forward pass done."""
    torch.set_num_threads(1)
    tensors = [torch.from_numpy(value.copy()) for value in values]
    real = [tensor.requires_grad_() for tensor in tensors[:differentiable]]
    output = LAYERS[case](*real, *tensors[differentiable:], **constants)

    def backward(upstream: Any) -> Any:
        given = torch.as_tensor(upstream, dtype=output.dtype)
        found = torch.autograd.grad(output, real, given, retain_graph=True)
        return [gradient.numpy() for gradient in found]

    return backward


def _batch_norm(X: Any, gamma: Any, beta: Any) -> Any:
    return F.batch_norm(X, None, None, gamma, beta, training=True)


def _layer_norm(X: Any, gamma: Any, beta: Any) -> Any:
    return F.layer_norm(X, gamma.shape, gamma, beta)


def _lstm(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """By the LSTM of PyTorch, whose gates stand in the order input, forget, cell, output."""

    def weights(part: Any) -> Any:
        i, f, o, g = torch.chunk(part, 4, dim=-1)
        return torch.cat((i, f, g, o), dim=-1).transpose(0, -1).contiguous()

    state = (h0[None], torch.zeros_like(h0)[None])
    parameters = [weights(Wx), weights(Wh), weights(b), torch.zeros_like(b)]
    output, _, _ = torch.lstm(X, state, parameters, True, 1, 0.0, False, False, True)
    return output


LAYERS: Mapping[str, Callable[..., Any]] = {
    "affine": lambda X, W, b: torch.addmm(b, X, W),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "softmax_ce": F.cross_entropy,
    "conv2d": lambda X, filters, b, stride, pad: F.conv2d(X, filters, b, stride, pad),
    "attention": F.scaled_dot_product_attention,
    "lstm": _lstm,
    "max_pool": lambda X, size, stride: F.max_pool2d(X, size, stride),
}
