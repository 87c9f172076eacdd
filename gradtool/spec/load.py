"""From a spec file to a `LayerSpec`: every problem of the file at once, none as a traceback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.model import Block, LayerSpec, Place, Variable
from gradtool.spec.sections.checks import read_check
from gradtool.spec.sections.code import read_block
from gradtool.spec.sections.numbers import read_constants, read_sizes
from gradtool.spec.sections.outputs import read_outputs
from gradtool.spec.sections.reading import Reading
from gradtool.spec.sections.scope import Scope
from gradtool.spec.sections.variables import (
    check_chances,
    check_excluded,
    nodes_of,
    read_variables,
    room_for_excluded,
)
from gradtool.spec.suggest import nearest
from gradtool.spec.yamltree import Entry, Mapping, Node, read_tree, source_of

MAX_BYTES = 1_000_000
SECTIONS = (
    "layer",
    "about",
    "reference",
    "inputs",
    "parameters",
    "constants",
    "sizes",
    "forward",
    "output",
    "outputs",
    "check",
)
_NEEDED = "a spec needs at least layer:, inputs: and forward:"


def load_path(path: Path) -> LayerSpec:
    """Read a spec file.

    Raises:
        SpecError: with every problem; also when there is no such file, or it is no text.
    """
    file = str(path)
    try:
        if path.is_dir():
            message = "expected a spec file, found a directory"
            raise SpecError([_of_file(file, message, _inside(path))])
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError([_of_file(file, "no such file", _neighbour(path))]) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([_of_file(file, f"the file cannot be read: {reason}")]) from None
    return load_bytes(content, file)


def load_stdin(stream: BinaryIO | None = None) -> LayerSpec:
    """Read a spec from standard input; raises as `load_path` does."""
    file = "<stdin>"
    try:
        content = (stream or sys.stdin.buffer).read(MAX_BYTES + 1)
    except (OSError, ValueError, AttributeError):  # a directory; closed; closed at the start
        message = "standard input cannot be read"
        raise SpecError([_of_file(file, message, "pipe a spec into it")]) from None
    return load_bytes(content, file)


def load_bytes(content: bytes, file: str) -> LayerSpec:
    """Decode and read a spec; raises as `load_path` does."""
    if len(content) > MAX_BYTES:
        message = f"expected a spec of at most {MAX_BYTES:,} bytes, found a larger file"
        raise SpecError([_of_file(file, message, "is it a data file?")])
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "expected UTF-8 text, found UTF-16"
        raise SpecError([_of_file(file, message, "save the file as UTF-8")])
    if b"\0" in content:
        message = f"expected a text file, found binary data (NUL in byte {content.index(0) + 1})"
        raise SpecError([_of_file(file, message)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8").removeprefix("\ufeff")
        lines = source_of(before, file)[0].lines
        message = f"expected UTF-8 text, found the byte 0x{content[error.start]:02X}"
        problem = Problem(
            file, len(lines), len(lines[-1]) + 1, 1, "", message, "save the file as UTF-8"
        )
        raise SpecError([problem]) from None
    return load_text(text, file)


def load_text(text: str, file: str) -> LayerSpec:
    """Read a spec; `file` is the name shown in errors.

    Raises:
        SpecError: with every problem of the file.
    """
    if len(text) > MAX_BYTES:
        message = f"expected a spec of at most {MAX_BYTES:,} characters, found a larger one"
        raise SpecError([_of_file(file, message, "is it a data file?")])
    source, body = source_of(text, file)
    root, problems = read_tree(body, source)
    reading = Reading(source, problems)
    if root is None and not problems:
        raise SpecError([_of_file(file, "expected a layer spec, found an empty file", _NEEDED)])
    if root is None:
        raise SpecError(problems)
    spec = _spec(root, text, reading)
    if spec is None or problems:
        raise SpecError(problems)
    return spec


def _spec(root: Node, text: str, reading: Reading) -> LayerSpec | None:
    """The spec, or None after problems that leave no spec at all."""
    if not isinstance(root, Mapping) or not root.entries:
        reading.expected(root, "", "a mapping that begins with 'layer: name'", _NEEDED)
        return None
    fields = reading.fields(root, "", SECTIONS)
    scope = Scope()

    def value(key: str) -> Node | None:
        return fields[key].value if key in fields else None

    name = _layer(fields.get("layer"), reading)
    about, reference = (
        reading.text(node, key) if (node := value(key)) is not None else None
        for key in ("about", "reference")
    )
    variables: list[Variable] = []
    inputs, parameters = value("inputs"), value("parameters")
    if inputs is not None:
        variables += read_variables(inputs, "input", reading, scope)
    if parameters is not None:
        variables += read_variables(parameters, "parameter", reading, scope)
    if inputs is None and parameters is None:
        _missing("inputs", "inputs:, then names and shapes such as 'X: [N, D]'", root, reading)
    constants_node, sizes_node, check_node = value("constants"), value("sizes"), value("check")
    constants = read_constants(constants_node, reading, scope) if constants_node else {}
    check_excluded(variables, nodes_of("not", inputs, parameters), reading)
    check_chances(variables, nodes_of("domain", inputs, parameters), constants, reading)
    scope.check_sizes(reading)
    scope.check_gradient_names(variables, reading)
    sizes = read_sizes(sizes_node, reading, scope) if sizes_node else {}
    sizes |= room_for_excluded(variables, sizes)
    forward = _forward(fields.get("forward"), root, reading)
    outputs, outputs_place = read_outputs(fields.get("output"), fields.get("outputs"), reading)
    check = read_check(check_node, variables, reading) if check_node else None
    if name is None or forward is None:
        if "layer" not in fields:
            _missing("layer", "layer: and the name of the layer", root, reading)
        return None
    return LayerSpec(
        name=name,
        source=reading.source,
        text=text,
        about=(about or "").strip(),
        variables=tuple(variables),
        constants=constants,
        sizes=sizes,
        forward=forward,
        outputs=outputs,
        outputs_place=outputs_place,
        check=check,
        reference=(reference or "").strip(),
    )


def _layer(entry: Entry | None, reading: Reading) -> str | None:
    return None if entry is None else reading.name(entry.value, "layer")


def _forward(entry: Entry | None, root: Mapping, reading: Reading) -> Block | None:
    if entry is None:
        _missing("forward", "forward: | and the assignments of the forward pass", root, reading)
        return None
    return read_block(entry.value, "forward", reading)


def _missing(key: str, hint: str, root: Mapping, reading: Reading) -> None:
    place = Place(root.place.line, 1)
    message = f"expected a section '{key}:', found none"
    reading.absent(root, key, SECTIONS, place, message, f"add {hint}")


def _of_file(file: str, message: str, hint: str = "") -> Problem:
    return Problem(file, 1, 1, 1, "", message, hint)


def _neighbour(path: Path) -> str:
    """The spec beside a missing one that has nearly its name."""
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return f"there is no directory '{path.parent}' either"
    near = nearest(path.name, names)
    return f"did you mean '{path.parent / near}'?" if near else ""


def _inside(path: Path) -> str:
    """A spec in a directory that was given in its place."""
    try:
        names = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
    except OSError:
        return ""
    return f"give one of its files, such as '{names[0]}'" if names else "it holds no .yaml file"
