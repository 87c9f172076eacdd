"""Gradients that a backward pass leaves in an object where no text shows it: found by running.

What is reached from the object is looked at before and after the backward pass, in the worker.
What has changed and has the shape of a parameter may be its gradient; each is tried.  What is
found is written as it is read, such as ``layer.W.grad``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import islice, product

from gradtool.check.answers import texts
from gradtool.check.arguments import same
from gradtool.check.bind import Binding
from gradtool.check.judge import Judgement, judge
from gradtool.check.measure import bind, offered
from gradtool.check.probes import probes
from gradtool.check.reached import MOST_ARRAYS, OBJECT
from gradtool.check.reference import Reference
from gradtool.check.result import is_lost
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.unsettled import where_unknown
from gradtool.check.words import of_gradient
from gradtool.ir import syntax
from gradtool.records import Struct, replace

_MOST_TRIED = 6


class _Place(Struct, frozen=True):
    """An array that is reached from the object: how it is read, by which attributes and keys."""

    path: str
    steps: tuple[str, ...]
    shape: Sequence[int]

    def names(self, name: str) -> bool:
        """Whether it says that a variable's gradient is there: ``.W.grad``, ``._g['W']``."""
        last = [step.strip("_") for step in self.steps[-2:]]
        said = (".".join(last), "_".join(last), *last[-1:])
        return any(bare != one and same(bare, [name]) for one in said for bare in of_gradient(one))


def with_left(
    reference: Reference,
    session: Session,
    judgement: Judgement,
    *,
    file: str,
    seed: int,
    version: str,
) -> Judgement:
    """The judgement with gradients that the object holds where they were not looked for."""
    verdict, binding = judgement.verdict, judgement.binding
    missing = [g.name for g in verdict.gradients if g.standing == "not offered"]
    fits = verdict.trouble is None and all(o.standing == "ok" for o in verdict.forward)
    if not missing or not fits or binding is None or not binding.mentions(OBJECT):
        return judgement
    try:
        ways = _readings(reference, session, binding, missing, seed)
    except CheckTrouble:
        session.again()
        return judgement
    if not ways:
        return judgement
    found = judge(reference, session, ways, file=file, seed=seed, version=version)
    if is_lost(found.verdict.trouble):
        session.again()
        return judgement
    right = [g.name for g in found.verdict.gradients if g.standing == "ok"]
    looked = [g.name for g in found.verdict.gradients if g.standing != "not offered"]
    if found.binding is not None and all(n in right for n in missing if n in looked):
        return replace(found, binding=replace(found.binding, unsure=binding.unsure))
    return found


def _readings(
    reference: Reference, session: Session, binding: Binding, missing: Sequence[str], seed: int
) -> list[Binding]:
    """The binding with each way to read the gradients that it does not find; [] without any.

    Raises:
        CheckTrouble: the worker is lost.
    """
    probe = next(iter(probes(reference, binding, seed)), None)  # its sizes differ pairwise
    if probe is None:
        return []
    bind(session, reference, binding)
    header = {"op": "left", "scalars": dict(probe.scalars), "seed": seed}
    reply = session.ask(header, probe.arrays, 0).header.get("left")
    found = list(_told(reply))
    shapes = {v.name: v.shape for v in offered(reference, binding)}
    choices: dict[str, list[_Place]] = {}
    for name in missing:
        shape = [dim.evaluate(probe.env) for dim in shapes[name]]
        fitting = [place for place in found if _squeezed(place.shape) == _squeezed(shape)]
        if meant := _most_open(fitting, found, name):
            choices[name] = meant
    ways: list[Binding] = []
    for places in islice(product(*choices.values()), _MOST_TRIED if choices else 0):
        lines = [f"d{name} = {place.path}" for name, place in zip(choices, places, strict=True)]
        sure = all(
            place.names(name) and sum(other.names(name) for other in known) == 1
            for (name, known), place in zip(choices.items(), places, strict=True)
        )
        text = "\n".join(filter(None, (binding.backward, *lines)))
        ways.append(replace(binding, backward=text, unsure="" if sure else where_unknown(missing)))
    return ways


def _told(reply: object) -> Iterator[_Place]:
    """The places of an answer, whatever else a worker may say."""
    for entry in reply[:MOST_ARRAYS] if isinstance(reply, list) else ():
        match entry:
            case [str(path), list(shape)] if all(isinstance(size, int) for size in shape):
                text = texts([path])[0]
                if steps := _steps(text):
                    yield _Place(text, steps, shape)


def _steps(path: str) -> tuple[str, ...]:
    """The attributes and keys by which a path leads from the object; () where it does more."""
    try:
        node: ast.AST = syntax.parse(path, mode="eval").body
    except (SyntaxError, ValueError):
        return ()
    steps: list[str] = []
    while not isinstance(node, ast.Name):
        match node:
            case ast.Attribute(value=inner, attr=name):
                steps.insert(0, name)
            case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
                steps.insert(0, str(key))
            case ast.Call(func=inner, args=[], keywords=[]):
                pass
            case _:
                return ()
        node = inner
    return tuple(steps) if node.id == OBJECT else ()


def _most_open(fitting: Sequence[_Place], every: Sequence[_Place], name: str) -> list[_Place]:
    """Of the places of an array those that an object offers to others most openly.

    What an object shows under the gradient's name is meant, whatever its shape and whatever lies
    behind it; then what a method gives; then what has no underscore.
    """
    shown = [place for place in every if place.names(name) and len(place.steps) == 1]
    given = [place for place in fitting if "()" in place.path]
    public = [p for p in fitting if not any(step.startswith("_") for step in p.steps)]
    named = [[p for p in places if p.names(name)] for places in (public, fitting)]
    return next(filter(None, (shown, given, *named, public, list(fitting))), [])


def _squeezed(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]
