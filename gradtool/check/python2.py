"""Python 2 files: recognised by their syntax, converted when the converter is installed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import io
import tokenize
from collections.abc import Iterable

from gradtool.check.inventory import bound_names
from gradtool.check.nodes import nodes_of_file

# Of the forks of lib2to3, which Python 3.13 no longer has, the one that modernize is built on too.
INSTALL = "install the converter: pip install 'gradtool[python2]', or fissix alone"
# What a size that was divided by Python 3 gives, in code that may have been written for Python 2.
_FLOAT_SIZE = (
    "'float' object cannot be interpreted as an integer",
    "'numpy.float64' object cannot be interpreted as an integer",
    "expected a sequence of integers or a single integer",
    "slice indices must be integers or None",
)
OLD_DIVISION = (
    "/ of integers gives a float in Python 3; if this is code of Python 2, say so in the spec: "
    "check: {load: {python: 2}}"
)
_OLD_STATEMENTS = frozenset({"print", "exec", "raise", "except"})
_OLD_NAMES = frozenset({"xrange", "raw_input", "basestring", "unicode", "unichr"})
_OLD_METHODS = frozenset({"iteritems", "itervalues", "iterkeys"})
_OLD_MESSAGES = (
    "Missing parentheses in call to",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
    "invalid decimal literal",  # 10L
    "inconsistent use of tabs",
)


def is_python2(text: str, error: SyntaxError) -> bool:
    """Whether a file that Python 3 refuses looks like Python 2 at the place of the error."""
    if isinstance(error, TabError) or any(known in str(error.msg) for known in _OLD_MESSAGES):
        return True
    lines = text.splitlines()
    line = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
    words = _tokens(line)
    return bool(words) and (words[0] in _OLD_STATEMENTS or "<>" in words or "`" in words)


def uses_python2(tree: ast.Module, bound: Iterable[str] = ()) -> bool:
    """Whether code that Python 3 can parse names what only Python 2 has.

    `bound` are names that have a meaning from elsewhere, such as other cells of a notebook.
    """
    nodes = nodes_of_file(tree)
    if any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _OLD_METHODS
        and not node.args
        for node in nodes
    ):
        return True
    if not _old_names(nodes):
        return False
    known = {*bound, *bound_names(tree)}
    # With a star import it is told when the file has run, by `missing_names`.
    return "*" not in known and bool(missing_names(tree, known))


def missing_names(tree: ast.Module, known: Iterable[str]) -> set[str]:
    """The names that only Python 2 has, are read, and nobody has given a meaning."""
    found = _old_names(nodes_of_file(tree))
    return found - {*known, *bound_names(tree)} if found else found


def _old_names(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that only Python 2 has, of those that are read."""
    return {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and node.id in _OLD_NAMES and isinstance(node.ctx, ast.Load)
    }


def converter_installed() -> bool:
    return importlib.util.find_spec("fissix") is not None


def converted(text: str, name: str) -> str | None:
    """The file in Python 3, with the same lines where possible; None when it cannot be."""
    refactor = importlib.import_module("fissix.refactor")
    tool = refactor.RefactoringTool(refactor.get_fixers_from_package("fissix.fixes"))
    try:
        return str(tool.refactor_string(text.rstrip("\n").expandtabs(8) + "\n", name))
    except Exception:  # the converter has its own parser, with its own errors
        return None


def is_float_size(message: str) -> bool:
    """Whether an error tells that a size was no integer."""
    return any(said in message for said in _FLOAT_SIZE)


def _tokens(line: str) -> list[str]:
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.strip() + "\n").readline):
            found.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found
