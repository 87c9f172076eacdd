"""Functions: another one, none, other arguments."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from tests.mutation.key import (
    ALL_AXES,
    AXIS,
    COUNTED,
    INVERTED,
    MASK,
    NUMERIC,
    SIGN,
    TRANSPOSED,
    Codes,
    another,
    codes,
    of_lost,
    of_place,
)
from tests.mutation.site import Site
from tests.mutation.syntax import argument, callee, is_label

Found = Iterator[tuple[ast.AST | None, Codes, str]]

_FUNCTION = codes("wrong-function")
# Which function stands for which, and what that is called.
_SIBLINGS: dict[str, tuple[str, Codes]] = {
    "exp": ("log", _FUNCTION),
    "log": ("exp", _FUNCTION),
    "sqrt": ("square", _FUNCTION | codes("power")),  # a root is a power, too
    "square": ("sqrt", _FUNCTION | codes("power")),
    "sign": ("abs", _FUNCTION),
    "abs": ("sign", _FUNCTION),
    "sin": ("cos", _FUNCTION),
    "cos": ("sin", _FUNCTION),
    "log1p": ("log", _FUNCTION),
    "expm1": ("exp", _FUNCTION | codes("missing-term")),
    "tanh": ("sinh", _FUNCTION),
    # Which entry a maximum takes, which entries a bound lets through: a condition turned around.
    "maximum": ("minimum", _FUNCTION | MASK),
    "minimum": ("maximum", _FUNCTION | MASK),
    "max": ("min", _FUNCTION | MASK),
    "min": ("max", _FUNCTION | MASK),
    "argmax": ("argmin", _FUNCTION | MASK),
    "argmin": ("argmax", _FUNCTION | MASK),
    "zeros": ("ones", codes("accumulated constant")),
    "zeros_like": ("ones_like", codes("accumulated constant")),
    "ones": ("zeros", codes("zero constant missing-path")),
    "ones_like": ("zeros_like", codes("zero constant missing-path")),
    "triu": ("tril", MASK),
    "tril": ("triu", MASK),
    "floor": ("ceil", _FUNCTION),
    "multiply": ("add", codes("operator")),
    "add": ("multiply", codes("operator")),
    "subtract": ("add", SIGN),
    "divide": ("multiply", INVERTED),
}
_WITHOUT_DROP = ("sum", "mean", "copy", "range", "len", "zeros", "ones", "int", "float", "zip")


def reductions(site: Site) -> Found:
    """A mean for a sum, a sum for a mean, neither."""
    node = site.node
    if not isinstance(node, ast.Call) or callee(node) not in ("sum", "mean"):
        return
    if not isinstance(node.func, ast.Attribute):
        return
    other, code = ("mean", "mean-for-sum") if callee(node) == "sum" else ("sum", "sum-for-mean")
    new = copy.deepcopy(node)
    assert isinstance(new.func, ast.Attribute)
    new.func.attr = other
    yield new, codes(f"{code} scale"), "reduction"
    inner = argument(node)
    if inner is not None:
        yield inner, codes("missing-sum"), "reduction"


def keywords(site: Site) -> Found:
    """An axis or keepdims left out; where an axis is given by place, too."""
    node = site.node
    if not isinstance(node, ast.Call):
        return
    chosen = MASK if callee(node) in ("max", "min", "argmax", "argmin") else codes()
    for keyword in node.keywords:
        new = copy.deepcopy(node)
        new.keywords = [k for k in new.keywords if k.arg != keyword.arg]
        accepted = ALL_AXES | chosen if keyword.arg == "axis" else AXIS | TRANSPOSED
        yield new, accepted, "keyword"
    for place, given in enumerate(node.args):
        inside = Site(given, [*site.parents, node], site.values, site.gradients)
        if inside.in_axis() and callee(node) in ("sum", "mean", "max", "min", "argmax"):
            yield (
                ast.Call(node.func, node.args[:place], node.keywords),
                ALL_AXES | chosen,
                "keyword",
            )


def functions(site: Site) -> Found:
    """Another function, or what it is applied to."""
    node = site.node
    if not isinstance(node, ast.Call):
        return
    name = callee(node)
    numpy_or_method = isinstance(node.func, ast.Attribute)
    if name in _SIBLINGS and numpy_or_method:
        sibling, accepted = _SIBLINGS[name]
        new = copy.deepcopy(node)
        assert isinstance(new.func, ast.Attribute)
        new.func.attr = sibling
        yield new, (of_place(site) or codes()) | accepted | _number(site), "function"
    if name == "reversed":
        yield node.args[0], codes("step-order"), "function"
    elif name in ("dot", "matmul") and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
        left = node.args[0]
        accepted = of_lost(site, node.func.value, left) | another(site, left, node)
        yield node.args[0], accepted, "function"
    elif name not in _WITHOUT_DROP and len(node.args) == 1 and not node.keywords:
        inner = argument(node)
        if inner is not node.args[0]:  # a method with an argument is another thing
            return
        if name in ("zeros_like", "empty_like", "ones_like"):
            accepted = codes("accumulated")
        else:
            accepted = _FUNCTION | _number(site)
            accepted |= MASK if site.is_switch(node) else codes()
            if name == "cumsum":  # what adds up the parts of all that comes before is no function
                accepted |= codes("missing-sum missing-path")
            if is_label(inner):  # logvar stands where exp(logvar) belongs
                accepted |= codes("wrong-tensor")
        yield inner, (of_place(site) or codes()) | accepted, "function"


def copies(site: Site) -> Found:
    """No copy: what is changed in place is changed for others, too."""
    node = site.node
    if (
        isinstance(node, ast.Call)
        and callee(node) == "copy"
        and isinstance(node.func, ast.Attribute)
    ):
        inner = node.func.value if not node.args else node.args[0]
        # The other holder of the array gets a part too many, or a factor.
        yield inner, codes("accumulated extra-factor stale"), "function"


def choices(site: Site) -> Found:
    """np.where without its condition or turned around; np.clip without its bounds."""
    node = site.node
    if not isinstance(node, ast.Call):
        return
    if callee(node) == "where" and len(node.args) == 3:
        condition, one, other = node.args
        yield ast.Call(node.func, [condition, other, one], []), MASK, "swapped"
        for kept, lost in ((one, other), (other, one)):
            # Of where(c, a, 0) a is left, without its mask; of where(c, a, b) one of two cases.
            accepted = MASK | codes("missing-path missing-term")
            accepted |= of_lost(site, lost, kept) if not site.is_number(lost) else codes()
            if site.is_number(kept):  # the number is a slope, or nothing at all
                accepted |= codes("scale")
            yield kept, accepted, "left out"
    elif callee(node) == "clip":
        inner = argument(node)
        if inner is not None:
            yield inner, MASK | codes("guard"), "left out"


def subscripts(site: Site) -> Found:
    """Two neighbouring letters of an einsum change places: an operand or the result transposed."""
    node = site.node
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return
    call = site.parent
    if not isinstance(call, ast.Call) or callee(call) != "einsum" or call.args[0] is not node:
        return
    parts = node.value.replace(" ", "").replace("->", ",").split(",")
    for k, part in enumerate(parts):
        for place in range(len(part) - 1):
            turned = part[:place] + part[place + 1] + part[place] + part[place + 2 :]
            changed = [*parts[:k], turned, *parts[k + 1 :]]
            text = ",".join(changed[:-1]) + "->" + changed[-1]
            yield ast.Constant(text), TRANSPOSED | AXIS, "einsum"


def _number(site: Site) -> Codes:
    """A function of a number gives another constant factor."""
    number = isinstance(site.node, ast.expr) and site.is_number(site.node)
    return NUMERIC - COUNTED if number else codes()  # the root of a count averages nothing


OPERATORS = (reductions, keywords, functions, copies, choices, subscripts)
