"""Famous Jacobians, Hessians and directional derivatives come out as they stand in the books.

Every one is certified against 60-digit differences before its text is compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gradtool.derive.second import Differential, hessian, hvp, jacobian, jvp
from gradtool.emit.text import line, text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.ir.tree import Call
from gradtool.numeric.certify import CertificationError
from gradtool.numeric.certify_differential import certify_differential
from gradtool.records import replace
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec


def layer(inputs: str, forward: str) -> tuple[LayerSpec, Graph]:
    """A spec with inputs like ``x [D]; y [D] constant`` and forward lines separated by ``;``."""
    declared = []
    for entry in inputs.split(";"):
        name, rest = entry.strip().split(" ", 1)
        shape, _, more = rest.partition("]")
        extra = {"": "", "constant": ", constant: true"}.get(more.strip(), f", {more.strip()}")
        declared.append(f"  {name}: {{shape: {shape}]{extra}}}")
    lines = "\n".join("  " + part.strip() for part in forward.split(";"))
    spec = load_text(
        "layer: famous\ninputs:\n" + "\n".join(declared) + f"\nforward: |\n{lines}\n", "famous.yaml"
    )
    return spec, graph_of(spec)


def certified(spec: LayerSpec, graph: Graph, found: Differential) -> Differential:
    assert certify_differential(spec, graph, found).digits >= 30
    return found


def printed(found: Differential) -> dict[str, str]:
    return {
        p.name: line(p.name, p.tree)
        if isinstance(p.tree, Call) and p.tree.op == "indexed"
        else text(p.tree)
        for p in found.lines
    }


# -- Jacobians ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "forward", "expected"),
    [
        # Bishop, Pattern Recognition and Machine Learning (2006), equation 4.106
        ("s [C]", "p = softmax(s)", "diag(p) - outer(p, p)"),
        ("x [D]", "a = tanh(x)", "diag(1 - a**2)"),
        # Petersen and Pedersen, The Matrix Cookbook (2012), equation 69
        ("x [D]; A [M, D] constant", "y = A @ x", "A"),
        ("x [D]", "y = cumsum(x)", "tril(ones((D, D)))"),
        # The projection orthogonal to the unit vector, divided by the length.
        ("x [D]", "y = x / sqrt(sum(x**2))", "(eye(D) - outer(y, y)) / sqrt((x**2).sum())"),
        ("x [D]", "y = 3 * x", "3 * eye(D)"),
        ("x [D]", "y = x - mean(x)", "eye(D) - 1 / D"),
    ],
)  # fmt: skip
def test_jacobians_of_vectors(inputs: str, forward: str, expected: str) -> None:
    spec, graph = layer(inputs, forward)
    pair = (graph.outputs[0], graph.wanted[0])
    found = certified(spec, graph, jacobian(graph, [pair]))
    assert printed(found)[f"d{pair[0]}_d{pair[1]}"] == expected


@pytest.mark.parametrize(
    ("inputs", "forward", "wrt", "expected"),
    [
        ("A [N, D]; B [D, M]", "Y = A @ B", "A", "dY_dA[n < N, m, i < N, d] = B[d, m] * (i == n)"),
        ("A [N, D]; B [D, M]", "Y = A @ B", "B", "dY_dB[n, m < M, d, i < M] = A[n, d] * (i == m)"),
        # Petersen and Pedersen (2012), equation 60
        ("A [D, D]", "Y = inv(A)", "A", "dY_dA[d, i, j, k] = -(Y[d, j] * Y[k, i])"),
        (
            "S [N, C]",
            "P = softmax(S)",
            "S",
            "dP_dS[n, c, i < N, j] = P[n, c] * (i == n) * ((j == c) - P[n, j])",
        ),
    ],
)
def test_jacobians_of_matrices_are_in_index_notation(
    inputs: str, forward: str, wrt: str, expected: str
) -> None:
    spec, graph = layer(inputs, forward)
    (output,) = graph.outputs
    found = certified(spec, graph, jacobian(graph, [(output, wrt)]))
    assert printed(found)[f"d{output}_d{wrt}"] == expected


def test_a_jacobian_knows_its_size_and_its_symmetry() -> None:
    spec, graph = layer("s [C]; t [C]", "p = softmax(s); q = p * t")
    found = certified(spec, graph, jacobian(graph, [("p", "s"), ("q", "s"), ("p", "t")]))
    by_name = {r.name: r for r in found.results}
    assert [str(dim) for dim in by_name["dq_ds"].shape] == ["C", "C"]
    assert (by_name["dp_ds"].symmetric, by_name["dq_ds"].symmetric) == (True, False)
    assert by_name["dp_dt"].zero


# -- Hessians -----------------------------------------------------------------------------

DATA = "X [N, D] constant; y [N] constant; w [D]"


@pytest.mark.parametrize(
    ("inputs", "forward", "of", "wrt", "expected"),
    [
        # Petersen and Pedersen (2012), equation 98
        ("x [D]; A [D, D] constant", "f = x @ A @ x", "x", "x", "A + A.T"),
        # Boyd and Vandenberghe, Convex Optimization (2004), section 3.1.5
        ("x [C]", "L = logsumexp(x)", "x", "x", "diag(p) - outer(p, p)"),
        ("x [C]", "L = log(sum(exp(x)))", "x", "x", "diag(p) - outer(p, p)"),
        # Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), equation 3.5
        (DATA, "L = sum((X @ w - y)**2)", "w", "w", "2 * (X.T @ X)"),
        (DATA, "L = mean((X @ w - y)**2) / 2", "w", "w", "X.T @ X / N"),
        # The same, equation 4.25: X^T W X with W = diag(a (1 - a))
        (
            DATA,
            "a = sigmoid(X @ w); L = -mean(y * log(a) + (1 - y) * log(1 - a))",
            "w",
            "w",
            "(X * (a * (1 - a))[:, None]).T @ X / N",
        ),
        ("x [D]; y [D]", "f = x @ y", "x", "y", "eye(D)"),
        ("x [D]; A [D, M]; y [M]", "f = x @ A @ y", "x", "y", "A"),
        ("x [D]; A [D, M]; y [M]", "f = x @ A @ y", "y", "x", "A.T"),
        ("x [D]", "r = sqrt(sum(x**2))", "x", "x", "(eye(D) - outer(dx, dx)) / r"),
    ],
)
def test_hessians(inputs: str, forward: str, of: str, wrt: str, expected: str) -> None:
    spec, graph = layer(inputs, forward)
    found = certified(spec, graph, hessian(graph, of, wrt, line))
    (result,) = found.results
    assert printed(found)[result.name] == expected
    assert result.symmetric == (of == wrt or expected == "eye(D)")


def test_the_hessian_of_the_log_determinant() -> None:
    # Boyd and Vandenberghe (2004), section A.4.3: the change of A^-T along dA is -A^-T dA^T A^-T
    spec, graph = layer("A [D, D]", "L = logdet(A)")
    found = certified(spec, graph, hessian(graph, "A", "A", line))
    lines = printed(found)
    assert lines["dA"] == "inv(A).T"
    assert lines["d2L_dA2"] == "d2L_dA2[d, i, j, k] = -(dA[d, k] * dA[j, i])"
    assert found.results[0].symmetric
    product = certified(spec, graph, hvp(graph, ["A"], line))
    assert printed(product)["dAdot"] == "-dA @ Adot.T @ dA"


def test_a_piecewise_linear_function_has_a_zero_hessian_where_it_has_one() -> None:
    spec, graph = layer("x [D]; W [D, C]", "L = sum(relu(x @ W))")
    found = certified(spec, graph, hessian(graph, "x", "x", line))
    assert found.results[0].zero
    assert found.lines == ()
    mixed = certified(spec, graph, hessian(graph, "W", "x", line))
    assert printed(mixed)["d2L_dW_dx"] == "d2L_dW_dx[d < D, c, i < D] = (z[c] > 0) * (i == d)"


# -- directions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "forward", "expected"),
    [
        (
            "X [N, D]; W [D, C]; b [C]",
            "Y = X @ W + b",
            {"Ydot": "Xdot @ W + X @ Wdot + bdot"},
        ),
        # Giles, An extended collection of matrix derivative results (2008), section 2.2
        ("A [D, D]", "Y = inv(A)", {"Ydot": "-Y @ Adot @ Y"}),
        ("A [D, D]", "y = logdet(A)", {"ydot": "(Adot * inv(A).T).sum()"}),
        ("A [N, D]; B [D, M]", "Y = A * 2 @ B", {"Ydot": "2 * (Adot @ B + A @ Bdot)"}),
        (
            "S [N, C]",
            "P = softmax(S)",
            {"Pdot": "P * (Sdot - (P * Sdot).sum(axis=1, keepdims=True))"},
        ),
        ("x [D]; z [E]", "y = concatenate([x, z])", {"ydot": "concatenate((xdot, zdot), axis=0)"}),
        (
            "X [N, D]",
            "mu = mean(X, axis=0); std = sqrt(mean((X - mu)**2, axis=0) + 1); Y = (X - mu) / std",
            {
                "Ydot": "(N * Xdot - Xdot.sum(axis=0) - Y * (Xdot * Y).sum(axis=0)) / (N * std)",
            },
        ),
    ],
)
def test_directional_derivatives(inputs: str, forward: str, expected: dict[str, str]) -> None:
    spec, graph = layer(inputs, forward)
    found = certified(spec, graph, jvp(graph, graph.wanted))
    assert printed(found) == expected


def test_named_values_of_a_network_keep_their_tangents() -> None:
    spec, graph = layer("x [D]; W1 [H, D]; W2 [C, H]", "z = W1 @ x; h = tanh(z); y = W2 @ h")
    found = certified(spec, graph, jvp(graph, graph.wanted))
    assert printed(found) == {
        "zdot": "W1dot @ x + W1 @ xdot",
        "hdot": "zdot * (1 - h**2)",
        "ydot": "W2 @ hdot + W2dot @ h",
    }


def test_logistic_regression_has_a_short_hessian_vector_product() -> None:
    # The Gauss-Newton product that truncated Newton methods use: X^T (D (X v)) / N
    spec, graph = layer(DATA, "a = sigmoid(X @ w); L = -mean(y * log(a) + (1 - y) * log(1 - a))")
    found = certified(spec, graph, hvp(graph, ["w"], line))
    assert printed(found) == {"adot": "(X @ wdot) * a * (1 - a)", "dwdot": "X.T @ adot / N"}


def test_an_output_that_is_no_scalar_has_its_upstream_gradient_held_fixed() -> None:
    spec, graph = layer("X [N, D]; W [D, C]", "Y = X @ W")
    found = certified(spec, graph, hvp(graph, graph.wanted, line))
    assert found.upstream["Y"][0] == "dY"
    assert printed(found) == {"dXdot": "dY @ Wdot.T", "dWdot": "Xdot.T @ dY"}


def test_a_value_of_the_forward_pass_can_be_varied() -> None:
    spec, graph = layer("X [N, D]; W [D, C]; y [N] index: C", "S = X @ W; "
                        "L = -sum(log_softmax(S)[arange(N), y])")  # fmt: skip
    found = certified(spec, graph, hvp(graph, ["S"], line))
    assert printed(found)["dSdot"] == "P * (Sdot - (P * Sdot).sum(axis=1, keepdims=True))"


def test_a_value_of_the_gradient_stands_after_what_it_reads() -> None:
    """The sigmoid of the gradient reads a mean that the second derivative gives a name."""
    inputs, forward = (
        "Q [B]; y [B, B] index: B",
        "h = Q[y]; P = sum(sqrt(softplus(mean(h, axis=1))))",
    )
    spec, graph = layer(inputs, forward)
    found = certified(spec, graph, hvp(graph, ("Q",), line))
    assert list(printed(found))[:2] == ["mu", "a"]


def test_a_jacobian_without_any_term() -> None:
    """Below the first row of a lower triangle, nothing of the last columns is left."""
    spec, graph = layer("x [H, H]", "y = tril(stack([x, x, x], axis=2)); s = sum(y[1:, 0, 2:])")
    certified(spec, graph, jacobian(graph, [("s", "x")]))


def test_a_name_that_is_taken_is_not_given_to_a_direction() -> None:
    spec, graph = layer("x [D]; xdot [D]", "y = x * xdot")
    found = certified(spec, graph, jvp(graph, ["x"]))
    assert printed(found) == {"y_dot": "x_dot * xdot"}


def test_winners_that_two_lines_read_keep_one_name() -> None:
    # The backward pass reads the winners once in a word and once by name.
    spec, graph = layer("X [N, C, 2*H, 2*W]; K [C]", "h = tanh(X) * K[:, None, None]; "
                        "L = sum(max_pool2d(h, size=2)**2)")  # fmt: skip
    certified(spec, graph, hvp(graph, ["X", "K"], line))


# -- refusals -----------------------------------------------------------------------------


def test_a_value_and_what_it_is_computed_from_are_not_varied_together() -> None:
    _, graph = layer("X [N, D]; W [D, C]", "S = X @ W; L = sum(tanh(S))")
    with pytest.raises(UnsupportedError, match="S is computed from W"):
        hvp(graph, ["W", "S"], line)


# -- the certificate can fail -------------------------------------------------------------


def _spoiled(found: Differential) -> Differential:
    last = found.lines[-1]
    wrong = replace(last, tree=Call("neg", (last.tree,)))
    return replace(found, lines=(*found.lines[:-1], wrong))


@pytest.mark.parametrize("kind", ["jvp", "jacobian", "hvp", "hessian"])
def test_a_wrong_formula_is_found(kind: str) -> None:
    spec, graph = layer("x [D]; A [D, D]", "f = tanh(x) @ A @ x")
    wanted: Sequence[str] = ("x",)
    found = {
        "jvp": lambda: jvp(graph, wanted),
        "jacobian": lambda: jacobian(graph, [("f", "x")]),
        "hvp": lambda: hvp(graph, wanted, line),
        "hessian": lambda: hessian(graph, "x", "A", line),
    }[kind]()
    certified(spec, graph, found)
    if not (isinstance(found.lines[-1].tree, Call) and found.lines[-1].tree.op == "indexed"):
        with pytest.raises(CertificationError, match="does not agree"):
            certify_differential(spec, graph, _spoiled(found))


def test_a_wrong_zero_is_found() -> None:
    spec, graph = layer("x [D]", "f = sum(x**3)")
    found = hessian(graph, "x", "x", line)
    wrong = replace(found, lines=(), results=(replace(found.results[0], zero=True),))
    with pytest.raises(CertificationError, match="does not agree"):
        certify_differential(spec, graph, wrong)


def test_a_wrong_symmetry_is_found() -> None:
    spec, graph = layer("x [D]; A [D, D] constant", "y = A @ x")
    found = jacobian(graph, [("y", "x")])
    wrong = replace(found, results=(replace(found.results[0], symmetric=True),))
    with pytest.raises(CertificationError, match="does not agree"):
        certify_differential(spec, graph, wrong)


def test_a_hessian_that_would_fill_the_memory_is_refused() -> None:
    spec, graph = layer(
        "X [9, 9, 9]; K [9, 9]", "Y = X @ K; Z = tanh(Y); L = sum(sum(Z, axis=0)**2)"
    )
    found = hessian(graph, "X", "X", line)
    with pytest.raises(UnsupportedError, match="products to certify"):
        certify_differential(spec, graph, found)
