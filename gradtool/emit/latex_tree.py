"""Array expressions as LaTeX, so that they can be read in one way only.

Between arrays ⊙ is the elementwise product and juxtaposition the matrix product, so ranks decide
what is printed.  A sum over an axis shows the axis as an index of its operand, ``\\sum_{n}
X_{n,:}``; ``[a_{n}]_{n}`` is the array with these entries; ``\\bullet`` is a new axis of size one.
Functions and fractions act entry by entry, and so does a power with ⊙.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from gradtool.emit.indices import fresh_indices, is_telling
from gradtool.emit.latex_names import latex_name, text_latex
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.index import Index
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, integer
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, field

# What binds less stands in brackets inside what binds more.  A text at BIG reaches to its right
# end (a Σ) and may stand rightmost.
SUM, BIG, HADAMARD, MATMUL, SCALAR, POWER, ATOM = range(7)

_FUNCTIONS = {
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "arctan",
    "det",
    "max",
    "min",
}
_RENAMED = {"maximum": "max", "minimum": "min", "trace": "tr", "broadcast_to": "broadcast"}
_RELATIONS = {"gt": ">", "ge": "\\ge", "lt": "<", "le": "\\le", "eq": "=", "ne": "\\ne"}
_LOGIC = {"logical_and": "\\wedge", "logical_or": "\\vee"}
ALL = ":"


class Shown(Struct, frozen=True):
    """A piece of LaTeX, how strongly its outermost operator binds, and whether a minus leads it."""

    text: str
    strength: int = ATOM
    minus: bool = False


class Notation(Struct, frozen=True):
    """What names mean.

    Attributes:
        names: LaTeX of each name; others are printed as they are spelled.
        cotangents: ``dY -> Y``: printed as the derivative of the loss with respect to Y.
        loss: LaTeX of the loss.
        shape: the shape of an expression in which indices with these sizes occur too; None when
            it is not known.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    cotangents: Mapping[str, str] = field(default_factory=dict)
    loss: str = "L"
    shape: Callable[[Tree, Mapping[str, Dim]], tuple[Dim, ...] | None] = lambda tree, indices: None


Rule: TypeAlias = "Callable[[Printer, Call], Shown | None]"
Entry: TypeAlias = "Callable[[Printer, Call, list[str]], Shown | None]"


class Words(Struct, frozen=True):
    """How words are printed; what has no rule, or one that gives None, is printed as a function.

    Attributes:
        rules: the whole value.
        entries: the entry at given indices, for words that are read best entry by entry.
        elementwise: words whose entries are the word applied to entries.
    """

    rules: Mapping[str, Rule]
    entries: Mapping[str, Entry]
    elementwise: Collection[str]


class Printer:
    """Prints nodes of a tree."""

    def __init__(self, notation: Notation, words: Words) -> None:
        self.notation = notation
        self.words = words
        self.entrywise = False  # inside index notation, where everything is a number
        self.letters: dict[str, Dim] = {}  # indices of the sums around, with their sizes

    def show(self, tree: Tree) -> Shown:
        match tree:
            case Name():
                return self.name(tree.id)
            case Number(value=value, text=written):
                return _number(written or str(value))
            case Literal(value="..."):
                return Shown("\\dots")
            case Literal(value=str() as text):
                return Shown(f"\\text{{{text_latex(text)}}}")
            case Literal(value=value):
                return Shown(f"\\mathrm{{{value}}}")
            case Items(items=items):
                return Shown(bracketed(", ".join(self.text(item) for item in items)))
            case Slice(start=start, stop=stop, step=step):
                parts = [start, stop, *([] if step is None else [step])]
                return Shown("{:}".join("" if p is None else self.text(p) for p in parts))
            case Call(op=op):
                rule = self.words.rules.get(op)
                shown = rule(self, tree) if rule is not None else None
                return shown if shown is not None else self.function(tree)

    def text(self, tree: Tree) -> str:
        return self.show(tree).text

    def within(self, tree: Tree, least: int) -> str:
        """The text, in brackets when it binds less than `least`."""
        return held(self.show(tree), least)

    def shape(self, tree: Tree) -> tuple[Dim, ...] | None:
        if self.entrywise or isinstance(tree, Number):
            return ()
        return self.notation.shape(tree, self.letters)

    def rank(self, tree: Tree) -> int | None:
        shape = self.shape(tree)
        return None if shape is None else len(shape)

    # -- names and entries ----------------------------------------------------------------

    def name(self, name: str, subscript: str = "") -> Shown:
        """A name, or one of its entries."""
        if name in self.letters:
            return Shown(name)
        of = self.notation.cotangents.get(name)
        if of is not None:
            below = f"\\partial {self.name(of, subscript).text}"
            return Shown(f"\\frac{{\\partial {self.notation.loss}}}{{{below}}}", POWER)
        shown = self.notation.names.get(name) or latex_name(name)
        if not subscript:
            return Shown(shown)
        # W_{1}_{n} is no LaTeX, and an index at a fraction would belong to its bar.
        base = bracketed(shown) if "_" in shown or "\\frac" in shown else shown
        return Shown(f"{base}_{{{subscript}}}")

    def entry(self, tree: Tree, places: Sequence[str]) -> Shown:
        """The entries of an array at indices, ``:`` for the axes that stay."""
        if all(place == ALL for place in places):
            return self.show(tree)
        if isinstance(tree, Name):
            return self.name(tree.id, ",".join(places))
        if isinstance(tree, Call) and tree.op in self.words.elementwise:
            parts = [self._at(argument, places) for argument in tree.args]
            if None not in parts:
                return self.show(Call(tree.op, tuple(p for p in parts if p), tree.kwargs))
        if isinstance(tree, Call) and tree.op in self.words.entries and ALL not in places:
            inner = self.words.entries[tree.op](self, tree, list(places))
            if inner is not None:
                return inner
        return Shown(f"{bracketed(self.text(tree))}_{{{','.join(places)}}}")

    def _at(self, tree: Tree, places: Sequence[str]) -> Tree | None:
        """An operand at the indices that it broadcasts along."""
        shape = self.shape(tree)
        if shape is None:
            return None
        own = list(places)[len(places) - len(shape) :]
        own = [
            "0" if size == ONE and place != ALL else place
            for size, place in zip(shape, own, strict=True)
        ]
        if all(place == ALL for place in own):
            return tree
        whole = Slice(None, None, None)
        index = (whole if o == ALL else integer(0) if o == "0" else Name(o) for o in own)
        return Call("getitem", (tree, Items(tuple(index))))

    def places(self, index: Tree) -> list[str] | None:
        """The indices that `_at` wrote, None for any other index."""
        items = index.items if isinstance(index, Items) else (index,)
        found = []
        for item in items:
            if isinstance(item, Name) and item.id in self.letters:
                found.append(item.id)
            elif item == integer(0):
                found.append("0")
            elif item == Slice(None, None, None):
                found.append(ALL)
        return found if len(found) == len(items) and set(found) - {"0", ALL} else None

    def collected(self, tree: Call) -> Shown | None:
        """``[a_{n}]_{n}``, the array of all entries, for what is read best entry by entry."""
        shape = self.shape(tree)
        if not shape:
            return None
        with self.indices(shape) as places:
            inner = self.words.entries[tree.op](self, tree, places)
        if inner is None:
            return None
        return Shown(f"\\left[{inner.text}\\right]_{{{','.join(places)}}}")

    @contextmanager
    def indices(self, sizes: Sequence[Dim]) -> Iterator[list[str]]:
        """Indices for axes, unlike those of the sums around; 0 for an axis of size one."""
        before = self.letters
        axes = [Index(str(k), size) for k, size in enumerate(sizes)]
        fresh = fresh_indices(axes, before.keys() | self.notation.names.keys()).values()
        self.letters = before | {index.name: index.size for index in fresh}
        try:
            yield ["0" if index.size == ONE else index.name for index in fresh]
        finally:
            self.letters = before

    @contextmanager
    def numbers(self) -> Iterator[None]:
        """Index notation: everything is a number."""
        before, self.entrywise = self.entrywise, True
        try:
            yield
        finally:
            self.entrywise = before

    # -- operators ------------------------------------------------------------------------

    def product(self, left: Shown, right: Shown, strength: int) -> Shown:
        """HADAMARD, MATMUL or SCALAR; a minus in front and a Σ at the end need no brackets."""
        clash = strength == HADAMARD and left.strength == MATMUL
        inside = left.strength < strength or clash  # a minus within brackets leads no more
        first = bracketed(left.text) if inside else left.text
        free = {HADAMARD: (BIG, SCALAR), MATMUL: (BIG,), SCALAR: (BIG, MATMUL, SCALAR)}[strength]
        fits = not right.minus and (right.strength >= POWER or right.strength in free)
        second = right.text if fits else bracketed(right.text)
        sign = " \\odot " if strength == HADAMARD else _between(first, second)
        reach = right.strength if fits and right.strength in (BIG, MATMUL) else strength
        leads = left.minus and not inside
        return Shown(f"{first}{sign}{second}", min(reach, strength), leads)

    def fraction(self, above: Shown, below: Shown, *, arrays: bool) -> Shown:
        """``\\frac{a}{b}``; a numerator that is tall itself stands behind ``\\frac{1}{b}``."""
        if "\\frac" in above.text or "\\begin" in above.text:
            one = Shown(f"\\frac{{1}}{{{below.text}}}", POWER, above.minus)
            bare = Shown(
                above.text.removeprefix("-") if above.minus else above.text, above.strength
            )
            made = self.product(one, bare, HADAMARD if arrays else SCALAR)
            return Shown(f"-{made.text}", made.strength, True) if above.minus else made
        text = above.text.removeprefix("-") if above.minus else above.text
        sign = "-" if above.minus else ""
        return Shown(f"{sign}\\frac{{{text}}}{{{below.text}}}", POWER, above.minus)

    def reduction(self, word: str, under: str, body: Shown) -> Shown:
        head = f"\\{word}" if word in ("sum", "max", "min") else f"\\operatorname*{{{word}}}"
        return Shown(f"{head}_{{{under}}} {held(body, BIG)}", BIG)

    def under(self, name: str, size: Tree | Dim) -> str:
        """An index under a Σ, with its range where the name does not tell it."""
        tree = dim_tree(size) if isinstance(size, Dim) else size
        if isinstance(tree, Name) and is_telling(name, Dim.of(tree.id)):
            return name
        return f"{name}<{self.text(tree)}"

    # -- functions ------------------------------------------------------------------------

    def function(self, tree: Call) -> Shown:
        """Any word: ``\\operatorname{clip}(X, -1, 1)``."""
        arguments = ", ".join(self.text(argument) for argument in tree.args)
        for key, value in tree.kwargs:
            arguments += f"{'; ' if arguments else ''}\\mathrm{{{text_latex(key)}}}"
            arguments += f" = {self.text(value)}"
        return Shown(self.word(tree.op) + bracketed(arguments), POWER)

    def word(self, op: str) -> str:
        word = _RENAMED.get(op, op)
        if word == "sigmoid" and "\\sigma" not in self.notation.names.values():
            return "\\sigma"
        return f"\\{word}" if word in _FUNCTIONS else f"\\operatorname{{{text_latex(word)}}}"

    def sizes(self, shape: Sequence[Dim]) -> str:
        return " \\times ".join(self.within(dim_tree(dim), HADAMARD) for dim in shape)

    def condition(self, tree: Tree) -> str:
        """What stands in ``1[…]`` or after "if"."""
        if isinstance(tree, Call) and len(tree.args) == 2 and tree.op in _RELATIONS:
            left, right = tree.args
            return f"{self.text(left)} {_RELATIONS[tree.op]} {self.text(right)}"
        if isinstance(tree, Call) and len(tree.args) == 2 and tree.op in _LOGIC:
            sides = [
                bracketed(self.condition(side))
                if isinstance(side, Call) and side.op in _LOGIC
                else self.condition(side)
                for side in tree.args
            ]
            return f"{sides[0]} {_LOGIC[tree.op]} {sides[1]}"
        if isinstance(tree, Call) and tree.op == "logical_not" and len(tree.args) == 1:
            return f"\\neg {bracketed(self.condition(tree.args[0]))}"
        return self.text(tree)


def bracketed(text: str) -> str:
    return f"\\left({text}\\right)"


def held(shown: Shown, least: int) -> str:
    """A piece as an operand that must bind at least so strongly."""
    return bracketed(shown.text) if shown.minus or shown.strength < least else shown.text


def _between(first: str, second: str) -> str:
    """What stands between two factors that are written side by side."""
    call_like = second.startswith("\\left(") and not first.endswith(("\\right)", "}"))
    return " \\cdot " if second[0].isdigit() or call_like else " \\, "


def _number(written: str) -> Shown:
    """A number as it was written; 1e-5 becomes a power of ten."""
    minus = written.startswith("-")
    sign, digits = ("-", written[1:]) if minus else ("", written)
    if "/" in digits:
        above, below = digits.split("/")
        return Shown(f"{sign}\\frac{{{above}}}{{{below}}}", POWER, minus)
    mantissa, _, exponent = digits.lower().replace("_", "").partition("e")
    if not exponent:
        return Shown(sign + mantissa, ATOM, minus)
    power = f"10^{{{int(exponent)}}}"
    if mantissa in ("1", "1.", "1.0"):
        return Shown(sign + power, POWER, minus)
    return Shown(f"{sign}{mantissa} \\cdot {power}", SCALAR, minus)
