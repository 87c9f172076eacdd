"""Array expressions as text in the spec language: precise, short, and read back by the parser."""

from __future__ import annotations

from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree

# Python's precedences; a child with a lower one needs brackets.
_OR, _AND, _COMPARE, _SUM, _PRODUCT, _UNARY, _POWER, _CALL, _ATOM = range(1, 10)

_INFIX = {
    "add": (_SUM, " + "),
    "sub": (_SUM, " - "),
    "mul": (_PRODUCT, " * "),
    "div": (_PRODUCT, " / "),
    "floordiv": (_PRODUCT, "//"),
    "matmul": (_PRODUCT, " @ "),
    "gt": (_COMPARE, " > "),
    "ge": (_COMPARE, " >= "),
    "lt": (_COMPARE, " < "),
    "le": (_COMPARE, " <= "),
    "eq": (_COMPARE, " == "),
    "ne": (_COMPARE, " != "),
    "logical_and": (_AND, " & "),
    "logical_or": (_OR, " | "),
}
_METHODS = ("sum", "mean", "max", "min", "reshape", "transpose", "ravel", "var", "std", "swapaxes")

_LINALG = ("norm", "inv", "det", "solve", "cholesky")  # words that NumPy has in a module of its own


def text(tree: Tree) -> str:
    """The expression as one line."""
    return _Printer().show(tree)[0]


def operand(tree: Tree) -> str:
    """The expression as it stands before a dot or a bracket: ``(X @ W)`` in ``(X @ W)[n]``."""
    return _Printer().wrapped(tree, _CALL)


class _Printer:
    """Gives the text of a node and the precedence of its outermost operator."""

    def show(self, tree: Tree) -> tuple[str, int]:
        match tree:
            case Name(id=name):
                return name, _ATOM
            case Number(value=value, text=written):
                return self.number(written or str(value), value < 0)
            case Literal(value="..."):
                return "...", _ATOM
            case Literal(value=value):
                return repr(value), _ATOM
            case Items(items=items):
                inner = ", ".join(self.show(item)[0] for item in items)
                return (f"({inner},)" if len(items) == 1 else f"({inner})"), _ATOM
            case Slice(start=start, stop=stop, step=step):
                parts = ["" if p is None else self.show(p)[0] for p in (start, stop)]
                shown = ":".join(parts)
                return (shown if step is None else f"{shown}:{self.show(step)[0]}"), _ATOM
            case Call():
                return self.call(tree)

    def number(self, written: str, negative: bool) -> tuple[str, int]:
        if "/" in written:
            return written, _PRODUCT
        return written, _UNARY if negative else _ATOM

    def wrapped(self, tree: Tree, least: int) -> str:
        """The text, in brackets when its operator binds less than `least`."""
        shown, precedence = self.show(tree)
        return shown if precedence >= least else f"({shown})"

    def call(self, tree: Call) -> tuple[str, int]:
        if tree.op in _INFIX and len(tree.args) == 2:
            return self.infix(tree)
        match tree.op:
            case "neg":
                return "-" + self.wrapped(tree.args[0], _UNARY), _UNARY
            case "pow":
                base = self.wrapped(tree.args[0], _CALL)
                exponent = self.wrapped(tree.args[1], _UNARY)
                return f"{base}**{exponent}", _POWER
            case "logical_not":
                return "~" + self.wrapped(tree.args[0], _UNARY), _UNARY
            case "getitem":
                return self.subscript(tree), _CALL
            case "transpose" if len(tree.args) == 1:
                return self.wrapped(tree.args[0], _CALL) + ".T", _CALL
            case "indexed":
                return self.indexed(tree), _ATOM
            case _ if tree.keyword("over") is not None:
                return self.function(tree), _CALL
        if tree.op in _METHODS and tree.args:
            receiver = self.wrapped(tree.args[0], _CALL)
            if not isinstance(tree.args[0], Number):
                rest = Call(tree.op, _spread(tree), tree.kwargs)
                return f"{receiver}.{self.function(rest, prefixed=False)}", _CALL
        return self.function(tree), _CALL

    def infix(self, tree: Call) -> tuple[str, int]:
        precedence, symbol = _INFIX[tree.op]
        # Left-associative; a comparison or a logical operand is always bracketed.
        tight = precedence in (_COMPARE, _AND, _OR)
        left = self.wrapped(tree.args[0], precedence + 1 if tight else precedence)
        right = self.wrapped(tree.args[1], precedence + 1)
        if tree.op == "mul" and isinstance(tree.args[0], Call) and tree.args[0].op == "matmul":
            left = f"({left})"  # (dY @ W.T) * mask: nobody should have to know who comes first
        if tree.op == "matmul":
            # Same precedence as * and /, but a reader should not have to know that.
            left, right = self._factor(tree.args[0]), self.wrapped(tree.args[1], _PRODUCT + 1)
        if precedence in (_AND, _OR):
            left, right = self.wrapped(tree.args[0], _CALL), self.wrapped(tree.args[1], _CALL)
        return f"{left}{symbol}{right}", precedence

    def _factor(self, tree: Tree) -> str:
        """An operand of @: a chain of products needs no brackets on the left."""
        shown, precedence = self.show(tree)
        chain = isinstance(tree, Call) and tree.op == "matmul"
        return shown if precedence > _PRODUCT or chain else f"({shown})"

    def subscript(self, tree: Call) -> str:
        base = self.wrapped(tree.args[0], _CALL)
        index = tree.args[1]
        items = index.items if isinstance(index, Items) else (index,)
        return f"{base}[{', '.join(self.show(item)[0] for item in items)}]"

    def function(self, tree: Call, prefixed: bool = True) -> str:
        arguments = [self.show(argument)[0] for argument in tree.args]
        for name, value in tree.kwargs:
            if name == "over":
                items = value.items if isinstance(value, Items) else (value,)
                arguments.append(f"over=[{', '.join(self.show(i)[0] for i in items)}]")
            else:
                arguments.append(f"{name}={self.show(value)[0]}")
        module = "np.linalg." if tree.op in _LINALG else "np."
        prefix = module if prefixed and tree.method else ""
        return f"{prefix}{tree.op}({', '.join(arguments)})"

    def indexed(self, tree: Call) -> str:
        """The right side of an index statement; the left side is printed by `line`."""
        return self.show(tree.args[1])[0]


def _spread(tree: Call) -> tuple[Tree, ...]:
    """The arguments of a method; a shape or an order of axes without brackets of its own."""
    rest = tree.args[1:]
    if tree.op in ("reshape", "transpose") and len(rest) == 1 and isinstance(rest[0], Items):
        return rest[0].items
    return rest


def line(name: str, tree: Tree) -> str:
    """An assignment: ``dX = dY @ W.T`` or ``dX[n < N] = sum(…)``."""
    printer = _Printer()
    if isinstance(tree, Call) and tree.op == "indexed":
        assert isinstance(tree.args[0], Items)
        left = ", ".join(printer.show(item)[0] for item in tree.args[0].items)
        if not tree.args[0].items:
            return f"{name} = {text(tree.args[1])}"
        return f"{name}[{left}] = {text(tree.args[1])}"
    return f"{name} = {text(tree)}"
