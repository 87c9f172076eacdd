"""Pieces that reduce or normalise along axes: sums, extrema, variances, the softmax family."""

from __future__ import annotations

from tests.programs.sizes import ONE, Shape
from tests.programs.writer import Value, Writer, grown, operation, write


def _axes_text(w: Writer, x: Value, axes: list[int]) -> str:
    shown = [str(a - x.rank if w.chance(0.35) else a) for a in axes]
    return shown[0] if len(shown) == 1 and w.chance(0.95) else f"({', '.join(shown)},)"


def _without(shape: Shape, axes: list[int], keep: bool) -> Shape:
    return tuple(
        ONE if a in axes else size for a, size in enumerate(shape) if keep or a not in axes
    )


def _reduction(
    w: Writer, x: Value, word: str, extra: str = "", method: bool = True
) -> tuple[str, list[int], bool]:
    """A template, the axes, and whether they are kept."""
    keep = w.chance(0.35)
    if not x.rank or w.chance(0.25):
        axes, inside = list(range(x.rank)), []
    else:
        axes = w.axes(x)
        # The second argument of a bare max could be a number, that of norm is its order.
        named = w.chance(0.8) or word in ("max", "min", "norm")
        inside = [("axis=" if named else "") + _axes_text(w, x, axes)]
    if extra:
        inside.append(extra)
    if keep:
        inside.append("keepdims=True")
    use_method = method and (w.chance(0.5) or not w.may_call(word))
    name = word if use_method else w.prefix(word)
    arguments = ", ".join(inside)
    if use_method:
        return f"{{0}}.{name}({arguments})", axes, keep
    return f"{name}({{0:b}}{', ' + arguments if arguments else ''})", axes, keep


def summed_shape(x: Value, axes: list[int]) -> Shape:
    return tuple(x.shape[a] for a in axes)


@operation(10)
def sum_or_mean(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None:
        return None
    word = w.pick(["sum", "sum", "mean"])
    template, axes, keep = _reduction(w, x, word)
    more = grown(summed_shape(x, axes)) if word == "sum" else 0
    return write(
        template, [x], _without(x.shape, axes, keep), weight=x.weight + more, positive=x.positive
    )


@operation(4)
def largest(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    template, axes, keep = _reduction(w, x, w.pick(["max", "max", "min"]))
    return write(template, [x], _without(x.shape, axes, keep), positive=x.positive)


@operation(4)
def spread(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0 and v.weight <= 3)
    if x is None or not x.rank:
        return None
    ddof = w.chance(0.1)
    template, axes, keep = _reduction(w, x, "var", "ddof=1" if ddof else "")
    if ddof:
        count = ONE
        for a in axes:
            count = count * x.shape[a]
        if (count.as_int or 2) < 2:
            return None
        w.need(count - 1)
    variance = write(template, [x], _without(x.shape, axes, keep), weight=2 * x.weight)
    if w.chance(0.5):
        eps = w.pick(["1e-3", "0.5", "1"])
        return write(
            f"{w.prefix('sqrt')}({{0:b}} + {eps})", [variance], variance.shape, positive=True
        )
    return variance


@operation(2)
def normalised(w: Writer, depth: int) -> Value | None:
    """``(x - mean) / sqrt(var + eps)`` in one expression."""
    x = w.value(depth, lambda v: v.rank > 0 and v.weight <= 3)
    if x is None or not x.rank:
        return None
    axis, shown = w.axis(x)
    del axis
    centre = f"{{0}}.mean(axis={shown}, keepdims=True)"
    if w.chance(0.5):
        template = (
            f"({{0}} - {centre}) / {w.prefix('sqrt')}({{0}}.var(axis={shown}, "
            "keepdims=True) + 0.01)"
        )
    else:
        template = f"{{0}} - {centre}"
    return write(template, [x], x.shape, atomic=False, weight=x.weight + 1)


@operation(2)
def euclidean(w: Writer, depth: int) -> Value | None:
    x = w.positive(depth)
    if x is None or not x.rank or x.rank > 2 or not w.may_call("norm"):
        return None
    template, axes, keep = _reduction(w, x, "norm", method=False)
    template = template.replace("np.", "")
    return write(template, [x], _without(x.shape, axes, keep), weight=x.weight + 1, positive=True)


@operation(2)
def running(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    _, shown = w.axis(x)
    if w.chance(0.4):
        return write(f"{{0}}.cumsum(axis={shown})", [x], x.shape, weight=x.weight + 1)
    return write(f"{w.prefix('cumsum')}({{0:b}}, axis={shown})", [x], x.shape, weight=x.weight + 1)


@operation(6)
def soft(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0 and v.weight <= 4)
    word = w.pick(["softmax", "softmax", "log_softmax", "logsumexp"])
    if x is None or not x.rank or x.weight > 4 or not w.may_call(word):
        return None
    axis, shown = (x.rank - 1, "") if w.chance(0.35) else w.axis(x)
    inside = "" if not shown else f", axis={shown}" if w.chance(0.8) else f", {shown}"
    keep = word == "logsumexp" and w.chance(0.4)
    if word == "logsumexp" and x.rank > 1 and w.chance(0.2):
        inside, axes = ", axis=(0, 1)", [0, 1]
    else:
        axes = [axis]
    shape = _without(x.shape, axes, keep) if word == "logsumexp" else x.shape
    if keep:
        inside += ", keepdims=True"
    return write(
        f"{word}({{0:b}}{inside})",
        [x],
        shape,
        positive=word == "softmax",
        weight=1 if word == "softmax" else x.weight,
    )
