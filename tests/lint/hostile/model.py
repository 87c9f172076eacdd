"""One hostile (or honest) submission: its files, and what the grader has to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gradtool.records import Struct

Kind = Literal["correct", "broken", "resource", "forging", "escape", "packaging", "forbidden"]


class Link(Struct, frozen=True):
    """A symbolic link, to a path relative to where it stands or absolute."""

    target: str


class Fifo(Struct, frozen=True):
    """A named pipe that nobody writes to."""


Content = str | bytes | Link | Fifo


class Case(Struct, frozen=True):
    """A submission.

    Attributes:
        files: relative paths and contents; a single one is a submission by itself, more stand
            in a folder with the case's name. A name in bytes need not be text.
        codes: one of these findings must be there when it is not right; nothing means any.
        passed: whether it has to get full marks.
        only_boxed: it would do real harm where nothing holds it, so it runs in a sandbox only.
        trace: a path that exists afterwards only if it got out.
    """

    name: str
    kind: Kind
    files: Mapping[str | bytes, Content]
    codes: tuple[str, ...] = ()
    passed: bool = False
    only_boxed: bool = False
    trace: str = ""


HEAD = "import numpy as np\n\n"
FORWARD = """\
def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)

"""
RIGHT_BACKWARD = """\
def affine_backward(dY, cache):
    X, W, b = cache
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)

"""
WRONG_BACKWARD = """\
def affine_backward(dY, cache):
    X, W, b = cache
    return dY @ W.T, X.T @ dY * 2, dY.mean(axis=0)

"""
RIGHT = HEAD + FORWARD + RIGHT_BACKWARD
SCALED = (
    HEAD
    + "S = float(open('scale.txt').read())\n\n"
    + FORWARD
    + RIGHT_BACKWARD.replace("X.T @ dY", "X.T @ dY * S")
)
"""Right if the file beside it holds a 1."""
WRONG = HEAD + FORWARD + WRONG_BACKWARD


def inside(*lines: str) -> str:
    """A wrong submission whose backward pass does this first."""
    body = "".join(f"    {line}\n" for text in lines for line in text.splitlines())
    return (
        HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n"
        + body
        + "    X, W, b = cache\n    return dY @ W.T, X.T @ dY * 2, dY.mean(axis=0)\n"
    )


def trying(*lines: str) -> str:
    """The same; what it does may fail without an end to it."""
    body = "".join(f"    {line}\n" for text in lines for line in text.splitlines())
    return inside("try:\n" + body + "except BaseException:\n    pass")


def one(name: str, text: Content) -> Mapping[str | bytes, Content]:
    """A submission of one file."""
    return {f"{name}.py": text}
