"""Expressions in the words of a framework as text, in the layout of emitted NumPy code."""

from __future__ import annotations

from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_printer import NumPyPrinter
from gradtool.emit.text import _CALL
from gradtool.ir.tree import Call, Tree

# Words that are written as methods of their first argument, beside those of NumPy code.
_METHODS = ("amax", "amin", "clamp", "to", "long", "permute", "unsqueeze", "squeeze", "moveaxis",
            "flip", "flatten", "repeat_interleave", "clone", "set")  # fmt: skip
_WIDTH = 80  # the lines stand in a method of a class


class _Printer(NumPyPrinter):
    def call(self, tree: Call) -> tuple[str, int]:
        if tree.op in _METHODS:
            rest = Call(tree.op, tree.args[1:], tree.kwargs)
            return f"{self.wrapped(tree.args[0], _CALL)}.{self.function(rest)}", _CALL
        return super().call(tree)


def shown(tree: Tree) -> str:
    """An expression as one line."""
    return _Printer().show(tree)[0]


def assigned(target: str, tree: Tree) -> tuple[str, ...]:
    """``target = tree`` in lines of readable length."""
    return assignment(target, "=", tree, shown, _WIDTH)
