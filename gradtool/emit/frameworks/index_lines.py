"""Lines that only index notation says, in a framework's words.

Every entry that is accessed is gathered into an array over the indices that it mentions, and the
products of these arrays are summed by einsum.  Scalar functions and 0/1 factors are evaluated over
their own indices first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from gradtool.emit.frameworks.words import Words
from gradtool.emit.numpy_access import singular_at_zero
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_words import Kind
from gradtool.emit.text import line
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, MatrixFunction, Reshape, Scan, Statement
from gradtool.ir.index import Affine, Index, Label, Tensor, nonnegative
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Factor,
    Function,
    Group,
    Iverson,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
)
from gradtool.ir.poly import Number as PolyNumber
from gradtool.ir.tree import (
    Call,
    Items,
    Literal,
    Name,
    Number,
    Slice,
    Tree,
    call,
    integer,
    replace_names,
)
from gradtool.ir.walk import accesses
from gradtool.ops.affine import affine_tree
from gradtool.ops.shape import dim_tree
from gradtool.records import replace

# What stands in the padding of a maximum is far below; a float32 cannot hold it.
_LOWEST = Fraction(10**200)
_RELATIONS = {">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_KINDS: Mapping[str, Kind] = {"real": "real", "bool": "bool", "index": "int"}
_ONE = Number(Fraction(1), "1.0")

Line = tuple[str, Tree]


def index_lines(module: ModuleNames, words: Words, name: str, tree: Tree) -> list[Line]:
    """The lines ``name = …`` of a spec's expression, in the words of the framework.

    Raises:
        UnsupportedError: something in it has no text.
    """
    reader = module.reader
    start = len(reader.build.statements)
    shared, scope = dict(reader.build.shared), dict(reader.build.scope)
    reader.build.shared.clear()
    try:
        reader.read(line(name, tree))
        made = reader.build.statements[start:]
    finally:
        reader.build.scope.clear()
        reader.build.scope.update(scope)
        reader.build.shared = shared
        del reader.build.statements[start:]
    found: list[Line] = []
    called: dict[str, Tensor] = {}
    for number, statement in enumerate(made):
        out = statement.out
        last = number == len(made) - 1
        spelled = module.python(name) if last else module.fresh("part")
        if not last:
            called[out.name] = Tensor(spelled, out.shape, out.kind, out.labels)
            module.define(called[out.name])
        found.append((spelled, _statement(words, statement, called)))
    return found


def _statement(words: Words, statement: AnyStatement, called: Mapping[str, Tensor]) -> Tree:
    by: dict[str, Tree] = {old: Name(new.name) for old, new in called.items()}
    match statement:
        case Reshape(operand=operand, out=out):
            shape = Items(tuple(map(dim_tree, out.shape)))
            return words.real(call("reshape", by.get(operand.name, Name(operand.name)), shape))
        case MatrixFunction(tree=tree):
            return words.real(replace_names(tree, by))
        case Scan():
            raise UnsupportedError(f"a loop inside an expression in {words.framework} code")
    evaluation = _Evaluation(words, called)
    if statement.reduce == "sum":
        return evaluation.spread(statement.body, statement.free)
    return evaluation.best(statement)


class _Evaluation:
    def __init__(self, words: Words, called: Mapping[str, Tensor]) -> None:
        self.words = words
        self.called = called

    # -- whole statements ------------------------------------------------------------------

    def spread(self, body: Poly, free: Sequence[Index]) -> Tree:
        """The expression as an array of exactly the axes `free`."""
        value, _ = self.value(body, free)
        live = [index for index in free if index in body.indices]
        if len(live) == len(free):
            return value
        shape = Items(tuple(dim_tree(i.size) for i in free))
        if not live:
            zeros = self.words.typed(call("zeros", shape))[0]
            return call("add", zeros, value) if body.terms else zeros
        return call(f"{self.library}.broadcast_to", value, self.words.position(shape))

    @property
    def library(self) -> str:
        return "torch" if self.words.framework == "PyTorch" else "jnp"

    def best(self, statement: Statement) -> Tree:
        """The best over bound indices."""
        order = (*statement.free, *statement.bound)
        value = self.spread(statement.body, order)
        count = len(statement.bound)
        axes = Items(tuple(integer(k - count) for k in range(count)))
        torch = self.library == "torch"
        if statement.reduce in ("max", "min"):
            name = f"a{statement.reduce}" if torch else statement.reduce
            return Call(name, (value,), (("dim" if torch else "axis", axes),))
        if statement.reduce == "argmin":
            value = call("neg", value)
        return self.words.need("argbest", value, axes)

    # -- expressions -----------------------------------------------------------------------

    def value(self, body: Poly, order: Sequence[Index]) -> tuple[Tree, Kind]:
        """The expression as something that broadcasts to the axes `order`."""
        if not body.terms:
            return integer(0), "size"
        result: Tree | None = None
        kinds: set[Kind] = set()
        for term in body.terms:
            negative = result is not None and term.coefficient < 0
            one = replace(term, coefficient=-term.coefficient) if negative else term
            shown, kind = self.term(one, order)
            kinds.add(kind)
            result = shown if result is None else call("sub" if negative else "add", result, shown)
        assert result is not None
        return result, "real" if "real" in kinds else "size"

    def term(self, term: Term, order: Sequence[Index]) -> tuple[Tree, Kind]:
        if abs(term.coefficient) >= _LOWEST:
            raise UnsupportedError(
                f"a maximum over padding inside index notation in {self.words.framework} code",
                hint="give the pooling a line of its own",
            )
        scalars = [f for f in term.factors if not f[0].indices]
        arrays = [f for f in term.factors if f[0].indices]
        plain = [f for f in arrays if not _is_truth(f[0])]
        truths = [f[0] for f in arrays if _is_truth(f[0])]
        truths += dict.fromkeys(g for f in plain for g in _outside(*f) if g not in truths)
        inner = [i for i in order if any(i in a.indices for a, _ in arrays)]
        every = [*inner, *term.bound]
        product, kind = self._product(plain, truths, inner, every, order)
        for base, exponent in scalars:
            shown, own = self.atom(base, ())
            kind = "real" if own == "real" else kind
            shown = self._power(shown, exponent)
            product = shown if product == _ONE else call("mul", product, shown)
        return self._scaled(term.coefficient, product), kind

    def _product(
        self,
        plain: Sequence[Factor],
        truths: Sequence[Atom],
        inner: Sequence[Index],
        every: Sequence[Index],
        order: Sequence[Index],
    ) -> tuple[Tree, Kind]:
        """The factors with indices, multiplied and summed, with an axis for each of `order`."""
        if not plain and not truths:
            return _ONE, "size"
        if truths:
            # Where a 0/1 factor is 0, the others need not be finite: they are masked.
            mask = self.atom(truths[0], every)[0]
            for truth in truths[1:]:
                mask = call("logical_and", mask, self.atom(truth, every)[0])
            rest = self._dense(plain, every)
            whole = call(f"{self.library}.where", mask, rest, _zero(self, rest))
            return self._summed(whole, inner, every, order), "real"
        letters = dict(zip(every, "abcdefghijklmnopqrstuvwxyz", strict=False))
        operands: list[Tree] = []
        patterns: list[str] = []
        for base, exponent in plain:
            own = [i for i in every if i in base.indices]
            # Windows are padded with zeros, by which nothing is divided.
            slides = (
                self._windows(base, inner) if isinstance(base, Access) and exponent > 0 else None
            )
            if slides is None:
                operand, axes = self.factor(base, exponent, own), own
            else:
                operand, axes = self._power(slides[0], exponent), [*slides[1]]
            operands.append(operand)
            patterns.append("".join(letters[i] for i in axes))
        target = "".join(letters[i] for i in inner)
        if patterns == [target]:
            return self._placed(operands[0], inner, order), "real"
        spec = Literal(f"{','.join(patterns)}->{target}")
        made = call(f"{self.library}.einsum", spec, *operands)
        return self._placed(made, inner, order), "real"

    def _dense(self, plain: Sequence[Factor], every: Sequence[Index]) -> Tree:
        result: Tree = _ONE
        for base, exponent in plain:
            own = [i for i in every if i in base.indices]
            shown = self._placed(self.factor(base, exponent, own), own, every)
            result = shown if result == _ONE else call("mul", result, shown)
        return result

    def _summed(
        self, whole: Tree, inner: Sequence[Index], every: Sequence[Index], order: Sequence[Index]
    ) -> Tree:
        bound = len(every) - len(inner)
        if bound:
            axes = Items(tuple(integer(k - bound) for k in range(bound)))
            whole = Call("sum", (whole,), (("dim" if self.library == "torch" else "axis", axes),))
        return self._placed(whole, inner, order)

    def _placed(self, tree: Tree, own: Sequence[Index], order: Sequence[Index]) -> Tree:
        """An array over `own`, a subsequence of `order`, with axes of size one for the others."""
        entries: list[Tree] = [
            Slice(None, None, None) if index in own else Literal(None) for index in order
        ]
        while entries and isinstance(entries[0], Literal):
            entries.pop(0)
        if not any(isinstance(e, Literal) for e in entries):
            return tree
        return call("getitem", tree, Items(tuple(entries)))

    def _power(self, tree: Tree, exponent: Fraction) -> Tree:
        if exponent == 1:
            return tree
        return call("pow", tree, Number(exponent, _decimal(exponent)))

    def _scaled(self, coefficient: Fraction, tree: Tree) -> Tree:
        if coefficient == 1:
            return tree
        if tree == _ONE:
            return Number(coefficient, _decimal(coefficient))
        if coefficient == -1:
            return call("neg", tree)
        top, bottom = coefficient.numerator, coefficient.denominator
        shown = tree if top == 1 else call("mul", integer(top), tree)
        return shown if bottom == 1 else call("div", shown, integer(bottom))

    # -- atoms -----------------------------------------------------------------------------

    def factor(self, base: Atom, exponent: Fraction, own: Sequence[Index]) -> Tree:
        """A power of a real array over exactly the indices `own`.

        What is divided by is 1 outside its array, where another factor is 0.
        """
        if exponent < 0 and isinstance(base, Access):
            return self._power(self.access(base, own, fill=1), exponent)
        return self._power(self.array(base, own), exponent)

    def array(self, base: Atom, own: Sequence[Index]) -> Tree:
        """A factor as a real array over exactly the indices `own`."""
        if isinstance(base, Access):
            return self.access(base, own)
        return self.words.cast(*self.atom(base, own))

    def atom(self, base: Atom, own: Sequence[Index]) -> tuple[Tree, Kind]:
        match base:
            case Access():
                return self.access(base, own), "real"
            case Symbol(name=name):
                return self.words.typed(Name(name))
            case Size(dim=dim):
                return self.size(dim), "size"
            case PolyNumber(value=value):
                return Number(value, _decimal(value)), "size"
            case Iverson(relation=relation, value=value):
                return call(relation, self.positions(value, own), integer(0)), "bool"
            case Position(value=value):
                return self.words.cast(self.positions(value, own), "int"), "real"
            case Compare(relation=relation, left=left, right=right):
                sides = (self.value(side, own)[0] for side in (left, right))
                return call(_RELATIONS[relation], *sides), "bool"
            case Function(name="pow", args=(argument, exponent)):
                sides = (self.words.cast(*self.value(p, own)) for p in (argument, exponent))
                return call("pow", *sides), "real"
            case Function(name=name, args=(argument,)):
                return self._applied(name, argument, own), "real"
            case Group(poly=poly):
                return self.value(poly, own)
        raise UnsupportedError(f"{base.key} in {self.words.framework} code")

    def _applied(self, name: str, argument: Poly, own: Sequence[Index]) -> Tree:
        inner, kind = self.value(argument, own)
        if kind == "size":
            inner = self.words.number_array(inner)
        text = self.words.functions.get(name)
        if text is None:
            raise UnsupportedError(f"the word {name} in {self.words.framework} code")
        if text.startswith("_"):
            return self.words.need(text[1:], inner)
        return call(text, inner)

    def access(self, base: Access, own: Sequence[Index], fill: int = 0) -> Tree:
        """The entries as an array over `own`, `fill` outside."""
        tensor = self.called.get(base.tensor.name, base.tensor)
        source, kind = Name(self.words.names.python(tensor.name)), _KINDS[tensor.kind]
        if not base.index:
            return source
        if tuple(e.as_index for e in base.index) == tuple(own) and all(
            e.as_index is not None and e.as_index.size == d
            for e, d in zip(base.index, tensor.shape, strict=True)
        ):
            return self.words.cast(source, kind)
        plain = [e.as_index for e in base.index]
        if len(set(plain)) == len(plain) and all(
            i in own and i is not None and i.size == d
            for i, d in zip(plain, tensor.shape, strict=True)
        ):
            letter = {index: chr(ord("a") + k) for k, index in enumerate(own)}
            pattern = "".join(letter[i] for i in plain if i is not None)
            spec = Literal(f"{pattern}->{''.join(sorted(pattern))}")
            return call(f"{self.library}.einsum", spec, self.words.cast(source, kind))
        index = tuple(self.positions(e, own) for e in base.index)
        if all(e.within(d) for e, d in zip(base.index, tensor.shape, strict=True)):
            return self.words.cast(call("getitem", source, Items(index)), kind)
        outside = {"fill": integer(fill)} if fill else {}
        return self.words.need("entries", self.words.cast(source, kind), *index, **outside)

    def _windows(self, base: Access, outer: Sequence[Index]) -> tuple[Tree, Sequence[Index]] | None:
        """Entries such as ``X[n, c, 2*i + p - 1]`` as windows, with the axes that they have.

        None unless the last axes are accessed by one index of `outer` and one other each, and
        all axes before them by an index each, over their whole length.
        """
        lead: list[Index] = []
        windows: list[Index] = []
        entries: list[Index] = []
        options: list[tuple[Dim, Dim, Dim, Dim, Dim]] = []
        for entry, length in zip(base.index, base.tensor.shape, strict=True):
            index = entry.as_index
            if index is not None and index.size == length and not windows:
                lead.append(index)
                continue
            places = [(p, c) for p, c in entry.terms if isinstance(p, Index)]
            first = [p for p, _ in places if p in outer]
            if len(places) != 2 or len(entry.terms) != 2 or len(first) != 1:
                return None
            (window,) = first
            stride = entry.coefficient(window)
            inner, dilation = next((p, c) for p, c in places if p != window)
            reach = (window.size - 1) * stride + (inner.size - 1) * dilation + 1
            after = reach + entry.const - length
            if not all(map(nonnegative, (stride - 1, dilation - 1, -entry.const, after))):
                return None
            windows.append(window)
            entries.append(inner)
            options.append((inner.size, stride, -entry.const, after, dilation))
        axes = (*lead, *windows, *entries)
        if not windows or len(set(axes)) < len(axes):
            return None
        sizes, strides, before, behind, dilations = (
            tuple(map(self.size, column)) for column in zip(*options, strict=True)
        )
        pads = Items(tuple(map(Items, zip(before, behind, strict=True))))
        tensor = self.called.get(base.tensor.name, base.tensor)
        name = Name(self.words.names.python(tensor.name))
        source = self.words.cast(name, _KINDS[tensor.kind])
        arguments = (source, Items(sizes), Items(strides), pads, Items(dilations))
        return self.words.need("windows", *arguments), axes

    def positions(self, entry: Affine, order: Sequence[Index]) -> Tree:
        """An index expression as integers that broadcast over `order`."""

        def position(place: Index | Label) -> Tree:
            if isinstance(place, Index):
                spaced: Tree = self.words.position(call("arange", dim_tree(place.size)))
                return self._placed(spaced, [place], order)
            tensor = self.called.get(place.tensor.name, place.tensor)
            source: Tree = Name(self.words.names.python(tensor.name))
            return self._label(source, place, tensor, order) if place.index else source

        return affine_tree(entry, position, self.size)

    def _label(self, source: Tree, label: Label, tensor: Tensor, order: Sequence[Index]) -> Tree:
        """The labels over `order`; outside of their array any label does, another factor is 0."""
        own = [e.as_index for e in label.index]
        inner = [i for i in order if i in label.index_set]
        if own == inner and all(
            i is not None and i.size == d for i, d in zip(own, tensor.shape, strict=True)
        ):
            return self._placed(source, inner, order)
        places = tuple(self.positions(e, order) for e in label.index)
        if all(e.within(d) for e, d in zip(label.index, tensor.shape, strict=True)):
            return call("getitem", source, Items(places))
        return self.words.need("entries", source, *places)

    def size(self, dim: Dim) -> Tree:
        return self.words.position(dim_tree(dim))


def _outside(base: Atom, exponent: Fraction) -> Iterator[Iverson]:
    """The 0/1 factors under which a function is read inside of its arrays.

    Outside another factor is 0, and the function need not have a value there.
    """
    if isinstance(base, Access) or not singular_at_zero(base, exponent):
        return
    for entry in accesses(Poly((Term(Fraction(1), ((base, exponent),)),))):
        for guard in entry.guards:
            if guard.decided is None:
                yield guard.oriented


def _is_truth(base: Atom) -> bool:
    return isinstance(base, Iverson | Compare)


def _zero(evaluation: _Evaluation, other: Tree) -> Tree:
    """What stands where a mask is false; an array when the other choice is a plain number."""
    zero = Number(Fraction(0), "0.0")
    return evaluation.words.number_array(zero) if other == _ONE else zero


def _decimal(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))
