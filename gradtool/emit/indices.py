"""Names for indices that tell what they run over: n for N, n' for a second index over N."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from gradtool.ir.dims import Dim
from gradtool.ir.index import Affine, Index

_LETTERS = "ijklmpqrstuvwabcdefgh"


def fresh_indices(indices: Iterable[Index], taken: Collection[str]) -> dict[Index, Index]:
    """The same indices under telling names that differ from each other and from `taken`."""
    result: dict[Index, Index] = {}
    used = set(taken)
    for index in indices:
        name = next(n for n in _wishes(index.size) if n not in used and _plain(n, used))
        used.add(name)
        result[index] = Index(name, index.size)
    return result


def is_telling(name: str, size: Dim) -> bool:
    """Whether an index name by itself says that it runs over `size`."""
    symbol = size.as_symbol
    return symbol is not None and name.rstrip("'") == symbol[0].lower()


def replaced(renamed: Mapping[Index, Index]) -> dict[Index, Affine]:
    """A renaming as the substitution that expressions take."""
    return {old: Affine.of(new) for old, new in renamed.items()}


def _wishes(size: Dim) -> Iterator[str]:
    symbol = size.as_symbol
    first = symbol[0].lower() if symbol else ""
    if first.isidentifier():
        yield from (first + "'" * k for k in range(4))
    yield from _LETTERS
    count = 0
    while True:
        yield f"i{count}"
        count += 1


def _plain(name: str, used: Collection[str]) -> bool:
    """n' only beside an n, so that a prime always means a second one."""
    return not name.endswith("'") or name.rstrip("'") in used
