"""Derive, certify and describe directions, Jacobians and second derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gradtool.derive.derivation import derive
from gradtool.derive.line import Block
from gradtool.derive.second import Differential, Result, hessian, hvp, jacobian, jvp
from gradtool.emit.text import line, text
from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph, Statement, every_statement
from gradtool.ir.poly import Compare, Function
from gradtool.ir.tree import Call
from gradtool.ir.walk import atoms
from gradtool.numeric.certify import Certificate, certify
from gradtool.numeric.certify_differential import certify_differential
from gradtool.numeric.ties import takes_roots
from gradtool.ops.scalar import FUNCTIONS
from gradtool.records import replace
from gradtool.report.make_sheet import departure_words, loop_row, tape_row, unguarded
from gradtool.report.order import Order
from gradtool.report.sheet import Row, Sheet
from gradtool.spec.model import LayerSpec
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError

FORMS = ("text", "index", "latex", "json", "numpy")


def differential(graph: Graph, order: Order, *, staged: bool = False) -> Differential:
    """The derivative that was asked for.

    Raises:
        UsageError: a name that the layer does not have, or that cannot be varied.
        UnsupportedError: something in the layer is refused.
    """
    option = f"--{order.kind}"
    match order.kind:
        case "jvp":
            return jvp(graph, _varied(graph, order.names, "--wrt"), staged=staged)
        case "hvp":
            return hvp(graph, _varied(graph, order.names, "--wrt"), line, staged=staged)
        case "hessian":
            of, wrt = _varied(graph, order.names, option)
            return hessian(graph, of, wrt, line)
    *outputs, wrt = order.names or (*graph.outputs, "")
    for name in outputs:
        _value(graph, name, option)
    variables = _varied(graph, (wrt,) if wrt else (), option)
    chosen = outputs or graph.outputs
    return jacobian(graph, [(of, wrt) for of in chosen for wrt in variables])


def differential_sheet(
    spec: LayerSpec, graph: Graph, order: Order, staged: bool, extras: Sequence[str]
) -> Sheet:
    """The sheet of a request, certified, with the other formats that were asked for."""
    found = differential(graph, order, staged=staged)
    certificate = certify_differential(spec, graph, found)
    return Sheet(
        layer=spec.name,
        about=spec.about,
        reference=spec.reference,
        variables=tuple((v.name, shape_text(v.shape)) for v in spec.variables),
        outputs=tuple((n, shape_text(graph.tensors[n].shape)) for n in graph.outputs),
        dims=graph.dimensions,
        forward=tuple(part.rstrip() for part in spec.forward.text.split("\n") if part.strip()),
        rows=tuple(_rows(found)),
        zero=(),
        remarks=(*graph.remarks, *_meaning(found)),
        conventions=tuple(_conventions(found)),
        digits=certificate.digits,
        size_sets=certificate.size_sets,
        skipped=certificate.skipped,
        upstream=tuple(name for name, _ in found.upstream.values()),
        extra={name: _extra(name, spec, found, certificate) for name in extras},
        departures=tuple(_departures(spec, graph, found)),
        against="60-digit centered differences" + (" of the gradient" if found.first else ""),
    )


def _extra(name: str, spec: LayerSpec, found: Differential, certificate: Certificate) -> Any:
    match name:
        case "index":
            from gradtool.emit.differential import index_lines

            return "\n".join(index_lines(found))
        case "latex":
            from gradtool.emit.latex_differential import latex_document

            return latex_document(spec, found)
        case "numpy":
            from gradtool.emit.numpy_differential import module_text

            return module_text(spec, found)
        case "json":
            from gradtool.report.differential_json import differential_json

            return differential_json(spec, found, certificate)
    raise UsageError(f"--format {name} shows gradients only", f"here: {', '.join(FORMS)}")


# -- names --------------------------------------------------------------------------------


def _varied(graph: Graph, wanted: Sequence[str], option: str) -> tuple[str, ...]:
    """The variables, all of the differentiable inputs by default."""
    if not wanted:
        if not graph.wanted:
            raise UsageError(f"{graph.name} has no input or parameter that is differentiated")
        return graph.wanted
    for name in wanted:
        if name not in graph.wanted:
            _value(graph, name, option)
    return tuple(wanted)


def _value(graph: Graph, name: str, option: str) -> None:
    """Refuse what is no value of the forward pass that can change."""
    known = [*graph.wanted, *(s.out.name for s in graph.statements if _visible(s.out.name))]
    real = name in known and graph.tensors[name].kind == "real"
    if not real:
        raise UsageError(
            f"{option} {name}: {graph.name} has no differentiable value '{name}'",
            did_you_mean(name, known) or f"there are: {', '.join(known)}",
        )


def _visible(name: str) -> bool:
    return not name.startswith("_")


# -- text ---------------------------------------------------------------------------------


def _rows(found: Differential) -> Iterator[Row]:
    results = {r.name: r for r in found.results}
    for tape in found.tapes:
        yield tape_row(tape, found.graph)
    blocks: set[Block] = set()
    for entry in found.lines:
        if entry.block is not None:
            if entry.block not in blocks:
                blocks.add(entry.block)
                yield loop_row(entry.block, found.lines)
            continue
        indexed = isinstance(entry.tree, Call) and entry.tree.op == "indexed"
        result = results.get(entry.name)
        role = "gradient" if result is not None else entry.role
        yield Row(
            role if role != "gradient" or result is not None else "cotangent",
            entry.name,
            entry.of,
            shape_text(entry.shape),
            line(entry.name, entry.tree) if indexed else text(entry.tree),
            "" if result is None else _note(result),
            indexed,
        )
    for result in found.results:
        if result.zero:
            note = "; ".join(p for p in (_note(result), _why_zero(result, found)) if p)
            yield Row("gradient", result.name, result.of, shape_text(result.shape), "0", note)


def _note(result: Result) -> str:
    """The size of a derivative with axes of both sides, and its symmetry."""
    parts = []
    if result.wrt and result.shape:
        count = Dim.of(1)
        for dim in result.shape:
            count = count * dim
        if count.as_int != 1:
            parts.append(f"{count} entries")
    if result.symmetric and result.shape:
        parts.append("symmetric")
    return ", ".join(parts)


def _why_zero(result: Result, found: Differential) -> str:
    varied = result.wrt or ", ".join(found.directions)
    what = f"the gradient of {result.of}" if found.first is not None else result.of
    if found.first is not None and _kinks(found.graph):
        return f"{what} changes with {varied} at kinks only, if at all"
    return f"{what} does not depend on {varied}"


def _meaning(found: Differential) -> Iterator[str]:
    """What the results are, in one sentence; what is held fixed, in another."""
    outputs = ", ".join(found.graph.outputs)
    ways = ", ".join(name for name, _ in found.directions.values())
    varied = ", ".join(found.directions)
    several = len(found.directions) > 1
    match found.kind:
        case "jvp":
            made = ", ".join(r.name for r in found.results)
            yield (
                f"{made}: the change of {outputs} when {varied} "
                f"change{'' if several else 's'} along {ways}"
            )
        case "hvp":
            made = ", ".join(r.name for r in found.results)
            yield (
                f"{made}: the Hessian times {ways}, which is the change of the "
                f"gradient{'s' if several else ''} when {varied} "
                f"change{'' if several else 's'} along {ways}"
            )
        case "jacobian":
            for r in found.results:
                yield f"{r.name}: first the axes of {r.of}, then those of {r.wrt}"
        case "hessian":
            (r,) = found.results
            if r.of == r.wrt:
                yield f"{r.name}: the axes of {r.of} twice"
            else:
                yield f"{r.name}: first the axes of {r.of}, then those of {r.wrt}"
    if found.first is not None and not found.first.is_loss:
        total = " + ".join(f"sum({dy} * {y})" for y, (dy, _) in found.upstream.items())
        held = ", ".join(dy for dy, _ in found.upstream.values())
        yield f"{outputs} is no scalar: second derivatives are those of {total}, {held} held fixed"


def _departures(spec: LayerSpec, graph: Graph, found: Differential) -> Iterator[str]:
    """Where a first derivative is not that of the layer, as the gradient is not.

    Second derivatives hold away from kinks only, and say so.

    Raises:
        UnsupportedError: there is no formula that holds at zeros.
    """
    if found.first is not None or not (_kinks(graph) or takes_roots(graph)):
        return
    for result in found.results:
        if not result.zero:
            one = replace(graph, outputs=(result.of,))
            varied = (result.wrt,) if result.wrt else tuple(found.directions)
            told = certify(spec, one, derive(one, varied)).departures
            yield from departure_words(told, result.name)


def _conventions(found: Differential) -> Iterator[str]:
    yield from unguarded(found.graph, found.lines)
    if not _kinks(found.graph):
        return
    if found.first is not None:
        yield (
            "away from kinks (of relu, max, abs, …): there the gradient jumps, and there is no "
            "second derivative"
        )
    else:
        yield "at a kink the derivative of the branch that the forward pass takes is used"


def _kinks(graph: Graph) -> bool:
    """Whether the forward pass has places without a derivative."""
    for statement in every_statement(graph):
        if not isinstance(statement, Statement) or statement.out.kind != "real":
            continue
        if statement.reduce != "sum":
            return True
        for atom in atoms(statement.body):
            if isinstance(atom, Compare):
                return True
            if isinstance(atom, Function) and atom.name in FUNCTIONS and FUNCTIONS[atom.name].kinks:
                return True
            if isinstance(atom, Function) and atom.name == "softsign":
                return True
    return False
