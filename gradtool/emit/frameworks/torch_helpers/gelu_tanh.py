# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The GELU in its tanh form."""

import torch


def _gelu_tanh(x):
    """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2."""
    return torch.nn.functional.gelu(x, approximate="tanh")
