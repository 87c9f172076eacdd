"""The other layout of images: channels last, ``(N, H, W, C)``, as some courses and libraries have.

Filters then are ``(R, S, C, K)`` or ``(K, R, S, C)``, and a bias may be ``(1, 1, 1, K)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradtool.check.arguments import IMAGE, Names
from gradtool.check.bind import Binding
from gradtool.check.filters import filters_of
from gradtool.records import replace

_LAST, _FIRST = "(0, 2, 3, 1)", "(0, 3, 1, 2)"
# How filters (K, C, R, S) are turned, and back.
_FILTERS = (("(2, 3, 1, 0)", "(3, 2, 0, 1)"), (_LAST, _FIRST))


def channels_last(binding: Binding, names: Names) -> Iterator[Binding]:
    """The readings of a binding with channels last.

    None where the layer has no images, or gradients are read by expressions.
    """
    images = [v.name for v in names.variables if v.role == "input" and len(v.shape) == IMAGE]
    filters = [v.name for v in names.variables if v.role == "parameter" and len(v.shape) == IMAGE]
    if not images or binding.grads:
        return
    for there, back in _FILTERS if filters else _FILTERS[:1]:
        ways = {n: (_LAST, _FIRST) for n in images} | {n: (there, back) for n in filters}
        yield from _turned(binding, names, ways)


def square(binding: Binding, names: Names) -> Binding | None:
    """The binding for code that reads one number for both sides of a window from its filters."""
    filters = filters_of(names)
    if filters is None or binding.equal or not filters.square:
        return None
    told = " and ".join(f"{first} = {second}" for first, second in filters.square)
    how = f"{binding.convention}, with {told}"
    return replace(binding, convention=how, equal=filters.square)


def _turned(
    binding: Binding, names: Names, ways: Mapping[str, tuple[str, str]]
) -> Iterator[Binding]:
    real = set(names.real)
    given = [f"{name} = np.transpose({name}, {there})" for name, (there, _) in ways.items()]
    outputs = [f"{n} = np.transpose({n}, {_FIRST})" for n in names.images]
    forward = [binding.forward or "", *outputs]
    upstream = [f"d{n} = np.transpose(d{n}, {_LAST})" for n in names.images]
    back = [
        f"d{name} = np.transpose(d{name}, {inverse})"
        for name, (_, inverse) in ways.items()
        if name in real and binding.mentions(f"d{name}")
    ]
    backward = [*upstream, binding.backward, *back] if binding.backward else []
    narrow = [v.name for v in names.variables if v.role == "parameter" and len(v.shape) == 1]
    row = [f"{name} = {name}.reshape(1, 1, 1, -1)" for name in narrow]
    for more in ([], row) if row else ([],):
        shape = f", {' and '.join(narrow)} of the shape (1, 1, 1, K)" if more else ""
        yield replace(
            binding,
            convention=f"{binding.convention}, channels last{shape}",
            layout="channels last",
            setup="\n".join(filter(None, [*given, *more, binding.setup])),
            forward="\n".join(filter(None, forward if backward else [*forward, *back])),
            backward="\n".join(backward) or None,
        )
