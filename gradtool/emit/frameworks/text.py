"""What the modules for PyTorch and JAX have in common: docstrings, signatures, helpers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradtool import __version__
from gradtool.emit.frameworks.loops import LoopCode
from gradtool.emit.frameworks.plan import Line, Plan
from gradtool.emit.frameworks.printing import assigned
from gradtool.emit.numpy_functions import default_text, described
from gradtool.emit.numpy_module import _written
from gradtool.ir.dims import shape_text
from gradtool.spec.conditions import size_conditions
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

_FOLDER = Path(__file__).resolve().parent


@cache
def helper(folder: str, name: str) -> str:
    """The source of the function ``_name`` in a folder of helpers.

    Raises:
        FileNotFoundError: there is no such helper.
    """
    text = (_FOLDER / folder / f"{name}.py").read_text(encoding="utf-8")
    return text[text.index("def _") :].rstrip()


def helpers(folder: str, needs: Iterable[str]) -> list[str]:
    """The sources of the helpers among what a module needs, by name."""
    known = {path.stem for path in (_FOLDER / folder).glob("*.py")}
    return [helper(folder, name) for name in sorted(known & set(needs))]


def module_docstring(spec: LayerSpec, derivation: Derivation, needs: str) -> str:
    about = " ".join(spec.about.split()) or f"The layer {spec.name}."
    lines = [f"{spec.name}: {about}", ""]
    for statement in derivation.graph.statements:
        if not statement.hidden and not statement.out.name.startswith("_"):
            lines.append("    " + _written(derivation, statement.out.name))
    conditions = size_conditions(derivation.graph.assumptions, spec)
    lines += ["", *([f"For sizes with {conditions}."] if conditions else [])]
    lines += [f"Derived by gradtool {__version__}.", needs]
    return docstring(lines)


def docstring(lines: Iterable[str], indent: str = "") -> str:
    shown = [line.replace("\\", "\\\\").replace('"""', "'''") for line in lines]
    text = f"\n{indent}".join((f'"""{shown[0]}', *shown[1:]))
    end = f"\n{indent}" if len(shown) > 1 else ""
    return "\n".join(line.rstrip() for line in f'{text}{end}"""'.split("\n"))


def parameters(plan: Plan) -> tuple[str, ...]:
    """The parameters of the layer: arrays, then named numbers as keywords."""
    found = [one.name for one in plan.inputs]
    if plan.numbers:
        found.append("*")
    for name, value in plan.numbers.items():
        found.append(name if value is None else f"{name}={default_text(value)}")
    return tuple(found)


def layer_docstring(plan: Plan, numbers: str) -> list[str]:
    """What the layer computes, its arguments with their shapes, its result."""
    results = [f"{name} {shape_text(shape)}" for name, shape in plan.outputs]
    names = " and ".join(name for name, _ in plan.outputs)
    differentiable = [one.name for one in plan.inputs if one.gradient is not None]
    by = ", ".join(differentiable)
    lines = [f"Compute {names}; the gradients by {by} are derived.", "", "Args:"]
    for one in plan.inputs:
        without = "" if one.variable.differentiable else "; no gradient"
        lines.append(f"    {one.name}: {described(one.variable)}{without}.")
    lines += [f"    {name}: {numbers}." for name in plan.numbers]
    lines += ["", "Returns:", f"    {', '.join(results)}."]
    return lines


def head(name: str, arguments: Iterable[str], indent: str = "", width: int = 88) -> list[str]:
    """``def name(…):`` in lines of readable length."""
    every = list(arguments)
    line = f"def {name}({', '.join(every)}):"
    if len(indent) + len(line) <= width:
        return [line]
    return [f"def {name}(", *(f"    {a}," for a in every), "):"]


def written(line: Line, loop: Callable[[LoopCode], list[str]]) -> list[str]:
    """The text of a line; `loop` writes a loop, whose results have no text of their own."""
    if line.loop is not None:
        return loop(line.loop)
    return [] if line.of_loop is not None else [*assigned(line.target, line.tree)]


def joined(names: Iterable[str]) -> str:
    """``a, b`` or ``(a,)``: a tuple of names, or one to unpack to."""
    every = list(names)
    return f"({every[0]},)" if len(every) == 1 else ", ".join(every)


def indented(lines: Iterable[str], by: str = "    ") -> list[str]:
    return [f"{by}{line}" if line else "" for line in lines]
