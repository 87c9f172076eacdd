"""What the words of a forward text mean: NumPy in extended precision, and small definitions.

Nothing of `gradtool` is used here.  A forward block is executed as Python, with the names below.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from tests.programs.sliding import SLIDING

WIDE = np.longdouble  # 64-bit mantissa: the reference is better than what it judges


def index_array(sizes: tuple[int, ...], entry: Callable[..., Any]) -> Any:
    """An array whose entries are computed one by one."""
    out = np.zeros(sizes, dtype=WIDE)
    for place in itertools.product(*map(range, sizes)):
        out[place] = entry(*place)
    return out


def index_sum(sizes: tuple[int, ...], entry: Callable[..., Any]) -> Any:
    return sum((WIDE(entry(*place)) for place in itertools.product(*map(range, sizes))), WIDE(0))


def index_mean(sizes: tuple[int, ...], entry: Callable[..., Any]) -> Any:
    return index_sum(sizes, entry) / math.prod(sizes)


def index_max(sizes: tuple[int, ...], entry: Callable[..., Any]) -> Any:
    return max(WIDE(entry(*place)) for place in itertools.product(*map(range, sizes)))


def index_min(sizes: tuple[int, ...], entry: Callable[..., Any]) -> Any:
    return min(WIDE(entry(*place)) for place in itertools.product(*map(range, sizes)))


def softmax(x: Any, axis: Any = -1) -> Any:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


def logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def onehot(labels: Any, classes: int) -> Any:
    return np.eye(classes, dtype=WIDE)[labels]


def scatter_add(labels: Any, rows: Any, classes: int) -> Any:
    total = np.zeros((classes, *rows.shape[np.ndim(labels) :]), dtype=WIDE)
    np.add.at(total, labels, rows)
    return total


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[WIDE])(np.asarray(x, dtype=float))


def _wide(x: Any) -> Any:
    return np.asarray(x, dtype=float)


def _gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + WIDE("0.044715") * x**3)))


WORDS: dict[str, Callable[..., Any]] = {
    "softmax": softmax,
    "log_softmax": lambda x, axis=-1: x - logsumexp(x, axis, keepdims=True),
    "logsumexp": logsumexp,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "expit": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "logsigmoid": lambda x: -np.log1p(np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "erf": _erf,
    "gelu": lambda x: x / 2 * (1 + _erf(x / np.sqrt(2))),
    "gelu_tanh": _gelu_tanh,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "logcosh": lambda x: np.log(np.cosh(x)),
    "norm": lambda x, axis=None, keepdims=False: np.sqrt(
        np.sum(x * x, axis=axis, keepdims=keepdims)
    ),
    "onehot": onehot,
    "one_hot": onehot,
    "scatter_add": scatter_add,
    "rot180": lambda x: x[..., ::-1, ::-1],
    "cholesky": lambda x: np.linalg.cholesky(_wide(x)).astype(WIDE),
    "inv": lambda x: np.linalg.inv(_wide(x)).astype(WIDE),
    "det": lambda x: np.linalg.det(_wide(x)).astype(WIDE),
    "logdet": lambda x: np.linalg.slogdet(_wide(x))[1].astype(WIDE),
    "solve": lambda a, b: (np.linalg.inv(_wide(a)) @ _wide(b)).astype(WIDE),
    "index_array": index_array,
    "index_sum": index_sum,
    "index_mean": index_mean,
    "index_max": index_max,
    "index_min": index_min,
    "average": np.mean,
    "identity": np.eye,
}


@cache
def _namespace() -> dict[str, Any]:
    """The names that a forward block may use."""
    names: dict[str, Any] = {
        name: getattr(np, name) for name in dir(np) if not name.startswith("_")
    }
    return {**names, **WORDS, **SLIDING, "np": np, "linalg": np.linalg, "pi": np.pi, "range": range}


def execute(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The names after a block, with reals in extended precision.

    Raises:
        Exception: whatever NumPy raises.
    """
    names = {**_namespace(), **values}
    with np.errstate(all="ignore"):
        exec(compile(text, "<forward>", "exec"), names)
    return names
