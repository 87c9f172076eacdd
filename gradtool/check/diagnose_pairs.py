"""Two mistakes at once: an edit and a factor, or two edits of different terms.

Asked only when no single mistake explains a gradient, and held to a stricter bar: many entries at
several sizes, since there are far more pairs than single mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gradtool.check.causes.terms import numbers_at
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array
from gradtool.ir.errors import TooLargeError

_ENTRIES = 12
_CHEAP = 1.3  # of two far-fetched mistakes there is always a pair that fits
_FIT = 1e-10
_SCALES = ("-1", "2", "1/2")
_NO_PART = ("sign", "integer-buffer")  # of a pair: nothing is left that tells one from the other


def pairs(evidence: Evidence, pool: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
    """Pairs that may explain a gradient; each has been seen to fit one probe."""
    if evidence.entries < _ENTRIES or len(evidence.seen) < 2 or not evidence.shape_fits:
        return
    seen = evidence.telling[0]
    if seen.got.size < 4:
        return
    scale = float(np.max(np.abs(seen.got), initial=0.0)) or 1.0
    tried: list[tuple[Hypothesis, Array]] = []
    for hypothesis in pool:
        if evidence.budget.spent():
            break
        if hypothesis.cost > _CHEAP or hypothesis.code in _NO_PART:
            continue
        found = _predicted(hypothesis, seen)
        if found is None or found.shape != seen.got.shape or not np.all(np.isfinite(found)):
            continue
        tried.append((hypothesis, found))
        scaled = _with_factor(evidence, hypothesis, found, seen, scale)
        if scaled is not None:
            yield scaled
    yield from _two_edits(evidence, tried, seen, scale)


def _predicted(hypothesis: Hypothesis, seen: Seen) -> Array | None:
    """None where a gradient is too large to be computed in this way."""
    try:
        return hypothesis.predict(seen)
    except TooLargeError:
        return None


def _with_factor(
    evidence: Evidence, hypothesis: Hypothesis, found: Array, seen: Seen, scale: float
) -> Hypothesis | None:
    power = float(np.vdot(found, found))
    if not power:
        return None
    ratio = float(np.vdot(found, seen.got)) / power
    if np.any(np.abs(seen.got - ratio * found) > _FIT * scale):
        return None
    ratios, at = [], []
    for other in evidence.seen:
        predicted = _predicted(hypothesis, other)
        if predicted is None or predicted.shape != other.got.shape:
            return None
        own = float(np.vdot(predicted, predicted))
        if own:
            ratios.append(float(np.vdot(predicted, other.got)) / own)
            at.append(numbers_at(other))
    factor = named(ratios, at)
    if factor is None or not _is_plain(factor.text):
        return None

    def predict(point: Seen) -> Array | None:
        value = hypothesis.predict(point)
        return None if value is None else factor.value(numbers_at(point)) * value

    what = f"two mistakes: {hypothesis.what}; and it is {factor.text} times that"
    return Hypothesis("two-mistakes", 3 + hypothesis.cost, what, predict)


def _is_plain(text: str) -> bool:
    """A second mistake of scale is a sign, a half, a double, or a size: ``N``, ``1/N``."""
    return text in _SCALES or text.removeprefix("1/").isidentifier()


def _two_edits(
    evidence: Evidence, tried: Sequence[tuple[Hypothesis, Array]], seen: Seen, scale: float
) -> Iterator[Hypothesis]:
    """Two changes that add up: found by sorting their projections on a random direction."""
    if len(tried) < 2:
        return
    direction = np.random.default_rng(3).standard_normal(seen.got.shape)
    wanted = float(np.vdot(direction, seen.got - seen.right))
    changes = np.array([float(np.vdot(direction, f - seen.right)) for _, f in tried])
    slack = _FIT * scale * np.sqrt(seen.got.size)
    order = np.argsort(changes)
    ranked = changes[order]
    reported = 0
    for place, change in enumerate(changes):
        low = int(np.searchsorted(ranked, wanted - change - slack))
        high = int(np.searchsorted(ranked, wanted - change + slack))
        for other in order[low:high]:
            if other <= place:
                continue
            (one, first), (two, second) = tried[place], tried[int(other)]
            error = np.abs(first + second - seen.right - seen.got)
            if np.any(error > 4 * _FIT * scale):
                continue

            def predict(point: Seen, a: Hypothesis = one, b: Hypothesis = two) -> Array | None:
                left, right = a.predict(point), b.predict(point)
                if left is None or right is None or left.shape != right.shape:
                    return None
                return left + right - point.right if left.shape == point.right.shape else None

            if one.what == two.what:
                what = f"{one.what}, in two places"
                yield Hypothesis(one.code, 2 + one.cost + two.cost, what, predict)
            else:
                # Two of one kind are often one, said of two places: of that kind they are.
                code = one.code if one.code == two.code else "two-mistakes"
                what = f"two mistakes: {one.what}; and {two.what}"
                # The same pair in the other order, or one kind twice in other words, is no other.
                alike = (
                    one.code if one.code == two.code else " + ".join(sorted((one.what, two.what)))
                )
                yield Hypothesis(code, 3 + one.cost + two.cost, what, predict, key=alike)
            reported += 1
            if reported > 40:
                return
