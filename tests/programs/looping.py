"""Random programs with a loop over an axis: carried values, sums, collected slices, label reads.

The reference is the same text, executed by Python.  Everything in the body but slices at the step
comes from the writer of ordinary programs.
"""

from __future__ import annotations

import random

from gradtool.records import Struct, field, replace
from tests.programs.generate import Declared, Line, Program
from tests.programs.sizes import Shape, Size, shape_text
from tests.programs.writer import Value, Writer, named, write

Both = tuple[str, str]  # a line of the spec, and of the reference

_STEPS = ("T", "L", "S")
_LOCAL = ("a", "u", "v", "z", "gate", "p")
_CARRIED = ("h", "c", "m")


class _Loop(Struct):
    """A program under way.

    Attributes:
        sequences: values with the step on one axis, and that axis.
    """

    rng: random.Random
    w: Writer
    steps: Size
    sizes: list[Size]
    declared: list[Declared] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sequences: list[tuple[Value, int]] = field(default_factory=list)
    suffix: str = ""

    def declare(self, name: str, shape: Shape, role: str, extra: str = "") -> Value:
        sizes = ", ".join(size.text for size in shape)
        yaml = f"{{shape: [{sizes}], {extra}}}" if extra else f"[{sizes}]"
        self.declared.append(Declared(name, role, yaml))
        self.w.hidden.add(name)
        return Value(name, name, shape)

    def line(self, name: str, text: str) -> None:
        self.lines.append(Line(name, text, text))
        self.w.hidden.add(name)

    def shape(self, rank: int) -> Shape:
        return tuple(self.rng.choice(self.sizes) for _ in range(rank))


def generate_loop(rng: random.Random) -> Program:
    """A program with one or two loops."""
    steps = Size.named(rng.choice(_STEPS))
    others = [Size.named(s) for s in rng.sample(("N", "D", "K"), rng.choice([1, 2, 2]))]
    loop = _Loop(rng, Writer(rng, [*others, steps]), steps, others)
    _inputs(loop)
    outer = list(loop.w.pool)
    results: list[Value] = []
    for number in range(1 if rng.random() < 0.85 else 2):
        loop.w.pool = [*outer, *results]
        results += _loop(loop, number)
    loop.w.pool = [*outer, *results]
    outputs = _after(loop, results)
    return Program(
        tuple(loop.declared),
        tuple(loop.lines),
        outputs,
        tuple(s.text for s in loop.w.sizes if _mentioned(loop, s)),
        tuple(s.text for s in loop.w.needs),
        None,
    )


def _mentioned(loop: _Loop, size: Size) -> bool:
    return any(size.text in one.yaml for one in loop.declared)


def _inputs(loop: _Loop) -> None:
    rng, w = loop.rng, loop.w
    for name in rng.sample(("X", "R", "G"), rng.choice([1, 1, 2])):
        shape = list(loop.shape(rng.choice([0, 1, 1, 2])))
        axis = rng.randrange(len(shape) + 1)
        shape.insert(axis, loop.steps)
        value = loop.declare(name, tuple(shape), "inputs")
        loop.sequences.append((value, axis))
        w.add(value)
    for size in loop.sizes:  # every size is declared
        w.add(loop.declare(f"b{size.text}", (size,), "parameters"))
    for name in ("W", "U")[: rng.choice([0, 1, 2])]:
        w.add(loop.declare(name, loop.shape(2), "parameters"))
    if rng.random() < 0.5:
        w.add(loop.declare("h0", loop.shape(rng.choice([1, 2])), "inputs"))
    if rng.random() < 0.4:
        classes = rng.choice(loop.sizes)
        places = (*loop.shape(rng.choice([0, 1])), loop.steps)
        labels = loop.declare("y", places, "inputs", f"index: {classes.text}")
        labels = replace(labels, kind="labels", labels=classes)
        loop.sequences.append((labels, len(places) - 1))


def _loop(loop: _Loop, number: int) -> list[Value]:
    """One loop; the values that it leaves behind."""
    rng, w = loop.rng, loop.w
    suffix = str(number) if number else ""
    header, offset = _header(loop)
    before = list(w.pool)
    carried: list[Value] = []
    for name in rng.sample(_CARRIED, rng.choice([0, 1, 1, 2])):
        carried.append(_start(loop, name + suffix))
    sums: list[Value] = []
    for name in ("loss", "total")[: rng.choice([0, 0, 1, 2])]:
        shape = () if name == "loss" else loop.shape(rng.choice([1, 2]))
        start = "0" if not shape else f"zeros({shape_text(shape)})"
        begin = _of_shape(w, shape) if rng.random() < 0.2 else None
        # In NumPy a plain name would be changed in place with the sum.
        begin = Value(start, start, shape) if begin is None else write("1.0 * {0}", [begin], shape)
        loop.lines.append(Line(name + suffix, *_both(f"{name}{suffix} = ", begin)))
        w.hidden.add(name + suffix)
        sums.append(Value(name + suffix, name + suffix, shape))
    collected: list[tuple[Value, int, Value | None]] = []
    for name in ("H", "Q")[: rng.choice([0, 1, 1, 2])]:
        source = rng.choice(carried) if carried and rng.random() < 0.7 else None
        inner = list(source.shape if source is not None else loop.shape(rng.choice([0, 1, 2])))
        axis = rng.randrange(len(inner) + 1)
        whole = (*inner[:axis], loop.steps, *inner[axis:])
        loop.line(name + suffix, f"{name}{suffix} = zeros({shape_text(whole)})")
        collected.append((Value(name + suffix, name + suffix, whole), axis, source))
    if not carried and not sums and not collected:
        carried.append(_start(loop, "h" + suffix))
    w.pool = [*before, *carried]
    w.hidden.add("t")
    slices: list[str] = []
    loop.suffix = suffix
    for value, axis in loop.sequences:
        w.pool += _slices(loop, value, axis, offset, slices)
    if rng.random() < 0.15:
        w.pool.append(Value("t", "t", ()))
    body = [*((s, s) for s in slices), *_body(loop, suffix, carried, sums, collected)]
    text = "\n      ".join([header, *(text for text, _ in body)])
    reference = "\n    ".join([header, *(text for _, text in body)])
    loop.lines.append(Line("", text, reference))  # several names: outputs are stated
    return [*carried, *sums, *(value for value, _, _ in collected)]


def _header(loop: _Loop) -> tuple[str, int]:
    """The first line, and by how much the reads are shifted: ``X[:, t - 1]``."""
    steps = loop.steps.text
    roll = loop.rng.random()
    if roll < 0.55:
        return f"for t in range({steps}):", 0
    if roll < 0.8:
        return f"for t in reversed(range({steps})):", 0
    loop.w.need(loop.steps - 1)
    if roll < 0.9:
        return f"for t in range(1, {steps}):", -1
    return f"for t in range({steps} - 1):", 1


def _start(loop: _Loop, name: str) -> Value:
    """A carried name with its value before the loop."""
    rng, w = loop.rng, loop.w
    real = [v for v in w.pool if v.kind == "real" and v.rank and v.weight <= 1]
    if real and rng.random() < 0.5:
        source = rng.choice(real)
        form = rng.choice(["{0}", "{0}", "tanh({0})", "{0} * 2", "zeros_like({0})"])
        loop.line(name, f"{name} = {form.format(source.text)}")
        return Value(name, name, source.shape)
    shape = loop.shape(rng.choice([0, 1, 1, 2]))
    start = f"zeros({shape_text(shape)})" if shape else rng.choice(["0", "0.5", "1"])
    loop.line(name, f"{name} = {start}")
    return Value(name, name, shape)


def _slices(
    loop: _Loop, value: Value, axis: int, offset: int, named_before: list[str]
) -> list[Value]:
    """A sequence at the step, now and then at the step before or after."""
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    places = ["t"]
    if offset and loop.rng.random() < 0.8:
        places.append(f"t {'+' if offset > 0 else '-'} 1")
    found: list[Value] = []
    for place in places:
        index = ", ".join([*[":"] * axis, place])
        text = f"{value.text}[{index}]"
        if loop.rng.random() < 0.4:  # index notation needs a name
            name = f"{value.text.lower()}{len(named_before)}_{loop.suffix}t"
            named_before.append(f"{name} = {text}")
            text = name
        made = Value(text, text, shape, kind=value.kind, labels=value.labels)
        found += [made, made] if value.kind == "real" else [made]
    return found


def _body(
    loop: _Loop,
    suffix: str,
    carried: list[Value],
    sums: list[Value],
    collected: list[tuple[Value, int, Value | None]],
) -> list[Both]:
    rng, w = loop.rng, loop.w
    lines: list[Both] = []
    for name in rng.sample(_LOCAL, rng.choice([0, 1, 1, 2])):
        value = w.value(rng.choice([1, 2, 2, 3]))
        if value is None or value.text in {v.text for v in w.pool}:
            continue
        lines.append(_both(f"{name}{suffix} = ", value))
        w.pool = [v for v in w.pool if v.text != name + suffix]
        w.add(named(name + suffix, value))
        w.hidden.add(name + suffix)
    waiting: list[Both] = []
    for one in sums:
        made = _of_shape(w, one.shape)
        if made is not None:
            waiting.append(_both(f"{one.text} {rng.choice(['+=', '+=', '-='])} ", made))
    for one in carried:
        lines.append(_both(f"{one.text} = ", _update(loop, one)))
        w.pool = [v for v in w.pool if v.text != one.text]
        w.add(one)
    rng.shuffle(waiting)
    lines += waiting
    for value, axis, source in collected:
        shape = (*value.shape[:axis], *value.shape[axis + 1 :])
        made = source or _of_shape(w, shape) or Value("0.0", "0.0", ())
        index = ", ".join([*[":"] * axis, "t"])
        lines.append(_both(f"{value.text}[{index}] = ", made))
    return lines or [("pass", "pass")]


def _both(left: str, value: Value) -> Both:
    return left + value.text, left + value.reference


def _update(loop: _Loop, one: Value) -> Value:
    """The next value of a carried name; bounded, since it is applied step after step."""
    rng, w = loop.rng, loop.w
    made = _of_shape(w, one.shape) or one
    forms = ["tanh({0:b})", "tanh({1} + {0})", "0.5 * {1} + tanh({0:b})"]
    forms += ["sigmoid({0:b}) * {1}"] if w.may_call("sigmoid") else []
    matrices = [
        v for v in w.pool
        if v.kind == "real" and v.rank == 2 and one.rank and v.shape == (one.shape[-1],) * 2
    ]  # fmt: skip
    matrix = rng.choice(matrices) if matrices else one
    forms += ["tanh({1} @ {2} + {0})"] * (3 if matrices else 0)
    return write(rng.choice(forms), [made, one, matrix], one.shape, atomic=False)


def _of_shape(w: Writer, shape: Shape) -> Value | None:
    """An expression of exactly a shape, made so by sums when luck is out."""
    for depth in (3, 2, 2, 1):
        value = w.value(depth, lambda v: v.shape == shape)
        if value is not None and value.shape == shape:
            return value
    if not shape:
        value = w.value(2)
        return None if value is None else write("np.sum({0:b})", [value], ())
    for one in w.pool:
        if one.kind == "real" and one.shape == shape[-1:]:
            return write(f"{{0}} + zeros({shape_text(shape)})", [one], shape, atomic=False)
    return None


def _after(loop: _Loop, results: list[Value]) -> tuple[str, ...]:
    """Lines after the loops, and the outputs."""
    rng, w = loop.rng, loop.w
    names = [v.text for v in results]
    if rng.random() < 0.5:
        value = w.value(rng.choice([1, 2]), lambda v: any(n in v.text for n in names))
        if value is not None and value.text not in names:
            loop.lines.append(Line("Y", *_both("Y = ", value)))
            if rng.random() < 0.7:
                return ("Y",)
            names.append("Y")
    if len(names) > 1 and rng.random() < 0.4:
        return tuple(rng.sample(names, 2))
    return (rng.choice(names),)
