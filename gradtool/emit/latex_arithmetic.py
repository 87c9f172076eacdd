"""Arithmetic, conditions and matrices in LaTeX."""

from __future__ import annotations

from gradtool.emit.latex_tree import (
    ATOM,
    BIG,
    HADAMARD,
    MATMUL,
    POWER,
    SCALAR,
    SUM,
    Printer,
    Shown,
    bracketed,
    held,
)
from gradtool.ir.tree import Call, Tree, call, integer

# -- arithmetic ---------------------------------------------------------------------------


def show_add(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = p.show(tree.args[0]), p.show(tree.args[1])
    least = BIG if tree.op == "sub" else SUM
    sign = "-" if tree.op == "sub" else "+"
    return Shown(f"{left.text} {sign} {held(right, least)}", SUM)


def show_neg(p: Printer, tree: Call) -> Shown | None:
    inner = p.show(tree.args[0])
    return Shown("-" + held(inner, BIG), max(inner.strength, BIG), True)


def show_pos(p: Printer, tree: Call) -> Shown | None:
    return p.show(tree.args[0])


def show_mul(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = tree.args
    scalar = 0 in (p.rank(left), p.rank(right))
    return p.product(p.show(left), p.show(right), SCALAR if scalar else HADAMARD)


def show_div(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    above, below = tree.args
    arrays = 0 not in (p.rank(above), p.rank(below))
    return p.fraction(p.show(above), p.show(below), arrays=arrays)


def show_floordiv(p: Printer, tree: Call) -> Shown | None:
    above, below = (p.text(a) for a in tree.args)
    return Shown(f"\\left\\lfloor \\frac{{{above}}}{{{below}}} \\right\\rfloor")


def show_reciprocal(p: Printer, tree: Call) -> Shown | None:
    return p.fraction(Shown("1"), p.show(tree.args[0]), arrays=False)


def show_pow(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    base, exponent = tree.args
    sign = "" if p.rank(base) == 0 == p.rank(exponent) else "\\odot "
    return Shown(f"{p.within(base, ATOM)}^{{{sign}{p.text(exponent)}}}", POWER)


def show_square(p: Printer, tree: Call) -> Shown | None:
    return show_pow(p, call("pow", tree.args[0], integer(2)))


def show_sqrt(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\sqrt{{{p.text(tree.args[0])}}}")


def show_abs(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\left|{p.text(tree.args[0])}\\right|")


def show_log_base(p: Printer, tree: Call) -> Shown | None:
    base = tree.op.removeprefix("log")
    return Shown(f"\\log_{{{base}}}{bracketed(p.text(tree.args[0]))}", POWER)


def show_log1p(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\log{bracketed('1 + ' + p.within(tree.args[0], BIG))}", POWER)


def show_expm1(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\exp{bracketed(p.text(tree.args[0]))} - 1", SUM)


# -- conditions ---------------------------------------------------------------------------


def show_indicator(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\mathbf{{1}}\\left[{p.condition(tree)}\\right]")


def show_where(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 3:
        return None
    test, yes, no = tree.args
    return Shown(
        f"\\begin{{cases}} {p.text(yes)} & \\text{{if }} {p.condition(test)} \\\\ "
        f"{p.text(no)} & \\text{{otherwise}} \\end{{cases}}",
        SUM,
    )


# -- matrices -----------------------------------------------------------------------------


def show_matmul(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    left, right = tree.args
    ranks = p.rank(left), p.rank(right)
    if tree.op == "dot":
        if 0 in ranks:
            return show_mul(p, tree)
        if None in ranks or max(r or 0 for r in ranks) > 2:
            return None
    first, second = p.show(left), p.show(right)
    if ranks[0] == 1 and not _is_row(p, left):
        first = _turned(first)
    if _is_row(p, right):
        second = _turned(second)
    return p.product(first, second, MATMUL)


def _is_row(p: Printer, tree: Tree) -> bool:
    """A vector that is written as a row: ``v @ A`` is v^T A."""
    match tree:
        case Call(op="matmul" | "dot", args=(left, right)):
            return p.rank(left) == 1 and (p.rank(right) or 0) > 1
        case Call(op="neg", args=(inner,)):
            return _is_row(p, inner)
        case Call(op="add" | "sub", args=(left, right)):
            return _is_row(p, left) and _is_row(p, right)
        case Call(op="mul" | "div", args=(left, right)):
            arrays = [a for a in (left, right) if p.rank(a) != 0]
            return len(arrays) == 1 and _is_row(p, arrays[0])
    return False


def _turned(shown: Shown) -> Shown:
    return Shown(f"{held(shown, ATOM)}^{{\\top}}", POWER)


def show_outer(p: Printer, tree: Call) -> Shown | None:
    if [p.rank(a) for a in tree.args] != [1, 1]:
        return None
    column, row = tree.args
    left, right = p.show(column), p.show(row)
    left = _turned(left) if _is_row(p, column) else left
    if not _is_row(p, row):
        right = _turned(right)
    elif right.strength == MATMUL:
        right = Shown(right.text, POWER, right.minus)  # a product of matrices needs no brackets
    return p.product(left, right, MATMUL)


def show_inverse(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"{p.within(tree.args[0], ATOM)}^{{-1}}", POWER)


def show_solve(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 2:
        return None
    inverse = Shown(f"{p.within(tree.args[0], ATOM)}^{{-1}}", POWER)
    return p.product(inverse, p.show(tree.args[1]), MATMUL)


def show_logdet(p: Printer, tree: Call) -> Shown | None:
    return Shown(f"\\log\\left|\\det{bracketed(p.text(tree.args[0]))}\\right|", POWER)


def show_norm(p: Printer, tree: Call) -> Shown | None:
    if len(tree.args) != 1 or tree.kwargs:
        return None
    kind = {1: "_{2}", 2: "_{F}"}.get(p.rank(tree.args[0]) or 0, "")
    return Shown(f"\\left\\lVert {p.text(tree.args[0])} \\right\\rVert{kind}")
