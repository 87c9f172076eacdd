"""Every word that NumPy has, too, is NumPy's function: for arrays of every rank, masks, axes.

A line is executed by Python with NumPy and by the engine.  Where the engine accepts it, shape and
values are NumPy's; what NumPy does not do, or does to truth values otherwise than to numbers, the
engine refuses.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.ops.registry import Word, vocabulary
from gradtool.records import replace
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import Block, Place

SIZES = {"M": 2, "N": 3, "D": 4, "C": 5}
REAL = {
    "s": (),
    "b": ("D",),
    "c": ("N",),
    "o": (1, "D"),
    "p": ("N", 1),
    "X": ("N", "D"),
    "S": ("D", "D"),
    "T": ("M", "N", "D"),
}
MASKS = {"m": ("D",), "k": ("D",), "K": ("D", "D"), "V": ("N", "D")}
ALL = {**REAL, **MASKS}

# NumPy has no positions over several axes; here they are counted through these axes.
WIDER = {"argmax", "argmin"}
# What the engine means with fewer digits than NumPy computes: float16 for functions of masks.
ROUGH = 2e-3


def _values() -> dict[str, Any]:
    source = np.random.default_rng(3)

    def shape(axes: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(SIZES.get(axis, axis) for axis in axes)

    reals = {name: source.uniform(0.2, 1.5, shape(axes)) for name, axes in REAL.items()}
    masks = {name: source.random(shape(axes)) < 0.5 for name, axes in MASKS.items()}
    return {**reals, **masks}


VALUES = _values()
DECLARED = "\n".join(
    f"  {name}: {{shape: [{', '.join(map(str, axes))}]{', dtype: bool' * (name in MASKS)}}}"
    for name, axes in ALL.items()
)

LAYER = load_text(f"layer: f\ninputs:\n{DECLARED}\nforward: out = s\n", "f.yaml")


def engine(line: str) -> Any:
    """The value of a line, None when it is refused."""
    forward = Block(f"Y = {line}\nout = 1.0 * Y + 0.0 * s\n", (Place(1, 1), Place(2, 1)))
    try:
        graph = graph_of(replace(LAYER, forward=forward))
        setting = setting_for(graph, SIZES, Double())
        if any(dim.evaluate(setting.sizes) < 0 for dim in graph.assumptions):
            return None
        return np.asarray(run(graph.statements, VALUES, setting)[graph.outputs[0]], dtype=float)
    except (SpecError, UnsupportedError, np.linalg.LinAlgError):
        return None


def numpy(line: str) -> Any:
    """The value of a line in NumPy, None where that raises."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(eval(line, {"np": np, **VALUES, **SIZES})) * 1.0
    except (TypeError, ValueError, IndexError, AttributeError, np.linalg.LinAlgError):
        return None


def _fault(line: str) -> str:
    mine = engine(line)
    if mine is None:
        return ""
    theirs = numpy(line)
    if theirs is None:
        return f"{line}: accepted, NumPy raises"
    if mine.shape != theirs.shape:
        return f"{line}: shape {mine.shape}, NumPy has {theirs.shape}"
    masked = ">" in line or any(f"({name}" in line for name in MASKS)
    if not np.allclose(mine, theirs, rtol=ROUGH if masked else 1e-10, equal_nan=True):
        return f"{line}: {mine}, NumPy has {theirs}"
    return ""


FEW = "sbXSTomK"  # every rank, an axis of one, masks
AXES = ("0", "1", "-1", "(0, 1)", "(1, 0)", "2", "None")
SECOND = (
    *("0", "1", "-1", "(0, 1)", "(1, 0)", "(2, 3)", "(D,)", "(N, D)", "(M, N, D)", "(-1, D)"),
    *("(N, -1, 2)", "(0, 2)", "((1, 0), (0, 2))", "0.5", "-2", "True"),
)
ENTRIES = (
    *("0", "-1", ":", "1:", ":-1", "::2", ":, 0", ":, None", "0, 1", "..., 0", "1:2", "[0, 1]"),
    *("::-1", ":, ::-1", "0, 0, 0", ":, :, 1", "None, :", "-2:", ":, 1:", "1:, 1:", "m", "V"),
)


def _unary(path: str, word: Word) -> Iterator[str]:
    for name in FEW:
        given = [""]
        if "axis" in word.parameters:
            given += [f"axis={axis}" for axis in AXES]
        if "keepdims" in word.parameters:
            given += [f"{text}{', ' * bool(text)}keepdims=True" for text in given]
        if "k" in word.parameters:
            given += ["k=1", "k=-1"]
        for text in given:
            yield f"{path}({name}{', ' * bool(text)}{text})"
            if hasattr(np.ndarray, word.name):
                yield f"{name}.{word.name}({text})"
        yield f"{path}({name} > 0.7)"


def _joining(path: str) -> Iterator[str]:
    for first, second in itertools.product(FEW, FEW):
        for axis in ("", ", axis=0", ", axis=1", ", axis=-1"):
            yield f"{path}([{first}, {second}]{axis})"


def _binary(path: str, name: str) -> Iterator[str]:
    first_ones = FEW if vocabulary()[name].name == name else "bX"  # type: ignore[attr-defined]
    for first, second in itertools.product(first_ones, (*FEW, *SECOND)):
        yield f"{path}({first}, {second})"
    for first, second in itertools.product("bX" if hasattr(np.ndarray, name) else "", FEW):
        yield f"{first}.{name}({second})"


def _ternary(path: str, name: str) -> Iterator[str]:
    for first in MASKS if name == "where" else ("s", "b", "X", "m"):
        for second, third in itertools.product(("s", "b", "X", "p", "k", "0.3", "1"), repeat=2):
            yield f"{path}({first}, {second}, {third})"


def _lines(name: str) -> Iterator[str]:
    word = vocabulary()[name]
    assert isinstance(word, Word)
    path = f"np.{name}" if hasattr(np, name) else f"np.linalg.{name}"
    match word.required:
        case 1 if word.parameters[0] == "arrays":
            yield from _joining(path)
            yield from (f"{path}({array})" for array in ALL)
        case 1:
            yield from _unary(path, word)
        case 2:
            yield from _binary(path, name)
        case 3:
            yield from _ternary(path, name)


SHARED = sorted(n for n in vocabulary() if hasattr(np, n) or hasattr(np.linalg, n))
OPERATORS = ("+", "-", "*", "/", "@", "**", ">", ">=", "==", "!=", "&", "|")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in SHARED if n not in WIDER])
def test_a_word_is_the_function_of_numpy(name: str) -> None:
    if name == "einsum":
        lines = [f"np.einsum('{text}', {a}, {b})" for text in ("i,i->", "i,ij->j", "ij,jk->ik")
                 for a, b in itertools.product(ALL, ALL)]  # fmt: skip
    else:
        lines = list(_lines(name))
    assert not list(filter(None, map(_fault, lines)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_is_that_of_numpy(operator: str) -> None:
    pairs = [
        *itertools.product(FEW, (*FEW, "2", "0.5", "-1", "0", "True", "N")),
        *itertools.product(("2", "0.5", "-1", "N"), FEW),
    ]
    assert not list(filter(None, (_fault(f"{a} {operator} {b}") for a, b in pairs)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_signs_transposes_and_indices_are_those_of_numpy(name: str) -> None:
    lines = [f"{sign}{name}" for sign in "-+~"] + [f"{name}.T"]
    lines += [f"{name}[{entries}]" for entries in ENTRIES]
    assert not list(filter(None, map(_fault, lines)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", "sbXST")
def test_the_second_argument_of_a_norm_is_its_order(name: str) -> None:
    lines = [f"np.linalg.norm({name}, {order})" for order in ("1", "2", "None", "'fro'", "-1")]
    lines += [f"np.linalg.norm({name}, 2, {axis})" for axis in AXES]
    assert not list(filter(None, map(_fault, lines)))


@pytest.mark.parametrize(
    "line",
    [
        *("m + k", "m - k", "-m", "X * (m + k)", "V @ m", "np.einsum('i,i->', m, k)"),
        *("m * k + k * m", "(X > 0) + (X < 1)", "np.stack([m, k]) + np.stack([k, m])"),
        *("np.where(m, k, m) - k", "V[0] + k", "V.T[0] + m[:N]", "K.max(axis=0) + m"),
        *("X / m", "X / (X > 0.7)", "m**-1 * b", "np.outer(m, k) - K"),
    ],
)
def test_truth_values_are_not_computed_with_as_numbers(line: str) -> None:
    assert engine(line) is None


@pytest.mark.parametrize(
    "line", ["1 * m + k", "m | k", "m * k", "V @ b", "m.sum() + k.sum()", "1 - m", "2 * m - k"]
)
def test_what_numpy_does_with_masks_and_numbers_is_accepted(line: str) -> None:
    np.testing.assert_allclose(engine(line), numpy(line))
