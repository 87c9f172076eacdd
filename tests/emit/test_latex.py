"""LaTeX of derivations: hand-written formulas, one reading only, and a document that compiles."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from pylatexenc.latexwalker import LatexWalker

from gradtool.emit.latex import (
    derivation_notation,
    latex,
    latex_document,
    latex_line,
    notation_of,
)
from gradtool.emit.latex_names import latex_name, latex_names, text_latex
from gradtool.emit.latex_tree import Notation
from gradtool.ir.dims import Dim
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Items, Name, Number, Tree, call
from gradtool.spec.parse import Reader, parse_block
from tests.emit.examples import SPECS, example

# Commands of LaTeX itself and of amsmath that the printers may use: what is not here is a mistake.
COMMANDS = """
frac sqrt partial left right top odot sum max min log exp sin cos tan sinh cosh tanh arctan det
operatorname mathrm mathbf mathcal text hat bar tilde cdot dots times bullet wedge vee neg ge le
ne lfloor rfloor lVert rVert quad begin end ell pi
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi
chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
documentclass usepackage allowdisplaybreaks setlength parindent textwidth oddsidemargin section
subsection
"""
KNOWN = frozenset(COMMANDS.split())
SYMBOLS = set(",\\;[]{}_$&#%|")


def sizes(*names: str) -> tuple[Dim, ...]:
    return tuple(Dim.of(int(name) if name.isdigit() else name) for name in names)


NOTATION = notation_of(
    [
        Tensor("X", sizes("N", "D")),
        Tensor("Z", sizes("N", "D")),
        Tensor("W1", sizes("D", "C")),
        Tensor("b", sizes("D")),
        Tensor("c", sizes("D")),
        Tensor("a", ()),
        Tensor("f", ()),
        Tensor("T3", sizes("M", "N", "D")),
        Tensor("s", sizes("N", "1")),
        Tensor("y", sizes("N"), "index", Dim.of("D")),
        Tensor("dZ", sizes("N", "D")),
    ],
    {"eps": Fraction(1, 1000)},
    {"dZ": "Z"},
)
CLOSING = {"(": ")", "[": "]", "|": "|", "\\lfloor": "\\rfloor", "\\lVert": "\\rVert"}
DZ = r"\frac{\partial L}{\partial Z}"


def parsed(text: str) -> Tree:
    (statement,) = parse_block(text).body
    return Reader([text]).expression(statement.value)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The product that is meant is the product that is seen.
        ("X @ W1", r"X \, W_{1}"),
        ("X * Z", r"X \odot Z"),
        ("a * X", r"a \, X"),
        ("(X @ X.T) * (Z @ Z.T)", r"\left(X \, X^{\top}\right) \odot \left(Z \, Z^{\top}\right)"),
        ("(X * Z) @ W1", r"\left(X \odot Z\right) \, W_{1}"),
        ("X * Z * b", r"X \odot Z \odot b"),
        ("a * (X @ W1)", r"a \, X \, W_{1}"),
        ("b @ c", r"b^{\top} \, c"),
        ("X @ b", r"X \, b"),
        ("a * 2", r"a \cdot 2"),
        ("f * (a + 1)", r"f \cdot \left(a + 1\right)"),
        ("X**2", r"X^{\odot 2}"),
        ("a**2", "a^{2}"),
        ("(a + f)**-1", r"\left(a + f\right)^{-1}"),
        ("(a**2)**3", r"\left(a^{2}\right)^{3}"),
        ("inv(X @ X.T)", r"\left(X \, X^{\top}\right)^{-1}"),
        # Signs and fractions.
        ("a - (f - 1)", r"a - \left(f - 1\right)"),
        ("a - f + 1", "a - f + 1"),
        ("-X * Z", r"-X \odot Z"),
        ("-(a + f)", r"-\left(a + f\right)"),
        ("a * -f", r"a \cdot \left(-f\right)"),
        ("-a / f", r"-\frac{a}{f}"),
        ("(X - b) / (N * c)", r"\frac{X - b}{N \, c}"),
        ("dZ / N", r"\frac{1}{N} \, " + DZ),
        ("dZ / X", r"\frac{1}{X} \odot " + DZ),
        ("a / (f / N)", r"\frac{a}{\frac{f}{N}}"),
        ("1e-5 * X", r"10^{-5} \, X"),
        ("dZ.T", r"\left(" + DZ + r"\right)^{\top}"),
        # A vector in front of a matrix is a row, and so is their product.
        ("b @ W1", r"b^{\top} \, W_{1}"),
        ("(b @ W1) @ (c @ W1)", r"b^{\top} \, W_{1} \, \left(c^{\top} \, W_{1}\right)^{\top}"),
        ("W1 @ (b @ W1)", r"W_{1} \, \left(b^{\top} \, W_{1}\right)^{\top}"),
        ("b @ W1 @ W1.T @ c", r"b^{\top} \, W_{1} \, W_{1}^{\top} \, c"),
        ("-(a * (b @ W1)) @ W1.T", r"-a \, b^{\top} \, W_{1} \, W_{1}^{\top}"),
        ("(W1.T @ b) @ W1.T", r"\left(W_{1}^{\top} \, b\right)^{\top} \, W_{1}^{\top}"),
        ("outer(c, b @ W1)", r"c \, b^{\top} \, W_{1}"),
        ("outer(b @ W1, c)", r"\left(b^{\top} \, W_{1}\right)^{\top} \, c^{\top}"),
        # Sums show their axis.
        ("dZ.sum(axis=0)", r"\sum_{n} \frac{\partial L}{\partial Z_{n,:}}"),
        ("X.sum(axis=1, keepdims=True)", r"\left(\sum_{d} X_{:,d}\right)_{:,\bullet}"),
        ("X.mean()", r"\frac{1}{N \, D} \sum_{n,d} X_{n,d}"),
        ("(X * Z).sum(axis=0)", r"\sum_{n} X_{n,:} \odot Z_{n,:}"),
        ("X - (X * Z).sum(axis=0)", r"X - \sum_{n} X_{n,:} \odot Z_{n,:}"),
        ("X.sum(axis=0) * b", r"\left(\sum_{n} X_{n,:}\right) \odot b"),
        (
            "((X - X.mean(axis=0))**2).mean(axis=0)",
            r"\frac{1}{N} \sum_{n} \left(X_{n,:} - \frac{1}{N} \sum_{n'} X_{n',:}\right)^{\odot 2}",
        ),
        ("(X @ W1).sum(axis=0)", r"\sum_{n} \left(X \, W_{1}\right)_{n,:}"),
        ("T3.max(axis=(0, 2))", r"\max_{m,d} \left(T_{3}\right)_{m,:,d}"),
        ("logsumexp(X)", r"\operatorname*{logsumexp}_{d} X_{:,d}"),
        # Entries.
        ("X[arange(N), y]", r"\left[X_{n,y_{n}}\right]_{n}"),
        ("log(X[arange(N), y]).sum()", r"\sum_{n} \log\left(X_{n,y_{n}}\right)"),
        ("onehot(y)", r"\mathbf{1}\left[y_{n} = d\right]_{n,d}"),
        ("b[:, None]", r"b_{:,\bullet}"),
        ("X[0]", "X_{0,:}"),
        ("X[:, 1:]", "X_{:,1{:}}"),
        ("(X + Z)[:, 0]", r"\left(X + Z\right)_{:,0}"),
        ("W1[0, 0]", r"\left(W_{1}\right)_{0,0}"),
        ("T3.transpose((0, 2, 1))", r"\left[\left(T_{3}\right)_{m,n,d}\right]_{m,d,n}"),
        ("einsum('nd,md->nm', X, Z)", r"\left[\sum_{d} X_{n,d} \, Z_{m,d}\right]_{n,m}"),
        # A minus within brackets is not said again in front of a fraction.
        ("-X.sum(axis=0) * b / c", r"\frac{\left(-\sum_{n} X_{n,:}\right) \odot b}{c}"),
        # Conditions.
        ("X > 0", r"\mathbf{1}\left[X > 0\right]"),
        ("dZ * (X > 0)", DZ + r" \odot \mathbf{1}\left[X > 0\right]"),
        (
            "where(X > 0, X, b)",
            r"\begin{cases} X & \text{if } X > 0 \\ b & \text{otherwise} \end{cases}",
        ),
        ("(X > 0) & ~(Z > 0)", r"\mathbf{1}\left[X > 0 \wedge \neg \left(Z > 0\right)\right]"),
        # Anything else is a function.
        ("clip(X, -1, 1)", r"\operatorname{clip}\left(X, -1, 1\right)"),
        ("tanh(a)**2", r"\left(\tanh\left(a\right)\right)^{2}"),
        ("norm(X)", r"\left\lVert X \right\rVert_{F}"),
        ("ones((N, D))", r"\mathbf{1}_{N \times D}"),
        ("X.reshape((N, 1, D))", r"\operatorname{reshape}_{N \times 1 \times D}\left(X\right)"),
    ],
)
def test_an_expression(text: str, expected: str) -> None:
    assert latex(parsed(text), NOTATION) == expected


def test_without_shapes_a_product_is_elementwise() -> None:
    assert latex(parsed("a * b")) == r"a \odot b"
    assert latex(parsed("2 * b")) == r"2 \, b"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("W", "W"),
        ("W1", "W_{1}"),
        ("gamma", r"\gamma"),
        ("xhat", r"\hat{x}"),
        ("x_hat", r"\hat{x}"),
        ("mu_B", r"\mu_{B}"),
        ("std", r"\mathrm{std}"),
        ("h_prev", r"h_{\mathrm{prev}}"),
        ("A_inv", r"A_{\mathrm{inv}}"),
        ("eps", r"\epsilon"),
        ("lam", r"\lambda"),
        ("Sigma", r"\Sigma"),
        ("s_c", "s_{c}"),
        ("W_", r"\mathrm{W\_}"),
        ("_x", r"\mathrm{\_x}"),
        ("chat", r"\hat{c}"),
        ("that", r"\hat{t}"),
        ("σ", r"\sigma"),
        ("β2", r"\beta_{2}"),
        ("你", r"\mathrm{U+4F60}"),
        ("é", r"\mathrm{e}"),
    ],
)
def test_a_name(name: str, expected: str) -> None:
    assert latex_name(name) == expected


def test_no_two_names_look_alike() -> None:
    names = ["W1", "W_1", "xhat", "x_hat", "σ", "sigma", "eps", "epsilon", "e", "é", "lam"]
    assert len(set(latex_names(names).values())) == len(names)


def test_running_text_is_escaped() -> None:
    assert text_latex("50 % of a_b & {c} – ≥") == r"50 \% of a\_b \& \{c\} -- $\ge$"


def test_the_loss_has_its_own_name_and_never_that_of_a_size() -> None:
    _, derivation = example("softmax_ce")
    (line,) = [p for p in derivation.lines if p.role == "gradient"]
    assert latex_line(line.name, line.tree, derivation_notation(derivation)) == (
        r"\frac{\partial L}{\partial S} = \frac{P - \mathbf{1}\left[y_{n} = c\right]_{n,c}}{N}"
    )
    taken = notation_of([Tensor("L", sizes("N"))], cotangents={"dL": "L"})
    assert latex(Name("dL"), taken) == r"\frac{\partial \mathcal{L}}{\partial L}"


def test_batch_norm_reads_as_in_a_textbook() -> None:
    _, derivation = example("batch_norm")
    line = derivation.gradient("X")
    assert line is not None
    dy, row = r"\frac{\partial L}{\partial Y}", r"\frac{\partial L}{\partial Y_{n,:}}"
    assert latex_line("dX", line.tree, derivation_notation(derivation)) == (
        r"\frac{\partial L}{\partial X} = \frac{\gamma}{N \, \mathrm{std}} \odot \left(N \, "
        + dy
        + r" - \sum_{n} "
        + row
        + r" - \hat{x} \odot \sum_{n} "
        + row
        + r" \odot \hat{x}_{n,:}\right)"
    )


def test_index_notation_keeps_its_indices() -> None:
    left = Items((call("lt", Name("n"), Name("N")), call("lt", Name("i"), Name("D"))))
    tree = Call("indexed", (left, parsed("sum(X[n, i - k] * b[k], over=[k < K], outside=0)")))
    assert latex_line("dZ", tree, NOTATION) == (
        r"\frac{\partial L}{\partial Z_{n,i}} = \sum_{k} X_{n,i - k} \, b_{k} "
        r"\quad \text{(entries outside an array are 0)}"
    )
    inside = Call("indexed", (left, parsed("sum(X[n, i + j] * b[j], over=[j < D - 1])")))
    assert latex(call("mul", Name("Z"), inside), NOTATION) == (
        r"Z \odot \left[\sum_{j<D - 1} X_{n,i + j} \, b_{j}\right]_{n,i}"
    )


# -- structure ----------------------------------------------------------------------------


def tokens(text: str) -> list[str]:
    """Commands, and every other character by itself."""
    found: list[str] = []
    place = 0
    while place < len(text):
        end = place + 1
        if text[place] == "\\":
            while end < len(text) and text[end].isalpha() and text[end].isascii():
                end += 1
            end = max(end, place + 2)
        found.append(text[place:end])
        place = end
    return found


def check_structure(text: str) -> None:
    """Braces, \\left and \\right, environments and scripts fit; only known commands occur."""
    found = tokens(text)
    open_ones: list[str] = []
    scripts: list[set[str]] = [set()]
    for place, token in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else ""
        if token.startswith("\\"):
            assert token[1:] in KNOWN or token[1:] in SYMBOLS, token
        if token in ("\\begin", "\\end"):
            name = "".join(found[place + 2 : found.index("}", place)])
            if token == "\\begin":
                open_ones.append(name)
            else:
                assert open_ones.pop() == name
        elif token == "\\left":
            open_ones.append(CLOSING[following])
        elif token == "\\right":
            assert open_ones.pop() == following
        elif token == "{":
            open_ones.append("}")
            scripts.append(set())
        elif token == "}":
            assert open_ones.pop() == "}"
            scripts.pop()
        elif token in "_^":
            assert token not in scripts[-1], f"a double script in {text}"
            scripts[-1].add(token)
            assert following == "{"
        if token not in ("_", "^", "{", "}"):
            scripts[-1].clear()
        assert token.isascii()
    assert not open_ones


def formulas(name: str) -> list[str]:
    _, derivation = example(name)
    notation = derivation_notation(derivation)
    return [latex_line(line.name, line.tree, notation) for line in derivation.lines]


@pytest.mark.parametrize("name", SPECS)
def test_the_structure_of_every_document_holds(name: str) -> None:
    spec, derivation = example(name)
    for formula in formulas(name):
        check_structure(formula)
    check_structure(latex_document([(spec, derivation)]))


@pytest.mark.parametrize(
    "text",
    ["{a", r"\left(a\right]", "a_{1}_{2}", r"\unknown", r"\begin{cases} a \end{align}", "a_1"],
)
def test_the_check_of_the_structure_can_fail(text: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check_structure(text)


def test_an_independent_parser_accepts_every_formula() -> None:
    for name in SPECS:
        for text in formulas(name):
            LatexWalker(f"\\[ {text} \\]", tolerant_parsing=False).get_latex_nodes()


@pytest.mark.latex
def test_the_document_compiles(tmp_path: Path) -> None:
    layers = [example(name) for name in SPECS if not name.startswith("word")]
    (tmp_path / "all.tex").write_text(latex_document(layers), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_numbers_keep_their_value() -> None:
    cases = {"1e-5": "10^{-5}", "2.5e-3": r"2.5 \cdot 10^{-3}", "0.1": "0.1", "-3": "-3"}
    for written, expected in cases.items():
        assert latex(Number(Fraction(written), written), Notation()) == expected
    assert latex(Number(Fraction(1, 3)), Notation()) == r"\frac{1}{3}"
