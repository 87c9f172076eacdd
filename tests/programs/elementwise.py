"""Elementwise pieces: arithmetic, scalar functions, choice by conditions."""

from __future__ import annotations

from tests.programs.sizes import ONE, Shape, broadcast, shape_text
from tests.programs.writer import Value, Writer, operation, write

_BOUNDED = ("tanh", "sigmoid", "sin", "cos", "arctan", "erf", "softsign")
_GENTLE = (
    "relu",
    "softplus",
    "silu",
    "gelu",
    "gelu_tanh",
    "mish",
    "logcosh",
    "logsigmoid",
    "abs",
    "leaky_relu",
)
_STEEP = ("exp", "sinh", "cosh", "expm1")
_OF_POSITIVE = ("log", "sqrt", "log1p", "log2", "log10", "reciprocal")
_IN_NUMPY = {
    "tanh",
    "sin",
    "cos",
    "arctan",
    "abs",
    "exp",
    "sinh",
    "cosh",
    "expm1",
    "log",
    "sqrt",
    "log1p",
    "log2",
    "log10",
    "reciprocal",
    "square",
    "maximum",
    "minimum",
    "where",
    "clip",
}


def called(w: Writer, word: str) -> str | None:
    """How a function is called, None when a name of the program hides it."""
    if word in _IN_NUMPY:
        return w.prefix(word)
    return word if w.may_call(word) else None


@operation(6)
def bounded_function(w: Writer, depth: int) -> Value | None:
    x, word = w.value(depth), w.pick(_BOUNDED)
    name = called(w, word)
    if x is None or name is None:
        return None
    return write(f"{name}({{0:b}})", [x], x.shape, weight=1, positive=word == "sigmoid")


@operation(6)
def gentle_function(w: Writer, depth: int) -> Value | None:
    x, word = w.value(depth), w.pick(_GENTLE)
    name = called(w, word)
    if x is None or name is None:
        return None
    slope = w.pick(["", ", 0.1", ", slope=0.3"]) if word == "leaky_relu" else ""
    return write(f"{name}({{0:b}}{slope})", [x], x.shape, positive=word == "softplus")


@operation(3)
def steep_function(w: Writer, depth: int) -> Value | None:
    x, word = w.value(depth, lambda v: v.weight <= 1), w.pick(_STEEP)
    name = called(w, word)
    if x is None or name is None or x.weight > 1:
        return None
    return write(f"{name}({{0:b}})", [x], x.shape, weight=3, positive=word in ("exp", "cosh"))


@operation(4)
def function_of_positive(w: Writer, depth: int) -> Value | None:
    x, word = w.positive(depth), w.pick(_OF_POSITIVE)
    name = called(w, word)
    if x is None or name is None:
        return None
    return write(f"{name}({{0:b}})", [x], x.shape, positive=word in ("sqrt", "reciprocal", "log1p"))


@operation(3)
def power(w: Writer, depth: int) -> Value | None:
    if w.chance(0.4):
        x = w.positive(depth)
        exponent = w.pick(["0.5", "-0.5", "1.5", "-1", "-2", "(1/3)", "-1.5"])
        if x is None:
            return None
        return write(
            f"{{0}}**{exponent}", [x], x.shape, atomic=False, weight=2 * x.weight, positive=True
        )
    if w.chance(0.15):
        base = w.positive(depth)
        exponent_value = None if base is None else w.partner(base.shape, 0)
        if base is None or exponent_value is None or exponent_value.weight > 1:
            return None
        shape = broadcast(base.shape, exponent_value.shape)
        return (
            None
            if shape is None
            else write(
                "{0}**{1}",
                [base, exponent_value],
                shape,
                atomic=False,
                weight=3 * base.weight + 1,
                positive=True,
            )
        )
    if w.chance(0.1):
        x = w.value(depth, lambda v: v.weight <= 1)
        return (
            None
            if x is None or x.weight > 1
            else write("2**{0}", [x], x.shape, atomic=False, weight=3, positive=True)
        )
    x, by = w.value(depth), w.pick([2, 2, 2, 3, 4])
    if x is None:
        return None
    if by == 2 and w.chance(0.3):
        return write(f"{w.prefix('square')}({{0:b}})", [x], x.shape, weight=2 * x.weight)
    return write(f"{{0}}**{by}", [x], x.shape, atomic=False, weight=by * x.weight)


@operation(14)
def arithmetic(w: Writer, depth: int) -> Value | None:
    a = w.value(depth)
    b = None if a is None else w.partner(a.shape, depth)
    if a is None or b is None:
        return None
    if w.chance(0.08):
        b = a  # X * X, X - X
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        return None
    if w.chance(0.5):
        a, b = b, a
    match w.pick(["+", "-", "*", "*", "/"]):
        case "*":
            return write(
                "{0} * {1}",
                [a, b],
                shape,
                atomic=False,
                weight=a.weight + b.weight,
                positive=a.positive and b.positive,
            )
        case "/":
            by = b if b.positive else w.positive(depth)
            common = None if by is None else broadcast(a.shape, by.shape)
            if by is None or common is None:
                return None
            return write(
                "{0} / {1}",
                [a, by],
                common,
                atomic=False,
                weight=a.weight + by.weight,
                positive=a.positive,
            )
        case "-":
            return write("{0} - {1}", [a, b], shape, atomic=False)
        case _:
            return write(
                "{0} + {1}", [a, b], shape, atomic=False, positive=a.positive and b.positive
            )


@operation(6)
def scaled(w: Writer, depth: int) -> Value | None:
    x = w.value(depth)
    if x is None:
        return None
    size = w.pick(w.sizes).text
    forms = [
        "2*{0}",
        "{0} / " + size,
        "-{0}",
        "0.5 * {0}",
        "{0} - 1.5",
        "1 - {0}",
        "{0} / 3",
        size + " * {0}",
        "{0} * 1e-2",
        "({0:b} + 1) / (" + size + " + 1)",
        "{0} + 0",
        "{0} * 1",
        "+{0}",
        "3/4 * {0}",
        "{0} * " + size + "**2",
        "(0.5 - 1/" + size + ")*{0}",
        "{0} / pi",
    ]
    form = w.pick(forms)
    return write(form, [x], x.shape, atomic=False, weight=x.weight + (size in form))


def condition(w: Writer, shape: Shape, depth: int) -> Value | None:
    """A condition that broadcasts with a shape."""
    masks = [v for v in w.pool if v.kind == "bool" and broadcast(shape, v.shape) is not None]
    if masks and w.chance(0.4):
        made: Value | None = w.pick(masks)
    else:
        x = w.partner(shape, depth)
        y = None if x is None or w.chance(0.5) else w.partner(shape, 0)
        common = None if x is None else broadcast(x.shape, y.shape if y else ())
        if x is None or common is None or broadcast(common, shape) is None:
            return None
        relation = w.pick([">", "<", ">=", "<="])
        made = (
            write(f"{{0}} {relation} {{1}}", [x, y], common, atomic=False, kind="bool")
            if y is not None
            else write(
                f"{{0}} {relation} {w.pick(['0', '0.3', '-0.5'])}",
                [x],
                x.shape,
                atomic=False,
                kind="bool",
            )
        )
    if made is not None and w.chance(0.15):
        made = write("~{0}", [made], made.shape, atomic=False, kind="bool")
    if made is not None and w.chance(0.15):
        other = condition(w, shape, 0)
        common = None if other is None else broadcast(made.shape, other.shape)
        if other is not None and common is not None:
            return write(
                f"{{0}} {w.pick('&|')} {{1}}", [made, other], common, atomic=False, kind="bool"
            )
    return made


@operation(4)
def choice(w: Writer, depth: int) -> Value | None:
    a = w.value(depth)
    b = None if a is None else w.partner(a.shape, depth)
    shape = None if a is None or b is None else broadcast(a.shape, b.shape)
    if a is None or b is None or shape is None:
        return None
    test = condition(w, shape, depth - 1)
    if test is None:
        return None
    whole = broadcast(shape, test.shape)
    if whole is None:
        return None
    if w.chance(0.2):
        return write("{0} * {1}", [a, test], broadcast(a.shape, test.shape) or (), atomic=False)
    if w.chance(0.25):
        number = w.pick(["0", "1", "-2.5"])
        common = broadcast(a.shape, test.shape) or ()
        form = w.pick(["{0:b}, {1:b}, " + number, "{0:b}, " + number + ", {1:b}"])
        return write(f"{w.prefix('where')}({form})", [test, a], common)
    return write(
        f"{w.prefix('where')}({{0:b}}, {{1:b}}, {{2:b}})",
        [test, a, b],
        whole,
        positive=a.positive and b.positive,
    )


@operation(4)
def extremum(w: Writer, depth: int) -> Value | None:
    a, word = w.value(depth), w.pick(["maximum", "minimum"])
    if a is None:
        return None
    name = w.prefix(word)
    if w.chance(0.3):
        return write(
            f"{w.prefix('clip')}({{0:b}}, -0.5, {w.pick(['0.7', '2'])})", [a], a.shape, weight=1
        )
    if w.chance(0.4):
        form = w.pick(["{0:b}, 0", "0, {0:b}", "{0:b}, 0.25", "-0.5, {0:b}"])
        return write(f"{name}({form})", [a], a.shape)
    b = w.partner(a.shape, depth)
    shape = None if b is None else broadcast(a.shape, b.shape)
    if b is None or shape is None:
        return None
    return write(f"{name}({{0:b}}, {{1:b}})", [a, b], shape, positive=a.positive and b.positive)


@operation(2)
def made_from_nothing(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    last = x.shape[-1]
    shape = shape_text(x.shape)
    options = [
        f"{{0}} + zeros({shape})",
        f"{{0}} * ones({shape})",
        f"{{0}} - full({shape}, 2)",
        "{0} * zeros_like({0:b})",
        "{0} + ones_like({0:b})",
        f"{{0}} * arange({last.text})",
        f"{{0}} + arange({last.text})/{last.factor_text}",
        f"{{0}} @ eye({last.text})",
        f"{{0}} * broadcast_to(2, {shape})",
        f"{{0}} * (arange({last.text}) > 0)",
    ]
    form = w.pick(
        [
            o
            for o in options
            if all(
                w.may_call(n)
                for n in (
                    "zeros",
                    "ones",
                    "full",
                    "zeros_like",
                    "ones_like",
                    "arange",
                    "eye",
                    "broadcast_to",
                )
            )
        ]
        or ["{0} + 0"]
    )
    if "broadcast_to(2" in form:
        return None
    if last == ONE and ("eye" in form):
        return None
    return write(form, [x], x.shape, atomic=False, weight=x.weight + 1)
