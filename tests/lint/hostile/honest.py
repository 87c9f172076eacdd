"""Right submissions, as different as those of a class; each has to get full marks."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.lint.hostile.model import (
    FORWARD,
    HEAD,
    RIGHT,
    RIGHT_BACKWARD,
    SCALED,
    Case,
    Content,
    one,
)

# Lists of lists, and one that holds itself, while many functions are called.
HOLDING_MUCH = """\
    table = [[[0.0] * 60 for _ in range(60)] for _ in range(60)]
    ring = []
    ring += [ring] * 300
    for row in table:
        assert len(row) == 60 < len(ring)
        np.sum(dY)
"""


def notebook(*cells: str) -> str:
    """A notebook with these code cells."""
    return json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "source": ["# Homework"]},
                *(
                    {
                        "cell_type": "code",
                        "metadata": {},
                        "execution_count": None,
                        "outputs": [],
                        "source": cell.splitlines(keepends=True),
                    }
                    for cell in cells
                ),
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


# Each cell shows it, which is more than a file of code may have.
PLOT = {
    "output_type": "display_data",
    "data": {"image/png": "iVBORw0KGgo" * 40_000},
    "metadata": {},
}
# What reaches for the process that runs it, but not in what is asked for.
LOOKING = """\
import gc, inspect, sys
gc.collect()
try:
    import ctypes
    print(ctypes.sizeof(ctypes.c_double))
except ImportError:
    pass
def whoami():
    return sys._getframe(1).f_code.co_name, inspect.currentframe()
class Layer:
    pass
class Dense(Layer):
    pass
print([one.__name__ for one in Layer.__subclasses__()], whoami())
"""
# A thread that is still there when nothing runs any more, as that of a progress bar.
LEAVING = {
    "timer": "import threading\nthreading.Timer(1000, print).start()\n",
    "pool": "from concurrent.futures import ThreadPoolExecutor\n"
    "pool = ThreadPoolExecutor(2)\nprint(list(pool.map(len, [[1], [2]])))\n",
}
OWN_NAMES = """\
    class Scene:
        def get_objects(self, settrace):
            return [settrace]
    assert getattr(Scene(), "get_objects")(settrace=1) == [1]
    return"""
EINSUM = """\
def affine_backward(dout, cache):
    x, w, _ = cache
    dx = np.einsum("nc,dc->nd", dout, w)
    dw = np.einsum("nd,nc->dc", x, dout)
    return dx, dw, np.einsum("nc->c", dout)
"""
LONG_SUMS = """\
def affine_backward(dout, cache):
    x, w, b = cache
    dw, db = np.zeros(w.shape, np.longdouble), np.zeros(b.shape, dtype="g")
    for n in range(len(x)):
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return dout @ w.T, dw.astype(float), db
"""
SIMPLE_FRACTIONS = """\
from fractions import Fraction
HALF = Fraction(0.5).limit_denominator(10)
def as_number(value):
    return float(value) if isinstance(value, Fraction) else value
def affine_backward(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0) * as_number(2 * HALF)
"""
# Numbers of one's own are no floats; what asks them all the same is told so.
OWN_NUMBERS = """\
class Value:
    def __init__(self, data):
        self.data = data
    def __add__(self, other):
        return Value(self.data + other.data)
    def __mul__(self, other):
        return Value(self.data * other.data)
    def __float__(self):
        raise NotImplementedError("take its data")
def wrapped(array):
    found = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        found[place] = Value(float(array[place]))
    return found
def plain(array):
    return np.vectorize(lambda value: value.data, otypes=[float])(array)
def affine_backward(dout, cache):
    x, w, _ = map(wrapped, cache)
    g = wrapped(dout)
    return plain(g.dot(w.T)), plain(x.T.dot(g)), dout.sum(axis=0)
"""
LOOPS = """\
def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(b.shape)
    for n in range(len(x)):
        for c in range(len(b)):
            db[c] += dout[n, c]
            for d in range(len(w)):
                dx[n, d] += dout[n, c] * w[d, c]
                dw[d, c] += dout[n, c] * x[n, d]
    return dx, dw, db
"""
CLASS = """\
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, X):
        self.X = X
        return X @ self.W + self.b

    def backward(self, dY):
        self.dW = self.X.T @ dY
        self.db = dY.sum(axis=0)
        return dY @ self.W.T
"""
# No text shows that these are the gradients, where, or of what.
LEFT = """\
class Affine:
    def __init__(self, W, b):
        self.W, self.b, self.kept = W, b, ()
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dY):
        KEEP
        return dY @ self.W.T
"""
HELPER = """\
def times(a, b):
    return a @ b
"""
CHECKED = (
    HEAD
    + FORWARD
    + RIGHT_BACKWARD
    + """\
def numeric(f, x, h=1e-5):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        g[i] = (up - f(x)) / (2 * h)
        x[i] = old
    return g

X, W, b = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)
print(numeric(lambda X: affine_forward(X, W, b)[0].sum(), X))
"""
)
RECOMPUTING = (
    HEAD
    + FORWARD
    + """\
def affine_backward(dY, cache):
    Y, (X, W, b) = affine_forward(*cache)
    assert Y.shape == dY.shape
    return dY @ W.T, X.T @ dY, np.ones(len(dY)) @ dY
"""
)
# What might be taken for a difference, or for a forward pass at many points.
SUBTRACTING = """\
def affine_backward(dY, cache):
    Y, (X, W, b) = affine_forward(*cache)
    dX, dW, db = np.zeros(X.shape), np.zeros(W.shape), np.zeros(b.shape)
    for n in range(len(X)):
        without = np.zeros(b.shape)
        for c in range(len(b)):
            without[c] = Y[n, c] - b[c]
            dX[n] -= -dY[n, c] * W[:, c]
            dW[:, c] -= -dY[n, c] * X[n]
            db[c] -= -dY[n, c]
        assert np.allclose(without, X[n] @ W)
    return dX, dW, db
"""
ONE_HOT = """\
def affine_backward(dY, cache):
    X, W, b = cache
    places = np.eye(W.size).reshape(-1, *W.shape)
    dW = np.einsum("kdc,nd,nc->k", places, X, dY).reshape(W.shape)
    dX = [np.einsum("nd,dc,nc->", e, W, dY) for e in np.eye(X.size).reshape(-1, *X.shape)]
    return np.reshape(dX, X.shape), dW, np.array([(dY * e).sum() for e in np.eye(len(b))])
"""
HELPED = """\
def eval_numerical_gradient(f, x, df, h=1e-5):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f(x).copy()
        x[i] = old - h
        g[i] = ((up - f(x)) * df).sum() / (2 * h)
        x[i] = old
    return g
def test_affine():
    X, W, b = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)
    out, cache = affine_forward(X, W, b)
    dX = eval_numerical_gradient(lambda x: affine_forward(x, W, b)[0], X, np.ones_like(out))
    assert np.abs(dX - affine_backward(np.ones_like(out), cache)[0]).max() < 1e-7
if __name__ == "__main__":
    test_affine()
"""

FOURIER = """\
def product(a, b):
    # a matrix product as a circular correlation: honest, and complex all the way
    f, g = np.fft.fft(a, axis=1)[:, :, None], np.conj(np.fft.fft(b, axis=0))[None]
    return np.fft.ifft(f * g, axis=1).real[:, 0]


def affine_backward(dY, cache):
    X, W, b = cache
    z = dY + 0j
    pairs = X[:, :1] + 1j * X[:, -1:]
    turned = X * np.exp(1e-9j)
    scalars = [complex(v, w) * 1j for v, w in zip(X[0], X[-1])]
    assert len(turned) == len(pairs) == len(X) and len(scalars) == X.shape[1]
    return product(dY, W.T), product(X.T, dY), z.sum(axis=0).real
"""

_FILES: dict[str, Mapping[str | bytes, Content]] = {
    "plain": one("honest_plain", RIGHT),
    "einsum": one("honest_einsum", HEAD + FORWARD + EINSUM),
    "rounded": one(
        "honest_rounded",
        HEAD
        + FORWARD
        + EINSUM.replace("return dx, dw,", "return dx.astype(np.float32), dw.astype(np.float32),"),
    ),
    "loops": one("honest_loops", HEAD + FORWARD + LOOPS),
    "long_sums": one("honest_long_sums", HEAD + FORWARD + LONG_SUMS),
    "simple_fractions": one("honest_simple_fractions", HEAD + FORWARD + SIMPLE_FRACTIONS),
    "holds_much": one(
        "honest_holds_much",
        HEAD + FORWARD + RIGHT_BACKWARD.replace("    return", HOLDING_MUCH + "    return"),
    ),
    "own_numbers": one("honest_own_numbers", HEAD + FORWARD + OWN_NUMBERS),
    "class": one("honest_class", HEAD + CLASS),
    "left_by_setattr": one(
        "honest_left_by_setattr",
        HEAD
        + LEFT.replace(
            "KEEP",
            "for n, g in (('dW', self.X.T @ dY), ('db', dY.sum(0))): setattr(self, n, g)",
        ),
    ),
    "left_in_a_tuple": one(
        "honest_left_in_a_tuple",
        HEAD + LEFT.replace("KEEP", "self.kept = (self.X.T @ dY, dY.sum(0))"),
    ),
    "checked": one("honest_checked", CHECKED),
    "recomputing": one("honest_recomputing", RECOMPUTING),
    "subtracting": one("honest_subtracting", HEAD + FORWARD + SUBTRACTING),
    "slow_where_large": one(
        "honest_slow_where_large",
        HEAD
        + FORWARD
        + SUBTRACTING.replace(
            "    for n", "    for _ in range(int(b[0] ** 2)): pass\n    for n", 1
        ),
    ),
    "one_hot": one("honest_one_hot", HEAD + FORWARD + ONE_HOT),
    "helped": one("honest_helped", RIGHT + HELPED),
    "fourier": one("honest_fourier", HEAD + FORWARD + FOURIER),
    "looks_around": one("honest_looks_around", HEAD + FORWARD + RIGHT_BACKWARD + LOOKING),
    "own_names": one(
        "honest_own_names", HEAD + FORWARD + RIGHT_BACKWARD.replace("    return", OWN_NAMES)
    ),
    **{
        f"leaves_a_{name}": one(f"honest_leaves_a_{name}", RIGHT + text)
        for name, text in LEAVING.items()
    },
    "bom": one("honest_bom", b"\xef\xbb\xbf" + RIGHT.encode()),
    "latin1": one(
        "honest_latin1",
        b"# -*- coding: latin-1 -*-\n# d\xe9riv\xe9e\n" + RIGHT.encode(),
    ),
    "crlf": one("honest_crlf", RIGHT.replace("\n", "\r\n")),
    "chatty": one("honest_chatty", RIGHT + "print('passed ' * 1000)\n"),
    "main": one("honest_main", RIGHT + "if __name__ == '__main__':\n    raise SystemExit(3)\n"),
    "demo_fails": one("honest_demo_fails", RIGHT + "open('data.csv').read()\n"),
    "exits_at_the_end": one("honest_exits_at_the_end", RIGHT + "raise SystemExit(1)\n"),
    "notebook": {"honest_notebook.ipynb": notebook(HEAD, FORWARD, RIGHT_BACKWARD)},
    "magics": {
        "honest_magics.ipynb": notebook(
            "%matplotlib inline\n!pip install numpy\n" + HEAD, FORWARD, RIGHT_BACKWARD
        )
    },
    "plots": {
        "honest_plots.ipynb": notebook(
            HEAD, FORWARD, RIGHT_BACKWARD, "import matplotlib.pyplot as plt\nplt.figure()\n"
        ).replace('"outputs": []', f'"outputs": [{json.dumps(PLOT)}]')
    },
    "folder": {"layers.py": RIGHT, "README.md": "hello", "__init__.py": ""},
    "helper": {
        "layers.py": HEAD
        + "from helper import times\n"
        + FORWARD
        + RIGHT_BACKWARD.replace("X.T @ dY", "times(X.T, dY)"),
        "helper.py": HELPER,
    },
    "repository": {
        "setup.py": "from setuptools import setup\nsetup()\n",
        "src/layers.py": RIGHT,
        "README.md": "hello",
    },
    "deep_folder": {"hw1/src/layers.py": RIGHT, "hw1/tests/test_layers.py": "assert False\n"},
    "reads_beside": {"layers.py": SCALED, "scale.txt": "1"},
    "reads_beside_deep": {"hw1/src/layers.py": SCALED, "hw1/src/scale.txt": "1", "scale.txt": "2"},
    "draws": one("honest_draws", "import matplotlib.pyplot as plt\nplt.figure()\n" + RIGHT),
}

CASES = tuple(
    Case(f"honest_{name}", "correct", files, passed=True) for name, files in _FILES.items()
)
