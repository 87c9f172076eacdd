"""The lines of a backward pass in the order of work that memory likes best.

Nothing here knows a layer: sums of products become one pass, what two lines need is computed
once, small arrays are multiplied before large ones, and long arithmetic works in place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradtool.derive.naming import telling_name
from gradtool.emit.array_cost import cost_as_written
from gradtool.emit.array_forms import Form, Leaf, NotBroadcast, Product, Total
from gradtool.emit.array_inplace import in_place, is_inexact
from gradtool.emit.array_read import Reader
from gradtool.emit.array_reuse import Source, reused
from gradtool.emit.array_share import (
    changed,
    key,
    repeated_totals,
    repeated_values,
    shared_product,
    total_as,
    with_vectors,
    without_product,
)
from gradtool.emit.array_sizes import volume
from gradtool.emit.array_text import WORTH, Writer
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step, Write, is_its_value, ordered, written
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Name
from gradtool.ops.errors import OpError
from gradtool.records import Struct, replace

_MOST = 8  # shared products of one module


class _Line(Struct, frozen=True):
    """A step whose first value is arithmetic that is understood."""

    step: Step
    form: Form
    printed: float


def optimised(
    module: ModuleNames,
    steps: Sequence[Step],
    inexact: Collection[str],
    upstream: Collection[str],
    results: Collection[str],
) -> list[Step]:
    """The same results in fewer passes over memory.

    Args:
        inexact: names that are floating point whatever the arguments are.
        upstream: names of upstream gradients, which are made floating point where that matters.
        results: names that are returned.
    """
    writer = Writer(module)
    reader = Reader(module, writer.improved)
    lines = {step.defines: line for step in steps if (line := _line(reader, step)) is not None}
    forms = {name: line.form for name, line in lines.items()}
    own = {name for name, line in lines.items() if is_its_value(line.step)}
    forms = _share(module, writer, forms, own)
    new: dict[str, Form] = {n: f for n, f in forms.items() if n not in lines}
    result: list[Step] = []
    known = set(inexact)
    for step in ordered([*_placed(module, writer, new), *steps]):
        if step.defines in new:
            result += _written(module, writer, step, new[step.defines], known)
        elif step.defines in lines:
            result += _improved(reader, writer, lines[step.defines], forms[step.defines], known)
        else:
            result.append(step)
        first = result[-1].writes[:1]
        if first and not first[0].raw and is_inexact(first[0].value, known):
            known.add(step.defines)
    sources = {n: Source(writer.settled(f), (), None) for n, f in new.items()}
    for name, line in lines.items():
        start, *rest = line.step.writes
        if start.wrap is None:
            form = writer.settled(forms[name])
            sources[name] = Source(form, tuple(rest), line.step.tree)
    return reused(module, writer, ordered(result), sources, known, upstream, results)


def _line(reader: Reader, step: Step) -> _Line | None:
    if not step.writes or step.writes[0].raw or step.writes[0].place:
        return None
    value = step.writes[0].value
    if reader.module.kind(step.defines) not in ("real", "size"):
        return None
    try:
        form = Writer(reader.module).settled(reader.read(value))
        return _Line(step, form, cost_as_written(reader.module, value))
    except (OpError, NotBroadcast, KeyError):
        return None


def _share(
    module: ModuleNames, writer: Writer, forms: dict[str, Form], own: Collection[str]
) -> dict[str, Form]:
    """Names for what several lines need; they are added to the forms.

    `own`: the names that stand for their forms.
    """
    forms = dict(forms)
    lines = forms.keys() - own
    whole_lines = {f: n for n, f in forms.items() if isinstance(f, Leaf) and n not in lines}
    for leaf in repeated_values(forms):
        name = whole_lines.get(leaf) or _name(module, writer, leaf)
        made = Leaf(Name(name), leaf.shape)
        forms = {
            n: f if n == name else changed(f, lambda part, a=leaf, b=made: b if part == a else None)  # type: ignore[misc]
            for n, f in forms.items()
        }
        forms[name] = leaf
    for _ in range(_MOST):
        pair = shared_product(forms, lambda f: volume(module, f.shape))
        if not isinstance(pair, Product):
            break
        name = _name(module, writer, pair)
        forms = {n: without_product(f, pair, Leaf(Name(name), pair.shape))
                 for n, f in forms.items()}  # fmt: skip
        forms[name] = pair
    for total in repeated_totals(forms):
        forms[_name(module, writer, total)] = total
    whole = {key(f): (n, f) for n, f in forms.items() if isinstance(f, Total) and n not in lines}

    def named(own: str, form: Form) -> Form | None:
        if isinstance(form, Total) and key(form) in whole:
            name, source = whole[key(form)]
            if name != own:
                return total_as(name, source, form)
        return None

    forms = {n: changed(f, lambda part, n=n: named(n, part)) for n, f in forms.items()}  # type: ignore[misc]
    return with_vectors(forms)


def _name(module: ModuleNames, writer: Writer, form: Form) -> str:
    tree = writer.made(form).tree
    name = module.fresh(telling_name(tree, module.taken))
    module.define(Tensor(name, form.shape))
    return name


def _placed(module: ModuleNames, writer: Writer, new: dict[str, Form]) -> list[Step]:
    return [written(module, name, (Write(writer.made(form).tree),)) for name, form in new.items()]


def _written(
    module: ModuleNames, writer: Writer, step: Step, form: Form, known: set[str]
) -> list[Step]:
    lines = in_place(writer, step.defines, form, known)
    return [written(module, step.defines, lines)] if lines else [step]


def _improved(
    reader: Reader, writer: Writer, line: _Line, form: Form, known: set[str]
) -> list[Step]:
    """The step with its first value in a better order."""
    module = reader.module
    step, (first, *rest) = line.step, line.step.writes
    if first.wrap is None:
        several = in_place(writer, step.defines, writer.settled(form), known)
        if several is not None and (len(several) > 1 or rest):
            note = tuple(assignment(step.defines, "=", step.tree)) if step.tree is not None else ()
            return [written(module, step.defines, [*several, *rest], note)]
    made = writer.made(writer.settled(form))
    if made.cost >= WORTH * line.printed:
        nested = reader.nested(first.value)
        if nested is first.value:
            return [step]
        return [written(module, step.defines, [replace(first, value=nested), *rest])]
    return [written(module, step.defines, [replace(first, value=made.tree), *rest])]
