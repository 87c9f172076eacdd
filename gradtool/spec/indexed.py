"""Index notation in specs: ``Y[n, f] = sum(X[n, c] * F[f, c], over=[c])``.

Names inside the brackets of an index statement are indices.  The range of an index is the largest
that keeps every access inside its array; it can be stated in ``over=[p < K]`` or, for a free
index, on the left side (``Y[i < M] = …``).  With ``outside=0`` entries outside an array count as
zero, and every range must then be stated or follow from a plain access.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

from gradtool.ir.dims import ONE, Dim, shape_text, total
from gradtool.ir.graph import Reduction
from gradtool.ir.index import Affine, Index, nonnegative
from gradtool.ir.poly import (
    NOTHING,
    UNIT,
    Access,
    Compare,
    Function,
    Iverson,
    Poly,
    Position,
    atom,
    number,
    size,
)
from gradtool.ir.tree import Call, Items, Name, Number, Tree, children, rebuild
from gradtool.ir.tree import names as names_in
from gradtool.ops.arithmetic import chosen
from gradtool.ops.build import Builder, Operand, span_of
from gradtool.ops.errors import OpError
from gradtool.ops.scalar import FUNCTIONS
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, field
from gradtool.spec.parse import Reader

_REDUCTIONS = ("sum", "mean", "max", "min")


def is_index_statement(target: ast.Subscript) -> bool:
    """Whether ``Y[n, f] = …`` names indices only (``H[:, t]`` does not)."""
    entries = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    return isinstance(target.value, ast.Name) and all(
        isinstance(e, ast.Name) or (isinstance(e, ast.Compare) and isinstance(e.left, ast.Name))
        for e in entries
    )


class IndexNotation(Struct):
    """One index statement being lowered.

    Attributes:
        taken: names of inputs and constants, which would mean two things in one line.
    """

    build: Builder
    taken: frozenset[str] = frozenset()
    ranges: dict[str, Dim] = field(default_factory=dict)
    outside: bool = False

    def statement(
        self, reader: Reader, target: ast.Subscript, value: ast.expr
    ) -> tuple[str, Operand]:
        """The name on the left and its value."""
        assert isinstance(target.value, ast.Name)
        entries = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        trees = [reader.expression(entry) for entry in entries]
        tree = reader.expression(value)
        return target.value.id, self.defined(trees, tree)

    def value(self, call: Call) -> Operand:
        """``sum(…, over=[i, j])`` as an expression without free indices."""
        return self.defined([], call)

    def defined(self, left: list[Tree], tree: Tree) -> Operand:
        free_names = [self._declared(entry) for entry in left]
        if len(set(free_names)) != len(free_names):
            raise OpError("an index stands twice on the left", span_of(left[0]))
        self._collect(tree)
        self._infer(tree, free_names)
        for name, entry in zip(free_names, left, strict=True):
            if name not in self.ranges:
                raise OpError(
                    f"the range of '{name}' is not known",
                    span_of(entry),
                    hint=f"state it: {name} < N",
                )
        free = [Index(f"{name}'", self.ranges[name]) for name in free_names]
        scope = {name: index for name, index in zip(free_names, free, strict=True)}
        if isinstance(tree, Call) and tree.op in ("argmax", "argmin"):
            return self._position(tree, left, free, scope)
        body = self._scalar(tree, scope)
        unknown = body.indices - {i for i in free}
        if unknown:
            names = ", ".join(sorted(i.name.rstrip("'") for i in unknown))
            raise OpError(f"the index {names} is neither on the left nor in over=", tree.span)
        written = Call("indexed", (Items(tuple(left)), self._written(tree)))
        return self.build.define(tuple(free), body, written)

    # -- ranges ---------------------------------------------------------------------------

    def _declared(self, entry: Tree) -> str:
        """``i`` or ``i < M``; records a stated range."""
        frame = self.build.frame
        first = entry.args[0] if isinstance(entry, Call) and entry.args else entry
        if frame is not None and isinstance(first, Name) and first.id == frame.step.name:
            raise OpError(
                f"'{first.id}' is the step of the loop, it cannot be an index",
                span_of(entry),
                hint="choose another letter",
            )
        if isinstance(first, Name) and first.id in self.taken:
            raise OpError(
                f"'{first.id}' is an input or a constant, it cannot be an index, too",
                span_of(entry),
                hint="choose another letter",
            )
        if isinstance(entry, Name):
            return entry.id
        if isinstance(entry, Call) and entry.op in ("lt", "le") and isinstance(entry.args[0], Name):
            name = entry.args[0].id
            stated = self.build.dim(entry.args[1], "a range")
            self.ranges[name] = stated + 1 if entry.op == "le" else stated
            return name
        raise OpError("an index is a name, or a name with its range: i < N", span_of(entry))

    def _collect(self, tree: Tree) -> None:
        """Stated ranges and the outside= mode, wherever they stand."""
        if isinstance(tree, Call):
            over = tree.keyword("over")
            if over is not None:
                for item in over.items if isinstance(over, Items) else (over,):
                    self._declared(item)
            outside = tree.keyword("outside")
            if outside is not None:
                if not isinstance(outside, Number) or outside.value != 0:
                    raise OpError("outside= can only be 0", span_of(outside))
                self.outside = True
        for child in children(tree):
            self._collect(child)

    def _infer(self, tree: Tree, free: list[str]) -> None:
        """Ranges from the accesses: plain ones first, then affine ones, until nothing changes."""
        names = set(free) | self._bound_names(tree)
        found = [
            (entry, axis, access)
            for access, operand in self._accesses(tree)
            for entry, axis in zip(_entries(access), operand.shape, strict=True)
        ]
        plain: dict[str, list[tuple[Dim, Tree]]] = {}
        for entry, axis, _ in found:
            if isinstance(entry, Name) and entry.id in names:
                plain.setdefault(entry.id, []).append((axis, entry))
        for name, sizes in plain.items():
            if name in self.ranges:
                continue
            different = {dim for dim, _ in sizes}
            if len(different) > 1:
                shown = " and ".join(sorted(map(str, different)))
                raise OpError(
                    f"index '{name}' runs over axes of the sizes {shown}",
                    span_of(sizes[1][1]),
                    hint=f"state the range: over=[{name} < …]",
                )
            self.ranges[name] = sizes[0][0]
        changed = not self.outside
        while changed:
            changed = False
            for entry, axis, _ in found:
                if isinstance(entry, Name) or self._is_label(entry):
                    continue
                unknown = [n for n in _names(entry) if n in names and n not in self.ranges]
                if len(unknown) == 1:
                    self._solve(entry, axis, unknown[0])
                    changed = True

    def _solve(self, entry: Tree, axis: Dim, name: str) -> None:
        """The largest range of one index that keeps an affine access inside its axis."""
        probe = Index(f"{name}'", Dim.of(name + "'"))
        scope = {n: Index(f"{n}'", d) for n, d in self.ranges.items()} | {name: probe}
        affine = self._affine(entry, scope)
        step = affine.coefficient(probe)
        rest = (affine - Affine.of(probe) * step).bounds()
        if rest is None or (not nonnegative(step - 1) and step.as_symbol is None):
            raise OpError(
                f"the range of '{name}' does not follow from this access",
                span_of(entry),
                hint=f"state it: {name} < …",
            )
        self.ranges[name] = (axis - 1 - rest[1]) // step + 1

    def _bound_names(self, tree: Tree) -> set[str]:
        found: set[str] = set()
        if isinstance(tree, Call):
            over = tree.keyword("over")
            if over is not None:
                for item in over.items if isinstance(over, Items) else (over,):
                    found.add(self._declared(item))
        for child in children(tree):
            found |= self._bound_names(child)
        return found

    def _accesses(self, tree: Tree) -> list[tuple[Call, Operand]]:
        found: list[tuple[Call, Operand]] = []
        if isinstance(tree, Call) and tree.op == "getitem" and isinstance(tree.args[0], Name):
            operand = self.build.operand(tree.args[0])
            entries = _entries(tree)
            if len(entries) != operand.rank:
                raise OpError(
                    f"{tree.args[0].id} has the shape {shape_text(operand.shape)}: "
                    f"{operand.rank} indices are needed, found {len(entries)}",
                    tree.span,
                )
            found.append((tree, operand))
        for child in children(tree):
            found += self._accesses(child)
        return found

    def _is_label(self, entry: Tree) -> bool:
        return isinstance(entry, Call) and entry.op == "getitem"

    # -- scalars --------------------------------------------------------------------------

    def _scalar(self, tree: Tree, scope: dict[str, Index]) -> Poly:
        """A scalar expression; sums inside functions become tensors of their own."""
        match tree:
            case Number(value=value):
                return number(value)
            case Name(id=name) if name in scope:
                return atom(Position(Affine.of(scope[name])))
            case Name():
                operand = self.build.operand(tree)
                if operand.rank:
                    raise OpError(
                        f"'{tree.id}' has the shape {shape_text(operand.shape)}: index it",
                        tree.span,
                    )
                return operand.at(())
            case Call(op="getitem"):
                return self._access(tree, scope)
            case Call(op=op) if op in _REDUCTIONS and tree.keyword("over") is not None:
                return self._reduction(tree, scope)
            case Call(op="add" | "sub" | "mul" | "floordiv") if self._is_size(tree):
                return size(self.build.dim(tree))  # (N - 2) is one number, not a sum
            case Call(op=op, args=args):
                rule = _SCALAR.get(op)
                if rule is not None and len(args) in (1, 2, 3):
                    return rule(self, tree, scope)
                if op in FUNCTIONS:
                    inner = self._flat(args[0], scope)
                    return atom(Function(op, (inner,)))
        raise OpError(
            "this cannot stand in an index statement",
            span_of(tree),
            hint="use + - * / **, functions of one entry, and sum(…, over=[…])",
        )

    def _is_size(self, tree: Tree) -> bool:
        """Whether an expression is made of sizes and integers only, and is an integer."""
        return bool(names_in(tree)) and self._is_integer(tree)

    def _is_integer(self, tree: Tree) -> bool:
        match tree:
            case Number(value=value):
                return value.denominator == 1
            case Name(id=name):
                integer = isinstance(self.build.constants.get(name), int)
                return (integer or name in self.build.dimensions) and name not in self.ranges
            case Call(op="add" | "sub" | "mul" | "floordiv" | "neg", args=args):
                return all(map(self._is_integer, args))
            case Call(op="pow", args=(base, Number(value=exponent))):
                return self._is_integer(base) and exponent in range(9)
        return False

    def _flat(self, tree: Tree, scope: dict[str, Index]) -> Poly:
        """A scalar without sums: a sum becomes a hidden tensor over the indices it uses."""
        body = self._scalar(tree, scope)
        if not any(term.bound for term in body.terms):
            return body
        used = sorted(body.indices, key=lambda i: i.name)
        made = self.build.define(tuple(used), body, self._inner(used, tree, scope))
        return made.at(tuple(Affine.of(i) for i in used))

    def _access(self, tree: Call, scope: dict[str, Index]) -> Poly:
        base = tree.args[0]
        if not isinstance(base, Name):
            raise OpError("index a name", span_of(base), hint="give the array a name first")
        operand = self.build.operand(base)
        entries = tuple(self._affine(entry, scope) for entry in _entries(tree))
        if operand.kind == "index":
            assert operand.position is not None
            raise OpError(f"'{base.id}' holds labels: use it as an index or compare it", tree.span)
        for entry, axis, written in zip(entries, operand.shape, _entries(tree), strict=True):
            if not self.outside and not entry.within(axis) and not self._assumed(entry, axis):
                raise OpError(
                    f"this may reach outside an axis of size {axis}",
                    span_of(written),
                    hint="state smaller ranges, pad the array first, or add outside=0",
                )
        if self.outside:
            source = self.build.materialise(operand)
            guard = UNIT
            for entry, axis in zip(entries, operand.shape, strict=True):
                if axis == ONE and entry != Affine.of(0):
                    guard = guard * atom(Iverson("eq", entry))
            clean = tuple(
                Affine.of(0) if axis == ONE else e
                for e, axis in zip(entries, operand.shape, strict=True)
            )
            return guard * atom(Access(source, clean))
        return operand.at(
            tuple(
                Affine.of(0) if axis == ONE else e
                for e, axis in zip(entries, operand.shape, strict=True)
            )
        )

    def _assumed(self, entry: Affine, axis: Dim) -> bool:
        """Record what must hold of the sizes for an access that is not provably inside."""
        bounds = entry.bounds()
        if bounds is None:
            return False
        low, high = bounds
        for need in (low, axis - 1 - high):
            if nonnegative(need):
                continue
            if need.as_int is not None:
                return False
            self.build.assume(need)
        return True

    def _affine(self, tree: Tree, scope: dict[str, Index]) -> Affine:
        match tree:
            case Name(id=name) if name in scope:
                return Affine.of(scope[name])
            case Call(op="add", args=(a, b)):
                return self._affine(a, scope) + self._affine(b, scope)
            case Call(op="sub", args=(a, b)):
                return self._affine(a, scope) - self._affine(b, scope)
            case Call(op="neg", args=(a,)):
                return -self._affine(a, scope)
            case Call(op="mul", args=(a, b)):
                left, right = self._affine(a, scope), self._affine(b, scope)
                for one, other in ((left, right), (right, left)):
                    if one.as_dim is not None:
                        return other * one.as_dim
                raise OpError("an index must be affine: no products of indices", tree.span)
            case Call(op="getitem", args=(Name() as base, _)):
                operand = self.build.operand(base)
                if operand.position is None:
                    raise OpError(f"'{base.id}' holds no labels: it cannot be an index", tree.span)
                return operand.position(
                    tuple(self._affine(entry, scope) for entry in _entries(tree))
                )
        if isinstance(tree, Name):
            operand = self.build.operand(tree)
            if operand.position is not None and operand.rank == 0:
                return operand.position(())
        return Affine.of(self.build.dim(tree, "an index"))

    def _reduction(self, tree: Call, scope: dict[str, Index]) -> Poly:
        over = tree.keyword("over")
        items = over.items if isinstance(over, Items) else (over,)
        bound: dict[str, Index] = {}
        for item in items:
            assert item is not None
            name = self._declared(item)
            if name in scope:
                raise OpError(f"index '{name}' is already in use", span_of(item))
            if name not in self.ranges:
                raise OpError(
                    f"the range of '{name}' is not known",
                    span_of(item),
                    hint=f"state it: over=[{name} < …]",
                )
            bound[name] = Index(f"{name}'", self.ranges[name])
        body = self._scalar(tree.args[0], {**scope, **bound})
        if tree.op in ("sum", "mean"):
            summed = body.over(bound.values())
            if tree.op == "mean":
                for index in bound.values():
                    summed = summed * size(index.size).power(-1)
            return summed
        if any(term.bound for term in body.terms):
            raise OpError("a sum inside a max needs a line of its own", tree.span)
        used = tuple(
            sorted((i for i in body.indices if i not in bound.values()), key=lambda i: i.name)
        )
        written = self._inner(used, tree, scope)
        reduce: Reduction = "max" if tree.op == "max" else "min"
        made = self.build.define(
            used,
            body,
            written,
            reduce=reduce,
            bound=tuple(bound.values()),
        )
        return made.at(tuple(Affine.of(i) for i in used))

    def _inner(self, used: Sequence[Index], tree: Tree, scope: Collection[str]) -> Tree:
        """How an inner value of an index statement is written on a line of its own.

        The value is the same for all values of an index of `scope` that is not `used`.
        """
        names = [i.name.rstrip("'") for i in used]
        left = tuple(
            Call("lt", (Name(name), dim_tree(i.size))) for name, i in zip(names, used, strict=True)
        )
        return Call("indexed", (Items(left), self._written(tree, frozenset(scope) - {*names})))

    def _position(
        self, tree: Call, left: list[Tree], free: list[Index], scope: dict[str, Index]
    ) -> Operand:
        """``best[i] = argmax(X[i, j], over=[j])``: where the best entry is, row-major."""
        over = tree.keyword("over")
        if over is None:
            raise OpError(f"{tree.op} in an index statement needs over=[…]", tree.span)
        items = over.items if isinstance(over, Items) else (over,)
        bound: dict[str, Index] = {}
        for item in items:
            name = self._declared(item)
            if name not in self.ranges:
                raise OpError(
                    f"the range of '{name}' is not known",
                    span_of(item),
                    hint=f"state it: over=[{name} < …]",
                )
            bound[name] = Index(f"{name}'", self.ranges[name])
        body = self._flat(tree.args[0], {**scope, **bound})
        labels = total(i.size for i in bound.values())
        written = Call("indexed", (Items(tuple(left)), self._written(tree)))
        return self.build.define(
            tuple(free),
            body,
            written,
            kind="index",
            reduce="argmax" if tree.op == "argmax" else "argmin",
            bound=tuple(bound.values()),
            labels=labels,
        )

    def _written(self, tree: Tree, anywhere: frozenset[str] = frozenset()) -> Tree:
        """The tree in names of tensors (a name may have been versioned).

        `anywhere` are indices of which any value will do: the first stands for them.
        """
        match tree:
            case Name(id=name) if name in self.build.scope:
                return self.build.scope[name].tree
            case Name(id=name) if name in anywhere:
                return Number(Fraction(0), "0")
            case _:
                return rebuild(tree, lambda child: self._written(child, anywhere))

    def truth(self, tree: Call, scope: dict[str, Index]) -> Poly:
        """A comparison: of indices when both sides are, of values otherwise."""
        a, b = tree.args
        try:
            left, right = self._affine(a, scope), self._affine(b, scope)
        except OpError:
            x, y = self._flat(a, scope), self._flat(b, scope)
            match tree.op:
                case "lt":
                    return atom(Compare(">", y, x))
                case "le":
                    return atom(Compare(">=", y, x))
                case "gt":
                    return atom(Compare(">", x, y))
                case "ge":
                    return atom(Compare(">=", x, y))
                case "eq":
                    return atom(Compare("==", x, y))
                case _:
                    return atom(Compare("!=", x, y))
        match tree.op:
            case "eq":
                return atom(Iverson("eq", left - right))
            case "ne":
                return UNIT - atom(Iverson("eq", left - right))
            case "ge":
                return atom(Iverson("ge", left - right))
            case "gt":
                return atom(Iverson("ge", left - right - 1))
            case "le":
                return atom(Iverson("ge", right - left))
            case _:
                return atom(Iverson("ge", right - left - 1))


def _entries(call: Call) -> tuple[Tree, ...]:
    index = call.args[1]
    return index.items if isinstance(index, Items) else (index,)


def _names(tree: Tree) -> list[str]:
    if isinstance(tree, Name):
        return [tree.id]
    return [name for child in children(tree) for name in _names(child)]


_Rule = Callable[[IndexNotation, Call, dict[str, Index]], Poly]


def _power(notation: IndexNotation, tree: Call, scope: dict[str, Index]) -> Poly:
    base, exponent = notation._flat(tree.args[0], scope), notation._scalar(tree.args[1], scope)
    if exponent.constant is not None:
        return base.power(exponent.constant)
    return atom(Function("pow", (base, exponent)))


def _where(notation: IndexNotation, tree: Call, scope: dict[str, Index]) -> Poly:
    condition, a, b = (notation._scalar(part, scope) for part in tree.args)
    return chosen(condition, a, b)


def _maximum(notation: IndexNotation, tree: Call, scope: dict[str, Index]) -> Poly:
    a, b = (notation._flat(part, scope) for part in tree.args)
    return chosen(atom(Compare(">=", a, b)), a, b)


_SCALAR: dict[str, _Rule] = {
    "add": lambda n, t, s: n._scalar(t.args[0], s) + n._scalar(t.args[1], s),
    "sub": lambda n, t, s: n._scalar(t.args[0], s) - n._scalar(t.args[1], s),
    "mul": lambda n, t, s: n._scalar(t.args[0], s) * n._scalar(t.args[1], s),
    "div": lambda n, t, s: n._scalar(t.args[0], s) * n._flat(t.args[1], s).power(-1),
    "floordiv": lambda n, t, s: size(n.build.dim(t)),
    "neg": lambda n, t, s: -n._scalar(t.args[0], s),
    "pow": _power,
    "sqrt": lambda n, t, s: n._flat(t.args[0], s).power(Fraction(1, 2)),
    "square": lambda n, t, s: n._flat(t.args[0], s).power(2),
    "relu": lambda n, t, s: _relu(n._flat(t.args[0], s)),
    "where": _where,
    "maximum": _maximum,
    **{word: (lambda n, t, s: n.truth(t, s)) for word in ("lt", "le", "gt", "ge", "eq", "ne")},
}


def _relu(x: Poly) -> Poly:
    return atom(Compare(">", x, NOTHING)) * x
