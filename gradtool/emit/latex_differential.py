"""LaTeX of directions, Jacobians and second derivatives, in the usual notation.

A tangent is written with a dot, a Jacobian as a quotient of differentials, and the change of a
gradient as its derivative along the direction, ``\\frac{d}{dt}``.
"""

from __future__ import annotations

from gradtool.derive.line import Block
from gradtool.derive.second import Differential, Result
from gradtool.emit.latex import (
    Equation,
    block_latex,
    equations,
    forward_lines,
    latex,
    latex_line,
    notation_of,
)
from gradtool.emit.latex_loops import block_rows, block_tensors
from gradtool.emit.latex_names import latex_name, text_latex
from gradtool.emit.latex_page import document
from gradtool.emit.latex_tree import Notation
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Name
from gradtool.records import replace
from gradtool.spec.model import LayerSpec


def differential_notation(found: Differential, more: list[Tensor]) -> Notation:
    """The notation of a differential: forward values, gradients, tangents and results."""
    graph = found.graph
    tensors = {name: t for name, t in graph.tensors.items() if not name.startswith("_")}
    tensors |= {t.name: t for t in more}
    cotangents = {name: out for out, (name, _) in found.upstream.items()}
    for line in () if found.first is None else found.first.lines:
        if line.role != "inner" and line.name not in tensors:
            cotangents[line.name] = line.name.removeprefix("d")
    for name, shape in (*found.upstream.values(), *found.directions.values()):
        tensors[name] = Tensor(name, shape)
    for line in found.lines:
        hidden = _integers(found, line.of)
        tensors[line.name] = replace(hidden or Tensor("", line.shape), name=line.name)
        for made in block_tensors(line.block) if line.block is not None else ():
            tensors[made.name] = made
    base = notation_of(tensors.values(), graph.constants, cotangents)
    loss = "L"
    if found.is_loss:
        loss = base.names[graph.outputs[0]]
    elif "L" in {*tensors, *graph.dimensions, *graph.constants}:
        loss = "\\mathcal{L}"
    names = dict(base.names)
    shown = Notation(names, cotangents, loss, base.shape)
    for of, (name, _) in found.directions.items():
        names[name] = f"\\dot{{{names.get(of, latex_name(of))}}}"
    _name_tangents(found, shown, names)
    results = {r.name for r in found.results}
    for key in results:
        cotangents.pop(key, None)
    for result in found.results:
        names[result.name] = _result_name(result, found, shown)
    return Notation(names, cotangents, loss, base.shape)


def _integers(found: Differential, of: str) -> Tensor | None:
    """An inner value that holds positions or truth values, which a name must say of itself."""
    for linear in found.linear:
        tensor = linear.derivation.graph.tensors.get(of)
        if tensor is not None and tensor.kind != "real":
            return tensor
    return None


def _name_tangents(found: Differential, notation: Notation, names: dict[str, str]) -> None:
    """Kept tangents: a dot on the value that changes."""
    suffixes = {n.removeprefix(of) for of, (n, _) in found.directions.items()}
    kept = [line.name for line in found.lines if line.role == "cotangent"]
    for block in {line.block for line in found.lines if line.block is not None}:
        kept += [made.name for made in block_tensors(block) if made.kind == "real"]
    for name in kept if suffixes else ():
        # What a step gets from the one before: hdot_prev.
        suffix = next((s for s in suffixes if name.removesuffix("_prev").endswith(s)), None)
        if suffix is None:
            continue
        bare = name.removesuffix("_prev").removesuffix(suffix)
        if bare in notation.cotangents:
            names[name] = _along(latex(Name(bare), notation))
        else:
            names[name] = f"\\dot{{{names.get(bare, latex_name(bare))}}}"
        if name.endswith("_prev"):
            names[name] += "^{\\text{prev}}"


def _along(gradient: str) -> str:
    return f"\\frac{{d}}{{dt}} {gradient}"


def _result_name(result: Result, found: Differential, notation: Notation) -> str:
    def shown(name: str) -> str:
        return notation.names.get(name, latex_name(name))

    match found.kind:
        case "jvp":
            return f"\\dot{{{shown(result.of)}}}"
        case "jacobian":
            return f"\\frac{{\\partial {shown(result.of)}}}{{\\partial {shown(result.wrt)}}}"
        case "hvp":
            return _along(f"\\frac{{\\partial {notation.loss}}}{{\\partial {shown(result.of)}}}")
    if result.of == result.wrt:
        below = f"\\partial {shown(result.of)}^2"
    else:
        below = f"\\partial {shown(result.of)} \\, \\partial {shown(result.wrt)}"
    return f"\\frac{{\\partial^2 {notation.loss}}}{{{below}}}"


def latex_lines(found: Differential) -> dict[str, str]:
    """An equation for each line and each zero, for math mode, by its name."""
    notation = differential_notation(found, [])
    lines = {
        p.name: latex_line(p.name, p.tree, notation)
        if p.block is None
        else block_latex(p.block, notation)
        for p in found.lines
    }
    return lines | {r.name: f"{notation.names[r.name]} = 0" for r in found.results if r.zero}


def latex_document(spec: LayerSpec, found: Differential) -> str:
    """A document that compiles by itself."""
    graph = found.graph if not found.linear else found.linear[0].derivation.graph
    forward, more = forward_lines(
        graph,
        found.lines,
        only={n for n in found.graph.tensors if not n.startswith("_")},
        tapes=found.tapes,
    )
    notation = differential_notation(found, more)
    parts = [f"\\section*{{{text_latex(spec.name)}}}"]
    if spec.about:
        parts.append(text_latex(" ".join(spec.about.split())) + "\n")
    if forward:
        parts += ["\\subsection*{Forward}", equations(forward, notation)]
    parts.append(f"\\subsection*{{{_TITLES[found.kind]}}}")
    parts += _given(found, notation)
    done = {row[0] for row in forward if isinstance(row, tuple)}
    lines: list[Equation] = []
    blocks: set[Block] = set()
    for entry in found.lines:
        if entry.block is None and entry.name not in done:
            lines.append((entry.name, entry.tree))
        elif entry.block is not None and entry.block not in blocks:
            blocks.add(entry.block)
            lines += block_rows(entry.block)
    if lines:
        parts.append(equations(lines, notation))
    parts += [f"\\[ {notation.names[r.name]} = 0 \\]\n" for r in found.results if r.zero]
    return document("\n".join(parts))


_TITLES = {
    "jvp": "Directional derivative",
    "jacobian": "Jacobian",
    "hvp": "Hessian times a direction",
    "hessian": "Second derivative",
}


def _given(found: Differential, notation: Notation) -> list[str]:
    parts = []
    if found.directions:
        ways = [latex(Name(name), notation) for name, _ in found.directions.values()]
        held = "$, $".join(ways)
        parts.append(f"The direction is ${held}$; a dot is the change along it.\n")
    if found.first is not None and not found.first.is_loss:
        given = [latex(Name(name), notation) for name, _ in found.upstream.values()]
        held = "$, $".join(given)
        parts.append(f"${notation.loss}$ is the loss at the end; held fixed: ${held}$.\n")
    return parts
