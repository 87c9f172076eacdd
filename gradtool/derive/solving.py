"""Solving instead of inverting, where the forward pass does.

A forward pass that solves ``A @ Y = B`` never forms the inverse of A, and neither should its
backward pass: ``dB`` is ``solve(A.T, dY)`` (Giles 2008, section 2.3.1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradtool.derive.chains import factors_of, product_of
from gradtool.derive.line import Line
from gradtool.derive.pieces import transposed
from gradtool.ir.graph import Graph, MatrixFunction, Statement
from gradtool.ir.tree import Call, Name, Tree, call, children, names, rebuild
from gradtool.records import replace


def solving(lines: Sequence[Line], graph: Graph) -> list[Line]:
    """The lines with products by an inverse as solutions, where the forward pass solves."""
    inverses = _solved(graph)
    if not inverses:
        return list(lines)
    stacks = {n for n, t in graph.tensors.items() if len(t.shape) > 2}
    stacks |= {line.name for line in lines if len(line.shape) > 2}
    return [replace(line, tree=_written(line.tree, inverses, stacks)) for line in lines]


def _solved(graph: Graph) -> dict[str, Tree]:
    """The matrices of inverses that only a word `solve` asked for, by the inverse's name."""
    found: dict[str, Tree] = {}
    trees = [s.tree for s in graph.statements if isinstance(s, Statement)]
    for statement in graph.statements:
        if not isinstance(statement, MatrixFunction) or statement.function != "inv":
            continue
        name, operand = statement.out.name, statement.operands[0]
        users = [t for t in trees if _mentions(t, statement.tree) or _mentions(t, Name(name))]
        if statement.hidden and len(operand.shape) == 2 and not users:
            found[name] = Name(operand.name)
    return found


def _mentions(tree: Tree, part: Tree) -> bool:
    return tree == part or any(_mentions(child, part) for child in children(tree))


def _written(tree: Tree, inverses: dict[str, Tree], stacks: Collection[str]) -> Tree:
    """`stacks` are the values with more than two axes, which have no transpose as a whole."""
    parts = factors_of(tree) if isinstance(tree, Call) and tree.op == "matmul" else []
    if len(parts) > 1:  # a product of stacks is one factor
        factors = [_written(f, inverses, stacks) for f in parts]
        for place in reversed(range(len(factors) - 1)):
            matrix = _matrix(factors[place], inverses)
            if matrix is not None:
                right = product_of(factors[place + 1 :])
                factors[place:] = [call("solve", matrix, right)]
        if len(factors) > 1:
            matrix = _matrix(factors[-1], inverses)
            if matrix is not None and not names(product_of(factors[:-1])) & set(stacks):
                left = product_of(factors[:-1])
                inner = call("solve", transposed(matrix, [1, 0]), transposed(left, [1, 0]))
                return transposed(inner, [1, 0])
        return product_of(factors)
    return rebuild(tree, lambda child: _written(child, inverses, stacks))


def _matrix(factor: Tree, inverses: dict[str, Tree]) -> Tree | None:
    """The matrix of which a factor is the inverse."""
    if isinstance(factor, Name):
        return inverses.get(factor.id)
    if isinstance(factor, Call) and factor.op == "transpose" and len(factor.args) == 1:
        inner = factor.args[0]
        if isinstance(inner, Name) and inner.id in inverses:
            return transposed(inverses[inner.id], [1, 0])
    return None
