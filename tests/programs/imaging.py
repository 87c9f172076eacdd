"""Windows over images: convolutions of both directions, pooling, im2col, upsampling."""

from __future__ import annotations

from tests.programs.sizes import ONE, Shape, Size
from tests.programs.writer import Value, Writer, operation, write

_SPACE = {"conv1d": 1, "conv2d": 2, "conv3d": 3}


def _text(w: Writer, values: list[int]) -> str:
    """One number for every axis, or a tuple."""
    same = len(set(values)) == 1
    return str(values[0]) if same and w.chance(0.7) else f"({', '.join(map(str, values))},)"


def _options(w: Writer, count: int, *, dilated: bool = True) -> tuple[str, list[list[int]]]:
    """Keyword arguments, and their stride, pad and dilation for every axis."""
    text = ""
    chosen: list[list[int]] = []
    for word, plain, more in (("stride", 1, (1, 2, 2, 3)), ("pad", 0, (0, 1, 1, 2))):
        values = [plain] * count
        if w.chance(0.4):
            values = [w.pick(more) for _ in range(count)]
            text += f", {word}={_text(w, values)}"
        chosen.append(values)
    dilation = [1] * count
    if dilated and w.chance(0.15):
        dilation = [w.pick((1, 2)) for _ in range(count)]
        text += f", dilation={_text(w, dilation)}"
    return text, [*chosen, dilation]


def _counted(
    w: Writer, length: Size, size: Size | int, stride: int, pad: int, dilation: int
) -> Size:
    """How many windows there are along one axis; at least one is needed."""
    reach = (size - 1) * dilation if isinstance(size, Size) else Size.of((size - 1) * dilation)
    room = length + 2 * pad - reach - 1
    number = room.as_int
    if number is not None:
        return Size.of(number // stride + 1)
    w.need(room + 1)
    return room // stride + 1


def _shape(
    w: Writer, lengths: Shape, sizes: list[Size] | list[int], options: list[list[int]]
) -> Shape | None:
    found = tuple(
        _counted(w, length, size, *numbers)
        for length, size, *numbers in zip(lengths, sizes, *options, strict=True)
    )
    return None if any(s.as_int is not None and s.as_int < 1 for s in found) else found


def _filters(w: Writer, count: int) -> list[Value]:
    """Values that are small enough along their last axes."""
    return [
        v
        for v in w.pool
        if v.kind == "real"
        and v.rank in (count, count + 2)
        and v.weight <= 4
        and all((s.as_int or 9) <= 3 for s in v.shape[-count:])
    ]


@operation(18)
def convolution(w: Writer, depth: int) -> Value | None:
    """A correlation, or its transpose."""
    word = w.pick(["conv1d", "conv2d", "conv2d", "conv3d"])
    count = _SPACE[word]
    filters = _filters(w, count)
    if not filters:
        return None
    f = w.pick(filters)
    back = count < 3 and w.chance(0.25)
    channel = None if f.rank == count else f.shape[0 if back else 1]

    def fits(v: Value) -> bool:
        return v.rank == f.rank and (channel is None or v.shape[1] == channel)

    x = w.value(depth, fits)
    if x is None or not fits(x):
        return None
    weight = x.weight + f.weight + 1
    sizes = list(f.shape[-count:])
    if back:
        text, (stride, _, _) = "", [[1] * count] * 3
        if w.chance(0.5):
            stride = [w.pick((1, 2)) for _ in range(count)]
            text = f", stride={_text(w, stride)}"
        spread = tuple(
            (length - 1) * by + size
            for length, by, size in zip(x.shape[-count:], stride, sizes, strict=True)
        )
        lead: Shape = () if channel is None else (x.shape[0], f.shape[1])
        return write(
            f"conv_transpose{count}d({{0:b}}, {{1:b}}{text})",
            [x, f],
            (*lead, *spread),
            weight=weight,
        )
    text, options = _options(w, count)
    found = _shape(w, x.shape[-count:], sizes, options)
    if found is None:
        return None
    if channel is None:
        return write(f"{word}({{0:b}}, {{1:b}}{text})", [x, f], found, weight=weight)
    operands, template = [x, f], f"{word}({{0:b}}, {{1:b}}{text})"
    biases = [v for v in w.pool if v.kind == "real" and v.shape == (f.shape[0],)]
    if biases and w.chance(0.5):
        operands.append(w.pick(biases))
        template = f"{word}({{0:b}}, {{1:b}}, {{2:b}}{text})"
    return write(template, operands, (x.shape[0], f.shape[0], *found), weight=weight)


@operation(4)
def pooled(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank >= 2)
    if x is None or x.rank < 2:
        return None
    lead = x.shape[:-2]
    word = w.pick(["max_pool2d", "max_pool2d", "avg_pool2d", "global_avg_pool", "global_max_pool"])
    if word.startswith("global"):
        return write(f"{word}({{0:b}})", [x], lead, positive=x.positive)
    size = [w.pick((1, 2, 2, 3)) for _ in range(2)]
    text, stride, pad = f", size={_text(w, size)}", size, [0, 0]
    if w.chance(0.5):
        stride = [w.pick((1, 2)) for _ in range(2)]
        text += f", stride={_text(w, stride)}"
    if w.chance(0.25) and min(size) > 1:
        pad = [w.pick((0, 1)) for _ in range(2)]
        text += f", pad={_text(w, pad)}"
    found = _shape(w, x.shape[-2:], size, [stride, pad, [1, 1]])
    if found is None:
        return None
    return write(f"{word}({{0:b}}{text})", [x], (*lead, *found))


@operation(3)
def windowed(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank >= 1)
    if x is None or not x.rank:
        return None
    if x.rank == 4 and w.chance(0.6):
        size = [w.pick((1, 2, 2)) for _ in range(2)]
        text, options = _options(w, 2, dilated=False)
        found = _shape(w, x.shape[2:], size, options)
        if found is None:
            return None
        rows = x.shape[0] * found[0] * found[1]
        columns = x.shape[1] * (size[0] * size[1])
        return write(f"im2col({{0:b}}, {_text(w, size)}{text})", [x], (rows, columns))
    count = 1 + w.below(min(x.rank, 2))
    size = [w.pick((1, 2, 2, 3)) for _ in range(count)]
    text, options = _options(w, count)
    found = _shape(w, x.shape[-count:], size, options)
    if found is None:
        return None
    inner = tuple(map(Size.of, size))
    shape = (*x.shape[:-count], *found, *inner)
    # One number would be a window over the last axis alone.
    window = _text(w, size) if count == 1 else str(tuple(size))
    return write(f"windows({{0:b}}, {window}{text})", [x], shape)


@operation(1)
def upsampled(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank >= 2)
    if x is None or x.rank < 2:
        return None
    scale = [w.pick((1, 2, 2)) for _ in range(2)]
    text = f", scale={_text(w, scale)}" if scale != [2, 2] or w.chance(0.5) else ""
    shape = (*x.shape[:-2], x.shape[-2] * scale[0], x.shape[-1] * scale[1])
    return write(f"upsample_nearest({{0:b}}{text})", [x], shape, positive=x.positive)


def image_shapes(w: Writer) -> tuple[Shape, Shape]:
    """Shapes of an image and of filters that fit it."""
    count = w.pick([1, 2, 2, 2, 3])
    bare = w.chance(0.4)
    few = [ONE, Size.of(2), w.pick(w.sizes)]
    space = tuple(
        w.pick([w.pick(w.sizes), w.pick(w.sizes) + 1, Size.of(3), Size.of(4)]) for _ in range(count)
    )
    kernel = tuple(Size.of(w.pick((1, 2, 2, 3))) for _ in range(count))
    if bare:
        return space, kernel
    channels = w.pick(few)
    return (w.pick(few), channels, *space), (w.pick(few), channels, *kernel)
