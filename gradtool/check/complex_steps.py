"""Steps of numeric differentiation, seen while a submission runs.

``f(x + ih).imag / h`` is a difference whose numbers are right to the last digit, so that they
tell nothing (Squire and Trapp, 1998, "Using complex variables to estimate derivatives of real
functions"). What tells is what it does on the way, and nothing else does it: it moves a number
that it was given by an imaginary constant, and others not. Two things see that. `Stepped` looks at
the values that the submission's own functions hold; `gradtool.check.told` has numbers that notice
what is added to them, also where the result has no name. A Fourier transform of the inputs is no
step, for its values are no longer those that were given; nor are two inputs as real and imaginary
part.

Nothing of the submission's own runs while its values are looked at, for nobody would see what that
does: types are told by identity, and what could answer by a method is left alone until the end.

A step along the real axis is seen where a given array comes again and again, each time with
another entry moved and with all of them in the end: however long the numbers are and however large
the step, of which a linear layer has no error.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import CO_OPTIMIZED
from itertools import islice
from types import (
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, Literal

import numpy as np

TINY = 1e-2  # of the numbers that are moved, where all of them are
EQUAL = 1e-9
_SAME = 1e-13  # of the largest number of an array
_DEPTH = 3
_DOUBLE = 8  # bytes
_MOST = 200  # values of one frame, or of whatever holds several, that are looked at
_MOST_IN_ALL = 1000  # of a frame
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
        several = [(n, a) for n, a in given.items() if a.dtype.kind == "f" and a.size > 1]
        self._near = {n: _SAME * float(np.abs(a).max()) for n, a in several}
        self._several = [(n, a, a.tobytes()) for n, a in several]
        self._kept: dict[tuple[_Where, bytes], np.ndarray] = {}

    @property
    def entry_by_entry(self) -> float:
        """The largest step by which each entry of an array was moved alone, 0 without any.

        To be asked when nothing is watched any more: to read an object as a number may run code.
        """
        for (where, _), value in self._kept.items():
            with suppress(Exception):  # an entry of the submission's own may do anything
                if moved := _moved_alone(
                    value.astype(np.float64), self._given[where[0]], self._near[where[0]]
                ):
                    self._note(where, *moved)
        self._kept.clear()
        for (name, *_), values in self.moved.items():
            given = self._given[name].ravel()
            # Of entries that are alike, as labels are, one may be another by chance.
            apart = len(values) == given.size == len(set(given.tolist()))
            # To leave out one entry after the other is no step: as a 0 of a sum, a 1 of a product.
            if apart and len(set(values.values())) > 1:
                return max(abs(value - float(given[k])) for k, value in values.items())
        return 0.0

    def look(self, frame: FrameType, its_own: bool = True) -> None:
        """Look at the values that a frame holds by name; in one of the submission's own files also
        at what their attributes are.
        """
        held = _held(frame)
        for value in _within(held.values(), attributes=its_own):
            if type(value) is complex or value.dtype.kind == "c":
                self._judge(np.asarray(value), held)
                continue
            if value.dtype.kind == "f" and value.itemsize > _DOUBLE:
                self.longer = True
            if value.dtype.kind in "fO":
                self._compare(value, held, frame.f_code.co_firstlineno)

    def look_at(self, value: object, frame: FrameType) -> None:
        """Look at a value without a name, and at what it is beside in a frame."""
        for one in _within((value,), attributes=False):
            if type(one) is complex or one.dtype.kind == "c":
                self._judge(np.asarray(one), _held(frame))
            elif one.dtype.kind in "fO":
                self._compare(one, {}, frame.f_code.co_firstlineno)

    def _judge(self, value: np.ndarray, held: _Held) -> None:
        flat = value.ravel()
        moved = flat[flat.imag != 0]
        if not moved.size or not np.all(np.isfinite(flat)):
            return
        sizes = np.abs(moved.imag)
        size = float(sizes.max())
        if size - float(sizes.min()) > EQUAL * size:
            return  # data, not a step
        known = np.concatenate([self._known(), *_reals(held)])
        if moved.size == flat.size:
            tiny = size <= TINY * float(np.max(np.abs(flat.real), initial=0.0))
            if not tiny or np.any(np.abs(known) == size):
                return
        real = flat.real[flat.real != 0]
        if real.size and np.all(np.isin(real, known)):
            self.size = max(self.size, size)

    def _compare(self, value: np.ndarray, held: _Held, line: int) -> None:
        """Note whether a value is a given array but for one entry."""
        for name, given, content in self._several:
            if value.shape != given.shape or value.tobytes() == content:
                continue
            if value.dtype.kind == "f":
                # Hardly ever, and to find the name takes longer.
                if moved := _moved_alone(
                    value.astype(np.float64, copy=False), given, self._near[name]
                ):
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


def _moved_alone(numbers: np.ndarray, given: np.ndarray, near: float) -> tuple[int, float] | None:
    """The one entry in which numbers are not the given ones, and what it is there; else None.

    What was moved and moved back is the given number but for rounding.
    """
    if numbers.item(0) != given.item(0) and numbers.item(-1) != given.item(-1):
        ends = (abs(numbers.item(k) - given.item(k)) for k in (0, -1))
        if all(apart > near for apart in ends):
            return None  # most are another array
    others = numbers != given
    count = np.count_nonzero(others)
    if count > 1:
        with np.errstate(all="ignore"):
            others = ~(np.abs(numbers - given) <= near)  # also where it is no number
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


def _within(values: Iterable[object], *, attributes: bool = True) -> Iterator[Any]:
    """Arrays and complex numbers in values and in what these hold, all of them of those types.

    What is asked of a type is answered by the type itself: of a value, or of whether two types are
    equal, it may be a method of the submission's.  What lies deeper comes later, for not all of
    a large structure is looked at, and nothing twice that holds itself.
    """
    left, seen = _MOST_IN_ALL, set()
    level = [values]
    for depth in range(_DEPTH + 1):
        below: list[Iterable[object]] = []
        for held in level:
            value: Any
            for value in islice(held, min(_MOST, left)):
                left -= 1
                kind = type(value)
                sort = (_sorts.get(id(kind)) or _sorted(kind))[1]
                if sort == "array":
                    yield value if kind is np.ndarray else np.ndarray.view(value, np.ndarray)
                elif sort == "complex":
                    yield complex.__pos__(value)
                elif sort == "simple" or (sort == "object" and not attributes):
                    continue
                elif depth < _DEPTH and id(value) not in seen:
                    seen.add(id(value))
                    below.append(_parts(value, kind))
        if not below:
            return
        level = below


_TYPES = (int, float, bool, str, bytes, range, slice, type, FunctionType, ModuleType)
_NUMBERS = (np.float64, np.int64, np.bool_)
_Sort = Literal["array", "complex", "container", "object", "simple"]
_sorts: dict[int, tuple[type, _Sort]] = {  # by the identity of a type, which is kept for that
    id(kind): (kind, "simple") for kind in (*_TYPES, *_NUMBERS, type(None))
}


def _sorted(kind: type) -> tuple[type, _Sort]:
    """What of a type tells how its values are looked at."""
    sort: _Sort = "object"
    if issubclass(kind, np.ndarray):
        sort = "array"
    elif issubclass(kind, complex):
        sort = "complex"
    elif issubclass(kind, dict | list | tuple):
        sort = "container"
    _sorts[id(kind)] = kind, sort
    return kind, sort


def _parts(value: Any, kind: type) -> Iterable[object]:
    """What a container holds, or an object by its attributes."""
    if issubclass(kind, dict):
        return (*dict.values(value),)  # another thread may change it
    if issubclass(kind, list):
        return list.__iter__(value)
    if issubclass(kind, tuple):
        return tuple.__iter__(value)
    return _attributes(value, kind)


def _attributes(value: object, kind: type) -> Iterator[object]:
    """The attributes of an object, by the descriptors that Python has made for them."""
    _, slots, named = _descriptors.get(id(kind)) or _noted(kind)
    for member in slots:
        with suppress(AttributeError):  # nothing was assigned
            yield member.__get__(value)
    for made in named:
        with suppress(TypeError):  # it is a class
            yield from (*dict.values(made.__get__(value)),)


def _noted(kind: type) -> _Descriptors:
    classes = [base for base in _ORDER.__get__(kind) if base is not object]
    made = [pair for base in classes for pair in _DICT.__get__(base).items()]
    found = (
        kind,
        tuple(one for _, one in made if type(one) is MemberDescriptorType),
        tuple(one for n, one in made if n == "__dict__" and type(one) is GetSetDescriptorType),
    )
    _descriptors[id(kind)] = found
    return found


_Descriptors = tuple[type, tuple[MemberDescriptorType, ...], tuple[GetSetDescriptorType, ...]]
_descriptors: dict[int, _Descriptors] = {}  # by the identity of a type, which is kept for that
_ORDER, _DICT = type.__dict__["__mro__"], type.__dict__["__dict__"]


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
