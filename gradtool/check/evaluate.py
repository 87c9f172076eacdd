"""Run the snippets of a binding beside the user's code, in the worker.

Every evaluation has a namespace of its own: a copy of the module's, over it the spec's names
with fresh copies of the arrays.  ``d<name>`` and the outputs are removed first, so that one
that is there afterwards was assigned by a snippet.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from gradtool.check.load import Loaded
from gradtool.check.named import WATCH, parts_of, tells, watch
from gradtool.check.standins import seeded
from gradtool.records import Struct, field

_WATCHED_DEPTH = 4
_WATCHED_ARRAYS = 200
_LONG = 1 << 12  # bytes
_SEVERAL = (tuple, list)
_HELPERS = ("mask_in", "cell")


class SnippetProblem(Exception):
    """A snippet of the binding is no Python."""


class Program(Struct, frozen=True):
    """The compiled snippets; `grads` maps a variable to its expression and its code.

    A gradient by `step(expression)` is what the backward pass took off the expression.
    """

    setup: CodeType | None
    forward: CodeType | None
    backward: CodeType | None
    grads: Mapping[str, tuple[bool, CodeType]]
    outputs: tuple[str, ...]
    gradients: tuple[str, ...]
    read: tuple[str, ...]
    setup_text: str | None = None


class Evaluation(Struct):
    """One evaluation between its forward and its backward pass, and after.

    `returned` are the user's own outputs, `outputs` what they were after the forward pass;
    `names` are those that were there before it; `told` is how results are made up that say it.
    """

    namespace: dict[str, Any]
    pristine: Mapping[str, np.ndarray]
    given: Mapping[str, Any]
    watch: bool
    names: frozenset[str]
    before: dict[str, np.ndarray] = field(default_factory=dict)
    cache: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    mutated: list[str] = field(default_factory=list)
    aliased: list[tuple[str, str]] = field(default_factory=list)
    returned: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    grad_errors: dict[str, BaseException] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def let_go(self) -> None:
        """Called when nothing more is run: the arrays are freed now, and not once the garbage
        collector finds that functions of the namespace hold it; the next ones take their place."""
        for name in _HELPERS:
            self.namespace.pop(name, None)


def compile_program(
    snippets: Mapping[str, str | None],
    grads: Mapping[str, str],
    outputs: Iterable[str],
    gradients: Iterable[str],
    read: Iterable[str],
) -> Program:
    """Compile the snippets of a binding.

    Raises:
        SnippetProblem: one is no Python; it names the snippet and the line.
    """
    outputs, gradients, read = tuple(outputs), tuple(gradients), tuple(read)
    made = _made(outputs, gradients, read)

    def compiled(stage: str) -> CodeType | None:
        text = snippets.get(stage)
        if not text:
            return None
        # A forward pass that has its backward pass apart returns no gradients.
        plain = stage == "setup" or (stage == "forward" and bool(snippets.get("backward")))
        called = tuple(name for name in made if f"{name}(" in text)
        setup = snippets.get("setup") or "" if called else ""
        return _compiled(text, stage, "exec", not plain, called, setup)

    expressions = {name: _gradient_code(name, text) for name, text in grads.items()}
    return Program(
        compiled("setup"),
        compiled("forward"),
        compiled("backward"),
        expressions,
        outputs,
        gradients,
        read,
        snippets.get("setup"),
    )


def _made(outputs: Iterable[str], gradients: Iterable[str], read: Iterable[str]) -> tuple[str, ...]:
    """The names that the snippets are to make."""
    return (*outputs, *read, *(f"d{name}" for name in gradients))


@lru_cache(maxsize=64)
def _compiled(
    text: str,
    stage: str,
    mode: str,
    watched: bool = False,
    called: tuple[str, ...] = (),
    setup: str = "",
) -> CodeType:
    """A snippet; functions that are `called` like what it makes are the file's all the same."""
    place = f"check: {stage}"
    try:
        code: object
        if watched or called:
            tree = ast.parse(text)
            if watched:
                watch(tree)
            if called:
                _take_from_the_file(tree, called, setup)
            code = compile(ast.fix_missing_locations(tree), place, mode, dont_inherit=True)
        else:
            code = compile(text, place, mode, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", 1)
        raise SnippetProblem(f"check: {stage}, line {line}: {error}") from None
    assert isinstance(code, CodeType)
    return code


def _take_from_the_file(tree: ast.Module, functions: Collection[str], setup: str) -> None:
    """Call functions as the file's: in ``loss = loss(P, T)`` there is no other one of that name.

    Unless the snippets have defined one before, in the `setup` or here.
    """
    defined: set[str] = set()
    for statement in (*ast.parse(setup).body, *tree.body):
        if isinstance(statement, ast.FunctionDef):
            defined.add(statement.name)
        for node in ast.walk(statement):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in functions and name not in defined:
                    node.func = ast.Attribute(ast.Name("module", ast.Load()), name, ast.Load())
        names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        defined |= {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _gradient_code(name: str, text: str) -> tuple[bool, CodeType]:
    stage = f"grads: {name}"
    _compiled(text, stage, "eval")
    match ast.parse(text.strip(), mode="eval").body:
        case ast.Call(func=ast.Name(id="step"), args=[inner], keywords=[]):
            return True, _compiled(ast.unparse(inner), stage, "eval")
    return False, _compiled(text.strip(), stage, "eval")


def opened(
    loaded: Loaded,
    program: Program,
    arrays: Mapping[str, np.ndarray],
    scalars: Mapping[str, float],
    seed: int,
    watch: bool,
    cell: Callable[[str, dict[str, Any]], None],
    turned: Collection[str] = (),
) -> Evaluation:
    """A namespace in which nothing has been run yet.

    The arrays that are `turned` lie in memory in the order of their last axis first.
    """
    seeded(seed)
    namespace: dict[str, Any] = dict(loaded.module.__dict__)
    forget(program, namespace)
    given = {name: fresh(array, name in turned) for name, array in arrays.items()}
    namespace |= {"np": np, "module": loaded.module, **scalars, **given}

    def known_mask_in(kept: Any, shape: tuple[int, ...]) -> np.ndarray:
        made = [namespace[name] for name in program.outputs if name in namespace]
        return mask_in(kept, shape, [*arrays.values(), *given.values(), *made])

    namespace["mask_in"] = known_mask_in
    namespace["cell"] = lambda text: cell(text, namespace)
    told: dict[str, Any] = {}

    def look(name: str, result: Any) -> Any:
        if tells(parts := parts_of(result)):
            told[name] = parts
        return result

    namespace[WATCH] = look
    return Evaluation(namespace, arrays, given, watch, frozenset(namespace), told=told)


def forget(program: Program, namespace: dict[str, Any]) -> None:
    """Take away what the snippets are to make: what is there afterwards was made by them."""
    for name in _made(program.outputs, program.gradients, program.read):
        namespace.pop(name, None)


def start(program: Program, evaluation: Evaluation) -> Evaluation:
    """Set up and run the forward snippet; exceptions of the user's code pass."""
    if program.setup:
        exec(program.setup, evaluation.namespace)
    forward(program, evaluation)
    return evaluation


def forward(program: Program, evaluation: Evaluation) -> None:
    """Run the forward snippet and gather the outputs; exceptions of the user's code pass."""
    namespace, given = evaluation.namespace, evaluation.given
    if program.forward:
        exec(program.forward, namespace)
    made = [n for n in (*program.outputs, *program.read) if n in namespace]
    evaluation.returned = {n: namespace[n] for n in made}
    # A backward pass may write into what the forward pass has returned.
    evaluation.outputs = {n: copied(value) for n, value in evaluation.returned.items()}
    if evaluation.watch:
        _note_mutations(evaluation)
        new = [namespace[n] for n in namespace if n not in evaluation.names]
        mine = {id(value) for value in given.values()}
        evaluation.cache = [(a, a.copy()) for a in _arrays(new, mine)]
    for name, (step, code) in program.grads.items():
        if step:
            evaluation.before[name] = np.array(eval(code, namespace), dtype=np.float64)


def finish(program: Program, evaluation: Evaluation) -> None:
    """Run the backward snippet and gather the gradients; exceptions of the user's code pass.

    Gradients that exist when an exception passes are gathered all the same.
    """
    namespace = evaluation.namespace
    ended = False
    try:
        if program.backward:
            exec(program.backward, namespace)
        ended = True
    finally:
        for name in program.gradients:
            if f"d{name}" in namespace:
                evaluation.gradients[name] = namespace[f"d{name}"]
        for name, (step, code) in program.grads.items():
            try:
                value = eval(code, namespace)
                if step:
                    value = evaluation.before[name] - np.asarray(value, dtype=np.float64)
                    if not ended and not value.any():
                        raise LookupError("it was not updated")
                evaluation.gradients[name] = value
            except Exception as error:
                evaluation.grad_errors[name] = error
        if evaluation.watch:
            _note_mutations(evaluation)
            if any(not unchanged(now, then) for now, then in evaluation.cache):
                evaluation.mutated.append("cache")
            _note_aliases(evaluation)


def copied(value: Any) -> Any:
    """A copy of an array; anything else as it is."""
    return value.copy() if isinstance(value, np.ndarray) else value


def fresh(array: np.ndarray, turned: bool = False) -> Any:
    """A copy of an array as the user's code gets it."""
    if turned:
        return np.array(array.T, order="C").T  # a view, as of data that was transposed
    # A scalar input is a NumPy scalar: it behaves like a Python number and cannot be changed.
    return array.copy() if array.ndim else array[()]


def _note_mutations(evaluation: Evaluation) -> None:
    for name, value in evaluation.given.items():
        changed = isinstance(value, np.ndarray) and not unchanged(value, evaluation.pristine[name])
        if changed and name not in evaluation.mutated:
            evaluation.mutated.append(name)


def unchanged(now: np.ndarray, then: np.ndarray) -> bool:
    """Whether an array is what its copy was; what is no number is like itself."""
    if now.shape != then.shape:
        return False
    if now.dtype == then.dtype:
        # Many times faster than looking for what is no number; of long ones without two copies.
        same = now.tobytes() == then.tobytes() if now.nbytes < _LONG else (now == then).all()
        if same:
            return True
    return np.array_equal(now, then, equal_nan=now.dtype.kind == "f")


def _note_aliases(evaluation: Evaluation) -> None:
    results = {f"d{n}": v for n, v in evaluation.gradients.items()} | evaluation.returned
    arrays = {n: v for n, v in results.items() if isinstance(v, np.ndarray) and v.ndim}
    inputs = {n: v for n, v in evaluation.given.items() if isinstance(v, np.ndarray)}
    names = list(arrays)
    owners = [*arrays.values(), *inputs.values()]
    if len({id(a) for a in owners}) == len(owners) and all(a.base is None for a in owners):
        return  # each has memory of its own
    for place, name in enumerate(names):
        others = [*inputs.items(), *((n, arrays[n]) for n in names[:place])]
        for other, array in others:
            if _share(arrays[name], array):
                evaluation.aliased.append((name, other))


def _share(a: np.ndarray, b: np.ndarray) -> bool:
    if a.base is None and b.base is None:  # each has memory of its own
        return a is b
    return np.may_share_memory(a, b) and np.shares_memory(a, b)


def mask_in(kept: Any, shape: tuple[int, ...], known: Sequence[Any] = ()) -> np.ndarray:
    """The array of a shape with one value beside zero that a cache, an object or a closure holds.

    Inputs and outputs are `known` to be no masks: a single entry has one value in each of them.

    Raises:
        LookupError: there is none, or more than one.
    """
    held = _arrays(_held(kept), set())
    found = [a for a in held if a.shape == tuple(shape) and _is_one_value(a[a != 0])]
    own = [a for a in found if not any(a.any() and np.array_equal(a, other) for other in known)]
    found = own or found
    found = [a for a in found if a.any()] or found  # zeros are no mask beside one
    if not found:
        raise LookupError(f"no mask of the shape {tuple(shape)} was kept for the backward pass")
    # Where few entries are left, a masked array has one value, too, at the same places.
    if any(not np.array_equal(other != 0, found[0] != 0) for other in found[1:]):
        raise LookupError(f"several masks of the shape {tuple(shape)} were kept")
    return found[0]


def _is_one_value(entries: np.ndarray) -> bool:
    """Whether no two entries differ, nan from nan neither.

    `np.unique` would import `np.ma`, which takes longer than all the rest that is done here.
    """
    return bool(np.all(entries == entries[:1]) or np.all(entries != entries))


def _held(kept: Any) -> list[Any]:
    """What a cache is, or an object has as attributes, or a function has from around it."""
    if isinstance(kept, FunctionType):
        found = [*(kept.__defaults__ or ())]
        for cell in kept.__closure__ or ():
            with suppress(ValueError):  # nothing was put there
                found.append(cell.cell_contents)
        return found
    return [*vars(kept).values()] if hasattr(kept, "__dict__") else [kept]


def _arrays(values: Iterable[Any], without: set[int], depth: int = 0) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for value in values:
        if len(found) >= _WATCHED_ARRAYS:
            break
        if isinstance(value, np.ndarray):
            if id(value) not in without and value.dtype.kind in "fiub":
                found.append(value)
        elif depth < _WATCHED_DEPTH and isinstance(value, _SEVERAL):
            found += _arrays(value, without, depth + 1)
        elif depth < _WATCHED_DEPTH and isinstance(value, dict):
            found += _arrays(value.values(), without, depth + 1)
    return found
