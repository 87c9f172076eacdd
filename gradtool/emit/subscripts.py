"""The subscript form: ``dW[d,c] = Σ_n X[n,d] dY[n,c]``, printed from the normal form.

An index is called after the size that it runs over (n for N; n' for a second index over N), a sum
reaches to the next + or -, ``1[…]`` is 1 where the condition holds and 0 elsewhere, and indices
count from 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

from gradtool.derive.derivation import Derivation
from gradtool.derive.factor import nested
from gradtool.derive.line import Line
from gradtool.derive.numerals import decimal
from gradtool.derive.raising import simplest
from gradtool.derive.units import Choice, Contraction, Product, Sum, Unit
from gradtool.emit.indices import fresh_indices, is_telling, replaced
from gradtool.emit.text import operand
from gradtool.emit.values import Values
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
)
from gradtool.ir.walk import accesses
from gradtool.ops.affine import is_negative, sides
from gradtool.records import Struct

_LARGEST_DIVISOR = 16  # a larger one is written as a decimal


class Style(Struct, frozen=True):
    """The signs of one alphabet."""

    sum: str
    pi: str
    relations: Mapping[str, str]


UNICODE = Style("Σ", "π", {">": ">", ">=": "≥", "<": "<", "<=": "≤", "==": "=", "!=": "≠"})
ASCII = Style("sum", "pi", {**{r: r for r in (">", ">=", "<", "<=", "!=")}, "==": "="})


def subscript_lines(derivation: Derivation, *, ascii: bool = False) -> tuple[str, ...]:
    """One text for each line of a derivation, in the same order, under the same names.

    An expression that only the array form shares between lines is left out: it is written out.
    """
    texts = subscripts(derivation, ascii=ascii)
    return tuple(texts[p.name] for p in derivation.lines if p.role != "inner" or p.of)


def subscripts(derivation: Derivation, *, ascii: bool = False) -> dict[str, str]:
    """The subscript form of every line of a derivation but those of loops, by the line's name."""
    printer = Printer(Values(derivation), ASCII if ascii else UNICODE)
    return {line.name: printer.line(line) for line in derivation.lines if line.block is None}


class Printer:
    """Prints statements of one derivation.

    Attributes:
        left: the place on the left side of each free index of the line under way.
    """

    def __init__(self, values: Values, style: Style) -> None:
        self.values = values
        self.style = style
        self.left: dict[str, int] = {}

    # -- lines ----------------------------------------------------------------------------

    def line(self, line: Line) -> str:
        statement = self.values.statement(line)
        self.values.current = line.name
        if isinstance(statement, Statement):
            free = self.renamed(statement.free, ())
            used = frozenset(i.name for i in free.values())
            self.left = {i.name: k for k, i in enumerate(free.values())}
            body = statement.body.substitute(replaced(free))
            left = self.entries(line.name, [Affine.of(free[i]) for i in statement.free])
            return f"{left} = {self.reduced(statement, body, used)}{_note(statement)}"
        # A reshape, a matrix function, or the upstream gradient itself.
        made = [Index(f"@{k}", size) for k, size in enumerate(line.shape)]
        entries = [Affine.of(index) for index in self.renamed(made, ()).values()]
        return f"{self.entries(line.name, entries)} = " + self.entries(operand(line.tree), entries)

    def reduced(self, statement: Statement, body: Poly, used: frozenset[str]) -> str:
        if statement.reduce == "sum":
            return self.poly(body, used)
        bound = self.renamed(statement.bound, used)
        inner = body.substitute(replaced(bound))
        text = self.poly(inner, used | {i.name for i in bound.values()})
        word = f"{statement.reduce}_{self.under(bound)}"
        return f"{word} ({text})" if len(inner.terms) > 1 else f"{word} {text}"

    # -- indices --------------------------------------------------------------------------

    def renamed(self, indices: Iterable[Index], used: Collection[str]) -> dict[Index, Index]:
        return fresh_indices(indices, self.values.taken | set(used))

    def under(self, bound: Mapping[Index, Index]) -> str:
        """What stands under a Σ: names, with the range where the name does not tell it."""
        parts = []
        for index in bound.values():
            telling = is_telling(index.name, index.size)
            parts.append(index.name if telling else f"{index.name}<{dim_text(index.size)}")
        text = ",".join(parts)
        return text if len(parts) == 1 and "<" not in text else f"{{{text}}}"

    def entries(self, base: str, entries: Sequence[Affine]) -> str:
        if not entries:
            return base
        return f"{base}[{','.join(self.affine(e) for e in entries)}]"

    def affine(self, value: Affine) -> str:
        """``stride*i+p-pad``, positive parts first."""
        plus: list[str] = []
        minus: list[str] = []
        for place, coefficient in value.terms:
            negative = is_negative(coefficient)
            by = -coefficient if negative else coefficient
            position = self.position(place)
            shown = position if by == ONE else f"{_factor_dim(by)}*{position}"
            (minus if negative else plus).append(shown)
        if value.const.terms or not value.terms:
            constant = dim_text(value.const)
            if constant.startswith("-"):
                minus.append(constant[1:])
            else:
                plus.append(constant)
        return "+".join(plus) + "".join(f"-{part}" for part in minus)

    def position(self, position: Index | Label) -> str:
        if isinstance(position, Index):
            return position.name
        return self.entries(self.values.base(position.tensor.name), position.index)

    # -- expressions ----------------------------------------------------------------------

    def poly(self, body: Poly, used: frozenset[str]) -> str:
        """A sum of products, common factors pulled out."""
        opened = self.values.expanded(body)
        return self.sum(nested(opened), used) if opened.terms else "0"

    def sum(self, total: Sum, used: frozenset[str]) -> str:
        text = ""
        for part in total.products:
            minus = part.coefficient < 0
            sign = (" - " if minus else " + ") if text else "-" if minus else ""
            text += sign + self.product(part, used)
        return text or "0"

    def product(self, part: Product, used: frozenset[str]) -> str:
        """The absolute value of a product; a Σ comes last, because it reaches to the end."""
        above: list[str] = []
        below: list[str] = []
        sums: list[str] = []
        for sign, group in ((1, above), (-1, below)):
            roots = [
                self.unit(u, used)
                for u, e in part.factors
                if isinstance(u, Number | Symbol | Size) and e == Fraction(sign, 2)
            ]
            if roots:
                group.append(f"sqrt({_joined(roots)})")
        for unit, exponent in part.factors:
            if isinstance(unit, Contraction) and exponent == 1:
                sums.append(self.contraction(unit, used))
                below += self.counts(unit)
            elif isinstance(unit, Number | Symbol | Size) and abs(exponent) == Fraction(1, 2):
                continue
            else:
                (above if exponent > 0 else below).append(self.power(unit, abs(exponent), used))
        size = abs(part.coefficient)
        short = decimal(size) if size.denominator > _LARGEST_DIVISOR else None
        if short is not None:
            above.insert(0, short)
            size = Fraction(1)
        if size.numerator != 1:
            above.insert(0, _integer(size.numerator))
        if size.denominator != 1:
            below.insert(0, _integer(size.denominator))
        closed = len(sums) if below else len(sums) - 1
        sums = [
            f"({text})" if k < closed and (k < len(sums) - 1 or " / " in text) else text
            for k, text in enumerate(sums)
        ]
        text = _joined([*above, *sums]) or "1"
        if not below:
            return text
        return f"{text} / {below[0]}" if len(below) == 1 else f"{text} / ({_joined(below)})"

    def contraction(self, unit: Contraction, used: frozenset[str]) -> str:
        bound = self.renamed(unit.term.bound, used)
        values = replaced(bound)
        moved = tuple((a.substitute(values), e) for a, e in unit.term.factors)
        inner = self.values.expanded(Poly((Term(unit.term.coefficient, moved),)))
        total = Sum(tuple(self.in_order(part) for part in nested(inner).products))
        text = self.sum(total, used | {i.name for i in bound.values()})
        text = f"({text})" if len(inner.terms) > 1 else text
        return f"{self.style.sum}_{self.under(bound)} {text}"

    def counts(self, unit: Contraction) -> list[str]:
        """What a mean divides its sum by."""
        return [_factor_dim(index.size) for index in unit.term.bound] if unit.mean else []

    def in_order(self, part: Product) -> Product:
        """Entries in the order of the indices on the left: dW[d,c] = Σ_n X[n,d] dY[n,c]."""

        def place(factor: tuple[Unit, Fraction]) -> tuple[int, int]:
            unit = factor[0]
            if isinstance(unit, Symbol | Size | Number):
                return 0, 0
            if not isinstance(unit, Access):
                return 2, 0
            return 1, min((self.left.get(i.name, 99) for i in unit.indices), default=99)

        return Product(part.coefficient, tuple(sorted(part.factors, key=place)))

    def power(self, unit: Unit, exponent: Fraction, used: frozenset[str]) -> str:
        if exponent == Fraction(1, 2):
            return f"sqrt({self.bare(unit, used)})"
        text = self.unit(unit, used)
        if exponent == 1:
            return text
        shown = str(exponent)
        return f"{text}^{shown}" if exponent.denominator == 1 else f"{text}^({shown})"

    def bare(self, unit: Unit, used: frozenset[str]) -> str:
        """A factor that stands between brackets anyway."""
        match unit:
            case Group(poly=poly):
                return self.poly(poly, used)
            case Sum():
                return self.sum(unit, used)
            case Contraction():
                text = self.contraction(unit, used)
                return f"({text}) / ({_joined(self.counts(unit))})" if unit.mean else text
            case Choice(condition=condition, yes=yes, no=no):
                test = self.condition(condition, used)
                return f"{self.sum(yes, used)} if {test} else {self.sum(no, used)}"
            case _:
                inner = self.values.written(unit)
                return self.unit(unit, used) if inner is None else self.poly(inner, used)

    def unit(self, unit: Unit, used: frozenset[str]) -> str:
        if isinstance(unit, Sum | Contraction | Choice):
            return f"({self.bare(unit, used)})"
        return self.atom(unit, used)

    def atom(self, base: Atom, used: frozenset[str]) -> str:
        relations = self.style.relations
        match base:
            case Access(tensor=tensor, index=index):
                inner = self.values.written(base)
                if inner is not None:
                    return self.tight(inner, used)
                return self.entries(self.values.base(tensor.name), index)
            case Symbol(name=name):
                return self.style.pi if name == "pi" else name
            case Size(dim=dim):
                return f"({dim})"
            case Number(value=value):
                return str(value) if value.denominator == 1 else f"({value})"
            case Iverson(relation=relation, value=value):
                left, right = sides(value)
                if relation == "eq" and left.as_index is None and right.as_index is not None:
                    left, right = right, left
                sign = relations["==" if relation == "eq" else ">="]
                return f"1[{self.affine(left)} {sign} {self.affine(right)}]"
            case Position(value=value):
                text = self.affine(value)
                return text if value.as_index is not None else f"({text})"
            case Compare():
                return f"1[{self.condition(base, used)}]"
            case Function(name="pow", args=(first, second)):
                return f"{self.tight(first, used)}^{self.tight(second, used)}"
            case Function(name=name, args=args):
                return f"{name}({', '.join(self.poly(a, used) for a in args)})"
            case Group(poly=poly):
                return f"({self.poly(poly, used)})"

    def condition(self, base: Compare, used: frozenset[str]) -> str:
        base = simplest(base)
        sides, relation = (base.left, base.right), str(base.relation)
        if base.left.constant is not None and relation in _MIRRORED:  # 0 > x: rather x < 0
            sides, relation = (base.right, base.left), _MIRRORED[relation]
        left, right = (self.poly(side, used) for side in sides)
        return f"{left} {self.style.relations[relation]} {right}"

    def tight(self, body: Poly, used: frozenset[str]) -> str:
        """An expression in brackets unless it is one name or one entry."""
        term = self.values.expanded(body).single
        single = term is not None and term.coefficient == 1 and len(term.factors) == 1
        if term is not None and single and not term.bound and term.factors[0][1] == 1:
            return self.unit(term.factors[0][0], used)
        return f"({self.poly(body, used)})"


_MIRRORED: Mapping[str, str] = {">": "<", ">=": "<="}


def _joined(factors: Sequence[str]) -> str:
    """Factors side by side, with a sign between two numbers."""
    text = ""
    for factor in factors:
        numbers = factor[0].isdigit() and text[-1:].isdigit()
        text += (" * " if numbers else " " if text else "") + factor
    return text


def _integer(value: int) -> str:
    """A number; the huge one that stands for -inf in padding as a power of ten."""
    digits = str(value)
    zeros = len(digits) - 1
    return f"10^{zeros}" if zeros > 12 and value == 10**zeros else digits


def _note(statement: Statement) -> str:
    """What a reader cannot see in the formula."""
    notes = []
    if _reaches_outside(statement.body):
        notes.append("entries outside an array are 0")
    if statement.reduce in ("argmax", "argmin"):
        order = ", positions counted row by row" if len(statement.bound) > 1 else ""
        notes.append(f"the first on a tie{order}")
    return f"   ({'; '.join(notes)})" if notes else ""


def _reaches_outside(body: Poly) -> bool:
    return any(
        not entry.within(size)
        for access in accesses(body)
        for size, entry in zip(access.tensor.shape, access.index, strict=True)
    )


def dim_text(dim: Dim) -> str:
    return str(dim).replace(" ", "")


def _factor_dim(dim: Dim) -> str:
    return dim_text(dim) if len(dim.terms) == 1 else f"({dim_text(dim)})"
