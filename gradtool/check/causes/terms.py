"""Coefficients of the paths: the derived gradient is a sum, and every path may be mis-scaled.

Least squares of the user's array on the terms of the derived gradient, at each point.  (1, 1, 0)
means that a path is missing, (1, -1, 1) a sign, (N, N, N) a forgotten mean.  A coefficient counts
only as a simple expression of sizes and constants that is the same at every size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import Factor, Numbers, named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain, written
from gradtool.check.diagnose_shares import is_spread
from gradtool.check.measure import Point
from gradtool.check.scale import ratio
from gradtool.emit.text import text
from gradtool.ir.graph import AnyStatement, Statement
from gradtool.ir.poly import Poly, Size, Symbol, Term
from gradtool.ir.tree import Call, Tree, integer, replace_names
from gradtool.ir.walk import accesses
from gradtool.records import Struct, replace

_MOST_TERMS = 12
_FIT = 1e-9


class _Fit(Struct, frozen=True):
    evidence: Evidence
    grain: Grain
    statement: Statement
    factors: tuple[Factor, ...]

    def predict(self, seen: Seen) -> Array:
        bench = self.evidence.bench(self.grain, seen.number)
        numbers = numbers_at(seen)
        total = np.zeros(seen.right.shape)
        for term, factor in zip(self.statement.body.terms, self.factors, strict=True):
            by = factor.value(numbers)
            if by:
                total = total + by * bench.term(self.statement, term)
        return total

    def proof(self) -> str:
        body, free = self.statement.body, self.statement.free
        label = self.evidence.label
        changed = [k for k, f in enumerate(self.factors) if f.text != "1"]
        if len({f.text for f in self.factors}) == 1:
            return f"your {label} equals {self.factors[0].text} times the right one"
        lost = poly([body.terms[k] for k in changed if self.factors[k].text == "0"])
        if all(self.factors[k].text == "0" for k in changed):
            return f"your {label} equals the right one without {_signed(self.grain, lost, free)}"
        parts = [
            f"{_signed(self.grain, poly([body.terms[k]]), free)} taken {self.factors[k].text} times"
            for k in changed
        ]
        return f"your {label} equals the right one with {', and '.join(parts)}"


def poly(terms: Sequence[Term]) -> Poly:
    return Poly(tuple(terms))


def _signed(grain: Grain, body: Poly, free: Sequence[object]) -> str:
    """A part of a sum with its sign in front."""
    shown = written(grain, body, free)  # type: ignore[arg-type]
    if shown.startswith("-"):
        return f"- {shown[1:]}"
    return f"+ {shown}" if shown else "one of its terms"


def numbers_at(seen: Seen) -> Numbers:
    return _numbers(seen.point)


def _numbers(point: Point) -> Numbers:
    probe = point.probe
    return {**probe.env, **{n: float(v) for n, v in probe.scalars.items() if isinstance(v, float)}}


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits:
        return
    done: set[str] = set()
    for rank, grain in enumerate(evidence.grains):
        tensor = grain.gradients.get(evidence.name)
        place = grain.place(tensor) if tensor is not None else None
        statement = grain.statements[place] if place is not None else None
        if not isinstance(statement, Statement) or statement.body.key in done:
            continue
        done.add(statement.body.key)
        if not 0 < len(statement.body.terms) <= _MOST_TERMS:
            continue
        factors = _fitted(evidence, grain, statement)
        if factors is None:
            continue
        fit = _Fit(evidence, grain, statement, factors)
        code, cost, what = _told(evidence, statement, factors)
        # A term in brackets may be all that comes through one value: dY.mean() through the mean.
        missing = code in ("missing-path", "missing-term")
        through = _through(evidence, fit.predict) if missing else None
        if through is not None:
            code, what = "missing-path", f"the path through {through} is missing"
            cost -= 0.3  # that without this path the numbers come out, is proved
        yield Hypothesis(code, cost + 0.05 * rank, what, fit.predict, fit.proof, f"{code} {what}")


def _through(evidence: Evidence, predict: Callable[[Seen], Array]) -> str | None:
    """The forward value whose path is missing, in words; None when it is no single one."""
    seen = evidence.telling[0]
    wanted = predict(seen)
    for grain in evidence.grains:
        tensor = grain.gradients[evidence.name]
        bench = evidence.bench(grain, seen.number)
        for place in sorted(grain.leads_to(tensor), reverse=True):
            statement = grain.statements[place]
            source = _forward_of(grain, statement.out.name)
            if place < grain.first or source is None or not isinstance(statement, Statement):
                continue
            without = replace(statement, body=Poly(()))
            found = bench.changed(tensor, {place: without})
            scale = float(np.max(np.abs(wanted), initial=0.0))
            if found.shape == wanted.shape and np.all(np.abs(found - wanted) <= 1e-9 * scale):
                return _words(source, grain)
    return None


def _forward_of(grain: Grain, cotangent: str) -> AnyStatement | None:
    name = cotangent.removeprefix("d")
    place = grain.place(name)
    return grain.statements[place] if place is not None and place < grain.first else None


_WORDS = {
    "mean": "the mean", "var": "the variance", "std": "the standard deviation",
    "sum": "the sum", "max": "the maximum", "min": "the minimum", "sqrt": "the root",
    "exp": "the exponential", "softmax": "the softmax", "matmul": "the product",
}  # fmt: skip


def _words(statement: AnyStatement, grain: Grain) -> str:
    """``the mean (mu)``."""
    tree = replace_names(statement.tree, grain.shown)
    word = _WORDS.get(tree.op, "") if isinstance(tree, Call) else ""
    if isinstance(tree, Call) and tree.op == "mean" and _is_square(tree.args[0]):
        word = "the variance"
    name = statement.out.name
    if statement.hidden:
        return word or text(tree)
    return f"{word} ({name})" if word else name


def _is_square(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "pow" and tree.args[1] == integer(2)


def _fitted(evidence: Evidence, grain: Grain, statement: Statement) -> tuple[Factor, ...] | None:
    """A factor for each term, or None when no simple ones explain the gradient."""
    count = len(statement.body.terms)
    found: list[tuple[Array, Numbers]] = []
    for seen in evidence.telling:
        bench = evidence.bench(grain, seen.number)
        with np.errstate(all="ignore"):
            columns = [bench.term(statement, t).ravel() for t in statement.body.terms]
        matrix = np.stack(columns, axis=1)
        if not np.all(np.isfinite(matrix)) or matrix.shape[0] <= count:
            continue
        norms = np.linalg.norm(matrix, axis=0)
        if not np.all(norms > 0):
            continue
        scaled = matrix / norms
        values, _, rank, spread = np.linalg.lstsq(scaled, seen.got.ravel(), rcond=None)
        if rank < count or spread[-1] < 1e-6 * spread[0]:
            continue
        size = float(np.linalg.norm(seen.got)) or 1.0
        if float(np.linalg.norm(scaled @ values - seen.got.ravel())) > _FIT * size:
            if not seen.is_right:
                return None
            continue
        found.append((values / norms, numbers_at(seen)))
    if not found:
        return None
    whole = all(np.allclose(values, values[0], rtol=_FIT, atol=0.0) for values, _ in found)
    elsewhere = _with_other_constants(evidence) if whole else []
    at = [numbers for _, numbers in (*found, *elsewhere)]
    factors = []
    for k in range(count):
        values_of_one = [float(values[k]) for values, _ in found]
        factor = named([*values_of_one, *(value for value, _ in elsewhere)], at)
        if factor is None:
            return None
        factors.append(factor)
    if all(f.text == "1" for f in factors):
        return None
    return tuple(factors)


def _with_other_constants(evidence: Evidence) -> list[tuple[float, Numbers]]:
    """The factor of the whole gradient where constants are not the spec's.

    A half may be a constant that is 1/2 in the spec; there it is another number.
    """
    found: list[tuple[float, Numbers]] = []
    for point in evidence.calls:
        outcome = point.gradients.get(evidence.name)
        if not point.probe.setting.constants or outcome is None or outcome.array is None:
            continue
        bound = point.expected.gradient_bounds[evidence.name]
        factor = ratio(outcome.array, point.expected.gradients[evidence.name], bound)
        if factor is not None:
            found.append((factor, _numbers(point)))
    return found


def _told(
    evidence: Evidence, statement: Statement, factors: tuple[Factor, ...]
) -> tuple[str, float, str]:
    """Code, cost and words for a set of factors."""
    terms = statement.body.terms
    changed = [(t, f.text) for t, f in zip(terms, factors, strict=True) if f.text != "1"]
    texts = {text for _, text in changed}
    own = [_is_own(t, evidence.name) for t, _ in changed]
    if texts == {"0"} and len(changed) == len(terms):
        return "missing-path", 1.6, "every path is missing: it is zero but for rounding"
    if all(own) and len(terms) > len(changed):
        text = changed[0][1]
        if text == "-1":
            return "sign", 0.9, "the sign of the regulariser's gradient is wrong"
        word = {"0": "is missing", "2": "is doubled", "1/2": "is halved"}.get(
            text, f"is taken {text} times"
        )
        return "regulariser", 0.88, f"the regulariser's own gradient {word}"
    kept = [t for t, f in zip(terms, factors, strict=True) if f.text == "1"]
    if texts == {"0"} and all(is_spread(term, kept) for term, _ in changed):
        return "missing-factor", 0.9 + 0.3 * (len(changed) - 1), "a factor in brackets is missing"
    if texts == {"0"} and len(changed) == 1 and any(is_spread(t, (changed[0][0],)) for t in kept):
        return "missing-term", 0.9, "a term in brackets is missing"
    if texts == {"0"}:
        many = "a path is" if len(changed) == 1 else f"{len(changed)} paths are"
        return "missing-path", 0.9 + 0.3 * (len(changed) - 1), f"{many} missing"
    if texts == {"-1"}:
        if len(changed) == len(terms):
            return "sign", 0.95, "its sign is wrong"
        return "sign", 0.7 + 0.2 * len(changed), "the sign of a path is wrong"
    if len(texts) == 1:
        (text,) = texts
        whole = len(changed) == len(terms)
        one, _, other = text.removeprefix("sqrt(").removesuffix(")").partition("/")
        if one.isidentifier() and other.isidentifier():
            return "wrong-axis", 1.1, f"the size {other} stands where {one} belongs"
        code = _scale_code([t for t, _ in changed], text)
        if code == "scale" and whole and text in _divided(evidence):
            code = "sum-for-mean"
        if code == "sum-for-mean" and text in _real_constants(evidence):
            code = "missing-factor"  # no number of anything, as a mean divides by
        part = "it is" if whole else "a path is"
        what = {
            "mean-for-sum": f"{part} a mean where a sum belongs: {text} times what is right",
            "sum-for-mean": f"{part} not averaged: {text} times what is right",
            "missing-factor": f"{part} not divided by {text}: {text} times what is right",
        }.get(code, f"{part} {text} times what is right")
        return code, (1 if whole else 1.2) + 0.2 * any(c in text for c in ("*", ".", "(1 - ")), what
    listed = ", ".join(f.text for f in factors)
    # Several factors are a fact about the numbers; which mistake makes them they do not tell.
    return "unknown", 2.5, f"the paths have the factors ({listed}) instead of 1 each"


def _real_constants(evidence: Evidence) -> list[str]:
    constants = evidence.derived.graph.constants if evidence.derived else {}
    return [name for name, value in constants.items() if not isinstance(value, int)]


def _is_own(term: Term, name: str) -> bool:
    """Whether a term is that of a regulariser: the variable itself, scaled."""
    tensors = {a.tensor.name for a in accesses(Poly((term,)))}
    return tensors == {name}


def _divided(evidence: Evidence) -> frozenset[str]:
    """The sizes that a pass divides by anywhere: those that a mean counts."""
    bodies = [
        s.body
        for grain in evidence.grains[:1]
        for s in grain.statements
        if isinstance(s, Statement)
    ]
    return frozenset(
        base.name if isinstance(base, Symbol) else str(base.dim)
        for body in bodies
        for term in body.terms
        for base, power in term.factors
        if isinstance(base, Symbol | Size) and power < 0
    )


def _scale_code(terms: Sequence[Term], text: str) -> str:
    for term in terms:
        for index in term.bound:
            if text == f"1/{index.size}":
                return "mean-for-sum"
    divided = {
        (b.name if isinstance(b, Symbol) else str(b.dim))
        for t in terms
        for b, e in t.factors
        if isinstance(b, Symbol | Size) and e < 0
    }
    return "sum-for-mean" if text in divided else "scale"
