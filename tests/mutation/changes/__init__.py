"""The changes of a function: one module for each kind of thing that people get wrong.

An operator takes a `Site` and yields `(new node or None, accepted codes, kind)`.  Where the node
stands in a condition, an index, an axis, an exponent or a range, `key.of_place` has the codes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from tests.mutation.changes import arithmetic, calls, conditions, names, numbers, places, statements
from tests.mutation.key import Codes
from tests.mutation.site import Site

Change = tuple[ast.AST | None, Codes, str]
Operator = Callable[[Site], Iterator[Change]]

OPERATORS: tuple[Operator, ...] = tuple(
    operator
    for module in (arithmetic, numbers, names, calls, conditions, statements, places)
    for operator in module.OPERATORS
)
