"""From a forward graph to the backward pass as array expressions: the result of `derive`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from gradtool.derive.compact import Closed, compact
from gradtool.derive.guards import Guards
from gradtool.derive.line import Line, Tape
from gradtool.derive.naming import flat_names, telling_name, unlike, wishes
from gradtool.derive.raising import raised
from gradtool.derive.recurrence import with_blocks
from gradtool.derive.reuse import reused
from gradtool.derive.reverse import Cotangents, cotangent_name, is_joined, reverse
from gradtool.derive.sharing import shared_values
from gradtool.derive.solving import solving
from gradtool.derive.tidy import tidied
from gradtool.derive.truths import is_condition, with_numbers
from gradtool.derive.width import LINE, width_of
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph, Reshape, Statement
from gradtool.ir.index import Index
from gradtool.ir.poly import Poly
from gradtool.ir.tree import Call, Name, Tree, count_name, names, rebuild, replace_names, size_of
from gradtool.records import Struct, replace

_SHORT = 100  # characters of a line that another one may be written into


class Derivation(Struct, frozen=True):
    """A derived backward pass.

    Attributes:
        graph: the forward graph, selectors included.
        upstream: name and shape of the upstream gradient of each output; empty for a loss.
        lines: inner values, kept cotangents and gradients, in an order that can be run.
        zero: inputs whose gradient is zero because the outputs do not depend on them.
        closed: the same in index notation.
        tapes: what the loops of the forward pass keep for the backward pass.
    """

    graph: Graph
    upstream: Mapping[str, tuple[str, tuple[Dim, ...]]]
    lines: tuple[Line, ...]
    zero: tuple[str, ...]
    closed: Closed
    cotangents: Cotangents
    tapes: tuple[Tape, ...] = ()

    @property
    def is_loss(self) -> bool:
        return is_loss(self.graph)

    def gradient(self, name: str) -> Line | None:
        return next(
            (line for line in self.lines if line.of == name and line.role == "gradient"), None
        )


def is_loss(graph: Graph) -> bool:
    """A single scalar output has the gradient 1 of itself."""
    return len(graph.outputs) == 1 and graph.tensors[graph.outputs[0]].shape == ()


def derive(
    graph: Graph, wanted: tuple[str, ...] | None = None, *, staged: bool = False
) -> Derivation:
    """Derive the gradients of `wanted` (default: every differentiable input)."""
    targets = graph.wanted if wanted is None else wanted
    found = graph.once(reverse, targets)  # the closed and the staged form share it
    lines, closed = _step_lines(found, targets, staged=staged)
    zero = tuple(name for name in targets if name not in closed.gradients)
    upstream = (
        {}
        if is_loss(graph)
        else {out: (tensor.name, tensor.shape) for out, tensor in found.upstream.items()}
    )
    if not found.turned:
        return Derivation(found.graph, upstream, tuple(lines), zero, closed, found)
    written, kept, tapes = with_blocks(lines, found, closed, partial(_step_lines, staged=staged))
    return Derivation(kept, upstream, tuple(written), zero, closed, found, tapes)


def _step_lines(
    found: Cotangents, targets: tuple[str, ...], *, staged: bool
) -> tuple[list[Line], Closed]:
    """The lines of a backward pass; one that is too long leans on a cotangent with a name."""
    closed = compact(found, targets, staged=staged)
    lines = written_lines(found, closed, targets, staged=staged)
    keep: frozenset[str] = frozenset()
    while not staged and _widest(lines) > LINE and closed.scaled:
        keep |= {closed.scaled[0]}
        again = compact(found, targets, keep=keep)
        shorter = written_lines(found, again, targets)
        if _widest(shorter) >= _widest(lines):
            break
        lines, closed = shorter, again
    return lines, closed


def _widest(lines: Iterable[Line]) -> int:
    return max((width_of(line.tree) for line in lines if line.role != "inner"), default=0)


def written_lines(
    found: Cotangents,
    closed: Closed,
    targets: Sequence[str],
    *,
    staged: bool = False,
    label: Callable[[str], str] = cotangent_name,
    raising: Callable[[Poly, Sequence[Index], Collection[str]], Tree] = raised,
    apart: Collection[str] = (),
) -> list[Line]:
    """The statements of a sweep as array expressions, in an order that can be run.

    Args:
        label: what the cotangent (or tangent) of a value is called.
        raising: from index notation to the tree that is printed, and what no index may be called.
        apart: values whose lines are not written into others, however short that would be.
    """
    lines: list[Line] = []
    gradient_names = {d.name: name for name, d in closed.gradients.items()}
    forward = {d.name: name for name, d in found.of.items()}
    guards = Guards.of_graph(found.graph).beside(found.of)
    for statement in closed.statements:
        name = statement.out.name
        if isinstance(statement, Statement) and not is_joined(statement):
            tree = raising(statement.body, statement.free, found.graph.names)
        else:
            tree = statement.tree
        role = "gradient" if name in gradient_names else "cotangent"
        of = forward.get(name, "")
        lines.append(Line(name, of, role, statement.out.shape, guards.restored(tree)))
    for target, cotangent in closed.gradients.items():
        if cotangent.name not in {line.name for line in lines}:
            # The gradient is the upstream gradient itself.
            lines.append(
                Line(label(target), target, "gradient", cotangent.shape, Name(cotangent.name))
            )
    upstream_names = {t.name for t in found.upstream.values()}
    lines = _inline_reshapes(lines, closed, upstream_names, found.graph, label)
    lines = solving(lines, found.graph)
    lines = _named(lines, found.graph, label)
    lines = reused(lines)
    lines = lines if staged else _once(lines, apart)
    lines = tidied(lines, found.graph)
    lines = shared_values(lines, found.graph)
    masks = {name for name, tensor in found.graph.tensors.items() if tensor.kind == "bool"}
    lines = list(_of_numbers(lines, masks))
    hiding = found.graph.tensors.keys() | {line.name for line in lines}
    lines = [replace(line, tree=_prefixed(line.tree, hiding)) for line in lines]
    order = {name: k for k, name in enumerate(targets)}
    gradients = sorted(
        (line for line in lines if line.role == "gradient"), key=lambda line: order[line.of]
    )
    others = [line for line in lines if line.role != "gradient"]
    return _sorted(others, gradients)


def _of_numbers(lines: Iterable[Line], masks: set[str]) -> Iterator[Line]:
    """Lines in which NumPy computes with numbers; `masks` are the names of truth values so far."""
    for line in lines:
        tree = with_numbers(line.tree, masks)
        if is_condition(tree, masks):
            masks.add(line.name)
        yield replace(line, tree=tree)


def _wished(
    wish: str, taken: Collection[str], chosen: Mapping[str, str], own: Collection[str]
) -> str:
    """A summand of an inner value has the cotangent of the sum, and its name.

    Not when a value of that name has a cotangent of its `own`.
    """
    shared = wish in chosen.values() and f"d{wish}" not in taken
    shared = shared and not any(chosen.get(source) == wish for source in own)
    return wish if shared else unlike(wish, taken)


def _with_known(tree: Tree, known: Mapping[Tree, Name]) -> Tree:
    """A part that the forward pass has a name for by its name: ``inv(L)``."""
    if tree in known and isinstance(tree, Call):
        return known[tree]
    return rebuild(tree, lambda child: _with_known(child, known))


def _prefixed(tree: Tree, hiding: Collection[str]) -> Tree:
    """A word that a value or a line is called like is written with its module: ``np.sqrt``."""
    new = rebuild(tree, lambda child: _prefixed(child, hiding))
    if isinstance(new, Call) and new.op in hiding:
        return replace(new, method=True)
    return new


def _sorted(others: list[Line], gradients: list[Line]) -> list[Line]:
    """Gradients in the order of the inputs, unless one needs another."""
    ready = [*others]
    waiting = list(gradients)
    pending = {line.name for line in waiting}
    while waiting:
        for line in waiting:
            if not (names(line.tree) & (pending - {line.name})):
                ready.append(line)
                waiting.remove(line)
                pending.discard(line.name)
                break
        else:
            return ready + waiting
    # A kept cotangent may itself need a gradient: restore an order that can be run.
    result: list[Line] = []
    every = {line.name: line for line in ready}

    def place(line: Line) -> None:
        if line in result:
            return
        for name in sorted(names(line.tree)):
            if name in every and every[name] is not line:
                place(every[name])
        if line not in result:
            result.append(line)

    for line in ready:
        place(line)
    return result


def _inline_reshapes(
    lines: list[Line],
    closed: Closed,
    upstream: set[str],
    graph: Graph,
    label: Callable[[str], str],
) -> list[Line]:
    """A reshape of a cotangent is written where it is used, or named when it is used often."""
    reshapes = {s.out.name: s for s in closed.statements if isinstance(s, Reshape)}
    written: dict[str, Tree] = {}
    result: list[Line] = []
    taken = {line.name for line in lines} | upstream
    for line in lines:
        if line.name in reshapes and line.role != "gradient":
            count = sum(count_name(other.tree, line.name) for other in lines)
            name = line.name.split(":")[1]
            tree = replace_names(line.tree, written)
            indexed = any(
                _is_indexed(other.tree) and line.name in names(other.tree) for other in lines
            )
            if indexed or count > 1:
                flat = flat_names(graph).get(name)
                base = name if not name.startswith("_") else flat or ""
                made = unlike(
                    label(base) if base else f"{reshapes[line.name].operand.name}_r", taken
                )
                result.append(Line(made, name, "cotangent", line.shape, tree))
                written[line.name] = Name(made)
                taken.add(made)
            else:
                written[line.name] = tree
            continue
        tree = replace_names(line.tree, written)
        result.append(Line(line.name, line.of, line.role, line.shape, tree))
    return result


def _is_indexed(tree: Tree) -> bool:
    """Whether a line reads names only: index notation, a loop."""
    return isinstance(tree, Call) and tree.op in ("indexed", "loop")


def _joins(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op in ("concatenate", "stack")


def _once(lines: list[Line], apart: Collection[str]) -> list[Line]:
    """A cotangent that one line uses once is written there, when that stays short."""
    result = list(lines)
    for name in [p.name for p in lines if p.role == "cotangent" and p.of not in apart]:
        # The line as it is now: another one may have been written into it.
        line = next(current for current in result if current.name == name)
        users = [o for o in result if line.name in names(o.tree)]
        if len(users) != 1 or count_name(users[0].tree, line.name) != 1:
            continue
        user = users[0]
        if _is_indexed(line.tree) or _is_indexed(user.tree) or _joins(user.tree):
            continue
        merged = replace_names(user.tree, {line.name: line.tree})
        view = isinstance(user.tree, Call) and user.tree.op == "reshape"
        if size_of(merged) > 24 and not (view and width_of(merged) <= _SHORT):
            continue
        result[result.index(user)] = Line(user.name, user.of, user.role, user.shape, merged)
        result.remove(line)
    return result


def _named(lines: list[Line], graph: Graph, label: Callable[[str], str]) -> list[Line]:
    """Inner values of the forward pass get a line with a telling name, or are written in place.

    Names of hidden cotangents (``d_12``) become ``d`` and the telling name.
    """
    hidden = {s.out.name: s for s in graph.statements if s.hidden}
    taken = (
        {name for name in graph.tensors if not name.startswith("_")}
        | {line.name for line in lines}
        | set(graph.constants)
        | set(graph.dimensions)
    )
    chosen: dict[str, str] = {}
    inner: dict[str, Line] = {}
    written: dict[str, Tree] = {}

    def uses(name: str) -> int:
        count = sum(count_name(line.tree, name) for line in lines)
        return count + sum(
            count_name(hidden[other].tree, name) for other in needed if other != name
        )

    needed: set[str] = set()
    frontier = {n for line in lines for n in names(line.tree) if n in hidden}
    while frontier:
        needed |= frontier
        frontier = {
            n for name in frontier for n in names(hidden[name].tree) if n in hidden
        } - needed
    order = [s.out.name for s in graph.statements if s.out.name in needed]
    known = {s.tree: Name(s.out.name) for s in graph.statements if not s.hidden}
    sources = {line.name.removeprefix("d").removesuffix("_total") for line in lines}
    wanted = wishes(graph, sources | needed)
    for name in order:
        statement = hidden[name]
        tree = _with_known(replace_names(statement.tree, written), known)
        direct = any(name in names(line.tree) for line in lines)
        # Index notation has names only, and an index statement needs a line of its own.
        apart = _is_indexed(statement.tree) or any(
            name in names(other) and _is_indexed(other)
            for other in (*(x.tree for x in lines), *(hidden[n].tree for n in needed))
        )
        word = isinstance(statement, Statement) and size_of(tree) <= 2
        short = word or (uses(name) <= 1 and size_of(tree) <= 7)
        if not apart and (short or not direct):
            written[name] = tree
            continue
        same = next((x.name for x in inner.values() if x.tree == tree), None)
        if same is not None:
            # inv(L) of the spec, and the one that the slope of L = cholesky(S) needs.
            written[name] = Name(same)
            continue
        wish = graph.hints.get(name) or wanted.get(name)
        telling = telling_name(tree, taken) if wish is None else unlike(wish, taken)
        taken.add(telling)
        chosen[name] = telling
        written[name] = Name(telling)
        inner[name] = Line(telling, name, "inner", statement.out.shape, tree)
    renamed: dict[str, Tree] = dict(written)

    def source_of(line: Line) -> str:
        own = line.of and line.name in (label(line.of), f"{label(line.of)}_total")
        return line.of if own else line.name.removeprefix("d").removesuffix("_total")

    # The cotangent of a value that has a name here is called after it, and nothing else is.
    claimed = {label(chosen[source]) for line in lines if (source := source_of(line)) in chosen}
    for line in lines:
        source = source_of(line)
        if source in hidden or source.startswith("_"):
            base = hidden[source].tree if source in hidden else Name("t")
            others = taken | claimed
            others |= {name.removeprefix("d") for name in others}
            telling = (
                chosen.get(source)
                or (_wished(wanted[source], others, chosen, sources) if source in wanted else None)
                or telling_name(base, others)
            )
            fresh = label(telling)
            taken |= {fresh, telling}
            renamed[line.name] = Name(fresh)
    result = list(inner.values())
    for line in lines:
        new = renamed.get(line.name)
        name = new.id if isinstance(new, Name) else line.name
        result.append(Line(name, line.of, line.role, line.shape, replace_names(line.tree, renamed)))
    return result
