"""Scalar functions of one variable, each defined once, by the expression that it is.

`definition` builds the defining expression with whatever module it is given (sympy or mpmath
share these names), so that the derivative, the 60-digit value and the documentation come from
one text.  `numpy` is a numerically careful way to write it; a test compares it with the
definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradtool.ir.poly import Function, atom
from gradtool.ir.tree import Call
from gradtool.ops.arithmetic import elementwise, real
from gradtool.ops.build import Builder, Operand
from gradtool.ops.registry import Arguments, alias, word
from gradtool.ops.truth import refuse_truths
from gradtool.records import Struct


class ScalarFunction(Struct, frozen=True):
    """A scalar function.

    Attributes:
        definition: ``(m, x) -> expression`` where m is a module such as sympy or mpmath; None for
            a primitive that m knows by `name`.
        numpy: NumPy text with ``{0}`` for the argument.
        positive: not defined for every negative argument.
        smooth: False when the derivative jumps somewhere (see `kinks`).
        kinks: arguments at which the derivative jumps.
        truths: whether NumPy has it for truth values.
    """

    name: str
    definition: Callable[[Any, Any], Any]
    numpy: str
    positive: bool = False
    kinks: tuple[str, ...] = ()
    scipy: str = ""
    truths: bool = True


def _primitive(name: str, library: str | None = None) -> Callable[[Any, Any], Any]:
    return lambda m, x: getattr(m, library or name)(x)


FUNCTIONS: dict[str, ScalarFunction] = {
    f.name: f
    for f in (
        ScalarFunction("exp", _primitive("exp"), "np.exp({0})"),
        ScalarFunction("log", _primitive("log"), "np.log({0})", positive=True),
        ScalarFunction("sin", _primitive("sin"), "np.sin({0})"),
        ScalarFunction("cos", _primitive("cos"), "np.cos({0})"),
        ScalarFunction("tan", _primitive("tan"), "np.tan({0})"),
        ScalarFunction("arctan", _primitive("arctan", "atan"), "np.arctan({0})"),
        ScalarFunction("sinh", _primitive("sinh"), "np.sinh({0})"),
        ScalarFunction("cosh", _primitive("cosh"), "np.cosh({0})"),
        ScalarFunction("tanh", _primitive("tanh"), "np.tanh({0})"),
        ScalarFunction("erf", _primitive("erf"), "erf({0})", scipy="erf"),
        ScalarFunction("abs", lambda m, x: abs(x), "np.abs({0})", kinks=("0",)),
        ScalarFunction("sign", _primitive("sign"), "np.sign({0})", kinks=("0",), truths=False),
        ScalarFunction("log1p", lambda m, x: m.log(1 + x), "np.log1p({0})", positive=True),
        ScalarFunction("expm1", lambda m, x: m.exp(x) - 1, "np.expm1({0})"),
        ScalarFunction("log2", lambda m, x: m.log(x) / m.log(2), "np.log2({0})", positive=True),
        ScalarFunction("log10", lambda m, x: m.log(x) / m.log(10), "np.log10({0})", positive=True),
        ScalarFunction(
            "sigmoid", lambda m, x: 1 / (1 + m.exp(-x)), "np.exp(-np.logaddexp(0, -{0}))"
        ),
        ScalarFunction("softplus", lambda m, x: m.log(1 + m.exp(x)), "np.logaddexp(0, {0})"),
        ScalarFunction("logsigmoid", lambda m, x: -m.log(1 + m.exp(-x)), "-np.logaddexp(0, -{0})"),
        ScalarFunction(
            "silu", lambda m, x: x / (1 + m.exp(-x)), "{0} * np.exp(-np.logaddexp(0, -{0}))"
        ),
        ScalarFunction("softsign", lambda m, x: x / (1 + abs(x)), "{0} / (1 + np.abs({0}))"),
        ScalarFunction(
            "gelu",
            lambda m, x: x * (1 + m.erf(x / m.sqrt(2))) / 2,
            "0.5 * {0} * (1 + erf({0} / np.sqrt(2)))",
            scipy="erf",
        ),
        ScalarFunction(
            "gelu_tanh",
            lambda m, x: (
                x * (1 + m.tanh(m.sqrt(2 / m.pi) * (x + x**3 * m.mpf("0.044715")))) / 2
                if hasattr(m, "mpf")
                else x * (1 + m.tanh(m.sqrt(2 / m.pi) * (x + x**3 * m.Rational("0.044715")))) / 2
            ),
            "0.5 * {0} * (1 + np.tanh(np.sqrt(2 / np.pi) * ({0} + 0.044715 * {0}**3)))",
        ),
        ScalarFunction(
            "mish",
            lambda m, x: x * m.tanh(m.log(1 + m.exp(x))),
            "{0} * np.tanh(np.logaddexp(0, {0}))",
        ),
        ScalarFunction(
            "logcosh", lambda m, x: m.log(m.cosh(x)), "np.logaddexp({0}, -{0}) - np.log(2)"
        ),
    )
}


def _add(function: ScalarFunction) -> None:
    name = function.name
    argument = "Q" if function.positive else "X"

    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        x = real(build, given["x"])
        if not function.truths:
            refuse_truths(call, (x.of_truths,), "an error in NumPy", f"write {name}(1*x)")
        return elementwise(
            build, call, [x], lambda a: atom(Function(name, (a,))), Call(name, (x.tree,))
        )

    rule.__doc__ = f"The function {name}, entry by entry."
    word(name, "x", examples=(f"Y = {name}({argument})",))(rule)


for _function in FUNCTIONS.values():
    _add(_function)
alias("swish", "silu")
alias("absolute", "abs")
alias("fabs", "abs")
alias("atan", "arctan")
alias("expit", "sigmoid")
