"""Matrix functions on square matrices, each with the published rule for its cotangent.

Sources: M. B. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008); for Cholesky also I. Murray, "Differentiation of the Cholesky
decomposition" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import MatrixFunction
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import Function, Poly, access, atom, number
from gradtool.ir.tree import Call, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail, of_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, word

Pull = Callable[[MatrixFunction, Tensor, int, tuple[Index, ...]], Poly]


@dataclass(frozen=True, slots=True)
class MatrixRule:
    """How a cotangent goes through a matrix function, and where that is published."""

    pull: Pull
    source: str


def _fresh(names: str, size: Dim) -> tuple[Index, ...]:
    return tuple(Index(f"{n}~", size) for n in names)


def _inverse_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = -B^T dB B^T`` for ``B = A^-1``."""
    b = statement.out
    *batch, i, j = out
    k, m = _fresh("km", i.size)
    return -(
        access(b, (*batch, k, i)) * access(cotangent, (*batch, k, m)) * access(b, (*batch, j, m))
    ).over((k, m))


RULES: dict[str, MatrixRule] = {
    "inv": MatrixRule(_inverse_pull, "Giles 2008, section 2.2.3"),
}


def _square(build: Builder, tree: Tree, name: str) -> Operand:
    x = real(build, tree)
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        fail(f"{name} needs square matrices, found the shape {shape_text(x.shape)}", tree)
    return x


def _apply(build: Builder, function: str, x: Operand, shape: tuple[Dim, ...], tree: Tree) -> Operand:
    source = build.materialise(x)
    key = f"{function}({source.name})"
    if key not in build.shared:
        out = build._tensor(shape, "real", None)
        build.statements.append(
            MatrixFunction(out, function, (source,), tree, hidden=True, line=build.line)
        )
        build.shared[key] = of_tensor(out)
    return build.shared[key]


@word("inv", "x", examples=("Y = inv(X @ X.T + eye(N))",))
def inv(build: Builder, call: Call, given: Arguments) -> Operand:
    """The inverse of a square matrix."""
    x = _square(build, given["x"], "inv")
    return _apply(build, "inv", x, x.shape, Call("inv", (x.tree,)))


@word("solve", "a b", examples=("Y = solve(X @ X.T + eye(N), X)",))
def solve(build: Builder, call: Call, given: Arguments) -> Operand:
    """``inv(a) @ b``."""
    from gradtool.ops.product import matmul

    a = _square(build, given["a"], "solve")
    del a
    inverse = Call("inv", (given["a"],), span=call.span)
    operand = matmul(build, call, {"x": inverse, "y": given["b"]})
    return operand


def _log_abs_det_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    raise OpError("logdet has no rule yet")


@word("logdet", "x", examples=("Y = logdet(X @ X.T + eye(N))",))
def logdet(build: Builder, call: Call, given: Arguments) -> Operand:
    """``log|det(x)|``."""
    x = _square(build, given["x"], "logdet")
    inverse = _apply(build, "inv", x, x.shape, Call("inv", (x.tree,)))
    return _apply_with_inverse(build, "logdet", x, inverse, Call("logdet", (x.tree,)))


@word("det", "x", examples=("Y = det(X @ X.T + eye(N))",))
def det(build: Builder, call: Call, given: Arguments) -> Operand:
    """The determinant."""
    x = _square(build, given["x"], "det")
    inverse = _apply(build, "inv", x, x.shape, Call("inv", (x.tree,)))
    return _apply_with_inverse(build, "det", x, inverse, Call("det", (x.tree,)))


def _apply_with_inverse(
    build: Builder, function: str, x: Operand, inverse: Operand, tree: Tree
) -> Operand:
    source = build.materialise(x)
    assert inverse.tensor is not None
    key = f"{function}({source.name})"
    if key not in build.shared:
        out = build._tensor(x.shape[:-2], "real", None)
        build.statements.append(
            MatrixFunction(
                out, function, (source, inverse.tensor), tree, hidden=True, line=build.line
            )
        )
        build.shared[key] = of_tensor(out)
    return build.shared[key]


def _logdet_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = dy A^-T`` for ``y = log|det A|``."""
    if position:
        return Poly(())
    *batch, i, j = out
    inverse = statement.operands[1]
    return access(cotangent, batch) * access(inverse, (*batch, j, i))


def _det_pull(
    statement: MatrixFunction, cotangent: Tensor, position: int, out: tuple[Index, ...]
) -> Poly:
    """``dA = dy det(A) A^-T`` for ``y = det A``."""
    if position:
        return Poly(())
    *batch, i, j = out
    inverse = statement.operands[1]
    return (
        access(cotangent, batch) * access(statement.out, batch) * access(inverse, (*batch, j, i))
    )


RULES["logdet"] = MatrixRule(_logdet_pull, "Giles 2008, section 2.2.4")
RULES["det"] = MatrixRule(_det_pull, "Giles 2008, section 2.2.4")

_ = (Function, atom, number)
