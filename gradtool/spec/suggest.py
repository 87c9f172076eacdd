"""The near miss: which known name did the writer probably mean?"""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None when nothing is close.

    Close means: equal up to case and ``-``/``_``, or at most one edit in short names, two in
    names of five letters, three in names of nine (Damerau's edits: insert, delete, replace,
    swap neighbours).  A name is never "close" when every letter of it would have to change.
    """
    folded = _fold(name)
    limit = min(1 + (len(name) >= 5) + (len(name) >= 9), len(name) - 1)
    best: tuple[int, str] | None = None
    for candidate in known:
        if candidate == name:
            continue
        if _fold(candidate) == folded:
            return candidate
        if abs(len(candidate) - len(name)) > limit:
            continue
        distance = edits(name, candidate)
        if distance <= limit and (best is None or distance < best[0]):
            best = (distance, candidate)
    return best[1] if best else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: its near miss, or all the known names when they are few."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 16 else ""


def edits(left: str, right: str) -> int:
    """Damerau's distance (optimal string alignment) between two names."""
    before: list[int] = []
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")
