"""Small changes of one line of a program: what people write instead of what is right.

An edit knows index notation only, never a layer: it leaves out a factor, turns a power around,
takes another tensor of the same shape, exchanges two indices of an access, moves an index by one,
sums over another axis, keeps only the last part of a sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from gradtool.check.diagnose_shares import is_spread
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Tensor, nonnegative
from gradtool.ir.poly import (
    NOTHING,
    Access,
    Atom,
    Compare,
    Factor,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    atom,
    poly_of,
    product,
    size,
)
from gradtool.records import Struct, replace

Show = Callable[[Atom], str]

_MOST_FACTORS = 5
_MOST_BOUND = 4
_MOST_PLACES = 6


class Edit(Struct, frozen=True):
    """A changed body.

    Attributes:
        code: the cause that it stands for.
        cost: how unlikely a mistake it is; 1 is the most common kind.
        body: the changed expression.
        what: the mistake in words, without a formula of the right answer.
    """

    code: str
    cost: float
    body: Poly
    what: str


class Surroundings(Struct, frozen=True):
    """What an edit may use: tensors of the program by name, and how atoms are printed."""

    tensors: Mapping[str, Tensor]
    upstream: frozenset[str]
    cotangents: frozenset[str]
    show: Show
    parts: Mapping[str, tuple[str, frozenset[str]]]

    @property
    def sizes(self) -> frozenset[str]:
        """The names of what can be counted, as a mean does."""
        return frozenset(str(size) for tensor in self.tensors.values() for size in tensor.shape)


def edits(statement: Statement, around: Surroundings, *, summed: bool = True) -> Iterator[Edit]:
    """Every small change of a statement's body; without `summed`, none that needs a sum."""
    body = statement.body
    for position, term in enumerate(body.terms):
        rest = (*body.terms[:position], *body.terms[position + 1 :])
        for edit in _of_term(term, statement, around, summed):
            if edit.code == "upstream-ignored" and any(_has_gradient(t, around) for t in rest):
                continue  # the others use it: it stands in the wrong brackets
            # What cancels is a term that is missing, however that came about.
            if not any(_cancel(new, old) for new in edit.body.terms for old in rest):
                yield replace(edit, body=Poly((*rest, *edit.body.terms)))
        if summed and rest:
            yield _without(term, rest, around)
            # The terms of one product that is spread out are missing together.
            others = tuple(t for t in rest if not is_spread(t, (term,)))
            if others and len(others) < len(rest):
                yield _without(term, others, around)
    yield from _of_sum(body, around)
    if summed:
        yield from _shifted(statement)
        whole = _factored(body)
        if whole is not None:
            for edit in _of_term(whole.terms[0], statement, around, summed):
                yield replace(edit, cost=edit.cost + 0.01)


def _factored(body: Poly) -> Poly | None:
    """A sum with its common factors in front, as people write it; None where it has none."""
    terms = body.terms
    if len(terms) < 2 or any(term.bound for term in terms):
        return None
    common = [f for f in terms[0].factors if all(f in term.factors for term in terms[1:])]
    if not common:
        return None
    rest = [
        replace(term, factors=tuple(f for f in term.factors if f not in common)) for term in terms
    ]
    bracket: Factor = (Group(Poly(tuple(rest))), Fraction(1))
    return Poly((Term(Fraction(1), (*common, bracket), ()),))


def _cancel(one: Term, other: Term) -> bool:
    if one.bound or other.bound or one.coefficient != -other.coefficient:
        return False
    return {b.key: e for b, e in one.factors} == {b.key: e for b, e in other.factors}


def _without(term: Term, rest: tuple[Term, ...], around: Surroundings) -> Edit:
    if is_spread(term, rest):
        return Edit("missing-factor", 0.94, Poly(rest), "a factor in brackets is missing")
    if any(is_spread(kept, (term,)) for kept in rest):
        return Edit("missing-term", 0.94, Poly(rest), "a term in brackets is missing")
    gradient = any(
        isinstance(base, Access) and base.tensor.name in around.cotangents
        for base, _ in term.factors
    )
    code, what = ("missing-path", "a path") if gradient else ("missing-term", "a term")
    return Edit(code, 0.92, Poly(rest), f"{what} is missing")


def _shifted(statement: Statement) -> Iterator[Edit]:
    """The whole result one place too far along an axis."""
    for axis, free in enumerate(statement.free):
        for step, word in ((1, "early"), (-1, "late")):
            moved = statement.body.substitute({free: Affine.of(free) + step})
            yield Edit("offset", 1.4, moved, f"it lies one place too {word} along axis {axis}")


def _of_term(
    term: Term, statement: Statement, around: Surroundings, summed: bool
) -> Iterator[Edit]:
    # Bound indices with names of their own: an edit may move one out of its sum.
    term = term.freshened()
    yield from _numbers(term)
    for place in range(len(term.factors)):
        yield from _of_factor(term, place, statement, around)
    if summed:
        yield from _sums(term, statement)
        yield from _extra_factors(term, statement, around)
    yield from _operators(term, around)


def _extra_factors(term: Term, statement: Statement, around: Surroundings) -> Iterator[Edit]:
    """A value of the forward pass as a factor too many, in every way that its shape allows."""
    indices = (*statement.free, *term.bound)
    present = {a.tensor.name for a, _ in term.factors if isinstance(a, Access)}
    for tensor in around.tensors.values():
        if tensor.name in present or tensor.name.startswith("_") or tensor.kind != "real":
            continue
        if tensor.name in around.cotangents or not tensor.shape:
            continue
        places = [[i for i in indices if i.size == size] for size in tensor.shape]
        for chosen in itertools.islice(itertools.product(*places), _MOST_PLACES):
            if len(set(chosen)) < len(chosen):
                continue
            extra = Access(tensor, tuple(Affine.of(i) for i in chosen))
            made = _made(term, (*term.factors, (extra, Fraction(1))))
            text = f"{around.show(extra)} is a factor too many"
            yield Edit("extra-factor", 1.45, made, text)


def _made(term: Term, factors: tuple[Factor, ...]) -> Poly:
    # Not brought into normal form: most edits are evaluated once and forgotten.
    return Poly((Term(term.coefficient, factors, term.bound),))


def _numbers(term: Term) -> Iterator[Edit]:
    if abs(term.coefficient) != 1:
        plain = replace(term, coefficient=Fraction(1 if term.coefficient > 0 else -1))
        yield Edit("scale", 1.2, Poly((plain,)), f"the number {abs(term.coefficient)} is missing")
    yield Edit("sign", 1, Poly((replace(term, coefficient=-term.coefficient),)), "a wrong sign")
    for by, word in ((Fraction(2), "doubled"), (Fraction(1, 2), "halved")):
        scaled = Poly((replace(term, coefficient=term.coefficient * by),))
        yield Edit("scale", 1.5, scaled, f"a term is {word}")


# -- one factor ---------------------------------------------------------------------------


def _of_factor(
    term: Term, place: int, statement: Statement, around: Surroundings
) -> Iterator[Edit]:
    base, exponent = term.factors[place]
    others = (*term.factors[:place], *term.factors[place + 1 :])
    shown = around.show(base)
    own = frozenset(statement.free)

    def with_factor(new: Atom, power: Fraction = exponent) -> Poly:
        return _made(term, (*others, (new, power)))

    code, cost, what = _left_out(base, exponent, shown, around)
    if _is_gradient(base, around) and not any(_is_gradient(b, around) for b, _ in others):
        code = "upstream-ignored"
    yield Edit(code, cost, _made(term, others), what)
    if not isinstance(base, Iverson | Compare):
        yield from _powers(base, exponent, shown, with_factor)
    match base:
        case Access():
            yield from _other_tensor(base, around, with_factor)
            yield from _other_index(base, shown, with_factor, _summed_alone(term, place), own)
        case Compare():
            yield from _relations(base, shown, with_factor)
        case Iverson():
            yield from _shifted_label(base, with_factor)
        case Function():
            yield from _functions(base, shown, with_factor)
            yield from _inside_function(base, statement, around, with_factor)
        case Group():
            yield from _inside_group(base, exponent, statement, around, with_factor)
        case Symbol() | Size() | Number():
            pass


def _has_gradient(term: Term, around: Surroundings) -> bool:
    return any(_is_gradient(base, around) for base, _ in term.factors)


def _is_gradient(base: Atom, around: Surroundings) -> bool:
    return isinstance(base, Access) and base.tensor.name in around.cotangents


def _left_out(
    base: Atom, exponent: Fraction, shown: str, around: Surroundings
) -> tuple[str, float, str]:
    if isinstance(base, Compare) or (isinstance(base, Access) and base.tensor.kind == "bool"):
        return "mask-missing", 1, f"the mask {shown} is missing"
    shown = _powered(shown, abs(exponent))
    if isinstance(base, Symbol | Size | Number):
        word = "division by" if exponent < 0 else "factor"
        mean = exponent == -1 and (isinstance(base, Size) or shown in around.sizes)
        return "sum-for-mean" if mean else "scale", 1, f"the {word} {shown} is missing"
    if isinstance(base, Access) and base.tensor.name in around.upstream:
        return "upstream-ignored", 1, f"the upstream gradient {shown} is not used"
    if isinstance(base, Iverson):
        return "mask-missing", 1.5, f"the selection {shown} is missing"
    word = "division by" if exponent < 0 else "factor"
    return "missing-factor", 1, f"the {word} {shown} is missing"


def _powered(shown: str, exponent: Fraction) -> str:
    if exponent == Fraction(1, 2):
        return f"sqrt({shown})"
    return shown if exponent == 1 else f"{shown}**{exponent}"


def _powers(
    base: Atom, exponent: Fraction, shown: str, made: Callable[[Atom, Fraction], Poly]
) -> Iterator[Edit]:
    number = isinstance(base, Symbol | Size | Number)
    words = ("divided by", "multiplied by") if exponent > 0 else ("multiplied by", "divided by")
    yield Edit(
        "inverted-factor" if not number else "scale", 1.2, made(base, -exponent),
        f"{words[0]} {shown} instead of {words[1]} it",
    )  # fmt: skip
    if exponent.denominator == 1 and exponent > 1 and not number:
        text = f"times {exponent} stands for a power of {shown}"
        yield Edit("power", 1.6, made(base, Fraction(1)).scaled(exponent), text)
    for delta in (Fraction(k, 2) for k in (2, -2, 4, -4, 1, -1, 6, -6)):
        power = exponent + delta
        if power in (0, -exponent):
            continue
        if power == 2 * exponent:
            text = f"{shown} is a factor once too often"
        else:
            text = f"{shown} stands to the power {power} instead of {exponent}"
        cost = 1.8 if abs(delta) <= 2 else 2.5
        if exponent >= 2 and abs(delta) == 1:
            cost = 1.4  # a square is written as a product, and one factor more or less
        yield Edit("scale" if number else "power", cost, made(base, power), text)


def _other_tensor(
    base: Access, around: Surroundings, made: Callable[[Atom], Poly]
) -> Iterator[Edit]:
    own = base.tensor
    for tensor in around.tensors.values():
        if tensor.name == own.name or tensor.kind != own.kind:
            continue
        if tensor.shape != own.shape:
            continue
        other = Access(tensor, base.index)
        was, now = around.show(base), around.show(other)
        gradient = own.name in around.cotangents or tensor.name in around.cotangents
        code = "wrong-gradient" if gradient else "wrong-tensor"
        kind, operands = around.parts.get(own.name, ("", frozenset()))
        if tensor.name in operands:
            code = "missing-term" if kind == "sum" else "missing-factor"
        hidden = any(n.lstrip("d").startswith("_") for n in (own.name, tensor.name))
        yield Edit(code, 1.55 if hidden else 1.4, made(other), f"{now} stands where {was} belongs")


def _summed_alone(term: Term, place: int) -> bool:
    """Whether a factor is summed over an index that no other factor has."""
    base = term.factors[place][0]
    others = [a for k, (a, _) in enumerate(term.factors) if k != place]
    return any(
        i in base.indices and not any(i in other.indices for other in others) for i in term.bound
    )


def _other_index(
    base: Access,
    shown: str,
    made: Callable[[Atom], Poly],
    summed: bool,
    free: frozenset[Index],
) -> Iterator[Edit]:
    index = base.index
    for first in range(len(index)):
        for second in range(first + 1, len(index)):
            swapped = list(index)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            moved = Access(base.tensor, tuple(swapped))
            if summed:
                yield Edit("wrong-axis", 1.1, made(moved), f"{shown} is summed over another axis")
            else:
                text = f"{shown} is transposed the wrong way"
                yield Edit("transposed", 1.1, made(moved), text)
    # With its windows written out, an array is longer than its name.
    whole_name = shown if base.tensor.name.lstrip("d").startswith("_") else base.tensor.name
    every: dict[str, list[tuple[int, Affine, str]]] = {}
    for axis, entry in enumerate(index):
        for code, cost, moved_entry, text in _entries(entry, base.tensor.shape[axis]):
            changed = (*index[:axis], moved_entry, *index[axis + 1 :])
            moved = Access(base.tensor, changed)
            yield Edit(code, cost, made(moved), f"{text} along axis {axis} of {whole_name}")
            if code in _EVERY_AXIS:
                every.setdefault(code, []).append((axis, moved_entry, text))
    for code, several in every.items():  # who forgets a stride forgets it along all axes
        places = {axis: moved_entry for axis, moved_entry, _ in several}
        if len(places) == len(several) > 1:
            changed = tuple(places.get(axis, entry) for axis, entry in enumerate(index))
            text = f"{several[0][2]} along every axis of {whole_name}"
            yield Edit(code, 1.35, made(Access(base.tensor, changed)), text)
    spatial = [k for k, e in enumerate(index) if len(e.terms) > 1]
    if spatial:
        text = "the kernel is not rotated by 180°"
        whole = tuple(
            Affine.of(base.tensor.shape[k] - 1) - e if k in spatial else e
            for k, e in enumerate(index)
        )
        yield Edit("kernel-not-rotated", 1.3, made(Access(base.tensor, whole)), text)
        inner = tuple(_reversed(e, free) if k in spatial else e for k, e in enumerate(index))
        if inner != index:
            yield Edit("kernel-not-rotated", 1.3, made(Access(base.tensor, inner)), text)


_EVERY_AXIS = ("padding", "stride-ignored")


def _entries(entry: Affine, length: Dim) -> Iterator[tuple[str, float, Affine, str]]:
    yield "offset", 2.2, entry + 1, "one place too far"
    yield "offset", 2.2, entry - 1, "one place too early"
    if entry.const.terms and entry.terms:
        yield "padding", 1.5, Affine(entry.terms, Dim.of(0)), "the padding is not taken off"
    for position, coefficient in entry.terms:
        if coefficient.as_int in (1, -1):
            continue
        step = 1 if nonnegative(coefficient) else -1
        single = entry - Affine.of(position) * coefficient + Affine.of(position) * step
        yield "stride-ignored", 1.5, single, "the stride is ignored"


def _reversed(entry: Affine, free: frozenset[Index]) -> Affine:
    """The same window, run through from its other end."""
    for position, by in entry.terms:
        if isinstance(position, Index) and position not in free and by.as_int in (1, -1):
            other = Affine.of(position.size - 1) - Affine.of(position)
            return entry - Affine.of(position) * by + other * by
    return entry


def _relations(base: Compare, shown: str, made: Callable[[Atom], Poly]) -> Iterator[Edit]:
    text = f"another condition stands for {shown}"
    yield Edit("mask", 1.2, made(base.negated()), f"the mask {shown} is turned around")
    for relation in (">", ">=", "==", "!="):
        if relation != base.relation:
            yield Edit("mask", 1.6, made(Compare(relation, base.left, base.right)), text)
            turned = Compare(relation, base.right, base.left)
            yield Edit("mask", 1.7, made(turned), text)
    for shift in (1, -1):
        moved = Compare(base.relation, base.left, base.right + Poly((Term(Fraction(shift), ()),)))
        yield Edit("mask", 2.0, made(moved), text)
    value = base.left - base.right
    yield Edit("mask", 1.8, made(Group(value)), f"the value itself stands for the mask {shown}")


def _shifted_label(base: Iverson, made: Callable[[Atom], Poly]) -> Iterator[Edit]:
    sizes = [label.tensor.labels for label in base.value.labels() if label.tensor.labels]
    for classes, shift in itertools.product(sizes[:1], (1, -1)):
        moved = base.value + shift
        text = "the labels are off by one"
        yield Edit("label-shift", 1.3, made(Iverson(base.relation, moved)), text)
        # An index of -1 is NumPy's last entry, and people write (y + 1) % C.
        round_off = (moved, moved + Affine.of(classes), moved - Affine.of(classes))
        wrapped = sum((atom(Iverson(base.relation, one)) for one in round_off), NOTHING)
        yield Edit("label-shift", 1.35, made(Group(wrapped)), text)


def _functions(base: Function, shown: str, made: Callable[[Atom], Poly]) -> Iterator[Edit]:
    if len(base.args) == 1:
        plain = Group(base.args[0])
        yield Edit("wrong-function", 1.5, made(plain), f"{base.name} is missing in {shown}")


def _inside_group(
    base: Group,
    exponent: Fraction,
    statement: Statement,
    around: Surroundings,
    made: Callable[[Atom], Poly],
) -> Iterator[Edit]:
    inner = replace(statement, body=base.poly)
    shown = around.show(base)
    for edit in edits(inner, around, summed=False):
        if edit.body.terms:
            what = f"{edit.what} in {shown}"
            yield replace(edit, cost=edit.cost + 0.3, body=made(Group(edit.body)), what=what)
    for position, term in enumerate(base.poly.terms):
        rest = Poly((*base.poly.terms[:position], *base.poly.terms[position + 1 :]))
        if rest.terms:
            what = f"a term of {shown} is missing"
            if rest.constant not in (1, -1):  # else the whole factor is missing
                yield Edit("missing-term", 1.2, made(Group(rest)), what)
                if len(rest.terms) == 1 and rest.terms[0].coefficient < 0:
                    yield Edit("missing-term", 1.22, made(Group(-rest)), what)
            negative = rest - Poly((term,))
            yield Edit("sign", 1.1, made(Group(negative)), f"a wrong sign in {shown}")
    for shift in (1, -1):
        if any(not t.factors for t in base.poly.terms):
            moved = base.poly + Poly((Term(Fraction(shift), ()),))
            yield Edit("constant", 1.9, made(Group(moved)), f"a wrong number in {shown}")


def _inside_function(
    base: Function, statement: Statement, around: Surroundings, made: Callable[[Atom], Poly]
) -> Iterator[Edit]:
    for k, argument in enumerate(base.args):
        inner = replace(statement, body=argument)
        for edit in edits(inner, around, summed=False):
            args = (*base.args[:k], edit.body, *base.args[k + 1 :])
            what = f"{edit.what} inside {base.name}"
            code = "wrong-point" if edit.code == "wrong-tensor" else edit.code
            yield Edit(code, edit.cost + 0.4, made(Function(base.name, args)), what)


# -- sums ---------------------------------------------------------------------------------


def _sums(term: Term, statement: Statement) -> Iterator[Edit]:
    for index in term.bound:
        axis = f"over {index.size}"
        rest = tuple(i for i in term.bound if i != index)
        count = size(index.size)
        mean = Poly((term,)) * count.power(-1)
        yield Edit("mean-for-sum", 1, mean, f"a mean {axis} stands for the sum")
        for place, code, word, how in (
            (Affine.of(index.size - 1), "overwritten", "last", ": = in place of +="),
            (Affine.of(0), "skipped", "first", ""),
        ):
            one = _substituted(term, {index: place}, rest)
            text = f"only the {word} part of the sum {axis} arrives{how}"
            yield Edit(code, 1.4, one, text)
            skipped = Poly((term,)) - one
            yield Edit("skipped", 1.5, skipped, f"the sum {axis} leaves out its {word} part")
        for free in statement.free:
            if free.size == index.size:
                local = _substituted(term, {index: Affine.of(free)}, rest)
                yield Edit("missing-sum", 1.3, local, f"the sum {axis} is missing")
        yield from _other_axis(term, index, statement)
    yield from _extra_sums(term, statement)
    for length in range(2, min(len(term.bound), _MOST_BOUND) + 1):
        for several in itertools.combinations(term.bound, length):
            rest = tuple(i for i in term.bound if i not in several)
            last = _substituted(term, {i: Affine.of(i.size - 1) for i in several}, rest)
            text = "only the last part of a sum arrives: = in place of +="
            yield Edit("overwritten", 1.4, last, text)


def _substituted(term: Term, values: Mapping[Index, Affine], bound: tuple[Index, ...]) -> Poly:
    factors = tuple((a.substitute(values), e) for a, e in term.factors)
    return Poly((Term(term.coefficient, factors, bound),))


def _other_axis(term: Term, index: Index, statement: Statement) -> Iterator[Edit]:
    """The sum runs along another axis of what is summed."""
    inner = [(a, e) for a, e in term.factors if index in a.indices]
    outer = [(a, e) for a, e in term.factors if index not in a.indices]
    around = {i for a, _ in inner for i in a.indices} - set(term.bound)
    rest = tuple(i for i in term.bound if i != index)
    for free in sorted(around, key=lambda i: i.name):
        fresh = Index(f"{index.name}'", free.size)
        what = "the sum runs over the wrong axis"
        for stays in (free, *(f for f in statement.free if f not in around)):
            values = {index: Affine.of(stays), free: Affine.of(fresh)}
            moved = [(a.substitute(values), e) for a, e in inner]
            made = poly_of((product(term.coefficient, (*outer, *moved), (*rest, fresh)),))
            yield Edit("wrong-axis", 1.2, made, what)
            mean = made * size(free.size).power(-1) * size(index.size)
            yield Edit("wrong-axis", 1.3, mean, what)
            if stays != free:
                both = {index: Affine.of(index), free: Affine.of(fresh)}
                wide = [(a.substitute(both), e) for a, e in inner]
                total = product(term.coefficient, (*outer, *wide), (*term.bound, fresh))
                yield Edit("extra-sum", 1.4, poly_of((total,)), "a sum runs over every axis")
        both = {free: Affine.of(fresh)}
        wide = [(a.substitute(both), e) for a, e in inner]
        total = product(term.coefficient, (*outer, *wide), (*term.bound, fresh))
        what = "a sum runs over every axis, not one"
        yield Edit("extra-sum", 1.35, poly_of((total,)), what)
        share = poly_of((total,)) * size(free.size).power(-1)
        yield Edit("extra-sum", 1.45, share, "a mean runs over every axis, not one")


def _extra_sums(term: Term, statement: Statement) -> Iterator[Edit]:
    for free in statement.free:
        fresh = Index(f"{free.name}'", free.size)
        inner = [
            (a.substitute({free: Affine.of(fresh)}), e)
            for a, e in term.factors
            if free in a.indices
        ]
        outer = [(a, e) for a, e in term.factors if free not in a.indices]
        if inner:
            made = poly_of((product(term.coefficient, (*outer, *inner), (*term.bound, fresh)),))
            yield Edit("extra-sum", 1.6, made, f"a sum over {free.size} too many")
            mean = made * size(free.size).power(-1)
            yield Edit("extra-sum", 1.7, mean, f"a mean over {free.size} too many")


# -- operators ----------------------------------------------------------------------------


def _operators(term: Term, around: Surroundings) -> Iterator[Edit]:
    """A sum where a product belongs; several factors left out."""
    factors = term.factors
    if not 2 <= len(factors) <= _MOST_FACTORS:
        return
    for place, (base, exponent) in enumerate(factors):
        if isinstance(base, Compare | Iverson):
            continue
        others = [k for k in range(len(factors)) if k != place]
        shown = around.show(base)
        word = "×" if exponent > 0 else "/"
        alone = (base, abs(exponent))
        for count in range(1, len(others) + 1):
            for first in itertools.combinations(others, count):
                rest = tuple(factors[k] for k in others if k not in first)
                left = tuple(factors[k] for k in first)
                cost = 1.55 + 0.05 * len(rest)
                for sign, symbol in ((1, "+"), (-1, "-")):
                    added = Term(Fraction(sign), (alone, *rest), term.bound)
                    made = Poly((Term(term.coefficient, (*left, *rest), term.bound), added))
                    text = f"{symbol} {shown} stands for {word} {shown}"
                    yield Edit("operator", cost + 0.02 * (sign < 0), made, text)
    for count in range(2, len(factors)):
        for lost in itertools.combinations(range(len(factors)), count):
            left = tuple(f for k, f in enumerate(factors) if k not in lost)
            shown = ", ".join(around.show(factors[k][0]) for k in lost)
            bases = [factors[k][0] for k in lost]
            upstream = any(
                isinstance(b, Access) and b.tensor.name in around.cotangents for b in bases
            )
            kept = any(
                isinstance(b, Access) and b.tensor.name in around.cotangents for b, _ in left
            )
            code = "upstream-ignored" if upstream and not kept else "missing-factor"
            for number in {term.coefficient, Fraction(1), Fraction(-1)}:
                made = Poly((Term(number, left, term.bound),))
                yield Edit(code, 1.5 + 0.1 * count, made, f"several factors are missing: {shown}")


def _of_sum(body: Poly, around: Surroundings) -> Iterator[Edit]:
    """A product where a sum belongs; a common factor that reaches some terms only."""
    terms = body.terms
    if len(terms) < 2:
        return
    for first in range(len(terms)):
        for second in range(first + 1, len(terms)):
            rest = [t for k, t in enumerate(terms) if k not in (first, second)]
            a, b = Poly((terms[first],)), Poly((terms[second],))
            made = poly_of((*rest, *(a * b).terms))
            yield Edit("operator", 1.7, made, "× stands for + or -")
    common = set(terms[0].factors)
    for term in terms[1:]:
        common &= set(term.factors)
    for factor in sorted(common, key=lambda f: f[0].key):
        for kept in range(len(terms)):
            for only in (True, False):
                changed = []
                for k, term in enumerate(terms):
                    if (k == kept) is only:
                        changed.append(term)
                    else:
                        left = tuple(f for f in term.factors if f != factor)
                        changed.append(product(term.coefficient, left, term.bound))
                shown = around.show(factor[0])
                if only or len(terms) > 2:
                    yield Edit(
                        "missing-factor", 1.6, poly_of(changed),
                        f"{shown} reaches only a part of the sum: brackets are missing",
                    )  # fmt: skip
