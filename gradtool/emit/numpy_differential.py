"""A self-contained NumPy module with one function: ``jvp``, ``jacobian``, ``hvp`` or ``hessian``.

The forward pass and the printed lines are one forward pass of a larger layer, whose inputs are
those of the layer, the upstream gradients that are held fixed, and the directions; it is written
as every forward pass is.
"""

from __future__ import annotations

from gradtool.derive.derivation import derive
from gradtool.derive.gradient_graph import read_after
from gradtool.derive.second import Differential
from gradtool.emit.loops import block_lines
from gradtool.emit.numpy_functions import Function, described
from gradtool.emit.numpy_module import function_text, module_docstring, whole_module
from gradtool.emit.numpy_plan import plan_of
from gradtool.emit.text import line
from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Items, Tree, call, integer
from gradtool.ops.shape import dim_tree
from gradtool.records import replace
from gradtool.spec.model import LayerSpec, Place, Variable


def module_text(spec: LayerSpec, found: Differential, *, erf: str = "scipy") -> str:
    """The source of a module with the function that `found` asks for.

    Args:
        erf: "scipy", or "math" for code that must run where SciPy is not installed (slower).

    Raises:
        UnsupportedError: a word that has no NumPy text.
    """
    layer, graph = _as_layer(spec, found)
    plan = plan_of(layer, derive(graph, ()))
    blocks = [function_text(_function(plan.forward, layer, found, graph))]
    if found.kind != "hessian":
        blocks.insert(0, _results(found, graph))
    shown = derive(found.graph, ())
    return whole_module(
        lambda scipy: module_docstring(spec, shown, scipy, _MEANING[found.kind]),
        plan.needs,
        blocks,
        erf=erf,
    )


_MEANING = {
    "jvp": "The change of its outputs along a direction, with the outputs themselves.",
    "jacobian": "Every entry of an output by every entry of a variable.",
    "hvp": "The change of its gradients along a direction: the Hessian times the direction.",
    "hessian": "Its second derivatives.",
}
_CLASS = {"jvp": "Jvp", "jacobian": "Jacobian", "hvp": "Hvp"}


def _as_layer(spec: LayerSpec, found: Differential) -> tuple[LayerSpec, Graph]:
    """The forward pass and everything that is printed after it, as one forward pass."""
    forward = found.graph
    given = [Tensor(n, s) for n, s in (*found.upstream.values(), *found.directions.values())]
    texts = list(
        dict.fromkeys(
            line(p.name, p.tree) if p.block is None else "\n".join(block_lines(p.block))
            for p in found.lines
        )
    )
    texts += [line(r.name, _zeros(r.shape)) for r in found.results if r.zero]
    _, statements = read_after(forward, given, texts)
    outputs = tuple(r.name for r in found.results)
    if found.kind == "jvp":
        outputs = (*forward.outputs, *outputs)
    known = {v.name: v for v in spec.variables}
    place = Place(1, 1)
    inputs = (*forward.inputs, *given)
    variables = tuple(
        known.get(t.name)
        or Variable(t.name, "input", t.shape, t.kind, place, t.labels, constant=True)
        for t in inputs
    )
    every = (*forward.statements, *statements)
    graph = replace(forward, inputs=inputs, wanted=(), statements=every, outputs=outputs)
    return replace(spec, variables=variables), graph


def _zeros(shape: tuple[Dim, ...]) -> Tree:
    if not shape:
        return integer(0)
    return call("zeros", Items(tuple(map(dim_tree, shape))))


def _results(found: Differential, graph: Graph) -> str:
    """The class of what is returned."""
    lines = [
        f"class {_CLASS[found.kind]}(NamedTuple):",
        f'    """What `{found.kind}` returns."""',
        "",
    ]
    lines += [
        f"    {name}: np.ndarray  # {shape_text(graph.tensors[name].shape)}"
        for name in graph.outputs
    ]
    return "\n".join(lines)


def _function(forward: Function, layer: LayerSpec, found: Differential, graph: Graph) -> Function:
    """The forward function of the larger layer under the name that was asked for."""
    *body, last = forward.body
    assert last.startswith("return ")
    returned = last.removeprefix("return ").removesuffix(", ()")
    if found.kind != "hessian":
        inner = returned.removeprefix("(").removesuffix(")")
        returned = f"{_CLASS[found.kind]}({inner})"
    doc = [f"{_MEANING[found.kind]}", "", "Args:"]
    doc += [f"    {v.name}: {_described(v, found)}." for v in layer.variables]
    return Function(found.kind, forward.parameters, tuple(doc), (*body, f"return {returned}"))


def _described(variable: Variable, found: Differential) -> str:
    text = described(variable)
    for of, (name, _) in found.directions.items():
        if name == variable.name:
            return f"{text}, the direction of {of}"
    for of, (name, _) in found.upstream.items():
        if name == variable.name:
            return f"{text}, the upstream gradient of {of}, held fixed"
    return text
