"""What a file's forward is held against while layers are tried: right at each probe's constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradtool.check.trying import Layers
from tests.layers import bundled, verdict_on

HOLES = """
import numpy as np
def run_it(a, f{argument}):
    {line}
    n, c, h, w = a.shape
    k, _, r, s = f.shape
    out = np.zeros((n, k, h - (r - 1) * holes, w - (s - 1) * holes))
    for i in range(r):
        for j in range(s):
            part = a[:, :, i * holes:, j * holes:][:, :, :out.shape[2], :out.shape[3]]
            out += np.einsum("nchw,kc->nkhw", part, f[:, :, i, j])
    return out, (a, f)
def run_back(g, kept):
    raise NotImplementedError
"""


def test_the_right_outputs_are_those_of_the_probe() -> None:
    reference = bundled("leaky_relu")
    seen = set()
    for probe, right in Layers([reference], seed=0).points(reference):
        alpha, z = probe.scalars["alpha"], probe.values["Z"]
        seen.add(alpha)
        np.testing.assert_allclose(right["A"], np.where(z > 0, z, alpha * z), rtol=1e-15)
    assert len(seen) > 1


def test_a_window_is_tried_with_its_constants_where_it_fits(tmp_path: Path) -> None:
    """With the spec's own it does not fit where another dilation leaves room for it."""
    for argument, line in ((", dilation=2", "holes = dilation"), ("", "holes = 2")):
        text = HOLES.format(argument=argument, line=line)
        verdict = verdict_on(bundled("conv2d_dilated"), tmp_path, text)
        assert verdict.trouble is not None
        assert verdict.trouble.stage == "binding"
        assert "run_it" in verdict.trouble.message
        assert verdict.convention.endswith("because its forward gives the layer's numbers")
