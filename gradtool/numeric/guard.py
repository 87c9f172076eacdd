"""A forward pass with a guard in its logarithms: ``log(p + 1e-12)`` in place of ``log(p)``.

Code keeps a logarithm from minus infinity in one of two ways, and its backward pass mostly leaves
the guard out, which is right as far as the guard does not count.
"""

from __future__ import annotations

import ast
from typing import Literal

from gradtool.ir import syntax
from gradtool.numeric.compile import Compiled, compiled

Form = Literal["x + {}", "maximum(x, {})"]
FORMS: tuple[Form, ...] = ("x + {}", "maximum(x, {})")
_GUARD = "guard__"


def guarded(text: str, form: Form) -> Compiled | None:
    """An emitted module whose ``forward(…, guard__)`` guards each log; None where there is none."""
    tree = syntax.parse(text)
    edit = _Guard(form)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            node.args.kwonlyargs.append(ast.arg(_GUARD))
            node.args.kw_defaults.append(ast.Constant(0.0))
            node.body = [edit.visit(statement) for statement in node.body]
    return compiled(ast.unparse(ast.fix_missing_locations(tree))) if edit.found else None


class _Guard(ast.NodeTransformer):
    def __init__(self, form: Form) -> None:
        self.form = form
        self.found = False

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(ast.Name("np"), "log"), args=[inner]):
                self.found = True
                guard = ast.Name(_GUARD, ast.Load())
                kept: ast.expr = ast.BinOp(inner, ast.Add(), guard)
                if self.form.startswith("maximum"):
                    larger = ast.Attribute(ast.Name("np", ast.Load()), "maximum", ast.Load())
                    kept = ast.Call(larger, [inner, guard], [])
                return ast.Call(node.func, [kept], [])
        return node
