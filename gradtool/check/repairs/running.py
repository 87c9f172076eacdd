"""Running values, such as a mean over batches, that a backward pass reads.

``self.mean = 0.9 * self.mean + 0.1 * mean`` is right as it stands, and with ``mean`` in place of
``self.mean`` the gradient comes out: the mistake is where the backward pass reads `self.mean`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from gradtool.check.diagnose_where import Named
from gradtool.check.repairs.fix import Fix, shown
from gradtool.records import Struct, replace


class Running(Struct, frozen=True):
    """The line of a forward pass that updates a running value, and where that is read."""

    attribute: str
    inside: frozenset[int]  # the nodes of the line, by identity
    reader: Named
    read: ast.Attribute

    def told(self, fix: Fix) -> Fix | None:
        """A change of the line as one of what reads the value; None where it is no such change."""
        if not (isinstance(fix.node, ast.Attribute) and shown(fix.node) == self.attribute):
            return None
        what = f"earlier calls are part of {self.attribute}, and this call alone belongs there"
        return replace(fix, node=self.read, what=what)


def running_values(forward: Sequence[Named], backward: Sequence[Named]) -> list[Running]:
    """The lines of forward functions that update what functions of the backward pass read."""
    own = {id(one.node) for one in forward}
    found: list[Running] = []
    for function in forward:
        for target, statement in _assignments(function.node):
            text = shown(target)
            if text not in {shown(node) for node in _read_in(statement.value)}:
                continue
            for reader in (one for one in backward if id(one.node) not in own):
                read = next((n for n in _read_in(reader.node) if shown(n) == text), None)
                if read is not None:
                    inside = frozenset(map(id, ast.walk(statement)))
                    found.append(Running(text, inside, reader, read))
                    break
    return found


def _read_in(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Load()):
                yield node


def _assignments(function: ast.FunctionDef) -> Iterator[tuple[ast.Attribute, ast.Assign]]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self")) as target]):
                yield target, node
