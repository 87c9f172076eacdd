# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""A transposed convolution with a given size of the result."""

import jax
import jax.numpy as jnp


def _conv_transpose(x, f, shape, strides, pads, dilations, groups):
    """The transpose of a convolution of images of the size `shape`, padded by `pads`."""
    c, k, *sizes = f.shape
    f = f.reshape(groups, c // groups, k, *sizes).swapaxes(1, 2)
    f = jnp.flip(f.reshape(groups * k, c // groups, *sizes), tuple(range(2, f.ndim - 1)))
    widths = []
    for axis, size in enumerate(sizes):
        reach = dilations[axis] * (size - 1)
        spread = strides[axis] * (x.shape[2 + axis] - 1) + 1
        before = reach - pads[axis][0]
        widths.append((before, shape[axis] - (spread + before - reach)))
    return jax.lax.conv_general_dilated(
        x,
        f,
        window_strides=(1,) * len(sizes),
        padding=widths,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        feature_group_count=groups,
    )
