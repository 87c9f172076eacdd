"""Elementwise arithmetic, comparison and choice, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Literal

from gradtool.ir.dims import Dim, DimError
from gradtool.ir.index import Affine
from gradtool.ir.poly import (
    UNIT,
    Compare,
    Function,
    Iverson,
    Poly,
    Position,
    atom,
    number,
    size,
)
from gradtool.ir.tree import Call, Name, Tree
from gradtool.ir.walk import accesses
from gradtool.ops.build import Builder, Operand, aligned, broadcast_entries, constant, fail, span_of
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, alias, word
from gradtool.ops.truth import inverse, refuse_truths


def elementwise(
    build: Builder,
    call: Call,
    operands: list[Operand],
    combine: Callable[..., Poly],
    tree: Tree | None = None,
) -> Operand:
    """Apply `combine` to aligned entries; a plain number stays a number."""
    written = tree or Call(call.op, tuple(o.tree for o in operands))
    shape = build.broadcast(operands, call)
    if all(o.rank == 0 and o.tensor is None and o.kind != "bool" for o in operands):
        body = combine(*(o.at(()) for o in operands))
        if not body.indices and not _has_tensors(body):
            return constant(body, written, None)
    free = build.indices(shape)
    entries = [Affine.of(i) for i in free]
    body = combine(*(aligned(o, shape)(entries) for o in operands))
    return build.define(free, body, written)


def _has_tensors(body: Poly) -> bool:
    return any(True for _ in accesses(body))


def real(build: Builder, tree: Tree) -> Operand:
    """An operand that is a real number or array.

    Raises:
        OpError: it is a label.
    """
    operand = build.operand(tree)
    if operand.kind == "index" and operand.labels is not None:
        raise OpError(
            f"'{_shown(tree)}' holds labels (integers that index an axis), not real numbers",
            span_of(tree),
            hint="index with it, compare it, or use onehot(...)",
        )
    return operand


def _shown(tree: Tree) -> str:
    return tree.id if isinstance(tree, Name) else "this"


def _both(build: Builder, given: Arguments) -> list[Operand]:
    return [build.operand(given["x"]), build.operand(given["y"])]


def _sizes(
    build: Builder, call: Call, given: Arguments, op: Callable[..., object]
) -> Operand | None:
    """Arithmetic of sizes stays a size; arithmetic of labels stays a label."""
    a, b = _both(build, given)
    if a.dim is not None and b.dim is not None:
        try:
            dim = op(a.dim, b.dim)
        except DimError as error:
            raise OpError(str(error), call.span) from None

        if isinstance(dim, Dim):
            return constant(size(dim), Call(call.op, (a.tree, b.tree)), dim)
    return None


def _integer(operand: Operand) -> Callable[[tuple[Affine, ...]], Affine] | None:
    if operand.position is not None:
        return operand.position
    dim = operand.dim
    return None if dim is None else (lambda _: Affine.of(dim))


def _labels(
    build: Builder, call: Call, given: Arguments, op: Callable[[Affine, Affine], Affine]
) -> Operand | None:
    a, b = _both(build, given)
    first, second = _integer(a), _integer(b)
    if "index" not in (a.kind, b.kind) or first is None or second is None:
        return None
    shape = build.broadcast([a, b], call)

    def position(entries: tuple[Affine, ...]) -> Affine:
        left = broadcast_entries(a.shape, entries[len(shape) - a.rank :])
        right = broadcast_entries(b.shape, entries[len(shape) - b.rank :])
        return op(first(left), second(right))

    return Operand(
        shape,
        lambda entries: atom(Position(position(entries))),
        Call(call.op, (a.tree, b.tree)),
        "index",
        position,
    )


@word("add", "x y", examples=("Y = X + b",))
def add(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x + y``."""
    whole = _sizes(build, call, given, lambda a, b: a + b) or _labels(
        build, call, given, lambda a, b: a + b
    )
    if whole is not None:
        return whole
    x, y = real(build, given["x"]), real(build, given["y"])
    refuse_truths(call, (x.of_truths, y.of_truths), '"or", no sum', "write 1*a + b, or a | b")
    return elementwise(build, call, [x, y], lambda a, b: a + b)


@word("sub", "x y", examples=("Y = X - b",))
def sub(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x - y``."""
    whole = _sizes(build, call, given, lambda a, b: a - b) or _labels(
        build, call, given, lambda a, b: a - b
    )
    if whole is not None:
        return whole
    x, y = real(build, given["x"]), real(build, given["y"])
    refuse_truths(call, (x.of_truths, y.of_truths), "an error", "write 1*a - b, or a & ~b")
    return elementwise(build, call, [x, y], lambda a, b: a - b)


@word("mul", "x y", examples=("Y = X * Z",))
def mul(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x * y``, entry by entry."""
    whole = _sizes(build, call, given, lambda a, b: a * b)
    if whole is not None:
        return whole
    a, b = _both(build, given)
    if (a.dim is not None) != (b.dim is not None) and "index" in (a.kind, b.kind):
        labels, by = (a, b.dim) if b.dim is not None else (b, a.dim)
        position = labels.position
        if position is not None and by is not None:
            factor = by
            return Operand(
                labels.shape,
                lambda entries: atom(Position(position(entries) * factor)),
                Call(call.op, (a.tree, b.tree)),
                "index",
                lambda entries: position(entries) * factor,
            )
    return elementwise(
        build, call, [real(build, given["x"]), real(build, given["y"])], lambda a, b: a * b
    )


@word("div", "x y", examples=("Y = X / Q",))
def div(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x / y``, entry by entry."""
    x, y = real(build, given["x"]), real(build, given["y"])
    if y.tensor is None and y.rank == 0 and y.at(()).constant == 0:
        raise OpError("division by zero", call.span)
    return elementwise(build, call, [x, y], lambda a, b: a * inverse(call, b, -1))


@word("floordiv", "x y")
def floordiv(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x // y`` of sizes."""
    whole = _sizes(build, call, given, lambda a, b: a // b)
    if whole is None:
        raise OpError("// is for sizes; it has no derivative", call.span, hint="use / for numbers")
    return whole


@word("neg", "x", examples=("Y = -X",))
def neg(build: Builder, call: Call, given: Arguments) -> Operand:
    """``-x``."""
    x = real(build, given["x"])
    if x.dim is not None:
        return constant(size(-x.dim), Call("neg", (x.tree,)), -x.dim)
    refuse_truths(call, (x.of_truths,), "an error in NumPy", "write -1*x, or ~x for the opposite")
    # A sign needs no statement of its own.
    return Operand(x.shape, lambda entries: -x.at(entries), Call("neg", (x.tree,)))


@word("pos", "x")
def pos(build: Builder, call: Call, given: Arguments) -> Operand:
    """``+x``."""
    x = real(build, given["x"])
    refuse_truths(call, (x.of_truths,), "an error in NumPy", "write 1*x")
    return x


@word("pow", "x y", examples=("Y = X**2", "Y = Q**0.5", "Y = Q**b", "Y = 2**X"))
def power(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x ** y``; the base must be positive where y is no integer."""
    x, y = real(build, given["x"]), real(build, given["y"])
    exponent = None if y.tensor is not None or y.rank else y.at(()).constant
    if x.dim is not None and exponent is not None and exponent.denominator == 1 and exponent >= 0:
        dim = x.dim ** int(exponent)
        return constant(size(dim), Call("pow", (x.tree, y.tree)), dim)
    if exponent is not None:
        fixed = exponent

        def raised(base: Poly) -> Poly:
            return inverse(call, base, fixed) if fixed < 0 else base.power(fixed)

        return elementwise(build, call, [x], raised, Call("pow", (x.tree, y.tree)))
    return elementwise(build, call, [x, y], lambda a, b: atom(Function("pow", (a, b))))


alias("power", "pow")
for _long, _short in (
    ("multiply", "mul"),
    ("subtract", "sub"),
    ("divide", "div"),
    ("negative", "neg"),
):
    alias(_long, _short)


@word("square", "x", examples=("Y = square(X)",))
def square(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x ** 2``."""
    return elementwise(build, call, [real(build, given["x"])], lambda a: a.power(2))


@word("sqrt", "x", examples=("Y = sqrt(Q)",))
def sqrt(build: Builder, call: Call, given: Arguments) -> Operand:
    """The square root of a positive number."""
    return elementwise(build, call, [real(build, given["x"])], lambda a: a.power(Fraction(1, 2)))


@word("reciprocal", "x", examples=("Y = reciprocal(Q)",))
def reciprocal(build: Builder, call: Call, given: Arguments) -> Operand:
    """``1 / x``."""
    x = real(build, given["x"])
    if build.is_number(x.at(tuple(Affine.of(0) for _ in x.shape))):
        raise OpError(
            "NumPy's reciprocal of an integer is an integer: 0", call.span, hint="write 1 / x"
        )
    return elementwise(build, call, [x], lambda a: inverse(call, a, -1))


# -- comparison ---------------------------------------------------------------------------

Relation = Literal[">", ">=", "==", "!=", "<", "<="]


def _truth(relation: Relation, a: Poly, b: Poly) -> Poly:
    match relation:
        case "<":
            return atom(Compare(">", b, a))
        case "<=":
            return atom(Compare(">=", b, a))
        case _:
            return atom(Compare(relation, a, b))


def _index_truth(relation: Relation, a: Affine, b: Affine) -> Poly:
    match relation:
        case "==":
            return atom(Iverson("eq", a - b))
        case "!=":
            return UNIT - atom(Iverson("eq", a - b))
        case ">=":
            return atom(Iverson("ge", a - b))
        case ">":
            return atom(Iverson("ge", a - b - 1))
        case "<=":
            return atom(Iverson("ge", b - a))
        case "<":
            return atom(Iverson("ge", b - a - 1))


def _compare(relation: Relation) -> Callable[[Builder, Call, Arguments], Operand]:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        a, b = _both(build, given)
        shape = build.broadcast([a, b], call)
        tree = Call(call.op, (a.tree, b.tree))
        first, second = _integer(a), _integer(b)
        if "index" in (a.kind, b.kind) and first is not None and second is not None:

            def at_index(entries: tuple[Affine, ...]) -> Poly:
                left = broadcast_entries(a.shape, entries[len(shape) - a.rank :])
                right = broadcast_entries(b.shape, entries[len(shape) - b.rank :])
                return _index_truth(relation, first(left), second(right))

            return Operand(shape, at_index, tree, "bool")
        for side, value in ((given["x"], a), (given["y"], b)):
            if value.kind == "index":
                real(build, side)
        return Operand(
            shape,
            lambda e: _truth(relation, aligned(a, shape)(e), aligned(b, shape)(e)),
            tree,
            "bool",
        )

    return rule


_COMPARISONS: tuple[tuple[str, Relation], ...] = (
    ("gt", ">"),
    ("ge", ">="),
    ("lt", "<"),
    ("le", "<="),
    ("eq", "=="),
    ("ne", "!="),
)
for _name, _relation in _COMPARISONS:
    word(_name, "x y", examples=(f"Y = where(X {_relation} Z, X, Z)",))(_compare(_relation))


def _boolean(build: Builder, tree: Tree) -> Operand:
    operand = build.operand(tree)
    if operand.kind != "bool":
        fail("expected a condition such as X > 0", tree)
    return operand


def _logic(combine: Callable[[Poly, Poly], Poly]) -> Callable[[Builder, Call, Arguments], Operand]:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        a, b = _boolean(build, given["x"]), _boolean(build, given["y"])
        shape = build.broadcast([a, b], call)
        return Operand(
            shape,
            lambda e: combine(aligned(a, shape)(e), aligned(b, shape)(e)),
            Call(call.op, (a.tree, b.tree)),
            "bool",
        )

    return rule


word("logical_and", "x y", examples=("Y = where((X > 0) & (Z > 0), X, Z)",))(
    _logic(lambda a, b: a * b)
)
word("logical_or", "x y", examples=("Y = where((X > 0) | (Z > 0), X, Z)",))(
    _logic(lambda a, b: a + b - a * b)
)


@word("logical_not", "x", examples=("Y = where(~(X > 0), X, Z)",))
def logical_not(build: Builder, call: Call, given: Arguments) -> Operand:
    """``~x`` of a condition."""
    x = _boolean(build, given["x"])
    if not x.rank and build.is_number(x.at(())):
        hint = "write the comparison the other way round"
        fail("~ of a comparison of numbers is -1 or -2 in Python, no truth value", call, hint)
    return Operand(x.shape, lambda e: UNIT - x.at(e), Call("logical_not", (x.tree,)), "bool")


def chosen(condition: Poly, a: Poly, b: Poly) -> Poly:
    """a where the condition holds, b elsewhere."""
    term = condition.single
    if term is not None and len(term.factors) == 1 and term.coefficient == 1:
        base = term.factors[0][0]
        # The opposite is a condition of its own: 1 - c would cancel digits of a large b.
        if isinstance(base, Compare):
            return condition * a + atom(base.negated()) * b
        if isinstance(base, Iverson) and base.relation == "ge":
            return condition * a + atom(Iverson("ge", -base.value - 1)) * b
        if isinstance(base, Iverson):
            above = atom(Iverson("ge", base.value - 1)) + atom(Iverson("ge", -base.value - 1))
            return condition * a + above * b
    return condition * a + (UNIT - condition) * b


@word("where", "condition x y", examples=("Y = where(X > Z, X, 2*Z)",))
def where(build: Builder, call: Call, given: Arguments) -> Operand:
    """x where the condition holds, y elsewhere."""
    condition = _boolean(build, given["condition"])
    return elementwise(
        build,
        call,
        [condition, real(build, given["x"]), real(build, given["y"])],
        chosen,
    )


@word("maximum", "x y", examples=("Y = maximum(X, Z)", "Y = maximum(0, X)"))
def maximum(build: Builder, call: Call, given: Arguments) -> Operand:
    """The larger entry; a tie goes to the first."""

    def larger(a: Poly, b: Poly) -> Poly:
        return chosen(atom(Compare(">=", a, b)), a, b)

    return elementwise(build, call, [real(build, given["x"]), real(build, given["y"])], larger)


@word("minimum", "x y", examples=("Y = minimum(X, Z)",))
def minimum(build: Builder, call: Call, given: Arguments) -> Operand:
    """The smaller entry; a tie goes to the first."""

    def smaller(a: Poly, b: Poly) -> Poly:
        return chosen(atom(Compare(">=", b, a)), a, b)

    return elementwise(build, call, [real(build, given["x"]), real(build, given["y"])], smaller)


@word("clip", "x low high", examples=("Y = clip(X, -1, 1)",))
def clip(build: Builder, call: Call, given: Arguments) -> Operand:
    """``low`` below low, ``high`` above high, x between; ``high`` where low is above it."""
    operands = [real(build, given[name]) for name in ("x", "low", "high")]

    def clipped(x: Poly, low: Poly, high: Poly) -> Poly:
        below, above = Compare(">", low, x), Compare(">", x, high)
        inside = atom(below.negated()) * atom(above.negated())
        # Where the bounds cross, NumPy's clip is minimum(maximum(x, low), high): the upper one.
        crossed = Compare(">", low, high)
        lower = atom(below) * atom(crossed.negated())
        upper = atom(below) * atom(crossed) + atom(below.negated()) * atom(above)
        if crossed.decided is False:
            upper = atom(above)
        return lower * low + upper * high + inside * x

    return elementwise(build, call, operands, clipped)


@word("relu", "x", examples=("Y = relu(X)",))
def relu(build: Builder, call: Call, given: Arguments) -> Operand:
    """``maximum(0, x)``; its derivative at 0 is taken as 0."""
    return elementwise(
        build, call, [real(build, given["x"])], lambda a: atom(Compare(">", a, number(0))) * a
    )


@word("leaky_relu", "x", optional="slope", examples=("Y = leaky_relu(X, 0.1)",))
def leaky_relu(build: Builder, call: Call, given: Arguments) -> Operand:
    """x where x > 0, ``slope * x`` elsewhere (slope 0.01)."""
    x = real(build, given["x"])
    slope = real(build, given["slope"]) if "slope" in given else None
    by = number(Fraction(1, 100)) if slope is None else slope.at(())
    if slope is not None and (slope.rank or slope.tensor is not None):
        fail(
            "the slope must be a number; for a learned slope write where(x > 0, x, a*x)",
            given["slope"],
        )
    arguments = (x.tree,) if slope is None else (x.tree, slope.tree)

    def leaky(a: Poly) -> Poly:
        return chosen(atom(Compare(">", a, number(0))), a, a * by)

    return elementwise(build, call, [x], leaky, Call("leaky_relu", arguments))
