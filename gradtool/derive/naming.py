"""Telling names for inner values that the spec did not name."""

from __future__ import annotations

from collections.abc import Collection

from gradtool.ir.tree import Call, Tree, children

_BY_WORD = {
    "exp": "e",
    "sum": "total",
    "mean": "mu",
    "var": "var",
    "std": "std",
    "max": "top",
    "min": "low",
    "softmax": "P",
    "sigmoid": "a",
    "tanh": "h",
    "relu": "h",
    "matmul": "z",
    "sub": "diff",
    "add": "z",
    "mul": "prod",
    "div": "ratio",
    "pow": "power",
    "inv": "A_inv",
    "argmax": "best",
    "argmin": "best",
    "logsumexp": "lse",
    "norm": "norm",
    "window_argmax": "best",
    "window_argmin": "best",
    "einsum": "z",
    "where": "chosen",
    "maximum": "larger",
    "minimum": "smaller",
    "concatenate": "joined",
    "pad": "padded",
    "reshape": "flat",
    "gt": "active",
    "ge": "active",
    "lt": "active",
    "le": "active",
    "abs": "size",
    "sign": "signs",
    "onehot": "labels",
    "getitem": "part",
    "log": "logs",
    "sqrt": "root",
    "gelu": "h",
    "silu": "h",
    "softplus": "h",
    "clip": "clipped",
}


def telling_name(tree: Tree, taken: Collection[str]) -> str:
    """A short name for what a tree computes, unlike the names that are taken."""
    return unlike(_base(tree), taken)


def unlike(base: str, taken: Collection[str]) -> str:
    """A name, with a number when it is taken."""
    if base not in taken:
        return base
    number = 2
    while f"{base}{number}" in taken:
        number += 1
    return f"{base}{number}"


def _base(tree: Tree) -> str:
    if not isinstance(tree, Call):
        return "v"
    if tree.op == "sub" and _mentions(tree.args[1], "mean"):
        return "xc"
    if tree.op == "sqrt" and _mentions(tree, "var"):
        return "std"
    return _BY_WORD.get(tree.op, "v")


def _mentions(tree: Tree, word: str) -> bool:
    if isinstance(tree, Call) and tree.op == word:
        return True
    return any(_mentions(child, word) for child in children(tree))
