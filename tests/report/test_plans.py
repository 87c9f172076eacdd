"""A layer that was derived once is checked without sympy, and never by a stale derivation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gradtool.report import cache, plans
from tests.conftest import RunPython

SPEC = "layer: scaled\ninputs: {X: [N, D]}\nforward: Y = 2 * relu(X)\n"
CODE = """
import numpy as np
def scaled_forward(x):
    return 2 * np.maximum(x, 0), x
def scaled_backward(dout, x):
    return 2 * dout * (x > 0)
"""
_PROBE = """
import sys
from gradtool.cli import main
code = main({arguments!r})
print(code, sorted({{name.split(".")[0] for name in sys.modules}} & {{"sympy", "yaml", "mpmath"}}))
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADTOOL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "scaled.yaml").write_text(SPEC)


def gradient(path: Path) -> float:
    found = plans.reference(str(path))
    values = {"X": np.ones((2, 3))}
    ups = {"Y": np.ones((2, 3))}
    return float(found.evaluate(values, ups, {"N": 2, "D": 3})[1]["X"][0, 0])


def test_the_second_check_imports_no_sympy_right_or_wrong(
    tmp_path: Path, run_python: RunPython
) -> None:
    (tmp_path / "right.py").write_text(CODE)
    (tmp_path / "wrong.py").write_text(CODE.replace("(x > 0)", "(x > 0) * 3"))
    env = {"GRADTOOL_CACHE": str(tmp_path / "cache")}
    for file, code, heavy in (("wrong.py", 1, "['yaml']"), ("right.py", 0, "[]")):
        arguments = ["check", str(tmp_path / file), "--spec", str(tmp_path / "scaled.yaml")]
        program = _PROBE.format(arguments=arguments)
        first = run_python("-c", program, env=env)
        again = run_python("-c", program, env=env)
        assert again.out.splitlines()[-1] == f"{code} {heavy}", first.out
        assert again.out.splitlines()[:-1] == first.out.splitlines()[:-1]


def test_another_text_is_another_layer(tmp_path: Path) -> None:
    spec = tmp_path / "scaled.yaml"
    assert [gradient(spec), gradient(spec)] == [2, 2]
    spec.write_text(SPEC.replace("2 *", "3 *"))
    assert gradient(spec) == 3


def test_a_used_spec_that_changes_is_noticed(tmp_path: Path) -> None:
    outer = tmp_path / "outer.yaml"
    outer.write_text("layer: outer\ninputs: {X: [N, D]}\nforward: Y = scaled(X)\n")
    assert [gradient(outer), gradient(outer)] == [2, 2]
    (tmp_path / "scaled.yaml").write_text(SPEC.replace("2 *", "5 *"))
    assert gradient(outer) == 5


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"spec": [["os.system"]], "uses": {}}'])
def test_a_damaged_entry_is_a_miss(tmp_path: Path, damage: str) -> None:
    spec = tmp_path / "scaled.yaml"
    assert gradient(spec) == 2
    place = cache.folder()
    assert place is not None
    for entry in place.glob("*.json"):
        json.loads(entry.read_text())
        entry.write_text(damage)
    assert gradient(spec) == 2
