"""Where a node of a function stands: what it is worth, and what its value is used for."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

Values = Mapping[str, Any]

# Functions of NumPy whose argument at this place, counted from behind np., is an axis.
_REDUCING = (
    "sum mean max min prod any all std var argmax argmin cumsum cumprod sort argsort "
    "expand_dims squeeze concatenate stack flip"
)
_AXIS_ARGUMENT = {**dict.fromkeys(_REDUCING.split(" "), 1), "repeat": 2, "take": 2, "norm": 2}
_PERMUTING = ("transpose", "swapaxes", "moveaxis", "rollaxis")


@dataclass(frozen=True, slots=True)
class Site:
    """A node, the chain from the function to its parent, and the local variables of one run."""

    node: ast.AST
    parents: list[ast.AST]
    values: Values
    gradients: frozenset[str]  # names that hold a gradient

    @property
    def function(self) -> ast.AST:
        return self.parents[0]

    @property
    def parent(self) -> ast.AST:
        return self.parents[-1]

    @property
    def chain(self) -> list[ast.AST]:
        return [*self.parents, self.node]

    def value(self, node: ast.AST) -> Any:
        """What an expression is worth in the locals of one run; None where that is not known."""
        try:
            inside: Any = copy.deepcopy(node)
            code = compile(ast.Expression(inside), "value", "eval")
            held = {
                n.removeprefix("self."): v for n, v in self.values.items() if n.startswith("self.")
            }
            return eval(code, {"np": np, "self": SimpleNamespace(**held), **self.values})
        except Exception:
            return None

    def is_number(self, node: ast.AST) -> bool:
        """Whether a node is a number by itself: what is taken out of an array is a value of it."""
        value = self.value(node)
        if value is None or isinstance(value, tuple | str) or np.ndim(value) != 0:
            return False
        labels = [label_of(n) for n in ast.walk(node) if is_label(n)]
        held = [self.values[label] for label in labels if label in self.values]
        return all(not isinstance(h, np.floating) for h in held) and not any(
            isinstance(n, ast.Subscript) and isinstance(self.value(n), np.floating)
            for n in ast.walk(node)
        )

    def is_switch(self, node: ast.AST) -> bool:
        """Whether an array holds zeros and ones only, or one of its entries is meant: a mask."""
        value = self.value(node)
        if isinstance(node, ast.Subscript) and value is not None and np.ndim(value) == 0:
            value = self.value(node.value)
        if value is None or isinstance(value, dict | str) or np.ndim(value) == 0:
            return False
        return bool(np.all((np.asarray(value) == 0) | (np.asarray(value) == 1)))

    def is_label_array(self, node: ast.AST) -> bool:
        """Whether there is an array of whole numbers in an expression: labels, places."""
        return any(
            isinstance(value, np.ndarray | np.integer) and np.asarray(value).dtype.kind in "iu"
            for value in (self.value(n) for n in ast.walk(node) if isinstance(n, ast.expr))
        )

    # What the value of the node is used for.

    def in_condition(self) -> bool:
        """Inside a comparison, or the condition of an if."""
        chain = self.chain
        return any(
            isinstance(p, ast.Compare)
            or (isinstance(p, ast.If | ast.IfExp | ast.While) and chain[k + 1] is p.test)
            for k, p in enumerate(chain[:-1])
        )

    def in_shape(self) -> bool:
        """Whether a number, or the minus before it, chooses an axis of a shape."""
        above = [p for p in self.parents if not isinstance(p, ast.UnaryOp)]
        return bool(above) and _is_shape(above[-1])

    def index_of(self) -> ast.expr | None:
        """What is indexed by an expression with the node in it: the innermost."""
        chain = self.chain
        found = None
        for k, p in enumerate(chain[:-1]):
            if isinstance(p, ast.Subscript) and chain[k + 1] is p.slice:
                found = p.value
        return found

    def in_index(self) -> bool:
        return self.index_of() is not None

    def in_range(self) -> bool:
        """Inside the arguments of a range."""
        return any(is_range(p) for p in self.parents)

    def in_axis(self) -> bool:
        """Inside an argument that is an axis, by its name or by its place."""
        chain = self.chain
        for k, p in enumerate(chain[:-1]):
            if isinstance(p, ast.keyword) and p.arg in ("axis", "axes"):
                return True
            if not isinstance(p, ast.Call) or chain[k + 1] not in p.args:
                continue
            if isinstance(p.func, ast.Name):  # max(0, c) of Python
                continue
            place = p.args.index(chain[k + 1])  # type: ignore[arg-type]
            first = 0 if _is_numpy(p.func) else -1
            name = callee(p)
            if name in _PERMUTING and place > first:
                return True
            if _AXIS_ARGUMENT.get(name) == place - first and self.value(p.args[place]) is not None:
                return True
        return False

    def in_call(self, *names: str) -> bool:
        """Whether the node is an argument, or inside one, of one of these functions."""
        return any(isinstance(p, ast.Call) and callee(p) in names for p in self.parents)

    def in_exponent(self) -> bool:
        chain = self.chain
        for k, p in enumerate(chain[:-1]):
            if isinstance(p, ast.BinOp) and isinstance(p.op, ast.Pow) and chain[k + 1] is p.right:
                return True
            if isinstance(p, ast.Call) and callee(p) == "power" and chain[k + 1] is p.args[-1]:
                return True
        return False

    def in_product(self) -> bool:
        parent = self.parent
        return isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div)

    def in_loop(self) -> bool:
        return any(isinstance(p, ast.For) for p in self.parents)

    def in_place(self) -> bool:
        """Whether the node is in a whole number that a loop computes and names: p = i * stride."""
        if not self.in_loop() or self.in_index():
            return False
        for p in self.parents:
            if isinstance(p, ast.Assign) and isinstance(p.targets[0], ast.Name | ast.Tuple):
                parts = p.value.elts if isinstance(p.value, ast.Tuple) else [p.value]
                chain = self.chain
                whole = [v for v in parts if isinstance(self.value(v), int | np.integer)]
                return any(v in chain for v in whole)
        return False

    # What names stand for.

    def has_gradient(self, node: ast.AST) -> bool:
        labels = [label_of(n) for n in ast.walk(node) if is_label(n)]
        return bool(self.gradients.intersection(labels))

    def has_name(self, node: ast.AST) -> bool:
        """Whether an expression is worth what a local variable holds."""
        value = self.value(node)
        return isinstance(value, np.ndarray) and any(
            isinstance(held, np.ndarray) and held.shape == value.shape and np.allclose(held, value)
            for held in self.values.values()
        )

    def factors_from(self, source: str, target: str) -> list[ast.expr] | None:
        """What `source` is multiplied by in `target = source * …`, over several lines too.

        None where `target` is no product with `source` in it.
        """
        seen: set[str] = set()

        def follow(name: str) -> list[ast.expr] | None:
            if name == source:
                return []
            if name in seen:
                return None
            seen.add(name)
            in_place = _changes_of(self.function, name)
            for made, value in _assignments(self.function):
                if made != name:
                    continue
                factors = _factors(value)
                for k, factor in enumerate(factors):
                    below = follow(label_of(factor)) if is_label(factor) else None
                    if below is not None:
                        return [*factors[:k], *factors[k + 1 :], *below, *in_place]
            return None

        return None if source == target else follow(target)


def gradients_in(function: ast.FunctionDef) -> frozenset[str]:
    """Names that hold a gradient: those that begin with d, and what is made of them.

    What is taken out of the cache (dist, diff) is a value of the forward pass.
    """
    kept = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and not _is_computed(node.value):
            kept |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    names_of = [n.id for n in ast.walk(function) if isinstance(n, ast.Name)]
    names_of = [n for n in names_of if n not in kept] + [a.arg for a in function.args.args]
    found, size = {n for n in names_of if n.startswith("d")}, -1
    while size < len(found):
        size = len(found)
        for target, value in _assignments(function):
            made = {label_of(n) for n in ast.walk(value) if is_label(n)}
            found |= {target} if made & found else set()
    return frozenset(found)


def _is_computed(node: ast.expr) -> bool:
    """Whether a value is made here, and not only taken: cache, cache["x"], self.x, x.shape."""
    match node:
        case ast.Tuple(elts=parts):
            return any(_is_computed(p) for p in parts)
        case ast.Name(id=name):
            return name.startswith("d")
        case ast.Subscript(value=inner) | ast.Attribute(value=inner):
            return _is_computed(inner)
    return True


def _assignments(function: ast.AST) -> list[tuple[str, ast.expr]]:
    return [
        (label_of(n.targets[0]), n.value)
        for n in ast.walk(function)
        if isinstance(n, ast.Assign) and is_label(n.targets[0])
    ]


def _changes_of(function: ast.AST, name: str) -> list[ast.expr]:
    """What multiplies a variable in place, and the conditions that set entries of it."""
    found: list[ast.expr] = []
    for n in ast.walk(function):
        match n:
            case ast.AugAssign(target=target, op=ast.Mult() | ast.Div(), value=value):
                if is_label(target) and label_of(target) == name:
                    found.append(value)
        match n:
            case (
                ast.Assign(targets=[ast.Subscript(value=base, slice=ast.Compare() as chosen)])
                | ast.AugAssign(target=ast.Subscript(value=base, slice=ast.Compare() as chosen))
            ):
                if is_label(base) and label_of(base) == name:
                    found.append(chosen)
    return found


def _factors(node: ast.expr) -> list[ast.expr]:
    """What is multiplied, by elements or as matrices; a copy or a transpose is the value itself."""
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Div() | ast.MatMult()):
            return [*_factors(node.left), *_factors(node.right)]
        case ast.Call(func=ast.Attribute(attr="multiply" | "dot" | "matmul", value=owner)):
            first = [] if isinstance(owner, ast.Name) and owner.id == "np" else [owner]
            return [f for a in [*first, *node.args] for f in _factors(a)]
        case (
            ast.Call(func=ast.Attribute(attr="copy", value=inner))
            | ast.Attribute(attr="T", value=inner)
        ):
            return _factors(inner)
    return [node]


def is_range(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    )


def is_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def is_label(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) or is_self(node)


def label_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"self.{node.attr}"
    assert isinstance(node, ast.Name)
    return node.id


def labelled(label: str) -> ast.expr:
    if not label.startswith("self."):
        return ast.Name(label, ast.Load())
    return ast.Attribute(ast.Name("self", ast.Load()), label.removeprefix("self."), ast.Load())


def is_given_to(node: ast.AST, statement: ast.AST) -> bool:
    """Whether a statement gives the name or place that a node reads another value."""
    if not isinstance(statement, ast.Assign):
        return False
    return ast.unparse(node) in map(ast.unparse, statement.targets)


def callee(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _is_numpy(function: ast.expr) -> bool:
    return ast.unparse(function).startswith("np.")


def argument(node: ast.Call) -> ast.expr | None:
    """What a function is applied to, written np.sum(x) or x.sum()."""
    match node.func:
        case ast.Attribute(value=ast.Name(id="np")) | ast.Name():
            return node.args[0] if node.args else None
        case ast.Attribute(value=inner):
            return inner
    return None


def _is_shape(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "shape"
    )
