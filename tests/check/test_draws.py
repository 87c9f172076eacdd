"""A mask that the code draws is held to the probability that the spec states, and by no luck."""

from __future__ import annotations

from functools import cache
from math import comb
from pathlib import Path
from random import Random

import numpy as np
import pytest

from gradtool.check.draws import _NEVER, _is_improbable
from gradtool.check.evaluate import _is_one_value
from gradtool.check.process import Worker
from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from tests.layers import bundled, verdict_on

CODE = """
import numpy as np
def dropout_forward(X, p):
    SEED
    M = DRAW
    return X * M / SHARE, (M, p)
def dropout_backward(dY, cache):
    M, p = cache
    return dY * M / SHARE
"""
CLASS = """
import numpy as np
class Dropout:
    def __init__(self, p):
        self.p = p
    def forward(self, X):
        self.mask = DRAW / self.p
        return X * self.mask
    def backward(self, dY):
        return dY * self.mask
"""
DROPPED = """
import numpy as np
def dropout_forward(X, p):
    dropped = DRAW
    return np.where(dropped, 0, X) / SHARE, (dropped, p)
def dropout_backward(dY, cache):
    dropped, p = cache
    return np.where(dropped, 0, dY) / SHARE
"""
SHARE_DROPPED = """
import numpy as np
class Dropout:
    def __init__(self, drop=0.5):
        self.drop = drop
    def forward(self, X):
        self.dropped = np.random.rand(*X.shape) < self.drop
        Y = X / (1 - self.drop)
        Y[self.dropped] = 0
        return Y
    def backward(self, dY):
        dX = dY / (1 - self.drop)
        dX[self.dropped] = 0
        return dX
"""
RAND = "np.random.rand(*X.shape)"


def code(draw: str, share: str = "p", seed: str = "pass") -> str:
    return CODE.replace("DRAW", draw).replace("SHARE", share).replace("SEED", seed)


def judged(
    text: str, folder: Path, layer: DerivedReference | None = None, seed: int = 0
) -> Verdict:
    return verdict_on(layer or bundled("dropout"), folder, text, seed=seed, explain=True)


@pytest.mark.parametrize(
    "text",
    [
        code(f"{RAND} < p"),
        code(f"{RAND} > 1 - p"),
        code("np.random.binomial(1, p, X.shape)"),
        code("np.random.uniform(0, 1, X.shape) <= p"),
        code("np.random.choice([0.0, 1.0], X.shape, p=[1 - p, p])"),
        # Given the share that is dropped.
        code(f"{RAND} > p", "(1 - p)"),
        code("np.random.binomial(1, 1 - p, X.shape)", "(1 - p)"),
        CLASS.replace("DRAW", "np.random.binomial(1, self.p, X.shape)"),
        # True where an entry is dropped.
        DROPPED.replace("DRAW", f"{RAND} > p").replace("SHARE", "p"),
        DROPPED.replace("DRAW", f"{RAND} < p").replace("SHARE", "(1 - p)"),
        SHARE_DROPPED,
    ],
)
def test_a_mask_of_the_right_probability_is_right(tmp_path: Path, text: str) -> None:
    for seed in range(4):
        verdict = judged(text, tmp_path, seed=seed)
        assert verdict.verdict == "pass", verdict
        assert not verdict.remarks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (code(f"{RAND} > p"), "keeps what is to be dropped"),
        (code(f"{RAND} < p", "(1 - p)"), "keeps what is to be dropped"),
        (DROPPED.replace("DRAW", f"{RAND} < p").replace("SHARE", "p"), "what is to be dropped"),
        (DROPPED.replace("DRAW", f"{RAND} < 0.2").replace("SHARE", "p"), "where p = 0.56"),
        (code("np.random.randn(*X.shape) < p"), "entries where p = 0.56 is the probability"),
        (code(f"{RAND} < 0.8"), "entries where p = 0.56 is the probability"),
        (code("np.ones(X.shape) < p"), "keeps 0 % of"),
        (code("np.ones(X.shape)"), "keeps 100 % of"),
        (code("np.ones(X.shape) * (np.random.rand(len(X), 1) < p)"), "drawn anew for every entry"),
        (code("np.ones(X.shape) * (np.random.rand(X.shape[1]) < p)"), "drawn anew for every entry"),
        (
            CLASS.replace("DRAW", "np.random.binomial(1, 1 - self.p, X.shape)"),
            "keeps what is to be dropped",
        ),
    ],
)
def test_another_mask_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    for seed in range(3):
        verdict = judged(text, tmp_path, seed=seed)
        assert verdict.verdict == "fail"
        (output,) = verdict.forward
        assert output.cause is not None
        assert (output.standing, output.cause.code) == ("wrong", "draw")
        assert said in output.cause.message


@pytest.mark.parametrize(("drawn", "result"), [("< p", "M * "), ("> p", "~M * ")])
def test_what_is_kept_beside_a_mask_is_no_mask(tmp_path: Path, drawn: str, result: str) -> None:
    """Where there is one entry only, an input and an output have one value, as masks have."""
    text = code(f"{RAND} {drawn}").replace("X * M", f"{result}X").replace("dY * M", f"{result}dY")
    text = text.replace("(M, p)", "(X.copy(), M, p)").replace("M, p = cache", "X, M, p = cache")
    for seed in range(6):  # with some of them the only entry is dropped
        verdict = judged(text, tmp_path, seed=seed)
        assert verdict.verdict == "pass", verdict


def test_to_read_a_mask_loads_no_masked_arrays(tmp_path: Path) -> None:
    """`numpy.ma` takes a worker longer to import than all else that it does for a small layer."""
    asks = "M, p = cache\n    import sys\n    assert 'numpy.ma' not in sys.modules"
    text = code(f"{RAND} < p").replace("M, p = cache", asks)
    assert judged(text, tmp_path).verdict == "pass"
    loads = text.replace("import sys", "import sys, numpy.ma")
    assert judged(loads, tmp_path).verdict != "pass"


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [0.5],
        [2.0, 2.0],
        [2.0, 3.0],
        [np.nan, np.nan],
        [2.0, np.nan],
        [np.nan, 2.0],
        [np.inf, np.inf],
        [np.inf, -np.inf],
        [True, True],
        [1 + 1j, 1 - 1j],
    ],
)
def test_a_mask_has_one_value_as_the_unique_ones_tell(entries: list[float]) -> None:
    array = np.array(entries)
    assert _is_one_value(array) == (np.unique(array).size <= 1)


def test_a_generator_that_is_seeded_where_it_draws_is_told(tmp_path: Path) -> None:
    verdict = judged(code(f"{RAND} < p", seed="np.random.seed(1)"), tmp_path)
    assert verdict.verdict == "pass"
    assert [r.code for r in verdict.remarks] == ["random"]


@cache
def layer(text: str) -> DerivedReference:
    return reference_for(load_text(text, "drawn.yaml"))


BINARY = """
layer: dropout
inputs: {X: [N, D], M: {shape: [N, D], domain: binary, constant: true}}
constants: {p: 0.8}
forward: Y = X * M / p
"""
DROPPED = """
layer: dropout
inputs: {X: [N, D], M: {shape: [N, D], domain: bernoulli(1 - rate), read: true}}
constants: {rate: 0.3}
forward: Y = X * M / (1 - rate)
check:
  forward: |
    Y, cache = dropout_forward(X, rate)
    M = cache[0] * 1.0
  backward: dX = dropout_backward(dY, cache)
"""


def test_few_entries_are_told(tmp_path: Path) -> None:
    pinned = BINARY.replace("binary", "bernoulli(p)").replace(
        "forward", "sizes: {N: 3, D: 4}\nforward"
    )
    verdict = judged(code(f"{RAND} < p"), tmp_path, layer(pinned))
    assert verdict.verdict == "pass"
    assert ["12 entries at most" in r.message for r in verdict.remarks] == [True]


def test_a_mask_that_keeps_nothing_proves_nothing(tmp_path: Path) -> None:
    """Where the spec states no probability, too; any other mask is one of the spec's."""
    nothing = judged(code("np.ones(X.shape) < p"), tmp_path, layer(BINARY))
    assert nothing.verdict == "fail"
    assert [g.standing for g in nothing.gradients] == ["not computed"]
    assert judged(code(f"{RAND} > p"), tmp_path, layer(BINARY)).verdict == "pass"


def test_the_probability_is_arithmetic_of_constants(tmp_path: Path) -> None:
    right = code(f"{RAND} > p", "(1 - p)")
    assert judged(right, tmp_path, layer(DROPPED)).verdict == "pass"
    wrong = judged(code(f"{RAND} < p", "(1 - p)"), tmp_path, layer(DROPPED))
    assert wrong.verdict == "fail"
    assert wrong.forward[0].cause is not None
    assert "1 - rate = 0.7 is the probability" in wrong.forward[0].cause.message


@pytest.mark.parametrize("chance", [0.02, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("count", [1, 7, 60, 400])
def test_what_is_called_improbable_is_so(count: int, chance: float) -> None:
    """The exact probability of all shares together that are called improbable, by the binomial."""
    kept = np.arange(count + 1)
    called = _is_improbable(kept / count, count, chance)
    exact = [comb(count, int(k)) * chance**k * (1 - chance) ** (count - int(k)) for k in kept]
    assert sum(p for p, c in zip(exact, called, strict=True) if c) <= 2 * np.exp(-_NEVER)


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("bernoulli(q)", "no constant is called 'q'"),
        ("bernoulli", "expected a probability, found 'bernoulli'"),
        ("bernoulli(p, 2)", "expected a probability"),
        ("bernoulli(exp(p))", "expected a probability"),
        ("bernoulli(2 * p)", "between 0 and 1, found 2 * p = 1.6"),
        ("bernoulli(1 / (p - p))", "between 0 and 1, found 1 / (p - p)"),
        ("bernoulli(1.5)", "between 0 and 1, found 1.5"),
        ("bernoulli(0)", "between 0 and 1, found 0"),
    ],
)
def test_what_is_no_probability_is_refused(domain: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        load_text(BINARY.replace("domain: binary", f"domain: '{domain}'"), "drawn.yaml")
    assert said in str(refused.value)


def test_a_target_is_no_mask_that_the_code_draws(tmp_path: Path) -> None:
    """The forward pass of a network may end before the loss; then nothing was drawn."""
    spec = """
layer: logistic
inputs:
  X: [D, m]
  Y: {shape: [1, m], domain: binary, constant: true}
parameters:
  W: [1, D]
forward: |
  A = sigmoid(W @ X)
  L = -mean(Y * log(A) + (1 - Y) * log(1 - A))
"""
    code = """
import numpy as np
def forward_propagation(X, parameters):
    A = 1 / (1 + np.exp(-parameters["W"] @ X))
    return A, {"A": A}
def backward_propagation(parameters, cache, X, Y):
    return {"dW": (cache["A"] - Y) @ X.T / X.shape[1]}
"""
    found = verdict_on(reference_for(load_text(spec, "logistic.yaml")), tmp_path, code)
    assert found.verdict == "error"
    assert found.trouble is not None
    assert "forward_propagation has no argument for Y" in found.trouble.message


@pytest.mark.parametrize(
    "imported",
    ["import random", "from random import random as r; import random", "from helper import random"],
)
def test_the_same_seed_draws_the_same_from_pythons_own_generator(
    tmp_path: Path, imported: str
) -> None:
    (tmp_path / "helper.py").write_text("import random")
    file = tmp_path / "layer.py"
    file.write_text(f"{imported}\ndef noisy(X):\n    return X + random.random()")
    load = {"op": "load", "file": str(file), "root": str(tmp_path), "provide": {}}
    snippets = {"setup": None, "forward": "Y = noisy(X)", "backward": None}
    bind = {"op": "bind", "snippets": snippets, "grads": {}, "outputs": ["Y"], "gradients": []}
    run = {"op": "run", "scalars": {}, "slot": 0, "forward_only": True}
    with Worker(tmp_path, 10) as worker:
        worker.ask(load)
        worker.ask({**bind, "read": []})
        drawn = [
            worker.ask({**run, "seed": seed}, {"X": np.zeros(1)}, 100).arrays["output Y"][0]
            for seed in (1, 2, 1)
        ]
    assert drawn == [Random(seed).random() for seed in (1, 2, 1)]
