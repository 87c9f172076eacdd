"""What the arguments of a function most likely are: by a bundled layer that is called like it, else
by what such arguments are mostly called.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from gradtool.check.candidate import Candidate
from gradtool.check.recognise import BY_NAME, score
from gradtool.check.words import canonical, folded
from gradtool.records import Struct
from gradtool.report import library
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.model import LayerSpec, Variable

_USUAL = {
    "x": "[N, D]",
    "w": "[D, C]",
    "b": "[C]",
    "gamma": "[D]",
    "beta": "[D]",
    "s": "[N, C]",
    "y": "{shape: [N], index: C} for labels",
    "h": "[N, H]",
}
_ANY = "[N, D] or [D], or [] for a number"
_NUMBERS = {"eps": "1e-5", "reg": "0.1", "stride": "1", "pad": "1", "p": "0.5"}


class Likely(Struct, frozen=True):
    """Of each argument whose shape nobody states: an example of one, or the value of a constant.

    Attributes:
        layer: the bundled layer that is called like the functions; None without one.
    """

    layer: str | None
    shapes: dict[str, str]
    constants: dict[str, str]


def likely(chosen: Candidate, arguments: Sequence[str], stated: Collection[str]) -> Likely:
    """What all the arguments are, as far as names tell; what has a `stated` shape is an array."""
    spec = _called_like(chosen, arguments)
    matched = _matched(spec, arguments) if spec else {}
    shapes: dict[str, str] = {}
    constants: dict[str, str] = {}
    for name in arguments:
        value = _value(spec, name)
        if name in matched:
            shapes[name] = _shape(matched[name])
        elif value is not None and name not in stated:
            constants[name] = value
        else:
            shapes[name] = _USUAL.get(canonical(name), _ANY)
    return Likely(spec.name if spec else None, shapes, constants)


def _called_like(chosen: Candidate, arguments: Sequence[str]) -> LayerSpec | None:
    """The bundled layer that is called like it; of several the one with such arguments."""
    scores = {name: score(chosen, name)[0] for name in bundled_specs()}
    best = max(scores.values())
    if best < BY_NAME:
        return None
    specs = (library.load(name) for name, own in scores.items() if own == best)
    return max(specs, key=lambda spec: len(_by_name(spec, arguments)))


def _by_name(spec: LayerSpec, arguments: Sequence[str]) -> dict[str, Variable]:
    """The variables of a layer that arguments are called like, each once."""
    left = list(spec.variables)
    found: dict[str, Variable] = {}
    for alike in (folded, canonical):
        for name in arguments:
            same = [v for v in left if alike(v.name) == alike(name) and name not in found]
            for variable in same[:1]:
                found[name] = variable
                left.remove(variable)
    return found


def _matched(spec: LayerSpec, arguments: Sequence[str]) -> dict[str, Variable]:
    """The same; what is left over is in the same order where it is as many."""
    found = _by_name(spec, arguments)
    names = [name for name in arguments if name not in found and _value(spec, name) is None]
    variables = [v for v in spec.variables if v not in found.values()]
    return found | (
        dict(zip(names, variables, strict=True)) if len(names) == len(variables) else {}
    )


def _value(spec: LayerSpec | None, name: str) -> str | None:
    constants = spec.constants if spec else {}
    for own, value in constants.items():
        if canonical(own) == canonical(name):
            return _decimal(value)
    return _NUMBERS.get(canonical(name))


def _decimal(value: int | Fraction) -> str:
    return str(value) if isinstance(value, int) else f"{float(value):g}"


def _shape(variable: Variable) -> str:
    brackets = f"[{', '.join(map(str, variable.shape))}]"
    if variable.index is None:
        return brackets
    return f"{{shape: {brackets}, index: {variable.index}}}"
