"""An interpreter of forward passes that shares nothing with gradtool but the spec's text.

A forward pass is Python with NumPy's words: methods become functions (``x.sum(axis=0)`` is
``sum(x, axis=0)``), and Python runs the lines with the functions of a framework under these names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from gradtool.spec.model import LayerSpec

Functions = Mapping[str, Callable[..., Any]]
Find = Callable[[str], LayerSpec | None]


class _Functions(ast.NodeTransformer):
    """Methods as functions, ``onehot(y)`` told what its labels index, and no array written to.

    ``H[:, t] = h`` becomes ``H = put(H, at[:, t], h)``.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.classes = {v.name: str(v.index) for v in spec.variables if v.index is not None}

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "onehot" and len(node.args) == 1:
            (labels,) = node.args
            assert isinstance(labels, ast.Name)
            classes = ast.parse(self.classes[labels.id], mode="eval").body
            return ast.Call(node.func, [labels, classes], [])
        if isinstance(node.func, ast.Attribute):
            name = ast.Name(node.func.attr, ast.Load())
            return ast.Call(name, [node.func.value, *node.args], node.keywords)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        (target,) = node.targets
        if not isinstance(target, ast.Subscript):
            return node
        name = target.value
        assert isinstance(name, ast.Name)
        array = ast.Name(name.id, ast.Load())
        place = ast.Subscript(ast.Name("at", ast.Load()), target.slice, ast.Load())
        put = ast.Call(ast.Name("put", ast.Load()), [array, place, node.value], [])
        return ast.Assign([ast.Name(name.id, ast.Store())], put)


class _At:
    """``at[:, t]`` is the index itself."""

    def __getitem__(self, index: Any) -> Any:
        return index


def run_forward(
    spec: LayerSpec,
    values: Mapping[str, Any],
    numbers: Mapping[str, float],
    functions: Functions,
    find: Find,
) -> dict[str, Any]:
    """Every name that the forward pass assigns, and its inputs.

    Args:
        values: the arrays of a framework, by name.
        numbers: sizes and constants.
        functions: the words of the spec language in that framework.
        find: the specs that a forward pass may call.
    """
    module = ast.fix_missing_locations(_Functions(spec).visit(ast.parse(spec.forward.text)))
    built_in = {"range": range, "reversed": reversed, "at": _At()}
    called = {node.func.id for node in ast.walk(module)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    known = dict(functions)
    for name in called - functions.keys() - built_in.keys():
        other = find(name)
        assert other is not None, f"{spec.name}: nobody knows {name}"
        known[name] = _layer(other, functions, find)
    # Python's own built-in names stay in reach: a framework may import a module of its own at the
    # first call of an operator, and does so by the `__import__` of the frame that called it.
    scope: dict[str, Any] = {**built_in, **known, **numbers, **values}
    exec(compile(module, spec.name, "exec"), scope)  # the text of a bundled spec
    return scope


def _layer(spec: LayerSpec, functions: Functions, find: Find) -> Callable[..., Any]:
    """A spec as a function of its inputs and parameters, in order."""

    def layer(*arrays: Any) -> Any:
        values = {v.name: array for v, array in zip(spec.variables, arrays, strict=True)}
        numbers = {name: float(value) for name, value in spec.constants.items()}
        sizes = {
            str(dim): length
            for variable in spec.variables
            for dim, length in zip(variable.shape, values[variable.name].shape, strict=True)
        }
        scope = run_forward(spec, values, {**numbers, **sizes}, functions, find)
        outputs = spec.outputs or (_last_name(spec),)
        return scope[outputs[0]]

    return layer


def outputs_of(spec: LayerSpec) -> tuple[str, ...]:
    return spec.outputs or (_last_name(spec),)


def _last_name(spec: LayerSpec) -> str:
    last = ast.parse(spec.forward.text).body[-1]
    while isinstance(last, ast.For):
        last = last.body[-1]
    assert isinstance(last, ast.Assign | ast.AugAssign)
    target = last.targets[0] if isinstance(last, ast.Assign) else last.target
    name = target.value if isinstance(target, ast.Subscript) else target
    assert isinstance(name, ast.Name)
    return name.id
