"""Directions, Jacobians and second derivatives as JSON, for programs.

    layer       the name of the spec
    kind        jvp, jacobian, hvp or hessian
    dims        the names of its sizes, in order of first use
    directions  what must be given beside the inputs, [{of, name, shape}]
    upstream    the cotangents that are held fixed, [{of, name, shape}]; empty for a loss and for
                first derivatives
    results     [{name, of, wrt, shape, zero, symmetric}]: `of` is the output whose change it is,
                or (second order) the variable whose gradient's change it is; `wrt` is the variable
                that is varied, "" when all are, along the directions; the axes are those of `of`,
                then those of `wrt`; `symmetric` is true when that is proved
    lines       what must be computed after the forward pass, in an order that can be run
    kept        what the loops of the forward pass keep, [{name, text}]
    certified   {digits, size_sets, skipped}, as for gradients
    version     of gradtool

A line has name, shape, text (an assignment in the spec language), latex, and index: the same in
subscripts, "" for a repeated expression that only the array form shares.  The results of a loop
have the text of the loop, all of them the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradtool import __version__
from gradtool.derive.second import Differential
from gradtool.emit.differential import subscript_forms
from gradtool.emit.latex_differential import latex_lines
from gradtool.emit.loops import block_lines, tape_text
from gradtool.emit.text import line as text_line
from gradtool.ir.dims import Dim
from gradtool.numeric.certify import Certificate
from gradtool.spec.model import LayerSpec


def differential_json(
    spec: LayerSpec, found: Differential, certificate: Certificate
) -> dict[str, Any]:
    """One object, ready for `json.dump`."""
    index = subscript_forms(found)
    latex = latex_lines(found)
    return {
        "layer": spec.name,
        "kind": found.kind,
        "dims": list(found.graph.dimensions),
        "directions": _given(found.directions),
        "upstream": _given(found.upstream),
        "results": [
            {
                "name": r.name,
                "of": r.of,
                "wrt": r.wrt,
                "shape": _shape(r.shape),
                "zero": r.zero,
                "symmetric": r.symmetric,
            }
            for r in found.results
        ],
        "lines": [
            {
                "name": p.name,
                "shape": _shape(p.shape),
                "text": text_line(p.name, p.tree)
                if p.block is None
                else "\n".join(block_lines(p.block)),
                "index": index.get(p.name, ""),
                "latex": latex[p.name],
            }
            for p in found.lines
        ],
        "kept": [{"name": tape.name, "text": tape_text(tape)} for tape in found.tapes],
        "certified": {
            "digits": certificate.digits,
            "size_sets": [dict(sizes) for sizes in certificate.size_sets],
            "skipped": [dict(sizes) for sizes in certificate.skipped],
        },
        "version": __version__,
    }


def _given(tensors: Mapping[str, tuple[str, tuple[Dim, ...]]]) -> list[dict[str, Any]]:
    return [
        {"of": of, "name": name, "shape": _shape(shape)} for of, (name, shape) in tensors.items()
    ]


def _shape(shape: Sequence[Dim]) -> list[str]:
    return [str(dim) for dim in shape]
