"""A function, a pair or a class that may implement a layer."""

from __future__ import annotations

from dataclasses import dataclass

from gradtool.check.inventory import Class, Function
from gradtool.check.words import DERIVATIVE_WORDS, is_cache, is_upstream, split


@dataclass(frozen=True, slots=True)
class Candidate:
    """A forward with its backward; one function that does both; or a class with methods."""

    forward: Function | None
    backward: Function | None
    owner: Class | None = None

    @property
    def title(self) -> str:
        if self.owner:
            return self.owner.name
        return " / ".join(f.name for f in (self.forward, self.backward) if f)

    @property
    def names(self) -> tuple[str, ...]:
        own = [self.owner.name] if self.owner else []
        return tuple([*own, *(f.name for f in (self.forward, self.backward) if f)])


def is_derivative(candidate: Candidate) -> bool:
    backward = candidate.backward
    if candidate.owner or backward is None or backward.required > 1 or not backward.params:
        return False
    words = set(split(backward.name))
    named = bool(words & DERIVATIVE_WORDS) or backward.name.startswith("d")
    return named and not is_upstream(backward.params[0]) and not is_cache(backward.params[0])


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
