"""What a file offers: its functions and classes, read from its text, not from its objects.

Made in the worker, where parsing a hostile file can hurt nobody, and sent as JSON; the judge
believes nothing of it but names.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from gradtool.check.cells import Cell
from gradtool.check.closures import (
    UNNAMED,
    Callers,
    callers_in,
    elements_of,
    entries_of,
    returned_functions,
)
from gradtool.check.dataclass_fields import init_of, is_dataclass
from gradtool.check.defined import Definition, definitions_in, made_by_calls
from gradtool.check.nodes import nodes_of, nodes_of_file
from gradtool.check.writes import written
from gradtool.records import Struct, asdict, field, replace

MAX_ENTRIES = 3000


class Function(Struct, frozen=True):
    """A function or method.

    Attributes:
        params: the names of its parameters without `self`; `required` counts those at the front
            that have no default.
        returns: what it returns, longest first: the names of a tuple ("" for what is no name).
        keys: the constant keys of the dictionaries that it fills, by the dictionary's name.
        sets: attributes of `self` that it assigns or fills.
        end: its last line.
        reads: the constant keys that it reads from a name, by that name.
        decorators: dotted names of what decorates it, or of what those are called with.
        defaults: texts that parameters are by default, by the parameter's name.
        named: the last of the parameters, which can only be given by name.
        owed: those of them that have no default.
        first: what it was called first, where it has a further name: ``relu_grad = relu_backward``;
            of one of `inner` its name, if it has one.
        bundle: the names of what stands in the one thing that it returns: the keys of a
            dictionary, the arguments of a call such as ``Result(loss, dx)``.
        flags: the parameters that are True or False by default.
        pairs: the parameters that are two numbers: by default, or taken apart; a constructor's
            also as attributes, in any method.
        inner: the functions of its own that it returns; in `returns` such a one is ``name()``, in
            a dictionary by its key.
        rest: the name of the parameter that takes all further arguments: ``*cache``.
        spread: the place of the only value in the longest of `returns` that is several:
            ``return dx, *rest``; -1 without one.
    """

    name: str
    place: str
    line: int
    params: tuple[str, ...]
    required: int
    returns: tuple[tuple[str, ...], ...]
    keys: Mapping[str, tuple[str, ...]]
    sets: tuple[str, ...]
    end: int = 0
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decorators: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()
    first: str = ""
    bundle: tuple[str, ...] = ()
    inner: tuple[Function, ...] = ()
    rest: str = ""
    spread: int = -1

    @property
    def needed(self) -> tuple[str, ...]:
        """The parameters that a call has to give."""
        return self.params[: self.required] + self.owed

    @property
    def said(self) -> Hashable:
        """All of it but where it stands."""
        maps = (self.keys, self.reads, self.defaults)
        return (
            *(self.name, self.params, self.required, self.returns, self.sets, self.decorators),
            *(self.flags, self.pairs, self.named, self.owed, self.bundle, self.rest, self.spread),
            *(tuple(one.items()) for one in maps),
            *(one.said for one in self.inner),
        )


class Class(Struct, frozen=True):
    """A class; `bases` are dotted names, such as ``torch.autograd.Function``."""

    name: str
    place: str
    line: int
    bases: tuple[str, ...]
    methods: tuple[Function, ...]
    end: int = 0
    first: str = ""

    def method(self, name: str) -> Function | None:
        return next((m for m in self.methods if m.name == name), None)

    @property
    def said(self) -> Hashable:
        """All of it but where it stands."""
        return self.name, self.bases, tuple(method.said for method in self.methods)


class Inventory(Struct, frozen=True, eq=False):
    """What a file offers; `choices` are the texts that it compares a name with, by the name.

    `made` are names whose value a call gives, which may be a function that no text shows.

    One is equal to itself only, so that what follows from it can be kept.
    """

    functions: tuple[Function, ...] = ()
    classes: tuple[Class, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Where each function and class begins, by name: the file or its cell, and the line."""
        functions = {item.name: (item.place, item.line) for item in self.functions}
        return functions | {item.name: (item.place, item.line) for item in self.classes}

    @property
    def lines(self) -> dict[str, int]:
        """The line in which each function and class begins, by name."""
        return {name: line for name, (_, line) in self.places.items()}


def inventory(cells: Iterable[tuple[Cell, ast.Module]]) -> Inventory:
    """The definitions of a file; of several with one name the last, as in Python."""
    functions: dict[str, Function] = {}
    classes: dict[str, Class] = {}
    choices: dict[str, tuple[str, ...]] = {}
    known: dict[str, Definition] = {}
    made: list[str] = []
    cells = list(cells)
    callers = callers_in(tree for _, tree in cells)
    for cell, tree in cells:
        for name, text in _compared(tree):
            choices[name] = tuple(dict.fromkeys((*choices.get(name, ()), text)))
        for found in definitions_in(tree.body, cell.place, known):
            node, place, first = found.node, found.place, found.first
            if isinstance(node, ast.FunctionDef):
                function = function_of(node, place, False, callers)
                functions[node.name] = replace(function, first=first)
            else:
                classes[node.name] = replace(class_of(node, place, callers), first=first)
        made += [n for n in made_by_calls(tree.body) if n not in known]
    return Inventory(
        tuple(functions.values())[:MAX_ENTRIES],
        tuple(classes.values())[:MAX_ENTRIES],
        choices,
        tuple(dict.fromkeys(made))[:MAX_ENTRIES],
    )


def _compared(tree: ast.Module) -> Iterable[tuple[str, str]]:
    """Every name, or attribute of `self`, with a text that it is compared with."""
    for node in nodes_of_file(tree):
        if not isinstance(node, ast.Compare):  # a pattern takes longer to say no
            continue
        match node:
            case ast.Compare(
                left=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name),
                ops=[ast.Eq()],
                comparators=[ast.Constant(value=str(text))],
            ):
                yield name, text
            case ast.Compare(
                left=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name),
                ops=[ast.In()],
                comparators=[ast.Tuple(elts=elements) | ast.List(elts=elements)],
            ):
                for element in elements:
                    if isinstance(element, ast.Constant) and isinstance(element.value, str):
                        yield name, element.value


def to_json(found: Inventory) -> dict[str, Any]:
    classes = [
        {**asdict(item), "methods": [_function_to(method) for method in item.methods]}
        for item in found.classes
    ]
    functions = [_function_to(item) for item in found.functions]
    told = {"functions": functions, "classes": classes, "choices": found.choices}
    return {**told, "made": found.made}


def _function_to(function: Function) -> dict[str, Any]:
    return {**asdict(function), "inner": [asdict(one) for one in function.inner]}


def from_json(data: object) -> Inventory:
    """The inventory that a worker sent.

    Raises:
        ValueError: it is not one.
    """
    try:
        assert isinstance(data, dict)
        return Inventory(
            tuple(map(_function_from, data["functions"])),
            tuple(
                Class(
                    _name(c["name"]),
                    str(c["place"]),
                    int(c["line"]),
                    tuple(map(str, c["bases"])),
                    tuple(map(_function_from, c["methods"])),
                    int(c["end"]),
                    str(c["first"]),
                )
                for c in data["classes"]
            ),
            {_name(n): tuple(map(str, texts)) for n, texts in data["choices"].items()},
            tuple(map(_name, data["made"])),
        )
    except (AssertionError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("the worker sent no inventory") from error


def _function_from(data: Mapping[str, Any], deep: bool = True) -> Function:
    return Function(
        _name(data["name"]),
        str(data["place"]),
        int(data["line"]),
        tuple(map(_name, data["params"])),
        int(data["required"]),
        tuple(tuple(map(str, names)) for names in data["returns"]),
        {str(k): tuple(map(str, v)) for k, v in data["keys"].items()},
        tuple(map(_name, data["sets"])),
        int(data["end"]),
        {str(k): tuple(map(str, v)) for k, v in data["reads"].items()},
        tuple(map(str, data["decorators"])),
        {str(k): str(v) for k, v in data["defaults"].items()},
        tuple(map(_name, data["flags"])),
        tuple(map(_name, data["pairs"])),
        tuple(map(_name, data["named"])),
        tuple(map(_name, data["owed"])),
        str(data["first"]),
        tuple(map(str, data["bundle"])),
        tuple(_function_from(one, False) for one in data["inner"]) if deep else (),
        _name(data["rest"]) if data["rest"] else "",
        int(data["spread"]),
    )


def _name(value: object) -> str:
    # These names become part of snippets: nothing but an identifier may pass.
    if not isinstance(value, str) or not value.isidentifier() or len(value) > 200:
        raise ValueError("not a name")
    return value


def class_of(node: ast.ClassDef, place: str, callers: Callers | None = None) -> Class:
    defined = [one.node for one in definitions_in(node.body, place, {})]
    functions = [item for item in defined if isinstance(item, ast.FunctionDef)]
    if is_dataclass(node) and all(item.name != "__init__" for item in functions):
        functions.insert(0, init_of(node))
    bodies = [(item, _own_nodes(item)) for item in functions]
    methods = {item.name: _function(item, inside, place, True, callers) for item, inside in bodies}
    if (init := methods.get("__init__")) is not None:
        apart = set(init.pairs).union(*(_taken_apart(inside, ("self",)) for _, inside in bodies))
        methods["__init__"] = replace(init, pairs=tuple(p for p in init.params if p in apart))
    for name, made in _made_by_methods(bodies).items():
        known = methods[name].keys
        keys = {n: tuple(dict.fromkeys((*known.get(n, ()), *more))) for n, more in made.items()}
        methods[name] = replace(methods[name], keys={**known, **keys})
    bases = tuple(filter(None, map(_dotted, node.bases)))
    end = node.end_lineno or node.lineno
    return Class(node.name, place, node.lineno, bases, tuple(methods.values()), end)


def _made_by_methods(
    bodies: Sequence[tuple[ast.FunctionDef, Sequence[ast.AST]]],
) -> dict[str, dict[str, list[str]]]:
    """By method the attributes that it fills with a dictionary of another one, with its keys."""
    returned = {item.name: _returned_keys(inside) for item, inside in bodies}
    found: dict[str, dict[str, list[str]]] = {}
    if not any(returned.values()):
        return found
    for item, inside in bodies:
        for node in inside:
            match node:
                case ast.Assign(
                    targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)],
                    value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=maker)),
                ) if keys := returned.get(maker):
                    found.setdefault(item.name, {}).setdefault(f"self.{name}", []).extend(keys)
    return found


def _returned_keys(nodes: Iterable[ast.AST]) -> list[str]:
    return [
        key
        for node in nodes
        if isinstance(node, ast.Return) and node.value is not None
        for key in _dictionary(node.value) or ()
    ]


def _dictionary(value: ast.expr) -> list[str] | None:
    """The constant keys of a dictionary that is written out; None where none is."""
    entries = entries_of(value)
    return None if entries is None else [key for key, _ in entries]


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            owner = _dotted(value)
            return f"{owner}.{name}" if owner else ""
    return ""


def function_of(
    node: ast.FunctionDef, place: str, method: bool, callers: Callers | None = None
) -> Function:
    return _function(node, _own_nodes(node), place, method, callers)


def _function(
    node: ast.FunctionDef,
    inside: Sequence[ast.AST],
    place: str,
    method: bool,
    callers: Callers | None = None,
    within: Mapping[str, tuple[str, ...]] | None = None,
) -> Function:
    """A function from its definition and its own nodes, which others look through as well.

    `callers` are the classes of the file whose objects can be called; `within` are the keys of the
    dictionaries of the function that it stands in.
    """
    arguments = node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    required = len(names) - len(arguments.defaults)
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if method and not static and names:
        names, required = names[1:], max(0, required - 1)
    named = [a.arg for a in arguments.kwonlyargs]
    names += named
    defaults = dict(_defaults(arguments))
    pair = {
        name for name, value in defaults.items() if isinstance(value, tuple) and len(value) == 2
    }
    pair |= _taken_apart(inside, ())
    values = [n.value for n in inside if isinstance(n, ast.Return) and n.value]
    returns = [_returned(value) for value in values]
    keys = {**(within or {}), **_keys(inside)}
    inner: dict[str, Function] = {}
    found = returned_functions(node, values, callers or {}) if within is None else ()
    for number, places in enumerate(found):
        named_so = list(returns[number])
        for at, one in places.items():
            of_object = one.name == "__call__"
            first = "" if of_object else one.name
            own = first or UNNAMED
            if isinstance(at, str):
                if not at.isidentifier():
                    continue
                own = at
                whole = named_so[0]
                written = whole.startswith("{")
                entries = whole.strip("{}").split(",") if written else keys.get(whole, ())
                named_so = ["{" + ",".join(f"{e}()" if e == at else e for e in entries) + "}"]
            else:
                named_so[at] = f"{own}()"
            made = _function(one, _own_nodes(one), place, of_object, None, keys)
            inner.setdefault(own, replace(made, name=own, first=first))
        returns[number] = tuple(named_so)
    return Function(
        node.name,
        place,
        node.lineno,
        tuple(names),
        required,
        tuple(sorted(dict.fromkeys(returns), key=len, reverse=True)),
        keys,
        tuple(dict.fromkeys(_attributes(inside))),
        node.end_lineno or node.lineno,
        _reads(inside),
        tuple(_decorators(node)),
        {name: value for name, value in defaults.items() if isinstance(value, str)},
        tuple(name for name, value in defaults.items() if isinstance(value, bool)),
        tuple(name for name in names if name in pair),
        tuple(named),
        tuple(n for n, value in zip(named, arguments.kw_defaults, strict=True) if value is None),
        bundle=_bundle(values, keys, inside),
        inner=tuple(inner.values()),
        rest=arguments.vararg.arg if arguments.vararg else "",
        spread=_spread(values),
    )


def _spread(returned: Iterable[ast.expr]) -> int:
    """The place of the only value among the most that are returned which is several: ``*rest``."""
    longest = max((elements_of(value) for value in returned), key=len, default=[])
    places = [k for k, element in enumerate(longest) if isinstance(element, ast.Starred)]
    return places[0] if len(places) == 1 else -1


def _bundle(
    returned: Iterable[ast.expr], keys: Mapping[str, tuple[str, ...]], inside: Iterable[ast.AST]
) -> tuple[str, ...]:
    """What stands in the one thing that is returned, as far as it has names."""
    for value in returned:
        made = [value]
        found: list[str] = []
        if isinstance(value, ast.Name):
            found += keys.get(value.id, ())
            made = _assigned(inside, value.id)
        for one in made:
            match one:
                case ast.Call(args=args, keywords=keywords):
                    found += [arg.id for arg in args if isinstance(arg, ast.Name)]
                    found += [keyword.arg for keyword in keywords if keyword.arg is not None]
                case ast.Dict():
                    found += _dictionary(one) or ()
        if len(set(found)) > 1:
            return tuple(dict.fromkeys(found))
    return ()


def _assigned(nodes: Iterable[ast.AST], name: str) -> list[ast.expr]:
    """What a name gets by assignments."""
    found: list[ast.expr] = []
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found.append(value)
    return found


def _defaults(arguments: ast.arguments) -> Iterable[tuple[str, object]]:
    """Parameters with what they are by default, where that is a constant, or a row of them."""
    named = [*arguments.posonlyargs, *arguments.args]
    given = arguments.defaults
    pairs = [*zip(named[len(named) - len(given) :], given, strict=True)]
    for argument, value in (*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
        match value:
            case ast.Constant(value=constant):
                yield argument.arg, constant
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                yield argument.arg, tuple(e.value for e in elements if isinstance(e, ast.Constant))


def _taken_apart(nodes: Iterable[ast.AST], owner: tuple[str, ...]) -> set[str]:
    """The names whose first and second entry are taken, or the attributes of an owner."""
    found: set[str] = set()
    for node in nodes:
        if not isinstance(node, ast.Subscript | ast.Assign):
            continue
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=0 | 1), ctx=ast.Load()):
                found.add(_name_of(value, owner))
            case ast.Assign(targets=[ast.Tuple(elts=[_, _])], value=value):
                found.add(_name_of(value, owner))
    return found


def _name_of(value: ast.expr, owner: tuple[str, ...]) -> str:
    match value:
        case ast.Name(id=name) if not owner:
            return name
        case ast.Attribute(value=ast.Name(id=own), attr=name) if own in owner:
            return name
    return ""


def _reads(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        if not isinstance(node, ast.Subscript):
            continue
        match node:
            case ast.Subscript(
                value=ast.Name(id=name), slice=ast.Constant(value=str(key)), ctx=ast.Load()
            ):
                found.setdefault(name, []).append(key)
    return {name: tuple(dict.fromkeys(keys)) for name, keys in found.items()}


def _decorators(node: ast.FunctionDef) -> Iterable[str]:
    for decorator in node.decorator_list:
        yield _dotted(decorator)
        if isinstance(decorator, ast.Call):  # functools.partial(jax.custom_vjp, …)
            yield _dotted(decorator.func)
            yield from map(_dotted, decorator.args)


def _own_nodes(node: ast.AST) -> list[ast.AST]:
    """All nodes below one, but for those of functions and classes inside, in the order of text."""
    found: list[ast.AST] = []
    _gather(node, found)
    return found


def _gather(node: ast.AST, found: list[ast.AST]) -> None:
    for name in node._fields:
        value = getattr(node, name, None)
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.AST) and not isinstance(child, _OF_THEIR_OWN):
                found.append(child)
                if child._fields:  # a context or an operator has none
                    _gather(child, found)


_OF_THEIR_OWN = (ast.FunctionDef, ast.Lambda, ast.ClassDef)


def _returned(value: ast.expr) -> tuple[str, ...]:
    return tuple(map(_plain, elements_of(value)))


def _plain(value: ast.expr) -> str:
    match value:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"self.{name}"
        case ast.Constant(value=None) | ast.Tuple(elts=[]) | ast.List(elts=[]) | ast.Dict(keys=[]):
            return "None"  # no gradient of anything
        case ast.Call(func=ast.Attribute(value=inner, attr="copy" | "reshape" | "astype")):
            return _plain(inner)
        case ast.Attribute(value=inner, attr="T"):
            return _plain(inner)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return "[" + ",".join(map(_plain, elements)) + "]"
    keys = _dictionary(value)
    return "" if keys is None else "{" + ",".join(keys) + "}"


# A union of types is made anew each time that it is written.
_WRITING = (ast.Assign, ast.Subscript, ast.Call)
_REACHING = (ast.Attribute, ast.Subscript, ast.Call)


def _keys(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        if not isinstance(node, _WRITING):
            continue
        for part in (part for target in _stored(node) for part in _parts(target)):
            match part:
                case ast.Subscript(
                    value=ast.Name() | ast.Attribute(value=ast.Name(id="self")) as owner,
                    slice=ast.Constant(value=str(text)),
                ):
                    found.setdefault(_plain(owner), []).append(text)
        match node:
            case ast.Assign(
                targets=[ast.Name() | ast.Attribute(value=ast.Name(id="self")) as owner],
                value=value,
            ) if keys := _dictionary(value):
                found.setdefault(_plain(owner), []).extend(keys)
    return {name: tuple(dict.fromkeys(keys)) for name, keys in found.items()}


def _stored(node: ast.AST) -> Iterable[ast.expr]:
    """What a node gives a value: a target, or an array that a call writes into."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        return [node] if isinstance(node.ctx, ast.Store) else []
    return written(node)


def _parts(target: ast.expr) -> Iterable[ast.expr]:
    """What is given a value, and what that is an entry of: ``a["W"][0]``, ``a["W"]``, ``a``."""
    yield target
    while isinstance(target, ast.Subscript):
        target = target.value
        yield target


def _attributes(nodes: Iterable[ast.AST]) -> Iterable[str]:
    for node in nodes:
        if not isinstance(node, _REACHING):
            continue
        for target in _stored(node):
            *_, whole = _parts(target)
            match whole:
                case ast.Attribute(value=ast.Name(id="self"), attr=name):
                    yield name


def bound_names(tree: ast.AST) -> set[str]:
    """Every name that a piece of code gives a meaning; "*" where it imports unknown ones."""
    names: set[str] = set()
    for node in nodes_of(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
    return names
