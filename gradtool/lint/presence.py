"""Whether a file has a layer at all, where nobody said that it must: in the files of a project.

An assignment says who has to hand in what, and what is not there is wrong.  A project has many
files that have nothing to do with a layer.  Names tell, or numbers: a function that is called after
the layer, or a forward pass that is the layer's.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from gradtool.check.bind import from_check
from gradtool.check.candidate import Candidate
from gradtool.check.recognise import candidates, score
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.check.session import Session
from gradtool.check.words import BACKWARD_WORDS, FORWARD_WORDS, split
from gradtool.lint.result import Finding
from gradtool.lint.rules import NOT_THERE, NOTHING, RULES
from gradtool.spec.bundled import bundled_specs

Presence = Literal["there", "perhaps", "not there"]

_BY_NAME = 2  # what `score` gives a name that is one of the layer's; less for one that contains it


def presence(reference: Reference, session: Session, verdict: Verdict) -> Presence:
    """Whether a file that does not pass has the layer.

    "perhaps" is code with a name like the layer's that does not compute it, as far as it is known:
    ``affine_relu_forward`` beside the layer affine.
    """
    if verdict.forward and all(output.standing == "ok" for output in verdict.forward):
        return "there"
    check = reference.spec.check
    if check is not None and from_check(check).called(session.inventory):
        return "there"
    bound = bool(verdict.gradients)
    meant = (one for one in candidates(session.inventory) if bound or _promises_gradient(one))
    best = max((_fit(one, reference.spec.name) for one in meant), default=0)
    return "there" if best >= _BY_NAME else "perhaps" if best else "not there"


def told(found: Presence, layer: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is told of a file that has not the layer, or only perhaps, in place of its findings."""
    why = next((one for one in findings if RULES[one.code].level == "error"), None)
    text = f"nothing in it is called after the layer {layer}, or computes it"
    missing = why is not None and why.code == NOT_THERE
    nothing = Finding(NOTHING, why.message if why and missing else text)
    if found == "not there":
        return (nothing,)
    text = f"called like the layer {layer}, but not checked, for it may be another one"
    if why is None:
        return nothing, Finding("GT308", text)
    return nothing, Finding("GT308", f"{text}: {why.message}", why.line, place=why.place)


def _promises_gradient(candidate: Candidate) -> bool:
    """Whether it is more than one function that says that it is a forward pass, and no more."""
    if candidate.owner or candidate.backward or candidate.forward is None:
        return True
    words = set(split(candidate.forward.name))
    return words.isdisjoint(FORWARD_WORDS) or not words.isdisjoint(BACKWARD_WORDS)


def _fit(candidate: Candidate, layer: str) -> int:
    """How well it is called after a layer; not at all where it is called after another one."""
    own = score(candidate, layer)[0]
    if not 0 < own < _BY_NAME:
        return own
    others = (name for name in _bundled() if name != layer)
    return 0 if any(score(candidate, name)[0] >= _BY_NAME for name in others) else own


@lru_cache(maxsize=1)
def _bundled() -> tuple[str, ...]:
    return tuple(bundled_specs())
