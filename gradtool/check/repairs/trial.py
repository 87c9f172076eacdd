"""Run a function of the user's with one of many changes at a time; in the worker.

The function that is there gets the code of the woven one, so that whoever calls it gets that,
too; afterwards its own code is put back.
"""

from __future__ import annotations

import ast
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePath
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TypeAlias

import numpy as np

CHOICE = "_gradtool_choice"
LOCAL = "local"
"""``local 0 dvar`` is the result that the name dvar of the first function holds at its end."""

_PATIENCE = 0.25  # seconds that one change has: `while` may never end
_MOST_NAMES = 200
_MOST_WRAPPED = 3

Results: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Any]]  # outputs and gradients
Run: TypeAlias = Callable[[], Results]


def answer(
    module: ModuleType, header: Mapping[str, Any], run: Run
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The reply to a request: what names hold ("held"), or results with changes ("attempt")."""
    if header["op"] == "held":
        found = [code_at(module, *where) for where in header["functions"]]
        return {"locals": [look(f, run) if f else {} for f in found]}, {}
    texts = [(function_at(module, *where), text) for *where, text in header["functions"]]
    known = [(function, text) for function, text in texts if function is not None]
    if len(known) < len(texts):
        return {"done": 0}, {}
    with replaced(known) as done:
        if not done:
            return {"done": 0}, {}
        shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
        functions = [function for function, _ in known]
        tries, results = tried(functions, header["choices"], run, shapes, float(header["seconds"]))
    return {"done": tries}, results


class Endless(BaseException):
    """A change that does not come to an end; no `except Exception` of the user's holds it."""


def function_at(module: ModuleType, place: str, name: str, line: int) -> FunctionType | None:
    """A function of the module, or of one of its classes, by where it is defined."""
    for function in _functions(module, place):
        if _is_at(function.__code__, name, line):
            return function
    return None


def code_at(
    module: ModuleType, place: str, name: str, line: int, inside_one: bool
) -> CodeType | None:
    """The code of such a function, or of one inside it, where only one of these stands there."""
    if not inside_one:
        function = function_at(module, place, name, line)
        return function.__code__ if function is not None else None
    inside = [code for one in _functions(module, place) for code in _inside(one.__code__)]
    found = {code for code in inside if _is_at(code, name, line)}
    return found.pop() if len(found) == 1 else None


def _is_at(code: CodeType, name: str, line: int) -> bool:
    return code.co_name == name and code.co_firstlineno == line


def _inside(code: CodeType) -> Iterator[CodeType]:
    """The codes of the functions inside one; those of comprehensions are not called so."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name.isidentifier() or constant.co_name == "<lambda>":
                yield constant
            yield from _inside(constant)


def _functions(module: ModuleType, place: str) -> Iterator[FunctionType]:
    """The functions of the module, and of its classes, that stand in a file."""
    for thing in list(vars(module).values()):
        candidates = vars(thing).values() if isinstance(thing, type) else [thing]
        for one in candidates:
            function = getattr(one, "__func__", one)
            for _ in range(_MOST_WRAPPED):  # what functools.wraps has put around it
                function = getattr(function, "__wrapped__", function)
            if not isinstance(function, FunctionType):
                continue
            if PurePath(function.__code__.co_filename).name == PurePath(place).name:
                yield function


def look(code: CodeType, run: Run) -> dict[str, list[Any]]:
    """What the local names of a function held when it returned last: a kind and a shape."""
    found: dict[str, list[Any]] = {}

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is code:
            for name, value in frame.f_locals.items():
                found[name] = _described(value)
            owner = frame.f_locals.get("self")
            for name, value in list(getattr(owner, "__dict__", {}).items())[:_MOST_NAMES]:
                found[f"self.{name}"] = _described(value)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    except Exception:  # what is known until there is enough
        pass
    finally:
        sys.setprofile(before)
    return {n: d for n, d in list(found.items())[:_MOST_NAMES] if d[0] != "other"}


def _described(value: object) -> list[Any]:
    if isinstance(value, np.ndarray):
        return ["mask" if value.dtype.kind == "b" else "array", list(value.shape)]
    if isinstance(value, bool | np.bool_):
        return ["other", []]
    if isinstance(value, int | np.integer):
        return ["whole", []]
    if isinstance(value, np.floating):
        return ["entry", []]
    return ["number" if isinstance(value, float) else "other", []]


@contextmanager
def replaced(functions: Sequence[tuple[FunctionType, str]]) -> Iterator[bool]:
    """The functions with the code of these texts; whether that could be done."""
    kept = [(function, function.__code__) for function, _ in functions]
    try:
        yield all([_replace(function, text) for function, text in functions])
    finally:
        for function, code in kept:
            function.__code__ = code
            function.__globals__.pop(CHOICE, None)


def _replace(function: FunctionType, text: str) -> bool:
    """Give a function other code; one that shares names with the function around it keeps its."""
    code = _compiled(text, function.__name__, function.__qualname__.rpartition(".")[0])
    if code is None or code.co_freevars != function.__code__.co_freevars:
        return False
    function.__code__ = code
    return True


@lru_cache(maxsize=8)
def _compiled(text: str, name: str, owner: str) -> CodeType | None:
    """The code of a function of this name in a text, which is asked for at several points."""
    tree: str | ast.Module = text
    if owner.isidentifier():  # private names are spelled with their class
        tree = ast.Module([_class_of(owner, ast.parse(text).body)], [])
    whole = compile(tree, "repair", "exec", dont_inherit=True)
    return _code_named(whole, name)


def _class_of(name: str, body: list[ast.stmt]) -> ast.ClassDef:
    made = ast.ClassDef(name=name, bases=[], keywords=[], body=body, decorator_list=[])
    return ast.copy_location(made, body[0])


def _code_named(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name:
                return constant
            if (inner := _code_named(constant, name)) is not None:
                return inner
    return None


def tried(
    functions: Sequence[FunctionType],
    choices: Sequence[int],
    run: Run,
    shapes: Mapping[str, tuple[int, ...]],
    seconds: float,
) -> tuple[int, dict[str, np.ndarray]]:
    """How many of the choices were tried in this time, and every result, stacked.

    `shapes` are those of ``output Y``, ``gradient X`` and ``local 0 dvar``; what is not of its
    shape, or is no number, is nan.
    """
    found = {n: np.full((len(choices), *shape), np.nan) for n, shape in shapes.items()}
    watched = functions if any(name.startswith(LOCAL) for name in shapes) else ()
    end = time.process_time() + seconds  # a busy machine must not change what is found
    for place, choice in enumerate(choices):
        if time.process_time() > end:
            return place, found
        for function in functions:
            function.__globals__[CHOICE] = choice
        try:
            with _patience(), _locals(watched) as results:
                outputs, gradients = run()
        except (Exception, Endless, SystemExit):
            continue
        results |= {f"output {n}": v for n, v in outputs.items()}
        results |= {f"gradient {n}": v for n, v in gradients.items()}
        for name, array in found.items():
            value = _fitting(results.get(name), array.shape[1:])
            if value is not None:
                array[place] = value
    return len(choices), found


@contextmanager
def _locals(functions: Sequence[FunctionType]) -> Iterator[dict[str, Any]]:
    """What the names in functions hold when they return last."""
    found: dict[str, Any] = {}
    if not functions:
        yield found
        return
    numbers: dict[CodeType, int] = {}
    for number, function in enumerate(functions):
        # A closure is called last, and its names are those that are meant.
        numbers |= dict.fromkeys((*_inside(function.__code__), function.__code__), number)

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code in numbers:
            number = numbers[frame.f_code]
            found.update({f"{LOCAL} {number} {n}": v for n, v in frame.f_locals.items()})

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield found
    finally:
        sys.setprofile(before)


def _fitting(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if array.shape == shape:
        return array
    plain = [size for size in array.shape if size != 1]
    return array.reshape(shape) if plain == [size for size in shape if size != 1] else None


@contextmanager
def _patience() -> Iterator[None]:
    """Stop what takes too long, where that can be done: a signal reaches the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
