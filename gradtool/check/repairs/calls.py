"""Calls, products of matrices and reductions: transposed, swapped, over another axis, missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import combinations, islice

from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.scope import Scope, Surroundings, callee
from gradtool.records import Struct

_PAIRS = {
    "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "argmin": "argmax",
    "max": "min", "min": "max",
    "abs": "sign", "sign": "abs", "exp": "log", "log": "exp", "sqrt": "square", "square": "sqrt",
    "outer": "inner", "inner": "outer", "hstack": "vstack", "vstack": "hstack",
    "tril": "triu", "triu": "tril",
}  # fmt: skip
_FILLED = {
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
}  # fmt: skip
_FUNCTIONS = ("exp", "sqrt", "tanh", "log", "abs", "cosh")
_JOINS = frozenset({"hstack", "vstack", "concatenate", "stack", "column_stack", "dstack"})
_AXES = (0, 1, -1, -2)
_SEVERAL = ((0, 1), (0, 2), (1, 2), (2, 3), (0, 2, 3), (1, 2, 3), (0, 1, 2))
# Channels to the end and back, heads beside steps, samples and channels exchanged.
_AXIS_ORDERS = (
    (1, 0), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3),
    (1, 0, 2, 3), (1, 2, 3, 0), (3, 0, 1, 2),
)  # fmt: skip
# What stands in a derivative where the function itself was written.
_SLOPE_OF = {"log": "1 / X", "sqrt": "0.5 / np.sqrt(X)", "tanh": "1 - np.tanh(X) ** 2",
             "sin": "np.cos(X)", "cos": "-np.sin(X)"}  # fmt: skip
_IN_PLACE = frozenset({"copy", "len", "range", "float", "int", "astype", "reshape", "ravel"})


def fixes(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    role = around.role(node)
    yield from _other_side(node)
    match node:
        case ast.BinOp(op=ast.MatMult(), left=left, right=right):
            yield Fix(node, ast.BinOp(right, ast.MatMult(), left), "swapped-order", 1.1,
                      f"the operands of {shown(node)} are swapped")  # fmt: skip
            yield Fix(node, ast.BinOp(left, ast.Mult(), right), "operator", 1.3,
                      f"a matrix product stands where * belongs: {shown(node)}")  # fmt: skip
            yield Fix(node, _transposed(node), "transposed", 1.15,
                      f"the product is transposed: {shown(node)}")  # fmt: skip
        case ast.Attribute(attr="T", value=inner):
            yield Fix(node, inner, "transposed", 1.0, f"{shown(node)} must not be transposed")
        case ast.Call():
            yield from _calls(node, scope)
            yield from _keywords(node)
            yield from _filled(node, around)
        case ast.Subscript():
            yield from _turned_around(node)
        case ast.Dict():
            yield from _entries(node, isinstance(around.parent(node)[0], ast.Return))
    if role == "value" and _may_be_transposed(node, around):
        text = f"{shown(node)} must be transposed"
        yield Fix(node, _transposed(node), "transposed", 1.0, text)
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and around.is_begun(node):
        yield from _emptied(node)
    if role == "value" and _is_whole(node, scope, around):
        yield from _reduced(node, around)
        yield from _wrapped(node, scope)


def _transposed(node: ast.expr) -> ast.expr:
    return ast.Attribute(node, "T", ast.Load())


def _other_side(node: ast.expr) -> Iterator[Fix]:
    """A product whose other operand is the transposed one: ``x @ dout.T`` for ``x.T @ dout``."""
    match node:
        case ast.BinOp(op=ast.MatMult(), left=left, right=right):
            pass
        case ast.Call(func=ast.Attribute(attr="dot", value=left), args=[right]):
            pass
        case ast.Call(func=ast.Attribute(attr="dot" | "matmul"), args=[left, right]):
            pass
        case _:
            return
    match left, right:
        case (ast.Attribute(attr="T", value=inner), _) if not _is_turned(right):
            new = ast.BinOp(inner, ast.MatMult(), _transposed(right))
        case (_, ast.Attribute(attr="T", value=inner)) if not _is_turned(left):
            new = ast.BinOp(_transposed(left), ast.MatMult(), inner)
        case _:
            return
    text = f"the other operand must be transposed: {shown(node)}"
    yield Fix(node, new, "transposed", 1.0, text)


def _is_turned(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "T"


def _calls(node: ast.Call, scope: Scope) -> Iterator[Fix]:
    name, arguments = callee(node.func), node.args
    if name in ("dot", "matmul", "outer") and len(arguments) == 2:
        swapped = ast.Call(node.func, arguments[::-1], node.keywords)
        yield Fix(node, swapped, "swapped-order", 1.1, f"swapped operands: {shown(node)}")
    if name == "dot" and len(arguments) == 1 and isinstance(node.func, ast.Attribute):
        turned = ast.Call(ast.Attribute(arguments[0], "dot", ast.Load()), [node.func.value], [])
        yield Fix(node, turned, "swapped-order", 1.1, f"swapped operands: {shown(node)}")
    if name in ("dot", "matmul"):
        text = f"the product is transposed: {shown(node)}"
        yield Fix(node, _transposed(node), "transposed", 1.15, text)
    if name == "transpose":
        yield from _orders(node)
    if name == "reshape":
        yield from _reshaped(node)
    if name in ("reshape", "ravel", "flatten"):
        yield from _filled_in_order(node)
    reduction = reduction_of(node)
    if reduction is not None:
        yield from _reductions(node, reduction)
    elif name == "reversed" and len(arguments) == 1:
        text = "the loop runs over the steps in the wrong order"
        yield Fix(node, arguments[0], "step-order", 1.1, text)
    elif len(arguments) == 1 and name not in _IN_PLACE and name != "dot" and name:
        text = f"{name} does not belong there: {shown(node)}"
        emptied = name in ("zeros_like", "ones_like") and scope.holds_gradient(node)
        code = "upstream-ignored" if emptied else "wrong-function"
        yield Fix(node, arguments[0], code, 1.2 if emptied else 1.3, text)
    if name in ("clip", "clamp"):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        of_module = isinstance(owner, ast.Name) and not scope.label(owner)
        inner = (arguments[0] if arguments else None) if of_module else owner
        if inner is not None:
            yield Fix(node, inner, "guard", 0.95, f"values are cut off: {shown(node)}")
    if name in ("flip", "rot90") and len(arguments) > 1:
        yield Fix(node, arguments[0], "kernel-rotated", 1.05, f"{_ROTATED}: {shown(node)}")
    if name == "where" and len(arguments) == 3:
        condition, yes, no = arguments
        swapped = ast.Call(node.func, [condition, no, yes], node.keywords)
        text = f"the two values of a choice have changed places: {shown(node)}"
        yield Fix(node, swapped, "mask", 1.05, text)
    if name in _JOINS and arguments and isinstance(arguments[0], ast.Tuple | ast.List):
        yield from _joined(node, arguments[0])
    if name in _SLOPE_OF and len(arguments) == 1 and not scope.of_output:
        text = f"{name} itself stands where its slope belongs: {shown(node)}"
        yield Fix(node, _slope_of(name, arguments[0]), "wrong-function", 1.22, text)
    if name in _PAIRS:
        other = _renamed(node, _PAIRS[name])
        yield Fix(node, other, "wrong-function", 1.18, f"another function than {shown(node)}")


def _turned_around(node: ast.Subscript) -> Iterator[Fix]:
    """A kernel that is rotated, ``w[:, :, ::-1, ::-1]``, where that as it is belongs."""
    entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    turned = [n for n, entry in enumerate(entries) if _is_backwards(entry)]
    if len(turned) > 1 and isinstance(node.ctx, ast.Load):
        kept = [ast.Slice() if n in turned else entry for n, entry in enumerate(entries)]
        new = ast.Subscript(node.value, ast.Tuple(kept, ast.Load()), ast.Load())
        yield Fix(node, new, "kernel-rotated", 1.0, f"{_ROTATED}: {shown(node)}")


def _is_backwards(entry: ast.expr) -> bool:
    """Whether an entry of an index is ``::-1``."""
    match entry:
        case ast.Slice(
            lower=None, upper=None, step=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))
        ):
            return True
    return False


_ROTATED = "the kernel is rotated and belongs there as it is"


def _slope_of(name: str, argument: ast.expr) -> ast.expr:
    tree = ast.parse(_SLOPE_OF[name], mode="eval").body
    return _Replaced(argument).visit(tree)  # type: ignore[no-any-return]


class _Replaced(ast.NodeTransformer):
    """Puts an expression in the place of X."""

    def __init__(self, argument: ast.expr) -> None:
        self._argument = argument

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._argument if node.id == "X" else node


def _renamed(node: ast.Call, name: str) -> ast.Call:
    function = node.func
    if isinstance(function, ast.Attribute):
        return ast.Call(ast.Attribute(function.value, name, ast.Load()), node.args, node.keywords)
    return ast.Call(ast.Name(name, ast.Load()), node.args, node.keywords)


def _filled(node: ast.Call, around: Surroundings) -> Iterator[Fix]:
    """Zeros where ones belong, or the other way: as a factor, or what a buffer begins with."""
    name = callee(node.func)
    if name in _FILLED:
        cost = 1.05 if isinstance(around.parent(node)[0], ast.BinOp) else 1.15
        text = f"{name} stands where {_FILLED[name]} belongs: {shown(node)}"
        yield Fix(node, _renamed(node, _FILLED[name]), "constant", cost, text)


def _entries(node: ast.Dict, returned: bool) -> Iterator[Fix]:
    """Values of a dictionary that change places, as gradients that are returned in one."""
    code = "order" if returned else "wrong-tensor"
    for first, second, new in exchanged(node.values):
        text = f"{shown(new[second])} and {shown(new[first])} have changed places"
        yield Fix(node, ast.Dict(node.keys, new), code, 0.9, text)


def _keywords(node: ast.Call) -> Iterator[Fix]:
    """The same in a dictionary that is written with names: ``grads.update(W=dW, b=db)``."""
    if callee(node.func) not in ("dict", "update") or any(k.arg is None for k in node.keywords):
        return
    for first, second, new in exchanged([k.value for k in node.keywords]):
        text = f"{shown(new[second])} and {shown(new[first])} have changed places"
        pairs = zip(node.keywords, new, strict=True)
        keywords = [ast.keyword(k.arg, value) for k, value in pairs]
        yield Fix(node, ast.Call(node.func, node.args, keywords), "order", 0.9, text)


def rearranged(node: ast.expr | ast.stmt) -> Iterator[Fix]:
    """Indices that change places, ``dout[n, f, j, i]``: its sum is the same."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return
    for first, second, new in exchanged(node.slice.elts):
        one, other = node.slice.elts[first], node.slice.elts[second]
        if type(one) is not type(other) or ast.dump(one) == ast.dump(other):
            continue
        text = f"{shown(one)} and {shown(other)} have changed places in {shown(node)}"
        turned = ast.Subscript(node.value, ast.Tuple(new, ast.Load()), node.ctx)
        yield Fix(node, turned, "transposed", 1.1, text)


def exchanged(values: Sequence[ast.expr]) -> Iterator[tuple[int, int, list[ast.expr]]]:
    """Any two of several values exchanged."""
    for first, second in combinations(range(len(values)), 2):
        new = list(values)
        new[first], new[second] = new[second], new[first]
        yield first, second, new


def _orders(node: ast.Call) -> Iterator[Fix]:
    """Axes of a transposition that change places."""
    inner = node.args[0].elts if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) else []
    axes = list(inner) or list(node.args)
    text = f"the axes are in the wrong order: {shown(node)}"
    for _, _, new in exchanged(axes):
        arguments: list[ast.expr] = [ast.Tuple(new, ast.Load())] if inner else new
        yield Fix(node, ast.Call(node.func, arguments, node.keywords), "transposed", 1.1, text)


def _reshaped(node: ast.Call) -> Iterator[Fix]:
    """Axes that had to be put in another order before a change of shape, or after it."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="np" | "numpy")), args=[whole, shape], keywords=[]
        ):
            given = [shape]
        case ast.Call(func=ast.Attribute(value=whole), args=given, keywords=[]):
            pass
        case _:
            return
    sizes = list(given)
    match given:
        case [ast.Tuple(elts=elements) | ast.List(elts=elements)]:
            sizes = list(elements)
    text = f"the axes are in the wrong order where the shape is changed: {shown(node)}"
    for order in _AXIS_ORDERS:
        turned = _method(_permuted(whole, order), "reshape", given)
        yield Fix(node, turned, "transposed", 1.2, text)
        if len(order) == len(sizes):
            # Axis k of what is wanted is axis order[k] of what is made first.
            first = [sizes[order.index(axis)] for axis in range(len(order))]
            made = _permuted(_method(whole, "reshape", first), order)
            yield Fix(node, made, "transposed", 1.2, text)


def _filled_in_order(node: ast.Call) -> Iterator[Fix]:
    """Entries that are taken column by column, as in Fortran, and row by row elsewhere."""
    rest = [keyword for keyword in node.keywords if keyword.arg != "order"]
    text = f"the entries are taken in another order than elsewhere: {shown(node)}"
    if len(rest) < len(node.keywords):
        yield Fix(node, ast.Call(node.func, node.args, rest), "transposed", 1.05, text)
    else:
        columns = ast.keyword("order", ast.Constant("F"))
        yield Fix(node, ast.Call(node.func, node.args, [*rest, columns]), "transposed", 1.24, text)


def _permuted(node: ast.expr, order: Sequence[int]) -> ast.expr:
    return _method(node, "transpose", [ast.Constant(axis) for axis in order])


def _method(node: ast.expr, name: str, arguments: Sequence[ast.expr]) -> ast.Call:
    return ast.Call(ast.Attribute(node, name, ast.Load()), list(arguments), [])


def _joined(node: ast.Call, parts: ast.Tuple | ast.List) -> Iterator[Fix]:
    """Parts of an array that change places: the gates of a cell."""
    for first, second, new in exchanged(parts.elts):
        text = f"{shown(parts.elts[first])} and {shown(parts.elts[second])} have changed places"
        swapped = ast.Call(node.func, [ast.Tuple(new, ast.Load()), *node.args[1:]], node.keywords)
        yield Fix(node, swapped, "order", 1.05, text)


# -- reductions -----------------------------------------------------------------------------


class Reduction(Struct, frozen=True):
    """A sum, mean, maximum, minimum, variance, written ``x.sum(...)`` or ``np.sum(x, ...)``."""

    name: str
    operand: ast.expr
    axis: ast.expr | None
    keeps: bool


def reduction_of(node: ast.expr) -> Reduction | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name, owner, rest = node.func.attr, node.func.value, list(node.args)
    if name not in ("sum", "mean", "max", "min", "var", "std"):
        return None
    operand: ast.expr = owner
    if isinstance(owner, ast.Name) and owner.id in ("np", "numpy"):
        if not rest:
            return None
        operand = rest.pop(0)
    named = {k.arg: k.value for k in node.keywords}
    axis = named.get("axis", rest[0] if rest else None)
    keep = named.get("keepdims")
    return Reduction(name, operand, axis, isinstance(keep, ast.Constant) and bool(keep.value))


def reduced(name: str, operand: ast.expr, axis: ast.expr | None, keeps: bool) -> ast.expr:
    keywords = [ast.keyword("axis", axis)] if axis is not None else []
    if keeps:
        keywords.append(ast.keyword("keepdims", ast.Constant(True)))
    return ast.Call(ast.Attribute(operand, name, ast.Load()), [], keywords)


def _reductions(node: ast.Call, found: Reduction) -> Iterator[Fix]:
    name, operand, axis, keeps = found.name, found.operand, found.axis, found.keeps
    other = {"sum": "mean", "mean": "sum"}.get(name)
    if other is not None:
        code = f"{name}-for-{other}"
        text = f"the {name} stands for the {other}: {shown(node)}"
        yield Fix(node, reduced(other, operand, axis, keeps), code, 1.0, text)
        text = f"a {name} too many: {shown(node)}"
        yield Fix(node, operand, "extra-sum", 1.1, text)
    text = f"the {name} runs over the wrong axis: {shown(node)}"
    for number in _AXES:
        for keep in (False, True):
            new = reduced(name, operand, number_of(number), keep)
            far = "extra-sum" if axis is None else "wrong-axis"
            said = f"the {name} runs over every axis: {shown(node)}" if axis is None else text
            yield Fix(node, new, far, 1.1 + 0.05 * (keep != keeps), said)
    for several in _SEVERAL if axis is not None else ():
        axes: ast.expr = ast.Tuple([ast.Constant(k) for k in several], ast.Load())
        for keep in (keeps, not keeps):
            new = reduced(name, operand, axes, keep)
            said = f"the {name} runs over the wrong axes: {shown(node)}"
            yield Fix(node, new, "wrong-axis", 1.14 + 0.05 * (keep != keeps), said)
    text = f"the {name} leaves out an axis: {shown(node)}"
    if axis is not None:
        yield Fix(node, reduced(name, operand, None, False), "wrong-axis", 1.2, text)
        text = f"the wrong dimensions are kept: {shown(node)}"
        yield Fix(node, reduced(name, operand, axis, not keeps), "wrong-axis", 1.1, text)


def number_of(value: int) -> ast.expr:
    if value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _reduced(node: ast.expr, around: Surroundings) -> Iterator[Fix]:
    """A sum that is missing."""
    if reduction_of(node) is not None:
        return
    parents = [parent for parent, _ in islice(around.above(node), 2)]
    outer = [found for p in parents if isinstance(p, ast.expr) and (found := reduction_of(p))]
    # Of what is summed already another axis is the plainer mistake.
    more = 0.2 * any(found.operand is node for found in outer)
    text = f"a sum or a mean is missing around {shown(node)}"
    for name, cost in (("sum", 1.15 + more), ("mean", 1.2 + more)):
        yield Fix(node, reduced(name, node, None, False), "missing-sum", cost + 0.05, text)
        for number in (0, 1, -1):
            for keeps in (False, True):
                new = reduced(name, node, number_of(number), keeps)
                yield Fix(node, new, "missing-sum", cost, text)


# -- functions ------------------------------------------------------------------------------


def _wrapped(node: ast.expr, scope: Scope) -> Iterator[Fix]:
    """A function that is missing."""
    if isinstance(node, ast.Call) and callee(node.func) in ("zeros", "zeros_like", "ones_like"):
        return
    for name in _FUNCTIONS:
        called = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
        text = f"a function is missing around {shown(node)}"
        yield Fix(node, ast.Call(called, [node], []), "wrong-function", 1.4, text)
    for name in scope.functions:
        text = f"a function is missing around {shown(node)}"
        new = ast.Call(ast.Name(name, ast.Load()), [node], [])
        yield Fix(node, new, "wrong-function", 1.35, text)


def _emptied(node: ast.expr) -> Iterator[Fix]:
    """A buffer that was not empty."""
    text = f"the sum does not begin at zero but at {shown(node)}"
    cost = 1.05 if isinstance(node, ast.Name | ast.Attribute) else 1.2
    for name in ("zeros_like", "zeros"):
        called = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
        yield Fix(node, ast.Call(called, [node], []), "accumulated", cost, text)


def _is_whole(node: ast.expr, scope: Scope, around: Surroundings) -> bool:
    """Whether a node is an array that something may be missing around."""
    if not isinstance(node, ast.Name | ast.Attribute | ast.BinOp | ast.Call | ast.Subscript):
        return False
    if isinstance(node, ast.Name | ast.Attribute) and not scope.label(node):
        return isinstance(node, ast.Attribute) and node.attr in ("shape", "T")
    parent, name = around.parent(node)
    if isinstance(parent, ast.Attribute | ast.Starred) or (
        isinstance(parent, ast.Call) and name == "func"
    ):
        return False
    value = scope.value(node)
    return value is None or value.kind in ("array", "mask", "entry")


def _may_be_transposed(node: ast.expr, around: Surroundings) -> bool:
    """Operands of a product of matrices, and whole results."""
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return False
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.BinOp):
        return False
    parent, name = around.parent(node)
    match parent:
        case ast.BinOp(op=ast.MatMult()):
            return True
        case ast.Call(func=function):
            return callee(function) in ("dot", "matmul", "outer") and name == "args"
        case ast.Attribute(attr="dot"):
            return not (isinstance(node, ast.Name) and node.id in ("np", "numpy"))
        case ast.Assign() | ast.Return() | ast.AugAssign():
            return True
        case ast.Tuple():
            return isinstance(around.parent(parent)[0], ast.Return)
    return False
