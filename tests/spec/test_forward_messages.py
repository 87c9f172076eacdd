"""What is said of a forward pass that is wrong: where, what was expected and found, what to do."""

from __future__ import annotations

import pytest

from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

HEAD = """\
layer: f
inputs:
  X: [N, D]
  y: {shape: [N], index: D}
  m: {shape: [N], dtype: bool}
parameters:
  W: [C, D]
  b: [C]
forward: |
"""
FIRST = HEAD.count("\n") + 1


def problems(*lines: str) -> list[str]:
    """Every problem as it is shown."""
    text = HEAD + "".join(f"  {line}\n" for line in lines)
    with pytest.raises(SpecError) as raised:
        graph_of(load_text(text, "f.yaml"))
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("line", "column", "message", "hint"),
    [
        ("Y = X @ weights", 11, "unknown name 'weights'", "known here:"),
        ("Y = X @ W.T + bb", 17, "unknown name 'bb'", "did you mean 'b'?"),
        ("Y = X @ W", 7, "(N, D) @ (C, D): inner dimensions D and C differ", "(.T)?"),
        ("Y = X + b", 7, "(N, D) and (C,) do not broadcast: axis -1 is D and C", "[:, None]"),
        ("Y = sofmax(X)", 7, "unknown function 'sofmax'", "did you mean 'softmax'?"),
        ("Y = X.sum(axis=2)", 18, "axis 2 does not exist: the shape is (N, D)", "0 to 1"),
        ("Y = X.sum(axis=(0, 0))", 18, "the same axis is named twice", ""),
        ("Y = X * y", 11, "'y' holds labels", "onehot"),
        ("Y = X^2", 7, "^ is not a power", "**"),
        ("Y = m + (X.sum(axis=1) > 0)", 7, 'in NumPy this is "or"', "1*a + b"),
        ("Y = scipy.special.softmax(X)", 7, "goes over all axes", "axis=-1"),
        ("Y = F.softmax(X)", 7, "depends on the rank", "axis=-1"),
        ("Y = X - torch.std(X)", 11, "divides by N - 1", "ddof=1"),
        ("Y = F.pad(X, (1, 1))", 7, "begin at the last axis", "np.pad"),
        ("Y = torch.transpose(X, 0, 1)", 7, "swaps two axes", "swapaxes"),
        ("Y = np.linalg.norm(X, 1)", 25, "only the Euclidean norm", "axis=1"),
        ("Y = X / (X > 0)", 7, "division by a condition", "where(condition, x / y, 0)"),
        ("Y = X[:, :0]", 12, "the slice is empty", ""),
        ("Y = X.reshape(N, D, 2)", 7, "reshape", ""),
        ("Y = concatenate(X)", 19, "concatenate needs a list of arrays", "concatenate([X, Z])"),
        ("Y = pad(X, -1)", 14, "a padding is not negative", "X[1:-1]"),
        ("Y = reciprocal(N) * X", 7, "reciprocal of an integer is an integer", "1 / x"),
        ("Y = " + "(" * 10_000 + "X" + ")" * 10_000, 3, "nest more than 200 deep", "lines"),
    ],
)
def test_a_mistake_is_placed_named_and_answered(
    line: str, column: int, message: str, hint: str
) -> None:
    (shown,) = problems(line)
    assert shown.startswith(f"f.yaml:{FIRST}:{column}: ")
    assert message in shown
    assert hint in shown


@pytest.mark.parametrize(
    "line",
    [
        *("Y = scipy.special.softmax(X, axis=1)", "Y = F.softmax(X, 1)", "Y = np.var(X, ddof=1)"),
        *("Y = np.linalg.norm(X, 'fro')", "Y = np.linalg.norm(X, 2, axis=1)", "Y = torch.exp(X)"),
    ],
)
def test_what_a_library_means_as_numpy_does_is_read(line: str) -> None:
    graph_of(load_text(f"{HEAD}  {line}\n", "f.yaml"))


def test_all_mistakes_come_at_once_and_none_twice() -> None:
    shown = problems("A = X @ weights", "B = A + 1", "C_ = sofmax(X)", "Y = X + b")
    assert [text.split(": ")[0] for text in shown] == [
        f"f.yaml:{FIRST}:11",
        f"f.yaml:{FIRST + 2}:8",
        f"f.yaml:{FIRST + 3}:7",
    ]


def test_a_variable_hides_a_function_of_its_name_and_no_operator() -> None:
    head = "layer: f\ninputs:\n  neg: [N]\n  add: [N]\n  exp: [N]\nforward: |\n"
    graph_of(load_text(head + "  Y = -neg + add * np.exp(exp)\n", "f.yaml"))
    with pytest.raises(SpecError, match="'exp' is a variable here, it cannot be called"):
        graph_of(load_text(head + "  Y = -neg + add * exp(exp)\n", "f.yaml"))
