# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Gathered entries, and a number where the index is outside."""

import torch


def _entries(x, *index, fill=0):
    """x[index] for integers that broadcast; `fill` where an index lies outside."""
    inside, places = True, []
    for i, n in zip(index, x.shape, strict=True):
        i = torch.as_tensor(i, device=x.device)
        inside = inside & (i >= 0) & (i < n)
        places.append(i.clamp(0, n - 1))
    return torch.where(inside, x[tuple(places)], x.new_full((), fill))
