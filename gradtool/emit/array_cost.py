"""What an expression costs in the order in which it is written: entries computed or summed."""

from __future__ import annotations

from gradtool.emit.array_forms import Shape, broadcast
from gradtool.emit.array_sizes import volume
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.tree import Call, Name, Number, Tree

_ARITHMETIC = ("add", "sub", "neg", "mul", "div", "pow", "square", "reciprocal")


def cost_as_written(module: ModuleNames, tree: Tree) -> float:
    """The cost, the inside of functions not counted.

    Raises:
        OpError: a shape is not known.
        NotBroadcast: two shapes do not fit.
    """
    return _cost(module, tree)[1]


def _cost(module: ModuleNames, tree: Tree) -> tuple[Shape, float]:
    match tree:
        case Number():
            return (), 0.0
        case Name(id=name) if name == module.seed:
            return (), 0.0
        case Call(op=op, args=args) if op in _ARITHMETIC:
            parts = [_cost(module, a) for a in args]
            shape = broadcast(s for s, _ in parts)
            return shape, sum(c for _, c in parts) + volume(module, shape)
        case Call(op="sum" | "mean", args=(operand,)):
            shape, cost = _cost(module, operand)
            return module.shape(tree), cost + volume(module, shape)
    return module.shape(tree), 0.0
