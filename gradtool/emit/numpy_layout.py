"""Long expressions over several lines, broken where formatters break them."""

from __future__ import annotations

from gradtool.emit.numpy_text import numpy_text
from gradtool.ir.tree import Call, Items, Name, Tree, call

WIDTH = 84  # four less than the usual 88: the lines stand in a function

_GROUPS = ((("add", "sub"), "+-"), (("mul", "div", "matmul"), "*/@"))


def assignment(target: str, operator: str, tree: Tree) -> tuple[str, ...]:
    """``target = tree`` in lines of readable length."""
    whole = f"{target} {operator} {numpy_text(tree)}"
    if len(whole) <= WIDTH:
        return (whole,)
    chain = _chain(tree)
    if chain is not None:
        first = _operand(tree, chain[0][1], True)
        tail = " ".join(f"{symbol} {_operand(tree, part, False)}" for symbol, part in chain[1:])
        if first.startswith("(") and len(tail) < WIDTH // 2:
            inner = _broken(chain[0][1], WIDTH - 4, "")
            return (f"{target} {operator} (", *_indented(inner), f") {tail}")
        return (f"{target} {operator} (", *_indented(_broken(tree, WIDTH - 4, "")), ")")
    start, *rest = _broken(tree, WIDTH - len(target) - len(operator) - 2, "")
    return (f"{target} {operator} {start}", *rest)


def _broken(tree: Tree, width: int, after: str) -> list[str]:
    """The lines of an expression; `after` follows its last character."""
    whole = numpy_text(tree) + after
    if len(whole) <= width:
        return [whole]
    chain = _chain(tree)
    if chain is not None:
        lines: list[str] = []
        for number, (symbol, part) in enumerate(chain):
            shown = _operand(tree, part, number == 0)
            head = f"{symbol} " if symbol else ""
            end = after if number == len(chain) - 1 else ""
            if len(head) + len(shown) + len(end) > width and shown.startswith("("):
                inner = _broken(part, width - 4, "")
                lines += [f"{head}(", *_indented(inner), f"){end}"]
            elif len(head) + len(shown) + len(end) > width:
                first, *rest = _broken(part, width, end)
                lines += [head + first, *rest]
            else:
                lines.append(head + shown + end)
        return lines
    split = _call(tree)
    if split is None:
        return [whole]
    opening, arguments, closing = split
    flat = ", ".join(numpy_text(a) if not k else f"{k}={numpy_text(a)}" for k, a in arguments)
    if len(flat) <= width - 4:
        return [opening, f"    {flat}", closing + after]
    inner = []
    for keyword, argument in arguments:
        head = f"{keyword}=" if keyword else ""
        first, *rest = _broken(argument, width - 4 - len(head), ",")
        inner += [head + first, *rest]
    return [opening, *_indented(inner), closing + after]


def _chain(tree: Tree) -> list[tuple[str, Tree]] | None:
    """The operands of the outermost sum or product, each with the operator before it."""
    for group, symbols in _GROUPS:
        if isinstance(tree, Call) and tree.op in group and len(tree.args) == 2:
            parts: list[tuple[str, Tree]] = []
            rest: Tree = tree
            while isinstance(rest, Call) and rest.op in group and len(rest.args) == 2:
                parts.append((symbols[group.index(rest.op)], rest.args[1]))
                rest = rest.args[0]
            return [("", rest), *reversed(parts)]
    return None


def _operand(parent: Tree, tree: Tree, first: bool) -> str:
    """The text of an operand of a chain, in brackets where its place needs them."""
    assert isinstance(parent, Call)
    probe = Name("_")
    empty = len(numpy_text(call(parent.op, probe, probe))) - 1
    if first:
        return numpy_text(call(parent.op, tree, probe))[:-empty]
    return numpy_text(call(parent.op, probe, tree))[empty:]


def _call(tree: Tree) -> tuple[str, list[tuple[str, Tree]], str] | None:
    """A function call or a tuple as opening, arguments and closing."""
    if isinstance(tree, Items) and len(tree.items) > 1:
        return "(", [("", item) for item in tree.items], ")"
    if not isinstance(tree, Call) or not tree.args:
        return None
    whole = numpy_text(tree)
    arguments = [*(("", a) for a in tree.args), *tree.kwargs]
    opening = f"{tree.op}("
    if whole.startswith(opening) and whole.endswith(")"):
        return opening, arguments, ")"
    receiver = numpy_text(tree.args[0])
    if whole.startswith(f"{receiver}.{opening}") and len(receiver) < WIDTH // 2:
        return f"{receiver}.{opening}", arguments[1:], ")"
    return None


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
