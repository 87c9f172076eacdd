"""Whether a right answer was found by permitted means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradtool.check import numerical
from gradtool.check.judge import Judgement
from gradtool.check.measure import Point
from gradtool.lint.result import Finding

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


def imports(found: object) -> tuple[Finding, ...]:
    """Findings on what a file says that it imports: the worker's answer before any code ran."""
    named = found if isinstance(found, dict) else {}
    return tuple(
        Finding("GT401", f"imports {name.partition('.')[0]}", line if isinstance(line, int) else 0)
        for name, line in named.items()
        if isinstance(name, str) and name.partition(".")[0] in FRAMEWORKS
    )


def loaded(modules: object, granted: Iterable[str]) -> tuple[Finding, ...]:
    """Findings on the modules that a worker had loaded in the end."""
    names = {name for name in modules if isinstance(name, str)} if isinstance(modules, list) else ()
    used = sorted((FRAMEWORKS & set(names)) - set(granted))
    return tuple(Finding("GT401", f"loads {name} while it runs") for name in used)


def counted(reply: Mapping[str, Any], point: Point, line: int) -> tuple[Finding, ...]:
    """Findings on the calls of the forward pass during one forward and one backward pass."""
    if reply.get("undisturbed") is not True:
        return (Finding("GT403", "the profiler was switched off while the code ran", line),)
    if reply.get("threads") != 1:
        return (beside_it(line),)
    text = numerical.by_calls(reply, point)
    return (Finding("GT402", text, line),) if text else ()


def is_accompanied(reply: Mapping[str, Any]) -> bool:
    """Whether all that keeps calls from being counted is another thread."""
    return reply.get("undisturbed") is True and reply.get("threads") != 1


def beside_it(line: int) -> Finding:
    """The finding on code that works in a thread where it is not seen."""
    text = "a thread of its own runs beside it, where no calls can be counted"
    return Finding("GT403", text, line)


def reaching(line: int) -> Finding:
    """The finding on code that needs what runs it to be right."""
    text = (
        "it looks into the process that runs it, by frames, say, and is not right where it cannot"
    )
    return Finding("GT403", text, line)


def otherwise(line: int) -> tuple[Finding, ...]:
    """The finding on gradients that are right only where no calls are counted."""
    return (Finding("GT403", "it computes something else while its calls are counted", line),)


def complex_step(sizes: Iterable[object], line: int) -> tuple[Finding, ...]:
    """A finding when the code moved a given number by a tiny imaginary one."""
    text = numerical.by_complex_step(sizes)
    return (Finding("GT402", text, line),) if text else ()


def entry_by_entry(sizes: Iterable[object], line: int) -> tuple[Finding, ...]:
    """A finding when the code moved one entry of a given array after the other."""
    text = numerical.by_entries(sizes)
    return (Finding("GT402", text, line),) if text else ()


def differenced(judgement: Judgement, line: int) -> tuple[Finding, ...]:
    """Findings on gradients that the judge has found to be differences of the forward pass."""
    return _of_gradients(numerical.by_cause(judgement), line)


def without_longer(told: Iterable[tuple[str, str]], line: int) -> tuple[Finding, ...]:
    """Findings on gradients that are right in numbers longer than float64 only, and on code that
    has nothing without them: what `gradtool.check.numerical.in_double` tells.
    """
    told = tuple(told)
    only = tuple(Finding("GT403", text, line) for name, text in told if not name)
    return only or _of_gradients(told, line)


def _of_gradients(told: Iterable[tuple[str, str]], line: int) -> tuple[Finding, ...]:
    return tuple(Finding("GT402", f"d{name}: {text}", line, f"d{name}") for name, text in told)
