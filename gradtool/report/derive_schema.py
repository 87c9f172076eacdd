"""The JSON Schema of what `derive --format json` prints."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_SIZES = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_TENSOR = {
    "of": {**_TEXT, "description": "the variable that it is the gradient of"},
    "name": {**_TEXT, "description": "what it is called in the texts: dW"},
    "shape": {"type": "array", "items": _TEXT, "description": 'sizes as texts: ["N", "2*H"]'},
}
_FORMULA = {
    **_TENSOR,
    "text": {**_TEXT, "description": "an assignment in the spec language"},
    "index": {**_TEXT, "description": "the same in subscripts"},
    "latex": {**_TEXT, "description": "the same as an equation for LaTeX's math mode"},
}


def differential_schema() -> dict[str, Any]:
    """Of `derive --format json` with --jvp, --jacobian, --hvp or --hessian."""
    line = {"name": _TEXT, "shape": _TENSOR["shape"], "text": _TEXT, "index": _TEXT, "latex": _TEXT}
    result = {
        **_TENSOR,
        "of": {
            **_TEXT,
            "description": "the output, or the variable with the gradient, that changes",
        },
        "wrt": {**_TEXT, "description": "the variable that is varied; empty along directions"},
        "zero": {"type": "boolean"},
        "symmetric": {"type": "boolean"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gradtool derive --format json, for directions and second derivatives",
        "type": "array",
        "items": _object(
            {
                "layer": _TEXT,
                "kind": {"enum": ["jvp", "jacobian", "hvp", "hessian"]},
                "dims": {"type": "array", "items": _TEXT},
                "directions": _array(_TENSOR),
                "upstream": _array(_TENSOR),
                "results": _array(result),
                "lines": _array(line),
                "certified": _CERTIFIED,
                "version": _TEXT,
            }
        ),
    }


def derive_schema() -> dict[str, Any]:
    """Draft 2020-12; later versions may add keys, so unknown ones are allowed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gradtool derive --format json",
        "type": "array",
        "items": _object(
            {
                "layer": _TEXT,
                "dims": {"type": "array", "items": _TEXT},
                "upstream": _array(_TENSOR),
                "gradients": _array(_FORMULA),
                "lines": _array({"role": {"enum": ["inner", "cotangent", "gradient"]}, **_FORMULA}),
                "kept": _array({"name": _TEXT, "text": _TEXT}),
                "zero": {"type": "array", "items": _TEXT},
                "certified": _CERTIFIED_GRADIENTS,
                "version": _TEXT,
            }
        ),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(properties)}


_MEASURED = {
    "digits": {"type": "integer", "minimum": 30},
    "size_sets": {"type": "array", "items": _SIZES, "minItems": 1},
    "skipped": {"type": "array", "items": _SIZES},
}
_CERTIFIED = _object(_MEASURED)
_CERTIFIED_GRADIENTS = _object(
    {
        **_MEASURED,
        "unseen": {"type": "array", "items": {"type": "integer"}},
        "zero": {"type": "array", "items": {"type": "string"}},
        "departures": _array(
            {
                "of": {"type": "array", "items": _TEXT},
                "where": _TEXT,
                "line": {"type": "integer"},
                "divides": {"type": "boolean"},
            }
        ),
    }
)
