"""`derive --steps` of a layer with loops: one step explained as a layer, then how steps join.

A step is a forward pass of the same language, so the stages, slopes and shapes of its backward
pass are explained like those of any layer.  What is new is said once: what travels from step to
step, what adds up, and what is collected.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.explain import explain
from gradtool.derive.line import Block, target_name
from gradtool.emit.loops import block_lines, tape_note, tape_text
from gradtool.emit.text import line, text
from gradtool.ir.graph import Graph, Loop
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Name
from gradtool.numeric.certify import certify
from gradtool.ops.build import renamed
from gradtool.records import replace
from gradtool.report.sections import Piece, Section, formula, say
from gradtool.report.steps import backward_pieces, given_pieces, reader_of, stage_pieces
from gradtool.report.steps_words import Words
from gradtool.spec.model import LayerSpec, Variable


def loop_steps(spec: LayerSpec, graph: Graph, derivation: Derivation) -> list[Section]:
    """Explain a derivation with loops.

    Raises:
        CertificationError: a formula of the explanation does not hold: a bug.
        UnsupportedError: a step has something that has no explanation.
    """
    certificate = certify(spec, graph, derivation)
    lines = [part.rstrip() for part in spec.forward.text.split("\n") if part.strip()]
    forward = [*given_pieces(spec), Piece("head", "Lines"), *map(formula, lines)]
    sections = [Section(f"{spec.name}: the forward pass", tuple(forward))]
    blocks = list(dict.fromkeys(e.block for e in derivation.lines if e.block is not None))
    for block in blocks:
        sections += _one_step(spec, block.loop, block)
    sections.append(
        Section("All steps, from the last to the first", tuple(_joined(derivation, blocks)))
    )
    checked = (
        "Every formula was read back and evaluated, those of one step and those of the loop. They "
        f"agree with 60-digit centered differences to 1e-{certificate.digits}."
    )
    sections.append(Section("Checked", (say(checked),)))
    return sections


def _slices(loop: Loop) -> frozenset[str]:
    return frozenset(s.name for s in loop.sliced)


def _one_step(spec: LayerSpec, loop: Loop, block: Block) -> Iterator[Section]:
    """A step as a layer of its own."""
    graph = _named(replace(
        loop.body, name=spec.name, outputs=block.found.graph.outputs,
        wanted=tuple(t.name for t in loop.body.inputs if t.name in block.closed.gradients),
    ))  # fmt: skip
    step = replace(spec, variables=tuple(_variable(spec, loop, t) for t in graph.inputs))
    derivation = derive(graph)
    told = explain(graph, derivation)
    certify(step, told.graph, told.derivation)
    words = Words(told, reader_of(told))
    pieces: list[Piece] = [say("A step is a layer of its own, with these inputs:")]
    begins = {c.name: c.label for c in loop.carried}
    for tensor in graph.inputs:
        if tensor.name in block.entries and tensor.name in _slices(loop):
            pieces.append(Piece("stage", tensor.name, f"is {text(block.entries[tensor.name])}"))
        elif tensor.name in begins:
            pieces.append(Piece("stage", tensor.name, f"is {begins[tensor.name]} as it begins"))
        elif tensor.name != loop.index:
            pieces.append(Piece("stage", tensor.name, "is the same in every step"))
    pieces += stage_pieces(told)
    yield Section(f"One step of the loop over {loop.index}", tuple(pieces))
    yield Section("Backwards through one step", tuple(backward_pieces(told, derivation, words)))


def _named(graph: Graph) -> Graph:
    """A result of the step that the spec did not name (what ``loss +=`` adds) gets a name."""
    statements = list(graph.statements)
    outputs = list(graph.outputs)
    for place, statement in enumerate(graph.statements):
        old = statement.out
        if not statement.hidden or old.name not in outputs:
            continue
        wish = graph.hints.get(old.name, "result")
        taken = {s.out.name for s in statements} | {t.name for t in graph.inputs}
        new = Tensor(wish if wish not in taken else f"{wish}_", old.shape)
        statements[place] = replace(statements[place], out=new, hidden=False)
        for later in range(place + 1, len(statements)):
            statements[later] = renamed(statements[later], old.name, new)
        outputs[outputs.index(old.name)] = new.name
    return replace(graph, statements=tuple(statements), outputs=tuple(outputs))


def _variable(spec: LayerSpec, loop: Loop, tensor: Tensor) -> Variable:
    """How an input of the step is drawn: like the array that it is a slice of."""
    source = next((s.source.name for s in loop.sliced if s.name == tensor.name), tensor.name)
    same = next((v for v in spec.variables if v.name == source), None)
    if same is not None:
        return replace(same, name=tensor.name, shape=tensor.shape)
    place = spec.variables[0].place
    return Variable(tensor.name, "input", tensor.shape, tensor.kind, place, tensor.labels)


def _joined(derivation: Derivation, blocks: list[Block]) -> Iterator[Piece]:
    if derivation.tapes:
        yield say("The forward loop keeps what a step backwards needs:")
        for tape in derivation.tapes:
            yield formula(tape_text(tape), tape_note(tape))
    for block in blocks:
        yield from _rules(block)
    done: set[Block] = set()
    for entry in derivation.lines:
        if entry.block is None:
            yield Piece("result", line(entry.name, entry.tree))
        elif entry.block not in done:
            done.add(entry.block)
            for part in block_lines(entry.block):
                yield Piece("result", part)


def _rules(block: Block) -> Iterator[Piece]:
    """What becomes of the cotangents of a step, in words."""
    begun = {target_name(s.target) for s in block.before}
    travels, sums, slices = [], [], []
    for step in block.steps:
        name = target_name(step.target)
        if step.operator == "+=":
            sums.append(name)
        elif not isinstance(step.target, Name):
            slices.append(name)
        elif name in begun:
            travels.append(name)
    direction = "last to the first" if block.backwards else "first to the last"
    yield say(f"The steps are taken in the other order, from the {direction}.")
    if travels:
        yield say(
            f"{_listed(travels)}: what a step begins with came out of the step before, so its "
            "gradient is handed to that step, where it is added to what comes from outside."
        )
    if sums:
        yield say(
            f"{_listed(sums)}: every step uses the same array, and each use hands back a share. "
            "The shares of all steps add up."
        )
    if slices:
        yield say(f"{_listed(slices)}: each step has a slice of its own, which it fills.")


def _listed(parts: list[str]) -> str:
    unique = list(dict.fromkeys(parts))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"
