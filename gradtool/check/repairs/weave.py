"""All changes of a function in one text, of which a number chooses one.

Compiling a function takes longer than running it, so it is compiled once: where a node may be
another one, the number decides which of them is evaluated.

The text is written here, not by `ast.unparse`, which took a third of all the time of a diagnosis:
changes of one node consist of the same parts, and what is written of a part is kept.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import TypeAlias

from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.trial import CHOICE

Numbered = tuple[int, Fix]
Part: TypeAlias = tuple[str, int]
"""Text, and how tightly it binds: it stands in brackets where something tighter is expected."""

_INDENT = "    "
_TEST, _OR, _AND, _NOT, _COMPARE, _BAR, _XOR, _BITS, _SHIFT, _SUM, _TERM, _SIGN, _POWER, _ATOM = (
    range(14)
)
_BINARY: Mapping[type[ast.operator], Part] = {
    ast.BitOr: ("|", _BAR),
    ast.BitXor: ("^", _XOR),
    ast.BitAnd: ("&", _BITS),
    ast.LShift: ("<<", _SHIFT),
    ast.RShift: (">>", _SHIFT),
    ast.Add: ("+", _SUM),
    ast.Sub: ("-", _SUM),
    ast.Mult: ("*", _TERM),
    ast.MatMult: ("@", _TERM),
    ast.Div: ("/", _TERM),
    ast.FloorDiv: ("//", _TERM),
    ast.Mod: ("%", _TERM),
    ast.Pow: ("**", _POWER),
}
_UNARY: Mapping[type[ast.unaryop], Part] = {
    ast.Not: ("not ", _NOT),
    ast.USub: ("-", _SIGN),
    ast.UAdd: ("+", _SIGN),
    ast.Invert: ("~", _SIGN),
}
_COMPARED: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}


def woven(function: ast.FunctionDef, fixes: Sequence[Numbered]) -> str:
    """The text of a function with all the fixes, each behind its number; these ascend.

    Decorators and the annotation of its result are left out. Where a number stands for a fix in
    code that runs at another time (``async``), or in a pattern of a ``match``, nothing is changed.
    """
    at: dict[int, list[Numbered]] = {}
    for number, fix in fixes:
        at.setdefault(id(fix.node), []).append((number, fix))
    return "\n".join(_Writer(at).defined(function, 0, outermost=True))


class _Writer:
    """Writes nodes: those that have fixes `at` them as choices.

    A node of the function may stand in many fixes, where it is no choice: `plain` writes those.
    """

    def __init__(self, at: Mapping[int, list[Numbered]]) -> None:
        self.at = at
        self.plain = _Writer({}) if at else self
        self.known: dict[int, Part] = {}  # by the identity of a node, which the caller holds

    def text(self, node: ast.expr, level: int = _TEST) -> str:
        """An expression where one is expected that binds so tightly."""
        text, own = self.part(node)
        return text if own >= level else f"({text})"

    def part(self, node: ast.expr) -> Part:
        known = self.known.get(id(node))
        if known is None:
            known = self.alone(node)
            if numbered := self.at.get(id(node)):
                numbers = [number for number, _ in numbered]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                known = _either(self.among(numbered), _between(numbers[0], numbers[-1]), known)
            self.known[id(node)] = known
        return known

    def among(self, numbered: Sequence[Numbered]) -> Part:
        if len(numbered) == 1:
            new = numbered[0][1].new
            assert isinstance(new, ast.expr)
            return self.plain.part(new)
        middle = len(numbered) // 2
        below, above = numbered[:middle], numbered[middle:]
        return _either(self.among(below), f"{CHOICE} < {above[0][0]}", self.among(above))

    def alone(self, node: ast.expr) -> Part:
        """An expression that is no choice itself; what it is made of may be."""
        match node:
            case ast.Name(id=name):
                return name, _ATOM
            case ast.Constant():
                return _constant(node)
            case ast.Attribute(value=value, attr=name):
                number = isinstance(value, ast.Constant)
                owner = f"({self.text(value)})" if number else self.text(value, _ATOM)
                return f"{owner}.{name}", _ATOM
            case ast.Subscript(value=value, slice=index):
                return f"{self.text(value, _ATOM)}[{self.index(index)}]", _ATOM
            case ast.Call(func=function, args=arguments, keywords=keywords):
                given = [*map(self.text, arguments), *map(self.keyword, keywords)]
                return f"{self.text(function, _ATOM)}({', '.join(given)})", _ATOM
            case ast.BinOp(left=left, op=op, right=right):
                word, level = _BINARY[type(op)]
                power = level == _POWER  # a ** b ** c is a ** (b ** c)
                first = self.text(left, level + power)
                second = self.text(right, level + 1 - power)
                return f"{first} {word} {second}", level
            case ast.UnaryOp(op=op, operand=operand):
                word, level = _UNARY[type(op)]
                return f"{word}{self.text(operand, level)}", level
            case ast.Compare(left=left, ops=ops, comparators=others):
                found = self.text(left, _COMPARE + 1)
                for sign, other in zip(map(type, ops), others, strict=True):
                    found += f" {_COMPARED[sign]} {self.text(other, _COMPARE + 1)}"
                return found, _COMPARE
            case ast.BoolOp(op=op, values=values):
                word, level = ("and", _AND) if isinstance(op, ast.And) else ("or", _OR)
                return f" {word} ".join(self.text(value, level + 1) for value in values), level
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return _either(self.part(body), self.text(test, _OR), self.part(orelse))
            case ast.Tuple(elts=parts):
                comma = "," if len(parts) == 1 else ""
                return f"({', '.join(map(self.text, parts))}{comma})", _ATOM
            case ast.List(elts=parts):
                return f"[{', '.join(map(self.text, parts))}]", _ATOM
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    f"{self.text(key)}: {self.text(value)}"
                    if key
                    else f"**{self.text(value, _BAR)}"
                    for key, value in zip(keys, values, strict=True)
                ]
                return f"{{{', '.join(pairs)}}}", _ATOM
            case ast.Set(elts=parts):
                return f"{{{', '.join(map(self.text, parts))}}}", _ATOM
            case ast.Starred(value=value):
                return f"*{self.text(value, _BAR)}", _ATOM
            case ast.NamedExpr(target=target, value=value):
                return f"({self.text(target)} := {self.text(value)})", _ATOM
            case ast.Yield(value=ast.expr() as value):
                return f"(yield {self.text(value)})", _ATOM
            case ast.YieldFrom(value=value):
                return f"(yield from {self.text(value)})", _ATOM
            case ast.Lambda(args=parameters, body=body):
                return f"lambda {ast.unparse(parameters)}: {self.text(body)}", _TEST
            case ast.ListComp(elt=each, generators=generators):
                return f"[{self.text(each)}{self.over(generators)}]", _ATOM
            case ast.GeneratorExp(elt=each, generators=generators):
                return f"({self.text(each)}{self.over(generators)})", _ATOM
            case ast.SetComp(elt=each, generators=generators):
                return f"{{{self.text(each)}{self.over(generators)}}}", _ATOM
            case ast.DictComp(key=key, value=value, generators=generators):
                return f"{{{self.text(key)}: {self.text(value)}{self.over(generators)}}}", _ATOM
        return f"({ast.unparse(node)})", _ATOM

    def keyword(self, node: ast.keyword) -> str:
        return f"{node.arg}={self.text(node.value)}" if node.arg else f"**{self.text(node.value)}"

    def index(self, node: ast.expr) -> str:
        match node:
            case ast.Tuple(elts=[_, *_] as parts) if id(node) not in self.at:
                return ", ".join(map(self.index, parts)) + "," * (len(parts) == 1)
            case ast.Slice(lower=lower, upper=upper, step=step):
                ends = [self.text(end) if end else "" for end in (lower, upper)]
                return ":".join([*ends, self.text(step)] if step else ends)
        return self.text(node)

    def over(self, generators: Iterable[ast.comprehension]) -> str:
        found = ""
        for one in generators:
            word = "async for" if one.is_async else "for"
            found += f" {word} {self.text(one.target)} in {self.text(one.iter, _OR)}"
            found += "".join(f" if {self.text(test, _OR)}" for test in one.ifs)
        return found

    def block(self, body: Iterable[ast.stmt], depth: int) -> Iterator[str]:
        for node in body:
            # All of its fixes at one depth: nothing can be indented a hundred times.
            numbered = self.at.get(id(node), ())
            for place, (number, fix) in enumerate(reversed(numbered)):
                assert isinstance(fix.new, tuple)
                word = "elif" if place else "if"
                yield f"{_INDENT * depth}{word} {_between(number, number)}:"
                yield from self.plain.block(fix.new, depth + 1)
            if numbered:
                yield f"{_INDENT * depth}else:"
            yield from self.statement(node, depth + bool(numbered))

    def statement(self, node: ast.stmt, depth: int) -> Iterator[str]:
        """A statement that is no choice itself."""
        indent = _INDENT * depth
        match node:
            case ast.Assign(targets=targets, value=value):
                yield indent + " = ".join(map(self.text, (*targets, value)))
            case ast.AugAssign(target=target, op=op, value=value):
                yield f"{indent}{self.text(target)} {_BINARY[type(op)][0]}= {self.text(value)}"
            case ast.Return(value=ast.expr() as value):
                yield f"{indent}return {self.text(value)}"
            case ast.Expr(value=value):
                yield indent + self.text(value)
            case ast.AnnAssign(target=target, annotation=kind, value=ast.expr() as value):
                name = self.text(target) if node.simple else f"({self.text(target)})"
                yield f"{indent}{name}: {self.text(kind)} = {self.text(value)}"
            case ast.Delete(targets=targets):
                yield f"{indent}del {', '.join(map(self.text, targets))}"
            case ast.Assert(test=test, msg=message):
                said = f", {self.text(message)}" if message else ""
                yield f"{indent}assert {self.text(test)}{said}"
            case ast.Raise(exc=ast.expr() as error, cause=cause):
                by = f" from {self.text(cause)}" if cause else ""
                yield f"{indent}raise {self.text(error)}{by}"
            case ast.If(test=test, body=body, orelse=orelse):
                yield from self.headed(f"if {self.text(test)}", body, depth)
                yield from self.headed("else", orelse, depth)
            case ast.For(target=target, iter=each, body=body, orelse=orelse):
                head = f"for {self.text(target)} in {self.text(each)}"
                yield from self.headed(head, body, depth)
                yield from self.headed("else", orelse, depth)
            case ast.While(test=test, body=body, orelse=orelse):
                yield from self.headed(f"while {self.text(test)}", body, depth)
                yield from self.headed("else", orelse, depth)
            case ast.With(items=items, body=body):
                yield from self.headed(f"with {', '.join(map(self.item, items))}", body, depth)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=last):
                yield from self.headed("try", body, depth)
                for handler in handlers:
                    caught = f" {self.text(handler.type)}" if handler.type else ""
                    held = f" as {handler.name}" if handler.name else ""
                    yield from self.headed(f"except{caught}{held}", handler.body, depth)
                yield from self.headed("else", orelse, depth)
                yield from self.headed("finally", last, depth)
            case ast.Match(subject=subject, cases=cases):
                yield f"{indent}match {self.text(subject)}:"
                for one in cases:
                    guard = f" if {self.text(one.guard)}" if one.guard else ""
                    head = f"case {ast.unparse(one.pattern)}{guard}"
                    yield from self.headed(head, one.body, depth + 1)
            case ast.FunctionDef():
                yield from self.defined(node, depth)
            case _:
                yield _unparsed(node, depth)

    def headed(self, head: str, body: Sequence[ast.stmt], depth: int) -> Iterator[str]:
        if body:
            yield f"{_INDENT * depth}{head}:"
            yield from self.block(body, depth + 1)

    def item(self, node: ast.withitem) -> str:
        name = f" as {self.text(node.optional_vars)}" if node.optional_vars else ""
        return self.text(node.context_expr) + name

    def defined(self, node: ast.FunctionDef, depth: int, outermost: bool = False) -> Iterator[str]:
        result = ""
        if not outermost:
            for decorator in node.decorator_list:
                yield f"{_INDENT * depth}@{self.text(decorator)}"
            result = f" -> {self.text(node.returns)}" if node.returns else ""
        kinds = ", ".join(map(ast.unparse, getattr(node, "type_params", ())))
        kinds = f"[{kinds}]" if kinds else ""
        head = f"def {node.name}{kinds}({ast.unparse(node.args)}){result}"
        yield from self.headed(head, node.body, depth)


def _either(this: Part, test: str, other: Part) -> Part:
    (first, one), (second, two) = this, other
    first = first if one > _TEST else f"({first})"
    return f"{first} if {test} else {second if two >= _TEST else f'({second})'}", _TEST


def _between(low: int, high: int) -> str:
    return f"{CHOICE} == {low}" if low == high else f"{low} <= {CHOICE} <= {high}"


def _constant(node: ast.Constant) -> Part:
    value = node.value
    if type(value) is float and not isfinite(value):
        return ast.unparse(node), _SIGN  # 1e309
    text = "..." if value is ... else repr(value)
    return text, _SIGN if text.startswith("-") else _ATOM


def _unparsed(node: ast.stmt, depth: int) -> str:
    """A statement in which nothing is a choice, indented as its strings allow."""
    for _ in range(depth):
        node = ast.If(ast.Constant(True), [node], [])
    return "\n".join(ast.unparse(node).split("\n")[depth:])
