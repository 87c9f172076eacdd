"""Results that say themselves which part is which: read by the names that they have at run time.

A binding is made from the text, which shows a tuple's places and a dictionary's keys where they
are written out.  When the results are there, the worker tells how they are made up (see `named`),
and the statements that took them apart by place take them by name instead.  A name counts before
a place: two fields in each other's place are a mistake that no place shows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from gradtool.check.arguments import Names, NoMatch, gradient_target, gradients_among, same
from gradtool.check.bind import Binding
from gradtool.check.named import called, source_of
from gradtool.check.targets import OPEN
from gradtool.check.words import is_loss, is_the_gradient
from gradtool.ir import syntax
from gradtool.records import Struct, replace

Parts = object  # of a result, as `named` tells them
_LONGEST = 100
_KEPT = "grads"


def is_open(binding: Binding) -> bool:
    """Whether a binding leaves it to the results which gradient is which."""
    texts = (binding.forward, binding.backward)
    return any(OPEN in (text or "") and any(_opened(_statements(text))) for text in texts)


def by_name(binding: Binding, found: Mapping[str, Parts], names: Names) -> Binding:
    """The binding with results taken apart by the names that they have; the same one without any.

    Raises:
        NoMatch: a result has parts of which it is not clear which gradient they are.
    """
    if binding.given is None or not (found or is_open(binding)):
        return binding
    changed: dict[str, str] = {}
    got: list[str] = []
    for stage in ("forward", "backward"):
        text = getattr(binding, stage)
        if text is None:
            continue
        # What a layer returns beside its output may be kept for the backward pass.
        sure = stage == "forward" and not names.is_loss
        reading = _Reading(binding.given, names, found, _statements(text), sure)
        if (lines := reading.lines()) is not None:
            changed[stage] = "\n".join(lines)
            got += reading.got
    if not changed:
        return binding
    by = replace(
        binding,
        forward=changed.get("forward", binding.forward),
        backward=changed.get("backward", binding.backward),
        given=None,
        undecided="",
        # Of readings in another order it tells that there were no names.
        remark="" if binding.undecided else binding.remark,
    )
    if binding.gradients is None:
        return by
    owed = tuple(n for n in names.real if n in got or n in names.parameters)
    left = [n for n in names.real if n not in got]
    return replace(by, gradients=owed, remark=f"no d{', no d'.join(left)} is offered" * bool(left))


def every_by_name(
    bindings: Iterable[Binding], found: Mapping[str, Parts], names: Names
) -> list[Binding]:
    """The bindings by name, each once; those are left out of which it is not clear how."""
    kept: list[Binding] = []
    seen: set[object] = set()
    for binding in bindings:
        try:
            one = by_name(binding, found, names)
        except NoMatch:
            continue
        key = one.setup, one.forward, one.backward, one.one, one.equal
        if one is binding or key not in seen:  # orders of results that have names are one
            kept.append(one)
        if one is not binding:
            seen.add(key)
    return kept


class _Part(Struct, frozen=True):
    """A part of a result that may be a gradient: how it is read, and what it is called.

    `places`: the parts around it have an order, too.
    """

    path: str
    name: str
    places: bool


class _Reading:
    """One snippet, read by the names of what its statements take apart."""

    def __init__(
        self,
        given: Mapping[str, str],
        names: Names,
        found: Mapping[str, Parts],
        statements: Sequence[ast.stmt],
        sure: bool,
    ) -> None:
        """With `sure` only what is called a gradient is taken for one."""
        self._sure = sure
        self._given, self._names, self._found = given, names, found
        self._statements = statements
        self._used = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)}
        self.got: list[str] = []

    def lines(self) -> list[str] | None:
        """The lines of the snippet where it is another one by name, else None.

        Raises:
            NoMatch: it is not clear which part is which gradient.
        """
        lines: list[str] = []
        changed = False
        for statement in self._statements:
            read = self._read(statement) if isinstance(statement, ast.Assign) else None
            changed |= read is not None
            lines += [ast.unparse(statement)] if read is None else read
        self.got += [n for n in self._names.real if self._is_assigned(n, lines)]
        return lines if changed else None

    def _read(self, statement: ast.Assign) -> list[str] | None:
        source, (target, *more) = source_of(statement), statement.targets
        if source is None or more:
            return None
        parts = self._found.get(called(source))
        if isinstance(statement.value, ast.Subscript):
            return self._kept(target, source, parts)
        targets = list(target.elts) if isinstance(target, ast.Tuple) else [target]
        if isinstance(parts, dict):
            return self._whole(targets, source, parts)
        if isinstance(parts, list) and len(parts) == len(targets) > 1:
            return self._several(targets, source, parts)
        return self._several(targets, source, []) if any(map(_is_open, targets)) else None

    def _kept(self, target: ast.expr, source: ast.expr, parts: Parts) -> list[str] | None:
        """``dW = layer.grads[0]`` where that has names."""
        if not isinstance(target, ast.Name) or not isinstance(parts, dict):
            return None
        part = self._named(self._leaves(ast.unparse(source), parts)).get(target.id[1:])
        return [f"{target.id} = {part.path}"] if part else None

    def _whole(
        self, targets: Sequence[ast.expr], source: ast.expr, parts: Mapping[str, object]
    ) -> list[str] | None:
        """A result that has names is all that is returned."""
        names = [t.id for t in targets if isinstance(t, ast.Name)]
        kept = self._free_name()
        known = names[0] if len(targets) == 1 and self._is_kept(targets[0]) else ""
        leaves = self._leaves(known or kept, parts)
        outputs = [n for n in names if n in self._names.outputs]
        own = set(map(ast.unparse, targets)) if not known else set()
        wanted = [n for n in self._names.real if f"d{n}" in own or not self._assigned_by_others(n)]
        found = {n: part for n, part in self._named(leaves).items() if n in wanted}
        rest = self._without_name(leaves, found)
        first: list[str] = []
        if outputs:
            rest.sort(key=lambda part: not self._is_output(part))
            if len(rest) < len(outputs):
                raise NoMatch(self._unclear(source, leaves))
            first = [f"{n} = {p.path}" for n, p in zip(outputs, rest, strict=False)]
            rest = rest[len(outputs) :]
        self._fill(found, wanted, rest, self._unclear(source, leaves))
        lines = [f"d{n} = {part.path}" for n, part in found.items()]
        if known:
            return [f"{known} = {ast.unparse(source)}", *lines] if lines else None
        return [f"{kept} = {ast.unparse(source)}", *first, *lines]

    def _several(
        self, targets: Sequence[ast.expr], source: ast.expr, parts: Sequence[Parts]
    ) -> list[str] | None:
        """Several results, of which some have `parts`, or are not known yet."""
        texts: list[str] = []
        leaves: list[_Part] = []
        fixed: list[str] = []
        for target, part in zip_longest(targets, parts):
            text = ast.unparse(target)
            kept = text if self._is_kept(target) or _is_open(target) else self._free_name()
            inner = self._leaves(kept, part) if self._is_taken(target, part) else []
            leaves += inner
            texts.append(kept if inner else text)
            fixed += [] if inner else [text]
        if not leaves:
            return None
        taken = {n for n in self._names.real if any(f"d{n}" in text for text in fixed)}
        own = set(map(ast.unparse, targets))
        wanted = [
            n
            for n in self._names.real
            if n not in taken and (f"d{n}" in own or not self._assigned_by_others(n))
        ]
        found = {n: part for n, part in self._named(leaves).items() if n in wanted}
        rest = self._without_name(leaves, found)
        self._fill(found, wanted, rest, self._unclear(source, leaves, fixed))
        if not found and not any(map(_is_open, targets)):
            return None  # none of the parts is a gradient
        if len(texts) == 1 and (part := leaves[0]).path == texts[0] and len(found) == 1:
            return [f"d{next(iter(found))} = {ast.unparse(source)}"]
        lines = [f"d{n} = {part.path}" for n, part in found.items()]
        return [f"{', '.join(texts)} = {ast.unparse(source)}", *lines]

    def _fill(
        self,
        found: dict[str, _Part],
        wanted: Sequence[str],
        rest: Sequence[_Part],
        unclear: str,
    ) -> None:
        """By place what no name tells, if that is clear; `found` gets it."""
        order = [*self._given.values(), *self._names.real]
        free = [n for n in dict.fromkeys(order) if n in wanted and n not in found]
        placed = [part for part in rest if part.places and not self._sure]
        unknown = rest and (len(placed) != len(free) or len(rest) != len(free))
        if free and (unknown or (self._sure and not found)):
            raise NoMatch(unclear)
        if free:
            found.update(zip(free, placed, strict=bool(rest)))

    def _leaves(self, path: str, parts: Parts) -> list[_Part]:
        """Every part of a result that is one array.

        Fields called ``a b c`` have an order and no names, though the layer may have a ``b``.
        """
        found = list(_parts(path, parts))
        letters = [part for part in found if part.places and len(part.name) == 1]
        if any(not self._variable(p) and not same(p.name, self._names.outputs) for p in letters):
            return [replace(part, name="") if part in letters else part for part in found]
        return found

    def _named(self, leaves: Iterable[_Part]) -> dict[str, _Part]:
        """The part of each variable that is called like its gradient, or else like itself."""
        parts: dict[str, _Part] = {}
        words: list[str] = []
        own = (*self._given, *self._names.real)
        for part in leaves:
            parts.setdefault(part.name, part)
            if part.name and not (self._sure and same(part.name, own)):
                words.append(part.name)
        found = gradients_among(words, self._given, self._names)
        return {variable: parts[name] for variable, name in found.items()}

    def _without_name(self, leaves: Iterable[_Part], found: Mapping[str, _Part]) -> list[_Part]:
        """The parts of which no name tells that they are the gradient of a variable."""
        named = list(found.values())
        return [part for part in leaves if self._variable(part) is None and part not in named]

    def _is_taken(self, target: ast.expr, part: Parts) -> bool:
        """Whether a result is taken apart, or for one of the gradients that nothing names."""
        text = ast.unparse(target)
        if _is_open(target) or text == "_":
            return part is not None or _is_open(target)
        if part is None or text in (*self._names.outputs, "cache", "*cache"):
            return False
        # One that the code calls a gradient is one, but for what says otherwise.
        inner = self._leaves(text, part) if isinstance(part, dict) else ()
        named = any(self._variable(p) or is_the_gradient(p.name) for p in inner)
        return named or self._is_kept(target)

    def _is_kept(self, target: ast.expr) -> bool:
        """Whether a target is a name by which other statements read parts."""
        names = (*self._names.outputs, *(f"d{n}" for n in self._names.real), "_")
        return isinstance(target, ast.Name) and target.id not in names and not _is_open(target)

    def _is_output(self, part: _Part) -> bool:
        """Whether a part is called like the output, or like the loss that it is."""
        loss = self._names.is_loss and is_loss(part.name)
        return loss or same(part.name, self._names.outputs) is not None

    def _variable(self, part: _Part) -> str | None:
        return gradient_target(part.name, self._given, self._names) if part.name else None

    def _assigned_by_others(self, name: str) -> bool:
        return any(f"d{name}" in _stored(s) for s in self._statements)

    def _is_assigned(self, name: str, lines: Sequence[str]) -> bool:
        return any(f"d{name}" in _stored(s) for s in _statements("\n".join(lines)))

    def _free_name(self) -> str:
        name = _KEPT
        while name in self._used:
            name += "_"
        self._used.add(name)
        return name

    def _unclear(self, source: ast.expr, leaves: Sequence[_Part], fixed: Sequence[str] = ()) -> str:
        function = called(source).removeprefix("layer.")
        listed = ", ".join([*fixed, *(part.name or "?" for part in leaves)])
        return f"{function}: which of the results ({listed}) is the gradient of which variable?"


def _parts(path: str, parts: Parts, name: str = "", places: bool = True) -> Iterator[_Part]:
    """Every part of a result that is one array, with how it is read."""
    match parts:
        case {"by": how, "parts": list(named)}:
            for entry in named:
                match entry:
                    case [str(own), inner] if _is_word(own):
                        step = f".{own}" if how == "name" else f'["{own}"]'
                        yield from _parts(f"{path}{step}", inner, own, how == "name")
        case list(inner) if not name:
            for place, part in enumerate(inner):
                yield from _parts(f"{path}[{place}]", part, "", places)
        case _:
            yield _Part(path, name, places)


def _is_word(text: str) -> bool:
    """Whether a name may stand in a snippet: a worker may say anything."""
    return text.isidentifier() and len(text) <= _LONGEST


def _is_open(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id.rstrip("0123456789") == OPEN


def _opened(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        yield from (n for n in _stored(statement) if n.rstrip("0123456789") == OPEN)


def _stored(statement: ast.stmt) -> set[str]:
    nodes = ast.walk(statement)
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _statements(text: str | None) -> list[ast.stmt]:
    try:
        return syntax.parse(text or "").body
    except (SyntaxError, ValueError):  # the worker reports it
        return []
