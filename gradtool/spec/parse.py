"""Expression text to array trees: Python's own parser, then a whitelist of node types.

Nothing is evaluated.  ``np.``, ``numpy.`` and ``self.`` prefixes are dropped, so that a line
pasted from a notebook reads the same.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from fractions import Fraction

from gradtool.ir import syntax
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Span, Tree
from gradtool.spec.dialects import difference, modules_of

MAX_CHARACTERS = 200_000
MAX_DEPTH = 200

_BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floordiv",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "logical_and",
    ast.BitOr: "logical_or",
}
_UNARY = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "logical_not", ast.Not: "logical_not"}
_COMPARE = {ast.Gt: "gt", ast.GtE: "ge", ast.Lt: "lt", ast.LtE: "le", ast.Eq: "eq", ast.NotEq: "ne"}
_MODULES = {"np", "numpy", "jnp", "torch", "linalg", "special", "scipy", "F", "nn", "functional"}
_PROPERTIES = {"T": "transpose", "mT": "swapaxes", "shape": "shape", "size": "size", "ndim": "ndim"}
# Methods and functions whose shape or axes may be given as separate arguments.
_SPREAD = {"reshape": 1, "transpose": 1, "permute": 1}


class ParseError(Exception):
    """A piece of text that is not in the language, with its place in the block."""

    def __init__(self, message: str, span: Span, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint


class RangeError(ParseError):
    """A number that double precision does not have."""


class Reader:
    """Turns the nodes of one block into trees; knows the block's lines to count characters."""

    def __init__(self, lines: Sequence[str], known: Collection[str] = ()) -> None:
        self.lines = lines
        self.known = known  # names of values: a filter called F is not torch's module F

    def span(self, node: ast.AST) -> Span:
        """The place of a node; `ast` counts UTF-8 bytes, people count characters."""
        line = getattr(node, "lineno", 1)
        start = self._characters(line, getattr(node, "col_offset", 0))
        if getattr(node, "end_lineno", line) == line:
            end = self._characters(line, getattr(node, "end_col_offset", start + 1))
        else:
            end = len(self.lines[line - 1]) if line <= len(self.lines) else start + 1
        return Span(line, start, max(end, start + 1))

    def _characters(self, line: int, offset: int) -> int:
        if not 0 < line <= len(self.lines):
            return offset
        return len(self.lines[line - 1].encode()[:offset].decode(errors="ignore"))

    def expression(self, node: ast.expr) -> Tree:
        """The tree of an expression.

        Raises:
            ParseError: a construct outside the language.
        """
        span = self.span(node)
        match node:
            case ast.Constant(value=value):
                return self._constant(node, value, span)
            case ast.Name(id=name):
                return Name(name, span)
            case ast.UnaryOp(op=op, operand=operand):
                inner = self.expression(operand)
                if isinstance(op, ast.USub) and isinstance(inner, Number):
                    return Number(-inner.value, "-" + inner.text, span)
                return Call(_UNARY[type(op)], (inner,), span=span)
            case ast.BinOp(op=ast.BitXor()):
                raise ParseError("^ is not a power", span, "write ** for a power")
            case ast.BinOp(left=left, op=op, right=right):
                word = _BINARY.get(type(op))
                if word is None:
                    raise ParseError(
                        f"the operator {_symbol(op)} is not part of the language", span
                    )
                return Call(word, (self.expression(left), self.expression(right)), span=span)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._comparison(left, ops, others, span)
            case ast.BoolOp(op=op, values=values):
                word = "logical_and" if isinstance(op, ast.And) else "logical_or"
                trees = [self.expression(value) for value in values]
                result = trees[0]
                for tree in trees[1:]:
                    result = Call(word, (result, tree), span=span)
                return result
            case ast.IfExp(test=test, body=body, orelse=orelse):
                parts = tuple(self.expression(part) for part in (test, body, orelse))
                return Call("where", parts, span=span)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return Items(tuple(self.expression(item) for item in items), span)
            case ast.Subscript(value=value, slice=index):
                return self._subscript(value, index, span)
            case ast.Attribute(value=value, attr=attribute):
                return self._attribute(node, value, attribute, span)
            case ast.Call():
                return self._call(node, span)
        raise ParseError(
            f"{_described(node)} is not part of the language",
            span,
            "a forward pass is made of assignments of NumPy-like expressions",
        )

    def _constant(self, node: ast.Constant, value: object, span: Span) -> Tree:
        if value is None or isinstance(value, bool | str):
            return Literal(value, span)
        if value is Ellipsis:
            return Literal("...", span)
        if isinstance(value, int | float):
            text = self.lines[span.line - 1][span.start : span.end] if self.lines else ""
            try:
                exact = Fraction(text.replace("_", "")) if text else Fraction(str(value))
            except ValueError:
                if value != value or value in (float("inf"), float("-inf")):
                    raise ParseError("this number is too large", span) from None
                exact = Fraction(str(value))
            if abs(exact) > Fraction(10) ** 300 or 0 < abs(exact) < Fraction(1, 10**300):
                raise RangeError("this number is too large or too small", span)
            return Number(exact, text or str(value), span)
        raise ParseError(f"{value!r} is not a real number", span)

    def _comparison(
        self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr], span: Span
    ) -> Tree:
        trees = [self.expression(e) for e in (left, *others)]
        result: Tree | None = None
        for op, a, b in zip(ops, trees, trees[1:], strict=False):
            word = _COMPARE.get(type(op))
            if word is None:
                raise ParseError("'in' and 'is' are not part of the language", span)
            one = Call(word, (a, b), span=span)
            result = one if result is None else Call("logical_and", (result, one), span=span)
        assert result is not None
        return result

    def _subscript(self, value: ast.expr, index: ast.expr, span: Span) -> Tree:
        base = self.expression(value)
        entries = index.elts if isinstance(index, ast.Tuple) else [index]
        items = tuple(self.entry(entry) for entry in entries)
        return Call("getitem", (base, Items(items, self.span(index))), span=span)

    def entry(self, node: ast.expr) -> Tree:
        if isinstance(node, ast.Slice):
            parts = [
                None if part is None else self.expression(part)
                for part in (node.lower, node.upper, node.step)
            ]
            return Slice(parts[0], parts[1], parts[2], self.span(node))
        if isinstance(node, ast.Attribute) and node.attr == "newaxis":
            return Literal(None, self.span(node))
        if isinstance(node, ast.Name) and node.id == "newaxis":
            return Literal(None, self.span(node))
        return self.expression(node)

    def _is_module(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in _MODULES and node.id not in self.known
        return (
            isinstance(node, ast.Attribute)
            and node.attr in _MODULES
            and self._is_module(node.value)
        )

    def _attribute(self, node: ast.Attribute, value: ast.expr, attribute: str, span: Span) -> Tree:
        if self._is_module(value):
            return Name("pi", span) if attribute == "pi" else Name(attribute, span)
        if isinstance(value, ast.Name) and value.id == "self":
            return Name(attribute, span)
        word = _PROPERTIES.get(attribute)
        if word is None:
            raise ParseError(
                f"the attribute .{attribute} is not part of the language",
                span,
                "use a plain name" if not isinstance(value, ast.Name) else "",
            )
        base = self.expression(value)
        if attribute == "mT":
            minus = [Number(Fraction(-k), str(-k)) for k in (1, 2)]
            return Call("swapaxes", (base, *minus), span=span)
        return Call(word, (base,), span=span)

    def _call(self, node: ast.Call, span: Span) -> Tree:
        arguments: list[Tree] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                raise ParseError("* in a call is not part of the language", self.span(argument))
            arguments.append(self.expression(argument))
        keywords: list[tuple[str, Tree]] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ParseError("** in a call is not part of the language", span)
            keywords.append((keyword.arg, self.expression(keyword.value)))
        function = node.func
        if isinstance(function, ast.Attribute) and not self._is_module(function.value):
            if isinstance(function.value, ast.Name) and function.value.id == "self":
                return Call(function.attr, tuple(arguments), tuple(keywords), span)
            arguments = _gathered(function.attr, arguments, span)
            receiver = self.expression(function.value)
            word = _method(function.attr)
            return Call(word, (receiver, *arguments), tuple(keywords), span, method=True)
        if isinstance(function, ast.Attribute):
            name = function.attr
            other = difference(modules_of(function.value), node, name)
            if other is not None:
                raise ParseError(f"{name}: {other.means}", span, other.hint)
        elif isinstance(function, ast.Name):
            name = function.id
        else:
            raise ParseError("only a function with a name can be called", span)
        # np.sum is the function, whatever a variable is called.
        prefixed = isinstance(function, ast.Attribute)
        return Call(
            name, tuple(arguments), tuple(keywords), span, method=prefixed, plain=not prefixed
        )


def _method(name: str) -> str:
    return {"permute": "transpose", "view": "reshape", "add": "add"}.get(name, name)


def _gathered(name: str, arguments: list[Tree], span: Span) -> list[Tree]:
    """``X.reshape(N, -1)`` is ``X.reshape((N, -1))``."""
    if name in ("reshape", "view", "transpose", "permute") and len(arguments) > 1:
        return [Items(tuple(arguments), span)]
    return arguments


def _symbol(op: ast.operator) -> str:
    return {"Mod": "%", "LShift": "<<", "RShift": ">>"}.get(type(op).__name__, type(op).__name__)


def _described(node: ast.AST) -> str:
    return {
        "Lambda": "a lambda",
        "ListComp": "a comprehension",
        "GeneratorExp": "a comprehension",
        "DictComp": "a comprehension",
        "SetComp": "a comprehension",
        "Dict": "a dictionary",
        "JoinedStr": "an f-string",
        "NamedExpr": ":=",
        "Await": "await",
        "Yield": "yield",
        "Set": "a set",
        "Starred": "*",
    }.get(type(node).__name__, f"this ({type(node).__name__.lower()})")


def depth_of(text: str) -> int:
    """How deep brackets nest: bounded before the parser, which recurses, sees the text."""
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest


def parse_block(text: str) -> ast.Module:
    """Parse a block of assignments.

    Raises:
        ParseError: it is no Python syntax, too long or nested too deep.
    """
    lines = text.split("\n")
    if len(text) > MAX_CHARACTERS:
        raise ParseError(
            f"the text is too long: {len(text)} characters, at most {MAX_CHARACTERS}",
            Span(1, 0, 1),
        )
    if depth_of(text) > MAX_DEPTH:
        raise ParseError(
            f"brackets nest more than {MAX_DEPTH} deep",
            Span(1, 0, 1),
            "name inner values on lines of their own",
        )
    try:
        module = syntax.parse(text)
        _bounded(module)
        return module
    except SyntaxError as error:
        line = error.lineno or 1
        column = max((error.offset or 1) - 1, 0)
        message = error.msg or "invalid syntax"
        hint = ""
        shown = lines[line - 1] if line <= len(lines) else ""
        if "lambda" in shown:
            hint = "lambda is a word of Python: call it lam"
        raise ParseError(
            f"this is not valid: {message}", Span(line, column, column + 1), hint
        ) from None
    except (MemoryError, RecursionError, ValueError):
        raise ParseError(
            "the text nests too deep", Span(1, 0, 1), "name inner values on lines of their own"
        ) from None


def _bounded(module: ast.Module) -> None:
    """Refuse trees that recursive code could not walk, such as ``- - - … x``."""
    level: list[ast.AST] = [module]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 50:
            node = next((n for n in level if hasattr(n, "lineno")), None)
            line = getattr(node, "lineno", 1)
            raise ParseError(
                f"the expression nests more than {MAX_DEPTH} deep",
                Span(line, 0, 1),
                "name inner values on lines of their own",
            )
        level = [child for node in level for child in ast.iter_child_nodes(node)]
