"""Layers by hand, for tests of the judge: forward, backward and sampling in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.numeric.kinks import Closest
from gradtool.numeric.settings import Setting
from gradtool.numeric.shake import Shake
from gradtool.records import Struct, field, replace
from gradtool.spec.model import Block, Check, LayerSpec, Place, Source, Variable

Arrays = Mapping[str, np.ndarray]
Sizes = Mapping[str, Any]


class HandReference(Struct, frozen=True):
    """A `Reference` out of two functions."""

    spec: LayerSpec
    outputs: tuple[str, ...]
    output_shapes: Mapping[str, tuple[Dim, ...]]
    run_forward: Callable[[Arrays, Sizes], dict[str, np.ndarray]]
    run_backward: Callable[[Arrays, Arrays, Sizes], dict[str, np.ndarray]]
    sets: tuple[dict[str, int], ...]
    constants: Mapping[str, int | float] = field(default_factory=dict)

    def forward(self, values: Arrays, sizes: Sizes) -> dict[str, np.ndarray]:
        return self.run_forward(values, sizes)

    def backward(self, values: Arrays, upstream: Arrays, sizes: Sizes) -> dict[str, np.ndarray]:
        return self.run_backward(values, upstream, sizes)

    def evaluate(
        self,
        values: Arrays,
        upstream: Arrays,
        sizes: Sizes,
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        def ready(arrays: Arrays) -> dict[str, np.ndarray]:
            move: Callable[[np.ndarray], Any] = shake.moving() if shake else lambda array: array
            real = {n: a.astype(dtype) if dtype and a.dtype.kind == "f" else a
                    for n, a in arrays.items()}  # fmt: skip
            return {n: np.asarray(move(a)) for n, a in real.items()}

        v, up = ready(values), ready(upstream)
        found = self.run_forward(v, sizes), self.run_backward(v, up, sizes)
        first, second = ({n: np.asarray(a, dtype=float) for n, a in made.items()} for made in found)
        return first, second

    def kinks(self, values: Arrays, sizes: Sizes) -> Closest:
        return Closest()

    def sample(self, sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
        drawn: dict[str, np.ndarray] = {}
        for v in self.spec.variables:
            shape = tuple(d.evaluate(sizes) for d in v.shape)
            if v.index is not None:
                drawn[v.name] = rng.integers(v.index.evaluate(sizes), size=shape)
            elif v.domain.kind == "binary":
                drawn[v.name] = rng.integers(2, size=shape).astype(float)
            else:
                value = np.asarray(rng.standard_normal(shape))
                drawn[v.name] = value + np.sign(value) * 0.1  # away from kinks at zero
        return drawn

    def size_sets(self) -> tuple[dict[str, int], ...]:
        return self.sets

    def settings(self) -> tuple[Setting, ...]:
        return tuple(
            Setting(sizes, "sizes", int(np.prod([*sizes.values()]))) for sizes in self.sets
        )

    def checked_by(self, **blocks: object) -> HandReference:
        """The same layer with a `check:` block; texts become blocks."""

        def block(value: object) -> object:
            if isinstance(value, str):
                return Block(value, (Place(1, 1),))
            if isinstance(value, dict):
                return {k: block(v) for k, v in value.items()}
            return value

        plain = {"gradients", "upstream", "upstream_scale", "load_root", "load_only", "load_python"}
        ready = {k: v if k in plain else block(v) for k, v in blocks.items()}
        return replace(self, spec=replace(self.spec, check=Check(**ready)))  # type: ignore[arg-type]


def variable(name: str, role: str, *shape: str, index: str = "", **more: object) -> Variable:
    return Variable(
        name,
        role,  # type: ignore[arg-type]
        tuple(Dim.parse(text) for text in shape),
        "index" if index else "real",
        Place(1, 1),
        index=Dim.parse(index) if index else None,
        **more,  # type: ignore[arg-type]
    )


def spec(name: str, *variables: Variable) -> LayerSpec:
    source = Source(f"{name}.yaml", ())
    nothing = Block("", (Place(1, 1),))
    return LayerSpec(name, source, "", "", variables, {}, {}, nothing, None, None, None)


def shape(*texts: str) -> tuple[Dim, ...]:
    return tuple(Dim.parse(text) for text in texts)


SETS = (
    {"N": 4, "D": 5, "C": 3},
    {"N": 3, "D": 2, "C": 7},
    {"N": 4, "D": 4, "C": 4},
    {"N": 1, "D": 3, "C": 2},
    {"N": 5, "D": 1, "C": 3},
)


def affine() -> HandReference:
    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"Y": v["X"] @ v["W"] + v["b"]}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        d = up["Y"]
        return {"X": d @ v["W"].T, "W": v["X"].T @ d, "b": d.sum(axis=0)}

    variables = (
        variable("X", "input", "N", "D"),
        variable("W", "parameter", "D", "C"),
        variable("b", "parameter", "C"),
    )
    return HandReference(
        spec("affine", *variables), ("Y",), {"Y": shape("N", "C")}, forward, backward, SETS
    )


def softmax_loss() -> HandReference:
    def parts(v: Arrays) -> tuple[np.ndarray, np.ndarray]:
        e = np.exp(v["S"] - v["S"].max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True), np.arange(len(v["S"]))

    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        p, rows = parts(v)
        return {"loss": np.asarray(-np.log(p[rows, v["y"]]).mean())}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        p, rows = parts(v)
        d = p.copy()
        d[rows, v["y"]] -= 1
        return {"S": up["loss"] * d / len(d)}

    variables = (variable("S", "input", "N", "C"), variable("y", "input", "N", index="C"))
    return HandReference(
        spec("softmax_cross_entropy", *variables), ("loss",), {"loss": ()}, forward, backward,
        tuple({k: s[k] for k in ("N", "C")} for s in SETS),
    )  # fmt: skip


def squared_error() -> HandReference:
    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"L": np.asarray(np.mean((v["Y"] - v["T"]) ** 2))}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"Y": up["L"] * 2 * (v["Y"] - v["T"]) / v["Y"].size}

    truth = variable("T", "input", "N", "D", constant=True)
    return HandReference(
        spec("mse", variable("Y", "input", "N", "D"), truth),
        ("L",), {"L": ()}, forward, backward, tuple({k: s[k] for k in ("N", "D")} for s in SETS),
    )  # fmt: skip


def hidden_loss() -> HandReference:
    """Two layers of tanh and half the squared error."""

    def both(v: Arrays) -> tuple[np.ndarray, np.ndarray]:
        h = np.tanh(v["X"] @ v["W1"])
        return h, h @ v["W2"] - v["Y"]

    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"L": np.asarray(0.5 * np.sum(both(v)[1] ** 2))}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        h, e = both(v)
        d = (e @ v["W2"].T) * (1 - h**2)
        return {"W1": up["L"] * v["X"].T @ d, "W2": up["L"] * h.T @ e}

    known = (
        variable("X", "input", "N", "D", constant=True),
        variable("Y", "input", "N", "C", constant=True),
        variable("W1", "parameter", "D", "H"),
        variable("W2", "parameter", "H", "C"),
    )
    sets = ({"N": 3, "D": 4, "H": 5, "C": 2}, {"N": 2, "D": 1, "H": 3, "C": 4})
    return HandReference(spec("two_layers", *known), ("L",), {"L": ()}, forward, backward, sets)


def batch_norm() -> HandReference:
    eps = 1e-5

    def hat(v: Arrays) -> tuple[np.ndarray, np.ndarray]:
        std = np.sqrt(v["x"].var(axis=0) + eps)
        return (v["x"] - v["x"].mean(axis=0)) / std, std

    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"Y": hat(v)[0] * v["gamma"] + v["beta"]}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        h, std = hat(v)
        g = up["Y"] * v["gamma"]
        dx = (g - g.mean(axis=0) - h * (g * h).mean(axis=0)) / std
        return {"x": dx, "gamma": (up["Y"] * h).sum(axis=0), "beta": up["Y"].sum(axis=0)}

    variables = (
        variable("x", "input", "N", "D"),
        variable("gamma", "parameter", "D"),
        variable("beta", "parameter", "D"),
    )
    return HandReference(
        spec("batch_norm", *variables), ("Y",), {"Y": shape("N", "D")}, forward, backward,
        ({"N": 5, "D": 4}, {"N": 3, "D": 6}, {"N": 4, "D": 4}, {"N": 6, "D": 1}), {"eps": eps},
    )  # fmt: skip


def sigmoid() -> HandReference:
    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"A": 1 / (1 + np.exp(-v["Z"]))}

    def backward(v: Arrays, up: Arrays, s: Sizes) -> dict[str, np.ndarray]:
        a = forward(v, s)["A"]
        return {"Z": up["A"] * a * (1 - a)}

    return HandReference(
        spec("sigmoid", variable("Z", "input", "N", "D")), ("A",), {"A": shape("N", "D")},
        forward, backward, tuple({k: s[k] for k in ("N", "D")} for s in SETS),
    )  # fmt: skip


def regularised_softmax() -> HandReference:
    """Softmax loss of a linear classifier, with reg * sum(W**2)."""
    inner = softmax_loss()

    def forward(v: Arrays, s: Sizes) -> dict[str, np.ndarray]:
        loss = inner.forward({"S": v["X"] @ v["W"], "y": v["y"]}, s)["loss"]
        return {"loss": loss + 0.3 * np.sum(v["W"] ** 2)}

    def backward(v: Arrays, up: Arrays, s: Sizes) -> dict[str, np.ndarray]:
        ds = inner.backward({"S": v["X"] @ v["W"], "y": v["y"]}, up, s)["S"]
        return {"X": ds @ v["W"].T, "W": v["X"].T @ ds + up["loss"] * 0.6 * v["W"]}

    variables = (
        variable("X", "input", "N", "D"),
        variable("y", "input", "N", index="C"),
        variable("W", "parameter", "D", "C"),
    )
    return HandReference(
        spec("softmax_classifier", *variables), ("loss",), {"loss": ()}, forward, backward,
        SETS, {"reg": 0.3},
    )  # fmt: skip


def affine_loss() -> HandReference:
    """Half the squared entries of ``X @ W + b``; X is no variable of the gradient."""
    layer = spec(
        "affine_loss",
        variable("X", "input", "N", "D", constant=True),
        variable("W", "parameter", "D", "C"),
        variable("b", "parameter", "C"),
    )

    def forward(v: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        return {"L": np.asarray(0.5 * np.sum((v["X"] @ v["W"] + v["b"]) ** 2))}

    def backward(v: Arrays, up: Arrays, _: Sizes) -> dict[str, np.ndarray]:
        Y = (v["X"] @ v["W"] + v["b"]) * up["L"]
        return {"W": v["X"].T @ Y, "b": Y.sum(axis=0)}

    return HandReference(layer, ("L",), {"L": ()}, forward, backward, SETS)


def window_sum() -> HandReference:
    """Sums of `size` rows, `stride` apart."""
    layer = spec("sum_pool", variable("X", "input", "2*N + 1", "D"))

    def forward(v: Arrays, s: Sizes) -> dict[str, np.ndarray]:
        return {"Y": np.stack([v["X"][2 * i : 2 * i + 3].sum(0) for i in range(s["N"])])}

    def backward(v: Arrays, up: Arrays, s: Sizes) -> dict[str, np.ndarray]:
        rows = [np.repeat(up["Y"][i : i + 1], 3, axis=0) for i in range(s["N"])]
        padded = [np.pad(r, ((2 * i, 2 * (s["N"] - 1 - i)), (0, 0))) for i, r in enumerate(rows)]
        return {"X": np.sum(padded, axis=0)}

    return HandReference(
        layer, ("Y",), {"Y": shape("N", "D")}, forward, backward, SETS, {"size": 3, "stride": 2}
    )
