"""One assignment of a backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from gradtool.ir.dims import Dim
from gradtool.ir.tree import Tree


@dataclass(frozen=True, slots=True)
class Line:
    """One assignment of the backward pass.

    Attributes:
        name: what it defines (``dW``, a kept cotangent, or an inner value of the forward pass).
        of: the forward value that it is the cotangent of; the graph's own name for an inner value.
        role: "inner", "cotangent" or "gradient".
        shape: its shape.
        tree: its right side.
    """

    name: str
    of: str
    role: str
    shape: tuple[Dim, ...]
    tree: Tree
