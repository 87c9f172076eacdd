"""The vocabulary: every word once, found by itself in the modules of this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import TypeAlias

import gradtool.ops
from gradtool.ir.tree import Call, Tree
from gradtool.ops.build import Builder, Lowering, Operand
from gradtool.ops.errors import OpError
from gradtool.records import Struct

Arguments: TypeAlias = Mapping[str, Tree]
Rule: TypeAlias = Callable[[Builder, Call, Arguments], Operand]


class Word(Struct, frozen=True):
    """A word of the vocabulary.

    Attributes:
        name: how it is written.
        parameters: its parameters in order; those after `required` may be left out.
        lower: what it means.
        examples: forward lines in which it occurs; each is a test.  Free names get their shapes
            from `shapes`.
    """

    name: str
    parameters: tuple[str, ...]
    required: int
    rule: Rule
    doc: str
    examples: tuple[str, ...]

    def __call__(self, build: Builder, call: Call) -> Operand:
        return self.rule(build, call, self.bind(call))

    def bind(self, call: Call) -> dict[str, Tree]:
        """Match arguments with parameters.

        Raises:
            OpError: too many, unknown or missing arguments.
        """
        if len(call.args) > len(self.parameters):
            raise OpError(
                f"{self.name}() takes {len(self.parameters)} arguments, found {len(call.args)}",
                call.span,
                hint=self.usage,
            )
        bound = dict(zip(self.parameters, call.args, strict=False))
        for key, value in call.kwargs:
            if key not in self.parameters:
                raise OpError(f"{self.name}() has no argument '{key}'", call.span, hint=self.usage)
            if key in bound:
                raise OpError(f"{self.name}() got '{key}' twice", call.span, hint=self.usage)
            bound[key] = value
        missing = [p for p in self.parameters[: self.required] if p not in bound]
        if missing:
            raise OpError(
                f"{self.name}() needs {' and '.join(missing)}", call.span, hint=self.usage
            )
        return bound

    @property
    def usage(self) -> str:
        shown = [p if k < self.required else f"{p}=…" for k, p in enumerate(self.parameters)]
        return f"usage: {self.name}({', '.join(shown)})"


WORDS: dict[str, Word] = {}


def word(
    name: str, parameters: str, *, optional: str = "", examples: tuple[str, ...] = ()
) -> Callable[[Rule], Rule]:
    """Add a word: ``@word("sum", "x", optional="axis keepdims")``."""

    def add(rule: Rule) -> Rule:
        required = tuple(parameters.split())
        if name in WORDS:
            raise ValueError(f"the word {name} is defined twice")
        WORDS[name] = Word(
            name,
            required + tuple(optional.split()),
            len(required),
            rule,
            (rule.__doc__ or "").strip(),
            examples,
        )
        return rule

    return add


def alias(name: str, target: str) -> None:
    """Another spelling, lowered and printed as the first."""
    if name in WORDS:
        raise ValueError(f"the word {name} is defined twice")
    WORDS[name] = WORDS[target]


def vocabulary() -> Mapping[str, Lowering]:
    """All words; loads every module of the package on first use."""
    if not _loaded:
        for module in pkgutil.iter_modules(gradtool.ops.__path__):
            importlib.import_module(f"gradtool.ops.{module.name}")
        _loaded.append(True)
    return WORDS


def vocabulary_words() -> list[tuple[str, str]]:
    """Every word by name: how it is written, and the first line of what it does."""
    vocabulary()
    found: list[tuple[str, str]] = []
    for name, entry in sorted(WORDS.items()):
        written = entry.usage.removeprefix("usage: ")
        if name != entry.name:
            found.append((name, f"the same as {entry.name}"))
        else:
            found.append((written, entry.doc.split("\n", 1)[0]))
    return found


_loaded: list[bool] = []
