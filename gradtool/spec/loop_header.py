"""The first line of a loop: ``for t in range(T):`` and its variants, as sizes."""

from __future__ import annotations

import ast

from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.index import nonnegative
from gradtool.ir.tree import Call, Items, Tree
from gradtool.ops.build import Builder
from gradtool.ops.errors import OpError
from gradtool.records import Struct
from gradtool.spec.parse import ParseError, Reader

_FORMS = "write  for t in range(T):  or  for t in reversed(range(T)):"


class Header(Struct, frozen=True):
    """The steps ``first .. first + size - 1``, in that order or backwards."""

    index: str
    first: Dim
    size: Dim
    backwards: bool


def header_of(build: Builder, reader: Reader, node: ast.For) -> Header:
    """Read the first line of a loop.

    Raises:
        ParseError, OpError: it does not count through an axis one by one.
    """
    span = reader.span(node.iter)
    if not isinstance(node.target, ast.Name):
        raise ParseError("a loop counts with one name", reader.span(node.target), _FORMS)
    if node.orelse:
        raise ParseError("else after a loop is not part of the language", reader.span(node))
    inner, backwards = node.iter, False
    while _is_call(inner, "reversed") and len(inner.args) == 1:  # type: ignore[attr-defined]
        inner, backwards = inner.args[0], not backwards  # type: ignore[attr-defined]
    if not _is_call(inner, "range"):
        raise ParseError("a loop must run over a range of steps", span, _FORMS)
    assert isinstance(inner, ast.Call)
    if inner.keywords or not 1 <= len(inner.args) <= 3:
        raise ParseError("range takes one, two or three sizes", span, _FORMS)
    ends = [_end(build, reader.expression(a)) for a in inner.args]
    step = ends[2].as_int if len(ends) == 3 else 1
    start, stop = (ZERO, ends[0]) if len(ends) == 1 else (ends[0], ends[1])
    if step == -1:
        start, stop, backwards = stop + 1, start + 1, not backwards
    elif step != 1:
        raise ParseError("a loop must take every step of its range", span, _FORMS)
    size = stop - start
    if not nonnegative(start):
        raise OpError("the first step of a loop must not be negative", span)
    if not nonnegative(size - ONE):
        if size.as_int is not None:
            raise OpError(f"this range has {max(size.as_int, 0)} steps", span)
        build.assume(size - ONE)
    return Header(node.target.id, start, size, backwards)


def _end(build: Builder, tree: Tree) -> Dim:
    """A size, or ``X.shape[1]``."""
    if isinstance(tree, Call) and tree.op == "getitem":
        whole, index = tree.args
        if isinstance(whole, Call) and whole.op == "shape" and isinstance(index, Items):
            shape = build.operand(whole.args[0]).shape
            axis = build.integer(index.items[0], "an axis") if len(index.items) == 1 else None
            if axis is None or not -len(shape) <= axis < len(shape):
                raise OpError(f"this array has {len(shape)} axes", tree.span)
            return shape[axis]
    return build.dim(tree, "an end of a range")


def _is_call(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
