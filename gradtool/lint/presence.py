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
from gradtool.check.candidate import Candidate, gives_loss
from gradtool.check.recognise import BY_NAME, candidates, score
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.check.session import Session
from gradtool.check.words import BACKWARD_WORDS, names_gradient, split
from gradtool.lint.result import Finding
from gradtool.lint.rules import NOT_THERE, NOTHING, RULES
from gradtool.spec.bundled import bundled_specs

Presence = Literal["there", "by name", "by numbers", "not there"]


def presence(reference: Reference, session: Session, verdict: Verdict) -> Presence:
    """Whether a file that does not pass has the layer.

    "by name" alone is code with a name like the layer's that does not compute it, as far as it is
    known: ``affine_relu_forward`` beside the layer affine.  "by numbers" alone is what is called
    after another layer: a layer norm is a batch norm of what is transposed.
    """
    layer, found = reference.spec.name, candidates(session.inventory)
    check = reference.spec.check
    if check is not None and from_check(check).called(session.inventory):
        return "there"
    computes = bool(verdict.forward) and all(out.standing == "ok" for out in verdict.forward)
    bound = bool(verdict.gradients)
    meant = (one for one in found if bound or _promises_gradient(one))
    best = max((_fit(one, layer) for one in meant), default=0)
    if best >= BY_NAME or (best and computes):
        return "there"
    if not computes:
        return "by name" if best else "not there"
    called = {one.name for one in verdict.called}
    judged = (one for one in found if not called.isdisjoint(one.names))
    return "by numbers" if any(_is_another(one, layer) for one in judged) else "there"


_WORDS: dict[Presence, str] = {
    "by name": "called like the layer {}, but not checked, for it may be another one",
    "by numbers": "can be read as the layer {}, but not checked, for it is called like another one",
}


def told(found: Presence, layer: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is told of a file that has not the layer, or only perhaps, in place of its findings."""
    why = next((one for one in findings if RULES[one.code].level == "error"), None)
    text = f"nothing in it is called after the layer {layer}, or computes it"
    missing = why is not None and why.code == NOT_THERE
    nothing = Finding(NOTHING, why.message if why and missing else text)
    if found not in _WORDS:
        return (nothing,)
    text = _WORDS[found].format(layer)
    if why is None:
        return nothing, Finding("GT308", text)
    return nothing, Finding("GT308", f"{text}: {why.message}", why.line, place=why.place)


def _promises_gradient(candidate: Candidate) -> bool:
    """Whether it is more than one function that returns several things, none called a gradient."""
    one = candidate.forward
    if candidate.owner or candidate.backward or one is None or gives_loss(one):
        return True
    says = not BACKWARD_WORDS.isdisjoint(split(one.name))
    return says or any(names_gradient(name) for returned in one.returns for name in returned)


def _fit(candidate: Candidate, layer: str) -> int:
    """How well it is called after a layer; not at all where it is called after another one."""
    own = score(candidate, layer)[0]
    return 0 if own < BY_NAME and _is_another(candidate, layer) else own


def _is_another(candidate: Candidate, layer: str) -> bool:
    """Whether it has the name of another layer that comes with gradtool."""
    return any(score(candidate, name)[0] >= BY_NAME for name in _bundled() if name != layer)


@lru_cache(maxsize=1)
def _bundled() -> tuple[str, ...]:
    return tuple(bundled_specs())
