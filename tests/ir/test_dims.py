"""A size means what its text means to Python, and equal sizes have equal normal forms."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradtool.ir.dims import Dim, DimError, total
from gradtool.ir.index import Affine, Index, nonnegative

NAMES = ("N", "D", "K")
PROFILE = settings(max_examples=80, derandomize=True, database=None)

_leaf = st.sampled_from([*NAMES, "1", "2", "3", "5"])


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner)
    return pair.map(lambda p: f"({p[0]} {p[1]} {p[2]})")


def _divided(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    whole = st.tuples(inner, st.sampled_from(["2", "3", "N", "D", "(N + 1)"]))
    return st.one_of(_joined(inner), whole.map(lambda p: f"({p[0]})//{p[1]}"))


polynomials = st.recursive(_leaf, _joined, max_leaves=6)
sizes_texts = st.recursive(_leaf, _divided, max_leaves=6)


def _points() -> list[dict[str, int]]:
    return [dict(zip(NAMES, p, strict=True)) for p in itertools.product((1, 2, 3, 7), repeat=3)]


@PROFILE
@given(sizes_texts)
def test_a_size_evaluates_as_python_does(text: str) -> None:
    size = Dim.parse(text)
    for point in _points():
        assert size.evaluate(point) == eval(text, {}, dict(point))


@PROFILE
@given(sizes_texts)
def test_the_text_of_a_size_reads_back_as_the_same_size(text: str) -> None:
    size = Dim.parse(text)
    assert Dim.parse(str(size)) == size


@PROFILE
@given(polynomials, polynomials)
def test_normal_forms_are_equal_exactly_when_the_values_are(one: str, other: str) -> None:
    # Polynomials of degree <= 6 with small coefficients that agree at a point this large are equal.
    point = {"N": 10**8 + 7, "D": 10**17 + 3, "K": 10**29 + 9}
    same = eval(one, {}, dict(point)) == eval(other, {}, dict(point))
    assert (Dim.parse(one) == Dim.parse(other)) == same
    if same:
        assert hash(Dim.parse(one)) == hash(Dim.parse(other))


@PROFILE
@given(polynomials, polynomials, polynomials)
def test_the_ring_laws_hold_in_normal_form(a: str, b: str, c: str) -> None:
    x, y, z = map(Dim.parse, (a, b, c))
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) * z == x * z + y * z
    assert (x * y) * z == x * (y * z)
    assert x - x == Dim.of(0)
    assert total((x, y, z)) == x * y * z


@PROFILE
@given(sizes_texts, st.sampled_from(["2*N", "N + D", "(N + 1)//2 + 1", "3", "N*K", "K"]))
def test_substitution_commutes_with_evaluation(text: str, by: str) -> None:
    size = Dim.parse(text).substitute({"N": Dim.parse(by)})
    for point in _points():
        inner = eval(by, {}, dict(point))
        assert size.evaluate(point) == eval(text, {}, {**point, "N": inner})


@PROFILE
@given(polynomials, polynomials)
def test_an_exact_quotient_times_its_divisor_is_the_size(a: str, b: str) -> None:
    x, y = Dim.parse(a), Dim.parse(b)
    quotient = x.divided_by(y)
    if quotient is not None:
        assert quotient * y == x


@PROFILE
@given(polynomials)
def test_what_is_called_nonnegative_is(text: str) -> None:
    size = Dim.parse(text)
    if nonnegative(size):
        assert all(size.evaluate(point) >= 0 for point in _points())


@pytest.mark.parametrize("text", ["N - 1", "N*D - N", "N*N - 2*N + 1", "2*N - 2", "N + D - 2"])
def test_sizes_that_must_be_known_nonnegative(text: str) -> None:
    assert nonnegative(Dim.parse(text))


@PROFILE
@given(
    st.lists(st.integers(-2, 2), min_size=2, max_size=2),
    st.sampled_from(["0", "1", "N - 1", "-1", "D", "2*N - 3"]),
)
def test_the_bounds_of_an_index_expression_are_reached(by: list[int], constant: str) -> None:
    i, j = Index("i", Dim.of("N")), Index("j", Dim.of("D"))
    entry = Affine.of(i) * by[0] + Affine.of(j) * by[1] + Dim.parse(constant)
    bounds = entry.bounds()
    assert bounds is not None
    for point in _points():
        values = [
            by[0] * a + by[1] * b + eval(constant, {}, dict(point))
            for a in range(point["N"])
            for b in range(point["D"])
        ]
        assert bounds[0].evaluate(point) == min(values)
        assert bounds[1].evaluate(point) == max(values)


@pytest.mark.parametrize("text", ["N/2", "1.5", "N % 2", "f(N)", "N +", "True", "N**-1", "'N'"])
def test_what_is_no_size_is_refused_with_its_column(text: str) -> None:
    with pytest.raises(DimError) as caught:
        Dim.parse(text)
    assert 0 <= caught.value.offset <= len(text)


def test_a_fraction_is_no_size() -> None:
    assert Dim.of(6).divided_by(Dim.of(4)) is None
    assert Fraction(6, 4) != 6 // 4
