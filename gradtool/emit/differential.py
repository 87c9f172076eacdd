"""The subscript form of directions, Jacobians and second derivatives."""

from __future__ import annotations

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Line
from gradtool.derive.second import Differential
from gradtool.emit.loops import tape_note, tape_text
from gradtool.emit.subscript_loops import looped_subscripts
from gradtool.ir.tree import names
from gradtool.records import replace


def with_lines(found: Differential) -> tuple[tuple[Derivation, tuple[Line, ...]], ...]:
    """Each derivation under a differential, with those of all lines that it needs."""
    parts: list[tuple[Derivation, tuple[Line, ...]]] = []
    done: set[str] = set()
    for linear in found.linear:
        own = {line.of for line in linear.derivation.lines}
        result = {line.name for line in linear.derivation.lines if line.role == "gradient"}
        needed = set(result)
        for line in reversed(found.lines):
            if line.name in needed:
                needed |= names(line.tree)
        lines = tuple(
            line
            for line in found.lines
            if line.name in needed and (line.name not in done or line.of in own)
        )
        done |= {line.name for line in lines}
        parts.append((replace(linear.derivation, lines=lines), lines))
    return tuple(parts)


def subscript_forms(found: Differential) -> dict[str, str]:
    """The subscript form of every line that is printed from index notation, by its name."""
    forms: dict[str, str] = {}
    for derivation, lines in with_lines(found):
        every = looped_subscripts(derivation)
        forms |= {p.name: every[p.name] for p in lines if p.role != "inner" or p.of}
    return forms


def index_lines(found: Differential) -> tuple[str, ...]:
    """One text for each line, in the order in which they can be computed; zeros last."""
    forms = subscript_forms(found)
    kept = [f"{tape_text(tape)}   {tape_note(tape)}" for tape in found.tapes]
    # The results of one loop share its text.
    lines = dict.fromkeys(forms[line.name] for line in found.lines if line.name in forms)
    return (*kept, *lines, *(f"{r.name} = 0" for r in found.results if r.zero))
