"""What every section reader shares: the file, the problems so far, and the small expectations.

A reader never stops at a problem: it records it and goes on with None, so that all the
problems of a file come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from gradtool.records import Struct, field
from gradtool.spec.errors import Problem
from gradtool.spec.model import Place, Source
from gradtool.spec.names import name_fault, normal_name, shown
from gradtool.spec.scalars import ScalarError
from gradtool.spec.suggest import did_you_mean, nearest
from gradtool.spec.yamltree import Broken, Entry, Mapping, Node, Scalar, Sequence

T = TypeVar("T")


class Reading(Struct, frozen=True):
    """The file and its problems; readers append to `problems`."""

    source: Source
    problems: list[Problem] = field(default_factory=list)

    def problem(self, node: Node, message: str, hint: str = "") -> None:
        """A problem that underlines a whole node."""
        self.at(node.place, message, hint, extent(node))

    def at(self, place: Place, message: str, hint: str = "", length: int = 1) -> None:
        self.problems.append(self.source.problem(place, message, hint, length))

    # -- expectations ---------------------------------------------------------------------

    def mapping(self, node: Node, what: str, hint: str = "") -> tuple[Entry, ...] | None:
        """The entries of a mapping that is not empty."""
        if isinstance(node, Mapping) and node.entries:
            return node.entries
        self.expected(node, what, "a mapping", hint)
        return None

    def fields(self, node: Node, what: str, known: Collection[str]) -> dict[str, Entry]:
        """The entries of a mapping with fixed keys; `x-…` keys are the writer's own."""
        found = {}
        for entry in self.mapping(node, what, f"known here: {', '.join(known)}") or ():
            name = entry.key.text
            if name in known:
                found[name] = entry
            elif not name.startswith("x-"):
                where = f" in {what}" if what else ""
                message = f"unknown key {shown(name)}{where}"
                self.problem(entry.key, message, did_you_mean(name, known))
        return found

    def absent(
        self, node: Mapping, key: str, known: Collection[str], place: Place, what: str, hint: str
    ) -> None:
        """A required key is missing; silent when a misspelling of it was reported already."""
        written = [entry.key.text for entry in node.entries]
        if not any(text not in known and nearest(text, known) == key for text in written):
            self.at(place, what, hint)

    def text(self, node: Node, what: str) -> str | None:
        """Any text that is not empty."""
        if isinstance(node, Scalar) and not node.is_null and node.text.strip():
            return node.text
        self.expected(node, what, "a text")
        return None

    def items(self, node: Node, what: str, example: str) -> tuple[Node, ...] | None:
        """The items of a list."""
        if isinstance(node, Sequence):
            return node.items
        self.expected(node, what, f"a list such as {example}")
        return None

    def scalar(self, node: Node, what: str, expected: str, parse: Callable[[str], T]) -> T | None:
        """A text given to `parse`; its ScalarError becomes a problem at the exact column."""
        if not isinstance(node, Scalar) or node.is_null:
            self.expected(node, what, expected)
            return None
        try:
            return parse(node.text)
        except ScalarError as error:
            message = f"{what}: {error.message}"
            if error.offset:
                self.at(self.place_in(node, error.offset), message, error.hint)
            else:
                self.problem(node, message, error.hint)
            return None

    def name(self, node: Node, what: str = "") -> str | None:
        """A text that can be used as a name in formulas."""
        if not isinstance(node, Scalar) or node.is_null:
            self.expected(node, what, "a name")
            return None
        name = normal_name(node.text)
        fault = name_fault(name)
        if fault is not None:
            self.problem(node, f"{what}: {fault[0]}" if what else fault[0], fault[1])
            return None
        return name

    def names(self, node: Node, what: str, example: str) -> tuple[tuple[str, Node], ...] | None:
        """A list of different names, each with its node."""
        items = self.items(node, what, example)
        if items is None:
            return None
        if not items:
            self.expected(node, what, f"a list such as {example}")
        found: dict[str, Node] = {}
        for item in items:
            name = self.name(item, what)
            if name is not None and name in found:
                self.problem(item, f"{what}: '{name}' stands twice", "remove one of them")
            elif name is not None:
                found[name] = item
        return tuple(found.items())

    def named_entries(self, node: Node, what: str) -> Iterator[tuple[str, Entry]]:
        """The entries of a mapping whose keys are names, with the names as Python reads them."""
        seen = set()
        for entry in self.mapping(node, what) or ():
            name = self.name(entry.key, what)
            if name is not None and name in seen:  # two spellings of one name
                self.problem(entry.key, f"{what}: '{name}' stands twice", "remove one of them")
            elif name is not None:
                seen.add(name)
                yield name, entry

    def expected(self, node: Node, what: str, expected: str, hint: str = "") -> None:
        """``inputs.X: expected a mapping, found a list``; silent for what was refused before."""
        if isinstance(node, Broken):
            return
        lead = f"{what}: expected" if what else "expected"
        self.problem(node, f"{lead} {expected}, found {described(node)}", hint)

    # -- places ---------------------------------------------------------------------------

    def place_in(self, scalar: Scalar, offset: int) -> Place:
        """The place of one character of a scalar; its beginning when it goes over lines."""
        places = character_places(scalar, self.source)
        if places is None:
            return scalar.place
        return places[min(offset, len(places) - 1)]


def character_places(scalar: Scalar, source: Source) -> tuple[Place, ...] | None:
    """The place of each character of a one-line plain or quoted scalar, and of its end.

    None for other scalars.  In quotes one character may be written as several (``''``,
    ``\\u00e9``).
    """
    start, end = scalar.place, scalar.end
    if start.line != end.line or scalar.style in "|>":
        return None
    if scalar.style == "plain":
        return tuple(Place(start.line, start.column + k) for k in range(len(scalar.text) + 1))
    raw = source.lines[start.line - 1][start.column : end.column - 2]
    places, k = [], 0
    while k < len(raw):
        places.append(Place(start.line, start.column + 1 + k))
        if raw[k] == scalar.style == "'":
            k += 2
        elif raw[k] == "\\" and scalar.style == '"':
            k += 2 + {"x": 2, "u": 4, "U": 8}.get(raw[k + 1], 0)
        else:
            k += 1
    return (*places, Place(start.line, end.column - 1))


def described(node: Node) -> str:
    """What was found, in the words of a message."""
    match node:
        case Scalar() if node.is_null:
            return "nothing"
        case Scalar(text=text) if not text.strip():
            return "an empty text"
        case Scalar(text=text):
            return shown(text.strip())
        case Sequence(items=()):
            return "an empty list"
        case Mapping(entries=()):
            return "an empty mapping"
        case Sequence():
            return "a list"
    return "a mapping"


def extent(node: Node) -> int:
    """How many characters of the first line a node covers."""
    same_line = node.place.line == node.end.line
    return max(1, node.end.column - node.place.column) if same_line else 1
