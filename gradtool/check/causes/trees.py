"""One node of a printed line is different: operators, operands, axes, names, numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import SPARED, Hypothesis
from gradtool.check.diagnose_program import Array, Grain, Written, has_hidden
from gradtool.check.diagnose_shares import parts
from gradtool.check.diagnose_trees import Change, Evaluation, Known, NotEvaluated, changes
from gradtool.emit.text import text
from gradtool.ir.tree import Call, Name, Tree, names, replace_names, size_of
from gradtool.records import Struct, field, replace

_LONGEST = 80


class _Program(Struct):
    """The lines of one writing at every point, as trees."""

    evidence: Evidence
    grain: Grain
    writing: Written
    _bases: dict[int, tuple[Evaluation, dict[str, Array]]] = field(default_factory=dict)

    def base(self, seen: Seen) -> tuple[Evaluation, dict[str, Array]]:
        """The forward values and the lines in front, unchanged."""
        if seen.number not in self._bases:
            bench = self.evidence.bench(self.grain, seen.number)
            known = {**bench.known}
            numbers = _numbers(seen, self.evidence)
            for name, tree in self.writing.lines:
                known[name] = Evaluation(known, numbers).value(tree)
            self._bases[seen.number] = Evaluation(known, numbers), known
        return self._bases[seen.number]

    def works(self) -> bool:
        """Whether the lines can be played through and give what is right."""
        seen = self.evidence.telling[0]
        try:
            _, known = self.base(seen)
            value = np.asarray(known[self.writing.gradient]) * self.factor(seen)
        except (NotEvaluated, ValueError, IndexError, TypeError, KeyError):
            return False
        return value.shape == seen.right.shape and bool(
            np.allclose(value, seen.right, rtol=1e-9, atol=1e-12)
        )

    def factor(self, seen: Seen) -> float:
        return self.evidence.bench(self.grain, seen.number).factor

    def predict(self, seen: Seen, place: int, tree: Tree) -> Array | None:
        try:
            evaluation, known = self.base(seen)
            changed = {self.writing.lines[place][0]: evaluation.value(tree)}
            for name, later in self.writing.lines[place + 1 :]:
                if names(later) & changed.keys():
                    again = Evaluation({**known, **changed}, evaluation.numbers)
                    changed[name] = again.value(later)
            value = changed.get(self.writing.gradient)
        except (NotEvaluated, ValueError, IndexError, TypeError, KeyError, ZeroDivisionError):
            return None
        return None if value is None else np.asarray(value, dtype=float) * self.factor(seen)


class _Told(Struct, frozen=True):
    program: _Program
    place: int
    change: Change

    def predict(self, seen: Seen) -> Array | None:
        return self.program.predict(seen, self.place, self.change.tree)

    def inner(self, seen: Seen) -> Array | None:
        """What the changed line gives."""
        evaluation, _ = self.program.base(seen)
        try:
            value = np.asarray(evaluation.value(self.change.tree), dtype=float)
        except (NotEvaluated, ValueError, IndexError, TypeError, KeyError, ZeroDivisionError):
            return None
        return value * self.program.factor(seen)

    def proof(self) -> str:
        writing, label = self.program.writing, self.program.evidence.label
        tree = _spelled(self.program.grain, self.change.tree)
        name = writing.lines[self.place][0]
        owner = _spelled(self.program.grain, Name(name))
        if has_hidden(tree) or has_hidden(owner):
            return ""
        if name == writing.gradient:
            return f"your {label} equals {text(tree)}"
        return f"your {label} is what comes out with {text(owner)} = {text(tree)}"


def _numbers(seen: Seen, evidence: Evidence) -> dict[str, float]:
    found: dict[str, float] = {**seen.point.probe.scalars, **seen.point.probe.env}
    for variable in evidence.reference.spec.variables:
        if variable.index is not None:
            found[f"classes of {variable.name}"] = variable.index.evaluate(seen.point.probe.env)
    return found


def _spelled(grain: Grain, tree: Tree) -> Tree:
    for _ in range(6):
        tree = replace_names(tree, grain.shown)
    return tree


class _Possible(Struct, frozen=True):
    """A change of a line of one writing, where it is in words, and its price, whatever the file."""

    writing: int
    place: int
    change: Change
    cost: float
    where: str
    key: str


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None:
        return
    writings: list[tuple[Grain, Written]]
    possible: list[_Possible]
    writings, possible = evidence.derived.remembered(
        f"trees {evidence.tier}", evidence.name, lambda: _possible(evidence)
    )
    programs = [_Program(evidence, grain, writing) for grain, writing in writings]
    for number, one in enumerate(possible):
        told = _Told(programs[one.writing], one.place, one.change)
        predict = evidence.kept("trees", number, told.predict)
        grain, writing = writings[one.writing]
        what, cost = one.change.what + one.where, one.cost
        place = grain.place(writing.lines[one.place][0]) if one.where else None
        if place is not None and evidence.spared(grain, place):
            what, cost = one.change.what, cost + SPARED
        inner = told.inner if one.where else None
        yield Hypothesis(one.change.code, cost, what, predict, told.proof, one.key, inner)


def _possible(evidence: Evidence) -> tuple[list[tuple[Grain, Written]], list[_Possible]]:
    done: set[str] = set()
    writings: list[tuple[Grain, Written]] = []
    found: list[_Possible] = []
    for rank, grain in enumerate(evidence.grains):
        for writing in grain.written(evidence.name):
            if not _Program(evidence, grain, writing).works():
                continue
            writings.append((grain, writing))
            known = _known(grain)
            for place, (name, tree) in enumerate(writing.lines):
                line = f"{name} {text(tree)}"
                if line in done or size_of(tree) > _LONGEST:
                    continue
                done.add(line)
                own = name == writing.gradient
                inner = _spelled(grain, Name(name))
                named = ", on the way to it" if has_hidden(inner) else f", in {text(inner)}"
                where = "" if own else named
                extra = 0.03 * (rank + 2 * evidence.tier) + (0.0 if own else 0.05) + writing.cost
                for change in changes(tree, known):
                    if change.code == "upstream-ignored" and names(change.tree) & known.cotangents:
                        change = replace(change, code="missing-factor")  # elsewhere it is used
                    key = f"{name}: {change.code} {text(change.tree)}"
                    found.append(
                        _Possible(
                            len(writings) - 1, place, change, change.cost + extra,
                            where, key,
                        )
                    )  # fmt: skip
    return writings, found


def _known(grain: Grain) -> Known:
    shapes: dict[str, tuple[object, ...]] = {
        t.name: t.shape for t in grain.tensors.values() if t.kind == "real"
    }

    @cache
    def show(tree: Tree) -> str:
        spelled = _spelled(grain, tree)
        return "a value" if has_hidden(spelled) else text(spelled)

    arguments = {
        s.out.name: (s.tree.op, s.tree.args[0].id)
        for s in grain.statements[: grain.first]
        if isinstance(s.tree, Call) and len(s.tree.args) == 1 and isinstance(s.tree.args[0], Name)
    }
    hidden = parts(grain.statements)
    return Known(shapes, arguments, grain.upstream, grain.cotangents, show, hidden)
