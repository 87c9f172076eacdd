"""Every pair of a file, matched with layers and judged: `gradtool check FILE` alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from gradtool.check.candidate import Candidate
from gradtool.check.judge import failed, judge
from gradtool.check.matching import Layers, Match, Tried, match
from gradtool.check.process import Asked
from gradtool.check.recognise import candidates
from gradtool.check.reference import Reference
from gradtool.check.result import Called, Trouble, Verdict
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.wanted import Wanted
from gradtool.check.words import of_gradient, split
from gradtool.spec.model import LayerSpec

_LOSS_WORDS = frozenset({"loss", "cost", "objective", "entropy", "grad", "gradient", "grads"})


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
    name = str(file)
    with Session(file, seconds=seconds, worker=worker) as session:
        try:
            session.load()
        except CheckTrouble as problem:
            yield failed(name, "", problem.trouble, seed=seed, version=version, notes=session.notes)
            return
        chosen = [c for c in candidates(session.inventory) if wanted.keeps(c) and plausible(c)]
        if not chosen:
            listed = ", ".join(session.inventory.lines) or "nothing"
            what = "no function " + wanted.text if not wanted.everything else "no pair of functions"
            text = f"{file.name} has {what} that could be a layer; it defines {listed}"
            trouble = Trouble("binding", text)
            yield failed(name, "", trouble, seed=seed, version=version, notes=session.notes)
        for candidate in chosen:
            found = _matched(session, candidate, layers)
            if found.layer is None:
                yield _unmatched(session, found, name, seed, version)
                continue
            verdict = _judged(session, found, reference_for, name, seed, version, explain)
            yield verdict
            if verdict.trouble is not None and verdict.trouble.stage == "worker":
                session.again()


def plausible(candidate: Candidate) -> bool:
    """Whether a candidate looks like a layer and not like any function with two results."""
    if candidate.backward is not None or candidate.owner is not None:
        return True
    forward = candidate.forward
    assert forward is not None
    longest = forward.returns[0] if forward.returns else ()
    if longest[1:] and all(name == "None" for name in longest[1:]):
        return False
    if _LOSS_WORDS & set(split(forward.name)):
        return True
    return len(longest) > 1 and all(_is_gradient(name) for name in longest[1:])


def _is_gradient(name: str) -> bool:
    return bool(name) and any(bare != name for bare in of_gradient(name))


def _matched(session: Session, candidate: Candidate, layers: Layers) -> Match:
    try:
        return match(session, candidate, layers)
    except CheckTrouble as trouble:
        session.again()
        return Match(candidate, None, (), (Tried("", trouble.trouble.message),))


def _judged(
    session: Session,
    found: Match,
    reference_for: Callable[[LayerSpec], Reference],
    file: str,
    seed: int,
    version: str,
    explain: bool,
) -> Verdict:
    assert found.layer is not None
    reference = reference_for(found.layer)
    judgement = judge(reference, session, found.bindings, file=file, seed=seed, version=version)
    verdict = judgement.verdict
    if any(o.standing == "wrong" for o in verdict.forward):
        # It was like the layer's, but not the same: what is wrong with it is unknown.
        tried = Tried(found.layer.name, "its forward is nearly the layer's, but not the same")
        return _unmatched(session, replace(found, tried=(tried,)), file, seed, version)
    if explain and any(g.standing != "ok" for g in verdict.gradients):
        # Only here: code that is right must not wait for the derivation.
        from gradtool.check.diagnose import with_causes

        verdict = with_causes(reference, session, judgement).verdict
    # The binding tells how it was read, the candidate what it is.
    return replace(verdict, called=verdict.called or called(found.candidate))


def _unmatched(session: Session, found: Match, file: str, seed: int, version: str) -> Verdict:
    tried = "; ".join(f"{t.layer}: {t.reason}" if t.layer else t.reason for t in found.tried)
    text = "no layer that comes with gradtool has this forward" + (
        f" (tried {tried})" if tried else ""
    )
    trouble = Trouble("match", text)
    verdict = failed(file, "", trouble, seed=seed, version=version, notes=session.notes)
    return replace(verdict, called=called(found.candidate))


def called(candidate: Candidate) -> tuple[Called, ...]:
    """The functions of a candidate with their lines, as a report names them."""
    if candidate.owner is not None:
        return (Called(candidate.owner.name, candidate.owner.line),)
    return tuple(Called(f.name, f.line) for f in (candidate.forward, candidate.backward) if f)
