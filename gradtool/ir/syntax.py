"""Python's syntax read by several threads.

Until version 3.13 CPython counts how deep a tree is in one place for all threads, and raises
SystemError where a collection of garbage lets another thread read in between (python/cpython
issue 106905).  The judge of a course reads texts of specs and snippets in every thread.
"""

from __future__ import annotations

import ast
import threading
from typing import Literal, overload

_LOCK = threading.Lock()


@overload
def parse(text: str) -> ast.Module: ...


@overload
def parse(text: str, *, mode: Literal["eval"]) -> ast.Expression: ...


@overload
def parse(text: str, *, mode: str) -> ast.AST: ...


def parse(text: str, *, mode: str = "exec") -> ast.AST:
    """As `ast.parse`, one thread after the other.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: see there.
    """
    with _LOCK:
        return ast.parse(text, mode=mode)
