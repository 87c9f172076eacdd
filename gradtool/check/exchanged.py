"""A loss that is the same when prediction and target change places, such as a squared error.

Its forward does not show which argument is which, and neither do names such as ``a`` and ``b``.
Its gradient with respect to the second is the one with respect to the first with the sign wrong,
so nobody but the author can tell which of the two it is.
"""

from __future__ import annotations

import ast

from gradtool.check.arguments import Names, compared
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.words import folded, is_prediction, is_true_value
from gradtool.ir import syntax
from gradtool.records import replace


def exchanged(binding: Binding, candidate: Candidate, names: Names) -> Binding | None:
    """The binding with prediction and target the other way round, in which nothing is right for
    sure.

    None for a layer that has no such pair, and where a name tells which is which.
    """
    pair = compared(names)
    if pair is None or candidate.forward is None or binding.grads:
        return None
    prediction, target = pair
    params = candidate.forward.params
    if len(params) < len(pair) or any(
        is_prediction(p) or is_true_value(p) or folded(p) == folded(target) for p in params
    ):
        return None
    other = {prediction: target, target: prediction}
    texts = [_renamed(t, other) for t in (binding.setup, binding.forward, binding.backward)]
    return replace(
        binding,
        setup=texts[0],
        forward=texts[1],
        backward=texts[2],
        convention=f"{binding.convention}, exchanged",
        undecided=f"no name tells which argument is the prediction. With {params[0]}, the gradient "
        f"has the wrong sign; with {params[1]}, it is right. Say which it is in a check: block, or "
        f"by a name such as {params[0]}_pred",
    )


def _renamed(text: str | None, names: dict[str, str]) -> str | None:
    if text is None:
        return None
    tree = syntax.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)
