"""On random forward programs the engine is right or refuses with a typed error; it never guesses.

A program agrees when its forward pass equals NumPy's on the same text, and when every printed line
of both backward passes, read back, equals 60-digit differences at every size set.  The long run
is ``python -m tests.programs.run_many``.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tests.programs.prove as proving
from gradtool.derive.derivation import Derivation, derive
from gradtool.ir.graph import Graph
from gradtool.ir.tree import Call
from gradtool.numeric.certify import CertificationError, certify
from gradtool.records import replace
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from tests.programs.generate import Declared, Line, Program, generate
from tests.programs.prove import prove
from tests.programs.run_many import made, small

BATCHES, EACH = 20, 10


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs_agree_or_are_refused(batch: int) -> None:
    refused = 0
    for seed in range(batch * EACH, (batch + 1) * EACH):
        program = generate(random.Random(seed))
        outcome = prove(program, seed, size_sets=2)
        assert outcome.status in ("agrees", "refused", "undefined"), (
            f"program {seed}: {outcome.status}: {outcome.reason}\n{program.yaml}\n{outcome.detail}"
        )
        refused += outcome.status == "refused"
    assert refused <= 1


@pytest.mark.parametrize("batch", range(4))
def test_random_loops_agree_or_are_refused(batch: int) -> None:
    refused = 0
    for number in range(batch * 8, (batch + 1) * 8):
        seed = -1000 - number
        program = made(seed)
        outcome = prove(program, seed, size_sets=2)
        assert outcome.status in ("agrees", "refused", "undefined"), (
            f"program {seed}: {outcome.status}: {outcome.reason}\n{program.yaml}\n{outcome.detail}"
        )
        refused += outcome.status == "refused"
    assert refused <= 2


@given(st.integers(10**6, 10**9))
@settings(max_examples=15, derandomize=True, database=None, phases=[Phase.generate])
def test_programs_of_seeds_that_hypothesis_draws(seed: int) -> None:
    # Shrinking a seed means nothing: `small` shrinks the program itself.
    outcome = prove(generate(random.Random(seed)), seed, size_sets=1)
    if outcome.status not in ("agrees", "refused", "undefined"):
        program, outcome = small(seed)
        pytest.fail(
            f"program {seed}: {outcome.status}: {outcome.reason}\n{program.yaml}\n{outcome.detail}"
        )


@pytest.mark.parametrize("seed", range(5, 105, 10))
def test_the_certificate_agrees_with_this_harness(seed: int) -> None:
    program = generate(random.Random(seed))
    if prove(program, seed, size_sets=2).status != "agrees":
        return
    spec = load_text(program.yaml, "program.yaml")
    graph = graph_of(spec)
    assert certify(spec, graph, derive(graph)).digits >= 30


# -- the harness can fail -----------------------------------------------------------------


def _tiny(text: str, reference: str = "") -> Program:
    declared = (Declared("X", "inputs", "[N, D]"), Declared("Z", "inputs", "[N, D]"))
    return Program(declared, (Line("Y", text, reference or text),), ("Y",), ("N", "D"))


def test_a_right_program_agrees() -> None:
    assert prove(_tiny("Y = X * tanh(Z)")).status == "agrees"


def test_a_wrong_lowering_is_found() -> None:
    outcome = prove(_tiny("Y = X * Z", "Y = X + Z"))
    assert (outcome.status, outcome.reason) == ("wrong", "forward value")


def _spoiled(graph: Graph, *, staged: bool = False) -> Derivation:
    """The derivation with the sign of its last gradient turned."""
    whole = derive(graph, staged=staged)
    last = whole.lines[-1]
    wrong = replace(last, tree=Call("neg", (last.tree,)))
    return replace(whole, lines=(*whole.lines[:-1], wrong))


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "derive", _spoiled)
    outcome = prove(_tiny("Y = X * Z"))
    assert (outcome.status, outcome.reason) == ("wrong", "compact gradient")


def test_a_wrong_zero_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(graph: Graph, *, staged: bool = False) -> Derivation:
        whole = derive(graph, staged=staged)
        return replace(whole, lines=whole.lines[:-1], zero=("Z",))

    monkeypatch.setattr(proving, "derive", without)
    assert prove(_tiny("Y = X * Z")).status == "wrong"


def test_the_certificate_finds_a_wrong_gradient() -> None:
    spec = load_text(_tiny("Y = X * Z").yaml, "program.yaml")
    graph = graph_of(spec)
    with pytest.raises(CertificationError, match="does not agree"):
        certify(spec, graph, _spoiled(graph))
