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
from gradtool.spec.loop_frame import LoopFrame
from gradtool.spec.loops import Around, loaded_names, lower_loop, stored_names
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
        given = tuple(given)
        self.given = {t.name for t in given} | {t.name for t in graph.inputs}
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

    def read_block(self, text: str) -> None:
        """Lower several lines with a loop among them; what they define is in the scope."""
        module = parse_block(text)
        reader = Reader(text.split("\n"), self.build.scope)
        for place, statement in enumerate(module.body):
            if isinstance(statement, ast.For):
                self._loop(reader, module.body, place)
            else:
                self._assignment(reader, statement)

    def _loop(self, reader: Reader, lines: list[ast.stmt], place: int) -> None:
        node = lines[place]
        assert isinstance(node, ast.For)
        inside = frozenset(stored_names(node))
        elsewhere = [n for k, s in enumerate(lines) if k != place for n in stored_names(s)]
        around = Around(
            line=lambda statement: self._assignment(reader, statement),
            inputs=frozenset(self.given),
            taken={*self.build.scope, *self.build.dimensions, *self.build.constants, *elsewhere},
            later=loaded_names(lines[place + 1 :]) & inside,
            constants=self.build.constants,
        )
        lower_loop(self.build, reader, node, around)

    def _assignment(self, reader: Reader, statement: ast.stmt) -> bool:
        """Lower ``name = …``, ``name[:, t] = …`` or ``name += …``."""
        self.build.lowered.clear()
        self.build.line = statement.lineno
        frame = self.build.frame
        if isinstance(statement, ast.AugAssign):
            target: ast.expr = statement.target
            assert isinstance(target, ast.Name)
            read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
            value: ast.expr = ast.copy_location(
                ast.BinOp(read, statement.op, statement.value), statement
            )
        else:
            assert isinstance(statement, ast.Assign)
            (target,) = statement.targets
            value = statement.value
        if isinstance(target, ast.Subscript):
            if isinstance(frame, LoopFrame) and frame.collects(target):
                frame.collect(self.build, reader, target, reader.expression(value))
                return True
            name, operand = IndexNotation(self.build).statement(reader, target, value)
        else:
            assert isinstance(target, ast.Name)
            name, operand = target.id, self.build.operand(reader.expression(value))
        if operand.dim is not None:  # a number, such as the 0 that a sum begins with
            self.build.scope[name] = operand
            return True
        label = name
        if isinstance(frame, LoopFrame):
            label = frame.first_name(name) or frame.fresh(name)
        self.build.scope[name] = self.build.assign(label, operand)
        return True

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
