"""A constant of the spec is another number in the backward pass: eps left out, or subtracted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import SPARED, Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.atoms import Symbol
from gradtool.ir.graph import Statement, operands
from gradtool.ir.poly import Atom, Poly, atom
from gradtool.ir.walk import replace_atoms
from gradtool.numeric.grid import evaluate
from gradtool.records import Struct, replace

# How often the constant is taken, and what is said of it.
_TAKEN = (
    (Fraction(0), "{c} is left out of the backward pass{where}"),
    (Fraction(-1), "{c} has the wrong sign in the backward pass{where}"),
    (Fraction(2), "{c} is taken twice in the backward pass{where}"),
)


class _Retaken(Struct, frozen=True):
    """The gradient when the backward pass computes a value again with a constant taken so often.

    `chain` is the statement with the constant and what follows it up to the first named value:
    further values, such as a normalised one, come from the cache.
    """

    evidence: Evidence
    grain: Grain
    chain: tuple[Statement, ...]
    constant: str
    times: Fraction

    def predict(self, seen: Seen) -> Array | None:
        def change(base: Atom) -> Poly | None:
            if isinstance(base, Symbol) and base.name == self.constant:
                return atom(base).scaled(self.times)
            return None

        bench = self.evidence.bench(self.grain, seen.number)
        values: dict[str, Array] = {}
        for statement in self.chain:
            changed = replace(statement, body=replace_atoms(statement.body, change))
            with np.errstate(all="ignore"):
                value = np.asarray(evaluate(changed, {**bench.known, **values}, bench.setting))
            if not np.all(np.isfinite(value)):
                return None
            values[statement.out.name] = value
        tensor = self.grain.gradients[self.evidence.name]
        return bench.changed(tensor, values=values, after=self.grain.first)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits or evidence.tier:
        return
    constants = evidence.derived.graph.constants
    real = [name for name, value in constants.items() if not isinstance(value, int)]
    for rank, grain in enumerate(evidence.grains):
        read = _read(grain, grain.gradients[evidence.name])
        spared = {n for v in evidence.right for n in _read(grain, grain.gradients.get(v, ""))}
        for constant in real:
            for chain in _chains(grain, constant):
                if read.isdisjoint(s.out.name for s in chain):
                    continue
                last = chain[-1]
                where = "" if last.hidden else f", in {last.out.name}"
                further = SPARED * any(s.out.name in spared for s in chain)
                for times, said in _TAKEN:
                    made = _Retaken(evidence, grain, chain, constant, times)
                    yield Hypothesis(
                        "constant",
                        1.2 + 0.02 * rank + further,
                        said.format(c=constant, where=where),
                        made.predict,
                        key=f"{times} times {constant} in {last.out.name}",
                    )


def _chains(grain: Grain, constant: str) -> Iterator[tuple[Statement, ...]]:
    """Every forward statement with a constant, and the hidden ones after it to a named one."""
    forward = grain.statements[: grain.first]
    for place, first in enumerate(forward):
        if not isinstance(first, Statement) or constant not in _symbols(first.body):
            continue
        chain = [first]
        for statement in forward[place + 1 :]:
            if not chain[-1].hidden:
                break
            if isinstance(statement, Statement) and chain[-1].out.name in operands(statement):
                chain.append(statement)
        yield tuple(chain)


def _read(grain: Grain, tensor: str) -> set[str]:
    """Forward values that the backward pass of a gradient reads."""
    places = [p for p in grain.leads_to(tensor) if p >= grain.first]
    return {n for p in places for n in operands(grain.statements[p])}


def _symbols(body: Poly) -> set[str]:
    found: set[str] = set()

    def look(base: Atom) -> None:
        if isinstance(base, Symbol):
            found.add(base.name)

    replace_atoms(body, look)
    return found
