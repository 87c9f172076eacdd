"""A scalar that holds code: its exact places, and whether it is Python at all."""

from __future__ import annotations

import warnings
from typing import Literal

from gradtool.ir import syntax
from gradtool.spec.model import Block, Place, Source
from gradtool.spec.names import shown
from gradtool.spec.scalars import character_offset
from gradtool.spec.sections.reading import Reading, character_places
from gradtool.spec.yamlerror import block_form
from gradtool.spec.yamltree import Node, Scalar


def read_block(node: Node, what: str, reading: Reading, key: str = "") -> Block | None:
    """The code of a scalar, with the place of each of its lines; None after a problem.

    `key` is the one that hints repeat: the last part of `what`, unless it has a dot itself.
    """
    key = key or what.rpartition(".")[2]
    if not isinstance(node, Scalar) or node.is_null or not node.text.strip():
        reading.expected(node, what, "code", block_form(key))
        return None
    if node.style == ">":
        reading.problem(
            node, f"{what}: '>' joins lines into one, found it before code", block_form(key)
        )
        return None
    if node.style == "|":
        return Block(node.text, _literal_places(node, reading.source))
    places = character_places(node, reading.source)
    if places is None:
        reading.at(
            node.place,
            f"{what}: YAML joins the lines of this code into one",
            block_form(key),
        )
        return None
    for character, place in zip(node.text, places, strict=False):
        if not (character.isprintable() or character in "\n\t"):
            reading.at(
                place,
                f"{what}: expected code, found the invisible character U+{ord(character):04X}",
                "delete it",
            )
            return None
    starts = [0]
    for line in node.text.split("\n")[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    escaped = places[-1].column - places[0].column != len(node.text)
    return Block(node.text, tuple(places[start] for start in starts), places if escaped else ())


def check_python(block: Block, mode: Literal["exec", "eval"], what: str, reading: Reading) -> None:
    """Report what Python itself says against the code; it is compiled, never run."""
    expected = "one expression" if mode == "eval" else "Python"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            syntax.parse(block.text, mode=mode)
    except SyntaxError as error:
        _report(error, block, what, expected, reading, in_bytes=False)
        return
    except (ValueError, MemoryError, RecursionError):
        reading.at(block.places[0], f"{what}: the code is nested too deep to be read")
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Finds a `return` outside a function, and the like.
            compile(block.text, what, mode, dont_inherit=True)
    except SyntaxError as error:
        _report(error, block, what, expected, reading, in_bytes=True)
    except (ValueError, MemoryError, RecursionError):
        reading.at(block.places[0], f"{what}: the code is nested too deep to be read")


def _report(
    error: SyntaxError, block: Block, what: str, expected: str, reading: Reading, in_bytes: bool
) -> None:
    lines = block.text.split("\n")
    row = min(max(1, error.lineno or 1), len(lines)) - 1
    offset = max(0, (error.offset or 1) - 1)
    if in_bytes:
        offset = character_offset(lines[row], offset)
    reading.at(
        block.at(row, min(offset, len(lines[row]))),
        f"{what}: expected {expected}, found {shown(lines[row].strip())}: {_reason(error, block)}",
    )


def _reason(error: SyntaxError, block: Block) -> str:
    """Python's own words, with the line of the file where they name a line of the block."""
    message = error.msg.partition(" (detected at line ")[0]
    before, _, number = message.rpartition(" on line ")
    if before and number.isdigit() and 0 < int(number) <= len(block.places):
        return f"{before} in line {block.places[int(number) - 1].line}"
    return message


def _literal_places(node: Scalar, source: Source) -> tuple[Place, ...]:
    """Line k of a ``|`` block stands k+1 lines below the ``|``, and ends where that line ends.

    So its column follows from the two lengths, whatever the indentation indicator says.  The
    empty line after the last line end belongs to no line of the file: it stands at that end.
    """
    places: list[Place] = []
    lines = node.text.split("\n")
    for k, text in enumerate(lines):
        if not text and k == len(lines) - 1 and places:
            places.append(Place(places[-1].line, places[-1].column + len(lines[-2])))
            break
        number = node.place.line + 1 + k
        line = source.lines[number - 1] if number <= len(source.lines) else ""
        places.append(Place(number, len(line) - len(text) + 1))
    return tuple(places)
