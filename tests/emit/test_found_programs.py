"""Emitted NumPy code of layers that random programs found it wrong for, against the graph itself.

Each is cut down to the line that matters; the comment says what the code once did.
"""

from __future__ import annotations

import pytest

from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text
from tests.emit.numpy_oracle import run_locked, small_sets

PROGRAMS = {
    # 1 / exp(x) / 6 lost what it was divided by, when a sum began with it.
    "divided": (
        "{x: [1, 1, 2, 3]}",
        "R = (x / exp(x)) + zeros((1, 1, 2, 3))\n  s = mean(R) + sum(mish(x))",
    ),
    # The winner of a maximum over sums of windows got the gradient of one of its summands.
    "windows_summed": (
        "{x: [2, N]}",
        "P[j < 2, n < N] = sum(x[j, n + i - 1], over=[i < 2], outside=0)\n  s = max(P)",
    ),
    # A mask inside the maximum was forgotten where it decides.
    "masked": (
        "{A: [K, D, K], b: [D]}",
        "y[j, i] = max(A[i, j, s] * (s >= j), over=[s])",
    ),
    # The winner of a reversed array was not turned back.
    "reversed": (
        "{x: [D]}",
        "r = ((x - x.mean(keepdims=True)) / sqrt(x.var(keepdims=True) + 0.01))[::-1]\n  s = min(r)",
    ),
    # The winning mean of columns sent its gradient to the first row only.
    "means": (
        "{x: [N, D]}",
        "e = abs(x).mean(axis=0, keepdims=True).min(axis=(0, 1), keepdims=True)\n"
        "  s = -sum(silu(e)**2)",
    ),
    # A count of the windows over an entry was taken for the size of a window.
    "counted": (
        "{x: [4, C]}",
        "s = sum(avg_pool2d(x * arange(C), size=(2, 3,)))",
    ),
    # 0 / 0 where a winner's row was divided by a row outside.
    "divided_outside": (
        "{U: [D, D]}",
        "s = min(log(cumsum(U, axis=1)**2 + 0.5))",
    ),
    # X / X was written as the number 1, which no matrix can be multiplied with.
    "ones": (
        "{x: [1, N]}",
        "P = softmax(x, axis=-2)\n  s = mean((P @ (P.T / P.T)) @ (x * P))",
    ),
    # A comparison of two constants is Python's, and has no methods of an array.
    "constants": (
        "{x: [H, C], z: [C, H]}",
        "y = where(lam >= 0, x + x, z.sum())\n  s = sum(avg_pool2d(y, size=(2, 3,)), axis=0)",
    ),
    # An axis of size one stood in the rows that are added, but not in their places.
    "size_one": (
        "{x: [1, N]}",
        "s = expand_dims(cholesky(x[::-1, ::2] @ x[::-1, ::2].T + eye(1)), 1)",
    ),
    # An upstream gradient of a loss came in twice where windows overlap.
    "overlap_of_a_loss": (
        "{x: [N + 1, 3, N], O: [N, N]}",
        "M[n, s, i] = sum(x[i, s + j, n] * O[k, j], over=[j, k])\n  s = sum(M**2)",
    ),
    # The sum over the windows of an entry was taken for the sum over all windows.
    "windows_divided": (
        "{x: [2*N]}",
        "h = sigmoid(logsumexp(windows(x, 3, stride=(2,)), axis=0))",
    ),
    # The counts of a gold path beside what a loop adds up had no name to be added to.
    "counts_beside_a_loop": (
        "{E: [T, S], A: [S, S], y: {shape: [T], index: S}}",
        "a = E[0]\n  for t in range(1, T):\n"
        "      a = logsumexp(a[:, None] + A, axis=0) + E[t]\n"
        "  s = logsumexp(a) - E[arange(T), y].sum() - A[y[:-1], y[1:]].sum()",
    ),
    # Outside of x its logarithm is -inf, which was multiplied by zero.
    "logarithms_outside": (
        "{x: {shape: [N], domain: positive}, w: [3]}",
        "y[i] = sum(log(x[i + j]) * w[j] / (x[i + 2] + 1), over=[j])",
    ),
    # A power of zero with a negative exponent likewise, and a quotient of a sum.
    "powers_outside": (
        "{x: {shape: [N], domain: positive}, w: [3], p: []}",
        "y[i] = sum(x[i + j]**p * w[j] / (x[i + 2] + 1), over=[j])",
    ),
    "quotients_outside": (
        "{x: {shape: [N], domain: positive}, w: [3]}",
        "y[i] = sum(w[j] / (x[i + j] + 3 * x[i + j]**2) * (x[i + 2] + 1), over=[j])",
    ),
    # A size that is 0 for one column was divided by.
    "a_length_that_may_be_zero": (
        "{d: [K, H]}",
        "h = sum(((sum(d, axis=1, keepdims=True) + 0) * log_softmax(d))[..., :H - 1])",
    ),
    # The 0 of a sum was taken for a number to divide by.
    "divided_by_zero": (
        "{I: [C]}",
        "G = I[:2] - 0.5\n  Y = cumsum(log_softmax(G), axis=0)\n"
        "  P = conv1d(G + 0, Y).sum(axis=0, keepdims=True)",
    ),
    # ~True is -2.
    "negated_constant": (
        "{u: [], t: [N]}",
        "y = u * ((~(t < u)) | (lam < 0.3))",
    ),
    # A condition was an array of numbers where it was made, and of truth values where it was read.
    "condition": (
        "{V: [D, D]}",
        "h = softplus(V.max(axis=1, keepdims=True))\n"
        "  P = triu(gelu_tanh(h).sum(axis=0, keepdims=True)[None, :, :], 1)\n"
        "  R = minimum(where((P > h) | (~(P >= -0.5)), h, 0) @ logsumexp(P), P)",
    ),
    # Reshaped values among lines in index notation.
    "reshaped": (
        "{I: [T, D, 1]}",
        "Y = I[0]\n  h = I.ravel()\n  s = sum(Y**2) + sum(h**2)",
    ),
    # A label where one axis of size one is left.
    "one_label": (
        "{V: [1, B, 1, 2], y: {shape: [], index: 2}}",
        "h = V[:, :, :, y]\n  s = sum(h**2)",
    ),
    # One row of a padded image: its padding was 0, and won against negative numbers.
    "padded_row": (
        "{x: [N, C, 1, W]}",
        "Y = max_pool2d(x, size=3, stride=1, pad=1)",
    ),
    # The first row's choice of a winner in every row went to all rows.
    "one_winner": (
        "{S: [B, B]}",
        "a = S[arange(B), argmax(S, axis=1)][0]\n  s = a**2",
    ),
    # Python's True has no methods of an array.
    "named_truth": ("{x: [N]}", "w = True\n  Y = x * where(w, 2, 1) + w"),
    # All labels were taken where the first few of them were asked for.
    "part_of_labels": (
        "{Z: [1, 3], y: {shape: [3], index: 3}}",
        "h = Z[:, y][:, :2]**2",
    ),
    # Of one row, dP[:D - 2] ends one before the last.
    "an_end_below_zero": (
        "{x: [D, 2]}",
        "P = concatenate([x, x, x])[2:, newaxis, :]",
    ),
    # What was scattered was taken for the value that had been scattered.
    "scattered_and_read": (
        "{Q: [C, C], q: [3, 4, 3]}",
        "G[t, j] = sum((1 - q[t, i, j]) + exp(Q[n, s]), over=[i, n, s])\n"
        "  s = mean(silu(G[None, ::2, None, 0].mean(axis=(0, -1))))",
    ),
    # A softmax beside labels in a loop was that of a name that nothing defined.
    "labels_of_a_step": (
        "{x: {shape: [T, N], index: V}, h0: [N, D], U: [D, D], W: [D, V]}",
        "h = h0\n  s = 0\n  for t in range(T):\n      h = tanh(h @ U)\n"
        "      s -= sum(log_softmax(h @ W)[arange(N), x[t]])",
    ),
    # The same of a value that is only known in index notation.
    "labels_of_an_indexed_step": (
        "{x: {shape: [T, N], index: V}, h0: [N, D], U: [D, D], W: [D, V]}",
        "h = h0\n  s = 0\n  for t in range(T):\n      h = tanh(h @ U)\n"
        "      z[n, v < V] = sum(h[n, d] * W[d, v - d], over=[d], outside=0)\n"
        "      s -= sum(log_softmax(z)[arange(N), x[t]])",
    ),
    # An array of one entry as a number.
    "one_entry": (
        "{x: [1, 1], h: [N, K]}",
        "v = x * h\n  s = sum(h * mean(v, axis=(0, 1), keepdims=True))",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_emitted_code_equals_the_graph(name: str) -> None:
    inputs, lines = PROGRAMS[name]
    constants = "constants: {lam: 1}\n" if "lam" in lines else ""
    text = f"layer: found\ninputs: {inputs}\n{constants}forward: |\n  {lines}\n"
    reference = reference_for(load_text(text, "found.yaml"))
    for sizes in small_sets(reference)[:4]:
        run_locked(reference, sizes)
