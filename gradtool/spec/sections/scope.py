"""The names of one spec: who declared them, which sizes are used, and where they clash."""

from __future__ import annotations

from gradtool.records import Struct, field
from gradtool.spec.model import Place, Variable
from gradtool.spec.names import name_fault
from gradtool.spec.sections.reading import Reading
from gradtool.spec.yamltree import Scalar


class Scope(Struct):
    """Filled by the section readers, in the order of the file.

    `kinds`: each declared name with what it is ("input", "parameter", "constant") and its
    line.  `integers`: constants that may stand in sizes.  `sizes`: each dimension with the
    place of its first use.  `complete` is False when a shape could not be read, so that its
    dimensions are not known.
    """

    kinds: dict[str, tuple[str, Scalar]] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)
    sizes: dict[str, Place] = field(default_factory=dict)
    complete: bool = True

    def declare(self, name: str, kind: str, key: Scalar, reading: Reading) -> bool:
        """Record a name; False (and a problem) when it is taken."""
        if name in self.kinds:
            other, first = self.kinds[name]
            reading.problem(
                key,
                f"'{name}' is already {_an(other)} (line {first.place.line})",
                "give one of them another name",
            )
            return False
        self.kinds[name] = kind, key
        return True

    def use_size(self, name: str, place: Place, reading: Reading) -> None:
        """Record a dimension at its first use."""
        if name in self.sizes:
            return
        self.sizes[name] = place
        fault = name_fault(name)
        if fault is not None:
            reading.at(place, fault[0], fault[1], len(name))

    @property
    def dimensions(self) -> list[str]:
        """The symbols whose size is chosen: used in a shape and not a constant."""
        return [name for name in self.sizes if name not in self.kinds]

    def check_sizes(self, reading: Reading) -> None:
        """A dimension is not a variable, and only integer constants stand in sizes."""
        for name, place in self.sizes.items():
            if name not in self.kinds or name in self.integers:
                continue
            kind, key = self.kinds[name]
            if kind == "constant":
                reading.at(
                    place,
                    f"a size is made of integers, but '{name}' is a real constant "
                    f"(line {key.place.line})",
                    f"write {name} as an integer, without a decimal point",
                    len(name),
                )
            else:
                reading.problem(
                    key,
                    f"'{name}' is {_an(kind)} here and a dimension in line {place.line}",
                    "give one of them another name",
                )

    def check_gradient_names(self, variables: list[Variable], reading: Reading) -> None:
        """``d<name>`` is the gradient of ``<name>``, so it cannot be declared beside it."""
        for variable in variables:
            gradient = f"d{variable.name}"
            if variable.differentiable and gradient in self.kinds:
                kind, key = self.kinds[gradient]
                reading.problem(
                    key,
                    f"'{gradient}' is {_an(kind)} here and the name of the gradient of "
                    f"'{variable.name}'",
                    f"rename it (or give {variable.name} 'constant: true' if it needs no gradient)",
                )


def _an(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
