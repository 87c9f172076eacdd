"""Two precisions for the same evaluator: double, and mpmath with any number of digits."""

from __future__ import annotations

from copy import copy
from fractions import Fraction
from typing import Any

import numpy as np

from gradtool.ir.errors import UnsupportedError
from gradtool.ops.scalar import FUNCTIONS


class HighPrecision:
    """mpmath numbers in object arrays; `digits` decimal digits (60 by default)."""

    def __init__(self, digits: int = 60) -> None:
        import mpmath
        from mpmath.libmp import from_man_exp, to_fixed

        self._to_fixed, self._from_integer = to_fixed, from_man_exp
        self.mp = mpmath.mp.clone()
        self.mp.dps = digits
        self.digits = digits
        self._is_lenient = False
        # Twice the digits as fractional bits: small entries keep their relative precision.
        self.fixed_bits = int(digits * 3.33 * 2)
        self._cache: dict[Fraction | int, Any] = {}

    def lenient(self) -> HighPrecision:
        """The same, in which what has no value is nan instead of an error.

        That is a division by zero, or the root of a negative number.  From nan on everything is
        nan; only a condition that is false keeps it out of a result.
        """
        twin = copy(self)
        twin._is_lenient = True
        return twin

    def number(self, value: Fraction | int) -> Any:
        if value not in self._cache:
            exact = Fraction(value)
            self._cache[value] = self.mp.mpf(int(exact.numerator)) / int(exact.denominator)
        return self._cache[value]

    def to_fixed(self, array: Any) -> Any:
        """Integers ``x * 2**fixed_bits``.

        None when an entry is too small to keep its digits, so large that the integer would fill
        the memory (``exp(exp(50))``), or not finite.
        """
        bits, to_fixed = self.fixed_bits, self._to_fixed
        least, most = self.mp.prec - bits, 10 * bits

        def fixed(x: Any) -> int:
            _, mantissa, exponent, length = x._mpf_
            if exponent and not (mantissa and least <= exponent + length <= most):
                raise OverflowError  # zero is the only number without mantissa and exponent
            return int(to_fixed(x._mpf_, bits))

        try:
            return np.frompyfunc(fixed, 1, 1)(array)
        except OverflowError:
            return None

    def from_fixed(self, array: Any, factors: int) -> Any:
        """Back from a product of `factors` integers."""
        bits, precision = self.fixed_bits * factors, self.mp.prec
        make, from_integer = self.mp.make_mpf, self._from_integer
        return np.frompyfunc(lambda x: make(from_integer(x, -bits, precision, "n")), 1, 1)(array)

    def pi(self) -> Any:
        return +self.mp.pi

    def zeros(self, shape: tuple[int, ...]) -> Any:
        return np.full(shape, self.number(0), dtype=object)

    def function(self, name: str, args: list[Any]) -> Any:
        if name == "pow":
            return self._each(self._pow, *args)
        definition = FUNCTIONS[name].definition
        return self._each(lambda x: self._real(definition(self.mp, x), name), args[0])

    def _real(self, value: Any, name: str) -> Any:
        if isinstance(value, self.mp.mpc):
            if self._is_lenient:
                return self.mp.nan
            raise UnsupportedError(
                f"{name} of a number outside its domain", "give the input a domain: positive"
            )
        return value

    def _pow(self, base: Any, exponent: Any) -> Any:
        return self._real(base**exponent, "a fractional power")

    def power(self, base: Any, exponent: Fraction) -> Any:
        if exponent == 1:
            return base
        if exponent.denominator == 1:
            whole = int(exponent)
            return base**whole if whole > 0 else self._each(lambda x: x**whole, base)
        if exponent == Fraction(1, 2):
            return self._each(lambda x: self._real(self.mp.sqrt(x), "a square root"), base)
        if exponent == Fraction(-1, 2):
            return self._each(lambda x: 1 / self._real(self.mp.sqrt(x), "a square root"), base)
        by = self.number(exponent)
        return self._each(lambda x: self._pow(x, by), base)

    def _each(self, function: Any, *arrays: Any) -> Any:
        def defined(*entries: Any) -> Any:
            try:
                return function(*entries)
            except ZeroDivisionError:
                return self.mp.nan

        used = defined if self._is_lenient else function
        return np.frompyfunc(used, len(arrays), 1)(*arrays)

    def matrix(self, name: str, operand: Any) -> Any:
        """A matrix function of every matrix over the last two axes."""
        rows = operand.shape[-1]
        flat = operand.reshape(-1, rows, rows)
        results = [self._one_matrix(name, self.mp.matrix(m.tolist())) for m in flat]
        if name in ("det", "logdet"):
            out = np.empty(len(results), dtype=object)
            out[:] = results
            return out.reshape(operand.shape[:-2])
        return np.array([r.tolist() for r in results], dtype=object).reshape(operand.shape)

    def _one_matrix(self, name: str, matrix: Any) -> Any:
        match name:
            case "inv":
                return self._inverse(matrix)
            case "cholesky":
                return self._cholesky(matrix)
            case "inverse_cholesky":
                return self._inverse(self._cholesky(matrix))
        try:
            determinant = self.mp.det(matrix)
        except TypeError:  # as below
            determinant = self.mp.mpf(0)
        return determinant if name == "det" else self.mp.log(abs(determinant))

    def _inverse(self, matrix: Any) -> Any:
        try:
            return matrix**-1
        except TypeError:
            # mpmath finds no pivot in a column of zeros, and then swaps with row None.
            raise ZeroDivisionError("the inverse of a singular matrix") from None

    def _cholesky(self, matrix: Any) -> Any:
        try:
            return self.mp.cholesky((matrix + matrix.T) / 2)
        except ValueError:
            raise UnsupportedError(
                "cholesky of a matrix that is not positive definite",
                "give the input a domain: positive-definite",
            ) from None


class Double:
    """IEEE double precision in ordinary arrays."""

    fixed_bits = 0

    def to_fixed(self, array: Any) -> Any:
        raise NotImplementedError

    def from_fixed(self, array: Any, factors: int) -> Any:
        raise NotImplementedError

    def number(self, value: Fraction | int) -> Any:
        return float(value)

    def pi(self) -> Any:
        return np.pi

    def zeros(self, shape: tuple[int, ...]) -> Any:
        return np.zeros(shape)

    def function(self, name: str, args: list[Any]) -> Any:
        if name == "pow":
            return np.power(*args)
        names: dict[str, Any] = {"np": np, "x": args[0]}
        if FUNCTIONS[name].scipy:
            import math

            names["erf"] = np.vectorize(math.erf, otypes=[float])
        # The text is one of our own table, never a user's.
        return eval(FUNCTIONS[name].numpy.format("x"), names)

    def power(self, base: Any, exponent: Fraction) -> Any:
        if exponent == 1:
            return base
        if exponent == Fraction(1, 2):
            return np.sqrt(base)
        return np.power(
            base, int(exponent) if exponent.denominator == 1 and exponent > 0 else float(exponent)
        )

    def matrix(self, name: str, operand: Any) -> Any:
        """A matrix function of every matrix over the last two axes."""
        match name:
            case "inv":
                return np.linalg.inv(operand)
            case "det":
                return np.linalg.det(operand)
            case "logdet":
                return np.linalg.slogdet(operand)[1]
            case _:
                factor = np.linalg.cholesky((operand + np.swapaxes(operand, -1, -2)) / 2)
                return factor if name == "cholesky" else np.linalg.inv(factor)
