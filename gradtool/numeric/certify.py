"""Certification: the printed formulas against centered differences in high precision.

Every printed line is parsed back by the spec language and evaluated with 60 digits; the result
must equal the centered difference of the forward pass along a random direction.  At that
precision there is no tolerance to argue about.  The differences know nothing of the derivation:
they share only the forward pass with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Block, Line
from gradtool.emit.loops import block_lines, printed
from gradtool.emit.text import line
from gradtool.ir.errors import SingularError, UnsupportedError
from gradtool.ir.graph import AnyStatement, Graph
from gradtool.ir.index import Tensor
from gradtool.numeric.arithmetic import Double, HighPrecision
from gradtool.numeric.certify_at import REQUIRED, Certified, Seen
from gradtool.numeric.coverage import conditions, sides
from gradtool.numeric.departures import Departure, merged
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.numeric.samples import Sample, in_precision
from gradtool.numeric.ties import edges, root_of_zero, takes_roots, tied
from gradtool.ops.errors import OpError
from gradtool.records import Struct, replace
from gradtool.spec.lines import LineReader
from gradtool.spec.model import LayerSpec
from gradtool.spec.parse import ParseError, RangeError

_ROUNDING = 1e-20
_TIES = 8  # edges that are looked at
_HUGE = 1e200  # the padding of a maximum is 1e100


class Certificate(Struct, frozen=True):
    """What was checked.

    Attributes:
        digits: the agreement is 1e-digits or better, relative, in every size set.
        size_sets: the sizes used.
        skipped: sizes at which the layer itself is singular (a standard deviation of one value).
        unseen: lines with a condition of which no sample showed both sides.
        zero: inputs whose gradient was zero at every sample, though its formula is not.
        departures: where the layer has a derivative, and a formula is not it but what follows
            from the conventions of single operations at their kinks.
    """

    digits: int
    size_sets: tuple[Mapping[str, int], ...]
    skipped: tuple[Mapping[str, int], ...] = ()
    unseen: tuple[int, ...] = ()
    zero: tuple[str, ...] = ()
    departures: tuple[Departure, ...] = ()


class CertificationError(Exception):
    """A derived or printed formula is wrong: a bug of gradtool, never of the user."""


def certify(spec: LayerSpec, graph: Graph, derivation: Derivation) -> Certificate:
    """Check a derivation.

    Raises:
        CertificationError: it does not hold; the message is a bug report.
        UnsupportedError: the layer is singular at every size set, or wherever its constants have
            the values of the spec.
    """
    statements, gradients = read_back(derivation)
    targets = derivation_targets(derivation)
    asked = conditions(graph)
    whole = Certified(spec, graph, derivation, statements, gradients, targets, asked)
    trials = _Trials(whole)
    sets = size_sets(graph, spec.sizes)
    for number, sizes in enumerate(sets):
        trials.must(Sample(sizes, number, moved=number == 1))
    if len(sets) == 1 and any(not isinstance(value, int) for value in spec.constants.values()):
        trials.may(Sample(sets[0], 1, moved=True))
    if not trials.done:
        raise trials.refusal(
            "every size that was tried", "give inputs a domain, or pin sizes: under sizes:"
        )
    for number, done in enumerate(trials.done):
        if trials.own:
            break
        trials.may(Sample(done, number))
    if not trials.own:
        raise trials.refusal(
            "the constants of the spec", "give the constants other values, or inputs a domain"
        )
    first = trials.done[0]
    zeros = Sample.at_zero(spec)
    arrays = frozenset(name for name in zeros if graph.tensors[name].shape)
    together = trials.may(Sample(first, 10, zeros=arrays)) and not trials.departures
    for number, name in enumerate(zeros):
        # What is divided by, or has a kink at zero, hides the zeros of the others.
        if not together or name not in arrays:
            trials.may(Sample(first, 11 + number, zeros=frozenset((name,))))
    for sample in trials.ties(first, arrays):
        trials.may(sample)
    for sample in trials.wanted(first):
        trials.may(sample)
    unseen = {
        condition.line
        for number, condition in enumerate(asked)
        if not trials.sides >= {(number, True), (number, False)}
    }
    return Certificate(
        59 if trials.worst == 0 else min(59, int(-math.log10(trials.worst))),
        tuple(trials.done),
        tuple(trials.skipped),
        tuple(sorted(unseen)),
        tuple(name for name in gradients if name not in trials.alive),
        merged(trials.departures),
    )


class _Trials:
    """Samples that were looked at, and what they showed together."""

    def __init__(self, whole: Certified) -> None:
        self.whole = whole
        self.worst = 0.0
        self.line = 0  # of a division by zero
        self.rounded = False  # whether rounding decided a comparison
        self.own = False  # whether a sample had the constants of the spec
        self.done: list[Mapping[str, int]] = []
        self.skipped: list[Mapping[str, int]] = []
        self.sides: frozenset[tuple[int, bool]] = frozenset()
        self.alive: frozenset[str] = frozenset()
        self.departures: list[Departure] = []

    def must(self, sample: Sample) -> None:
        """A sample that the derivation has to fit, or whose sizes are skipped."""
        try:
            seen = self._seen(sample, (60, 160, 640))
        except (ZeroDivisionError, UnsupportedError) as singular:
            if isinstance(singular, SingularError):
                self.line = self.line or singular.line
            if sample.moved:  # other constants may lead out of a domain
                self.must(replace(sample, moved=False))
                return
            if min(sample.sizes.values(), default=1) < 1:
                raise
            self.skipped.append(sample.sizes)
            return
        small = min(sample.sizes.values(), default=1) == 1  # a standard deviation of one value
        # Without a condition only an entry that nothing reads can lie outside of a domain.
        if seen.error == math.inf and (small or not self.whole.conditions):
            self.skipped.append(sample.sizes)
            return
        if sample.moved and not seen.error <= REQUIRED and not seen.smooth:
            self.must(replace(sample, moved=False))
            return
        if not seen.error <= REQUIRED and not seen.departures:
            if self.whole.rounding_decides(sample):
                self.rounded = True
                self.skipped.append(sample.sizes)
                return
            raise CertificationError(_report(self.whole, sample, seen.error))
        self._add(sample, seen)
        self.done.append(sample.sizes)

    def may(self, sample: Sample) -> bool:
        """A sample at the edge: whether it counts, which is where the forward pass has a slope.

        Raises:
            UnsupportedError: only because a constant is zero the formula does not hold there, such
                as ``k * X**(k - 1)``.
        """
        try:
            seen = self._seen(sample, (60, 160, 400))
        except (ZeroDivisionError, UnsupportedError):
            return False
        if seen.error <= REQUIRED:
            self._add(sample, seen)
            return True
        if not seen.smooth or (seen.error == math.inf and not self._has_a_value(sample)):
            return False
        none = {n: v for n, v in self.whole.spec.constants.items() if v == 0}
        if none and (sample.zeros or sample.moved_to) and not sample.moved:
            if not all(isinstance(value, int) for value in none.values()):
                self.may(replace(sample, moved=True))  # a mistake shows with other constants, too
            raise UnsupportedError(
                f"{self.whole.spec.name} has no formula that holds at zeros while "
                f"{' and '.join(none)} is 0",
                "give the constant another value, or write the layer without it",
            )
        if seen.departures:
            self._add(sample, seen)
            return True
        if self.whole.rounding_decides(sample):
            return False
        raise CertificationError(_report(self.whole, sample, seen.error))

    def _has_a_value(self, sample: Sample) -> bool:
        """Whether the forward pass is finite as it is written: ``X / X`` is no 1 at zero."""
        # Hardly any layer comes here, and none should wait for these imports.
        from gradtool.emit.numpy_module import module_text
        from gradtool.numeric.compile import compiled

        whole = self.whole
        setting = sample.setting(setting_for(whole.graph, sample.sizes, Double()))
        drawn = sample.drawn(whole.spec, np.random.default_rng(sample.seed))
        module = compiled(module_text(whole.spec, whole.derivation, erf="math"))
        given = {name: float(setting.numbers[name]) for name in setting.numbers}
        given |= {name: sample.sizes[name] for name in module.sizes}
        with np.errstate(all="ignore"):
            outputs, _ = module.forward(*(drawn[v.name] for v in whole.spec.variables), **given)
        several = outputs if len(whole.graph.outputs) > 1 else (outputs,)
        return all(bool(np.all(np.isfinite(array))) for array in several)

    def refusal(self, place: str, hint: str) -> UnsupportedError:
        """That the layer is singular there, at the first line that was."""
        name = self.whole.spec.name
        what = f"is singular at {place} (a division by zero)"
        if self.rounded and not self.line:
            what = f"compares values that are equal but for rounding, at {place}"
            hint = "write the comparison without what cancels"
        found = UnsupportedError(f"{name} {what}", hint)
        found.line = self.line
        return found

    def _seen(self, sample: Sample, digits: tuple[int, ...]) -> Seen:
        before = 0.0
        for precision in digits:  # an ill-conditioned point needs more digits
            seen = self.whole.at(sample, precision)
            # What shrinks with more digits is rounding: that derivative is zero.
            if seen.error <= REQUIRED and seen.drowned <= _ROUNDING * before:
                return seen
            if seen.error == math.inf:
                break
            before = seen.drowned
        return self.whole.at(sample, digits[-1], explained=True) if seen.smooth else seen

    def _add(self, sample: Sample, seen: Seen) -> None:
        self.own |= not sample.moved
        if seen.departures:
            self.departures += seen.departures
            return
        self.worst = max(self.worst, seen.error)
        self.sides |= seen.sides
        self.alive |= seen.alive

    def wanted(self, sizes: Mapping[str, int]) -> Iterator[Sample]:
        """Samples with larger or smaller inputs, while they show a side that none showed."""
        asked = self.whole.conditions
        every = frozenset((n, side) for n in range(len(asked)) for side in (True, False))
        for number, factor in enumerate((4.0, 0.1, 16.0, 0.001, 64.0)):
            if every <= self.sides:
                return
            sample = Sample(sizes, 20 + number, factor)
            if not self._rough_sides(sample) <= self.sides:
                yield sample

    def ties(self, sizes: Mapping[str, int], arrays: frozenset[str]) -> Iterator[Sample]:
        """Samples where several operations stand at their kinks, or a root is one of zero."""
        spec, graph = self.whole.spec, self.whole.graph
        # A norm is zero where all entries are, a distance where two points are the same.
        every = [frozenset((name,)) for name in sorted(arrays)]
        every += [arrays] if len(every) > 1 else []
        for number, names in enumerate(every if takes_roots(graph) else ()):
            sample = Sample(sizes, 50 + number, zeros=names, all_zero=True)
            if root_of_zero(graph, spec, sample):
                yield sample
        for number, edge in enumerate(edges(graph)[:_TIES]):
            found = tied(edge, graph, spec, Sample(sizes, 40 + number))
            if found is not None:
                yield found

    def _rough_sides(self, sample: Sample) -> frozenset[tuple[int, bool]]:
        """The sides that a sample shows, in double precision; none where numbers overflow.

        The functions of huge numbers would need as many digits as those have.
        """
        graph, spec = self.whole.graph, self.whole.spec
        setting = setting_for(graph, sample.sizes, Double())
        drawn = sample.drawn(spec, np.random.default_rng(sample.seed))
        try:
            with np.errstate(all="ignore", over="raise"):
                known = run(graph.statements, drawn, setting)
                found = sides(self.whole.conditions, known, setting)
        except (FloatingPointError, UnsupportedError, np.linalg.LinAlgError):
            return frozenset()
        large = any(np.any(np.abs(np.nan_to_num(v, posinf=_HUGE)) >= _HUGE) for v in known.values())
        return frozenset() if large else found


def read_back(derivation: Derivation) -> tuple[tuple[AnyStatement, ...], dict[str, Tensor]]:
    """The printed lines, parsed and lowered: statements, and the gradient of each input."""
    given = [Tensor(name, shape) for name, shape in derivation.upstream.values()]
    statements, made = read_lines(derivation.graph, given, derivation.lines)
    return statements, {p.of: made[p.name] for p in derivation.lines if p.role == "gradient"}


def read_lines(
    graph: Graph, given: Sequence[Tensor], lines: Sequence[Line]
) -> tuple[tuple[AnyStatement, ...], dict[str, Tensor]]:
    """Printed lines, parsed and lowered: statements, and the tensor that each line defines.

    Raises:
        CertificationError: a line does not read, or has another shape than it should.
        UnsupportedError: it has a number that double precision does not have.
    """
    reader = LineReader(graph, given)
    made: dict[str, Tensor] = {}
    blocks: set[int] = set()
    for entry in lines:
        block = entry.block
        written = line(entry.name, entry.tree) if block is None else _block(block)
        try:
            if block is None:
                tensor = reader.read(written)
            else:
                if id(block) not in blocks:
                    reader.read_block(written)
                    blocks.add(id(block))
                found = reader.build.scope[entry.name].tensor
                assert found is not None
                tensor = found
        except RangeError as error:
            raise UnsupportedError(
                f"{entry.name} of {graph.name} has a number that is too large or too small for "
                f"double precision: {written}",
                "bring the constants of the layer nearer to 1",
            ) from error
        except (ParseError, OpError) as error:
            raise CertificationError(f"the printed line does not parse: {written}: {error}") from (
                error
            )
        if tensor.shape != entry.shape:
            raise CertificationError(
                f"the printed line has another shape than the gradient: {written}"
            )
        made[entry.name] = tensor
    return reader.statements, made


def exact_values(
    spec: LayerSpec,
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    arithmetic: HighPrecision,
) -> dict[str, Any]:
    """A sample of every input and parameter, real ones in high precision."""
    return in_precision(spec, draw(spec, sizes, rng), arithmetic)


def _block(block: Block) -> str:
    return "\n".join(block_lines(block))


def derivation_targets(derivation: Derivation) -> tuple[str, ...]:
    """Every input that was asked for, those with a zero gradient included."""
    named = [p.of for p in derivation.lines if p.role == "gradient"]
    return (*named, *derivation.zero)


def _report(whole: Certified, sample: Sample, error: float) -> str:
    lines = "\n".join("    " + text for text in printed(whole.derivation.lines))
    shown = ", ".join(f"{k}={v}" for k, v in sample.sizes.items())
    how = f"relative difference {error:.1e} at {shown}"
    if error == math.inf:
        how = f"it divides by zero, where the forward pass is smooth, at {shown}"
    if sample.zeros:
        how += ", some inputs being zero"
    if sample.moved_to is not None:
        how += ", where a comparison is of equal values"
    if sample.factor != 1:
        how += f", inputs {sample.factor:g} times as large as usual"
    return (
        f"the derived gradient of '{whole.spec.name}' does not agree with 60-digit differences "
        f"({how})\n{lines}\n\nthe spec:\n{whole.spec.text}"
    )
