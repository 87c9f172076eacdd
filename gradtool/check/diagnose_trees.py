"""Array expressions evaluated as NumPy would, and every small change of one.

A user's line is an array expression too, with NumPy's broadcasting and NumPy's crashes, so a wrong
axis or a missing transpose is best played through on the printed line itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np

from gradtool.check.diagnose_shares import ONE, extra_factor, terms_of
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, children, names
from gradtool.numeric.arithmetic import Double
from gradtool.ops.scalar import FUNCTIONS
from gradtool.records import Struct, replace

Array = Any

_MOST_FACTORS = 5  # of which some are left out together

# Words that NumPy computes as they are written.
_ARRAYS: dict[str, Callable[..., Any]] = {
    "tril": np.tril,
    "triu": np.triu,
    "flip": np.flip,
    "diag": np.diag,
    "trace": np.trace,
    "concatenate": np.concatenate,
    "stack": np.stack,
    "expand_dims": np.expand_dims,
    "squeeze": np.squeeze,
    "inv": np.linalg.inv,
}


class NotEvaluated(Exception):
    """A word that is not played through here."""


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: np.asarray(a, dtype=float) ** b,
    "matmul": lambda a, b: a @ b,
    "gt": lambda a, b: (a > b) * 1.0,
    "ge": lambda a, b: (a >= b) * 1.0,
    "lt": lambda a, b: (a < b) * 1.0,
    "le": lambda a, b: (a <= b) * 1.0,
    "eq": lambda a, b: (a == b) * 1.0,
    "ne": lambda a, b: (a != b) * 1.0,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "outer": np.outer,
    "floordiv": lambda a, b: a // b,
}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min,
}  # fmt: skip


class Evaluation:
    """Trees at one point; the values of unchanged parts are kept."""

    def __init__(self, known: Mapping[str, Array], numbers: Mapping[str, float]) -> None:
        self.known = known
        self.numbers = numbers
        self._kept: dict[int, tuple[Tree, Array]] = {}
        self._double = Double()

    def value(self, tree: Tree) -> Array:
        """The value of a tree.

        Raises:
            NotEvaluated: a word without a rule here.
            ValueError, IndexError, KeyError, TypeError: what NumPy would not compute either.
        """
        kept = self._kept.get(id(tree))
        if kept is None:
            kept = tree, self._value(tree)
            self._kept[id(tree)] = kept
        return kept[1]

    def _value(self, tree: Tree) -> Array:
        match tree:
            case Name(id=name):
                if name in self.known:
                    return self.known[name]
                if name == "pi":
                    return np.pi
                if name not in self.numbers:
                    raise NotEvaluated(name)
                return self.numbers[name]
            case Number(value=value):
                return int(value) if value.denominator == 1 else float(value)
            case Literal(value="..."):
                return ...
            case Literal(value=value):
                return value
            case Items(items=items):
                return tuple(self.value(item) for item in items)
            case Slice(start=start, stop=stop, step=step):
                return slice(*(None if p is None else self._int(p) for p in (start, stop, step)))
            case Call():
                return self._call(tree)
        raise NotEvaluated(type(tree).__name__)

    def _int(self, tree: Tree) -> int:
        return int(self.value(tree))

    def _call(self, tree: Call) -> Array:
        op = tree.op
        if op in _BINARY and len(tree.args) == 2:
            left, right = (self.value(a) for a in tree.args)
            return _BINARY[op](left, right)
        if op in _REDUCTIONS and tree.keyword("over") is None:
            named = {k: self.value(v) for k, v in tree.kwargs}
            return _REDUCTIONS[op](*(self.value(a) for a in tree.args), **named)
        if op in FUNCTIONS and len(tree.args) == 1:
            return self._double.function(op, [np.asarray(self.value(tree.args[0]))])
        return self._other(tree)

    def _other(self, tree: Call) -> Array:
        values = [self.value(a) for a in tree.args]
        named = {k: self.value(v) for k, v in tree.kwargs}
        match tree.op:
            case "neg":
                return -values[0]
            case "transpose" if len(values) == 1:
                return np.asarray(values[0]).T
            case "transpose":
                return np.transpose(*values)
            case "sqrt":
                return np.sqrt(values[0])
            case "getitem":
                return np.asarray(values[0])[_index(values[1])]
            case "where":
                return np.where(np.asarray(values[0]) != 0, values[1], values[2])
            case "reshape":
                shape = values[1] if isinstance(values[1], tuple) else tuple(values[1:])
                return np.reshape(values[0], tuple(int(s) for s in shape))
            case "broadcast_to":
                return np.broadcast_to(values[0], tuple(int(s) for s in values[1]))
            case "swapaxes":
                return np.swapaxes(*values)
            case "arange":
                return np.arange(int(values[0]))
            case "eye":
                return np.eye(int(values[0]))
            case "zeros":
                return np.zeros(values[0])
            case "onehot":
                return self._onehot(tree, values[0])
            case "scatter_add":
                return self._scatter_add(tree, *values[:3])
            case "einsum":
                return np.einsum(*values, **named)
        if tree.op in _ARRAYS:
            return _ARRAYS[tree.op](*values, **named)
        raise NotEvaluated(tree.op)

    def _scatter_add(self, tree: Call, labels: Array, rows: Array, classes: Any = None) -> Array:
        if classes is None:
            classes = self.numbers.get(f"classes of {_name_in(tree)}")
        if classes is None:
            raise NotEvaluated("scatter_add")
        labels, rows = np.asarray(labels), np.asarray(rows)
        if rows.shape[: labels.ndim] != labels.shape:
            raise ValueError("one row for each label")
        total = np.zeros((int(classes), *rows.shape[labels.ndim :]))
        np.add.at(total, labels, rows)
        return total

    def _onehot(self, tree: Call, labels: Array) -> Array:
        classes = self.numbers.get(f"classes of {_name_in(tree)}")
        if classes is None:
            raise NotEvaluated("onehot")
        places = np.asarray(labels)[..., None]
        places = np.where(places < 0, places + int(classes), places)  # as an index would
        if np.any(places >= classes):
            raise IndexError("a label beyond the last class")
        return (places == np.arange(int(classes))) * 1.0


def _name_in(tree: Tree) -> str:
    if isinstance(tree, Name):
        return tree.id
    return next((found for child in children(tree) if (found := _name_in(child))), "")


def _index(value: Any) -> Any:
    def whole(entry: Any) -> Any:
        if isinstance(entry, np.ndarray) and entry.dtype.kind == "f":
            return entry.astype(int)
        return int(entry) if isinstance(entry, float) else entry

    return tuple(whole(v) for v in value) if isinstance(value, tuple) else whole(value)


# -- changes --------------------------------------------------------------------------------


class Change(Struct, frozen=True):
    """One node of a tree changed.

    `what` is made from the texts of the node before and after; see `gradtool.check.causes.trees`.
    """

    code: str
    cost: float
    tree: Tree
    what: str


class Known(Struct, frozen=True):
    """What changes may use: shapes, what is a function of what, which are gradients, printing."""

    shapes: Mapping[str, tuple[object, ...]]
    arguments: Mapping[str, tuple[str, str]]
    upstream: frozenset[str]
    cotangents: frozenset[str]
    show: Callable[[Tree], str]
    parts: Mapping[str, tuple[str, frozenset[str]]]


def changes(tree: Tree, known: Known, below: bool = False) -> Iterator[Change]:
    """Every small change of a tree, at any depth; `below` the line of a division, or not.

    What is a factor there is what the whole is divided by.
    """
    yield from _here(tree, known, below)
    match tree:
        case Call(op="pow", args=(base, exponent)):
            for change in changes(base, known):
                yield replace(change, tree=replace(tree, args=(change.tree, exponent)))
        case Call(args=args):
            product = tree.op in ("mul", "div", "neg")
            # What makes a condition hold everywhere is that it is missing, more likely.
            more = _IN_CONDITION if tree.op in _COMPARED else 0.0
            for k, child in enumerate(args):
                under = product and below is not (tree.op == "div" and k == 1)
                if isinstance(child, Slice | Literal | Items) and tree.op != "getitem":
                    continue
                for change in _numbers(child, tree.op) or changes(child, known, under):
                    whole = replace(tree, args=(*args[:k], change.tree, *args[k + 1 :]))
                    yield replace(change, tree=whole, cost=change.cost + more)
            if tree.op in _REDUCTIONS:
                yield from _axes(tree, known)
        case _:
            return


def _numbers(tree: Tree, parent: str) -> list[Change]:
    """Another number; what that means depends on what it is added to or multiplied by."""
    if not isinstance(tree, Number):
        return []
    code, cost = {
        "add": ("constant", 1.15), "sub": ("constant", 1.15),
        "mul": ("scale", 1.2), "div": ("scale", 1.2),
    }.get(parent, ("constant", 1.9))  # fmt: skip
    value = tree.value
    others = [value + 1, value - 1, value * 2, value / 2, -value]
    return [
        Change(code, cost, _number(new), f"{_text(new)} stands for {_text(value)}")
        for new in dict.fromkeys(others)
        if new != value
    ]


_FLIPPED = {"add": "sub", "sub": "add", "mul": "div", "div": "mul"}
_COMPARED = ("gt", "ge", "lt", "le", "eq", "ne")
_IN_CONDITION = 0.25


def _here(tree: Tree, known: Known, below: bool) -> Iterator[Change]:
    match tree:
        case Name(id=name):
            yield from _names(name, known)
        case Call(op="add" | "sub" as op, args=(left, right)):
            first, second = known.show(left), known.show(right)
            sign = "-" if op == "add" else "+"
            text = f"{sign} {second} where the sign should be the other"
            yield Change("sign", 1.0, replace(tree, op=_FLIPPED[op]), text)
            yield Change("operator", 1.6, replace(tree, op="mul"), f"× before {second}, not + or -")
            yield from _left_out(tree, left, right, known)
            if op == "sub":
                turned = replace(tree, args=(right, left))
                yield Change("sign", 1.1, turned, f"{second} - {first} is turned around")
        case Call(op="mul" | "div" as op, args=(left, right)):
            yield from _products(tree, op, left, right, known, below)
        case Call(op="neg", args=(inner,)):
            yield Change("sign", 1.0, inner, f"the minus of {known.show(tree)} is missing")
        case Call(op="sqrt", args=(inner,)):
            yield Change(
                "wrong-function", 1.45, inner, f"the root of {known.show(inner)} is missing"
            )
            yield Change("wrong-function", 1.6, Call("sqrt", (tree,)), "a root too many")
        case Call(op="pow", args=(base, exponent)):
            shown = known.show(base)
            text = f"{shown} stands to another power"
            product = Call("mul", (base, exponent))
            yield Change(
                "power", 1.5, product, f"× {known.show(exponent)} stands for a power of it"
            )
            yield Change("power", 1.3, base, text)
            yield Change(
                "inverted-factor", 1.3, Call("pow", (base, Call("neg", (exponent,)))), text
            )
            for shift in (1, -1, -2, 2):
                moved = Call("add", (exponent, _number(Fraction(shift))))
                yield Change("power", 1.5, Call("pow", (base, moved)), text)
        case Call(op="matmul", args=(left, right)):
            yield from _matmuls(tree, left, right, known)
        case Call(op="transpose", args=(inner,)):
            yield Change("transposed", 1.0, inner, f"{known.show(inner)} must be transposed")
        case Call(op=op, args=(left, right)) if op in _COMPARED:
            text = f"another condition stands for {known.show(tree)}"
            for other in _COMPARED:
                if other != op:
                    yield Change("mask", 1.3, replace(tree, op=other), text)
            for shift in (1, -1):
                moved = Call("add", (right, _number(Fraction(shift))))
                yield Change("mask", 1.8, replace(tree, args=(left, moved)), text)
            yield Change("mask", 1.5, left, f"{known.show(left)} stands for a mask")
        case Call(op="where", args=(_, yes, no)):
            yield Change(
                "mask-missing", 1.2, yes, f"the condition of {known.show(tree)} is missing"
            )
            yield Change(
                "mask", 1.3, replace(tree, args=(tree.args[0], no, yes)), "mask turned round"
            )
        case Call(op="onehot", args=(labels,)):
            text = "the labels are off by one"
            for op in ("add", "sub"):
                moved = Call(op, (labels, _number(Fraction(1))))
                yield Change("label-shift", 1.3, replace(tree, args=(moved,)), text)
        case Call(op=op, args=(inner,)) if op in FUNCTIONS:
            text = f"{op} is missing around {known.show(inner)}"
            yield Change("wrong-function", 1.4, inner, text)
            yield Change("wrong-function", 1.6, Call(op, (tree,)), f"{op} is applied twice")


def _left_out(tree: Call, left: Tree, right: Tree, known: Known) -> Iterator[Change]:
    """One side of a sum alone."""
    # Without a gradient in it, it is a sum inside a factor and no sum of paths.
    path = "missing-path" if names(tree) & known.cotangents else "missing-term"
    for kept, lost, cost in ((left, right, 0.9), (right, left, 0.95)):
        # Where a 1 is left of it, it is the whole factor that is missing.
        if path == "missing-term" and _is_one(kept):
            continue
        code, text = path, f"{known.show(lost)} is missing"
        if found := _spread(tree.op, kept, lost, known):
            code, text = found
        if tree.op == "sub" and kept is right:
            yield Change(code, cost - 0.01, Call("neg", (right,)), text)
            if path == "missing-term" and _is_one(left):
                text = f"{known.show(right)} stands where {known.show(tree)} belongs"
        yield Change(code, cost, kept, text)


def _spread(op: str, kept: Tree, lost: Tree, known: Known) -> tuple[str, str] | None:
    """The words where both sides are one product spread out: what is lost is no path."""
    if not names(kept) & known.cotangents:
        return None
    for term in terms_of(kept):
        if extra := extra_factor(lost, term):
            bracket = known.show(Call(op, (ONE, extra)))
            of = "" if term is kept else f" of {known.show(term)}"
            return "missing-factor", f"the factor {bracket}{of} is missing"
        if extra := extra_factor(term, lost):
            return "missing-term", f"1 is missing beside {known.show(extra)}"
    return None


def _names(name: str, known: Known) -> Iterator[Change]:
    shape = known.shapes.get(name)
    if shape is None:
        return
    for other, its in known.shapes.items():
        if other == name or its != shape:
            continue
        gradient = name in known.cotangents or other in known.cotangents
        code = "wrong-gradient" if gradient else "wrong-tensor"
        shown, was = known.show(Name(other)), known.show(Name(name))
        cost = 1.35 + 0.15 * any(n.lstrip("d").startswith("_") for n in (name, other))
        function, argument = known.arguments.get(name, ("", ""))
        if argument == other and other.startswith("_"):
            text = f"{function} is missing: {shown} stands where {was} belongs"
            yield Change("wrong-function", cost + 0.1, Name(other), text)
            continue
        kind, operands = known.parts.get(name, ("", frozenset()))
        if other in operands:
            code = "missing-term" if kind == "sum" else "missing-factor"
        yield Change(code, cost, Name(other), f"{shown} stands where {was} belongs")


def _products(
    tree: Call, op: str, left: Tree, right: Tree, known: Known, below: bool
) -> Iterator[Change]:
    first, second = known.show(left), known.show(right)
    divides = (op == "div") is not below  # by what stands on the right
    word = "multiplied by" if divides else "divided by"
    code = "scale" if _is_scalar(right, known) else "inverted-factor"
    yield Change(code, 1.2, replace(tree, op=_FLIPPED[op]), f"{word} {second}")
    if op == "mul":
        turned = Call("div", (right, left))
        yield Change(code, 1.3, turned, f"{word} {first}")
    sign = "×" if op == "mul" else "/"
    yield Change("operator", 1.6, replace(tree, op="add"), f"+ {second} stands for {sign} {second}")
    yield Change(
        "operator", 1.65, replace(tree, op="sub"), f"- {second} stands for {sign} {second}"
    )
    by, other = ("division by" if d else "factor" for d in (divides, below))
    yield Change(
        _lost(right, divides, known, left), 1.0 + _bulk(right), left,
        f"the {by} {second} is missing",
    )  # fmt: skip
    if op == "div":
        for lost, rest in _parted(right):
            text = f"the {by} {known.show(lost)} is missing"
            made = replace(tree, args=(left, rest))
            yield Change(_lost(lost, divides, known, left), 1.2, made, text)
    code, text = _lost(left, below, known, right), f"the {other} {first} is missing"
    if op == "mul":
        yield Change(code, 1.0 + _bulk(left), right, text)
    else:
        yield Change(code, 1.5, right, f"{first} / is missing")
        one = Call("div", (_number(Fraction(1)), right))
        yield Change(code, 1.1, one, text)


def _parted(product: Tree) -> Iterator[tuple[Tree, Tree]]:
    """Several factors of a product, which were forgotten together, and those that are left."""
    factors = _multiplied(product)
    if len(factors) > _MOST_FACTORS:
        return
    for count in range(2, len(factors)):
        for lost in combinations(range(len(factors)), count):
            left = [f for k, f in enumerate(factors) if k not in lost]
            yield _product([factors[k] for k in lost]), _product(left)


def _multiplied(tree: Tree) -> list[Tree]:
    if isinstance(tree, Call) and tree.op == "mul":
        return [factor for side in tree.args for factor in _multiplied(side)]
    return [tree]


def _product(factors: Sequence[Tree]) -> Tree:
    return reduce(lambda a, b: Call("mul", (a, b)), factors)


def _bulk(tree: Tree) -> float:
    """A whole sum is left out more rarely than a name."""
    return 0.2 if _reduces(tree) else 0.0


def _reduces(tree: Tree) -> bool:
    if isinstance(tree, Call) and (tree.op in _REDUCTIONS or tree.op == "einsum"):
        return True
    return any(_reduces(child) for child in children(tree))


def _is_one(tree: Tree) -> bool:
    return isinstance(tree, Number) and tree.value == 1


def _lost(tree: Tree, divided: bool, known: Known, rest: Tree) -> str:
    """The cause that a left-out operand stands for; `rest` is what stays."""
    if names(tree) & known.cotangents and not names(rest) & known.cotangents:
        return "upstream-ignored"
    if _is_scalar(tree, known):
        sizes = {str(size) for shape in known.shapes.values() for size in shape}
        mean = divided and isinstance(tree, Name) and tree.id in sizes
        return "sum-for-mean" if mean else "scale"
    if isinstance(tree, Call) and tree.op in _COMPARED:
        return "mask-missing"
    return "missing-factor"


def _is_scalar(tree: Tree, known: Known) -> bool:
    if isinstance(tree, Name):
        return not known.shapes.get(tree.id)
    if isinstance(tree, Call) and tree.op in ("add", "sub", "mul", "div", "pow", "neg", "sqrt"):
        return all(_is_scalar(child, known) for child in tree.args)
    return isinstance(tree, Number)


def _matmuls(tree: Call, left: Tree, right: Tree, known: Known) -> Iterator[Change]:
    first, second = known.show(left), known.show(right)
    swapped = replace(tree, args=(right, left))
    yield Change(
        "swapped-order", 1.2, swapped, f"{first} and {second} change places in the product"
    )
    yield Change("transposed", 1.1, replace(tree, args=(Call("transpose", (left,)), right)),
                 f"{first} is transposed the wrong way")  # fmt: skip
    yield Change("transposed", 1.1, replace(tree, args=(left, Call("transpose", (right,)))),
                 f"{second} is transposed the wrong way")  # fmt: skip
    both = (Call("transpose", (right,)), Call("transpose", (left,)))
    yield Change("transposed", 1.3, replace(tree, args=both), "the product is transposed")
    turned = (_turned(right), _turned(left))
    yield Change("swapped-order", 1.25, replace(tree, args=turned), "the product is turned around")
    yield Change("operator", 1.5, replace(tree, op="mul"), "* stands for a matrix product")


def _turned(tree: Tree) -> Tree:
    if isinstance(tree, Call) and tree.op == "transpose" and len(tree.args) == 1:
        return tree.args[0]
    return tree


def _axes(tree: Call, known: Known) -> Iterator[Change]:
    """Another axis, none, kept dimensions, a mean for a sum, no sum."""
    operand = tree.args[0]
    shown = known.show(operand)
    axis, keep = tree.keyword("axis"), tree.keyword("keepdims")
    rest = tuple((k, v) for k, v in tree.kwargs if k not in ("axis", "keepdims"))
    named = {"axis": axis, "keepdims": keep}

    def with_(op: str = tree.op, **new: Tree | None) -> Call:
        chosen = {**named, **new}
        kwargs = tuple((k, v) for k, v in chosen.items() if v is not None)
        return Call(op, (operand,), (*rest, *kwargs))

    if tree.op in ("sum", "mean"):
        other = "mean" if tree.op == "sum" else "sum"
        code = "mean-for-sum" if other == "mean" else "sum-for-mean"
        text = f"the {other} of {shown} stands for its {tree.op}"
        yield Change(code, 1.0, with_(other), text)
        yield Change("missing-sum", 1.1, operand, f"the {tree.op} of {shown} is missing")
    if axis is not None:
        for number in (0, 1, 2, -1, -2):
            moved = _number(Fraction(number))
            if moved == axis:
                continue
            text = f"{shown} is summed over the wrong axis"
            yield Change("wrong-axis", 1.1, with_(axis=moved), text)
            kept = with_(axis=moved, keepdims=Literal(True))
            yield Change("wrong-axis", 1.15, kept, text)
        text = f"the {tree.op} of {shown} runs over every axis"
        yield Change("extra-sum", 1.1, with_(axis=None, keepdims=None), text)
    if keep is not None:
        yield Change("wrong-axis", 1.2, with_(keepdims=None), f"keepdims is missing: {shown}")
    elif axis is not None:
        kept = with_(keepdims=Literal(True))
        yield Change("wrong-axis", 1.3, kept, f"keepdims should not stand: {shown}")


def _number(value: Fraction) -> Number:
    return Number(value, _text(value))


def _text(value: Fraction) -> str:
    return str(value)
