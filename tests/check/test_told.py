"""Numbers tell of complex steps, and of steps along the real axis where no array has a name."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np
import pytest

from gradtool.check.nodes import nodes_of, telling
from gradtool.check.told import Enough, Told, may_move, may_subtract, told

X = np.array([[1.25, -0.5, 3.0], [0.125, 2.0, -4.0]])
E = np.zeros(X.shape)
E[1, 2] = 1.0


def noted(function: Callable[[np.ndarray, np.ndarray], object]) -> float:
    arrays, _ = told({"X": X, "W": X.T.copy()})
    function(arrays["X"], arrays["W"])
    return Told.step()


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x, w: ((x + 1e-20j * E) @ w).imag, 1e-20),
        (lambda x, w: np.imag((x - E * 1e-8j) @ w), 1e-8),
        (lambda x, w: (1j * E + x) @ w, 1.0),
        (lambda x, w: (x * w.T + 1e-30j * E).sum(), 1e-30),
        (lambda x, w: (1 / (1 + np.exp((-x - 1e-30j).astype(complex)))).imag / 1e-30, 1e-30),
        (lambda x, w: np.exp(x.astype(float)) + x + 1e-9j * E, 1e-9),
    ],
)
def test_nameless_steps(function: Callable[..., object], size: float) -> None:
    assert noted(function) == size


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x @ w,
        lambda x, w: np.exp(x) / (1 + np.exp(-x)) - np.maximum(x, 0) ** 2,
        lambda x, w: np.einsum("nd,dc->nc", x, w),
        lambda x, w: x + 0j,
        lambda x, w: 1 / (x + 2j),
        lambda x, w: x[:1] + 1j * x[1:],
        lambda x, w: x + (1j * x) * 2,
        lambda x, w: x * np.exp(-2j * np.pi * np.arange(3) / 3),
        lambda x, w: np.fft.fft(x.astype(float)),
        lambda x, w: (x > 0) * w.T,
    ],
)
def test_honest_complex_numbers_without_names(function: Callable[..., object]) -> None:
    assert noted(function) == 0.0


def test_it_computes_as_numbers_do() -> None:
    def function(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        y = np.tanh(x) @ w - 2.0 / (1 + x[:, :1] ** 2) + abs(x).sum() - np.mean(x, axis=0)[:2]
        found: np.ndarray = np.where(y > 1, y, -y) % 3
        return found

    arrays, _ = told({"X": X, "W": X.T.copy()})
    found = function(arrays["X"], arrays["W"]).astype(float)
    np.testing.assert_allclose(found, function(X, X.T.copy()), rtol=1e-14)


@pytest.mark.parametrize(
    ("text", "moves", "subtracts"),
    [
        ("E = np.eye(n)", True, False),
        ("E = identity(3)", True, False),
        ("dX = dY @ W.T\ndb = dY.sum(axis=0)", False, False),
        ("for n in range(len(X)): dX[n] = W @ dY[n]", True, False),
        ("for i in range(3): dX[i] = (f(X + e[i]) - f(X)) / h", True, True),
        ("dX = [np.subtract(g(e), g(0)) for e in E]", True, True),
        ("dX = list(g(e) + -y for e in E)", True, True),
        ("while True: y -= f(X)", True, True),
        ("dX = dS - S * dS.sum(axis=1)", False, True),
    ],
)
def test_a_text_that_could_move_numbers_and_subtract(
    text: str, moves: bool, subtracts: bool
) -> None:
    nodes = nodes_of(ast.parse(text))
    kinds, names = frozenset(map(type, nodes)), telling(nodes)
    assert (may_move(kinds, names), may_subtract(kinds, names)) == (moves, subtracts)


def moved(function: Callable[[np.ndarray, np.ndarray], object]) -> float:
    """What is told of steps by a backward pass behind ``X @ W``."""
    arrays, entries = told({"X": X, "W": X.T.copy()})
    given = arrays["X"], arrays["W"]
    assert (given[0] @ given[1]).shape == (2, 2)
    forward = Told.time
    function(*given)
    return Told.moved(entries, forward)


class Holder:
    pass


def in_place(x: np.ndarray, w: np.ndarray) -> None:
    kept = Holder()
    kept.value = x.copy()  # type: ignore[attr-defined]
    for place in np.ndindex(x.shape):
        kept.value[place] += 1e-5  # type: ignore[attr-defined]
        assert kept.value @ w is not None  # type: ignore[attr-defined]
        kept.value[place] = x[place]  # type: ignore[attr-defined]


def of_steps_of_their_own(x: np.ndarray, w: np.ndarray) -> None:
    for place in np.ndindex(x.shape):
        y = x.copy()
        y[place] = y[place] - 1e-5 * (1 + abs(float(x[place])))
        assert y @ w is not None


def in_a_list(x: np.ndarray, w: np.ndarray) -> None:
    rows = x.tolist()
    for row in rows:
        for k, value in enumerate(row):
            row[k] = 0.5 + value
            assert np.array(rows) @ w is not None
            row[k] = value


def without_a_name(x: np.ndarray, w: np.ndarray) -> None:
    for e in np.eye(x.size).reshape(-1, *x.shape):
        assert (x + 2 * e) @ w is not None


def all_at_once(x: np.ndarray, w: np.ndarray) -> None:
    assert (x + np.eye(x.size).reshape(-1, *x.shape)) @ w is not None


def along_random_directions(x: np.ndarray, w: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for _ in range(x.size):
        q = rng.uniform(-1, 1, x.shape)
        assert (x + 3 * q / abs(q).max()) @ w is not None


def along_signs(x: np.ndarray, w: np.ndarray) -> None:
    for k in range(x.size):
        signs = np.where(np.arange(x.size) <= k, 0.5, -0.5).reshape(x.shape)
        assert (x - signs) @ w is not None


def with_a_guard(x: np.ndarray, w: np.ndarray) -> None:
    for place in np.ndindex(x.shape):
        y = x.copy()
        y[place] = y[place] + 1e-5
        assert np.sqrt(y + 10.0) @ (w + 10.0) is not None


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (in_place, 1e-5),
        (of_steps_of_their_own, 5e-5),
        (in_a_list, 0.5),
        (without_a_name, 2.0),
        (all_at_once, 1.0),
        (with_a_guard, 1e-5),
        (along_random_directions, 3.0),
        (along_signs, 0.5),
    ],
)
def test_steps_along_the_real_axis(function: Callable[..., object], size: float) -> None:
    assert moved(function) == pytest.approx(size)


def guarded(x: np.ndarray, w: np.ndarray) -> None:
    for _ in range(20):
        assert np.log(x + 1e-8) @ (w - 0.5) is not None


def with_positions(x: np.ndarray, w: np.ndarray) -> None:
    """Other constants for each entry, and the same ones wherever they are added."""
    for _ in range(20):
        assert (x + np.sin(np.arange(x.size)).reshape(x.shape)) @ w is not None


def to_centers(x: np.ndarray, w: np.ndarray) -> None:
    """Other constants each time, and little is done with each."""
    for center in np.linspace(-1, 1, 30):
        assert np.sum(x - center, axis=0) is not None


def in_loops(x: np.ndarray, w: np.ndarray) -> None:
    for n in range(x.shape[0]):
        for c in range(w.shape[1]):
            total = 1e-8
            for d in range(x.shape[1]):
                total += (x[n, d] + 1.0) * (w[d, c] - 1.0)


def margins(x: np.ndarray, w: np.ndarray) -> None:
    for place in np.ndindex(x.shape):
        assert np.maximum(0, x[place] + 1.0 - x) is not None


def a_jacobian(x: np.ndarray, w: np.ndarray) -> None:
    p = x.ravel()
    for k, e in enumerate(np.eye(p.size)):
        assert p[k] * (e - p) @ np.ones((p.size, 30)) is not None
    assert np.diag(p) - np.outer(p, p) is not None


def labels(x: np.ndarray, w: np.ndarray) -> None:
    for row, label in enumerate((2, 0)):
        y = x.copy()
        y[row, label] -= 1
        assert y @ w is not None


def a_mask(x: np.ndarray, w: np.ndarray) -> None:
    for place in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[place] = 1.0
        assert (x * e) @ w is not None


@pytest.mark.parametrize(
    "function",
    [guarded, with_positions, to_centers, in_loops, margins, a_jacobian, labels, a_mask],
    ids=lambda f: f.__name__,
)
def test_honest_constants(function: Callable[..., object]) -> None:
    assert moved(function) == 0.0


def test_what_goes_on_and_on_is_ended_and_tells_all_the_same() -> None:
    def endless(x: np.ndarray, w: np.ndarray) -> None:
        while True:
            in_place(x, w)

    arrays, entries = told({"X": X, "W": X.T.copy()})
    with pytest.raises(Enough):
        endless(arrays["X"], arrays["W"])
    assert Told.moved(entries, 20) == pytest.approx(1e-5)


def test_numbers_beside_arrays() -> None:
    arrays, _ = told({"X": X})
    first = arrays["X"][0, 0]
    for found, expected in (
        (first - X, X[0, 0] - X),
        (first * X, X[0, 0] * X),
        (X / first, X / X[0, 0]),
        (np.float64(3.0) - first, 1.75),
    ):
        np.testing.assert_allclose(np.asarray(found, float), expected)


def around(function: Callable[[np.ndarray, np.ndarray], object]) -> float:
    arrays, entries = told({"X": X, "W": X.T.copy()})
    function(arrays["X"], arrays["W"])
    return Told.around(entries)


H = np.array([1, 2, 3, 4, 5]) / 16
CIRCLE = np.exp(2j * np.pi * np.arange(8) / 8) / 2


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x, w: sum(np.tanh(x + h) - np.tanh(x - h) for h in H), H[-1]),
        (lambda x, w: sum(1 / (1 + np.exp(-x - h)) - 1 / (1 + np.exp(-x + h)) for h in H), H[-1]),
        (lambda x, w: [np.exp(-(h - x)) - np.exp((2 * x + 2 * h) / 2) for h in H], H[-1]),
        (lambda x, w: np.tanh(x[..., None] + np.concatenate([H, -H])), H[-1]),
        (lambda x, w: sum(1 / (1 + np.exp(-(x + z))) / z for z in CIRCLE), 0.5),
        (lambda x, w: np.exp(x[..., None] + CIRCLE) * CIRCLE, 0.5),
        (lambda x, w: [np.exp(x + 1j * h) / h for h in H], H[-1]),
    ],
)
def test_a_function_at_many_points_around(function: Callable[..., object], size: float) -> None:
    assert around(function) == pytest.approx(size, rel=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: np.tanh(x) * (1 - np.tanh(x) ** 2) + 1 / (x + 1e-8) - (x - 3) * (x + 3),
        lambda x, w: sum(1 / (x + k) for k in range(1, 9)),  # of a digamma function
        lambda x, w: [x[k] - w[0, 0] for k in range(2)] + [x - row for row in w.T],
        lambda x, w: [(x + h) - (x[0] - h) for h in H],  # some of the entries
        lambda x, w: ((x - 0.5) * x + 2) * x - np.sqrt(x * x + 3) + 1 / (1 + 0.3 * abs(x)),
        lambda x, w: [np.exp(2j * np.pi * h) * x + (x + 1j) / (x - 1j) for h in H],
        lambda x, w: [np.tanh(x + h) - np.tanh(x - h) for h in H[:3]],  # to few digits
    ],
)
def test_what_adds_few_constants(function: Callable[..., object]) -> None:
    assert around(function) == 0.0


def test_complex_numbers_that_were_computed_are_no_constants() -> None:
    def function(x: np.ndarray, w: np.ndarray) -> list[complex]:
        z = np.exp(1j * x) / (1 + 2j * x) - np.sqrt(-(2j * x))
        return [complex(v) for v in (x + z).ravel()]

    arrays, _ = told({"X": X, "W": X.T.copy()})
    np.testing.assert_allclose(function(arrays["X"], arrays["W"]), function(X, X), rtol=1e-14)
    assert not Told.steps
