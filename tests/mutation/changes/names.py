"""Another value of the same shape, another transpose, another order of results."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from tests.mutation.key import (
    AXIS,
    INVERTED,
    LEFT_OUT,
    MASK,
    PLACE,
    SIGN,
    TENSOR,
    TRANSPOSED,
    Codes,
    another,
    codes,
    of_exponent,
    of_lost,
    of_place,
)
from tests.mutation.site import Site
from tests.mutation.syntax import callee, is_label, is_self, label_of, labelled

_JOINING = ("concatenate", "hstack", "vstack", "stack", "append")

Found = Iterator[tuple[ast.AST | None, Codes, str]]


def names(site: Site) -> Found:
    """Another local variable, or attribute of self, of the same shape."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Attribute) or not is_label(node):
        return
    if not isinstance(node.ctx, ast.Load) or isinstance(site.parent, ast.Tuple):
        return
    own_name, own = label_of(node), site.values.get(label_of(node))
    if not isinstance(own, np.ndarray):
        return
    for name, value in site.values.items():
        if name == own_name or not isinstance(value, np.ndarray) or value.shape != own.shape:
            continue
        if is_self(node) and "." not in name:
            continue
        yield labelled(name), _accepted(site, own_name, name), "name"


def _accepted(site: Site, own: str, name: str) -> Codes:
    """Another value; what it lacks, or has in addition, where one is made of the other."""
    new = labelled(name)
    parent = site.parent
    if isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Store):
        # dx[i] = …, dx[i] += …: nothing arrives in dx, and what does is added to another array.
        return codes("zero missing-path accumulated wrong-gradient wrong-tensor")
    found = another(site, new, site.node)
    if site.in_condition():  # the condition looks at another value
        found |= MASK
    elif site.in_exponent():
        found |= of_exponent(site, None, None)
    else:
        found |= of_place(site) or codes()
    if site.in_product():  # the factor itself is gone
        found |= of_lost(site, site.node, new)
    if name in site.gradients and own in site.gradients:
        # A gradient further up where one further down belongs: what lies between is missing; and
        # the other way round it is a factor too many.
        between = site.factors_from(name, own)
        if between is not None:
            for factor in between:
                found |= of_lost(site, factor, new)
        if site.factors_from(own, name) is not None:
            found |= codes("extra-factor")
    elif own in site.gradients:  # a value of the forward pass where the gradient belongs
        found |= codes("upstream-ignored")
        if site.factors_from(name, own) is not None:  # of dz = da * m the m is left
            found |= LEFT_OUT
    elif site.factors_from(name, own) is not None:
        found |= LEFT_OUT
    elif site.factors_from(own, name) is not None:
        found |= codes("extra-factor")
    return found


def keys(site: Site) -> Found:
    """Another entry of the same shape of a dictionary: params["Wx"] for params["Wh"]."""
    node = site.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    held, place = site.value(node.value), site.value(node.slice)
    if not isinstance(held, dict) or not isinstance(held.get(place), np.ndarray):
        return
    for key, value in held.items():
        if key != place and isinstance(value, np.ndarray) and value.shape == held[place].shape:
            lost = of_lost(site, node, None) if site.in_product() else codes()
            new = ast.Subscript(node.value, ast.Constant(key), ast.Load())
            yield new, another(site, new, node) | lost, "name"


def transposes(site: Site) -> Found:
    """A .T less, or one more at an operand of a matrix product."""
    node = site.node
    if isinstance(node, ast.Attribute) and node.attr == "T" and not is_self(node):
        yield node.value, TRANSPOSED, "transpose"
        return
    if isinstance(node, ast.Call) and callee(node) in ("transpose", "swapaxes", "moveaxis"):
        inner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(inner, ast.Name) and inner.id == "np":
            inner = node.args[0] if node.args else None
        if inner is not None:  # of more than two axes: along the wrong one
            yield inner, TRANSPOSED | AXIS, "transpose"
        return
    parent = site.parent
    operand = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.MatMult)
    dotted = isinstance(parent, ast.Call) and callee(parent) in ("dot", "matmul")
    if not (operand or dotted) or not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return
    if isinstance(site.value(node), np.ndarray):
        yield ast.Attribute(node, "T", ast.Load()), TRANSPOSED, "transpose"


def results(site: Site) -> Found:
    """Two neighbours change places in what is returned, kept or joined.

    dx, dw, db; {"w": dw, "b": db}; np.hstack((di, df, do)).
    """
    node, parent = site.node, site.parent
    accepted = codes("order wrong-gradient")
    joined = isinstance(parent, ast.Call) and callee(parent) in _JOINING
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
        if not (joined or isinstance(parent, ast.Return | ast.Assign)):
            return
        parts = node.elts
    elif isinstance(node, ast.Dict) and isinstance(parent, ast.Return | ast.Assign):
        parts = node.values
    else:
        return
    for place in range(len(parts) - 1):
        new = list(parts)
        new[place : place + 2] = new[place + 1], new[place]
        pair = parts[place : place + 2]
        given = isinstance(parent, ast.Return) or any(site.has_gradient(p) for p in pair)
        kept = accepted if given else TENSOR | _exchanged(site, place)
        if all(isinstance(site.value(p), int | np.integer) for p in pair):
            kept = PLACE | AXIS | codes("scale")  # rows and columns, as where a shape is unpacked
        if isinstance(node, ast.Dict):
            yield ast.Dict(node.keys, new), kept, "order"
        else:
            yield type(node)(new, ast.Load()), kept, "order"


def _exchanged(site: Site, place: int) -> Codes:
    """Two values under each other's names: b - a for a - b is a sign, b / a for a / b a factor
    on the wrong side of the line."""
    parent, found = site.parent, codes()
    targets = parent.targets[0] if isinstance(parent, ast.Assign) else None
    if not isinstance(targets, ast.Tuple):
        return found
    pair = {ast.unparse(t) for t in targets.elts[place : place + 2]}
    for n in ast.walk(site.function):
        if isinstance(n, ast.BinOp) and {ast.unparse(n.left), ast.unparse(n.right)} == pair:
            found |= SIGN if isinstance(n.op, ast.Sub) else codes()
            found |= INVERTED if isinstance(n.op, ast.Div) else codes()
    return found


OPERATORS = (names, keys, transposes, results)
