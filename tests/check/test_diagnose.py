"""A wrong gradient is told with its mistake, its proof and its line; a guess is never told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradtool.check.diagnose_budget import Budget
from gradtool.check.diagnose_evidence import Seen
from gradtool.check.diagnose_factors import named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_pairs import pairs
from gradtool.check.pair import check_pair
from gradtool.check.result import Compared, Verdict
from gradtool.ir.errors import TooLargeError
from gradtool.numeric.reference import reference_for
from gradtool.report import check_command, check_text
from gradtool.spec.load import load_text
from tests.layers import bundled

BATCH_NORM = """\
import numpy as np


def batchnorm_forward(x, gamma, beta, eps):
    mu, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, gamma, std)


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    N = len(dout)
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    dx = (N * dxhat - dxhat.sum(axis=0) - xhat * np.sum(dxhat * xhat, axis=0)) / (N * std)
    return dx, dgamma, dbeta
"""


LSTM = """\
import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

class LSTM:
    def __init__(self, input_size, hidden_size):
        self.H = hidden_size
        self.Wx = np.random.randn(input_size, 4 * hidden_size) * 0.1
        self.Wh = np.random.randn(hidden_size, 4 * hidden_size) * 0.1
        self.b = np.zeros(4 * hidden_size)

    def forward(self, x, h0):
        N, T, D = x.shape
        H = self.H
        h = h0
        c = np.zeros_like(h0)
        self.cache = []
        self.x = x
        hs = np.zeros((N, T, H))
        for t in range(T):
            a = x[:, t] @ self.Wx + h @ self.Wh + self.b
            i = sigmoid(a[:, :H])
            f = sigmoid(a[:, H:2*H])
            o = sigmoid(a[:, 2*H:3*H])
            g = np.tanh(a[:, 3*H:])
            c_prev, h_prev = c, h
            c = f * c + i * g
            h = o * np.tanh(c)
            self.cache.append((i, f, o, g, c_prev, h_prev, c))
            hs[:, t] = h
        return hs

    def backward(self, dhs):
        N, T, H = dhs.shape
        self.dWx = np.zeros_like(self.Wx)
        self.dWh = np.zeros_like(self.Wh)
        self.db = np.zeros_like(self.b)
        dx = np.zeros_like(self.x)
        dh = np.zeros((N, H))
        dc = np.zeros((N, H))
        for t in reversed(range(T)):
            i, f, o, g, c_prev, h_prev, c = self.cache[t]
            dh = dh + dhs[:, t]
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)
            di = dc * g * i * (1 - i)
            df = dc * c_prev * f * (1 - f)
            do = dh * np.tanh(c) * o * (1 - o)
            dg = dc * i * (1 - g ** 2)
            da = np.hstack([di, df, do, dg])
            dx[:, t] = da @ self.Wx.T
            self.dWx += self.x[:, t].T @ da
            self.dWh += h_prev.T @ da
            self.db += da.sum(axis=0)
            dh = da @ self.Wh.T
        return dx, dh
"""


def verdict(folder: Path, text: str, layer: str = "batch_norm") -> Verdict:
    file = folder / "layers.py"
    file.write_text(text)
    return check_pair(bundled(layer), file, seed=0, version="1").verdict


def wrong(found: Verdict) -> dict[str, Compared]:
    return {g.name: g for g in found.gradients if g.standing != "ok"}


def test_what_a_loop_carries_wrongly_is_told_of_every_gradient_that_it_reaches(
    tmp_path: Path,
) -> None:
    # dc goes on to the step before without the forget gate.
    found = wrong(verdict(tmp_path, LSTM, "lstm"))
    assert sorted(found) == ["Wh", "Wx", "X", "b", "h0"]
    causes = [gradient.cause for gradient in found.values()]
    assert {cause.code for cause in causes if cause} == {"missing-factor"}, causes
    assert {cause.message for cause in causes if cause} == {
        "the factor f is missing, in dc_prev of every step"
    }


def test_the_path_through_the_mean(tmp_path: Path) -> None:
    text = BATCH_NORM.replace("N * dxhat - dxhat.sum(axis=0) - xhat", "N * dxhat - xhat")
    found = wrong(verdict(tmp_path, text))
    cause = found["X"].cause
    assert set(found) == {"X"}
    assert cause is not None
    assert cause.code == "missing-path"
    assert cause.message == "the path through the mean (mu) is missing"
    assert cause.proof == ("your dX equals the right one without - dY.mean(axis=0) * gamma / std")
    assert cause.explains == 1.0
    assert cause.measure.startswith("explains all ")
    assert found["X"].line == 17
    assert found["X"].source.startswith("dx = (N * dxhat - xhat")


@pytest.mark.parametrize(
    ("right", "mistake", "code", "said"),
    [
        ("(dxhat * xhat, axis=0)", "(dxhat * xhat, axis=0) * 0", "missing-path", "the variance"),
        ("- xhat * np", "+ xhat * np", "sign", "the sign of a path"),
        ("- dxhat.sum(axis=0)", "- dxhat.mean(axis=0)", "mean-for-sum", "the mean of dY"),
        ("/ (N * std)", "/ ((N - 1) * std)", "scale", "N/(N - 1) times"),
        ("/ (N * std)", "/ N", "missing-factor", "std"),
        ("dxhat = dout * gamma", "dxhat = dout", "missing-factor", "gamma"),
        ("np.sum(dout * xhat", "np.sum(dout * gamma * xhat", "extra-factor", "gamma"),
        ("dbeta = dout.sum(axis=0)", "dbeta = dout", "missing-sum", "over N"),
        ("return dx, dgamma, dbeta", "return dx, dbeta, dgamma", "order", "each other's place"),
    ],
)
def test_one_mistake_in_a_batch_norm(
    right: str, mistake: str, code: str, said: str, tmp_path: Path
) -> None:
    text = BATCH_NORM.replace(right, mistake)
    # The order of results is only the layer's own where their names do not tell.
    text = text.replace("def batchnorm_backward(dout, cache):", _BY_POSITION) if (
        code == "order") else text  # fmt: skip
    found = wrong(verdict(tmp_path, text))
    causes = [g.cause for g in found.values() if g.cause is not None]
    assert causes
    assert {c.code for c in causes} == {code}, causes
    assert any(said in f"{c.message} {c.proof}" for c in causes), causes


_BY_POSITION = """def batchnorm_backward(dout, cache):
    return tuple(_backward(dout, cache))


def _backward(dout, cache):"""


def test_one_mistake_in_two_gradients_is_told_alike(tmp_path: Path) -> None:
    text = """
import numpy as np
def two_layer_relu_forward(X, W1, b1, W2, b2):
    z = X @ W1 + b1
    h = np.maximum(z, 0)
    return h @ W2 + b2, (X, W1, W2, h)
def two_layer_relu_backward(dout, cache):
    X, W1, W2, h = cache
    dz = dout @ W2.T
    return dz @ W1.T, X.T @ dz, dz.sum(0), h.T @ dout, dout.sum(0)
"""
    found = wrong(verdict(tmp_path, text, "two_layer_relu"))
    assert set(found) == {"X", "W1", "b1"}
    causes = [g.cause for g in found.values()]
    assert {c.code for c in causes if c} == {"mask-missing"}
    assert len({c.message for c in causes if c}) == 1


def test_two_mistakes_at_once(tmp_path: Path) -> None:
    text = BATCH_NORM.replace("- dxhat.sum(axis=0)", "- dxhat.sum()")
    text = text.replace("np.sum(dxhat * xhat, axis=0))", "dxhat * xhat)")
    found = wrong(verdict(tmp_path, text))["X"].cause
    assert found is not None
    assert found.code in ("two-mistakes", "unknown")


def test_no_cause_is_invented(tmp_path: Path) -> None:
    noise = "np.cos(37 * dout) - np.sin(11 * xhat)"
    found = wrong(verdict(tmp_path, BATCH_NORM.replace("dx = (", f"dx = {noise} * (")))["X"]
    assert found.cause is not None
    assert found.cause.code == "unknown"
    assert found.cause.explains == 0.0
    assert found.heat is not None


def test_a_remark_on_special_upstream_gradients_needs_a_reason(tmp_path: Path) -> None:
    """For an upstream gradient of ones dx is zero, so that much of what is wrong fits."""
    found = verdict(tmp_path, BATCH_NORM.replace("dxhat * xhat", "dxhat"))
    assert wrong(found).keys() == {"X"}
    assert "restricted" not in {remark.code for remark in found.remarks}


LINEAR = """
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)
def affine_backward(dout, cache):
    x, w, b = cache
    dw = np.zeros_like(w)
    for place in np.ndindex(*w.shape):
        ahead, behind = w.copy(), w.copy()
        ahead[place] += STEP
        behind[place] -= STEP
        dw[place] = np.sum((x @ ahead - x @ behind) * dout) / (2 * STEP)
    return dout @ w.T, dw, dout.sum(axis=0)
"""


@pytest.mark.parametrize("step", ["1e-3", "1e-4", "1e-5", "1e-6", "1e-7"])
def test_a_step_is_named_only_where_it_can_be_told(tmp_path: Path, step: str) -> None:
    """Of a linear layer every difference quotient is right but for rounding."""
    cause = wrong(verdict(tmp_path, LINEAR.replace("STEP", step), "affine"))["W"].cause
    assert cause is not None
    if cause.explains:
        assert cause.code == "differences"
    if "step" in cause.message:
        assert f"{float(step):.0e}" in cause.message
    assert "forward difference" not in cause.message
    assert "backward difference" not in cause.message


SAMPLED = """\
layer: sampled
inputs:
  v: [D]
  o: {shape: [], index: V}
  k: {shape: [K], index: V, not: o}
parameters:
  U: [V, D]
sizes: {K: '>=3'}
forward: |
  cost = -log(sigmoid(U[o] @ v)) - sum(log(sigmoid(-U[k] @ v)))
check:
  forward: cost, dv, dU = sampled(v, o, k, U)
"""
SAMPLED_CODE = """\
import numpy as np
def sampled(v, o, k, U):
    chosen = np.array([o, *k])
    sign = np.array([1.0] + [-1.0] * len(k))
    p = 1 / (1 + np.exp(-sign * (U[chosen] @ v)))
    slope = sign * (p - 1)
    dU = np.zeros(U.shape)
    dU[chosen] += slope[:, None] * v
    return -np.log(p).sum(), slope @ U[chosen], dU
"""


def test_labels_that_repeat_are_added_once_beside_another_term(tmp_path: Path) -> None:
    file = tmp_path / "sampled.py"
    file.write_text(SAMPLED_CODE)
    layer = reference_for(load_text(SAMPLED, "sampled.yaml"))
    found = wrong(check_pair(layer, file, seed=0, version="1").verdict)
    assert set(found) == {"U"}
    assert found["U"].cause is not None
    assert found["U"].cause.code == "overwritten"
    assert found["U"].cause.message.startswith("an entry that is named several times is changed")
    assert "np.add.at(dU, chosen, slope[:, None] * v)" in found["U"].cause.proof
    assert found["U"].line == 8
    file.write_text(
        SAMPLED_CODE.replace(
            "dU[chosen] +=", "for c, s in zip(chosen, slope): dU[c] += s * v\n    0 *"
        )
    )
    assert check_pair(layer, file, seed=0, version="1").verdict.verdict == "pass"


@pytest.mark.parametrize(
    ("layer", "function", "slope", "code", "proof"),
    [
        ("tanh", "np.tanh(z)", "np.tanh(z)", "wrong-function", "every gradient is right"),
        ("softplus", "np.log1p(np.exp(z))", "z * (1 - z)", "wrong-point", "dA * Z * (1 - Z)"),
    ],
)
def test_a_slope_that_is_none(
    tmp_path: Path, layer: str, function: str, slope: str, code: str, proof: str
) -> None:
    text = f"import numpy as np\ndef {layer}(z):\n    return {function}\n"
    text += f"def {layer}_backward(dout, z):\n    return dout * ({slope})\n"
    cause = wrong(verdict(tmp_path, text, layer))["Z"].cause
    assert cause is not None
    assert (cause.code, cause.proof.endswith(proof)) == (code, True), cause


def test_wrong_in_one_row_only(tmp_path: Path) -> None:
    text = BATCH_NORM.replace("return dx,", "dx[-1] = 0\n    return dx,")
    cause = wrong(verdict(tmp_path, text))["X"].cause
    assert cause is not None
    assert cause.code == "some-entries"
    assert "last place along axis 0 (N)" in cause.message
    assert "zero" in cause.message


def test_a_right_file_is_never_diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradtool.check.diagnose as diagnose

    monkeypatch.setattr(diagnose, "with_causes", lambda *_: pytest.fail("not needed"))
    assert verdict(tmp_path, BATCH_NORM).verdict == "pass"


def report(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> str:
    monkeypatch.chdir(folder)
    Path("layers.py").write_text(BATCH_NORM.replace("- dxhat.sum(axis=0) - xhat", "- xhat"))
    out = io.StringIO()
    request = check_command.Request(Path("layers.py"), ("batch_norm",), **options)  # type: ignore[arg-type]
    check_command.run(request, out)
    return out.getvalue()


def test_the_report_shows_cause_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = report(tmp_path, monkeypatch)
    flat = " ".join(text.split())
    assert (
        "cause the path through the mean (mu) is missing: your dX equals the right one without "
        "- dY.mean(axis=0) * gamma / std (explains all " in flat
    )
    assert "where line 17: dx = (N * dxhat - xhat" in flat
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("options", "there", "not_there"),
    [
        ({"explain": "cause"}, ("through the mean", "line 17"), ("dY.sum",)),
        ({"explain": "none"}, ("wrong",), ("cause", "where")),
        ({"hide_expected": True}, ("a path is missing", "line 17"), ("dY.sum", "mean (mu)")),
    ],
)
def test_less_is_told_on_demand(
    options: dict[str, object],
    there: tuple[str, ...],
    not_there: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = report(tmp_path, monkeypatch, **options)
    assert all(t in text for t in there)
    assert not any(t in text for t in not_there)


def test_json_hides_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (full,) = json.loads(report(tmp_path, monkeypatch, form="json"))
    (hidden,) = json.loads(report(tmp_path, monkeypatch, form="json", hide_expected=True))
    causes = [v["gradients"][0]["cause"] for v in (full, hidden)]
    assert [c["code"] for c in causes] == ["missing-path"] * 2
    assert "dY.mean" in causes[0]["message"]
    assert causes[1]["message"] == "a path is missing"
    assert full["gradients"][0]["line"] == 17


def test_a_heat_map_is_drawn_where_the_cause_is_not_known(tmp_path: Path) -> None:
    text = BATCH_NORM.replace("dx = (", "dx = np.cos(37 * dout) - np.sin(11 * xhat) * (")
    shown = check_text.plain(verdict(tmp_path, text))
    assert "not known; 100% of the entries are wrong" in " ".join(shown.split())
    assert "█" in shown
    hidden = check_text.plain(verdict(tmp_path, text), hide_expected=True)
    assert "█" not in hidden


SQUARES = """
layer: squares
inputs:
  X: [N, D]
forward: |
  Y = X**2
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def squares_backward(d, c):\n    return 3 * c * d\n", 5),
        ("def squares_backward(d, c):\n    g = d * 3\n    g = g * c\n    return g\n", 5),
        ("def squares_backward(d, c):\n    g = np.cos(5 * d)\n    g = g - np.sin(7 * c)\n"
         "    return g\n", 6),
        ("def squares_backward(d, c):\n    g = d * 0\n    g[:] = 3 * c * d\n    return g\n", 6),
        ("def squares_backward(d, c):\n    return inner(d, c)\n"
         "def inner(d, c):\n    r = 3 * c * d\n    return r\n", 7),
        ("def squares_backward(d, c):\n    dx = np.cos(5 * d)\n    dx = dx - np.sin(7 * c)\n"
         "    out = {'dx': dx}\n    dx = 0\n    return out\n", 6),
        ("def squares_backward(d, c):\n    g, out = 3 * c * d, {}\n    out['dx'] = g\n"
         "    return out\n", 5),
        ("def squares_backward(d, c):\n    out = {}\n    out['dx'] = 3 * c * d\n"
         "    return out\n", 6),
    ],
)  # fmt: skip
def test_the_line_that_assigns(text: str, line: int, tmp_path: Path) -> None:
    file = tmp_path / "squares.py"
    file.write_text("import numpy as np\ndef squares_forward(x):\n    return x ** 2, x\n" + text)
    spec = reference_for(load_text(SQUARES, "squares.yaml"))
    found = check_pair(spec, file, seed=0, version="1").verdict
    assert [g.line for g in found.gradients] == [line]


def test_the_line_of_a_derivative_alone(tmp_path: Path) -> None:
    file = tmp_path / "squares.py"
    file.write_text("""
import numpy as np
class Squares:
    def __call__(self, x):
        return x ** 2
    def gradient(self, x):
        return 3 * x
""")
    spec = reference_for(load_text(SQUARES, "squares.yaml"))
    found = check_pair(spec, file, seed=0, version="1").verdict
    assert [(g.standing, g.line) for g in found.gradients] == [("wrong", 7)]


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("N", lambda n, d: n),
        ("1/N", lambda n, d: 1 / n),
        ("-2", lambda n, d: -2),
        ("N/(N - 1)", lambda n, d: n / (n - 1)),
        ("N/D", lambda n, d: n / d),
        ("1/sqrt(D)", lambda n, d: d**-0.5),
        ("0.37", lambda n, d: 0.37),
        (None, lambda n, d: np.sin(n)),
    ],
)
def test_a_factor_is_named_by_what_it_is_at_every_size(text: str | None, function: object) -> None:
    at = [{"N": 4, "D": 5}, {"N": 3, "D": 7}, {"N": 6, "D": 2}]
    found = named([float(function(**{k.lower(): v for k, v in a.items()})) for a in at], at)  # type: ignore[operator]
    assert (found.text if found else None) == text


@pytest.mark.parametrize("name", ["batch_norm", "multi_head_attention", "small_cnn", "lstm"])
def test_every_grain_reads_only_what_it_defines(name: str) -> None:
    """A reshaped cotangent cannot be written out as a path, so that path is no grain's."""
    from gradtool.check.diagnose_program import derived
    from gradtool.ir.graph import operands
    from gradtool.report import library
    from gradtool.spec.forward import graph_of

    spec = library.load(name)
    graph = graph_of(spec, library.finder(spec))
    for grain in derived(graph).grains:
        known = {t.name for t in graph.inputs} | {f"d{name}" for name in graph.outputs}
        for statement in grain.statements:
            assert operands(statement) <= known, (grain.name, statement.out.name)
            known.add(statement.out.name)


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("var - eps", "eps has the wrong sign in the backward pass, in std"),
        ("var", "eps is left out of the backward pass, in std"),
        ("var + 2 * eps", "eps is taken twice in the backward pass, in std"),
    ],
)
def test_a_constant_that_is_another_in_the_backward_pass(
    tmp_path: Path, root: str, said: str
) -> None:
    from gradtool.check.pair import check_pair
    from gradtool.numeric.reference import reference_for
    from gradtool.report import library

    spec = library.load("batch_norm")
    file = tmp_path / "bn.py"
    file.write_text(
        "import numpy as np\n"
        "def batchnorm_forward(x, gamma, beta, eps=1e-5):\n"
        "    mean, var = x.mean(0), x.var(0)\n"
        "    normal = (x - mean) / np.sqrt(var + eps)\n"
        "    return gamma * normal + beta, (normal, var, gamma, eps)\n"
        "def batchnorm_backward(dout, cache):\n"
        "    normal, var, gamma, eps = cache\n"
        "    n, dgamma, dbeta = len(dout), (dout * normal).sum(0), dout.sum(0)\n"
        f"    dx = gamma / np.sqrt({root}) / n * (n * dout - dbeta - normal * dgamma)\n"
        "    return dx, dgamma, dbeta\n"
    )
    reference = reference_for(spec, library.finder(spec))
    verdict = check_pair(reference, file, seed=0, version="1").verdict
    cause = next(g.cause for g in verdict.gradients if g.name == "X")
    assert cause is not None
    assert (cause.code, cause.message) == ("constant", said)


def test_what_is_too_large_to_be_computed_is_no_explanation_and_no_crash() -> None:
    def too_large(seen: Seen) -> None:
        raise TooLargeError("a sum over 1,503,000,000 products is not evaluated one by one")

    seen = SimpleNamespace(got=np.arange(1.0, 7.0), right=np.arange(6.0) * 3, point=None)
    evidence = SimpleNamespace(
        entries=12, seen=[seen, seen], shape_fits=True, telling=[seen], budget=Budget()
    )
    pool = [Hypothesis("scale", 1.0, word, too_large) for word in ("a sum", "another one")]
    assert list(pairs(evidence, pool)) == []  # type: ignore[arg-type]


WINDOWS = """\
import numpy as np


def conv_forward(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    n, _, h, width = x.shape
    f, _, hh, ww = w.shape
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((n, f, 1 + (h + 2 * pad - hh) // stride, 1 + (width + 2 * pad - ww) // stride))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            part = wide[:, :, i * stride:i * stride + hh, j * stride:j * stride + ww]
            out[:, :, i, j] = np.tensordot(part, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, wide, stride, pad)


def conv_backward(dout, cache):
    x, w, wide, stride, pad = cache
    _, _, h, width = x.shape
    _, _, hh, ww = w.shape
    grown, dw = np.zeros_like(wide), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            part = wide[:, :, i * stride:i * stride + hh, j * stride:j * stride + ww]
            dw += np.tensordot(dout[:, :, i, j], part, axes=([0], [0]))
            piece = np.tensordot(dout[:, :, i, j], w, axes=([1], [0]))
            grown[:, :, i * stride:i * stride + hh, j * stride:j * stride + ww] += piece
    return grown[:, :, pad:pad + h, pad:pad + width], dw, dout.sum(axis=(0, 2, 3))
"""


@pytest.mark.parametrize(
    ("right", "mistake", "name", "code"),
    [
        ("+= piece", "= piece", "X", "overwritten"),
        (
            "part = wide[:, :, i * stride:i * stride + hh, j * stride:j * stride + ww]\n"
            "            dw",
            "part = wide[:, :, i:i + hh, j:j + ww]\n            dw",
            "F",
            "stride-ignored",
        ),
    ],
)
def test_mistakes_that_show_where_windows_are_several(
    tmp_path: Path, right: str, mistake: str, name: str, code: str
) -> None:
    assert WINDOWS.count(right) == 1
    found = wrong(verdict(tmp_path, WINDOWS.replace(right, mistake), "conv2d"))
    assert set(found) == {name}
    cause = found[name].cause
    assert cause is not None
    assert cause.code == code


LEAKY = """\
import numpy as np


def leaky_forward(x, w, alpha=0.1):
    z = x @ w
    return np.where(z > 0, z, alpha * z), (x, w, z)


def leaky_backward(dout, cache):
    x, w, z = cache
    dz = dout.copy()
    dz[z < 0] *= 0.1
    return dz @ w.T, x.T @ dz
"""
LEAKY_SPEC = """\
layer: leaky
inputs:
  X: [N, D]
parameters:
  W: [D, H]
constants: {alpha: 0.1}
forward: |
  Z = X @ W
  Y = where(Z > 0, Z, alpha * Z)
"""


def test_of_two_names_for_a_mistake_every_gradient_is_told_the_same(tmp_path: Path) -> None:
    file = tmp_path / "leaky.py"
    file.write_text(LEAKY.replace("    dz[z < 0] *= 0.1\n", ""))
    layer = reference_for(load_text(LEAKY_SPEC, "leaky.yaml"))
    for seed in range(3):
        found = wrong(check_pair(layer, file, seed=seed, version="1").verdict)
        assert set(found) == {"X", "W"}
        told = {(g.cause.code, g.cause.message) for g in found.values() if g.cause is not None}
        assert len(told) == 1, told
