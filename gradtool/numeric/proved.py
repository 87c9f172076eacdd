"""Emitted NumPy modules that were run: what is printed was held against the raw reverse sweep.

The certificate of a derivation is about its formulas.  The module that is emitted is another text:
it works in place, reuses what the forward pass kept and asks BLAS.  So it is executed, too, at the
sizes of the certificate, before anybody gets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradtool.derive.derivation import Derivation
from gradtool.derive.reverse import cotangent_name
from gradtool.emit.numpy_module import module_text
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.arithmetic import Double, HighPrecision
from gradtool.numeric.certify import CertificationError
from gradtool.numeric.compile import Compiled, compiled
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import Arithmetic, run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.numeric.samples import in_precision
from gradtool.spec.model import LayerSpec

Arrays = dict[str, Any]

CLOSE = 1e-6  # relative to the largest entry: rounding is far below, a wrong term far above
_LEAST = 1e-3  # entries below this count as if they were this large
_NOISE = 1e3  # times the rounding of the sweep itself
_DIGITS = 40
_SEEDS = (3, 4)


def proved_module(spec: LayerSpec, derivation: Derivation, *, erf: str = "scipy") -> str:
    """The emitted NumPy module of a derivation, after it was run.

    Args:
        erf: where the error function comes from, as for `module_text`.

    Raises:
        UnsupportedError: a word that has no NumPy text.
        CertificationError: it fails or computes something else; the message is a bug report.
    """
    text = module_text(spec, derivation, erf=erf)
    # The error function of Python's math module is there without SciPy.
    made = compiled(text if erf == "math" else module_text(spec, derivation, erf="math"))
    for sizes in size_sets(derivation.graph, spec.sizes):
        for seed in _SEEDS:
            _hold(spec, derivation, made, sizes, seed)
    return text


def _hold(
    spec: LayerSpec, derivation: Derivation, made: Compiled, sizes: Mapping[str, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = draw(spec, sizes, rng)
    shapes = {n: derivation.graph.tensors[n].shape for n in derivation.graph.outputs}
    setting = setting_for(derivation.graph, sizes, Double())
    upstream = {
        name: rng.standard_normal(tuple(setting.size(dim) for dim in shape))
        for name, shape in shapes.items()
    }
    expected = _swept(derivation, values, upstream, sizes, Double())
    if expected is None:
        return
    try:
        with np.errstate(all="ignore"):
            found = _executed(spec, derivation, made, values, upstream, sizes)
    except Exception as error:
        raise CertificationError(
            _report(spec, made, sizes, f"it fails: {type(error).__name__}: {error}")
        ) from error
    wrong = [name for name, error in _errors(found, expected) if not error <= CLOSE]
    if not wrong:
        return
    # Rounding may decide a tie, or swamp the digits: then the sweep is no judge either.
    exact = _swept(
        derivation,
        in_precision(spec, values, HighPrecision(_DIGITS)),
        upstream,
        sizes,
        HighPrecision(_DIGITS),
    )
    if exact is None:
        return
    noise = dict(_errors(expected, exact))
    errors = dict(_errors(found, exact))
    for name in wrong:
        if not errors[name] <= max(CLOSE, _NOISE * noise[name]):
            raise CertificationError(
                _report(spec, made, sizes, f"{name} differs by {errors[name]:.1e} of its largest")
            )


def _executed(
    spec: LayerSpec,
    derivation: Derivation,
    made: Compiled,
    values: Mapping[str, Any],
    upstream: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> Arrays:
    """The outputs and gradients of the module, by name."""
    told = {name: sizes[name] for name in made.sizes}
    outputs, cache = made.forward(*(values[v.name] for v in spec.variables), **told)
    several = len(derivation.graph.outputs) > 1
    found = dict(zip(derivation.graph.outputs, outputs if several else (outputs,), strict=True))
    seeds = [seed if seed.shape else float(seed) for seed in upstream.values()]
    gradients = made.backward(tuple(seeds) if several else seeds[0], cache)
    return {**found, **gradients._asdict()}


def _swept(
    derivation: Derivation,
    values: Mapping[str, Any],
    upstream: Mapping[str, Any],
    sizes: Mapping[str, int],
    arithmetic: Arithmetic,
) -> Arrays | None:
    """The same by the raw reverse sweep; None where it divides by zero or is not finite."""
    sweep = derivation.cotangents
    setting = setting_for(sweep.graph, sizes, arithmetic)
    try:
        with np.errstate(all="ignore"):
            known = run(sweep.graph.statements, dict(values), setting)
            given = {
                sweep.upstream[name].name: np.asarray(arithmetic.number(1))
                if derivation.is_loss
                else np.asarray(np.frompyfunc(arithmetic.number, 1, 1)(seed))
                if isinstance(arithmetic, HighPrecision)
                else seed
                for name, seed in upstream.items()
            }
            found = run(sweep.statements, {**known, **given}, setting)
    except (ZeroDivisionError, UnsupportedError, np.linalg.LinAlgError, OverflowError):
        return None
    scale = next(iter(upstream.values())) if derivation.is_loss else 1.0
    result = {name: np.asarray(known[name], dtype=float) for name in derivation.graph.outputs}
    for line in derivation.lines:
        if line.role == "gradient" and line.of in sweep.of:
            gradient = np.asarray(found[sweep.of[line.of].name], dtype=float)
            result[cotangent_name(line.of)] = scale * gradient
    return result if all(np.all(np.isfinite(array)) for array in result.values()) else None


def _errors(found: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The largest difference of each array, relative to its largest entry."""
    for name, right in expected.items():
        mine = np.asarray(found[name], dtype=float)
        if mine.shape != right.shape:
            yield name, np.inf
            continue
        largest = max(float(np.max(np.abs(right), initial=0)), _LEAST)
        gap = float(np.max(np.abs(mine - right), initial=0))
        yield name, gap / largest if np.isfinite(gap) else np.inf


def _report(spec: LayerSpec, made: Compiled, sizes: Mapping[str, int], what: str) -> str:
    shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return (
        f"the emitted NumPy code of '{spec.name}' does not compute the certified gradients "
        f"({what}, at {shown})\n\nthe spec:\n{spec.text}\n\nthe module:\n{made.text}"
    )
