"""The result of `derive` as plain data: what every output format prints and the cache keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradtool.records import Struct, to_builtins


class Row(Struct, frozen=True):
    """One line of the backward pass.

    Attributes:
        role: "inner" (a value of the forward pass), "cotangent", "gradient", or "loop": `text` is
            a whole loop then, line by line.
        name, of: what it is called, and the variable that it is the gradient of; a loop has no
            name and is the gradient of several, with commas between them.
        shape: as NumPy prints it.
        text: the formula, or the whole index statement when `indexed`.
        note: the shapes that meet in it, or what a sum is over and why.
    """

    role: str
    name: str
    of: str
    shape: str
    text: str
    note: str = ""
    indexed: bool = False


class Sheet(Struct, frozen=True):
    """A derived layer, ready to print.

    Attributes:
        layer, about, reference: from the spec.
        variables: name and shape of the inputs and parameters.
        outputs: name and shape.
        dims: the dimensions, in order of first use.
        forward: the lines of the forward pass as they were written.
        rows: the backward pass.
        zero: variables whose gradient is zero because no output depends on them, or only through
            comparisons.
        compared: those of them that outputs depend on through comparisons.
        remarks: reassigned names and the like.
        conventions: values taken at kinks.
        digits: agreement with 60-digit differences.
        size_sets, skipped: the sizes it was checked at, and those where the layer is singular.
        upstream: names of the upstream gradients; empty for a loss.
        extra: other formats that were asked for (numpy, torch, jax, latex, …), as text.
        against: what the derivatives were compared with.
        departures: where formulas are not the derivative that the layer has; every format says so.
    """

    layer: str
    about: str
    reference: str
    variables: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    dims: tuple[str, ...]
    forward: tuple[str, ...]
    rows: tuple[Row, ...]
    zero: tuple[str, ...]
    remarks: tuple[str, ...]
    conventions: tuple[str, ...]
    digits: int
    size_sets: tuple[Mapping[str, int], ...]
    skipped: tuple[Mapping[str, int], ...]
    upstream: tuple[str, ...]
    extra: Mapping[str, Any]
    against: str = "60-digit centered differences"
    compared: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(self)
        return told

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Sheet:
        """Rebuild a sheet that `as_json` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        fixed = dict(data)
        fixed["rows"] = tuple(Row(**row) for row in data["rows"])
        for name in ("variables", "outputs"):
            fixed[name] = tuple((str(a), str(b)) for a, b in data[name])
        for name in (
            "dims",
            "forward",
            "zero",
            "remarks",
            "conventions",
            "size_sets",
            "skipped",
            "upstream",
            "compared",
            "departures",
        ):
            fixed[name] = tuple(data[name])
        return Sheet(**fixed)
