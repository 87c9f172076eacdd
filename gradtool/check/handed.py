"""The functions of a file, with each value that they compute handed to whoever looks.

What is moved often has no name: ``f(x + 1e-30j * e)``.  Numbers that take note of it tell, but
much code cannot be run with such numbers, or makes plain ones of them.  Here the numbers are those
of always; the text of a function is compiled once more with a call around its expressions, and the
function goes back to its own code afterwards.  That is found of functions and classes by name, and
of what stands within them.
"""

from __future__ import annotations

import ast
import builtins
import copy
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType, FunctionType

from gradtool.check.load import Loaded

_HOOK = "__handed__"
_DEPTH = 3  # of functions in the closure of others, as behind a decorator
_Key = tuple[str, int, str]
Line = tuple[str, int]
"""A file, or a cell of it, and a line."""


@contextmanager
def handing(
    loaded: Loaded,
    look: Callable[[object, FrameType], None],
    called: Collection[Line] | None = None,
) -> Iterator[frozenset[int]]:
    """While it lasts, `look` gets each value, with the frame of the function that computed it.

    `called` are where functions begin that will be called, as far as that is known: of the others
    nothing is compiled.  What it gives are the identities of the codes of which that is so.
    """

    def hand(value: object) -> object:
        look(value, sys._getframe(1))
        return value

    before: list[tuple[FunctionType, CodeType]] = []
    known = builtins.__dict__
    every: frozenset[int] = frozenset()
    try:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            codes, every = _codes(loaded, called)
            for function in _functions(loaded):
                old = function.__code__
                new = codes.get((old.co_filename, old.co_firstlineno, old.co_name))
                if new is not None and new.co_freevars == old.co_freevars:
                    before.append((function, old))
                    function.__code__ = new
        known[_HOOK] = hand
        yield every
    finally:
        for function, code in before:
            function.__code__ = code
        known.pop(_HOOK, None)


def _codes(
    loaded: Loaded, called: Collection[Line] | None
) -> tuple[dict[_Key, CodeType], frozenset[int]]:
    """The codes of functions by file, line and name, but for those that share these; and the
    identities of all.
    """
    found: dict[_Key, CodeType] = {}
    every: list[CodeType] = []
    twice: set[_Key] = set()
    for cell, tree in loaded.cells:  # what runs: its text may be another one
        lines = None if called is None else [line for place, line in called if place == cell.place]
        body = [copy.deepcopy(one) for one in tree.body if lines is None or _has_one(one, lines)]
        changed = _Handing().visit(ast.Module(body, []))
        codes = [compile(changed, cell.place, "exec", dont_inherit=True)]
        for code in codes:  # it grows on the way
            key = code.co_filename, code.co_firstlineno, code.co_name
            twice |= {key} & found.keys()
            found[key] = code
            codes += [one for one in code.co_consts if isinstance(one, CodeType)]
        every += codes
    kept = {key: code for key, code in found.items() if key not in twice}
    return kept, frozenset(map(id, every))


def _has_one(statement: ast.stmt, lines: Iterable[int]) -> bool:
    """Whether one of these lines is of a statement, or of what decorates it."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(one.lineno for one in decorators)])
    return any(first <= line <= (statement.end_lineno or first) for line in lines)


def _functions(loaded: Loaded) -> Iterator[FunctionType]:
    """Those of the file that can be found by their names."""
    places = {cell.place for cell, _ in loaded.cells}
    seen: set[int] = set()
    level: list[object] = list(loaded.module.__dict__.values())
    for _ in range(_DEPTH + 1):
        below: list[object] = []
        for one in level:
            kind = type(one)
            if id(one) in seen:
                continue
            seen.add(id(one))
            if kind is FunctionType:
                assert isinstance(one, FunctionType)
                if type(one.__code__.co_filename) is str and one.__code__.co_filename in places:
                    yield one
                for cell in one.__closure__ or ():
                    with suppress(ValueError):  # it is empty
                        below.append(cell.cell_contents)
            elif kind is staticmethod or kind is classmethod:
                below.append(one.__func__)  # type: ignore[attr-defined]
            elif kind is property:
                below.append(one.fget)  # type: ignore[attr-defined]
            elif kind is type:
                below += type.__getattribute__(one, "__dict__").values()
        level = below


class _Handing(ast.NodeTransformer):
    """Puts a call around what may be an array: the values of operators and calls, and operands."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        # What stands in no function is not run again.
        for statement in node.body:
            self._within(statement)
        return node

    def _within(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            self.generic_visit(node)
        else:
            for child in ast.iter_child_nodes(node):
                self._within(child)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        node.left, node.right = self._operand(node.left), self._operand(node.right)
        return _call(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _call(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute):  # the array of a method, not the method
            node.func.value = self._operand(node.func.value)
        else:
            node.func = self.visit(node.func)
        node.args = [self._operand(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self._operand(keyword.value)
        return _call(node)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        # A pattern is no expression, though it looks like one.
        node.guard = self.visit(node.guard) if node.guard is not None else None
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            node.value = self._operand(node.value)
        else:
            self.generic_visit(node)
        return node

    def _operand(self, node: ast.expr) -> ast.expr:
        visited: ast.expr = self.visit(node)
        plain = isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
        return _call(visited) if plain else visited


def _call(node: ast.expr) -> ast.expr:
    hook = ast.copy_location(ast.Name(_HOOK, ast.Load()), node)
    return ast.copy_location(ast.Call(hook, [node], []), node)
