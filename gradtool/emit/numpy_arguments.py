"""Softmaxes of what only index notation knows, such as of windows, as calls of the word.

Written out from index notation they are exponentials and their sums, which overflow where the word
does not.  So what they are of becomes a value of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradtool.emit.numpy_words import known_words
from gradtool.ir.graph import AnyStatement, Statement
from gradtool.ir.index import Tensor
from gradtool.ir.poly import Function
from gradtool.ir.tree import Call, Name, Tree, call
from gradtool.records import replace

STABLE = ("softmax", "log_softmax", "logsumexp")


def with_arguments(statements: Iterable[AnyStatement]) -> tuple[AnyStatement, ...]:
    """The statements with a value for what a softmax or one of its family is of."""
    made: list[AnyStatement] = []
    exponentials: dict[Tree, Statement] = {}
    arguments: dict[Tree, str] = {}
    for statement in statements:
        tree = statement.tree
        if isinstance(statement, Statement) and isinstance(tree, Call):
            if tree.op == "exp":
                exponentials[tree] = statement
            elif tree.op in STABLE and not known_words(tree):
                (of,) = tree.args
                if of not in arguments:
                    value = _argument(exponentials.get(call("exp", of)), of)
                    if value is not None:
                        made.append(value)
                        arguments[of] = value.out.name
                if of in arguments:
                    word = replace(tree, args=(Name(arguments[of]),))
                    statement = replace(statement, tree=word)
        made.append(statement)
    return tuple(made)


def _argument(exponential: Statement | None, tree: Tree) -> Statement | None:
    """The z of a statement ``exp(z)``, whose tree is `tree`."""
    term = None if exponential is None else exponential.body.single
    if exponential is None or term is None or term.coefficient != 1 or len(term.factors) != 1:
        return None
    base, exponent = term.factors[0]
    if not isinstance(base, Function) or base.name != "exp" or exponent != 1:
        return None
    out = exponential.out
    hidden = Tensor(f"{out.name}_of", out.shape)
    return Statement(
        hidden, exponential.free, base.args[0], tree, hidden=True, line=exponential.line
    )
