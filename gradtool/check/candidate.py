"""A function, a pair or a class that may implement a layer."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping

from gradtool.check.inventory import Class, Function
from gradtool.check.words import (
    BACKWARD_WORDS,
    DERIVATIVE_WORDS,
    folded,
    is_cache,
    is_loss,
    is_the_gradient,
    is_upstream,
    names_gradient,
    split,
)
from gradtool.records import Struct, replace

_MOST = 8  # texts for one parameter
_OUTPUT_AND_BACKWARD = 2  # entries of a dictionary, at least


class Candidate(Struct, frozen=True):
    """A forward with its backward; one function that does both; or a class with methods.

    `chosen` are texts for parameters that choose what is computed: ``activation="relu"``.
    `closure` is the place among the forward's results at which it returns the backward, a function
    of its own, or the key of it; it is None for all others, and left out of the forward's
    `returns`.
    """

    forward: Function | None
    backward: Function | None
    owner: Class | None = None
    chosen: tuple[tuple[str, str], ...] = ()
    closure: int | str | None = None

    @property
    def title(self) -> str:
        if self.owner:
            return self.owner.name
        if self.forward and self.closure is not None:
            return self.forward.name
        return " / ".join(f.name for f in (self.forward, self.backward) if f)

    @property
    def names(self) -> tuple[str, ...]:
        own = [self.owner.name] if self.owner else []
        return tuple([*own, *(f.name for f in (self.forward, self.backward) if f)])

    @property
    def said(self) -> Hashable:
        """All of it but where it stands, equal for functions that are called and written alike."""
        items = (self.forward, self.backward, self.owner)
        return *(item.said if item else None for item in items), self.chosen, self.closure


def of_one(function: Function, owner: Class | None = None) -> Candidate:
    """The candidate of a function or method alone: with the backward pass that it returns, if it
    does so, else without any.

    Of several functions that it returns the backward pass is the one that looks like one.
    """
    for returned in function.returns if function.inner else ():
        if len(returned) == 1 and returned[0].startswith("{"):
            if (keyed := _with_key(function, returned[0], owner)) is not None:
                return keyed
            continue
        every = {k: one for k, name in enumerate(returned) if (one := _inner(name, function))}
        known = [k for k, one in every.items() if _is_backward_pass(one, function)]
        if len(every) > 1 and len(known) > 1:
            known = [k for k in known if _is_called_backward(every[k])]
        if len(known) == 1 and len(returned) > 1:
            (at,) = known
            forward = replace(function, returns=((*returned[:at], *returned[at + 1 :]),))
            if owner is not None:  # gradients may be left in the object
                owner = replace(owner, methods=(*owner.methods, every[at]))
            return Candidate(forward, every[at], owner, closure=at)
    return Candidate(function, None, owner)


def _with_key(function: Function, returned: str, owner: Class | None) -> Candidate | None:
    """The candidate of a function that returns its backward pass in a dictionary."""
    keys = returned.strip("{}").split(",")
    every = {key: one for key in keys if (one := _inner(key, function))}
    known = [key for key, one in every.items() if _is_backward_pass(one, function)]
    if len(known) > 1:
        known = [key for key in known if _is_called_backward(every[key])]
    if owner is not None or len(known) != 1 or len(keys) < _OUTPUT_AND_BACKWARD:
        return None
    (own,) = known
    left = "{" + ",".join(key for key in keys if key not in every) + "}"
    return Candidate(replace(function, returns=((left,),)), every[own], closure=every[own].name)


def _is_called_backward(inner: Function) -> bool:
    return not _CLOSURES.isdisjoint(split(inner.first))


def _is_backward_pass(inner: Function, forward: Function) -> bool:
    """Whether a returned function looks like a backward pass, and not like a prediction, say: by
    its name, by what it takes, or by what it returns where it takes nothing.
    """
    if _is_called_backward(inner):
        return True
    if not _PUSHFORWARDS.isdisjoint(split(inner.first)):
        return False
    if inner.needed or (inner.params and not inner.first):
        known = {*forward.params, *(name for names in forward.returns for name in names)}
        return _is_sent_back(inner.params[0], known)
    returned = {name for names in inner.returns for name in names}
    unknown = not inner.first and all(not name or name.startswith("{") for name in returned)
    return unknown or any(is_the_gradient(name) or _is_sure_gradient(name) for name in returned)


def _is_sent_back(parameter: str, known: Collection[str]) -> bool:
    """Whether a parameter is an upstream gradient: ``dY``, ``d_out`` or ``dloss`` of what is known
    as ``loss``, ``g``."""
    if is_upstream(parameter) or "grad" in parameter.lower() or parameter in _COTANGENTS:
        return True
    bare = parameter[1:].lstrip("_")
    short = len(bare) <= 2 or bare[0].isupper() or parameter[1] == "_"  # and not ``data``
    return parameter[0] == "d" and bool(bare) and (short or bare in known or is_loss(bare))


_CLOSURES = BACKWARD_WORDS - {"d"} | {"pullback", "bp"}
_PUSHFORWARDS = frozenset({"jvp", "pushforward", "tangent", "tangents"})
_COTANGENTS = frozenset({"d", "g", "u", "v", "ct", "cotangent", "adjoint", "ybar"})


def made_by(function: Function) -> Function | None:
    """The backward pass that a function returns and nothing beside it: ``relu_vjp(X)(dY)``."""
    alone = [returned[0] for returned in function.returns if len(returned) == 1]
    return next(filter(None, (_inner(name, function) for name in alone)), None)


def _inner(returned: str, function: Function) -> Function | None:
    return next((one for one in function.inner if f"{one.name}()" == returned), None)


def with_choices(
    candidate: Candidate, choices: Mapping[str, tuple[str, ...]]
) -> tuple[Candidate, ...]:
    """The candidate with every text that one of its parameters is compared with.

    `choices` are the texts by the name that the file compares with them.  A candidate that can do
    without is among them as it is.
    """
    init = candidate.owner.method("__init__") if candidate.owner else None
    functions = [f for f in (init, candidate.forward, candidate.backward) if f]
    found: dict[str, tuple[str, ...]] = {}
    needed: dict[str, str] = {}
    defaults: dict[str, str] = {}
    for function in functions:
        for parameter in function.params:
            texts = choices.get(parameter, ())[:_MOST]
            if not texts or parameter in found or _tells_of_training(parameter, texts):
                continue
            default = function.defaults.get(parameter)
            found[parameter] = tuple(text for text in texts if text != default)
            if parameter in function.needed:
                needed[parameter] = texts[0]
            elif default is not None:
                defaults[parameter] = default
    if not found:
        return (candidate,)
    varied = next(iter(needed or found))
    known = {**defaults, **needed}
    variants = [
        replace(candidate, chosen=tuple({**known, varied: text}.items())) for text in found[varied]
    ]
    if not needed:
        variants.insert(0, replace(candidate, chosen=tuple(defaults.items())))
    return tuple(variants)


def _tells_of_training(parameter: str, texts: Iterable[str]) -> bool:
    given = flag(parameter)
    return given is not None and given.strip('"') in texts


def flag(parameter: str) -> str | None:
    """The argument for a parameter that tells how a layer is used: for training."""
    plain = folded(parameter)
    if plain == "mode":
        return '"train"'
    if plain in ("lr", "learningrate", "alpha", "eta", "stepsize"):
        return "1.0"
    trains = plain in ("training", "train", "istraining", "istrain", "trainflg", "trainflag")
    return "True" if trains else None


def is_derivative(candidate: Candidate) -> bool:
    backward = candidate.backward
    if candidate.owner or backward is None or backward.required > 1 or not backward.params:
        return False
    if candidate.closure is not None or made_by(backward) is not None:
        return False
    words = set(split(backward.name))
    named = bool(words & DERIVATIVE_WORDS) or backward.name.startswith("d")
    return named and not is_upstream(backward.params[0]) and not is_cache(backward.params[0])


def gives_loss(function: Function) -> bool:
    """Whether a function returns a loss with gradients in one thing: ``{"loss": L, "dX": dX}``.

    What a training loop or an evaluation returns beside its loss is no gradient.
    """
    bundle = function.bundle
    named = any(map(is_loss, bundle))
    return named and any(is_the_gradient(name) or _is_sure_gradient(name) for name in bundle)


def _is_sure_gradient(name: str) -> bool:
    """Whether a name is that of a gradient and hardly anything else's, as ``global_step`` is."""
    return names_gradient(name) and (name[0] in "dD" or "grad" in name.lower())


def is_torch_function(owner: Class) -> bool:
    """Whether a class is an operation of torch's autograd: static methods with a context."""
    based = any(
        b in ("Function", "autograd.Function", "torch.autograd.Function") for b in owner.bases
    )
    methods = [owner.method(name) for name in ("forward", "backward")]
    return based and all(m is not None and m.params[:1] == ("ctx",) for m in methods)


def is_custom_vjp(function: Function) -> bool:
    """Whether a function is decorated to have a backward pass of its own in JAX."""
    return any(name.rpartition(".")[2] == "custom_vjp" for name in function.decorators)
