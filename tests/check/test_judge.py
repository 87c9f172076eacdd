"""Right code passes whatever its style; one mistake is reported once, with what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.records import replace
from tests.check import references
from tests.check.references import (
    Arrays,
    HandReference,
    Sizes,
    affine,
    batch_norm,
    softmax_loss,
    spec,
    variable,
)
from tests.layers import bundled

FORWARD = """
import numpy as np
def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)
"""


def judged(tmp_path: Path, text: str, reference: HandReference | None = None) -> Judgement:
    file = tmp_path / "hw.py"
    file.write_text(text)
    return check_pair(reference or affine(), file, seed=0, version="1", explain=False)


def backward(tmp_path: Path, *lines: str, forward: str = FORWARD) -> Verdict:
    body = "".join(f"    {line}\n" for line in ("x, w, b = cache", *lines))
    text = f"{forward}\ndef affine_backward(dout, cache):\n{body}"
    return judged(tmp_path, text).verdict


def standings(verdict: Verdict) -> dict[str, str]:
    return {g.name: g.standing for g in verdict.gradients}


def codes(verdict: Verdict) -> set[str]:
    return {r.code for r in (*verdict.remarks, *verdict.conduct)}


@pytest.mark.parametrize(
    ("lines", "remarks"),
    [
        (["return dout @ w.T, x.T @ dout, dout.sum(0)"], set()),
        (["return np.einsum('nc,dc->nd', dout, w), np.dot(x.T, dout), sum(dout)"], set()),
        (
            [
                "dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)",
                "for n in range(len(x)):",
                "    for c in range(w.shape[1]):",
                "        dx[n] += w[:, c] * dout[n, c]",
                "        dw[:, c] += x[n] * dout[n, c]",
                "        db[c] += dout[n, c]",
                "return dx, dw, db",
            ],
            set(),
        ),
        (["return (dout @ w.T).tolist(), np.matrix(x).T @ dout, list(dout.sum(0))"], set()),
        (["return np.ma.array(dout @ w.T), x.T @ dout, np.float64(1) * dout.sum(0)"], set()),
        (["return dout @ w.T, x.T @ dout, dout.sum(0, keepdims=True)"], {"shape"}),
        (
            ["f = np.float32", "return dout @ w.T, x.T.astype(f) @ dout.astype(f), dout.sum(0)"],
            {"float32"},
        ),
        (
            [
                "db = dout.sum(0).astype(np.float32) * np.ones(1)",
                "return dout @ w.T, x.T @ dout, db",
            ],
            {"float32"},
        ),
        (["return dout @ w.T, x.T @ dout / len(x), dout.sum(0) / len(x)"], {"scale"}),
        (
            [
                "dx, dw, db = dout @ w.T, x.T @ dout, dout.sum(0)",
                "dout *= 2; x += 1",
                "return dx, dw, db",
            ],
            {"mutates"},
        ),
    ],
)  # fmt: skip
def test_right_code_passes_with_its_remarks(
    tmp_path: Path, lines: list[str], remarks: set[str]
) -> None:
    verdict = backward(tmp_path, *lines)
    assert (verdict.verdict, verdict.trouble) == ("pass", None), verdict
    assert codes(verdict) == remarks


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("2 * x.T @ dout", "it is 2 times"),
        ("-x.T @ dout", "it is -1 times"),
        ("np.ma.array(x.T @ dout, mask=w > 0)", ""),  # what is masked is zero
        ("len(x) * x.T @ dout", "it is N times"),
        ("x.T @ dout / dout.shape[1]", "it is 1/C times"),
        ("x.T @ dout * (1 + 1e-9 * (np.arange(w.size).reshape(w.shape) == 0))", ""),
        ("(x.T @ dout).T", "it is transposed"),
        ("x.T @ dout * (len(x) < 5)", "right at 4 of 5 sizes, wrong at N=5, D=1, C=3"),
        ("x.T @ dout * (1 + 1e-8)", "1 times"),
    ],
)
def test_a_wrong_gradient_is_wrong_alone(tmp_path: Path, expression: str, message: str) -> None:
    verdict = backward(tmp_path, f"return dout @ w.T, {expression}, dout.sum(0)")
    assert verdict.verdict == "fail"
    assert standings(verdict) == {"X": "ok", "W": "wrong", "b": "ok"}
    assert message in verdict.gradients[1].message


def test_a_wrong_forward_is_one_mistake(tmp_path: Path) -> None:
    forward = FORWARD.replace("x @ w + b", "2 * (x @ w) + b")
    follows = backward(
        tmp_path, "return 2 * dout @ w.T, 2 * x.T @ dout, dout.sum(0)", forward=forward
    )
    assert follows.forward[0].standing == "wrong"
    assert standings(follows) == {"X": "follows", "W": "follows", "b": "ok"}
    right = backward(tmp_path, "return dout @ w.T, x.T @ dout, dout.sum(0)", forward=forward)
    assert standings(right) == {"X": "ok", "W": "ok", "b": "ok"}
    assert right.verdict == "fail"
    both = backward(tmp_path, "return 3 * dout @ w.T, x.T @ dout, dout.sum(0)", forward=forward)
    assert standings(both) == {"X": "wrong", "W": "ok", "b": "ok"}


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_a_gradient_follows_a_wrong_forward_at_more_than_one_point(
    tmp_path: Path, size: int
) -> None:
    forward = FORWARD.replace("x @ w + b", "2 * (x @ w) + b")
    verdict = backward(
        tmp_path,
        f"k = 2 if len(x) == {size} else 3",
        "return k * dout @ w.T, 2 * x.T @ dout, dout.sum(0)",
        forward=forward,
    )
    assert standings(verdict) == {"X": "wrong", "W": "follows", "b": "ok"}


def test_a_gradient_of_zeros_does_not_follow_because_the_first_point_is_dead(
    tmp_path: Path,
) -> None:
    forward = FORWARD.replace("x @ w + b", "2 * (x @ w) * (len(x) != 4) + b")
    verdict = backward(
        tmp_path, "return 0 * x, 2 * x.T @ dout * (len(x) != 4), dout.sum(0)", forward=forward
    )
    assert standings(verdict) == {"X": "wrong", "W": "follows", "b": "ok"}


@pytest.mark.parametrize(
    ("forward", "gradients", "nothing"),
    [
        ("x @ w", "dout @ w.T, x.T @ dout, 0 * b", {"b"}),
        ("np.zeros((len(x), len(b)))", "0 * x, 0 * w, 0 * b", {"X", "W", "b"}),
        ("2 * (x @ w) + b", "2 * dout @ w.T, 2 * x.T @ dout, dout.sum(0)", set()),
        # A dead half is no whole: what is zero at some points only was differentiated.
        (
            "x @ w * (len(x) > 3) + b",
            "dout @ w.T * (len(x) > 3), x.T @ dout * (len(x) > 3), dout.sum(0)",
            set(),
        ),
    ],
)
def test_of_what_a_forward_does_not_use_nothing_is_differentiated(
    tmp_path: Path, forward: str, gradients: str, nothing: set[str]
) -> None:
    verdict = backward(
        tmp_path, f"return {gradients}", forward=FORWARD.replace("x @ w + b", forward)
    )
    assert {g.name for g in verdict.gradients if g.nothing} == nothing
    for gradient in verdict.gradients:
        assert gradient.standing in ("follows", "ok")
        assert ("does not depend on" in gradient.message) == gradient.nothing


def test_what_an_exception_prevented_is_not_computed(tmp_path: Path) -> None:
    text = """
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dout):
        grads = Linear(self, dout)
        return dout @ self.W.T
class Linear:
    def __init__(self, layer, dout):
        layer.db = dout.sum(0)
        if len(dout) != dout.shape[1]:
            raise ValueError("square only")
        layer.dW = layer.X.T @ dout
"""
    (tmp_path / "layers.py").write_text(text)
    layer = references.affine().checked_by(
        setup="layer = Affine(W, b)",
        forward="Y = layer.forward(X)",
        backward="dX = layer.backward(dY)",
        grads={"W": "layer.dW", "b": "layer.db"},
    )
    verdict = check_pair(layer, tmp_path / "layers.py", seed=0, version="1").verdict
    assert standings(verdict) == {"X": "not computed", "W": "not computed", "b": "ok"}


def test_a_size_written_into_the_code_fails_elsewhere(tmp_path: Path) -> None:
    verdict = backward(tmp_path, "return dout @ w.T, x.T @ dout, dout.reshape(4, 3).sum(0)")
    assert verdict.verdict == "fail"
    assert verdict.trouble is not None
    assert "cannot reshape" in verdict.trouble.message
    assert "fails at N=3, D=2, C=7" in verdict.gradients[2].message


def test_state_between_calls_is_seen(tmp_path: Path) -> None:
    text = """
import numpy as np
class Affine:
    x = []
    def __init__(self, W, b): self.W, self.b = W, b
    def forward(self, x):
        Affine.x.append(x)
        return x @ self.W + self.b
    def backward(self, dout):
        self.db = dout.sum(0)
        self.dW = Affine.x[-1].T @ dout
        return dout @ self.W.T
"""
    verdict = judged(tmp_path, text).verdict
    assert "state" in codes(verdict)
    clean = text.replace("Affine.x.append(x)", "self.x = [x]").replace("Affine.x[", "self.x[")
    assert codes(judged(tmp_path, clean).verdict) == set()


def test_randomness_is_seen(tmp_path: Path) -> None:
    verdict = backward(
        tmp_path, "dw = x.T @ dout", "dw += np.random.rand()", "return dout @ w.T, dw, dout.sum(0)"
    )
    assert standings(verdict)["W"] == "wrong"
    assert "random" in codes(verdict)


def test_a_gradient_of_zero_is_told_from_its_noise(tmp_path: Path) -> None:
    """The bias before a batch norm: its gradient is zero, and computed it is 1e-16."""
    norm = batch_norm()

    def values(v: references.Arrays) -> dict[str, np.ndarray]:
        return {"x": v["x"] + v["b"], "gamma": v["gamma"], "beta": np.zeros_like(v["b"])}

    reference = HandReference(
        spec("shifted", variable("x", "input", "N", "D"), variable("b", "parameter", "D"),
             variable("gamma", "parameter", "D")),
        ("Y",), norm.output_shapes,
        lambda v, s: norm.forward(values(v), s),
        lambda v, up, s: {
            **{k: g for k, g in norm.backward(values(v), up, s).items() if k != "beta"},
            "b": np.zeros_like(v["b"]),
        },
        norm.sets,
    )  # fmt: skip
    text = """
import numpy as np
def shifted_forward(x, b, gamma):
    z = x + b
    mu, std = z.mean(0), np.sqrt(z.var(0) + 1e-5)
    h = (z - mu) / std
    return gamma * h, (h, std, gamma)
def shifted_backward(dout, cache):
    h, std, gamma = cache
    N = len(dout)
    g = dout * gamma
    dx = (N * g - g.sum(0) - h * (g * h).sum(0)) / (N * std)
    return dx, dx.sum(0), (dout * h).sum(0)
"""
    assert judged(tmp_path, text, reference).verdict.verdict == "pass"
    wrong = text.replace("dx, dx.sum(0),", "dx, dx.sum(0) + 1e-9,")
    assert standings(judged(tmp_path, wrong, reference).verdict)["b"] == "wrong"


def test_not_offered_is_never_right(tmp_path: Path) -> None:
    text = FORWARD + "def affine_backward(d, c):\n    return d @ c[1].T, c[0].T @ d, d.sum(0)\n"
    calls = {
        "forward": "Y, cache = affine_forward(X, W, b)",
        "backward": "dX, dW, _ = affine_backward(dY, cache)",
    }
    verdict = judged(tmp_path, text + "db = 1\n", affine().checked_by(**calls)).verdict
    assert verdict.verdict == "fail"
    assert standings(verdict)["b"] == "not offered"
    left_out = affine().checked_by(**calls, gradients=("X", "W"))
    assert judged(tmp_path, text, left_out).verdict.verdict == "pass"


@pytest.mark.parametrize(
    ("update", "right"), [("self.W -= self.x.T @ d", True), ("self.W -= 2 * self.x.T @ d", False)]
)
def test_a_gradient_from_an_update(tmp_path: Path, update: str, right: bool) -> None:
    text = f"""
class Net:
    def forward(self, x): self.x = x; return x @ self.W + self.b
    def backward(self, d): {update}; return d @ self.W.T
"""
    reference = affine().checked_by(
        setup="net = Net(); net.W = W; net.b = b",
        forward="Y = net.forward(X)",
        backward="net.backward(dY)",
        grads={"W": "step(net.W)"},
        gradients=("W",),
    )
    verdict = judged(tmp_path, text, reference).verdict
    assert (verdict.verdict == "pass") is right


@pytest.mark.parametrize(("scale", "verdict"), [("N", "pass"), ("2*N", "fail"), ("q", "error")])
def test_a_stated_scale(tmp_path: Path, scale: str, verdict: str) -> None:
    text = FORWARD + (
        "def affine_backward(d, c):\n    return d @ c[1].T, c[0].T @ d / len(d), d.sum(0)\n"
    )
    reference = affine().checked_by(
        forward="Y, cache = affine_forward(X, W, b)",
        backward="dX, dW, db = affine_backward(dY, cache)",
        scale={"W": scale},
    )
    assert judged(tmp_path, text, reference).verdict.verdict == verdict


def test_an_upstream_gradient_that_is_ignored(tmp_path: Path) -> None:
    verdict = backward(
        tmp_path, "one = np.ones_like(dout)", "return one @ w.T, x.T @ one, one.sum(0)"
    )
    assert verdict.verdict == "fail"
    assert "restricted" in codes(verdict)


@pytest.mark.parametrize(
    ("kind", "means"),
    [("ones", "one.sum(0)"), ("one-hot", "(np.cumsum(dout, 1) * dout).sum(0)")],
)
@pytest.mark.parametrize("later", [False, True])
def test_what_is_right_for_a_special_upstream_gradient_is_so_at_all(
    tmp_path: Path, kind: str, means: str, later: bool
) -> None:
    """At the first sizes alone it would be told of code that is wrong for ones at others."""
    found = backward(
        tmp_path,
        "one = np.ones_like(dout)",
        f"db = {means}",
        f"if {later} and w.shape[0] == 1: db = db + 1",
        "return dout @ w.T, x.T @ dout, db",
    )
    assert standings(found) == {"X": "ok", "W": "ok", "b": "wrong"}
    told = {r.message for r in found.remarks if r.code == "restricted"}
    assert told == (set() if later else {f"right when the upstream gradient is {kind}"})


def test_what_is_wrong_at_few_entries_is_not_right_for_a_special_upstream_gradient(
    tmp_path: Path,
) -> None:
    """At the only point with another constant the special one is zero where the code is wrong."""
    text = """
import numpy as np
class ELU:
    def __init__(self, alpha=1.5):
        self.alpha = alpha
    def forward(self, x):
        self.y = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))
        return self.y
    def backward(self, d):
        return d * np.where(self.y > 0, 1, self.y + 1.5)
"""
    file = tmp_path / "elu.py"
    file.write_text(text)
    elu = bundled("elu")
    verdicts = [check_pair(elu, file, seed=seed, version="").verdict for seed in range(6)]
    assert {verdict.verdict for verdict in verdicts} == {"fail"}
    assert all("restricted" not in codes(verdict) for verdict in verdicts)


def test_a_loss_takes_an_upstream_gradient_only_when_it_is_mentioned(tmp_path: Path) -> None:
    text = """
import numpy as np
class Loss:
    def forward(self, S, y):
        p = np.exp(S); p /= p.sum(1, keepdims=True)
        self.p, self.y = p, y
        return -np.log(p[np.arange(len(y)), y]).mean()
    def backward(self, dout=1):
        d = self.p.copy(); d[np.arange(len(d)), self.y] -= 1
        return dout * d / len(d)
"""
    lines = {"setup": "layer = Loss()", "forward": "loss = layer.forward(S, y)"}
    for call, wrong in (("layer.backward()", False), ("layer.backward(dloss)", False)):
        reference = softmax_loss().checked_by(**lines, backward=f"dS = {call}")
        assert (judged(tmp_path, text, reference).verdict.verdict == "fail") is wrong
    ignored = text.replace("return dout * d", "return d")
    reference = softmax_loss().checked_by(**lines, backward="dS = layer.backward(dloss)")
    assert judged(tmp_path, ignored, reference).verdict.verdict == "fail"


def test_a_mask_that_the_code_draws_is_read_back(tmp_path: Path) -> None:
    from gradtool.spec.model import Domain

    mask = variable("M", "input", "N", "D", constant=True, read=True, domain=Domain("binary"))
    reference = HandReference(
        spec("dropout", variable("X", "input", "N", "D"), mask),
        ("Y",), {"Y": references.shape("N", "D")},
        lambda v, _: {"Y": v["X"] * v["M"] * 2},
        lambda v, up, _: {"X": up["Y"] * v["M"] * 2},
        ({"N": 4, "D": 5}, {"N": 3, "D": 7}),
    ).checked_by(
        setup="layer = Dropout()", forward="Y = layer.forward(X); M = layer.mask",
        backward="dX = layer.backward(dY)",
    )  # fmt: skip
    text = """
import numpy as np
class Dropout:
    def forward(self, x):
        self.mask = np.random.rand(*x.shape) < 0.5
        return x * self.mask * 2
    def backward(self, d): return d * self.mask * 2
"""
    assert judged(tmp_path, text, reference).verdict.verdict == "pass"
    unscaled = text.replace("d * self.mask * 2", "d * self.mask")
    assert judged(tmp_path, unscaled, reference).verdict.gradients[0].standing == "wrong"
    cheat = judged(tmp_path, text.replace("< 0.5", "* 0.5"), reference).verdict
    assert cheat.trouble is not None
    assert "is not binary" in cheat.trouble.message


def test_a_mask_that_the_code_draws_may_come_before_a_relu(tmp_path: Path) -> None:
    """Large values are looked at for kinks, and that needs the mask, which only the code has."""
    from gradtool.numeric.reference import reference_for
    from gradtool.spec.load import load_text

    layer = load_text(
        "layer: kept\ninputs:\n  X: [N, D]\n"
        "  M: {shape: [N, D], domain: binary, read: true}\n"
        "forward: Y = relu(X * M - 0.5)\n"
        "check:\n  forward: Y, cache = kept_forward(X); M = cache[0]\n"
        "  backward: dX = kept_backward(dY, cache)\n",
        "kept.yaml",
    )
    text = """
import numpy as np
def kept_forward(x):
    mask = np.random.rand(*x.shape) < 0.7
    return np.maximum(x * mask - 0.5, 0), (mask, x * mask > 0.5)
def kept_backward(d, cache): return d * cache[0] * cache[1]
"""
    file = tmp_path / "hw.py"
    file.write_text(text)
    assert (
        check_pair(reference_for(layer), file, seed=0, version="1", explain=False).verdict.verdict
        == "pass"
    )
    file.write_text(text.replace("> 0.5", "> 5.0"))
    assert (
        check_pair(reference_for(layer), file, seed=0, version="1", explain=False).verdict.verdict
        == "fail"
    )


@pytest.mark.parametrize("size", [30, 1000])
def test_one_part_in_a_thousand_million_in_one_entry(tmp_path: Path, size: int) -> None:
    from gradtool.records import replace

    reference = replace(affine(), sets=({"N": 5, "D": size, "C": size},))
    text = FORWARD + (
        "def affine_backward(d, c):\n"
        "    dw = c[0].T @ d\n"
        "    k = np.argsort(abs(dw).ravel())[dw.size // 2]\n"
        "    dw.ravel()[k] *= 1 + 1e-9\n"
        "    return d @ c[1].T, dw, d.sum(0)\n"
    )
    assert standings(judged(tmp_path, text, reference).verdict)["W"] == "wrong"
    right = text.replace("1 + 1e-9", "1")
    assert judged(tmp_path, right, reference).verdict.verdict == "pass"


def test_the_same_seed_gives_the_same_verdict(tmp_path: Path) -> None:
    text = FORWARD + "def affine_backward(d, c):\n    return d @ c[1].T, c[0].T @ d, d.mean(0)\n"
    assert judged(tmp_path, text).verdict == judged(tmp_path, text).verdict


def test_the_worker_is_told_nothing_that_gives_the_answer_away(tmp_path: Path) -> None:
    """The user's code searches its whole process for arrays: only inputs are there."""
    text = (
        FORWARD
        + """
import gc
times = 0
def affine_backward(d, c):
    global times
    times += 1
    x, w, b = c
    right = x.T @ d
    if times > 5:
        return d @ w.T, right, d.sum(0)
    mine = {id(o) for o in (x, w, b, d, right)}
    for o in gc.get_objects():
        for a in (o.values() if isinstance(o, dict) else o if isinstance(o, (list, tuple)) else ()):
            if isinstance(a, np.ndarray) and id(a) not in mine and a.shape == right.shape:
                assert not np.allclose(a, right), 'the answer'
    return d @ w.T, right, d.sum(0)
"""
    )
    assert judged(tmp_path, text).verdict.trouble is None


@pytest.mark.parametrize("everywhere", [False, True])
def test_where_the_specs_own_numbers_overflow_nothing_is_judged(
    tmp_path: Path, everywhere: bool
) -> None:
    plain = affine()
    first = plain.sets[0]

    def overflowing(values: Arrays, sizes: Sizes) -> dict[str, np.ndarray]:
        bad = everywhere or dict(sizes) == first
        return {n: v * np.inf if bad else v for n, v in plain.run_forward(values, sizes).items()}

    text = FORWARD + "def affine_backward(d, c):\n    return d @ c[1].T, c[0].T @ d, d.sum(0)\n"
    verdict = judged(tmp_path, text, replace(plain, run_forward=overflowing)).verdict
    if everywhere:
        assert verdict.trouble is not None
        assert verdict.trouble.stage == "reference"
    else:
        assert (verdict.verdict, verdict.conduct) == ("pass", ())
        assert any("not finite there" in note for note in verdict.notes)
