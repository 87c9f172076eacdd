"""The words of the vocabulary in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from gradtool.emit.frameworks.sliding import column_images, windows
from gradtool.emit.frameworks.torch_sliding import (
    average_pool,
    columns,
    convolution,
    largest_of_windows,
    place_of_largest,
    placed,
    transposed_convolution,
    upsampled,
)
from gradtool.emit.frameworks.words import COMMON, HALF, Rule, Words, as_items, several
from gradtool.emit.numpy_words import Kind, Typed
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer

_SAME_NAME = ("exp", "log", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "erf", "abs",
              "sign", "log1p", "expm1", "log2", "log10", "sigmoid", "sqrt", "relu")  # fmt: skip
_REDUCED = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}


class TorchWords(Words):
    framework = "PyTorch"
    functions: ClassVar[Mapping[str, str]] = {
        **{name: f"torch.{name}" for name in _SAME_NAME},
        "softplus": "_softplus",
        "logcosh": "_logcosh",
        "gelu_tanh": "_gelu_tanh",
        "logsigmoid": "torch.nn.functional.logsigmoid",
        "silu": "torch.nn.functional.silu",
        "softsign": "torch.nn.functional.softsign",
        "gelu": "torch.nn.functional.gelu",
        "mish": "torch.nn.functional.mish",
    }

    def dtype(self) -> Tree:
        return Name(f"{self.like}.dtype")

    def made(self, function: str, *args: Tree) -> Call:
        """A new array of the dtype and on the device of the layer's own."""
        return call(function, *args, dtype=self.dtype(), device=Name(f"{self.like}.device"))

    def cast(self, tree: Tree, kind: Kind) -> Tree:
        if kind not in ("bool", "int"):
            return tree
        if isinstance(tree, Call) and tree.op == "torch.arange":
            return self.made("torch.arange", *tree.args)
        return call("to", tree, self.dtype())

    def number_array(self, value: Tree) -> Tree:
        return self.made("torch.tensor", value)

    step_kind: ClassVar[Kind] = "size"

    def of_integers(self, zeros: Tree) -> Tree:
        return call("long", zeros)

    def fresh_copy(self, tree: Tree) -> Tree:
        new = isinstance(tree, Call) and tree.op in ("torch.zeros", "torch.ones", "torch.full")
        return tree if new else call("clone", tree)

    # -- choices ---------------------------------------------------------------------------

    def picked(self, tree: Call) -> Typed:
        condition, own = self.typed(tree.args[0])
        if own == "size":  # Python's True or False
            condition = call("torch.tensor", condition, device=Name(f"{self.like}.device"))
        pairs = [self.typed(a) for a in tree.args[1:]]
        chosen = [self.cast(a, kind) for a, kind in pairs]
        if all(kind == "size" for _, kind in pairs):
            # Two plain numbers would take PyTorch's default dtype.
            chosen[0] = self.number_array(chosen[0])
        return call("torch.where", condition, *chosen), "real"

    def larger(self, tree: Call) -> Typed:
        """maximum and minimum; torch.maximum takes no plain numbers."""
        largest = tree.op == "maximum"
        pairs = [self.typed(a) for a in tree.args]
        shown = [self.cast(a, kind) for a, kind in pairs]
        numbers = [kind == "size" for _, kind in pairs]
        if all(numbers):
            shown[0], numbers[0] = self.number_array(shown[0]), False
        if any(numbers):
            array, bound = shown if numbers[1] else shown[::-1]
            return Call("clamp", (array,), (("min" if largest else "max", bound),)), "real"
        return call(f"torch.{tree.op}", *shown), "real"

    def clip(self, tree: Call) -> Typed:
        x, low, high = tree.args
        if all(self.typed(bound)[1] == "size" for bound in (low, high)):
            return call("torch.clamp", self.array(x), self.real(low), self.real(high)), "real"
        return self.larger(call("minimum", call("maximum", x, low), high))

    def leaky_relu(self, tree: Call) -> Typed:
        slope = self.real(tree.args[1]) if len(tree.args) > 1 else Number(HALF.value, "0.01")
        return call("torch.nn.functional.leaky_relu", self.array(tree.args[0]), slope), "real"

    # -- reductions ------------------------------------------------------------------------

    def axes(self, tree: Call, *, needed: bool = False) -> tuple[tuple[str, Tree], ...]:
        """``dim=…, keepdim=…`` of ``axis=…, keepdims=…``; with `needed` always a dim."""
        axis, keep = tree.keyword("axis"), tree.keyword("keepdims")
        kept = isinstance(keep, Literal) and keep.value is True
        if axis is None and (kept or needed):
            axis = Items(tuple(integer(k) for k in range(self.rank(tree.args[0]))))
        found: list[tuple[str, Tree]] = []
        if axis is not None:
            found.append(("dim", axis))
        if kept:
            found.append(("keepdim", Literal(True)))
        return tuple(found)

    def reduction(self, tree: Call) -> Typed:
        return Call(_REDUCED[tree.op], (self.array(tree.args[0]),), self.axes(tree)), "real"

    def spread(self, tree: Call) -> Typed:
        """var and std."""
        ddof = tree.keyword("ddof")
        correction = integer(0) if ddof is None else self.position(ddof)
        options = (*self.axes(tree), ("correction", correction))
        return Call(tree.op, (self.array(tree.args[0]),), options), "real"

    def norm(self, tree: Call) -> Typed:
        operand = self.array(tree.args[0])
        return Call("torch.linalg.vector_norm", (operand,), self.axes(tree)), "real"

    def cumsum(self, tree: Call) -> Typed:
        return Call("cumsum", (self.array(tree.args[0]),), self.axes(tree)), "real"

    def trace(self, tree: Call) -> Typed:
        return call("torch.trace", self.array(tree.args[0])), "real"

    def position_of_best(self, tree: Call) -> Typed:
        operand = self.array(tree.args[0])
        axis = tree.keyword("axis")
        if isinstance(axis, Items):
            if tree.keyword("keepdims") is not None:
                raise UnsupportedError(f"{tree.op} over several axes with keepdims in PyTorch code")
            operand = call("neg", operand) if tree.op == "argmin" else operand
            return self.need("argbest", operand, axis), "int"
        return Call(tree.op, (operand,), self.axes(tree)), "int"

    def normalised(self, tree: Call) -> Typed:
        """softmax and log_softmax, over one axis as PyTorch has them, or over several."""
        operand, axis = self.array(tree.args[0]), tree.keyword("axis") or integer(-1)
        if isinstance(axis, Items):
            total = Call("torch.logsumexp", (operand,), (("dim", axis), ("keepdim", Literal(True))))
            shifted = call("sub", operand, total)
            return (call("torch.exp", shifted) if tree.op == "softmax" else shifted), "real"
        return call(f"torch.{tree.op}", operand, dim=axis), "real"

    def logsumexp(self, tree: Call) -> Typed:
        options = self.axes(tree) or (("dim", integer(-1)),)
        return Call("torch.logsumexp", (self.array(tree.args[0]),), options), "real"

    # -- products and matrices -------------------------------------------------------------

    def product(self, tree: Call) -> Typed:
        """outer and solve."""
        name = {"outer": "torch.outer", "solve": "torch.linalg.solve"}[tree.op]
        return call(name, *(self.real(a) for a in tree.args)), "real"

    def einsum(self, tree: Call) -> Typed:
        return call("torch.einsum", tree.args[0], *(self.real(a) for a in tree.args[1:])), "real"

    def matrix(self, tree: Call) -> Typed:
        operand = self.array(tree.args[0])
        if tree.op == "cholesky":
            return self.need("cholesky", operand), "real"
        if tree.op == "inverse_cholesky":
            return call("torch.linalg.inv", self.need("cholesky", operand)), "real"
        if tree.op == "logdet":
            return call("getitem", call("torch.linalg.slogdet", operand), integer(1)), "real"
        return call(f"torch.linalg.{tree.op}", operand), "real"

    # -- shapes ----------------------------------------------------------------------------

    def transpose(self, tree: Call) -> Typed:
        operand, kind = self.arrayed(tree.args[0])
        if len(tree.args) > 1:
            return call("permute", operand, *map(self.position, as_items(tree.args[1]))), kind
        rank = self.rank(tree.args[0])
        if rank <= 1:
            return operand, kind
        if rank == 2:
            return call("transpose", operand), kind
        return call("permute", operand, *map(integer, reversed(range(rank)))), kind

    def swapped(self, tree: Call) -> Typed:
        """swapaxes and moveaxis."""
        operand, kind = self.arrayed(tree.args[0])
        return call(tree.op, operand, *map(self.position, tree.args[1:])), kind

    def reshape(self, tree: Call) -> Typed:
        operand, kind = self.arrayed(tree.args[0])
        if kind == "size":
            operand, kind = self.number_array(operand), "real"
        if tree.op == "ravel":
            return call("reshape", operand, integer(-1)), kind
        shape = self.position(tree.args[1])
        return call("reshape", operand, shape), kind

    def expand_dims(self, tree: Call) -> Typed:
        operand, kind = self.arrayed(tree.args[0])
        axis = self.position(tree.args[1])
        if isinstance(axis, Items):
            raise UnsupportedError("expand_dims of several axes in PyTorch code")
        return call("unsqueeze", operand, axis), kind

    def squeeze(self, tree: Call) -> Typed:
        operand, kind = self.arrayed(tree.args[0])
        axis = tree.keyword("axis") or (tree.args[1] if len(tree.args) > 1 else None)
        return call("squeeze", operand, *(() if axis is None else (self.position(axis),))), kind

    def broadcast_to(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        shape = self.position(Items(as_items(tree.args[1])))
        if kind == "size":
            return self.made("torch.full", shape, operand), "real"
        return call("torch.broadcast_to", operand, shape), kind

    def joined(self, tree: Call) -> Typed:
        name = "torch.cat" if tree.op == "concatenate" else "torch.stack"
        axis = tree.keyword("axis") or integer(0)
        return call(name, self.parts(tree), dim=axis), "real"

    def pad(self, tree: Call) -> Typed:
        """PyTorch lists the widths of the last axis first."""
        pairs = [tuple(map(self.position, as_items(pair))) for pair in as_items(tree.args[1])]
        widths = Items(tuple(width for pair in reversed(pairs) for width in pair))
        return call("torch.nn.functional.pad", self.array(tree.args[0]), widths), "real"

    def flip(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        axis = tree.keyword("axis")
        axes = range(self.rank(tree.args[0])) if axis is None else ()
        chosen = tuple(map(integer, axes)) if axis is None else as_items(axis)
        return call("flip", operand, *chosen), kind

    def rot180(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        return call("flip", operand, integer(-2), integer(-1)), kind

    def triangle(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        shift = tree.keyword("k")
        options = () if shift is None else (("diagonal", self.position(shift)),)
        return Call(f"torch.{tree.op}", (operand,), options), kind

    def diag(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        return call("torch.diag", operand), kind

    def getitem(self, tree: Call) -> Typed:
        """PyTorch has no backward slices, and takes numbers out before it looks at labels."""
        index = tree.args[1]
        entries = list(as_items(index))
        self._check_order(entries)
        operand, kind = self.typed(tree.args[0])
        flipped: list[Tree] = []
        axis = 0
        for place, entry in enumerate(entries):
            if isinstance(entry, Literal) and entry.value == "...":
                axis -= sum(not _is_new(e) for e in entries[place:]) - 1
                continue
            if isinstance(entry, Slice) and entry.step is not None:
                step = self.position(entry.step)
                if isinstance(step, Call) and step.op == "neg":
                    step = step.args[0]
                    flipped.append(integer(axis))
                elif isinstance(step, Number) and step.value < 0:
                    step = integer(-int(step.value))
                    flipped.append(integer(axis))
                one = step == integer(1)
                entries[place] = Slice(entry.start, entry.stop, None if one else step)
            axis += not _is_new(entry)
        if flipped:
            operand = call("flip", operand, *flipped)
        return call("getitem", operand, Items(tuple(map(self.position, entries)))), kind

    def _check_order(self, entries: list[Tree]) -> None:
        """Refuse an index whose axes NumPy and PyTorch would order differently."""
        kinds = ["slice" if isinstance(e, Slice | Literal)
                 else "labels" if self.rank(e) else "number" for e in entries]  # fmt: skip
        chosen = [k for k, kind in enumerate(kinds) if kind != "slice"]
        if "labels" in kinds and "number" in kinds:
            between = kinds[chosen[0] : chosen[-1]]
            if "slice" in between:
                raise UnsupportedError(
                    "an index with a number and labels on both sides of a slice in PyTorch code",
                    hint="index with the number first: X[0][:, y]",
                )

    # -- arrays from nothing ---------------------------------------------------------------

    def filled(self, tree: Call) -> Typed:
        return self.made(f"torch.{tree.op}", self.position(tree.args[0])), "real"

    def full(self, tree: Call) -> Typed:
        shape = self.position(Items(as_items(tree.args[0])))
        value, kind = self.typed(tree.args[1])
        if kind == "size":
            return self.made("torch.full", shape, value), "real"
        return call("torch.broadcast_to", self.cast(value, kind), shape), "real"

    def like_array(self, tree: Call) -> Typed:
        return call(f"torch.{tree.op}", self.array(tree.args[0])), "real"

    def arange(self, tree: Call) -> Typed:
        stop = self.position(tree.args[0])
        return call("torch.arange", stop, device=Name(f"{self.like}.device")), "int"

    def onehot(self, tree: Call) -> Typed:
        labels = self.position(tree.args[0])
        if not (isinstance(labels, Call) and labels.op.startswith("arg")):
            labels = call("long", labels)
        rows = call("torch.nn.functional.one_hot", labels, self.classes(tree, 1))
        return call("to", rows, self.dtype()), "real"

    rules: ClassVar[Mapping[str, Rule]]


def _is_new(entry: Tree) -> bool:
    return isinstance(entry, Literal) and entry.value is None


_T = TorchWords
TorchWords.rules = {
    **COMMON,
    **several(_T.larger, "maximum", "minimum"),
    **several(_T.reduction, *_REDUCED),
    **several(_T.spread, "var", "std"),
    **several(_T.position_of_best, "argmax", "argmin"),
    **several(_T.normalised, "softmax", "log_softmax"),
    **several(_T.product, "outer", "solve"),
    **several(_T.matrix, "inv", "det", "cholesky", "inverse_cholesky", "logdet"),
    **several(_T.swapped, "swapaxes", "moveaxis"),
    **several(_T.reshape, "reshape", "ravel"),
    **several(_T.joined, "concatenate", "stack"),
    **several(_T.triangle, "tril", "triu"),
    **several(_T.filled, "zeros", "ones", "eye"),
    **several(_T.like_array, "zeros_like", "ones_like"),
    "clip": _T.clip,
    "leaky_relu": _T.leaky_relu,
    "norm": _T.norm,
    "cumsum": _T.cumsum,
    "trace": _T.trace,
    "logsumexp": _T.logsumexp,
    "einsum": _T.einsum,
    "transpose": _T.transpose,
    "expand_dims": _T.expand_dims,
    "squeeze": _T.squeeze,
    "broadcast_to": _T.broadcast_to,
    "pad": _T.pad,
    "flip": _T.flip,
    "rot180": _T.rot180,
    "diag": _T.diag,
    "full": _T.full,
    "arange": _T.arange,
    "onehot": _T.onehot,
    **several(convolution, "conv1d", "conv2d", "conv3d"),
    **several(transposed_convolution, "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "windows": windows,
    "im2col": columns,
    "col2im": column_images,
    "max_pool2d": largest_of_windows,
    "argmax_pool2d": place_of_largest,
    "max_unpool2d": placed,
    "avg_pool2d": average_pool,
    "upsample_nearest": upsampled,
}
