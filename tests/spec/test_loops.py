"""Every mistake in a loop is refused at its place, with what to do; what is right is one loop."""

from __future__ import annotations

import pytest

from gradtool.ir.graph import Graph, Scan
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

HEAD = """layer: t
inputs: {X: [N, T, D], h0: [N, D], y: {shape: [N, T], index: D}}
parameters: {W: [D, D]}
"""


def graph(forward: str, outputs: str = "") -> Graph:
    body = "".join(f"  {line}\n" for line in forward.strip("\n").split("\n"))
    return graph_of(load_text(f"{HEAD}{outputs}forward: |\n{body}", "t.yaml"))


def mistakes(forward: str, outputs: str = "") -> str:
    with pytest.raises(SpecError) as caught:
        graph(forward, outputs)
    return str(caught.value)


START = "H = zeros((N, T, D))\nh = h0\n"


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            "h = zeros(N)\nfor t in range(T):\n    h = X[:, t]",
            "t.yaml:7:7: 'h' is carried from step to step: it has the shape (N,) before the loop "
            "and (N, D) after a step",
        ),
        (
            START + "for t in range(T):\n    H[:, t] = h\n    H[:, t] = h",
            "t.yaml:9:7: 'H' is written twice in a step",
        ),
        (
            START + "for t in range(T):\n    h = tanh(h + H[:, t - 1])\n    H[:, t] = h",
            "t.yaml:8:20: the loop collects into 'H': its slices cannot be read here",
        ),
        (
            START + "for t in range(T):\n    for s in range(T):\n        h = tanh(h)",
            "t.yaml:8:7: a loop inside a loop is not part of the language",
        ),
        (
            "for t in range(T):\n    X[:, t] = h0\nY = X",
            "t.yaml:6:7: 'X' is an input: a loop does not change it",
        ),
        (
            "for t in range(T):\n    h0 = tanh(h0)\nY = h0",
            "t.yaml:6:7: 'h0' is an input: a loop does not change it",
        ),
        (
            "h = h0\nfor t in range(T):\n    H[:, t] = h\nY = h",
            "t.yaml:7:7: 'H' is not declared before the loop",
        ),
        (
            "H = X * 2\nh = h0\nfor t in range(T):\n    H[:, t] = h",
            "t.yaml:8:7: 'H' must be zeros before a loop collects into it",
        ),
        (
            START + "for t in range(T):\n    H[:, 0] = h",
            "t.yaml:8:7: assigning to a part of an array is not part of the language",
        ),
        (
            START + "for t in range(T):\n    H[:, t, 0] = h[:, 0]",
            "t.yaml:8:9: a loop collects whole slices at its step",
        ),
        (
            START + "for t in range(T):\n    H[:, t] = h[0, 0:2]",
            "t.yaml:8:17: a slice of 'H' has the shape (N, D), found (2,)",
        ),
        (
            "h = h0\nfor t in range(T):\n    h = h + X[:, t + 1]",
            "this reaches outside: 'X' has the size T on axis 1, t + 1 runs from 1 to T",
        ),
        (
            "h = h0\nfor t in range(T + 1):\n    h = h + X[:, t]",
            "'X' has the size T on axis 1, t runs from 0 to T",
        ),
        (
            "h = h0\nfor t in range(T):\n    a = tanh(h)\n    h = a\nY = a + h",
            "'a' has a value inside the loop only",
        ),
        (
            "h = h0\nfor t in range(T):\n    a = tanh(h)",
            "the output: 'a' has a value inside the loop only",
        ),
        (
            "h = h0\nfor t in X:\n    h = h + t",
            "t.yaml:6:12: a loop must run over a range of steps",
        ),
        (
            "h = h0\nfor t in range(0, T, 2):\n    h = h + X[:, t]",
            "a loop must take every step of its range",
        ),
        (
            "h = h0\nfor t in range(0):\n    h = h + X[:, t]",
            "this range has 0 steps",
        ),
        (
            "h = h0\nfor i, t in enumerate(range(T)):\n    h = h + X[:, t]",
            "a loop counts with one name",
        ),
        ("h = h0\nfor N in range(T):\n    h = h + 1", "'N' is a size or constant of this spec"),
        ("h = h0\nfor h in range(T):\n    a = h", "'h' has a value already"),
        ("h = h0\nfor t in range(T):\n    t = h", "the step 't' is assigned in the loop"),
        ("h = h0\nwhile h > 0:\n    h = h - 1", "a while loop is not part of the language"),
        ("h = h0\nif N > 1:\n    h = h - 1", "an if statement is not part of the language"),
        (
            "h = h0\nfor t in range(T):\n    if t > 0:\n        h = h + X[:, t]",
            "an if statement is not part of the language",
        ),
        (
            "h = h0\nfor t in range(T):\n    h = h + sum(X[n, t, d], over=[t])",
            "'t' is the step of the loop, it cannot be an index",
        ),
        (
            "h = y\nfor t in range(T):\n    h = h\nY = X",
            "'h' holds labels: only real values are carried from step to step",
        ),
        ("h = h0\nfor t in range(T):\n    h = tanh(q)", "unknown name 'q'"),
    ],
)
def test_a_mistake_is_told_at_its_place(forward: str, message: str) -> None:
    assert message in mistakes(forward)


def test_every_mistake_of_a_body_is_told_once() -> None:
    told = mistakes("h = h0\nfor t in range(T):\n    a = tanh(q)\n    h = h @ r\nY = h + a")
    assert told.count("unknown name") == 2


def test_an_output_that_the_loop_does_not_reach_is_refused() -> None:
    assert "the output 'Q' is not assigned" in mistakes(
        "h = h0\nfor t in range(T):\n    h = tanh(h)", "outputs: [Q]\n"
    )


@pytest.mark.parametrize(
    "forward",
    [
        START + "for t in range(T):\n    h = tanh(X[:, t] + h)\n    H[:, t] = h",
        START + "for t in reversed(range(T)):\n    h = tanh(X[:, t] + h)\n    H[:, t] = h",
        START + "for t in range(T - 1, -1, -1):\n    h = tanh(X[:, t] + h)\n    H[:, t] = h",
        START + "for t in range(X.shape[1]):\n    h = tanh(X[:, t] + h)\n    H[:, t] = h",
        START + "for t in range(1, T):\n    h = tanh(X[:, t - 1] + h)\n    H[:, t] = h",
        "H = zeros([N, T, D])\nh = h0\nfor t in range(T):\n    h = X[:, t, :] @ W + h\n"
        "    H[:, t, :] = h",
        "H = np.zeros_like(X)\nfor t in range(T):\n    H[:, t] = X[arange(N), t, :] @ W",
        "S = 0\nfor t in range(T):\n    S += sum(W[y[:, t]]) * t\nY = S",
    ],
)
def test_a_loop_is_one_loop_however_it_is_written(forward: str) -> None:
    made = graph(forward)
    assert len({s.loop for s in made.statements if isinstance(s, Scan)}) == 1


def test_a_name_that_is_only_added_to_is_a_sum() -> None:
    made = graph("S = h0\nfor t in range(T):\n    S = S + X[:, t] @ W\nY = S")
    (scan,) = (s for s in made.statements if isinstance(s, Scan))
    assert scan.what == "sum"
    assert scan.initial is not None
    assert scan.initial.name == "h0"
    assert not scan.loop.carried


def test_a_sum_that_a_step_reads_is_carried() -> None:
    made = graph(
        "S = h0\nH = zeros((N, T, D))\nfor t in range(T):\n    S += X[:, t]\n    H[:, t] = S"
    )
    (scan,) = (s for s in made.statements if isinstance(s, Scan))
    assert scan.what == "slices"
    assert [c.label for c in scan.loop.carried] == ["S"]
