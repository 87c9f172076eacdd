"""What is asked of every symbolic tool: prepare a forward pass, then derive and print."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradtool.records import Struct, field

CASES = {
    "affine": "Y = X @ W + b",
    "relu_net": "affine, ReLU, affine",
    "sigmoid_mse": "sum((sigmoid(X @ W + b) - T)**2)",
    "softmax_ce": "mean cross-entropy of softmax scores",
    "batch_norm": "training mode, scale and shift",
    "layer_norm": "scale and shift",
    "conv2d": "images, K filters, stride and padding",
    "max_margin": "two windows, one hidden layer, hinge",
    "scalar": "(x + s(y)) / (s(x) + (x + y)**2)",
    "attention": "softmax(Q @ K.T / sqrt(E)) @ V",
    "lstm_cell": "one step, both outputs",
    "l2": "squared error and squared weights",
    "logdet": "log |det A|",
    "inverse": "inv(A)",
    "trace": "trace(A @ B)",
    "quadratic": "x @ A @ x",
}
DEPTHS = (1, 2, 4, 8, 16, 32)


def depth_case(depth: int) -> str:
    """The name of a chain of that many affine layers, each followed by tanh."""
    return f"mlp_{depth}"


def depth_of(case: str) -> int | None:
    """The depth that the name of such a chain states; None for any other case."""
    return int(case.removeprefix("mlp_")) if case.startswith("mlp_") else None


class Printed(Struct, frozen=True):
    """What a tool printed.

    Attributes:
        gradients: variable to the text of its gradient.
        shared: the texts of values that several gradients refer to, where a tool has such.
        wrong: the variables whose gradient does not hold; None when that was not tried.
    """

    gradients: Mapping[str, str]
    shared: tuple[str, ...] = ()
    wrong: tuple[str, ...] | None = None

    @property
    def longest(self) -> int:
        return max(map(len, self.gradients.values()))

    @property
    def total(self) -> int:
        return sum(map(len, self.gradients.values())) + sum(map(len, self.shared))


class Prepared(Struct, frozen=True):
    """A forward pass that is ready to be differentiated.

    Attributes:
        derive: all that is timed: differentiate with respect to everything, and print.
        judge: the variables whose gradient is wrong; not timed.
    """

    derive: Callable[[], Printed]
    judge: Callable[[], tuple[str, ...] | None] = field(default=lambda: None)


class NotOffered(Exception):
    """The tool has no words for this case."""
