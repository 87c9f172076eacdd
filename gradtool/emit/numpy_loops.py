"""Loops in emitted code: a Python loop over the steps, and nothing else in Python.

The forward loop collects what it is asked for and keeps what the backward loop needs in arrays
that are allocated once; the backward loop reads slices of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gradtool.derive.line import Block, target_name
from gradtool.derive.line import Step as Printed
from gradtool.derive.naming import telling_name
from gradtool.emit.loop_repeats import without_repeats
from gradtool.emit.loop_stacks import stacked
from gradtool.emit.numpy_index import line_steps, needs_index
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_printer import numpy_text
from gradtool.emit.numpy_steps import Step, is_new
from gradtool.emit.numpy_words import numpy_tree, position_tree
from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.graph import Graph, Loop, Scan
from gradtool.ir.index import Tensor
from gradtool.ir.tree import (
    Call,
    Items,
    Name,
    Slice,
    Tree,
    call,
    children,
    count_name,
    names,
    replace_names,
)
from gradtool.ops.build import renamed
from gradtool.ops.shape import dim_tree

# The lines of one step, with names for values that the spec did not name.
Plan = Callable[[Graph, Mapping[str, str]], list[Step]]
_INDENT = "    "


def forward_loop(module: ModuleNames, loop: Loop, scans: Sequence[Scan], plan: Plan) -> list[Step]:
    """The lines of a forward loop with the results `scans`; `plan` writes one step."""
    index = _index(module, loop.index, loop.first + loop.size)
    wanted = {s.source for s in scans} | {c.result for c in loop.carried}
    before, names_of = _renamed(module, loop)
    body = Graph(
        before.name, before.inputs, (), before.statements,
        tuple(sorted(names_of.get(n, n) for n in wanted)), before.constants,
    )  # fmt: skip
    for tensor in body.tensors.values():
        module.define(tensor)
        module.spell(tensor.name)
        module.taken.add(tensor.name)
    hidden = _hidden_results(module, loop, body)
    names_of = {**names_of, **hidden}
    steps = plan(body, hidden)
    read = {name for step in steps for name in step.reads}
    made = {step.defines: k for k, step in enumerate(steps)}
    start: list[str] = []
    top: list[str] = []
    end: list[str] = []
    reads: set[str] = set().union(*(step.reads for step in steps))
    for part in loop.sliced:
        name = module.python(names_of.get(part.name, part.name))
        if name in read or part.name in wanted:
            place = _place(part.source.name, part.axis, loop.index, part.offset)
            top += _assigned(module, name, place, reads)
    for scan in scans:
        source = module.python(names_of.get(scan.source, scan.source))
        out = module.python(scan.out.name)
        if scan.what == "slices":
            start += _assigned(module, out, _empty(module, scan.out), reads, whole=True)
            place = _place(scan.out.name, scan.axis, loop.index, scan.offset)
            store = f"{_shown(module, place, reads)} = {source}"
            begins = any(c.name == scan.source for c in loop.carried)
            (top if begins else end).append(store)
        elif scan.what == "sum":
            begin: Tree = _zeros(scan.out.shape)
            if scan.initial is not None:
                begin = Name(scan.initial.name)
            start += _assigned(module, out, begin, reads, own=scan.initial is not None)
            shapeless = not scan.out.shape
            end.append(f"{out} = {out} + {source}" if shapeless else f"{out} += {source}")
    code = [line for step in steps for line in step.code]
    replaced: dict[str, str] = {}
    late: list[str] = []
    for carried in loop.carried:
        name = module.python(names_of.get(carried.name, carried.name))
        result = module.python(names_of.get(carried.result, carried.result))
        shape = loop.body.tensors[carried.result].shape
        begin = _zeros(shape) if carried.initial is None else Name(carried.initial.name)
        start += _assigned(module, name, begin, reads)
        last = max((k for k, step in enumerate(steps) if name in step.reads), default=-1)
        # One variable will do when nothing reads the old value after the new one is there.
        if last <= made[result]:
            replaced[name] = result
        else:
            late.append(f"{name} = {result}")
        for scan in scans:
            if scan.what == "last" and scan.source == carried.result:
                out = module.python(scan.out.name)
                if out != result:
                    late.append(f"{out} = {result}")
    inside = [*top, *code, *end, *late]
    text = [*start, _header(module, loop, reads), *(_INDENT + line for line in inside)]
    for old, new in replaced.items():
        text = [line.replace(old, new) for line in text]
    own = {*made, index} | {module.python(t.name) for t in body.tensors.values()}
    own |= {module.python(s.out.name) for s in scans}
    outside = {module.python(t.name) for t in loop.invariant}
    return _results([module.python(s.out.name) for s in scans], text, reads - (own - outside))


def backward_loop(module: ModuleNames, block: Block, results: Sequence[str]) -> list[Step]:
    """The lines of a loop of the backward pass, which defines `results`."""
    block = stacked(module, block)
    index = _index(module, block.index, block.first + block.size)
    local: dict[str, str] = {}
    for name, tensor in block.values.items():
        local[name] = module.fresh(name)
        module.define(Tensor(local[name], tensor.shape, tensor.kind, tensor.labels))
    for step in (*block.before, *block.steps, *block.after):
        if isinstance(step.target, Name):
            module.add(step.target.id, step.tree, step.shape)
            module.spell(step.target.id)
    table = {old: Name(new) for old, new in local.items()}
    reads: set[str] = set()
    start = [line for step in block.before for line in _written(module, step, step.tree, reads)]
    lines = [(step, replace_names(step.inner, table)) for step in block.steps]
    lines = without_repeats(module, block, lines, _in_index)
    trees = [tree for _, tree in lines]
    apart = {n for tree in trees if _in_index(tree) for n in names(tree)}
    top: list[str] = []
    entries: dict[str, Tree] = {}
    for old, new in local.items():
        count = sum(count_name(tree, new) for tree in trees)
        if count == 1 and new not in apart:
            entries[new] = block.entries[old]
        elif count:
            top += _assigned(module, new, block.entries[old], reads)
    inside: list[str] = []
    for step, tree in lines:
        inside += _written(module, step, replace_names(tree, entries), reads)
    end = [line for step in block.after for line in _written(module, step, step.tree, reads)]
    header = _header(module, block, reads)
    text = [*start, header, *(_INDENT + line for line in (*top, *inside)), *end]
    own = {module.python(target_name(s.target)) for s in block.before}
    own |= {module.python(target_name(s.target)) for s, _ in lines}
    own |= {*local.values(), index}
    spelled = [module.python(name) for name in results]
    return _results(spelled, text, reads - own - set(spelled))


def _in_index(tree: Tree) -> bool:
    """Whether a line is written from index notation, which has names only."""
    if isinstance(tree, Call) and tree.op == "onehot":
        return True
    return needs_index(tree) or any(_in_index(child) for child in children(tree))


def _written(module: ModuleNames, step: Printed, tree: Tree, reads: set[str]) -> list[str]:
    """One printed line as code."""
    if _in_index(tree):
        plain = isinstance(step.target, Name) and step.operator == "="
        name = target_name(step.target)
        if not plain:
            name = module.fresh(f"{name}_part")
            module.define(Tensor(name, step.shape))
        found = line_steps(module, name, tree)
        code = [line for one in found for line in one.code]
        for one in found:
            reads |= one.reads
        reads -= {one.defines for one in found}
        if plain:
            return code
        target = position_tree(step.target, module)
        return [*code, f"{numpy_text(target)} {step.operator} {name}"]
    made = numpy_tree(tree, module)
    target = position_tree(step.target, module)
    reads |= names(made) | names(target)
    return list(assignment(numpy_text(target), step.operator, made))


def _renamed(module: ModuleNames, loop: Loop) -> tuple[Graph, Mapping[str, str]]:
    """The body with names for what each step begins with, which the code has for its own."""
    statements = list(loop.body.statements)
    inputs = {t.name: t for t in loop.body.inputs}
    table: dict[str, str] = {}
    for name in (c.name for c in loop.carried if c.name in inputs):
        fresh = module.fresh(f"{name}__")
        table[name] = fresh
        old = inputs[name]
        inputs[name] = Tensor(fresh, old.shape, old.kind, old.labels)
        statements = [renamed(s, name, inputs[name]) for s in statements]
    body = Graph(
        loop.body.name, tuple(inputs.values()), (), tuple(statements), (), loop.body.constants
    )
    return body, table


def _hidden_results(module: ModuleNames, loop: Loop, body: Graph) -> dict[str, str]:
    """Names for the results of a step that the spec did not name."""
    found: dict[str, str] = {}
    for name in body.outputs:
        if name.startswith("_"):
            tensor = body.tensors[name]
            wish = loop.body.hints.get(name) or telling_name(
                body.definitions[name].tree, module.taken
            )
            found[name] = module.fresh(wish)
            module.define(Tensor(found[name], tensor.shape, tensor.kind, tensor.labels))
    return found


def _index(module: ModuleNames, name: str, size: Dim) -> str:
    module.define(Tensor(name, (), "index", size))
    module.spell(name)
    module.counters.add(name)
    module.steps.add(name)
    return module.python(name)


def _header(module: ModuleNames, loop: Loop | Block, reads: set[str]) -> str:
    ends: tuple[Tree, ...] = (dim_tree(loop.first + loop.size),)
    if loop.first != ZERO:
        ends = (dim_tree(loop.first), *ends)
    shown = [position_tree(end, module) for end in ends]
    for end in shown:
        reads |= names(end)
    steps = f"range({', '.join(map(numpy_text, shown))})"
    return f"for {module.python(loop.index)} in " + (
        f"reversed({steps}):" if loop.backwards else f"{steps}:"
    )


def _place(name: str, axis: int, index: str, offset: Dim) -> Tree:
    place: Tree = Name(index)
    if offset != ZERO:
        value = offset.as_int
        place = (
            call("sub", place, dim_tree(-offset))
            if value is not None and value < 0
            else call("add", place, dim_tree(offset))
        )
    items = (*(Slice(None, None, None) for _ in range(axis)), place)
    return Call("getitem", (Name(name), Items(items)))


def _shown(module: ModuleNames, tree: Tree, reads: set[str]) -> str:
    made = position_tree(tree, module)
    reads |= names(made)
    return numpy_text(made)


def _assigned(
    module: ModuleNames,
    name: str,
    tree: Tree,
    reads: set[str],
    *,
    whole: bool = False,
    own: bool = False,
) -> list[str]:
    """``name = tree``; with `whole` the tree is in NumPy's words, with `own` never a view."""
    made = tree if whole else position_tree(tree, module)
    if own and not is_new(made):
        made = call("copy", made)
    reads |= names(made)
    return list(assignment(name, "=", made))


def _zeros(shape: Sequence[Dim]) -> Tree:
    return call("zeros", Items(tuple(map(dim_tree, shape)))) if shape else Name("0.0")


def _empty(module: ModuleNames, tensor: Tensor) -> Tree:
    """An array for the values of all steps, in NumPy's words."""
    made = numpy_tree(call("zeros", Items(tuple(map(dim_tree, tensor.shape)))), module)
    if tensor.kind == "real" or not isinstance(made, Call):
        return made
    return Call(made.op, made.args, (("dtype", Name("int")),))


def _results(results: Sequence[str], text: Iterable[str], reads: set[str]) -> list[Step]:
    """A step for each result: the first has the code, the others follow it."""
    first, *others = results
    made = [Step(first, tuple(text), frozenset(reads))]
    return [*made, *(Step(name, (), frozenset({first})) for name in others)]
