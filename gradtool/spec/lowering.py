"""What is known while a forward block is lowered."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction

from gradtool.ir.tree import Span
from gradtool.ops.build import Builder
from gradtool.records import Struct, field
from gradtool.spec.errors import Problem
from gradtool.spec.loop_frame import LoopFrame
from gradtool.spec.model import Block, LayerSpec, Place

Find = Callable[[str], LayerSpec | None]


class Scope(Struct):
    """A forward block under way."""

    spec: LayerSpec
    build: Builder
    find: Find
    active: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)
    poisoned: set[str] = field(default_factory=set)  # names whose line failed
    last: str | None = None
    versions: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    sub: bool = False
    constants: Mapping[str, int | Fraction] = field(default_factory=dict)  # of the whole graph
    reserved: frozenset[str] = frozenset()  # names of the whole graph, to come or there
    rest: list[ast.stmt] = field(default_factory=list)  # the lines after the one under way
    elsewhere: frozenset[str] = frozenset()  # names that other lines assign


def problem_at(scope: Scope, block: Block, span: Span, message: str, hint: str) -> Problem:
    place = block.places[min(span.line, len(block.places)) - 1]
    where = Place(place.line, place.column + span.start)
    return scope.spec.source.problem(where, message, hint, length=span.end - span.start)


def version(scope: Scope, name: str) -> str:
    """The name of a new tensor: ``loss``, then ``loss_1`` when it is assigned again."""
    build = scope.build
    frame = build.frame
    if isinstance(frame, LoopFrame) and not scope.sub:
        first = frame.first_name(name)
        if first is not None:
            return first
    if name not in build.scope or build.scope[name].tensor is None:
        taken = {statement.out.name for statement in build.statements}
        if name not in build.scope and name not in taken:
            return name
    count = scope.versions.get(name, 0)
    taken = {s.out.name for s in build.statements} | {v.name for v in scope.spec.variables}
    if isinstance(frame, LoopFrame):
        taken |= frame.reserved
    while True:
        count += 1
        fresh = f"{name}_{count}"
        if fresh not in taken and fresh not in build.scope:
            break
    scope.versions[name] = count
    if not scope.sub:
        was = "an input" if any(v.name == name for v in scope.spec.variables) else "assigned before"
        scope.remarks.append(
            f"{name} is {was}; the new value is called {fresh} here: give it a name of its own"
        )
    return fresh
