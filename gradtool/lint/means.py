"""Whether a right answer was found by permitted means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradtool.check import numerical
from gradtool.check.answers import clean
from gradtool.check.judge import Judgement
from gradtool.check.measure import Point
from gradtool.check.result import within
from gradtool.lint.result import Finding, Spot

FRAMEWORKS = frozenset(
    {
        "autograd",
        "torch",
        "functorch",
        "tensorflow",
        "jax",
        "jaxlib",
        "theano",
        "aesara",
        "pytensor",
    }
    | {
        "mxnet",
        "keras",
        "tinygrad",
        "paddle",
        "chainer",
        "mindspore",
        "micrograd",
        "casadi",
        "flax",
    }
    | {"sympy", "numdifftools", "gradtool", "needle", "tangent", "adept", "algopy", "pyadolc"}
)


def imports(found: object, file: str) -> tuple[Finding, ...]:
    """Findings on what a file says that it imports, one for each framework: the worker's answer
    before any code ran.
    """
    first: dict[str, Spot] = {}
    for name, told in found.items() if isinstance(found, dict) else ():
        match told:
            case [int(line), str(place)] if isinstance(name, str):
                first.setdefault(name.partition(".")[0], Spot(line, within(file, clean(place))))
    return tuple(
        at.finding("GT401", f"imports {name}") for name, at in first.items() if name in FRAMEWORKS
    )


def loaded(modules: object, granted: Iterable[str], told: object) -> tuple[Finding, ...]:
    """Findings on the modules that a worker had loaded in the end, but for what `imports` tells."""
    names = {name for name in modules if isinstance(name, str)} if isinstance(modules, list) else ()
    known = {str(name).partition(".")[0] for name in told} if isinstance(told, dict) else ()
    used = sorted((FRAMEWORKS & set(names)) - set(granted) - set(known))
    return tuple(Finding("GT401", f"loads {name} while it runs") for name in used)


def counted(reply: Mapping[str, Any], point: Point, at: Spot) -> tuple[Finding, ...]:
    """Findings on the calls of the forward pass during one forward and one backward pass."""
    if reply.get("undisturbed") is not True:
        return (at.finding("GT403", "the profiler was switched off while the code ran"),)
    if reply.get("threads") != 1:
        return (beside_it(at),)
    text = numerical.by_calls(reply, point)
    return (at.finding("GT402", text),) if text else ()


def is_accompanied(reply: Mapping[str, Any]) -> bool:
    """Whether all that keeps calls from being counted is another thread."""
    return reply.get("undisturbed") is True and reply.get("threads") != 1


def beside_it(at: Spot) -> Finding:
    """The finding on code that works in a thread where it is not seen."""
    text = "a thread of its own runs beside it, where no calls can be counted"
    return at.finding("GT403", text)


def reaching(at: Spot) -> Finding:
    """The finding on code that needs what runs it to be right."""
    text = (
        "it looks into the process that runs it, by frames, say, and is not right where it cannot"
    )
    return at.finding("GT403", text)


def otherwise(at: Spot) -> tuple[Finding, ...]:
    """The finding on gradients that are right only where no calls are counted."""
    return (at.finding("GT403", "it computes something else while its calls are counted"),)


def complex_step(sizes: Iterable[object], at: Spot) -> tuple[Finding, ...]:
    """A finding when the code moved a given number by a tiny imaginary one."""
    text = numerical.by_complex_step(sizes)
    return (at.finding("GT402", text),) if text else ()


def entry_by_entry(sizes: Iterable[object], at: Spot) -> tuple[Finding, ...]:
    """A finding when the code moved one entry of a given array after the other."""
    text = numerical.by_entries(sizes)
    return (at.finding("GT402", text),) if text else ()


def differenced(judgement: Judgement, at: Spot) -> tuple[Finding, ...]:
    """Findings on gradients that the judge has found to be differences of the forward pass."""
    return _of_gradients(numerical.by_cause(judgement), at)


def outgrown(told: Iterable[tuple[str, str]], at: Spot) -> tuple[Finding, ...]:
    """Findings on gradients that are lost where no step is left of a variable."""
    return _of_gradients(told, at)


def without_longer(told: Iterable[tuple[str, str]], at: Spot) -> tuple[Finding, ...]:
    """Findings on gradients that are right in numbers longer than float64 only, and on code that
    has nothing without them: what `gradtool.check.numerical.in_double` tells.
    """
    told = tuple(told)
    only = tuple(at.finding("GT403", text) for name, text in told if not name)
    return only or _of_gradients(told, at)


def _of_gradients(told: Iterable[tuple[str, str]], at: Spot) -> tuple[Finding, ...]:
    return tuple(at.finding("GT402", f"d{name}: {text}", f"d{name}") for name, text in told)
