"""Find the functions of a file that implement a layer, by name and signature."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding, BindingProblem
from gradtool.check.candidate import (
    Candidate,
    gives_loss,
    is_custom_vjp,
    made_by,
    of_one,
    with_choices,
)
from gradtool.check.conventions import bindings
from gradtool.check.inventory import Class, Function, Inventory
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.wanted import Wanted
from gradtool.check.words import (
    BACKWARD_WORDS,
    FILLERS,
    FORWARD_WORDS,
    folded,
    is_upstream,
    layer_names,
    split,
)
from gradtool.records import replace

_FORWARDS = (
    *("forward", "__call__", "fprop", "forward_pass", "feedforward", "loss", "compute"),
    *("activate", "activation", "function", "fn", "apply", "begin_update"),
)
_BACKWARDS = (
    *("backward", "backprop", "bprop", "backward_pass", "grad", "gradient", "backprop_pass"),
    *("derivative", "deriv", "derivate", "prime"),
)
_LISTED = 12
_MAKING = frozenset({"make", "build", "create", "get", "new"})
"""How the name of a function begins that returns a backward pass: ``make_backprop``."""


def recognise(
    reference: Reference, found: Inventory, wanted: Wanted, file: str
) -> tuple[Binding, ...]:
    """The ways to read a file as the layer, likeliest first.

    `wanted` restricts the choice of candidates.

    Raises:
        BindingProblem: nothing fits, or more than one thing does equally well.
    """
    layer = reference.spec.name
    everything = candidates(found)
    chosen = distinct(c for c in everything if wanted.keeps(c))
    if not (chosen or wanted.everything):
        raise BindingProblem(_nothing(wanted.text, everything, found, wanted, file))
    scored = [(score(candidate, layer), candidate) for candidate in chosen]
    best = max((s for s, _ in scored), default=(0, 0))
    top = [c for s, c in scored if s == best]
    if not top:
        raise BindingProblem(_nothing(f"for the layer {layer}", everything, found, wanted, file))
    others = [name for name in wanted.elsewhere if any(score(c, name)[0] for c in chosen)]
    if best[0] == 0 and (len(chosen) > 1 or (others and wanted.everything)):
        raise BindingProblem(_nothing(f"for the layer {layer}", everything, found, wanted, file))
    fitting, reasons = [], []
    for candidate in top:
        try:
            variants = with_choices(candidate, found.choices)
            fitting.append((candidate, tuple(w for one in variants for w in _ways(one, reference))))
        except NoMatch as reason:
            alone = candidate.owner is None and all(map(_is_backward, candidate.names))
            without = "no forward pass belongs to it by its name; by itself, " if alone else ""
            reasons.append(f"{candidate.title}: {without}{reason}")
    if not fitting:
        text = "; ".join(reasons)
        text += "" if text.endswith("?") else "."
        raise BindingProblem(f"{text} Say how it is called in the spec's check: block")
    if len(fitting) > 1:
        titles = ", ".join(c.title for c, _ in fitting[:_LISTED])
        raise BindingProblem(
            f"{file} has more than one candidate for {layer}: {titles}. {wanted.how}"
        )
    return fitting[0][1]


def _ways(candidate: Candidate, reference: Reference) -> tuple[Binding, ...]:
    """The readings of a candidate; most of a class write the same functions.

    Raises:
        NoMatch: there is none, and why.
    """

    def made() -> tuple[Binding, ...] | str:
        try:
            return bindings(candidate, Names.of(reference))
        except NoMatch as reason:
            return str(reason)

    found = recall_of(reference).of(("ways", candidate.said), made)
    if isinstance(found, str):
        raise NoMatch(found)
    return found


@lru_cache(maxsize=16)  # a file is asked question by question
def candidates(found: Inventory) -> tuple[Candidate, ...]:
    """Every pair, class and single function that could be a layer with its backward.

    In the order of the file.
    """
    backwards = [f for f in found.functions if _is_backward(f.name) and not of_one(f).backward]
    forwards = [f for f in found.functions if f not in backwards]
    result: list[Candidate] = []
    paired: set[str] = set()
    for backward in backwards:
        partner = _partner(backward, forwards)
        if partner is not None:
            paired |= {partner.name, backward.name}
            result.append(Candidate(partner, backward))
        elif not _is_both(backward):
            result.append(Candidate(None, backward))
    for function in found.functions:
        two = any(len(r) >= 2 for r in function.returns) or gives_loss(function)
        two = two or isinstance(of_one(function).closure, str)
        if is_custom_vjp(function):
            result.append(Candidate(function, None))
        elif function.name not in paired and two:
            result.append(of_one(function))
        elif function not in backwards and _makes_backward(function):
            result.append(Candidate(None, function))
    for owner in found.classes:
        whole = whole_class(owner, found)
        first = _first(whole, _FORWARDS) or _called(whole, FORWARD_WORDS)
        second = _first(whole, _BACKWARDS)
        closes = first is not None and of_one(first).backward is not None
        if not closes:
            second = second or _called(whole, BACKWARD_WORDS)
        both = _both_at_once(whole)
        if first and second:
            result.append(Candidate(first, second, whole))
        elif first and closes:
            result.append(of_one(first, whole))
        elif both:
            result.append(of_one(both, whole))
    return tuple(sorted((_apart(c, found) for c in result), key=_first_line))


def _makes_backward(function: Function) -> bool:
    """Whether all that a function returns is a function of an upstream gradient."""
    made = made_by(function)
    return made is not None and len(made.needed) == 1 and is_upstream(made.params[0])


def _apart(candidate: Candidate, found: Inventory) -> Candidate:
    """The candidate with a name for the function that its forward returns which is no other's."""
    if candidate.closure is None or candidate.backward is None:
        return candidate
    name = candidate.backward.name
    while name in found.lines:
        name += "_"
    return replace(candidate, backward=replace(candidate.backward, name=name))


def distinct(chosen: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Of candidates that are the same code under several names one: with a forward, the first."""
    ordered = sorted(chosen, key=lambda candidate: candidate.forward is None)
    found: dict[object, Candidate] = {}
    for candidate in ordered:
        answer = candidate.owner or candidate.backward or candidate.forward
        assert answer is not None
        found.setdefault((answer.first or answer.name, answer.place, answer.line), candidate)
    return tuple(sorted(found.values(), key=_first_line))


def _first_line(candidate: Candidate) -> tuple[int, int]:
    items = [i for i in (candidate.owner, candidate.forward, candidate.backward) if i]
    cell = items[0].place.rpartition(" cell ")[2]
    return int(cell) if cell.isdigit() else 0, min(item.line for item in items)


BY_NAME = 2
"""What `score` begins with for a name that is the layer's; with less for one that contains it."""


def score(candidate: Candidate, layer: str) -> tuple[int, int]:
    """How well a candidate's name fits a layer: larger is better, (0, …) not at all.

    The second number prefers plain names: ``conv_backward`` before ``conv_backward_naive``.
    """
    return _score(candidate.names, candidate.backward is not None, layer)


@lru_cache(maxsize=4096)
def _score(names: tuple[str, ...], paired: bool, layer: str) -> tuple[int, int]:
    """`names` begin with that of the class, or of the forward; `paired`: a backward is there."""
    words = split(names[0])
    stem = "".join(w for w in words if w not in FORWARD_WORDS | BACKWARD_WORDS | FILLERS)
    loose = "".join(w for w in words if w not in FORWARD_WORDS | BACKWARD_WORDS)
    own, *others = layer_names(layer)
    plain = -sum(w in FILLERS for n in names for w in split(n))
    # A pair or a class says more than one function that returns two things.
    plain = plain * 2 + paired
    if own in (stem, loose, folded(names[0])):
        return 3, plain
    if stem in others or loose in others:
        return BY_NAME, plain
    if stem and (own in stem or stem in own) and min(len(stem), len(own)) >= 3:
        return 1, plain
    return 0, plain


def _is_backward(name: str) -> bool:
    words = split(name)
    inner = [w for w in words if w not in FILLERS]
    if any(w in BACKWARD_WORDS and w != "d" for w in inner):
        return True
    return len(inner) > 1 and inner[0] == "d"


def _is_both(function: Function) -> bool:
    """Whether a function called like a backward pass gives a loss first: ``loss_and_gradient``."""
    longest = function.returns[0] if function.returns else ()
    named = {"loss", "cost"} & set(split(function.name))
    return bool(named) and (len(longest) >= 2 or gives_loss(function))


def _partner(backward: Function, forwards: Sequence[Function]) -> Function | None:
    """The forward of a backward: the same words but for those that say which is which."""

    said = FORWARD_WORDS | BACKWARD_WORDS
    if made_by(backward) is not None:
        said |= _MAKING

    def key(name: str, fillers: bool) -> list[str]:
        drop = said | (FILLERS if fillers else frozenset())
        return sorted(w for w in split(name) if w not in drop)

    for fillers in (False, True):
        wanted = key(backward.name, fillers)
        found = [f for f in forwards if key(f.name, fillers) == wanted]
        named = [f for f in found if set(split(f.name)) & FORWARD_WORDS]
        if found:
            return (named or found)[0]
    return None


def _first(owner: Class, names: Iterable[str]) -> Function | None:
    return next((method for name in names if (method := owner.method(name))), None)


def _called(owner: Class, words: Collection[str]) -> Function | None:
    """The method whose name says nothing but one of these words: ``_backward_propagation``."""
    for method in owner.methods:
        said = [w for w in split(method.name) if w not in FILLERS]
        if said and not method.name.startswith("__") and all(w in words for w in said):
            return method
    return None


def _both_at_once(owner: Class) -> Function | None:
    """A method that returns a loss with its gradients."""
    methods = (owner.method(name) for name in ("loss", "cost", "loss_and_grad", "forward"))
    several = (m for m in methods if m and (any(len(r) >= 2 for r in m.returns) or gives_loss(m)))
    return next(several, None)


def whole_class(owner: Class, found: Inventory) -> Class:
    """The class with the methods that it inherits from classes of the same file.

    Its bases are then those of other files: a `Function` that the file defines is none of torch's.
    """
    methods = {m.name: m for m in owner.methods}
    known = {c.name: c for c in found.classes}
    pending, seen, foreign = list(owner.bases), {owner.name}, list[str]()
    while pending:
        name = pending.pop(0)
        base = known.get(name)
        if base is None:
            foreign.append(name)
        if base is None or base.name in seen:
            continue
        seen.add(base.name)
        pending += base.bases
        for method in base.methods:
            methods.setdefault(method.name, method)
    return replace(owner, methods=tuple(methods.values()), bases=tuple(foreign))


def _nothing(
    what: str, everything: Sequence[Candidate], found: Inventory, wanted: Wanted, file: str
) -> str:
    if everything:
        listed = "; ".join(c.title for c in everything[:_LISTED])
        more = "; …" if len(everything) > _LISTED else ""
        return f"{file} has no function {what}; it has {listed}{more}. {wanted.how}"
    names = list(found.lines)
    offers = f"it defines {', '.join(names[:_LISTED])}" if names else "it defines no function"
    return f"{file} has no forward and backward {what}; {offers}{not_read(found)}"


def not_read(found: Inventory) -> str:
    """What is said of names that may be functions and are not read as such; "" without any."""
    words = FORWARD_WORDS | BACKWARD_WORDS
    names = [n for n in found.made if not words.isdisjoint(split(n))][:_LISTED]
    if not names:
        return ""
    what = "is what a call returns" if len(names) == 1 else "are what calls return"
    return f". {', '.join(names)} {what}, and is read as a function only if written with def"
