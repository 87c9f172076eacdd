"""Sums and products that several lines need, computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from gradtool.emit.array_forms import Form, Leaf, Product, Sum, Total, product
from gradtool.ir.tree import Items, Literal, Name, Slice, Tree, call
from gradtool.ops.shape import dim_tree


def key(form: Form) -> str:
    """The same text for forms that differ in the order of factors or terms only."""
    match form:
        case Leaf(tree=tree):
            return repr(tree)
        case Product(coefficient=coefficient, factors=factors):
            inner = sorted(f"{key(f)}^{e}" for f, e in factors)
            return f"{coefficient}*[{' '.join(inner)}]"
        case Sum(terms=terms):
            return f"({' + '.join(sorted(key(t) for t in terms))})"
        case Total(body=body, axes=axes):
            return f"total {axes} {key(body)}"


def totals(form: Form) -> Iterator[Total]:
    """Every sum over axes in a form, outer ones first."""
    if isinstance(form, Total):
        yield form
    for part in parts(form):
        yield from totals(part)


def parts(form: Form) -> tuple[Form, ...]:
    match form:
        case Product(factors=factors):
            return tuple(f for f, _ in factors)
        case Sum(terms=terms):
            return terms
        case Total(body=body):
            return (body,)
    return ()


def changed(form: Form, change: Callable[[Form], Form | None]) -> Form:
    """A form with parts replaced, outer ones first."""
    new = change(form)
    if new is not None:
        return new
    match form:
        case Product(coefficient=coefficient, factors=factors):
            inner = [(changed(f, change), e) for f, e in factors]
            if all(a is f for (a, _), (f, _) in zip(inner, factors, strict=True)):
                return form
            return product(coefficient, inner)
        case Sum(terms=terms):
            made = tuple(changed(t, change) for t in terms)
            same = all(a is b for a, b in zip(made, terms, strict=True))
            return form if same else Sum(made, form.shape)
        case Total(body=body, axes=axes, keep=keep, shape=shape):
            inside = changed(body, change)
            return form if inside is body else Total(inside, axes, keep, shape)
    return form


def repeated_totals(forms: Mapping[str, Form]) -> list[Total]:
    """Sums of more than one array that occur more than once and are not the whole of a line."""
    counts: Counter[str] = Counter()
    found: dict[str, Total] = {}
    whole = {key(f) for f in forms.values() if isinstance(f, Total)}
    for form in forms.values():
        for total in totals(form):
            counts[key(total)] += 1
            found.setdefault(key(total), total)
    return [found[k] for k, n in counts.items() if n > 1 and k not in whole]


def repeated_values(forms: Mapping[str, Form]) -> list[Leaf]:
    """Functions and matrix products of one shape that occur more than once in arithmetic."""
    counts: Counter[Leaf] = Counter()
    for form in forms.values():
        counts.update(leaf for leaf in leaves(form) if leaf.fresh and leaf.real and leaf.shape)
    return [leaf for leaf, n in counts.items() if n > 1]


def leaves(form: Form) -> Iterator[Leaf]:
    if isinstance(form, Leaf):
        yield form
    for part in parts(form):
        yield from leaves(part)


def total_as(name: str, whole: Total, wanted: Total) -> Leaf:
    """A sum that has a name, with the axes that are wanted here."""
    if whole.keep == wanted.keep:
        return Leaf(Name(name), wanted.shape)
    if whole.keep:
        shape = tuple(d for k, d in enumerate(whole.shape) if k not in whole.axes)
        return Leaf(call("reshape", Name(name), Items(tuple(dim_tree(d) for d in shape))), shape)
    entries: list[Tree] = [
        Literal(None) if k in wanted.axes else Slice(None, None, None)
        for k in range(len(wanted.shape))
    ]
    while entries and isinstance(entries[-1], Slice):
        entries.pop()
    lead = len(entries)
    # Leading axes of size one come by broadcasting.
    first = next((k for k in range(lead) if not isinstance(entries[k], Literal)), lead)
    kept = entries[first:]
    shape = wanted.shape[first:]
    if not shape or not kept:
        return Leaf(Name(name), shape)
    if not any(isinstance(e, Literal) for e in kept):
        return Leaf(Name(name), shape)
    return Leaf(call("getitem", Name(name), Items(tuple(kept))), shape)


def with_vectors(forms: Mapping[str, Form]) -> dict[str, Form]:
    """Sums along the last axis of a line ``dY * gamma`` as the product ``dY @ gamma``.

    BLAS reads dY once for it.
    """
    scaled = {n: f for n, f in forms.items() if isinstance(f, Product) and _by_vector(f)}

    def change(part: Form) -> Form | None:
        match part:
            case Total(body=Leaf(tree=Name(id=name), shape=shape), axes=axes) if (
                name in scaled and axes == (len(shape) - 1,)
            ):
                return Total(scaled[name], axes, part.keep, part.shape)
        return None

    return {n: changed(f, change) for n, f in forms.items()}


def _by_vector(form: Product) -> bool:
    """An array times a vector along its last axis, and nothing else."""
    shapes = [f.shape for f, exponent in form.factors if exponent == 1]
    if form.coefficient != 1 or len(shapes) != 2 or len(form.factors) != 2:
        return False
    return len(form.shape) > 1 and {form.shape, form.shape[-1:]} == set(shapes)


def shared_product(forms: Mapping[str, Form], volume: Callable[[Form], int]) -> Form | None:
    """The product of two factors whose own array saves the most passes over memory."""
    gain: Counter[str] = Counter()
    found: dict[str, Form] = {}
    for form in forms.values():
        for part, fused in products(form, False):
            here = [(f, e) for f, e in part.factors if f.shape and e == 1]
            if fused and len(here) < 3:
                continue
            for k, (a, _) in enumerate(here):
                for b, _ in here[k + 1 :]:
                    pair = product(Fraction(1), ((a, 1), (b, 1)))
                    if isinstance(pair, Product) and volume(pair) == volume(part) > 1:
                        name = key(pair)
                        found.setdefault(name, pair)
                        gain[name] += volume(pair)
    best = max(gain, key=lambda k: gain[k], default=None)
    if best is None or gain[best] < 2 * volume(found[best]):
        return None
    return found[best]


def products(form: Form, fused: bool) -> Iterator[tuple[Product, bool]]:
    """Every product, and whether a sum over axes takes it in without an array of its own."""
    if isinstance(form, Product):
        yield form, fused
    for part in parts(form):
        yield from products(part, isinstance(form, Total))


def without_product(form: Form, pair: Product, name: Leaf) -> Form:
    """A form with two factors replaced by one, wherever both occur."""
    (a, _), (b, _) = pair.factors

    def change(part: Form) -> Form | None:
        if not isinstance(part, Product):
            return None
        powers = {f: e for f, e in part.factors}
        if powers.get(a) != 1 or powers.get(b) != 1:
            return None
        rest = [(changed(f, change), e) for f, e in part.factors if f not in (a, b)]
        place = next(k for k, (f, _) in enumerate(part.factors) if f in (a, b))
        rest.insert(min(place, len(rest)), (name, 1))
        return product(part.coefficient, rest)

    return changed(form, change)
