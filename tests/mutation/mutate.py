"""Every single change of a backward function that a table of operators allows.

An operator yields the changed node, the causes that are a right answer for the change, and what
kind of change it is.  The table knows Python and NumPy, and nothing of how causes are found.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np

Values = Mapping[str, Any]
GRADIENTS = "names of gradients"  # no name of a variable
HELD_OUT = "heldout"
Change = tuple[ast.AST | None, frozenset[str], str]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed file; `accepted` are the codes that name the change rightly.

    `alike` are those that name another change which gives the same numbers.
    """

    layer: str
    line: int
    kind: str
    before: str
    after: str
    text: str
    accepted: frozenset[str]
    alike: frozenset[str] = frozenset()
    held_out: bool = False

    @property
    def identity(self) -> str:
        return f"{self.layer}:{self.line}:{self.kind}:{self.before} -> {self.after}"

    @property
    def half(self) -> str:
        """ "seen" while the causes were written, "unseen" until they were finished.

        "heldout" are all mutants of the layers that were added after both, to be judged once.
        """
        if self.held_out:
            return HELD_OUT
        digest = sha256(self.identity.encode()).digest()
        return "seen" if digest[0] % 2 else "unseen"


NUMERIC = frozenset({"scale", "mean-for-sum", "sum-for-mean", "regulariser"})
INVERTED = frozenset({"inverted-factor", "power"})
# A power that is one too small is a factor that is missing.
EXPONENT = INVERTED | {"missing-factor"}
ADDED = frozenset({"missing-path", "missing-term", "regulariser"})
LEFT_OUT = frozenset({"missing-factor"})
AXIS = frozenset({"wrong-axis"})
TRANSPOSED = frozenset({"transposed", "swapped-order"})
MASK = frozenset({"mask", "mask-missing"})
PLACE = frozenset({"offset", "stride-ignored", "padding", "some-entries", "skipped"})
OPERATOR = frozenset({"operator"})
SIGN = frozenset({"sign"})
TENSOR = frozenset({"wrong-tensor", "wrong-gradient", "wrong-point"})


def mutants(layer: str, text: str, values: Values) -> list[Mutant]:
    """All mutants of the function `backward` in `text`, without repetitions.

    `values` are its local variables at the end of one run.
    """
    tree = ast.parse(text)
    function = next(
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "backward"
    )
    found: dict[str, Mutant] = {}
    values = {**values, GRADIENTS: _gradients(function)}
    for target in ast.walk(function):
        if target is function or isinstance(target, ast.arguments | ast.arg):
            continue
        parents = _parents(function, target)
        for operator in OPERATORS:
            for new, accepted, kind in operator(target, parents, values):
                changed = _replaced(tree, target, new)
                if changed is None or changed == ast.unparse(tree):
                    continue
                if changed in found:  # two operators make one change: either's words are right
                    both = found[changed].accepted | accepted
                    found[changed] = replace(found[changed], accepted=both)
                    continue
                line = getattr(target, "lineno", getattr(parents[-1], "lineno", 0))
                before, after = _shown(target), "nothing" if new is None else _shown(new)
                found[changed] = Mutant(layer, line, kind, before, after, changed, accepted)
    return list(found.values())


def _shown(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except Exception:
        return type(node).__name__


def _parents(root: ast.AST, target: ast.AST) -> list[ast.AST]:
    """The chain from `root` to the parent of `target`."""

    def search(node: ast.AST, chain: list[ast.AST]) -> list[ast.AST] | None:
        for child in ast.iter_child_nodes(node):
            if child is target:
                return [*chain, node]
            below = search(child, [*chain, node])
            if below is not None:
                return below
        return None

    return search(root, []) or [root]


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        if node is self.old:
            if self.new is None:
                return ast.Pass()
            return self.new
        return self.generic_visit(node)


def _replaced(tree: ast.Module, old: ast.AST, new: ast.AST | None) -> str | None:
    memo: dict[int, Any] = {}
    whole = copy.deepcopy(tree, memo)
    twin = memo[id(old)]
    fresh = None if new is None else copy.deepcopy(new)
    try:
        text = ast.unparse(ast.fix_missing_locations(_Swap(twin, fresh).visit(whole)))
        ast.parse(text)
    except (SyntaxError, AttributeError, TypeError, ValueError):
        return None
    return text


def _value(node: ast.AST, values: Values) -> Any:
    """What an expression is worth in the locals of one run; None where that cannot be told."""
    try:
        code = compile(ast.Expression(copy.deepcopy(node)), "value", "eval")  # type: ignore[arg-type]
        held = {n.removeprefix("self."): v for n, v in values.items() if n.startswith("self.")}
        return eval(code, {"np": np, "self": SimpleNamespace(**held), **values})
    except Exception:
        return None


def _is_number(node: ast.AST, values: Values) -> bool:
    """Whether a node is a number by itself: what is taken out of an array is a value of it."""
    value = _value(node, values)
    if value is None or isinstance(value, tuple) or np.ndim(value) != 0:
        return False
    labels = [_label(n) for n in ast.walk(node) if isinstance(n, ast.Name) or _is_self(n)]
    held = [values[label] for label in labels if label in values]
    return all(not isinstance(h, np.floating) for h in held) and not any(
        isinstance(n, ast.Subscript) and isinstance(_value(n, values), np.floating)
        for n in ast.walk(node)
    )


def _binop(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.BinOp:
    return ast.BinOp(left, op, right)


def operators(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Another operator, or one operand alone."""
    if not isinstance(node, ast.BinOp) or _in_index(node, parents):
        return
    left, op, right = node.left, node.op, node.right
    if _is_place(node, parents, values):
        return
    number = _is_number(right, values) or _is_number(left, values)
    match op:
        case ast.Add() | ast.Sub():
            other: ast.operator = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
            power = EXPONENT if _is_exponent(node, parents) else frozenset[str]()
            yield _binop(left, other, right), SIGN | power, "sign"
            yield _binop(left, ast.Mult(), right), OPERATOR | power, "operator"
            # A number alone is left of `1 - a`: as a factor it says nothing any more.
            gone = _lost(right, left, values) if _is_number(left, values) else frozenset[str]()
            yield left, ADDED | gone, "left out"
            gone = _lost(left, right, values) if _is_number(right, values) else gone
            # Of `a = a + b` the = alone is left of +=.
            plain = {"overwritten"} if _is_given_to(left, parents[-1]) else set()
            yield right, ADDED | SIGN | gone | plain, "left out"
        case ast.Mult() | ast.Div():
            other = ast.Div() if isinstance(op, ast.Mult) else ast.Mult()
            yield _binop(left, other, right), NUMERIC | INVERTED if number else INVERTED, "inverted"
            both = _is_number(left, values) and _is_number(right, values)
            accepted = OPERATOR | NUMERIC if both else OPERATOR
            if ast.dump(left) == ast.dump(right):  # y + y is 2 y, a power of 1
                accepted |= {"power"}
            yield _binop(left, ast.Add(), right), accepted, "operator"
            for kept, lost in ((left, right), (right, left)):
                accepted = NUMERIC if _is_number(lost, values) else _lost(lost, kept, values)
                if kept is right and isinstance(op, ast.Div):
                    accepted = accepted | INVERTED
                if isinstance(op, ast.Mult) and ast.dump(left) == ast.dump(right):
                    accepted = accepted | {"power"}  # of y * y a y is left
                if _has_name(node, values):  # what is left stands where that value belongs
                    accepted = accepted | TENSOR
                yield kept, accepted, "left out"
        case ast.Pow():
            yield _binop(left, ast.Mult(), right), INVERTED | OPERATOR | SIGN, "operator"
            yield left, EXPONENT, "left out"
        case ast.MatMult():
            yield _binop(right, op, left), TRANSPOSED, "swapped"
            yield _binop(left, ast.Mult(), right), OPERATOR | {"missing-sum"}, "operator"


def signs(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """No minus."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        exponent = _is_exponent(node, parents)
        accepted = EXPONENT if exponent else AXIS if _in_shape(parents) else SIGN
        yield node.operand, accepted, "sign"


def constants(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Another number."""
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value), AXIS | TRANSPOSED, "constant"
        return
    if not isinstance(value, int | float):
        return
    if any(isinstance(p, ast.Compare) for p in parents):  # also one that chooses entries
        accepted = MASK
    elif _in_index(node, parents):
        accepted = AXIS if _in_shape(parents) else PLACE | {"label-shift"}
    elif _in_keyword(parents, "axis"):
        accepted = AXIS | {"extra-sum", "missing-sum"}
    elif _is_exponent(node, parents):
        accepted = EXPONENT
    elif any(_is_range(p) for p in parents):
        accepted = PLACE
    else:
        accepted = NUMERIC | {"constant", "missing-term", "missing-path"}
    for new in (value + 1, value - 1):
        if not (_is_exponent(node, parents) and value == 1 and new == 0):
            turned = SIGN if new == -value else frozenset[str]()
            yield ast.Constant(new), accepted | turned, "constant"
    if isinstance(value, float):
        yield ast.Constant(value * 2), accepted, "constant"


def names(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Another local variable of the same shape."""
    inside = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    owner = isinstance(node, ast.Attribute) and _is_self(node) and isinstance(node.ctx, ast.Load)
    if not inside and not owner:
        return
    own = values.get(_label(node))
    if not isinstance(own, np.ndarray) or isinstance(parents[-1], ast.Tuple):
        return
    accepted = TENSOR | _lost(node, None, values) if _in_product(parents) else TENSOR
    for name, value in values.items():
        same = isinstance(value, np.ndarray) and value.shape == own.shape
        if name != _label(node) and same and "." not in name:
            # A later gradient where an earlier one belongs: what lies between is missing.
            between = name.startswith("d")
            more = frozenset(_lost(node, ast.Name(name), values) | LEFT_OUT if between else ())
            more |= _lost(node, ast.Name(name), values) & {"upstream-ignored"}
            if inside or name != "self":
                yield ast.Name(name, ast.Load()), accepted | more, "name"
        elif name != _label(node) and same:
            yield _attribute(name), accepted, "name"


def transposes(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """A .T less, or one more at an operand of a product."""
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value, TRANSPOSED, "transpose"
        return
    operand = isinstance(parents[-1], ast.BinOp) and isinstance(parents[-1].op, ast.MatMult)
    dotted = isinstance(parents[-1], ast.Call) and _callee(parents[-1]) == "dot"
    if isinstance(node, ast.Name) and (operand or dotted) and node.id != "np":
        yield ast.Attribute(node, "T", ast.Load()), TRANSPOSED, "transpose"


def calls(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Another reduction, no reduction, swapped arguments, keywords left out."""
    if not isinstance(node, ast.Call):
        return
    callee = _callee(node)
    if callee in ("sum", "mean"):
        other = {"sum": "mean-for-sum", "mean": "sum-for-mean"}[callee]
        new = copy.deepcopy(node)
        assert isinstance(new.func, ast.Attribute)
        new.func.attr = "mean" if callee == "sum" else "sum"
        yield new, frozenset({other, "scale"}), "reduction"
        inner = _argument(node)
        if inner is not None:
            yield inner, frozenset({"missing-sum"}), "reduction"
    for keyword in node.keywords:
        new = copy.deepcopy(node)
        new.keywords = [k for k in new.keywords if k.arg != keyword.arg]
        accepted = AXIS | {"extra-sum"} if keyword.arg == "axis" else AXIS | TRANSPOSED
        yield new, frozenset(accepted), "keyword"
    if callee in ("dot", "outer", "maximum", "minimum") and len(node.args) == 2:
        swapped = ast.Call(node.func, node.args[::-1], node.keywords)
        yield swapped, TRANSPOSED, "swapped"
    elif callee not in ("sum", "mean", "copy", "range", "len") and len(node.args) == 1:
        accepted = frozenset({"wrong-function", "accumulated", *MASK})
        accepted |= NUMERIC if _is_number(node, values) else frozenset()
        if callee == "reversed":
            accepted = frozenset({"step-order"})
        if callee == "dot" and isinstance(node.func, ast.Attribute):  # one operand is left
            accepted = _lost(node.func.value, node.args[0], values) | TENSOR
        yield node.args[0], accepted, "function"


def comparisons(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Another relation, or none."""
    if not isinstance(node, ast.Compare):
        return
    for op in (ast.Gt(), ast.GtE(), ast.Lt(), ast.NotEq(), ast.Eq()):
        if type(op) is not type(node.ops[0]):
            yield ast.Compare(node.left, [op], node.comparators), MASK, "relation"
    yield node.left, MASK | {"wrong-tensor"}, "relation"


def statements(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """No accumulation, another one, or no statement."""
    if isinstance(node, ast.AugAssign):
        adding = isinstance(node.op, ast.Add | ast.Sub)
        number = _is_number(node.value, values)
        looped = any(isinstance(p, ast.For) for p in parents)
        plain = ast.Assign([node.target], node.value)
        lost = NUMERIC if number else _lost(node.value, node.target, values)
        gone = ADDED if adding else lost
        overwritten = frozenset({"overwritten"}) if looped else ADDED | OPERATOR | TENSOR
        turned = SIGN if isinstance(node.op, ast.Sub) else frozenset[str]()
        if not adding:  # of a *= b the b is left: the factor a is missing
            turned = OPERATOR | NUMERIC | _lost(node.target, node.value, values)
        yield plain, overwritten | {"overwritten"} | turned, "assigned"
        yield None, gone | ({"zero"} if looped else frozenset()), "left out"
        flipped: ast.operator = {
            ast.Add: ast.Sub,
            ast.Sub: ast.Add,
            ast.Mult: ast.Div,
            ast.Div: ast.Mult,
        }[type(node.op)]()
        new = ast.AugAssign(node.target, flipped, node.value)
        yield new, SIGN if adding else NUMERIC | INVERTED, "sign" if adding else "inverted"
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        yield None, frozenset({"zero", "missing-path"}), "left out"
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node.value)):
            yield None, NUMERIC | _lost(node.value, None, values), "left out"


def results(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Two results change places."""
    if isinstance(node, ast.Tuple) and isinstance(parents[-1], ast.Return):
        for place in range(len(node.elts) - 1):
            new = list(node.elts)
            new[place : place + 2] = new[place + 1], new[place]
            yield ast.Tuple(new, ast.Load()), frozenset({"order", "wrong-gradient"}), "order"


def ranges(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """A loop that stops one early or begins one late."""
    if _is_range(node) and isinstance(node, ast.Call) and len(node.args) == 1:
        stop = node.args[0]
        early = _binop(stop, ast.Sub(), ast.Constant(1))
        yield ast.Call(node.func, [early], []), PLACE, "range"
        yield ast.Call(node.func, [ast.Constant(1), stop], []), PLACE, "range"


def places(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Arithmetic of a place that a loop counts in: p = i * stride."""
    if isinstance(node, ast.BinOp) and _is_place(node, parents, values):
        for op in (ast.Add(), ast.Sub(), ast.Mult()):
            if type(op) is not type(node.op):
                yield _binop(node.left, op, node.right), PLACE | OPERATOR, "operator"
        yield node.left, PLACE, "left out"
        yield node.right, PLACE, "left out"


def indices(node: ast.AST, parents: list[ast.AST], values: Values) -> Iterator[Change]:
    """Arithmetic inside an index."""
    if isinstance(node, ast.BinOp) and _in_index(node, parents):
        yield node.left, PLACE, "index"
        if isinstance(node.op, ast.Add):
            yield _binop(node.left, ast.Sub(), node.right), PLACE, "index"
        if isinstance(node.op, ast.Mult):
            yield _binop(node.left, ast.Add(), node.right), PLACE, "index"


OPERATORS: tuple[Callable[[ast.AST, list[ast.AST], Values], Iterator[Change]], ...] = (
    operators, signs, constants, names, transposes, calls, comparisons, statements, results,
    ranges, indices, places,
)  # fmt: skip


def _in_shape(parents: list[ast.AST]) -> bool:
    """Whether a number, or the minus before it, chooses an axis of a shape."""
    above = [p for p in parents if not isinstance(p, ast.UnaryOp)]
    return bool(above) and _is_shape(above[-1])


def _in_index(node: ast.AST, parents: list[ast.AST]) -> bool:
    chain = [*parents, node]
    return any(
        isinstance(p, ast.Subscript) and chain[k + 1] is p.slice for k, p in enumerate(chain[:-1])
    )


def _in_keyword(parents: list[ast.AST], name: str) -> bool:
    return any(isinstance(p, ast.keyword) and p.arg == name for p in parents)


def _in_product(parents: list[ast.AST]) -> bool:
    parent = parents[-1]
    return isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div)


def _is_exponent(node: ast.AST, parents: list[ast.AST]) -> bool:
    chain = [*parents, node]
    return any(
        isinstance(p, ast.BinOp) and isinstance(p.op, ast.Pow) and chain[k + 1] is p.right
        for k, p in enumerate(chain[:-1])
    )


def _is_range(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (node.func.id == "range")
    )


def _is_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _lost(lost: ast.AST, kept: ast.AST | None, values: Values) -> frozenset[str]:
    """What it is that a factor is missing: a mask and the gradient have names of their own."""
    found = set(LEFT_OUT)
    value = _value(lost, values)
    if value is not None and np.all((np.asarray(value) == 0) | (np.asarray(value) == 1)):
        found.add("mask-missing")
    if _has_gradient(lost, values) and (kept is None or not _has_gradient(kept, values)):
        found.add("upstream-ignored")
    return frozenset(found)


def _has_gradient(node: ast.AST, values: Values) -> bool:
    labels = [_label(n) for n in ast.walk(node) if _is_label(n)]
    return any(label in values[GRADIENTS] for label in labels)


def _gradients(function: ast.FunctionDef) -> frozenset[str]:
    """Names that hold a gradient: those that begin with d, and what is made of them."""
    names_of = [n.id for n in ast.walk(function) if isinstance(n, ast.Name)]
    names_of += [a.arg for a in function.args.args]
    found, size = {n for n in names_of if n.startswith("d")}, -1
    while size < len(found):
        size = len(found)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                made = {_label(n) for n in ast.walk(node.value) if _is_label(n)}
                found |= {node.targets[0].id} if made & found else set()
    return frozenset(found)


def _is_given_to(node: ast.AST, statement: ast.AST) -> bool:
    """Whether a statement gives the name or place that a node reads another value."""
    if not isinstance(statement, ast.Assign):
        return False
    return ast.unparse(node) in map(ast.unparse, statement.targets)


def _is_label(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) or _is_self(node)


def _is_shape(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and _callee_of(node.value) == "shape"


def _callee_of(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _has_name(node: ast.AST, values: Values) -> bool:
    """Whether an expression is worth what a local variable holds."""
    value = _value(node, values)
    return isinstance(value, np.ndarray) and any(
        isinstance(held, np.ndarray) and held.shape == value.shape and np.allclose(held, value)
        for held in values.values()
    )


def _is_place(node: ast.AST, parents: list[ast.AST], values: Values) -> bool:
    """Whether a whole number is computed and named inside a loop."""
    named = any(isinstance(p, ast.Assign) for p in parents)
    looped = any(isinstance(p, ast.For) for p in parents)
    whole = isinstance(_value(node, values), int | np.integer)
    return named and looped and whole and not _in_index(node, parents)


def _label(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"self.{node.attr}"
    assert isinstance(node, ast.Name)
    return node.id


def _attribute(label: str) -> ast.expr:
    return ast.Attribute(ast.Name("self", ast.Load()), label.removeprefix("self."), ast.Load())


def _callee(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _argument(node: ast.Call) -> ast.expr | None:
    """What a reduction reduces, written np.sum(x) or x.sum()."""
    match node.func:
        case ast.Attribute(value=ast.Name(id="np")):
            return node.args[0] if node.args else None
        case ast.Attribute(value=inner):
            return inner
    return None
