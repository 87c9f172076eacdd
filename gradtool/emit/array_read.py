"""Array expressions of the spec language read as sums and products with shapes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from gradtool.emit.array_forms import (
    Form,
    Leaf,
    NotBroadcast,
    Product,
    Sum,
    Total,
    negated,
    product,
    scaled,
    summed,
)
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.dims import ONE, total
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Tree
from gradtool.ops.scalar import FUNCTIONS
from gradtool.ops.shape import dim_tree

_ARITHMETIC = ("add", "sub", "neg", "pos", "mul", "div", "pow", "square", "reciprocal")
# Words whose first argument is an array and whose result is not arithmetic.
_OVER_FIRST = ("transpose", "reshape", "getitem", "ravel", "flip", "cumsum", "broadcast_to",
               "max", "min", "squeeze", "expand_dims", "pad", "tril", "triu", "rot180")  # fmt: skip
_OVER_ALL = ("matmul", "outer", "maximum", "minimum")
_VIEWS = ("transpose", "reshape", "getitem", "ravel", "flip", "broadcast_to", "squeeze",
          "expand_dims", "rot180", "diag")  # fmt: skip
_HIGHEST = 4  # exponents that are written as repeated factors


class Reader:
    """Reads the expressions of one module.

    Raises, on reading, an `OpError` where a shape is not known and `NotBroadcast` where shapes
    do not fit; such an expression is left as it is.
    """

    def __init__(self, module: ModuleNames, improve: Callable[[Tree, Reader], Tree]) -> None:
        self.module = module
        self.improve = improve  # arithmetic inside functions and matrix products

    def read(self, tree: Tree) -> Form:
        match tree:
            case Number(value=value) if value.denominator == 1:
                return product(value, ())
            case Call(op=op) if op in _ARITHMETIC:
                return self._arithmetic(tree)
            case Call(op="sum" | "mean", args=(operand,)):
                return self._total(tree, operand)
            case Name(id=name) if name == self.module.seed:
                return Leaf(tree, ())
        return self.leaf(tree)

    def leaf(self, tree: Tree) -> Leaf:
        operand = self.module.reader.operand(tree)
        fresh = isinstance(tree, Call) and tree.op not in _VIEWS
        if isinstance(tree, Call) and tree.op == "einsum":
            fresh = len(tree.args) > 2  # of one array it may be a view
        return Leaf(self.inside(tree), operand.shape, operand.kind == "real", fresh)

    def inside(self, tree: Tree) -> Tree:
        """What arithmetic cannot look into, with the arithmetic in its arguments improved."""

        def better(part: Tree) -> Tree:
            if not isinstance(part, Call):
                return part
            if part.op in _ARITHMETIC or part.op in ("sum", "mean"):
                new = self.improve(part, self)
                return new if new is not part else self.nested(part)
            return self.inside(part)

        made = self._rebuilt(tree, better)
        return tree if made == tree else made

    def _rebuilt(self, tree: Tree, better: Callable[[Tree], Tree]) -> Tree:
        match tree:
            case Call(op=op, args=args) if op in _OVER_ALL or op in FUNCTIONS:
                return Call(op, tuple(map(better, args)), tree.kwargs, tree.span, tree.method)
            case Call(op=op, args=(first, *rest)) if op in _OVER_FIRST:
                return Call(op, (better(first), *rest), tree.kwargs, tree.span, tree.method)
            case Call(op="einsum", args=(pattern, *rest)):
                return Call("einsum", (pattern, *map(better, rest)), tree.kwargs)
            case Call(op="where", args=(condition, *rest)):
                return Call("where", (condition, *map(better, rest)), tree.kwargs)
            case Call(op="concatenate" | "stack", args=(Items(items=items),)):
                return Call(tree.op, (Items(tuple(map(better, items))),), tree.kwargs)
        return tree

    def nested(self, tree: Tree) -> Tree:
        """The same arithmetic, with what stands inside its functions improved."""
        if isinstance(tree, Call) and (tree.op in _ARITHMETIC or tree.op in ("sum", "mean")):
            made = tuple(map(self.nested, tree.args))
            same = all(a is b for a, b in zip(made, tree.args, strict=True))
            return tree if same else Call(tree.op, made, tree.kwargs, tree.span, tree.method)
        return self.inside(tree)

    def _arithmetic(self, tree: Call) -> Form:
        parts = [self.read(a) for a in tree.args]
        if not any(_real(p) for p in parts):
            return self.leaf(tree)
        match tree.op, parts:
            case "add", (a, b):
                return summed((a, b))
            case "sub", (a, b):
                return summed((a, negated(b)))
            case "neg", (a,):
                return negated(a)
            case "pos", (a,):
                return a
            case "mul", (a, b):
                return scaled(a, b)
            case "div", (a, b):
                return scaled(a, b, -1)
            case "square", (a,):
                return product(Fraction(1), ((a, 2),))
            case "reciprocal", (a,):
                return product(Fraction(1), ((a, -1),))
            case "pow", (a, _):
                exponent = tree.args[1]
                if (
                    isinstance(exponent, Number)
                    and exponent.value.denominator == 1
                    and 0 < abs(exponent.value) <= _HIGHEST
                ):
                    return product(Fraction(1), ((a, int(exponent.value)),))
        return self.leaf(tree)

    def _total(self, tree: Call, operand: Tree) -> Form:
        if any(k not in ("axis", "keepdims") for k, _ in tree.kwargs):
            return self.leaf(tree)
        body = self.read(operand)
        if not body.shape or not _real(body):
            return self.leaf(tree)
        rank = len(body.shape)
        match tree.keyword("axis"):
            case None | Literal(value=None):
                axes = tuple(range(rank))
            case Items(items=items):
                axes = tuple(sorted(_number(i) % rank for i in items))
            case other:
                axes = (_number(other) % rank,)
        keep = tree.keyword("keepdims") == Literal(True)
        if keep:
            shape = tuple(ONE if k in axes else d for k, d in enumerate(body.shape))
        else:
            shape = tuple(d for k, d in enumerate(body.shape) if k not in axes)
        result: Form = Total(body, axes, keep, shape)
        if tree.op == "mean":
            count = total(body.shape[k] for k in axes)
            size = count.as_int
            if size is not None:
                return product(Fraction(1, size), ((result, 1),))
            parts = [Leaf(dim_tree(body.shape[k]), ()) for k in axes]
            result = product(Fraction(1), ((result, 1), *((p, -1) for p in parts)))
        return result


def _number(tree: Tree) -> int:
    match tree:
        case Number(value=value):
            return int(value)
        case Call(op="neg", args=(inner,)):
            return -_number(inner)
    raise NotBroadcast("an axis that is not a number")


def _real(form: Form) -> bool:
    """Whether a form is real-valued and not only 0/1 arrays and plain numbers."""
    match form:
        case Leaf(real=real, shape=shape):
            return real and bool(shape)
        case Product(factors=factors):
            return any(_real(f) for f, _ in factors)
        case Sum(terms=terms):
            return any(_real(t) for t in terms)
        case Total():
            return True
