"""`derive --steps`: every gradient explained, stage by stage, and why each operation is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.explain import Explanation, Stage, Step, explain
from gradtool.derive.line import Line
from gradtool.derive.raising import raised
from gradtool.derive.reveal import expanded, shown
from gradtool.derive.shares import bare
from gradtool.emit.text import line, text
from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph, Statement, leads_to_output
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Name, Tree, names, replace_names
from gradtool.numeric.certify import certify
from gradtool.records import replace
from gradtool.report.equations import equations
from gradtool.report.jacobian import never_built
from gradtool.report.sections import Piece, Section, formula, say, sections_text
from gradtool.report.steps_words import Words
from gradtool.spec.lines import LineReader
from gradtool.spec.model import LayerSpec

steps_text = sections_text


def steps(spec: LayerSpec, graph: Graph, derivation: Derivation) -> list[Section]:
    """Explain a derivation of `graph`, the forward graph as it was lowered.

    Raises:
        CertificationError: a formula of the explanation does not hold: a bug.
    """
    told = explain(graph, derivation)
    certificate = certify(spec, told.graph, told.derivation)
    words = Words(told, reader_of(told))
    sections = [
        Section(f"{spec.name}: the forward pass", tuple(_forward(spec, told))),
        Section(
            "The backward pass, from the last stage to the first",
            tuple(backward_pieces(told, derivation, words)),
        ),
    ]
    short = tuple(_closed(graph, told, derivation))
    if short:
        sections.append(Section("Put together", short))
    sections += [
        Section(heading, pieces)
        for heading, pieces in (
            ("The four equations of backpropagation", tuple(equations(spec, told, derivation))),
            ("What is never built", tuple(never_built(spec, told))),
        )
        if pieces
    ]
    checked = (
        "Every formula of these steps was read back and evaluated. They agree with 60-digit "
        f"centered differences to 1e-{certificate.digits}."
    )
    sections.append(Section("Checked", (say(checked),)))
    return sections


def reader_of(told: Explanation) -> LineReader:
    """A reader that knows every name of the explanation."""
    given = [Tensor(n, s) for n, s in told.derivation.upstream.values()]
    reader = LineReader(told.graph, given)
    for entry in told.derivation.lines:
        reader.read(line(entry.name, entry.tree))
    return reader


# -- forward ------------------------------------------------------------------------------


def _forward(spec: LayerSpec, told: Explanation) -> Iterator[Piece]:
    yield from given_pieces(spec)
    yield from stage_pieces(told)


def given_pieces(spec: LayerSpec) -> Iterator[Piece]:
    """Inputs, parameters and constants."""
    yield Piece("head", "Given")
    width = max((len(shape_text(variable.shape)) for variable in spec.variables), default=0)
    for variable in spec.variables:
        kind = "parameter" if variable.role == "parameter" else "input"
        if variable.index is not None:
            kind += f", labels 0 to {variable.index - 1}"
        elif not variable.differentiable:
            kind += ", constant"
        yield Piece("stage", variable.name, f"{shape_text(variable.shape):<{width}}   {kind}")
    for name, value in spec.constants.items():
        yield Piece("stage", name, f"{_decimal(value):<{width}}   constant")
    yield from _counted(spec)


def stage_pieces(told: Explanation) -> Iterator[Piece]:
    """The named values of a forward pass, numbered."""
    yield Piece("head", "Stages")
    for number, stage in enumerate(told.stages, 1):
        yield Piece("stage", f"{number}. {stage_text(told, stage)}", shape_text(stage.shape))
    inner = [stage.name for stage in told.stages if stage.inner]
    if inner:
        several = len(inner) > 1
        yield say(
            f"{_listed(inner)} {'are' if several else 'is'} part of a longer line of the "
            f"spec. {'They get names' if several else 'It gets a name'} here, so that every "
            "step does one thing."
        )


def stage_text(told: Explanation, stage: Stage) -> str:
    """``P = softmax(S, axis=1) = exp(S) / total`` when a part of it has a name here."""
    base = f"{stage.name} = {text(stage.tree)}"
    read = {t.name for t in stage.graph.inputs}
    parts = {s.name for s in told.stages if s.inner} & read
    if not parts or parts <= names(stage.tree) or not isinstance(stage.statement, Statement):
        return base
    if stage.statement.reduce != "sum":
        return base
    body = expanded(told.graph, stage.name)
    if body is None:
        return base
    return f"{base} = {text(shown(told.graph, raised(body, stage.statement.free)))}"


def _counted(spec: LayerSpec) -> Iterator[Piece]:
    """How many numbers are learned."""
    parameters = [v for v in spec.variables if v.role == "parameter"]
    if not parameters:
        return
    pinned = {n: Dim.of(r.exactly) for n, r in spec.sizes.items() if r.exactly is not None}
    counts = [_count(v.shape).substitute(pinned) for v in parameters]
    total = Dim.of(0)
    for count in counts:
        total = total + count
    if len(parameters) == 1 or total.as_int is None:
        yield say(f"{_grouped(total)} parameters.")
        return
    shown_counts = " + ".join(_grouped(c) for c in counts)
    yield say(f"{_grouped(total)} parameters: {shown_counts}.")


def _decimal(value: int | Fraction) -> str:
    return str(value) if isinstance(value, int) else f"{float(value):g}"


def _count(shape: tuple[Dim, ...]) -> Dim:
    return math.prod(shape, start=Dim.of(1))


def _grouped(count: Dim) -> str:
    return f"{count.as_int:,}" if count.as_int is not None else str(count)


# -- backward -----------------------------------------------------------------------------


def backward_pieces(told: Explanation, derivation: Derivation, words: Words) -> Iterator[Piece]:
    yield from _conventions(told)
    number = 0
    for step in told.steps:
        if not step.lines:
            continue
        number += 1
        like = f"{shape_text(step.shape)}, like {step.of}" if step.shape else ""
        yield Piece("head", f"{number}. {step.name}", like)
        yield from _step(step, words)
    for name in derivation.zero:
        number += 1
        yield Piece("head", f"{number}. d{name}", shape_text(told.graph.tensors[name].shape))
        yield Piece("result", f"d{name} = 0")
        yield say(_why_zero(told, name))


def _conventions(told: Explanation) -> Iterator[Piece]:
    alive = [stage.name for stage in told.stages if stage.alive]
    every = [s.of for s in told.steps] or list(told.derivation.zero)
    of = next((s.of for s in told.steps if s.lines and s.of in alive), every[-1])
    if told.derivation.is_loss:
        loss = told.graph.outputs[0]
        start = f"The start is d{loss} = 1, because {loss} is what all slopes are of."
    else:
        loss = "loss"
        given = _listed([name for name, _ in told.derivation.upstream.values()])
        verb = "it is" if len(told.graph.outputs) == 1 else "they are"
        outputs = _listed(list(told.graph.outputs))
        start = f"The start is {given}: {verb} given by whatever uses {outputs}."
    what = loss if told.derivation.is_loss else "the loss"
    if told.graph.tensors[of].shape:
        entry = f"when an entry of {of} does. It has the shape of {of}"
    else:
        entry = f"when {of} does"
    yield say(f"d{of} is short for ∂{loss}/∂{of}: how much {what} changes {entry}. {start}")
    if any(use.local is not None for step in told.steps for use in step.uses):
        yield say("A slope, written ∂ / ∂, was found by sympy from the definition of the stage.")


def _step(step: Step, words: Words) -> Iterator[Piece]:
    *before, total = step.lines
    shares = {u.line for u in step.uses if u.line}
    several = len(step.uses) + bool(step.upstream) > 1
    for entry in before:
        if entry.name not in shares:
            yield Piece("result", f"with {line(entry.name, entry.tree)}")
    if not several:
        yield Piece("result", line(total.name, total.tree))
        for use in step.uses:
            yield say(f"{step.of} is used in {_brief(words.told, use.stage)}.")
            yield from words.why(use)
        return
    yield say(_uses(step))
    if step.upstream:
        yield Piece("share", f"Given, because {step.of} is an output:")
        yield formula(step.upstream)
    for use in step.uses:
        own = next((b for b in before if b.name == use.line), None)
        shown_share = line(own.name, own.tree) if own is not None else text(bare(use.tree))
        yield Piece("share", f"From {_brief(words.told, use.stage)}:")
        yield formula(shown_share)
        yield from words.why(use)
    yield say(
        "The shares add up:"
        if sum(not u.vanishes for u in step.uses) + bool(step.upstream) > 1
        else "What remains:"
    )
    yield Piece("result", line(total.name, total.tree))


def _brief(told: Explanation, stage: Stage) -> str:
    """A stage within a sentence: a long one by its name."""
    whole = stage_text(told, stage)
    return whole if len(whole) <= 50 else stage.name


def _uses(step: Step) -> str:
    count = len(step.uses)
    places = _listed([use.stage.name for use in step.uses])
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    also = "is an output and is " if step.upstream else "is "
    return f"{step.of} {also}used {times}: in {places}. Each use hands back a share."


def _why_zero(told: Explanation, name: str) -> str:
    if not leads_to_output(told.graph, name):
        return f"No output depends on {name}, so changing it changes nothing."
    return (
        f"The output depends on {name} only through comparisons or steps. Their slope is 0 "
        "wherever it exists."
    )


# -- the closed forms ---------------------------------------------------------------------


def _closed(graph: Graph, told: Explanation, derivation: Derivation) -> Iterator[Piece]:
    """The short forms, when they differ from the steps, and the facts behind them."""
    own = {line(entry.name, entry.tree) for entry in told.derivation.lines}
    short = {line(entry.name, entry.tree) for entry in derivation.lines}
    if short <= own:
        return
    targets = tuple(n for n in graph.wanted if n in derivation.closed.gradients)
    between = [
        entry
        for entry in derive(graph, targets, staged=True).lines
        if entry.of in targets and line(entry.name, entry.tree) not in own | short
    ]
    if between:
        yield say("Without the names that were only made for the steps:")
    for entry in _with_names(told, between):
        yield Piece("result", line(entry.name, entry.tree), shape_text(entry.shape))
    yield say("Written into each other and simplified, this is the whole backward pass:")
    for entry in _with_names(told, derivation.lines):
        yield Piece("result", line(entry.name, entry.tree), shape_text(entry.shape))
    for fact in told.facts:
        yield say(
            f"Used on the way: {text(fact.left)} is {text(fact.right)}, proved by expanding "
            "its definition."
        )


def _with_names(told: Explanation, lines: Sequence[Line]) -> list[Line]:
    """Lines in which inner values have the names that they have in the steps."""
    names_of: dict[str, str] = {}
    for entry in lines:
        if entry.of in told.given:
            prefix = "" if entry.role == "inner" else "d"
            names_of[entry.name] = prefix + told.given[entry.of]
    taken = set(names_of.values())
    for entry in lines:
        if entry.name not in names_of and entry.name in taken:
            names_of[entry.name] = f"{entry.name}_"
    trees: dict[str, Tree] = {old: Name(new) for old, new in names_of.items()}
    return [
        replace(e, name=names_of.get(e.name, e.name), tree=replace_names(e.tree, trees))
        for e in lines
    ]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
