"""Emitted PyTorch and JAX code of layers that random programs found it wrong for.

Each is cut down to the lines that matter; the comment says what the code once did.
"""

from __future__ import annotations

import pytest

from tests.frameworks.layers import layer_of
from tests.frameworks.programs import RUN, differing

pytestmark = pytest.mark.frameworks

PROGRAMS = {
    # 0 / 0 where a row was divided by one that is not there.
    "divided_outside": (
        "{q: [D]}",
        "Y = log10(abs(q[:, None].transpose(1, 0)[..., :-1]) + 0.5)",
    ),
    # An output that is another value lost its gradient with it.
    "returned_twice": ("{x: [N]}", "h = softmax(x)\n  a = h\n  s = sum(h**2)\noutputs: [a, s]"),
    "kept_under_another_name": (
        "{x: [N]}",
        "a = exp(x)\n  b = a\n  s = sum(sin(b))\noutputs: [a, s]",
    ),
    # An input that is returned as it is cannot be saved.
    "returned_as_given": ("{x: [N]}", "a = +x\n  s = sum(a**2)\noutputs: [a, s]"),
    # Labels in index notation were taken for real numbers.
    "labels": (
        "{A: [T, T], V: [T, T, T]}",
        "s[t, m] = max(A[t, m]**2 * relu(V[m, t, s]), over=[s])",
    ),
    # A comparison of two numbers is Python's True or False.
    "truths": (
        "{x: [N]}",
        "y = where((lam >= 0.3) | (lam >= -0.5), x, 2*x)\n  s = sum(where(lam < lam, 1, y))",
    ),
    # A value that is a number has no dtype.
    "numbers": ("{x: [N]}", "y = lam\n  s = y * x.mean()\noutputs: [s, y]"),
    # torch.clamp takes no plain number.
    "clipped_number": ("{x: [B]}", "y = x * clip(lam, -0.5, 0.6) + leaky_relu(lam, 0.1)"),
    # A number has no methods.
    "number_with_axes": ("{x: [B]}", "y = x * squeeze(expand_dims(lam, 0), 0)"),
    # The last value of a variable that a scan forgets.
    "last_of_a_loop": (
        "{X: [L]}",
        "h = 0.5\n  for t in range(L):\n      x_t = X[t]\n      h = tanh(x_t)\n  Y = h * X",
    ),
    # NumPy's arrays cannot be indexed by the step of a scan; here, an upstream gradient.
    "steps_of_what_is_given": (
        "{R: [T, K], W: [D, K]}",
        "H = zeros((K, T))\n  for t in range(1, T):\n      H[:, t] = R[t]\n  Y = W @ H",
    ),
    # Nobody could show that t - 1 is no place before the first.
    "the_step_before": (
        "{G: [K, K, S], U: [K]}",
        "c = U\n  for t in range(1, S):\n      c = tanh(c @ G[:, :, t] + G[:, :, t - 1] @ c)\n"
        "  Y = c * U",
    ),
    # torch.full takes no shape of one number.
    "full": ("{x: [H]}", "y = sum(gelu(x) - full((H,), 2))"),
    # Index notation had no word for a power whose exponent has a name.
    "powers": (
        "{x: {shape: [N], domain: positive}, w: [3], p: [K]}",
        "Y[i, k] = sum(x[i + j]**p[k] * w[j] / (x[i + 2] + 1)**lam, over=[j])",
    ),
    # Outside of x its logarithm is -inf, which was multiplied by zero.
    "logarithms": (
        "{x: {shape: [N], domain: positive}, w: [3]}",
        "Y[i] = sum(log(x[i + j]) * w[j] / (x[i + 2] + 1), over=[j])",
    ),
    # Blocks of an axis that are stacked, in a loop and outside.
    "stacked": (
        "{x: [T, D], p: [3, D], Z: [2, D, D]}",
        "h = zeros(D)\n  for t in range(T):\n      h = tanh(p[0] * h + p[1] * x[t] + p[2])\n"
        "  Y = (Z[0] @ Z[1].T) @ h",
    ),
    # What a loop adds up meets counts of labels.
    "counts_beside_a_loop": (
        "{E: [T, S], A: [S, S], y: {shape: [T], index: S}}",
        "a = E[0]\n  for t in range(1, T):\n"
        "      a = logsumexp(a[:, None] + A, axis=0) + E[t]\n"
        "  s = logsumexp(a) - E[arange(T), y].sum() - A[y[:-1], y[1:]].sum()",
    ),
    # .T was called as a method where a line was too long for it.
    "long_lines": (
        "{input: [B], V: [B]}",
        "Y = cumsum(V, axis=-1)\n  scale = sum(Y**2) + sum(input**2)",
    ),
}


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_was_found_stays_right(name: str, framework: str) -> None:
    inputs, lines = PROGRAMS[name]
    one = layer_of(
        f"layer: found\ninputs: {inputs}\nconstants: {{lam: 0.7}}\nforward: |\n  {lines}\n"
    )
    assert not differing(one, RUN[framework](one))
