"""Values that a forward pass nearly has: known words for what its backward pass will need.

Where exponentials are summed, the backward pass needs their quotient, which everybody knows as
softmax; where ``1 + exp(z)`` stands, it needs sigmoid(z), which is ``1 - R`` beside
``R = 1 / (1 + exp(z))``.  Such values are added to the graph as inner values.  They are definitions
like any other: if nothing needs them, they disappear.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gradtool.ir.graph import AnyStatement, Graph, Statement
from gradtool.ir.index import Affine, Tensor
from gradtool.ir.poly import Access, Function, Poly, access, atom
from gradtool.ir.tree import Call, Items, Name, Tree, call, integer
from gradtool.records import replace


def with_companions(graph: Graph) -> Graph:
    """The graph with softmax and sigmoid beside the sums that they come from."""
    present = {s.body.key for s in graph.statements if isinstance(s, Statement)}
    reciprocals = {
        of: s
        for s in graph.statements
        if isinstance(s, Statement) and s.hidden and (of := _divisor(s)) is not None
    }
    statements: list[AnyStatement] = []
    exponentials: dict[str, Statement] = {}
    sigmoids: dict[str, Statement] = {}
    for statement in graph.statements:
        statements.append(statement)
        if not isinstance(statement, Statement) or statement.reduce != "sum":
            continue
        if _is_exponential(statement.body) is not None:
            exponentials[statement.out.name] = statement
        for made in _softmax(statement, exponentials):
            if made.body.key not in present:
                statements.append(made)
        for made in _sigmoid(statement, exponentials):
            if made.body.key not in present:
                sigmoids[statement.out.name] = made
                if statement.out.name not in reciprocals:
                    statements.append(made)
        of = _divisor(statement)
        if of in sigmoids and reciprocals.get(of) is statement:
            tree = call("sub", integer(1), Name(statement.out.name))
            statements.append(replace(sigmoids[of], tree=tree))
    return replace(graph, statements=tuple(statements))


def is_opposite(statement: Statement) -> bool:
    """A companion ``1 - R``, where the forward pass has ``R = 1 / (1 + exp(z))``."""
    tree, term = statement.tree, statement.body.single
    quotient = term is not None and len(term.factors) == 2 and statement.hidden
    return quotient and isinstance(tree, Call) and tree.op == "sub" and tree.args[0] == integer(1)


def _divisor(statement: Statement) -> str | None:
    """The u of ``1 / u``."""
    term = statement.body.single
    if term is None or term.coefficient != 1 or len(term.factors) != 1:
        return None
    base, exponent = term.factors[0]
    if exponent != -1 or not isinstance(base, Access):
        return None
    plain = base.index == tuple(map(Affine.of, statement.free))
    return base.tensor.name if plain and base.tensor.shape == statement.out.shape else None


def _is_exponential(body: Poly) -> Poly | None:
    """The z of ``exp(z)``."""
    term = body.single
    if term is None or term.coefficient != 1 or term.bound or len(term.factors) != 1:
        return None
    base, exponent = term.factors[0]
    if isinstance(base, Function) and base.name == "exp" and exponent == 1:
        return base.args[0]
    return None


def _softmax(statement: Statement, exponentials: dict[str, Statement]) -> Iterator[Statement]:
    """``R = sum of E`` with ``E = exp(S)``: the companion is ``E / R``."""
    term = statement.body.single
    if term is None or not term.bound or len(term.factors) != 1 or term.coefficient != 1:
        return
    base, exponent = term.factors[0]
    if not isinstance(base, Access) or exponent != 1 or base.tensor.name not in exponentials:
        return
    source = exponentials[base.tensor.name]
    inner = source.tree.args[0] if isinstance(source.tree, Call) else None
    axes = [k for k, e in enumerate(base.index) if e.as_index in term.bound]
    keeps = len(statement.free) == len(base.index)
    if inner is None or len(axes) != len(term.bound):
        return
    rest = [e.as_index for k, e in enumerate(base.index) if k not in axes]
    free = [i for k, i in enumerate(statement.free) if not keeps or k not in axes]
    if rest != free:
        return  # a slice or a diagonal is summed, not whole rows
    entries = [Affine.of(i) for k, i in enumerate(source.free) if keeps or k not in axes]
    if keeps:
        entries = [Affine.of(0) if k in axes else e for k, e in enumerate(entries)]
    body = access(source.out, source.free) * access(statement.out, entries).power(-1)
    axis: Tree = integer(axes[0]) if len(axes) == 1 else Items(tuple(map(integer, axes)))
    yield Statement(
        Tensor(f"_softmax{statement.out.name}", source.out.shape),
        source.free,
        body,
        Call("softmax", (inner,), (("axis", axis),)),
        hidden=True,
        line=statement.line,
    )


def _sigmoid(statement: Statement, exponentials: dict[str, Statement]) -> Iterator[Statement]:
    """``u = 1 + exp(z)``: the companion is ``exp(z) / u``, which is sigmoid(z)."""
    terms = statement.body.terms
    if len(terms) != 2:
        return
    one = next((t for t in terms if not t.factors and t.coefficient == 1), None)
    other = next((t for t in terms if t is not one), None)
    if one is None or other is None or other.bound or other.coefficient != 1:
        return
    if len(other.factors) != 1 or other.factors[0][1] != Fraction(1):
        return
    base = other.factors[0][0]
    if not isinstance(base, Access) or base.tensor.name not in exponentials:
        return
    source = exponentials[base.tensor.name]
    if source.out.shape != statement.out.shape or not isinstance(source.tree, Call):
        return
    body = atom(base) * access(statement.out, statement.free).power(-1)
    yield Statement(
        Tensor(f"_sigmoid{statement.out.name}", statement.out.shape),
        statement.free,
        body,
        Call("sigmoid", source.tree.args),
        hidden=True,
        line=statement.line,
    )
