"""Array expressions in the words of a framework: what PyTorch and JAX have in common.

The trees are the ones that text and NumPy code print.  A translation follows the kind of every
subexpression, since the spec language counts a comparison as 0 or 1 and a position as a number,
where the frameworks refuse to subtract booleans and turn integers into their default float type:
it casts to the dtype of the layer's own arrays exactly where that would change a value or a dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias

from gradtool.emit.numpy_words import Kind, Names, Typed
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
from gradtool.ops.shape import dim_tree

Rule: TypeAlias = "Callable[[Any, Call], Typed]"

COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne")
ARITHMETIC = ("add", "sub", "mul", "div", "floordiv", "neg", "pow")
# What Python's own `math` has for plain numbers, such as ``sqrt(E)`` of a size.
_MATH = frozenset(
    ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "log1p", "expm1", "log2",
     "log10", "sqrt")
)  # fmt: skip
HALF = Number(Fraction(1, 2), "0.5")


class Words:
    """Translates expressions of the spec language for one framework.

    Args:
        names: what is known of the names that occur.
        like: the name of a real array whose dtype and device new arrays take.

    Attributes of a dialect:
        framework: its name, for messages.
        functions: the text of the elementwise functions.
        rules: the translation of every other word.
    """

    framework: ClassVar[str]
    functions: ClassVar[Mapping[str, str]]
    rules: ClassVar[Mapping[str, Rule]]

    def __init__(self, names: Names, like: str) -> None:
        self.names = names
        self.like = like
        self.whole = False  # inside a comparison or an index: integers stay integers
        self.steps: set[str] = set()  # the numbers of loops' steps

    # -- what a dialect says ---------------------------------------------------------------

    def cast(self, tree: Tree, kind: Kind) -> Tree:
        """The expression as a real array, or a plain number."""
        raise NotImplementedError

    def number_array(self, value: Tree) -> Tree:
        """A plain number as an array without axes, of the dtype of the layer."""
        raise NotImplementedError

    def picked(self, tree: Call) -> Typed:
        """``where(condition, x, y)``."""
        raise NotImplementedError

    def of_integers(self, zeros: Tree) -> Tree:
        """An array of zeros, of integers instead."""
        raise NotImplementedError

    def fresh_copy(self, tree: Tree) -> Tree:
        """An array that may be written to."""
        raise NotImplementedError

    step_kind: ClassVar[Kind]  # of the number of a loop's step
    forgets_steps: ClassVar[bool] = False  # a step is a function: its values end with it

    # -- kinds -----------------------------------------------------------------------------

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Whether every word has a text; the others are written from index notation."""
        if isinstance(tree, Call):
            if tree.op not in cls.rules and tree.op not in cls.functions:
                return False
            if tree.keyword("over") is not None:
                return False
            if tree.op in ("argmax", "argmin") and tree.keyword("size") is not None:
                return False  # the winner of a window
        return all(cls.knows(child) for child in children(tree))

    def real(self, tree: Tree) -> Tree:
        return self.cast(*self.typed(tree))

    def array(self, tree: Tree) -> Tree:
        """The expression as a real array, also where it is a plain number."""
        return self.cast(*self.arrayed(tree))

    def arrayed(self, tree: Tree) -> Typed:
        """The expression; of a plain number, an array without axes."""
        shown, kind = self.typed(tree)
        return (self.number_array(shown), "real") if kind == "size" else (shown, kind)

    def integral(self, tree: Tree) -> Typed:
        outer, self.whole = self.whole, True
        try:
            return self.typed(tree)
        finally:
            self.whole = outer

    def position(self, tree: Tree) -> Tree:
        """An expression of sizes, positions or labels, which stay integers."""
        return self.integral(tree)[0]

    def need(self, helper: str, *args: Tree, **kwargs: Tree) -> Call:
        """A call of a helper that the module brings along."""
        self.names.need(helper)
        return call(f"_{helper}", *args, **kwargs)

    def rank(self, tree: Tree) -> int:
        return len(self.names.shape(tree))

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
                first, last, by = (None if p is None else self.position(p) for p in (a, b, c))
                return Slice(first, last, by), "size"
            case Call():
                return self._call(tree)

    def _name(self, name: str) -> Typed:
        kind = self.step_kind if name in self.steps else self.names.kind(name)
        if name == "pi" and kind == "size":
            self.names.need("math")
            return Name("math.pi"), "size"
        return Name(self.names.python(name)), kind

    def _call(self, tree: Call) -> Typed:
        rule = self.rules.get(tree.op)
        if rule is not None:
            return rule(self, tree)
        if tree.op in self.functions:
            return self._function(tree)
        raise UnsupportedError(f"the word {tree.op} in {self.framework} code")

    def _function(self, tree: Call) -> Typed:
        """A scalar function, entry by entry."""
        argument, kind = self.typed(tree.args[0])
        if kind == "size" and tree.op in _MATH:
            self.names.need("math")
            return call(f"math.{tree.op}", argument), "size"
        if kind == "size" and tree.op == "abs":
            return call("abs", argument), "size"
        argument = self.number_array(argument) if kind == "size" else self.cast(argument, kind)
        text = self.functions[tree.op]
        if text.startswith("_"):
            self.names.need(text[1:])
        return call(text, argument), "real"

    # -- arithmetic ------------------------------------------------------------------------

    # Operators that take a 0/1 array beside a real one as it is.
    with_truths: ClassVar[tuple[str, ...]] = ("mul", "add")

    def arithmetic(self, tree: Call) -> Typed:
        pairs = [self.typed(a) for a in tree.args]
        plain = tuple(a for a, _ in pairs)
        kinds = {kind for _, kind in pairs}
        if kinds == {"size"}:
            return Call(tree.op, plain), "size"
        if tree.op == "mul" and kinds == {"bool"}:
            return Call("logical_and", plain), "bool"
        if tree.op == "sub" and plain[0] == integer(1) and pairs[1][1] == "bool":
            return call("logical_not", plain[1]), "bool"
        if self.whole and "real" not in kinds:
            return Call(tree.op, plain), "int"
        if kinds == {"real", "bool"} and tree.op in self.with_truths:
            return Call(tree.op, plain), "real"
        return Call(tree.op, tuple(self.cast(a, k) for a, k in pairs)), "real"

    def compare(self, tree: Call) -> Typed:
        pairs = [self.integral(a) for a in tree.args]
        # Of two plain numbers it is Python's True or False: 1 or 0, and ~True is -2.
        plain = all(kind == "size" for _, kind in pairs)
        return Call(tree.op, tuple(a for a, _ in pairs)), "size" if plain else "bool"

    def logic(self, tree: Call) -> Typed:
        if tree.op == "logical_not":
            operand, kind = self.typed(tree.args[0])
            if kind == "size":
                return Call("sub", (integer(1), operand)), "size"
        pairs = [self.typed(a) for a in tree.args]
        plain = all(kind == "size" for _, kind in pairs)
        return Call(tree.op, tuple(a for a, _ in pairs)), "size" if plain else "bool"

    def plus(self, tree: Call) -> Typed:
        return self.typed(tree.args[0])

    def square(self, tree: Call) -> Typed:
        return self.typed(call("pow", tree.args[0], integer(2)))

    def reciprocal(self, tree: Call) -> Typed:
        return self.typed(call("div", integer(1), tree.args[0]))

    # -- products --------------------------------------------------------------------------

    def matmul(self, tree: Call) -> Typed:
        return call("matmul", *(self.real(a) for a in tree.args)), "real"

    # -- indexing --------------------------------------------------------------------------

    def getitem(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        index = tree.args[1]
        entries = index.items if isinstance(index, Items) else (index,)
        return call("getitem", operand, Items(tuple(map(self.position, entries)))), kind

    def classes(self, tree: Call, place: int) -> Tree:
        """The number of classes of the labels, given as the argument `place` or by themselves."""
        if len(tree.args) > place:
            return self.position(tree.args[place])
        size = self.names.classes(tree.args[0])
        if size is None:
            raise UnsupportedError(f"{tree.op} of labels whose number of classes is not known")
        return self.position(dim_tree(size))

    def scatter_add(self, tree: Call) -> Typed:
        labels, rows = self.position(tree.args[0]), self.real(tree.args[1])
        return self.need("scatter_add", labels, rows, self.classes(tree, 2)), "real"

    def parts(self, tree: Call) -> Items:
        """The arrays that are joined."""
        (parts,) = tree.args
        items = parts.items if isinstance(parts, Items) else (parts,)
        return Items(tuple(map(self.real, items)))


def as_items(tree: Tree) -> tuple[Tree, ...]:
    return tree.items if isinstance(tree, Items) else (tree,)


def several(rule: Rule, *words: str) -> dict[str, Rule]:
    """One rule for several words."""
    return dict.fromkeys(words, rule)


COMMON: Mapping[str, Rule] = {
    **several(Words.arithmetic, *ARITHMETIC),
    **several(Words.compare, *COMPARISONS),
    **several(Words.logic, "logical_and", "logical_or", "logical_not"),
    "pos": Words.plus,
    "square": Words.square,
    "reciprocal": Words.reciprocal,
    "matmul": Words.matmul,
    "where": lambda words, tree: words.picked(tree),
    "getitem": lambda words, tree: words.getitem(tree),
    "scatter_add": Words.scatter_add,
}
