"""What the Python interface gives: formulas that print, typeset and compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Line
from gradtool.derive.second import Differential as _Differential
from gradtool.emit.differential import subscript_forms, with_lines
from gradtool.emit.latex import block_latex, derivation_notation, latex_line
from gradtool.emit.latex_differential import latex_lines
from gradtool.emit.loops import block_lines, printed
from gradtool.emit.subscript_loops import looped_subscripts
from gradtool.emit.text import line as line_text
from gradtool.emit.text import text as tree_text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call
from gradtool.numeric.certify import Certificate
from gradtool.records import Own, Struct, astuple
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.emit.sympy_forms import SympyForm


class Formula(Own, frozen=True, eq=False):
    """One line of a result.

    Attributes:
        name: what it defines: ``dW``.
        of: the variable that it belongs to; "" for an inner value without a name in the spec.
        role: "gradient" (a result), "cotangent" (a value on the way) or "inner" (of the forward
            pass).
        shape: sizes as texts: ("D", "C").
        text: the right side in the spec language: ``X.T @ dY``; "" for a result of a loop.
        line: the whole assignment, or the loop that computes it.
        index: in subscripts: ``dW[d,c] = Σ_n X[n,d] dY[n,c]``; "" where there is no such form.
        latex: an equation for math mode; "" where there is none.
    """

    name: str
    of: str
    role: str
    shape: tuple[str, ...]
    text: str
    line: str
    index: str
    latex: str
    _sympy: Callable[[], SympyForm]

    @property
    def _told(self) -> tuple[object, ...]:
        return astuple(self)[:-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and self._told == other._told

    def __hash__(self) -> int:
        return hash(self._told)

    def __repr__(self) -> str:
        return f"Formula({', '.join(map(repr, self._told))})"

    def to_sympy(self) -> Any:
        """The right side as a sympy object.

        A MatrixExpr where there is one: matrices and vectors (as columns) are MatrixSymbols of the
        names in `text`, sizes are positive integer symbols.  Otherwise one entry, as sums over
        IndexedBase entries; `sympy_indices` are the indices of the entry.

        Raises:
            UnsupportedError: sympy has no expression for it.
        """
        return self._sympy().expression

    @property
    def sympy_indices(self) -> tuple[Any, ...]:
        """The index symbol of each axis when `to_sympy` gives one entry, else ()."""
        return self._sympy().indices

    def __str__(self) -> str:
        return self.line

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex}$" if self.latex else ""


class Derived(Struct, frozen=True, dict=True):
    """Certified gradients of a layer.

    Attributes:
        spec: of the layer.
        derivation: the engine's result.
        certified: how well the printed formulas agree with 60-digit differences, and where.
    """

    spec: LayerSpec
    derivation: Derivation
    certified: Certificate

    @cached_property
    def lines(self) -> tuple[Formula, ...]:
        """The whole backward pass, in an order that can be run."""
        derivation = self.derivation
        given = [Tensor(n, s) for n, s in derivation.upstream.values()]
        index = _or_empty(lambda: looped_subscripts(derivation))
        notation = derivation_notation(derivation)
        latex = _or_empty(
            lambda: {
                p.name: latex_line(p.name, p.tree, notation)
                if p.block is None
                else block_latex(p.block, notation)
                for p in derivation.lines
            }
        )
        named = {n for n in derivation.graph.tensors if not n.startswith("_")}
        return tuple(
            _formula(p, derivation, given, index, latex, p.of if p.of in named else "")
            for p in derivation.lines
        )

    @property
    def gradients(self) -> Mapping[str, Formula]:
        """The gradient of each variable that has one, by the variable's name."""
        return {f.of: f for f in self.lines if f.role == "gradient"}

    @property
    def zero(self) -> tuple[str, ...]:
        """Variables whose gradient is zero: no output depends on them, but through comparisons."""
        return self.derivation.zero

    @property
    def upstream(self) -> Mapping[str, str]:
        """The name of the upstream gradient of each output; empty for a loss."""
        return {out: name for out, (name, _) in self.derivation.upstream.items()}

    def numpy(self) -> tuple[Callable[..., tuple[Any, Any]], Callable[[Any, Any], Any]]:
        """``(forward, backward)``, as the emitted NumPy module has them.

        ``forward(*variables, **constants)`` gives the output (a tuple of several) and a cache;
        ``backward(upstream, cache)`` a named tuple with one gradient for each variable.

        Raises:
            UnsupportedError: a word that has no NumPy text.
        """
        from gradtool.numeric.compile import compiled
        from gradtool.numeric.plan import error_function
        from gradtool.numeric.proved import proved_module

        made = compiled(proved_module(self.spec, self.derivation, erf=error_function()))
        return made.forward, made.backward

    def numpy_text(self) -> str:
        """The source of the NumPy module."""
        from gradtool.numeric.proved import proved_module

        return proved_module(self.spec, self.derivation)

    def __str__(self) -> str:
        return "\n".join(printed(self.derivation.lines))

    def _repr_latex_(self) -> str:
        # Results of one loop share its equations.
        return _aligned(dict.fromkeys(f.latex for f in self.lines if f.latex))


class Differential(Struct, frozen=True, dict=True):
    """A certified directional derivative, Jacobian, Hessian or Hessian-vector product.

    Attributes:
        spec: of the layer.
        found: the engine's result.
        certified: how well the printed formulas agree with 60-digit differences, and where.
    """

    spec: LayerSpec
    found: _Differential
    certified: Certificate

    @cached_property
    def lines(self) -> tuple[Formula, ...]:
        """Everything that is computed after the forward pass, in an order that can be run."""
        found = self.found
        given = [Tensor(n, s) for n, s in (*found.upstream.values(), *found.directions.values())]
        index = _or_empty(lambda: subscript_forms(found))
        latex = latex_lines(found)
        under: dict[str, Derivation] = {}
        for derivation, lines in with_lines(found):
            under |= {p.name: derivation for p in lines}
        results = {r.name: r.of for r in found.results}
        return tuple(
            _formula(p, under[p.name], given, index, latex, results.get(p.name, ""), results)
            for p in found.lines
        )

    @property
    def results(self) -> Mapping[str, Formula]:
        """What was asked for, by name: {"Ydot": …}, {"dY_dX": …}; without those that are zero."""
        return {f.name: f for f in self.lines if f.role == "gradient"}

    @property
    def zero(self) -> tuple[str, ...]:
        """Results that are zero (for second derivatives: away from kinks)."""
        return tuple(r.name for r in self.found.results if r.zero)

    @property
    def symmetric(self) -> tuple[str, ...]:
        """Results that are proved to be symmetric."""
        return tuple(r.name for r in self.found.results if r.symmetric)

    @property
    def directions(self) -> Mapping[str, str]:
        """The name of the direction of each varied variable."""
        return {of: name for of, (name, _) in self.found.directions.items()}

    def numpy(self) -> Callable[..., Any]:
        """The function ``jvp``, ``jacobian``, ``hvp`` or ``hessian`` of the emitted module.

        Its arguments are the variables, upstream gradients that are held fixed, and directions.

        Raises:
            UnsupportedError: a word that has no NumPy text.
        """
        from gradtool.numeric.compile import namespace_of

        function: Callable[..., Any] = namespace_of(self.numpy_text())[self.found.kind]
        return function

    def numpy_text(self) -> str:
        """The source of the NumPy module."""
        from gradtool.emit.numpy_differential import module_text
        from gradtool.numeric.plan import error_function

        return module_text(self.spec, self.found, erf=error_function())

    def __str__(self) -> str:
        zeros = (f"{name} = 0" for name in self.zero)
        return "\n".join((*(f.line for f in self.lines), *zeros))

    def _repr_latex_(self) -> str:
        every = latex_lines(self.found)
        names = [*(p.name for p in self.found.lines), *self.zero]
        return _aligned(every[name] for name in names)


def _formula(
    line: Line,
    derivation: Derivation,
    given: list[Tensor],
    index: Mapping[str, str],
    latex: Mapping[str, str],
    of: str,
    results: Mapping[str, str] | None = None,
) -> Formula:
    from gradtool.emit.sympy_forms import sympy_form

    match line.tree:
        case Call(op="indexed", args=(_, entry)):
            text = tree_text(entry)
        case Call(op="loop"):
            text = ""
        case _:
            text = tree_text(line.tree)
    role = line.role
    if results is not None and role == "gradient" and line.name not in results:
        role = "cotangent"
    return Formula(
        line.name,
        of,
        role,
        tuple(map(str, line.shape)),
        text,
        line_text(line.name, line.tree)
        if line.block is None
        else "\n".join(block_lines(line.block)),
        index.get(line.name, ""),
        latex.get(line.name, ""),
        lambda: sympy_form(line, derivation, given),
    )


def _or_empty(make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """A form that does not exist for every layer: loops have no subscripts."""
    try:
        return make()
    except UnsupportedError:
        return {}


def _aligned(equations: Iterable[str]) -> str:
    rows = " \\\\\n".join(
        e if e.startswith("\\begin") else e.replace(" = ", " &= ", 1) for e in equations
    )
    return f"$$\\begin{{aligned}}\n{rows}\n\\end{{aligned}}$$"
