"""Functions with their changes, and what is made of a change that was found."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from gradtool.check.defined import is_lambda
from gradtool.check.diagnose_where import Named, last_bound
from gradtool.check.repairs.asked import Where
from gradtool.check.repairs.fix import Fix, apart
from gradtool.check.repairs.weave import woven
from gradtool.records import Struct

_MOST_TEXT = 2_000_000  # characters
_MOST_NAMED = 4  # gradients


class Repair(Struct, frozen=True):
    """A change that makes a gradient right, and where it stands.

    Attributes:
        fix: the change, and the mistake that it stands for.
        cost: how unusual that mistake is.
        place, line, source: where in the user's file.
        whole: with it all is right that was looked for.
        right: what is right with it: ``output Y``, ``gradient X``.
        points: at how many points that was tried.
        factor: by which it is off with the change, too, as another gradient is; "" without.
    """

    fix: Fix
    cost: float
    place: str
    line: int
    source: str
    whole: bool
    right: frozenset[str]
    points: int
    factor: str = ""

    @property
    def of_forward(self) -> bool:
        """Whether it is a mistake of the forward pass that it puts right."""
        return any(key.startswith("output ") for key in self.right)

    @property
    def proof(self) -> str:
        what = "every gradient is" if self.whole and not self.factor else "it is"
        if self.of_forward:
            outputs = sorted(k.partition(" ")[2] for k in self.right if k.startswith("output "))
            gradients = sorted(
                f"d{k.partition(' ')[2]}" for k in self.right if k.startswith("gradient ")
            )
            if len(gradients) > _MOST_NAMED:
                gradients = [f"{len(gradients)} gradients"]
            *others, last = *outputs, *gradients
            what = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        old, new = apart(self.fix.node, self.fix.new)
        but = f" but for {self.factor}" if self.factor else ""
        return f"with {new} in place of {old} {what} right{but}"


class Target(Struct, frozen=True):
    """A function that is changed, with its changes."""

    named: Named
    fixes: tuple[Fix, ...]

    @property
    def key(self) -> Where:
        """Of the function whose text is changed: of a closure it is the one that returns it."""
        return where_of(self.named.outer or self.named)


def where_of(named: Named) -> Where:
    """Where a function is defined, as its code says it."""
    node = named.node
    name = "<lambda>" if named.outer is not None and is_lambda(node) else node.name
    return named.place, name, min([node.lineno, *(d.lineno for d in node.decorator_list)])


def numbered(targets: Sequence[Target]) -> list[tuple[Target, Fix]]:
    """Every change with its function; its place here is its number."""
    return [(target, fix) for target in targets for fix in target.fixes]


def only(targets: Sequence[Target], chosen: Sequence[int]) -> list[Target]:
    """Targets with the chosen fixes alone, in their order; each then is one with a number."""
    every = numbered(targets)
    return [Target(every[k][0].named, (every[k][1],)) for k in chosen]


def repair_of(
    named: Named, fix: Fix, more: float, whole: bool, right: frozenset[str], points: int
) -> Repair:
    """A change that was found, with its place in the file; `more` is added to its cost."""
    place = "" if named.place.endswith(".py") else named.place  # a cell is named, a file is known
    line, lines = _line(fix.node, named.node), named.text.splitlines()
    source = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return Repair(fix, fix.cost + more, place, line, source, whole, right, points)


def _line(changed: ast.AST, function: ast.FunctionDef) -> int:
    """Where a change is told: of a name that is returned as it is, where it got its value."""
    line = int(getattr(changed, "lineno", function.lineno))
    for node in ast.walk(function):
        match node:
            case ast.Return(value=ast.Tuple(elts=results)):
                pass
            case ast.Return(value=ast.expr() as result):
                results = [result]
            case _:
                continue
        if isinstance(changed, ast.Name) and any(one is changed for one in results):
            return last_bound(function, changed.id, line) or line
    return line


def texts_of(targets: Sequence[Target]) -> dict[Where, str]:
    """Every function with all its fixes; none where that cannot be written."""
    fixes: dict[Where, list[tuple[int, Fix]]] = {}
    functions = {}
    number = 0
    for target in targets:
        functions[target.key] = (target.named.outer or target.named).node
        for fix in target.fixes:
            fixes.setdefault(target.key, []).append((number, fix))
            number += 1
    try:
        texts = {key: woven(functions[key], mine) for key, mine in fixes.items()}
    except (ValueError, RecursionError):
        return {}
    return texts if sum(map(len, texts.values())) <= _MOST_TEXT else {}
