"""A layer as a PyTorch module: a `torch.autograd.Function` and a function that applies it.

Inputs and outputs that the backward pass reads are saved as such.  Values between are returned by
the forward pass as further outputs, which nobody differentiates, and saved too; PyTorch would
take them for constants in a second derivative, so a backward pass that is itself recorded
computes them again from the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

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
from gradtool.emit.frameworks.torch_words import TorchWords
from gradtool.ir.tree import Name, call
from gradtool.records import replace
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

# Names that the emitted module uses for itself.
_RESERVED = frozenset(
    {"torch", "math", "ctx", "inputs", "output", "needed", "Layer", "layer", "getattr", "float",
     "enumerate", "zip", "any", "range", "reversed", "len", "tuple", "abs", "staticmethod"}
)  # fmt: skip
_NUMBER = "a plain number, the same for all entries; no gradient"


def torch_module(spec: LayerSpec, derivation: Derivation) -> str:
    """The source of a module with the class ``Layer`` and the function ``layer``.

    Raises:
        UnsupportedError: a word without a text in PyTorch, or gradients that are left out.
    """
    plan = plan_of(spec, derivation, TorchWords, _RESERVED)
    sources = helpers("torch_helpers", plan.needs)
    math = "math" in plan.needs or any("math." in source for source in sources)
    doc = module_docstring(spec, derivation, "Needs PyTorch 2.0 or newer.")
    imports = "import math\n\nimport torch" if math else "import torch"
    writer = _Writer(plan)
    blocks = [*sources, "\n".join(writer.layer_class()), "\n".join(writer.layer_function())]
    return f"{doc}\n\n{imports}\n\n\n" + "\n\n\n".join(blocks) + "\n"


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = [name for name, _ in plan.outputs]
        self.names = [one.name for one in plan.inputs]
        self.arguments = [*self.names, *plan.numbers]
        # To compute the kept values again, all inputs and numbers are needed.
        again = bool(plan.kept)
        self.saved = [*self.names, *(n for n in plan.saved if n not in self.names)] if again else [
            *plan.saved]  # fmt: skip
        self.numbers = [*plan.numbers] if again else [*plan.numbers_read]
        arrays = {*self.saved, *plan.kept, *(name for name, _ in plan.upstream)}
        # The shape of an input that is not saved is remembered alone.
        self.shapes = [r.source for r in plan.backward_sizes if r.source not in arrays]

    # -- the class -------------------------------------------------------------------------

    def layer_class(self) -> list[str]:
        lines = ["class Layer(torch.autograd.Function):"]
        lines.append('    """The forward pass, and the backward pass that was derived from it."""')
        lines += ["", *indented(self._forward()), "", *indented(self._setup()), ""]
        return [*lines, *indented(self._backward())]

    def _forward(self) -> list[str]:
        body = [read.line(f"{read.source}.shape") for read in self.plan.forward_sizes]
        returned = {*self.results, *self.plan.kept}
        for line in self.plan.forward:
            if line.target in returned and isinstance(line.tree, Name):
                # One tensor that is returned twice, or given and returned, would lose its gradient.
                line = replace(line, tree=call("clone", line.tree))
            body += written(line, _loop)
        body.append(f"return {', '.join([*self.results, *self.plan.kept])}")
        return ["@staticmethod", *head("forward", self.arguments, "    "), *indented(body)]

    def _setup(self) -> list[str]:
        plan = self.plan
        stored = [n for n in self.saved if n in self.names]
        wanted = {*stored, *self.numbers, *self.shapes}
        body: list[str] = []
        if wanted:
            given = [name if name in wanted else "_" for name in self.arguments]
            body.append(f"{joined(given)} = inputs")
        outputs = [*(n if n in self.saved else "_" for n in self.results), *plan.kept]
        if set(outputs) != {"_"}:
            body.append(f"{', '.join(outputs)} = output")
        if plan.kept:
            body.append(f"ctx.mark_non_differentiable({', '.join(plan.kept)})")
            if len(self.results) == 1:
                body.append("ctx.set_materialize_grads(False)")
        arrays = [*self.saved, *plan.kept]
        if arrays:
            body.append(f"ctx.save_for_backward({', '.join(arrays)})")
        body += [f"ctx.{name} = {name}" for name in self.numbers]
        body += [f"ctx.{name}_shape = {name}.shape" for name in dict.fromkeys(self.shapes)]
        return ["@staticmethod", *head("setup_context", ("ctx", "inputs", "output"), "    "),
                *indented(body or ["pass"])]  # fmt: skip

    def _backward(self) -> list[str]:
        plan = self.plan
        upstream = [name for name, _ in plan.upstream]
        arguments = ["ctx", *upstream, *(["*_"] if plan.kept else [])]
        body: list[str] = []
        if plan.kept and len(upstream) == 1:
            nothing = ", ".join(["None"] * len(self.arguments))
            body += [f"if {upstream[0]} is None:", f"    return {nothing}"]
        arrays = [*self.saved, *plan.kept]
        if arrays:
            used = {*plan.saved, *plan.kept, *(r.source for r in plan.backward_sizes)}
            if plan.kept:
                used |= set(self.names)
            shown = [name if name in used else "_" for name in arrays]
            body.append(f"{joined(shown)} = ctx.saved_tensors")
        body += [f"{name} = ctx.{name}" for name in self.numbers]
        if plan.kept:
            again = [*("_" for _ in self.results), *plan.kept]
            body += [
                "if torch.is_grad_enabled():",
                "    # For a second derivative: how these values come from the inputs counts too.",
                f"    {', '.join(again)} = Layer.forward({', '.join(self.arguments)})",
            ]
        for read in plan.backward_sizes:
            kept = read.source in (*arrays, *upstream)
            body.append(read.line(f"{read.source}.shape" if kept else f"ctx.{read.source}_shape"))
        body += self._lines()
        return ["@staticmethod", *head("backward", arguments, "    "), *indented(body)]

    def _lines(self) -> list[str]:
        """The backward lines, each under the inputs whose gradients need it."""
        plan = self.plan
        results = [one.gradient for one in plan.inputs]
        every = frozenset(k for k, gradient in enumerate(results) if gradient is not None)
        partly = {
            line.target for line in plan.backward if line.serves != every and not line.of_loop
        }
        targets = partly | {x.target for x in plan.backward if x.of_loop in partly}
        missing = [g for g in results if g is not None and g in targets]
        body: list[str] = []
        if missing:
            body.append(f"{' = '.join(missing)} = None")
        if targets:
            body.append("needed = ctx.needs_input_grad")
        coded = (line for line in plan.backward if not line.of_loop)
        for serves, group in groupby(coded, key=lambda line: line.serves):
            lines = [text for line in group for text in written(line, _loop)]
            if serves == every:
                body += lines
            else:
                body += [f"if {_condition(serves)}:", *indented(lines)]
        shown = [*(g or "None" for g in results), *("None" for _ in plan.numbers)]
        if plan.is_loss:
            ((seed, _),) = plan.upstream
            body.append(f"gradients = {joined(shown)}")
            body.append(f"return tuple(None if d is None else {seed} * d for d in gradients)")
        else:
            body.append(f"return {', '.join(shown)}")
        return body

    # -- the function ----------------------------------------------------------------------

    def layer_function(self) -> list[str]:
        plan = self.plan
        lines = head("layer", parameters(plan))
        applied = f"Layer.apply({', '.join(self.arguments)})"
        if plan.kept:
            applied += "[0]" if len(self.results) == 1 else f"[:{len(self.results)}]"
        doc = docstring(layer_docstring(plan, _NUMBER), "    ")
        return [*lines, f"    {doc}", f"    return {applied}"]


def _loop(loop: LoopCode) -> list[str]:
    """A Python loop over the steps."""
    ends = (loop.stop,) if loop.first is None else (loop.first, loop.stop)
    steps = f"range({', '.join(map(shown, ends))})"
    steps = f"reversed({steps})" if loop.backwards else steps

    def lines(several: Iterable[Assignment]) -> list[str]:
        return [text for a in several for text in assigned(shown(a.target), a.tree)]

    return [*lines(loop.before), f"for {loop.index} in {steps}:", *indented(lines(loop.steps)),
            *lines(loop.after)]  # fmt: skip


def _condition(serves: Iterable[int]) -> str:
    return " or ".join(f"needed[{place}]" for place in sorted(serves))
