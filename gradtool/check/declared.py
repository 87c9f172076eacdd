"""What a user says of a function's arguments in a line: ``X: [N, D], W: [D, C], y: …``."""

from __future__ import annotations

import json
from typing import Any

import yaml

from gradtool.check.words import canonical
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec
from gradtool.spec.names import name_fault
from gradtool.spec.usage import UsageError

FILE = "--inputs"
_PARAMETERS = frozenset({"w", "b", "gamma", "beta", "theta", "f", "k", "u", "v", "wx", "wh"})
_EXAMPLE = 'such as --inputs "X: [N, D], W: [D, C], y: {shape: [N], index: C}, reg: 0.1"'


def declared(text: str, layer: str) -> LayerSpec:
    """A spec with the inputs and constants of a line, and a forward that only names them.

    A number is a constant; names that mostly are weights count as parameters, for code that
    returns the gradients of its parameters only.

    Raises:
        UsageError: the line is no list of names and shapes.
        SpecError: a shape or a domain in it is wrong.
    """
    try:
        data = yaml.safe_load("{" + text + "}")
    except yaml.YAMLError:
        raise UsageError(f"--inputs {text!r} is no list of names and shapes", _EXAMPLE) from None
    if not isinstance(data, dict) or not data:
        raise UsageError("--inputs is empty", _EXAMPLE)
    sections: dict[str, dict[str, Any]] = {"inputs": {}, "parameters": {}, "constants": {}}
    terms = []
    for name, value in data.items():
        if not isinstance(name, str) or name_fault(name) or value is None:
            raise UsageError(f"--inputs {text!r}: {name} has no shape", _EXAMPLE)
        if isinstance(value, int | float) and not isinstance(value, bool):
            sections["constants"][name] = value
            continue
        role = "parameters" if is_parameter(name) else "inputs"
        sections[role][name] = value
        terms.append(_term(name, value))
    lines = [f"layer: {layer}"]
    lines += [f"{role}: {json.dumps(found)}" for role, found in sections.items() if found]
    lines += ["forward: |", f"  total__ = {' + '.join(terms) or '0'}"]
    return load_text("\n".join(lines) + "\n", FILE)


def is_parameter(name: str) -> bool:
    """Whether a name mostly is that of weights."""
    return canonical(name).rstrip("0123456789") in _PARAMETERS


def _term(name: str, value: Any) -> str:
    labels = isinstance(value, dict) and "index" in value
    return f"sum(onehot({name}))" if labels else f"sum({name})"
