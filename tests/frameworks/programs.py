"""Emitted PyTorch and JAX code of random programs against the emitted NumPy code.

    python -m tests.frameworks.programs torch|jax 300 [--first 0] [--loops]

The NumPy code was held against the raw reverse sweep when it was emitted.  Outputs and gradients
must be the same numbers, and finite where those are.  Exit code 1 when they were not, or something
crashed.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradtool.emit.frameworks.jax_module import jax_module
from gradtool.emit.frameworks.torch_module import torch_module
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.certify import CertificationError
from gradtool.numeric.reference import SamplingError
from gradtool.spec.errors import SpecError
from tests.frameworks.jax_functions import jax
from tests.frameworks.layers import Layer, compiled_function, keywords, layer_of
from tests.frameworks.torch_functions import torch
from tests.programs.generate import generate
from tests.programs.looping import generate_loop

Found = Mapping[str, Any]
_CLOSE = 1e-7  # relative to the largest entry; rounding differs from library to library


def in_torch(one: Layer) -> Found:
    """Outputs and gradients of the emitted PyTorch module, by name."""
    t = torch()
    function = compiled_function(torch_module(one.spec, one.derivation), one.spec.name)
    tensors = {
        v.name: t.from_numpy(np.array(one.values[v.name])).requires_grad_(v.name in one.wanted)
        for v in one.spec.variables
    }
    made = function(*tensors.values(), **keywords(function, one.sizes))
    outputs = made if isinstance(made, tuple) else (made,)
    upstream = [t.from_numpy(np.array(g)).to(outputs[0].dtype) for g in one.upstream.values()]
    reached = [(y, g) for y, g in zip(outputs, upstream, strict=True) if y.requires_grad]
    leaves = [tensors[name] for name in one.wanted]
    ends, given = zip(*reached, strict=True)
    found = t.autograd.grad(ends, leaves, given, allow_unused=True)
    gradients = {
        f"d{name}": np.zeros(leaf.shape) if g is None else g.numpy()
        for name, leaf, g in zip(one.wanted, leaves, found, strict=True)
    }
    shown = {n: y.detach().numpy() for n, y in zip(one.reference.outputs, outputs, strict=True)}
    return {**shown, **gradients}


def in_jax(one: Layer) -> Found:
    """Outputs and gradients of the emitted JAX module, by name."""
    function = compiled_function(jax_module(one.spec, one.derivation), one.spec.name)
    arrays = {v.name: np.asarray(one.values[v.name]) for v in one.spec.variables}
    told = keywords(function, one.sizes)

    def of_wanted(*wanted: Any) -> Any:
        return function(*{**arrays, **dict(zip(one.wanted, wanted, strict=True))}.values(), **told)

    made, pull = jax().vjp(of_wanted, *(arrays[name] for name in one.wanted))
    several = isinstance(made, tuple)
    outputs = made if several else (made,)
    upstream = tuple(
        np.asarray(g, dtype=y.dtype) for g, y in zip(one.upstream.values(), outputs, strict=True)
    )
    gradients = pull(upstream if several else upstream[0])
    return {
        **{n: np.asarray(y) for n, y in zip(one.reference.outputs, outputs, strict=True)},
        **{f"d{n}": np.asarray(g) for n, g in zip(one.wanted, gradients, strict=True)},
    }


RUN: Mapping[str, Callable[[Layer], Found]] = {"torch": in_torch, "jax": in_jax}


def differing(one: Layer, found: Found) -> list[str]:
    """What is not as in the emitted NumPy code, in words."""
    right = {
        **one.reference.forward(one.values, one.sizes),
        **{f"d{name}": gradient for name, gradient in one.gradients().items()},
    }
    told = []
    for name, value in right.items():
        shown, value = np.asarray(found[name], dtype=float), np.asarray(value, dtype=float)
        if shown.shape != value.shape:
            told.append(f"{name} has the shape {shown.shape}, should be {value.shape}")
            continue
        scale = float(np.max(np.abs(value[np.isfinite(value)]), initial=1.0))
        if not np.allclose(shown, value, rtol=_CLOSE, atol=_CLOSE * scale, equal_nan=True):
            told.append(f"{name} is\n{shown}\nshould be\n{value}")
    return told


def judged(text: str, framework: str) -> tuple[str, str]:
    """What came of it in one word, and what is to be told of it."""
    try:
        one = layer_of(text)
    except (SpecError, UnsupportedError, SamplingError) as error:
        return "refused", str(error).splitlines()[0]
    except CertificationError as error:
        return "uncertified", str(error)
    except Exception:
        return "crashed", "\n".join(traceback.format_exc().splitlines()[-6:])
    try:
        told = differing(one, RUN[framework](one))
    except UnsupportedError as error:
        return "unsupported", str(error).splitlines()[0]
    except Exception:
        return "crashed", "\n".join(traceback.format_exc().splitlines()[-6:])
    return ("wrong", "\n".join(told)) if told else ("agrees", "")


def main(arguments: list[str] | None = None) -> int:
    """Print what went wrong, and how often."""
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks.programs")
    parser.add_argument("framework", choices=sorted(RUN))
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--loops", action="store_true", help="programs with a loop in each")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", RuntimeWarning)
    make = generate_loop if given.loops else generate
    counts: Counter[str] = Counter()
    for seed in range(given.first, given.first + given.count):
        program = make(random.Random(seed))
        status, why = judged(program.yaml, given.framework)
        counts[status] += 1
        if status not in ("agrees", "refused"):
            print(f"program {seed}: {status}: {why}\n{program.yaml}", file=sys.stderr, flush=True)
    for status, number in sorted(counts.items()):
        print(f"{status:<12} {number:>6}")
    return int(any(status in ("wrong", "crashed", "uncertified") for status in counts))


if __name__ == "__main__":
    sys.exit(main())
