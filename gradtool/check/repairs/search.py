"""Which single change of the user's functions makes which wrong outputs and gradients right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from time import perf_counter
from types import MappingProxyType

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, is_near
from gradtool.check.diagnose_where import Named, called_in, functions_of
from gradtool.check.measure import Point
from gradtool.check.repairs.asked import Where, attempted, locals_of
from gradtool.check.repairs.changes import changes, moves
from gradtool.check.repairs.reach import (
    gradients_by_name,
    helpers_of,
    reached,
    upstream_of,
)
from gradtool.check.repairs.running import running_values
from gradtool.check.repairs.scope import Scope, Value, gradients_in
from gradtool.check.repairs.targets import (
    Repair,
    Target,
    numbered,
    only,
    repair_of,
    texts_of,
    where_of,
)
from gradtool.check.repairs.trial import LOCAL
from gradtool.check.scale import stated
from gradtool.check.session import CheckTrouble, Session
from gradtool.records import Struct

_SLACK = 16.0  # times the bound: what is right but for rounding
_MUCH = 1e4  # the same at large points, where long sums round by more than a first bound
_SECONDS = 0.8  # for all changes of one kind at one point
_POINTS = 5
_TIMES, _SMALL_WORK = 8, 2000  # scalar operations of a point, beside the smallest
_FEWEST = 4  # entries of a gradient that tell one change from another
_MOST = 40  # changes that are looked at again at other points
_CONFIRMED, _LARGE_WORK = 8, 500_000  # changes that are held to points of so much work
# For all of these; by the clock only where code is slow: a busy machine is not to change a cause.
_ALL_WORK, _PATIENCE = 1_500_000, 4.0
_BANDS = (0.0, 1.12, 1.25, 1.35, 2.0)  # of costs: what is likely is tried first
_LIKELY = 3  # of these bounds
_ENOUGH = 1.25
_MOST_FIXES = 8000
_AT_ONCE, _GROUPS = 3000, 4  # changes that are tried in one text
_MOVED = 1e-9
_ROUNDED = 1e-11
_MOST_ENTRIES = 2000  # of a value inside a function that is looked at
_NONE = -1
_STILL = 0.5  # with the mistake of which the code raises somewhere, it does not
_ALL = 0.2  # what makes a wrong forward right and every gradient with it is likely the mistake
_FORWARD = 0.3  # a mistake in what the forward pass keeps is rarer than one in the backward pass
_FUNCTIONS = 8


Cotangents = Callable[[Point], Sequence[np.ndarray]]


def repairs(
    session: Session,
    binding: Binding,
    points: Sequence[Point],
    wrong: Collection[str],
    seed: int,
    cotangents: Cotangents,
) -> Mapping[str, tuple[Repair, ...]]:
    """For each wrong array the changes with which it is right, most likely first.

    `wrong` and the keys are like ``output Y`` and ``gradient X``.  A wrong output is looked for
    in the forward pass alone, and only what makes every wrong output right is told of one: the
    gradients beside it may be right with it, or not.  `cotangents` are right gradients of inner
    values at a point: what makes one of them is hardly a mistake.

    None where the file's text is not what runs: functions of a framework, made by others, or in
    helper modules.  The binding must be the session's.
    """
    usable = [p for p in points if p.run.trouble is None and not p.probe.is_huge]
    raising = [p for p in points if p.run.trouble is not None]
    if not session.varies or not usable or not wrong:
        return {}
    functions = functions_of(session.file, binding)
    keys, found = frozenset(wrong), dict[str, list[Repair]]()
    outputs = frozenset(key for key in keys if key.startswith("output "))
    try:
        for goal in (outputs, keys - outputs):
            if goal - found.keys():
                beside = bool(outputs) and goal != outputs
                wanted = keys - found.keys()
                search = _Search(
                    session,
                    binding,
                    functions,
                    usable,
                    raising,
                    wanted,
                    goal,
                    seed,
                    cotangents,
                    beside,
                )
                found |= _whole(search.found(), goal)
    except CheckTrouble:
        return {}
    return {key: tuple(sorted(rs, key=lambda r: r.cost)) for key, rs in found.items()}


def _whole(found: Mapping[str, list[Repair]], goal: Collection[str]) -> dict[str, list[Repair]]:
    """The repairs that make all right that was looked for; where there are none, every one."""
    if any(r.whole for rs in found.values() for r in rs):
        found = {key: [r for r in rs if r.whole] for key, rs in found.items()}
    else:
        found = {key: rs for key, rs in found.items() if key in goal}
    return {key: rs for key, rs in found.items() if rs}


class _Search(Struct, frozen=True):
    """`goal` is what has to become right, `wrong` what may become so beside it.

    `beside` a forward pass that is wrong, a gradient is right by the spec for little that its
    function can do: only the likely changes of that are tried.  At the points where the code is
    `raising`, a change that makes everything right gives what is right, too.
    """

    session: Session
    binding: Binding
    functions: Mapping[str, Named]  # parsed once: changes are told apart by their nodes
    points: Sequence[Point]
    raising: Sequence[Point]
    wrong: frozenset[str]
    goal: frozenset[str]
    seed: int
    cotangents: Cotangents
    beside: bool = False

    def found(self) -> dict[str, list[Repair]]:
        functions = self.functions
        backward = (self.binding.backward, *self.binding.grads.values())
        forward = (self.binding.setup, self.binding.forward)
        found: dict[str, list[Repair]] = {}
        done: set[int] = set()
        rounds = [(backward, 0.0), (forward, _FORWARD if called_in(backward, functions) else 0.0)]
        if any(key.startswith("output ") for key in self.goal):
            rounds = [(forward, 0.0)]
        elif self.beside:
            rounds = rounds[:1] if called_in(backward, functions) else rounds[1:]
        for texts, more in rounds:
            chosen = (
                _computing(functions[n]) for n in reached(called_in(texts, functions), functions)
            )
            named = list({id(one.node): one for one in chosen if id(one.node) not in done}.values())
            done |= {id(one.node) for one in named}
            named = named[:_FUNCTIONS]
            if named and not self.goal <= found.keys():
                self._round(named, upstream_of(texts, functions), more, found)
        return found

    def _round(
        self,
        named: Sequence[Named],
        upstream: frozenset[str],
        more: float,
        found: dict[str, list[Repair]],
    ) -> None:
        """The likely changes first; others only for what these do not make right."""
        few = self._few()
        first = self._screen(few, frozenset(self.goal - found.keys()))
        if first is None:
            return
        running = running_values(named, self._backward()) if more else []
        scopes = self._scopes(named, upstream, first)
        spared = self._spared(scopes, first)
        plain = [(one, list(changes(one.node, scope, False, *spared))) for one, scope in scopes]
        settled = False
        for low, high in pairwise(_BANDS[:_LIKELY] if self.beside else _BANDS):
            fixes = plain
            if high == _BANDS[-1]:
                fixes = [
                    (one, list(changes(one.node, scope, True, *spared))) for one, scope in scopes
                ]
            targets = [
                Target(one, tuple(f for f in mine if low < f.cost <= high)[:_MOST_FIXES])
                for one, mine in fixes
            ]
            every = numbered(targets)
            likely = self._likely(targets, first)
            if likely is None:
                return
            chosen = sorted(sorted(likely, key=lambda k: every[k][1].cost)[:_MOST])
            texts, kept = texts_of(only(targets, chosen)), {k: likely[k] for k in chosen}
            for point in few:
                if point is not first and kept:
                    there = self._fixed(
                        texts, point, [n for n, k in enumerate(chosen) if k in kept]
                    )
                    if there is None:
                        return
                    kept = {
                        k: both
                        for n, k in enumerate(chosen)
                        if k in kept and (both := kept[k] & there.get(n, frozenset()))
                    }
            kept = self._confirmed(texts, kept, chosen, few)
            raising = self._raising(texts, kept, chosen)
            for k in chosen:
                if k in kept:
                    target, fix = every[k]
                    whole = kept[k] >= self.goal
                    further = more - _ALL * (whole and self.goal < self.wrong <= kept[k])
                    further += _STILL * (k in raising)
                    owner = target.named
                    if update := next((r for r in running if id(fix.node) in r.inside), None):
                        told = update.told(fix)
                        if told is None:
                            continue
                        owner, fix = update.reader, told
                    settled |= whole and k not in raising
                    repair = repair_of(owner, fix, further, whole, kept[k], len(few))
                    for key in kept[k]:
                        found.setdefault(key, []).append(repair)
            if settled:
                return
            if self.goal <= found.keys() and high >= _ENOUGH:
                return  # each by a change of its own

    def _likely(self, targets: Sequence[Target], first: Point) -> dict[int, frozenset[str]] | None:
        """What each change of functions makes right at a first point, as `_fixed` tells it.

        Of very many the cheaper ones are tried first: there is not the time for all at once.
        """
        found: dict[int, frozenset[str]] = {}
        for group in _in_turn([fix.cost for _, fix in numbered(targets)]):
            there = self._fixed(texts_of(only(targets, group)), first, range(len(group)))
            if there is None:
                return None
            found |= {group[n]: right for n, right in there.items()}
        return found

    def _backward(self) -> list[Named]:
        """The functions that the snippets call for the gradients."""
        texts = (self.binding.backward, *self.binding.grads.values())
        return [_computing(self.functions[name]) for name in called_in(texts, self.functions)]

    def _confirmed(
        self,
        texts: Mapping[Where, str],
        kept: Mapping[int, frozenset[str]],
        chosen: Sequence[int],
        few: Sequence[Point],
    ) -> dict[int, frozenset[str]]:
        """What is left of a few changes at larger points, too, as far as that is no long work.

        What small points hold may be zero in all of them: the inactive side of a hinge.
        """
        if not kept:
            return {}
        left, started, work = dict(kept), perf_counter(), 0
        for point in sorted(self.points, key=lambda p: p.probe.setting.work):
            choices = [n for n, k in enumerate(chosen) if k in left][:_CONFIRMED]
            if point in few or not choices or point.probe.setting.work > _LARGE_WORK:
                continue
            work += len(choices) * point.probe.setting.work
            if work > _ALL_WORK or perf_counter() - started > _PATIENCE:
                break
            there = self._tried(texts, [_NONE, *choices], point, _MUCH)
            for n in choices:
                k = chosen[n]
                if n in there:  # else there was no time for it
                    left[k] = left[k] & there[n]
            left = {k: right for k, right in left.items() if right & self.goal}
        return left

    def _raising(
        self,
        texts: Mapping[Where, str],
        kept: Mapping[int, frozenset[str]],
        chosen: Sequence[int],
    ) -> set[int]:
        """The changes with which the code is not right where it raises."""
        choices = [n for n, k in enumerate(chosen) if k in kept][:_CONFIRMED]
        for point in self.raising[:1] if choices else ():
            there = self._tried(texts, [_NONE, *choices], point)
            return {chosen[n] for n in choices if not kept[chosen[n]] <= there.get(n, frozenset())}
        return set()

    def _few(self) -> list[Point]:
        """Small points, and one where each gradient is wrong."""
        small = sorted(self.points, key=lambda p: p.probe.setting.work)
        most = max(_TIMES * small[0].probe.setting.work, _SMALL_WORK)
        few = [p for p in small if p.probe.setting.work <= most][:_POINTS]
        for key in sorted(self.goal):
            off = [p for p in small if _is_off(p, key)]
            if off and not any(p in few for p in off):
                few.append(off[0])
        return few

    def _screen(self, few: Sequence[Point], wanted: frozenset[str]) -> Point | None:
        """The smallest point at which most of the gradients are wrong."""

        def rank(point: Point) -> tuple[int, bool, int]:
            off = [key for key in wanted if _is_off(point, key)]
            small = all(_right(point, key).size < _FEWEST for key in off)
            return -len(off), small, point.probe.setting.work

        best = min(few, key=rank)
        return best if rank(best)[0] else None

    def _scopes(
        self, named: Sequence[Named], upstream: frozenset[str], point: Point
    ) -> list[tuple[Named, Scope]]:
        """The functions that run, with what their names hold."""
        outer = {id(one): one.outer for one in named if one.outer is not None}
        asked = (*named, *outer.values())
        keys = [(where_of(one), one.outer is not None) for one in asked]
        told = locals_of(self.session, keys, point.probe, self.seed)
        around = dict(zip(outer, told[len(named) :], strict=True))
        # A closure has what is there around it, too.
        told = [
            {**around.get(id(one), {}), **own} if own else {}
            for one, own in zip(named, told, strict=False)
        ]
        helpers, named_so = helpers_of(self.functions), gradients_by_name(self.functions)
        found = []
        for one, values in zip(named, told, strict=True):
            scope = Scope(
                {n: Value(kind, shape) for n, (kind, shape) in values.items()},  # type: ignore[arg-type]
                gradients_in(one.node, upstream | named_so),
                tuple(h for h in helpers if h != one.node.name),
                any(key.startswith("output ") for key in self.goal),
            )
            if values:
                found.append((one, scope))
        return found

    def _spared(
        self, scopes: Sequence[tuple[Named, Scope]], point: Point
    ) -> tuple[frozenset[int], frozenset[int]]:
        """The expressions that a result depends on which is right, and those that a value inside
        does: by the identity of the node.

        Each is given another value in turn.  What stands there is no mistake, or hardly one: a
        value inside may be the right gradient of another one, as where a factor is forgotten.
        """
        targets = [Target(one, tuple(moves(one.node))) for one, _ in scopes]
        every = numbered(targets)
        texts = texts_of(targets)
        if not texts:
            return frozenset(), frozenset()
        inner = self._right_locals(scopes, texts, point)
        _, results = self._results(texts, [_NONE, *range(len(every))], point, inner)
        right = [k for k, outcome in _outcomes(point) if outcome.right and k not in self.wrong]
        found: tuple[set[int], set[int]] = set(), set()
        for name in (*right, *inner):
            if name in results:
                was, now = results[name][0], results[name][1:]
                scale = float(np.max(np.abs(was), initial=0.0))
                with np.errstate(all="ignore"):
                    moved = np.abs(now - was).reshape(len(now), -1) > _MOVED * scale
                nodes = {id(every[k][1].node) for k in np.flatnonzero(moved.any(axis=1))}
                found[name in inner].update(nodes)
        return frozenset(found[False]), frozenset(found[True])

    def _right_locals(
        self, scopes: Sequence[tuple[Named, Scope]], texts: Mapping[Where, str], point: Point
    ) -> dict[str, tuple[int, ...]]:
        """The names in functions that end up with the right gradient of an inner value, as results
        are called, and their shapes.

        Not of a value that was there before, as where a factor was forgotten: an upstream gradient,
        what a name holds that was assigned earlier; nor of one that is a wrong gradient itself.
        """
        numbers = {key: number for number, key in enumerate(texts)}
        shapes = {
            f"{LOCAL} {numbers[key]} {name}": value.shape
            for one, scope in scopes
            if (key := Target(one, ()).key) in numbers
            for name, value in scope.values.items()
            if value.kind == "array" and 1 < prod(value.shape) <= _MOST_ENTRIES and "." not in name
        }
        right = [array for array in self.cotangents(point) if array.size > 1] if shapes else []
        if not right:
            return {}
        _, results = self._results(texts, [_NONE], point, shapes)
        wrong = [v.array for n, v in point.run.gradients.items() if f"gradient {n}" in self.wrong]
        before = [*point.probe.upstream.values(), *(array for array in wrong if array is not None)]
        found = {}
        for name in (name for name in shapes if name in results):
            value = results[name][0]
            if _is_among(value, right) and not _is_among(value, before):
                found[name] = shapes[name]
                before.append(value)
        return found

    def _fixed(
        self, texts: Mapping[Where, str], point: Point, choices: Sequence[int]
    ) -> dict[int, frozenset[str]] | None:
        """What each choice makes right, where it does; None where nothing can be tried: what runs
        is not what stands in the file."""
        if not choices:
            return {}
        fixed = self._tried(texts, [_NONE, *choices], point) if texts else {}
        if _NONE not in fixed or fixed[_NONE] & {k for k in self.wrong if _is_off(point, k)}:
            return None
        return {k: right for k, right in fixed.items() if k != _NONE and right & self.goal}

    def _results(
        self,
        texts: Mapping[Where, str],
        choices: Sequence[int],
        point: Point,
        inner: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    ) -> tuple[int, Mapping[str, np.ndarray]]:
        right = point.expected
        shapes = {f"output {n}": a.shape for n, a in right.outputs.items()}
        named = {*point.gradients, *_gradients(self.wrong)}  # where the code raises there is none
        shapes |= {f"gradient {n}": right.gradients[n].shape for n in sorted(named)}
        shapes |= inner
        return attempted(
            self.session, texts, choices, shapes, point.probe, seed=self.seed, seconds=_SECONDS
        )

    def _tried(
        self,
        texts: Mapping[Where, str],
        choices: Sequence[int],
        point: Point,
        slack: float = _SLACK,
    ) -> dict[int, frozenset[str]]:
        """What is wrong that each choice makes right; none where it makes another array wrong.

        An array is right within so many bounds.
        """
        done, results = self._results(texts, choices, point)
        if not results:
            return {}
        probe, doubles = point.probe, point.expected.double
        harmless = np.ones(len(choices), dtype=bool)
        fits: dict[str, np.ndarray] = {}
        outcomes = dict(_outcomes(point))
        for key, got in results.items():
            outcome, (role, _, name) = outcomes.get(key), key.partition(" ")
            was_right = outcome is not None and outcome.right
            if role == "output":
                bound = doubles.output_bounds[name]
            else:
                own = None if outcome is None else outcome.bound
                bound = doubles.gradient_bounds[name] if own is None else own
                if name in self.binding.scale:
                    got = got * stated(self.binding.scale[name], probe.scalars)
            if was_right or key in self.wrong:
                fits[key] = _fits(got, _right(point, key), slack * bound)
            if was_right and key not in self.wrong:
                harmless &= fits[key]
        off = [key for key in self.wrong if key in fits]
        return {
            choice: frozenset(key for key in off if harmless[k] and fits[key][k])
            for k, choice in enumerate(choices[:done])
        }


def _in_turn(costs: Sequence[float]) -> list[list[int]]:
    """The places of costs in groups of which each is not too large, the lowest costs first; those
    of a group in their order."""
    if len(costs) <= _AT_ONCE:
        return [list(range(len(costs)))]
    groups: list[list[int]] = [[]]
    for cost in sorted(set(costs)):
        equal = [k for k, one in enumerate(costs) if one == cost]
        if groups[-1] and len(groups[-1]) + len(equal) > _AT_ONCE:
            groups.append([])
        groups[-1] += equal
    return [sorted(group) for group in groups[:_GROUPS]]


def _computing(function: Named) -> Named:
    """The function itself, or the one around it that has the gradients ready: ``lambda: dX``."""
    arguments = function.node.args
    takes = arguments.posonlyargs or arguments.args or arguments.kwonlyargs
    return function if takes or function.outer is None else function.outer


def _is_among(value: np.ndarray, arrays: Iterable[np.ndarray]) -> bool:
    return any(_is_same(value, array) for array in arrays)


def _is_same(value: np.ndarray, right: np.ndarray) -> bool:
    """Whether a value is a right one but for rounding, and axes of size one; zeros tell nothing."""
    return bool(right.any()) and is_near(value.squeeze(), right.squeeze(), _ROUNDED)


def _fits(got: np.ndarray, right: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Along the first axis: whether an array is right but for rounding."""
    with np.errstate(all="ignore"):
        close = np.abs(got - right) <= np.broadcast_to(bound, right.shape)
    return np.asarray(close.reshape(len(got), -1).all(axis=1))


def _outcomes(point: Point) -> list[tuple[str, Outcome]]:
    outputs = [(f"output {n}", o) for n, o in point.outputs.items()]
    return outputs + [(f"gradient {n}", o) for n, o in point.gradients.items()]


def _right(point: Point, key: str) -> np.ndarray:
    role, _, name = key.partition(" ")
    every = point.expected.outputs if role == "output" else point.expected.gradients
    return every[name]


def _gradients(keys: Collection[str]) -> set[str]:
    return {key.removeprefix("gradient ") for key in keys if key.startswith("gradient ")}


def _is_off(point: Point, key: str) -> bool:
    """Whether an array is wrong by more than a change is forgiven."""
    outcome = dict(_outcomes(point)).get(key)
    if outcome is None or outcome.right:
        return False
    if outcome.array is None or outcome.bound is None:
        return True
    return not _fits(outcome.array[None], _right(point, key), _SLACK * outcome.bound)[0]
