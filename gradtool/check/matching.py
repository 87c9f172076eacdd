"""Which layer is this?  A candidate is a layer when its forward gives the layer's numbers.

Names and signatures only decide what is tried first and how it is called; what counts is that
the candidate was run and gave, at every size set, what the layer's forward gives.  So a pair is
never called wrong because it was taken for something that it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.conventions import bindings
from gradtool.check.probes import Probe, make_probe
from gradtool.check.recognise import score
from gradtool.check.reference import Reference
from gradtool.check.session import CheckTrouble, Session

_NEAR = 1e-5  # of the largest entry; the judge asks for more, and knows float32
_TOLD = 4  # reasons for one candidate
_LOSSES = 2  # lost workers before a candidate is given up
_NOTHING = Binding("", None)


@dataclass(frozen=True, slots=True)
class Tried:
    """A layer that a candidate is not, and why: its name is like the candidate's."""

    layer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """What a candidate is, and how it is called; or None, and what was tried."""

    candidate: Candidate
    layer: str | None
    bindings: tuple[Binding, ...]
    tried: tuple[Tried, ...]


class Layers:
    """Layers to choose from; the numbers of each are computed once."""

    def __init__(self, references: Iterable[Reference], seed: int) -> None:
        self.references = tuple(references)
        self.seed = seed
        self.names = {r.spec.name: Names.of(r) for r in self.references}
        self._points: dict[str, list[tuple[Probe, dict[str, np.ndarray]]]] = {}

    def points(self, reference: Reference) -> Iterator[tuple[Probe, Mapping[str, np.ndarray]]]:
        """Every size set with the right outputs there."""
        known = self._points.setdefault(reference.spec.name, [])
        for number, setting in enumerate(reference.settings()):
            if number == len(known):
                probe = make_probe(reference, _NOTHING, setting, number, self.seed)
                known.append((probe, reference.forward(probe.values, probe.sizes)))
            yield known[number]


def match(session: Session, candidate: Candidate, layers: Layers) -> Match:
    """The layer that a candidate of a loaded file implements.

    Raises:
        CheckTrouble: the worker was lost again and again.
    """
    ranked = sorted(layers.references, key=lambda r: score(candidate, r.spec.name), reverse=True)
    tried: list[Tried] = []
    lost = 0
    for reference in ranked:
        related = score(candidate, reference.spec.name)[0] > 0
        try:
            ways = bindings(candidate, layers.names[reference.spec.name])
        except NoMatch as reason:
            if related:
                tried.append(Tried(reference.spec.name, str(reason)))
            continue
        reasons: list[str] = []
        for way in ways:
            try:
                reasons.append(difference(session, reference, way, layers))
            except CheckTrouble as trouble:
                lost += 1
                reasons.append(trouble.trouble.message)
                if lost > _LOSSES:
                    raise
                session.again()
            if not reasons[-1]:
                others = tuple(other for other in ways if other is not way)
                return Match(candidate, reference.spec.name, (way, *others), ())
        if related:  # the first way is the likeliest
            tried.append(Tried(reference.spec.name, reasons[0]))
    return Match(candidate, None, (), tuple(tried[:_TOLD]))


def difference(session: Session, reference: Reference, way: Binding, layers: Layers) -> str:
    """Why a binding's forward is not the layer's; "" when it is, at every size set.

    Raises:
        CheckTrouble: the worker was lost.
    """
    session.bind(way, reference.outputs, (), [v.name for v in reference.spec.variables if v.read])
    for probe, right in layers.points(reference):
        run = session.evaluate(
            probe.arrays,
            probe.scalars,
            seed=layers.seed,
            max_bytes=probe.max_bytes,
            forward_only=True,
        )
        if run.trouble is not None:
            return run.trouble.message
        for name in reference.outputs:
            value = run.outputs.get(name)
            if value is None or value.array is None:
                return f"its forward gives no array for {name}"
            reason = _unlike(value.array, right[name])
            if reason:
                return f"its forward gives {reason}"
    return ""


def _unlike(got: np.ndarray, right: np.ndarray) -> str:
    if got.size != right.size or _squeezed(got.shape) != _squeezed(right.shape):
        return f"the shape {got.shape} where the layer has {right.shape}"
    got = got.reshape(right.shape)
    if not np.all(np.isfinite(got)):
        return "numbers that are not finite"
    largest = float(np.max(np.abs(right), initial=0.0)) or 1.0
    error = float(np.max(np.abs(got - right), initial=0.0)) / largest
    return "" if error <= _NEAR else f"other numbers (off by {error:.0e} of the largest)"


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
