"""What the README shows of a check is what is printed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gradtool.report.check_command import Request, run
from tests.conftest import ROOT

COMMAND = "$ gradtool check layers.py --spec batch_norm\n"
LAYERS = """\
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    out = gamma * xhat + beta
    return out, (xhat, gamma, std)

def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    N = len(dout)
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dx = gamma / (N * std) * (N * dout - xhat * dgamma)
    return dx, dgamma, dbeta
"""


def words(text: str) -> list[list[str]]:
    """The words of every line, but for what rounding on another machine may change."""
    rounded = ("exact", "e-16", "e-16)")
    return [
        ["rounding" if word.endswith(rounded) else word for word in line.split()]
        for line in text.splitlines()
    ]


def test_the_example_of_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(COMMAND)[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("layers.py").write_text(LAYERS)
    out = io.StringIO()
    assert run(Request(Path("layers.py"), ("batch_norm",)), out) == 1
    assert words(out.getvalue()) == words(shown)
