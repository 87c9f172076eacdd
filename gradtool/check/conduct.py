"""How the code behaves beside its numbers: what it changes, shares and remembers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bounds import EPS
from gradtool.check.compare import is_near
from gradtool.check.probes import Probe
from gradtool.check.result import Remark
from gradtool.check.session import CheckTrouble, Session, TooSlow

_OTHER_SEED = 1
_NEAR = 2**29 * EPS  # a few units of float32


def of_runs(runs: Iterable[Run], updated: Collection[str] = ()) -> list[Remark]:
    """Mutations and aliases seen while the numbers were computed; `updated` may change."""
    runs = list(runs)
    mutated = dict.fromkeys(n for run in runs for n in run.mutated if n not in updated)
    aliased = dict.fromkeys(pair for run in runs for pair in run.aliased)
    found = [Remark("mutates", f"{name} is changed in place") for name in mutated]
    return found + [Remark("aliases", f"{a} shares memory with {b}") for a, b in aliased]


def of_repetition(
    session: Session, probe: Probe, other: Probe, first: Run, seed: int, draws: bool = False
) -> list[Remark]:
    """Whether a second call, another random state and calls in between give the same answer.

    `first` is the run at `probe`; `other` is another probe, for the calls in between.  With
    `draws` the layer is random by what it is.
    """
    found: list[Remark] = []

    def run(point: Probe, with_seed: int, op: str = "run", slot: int = 0) -> Run:
        return session.evaluate(
            point.arrays,
            point.scalars,
            seed=with_seed,
            max_bytes=point.max_bytes,
            op=op,
            slot=slot,
        )

    try:
        if not _agree(first, run(probe, seed)):
            return [Remark("state", "a second call on the same data gives another answer")]
        if not draws and not _agree(first, run(probe, seed + _OTHER_SEED)):
            found.append(Remark("random", "the answer depends on NumPy's global random state"))
        run(probe, seed, "start", slot=0)
        run(other, seed, "start", slot=1)
        between = run(probe, seed, "finish", slot=0)
        run(other, seed, "finish", slot=1)
        if not _agree(first, between):
            text = "a forward on other data before the backward changes the answer"
            found.append(Remark("state", text))
    except TooSlow:  # slow code need not have a state
        text = "a repeated call gave no answer in time: whether it gives the same is not known"
        found.append(Remark("late", text))
    except CheckTrouble as trouble:
        found.append(Remark("state", f"a repeated call fails: {trouble}"))
    return found


def _agree(first: Run, second: Run) -> bool:
    if first.raw and first.raw == second.raw:
        return True
    return _same(_arrays(first), _arrays(second))


def _arrays(run: Run) -> dict[str, np.ndarray]:
    values = {f"d{n}": v for n, v in run.gradients.items()} | dict(run.outputs)
    return {name: value.array for name, value in values.items() if value.array is not None}


def _same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    # Threads and alignment may change the order of a sum: equal bits are not asked for.
    return first.keys() == second.keys() and all(
        is_near(second[name], array, _NEAR) for name, array in first.items()
    )
