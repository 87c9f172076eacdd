"""Each value that a file's functions compute is handed over, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from gradtool.check.handed import handing
from gradtool.check.load import Loaded, Options, load
from gradtool.check.rewrite import Change

TEXT = """\
import functools
import numpy as np


def plain(x):
    return np.sqrt(x * x + 3) - x


def logged(function):
    @functools.wraps(function)
    def wrapper(*given):
        return function(*given)
    return wrapper


@logged
def decorated(x):
    return sum(x[k] * 2 for k in range(len(x)))


class Base:
    scale = 5

    def __init__(self, by):
        self.by = by

    def half(self, x):
        return -x * self.scale / 2


class Layer(Base):
    def half(self, x):
        match x.ndim:
            case 1 if x.sum() != 0:
                found = super().half(x)
            case -1 | 2+3j:
                raise AssertionError
        return found + self.by

    @staticmethod
    def still(x):
        return (lambda y: y @ y)(x + 7)

    @property
    def twice(self):
        return self.by * 2


def calls(x):
    layer = Layer(by=11)
    first, *rest = [layer.half(x), layer.still(x), layer.twice]
    x = x.copy()
    x[0] += 13
    return [plain(*[x, 19][:1]), decorated(x), first, *rest, f"{x.sum() + 17:.3f}", x[::-1][:2]]
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "hw.py").write_text(TEXT)
    return load(tmp_path / "hw.py", Options())


def test_values_are_handed_over_and_are_what_they_were(loaded: Loaded) -> None:
    calls = loaded.module.calls
    x = np.array([1.0, 2.0, 4.0])
    right, code = calls(x), calls.__code__
    seen: list[str] = []

    def look(value: object, frame: FrameType) -> None:
        seen.append(repr(np.asarray(value).tolist()) if np.isscalar(value) else repr(value))
        if isinstance(value, np.ndarray):
            seen.append(repr(value.tolist()))
        assert loaded.is_users(frame.f_code.co_filename)

    with handing(loaded, look):
        found = calls(x)
        assert calls.__code__ is not code
    assert calls.__code__ is code
    for one, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(one, other)
    for expected in (
        [14.0, 2.0, 4.0],
        [199.0, 7.0, 19.0],
        [-5.0, -10.0, -20.0],
        266.0,
        22,
        37.0,
    ):
        assert repr(expected) in seen
    number = len(seen)
    calls(x)
    assert len(seen) == number


def test_an_exception_leaves_nothing_behind(loaded: Loaded) -> None:
    code = loaded.module.plain.__code__

    def look(value: object, frame: FrameType) -> None:
        raise KeyError

    with pytest.raises(KeyError), handing(loaded, look):
        loaded.module.plain(np.ones(2))
    assert loaded.module.plain.__code__ is code
    assert loaded.module.plain(np.ones(2)).tolist() == [1.0, 1.0]


def test_what_runs_is_the_text_as_it_was_changed(tmp_path: Path) -> None:
    (tmp_path / "hw.py").write_text(
        "import numpy as np\ndef f(x):\n    return np.float32(x) + 0.1\n"
    )
    changed = load(tmp_path / "hw.py", Options(change=Change(widen=True)))
    with handing(changed, lambda value, frame: None):
        assert changed.module.f(0.2) == 0.2 + 0.1
