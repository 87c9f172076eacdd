"""Another value where one belongs, and values that are missing: a factor, a term, a mask."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradtool.check.repairs.arithmetic import MEANING, is_shape
from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.scope import Scope, Surroundings, Value, callee, node_of
from gradtool.records import replace

_NUMBERS = frozenset({"whole", "number"})
_ARRAYS = frozenset({"array", "mask", "entry"})
_UNREAD = 0.1  # what is computed and not used was meant to be


def fixes(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """Another name."""
    label, own = scope.label(node), scope.value(node)
    if own is None or not _is_read(node, around):
        yield from _keys(node, around)
        return
    role = around.role(node)
    for other, value in scope.values.items():
        if other == label or not _alike(own, value):
            continue
        if _is_one(node, value, around):
            continue  # another size that is 1 is none: a division that does not belong
        new = node_of(other)
        said = "{} than {} in {}"
        sized = role == "shape"  # of an array only the size counts there
        if sized or (role in MEANING and own.kind in _NUMBERS):
            (code, what), said = MEANING[role], "{}: {} in {}"
        elif own.kind in _NUMBERS:
            code, what = "scale", "another number belongs there"
        else:
            code = wrong_value(label, other, scope)
            what = "another value belongs there"
        same = own.shape == value.shape and own.kind == value.kind
        likely = _UNREAD if other in around.unread else 0.0
        parent, _ = around.parent(node)
        place = shown(parent) if isinstance(parent, ast.expr) else shown(node)
        cost = (1.2 if same else 1.4) - likely
        if (
            sized and own.kind in _NUMBERS
        ):  # a size is another one; a sum over what it makes too large is far off
            cost = 1.1
        yield Fix(node, new, code, cost, said.format(what, label, place))


def _is_pi(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "pi"


def _is_one(node: ast.expr, value: Value, around: Surroundings) -> bool:
    """Whether with another array ``x.shape[k]`` is the size of an axis of one."""
    parent, _ = around.parent(node)
    if not isinstance(parent, ast.Attribute) or parent.attr != "shape":
        return False
    match around.parent(parent)[0]:
        case ast.Subscript(slice=ast.Constant(value=int(axis))) if axis < len(value.shape):
            return value.shape[axis] == 1
    return False


def wrong_value(label: str, other: str, scope: Scope) -> str:
    """The code of a name that stands where another one belongs."""
    return "wrong-gradient" if {label, other} & scope.gradients else "wrong-tensor"


def missing(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """A name that is missing beside a node."""
    role = around.role(node)
    yield from _masked(node, scope, around, 0, 1.27)
    if role in ("index", "range"):
        yield from _steps(node, scope, around)
    if role == "exponent" and isinstance(node, ast.Name) and scope.is_number(node):
        for op in (ast.Sub(), ast.Add()):
            text = f"the wrong power: {shown(around.parent(node)[0])}"
            yield Fix(node, ast.BinOp(node, op, ast.Constant(1)), "power", 1.15, text)
    if role != "value":
        return
    own = scope.value(node)
    if own is not None and own.kind == "number":  # the share that is dropped, not what is kept
        rest = ast.BinOp(ast.Constant(1), ast.Sub(), node)
        yield Fix(node, rest, "scale", 1.15, f"{shown(node)} stands where the rest to 1 belongs")
    operand = _is_operand(node, scope, around)
    whole = own is not None and own.kind == "array" and not scope.holds_gradient(node)
    if whole and (operand or _is_multiplied(node, around)):
        rest = ast.BinOp(ast.Constant(1), ast.Sub(), node)
        text = f"{shown(node)} stands where the rest to 1 belongs"
        yield Fix(node, rest, "missing-term", 1.2 if operand else 1.24, text)
    yield from _along_columns(node, node, scope, around, 1.15)
    term = is_term(node, scope, around)
    if (term and not scope.is_number(node)) or _is_pi(node):
        for factor in (ast.Constant(2), ast.Constant(0.5)):
            text = f"a number is missing as a factor of {shown(node)}"
            yield Fix(node, ast.BinOp(factor, ast.Mult(), node), "scale", 1.22, text)
    for label, value in scope.values.items():
        if value.kind not in _ARRAYS | _NUMBERS or label == scope.label(node):
            continue
        likely = _UNREAD if label in around.unread else 0.0
        if term:
            found = _beside(node, node_of(label), value, scope, around)
        elif likely and _is_operand(node, scope, around):
            found = _added(node, node_of(label), scope)
        else:
            continue
        for fix in found:
            yield replace(fix, cost=fix.cost - likely)


def _along_columns(
    node: ast.expr, other: ast.expr, scope: Scope, around: Surroundings, cost: float
) -> Iterator[Fix]:
    """A number for each row, which meets the columns: ``d / std`` for ``d / std[:, None]``."""
    own, value = scope.value(node), scope.value(other)
    flat = own is not None and value is not None and len(own.shape) == len(value.shape) == 1
    parent, _ = around.parent(node)
    if flat and isinstance(parent, ast.BinOp) and not isinstance(parent.op, ast.MatMult):
        index = ast.Tuple([ast.Slice(), ast.Constant(None)], ast.Load())
        code, text = "wrong-axis", f"{shown(node)} meets the wrong axis in {shown(parent)}"
        if other is not node:
            code, text = "wrong-tensor", f"another value belongs there than {shown(node)}"
        yield Fix(node, ast.Subscript(other, index, ast.Load()), code, cost, text)


def _masked(
    node: ast.expr, scope: Scope, around: Surroundings, bound: int, cost: float
) -> Iterator[Fix]:
    """A value that stands for the mask that is made of it."""
    value = scope.value(node)
    whole = value is not None and value.kind == "array" and not scope.of_output
    if whole and _is_read(node, around):
        relation = ast.Compare(node, [ast.Gt()], [ast.Constant(bound)])
        yield Fix(node, relation, "mask", cost, f"{shown(node)} itself stands for a mask")


def further(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """More than a name that is missing beside a node: a power, a slope, an operand of a product."""
    yield from _masked(node, scope, around, 1, 1.45)
    yield from _operands(node, scope, around)
    yield from _places(node, scope, around)
    yield from _first_step(node, scope, around)
    own = scope.value(node)
    if own is not None and around.role(node) == "value" and _is_operand(node, scope, around):
        for label in scope.values:
            if label != scope.label(node):
                yield from _along_columns(node, node_of(label), scope, around, 1.4)
        for label, value in scope.values.items():
            if value == own and label != scope.label(node):
                for fix in _added(node, node_of(label), scope):
                    yield replace(fix, cost=fix.cost + 0.12)
    if around.role(node) != "value" or not is_term(node, scope, around):
        return
    one, text = ast.Constant(1), f"a factor is missing beside {shown(node)}"
    for power in (2, 3, -1, -2, -3, 0.5):
        raised = ast.BinOp(node, ast.Pow(), ast.Constant(power))
        cost = 1.36 if power == 2 else 1.45
        yield Fix(node, raised, "power", cost, f"the wrong power: {shown(node)}")
    for label, value in scope.values.items():
        if value.kind == "number":
            raised = ast.BinOp(node, ast.Pow(), node_of(label))
            yield Fix(node, raised, "power", 1.45, f"the wrong power: {shown(node)}")
    yield from _averaged(node, scope)
    turned = ast.BinOp(one, ast.Sub(), node)
    yield Fix(node, turned, "missing-term", 1.4, f"a term is missing beside {shown(node)}")
    for label, value in scope.values.items():
        if value.kind not in _ARRAYS:
            continue
        other = node_of(label)
        square = ast.BinOp(other, ast.Pow(), ast.Constant(2))
        slope = ast.BinOp(one, ast.Sub(), other)
        code = _lost(other, node, scope)
        for factor in (
            slope,
            square,
            ast.BinOp(one, ast.Sub(), square),
            ast.BinOp(other, ast.Mult(), slope),
        ):
            yield Fix(node, ast.BinOp(node, ast.Mult(), factor), code, 1.45, text)
        for order in () if scope.of_output else (ast.Gt(), ast.Lt()):
            mask = ast.Compare(other, [order], [ast.Constant(0)])
            yield Fix(node, ast.BinOp(node, ast.Mult(), mask), "mask-missing", 1.4,
                      f"a mask is missing beside {shown(node)}")  # fmt: skip
        if value.kind == "array" and len(value.shape) >= 1:
            yield from _products(node, other, code)
    for part in around.entries:
        if not any(ast.dump(inner) == ast.dump(part) for inner in ast.walk(node)):
            factor = ast.BinOp(node, ast.Mult(), part)
            yield Fix(node, factor, _lost(part, node, scope), 1.4, text)
    for part in around.parts:
        if not any(inner is part for inner in ast.walk(node)):
            code = _lost(part, node, scope)
            yield Fix(node, ast.BinOp(node, ast.Mult(), part), code, 1.5, text)
            yield from _products(node, part, code)


def _operands(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """A value with a name in place of an expression that is an operand of a product."""
    parent, name = around.parent(node)
    match parent:
        case ast.BinOp(op=ast.MatMult()) | ast.Attribute(attr="T" | "dot"):
            pass
        case ast.Call(func=ast.Attribute(attr="dot" | "matmul" | "outer")) if name == "args":
            pass
        case _:
            return
    if isinstance(node, ast.BinOp | ast.Call | ast.Subscript):
        text = f"another value belongs there than {shown(node)}"
        for label, value in scope.values.items():
            if value.kind == "array":
                other = node_of(label)
                gradient = scope.holds_gradient(other) or scope.holds_gradient(node)
                code = "wrong-gradient" if gradient else "wrong-tensor"
                yield Fix(node, other, code, 1.42, text)


def _places(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """Labels with a name in place of an expression: the likeliest class for the true one."""
    parent, _ = around.parent(node)
    if isinstance(parent, ast.Tuple):
        parent, _ = around.parent(parent)
    if not isinstance(node, ast.Call) or not isinstance(parent, ast.Subscript):
        return
    for label, value in scope.values.items():
        if value.kind == "array" and around.role(node) == "index":
            text = f"other places are meant than {shown(node)}"
            yield Fix(node, node_of(label), "wrong-tensor", 1.4, text)


def _averaged(node: ast.expr, scope: Scope) -> Iterator[Fix]:
    """A mean over all entries of an array, over its rows, or over the entries of a row."""
    arrays = (n for n in ast.walk(node) if (v := scope.value(n)) and v.kind == "array" and v.shape)
    whole = next(arrays, None)
    if not isinstance(whole, ast.expr) or scope.of_output:
        return
    size = ast.Attribute(whole, "size", ast.Load())
    rows = ast.Call(ast.Name("len", ast.Load()), [whole], [])
    text = f"a division by a number of entries is missing: {shown(node)}"
    for number in (size, rows, ast.BinOp(size, ast.Div(), rows)):
        yield Fix(node, ast.BinOp(node, ast.Div(), number), "sum-for-mean", 1.4, text)


def _first_step(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """What is one step before, ``h[t - 1]``: of the first step it is the last one's."""
    if not isinstance(node, ast.Subscript) or around.role(node) != "value":
        return
    for part in ast.walk(node.slice):
        match part:
            case ast.BinOp(left=ast.Name() as step, op=ast.Sub(), right=ast.Constant(value=1)):
                text = f"the first step has none before it: {shown(node)} is the last one's there"
                later = ast.Compare(step, [ast.Gt()], [ast.Constant(0)])
                begins = [node_of(n) for n, value in scope.values.items() if value.kind == "array"]
                for begin in [*begins, ast.BinOp(ast.Constant(0), ast.Mult(), node)]:
                    yield Fix(node, ast.IfExp(later, node, begin), "offset", 1.4, text)


def _products(node: ast.expr, other: ast.expr, code: str) -> Iterator[Fix]:
    turned = ast.Attribute(other, "T", ast.Load())
    text = f"an operand of a product is missing beside {shown(node)}"
    for left, right in ((other, node), (turned, node), (node, other), (node, turned)):
        yield Fix(node, ast.BinOp(left, ast.MatMult(), right), code, 1.5, text)


def _is_read(node: ast.expr, around: Surroundings) -> bool:
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    parent, name = around.parent(node)
    return not (isinstance(parent, ast.Call) and name == "func")


def _alike(own: Value, other: Value) -> bool:
    if own.kind in _NUMBERS:
        return other.kind in _NUMBERS
    return own.kind in _ARRAYS and other.kind in _ARRAYS


def _keys(node: ast.expr, around: Surroundings) -> Iterator[Fix]:
    """Another key of a dict."""
    for new in keyed(node, around):
        text = f"another value belongs there than {shown(node)}"
        yield Fix(node, new, "wrong-tensor", 1.2, text)


def keyed(node: ast.expr, around: Surroundings) -> Iterator[ast.Subscript]:
    """What stands in a dict beside an entry of it, by keys that the function reads."""
    match node:
        case ast.Subscript(value=owner, slice=ast.Constant(value=str(key)), ctx=ast.Load()):
            for other in around.keys:
                if other != key:
                    yield ast.Subscript(owner, ast.Constant(other), ast.Load())


def is_term(node: ast.expr, scope: Scope, around: Surroundings) -> bool:
    """Whether a factor may be missing beside a node, and would not be the same elsewhere."""
    if isinstance(node, ast.Name | ast.Attribute):
        value = scope.value(node)
        if value is None:
            return isinstance(node, ast.Attribute) and node.attr == "T"
        if value.kind not in _ARRAYS | _NUMBERS or not isinstance(node.ctx, ast.Load):
            return False
    elif isinstance(node, ast.Subscript):
        if not isinstance(node.ctx, ast.Load):
            return False
    elif not isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call | ast.Constant):
        return False
    parent, name = around.parent(node)
    match parent:
        case ast.Assign() | ast.AugAssign() | ast.Return() | ast.keyword():
            return True
        case ast.Tuple():
            return isinstance(around.parent(parent)[0], ast.Return | ast.Assign)
        case ast.Call():
            return name == "args"
        case ast.Attribute(attr=attribute):
            return attribute in ("T", "dot", "sum", "mean")
        case ast.BinOp(op=ast.Mult()):
            return False  # beside the whole product it is the same
        case ast.BinOp(op=ast.Div()):
            return name == "right"
        case ast.BinOp():
            return True
        case ast.Subscript():
            return name == "value"
    return False


def _beside(
    node: ast.expr, other: ast.expr, value: Value, scope: Scope, around: Surroundings
) -> Iterator[Fix]:
    text = f"a factor is missing beside {shown(node)}"
    code = _lost(other, node, scope)
    if value.kind in _NUMBERS:
        yield Fix(node, ast.BinOp(node, ast.Div(), other), "sum-for-mean", 1.2,
                  f"a division by a number is missing: {shown(node)}")  # fmt: skip
        yield Fix(node, ast.BinOp(node, ast.Mult(), other), "scale", 1.25, text)
        if scope.is_number(node):
            yield Fix(node, ast.BinOp(other, ast.Div(), node), "scale", 1.34, text)
    elif not scope.is_number(node):
        yield Fix(node, ast.BinOp(node, ast.Mult(), other), code, 1.25, text)
        lost, said = "missing-factor", f"a division is missing: {shown(node)}"
        if scope.label(other) in around.factors_of(scope.label(node)):
            lost, said = "extra-factor", f"{shown(other)} does not belong in {shown(node)}"
        yield Fix(node, ast.BinOp(node, ast.Div(), other), lost, 1.28, said)
        yield Fix(node, ast.BinOp(other, ast.Div(), node), code, 1.45, text)
    if scope.is_number(node) and value.kind in _NUMBERS:
        return
    yield from _added(node, other, scope)


def _added(node: ast.expr, other: ast.expr, scope: Scope) -> Iterator[Fix]:
    lost = "missing-path" if scope.holds_gradient(other) else "missing-term"
    text = f"a term is missing beside {shown(node)}"
    for op, left, right in (
        (ast.Add(), node, other),
        (ast.Sub(), node, other),
        (ast.Sub(), other, node),
    ):
        yield Fix(node, ast.BinOp(left, op, right), lost, 1.3, text)


def _is_operand(node: ast.expr, scope: Scope, around: Surroundings) -> bool:
    """Whether a node is an array of a product or quotient: a term beside it is another one than
    beside the whole."""
    parent, _ = around.parent(node)
    return (
        isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
        and isinstance(parent, ast.BinOp)
        and isinstance(parent.op, ast.Mult | ast.Div)
        and not scope.is_number(node)
        and isinstance(node.ctx, ast.Load)
    )


def _is_multiplied(node: ast.expr, around: Surroundings) -> bool:
    """Whether a node is an operand of a product of matrices or of vectors."""
    parent, name = around.parent(node)
    match parent:
        case ast.BinOp(op=ast.MatMult()):
            return True
        case ast.Call(func=function):
            products = ("outer", "dot", "matmul", "einsum", "tensordot")
            return name == "args" and callee(function) in products
    return False


def _lost(other: ast.expr, node: ast.expr, scope: Scope) -> str:
    """The code of a factor that is missing."""
    if scope.is_mask(other):
        return "mask-missing"
    if scope.holds_gradient(other) and not scope.holds_gradient(node):
        return "upstream-ignored"
    return "missing-factor"


def _steps(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """A place that is off: a stride or a step that is missing."""
    role = around.role(node)
    parent, _ = around.parent(node)
    if not isinstance(node, ast.Name | ast.BinOp | ast.Constant) or isinstance(parent, ast.BinOp):
        return
    if not scope.is_number(node):
        return
    code, what = MEANING[role]
    if is_shape(parent):
        code, what = "wrong-axis", "the size of another axis"
    text = f"{what}: {shown(node)}"
    stride = f"a stride is missing beside {shown(node)}" if role == "index" else text
    for label, value in scope.values.items():
        if value.kind != "whole" or label == scope.label(node):
            continue
        other = node_of(label)
        times = "stride-ignored" if code == "offset" else code
        yield Fix(node, ast.BinOp(node, ast.Mult(), other), times, 1.15, stride)
        yield Fix(node, ast.BinOp(node, ast.Add(), other), code, 1.25, text)
        yield Fix(node, ast.BinOp(node, ast.Sub(), other), code, 1.25, text)
    for op in (ast.Add(), ast.Sub()):
        yield Fix(node, ast.BinOp(node, op, ast.Constant(1)), code, 1.15, text)
