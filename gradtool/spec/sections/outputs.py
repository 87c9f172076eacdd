"""`output:` and `outputs:`: which names are the result of the layer."""

from __future__ import annotations

from gradtool.spec.model import Place
from gradtool.spec.sections.reading import Reading
from gradtool.spec.yamltree import Entry, Scalar, Sequence


def read_outputs(
    one: Entry | None, several: Entry | None, reading: Reading
) -> tuple[tuple[str, ...] | None, Place | None]:
    """The names and where they stand; (None, None) when the last assigned name is meant."""
    if one is not None and several is not None:
        reading.problem(
            several.key,
            f"found both output: (line {one.key.place.line}) and outputs:",
            "keep outputs: [a, b] for several, output: a for one",
        )
    if several is not None:
        if isinstance(several.value, Scalar) and not several.value.is_null:
            reading.expected(
                several.value,
                "outputs",
                "a list such as [mu, P]",
                f"write outputs: [{several.value.text}], or output: {several.value.text}",
            )
            return None, None
        names = reading.names(several.value, "outputs", "[mu, P]")
        return tuple(name for name, _ in names or ()) or None, several.value.place
    if one is not None:
        if isinstance(one.value, Sequence):
            reading.expected(one.value, "output", "one name", "write outputs: for several")
            return None, None
        name = reading.name(one.value, "output")
        return ((name,) if name else None), one.value.place
    return None, None
