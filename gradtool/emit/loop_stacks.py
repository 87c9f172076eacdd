"""Products of a loop that wait until after it: one large product instead of one in every step.

``dW += X[:, t].T @ da`` reads and writes all of dW in every step.  When ``da`` of every step is
kept, ``dW`` is one product over steps and samples; so is ``dX[:, t] = da @ W.T``, which nothing
in the loop reads.  The price is an array of the kept values.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradtool.derive.line import Block, Step, target_name
from gradtool.emit.array_contract import contracted
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer, names
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, replace


class _Factor(Struct, frozen=True):
    """An array outside the loop, with a letter for each axis; the step is "t"."""

    tree: Tree
    letters: str


class _Late(Struct, frozen=True):
    """A line that can wait, as an einsum: what it reads of the step, and its letters."""

    parts: tuple[tuple[str, str], ...]
    out: str


def stacked(module: ModuleNames, block: Block) -> Block:
    """The loop without the products that can wait; they stand after it."""
    if block.first != ZERO:
        return block
    late = {k: found for k, step in enumerate(block.steps)
            if (found := _late(module, block, step)) is not None}  # fmt: skip
    if not any(len(found.parts) == 2 for found in late.values()):
        return block
    local = {s.target.id: s for s in block.steps if isinstance(s.target, Name)}
    kept: dict[str, str] = {}
    for found in late.values():
        for name, _ in found.parts:
            if name in local and name not in kept:
                kept[name] = module.fresh(f"{name}_at")
                shape = (block.size, *local[name].shape)
                module.define(Tensor(kept[name], shape))
    steps: list[Step] = []
    for number, step in enumerate(block.steps):
        if number in late:
            continue
        if not isinstance(step.target, Name) or step.target.id not in kept:
            steps.append(step)
            continue
        place = call("getitem", Name(kept[step.target.id]), Items((Name(block.index),)))
        if isinstance(step.inner, Call) and step.inner.op == "concatenate":
            # Joined where it is kept, without a copy.
            inner = replace(step.inner, kwargs=(*step.inner.kwargs, ("out", place)))
            steps.append(replace(step, tree=inner, inner=inner))
            continue
        steps += [step, Step(place, "=", step.target, step.shape, step.target)]
    begins = {target_name(s.target): s for s in block.before}
    gone: set[str] = set()
    after: list[Step] = []
    for number, found in late.items():
        step = block.steps[number]
        out = target_name(step.target)
        empty = out in begins and _zeros(begins[out].tree)
        if empty:
            gone.add(out)
        tree = contracted(module, _einsum(block, found, kept))
        shape = begins[out].shape if out in begins else module.tensor(out).shape
        after.append(Step(Name(out), "=" if empty else "+=", tree, shape, tree))
    before = [s for s in block.before if target_name(s.target) not in gone]
    for name, stack in kept.items():
        shape = (block.size, *local[name].shape)
        tree = call("zeros", Items(tuple(dim_tree(d) for d in shape)))
        before.append(Step(Name(stack), "=", tree, shape, tree))
    return replace(block, before=tuple(before), steps=tuple(steps), after=(*after, *block.after))


def _late(module: ModuleNames, block: Block, step: Step) -> _Late | None:
    """The line as an einsum over the steps, when nothing in the loop reads what it defines."""
    name = target_name(step.target)
    if any(name in names(other.inner) for other in block.steps):
        return None
    axis = _axis(step.target, block.index)
    if step.operator == "+=" and not isinstance(step.target, Name):
        return None
    if step.operator == "=" and axis is None:
        return None
    free = iter("abcdefghijklm")
    match step.inner:
        case Call(op="matmul", args=(left, right)):
            first, second = _array(module, block, left), _array(module, block, right)
            if first is None or second is None or len(first[1]) != 2 or len(second[1]) != 2:
                return None
            i, j, k = (next(free) for _ in range(3))
            letters = [(first, i + j), (second, j + k)]
            out = i + k
        case Call(op="sum", args=(inner,), kwargs=(("axis", Number(value=value)),)):
            found = _array(module, block, inner)
            if found is None or step.operator != "+=":
                return None
            own = "".join(next(free) for _ in found[1])
            letters = [(found, own)]
            out = "".join(c for k, c in enumerate(own) if k != value)
        case _:
            return None
    parts = tuple((n, own[::-1] if turned else own) for (n, _, turned), own in letters)
    if not any(_of_step(block, n) for n, _ in parts):
        return None
    if any(_of_step(block, n) and _stack(module, block, n) is None for n, _ in parts):
        return None
    if axis is not None:
        out = out[:axis] + "t" + out[axis:]
    return _Late(parts, out)


def _array(
    module: ModuleNames, block: Block, tree: Tree
) -> tuple[str, tuple[Dim, ...], bool] | None:
    """A name or the transpose of one: name, shape, and whether it is transposed."""
    turned = isinstance(tree, Call) and tree.op == "transpose" and len(tree.args) == 1
    inner = tree.args[0] if isinstance(tree, Call) and turned else tree
    if not isinstance(inner, Name):
        return None
    for step in block.steps:
        if step.target == inner:
            return inner.id, step.shape, turned
    if inner.id in block.values:
        return inner.id, block.values[inner.id].shape, turned
    if inner.id in {target_name(s.target) for s in (*block.before, *block.steps)}:
        return None  # carried from step to step
    return inner.id, module.tensor(inner.id).shape, turned


def _of_step(block: Block, name: str) -> bool:
    return name in block.values or any(s.target == Name(name) for s in block.steps)


def _stack(module: ModuleNames, block: Block, name: str) -> int | None:
    """On which axis of an array outside the loop a value of every step stands; 0 for a new one."""
    made = [s for s in block.steps if target_name(s.target) == name]
    if made:
        return 0 if len(made) == 1 and made[0].operator == "=" else None
    entry = block.entries.get(name)
    if not isinstance(entry, Call) or not isinstance(entry.args[0], Name):
        return None
    axis = _axis(entry, block.index)
    source = module.tensor(entry.args[0].id)
    return axis if axis is not None and source.shape[axis] == block.size else None


def _axis(tree: Tree, index: str) -> int | None:
    """The axis of ``X[:, t]`` that the step stands on."""
    if not isinstance(tree, Call) or tree.op != "getitem" or not isinstance(tree.args[0], Name):
        return None
    place = tree.args[1]
    items = place.items if isinstance(place, Items) else (place,)
    *whole, last = items
    plain = all(isinstance(i, Slice) and i == Slice(None, None, None) for i in whole)
    return len(whole) if plain and last == Name(index) else None


def _einsum(block: Block, late: _Late, kept: Mapping[str, str]) -> Tree:
    factors: list[_Factor] = []
    for name, letters in late.parts:
        if name in kept:
            factors.append(_Factor(Name(kept[name]), "t" + letters))
        elif name in block.values:
            entry = block.entries[name]
            axis = _axis(entry, block.index)
            assert isinstance(entry, Call)
            assert axis is not None
            factors.append(_Factor(entry.args[0], letters[:axis] + "t" + letters[axis:]))
        else:
            factors.append(_Factor(Name(name), letters))
    if len(factors) == 1:
        return _total(factors[0], late.out)
    inputs = ",".join(f.letters for f in factors)
    return Call("einsum", (Literal(f"{inputs}->{late.out}"), *(f.tree for f in factors)))


def _total(factor: _Factor, out: str) -> Tree:
    axes = [k for k, c in enumerate(factor.letters) if c not in out]
    return Call("sum", (factor.tree,), (("axis", Items(tuple(map(integer, axes)))),))


def _zeros(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "zeros"
