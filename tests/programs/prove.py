"""Judge the engine on one program: lowering, both derivations, round trip, all against numbers.

The forward pass is compared with NumPy executing the same text.  The gradients are compared with
60-digit centered differences of the forward pass along a random direction of all inputs at once,
and every line of the backward pass first goes through its printed text and back.
"""

from __future__ import annotations

import io
import random
import tokenize
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.line import target_name
from gradtool.emit.loops import printed
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, Graph, Scan
from gradtool.numeric.arithmetic import Double, HighPrecision
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.records import Struct, replace
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import Block, LayerSpec, Place, SizeRule, Source, Variable
from tests.programs.generate import Program
from tests.programs.reference import WIDE, execute

DIGITS = 60
CLOSE = 1e-25  # gradient against differences, relative to max(1, |value|)
FORWARD = 1e-9  # forward against NumPy

Status = Literal["agrees", "refused", "crashed", "wrong", "undefined"]


class Outcome(Struct, frozen=True):
    """What came of a program; `reason` groups equal causes, `detail` has the numbers."""

    status: Status
    reason: str = ""
    detail: str = ""


class _Stop(Exception):
    """Judged: carries the outcome."""

    def __init__(self, status: Status, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.outcome = Outcome(status, reason, detail)


KINDS = ("compact", "staged")


def prove(
    program: Program, seed: int = 0, size_sets: int = 4, kinds: tuple[str, ...] = KINDS
) -> Outcome:
    """The outcome of one program; never raises for a fault of the engine.

    `size_sets`: how many sets of sizes are tried; with fewer than 4 they are drawn by the seed.
    `kinds`: the printed forms that are judged.
    """
    try:
        return _prove(program, random.Random(seed), size_sets, kinds)
    except _Stop as stop:
        return stop.outcome
    except SpecError as error:
        problem = error.problems[0]
        return Outcome("refused", f"SpecError: {_general(problem.message)}", str(error))
    except UnsupportedError as error:
        return Outcome("refused", f"UnsupportedError: {_general(str(error))}", _tail())
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__} in {_place(error)}", _tail())


def _tail() -> str:
    return "\n".join(traceback.format_exc().splitlines()[-12:])


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "gradtool" in f.filename]
    frame = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('/')[2]}:{frame.name}"


def _general(message: str) -> str:
    """A message without the names and shapes of one program."""
    words = message.split()
    kept = [w for w in words if not any(c in w for c in "'(),=0123456789")]
    return " ".join(kept)[:70]


def sets_of_sizes(program: Program, rng: random.Random) -> Iterator[dict[str, int]]:
    """Distinct, distinct again, square, all ones; enlarged until every need is met."""
    names = program.symbols
    numbers = [2, 3, 4, 5]
    first = rng.sample(numbers, len(names))
    rest = [n for n in numbers if n not in first] + first
    side = rng.choice([2, 3])
    wanted = [
        dict(zip(names, first, strict=True)),
        dict(zip(names, rest[: len(names)], strict=True)),
        {name: side for name in names},
        {name: 1 for name in names},
    ]
    seen: list[dict[str, int]] = []
    for start in wanted:
        sizes = _repaired(program, start)
        if sizes is not None and sizes not in seen:
            seen.append(sizes)
            yield sizes


def _repaired(program: Program, start: dict[str, int]) -> dict[str, int] | None:
    source = random.Random(1)
    sizes = dict(start)
    for attempt in range(60):
        whole = {**sizes, **program.integers}
        if all(eval(need, {"__builtins__": {}}, whole) >= 1 for need in program.needs):
            return sizes
        reach = 2 + attempt // 15
        sizes = {n: v + source.randrange(reach) for n, v in start.items()}
    return None


def draw(
    spec: LayerSpec, sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, np.ndarray[Any, Any]]:
    """Values in double precision; own code, not the product's sampling."""
    return {v.name: _value(v, sizes, rng) for v in spec.variables}


def _value(v: Variable, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    shape = tuple(eval(str(d), {"__builtins__": {}}, dict(sizes)) for d in v.shape)
    if v.dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if v.dtype == "index":
        assert v.index is not None
        return np.asarray(rng.integers(0, eval(str(v.index), {}, dict(sizes)), shape))
    if v.domain.kind == "interval":
        return np.asarray(rng.uniform(0.5, 2, shape))
    if v.domain.kind == "positive":
        return np.asarray(rng.uniform(0.3, 2, shape))
    return np.asarray(rng.standard_normal(shape))


def _prove(program: Program, rng: random.Random, size_sets: int, kinds: tuple[str, ...]) -> Outcome:
    spec = load_text(program.yaml, "program.yaml")
    graph = graph_of(spec)
    derivations = {kind: derive(graph, staged=kind == "staged") for kind in kinds}
    written = [_written(derivation) for derivation in derivations.values()]
    if len(written) == 2 and written[0] == written[1]:
        del derivations["staged"]  # the same text has the same values
    backward = {kind: _reread(program, spec, d) for kind, d in derivations.items()}
    tried = 0
    undefined: _Stop | None = None
    every = list(sets_of_sizes(program, rng))
    chosen = every if size_sets >= len(every) else rng.sample(every, size_sets)
    for sizes in chosen:
        try:
            tried += _at_sizes(
                program, spec, graph, derivations, backward, sizes, rng.randrange(10**9)
            )
        except _Stop as stop:
            if stop.outcome.status != "undefined":
                raise
            undefined = stop
    if not tried and undefined is not None:
        raise undefined
    if not tried:
        return Outcome("undefined", "no sizes satisfy the program")
    return Outcome("agrees", detail=f"{tried} size sets")


def _written(derivation: Derivation) -> tuple[object, ...]:
    """All that is printed and judged of a derivation."""
    lines = [(e.name, e.of, e.role, e.shape) for e in derivation.lines]
    return printed(derivation.lines), lines, derivation.zero


class _Backward(Struct, frozen=True):
    """The printed lines, read again: their graph, and the gradient's name for each input."""

    text: str
    graph: Graph
    gradients: Mapping[str, str]


_PREFIX = "g_"


def _renamed(text: str, names: set[str]) -> str:
    """The same text with a prefix on some names, character for character otherwise."""
    inner = text.lstrip()  # a line of a loop
    result, end, before = text[: len(text) - len(inner)], 0, ""
    text = inner
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in names and before != ".":
            result += text[end : token.start[1]] + _PREFIX + token.string
            end = token.end[1]
        before = token.string
    return result + text[end:]


def _reread(program: Program, spec: LayerSpec, derivation: Derivation) -> _Backward | None:
    """Print every line and read it as the forward block of a spec over the forward tensors."""
    if not derivation.lines:
        return None
    # The language keeps the names of gradients for gradients; here they are plain values.
    upstream = [name for name, _ in derivation.upstream.values()]
    kept = {*upstream, *(e.name for e in derivation.lines if e.role != "inner")}
    blocks = dict.fromkeys(e.block for e in derivation.lines if e.block is not None)
    for block in blocks:
        kept |= {target_name(s.target) for s in (*block.before, *block.steps, *block.after)}
    lines = [_renamed(text, kept) for text in printed(derivation.lines)]
    gradients = {e.of: _PREFIX + e.name for e in derivation.lines if e.role == "gradient"}
    here = Place(1, 1)
    given = [
        Variable(t.name, "input", t.shape, t.kind, here, t.labels, constant=True)
        for t in derivation.graph.tensors.values()
        if not t.name.startswith("_")
    ]
    given += [
        Variable(_PREFIX + name, "input", shape, "real", here, constant=True)
        for name, shape in derivation.upstream.values()
    ]
    text = "\n".join(lines)
    backward = replace(
        spec,
        name="backward",
        source=Source("backward", tuple(lines)),
        text=text,
        variables=tuple(given),
        sizes={name: SizeRule() for name in program.symbols},
        forward=Block(text, tuple(Place(k + 1, 1) for k in range(len(lines)))),
        outputs=tuple(gradients.values()),
        check=None,
    )
    try:
        graph = graph_of(backward)
    except SpecError as error:
        raise _Stop(
            "crashed",
            f"printed text does not read: {_general(error.problems[0].message)}",
            f"{error}\n{text}",
        ) from None
    return _Backward(text, graph, dict(zip(gradients, graph.outputs, strict=True)))


def _at_sizes(
    program: Program,
    spec: LayerSpec,
    graph: Graph,
    derivations: Mapping[str, Derivation],
    backward: Mapping[str, _Backward | None],
    sizes: Mapping[str, int],
    seed: int,
) -> int:
    """1 when everything agreed at these sizes, 0 when the engine excludes them."""
    arithmetic = HighPrecision(DIGITS)
    setting = setting_for(graph, sizes, arithmetic)
    if any(dim.evaluate(setting.sizes) < 0 for dim in graph.assumptions):
        return 0
    numpy_rng = np.random.default_rng(seed)
    point = draw(spec, {**setting.sizes}, numpy_rng)
    to_mp = np.frompyfunc(arithmetic.mp.mpf, 1, 1)

    def high(array: Any) -> Any:
        return np.asarray(to_mp(array), dtype=object)

    reals = {v.name for v in spec.variables if v.dtype == "real"}
    values = {k: high(v) if k in reals else v for k, v in point.items()}
    known = run(graph.statements, values, setting)
    _compare_forward(program, graph, known, point, reals, setting.sizes)
    upstream = {out: high(numpy_rng.standard_normal(known[out].shape)) for out in graph.outputs}
    loss = len(graph.outputs) == 1 and graph.tensors[graph.outputs[0]].shape == ()
    if loss:
        upstream = {graph.outputs[0]: high(1.0)}
    differences = _Differences(graph, setting, values, upstream, high, numpy_rng)
    for kind, derivation in derivations.items():
        whole = {**known, **run(_added(derivation.graph, graph), known, setting)}
        given = {_PREFIX + name: upstream[out] for out, (name, _) in derivation.upstream.items()}
        visible = {k: v for k, v in whole.items() if not k.startswith("_")}
        gradients: dict[str, Any] = {}
        read = backward[kind]
        if read is not None:
            try:
                after = run(
                    read.graph.statements,
                    {**visible, **given},
                    setting_for(read.graph, sizes, arithmetic),
                )
            except ZeroDivisionError:
                status: Status = "wrong" if differences.smooth() else "undefined"
                raise _Stop(
                    status, f"{kind} gradient divides by zero", f"{sizes}\n{read.text}"
                ) from None
            gradients = {of: after[name] for of, name in read.gradients.items()}
        text = read.text if read else ""
        differences.judge(kind, gradients, derivation.zero, f"sizes {sizes}, seed {seed}\n{text}")
    return 1


def _added(graph: Graph, before: Graph) -> list[AnyStatement]:
    """The inner values that a derivation added to the forward pass; it must change no other.

    A loop that keeps more is another loop: then everything is computed again.
    """
    if any(isinstance(s, Scan) for s in graph.statements):
        return list(graph.statements)
    old = {s.out.name: s for s in before.statements}
    added = [s for s in graph.statements if s.out.name not in old]
    assert all(s is old[s.out.name] for s in graph.statements if s.out.name in old)
    return added


def _compare_forward(
    program: Program,
    graph: Graph,
    known: Mapping[str, Any],
    point: Mapping[str, Any],
    reals: set[str],
    sizes: Mapping[str, int],
) -> None:
    """The engine's forward pass against NumPy on the same text, in both precisions."""
    # A constant is the number that Python reads: ``lam <= 0.3`` holds for lam = 0.3.
    numbers = {
        k: WIDE(float(v)) if not v.isdigit() else int(v)
        for k, v in (program.constants or {}).items()
    }
    wide = {k: v.astype(WIDE) if k in reals else v for k, v in point.items()}
    expected = execute(program.reference, {**wide, **sizes, **numbers})
    double = run(graph.statements, point, setting_for(graph, sizes, Double()))
    assigned = [line.name for line in program.lines]
    declared = {d.name for d in program.declared}
    pairs = [(n, n) for n in assigned if n and assigned.count(n) == 1 and n not in declared]
    pairs += list(zip(program.outputs, graph.outputs, strict=True))
    for written, tensor in pairs:
        if tensor not in known:
            continue
        mine, theirs = known[tensor], np.asarray(expected[written])
        if mine.shape != theirs.shape:
            raise _Stop(
                "wrong",
                "forward shape",
                f"{written}: engine {mine.shape}, NumPy {theirs.shape} at {sizes}",
            )
        engine = mine.astype(float) if mine.size else mine
        if not np.isfinite(theirs).all():
            continue
        scale = max(1.0, float(np.max(np.abs(theirs), initial=0)))
        gap = float(np.max(np.abs(engine - theirs), initial=0))
        if not gap <= FORWARD * scale:
            for step in range(1, 8):
                near = {
                    k: v * (1 + step * WIDE(1e-9)) if k in reals else v for k, v in wide.items()
                }
                other = np.asarray(
                    execute(program.reference, {**near, **sizes, **numbers})[written]
                )
                if not float(np.max(np.abs(other - theirs), initial=0)) <= 1e-6 * scale:
                    raise _Stop("undefined", "a tie that NumPy's rounding decides")
            raise _Stop(
                "wrong", "forward value", f"{written} at {sizes}: engine {engine}, NumPy {theirs}"
            )
        rough = float(np.max(np.abs(double[tensor] - theirs), initial=0))
        if not rough <= 1e-6 * scale and scale < 1e6:
            raise _Stop(
                "wrong",
                "forward value in double precision",
                f"{written} at {sizes}: engine {double[tensor]}, NumPy {theirs}",
            )


class _Differences:
    """Centered differences of the forward pass with 60 digits."""

    def __init__(
        self,
        graph: Graph,
        setting: Any,
        values: Mapping[str, Any],
        upstream: Mapping[str, Any],
        high: Any,
        rng: np.random.Generator,
    ) -> None:
        self.graph, self.setting, self.values, self.upstream = graph, setting, values, upstream
        self.step = setting.arithmetic.mp.mpf(10) ** -20
        self.direction = {
            name: high(rng.standard_normal(values[name].shape)) for name in graph.wanted
        }
        self.all = self.slope(graph.wanted)

    def loss(self, names: tuple[str, ...], by: int) -> Any:
        moved = {
            n: np.asarray(self.values[n] + by * self.step * self.direction[n], dtype=object)
            for n in names
        }
        known = run(self.graph.statements, {**self.values, **moved}, self.setting)
        return sum(
            (np.asarray(known[o] * u, dtype=object).sum() for o, u in self.upstream.items()),
            self.setting.arithmetic.number(0),
        )

    def slope(self, names: tuple[str, ...]) -> Any:
        return (self.loss(names, 1) - self.loss(names, -1)) / (2 * self.step)

    def smooth(self) -> bool:
        """Whether the slopes from both sides meet: at a tie they do not."""
        names = self.graph.wanted
        here = self.loss(names, 0)
        right = (self.loss(names, 1) - here) / self.step
        left = (here - self.loss(names, -1)) / self.step
        return bool(abs(right - left) <= 1e-8 * max(1, abs(right)))

    def judge(
        self, kind: str, gradients: Mapping[str, Any], zero: tuple[str, ...], about: str
    ) -> None:
        nothing = self.setting.arithmetic.number(0)
        missing = [n for n in self.graph.wanted if n not in gradients and n not in zero]
        if missing:
            raise _Stop("crashed", "a gradient is missing", f"{kind}: {missing}\n{about}")
        for name, gradient in gradients.items():
            if gradient.shape != self.values[name].shape:
                raise _Stop(
                    "wrong",
                    "gradient shape",
                    f"{kind} d{name}: {gradient.shape} for {self.values[name].shape}\n{about}",
                )
        parts = {
            n: np.asarray(gradients[n] * self.direction[n], dtype=object).sum() for n in gradients
        }
        derived = sum(parts.values(), nothing)
        scale = max([1, abs(self.all), *(abs(p) for p in parts.values())])
        if abs(derived - self.all) <= CLOSE * scale:
            return
        if not self.smooth():
            raise _Stop("undefined", "a tie: the forward pass has a kink here", about)
        told = []
        for name in self.graph.wanted:
            difference = self.slope((name,))
            mine = parts.get(name, nothing)
            if abs(mine - difference) > CLOSE * max(1, abs(difference)):
                told.append(
                    f"{kind} d{name}: derived {_short(mine)}, differences {_short(difference)}"
                )
        raise _Stop("wrong", f"{kind} gradient", "\n".join(told) + "\n" + about)


def _short(value: Any) -> str:
    return f"{float(value):.12g}"
