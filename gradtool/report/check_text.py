"""A verdict for the terminal: aligned columns, plain when piped."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from gradtool.check.result import Compared, Verdict, within
from gradtool.report import heatmap
from gradtool.report.fold import folded

if TYPE_CHECKING:
    from rich.text import Text

_INDENT = "  "
_BESIDE, _WIDTH, _LEAST = 3, 100, 40
_WIDEST = 48  # of what stands beside the explanation
_WORD = 9  # "remark", "conduct", the stage of a trouble

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
    verdict: Verdict,
    *,
    hide_expected: bool = False,
    explain: Explain = "full",
    spec: str = "",
    width: int | None = None,
) -> list[tuple[str, str]]:
    """The report as lines of (style, text); the style is one of rich's, or "".

    `explain` is "none" for the verdict alone, "cause" for the cause and its line, "full" for the
    formula that proves it, too.  `spec` is what `gradtool derive` takes to derive this layer,
    where there is such a thing: a report that hides nothing says so below a wrong gradient.
    `width` is that of a terminal, which no line is wider than; None leaves facts on one line,
    for those who search them.
    """
    out = _plain("bold", _header(verdict), width)
    if verdict.convention and verdict.convention != "as the spec says":
        out += _plain("dim", f"{_INDENT}taken as: {verdict.convention}", width)
        for text in verdict.binding:
            out += _plain("dim", f"{_INDENT}{_INDENT}{text}", width)
    for note in verdict.notes:
        out += _beside("dim", "note", note, width)
    out.append(("", ""))
    out += _table(verdict, hide_expected, explain, width)
    if verdict.trouble is not None:
        out += _trouble(verdict, width)
    for word, remarks in (("remark", verdict.remarks), ("conduct", verdict.conduct)):
        for remark in remarks:
            if verdict.trouble is None or remark.message != verdict.trouble.message:
                out += _beside("yellow", word, remark.message, width)
    out += [("", ""), *_plain("bold", _summary(verdict), width)]
    if spec and explain == "full" and not hide_expected and _is_any_wrong(verdict):
        way = f"`gradtool derive {shlex.quote(spec)} --steps` shows the way"
        out += _plain("dim", way, width)
    return out


def _plain(style: str, text: str, width: int | None) -> list[tuple[str, str]]:
    """A line that goes on a little further in than it began."""
    start = len(text) - len(text.lstrip())
    return [(style, line) for line in folded(text, start + 2 * len(_INDENT), width)]


def _beside(style: str, word: str, text: str, width: int | None) -> list[tuple[str, str]]:
    """A word, and a text beside it that goes on below itself."""
    line = f"{_INDENT}{word:<{_WORD}} {text}"
    return [(style, part) for part in folded(line, len(_INDENT) + _WORD + 1, width)]


def _is_any_wrong(verdict: Verdict) -> bool:
    return any(gradient.standing == "wrong" for gradient in verdict.gradients)


def pages(
    verdicts: Sequence[Verdict],
    specs: Sequence[str],
    *,
    hide_expected: bool = False,
    explain: Explain = "full",
    width: int | None = None,
) -> list[list[tuple[str, str]]]:
    """A report for each verdict, and one list of the pairs that are none of the layers.

    `specs` are for each verdict what `gradtool derive` takes, or ""; `width` is that of a terminal.
    """
    both = list(zip(verdicts, specs, strict=True))
    known = [(v, spec) for v, spec in both if not _is_unmatched(v)]
    unknown = [v for v in verdicts if _is_unmatched(v)]
    found = [
        lines(v, hide_expected=hide_expected, explain=explain, spec=s, width=width)
        for v, s in known
    ]
    if unknown:
        found.append(_unmatched(unknown, len(known), width))
    told = _codes(v for v, _ in known) if explain != "none" else ()
    if told:  # once, however many layers have it wrong
        ways = [f"`gradtool explain {code}`" for code in told]
        listed = " and ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))
        found[-1] += _plain("dim", f"more: {listed}", width)
    return found


def _codes(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """The codes of the causes that are told, in the order in which they are."""
    rows = (row for verdict in verdicts for _, row in verdict.rows)
    causes = (row.cause.code for row in rows if row.cause is not None)
    return tuple(dict.fromkeys(code for code in causes if code != "unknown"))


def _is_unmatched(verdict: Verdict) -> bool:
    return verdict.trouble is not None and verdict.trouble.stage == "match"


def _unmatched(verdicts: Sequence[Verdict], known: int, width: int | None) -> list[tuple[str, str]]:
    file = verdicts[0].file
    count = f"{len(verdicts)} of {known + len(verdicts)} pairs"
    head = f"{file}   {count} not matched with a layer, so not checked"
    out = [*_plain("bold", head, width), ("", "")]
    for verdict in verdicts:
        assert verdict.trouble is not None
        out += _plain("yellow", f"{_INDENT}{_called(verdict)}", width)
        why = _wrapped(_INDENT * 2, "why", verdict.trouble.message, width)
        out += [("dim", line) for line in why]
    for note in () if known else verdicts[0].notes:
        out += _beside("dim", "note", note, width)
    hint = (
        f"name the layer with --spec, or begin one with `gradtool init {file}`: "
        "its check: block says how your code is called"
    )
    return [*out, ("", ""), *_plain("bold", hint, width)]


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


def _called(verdict: Verdict) -> str:
    """The functions that were checked, and where they begin."""
    places = [within(verdict.file, c.place) for c in verdict.called]
    told = zip(verdict.called, places, strict=True)
    return " / ".join(f"{c.name} ({place} line {c.line})".replace("( ", "(") for c, place in told)


def _header(verdict: Verdict) -> str:
    parts = [verdict.file, _called(verdict), f"spec {verdict.layer}" if verdict.layer else ""]
    return "   ".join(part for part in parts if part)


def _table(
    verdict: Verdict, hide_expected: bool, explain: Explain, width: int | None
) -> Iterable[tuple[str, str]]:
    shown = [o for o in verdict.forward if o.standing != "not offered"]
    rows = [(o.name, o) for o in shown] + [(f"d{g.name}", g) for g in verdict.gradients]
    names = max((len(label) for label, _ in rows), default=0)
    shapes = max((len(row.shape) for _, row in rows), default=0)
    widest = _WIDEST if width is None else min(_WIDEST, width - _LEAST)
    for label, row in rows:
        word = _WORDS.get(row.standing, row.standing)
        details = _details(label, row, hide_expected)
        causes = [] if explain == "none" else list(_cause(row, hide_expected, explain))
        head = f"{_INDENT}{label:<{names}}  {row.shape:<{shapes}}  {word:<6}  "
        indent = " " * len(head)
        long = width is not None and any(len(head) + len(text) > width for text in details)
        if len(head) > widest and (len(details) + len(causes) > 1 or long):
            # Shapes may be long formulas, and a terminal narrow.
            indent = " " * (len(_INDENT) + names + 2)
            yield _STYLES[row.standing], head.rstrip()
        else:
            first = (head + "".join(details[:1])).rstrip()
            yield from ((_STYLES[row.standing], t) for t in folded(first, len(head), width))
            details = details[1:]
        for text in details:
            yield from (("", line) for line in folded(indent + text, len(indent), width))
        for word, text in causes:
            yield from (("", line) for line in _wrapped(indent, word, text, width))
        if row.heat is not None and explain == "full" and not hide_expected:
            said, *picture = heatmap.lines(row.heat, width and width - len(indent))
            for line in (
                *folded(indent + said, len(indent), width),
                *(indent + p for p in picture),
            ):
                yield "dim", line


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


def _wrapped(indent: str, word: str, text: str, width: int | None) -> list[str]:
    """A word, and a text beside it that is broken between words."""
    most = width or max(_WIDTH, len(indent) + _LEAST)
    beside = len(indent) + len(word) + _BESIDE
    return folded(f"{indent}{word}{' ' * _BESIDE}{text}", beside, most)


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


def _trouble(verdict: Verdict, width: int | None) -> Iterable[tuple[str, str]]:
    trouble = verdict.trouble
    assert trouble is not None
    yield from _beside("red", trouble.stage, trouble.message, width)
    if trouble.line:
        where = f"{trouble.place} line {trouble.line}" if trouble.place else f"line {trouble.line}"
        source = f": {trouble.source}" if trouble.source else ""
        yield from _beside("red", "where", where + source, width)


def _summary(verdict: Verdict) -> str:
    gradients = verdict.gradients
    if verdict.verdict == "error":
        unfinished = any(remark.code == "unfinished" for remark in verdict.remarks)
        return "could not be checked" + ": it is not written yet" * unfinished
    if verdict.verdict == "pass":
        count = len(gradients)
        what = "the gradient is" if count == 1 else f"all {count} gradients are"
        return f"{what} right ({verdict.probes} samples, seed {verdict.seed})"
    bad = [g for g in gradients if g.standing != "ok"]
    forward_wrong = any(o.standing == "wrong" for o in verdict.forward)
    if forward_wrong and all(g.standing == "follows" for g in bad):
        follow = f"; {len(bad)} gradients follow it" if bad else ""
        return f"the forward is wrong{follow} (seed {verdict.seed})"
    bad = [g for g in bad if g.standing != "follows"]
    also = "the forward is wrong, and " if forward_wrong else ""
    if len(gradients) == 1 and bad:
        return f"{also}the gradient is {bad[0].standing} (seed {verdict.seed})"
    if not bad and forward_wrong:
        return f"the forward is wrong; the gradients are right (seed {verdict.seed})"
    return f"{also}{_counted(bad, len(gradients))} (seed {verdict.seed})"


def _counted(bad: Sequence[Compared], total: int) -> str:
    """How many are wrong, and how many are not known for each reason."""
    counts = Counter(gradient.standing for gradient in bad)
    kinds = sorted(counts, key=lambda kind: kind != "wrong") or ["wrong"]
    first, *others = kinds
    many = counts[first]
    text = f"{many} of {total} gradients {'is' if many == 1 else 'are'} {first}"
    return text + "".join(
        f", {counts[kind]} {'is' if counts[kind] == 1 else 'are'} {kind}" for kind in others
    )
