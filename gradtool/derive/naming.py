"""Telling names for inner values that the spec did not name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gradtool.ir.graph import AnyStatement, Graph, MatrixFunction, Reshape
from gradtool.ir.tree import Call, Name, Tree, children

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
    "norm": "length",
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


_SUMS = frozenset(("add", "sub", "mul", "div", "matmul", "einsum"))
_ARITHMETIC = _SUMS | {"pow", "neg", "getitem", "transpose", "reshape", "sum", "mean"}


def wishes(graph: Graph, needed: Collection[str]) -> Mapping[str, str]:
    """Names that inner values deserve for their place in the forward pass.

    What a named activation is taken of (``relu`` in ``h1 = relu(X @ W1 + b1)``) is called z1, the
    matrix that a matrix function is taken of is called A.
    """
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    hidden = {s.out.name: s for s in graph.statements if s.hidden}
    for statement in graph.statements:
        if isinstance(statement, MatrixFunction):
            for operand in statement.operands[:1]:
                if operand.name in hidden:
                    found |= dict.fromkeys((operand.name, *_summands(hidden[operand.name])), "A")
        tree = statement.tree
        if statement.hidden or not isinstance(tree, Call) or tree.op in _ARITHMETIC:
            continue
        inner = tree.args[0] if tree.args else None
        if isinstance(inner, Name) and inner.id in needed and inner.id in hidden:
            source = hidden[inner.id].tree
            if isinstance(source, Call) and source.op in _SUMS:
                owners[inner.id] = statement.out.name
    owners = {name: owner for name, owner in owners.items() if name not in found}
    return {**_numbered(owners, graph), **found}


def _summands(statement: AnyStatement) -> list[str]:
    """The inner values that a sum is made of."""
    tree = statement.tree
    if not isinstance(tree, Call) or tree.op != "add":
        return []
    return [a.id for a in tree.args if isinstance(a, Name) and a.id.startswith("_")]


def _numbered(owners: Mapping[str, str], graph: Graph) -> Mapping[str, str]:
    """z for the only one; z1, z2 after h1, h2; z_f, z_i after f, i."""
    letter = "a" if "z" in graph.tensors and "a" not in graph.tensors else "z"
    if len(owners) < 2:
        return dict.fromkeys(owners, letter)
    digits = {k: owner[len(owner.rstrip("0123456789")) :] for k, owner in owners.items()}
    if all(digits.values()) and len(set(digits.values())) == len(digits):
        return {k: f"{letter}{digits[k]}" for k in owners}
    return {k: f"{letter}_{owner}" for k, owner in owners.items()}


def flat_names(graph: Graph) -> Mapping[str, str]:
    """What an inner value is called that a named one is a reshape of: Q_flat before Q."""
    found: dict[str, str] = {}
    behind: dict[str, str] = {}
    for statement in graph.statements:
        out = statement.out.name
        if isinstance(statement, Reshape) and statement.operand.name.startswith("_"):
            behind[out] = statement.operand.name
        elif isinstance(statement.tree, Call) and statement.tree.op == "transpose":
            inner = statement.tree.args[0]
            if isinstance(inner, Name) and inner.id in behind:
                behind[out] = behind[inner.id]
        if out in behind and not statement.hidden:
            found[behind[out]] = f"{out}_flat"
    return found


def _base(tree: Tree) -> str:
    if not isinstance(tree, Call):
        return "v"
    if tree.op == "inv" and isinstance(tree.args[0], Name):
        return f"{tree.args[0].id}_inv"
    if tree.op == "sub" and _mentions(tree.args[1], "mean"):
        return "xc"
    if tree.op == "sqrt" and _mentions(tree, "var"):
        return "std"
    return _BY_WORD.get(tree.op, "v")


def _mentions(tree: Tree, word: str) -> bool:
    if isinstance(tree, Call) and tree.op == word:
        return True
    return any(_mentions(child, word) for child in children(tree))
