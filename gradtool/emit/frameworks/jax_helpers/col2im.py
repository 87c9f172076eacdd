# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The transpose of im2col."""

import jax.numpy as jnp


def _col2im(col, shape, sizes, strides, pads, dilations):
    """Every entry of the rows `col` added where the window has it, in images (N, C, H, W)."""
    n, c, *lengths = shape
    padded = [length + sum(pad) for length, pad in zip(lengths, pads, strict=True)]
    places = []
    for axis in range(2):
        reach = dilations[axis] * (sizes[axis] - 1) + 1
        count = (padded[axis] - reach) // strides[axis] + 1
        first = strides[axis] * jnp.arange(count)[:, None]
        places.append(first + dilations[axis] * jnp.arange(sizes[axis]))
    rows, columns = places
    parts = col.reshape(n, len(rows), len(columns), c, *sizes).transpose(0, 3, 1, 4, 2, 5)
    image = jnp.zeros((n, c, *padded), col.dtype)
    image = image.at[:, :, rows[:, :, None, None], columns].add(parts)
    (top, _), (left, _) = pads
    return image[:, :, top : top + lengths[0], left : left + lengths[1]]
