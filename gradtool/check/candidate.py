"""A function, a pair or a class that may implement a layer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from gradtool.check.inventory import Class, Function
from gradtool.check.words import (
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


class Candidate(Struct, frozen=True):
    """A forward with its backward; one function that does both; or a class with methods.

    `chosen` are texts for parameters that choose what is computed: ``activation="relu"``.
    """

    forward: Function | None
    backward: Function | None
    owner: Class | None = None
    chosen: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        if self.owner:
            return self.owner.name
        return " / ".join(f.name for f in (self.forward, self.backward) if f)

    @property
    def names(self) -> tuple[str, ...]:
        own = [self.owner.name] if self.owner else []
        return tuple([*own, *(f.name for f in (self.forward, self.backward) if f)])

    @property
    def said(self) -> Hashable:
        """All of it but where it stands, equal for functions that are called and written alike."""
        items = (self.forward, self.backward, self.owner)
        return *(item.said if item else None for item in items), self.chosen


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
