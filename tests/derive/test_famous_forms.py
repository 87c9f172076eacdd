"""The forms that people know come out letter by letter, each with where it is printed.

The left column is what gradtool prints of a bundled layer; the comment says where a reader has
seen it.  Nothing here is told to the engine: every line is derived from the layer's forward pass.
"""

from __future__ import annotations

from functools import cache

import pytest

from gradtool.derive.derivation import Derivation, derive
from gradtool.emit.text import line
from gradtool.report.library import finder
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path

LONGEST = 120  # characters of a formula, given the names of the forward pass

FORMS: dict[str, tuple[str, str]] = {
    # -- layers
    "affine": (
        "J. Johnson, Backpropagation for a Linear Layer, Stanford CS231n handout (2017)",
        """
        dX = dY @ W.T
        dW = X.T @ dY
        db = dY.sum(axis=0)""",
    ),
    "affine_column": (
        "A. Ng, Neural Networks and Deep Learning, deeplearning.ai, course 1, week 3 (2017)",
        """
        dX = W.T @ dZ
        dW = dZ @ X.T
        db = dZ.sum(axis=1, keepdims=True)""",
    ),
    "two_layer_relu": (
        "Stanford CS231n, assignment 1, two-layer network (2017)",
        """
        dZ = (dS @ W2.T) * (Z > 0)
        dX = dZ @ W1.T
        dW1 = X.T @ dZ
        db1 = dZ.sum(axis=0)
        dW2 = H1.T @ dS
        db2 = dS.sum(axis=0)""",
    ),
    "dropout": (
        "N. Srivastava et al., Dropout (2014); inverted as in Stanford CS231n, notes 2",
        "dX = dY * M / p",
    ),
    "mlp_sigmoid_mse": (
        "M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, equations BP1 to BP4",
        """
        dz3 = 2 * (a3 - y) * a3 * (1 - a3)
        dz2 = (W3.T @ dz3) * a2 * (1 - a2)
        dz1 = (W2.T @ dz2) * a1 * (1 - a1)
        dx = W1.T @ dz1
        dW1 = outer(dz1, x)
        db1 = dz1
        dW2 = outer(dz2, a1)
        db2 = dz2
        dW3 = outer(dz3, a2)
        db3 = dz3""",
    ),
    "word_embedding": (
        "Stanford CS231n, assignment 3, word_embedding_backward: np.add.at(dW, x, dout) (2016)",
        "dW = scatter_add(x, dout, V)",
    ),
    # -- losses
    "softmax_cross_entropy": (
        "Stanford CS231n, notes on linear classification (2015): dscores = probs - 1[y]",
        "dS = (P - onehot(y)) / N",
    ),
    "softmax_cross_entropy_steps": (
        "I. Goodfellow, Y. Bengio, A. Courville, Deep Learning (2016), section 6.2.2.3",
        "dS = (P - onehot(y)) / N",
    ),
    "soft_cross_entropy": (
        "G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge (2015), equation 2",
        "dS = (P - Q) / N",
    ),
    "kl_divergence": (
        "G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge (2015), equation 2",
        "dS = (P - Q) / N",
    ),
    "binary_cross_entropy": (
        "M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3",
        "dA = (A - T) / (N * A * (1 - A))",
    ),
    "binary_cross_entropy_logits": (
        "C. Bishop, Pattern Recognition and Machine Learning (2006), equation 4.91",
        "dZ = (A - T) / N",
    ),
    "logistic_regression": (
        "C. Bishop, Pattern Recognition and Machine Learning (2006), equation 4.91",
        """
        dz = (a - t) / N
        dX = outer(dz, w)
        dw = X.T @ dz
        db = dz.sum()""",
    ),
    "mse": ("C. Bishop (2006), equation 5.18, times 2/(N D)", "dY = 2 * E / (D * N)"),
    "huber": (
        "T. Hastie, R. Tibshirani, J. Friedman, Statistical Learning (2009), table 10.2",
        "dY = where(abs(E) <= delta, E, delta * sign(E)) / N",
    ),
    "svm_hinge": (
        "Stanford CS231n, notes on optimization (2015): minus the count of margins at y",
        "dS = ((Z > 0) - (Z > 0).sum(axis=1, keepdims=True) * onehot(y)) / N",
    ),
    "focal": (
        "T.-Y. Lin et al., Focal Loss for Dense Object Detection (2017), appendix B",
        "dz = t * (1 - p)**gamma * (p + gamma * p * log(p) - 1) / N",
    ),
    "vae_kl": (
        "D. Kingma, M. Welling, Auto-Encoding Variational Bayes (2014), appendix B, differentiated",
        """
        dmu = mu / N
        dlogvar = (exp(logvar) - 1) / (2 * N)""",
    ),
    "cosine_similarity": (
        "C. Luo et al., Cosine Normalization (2017)",
        """
        du = (vhat - c * uhat) / r
        dv = (uhat - c * vhat) / q""",
    ),
    "triplet": (
        "F. Schroff, D. Kalenichenko, J. Philbin, FaceNet (2015), equation 3, differentiated",
        """
        dA = 2 * active[:, None] * (Q - P) / N
        dP = -2 * (A - P) * active[:, None] / N
        dQ = 2 * (A - Q) * active[:, None] / N""",
    ),
    "info_nce": (
        "A. van den Oord, Y. Li, O. Vinyals (2018), equation 4: softmax cross-entropy of pairs",
        """
        dS = (P - eye(N)) / N
        dQ = dS @ K / tau
        dK = dS.T @ Q / tau""",
    ),
    "clip_loss": (
        "A. Radford et al., Learning Transferable Visual Models (2021), figure 3",
        """
        dS = (P + Q - 2 * eye(N)) / (2 * N)
        dV = exp(t) * (dS.T @ U)
        dU = exp(t) * (dS @ V)
        dF = (dU - U * (dU * U).sum(axis=1, keepdims=True)) / r
        dG = (dV - V * (dV * V).sum(axis=1, keepdims=True)) / q
        dt = (dS * S).sum()""",
    ),
    "skipgram_softmax": (
        "Stanford CS224n (2019), assignment 2, naive softmax: U (yhat - y), words as columns of U",
        """
        dz = p - onehot(o)
        dv = U.T @ dz
        dU = outer(dz, v)""",
    ),
    "skipgram_negative": (
        "Stanford CS224n (2019), assignment 2, negative sampling",
        """
        dzk = 1 - ak
        dz = a - 1
        dv = dz * U[o] + U[k].T @ dzk
        dU = outer(dz * onehot(o) + scatter_add(k, dzk, V), v)""",
    ),
    "l2_half": (
        "Stanford CS231n, notes, a minimal neural network (2015): dW += reg * W",
        """
        dz_P = (P - onehot(y)) / N
        dz_H1 = (dz_P @ W2.T) * (H1 > 0)
        dX = dz_H1 @ W1.T
        dW1 = X.T @ dz_H1 + lam * W1
        dW2 = H1.T @ dz_P + lam * W2""",
    ),
    # -- activations
    "sigmoid": ("M. Nielsen (2015), chapter 2, in terms of the output", "dZ = dA * A * (1 - A)"),
    "tanh": ("Y. LeCun et al., Efficient BackProp (1998)", "dZ = dA * (1 - A**2)"),
    "relu": ("Stanford CS231n, notes on neural networks 1 (2015)", "dZ = dA * (Z > 0)"),
    "softsign": ("J. Bergstra et al. (2009): 1/(1 + |z|)^2", "dZ = dA / (1 + abs(Z))**2"),
    "softplus": (
        "C. Dugas et al., Incorporating Second-Order Functional Knowledge (2001)",
        "dZ = dA * sigmoid(Z)",
    ),
    "silu": (
        "P. Ramachandran, B. Zoph, Q. Le, Searching for Activation Functions (2017)",
        "dZ = dA * (A + G * (1 - A))",
    ),
    "gelu": (
        "D. Hendrycks, K. Gimpel, Gaussian Error Linear Units (2016): Phi(x) + x phi(x)",
        "dZ = dA * (Phi + Z * exp(-Z**2 / 2) / sqrt(2 * pi))",
    ),
    "glu": (
        "Y. Dauphin et al., Language Modeling with Gated Convolutional Networks (2017), section 3",
        """
        dz = dY * U * G * (1 - G)
        dU = dY * G
        dX = dz @ V.T + dU @ W.T
        dW = X.T @ dU
        dV = X.T @ dz""",
    ),
    "softmax": (
        "C. Bishop (2006), equation 4.106, times the upstream gradient",
        "dZ = P * (dP - (dP * P).sum(axis=1, keepdims=True))",
    ),
    "log_softmax": (
        "C. Bishop (2006), equation 4.106, divided by P",
        "dZ = dA - P * dA.sum(axis=1, keepdims=True)",
    ),
    # -- normalisation
    "batch_norm": (
        "C. Thorey, What does the gradient flowing through batch normalization looks like? (2016)",
        """
        dX = gamma / (N * std) * (N * dY - dY.sum(axis=0) - xhat * (dY * xhat).sum(axis=0))
        dgamma = (dY * xhat).sum(axis=0)
        dbeta = dY.sum(axis=0)""",
    ),
    "layer_norm": (
        "J. Xu et al., Understanding and Improving Layer Normalization (2019)",
        """
        dxhat = dY * gamma
        dX = (D * dxhat - dxhat.sum(axis=1, keepdims=True) """
        """- xhat * (dxhat * xhat).sum(axis=1, keepdims=True)) / (D * std)
        dgamma = (dY * xhat).sum(axis=0)
        dbeta = dY.sum(axis=0)""",
    ),
    "group_norm": (
        "Y. Wu, K. He, Group Normalization (2018): batch normalisation over groups",
        """
        dzhat = (dY * gamma[:, None, None]).reshape(N, G, K, H, W)
        dZ = (dzhat - dzhat.mean(axis=(2, 3, 4), keepdims=True) """
        """- zhat * (dzhat * zhat).mean(axis=(2, 3, 4), keepdims=True)) / std
        dX = dZ.reshape(N, G * K, H, W)
        dgamma = (dY * xhat).sum(axis=(0, 2, 3))
        dbeta = dY.sum(axis=(0, 2, 3))""",
    ),
    "instance_norm": (
        "D. Ulyanov, A. Vedaldi, V. Lempitsky, Instance Normalization (2016)",
        """
        dxhat = dY * gamma[:, None, None]
        dX = (dxhat - dxhat.mean(axis=(2, 3), keepdims=True) """
        """- xhat * (dxhat * xhat).mean(axis=(2, 3), keepdims=True)) / std
        dgamma = (dY * xhat).sum(axis=(0, 2, 3))
        dbeta = dY.sum(axis=(0, 2, 3))""",
    ),
    "rms_norm": (
        "B. Zhang, R. Sennrich, Root Mean Square Layer Normalization (2019)",
        """
        dX = (dY * gamma - xhat * (dY * Y).mean(axis=1, keepdims=True)) / rms
        dgamma = (dY * xhat).sum(axis=0)""",
    ),
    "l2_normalise": (
        "F. Wang et al., NormFace, L2 Hypersphere Embedding (2017)",
        "dX = (dY - Y * (dY * Y).sum(axis=1, keepdims=True)) / r",
    ),
    "weight_norm": (
        "T. Salimans, D. Kingma, Weight Normalization (2016), equation 3",
        """
        dW = X.T @ dY
        dX = dY @ W.T
        dV = (dW * g - V * (dW * W).sum(axis=0) / r) / r
        dg = (dW * V).sum(axis=0) / r
        db = dY.sum(axis=0)""",
    ),
    # -- attention and sequences
    "attention": (
        "T. Dao et al., FlashAttention (2022), appendix B.2",
        """
        dP = dO @ V.T
        dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
        dQ = dS @ K / sqrt(E)
        dK = dS.T @ Q / sqrt(E)
        dV = P.T @ dO""",
    ),
    "attention_batch": (
        "T. Dao et al., FlashAttention (2022), appendix B.2, for every sequence of a batch",
        """
        dP = dO @ V.transpose(0, 2, 1)
        dS = P * (dP - (dP * P).sum(axis=2, keepdims=True))
        dQ = dS @ K / sqrt(E)
        dK = dS.transpose(0, 2, 1) @ Q / sqrt(E)
        dV = P.transpose(0, 2, 1) @ dO""",
    ),
    "rnn_cell": (
        "Stanford CS231n, assignment 3, rnn_step_backward (2016)",
        """
        dz = dnext_h * (1 - next_h**2)
        dx = dz @ Wx.T
        dprev_h = dz @ Wh.T
        dWx = x.T @ dz
        dWh = prev_h.T @ dz
        db = dz.sum(axis=0)""",
    ),
    "lstm_cell": (
        "K. Greff et al., LSTM: A Search Space Odyssey (2015), section II.B, without peepholes",
        """
        dnext_c_total = dnext_c + dnext_h * o * (1 - tanh(next_c)**2)
        da_i = dnext_c_total * g * i * (1 - i)
        da_f = dnext_c_total * prev_c * f * (1 - f)
        da_o = dnext_h * tanh(next_c) * o * (1 - o)
        da_g = dnext_c_total * i * (1 - g**2)
        da = concatenate((da_i, da_f, da_o, da_g), axis=1)
        dx = da @ Wx.T
        dprev_h = da @ Wh.T
        dprev_c = dnext_c_total * f
        dWx = x.T @ da
        dWh = prev_h.T @ da
        db = da.sum(axis=0)""",
    ),
    "gru_cell": (
        "K. Cho et al. (2014), equations 5 to 8, differentiated gate by gate",
        """
        da_hbar = dnext_h * (1 - hbar**2) * (1 - z)
        dprod = da_hbar @ U.T
        da_r = dprod * prev_h * r * (1 - r)
        da_z = dnext_h * z * (1 - z) * (prev_h - hbar)
        dx = da_hbar @ W.T + da_r @ Wr.T + da_z @ Wz.T
        dprev_h = dprod * r + dnext_h * z + da_r @ Ur.T + da_z @ Uz.T
        dWz = x.T @ da_z
        dUz = prev_h.T @ da_z
        dbz = da_z.sum(axis=0)
        dWr = x.T @ da_r
        dUr = prev_h.T @ da_r
        dbr = da_r.sum(axis=0)
        dW = x.T @ da_hbar
        dU = (prev_h * r).T @ da_hbar
        db = da_hbar.sum(axis=0)""",
    ),
    # -- matrices
    "quadratic_form": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equations 81 and 70",
        """
        dx = (A + A.T) @ x
        dA = outer(x, x)""",
    ),
    "inverse": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equation 124",
        "dA = -B.T @ dB @ B.T",
    ),
    "log_determinant": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equation 57",
        "dA = inv(A).T",
    ),
    "determinant": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equation 49",
        "dA = y * inv(A).T",
    ),
    "trace": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equation 100",
        """
        dA = B.T
        dB = A.T""",
    ),
    "linear_solve": (
        "M. Giles, Collected Matrix Derivative Results (2008), 2.3.1 Matrix inverse product",
        """
        dB = solve(A.T, dY)
        dA = -dB @ Y.T""",
    ),
    "cholesky": (
        "I. Murray, Differentiation of the Cholesky decomposition (2016), equations 9 and 10",
        """
        L_inv = inv(L)
        dA = L_inv.T @ (tril(L.T @ dL) + tril(L.T @ dL, k=-1).T) @ L_inv / 2""",
    ),
    "frobenius_norm": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), section 2.7",
        "dA = A / y",
    ),
    "mahalanobis": (
        "K. Petersen, M. Pedersen, The Matrix Cookbook (2012), equation 61 and section 2.4.2",
        """
        Sigma_inv = inv(Sigma)
        dr = (Sigma_inv + Sigma_inv.T) @ r
        dx = dr
        dmu = -dr
        dSigma = -outer(Sigma_inv.T @ r, Sigma_inv @ r)""",
    ),
    "ridge_loss": (
        "T. Hastie, R. Tibshirani, J. Friedman, Elements of Statistical Learning (2009), 3.4.1",
        """
        dX = 2 * outer(r, w)
        dy = -2 * r
        dw = 2 * (lam * w + X.T @ r)""",
    ),
    "ridge": (
        "M. Giles (2008), section 2.3.1, for the normal equations of Hoerl and Kennard (1970)",
        """
        A = X.T @ X + lam * eye(D)
        dz = solve(A.T, dw)
        dA = -outer(dz, w)
        dX = outer(y, dz) + X @ (dA + dA.T)
        dy = X @ dz""",
    ),
    # -- convolution and pooling
    "conv2d_tiny": (
        "P. Solai, Convolutions and Backpropagations (2018): full convolution, rotated filter",
        """
        dX = conv2d(dO, rot180(F), pad=1)
        dF = conv2d(X, dO)""",
    ),
    "conv2d_valid": (
        "I. Goodfellow, Y. Bengio, A. Courville, Deep Learning (2016), equations 9.13 and 9.11",
        """
        dX = conv2d(dY, rot180(F).swapaxes(0, 1), pad=(R - 1, S - 1))
        dF = einsum('nkij,ncijrs->kcrs', dY, windows(X, (R, S)))""",
    ),
    "max_pool2d_reshape": (
        "Stanford CS231n, assignment 2, max_pool_backward_reshape: a mask of the maxima (2015)",
        """
        best = argmax(windows, axis=(3, 5))
        dwindows[n, c, h, p < P, w, i < P] = (P * p + i == best[n, c, h, w]) * dY[n, c, h, w]
        dX = dwindows.reshape(N, C, H * P, P * W)""",
    ),
    "upsample_nearest": (
        "PyTorch documentation, Upsample: every output is a copy, so copies are added up",
        "dX = dY.reshape(N, C, H, scale, W, scale).sum(axis=(3, 5))",
    ),
}


@cache
def derivation_of(name: str) -> Derivation:
    spec = load_path(bundled_specs()[name])
    return derive(graph_of(spec, finder(spec)))


@pytest.mark.parametrize("name", FORMS)
def test_a_famous_form_is_printed_literally(name: str) -> None:
    source, expected = FORMS[name]
    wanted = [part.strip() for part in expected.strip().split("\n")]
    lines = [line(entry.name, entry.tree) for entry in derivation_of(name).lines]
    if not any(entry.role == "inner" and wanted[0].startswith(f"{entry.name} ")
               for entry in derivation_of(name).lines):  # fmt: skip
        lines = [
            line(entry.name, entry.tree)
            for entry in derivation_of(name).lines
            if entry.role != "inner"
        ]
    assert sorted(lines) == sorted(wanted), source


@pytest.mark.parametrize("name", bundled_specs())
def test_no_formula_of_a_bundled_layer_is_longer_than_a_line(name: str) -> None:
    """Given the names of the forward pass."""
    for entry in derivation_of(name).lines:
        if entry.role != "inner" and entry.block is None:
            text = line(entry.name, entry.tree).partition(" = ")[2]
            assert len(text) <= LONGEST, text
