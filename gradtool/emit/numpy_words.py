"""Array expressions as NumPy: a translation to what NumPy calls things, then the same printer.

The spec language has NumPy's semantics, but not its types: a comparison counts as 0 or 1, a
position as a number.  NumPy adds two comparisons to a logical "or", refuses to subtract them, and
turns float32 into float64 when it meets integers or NumPy's own scalars.  The translation follows
the kind of every subexpression and casts exactly where that would change a value or a dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal as Choice
from typing import Protocol, TypeAlias

from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.tree import (
    Call,
    Items,
    Literal,
    Name,
    Number,
    Slice,
    Tree,
    call,
    children,
    integer,
)
from gradtool.ops.errors import OpError
from gradtool.ops.scalar import FUNCTIONS
from gradtool.ops.shape import dim_tree

# "size": a Python number (a size, a constant, a literal); the others are arrays.
Kind: TypeAlias = Choice["size", "bool", "int", "real"]
Typed: TypeAlias = tuple[Tree, Kind]


class Names(Protocol):
    """What the translation must know of the names in an expression."""

    def kind(self, name: str) -> Kind: ...

    def python(self, name: str) -> str:
        """How the name is spelled in the emitted code."""

    def shape(self, tree: Tree) -> tuple[Dim, ...]:
        """The shape of a subexpression of the spec language."""

    def classes(self, labels: Tree) -> Dim | None:
        """The size of the axis that an expression of labels indexes."""

    def need(self, what: str) -> None:
        """Record a helper, ``math``, ``erf`` or ``dtype`` that the code uses."""


def numpy_tree(tree: Tree, names: Names) -> Tree:
    """The expression in NumPy's words, real-valued unless it is a plain number.

    Raises:
        UnsupportedError: a word that has no NumPy text yet.
    """
    return _Translation(names).real(tree)


def position_tree(tree: Tree, names: Names) -> Tree:
    """The same for an expression of positions or labels, which stay integers."""
    return _Translation(names).integral(tree)[0]


def factor_tree(tree: Tree, names: Names) -> Tree:
    """The same for a factor of a real array: 0/1 arrays need no cast."""
    translation = _Translation(names)
    shown, kind = translation.typed(tree)
    return shown if kind == "bool" else translation.real(tree)


def known_words(tree: Tree) -> bool:
    """Whether every word has NumPy text of its own; the others are written from index notation."""
    if isinstance(tree, Call):
        if tree.op not in _RULES and tree.op not in FUNCTIONS:
            return False
        if tree.keyword("over") is not None:
            return False
        if tree.op in ("argmax", "argmin") and tree.keyword("size") is not None:
            return False  # the winner of a window
    return all(known_words(child) for child in children(tree))


# -- translation --------------------------------------------------------------------------

_COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne")
_MATH = ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "log1p", "expm1",
         "log2", "log10", "sqrt")  # fmt: skip
_HELPED = ("sigmoid", "softplus", "logsigmoid", "silu", "softsign", "gelu", "gelu_tanh", "mish",
           "logcosh")  # fmt: skip
_ELEMENTWISE = {"maximum": "np.maximum", "minimum": "np.minimum"}
_JOINED = {"concatenate": "np.concatenate", "stack": "np.stack"}
_VIEWS = {
    "tril": "np.tril", "triu": "np.triu", "flip": "np.flip", "diag": "np.diag",
    "squeeze": "np.squeeze", "expand_dims": "np.expand_dims", "pad": "np.pad",
}  # fmt: skip
_FILLED = {"zeros": "np.zeros", "ones": "np.ones", "eye": "np.eye"}
_LINEAR = {"inv": "np.linalg.inv", "det": "np.linalg.det", "cholesky": "np.linalg.cholesky"}


# What leaves plain numbers plain numbers.
_PLAIN = frozenset(
    {"add", "sub", "mul", "div", "floordiv", "pow", "neg", "pos", "abs", "gt", "ge", "lt", "le",
     "eq", "ne", "logical_and", "logical_or"}
)  # fmt: skip


class _Translation:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.whole = False  # inside a comparison or an index: integers stay integers

    # -- kinds ----------------------------------------------------------------------------

    def real(self, tree: Tree) -> Tree:
        """The expression as a real array or a Python number."""
        return self._cast(*self.typed(tree))

    def integral(self, tree: Tree) -> Typed:
        outer, self.whole = self.whole, True
        try:
            return self.typed(tree)
        finally:
            self.whole = outer

    def _cast(self, tree: Tree, kind: Kind) -> Tree:
        if kind not in ("bool", "int"):
            return tree
        if isinstance(tree, Call) and tree.op == "np.arange" and not tree.kwargs:
            return Call(tree.op, tree.args, (("dtype", self._dtype()),))
        if kind == "bool" and self._plain(tree):
            return call("float", tree)  # of two plain numbers: Python's True or False
        if kind == "bool" and isinstance(tree, Name) and self._shape(tree) == ():
            return call("float", tree)  # a name of such a truth value, or of NumPy's
        return call("astype", tree, self._dtype())

    def _shape(self, name: Name) -> tuple[Dim, ...] | None:
        """The shape of a name as it is spelled in the emitted code; None: nothing is known."""
        try:
            return self.names.shape(name)
        except (OpError, KeyError):
            return None

    def _plain(self, tree: Tree) -> bool:
        """Whether an expression in NumPy's words is a plain number of Python."""
        match tree:
            case Name(id=name):
                return name == "math.pi" or self.names.kind(name) == "size"
            case Number() | Literal():
                return True
            case Call(op=op, args=args, kwargs=()) if op in _PLAIN or op.startswith("math."):
                return all(map(self._plain, args))
        return False

    def _dtype(self) -> Tree:
        self.names.need("dtype")
        return Name("dtype")

    def _helper(self, name: str, *args: Tree, **kwargs: Tree) -> Call:
        self.names.need(name)
        return call(f"_{name}", *args, **kwargs)

    # -- nodes ----------------------------------------------------------------------------

    def typed(self, tree: Tree) -> Typed:
        match tree:
            case Name(id=name):
                return self._name(name)
            case Number():
                return tree, "size"
            case Literal(value=bool()):
                return tree, "bool"
            case Literal():
                return tree, "size"
            case Items(items=items):
                return Items(tuple(self.typed(i)[0] for i in items)), "size"
            case Slice(start=a, stop=b, step=c):
                parts = [None if p is None else self.integral(p)[0] for p in (a, b, c)]
                return Slice(parts[0], parts[1], parts[2]), "size"
            case Call():
                return self._call(tree)

    def _name(self, name: str) -> Typed:
        kind = self.names.kind(name)
        if name == "pi" and kind == "size":
            self.names.need("math")
            return Name("math.pi"), "size"
        return Name(self.names.python(name)), kind

    def _call(self, tree: Call) -> Typed:
        rule = _RULES.get(tree.op)
        if rule is not None:
            return rule(self, tree)
        if tree.op in FUNCTIONS:
            return self._function(tree)
        raise UnsupportedError(f"the word {tree.op} has no NumPy text")

    def _function(self, tree: Call) -> Typed:
        """A scalar function, entry by entry."""
        op = tree.op
        argument, kind = self.typed(tree.args[0])
        if kind == "size" and op in _MATH:
            self.names.need("math")
            return Call(f"math.{op}", (argument,)), "size"
        if kind == "size" and op == "abs":
            return Call("abs", (argument,)), "size"
        argument = self._cast(argument, kind)
        if op == "erf":
            self.names.need("erf")
            return Call("erf", (argument,)), "real"
        if op in _HELPED:
            return self._helper(op, argument), "real"
        return Call(f"np.{op}", (argument,)), "real"

    # -- arithmetic -----------------------------------------------------------------------

    def arithmetic(self, tree: Call) -> Typed:
        pairs = [self.typed(a) for a in tree.args]
        kinds = {kind for _, kind in pairs}
        if kinds == {"size"}:
            return Call(tree.op, tuple(a for a, _ in pairs)), "size"
        if tree.op == "mul" and kinds == {"bool"}:
            return Call("logical_and", tuple(a for a, _ in pairs)), "bool"
        if tree.op == "sub" and pairs[0][0] == integer(1) and pairs[1][1] == "bool":
            if self._plain(pairs[1][0]):
                return Call("sub", (pairs[0][0], pairs[1][0])), "size"  # ~True is -2
            return call("logical_not", pairs[1][0]), "bool"
        if self.whole and "real" not in kinds:
            return Call(tree.op, tuple(a for a, _ in pairs)), "int"
        # A 0/1 array times a real one keeps the dtype; everything else must be cast.
        mixed = "real" in kinds and "int" not in kinds and tree.op in ("mul", "add", "sub")
        cast = tuple(a if mixed else self._cast(a, k) for a, k in pairs)
        return Call(tree.op, cast), "real"

    def compare(self, tree: Call) -> Typed:
        pairs = [self.integral(a) for a in tree.args]
        return Call(tree.op, tuple(a for a, _ in pairs)), "bool"

    def logic(self, tree: Call) -> Typed:
        if tree.op == "logical_not":
            operand, _ = self.typed(tree.args[0])
            if self._plain(operand):
                return Call("sub", (integer(1), operand)), "size"  # ~True is -2
        return Call(tree.op, tuple(self.typed(a)[0] for a in tree.args)), "bool"

    def plus(self, tree: Call) -> Typed:
        return self.typed(tree.args[0])

    def square(self, tree: Call) -> Typed:
        return self.typed(call("pow", tree.args[0], integer(2)))

    def reciprocal(self, tree: Call) -> Typed:
        return self.typed(call("div", integer(1), tree.args[0]))

    def sqrt(self, tree: Call) -> Typed:
        argument, kind = self.typed(tree.args[0])
        if kind == "size":
            self.names.need("math")
            return call("math.sqrt", argument), "size"
        return call("np.sqrt", self._cast(argument, kind)), "real"

    def where(self, tree: Call) -> Typed:
        condition = self.typed(tree.args[0])[0]
        branches = [self.typed(a) for a in tree.args[1:]]
        shown = Call("np.where", (condition, *(a for a, _ in branches)))
        # Two plain numbers would become float64.
        return (
            (shown, "real")
            if any(k == "real" for _, k in branches)
            else (self._cast(shown, "int"), "real")
        )

    def choose(self, tree: Call) -> Typed:
        """maximum, minimum."""
        pairs = [self.typed(a) for a in tree.args]
        return Call(_ELEMENTWISE[tree.op], tuple(self._cast(a, k) for a, k in pairs)), "real"

    def clip(self, tree: Call) -> Typed:
        return Call("np.clip", tuple(self.real(a) for a in tree.args)), "real"

    def relu(self, tree: Call) -> Typed:
        return call("np.maximum", self.real(tree.args[0]), integer(0)), "real"

    def leaky_relu(self, tree: Call) -> Typed:
        slope = self.real(tree.args[1]) if len(tree.args) > 1 else Name("0.01")
        return self._helper("leaky_relu", self.real(tree.args[0]), slope), "real"

    # -- reductions -----------------------------------------------------------------------

    def reduction(self, tree: Call) -> Typed:
        """sum, mean, max, min: methods of arrays."""
        operand, kind = self.typed(tree.args[0])
        return Call(tree.op, (self._cast(operand, kind), *self._rest(tree)), tree.kwargs), "real"

    def counted(self, tree: Call) -> Typed:
        """A sum of comparisons counts in the dtype of the reals."""
        operand, kind = self.typed(tree.args[0])
        kwargs = tree.kwargs
        if kind in ("bool", "int"):
            kwargs = (*kwargs, ("dtype", self._dtype()))
        return Call(tree.op, (operand, *self._rest(tree)), kwargs), "real"

    def _rest(self, tree: Call) -> tuple[Tree, ...]:
        return tuple(self.integral(a)[0] for a in tree.args[1:])

    def spread(self, tree: Call) -> Typed:
        """var and std, whose ddof may be a size."""
        kwargs = tuple((k, self.integral(v)[0]) for k, v in tree.kwargs)
        return Call(tree.op, (self.real(tree.args[0]),), kwargs), "real"

    def norm(self, tree: Call) -> Typed:
        axis = tree.keyword("axis")
        if isinstance(axis, Items) and len(axis.items) > 2:
            squares = Call("sum", (call("pow", tree.args[0], integer(2)),), tree.kwargs)
            return self.sqrt(call("sqrt", squares))
        return Call("np.linalg.norm", (self.real(tree.args[0]),), tree.kwargs), "real"

    def position(self, tree: Call) -> Typed:
        """argmax and argmin; NumPy takes one axis only."""
        operand = self.real(tree.args[0])
        axis = tree.keyword("axis")
        if isinstance(axis, Items):
            if tree.op == "argmin":
                operand = call("neg", operand)
            return self._helper("argbest", operand, axis), "int"
        return Call(tree.op, (operand,), tree.kwargs), "int"

    def helped(self, tree: Call) -> Typed:
        """softmax and its family."""
        self.names.need(tree.op)
        return Call(f"_{tree.op}", (self.real(tree.args[0]),), tree.kwargs), "real"

    # -- products -------------------------------------------------------------------------

    def matmul(self, tree: Call) -> Typed:
        return call("matmul", *(self.real(a) for a in tree.args)), "real"

    def outer(self, tree: Call) -> Typed:
        return call("np.outer", *(self.real(a) for a in tree.args)), "real"

    def einsum(self, tree: Call) -> Typed:
        operands = tuple(self.real(a) for a in tree.args[1:])
        several: tuple[tuple[str, Tree], ...] = ()
        if len(operands) > 1:
            several = (("optimize", Literal(True)),)
        return Call("np.einsum", (tree.args[0], *operands), several), "real"

    def contract(self, tree: Call) -> Typed:
        """An einsum of two operands that is a sum of products, which needs no path."""
        return Call("np.einsum", (tree.args[0], *(self.real(a) for a in tree.args[1:]))), "real"

    def vecdot(self, tree: Call) -> Typed:
        return call("np.vecdot", *(self.real(a) for a in tree.args)), "real"

    def linear(self, tree: Call) -> Typed:
        return call(_LINEAR[tree.op], self.real(tree.args[0])), "real"

    def solve(self, tree: Call) -> Typed:
        return call("np.linalg.solve", *(self.real(a) for a in tree.args)), "real"

    def inverse_cholesky(self, tree: Call) -> Typed:
        factor = call("np.linalg.cholesky", self.real(tree.args[0]))
        return call("np.linalg.inv", factor), "real"

    def logdet(self, tree: Call) -> Typed:
        pair = call("np.linalg.slogdet", self.real(tree.args[0]))
        return call("getitem", pair, integer(1)), "real"

    # -- shapes ---------------------------------------------------------------------------

    def view(self, tree: Call) -> Typed:
        """A rearrangement keeps the kind of its entries."""
        operand, kind = self.typed(tree.args[0])
        rest = self._rest(tree)
        kwargs = tuple((k, self.integral(v)[0]) for k, v in tree.kwargs)
        return Call(_VIEWS.get(tree.op, tree.op), (operand, *rest), kwargs), kind

    def reshape(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        op = tree.op
        none = len(tree.args) > 1 and tree.args[1] == Items(())
        if none or not self.names.shape(tree.args[0]):
            op = f"np.{op}"  # a plain Python number has no methods
        return Call(op, (operand, *self._rest(tree))), "real" if kind == "size" else kind

    def getitem(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        return call("getitem", operand, self.integral(tree.args[1])[0]), kind

    def rot180(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        back = Slice(None, None, integer(-1))
        return call("getitem", operand, Items((Literal("..."), back, back))), kind

    def broadcast_to(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        shape = self.integral(tree.args[1])[0]
        if kind == "size":
            return call("np.full", shape, operand, self._dtype()), "real"
        return call("np.broadcast_to", operand, shape), kind

    def joined(self, tree: Call) -> Typed:
        (parts,) = tree.args
        items = parts.items if isinstance(parts, Items) else (parts,)
        shown = Items(tuple(self._array(i) for i in items))
        kwargs = tuple((k, self.typed(v)[0] if k == "out" else v) for k, v in tree.kwargs)
        return Call(_JOINED[tree.op], (shown,), kwargs), "real"

    def _array(self, tree: Tree) -> Tree:
        return self.real(tree)

    # -- arrays from nothing --------------------------------------------------------------

    def filled(self, tree: Call) -> Typed:
        sizes = self.integral(tree.args[0])[0]
        return Call(_FILLED[tree.op], (sizes,), (("dtype", self._dtype()),)), "real"

    def full(self, tree: Call) -> Typed:
        sizes = self.integral(tree.args[0])[0]
        return call("np.full", sizes, self.real(tree.args[1]), self._dtype()), "real"

    def like(self, tree: Call) -> Typed:
        return call(f"np.{tree.op}", self.real(tree.args[0])), "real"

    def arange(self, tree: Call) -> Typed:
        return call("np.arange", self.integral(tree.args[0])[0]), "int"

    def onehot(self, tree: Call) -> Typed:
        classes = self._classes(tree.args[0], tree.args[1:])
        shown = self.integral(tree.args[0])[0], classes, self._dtype()
        return self._helper("onehot", *shown), "real"

    def scatter_add(self, tree: Call) -> Typed:
        labels, rows, *classes = tree.args
        shown = self.integral(labels)[0], self.real(rows), self._classes(labels, classes)
        return self._helper("scatter_add", *shown), "real"

    def _classes(self, labels: Tree, given: Sequence[Tree]) -> Tree:
        """The number of classes, given or known from the labels."""
        if given:
            return self.integral(given[0])[0]
        size = self.names.classes(labels)
        if size is None:
            raise UnsupportedError("the number of classes of the labels is not known")
        return self.integral(dim_tree(size))[0]


_Rule: TypeAlias = Callable[[_Translation, Call], Typed]


def _rules(rule: _Rule, *words: str) -> dict[str, _Rule]:
    return dict.fromkeys(words, rule)


_T = _Translation
_RULES: Mapping[str, _Rule] = {
    **_rules(_T.arithmetic, "add", "sub", "mul", "div", "floordiv", "neg", "pow"),
    **_rules(_T.compare, *_COMPARISONS),
    **_rules(_T.logic, "logical_and", "logical_or", "logical_not"),
    **_rules(_T.choose, *_ELEMENTWISE),
    **_rules(_T.reduction, "mean", "max", "min"),
    **_rules(_T.counted, "sum", "cumsum"),
    **_rules(_T.spread, "var", "std"),
    **_rules(_T.position, "argmax", "argmin"),
    **_rules(_T.helped, "softmax", "log_softmax", "logsumexp"),
    **_rules(_T.linear, *_LINEAR),
    **_rules(_T.view, "transpose", *_VIEWS),
    **_rules(_T.reshape, "reshape", "ravel"),
    **_rules(_T.joined, *_JOINED),
    **_rules(_T.filled, *_FILLED),
    **_rules(_T.like, "zeros_like", "ones_like"),
    "trace": _T.reduction, "pos": _T.plus, "square": _T.square, "reciprocal": _T.reciprocal,
    "sqrt": _T.sqrt, "where": _T.where, "clip": _T.clip, "relu": _T.relu,
    "leaky_relu": _T.leaky_relu, "norm": _T.norm, "matmul": _T.matmul, "outer": _T.outer,
    "contract": _T.contract, "vecdot": _T.vecdot,
    "einsum": _T.einsum, "solve": _T.solve, "inverse_cholesky": _T.inverse_cholesky,
    "logdet": _T.logdet, "getitem": _T.getitem, "rot180": _T.rot180,
    "broadcast_to": _T.broadcast_to, "full": _T.full, "arange": _T.arange, "onehot": _T.onehot,
    "scatter_add": _T.scatter_add,
}  # fmt: skip
