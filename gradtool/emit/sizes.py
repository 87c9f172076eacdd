"""Where the sizes of a function come from: the shapes of the arrays that it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.emit.numpy_printer import numpy_text
from gradtool.ir.dims import Dim
from gradtool.ir.tree import Name, Tree, call, integer
from gradtool.records import Struct


class Read(Struct, frozen=True):
    """A line such as ``N, D = X.shape``.

    Attributes:
        sizes: the sizes that it defines.
        source: the array whose shape it reads.
        code: the line, with ``{0}`` for the shape.
    """

    sizes: tuple[str, ...]
    source: str
    code: str

    def line(self, shape: str) -> str:
        return self.code.format(shape)


def reads(
    wanted: Iterable[str], shapes: Sequence[tuple[str, tuple[Dim, ...]]]
) -> tuple[list[Read], list[str]]:
    """How the wanted sizes are read off the given shapes, and the sizes that no shape tells."""
    missing = list(wanted)
    found: list[Read] = []
    for name, shape in shapes:
        place: dict[str, int] = {}
        for axis, dim in enumerate(shape):
            if dim.as_symbol in missing and dim.as_symbol not in place:
                place[dim.as_symbol] = axis
        if not place:
            continue
        if len(place) == 1:
            ((size, axis),) = place.items()
            found.append(Read((size,), name, f"{size} = {{0}}[{axis}]"))
        else:
            at = {axis: size for size, axis in place.items()}
            parts = ", ".join(at.get(axis, "_") for axis in range(len(shape)))
            found.append(Read(tuple(place), name, f"{parts} = {{0}}"))
        missing = [size for size in missing if size not in place]
    for size in list(missing):
        solved = _solved(size, shapes)
        if solved is not None:
            found.append(solved)
            missing.remove(size)
    return found, missing


def _solved(size: str, shapes: Sequence[tuple[str, tuple[Dim, ...]]]) -> Read | None:
    """A size that occurs only inside an expression such as ``2*H + 1``."""
    for name, shape in shapes:
        for axis, dim in enumerate(shape):
            if dim.symbols != {size}:
                continue
            rest = dim.substitute({size: Dim.of(0)})
            slope = (dim - rest).divided_by(Dim.of(size))
            if slope is None or slope.as_int is None or rest.as_int is None:
                continue
            tree: Tree = Name(f"{{0}}[{axis}]")
            if rest.as_int > 0:
                tree = call("sub", tree, integer(rest.as_int))
            elif rest.as_int < 0:
                tree = call("add", tree, integer(-rest.as_int))
            if slope.as_int != 1:
                tree = call("floordiv", tree, integer(slope.as_int))
            return Read((size,), name, f"{size} = {numpy_text(tree)}")
    return None
