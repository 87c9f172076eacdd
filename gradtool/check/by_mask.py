"""A mask that the code draws itself, as a dropout does: read back from what it kept.

The spec has the mask as an input without a gradient; the function has no argument for it.  What
it drew is found in its cache, its object or its closure, and the layer is judged with that.  It
may be true where an entry is dropped; which of both it is shows in the outputs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.words import folded
from gradtool.ir import syntax
from gradtool.ir.dims import shape_text
from gradtool.records import replace
from gradtool.spec.model import Variable

Convention = Callable[[Candidate, Names], list[Binding]]

_DRAWN = frozenset({"binary", "nonnegative", "interval"})


def with_drawn_masks(
    candidate: Candidate, names: Names, conventions: Iterable[Convention]
) -> list[Binding]:
    """The readings of a candidate that is given every input but the masks."""
    masks = [v for v in names.variables if is_mask(v)]
    if not masks or any(_is_given(v, candidate) for v in masks):
        return []
    drawn = tuple(replace(v, read=True) if v in masks else v for v in names.variables)
    found: list[Binding] = []
    for convention in conventions:
        try:
            found += convention(candidate, replace(names, variables=drawn))
        except NoMatch:
            continue
    keeper = ""  # a closure keeps what an object does not
    if candidate.closure is not None and candidate.backward and candidate.forward:
        keeper = "" if candidate.forward.sets else candidate.backward.name
    ways: list[Binding] = []
    for kept in (True, False):
        read = [known for one in found if (known := _reading(one, masks, kept, keeper)) is not None]
        turned = [
            other for one in read for name in names.constants if (other := _dropped(one, name))
        ]  # fmt: skip
        ways += [way for way in (*read, *turned) if way not in ways]
    return ways


def _is_given(variable: Variable, candidate: Candidate) -> bool:
    """Whether the backward pass is given a variable, as targets are, that no forward hands on."""
    forward, backward = candidate.forward, candidate.backward
    if forward is None or backward is None:
        return False
    name, kept = folded(variable.name), {folded(n) for names in forward.returns for n in names}
    return name in map(folded, backward.params) and name not in kept


def is_mask(variable: Variable) -> bool:
    """Whether code may draw the values of a variable itself."""
    free = not variable.differentiable and variable.index is None and not variable.read
    return free and (variable.dtype == "bool" or variable.domain.kind in _DRAWN)


def _reading(
    binding: Binding, masks: Iterable[Variable], kept: bool, keeper: str
) -> Binding | None:
    """The binding with lines that find the masks after the forward pass, in the `keeper` if any.

    Truth values tell which entries are `kept`, or else which are not.
    """
    known = (keeper, "layer", "cache") if keeper else ("layer", "cache")
    places = [place for place in known if binding.mentions(place)]
    if not places or binding.forward is None:
        return None
    relation = "!=" if kept else "=="
    lines = [binding.forward]
    for mask in masks:
        found = f"mask_in({places[0]}, {shape_text(mask.shape)})"
        if mask.dtype == "bool" or mask.domain.kind == "binary":
            found = f"({found} {relation} 0) * 1.0"
        lines.append(f"{mask.name} = {found}")
    return replace(
        binding,
        forward="\n".join(lines),
        convention=f"{binding.convention}, the mask that it draws read back",
        reads=tuple(mask.name for mask in masks),
    )


def _dropped(binding: Binding, name: str) -> Binding | None:
    """The same where the code is given the share that is dropped, not the one that is kept."""
    changed = {
        stage: _complemented(text, name)
        for stage, text in (("setup", binding.setup), ("forward", binding.forward))
        if text is not None
    }
    if all(text is None for text in changed.values()):
        return None
    return replace(
        binding,
        setup=changed.get("setup") or binding.setup,
        forward=changed.get("forward") or binding.forward,
        convention=f"{binding.convention}, given 1 - {name}",
    )


def _complemented(text: str, name: str) -> str | None:
    """The text with ``1 - p`` for every argument ``p``; None where there is none."""
    tree = syntax.parse(text)
    found = False

    def other(node: ast.expr) -> ast.expr:
        nonlocal found
        if not (isinstance(node, ast.Name) and node.id == name):
            return node
        found = True
        return ast.BinOp(ast.Constant(1), ast.Sub(), node)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.args = [other(argument) for argument in node.args]
            for keyword in node.keywords:
                keyword.value = other(keyword.value)
        elif isinstance(node, ast.Dict):
            node.values = [other(value) for value in node.values]
    return ast.unparse(tree) if found else None
