"""The user's code with one thing changed, as a question: what would it give without that?

Five things are asked for.  Numbers of float32 are read as float64: what is then exact was off by
their rounding and by nothing else.  So are numbers that are longer (see `longer`).  Guards, the
tiny numbers that people add to what they divide by or take the logarithm of, are set to another
value.  Values are not cut off to ``[-5, 5]``.  Nothing is looked at in what runs the code.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from typing import Any

from gradtool.check.longer import Narrower
from gradtool.check.reaching import Sealer
from gradtool.check.tiny import set_guards
from gradtool.records import Struct

_SHORT = frozenset({"float32", "single", "float16", "half", "csingle", "bfloat16"})
_TENSORS = frozenset({"FloatTensor", "HalfTensor", "BFloat16Tensor"})  # of torch, torch.cuda
_CODES = frozenset({"f", "f4", "<f4", ">f4", "=f4", "e", "f2", "<f2", ">f2"})


class Change(Struct, frozen=True):
    """What is to be different.

    Attributes:
        widen: float32 and shorter types are float64.
        numbers: the keys of guards, and their values.
        unclip: nothing is cut off to an interval around zero.
        narrow: what is longer than float64 is float64, or has as many digits.
        seal: words by which code can reach what runs it have no meaning.
    """

    widen: bool = False
    numbers: tuple[tuple[str, float], ...] = ()
    unclip: bool = False
    narrow: bool = False
    seal: bool = False

    def also(self, other: Change) -> Change:
        """Both changes."""
        return Change(
            self.widen or other.widen,
            (*self.numbers, *other.numbers),
            self.unclip or other.unclip,
            self.narrow or other.narrow,
            self.seal or other.seal,
        )

    def to_json(self) -> dict[str, Any]:
        numbers = [list(pair) for pair in self.numbers]
        told = {"widen": self.widen, "numbers": numbers, "unclip": self.unclip}
        return {**told, "narrow": self.narrow, "seal": self.seal}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Change:
        numbers = tuple((key, value) for key, value in data["numbers"])
        return Change(data["widen"], numbers, data["unclip"], data["narrow"], data["seal"])


def changed(tree: ast.Module, place: str, change: Change) -> ast.Module:
    """The tree with the change made; the tree itself where there is nothing to change."""
    if change.widen:
        tree = ast.fix_missing_locations(_Widener().visit(copy.deepcopy(tree)))
    if change.numbers:
        tree = set_guards(copy.deepcopy(tree), place, dict(change.numbers))
    if change.narrow:
        tree = ast.fix_missing_locations(Narrower().visit(copy.deepcopy(tree)))
    if change.seal:
        tree = Sealer().visit(copy.deepcopy(tree))
    if change.unclip:
        tree = ast.fix_missing_locations(_Unclipper(tree).visit(copy.deepcopy(tree)))
    return tree


# -- float32 --------------------------------------------------------------------------------


class _Widener(ast.NodeTransformer):
    """Types of numbers that are shorter than float64, by whatever name."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner and (node.attr in _SHORT or (owner, node.attr) == ("torch", "float")):
            node.attr = "float64"
        elif node.attr in _TENSORS:
            node.attr = "DoubleTensor"
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        for alias in node.names:
            if alias.name in _SHORT:
                alias.asname = alias.asname or alias.name
                alias.name = "float64"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value in _SHORT:
            return ast.copy_location(ast.Constant("float64"), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(attr="float" | "half") if not node.args and not node.keywords:
                node.func.attr = "double"  # tensor.float()
            case ast.Attribute(attr="astype" | "dtype") | ast.Name(id="dtype"):
                node.args = [self._code(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg == "dtype":
                keyword.value = self._code(keyword.value)
        return node

    @staticmethod
    def _code(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant) and node.value in _CODES:
            return ast.copy_location(ast.Constant("float64"), node)
        return node


# -- clipping -------------------------------------------------------------------------------


class _Unclipper(ast.NodeTransformer):
    """Calls that cut values off to an interval around zero: ``np.clip(g, -5, 5, out=g)``."""

    def __init__(self, tree: ast.Module) -> None:
        self.modules = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(attr="clip" | "clamp" | "clip_" | "clamp_", value=owner):
                of_module = isinstance(owner, ast.Name) and owner.id in self.modules
                given = [*node.args] if of_module else [owner, *node.args]
                named = {k.arg: k.value for k in node.keywords}
                out = named.pop("out", None)
                if not given or (out is not None and ast.dump(out) != ast.dump(given[0])):
                    return node
                if _is_around_zero([*given[1:], *named.values()]):
                    return given[0]
        return node


def _is_around_zero(bounds: list[ast.expr]) -> bool:
    """Whether two bounds are ``-c`` and ``c``, as numbers or names."""
    if len(bounds) != 2:
        return False
    low, high = bounds
    match low:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ast.dump(operand) == ast.dump(high)
    return False
