"""Lines of emitted code, with what they define and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gradtool.emit.array_contract import contracted
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_printer import numpy_text
from gradtool.emit.numpy_words import factor_tree, numpy_tree, position_tree
from gradtool.ir.order import runnable
from gradtool.ir.tree import Call, Items, Name, Tree, call, children, names, rebuild, size_of
from gradtool.records import Struct, replace

# NumPy calls whose result is a new array of its own; other calls may return a view.
_VIEWS = ("getitem", "transpose", "reshape", "ravel", "np.reshape", "np.ravel", "np.broadcast_to",
          "np.squeeze", "np.expand_dims", "np.flip", "np.diag", "pos", "_window",
          "_spread")  # fmt: skip


class Write(Struct, frozen=True):
    """One line that makes or changes the array of a step.

    Attributes:
        value: the right side in the words of the spec language.
        operator: "=" or an update in place such as "+=".
        place: what stands in the brackets on the left side, in NumPy's words.
        wrap: what is done with the right side once it is in NumPy's words.
        raw: whether `value` is in NumPy's words already.
        spare: whether `value` is the name of an own array that nothing needs any more.
    """

    value: Tree
    operator: str = "="
    place: tuple[Tree, ...] = ()
    wrap: Callable[[Tree], Tree] | None = None
    raw: bool = False
    spare: bool = False


class Step(Struct, frozen=True):
    """Consecutive lines that define one name.

    Attributes:
        defines: the name, as it is spelled in the code.
        code: the lines, not indented.
        reads: the names that they use.
        tree: the right side in NumPy's words, when the step is one plain assignment.
        writes: what the lines say, when it can be looked into.
    """

    defines: str
    code: tuple[str, ...]
    reads: frozenset[str]
    tree: Tree | None = None
    writes: tuple[Write, ...] = ()

    @property
    def value(self) -> Tree | None:
        """The right side in the words of the spec, when that is all that the step says."""
        if len(self.writes) != 1:
            return None
        (write,) = self.writes
        plain = write.operator == "=" and not write.place and write.wrap is None and not write.raw
        return write.value if plain else None


def assign(spelled: str, tree: Tree) -> Step:
    """``name = tree``, with `tree` in NumPy's words."""
    return Step(
        spelled, assignment(spelled, "=", tree), names(tree), tree, (Write(tree, raw=True),)
    )


def written(
    module: ModuleNames, spelled: str, writes: Sequence[Write], note: Sequence[str] = ()
) -> Step:
    """The lines of a step from what they say; `note` stands above them as a comment.

    Raises:
        AssertionError: an array would be changed in place that something else may refer to.
    """
    code = [f"# {text}" for text in note]
    reads: set[str] = set()
    trees: list[Tree] = []
    for write in writes:
        if write.raw:
            tree = write.value
        elif write.operator == "=" and not write.place:
            whole = module.kind(spelled) in ("int", "bool")  # as what later lines take it for
            tree = position_tree(write.value, module) if whole else numpy_tree(write.value, module)
        elif write.operator == "*=":
            tree = factor_tree(write.value, module)
        else:
            tree = numpy_tree(write.value, module)
        if write.wrap is not None:
            tree = write.wrap(tree)
        if len(writes) > 1 and not trees and not write.spare:
            assert is_new(tree), f"{spelled} would be changed in place, but is not an own array"
        target: Tree = Name(spelled)
        if write.place:
            target = call("getitem", target, Items(write.place))
        code += assignment(numpy_text(target), write.operator, tree)
        if write.spare:
            code[-1] += "  # not needed any more"
        reads |= names(tree) | names(target)
        trees.append(tree)
    plain = trees[0] if len(writes) == 1 and not writes[0].place else None
    return Step(spelled, tuple(code), frozenset(reads - {spelled}), plain, tuple(writes))


def simple(module: ModuleNames, name: str, tree: Tree, *, own: bool = False) -> Step:
    """An assignment of an expression of the spec language; with `own` never a view."""
    wrap = _copied if own else None
    step = written(module, module.python(name), (Write(tree, wrap=wrap),))
    if own and step.tree is not None and not _read_only(step.tree):
        return replace(step, writes=(Write(tree),))
    return step


def _read_only(tree: Tree) -> bool:
    return isinstance(tree, Call) and (
        tree.op in ("np.broadcast_to", "np.diag")
        or (tree.op == "copy" and _read_only(tree.args[0]))
    )


def _copied(tree: Tree) -> Tree:
    """A gradient can be written to."""
    return call("copy", tree) if _read_only(tree) else tree


def with_products(module: ModuleNames, steps: Iterable[Step]) -> list[Step]:
    """The steps with contractions of two arrays as matrix products."""
    result: list[Step] = []
    for step in steps:
        writes = tuple(
            w if w.raw else replace(w, value=contracted(module, w.value)) for w in step.writes
        )
        if all(a.value is b.value for a, b in zip(writes, step.writes, strict=True)):
            result.append(step)
            continue
        new = {name for w in writes for name in names(w.value)} - step.reads
        result += [assign(name, tree) for tree, name in module.made.items() if name in new]
        result.append(written(module, step.defines, writes))
    return once(result)


def is_new(tree: Tree) -> bool:
    """Whether a tree in NumPy's words makes an array that nothing else refers to."""
    if not isinstance(tree, Call) or tree.op in _VIEWS:
        return False
    return tree.op != "np.einsum" or len(tree.args) > 2  # of one array it may be a view


def owned(tree: Tree) -> Tree:
    """The same value as an array that can be written to."""
    return tree if is_new(tree) else call("copy", tree)


def is_its_value(step: Step) -> bool:
    """Whether a name stands for the first value of its step: it is not scattered or added to."""
    (first, *rest) = step.writes
    return not rest and not first.place and first.wrap in (None, owned, _copied)


def ordered(steps: Iterable[Step]) -> list[Step]:
    """The steps in an order that can be run, as close as possible to the given one."""
    return runnable(steps, lambda step: step.defines, lambda step: step.reads)


def once(steps: Iterable[Step]) -> list[Step]:
    """The steps without later ones that define the same name again."""
    found: dict[str, Step] = {}
    for step in steps:
        found.setdefault(step.defines, step)
    return list(found.values())


def shared(module: ModuleNames, steps: list[Step]) -> list[Step]:
    """Use the result of one step inside another: ``dgamma`` where ``(dY * xhat).sum(axis=0)`` is.

    A right side that is more than a name and stands inside another step is replaced by the name
    it defines, when no circle arises.
    """
    result = list(steps)
    for source in steps:
        if source.value is None or size_of(source.value) < 3:
            continue
        if isinstance(source.value, Call) and source.value.op == "zeros":
            continue  # two gradients that are zero are two arrays
        for place, step in enumerate(result):
            if not step.writes or step.defines == source.defines:
                continue
            current = next(s for s in result if s.defines == source.defines)
            if step.defines in _everything_read(current, result) or current.value is None:
                continue
            writes = tuple(
                write if write.raw else replace(
                    write, value=_replaced(write.value, current.value, Name(source.defines)))
                for write in step.writes
            )  # fmt: skip
            if len(writes) > 1 and writes[0].value == Name(source.defines):
                continue  # an array that is changed in place must be one of its own
            if any(a.value is not b.value for a, b in zip(writes, step.writes, strict=True)):
                result[place] = written(module, step.defines, writes)
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
