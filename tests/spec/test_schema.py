"""The JSON Schema accepts what the readers accept and rejects what they refuse.

Files become data as an editor reads them, with the core types of YAML 1.2; the readers
resolve scalars themselves, so the two share nothing but the text.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from gradtool.spec.errors import SpecError
from gradtool.spec.load import SECTIONS, load_text
from gradtool.spec.schema import schema
from gradtool.spec.sections import checks, domains, variables

BASE = "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n"


def editor_data(text: str) -> Any:
    """YAML to data with the core schema: true, null, integers and decimals, else text."""
    return _plain(yaml.compose(text, Loader=yaml.BaseLoader))


def _plain(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_plain(key): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if node.style is not None:
        return node.value
    for read in (_word, int, float):
        try:
            return read(node.value)
        except (KeyError, ValueError):
            continue
    return node.value


def _word(text: str) -> bool | None:
    return {"true": True, "false": False, "null": None, "~": None, "": None}[text]


def valid(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(editor_data(text)))


def test_the_schema_is_itself_valid_and_is_json() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


GOOD = [
    BASE,
    "layer: beta_1\nparameters: {w: []}\nforward: |\n  y = w\n  z = y\n",
    BASE + "about: 'no'\nreference: He et al. 2015\noutput: Y\n",
    BASE + "outputs: [mu, P]\nconstants: {eps: 1e-5, k: 2, third: 1/3, q: '1e-5'}\n",
    BASE + "sizes: {N: 4, D: '>=2'}\nx-course: [1, {a: b}]\n",
    "layer: a\ninputs:\n  X: [N, 2*H, 3, (H + 2*pad - K)//stride + 1]\n"
    "  y: {shape: [N], index: C}\n  o: {shape: [], index: C, not: y, x-why: mine}\n"
    "  M: {shape: [N], dtype: bool}\n  R: {shape: [N], read: true, domain: binary}\n"
    "  D: {shape: [N], read: true, domain: bernoulli(1 - 1/3)}\n"
    "  p: {shape: [N], constant: true, domain: [0, null]}\n"
    "  q: {shape: [N, N], domain: positive-definite}\n  β: {shape: [], domain: [-inf, 1/3]}\n"
    "forward: z = X\n",
    BASE + "check:\n  setup: a = 1\n  forward: Y = f(X)\n  backward: |\n    dX = g(dY)\n"
    "  gradients: [X]\n  grads: {X: step(X)}\n  scale: {X: N}\n  upstream: {scale: 1e-3}\n"
    "  load: {root: ., only: definitions, provide: {a.b: x = 1}}\n",
    BASE + "check: {forward: Y = f(X), upstream: one-hot}\n",
]

BAD = [
    "layer: a\n",
    "layer: a\nforward: y = x\n",
    "inputs: {X: [N]}\nforward: y = x\n",
    BASE + "colour: red\n",
    BASE + "about:\n",
    BASE + "about: [a]\n",
    BASE + "output: Y\noutputs: [Y]\n",
    BASE + "output: [Y]\n",
    BASE + "outputs: Y\n",
    BASE + "outputs: []\n",
    BASE + "outputs: [Y, Y]\n",
    BASE + "constants: {c: sqrt(2)}\n",
    BASE + "constants: {c: true}\n",
    BASE + "constants: {lambda: 1}\n",
    BASE + "sizes: {N: 0}\n",
    BASE + "sizes: {N: '>2'}\n",
    BASE.replace("layer: a", "layer: two-layer"),
    BASE.replace("X:", "np:"),
    BASE.replace("X:", "__x:"),
    BASE.replace("[N, D]", "N"),
    BASE.replace("[N, D]", "[[N]]"),
    BASE.replace("[N, D]", "[0]"),
    BASE.replace("[N, D]", "[2.5]"),
    BASE.replace("[N, D]", "{index: C}"),
    BASE.replace("[N, D]", "{shape: [N], shap: 1}"),
    BASE.replace("[N, D]", "{shape: [N], dtype: int}"),
    BASE.replace("[N, D]", "{shape: [N], dtype: bool, index: C}"),
    BASE.replace("[N, D]", "{shape: [N], not: y}"),
    BASE.replace("[N, D]", "{shape: [N], constant: maybe}"),
    BASE.replace("[N, D]", "{shape: [N], domain: even}"),
    BASE.replace("[N, D]", "{shape: [N], domain: [1]}"),
    BASE.replace("[N, D]", "{shape: [N], domain: [a, 1]}"),
    BASE.replace("Y = X", '{"a": 1}'),
    BASE.replace("Y = X", "''"),
    BASE + "check:\n",
    BASE + "check: f(X)\n",
    BASE + "check: {forwards: f(X)}\n",
    BASE + "check: {gradients: X}\n",
    BASE + "check: {grads: [X]}\n",
    BASE + "check: {upstream: zeros}\n",
    BASE + "check: {load: {only: functions}}\n",
    BASE + "check: {load: {provide: {a-b: x = 1}}}\n",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_readers_accept_is_valid(text: str) -> None:
    load_text(text, "s.yaml")
    assert valid(text)


@pytest.mark.parametrize("text", BAD)
def test_what_the_schema_rejects_the_readers_refuse(text: str) -> None:
    with pytest.raises(SpecError):
        load_text(text, "s.yaml")
    assert not valid(text)


def test_the_keys_are_those_of_the_readers() -> None:
    whole = schema()
    check = whole["$defs"]["check"]["properties"]
    long_form = whole["$defs"]["variable"]["anyOf"][1]["properties"]
    assert tuple(whole["properties"]) == SECTIONS
    assert tuple(check) == checks.FIELDS
    assert tuple(check["load"]["properties"]) == checks.LOAD_FIELDS
    assert tuple(long_form) == variables.FIELDS
    assert whole["$defs"]["domain"]["anyOf"][0]["enum"] == list(domains.NAMED)


def test_every_key_has_a_description_for_the_editor() -> None:
    definitions = schema()["$defs"]

    def described(part: dict[str, Any]) -> bool:
        target = definitions.get(part.get("$ref", "").rpartition("/")[2], {})
        return bool(part.get("description") or target.get("description"))

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                assert described(value), key
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(schema())
