"""Code is read without numbers that are longer than float64: types, digits, fractions."""

from __future__ import annotations

import ast
from decimal import Decimal, localcontext

import numpy as np
import pytest

from gradtool.check.longer import has_longer
from gradtool.check.nodes import nodes_of
from gradtool.check.rewrite import Change, changed


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\nr = np.longdouble(1) / 3",
        "import numpy as np\nr = (np.ones(1, 'g') / 3)[0]",
        "import numpy as np\nr = (np.ones(1, dtype='longdouble') / 3)[0]",
        "import numpy as np\nr = (np.ones(1).astype('<f16') / 3)[0]",
        "from numpy import longdouble as wide\nr = wide(1) / 3",
        "from fractions import Fraction\nr = Fraction(1, 3)",
        "import fractions as f\nr = f.Fraction(1) / 3",
        "from fractions import Fraction\nr = Fraction('1/3')",
        "from fractions import Fraction\nr = Fraction.from_float(1 / 3).limit_denominator(10**40)",
        "from fractions import Fraction\nr = 0.0 if isinstance(1 / 3, Fraction) else 1 / 3",
    ],
)
def test_a_third_has_the_digits_of_float64(text: str) -> None:
    tree = ast.parse(text)
    assert has_longer(nodes_of(tree))
    space: dict[str, object] = {}
    exec(compile(changed(tree, "t", Change(narrow=True)), "t", "exec"), space)
    assert type(space["r"]) in (float, np.float64)
    assert space["r"] == 1 / 3


@pytest.mark.parametrize(
    "text",
    [
        "from decimal import Decimal\nr = Decimal(1) / 3",
        "'''Text.'''\nfrom __future__ import annotations\nimport decimal as d\n"
        "d.getcontext().prec = 60\nr = d.Decimal(1) / 3",
        "import decimal\nwith decimal.localcontext() as c:\n    c.prec = 90\n"
        "    r = decimal.Decimal(1) / 3",
        "import decimal\nwith decimal.localcontext(decimal.Context(prec=90)):\n"
        "    r = decimal.Decimal(1) / 3",
    ],
)
def test_decimals_have_sixteen_digits(text: str) -> None:
    tree = ast.parse(text)
    assert has_longer(nodes_of(tree))
    space: dict[str, object] = {}
    with localcontext():
        import decimal

        before = decimal.DefaultContext.prec
        try:
            exec(compile(changed(tree, "t", Change(narrow=True)), "t", "exec"), space)
        finally:
            decimal.DefaultContext.prec = before
    assert str(space["r"]) == "0." + "3" * 16
    assert isinstance(space["r"], Decimal)


def test_a_text_of_float64_is_left_alone() -> None:
    text = "import numpy as np\nx = np.float64(1)\nc = 'longer words'\nfig = plot(x, color='b')\n"
    tree = ast.parse(text)
    assert not has_longer(nodes_of(tree))
    assert ast.dump(changed(tree, "t", Change(narrow=True))) == ast.dump(tree)


def test_two_changes_are_both_made() -> None:
    """What is asked of changed code is asked of that code, and not of the file."""
    both = Change(narrow=True).also(Change(widen=True, numbers=(("k", 0.0),)))
    assert both == Change(widen=True, numbers=(("k", 0.0),), narrow=True)
    assert Change.from_json(both.to_json()) == both
