"""`gradtool.assert_gradients`: the check of `gradtool check`, as an assertion in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradtool import __version__
from gradtool.check.live import Live
from gradtool.check.pair import check_live
from gradtool.check.unaided import Functions, check_unaided
from gradtool.numeric.plain import plain_forward
from gradtool.numeric.reference import reference_for
from gradtool.records import replace
from gradtool.report import check_text, library
from gradtool.spec.load import load_path, load_text
from gradtool.spec.usage import UsageError

if TYPE_CHECKING:
    from gradtool.check.result import Verdict
    from gradtool.spec.model import LayerSpec

_SECONDS = 60.0


def assert_gradients(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    spec: str | Path | None = None,
    *,
    inputs: str | None = None,
    seed: int = 0,
    explain: Literal["none", "cause", "full"] = "full",
    hide_expected: bool = False,
) -> None:
    """Assert that a backward pass is right; the message is the report of `gradtool check`.

    Args:
        forward: a function that returns the output, or the output and a cache; a class with
            methods for both passes; or, without `backward`, a function that returns a loss
            and its gradients.
        backward: a function of the upstream gradient and the cache, or of the inputs again.
        spec: a bundled layer's name, a path to a spec, or the text of one (several lines).
        inputs: without a spec, what the arguments are: ``"X: [N, D], W: [D, C]"``; the gradients
            are then compared with differences of `forward` itself.
        seed: of the sampling.
        explain: how much the message tells of the cause.
        hide_expected: tell no right values and no formula.

    Raises:
        AssertionError: a gradient or the forward is wrong, or the code fails.
        SpecError: the spec is wrong.
        UsageError: neither or both of `spec` and `inputs` are given, there is no such layer, or
            how the functions are called cannot be told, or what is right in one reading of
            them is wrong in another.
    """
    __tracebackhide__ = True
    if (spec is None) == (inputs is None):
        raise UsageError(
            "assert_gradients wants a spec, or inputs without one",
            'such as spec="affine", or inputs="X: [N, D], W: [D, C]"',
        )
    live = Live(forward, backward) if backward is not None else Live(forward)
    verdict = (
        _against(_spec(spec), live, seed, explain != "none")
        if spec is not None
        else _unaided(str(inputs), live, seed)
    )
    if verdict.trouble is not None and verdict.trouble.stage == "binding":
        raise UsageError(verdict.trouble.message, "say it in the spec's check: block")
    if verdict.trouble is not None and verdict.trouble.stage == "unclear":
        raise UsageError(verdict.trouble.message)
    if verdict.verdict != "pass":
        named = str(spec) if spec is not None and "\n" not in str(spec) else ""
        shown = check_text.plain(verdict, hide_expected=hide_expected, explain=explain, spec=named)
        raise AssertionError(shown)


def _spec(spec: str | Path) -> LayerSpec:
    if isinstance(spec, Path):
        return load_path(spec)
    return load_text(spec, "<spec>") if "\n" in spec else library.load(spec)


def _against(spec: LayerSpec, live: Live, seed: int, explain: bool) -> Verdict:
    reference = reference_for(spec, library.finder(spec))
    return check_live(reference, live, seed=seed, version=__version__, explain=explain).verdict


def _unaided(inputs: str, live: Live, seed: int) -> Verdict:
    from gradtool.check.declared import declared

    first, *rest = live.names
    functions = Functions(first, rest[0] if rest else None)
    verdict = check_unaided(
        plain_forward(declared(inputs, first)),
        live.file,
        functions,
        seed=seed,
        version=__version__,
        seconds=_SECONDS,
        worker=live,
    )
    return replace(verdict, file=live.file.name)
