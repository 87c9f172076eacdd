"""Make a failing program small: fewer lines, fewer inputs, shorter expressions, same failure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np

from gradtool.records import replace
from tests.programs.generate import Line, Program, words_of
from tests.programs.prove import sets_of_sizes
from tests.programs.reference import execute


def shrink(program: Program, fails: Callable[[Program], bool], budget: int = 400) -> Program:
    """The smallest program found that still fails in the same way."""
    if not _runs(program):
        return program
    smaller = True
    while smaller and budget > 0:
        smaller = False
        for candidate in _candidates(program):
            budget -= 1
            if budget <= 0:
                break
            if _runs(candidate) and fails(candidate):
                program, smaller = candidate, True
                break
    return program


def _runs(program: Program) -> bool:
    """Whether NumPy executes the program: a cut may have made nonsense of it."""
    random = np.random.default_rng(0)
    for sizes in sets_of_sizes(program, Random(0)):
        whole = {**sizes, **program.integers}
        values: dict[str, Any] = {}
        for one in program.declared:
            shape = (
                eval(one.yaml.partition("[")[2].partition("]")[0] + ",", {}, dict(whole))
                if ("[]" not in one.yaml)
                else ()
            )
            if "index:" in one.yaml:
                values[one.name] = np.zeros(shape, dtype=int)
            elif "bool" in one.yaml:
                values[one.name] = random.random(shape) < 0.5
            else:
                values[one.name] = random.uniform(0.5, 2, shape)
        numbers = {k: float(v) for k, v in (program.constants or {}).items()}
        try:
            execute(program.reference, {**numbers, **values, **whole})
        except Exception:  # whatever NumPy or Python says
            return False
    return True


def _candidates(program: Program) -> Iterator[Program]:
    for k in range(len(program.lines)):
        lines = program.lines[:k] + program.lines[k + 1 :]
        if lines:
            names = [line.name for line in lines]
            outputs = tuple(o for o in program.outputs if o in names) or (names[-1],)
            yield _tidy(replace(program, lines=lines, outputs=outputs))
    if len(program.outputs) > 1:
        for name in program.outputs:
            yield _tidy(replace(program, outputs=(name,)))
    for k, line in enumerate(program.lines):
        if line.text != line.reference:
            continue
        for text in _shorter(line.text):
            lines = (*program.lines[:k], Line(line.name, text, text), *program.lines[k + 1 :])
            yield _tidy(replace(program, lines=lines))
    for k, one in enumerate(program.declared):
        for yaml in _plainer(one.yaml):
            declared = (*program.declared[:k], replace(one, yaml=yaml), *program.declared[k + 1 :])
            yield replace(program, declared=declared)


def _plainer(yaml: str) -> Iterator[str]:
    if "domain" in yaml or "constant" in yaml:
        yield yaml.partition("shape: ")[2].partition("]")[0] + "]"


def _tidy(program: Program) -> Program:
    """Without inputs that no line mentions."""
    used = set().union(*(words_of(line.text) for line in program.lines))
    # Only of lines that matter: a later assignment hides nothing here.
    declared = tuple(d for d in program.declared if d.name in used)
    symbols = set().union(*(words_of(d.yaml) for d in declared)) if declared else set()
    if set(program.symbols) & used - symbols or not declared:
        declared = program.declared  # a size that is used as a number needs its declaration
    return replace(program, declared=declared)


def _shorter(text: str) -> Iterator[str]:
    """The same line with one expression replaced by a part of it, the largest cuts first."""
    module = ast.parse(text)
    nodes = [n for n in ast.walk(module) if isinstance(n, ast.expr)]
    for node in nodes:
        if isinstance(node, ast.Name | ast.Constant | ast.Slice | ast.Tuple):
            continue
        for part in ast.walk(node):
            if part is node or not isinstance(part, ast.expr) or isinstance(part, ast.Slice):
                continue
            swapped = _swapped(text, node, part)
            if swapped is not None and len(swapped) < len(text):
                yield swapped


def _swapped(text: str, whole: ast.expr, part: ast.expr) -> str | None:
    if whole.end_col_offset is None or part.end_col_offset is None:
        return None
    inner = text[part.col_offset : part.end_col_offset]
    if not isinstance(part, ast.Name | ast.Call | ast.Subscript | ast.Constant):
        inner = f"({inner})"
    return text[: whole.col_offset] + inner + text[whole.end_col_offset :]
