"""The wire carries arrays exactly, and refuses everything that is no frame."""

from __future__ import annotations

import ast
import io
import math
from pathlib import Path

import numpy as np
import pytest

import gradtool.check
from gradtool.check import frames

# Reading any of these from a worker would let it run code in the judge.
DANGEROUS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
DANGEROUS_CALLS = {"eval", "exec", "load", "loads", "fromfile", "memmap", "loadtxt", "genfromtxt"}
# These run in the worker, beside the user's code, and only there.
WORKER_SIDE = {"load", "evaluate", "standins", "worker", "python2", "cells"}
WORKER_SIDE |= {"modernise", "division", "life"}


def test_a_frame_comes_back_as_it_was() -> None:
    arrays = {
        "x": np.array([[1.5, np.nan], [-np.inf, -0.0]]),
        "y": np.array([1, 2, 3]),
        "m": np.array([True, False]),
        "s": np.array(2.5),
        "e": np.zeros((0, 3)),
    }
    data = frames.encode({"op": "run", "é": "ü"}, arrays)
    back = frames.read_frame(io.BytesIO(data).read, 1000)
    assert back is not None
    assert back.header == {"op": "run", "é": "ü"}
    for name, array in arrays.items():
        assert back.arrays[name].tobytes() == array.tobytes()
        assert back.arrays[name].shape == array.shape


@pytest.mark.parametrize(
    "value",
    [math.inf, -math.inf, 0.1 + 0.2, 5e-324, None, True, 1 << 70, "null", "\ud800", "\x00", "π"],
)
def test_any_json_is_in_a_header(value: object) -> None:
    data = frames.encode({"a": value, "b": [value, {"c": value}]}, {})
    assert frames.whole(data, 0).header == {"a": value, "b": [value, {"c": value}]}


def test_what_is_no_number_is_none_in_a_header() -> None:
    found = frames.whole(frames.encode({"a": math.nan, "b": np.float64("nan")}, {}), 0).header
    assert math.isnan(found["a"])
    assert math.isnan(found["b"])


@pytest.mark.parametrize("cut", [0, 5, 16, 30, -1])
def test_the_end_in_the_middle_of_a_frame_is_the_end(cut: int) -> None:
    data = frames.encode({"a": 1}, {"x": np.ones(3)})
    assert frames.read_frame(io.BytesIO(data[:cut]).read, 1000) is None


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b"[]", b""),
        (b"{", b""),
        (b"[" * 100000, b""),
        (b'{"arrays": 3}', b""),
        (b'{"arrays": [["x", "<f8", [1]]]}', b""),
        (b'{"arrays": [["x", "<f8", [-1]]]}', b""),
        (b'{"arrays": [["x", "<f8", [true]]]}', b"12345678"),
        (b'{"arrays": [["x", "<f8", [1099511627775, 1099511627775]]]}', b"12345678"),
        (b'{"arrays": [["x", "|O", [1]]]}', b"12345678"),
        (b'{"arrays": [["x", "<f8", []]]}', b"123456789"),
        (b'{"arrays": [["x", "<f8", [1e99]]]}', b"12345678"),
        (b'{"n": ' + b"9" * 5000 + b"}", b""),
    ],
)
def test_a_malformed_frame_is_refused(header: bytes, payload: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode(header, payload)


def test_lengths_are_checked_before_anything_is_read() -> None:
    for header, payload in ((frames.MAX_HEADER + 1, 0), (0, 11)):
        with pytest.raises(frames.FrameError):
            frames.prefix(frames.PREFIX.pack(frames.MAGIC, header, payload), 10)
    with pytest.raises(frames.FrameError):
        frames.prefix(b"\x80\x04\x95 a pickle ...", 10)


def test_the_judge_never_runs_what_a_worker_wrote() -> None:
    folder = Path(gradtool.check.__file__).parent
    for path in folder.glob("*.py"):
        found = dangers(ast.parse(path.read_text(encoding="utf-8")), path.stem in WORKER_SIDE)
        assert not found, f"{path.name}: {found}"


def dangers(tree: ast.AST, worker: bool) -> list[str]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [n.name for n in names if n.name.partition(".")[0] in DANGEROUS]
            case ast.ImportFrom(module=str(module)):
                found += [module] if module.partition(".")[0] in DANGEROUS else []
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)) if not worker:
                found.append(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)):
                if name in DANGEROUS_CALLS and owner not in ("json", "session", "self"):
                    found.append(f"{owner}.{name}")
    return found


@pytest.mark.parametrize(
    "text", ["import pickle", "from marshal import loads", "eval(x)", "np.load(f)", "exec(x)"]
)
def test_the_scan_can_fail(text: str) -> None:
    assert dangers(ast.parse(text), worker=False)
