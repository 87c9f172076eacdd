"""What is run for a layer: the spec's own `check:` snippets, or recognised ones.

A binding is text either way, so that what was recognised can be printed, pasted into the spec
and changed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache

from gradtool.check.inventory import Inventory, bound_names
from gradtool.check.placing import Guess
from gradtool.check.result import Called
from gradtool.ir import syntax
from gradtool.records import Struct, field, replace
from gradtool.spec.model import Check


class BindingProblem(Exception):
    """No function of the file, or no single one, fits the layer; the message lists them."""


class Binding(Struct, frozen=True):
    """Snippets as in a spec's `check:` block, and where they come from.

    `gradients` are the variables whose gradient is offered; `convention` says in words what was
    recognised ("as the spec says" for a `check:` block); `remark` is told when this binding
    is taken.  `reads` are inputs that the forward snippet assigns, beside those of the spec.
    `one` is a size that is 1 wherever this binding is run: the code takes one sample, with
    `drops_batch` without the axis of that size.  `equal` are sizes that are equal wherever it is
    run: the code takes one number for both.  `unsure` says what of this reading is a guess: with
    it, code can be right, and wrong only by a factor.  `undecided` says why even what is right in
    this reading may be wrong as it is meant.  `guess` is how arguments without known names were
    placed; a binding of `last_resort` counts only where the forward of no other is the layer's.
    `layout` is how its arrays lie where they lie in another way than those of the spec.
    `given` are the variables by the names that the code has for them, for results that say at run
    time which gradient is which; None where the snippets are to be taken as they are.
    """

    convention: str
    forward: str | None
    backward: str | None = None
    setup: str | None = None
    grads: Mapping[str, str] = field(default_factory=dict)
    scale: Mapping[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] | None = None
    upstream: str | None = None
    upstream_scale: float = 1.0
    remark: str = ""
    reads: tuple[str, ...] = ()
    one: str = ""
    drops_batch: bool = False
    equal: tuple[tuple[str, str], ...] = ()
    unsure: str = ""
    undecided: str = ""
    guess: Guess | None = None
    last_resort: bool = False
    layout: str = ""
    given: Mapping[str, str] | None = None

    def remarked(self, text: str) -> Binding:
        """This one with a further remark."""
        return replace(self, remark="; ".join(filter(None, (self.remark, text))))

    @property
    def snippets(self) -> dict[str, str | None]:
        return {"setup": self.setup, "forward": self.forward, "backward": self.backward}

    @property
    def texts(self) -> tuple[str, ...]:
        """Every line that is run, for printing."""
        lines = [
            f"{stage + ':':<9} {line}"
            for stage, text in self.snippets.items()
            for line in (text or "").strip().splitlines()
        ]
        return (*lines, *(f"d{name} = {text}" for name, text in self.grads.items()))

    def mentions(self, name: str) -> bool:
        """Whether a snippet reads or writes a name."""
        return any(name in _names_in(text) for text in self._parts())

    def called(self, found: Inventory) -> tuple[Called, ...]:
        """The user's functions that the snippets call, in order, with their lines."""
        places = {name: (line, place) for name, (place, line) in found.places.items()}
        names = dict.fromkeys(name for text in self._parts() for name in _names_in(text))
        return tuple(Called(name, *places[name]) for name in names if name in places)

    def missing(self, known: Iterable[str]) -> tuple[str, ...]:
        """Names that the snippets call and nobody defines."""
        there = {*known, *dir(builtins), "np", "cell", "step", "module", "mask_in"}
        for tree in self._trees():
            there |= bound_names(tree)
        calls = [
            node.func.id
            for tree in self._trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        return tuple(dict.fromkeys(name for name in calls if name not in there))

    def _parts(self) -> Iterator[str]:
        for text in (self.setup, self.forward, self.backward, *self.grads.values()):
            yield (text or "").strip()

    def _trees(self) -> Iterator[ast.AST]:
        yield from (tree for text in self._parts() if (tree := _parsed(text)) is not None)


@lru_cache(maxsize=256)
def _parsed(text: str) -> ast.Module | None:
    try:
        return syntax.parse(text)
    except (SyntaxError, ValueError):  # the worker reports it, with its place
        return None


@lru_cache(maxsize=256)  # asked for every name of every probe
def _names_in(text: str) -> Mapping[str, None]:
    """The names that a text reads or writes, in the order in which a walk meets them."""
    tree = _parsed(text)
    nodes = ast.walk(tree) if tree is not None else ()
    return dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name))


def from_check(check: Check) -> Binding:
    """The binding that a spec states."""

    def text(block: object) -> str | None:
        return getattr(block, "text", None)

    return Binding(
        "as the spec says",
        text(check.forward),
        text(check.backward),
        text(check.setup),
        {name: block.text for name, block in check.grads.items()},
        {name: block.text for name, block in check.scale.items()},
        check.gradients,
        check.upstream,
        float(check.upstream_scale) if check.upstream_scale is not None else 1.0,
    )


def not_found(missing: Iterable[str], file: str, found: Inventory) -> str:
    """The message for names that a file does not define, with the near miss."""
    names = list(found.lines)
    parts = []
    for name in missing:
        near = get_close_matches(name, names, n=1)
        parts.append(name + (f" (did you mean {near[0]}?)" if near else ""))
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    offers = f"it defines {listed}" if names else "it defines no function and no class"
    return f"{file} has no {' and no '.join(parts)}; {offers}"
