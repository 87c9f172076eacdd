"""Lines of the backward pass that are written from index notation.

What such a line reads and no other line defines gets a name: a reshaped cotangent in the backward
pass, an inner value in the forward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradtool.derive.naming import telling_name
from gradtool.emit.numpy_index import line_steps, statement_steps
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step, simple
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, Reshape, Statement, tensors_in
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Items, Name, call
from gradtool.ops.shape import dim_tree
from gradtool.records import replace

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation
    from gradtool.derive.line import Line


class ClosedLines:
    """The cotangents of one module in index notation.

    Attributes:
        named: inner values of the forward pass that have a name; names are added.
        cotangents: the names of cotangents; names are added.
    """

    def __init__(
        self,
        module: ModuleNames,
        derivation: Derivation,
        named: dict[str, str],
        cotangents: dict[str, str],
    ) -> None:
        self.module = module
        self.derivation = derivation
        self.graph = derivation.graph
        self.named = named
        self.cotangents = cotangents

    def steps(self, line: Line) -> list[Step]:
        """The lines of a cotangent in index notation, from the statement that it was printed from.

        What that statement reads and no line defines gets a name: a reshaped cotangent here, an
        inner value in the forward pass.
        """
        closed = {s.out.name: s for s in self.derivation.closed.statements}
        cotangent = self.derivation.cotangents.of[line.of]
        statement = closed.get(cotangent.name)
        if not isinstance(statement, Statement):  # it was printed from another one
            return line_steps(self.module, line.name, line.tree)
        defined = self.cotangents
        before: list[Step] = []
        known: dict[str, str] = {}
        body = statement.body
        for name in sorted(tensors_in(body)):
            if name in defined:
                known[name] = defined[name]
            elif name in closed:
                known[name] = self._cotangent(name, closed, defined, before)
            elif self._hidden(name):
                known[name] = self._kept(name)
        steps = statement_steps(self.module, line.name, replace(statement, body=body), known)
        return [*before, *steps]

    def _cotangent(
        self,
        name: str,
        closed: dict[str, AnyStatement],
        defined: dict[str, str],
        before: list[Step],
    ) -> str:
        """The name of a cotangent that was written in place, or is reshaped; made when needed."""
        if name in defined or name not in closed:
            return defined.get(name, name)
        statement = closed[name]
        fresh = self.module.fresh(f"d{_bare(name)}")
        self.module.define(Tensor(fresh, statement.out.shape))
        if isinstance(statement, Reshape):
            operand = self._cotangent(statement.operand.name, closed, defined, before)
            shape = Items(tuple(dim_tree(d) for d in statement.out.shape))
            before.append(simple(self.module, fresh, call("reshape", Name(operand), shape)))
        elif isinstance(statement, Statement):
            known = {
                n: self._cotangent(n, closed, defined, before)
                if n in closed or n in defined
                else self._kept(n)
                for n in sorted(tensors_in(statement.body))
                if n in closed or n in defined or self._hidden(n)
            }
            before += statement_steps(self.module, fresh, statement, known)
        else:
            raise UnsupportedError(f"the cotangent {name} in index notation")
        defined[name] = fresh
        return fresh

    def _hidden(self, name: str) -> bool:
        return name in self.graph.definitions and self.graph.definitions[name].hidden

    def _kept(self, hidden: str) -> str:
        """The name of an inner value that the forward pass keeps for the backward pass."""
        if hidden not in self.named:
            statement = self.graph.definitions[hidden]
            name = telling_name(statement.tree, self.module.taken)
            self.module.taken.add(name)
            out = statement.out
            self.module.define(Tensor(name, out.shape, out.kind, out.labels))
            self.named[hidden] = name
            if isinstance(statement, Statement) and statement.reduce in ("argmax", "argmin"):
                self.module.selectors[name] = statement
        return self.named[hidden]


def _bare(name: str) -> str:
    """A readable part of the name of a cotangent: ``dY:_7`` gives ``Y``, ``d_12`` ``t``."""
    bare = name.split(":")[0].removeprefix("d").removesuffix("_total")
    return f"{bare}_parts" if bare and not bare.startswith("_") else "parts"
