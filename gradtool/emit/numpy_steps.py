"""Lines of emitted code, with what they define and read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_text import numpy_tree, position_tree
from gradtool.ir.tree import Call, Name, Tree, call, children, names, rebuild, size_of

# NumPy calls whose result is a new array of its own; other calls may return a view.
_VIEWS = ("getitem", "transpose", "reshape", "ravel", "np.reshape", "np.ravel", "np.broadcast_to",
          "np.squeeze", "np.expand_dims", "np.flip", "np.diag")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """Consecutive lines that define one name.

    Attributes:
        defines: the name, as it is spelled in the code.
        code: the lines, not indented.
        reads: the names that they use.
        tree: the right side in NumPy's words, when the step is one plain assignment.
    """

    defines: str
    code: tuple[str, ...]
    reads: frozenset[str]
    tree: Tree | None = None


def assign(spelled: str, tree: Tree) -> Step:
    """``name = tree``, with `tree` in NumPy's words."""
    return Step(spelled, assignment(spelled, "=", tree), names(tree), tree)


def simple(module: ModuleNames, name: str, tree: Tree, *, own: bool = False) -> Step:
    """An assignment of an expression of the spec language; with `own` never a view."""
    whole = module.kind(name) == "int"
    made = position_tree(tree, module) if whole else numpy_tree(tree, module)
    if own and isinstance(made, Call) and made.op in ("np.broadcast_to", "np.diag"):
        made = call("copy", made)  # read-only otherwise
    return assign(module.python(name), made)


def is_new(tree: Tree) -> bool:
    """Whether a tree in NumPy's words makes an array that nothing else refers to."""
    return isinstance(tree, Call) and tree.op not in _VIEWS


def ordered(steps: Iterable[Step]) -> list[Step]:
    """The steps in an order that can be run, as close as possible to the given one."""
    waiting = list(steps)
    pending = {step.defines for step in waiting}
    result: list[Step] = []
    while waiting:
        ready = next((s for s in waiting if not (s.reads & pending - {s.defines})), waiting[0])
        waiting.remove(ready)
        pending.discard(ready.defines)
        result.append(ready)
    return result


def shared(steps: list[Step]) -> list[Step]:
    """Use the result of one step inside another: ``dgamma`` where ``(dY * xhat).sum(axis=0)`` is.

    A right side that is more than a name and stands inside another step is replaced by the name
    it defines, when no circle arises.
    """
    result = list(steps)
    for source in steps:
        if source.tree is None or size_of(source.tree) < 3:
            continue
        for place, step in enumerate(result):
            if step.tree is None or step.defines == source.defines:
                continue
            current = next(s for s in result if s.defines == source.defines)
            if step.defines in _everything_read(current, result):
                continue
            assert current.tree is not None
            changed = _replaced(step.tree, current.tree, Name(source.defines))
            if changed is not step.tree:
                result[place] = assign(step.defines, changed)
    return ordered(result)


def _everything_read(step: Step, steps: list[Step]) -> frozenset[str]:
    table = {s.defines: s for s in steps}
    found: set[str] = set()
    frontier = set(step.reads)
    while frontier:
        name = frontier.pop()
        if name not in found:
            found.add(name)
            if name in table and name != step.defines:
                frontier |= table[name].reads
    return frozenset(found)


def _replaced(tree: Tree, part: Tree, by: Tree) -> Tree:
    if tree == part:
        return by
    if not any(True for _ in children(tree)):
        return tree
    new = rebuild(tree, lambda child: _replaced(child, part, by))
    return tree if new == tree else new
