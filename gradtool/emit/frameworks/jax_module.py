"""A layer as a JAX module: a function with a `jax.custom_vjp`.

The forward pass hands what the backward pass reads over as residuals.  Both are ordinary JAX code,
so that derivatives of the gradient go through them and need no care.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradtool.emit.frameworks.jax_words import JaxWords
from gradtool.emit.frameworks.loops import Assignment, LoopCode
from gradtool.emit.frameworks.plan import Plan, plan_of
from gradtool.emit.frameworks.printing import assigned, shown
from gradtool.emit.frameworks.text import (
    docstring,
    head,
    helpers,
    indented,
    joined,
    layer_docstring,
    module_docstring,
    parameters,
    written,
)
from gradtool.ir.tree import Call, Name, call
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

_RESERVED = frozenset(
    {"jax", "jnp", "math", "partial", "layer", "residuals", "upstream", "enumerate", "zip",
     "range", "len", "tuple", "abs", "sum", "step", "state", "int"}
)  # fmt: skip
_NUMBER = "a plain number, static under jax.jit; no gradient"


def jax_module(spec: LayerSpec, derivation: Derivation) -> str:
    """The source of a module with the function ``layer``.

    Raises:
        UnsupportedError: a word without a text in JAX, or gradients that are left out.
    """
    plan = plan_of(spec, derivation, JaxWords, _RESERVED)
    sources = helpers("jax_helpers", plan.needs)
    writer = _Writer(plan)
    code = [*sources, *("\n".join(block) for block in writer.blocks())]
    after = ["".join(f"{line}\n" for line in writer.registered())]
    text = "\n\n\n".join([*code, *after])
    imports: list[str] = []
    if "math" in plan.needs or "math." in text:
        imports.append("import math")
    if plan.numbers:
        imports.append("from functools import partial")
    imports += [*([""] if imports else []), "import jax"]
    if "jnp." in text:
        imports.append("import jax.numpy as jnp")
    doc = module_docstring(spec, derivation, "Needs JAX.")
    return "\n".join([doc, "", *imports, "", ""]) + "\n" + text


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = [one.name for one in plan.inputs]
        self.numbers = [*plan.numbers]
        self.results = [name for name, _ in plan.outputs]
        # A shape is static, but a residual is not: the array that tells it is handed over.
        upstream = {name for name, _ in plan.upstream}
        sources = [r.source for r in plan.backward_sizes if r.source not in upstream]
        self.residuals = list(dict.fromkeys([*plan.saved, *plan.kept, *sources]))

    def blocks(self) -> list[list[str]]:
        if not self.numbers:
            return [["@jax.custom_vjp", *self._layer("layer", self.names)], *self._passes()]
        places = joined(str(k) for k in range(len(self.names), len(self.names) + len(self.numbers)))
        if not places.startswith("("):
            places = f"({places})"
        given = [*self.names, *self.numbers]
        inner = [
            f"@partial(jax.custom_vjp, nondiff_argnums={places})",
            *head("_layer", given),
            f"    return _forward({', '.join(given)})[0]",
        ]
        return [inner, *self._passes()]

    def registered(self) -> list[str]:
        name = "_layer" if self.numbers else "layer"
        lines = [f"{name}.defvjp(_forward, _backward)"]
        if not self.numbers:
            return lines
        given = [*self.names, *self.numbers]
        outer = [
            *head("layer", parameters(self.plan)),
            f"    {docstring(layer_docstring(self.plan, _NUMBER), '    ')}",
            f"    return _layer({', '.join(given)})",
        ]
        return [*lines, "", "", *outer]

    def _layer(self, name: str, given: list[str]) -> list[str]:
        doc = docstring(layer_docstring(self.plan, _NUMBER), "    ")
        return [*head(name, given), f"    {doc}", f"    return _forward({', '.join(given)})[0]"]

    def _passes(self) -> list[list[str]]:
        return [self._forward(), self._backward()]

    def _forward(self) -> list[str]:
        plan = self.plan
        used = {n for line in plan.forward for n in line.reads} | {*self.residuals}
        body = self._as_arrays([name for name in self.names if name in used])
        body += [read.line(f"{read.source}.shape") for read in plan.forward_sizes]
        for line in plan.forward:
            body += written(line, _loop)
        results = self.results[0] if len(self.results) == 1 else f"({joined(self.results)})"
        handed = joined(self.residuals) if self.residuals else "()"
        handed = handed if handed.startswith("(") else f"({handed})"
        body.append(f"return {results}, {handed}")
        lines = head("_forward", [*self.names, *self.numbers])
        return [*lines, '    """The result, and what the backward pass reads."""', *indented(body)]

    def _as_arrays(self, given: Sequence[str]) -> list[str]:
        """Where there is a loop: NumPy's arrays cannot be indexed by a traced step."""
        if not given or not any(line.loop for line in (*self.plan.forward, *self.plan.backward)):
            return []
        if len(given) == 1:
            return [f"{given[0]} = jnp.asarray({given[0]})"]
        return [f"{', '.join(given)} = map(jnp.asarray, ({', '.join(given)}))"]

    def _backward(self) -> list[str]:
        plan = self.plan
        upstream = [name for name, _ in plan.upstream]
        body: list[str] = []
        if self.residuals:
            body.append(f"{joined(self.residuals)} = residuals")
        read = {n for line in plan.backward for n in line.reads}
        read |= {r.source for r in plan.backward_sizes}
        if len(upstream) > 1:
            body.append(f"{', '.join(n if n in read else '_' for n in upstream)} = upstream")
        body += self._as_arrays([name for name in upstream if name in read])
        body += [read.line(f"{read.source}.shape") for read in plan.backward_sizes]
        for line in plan.backward:
            body += written(line, _loop)
        gradients = [one.gradient for one in plan.inputs]
        if plan.is_loss:
            shown = [f"{upstream[0]} * {g}" if g else "None" for g in gradients]
        else:
            shown = [g or "None" for g in gradients]
        result = f"return {joined(shown)}"
        if len(result) > 84:
            body += ["return (", *(f"    {one}," for one in shown), ")"]
        else:
            body.append(result)
        given = upstream[0] if len(upstream) == 1 else "upstream"
        lines = head("_backward", [*self.numbers, "residuals", given])
        doc = '    """The gradient of every argument; None where there is none."""'
        return [*lines, doc, *indented(body)]


def _loop(loop: LoopCode) -> list[str]:
    """A `jax.lax.scan` that hands on what the next step reads or what is collected."""
    begun = _lines(loop.before)
    state = joined(loop.carried)
    steps = call("jnp.arange", *([] if loop.first is None else [loop.first]), loop.stop)
    given = state if state.startswith("(") else f"({state})"
    reverse = ", reverse=True" if loop.backwards else ""
    scanned = [f"{given}, _ = jax.lax.scan(step, {given}, {shown(steps)}{reverse})"]
    if len(scanned[0]) > 84:
        inner = f"    step, {given}, {shown(steps)}{reverse}"
        scanned = [f"{given}, _ = jax.lax.scan(", inner, ")"]
    return [
        *begun,
        "",
        f"def step(state, {loop.index}):",
        f"    {state} = state",
        *indented(_lines(loop.steps)),
        f"    return {given}, None",
        "",
        *scanned,
        *_lines(loop.after),
    ]


def _lines(several: Iterable[Assignment]) -> list[str]:
    """Assignments, where one to a part of an array makes a new array."""
    found: list[str] = []
    for one in several:
        tree = one.tree
        if isinstance(one.target, Call):
            source, index = one.target.args
            assert isinstance(source, Name)
            tree = call("set", call("getitem", Name(f"{source.id}.at"), index), tree)
        found += assigned(one.name, tree)
    return found
