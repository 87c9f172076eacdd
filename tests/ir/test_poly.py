"""The normal form means what the expression means, whatever was eliminated, renamed or collected.

Random expressions (entries at shifted and reversed places, sums, Kronecker deltas, inequalities,
labels) are built twice: as a `Poly`, and as a plain tree that is summed up by brute force.  An
entry outside its array counts as zero, and so does a product with a 0/1 factor that is 0.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradtool.ir.dims import Dim
from gradtool.ir.index import Affine, Index, Label, Tensor
from gradtool.ir.poly import (
    Access,
    Group,
    Iverson,
    Number,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
    access,
    atom,
    number,
    size,
)
from gradtool.records import Struct

N, D = Dim.of("N"), Dim.of("D")
SIZES = {"N": N, "D": D}
TENSORS = {
    "A": Tensor("A", (N,)),
    "B": Tensor("B", (N, D)),
    "C": Tensor("C", (D, D)),
    "s": Tensor("s", ()),
}
LABELS = Tensor("y", (N,), "index", D)
PROFILE = settings(max_examples=80, derandomize=True, database=None)


# -- a plain tree ---------------------------------------------------------------------------


class Node(Struct, frozen=True):
    """kind: entry, number, size, delta, ge, add, mul or sum; `parts` depends on it."""

    kind: str
    parts: tuple[Any, ...]


Place = tuple[tuple[tuple[str, int], ...], str, str]  # coefficients, constant, label index


class Writer:
    """Random trees over indices i, j, k (each N or D by name), bound ones reusing the names."""

    def __init__(self, source: random.Random) -> None:
        self.source = source

    def place(self, indices: Mapping[str, str], length: str) -> Place:
        """An index expression for an axis, most often one that can be inside."""
        fitting = [i for i, range_ in indices.items() if range_ == length]
        roll = self.source.random()
        if length == "D" and roll < 0.2:
            rows = [i for i, range_ in indices.items() if range_ == "N"]
            if rows:
                return ((), "0", self.source.choice(rows))
        if not fitting:
            return ((), self.source.choice(["0", "1"]), "")
        i = self.source.choice(fitting)
        if roll < 0.55:
            return (((i, 1),), "0", "")
        if roll < 0.7:
            return (((i, 1),), self.source.choice(["1", "-1"]), "")
        if roll < 0.8:
            return (((i, -1),), f"{length} - 1", "")
        other = self.source.choice(fitting)
        if other != i:
            return (((i, 1), (other, self.source.choice([1, -1]))), "0", "")
        return (((i, 2),), "0", "")

    def tree(self, indices: Mapping[str, str], depth: int) -> Node:
        roll = self.source.random()
        if depth <= 0 or roll < 0.2:
            return self.leaf(indices)
        if roll < 0.4:
            return Node("add", (self.tree(indices, depth - 1), self.tree(indices, depth - 1)))
        if roll < 0.7:
            return Node("mul", (self.tree(indices, depth - 1), self.tree(indices, depth - 1)))
        name = self.source.choice("ijk")  # may shadow: capture must be avoided
        range_ = self.source.choice("ND")
        return Node("sum", (name, range_, self.tree({**indices, name: range_}, depth - 1)))

    def leaf(self, indices: Mapping[str, str]) -> Node:
        roll = self.source.random()
        if roll < 0.1:
            return Node("number", (Fraction(self.source.choice([-2, -1, 1, 2, 3]), 2),))
        if roll < 0.15:
            return Node("size", (self.source.choice(["N", "D", "N + D"]),))
        if roll < 0.4 and indices:
            length = self.source.choice(list(indices.values()))
            left, right = self.place(indices, length), self.place(indices, length)
            kind = "delta" if self.source.random() < 0.7 else "ge"
            return Node(kind, (left, right))
        name = self.source.choice(list(TENSORS))
        shape = {"A": "N", "B": "ND", "C": "DD", "s": ""}[name]
        return Node("entry", (name, tuple(self.place(indices, length) for length in shape)))


# -- the two meanings -----------------------------------------------------------------------


def affine(place: Place, scope: Mapping[str, Index]) -> Affine:
    coefficients, constant, row = place
    if row:
        return Affine.of(Label(LABELS, (Affine.of(scope[row]),)))
    made = Affine.of(Dim.parse(constant))
    for name, by in coefficients:
        made = made + Affine.of(scope[name]) * by
    return made


def built(node: Node, scope: Mapping[str, Index]) -> Poly:
    match node.kind, node.parts:
        case "number", (value,):
            return number(value)
        case "size", (text,):
            return size(Dim.parse(text))
        case "entry", (name, places):
            return access(TENSORS[name], [affine(p, scope) for p in places])
        case ("delta" | "ge") as kind, (left, right):
            gap = affine(left, scope) - affine(right, scope)
            return atom(Iverson("eq", gap) if kind == "delta" else Iverson("ge", gap))
        case "add", (a, b):
            return built(a, scope) + built(b, scope)
        case "mul", (a, b):
            return built(a, scope) * built(b, scope)
        case "sum", (name, range_, body):
            index = Index(name, SIZES[range_])
            return built(body, {**scope, name: index}).over([index])
    raise AssertionError(node.kind)


class World(Struct, frozen=True):
    """Sizes and entries; the entries are random fractions."""

    sizes: Mapping[str, int]
    entries: Mapping[tuple[str, tuple[int, ...]], Fraction]
    labels: tuple[int, ...]

    @staticmethod
    def at(sizes: Mapping[str, int], seed: int) -> World:
        source = random.Random(seed)
        entries = {}
        for name, tensor in TENSORS.items():
            shape = [d.evaluate(sizes) for d in tensor.shape]
            for place in itertools.product(*map(range, shape)):
                entries[name, place] = Fraction(source.randint(-50, 50), 7)
        labels = tuple(source.randrange(sizes["D"]) for _ in range(sizes["N"]))
        return World(sizes, entries, labels)

    def entry(self, name: str, place: tuple[int, ...]) -> Fraction:
        return self.entries.get((name, place), Fraction(0))


def meant(node: Node, world: World, at: Mapping[str, int]) -> Fraction:
    """The tree, added up as it reads."""

    def where(place: Place) -> int:
        coefficients, constant, row = place
        if row:
            return world.labels[at[row]]
        return sum(by * at[n] for n, by in coefficients) + int(
            eval(constant, {}, dict(world.sizes))
        )

    match node.kind, node.parts:
        case "number", (value,):
            return Fraction(value)
        case "size", (text,):
            return Fraction(eval(text, {}, dict(world.sizes)))
        case "entry", (name, places):
            return world.entry(name, tuple(map(where, places)))
        case "delta", (left, right):
            return Fraction(where(left) == where(right))
        case "ge", (left, right):
            return Fraction(where(left) >= where(right))
        case "add", (a, b):
            return meant(a, world, at) + meant(b, world, at)
        case "mul", (a, b):
            return meant(a, world, at) * meant(b, world, at)
        case "sum", (name, range_, body):
            count = world.sizes[range_]
            return sum((meant(body, world, {**at, name: k}) for k in range(count)), Fraction(0))
    raise AssertionError(node.kind)


class Outside(Exception):
    """An entry or a label outside its array: the product is zero."""


def value_of(body: Poly, world: World, at: Mapping[Index, int]) -> Fraction:
    """A normal form, added up term by term."""
    return sum((_term(term, world, at) for term in body.terms), Fraction(0))


def _term(term: Term, world: World, at: Mapping[Index, int]) -> Fraction:
    result = Fraction(0)
    ranges = [range(index.size.evaluate(world.sizes)) for index in term.bound]
    for place in itertools.product(*ranges):
        here = {**at, **dict(zip(term.bound, place, strict=True))}
        product = term.coefficient
        try:
            for base, exponent in term.factors:
                product *= _atom(base, world, here) ** int(exponent)
        except Outside:
            continue
        result += product
    return result


def _position(entry: Affine, world: World, at: Mapping[Index, int]) -> int:
    result = entry.const.evaluate(world.sizes)
    for position, by in entry.terms:
        if isinstance(position, Label):
            row = _position(position.index[0], world, at)
            if not 0 <= row < len(world.labels):
                raise Outside
            part = world.labels[row]
        else:
            part = at[position]
        result += by.evaluate(world.sizes) * part
    return result


def _atom(base: Any, world: World, at: Mapping[Index, int]) -> Fraction:
    match base:
        case Access(tensor=tensor, index=index):
            place = tuple(_position(entry, world, at) for entry in index)
            if (tensor.name, place) not in world.entries:
                raise Outside
            return world.entry(tensor.name, place)
        case Symbol(name=name):
            return Fraction(world.sizes[name])
        case Size(dim=dim):
            return Fraction(dim.evaluate(world.sizes))
        case Number(value=value):
            return value
        case Position(value=value):
            return Fraction(_position(value, world, at))
        case Iverson(relation=relation, value=value):
            entry = _position(value, world, at)
            return Fraction(entry == 0 if relation == "eq" else entry >= 0)
        case Group(poly=poly):
            return value_of(poly, world, at)
    raise AssertionError(type(base).__name__)


# -- the facts ------------------------------------------------------------------------------

FREE = {"i": "N", "j": "D"}
WORLDS = [World.at({"N": n, "D": d}, 10 * n + d) for n, d in ((2, 3), (3, 2), (1, 1), (3, 3))]


def _scope() -> dict[str, Index]:
    return {name: Index(name, SIZES[range_]) for name, range_ in FREE.items()}


def _everywhere(world: World) -> list[dict[str, int]]:
    ranges = [range(world.sizes[range_]) for range_ in FREE.values()]
    return [dict(zip(FREE, place, strict=True)) for place in itertools.product(*ranges)]


def _same(node: Node, body: Poly) -> None:
    scope = _scope()
    for world in WORLDS:
        for at in _everywhere(world):
            found = value_of(body, world, {scope[n]: k for n, k in at.items()})
            assert found == meant(node, world, at), f"{body.key}\n{node}"


@PROFILE
@given(st.randoms(use_true_random=False))
def test_the_normal_form_has_the_value_of_the_expression(source: random.Random) -> None:
    node = Writer(source).tree(FREE, 4)
    _same(node, built(node, _scope()))


@PROFILE
@given(st.randoms(use_true_random=False))
def test_substituting_indices_moves_the_entry(source: random.Random) -> None:
    """``body[i -> j', j -> i']`` with names that the sums inside may use as well."""
    writer = Writer(source)
    node = writer.tree(FREE, 3)
    scope = _scope()
    row, column = Index("k", N), Index("i", D)  # i is also the name of what is replaced
    moved = built(node, scope).substitute(
        {scope["i"]: Affine.of(N - 1) - Affine.of(row), scope["j"]: Affine.of(column)}
    )
    for world in WORLDS:
        for at in _everywhere(world):
            rows = world.sizes["N"]
            found = value_of(moved, world, {row: rows - 1 - at["i"], column: at["j"]})
            assert found == meant(node, world, at)


def _shuffled(
    node: Node, source: random.Random, names: Mapping[str, str], fresh: list[int]
) -> Node:
    """The same expression with factors and terms swapped and every bound index renamed."""

    def renamed(place: Place) -> Place:
        coefficients, constant, row = place
        pairs = [(names.get(n, n), by) for n, by in coefficients]
        source.shuffle(pairs)
        return (tuple(pairs), constant, names.get(row, row) if row else "")

    match node.kind, node.parts:
        case ("add" | "mul") as kind, (a, b):
            parts = [_shuffled(a, source, names, fresh), _shuffled(b, source, names, fresh)]
            source.shuffle(parts)
            return Node(kind, tuple(parts))
        case "sum", (name, range_, body):
            fresh[0] += 1
            new = f"z{fresh[0]}"
            return Node("sum", (new, range_, _shuffled(body, source, {**names, name: new}, fresh)))
        case "entry", (name, places):
            return Node("entry", (name, tuple(map(renamed, places))))
        case ("delta" | "ge") as kind, (left, right):
            return Node(kind, (renamed(left), renamed(right)))
    return node


@PROFILE
@given(st.randoms(use_true_random=False))
def test_order_and_names_of_sums_do_not_matter(source: random.Random) -> None:
    node = Writer(source).tree(FREE, 3)
    body = built(node, _scope())
    other = built(_shuffled(node, source, {}, [0]), _scope())
    if not any(isinstance(a, Iverson) for t in body.terms for a, _ in t.factors):
        # With inequalities and unsolved deltas left, different texts may mean the same.
        assert body.key == other.key
    for world in WORLDS[:2]:
        for at in _everywhere(world):
            here = {_scope()[n]: k for n, k in at.items()}
            assert value_of(body, world, here) == value_of(other, world, here)


@PROFILE
@given(st.randoms(use_true_random=False))
def test_the_ring_laws_hold_in_normal_form(source: random.Random) -> None:
    writer = Writer(source)
    scope = _scope()
    a, b, c = (built(writer.tree(FREE, 2), scope) for _ in range(3))
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a - a == number(0)
    assert a.scaled(2) == a + a
    for world in WORLDS[:2]:
        for at in _everywhere(world):
            here = {scope[n]: k for n, k in at.items()}
            product = value_of(a * b, world, here)
            assert product == value_of(a, world, here) * value_of(b, world, here)
            assert product == value_of(b * a, world, here)


# -- by hand --------------------------------------------------------------------------------


def _delta(a: Affine | Index, b: Affine | Index) -> Poly:
    return atom(Iverson("eq", Affine.of(a) - Affine.of(b)))


def test_a_delta_on_a_summed_index_is_eliminated() -> None:
    i, k = Index("i", N), Index("k", N)
    assert (_delta(i, k) * access(TENSORS["A"], [k])).over([k]) == access(TENSORS["A"], [i])


def test_a_delta_keeps_the_range_of_the_index_that_it_removes() -> None:
    i, k = Index("i", N), Index("k", N)
    shifted = _delta(k, Affine.of(i) + 1).over([k])  # 1 unless i is the last
    assert shifted != number(1)
    world = WORLDS[0]
    assert [value_of(shifted, world, {i: n}) for n in range(2)] == [1, 0]


def test_a_sum_over_nothing_counts() -> None:
    k = Index("k", N)
    assert number(3).over([k]) == size(N).scaled(3)


def test_sums_of_two_factors_do_not_capture_each_other() -> None:
    k = Index("k", N)
    total = access(TENSORS["A"], [k]).over([k])
    (squared,) = (total * total).terms
    assert len(squared.bound) == 2


def test_a_bound_name_does_not_capture_a_free_one() -> None:
    """``A[k] * sum(A[k], over=[k])`` where the free k only looks like the bound one."""
    k = Index("$0", N)  # the name that normal forms give to their first sum
    total = access(TENSORS["A"], [Index("x", N)]).over([Index("x", N)])
    body = access(TENSORS["A"], [k]) * total
    world = WORLDS[1]
    values = [world.entry("A", (n,)) for n in range(3)]
    assert [value_of(body, world, {k: n}) for n in range(3)] == [v * sum(values) for v in values]


def test_like_terms_are_collected_over_renamed_sums() -> None:
    a, b = Index("a", D), Index("b", D)
    i = Index("i", N)
    one = access(TENSORS["B"], [i, a]).over([a])
    two = access(TENSORS["B"], [i, b]).over([b])
    assert one + two == one.scaled(2)


@pytest.mark.parametrize("relation", ["eq", "ge"])
def test_a_factor_that_is_decided_is_gone(relation: str) -> None:
    i = Index("i", N)
    always = Iverson("ge", Affine.of(i))
    never = Iverson("eq", Affine.of(i) + 1)
    assert atom(always if relation == "ge" else Iverson("eq", Affine.of(0))) == number(1)
    assert atom(never if relation == "eq" else Iverson("ge", Affine.of(-1) - i)) == number(0)
