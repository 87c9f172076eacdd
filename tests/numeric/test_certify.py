"""A certificate is not given to formulas that are wrong where ordinary samples do not look."""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import derive
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.tree import Call, Name, integer
from gradtool.numeric.certify import Certificate, CertificationError, certify
from gradtool.records import replace
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text


def _certified(
    line: str, other: str = "", constants: str = "", inputs: str = "x: [N]"
) -> Certificate:
    """Certify the derivation of `other` (default: of the line itself) for a line."""
    texts = [
        f"layer: t\ninputs: {{{inputs}}}\n{constants}forward: |\n  {text}\n"
        for text in (line, other)
    ]
    spec = load_text(texts[0], "t")
    graph = graph_of(spec)
    derived = derive(graph_of(load_text(texts[1 if other else 0], "t")))
    return certify(spec, graph, derived)


def test_a_mistake_under_a_condition_that_hardly_ever_holds() -> None:
    with pytest.raises(CertificationError, match="64 times as large"):
        _certified("Y = where(x > 9, x**2, x)", "Y = where(x > 9, x**3, x)")


def test_a_mistake_near_zero_only() -> None:
    positive = "x: {shape: [N], domain: positive}"
    with pytest.raises(CertificationError, match=r"0.001 times as large"):
        _certified("Y = where(x > 0.005, x, 2*x)", "Y = where(x > 0.005, x, 3*x)", inputs=positive)


def test_a_constant_is_no_literal() -> None:
    lam = "constants: {lam: 0.5}\n"
    assert _certified("L = lam * sum(x**2)", constants=lam).digits >= 30
    with pytest.raises(CertificationError):
        _certified("L = lam * sum(x**2)", "L = 0.5 * sum(x**2)", constants=lam)


def test_a_regulariser_of_zero_does_not_hide_its_gradient() -> None:
    lam = "constants: {lam: 0.0}\n"
    with pytest.raises(CertificationError):
        _certified("L = sum(x) + lam * sum(x**2)", "L = sum(x) + lam * sum(x**3)", constants=lam)


def test_a_large_gradient_does_not_drown_a_small_one() -> None:
    both = "x: [N], z: [N]"
    with pytest.raises(CertificationError):
        _certified("L = 10**40 * sum(x) + sum(z)", "L = 10**40 * sum(x) + 2*sum(z)", inputs=both)


def test_a_formula_that_divides_by_zero_where_the_forward_pass_is_smooth() -> None:
    spec = load_text("layer: t\ninputs: {x: [N]}\nforward: |\n  Y = x**2\n", "t")
    graph = graph_of(spec)
    whole = derive(graph)
    (line,) = whole.lines
    # 2 * dY * Y / x: right wherever x is not zero.
    product = Call("mul", (Call("mul", (integer(2), Name("dY"))), Name("Y")))
    quotient = replace(line, tree=Call("div", (product, Name("x"))))
    with pytest.raises(CertificationError, match="divides by zero"):
        certify(spec, graph, replace(whole, lines=(quotient,)))


def test_sizes_are_told_at_which_an_entry_that_nothing_reads_is_outside_of_a_domain() -> None:
    rows = {sizes["N"] for sizes in _certified("Y = (log(x) * z)[0]", inputs=_BOTH).skipped}
    assert rows
    assert 1 not in rows


def test_what_no_sample_shows_is_told() -> None:
    assert _certified("Y = relu(x - 1000)").zero == ("x",)
    assert _certified("Y = relu(x - 1000)").unseen == (1,)
    assert not _certified("Y = relu(x)").unseen


@pytest.mark.parametrize("line", [
    "Y = where(tril(ones((N, N))) > 0, x, -1e9)",
    "Y = where(tril(ones((N, N))) >= 1, x, -1e9)",
    "Y = where(b > 0, x, 2 * x)",
    "Y = where(1 <= b, x, 2 * x)",
])  # fmt: skip
def test_both_sides_of_a_mask_are_seen_where_it_is_zero_and_one(line: str) -> None:
    binary = "x: [N], b: {shape: [N], constant: true, domain: binary}"
    assert not _certified(line, inputs=binary).unseen


@pytest.mark.parametrize("line", [
    "Y = where(tril(ones((N, N))) >= 0, x, -1e9)",
    "Y = where(b > 1, x, 2 * x)",
    "Y = where(tril(ones((N, N))) * x * 0 + x > 1000, x, 2 * x)",
])  # fmt: skip
def test_a_mask_that_is_always_the_same_is_told(line: str) -> None:
    binary = "x: [N], b: {shape: [N], constant: true, domain: binary}"
    assert _certified(line, inputs=binary).unseen == (1,)


def test_tiny_and_huge_sums_keep_their_digits() -> None:
    # exp(-400) has no digits left as an integer multiple of 2**-399, and exp(exp(30)) as one
    # has 10**13 binary digits.
    assert _certified("Y = log(sum(exp(x - 400)))").digits >= 30
    assert _certified("Y = log(sum(exp(exp(30 + x))))").digits >= 30


def test_a_layer_that_divides_by_its_own_constant_of_zero_is_refused() -> None:
    """With another constant it is right; nobody asked for that."""
    zero = "constants: {c: 0.0}\n"
    with pytest.raises(UnsupportedError, match="singular at the constants of the spec"):
        _certified("Y = x / c", constants=zero)
    assert _certified("Y = x / (1 + c)", constants=zero).digits >= 30
    assert _certified("Y = x / c", constants="constants: {c: 0.5}\n").digits >= 30


_PLANE, _BOTH = "x: [N, D]", "x: [N, D], z: [N, D]"


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        (_PLANE, "Y = {x}"),
        (_PLANE, "Y = where(abs(x) > 0.1, 1 / x, {x})"),
        (_PLANE, "Y = where(abs(x) > 0.1, log(abs(x)) / sqrt(abs(x)), {x})"),
        (_PLANE, "h = 1 / x\n  Y = where(abs(x) > 0.1, h, {x})"),
        (_BOTH, "Y = where(abs(z) > 0.1, x / z, 0) + {x}"),
        (_BOTH, "h = x / z\n  Y = where(abs(z) > 0.1, h * h, 0) + {x}"),
        (_BOTH, "Y = relu(z) + {x}"),
        (_BOTH, "Y = x / z + {x}"),
        ("x: [], z: [N]", "Y = z * ({x})"),
    ],
)
def test_a_mistake_at_zero_alone(inputs: str, line: str) -> None:
    """Whatever a branch that is not taken divides by there, and whatever other inputs are."""
    right, wrong = line.format(x="x**2"), line.format(x="where(x == 0, x, x**2)")
    assert _certified(right, inputs=inputs).digits >= 30
    with pytest.raises(CertificationError, match="some inputs being zero"):
        _certified(right, wrong, inputs=inputs)


@pytest.mark.parametrize(
    "line",
    [
        "Y = where(x == 0, 0, z**2 / x)",
        "Y = where(x > 0, z / x, z)",
        "Y = where(x == 0, 0, x * abs(x)**(-2/3))",
        "Y = where(x > 0, sqrt(abs(x)), 0)",
    ],
)
def test_where_there_is_no_slope_a_formula_need_not_hold(line: str) -> None:
    """At a pole the differences from both sides may be equal: both grow with a smaller step."""
    assert _certified(line, inputs=_BOTH).digits >= 30


@pytest.mark.parametrize(
    "line",
    [
        "Y = 1e-9 * maximum(x, 0) + x",
        "Y = where(x > 0, x, 1e-9) * x",
        "Y = 1e-12 * abs(x) + x * z",
        "Y = log(1 + (x + 1e-9).max()**2) * z + x",
    ],
)
def test_a_faint_kink_is_one(line: str) -> None:
    """Its slopes are nearly equal, and a right formula gives one of them."""
    assert _certified(line, inputs=_BOTH).digits >= 30


def test_a_faint_kink_does_not_hide_a_mistake() -> None:
    line = "Y = 1e-9 * maximum(x, 0) + {x}"
    for wrong in ("where(x == 0, x, x**2)", "where(x == 0, 1e-7 * x, x**2)"):
        with pytest.raises(CertificationError, match="some inputs being zero"):
            _certified(line.format(x="x**2"), line.format(x=wrong))


def test_a_constant_of_zero_that_leaves_no_formula_is_refused() -> None:
    """``k * x**(k - 1)`` is 0 * inf at zero, and ``clip(x, -k, k)`` has no slope of 1 anywhere."""
    zero, other = "constants: {k: 0.0}\n", "constants: {k: 2.0}\n"
    whole = "constants: {k: 0}\n"
    for line in ("Y = x**k", "Y = clip(x, -k, k)"):
        for constants in (zero, whole):
            with pytest.raises(UnsupportedError, match="while k is 0"):
                _certified(line, constants=constants, inputs=_PLANE)
        assert _certified(line, constants=other, inputs=_PLANE).digits >= 30
    assert _certified("Y = (1 + x**2)**k", constants=zero, inputs=_PLANE).digits >= 30
    wrong = "Y = where(x == 0, x, x**2) + k * x"
    with pytest.raises(CertificationError):
        _certified("Y = x**2 + k * x", wrong, constants=zero, inputs=_PLANE)


@pytest.mark.parametrize(
    ("line", "where", "divides"),
    [
        ("Y = abs(x) * sign(x)", "x == 0", False),
        ("Y = maximum(x, 0) + minimum(x, 0)", "x == 0", False),
        ("Y = where(x > 0, x, 0) - where(x < 0, -x, 0)", "x == 0", False),
        ("Y = relu(x) - relu(-x)", "x == 0", False),
        ("Y = where(x == 0, 0, x)", "x == 0", False),
        ("Y = 1e-40 * abs(x) * sign(x)", "x == 0", False),
        ("Y = abs(x - z) * sign(x - z)", "x - z == 0", False),
        ("Y = maximum(x, z) + minimum(x, z)", "x == z", False),
        ("Y = maximum(x, 1) + minimum(x, 1)", "x == 1", False),
        ("h = 2 * x - z + 1\n  Y = abs(h) * sign(h)", "h == 0", False),
        ("h = x**2 - 1\n  Y = abs(h) * sign(h)", "h == 0", False),
        ("h = x**3 - z\n  Y = abs(h) * sign(h)", "h == 0", False),
        ("Y = sqrt(x**2) * sign(x)", "x**2 == 0", True),
        ("Y = (z / x)[:, 1]", "x == 0", True),  # what is not read is divided by in the gradient
        ("n = norm(x, axis=1)\n  Y = n * sin(n)", "(x**2).sum(axis=1) == 0", True),
    ],
)
def test_kinks_that_cancel_are_told(line: str, where: str, divides: bool) -> None:
    """The layer is smooth at a kink of single operations, and a formula goes by their conventions.

    The layers are x, x + z, |n| sin |n| and the like; the formula is 0, 2 or 0/0, not 1 or 0.
    """
    found = _certified(line, inputs=_BOTH).departures
    assert [(one.where, one.divides) for one in found] == [(where, divides)]
    assert found[0].of in (("x",), ("x", "z"))


@pytest.mark.parametrize(
    "line",
    [
        "Y = abs(x)**2",
        "Y = relu(x)**2",
        "Y = abs(x) * x",
        "Y = abs(x)",
        "Y = maximum(x, z)",
        "Y = maximum(x, z) * (x - z)",
        "Y = maximum(x, z) + minimum(z, x)",  # at a tie each takes its first argument
        "Y = max(x, axis=1) + min(x, axis=1)",
        "Y = norm(x, axis=1)**4",
        "Y = where(x == 0, 1, sin(x) / x)",
        "Y = 1e-20 * maximum(x, 0) + x",
        "Y = 1e-28 * maximum(x, 0) + x",
    ],
)
def test_kinks_at_which_a_formula_holds_or_nothing_does_are_not_told(line: str) -> None:
    assert not _certified(line, inputs=_BOTH).departures


@pytest.mark.parametrize("wrong", ["where(x == 0, 2*x, x)", "where(x > 0, x, 3*x)"])
def test_cancelling_kinks_do_not_hide_a_mistake(wrong: str) -> None:
    """Neither the derivative of the layer nor that of the branches is 2 at zero, or 3 below it."""
    with pytest.raises(CertificationError):
        _certified("Y = abs(x) * sign(x)", f"Y = {wrong}")


def test_cancelling_kinks_of_one_input_do_not_hide_a_mistake_of_another() -> None:
    line = "Y = abs(x) * sign(x) + {z}"
    with pytest.raises(CertificationError, match="some inputs being zero"):
        _certified(line.format(z="z**2"), line.format(z="where(z == 0, z, z**2)"), inputs=_BOTH)


def test_a_mistake_where_two_values_are_equal() -> None:
    line = "Y = maximum(x, z) + minimum(x, z) + {d}"
    with pytest.raises(CertificationError, match="equal values"):
        _certified(
            line.format(d="(x - z)**2"),
            line.format(d="where(x == z, 5 * (x - z), (x - z)**2)"),
            inputs=_BOTH,
        )


def test_a_power_of_a_difference_with_an_exponent_of_zero_is_refused() -> None:
    """``k * (x - z)**(k - 1)`` is 0 * inf where x is z."""
    with pytest.raises(UnsupportedError, match="while k is 0"):
        _certified("Y = (x - z)**k", constants="constants: {k: 0}\n", inputs=_BOTH)
    for k in (1, 2, 3):
        assert _certified("Y = (x - z)**k", constants=f"constants: {{k: {k}}}\n", inputs=_BOTH)


def test_a_gradient_however_small_is_looked_at() -> None:
    """Alone, and beside one that is 1e40 times as large."""
    assert _certified("Y = 1e-80 * sum(x)").digits >= 30
    with pytest.raises(CertificationError):
        _certified("Y = 1e-80 * sum(x)", "Y = 2e-80 * sum(x)")
    line = "Y = sum(x) + {c} * sum(z)"
    with pytest.raises(CertificationError):
        _certified(line.format(c="1e-40"), line.format(c="2e-40"), inputs=_BOTH)


def test_a_derivative_of_zero_that_is_rounding_is_no_mistake() -> None:
    assert _certified("Y = sum(softmax(x) * 3)").digits >= 30
    assert _certified("Y = x - mean(x) + mean(x) / 3 * 3 - x + z", inputs=_BOTH).digits >= 30


def test_a_number_that_no_double_holds_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="too large or too small"):
        _certified("Y = 1e300 * x * 1e300")


def test_a_comparison_that_rounding_decides_is_no_mistake() -> None:
    """The logarithm of a softmax over one value is 0, but for rounding: ``M >= 0`` is anything."""
    line = "M = log_softmax(x, 0)\n  Y = where(M >= 0, x, z)"
    found = _certified(line, inputs=_BOTH)
    assert all(sizes["N"] == 1 for sizes in found.skipped)
    assert len(found.size_sets) >= 2
    both = "x: [B, 4], z: [B, 4]"
    with pytest.raises(UnsupportedError, match="equal but for rounding"):
        _certified("M = log(exp(x)) - x\n  Y = where(M >= 0, x, z)", inputs=both)
    # A small number is none that comes from rounding.
    wrong = "Y = where(1e-50 * x > 0, 3*x, z)"
    with pytest.raises(CertificationError):
        _certified("Y = where(1e-50 * x > 0, 2*x, z)", wrong, inputs=_BOTH)


def test_what_the_normal_form_divides_out_has_no_value_where_the_layer_has_none() -> None:
    """The values of a graph are those of its normal form, in which X / X is 1 at zero, too."""
    spec = load_text("layer: t\ninputs: {x: [N]}\nforward: |\n  h = x\n  Y = h / x\n", "t")
    graph = graph_of(spec)
    for staged in (False, True):
        assert certify(spec, graph, derive(graph, staged=staged)).digits >= 30
