"""Another convention for the gradient of a symmetric matrix: of which of its entries it is.

A forward pass that is defined for symmetric matrices does not say what an entry alone does.  The
right gradient is symmetric, with half of what a pair of entries does at each of the two places.
The gradient with regard to a triangle has all of it at one place (S. P. Smith, 1995,
Differentiation of the Cholesky algorithm), or at both (K. B. Petersen and M. S. Pedersen, 2012,
The Matrix Cookbook, section 2.8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array

_SYMMETRIC = frozenset({"symmetric", "positive-definite"})
_WORDS = {"lower": "below", "upper": "above"}


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or evidence.variable.domain.kind not in _SYMMETRIC:
        return
    label, name = evidence.label, evidence.name

    def of_right(change: Callable[[Array], Array]) -> Callable[[Seen], Array | None]:
        return lambda seen: change(seen.right)

    spread = f"{name} is symmetric: the right {label} is, too, with half at each of two places"
    for side, cut in _CUTS.items():
        yield Hypothesis(
            "triangle", 0.6,
            f"it is the gradient by the {side} triangle of {name}, where an entry beside the "
            f"diagonal counts for both of its places. {spread}",
            of_right(lambda right, c=cut: c(_doubled(right))),  # type: ignore[misc]
            lambda s=side: (  # type: ignore[misc]
                f"your {label} equals twice the right one {_WORDS[s]} the diagonal, the right "
                "one on it, and zero elsewhere"
            ),
            "triangle",
        )  # fmt: skip
    yield Hypothesis(
        "triangle", 0.6,
        f"each entry beside the diagonal counts for both of its places, at both. {spread}",
        of_right(_doubled),
        lambda: f"your {label} equals twice the right one beside the diagonal",
        "triangle",
    )  # fmt: skip
    for side, cut in _CUTS.items():
        yield Hypothesis(
            "triangle", 0.8, f"only its {side} triangle is there, the rest is zero",
            of_right(cut),
            lambda s=side: f"your {label} equals np.{_NAMES[s]} of the right one",  # type: ignore[misc]
            "triangle",
        )  # fmt: skip


_CUTS: dict[str, Callable[[Array], Array]] = {"lower": np.tril, "upper": np.triu}
_NAMES = {"lower": "tril", "upper": "triu"}


def _doubled(right: Array) -> Array:
    """All that a pair of entries does, at both of their places."""
    return np.asarray(right * (2.0 - np.eye(right.shape[-1])))
