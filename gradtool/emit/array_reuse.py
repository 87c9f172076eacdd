"""Arrays of the backward pass that nothing needs any more, changed in place instead of a new one.

    dP = dO @ V.transpose(0, 2, 1)
    # dS = P * (dP - np.vecdot(dP, P)[..., None])
    dS = dP  # not needed any more
    dS -= np.vecdot(dP, P)[..., None]
    dS *= P

Safe by construction: the array was made by an earlier line of the backward pass as one of its
own, it is no result, no line between refers to its memory, and no later line reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gradtool.emit.array_forms import Form
from gradtool.emit.array_inplace import FEWEST, is_inexact, updates
from gradtool.emit.array_text import Writer
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step, Write, is_new, written
from gradtool.ir.tree import Name, Tree, call, names
from gradtool.records import Struct


class Source(Struct, frozen=True):
    """What a step was written from.

    Attributes:
        form: its first value.
        rest: the lines after it.
        shown: the value as it is printed, in NumPy's words.
    """

    form: Form
    rest: tuple[Write, ...]
    shown: Tree | None


def reused(
    module: ModuleNames,
    writer: Writer,
    steps: Sequence[Step],
    sources: Mapping[str, Source],
    inexact: Collection[str],
    upstream: Collection[str],
    results: Collection[str],
) -> list[Step]:
    """The steps, those that can working in an array that nothing needs any more.

    Args:
        steps: in the order in which they run.
        sources: of the steps that are understood.
        inexact: names that are floating point whatever the arguments are.
        upstream: names of upstream gradients.  Where an array is floating point because one of
            them is, a first line sees to it that it is.
        results: names that are returned.
    """
    done = list(steps)
    known = _known(steps, {*inexact, *upstream})
    asked: set[str] = set()
    for place, step in enumerate(steps):
        source = sources.get(step.defines)
        if source is None:
            continue
        chain = writer.chain(source.form)
        start = chain.start.tree
        if not isinstance(start, Name) or chain.start.shape != source.form.shape:
            continue
        if (
            len(chain.start.shape) < 2
            or len(chain.rest) < FEWEST
            or module.python(start.id) == step.defines
        ):
            continue
        parts = updates(chain.rest)
        spelled = module.python(start.id)
        # The first update is computed before anything is changed.
        again = [t for w in (*parts[1:], *source.rest) for t in (w.value, *w.place)]
        if any({start.id, spelled} & names(tree) for tree in again):
            continue
        if any(spelled in other.reads for other in done[place + 1 :]) or spelled in results:
            continue
        if not _own(spelled, done[:place], known):
            continue
        note = assignment(step.defines, "=", source.shown) if source.shown is not None else ()
        lines = [Write(start, spare=True), *parts, *source.rest]
        done[place] = written(module, step.defines, lines, note)
        if spelled not in _known(steps, inexact):
            asked |= set(upstream)
    floats = [_floating(name) for name in upstream if name in asked]
    return [*floats, *done]


def _known(steps: Sequence[Step], inexact: Collection[str]) -> set[str]:
    """The names that are floating point whatever the other names are."""
    known = set(inexact)
    for step in steps:
        first = step.writes[:1]
        if first and not first[0].raw and is_inexact(first[0].value, known):
            known.add(step.defines)
    return known


def _floating(name: str) -> Step:
    """A line that makes an upstream gradient of integers one of fractions."""
    tree = call("np.asarray", Name(name), call("np.result_type", Name(name), Name("0.0")))
    return Step(name, assignment(name, "=", tree), frozenset({name}), tree)


def _own(name: str, before: Sequence[Step], inexact: Collection[str]) -> bool:
    """Whether an earlier step made an array that no other step refers to."""
    maker = next((k for k, step in enumerate(before) if step.defines == name), None)
    if maker is None or not _makes(before[maker]):
        return False
    first = before[maker].writes[0]
    if first.raw or (name not in inexact and not first.spare):
        return False
    return all(_makes(step) for step in before[maker + 1 :] if name in step.reads)


def _makes(step: Step) -> bool:
    """Whether the result is an array of its own, not a view of what it was made from."""
    if not step.writes:
        return False
    return len(step.writes) > 1 or (step.tree is not None and is_new(step.tree))
