"""Results that have names at some calls and places at others, read at each call by what they are.

A backward pass may return a dictionary for a batch and a tuple for one sample.  Read by its keys
it cannot be taken apart where it is a tuple, and by place it gives the keys where it is none.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from gradtool.check.bind import Binding
from gradtool.check.result import SNIPPET, Verdict
from gradtool.ir import syntax
from gradtool.records import replace

_NOT_TAKEN_APART = ("AttributeError", "IndexError", "KeyError", "TypeError")
_SEVERAL = "type({kept}) in (tuple, list)"  # a named tuple is read by its names
_ONE = "isinstance({kept}, np.ndarray)"


def is_otherwise_made(verdict: Verdict) -> bool:
    """Whether a result could not be taken apart as it was at the first call."""
    trouble = verdict.trouble
    if trouble is None or not trouble.place.startswith(SNIPPET) or not verdict.gradients:
        return False
    return trouble.message.partition(":")[0] in _NOT_TAKEN_APART


def as_told(verdict: Verdict) -> Verdict:
    """A verdict with a trouble of that kind in words."""
    trouble = verdict.trouble
    if trouble is None or not is_otherwise_made(verdict):
        return verdict
    text = (
        f"{trouble.message}: a result has names at the first sizes, and is made up otherwise here. "
        "Return the same kind of result at every size"
    )
    return replace(verdict, trouble=replace(trouble, message=text))


def either(placed: Binding, named: Binding) -> Binding | None:
    """The reading by name, and by place where a result has no names; None where it has no places.

    `placed` is the same binding before the names were known.
    """
    changed: dict[str, str] = {}
    for stage in ("forward", "backward"):
        before, after = getattr(placed, stage), getattr(named, stage)
        if before != after and before is not None and after is not None:
            text = _both(before, after)
            if text is None:
                return None
            changed[stage] = text
    return replace(named, **changed) if changed else None


def _both(placed: str, named: str) -> str | None:
    """The statements by name, with what stands at the places in the statements by place."""
    lines: list[str] = []
    places: dict[str, str] = {}
    found = False
    for statement in _statements(named):
        line = ast.get_source_segment(named, statement) or ""
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call() as source):
                places = _places(_statements(placed), source, target)
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target in places:
                found = True
                line = f"{target} = {places[target]} else {ast.get_source_segment(named, value)}"
        lines.append(line)
    return "\n".join(lines) if found else None


def _places(placed: Sequence[ast.stmt], source: ast.Call, kept: str) -> dict[str, str]:
    """What each target of a call is where its result has places: ``kept[0] if …``."""
    for statement in placed:
        if not isinstance(statement, ast.Assign) or ast.dump(statement.value) != ast.dump(source):
            continue
        match statement.targets:
            case [ast.Tuple(elts=targets)] if all(isinstance(one, ast.Name) for one in targets):
                names = [ast.unparse(one) for one in targets]
                return {
                    name: f"{kept}[{place}] if {_SEVERAL.format(kept=kept)}"
                    for place, name in enumerate(names)
                    if name != "_"
                }
            case [ast.Name(id=name)]:
                return {name: f"{kept} if {_ONE.format(kept=kept)}"}
    return {}


def _statements(text: str) -> list[ast.stmt]:
    return syntax.parse(text).body
