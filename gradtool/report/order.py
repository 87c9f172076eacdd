"""What was asked for beside gradients: directions, Jacobians, second derivatives."""

from __future__ import annotations

from typing import Literal, TypeAlias

from gradtool.records import Struct
from gradtool.report.arguments import names
from gradtool.spec.usage import UsageError

OrderKind: TypeAlias = Literal["jvp", "jacobian", "hvp", "hessian"]


class Order(Struct, frozen=True):
    """A request.

    Attributes:
        kind: which derivative.
        names: jvp and hvp: what is varied, () for every differentiable variable.  hessian: one or
            two variables.  jacobian: (), a variable, or an output and a variable.
    """

    kind: OrderKind
    names: tuple[str, ...] = ()


def order_of(
    *,
    jvp: bool,
    hvp: bool,
    jacobian: str | None,
    hessian: str | None,
    wrt: tuple[str, ...] | None,
) -> Order | None:
    """The request that the options make; None when they ask for gradients.

    Raises:
        UsageError: two of them at once, a name too many, --wrt where names are given already.
    """
    given = {
        "--jvp": jvp,
        "--hvp": hvp,
        "--jacobian": jacobian is not None,
        "--hessian": hessian is not None,
    }
    chosen = [option for option, wanted in given.items() if wanted]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)}: give one of them")
    if jvp or hvp:
        return Order("jvp" if jvp else "hvp", wrt or ())
    if wrt:
        raise UsageError(f"{chosen[0]} names its variables itself: leave --wrt out")
    if hessian is not None:
        found = _pair(hessian, "--hessian")
        return Order("hessian", found if len(found) == 2 else found * 2)
    assert jacobian is not None
    return Order("jacobian", () if jacobian == "all" else _pair(jacobian, "--jacobian"))


def _pair(text: str, option: str) -> tuple[str, ...]:
    # W,W means what W means, so the names are not made different here.
    found = tuple(names([part], option)[0] for part in text.split(","))
    if len(found) > 2:
        raise UsageError(f"{option} {text!r}: expected one name, or two separated by a comma")
    return found
