"""LaTeX of formulas and of whole derivations; a document compiles with amsmath alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Block, Line, Tape
from gradtool.derive.naming import telling_name
from gradtool.emit.latex_axes import index_names
from gradtool.emit.latex_loops import (
    Heading,
    Row,
    block_rows,
    block_tensors,
    forward_rows,
    row_latex,
)
from gradtool.emit.latex_names import latex_names, text_latex
from gradtool.emit.latex_page import document
from gradtool.emit.latex_tree import BIG, SUM, Notation, Printer, held
from gradtool.emit.latex_words import words
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph, Loop, Scan
from gradtool.ir.index import Tensor
from gradtool.ir.tree import (
    Call,
    Items,
    Name,
    Tree,
    children,
    count_name,
    replace_names,
    size_of,
)
from gradtool.ops.build import of_tensor
from gradtool.ops.errors import OpError
from gradtool.spec.lines import LineReader
from gradtool.spec.model import LayerSpec

Equation: TypeAlias = tuple[str, Tree] | Row | Heading

_PLAIN = Notation()
_WIDE = 75  # printed characters of a line before its sum is broken


def latex(tree: Tree, notation: Notation = _PLAIN) -> str:
    """An expression, to stand in math mode.

    Without a notation nothing is known about ranks, and every product of two names is printed
    as an elementwise one.
    """
    return Printer(notation, words()).text(tree)


def latex_line(name: str, tree: Tree, notation: Notation = _PLAIN) -> str:
    """An equation: ``\\frac{\\partial L}{\\partial W} = X^{\\top} \\, …``."""
    return " = ".join(_sides(name, tree, notation))


def block_latex(block: Block, notation: Notation) -> str:
    """A loop of the backward pass, to stand in math mode."""
    printer = Printer(notation, words())
    rows = " \\\\\n".join(row_latex(row, printer) for row in block_rows(block))
    return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


def notation_of(
    tensors: Iterable[Tensor],
    constants: Mapping[str, object] | None = None,
    cotangents: Mapping[str, str] | None = None,
    loss: str = "L",
) -> Notation:
    """The notation for expressions in these tensors, with their shapes.

    Args:
        tensors: everything that a name may stand for.
        constants: named numbers.
        cotangents: ``dY -> Y``.
        loss: the name of the loss; a calligraphic L when L is the name of something else.
    """
    given = tuple(tensors)
    known = dict(constants or {})
    reader = LineReader(Graph("", given, (), (), (), known), ())  # type: ignore[arg-type]
    for tensor in given:
        reader.build.scope[tensor.name] = of_tensor(tensor)
    every = [t.name for t in given] + sorted(reader.build.dimensions) + list(known)
    names = latex_names([*every, "pi"])
    shown = names.get(loss, loss)
    if loss == "L" and "L" in every:
        shown = "\\mathcal{L}"

    def shape(tree: Tree, indices: Mapping[str, Dim]) -> tuple[Dim, ...] | None:
        scope = reader.build.scope
        reader.build.scope = scope | {
            name: of_tensor(Tensor(name, (), "index", size)) for name, size in indices.items()
        }
        try:
            return reader.shape(tree)
        except (OpError, UnsupportedError):
            return None
        finally:
            reader.build.scope = scope

    return Notation(names, dict(cotangents or {}), shown, shape)


def derivation_notation(derivation: Derivation, more: Iterable[Tensor] = ()) -> Notation:
    """The notation of a derivation: forward values, inner values, cotangents.

    Args:
        more: further names that stand for a value.
    """
    graph = derivation.graph
    tensors = {name: t for name, t in graph.tensors.items() if not name.startswith("_")}
    tensors |= {t.name: t for t in more}
    cotangents = {name: out for out, (name, _) in derivation.upstream.items()}
    given = {name: Tensor(name, shape) for name, shape in derivation.upstream.values()}
    for line in derivation.lines:
        for made in block_tensors(line.block) if line.block is not None else ():
            given[made.name] = made
            if made.name.startswith("d") and made.kind == "real":
                cotangents[made.name] = made.name.removeprefix("d")
        given[line.name] = Tensor(line.name, line.shape)
        hidden = graph.tensors.get(line.of)
        if line.role == "inner" and hidden is not None:
            given[line.name] = Tensor(line.name, line.shape, hidden.kind, hidden.labels)
        elif line.role != "inner":
            cotangents[line.name] = line.name.removeprefix("d")
    loss = graph.outputs[0] if derivation.is_loss else "L"
    notation = notation_of([*tensors.values(), *given.values()], graph.constants, cotangents)
    if derivation.is_loss:
        shown = notation.names[loss]
    else:
        taken = {*tensors, *graph.dimensions, *graph.constants}
        shown = "\\mathcal{L}" if "L" in taken else "L"
    return Notation(notation.names, cotangents, shown, notation.shape)


def latex_section(spec: LayerSpec, derivation: Derivation) -> str:
    """One layer: its forward pass and its gradients, as a part of a document."""
    forward, more = forward_lines(derivation.graph, derivation.lines, tapes=derivation.tapes)
    notation = derivation_notation(derivation, more)
    # An inner value of the graph stands in the forward pass, a shared expression does not.
    backward: list[Equation] = []
    blocks: set[Block] = set()
    for entry in derivation.lines:
        if entry.block is None and (entry.role != "inner" or not entry.of):
            backward.append((entry.name, entry.tree))
        elif entry.block is not None and entry.block not in blocks:
            blocks.add(entry.block)
            backward += block_rows(entry.block)
    parts = [f"\\section*{{{text_latex(spec.name)}}}"]
    if spec.about:
        parts.append(text_latex(" ".join(spec.about.split())) + "\n")
    parts += ["\\subsection*{Forward}", equations(forward, notation)]
    parts.append("\\subsection*{Backward}")
    if derivation.is_loss:
        parts.append(f"The loss is ${notation.loss}$.\n")
    else:
        given = [latex(Name(name), notation) for name, _ in derivation.upstream.values()]
        parts.append(f"${notation.loss}$ is the loss at the end; given: ${'$, $'.join(given)}$.\n")
    if backward:
        parts.append(equations(backward, notation))
    for name in derivation.zero:
        shown = latex(Name(name), notation)
        parts.append(f"\\[ \\frac{{\\partial {notation.loss}}}{{\\partial {shown}}} = 0 \\]\n")
    return "\n".join(parts)


def latex_document(layers: Iterable[tuple[LayerSpec, Derivation]]) -> str:
    """A document that compiles by itself."""
    return document("\n".join(latex_section(spec, derivation) for spec, derivation in layers))


def _sides(name: str, tree: Tree, notation: Notation) -> tuple[str, str]:
    printer = Printer(notation, words())
    if not isinstance(tree, Call) or tree.op != "indexed":
        return printer.name(name).text, printer.text(tree)
    left, right = tree.args
    assert isinstance(left, Items)
    head = printer.name(name, ",".join(index_names(left))).text
    body = printer.text(Call("indexed", (Items(()), right)))
    if _has_outside(right):
        body += " \\quad \\text{(entries outside an array are 0)}"
    return head, body


def _has_outside(tree: Tree) -> bool:
    if isinstance(tree, Call) and tree.keyword("outside") is not None:
        return True
    return any(_has_outside(child) for child in children(tree))


def equations(lines: Sequence[Equation], notation: Notation) -> str:
    """Aligned equations; the sum of a long one is broken before its signs."""
    rows: list[str] = []
    for equation in lines:
        if isinstance(equation, Row | Heading):
            rows.append(row_latex(equation, Printer(notation, words())))
            continue
        name, tree = equation
        left, right = _sides(name, tree, notation)
        terms = _terms(tree, notation) if _width(right) > _WIDE else [right]
        rows.append(f"{left} &= {terms[0]}")
        rows += [f"&\\quad {term}" for term in terms[1:]]
    body = " \\\\\n".join(rows)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def _terms(tree: Tree, notation: Notation) -> list[str]:
    """The summands of an expression, each with its sign."""
    printer = Printer(notation, words())
    parts: list[str] = []
    while isinstance(tree, Call) and tree.op in ("add", "sub") and len(tree.args) == 2:
        sign, least = ("-", BIG) if tree.op == "sub" else ("+", SUM)
        parts.append(f"{sign} {held(printer.show(tree.args[1]), least)}")
        tree = tree.args[0]
    return [_sides("_", tree, notation)[1], *reversed(parts)]


def _width(text: str) -> int:
    """About how many characters are printed: a command counts as one."""
    width, command = 0, False
    for character in text:
        if character == "\\":
            command = True
            width += 1
        elif not (command and character.isalpha()):
            command = False
            width += character not in " {}_^&"
    return width


def forward_lines(
    graph: Graph,
    lines: Sequence[Line],
    only: Collection[str] | None = None,
    tapes: Sequence[Tape] = (),
) -> tuple[list[Equation], list[Tensor]]:
    """The lines of the forward pass, and the values in them that the spec did not name.

    What the spec wrote inside a line stands there again, unless it is long and used twice.

    Args:
        lines: those printed after it, whose names for inner values are used.
        only: the named values to show; all of them by default.
        tapes: what the loops keep.
    """
    names = {p.of: p.name for p in lines if p.role == "inner" and p.of}
    taken = {*graph.tensors, *graph.constants, *graph.dimensions}
    taken |= {line.name for line in lines}
    rows: list[Equation] = []
    more: list[Tensor] = []
    written: dict[str, Tree] = {}
    loops: set[Loop] = set()
    for statement in graph.statements:
        tensor = statement.out
        if isinstance(statement, Scan):
            if statement.loop not in loops:
                loops.add(statement.loop)
                of_loop, named = forward_rows(graph, statement.loop, tapes, written)
                rows += of_loop
                more += named
            continue
        tree = replace_names(statement.tree, written)
        if not tensor.name.startswith("_"):
            if only is None or tensor.name in only:
                rows.append((tensor.name, tree))
            continue
        uses = sum(count_name(other.tree, tensor.name) for other in graph.statements)
        name = names.get(tensor.name)
        if name is None and uses > 1 and size_of(tree) > 7:
            name = telling_name(tree, taken)
            taken.add(name)
            more.append(Tensor(name, tensor.shape, tensor.kind, tensor.labels))
        if name is None:
            written[tensor.name] = tree
        else:
            rows.append((name, tree))
            written[tensor.name] = Name(name)
    return rows, more
