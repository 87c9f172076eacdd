"""Assemble a seccomp filter: rules as data in, classic BPF instructions out. Pure.

The program kills on a foreign architecture, allows the calls that a rule lets through and
refuses every other one with EPERM. A refusal is an ordinary exception at the line that asked,
which the report can show; killing would be no safer and would turn a library that merely
tries something into a crash without a place.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from gradtool.lint.isolation.syscalls import ARCHITECTURES, NUMBERS
from gradtool.records import Struct

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant."""

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP_EQUAL, JUMP_ABOVE, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x25, 0x35, 0x45
LONGEST_JUMP = 255
KILL, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16


class OneOf(Struct, frozen=True):
    """Let through when a 32-bit argument is one of these values."""

    argument: int
    values: tuple[int, ...]


class Bits(Struct, frozen=True):
    """Let through when a flag argument has all of `needed` and none of `forbidden`.

    The flags fit into 32 bits; a set bit above is refused.
    """

    argument: int
    needed: int = 0
    forbidden: int = 0


class IsNull(Struct, frozen=True):
    """Let through when a whole 64-bit argument is zero."""

    argument: int


Condition = OneOf | Bits | IsNull


class Rule(Struct, frozen=True):
    """What to do with one call: all conditions hold, or the call fails with `error`."""

    conditions: tuple[Condition, ...] = ()
    error: int = errno.EPERM
    never: bool = False


def assemble(rules: Mapping[str, Rule], machine: str, *, others: bool = False) -> list[Instruction]:
    """The program for one architecture ("x86_64" or "aarch64").

    With `others` a call that no rule names is let through: for a filter behind another one.

    Raises:
        KeyError: an architecture or a call that `syscalls` does not know.
    """
    architecture = ARCHITECTURES[machine]
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if architecture.foreign_from is not None:
        program += [(JUMP_AT_LEAST, 0, 1, architecture.foreign_from), (RETURN, 0, 0, KILL)]
    always: list[int] = []
    for name, rule in rules.items():
        number = NUMBERS[name][architecture.column]
        if number is None:
            continue
        if rule == Rule() and not others:
            always.append(number)
        else:
            body = _body(rule)
            program += [(JUMP_EQUAL, 0, len(body), number), *body]
    if others:
        return [*program, (RETURN, 0, 0, ALLOW)]
    return program + _search(_ranges(always))


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """The numbers as sorted ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def _search(ranges: list[tuple[int, int]]) -> list[Instruction]:
    """Allow the numbers in the ranges, refuse all others.

    A binary search, not a list: the kernel runs a new filter once for every number there is,
    and that was most of the time that installing it took.
    """
    refuse: Instruction = (RETURN, 0, 0, REFUSE | errno.EPERM)
    allow: Instruction = (RETURN, 0, 0, ALLOW)
    if not ranges:
        return [refuse]
    if len(ranges) == 1:
        low, high = ranges[0]
        return [(JUMP_AT_LEAST, 0, 2, low), (JUMP_ABOVE, 1, 0, high), allow, refuse]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) > LONGEST_JUMP:
        raise ValueError("too many calls for one search")
    return [(JUMP_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]


def _body(rule: Rule) -> list[Instruction]:
    refuse: Instruction = (RETURN, 0, 0, REFUSE | rule.error)
    if rule.never:
        return [refuse]
    body: list[Instruction] = []
    for condition in rule.conditions:
        body += [*_condition(condition), refuse]
    return [*body, (RETURN, 0, 0, ALLOW)]


def _condition(condition: Condition) -> Sequence[Instruction]:
    """Jumps over the refusal that follows when the condition holds, falls into it when not."""
    low = ARGUMENTS_AT + 8 * condition.argument
    high = low + 4  # both architectures are little-endian
    match condition:
        case OneOf(_, values):
            count = len(values)
            tests = [
                (JUMP_EQUAL, count - place, 0, value & 0xFFFFFFFF)
                for place, value in enumerate(values)
            ]
            return [(LOAD, 0, 0, low), *tests]
        case IsNull():
            return [
                (LOAD, 0, 0, low),
                (JUMP_EQUAL, 0, 2, 0),
                (LOAD, 0, 0, high),
                (JUMP_EQUAL, 1, 0, 0),
            ]
        case Bits(_, needed, forbidden):
            return [
                (LOAD, 0, 0, high),
                (JUMP_EQUAL, 0, 4, 0),
                (LOAD, 0, 0, low),
                (JUMP_ANY_BIT, 2, 0, forbidden),
                (AND, 0, 0, needed),
                (JUMP_EQUAL, 1, 0, needed),
            ]
