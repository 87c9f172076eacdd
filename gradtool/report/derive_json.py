"""Derivations as JSON, for programs: a stable format, described by `derive_schema`.

An array with one object for each spec:

    layer       the name of the spec
    dims        the names of its sizes, in order of first use
    upstream    the given cotangents, [{of, name, shape}]; empty for a loss
    gradients   [{of, name, shape, text, index, latex}], inputs before parameters
    lines       the backward pass in an order that can be run: the gradients, the cotangents that
                several of them share and the inner values that they need, each with its `role`
    kept        values of the steps of a loop that its backward pass needs, [{name, text}]; each is
                an array with the step on its first axis
    zero        variables whose gradient is zero: no output depends on them, but through comparisons
    certified   {digits, size_sets, skipped, unseen, zero, departures}: the agreement with 60-digit
                differences is 1e-digits or better, at each of these sizes; skipped are sizes at
                which the layer itself is singular, unseen the lines with a condition of which no
                sample showed both sides, zero the variables whose gradient was zero at every
                sample, departures where the layer has a derivative and a formula is not it:
                [{of, where, line, divides}], the variables, the equation that such points fulfil
                ("" where it has no short text), the line of the forward pass, and whether the
                formula divides by zero there; else it follows the conventions of single operations
    version     of gradtool

`of` is the variable that a gradient is the gradient of; "" for an inner value, and for the
cotangent of a value that the spec did not name.  `shape` is a list of texts (["N", "2*H"]).
`text` is an assignment in the spec language, `index` the same in subscripts, `latex` an equation
for math mode.  A gradient that comes from a loop has the text of the whole loop; all gradients
of one loop have the same.  New keys may be added; these keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gradtool import __version__
from gradtool.derive.derivation import Derivation
from gradtool.emit.latex import block_latex, derivation_notation, latex_line
from gradtool.emit.loops import block_lines, tape_text
from gradtool.emit.subscript_loops import looped_subscripts
from gradtool.emit.text import line as text_line
from gradtool.ir.dims import Dim
from gradtool.numeric.certify import Certificate
from gradtool.spec.model import LayerSpec


def derive_json(
    results: Iterable[tuple[LayerSpec, Derivation, Certificate]],
) -> list[dict[str, Any]]:
    """The array, ready for `json.dump`."""
    return [_layer(spec, derivation, certificate) for spec, derivation, certificate in results]


def _layer(spec: LayerSpec, derivation: Derivation, certificate: Certificate) -> dict[str, Any]:
    lines = _lines(derivation)
    gradients = {line["of"]: line for line in lines if line["role"] == "gradient"}
    order = [v.name for v in spec.variables if v.name in gradients]
    order += [name for name in gradients if name not in order]  # values of the forward pass
    return {
        "layer": spec.name,
        "dims": list(derivation.graph.dimensions),
        "upstream": [
            {"of": out, "name": name, "shape": _shape(shape)}
            for out, (name, shape) in derivation.upstream.items()
        ],
        "gradients": [
            {key: value for key, value in gradients[name].items() if key != "role"}
            for name in order
        ],
        "lines": lines,
        "kept": [{"name": tape.name, "text": tape_text(tape)} for tape in derivation.tapes],
        "zero": list(derivation.zero),
        "certified": {
            "digits": certificate.digits,
            "size_sets": [dict(sizes) for sizes in certificate.size_sets],
            "skipped": [dict(sizes) for sizes in certificate.skipped],
            "unseen": list(certificate.unseen),
            "zero": list(certificate.zero),
            "departures": [
                {"of": list(d.of), "where": d.where, "line": d.line, "divides": d.divides}
                for d in certificate.departures
            ],
        },
        "version": __version__,
    }


def _lines(derivation: Derivation) -> list[dict[str, Any]]:
    notation = derivation_notation(derivation)
    index = looped_subscripts(derivation)
    named = {name for name in derivation.graph.tensors if not name.startswith("_")}
    return [
        {
            "role": line.role,
            "of": line.of if line.of in named else "",
            "name": line.name,
            "shape": _shape(line.shape),
            "text": text_line(line.name, line.tree)
            if line.block is None
            else "\n".join(block_lines(line.block)),
            "index": index[line.name],
            "latex": latex_line(line.name, line.tree, notation)
            if line.block is None
            else block_latex(line.block, notation),
        }
        for line in derivation.lines
    ]


def _shape(shape: Sequence[Dim]) -> list[str]:
    return [str(dim) for dim in shape]
