"""Which layer is this?  A candidate is a layer when its forward gives the layer's numbers.

Names and signatures only decide what is tried first and how it is called; what counts is that
the candidate was run and gave, at every size set, what the layer's forward gives.  So a pair is
never called wrong because it was taken for something that it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.conventions import bindings
from gradtool.check.one_sample import (
    Batch,
    batch_of,
    batches_of_one,
    columns_of_one,
    is_apart,
    vectors,
)
from gradtool.check.probes import Probe, make_probe, unusual
from gradtool.check.recognise import score
from gradtool.check.reference import Reference, Restricted
from gradtool.check.session import CheckTrouble, Session
from gradtool.ir.dims import shape_text
from gradtool.spec.model import LayerSpec

# Of the largest entry.  The judge asks for more, and knows float32; a forward that is only near
# may be the layer with another eps.
_SAME, _NEAR = 1e-9, 1e-3
_SINGLE = 1e-4
MOST_TOLD = 4  # reasons for one candidate
_LOSSES = 2  # lost workers before a candidate is given up
_NOTHING = Binding("", None)
_NUMBERS = "other numbers"
_OTHER = f"its forward gives {_NUMBERS}"
_SHAPE = "its forward gives the shape"


@dataclass(frozen=True, slots=True)
class Tried:
    """A layer that a candidate is not, and why: its name is like the candidate's.

    `same`: it computes the same all the same, and something else keeps it from being judged.
    """

    layer: str
    reason: str
    same: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """What a candidate is, and how it is called; or None, and what was tried."""

    candidate: Candidate
    layer: LayerSpec | None
    bindings: tuple[Binding, ...]
    tried: tuple[Tried, ...]


class Layers:
    """Layers to choose from; the numbers of each are computed once.

    `vary` gives variants of a layer with other values of the constants of these names, which code
    may write out itself, such as eps or a stride.  `open`: nobody has named a layer.
    """

    def __init__(
        self,
        references: Iterable[Reference],
        seed: int,
        vary: Callable[[Reference, Collection[str]], Iterable[Reference]] = lambda *_: (),
        open: bool = True,
    ) -> None:
        self.references = tuple(references)
        self.seed = seed
        self.vary = vary
        self.names = {r.spec.name: replace(Names.of(r), open=open) for r in self.references}
        # By identity; the reference is kept, so that no other gets its place.
        self._points: dict[int, tuple[Reference, list[tuple[Probe, dict[str, np.ndarray]]]]] = {}
        self._batches: dict[str, Batch | None] = {}
        self._restricted: dict[tuple[object, ...], Restricted] = {}

    def points(self, reference: Reference) -> Iterator[tuple[Probe, Mapping[str, np.ndarray]]]:
        """Every size set with the right outputs there."""
        _, known = self._points.setdefault(id(reference), (reference, []))
        usual = [setting for setting in reference.settings() if not setting.beyond]
        for number, setting in enumerate(usual):
            if number == len(known):
                probe = make_probe(reference, _NOTHING, setting, number, self.seed)
                known.append((probe, reference.forward(probe.values, probe.sizes)))
            yield known[number]

    def batch(self, reference: Reference) -> Batch | None:
        """What counts the samples of a layer."""
        name = reference.spec.name
        if name not in self._batches:
            self._batches[name] = batch_of(reference)
        return self._batches[name]

    def at(self, reference: Reference, way: Binding) -> Reference:
        """The layer at the sizes that a binding is made for."""
        if not way.one and not way.equal:
            return reference
        key = (id(reference), way.one, way.equal)
        if key not in self._restricted:
            self._restricted[key] = Restricted(reference, (), way.one, way.equal)
        return self._restricted[key]


def match(
    session: Session, candidate: Candidate, layers: Layers, without: Collection[str] = ()
) -> Match:
    """The layer that a candidate of a loaded file implements; `without` are layers it is not.

    Raises:
        CheckTrouble: the worker was lost again and again.
    """
    known = [r for r in layers.references if r.spec.name not in without]
    ranked = sorted(known, key=lambda r: score(candidate, r.spec.name), reverse=True)
    tried: list[Tried] = []
    reasons: dict[str, list[str]] = {}
    lost = 0
    for reference in ranked:
        related = score(candidate, reference.spec.name)[0] > 0
        try:
            ways = bindings(candidate, layers.names[reference.spec.name])
        except NoMatch as unlike:
            if related:
                tried.append(Tried(reference.spec.name, str(unlike)))
            continue
        try:
            found = _as_layer(session, candidate, reference, ways, layers, related)
        except CheckTrouble as trouble:
            lost += 1
            if lost > _LOSSES:
                raise
            session.again()
            found = [trouble.trouble.message]
        if isinstance(found, Match):
            return found
        reasons[reference.spec.name] = found
        if related:
            tried.append(Tried(reference.spec.name, found[0]))
    # Only now: a layer that is nearly the same must not hide one that is the same.
    for reference in ranked:
        if _has_other_numbers(reasons.get(reference.spec.name, ())):
            ways = bindings(candidate, layers.names[reference.spec.name])
            nearly, _ = _fitting(session, reference, ways, layers, _NEAR)
            if nearly:
                return Match(candidate, reference.spec, nearly, ())
    for reference in ranked:
        refused = reasons.get(reference.spec.name)
        if refused is None:
            continue
        ways = for_one_sample(session, candidate, reference, layers, refused[0])
        if ways:
            return Match(candidate, reference.spec, ways, ())
    return Match(candidate, None, (), tuple(tried[:MOST_TOLD]))


def for_one_sample(
    session: Session, candidate: Candidate, reference: Reference, layers: Layers, refused: str
) -> tuple[Binding, ...]:
    """The readings of a candidate at one sample that give the layer's numbers there; () if none.

    `refused` is why it is not the layer with a batch.  One that gives other numbers with a batch
    is another function, but for one that is given a vector: its softmax has one sum.  Of a loss
    not even that: with one sample a sum is a mean.

    Raises:
        CheckTrouble: the worker was lost.
    """
    batch = layers.batch(reference)
    numbers = refused.startswith(_OTHER)
    if batch is None or (numbers and layers.names[reference.spec.name].is_loss):
        return ()
    ways: list[Binding] = []
    for readings in (vectors, columns_of_one) if numbers else (vectors, batches_of_one):
        with suppress(NoMatch):
            ways += readings(candidate, reference, batch)
    inputs = [v for v in reference.spec.variables if v.role == "input"]
    what = ", ".join(f"{v.name} {shape_text(v.shape)}" for v in inputs)
    said = f"takes one sample only; with a batch, {what}: {refused}"
    # At one size alone too much is equal by chance.
    several = [way for way in ways if len(layers.at(reference, way).settings()) > 1]
    found, _ = _fitting(session, reference, several, layers, _SAME)
    fitting = tuple(replace(w, remark="; ".join(filter(None, (w.remark, said)))) for w in found)
    return fitting if fitting and is_apart(reference, batch) else ()


def _as_layer(
    session: Session,
    candidate: Candidate,
    reference: Reference,
    ways: Sequence[Binding],
    layers: Layers,
    related: bool,
) -> Match | list[str]:
    """The candidate as one layer, or why it is not: for each way, the likeliest first.

    One that is called like the layer and gives another shape may have another stride.
    """
    same, reasons = _fitting(session, reference, ways, layers, _SAME)
    if same:
        return Match(candidate, reference.spec, same, ())
    if _has_other_numbers(reasons) or (
        related and any(reason.startswith(_SHAPE) for reason in reasons)
    ):
        found = _variant(session, candidate, reference, ways, layers, related)
        if found is not None:
            return found
    return reasons


def _has_other_numbers(reasons: Iterable[str]) -> bool:
    return any(reason.startswith(_OTHER) for reason in reasons)


def _fitting(
    session: Session, reference: Reference, ways: Sequence[Binding], layers: Layers, near: float
) -> tuple[tuple[Binding, ...], list[str]]:
    """The ways whose forward is the layer's, and why the others are not."""
    known: dict[tuple[object, ...], Probed] = {}
    for way in ways:
        if (key := _forward_of(way)) not in known:
            known[key] = probed(session, reference, way, layers, near)
    fitting: list[Binding] = []
    for way in ways:
        found = known[_forward_of(way)]
        if not found.reason:
            fitting += [_as_returned(way, found.reshaped), way] if found.reshaped else [way]
    return tuple(fitting), [found.reason for found in known.values() if found.reason]


def _forward_of(way: Binding) -> tuple[object, ...]:
    return way.setup, way.forward, way.one, way.drops_batch, way.equal, way.reads


def _variant(
    session: Session,
    candidate: Candidate,
    reference: Reference,
    ways: Sequence[Binding],
    layers: Layers,
    related: bool,
) -> Match | None:
    """The candidate as the layer with another constant, where it does not take that constant.

    There are many strides and paddings: they are tried where the name is the layer's.
    """
    free = {
        name
        for name, value in reference.constants.items()
        if (related or not isinstance(value, int)) and not all(way.mentions(name) for way in ways)
    }
    for variant in layers.vary(reference, free) if free else ():
        changed = {
            n: v for n, v in variant.spec.constants.items() if v != reference.spec.constants[n]
        }
        silent = [way for way in ways if not any(way.mentions(name) for name in changed)]
        fitting, _ = _fitting(session, variant, silent, layers, _SAME)
        if fitting:
            said = ", ".join(f"{n} is {float(v):g}" for n, v in changed.items())
            remark = f"{said} in your code, another number than in the layer of that name"
            told = tuple(
                replace(w, remark="; ".join(filter(None, (w.remark, remark)))) for w in fitting
            )
            return Match(candidate, variant.spec, told, ())
    return None


@dataclass(frozen=True, slots=True)
class Probed:
    """Why a forward is not the layer's, "" when it is; `reshaped` are outputs of another shape."""

    reason: str
    reshaped: tuple[str, ...] = ()


def _as_returned(way: Binding, reshaped: Sequence[str]) -> Binding:
    """The binding with upstream gradients in the shape in which the code returns its outputs."""
    lines = [f"d{name} = np.reshape(d{name}, np.shape({name}))" for name in reshaped]
    backward = "\n".join((*lines, way.backward)) if way.backward else None
    return replace(way, backward=backward)


def probed(
    session: Session, reference: Reference, way: Binding, layers: Layers, near: float
) -> Probed:
    """Whether a binding's forward is the layer's, at every size set.

    `near` is what counts as the same, as a share of the largest entry.

    Raises:
        CheckTrouble: the worker was lost.
    """
    reference = layers.at(reference, way)
    read = [v.name for v in reference.spec.variables if v.read or v.name in way.reads]
    session.bind(way, reference.outputs, (), read)
    refused, count, reshaped = "", 0, set[str]()
    for probe, right in layers.points(reference):
        run = session.evaluate(
            probe.arrays,
            probe.scalars,
            seed=layers.seed,
            max_bytes=probe.max_bytes,
            forward_only=True,
        )
        if run.trouble is not None:
            if not unusual(reference, probe):
                return Probed(run.trouble.message)
            refused = run.trouble.message  # the judge tells
            continue
        count += 1
        drawn = {n: value.array for n in read if (value := run.outputs.get(n))}
        known = {n: array for n, array in drawn.items() if array is not None}
        if known:
            right = reference.forward({**probe.values, **known}, probe.given)
        for name in reference.outputs:
            value = run.outputs.get(name)
            if value is None or value.array is None:
                return Probed(f"its forward gives no array for {name}")
            close = near if value.dtype == "float64" else max(near, _SINGLE)
            if reason := _unlike(value.array, right[name], close):
                return Probed(f"its forward gives {reason}")
            if value.array.shape != right[name].shape:
                reshaped.add(name)
    named = tuple(name for name in reference.outputs if name in reshaped)
    return Probed("" if count else refused, named)


def _unlike(got: np.ndarray, right: np.ndarray, near: float) -> str:
    if got.size != right.size or _squeezed(got.shape) != _squeezed(right.shape):
        return f"the shape {got.shape} where the layer has {right.shape}"
    got = got.reshape(right.shape)
    if not np.all(np.isfinite(got)):
        return "numbers that are not finite"
    largest = float(np.max(np.abs(right), initial=0.0)) or 1.0
    error = float(np.max(np.abs(got - right), initial=0.0)) / largest
    return "" if error <= near else f"{_NUMBERS} (off by {error:.0e} of the largest)"


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
