# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The position of the largest entry over several axes."""


def _argbest(x, axes):
    """The row-major position of the first largest entry over `axes`."""
    last = tuple(range(-len(axes), 0))
    return x.movedim(axes, last).flatten(-len(axes)).argmax(dim=-1)
