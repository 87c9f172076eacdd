"""Indexing: integers, slices, None, ``...`` and labels, as NumPy places the axes."""

from __future__ import annotations

from gradtool.ir.dims import ONE, ZERO, Dim, shape_text
from gradtool.ir.index import Affine, nonnegative
from gradtool.ir.tree import Call, Items, Literal, Slice, Tree
from gradtool.ops.build import Builder, Entries, Operand, fail, view
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, word
from gradtool.records import Struct


class _Step(Struct, frozen=True):
    """What one entry of an index does.

    kind: "new" (a new axis), "slice", "fixed" (an integer) or "label" (an integer array).
    """

    kind: str
    axis: int = -1
    size: Dim = ONE
    start: Dim = ZERO
    step: int = 1
    labels: Operand | None = None


@word(
    "getitem",
    "x index",
    examples=(
        "Y = X[0]",
        "Y = X[:, 1:]",
        "Y = X[:, :-1]",
        "Y = X[::-1]",
        "Y = X[arange(N), y]",
        "Y = X[:, None] * Z",
        "Y = T3[..., 0]",
        "Y = X[y]",
        "Y = X[:, y]",
        "Y = X[-1, 0]",
    ),
)
def getitem(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x[...]``."""
    x = build.operand(given["x"])
    entries = given["index"].items if isinstance(given["index"], Items) else (given["index"],)
    if build.frame is not None:
        sliced = build.frame.slice(build, x, entries)
        if sliced is not None:
            x, entries = sliced
            if not entries:
                return x
    steps = _steps(build, x, entries, call)
    shape, place = _layout(build, steps, call)
    zero = Affine.of(0)

    def move(outer: Entries) -> Entries:
        moved: list[Affine] = [zero] * x.rank
        for number, step in enumerate(steps):
            if step.axis < 0:
                continue
            if x.shape[step.axis] == ONE:
                continue
            moved[step.axis] = place(number, outer)
        return tuple(moved)

    shown = tuple(_written(build, entry) for entry in entries)
    tree = Call("getitem", (x.tree, Items(shown)))
    return view(x, shape, move, tree)


def _written(build: Builder, tree: Tree) -> Tree:
    """An index entry in names of tensors."""
    match tree:
        case Slice(start=start, stop=stop, step=step):
            parts = [None if p is None else build.operand(p).tree for p in (start, stop, step)]
            return Slice(parts[0], parts[1], parts[2])
        case Literal():
            return tree
        case _:
            return build.operand(tree).tree


def _steps(build: Builder, x: Operand, entries: tuple[Tree, ...], call: Call) -> list[_Step]:
    consumed = sum(1 for e in entries if not _is(e, None) and not _is(e, "..."))
    if consumed > x.rank:
        raise OpError(
            f"{consumed} indices for the shape {shape_text(x.shape)}, which has {x.rank} axes",
            call.span,
        )
    if sum(_is(e, "...") for e in entries) > 1:
        raise OpError("only one ... may stand in an index", call.span)
    if not any(_is(e, "...") for e in entries):
        entries = (*entries, Literal("..."))
    steps: list[_Step] = []
    axis = 0
    for entry in entries:
        if _is(entry, None):
            steps.append(_Step("new"))
        elif _is(entry, "..."):
            for _ in range(x.rank - consumed):
                steps.append(_Step("slice", axis, x.shape[axis]))
                axis += 1
        elif isinstance(entry, Slice):
            steps.append(_slice(build, entry, axis, x.shape[axis]))
            axis += 1
        else:
            steps.append(_chosen(build, entry, axis, x.shape[axis]))
            axis += 1
    return steps


def _is(tree: Tree, value: str | None) -> bool:
    return isinstance(tree, Literal) and tree.value == value and not isinstance(tree.value, bool)


def _slice(build: Builder, tree: Slice, axis: int, size: Dim) -> _Step:
    step = 1 if tree.step is None else build.integer(tree.step, "the step of a slice")
    if step == 0:
        fail("the step of a slice cannot be 0", tree)
    if step < 0 and (tree.start is not None or tree.stop is not None):
        fail("a backward slice with ends is not supported", tree, hint="flip first: X[::-1][a:b]")
    if step < 0:
        count = (size + (-step - 1)) // -step
        return _Step("slice", axis, count, size - 1, step)
    start = _end(build, tree.start, size, ZERO)
    stop = _end(build, tree.stop, size, size)
    length = stop - start
    if length.as_int is not None and length.as_int <= 0:
        fail("the slice is empty: nothing of the axis is left", tree)
    build.assume(length)
    build.assume(start)
    build.assume(size - stop)
    count = length if step == 1 else (length + (step - 1)) // step
    return _Step("slice", axis, count, start, step)


def _end(build: Builder, tree: Tree | None, size: Dim, default: Dim) -> Dim:
    if tree is None:
        return default
    end = build.dim(tree, "an end of a slice")
    value = end.as_int
    known = size.as_int
    if value is not None and value < 0:
        return size + end if known is None or known + value >= 0 else ZERO
    if value is not None and known is not None:
        return Dim.of(min(value, known))
    if end.terms and all(c < 0 for _, c in end.terms):
        return size + end  # X[-k:], X[:-pad]
    return end


def _chosen(build: Builder, tree: Tree, axis: int, size: Dim) -> _Step:
    operand = build.operand(tree)
    if operand.dim is not None:
        value = operand.dim
        at = size + value if value.as_int is not None and value.as_int < 0 else value
        if at.as_int is not None and size.as_int is not None and not (0 <= at.as_int < size.as_int):
            fail(f"index {value} is outside an axis of size {size}", tree)
        build.assume(size - 1 - at)
        build.assume(at)
        return _Step("fixed", axis, ONE, at)
    if operand.kind == "bool":
        fail(
            "a condition cannot be an index: the size of the result would depend on values",
            tree,
            hint="use where(condition, x, 0) or multiply by the condition",
        )
    if operand.position is None:
        fail("an index must be an integer, a slice, None, ... or labels", tree)
    # Labels of a shorter axis reach no entry that is not there: X[X[:D - 1].argmax(axis=0)].
    if operand.labels is not None and not nonnegative(size - operand.labels):
        fail(
            f"the labels index an axis of size {operand.labels}, this axis has the size {size}",
            tree,
        )
    if operand.labels is None:
        _inside(build, operand, size, tree)
    return _Step("label", axis, labels=operand)


def _inside(build: Builder, operand: Operand, size: Dim, tree: Tree) -> None:
    """Computed positions (arange(N), y + 1) must provably stay inside the axis."""
    assert operand.position is not None
    entry = operand.position(tuple(Affine.of(i) for i in build.indices(operand.shape)))
    if entry.within(size):
        return
    bounds = entry.bounds()
    if bounds is None or not bounds[0].symbols.isdisjoint(bounds[0].symbols - size.symbols):
        fail(f"these positions cannot be shown to lie inside an axis of size {size}", tree)
    if any(label for label in entry.labels()):
        fail(
            f"these positions cannot be shown to lie inside an axis of size {size}",
            tree,
            hint="labels with an offset may leave the axis",
        )
    build.assume(bounds[0])
    build.assume(size - 1 - bounds[1])


def _layout(build: Builder, steps: list[_Step], call: Call):  # type: ignore[no-untyped-def]
    """The shape of the result, and where each step finds its entry in it."""
    arrays = [k for k, s in enumerate(steps) if s.kind == "label"]
    advanced = [k for k, s in enumerate(steps) if s.kind in ("label", "fixed")] if arrays else []
    together = advanced == list(range(advanced[0], advanced[-1] + 1)) if advanced else True
    operands = [steps[k].labels for k in arrays]
    common = build.broadcast([o for o in operands if o is not None], call) if arrays else ()
    shape: list[Dim] = []
    first: dict[int, int] = {}  # step -> its axis in the result
    start_of_labels = 0
    if arrays and not together:
        shape.extend(common)
    for number, step in enumerate(steps):
        if step.kind == "label" or (step.kind == "fixed" and arrays):
            if together and number == advanced[0]:
                start_of_labels = len(shape)
                shape.extend(common)
            continue
        if step.kind == "fixed":
            continue
        first[number] = len(shape)
        shape.append(step.size)

    def place(number: int, outer: Entries) -> Affine:
        step = steps[number]
        if step.kind == "fixed":
            return Affine.of(step.start)
        if step.kind == "slice":
            entry = outer[first[number]]
            return entry * step.step + step.start
        labels = step.labels
        assert labels is not None
        assert labels.position is not None
        entries = outer[start_of_labels : start_of_labels + len(common)]
        own = entries[len(common) - labels.rank :]
        zero = Affine.of(0)
        return labels.position(
            tuple(zero if d == ONE else e for d, e in zip(labels.shape, own, strict=True))
        )

    return tuple(shape), place
