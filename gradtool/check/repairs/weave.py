"""All changes of a function in one text, of which a number chooses one.

Compiling a function takes longer than running it, so it is compiled once: where a node may be
another one, the number decides which of them is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.trial import CHOICE

Numbered = tuple[int, Fix]


def woven(function: ast.FunctionDef, fixes: Sequence[Numbered]) -> str:
    """The text of a function with all the fixes, each behind its number; these ascend."""
    at: dict[int, list[Numbered]] = {}
    for number, fix in fixes:
        at.setdefault(id(fix.node), []).append((number, fix))
    made = _copied(function, at)
    assert isinstance(made, ast.FunctionDef)
    made.decorator_list = []
    made.returns = None
    return ast.unparse(made)


def _copied(node: ast.AST, at: Mapping[int, list[Numbered]]) -> ast.AST:
    """A copy of a tree in which every node with changes is a choice."""
    new = type(node)()
    if isinstance(node, ast.stmt) and isinstance(new, ast.stmt):
        new.lineno = node.lineno  # as text is made from it
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            copies: list[object] = []
            for child in value:
                if isinstance(child, ast.stmt):
                    copies += _statements(child, at)
                else:
                    copies.append(_copied(child, at) if isinstance(child, ast.AST) else child)
            setattr(new, name, copies)
        else:
            setattr(new, name, _copied(value, at) if isinstance(value, ast.AST) else value)
    numbered = at.get(id(node))
    if numbered is None or not isinstance(new, ast.expr):
        return new
    return _chosen(new, numbered)


def _chosen(otherwise: ast.expr, numbered: Sequence[Numbered]) -> ast.expr:
    test = _between(numbered[0][0], numbered[-1][0])
    numbers = [number for number, _ in numbered]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return ast.IfExp(test, _among(numbered), otherwise)


def _among(numbered: Sequence[Numbered]) -> ast.expr:
    if len(numbered) == 1:
        new = numbered[0][1].new
        assert isinstance(new, ast.expr)
        return new
    middle = len(numbered) // 2
    below, above = numbered[:middle], numbered[middle:]
    test = ast.Compare(ast.Name(CHOICE, ast.Load()), [ast.Lt()], [ast.Constant(above[0][0])])
    return ast.IfExp(test, _among(below), _among(above))


def _statements(node: ast.stmt, at: Mapping[int, list[Numbered]]) -> list[ast.stmt]:
    made = _copied(node, at)
    assert isinstance(made, ast.stmt)
    result: list[ast.stmt] = [made]
    for number, fix in at.get(id(node), ()):
        assert isinstance(fix.new, tuple)
        other = [ast.fix_missing_locations(part) for part in fix.new]
        result = [ast.If(_between(number, number), other, result)]
    return result


def _between(low: int, high: int) -> ast.expr:
    choice = ast.Name(CHOICE, ast.Load())
    if low == high:
        return ast.Compare(choice, [ast.Eq()], [ast.Constant(low)])
    return ast.Compare(ast.Constant(low), [ast.LtE(), ast.LtE()], [choice, ast.Constant(high)])
