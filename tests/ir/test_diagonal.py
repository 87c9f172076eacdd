"""Two deltas at once stay two constraints.

A factor that equals the delta in question is the delta, also when it is another object; and a
delta that an earlier one rewrote must not be applied again, or a constraint is lost.
"""

from __future__ import annotations

from gradtool.ir.dims import Dim
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import Iverson, Poly, access, atom

N = Dim.of("N")
T = Tensor("T", (N, N, N))


def delta(a: Index, b: Index) -> Poly:
    return atom(Iverson("eq", Affine.of(a) - Affine.of(b)))


def test_a_permutation_of_three_axes_sums_to_one_entry() -> None:
    a, b, c = (Index(name, N) for name in ("j'", "t'", "i'"))
    i, j, k = (Index(name, N) for name in ("i:g", "j:g", "k:g"))
    body = access(T, (a, b, c)) * (delta(i, a) * delta(j, c) * delta(k, b))
    assert body.over((a, b, c)) == access(T, (i, k, j))


def test_a_chain_of_deltas_keeps_every_constraint() -> None:
    i, j, k = (Index(name, N) for name in "ijk")
    chained = delta(i, j) * delta(j, k) * access(T, (i, j, k))
    (term,) = chained.terms
    deltas = [a for a, _ in term.factors if isinstance(a, Iverson)]
    assert len(deltas) == 2
    assert term.indices == {i, j, k}
