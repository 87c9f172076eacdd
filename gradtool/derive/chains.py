"""Chains of matrix products: common factors, transposes, and sums of chains.

``x @ A + A @ x`` is ``(A + A.T) @ x`` and ``R @ S + R @ S.T`` is ``R @ (S + S.T)``: products of
matrices are not commutative, so a common factor is one at the same end of every chain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradtool.derive.pieces import transposed
from gradtool.ir.tree import Call, Name, Tree, call

Signed = tuple[Tree, bool]


def factors_of(tree: Tree) -> tuple[Tree, ...]:
    """The factors of a product of matrices, from left to right; one for anything else.

    A stack of matrices times a vector, which is marked, is no link of a chain: ``(S @ v) @ w`` is
    not ``S @ (v @ w)``.
    """
    if isinstance(tree, Call) and tree.op == "matmul" and not tree.method:
        return (*factors_of(tree.args[0]), *factors_of(tree.args[1]))
    return (tree,)


def product_of(factors: Sequence[Tree], *, column: bool = False) -> Tree:
    """The product; with `column` the last factor is a vector, which is multiplied first."""
    if column:
        *rest, result = factors
        for factor in reversed(rest):
            result = call("matmul", factor, result)
        return result
    result, *following = factors
    for factor in following:
        result = call("matmul", result, factor)
    return result


def collected(terms: Sequence[Signed], rank: int, vectors: Collection[str] = ()) -> list[Signed]:
    """Terms (tree, whether it is subtracted) with common factors of chains pulled out.

    `rank` is the number of axes of every term, so a chain of rank 1 has a vector at one end;
    `vectors` are the names that are known to be vectors.
    """
    if rank not in (1, 2):
        return list(terms)
    chains = [(factors_of(tree), negative) for tree, negative in terms]
    if rank == 1:
        chains = [(_ending_in_vector(chain, vectors), sign) for chain, sign in chains]
    for first in range(len(chains)):
        for end in (-1, 0):
            shared = chains[first][0][end]
            group = [
                k for k, (chain, _) in enumerate(chains) if len(chain) > 1 and chain[end] == shared
            ]
            if len(chains[first][0]) < 2 or len(group) < 2 or group[0] != first:
                continue
            if rank == 1 and end == 0:
                continue
            inner = [_without(chains[k], end) for k in group]
            made = _summed(collected(inner, 2))
            whole = (made, shared) if end == -1 else (shared, made)
            rest = [terms[k] for k in range(len(terms)) if k not in group]
            tree = product_of(
                tuple(f for part in whole for f in factors_of(part)), column=rank == 1
            )
            at = sum(1 for k in range(first) if k not in group)
            return collected([*rest[:at], (tree, False), *rest[at:]], rank, vectors)
    return list(terms)


def _without(chain: tuple[tuple[Tree, ...], bool], end: int) -> Signed:
    factors, negative = chain
    return product_of(factors[:-1] if end == -1 else factors[1:]), negative


def _summed(terms: Sequence[Signed]) -> Tree:
    """The terms added up; a plain matrix stands before a transposed one."""
    ordered = sorted(terms, key=lambda t: (t[1], _is_transpose(t[0])))
    result, negative = ordered[0]
    if negative:
        result = call("neg", result)
    for tree, minus in ordered[1:]:
        result = call("sub" if minus else "add", result, tree)
    return result


def _is_transpose(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "transpose"


def _ending_in_vector(chain: tuple[Tree, ...], vectors: Collection[str]) -> tuple[Tree, ...]:
    """``x @ A`` as ``A.T @ x``."""
    vector, *matrices = chain
    if not matrices or not isinstance(vector, Name) or vector.id not in vectors:
        return chain
    return (*(transposed(m, [1, 0]) for m in reversed(matrices)), vector)
