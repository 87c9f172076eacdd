"""The constructor of a dataclass, which no text shows: its parameters are the annotated names."""

from __future__ import annotations

import ast

from gradtool.records import Struct


class _Field(Struct, frozen=True):
    """`default` is None where there is none, or where its text is no constant."""

    name: str
    required: bool
    default: ast.Constant | None


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is decorated as one."""
    called = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return any(_last_name(one) == "dataclass" for one in called)


def init_of(node: ast.ClassDef) -> ast.FunctionDef:
    """The constructor that `dataclasses` writes for a class; what it does for its defaults is
    not said.
    """
    fields = sorted(_fields(node), key=lambda field: not field.required)
    head = [f.name if f.required else f"{f.name}=..." for f in fields]
    lines = [f"    self.{f.name} = {f.name}" for f in fields] or ["    pass"]
    text = "\n".join((f"def __init__({', '.join(['self', *head])}):", *lines))
    (init,) = ast.parse(text).body
    assert isinstance(init, ast.FunctionDef)
    told = [field.default for field in fields if not field.required]
    init.args.defaults = [
        default or unknown for default, unknown in zip(told, init.args.defaults, strict=True)
    ]
    for inner in ast.walk(init):
        ast.copy_location(inner, node)
    return init


def _fields(node: ast.ClassDef) -> list[_Field]:
    found = []
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
                if "ClassVar" in ast.unparse(kind):
                    continue
                options: dict[str, ast.expr] = {}
                if isinstance(value, ast.Call) and _last_name(value.func) == "field":
                    options = {one.arg: one.value for one in value.keywords if one.arg}
                    if "init" in options and ast.unparse(options["init"]) == "False":
                        continue
                    value = options.get("default")
                required = value is None and "default_factory" not in options
                default = value if isinstance(value, ast.Constant) else None
                found.append(_Field(name, required, default))
    return found


def _last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
