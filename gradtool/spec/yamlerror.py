"""Why a text is not YAML, in the words of somebody who writes a spec.

The two YAML parsers word the same mistake differently, and both speak of tokens and nodes; so
the message is chosen by what stands at the mark, and their own words are the last resort.
"""

from __future__ import annotations

from typing import Any

from gradtool.spec.errors import Problem
from gradtool.spec.model import Place, Source

CODE_KEYS = frozenset({"forward", "backward", "setup"})


def block_form(key: str) -> str:
    """The hint that saves every text which YAML would read as something else."""
    return f"write it in block form: '{key}: |', and the code on the next lines, indented"


def explain(error: Exception, source: Source, first_line: int = 1) -> Problem:
    """The problem behind an error of PyYAML, at the place where the writer must act."""
    problem = str(getattr(error, "problem", None) or error)
    context = str(getattr(error, "context", None) or "")
    here = _place(getattr(error, "problem_mark", None), source, first_line) or Place(1, 1)
    start = _place(getattr(error, "context_mark", None), source, first_line) or here
    line = _line(source, here)
    found = line[here.column - 1 : here.column]
    opener = _line(source, start)[start.column - 1 : start.column]

    if found == "\t":
        return source.problem(
            here,
            "expected spaces, found a tab: YAML is indented by spaces only",
            "replace the tab by spaces",
        )
    if "quoted" in context and "end of" in problem:
        return source.problem(
            start,
            f"the text that opens with {opener} here is never closed",
            _hint(source, start) or f"close it with {opener}",
        )
    if "tag" in context or "tag" in problem:
        return source.problem(
            start,
            "YAML reads a text that begins with '!' as a tag",
            _hint(source, start) or "put the text in quotes",
        )
    if "escape" in problem:
        before = here.column - 2  # one parser marks the backslash, the other what follows it
        if found != "\\" and line[before : before + 1] == "\\":
            here = Place(here.line, before + 1)
        return source.problem(
            here,
            "expected a YAML escape after '\\' in a double-quoted text",
            _hint(source, here) or "use single quotes, which have no escapes",
            length=2,
        )
    if "block scalar" in context:
        return source.problem(
            here,
            f"expected the end of the line after '{opener}', found {_found(source, here)}",
            f"the text begins on the line after '{opener}', indented",
        )
    if "anchor" in context or "alias" in context:
        return source.problem(
            start,
            f"YAML reads a text that begins with '{opener}' as an anchor or an alias",
            _hint(source, here) or "put the text in quotes",
        )
    if "node content" in problem:
        return source.problem(
            here, f"expected a value, found {_found(source, here)}", _hint(source, here)
        )
    if "flow" in context and "," in problem:
        closer = "]" if opener == "[" else "}"
        further = start.line < here.line and _line(source, here).strip()
        where = f" in line {here.line}" if further else ""
        return source.problem(
            start,
            f"the '{opener}' that opens here is not closed: expected ',' or '{closer}', "
            f"found {_found(source, here)}{where}",
            _hint(source, start) or f"close it with '{closer}'",
        )
    if "mapping values" in problem:
        return _second_colon(source, here)
    if "sequence entries" in problem:
        return source.problem(
            here,
            "expected a value, found '- ', which begins a list",
            _hint(source, here) or "begin the list on the next line, or write it as [a, b]",
        )
    if "could not find expected ':'" in problem:
        return source.problem(
            start,
            f"expected 'key: value', found '{_line(source, start).strip()}'",
            "every line is 'key: value'; code that goes over several lines needs the block "
            "form '|'",
        )
    if "cannot start any token" in problem:
        return source.problem(
            here,
            f"expected a value, found '{found}', with which no YAML text can begin",
            _hint(source, here) or "put the text in quotes",
        )
    if "block end" in problem or "expected key" in problem or "'-' indicator" in problem:
        return _stray(source, here)
    if "document start" in problem:
        return source.problem(
            here,
            f"expected the end of the file, found {_found(source, here)}",
            "a spec file holds one document",
        )
    return source.problem(here, f"not valid YAML: {problem}", _hint(source, here))


def _second_colon(source: Source, here: Place) -> Problem:
    before = _line(source, here)[: here.column - 1]
    key, colon, _ = before.partition(": ")
    if colon:
        return source.problem(
            here,
            f"the text after '{key.strip(' -')}:' contains ': ', which YAML reads as another key",
            _hint(source, here) or "put the text in quotes",
        )
    return source.problem(
        here,
        f"expected no key here, found '{before.strip()}:'",
        "check the indentation, and that the line above ends with ':' if this line belongs to it",
    )


def _stray(source: Source, here: Place) -> Problem:
    before = _line(source, here)[: here.column - 1]
    if not before.strip():
        return source.problem(
            here,
            f"the indentation of this line ({len(before)} deep) fits no line above",
            "keys of one mapping begin in the same column",
        )
    return source.problem(
        here,
        f"expected the end of the line after a complete value, found {_found(source, here)}",
        _hint(source, here) or "put the whole text in quotes",
    )


def _hint(source: Source, place: Place) -> str:
    """The block form, when the line is one of code: YAML is what stands in its way."""
    key = _line(source, place).partition(":")[0].strip(" -{'\"")
    return block_form(key) if key in CODE_KEYS else ""


def _found(source: Source, place: Place) -> str:
    rest = _line(source, place)[place.column - 1 :].strip()
    if rest:
        return f"'{rest[:30]}'"
    below = source.lines[place.line :]
    return "the end of the line" if any(map(str.strip, below)) else "the end of the file"


def _line(source: Source, place: Place) -> str:
    return source.lines[place.line - 1] if 0 < place.line <= len(source.lines) else ""


def _place(mark: Any, source: Source, first_line: int) -> Place | None:
    """Where a mark stands; one parser puts the end of the file on a line of its own."""
    if mark is None:
        return None
    if mark.line + first_line > len(source.lines):
        return Place(len(source.lines), len(source.lines[-1]) + 1)
    return Place(mark.line + first_line, mark.column + 1)
