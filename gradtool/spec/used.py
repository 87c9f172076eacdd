"""Another spec, called as a function in a forward block."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.poly import size
from gradtool.ir.tree import Call, Number, Tree
from gradtool.ops.build import Operand, constant
from gradtool.ops.errors import OpError
from gradtool.ops.shape import dim_tree
from gradtool.spec.errors import SpecError
from gradtool.spec.lowering import Scope
from gradtool.spec.model import LayerSpec, Variable
from gradtool.spec.suggest import did_you_mean


def use_spec(scope: Scope, spec: LayerSpec, call: Call, run: Callable[[Scope], None]) -> Operand:
    """Run another spec's forward on the arguments of a call; `run` lowers its lines.

    Raises:
        OpError: the arguments do not fit the inputs, or the spec has several outputs.
        SpecError: the spec has mistakes of its own.
    """
    build = scope.build
    names = [v.name for v in spec.variables] + list(spec.constants)
    given: dict[str, Tree] = {}
    if len(call.args) > len(spec.variables):
        raise OpError(
            f"{call.op}() takes {', '.join(names)}; found {len(call.args)} arguments", call.span
        )
    given.update(zip(names, call.args, strict=False))
    for key, value in call.kwargs:
        if key not in names:
            raise OpError(
                f"{call.op}() has no argument '{key}'", call.span, did_you_mean(key, names)
            )
        given[key] = value
    missing = [v.name for v in spec.variables if v.name not in given]
    if missing:
        raise OpError(f"{call.op}() needs {', '.join(missing)}", call.span)
    arguments = {v.name: build.operand(given[v.name]) for v in spec.variables}
    sizes: dict[str, Dim] = {}
    constants: dict[str, Operand] = {}
    for name, number in spec.constants.items():
        default = Number(Fraction(number), _decimal(number))
        constants[name] = build.operand(given.get(name, default))
        dim = constants[name].dim
        if isinstance(number, int) and dim is not None:
            sizes[name] = dim
    for variable in spec.variables:
        _match(spec, variable, arguments[variable.name], sizes, given[variable.name], call)
    inner_scope: dict[str, Operand] = {**constants, **arguments}
    for name, dim in sizes.items():
        inner_scope.setdefault(name, constant(size(dim), dim_tree(dim), dim))
    inner = Scope(
        spec,
        build,
        scope.find,
        (*scope.active, spec.name),
        sub=True,
        constants=scope.constants,
        reserved=scope.reserved,
    )
    outer_scope, outer_words = build.scope, build.vocabulary
    outer_dims, outer_constants = build.dimensions, build.constants
    line = build.line
    build.scope = inner_scope
    build.dimensions, build.constants = frozenset(), {}
    try:
        run(inner)
        if inner.problems:
            raise SpecError(inner.problems)
        output = (spec.outputs or (inner.last,))[0]
        if output is None or len(spec.outputs or ()) > 1:
            raise OpError(f"{spec.name} has several outputs; use one that has one", call.span)
        return build.scope[output]
    finally:
        build.scope, build.vocabulary = outer_scope, outer_words
        build.dimensions, build.constants = outer_dims, outer_constants
        build.line = line


def _decimal(value: int | Fraction) -> str:
    """As it would be written: 1e-05 rather than 1/100000."""
    text = repr(float(value)) if isinstance(value, Fraction) else str(value)
    return text if Fraction(text) == value else str(value)


def _match(
    spec: LayerSpec,
    variable: Variable,
    operand: Operand,
    sizes: dict[str, Dim],
    tree: Tree,
    call: Call,
) -> None:
    """Bind the sizes of a used spec to those of an argument."""
    declared = shape_text(variable.shape)
    if operand.rank != len(variable.shape):
        raise OpError(
            f"{call.op}() expects {variable.name} {declared}, found {shape_text(operand.shape)}",
            tree.span or call.span,
        )
    wanted = variable.dtype
    if (wanted == "index") != (operand.kind == "index"):
        raise OpError(
            f"{call.op}() expects {variable.name} to hold "
            f"{'labels' if wanted == 'index' else 'real numbers'}",
            tree.span or call.span,
        )
    pairs = list(zip(variable.shape, operand.shape, strict=True))
    if variable.index is not None and operand.labels is not None:
        pairs.append((variable.index, operand.labels))
    for dim, found in pairs:
        symbol = dim.as_symbol
        if symbol is not None and symbol not in sizes:
            sizes[symbol] = found
            continue
        expected = dim.substitute(sizes)
        if expected != found:
            raise OpError(
                f"{call.op}() expects {variable.name} {declared}: {dim} is {expected}, "
                f"found {found}",
                tree.span or call.span,
            )
