"""The JSON of `derive` has the documented keys, and its formulas are the hand-written ones."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gradtool import __version__
from gradtool.derive.derivation import derive
from gradtool.numeric.certify import certify
from gradtool.report.derive_json import derive_json
from gradtool.report.derive_schema import derive_schema
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from tests.emit.examples import example


def layer(name: str) -> Any:
    spec, derivation = example(name)
    made = derive_json([(spec, derivation, certify(spec, graph_of(spec), derivation))])
    jsonschema.validate(made, derive_schema(), jsonschema.Draft202012Validator)
    assert json.loads(json.dumps(made)) == made
    return made[0]


def test_the_affine_layer() -> None:
    found = layer("affine")
    assert found["layer"] == "affine"
    assert found["dims"] == ["N", "D", "C"]
    assert found["upstream"] == [{"of": "Y", "name": "dY", "shape": ["N", "C"]}]
    assert found["gradients"][1] == {
        "of": "W",
        "name": "dW",
        "shape": ["D", "C"],
        "text": "dW = X.T @ dY",
        "index": "dW[d,c] = Σ_n X[n,d] dY[n,c]",
        "latex": r"\frac{\partial L}{\partial W} = X^{\top} \, \frac{\partial L}{\partial Y}",
    }
    assert [g["name"] for g in found["gradients"]] == ["dX", "dW", "db"]
    assert found["certified"]["digits"] >= 30
    assert all(set(sizes) == {"N", "D", "C"} for sizes in found["certified"]["size_sets"])
    assert found["version"] == __version__


def test_a_loss_has_no_upstream_gradient() -> None:
    found = layer("softmax_ce")
    assert found["upstream"] == []
    assert [g["text"] for g in found["gradients"]] == ["dS = (P - onehot(y)) / N"]


def test_the_lines_hold_everything_that_the_gradients_name() -> None:
    found = layer("two_layer")
    roles = {line["name"]: line["role"] for line in found["lines"]}
    assert roles == {
        "z": "inner",
        "dz": "cotangent",
        "dX": "gradient",
        "dW1": "gradient",
        "db1": "gradient",
        "dW2": "gradient",
        "db2": "gradient",
    }
    hidden = {line["name"] for line in found["lines"] if line["of"] == ""}
    assert hidden == {"z", "dz"}  # the spec names neither


def test_a_variable_that_nothing_depends_on_is_named() -> None:
    assert set(layer("word0")["zero"]) < {"X", "Z", "Q", "T3", "b"}


def test_where_a_formula_is_not_the_derivative_of_the_layer() -> None:
    assert layer("affine")["certified"]["departures"] == []
    spec = load_text("layer: t\ninputs: {X: [N]}\nforward: |\n  Y = abs(X) * sign(X)\n", "t")
    graph = graph_of(spec)
    derivation = derive(graph)
    made = derive_json([(spec, derivation, certify(spec, graph, derivation))])
    jsonschema.validate(made, derive_schema(), jsonschema.Draft202012Validator)
    (one,) = made[0]["certified"]["departures"]
    assert one == {"of": ["X"], "where": "X == 0", "line": 1, "divides": False}


def test_the_schema_can_fail() -> None:
    spec, derivation = example("affine")
    made = derive_json([(spec, derivation, certify(spec, graph_of(spec), derivation))])
    del made[0]["gradients"][0]["latex"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(made, derive_schema(), jsonschema.Draft202012Validator)
