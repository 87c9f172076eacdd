"""Statements in index notation as NumPy: windows, scattering, and products of what remains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from gradtool.derive.raising import raised
from gradtool.emit.numpy_access import Arrays
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_scatter import Scatter, scattered
from gradtool.emit.numpy_steps import Step, assign, is_new, simple
from gradtool.emit.numpy_text import has_rule, numpy_text, numpy_tree
from gradtool.emit.text import line
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Reshape, Statement
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Access, Atom, Poly, poly_of
from gradtool.ir.tree import Call, Items, Literal, Name, Tree, call, children, integer, names
from gradtool.ir.walk import replace_atoms
from gradtool.ops.shape import dim_tree

# Far below every number that occurs: what stands in the padding of a maximum.
_LOWEST = Fraction(10**200)


def needs_index(tree: Tree) -> bool:
    """Whether an expression has a part that is only known in index notation."""
    if isinstance(tree, Call) and (
        tree.op in ("indexed",) or tree.keyword("over") is not None or not has_rule(tree.op)
    ):
        return True
    return any(needs_index(child) for child in children(tree))


def statement_steps(
    module: ModuleNames, name: str, statement: Statement, known: Mapping[str, str]
) -> list[Step]:
    """The lines of a forward statement; `known` names the tensors that the spec did not name."""

    def renamed(base: Atom) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in known:
            return poly_of_access(Access(module.tensor(known[base.tensor.name]), base.index))
        return None

    body = replace_atoms(statement.body, renamed)
    return body_steps(module, name, statement.free, body, statement.reduce, statement.bound)


def line_steps(module: ModuleNames, name: str, tree: Tree) -> list[Step]:
    """The lines of a printed line of the backward pass, read back to index notation."""
    start = len(module.reader.build.statements)
    shared = dict(module.reader.build.shared)
    scope = dict(module.reader.build.scope)
    module.reader.build.shared.clear()
    module.reader.read(line(name, tree))
    module.reader.build.scope.clear()
    module.reader.build.scope.update(scope)
    module.reader.build.shared = shared
    made = module.reader.build.statements[start:]
    del module.reader.build.statements[start:]
    before: list[Step] = []
    inner: dict[str, Statement] = {}
    for statement in made[:-1]:
        if isinstance(statement, Statement) and statement.reduce == "sum" and not any(
            term.bound for term in statement.body.terms
        ):
            inner[statement.out.name] = _written_out(statement, inner)
        else:
            # An inner sum, a reshape: a value of its own.
            module.define(statement.out)
            before += _own(module, statement, inner)
    last = made[-1]
    assert isinstance(last, Statement)
    final = _written_out(last, inner)
    return [*before, *body_steps(module, name, final.free, final.body, final.reduce, final.bound)]


def _own(
    module: ModuleNames, statement: object, inner: Mapping[str, Statement]
) -> list[Step]:
    if isinstance(statement, Reshape):
        shape = Items(tuple(dim_tree(d) for d in statement.out.shape))
        return [simple(module, statement.out.name,
                       call("reshape", Name(statement.operand.name), shape))]  # fmt: skip
    if isinstance(statement, Statement):
        whole = _written_out(statement, inner)
        return body_steps(module, statement.out.name, whole.free, whole.body, whole.reduce,
                          whole.bound)  # fmt: skip
    raise UnsupportedError("a matrix function inside index notation")


def _written_out(statement: Statement, inner: Mapping[str, Statement]) -> Statement:
    def opened(base: Atom) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in inner:
            found = inner[base.tensor.name]
            places = {i: e for i, e in zip(found.free, base.index, strict=True)}
            return found.body.substitute(places)
        return None

    from dataclasses import replace

    return replace(statement, body=replace_atoms(statement.body, opened))


def poly_of_access(access: Access) -> Poly:
    from gradtool.ir.poly import atom

    return atom(access)


def body_steps(
    module: ModuleNames,
    name: str,
    free: tuple[Index, ...],
    body: Poly,
    reduce: str,
    bound: tuple[Index, ...],
) -> list[Step]:
    """The lines that compute ``name[free] = reduce over bound of body``."""
    if reduce != "sum":
        return _extremum(module, name, free, body, reduce, bound)
    arrays = Arrays(module)
    rest: list[object] = []
    scatters: list[Scatter] = []
    for term in body.terms:
        turned = arrays.turned(term)
        found = scattered(module, turned, free)
        if found is None:
            rest.append(turned)
        else:
            scatters.append(found)
    remaining = poly_of(rest)  # type: ignore[arg-type]
    spelled = module.python(name)
    if not scatters:
        tree = _tree(arrays, remaining, free)
        return [*arrays.steps, assign(spelled, numpy_tree(tree, module))]
    values = [
        numpy_tree(_tree(arrays, s.value, s.order), module) for s in scatters
    ]
    code: list[str] = []
    reads: set[str] = set()
    start: Tree | None = None
    if remaining.terms:
        start = numpy_tree(_tree(arrays, remaining, free), module)
        if not is_new(start):
            start = call("copy", start)
    elif scatters[0].repeats:
        scatter, value = scatters.pop(0), values.pop(0)
        start = scatter.whole(module, free, value)
    else:
        shape = Items(tuple(dim_tree(i.size) for i in free))
        start = numpy_tree(call("zeros", shape), module)
    code += assignment(spelled, "=", start)
    reads |= names(start)
    for scatter, value in zip(scatters, values, strict=True):
        if scatter.repeats:
            extra = scatter.whole(module, free, value)
            code += assignment(spelled, "+=", extra)
            reads |= names(extra)
            continue
        fresh = not remaining.terms and len(scatters) == 1
        operator = "="
        if not fresh:
            operator, value = ("-=", value.args[0]) if _negative(value) else ("+=", value)
        target = call("getitem", Name(spelled), Items(scatter.index))
        code += assignment(numpy_text(target), operator, value)
        reads |= names(target) | names(value)
    return [*arrays.steps, Step(spelled, tuple(code), frozenset(reads - {spelled}))]


def _negative(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "neg"


def _tree(arrays: Arrays, body: Poly, free: Sequence[Index]) -> Tree:
    """An expression with plain accesses, or the last resort."""
    tree = raised(arrays.plain(body), free)
    if not needs_index(tree):
        return tree
    tree = raised(arrays.gathered(body), free)
    if needs_index(tree):
        raise UnsupportedError("an index expression that NumPy code cannot be written for")
    return tree


def _extremum(
    module: ModuleNames,
    name: str,
    free: tuple[Index, ...],
    body: Poly,
    reduce: str,
    bound: tuple[Index, ...],
) -> list[Step]:
    """The best over windows; what lies in the padding never wins."""
    padded = [t for t in body.terms if abs(t.coefficient) >= _LOWEST]
    kept = poly_of(t for t in body.terms if abs(t.coefficient) < _LOWEST)
    fill: Tree | None = None
    if padded:
        fill = Name("-np.inf")
    arrays = Arrays(module, fill)
    tree = numpy_tree(_tree(arrays, kept, (*free, *bound)), module)
    last = Items(tuple(integer(k - len(bound)) for k in range(len(bound))))
    axis = last if len(bound) > 1 else last.items[0]
    if reduce in ("max", "min"):
        result: Tree = Call(reduce, (tree,), (("axis", axis),))
    elif len(bound) > 1:
        module.need("argbest")
        tree = call("neg", tree) if reduce == "argmin" else tree
        result = call("_argbest", tree, axis)
    else:
        result = Call(reduce, (tree,), (("axis", axis),))
    return [*arrays.steps, assign(module.python(name), result)]


_ = (Affine, Literal)
