"""Functions that other libraries have under a name of NumPy's, with another meaning.

A forward pass may be pasted with its ``torch.`` and ``scipy.special.`` in front.  Where such a
function does not do what the word of the language does, the line is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from gradtool.records import Struct


class Dialect(Struct, frozen=True):
    """What a function of a library does otherwise.

    Attributes:
        modules: names, one of which stands in front of it.
        words: the functions.
        means: what they do there.
        hint: what to write.
        unless: arguments after the first, or keywords, with which the meaning is the same.
    """

    modules: frozenset[str]
    words: frozenset[str]
    means: str
    hint: str
    unless: frozenset[str] = frozenset()


_NAMED = frozenset(("axis", "dim", ""))  # "": a second argument

DIALECTS = (
    Dialect(
        frozenset(("scipy", "special")),
        frozenset(("softmax", "log_softmax", "logsumexp")),
        "in SciPy this goes over all axes when none is named",
        "name the axis: softmax(X, axis=-1)",
        _NAMED,
    ),
    Dialect(
        frozenset(("torch", "nn", "functional", "F")),
        frozenset(("softmax", "log_softmax")),
        "in PyTorch the axis of this depends on the rank when none is named",
        "name the axis: softmax(X, axis=-1)",
        _NAMED,
    ),
    Dialect(
        frozenset(("torch",)),
        frozenset(("var", "std")),
        "in PyTorch this divides by N - 1",
        "write np.var(X, ddof=1), or np.var(X) for a division by N",
    ),
    Dialect(
        frozenset(("nn", "functional", "F")),
        frozenset(("pad",)),
        "in PyTorch the widths begin at the last axis",
        "write np.pad with a pair for every axis",
    ),
    Dialect(
        frozenset(("torch",)),
        frozenset(("transpose",)),
        "in PyTorch this swaps two axes",
        "write np.swapaxes(X, 0, 1)",
    ),
)


def difference(modules: Collection[str], call: ast.Call, word: str) -> Dialect | None:
    """What a call with these names in front of it means otherwise; None when it means the same."""
    given = {keyword.arg for keyword in call.keywords} | ({""} if len(call.args) > 1 else set())
    for dialect in DIALECTS:
        meant = word in dialect.words and dialect.modules.intersection(modules)
        if meant and dialect.unless.isdisjoint(given):
            return dialect
    return None


def modules_of(node: ast.expr) -> frozenset[str]:
    """The names of ``torch.nn.functional``."""
    return frozenset(
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    )
