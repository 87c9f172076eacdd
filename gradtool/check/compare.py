"""One array of the user's against the right one: shape, dtype, finiteness, every entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeVar

import numpy as np

from gradtool.check.bounds import Bounded, Pair, rms
from gradtool.check.convert import Value
from gradtool.check.result import Remark, Worst
from gradtool.check.tolerance import CLEARLY, Target
from gradtool.ir.dims import Dim, shape_text, sizes_text
from gradtool.numeric.shake import Arrays
from gradtool.records import Struct

Role = Literal["output", "gradient"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SINGLE = ("float32", "float16", "bfloat16")
_TOLD = 1e-12  # rounding of something that is not zero is less
_DOUBT = 1e5  # times its bound: what is further out is no matter of rounding

_KINDS = {
    "none": "is None: nothing was computed for it",
    "text": "is text",
    "ragged": "is a list whose rows differ in length",
    "object": "is no array of numbers",
    "complex": "is complex",
    "large": "is far larger than it should be",
    "error": "could not be computed",
}


class Outcome(Struct, frozen=True):
    """How one array of one probe compares.

    `array` is the user's, in the right shape, when it has one; `bound` is what its entries were
    held to; `error` is the largest difference relative to the scale of the right array;
    `single` tells that it was judged as float32; `kind` is that of the `Value`; `finite` is
    false when the right array is finite and the user's is not.
    """

    right: bool
    array: np.ndarray | None
    message: str = ""
    worst: Worst | None = None
    error: float | None = None
    remarks: tuple[Remark, ...] = ()
    single: bool = False
    kind: str = "array"
    finite: bool = True
    bound: np.ndarray | None = None


class _Both(Protocol[T_co]):
    @property
    def outputs(self) -> Mapping[str, T_co]: ...

    @property
    def gradients(self) -> Mapping[str, T_co]: ...


def label_of(role: Role, name: str) -> str:
    """What is told of an output or a gradient: ``Y``, ``dX``."""
    return name if role == "output" else f"d{name}"


def by_role(both: _Both[T], role: Role) -> Mapping[str, T]:
    """The outputs or the gradients of what has both, such as a point or an answer."""
    return both.outputs if role == "output" else both.gradients


def all_of(pair: Pair, role: Role) -> Arrays:
    """The outputs or the gradients of what a reference gives."""
    return pair[0] if role == "output" else pair[1]


def arrays_of(bounded: Bounded, role: Role, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The right array of an output or a gradient, and its bound."""
    if role == "output":
        return bounded.outputs[name], bounded.output_bounds[name]
    return bounded.gradients[name], bounded.gradient_bounds[name]


def is_near(got: np.ndarray, right: np.ndarray, share: float, least: float = 0.0) -> bool:
    """Whether arrays are one but for a share of the largest entry of `right`, or for `least`.

    What is not finite is near what is just so.
    """
    if got.shape != right.shape:
        return False
    finite = np.isfinite(got) & np.isfinite(right)
    most = share * float(np.max(np.abs(right), initial=0.0, where=finite)) + least
    with np.errstate(all="ignore"):
        close = np.abs(got - right) <= most
    return bool(np.all(close | (got == right) | (np.isnan(got) & np.isnan(right))))


def place_of(array: np.ndarray) -> tuple[int, ...]:
    """The indices of the largest entry, or of the first that is true."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(array)), array.shape))


def compare(
    role: Role,
    name: str,
    value: Value,
    expected: Target,
    dims: tuple[Dim, ...],
    sizes: Mapping[str, int],
    slack: float = 0.0,
) -> Outcome:
    """Compare a user's value of an output, or of the gradient of a variable, with the right one.

    `dims` is its symbolic shape, `sizes` the probe's; `slack` is added to every bound.
    """
    label = label_of(role, name)
    if value.array is None or value.array.dtype.kind == "c":
        message = f"{label} {_KINDS.get(value.kind, 'cannot be read')}"
        detail = f" ({value.detail})" if value.detail else ""
        return Outcome(False, None, message + detail, kind=value.kind)
    single = value.dtype in SINGLE
    right, bound = arrays_of(
        expected.single(value.dtype) if single else expected.double, role, name
    )
    got, remarks = value.array, []
    if got.shape != right.shape:
        if _squeezed(got.shape) != _squeezed(right.shape):
            return Outcome(False, None, _shape_message(label, got, right, bound, dims, sizes))
        wanted = shape_text(dims)
        text = f"{label} has shape {_named(got.shape, sizes)} for {wanted}: same entries"
        remarks.append(Remark("shape", text))
        got = got.reshape(right.shape)
    finite = np.isfinite(got)
    if not finite.all() and np.all(np.isfinite(right)):
        index = place_of(~finite)
        count = int(np.count_nonzero(~finite))
        message = f"{label}{list(index)} is {got[index]}; {count} of {got.size} entries are"
        return Outcome(False, got, message + " not finite", finite=False)
    if single:
        remarks.append(Remark("float32", f"{label} is {value.dtype} and was judged as such"))
    held = bound + slack if slack else bound
    worst, largest = _worst(got, right, held, sizes)
    # In a shorter type a kink that is crossed moves its entries by all they are.
    most = np.inf if single else _DOUBT
    if worst is not None and worst.bound < worst.error <= most * worst.bound:
        for doubt in expected.doubts(name, value.dtype if single else ""):
            right, bound = arrays_of(doubt, role, name)
            held = bound + slack if slack else bound
            worst, largest = _worst(got, right, held, sizes)
            if worst is None or worst.error <= worst.bound or worst.error > CLEARLY * worst.bound:
                break
    message = ""
    is_right = worst is None or worst.error <= worst.bound
    if not is_right and value.dtype.startswith(("int", "uint", "bool")):
        message = f"{label} is {value.dtype}: an integer buffer cuts off the decimals"
    unknown = int(np.count_nonzero(np.isinf(held) & np.isfinite(right)))
    if unknown:
        text = (
            f"{label} has {unknown} of {got.size} entries that are not compared at "
            f"{sizes_text(sizes)}: every move of the inputs by a unit in their last place gives no "
            "number there"
        )
        remarks.append(Remark("uncompared", text))
    error = largest / (rms(right) or 1.0)
    if is_right and error > _TOLD and np.all(np.abs(right) <= held):
        error = largest  # nothing is a share of a zero that is only rounding
    return Outcome(is_right, got, message, worst, error, tuple(remarks), single, bound=held)


def _worst(
    got: np.ndarray, right: np.ndarray, bound: np.ndarray, sizes: Mapping[str, int]
) -> tuple[Worst | None, float]:
    """The entry with the largest error in units of its bound, and the largest error of any.

    There is no entry in an empty array.
    """
    if not got.size:
        return None, 0.0
    with np.errstate(all="ignore"):
        error = np.asarray(np.subtract(got, right, dtype=np.float64))
        np.abs(error, out=error)
        largest = float(error.max())  # not a number where both are infinite
        excess = np.asarray(error / bound)
        if not np.isfinite(excess.max()):  # infinities that agree, a bound of zero
            error = np.where(got == right, 0.0, error)
            excess = np.where(error == 0, 0.0, np.where(np.isnan(error), np.inf, error / bound))
    place = place_of(excess)
    worst = Worst(
        place,
        float(got[place]),
        float(right[place]),
        float(error[place]),
        float(bound[place]),
        tuple(sizes.items()),
    )
    return worst, largest


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _shape_message(
    label: str,
    got: np.ndarray,
    right: np.ndarray,
    bound: np.ndarray,
    dims: tuple[Dim, ...],
    sizes: Mapping[str, int],
) -> str:
    said = f"{label} has shape {_named(got.shape, sizes)}, should be {shape_text(dims)}"
    extra = got.ndim - right.ndim
    if extra > 0 and got.shape[extra:] == right.shape:
        axes = tuple(range(extra))
        fits = bool(np.all(np.abs(got.sum(axis=axes) - right) <= bound * got.size))
        which = "axis 0" if extra == 1 else f"axes {axes}"
        if fits:
            return f"{said}: the sum over {which} is missing (with it, every entry is right)"
        return f"{said}, and summed over {which} it is wrong, too"
    if got.ndim == 0 and right.ndim and abs(float(got) - right.sum()) <= np.sum(bound):
        return f"{said}: it was summed over every axis"
    if got.shape == right.shape[::-1]:
        fits = bool(np.all(np.abs(got.T - right) <= bound))
        return f"{said}: it is transposed" + (" (otherwise right)" if fits else "")
    return said


def _named(shape: tuple[int, ...], sizes: Mapping[str, int]) -> str:
    """A shape by the names of its sizes where these are unambiguous: ``(N, C)``."""
    names: dict[int, list[str]] = {}
    for name, size in sizes.items():
        names.setdefault(size, []).append(name)

    def name_of(size: int) -> str:
        known = names.get(size, [])
        return known[0] if len(known) == 1 and size > 1 else str(size)

    parts = [name_of(size) for size in shape]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
