"""From the text of one scalar to a number, a truth value or a size, exactly.

Every text of the tree is resolved here, by what its place in the spec expects: ``1e-5`` is a
number under `constants` and ``no`` is a text under `about`.
"""

from __future__ import annotations

import ast
from fractions import Fraction

from gradtool.ir import syntax
from gradtool.ir.dims import Dim, DimError, dim_of_ast
from gradtool.records import Struct
from gradtool.spec.model import SizeRule
from gradtool.spec.names import name_fault, normal_name, shown

MAX_NUMBER_LENGTH = 100
MAX_EXPONENT = 308  # of a float64
MAX_SIZE_LENGTH = 200
MAX_SIZE_TERMS = 1_000
MAX_SIZE_DEGREE = 32
MAX_SIZE = 1_000_000


class ScalarError(ValueError):
    """What was expected of a text; `offset` is the column of the part that is wrong, 0-based."""

    def __init__(self, message: str, hint: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


class SizeText(Struct, frozen=True):
    """A size and where each of its symbols stands: ``(name, offset)``, 0-based characters."""

    dim: Dim
    symbols: tuple[tuple[str, int], ...]


def parse_constant(text: str) -> int | Fraction:
    """``2`` is an int; ``2.0``, ``1e-5`` and ``1/3`` are exact reals.

    Raises:
        ScalarError: for anything that is not one number.
    """
    top, slash, bottom = text.partition("/")
    if not slash:
        whole = _integer(text)
        return whole if whole is not None else parse_real(text)
    numerator, denominator = parse_real(top), parse_real(bottom)
    if denominator == 0:
        raise ScalarError(f"expected a number, found the division by zero {shown(text)}")
    return numerator / denominator


def parse_real(text: str) -> Fraction:
    """A decimal number, exactly.

    Raises:
        ScalarError: not a number, or beyond the range of a float64.
    """
    stripped = text.strip()
    if stripped.lower().lstrip("+-.") in ("inf", "infinity", "nan"):
        raise ScalarError(f"expected a finite number, found {shown(text)}")
    mantissa, e, exponent = stripped.lower().partition("e")
    power = _integer(exponent) if e else 0
    too_long = len(stripped) > MAX_NUMBER_LENGTH
    if not stripped.isascii() or too_long or power is None or "/" in stripped:
        raise _no_number(text)
    if abs(power) > MAX_EXPONENT:
        raise ScalarError(f"expected a number within the range of a float64, found {shown(text)}")
    try:
        return Fraction(mantissa) * Fraction(10) ** power
    except ValueError:
        raise _no_number(text) from None


def parse_size_rule(text: str) -> SizeRule:
    """``4`` pins a size, ``>=2`` bounds it.

    Raises:
        ScalarError: neither of the two, or a size below 1.
    """
    bound = text.strip().removeprefix(">=")
    value = _integer(bound)
    if value is None:
        raise ScalarError(
            f"expected an integer or a bound, found {shown(text)}", "write 4 to pin it, or '>=2'"
        )
    if not 1 <= value <= MAX_SIZE:
        raise ScalarError(f"expected a size from 1 to {MAX_SIZE:,}, found {value}")
    return SizeRule(minimum=value) if bound != text.strip() else SizeRule(exactly=value)


def parse_truth(text: str) -> bool:
    """``true`` or ``false``, in any case.

    Raises:
        ScalarError: anything else, with a hint for YAML 1.1's ``yes`` and ``no``.
    """
    match text.lower():
        case "true":
            return True
        case "false":
            return False
        case "yes" | "on" | "1":
            raise ScalarError(f"expected true or false, found {shown(text)}", "write true")
        case "no" | "off" | "0":
            raise ScalarError(f"expected true or false, found {shown(text)}", "write false")
    raise ScalarError(f"expected true or false, found {shown(text)}")


def parse_size(text: str) -> SizeText:
    """A size expression such as ``(H + 2*pad - K)//stride + 1``.

    Raises:
        ScalarError: not an integer polynomial (with floor division), a size below 1, or an
            expression so large that no layer needs it.
    """
    if len(text) > MAX_SIZE_LENGTH:
        raise ScalarError(f"expected a size of at most {MAX_SIZE_LENGTH} characters")
    if text.isidentifier() and name_fault(text) is None:  # nearly every size is a bare name
        name = normal_name(text)
        return SizeText(Dim.of(name), ((name, 0),))
    stripped = text.strip()
    indent = len(text) - len(text.lstrip())
    try:
        tree = syntax.parse(stripped, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        offset = indent + max(0, (getattr(error, "offset", None) or 1) - 1)
        message = f"expected a size, found {shown(text)}"
        raise ScalarError(message, _size_hint(stripped), offset) from None
    terms, degree = _extent(tree)
    if terms > MAX_SIZE_TERMS or degree > MAX_SIZE_DEGREE:
        raise ScalarError(f"the size {shown(text)} is too large to multiply out")

    def column(byte_offset: int) -> int:
        return indent + character_offset(stripped, byte_offset)

    try:
        dim = dim_of_ast(tree)
    except DimError as error:
        raise ScalarError(str(error), _size_hint(stripped), column(error.offset)) from None
    value = dim.as_int
    if value is not None and not 1 <= value <= MAX_SIZE:
        found = str(value) if abs(value) < 10**12 else shown(text)
        raise ScalarError(
            f"expected a size from 1 to {MAX_SIZE:,}, found {found}",
            "a scalar has the shape []" if value == 0 else "",
        )
    names = tuple((node.id, column(node.col_offset)) for node in _names(tree))
    return SizeText(dim, names)


def _names(node: ast.expr) -> list[ast.Name]:
    """The symbols of a size, from left to right."""
    match node:
        case ast.Name():
            return [node]
        case ast.BinOp(left=left, right=right):
            return _names(left) + _names(right)
        case ast.UnaryOp(operand=operand):
            return _names(operand)
    return []


def _size_hint(text: str) -> str:
    if "^" in text:
        return "write ** for a power"
    parts = text.split()
    if len(parts) > 1 and all(part.isdigit() or name_fault(part) is None for part in parts):
        return f"separate sizes by commas: [{', '.join(parts)}]"
    fault = name_fault(text) if text.isidentifier() else None
    return fault[1] if fault else ""


def character_offset(line: str, byte_offset: int) -> int:
    """`ast` counts columns in UTF-8 bytes; people and editors count characters."""
    if line.isascii():
        return byte_offset
    return len(line.encode()[:byte_offset].decode(errors="ignore"))


def _integer(text: str) -> int | None:
    stripped = text.strip()
    if not stripped.isascii() or len(stripped) > MAX_NUMBER_LENGTH:
        return None
    try:
        return int(stripped)
    except ValueError:
        return None


def _no_number(text: str) -> ScalarError:
    return ScalarError(
        f"expected a number, found {shown(text)}",
        "a number is written as 2, 0.5, 1e-5 or 1/3; compute anything else in forward:",
    )


def _extent(node: ast.expr) -> tuple[int, int]:
    """Bounds of the number of terms and of the degree once multiplied out (digits count too).

    Nested powers of 200 characters would otherwise fill the memory.
    """
    match node:
        case ast.BinOp(left=left, op=operator, right=right):
            (terms, degree), (more, higher) = _extent(left), _extent(right)
            match operator:
                case ast.Pow():
                    power = right.value if isinstance(right, ast.Constant) else 1
                    power = power if isinstance(power, int) and 0 <= power <= 8 else 1
                    return min(terms**power, MAX_SIZE_TERMS + 1), degree * power
                case ast.Add() | ast.Sub():
                    return terms + more, max(degree, higher)
            return min(terms * more, MAX_SIZE_TERMS + 1), degree + higher
        case ast.UnaryOp(operand=operand):
            return _extent(operand)
        case ast.Constant(value=int() as value):
            return 1, 1 + value.bit_length() // 32
    return 1, 1
