"""A spec file becomes a `LayerSpec` that says exactly what is written in it."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gradtool.ir.dims import Dim, shape_text
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from gradtool.spec.model import Domain, LayerSpec, Place, SizeRule, Variable
from gradtool.spec.yamltree import MAX_NODES

AFFINE = """\
layer: affine
about: Fully connected layer, one sample per row.
reference: a course
inputs:
  X: [N, D]
parameters:
  W: [D, C]
  b: [C]
forward: |
  Y = X @ W + b
check:
  forward:  Y, cache = affine_forward(X, W, b)
  backward: dX, dW, db = affine_backward(dY, cache)
"""


def load(text: str) -> LayerSpec:
    return load_text(text, "s.yaml")


def with_inputs(line: str, rest: str = "") -> LayerSpec:
    return load(f"layer: a\ninputs:\n  {line}\n{rest}forward: Y = X\n")


def one(line: str) -> Variable:
    return with_inputs(line).variables[0]


def test_the_affine_layer_is_read_in_full() -> None:
    spec = load(AFFINE)
    assert (spec.name, spec.about, spec.reference) == (
        "affine",
        "Fully connected layer, one sample per row.",
        "a course",
    )
    assert [(v.role, v.name, shape_text(v.shape), v.place.line) for v in spec.variables] == [
        ("input", "X", "(N, D)", 5),
        ("parameter", "W", "(D, C)", 7),
        ("parameter", "b", "(C,)", 8),
    ]
    assert spec.forward.text == "Y = X @ W + b\n"
    assert spec.text == AFFINE
    assert spec.outputs is None
    assert spec.check is not None
    assert spec.check.backward is not None
    assert spec.check.backward.text == "dX, dW, db = affine_backward(dY, cache)"


def test_the_shortest_spec_has_a_name_a_variable_and_a_forward() -> None:
    spec = load("layer: a\nparameters: {w: []}\nforward: y = w\n")
    assert (spec.constants, spec.sizes, spec.check, spec.outputs_place) == ({}, {}, None, None)
    assert spec.variables[0].shape == ()


def test_single_letters_of_sympy_and_of_greek_are_ordinary_names() -> None:
    names = ["S", "N", "E", "I", "Q", "O", "beta", "gamma", "π", "y", "no", "match"]
    inputs = ", ".join(f"{name}: []" for name in names)
    spec = load(f"layer: no\nabout: 1e-5\ninputs: {{{inputs}}}\nforward: z = S\n")
    assert [v.name for v in spec.variables] == names
    assert (spec.name, spec.about) == ("no", "1e-5")


def test_the_two_micro_signs_are_one_name_as_in_python() -> None:
    assert one("\u00b5: []").name == "\u03bc"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("N", Dim.of("N")),
        ("2*H", Dim.of("H") + Dim.of("H")),
        ("(H + 2*pad - K)//stride + 1", Dim.parse("(H + 2*pad - K)//stride + 1")),
        ("'2 * H'", Dim.of("H") * 2),
        ("7", Dim.of(7)),
        ("N*M/N", Dim.of("M")),
        ("H**2", Dim.of("H") * Dim.of("H")),
    ],
)
def test_a_size_is_an_integer_polynomial(size: str, expected: Dim) -> None:
    assert one(f"X: [{size}]").shape == (expected,)


def test_a_shape_can_be_a_block_list() -> None:
    assert shape_text(one("X:\n    - N\n    - 2*H").shape) == "(N, 2*H)"


def test_the_long_form_of_a_variable() -> None:
    spec = with_inputs(
        "y: {shape: [N], index: C}\n  o: {shape: [], index: C, not: y}\n"
        "  M: {shape: [N, D], dtype: bool}\n  R: {shape: [D], read: true, domain: binary}\n"
        "  p: {shape: [D], constant: True, x-note: mine}\n  q: {shape: [D], constant: false}"
    )
    y, o, m, r, p, q = spec.variables
    assert (y.dtype, y.index, y.excluded) == ("index", Dim.of("C"), None)
    assert (o.dtype, o.excluded, o.shape) == ("index", "y", ())
    assert (m.dtype, m.differentiable) == ("bool", False)
    assert (r.read, r.constant, r.domain) == (True, True, Domain("binary"))
    assert (p.constant, p.read, p.dtype) == (True, False, "real")
    assert [v.name for v in spec.variables if v.differentiable] == ["q"]
    assert q.shape == (Dim.of("D"),)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("positive", Domain("positive")),
        ("real", Domain()),
        ("one-hot", Domain("one-hot")),
        ("sign", Domain("sign")),
        ("lower-triangular", Domain("lower-triangular")),
        ("[0, 1]", Domain("interval", Fraction(0), Fraction(1))),
        ("[-0.5, 1/3]", Domain("interval", Fraction(-1, 2), Fraction(1, 3))),
        ("[0, null]", Domain("interval", Fraction(0), None)),
        ("[-inf, 1e-3]", Domain("interval", None, Fraction(1, 1000))),
        ("[-.inf, .inf]", Domain()),
        ("[~, ]", None),
    ],
)
def test_a_domain_is_a_named_set_or_a_closed_interval(domain: str, expected: Domain | None) -> None:
    line = f"X: {{shape: [D, D], domain: {domain}}}"
    if expected is None:
        with pytest.raises(SpecError, match="two ends"):
            one(line)
    else:
        assert one(line).domain == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-3", -3),
        ("1_000", 1000),
        ("2.0", Fraction(2)),
        ("1e-5", Fraction(1, 100_000)),
        ("'1e-5'", Fraction(1, 100_000)),
        ("1e3", Fraction(1000)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("1/3", Fraction(1, 3)),
        ("1 / 3", Fraction(1, 3)),
        ("4/2", Fraction(2)),
        ("1e308", Fraction(10) ** 308),
    ],
)
def test_a_constant_is_exact_and_is_an_integer_only_without_a_point(
    text: str, value: int | Fraction
) -> None:
    found = load(f"{AFFINE}constants: {{c: {text}}}\n").constants["c"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["٣", "0x10", "1:30", "1e", "e5", "--1", "1e1e1", "", "1 2", "1/2/3"]
)
def test_what_is_no_decimal_number_is_no_constant(text: str) -> None:
    with pytest.raises(SpecError, match="expected a number"):
        load(f"{AFFINE}constants: {{c: '{text}'}}\n")


def test_integer_constants_may_stand_in_sizes() -> None:
    spec = with_inputs("X: [N, stride*H]", "constants: {stride: 2}\n")
    assert spec.constants == {"stride": 2}


def test_sizes_are_pinned_or_bounded() -> None:
    spec = load(f"{AFFINE}sizes: {{N: 4, D: '>=2', C: '>= 3'}}\n")
    assert spec.sizes == {
        "N": SizeRule(exactly=4),
        "D": SizeRule(minimum=2),
        "C": SizeRule(minimum=3),
    }


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("", SizeRule(minimum=2)),
        ("sizes: {V: '>=5'}\n", SizeRule(minimum=5)),
        ("sizes: {V: 4}\n", SizeRule(exactly=4)),
    ],
)
def test_an_axis_with_an_excluded_label_has_room_for_another(
    sizes: str, expected: SizeRule
) -> None:
    line = "o: {shape: [], index: V}\n  k: {shape: [K], index: V, not: o}"
    assert with_inputs(line, sizes).sizes == {"V": expected}


def test_a_dimension_of_a_label_has_a_size_too() -> None:
    spec = with_inputs("y: {shape: [N], index: V}", "sizes: {V: 10}\n")
    assert spec.sizes["V"].exactly == 10


@pytest.mark.parametrize(
    ("line", "names"),
    [("output: Y", ("Y",)), ("outputs: [mu, P]", ("mu", "P")), ("outputs: [Y]", ("Y",))],
)
def test_outputs_are_named_with_their_place(line: str, names: tuple[str, ...]) -> None:
    spec = load(AFFINE + line + "\n")
    assert spec.outputs == names
    assert spec.outputs_place == Place(14, line.index(": ") + 3)


def test_the_whole_check_block() -> None:
    spec = load(
        AFFINE + "  setup: layer = Affine(D, C)\n"
        "  gradients: [W, b]\n"
        "  grads: {W: step(layer.W)}\n"
        "  scale:\n    W: N\n    b: N\n"
        "  upstream: {scale: 1e-3}\n"
        "  load:\n    root: ..\n    only: definitions\n"
        "    provide:\n      course.utils: |\n        def check(x):\n          return x\n"
    )
    check = spec.check
    assert check is not None
    assert check.setup is not None
    assert check.setup.text == "layer = Affine(D, C)"
    assert check.gradients == ("W", "b")
    assert {name: block.text for name, block in check.grads.items()} == {"W": "step(layer.W)"}
    assert {name: block.text for name, block in check.scale.items()} == {"W": "N", "b": "N"}
    assert (check.upstream, check.upstream_scale) == (None, Fraction(1, 1000))
    assert (check.load_root, check.load_only) == ("..", "definitions")
    assert check.provide["course.utils"].text == "def check(x):\n  return x\n"


@pytest.mark.parametrize("kind", ["one-hot", "ones"])
def test_a_restricted_contract_of_the_upstream_gradient(kind: str) -> None:
    check = load(f"{AFFINE}  upstream: {kind}\n").check
    assert check is not None
    assert check.upstream == kind


def test_keys_of_the_writers_own_begin_with_x() -> None:
    spec = load(f"{AFFINE}  x-here: [1]\nx-course: {{week: 3}}\n")
    assert spec.name == "affine"


def test_a_windows_file_with_a_byte_order_mark_says_the_same() -> None:
    plain, windows = load(AFFINE), load("\ufeff" + AFFINE.replace("\n", "\r\n"))
    assert windows.variables == plain.variables
    assert windows.forward == plain.forward
    assert windows.check == plain.check
    assert windows.source == plain.source


def test_a_file_of_2000_lines_is_read_in_the_time_of_its_yaml() -> None:
    lines = [f"  X{k}: {{shape: [N, 2*D + {k}], domain: [0, 1]}}" for k in range(1, 2000)]
    text = "layer: a\ninputs:\n" + "\n".join(lines) + "\nforward: Y = X1\n"
    assert len(lines) * 7 < MAX_NODES
    best = min(_seconds(lambda: load(text)) for _ in range(3))
    events = min(_seconds(lambda: list(yaml.parse(text, Loader=yaml.BaseLoader))) for _ in range(2))
    assert best < events  # the pure parser, which nothing here depends on, sets the scale


def _seconds(run: object) -> float:
    start = time.perf_counter()
    assert callable(run)
    run()
    return time.perf_counter() - start


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_gives_problems_inside_the_file_and_never_another_error(
    data: st.DataObject,
) -> None:
    text = AFFINE + "constants: {eps: 1e-5}\nsizes: {N: 4}\noutputs: [Y]\n"
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 5)))
        text = (
            text[:start]
            + data.draw(st.text("[]{}:,|>'\"\\&*!%@ \n\t#-?é0N", max_size=3))
            + text[end:]
        )
    try:
        load(text)
    except SpecError as error:
        problems = error.problems
    else:
        return
    assert problems
    lines = text.split("\n")
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        line = lines[problem.line - 1]
        assert problem.source == line
        assert 1 <= problem.column <= len(line) + 1
        assert 1 <= problem.length <= max(1, len(line))
