"""The steps give, for every operation of a gradient, the reason that a teacher would give."""

from __future__ import annotations

from functools import lru_cache

import pytest

from gradtool.derive.derivation import derive
from gradtool.report.sections import Piece, Section
from gradtool.report.steps import steps, steps_text
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text


@lru_cache
def sections_of(text: str) -> list[Section]:
    spec = load_text(text, "sample.yaml")
    graph = graph_of(spec)
    return steps(spec, graph, derive(graph))


def flat(sections: list[Section]) -> str:
    """Every text on a line of its own, whatever the width."""
    return "\n".join(f"{p.text}   {p.aside}".rstrip() for s in sections for p in s.pieces)


def spec_of(inputs: str, forward: str, parameters: str = "") -> str:
    lines = "\n".join(f"  {part.strip()}" for part in forward.strip().split("\n"))
    given = f"parameters: {{{parameters}}}\n" if parameters else ""
    return f"layer: sample\ninputs: {{{inputs}}}\n{given}forward: |\n{lines}\n"


AFFINE = spec_of("X: [N, D]", "Y = X @ W + b", "W: [D, C], b: [C]")
TWO_LAYER = spec_of(
    "X: [N, D]",
    "Z = X @ W1 + b1\nH = relu(Z)\nS = H @ W2 + b2",
    "W1: [D, H1], b1: [H1], W2: [H1, C], b2: [C]",
)
MLP = spec_of(
    "x: [784], y: {shape: [10], constant: true}",
    "z1 = W1 @ x + b1\na1 = sigmoid(z1)\nz2 = W2 @ a1 + b2\na2 = sigmoid(z2)\n"
    "z3 = W3 @ a2 + b3\na3 = sigmoid(z3)\nC = sum((a3 - y)**2)",
    "W1: [16, 784], b1: [16], W2: [16, 16], b2: [16], W3: [10, 16], b3: [10]",
)


def test_the_transpose_and_the_order_follow_from_the_axes() -> None:
    told = flat(sections_of(AFFINE))
    assert (
        "dW must be (D, C), the shape of W. X is (N, D) and dY is (N, C). "
        "N must disappear: it is summed over." in told
    )
    assert "So X.T @ dY: (D, N) @ (N, C) gives (D, C)." in told
    assert "So dY @ W.T: (N, C) @ (C, D) gives (N, D)." in told


def test_the_subscripts_of_forward_and_backward_stand_together() -> None:
    told = flat(sections_of(AFFINE))
    assert "Y[n,c] = b[c] + Σ_d X[n,d] W[d,c]" in told
    assert "dW[d,c] = Σ_n X[n,d] dY[n,c]" in told


def test_a_broadcast_variable_has_a_summed_gradient() -> None:
    assert "b was broadcast over N, so its gradient is summed over N." in flat(sections_of(AFFINE))


def test_equal_sizes_are_told_apart_by_their_axes() -> None:
    told = flat(sections_of(spec_of("X: [N, N]", "Y = X - X.sum(axis=1, keepdims=True)")))
    assert "broadcast over axis 1 of Y" in told
    assert "N and N" not in told


def test_equal_sizes_in_a_product_are_pointed_out() -> None:
    told = flat(sections_of(spec_of("A: [N, N], B: [N, N]", "Y = A @ B")))
    assert "the subscripts decide" in told
    assert "the subscripts decide" not in flat(sections_of(AFFINE))


def test_shares_of_several_uses_are_added() -> None:
    told = flat(
        sections_of(
            spec_of(
                "X: [N, D]",
                """
        mu = X.mean(axis=0)
        xc = X - mu
    """,
            )
        )
    )
    assert "X is used twice: in mu and xc. Each use hands back a share." in told
    assert "The shares add up:\ndX = dxc + dmu / N" in told


def test_the_value_at_a_kink_is_stated() -> None:
    told = flat(sections_of(TWO_LAYER))
    assert "∂H/∂Z = (Z > 0)" in told
    assert (
        "At Z = 0 there is a kink: the slope jumps between 0 and 1. "
        "The value 0 is taken there." in told
    )


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    told = flat(sections_of(spec_of("X: [N, D]", "Y = X.max(axis=1)")))
    assert "If several are equal, the first gets it." in told


def test_a_window_has_a_largest_entry() -> None:
    told = flat(sections_of(spec_of("X: [N, C, 4, 4]", "Y = max_pool2d(X, size=2)")))
    assert "Only the largest entry of its window decides Y." in told


def test_a_variable_without_effect_has_a_zero_gradient_and_a_reason() -> None:
    told = flat(sections_of(spec_of("x: [N], w: [N]", "y = 2 * x")))
    assert "dw = 0\nNo output depends on w, so changing it changes nothing." in told


def test_a_variable_behind_a_comparison_has_a_zero_gradient_and_a_reason() -> None:
    told = flat(sections_of(spec_of("x: [N], w: [N]", "y = x * (w > 0)")))
    assert "depends on w only through comparisons" in told


def test_facts_behind_a_short_form_are_told() -> None:
    told = flat(
        sections_of(
            spec_of(
                "X: [N, D]",
                """
        mu = X.mean(axis=0)
        var = ((X - mu)**2).mean(axis=0)
        std = sqrt(var + 1)
        xhat = (X - mu) / std
    """,
            )
        )
    )
    assert "xhat.sum(axis=0) is 0, proved by expanding its definition." in told
    assert "This share is 0, because (X - mu).sum(axis=0) is 0." in told


def test_labels_pick_and_may_pick_again() -> None:
    told = flat(sections_of(spec_of("E: [V, D], ids: {shape: [N], index: V}", "X = E[ids]")))
    assert "Only the entries of E that ids picks were used." in told
    assert "The same entry of E can be picked more than once" in told


def test_one_pick_in_every_row_is_never_repeated() -> None:
    told = flat(sections_of(spec_of("S: [N, C], y: {shape: [N], index: C}", "p = S[arange(N), y]")))
    assert "Only the entries of S that y picks were used." in told
    assert "more than once" not in told


def test_a_diagonal_is_named() -> None:
    told = flat(sections_of(spec_of("P: [N, N]", "L = sum(log(P[arange(N), arange(N)]))")))
    assert "its diagonal, were used" in told


@pytest.mark.parametrize(
    ("forward", "strided"),
    [
        ("O[i, j] = sum(X[i + p, j + q] * F[p, q], over=[p, q])", False),
        ("O[i < 2, j < 2] = sum(X[2*i + p, 2*j + q] * F[p, q], over=[p, q])", True),
    ],
)
def test_a_window_gives_a_correlation_and_a_full_convolution(forward: str, strided: bool) -> None:
    told = flat(sections_of(spec_of("X: [4, 4]", forward, "F: [2, 2]")))
    assert "this is the correlation of X with dO" in told
    assert "the full convolution of dO with F, that is, F rotated by 180 degrees" in told
    assert ("Because of the stride" in told) == strided


def test_a_product_is_not_called_a_convolution() -> None:
    assert "convolution" not in flat(sections_of(AFFINE))


def test_the_fourth_order_tensor_is_counted() -> None:
    (section,) = [
        s
        for s in sections_of(TWO_LAYER + "sizes: {N: 2, D: 3, H1: 5}\n")
        if s.heading == "What is never built"
    ]
    assert Piece("formula", "∂H/∂W1", "(N, H1, D, H1)") in section.pieces
    assert "With N = 2, D = 3, H1 = 5 that is 150 numbers" in flat([section])


def test_the_parameters_of_the_digit_network_are_13002() -> None:
    # 784*16 + 16 + 16*16 + 16 + 16*10 + 10
    assert "13,002 parameters: 12,544 + 16 + 256 + 16 + 160 + 10." in flat(sections_of(MLP))


def equations_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for section in sections_of(text):
        if section.heading.startswith("The four equations"):
            for piece in section.pieces:
                if piece.role == "head":
                    found[piece.text[:3]] = []
                elif found:
                    found[next(reversed(found))].append(piece.text.strip())
    return found


def test_the_four_equations_in_vector_and_in_scalar_form() -> None:
    # M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, BP1 to BP4
    told = equations_of(MLP)
    assert told["BP1"] == [
        "dz3 = (2 * (a3 - y)) * a3 * (1 - a3)",
        "dz3[i] = 2 (a3[i] - y[i]) a3[i] (1 - a3[i])",
    ]
    assert told["BP2"][:2] == [
        "dz2 = (W3.T @ dz3) * a2 * (1 - a2)",
        "dz2[i] = a2[i] (1 - a2[i]) Σ_{j<10} W3[j,i] dz3[j]",
    ]
    assert told["BP3"][:2] == ["db3 = dz3", "db3[i] = dz3[i]"]
    assert told["BP4"][1] == "dW3[i,j] = dz3[i] a2[j]"


def test_the_equations_are_found_by_structure_not_by_name() -> None:
    renamed = MLP.replace("sigmoid(z2)", "log(1 + exp(z2))").replace("a2", "q").replace("z2", "v")
    assert any("W3.T @ dz3" in vector for vector in equations_of(renamed)["BP2"])


def test_a_layer_without_activation_has_no_such_equations() -> None:
    assert equations_of(AFFINE) == {}


def test_a_scale_per_feature_is_no_network() -> None:
    assert equations_of(spec_of("X: [N, D]", "Y = g * X + b\nA = tanh(Y)", "g: [D], b: [D]")) == {}


def test_a_name_of_the_steps_means_the_same_in_the_short_form() -> None:
    # The compact form calls its own inner values dz and dz2 in another order.
    sections = sections_of(spec_of("X: [N, D], y: [N]", "w = inv(X.T @ X + eye(D)) @ (X.T @ y)"))
    shapes: dict[str, set[str]] = {}
    for section in sections:
        for piece in section.pieces:
            if piece.role == "head" and ". d" in piece.text:
                shapes.setdefault(piece.text.split(". ")[1], set()).add(
                    piece.aside.split(", like")[0]
                )
            elif piece.role == "result" and piece.aside:
                shapes.setdefault(piece.text.split(" = ")[0], set()).add(piece.aside)
    assert all(len(found) == 1 for found in shapes.values()), shapes


def test_the_last_sentence_tells_what_was_checked() -> None:
    told = flat(sections_of(AFFINE)[-1:])
    assert "Every formula of these steps was read back and evaluated." in told


@pytest.mark.parametrize("width", [40, 60, 88, 120])
def test_sentences_fit_the_terminal(width: int) -> None:
    sections = sections_of(TWO_LAYER)
    for shown in steps_text(sections, width):
        assert len(shown) <= width or " " not in shown.strip()


def test_the_text_of_the_affine_layer() -> None:
    lines = steps_text(sections_of(AFFINE), 88)
    begin = lines.index("2. dW   (D, C), like W")
    assert lines[begin : begin + 8] == [
        "2. dW   (D, C), like W",
        "      dW = X.T @ dY",
        "   W is used in Y = X @ W + b.",
        "      Y[n,c] = b[c] + Σ_d X[n,d] W[d,c]",
        "      dW[d,c] = Σ_n X[n,d] dY[n,c]",
        "   dW must be (D, C), the shape of W. X is (N, D) and dY is (N, C). N must disappear: it",
        "   is summed over.",
        "   So X.T @ dY: (D, N) @ (N, C) gives (D, C).",
    ]


def test_a_loss_that_depends_on_nothing() -> None:
    told = flat(sections_of(spec_of("x: [N]", "L = 3")))
    assert "dx is short for" in told
    assert "dx = 0" in told
