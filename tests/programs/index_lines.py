"""Random index statements: ``Y[n, i] = sum(X[n, 2*i + p] * K[p], over=[p])``.

The reference is nested Python loops over the same accesses; ranges are worked out here, by the
rule that the language states: the largest that keeps every access inside its array.
"""

from __future__ import annotations

from gradtool.records import Struct, field
from tests.programs.sizes import ONE, Size
from tests.programs.writer import Value, Writer, write

_LETTERS = "ijklmnpqrst"


class IndexLine(Struct, frozen=True):
    """The left side after the name, and the value; the shape is the value's."""

    left: str
    value: Value


class _Scene(Struct):
    w: Writer
    ranges: dict[str, Size] = field(default_factory=dict)

    def letter(self, size: Size) -> str:
        taken = {v.text for v in self.w.pool} | {s.text for s in self.w.sizes} | self.w.hidden
        fresh = [c for c in _LETTERS if c not in self.ranges and c not in taken]
        name = fresh[0] if self.w.chance(0.5) else self.w.pick(fresh)
        self.ranges[name] = size
        return name

    def index(self, size: Size, used: list[str]) -> str:
        known = [c for c, d in self.ranges.items() if d == size and c not in used]
        if size == ONE:
            return "0"
        if known and self.w.chance(0.7):
            return self.w.pick(known)
        return (
            self.letter(size)
            if len(self.ranges) < 6
            else self.w.pick([c for c, d in self.ranges.items() if d == size] or ["0"])
        )

    def access(self, tensor: Value) -> str:
        used: list[str] = []
        for size in tensor.shape:
            labels = [v for v in self.w.labels() if v.labels == size and v.rank <= 1]
            if labels and self.w.chance(0.3):
                y = self.w.pick(labels)
                # A label without axes is an index by itself.
                inner = "" if not y.rank else f"[{self.index(y.shape[0], [])}]"
                used.append(f"{y.text}{inner}")
            else:
                used.append(self.index(size, used))
        return f"{tensor.text}[{', '.join(used)}]" if used else tensor.text

    def factor(self, tensor: Value) -> str:
        here = self.access(tensor)
        choices = [here, here, here, f"{here}**2", f"2*{here}", f"(1 - {here})"]
        for word in ("tanh", "sigmoid", "sin", "relu", "abs"):
            if self.w.may_call(word):
                choices.append(f"{word}({here})")
        if tensor.weight <= 1 and self.w.may_call("exp"):
            choices.append(f"exp({here})")
        if tensor.positive:
            choices.append(f"{here}**-1")
            if self.w.may_call("log"):
                choices.append(f"log({here})")
        return self.w.pick(choices)

    def reduced(self, word: str, body: str, over: list[str], extra: str = "") -> tuple[str, str]:
        """The text and the reference of a reduction."""
        if not over:
            return body, body
        names = ", ".join(over)
        sizes = ", ".join(self.ranges[c].text for c in over)
        shown = f"{word}({body}, over=[{names}]{extra})"
        return shown, f"index_{word}(({sizes},), lambda {names}: {body})"

    def line(
        self, text: str, reference: str, free: list[str], weight: int, stated: bool = False
    ) -> IndexLine:
        names = ", ".join(free)
        shape = tuple(self.ranges[c] for c in free)
        left = ", ".join(f"{c} < {self.ranges[c].text}" if stated else c for c in free)
        sizes = ", ".join(self.ranges[c].text for c in free)
        made = f"index_array(({sizes},), lambda {names}: {reference})"
        return IndexLine(f"[{left}]", Value(text, made, shape, False, weight=weight))


def _tensors(w: Writer, least: int = 1, most: int = 4) -> list[Value]:
    return [v for v in w.pool if v.kind == "real" and least <= v.rank <= most and v.weight <= 3]


def index_line(w: Writer) -> IndexLine | None:
    """A random index statement."""
    make = w.pick([_products, _products, _products, _window, _window, _pooled, _reversed, _outside])
    return make(w)


def _products(w: Writer) -> IndexLine | None:
    options = _tensors(w, 0)
    if not any(v.rank for v in options):
        return None
    scene = _Scene(w)
    factors: list[str] = []
    weight = 2
    for _ in range(w.pick([1, 1, 2, 2, 3])):
        tensor = w.pick(options)
        factors.append(scene.factor(tensor))
        weight += 2 * tensor.weight
    if not scene.ranges:
        return None
    names = list(scene.ranges)
    if len(names) > 1 and w.chance(0.15):
        a, b = w.rng.sample(names, 2)
        factors.append(f"({a} {w.pick(['<=', '<', '==', '>='])} {b})")
    elif w.chance(0.1):
        factors.append(w.pick(names))
    body = " * ".join(factors)
    if len(factors) > 1 and w.chance(0.2):
        body = body.replace(" * ", w.pick([" + ", " - "]), 1)
    free = [c for c in names if w.chance(0.55)]
    if not free:
        free = [w.pick(names)]
    w.rng.shuffle(free)
    over = [c for c in names if c not in free]
    words = [c for c in ("sum", "sum", "sum", "mean", "max", "min") if w.may_call(c)]
    if not words and over:
        return None
    word = w.pick(words) if over else ""
    text, reference = scene.reduced(word, body, over)
    if over and w.chance(0.2):
        wraps = ("tanh({})", "sigmoid({})", "sin({})", "2*{}", "1 / (1 + ({})**2)")
        wrap = w.pick([v for v in wraps if w.may_call(v.partition("(")[0])])
        text, reference = wrap.format(text), wrap.format(reference)
    return scene.line(text, reference, free, weight)


def _with_axis(w: Writer, minimum: int = 2) -> tuple[Value, int] | None:
    options = [
        (v, a)
        for v in _tensors(w)
        for a, d in enumerate(v.shape)
        if d.as_int is None or d.as_int >= minimum
    ]
    return w.pick(options) if options else None


def _moved(scene: _Scene, tensor: Value, axis: int, entry: str) -> tuple[str, list[str]]:
    """An access with a given entry on one axis, and the indices of the other axes."""
    shown: list[str] = []
    others: list[str] = []
    for a, size in enumerate(tensor.shape):
        if a == axis:
            shown.append(entry)
        elif size == ONE:
            shown.append("0")
        else:
            others.append(scene.letter(size))
            shown.append(others[-1])
    return f"{tensor.text}[{', '.join(shown)}]", others


def _window(w: Writer) -> IndexLine | None:
    """A correlation with stride and dilation along one axis."""
    found = _with_axis(w)
    kernels = [v for v in _tensors(w, 1, 3) if v.shape[-1] != ONE]
    if found is None or not kernels or not w.may_call("sum"):
        return None
    tensor, axis = found
    kernel = w.pick(kernels)
    stride, dilation = w.pick([1, 1, 2, 3]), w.pick([1, 1, 2])
    scene = _Scene(w)
    p = scene.letter(kernel.shape[-1])
    last = tensor.shape[axis] - 1 - (kernel.shape[-1] - 1) * dilation
    w.need(last + 1)
    if last.as_int is not None and last.as_int < 0:
        return None
    i = scene.letter(last // stride + 1)
    step = i if stride == 1 else f"{stride}*{i}"
    move = p if dilation == 1 else f"{dilation}*{p}"
    here, others = _moved(scene, tensor, axis, f"{step} + {move}")
    there, more = _moved(scene, kernel, kernel.rank - 1, p)
    free = [*others, *more, i]
    w.rng.shuffle(free)
    over = [p]
    while len(free) > 3 or (len(free) > 1 and w.chance(0.3)):
        moved = w.pick([c for c in free if c != i] or [i])
        if moved == i:
            break
        free.remove(moved)
        over.append(moved)
    text, reference = scene.reduced("sum", f"{here} * {there}", over)
    return scene.line(text, reference, free, tensor.weight + kernel.weight + 1)


def _pooled(w: Writer) -> IndexLine | None:
    """The best or the mean of windows along one axis, the window's length stated."""
    found = _with_axis(w)
    if found is None or not w.may_call("max", "min", "mean", "sum"):
        return None
    tensor, axis = found
    scene = _Scene(w)
    length, stride = 2, w.pick([1, 2])
    p = scene.letter(Size.of(length))
    size = tensor.shape[axis]
    w.need(size - 1)
    i = scene.letter((size - length) // stride + 1)
    start = i if stride == 1 else f"{stride}*{i}"
    here, others = _moved(scene, tensor, axis, f"{start} + {p}")
    free = [*others, i]
    word = w.pick(["max", "max", "min", "mean", "sum"])
    text, reference = scene.reduced(word, here, [p])
    text = text.replace(f"over=[{p}]", f"over=[{p} < {length}]")
    return scene.line(text, reference, free, tensor.weight)


def _reversed(w: Writer) -> IndexLine | None:
    found = _with_axis(w, 1)
    if found is None:
        return None
    tensor, axis = found
    scene = _Scene(w)
    size = tensor.shape[axis]
    i = scene.letter(size)
    here, others = _moved(scene, tensor, axis, f"{size.text} - 1 - {i}")
    free = [i, *others]
    w.rng.shuffle(free)
    body = w.pick([here, f"{here}**2", f"{i} * {here}"])
    return scene.line(body, body, free, 2 * tensor.weight, stated=True)


def _outside(w: Writer) -> IndexLine | None:
    """A correlation with zero padding: entries outside the array count as zero."""
    found = _with_axis(w, 1)
    if found is None or not w.may_call("sum"):
        return None
    tensor, axis = found
    scene = _Scene(w)
    size = tensor.shape[axis]
    i, p = scene.letter(size), scene.letter(Size.of(w.pick([2, 3])))
    here, others = _moved(scene, tensor, axis, f"{i} + {p} - 1")
    free = [*others, i]
    body = w.pick([here, f"{here} * ({p} + 1)"])
    text, _ = scene.reduced("sum", body, [p], ", outside=0")
    text = text.replace(f"over=[{p}]", f"over=[{p} < {scene.ranges[p].text}]")
    guarded = body.replace(here, f"({here} if 0 <= {i} + {p} - 1 < {size.text} else 0)")
    _, reference = scene.reduced("sum", guarded, [p])
    return scene.line(text, reference, free, tensor.weight + 1, stated=True)


def index_scalar(w: Writer) -> Value | None:
    """``sum(X[i, j] * Z[i, j], over=[i, j])`` where an expression may stand."""
    options = _tensors(w)
    if not options or not w.may_call("sum"):
        return None
    scene = _Scene(w)
    a, b = w.pick(options), w.pick(options)
    body = f"{scene.factor(a)} * {scene.factor(b)}"
    if not scene.ranges:
        return None
    text, reference = scene.reduced("sum", body, list(scene.ranges))
    return write(
        text.replace("{", "{{").replace("}", "}}"),
        [],
        (),
        reference=reference,
        weight=2 * (a.weight + b.weight) + 1,
    )
