"""Reading printed lines back: the same language, the same parser, the same lowering.

A backward pass is printed as assignments.  Here they are parsed as a spec is, in a scope that
holds the forward tensors and the upstream gradients, so that what is shown can be evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from gradtool.ir.dims import Dim
from gradtool.ir.graph import AnyStatement, Graph
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Tree
from gradtool.ops.build import Builder, Operand, of_tensor
from gradtool.ops.registry import vocabulary
from gradtool.spec.indexed import IndexNotation, is_index_statement
from gradtool.spec.parse import Reader, parse_block


class LineReader:
    """Lowers assignments one by one; later lines see earlier ones."""

    def __init__(self, graph: Graph, given: Iterable[Tensor]) -> None:
        symbols = set(graph.dimensions)
        for tensor in (*graph.tensors.values(), *given):
            for dim in tensor.shape:
                symbols |= dim.symbols
        self.build = Builder(
            _Words(), dict(graph.constants), frozenset(symbols - set(graph.constants))
        )
        visible = [t for t in graph.tensors.values() if not t.name.startswith("_")]
        for tensor in (*visible, *given):
            self.build.scope[tensor.name] = of_tensor(tensor)

    def read(self, text: str) -> Tensor:
        """Lower one assignment; the tensor that it defines."""
        module = parse_block(text)
        self.build.lowered.clear()
        reader = Reader(text.split("\n"), self.build.scope)
        (statement,) = module.body
        assert isinstance(statement, ast.Assign)
        (target,) = statement.targets
        if isinstance(target, ast.Subscript) and is_index_statement(target):
            name, operand = IndexNotation(self.build).statement(reader, target, statement.value)
        else:
            assert isinstance(target, ast.Name)
            name, operand = target.id, self.build.operand(reader.expression(statement.value))
        made = self.build.assign(name, operand)
        self.build.scope[name] = made
        assert made.tensor is not None
        return made.tensor

    @property
    def statements(self) -> tuple[AnyStatement, ...]:
        return tuple(self.build.statements)

    def operand(self, tree: Tree) -> Operand:
        """The operand of an expression, for its shape; adds nothing that is kept."""
        count = len(self.build.statements)
        shared = dict(self.build.shared)
        try:
            return self.build.operand(tree)
        finally:
            del self.build.statements[count:]
            self.build.lowered.clear()
            self.build.shared = shared

    def shape(self, tree: Tree) -> tuple[Dim, ...]:
        return self.operand(tree).shape


class _Words(Mapping):  # type: ignore[type-arg]
    """The vocabulary, with index notation inside expressions."""

    def __getitem__(self, name: str):  # type: ignore[no-untyped-def]
        rule = vocabulary()[name]

        def lower(build: Builder, call):  # type: ignore[no-untyped-def]
            if call.keyword("over") is not None:
                return IndexNotation(build).value(call)
            return rule(build, call)

        return lower

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(vocabulary())

    def __len__(self) -> int:
        return len(vocabulary())
