"""YAML text as a tree of plain text with positions; nothing is resolved to a number here.

The tree is built from the parser's events instead of by the library's own composer: so an
alias is refused before it can be expanded, the depth is capped before anything recurses, and
duplicate keys are seen.  libyaml is used when it is there; both count columns in characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from gradtool.records import Struct
from gradtool.spec.model import Place, Source
from gradtool.spec.names import shown
from gradtool.spec.yamlerror import explain

if TYPE_CHECKING:
    from gradtool.spec.errors import Problem

MAX_DEPTH = 20
MAX_NODES = 50_000

Style: TypeAlias = Literal["plain", "'", '"', "|", ">"]
Node: TypeAlias = "Scalar | Sequence | Mapping | Broken"


class Scalar(Struct, frozen=True):
    """A text; `place` is its first character in the file, quote or ``|`` included."""

    text: str
    style: Style
    place: Place
    end: Place

    @property
    def is_null(self) -> bool:
        """Nothing was written: an empty value, ``~`` or ``null``."""
        return self.style == "plain" and self.text in ("", "~", "null")


class Sequence(Struct, frozen=True):
    items: tuple[Node, ...]
    place: Place
    end: Place


class Entry(Struct, frozen=True):
    key: Scalar
    value: Node


class Mapping(Struct, frozen=True):
    """Entries in the order of the file; no key stands twice."""

    entries: tuple[Entry, ...]
    place: Place
    end: Place


class Broken(Struct, frozen=True):
    """Stands for something already refused, so that it is not reported a second time."""

    place: Place
    end: Place


def source_of(text: str, file: str) -> tuple[Source, str]:
    """The file's lines, and the text to parse: no byte order mark, every line end ``\\n``."""
    body = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Source(file, tuple(body.split("\n"))), body


def read_tree(
    body: str, source: Source, in_braces: bool = False
) -> tuple[Node | None, list[Problem]]:
    """The root of the one document in `body`, or None when it cannot be read at all.

    With `in_braces` the text is what stands between ``{`` and ``}``; a problem with the brace
    that nobody wrote is in line 0.
    """
    problems = _unprintable(source)
    if problems:
        return None, problems
    first_line = 1
    if in_braces:  # on lines of their own, so that columns stay
        body, first_line = "{\n" + body + "\n}", 0
    builder = _Builder(source, first_line)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        for event in yaml.parse(body, Loader=loader):
            if not builder.take(event):
                return None, builder.problems
    except yaml.YAMLError as error:
        return None, [*builder.problems, explain(error, source, first_line)]
    return builder.root, builder.problems


def _unprintable(source: Source) -> list[Problem]:
    """Characters that YAML forbids, or that break lines for YAML and not for an editor."""
    found = []
    for number, line in enumerate(source.lines, 1):
        if line.isprintable():
            continue
        for column, character in enumerate(line, 1):
            code = ord(character)
            control = code < 0x20 and character != "\t"
            if control or 0x7F <= code <= 0x9F or character in _INVISIBLE or _is_surrogate(code):
                found.append(
                    source.problem(
                        Place(number, column),
                        f"expected printable text, found the invisible character U+{code:04X}",
                        "delete it (it often comes with pasted text)",
                    )
                )
                break  # one per line is enough to find them all
    return found


_INVISIBLE = "\u2028\u2029\ufeff\ufffe\uffff"


def _is_surrogate(code: int) -> bool:
    return 0xD800 <= code <= 0xDFFF


class _Builder:
    """Takes events one by one; `take` answers False when reading must stop."""

    def __init__(self, source: Source, first_line: int) -> None:
        self.source = source
        self._first_line = first_line
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._open: list[tuple[Any, list[Node]]] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> bool:
        match event:
            case yaml.ScalarEvent():
                self._check_properties(event)
                style: Any = event.style or "plain"
                return self._add(Scalar(event.value, style, self._start(event), self._end(event)))
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._refuse(
                        event,
                        "a spec file holds one document, found '---' and a second one",
                        "put each layer into a file of its own",
                        length=3,
                    )
                    return False
            case yaml.AliasEvent():
                self._refuse(
                    event,
                    f"YAML aliases are not allowed in a spec, found {shown(f'*{event.anchor}')}",
                    "write the value out; text that begins with '*' needs quotes or the block "
                    "form '|'",
                )
                return self._add(Broken(self._start(event), self._end(event)))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check_properties(event)
                self._open.append((event, []))
                if len(self._open) > MAX_DEPTH:
                    self._refuse(
                        event,
                        f"lists and mappings are nested more than {MAX_DEPTH} deep",
                        "a spec needs at most five levels",
                    )
                    return False
            case yaml.SequenceEndEvent():
                start, children = self._open.pop()
                return self._add(Sequence(tuple(children), self._start(start), self._end(event)))
            case yaml.MappingEndEvent():
                start, children = self._open.pop()
                entries = self._entries(children)
                return self._add(Mapping(entries, self._start(start), self._end(event)))
        return True

    def _add(self, node: Node) -> bool:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.problems.append(
                self.source.problem(
                    node.place,
                    f"the file has more than {MAX_NODES:,} values",
                    "that is no layer spec: is it a data file?",
                )
            )
            return False
        if self._open:
            self._open[-1][1].append(node)
        else:
            self.root = node
        return True

    def _entries(self, children: list[Node]) -> tuple[Entry, ...]:
        entries: dict[str, Entry] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if isinstance(key, Broken):
                continue
            if not isinstance(key, Scalar):
                self.problems.append(
                    self.source.problem(
                        key.place,
                        "expected a name as the key, found a list or a mapping",
                        "a text that begins with '{' or '[' needs quotes or the block form '|'",
                    )
                )
            elif key.text in entries:
                first = entries[key.text].key.place.line
                self.problems.append(
                    self.source.problem(
                        key.place,
                        f"the key {shown(key.text)} stands twice (first in line {first})",
                        "remove or rename one of them",
                        length=max(1, key.end.column - key.place.column),
                    )
                )
            else:
                entries[key.text] = Entry(key, value)
        return tuple(entries.values())

    def _check_properties(self, event: Any) -> None:
        if event.tag is not None:
            start = self._start(event)
            written = self.source.lines[start.line - 1][start.column - 1 :].split()[0]
            self._refuse(
                event,
                f"YAML tags are not allowed in a spec, found {shown(written)}",
                "remove the tag; text that begins with '!' needs quotes or the block form '|'",
                length=len(written),
            )
        if event.anchor is not None:
            self._refuse(
                event,
                f"YAML anchors are not allowed in a spec, found {shown(f'&{event.anchor}')}",
                "remove it; text that begins with '&' needs quotes or the block form '|'",
                length=1 + len(event.anchor),
            )

    def _refuse(self, event: Any, message: str, hint: str, length: int = 0) -> None:
        start, end = self._start(event), self._end(event)
        if not length:
            length = end.column - start.column if end.line == start.line else 1
        self.problems.append(self.source.problem(start, message, hint, length=max(1, length)))

    def _start(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(mark.line + self._first_line, mark.column + 1)

    def _end(self, event: Any) -> Place:
        mark = event.end_mark
        return Place(mark.line + self._first_line, mark.column + 1)
