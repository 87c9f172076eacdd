"""Which of several explanations is told, and when none is.

The user's code shows a mistake by a change that mends it, the numbers show one by a line of the
derivation that explains them.  Where two mistakes of different kinds do so equally well, and
neither speaks for the other, both are said and none is told: a guess would be wrong half the time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from gradtool.check.causes.catalogue import title
from gradtool.check.diagnose_evidence import Evidence
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_pattern import pattern
from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.targets import Repair
from gradtool.check.result import Cause
from gradtool.records import Struct

PLAIN = 1.16  # a mistake as plain as this needs no further search
_SHARED = 0.4
_AGREED = 0.15
_FIRST = 0.05  # of what the numbers speak for the likeliest
_NEAR = 0.25  # beyond the cheapest: what the numbers still speak for
_DOUBT = 0.08  # two mistakes whose costs differ by no more are as likely
_GUESS = 0.3  # the same, of changes that leave another gradient wrong
# What looks like any number, term or place in the code, and costs no more than this.
_SPECIAL = {"constant": 1.3, "label-shift": 1.4, "regulariser": 1.1, "updated": 1.1}

# Mistakes that are the same in other words: which of them is told is a matter of taste.
_FAMILIES = (
    {"missing-path", "missing-term"},
    {"wrong-tensor", "wrong-gradient", "wrong-point"},
    {"scale", "mean-for-sum", "sum-for-mean"},
    {"transposed", "swapped-order"},
    {"power", "inverted-factor"},
    {"mask", "mask-missing"},
    {"offset", "stride-ignored", "padding", "skipped", "some-entries"},
)
# Mistakes of which one is a kind of the other: telling either is no guess.
_KIN = (
    {"missing-factor", "mask-missing", "upstream-ignored"},
    {"missing-factor", "power", "inverted-factor"},
    {"power", "wrong-function"},  # a root is a power
    {"missing-path", "missing-term", "regulariser"},
    {"wrong-axis", "missing-sum", "extra-sum"},
    # A later gradient stands where an earlier one belongs: what lies between them is missing.
    {"wrong-gradient", "missing-sum"},
    {"wrong-gradient", "missing-factor"},
    {"wrong-gradient", "mask-missing"},
    {"scale", "mean-for-sum", "sum-for-mean", "constant", "missing-factor", "extra-factor"},
)


class Explained(Struct, frozen=True):
    """A hypothesis that explains a gradient, and how well."""

    hypothesis: Hypothesis
    residual: float


Found = Mapping[str, tuple[Evidence, list[Explained]]]


def by_numbers(
    evidence: Evidence, kept: Sequence[Explained], found: Found
) -> tuple[Cause, Explained | None]:
    """The simplest explanation; one mistake that explains several gradients is preferred.

    With it what tells it; None where two do.
    """
    ranked = _ranked(kept, found)
    (cost, best), *others = ranked
    code = best.hypothesis.code
    for dearer, other in others:
        if dearer < cost + _DOUBT and not _alike(code, other.hypothesis.code):
            return _either(best.hypothesis.what, other.hypothesis.what), None
    return told(evidence, best), best


def by_code(
    evidence: Evidence, kept: Sequence[Explained], repaired: Sequence[Repair], found: Found
) -> tuple[Cause, Repair | None]:
    """The mistake that the user's code shows; in the words of the derivation where it agrees.

    With it the change that tells it; None where two do.
    """
    if repaired[0].of_forward:
        return _of_forward(repaired[0]), repaired[0]
    speaking = [_spoken_for(others) for _, others in found.values() if others]

    first = _ranked(kept, found)[0][1].hypothesis.code if kept else ""

    def rank(repair: Repair) -> tuple[float, float]:
        code = repair.fix.code
        agreed = sum(code in codes for codes in speaking) / max(len(speaking), 1)
        same = [e.hypothesis.cost for e in kept if e.hypothesis.code == code]
        return repair.cost - _AGREED * agreed - _FIRST * (code == first), min(same, default=9.0)

    ranked = sorted(repaired, key=rank)
    best = ranked[0]
    own = _family(best.fix.code)
    if best.fix.code == "sign":  # the code says it better than a penalty that comes out alike
        kept = [e for e in kept if e.hypothesis.code != "regulariser"]
    agreeing = [
        e
        for e in kept
        if (e.hypothesis.code in own and e.hypothesis.cost <= max(PLAIN, best.cost))
        or (best.fix.code != "mask" and e.hypothesis.cost <= _SPECIAL.get(e.hypothesis.code, 0.0))
    ]
    plainer = _plainer(kept, best, found) if not (agreeing or rank(best)[0] < best.cost) else None
    if plainer is not None:
        return told(evidence, plainer), best
    special = any(e.hypothesis.code in _SPECIAL for e in agreeing)
    most = rank(best)[0] + (_DOUBT if best.whole else _GUESS)
    rival = _rival(best, () if special else (r for r in ranked[1:] if rank(r)[0] < most))
    if rival is not None:
        return _either(_shown(best), _shown(rival)), None
    # Of an index in the code the code's own words are plainer than those of a formula.
    moved = isinstance(best.fix.node, ast.Subscript) and best.fix.code == "transposed"
    if agreeing and not moved:
        return told(evidence, _ranked(agreeing, found)[0][1]), best
    code, what = best.fix.code, best.fix.what
    seen = pattern(evidence) if code == "some-entries" else None
    if seen is not None and seen[0] == code:
        what = seen[1]
    if best.factor:
        what = f"two mistakes: {what}; and it is {best.factor} times what is right"
    return proved(best, what), best


def of_output(repaired: Sequence[Repair]) -> tuple[Cause, Repair | None]:
    """The mistake that makes an output wrong, and the change that tells it; None where two do."""
    best, *others = repaired
    rival = _rival(best, (r for r in others if r.cost < best.cost + _DOUBT))
    if rival is not None:
        return _either(_shown(best), _shown(rival)), None
    return proved(best, best.fix.what), best


def _rival(best: Repair, others: Iterable[Repair]) -> Repair | None:
    """The first change that is another mistake than the best, not the same in other words."""
    for other in others:
        if not _alike(best.fix.code, other.fix.code) and not _is_same(best.fix, other.fix):
            return other
    return None


def _plainer(kept: Sequence[Explained], best: Repair, found: Found) -> Explained | None:
    """What the numbers show, where the code shows something that is rather a chance: of another
    operator or another sum any values may come, a whole gradient of the derivation does not."""
    if best.fix.code != "operator" or not kept:
        return None
    cost, first = _ranked(kept, found)[0]
    return first if cost < best.cost - _AGREED / 2 else None


def _ranked(kept: Sequence[Explained], found: Found) -> list[tuple[float, Explained]]:
    keys = [{_key(e.hypothesis) for e in others} for _, others in found.values()]

    def cost(explained: Explained) -> float:
        shared = sum(_key(explained.hypothesis) in k for k in keys) - 1
        return explained.hypothesis.cost - _SHARED * min(shared, 1)

    def rank(pair: tuple[float, Explained]) -> tuple[float, str, int]:
        # Not by how well it rounds: of several gradients each would be told another mistake.
        # Of equals the one that says more.
        hypothesis = pair[1].hypothesis
        return round(pair[0], 9), hypothesis.code, -len(hypothesis.what)

    return sorted(((cost(e), e) for e in kept), key=rank)


def _key(hypothesis: Hypothesis) -> str:
    """What is the same in several gradients: a factor that each of them lacks may have been lost
    in one line, whichever it is in the derivation."""
    factor = hypothesis.code in ("missing-factor", "mask-missing")
    return hypothesis.what if factor else hypothesis.key


def _spoken_for(kept: Sequence[Explained]) -> frozenset[str]:
    """The codes that the numbers of a gradient speak for."""
    least = min(e.hypothesis.cost for e in kept)
    codes = [e.hypothesis.code for e in kept if e.hypothesis.cost <= least + _NEAR]
    return frozenset(code for one in codes for code in _family(one))


def _family(code: str) -> frozenset[str]:
    return frozenset(next((f for f in _FAMILIES if code in f), {code}))


def _alike(code: str, other: str) -> bool:
    return other in _family(code) or any({code, other} <= kin for kin in _KIN)


def _is_same(one: Fix, other: Fix) -> bool:
    """Whether two changes are one mistake in other words: of a statement and of a part of it, or
    of another value in a product and of the factor, or the term, by which the two values differ.
    """
    inner, outer = (one, other) if _contains(other.node, one.node) else (other, one)
    if not _contains(outer.node, inner.node):
        return False
    kinds = {_family(one.code), _family(other.code)}
    return isinstance(outer.node, ast.stmt) or kinds in (_VALUE_OR_FACTOR, _TERM_OR_FACTOR)


def _contains(tree: ast.AST, node: ast.AST) -> bool:
    return any(inner is node for inner in ast.walk(tree))


_VALUE_OR_FACTOR = {_family("wrong-tensor"), _family("missing-factor")}
_TERM_OR_FACTOR = {_family("missing-path"), _family("missing-factor")}  # g - g * s is g * (1 - s)


def _shown(repair: Repair) -> str:
    return f"{repair.fix.what} (line {repair.line}: {repair.proof})"


def _either(one: str, other: str) -> Cause:
    return Cause("unknown", f"either {one}, or {other}", 0.0, title=title("unknown"))


def _of_forward(best: Repair) -> Cause:
    """What makes an output wrong, and the gradient with it: one mistake."""
    outputs = sorted(k.removeprefix("output ") for k in best.right if k.startswith("output "))
    return proved(best, f"the mistake that makes {' and '.join(outputs)} wrong: {best.fix.what}")


def proved(repair: Repair, what: str) -> Cause:
    """The mistake that a change of the user's code proves, in these words."""
    code, measure = repair.fix.code, f"tried at {repair.points} point{'s' * (repair.points > 1)}"
    return Cause(code, what, 1.0, repair.proof, measure, title(code))


def told(evidence: Evidence, best: Explained) -> Cause:
    """The mistake that the numbers show."""
    hypothesis = best.hypothesis
    how = "exactly" if best.residual == 0 else f"to {best.residual:.0e}"
    measure = f"explains all {evidence.all_entries} entries {how}"
    code, what = hypothesis.code, hypothesis.what
    explains = 0.0 if code == "unknown" else 1.0
    return Cause(code, what, explains, hypothesis.proof(), measure, title(code))
