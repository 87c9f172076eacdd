"""What `gradtool check` prints: the table a person reads and the JSON a program reads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gradtool.check.judge import failed
from gradtool.check.result import Cause, Compared, Trouble, Verdict
from gradtool.records import replace
from gradtool.report import check_command, check_text, explain_command, plans
from tests.check import references

BATCH_NORM = """\
import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mu, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + bn_param["eps"])
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, gamma, std)


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    dx = (dxhat - xhat * np.mean(dxhat * xhat, axis=0)) / std
    return dx, dgamma, dbeta
"""


@pytest.fixture(autouse=True)
def _layers_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Specs named after a function of `references`, instead of derived ones."""
    monkeypatch.setattr(plans, "reference", lambda name: getattr(references, name)())
    monkeypatch.chdir(tmp_path)


def run(text: str, *specs: str, **options: object) -> tuple[int, str]:
    Path("layers.py").write_text(text)
    out = io.StringIO()
    request = check_command.Request(Path("layers.py"), specs, **options)  # type: ignore[arg-type]
    code = check_command.run(request, out)
    return code, out.getvalue()


def test_the_batch_norm_without_the_path_through_the_mean() -> None:
    code, text = run(BATCH_NORM, "batch_norm")
    lines = text.splitlines()
    assert code == 1
    assert lines[0] == (
        "layers.py   batchnorm_forward (line 4) / batchnorm_backward (line 11)   spec batch_norm"
    )
    table = [line for line in lines if line.startswith("  d")]
    assert table[0].startswith("  dx      (N, D)  wrong   dx[")
    assert "should be" in table[0]
    assert "|difference|" in table[0]
    assert table[1].startswith("  dgamma  (D,)    ok")
    assert table[2].startswith("  dbeta   (D,)    ok")
    assert lines[-2] == "1 of 3 gradients is wrong (seed 0)"
    assert lines[-1] == "`gradtool derive batch_norm --steps` shows the way"


def with_causes(*codes: str) -> Verdict:
    """A verdict with a wrong gradient for each cause."""
    rows = tuple(
        Compared(f"g{number}", "()", "wrong", cause=Cause(code, "something", 1.0))
        for number, code in enumerate(codes)
    )
    trouble = Trouble("file", "")
    verdict = failed("layers.py", "batch_norm", trouble, seed=0, version="1")
    return replace(verdict, verdict="fail", gradients=rows, trouble=None)


def test_the_way_to_the_codes_is_shown_once_at_the_end() -> None:
    both = [with_causes("scale", "missing-sum"), with_causes("unknown", "scale")]
    *first, last = (check_text.plain_lines(p) for p in check_text.pages(both, ["", ""]))
    assert "gradtool explain" not in "".join(first)
    assert last.endswith("\nmore: `gradtool explain scale` and `gradtool explain missing-sum`\n")
    for code in ("scale", "missing-sum"):
        assert explain_command.text(code).startswith(f"{code}: ")
    hidden = check_text.pages(both, ["", ""], hide_expected=True)[-1]
    assert hidden[-1] == ("dim", last.splitlines()[-1])  # an example tells no right value
    for silent in (
        check_text.pages(both, ["", ""], explain="none"),
        check_text.pages([with_causes("unknown")], [""]),
    ):
        assert all("gradtool explain" not in text for page in silent for _, text in page)


def test_hidden_values_are_hidden_in_both_formats() -> None:
    import re

    _, open_text = run(BATCH_NORM, "batch_norm")
    value = re.findall(r"should be (\S+);", open_text)[0]
    _, text = run(BATCH_NORM, "batch_norm", hide_expected=True)
    assert "should be" not in text
    assert value not in text
    _, data = run(BATCH_NORM, "batch_norm", hide_expected=True, form="json")
    worst = json.loads(data)[0]["gradients"][0]["worst"]
    assert set(worst) == {"index", "got", "bound", "sizes"}


def test_json_has_the_documented_fields() -> None:
    code, text = run(BATCH_NORM, "batch_norm", form="json", seed=3)
    (data,) = json.loads(text)
    assert code == 1
    assert (data["verdict"], data["seed"], data["layer"]) == ("fail", 3, "batch_norm")
    assert [(g["name"], g["shape"], g["verdict"]) for g in data["gradients"]] == [
        ("x", "(N, D)", "wrong"),
        ("gamma", "(D,)", "ok"),
        ("beta", "(D,)", "ok"),
    ]
    worst = data["gradients"][0]["worst"]
    assert worst["error"] == pytest.approx(abs(worst["got"] - worst["expected"]))
    assert worst["error"] > worst["bound"]
    assert set(data["gradients"][0]["cause"]) == {"code", "message", "explains"}
    assert data["gradients"][1]["cause"] is None


@pytest.mark.parametrize("form", ["text", "json"])
def test_numbers_that_are_none_are_written(form: str) -> None:
    code, text = run(
        BATCH_NORM.replace("/ std\n    return dx", "/ 0\n    return dx"), "batch_norm", form=form
    )
    assert code == 1
    if form == "json":
        json.loads(text, parse_constant=pytest.fail)
    else:
        assert "not finite" in text


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (BATCH_NORM.replace("- xhat * np", "- dxhat.mean(0) - xhat * np"), 0, "all 3 gradients"),
        ("def f(:\n", 2, "invalid syntax"),
        ("def f(x):\n    return x\n", 2, "it defines f"),
        (BATCH_NORM.replace("return dx,", "raise ValueError('no')\n    return dx,"), 1, "line 17"),
    ],
)
def test_exit_codes(text: str, code: int, said: str) -> None:
    found, printed = run(text, "batch_norm")
    assert (found, said in printed) == (code, True), printed


def test_several_specs_are_checked_each() -> None:
    affine = (
        "def affine_forward(x, w, b):\n    return x @ w + b, (x, w)\n"
        "def affine_backward(d, cache):\n    x, w = cache\n"
        "    return d @ w.T, x.T @ d, d.sum(0)\n"
    )
    code, text = run(BATCH_NORM + affine, "batch_norm", "affine")
    assert code == 1
    assert "spec batch_norm" in text
    assert "spec affine" in text
    assert "all 3 gradients are right" in text


def test_annotations_stand_at_the_line_of_the_mistake() -> None:
    code, text = run(BATCH_NORM, "batch_norm", form="github")
    assert code == 1
    (line,) = text.splitlines()
    assert line.startswith("::error file=layers.py,line=")
    assert "title=batch_norm::dx is wrong; dx[" in line
    assert "should be" in line
    hidden = run(BATCH_NORM, "batch_norm", form="github", hide_expected=True)[1]
    assert "should be" not in hidden


def test_beside_a_long_shape_there_is_no_room_so_it_is_told_below() -> None:
    from gradtool.check.result import Cause, Compared, Verdict, Worst
    from gradtool.report import check_text

    worst = Worst((0, 1), 1.0, 2.0, 1.0, 1e-15, (("N", 2),))
    cause = Cause("sign", "the sign is wrong", 1.0, "minus the right one", "explains all", "sign")
    row = Compared("X", "(N, D)", "wrong", 0.5, worst, cause=cause, line=3, source="dx = -d")
    verdict = Verdict("fail", "f.py", "l", (), "", (), (), (row,), (), (), (), None, 1, 0, "1")
    (beside,) = [text for _, text in check_text.lines(verdict) if "dX[0, 1]" in text]
    assert beside.startswith("  dX  (N, D)  wrong   dX[0, 1] is 1.0000")
    long = replace(row, shape="(N, K, (H + 2*pad - R)//stride + 1, 1)")
    told = [text for _, text in check_text.lines(replace(verdict, gradients=(long,)))]
    place = told.index(f"  dX  {long.shape}  wrong")
    assert told[place + 1].startswith("      dX[0, 1] is 1.0000")
    assert told[place + 2].startswith("      cause   the sign is wrong")
    assert told[place + 3] == "      where   line 3: dx = -d"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(text: str, columns: int, monkeypatch: pytest.MonkeyPatch, **styles: str) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in styles.items():
        monkeypatch.setenv(name, value)
    Path("layers.py").write_text(text)
    out = _Terminal()
    check_command.run(check_command.Request(Path("layers.py"), ("batch_norm",)), out)
    return out.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_a_terminal_gets_no_line_that_is_wider(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_terminal(BATCH_NORM, columns, monkeypatch, NO_COLOR="1")
    assert max(map(len, shown.splitlines())) <= columns
    # The table stays one: names, shapes and standings below each other.
    rows = [line for line in shown.splitlines() if line[2:8] in ("Y     ", "dX    ", "dx    ",
                                                                "dgamma", "dbeta ")]  # fmt: skip
    assert len(rows) == 4
    assert {row.index("(") for row in rows} == {10}
    assert {min(row.index(word) for word in ("ok", "wrong") if word in row) for row in rows} == {18}
    # Nothing is lost but the places of the breaks.
    _, piped = run(BATCH_NORM, "batch_norm")
    assert shown.split() == piped.split()


def test_a_fold_goes_on_below_the_column_it_began_in(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_terminal(BATCH_NORM, 80, monkeypatch, NO_COLOR="1").splitlines()
    at = next(k for k, line in enumerate(shown) if line.startswith("  dx "))
    column = shown[at].index("dx[")
    assert shown[at].endswith("|difference|")
    assert shown[at + 1][:column].isspace()
    assert float(shown[at + 1][column:].split()[0]) > 0
    narrow = on_terminal(BATCH_NORM, 60, monkeypatch, NO_COLOR="1").splitlines()
    at = next(k for k, line in enumerate(narrow) if line.startswith("  dx "))
    assert narrow[at].endswith("wrong")
    assert narrow[at + 1].startswith(" " * 10 + "dx[")


@pytest.mark.parametrize(
    ("styles", "styled"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_styles_are_for_terminals_that_have_them(
    styles: dict[str, str], styled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("\x1b[" in on_terminal(BATCH_NORM, 80, monkeypatch, **styles)) == styled


def test_what_is_piped_has_the_same_lines_whatever_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, narrow = run(BATCH_NORM, "batch_norm")
    monkeypatch.setenv("COLUMNS", "200")
    assert run(BATCH_NORM, "batch_norm")[1] == narrow
