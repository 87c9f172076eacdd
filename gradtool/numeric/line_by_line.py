"""A backward pass line by line, with every line's value moved: how code rounds on its way.

A closed form may have cancelled by algebra what a backward pass by the chain rule cancels by
numbers: batch normalisation of one sample is a zero that is the difference of two large terms.
How far such code may be off is seen only where these terms are.
"""

from __future__ import annotations

import ast

from gradtool.ir import syntax
from gradtool.ir.graph import Graph
from gradtool.numeric.compile import Compiled, compiled
from gradtool.numeric.plan import error_function
from gradtool.spec.model import LayerSpec

_MOVE = "move__"


def line_by_line(spec: LayerSpec, graph: Graph) -> Compiled | None:
    """The emitted module of a layer whose ``backward(move, upstream, cache)`` is line by line.

    ``move`` is applied to what each line assigns.  None where the layer has no such module.
    """
    from gradtool.derive.derivation import derive
    from gradtool.emit.numpy_module import module_text
    from gradtool.ir.errors import UnsupportedError

    try:
        text = module_text(spec, derive(graph, staged=True), erf=error_function())
    except UnsupportedError:
        return None
    return compiled(moving(text))


def moving(text: str) -> str:
    """An emitted module whose ``backward`` applies a new first argument to every line's value."""
    tree = syntax.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "backward":
            node.args.args.insert(0, ast.arg(_MOVE))
            node.body = [_Moved().visit(statement) for statement in node.body]
    return ast.unparse(ast.fix_missing_locations(tree))


class _Moved(ast.NodeTransformer):
    """Puts the call around what is computed; the cache and the sizes stay as they are."""

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        if isinstance(node.targets[0], ast.Tuple | ast.List):
            return node
        node.value = _moved(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        node.value = _moved(node.value)
        return node


def _moved(value: ast.expr) -> ast.expr:
    computed = any(isinstance(n, ast.BinOp | ast.UnaryOp | ast.Call) for n in ast.walk(value))
    return ast.Call(ast.Name(_MOVE, ast.Load()), [value], []) if computed else value
