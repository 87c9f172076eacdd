"""The right numbers, not summed, summed too far, or the other way round: wrong shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.graph import Statement
from gradtool.ir.index import Index, Tensor
from gradtool.records import Struct, replace

_MOST_AXES = 4


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier:
        return
    label, shape = evidence.label, evidence.variable.shape

    def of_right(change: Callable[[Array], Array]) -> Callable[[Seen], Array | None]:
        return lambda seen: change(seen.right)

    if len(shape) >= 2:
        for order in itertools.permutations(range(len(shape))):
            if order != tuple(range(len(shape))):
                yield Hypothesis(
                    "transposed", 0.8, "it is transposed",
                    of_right(lambda right, o=order: np.transpose(right, o)),  # type: ignore[misc]
                    lambda o=order: (  # type: ignore[misc]
                        f"your {label} equals the right one with its axes in the order {o}"
                    ),
                )  # fmt: skip
    if shape:
        for count in range(1, len(shape) + 1):
            for axes in itertools.combinations(range(len(shape)), count):
                which = "every axis" if count == len(shape) else f"axis {axes[0]}"
                for code, word, reduce in (
                    ("extra-sum", "sum", np.sum), ("extra-sum", "mean", np.mean),
                ):  # fmt: skip
                    yield Hypothesis(
                        code, 0.9, f"a {word} over {which} too many",
                        of_right(lambda right, a=axes, f=reduce: f(right, axis=a)),  # type: ignore[misc]
                        lambda w=word, x=which: (  # type: ignore[misc]
                            f"your {label} equals the {w} of the right one over {x}"
                        ),
                    )  # fmt: skip
    yield from _unsummed(evidence)


class _Open(Struct, frozen=True):
    """The products that a gradient sums, over all their axes; then summed over some."""

    evidence: Evidence
    statement: Statement
    grain: Grain
    summed: tuple[int, ...]
    order: tuple[int, ...]

    def predict(self, seen: Seen) -> Array | None:
        bench = self.evidence.bench(self.grain, seen.number)
        whole: Array = np.asarray(bench.opened(self.statement))
        summed: Array = whole.sum(axis=self.summed)
        return summed.transpose(self.order)


def _unsummed(evidence: Evidence) -> Iterator[Hypothesis]:
    for grain in evidence.grains:
        place = grain.place(grain.gradients[evidence.name])
        statement = grain.statements[place] if place is not None else None
        if not isinstance(statement, Statement) or len(statement.body.terms) != 1:
            continue
        term = statement.body.terms[0].freshened()
        axes = (*statement.free, *term.bound)
        real = [k for k, i in enumerate(axes) if i.size.as_int != 1]
        if not term.bound or len(real) > _MOST_AXES or len(axes) > _MOST_AXES + 1:
            continue
        whole = opened(statement)
        right_sum = set(range(len(statement.free), len(axes)))
        for count in range(len(axes)):
            for summed in itertools.combinations(range(len(axes)), count):
                rest = [k for k in range(len(axes)) if k not in summed]
                missing = right_sum - set(summed)
                if not missing and set(summed) == right_sum:
                    continue
                for order in itertools.permutations(range(len(rest))):
                    made = _Open(evidence, whole, grain, summed, order)
                    sizes = " and ".join(str(axes[k].size) for k in sorted(missing))
                    if set(summed) <= right_sum:
                        code, what = "missing-sum", f"the sum over {sizes} is missing"
                    else:
                        code, what = "wrong-axis", "the sum runs over the wrong axis"
                    yield Hypothesis(code, 0.95 + 0.05 * count, what, made.predict)


def opened(statement: Statement, number: int = 0) -> Statement:
    """A term of the statement with its bound indices free as well."""
    term = statement.body.terms[number].freshened()
    free: tuple[Index, ...] = (*statement.free, *term.bound)
    body = replace(statement.body, terms=(replace(term, bound=()),))
    out = Tensor(f"{statement.out.name}:open{number or ''}", tuple(i.size for i in free))
    return replace(statement, out=out, free=free, body=body)
