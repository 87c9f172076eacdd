"""The JSON Schema of a spec file, for completion and checks in editors.

It says what the readers of `gradtool.spec.sections` accept, as far as a schema can: names that
clash, code that is no Python and sizes that are no integer polynomials are theirs alone.
"""

from __future__ import annotations

import keyword
from typing import Any

from gradtool.spec.chance import MAX_LENGTH, WORD
from gradtool.spec.names import MAX_NAME_LENGTH
from gradtool.spec.scalars import MAX_SIZE
from gradtool.spec.sections.domains import NAMED

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LETTER = "A-Za-z_\u00aa-\uffff"
_WORD = f"[{_LETTER}][0-9{_LETTER}]*"
_RESERVED = "|".join(["np", *keyword.kwlist])
NAME_PATTERN = f"^(?!__)(?!(?:{_RESERVED})$){_WORD}$"


def schema() -> Schema:
    """A new JSON Schema (draft 2020-12) of a layer spec."""
    return {
        "$schema": DIALECT,
        "title": "gradtool layer spec",
        "description": "The forward pass of a layer, from which gradtool derives the backward.",
        "$defs": {
            "name": {
                "description": "A name that formulas can use.",
                "type": "string",
                "pattern": NAME_PATTERN,
                "maxLength": MAX_NAME_LENGTH,
            },
            "code": _text("Python; several lines need the block form |."),
            "number": _number("A number: 2, 0.5, 1e-5 or 1/3."),
            "size": {
                "description": "A size: a dimension, an integer, or a polynomial of them such "
                "as (H + 2*pad - K)//stride + 1.",
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
                    {"type": "string", "pattern": "\\S", "maxLength": 200},
                ],
            },
            "shape": {
                "description": "Sizes of the axes, in order; [] is a scalar.",
                "type": "array",
                "items": {"$ref": "#/$defs/size"},
            },
            "domain": _domain(),
            "variable": {
                "description": "A shape, or a mapping with shape: and more.",
                "anyOf": [{"$ref": "#/$defs/shape"}, _long_form()],
            },
            "check": _check(),
        },
        **_mapping(
            {
                "layer": _described("#/$defs/name", "The name of the layer."),
                "about": _text("What the layer computes, in a sentence."),
                "reference": _text("The paper or the course that defines the layer."),
                "inputs": _named("variable", "What the layer is given, with shapes."),
                "parameters": _named("variable", "What is learned, with shapes."),
                "constants": _named(
                    "number", "Named numbers; an integer (stride: 2) may stand in sizes."
                ),
                "sizes": _sizes(),
                "forward": _text("The forward pass: assignments in NumPy-like maths."),
                "output": _described(
                    "#/$defs/name", "The result; by default the last name assigned."
                ),
                "outputs": _names("The results, when there are several."),
                "check": {"$ref": "#/$defs/check"},
            }
        ),
        "required": ["layer", "forward"],
        "anyOf": [{"required": ["inputs"]}, {"required": ["parameters"]}],
        "not": {"required": ["output", "outputs"]},
    }


def _long_form() -> Schema:
    truth = {"type": "boolean"}
    return {
        **_mapping(
            {
                "shape": {"$ref": "#/$defs/shape"},
                "index": _described(
                    "#/$defs/size",
                    "The values are labels: 0 <= value < this size. They get no gradient.",
                ),
                "not": _described("#/$defs/name", "Another label, which it never equals."),
                "dtype": {
                    "description": "real (the default) or bool; a label has index: instead.",
                    "enum": ["real", "bool"],
                },
                "constant": {"description": "Not differentiated.", **truth},
                "read": {
                    "description": "Drawn by the user's code: check.forward assigns it.",
                    **truth,
                },
                "domain": {"$ref": "#/$defs/domain"},
            }
        ),
        "required": ["shape"],
        "dependentRequired": {"not": ["index"]},
        "not": {"required": ["index", "dtype"]},
    }


def _domain() -> Schema:
    end = {
        "anyOf": [
            {"$ref": "#/$defs/number"},
            {"type": "null"},
            {"enum": ["inf", "-inf", ".inf", "-.inf"]},
        ]
    }
    return {
        "description": "What is sampled: a named set (sign is -1 or 1, binary 0 or 1), a closed "
        "interval such as [0, 1], or bernoulli(p): 0 or 1, and 1 with the probability p.",
        "anyOf": [
            {"enum": list(NAMED)},
            {"type": "string", "pattern": f"^\\s*{WORD}\\s*\\(.+\\)\\s*$", "maxLength": MAX_LENGTH},
            {"type": "array", "items": end, "minItems": 2, "maxItems": 2},
        ],
    }


def _sizes() -> Schema:
    return {
        "description": "How dimensions are chosen for numeric work: N: 4 pins, N: '>=2' bounds.",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"$ref": "#/$defs/name"},
        "additionalProperties": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
                {"type": "string", "pattern": "^\\s*(>=)?\\s*[0-9_]+\\s*$"},
            ]
        },
    }


def _check() -> Schema:
    return {
        "description": "How your own code is called, and where its gradients are found.",
        "minProperties": 1,
        **_mapping(
            {
                "setup": _described("#/$defs/code", "Runs before every evaluation."),
                "forward": _described(
                    "#/$defs/code", "Calls your forward pass: Y, cache = f(X, W, b)."
                ),
                "backward": _described(
                    "#/$defs/code", "Calls your backward pass: dX, dW, db = g(dY, cache)."
                ),
                "gradients": _names("The variables whose gradients your code offers."),
                "grads": _named("code", "Expressions for gradients, such as W: step(layer.W)."),
                "scale": _named("code", "A course's own scale of a gradient, such as W: m."),
                "upstream": {
                    "description": "A restricted contract of the upstream gradient.",
                    "anyOf": [
                        {"enum": ["one-hot", "ones"]},
                        _mapping({"scale": _number("How large it is, such as 1e-3.")}),
                    ],
                },
                "load": {
                    "description": "How a file with baggage is imported.",
                    **_mapping(
                        {
                            "root": _text("The root of the package that holds the file."),
                            "only": {
                                "description": "Import definitions, without top-level effects.",
                                "const": "definitions",
                            },
                            "python": {
                                "description": "2: the file is Python 2 and is converted.",
                                "enum": [2, 3],
                            },
                            "provide": {
                                "description": "Stand-ins for missing modules: name and code.",
                                "type": "object",
                                "minProperties": 1,
                                "propertyNames": {"pattern": f"^{_WORD}(\\.{_WORD})*$"},
                                "additionalProperties": {"$ref": "#/$defs/code"},
                            },
                        }
                    ),
                },
            }
        ),
    }


def _mapping(properties: Schema) -> Schema:
    """Fixed keys, and ``x-…`` keys of the writer's own."""
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
    }


def _named(value: str, description: str) -> Schema:
    return {
        "description": description,
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"$ref": "#/$defs/name"},
        "additionalProperties": {"$ref": f"#/$defs/{value}"},
    }


def _names(description: str) -> Schema:
    return {
        "description": description,
        "type": "array",
        "items": {"$ref": "#/$defs/name"},
        "minItems": 1,
        "uniqueItems": True,
    }


def _number(description: str) -> Schema:
    decimal = "[-+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][-+]?[0-9]+)?"
    return {
        "description": description,
        "anyOf": [
            {"type": "number"},
            {"type": "string", "pattern": f"^\\s*{decimal}\\s*(/\\s*{decimal}\\s*)?$"},
        ],
    }


def _text(description: str) -> Schema:
    return {"description": description, "type": "string", "pattern": "\\S"}


def _described(reference: str, description: str) -> Schema:
    return {"description": description, "$ref": reference}
