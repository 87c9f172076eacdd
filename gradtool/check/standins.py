"""What stands in for a module that is missing, or that only draws.

An `Absent` can be imported, subclassed and named in a default argument; using it raises, and
says which module is missing.  A `Silent` does nothing and never complains.  Both are told.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any

from gradtool.check.shims import NUMPY_ALIASES, SHIMS, SILENT

if TYPE_CHECKING:
    from importlib.abc import Loader as _LoaderBase
else:
    _LoaderBase = object  # importlib.abc imports tempfile and shutil, which the worker waits for

Tell = Callable[[str], None]


class AbsentModuleUsed(ImportError):
    """Code under test used a module that is not installed."""


_importing = False


@contextmanager
def importing() -> Iterator[None]:
    """While a file is imported, calls to absent things give absent things (decorators, devices)."""
    global _importing
    _importing = True
    try:
        yield
    finally:
        _importing = False


class Absent:
    """A name of a module that is not there."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _use(self, *_: object, **__: object) -> Any:
        if _importing:
            return Absent(self.__dict__["_name"])
        raise AbsentModuleUsed(f"{self.__dict__['_name']} is used, but its module is not there")

    __call__ = __getitem__ = __iter__ = __len__ = __enter__ = __exit__ = _use
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _use
    __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __neg__ = __lt__ = __gt__ = _use
    __float__ = __int__ = __array__ = __index__ = _use

    def __bool__(self) -> bool:
        if not _importing:
            self._use()
        return False

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__dict__['_name']}.{name}")

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        # A base may stand there once only.
        first = next(base for base in bases if isinstance(base, Absent))
        return (_AbsentBase,) if first is self else ()


class _AbsentBase:
    """What a class is derived from whose own base is not there: it can be made all the same."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


class Silent:
    """A thing of a drawing library: every call and attribute is another one."""

    def __call__(self, *args: object, **options: object) -> Any:
        # A decorator hands its function back.
        return args[0] if len(args) == 1 and callable(args[0]) and not options else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        # The one drawing call whose result is always taken apart: fig, ax = plt.subplots().
        return (lambda *_, **__: (self, self)) if name == "subplots" else self

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __getitem__(self, key: object) -> Silent:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __iter__(self) -> Iterator[Silent]:
        return iter(())

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (object,)


class StandInModule(ModuleType):
    """A module whose every name is an `Absent`, or a `Silent`."""

    def __init__(self, name: str, silent: bool) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._silent = silent

    def __call__(self, *args: object, **options: object) -> Any:
        # `from numpy.linalg import gone` makes a module of what was a function.
        return (Silent() if self._silent else Absent(self.__name__))(*args, **options)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (object,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if self._silent:
            return getattr(Silent(), name)
        return Absent(f"{self.__name__}.{name}")


class _Loader(_LoaderBase):
    def __init__(self, silent: bool, code: CodeType | None = None) -> None:
        self.silent = silent
        self.code = code

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None if self.code else StandInModule(spec.name, self.silent)

    def exec_module(self, module: ModuleType) -> None:
        if self.code:
            exec(self.code, module.__dict__)


class _Finder:
    """Finds stand-ins for the imports that stand in the user's own files.

    `texts` maps the place of each of the user's cells to its text; `mine` says whether any
    other file is the user's.
    """

    def __init__(self, texts: Mapping[str, str], mine: Callable[[str], bool], tell: Tell) -> None:
        self.texts = texts
        self.mine = mine
        self.tell = tell

    def importer(self) -> FrameType | None:
        """The user's frame that imports; None when a library does."""
        frame: FrameType | None = sys._getframe(2)
        while frame and ("importlib" in frame.f_code.co_filename or _is_ours(frame)):
            frame = frame.f_back
        if frame and (frame.f_code.co_filename in self.texts or self.mine(_file(frame))):
            return frame
        return None

    def guarded(self, frame: FrameType) -> bool:
        """Whether the importing line stands in a `try` that catches the failure."""
        name = frame.f_code.co_filename
        try:
            text = self.texts[name] if name in self.texts else _read(name)
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return any(
            node.body[0].lineno <= frame.f_lineno <= (node.body[-1].end_lineno or 0)
            and any(_catches_import(handler) for handler in node.handlers)
            for node in ast.walk(tree)
            if isinstance(node, ast.Try)
        )


class DrawingFinder(_Finder):
    """In front of the others: drawing and debugging modules, installed or not."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        if top not in SILENT:
            return None
        nested = isinstance(sys.modules.get(top), StandInModule)
        if not nested and self.importer() is None:
            return None
        if not nested:
            self.tell(f"{top} is replaced by a stand-in that does nothing")
        return importlib.machinery.ModuleSpec(name, _Loader(silent=True), is_package=True)


class MissingFinder(_Finder):
    """Behind the others: what nobody else has found."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in SHIMS:
            if self.importer() is None and name.partition(".")[0] not in sys.modules:
                return None
            self.tell(f"{name} is not installed and is replaced by an equal stand-in")
            code = compile(SHIMS[name], f"<stand-in for {name}>", "exec")
            return importlib.machinery.ModuleSpec(
                name, _Loader(silent=False, code=code), is_package=True
            )
        nested = isinstance(sys.modules.get(name.rpartition(".")[0]), StandInModule)
        if not nested:
            frame = self.importer()
            if frame is None or self.guarded(frame):
                return None
            self.tell(f"{name} is not there: an error only if the code under test uses it")
        return importlib.machinery.ModuleSpec(name, _Loader(silent=False), is_package=True)


# Whoever loads a file is told; one process may load thousands of them, one after the other.
_listener: Tell = lambda _: None  # noqa: E731
_installed = False


_seed = 0


def seeded(seed: int) -> None:
    """Set the random state of Python, and NumPy's global one, where anybody has asked for them.

    NumPy imports its own at its first use, which most layers never come to: it is set then.
    """
    global _seed
    _seed = seed
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "seed"):  # a file of the user's may have the name
            module.seed(seed)


def _tell(text: str) -> None:
    _listener(text)


def install_numpy_aliases(tell: Tell) -> None:
    """Give NumPy its removed names back; each that is used is told to the last `tell` given.

    What is installed is installed once in a process, however many files it loads.
    """
    global _listener, _installed
    _listener = tell
    if _installed:
        return
    _installed = True
    import numpy as np

    original = np.__dict__["__getattr__"]

    def lookup(name: str) -> Any:
        if name not in NUMPY_ALIASES:
            value = original(name)
            if name == "random":
                value.seed(_seed)
            return value
        # Not kept as an attribute: the next file that uses it is told, too.
        _tell(f"np.{name} no longer exists in NumPy: read as {NUMPY_ALIASES[name]}")
        return eval(NUMPY_ALIASES[name], {"np": np})  # our own table

    np.__dict__["__getattr__"] = lookup
    _accept_newshape()
    _sum_generators()


def _accept_newshape() -> None:
    """Give `np.reshape` its removed keyword back."""
    import numpy as np

    plain = np.reshape

    def reshape(a: Any, *args: Any, **keywords: Any) -> Any:
        if "newshape" in keywords:
            _tell("np.reshape(newshape=…) no longer exists in NumPy: read as shape=")
            keywords["shape"] = keywords.pop("newshape")
        return plain(a, *args, **keywords)

    np.__dict__["reshape"] = reshape


def _sum_generators() -> None:
    """Let `np.sum` take a generator again, as the built-in sum does."""
    import numpy as np

    plain = np.sum

    def add_up(a: Any, *args: Any, **keywords: Any) -> Any:
        if isinstance(a, GeneratorType) and not args and not keywords:
            _tell("np.sum of a generator no longer exists in NumPy: read as sum")
            return sum(a)
        return plain(a, *args, **keywords)

    np.__dict__["sum"] = add_up


def install_finders(texts: Mapping[str, str], mine: Callable[[str], bool], tell: Tell) -> None:
    """Find stand-ins for the imports of a file, in place of those of the file before."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Finder)]
    sys.meta_path.insert(0, DrawingFinder(texts, mine, tell))
    sys.meta_path.append(MissingFinder(texts, mine, tell))


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename == __file__


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


def _read(name: str) -> str:
    with open(name, encoding="utf-8", errors="replace") as file:
        return file.read()


def _catches_import(handler: ast.ExceptHandler) -> bool:
    caught = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    if handler.type is None:
        return True
    return any(isinstance(n, ast.Name) and n.id in caught for n in ast.walk(handler.type))
