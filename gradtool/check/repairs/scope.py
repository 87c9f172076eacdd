"""What stands around a node of a function: names and what they hold, and what a node is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from gradtool.records import Struct

Role = Literal[
    "value", "axis", "flag", "index", "exponent", "condition", "range", "shape", "padding"
]
Kind = Literal["array", "mask", "whole", "number", "entry", "other"]

_MOST_PARTS = 8
_MOST_ENTRIES = 16
_REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin"})
_MAKERS = frozenset({"zeros", "ones", "empty", "full", "reshape", "broadcast_to", "eye", "arange"})


class Value(Struct, frozen=True):
    """What a name held when the function returned.

    `kind`: a float array; a bool array; an int; a Python float; a number out of an array.
    """

    kind: Kind
    shape: tuple[int, ...] = ()


class Scope(Struct, frozen=True):
    """What a change may use.

    Attributes:
        values: names, and attributes of self as ``self.x``, that hold something.
        gradients: those that are made of the upstream gradient.
        functions: the file's own functions of one argument.
        of_output: whether a wrong output is looked into, not a gradient.
    """

    values: Mapping[str, Value]
    gradients: frozenset[str]
    functions: tuple[str, ...]
    of_output: bool = False

    def label(self, node: ast.AST) -> str:
        """The name under which a node is in `values`; "" for what is no such name."""
        match node:
            case ast.Name(id=name):
                return name if name in self.values else ""
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return f"self.{name}" if f"self.{name}" in self.values else ""
        return ""

    def value(self, node: ast.AST) -> Value | None:
        return self.values.get(self.label(node))

    def holds_gradient(self, node: ast.AST) -> bool:
        return any(self.label(n) in self.gradients for n in ast.walk(node))

    def is_number(self, node: ast.AST) -> bool:
        """Whether a node is made of numbers alone: no array, and nothing out of one."""
        match node:
            case ast.Constant(value=int() | float()):
                return True
            case ast.Subscript(value=ast.Attribute(attr="shape")) | ast.Attribute(attr="size"):
                return True
            case ast.Attribute(value=ast.Name(id="math" | "np" | "numpy"), attr="pi" | "e"):
                return True
            case ast.Call(func=ast.Name(id="len" | "float" | "int")):
                return True
            case ast.Call(func=ast.Attribute(attr="sqrt"), args=[inner]):
                return self.is_number(inner)
            case ast.BinOp(left=left, right=right):
                return self.is_number(left) and self.is_number(right)
            case ast.UnaryOp(operand=operand):
                return self.is_number(operand)
        value = self.value(node)
        return value is not None and value.kind in ("whole", "number")

    def is_mask(self, node: ast.AST) -> bool:
        value = self.value(node)
        return isinstance(node, ast.Compare) or (value is not None and value.kind == "mask")


class Surroundings:
    """The parents of every node of a function, the keys that it reads out of dicts, the parts of
    arrays that it uses, the names that it never reads, and what it reads several times."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self._parents: dict[int, tuple[ast.AST, str]] = {}
        for node in ast.walk(function):
            for name, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self._parents[id(child)] = node, name
        self._indices = _index_names(function)
        self._homes: dict[int, list[list[ast.expr]]] | None = None
        self._function = function
        self.unread = _unread(function)
        self.keys = _keys(function)
        self.parts = self._parts(function)
        self.entries = _entries(function)
        self._added = {
            name
            for node in ast.walk(function)
            if isinstance(node, ast.AugAssign)
            for name in _bound(node.target)
        }
        self._products = _products(function)
        self._looped = {
            name
            for loop in ast.walk(function)
            if isinstance(loop, ast.For | ast.While)
            for node in ast.walk(loop)
            if isinstance(node, ast.Assign)
            for target in node.targets
            for name in _bound(target)
        }

    def _parts(self, function: ast.FunctionDef) -> tuple[ast.Subscript, ...]:
        """What the function takes out of arrays, each once: ``x[:, t]``."""
        found: dict[str, ast.Subscript] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                key = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
                if self.role(node) == "value" and not key:
                    found.setdefault(ast.dump(node), node)
        return tuple(found.values())[:_MOST_PARTS]

    def parent(self, node: ast.AST) -> tuple[ast.AST, str]:
        return self._parents[id(node)]

    def above(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        """The parents of a node and the field it is in, the nearest first."""
        while id(node) in self._parents:
            parent, name = self._parents[id(node)]
            yield parent, name
            node = parent

    def repeated(self, node: ast.AST) -> list[list[ast.expr]]:
        """What several parts of a node have, each with its places in it."""
        if self._homes is None:
            self._homes = {}
            for statement in ast.walk(self._function):
                if isinstance(statement, ast.Assign | ast.AugAssign | ast.Return):
                    for places in _read_several_times(statement):
                        for home, inside in self._shared(places):
                            self._homes.setdefault(id(home), []).append(inside)
        return self._homes.get(id(node), [])

    def _shared(self, places: Sequence[ast.expr]) -> list[tuple[ast.AST, list[ast.expr]]]:
        """The expressions and statements that have several of these places, in several parts."""
        inside: dict[int, dict[int, list[ast.expr]]] = {}
        nodes: dict[int, ast.AST] = {}
        for place in places:
            part: ast.AST = place
            for above, _ in self.above(place):
                if isinstance(above, ast.Slice | ast.Tuple | ast.List | ast.keyword):
                    continue  # what has them is a change of more
                nodes[id(above)] = above
                inside.setdefault(id(above), {}).setdefault(id(part), []).append(place)
                part = above
                if isinstance(above, ast.stmt):
                    break
        return [
            (nodes[one], [place for some in parts.values() for place in some])
            for one, parts in inside.items()
            if len(parts) > 1
        ]

    def factors_of(self, label: str) -> frozenset[str]:
        """The names that a name is a product of."""
        return self._products.get(label, frozenset())

    def is_place(self, node: ast.AST) -> bool:
        """Whether a name is a place in an array, and nothing else."""
        return isinstance(node, ast.Name) and node.id in self._indices

    def is_begun(self, node: ast.AST) -> bool:
        """Whether a node is what a sum or a loop begins with."""
        parent, _ = self.parent(node)
        return isinstance(parent, ast.Assign) and any(
            name in self._added | self._looped
            for target in parent.targets
            for name in _bound(target)
        )

    def role(self, node: ast.AST) -> Role:
        """What a node is for."""
        for parent, name in self.above(node):
            match parent:
                case ast.keyword(arg="axis" | "axes"):
                    return "axis"
                case ast.keyword(arg="keepdims" | "copy" | "dtype"):
                    return "flag"
                case ast.Subscript() if name == "slice":
                    return "index"
                case ast.BinOp(op=ast.Pow()) if name == "right":
                    return "exponent"
                case ast.Compare():
                    return "condition"
                case ast.Call(func=ast.Name(id="range")) if name == "args":
                    return "range"
                case ast.Call(func=ast.Name(id="len")) | ast.Attribute(attr="shape" | "size"):
                    return "shape"  # of the value only its size counts
                case ast.Call(func=function, args=[_, exponent]) if (
                    callee(function) == "power" and name == "args" and _contains(exponent, node)
                ):
                    return "exponent"
                case ast.Call(func=function) if name == "args":
                    called = callee(function)
                    first = parent.args[0]
                    if called == "pad" and not _contains(first, node):
                        return "padding"
                    if isinstance(function, ast.Name) and called in _REDUCTIONS:
                        continue  # Python's own, of numbers
                    if called in _REDUCTIONS and not _contains(first, node):
                        return "axis"
                    if called in _REDUCTIONS and _is_method(function):
                        return "axis"
                    of_value = called in _AFTER and not _is_method(function)
                    if called in _MAKERS and not (of_value and _contains(first, node)):
                        return "shape"
                case ast.Assign(targets=[target], value=value):
                    return "index" if _holder(target, value, node) in self._indices else "value"
                case ast.stmt():
                    return "value"
        return "value"


_AFTER = frozenset({"broadcast_to", "reshape"})  # np.reshape(x, shape): x is a value


def node_of(label: str) -> ast.expr:
    """A name of a scope as it is written."""
    if label.startswith("self."):
        return ast.Attribute(ast.Name("self", ast.Load()), label[5:], ast.Load())
    return ast.Name(label, ast.Load())


def callee(node: ast.AST) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _is_method(node: ast.AST) -> bool:
    """Whether ``x.sum`` and not ``np.sum``."""
    return isinstance(node, ast.Attribute) and not (
        isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")
    )


def _contains(tree: ast.AST, node: ast.AST) -> bool:
    return any(inner is node for inner in ast.walk(tree))


def _index_names(function: ast.FunctionDef) -> frozenset[str]:
    """Names that are places: they stand in the bounds of an index, whatever else they do, or
    nowhere but in an index and in what a loop runs over."""
    bounds: set[str] = set()
    places: list[ast.Name] = []
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=index):
                places += _names_in(index)
                for part in ast.walk(index):
                    bounds |= (
                        {n.id for n in _names_in(part)} if isinstance(part, ast.Slice) else set()
                    )
            case ast.Call(func=ast.Name(id="range"), args=arguments):
                places += [n for argument in arguments for n in _names_in(argument)]
    inside = {id(n) for n in places}
    read = [
        n for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    ]
    elsewhere = {n.id for n in read if id(n) not in inside}
    return frozenset(bounds | ({n.id for n in places} - elsewhere))


def _names_in(tree: ast.AST) -> list[ast.Name]:
    """The names in a place; what is compared there chooses entries and is none."""
    if isinstance(tree, ast.Compare):
        return []
    own = [tree] if isinstance(tree, ast.Name) else []
    return own + [n for child in ast.iter_child_nodes(tree) for n in _names_in(child)]


def _holder(target: ast.expr, value: ast.expr, node: ast.AST) -> str:
    """The name that is given a value of which a node is a part; "" where it is none."""
    match target, value:
        case ast.Name(id=name), _:
            return name
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            pairs = zip(targets, values, strict=True)
            return next((_holder(t, v, node) for t, v in pairs if _contains(v, node)), "")
    return ""


def _unread(function: ast.FunctionDef) -> frozenset[str]:
    """The names that are given a value and never read: likely they were meant to be."""
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    return frozenset(n.id for n in names if isinstance(n.ctx, ast.Store)) - read


def _read_several_times(statement: ast.stmt) -> list[list[ast.expr]]:
    """The names and the entries of dictionaries that a statement reads more than once."""
    found: dict[str, list[ast.expr]] = {}
    left: list[ast.AST] = [statement]
    while left:
        node = left.pop()
        match node:
            case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str()), ctx=ast.Load()):
                found.setdefault(ast.dump(node), []).append(node)
                continue
            case (
                ast.Name(ctx=ast.Load()) | ast.Attribute(value=ast.Name(id="self"), ctx=ast.Load())
            ):
                found.setdefault(ast.dump(node), []).append(node)
                continue
            case ast.Lambda() | ast.FunctionDef() | ast.JoinedStr():
                continue
        left += ast.iter_child_nodes(node)
    return [places for places in found.values() if len(places) > 1]


def _entries(function: ast.FunctionDef) -> tuple[ast.Subscript, ...]:
    """What the function reads out of dicts, each once: ``cache["x"]``."""
    found: dict[str, ast.Subscript] = {}
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str()), ctx=ast.Load()):
                found.setdefault(ast.dump(node), node)
    return tuple(found.values())[:_MOST_ENTRIES]


def _keys(function: ast.FunctionDef) -> tuple[str, ...]:
    """The texts that stand alone in an index: keys of dicts."""
    found: dict[str, None] = {}
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                found.setdefault(key)
    return tuple(found)


def _products(function: ast.FunctionDef) -> dict[str, frozenset[str]]:
    """Names that are given a product, and its factors that are names."""
    return {
        _label(node.targets[0]): frozenset(_factors(node.value))
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and len(node.targets) == 1
    }


def _factors(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            for side in (left, right):
                yield from ([_label(side)] if _label(side) else _factors(side))


def gradients_in(function: ast.FunctionDef, upstream: frozenset[str]) -> frozenset[str]:
    """The names of a function that are made of those given, by whatever way."""
    known, size = set(upstream), -1
    while size < len(known):
        size = len(known)
        for node in ast.walk(function):
            targets_of: list[ast.expr]
            match node:
                case ast.Assign(targets=targets, value=value):
                    targets_of = targets
                case ast.AugAssign(target=target, value=value):
                    targets_of = [target]
                case _:
                    continue
            if known & {_label(n) for n in ast.walk(value)}:
                for bound in targets_of:
                    known |= _bound(bound)
    return frozenset(known)


def _label(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"self.{name}"
    return ""


def _bound(target: ast.expr) -> set[str]:
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return {name for element in elements for name in _bound(element)}
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            return _bound(inner)
    name = _label(target)
    return {name} if name else set()
