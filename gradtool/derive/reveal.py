"""Names for the inner values that an explanation needs.

A stage (one named value of the forward pass) is easy to explain when each of its operands acts on
it along one path.  Where paths branch or meet inside a stage (the exponentials of a softmax), where
a sum stands inside a function, or where a value is no sum of products (a maximum, an inverse), the
inner value gets a telling name and becomes a stage of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradtool.derive.derivation import derive
from gradtool.derive.naming import telling_name
from gradtool.derive.reverse import reverse
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    MatrixFunction,
    Reshape,
    Scan,
    Statement,
    operands,
)
from gradtool.ir.index import Tensor
from gradtool.ir.poly import Access, Atom, Poly, atom
from gradtool.ir.tree import Name, Tree, names, replace_names
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.records import replace

_UNUSED = Tensor("_unused", ())


def revealed(graph: Graph, wanted: tuple[str, ...]) -> Graph:
    """The same graph with a name for every inner value that is worth a stage of its own."""
    alive = frozenset(reverse(graph, wanted).of)
    done: set[str] = set()
    while True:
        # A new name may cut a later stage too: stages are settled one after the other.
        stage = next(
            (
                s
                for s in graph.statements
                if not s.hidden and s.out.name in alive and s.out.name not in done
            ),
            None,
        )
        if stage is None:
            return graph
        chosen = _chosen(graph, stage, alive)
        if not chosen:
            done.add(stage.out.name)
            continue
        graph, new = _named(graph, chosen)
        alive = frozenset(new.get(name, name) for name in alive)


def stage_graph(graph: Graph, name: str) -> Graph:
    """One named value as a layer of its own: its inputs are the named values that it reads."""
    inner = _inner(graph, name)
    statements = tuple(s for s in graph.statements if s.out.name in inner)
    made = {s.out.name for s in statements}
    read = {n for s in statements for n in operands(s)} - made
    tensor = graph.tensors[name]
    loss = graph.outputs == (name,)
    # A lone scalar output would be taken for a loss, whose upstream gradient is 1.
    spare = tensor.shape == () and not loss
    return replace(
        graph,
        name=name,
        inputs=(*(t for n, t in graph.tensors.items() if n in read), *((_UNUSED,) * spare)),
        wanted=(),
        statements=statements,
        outputs=(name, _UNUSED.name) if spare else (name,),
    )


def written(graph: Graph, name: str) -> Tree:
    """How a value is computed from named values."""
    return shown(graph, graph.definitions[name].tree)


def shown(graph: Graph, tree: Tree) -> Tree:
    """A tree with hidden names replaced by what they stand for."""
    found = {
        n: written(graph, n)
        for n in names(tree)
        if n in graph.definitions and graph.definitions[n].hidden
    }
    return replace_names(tree, found) if found else tree


def expanded(graph: Graph, name: str) -> Poly | None:
    """A value's body over named values; None when it is no sum of products.

    An inner value that cannot be written in place keeps its hidden name.
    """
    statement = graph.definitions[name]
    if not isinstance(statement, Statement) or statement.reduce != "sum":
        return None
    return _opened(graph, statement.body)


def _opened(graph: Graph, body: Poly) -> Poly:
    def change(base: Atom) -> Poly | None:
        if not isinstance(base, Access):
            return None
        inner = graph.definitions.get(base.tensor.name)
        if not isinstance(inner, Statement) or not inner.hidden or inner.reduce != "sum":
            return None
        if inner.out.kind != "real":
            return None
        whole = _opened(graph, inner.body)
        if any(t.bound for t in whole.terms) and not _linear(body, base.tensor.name):
            return None
        return whole.substitute(dict(zip(inner.free, base.index, strict=True)))

    return replace_atoms(body, change)


def _linear(body: Poly, name: str) -> bool:
    """Whether every entry of a tensor stands as a plain factor."""
    plain = sum(
        1
        for term in body.terms
        for base, exponent in term.factors
        if isinstance(base, Access) and base.tensor.name == name and exponent == 1
    )
    return plain == sum(1 for a in accesses(body) if a.tensor.name == name)


def elementwise(graph: Graph, name: str, operand: str) -> Access | None:
    """The one entry of `operand` that an entry of `name` depends on, when it is only one.

    The entry has each of its axes from an axis of `name` (axes may be missing: broadcasting).
    """
    body = expanded(graph, name)
    statement = graph.definitions[name]
    if body is None or not isinstance(statement, Statement):
        return None
    used = {a for a in accesses(body) if a.tensor.name == operand}
    if len(used) != 1:
        return None
    (entry,) = used
    indices = [e.as_index for e in entry.index if e.as_dim is None]
    if None in indices or len(set(indices)) != len(indices):
        return None
    return entry if set(indices) <= set(statement.free) else None


# -- what to reveal -----------------------------------------------------------------------


def _inner(graph: Graph, name: str) -> frozenset[str]:
    """A named value and the hidden values that it is computed from."""
    found = {name}
    frontier = {name}
    while frontier:
        frontier = {
            n
            for member in frontier
            for n in operands(graph.definitions[member])
            if n in graph.definitions and graph.definitions[n].hidden
        } - found
        found |= frontier
    return frozenset(found)


def _chosen(graph: Graph, statement: AnyStatement, alive: frozenset[str]) -> set[str]:
    name = statement.out.name
    path = _inner(graph, name) & alive
    hidden = path - {name}
    if not hidden:
        return set()
    chosen = {n for n in hidden if not _is_sum(graph.definitions[n])}
    chosen = chosen or _inside(graph, path, name)
    if chosen:
        return chosen
    readers = {
        n: {m for m in path if n in operands(graph.definitions[m])}
        for n in alive
        if any(n in operands(graph.definitions[m]) for m in path)
    }
    leaves = [n for n in readers if n not in hidden]
    if all(elementwise(graph, name, leaf) for leaf in leaves):
        return set()
    for leaf in leaves:
        between = _between(readers, leaf, name)
        if elementwise(graph, name, leaf):
            continue
        branches = {n for n in between & hidden if len(readers[n]) > 1}
        joins = {
            n
            for n in between & hidden
            if sum(1 for o in operands(graph.definitions[n]) if o in between) > 1
        }
        chosen |= branches | joins
        if len(readers[leaf]) > 1:
            chosen |= {n for n in readers[leaf] if n in hidden}
    if chosen:
        return chosen
    kept = derive(stage_graph(graph, name), tuple(leaves)).closed.statements
    return {s.out.name.removeprefix("d") for s in kept} & hidden


def _between(readers: Mapping[str, set[str]], leaf: str, name: str) -> set[str]:
    """The values that an operand reaches inside a stage, itself included."""
    found = {leaf}
    frontier = {leaf}
    while frontier:
        frontier = {m for n in frontier for m in readers.get(n, ())} - found - {name}
        found |= frontier
    return found | {name}


def _is_sum(statement: AnyStatement) -> bool:
    return isinstance(statement, Statement) and statement.reduce == "sum"


def _inside(graph: Graph, path: frozenset[str], name: str) -> set[str]:
    """Inner values with a sum that stand inside a function, a power or a quotient."""
    found = set()
    for inner in path - {name}:
        definition = graph.definitions[inner]
        assert isinstance(definition, Statement)
        if not any(t.bound for t in _opened(graph, definition.body).terms):
            continue
        users = [graph.definitions[m] for m in path if inner in operands(graph.definitions[m])]
        if any(not isinstance(u, Statement) or not _linear(u.body, inner) for u in users):
            found.add(inner)
    return found


# -- giving a name ------------------------------------------------------------------------


def _named(graph: Graph, chosen: set[str]) -> tuple[Graph, dict[str, str]]:
    """The graph with the chosen values named, and their names."""
    taken = {n for n in graph.tensors if not n.startswith("_")}
    taken |= {*graph.constants, *graph.dimensions}
    taken |= {f"d{n}" for n in taken}
    new: dict[str, Tensor] = {}
    for statement in graph.statements:
        if statement.out.name in chosen:
            label = telling_name(written(graph, statement.out.name), taken)
            taken |= {label, f"d{label}"}
            new[statement.out.name] = replace(statement.out, name=label)
    statements = tuple(_renamed(s, new) for s in graph.statements)
    return replace(graph, statements=statements), {old: t.name for old, t in new.items()}


def _renamed(statement: AnyStatement, new: Mapping[str, Tensor]) -> AnyStatement:
    out = new.get(statement.out.name, statement.out)
    tree = replace_names(statement.tree, {old: Name(t.name) for old, t in new.items()})
    hidden = statement.hidden and statement.out.name not in new
    match statement:
        case Statement(body=body):
            return replace(
                statement, out=out, tree=tree, hidden=hidden, body=_with_tensors(body, new)
            )
        case Scan():
            raise UnsupportedError("a loop over an axis in an explanation")
        case Reshape(operand=operand):
            return replace(
                statement, out=out, tree=tree, hidden=hidden, operand=new.get(operand.name, operand)
            )
        case MatrixFunction(operands=several):
            return replace(
                statement,
                out=out,
                tree=tree,
                hidden=hidden,
                operands=tuple(new.get(t.name, t) for t in several),
            )


def _with_tensors(body: Poly, new: Mapping[str, Tensor]) -> Poly:
    def change(base: Atom) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in new:
            return atom(Access(new[base.tensor.name], base.index))
        return None

    return replace_atoms(body, change)
