"""Reads the subscript form back and evaluates it, entry by entry, knowing nothing of gradtool.

line    = name "[" indices "]" "=" sum [note]
sum     = ["-"] product { ("+" | "-") product }
product = { factor } [ "/" factor ]          side by side; a Σ, max or argmax takes the rest
factor  = base [ "^" base ]
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

TOKEN = re.compile(
    r"\s*(?:(?P<sum>(?:Σ|sum|max|min|argmax|argmin)_(?:\{[^}]*\}|[a-z]'*)(?!\w))|(?P<one>1\[)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<name>[^\W\d]\w*'*)|(?P<sign>>=|<=|!=|//|.))"
)
RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">": float.__gt__,
    "≥": float.__ge__,
    ">=": float.__ge__,
    "<": float.__lt__,
    "≤": float.__le__,
    "<=": float.__le__,
    "=": float.__eq__,
    "≠": float.__ne__,
    "!=": float.__ne__,
}
REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "Σ": sum,
    "sum": sum,
    "max": max,
    "min": min,
    "argmax": lambda x: x.index(max(x)),
    "argmin": lambda x: x.index(min(x)),
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "abs": abs,
    "erf": math.erf,
    "sign": lambda x: float(np.sign(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log1p(math.exp(x)),
}


class NotReadable(Exception):
    """An array expression inside the line; `(X @ A)[n,d]`, which is the other language."""


class _Reader:
    def __init__(self, text: str, values: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        tokens = [m for m in TOKEN.finditer(text) if m.group().strip()]
        self.tokens = [m.group().strip() for m in tokens]
        self.kinds = [str(m.lastgroup) for m in tokens]
        self.close = {  # of those that follow the one before without a space
            at
            for at, m in enumerate(tokens)
            if m.group() == self.tokens[at] and m.start() == tokens[at - 1].end()
        }
        self.text = text
        self.at = 0
        self.values = values
        self.sizes = sizes
        self.index: dict[str, int] = {}

    # -- tokens ---------------------------------------------------------------------------

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.kinds[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if expected and token != expected:
            raise NotReadable(f"{expected} expected, {token} found in {self.text}")
        self.at += 1
        return token

    def touching(self) -> bool:
        """Whether the next token follows the last one without a space."""
        return self.at in self.close

    # -- grammar --------------------------------------------------------------------------

    def sum(self) -> float:
        minus = self.peek() == "-" and bool(self.take())
        total = -self.product() if minus else self.product()
        while self.peek() in ("+", "-"):
            total += self.product() if self.take() == "+" else -self.product()
        return total

    def product(self) -> float:
        total = 1.0
        while True:
            if self.kind() == "sum":
                return total * self.series()
            total *= self.factor()
            while self.peek() in ("*", "//"):
                if self.take() == "*":
                    total *= self.factor()
                else:
                    total //= self.factor()
            if self.peek() == "/":
                self.take()
                return total / self.factor()
            if self.kind() == "sign" and self.peek() != "(":
                return total
            if not self.peek() or self.peek() in ("if", "else"):
                return total

    def series(self) -> float:
        word, _, below = self.take().partition("_")
        under = below.strip("{}").split(",")
        ranges = [self.range(part) for part in under]
        names = [part.split("<")[0] for part in under]
        start, before, found = self.at, dict(self.index), []
        for entry in itertools.product(*ranges):
            self.at = start
            self.index = {**before, **dict(zip(names, entry, strict=True))}
            found.append(self.product())
        self.index = before
        if not found:
            self.skip()
        return float(REDUCTIONS[word](found))

    def skip(self) -> None:
        """Past the product under an empty sum."""
        depth = 0
        while self.peek() and (depth or self.peek() not in ("+", "-", ")", "]")):
            token = self.take()
            depth += (token[-1] in "([") - (token in ")]")

    def range(self, part: str) -> range:
        name, _, bound = part.partition("<")
        if bound:
            return range(round(_whole(_Reader(bound, self.values, self.sizes))))
        (size,) = {v for k, v in self.sizes.items() if k[0].lower() == name.rstrip("'")}
        return range(size)

    def factor(self) -> float:
        base = self.base()
        if self.peek() == "^":
            self.take()
            return float(base ** self.base())
        return base

    def base(self) -> float:
        kind = self.kind()
        if kind == "number":
            return float(self.take())
        if kind == "one":
            self.take()
            truth = self.condition()
            self.take("]")
            return float(truth)
        if kind == "name":
            return self.named(self.take())
        self.take("(")
        first = self.sum()
        if self.peek() == "if":
            self.take()
            truth = self.condition()
            self.take("else")
            second = self.sum()
            first = first if truth else second
        self.take(")")
        return first

    def condition(self) -> bool:
        left, relation = self.sum(), self.take()
        return RELATIONS[relation](left, self.sum())

    def named(self, name: str) -> float:
        if name in self.index:
            return float(self.index[name])
        if self.peek() == "(" and self.touching():
            if name not in FUNCTIONS:
                raise NotReadable(name)
            self.take("(")
            value = FUNCTIONS[name](self.sum())
            self.take(")")
            if self.peek() == "[" and self.touching():
                raise NotReadable(name)
            return value
        if self.peek() == "." or (name not in self.values and name not in self.sizes):
            if name in ("π", "pi"):
                return math.pi
            raise NotReadable(name)
        if name in self.sizes:
            return float(self.sizes[name])
        array = np.asarray(self.values[name])
        place: list[int] = []
        if self.peek() == "[":
            while self.take() in ("[", ","):
                place.append(round(self.sum()))
        if len(place) != array.ndim:  # the array as a whole
            raise NotReadable(name)
        inside = all(0 <= p < s for p, s in zip(place, array.shape, strict=True))
        return float(array[tuple(place)]) if inside else 0.0


def evaluate(
    line: str, shape: tuple[int, ...], values: Mapping[str, Any], sizes: Mapping[str, int]
) -> Any:
    """The array that a printed line defines."""
    left, _, right = line.split("   (")[0].partition(" = ")
    names = left.partition("[")[2].rstrip("]").split(",") if "[" in left else []
    result = np.empty(shape)
    reader = _Reader(right, values, sizes)
    for place in np.ndindex(*shape):
        reader.at = 0
        reader.index = {n: p for n, p in zip(names, place, strict=True) if n != "0"}
        result[place] = _whole(reader)
    return result


def _whole(reader: _Reader) -> float:
    value = reader.sum()
    if reader.peek():
        raise NotReadable(f"{reader.peek()} is left over in {reader.text}")
    return value
