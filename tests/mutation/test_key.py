"""The key calls a change what it is, and does not call it what is only near it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.mutation.mutate import mutants

_CODE = """
def backward(dout, cache):
    x, z, a, w, y, std, n, hs, on = cache
    left, right = hs, z
    off = left - right
    N, D = x.shape
    M = a.size
    every = np.zeros(D)
    da = dout @ w.T
    dz = da * (z > 0)
    dz = dz / N
    t = dz * std ** -2
    b = dz.sum(0)
    c = dz[np.arange(N), y - 1]
    s = np.where(z > 0.5, dz, 0)
    r = 1 - a ** 2
    e = np.zeros_like(x)
    for i in range(N):
        p = i * 2
        e[i] += hs[i - 1]
    e[z < 0] *= 0.1
    k = np.cumsum(std)
    f = np.einsum('nd,nd->d', dz, a)
    live = dz * (1 - on)
    bound = 3 - a
    twice = dz * 5
    part = slice(7, N)
    g = off.T @ a
    root = dz / np.sqrt(M)
    for each in (dz, da):
        every += each.sum(0)
    near = x[y[0]:y[0] + 2]
    e[i] = left[i]
    dx = dz * n
    return dx, b
"""
_CHANGES = {
    # change: (right, not right)
    "z > 0 -> z < 0": ("mask", "sign"),
    "0.5 -> 1.5": ("mask", "scale constant"),
    "da * (z > 0) -> da": ("mask-missing missing-factor wrong-gradient", "scale sign power"),
    "dz / N -> dz": ("sum-for-mean scale missing-factor", "power inverted-factor mask"),
    "dz / N -> dz * N": ("inverted-factor scale", "missing-factor sign"),
    "N -> D": ("wrong-axis scale", "sum-for-mean sign"),
    "-2 -> 2": ("power inverted-factor", "sign scale"),
    "2 -> 1": ("power missing-factor", "scale constant extra-factor"),
    "2 -> 3": ("power extra-factor", "scale constant missing-factor"),
    "dz.sum(0) -> dz.sum()": ("extra-sum", "missing-sum scale"),
    "dz.sum(0) -> dz.mean(0)": ("mean-for-sum", "sum-for-mean missing-sum"),
    "dz.sum(0) -> dz": ("missing-sum", "extra-sum"),
    "0 -> 1": ("wrong-axis", "scale constant"),
    "y - 1 -> y": ("label-shift", "missing-term sign"),
    "np.where(z > 0.5, dz, 0) -> dz": ("mask-missing", "scale zero"),
    "1 - a ** 2 -> 1 + a ** 2": ("sign", "missing-term operator"),
    "1 - a ** 2 -> 1": ("missing-term", "sign mask"),
    "i * 2 -> i": ("stride-ignored", "missing-factor scale"),
    "i - 1 -> i": ("offset", "missing-term sign"),
    "np.zeros_like(x) -> x": ("accumulated", "wrong-function zero"),
    "e[z < 0] *= 0.1 -> nothing": ("mask", "scale"),
    "'nd,nd->d' -> 'dn,nd->d'": ("transposed", "missing-sum"),
    "range(N) -> range(N - 1)": ("skipped", "missing-path"),
    "w.T -> w": ("transposed", "wrong-tensor"),
    "dz -> da": ("missing-factor mask-missing wrong-gradient", "extra-factor sign"),
    "da -> dx": ("wrong-gradient", "missing-term sign"),
    "dz * n -> n": ("upstream-ignored missing-factor", "scale"),
    "(dx, b) -> (b, dx)": ("order wrong-gradient", "transposed wrong-tensor wrong-point"),
    "(hs, z) -> (z, hs)": ("sign wrong-tensor", "order inverted-factor"),
    "1 - on -> 1": ("mask mask-missing missing-factor", "scale sign"),
    "np.cumsum(std) -> std": ("missing-sum missing-path", "mask sign"),
    "dz / np.sqrt(M) -> dz": ("scale missing-factor", "sum-for-mean mean-for-sum"),
    "every += each.sum(0) -> Assign": ("overwritten missing-path", "sign"),
    "e[i] += hs[i - 1] -> Assign": ("overwritten", "missing-path sign"),
    "y[0] + 2 -> y[0]": ("offset skipped", "label-shift missing-term"),
    "3 -> 4": ("constant", "scale regulariser mean-for-sum sum-for-mean"),
    "5 -> 6": ("constant scale regulariser", "mean-for-sum sum-for-mean"),
    "7 -> 8": ("offset skipped", "scale constant"),
    "n -> dz": ("wrong-gradient wrong-tensor missing-factor", "wrong-point"),
    "dz * 5 -> dz": ("scale missing-factor wrong-gradient", "wrong-tensor wrong-point"),
    "a -> x": ("wrong-tensor", "wrong-gradient upstream-ignored"),
    "off -> x": ("wrong-tensor", "wrong-gradient wrong-point"),
    "e -> dx": ("zero missing-path accumulated", "upstream-ignored wrong-point"),
}


@pytest.fixture(scope="module")
def found() -> dict[str, frozenset[str]]:
    rng = np.random.default_rng(0)
    N, D, M = 3, 4, 5
    x, z, a, n = (rng.standard_normal((N, D)) for _ in range(4))
    whole = np.array([1, 3, 2])
    on = np.array([[1.0, 0, 1, 1]])
    cache = (x, z, a, rng.standard_normal((D, M)), whole, 0.5 + a * a, n, x + 1, on)
    space: dict[str, object] = {"np": np}
    lines = _CODE.replace("return dx, b", "return locals()")
    exec(lines, space)
    values = space["backward"](rng.standard_normal((N, M)), cache)  # type: ignore[operator]
    told: dict[str, frozenset[str]] = {}
    for mutant in mutants("made", _CODE, values):
        change = f"{mutant.before} -> {mutant.after}"
        told.setdefault(change, mutant.accepted)
    return told


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_is_called_what_it_is(change: str, found: dict[str, frozenset[str]]) -> None:
    right, wrong = (set(words.split()) for words in _CHANGES[change])
    assert right <= found[change]
    assert not wrong & found[change]
