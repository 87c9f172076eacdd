"""Products that contract axes: matmul of every rank, einsum with random strings, inverses."""

from __future__ import annotations

from tests.programs.sizes import ONE, Shape, Size, broadcast
from tests.programs.writer import Value, Writer, grown, operation, write


def matmul_shape(x: Shape, y: Shape) -> Shape | None:
    """The shape of ``x @ y`` as NumPy defines it, None when there is none."""
    if not x or not y:
        return None
    if x[-1] != (y[-2] if len(y) > 1 else y[0]):
        return None
    batch = broadcast(x[:-2], y[:-2])
    if batch is None:
        return None
    return (*batch, *x[-2:-1], *(y[-1:] if len(y) > 1 else ()))


@operation(12)
def product(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank > 0)
    if x is None or not x.rank:
        return None
    if x.rank == 2 and w.chance(0.15):
        form = w.pick(["{0} @ {0}.T", "{0}.T @ {0}"])
        side = x.shape[0] if form.startswith("{0} @") else x.shape[1]
        return write(form, [x], (side, side), atomic=False, weight=2 * x.weight + 1)
    y = w.value(depth, lambda v: matmul_shape(x.shape, v.shape) is not None)
    shape = None if y is None else matmul_shape(x.shape, y.shape)
    if y is not None and shape is None and y.rank == 2 and x.rank == 2:
        for form, one, two in (
            ("{0} @ {1}.T", x.shape, y.shape[::-1]),
            ("{0}.T @ {1}", x.shape[::-1], y.shape),
        ):
            shape = matmul_shape(one, two)
            if shape is not None:
                return write(form, [x, y], shape, atomic=False, weight=x.weight + y.weight + 1)
    if y is None or shape is None:
        return None
    weight = x.weight + y.weight + grown(x.shape[-1:])
    form = "{0} @ {1}"
    if x.rank < 3 and y.rank < 3 and w.chance(0.15):
        form = w.pick([f"{w.prefix('dot')}({{0:b}}, {{1:b}})", "{0}.dot({1:b})"])
        return write(form, [x, y], shape, weight=weight)
    if w.chance(0.1):
        return write(f"{w.prefix('matmul')}({{0:b}}, {{1:b}})", [x, y], shape, weight=weight)
    return write(form, [x, y], shape, atomic=False, weight=weight)


@operation(5)
def einsum(w: Writer, depth: int) -> Value | None:
    count = w.pick([1, 2, 2, 3])
    operands: list[Value] = []
    for _ in range(count):
        made = w.value(depth if count < 3 else 0, lambda v: v.rank > 0)
        if made is None or not made.rank:
            return None
        operands.append(made)
    letters: dict[str, Size] = {}
    words: list[str] = []
    for operand in operands:
        word = ""
        for size in operand.shape:
            known = [
                c for c, d in letters.items() if d == size and (c not in word or w.chance(0.3))
            ]
            if known and w.chance(0.75) and size != ONE:
                word += w.pick(known)
            else:
                fresh = w.pick([c for c in "abcdeijknmpq" if c not in letters])
                letters[fresh] = size
                word += fresh
        words.append(word)
    if len(letters) > 6:
        return None
    order = [c for c in letters if w.chance(0.5)]
    w.rng.shuffle(order)
    weight = sum(o.weight for o in operands) + len(letters) - len(order)
    inside = ",".join(words)
    if w.chance(0.85):
        inside += "->" + "".join(order)
    else:
        every = "".join(words)
        order = sorted(c for c in letters if every.count(c) == 1)
    if w.chance(0.2):
        inside = inside.replace(",", ", ").replace("->", " -> ")
    holes = ", ".join(f"{{{k}:b}}" for k in range(count))
    return write(
        f"{w.prefix('einsum')}('{inside}', {holes})",
        operands,
        tuple(letters[c] for c in order),
        weight=weight,
    )


@operation(1)
def outer(w: Writer, depth: int) -> Value | None:
    x = w.value(depth, lambda v: v.rank == 1)
    y = w.value(depth, lambda v: v.rank == 1)
    if x is None or y is None or x.rank != 1 or y.rank != 1:
        return None
    return write(
        f"{w.prefix('outer')}({{0:b}}, {{1:b}})",
        [x, y],
        (*x.shape, *y.shape),
        weight=x.weight + y.weight,
    )


@operation(3)
def matrix_function(w: Writer, depth: int) -> Value | None:
    """Of ``X @ X.T + I``, which is positive definite, or of something near to I."""
    x = w.value(w.pick([0, 0, depth]), lambda v: v.rank in (2, 3) and v.weight <= 1)
    if x is None or x.rank not in (2, 3) or x.weight > 1 or not w.may_call("tanh"):
        return None
    *batch, n, m = x.shape
    eye = f"{w.prefix('eye')}({n.text})"
    if n == m and w.chance(0.4):
        # Not symmetric, and inside the unit circle: safely invertible.
        square, definite = f"3*{n.text}*{eye} + tanh({{0:b}})", False
    elif x.rank == 3:
        square, definite = f"{{0}} @ swapaxes({{0:b}}, 1, 2) + {eye}", True
    else:
        square, definite = f"{{0}} @ {{0}}.T + {eye}", True
    options = ["inv", "logdet", "det", "solve"] + ["cholesky"] * definite
    match w.pick(options):
        case "inv":
            return write(f"inv({square})", [x], (*batch, n, n))
        case "cholesky":
            return write(f"cholesky({square})", [x], (*batch, n, n))
        case "logdet":
            return write(f"logdet({square})", [x], tuple(batch))
        case "det":
            return write(f"det({square})", [x], tuple(batch), weight=5, positive=definite)
        case _:
            y = w.value(depth, lambda v: v.rank == x.rank and v.shape[:-1] == (*batch, n))
            if y is None or y.rank != x.rank or y.shape[:-1] != (*batch, n):
                return None
            return write(f"solve({square}, {{1:b}})", [x, y], y.shape)
