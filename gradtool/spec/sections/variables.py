"""`inputs:` and `parameters:`: names with shapes, in the short and in the long form."""

from __future__ import annotations

from collections import abc
from fractions import Fraction
from typing import Literal

from gradtool.ir.dims import Dim
from gradtool.spec.chance import chance_of, names_in
from gradtool.spec.model import Domain, SizeRule, Variable
from gradtool.spec.scalars import parse_size, parse_truth
from gradtool.spec.sections.domains import read_domain
from gradtool.spec.sections.reading import Reading
from gradtool.spec.sections.scope import Scope
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.yamltree import Entry, Mapping, Node, Scalar, Sequence

Role = Literal["input", "parameter"]
DType = Literal["real", "index", "bool"]
FIELDS = ("shape", "index", "not", "dtype", "constant", "read", "domain")


def read_variables(node: Node, role: Role, reading: Reading, scope: Scope) -> list[Variable]:
    """The variables of one section, in the order of the file."""
    found = []
    for name, entry in reading.named_entries(node, f"{role}s"):
        variable = _variable(name, entry, role, reading, scope)
        if name.startswith("_"):  # as the values of which no line says the name
            bare = name.lstrip("_")
            hint = f"write {bare}" if bare.isidentifier() else "choose another name"
            reading.problem(entry.key, f"{role}s: a name must begin with a letter", hint)
        if scope.declare(name, role, entry.key, reading):
            found.append(variable)
    return found


def check_excluded(variables: list[Variable], node: dict[str, Node], reading: Reading) -> None:
    """`not:` names another label of the same axis; checked when all variables are known."""
    by_name = {variable.name: variable for variable in variables}
    for variable in variables:
        other = by_name.get(variable.excluded or "")
        place = node.get(variable.name)
        if variable.excluded is None or variable.index is None or place is None:
            continue
        what = f"{variable.role}s.{variable.name}.not"
        labels = [v.name for v in variables if v.index is not None and v is not variable]
        if other is None or other.index is None or other is variable:
            reading.problem(
                place,
                f"{what}: expected the name of another label, found '{variable.excluded}'",
                did_you_mean(variable.excluded, labels),
            )
        elif other.index != variable.index:
            reading.problem(
                place,
                f"{what}: '{variable.name}' indexes {variable.index}, but '{other.name}' "
                f"indexes {other.index}",
                "both must index the same axis",
            )


def room_for_excluded(
    variables: list[Variable], sizes: abc.Mapping[str, SizeRule]
) -> dict[str, SizeRule]:
    """The rules of axes that need two entries: of one there is no label but the excluded one."""
    found = {}
    for variable in variables:
        name = str(variable.index)
        if variable.excluded is None or variable.index is None or variable.index.symbols != {name}:
            continue
        rule = sizes.get(name, SizeRule())
        if rule.exactly is None:
            found[name] = SizeRule(minimum=max(rule.minimum, 2))
    return found


def check_chances(
    variables: list[Variable],
    node: dict[str, Node],
    constants: abc.Mapping[str, int | Fraction],
    reading: Reading,
) -> None:
    """``bernoulli(p)`` is a probability; checked when all constants are known."""
    for variable in variables:
        chance, place = variable.domain.chance, node.get(variable.name)
        if chance is None or place is None:
            continue
        what = f"{variable.role}s.{variable.name}.domain"
        unknown = sorted(names_in(chance) - constants.keys())
        if unknown:
            hint = did_you_mean(unknown[0], list(constants)) or "name it under constants:"
            reading.problem(place, f"{what}: no constant is called '{unknown[0]}'", hint)
            continue
        try:
            value = chance_of(chance, constants)
        except (ArithmeticError, ValueError):
            value = -1.0
        if not 0 < value < 1:
            reading.problem(
                place,
                f"{what}: expected a probability between 0 and 1, found {chance}"
                + f" = {value:g}" * (value >= 0 and chance != f"{value:g}"),
            )


def nodes_of(field: str, *sections: Node | None) -> dict[str, Node]:
    """Where a field (`not:`, `domain:`) of each variable stands."""
    found: dict[str, Node] = {}
    for section in sections:
        for entry in section.entries if isinstance(section, Mapping) else ():
            for inner in entry.value.entries if isinstance(entry.value, Mapping) else ():
                if inner.key.text == field:
                    found[entry.key.text] = inner.value
    return found


def _variable(name: str, entry: Entry, role: Role, reading: Reading, scope: Scope) -> Variable:
    what = f"{role}s.{name}"
    place = entry.key.place
    if not isinstance(entry.value, Mapping):
        shape = _shape(entry.value, what, reading, scope)
        return Variable(name, role, shape or (), "real", place)

    fields = reading.fields(entry.value, what, FIELDS)
    shape = None
    if "shape" in fields:
        shape = _shape(fields["shape"].value, f"{what}.shape", reading, scope)
    elif entry.value.entries:
        scope.complete = False
        message, hint = f"{what}: expected a shape, found none", "add shape: [N, D]"
        reading.absent(entry.value, "shape", FIELDS, place, message, hint)
    index = None
    if "index" in fields:
        index = _size(fields["index"].value, f"{what}.index", reading, scope)
    excluded = _excluded(fields, what, reading)
    dtype = _dtype(fields, role, what, reading)
    constant, read = _constant(fields, what, reading)
    domain = Domain()
    if "domain" in fields:
        domain = read_domain(fields["domain"].value, shape, f"{what}.domain", reading)
        if dtype != "real":
            kind = "a label" if dtype == "index" else "a bool input"
            reading.problem(
                fields["domain"].key,
                f"{what}: {kind} has no domain",
                "its values are 0 <= value < index" if dtype == "index" else "",
            )
    return Variable(name, role, shape or (), dtype, place, index, excluded, constant, read, domain)


def _shape(node: Node, what: str, reading: Reading, scope: Scope) -> tuple[Dim, ...] | None:
    if not isinstance(node, Sequence):
        scope.complete = False
        hint = "write [] for a scalar"
        if isinstance(node, Scalar) and not node.is_null:
            hint = f"write [{node.text.strip()}]"
            if node.text.strip() == "TODO":
                hint = "write its shape in place of TODO"
            if "(" in node.text or "," in node.text:
                hint = "a shape stands in square brackets"
        reading.expected(node, what, "a shape such as [N, D]", hint)
        return None
    dims = [_size(item, what, reading, scope) for item in node.items]
    return None if None in dims else tuple(dim for dim in dims if dim is not None)


def _size(node: Node, what: str, reading: Reading, scope: Scope) -> Dim | None:
    size = reading.scalar(node, what, "a size such as N or 2*H", parse_size)
    if size is None or not isinstance(node, Scalar):
        scope.complete = False
        return None
    for name, offset in size.symbols:
        scope.use_size(name, reading.place_in(node, offset), reading)
    return size.dim


def _excluded(fields: dict[str, Entry], what: str, reading: Reading) -> str | None:
    if "not" not in fields:
        return None
    if "index" not in fields:
        reading.problem(
            fields["not"].key,
            f"{what}: 'not' excludes a label, but '{what.partition('.')[2]}' is none",
            "add index: V",
        )
    return reading.name(fields["not"].value, f"{what}.not")


def _dtype(fields: dict[str, Entry], role: Role, what: str, reading: Reading) -> DType:
    dtype: DType = "index" if "index" in fields else "real"
    if role == "parameter" and dtype == "index":
        reading.problem(
            fields["index"].key,
            f"{what}: a parameter is real and has no index",
            "declare labels under inputs:",
        )
    if "dtype" not in fields:
        return dtype
    node = fields["dtype"].value
    text = node.text if isinstance(node, Scalar) else ""
    if text not in ("real", "bool"):
        hint = "write real"
        if text.startswith(("int", "uint", "long", "index")):
            hint = "a label is declared by index: C, the size of the axis that it indexes"
        reading.expected(node, f"{what}.dtype", "real or bool", hint)
        return dtype
    if dtype == "index":
        reading.problem(
            node,
            f"{what}: a label (index:) is an integer, found dtype: {text}",
            "remove dtype: or index:",
        )
        return dtype
    return "bool" if text == "bool" else "real"


def _constant(fields: dict[str, Entry], what: str, reading: Reading) -> tuple[bool, bool]:
    """`constant` and `read`; what the user's code draws is never differentiated."""
    values: dict[str, bool | None] = {}
    for key in ("constant", "read"):
        if key in fields:
            values[key] = reading.scalar(
                fields[key].value, f"{what}.{key}", "true or false", parse_truth
            )
    if values.get("read") and values.get("constant") is False:
        reading.problem(
            fields["constant"].value,
            f"{what}: 'read: true' is drawn by the user's code, so it cannot be 'constant: false'",
            "remove constant:",
        )
    read = values.get("read") is True
    return read or values.get("constant") is True, read
