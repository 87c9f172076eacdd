"""Products that contract an axis: matmul, dot, outer, einsum, trace."""

from __future__ import annotations

from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.ir.index import Affine, Index
from gradtool.ir.tree import Call, Literal, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, broadcast_entries, fail
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, word
from gradtool.ops.truth import refuse_truths

_NUMBERS = "write 1*x for the numbers 0 and 1"


@word(
    "matmul",
    "x y",
    examples=(
        "Y = X @ X.T",
        "Y = X @ b",
        "Y = b @ b",
        "Y = T3 @ X.T",
        "Y = X.T @ T3",
    ),
)
def matmul(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x @ y``: the last axis of x with the last but one of y, earlier axes broadcast."""
    x, y = real(build, given["x"]), real(build, given["y"])
    refuse_truths(call, (x.of_truths, y.of_truths), '"or", no sum', _NUMBERS)
    if not x.rank or not y.rank:
        raise OpError(
            f"{shape_text(x.shape)} @ {shape_text(y.shape)}: @ needs arrays, found a scalar",
            call.span,
            hint="use * to scale",
        )
    inner_x = x.shape[-1]
    inner_y = y.shape[-2] if y.rank > 1 else y.shape[0]
    if inner_x != inner_y:
        raise OpError(
            f"{shape_text(x.shape)} @ {shape_text(y.shape)}: "
            f"inner dimensions {inner_x} and {inner_y} differ",
            call.span,
            hint=_transposed(x, y),
        )
    batch = _batch(build, call, x, y)
    rows = x.shape[-2:-1] if x.rank > 1 else ()
    columns = y.shape[-1:] if y.rank > 1 else ()
    free = build.indices((*batch, *rows, *columns))
    (inner,) = build.indices((inner_x,))
    lead = [Affine.of(i) for i in free[: len(batch)]]
    row = [Affine.of(i) for i in free[len(batch) : len(batch) + len(rows)]]
    column = [Affine.of(i) for i in free[len(batch) + len(rows) :]]
    k = [Affine.of(inner)]
    left = x.at(_with_batch(x, lead, [*row, *k]))
    right = y.at(_with_batch(y, lead, [*k, *column]))
    body = (left * right).over([inner])
    return build.define(free, body, Call("matmul", (x.tree, y.tree)))


def _batch(build: Builder, call: Call, x: Operand, y: Operand) -> tuple[Dim, ...]:
    outer = [Operand(o.shape[:-2], o.at, o.tree) for o in (x, y) if o.rank > 2]
    return build.broadcast(outer, call) if outer else ()


def _with_batch(operand: Operand, lead: list[Affine], last: list[Affine]) -> tuple[Affine, ...]:
    count = max(operand.rank - 2, 0)
    own = lead[len(lead) - count :] if count else []
    return broadcast_entries(operand.shape, [*own, *last])


def _transposed(x: Operand, y: Operand) -> str:
    if y.rank == 2 and y.shape[1] == x.shape[-1]:
        return "did you mean the transpose of the right factor (.T)?"
    if x.rank == 2 and x.shape[0] == y.shape[0]:
        return "did you mean the transpose of the left factor (.T)?"
    return ""


@word("dot", "x y", examples=("Y = dot(X, X.T)", "Y = X.dot(b)"))
def dot(build: Builder, call: Call, given: Arguments) -> Operand:
    """``np.dot``: a matrix product up to two axes."""
    x, y = real(build, given["x"]), real(build, given["y"])
    if not x.rank or not y.rank:
        from gradtool.ops.arithmetic import mul

        return mul(build, Call("mul", call.args, span=call.span), given)
    if x.rank > 2 or y.rank > 2:
        raise OpError(
            "dot of arrays with more than two axes is unusual", call.span, hint="write @ or einsum"
        )
    return matmul(build, Call("matmul", call.args, span=call.span), given)


@word("outer", "x y", examples=("Y = outer(b, b)",))
def outer(build: Builder, call: Call, given: Arguments) -> Operand:
    """The outer product of two vectors."""
    x, y = real(build, given["x"]), real(build, given["y"])
    for side, value in ((given["x"], x), (given["y"], y)):
        if value.rank != 1:
            fail(f"outer needs vectors, found the shape {shape_text(value.shape)}", side)
    free = build.indices((*x.shape, *y.shape))
    i, j = (Affine.of(index) for index in free)
    return build.define(free, x.at((i,)) * y.at((j,)), Call("outer", (x.tree, y.tree)))


@word("trace", "x", examples=("Y = trace(X @ X.T)",))
def trace(build: Builder, call: Call, given: Arguments) -> Operand:
    """The sum of the diagonal of a square matrix."""
    x = real(build, given["x"])
    if x.rank != 2 or x.shape[0] != x.shape[1]:
        fail(f"trace needs a square matrix, found the shape {shape_text(x.shape)}", given["x"])
    (k,) = build.indices(x.shape[:1])
    body = x.at((Affine.of(k), Affine.of(k))).over([k])
    return build.define((), body, Call("trace", (x.tree,)))


@word(
    "einsum",
    "spec x",
    optional="y z u v",
    examples=(
        "Y = einsum('nd,md->nm', X, X)",
        "Y = einsum('nd->n', X)",
        "Y = einsum('nd,d', X, b)",
        "Y = einsum('ii->i', X @ X.T)",
    ),
)
def einsum(build: Builder, call: Call, given: Arguments) -> Operand:
    """Einstein summation: ``einsum('nd,dc->nc', X, W)``."""
    text = given["spec"]
    if not isinstance(text, Literal) or not isinstance(text.value, str):
        fail("the first argument of einsum is a text such as 'nd,dc->nc'", text)
    trees = [given[name] for name in ("x", "y", "z", "u", "v") if name in given]
    operands = [real(build, tree) for tree in trees]
    if len(operands) > 1:
        refuse_truths(call, [o.of_truths for o in operands], '"or", no sum', _NUMBERS)
    inputs, output = read_einsum(text.value, text)
    if len(inputs) != len(operands):
        raise OpError(
            f"'{text.value}' names {len(inputs)} operands, found {len(operands)}", call.span
        )
    letters: dict[str, Index] = {}
    sizes: dict[str, Dim] = {}
    for letters_in, operand, tree in zip(inputs, operands, trees, strict=True):
        if len(letters_in) != operand.rank:
            fail(
                f"'{letters_in}' names {len(letters_in)} axes, the shape is "
                f"{shape_text(operand.shape)}",
                tree,
            )
        for letter, axis in zip(letters_in, operand.shape, strict=True):
            known = sizes.get(letter, ONE)
            if known not in (ONE, axis) and axis != ONE:
                raise OpError(f"index '{letter}' has the sizes {known} and {axis}", call.span)
            sizes[letter] = axis if known == ONE else known
    for letter, axis in sizes.items():
        (letters[letter],) = build.indices((axis,))
    body = None
    for letters_in, operand in zip(inputs, operands, strict=True):
        entries = broadcast_entries(operand.shape, [Affine.of(letters[c]) for c in letters_in])
        factor = operand.at(entries)
        body = factor if body is None else body * factor
    assert body is not None
    free = tuple(letters[c] for c in output)
    bound = [i for c, i in letters.items() if c not in output]
    arrow: Tree = Literal(f"{','.join(inputs)}->{output}")
    tree = Call("einsum", (arrow, *(o.tree for o in operands)))
    return build.define(free, body.over(bound), tree)


def read_einsum(text: str, tree: Tree) -> tuple[list[str], str]:
    """Split ``'nd,dc->nc'``; without an arrow, letters that occur once are kept, sorted."""
    compact = text.replace(" ", "")
    left, arrow, output = compact.partition("->")
    inputs = left.split(",")
    every = "".join(inputs)
    for letter in every + output:
        if not letter.isascii() or not letter.isalpha():
            fail(f"'{letter}' is no index letter; '...' is not supported here", tree)
    if not arrow:
        output = "".join(sorted(c for c in set(every) if every.count(c) == 1))
    for letter in output:
        if letter not in every:
            fail(f"the output index '{letter}' is in no operand", tree)
        if output.count(letter) > 1:
            fail(f"the output index '{letter}' stands twice", tree)
    return inputs, output


@word("inner", "x y", examples=("Y = inner(b, b)", "Y = inner(X, X)"))
def inner(build: Builder, call: Call, given: Arguments) -> Operand:
    """``np.inner``: sums over the last axis of both, ``x @ y.T`` of matrices."""
    x, y = real(build, given["x"]), real(build, given["y"])
    if x.rank == 2 and y.rank == 2:
        turned = Call("transpose", (given["y"],), span=call.span)
        return matmul(build, call, {"x": given["x"], "y": turned})
    if x.rank == 1 and y.rank == 2:
        # (D,) and (N, D): the product of the matrix and the vector.
        return matmul(build, call, {"x": given["y"], "y": given["x"]})
    return dot(build, call, given)


@word("vdot", "x y", examples=("Y = vdot(b, b)", "Y = vdot(X, X)"))
def vdot(build: Builder, call: Call, given: Arguments) -> Operand:
    """``np.vdot``: the sum of all products, of two arrays of one shape."""
    x, y = real(build, given["x"]), real(build, given["y"])
    if x.rank == y.rank == 1:
        return dot(build, call, given)
    if x.shape != y.shape or not x.rank:
        raise OpError(
            f"vdot needs two arrays of one shape, found {shape_text(x.shape)} and "
            f"{shape_text(y.shape)}",
            call.span,
        )
    letters = "abcdefgh"[: x.rank]
    text = Literal(f"{letters},{letters}->")
    return einsum(build, call, {"spec": text, "x": given["x"], "y": given["y"]})
