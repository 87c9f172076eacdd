"""The words of the vocabulary in JAX, whose `jax.numpy` has NumPy's names and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from gradtool.emit.frameworks.jax_sliding import (
    average_pool,
    columns,
    convolution,
    largest_of_windows,
    place_of_largest,
    placed,
    transposed_convolution,
    upsampled,
)
from gradtool.emit.frameworks.sliding import column_images, windows
from gradtool.emit.frameworks.words import COMMON, HALF, Rule, Words, several
from gradtool.emit.numpy_words import Kind, Typed
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer

_SAME_NAME = ("exp", "log", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "abs", "sign",
              "log1p", "expm1", "log2", "log10", "sqrt")  # fmt: skip
_VIEWS = ("swapaxes", "moveaxis", "squeeze", "expand_dims", "pad", "flip", "tril", "triu", "diag",
          "broadcast_to")  # fmt: skip
_METHODS = ("sum", "mean", "max", "min", "var", "std", "argmax", "argmin", "cumsum", "reshape",
            "ravel", "transpose", "swapaxes", "squeeze", "trace")  # fmt: skip


class JaxWords(Words):
    framework = "JAX"
    with_truths = ("mul", "add", "sub")
    functions: ClassVar[Mapping[str, str]] = {
        **{name: f"jnp.{name}" for name in _SAME_NAME},
        "erf": "jax.lax.erf",
        "sigmoid": "jax.nn.sigmoid",
        "softplus": "jax.nn.softplus",
        "logsigmoid": "jax.nn.log_sigmoid",
        "silu": "jax.nn.silu",
        "softsign": "jax.nn.soft_sign",
        "gelu": "_gelu",
        "gelu_tanh": "jax.nn.gelu",
        "mish": "jax.nn.mish",
        "logcosh": "_logcosh",
        "relu": "jax.nn.relu",
    }

    def dtype(self) -> Tree:
        return Name(f"{self.like}.dtype")

    def cast(self, tree: Tree, kind: Kind) -> Tree:
        if kind not in ("bool", "int"):
            return tree
        if isinstance(tree, Call) and tree.op == "jnp.arange":
            return Call(tree.op, tree.args, (("dtype", self.dtype()),))
        return call("astype", tree, self.dtype())

    def number_array(self, value: Tree) -> Tree:
        return call("jnp.array", value, self.dtype())

    step_kind: ClassVar[Kind] = "int"
    forgets_steps = True

    def of_integers(self, zeros: Tree) -> Tree:
        return call("astype", zeros, Name("int"))

    def fresh_copy(self, tree: Tree) -> Tree:
        return tree  # arrays are never written to

    # -- choices ---------------------------------------------------------------------------

    def picked(self, tree: Call) -> Typed:
        condition = self.typed(tree.args[0])[0]
        pairs = [self.typed(a) for a in tree.args[1:]]
        chosen = call("jnp.where", condition, *(self.cast(a, kind) for a, kind in pairs))
        if all(kind == "size" for _, kind in pairs):
            return self.cast(chosen, "int"), "real"  # two plain numbers have no dtype
        return chosen, "real"

    def elementwise(self, tree: Call) -> Typed:
        """maximum, minimum, clip."""
        return call(f"jnp.{tree.op}", *(self.real(a) for a in tree.args)), "real"

    def leaky_relu(self, tree: Call) -> Typed:
        slope = self.real(tree.args[1]) if len(tree.args) > 1 else Number(HALF.value, "0.01")
        return call("jax.nn.leaky_relu", self.real(tree.args[0]), slope), "real"

    # -- reductions ------------------------------------------------------------------------

    def reduction(self, tree: Call) -> Typed:
        kwargs = tuple((k, self.position(v)) for k, v in tree.kwargs)
        return Call(tree.op, (self.real(tree.args[0]),), kwargs), "real"

    def norm(self, tree: Call) -> Typed:
        operand, axis = self.real(tree.args[0]), tree.keyword("axis")
        if isinstance(axis, Items) and len(axis.items) > 2:
            squares = call("pow", operand, integer(2))
            return call("jnp.sqrt", Call("sum", (squares,), tree.kwargs)), "real"
        return Call("jnp.linalg.norm", (operand,), tree.kwargs), "real"

    def position_of_best(self, tree: Call) -> Typed:
        operand, axis = self.real(tree.args[0]), tree.keyword("axis")
        if isinstance(axis, Items):
            if tree.keyword("keepdims") is not None:
                raise UnsupportedError(f"{tree.op} over several axes with keepdims in JAX code")
            operand = call("neg", operand) if tree.op == "argmin" else operand
            return self.need("argbest", operand, axis), "int"
        return Call(tree.op, (operand,), tree.kwargs), "int"

    def normalised(self, tree: Call) -> Typed:
        """softmax, log_softmax, logsumexp."""
        options = tree.kwargs or (("axis", integer(-1)),)
        return Call(f"jax.nn.{tree.op}", (self.real(tree.args[0]),), options), "real"

    # -- products and matrices -------------------------------------------------------------

    def product(self, tree: Call) -> Typed:
        name = {"outer": "jnp.outer", "solve": "jnp.linalg.solve"}[tree.op]
        return call(name, *(self.real(a) for a in tree.args)), "real"

    def einsum(self, tree: Call) -> Typed:
        return call("jnp.einsum", tree.args[0], *(self.real(a) for a in tree.args[1:])), "real"

    def matrix(self, tree: Call) -> Typed:
        operand = self.real(tree.args[0])
        if tree.op == "inverse_cholesky":
            return call("jnp.linalg.inv", call("jnp.linalg.cholesky", operand)), "real"
        if tree.op == "logdet":
            return call("getitem", call("jnp.linalg.slogdet", operand), integer(1)), "real"
        return call(f"jnp.linalg.{tree.op}", operand), "real"

    # -- shapes ----------------------------------------------------------------------------

    def view(self, tree: Call) -> Typed:
        """A rearrangement keeps the kind of its entries."""
        operand, kind = self.typed(tree.args[0])
        rest = tuple(map(self.position, tree.args[1:]))
        kwargs = tuple((k, self.position(v)) for k, v in tree.kwargs)
        if kind == "size":
            operand, kind = self.number_array(operand), "real"
        op = tree.op if tree.op in _METHODS else f"jnp.{tree.op}"
        return Call(op, (operand, *rest), kwargs), kind

    def rot180(self, tree: Call) -> Typed:
        operand, kind = self.typed(tree.args[0])
        back = Slice(None, None, integer(-1))
        return call("getitem", operand, Items((Literal("..."), back, back))), kind

    def joined(self, tree: Call) -> Typed:
        return Call(f"jnp.{tree.op}", (self.parts(tree),), tree.kwargs), "real"

    # -- arrays from nothing ---------------------------------------------------------------

    def filled(self, tree: Call) -> Typed:
        return call(f"jnp.{tree.op}", self.position(tree.args[0]), dtype=self.dtype()), "real"

    def full(self, tree: Call) -> Typed:
        shape = self.position(tree.args[0])
        return call("jnp.full", shape, self.real(tree.args[1]), self.dtype()), "real"

    def like_array(self, tree: Call) -> Typed:
        return call(f"jnp.{tree.op}", self.real(tree.args[0])), "real"

    def arange(self, tree: Call) -> Typed:
        return call("jnp.arange", self.position(tree.args[0])), "int"

    def onehot(self, tree: Call) -> Typed:
        labels = self.position(tree.args[0])
        return call("jax.nn.one_hot", labels, self.classes(tree, 1), dtype=self.dtype()), "real"

    rules: ClassVar[Mapping[str, Rule]]


_J = JaxWords
JaxWords.rules = {
    **COMMON,
    **several(_J.elementwise, "maximum", "minimum", "clip"),
    **several(_J.reduction, "sum", "mean", "max", "min", "var", "std", "cumsum", "trace"),
    **several(_J.position_of_best, "argmax", "argmin"),
    **several(_J.normalised, "softmax", "log_softmax", "logsumexp"),
    **several(_J.product, "outer", "solve"),
    **several(_J.matrix, "inv", "det", "cholesky", "inverse_cholesky", "logdet"),
    **several(_J.view, "transpose", "reshape", "ravel", *_VIEWS),
    **several(_J.joined, "concatenate", "stack"),
    **several(_J.filled, "zeros", "ones", "eye"),
    **several(_J.like_array, "zeros_like", "ones_like"),
    "leaky_relu": _J.leaky_relu,
    "norm": _J.norm,
    "einsum": _J.einsum,
    "rot180": _J.rot180,
    "full": _J.full,
    "arange": _J.arange,
    "onehot": _J.onehot,
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
