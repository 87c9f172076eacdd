"""Constants of a layer that the code has no place for: a convolution that knows no stride.

Such code computes another layer, whatever else is wrong in it; its numbers do not tell why.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradtool.check.facts import Case
from gradtool.check.result import Compared, Remark


def not_given(case: Case, outputs: Iterable[Compared]) -> list[Remark]:
    """The remark on a wrong forward pass that is not given whole numbers of the layer.

    Others, such as an eps, are mostly written in the code itself.
    """
    if not any(output.standing == "wrong" for output in outputs):
        return []
    whole = {n: v for n, v in case.reference.constants.items() if isinstance(v, int)}
    missing = [f"{n} = {v}" for n, v in whole.items() if not case.binding.mentions(n)]
    if not missing:
        return []
    has = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
    text = f"the layer has {has}, and no argument of your code is called so"
    return [Remark("constant", text)]
