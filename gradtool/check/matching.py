"""Which layer is this?  A candidate is a layer when its forward gives the layer's numbers.

Names and signatures only decide what is tried first and how it is called; what counts is that
the candidate was run and gave, at every size set, what the layer's forward gives.  So a pair is
never called wrong because it was taken for something that it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

from gradtool.check.arguments import NoMatch
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.conventions import bindings
from gradtool.check.one_sample import (
    batches_of_one,
    columns_of_one,
    is_apart,
    vectors,
)
from gradtool.check.recognise import score
from gradtool.check.reference import Reference
from gradtool.check.retyped import may_be_of_a_type, retyped
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.trying import OTHER, SHAPE, Layers, fitting
from gradtool.ir.dims import shape_text
from gradtool.records import Struct
from gradtool.spec.model import LayerSpec

# Of the largest entry.  The judge asks for more, and knows float32; a forward that is only near
# may be the layer with another eps.
_SAME, _NEAR = 1e-9, 1e-3
MOST_TOLD = 4  # reasons for one candidate
_LOSSES = 2  # lost workers before a candidate is given up


class Tried(Struct, frozen=True):
    """A layer that a candidate is not, and why: its name is like the candidate's.

    `same`: it computes the same all the same, and something else keeps it from being judged.
    `near`: it computes nearly the same.
    """

    layer: str
    reason: str
    same: bool = False
    near: bool = False


class Match(Struct, frozen=True):
    """What a candidate is, and how it is called; or None, and what was tried."""

    candidate: Candidate
    layer: LayerSpec | None
    bindings: tuple[Binding, ...]
    tried: tuple[Tried, ...]


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
    like = {r.spec.name for r in ranked if score(candidate, r.spec.name)[0] > 0}
    readings: dict[str, Sequence[Binding]] = {}

    def ways_of(name: str) -> Sequence[Binding]:
        if name not in readings:
            readings[name] = ()
            try:
                readings[name] = bindings(candidate, layers.names[name])
            except NoMatch as unlike:
                if name in like:
                    tried.append(Tried(name, str(unlike)))
        return readings[name]

    for reference, varied in _in_order(ranked, like, ways_of):
        name, related = reference.spec.name, reference.spec.name in like
        ways = ways_of(name)
        if not ways:
            continue
        try:
            if name not in reasons:
                same, reasons[name] = fitting(session, reference, ways, layers, _SAME)
                if related and not same:
                    same = _in_another_type(session, reference, ways, layers, reasons[name])
                if same:
                    return Match(candidate, reference.spec, same, ())
            if varied and _may_vary(reasons[name], related):
                found = _variant(session, candidate, reference, ways, layers, related)
                if found is not None:
                    return found
        except CheckTrouble as trouble:
            lost += 1
            if lost > _LOSSES:
                raise
            session.again()
            reasons[name] = [trouble.trouble.message]
        if related and varied:
            tried.append(Tried(name, reasons[name][0]))
    # Only now: a layer that is nearly the same must not hide one that is the same.
    for reference in ranked:
        if _has_other_numbers(reasons.get(reference.spec.name, ())):
            ways = ways_of(reference.spec.name)
            nearly, _ = fitting(session, reference, ways, layers, _NEAR)
            if nearly:
                return Match(candidate, reference.spec, nearly, ())
    for reference in ranked:
        refused = reasons.get(reference.spec.name)
        if refused is None:
            continue
        alone = for_one_sample(session, candidate, reference, layers, refused[0])
        if alone:
            return Match(candidate, reference.spec, alone, ())
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
    numbers = refused.startswith(OTHER)
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
    found, _ = fitting(session, reference, several, layers, _SAME)
    told = tuple(way.remarked(said) for way in found)
    return told if told and is_apart(reference, batch) else ()


def _in_another_type(
    session: Session,
    reference: Reference,
    ways: Sequence[Binding],
    layers: Layers,
    reasons: Iterable[str],
) -> tuple[Binding, ...]:
    """The readings that are the layer with a mask or labels in the type that the code wants."""
    raised = next(filter(may_be_of_a_type, reasons), "")
    if not raised:
        return ()
    others = [other for way in ways for other in retyped(way, reference.spec.variables, raised)]
    return fitting(session, reference, others, layers, _SAME)[0]


def _in_order(
    ranked: Sequence[Reference],
    like: Collection[str],
    ways_of: Callable[[str], Sequence[Binding]],
) -> Iterator[tuple[Reference, bool]]:
    """The layers in the order in which they are tried, as they are or also with other constants.

    First those that are called like the candidate: the ones that have most of its gradients (a
    convolution with a bias is one without, where that is zero), of these the ones that fit as they
    are.
    """
    related = [r for r in ranked if r.spec.name in like and ways_of(r.spec.name)]

    def count(reference: Reference) -> int:
        return gradients_in(ways_of(reference.spec.name)[0], reference.spec)

    for _, group in groupby(sorted(related, key=count, reverse=True), count):
        same = list(group)
        yield from ((r, False) for r in same)
        yield from ((r, True) for r in same)
    yield from ((r, True) for r in ranked if r.spec.name not in like)


def gradients_in(way: Binding, layer: LayerSpec) -> int:
    """How many of the layer's variables with a gradient a reading gives the code."""
    return sum(v.differentiable and way.mentions(v.name) for v in layer.variables)


def _may_vary(reasons: Sequence[str], related: bool) -> bool:
    """Whether code that is not a layer may be it with another constant, by why it is not.

    One that is called like the layer and gives another shape may have another stride.
    """
    return _has_other_numbers(reasons) or (
        related and any(reason.startswith(SHAPE) for reason in reasons)
    )


def _has_other_numbers(reasons: Iterable[str]) -> bool:
    return any(reason.startswith(OTHER) for reason in reasons)


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
        found, _ = fitting(session, variant, silent, layers, _SAME)
        if found:
            said = ", ".join(f"{n} is {float(v):g}" for n, v in changed.items())
            remark = f"{said} in your code, another number than in the layer of that name"
            told = tuple(way.remarked(remark) for way in found)
            return Match(candidate, variant.spec, told, ())
    return None
