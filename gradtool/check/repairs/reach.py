"""Which functions of a file take part, and what they are given."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from gradtool.check.diagnose_where import Named, called_so, nodes_of

_DEPTH = 2


def reached(start: Iterable[str], functions: Mapping[str, Named]) -> list[str]:
    """Functions, and those of the same file that they call."""
    found = dict.fromkeys(start)
    for _ in range(_DEPTH):
        for name in list(found):
            for node in ast.walk(functions[name].node):
                match node:
                    case ast.Call(func=ast.Name(id=called)) if called in functions:
                        found.setdefault(called)
                    case ast.Call(func=ast.Attribute(attr=called)):
                        found |= dict.fromkeys(called_so(called, functions, every=True))
    return list(found)


def upstream_of(texts: Iterable[str | None], functions: Mapping[str, Named]) -> frozenset[str]:
    """The parameters that are given an upstream gradient: a name in a snippet like dY."""
    found: set[str] = set()
    for text in texts:
        for node in nodes_of(text):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments):
                    for key in called_so(name, functions, every=False):
                        known = functions[key].node.args
                        own = [a.arg for a in (*known.posonlyargs, *known.args) if a.arg != "self"]
                        for argument, parameter in zip(arguments, own, strict=False):
                            if isinstance(argument, ast.Name) and argument.id[:1] == "d":
                                found.add(parameter)
    return frozenset(found)


def gradients_by_name(functions: Mapping[str, Named]) -> frozenset[str]:
    """What is called a gradient, as ``dscores`` beside ``scores``: a loss is given none."""
    known = {
        getattr(node, field)
        for function in functions.values()
        for node in ast.walk(function.node)
        for kind, field in ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.arg, "arg"))
        if isinstance(node, kind)
    }
    found = {name for name in known if name[:1] == "d" and name[1:].lstrip("_") in known}
    return frozenset(found | {f"self.{name}" for name in found})


def helpers_of(functions: Mapping[str, Named]) -> tuple[str, ...]:
    """Functions of one argument that are no methods."""
    found = []
    for name, function in functions.items():
        arguments = [a.arg for a in function.node.args.args]
        plain = function.outer is None and name.isidentifier()
        if plain and len(arguments) == 1 and arguments != ["self"]:
            found.append(name)
    return tuple(found)
