"""What the constructor of a convolution is given: channels, filters and the size of a window."""

from __future__ import annotations

from gradtool.check.arguments import INTO, OUT_OF, Names
from gradtool.check.inventory import Class
from gradtool.check.words import folded, is_window_size
from gradtool.records import Struct

_COUNTS = frozenset(
    {
        "numfilters",
        "filterscount",
        "numfilt",
        "nfilters",
        "filtercount",
        "numkernels",
        "nkernels",
        "noffilters",
    }
)
_FEWEST = 3  # axes of images: samples, channels, and along which windows move


class Filters(Struct, frozen=True):
    """The sizes of the filters of a layer, by what they count.

    `window` are those along which a filter moves, first the rows.
    """

    channels: str
    filters: str
    window: tuple[str, ...]

    def size(self, parameter: str) -> str | None:
        """The number of channels or of filters that a parameter stands for."""
        plain = folded(parameter)
        if plain in INTO:
            return self.channels
        return self.filters if plain in OUT_OF | _COUNTS else None

    @property
    def square(self) -> tuple[tuple[str, str], ...]:
        """The pairs of sizes that are equal where one number is the size of a window."""
        first, *others = self.window
        return tuple((first, other) for other in others)


def filters_of(names: Names) -> Filters | None:
    """The filters of a layer whose only large parameter moves over its only images."""
    images = [v for v in names.variables if v.role == "input" and len(v.shape) >= _FEWEST]
    large = [v for v in names.variables if v.role == "parameter" and len(v.shape) >= _FEWEST]
    if len(images) != 1 or len(large) != 1 or len(images[0].shape) != len(large[0].shape):
        return None
    channels = str(images[0].shape[1])
    sizes = [str(dim) for dim in large[0].shape]
    if sizes.count(channels) != 1 or not all(size.isidentifier() for size in sizes):
        return None
    filters, *window = (size for size in sizes if size != channels)
    moving = {symbol for dim in images[0].shape for symbol in dim.symbols}
    return None if moving & {filters, *window} else Filters(channels, filters, tuple(window))


class Window(Struct, frozen=True):
    """How a constructor is given the size of a window: `text`, and which sizes it makes equal."""

    text: str = ""
    equal: tuple[tuple[str, str], ...] = ()


NO_WINDOW = Window()


def is_window(parameter: str, names: Names) -> bool:
    """Whether an argument of a constructor is the size of a window.

    Not where the layer has a parameter of just that name: then that is meant.
    """
    return is_window_size(parameter) and parameter not in names.parameters


def windows(owner: Class, names: Names) -> tuple[Window, ...]:
    """The ways to give a constructor the size of a window: one number for both axes, or a pair."""
    init, filters = owner.method("__init__"), filters_of(names)
    if init is None or filters is None or not any(is_window(p, names) for p in init.params):
        return (NO_WINDOW,)
    first, *others = filters.window
    pair = [Window(f"({', '.join(filters.window)})")] if others else []
    return (Window(first, filters.square), *pair)
