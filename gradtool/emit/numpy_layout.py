"""Long expressions over several lines, broken where formatters break them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gradtool.emit.numpy_printer import numpy_text
from gradtool.ir.tree import Call, Items, Name, Tree, call

Show: TypeAlias = Callable[[Tree], str]

WIDTH = 84  # four less than the usual 88: the lines stand in a function

_GROUPS = ((("add", "sub"), "+-"), (("mul", "div", "matmul"), "*/@"))


def assignment(
    target: str, operator: str, tree: Tree, show: Show = numpy_text, width: int = WIDTH
) -> tuple[str, ...]:
    """``target = tree`` in lines of readable length; `show` gives the text of an expression."""
    whole = f"{target} {operator} {show(tree)}"
    if len(whole) <= width:
        return (whole,)
    chain = _chain(tree)
    if chain is not None:
        first = _operand(tree, chain[0][1], True, show)
        tail = " ".join(
            f"{symbol} {_operand(tree, part, False, show)}" for symbol, part in chain[1:]
        )
        if first.startswith("(") and len(tail) < width // 2:
            inner = _broken(chain[0][1], width - 4, "", show)
            return (f"{target} {operator} (", *_indented(inner), f") {tail}")
        return (f"{target} {operator} (", *_indented(_broken(tree, width - 4, "", show)), ")")
    start, *rest = _broken(tree, width - len(target) - len(operator) - 2, "", show)
    return (f"{target} {operator} {start}", *rest)


def _broken(tree: Tree, width: int, after: str, show: Show) -> list[str]:
    """The lines of an expression; `after` follows its last character."""
    whole = show(tree) + after
    if len(whole) <= width:
        return [whole]
    chain = _chain(tree)
    if chain is not None:
        lines: list[str] = []
        for number, (symbol, part) in enumerate(chain):
            shown = _operand(tree, part, number == 0, show)
            head = f"{symbol} " if symbol else ""
            end = after if number == len(chain) - 1 else ""
            bracketed = shown == f"({show(part)})"
            if len(head) + len(shown) + len(end) > width and bracketed:
                inner = _broken(part, width - 4, "", show)
                lines += [f"{head}(", *_indented(inner), f"){end}"]
            elif len(head) + len(shown) + len(end) > width:
                first, *rest = _broken(part, width, end, show)
                lines += [head + first, *rest]
            else:
                lines.append(head + shown + end)
        return lines
    if isinstance(tree, Call) and tree.op == "lambda":
        head = show(Call("lambda", (tree.args[0], Name("_"))))[:-1]
        first, *rest = _broken(tree.args[1], width - len(head), after, show)
        return [head + first, *rest]
    split = _call(tree, show)
    if split is None:
        return _method(tree, width, after, show) or [whole]
    opening, arguments, closing = split
    flat = ", ".join(show(a) if not k else f"{k}={show(a)}" for k, a in arguments)
    if len(flat) <= width - 4:
        return [opening, f"    {flat}", closing + after]
    inner = []
    for keyword, argument in arguments:
        head = f"{keyword}=" if keyword else ""
        first, *rest = _broken(argument, width - 4 - len(head), ",", show)
        inner += [head + first, *rest]
    return [opening, *_indented(inner), closing + after]


def _method(tree: Tree, width: int, after: str, show: Show) -> list[str] | None:
    """A method of a long expression: that is broken, in brackets, and the method follows it."""
    if not isinstance(tree, Call) or not tree.args:
        return None
    receiver = _operand(call("getitem", Name("_"), Name("_")), tree.args[0], True, show)
    whole = show(tree)
    if not whole.startswith(f"{receiver}."):
        return None
    tail = whole.removeprefix(receiver) + after
    if receiver.startswith("("):
        lines = ["(", *_indented(_broken(tree.args[0], width - 4, "", show)), ")"]
    else:
        lines = _broken(tree.args[0], width, "", show)
    within = [*(("", a) for a in tree.args[1:]), *tree.kwargs]
    if len(lines[-1]) + len(tail) <= width or not within:  # .T has nothing that could be broken
        return [*lines[:-1], lines[-1] + tail]
    inner: list[str] = []
    for keyword, argument in within:
        head = f"{keyword}=" if keyword else ""
        first, *rest = _broken(argument, width - 4 - len(head), ",", show)
        inner += [head + first, *rest]
    return [*lines[:-1], f"{lines[-1]}.{tree.op}(", *_indented(inner), ")" + after]


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


def _operand(parent: Tree, tree: Tree, first: bool, show: Show) -> str:
    """The text of an operand of a chain, in brackets where its place needs them."""
    assert isinstance(parent, Call)
    probe = Name("_")
    empty = len(show(call(parent.op, probe, probe))) - 1
    if first:
        return show(call(parent.op, tree, probe))[:-empty]
    return show(call(parent.op, probe, tree))[empty:]


def _call(tree: Tree, show: Show) -> tuple[str, list[tuple[str, Tree]], str] | None:
    """A function call, a subscript or a tuple as opening, arguments and closing."""
    if isinstance(tree, Items) and len(tree.items) > 1:
        return "(", [("", item) for item in tree.items], ")"
    if not isinstance(tree, Call) or not tree.args:
        return None
    if tree.op == "getitem" and isinstance(tree.args[1], Items) and len(tree.args[1].items) > 1:
        receiver = show(call("getitem", tree.args[0], Name("_"))).removesuffix("_]")
        return receiver, [("", item) for item in tree.args[1].items], "]"
    whole = show(tree)
    arguments = [*(("", a) for a in tree.args), *tree.kwargs]
    opening = f"{tree.op}("
    if whole.startswith(opening) and whole.endswith(")"):
        return opening, arguments, ")"
    receiver = show(tree.args[0])
    if whole.startswith(f"{receiver}.{opening}") and len(receiver) < WIDTH // 2:
        return f"{receiver}.{opening}", arguments[1:], ")"
    return None


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
