"""The shortest way to write a cotangent, by directed rewriting with proved identities.

Identities that always help are applied until nothing changes; replacing a value by its
definition, or an input by what was computed from it, is tried and kept only when the whole
becomes easier to read.  Every step is an identity, so the value never changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.derive.knowledge import Knowledge
from gradtool.ir.poly import Access, Atom, Function, Poly
from gradtool.ir.walk import replace_atoms

_MAX_TERMS = 40
_MANY = 8  # a longer sum is searched greedily
_DEPTH, _WIDTH, _SLACK, _MOST_STATES = 3, 3, 6.0, 60


def simplified(body: Poly, knowledge: Knowledge) -> Poly:
    """An equal expression that costs a reader no more.

    A small beam search: a definition may have to be opened before another one closes.
    """
    if body.key not in knowledge.short:
        knowledge.short[body.key] = _searched(body, knowledge)
    return knowledge.short[body.key]


def _searched(body: Poly, knowledge: Knowledge) -> Poly:
    start = knowledge.fold(knowledge.open_products(body))
    best, least = start, knowledge.cost(start)
    width = _WIDTH if len(start.terms) <= _MANY else 1
    seen = {start.key}
    frontier = [start]
    for _ in range(_DEPTH):
        found: list[tuple[float, Poly]] = []
        for state in frontier:
            for candidate in _candidates(state, knowledge):
                if len(candidate.terms) > _MAX_TERMS:
                    continue
                folded = knowledge.fold(candidate)
                if folded.key in seen:
                    continue
                seen.add(folded.key)
                found.append((knowledge.cost(folded), folded))
        found.sort(key=lambda pair: pair[0])
        if found and found[0][0] < least - 1e-9:
            least, best = found[0]
        frontier = [state for cost, state in found[:width] if cost < least + _SLACK]
        if not frontier or len(seen) > _MOST_STATES:
            break
    return _opened_products(_collected(best, knowledge), knowledge)


def _collected(body: Poly, knowledge: Knowledge) -> Poly:
    """Inner values written out where terms meet that way: ``2*A.T @ A.T`` and ``(A @ A).T``."""
    for name in sorted(body.mentions, key=lambda n: -knowledge.order.get(n, 0)):
        statement = knowledge.definitions.get(name)
        if statement is None or not knowledge.hidden(name):
            continue
        opened = knowledge.expand(body, name)
        if len(opened.terms) < len(body.terms):
            body = knowledge.fold(opened)
    return body


def _opened_products(body: Poly, knowledge: Knowledge) -> Poly:
    """Named products written out where that is easier: ``o * (1 - t**2)`` for ``o - t * h``."""
    best, least = body, knowledge.cost(body)
    for name in sorted(body.mentions):
        if not knowledge.is_product(name):
            continue
        opened = knowledge.expand(best, name)
        cost = knowledge.cost(opened)
        if cost < least - 1e-9:
            best, least = opened, cost
    return best


def _candidates(body: Poly, knowledge: Knowledge) -> Iterator[Poly]:
    """Expressions one or a few definitions away."""
    present = body.mentions
    additive = [name for name in present if _additive(name, body, knowledge)]
    additive.sort(key=lambda n: -knowledge.order[n])
    for name in additive:
        yield knowledge.expand(body, name)
    for name in sorted(present):
        for _, target, value in knowledge.solutions(name):
            yield _through(body, target, value)
        if knowledge.is_quotient(name):
            yield knowledge.expand(body, name)
    hidden = [name for name in additive if knowledge.hidden(name)]
    for group in (hidden, additive):
        if len(group) > 1:
            whole = body
            for name in group:
                if len(whole.terms) <= _MAX_TERMS:
                    whole = knowledge.expand(whole, name)
            yield whole
    if len(body.terms) > 1 and any(_is_power(a) for t in body.terms for a, _ in t.factors):
        whole = body
        for name in present:
            if knowledge.is_power(name):
                whole = knowledge.expand(whole, name)
        for name in sorted(whole.mentions):
            if knowledge.hidden(name) and _additive(name, whole, knowledge):
                whole = knowledge.expand(whole, name)
        united = knowledge.cancelled(whole)
        if united is not None and _denominators(united) <= _denominators(body):
            yield united
    if any(knowledge.hidden(name) for name in present):
        named = _in_named_values(body, knowledge)
        if named is not None:
            yield named


def _is_power(base: Atom) -> bool:
    """``x**gamma``: a power with a name in the exponent."""
    return isinstance(base, Function) and base.name == "pow"


def _denominators(body: Poly) -> set[Atom]:
    return {base for term in body.terms for base, exponent in term.factors if exponent < 0}


def _in_named_values(body: Poly, knowledge: Knowledge) -> Poly | None:
    """Everything written in values that have names, as one cancelled fraction.

    Finds what no single step does: with ``a = 1/(1 + exp(-z))`` the gradient of the
    cross-entropy becomes ``a - t``.
    """
    whole = body
    for _ in range(8):
        present = sorted(
            (name for name in whole.mentions if knowledge.hidden(name)),
            key=lambda n: -knowledge.order.get(n, 0),
        )
        for name in present:
            opened = _opened(name, whole, knowledge)
            if opened is not None:
                whole = knowledge.fold(opened)
                break
        else:
            break
        if len(whole.terms) > _MAX_TERMS:
            return None
    return knowledge.cancelled(whole)


def _opened(name: str, body: Poly, knowledge: Knowledge) -> Poly | None:
    """An inner value replaced by its definition, or by what a later value tells about it."""
    statement = knowledge.definitions.get(name)
    if (
        statement is not None
        and len(statement.body.terms) > 1
        and not any(t.bound for t in statement.body.terms)
    ):
        return knowledge.expand(body, name)
    for later, target, value in knowledge.solutions(name):
        if knowledge.has_shorter_power(later.out.name):
            return _through(body, target, value)
    return None


def _additive(name: str, body: Poly, knowledge: Knowledge) -> bool:
    """A sum without reductions that stands with positive whole powers only."""
    statement = knowledge.definitions.get(name)
    if statement is None or any(t.bound for t in statement.body.terms):
        return False
    if len(statement.body.terms) < 2:
        return False
    return not any(
        isinstance(base, Access)
        and base.tensor.name == name
        and (exponent < 0 or exponent.denominator != 1 or exponent > 3)
        for term in body.terms
        for base, exponent in term.factors
    )


def _through(body: Poly, target: Access, value: Poly) -> Poly:
    """Write every entry of the target's tensor through the solved expression."""

    def change(base: Atom) -> Poly | None:
        if not isinstance(base, Access) or base.tensor.name != target.tensor.name:
            return None
        values = {}
        for pattern, entry in zip(target.index, base.index, strict=True):
            index = pattern.as_index
            if index is None:
                if entry != pattern:
                    return None  # one entry was solved for, and this is another
            else:
                if entry.as_index is None or entry.as_index.size != index.size:
                    return None
                values[index] = entry
        return value.substitute(values)

    if any(
        isinstance(base, Access)
        and base.tensor.name == target.tensor.name
        and (exponent < 0 or exponent.denominator != 1 or exponent > 3)
        for term in body.terms
        for base, exponent in term.factors
    ):
        return body
    return replace_atoms(body, change, (target.tensor.name,))
