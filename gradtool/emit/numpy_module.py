"""A self-contained NumPy module of a layer: ``forward`` and ``backward`` that run as they stand.

The forward pass keeps the lines that the user wrote; the backward pass is the printed one.  What
the backward pass needs travels in the cache, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from gradtool import __version__
from gradtool.emit.helpers import helper, helper_names
from gradtool.emit.numpy_functions import Function
from gradtool.emit.numpy_plan import plan_of
from gradtool.emit.text import line as spec_line
from gradtool.ir.graph import Scan
from gradtool.ir.tree import Call
from gradtool.spec.conditions import size_conditions
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation

_ERF = {
    "scipy": "from scipy.special import erf",
    # NumPy has no error function; like SciPy's, this one keeps the precision that it is given.
    "math": """def erf(x):
    \"\"\"The error function, entry by entry.\"\"\"
    x = np.asarray(x)
    return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype)""",
}


def module_text(spec: LayerSpec, derivation: Derivation, *, erf: str = "scipy") -> str:
    """The source of a module with ``forward`` and ``backward``.

    Args:
        erf: "scipy", or "math" for code that must run where SciPy is not installed (slower).

    Raises:
        UnsupportedError: a word that has no NumPy text.
    """
    plan = plan_of(spec, derivation)
    blocks = [_gradients(plan.gradients, spec), function_text(plan.forward),
              function_text(plan.backward)]  # fmt: skip
    return whole_module(
        lambda scipy: _docstring(spec, derivation, scipy), plan.needs, blocks, erf=erf
    )


def whole_module(
    docstring: Callable[[bool], str], needed: Collection[str], blocks: Sequence[str], *, erf: str
) -> str:
    """Docstring (told whether SciPy is needed), imports, helpers and blocks of code."""
    helpers = sorted(set(needed) & helper_names())
    needs = set(needed)
    sources = [helper(name) for name in helpers]
    for source in sources:
        needs |= {word for word in ("math", "erf") if f"{word}." in source or f"{word}(" in source}
    if "erf" in needs and erf == "math":
        needs.add("math")
    parts = [docstring("erf" in needs and erf == "scipy")]
    imports = [*(["import math"] if "math" in needs else []),
               "from typing import NamedTuple", "", "import numpy as np"]  # fmt: skip
    if "sliding_window_view" in needs or any("sliding_window_view" in s for s in sources):
        imports.append("from numpy.lib.stride_tricks import sliding_window_view")
    after: list[str] = []
    if "erf" in needs:
        (imports if erf == "scipy" else after).append(_ERF[erf])
    parts.append("\n".join(imports))
    return "\n\n".join(parts) + "\n\n\n" + "\n\n\n".join([*after, *sources, *blocks]) + "\n"


def _docstring(spec: LayerSpec, derivation: Derivation, scipy: bool) -> str:
    return module_docstring(spec, derivation, scipy, "")


def module_docstring(spec: LayerSpec, derivation: Derivation, scipy: bool, title: str) -> str:
    """What the module computes, its forward pass, and what it needs."""
    about = " ".join(spec.about.split()) or f"The layer {spec.name}."
    lines = [f"{spec.name}: {about}", "", *([title, ""] if title else [])]
    looped = any(isinstance(s, Scan) for s in derivation.graph.statements)
    if looped:  # as it was written: a loop is no line of its own
        lines += [f"    {line}" for line in spec.forward.text.rstrip().split("\n")]
    for statement in () if looped else derivation.graph.statements:
        if not statement.hidden and not statement.out.name.startswith("_"):
            lines.append("    " + _written(derivation, statement.out.name))
    conditions = size_conditions(derivation.graph.assumptions, spec)
    lines += ["", *([f"For sizes with {conditions}."] if conditions else [])]
    lines.append(f"Derived by gradtool {__version__}.")
    lines.append("Needs NumPy, and SciPy for the error function." if scipy else "Needs NumPy only.")
    body = "\n".join(line.rstrip() for line in lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{body}\n"""'


def _written(derivation: Derivation, name: str) -> str:
    """A forward line in the spec language, inner values written out."""
    from gradtool.ir.tree import replace_names

    hidden: dict[str, object] = {}
    for statement in derivation.graph.statements:
        tree = replace_names(statement.tree, hidden)  # type: ignore[arg-type]
        if isinstance(tree, Call) and tree.op == "indexed" and statement.out.name != name:
            tree = tree.args[1]
        if statement.out.name == name:
            return spec_line(name, tree)
        if statement.hidden:
            hidden[statement.out.name] = tree
    raise KeyError(name)


def _gradients(fields: tuple[tuple[str, str, str], ...], spec: LayerSpec) -> str:
    lines = [
        "class Gradients(NamedTuple):",
        '    """One gradient for each differentiable input and parameter, in its shape."""',
        "",
    ]
    lines += [f"    {name}: np.ndarray  # {shape}" for name, _, shape in fields]
    if not fields:
        lines.pop()
    return "\n".join(lines)


def function_text(function: Function) -> str:
    head = f"def {function.name}({', '.join(function.parameters)}):"
    if len(head) > 88:
        inner = ",\n    ".join(function.parameters)
        head = f"def {function.name}(\n    {inner},\n):"
    doc = "\n    ".join(('"""' + function.doc[0], *function.doc[1:]))
    doc += '\n    """' if len(function.doc) > 1 else '"""'
    doc = "\n".join(line.rstrip() for line in doc.split("\n"))
    body = "\n".join(f"    {line}" if line else "" for line in function.body)
    return f"{head}\n    {doc}\n{body}"
