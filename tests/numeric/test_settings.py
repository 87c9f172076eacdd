"""Every setting of a layer is one at which its gradient is its forward's, other constants too."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.numeric.reference import reference_for
from gradtool.numeric.settings import Setting
from gradtool.spec.load import load_text
from tests.layers import bundled

WINDOWS = """
layer: windows_of_three
inputs:
  X: [N, T]
constants:
  stride: 2
sizes:
  N: '>=5'
  T: '>=15'
forward: |
  Y[n, i] = sum(X[n, stride*i + k]**2, over=[k < 3])
"""
NAMES = ("affine", "conv2d", "max_pool2d", "batch_norm", "svm_hinge", "group_norm", "determinant")
_STEP = 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_forward_at_every_setting(name: str) -> None:
    reference = bundled(name)
    assert len(reference.settings()) == len({str(s) for s in reference.settings()})
    for setting in reference.settings():
        given = {**setting.sizes, **setting.constants}
        rng = np.random.default_rng(1)
        values = reference.sample(given, rng)
        (output,) = reference.outputs
        shape = reference.forward(values, given)[output].shape
        upstream = {output: np.asarray(rng.standard_normal(shape))}
        gradients = reference.evaluate(values, upstream, given)[1]
        ways = {n: rng.standard_normal(g.shape) for n, g in gradients.items()}

        def projected(sign: float) -> float:
            moved = {**values, **{n: values[n] + sign * _STEP * w for n, w in ways.items()}}  # noqa: B023
            return float(np.vdot(upstream[output], reference.forward(moved, given)[output]))  # noqa: B023

        slope = (projected(1) - projected(-1)) / (2 * _STEP)
        claimed = sum(float(np.vdot(g, ways[n])) for n, g in gradients.items())
        size = float(np.sqrt(sum(np.vdot(g, g) for g in gradients.values())))
        assert abs(slope - claimed) <= 1e-5 * size + 1e-7, setting


def varied(settings: tuple[Setting, ...]) -> set[str]:
    return {s.varies for s in settings}


def test_what_is_varied() -> None:
    assert {
        "distinct sizes",
        "equal sizes",
        "every size is 1",
        "N is 1",
        "all sizes 6 times larger",
        "N is 1000",
        "D is 1000",
        "C is 1000",
    } <= varied(bundled("affine").settings())
    assert {"stride is 1", "stride is 3", "size is 3"} <= varied(bundled("max_pool2d").settings())
    assert {"another eps"} <= varied(bundled("batch_norm").settings())


def test_the_work_stays_small_where_it_grows_with_a_cube() -> None:
    for name in NAMES:
        for setting in bundled(name).settings():
            assert setting.work <= 120_000, (name, setting)


def test_a_padding_of_nothing_is_beyond_and_a_stride_or_a_size_of_nothing_is_no_setting() -> None:
    beyond = [s for s in bundled("conv2d").settings() if s.beyond]
    assert [(s.varies, dict(s.constants)) for s in beyond] == [("pad is 0", {"pad": 0})]
    assert not any(
        s.beyond for name in ("max_pool2d", "batch_norm") for s in bundled(name).settings()
    )


def test_windows_of_different_sizes_are_several_where_the_work_is_small() -> None:
    small = [s.sizes for s in bundled("conv2d").settings() if s.work < 2000]
    assert any(
        s["R"] > 2 and (s["H"] + 2 - s["R"]) // 2 + 1 > 2 and (s["W"] + 2 - s["S"]) // 2 + 1 > 2
        for s in small
    )


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d"])
def test_windows_fit_somewhere_with_more_than_one_along_every_axis(name: str) -> None:
    reference = bundled(name)
    fitting = [s for s in reference.settings() if not s.uneven and not s.constants]
    (output,) = reference.output_shapes.values()
    whole = {n: v for n, v in reference.constants.items() if isinstance(v, int)}
    counts = [[dim.evaluate({**whole, **s.sizes}) for dim in output[2:]] for s in fitting]
    assert max(map(min, counts)) > 1


NEVER_FITS = """
layer: windows_of_three
inputs:
  X: [N, 2*T]
constants:
  stride: 2
sizes:
  T: '>=2'
forward: |
  Y[n, i] = sum(X[n, stride*i + k]**2, over=[k < 3])
"""


def test_where_windows_fit_no_size_no_setting_is_excused() -> None:
    """An even number of entries less three is no multiple of two."""
    reference = reference_for(load_text(NEVER_FITS, "windows.yaml"))
    own = [s for s in reference.settings() if not s.constants]
    assert len(own) > 3
    assert not any(s.uneven for s in own)
    fits_some = NEVER_FITS.replace("2*T", "T").replace(">=2", ">=4")
    some = reference_for(load_text(fits_some, "windows.yaml")).settings()
    assert {s.uneven for s in some if not s.constants} == {True, False}


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "max_pool2d", "avg_pool2d"])
def test_at_some_sizes_that_windows_fit_nothing_can_stand_for_a_constant(name: str) -> None:
    """Neither a size nor a number of windows is the stride, say, and there are several of them."""
    reference = bundled(name)
    (output,) = reference.outputs
    constants = {value for value in reference.constants.values() if value > 1}
    apart = []
    for setting in reference.settings():
        values = reference.sample(setting.sizes, np.random.default_rng(1))
        given = {**setting.sizes, **reference.constants}
        windows = reference.forward(values, given)[output].shape[2:]
        others = constants.isdisjoint({*setting.sizes.values(), *windows})
        apart += [not setting.uneven and not setting.constants and others and min(windows) > 2]
    assert any(apart)


def test_sizes_with_a_large_minimum_are_kept_apart_from_constants_too() -> None:
    spec = load_text(WINDOWS, "windows.yaml")
    settings = [s for s in reference_for(spec).settings() if not (s.uneven or s.constants)]
    windows = [((s.sizes["T"] - 3) // 2 + 1, s) for s in settings]
    assert any(count > 2 and s.sizes["N"] != 2 and s.sizes["N"] >= 5 for count, s in windows)
    assert all(s.sizes["T"] >= 15 for s in settings)
