"""Steps of numeric differentiation, seen while a submission runs.

``f(x + ih).imag / h`` is a difference whose numbers are right to the last digit, so that they
tell nothing (Squire and Trapp, 1998, "Using complex variables to estimate derivatives of real
functions"). What tells is what it does on the way, and nothing else does it: it moves a number
that it was given by an imaginary constant, and others not. Two things see that. `Stepped` looks at
the values that the submission's own functions hold; `Told` is a number that notices what is added
to it, also where the result has no name. A Fourier transform of the inputs is no step, for its
values are no longer those that were given; nor are two inputs as real and imaginary part.

Nothing of the submission's own runs while its values are looked at, for nobody would see what that
does: types are told by identity, and what could answer by a method is left alone until the end.

A step along the real axis is seen where a given array comes again and again, each time with
another entry moved and with all of them in the end: however long the numbers are and however large
the step, of which a linear layer has no error.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import CO_OPTIMIZED
from types import FrameType
from typing import Any

import numpy as np

_TINY = 1e-2  # of the numbers that are moved, where all of them are
_EQUAL = 1e-9
_DEPTH = 3
_DOUBLE = 8  # bytes
_MOST = 200  # values of one frame that are looked at
_MOST_KEPT = 50_000  # arrays of objects that are looked at in the end
_WORDS = frozenset(
    {"imag", "csingle", "cdouble", "clongdouble", "cfloat", "view", "fft", "emath", "scimath"}
    | {"eig", "eigvals", "cmath", "angle", "real_if_close"}
    # Where NumPy and others keep their types, and modules.
    | {"ScalarType", "dtypes", "allTypes", "numerictypes", "core", "_core", "types", "operator"}
    # By these any word can be put together at run time.
    | {"eval", "exec", "compile", "getattr", "__getattribute__", "attrgetter", "methodcaller"}
    | {"globals", "locals", "vars", "__dict__", "__import__", "import_module", "open", "loads"}
    | {"str", "chr", "join", "format", "decode", "__name__", "__doc__", "typecodes", "sctypeDict"}
    | {"sys", "_sys", "os", "threading", "_thread", "__builtins__", "__globals__", "__code__"}
    | {"__class__", "__subclasses__", "__loader__", "__spec__"}
    | {"pow", "__pow__", "__rpow__", "conj", "conjugate"}
)
_LETTERS = frozenset("DFG")  # of complex types
_Held = Mapping[str, object]
_Where = tuple[str, int, str]  # a given array, the line of a function, and a name in it
_PLAIN = frozenset({"numpy", "math", "typing", "collections", "itertools", "__future__", "random"})


def may_step(nodes: Iterable[ast.AST]) -> bool:
    """Whether a text has anything by which it could come to complex numbers, or to whatever else
    this process has.

    A text without a word of these works with real numbers, whatever it computes.  The `nodes` are
    those by which it names something; see `gradtool.check.nodes.telling`.
    """
    return any(map(_suspicious, nodes))


def _suspicious(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=complex()):
            return True
        case ast.Constant(value=str(text)):
            return _may_be_type(text)
        case ast.BinOp(op=ast.Pow(), right=power) | ast.AugAssign(op=ast.Pow(), value=power):
            return not _is_integer(power)
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return _is_word(word)
        case ast.Import(names=names):
            return any(alias.name.partition(".")[0] not in _PLAIN for alias in names)
        case ast.ImportFrom(module=module, level=level, names=names):
            plain = level == 0 and (module or "").partition(".")[0] in _PLAIN
            return not plain or any(alias.name == "*" or _is_word(alias.name) for alias in names)
    return False


def _is_word(word: str) -> bool:
    return word in _WORDS or "complex" in word or "roots" in word  # sort_complex, polyroots


def _may_be_type(text: str) -> bool:
    """Whether a text names a complex type, or may be a part of such a name or code."""
    if "complex" in text.lower():
        return True
    if not text or text.split() != [text]:
        return False
    bare = text.lstrip("<>=|")
    by_code = bare.isdigit() or (bare[:1] == "c" and not bare[1:].isalpha())
    return by_code or not _LETTERS.isdisjoint(text) or bare in _NAMES


_NAMES = frozenset({"csingle", "cdouble", "clongdouble"})


def _is_integer(node: ast.expr) -> bool:
    """Whether a power is by an integer: of a real number it is real."""
    match node:
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            return _is_integer(inner)
        case ast.Constant(value=int()):
            return True
    return False


class Stepped:
    """Looks for given numbers with a tiny imaginary part in the frames of a submission.

    Attributes:
        size: the largest step that was seen, 0 when none was.
        longer: numbers were seen that have more digits than float64.
        moved: by given array and place, and by entry, what that entry alone was seen to be
            instead there. A place is a name in a function: values below a bound under one name
            and those above one under another are no steps.
    """

    def __init__(self, given: Mapping[str, np.ndarray]) -> None:
        self._given = given
        self._numbers: np.ndarray | None = None
        self.size = 0.0
        self.longer = False
        self.moved: dict[_Where, dict[int, float]] = {}
        self._several = [(n, a) for n, a in given.items() if a.dtype.kind == "f" and a.size > 1]
        self._kept: dict[tuple[_Where, bytes], np.ndarray] = {}

    @property
    def entry_by_entry(self) -> float:
        """The largest step by which each entry of an array was moved alone, 0 without any.

        To be asked when nothing is watched any more: to read an object as a number may run code.
        """
        for (where, _), value in self._kept.items():
            with suppress(Exception):  # an entry of the submission's own may do anything
                if moved := _moved_alone(value.astype(np.float64), self._given[where[0]]):
                    self._note(where, *moved)
        self._kept.clear()
        for (name, *_), values in self.moved.items():
            given = self._given[name].ravel()
            # Of entries that are alike, as labels are, one may be another by chance.
            apart = len(values) == given.size == np.unique(given).size
            # To leave out one entry after the other is no step: as a 0 of a sum, a 1 of a product.
            if apart and len(set(values.values())) > 1:
                return max(abs(value - float(given[k])) for k, value in values.items())
        return 0.0

    def look(self, frame: FrameType) -> None:
        """Look at the values that a frame holds by name."""
        held = _held(frame)
        for value in _within(held.values()):
            if type(value) is complex or value.dtype.kind == "c":
                self._judge(np.asarray(value), held)
                continue
            if value.dtype.kind == "f" and value.itemsize > _DOUBLE:
                self.longer = True
            if value.dtype.kind in "fO":
                self._compare(value, held, frame.f_code.co_firstlineno)

    def _judge(self, value: np.ndarray, held: _Held) -> None:
        flat = value.ravel()
        moved = flat[flat.imag != 0]
        if not moved.size or not np.all(np.isfinite(flat)):
            return
        sizes = np.abs(moved.imag)
        size = float(sizes.max())
        if size - float(sizes.min()) > _EQUAL * size:
            return  # data, not a step
        known = np.concatenate([self._known(), *_reals(held)])
        if moved.size == flat.size:
            tiny = size <= _TINY * float(np.max(np.abs(flat.real), initial=0.0))
            if not tiny or np.any(np.abs(known) == size):
                return
        real = flat.real[flat.real != 0]
        if real.size and np.all(np.isin(real, known)):
            self.size = max(self.size, size)

    def _compare(self, value: np.ndarray, held: _Held, line: int) -> None:
        """Note whether a value is a given array but for one entry."""
        for name, given in self._several:
            if value.shape != given.shape:
                continue
            if value.dtype.kind == "f":
                # Hardly ever, and to find the name takes longer.
                if moved := _moved_alone(value.astype(np.float64, copy=False), given):
                    self._note((name, line, _name_of(value, held)), *moved)
            elif len(self._kept) < _MOST_KEPT:
                where = name, line, _name_of(value, held)
                self._kept.setdefault((where, value.tobytes()), value.copy())  # by identity

    def _note(self, where: _Where, place: int, number: float) -> None:
        self.moved.setdefault(where, {})[place] = number

    def _known(self) -> np.ndarray:
        if self._numbers is None:
            parts = [a.ravel() for a in self._given.values() if a.dtype.kind == "f"]
            self._numbers = np.concatenate([np.empty(0), *parts])
        return self._numbers


def _moved_alone(numbers: np.ndarray, given: np.ndarray) -> tuple[int, float] | None:
    """The one entry in which numbers are not the given ones, and what it is there; else None."""
    others = numbers != given
    if np.count_nonzero(others) != 1:
        return None
    place = int(np.argmax(others))
    number = float(numbers.ravel()[place])
    return (place, number) if math.isfinite(number) else None


def _held(frame: FrameType) -> _Held:
    """What a frame holds by name.

    The body of a class may have a mapping of its own type, whose methods are the submission's.
    There values go by their order.
    """
    held: Any = frame.f_locals
    if type(held) is dict or frame.f_code.co_flags & CO_OPTIMIZED:
        return held  # type: ignore[no-any-return]
    if not issubclass(type(held), dict):
        return {}
    return {str(place): value for place, value in enumerate(dict.values(held))}


def _within(values: Iterable[object], depth: int = 0) -> Iterator[Any]:
    """Arrays and complex numbers in values and in what these hold, all of them of those types.

    What is asked of a type is answered by the type itself: of a value, or of whether two types are
    equal, it may be a method of the submission's.
    """
    value: Any
    for count, value in enumerate(values):
        kind = type(value)
        if count >= _MOST:
            return
        if kind is np.ndarray:
            yield value
        elif kind is int or kind is float:
            continue
        elif issubclass(kind, np.ndarray):
            yield np.ndarray.view(value, np.ndarray)
        elif issubclass(kind, complex):
            yield complex.__pos__(value)
        elif depth < _DEPTH and kind is dict:
            yield from _within(value.values(), depth + 1)
        elif depth < _DEPTH and (kind is list or kind is tuple):
            yield from _within(value, depth + 1)


def _name_of(value: np.ndarray, held: _Held) -> str:
    """Under which name a frame holds an array."""
    for name, thing in held.items():
        if any(one is value for one in _within((thing,))):
            return name
    return ""


def _reals(held: _Held) -> Iterator[np.ndarray]:
    """What else is real there: a step may start from a value of the forward pass."""
    for value in _within(held.values()):
        if type(value) is np.ndarray and value.dtype.kind == "f":
            yield value.ravel()


class Told:
    """A number that keeps a note of imaginary constants that are added to it.

    It computes as a number of float64 does; NumPy calls its methods for entries of an array of
    objects.  It is no subclass of `float`: then a complex number times it would be a complex
    number that nobody knows to be none of the constants.
    """

    __slots__ = ("value",)

    # The size of each, and the number; of all of them together: one process, one look.
    steps: list[tuple[float, float]] = []  # noqa: RUF012

    def __init__(self, value: float) -> None:
        self.value = float(value)

    @staticmethod
    def step() -> float:
        """The constant that was added to some numbers and not to others, or to all of them and is
        tiny beside them; 0 when there is none.
        """
        sizes = [size for size, _ in Told.steps if size]
        size = max(sizes, default=0.0)
        if not sizes or size - min(sizes) > _EQUAL * size:
            return 0.0
        everywhere = len(sizes) == len(Told.steps)
        largest = max((abs(value) for _, value in Told.steps if math.isfinite(value)), default=0.0)
        return 0.0 if everywhere and size > _TINY * largest else size

    def _added(self, other: Any, sign: float) -> Any:
        if isinstance(other, complex):
            if other.real == 0 and not isinstance(other, _Derived):
                Told.steps.append((abs(other.imag), self.value))
            return _Derived(self.value + sign * other)
        return _made(lambda: self.value + sign * float(other))

    def __add__(self, other: Any) -> Any:
        return self._added(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._added(other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        return -self._added(other, -1.0)

    def __float__(self) -> float:
        return self.value

    def __complex__(self) -> complex:
        return complex(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    def conjugate(self) -> Told:
        return self

    @property
    def real(self) -> Told:
        return self

    @property
    def imag(self) -> float:
        return 0.0


class _Derived(complex):
    """A complex number that came of the given ones, and is no constant."""

    def __neg__(self) -> _Derived:
        return _Derived(-complex(self))


def _made(compute: Callable[[], Any]) -> Any:
    try:
        found = compute()
    except (ArithmeticError, ValueError):
        return Told(math.nan)
    return _Derived(found) if isinstance(found, complex) else Told(found)


def _binary(function: Callable[[Any, Any], Any], *, swapped: bool = False) -> Any:
    def operation(self: Told, other: Any) -> Any:
        plain = other if isinstance(other, complex) else float(other)
        first, second = (plain, self.value) if swapped else (self.value, plain)
        return _made(lambda: function(first, second))

    return operation


def _compared(function: Callable[[Any, Any], bool]) -> Any:
    return lambda self, other: function(self.value, other.value if type(other) is Told else other)


def _unary(function: Callable[[float], float]) -> Any:
    return lambda self: _made(lambda: function(self.value))


for _name in ("mul", "truediv", "pow", "floordiv", "mod"):
    setattr(Told, f"__{_name}__", _binary(getattr(operator, _name)))
    setattr(Told, f"__r{_name}__", _binary(getattr(operator, _name), swapped=True))
for _name in ("neg", "pos", "abs"):
    setattr(Told, f"__{_name}__", _unary(getattr(operator, _name)))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Told, f"__{_name}__", _compared(getattr(operator, _name)))
# The methods by which NumPy evaluates a function at an object.
for _name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "tan", "log1p", "expm1"):
    setattr(Told, _name, _unary(getattr(math, _name)))
for _name, _function in {"square": lambda x: x * x, "reciprocal": lambda x: 1 / x}.items():
    setattr(Told, _name, _unary(_function))
for _name, _inverse in {"arctan": math.atan, "arcsin": math.asin, "arccos": math.acos}.items():
    setattr(Told, _name, _unary(_inverse))


def told(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays, those of reals with entries that take note."""
    Told.steps = []
    found = {}
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            entries = np.empty(array.shape, dtype=object)
            for index in np.ndindex(array.shape):
                entries[index] = Told(float(array[index]))
            array = entries
        found[name] = array
    return found
