"""Causes of what is wrong, each looked for once: a class makes the same mistakes many times.

All submissions of a run are asked at the same points, so two that make the same mistake are off by
the same numbers, but for their rounding.
"""

from __future__ import annotations

import gc
import hashlib
import threading
from typing import TypeAlias

import numpy as np

from gradtool.check.compare import Role, by_role
from gradtool.check.judge import Judgement
from gradtool.check.reference import Reference
from gradtool.check.result import Cause, Compared, Heat
from gradtool.records import replace

_Found: TypeAlias = tuple[Cause | None, Heat | None]

_DIGITS = 8
_MOST = 2000
_SWEEP = 4  # diagnoses


class Causes:
    """What was found so far.  It may be used by several threads."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[_Found, ...]] = {}
        self._looked = 0
        self._lock = threading.Lock()

    def told(self, question: str, reference: Reference, judgement: Judgement) -> Judgement:
        """The judgement with the cause of each wrong output and gradient where it is known.

        Only numbers are looked at: the judge never parses what a student wrote.  A cause that the
        judge has found stays: it has asked this submission, as it does about differences.
        """
        verdict = judgement.verdict
        every = (*verdict.forward, *verdict.gradients)
        if not any(one.standing in ("wrong", "follows") and one.cause is None for one in every):
            return judgement
        key = _key(question, judgement)
        with self._lock:
            known = self._kept.get(key)
        if known is None:
            # Only here: a class that is right must not wait for the derivation.
            from gradtool.check.diagnose import with_causes_of_numbers

            found = with_causes_of_numbers(reference, judgement).verdict
            known = tuple((one.cause, one.heat) for one in (*found.forward, *found.gradients))
            with self._lock:
                if len(self._kept) >= _MOST:
                    self._kept.clear()
                self._kept[key] = known
                self._looked += 1
                if self._looked % _SWEEP == 0:
                    gc.collect()  # hypotheses hold each other, and each some array
                if self._looked == _SWEEP:
                    gc.freeze()  # what there is now stays, and need not be looked at again
        told = tuple(
            replace(one, cause=cause, heat=heat) if one.cause is None else one
            for one, (cause, heat) in zip(every, known, strict=True)
        )
        outputs = len(verdict.forward)
        explained = replace(verdict, forward=told[:outputs], gradients=told[outputs:])
        return replace(judgement, verdict=explained)


def _key(question: str, judgement: Judgement) -> bytes:
    """The same for two judgements only if what is wrong is off by the same numbers.

    What is right is off by its rounding, which is another one in every file.
    """
    digest, verdict = hashlib.blake2b(question.encode(), digest_size=16), judgement.verdict
    # Right outputs are the same in every file.
    rows: list[tuple[Role, Compared]]
    rows = [("output", output) for output in verdict.forward if output.standing == "wrong"]
    rows += [("gradient", gradient) for gradient in verdict.gradients]
    for role, row in rows:
        digest.update(f";{role} {row.name} {row.standing} {row.cause is None}".encode())
        for point in judgement.points:
            outcome = by_role(point, role).get(row.name)
            if outcome is None:
                continue
            told = f" {point.probe.number} {outcome.right} {outcome.kind} {outcome.single}"
            digest.update(told.encode())
            # The arrays as they were returned: a wrong shape is evidence, too.
            array = by_role(point.run, role)[row.name].array
            if array is not None and not outcome.right:
                right = by_role(point.expected, role)[row.name]
                digest.update(f"{array.shape}".encode() + _error(array, right))
    return digest.digest()


def _error(array: np.ndarray, right: np.ndarray) -> bytes:
    """How far it is off, to some digits of the largest error: of an error as small as that of a
    difference quotient, the same digits of the value show nothing.
    """
    with np.errstate(all="ignore"):
        off = array - right if array.shape == right.shape else array.astype(float)
        finite = np.isfinite(off)
        largest = float(np.max(np.abs(np.where(finite, off, 0.0)), initial=0.0)) or 1.0
        rounded = np.round(off / largest, _DIGITS) + 0.0  # neither zero has a sign
    shown = np.where(np.isnan(rounded), np.nan, rounded)  # nor has what is no number
    return f"{largest:.{_DIGITS}g}".encode() + shown.tobytes()
