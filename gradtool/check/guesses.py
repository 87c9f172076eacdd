"""What the first argument of a backward pass is, where its name does not tell.

The backward pass of a loss that is given its labels again is mostly given the prediction, too, or
what the forward pass made of it, and seldom an upstream gradient, which would be 1.  All of these
are tried, and the numbers show which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.check.arguments import Call, Names
from gradtool.check.bind import Binding
from gradtool.check.compare import arrays_of
from gradtool.check.inventory import Function
from gradtool.check.judge import Judgement
from gradtool.check.scale import ratio
from gradtool.check.words import is_label
from gradtool.records import replace

_MOST = 6


def guesses_for(
    backward: Function,
    upstream: Mapping[str, str],
    called: Call,
    kept: Sequence[str],
    names: Names,
) -> list[tuple[str, dict[str, str]]]:
    """What a loss's backward pass may be given beside its labels, in words and as arguments.

    `kept` are expressions of what the forward pass left.  [] where nothing is to be guessed.
    """
    labels = [p for p in backward.params if p in called.given and called.given[p] not in names.real]
    if not names.is_loss or not labels or len(upstream) != 1:
        return []
    (parameter,) = upstream
    if parameter not in backward.needed:
        return []
    predictions = [n for n in called.given.values() if n in names.real]
    return [(text, {parameter: text}) for text in (*predictions, *kept)][:_MOST]


def unsure_readings(backward: Function, readings: Sequence[tuple[str, Binding]]) -> list[Binding]:
    """Readings that differ in one argument, each saying what it is taken for."""
    told = ", ".join(what for what, _ in readings)
    unsure = (
        f"what {backward.name} is to be given is not known ({told} were tried); "
        "say it in a check: block"
    )
    return [
        replace(binding, convention=f"{binding.convention}, given {what}", unsure=unsure)
        for what, binding in readings
    ]


def labels_behind(backward: Function, upstream: Mapping[str, str], names: Names) -> str:
    """Why a reading is a guess that gives a layer's backward pass an upstream gradient for labels;
    "" if it does not.
    """
    (parameter,) = upstream if len(upstream) == 1 else ("",)  # of several each has its output
    if names.is_loss or not is_label(parameter):
        return ""
    return (
        f"{backward.name} takes {parameter}, so it seems to be the gradient of a loss that is not "
        "computed there; write that loss in a spec, with a check: block"
    )


def unclear(judgement: Judgement) -> str:
    """Why a judgement cannot be told: it rests on a guess that no number confirms; "" if it can.

    Wrong by a factor and by nothing else confirms it: the derivative was taken of the right thing.
    """
    verdict, binding = judgement.verdict, judgement.binding
    if verdict.verdict == "pass" and binding is not None and binding.undecided:
        return binding.undecided
    guess = binding.guess if binding is not None else None
    fits = all(one.standing == "ok" for one in verdict.forward)
    if verdict.verdict != "pass" and guess is not None and not guess.all_tried and not fits:
        return (
            f"{guess.unknown}, and there are too many orders to try them all; say it in a check: "
            "block"
        )
    if verdict.verdict == "pass" or binding is None or not binding.unsure:
        return ""
    outcomes = [
        (point, name, outcome)
        for point in judgement.points
        for name, outcome in point.gradients.items()
        if not outcome.right
    ]
    confirmed = verdict.verdict == "fail" and all(
        outcome.array is not None
        and ratio(outcome.array, *arrays_of(point.expected.double, "gradient", name))
        for point, name, outcome in outcomes
    )
    return "" if outcomes and confirmed else binding.unsure
