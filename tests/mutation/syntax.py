"""What a function's text alone says of its names and calls: labels, gradients, factors."""

from __future__ import annotations

import ast


def gradients_in(function: ast.FunctionDef) -> frozenset[str]:
    """Names that hold a gradient: those that begin with d, and what is made of them.

    What is taken out of the cache (dist, diff) is a value of the forward pass.
    """
    kept = _kept_in(function)
    names_of = [n.id for n in ast.walk(function) if isinstance(n, ast.Name)]
    names_of = [n for n in names_of if n not in kept] + [a.arg for a in function.args.args]
    found, size = {n for n in names_of if n.startswith("d")}, -1
    while size < len(found):
        size = len(found)
        for target, value in assignments(function):
            made = {label_of(n) for n in ast.walk(value) if is_label(n)}
            found |= {target} if made & found else set()
    return frozenset(found)


def taken_in(function: ast.FunctionDef) -> set[str]:
    """Names of what the forward pass kept, and of arguments that are no gradient."""
    return _kept_in(function) | {a.arg for a in function.args.args if not a.arg.startswith("d")}


def _kept_in(function: ast.FunctionDef) -> set[str]:
    kept = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and not _is_computed(node.value):
            kept |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return kept


def _is_computed(node: ast.expr) -> bool:
    """Whether a value is made here, and not only taken: cache, cache["x"], self.x, x.shape."""
    match node:
        case ast.Tuple(elts=parts):
            return any(_is_computed(p) for p in parts)
        case ast.Name(id=name):
            return name.startswith("d")
        case ast.Subscript(value=inner) | ast.Attribute(value=inner):
            return _is_computed(inner)
    return True


def assignments(function: ast.AST) -> list[tuple[str, ast.expr]]:
    return [
        (label_of(n.targets[0]), n.value)
        for n in ast.walk(function)
        if isinstance(n, ast.Assign) and is_label(n.targets[0])
    ]


def changes_of(function: ast.AST, name: str) -> list[ast.expr]:
    """What multiplies a variable in place, and the conditions that set entries of it."""
    found: list[ast.expr] = []
    for n in ast.walk(function):
        match n:
            case ast.AugAssign(target=target, op=ast.Mult() | ast.Div(), value=value):
                if is_label(target) and label_of(target) == name:
                    found.append(value)
        match n:
            case (
                ast.Assign(targets=[ast.Subscript(value=base, slice=ast.Compare() as chosen)])
                | ast.AugAssign(target=ast.Subscript(value=base, slice=ast.Compare() as chosen))
            ):
                if is_label(base) and label_of(base) == name:
                    found.append(chosen)
    return found


def factors_of(node: ast.expr) -> list[ast.expr]:
    """What is multiplied, by elements or as matrices; a copy or a transpose is the value itself."""
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Div() | ast.MatMult()):
            return [*factors_of(node.left), *factors_of(node.right)]
        case ast.Call(func=ast.Attribute(attr="multiply" | "dot" | "matmul", value=owner)):
            first = [] if isinstance(owner, ast.Name) and owner.id == "np" else [owner]
            return [f for a in [*first, *node.args] for f in factors_of(a)]
        case (
            ast.Call(func=ast.Attribute(attr="copy", value=inner))
            | ast.Attribute(attr="T", value=inner)
        ):
            return factors_of(inner)
    return [node]


def is_range(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    )


def is_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def is_label(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) or is_self(node)


def label_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"self.{node.attr}"
    assert isinstance(node, ast.Name)
    return node.id


def labelled(label: str) -> ast.expr:
    if not label.startswith("self."):
        return ast.Name(label, ast.Load())
    return ast.Attribute(ast.Name("self", ast.Load()), label.removeprefix("self."), ast.Load())


def is_given_to(node: ast.AST, statement: ast.AST) -> bool:
    """Whether a statement gives the name or place that a node reads another value."""
    if not isinstance(statement, ast.Assign):
        return False
    return ast.unparse(node) in map(ast.unparse, statement.targets)


def callee(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def is_numpy(function: ast.expr) -> bool:
    return ast.unparse(function).startswith("np.")


def argument(node: ast.Call) -> ast.expr | None:
    """What a function is applied to, written np.sum(x) or x.sum()."""
    match node.func:
        case ast.Attribute(value=ast.Name(id="np")) | ast.Name():
            return node.args[0] if node.args else None
        case ast.Attribute(value=inner):
            return inner
    return None


def is_shape(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "shape"
    )
