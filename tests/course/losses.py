"""Questions 4 and 5: the softmax loss, and the hinge loss of a linear classifier's scores."""

from __future__ import annotations

from tests.course.model import Answer, Question

_HEAD = """\
def softmax_loss(x, y):
    N = len(x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(N), y]).mean()
"""


def _softmax(body: str) -> str:
    return _HEAD + "".join(f"    {line}\n" for line in body.splitlines()) + "    return loss, dx\n"


SOFTMAX = Question(
    "softmax_cross_entropy",
    ("S",),
    (
        Answer("in_place", _softmax("dx = p.copy()\ndx[np.arange(N), y] -= 1\ndx /= N")),
        Answer("one_hot", _softmax("dx = (p - np.eye(x.shape[1])[y]) / N")),
        Answer(
            "loop",
            _softmax(
                "dx = np.zeros_like(x)\n"
                "for n in range(N):\n"
                "    for c in range(x.shape[1]):\n"
                "        dx[n, c] = (p[n, c] - (c == y[n])) / N"
            ),
        ),
        Answer(
            "not_averaged",
            _softmax("dx = p.copy()\ndx[np.arange(N), y] -= 1"),
            {"S": ("sum-for-mean",)},
        ),
        Answer("label_left_out", _softmax("dx = p / N"), {"S": ("missing-path", "missing-term")}),
        Answer("negative", _softmax("dx = (np.eye(x.shape[1])[y] - p) / N"), {"S": ("sign",)}),
        Answer(
            "averaged_over_classes",
            _softmax("dx = (p - np.eye(x.shape[1])[y]) / x.shape[1]"),
            {"S": ()},
        ),
        Answer(
            "scores_for_probabilities",
            _softmax("dx = (x - np.eye(x.shape[1])[y]) / N"),
            {"S": ("wrong-tensor", "wrong-point", "wrong-function")},
        ),
        Answer(
            "labels_off_by_one",
            _softmax("C = x.shape[1]\ndx = p.copy()\ndx[np.arange(N), (y + 1) % C] -= 1\ndx /= N"),
            {"S": ("label-shift",)},
        ),
        Answer(
            "only_the_division_of_the_label",
            _softmax("dx = p - np.eye(x.shape[1])[y] / N"),
            {"S": ("sum-for-mean", "scale", "missing-factor")},
        ),
    ),
)

_RELU = "def relu_forward(x):\n    return np.maximum(0, x), x\n\n"


def _relu(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return _RELU + "def relu_backward(dout, x):\n" + lines


RELU = Question(
    "relu",
    ("Z",),
    (
        Answer("mask", _relu("return dout * (x > 0)")),
        Answer("where", _relu("return np.where(x > 0, dout, 0)")),
        Answer("assigned", _relu("dx = dout.copy()\ndx[x <= 0] = 0\nreturn dx")),
        Answer("no_mask", _relu("return dout.copy()"), {"Z": ("mask-missing",)}),
        Answer("no_upstream", _relu("return 1.0 * (x > 0)"), {"Z": ("upstream-ignored",)}),
        Answer("value_for_slope", _relu("return dout * np.maximum(0, x)"), {"Z": ()}),
        Answer(
            "upstream_rectified",
            _relu("return np.maximum(0, dout)"),
            {"Z": ("mask", "wrong-tensor", "wrong-gradient")},
        ),
        Answer("negative_side", _relu("return dout * (x < 0)"), {"Z": ("mask",)}),
        Answer(
            "forward_leaks",
            "def relu_forward(x):\n    return np.where(x > 0, x, 0.1 * x), x\n\n"
            "def relu_backward(dout, x):\n    return dout * (x > 0)\n",
            forward=False,
        ),
        Answer("nothing", "pass\n", forward=False, codes=("GT105",)),
    ),
)
