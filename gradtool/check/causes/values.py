"""A whole value is another one: the cache holds x for xhat, the upstream gradient is not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import SPARED, Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.graph import Statement, operands
from gradtool.ir.poly import Function
from gradtool.numeric.arithmetic import Double
from gradtool.records import Struct

_MOST = 400


class _Replaced(Struct, frozen=True):
    """The gradient when the backward pass reads one value for another."""

    evidence: Evidence
    grain: Grain
    name: str
    by: str
    function: str = ""

    def predict(self, seen: Seen) -> Array | None:
        bench = self.evidence.bench(self.grain, seen.number)
        other = np.asarray(bench.known[self.by])
        if self.function:
            other = np.asarray(Double().function(self.function, [other]))
        if other.shape != np.shape(bench.known[self.name]):
            return None
        tensor = self.grain.gradients[self.evidence.name]
        return bench.changed(tensor, values={self.name: other}, after=self.grain.first)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits or evidence.tier:
        return
    yield from _upstream(evidence)
    for rank, grain in enumerate(evidence.grains):
        read = _read(grain, grain.gradients[evidence.name])
        named = {
            n: t
            for n, t in grain.tensors.items()
            if t.kind == "real" and not n.startswith("_") and n not in grain.cotangents
        }
        applied = _applied(grain)
        spared = {n for v in evidence.right for n in _read(grain, grain.gradients.get(v, ""))}
        count = 0
        for name in read & named.keys():
            for other, tensor in named.items():
                if other == name or tensor.shape != named[name].shape or count > _MOST:
                    continue
                count += 1
                made = _Replaced(evidence, grain, name, other)
                argument = applied.get(name, ("", ""))[1] == other
                result = applied.get(other, ("", ""))[1] == name
                point = argument or result
                where = "" if name in spared else ", everywhere in the backward pass"
                yield Hypothesis(
                    "wrong-point" if point else "wrong-tensor",
                    1.3 + 0.02 * rank + SPARED * (name in spared),
                    f"{other} stands where {name} belongs{where}",
                    made.predict,
                    key=f"{other} for {name}",
                )
        for name, (function, inner) in applied.items():
            if name in read:
                made = _Replaced(evidence, grain, name, name, function)
                yield Hypothesis(
                    "wrong-point",
                    1.1 + 0.02 * rank + SPARED * (name in spared),
                    f"the derivative of {function} is taken at {name}, not at {inner}",
                    made.predict,
                    key=f"{function} of {name}",
                )


def _read(grain: Grain, tensor: str) -> set[str]:
    """Forward values that the backward pass of a gradient reads."""
    places = [p for p in grain.leads_to(tensor) if p >= grain.first]
    return {n for p in places for n in operands(grain.statements[p])}


def _applied(grain: Grain) -> Mapping[str, tuple[str, str]]:
    """Values that are a function of one other value: name to function and argument."""
    found = {}
    for statement in grain.statements[: grain.first]:
        if not isinstance(statement, Statement):
            continue
        term = statement.body.single
        if term is None or len(term.factors) != 1 or term.coefficient != 1:
            continue
        base, exponent = term.factors[0]
        if not isinstance(base, Function) or exponent != 1 or len(base.args) != 1:
            continue
        argument = base.args[0].single
        if argument is not None and len(argument.factors) == 1:
            inner = getattr(argument.factors[0][0], "tensor", None)
            if inner is not None:
                found[statement.out.name] = (base.name, inner.name)
    return found


def _upstream(evidence: Evidence) -> Iterator[Hypothesis]:
    grain = evidence.grains[0] if evidence.grains else None
    if grain is None:
        return
    label = evidence.label
    for name in grain.upstream:

        def ones(seen: Seen, n: str = name, g: Grain = grain) -> Array:
            bench = evidence.bench(g, seen.number)
            same = np.ones_like(bench.known[n])
            return bench.changed(g.gradients[evidence.name], values={n: same}, after=g.first)

        yield Hypothesis(
            "upstream-ignored", 0.9, f"the upstream gradient {name} is not used", ones,
            lambda n=name: f"your {label} equals the right one for {n} = 1", f"ones for {name}",  # type: ignore[misc]
        )  # fmt: skip
    if not grain.upstream:

        def plain(seen: Seen, g: Grain = grain) -> Array | None:
            bench = evidence.bench(g, seen.number)
            return seen.right / bench.factor if bench.factor not in (0.0, 1.0) else None

        yield Hypothesis(
            "upstream-ignored", 0.9, "the upstream gradient of the loss is not used", plain
        )
