"""The layers of the suite, their mutants, and how one mutant is judged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.numeric.sample import size_sets
from gradtool.records import Struct
from gradtool.spec.load import load_path
from gradtool.spec.model import LayerSpec
from tests.lasting_worker import LastingWorker
from tests.mutation import oracle
from tests.mutation.key import of_layer
from tests.mutation.mutate import HELD_OUT, OPENED, Mutant, chosen, mutants

FOLDER = Path(__file__).parent / "layers"
# Mutants of a held-out layer, so that no layer outweighs the others: those that run at every size,
# and those that raise, which tell of themselves.
CAP, CAP_RAISING = 40, 6
_SEED = 27  # which of them


class Layer(Struct, frozen=True, dict=True):
    """A correct file and its spec; `variants` are files with the backward written otherwise."""

    name: str
    spec: LayerSpec
    text: str
    reference: DerivedReference
    draws: list[oracle.Draw]
    variants: dict[str, str]
    set_name: str

    @cached_property
    def points(self) -> list[oracle.Sample]:
        """The draws with every gradient, which take long; right code does not need them."""
        return oracle.samples(self.spec, self.text, self.draws)


def layer_names(set_name: str | None = None) -> list[str]:
    """All layers, or those of a set; "" are those that halves are made of."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return [n for n in names if set_name is None or set_name == _set_of(n)]


@cache
def _data(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def _set_of(name: str) -> str:
    """Whether causes were written or tuned on a layer: its file says so."""
    found = str(_data(name).get("x-set", ""))
    assert found in ("", OPENED, HELD_OUT), name
    return found


def variant_titles(name: str) -> list[str]:
    """The other styles of a layer; nothing is derived."""
    return list(_data(name)["x-variants"])


@cache
def layer(name: str) -> Layer:
    spec = load_path(FOLDER / f"{name}.yaml")
    data = _data(name)
    text = data["x-code"]
    # A later definition of `backward` takes the place of the first.
    variants = {title: f"{text}\n\n{code}" for title, code in data["x-variants"].items()}
    reference = reference_for(spec)
    sizes = list(size_sets(reference.graph, spec.sizes))
    draws = oracle.draws(spec, text, sizes, 5)
    return Layer(name, spec, text, reference, draws, variants, _set_of(name))


@cache
def faulty(name: str) -> tuple[Mutant, ...]:
    """The mutants of a layer without those that are equivalent; of a held-out layer some.

    Changes that give the same numbers are the same mistake to whoever sees numbers only: a cause
    that is right for one is not wrong for the others; these codes are told apart as `alike`.
    """
    found = layer(name)
    words = found.spec.forward.text + found.text
    is_loss = all(np.ndim(u) == 0 for u in found.draws[0].upstream.values())
    penalised = is_loss and bool(found.spec.constants)
    kept = [
        replace(m, set_name=found.set_name, accepted=of_layer(m.accepted, words, penalised))
        for m in mutants(name, found.text, _locals(found))
        if not oracle.is_equivalent(found.spec, m.text, found.points)
    ]
    results = {m.text: oracle.results(found.spec, m.text, found.points) for m in kept}
    taken = kept
    if found.set_name == HELD_OUT:
        running = chosen([m for m in kept if results[m.text] is not None], CAP, _SEED)
        raising = chosen([m for m in kept if results[m.text] is None], CAP_RAISING, _SEED)
        taken = [*running, *raising]
    accepted = []
    for one in taken:
        mine, alike = results[one.text], frozenset[str]()
        for other in kept:
            its = results[other.text]
            if mine is not None and its is not None and oracle.same(mine, its, found.points):
                alike |= other.accepted
        facts = oracle.facts(mine, found.points) if mine else {}
        accepted.append(replace(one, facts=facts, alike=alike - one.accepted))
    return tuple(accepted)


def _locals(found: Layer) -> dict[str, Any]:
    """The local variables of `backward` when it returns, attributes of self included."""
    seen: dict[str, Any] = {}

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_name != "backward" or frame.f_code.co_filename != "layer":
            return None

        def inner(frame: Any, event: str, _: Any) -> Any:
            if event == "return":
                seen.update({n: v for n, v in frame.f_locals.items() if n != "self"})
                owner = frame.f_locals.get("self")
                for name, value in vars(owner).items() if owner is not None else ():
                    seen[f"self.{name}"] = value
            return inner

        return inner

    point = found.draws[0]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        oracle.run(found.spec, found.text, point.values, point.upstream, point.scalars)
    finally:
        sys.settrace(before)
    return seen


class Bench(LastingWorker):
    """One worker for many files; a lost one is replaced, and an old one."""

    def judge(self, found: Layer, text: str, seed: int = 0, explain: bool = True) -> Verdict:
        return self.check(found.reference, text, found.name, seed, explain)


def is_found(verdict: Verdict) -> bool:
    """A mistake is found when the file does not pass, or passes with its scale named."""
    return verdict.verdict != "pass" or any(r.code == "scale" for r in verdict.remarks)


def causes(verdict: Verdict) -> dict[str, str]:
    """The code of each wrong gradient; "" where no cause was stated.

    Without one, a gradient that has another shape or is not finite is none that has to be
    explained by its numbers.
    """
    return {
        g.name: g.cause.code if g.cause else ""
        for g in verdict.gradients
        if g.standing == "wrong"
        and (g.cause is not None or (g.error is not None and np.isfinite(g.error)))
    }


def every(half: str | None = None) -> Iterator[Mutant]:
    for name in layer_names():
        yield from (m for m in faulty(name) if half in (None, m.half))
