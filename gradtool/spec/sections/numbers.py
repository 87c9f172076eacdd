"""`constants:` and `sizes:`: named numbers, and how dimensions are chosen."""

from __future__ import annotations

from fractions import Fraction

from gradtool.spec.model import SizeRule
from gradtool.spec.scalars import parse_constant, parse_size_rule
from gradtool.spec.sections.reading import Reading
from gradtool.spec.sections.scope import Scope
from gradtool.spec.suggest import nearest
from gradtool.spec.yamltree import Node


def read_constants(node: Node, reading: Reading, scope: Scope) -> dict[str, int | Fraction]:
    """Named numbers; an int may stand in sizes."""
    found: dict[str, int | Fraction] = {}
    for name, entry in reading.named_entries(node, "constants"):
        value = reading.scalar(entry.value, f"constants.{name}", "a number", parse_constant)
        if not scope.declare(name, "constant", entry.key, reading):
            continue
        if value is None or isinstance(value, int):
            scope.integers.add(name)  # an unreadable one is not reported twice
        if value is not None:
            found[name] = value
    return found


def read_sizes(node: Node, reading: Reading, scope: Scope) -> dict[str, SizeRule]:
    """Pins and bounds of dimensions; to be read when every shape is known."""
    found = {}
    for name, entry in reading.named_entries(node, "sizes"):
        rule = reading.scalar(
            entry.value, f"sizes.{name}", "an integer or a bound such as '>=2'", parse_size_rule
        )
        if name in scope.kinds:
            kind, key = scope.kinds[name]
            hint = "change its value there" if kind == "constant" else "give sizes by dimension"
            reading.problem(
                entry.key,
                f"sizes: '{name}' is no dimension but a declared {kind} (line {key.place.line})",
                hint,
            )
        elif name not in scope.sizes:
            if scope.complete:
                near = nearest(name, scope.dimensions)
                hint = "an integer of its own is declared under constants:"
                reading.problem(
                    entry.key,
                    f"sizes: no shape uses the dimension '{name}'",
                    f"did you mean '{near}'?" if near else hint,
                )
        elif rule is not None:
            found[name] = rule
    return found
