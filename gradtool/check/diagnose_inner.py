"""The line of a mistake in an inner value, where the numbers alone tell it.

A mistake in `dS` makes every gradient behind it wrong, and no line of those is.  What comes out
with it, an array, is what a name of the user's function holds: that name got it in the line that
is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import is_near
from gradtool.check.diagnose_where import Named, Where, called_in, functions_of, last_bound
from gradtool.check.measure import Point
from gradtool.check.repairs.asked import attempted, locals_of
from gradtool.check.repairs.changes import moves
from gradtool.check.repairs.reach import reached
from gradtool.check.repairs.targets import Target, texts_of, where_of
from gradtool.check.repairs.trial import LOCAL
from gradtool.check.session import CheckTrouble, Session

_ROUNDED = 1e-11
_FEWEST = 2  # entries: of one number there may be several
_MOST_ENTRIES = 5000
_SECONDS = 0.8
_AS_IT_IS = -1  # no change


def line_of(
    session: Session, binding: Binding, point: Point, value: np.ndarray, seed: int
) -> Where | None:
    """The last line that gives a name this value in the functions called for the gradients.

    None where no name ends up with it, or more than one function has one.
    """
    if not session.varies or not _FEWEST <= value.size <= _MOST_ENTRIES:
        return None
    functions = functions_of(session.file, binding)
    texts = (binding.backward, *binding.grads.values())
    chosen = called_in(texts, functions) or called_in((binding.forward,), functions)
    named = [functions[name] for name in reached(chosen, functions)]
    try:
        held = _holding(session, named, point, value, seed)
    except CheckTrouble:
        return None
    lines = [(line, one) for one, name in held if (line := last_bound(one.node, name)) is not None]
    if not lines or len({id(one) for _, one in lines}) > 1:
        return None
    line, owner = max(lines, key=lambda found: found[0])
    source = owner.text.splitlines()[line - 1].strip()
    return Where(line, source, owner.place if session.file.suffix == ".ipynb" else "")


def _holding(
    session: Session, named: Sequence[Named], point: Point, value: np.ndarray, seed: int
) -> list[tuple[Named, str]]:
    """The functions and the names in them that hold a value when they return.

    Raises:
        CheckTrouble: the worker is lost.
    """
    targets = [Target(one, tuple(islice(moves(one.node), 1))) for one in named]
    texts = texts_of([target for target in targets if target.fixes])
    numbers = {key: number for number, key in enumerate(texts)}
    known = [one for one in named if Target(one, ()).key in numbers]
    asked = [(where_of(one), one.outer is not None) for one in known]
    shapes: dict[str, tuple[int, ...]] = {}
    owners: dict[str, tuple[Named, str]] = {}
    for one, values in zip(known, locals_of(session, asked, point.probe, seed), strict=True):
        for name, (kind, shape) in values.items():
            if kind == "array" and _plain(shape) == _plain(value.shape) and "." not in name:
                label = f"{LOCAL} {numbers[Target(one, ()).key]} {name}"
                shapes[label], owners[label] = shape, (one, name)
    if not shapes:
        return []
    _, results = attempted(
        session, texts, [_AS_IT_IS], shapes, point.probe, seed=seed, seconds=_SECONDS
    )
    wanted = value.squeeze()
    return [
        owners[label]
        for label, got in results.items()
        if label in owners and is_near(got[0].squeeze(), wanted, _ROUNDED)
    ]


def _plain(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
