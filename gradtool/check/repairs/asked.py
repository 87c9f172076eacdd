"""The judge's end of the changes: what it asks the worker, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np

from gradtool.check.answers import clean
from gradtool.check.probes import Probe
from gradtool.check.session import Session

Where: TypeAlias = tuple[str, str, int]  # place, name and first line of a function


def locals_of(
    session: Session, functions: Sequence[tuple[Where, bool]], probe: Probe, seed: int
) -> list[Mapping[str, tuple[str, tuple[int, ...]]]]:
    """What the names in functions hold when they return: kind and shape; none where they do not
    run.  With each comes whether it is one inside another.

    Raises:
        CheckTrouble: the worker is lost.
    """
    asked = [[*where, inside] for where, inside in functions]
    header = {"op": "held", "functions": asked, "scalars": dict(probe.scalars), "seed": seed}
    told = session.ask(header, probe.arrays, 0).header.get("locals")
    if not isinstance(told, list) or len(told) != len(functions):
        return [{} for _ in functions]
    return [_kinds(one) for one in told]


def attempted(
    session: Session,
    texts: Mapping[Where, str],
    choices: Sequence[int],
    shapes: Mapping[str, tuple[int, ...]],
    probe: Probe,
    *,
    seed: int,
    seconds: float,
) -> tuple[int, Mapping[str, np.ndarray]]:
    """Evaluations with other texts of functions, one for each choice.

    How many of the choices were tried in the time, and the results in `shapes`, stacked along a
    first axis, nan where there is none; nothing where the functions cannot be given these texts.

    Raises:
        CheckTrouble: the worker is lost.
    """
    entries = sum(prod(shape) for shape in shapes.values())
    header = {
        "op": "attempt",
        "functions": [[*where, text] for where, text in texts.items()],
        "choices": choices,
        "shapes": shapes,
        "scalars": dict(probe.scalars),
        "seed": seed,
        "seconds": seconds,
    }
    reply = session.ask(header, probe.arrays, 8 * len(choices) * entries)
    done, results = reply.header.get("done"), {}
    for name, shape in shapes.items():
        array = reply.arrays.get(name)
        if not isinstance(done, int) or array is None or array.shape != (len(choices), *shape):
            return 0, {}
        results[name] = array
    assert isinstance(done, int)
    return min(done, len(choices)), results


def _kinds(told: object) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {}
    for name, described in told.items() if isinstance(told, dict) else ():
        match described:
            case [str(kind), list(shape)] if str(name).replace(".", "").isidentifier():
                sizes = tuple(size for size in shape if isinstance(size, int))
                found[str(name)] = clean(kind), sizes
    return found
