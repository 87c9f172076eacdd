"""Questions 2 and 3: batch and layer normalisation."""

from __future__ import annotations

from tests.course.model import Answer, Question

_BATCH_FORWARD = """\
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    std = np.sqrt(x.var(axis=0) + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (x, mu, std, xhat, gamma)

"""
_BATCH_HEAD = """\
def batchnorm_backward(dout, cache):
    x, mu, std, xhat, gamma = cache
    N = len(dout)
    dgamma, dbeta = (dout * xhat).sum(axis=0), dout.sum(axis=0)
    g = dout * gamma
"""


def _batch(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return _BATCH_FORWARD + _BATCH_HEAD + lines + "    return dx, dgamma, dbeta\n"


BATCH_NORM = Question(
    "batch_norm",
    ("X", "gamma", "beta"),
    (
        Answer(
            "short",
            _batch("dx = (N * g - g.sum(axis=0) - xhat * (g * xhat).sum(axis=0)) / (N * std)"),
        ),
        Answer("means", _batch("dx = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std")),
        Answer(
            "staged",
            _batch(
                "dvar = (g * (x - mu) * -0.5 * std**-3).sum(axis=0)\n"
                "dmu = (-g / std).sum(axis=0) + dvar * (-2 * (x - mu)).mean(axis=0)\n"
                "dx = g / std + dvar * 2 * (x - mu) / N + dmu / N"
            ),
        ),
        Answer(
            "jacobian",
            _batch(
                "dx = np.empty_like(x)\n"
                "for d in range(x.shape[1]):\n"
                "    jacobian = np.eye(N) - 1 / N - np.outer(xhat[:, d], xhat[:, d]) / N\n"
                "    dx[:, d] = jacobian @ g[:, d] / std[d]"
            ),
        ),
        Answer(
            "no_mean_path",
            _batch("dx = (N * g - xhat * (g * xhat).sum(axis=0)) / (N * std)"),
            {"X": ("missing-path",)},
        ),
        Answer(
            "no_variance_path",
            _batch("dx = (N * g - g.sum(axis=0)) / (N * std)"),
            {"X": ("missing-path",)},
        ),
        Answer("only_direct", _batch("dx = g / std"), {"X": ("missing-path",)}),
        Answer(
            "gamma_left_out",
            _batch("g = dout\ndx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std"),
            {"X": ("missing-factor",)},
        ),
        Answer(
            "mean_path_sign",
            _batch("dx = (N * g + g.sum(0) - xhat * (g * xhat).sum(0)) / (N * std)"),
            {"X": ("sign",)},
        ),
        Answer(
            "mean_path_not_averaged",
            _batch("dx = (g - g.sum(0) - xhat * (g * xhat).mean(0)) / std"),
            {"X": ("sum-for-mean", "several-paths", "scale", "missing-factor")},
        ),
        Answer(
            "inputs_for_normalised",
            _batch(
                "dgamma = (dout * x).sum(0)\ndx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std"
            ),
            {"gamma": ("wrong-tensor",)},
        ),
        Answer(
            "wrong_order",
            _batch(
                "dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std\n"
                "dgamma, dbeta = dbeta, dgamma"
            ),
            {"gamma": ("order", "wrong-gradient"), "beta": ("order", "wrong-gradient")},
        ),
    ),
)

_LAYER_FORWARD = """\
def layernorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)

"""
_LAYER_HEAD = """\
def layernorm_backward(dout, cache):
    xhat, std, gamma = cache
    D = dout.shape[1]
    dgamma, dbeta = (dout * xhat).sum(axis=0), dout.sum(axis=0)
    g = dout * gamma
"""


def _layer(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return _LAYER_FORWARD + _LAYER_HEAD + lines + "    return dx, dgamma, dbeta\n"


_MEANS = "g.mean(1, keepdims=True) - xhat * (g * xhat).mean(1, keepdims=True)"

LAYER_NORM = Question(
    "layer_norm",
    ("X", "gamma", "beta"),
    (
        Answer("means", _layer(f"dx = (g - {_MEANS}) / std")),
        Answer(
            "rows",
            _layer(
                "dx = np.array([\n"
                "    (row - row.mean() - h * (row * h).mean()) / s\n"
                "    for row, h, s in zip(g, xhat, std)\n"
                "])"
            ),
        ),
        Answer(
            "transposed",
            _layer(
                "G, H = g.T, xhat.T\ndx = ((D * G - G.sum(0) - H * (G * H).sum(0)) / D / std.T).T"
            ),
        ),
        Answer(
            "gamma_outside",
            _layer(
                "dx = gamma / std * (dout - dout.mean(1, keepdims=True)\n"
                "    - xhat * (dout * xhat).mean(1, keepdims=True))"
            ),
            {"X": ()},
        ),
        Answer(
            "batch_axis",
            _layer("dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std"),
            {"X": ("wrong-axis", "two-mistakes")},
        ),
        Answer(
            "scale_summed_over_features",
            _layer(f"dx = (g - {_MEANS}) / std\ndgamma = (dout * xhat).mean(axis=0)"),
            {"gamma": ("mean-for-sum",)},
        ),
        Answer(
            "std_left_out",
            _layer(f"dx = g - {_MEANS}"),
            {"X": ("missing-factor",)},
        ),
        Answer(
            "std_multiplied",
            _layer(f"dx = (g - {_MEANS}) * std"),
            {"X": ("inverted-factor",)},
        ),
    ),
)
