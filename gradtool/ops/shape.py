"""Views and rearrangements: transpose, reshape, joining, padding, flipping, triangles."""

from __future__ import annotations

from fractions import Fraction

from gradtool.ir import syntax
from gradtool.ir.dims import ONE, ZERO, Dim, shape_text, total
from gradtool.ir.index import Affine, nonnegative
from gradtool.ir.poly import Iverson, Poly, atom
from gradtool.ir.tree import Call, Items, Literal, Number, Tree, integer
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Entries, Operand, fail, view
from gradtool.ops.errors import OpError
from gradtool.ops.reduce import axis_of
from gradtool.ops.registry import Arguments, alias, word


def items_of(tree: Tree) -> tuple[Tree, ...]:
    return tree.items if isinstance(tree, Items) else (tree,)


@word(
    "transpose",
    "x",
    optional="axes",
    examples=(
        "Y = X.T",
        "Y = transpose(T3, (0, 2, 1))",
        "Y = T3.T",
    ),
)
def transpose(build: Builder, call: Call, given: Arguments) -> Operand:
    """The axes reversed, or in the order given."""
    x = build.operand(given["x"])
    if "axes" not in given:
        order = list(reversed(range(x.rank)))
    else:
        order = [axis_of(build, item, x) for item in items_of(given["axes"])]
        if sorted(order) != list(range(x.rank)):
            fail(f"the axes must be a permutation of 0 to {x.rank - 1}", given["axes"])
    return permuted(x, order)


def permuted(x: Operand, order: list[int]) -> Operand:
    if order == list(range(x.rank)):
        return x
    reverse = order == list(reversed(range(x.rank)))
    shown = () if reverse else (Items(tuple(map(integer, order))),)

    def move(entries: Entries) -> Entries:
        return tuple(entries[order.index(axis)] for axis in range(x.rank))

    tree = Call("transpose", (x.tree, *shown))
    return view(x, tuple(x.shape[axis] for axis in order), move, tree)


@word("swapaxes", "x first second", examples=("Y = swapaxes(T3, 1, 2)", "Y = T3.swapaxes(-1, -2)"))
def swapaxes(build: Builder, call: Call, given: Arguments) -> Operand:
    """Two axes exchanged."""
    x = build.operand(given["x"])
    a, b = axis_of(build, given["first"], x), axis_of(build, given["second"], x)
    order = list(range(x.rank))
    order[a], order[b] = order[b], order[a]
    return permuted(x, order)


@word("moveaxis", "x source destination", examples=("Y = moveaxis(T3, 0, 2)",))
def moveaxis(build: Builder, call: Call, given: Arguments) -> Operand:
    """One axis moved to another place."""
    x = build.operand(given["x"])
    source = axis_of(build, given["source"], x)
    target = axis_of(build, given["destination"], x)
    order = [axis for axis in range(x.rank) if axis != source]
    order.insert(target, source)
    return permuted(x, order)


@word(
    "reshape",
    "x shape",
    examples=(
        "Y = reshape(T3, (M, N*D))",
        "Y = T3.reshape(M, -1)",
        "Y = X.reshape(N, 1, D)",
    ),
)
def reshape(build: Builder, call: Call, given: Arguments) -> Operand:
    """The same entries in row-major order under another shape; one axis may be -1."""
    x = build.operand(given["x"])
    trees = items_of(given["shape"])
    wanted = [build.dim(tree, "an axis of a shape") for tree in trees]
    holes = [k for k, dim in enumerate(wanted) if dim == Dim.of(-1)]
    count = total(x.shape)
    if len(holes) > 1:
        fail("only one axis of a shape may be -1", given["shape"])
    if holes:
        rest = total(dim for dim in wanted if dim != Dim.of(-1))
        missing = count.divided_by(rest)
        if missing is None:
            fail(
                f"{shape_text(x.shape)} has {count} entries, not a multiple of {rest}",
                given["shape"],
            )
        wanted[holes[0]] = missing
    shape = tuple(wanted)
    if total(shape) != count:
        fail(
            f"{shape_text(x.shape)} has {count} entries, {shape_text(shape)} has {total(shape)}",
            given["shape"],
        )
    tree = Call("reshape", (x.tree, Items(trees)))
    return reshaped(build, x, shape, tree)


def reshaped(build: Builder, x: Operand, shape: tuple[Dim, ...], tree: Tree) -> Operand:
    """A reshape; adding or removing axes of size one is a view."""
    if shape == x.shape:
        return x
    if [d for d in shape if d != ONE] == [d for d in x.shape if d != ONE]:

        def move(entries: Entries) -> Entries:
            live = iter(e for e, d in zip(entries, shape, strict=True) if d != ONE)
            return tuple(Affine.of(0) if d == ONE else next(live) for d in x.shape)

        return view(x, shape, move, tree)
    return build.reshape(x, shape, tree)


@word("ravel", "x", examples=("Y = X.ravel()",))
def ravel(build: Builder, call: Call, given: Arguments) -> Operand:
    """All entries in one axis, row-major."""
    x = build.operand(given["x"])
    return reshaped(build, x, (total(x.shape),), Call("ravel", (x.tree,)))


alias("flatten", "ravel")


@word("expand_dims", "x axis", examples=("Y = expand_dims(X, 1)",))
def expand_dims(build: Builder, call: Call, given: Arguments) -> Operand:
    """A new axis of size one."""
    x = build.operand(given["x"])
    axis = axis_of(build, given["axis"], x, extra=1)
    shape = (*x.shape[:axis], ONE, *x.shape[axis:])
    return view(
        x,
        shape,
        lambda entries: (*entries[:axis], *entries[axis + 1 :]),
        Call("expand_dims", (x.tree, integer(axis))),
    )


@word("squeeze", "x", optional="axis", examples=("Y = squeeze(X.sum(axis=0, keepdims=True), 0)",))
def squeeze(build: Builder, call: Call, given: Arguments) -> Operand:
    """Axes of size one removed."""
    x = build.operand(given["x"])
    if "axis" in given:
        axes = [axis_of(build, item, x) for item in items_of(given["axis"])]
        for axis in axes:
            if x.shape[axis] != ONE:
                fail(f"axis {axis} has the size {x.shape[axis]}, not 1", given["axis"])
    else:
        axes = [a for a, d in enumerate(x.shape) if d == ONE]
    shape = tuple(d for a, d in enumerate(x.shape) if a not in axes)
    kept = [a for a in range(x.rank) if a not in axes]

    def move(entries: Entries) -> Entries:
        place = dict(zip(kept, entries, strict=True))
        return tuple(place.get(a, Affine.of(0)) for a in range(x.rank))

    shown = (Items(tuple(map(integer, axes))),) if len(axes) != 1 else (integer(axes[0]),)
    return view(x, shape, move, Call("squeeze", (x.tree, *shown)))


@word("broadcast_to", "x shape", examples=("Y = broadcast_to(b, (N, D)) * X",))
def broadcast_to(build: Builder, call: Call, given: Arguments) -> Operand:
    """The same entries repeated along new or size-one axes."""
    x = build.operand(given["x"])
    shape = tuple(build.dim(tree) for tree in items_of(given["shape"]))
    skip = len(shape) - x.rank
    if skip < 0 or any(a not in (ONE, b) for a, b in zip(x.shape, shape[skip:], strict=False)):
        fail(f"{shape_text(x.shape)} does not broadcast to {shape_text(shape)}", given["shape"])
    zero = Affine.of(0)
    return view(
        x,
        shape,
        lambda e: tuple(zero if a == ONE else i for a, i in zip(x.shape, e[skip:], strict=True)),
        Call("broadcast_to", (x.tree, Items(items_of(given["shape"])))),
    )


# -- joining ------------------------------------------------------------------------------


@word(
    "concatenate",
    "arrays",
    optional="axis",
    examples=(
        "Y = concatenate([X, Z], axis=1)",
        "Y = concatenate([X, Z, X])",
    ),
)
def concatenate(build: Builder, call: Call, given: Arguments) -> Operand:
    """Arrays joined along an existing axis (the first by default)."""
    parts = _parts(build, call, given)
    first = parts[0]
    if not first.rank:
        fail("numbers have no axis to join along", given["arrays"], "write stack([a, b])")
    axis = axis_of(build, given["axis"], first) if "axis" in given else 0
    for tree, part in zip(items_of(given["arrays"]), parts, strict=True):
        others = [d for a, d in enumerate(part.shape) if a != axis]
        expected = [d for a, d in enumerate(first.shape) if a != axis]
        if part.rank != first.rank or others != expected:
            fail(
                f"{shape_text(part.shape)} does not join {shape_text(first.shape)} "
                f"along axis {axis}: the other axes must agree",
                tree,
            )
    joined = ZERO
    for part in parts:
        joined = joined + part.shape[axis]
    shape = tuple(joined if a == axis else d for a, d in enumerate(first.shape))
    free = build.indices(shape)
    body = Poly(())
    offset = ZERO
    for part in parts:
        local = tuple(
            Affine.of(i) - Affine.of(offset) if a == axis else Affine.of(i)
            for a, i in enumerate(free)
        )
        body = body + _outside_is_zero(part, local, axis)
        offset = offset + part.shape[axis]
    tree = Call("concatenate", (Items(tuple(p.tree for p in parts)),), (("axis", integer(axis)),))
    return build.define(free, body, tree)


def _outside_is_zero(part: Operand, entries: Entries, axis: int) -> Poly:
    """An entry with 0/1 factors for its range, needed unless an access carries them."""
    size = part.shape[axis]
    if size == ONE or part.tensor is None:
        inside = atom(Iverson("ge", entries[axis])) * atom(
            Iverson("ge", Affine.of(size - 1) - entries[axis])
        )
        clean = tuple(
            Affine.of(0) if d == ONE else e for d, e in zip(part.shape, entries, strict=True)
        )
        return inside * part.at(clean)
    return part.at(entries)


@word("stack", "arrays", optional="axis", examples=("Y = stack([X, Z], axis=1)",))
def stack(build: Builder, call: Call, given: Arguments) -> Operand:
    """Arrays of one shape joined along a new axis."""
    parts = _parts(build, call, given)
    first = parts[0]
    axis = axis_of(build, given["axis"], first, extra=1) if "axis" in given else 0
    for tree, part in zip(items_of(given["arrays"]), parts, strict=True):
        if part.shape != first.shape:
            fail(f"{shape_text(part.shape)} and {shape_text(first.shape)} do not stack", tree)
    shape = (*first.shape[:axis], Dim.of(len(parts)), *first.shape[axis:])
    free = build.indices(shape)
    entries = tuple(Affine.of(i) for a, i in enumerate(free) if a != axis)
    body = Poly(())
    for k, part in enumerate(parts):
        here = atom(Iverson("eq", Affine.of(free[axis]) - k))
        body = body + here * part.at(entries)
    tree = Call("stack", (Items(tuple(p.tree for p in parts)),), (("axis", integer(axis)),))
    return build.define(free, body, tree)


def _parts(build: Builder, call: Call, given: Arguments) -> list[Operand]:
    """The arrays of a list; NumPy takes one array apart along its first axis instead."""
    tree = given["arrays"]
    if not isinstance(tree, Items):
        fail(f"{call.op} needs a list of arrays", tree, f"write {call.op}([X, Z])")
    return [real(build, item) for item in tree.items]


def _joined(name: str, axis_of_rank: tuple[int, int]) -> None:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        parts = _parts(build, call, given)
        axis = axis_of_rank[min(parts[0].rank, 2) - 1] if parts[0].rank else 0
        if name == "vstack" and parts[0].rank == 1:
            raise OpError("vstack of vectors", call.span, hint="use stack([...])")
        return concatenate(build, call, {**given, "axis": integer(axis)})

    rule.__doc__ = "Arrays joined along an axis."
    word(name, "arrays", examples=(f"Y = {name}([X, Z])",))(rule)


_joined("hstack", (0, 1))
_joined("vstack", (0, 0))


@word(
    "pad",
    "x width",
    optional="mode constant_values",
    examples=(
        "Y = pad(X, ((1, 2), (0, 1)))",
        "Y = pad(X, 1)",
    ),
)
def pad(build: Builder, call: Call, given: Arguments) -> Operand:
    """Zeros added around: one width, one pair, or a pair for every axis."""
    x = real(build, given["x"])
    if not x.rank:
        fail("pad needs an array, found a number", given["x"])
    for name, allowed in (("mode", "constant"), ("constant_values", "0")):
        tree = given.get(name)
        shown = (
            tree.value
            if isinstance(tree, Literal)
            else str(tree.value)
            if isinstance(tree, Number)
            else None
        )
        if tree is not None and shown != allowed:
            fail(f"pad supports {name}={allowed} only", tree)
    widths = _widths(build, given["width"], x)
    if any(nonnegative(-width - 1) for pair in widths for width in pair):
        fail("a padding is not negative", given["width"], "a slice such as X[1:-1] takes away")
    shape = tuple(d + before + after for d, (before, after) in zip(x.shape, widths, strict=True))
    free = build.indices(shape)
    source = x.tensor if x.tensor is not None else build.materialise(x)
    entries = tuple(
        Affine.of(i) - Affine.of(before) for i, (before, _) in zip(free, widths, strict=True)
    )
    inside = Poly(()) + atom(Iverson("ge", Affine.of(0)))
    zero = Affine.of(0)
    from gradtool.ir.poly import Access

    for axis, entry in zip(x.shape, entries, strict=True):
        if axis == ONE and entry != zero:
            inside = inside * atom(Iverson("eq", entry))
    clean = tuple(zero if d == ONE else e for d, e in zip(x.shape, entries, strict=True))
    body = inside * atom(Access(source, clean))
    pairs = Items(tuple(Items((_dim_tree(a), _dim_tree(b))) for a, b in widths))
    return build.define(free, body, Call("pad", (x.tree, pairs)))


def _widths(build: Builder, tree: Tree, x: Operand) -> list[tuple[Dim, Dim]]:
    if not isinstance(tree, Items):
        width = build.dim(tree, "a padding width")
        return [(width, width)] * x.rank
    if all(not isinstance(item, Items) for item in tree.items) and len(tree.items) == 2:
        before, after = (build.dim(item, "a padding width") for item in tree.items)
        return [(before, after)] * x.rank
    if len(tree.items) != x.rank:
        fail(f"pad needs a pair for each of {x.rank} axes, found {len(tree.items)}", tree)
    widths: list[tuple[Dim, Dim]] = []
    for item in tree.items:
        pair = [build.dim(part, "a padding width") for part in items_of(item)]
        if not isinstance(item, Items) or len(pair) not in (1, 2):
            fail("a padding is a pair (before, after)", item)
        widths.append((pair[0], pair[-1]))
    return widths


def _dim_tree(dim: Dim) -> Tree:
    value = dim.as_int
    if value is not None:
        return integer(value)
    return dim_tree(dim)


def dim_tree(dim: Dim) -> Tree:
    """A size as an expression tree."""
    import ast

    from gradtool.ir.tree import Name

    def convert(node: ast.expr) -> Tree:
        match node:
            case ast.Name(id=name):
                return Name(name)
            case ast.Constant(value=int() as value):
                return Number(Fraction(value), str(value))
            case ast.UnaryOp(operand=operand):
                return Call("neg", (convert(operand),))
            case ast.BinOp(left=left, op=op, right=right):
                word_of = {
                    "Add": "add",
                    "Sub": "sub",
                    "Mult": "mul",
                    "FloorDiv": "floordiv",
                    "Pow": "pow",
                }
                return Call(word_of[type(op).__name__], (convert(left), convert(right)))
        raise TypeError(type(node).__name__)

    return convert(syntax.parse(str(dim), mode="eval").body)


# -- flips, triangles, repetition ---------------------------------------------------------


@word("flip", "x", optional="axis", examples=("Y = flip(X, axis=0)", "Y = flip(X)"))
def flip(build: Builder, call: Call, given: Arguments) -> Operand:
    """Axes reversed in direction."""
    from gradtool.ops.reduce import axes_of

    x = build.operand(given["x"])
    axes = axes_of(build, given, x)
    if not axes:
        fail("flip needs an array, found a number", given["x"])

    def move(entries: Entries) -> Entries:
        return tuple(
            Affine.of(x.shape[a] - 1) - e if a in axes else e for a, e in enumerate(entries)
        )

    shown = (("axis", Items(tuple(map(integer, axes))) if len(axes) > 1 else integer(axes[0])),)
    return view(x, x.shape, move, Call("flip", (x.tree,), shown))


@word("rot180", "x", examples=("Y = rot180(X)",))
def rot180(build: Builder, call: Call, given: Arguments) -> Operand:
    """The last two axes turned by 180 degrees: both reversed."""
    x = build.operand(given["x"])
    if x.rank < 2:
        fail("rot180 needs two axes", given["x"])
    return view(
        x,
        x.shape,
        lambda e: (
            *e[:-2],
            Affine.of(x.shape[-2] - 1) - e[-2],
            Affine.of(x.shape[-1] - 1) - e[-1],
        ),
        Call("rot180", (x.tree,)),
    )


def _triangle(name: str, lower: bool) -> None:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        x = build.operand(given["x"])
        if x.rank < 2:
            fail(f"{name} needs two axes", given["x"])
        shift = build.dim(given["k"], "k") if "k" in given else ZERO

        def at(entries: Entries) -> Poly:
            gap = entries[-2] - entries[-1] + shift if lower else entries[-1] - entries[-2] - shift
            return atom(Iverson("ge", gap)) * x.at(
                tuple(
                    Affine.of(0) if d == ONE else e for d, e in zip(x.shape, entries, strict=True)
                )
            )

        keywords = (("k", _dim_tree(shift)),) if shift != ZERO else ()
        return Operand(x.shape, at, Call(name, (x.tree,), keywords), x.kind)

    rule.__doc__ = f"The {'lower' if lower else 'upper'} triangle, zeros elsewhere."
    word(name, "x", optional="k", examples=(f"Y = {name}(X)", f"Y = {name}(X, k=-1)"))(rule)


_triangle("tril", True)
_triangle("triu", False)


@word("diag", "x", examples=("Y = diag(b)", "Y = diag(X @ X.T)"))
def diag(build: Builder, call: Call, given: Arguments) -> Operand:
    """The diagonal of a matrix, or the diagonal matrix of a vector."""
    x = build.operand(given["x"])
    tree = Call("diag", (x.tree,))
    if x.rank == 1:
        return Operand(
            (*x.shape, *x.shape),
            lambda e: atom(Iverson("eq", e[0] - e[1])) * x.at((e[0],)),
            tree,
            x.kind,
        )
    if x.rank != 2 or x.shape[0] != x.shape[1]:
        fail(f"diag needs a vector or a square matrix, found {shape_text(x.shape)}", given["x"])
    return view(x, x.shape[:1], lambda e: (e[0], e[0]), tree)
