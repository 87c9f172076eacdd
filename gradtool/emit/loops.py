"""Loops of a backward pass as text in the spec language."""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.derive.line import Block, Line, Step, Tape
from gradtool.emit.text import line, text
from gradtool.ir.dims import ZERO
from gradtool.ir.tree import Call, Name, Tree
from gradtool.ops.shape import dim_tree

INDENT = "    "


def block_lines(block: Block) -> list[str]:
    """A loop with the lines around it that belong to it."""
    return [
        *map(step_text, block.before),
        header_text(block),
        *(INDENT + step_text(step) for step in block.steps),
        *map(step_text, block.after),
    ]


def header_text(block: Block) -> str:
    """``for t in reversed(range(T)):``"""
    ends: tuple[Tree, ...] = (dim_tree(block.first + block.size),)
    if block.first != ZERO:
        ends = (dim_tree(block.first), *ends)
    steps = text(Call("range", ends))
    return f"for {block.index} in {f'reversed({steps})' if block.backwards else steps}:"


def step_text(step: Step) -> str:
    """``dX[:, t] = da @ Wx.T``"""
    if isinstance(step.target, Name) and step.operator == "=":
        return line(step.target.id, step.tree)
    return f"{text(step.target)} {step.operator} {text(step.tree)}"


def tape_text(tape: Tape) -> str:
    """``i_at[t] = i``"""
    return f"{tape_target(tape)} = {text(tape.tree)}"


def tape_target(tape: Tape) -> str:
    """``i_at[t]``"""
    return f"{tape.name}[{tape.index}]" if tape.index else tape.name


def tape_note(tape: Tape) -> str:
    """When a value is kept."""
    if not tape.index:
        return "before the loop"
    return f"as step {tape.index} begins" if tape.begins else f"in step {tape.index}"


def printed(lines: Sequence[Line]) -> list[str]:
    """All lines of a backward pass, in an order that can be run; each loop stands once."""
    result: list[str] = []
    done: set[int] = set()
    for entry in lines:
        if entry.block is None:
            result.append(line(entry.name, entry.tree))
        elif id(entry.block) not in done:
            done.add(id(entry.block))
            result += block_lines(entry.block)
    return result
