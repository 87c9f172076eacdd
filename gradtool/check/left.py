"""Gradients that a backward pass leaves in an object where no text shows it: found by running.

What is reached from the object is looked at before and after the backward pass, in the worker.
What has changed and has the shape of a parameter may be its gradient; each is tried.  What is
found is written as it is read, such as ``layer.W.grad``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
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

_MOST_TRIED = 6


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
    found = [(path, shape) for path, shape in _told(reply) if _steps(path)]
    shapes = {v.name: v.shape for v in offered(reference, binding)}
    choices: dict[str, list[str]] = {}
    for name in missing:
        shape = [dim.evaluate(probe.env) for dim in shapes[name]]
        fitting = [path for path, other in found if _squeezed(other) == _squeezed(shape)]
        if meant := _most_open(fitting, [path for path, _ in found], name):
            choices[name] = meant
    ways: list[Binding] = []
    for paths in islice(product(*choices.values()), _MOST_TRIED if choices else 0):
        lines = [f"d{name} = {path}" for name, path in zip(choices, paths, strict=True)]
        sure = all(
            _names(path, name) and sum(_names(other, name) for other in known) == 1
            for (name, known), path in zip(choices.items(), paths, strict=True)
        )
        text = "\n".join(filter(None, (binding.backward, *lines)))
        ways.append(replace(binding, backward=text, unsure="" if sure else where_unknown(missing)))
    return ways


def _told(reply: object) -> Iterator[tuple[str, list[int]]]:
    """Paths and shapes of an answer, whatever else a worker may say."""
    for entry in reply[:MOST_ARRAYS] if isinstance(reply, list) else ():
        match entry:
            case [str(path), list(shape)] if all(isinstance(size, int) for size in shape):
                yield texts([path])[0], shape


def _steps(path: str) -> list[str] | None:
    """The attributes and keys by which a path leads from the object; None where it does more."""
    try:
        node: ast.AST = syntax.parse(path, mode="eval").body
    except (SyntaxError, ValueError):
        return None
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
                return None
        node = inner
    return steps if node.id == OBJECT else None


def _most_open(fitting: Sequence[str], every: Sequence[str], name: str) -> list[str]:
    """Of the places of an array those that an object offers to others most openly.

    What an object shows under the gradient's name is meant, whatever its shape and whatever lies
    behind it; then what a method gives; then what has no underscore.
    """
    shown = [path for path in every if _names(path, name) and len(_steps(path) or ()) == 1]
    given = [path for path in fitting if "()" in path]
    public = [path for path in fitting if not any(s.startswith("_") for s in _steps(path) or ())]
    named = [[p for p in paths if _names(p, name)] for paths in (public, fitting)]
    return next(filter(None, (shown, given, *named, public, list(fitting))), [])


def _squeezed(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _names(path: str, name: str) -> bool:
    """Whether a path says that the gradient of a variable is there: ``.W.grad``, ``._g['W']``."""
    last = [step.strip("_") for step in _steps(path) or ()][-2:]
    said = (".".join(last), "_".join(last), *last[-1:])
    return any(bare != one and same(bare, [name]) for one in said for bare in of_gradient(one))
