"""Values that one step of a loop computes more than once: ``tanh(c)`` of an LSTM's backward pass.

A printed line repeats them, because that is how it is read; emitted code gives them a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from gradtool.derive.line import Block, Step, target_name
from gradtool.derive.naming import telling_name
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Name, Tree, children, names, rebuild
from gradtool.ops.errors import OpError
from gradtool.ops.scalar import FUNCTIONS


def without_repeats(
    module: ModuleNames,
    block: Block,
    lines: Sequence[tuple[Step, Tree]],
    apart: Callable[[Tree], bool],
) -> list[tuple[Step, Tree]]:
    """The lines of a step, each with its right side; functions that occur twice are lines before.

    Args:
        apart: whether a right side is written from index notation, which is not looked into.
    """
    found = list(lines)
    assigned = Counter(target_name(step.target) for step in (*block.before, *block.steps))
    # What travels from step to step has two values in one step.
    changing = {name for name, number in assigned.items() if number > 1}
    changing |= {target_name(step.target) for step in block.before}
    while (value := _repeated(found, changing, apart)) is not None:
        try:
            shape = module.shape(value)
        except OpError:
            return found
        name = module.fresh(_wish(value) or telling_name(value, module.taken))
        module.define(Tensor(name, shape))
        first = next(
            k for k, (_, tree) in enumerate(found) if not apart(tree) and value in set(_parts(tree))
        )
        found = [
            (step, tree if apart(tree) else _with(tree, value, Name(name))) for step, tree in found
        ]
        found.insert(first, (Step(Name(name), "=", value, shape, value), value))
    return found


def _repeated(
    lines: Sequence[tuple[Step, Tree]],
    changing: Collection[str],
    apart: Callable[[Tree], bool],
) -> Tree | None:
    """The largest function or product of matrices that occurs more than once."""
    counts: Counter[Tree] = Counter()
    for _, tree in lines:
        if not apart(tree):
            counts.update(part for part in _parts(tree) if _costs(part))
    several = [t for t, n in counts.items() if n > 1 and names(t).isdisjoint(changing)]
    return max(several, key=lambda tree: len(list(_parts(tree))), default=None)


def _costs(tree: Tree) -> bool:
    return (
        isinstance(tree, Call)
        and (tree.op == "matmul" or tree.op in FUNCTIONS)
        and bool(names(tree))
    )


def _parts(tree: Tree) -> Iterator[Tree]:
    yield tree
    for child in children(tree):
        yield from _parts(child)


def _with(tree: Tree, part: Tree, by: Tree) -> Tree:
    return by if tree == part else rebuild(tree, lambda child: _with(child, part, by))


def _wish(tree: Tree) -> str | None:
    """``tanh_c`` for ``tanh(c)``."""
    match tree:
        case Call(op=op, args=(Name(id=name),)):
            return f"{op}_{name}"
    return None
