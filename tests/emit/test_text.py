"""What the text printer prints is parsed back to the same tree, whatever the tree is."""

from __future__ import annotations

import ast
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradtool.derive.derivation import derive
from gradtool.emit.text import line, operand, text
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.parse import Reader, parse_block

INFIX = (
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "matmul",
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "logical_and",
    "logical_or",
    "pow",
)
PREFIX = ("neg", "logical_not")
METHODS = ("sum", "mean", "max", "min", "var", "std")
FUNCTIONS = ("exp", "relu", "softmax", "where", "maximum", "concatenate", "pad", "onehot")


def parsed(written: str) -> Tree:
    (statement,) = parse_block(written).body
    assert isinstance(statement, ast.Expr)
    return Reader(written.split("\n")).expression(statement.value)


def numbers() -> st.SearchStrategy[Number]:
    """Numbers as they are written: whole, decimal, negative, tiny."""
    written = st.sampled_from(("0", "1", "2", "10", "0.5", "1e-5", "-1", "-0.25", "3e4"))
    return written.map(lambda t: Number(Fraction(t), t))


names = st.sampled_from(("X", "W1", "b", "N", "xhat", "gamma", "y", "E")).map(Name)
axes = st.one_of(
    st.integers(-2, 2).map(lambda k: Number(Fraction(k), str(k))),
    st.just(Items((integer(0), integer(2)))),
)


def calls(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    whole = st.just(Slice(None, None, None))
    parts = st.builds(Slice, st.none() | inner, st.none() | inner, st.none() | inner)
    new = st.sampled_from((Literal(None), Literal("...")))
    entries = st.lists(whole | parts | new | inner, min_size=1, max_size=3)
    receiver = inner.filter(lambda tree: not isinstance(tree, Number))
    return st.one_of(
        st.builds(lambda op, a, b: call(op, a, b), st.sampled_from(INFIX), inner, inner),
        # A minus before a number is the negative number, which has its own strategy.
        st.builds(call, st.sampled_from(PREFIX), receiver),
        st.builds(call, st.just("transpose"), receiver),
        st.builds(lambda x: call("transpose", x, Items((integer(1), integer(0)))), receiver),
        st.builds(lambda x, n: call("reshape", x, Items((n, integer(-1)))), receiver, inner),
        st.builds(lambda x, e: call("getitem", x, Items(tuple(e))), receiver, entries),
        st.builds(lambda op, x, a: call(op, x, axis=a), st.sampled_from(METHODS), inner, axes),
        st.builds(lambda x: call("sum", x, axis=integer(1), keepdims=Literal(True)), inner),
        st.builds(
            lambda op, a: Call(op, tuple(a)),
            st.sampled_from(FUNCTIONS),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(
            lambda a: call("stack", Items(tuple(a)), axis=integer(1)),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda x: Call("einsum", (Literal("nd,d->n"), x, x)), inner),
        st.builds(
            lambda x: Call(
                "sum",
                (x,),
                (
                    ("over", Items((call("lt", Name("k"), Name("K")), Name("p")))),
                    ("outside", integer(0)),
                ),
            ),
            inner,
        ),
    )


trees = st.recursive(names | numbers(), calls, max_leaves=12)


@settings(max_examples=600)
@given(trees)
def test_a_tree_is_read_back(tree: Tree) -> None:
    assert parsed(text(tree)) == tree


@settings(max_examples=200)
@given(trees)
def test_an_operand_can_be_indexed(tree: Tree) -> None:
    assert parsed(f"{operand(tree)}[0]") == call("getitem", tree, Items((integer(0),)))


@settings(max_examples=200)
@given(trees)
def test_an_index_statement_is_read_back(tree: Tree) -> None:
    left = Items((call("lt", Name("n"), Name("N")), Name("c")))
    written = line("dX", Call("indexed", (left, tree)))
    (statement,) = parse_block(written).body
    assert isinstance(statement, ast.Assign)
    (target,) = statement.targets
    assert isinstance(target, ast.Subscript)
    assert isinstance(target.slice, ast.Tuple)
    reader = Reader([written])
    assert Items(tuple(reader.expression(entry) for entry in target.slice.elts)) == left
    assert reader.expression(statement.value) == tree


@pytest.mark.parametrize(
    "written",
    [
        "dY @ W.T",
        "(P - onehot(y)) / N",
        "a - (b - c)",
        "a - b - c",
        "a / (b * c)",
        "a / b * c",
        "(a @ b) * c",
        "a * (b @ c)",
        "(-a)**2",
        "-a**2",
        "a**-1",
        "2**X",
        "(-2)**X",
        "(a + b).sum(axis=0)",
        "X[:, None] * Y",
        "X[..., 0]",
        "X[1:, ::-1]",
        "~(X > 0)",
        "(X > 0) & (Z > 0)",
        "x.reshape(N, -1)",
        "gamma / (N * std)",
    ],
)
def test_no_bracket_is_missing_and_none_is_idle(written: str) -> None:
    """These are written as a person would, and come out as they went in."""
    shown = text(parsed(written))
    assert parsed(shown) == parsed(written)
    assert shown == written or shown == written.replace("(a @ b) * c", "a @ b * c")


def test_a_scalar_on_the_left_of_an_index_statement() -> None:
    assert line("L", Call("indexed", (Items(()), Name("x")))) == "L = x"


@pytest.mark.parametrize("word", ["sqrt", "exp", "norm", "inv", "det", "solve", "cholesky"])
def test_a_word_with_its_module_is_a_function_of_numpy(word: str) -> None:
    tree = Call(word, (Name("A"),), method=True)
    written = text(tree)
    assert parsed(written) == tree
    prefix, _, rest = written.partition("(")
    assert rest == "A)"
    found: object = np
    for part in prefix.split(".")[1:]:
        found = getattr(found, part)  # np.norm is none
    assert callable(found)


def test_no_inner_value_is_called_like_the_word_that_it_comes_from() -> None:
    layer = "layer: t\ninputs: {a: [N, D], b: [N, D]}\nforward: |\n"
    layer += "  c = (a * b).sum(axis=-1) / (norm(a, axis=-1) * norm(b, axis=-1))\n"
    spec = load_text(layer, "layer.yaml")
    lines = derive(graph_of(spec, lambda _: None)).lines
    inner = {one.name: line(one.name, one.tree) for one in lines if one.role == "inner"}
    assert inner["length"] == "length = norm(a, axis=1)"
