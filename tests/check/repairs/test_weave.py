"""A woven text is the function with that change alone whose number is chosen, and else as it was.

`ast.parse` of what `ast.unparse` writes tells what the text has to be.
"""

from __future__ import annotations

import ast
import fractions
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.trial import CHOICE
from gradtool.check.repairs.weave import woven

EVERYTHING = '''
def everything(a, /, b: int = -1, *rest, c=(1,), **more):
    """A text
    of two lines."""
    global G
    import numpy as np
    x: float = 1e400 + 2j - -3.0 ** -a ** b
    (y): int = 3
    z = w = (a + b) * (a - b) @ -(~a ** 2) // b % 7 / (a / b)
    z, *v = a, *rest
    z -= (a - (b - c)) - (a, )[0] - (3).real + a.T[:, None, 1:2, ::a][..., b][(a, b)]
    t = not (a < b <= c != 2) and (a or b and c) or (a and b) and a is not b not in c
    t = (1 if a else 2) if (b if a else c) else (lambda q, *r: (q, r)), lambda: 0
    s = [i for i in (a if b else c) if i if not i], {i: j for i, (j, k) in a}, {*a, b}, {}
    s = f(*a, b, c=1, **more)(g(i for i in a))["k"] << 2 >> 1 | a & b ^ c
    s = {**a, "b": b}, (n := 5), f"{a!r:>{b}} {{}}", b"q", "\\n", None, True, ..., (), []
    if a:
        pass
    elif b:
        return
    else:
        return a, b
    for i, j in zip(a, b):
        continue
    else:
        del a[i], b
    while True:
        break
    with open(a) as (f, g), b:
        assert a, "text"
    try:
        raise ValueError(a) from None
    except (A, B) as e:
        raise
    except C:
        yield a
    else:
        r = yield
    finally:
        yield from a
    match a:
        case {"k": [1, *_]} if b:
            pass
        case _:
            nonlocal_ = 1

    @decorated(a)
    def inner(q: int) -> int:
        """Another
        text."""
        class Own:
            """One more
            text."""
        return q

    async def other():
        async with a:
            return [i async for i in await b]
'''


def functions_of(text: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]


def bare(function: ast.FunctionDef) -> ast.FunctionDef:
    """A copy without what a woven text leaves out."""
    (copy,) = ast.parse(ast.unparse(function)).body
    assert isinstance(copy, ast.FunctionDef)
    copy.decorator_list, copy.returns = [], None
    return copy


def dumped(text: str) -> str:
    return ast.dump(ast.parse(text))


@pytest.mark.parametrize("module", [fractions, statistics], ids=lambda m: m.__name__)
def test_functions_of_the_standard_library_are_written_as_they_are(module: ModuleType) -> None:
    for function in functions_of(Path(str(module.__file__)).read_text(encoding="utf-8")):
        assert dumped(woven(function, [])) == dumped(ast.unparse(bare(function))), function.name


def test_everything_is_written_as_it_is() -> None:
    for function in functions_of(EVERYTHING):
        assert dumped(woven(function, [])) == dumped(ast.unparse(bare(function)))


class _Chosen(ast.NodeTransformer):
    """Decides what depends on the choice, as Python would."""

    def __init__(self, number: int) -> None:
        self.names = {CHOICE: number}

    def _decided(self, test: ast.expr) -> bool | None:
        if {n.id for n in ast.walk(test) if isinstance(n, ast.Name)} != {CHOICE}:
            return None
        return bool(eval(ast.unparse(test), self.names))

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        decided = self._decided(node.test)
        if decided is None:
            return self.generic_visit(node)
        return self.visit(node.body if decided else node.orelse)

    def visit_If(self, node: ast.If) -> Any:
        decided = self._decided(node.test)
        if decided is None:
            return self.generic_visit(node)
        made = [self.visit(each) for each in (node.body if decided else node.orelse)]
        return [one for each in made for one in (each if isinstance(each, list) else [each])]


class _Put(ast.NodeTransformer):
    """Puts another node in the place of one."""

    def __init__(self, fix: Fix) -> None:
        self.fix = fix

    def visit(self, node: ast.AST) -> Any:
        if node is self.fix.node:
            new = self.fix.new
            return list(new) if isinstance(new, tuple) else new
        return self.generic_visit(node)


NEW: list[Callable[[ast.expr], ast.expr]] = [
    lambda node: ast.BinOp(node, ast.Pow(), node),
    lambda node: ast.BinOp(ast.UnaryOp(ast.USub(), ast.Constant(2.0)), ast.Pow(), node),
    lambda node: ast.UnaryOp(ast.USub(), node),
    lambda node: ast.Attribute(node, "T", ast.Load()),
    lambda node: ast.Constant(0.5),
]
TEXT = """
def backward(dY, cache):
    X, W, (mask, n) = cache
    for k in range(2):
        dY = dY * mask[:, k] if n > 1 else -dY
        dW = X.T @ dY / n ** 2
    while n: n -= 1
    return dY @ W.T, dW
"""


def test_a_number_chooses_one_change() -> None:
    def anew() -> tuple[ast.FunctionDef, list[Fix]]:
        (function,) = functions_of(TEXT)
        fixes = []
        for node in list(ast.walk(function)):
            if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", None), ast.Load):
                if not isinstance(node, ast.Tuple):
                    fixes += [Fix(node, new(node), "", 1.0, "") for new in NEW]
            elif isinstance(node, ast.AugAssign | ast.Assign):
                swapped = ast.Assign(
                    [ast.Name("n", ast.Store())], ast.Name("k", ast.Load()), lineno=1
                )
                fixes += [
                    Fix(node, (ast.Pass(),), "", 1.0, ""),
                    Fix(node, (swapped, node), "", 1.0, ""),
                ]
        return function, fixes

    function, fixes = anew()
    text = woven(function, list(enumerate(fixes)))
    assert len(fixes) > 60
    for number in range(-1, len(fixes)):
        chosen = ast.unparse(ast.fix_missing_locations(_Chosen(number).visit(ast.parse(text))))
        wanted, others = anew()
        if number >= 0:
            _Put(others[number]).visit(wanted)
        wanted = ast.fix_missing_locations(wanted)
        assert dumped(chosen) == dumped(ast.unparse(wanted)), number


def test_a_negative_number_is_raised_to_a_power_as_one() -> None:
    """`ast.unparse` writes it without brackets: -2 ** 2 is -4."""
    (function,) = functions_of("def f(n):\n    return n")
    (returned,) = function.body
    assert isinstance(returned, ast.Return)
    assert returned.value is not None
    power = ast.BinOp(ast.Constant(-2.0), ast.Pow(), ast.Constant(2))
    names: dict[str, Any] = {CHOICE: 0}
    exec(woven(function, [(0, Fix(returned.value, power, "", 1.0, ""))]), names)
    assert names["f"](7) == 4
    names[CHOICE] = -1
    assert names["f"](7) == 7
