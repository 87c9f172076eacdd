"""Steps into the complex plane are seen, and no honest use of complex numbers is one."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from gradtool.check.complex_steps import Stepped, _within, may_step
from gradtool.check.nodes import nodes_of

X = np.array([[1.25, -0.5, 3.0], [0.125, 2.0, -4.0]])
E = np.zeros(X.shape)
E[1, 2] = 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dX = dY @ W.T", False),
        ("import numpy as np\ng = np.einsum('nd,nc->dc', X, dY).astype('float64')", False),
        ("z = 1e-20j", True),
        ("z = complex(x, h)", True),
        ("z = X.astype('complex128')", True),
        ("z = np.array(X, 'D')", True),
        ("z = np.array(X, dtype='<c16')", True),
        ("g = z.imag", True),
        ("f = getattr(np, name)", True),
        ("from helper import slope", True),
        ("from numpy import *", True),
        ("exec(text)", True),
        ("z = X.astype('cdouble')", True),
        ("z = X.astype('c' + '16')", True),
        ("z = X.astype('FDG'[1])", True),
        ("z = (-1) ** 0.5", True),
        ("z **= p", True),
        ("z = pow(-1, p)", True),
        ("z = np.polynomial.polynomial.polyroots(p)", True),
        ("z = np.sort_complex(X)", True),
        ("from numpy import iscomplexobj", True),
        ("z = X.astype(np.ScalarType[2])", True),
        ("C = np.dtypes.Complex128DType", True),
        ("v = X ** 2 + X ** -3\nv **= 2", False),
        ("g = {'dX': np.einsum('nc,dc->nd', dY, W)}", False),
        ('"""The gradients of D features."""', False),
    ],
)
def test_a_text_without_a_complex_word_has_no_complex_numbers(text: str, expected: bool) -> None:
    assert may_step(nodes_of(ast.parse(text))) is expected


def seen(function: Callable[[], object]) -> float:
    """The step that `Stepped` sees in the frame of a function as it returns."""
    stepped = Stepped({"X": X})

    def watch(frame: object, event: str, _: object) -> None:
        if event == "return" and getattr(frame, "f_code", None) is function.__code__:
            stepped.look(frame)  # type: ignore[arg-type]

    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(None)
    return stepped.size


def one_entry() -> None:
    z = X + 1e-20j * E
    del z
    z = X.astype(complex)
    z[0, 1] += 1e-8j


def in_a_list() -> None:
    held = {"values": [X + 0j, (X - 1e-12j * E,)]}
    assert held


def every_entry() -> None:
    z = X + 1e-20j
    assert z.shape == X.shape


def large_at_one() -> None:
    z = X + 1j * E
    assert z.shape == X.shape


def of_a_value_of_the_forward_pass() -> None:
    h = np.tanh(X)
    z = h + 1e-20j * E
    assert z.shape == h.shape


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (one_entry, 1e-8),
        (in_a_list, 1e-12),
        (every_entry, 1e-20),
        (large_at_one, 1.0),
        (of_a_value_of_the_forward_pass, 1e-20),
    ],
)
def test_named_steps(function: Callable[[], object], size: float) -> None:
    assert seen(function) == size


def beside_much_else() -> None:
    table = [[[0.0] * 200 for _ in range(200)] for _ in range(200)]
    ring: list[object] = []
    ring += [ring] * 300
    z = X + 1e-8j * E
    assert len(table) < len(ring) + z.size


def test_of_a_large_structure_not_all_is_looked_at() -> None:
    looked_at = list(_within(({0: [[0.0] * 200] * 200}, [[X]])))
    assert [one is X for one in looked_at] == [True]
    assert seen(beside_much_else) == 1e-8


def real_as_complex() -> None:
    z = X + 0j
    assert z.shape == X.shape


def fourier() -> None:
    z = np.fft.fft(X, axis=1)
    back = np.fft.ifft(z, axis=1)  # real but for rounding, of the size of a step
    assert z.shape == back.shape


def pairs() -> None:
    z = X[:1] + 1j * X[1:]
    first = complex(X[0, 0], X[1, 0])
    assert z.size == 3
    assert first


def turned() -> None:
    z = X * np.exp(1e-9j)
    assert z.shape == X.shape


@pytest.mark.parametrize("function", [real_as_complex, fourier, pairs, turned])
def test_honest_complex_numbers_that_have_names(function: Callable[[], object]) -> None:
    assert seen(function) == 0.0


def moves(function: Callable[[np.ndarray], object], given: np.ndarray = X) -> float:
    """What is seen of steps along the real axis while a function runs on a given array."""
    stepped = Stepped({"X": given})

    def watch(frame: object, event: str, _: object) -> None:
        if event in ("c_call", "call", "return") and getattr(frame, "f_code", None) in (
            function.__code__,
            inner.__code__,
        ):
            stepped.look(frame)  # type: ignore[arg-type]

    sys.setprofile(watch)
    try:
        function(given.copy())
    finally:
        sys.setprofile(None)
    return stepped.entry_by_entry


def inner(x: np.ndarray) -> float:
    return float(x.sum())


def centered(x: np.ndarray, h: object = 1e-6) -> None:
    for place in np.ndindex(x.shape):
        old = x[place]
        x[place] = old + h
        up = inner(x)
        x[place] = old - h
        assert inner(x) != up
        x[place] = old


def of_copies(x: np.ndarray) -> None:
    for k in range(x.size):
        moved = x.astype(np.longdouble)
        moved.flat[k] += np.longdouble(1.0)
        inner(moved)


def of_fractions(x: np.ndarray) -> None:
    centered(np.vectorize(Fraction, otypes=[object])(x), Fraction(1, 3))


def along_a_basis(x: np.ndarray) -> None:
    for k in range(x.size):
        inner(x + np.eye(x.size)[k].reshape(x.shape))


def for_each_label(p: np.ndarray) -> None:
    for row, label in enumerate((2, 0)):
        q = p.copy()
        q[row, label] -= 1
        inner(q)


def one_left_out(x: np.ndarray, without: float = 0.0) -> None:
    for k in range(x.size):
        others = x.copy()
        others.flat[k] = without
        inner(others)


def left_out_of_a_product(x: np.ndarray) -> None:
    one_left_out(x, without=1.0)


def doubled(x: np.ndarray) -> None:
    for k in range(x.size):
        more = x.copy()
        more.flat[k] *= 2
        inner(more)


class Refusing:
    def __float__(self) -> float:
        raise NotImplementedError


def of_own_numbers(x: np.ndarray) -> None:
    own = np.full(x.shape, Refusing())
    assert inner(x) != own.size


def filled(x: np.ndarray) -> None:
    for k in range(x.size):
        x.flat[k] = np.tanh(x.flat[k])
        inner(x)


def cut_off_one_by_one(x: np.ndarray) -> None:
    """Each entry of two is moved alone, one by a lower bound and one by an upper one."""
    low = np.maximum(x, 0.0)
    high = np.minimum(x, 1.0)
    inner(low * high)


@pytest.mark.parametrize("function", [centered, of_copies, of_fractions, along_a_basis])
def test_entries_that_are_moved_one_by_one_are_seen(function: Callable[..., object]) -> None:
    assert any(moves(function) == pytest.approx(step, rel=1e-6) for step in (1e-6, 1.0, 1 / 3))


def test_a_step_as_large_as_the_entry_is_seen() -> None:
    assert moves(doubled) == np.max(np.abs(X))


@pytest.mark.parametrize(
    "function", [for_each_label, one_left_out, left_out_of_a_product, filled, of_own_numbers]
)
def test_an_entry_that_is_changed_is_no_step(function: Callable[..., object]) -> None:
    assert moves(function) == 0.0


def test_of_two_entries_each_may_be_beyond_another_bound() -> None:
    assert moves(cut_off_one_by_one, np.array([-0.5, 3.0])) == 0.0
