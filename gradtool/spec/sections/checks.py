"""`check:`: how the user's own code is called, and where its gradients are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import Literal

from gradtool.spec.model import Block, Check, Variable
from gradtool.spec.names import name_fault, normal_name, shown
from gradtool.spec.scalars import ScalarError, parse_constant
from gradtool.spec.sections.code import check_python, read_block
from gradtool.spec.sections.reading import Reading
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.yamltree import Entry, Mapping, Node, Scalar

FIELDS = ("setup", "forward", "backward", "gradients", "grads", "scale", "upstream", "load")
LOAD_FIELDS = ("root", "only", "python", "provide")


def read_check(node: Node, variables: Sequence[Variable], reading: Reading) -> Check:
    """The whole block; every piece of Python in it is parsed, none is run."""
    if isinstance(node, Scalar) and not node.is_null:
        reading.expected(
            node,
            "check",
            "a mapping",
            "write 'forward: …' and 'backward: …' on lines of their own under check:",
        )
        return Check()
    fields = reading.fields(node, "check", FIELDS)

    def snippet(key: str) -> Block | None:
        if key not in fields:
            return None
        return _python(fields[key].value, f"check.{key}", "exec", reading)

    def expressions(key: str) -> dict[str, Block]:
        return _expressions(fields.get(key), f"check.{key}", variables, reading)

    upstream, upstream_scale = _upstream(fields.get("upstream"), reading)
    root, only, python, provide = _load(fields.get("load"), reading)
    return Check(
        setup=snippet("setup"),
        forward=snippet("forward"),
        backward=snippet("backward"),
        gradients=_gradients(fields.get("gradients"), variables, reading),
        grads=expressions("grads"),
        scale=expressions("scale"),
        upstream=upstream,
        upstream_scale=upstream_scale,
        load_root=root,
        load_only=only,
        load_python=python,
        provide=provide,
    )


def _python(
    node: Node, what: str, mode: Literal["exec", "eval"], reading: Reading, key: str = ""
) -> Block | None:
    block = read_block(node, what, reading, key)
    if block is not None:
        check_python(block, mode, what, reading)
    return block


def _gradients(
    entry: Entry | None, variables: Sequence[Variable], reading: Reading
) -> tuple[str, ...] | None:
    if entry is None:
        return None
    names = reading.names(entry.value, "check.gradients", "[X, W]")
    if names is None:
        return None
    kept = [n for n, node in names if _has_gradient(n, node, "check.gradients", variables, reading)]
    return tuple(kept)


def _expressions(
    entry: Entry | None, what: str, variables: Sequence[Variable], reading: Reading
) -> dict[str, Block]:
    found = {}
    for name, inner in reading.named_entries(entry.value, what) if entry else ():
        block = _python(inner.value, f"{what}.{name}", "eval", reading)
        if _has_gradient(name, inner.key, what, variables, reading) and block is not None:
            found[name] = block
    return found


def _has_gradient(
    name: str, node: Node, what: str, variables: Sequence[Variable], reading: Reading
) -> bool:
    for variable in variables:
        if variable.name == name:
            if not variable.differentiable:
                reason = "a label" if variable.index is not None else "not differentiated"
                reading.problem(
                    node, f"{what}: '{name}' has no gradient: it is {reason}", "remove it"
                )
            return variable.differentiable
    known = [variable.name for variable in variables if variable.differentiable]
    hint = did_you_mean(name, known)
    if name.startswith("d") and name[1:] in known:
        hint = f"write {name[1:]}: gradients are listed by the names of their variables"
    reading.problem(node, f"{what}: no input or parameter is called '{name}'", hint)
    return False


def _upstream(entry: Entry | None, reading: Reading) -> tuple[str | None, Fraction | None]:
    if entry is None:
        return None, None
    node, what = entry.value, "check.upstream"
    if isinstance(node, Mapping):
        fields = reading.fields(node, what, ("scale",))
        if "scale" not in fields:
            return None, None
        return None, reading.scalar(
            fields["scale"].value, f"{what}.scale", "a number", _positive(parse_constant)
        )
    if isinstance(node, Scalar) and node.text in ("one-hot", "ones"):
        return node.text, None
    hint = "did you mean 'one-hot'?" if isinstance(node, Scalar) and "hot" in node.text else ""
    reading.expected(node, what, "one-hot, ones or {scale: 1e-3}", hint)
    return None, None


def _positive(parse: Callable[[str], int | Fraction]) -> Callable[[str], Fraction]:
    def parsed(text: str) -> Fraction:
        value = Fraction(parse(text))
        if value <= 0:
            raise ScalarError(f"expected a positive number, found '{text}'")
        return value

    return parsed


def _load(
    entry: Entry | None, reading: Reading
) -> tuple[str | None, str | None, int | None, dict[str, Block]]:
    if entry is None:
        return None, None, None, {}
    what = "check.load"
    fields = reading.fields(entry.value, what, LOAD_FIELDS)
    root = only = python = None
    if "root" in fields:
        root = reading.text(fields["root"].value, f"{what}.root")
        if root is not None and "\0" in root:
            reading.problem(fields["root"].value, f"{what}.root: a path holds no NUL character")
    if "only" in fields:
        node = fields["only"].value
        if isinstance(node, Scalar) and node.text == "definitions":
            only = node.text
        else:
            reading.expected(node, f"{what}.only", "definitions")
    if "python" in fields:
        node = fields["python"].value
        if isinstance(node, Scalar) and node.text in ("2", "3"):
            python = int(node.text)
        else:
            reading.expected(node, f"{what}.python", "2, for a file of Python 2")
    provide = {}
    inner = f"{what}.provide"
    modules = reading.mapping(fields["provide"].value, inner) if "provide" in fields else ()
    for module in modules or ():
        name = _module_name(module.key, inner, reading)
        if name is None:
            continue
        block = _python(module.value, f"{inner}.{name}", "exec", reading, key=name)
        if block is not None:
            provide[name] = block
    return root, only, python, provide


def _module_name(key: Scalar, what: str, reading: Reading) -> str | None:
    """A module's dotted name."""
    name = normal_name(key.text)
    is_file = name.endswith(".py")
    if not is_file and all(name_fault(part) is None for part in name.split(".")):
        return name
    hint = f"write {PurePath(name).stem}" if is_file else "such as utils or course.utils"
    reading.problem(key, f"{what}: expected the name of a module, found {shown(name)}", hint)
    return None
