"""A whole file: what is a layer is judged, what is none is listed and never called wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradtool.check.every import check_every
from gradtool.check.process import Worker
from gradtool.check.result import Verdict
from gradtool.check.trying import Layers
from gradtool.check.wanted import EVERYTHING, Wanted
from gradtool.report import check_text
from gradtool.report.check_command import Request, run
from gradtool.report.watch import on_save
from tests.check import references

FILE = """\
import numpy as np


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def thing_forward(z):
    return 1 / (1 + np.exp(-z)), z


def thing_backward(dout, z):
    return dout * (z < 0)


def affine_tanh_forward(x, w, b):
    out, cache = affine_forward(x, w, b)
    return np.tanh(out), (cache, out)


def affine_tanh_backward(dout, cache):
    return affine_backward(dout * (1 - np.tanh(cache[1]) ** 2), cache[0])


def load_data(path, n):
    return path, n
"""
KNOWN = {"affine": references.affine, "sigmoid": references.sigmoid}


def verdicts(
    folder: Path,
    text: str = FILE,
    wanted: Wanted = EVERYTHING,
    name: str = "layers.py",
    explain: bool = False,
) -> list[Verdict]:
    file = folder / name
    file.write_text(text)
    layers = Layers([make() for make in KNOWN.values()], seed=0)
    worker = Worker(folder, 10)
    return list(
        check_every(
            file,
            layers,
            lambda spec: KNOWN[spec.name](),
            wanted,
            seed=0,
            version="",
            seconds=10,
            worker=worker,
            explain=explain,
        )
    )


def test_each_pair_is_what_its_forward_computes(tmp_path: Path) -> None:
    known, renamed, unknown = verdicts(tmp_path)
    assert (known.layer, known.verdict) == ("affine", "pass")
    # Its name says nothing, its forward does; and its mistake is found all the same.
    assert (renamed.layer, renamed.verdict) == ("sigmoid", "fail")
    # It is called affine, but is more than that: listed with what was tried, not judged.
    assert (unknown.layer, unknown.verdict) == ("", "error")
    assert unknown.trouble is not None
    assert unknown.trouble.stage == "match"
    assert "affine: its forward gives other numbers" in unknown.trouble.message
    *_, page = check_text.pages([known, renamed, unknown], ["", "", ""])
    text = check_text.plain_lines(page)
    assert "1 of 3 pairs not matched" in text
    assert "affine_tanh_forward (line 21) / affine_tanh_backward (line 26)" in text


def test_a_forward_that_is_nearly_the_layers_is_not_matched(tmp_path: Path) -> None:
    text = FILE.replace("return x @ w + b, (x, w)", "return x @ w + b + 1e-7, (x, w)")
    first, *_ = verdicts(tmp_path, text, Wanted("affine_forward"), explain=True)
    assert first.trouble is not None
    assert (first.trouble.stage, first.gradients) == ("match", ())
    assert "not the same: 1e-07 does not belong in x @ w + b + 1e-07" in first.trouble.message
    assert first.trouble.message.endswith(MEANT.format("affine"))


MEANT = "; if it is meant to be {0}, `--spec {0}` judges it against that layer"


@pytest.mark.parametrize("forward", ["return x @ w - b, (x, w)", "return None, (x, w)"])
def test_a_wrong_forward_of_a_layers_name_may_be_meant_for_it(tmp_path: Path, forward: str) -> None:
    text = FILE.replace("return x @ w + b, (x, w)", forward)
    first, second, third = verdicts(tmp_path, text)
    assert first.trouble is not None
    assert first.trouble.message.endswith(MEANT.format("affine"))
    assert second.trouble is None
    assert third.trouble is not None


def test_a_layer_of_another_name_is_not_said_to_be_meant(tmp_path: Path) -> None:
    text = FILE.replace("affine", "other").replace("x @ w + b", "x @ w - b")
    (first,) = verdicts(tmp_path, text, Wanted("other_forward"))
    assert first.trouble is not None
    assert "--spec" not in first.trouble.message
    raises = FILE.replace("return x @ w + b, (x, w)", "raise ValueError('later')")
    (first,) = verdicts(tmp_path, raises, Wanted("affine_forward"))
    assert first.trouble is not None
    assert "(tried affine: ValueError: later)" in first.trouble.message
    assert "--spec" not in first.trouble.message  # it would raise as well


def test_a_candidate_that_ends_the_process_spoils_no_other(tmp_path: Path) -> None:
    text = FILE.replace("return x @ w + b, (x, w)", "import os; os._exit(3)")
    first, second, third = verdicts(tmp_path, text)
    assert first.trouble is not None
    assert (first.trouble.stage, "exit code 3" in first.trouble.message) == ("match", True)
    assert second.layer == "sigmoid"
    assert third.verdict == "error"


@pytest.mark.parametrize("wanted", [Wanted("thing_backward"), Wanted(line=18), Wanted(line=14)])
def test_a_name_or_a_line_chooses(tmp_path: Path, wanted: Wanted) -> None:
    (only,) = verdicts(tmp_path, wanted=wanted)
    assert only.layer == "sigmoid"


@pytest.mark.parametrize("wanted", [Wanted(cell=2), Wanted(cell=2, line=5)])
def test_one_cell_of_a_notebook(tmp_path: Path, wanted: Wanted) -> None:
    texts = ["import numpy as np\n%matplotlib inline", FILE.partition("def thing")[0], FILE]
    texts[2] = "def thing" + FILE.partition("def thing")[2]
    cells = [{"cell_type": "code", "source": text} for text in texts]
    (only,) = verdicts(tmp_path, json.dumps({"cells": cells}), wanted, "homework.ipynb")
    assert (only.layer, only.verdict) == ("affine", "pass")
    assert "   affine_forward (cell 2 line " in check_text.plain(only)


def test_a_loss_with_its_gradient_is_listed_once_and_a_metric_not_at_all(tmp_path: Path) -> None:
    text = """
def mean_loss(y, p):
    loss = ((y - p) ** 2).mean()
    return loss, {}
def odd_loss_and_gradient(y, p):
    loss = ((y - p) ** 3).mean()
    return loss, 3 * (p - y) ** 2
"""
    (only,) = verdicts(tmp_path, text)
    assert [c.name for c in only.called] == ["odd_loss_and_gradient"]


def test_a_line_without_a_function_says_so(tmp_path: Path) -> None:
    (only,) = verdicts(tmp_path, wanted=Wanted(line=2))
    assert only.trouble is not None
    assert "no function at line 2" in only.trouble.message
    assert "affine_forward" in only.trouble.message


def test_bundled_layers_and_an_eps_that_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("""
import numpy as np
class BatchNormalization:
    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta
    def forward(self, x):
        centred = x - x.mean(axis=0)
        self.std = np.sqrt((centred ** 2).mean(axis=0) + 1e-8)
        self.xhat = centred / self.std
        return self.gamma * self.xhat + self.beta
    def backward(self, d):
        self.dgamma, self.dbeta = (d * self.xhat).sum(axis=0), d.sum(axis=0)
        inner = d - d.mean(axis=0) - self.xhat * (d * self.xhat).mean(axis=0)
        return self.gamma * inner / self.std
def helper(a, b):
    return a, b
""")
    out = io.StringIO()
    assert run(Request(tmp_path / "layers.py"), out) == 0, out.getvalue()
    assert "spec batch_norm" in out.getvalue()
    assert "eps is 1e-08 in your code" in out.getvalue()


CONV = """
import numpy as np
def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    (N, C, H, W), (K, _, R, S) = x.shape, w.shape
    assert (H + 2 * p - R) % s == 0 and (W + 2 * p - S) % s == 0, "it does not fit"
    wide = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    out = np.zeros((N, K, (H + 2 * p - R) // s + 1, (W + 2 * p - S) // s + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            part = wide[:, :, s * i:s * i + R, s * j:s * j + S]
            out[:, :, i, j] = np.einsum("ncrs,kcrs->nk", part, w) + b
    return out, (wide, w, s, p)
def conv_backward_naive(dout, cache):
    wide, w, s, p = cache
    R, S = w.shape[2:]
    dwide, dw = np.zeros(wide.shape), np.zeros(w.shape)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = slice(s * i, s * i + R), slice(s * j, s * j + S)
            dwide[:, :, rows, columns] += np.einsum("nk,kcrs->ncrs", dout[:, :, i, j], w)
            dw += np.einsum("nk,ncrs->kcrs", dout[:, :, i, j], wide[:, :, rows, columns])
    H, W = wide.shape[2:]
    return dwide[:, :, p:H - p, p:W - p], dw, dout.sum((0, 2, 3))
"""
GROUPS = """
import numpy as np
def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    N, C, H, W = x.shape
    parts = x.reshape(N, G, -1)
    std = np.sqrt(parts.var(2, keepdims=True) + gn_param.get("eps", 1e-5))
    xhat = ((parts - parts.mean(2, keepdims=True)) / std).reshape(x.shape)
    return gamma * xhat + beta, (xhat, gamma, std)
def spatial_groupnorm_backward(dout, cache):
    xhat, gamma, std = cache
    N, G = std.shape[:2]
    d, h = (dout * gamma).reshape(N, G, -1), xhat.reshape(N, G, -1)
    dx = (d - d.mean(2, keepdims=True) - h * (d * h).mean(2, keepdims=True)) / std
    dgamma = (dout * xhat).sum((0, 2, 3), keepdims=True)
    return dx.reshape(dout.shape), dgamma, dout.sum((0, 2, 3), keepdims=True)
"""
GUARDED = """
import numpy as np
def softmax_loss(x, y):
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    N = len(x)
    loss = -np.log(p[np.arange(N), y] + 1e-5).mean()
    p[np.arange(N), y] -= 1
    return loss, p / N
"""


@pytest.mark.parametrize(
    ("text", "layer", "said", "right", "wrong"),
    [
        (CONV, "conv2d", "it raises AssertionError: it does not fit", ", dw, d", ", -dw, d"),
        (CONV, "conv2d", "where a window does not fit", "] += np", "] = np"),
        (GROUPS, "group_norm", "gamma and beta of the shape (1, C, 1, 1)", "- h *", "+ h *"),
        (GUARDED, "softmax_cross_entropy", "1e-05 in line 7", "p / N", "p / 2"),
    ],
)
def test_code_of_a_course_is_matched_as_it_is(
    tmp_path: Path, text: str, layer: str, said: str, right: str, wrong: str
) -> None:
    file, out = tmp_path / "layers.py", io.StringIO()
    file.write_text(text)
    assert run(Request(file), out) == 0, out.getvalue()
    assert f"spec {layer}" in out.getvalue()
    assert said in out.getvalue()
    file.write_text(text.replace(right, wrong))
    assert run(Request(file), out) == 1


def test_watching_checks_again_when_a_file_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text("1")
    told: list[str] = []
    runs: list[str] = []

    def pauses() -> Iterator[None]:
        yield  # nothing has changed
        file.unlink()  # an editor that writes a new file in its place
        yield
        file.write_text("22")
        yield
        raise KeyboardInterrupt

    steps = pauses()
    with pytest.raises(KeyboardInterrupt):
        on_save([file], lambda: runs.append(file.read_text()), told.append, lambda: next(steps))
    assert runs == ["1", "22"]
    assert "was saved" in told[-1]
