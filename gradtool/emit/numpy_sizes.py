"""Sizes of an emitted NumPy function, as steps of its body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.emit.numpy_steps import Step
from gradtool.emit.sizes import reads
from gradtool.ir.dims import Dim


def read_sizes(sizes: Iterable[str], shapes: Sequence[tuple[str, tuple[Dim, ...]]]) -> list[Step]:
    """Lines such as ``N, D = X.shape`` or ``N = X.shape[0]`` for as many sizes as possible."""
    found, _ = reads(sizes, shapes)
    return [
        Step(", ".join(read.sizes), (read.line(f"{read.source}.shape"),), frozenset({read.source}))
        for read in found
    ]
