"""The line of the user's file that assigns a gradient: read from its text, as well as that goes.

The worker has parsed the file already; the text is parsed again here and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Protocol, TypeAlias

from gradtool.check.cells import FileProblem, read_cells, tagged
from gradtool.check.closures import callers_in, received
from gradtool.check.defined import Definition, definitions_in
from gradtool.check.reached import OBJECT
from gradtool.check.writes import ends, written
from gradtool.records import Struct

_DEPTH = 3


class Snippets(Protocol):
    """What is read of a binding here; a worker has no more of it."""

    @property
    def setup(self) -> str | None:
        """As in a spec's `check:` block."""

    @property
    def forward(self) -> str | None:
        """The same."""

    @property
    def backward(self) -> str | None:
        """The same."""

    @property
    def grads(self) -> Mapping[str, str]:
        """Expressions of gradients, by variable."""


class Where(Struct, frozen=True):
    """A line of a file (of a notebook cell: `place` names it) and its text."""

    line: int
    source: str
    place: str = ""


def where(file: Path, binding: Snippets | None, name: str, tag: str | None = None) -> Where | None:
    """The line that assigns the gradient of `name`; None where it cannot be told.

    With a `tag` of notebook cells nothing behind the last of these is looked at.
    """
    if binding is None:
        return None
    sources = _sources(file, tag)
    known = {**_assigned_names(sources), **_functions(sources, _names(binding))}
    functions = {**known, **_closures(binding, known, sources)}
    notebook = file.suffix == ".ipynb"
    everywhere = (binding.backward, *binding.grads.values(), binding.forward)
    for wanted, own in _wanted(binding, name):
        # A place in a result is one in what that text calls.
        texts = everywhere if wanted.position is None else (own,)
        named = called_in(texts, functions)
        makers = [functions[one].outer for one in named]
        for called in (one for one in named if functions[one] not in makers):
            found = _assigned(called, wanted, functions, _DEPTH)
            if found is not None:
                owner, line = found
                lines = functions[owner].text.splitlines()
                source = lines[line - 1].strip() if 0 < line <= len(lines) else ""
                return Where(line, source, functions[owner].place if notebook else "")
    return None


def functions_of(file: Path, binding: Snippets, tag: str | None = None) -> dict[str, Named]:
    """The functions of a file by name, each with its place and the text around it.

    None where the file cannot be read.  Of several methods of one name those count that the
    binding means.  Among them are those that the snippets get of others, by their names there.
    """
    sources = _sources(file, tag)
    known = _functions(sources, _names(binding))
    return {**known, **_closures(binding, known, sources)}


def _sources(file: Path, tag: str | None) -> list[Source]:
    try:
        cells, _ = read_cells(file)
        cells = cells if tag is None else tagged(cells, tag, file)
    except (FileProblem, OSError):
        return []
    sources = []
    for cell in cells:
        try:
            sources.append((cell.place, cell.text, ast.parse(cell.text)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return sources


def _assigned_names(sources: Iterable[Source]) -> dict[str, Named]:
    """The functions that have their names by an assignment: ``f = lambda x: x``."""
    known: dict[str, Definition] = {}
    texts: dict[str, str] = {}
    for place, text, tree in sources:
        texts[place] = text
        for _ in definitions_in(tree.body, place, known):
            pass
    return {
        name: Named(one.place, texts[one.place], one.node)
        for name, one in known.items()
        if isinstance(one.node, ast.FunctionDef)
    }


Source: TypeAlias = tuple[str, str, ast.Module]  # a cell: its place, its text, its tree


class Named(Struct, frozen=True, eq=False):
    """A function: its place, the text around it, and the function that returns it, if one does.

    `meant` by a binding, if it is a method that shares its name: of a class that a snippet names.
    """

    place: str
    text: str
    node: ast.FunctionDef
    outer: Named | None = None
    meant: bool = True


def _closures(
    binding: Snippets, functions: Mapping[str, Named], sources: Sequence[Source]
) -> dict[str, Named]:
    """The functions that the snippets get of others: ``Y, backprop = affine(X, W, b)``."""
    found: dict[str, Named] = {}
    callers = callers_in(tree for _, _, tree in sources)
    for text in (binding.forward, binding.backward):
        for node in nodes_of(text):
            match node:
                case ast.Assign(
                    targets=[target],
                    value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)),
                ):
                    outer = functions.get("__call__" if name == OBJECT else name)
                    inner = received(target, outer.node, callers) if outer is not None else {}
                    for own, one in inner.items():
                        assert outer is not None
                        around = None if one.name == "__call__" else outer  # a method has none
                        found[own] = Named(outer.place, outer.text, one, around)
                case ast.Assign(targets=[ast.Name(id=own)], value=ast.Subscript() as part):
                    if (text := ast.unparse(part)) in found:  # ``backward = kept["back"]``
                        found[own] = found[text]
    return found


def _names(binding: Snippets) -> set[str]:
    """Every name in the snippets; those of classes among them are the ones that are meant."""
    texts = (binding.setup, binding.forward, binding.backward, *binding.grads.values())
    return {n.id for text in texts for n in nodes_of(text) if isinstance(n, ast.Name)}


def _functions(sources: Iterable[Source], meant: Collection[str]) -> dict[str, Named]:
    """Functions by name; of several methods of one name that of a class that is meant, and the
    others with their class, as ``Linear.backward``.
    """
    found: dict[str, tuple[int, Named]] = {}
    others: dict[str, Named] = {}
    for place, text, tree in sources:
        for owner, node in _owned(tree, None):
            rank = 2 if owner in meant else int(owner is None)
            named = Named(place, text, node, None, rank > 0)
            if owner is not None:
                others[f"{owner}.{node.name}"] = named
            if node.name not in found or found[node.name][0] <= rank:
                found[node.name] = rank, named
    first = {name: named for name, (_, named) in found.items()}
    shared = {key: one for key, one in others.items() if first[one.node.name] is not one}
    return {**first, **shared}


def called_so(name: str, functions: Mapping[str, Named], every: bool) -> list[str]:
    """What a call of this name, or of a method of it, may run: `every` one, or what is meant."""
    methods = (key for key in functions if key.endswith(f".{name}"))
    own = [name] if name in functions else []
    return [*own, *(key for key in methods if every or functions[key].meant)]


def _owned(tree: ast.AST, owner: str | None) -> Iterator[tuple[str | None, ast.FunctionDef]]:
    """The functions of a tree, each with the class around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield owner, node
        yield from _owned(node, node.name if isinstance(node, ast.ClassDef) else owner)


class _Wanted(Struct, frozen=True):
    """How the snippets get at a gradient: a place in a result, an attribute, a key.

    With `inner` what has that place is a tuple, and the gradient has this one in it.
    """

    position: int | None = None
    inner: int | None = None
    attribute: str | None = None
    key: str | None = None


def _wanted(binding: Snippets, name: str) -> Iterator[tuple[_Wanted, str | None]]:
    """Each with the text that says so."""
    targets = [f"d{name}"]
    texts = [binding.grads[name]] if name in binding.grads else []
    groups: dict[str, int] = {}
    for text in (binding.backward, binding.forward):
        found = [node for node in nodes_of(text) if isinstance(node, ast.Assign)]
        groups |= _groups(found)
        for node in found:  # ``dX = returned0``, which is a place in a result
            match node:
                case ast.Assign(targets=[ast.Name(id=left)], value=ast.Name(id=other)):
                    targets += [other] if left in targets else []
        for node in found:
            for target in dict.fromkeys(targets):
                yield from ((wanted, text) for wanted in _of_assignment(node, target, groups))
    for text in texts:
        value = ast.parse(text.strip(), mode="eval").body
        yield from ((wanted, text) for wanted in _of_value(value, groups))


def _groups(assignments: Iterable[ast.Assign]) -> dict[str, int]:
    """The names of what has a place in a result: ``loss, grads = …``."""
    return {
        item.id: place
        for node in assignments
        for target in node.targets
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Call)
        for place, item in enumerate(target.elts)
        if isinstance(item, ast.Name)
    }


def nodes_of(text: str | None) -> Iterable[ast.AST]:
    try:
        return list(ast.walk(ast.parse((text or "").strip())))
    except (SyntaxError, ValueError):
        return ()


def _of_assignment(node: ast.Assign, target: str, groups: Mapping[str, int]) -> Iterator[_Wanted]:
    for left in node.targets:
        if isinstance(left, ast.Name) and left.id == target:
            yield from _of_value(node.value, groups)
        elif isinstance(left, ast.Tuple):
            for position, item in enumerate(left.elts):
                if isinstance(item, ast.Tuple):
                    for inner, part in enumerate(item.elts):
                        if isinstance(part, ast.Name) and part.id == target:
                            yield _Wanted(position=position, inner=inner)
                if isinstance(item, ast.Name) and item.id == target:
                    if isinstance(node.value, ast.Tuple):
                        yield from _of_value(node.value.elts[position], groups)
                    else:
                        yield _Wanted(position=position)


def _of_value(value: ast.expr, groups: Mapping[str, int]) -> Iterator[_Wanted]:
    match value:
        case ast.Attribute(attr="T", value=inner):
            yield from _of_value(inner, groups)
        case ast.Attribute(attr=name):
            yield _Wanted(attribute=name)
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            yield _Wanted(key=key)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(inner))) if (
            name in groups
        ):
            yield _Wanted(position=groups[name], inner=inner)
        case ast.Subscript(value=ast.Attribute(attr=name), slice=ast.Constant(value=int())):
            yield _Wanted(attribute=name)
        case ast.Subscript(slice=ast.Constant(value=int(position))):
            yield _Wanted(position=position)
        case ast.Call(func=ast.Name(id="step"), args=[inner]):
            yield from _of_value(inner, groups)
        case ast.Call() | ast.BinOp(op=ast.Mult(), right=ast.Call()):  # dA * derivative(Z)
            yield _Wanted(position=0)


def called_in(texts: Iterable[str | None], functions: Mapping[str, Named]) -> list[str]:
    """The user's functions that snippets call, in their order."""
    found: dict[str, None] = {}
    for text in texts:
        for node in nodes_of(text):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    found |= dict.fromkeys(called_so(name, functions, every=False))
    return list(found)


def _assigned(
    called: str,
    wanted: _Wanted,
    functions: dict[str, Named],
    depth: int,
) -> tuple[str, int] | None:
    """The function and the line of the last assignment to what is wanted."""
    if depth == 0:
        return None
    function, outer = functions[called].node, functions[called].outer
    if wanted.position is None:
        setting = [n for n in _walked(function) if _sets(n, wanted)]
        if not setting:
            return None
        last = max(setting, key=lambda node: node.lineno)
        name, line = _named(last, wanted), _line(last, wanted)
        before = last_bound(function, name, line) if name else None
        return called, before or line
    best: tuple[str, int] | None = None
    for node in ast.walk(function):
        if not isinstance(node, ast.Return) or node.value is None:
            continue
        value: ast.expr | None = node.value
        position = wanted.position
        if isinstance(value, ast.Tuple):
            elements: list[ast.expr] = value.elts
            several = [k for k, e in enumerate(elements) if isinstance(e, ast.Starred)]
            if several and position >= several[0]:
                value = next(e.value for e in elements if isinstance(e, ast.Starred))
                position -= len(elements) - 1
            else:
                value = elements[position] if position < len(elements) else None
                position = 0
        if wanted.inner is not None and isinstance(value, ast.Tuple | ast.List):
            value = value.elts[wanted.inner] if wanted.inner < len(value.elts) else None
        if value is None:
            continue
        match _arranged(value):
            case ast.Name(id=name):
                bound = last_bound(function, name)
                if bound is None and outer is not None:  # a loss has it ready: ``lambda: dX``
                    bound = last_bound(outer.node, name)
                best = called, bound or node.lineno
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in functions:
                further = _Wanted(position=position)
                best = _assigned(name, further, functions, depth - 1) or best
            case _:
                best = called, value.lineno
    return best


def _arranged(value: ast.expr) -> ast.expr:
    """What is returned in another shape or order: ``dx`` of ``dx.reshape(N, C).T``."""
    match value:
        case ast.Attribute(value=inner, attr="T"):
            return _name_in(inner, value)
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _ARRANGING:
            return _name_in(inner, value)
    return value


def _name_in(inner: ast.expr, whole: ast.expr) -> ast.expr:
    """The name of which the whole is an arrangement, or else the whole."""
    found = _arranged(inner)
    return found if isinstance(found, ast.Name) and found.id not in _MODULES else whole


_ARRANGING = frozenset({"reshape", "transpose", "swapaxes", "squeeze", "ravel", "copy", "astype"})
_MODULES = frozenset({"np", "numpy"})


def _walked(function: ast.FunctionDef) -> Iterator[ast.stmt | ast.expr]:
    """The nodes that stand on a line."""
    return (node for node in ast.walk(function) if isinstance(node, ast.stmt | ast.expr))


def last_bound(function: ast.FunctionDef, name: str, before: float = inf) -> int | None:
    """The last line, before another one, that gives a name or an entry of it a value."""
    lines = (n.lineno for n in _walked(function) if _binds(n, name))
    return max((line for line in lines if line < before), default=None)


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a statement gives a name, or an entry of it, a value."""
    return any(_base(target) == name for target in _given_a_value(node))


def _given_a_value(node: ast.AST) -> Iterator[ast.expr]:
    """The places that an assignment fills, or those that a call writes into."""
    match node:
        case ast.Assign(targets=targets):
            for target in targets:
                yield from ends(target)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
            yield target
        case _:
            yield from written(node)


def _base(target: ast.expr) -> str | None:
    while isinstance(target, ast.Subscript | ast.Starred):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _named(node: ast.AST, wanted: _Wanted) -> str | None:
    """The name of what is stored, as in ``grads["W"] = dW`` or ``{"W": dW}``."""
    match node:
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()], value=ast.Name(id=name)):
            return name
    value = _under_key(node, wanted)
    return value.id if isinstance(value, ast.Name) else None


def _line(node: ast.stmt | ast.expr, wanted: _Wanted) -> int:
    """Where what is stored stands: of a dictionary that is written out the line of the entry."""
    value = _under_key(node, wanted)
    return node.lineno if value is None else value.lineno


def _under_key(node: ast.AST, wanted: _Wanted) -> ast.expr | None:
    """What a dictionary that is written out has under the key that is wanted."""
    match node:
        case ast.Dict(keys=keys, values=values) if wanted.key is not None:
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == wanted.key:
                    return value
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords) if wanted.key is not None:
            return next((k.value for k in keywords if k.arg == wanted.key), None)
    return None


def _sets(node: ast.AST, wanted: _Wanted) -> bool:
    for target in _given_a_value(node):
        while isinstance(target, ast.Subscript):
            match target.slice:
                case ast.Constant(value=key) if wanted.key is not None and key == wanted.key:
                    return True
            target = target.value
        if isinstance(target, ast.Attribute) and target.attr == wanted.attribute:
            return True
    return _under_key(node, wanted) is not None
