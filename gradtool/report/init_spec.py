"""`gradtool init FILE`: a first spec for a pair of functions; the forward is left to its writer.

The file is read, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.candidate import Candidate
from gradtool.check.cells import Cell, FileProblem, not_parsed, read_cells
from gradtool.check.conventions import readings
from gradtool.check.declared import is_parameter
from gradtool.check.docstrings import docstring_of, labels_in, shapes_of
from gradtool.check.every import plausible
from gradtool.check.inventory import Function, Inventory, inventory
from gradtool.check.modernise import parsed
from gradtool.check.recognise import candidates, distinct
from gradtool.check.wanted import Wanted
from gradtool.check.words import (
    BACKWARD_WORDS,
    FILLERS,
    FORWARD_WORDS,
    canonical,
    folded,
    is_loss,
    split,
)
from gradtool.ir.dims import Dim
from gradtool.records import Struct
from gradtool.report.init_likely import Likely, likely
from gradtool.spec.model import Place, Variable
from gradtool.spec.usage import UsageError

UNKNOWN = "TODO"
_LISTED = 12


class _Argument(Struct, frozen=True):
    """`shape` is the inside of its brackets, None where nothing states it; `likely` an example."""

    name: str
    shape: str | None
    labels: bool
    likely: str

    @property
    def text(self) -> str:
        if self.shape is None:
            return UNKNOWN
        brackets = f"[{self.shape}]"
        return f"{{shape: {brackets}, index: C}}" if self.labels else brackets

    @property
    def variable(self) -> Variable:
        dims = tuple(Dim.parse(part) for part in (self.shape or "").split(",") if part.strip())
        return Variable(
            self.name,
            "parameter" if is_parameter(self.name) and not self.labels else "input",
            dims,
            "index" if self.labels else "real",
            Place(1, 1),
            index=Dim.parse("C") if self.labels else None,
        )


def first_spec(
    file: Path, function: str | None, ask: Callable[[str, str], str] | None
) -> tuple[str, str]:
    """The layer's name and the text of a spec for a pair of a file.

    Args:
        function: which one, where the file has several.
        ask: asks for the shape of a name that no docstring states, with one as an example, such as
            ``N, D``; None leaves a TODO.

    Raises:
        UsageError: the file cannot be read, or it has no such pair, or several.
    """
    cells = _cells(file)
    chosen = _chosen(inventory(cells), function, file)
    forward = chosen.forward or chosen.backward
    assert forward is not None
    owner = chosen.owner.name if chosen.owner else None
    docs = [docstring_of(tree, owner, f.name) for _, tree in cells for f in _functions(chosen)]
    names = _names(chosen, forward)
    text = "\n".join(docs)
    stated = shapes_of(text, names)
    guessed = likely(chosen, names, stated)
    arguments = _arguments(chosen, names, stated, text, guessed, ask)
    layer = _layer_name(chosen)
    return layer, _text(layer, file, chosen, arguments, guessed)


def _cells(file: Path) -> list[tuple[Cell, ast.Module]]:
    found = []
    try:
        for cell in read_cells(file)[0]:
            try:
                text, tree = parsed(cell.text, cell.place, False, lambda _: None)
            except SyntaxError as error:
                if file.suffix == ".ipynb":  # a cell that is no Python is left out, as in a check
                    continue
                raise not_parsed(error, cell.place) from None
            found.append((Cell(cell.place, text), tree))
    except FileProblem as problem:
        line = f" line {problem.line}" if problem.line else ""
        raise UsageError(f"{file}{line}: {problem}") from None
    return found


def _chosen(inside: Inventory, function: str | None, file: Path) -> Candidate:
    found = [c for c in candidates(inside) if plausible(c)]
    kept = distinct(c for c in found if Wanted(function).keeps(c))
    titles = "; ".join(c.title for c in (kept or found)[:_LISTED])
    if not kept:
        what = "pair of forward and backward"
        if function:
            what = f"{what} with {function}" if function in inside.lines else f"function {function}"
        raise UsageError(
            f"{file} has no {what}", f"it has {titles}" if titles else _unpaired(inside)
        )
    if len(kept) > 1:
        raise UsageError(f"{file} has {len(kept)} pairs: {titles}", "choose with --function NAME")
    return kept[0]


def _unpaired(inside: Inventory) -> str:
    """What is defined, and how a pair is told."""
    names = ", ".join(list(inside.lines)[:_LISTED]) or "no function"
    return f"it defines {names}; a pair is told by names such as affine_forward and affine_backward"


def _functions(chosen: Candidate) -> list[Function]:
    init = chosen.owner.method("__init__") if chosen.owner else None
    return [f for f in (init, chosen.forward, chosen.backward) if f is not None]


def _names(chosen: Candidate, forward: Function) -> list[str]:
    names = list(forward.needed or forward.params)
    if chosen.owner is not None:
        attributes = dict.fromkeys(a for m in chosen.owner.methods for a in m.sets)
        names += [a for a in attributes if is_parameter(a) and a not in names]
    return [n for n in names if not folded(n).endswith(("param", "params", "config", "mode"))]


def _arguments(
    chosen: Candidate,
    names: Sequence[str],
    stated: Mapping[str, str],
    docs: str,
    guessed: Likely,
    ask: Callable[[str, str], str] | None,
) -> list[_Argument]:
    """Those that are arrays."""
    labels = labels_in(docs, names)
    names = [name for name in names if name not in guessed.constants]
    found = []
    # Of a prediction and its target, Y and T, neither is labels.
    called_so = {n for n in names if canonical(n) == "y"} if _gives_gradients(chosen) else set()
    called_so = set() if called_so.issuperset(names) else called_so
    for name in names:
        shape = stated.get(name)
        is_label = name in labels or name in called_so
        if shape is None and ask is not None:
            example = guessed.shapes[name].partition("[")[2].partition("]")[0]
            shape = ask(name, example).strip().strip("[]()")
        found.append(_Argument(name, shape, is_label, guessed.shapes[name]))
    return found


def _gives_gradients(chosen: Candidate) -> bool:
    """Whether the forward does, or what it returns does without an upstream gradient."""
    backward = chosen.backward
    return backward is None or (chosen.closure is not None and not backward.required)


def _layer_name(chosen: Candidate) -> str:
    name = chosen.owner.name if chosen.owner else chosen.names[0]
    words = [w for w in split(name) if w not in FORWARD_WORDS | BACKWARD_WORDS | FILLERS]
    text = "_".join(words)
    return text if text.isidentifier() else folded(name)


def _text(
    layer: str, file: Path, chosen: Candidate, arguments: Sequence[_Argument], guessed: Likely
) -> str:
    output = next((n for n in ("out", "result") if n not in {a.name for a in arguments}), "out")
    lines = [
        f"# A first spec for {chosen.title} in {file.name}: complete what says {UNKNOWN}, then",
        f"# `gradtool check {file.name} --spec {layer}.yaml`.",
        *_known(guessed, file),
        f"layer: {layer}",
    ]
    inputs = [a for a in arguments if a.variable.role == "input"]
    parameters = [a for a in arguments if a.variable.role == "parameter"]
    for title, group in (("inputs", inputs), ("parameters", parameters)):
        lines += [f"{title}:"] if group else []
        lines += [
            f"  {a.name}: {a.text}"
            + (f"   # its shape, such as {a.likely}" if a.shape is None else "")
            for a in group
        ]
    lines += [
        *_constants(guessed),
        "forward: |",
        f"  {output} = {UNKNOWN}  # NumPy-like maths, a line for each step; see `gradtool words`",
        "check:",
        *_check(chosen, arguments, output, tuple(guessed.constants)),
    ]
    return "\n".join(lines) + "\n"


def _known(guessed: Likely, file: Path) -> list[str]:
    if guessed.layer is None:
        return []
    return [
        f"# A layer called {guessed.layer} comes with gradtool; if it is that one, this is enough:",
        f"# `gradtool check {file.name} --spec {guessed.layer}`.",
    ]


def _constants(guessed: Likely) -> list[str]:
    if not guessed.constants:
        return ["# constants:", "#   eps: 1e-5"]
    return ["constants:", *(f"  {name}: {value}" for name, value in guessed.constants.items())]


def _check(
    chosen: Candidate, arguments: Sequence[_Argument], output: str, constants: tuple[str, ...]
) -> list[str]:
    # What a loss returns beside its value is its gradient, whatever it is called.
    said = is_loss(chosen.names[0]) or any(a.labels for a in arguments)
    loss = _gives_gradients(chosen) and (said or chosen.closure is not None)
    variables = tuple(a.variable for a in arguments)
    names = Names(variables, constants, constants, (output,), is_loss=loss)
    try:
        way = readings(chosen, names)[0]
    except NoMatch as reason:
        return [
            f"  # How it is called could not be told ({reason}).",
            f"  forward: {output} = {UNKNOWN}",
            f"  backward: {', '.join(f'd{a.name}' for a in arguments)} = {UNKNOWN}",
        ]
    lines = [f"  # taken as: {way.convention}"]
    for stage, text in way.snippets.items():
        if text:
            lines.append(f"  {stage}: |")
            lines += [f"    {line}" for line in text.strip().splitlines()]
    return lines
