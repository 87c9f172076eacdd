"""Every pair of a file, matched with layers and judged: `gradtool check FILE` alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from gradtool.check.candidate import Candidate, gives_loss, with_choices
from gradtool.check.guesses import unclear
from gradtool.check.inventory import Inventory
from gradtool.check.judge import Judgement, failed, judge
from gradtool.check.matching import MOST_TOLD, Match, Tried, for_one_sample, gradients_in, match
from gradtool.check.numerical import with_means
from gradtool.check.pair import judge_with_left
from gradtool.check.process import Asked
from gradtool.check.recognise import candidates, distinct, not_read
from gradtool.check.reference import Reference
from gradtool.check.result import Called, Trouble, Verdict, is_lost
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.trying import GIVES, Layers
from gradtool.check.unsettled import not_seen, passes_on
from gradtool.check.wanted import Wanted
from gradtool.check.words import is_loss, names_gradient, split
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec

_LOSS_TOO = frozenset({"entropy", "grad", "gradient", "grads"})  # in the name of a function


class _File(Struct, frozen=True):
    """A loaded file, and what its pairs are judged with."""

    name: str
    session: Session
    layers: Layers
    reference_for: Callable[[LayerSpec], Reference]
    seed: int
    version: str

    def failed(self, trouble: Trouble) -> Verdict:
        """The verdict where there is nothing to compare."""
        notes = self.session.notes
        return failed(self.name, "", trouble, seed=self.seed, version=self.version, notes=notes)


def check_every(
    file: Path,
    layers: Layers,
    reference_for: Callable[[LayerSpec], Reference],
    wanted: Wanted,
    *,
    seed: int,
    version: str,
    seconds: float,
    worker: Asked,
    explain: bool = True,
) -> Iterator[Verdict]:
    """One verdict for each pair of a file, in the file's order.

    A pair that is none of the layers has the verdict "error" with a trouble at the stage
    "match", which says what was tried.  `reference_for` gives a layer with its backward
    pass; `worker` is closed at the end.
    """
    with Session(file, seconds=seconds, worker=worker) as session:
        loaded = _File(str(file), session, layers, reference_for, seed, version)
        try:
            session.load()
        except CheckTrouble as problem:
            yield loaded.failed(problem.trouble)
            return
        every = candidates(session.inventory)
        chosen = distinct(c for c in every if wanted.keeps(c) and plausible(c))
        if not chosen:
            text = _no_pair(file.name, session.inventory, wanted)
            yield loaded.failed(Trouble("binding", text))
        for candidate in chosen:
            told: list[object] = []
            for variant in with_choices(candidate, session.inventory.choices):
                verdict = _best(loaded, variant, explain)
                if is_lost(verdict.trouble):
                    session.again()
                result = (verdict.verdict, verdict.layer, [g.standing for g in verdict.gradients])
                if result not in told:  # a text may choose what no number shows
                    yield verdict
                told.append(result)


def _no_pair(file: str, found: Inventory, wanted: Wanted) -> str:
    what = "pair of functions" if wanted.everything else f"function {wanted.text}"
    listed = ", ".join(found.lines) or "no function"
    return (
        f"{file} has no {what} that could be a layer; it defines {listed}. What is looked for: two "
        "functions such as conv_forward and conv_backward, a class with both, or a loss that "
        "returns its gradients, too. Name yours with --forward, --backward and --inputs"
        f"{not_read(found)}"
    )


def plausible(candidate: Candidate) -> bool:
    """Whether a candidate looks like a layer and not like any function with two results."""
    if candidate.backward is not None or candidate.owner is not None:
        return True
    forward = candidate.forward
    assert forward is not None
    longest = forward.returns[0] if forward.returns else ()
    if longest[1:] and all(name == "None" for name in longest[1:]):
        return False
    if is_loss(forward.name) or _LOSS_TOO & set(split(forward.name)) or gives_loss(forward):
        return True
    return len(longest) > 1 and all(map(names_gradient, longest[1:]))


def _best(file: _File, candidate: Candidate, explain: bool) -> Verdict:
    """The verdict on a candidate as the layer that it is right as; else as the likeliest.

    Layers may have the same forward and differ in the shape of a bias, say.  One that gives the
    code less of what it takes, no stride and no bias, is no excuse for what is wrong with more.
    """
    first: Verdict | None = None
    most = 0, 0
    tried: list[Tried] = []
    without: list[str] = []
    while True:
        found = _matched(file, candidate, without)
        if found.layer is None:
            told = tuple(dict.fromkeys((*tried, *found.tried)))[:MOST_TOLD]
            found = replace(found, tried=told)
            return first or _unmatched(file, found)
        without.append(found.layer.name)
        breadth = _breadth(found)
        if first is not None and any(less < more for less, more in zip(breadth, most, strict=True)):
            continue
        verdict = _judged(file, found, explain and first is None)
        if isinstance(verdict, Tried):
            tried.append(verdict)
        elif verdict.verdict == "pass" or is_lost(verdict.trouble):
            return verdict
        elif first is None and not any(one.same for one in tried):
            first, most = verdict, breadth  # as another layer it can be right, but not wrong


def _breadth(found: Match) -> tuple[int, int]:
    """How much a reading gives the code: values that have gradients, and constants."""
    assert found.layer is not None
    way = found.bindings[0]
    return gradients_in(way, found.layer), sum(map(way.mentions, found.layer.constants))


def _matched(file: _File, candidate: Candidate, without: Collection[str]) -> Match:
    try:
        return match(file.session, candidate, file.layers, without)
    except CheckTrouble as trouble:
        file.session.again()
        return Match(candidate, None, (), (Tried("", trouble.trouble.message),))


def _judged(file: _File, found: Match, explain: bool) -> Verdict | Tried:
    """The verdict on a candidate as a layer, or why it is none after all."""
    assert found.layer is not None
    session, reference = file.session, file.reference_for(found.layer)
    judges = partial(
        judge_with_left, reference, file=file.name, seed=file.seed, version=file.version
    )
    judgement = judges(session, found.bindings)
    verdict = judgement.verdict
    if any(o.standing == "wrong" for o in verdict.forward):
        # It was like the layer's, but not the same.
        reason = "its forward is nearly the layer's, but not the same"
        if explain:
            from gradtool.check.diagnose import with_causes

            causes = [o.cause for o in with_causes(reference, session, judgement).verdict.forward]
            reason += "".join(f": {cause.message}" for cause in causes if cause is not None)
        return Tried(found.layer.name, reason, near=True)
    alone = _at_one_sample(session, found, file.layers, reference, judgement)
    if alone is not None:
        return replace(alone, called=alone.called or called(found.candidate))
    if found.candidate.owner and (reason := not_seen(verdict)):
        return Tried(found.layer.name, reason, same=True)
    if reason := passes_on(judgement, found.layer.name) or unclear(judgement):
        return Tried(found.layer.name, reason, same=True)
    if explain and any(g.standing != "ok" for g in verdict.gradients):
        # Only here: code that is right must not wait for the derivation.
        from gradtool.check.diagnose import with_causes

        verdict = with_causes(reference, session, judgement).verdict
    verdict = with_means(reference, session, replace(judgement, verdict=verdict), judges).verdict
    # The binding tells how it was read, the candidate what it is.
    return replace(verdict, called=verdict.called or called(found.candidate))


def _at_one_sample(
    session: Session, found: Match, layers: Layers, reference: Reference, batch: Judgement
) -> Verdict | None:
    """The verdict on code that is right for one sample, and has no answer for a batch.

    That a batch raises, or is no place for a vector, says that the code is not meant for one.
    Where a batch gives arrays of other shapes, its sums over the samples may have been forgotten
    as well: then nothing is judged, and why is told.  None where a batch gives wrong numbers, or
    one sample is not right either.
    """
    verdict = batch.verdict
    settled = verdict.verdict == "pass" or is_lost(verdict.trouble)
    if settled or found.bindings[0].one or _has_wrong_numbers(batch):
        return None
    plain = next((r for r in layers.references if r.spec.name == reference.spec.name), None)
    wrong = [c for c in verdict.gradients if c.standing != "ok"]
    if plain is None or not wrong:
        return None
    raised = verdict.trouble is not None
    refused = verdict.trouble.message if verdict.trouble else wrong[0].message.split(";")[0]
    try:
        ways = for_one_sample(session, found.candidate, plain, layers, refused)
        for way in ways:
            alone = judge(
                reference,
                session,
                (way,),
                file=verdict.file,
                seed=verdict.seed,
                version=verdict.version,
            ).verdict
            if alone.verdict != "pass" or any(r.code == "shape" for r in alone.remarks):
                continue
            if raised or way.drops_batch:
                return alone
            text = (
                f"every gradient is right for one sample ({way.one} = 1), and not for a batch: "
                f"{refused}. Code that is given one sample at a time is right as it is; for "
                "batches a sum over the samples is missing. To have it judged for batches, name "
                f"the layer: --spec {verdict.layer}"
            )
            trouble = Trouble("contract", text)
            return replace(alone, verdict="error", gradients=(), remarks=(), trouble=trouble)
    except CheckTrouble:
        session.again()
    return None


def _has_wrong_numbers(judgement: Judgement) -> bool:
    """Whether a gradient has the right shape somewhere and other numbers."""
    return any(
        not outcome.right and outcome.array is not None
        for point in judgement.points
        for outcome in point.gradients.values()
    )


def _unmatched(file: _File, found: Match) -> Verdict:
    reasons: dict[str, list[str]] = {}  # the same of several layers is told once
    for one in found.tried:
        reasons.setdefault(one.reason, []).append(one.layer)
    tried = "; ".join(
        f"{', '.join(layers)}: {reason}" if any(layers) else reason
        for reason, layers in reasons.items()
    )
    same = next((t for t in found.tried if t.same), None)
    if same is not None:
        text = f"its forward is that of {same.layer}, but {same.reason}"
    else:
        text = "no layer that comes with gradtool has this forward" + (
            f" (tried {tried})" if tried else ""
        )
        meant = _perhaps_meant(found.tried)
        if meant is not None:
            text += f"; if it is meant to be {meant}, `--spec {meant}` judges it against that layer"
    chosen = [f"{name}={text!r}" for name, text in found.candidate.chosen]
    trouble = Trouble("match", f"with {', '.join(chosen)}: {text}" if chosen else text)
    return replace(file.failed(trouble), called=called(found.candidate))


def _perhaps_meant(tried: Sequence[Tried]) -> str | None:
    """The layer that a candidate is nearly, or else is called like and could be run as."""
    near = (one.layer for one in tried if one.near)
    run = (one.layer for one in tried if one.reason.startswith(GIVES))
    return next(near, None) or next(run, None)


def called(candidate: Candidate) -> tuple[Called, ...]:
    """The functions of a candidate with their lines, as a report names them."""
    if candidate.owner is not None:
        owner = candidate.owner
        return (Called(owner.name, owner.line, owner.place),)
    own = candidate.backward if candidate.closure is None else None  # else it is in the forward
    return tuple(Called(f.name, f.line, f.place) for f in (candidate.forward, own) if f)
