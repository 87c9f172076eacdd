"""A shake moves every real number by one unit, up or down by chance, always the same way."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.numeric.shake import Shake

EPS = 2.0**-40


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (64, 33)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.longdouble])
def test_every_entry_moves_by_one_unit(shape: tuple[int, ...], dtype: type) -> None:
    value: np.ndarray = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype=dtype)
    kept = value.copy()
    moved = np.asarray(Shake(3, EPS).moving()(value))
    assert moved.shape == shape
    assert np.array_equal(value, kept)
    share = np.abs(moved.astype(np.longdouble) / value - 1)
    assert np.all(np.abs(share - EPS) < 4 * np.finfo(np.float64).eps)


def test_what_is_no_array_of_reals_stays() -> None:
    move = Shake(0, EPS).moving()
    labels, truths = np.arange(4), np.array([True, False])
    assert move(labels) is labels
    assert move(truths) is truths
    assert move(2.5) == 2.5
    assert move(None) is None


def test_equal_shakes_move_equally_and_others_otherwise() -> None:
    ones = np.ones((40, 50))

    def ups(number: int) -> list[np.ndarray]:
        move = Shake(number, EPS).moving()
        return [np.asarray(move(ones) > 1) for _ in range(3)]

    arrays = [*ups(7), *ups(8)]
    assert all(np.array_equal(a, b) for a, b in zip(ups(7), arrays[:3], strict=True))
    # A fair coin: 2,000 of them are within five standard deviations of a half, pairs agree by half.
    for k, one in enumerate(arrays):
        assert abs(one.mean() - 0.5) < 5 * 0.5 / np.sqrt(one.size)
        for other in arrays[k + 1 :]:
            assert abs((one == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(one.size)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_side_is_the_same_for_every_entry(side: int) -> None:
    value = np.array([[1.5, -2.0], [0.0, 1e-300]])
    moved = np.asarray(Shake(0, EPS, side=side).moving()(value))
    assert np.array_equal(moved, value * (1 + side * EPS))
    assert np.array_equal(np.sign(np.abs(moved) - np.abs(value)), side * np.sign(np.abs(value)))
