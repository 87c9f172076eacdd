"""What is equivalent, decided without gradtool: differences of the forward in extended precision.

The forward function of a layer's file is evaluated in `numpy.longdouble`; centered differences of
two step sizes are extrapolated (Richardson, 1911).  A mutant whose results agree with them at
several sizes is no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from gradtool.records import Struct
from gradtool.spec.model import Domain, LayerSpec

_STEP = np.longdouble(1e-4)
_AGREE = 1e-9
_SAME = 1e-11

Arrays = Mapping[str, Any]


class Draw(Struct, frozen=True):
    """Inputs, an upstream gradient, sizes and constants."""

    values: dict[str, Any]
    upstream: dict[str, np.ndarray]
    scalars: dict[str, Any]


class Sample(Draw, frozen=True):
    """A draw, and the gradients by differences."""

    gradients: dict[str, np.ndarray]


def draws(spec: LayerSpec, text: str, sizes: list[dict[str, int]], seed: int) -> list[Draw]:
    """One draw for each set of sizes."""
    return [
        _draw(spec, text, each, np.random.default_rng([seed, k])) for k, each in enumerate(sizes)
    ]


def _draw(spec: LayerSpec, text: str, sizes: dict[str, int], rng: np.random.Generator) -> Draw:
    constants = {n: v if isinstance(v, int) else float(v) for n, v in spec.constants.items()}
    whole = {**{n: v for n, v in constants.items() if isinstance(v, int)}, **sizes}
    values: dict[str, Any] = {}
    for variable in spec.variables:
        shape = tuple(dim.evaluate(whole) for dim in variable.shape)
        if variable.index is not None:
            values[variable.name] = rng.integers(variable.index.evaluate(whole), size=shape)
        else:
            values[variable.name] = _drawn(variable.domain, shape, rng)
    scalars = {**constants, **sizes}
    outputs = run(spec, text, values, {}, scalars, forward_only=True)
    upstream = {n: np.asarray(rng.standard_normal(np.shape(v))) for n, v in outputs.items()}
    if all(v.ndim == 0 for v in upstream.values()):
        upstream = {n: np.ones(()) for n in upstream}
    return Draw(values, upstream, scalars)


def samples(spec: LayerSpec, text: str, drawn: list[Draw]) -> list[Sample]:
    """The same draws with every entry of every gradient."""
    return [
        Sample(d.values, d.upstream, d.scalars, {n: _differences(spec, text, d, n) for n in wanted})
        for wanted in [[v.name for v in spec.variables if v.differentiable]]
        for d in drawn
    ]


def _drawn(domain: Domain, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of a domain; no layer of the suite has others than these."""
    match domain:
        case Domain(kind="real"):
            return np.asarray(rng.standard_normal(shape))
        case Domain(kind="binary"):
            return np.asarray(rng.integers(2, size=shape), dtype=float)
        case Domain(kind="positive"):
            return np.asarray(0.3 + np.abs(rng.standard_normal(shape)))
        case Domain(kind="interval", low=low, high=high) if low is not None and high is not None:
            return np.asarray(rng.uniform(float(low), float(high), shape))
    raise NotImplementedError(domain.kind)


def _differences(spec: LayerSpec, text: str, draw: Draw, name: str) -> np.ndarray:
    """The derivative by every entry of one variable."""
    shape = np.shape(draw.values[name])
    result = np.zeros(shape)
    for index in np.ndindex(shape):
        direction = np.zeros(shape)
        direction[index] = 1
        result[index] = _slope(spec, text, draw, name, direction)
    return result


def _slope(spec: LayerSpec, text: str, draw: Draw, name: str, direction: np.ndarray) -> float:
    """The derivative along a direction of one variable."""
    wide = {
        n: v.astype(np.longdouble) if v.dtype.kind == "f" else v for n, v in draw.values.items()
    }

    def projected(step: np.longdouble) -> Any:
        values = {**wide, name: wide[name] + step * direction}
        outputs = run(spec, text, values, {}, draw.scalars, forward_only=True)
        return sum(np.sum(u * outputs[n]) for n, u in draw.upstream.items())

    slopes = [(projected(s) - projected(-s)) / (2 * s) for s in (_STEP, _STEP / 2)]
    return float((4 * slopes[1] - slopes[0]) / 3)


@lru_cache(maxsize=16)
def _compiled(text: str) -> CodeType:
    """Differences run one text for every entry: compiling it costs more than running it."""
    return compile(text, "layer", "exec")


def run(
    spec: LayerSpec,
    text: str,
    values: Arrays,
    upstream: Arrays,
    scalars: Arrays,
    *,
    forward_only: bool = False,
) -> dict[str, Any]:
    """The outputs, or with the backward pass the gradients, of a file by its spec's snippets."""
    assert spec.check is not None
    module = ModuleType("layer")
    exec(_compiled(text), module.__dict__)
    space: dict[str, Any] = {
        **module.__dict__, "np": np, **scalars,
        **{n: np.array(v) for n, v in values.items()},
        **{f"d{n}": np.array(v) for n, v in upstream.items()},
    }  # fmt: skip
    blocks = [spec.check.setup, spec.check.forward]
    for block in blocks + ([] if forward_only else [spec.check.backward]):
        if block is not None and block.text:
            exec(_compiled(block.text), space)
    if forward_only:
        names = spec.outputs or (spec.forward.text.strip().splitlines()[-1].split("=")[0].strip(),)
        return {n: np.asarray(space[n]) for n in names}
    return {
        v.name: space[f"d{v.name}"]
        for v in spec.variables
        if v.differentiable and f"d{v.name}" in space
    }


def is_equivalent(spec: LayerSpec, text: str, points: list[Sample]) -> bool:
    """Whether a file's gradients are right at every sample; a (1, D) for a (D,) is."""
    for point in points:
        try:
            with np.errstate(all="ignore"):
                found = run(spec, text, point.values, point.upstream, point.scalars)
        except Exception:
            return False
        for name, right in point.gradients.items():
            if name not in found:
                continue
            try:
                got = np.asarray(found[name], dtype=float)
            except (TypeError, ValueError):
                return False
            if [s for s in got.shape if s != 1] != [s for s in right.shape if s != 1]:
                return False
            error = np.abs(got.reshape(right.shape) - right)
            if not np.all(error <= _AGREE * (1 + np.abs(right))):
                return False
    return True


def agrees(spec: LayerSpec, text: str, drawn: list[Draw]) -> bool:
    """Whether a file's gradients fit its own forward along a random direction of every variable.

    As sure as `is_equivalent`, since a wrong entry is seen along almost every direction, and as
    costly for a large array as for a small one; but it tells of no single entry.
    """
    rng = np.random.default_rng(9)
    for draw in drawn:
        found = run(spec, text, draw.values, draw.upstream, draw.scalars)
        for name, gradient in found.items():
            direction = rng.standard_normal(np.shape(draw.values[name]))
            got = np.asarray(gradient, dtype=float)
            if [s for s in got.shape if s != 1] != [s for s in direction.shape if s != 1]:
                return False
            parts = got.reshape(direction.shape) * direction
            slope = _slope(spec, text, draw, name, direction)
            if not abs(np.sum(parts) - slope) <= _AGREE * (1 + np.sum(np.abs(parts))):
                return False
    return True


Results = list[dict[str, np.ndarray]]


def results(spec: LayerSpec, text: str, points: list[Sample]) -> Results | None:
    """The gradients of a file at every sample; None where it raises or gives no numbers."""
    found: Results = []
    for point in points:
        try:
            with np.errstate(all="ignore"):
                gradients = run(spec, text, point.values, point.upstream, point.scalars)
            found.append({n: np.asarray(g, dtype=float) for n, g in gradients.items()})
        except Exception:
            return None
    return found


def same(one: Results, other: Results, points: list[Sample]) -> bool:
    """Whether two files give the same gradients at every sample."""
    return all(
        a.keys() == b.keys() and all(_near(a[n], b[n], point.gradients.get(n)) for n in a)
        for a, b, point in zip(one, other, points, strict=True)
    )


def _near(a: np.ndarray, b: np.ndarray, right: np.ndarray | None) -> bool:
    size = 1.0 if right is None else float(np.max(np.abs(right), initial=0.0))
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return bool(np.all(np.abs(a - b) <= _SAME * (size + np.abs(a))))


def facts(found: Results, points: list[Sample]) -> dict[str, frozenset[str]]:
    """What is true of the numbers of each wrong gradient, whatever was changed.

    It is zero everywhere; it is the right one but for a constant, or for its sign; it is the right
    one of another variable, and that of this one.  Such a statement is a right answer.
    """
    told = {}
    for name in found[0]:
        pairs = [(f[name], p.gradients[name]) for f, p in zip(found, points, strict=True)]
        if all(_near(got, right, right) for got, right in pairs):
            continue
        codes = set()
        if not any(np.any(got) for got, _ in pairs):
            codes.add("zero")
        ratio = _ratio(pairs)
        if ratio is not None:
            codes |= {"scale"} if ratio != -1 else {"scale", "sign"}
        for other in found[0]:
            if _is_gradient_of(found, points, name, other):
                mutual = _is_gradient_of(found, points, other, name)
                codes |= {"wrong-gradient", "order"} if mutual else {"wrong-gradient"}
        told[name] = frozenset(codes)
    return told


def _ratio(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """The one constant that every right entry is multiplied by, if there is one and it is not 0."""
    if any(got.shape != right.shape for got, right in pairs):
        return None
    entries = [(r, g) for got, right in pairs for r, g in zip(right.flat, got.flat, strict=True)]
    right_entry, entry = max(entries, key=lambda pair: abs(pair[0]), default=(0.0, 0.0))
    if right_entry == 0 or not np.isfinite(entry):
        return None
    ratio = float(entry / right_entry)
    with np.errstate(all="ignore"):
        close = all(_near(got, ratio * right, ratio * right) for got, right in pairs)
    if not close or ratio == 0:
        return None
    return -1.0 if abs(ratio + 1) < _AGREE else ratio


def _is_gradient_of(found: Results, points: list[Sample], name: str, other: str) -> bool:
    """Whether the right gradient of another variable is given as that of `name`."""
    return name != other and all(
        _near(f[name], p.gradients[other], p.gradients[other])
        for f, p in zip(found, points, strict=True)
    )
