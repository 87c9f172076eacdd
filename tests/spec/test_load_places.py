"""Every line of code in a spec knows the line and the column where it stands in the file."""

from __future__ import annotations

import pytest

from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from gradtool.spec.model import Block, LayerSpec

HEAD = "layer: a\ninputs: {X: [N]}\n"


def load(text: str) -> LayerSpec:
    return load_text(text, "s.yaml")


def assert_places_are_exact(block: Block, spec: LayerSpec) -> None:
    """What stands at each place of the file is the line of the block."""
    lines = block.text.split("\n")
    assert len(block.places) == len(lines)
    for text, place in zip(lines, block.places, strict=True):
        in_file = spec.source.lines[place.line - 1]
        assert 1 <= place.column <= len(in_file) + 1
        assert in_file[place.column - 1 :].startswith(text)


@pytest.mark.parametrize(
    "forward",
    [
        "forward: Y = X\n",
        "forward:   Y = X  # a comment\n",
        "forward:\n  Y = X\n",
        "forward: 'Y = X'\n",
        'forward: "Y = X"\n',
        "forward: |\n  Y = X\n  Z = Y\n",
        "forward: |\n\n      Y = X\n\n      Z = Y\n\n",
        "forward: |2\n    Y = X\n  Z = Y\n",
        "forward: |-\n  Y = X\n  Z = Y",
        "forward: |+\n  Y = X\n\n\n",
        "forward: | # pasted\n  for t in range(T):\n    h = h + X\n  \n",
        "forward: |\n é = X\n ÿ = é # ∂\n",
        "forward:\n  |\n    Y = X\n",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_plain_quoted_and_literal_code(forward: str, line_end: str) -> None:
    spec = load(("\ufeff" + HEAD + forward).replace("\n", line_end))
    assert "=" in spec.forward.text
    assert_places_are_exact(spec.forward, spec)


def test_code_deep_inside_a_check_block() -> None:
    spec = load(
        HEAD + "forward: Y = X\ncheck:\n    forward:  Y = f(X)\n    grads: {X: 'g[\"é\"]'}\n"
        "    load:\n      provide:\n        utils: |\n          def f():\n            return 1\n"
    )
    assert spec.check is not None
    assert spec.check.forward is not None
    for block in (spec.check.forward, spec.check.grads["X"], spec.check.provide["utils"]):
        assert_places_are_exact(block, spec)
    assert spec.check.forward.places[0].column == 15


def test_each_character_of_quoted_text_with_escapes() -> None:
    line = r"""forward: "é = X[\"k\"]\nZ\u03b2 = \x41 + '\U0001d6fd'" """.strip()
    spec = load(HEAD + line + "\n")
    block = spec.forward
    assert block.text == "é = X[\"k\"]\nZβ = A + '\U0001d6fd'"
    assert block.at(0, 0).column == line.index("é") + 1
    assert block.at(0, 6).column == line.index('\\"') + 1
    assert block.at(0, 7).column == line.index("k") + 1
    assert block.at(1, 0).column == line.index("Z") + 1
    assert block.at(1, 5).column == line.index("\\x41") + 1
    assert block.places == (block.at(0, 0), block.at(1, 0))


def test_a_doubled_quote_in_single_quotes_is_one_character() -> None:
    line = "forward: 'Y = X[''k''] + b'"
    block = load(HEAD + line + "\n").forward
    assert block.text == "Y = X['k'] + b"
    assert block.at(0, block.text.index("b")).column == line.index("b") + 1


def test_a_syntax_error_points_at_the_character_and_not_at_the_byte() -> None:
    line = "  backward: 'é = δ([''β''] +* 1)'"
    with pytest.raises(SpecError) as caught:
        load(HEAD + "forward: Y = X\ncheck:\n" + line + "\n")
    (problem,) = caught.value.problems
    assert (problem.line, line[problem.column - 1]) == (5, "*")


def test_a_size_in_quotes_points_at_its_symbol() -> None:
    line = "  X: [N, ' 2*\\u004b', \"\\u0032*np\"]"
    with pytest.raises(SpecError) as caught:
        load("layer: a\ninputs:\n" + line + "\nforward: Y = X\n")
    columns = [problem.column for problem in caught.value.problems]
    assert columns[-1] == line.index("np") + 1
