"""Pieces that move entries: transposes, slices, gathers, reshapes, joins, triangles."""

from __future__ import annotations

from tests.programs.sizes import ONE, Shape, Size, broadcast, shape_text, total
from tests.programs.writer import Value, Writer, operation, write


@operation(5)
def transposed(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 1)
    if x is None or x.rank < 2:
        return None
    forms = ["T", "swapaxes", "transpose", "moveaxis", "method"]
    form = w.pick(forms)
    order = list(range(x.rank))
    if form == "T":
        return write("{0}.T", [x], tuple(reversed(x.shape)), positive=x.positive)
    if form in ("transpose", "method"):
        w.rng.shuffle(order)
        text = ", ".join(map(str, order))
        template = (
            f"{{0}}.transpose({text})"
            if form == "method"
            else (f"{w.prefix('transpose')}({{0:b}}, ({text}))")
        )
    elif form == "swapaxes":
        a, b = w.rng.sample(range(x.rank), 2)
        order[a], order[b] = order[b], order[a]
        shown = f"{a}, {b - x.rank if w.chance(0.5) else b}"
        template = w.pick([f"{{0}}.swapaxes({shown})", f"{w.prefix('swapaxes')}({{0:b}}, {shown})"])
    else:
        a, b = w.below(x.rank), w.below(x.rank)
        order.insert(b, order.pop(a))
        template = f"{w.prefix('moveaxis')}({{0:b}}, {a}, {b})"
    return write(template, [x], tuple(x.shape[a] for a in order), positive=x.positive)


def _slice(w: Writer, size: Size) -> tuple[str, Size | None]:
    """One entry of an index, and the size that is left (None: the axis goes)."""
    number = size.as_int
    options: list[tuple[str, Size | None, Size]] = [
        (":", size, ONE),
        ("0", None, ONE),
        ("-1", None, ONE),
        ("::-1", size, ONE),
    ]
    if number is None or number >= 2:
        options += [
            ("1:", size - 1, size - 1),
            (":-1", size - 1, size - 1),
            ("1", None, size - 1),
            ("::2", (size + 1) // 2, ONE),
            (":2", Size.of(2), size - 1),
            ("-2", None, size - 1),
            ("::-2", (size + 1) // 2, ONE),
        ]
    if number is None or number >= 3:
        options += [
            ("1:-1", size - 2, size - 2),
            ("1::2", size // 2, size - 1),
            ("-2:", Size.of(2), size - 1),
            ("1:3", Size.of(2), size - 2),
        ]
    if number is None and size.text.isidentifier():
        options += [(f":{size.text} - 1", size - 1, size - 1), (f"{size.text} - 1", None, ONE)]
    text, left, needed = w.pick(options)
    w.need(needed)
    return text, left


@operation(7)
def subscripted(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    shown: list[str] = []
    shape: list[Size] = []
    axes = list(x.shape)
    count = 1 + w.below(len(axes))
    front = w.chance(0.8)
    if not front:
        shown.append("...")
        shape += axes[: len(axes) - count]
        axes = axes[len(axes) - count :]
    for size in axes[:count]:
        if w.chance(0.12):
            shown.append(w.pick(["None", "np.newaxis"]))
            shape.append(ONE)
        text, left = _slice(w, size)
        shown.append(text)
        if left is not None:
            shape.append(left)
    if front:
        shape += axes[count:]
        if w.chance(0.1):
            shown += ["...", "None"] if w.chance(0.5) else ["..."]
            if shown[-1] == "None":
                shape.append(ONE)
    return write(f"{{0}}[{', '.join(shown)}]", [x], tuple(shape), positive=x.positive)


@operation(4)
def new_axis(w: Writer, depth: int) -> Value | None:
    x = w.value(depth)
    if x is None:
        return None
    place = w.below(x.rank + 1)
    shape = (*x.shape[:place], ONE, *x.shape[place:])
    if w.chance(0.3):
        return write(
            f"{w.prefix('expand_dims')}({{0:b}}, {place})", [x], shape, positive=x.positive
        )
    if not x.rank:
        return None
    entries = [":"] * x.rank
    entries.insert(place, "None")
    if w.chance(0.5):
        while entries and entries[-1] == ":":
            entries.pop()
    return write(f"{{0}}[{', '.join(entries)}]", [x], shape, positive=x.positive)


@operation(2)
def squeezed(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: ONE in v.shape)
    if x is None or ONE not in x.shape:
        return None
    axis = w.pick([a for a, d in enumerate(x.shape) if d == ONE])
    shape = tuple(d for a, d in enumerate(x.shape) if a != axis)
    every = tuple(d for d in x.shape if d != ONE)
    if w.chance(0.3):  # NumPy would also drop a named axis that happens to be 1
        gone = tuple(a for a, d in enumerate(x.shape) if d == ONE)
        return write(
            f"{w.prefix('squeeze')}({{0:b}})",
            [x],
            every,
            reference=f"np.squeeze({{0:b}}, {gone})",
            positive=x.positive,
        )
    return write(f"{w.prefix('squeeze')}({{0:b}}, {axis})", [x], shape, positive=x.positive)


@operation(5)
def reshaped(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    if w.chance(0.25):
        template = w.pick(
            ["{0}.ravel()", f"{w.prefix('ravel')}({{0:b}})", "{0}.reshape(-1)", "{0}.flatten()"]
        )
        return write(template, [x], (total(x.shape),), positive=x.positive)
    shape = _regrouped(w, x.shape)
    shown = [d.text for d in shape]
    if shown and w.chance(0.3):
        shown[w.below(len(shown))] = "-1"
    inside = ", ".join(shown)
    whole = f"({inside}{',' if len(shown) == 1 else ''})"
    template = w.pick(
        [
            f"{{0}}.reshape({inside})" if shown else f"{{0}}.reshape({whole})",
            f"{{0}}.reshape({whole})",
            f"{w.prefix('reshape')}({{0:b}}, {whole})",
        ]
    )
    return write(template, [x], shape, positive=x.positive)


def _regrouped(w: Writer, shape: Shape) -> Shape:
    """The same number of entries under other axes."""
    sizes = list(shape)
    for _ in range(1 + w.below(2)):
        match w.pick(["merge", "one", "order", "split"]):
            case "merge" if len(sizes) > 1:
                k = w.below(len(sizes) - 1)
                sizes[k : k + 2] = [sizes[k] * sizes[k + 1]]
            case "one":
                sizes.insert(w.below(len(sizes) + 1), ONE)
            case "order":
                w.rng.shuffle(sizes)
            case "split":
                for k, size in enumerate(sizes):
                    if size.as_int in (4, 6):
                        sizes[k : k + 1] = [Size.of(2), Size.of((size.as_int or 0) // 2)]
                        break
    return tuple(sizes)


@operation(4)
def joined(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    axis, shown = w.axis(x)

    def joins(v: Value) -> bool:
        return v.rank == x.rank and all(
            a == axis or d == e for a, (d, e) in enumerate(zip(x.shape, v.shape, strict=True))
        )

    parts = [x]
    for _ in range(1 + w.below(2)):
        other = w.value(depth, joins)
        parts.append(x if other is None or not joins(other) else other)
    holes = ", ".join(f"{{{k}:b}}" for k in range(len(parts)))
    weight = max(p.weight for p in parts)
    positive = all(p.positive for p in parts)
    if w.chance(0.35):
        if any(p.shape != x.shape for p in parts):
            return None
        place = w.below(x.rank + 1)
        shape = (*x.shape[:place], Size.of(len(parts)), *x.shape[place:])
        tail = f", axis={place}" if place or w.chance(0.5) else ""
        return write(
            f"{w.prefix('stack')}([{holes}]{tail})", parts, shape, weight=weight, positive=positive
        )
    length = parts[0].shape[axis]
    for p in parts[1:]:
        length = length + p.shape[axis]
    shape = tuple(length if a == axis else d for a, d in enumerate(x.shape))
    if x.rank == 2 and w.chance(0.3):
        word = "vstack" if axis == 0 else "hstack"
        return write(f"{w.prefix(word)}([{holes}])", parts, shape, weight=weight)
    tail = f", axis={shown}" if axis or w.chance(0.5) else ""
    return write(
        f"{w.prefix('concatenate')}([{holes}]{tail})",
        parts,
        shape,
        weight=weight,
        positive=positive,
    )


@operation(3)
def padded(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: 0 < v.rank < 4)
    if x is None or not x.rank or x.rank > 3:
        return None
    if w.chance(0.3):
        pairs, inside = [(1, 1)] * x.rank, "1"
    elif w.chance(0.2):
        pairs, inside = [(0, 1)] * x.rank, "(0, 1)"
    else:
        pairs = [(w.below(3), w.below(2)) for _ in x.shape]
        inside = f"({', '.join(map(str, pairs))}{',' if x.rank == 1 else ''})"
    shape = tuple(d + (a + b) for d, (a, b) in zip(x.shape, pairs, strict=True))
    return write(f"{w.prefix('pad')}({{0:b}}, {inside})", [x], shape)


@operation(3)
def turned(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    if x.rank > 1 and w.chance(0.2) and w.may_call("rot180"):
        return write("rot180({0:b})", [x], x.shape)
    _, shown = w.axis(x)
    inside = w.pick([f", axis={shown}", f", {shown}", ""])
    if x.rank > 1 and w.chance(0.2):
        inside = ", axis=(0, 1)"
    return write(f"{w.prefix('flip')}({{0:b}}{inside})", [x], x.shape, positive=x.positive)


@operation(3)
def triangle(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 1)
    if x is None or x.rank < 2:
        return None
    inside = w.pick(["", ", k=1", ", k=-1", ", 1", ", k=2"])
    return write(f"{w.prefix(w.pick(['tril', 'triu']))}({{0:b}}{inside})", [x], x.shape)


@operation(2)
def diagonal(w: Writer, depth: int) -> Value | None:
    def suits(v: Value) -> bool:
        return v.rank == 1 or (v.rank == 2 and v.shape[0] == v.shape[1])

    x = w.value(depth, suits)
    if x is None or not suits(x):
        return None
    if x.rank == 2 and w.chance(0.4):
        return write(f"{w.prefix('trace')}({{0:b}})", [x], (), weight=x.weight + 1)
    shape = (*x.shape, *x.shape) if x.rank == 1 else x.shape[:1]
    return write(f"{w.prefix('diag')}({{0:b}})", [x], shape)


@operation(2)
def spread_out(w: Writer, depth: int) -> Value | None:
    x = w.value(depth)
    if x is None:
        return None
    target = w.pick([v.shape for v in w.pool if v.rank]) if any(v.rank for v in w.pool) else ()
    shape = broadcast(x.shape, target)
    if shape is None or not shape or shape != target:
        return None
    return write(
        f"{w.prefix('broadcast_to')}({{0:b}}, {shape_text(shape)})", [x], shape, positive=x.positive
    )


@operation(6)
def gathered(w: Writer, depth: int) -> Value | None:
    if not w.labels():
        return None
    y = w.pick(w.labels())
    assert y.labels is not None
    if w.chance(0.3) and w.may_call("onehot", "arange"):
        shape = (*y.shape, y.labels)
        hot = write(
            w.pick(["onehot({0:b})", f"onehot({{0:b}}, {y.labels.text})"]),
            [y],
            shape,
            reference=f"onehot({{0:b}}, {y.labels.text})",
        )
        other = w.partner(shape, depth)
        common = None if other is None else broadcast(shape, other.shape)
        if other is None or common is None:
            return None
        return write(
            w.pick(["{0} * {1}", "{0} - {1}", "{1} + {0}"]),
            [hot, other],
            common,
            atomic=False,
            weight=other.weight + 1,
        )
    x = w.value(depth, lambda v: y.labels in v.shape)
    if x is None or y.labels not in x.shape:
        return None
    axis = w.pick([a for a, d in enumerate(x.shape) if d == y.labels])
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if (
        axis == 1
        and y.rank == 1
        and y.shape[0] == x.shape[0]
        and w.chance(0.7)
        and w.may_call("arange")
    ):
        shape = (*y.shape, *after)
        return write(
            f"{{0}}[arange({y.shape[0].text}), {{1:b}}]", [x, y], shape, positive=x.positive
        )
    if (
        axis == 2
        and y.rank == 2
        and y.shape == x.shape[:2]
        and w.chance(0.8)
        and w.may_call("arange")
    ):
        shape = (*y.shape, *after)
        return write(
            f"{{0}}[arange({y.shape[0].text})[:, None], arange({y.shape[1].text}), {{1:b}}]",
            [x, y],
            shape,
            positive=x.positive,
        )
    entries = [":"] * axis + ["{1:b}"]
    shape = (*before, *y.shape, *after)
    return write(f"{{0}}[{', '.join(entries)}]", [x, y], shape, positive=x.positive)


@operation(2)
def gathered_best(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank == 2)
    if x is None or x.rank != 2 or not w.may_call("arange"):
        return None
    z = w.value(0, lambda v: v.shape == x.shape)
    if z is None or z.shape != x.shape:
        return None
    word = w.pick(["argmax", "argmin"])
    form = w.pick(
        [
            f"{{0}}[arange({x.shape[0].text}), {{1}}.{word}(axis=1)]",
            f"{{0}}[arange({x.shape[0].text}), {w.prefix(word)}({{1:b}}, axis=1)]",
        ]
    )
    return write(form, [x, z], x.shape[:1], positive=x.positive)
