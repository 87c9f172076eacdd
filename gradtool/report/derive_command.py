"""`gradtool derive`: load, derive (or find in the cache), print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TextIO

from gradtool.ir import syntax
from gradtool.report import cache
from gradtool.report.arguments import Value
from gradtool.report.derive_text import StyledLine, layout
from gradtool.report.fold import is_styled, width_of
from gradtool.report.library import finder, load
from gradtool.report.order import Order
from gradtool.report.progress import Live, Nothing, Plain, progress
from gradtool.report.sheet import Sheet
from gradtool.spec.errors import SpecError
from gradtool.spec.located import located
from gradtool.spec.model import LayerSpec
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError

if TYPE_CHECKING:
    from gradtool.ir.graph import Graph

_STEPS_WIDTH = 80  # sentences are easier to read in short lines, on any terminal

_MODULES = ("numpy", "torch", "jax")

Form = Literal["text", "numpy", "torch", "jax", "latex", "index", "json"]


def run(
    *,
    specs: tuple[str, ...],
    wrt: tuple[str, ...] | None,
    form: Form,
    steps: bool,
    staged: bool,
    at: dict[str, Value] | None,
    out: TextIO,
    order: Order | None = None,
) -> int:
    """Print the backward pass of each spec.

    Raises:
        UsageError, SpecError, UnsupportedError: nothing is printed for the rest of the specs.
        CertificationError: a bug of gradtool.
    """
    if order is not None and (steps or at is not None):
        raise UsageError(f"{'--steps' if steps else '--at'} explains gradients, not --{order.kind}")
    loaded = [load(text) for text in specs]
    if at is not None:
        return _at(loaded, at, out)
    if len(loaded) > 1 and form in _MODULES:
        raise UsageError(
            f"--format {form} writes one module, {len(loaded)} layers are given",
            f"one at a time: gradtool derive {loaded[0].name} --format {form}",
        )
    started = time.monotonic()
    results: list[Sheet] = []
    with _bar(len(loaded)) as bar:
        for spec in loaded:
            with located(spec):
                results.append(sheet_of(spec, wrt, staged, _wants(form, steps), order))
            bar.step(spec.name, True)
    if len(loaded) > 1:
        print(_summary(results, time.monotonic() - started), file=sys.stderr)
    if steps or form != "text":
        for sheet in results:
            for departure in sheet.departures:
                print(f"note: {sheet.layer}: {departure}", file=sys.stderr)
    if form == "latex" and len(results) > 1:
        from gradtool.emit.latex_page import joined

        out.write(joined([str(sheet.extra["latex"]) for sheet in results]))
        return 0
    if form == "json":
        json.dump([sheet.extra["json"] for sheet in results], out, indent=2, ensure_ascii=False)
        out.write("\n")
        return 0
    for number, sheet in enumerate(results):
        if number:
            out.write("\n\n" if form == "text" else "\n")
        if steps:
            _print_plain(_steps_lines(sheet), out)
        elif form == "text":
            _print(layout(sheet, _width(out)), out)
        else:
            _print_plain(str(sheet.extra[form]).rstrip("\n").split("\n"), out)
    return 0


def _bar(count: int) -> AbstractContextManager[Plain | Live | Nothing]:
    """The progress of many layers; a single one has none."""
    return progress(count, sys.stderr, failures=False) if count > 1 else nullcontext(Nothing())


def _summary(sheets: Sequence[Sheet], seconds: float) -> str:
    """``122 layers, 436 gradients: all certified, to 1e-37 or better (softmax); 45 s``."""
    least = min(sheets, key=lambda sheet: sheet.digits)
    rows = [row for sheet in sheets for row in sheet.rows if row.role in ("gradient", "loop")]
    gradients = sum(len(row.of.split(", ")) for row in rows)
    return (
        f"{len(sheets)} layers, {gradients} gradients: all certified, "
        f"to 1e-{least.digits} or better ({least.layer}); {seconds:.1f} s"
    )


def _wants(form: Form, steps: bool) -> tuple[str, ...]:
    return (*((form,) if form != "text" else ()), *(("steps",) if steps else ()))


def sheet_of(
    spec: LayerSpec,
    wrt: tuple[str, ...] | None,
    staged: bool,
    extras: tuple[str, ...],
    order: Order | None = None,
) -> Sheet:
    """The sheet of a spec, from the cache when it was derived before."""
    find = finder(spec)
    used = _uses(spec, find)
    asked = [repr(wrt), repr(staged), repr(extras), *([] if order is None else [repr(order)])]
    name = cache.key([spec.text, spec.name, *asked, *used])
    found = cache.read(name)
    if found is not None:
        try:
            return Sheet.from_json(found)
        except (KeyError, TypeError, ValueError):
            pass  # written by something else: derive again
    sheet = _derived(spec, wrt, staged, extras, order)
    cache.write(name, sheet.as_json())
    return sheet


def _uses(spec: LayerSpec, find: Any) -> list[str]:
    """The texts of the specs that this one calls, found without lowering it."""
    import ast

    pending, texts, seen = [spec], [], {spec.name}
    while pending:
        current = pending.pop()
        try:
            module = syntax.parse(current.forward.text)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                if name in seen:
                    continue
                seen.add(name)
                try:
                    other = find(name)
                except SpecError:
                    continue
                if other is not None:
                    texts.append(other.text)
                    pending.append(other)
    return texts


def _derived(
    spec: LayerSpec,
    wrt: tuple[str, ...] | None,
    staged: bool,
    extras: tuple[str, ...],
    order: Order | None = None,
) -> Sheet:
    from gradtool.records import replace
    from gradtool.report.make_sheet import make_sheet
    from gradtool.spec.forward import graph_of

    graph = graph_of(spec, finder(spec))
    if order is not None:
        from gradtool.report.differential_sheet import differential_sheet

        return differential_sheet(spec, graph, order, staged, extras)
    wanted = wanted_of(spec, graph, wrt)
    inner = [name for name in wanted or () if name not in graph.wanted]
    if inner and "steps" in extras:
        raise UsageError(
            f"--steps explains the gradients of inputs and parameters, not of {inner[0]}",
            "leave --wrt out: the gradient of every value on the way is explained",
        )
    sheet, derivation, certificate = make_sheet(spec, graph, wanted, staged)
    extra: dict[str, Any] = {}
    for name in extras:
        extra[name] = _EXTRAS[name](spec, derivation, certificate)
    return replace(sheet, extra=extra)


def wanted_of(spec: LayerSpec, graph: Graph, wrt: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The names of --wrt in the order of the spec; None for every differentiable variable.

    Raises:
        UsageError: a name that has no gradient, or whose gradient is given.
    """
    if wrt is None:
        if not graph.wanted:
            raise UsageError(f"{spec.name} has no input or parameter that is differentiated")
        return None
    inner = [
        s.out.name
        for s in graph.statements
        if not s.hidden and s.out.kind == "real" and s.out.name not in graph.outputs
    ]
    known = (*graph.wanted, *inner)
    for name in wrt:
        if name in graph.outputs:
            raise UsageError(f"--wrt {name}: {name} is an output, so d{name} is given")
        if name not in known:
            raise UsageError(
                f"--wrt {name}: {spec.name} has no differentiable value '{name}'",
                did_you_mean(name, known) or f"there are: {', '.join(known)}",
            )
    return tuple(name for name in known if name in wrt)


# -- other formats ------------------------------------------------------------------------


def _numpy(spec: LayerSpec, derivation: Any, certificate: Any) -> str:
    from gradtool.numeric.proved import proved_module

    return proved_module(spec, derivation)


def _torch(spec: LayerSpec, derivation: Any, certificate: Any) -> str:
    from gradtool.emit.frameworks.torch_module import torch_module

    return torch_module(spec, derivation)


def _jax(spec: LayerSpec, derivation: Any, certificate: Any) -> str:
    from gradtool.emit.frameworks.jax_module import jax_module

    return jax_module(spec, derivation)


def _latex(spec: LayerSpec, derivation: Any, certificate: Any) -> str:
    from gradtool.emit.latex import latex_document

    return latex_document([(spec, derivation)])


def _index(spec: LayerSpec, derivation: Any, certificate: Any) -> str:
    from gradtool.emit.subscript_loops import looped_lines

    return "\n".join(looped_lines(derivation))


def _json(spec: LayerSpec, derivation: Any, certificate: Any) -> Any:
    from gradtool.report.derive_json import derive_json

    return derive_json([(spec, derivation, certificate)])[0]


def _steps(spec: LayerSpec, derivation: Any, certificate: Any) -> Any:
    from gradtool.ir.graph import refuse_loops
    from gradtool.report.steps import steps, steps_text
    from gradtool.spec.forward import graph_of

    if any(line.block is not None for line in derivation.lines):
        from gradtool.report.steps_loops import loop_steps

        graph = graph_of(spec, finder(spec))
        return steps_text(loop_steps(spec, graph, derivation), _STEPS_WIDTH)
    refuse_loops(derivation.graph, "--steps")
    return steps_text(steps(spec, graph_of(spec, finder(spec)), derivation), _STEPS_WIDTH)


_EXTRAS: Mapping[str, Any] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "latex": _latex,
    "index": _index,
    "json": _json,
    "steps": _steps,
}


def _steps_lines(sheet: Sheet) -> list[str]:
    return list(sheet.extra["steps"])


def _at(loaded: list[LayerSpec], at: dict[str, Value], out: TextIO) -> int:
    from gradtool.ir.graph import refuse_loops
    from gradtool.report.at_point import at_point_lines
    from gradtool.spec.forward import graph_of

    for spec in loaded:
        with located(spec):
            graph = graph_of(spec, finder(spec))
            refuse_loops(graph, "--at")
            _print_plain(at_point_lines(spec, graph, at, _width(out)), out)
    return 0


# -- printing -----------------------------------------------------------------------------


def _width(out: TextIO) -> int:
    return width_of(out) or 100


def _print(lines: list[StyledLine], out: TextIO) -> None:
    """Styled on a terminal, plain otherwise; rich is imported only when it is used."""
    if not is_styled(out):
        _print_plain(["".join(part.text for part in line) for line in lines], out)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, width=_width(out), highlight=False)
    for line in lines:
        text = Text()
        for part in line:
            text.append(part.text, part.style or None)
        console.print(text, soft_wrap=True)


def _print_plain(lines: list[str], out: TextIO) -> None:
    for line in lines:
        out.write(line.rstrip() + "\n")
