"""From `assignment.yaml` to an `Assignment`: every problem at once, each with its place."""

from __future__ import annotations

import sys
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import get_args

from gradtool.lint.assignment import FORBIDDEN, Assignment, Credit, Forbidden, Question
from gradtool.lint.isolation import OURS
from gradtool.lint.isolation.limits import MIB, Limits
from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.model import Place, Source
from gradtool.spec.names import shown
from gradtool.spec.scalars import ScalarError, parse_constant, parse_real, parse_truth
from gradtool.spec.sections.reading import Reading
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.yamltree import Entry, Mapping, Node, Scalar, Sequence, read_tree, source_of

MAX_BYTES = 1_000_000
MAX_POINTS = 1_000_000
MAX_SIZE = 100_000
SECTIONS = (
    "assignment",
    "title",
    "questions",
    "limits",
    "libraries",
    "forbid",
    "hide-expected",
    "explain",
)
QUESTION = (
    *("name", "title", "spec", "file", "function", "cell", "points", "credit"),
    *("probes", "limits", "forbid"),
)
LIMITS = ("seconds", "cpu", "memory")
_NEEDED = "an assignment needs at least assignment: and questions:"
_UNITS = {"KB": 1024, "MB": MIB, "GB": 1024 * MIB, "KIB": 1024, "MIB": MIB, "GIB": 1024 * MIB}


def load_assignment(path: Path) -> Assignment:
    """Read an assignment file.

    Raises:
        SpecError: with every problem; also when there is no such file, or it is no text.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"the assignment cannot be read: {error.strerror}"
        hint = "`gradtool init --assignment` writes a first one"
        raise SpecError([Problem(file, 1, 1, 1, "", message, hint)]) from None
    if len(content) > MAX_BYTES:
        message = f"expected an assignment of at most {MAX_BYTES:,} bytes, found a larger file"
        raise SpecError([Problem(file, 1, 1, 1, "", message)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"expected UTF-8 text, found the byte 0x{content[error.start]:02X}"
        hint = "save the file as UTF-8"
        raise SpecError([Problem(file, 1, 1, 1, "", message, hint)]) from None
    return parse_assignment(text, file)


def parse_assignment(text: str, file: str) -> Assignment:
    """Read the text of an assignment file; `file` is shown in problems.

    Raises:
        SpecError: with every problem.
    """
    source, body = source_of(text, file)
    root, problems = read_tree(body, source)
    if not problems and not isinstance(root, Mapping):
        what = "an empty file" if root is None else "something else"
        message = f"expected a mapping that begins with 'assignment: name', found {what}"
        problems = [source.problem(Place(1, 1), message, _NEEDED)]
    if not isinstance(root, Mapping):
        raise SpecError(problems)
    reader = _Reader(Reading(source, problems))
    assignment = reader.assignment(root, text, source)
    if assignment is None or problems:
        raise SpecError(problems)
    return assignment


def _package(name: str) -> str:
    """The hint for what is no package: ``scipy.special`` and ``numpy==2`` begin with one."""
    end = next((k for k, letter in enumerate(name) if letter in ".=<>~![ "), 0)
    return f"write {name[:end]}" if name[:end].isidentifier() else "write what `import` takes"


class _Reader:
    """Readers of the parts; each records its problems and goes on."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def assignment(self, root: Mapping, text: str, source: Source) -> Assignment | None:
        reading = self.reading
        fields = reading.fields(root, "", SECTIONS)
        for key in ("assignment", "questions"):
            if key not in fields:
                message = f"expected a section '{key}:', found none"
                reading.absent(root, key, SECTIONS, Place(root.place.line, 1), message, _NEEDED)
        name = self._text(fields.get("assignment"), "assignment")
        title = self._text(fields.get("title"), "title")
        limits = self._limits(fields.get("limits"), Limits())
        questions = self._questions(fields.get("questions"), limits)
        libraries = self._libraries(fields.get("libraries"))
        # What comes with Python is there for everybody.
        granted = [name for name in libraries if name not in sys.stdlib_module_names]
        forbidden = self._forbidden(fields.get("forbid"))
        hidden = self._truth(fields.get("hide-expected"), "hide-expected", True)
        explain = self._truth(fields.get("explain"), "explain", True)
        if name is None or not questions:
            return None
        return Assignment(
            name=name,
            title=title or name,
            questions=questions,
            source=source,
            text=text,
            limits=limits,
            libraries=tuple(dict.fromkeys(("numpy", *granted))),
            forbidden=forbidden,
            hide_expected=hidden,
            explain=explain,
            places=libraries,
        )

    def _libraries(self, entry: Entry | None) -> dict[str, Place]:
        """Each with its place."""
        found: dict[str, Place] = {}
        for node in self._nodes(entry, "libraries", "[numpy]"):
            name = self.reading.text(node, "libraries")
            if name is None:
                continue
            if not name.isidentifier() or name == "__main__":
                message = f"libraries: expected the name of a package, found {shown(name)}"
                self.reading.problem(node, message, _package(name))
            elif name in OURS:
                message = (
                    f"libraries: {name} is part of what grades, and no submission can import it"
                )
                self.reading.problem(node, message, "remove it")
            else:
                found[name] = node.place
        return found

    def _questions(self, entry: Entry | None, limits: Limits) -> tuple[Question, ...]:
        if entry is None:
            return ()
        nodes = self.reading.items(entry.value, "questions", "- spec: affine") or ()
        if isinstance(entry.value, Sequence) and not nodes:
            self.reading.expected(entry.value, "questions", "at least one question")
        found: dict[str, Question] = {}
        for node in nodes:
            question = self._question(node, limits)
            if question is None:
                continue
            if question.name in found:
                message = f"questions: the name '{question.name}' stands twice"
                self.reading.problem(node, message, "rename one of them")
            found[question.name] = question
        return tuple(found.values())

    def _question(self, node: Node, limits: Limits) -> Question | None:
        reading = self.reading
        fields = reading.fields(node, "a question", QUESTION)
        if "spec" not in fields:
            if isinstance(node, Mapping):
                message = "this question has no spec:"
                hint = "add spec: and a bundled name (`gradtool specs`) or a path"
                reading.absent(node, "spec", QUESTION, node.place, message, hint)
            return None
        spec = self._text(fields["spec"], "spec")
        if spec is None:
            return None
        plain = PurePosixPath(spec).stem
        name = self._text(fields.get("name"), "name") if "name" in fields else plain
        title = self._text(fields.get("title"), "title")
        files = self._files(fields.get("file"))
        function = self._function(fields.get("function"))
        points = self._number(fields.get("points"), "points", Fraction(1), 0, MAX_POINTS)
        credit = self._credit(fields.get("credit"))
        cell = self._text(fields.get("cell"), "cell")
        own = self._limits(fields["limits"], limits) if "limits" in fields else None
        forbidden = self._forbidden(fields["forbid"]) if "forbid" in fields else None
        probes = self._probes(fields.get("probes"))
        if name is None:
            return None
        place = fields["spec"].value.place
        places = {"probes": fields["probes"].value.place} if "probes" in fields else {}
        match fields.get("credit"):
            case Entry(value=Mapping(entries=entries)):
                places |= {f"credit.{e.key.text}": e.key.place for e in entries}
        kept = {"files": files} if files else {}
        return Question(
            name,
            title or name,
            spec,
            place,
            function=function,
            points=points,
            credit=credit,
            cell=cell,
            probes=probes,
            limits=own,
            forbidden=forbidden,
            required=True,
            places=places,
            **kept,
        )

    def _files(self, entry: Entry | None) -> tuple[str, ...]:
        """Patterns of names in a submission, without a ``./`` in front."""
        found = []
        for node in self._nodes(entry, "file", "[layers.py]"):
            pattern = self.reading.text(node, "file")
            if pattern is None:
                continue
            path = PurePosixPath(pattern)
            if path.is_absolute() or ".." in path.parts:
                message = f"file: {shown(pattern)} leads out of the submission"
                self.reading.problem(node, message, "write it from its folder")
            elif "\\" in pattern:
                message = f"file: expected folders parted by '/', found {shown(pattern)}"
                self.reading.problem(node, message, f"write {pattern.replace(chr(92), '/')}")
            elif pattern.endswith("/") or not path.parts:
                message = f"file: expected a file, found the folder {shown(pattern)}"
                self.reading.problem(node, message, f"for example: {path / '*.py'}")
            else:
                found.append(str(path))
        return tuple(dict.fromkeys(found))

    def _function(self, entry: Entry | None) -> str | None:
        """The name of a function or a class, or ``Class.method``."""
        name = self._text(entry, "function")
        if entry is None or name is None:
            return None
        if not all(part.isidentifier() for part in name.split(".")):
            message = f"function: expected the name of a function or a class, found {shown(name)}"
            hint = "for example: affine_backward, Affine or Affine.backward"
            self.reading.problem(entry.value, message, hint)
            return None
        return name

    def _credit(self, entry: Entry | None) -> Credit:
        match entry:
            case None:
                return Credit()
            case Entry(value=Scalar(text="none" | "equal" as kind)):
                return Credit("none") if kind == "none" else Credit()
            case Entry(value=Mapping(entries=entries)) if entries:
                shares = {
                    e.key.text: self._number(e, f"credit.{e.key.text}", Fraction(0), 0, MAX_POINTS)
                    for e in entries
                    if e.key.text != "follows"
                }
                follows = Fraction(0)
                for e in entries:
                    if e.key.text == "follows":
                        follows = self._number(e, "credit.follows", Fraction(0), 0, 1)
                if shares and not sum(shares.values()):
                    self.reading.problem(entry.value, "credit: every share is zero")
                return Credit("stated" if shares else "equal", shares, follows)
        hint = "write equal, none, or shares such as {forward: 1, W: 2, b: 1}"
        expected = "equal, none or a mapping of shares"
        self.reading.expected(entry.value, "credit", expected, hint)
        return Credit()

    def _probes(self, entry: Entry | None) -> tuple[dict[str, int], ...]:
        """Sets of sizes; whether the layer has these is not known here."""
        if entry is None:
            return ()
        example = "- {N: 200, D: 30}"
        found = []
        for node in self.reading.items(entry.value, "probes", example) or ():
            if not isinstance(node, Mapping) or not node.entries:
                self.reading.expected(node, "probes", "sizes by name", f"for example: {example}")
                continue
            sizes = [
                (e.key.text, self._number(e, f"probes.{e.key.text}", Fraction(1), 1, MAX_SIZE))
                for e in node.entries
            ]
            for (name, size), e in zip(sizes, node.entries, strict=True):
                if size.denominator != 1:
                    self.reading.expected(e.value, f"probes.{name}", "a whole number")
            found.append({name: int(size) for name, size in sizes})
        return tuple(found)

    def _limits(self, entry: Entry | None, usual: Limits) -> Limits:
        if entry is None:
            return usual
        fields = self.reading.fields(entry.value, "limits", LIMITS)
        usual_seconds = Fraction(usual.wall_seconds)
        seconds = self._number(fields.get("seconds"), "limits.seconds", usual_seconds, 0.1, 86400)
        usual_cpu = seconds if "seconds" in fields else Fraction(usual.cpu_seconds)
        cpu = self._number(fields.get("cpu"), "limits.cpu", usual_cpu, 0.1, 86400)
        memory = self._bytes(fields.get("memory"), usual.memory_bytes)
        return Limits(wall_seconds=float(seconds), cpu_seconds=float(cpu), memory_bytes=memory)

    def _bytes(self, entry: Entry | None, usual: int) -> int:
        if entry is None:
            return usual

        def parse(text: str) -> int:
            words = text.split()
            if len(words) != 2 or words[1].upper() not in _UNITS:
                raise ScalarError(f"expected a size with its unit, found {shown(text)}", hint)
            value = parse_real(words[0]) * _UNITS[words[1].upper()]
            if not MIB <= value <= 1 << 44:
                raise ScalarError(f"expected at least 1 MB, found {shown(text)}", hint)
            return int(value)

        hint = "for example: 512 MB or 2 GB"
        found = self.reading.scalar(entry.value, "limits.memory", "a size such as 512 MB", parse)
        return usual if found is None else found

    def _forbidden(self, entry: Entry | None) -> tuple[Forbidden, ...]:
        if entry is None:
            return FORBIDDEN
        if isinstance(entry.value, Scalar) and entry.value.text == "none":
            return ()
        known = get_args(Forbidden)
        found = self._words(entry, "forbid", f"[{', '.join(known)}]", known)
        return tuple(word for word in FORBIDDEN if word in found)

    def _words(
        self, entry: Entry | None, what: str, example: str, known: Collection[str] = ()
    ) -> tuple[str, ...]:
        """One text or a list of texts."""
        words = []
        for node in self._nodes(entry, what, example):
            text = self.reading.text(node, what)
            if text is not None and known and text not in known:
                message = f"{what}: unknown word {shown(text)}"
                self.reading.problem(node, message, did_you_mean(text, known))
            elif text is not None:
                words.append(text)
        return tuple(dict.fromkeys(words))

    def _nodes(self, entry: Entry | None, what: str, example: str) -> tuple[Node, ...]:
        """One text or the items of a list."""
        if entry is None:
            return ()
        if isinstance(entry.value, Scalar):
            return (entry.value,)
        return self.reading.items(entry.value, what, example) or ()

    def _text(self, entry: Entry | None, what: str) -> str | None:
        return None if entry is None else self.reading.text(entry.value, what)

    def _truth(self, entry: Entry | None, what: str, usual: bool) -> bool:
        if entry is None:
            return usual
        found = self.reading.scalar(entry.value, what, "true or false", parse_truth)
        return usual if found is None else found

    def _number(
        self, entry: Entry | None, what: str, usual: Fraction, low: float, high: float
    ) -> Fraction:
        def parse(text: str) -> Fraction:
            try:
                value = Fraction(parse_constant(text))
            except ScalarError as error:  # its hint is about constants of a layer
                raise ScalarError(error.message, offset=error.offset) from None
            if not Fraction(str(low)) <= value <= high:  # as it is told: a float 0.1 is more
                raise ScalarError(f"expected a number from {low:g} to {high:g}, found {text}")
            return value

        if entry is None:
            return usual
        found = self.reading.scalar(entry.value, what, "a number", parse)
        return usual if found is None else found
