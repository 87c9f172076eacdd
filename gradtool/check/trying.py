"""Whether the ways to read code as a layer give the layer's numbers: each is run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding
from gradtool.check.by_name import every_by_name
from gradtool.check.either import either
from gradtool.check.one_sample import Batch, batch_of
from gradtool.check.probes import Probe, make_probe
from gradtool.check.reference import Reference, Restricted
from gradtool.check.refused import excuse
from gradtool.check.session import Session
from gradtool.records import Struct, replace

_SINGLE = 1e-4  # of the largest entry
_NOTHING = Binding("", None)
_NUMBERS = "other numbers"
GIVES = "its forward gives"
OTHER = f"{GIVES} {_NUMBERS}"
SHAPE = f"{GIVES} the shape"


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
        """Every setting with the right outputs there."""
        _, known = self._points.setdefault(id(reference), (reference, []))
        usual = [setting for setting in reference.settings() if not setting.beyond]
        for number, setting in enumerate(usual):
            if number == len(known):
                probe = make_probe(reference, _NOTHING, setting, number, self.seed)
                known.append((probe, reference.forward(probe.values, probe.given)))
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


def fitting(
    session: Session, reference: Reference, ways: Sequence[Binding], layers: Layers, near: float
) -> tuple[tuple[Binding, ...], list[str]]:
    """The ways whose forward is the layer's, and why the others are not."""
    known: dict[tuple[object, ...], Probed] = {}
    named: list[tuple[Binding, Binding]] = []  # each with what it was by place
    for way in ways:
        if (key := _forward_of(way)) not in known:
            known[key] = probed(session, reference, way, layers, near)
            if not way.backward and session.told:  # the forward's results are the gradients, too
                by_name = every_by_name([way], session.told, layers.names[reference.spec.name])
                named += ((way, one) for one in by_name)
    for placed, way in list(named):
        if (key := _forward_of(way)) in known:
            continue
        known[key] = probed(session, reference, way, layers, near)
        if known[key].reason and (both := either(placed, way)) is not None:
            known[_forward_of(both)] = probed(session, reference, both, layers, near)
            named.append((placed, both))
    placed_too = {_forward_of(way) for way in ways}
    ways = [*(way for _, way in named if _forward_of(way) not in placed_too), *ways]
    kept: list[Binding] = []
    for way in ways:
        found = known[_forward_of(way)]
        if not found.reason:
            kept += [_as_returned(way, found.reshaped), way] if found.reshaped else [way]
    return tuple(kept), [found.reason for found in known.values() if found.reason]


def _forward_of(way: Binding) -> tuple[object, ...]:
    return way.setup, way.forward, way.one, way.drops_batch, way.equal, way.reads


class Probed(Struct, frozen=True):
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
        if not all(map(way.mentions, probe.setting.constants)):
            continue  # other constants are of use only to code that is given them
        run = session.evaluate(
            probe.arrays,
            probe.scalars,
            seed=layers.seed,
            max_bytes=probe.max_bytes,
            forward_only=True,
        )
        if run.trouble is not None:
            if not excuse(reference, probe, run.trouble):
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
                what = "None" if value is not None and value.kind == "none" else "no array"
                return Probed(f"{GIVES} {what} for {name}")
            close = near if value.dtype == "float64" else max(near, _SINGLE)
            if reason := _unlike(value.array, right[name], close):
                return Probed(f"{GIVES} {reason}")
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
