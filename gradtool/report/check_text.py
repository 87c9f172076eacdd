"""A verdict for the terminal: aligned columns, plain when piped."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from gradtool.check.result import Compared, Verdict
from gradtool.report import heatmap

if TYPE_CHECKING:
    from rich.text import Text

_INDENT = "  "
_BESIDE, _WIDTH, _LEAST = 3, 100, 40
_WIDEST = 48  # of what stands beside the explanation

Explain: TypeAlias = Literal["none", "cause", "full"]

_STYLES = {
    "ok": "green",
    "wrong": "bold red",
    "follows": "yellow",
    "not offered": "yellow",
    "not computed": "red",
}
_WORDS = {"follows": "follows your forward"}


def lines(
    verdict: Verdict, *, hide_expected: bool = False, explain: Explain = "full", spec: str = ""
) -> list[tuple[str, str]]:
    """The report as lines of (style, text); the style is one of rich's, or "".

    `explain` is "none" for the verdict alone, "cause" for the cause and its line, "full" for the
    formula that proves it, too.  `spec` is what `gradtool derive` takes to derive this layer,
    where there is such a thing: a report that hides nothing says so below a wrong gradient.
    """
    out = [("bold", _header(verdict))]
    if verdict.convention and verdict.convention != "as the spec says":
        out.append(("dim", f"{_INDENT}taken as: {verdict.convention}"))
        out += [("dim", f"{_INDENT}{_INDENT}{text}") for text in verdict.binding]
    out += [("dim", f"{_INDENT}note      {note}") for note in verdict.notes]
    out.append(("", ""))
    out += _table(verdict, hide_expected, explain)
    if verdict.trouble is not None:
        out += _trouble(verdict)
    out += [("yellow", f"{_INDENT}remark    {r.message}") for r in verdict.remarks]
    out += [("yellow", f"{_INDENT}conduct   {r.message}") for r in verdict.conduct]
    out += [("", ""), ("bold", _summary(verdict))]
    if spec and explain == "full" and not hide_expected and _is_any_wrong(verdict):
        out.append(("dim", f"`gradtool derive {shlex.quote(spec)} --steps` shows the way"))
    return out


def _is_any_wrong(verdict: Verdict) -> bool:
    return any(gradient.standing == "wrong" for gradient in verdict.gradients)


def pages(
    verdicts: Sequence[Verdict],
    specs: Sequence[str],
    *,
    hide_expected: bool = False,
    explain: Explain = "full",
) -> list[list[tuple[str, str]]]:
    """A report for each verdict, and one list of the pairs that are none of the layers.

    `specs` are for each verdict what `gradtool derive` takes, or "".
    """
    both = list(zip(verdicts, specs, strict=True))
    known = [(v, spec) for v, spec in both if not _is_unmatched(v)]
    unknown = [v for v in verdicts if _is_unmatched(v)]
    found = [lines(v, hide_expected=hide_expected, explain=explain, spec=s) for v, s in known]
    if unknown:
        found.append(_unmatched(unknown, len(known)))
    return found


def _is_unmatched(verdict: Verdict) -> bool:
    return verdict.trouble is not None and verdict.trouble.stage == "match"


def _unmatched(verdicts: Sequence[Verdict], known: int) -> list[tuple[str, str]]:
    file = verdicts[0].file
    count = f"{len(verdicts)} of {known + len(verdicts)} pairs"
    out = [("bold", f"{file}   {count} not matched with a layer, so not checked"), ("", "")]
    for verdict in verdicts:
        assert verdict.trouble is not None
        called = " / ".join(f"{c.name} (line {c.line})" for c in verdict.called)
        out.append(("yellow", f"{_INDENT}{called}"))
        out += [("dim", line) for line in _wrapped(_INDENT * 2, "why", verdict.trouble.message)]
    notes = [] if known else verdicts[0].notes
    out += [("dim", f"{_INDENT}note      {note}") for note in notes]
    hint = f"name the layer with --spec, or begin one with `gradtool init {file}`"
    return [*out, ("", ""), ("bold", hint)]


def plain(
    verdict: Verdict, *, hide_expected: bool = False, explain: Explain = "full", spec: str = ""
) -> str:
    """The report without colour."""
    return plain_lines(lines(verdict, hide_expected=hide_expected, explain=explain, spec=spec))


def plain_lines(page: Iterable[tuple[str, str]]) -> str:
    """Lines without their styles."""
    return "".join(f"{text}\n" for _, text in page)


def coloured_lines(page: Iterable[tuple[str, str]]) -> Text:
    """Lines for a terminal."""
    from rich.text import Text

    text = Text()
    for style, line in page:
        text.append(line + "\n", style=style)
    return text


def _header(verdict: Verdict) -> str:
    called = " / ".join(f"{c.name} (line {c.line})" for c in verdict.called)
    parts = [verdict.file, called, f"spec {verdict.layer}" if verdict.layer else ""]
    return "   ".join(part for part in parts if part)


def _table(verdict: Verdict, hide_expected: bool, explain: Explain) -> Iterable[tuple[str, str]]:
    shown = [o for o in verdict.forward if o.standing != "not offered"]
    rows = [(o.name, o) for o in shown] + [(f"d{g.name}", g) for g in verdict.gradients]
    width = max((len(label) for label, _ in rows), default=0)
    shapes = max((len(row.shape) for _, row in rows), default=0)
    for label, row in rows:
        word = _WORDS.get(row.standing, row.standing)
        details = _details(label, row, hide_expected)
        causes = [] if explain == "none" else list(_cause(row, hide_expected, explain))
        head = f"{_INDENT}{label:<{width}}  {row.shape:<{shapes}}  {word:<6}  "
        indent = " " * len(head)
        if len(head) > _WIDEST and len(details) + len(causes) > 1:  # shapes may be long formulas
            indent = " " * (len(_INDENT) + width + 2)
            yield _STYLES[row.standing], head.rstrip()
        else:
            yield _STYLES[row.standing], (head + "".join(details[:1])).rstrip()
            details = details[1:]
        yield from (("", indent + text) for text in details)
        for word, text in causes:
            yield from (("", line) for line in _wrapped(indent, word, text))
        if row.heat is not None and explain == "full" and not hide_expected:
            yield from (("dim", indent + line) for line in heatmap.lines(row.heat))


def _details(label: str, row: Compared, hide_expected: bool) -> list[str]:
    if row.standing == "ok":
        return [f"{row.error:.0e}" if row.error else "exact"] if row.error is not None else []
    found = []
    worst = row.worst
    if worst is not None and row.standing in ("wrong", "follows"):
        index = ", ".join(map(str, worst.index))
        entry = f"{label}[{index}]" if worst.index else label
        if hide_expected:
            found.append(f"{entry} is {_number(worst.got, 4)}, which is wrong")
        else:
            got, expected = _numbers(worst.got, worst.expected)
            found.append(
                f"{entry} is {got}, should be {expected}; "
                f"|difference| {worst.error:.1e} > {worst.bound:.0e}"
            )
    if row.message:
        found.append(row.message)
    if row.standing == "not offered":
        found.append(f"nothing was assigned to {label}")
    return found


def _cause(row: Compared, hide_expected: bool, explain: Explain) -> Iterable[tuple[str, str]]:
    """What is known of the mistake, and the line that makes it."""
    cause = row.cause
    if cause is not None:
        if cause.code == "unknown":
            text = "not known" + ("" if hide_expected else f"; {cause.message}")
        elif hide_expected:
            text = cause.title
        else:
            text = cause.message
            if explain == "full" and cause.proof:
                text += f": {cause.proof}"
            if cause.measure:
                text += f" ({cause.measure})"
        yield "cause", text
    if row.line is not None:
        where = f"line {row.line}" + (f" of {row.place}" if row.place else "")
        yield "where", where + (f": {row.source}" if row.source else "")


def _wrapped(indent: str, word: str, text: str) -> Iterable[str]:
    """A word, and a text beside it that is broken between words."""
    beside = " " * (len(word) + _BESIDE)
    yield from textwrap.wrap(
        f"{word}{' ' * _BESIDE}{text}",
        max(_WIDTH, len(indent) + _LEAST),
        initial_indent=indent,
        subsequent_indent=indent + beside,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _numbers(a: float, b: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart."""
    for digits in range(4, 17):
        texts = _number(a, digits), _number(b, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _number(value: float, digits: int) -> str:
    plain = 1e-2 <= abs(value) < 1e4
    return f"{value:.{digits}f}" if plain else f"{value:.{digits}g}"


def _trouble(verdict: Verdict) -> Iterable[tuple[str, str]]:
    trouble = verdict.trouble
    assert trouble is not None
    yield "red", f"{_INDENT}{trouble.stage:<9} {trouble.message}"
    if trouble.line:
        where = f"{trouble.place} line {trouble.line}" if trouble.place else f"line {trouble.line}"
        yield (
            "red",
            f"{_INDENT}{'where':<9} {where}" + (f": {trouble.source}" if trouble.source else ""),
        )


def _summary(verdict: Verdict) -> str:
    gradients = verdict.gradients
    if verdict.verdict == "error":
        return "could not be checked"
    if verdict.verdict == "pass":
        count = len(gradients)
        what = "the gradient is" if count == 1 else f"all {count} gradients are"
        return f"{what} right ({verdict.probes} points, seed {verdict.seed})"
    bad = [g for g in gradients if g.standing != "ok"]
    forward_wrong = any(o.standing == "wrong" for o in verdict.forward)
    if forward_wrong and all(g.standing == "follows" for g in bad):
        follow = f"; {len(bad)} gradients follow it" if bad else ""
        return f"the forward is wrong{follow} (seed {verdict.seed})"
    bad = [g for g in bad if g.standing != "follows"]
    verb = "is" if len(bad) == 1 else "are"
    kinds = {g.standing for g in bad}
    word = "wrong" if kinds == {"wrong"} or len(kinds) != 1 else kinds.pop()
    also = "the forward is wrong, and " if forward_wrong else ""
    if len(gradients) == 1 and bad:
        return f"{also}the gradient is {word} (seed {verdict.seed})"
    if not bad and forward_wrong:
        return f"the forward is wrong; the gradients are right (seed {verdict.seed})"
    return f"{also}{len(bad)} of {len(gradients)} gradients {verb} {word} (seed {verdict.seed})"
