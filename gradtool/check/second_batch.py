"""A second batch: the same object, or the same functions, called again with other values.

Every evaluation makes its objects afresh, so that code may be right at all points and keep what
belongs to its first batch: a mean, a mask, a copy of the weights, a buffer for each shape.  Here an
object goes on, as in training: its inputs are others, and its weights have been changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.batches import (
    array_of,
    by_chance,
    mistakes_of,
    near,
    parameters,
    point_of,
    probe_of,
    same,
)
from gradtool.check.compare import Outcome
from gradtool.check.facts import Case
from gradtool.check.life import INTO, THEN
from gradtool.check.measure import Point, everything_of, measure
from gradtool.check.probes import Probe
from gradtool.check.recall import recall_of
from gradtool.check.result import Remark, Trouble, told_at
from gradtool.check.session import CheckTrouble, TooSlow
from gradtool.check.shown import JUMP, MOST_WORK, Mistake, Shown
from gradtool.records import Struct, replace

_MASKS = 4  # objects whose masks are compared
_CHANCE = 1e-6

_WHOLE = ("forward", "backward", "again", "forward", "change", "forward", "backward")
_PLAIN = ("forward", "backward", "change", "forward", "backward")
_UNANSWERED = ("forward", "change", "forward", "backward")


class _Seen(Struct, frozen=True):
    """The last calls of a life against what they should give: wrong, or sums with earlier ones."""

    run: Run
    wrong: tuple[Mistake, ...]
    sums: tuple[str, ...]

    @property
    def fine(self) -> bool:
        return not self.wrong and self.run.trouble is None


def second_batch(case: Case) -> Shown:
    """Look at a case that is right at every point."""
    first = point_of(case.measured.points)
    if first is None or first.probe.setting.work > MOST_WORK:
        return Shown()
    if any("step(" in text for text in case.binding.grads.values()):
        return Shown()  # its weights are other ones by what it is asked for
    others = point_of([p for p in case.measured.points if not p.probe.is_long])
    try:
        found = _Life(case, first).looked_at()
        if found.wrong and first.probe.is_long and others is not None:
            # Along a long axis a textbook formula overflows for some values, and not for others.
            return _Life(case, others).looked_at()
        return found
    except TooSlow:  # slow code need not keep anything
        text = "a second batch gave no answer in time: whether it is right is not known"
        return Shown(remarks=(Remark("late", text),))
    except CheckTrouble as lost:
        return Shown(remarks=(_failing(lost.trouble),))


class _Life(Struct, frozen=True):
    case: Case
    first: Point

    def looked_at(self) -> Shown:
        case = self.case
        second = probe_of(case.reference, case.binding, self.first.probe, case.seed)
        fresh, trouble = self._fresh(second)
        if trouble is not None:
            text = told_at(f"at {second.varies}", trouble)
            return Shown(remarks=(Remark("state", text),))
        if fresh is None:  # the layer itself is not finite
            return Shown()
        if mistakes := self._new(fresh):
            return Shown(wrong=mistakes)
        whole = self._seen(_WHOLE, fresh)
        found = Shown(wrong=self._same_masks(second, whole.run) if whole.fine else ())
        if not whole.fine:
            whole = self._seen(_PLAIN, fresh)
            if whole.run.trouble is not None:
                return Shown(remarks=(_failing(whole.run.trouble),))
            if whole.wrong:
                return self._of_kept(second, whole)
            if self._seen(_UNANSWERED, fresh).wrong:
                text = (
                    "a forward whose backward never comes, as on validation data, spoils the next"
                )
                found = Shown(remarks=(Remark("state", text),))
        return replace(found, remarks=(*found.remarks, *self._beside(whole)))

    def _fresh(self, probe: Probe) -> tuple[Point | None, Trouble | None]:
        """What a new object gives there."""
        case = self.case
        found = measure(case.session, case.reference, case.binding, [probe], case.seed)
        return (found.points[0] if found.points else None), found.trouble

    def _new(self, fresh: Point) -> tuple[Mistake, ...]:
        """What is wrong in new objects, too: something is kept beside them."""
        text = "right for the first values, wrong for others of the same sizes"
        return tuple(
            Mistake(role, name, text, outcome.worst)
            for role, name, outcome in everything_of(fresh)
            if not (outcome.right or _is_rounding(outcome) or name in self.case.excused(role))
        )

    def _seen(self, calls: Sequence[str], fresh: Point) -> _Seen:
        """Calls on one object, up to the change with the first probe, then with another one."""
        first, then = self.first.probe, fresh.probe
        held = parameters(self.case.reference, first)
        others = {n: a for n, a in then.arrays.items() if n not in held}
        arrays = {**first.arrays, **{THEN + n: a for n, a in others.items()}}
        arrays |= {INTO + n: then.values[n] for n in held}
        run = self.case.session.live(
            arrays,
            first.scalars,
            calls=calls,
            seed=self.case.seed,
            max_bytes=then.max_bytes,
        )
        wrong, sums = self._against(fresh, run, most=2 if "again" in calls else 1)
        return _Seen(run, wrong, sums)

    def _against(
        self, fresh: Point, run: Run, most: int = 1
    ) -> tuple[tuple[Mistake, ...], tuple[str, ...]]:
        """What a run gave that a new object does not, and of that the sums over all calls."""
        case = self.case
        own = parameters(case.reference, fresh.probe)
        wrong: list[Mistake] = []
        sums: list[str] = []
        for mistake in mistakes_of(case, fresh, run):
            role, name = mistake.role, mistake.name
            got, one = (array_of(r, role, name) for r in (run, self.first.run))
            new = array_of(fresh.run, role, name)
            if role == "gradient" and name in own and one is not None and new is not None:
                # Code that refuses a second backward has added only once.
                added = [k * one + new for k in range(1, most + 1) if one.shape == new.shape]
                if any(near(got, total, fresh.probe) for total in added):
                    sums.append(name)
                    continue
            wrong.append(mistake)
        return tuple(wrong), tuple(sums)

    def _of_kept(self, second: Probe, changed: _Seen) -> Shown:
        """A second batch that is wrong: with the same weights, or only where these have changed."""
        old = self._with(second, ())
        fresh, trouble = self._fresh(old)
        if fresh is None or trouble is not None:
            return Shown(remarks=(Remark("state", "a second batch on one object is wrong"),))
        same = self._seen(_PLAIN, fresh)
        if same.run.trouble is not None:
            return Shown(remarks=(_failing(same.run.trouble),))
        if same.wrong:
            updates = any(mistake.role == "output" for mistake in same.wrong)
            if updates and self._seen(_UNANSWERED, fresh).fine:
                text = "after a backward pass the forward pass of the same object is another one"
                return Shown(remarks=(Remark("state", text),))
            text = "right for the first batch only: wrong for a second one"
            text += " on the same object" if self.case.binding.setup else ""
            return Shown(wrong=tuple(replace(mistake, text=text) for mistake in same.wrong))
        if not self._against(fresh, changed.run)[0]:
            return Shown(remarks=tuple(self._beside(same)))  # it has copies of its weights
        for name in parameters(self.case.reference, second):
            one = self._with(second, (name,))
            new, trouble = self._fresh(one)
            if new is None or trouble is not None:
                continue
            seen = self._seen(_PLAIN, new)
            if seen.wrong and self._against(fresh, seen.run)[0]:
                text = f"right until {name} changes: a part of the object still has the old one"
                return Shown(wrong=tuple(replace(mistake, text=text) for mistake in seen.wrong))
        return Shown(remarks=tuple(self._beside(same)))

    def _with(self, second: Probe, changed: Iterable[str]) -> Probe:
        """The second batch with the first weights, but for those that are changed."""
        first, case = self.first.probe, self.case
        chosen = tuple(changed)
        names = [n for n in parameters(case.reference, second) if n not in chosen]

        def made() -> Probe:
            return replace(second, values={**second.values, **{n: first.values[n] for n in names}})

        key = ("second batch with", id(second), id(first), chosen)
        return recall_of(case.reference).of(key, made, holding=(second, first))

    def _beside(self, seen: _Seen) -> list[Remark]:
        """Sums, and results that the next call overwrites."""
        found: list[Remark] = []
        if seen.sums:
            names = ", ".join(f"d{n}" for n in seen.sums)
            text = f"{names}: every call on an object adds to what is there from the one before"
            found.append(Remark("accumulates", text))
        own = [f"d{n}" for n in parameters(self.case.reference, self.first.probe)]
        # What an object keeps for its parameters is one array for as long as it lives.
        kept = own if self.case.binding.setup else []
        # Code that changes its cache has been told so.
        unlike = [f"d{n}" for n in seen.run.unlike if not self.first.run.mutated]
        if names := ", ".join(n for n in unlike if n not in kept):
            text = f"{names} of a second backward after the same forward is another one"
            found.append(Remark("state", text))
        # And code that changes its cache in its own backward pass may change its output with it.
        changed = self.case.reference.outputs if self.first.run.mutated else ()
        if names := ", ".join(n for n in seen.run.mutated if n not in (*kept, *changed)):
            text = f"{names} of an earlier call is overwritten by the next: it is the same array"
            found.append(Remark("aliases", text))
        return found

    def _same_masks(self, second: Probe, run: Run) -> tuple[Mistake, ...]:
        """An object that draws one mask for ever, where other objects have others."""
        for name in (v.name for v in self.case.reference.spec.variables if v.read):
            pairs = [(self.first.run, run)]
            while same(*pairs[-1], name) and len(pairs) < _MASKS:
                pairs.append(self._pair(second, self.case.seed + len(pairs)))
            masks = [
                mask for one, _ in pairs if (mask := array_of(one, "output", name)) is not None
            ]
            # Code that seeds its own numbers, as for a gradient check, draws one in all objects.
            others = any(not np.array_equal(mask, masks[0]) for mask in masks)
            if same(*pairs[-1], name) and others and by_chance(masks) < _CHANCE:
                text = f"right for the first batch only: {name} of the second is that of the first"
                return tuple(Mistake("output", n, text) for n in self.case.reference.outputs[:1])
        return ()

    def _pair(self, second: Probe, seed: int) -> tuple[Run, Run]:
        """Of another object the first run, and one of a second batch."""
        first, session = self.first.probe, self.case.session
        one = session.evaluate(first.arrays, first.scalars, seed=seed, max_bytes=first.max_bytes)
        arrays = {**first.arrays, **{THEN + n: a for n, a in second.arrays.items()}}
        return one, session.live(
            arrays, first.scalars, calls=_PLAIN, seed=seed, max_bytes=second.max_bytes
        )


def _failing(trouble: Trouble) -> Remark:
    return Remark("state", f"a second batch on the same object fails: {trouble.message}")


def _is_rounding(outcome: Outcome) -> bool:
    """Whether it may be: at one point alone noise cannot be told from a mistake that small."""
    worst = outcome.worst
    return worst is not None and not outcome.message and worst.error <= JUMP * worst.bound
