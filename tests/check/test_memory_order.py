"""Transposed data have the same values: code that gives other numbers for them is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.evaluate import fresh
from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on

RELU = """
import numpy as np
def relu_forward(Z): return np.maximum(Z, 0), Z
def relu_backward(dA, Z):
    {body}
"""


def checked(folder: Path, body: str) -> Verdict:
    return verdict_on(bundled("relu"), folder, RELU.format(body=body))


@pytest.mark.parametrize(
    "body",
    [
        "dZ = dA; dZ.reshape(-1)[Z.reshape(-1) <= 0] = 0; return dZ",
        "dZ = np.zeros_like(dA); dZ.ravel()[:] = (dA * (Z > 0)).ravel(); return dZ",
        "at = np.lib.stride_tricks.as_strided; s = 8 * Z.shape[1], 8; "
        "return at(dA, Z.shape, s) * (Z > 0)",
    ],
)
def test_code_for_one_order_in_memory_is_wrong(tmp_path: Path, body: str) -> None:
    gradient = checked(tmp_path, body).gradients[0]
    assert gradient.standing == "wrong"
    assert gradient.message.startswith("right for arrays in C order only: wrong where dA is")


@pytest.mark.parametrize(
    "body",
    [
        "return dA * (Z > 0)",
        "dZ = dA.copy(); dZ[Z <= 0] = 0; return dZ",
        "return (dA.reshape(-1) * (Z.ravel() > 0)).reshape(Z.shape)",
        "dZ = np.zeros(Z.shape); dZ.reshape(-1)[:] = (dA * (Z > 0)).ravel(); return dZ",
        "dZ = dA.copy(); dZ.flat[np.flatnonzero(Z <= 0)] = 0; return dZ",
    ],
)
def test_code_for_either_order_is_right(tmp_path: Path, body: str) -> None:
    verdict = checked(tmp_path, body)
    assert (verdict.verdict, verdict.conduct) == ("pass", ())


def test_data_in_another_order_may_be_left_to_who_calls(tmp_path: Path) -> None:
    text = "d = np.zeros_like(Z); d.ravel()[:] = (dA * (Z > 0)).ravel(); return d"
    verdict = checked(tmp_path, text)
    assert verdict.verdict == "pass"
    assert [r.code for r in verdict.conduct] == ["order"]
    assert "wrong where Z is" in verdict.conduct[0].message


def test_an_exception_is_told(tmp_path: Path) -> None:
    verdict = checked(
        tmp_path,
        "dZ = dA.copy('K'); dZ.shape = (-1,); return (dZ * (Z.ravel() > 0)).reshape(Z.shape)",
    )
    assert verdict.verdict == "pass"
    assert [r.code for r in verdict.conduct] == ["order"]


def test_a_turned_array_has_the_same_values_and_is_no_part_of_what_was_sent() -> None:
    for shape in ((3, 4), (1, 5), (2, 3, 4)):
        array = np.arange(float(np.prod(shape))).reshape(shape)
        given = fresh(array, turned=True)
        assert np.array_equal(given, array)
        assert given.flags.f_contiguous
        assert not np.shares_memory(given, array)
