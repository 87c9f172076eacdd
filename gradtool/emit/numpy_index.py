"""Statements in index notation as NumPy: windows, scattering, and products of what remains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial

from gradtool.derive.naming import telling_name
from gradtool.emit.numpy_access import Arrays
from gradtool.emit.numpy_arguments import STABLE, with_arguments
from gradtool.emit.numpy_fold import Fold, folded
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_scatter import Scatter, scattered, together
from gradtool.emit.numpy_steps import Step, Write, assign, owned, simple, written
from gradtool.emit.numpy_winners import LOWEST
from gradtool.emit.numpy_words import known_words, numpy_tree
from gradtool.emit.text import line
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, Reshape, Statement, operands
from gradtool.ir.index import Affine, Index, Label, Tensor
from gradtool.ir.poly import Access, Atom, Iverson, Poly, Position, Term, atom, poly_of, product
from gradtool.ir.tree import Call, Items, Name, Tree, call, integer, names, replace_names
from gradtool.ir.walk import replace_atoms
from gradtool.ops.shape import dim_tree
from gradtool.records import replace


def needs_index(tree: Tree) -> bool:
    """Whether an expression has a part that is only known in index notation."""
    return not known_words(tree)


def statement_steps(
    module: ModuleNames, name: str, statement: Statement, known: Mapping[str, str]
) -> list[Step]:
    """The lines of a statement; `known` names the tensors that the spec did not name."""
    tensors = {old: module.tensor(new) for old, new in known.items()}
    body = renamed(statement.body, tensors)
    return body_steps(module, name, statement.free, body, statement.reduce, statement.bound)


def renamed(body: Poly, tensors: Mapping[str, Tensor]) -> Poly:
    """The expression with other tensors of the same shapes, labels included."""

    def entry(value: Affine) -> Affine:
        result = Affine((), value.const)
        for position, coefficient in value.terms:
            moved = position
            if isinstance(position, Label):
                tensor = tensors.get(position.tensor.name, position.tensor)
                moved = Label(tensor, tuple(map(entry, position.index)))
            result = result + Affine.of(moved) * coefficient
        return result

    def change(base: Atom) -> Poly | None:
        match base:
            case Access(tensor=tensor, index=index):
                return atom(Access(tensors.get(tensor.name, tensor), tuple(map(entry, index))))
            case Iverson(relation=relation, value=value):
                return atom(Iverson(relation, entry(value)))
            case Position(value=value):
                return atom(Position(entry(value)))
        return None

    return replace_atoms(body, change)


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
    made = with_arguments(module.reader.build.statements[start:])
    del module.reader.build.statements[start:]
    before: list[Step] = []
    inner: dict[str, Statement] = {}
    own: dict[str, Tensor] = {}
    words = _words(made)
    needed, arguments = _needed(made, words)
    for statement in made[:-1]:
        if statement.out.name not in needed:
            continue
        if statement.out.name in words:
            out = statement.out
            own[out.name] = Tensor(module.fresh(_base(statement.tree)), out.shape)
            module.define(own[out.name])
            table = {old: Name(new.name) for old, new in own.items()}
            word = replace_names(words[out.name], table)
            before.append(simple(module, own[out.name].name, word))
        elif (
            statement.out.name not in arguments
            and isinstance(statement, Statement)
            and statement.reduce == "sum"
            and not any(term.bound for term in statement.body.terms)
        ):
            inner[statement.out.name] = _written_out(statement, inner)
        else:
            # An inner sum, a reshape: a value of its own.
            out = statement.out
            own[out.name] = Tensor(module.fresh(_base(statement.tree)), out.shape)
            module.define(own[out.name])
            before += _own(module, own[out.name].name, statement, inner, own)
    last = made[-1]
    if not isinstance(last, Statement):
        return [*before, *_own(module, name, last, inner, own)]
    final = _written_out(last, inner)
    final = replace(final, body=renamed(final.body, own))
    return [*before, *body_steps(module, name, final.free, final.body, final.reduce, final.bound)]


def _words(made: Sequence[AnyStatement]) -> dict[str, Tree]:
    """The softmaxes and others of their family among the values, by name: written out, they
    overflow where the word does not.

    What a word is of is part of it, unless that is only known in index notation: then it is one of
    the values, by its name.
    """
    trees = {statement.out.name: statement.tree for statement in made}
    found: dict[str, Tree] = {}
    for statement in made[:-1]:
        tree = statement.tree
        if isinstance(tree, Call) and tree.op in STABLE:
            opened = _opened(tree, trees)
            found[statement.out.name] = tree if needs_index(opened) else opened
    return found


def _opened(tree: Tree, trees: Mapping[str, Tree]) -> Tree:
    """An expression without the names of hidden values."""
    while hidden := names(tree) & trees.keys():
        tree = replace_names(tree, {name: trees[name] for name in hidden})
    return tree


def _needed(
    made: Sequence[AnyStatement], words: Mapping[str, Tree]
) -> tuple[set[str], frozenset[str]]:
    """The values that the last one needs, without those of which a word makes itself; and those
    that a word is of.
    """
    found = set(operands(made[-1]))
    arguments: set[str] = set()
    for statement in reversed(made[:-1]):
        if statement.out.name in found:
            if statement.out.name in words:
                arguments |= names(words[statement.out.name])
                found |= arguments
            else:
                found |= operands(statement)
    return found, frozenset(arguments)


def _base(tree: Tree) -> str:
    return telling_name(tree, ())


def _own(
    module: ModuleNames,
    name: str,
    statement: AnyStatement,
    inner: Mapping[str, Statement],
    own: Mapping[str, Tensor],
) -> list[Step]:
    if isinstance(statement, Reshape):
        shape = Items(tuple(dim_tree(d) for d in statement.out.shape))
        operand = own.get(statement.operand.name, statement.operand).name
        steps: list[Step] = []
        if operand in inner:
            value = inner[operand]
            operand = module.fresh(_base(value.tree))
            module.define(Tensor(operand, value.out.shape))
            steps = _own(module, operand, value, inner, own)
        return [*steps, simple(module, name, call("reshape", Name(operand), shape))]
    if isinstance(statement, Statement):
        whole = _written_out(statement, inner)
        body = renamed(whole.body, own)
        return body_steps(module, name, whole.free, body, whole.reduce, whole.bound)
    raise UnsupportedError("a matrix function inside index notation")


def _written_out(statement: Statement, inner: Mapping[str, Statement]) -> Statement:
    def opened(base: Atom) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in inner:
            found = inner[base.tensor.name]
            places = {i: e for i, e in zip(found.free, base.index, strict=True)}
            return found.body.substitute(places)
        return None

    return replace(statement, body=replace_atoms(statement.body, opened))


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
    rest: list[Term] = []
    scatters: list[Scatter] = []
    folds: list[Fold] = []
    for term in body.terms:
        # Before strides are turned: a winner of a maximum is recognised by its window.
        found = scattered(module, term, free)
        fold = folded(arrays, term, free) if found is None else None
        if fold is not None:
            folds.append(fold)
            continue
        if found is None:
            term = arrays.turned(term)
            found = scattered(module, term, free)
        if found is not None and found.flat is not None:
            # The winners of a maximum are known after the forward pass, positions and all.
            places = arrays.named(found.flattened(module, free), "winners", found.order)
            module.define(replace(module.tensor(places), kind="index"))
            found = replace(found, flat=Name(places))
        if found is None:
            rest.append(term)
        elif found.outer:
            rest.append(_scattered_first(arrays, found, free))
        else:
            scatters.append(found)
    scatters = together(scatters)
    remaining = poly_of(rest)
    spelled = module.python(name)
    if not scatters and not folds:
        tree = _tree(arrays, remaining, free)
        return [*arrays.steps, written(module, spelled, (Write(tree),))]
    folds = [_computed_once(arrays, f) for f in folds]
    wholes = [(f.value, f.order, partial(f.whole, module, free)) for f in folds]
    wholes += [(s.value, s.axes, partial(s.whole, module, free)) for s in scatters if s.repeats]
    single = [s for s in scatters if not s.repeats]
    writes: list[Write] = []
    if remaining.terms and not folds:
        writes.append(Write(_tree(arrays, remaining, free), wrap=owned))
    elif not wholes:
        writes.append(Write(call("zeros", Items(tuple(dim_tree(i.size) for i in free)))))
    for value, axes, wrap in wholes:
        writes.append(Write(_tree(arrays, value, axes), "+=" if writes else "=", wrap=wrap))
    if remaining.terms and folds:
        tree = _tree(arrays, remaining, free)
        if isinstance(tree, Call) and tree.op == "broadcast_to":
            tree = tree.args[0]
        writes.append(Write(tree, "+="))
    for scatter in single:
        value, operator = scatter.value, "+="
        if len(writes) == 1 and not remaining.terms and not wholes:
            operator = "="
        elif all(term.coefficient < 0 for term in value.terms):
            operator, value = "-=", -value
        writes.append(Write(_tree(arrays, value, scatter.axes), operator, scatter.index))
    return [*arrays.steps, written(module, spelled, writes)]


def _computed_once(arrays: Arrays, fold: Fold) -> Fold:
    """A value that is the same at every place of a window gets a name."""
    (term,) = fold.value.terms
    if fold.parts or (len(term.factors) == 1 and term.coefficient == 1 and not term.bound):
        return fold
    module = arrays.module
    tree = _tree(arrays, fold.value, fold.order)
    made = Tensor(module.fresh("share"), tuple(i.size for i in fold.order))
    module.define(made)
    arrays.steps.append(written(module, made.name, (Write(tree),)))
    here = Access(made, tuple(map(Affine.of, fold.order)))
    return replace(fold, value=atom(here))


def _scattered_first(arrays: Arrays, scatter: Scatter, free: tuple[Index, ...]) -> Term:
    """A scattered array that further factors multiply, as an array of its own."""
    module = arrays.module
    value = numpy_tree(_tree(arrays, scatter.value, scatter.order), module)
    made = Tensor(module.fresh("scattered"), tuple(i.size for i in free))
    module.define(made)
    arrays.steps.append(assign(made.name, scatter.whole(module, free, value)))
    here = Access(made, tuple(map(Affine.of, free)))
    return product(Fraction(1), (*scatter.outer, (here, Fraction(1))))


def _tree(arrays: Arrays, body: Poly, free: Sequence[Index]) -> Tree:
    """An expression with plain accesses, or the last resort."""
    # Raising brings in sympy, which layers without index notation do not need here.
    from gradtool.derive.raising import raised

    tree = raised(arrays.plain(body), free, arrays=True)
    if not needs_index(tree):
        return tree
    tree = raised(arrays.gathered(body), free, arrays=True)
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
    padded = [t for t in body.terms if abs(t.coefficient) >= LOWEST]
    kept = poly_of(t for t in body.terms if abs(t.coefficient) < LOWEST)
    masked = any(isinstance(base, Iverson) for term in kept.terms for base, _ in term.factors)
    if padded and masked:
        # What is 0 by a mask may win, what lies outside may not: the two are kept apart.
        arrays = Arrays(module)
        value = numpy_tree(_tree(arrays, kept, (*free, *bound)), module)
        regions = poly_of(product(Fraction(1), t.factors, t.bound) for t in padded)
        outside = numpy_tree(_tree(arrays, regions, (*free, *bound)), module)
        tree: Tree = call("np.where", call("gt", outside, integer(0)), Name("-np.inf"), value)
    else:
        arrays = Arrays(module, Name("-np.inf") if padded else None)
        tree = numpy_tree(_tree(arrays, kept, (*free, *bound)), module)
    last = Items(tuple(integer(k - len(bound)) for k in range(len(bound))))
    axis: Tree = last if len(bound) > 1 else last.items[0]
    if reduce in ("max", "min"):
        result: Tree = Call(reduce, (tree,), (("axis", axis),))
    elif len(bound) > 1:
        module.need("argbest")
        tree = call("neg", tree) if reduce == "argmin" else tree
        result = call("_argbest", tree, axis)
    else:
        result = Call(reduce, (tree,), (("axis", axis),))
    return [*arrays.steps, assign(module.python(name), result)]
