"""Where a node of a function stands: what it is worth, and what its value is used for."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradtool.records import Struct
from tests.mutation.syntax import (
    assignments,
    callee,
    changes_of,
    factors_of,
    is_label,
    is_numpy,
    is_range,
    is_self,
    is_shape,
    label_of,
    taken_in,
)

Values = Mapping[str, Any]

# Functions of NumPy whose argument at this place, counted from behind np., is an axis.
_REDUCING = (
    "sum mean max min prod any all std var argmax argmin cumsum cumprod sort argsort "
    "expand_dims squeeze concatenate stack flip"
)
_AXIS_ARGUMENT = {**dict.fromkeys(_REDUCING.split(" "), 1), "repeat": 2, "take": 2, "norm": 2}
_SUMMING_PRODUCTS = ("dot", "matmul", "outer", "einsum", "tensordot", "inner", "vdot")
_PERMUTING = ("transpose", "swapaxes", "moveaxis", "rollaxis")


class Site(Struct, frozen=True):
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
        """Whether an array holds zeros and ones only, or one of its entries is meant: a mask.

        A gradient may be zero everywhere, and is none.
        """
        if self.has_gradient(node):
            return False
        value = self.value(node)
        if isinstance(node, ast.Subscript) and value is not None and np.ndim(value) == 0:
            value = self.value(node.value)
        if value is None or isinstance(value, dict | str) or np.ndim(value) == 0:
            return False
        return bool(np.all((np.asarray(value) == 0) | (np.asarray(value) == 1)))

    def is_mask(self) -> bool:
        """Whether the node is an array of zeros and ones that multiplies something."""
        return len(self.parents) > 0 and self.in_product() and self.is_switch(self.node)

    def is_counted(self, node: ast.AST) -> bool:
        """Whether a number is a count, but for a factor: N, 2 * len(x).

        A 2 that is written down is none, nor is a root of a count.
        """
        inner = list(ast.walk(node))
        if any(isinstance(n, ast.Call) and callee(n) not in ("len", "int", "float") for n in inner):
            return False
        return any(
            isinstance(value, int | np.integer) and not isinstance(value, bool)
            for value in (
                self.value(n)
                for n in inner
                if isinstance(n, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
            )
        )

    def is_taken(self, node: ast.AST) -> bool:
        """Whether an expression is made of what the forward pass kept, or was given, only."""
        assert isinstance(self.function, ast.FunctionDef)
        taken = taken_in(self.function)
        labels = [n for n in ast.walk(node) if is_label(n)]
        return bool(labels) and all(is_self(n) or label_of(n) in taken for n in labels)

    def is_like_gradient(self, node: ast.AST) -> bool:
        """Whether a value is a gradient but for a constant factor: an error that was kept."""
        value = self.value(node)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.any():
            return False
        for name in self.gradients:
            held = self.values.get(name)
            if isinstance(held, np.ndarray) and held.shape == value.shape:
                ratio = np.vdot(value, held) / np.vdot(value, value)
                if ratio and np.allclose(held, ratio * value):
                    return True
        return False

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
        return bool(above) and is_shape(above[-1])

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
            first = 0 if is_numpy(p.func) else -1
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

    def in_matrix_product(self) -> bool:
        """Whether the node, or a transpose of it, is an operand of a matrix product."""
        for p in reversed(self.parents):
            if isinstance(p, ast.BinOp) and isinstance(p.op, ast.MatMult):
                return True
            if isinstance(p, ast.Call) and callee(p) in _SUMMING_PRODUCTS:
                return True
            turned = isinstance(p, ast.Call) and callee(p) in (*_PERMUTING, "reshape")
            if not turned and not isinstance(p, ast.Attribute | ast.Subscript):
                return False
        return False

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
            in_place = changes_of(self.function, name)
            for made, value in assignments(self.function):
                if made != name:
                    continue
                factors = factors_of(value)
                for k, factor in enumerate(factors):
                    below = follow(label_of(factor)) if is_label(factor) else None
                    if below is not None:
                        return [*factors[:k], *factors[k + 1 :], *below, *in_place]
            return None

        return None if source == target else follow(target)
