"""Several calls on one object, one after the other, in the worker.

An evaluation makes its objects afresh.  Here they are made once, called, and called again with
other data, as in training: what a setup does for the data is done again, what makes an object is
not.  The arrays that an object got when it was made are changed in place, as an optimiser does.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from gradtool.check.evaluate import (
    Evaluation,
    Program,
    copied,
    finish,
    forget,
    forward,
    fresh,
    unchanged,
)
from gradtool.check.writes import ends
from gradtool.records import Struct, field

THEN, INTO = "then ", "into "
"""How the names of arrays begin that come with a change: in place of the first, or put into it."""

_LIBRARIES = frozenset({"builtins", "numpy"})


class Life(Struct):
    """Calls on what one setup has made.

    Attributes:
        evaluation: the namespace, opened with the arrays of the first calls, and what the last
            calls gave.
        arrays: those of the first calls, and those that come with a change.
        stage: what is being run, for the place of an exception.
        unlike: the gradients that a second backward after one forward gives otherwise.
    """

    program: Program
    evaluation: Evaluation
    arrays: Mapping[str, np.ndarray]
    stage: str = "setup"
    unlike: list[str] = field(default_factory=list)
    _values: dict[str, np.ndarray] = field(default_factory=dict)
    _bound: dict[str, Any] = field(default_factory=dict)
    _earlier: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def run(self, calls: Sequence[str]) -> None:
        """Set up, and make the calls: forward, backward, again, change; exceptions pass."""
        self._values = dict(self.evaluation.pristine)
        self._set_up(first=True)
        self._keep()
        for number, call in enumerate(calls):
            self.stage = call
            if call == "change":
                self._values |= {plain(n): a for n, a in self.arrays.items() if n != plain(n)}
            elif call == "forward":
                self._forward(first=number == 0)
            elif call == "backward":
                self._backward()
            else:
                self._again()

    def _forward(self, first: bool) -> None:
        if not first:
            forget(self.program, self.evaluation.namespace)
            self._put(self._values)
            self._set_up(first=False)
            self._keep()
        forward(self.program, self.evaluation)

    def _backward(self) -> None:
        upstream = [f"d{name}" for name in self.program.outputs]
        self._put([name for name in upstream if name in self._values])
        evaluation = self.evaluation
        evaluation.gradients, evaluation.grad_errors = {}, {}
        finish(self.program, evaluation)
        if not self._earlier:
            found = evaluation.returned | {f"d{n}": v for n, v in evaluation.gradients.items()}
            mine = [v for v in evaluation.given.values() if isinstance(v, np.ndarray)]
            self._earlier = {
                name: (value, value.copy())
                for name, value in found.items()
                if isinstance(value, np.ndarray)
                and not any(np.may_share_memory(value, given) for given in mine)
            }

    def _again(self) -> None:
        """A second backward after the same forward, which code may refuse; its results go."""
        evaluation = self.evaluation
        first = {n: copied(value) for n, value in evaluation.gradients.items()}
        errors = evaluation.grad_errors
        with suppress(Exception):
            # A backward pass that updates the weights is another one with them.
            self._put(self._bound)
            self._set_up(first=False, data_too=False)
            self._backward()
            self.unlike = [
                name
                for name, value in evaluation.gradients.items()
                if isinstance(value, np.ndarray) and not _is_like(value, first.get(name))
            ]
        evaluation.gradients, evaluation.grad_errors = first, errors

    @property
    def overwritten(self) -> list[str]:
        """What the first calls returned and later ones have changed."""
        return [name for name, (now, then) in self._earlier.items() if not unchanged(now, then)]

    def _keep(self) -> None:
        """Note what the setup has made of the arrays that objects may hold, such as a view."""
        held = [name for name in self._values if INTO + name in self.arrays]
        self._bound = {name: self.evaluation.namespace[name] for name in held}

    def _put(self, names: Iterable[str]) -> None:
        """The values as they are now: new arrays, but for those that objects may hold."""
        namespace, given = self.evaluation.namespace, self.evaluation.given
        for name in names:
            held, value = given.get(name), self._values[name]
            if name in self._bound and isinstance(held, np.ndarray):
                held[...] = value
                namespace[name] = self._bound[name]
            else:
                namespace[name] = fresh(value)

    def _set_up(self, first: bool, data_too: bool = True) -> None:
        """The statements of the setup: all of them first, later those that make no object."""
        namespace = self.evaluation.namespace
        changing = {plain(name) for name in self.arrays if name.startswith(THEN)}
        held = {plain(name) for name in self.arrays if name.startswith(INTO)}
        for statement, names, stored, code in _statements(self.program.setup_text or ""):
            data = not changing.isdisjoint(names)
            if first or (data and data_too) or (not data and _is_setting(statement, namespace)):
                if not first:  # what it makes of a name it made of the array itself
                    namespace.update({n: self.evaluation.given[n] for n in stored & held})
                exec(code, namespace)
            if data:  # what is made of the data is data
                changing |= stored


def at_first(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the first calls."""
    return {name: array for name, array in arrays.items() if name == plain(name)}


def _is_like(now: np.ndarray, then: Any) -> bool:
    return isinstance(then, np.ndarray) and unchanged(now, then)


def plain(name: str) -> str:
    """The name of an array, without what says that it comes with a change."""
    return name.removeprefix(THEN).removeprefix(INTO)


_Statement = tuple[ast.stmt, frozenset[str], frozenset[str], CodeType]


@lru_cache(maxsize=16)
def _statements(text: str) -> tuple[_Statement, ...]:
    """The statements of a setup, which was compiled before: each with its names, those that it
    assigns, and its code."""
    found = []
    for statement in ast.parse(text).body:
        nodes = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
        names = frozenset(n.id for n in nodes)
        stored = frozenset(n.id for n in nodes if isinstance(n.ctx, ast.Store))
        code = compile(ast.Module([statement], []), "check: setup", "exec", dont_inherit=True)
        found.append((statement, names, stored, code))
    return tuple(found)


def _is_setting(statement: ast.stmt, namespace: Mapping[str, Any]) -> bool:
    """Whether a statement puts values somewhere, and makes nothing that may keep something.

    To call a method again might add a layer again.
    """
    match statement:
        case ast.Assign(targets=targets):
            pass
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            targets = [target]
        case _:
            return False
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    called = [_found(func, namespace) for func in calls]
    named = not any(isinstance(t, ast.Attribute | ast.Subscript) for e in targets for t in ends(e))
    return not any(map(_is_maker, called)) and not (named and None in called)


def _found(node: ast.expr, namespace: Mapping[str, Any]) -> object:
    """What a name, or a name in a module, stands for."""
    match node:
        case ast.Name(id=name):
            return namespace.get(name, getattr(builtins, name, None))
        case ast.Attribute(value=inner, attr=name):
            owner = _found(inner, namespace)
            if isinstance(owner, np.ndarray):
                return getattr(np.ndarray, name, None)
            return vars(owner).get(name) if isinstance(owner, ModuleType) else None
    return None


def _is_maker(value: object) -> bool:
    """Whether calling it may make an object that keeps something: a class, or the user's code."""
    if isinstance(value, type):
        return value.__module__.partition(".")[0] not in _LIBRARIES
    return isinstance(value, FunctionType) and value.__module__.partition(".")[0] not in _LIBRARIES
