"""Matrix functions on the last two axes, each with the published rule for its cotangent.

Sources: M. B. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008); I. Murray, "Differentiation of the Cholesky decomposition"
(2016).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import MatrixFunction
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import NOTHING, Iverson, Poly, access, atom, number
from gradtool.ir.tree import Call, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail, of_tensor
from gradtool.ops.product import matmul
from gradtool.ops.registry import Arguments, word
from gradtool.records import Struct, replace

# The statement, the cotangent of its result, the position of the operand, and one index for each
# axis of that operand.  An operand after the first only serves the rule: its part is zero.
Pull = Callable[[MatrixFunction, Tensor, int, tuple[Index, ...]], Poly]


class MatrixRule(Struct, frozen=True):
    """How a cotangent goes through a matrix function, and where that is published."""

    pull: Pull
    source: str


def _inverse_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = -B^T dB B^T`` for ``B = A^-1``."""
    b = statement.out
    *batch, i, j = out
    k, m = _inner(i.size, "km")
    return -(
        access(b, (*batch, k, i)) * access(cotangent, (*batch, k, m)) * access(b, (*batch, j, m))
    ).over((k, m))


def _logdet_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = dy A^-T`` for ``y = log|det A|``."""
    if position:
        return NOTHING
    *batch, i, j = out
    inverse = statement.operands[1]
    return access(cotangent, batch) * access(inverse, (*batch, j, i))


def _det_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = dy y A^-T`` for ``y = det A``."""
    return access(statement.out, out[:-2]) * _logdet_pull(statement, cotangent, position, out)


def _cholesky_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = L^-T (tril(P) + tril(P, -1)^T) L^-1 / 2`` with ``P = L^T dL``, for ``A = L L^T``.

    A counts by its symmetric part, so the cotangent is symmetric: Murray's
    ``L^-T Phi(P) L^-1`` and its transpose, halved, where Phi takes the lower triangle and halves
    the diagonal.
    """
    if position:
        return NOTHING
    factor, inverse = statement.out, statement.operands[1]
    *batch, i, j = out
    a, b, k = _inner(i.size, "abk")
    below = Affine.of(a) - Affine.of(b)

    def product(row: Index, column: Index) -> Poly:
        return access(factor, (*batch, k, row)) * access(cotangent, (*batch, k, column))

    symmetric = atom(Iverson("ge", below)) * product(a, b) + atom(
        Iverson("ge", -below - 1)
    ) * product(b, a)
    left, right = access(inverse, (*batch, a, i)), access(inverse, (*batch, b, j))
    return (left * symmetric * right).over((a, b, k)) * number(Fraction(1, 2))


def _inner(size: Dim, names: str) -> tuple[Index, ...]:
    """Bound indices whose names no caller has."""
    return tuple(Index(f"{name}~", size) for name in names)


RULES: dict[str, MatrixRule] = {
    "inv": MatrixRule(_inverse_pull, "Giles 2008, section 2.2.3"),
    "logdet": MatrixRule(_logdet_pull, "Giles 2008, section 2.2.4"),
    "det": MatrixRule(_det_pull, "Giles 2008, section 2.2.4"),
    "cholesky": MatrixRule(_cholesky_pull, "Murray 2016, equations 9 and 10"),
}


# -- words --------------------------------------------------------------------------------


def _square(build: Builder, tree: Tree, name: str) -> Operand:
    x = real(build, tree)
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        fail(f"{name} needs square matrices, found the shape {shape_text(x.shape)}", tree)
    return x


def _apply(
    build: Builder, function: str, x: Operand, tree: Tree, *, helper: Operand | None = None
) -> Operand:
    """The result of a matrix function, or the one that already has this value.

    `helper` is a second operand, for the rule of the cotangent only.
    """
    source = build.materialise(x)
    key = f"{function}({source.name})"
    if key not in build.shared:
        shape = x.shape[:-2] if function in ("logdet", "det") else x.shape
        operands = (source,) if helper is None else (source, build.materialise(helper))
        build.counter += 1
        out = Tensor(f"_{build.counter}", shape)
        build.statements.append(
            MatrixFunction(out, function, operands, tree, hidden=True, line=build.line)
        )
        build.shared[key] = of_tensor(out)
    return build.shared[key]


@word("inv", "x", examples=("Y = inv(X @ X.T + eye(N))",))
def inv(build: Builder, call: Call, given: Arguments) -> Operand:
    """The inverse of a square matrix."""
    x = _square(build, given["x"], "inv")
    return _apply(build, "inv", x, Call("inv", (x.tree,)))


@word(
    "solve",
    "a b",
    examples=(
        "Y = solve(X @ X.T + eye(N), X)",
        "Y = solve(X.T @ X + eye(D), b)",
    ),
)
def solve(build: Builder, call: Call, given: Arguments) -> Operand:
    """``inv(a) @ b``: the solution y of ``a @ y = b``."""
    a = _square(build, given["a"], "solve")
    inverse = Call("inv", (given["a"],), span=call.span)
    product = matmul(build, call, {"x": inverse, "y": given["b"]})
    return _written(build, product, Call("solve", (a.tree, build.operand(given["b"]).tree)))


def _written(build: Builder, operand: Operand, tree: Call) -> Operand:
    """The same value, its statement shown as another tree."""
    last = build.statements[-1]
    if operand.tensor is not None and last.out is operand.tensor and last.hidden:
        build.statements[-1] = replace(last, tree=tree)
    return operand


@word("logdet", "x", examples=("Y = logdet(X @ X.T + eye(N))",))
def logdet(build: Builder, call: Call, given: Arguments) -> Operand:
    """``log|det(x)|``."""
    return _determinant(build, given["x"], "logdet")


@word("det", "x", examples=("Y = det(X @ X.T + eye(N))",))
def det(build: Builder, call: Call, given: Arguments) -> Operand:
    """The determinant."""
    return _determinant(build, given["x"], "det")


def _determinant(build: Builder, tree: Tree, function: str) -> Operand:
    x = _square(build, tree, function)
    inverse = _apply(build, "inv", x, Call("inv", (x.tree,)))
    return _apply(build, function, x, Call(function, (x.tree,)), helper=inverse)


@word("cholesky", "x", examples=("Y = cholesky(X @ X.T + eye(N))",))
def cholesky(build: Builder, call: Call, given: Arguments) -> Operand:
    """The lower triangular L with ``L @ L.T = x``, where x counts by its symmetric part."""
    x = _square(build, given["x"], "cholesky")
    tree = Call("cholesky", (x.tree,))
    inverse = _apply(build, "inverse_cholesky", x, Call("inv", (tree,)))
    return _apply(build, "cholesky", x, tree, helper=inverse)
