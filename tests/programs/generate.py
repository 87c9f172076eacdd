"""A random forward program: declarations, one to eight lines, outputs.

Everything comes from one `random.Random`, so that a seed gives a program.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping

from gradtool.records import Struct, replace

# Each module adds its pieces to the writer's operations when it is imported.
from tests.programs import contracting, elementwise, rearranging, reducing  # noqa: F401
from tests.programs.imaging import image_shapes
from tests.programs.index_lines import index_line, index_scalar
from tests.programs.sizes import ONE, Size
from tests.programs.writer import Value, Writer, entries, named, operation

_SYMBOLS = ("N", "D", "C", "H", "K", "T", "B")
_INPUT_NAMES = (
    "X",
    "W",
    "Z",
    "x",
    "b",
    "A",
    "S",
    "E",
    "I",
    "gamma",
    "beta",
    "Q",
    "U",
    "V",
    "w1",
    "O",
    "q",
    "T1",
    "d_Y",
    "input",
)
_LINE_NAMES = (
    "Y",
    "h",
    "P",
    "F",
    "G",
    "R",
    "u",
    "v",
    "z",
    "out",
    "loss",
    "xhat",
    "mu",
    "a1",
    "L",
    "J",
    "M",
    "delta",
    "s",
    "e",
    "t",
    "y_",
    "scale",
)
_SHADOWS = ("var", "std", "sum", "exp", "mean", "norm", "max", "log", "sqrt", "where", "relu")


class Declared(Struct, frozen=True):
    """An input, parameter or constant as its YAML."""

    name: str
    role: str
    yaml: str


class Line(Struct, frozen=True):
    """A line of the forward block, and the Python that it stands for."""

    name: str
    text: str
    reference: str


class Program(Struct, frozen=True):
    """A whole program.

    Attributes:
        needs: size expressions that must be at least 1 for the text to make sense.
        symbols: the names of sizes.
    """

    declared: tuple[Declared, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]
    symbols: tuple[str, ...]
    needs: tuple[str, ...] = ()
    constants: Mapping[str, str] | None = None

    @property
    def integers(self) -> dict[str, int]:
        """The constants that may stand in sizes."""
        return {k: int(v) for k, v in (self.constants or {}).items() if v.isdigit()}

    @property
    def yaml(self) -> str:
        """The spec file."""
        parts = ["layer: program"]
        for role in ("inputs", "parameters"):
            chosen = [d for d in self.declared if d.role == role]
            if chosen:
                parts += [f"{role}:", *(f"  {d.name}: {d.yaml}" for d in chosen)]
        if self.constants:
            parts += ["constants:", *(f"  {k}: {v}" for k, v in self.constants.items())]
        parts += ["forward: |", *(f"  {line.text}" for line in self.lines)]
        if self.outputs != (self.lines[-1].name,):
            parts.append(f"outputs: [{', '.join(self.outputs)}]")
        return "\n".join(parts) + "\n"

    @property
    def reference(self) -> str:
        return "\n".join(line.reference for line in self.lines) + "\n"


def _size(rng: random.Random, symbols: list[Size], integers: bool) -> Size:
    roll = rng.random()
    if roll < 0.72 or not integers:
        return rng.choice(symbols)
    if roll < 0.82:
        return ONE
    if roll < 0.92:
        return Size.of(rng.choice([2, 3, 4]))
    one = rng.choice(symbols)
    return rng.choice([one * 2, one + 1, Size.named(one.text) * rng.choice(symbols)])


def _shape(rng: random.Random, symbols: list[Size]) -> tuple[Size, ...]:
    rank = rng.choices([0, 1, 2, 3, 4], [8, 28, 45, 15, 4])[0]
    shape = tuple(_size(rng, symbols, True) for _ in range(rank))
    return shape if entries(shape) <= 60 else shape[:2]


def _yaml_shape(shape: tuple[Size, ...]) -> str:
    return f"[{', '.join(size.text for size in shape)}]"


def generate(rng: random.Random) -> Program:
    """A program from randomness."""
    symbols = [Size.named(s) for s in rng.sample(_SYMBOLS, rng.choice([1, 2, 2, 3]))]
    writer = Writer(rng, symbols)
    declared: list[Declared] = []
    taken = {s.text for s in symbols}
    shapes: list[tuple[Size, ...]] = []
    names = list(_INPUT_NAMES)
    rng.shuffle(names)
    if rng.random() < 0.05:
        names.append(rng.choice(_SHADOWS))
    for _ in range(rng.choice([1, 2, 2, 3, 3, 4])):
        name = names.pop()
        shape = rng.choice(shapes) if shapes and rng.random() < 0.35 else _shape(rng, symbols)
        shapes.append(shape)
        value = Value(name, name, shape)
        yaml = _yaml_shape(shape)
        if rng.random() < 0.2:
            value = replace(value, positive=True)
            domain = rng.choice(["positive", "[0.5, 2]"])
            yaml = f"{{shape: {yaml}, domain: {domain}}}"
        elif rng.random() < 0.08:
            yaml = f"{{shape: {yaml}, constant: true}}"
        declared.append(Declared(name, rng.choice(["inputs", "inputs", "parameters"]), yaml))
        writer.add(value)
        taken.add(name)
    mentioned = set().union(*(words_of(d.yaml) for d in declared))
    writer.sizes = [s for s in symbols if s.text in mentioned]
    if not writer.sizes:
        return generate(rng)
    if rng.random() < 0.18:
        _images(writer, declared, names, shapes)
    if rng.random() < 0.35:
        _labels(rng, writer, declared, shapes)
    if rng.random() < 0.2:
        shape = rng.choice(shapes)
        writer.add(Value("mask", "mask", shape, kind="bool"))
        declared.append(Declared("mask", "inputs", f"{{shape: {_yaml_shape(shape)}, dtype: bool}}"))
    constants = _constants(rng, writer)
    writer.hidden |= {v.text for v in writer.pool}
    differentiable = [
        d
        for d in declared
        if "constant" not in d.yaml and "index" not in d.yaml and "bool" not in d.yaml
    ]
    if not differentiable:
        return generate(rng)
    lines = _lines(rng, writer, taken)
    outputs = _outputs(rng, lines)
    program = Program(
        tuple(declared),
        tuple(lines),
        outputs,
        tuple(s.text for s in writer.sizes),
        tuple(s.text for s in writer.needs),
        constants,
    )
    return program if _possible(program) else generate(rng)


def _possible(program: Program) -> bool:
    """Whether small sizes meet every need."""
    for sizes in itertools.product((2, 3, 4, 5, 1), repeat=len(program.symbols)):
        values = {**dict(zip(program.symbols, sizes, strict=True)), **program.integers}
        if all(eval(need, {"__builtins__": {}}, values) >= 1 for need in program.needs):
            return True
    return False


def _labels(
    rng: random.Random, writer: Writer, declared: list[Declared], shapes: list[tuple[Size, ...]]
) -> None:
    sizes = [size for shape in shapes for size in shape if size != ONE] or writer.sizes
    labels = rng.choice(sizes)
    rank = rng.choices([0, 1, 2], [15, 65, 20])[0]
    shape = tuple(rng.choice(sizes) for _ in range(rank))
    if entries(shape) > 12:
        shape = shape[:1]
    writer.add(Value("y", "y", shape, kind="labels", labels=labels))
    declared.append(
        Declared("y", "inputs", f"{{shape: {_yaml_shape(shape)}, index: {labels.text}}}")
    )


def _images(
    writer: Writer, declared: list[Declared], names: list[str], shapes: list[tuple[Size, ...]]
) -> None:
    """An image and filters for it, which random shapes would hardly be."""
    for shape in image_shapes(writer):
        if len(shape) > 4 or entries(shape) > 110:
            return
        name = names.pop()
        shapes.append(shape)
        writer.add(Value(name, name, shape))
        declared.append(Declared(name, "inputs", _yaml_shape(shape)))


def _constants(rng: random.Random, writer: Writer) -> dict[str, str]:
    constants: dict[str, str] = {}
    if rng.random() < 0.25:
        value = rng.choice(["1e-5", "0.3", "-1.5", "2.5", "1"])
        constants["lam"] = value
        writer.add(Value("lam", "lam", (), weight=0))
    if rng.random() < 0.1:
        constants["k_"] = rng.choice(["2", "3"])
        writer.add(Value("k_", "k_", (), weight=0, positive=True))
    return constants


def _lines(rng: random.Random, writer: Writer, taken: set[str]) -> list[Line]:
    lines: list[Line] = []
    unused: set[str] = set()
    names = [n for n in _LINE_NAMES if n not in taken]
    if rng.random() < 0.08:
        names[:0] = [n for n in rng.sample(_SHADOWS, 2) if n not in taken]
    wanted = rng.choices(range(1, 9), [4, 5, 6, 6, 5, 4, 3, 2])[0]
    attempts = 0
    while len(lines) < wanted and attempts < 60:
        attempts += 1
        name = _name(rng, names, lines)
        last = len(lines) == wanted - 1
        if rng.random() < 0.15:
            made = index_line(writer)
            if made is None or entries(made.value.shape) > 110 or name in writer.hidden:
                continue
            lines.append(
                Line(
                    name,
                    f"{name}{made.left} = {made.value.text}",
                    f"{name} = {made.value.reference}",
                )
            )
            value = made.value
        else:
            depth = rng.choices([1, 2, 3, 4, 5], [4, 6, 4, 2, 1])[0]
            found = writer.value(depth)
            if found is None or (
                found.text in {v.text for v in writer.pool} and rng.random() < 0.9
            ):
                continue
            if last and rng.random() < 0.35 and found.rank:
                found = replace(
                    found,
                    text=f"np.sum({found.text})",
                    shape=(),
                    atomic=True,
                    reference=f"np.sum({found.reference})",
                    weight=found.weight + 1,
                )
            operator = "="
            earlier = next((v for v in writer.pool if v.text == name), None)
            if earlier is not None and earlier.shape == found.shape and rng.random() < 0.4:
                operator = rng.choice(["+=", "-=", "*="])
                found = replace(found, weight=found.weight + earlier.weight, positive=False)
                reference = f"{name} = {name} {operator[0]} ({found.reference})"
            else:
                reference = f"{name} = {found.reference}"
            lines.append(Line(name, f"{name} {operator} {found.text}", reference))
            value = found
        writer.pool = [v for v in writer.pool if v.text != name]
        unused.discard(name)
        unused.difference_update(n for n in list(unused) if n in words_of(lines[-1].text))
        unused.add(name)
        writer.add(named(name, value))
        writer.hidden.add(name)
    if len(unused) > 1 and rng.random() < 0.6 and names:
        _tie_together(rng, writer, lines, sorted(unused), names.pop())
    if not lines:
        first = next(v for v in writer.pool if v.kind == "real")
        lines.append(Line("Y", f"Y = {first.text} * 2", f"Y = {first.text} * 2"))
    return lines


def words_of(text: str) -> set[str]:
    """The names in a text."""
    return set(re.findall(r"[A-Za-z_]\w*", text))


def _tie_together(
    rng: random.Random, writer: Writer, lines: list[Line], unused: list[str], name: str
) -> None:
    """One more line that uses everything that no line used yet."""
    ends = [v for v in writer.pool if v.text in unused and v.kind == "real"]
    parts = [
        rng.choice([f"np.sum({v.text})", f"np.mean({v.text})", f"np.sum({v.text}**2)"])
        if v.shape
        else v.text
        for v in ends
    ]
    text = f"{name} = {rng.choice([' + ', ' * ', ' - ']).join(parts)}"
    lines.append(Line(name, text, text))


def _name(rng: random.Random, names: list[str], lines: list[Line]) -> str:
    if lines and rng.random() < 0.12:
        return rng.choice(lines).name  # assigned again
    return names.pop(0) if rng.random() < 0.5 else names.pop(rng.randrange(len(names)))


def _outputs(rng: random.Random, lines: list[Line]) -> tuple[str, ...]:
    names = list(dict.fromkeys(line.name for line in lines))
    last = lines[-1].name
    if len(names) > 1 and rng.random() < 0.25:
        chosen = rng.sample(names, rng.choice([2, 2, 3]) if len(names) > 2 else 2)
        return tuple(chosen)
    return (last,)


operation(2)(lambda w, depth: index_scalar(w))
