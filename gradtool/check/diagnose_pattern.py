"""Where a gradient is wrong, when it is not known why: edges, rows, one class, a constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_program import Array
from gradtool.check.result import Heat

_MOST_SHOWN = 200
_MOST_ROWS = 12
_FEWEST = 8  # right entries elsewhere: of a few it is chance that all are
_PLACES = (("first", 0), ("last", -1))


def pattern(evidence: Evidence) -> tuple[str, str] | None:
    """A code and a sentence on the pattern of the errors; None where there is nothing to say."""
    wrong = [s for s in evidence.seen if s.fits_shape and not s.is_right and s.got.size > 1]
    if not wrong:
        return None
    masks = [np.abs(s.got - s.right) > s.bound for s in wrong]
    described = _only_at(masks, evidence)
    if described:
        zero = all(not np.any(s.got[m]) for s, m in zip(wrong, masks, strict=True))
        more = ", where it is zero" if zero else ""
        return "some-entries", f"only the entries {described} are wrong{more}"
    if evidence.is_noise:
        return "unknown", "it is zero but for rounding: its terms cancel"
    share = sum(int(m.sum()) for m in masks) / sum(m.size for m in masks)
    constant = [_constant(s) for s in wrong]
    if all(c is not None for c in constant):
        return "unknown", "every entry is off by the same amount"
    likeness = [_cosine(s) for s in wrong]
    text = f"{share:.0%} of the entries are wrong"
    if max(likeness) < 0.2:
        text += "; it has little to do with the right one"
    elif min(likeness) > 0.95:
        text += "; its direction is nearly right"
    return "unknown", text


def _only_at(masks: Sequence[Array], evidence: Evidence) -> str | None:
    rank = masks[0].ndim
    shape = evidence.variable.shape
    for axis in range(rank):
        for word, place in _PLACES:
            rest = [np.delete(m, place, axis=axis) for m in masks if m.shape[axis] > 1]
            if _all_right(rest):
                return f"at the {word} place along axis {axis} ({shape[axis]})"
    for axis in range(rank):
        long = [m for m in masks if m.shape[axis] > 2]
        middle = [np.take(m, range(1, m.shape[axis] - 1), axis=axis) for m in long]
        if _all_right(middle):
            return f"at the two ends of axis {axis} ({shape[axis]})"
    square = rank == 2 and all(m.shape[0] == m.shape[1] for m in masks if m.size > 1)
    if square and _all_right([m[~np.eye(m.shape[0], dtype=bool)] for m in masks]):
        return "on the diagonal"
    return None


def _all_right(rest: Sequence[Array]) -> bool:
    """Whether none of these entries is wrong, and that is no chance."""
    return sum(m.size for m in rest) >= _FEWEST and not any(m.any() for m in rest)


def _constant(seen: Seen) -> float | None:
    error = seen.got - seen.right
    spread = float(np.max(error) - np.min(error))
    return float(error.flat[0]) if spread <= 4 * float(np.max(seen.bound)) else None


def _cosine(seen: Seen) -> float:
    lengths = float(np.linalg.norm(seen.got) * np.linalg.norm(seen.right))
    return abs(float(np.vdot(seen.got, seen.right))) / lengths if lengths else 0.0


def heat(evidence: Evidence) -> Heat | None:
    """The errors of the first wrong probe with more than a few entries, as rows and columns."""
    wrong = [s for s in evidence.seen if s.fits_shape and not s.is_right and s.got.ndim]
    if not wrong:
        return None
    seen = max(wrong, key=lambda s: min(s.got.size, _MOST_SHOWN))
    with np.errstate(all="ignore"):
        share = np.abs(seen.got - seen.right) / seen.bound
    rows = share.reshape(-1, share.shape[-1])[:_MOST_ROWS]
    sizes = tuple(seen.point.probe.sizes.items())
    return Heat(tuple(tuple(float(v) for v in row) for row in rows), sizes)
