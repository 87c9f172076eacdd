"""Programs on which the engine was once wrong, crashed, or printed what does not read back.

Each was found by random programs and made small; each must agree now, at every size set.
"""

from __future__ import annotations

import pytest

from tests.programs.generate import Declared, Line, Program
from tests.programs.prove import prove


def found(
    shapes: str,
    text: str,
    reference: str = "",
    outputs: str = "",
    needs: str = "",
    constants: str = "",
) -> Program:
    """A program from ``X: [N, D]; y: {…}`` and lines; `reference` replaces index statements."""
    declared = tuple(
        Declared(name.strip(), "inputs", yaml.strip())
        for name, _, yaml in (part.partition(":") for part in shapes.split(";"))
    )
    written, executed = text.strip().split("\n"), (reference or text).strip().split("\n")
    lines = tuple(
        Line(line.partition("=")[0].partition("[")[0].strip(), line, by)
        for line, by in zip(written, executed, strict=True)
    )
    names = [s for s in "BCDHKMNT" if any(s in one.yaml for one in declared)]
    pairs = dict(part.split("=") for part in constants.split()) if constants else None
    chosen = tuple(outputs.split()) or (lines[-1].name,)
    return Program(
        declared, lines, chosen, tuple(names), tuple(needs.split(";")) if needs else (), pairs
    )


PROGRAMS = {
    "a method finds its word although a variable has the name": found(
        "X: [N, D]", "var = X.var(axis=0)\nS = (X * var).sum(axis=1) + X.var(axis=1)"
    ),
    "np.sum is never the variable sum": found("X: [N, D]", "sum = X * X\nY = np.sum(sum)"),
    "a permutation of three axes keeps every delta": found(
        "g: [3, N, D]",
        "Y[j, t, i] = g[j, N - 1 - i, t]".replace("[j, t, i]", "[j < 3, t < D, i < N]"),
        "Y = index_array((3, D, N), lambda j, t, i: g[j, N - 1 - i, t])",
    ),
    "a constant cotangent is zero outside a slice": found(
        "b: [1, C]", "F = b[..., :-1]\ny_ = np.mean(F)", needs="C - 1"
    ),
    "a constant cotangent is zero outside a window": found(
        "x: [N]",
        "J[j] = sum(x[j + i], over=[i < 2])\ny_ = np.sum(J)",
        "J = index_array((N - 1,), lambda j: x[j] + x[j + 1])\ny_ = np.sum(J)",
        needs="N - 1",
    ),
    "a tensor may be called F": found("F: [N, D]", "y_ = F.reshape(D, N) + F.mean()"),
    "an index statement may define F": found(
        "W: [D, C]",
        "F[j, k] = W[j, k] * 2\ny_ = F.transpose(1, 0)",
        "F = W * 2\ny_ = F.transpose(1, 0)",
    ),
    "a gradient that counts is a real number": found(
        "A: [C, C]",
        "P[t, i] = A[i, t] * t\ns = np.sum(P)",
        "P = index_array((C, C), lambda t, i: A[i, t] * t)\ns = np.sum(P)",
    ),
    "the maximum with keepdims": found("w: [N, N]", "J = w.max(axis=1, keepdims=True)"),
    "the maximum of a window by index notation": found(
        "X: [H]",
        "v[p] = max(X[2*p + i], over=[i < 2])",
        "v = index_array(((H - 2)//2 + 1,), lambda p: np.maximum(X[2*p], X[2*p + 1]))",
        needs="H - 1",
    ),
    "the minimum over windows that fit once": found(
        "X: [2, D]",
        "t[k, j] = min(X[j + i, k], over=[i < 2])",
        "t = index_array((D, 1), lambda k, j: np.minimum(X[j, k], X[j + 1, k]))",
    ),
    "labels as numbers and as indices": found(
        "X: [K]; y: {shape: [K], index: K}",
        "h = (onehot(y) - (X * arange(K))[y])[..., K - 1, 0]",
        "h = (onehot(y, K) - (X * arange(K))[y])[..., K - 1, 0]",
    ),
    "a constant under a steep function": found(
        "Q: [K]; mask: {shape: [K], dtype: bool}", "Y = expm1(where(mask, Q, 1))"
    ),
    "a gradient that is a condition is a real number": found(
        "E: [3, 2, 2]; c: [2]", "Y = np.sum(E * (gelu_tanh(c) > 0.3))"
    ),
    "a sum inside a function of an index statement": found(
        "V: [T, T]; A: [B, T]",
        "Y[i, s, k] = sin(mean(A[i, j] * A[i, k] * V[s, j], over=[j]))",
        "Y = index_array((B, T, T), lambda i, s, k: "
        "np.sin(index_mean((T,), lambda j: A[i, j] * A[i, k] * V[s, j])))",
    ),
    "sizes with floor division in an index statement": found(
        "W: [K]", "F = outer(W, W)[1, ::-2].mean(axis=0, keepdims=True)", needs="K - 1"
    ),
    "no division by padding": found(
        "E: [N, D]", "y_ = E[..., :D - 1]\nmu = sqrt(softplus(y_))", needs="D - 1"
    ),
    "a diagonal of a slice of an exponential": found(
        "Z: [H, H, H]", "L = exp(Z)\nh = trace(L[-2:, :2, 2])", needs="H - 2"
    ),
    "a label is not read outside its array": found(
        "g: [H, 3]; q: [B]", "Y = concatenate([q, g[arange(H), g.argmin(axis=1)]])"
    ),
    "a scalar condition beside a padded sum": found(
        "A: [N, N]; W: [N, N]",
        "mu[j < N, t < N] = sum(A[t + i - 1, j], over=[i < 2], outside=0)\n"
        "G = np.sum(W @ tanh(mu))\ndelta = where(G < 0.3, G, np.sum(mu))",
        "mu = index_array((N, N), lambda j, t: A[t, j] + (A[t - 1, j] if t else 0))\n"
        "G = np.sum(W @ tanh(mu))\ndelta = where(G < 0.3, G, np.sum(mu))",
    ),
    "the maximum of a diagonal matrix": found("U: [K]", "Y = max(diag(U), axis=1)"),
    "the maximum of a masked product": found(
        "w1: []; Q: [N, N]",
        "Y[s] = max(w1 * (1 - Q[s, i]) * (s == i), over=[i])",
        "Y = index_array((N,), lambda s: index_max((N,), lambda i: w1 * (1 - Q[s, i]) * (s == i)))",
    ),
    "a doubled axis": found(
        "E: [D*2, D, D]",
        "G = abs(np.concatenate([E, E], axis=2))\nh = np.mean(G) + np.sum(E**2) + E",
    ),
    "an output that is used further on keeps its upstream gradient": found(
        "X: [D, 2]", "Y = X * 2\nh = ravel(Y)", outputs="Y h"
    ),
    "a sum over labels is no convolution": found(
        "b: [1, C]",
        "loss[j] = max(b[0, 2*j + i], over=[i < 2])\ny_ = loss * (loss - loss.mean())",
        "loss = index_array(((C - 2)//2 + 1,), lambda j: np.maximum(b[0, 2*j], b[0, 2*j + 1]))\n"
        "y_ = loss * (loss - loss.mean())",
        needs="C - 1",
    ),
    "the maximum over three indices, one of them outside": found(
        "E: [D, D]; S: []",
        "L[i] = max(relu(E[i, j]) * S * (1 - E[m, k]), over=[j, m, k])",
        "L = index_array((D,), lambda i: index_max((D, D, D), lambda j, m, k: "
        "np.maximum(E[i, j], 0) * S * (1 - E[m, k])))",
    ),
    "printed text does not call what a variable hides": found(
        "X: [N]", "sqrt = X * X\nexp = sqrt + 1\nh = erf(sqrt) + np.exp(-exp)"
    ),
    "two reshapes in a row of cotangents": found("X: [N, D]", "Y = X.reshape(-1, 1).ravel()"),
    "no part of a sum that lies outside its array": found(
        "E: [H]; b: [3]",
        "J = clip(flip(concatenate([E, b], axis=-1)), -0.5, 0.7)\ns = pad(J, 1)\n"
        "y_ = np.sum(s**2) * np.sum(sin(b.sum(keepdims=True)))",
    ),
    "a size times a root in index notation": found(
        "X: [N, D]; I: [N, D, 1, 3]",
        "Y[k, i] = max(abs(I[i, j, 0, k]) * tanh(X[m, t]), over=[j, m, t])\n"
        "h = gelu(I / N)\nS = np.mean(Y) * h",
        "Y = index_array((3, N), lambda k, i: index_max((D, N, D), lambda j, m, t: "
        "abs(I[i, j, 0, k]) * np.tanh(X[m, t])))\nh = gelu(I / N)\nS = np.mean(Y) * h",
    ),
    "a comparison with an integer constant": found(
        "Q: [3, D]; W: [3, D]",
        "Y = where(lam < 0.5, Q, lam)\nh[i, k] = sum(Q[j, i + l] * W[k, l], over=[l, j])\n"
        "s = Y + np.mean(h)",
        "Y = where(lam < 0.5, Q, lam)\nh = index_array((1, 3), lambda i, k: "
        "index_sum((D, 3), lambda l, j: Q[j, i + l] * W[k, l]))\ns = Y + np.mean(h)",
        constants="lam=1",
    ),
    "a mean over two axes of the same size, one of them summed inside": found(
        "Q: [K, K, K]; E: [K, K]", "Y = (E * Q) @ Q\nscale = np.mean(Y)"
    ),
    "a sum that cancels inside its brackets": found(
        "Z: [1, T]",
        "s[r] = sum(Z[0, 2*r + i] * Z[0, i], over=[i])\n"
        "Y = minimum(0.5, s.var(axis=0, keepdims=True))",
        "s = index_array((1,), lambda r: index_sum((T,), lambda i: Z[0, i] * Z[0, i]))\n"
        "Y = np.minimum(0.5, s.var(axis=0, keepdims=True))",
    ),
    "terms that are alike once they have one root": found(
        "O: [H, H]", "v = gelu_tanh(np.tanh(O))\nscale = np.sum(v**2)"
    ),
    "blocks that are shifted out of each other": found(
        "U: [D]", "s = softsign(U)\nY = clip(concatenate([U, s, s]), -0.5, 0.5)"
    ),
    "an inner value called like the word that makes another": found(
        "Z: [K, H]",
        "Y = softsign(norm(Z, axis=0))\ns = Z * norm(exp(Z), axis=0)\nv = Y * s",
    ),
    "a stack of matrices before an inverse that the forward pass solves with": found(
        "g: [B]; W: [2, B]",
        "Y = solve(W @ W.T + eye(2), -rot180(W / 3))\n"
        "h = softmax(einsum('mj, dj -> djm', Y, Y)) - (einsum('dk,k->k', W, g) @ Y.T)",
    ),
    "two products that both deserve the name z": found(
        "Q: [N, B]; E: [N, B]",
        "xhat = Q @ (Q.T @ E)\n"
        "P[j < B, n < N] = sum(Q[n + i - 1, j], over=[i < 2], outside=0)\n"
        "F = tanh(P @ xhat)",
        "xhat = Q @ (Q.T @ E)\n"
        "P = index_array((B, N), lambda j, n: Q[n, j] + (Q[n - 1, j] if n else 0))\n"
        "F = np.tanh(P @ xhat)",
    ),
    "the diagonal of a convolution": found(
        "w: [3]", "z = diag(w)\nh = conv2d(z, z, stride=(3, 2,), pad=2)"
    ),
    "an array solved for where a mask may be false": found(
        "Y: [B, B*2, N]; O: {shape: [N], constant: true}; mask: {shape: [N], dtype: bool}",
        "h = where(~mask, O, Y) @ O\n"
        "out[j] = sum(Y[s, q, j + i] * Y[p, k, i], over=[i, q, p, s, k])\n"
        "G = sigmoid(h @ Y)\nR = out\ne = np.mean(G) - np.sum(R)",
        "h = np.where(~mask, O, Y) @ O\n"
        "out = np.array([(Y.sum(axis=(0, 1)) ** 2).sum()])\n"
        "G = sigmoid(h @ Y)\nR = out\ne = np.mean(G) - np.sum(R)",
    ),
    "an input solved for by a factor that is zero": found(
        "T1: [T]; x: [4]; V: [3]",
        "h[j] = sum(T1[j + i] * V[i], over=[i])\nG = logsigmoid(h)\n"
        "R = relu(sum(G, axis=-1))\nJ[i] = tanh(R) * (1 - x[i])",
        "h = index_array((T - 2,), lambda j: index_sum((3,), lambda i: T1[j + i] * V[i]))\n"
        "G = logsigmoid(h)\nR = relu(np.sum(G, axis=-1))\nJ = np.tanh(R) * (1 - x)",
        needs="T - 2",
    ),
    "an output that is a number, under a name that was an array": found(
        "Q: [T, 3]; A: [T, T]", "Y = A\nY = lam\nh = Q", outputs="Y h", constants="lam=1"
    ),
    "every other entry of an even axis": found(
        "q: [K, K]; I: [K, K*2]",
        "out = mean(q, axis=0)\nscale[i, j] = sum(I[j, 2*i + 2*k] * out[k], over=[k])\n"
        "y_ = out + scale",
        "out = np.mean(q, axis=0)\n"
        "scale = index_array((1, K), lambda i, j: "
        "index_sum((K,), lambda k: I[j, 2*i + 2*k] * out[k]))\ny_ = out + scale",
    ),
    "a value that cancels inside a comparison": found(
        "Z: [1, C]; E: [D + 1, D]",
        "h = np.minimum(Z.var(axis=1).var(axis=0, keepdims=True), E)",
    ),
    "a gradient that is a position": found(
        "V: [C, C]",
        "z[i < C, j < C] = i * V[j, C - 1 - i]\nscale = np.sum(z)",
        "z = index_array((C, C), lambda i, j: i * V[j, C - 1 - i])\nscale = np.sum(z)",
    ),
    "bounds of a clip that cross": found(
        "X: [N, D]; b: [D]; c: [N]", "Y = np.clip(X, b, c[:, None])"
    ),
    "the inner product of two matrices": found("X: [N, D]; Z: [K, D]", "Y = np.inner(X, Z)"),
    "two masks that add up": found(
        "X: [N]; m: {shape: [N], dtype: bool}; k: {shape: [N], dtype: bool}", "Y = X*m + X*k"
    ),
    "what cancels beyond the end of its array": found(
        "q: [1, B]",
        "P = softmax(q, axis=0)\nv = conv2d(concatenate([q, P], axis=-1), q)\ny_ = np.sum(v)",
    ),
    "a mean inside a product that is padded": found(
        "A: [C, C, 3]",
        "T = transpose(A, (2, 1, 0))\nY = (T - T.mean(axis=-1, keepdims=True))[1, :-1, :C]",
        needs="C - 1",
    ),
    "a power in the exponent of a power": found(
        "E: {shape: [K, C], domain: positive}", "Y = E\nZ = Y - Y**E"
    ),
    "a padded sum of which one part is the same everywhere": found(
        "Z: [C, C]; V: [N, C]",
        "v = V @ Z.T\nP = v[..., :-1]\nscale = np.mean(Z) * np.sum(v) * (P**2)",
        needs="C - 1",
    ),
    "a maximum of maxima": found(
        "b: [D, T]",
        "P = max_pool2d(max_pool2d(b, size=(1, 2,), stride=1), size=2, stride=(1, 2,))",
        needs="T - 2;D - 1",
    ),
    "a condition that is the gradient of a number": found(
        "x: []; y: {shape: [], index: H}",
        "h = onehot(y, H) - x\nF = diag(h)\na1 = F[arange(H), argmin(F, axis=1)][y]",
    ),
    "a stack times a vector times a vector": found(
        "x: [K]; Y: [M]",
        "h[j, i, k] = Y[i] * tanh(x[k]) * tanh(x[j])",
        "h = np.tanh(x)[:, None, None] * Y[:, None] * np.tanh(x)",
    ),
    "one label of a step": found(
        "h0: [N, K]; y: {shape: [N, T], index: K}",
        "H = zeros((T,))\nfor t in range(T):\n    y0_t = y[:, t]\n"
        "    H[t] = (h0 - h0.mean(axis=0, keepdims=True))[arange(N), y0_t][N - 1]",
    ),
    "a shared condition that is contracted with another": found(
        "q: [1, 1, N + 1, N]",
        "h = concatenate([maximum(0, q), q], axis=1)\nP = np.sum(where(h >= q, q, h))",
    ),
    "one entry solved for, and all others": found(
        "x: [N]",
        "P = tanh(x[1:])\nY = P[..., np.newaxis, -1] - full((1,), 2)",
        outputs="P",
        needs="N - 1",
    ),
    "the filter of a transposed convolution whose input is as long": found(
        "Y: [1, T, 2]; A: [T, 1, 2]", "h = 2 * conv_transpose1d(Y, A, stride=1)"
    ),
    "the best entry of an array read backwards": found(
        "z: []; w: [K]", "Y = max((z / exp(w))[::-1])"
    ),
    "labels that choose nothing in a part of the axis": found(
        "X: [T, D]; y: {shape: [T], index: D}",
        "P = (onehot(y, D) * X.sum())[..., :D - 1]\nY = sigmoid(P)",
        needs="D - 1",
    ),
    "a slice from behind is as long as it says": found(
        "V: [N, B]", "Y = V[-2:, 0].mean() + V[-3:-1].sum()"
    ),
    "a product of stacks beside an inverse": found(
        "V: [B, B]; T1: [1, 2]; d: [C, 4]",
        "h = where(norm(T1, axis=(-2, 1), keepdims=True) > V[:, :, None], "
        "conv_transpose2d(V[..., ::-2], T1, stride=(1, 2)), det(d @ d.T + eye(C)))\n"
        "P = h / (abs(cos(h)) + 1)",
    ),
    "an index that cancels inside a minimum": found(
        "q: [T]; c: {shape: [K], domain: positive}",
        "Y[k] = min(q[t] + c[k]**-1 * 2*c[k], over=[t])",
        "Y = index_array((K,), lambda k: index_min((T,), lambda t: q[t] + c[k]**-1 * 2*c[k]))",
    ),
    "an index that cancels inside a function of a sum": found(
        "Z: [N, N]; b: {shape: [N, K], domain: positive}",
        "h[j, k] = sin(sum(Z[j, i] - (1 - b[i, k]) * (i < 0), over=[i]))",
        "h = index_array((N, K), lambda j, k: "
        "sin(index_sum((N,), lambda i: Z[j, i] - (1 - b[i, k]) * (i < 0))))",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_was_found_stays_right(name: str) -> None:
    outcome = prove(PROGRAMS[name], seed=1)
    assert outcome.status == "agrees", (
        f"{outcome.status}: {outcome.reason}\n{PROGRAMS[name].yaml}\n{outcome.detail}"
    )
