"""Trees in NumPy's words as text, in the spacing of common formatters."""

from __future__ import annotations

from gradtool.emit.text import _ATOM, _CALL, _POWER, _UNARY, _Printer
from gradtool.ir.tree import Call, Literal, Name, Number, Slice, Tree, children


def numpy_text(tree: Tree) -> str:
    """A tree in NumPy's words as one line."""
    return NumPyPrinter().show(tree)[0]


_NUMPY_METHODS = ("astype", "copy", "argmax", "argmin", "cumsum", "trace", "var", "std")


class NumPyPrinter(_Printer):
    """The shared printer in the spacing of common formatters."""

    def show(self, tree: Tree) -> tuple[str, int]:
        match tree:
            case Literal(value=str() as value) if value != "...":
                return f'"{value}"', _ATOM
            case Slice(start=start, stop=stop, step=step):
                return self._slice(start, stop, step), _ATOM
            case _:
                return super().show(tree)

    def number(self, written: str, negative: bool) -> tuple[str, int]:
        shown, precedence = super().number(written, negative)
        return shown.replace("/", " / "), precedence

    def call(self, tree: Call) -> tuple[str, int]:
        if tree.op == "lambda":
            parameters = ", ".join(self.show(p)[0] for p in children(tree.args[0]))
            return f"lambda {parameters}: {self.show(tree.args[1])[0]}", 0
        if tree.op in _NUMPY_METHODS:
            rest = Call(tree.op, tree.args[1:], tree.kwargs)
            return f"{self.wrapped(tree.args[0], _CALL)}.{self.function(rest)}", _CALL
        if tree.op == "pow":
            base = self.wrapped(tree.args[0], _CALL)
            exponent = self.wrapped(tree.args[1], _UNARY)
            tight = _simple(tree.args[0]) and _simple(tree.args[1])
            return f"{base}{'**' if tight else ' ** '}{exponent}", _POWER
        if tree.op == "floordiv":
            shown, precedence = super().call(tree)
            return shown.replace("//", " // "), precedence
        return super().call(tree)

    def _slice(self, start: Tree | None, stop: Tree | None, step: Tree | None) -> str:
        parts = [start, stop] if step is None else [start, stop, step]
        space = "" if all(p is None or _name_or_number(p) for p in parts) else " "
        shown = ""
        for number, part in enumerate(parts):
            if number:
                shown += (space if parts[number - 1] is not None else "") + ":"
            if part is not None:
                shown += (space if number else "") + self.show(part)[0]
        return shown


def _simple(tree: Tree) -> bool:
    """What formatters hug with ``**``: names, attributes and plain numbers."""
    match tree:
        case Name() | Number():
            return True
        case Call(op="transpose", args=(Name(),)):
            return True
        case Call(op="neg", args=(Number(),)):
            return True
    return False


def _name_or_number(tree: Tree) -> bool:
    match tree:
        case Name() | Number():
            return True
        case Call(op="neg", args=(inner,)):
            return _name_or_number(inner)
    return False
