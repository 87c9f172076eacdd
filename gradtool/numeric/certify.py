"""Certification: the printed formulas against centered differences in high precision.

Every printed line is parsed back by the spec language and evaluated with 60 digits; the result
must equal the centered difference of the forward pass along a random direction.  At that
precision there is no tolerance to argue about.  The differences know nothing of the derivation:
they share only the forward pass with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Block, Line
from gradtool.emit.loops import block_lines, printed
from gradtool.emit.text import line
from gradtool.ir.errors import SingularError, UnsupportedError
from gradtool.ir.graph import AnyStatement, Graph
from gradtool.ir.index import Tensor
from gradtool.numeric.arithmetic import HighPrecision
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import Setting, run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.ops.errors import OpError
from gradtool.spec.lines import LineReader
from gradtool.spec.model import LayerSpec
from gradtool.spec.parse import ParseError

REQUIRED = 1e-30


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was checked.

    Attributes:
        digits: the agreement is 1e-digits or better, relative, in every size set.
        size_sets: the sizes used.
        skipped: sizes at which the layer itself is singular (a standard deviation of one value).
    """

    digits: int
    size_sets: tuple[Mapping[str, int], ...]
    skipped: tuple[Mapping[str, int], ...] = ()


class CertificationError(Exception):
    """A derived or printed formula is wrong: a bug of gradtool, never of the user."""


def certify(spec: LayerSpec, graph: Graph, derivation: Derivation) -> Certificate:
    """Check a derivation.

    Raises:
        CertificationError: it does not hold; the message is a bug report.
        UnsupportedError: the layer is singular at every size set.
    """
    statements, gradients = read_back(derivation)
    worst = 0.0
    done: list[Mapping[str, int]] = []
    skipped: list[Mapping[str, int]] = []
    line = 0
    for number, sizes in enumerate(size_sets(graph, spec.sizes)):
        try:
            for digits in (60, 160, 640):  # an ill-conditioned point needs more digits
                error = _checked(
                    spec, graph, derivation, statements, gradients, sizes, number, digits
                )
                if error <= REQUIRED:
                    break
        except ZeroDivisionError as singular:
            skipped.append(sizes)
            line = line or (singular.line if isinstance(singular, SingularError) else 0)
            continue
        if not error <= REQUIRED:
            raise CertificationError(_report(spec, derivation, sizes, error))
        worst = max(worst, error)
        done.append(sizes)
    if not done:
        refusal = UnsupportedError(
            f"{spec.name} is singular at every size that was tried (a division by zero)",
            "give inputs a domain, or pin sizes: under sizes:",
        )
        refusal.line = line
        raise refusal
    digits = 59 if worst == 0 else min(59, int(-math.log10(worst)))
    return Certificate(digits, tuple(done), tuple(skipped))


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
    exact = np.frompyfunc(arithmetic.mp.mpf, 1, 1)
    values: dict[str, Any] = {}
    drawn = draw(spec, sizes, rng)
    for variable in spec.variables:
        array = drawn[variable.name]
        values[variable.name] = (
            np.asarray(exact(array), dtype=object) if variable.dtype == "real" else array
        )
        if variable.domain.kind == "probabilities":
            # Exactly one in this precision too: a derivation may rely on it.
            total = np.asarray(values[variable.name].sum(axis=-1, keepdims=True), dtype=object)
            values[variable.name] = values[variable.name] / total
    return values


def _block(block: Block) -> str:
    return "\n".join(block_lines(block))


def _checked(
    spec: LayerSpec,
    graph: Graph,
    derivation: Derivation,
    statements: tuple[AnyStatement, ...],
    gradients: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    seed: int,
    digits: int,
) -> float:
    """The relative difference between the two derivatives along one random direction."""
    arithmetic = HighPrecision(digits)
    mp = arithmetic.mp
    rng = np.random.default_rng(seed)
    setting = setting_for(graph, sizes, arithmetic)
    exact = np.frompyfunc(mp.mpf, 1, 1)
    values = exact_values(spec, sizes, rng, arithmetic)
    # What the loops of the forward pass keep is in the graph of the derivation only.
    forward = derivation.graph if derivation.tapes else graph
    known = run(forward.statements, values, setting)
    upstream: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for output in graph.outputs:
        shape = np.shape(known[output])
        if derivation.is_loss:
            weights[output] = np.asarray(mp.mpf(1), dtype=object)
        else:
            weights[output] = np.asarray(exact(rng.standard_normal(shape)), dtype=object)
            upstream[derivation.upstream[output][0]] = weights[output]
    backward = run(statements, {**known, **upstream}, setting)
    step = mp.mpf(10) ** -(digits // 3)
    analytic = mp.mpf(0)
    scale = mp.mpf(0)
    directions: dict[str, Any] = {}
    for name in derivation_targets(derivation):
        direction = np.asarray(exact(rng.standard_normal(np.shape(known[name]))), dtype=object)
        directions[name] = direction
        tensor = gradients.get(name)
        if tensor is not None:
            products = np.asarray(backward[tensor.name] * direction).ravel()
            analytic += sum(products, mp.mpf(0))
            scale += sum((abs(p) for p in products), mp.mpf(0))

    def along(sign: int) -> Any:
        moved = {n: sign * step * d for n, d in directions.items()}
        result = _run_moved(graph.statements, values, moved, setting)
        total = mp.mpf(0)
        for output in graph.outputs:
            total += sum(np.asarray(result[output] * weights[output]).ravel(), mp.mpf(0))
        return total

    numeric = (along(1) - along(-1)) / (2 * step)
    difference = abs(numeric - analytic)
    return float(difference / max(abs(numeric), scale, mp.mpf(10) ** -3))


def _run_moved(
    statements: Sequence[AnyStatement],
    values: Mapping[str, Any],
    moved: Mapping[str, Any],
    setting: Setting,
) -> dict[str, Any]:
    """A forward pass with something added to inputs, and to values as soon as they are computed."""
    known = {**values, **{n: values[n] + d for n, d in moved.items() if n in values}}
    if not moved.keys() - values.keys():
        return run(statements, known, setting)
    for statement in statements:
        known = run((statement,), known, setting)
        name = statement.out.name
        if name in moved:
            known[name] = known[name] + moved[name]
    return known


def derivation_targets(derivation: Derivation) -> tuple[str, ...]:
    """Every input that was asked for, those with a zero gradient included."""
    named = [p.of for p in derivation.lines if p.role == "gradient"]
    return (*named, *derivation.zero)


def _report(spec: LayerSpec, derivation: Derivation, sizes: Mapping[str, int], error: float) -> str:
    lines = "\n".join("    " + text for text in printed(derivation.lines))
    shown = ", ".join(f"{k}={v}" for k, v in sizes.items())
    return (
        f"the derived gradient of '{spec.name}' does not agree with 60-digit differences "
        f"(relative difference {error:.1e} at {shown})\n{lines}\n\nthe spec:\n{spec.text}"
    )
