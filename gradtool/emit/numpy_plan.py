"""Which lines an emitted module has, and what its cache carries from forward to backward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING

from gradtool.derive.naming import telling_name
from gradtool.emit.array_inplace import is_inexact
from gradtool.emit.array_seed import seeded
from gradtool.emit.numpy_arguments import with_arguments
from gradtool.emit.numpy_closed import ClosedLines
from gradtool.emit.numpy_functions import Function, Signature, backward_function, forward_function
from gradtool.emit.numpy_index import line_steps, needs_index, statement_steps
from gradtool.emit.numpy_layout import assignment
from gradtool.emit.numpy_loops import backward_loop, forward_loop
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_optimise import optimised
from gradtool.emit.numpy_sizes import read_sizes
from gradtool.emit.numpy_steps import Step, once, ordered, shared, simple, with_products
from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    Loop,
    MatrixFunction,
    Reshape,
    Scan,
    Statement,
    operands,
)
from gradtool.ir.index import Tensor
from gradtool.ir.tree import (
    Call,
    Items,
    Name,
    Tree,
    call,
    children,
    count_name,
    integer,
    names,
    replace_names,
    size_of,
)
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation
    from gradtool.derive.line import Block, Line


class Plan(Struct, frozen=True):
    """A module: its two functions, and name, variable and shape of each gradient."""

    forward: Function
    backward: Function
    gradients: tuple[tuple[str, str, str], ...]
    needs: frozenset[str]


def plan_of(spec: LayerSpec, derivation: Derivation) -> Plan:
    return _Planner(spec, derivation).plan()


class _Planner:
    def __init__(self, spec: LayerSpec, derivation: Derivation) -> None:
        self.spec = spec
        self.derivation = derivation
        self.graph = _with_arguments(derivation.graph)
        seed = f"d{self.graph.outputs[0]}" if derivation.is_loss else None
        self.module = ModuleNames(derivation, seed)
        self.inputs = {self.module.python(v.name): v for v in spec.variables}
        self.sizes = self._size_names()

    def _size_names(self) -> tuple[str, ...]:
        """Every named size, those of labels and shapes included."""
        found = dict.fromkeys(self.graph.dimensions)
        for tensor in self.graph.tensors.values():
            for dim in tensor.shape:
                found.update(dict.fromkeys(sorted(dim.symbols)))
        return tuple(name for name in found if name not in self.graph.constants)

    def plan(self) -> Plan:
        inner = self._inner()
        backward_lines = [line for line in self.derivation.lines if line.role != "inner"]
        self.named = {name: line.name for name, line in inner.items()}
        for name, line in inner.items():
            statement = self.graph.definitions.get(name)
            if isinstance(statement, Statement) and statement.reduce in ("argmax", "argmin"):
                self.module.selectors[line.name] = statement
        self.cotangents = {
            self.derivation.cotangents.of[line.of].name: line.name
            for line in backward_lines if line.of
        }  # fmt: skip
        # What a loop returns has a line of the loop, whatever it is a part of.
        self.cotangents |= {x.name: x.name for x in backward_lines if x.block is not None}
        backward = self._backward_steps(backward_lines)
        forward, computed = self._forward_steps(inner, backward)
        late = [line for line in inner.values() if line.name not in computed]
        extra: list[Step] = []
        for line in late:
            if needs_index(line.tree):
                extra += line_steps(self.module, line.name, line.tree)
            else:
                extra.append(simple(self.module, line.name, line.tree))
        backward = _reached([*extra, *backward], self._results())
        forward = with_products(self.module, forward)
        backward = with_products(self.module, self._seeded(once(backward)))
        backward = shared(self.module, backward)
        upstream = () if self.module.seed is not None else tuple(self._upstream_names())
        backward = optimised(
            self.module, backward, self._inexact(forward), upstream, self._results()
        )
        backward = _reached(backward, self._results())
        forward, backward = self._early(forward, backward)
        forward, backward, cache, keywords = self._meet(forward, backward)
        results = tuple(self.module.python(field) for field, _, _ in self._fields())
        signature = Signature(
            self.module, self.graph, self.inputs, self._upstream_names(), self._outputs(), results,
            self.folded,
        )  # fmt: skip
        return Plan(
            forward_function(signature, forward, cache, keywords),
            backward_function(signature, backward, cache),
            tuple(self._fields()),
            frozenset(self.module.needs),
        )

    def _seeded(self, backward: list[Step]) -> list[Step]:
        """The steps with the upstream gradient of a loss in them, where that can be done."""
        self.folded = False
        if self.module.seed is None:
            return backward
        seed = self.module.python(self.module.seed)
        found = seeded(self.module, backward, self._cotangents(), seed)
        self.folded = found is not None
        return backward if found is None else found

    def _cotangents(self) -> frozenset[str]:
        lines = [line.name for line in self.derivation.lines if line.role != "inner"]
        return frozenset(map(self.module.python, (*lines, *self.cotangents.values())))

    def _inexact(self, forward: Sequence[Step]) -> frozenset[str]:
        """Forward values that are floating point even when the arguments are integers."""
        found: set[str] = set()
        for step in forward:
            if step.value is not None and is_inexact(step.value, found):
                found.add(step.defines)
        return frozenset(found)

    def _early(self, forward: list[Step], backward: list[Step]) -> tuple[list[Step], list[Step]]:
        """Windows and winners that only the forward pass decides are made there, once."""
        known = {*self.inputs, *(s.defines for s in forward), "dtype"}
        known |= set(map(self.module.python, (*self.sizes, *self.graph.constants)))
        made = set(self.module.made.values())
        early: list[Step] = []
        late: list[Step] = []
        for step in backward:
            if step.defines in made and step.reads - {"np"} <= known:
                known.add(step.defines)
                early.append(step)
            else:
                late.append(step)
        return once([*forward, *early]), late

    # -- gradients ------------------------------------------------------------------------

    def _fields(self) -> Iterable[tuple[str, str, str]]:
        asked = {line.of for line in self.derivation.lines if line.role == "gradient"}
        asked |= set(self.derivation.zero)
        variables = [v.name for v in self.spec.variables]
        inner = [s.out.name for s in self.graph.statements]
        for name in (*variables, *inner):
            if name in asked:
                yield f"d{name}", name, shape_text(self.graph.tensors[name].shape)

    def _results(self) -> frozenset[str]:
        return frozenset(self.module.python(field) for field, _, _ in self._fields())

    # -- forward --------------------------------------------------------------------------

    def _inner(self) -> dict[str, Line]:
        """Hidden values that the backward pass names: hidden tensor to its line."""
        found: dict[str, Line] = {}
        for line in self.derivation.lines:
            if line.role == "inner":
                hidden = line.of in self.graph.definitions
                found[line.of if hidden else f"?{line.name}"] = line
        return found

    def _forward_steps(
        self, inner: dict[str, Line], backward: Sequence[Step]
    ) -> tuple[list[Step], set[str]]:
        """The lines of the forward pass, and the inner values that they compute."""
        read = {name for step in backward for name in step.reads}
        read |= {name for line in inner.values() for name in names(line.tree)}
        roots = set(self.graph.outputs) | {
            s.out.name
            for s in self.graph.statements
            if not s.hidden and self.module.python(s.out.name) in read
        }
        # Winners and windows are found once, in the forward pass.
        roots |= {n for n, line in inner.items()
                  if n in self.graph.definitions and needs_index(line.tree)}  # fmt: skip
        roots |= self.named.keys() - inner.keys()
        live = self._live(roots)
        uses = {name: 0 for name in live}
        forced: set[str] = set()
        for statement in self.graph.statements:
            if statement.out.name not in live:
                continue
            tree = None if isinstance(statement, Scan) else self._tree_of(statement)
            if tree is None:
                forced |= operands(statement) & live
                continue
            for name in names(tree) & live:
                uses[name] += count_name(tree, name)
        written: dict[str, Tree] = {}
        steps: list[Step] = []
        computed: set[str] = set()
        loops: set[Loop] = set()
        for statement in self.graph.statements:
            name = statement.out.name
            if name not in live:
                continue
            if isinstance(statement, Scan):
                if statement.loop not in loops:
                    loops.add(statement.loop)
                    steps += self._loop(statement.loop, live)
                continue
            own = self._tree_of(statement)
            tree = None if own is None else replace_names(own, written)
            if not statement.hidden:
                target = name
            elif name in self.named:
                target = self.named[name]
                computed.add(target)
            elif tree is None or name in forced or (uses[name] > 1 and size_of(tree) > 4):
                target = telling_name(statement.tree, self.module.taken)
                self.module.taken.add(target)
                out = statement.out
                self.module.define(Tensor(target, out.shape, out.kind, out.labels))
            else:
                written[name] = tree
                continue
            if statement.hidden:
                written[name] = Name(target)
            if tree is not None:
                steps.append(simple(self.module, target, tree))
                continue
            assert isinstance(statement, Statement)
            known = {k: v.id for k, v in written.items() if isinstance(v, Name)}
            steps += statement_steps(self.module, target, statement, known)
        return steps, computed

    def _loop(self, loop: Loop, live: set[str]) -> list[Step]:
        scans = [
            s
            for s in self.graph.statements
            if isinstance(s, Scan) and s.loop is loop and s.out.name in live
        ]

        def plan(body: Graph, named: Mapping[str, str]) -> list[Step]:
            inner = copy(self)
            inner.graph, inner.named = _with_arguments(body), dict(named)
            return inner._forward_steps({}, ())[0]

        return forward_loop(self.module, loop, scans, plan)

    def _tree_of(self, statement: AnyStatement) -> Tree | None:
        """How a statement is written in array operations; None when only index notation does."""
        if not needs_index(statement.tree):
            return statement.tree
        match statement:
            case Reshape(operand=operand, out=out):
                shape = Items(tuple(dim_tree(d) for d in out.shape))
                return call("reshape", Name(operand.name), shape)
            case MatrixFunction(function=function, operands=several):
                return call(function, Name(several[0].name))
            case _:
                return None

    def _live(self, roots: set[str]) -> set[str]:
        live = set(roots)
        for statement in reversed(self.graph.statements):
            if statement.out.name in live:
                tree = None if isinstance(statement, Scan) else self._tree_of(statement)
                used = operands(statement) if tree is None else names(tree)
                live |= used & set(self.graph.definitions)
        return live

    # -- backward -------------------------------------------------------------------------

    def _backward_steps(self, lines: Sequence[Line]) -> list[Step]:
        steps: list[Step] = []
        blocks: set[Block] = set()
        closed = ClosedLines(self.module, self.derivation, self.named, self.cotangents)
        for line in lines:
            own = line.role == "gradient"
            if line.block is not None:
                if line.block not in blocks:
                    blocks.add(line.block)
                    results = [other.name for other in lines if other.block is line.block]
                    steps += backward_loop(self.module, line.block, results)
                continue
            if needs_index(line.tree) or names(line.tree) & set(self.module.selectors):
                steps += closed.steps(line)
            elif _scatters(line.tree):
                steps += line_steps(self.module, line.name, line.tree)
            else:
                steps.append(simple(self.module, line.name, line.tree, own=own))
        for name in self.derivation.zero:
            whole = self.graph.tensors[name].shape
            shape = tuple(dim_tree(d) for d in whole)
            tree: Tree = call("zeros", Items(shape)) if shape else integer(0)
            field = f"d{name}"
            self.module.define(Tensor(field, whole))
            steps.append(simple(self.module, field, tree))
        return steps

    # -- the cache ------------------------------------------------------------------------

    def _meet(
        self, forward: list[Step], backward: list[Step]
    ) -> tuple[list[Step], list[Step], tuple[str, ...], tuple[str, ...]]:
        """What backward needs from forward; sizes are taken from shapes where possible."""
        given = self._upstream_names()
        own = {step.defines for step in backward}
        needed = {n for step in backward for n in step.reads} - own - set(given)
        made = {step.defines for step in forward}
        constants = [self.module.python(n) for n in self.graph.constants]
        arrays = [n for n in (*self.inputs, *(s.defines for s in forward)) if n in needed]
        sizes = [n for n in map(self.module.python, self.sizes) if n in needed]
        shapes = [(name, shape) for name, shape in given.items()]
        shapes += [(name, self._shape_of(name)) for name in arrays]
        found = read_sizes(sizes, shapes)
        if "dtype" in needed:
            real = [n for n, shape in shapes if shape and self._is_real(n)]
            # What the forward pass made last depends on the most of it.
            earlier = [n for n in real if n in made][:-1]
            real = [n for n in real if n not in earlier]
            if real:
                found.append(_dtype(real))
        known = {name for step in found for name in step.defines.split(", ")}
        cache = arrays + [n for n in [*sizes, *constants, "dtype"]
                          if n in needed and n not in known]  # fmt: skip
        forward = _reached(forward, frozenset({*self._outputs(), *cache}))
        wanted = {n for step in forward for n in step.reads} | set(cache)
        # The shapes of inputs give the sizes that the forward pass needs.
        input_shapes = [(n, v.shape) for n, v in self.inputs.items()]
        asked = [n for n in map(self.module.python, self.sizes) if n in wanted and n not in made]
        head = read_sizes(asked, input_shapes)
        if "dtype" in wanted:
            head.append(
                _dtype([n for n, v in self.inputs.items() if v.shape and v.dtype == "real"])
            )
        got = {name for step in head for name in step.defines.split(", ")}
        keywords = tuple(n for n in asked if n not in got)
        return [*head, *forward], [*found, *backward], tuple(cache), keywords

    def _shape_of(self, spelled: str) -> tuple[Dim, ...]:
        for name, operand in self.module.reader.build.scope.items():
            if self.module.python(name) == spelled:
                return operand.shape
        return ()

    def _is_real(self, spelled: str) -> bool:
        for name, operand in self.module.reader.build.scope.items():
            if self.module.python(name) == spelled:
                return operand.kind == "real"
        return spelled in self._upstream_names()

    def _upstream_names(self) -> dict[str, tuple[Dim, ...]]:
        if self.module.seed is not None:
            return {self.module.python(self.module.seed): ()}
        return {
            self.module.python(name): shape for name, shape in self.derivation.upstream.values()
        }

    def _outputs(self) -> tuple[str, ...]:
        return tuple(self.module.python(name) for name in self.graph.outputs)


def _with_arguments(graph: Graph) -> Graph:
    return replace(graph, statements=with_arguments(graph.statements))


def _dtype(arrays: Sequence[str]) -> Step:
    """The type of what is allocated: that of the arrays together, and never an integer.

    An array of integers would take the fractions that are put into it as 0.
    """
    given = [Name(name) for name in arrays]
    tree = call("np.result_type", *given, Name("float" if not given else "0.0"))
    return Step("dtype", assignment("dtype", "=", tree), frozenset(arrays))


def _scatters(tree: Tree) -> bool:
    """Whether an expression is a dense array of mostly zeros: a one-hot, a chosen position."""
    if isinstance(tree, Call):
        if tree.op == "onehot":
            return True
        if tree.op == "eq" and any(
            isinstance(a, Call) and "arange" in _words(a) for a in tree.args
        ):
            return True
    return any(_scatters(child) for child in children(tree))


def _words(tree: Tree) -> frozenset[str]:
    own = frozenset({tree.op}) if isinstance(tree, Call) else frozenset[str]()
    return own.union(*(_words(child) for child in children(tree)))


def _reached(steps: list[Step], wanted: frozenset[str]) -> list[Step]:
    """The steps that the wanted names need."""
    needed = set(wanted)
    kept: list[Step] = []
    for step in reversed(ordered(steps)):
        if step.defines in needed:
            needed |= step.reads
            kept.append(step)
    return kept[::-1]
