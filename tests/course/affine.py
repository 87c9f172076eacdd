"""Question 1: the affine layer."""

from __future__ import annotations

from tests.course.model import Answer, Question

_FORWARD = """\
def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)

"""
_HEAD = _FORWARD + "def affine_backward(dY, cache):\n    X, W, b = cache\n"


def _backward(body: str) -> str:
    return _HEAD + "".join(f"    {line}\n" for line in body.splitlines())


AFFINE = Question(
    "affine",
    ("X", "W", "b"),
    (
        Answer("products", _backward("return dY @ W.T, X.T @ dY, dY.sum(axis=0)")),
        Answer(
            "einsum",
            _backward(
                'dX = np.einsum("nc,dc->nd", dY, W)\n'
                'dW = np.einsum("nd,nc->dc", X, dY)\n'
                'return dX, dW, np.einsum("nc->c", dY)'
            ),
        ),
        Answer(
            "samples",
            _backward(
                "dX, dW, db = np.zeros(X.shape), np.zeros(W.shape), np.zeros(b.shape)\n"
                "for n in range(len(X)):\n"
                "    dX[n] = W @ dY[n]\n"
                "    dW += np.outer(X[n], dY[n])\n"
                "    db += dY[n]\n"
                "return dX, dW, db"
            ),
        ),
        Answer(
            "class",
            "class Affine:\n"
            "    def __init__(self, W, b):\n"
            "        self.W, self.b = W, b\n\n"
            "    def forward(self, X):\n"
            "        self.X = X\n"
            "        return X @ self.W + self.b\n\n"
            "    def backward(self, dY):\n"
            "        self.dW = self.X.T @ dY\n"
            "        self.db = dY.sum(axis=0)\n"
            "        return dY @ self.W.T\n",
        ),
        Answer(
            "bias_mean",
            _backward("return dY @ W.T, X.T @ dY, dY.mean(axis=0)"),
            {"b": ("mean-for-sum",)},
        ),
        Answer(
            "bias_not_summed",
            _backward("return dY @ W.T, X.T @ dY, dY"),
            {"b": ("missing-sum",)},
        ),
        Answer(
            "weights_doubled",
            _backward("return dY @ W.T, 2 * X.T @ dY, dY.sum(axis=0)"),
            {"W": ("scale",)},
        ),
        Answer(
            "weights_negative",
            _backward("return dY @ W.T, -X.T @ dY, dY.sum(axis=0)"),
            {"W": ("sign",)},
        ),
        Answer(
            "no_upstream",
            _backward("return dY @ W.T, X.T @ np.ones_like(dY), dY.sum(axis=0)"),
            {"W": ("upstream-ignored",)},
        ),
        Answer(
            "nothing_for_inputs",
            _backward("return np.zeros_like(X), X.T @ dY, dY.sum(axis=0)"),
            {"X": ("zero",)},
        ),
        Answer(
            "last_sample_left_out",
            _backward("return dY @ W.T, X[:-1].T @ dY[:-1], dY.sum(axis=0)"),
            {"W": ("skipped", "some-entries")},
        ),
        Answer(
            "overwritten",
            _backward(
                "dW = np.zeros(W.shape)\n"
                "for n in range(len(X)):\n"
                "    dW = np.outer(X[n], dY[n])\n"
                "return dY @ W.T, dW, dY.sum(axis=0)"
            ),
            {"W": ("overwritten", "skipped")},
        ),
        Answer(
            "integer_buffer",
            _backward(
                "dW = np.zeros(W.shape, dtype=int)\n"
                "dW[...] = X.T @ dY\n"
                "return dY @ W.T, dW, dY.sum(axis=0)"
            ),
            {"W": ("integer-buffer",)},
        ),
        Answer(
            "unfinished",
            _FORWARD + "def affine_backward(dY, cache):\n    # YOUR CODE HERE\n    pass\n",
            codes=("GT206", "GT203", "GT106"),
        ),
        Answer(
            "raises",
            _backward("return dY @ W, X.T @ dY, dY.sum(axis=0)"),
            codes=("GT106",),
        ),
        Answer("missing", "def helper(x):\n    return x\n", forward=False, codes=("GT105",)),
    ),
)
