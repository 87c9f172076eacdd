"""The forward block of a spec, lowered line by line to a graph, with every mistake collected."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph
from gradtool.ir.index import Tensor
from gradtool.ir.poly import size
from gradtool.ir.tree import Call, Name, Number, Span, Tree
from gradtool.ops.build import Builder, Lowering, Operand, Unreadable, constant, of_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.registry import vocabulary
from gradtool.ops.shape import dim_tree
from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.indexed import IndexNotation, is_index_statement
from gradtool.spec.loop_frame import LoopFrame
from gradtool.spec.loops import Around, loaded_names, lower_loop, stored_names
from gradtool.spec.model import Block, LayerSpec, Place, Variable
from gradtool.spec.parse import ParseError, Reader, parse_block
from gradtool.spec.suggest import did_you_mean

Find = Callable[[str], LayerSpec | None]


@dataclass
class _Scope:
    """A forward block under way."""

    spec: LayerSpec
    build: Builder
    find: Find
    active: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)
    poisoned: set[str] = field(default_factory=set)  # names whose line failed
    last: str | None = None
    versions: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    sub: bool = False
    constants: Mapping[str, int | Fraction] = field(default_factory=dict)  # of the whole graph
    reserved: frozenset[str] = frozenset()  # names of the whole graph, to come or there
    rest: list[ast.stmt] = field(default_factory=list)  # the lines after the one under way
    elsewhere: frozenset[str] = frozenset()  # names that other lines assign


def graph_of(spec: LayerSpec, find: Find | None = None) -> Graph:
    """Lower the forward pass of a spec.

    Raises:
        SpecError: every mistake of the block, with line, column and shapes.
        UnsupportedError: a construct that is refused.
    """
    dimensions = _dimensions(spec)
    build = Builder(_Words(vocabulary()), dict(spec.constants), dimensions)
    scope = _Scope(
        spec, build, find or (lambda _: None), (spec.name,), constants=dict(spec.constants)
    )
    for variable in spec.variables:
        build.scope[variable.name] = of_tensor(tensor_of(variable))
    build.vocabulary = _Words(vocabulary(), scope)
    _run(scope)
    outputs = _outputs(scope)
    _no_cotangent_names(scope)
    if scope.problems:
        raise SpecError(scope.problems)
    return Graph(
        name=spec.name,
        inputs=tuple(tensor_of(v) for v in spec.variables),
        wanted=tuple(v.name for v in spec.variables if v.differentiable),
        statements=tuple(build.statements),
        outputs=outputs,
        constants=dict(spec.constants),
        assumptions=tuple(build.assumptions),
        remarks=tuple(scope.remarks),
        hints=dict(build.hints),
        distributions=frozenset(
            v.name
            for v in spec.variables
            if v.constant and v.domain.kind in ("probabilities", "one-hot")
        ),
    )


def tensor_of(variable: Variable) -> Tensor:
    return Tensor(variable.name, variable.shape, variable.dtype, variable.index)


def _dimensions(spec: LayerSpec) -> frozenset[str]:
    found: set[str] = set(spec.sizes)
    for variable in spec.variables:
        for dim in (*variable.shape, *([variable.index] if variable.index else [])):
            found |= dim.symbols
    return frozenset(found - set(spec.constants))


class _Words(Mapping[str, Lowering]):
    """The vocabulary, extended by other specs as functions and by index notation."""

    def __init__(self, words: Mapping[str, Lowering], scope: _Scope | None = None) -> None:
        self.words = words
        self.scope = scope

    def __getitem__(self, name: str) -> Lowering:
        if name in self.words:
            return self._checked(name, self.words[name]) if self.scope else self.words[name]
        if self.scope is not None:
            other = self._other(name)
            if other is not None:
                return other
        raise KeyError(name)

    def _shadowed(self, name: str) -> bool:
        return self.scope is not None and name in self.scope.build.scope

    def _checked(self, name: str, rule: Lowering) -> Lowering:
        def lower(build: Builder, call: Call) -> Operand:
            # Operators and methods cannot be hidden by a variable, a plain call can.
            if (
                self._shadowed(name)
                and not call.method
                and call.span is not None
                and (build.scope[name].tree == Name(name))
            ):
                raise OpError(
                    f"'{name}' is a variable here, it cannot be called",
                    call.span,
                    hint=f"use the method form, x.{name}(…), or rename the variable",
                )
            if call.keyword("over") is not None:
                return IndexNotation(build).value(call)
            return rule(build, call)

        return lower

    def _other(self, name: str) -> Lowering | None:
        scope = self.scope
        assert scope is not None
        if name in scope.active:
            cycle = " -> ".join((*scope.active, name))

            def cyclic(build: Builder, call: Call) -> Operand:
                raise OpError(f"specs use each other in a circle: {cycle}", call.span)

            return cyclic
        spec = scope.find(name)
        if spec is None:
            return None
        return lambda build, call: _use(scope, spec, call)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.words)

    def __len__(self) -> int:
        return len(self.words)


# -- lines --------------------------------------------------------------------------------


def _run(scope: _Scope) -> None:
    block = scope.spec.forward
    try:
        module = parse_block(block.text)
    except ParseError as error:
        scope.problems.append(_problem(scope, block, error.span, error.message, error.hint))
        return
    assigned = {
        node.id
        for node in ast.walk(module)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    # An index statement, F[j, k] = …, names its array too.
    assigned |= {
        node.value.id
        for node in ast.walk(module)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
    }
    if not scope.sub:
        scope.reserved = frozenset(assigned | set(scope.build.scope))
    reader = Reader(block.text.split("\n"), assigned | set(scope.build.scope))
    for place, statement in enumerate(module.body):
        scope.rest = module.body[place + 1 :]
        scope.elsewhere = frozenset().union(
            *(stored_names(other) for other in module.body if other is not statement)
        )
        _guarded(scope, reader, statement)


def _guarded(scope: _Scope, reader: Reader, statement: ast.stmt) -> bool:
    """Lower a line and collect its mistakes; False when it has one."""
    block = scope.spec.forward
    scope.build.lowered.clear()
    scope.build.line = statement.lineno
    count = len(scope.problems)
    try:
        if isinstance(statement, ast.For):
            if not _loop(scope, reader, statement):
                _poison(scope, statement)
                return False
        else:
            _line(scope, reader, statement)
        return len(scope.problems) == count
    except ParseError as error:
        scope.problems.append(_problem(scope, block, error.span, error.message, error.hint))
    except SpecError as error:
        scope.problems.extend(error.problems)
        scope.problems.append(
            _problem(
                scope,
                block,
                reader.span(statement),
                "this line uses a spec that has errors",
                "",
            )
        )
    except OpError as error:
        span = error.span or reader.span(statement)
        if not _echo(scope, error):
            scope.problems.append(_problem(scope, block, span, error.message, _hint(scope, error)))
    _poison(scope, statement)
    return False


def _loop(scope: _Scope, reader: Reader, node: ast.For) -> bool:
    later = loaded_names(scope.rest)
    if not scope.rest and not scope.spec.outputs:
        last = node.body[-1]
        later |= frozenset(n for n in list(stored_names(last))[-1:])
    every = {v.name for v in scope.spec.variables}
    around = Around(
        line=lambda statement: _guarded(scope, reader, statement),
        inputs=every,
        taken=every
        | scope.elsewhere
        | (scope.reserved if scope.sub else set())
        | set(scope.build.dimensions)
        | set(scope.constants),
        later=later | set(scope.spec.outputs or ()),
        constants=scope.constants,
        named=not scope.sub,
    )
    return lower_loop(scope.build, reader, node, around)


def _echo(scope: _Scope, error: OpError) -> bool:
    """An unknown name whose own line already has an error needs no second one."""
    return error.near is not None and error.near[1] in scope.poisoned


def _poison(scope: _Scope, statement: ast.stmt) -> None:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            scope.poisoned.add(node.id)
            scope.build.scope.pop(node.id, None)
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
        ):
            scope.poisoned.add(node.value.id)


def _problem(scope: _Scope, block: Block, span: Span, message: str, hint: str) -> Problem:
    place = block.places[min(span.line, len(block.places)) - 1]
    where = Place(place.line, place.column + span.start)
    return scope.spec.source.problem(where, message, hint, length=span.end - span.start)


def _hint(scope: _Scope, error: OpError) -> str:
    if error.near is None or error.hint:
        return error.hint
    kind, text = error.near
    if kind == "name":
        known = [*scope.build.scope, *scope.build.constants, *sorted(scope.build.dimensions)]
        return did_you_mean(text, known)
    return did_you_mean(text, vocabulary()) or "`gradtool words` lists the vocabulary"


def _line(scope: _Scope, reader: Reader, statement: ast.stmt) -> None:
    match statement:
        case ast.Assign(targets=[target], value=value):
            _assign(scope, reader, target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            _assign(scope, reader, target, value)
        case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
            binary = ast.copy_location(
                ast.BinOp(ast.copy_location(ast.Name(name, ast.Load()), target), op, value),
                statement,
            )
            _name(scope, reader, target, reader.expression(binary))
        case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
            return  # a docstring
        case ast.Import() | ast.ImportFrom():
            return
        case ast.While():
            raise ParseError(
                "a while loop is not part of the language",
                reader.span(statement),
                "a loop over an axis is written  for t in range(T):",
            )
        case ast.If():
            raise ParseError(
                "an if statement is not part of the language",
                reader.span(statement),
                "choose between values with where(condition, x, y), between layers with two specs",
            )
        case ast.FunctionDef() | ast.Return() | ast.ClassDef():
            raise ParseError(
                "a forward block holds assignments only",
                reader.span(statement),
                "paste the lines of the function, without def and return",
            )
        case _:
            raise ParseError(
                "a line must be an assignment"
                + (", found an expression" if isinstance(statement, ast.Expr) else ""),
                reader.span(statement),
                "write  name = expression",
            )


def _assign(scope: _Scope, reader: Reader, target: ast.expr, value: ast.expr) -> None:
    if isinstance(target, ast.Tuple):
        _unpack(scope, reader, target, value)
    elif isinstance(target, ast.Subscript):
        frame = scope.build.frame
        if isinstance(frame, LoopFrame) and frame.collects(target):
            frame.collect(scope.build, reader, target, reader.expression(value))
            assert isinstance(target.value, ast.Name)
            scope.last = target.value.id
            return
        if not is_index_statement(target):
            raise ParseError(
                "assigning to a part of an array is not part of the language",
                reader.span(target),
                "build the array at once, for example with where, pad or concatenate",
            )
        notation = IndexNotation(scope.build)
        name, operand = notation.statement(reader, target, value)
        _bind(scope, reader.span(target), name, operand)
    elif isinstance(target, ast.Name):
        _name(scope, reader, target, reader.expression(value))
    else:
        raise ParseError("assign to a plain name", reader.span(target))


def _unpack(scope: _Scope, reader: Reader, target: ast.Tuple, value: ast.expr) -> None:
    names = target.elts
    if isinstance(value, ast.Tuple) and len(value.elts) == len(names):
        trees = [reader.expression(item) for item in value.elts]
        operands = [scope.build.operand(tree) for tree in trees]
        for name, operand in zip(names, operands, strict=True):
            if not isinstance(name, ast.Name):
                raise ParseError("assign to plain names", reader.span(name))
            _bind(scope, reader.span(name), name.id, operand)
        return
    tree = reader.expression(value)
    if isinstance(tree, Call) and tree.op == "shape":
        operand = scope.build.operand(tree.args[0])
        if len(names) != operand.rank:
            raise ParseError(
                f"{len(names)} names for the shape {shape_text(operand.shape)}",
                reader.span(target),
            )
        for name, dim in zip(names, operand.shape, strict=True):
            if isinstance(name, ast.Name):
                _alias_size(scope, reader.span(name), name.id, dim)
        return
    raise ParseError(
        "several names need as many values",
        reader.span(target),
        "write  a, b = x, y  or one assignment per line",
    )


def _alias_size(scope: _Scope, span: Span, name: str, dim: Dim) -> None:

    if dim.as_symbol == name:
        return
    scope.build.scope[name] = constant(size(dim), dim_tree(dim), dim)


def _name(scope: _Scope, reader: Reader, target: ast.Name, tree: Tree) -> None:
    _bind(scope, reader.span(target), target.id, scope.build.operand(tree))


def _bind(scope: _Scope, span: Span, name: str, operand: Operand) -> None:
    build = scope.build
    if name in build.dimensions or name in build.constants:
        if operand.dim is not None and operand.dim == Dim.of(name):
            return
        raise OpError(
            f"'{name}' is a {'size' if name in build.dimensions else 'constant'} of this spec",
            span,
            hint="choose another name for the value",
        )
    if name.startswith("_"):
        raise OpError("a name must begin with a letter", span)
    scope.poisoned.discard(name)
    if _stays_virtual(operand):
        build.scope[name] = operand
        scope.last = name
        return
    unique = _version(scope, name)
    if scope.sub:
        build.scope[name] = operand
        if operand.tensor is not None and operand.tensor.name.startswith("_"):
            build.hints.setdefault(operand.tensor.name, name)
    else:
        build.scope[name] = build.assign(unique, operand)
    scope.last = name


def _stays_virtual(operand: Operand) -> bool:
    """Sizes and integer positions need no tensor of their own."""
    return operand.dim is not None or (operand.kind == "index" and operand.tensor is None)


def _version(scope: _Scope, name: str) -> str:
    """The name of a new tensor: ``loss``, then ``loss_1`` when it is assigned again."""
    build = scope.build
    frame = build.frame
    if isinstance(frame, LoopFrame) and not scope.sub:
        first = frame.first_name(name)
        if first is not None:
            return first
    if name not in build.scope or build.scope[name].tensor is None:
        taken = {statement.out.name for statement in build.statements}
        if name not in build.scope and name not in taken:
            return name
    count = scope.versions.get(name, 0)
    taken = {s.out.name for s in build.statements} | {v.name for v in scope.spec.variables}
    if isinstance(frame, LoopFrame):
        taken |= frame.reserved
    while True:
        count += 1
        fresh = f"{name}_{count}"
        if fresh not in taken and fresh not in build.scope:
            break
    scope.versions[name] = count
    if not scope.sub:
        was = "an input" if any(v.name == name for v in scope.spec.variables) else "assigned before"
        scope.remarks.append(
            f"{name} is {was}; the new value is called {fresh} here: give it a name of its own"
        )
    return fresh


def _outputs(scope: _Scope) -> tuple[str, ...]:
    """The final tensors of the output names."""
    spec, build = scope.spec, scope.build
    names = spec.outputs or ((scope.last,) if scope.last else ())
    place = spec.outputs_place or spec.forward.places[0]
    if not names:
        if not scope.problems:
            scope.problems.append(
                spec.source.problem(
                    place,
                    "the forward block assigns nothing",
                    "write at least one line such as  Y = X @ W",
                )
            )
        return ()
    found: list[str] = []
    for name in names:
        operand = build.scope.get(name)
        if operand is None or any(v.name == name for v in spec.variables):
            if name not in scope.poisoned:
                scope.problems.append(
                    spec.source.problem(
                        place,
                        f"the output '{name}' is not assigned in forward",
                        did_you_mean(name, build.scope),
                        len(name),
                    )
                )
            continue
        if isinstance(operand, Unreadable):
            scope.problems.append(
                spec.source.problem(place, f"the output: {operand.why}", operand.hint, len(name))
            )
            continue
        if operand.kind == "bool" or operand.labels is not None:
            what = "conditions" if operand.kind == "bool" else "labels"
            scope.problems.append(
                spec.source.problem(
                    place,
                    f"the output '{name}' holds {what}, which have no gradient",
                    "a real array is expected",
                    len(name),
                )
            )
            continue
        tensor = operand.tensor
        if tensor is None:  # a number, or positions: it has had no statement of its own until now
            operand = replace(operand, kind="real", position=None)
            taken = any(statement.out.name == name for statement in build.statements)
            tensor = build.assign(_version(scope, name) if taken else name, operand).tensor
        assert tensor is not None
        found.append(tensor.name)
    return tuple(found)


def _no_cotangent_names(scope: _Scope) -> None:
    """``dY`` beside ``Y`` would be taken for the gradient of Y."""
    names = {s.out.name for s in scope.build.statements if not s.hidden}
    every = names | {v.name for v in scope.spec.variables}
    for variable in scope.spec.variables:
        if variable.name.startswith("d") and variable.name[1:] in names:
            scope.problems.append(
                scope.spec.source.problem(
                    variable.place,
                    f"'{variable.name}' is the name of the gradient of '{variable.name[1:]}'",
                    "give it another name",
                    len(variable.name),
                )
            )
    for statement in scope.build.statements:
        name = statement.out.name
        if statement.hidden or not name.startswith("d") or name[1:] not in every:
            continue
        block = scope.spec.forward
        row = block.text.split("\n")[statement.line - 1]
        start = max(row.find(name), 0)
        scope.problems.append(
            _problem(
                scope,
                block,
                Span(statement.line, start, start + len(name)),
                f"'{name}' is the name of the gradient of '{name[1:]}'",
                "give the value another name",
            )
        )


# -- other specs as functions -------------------------------------------------------------


def _use(scope: _Scope, spec: LayerSpec, call: Call) -> Operand:
    """Run another spec's forward on the arguments of a call."""
    build = scope.build
    names = [v.name for v in spec.variables] + list(spec.constants)
    given: dict[str, Tree] = {}
    if len(call.args) > len(spec.variables):
        raise OpError(
            f"{call.op}() takes {', '.join(names)}; found {len(call.args)} arguments", call.span
        )
    given.update(zip(names, call.args, strict=False))
    for key, value in call.kwargs:
        if key not in names:
            raise OpError(
                f"{call.op}() has no argument '{key}'", call.span, did_you_mean(key, names)
            )
        given[key] = value
    missing = [v.name for v in spec.variables if v.name not in given]
    if missing:
        raise OpError(f"{call.op}() needs {', '.join(missing)}", call.span)
    arguments = {v.name: build.operand(given[v.name]) for v in spec.variables}
    sizes: dict[str, Dim] = {}
    constants: dict[str, Operand] = {}
    for name, number in spec.constants.items():
        default = Number(Fraction(number), _decimal(number))
        constants[name] = build.operand(given.get(name, default))
        dim = constants[name].dim
        if isinstance(number, int) and dim is not None:
            sizes[name] = dim
    for variable in spec.variables:
        _match(spec, variable, arguments[variable.name], sizes, given[variable.name], call)
    inner_scope: dict[str, Operand] = {**constants, **arguments}

    for name, dim in sizes.items():
        inner_scope.setdefault(name, constant(size(dim), dim_tree(dim), dim))
    inner = _Scope(
        spec,
        build,
        scope.find,
        (*scope.active, spec.name),
        sub=True,
        constants=scope.constants,
        reserved=scope.reserved,
    )
    outer_scope, outer_words = build.scope, build.vocabulary
    outer_dims, outer_constants = build.dimensions, build.constants
    line = build.line
    build.scope = inner_scope
    build.dimensions, build.constants = frozenset(), {}
    build.vocabulary = _Words(vocabulary(), inner)
    try:
        _run(inner)
        if inner.problems:
            raise SpecError(inner.problems)
        output = (spec.outputs or (inner.last,))[0]
        if output is None or len(spec.outputs or ()) > 1:
            raise OpError(f"{spec.name} has several outputs; use one that has one", call.span)
        return build.scope[output]
    finally:
        build.scope, build.vocabulary = outer_scope, outer_words
        build.dimensions, build.constants = outer_dims, outer_constants
        build.line = line


def _decimal(value: int | Fraction) -> str:
    """As it would be written: 1e-05 rather than 1/100000."""
    text = repr(float(value)) if isinstance(value, Fraction) else str(value)
    return text if Fraction(text) == value else str(value)


def _match(
    spec: LayerSpec,
    variable: Variable,
    operand: Operand,
    sizes: dict[str, Dim],
    tree: Tree,
    call: Call,
) -> None:
    """Bind the sizes of a used spec to those of an argument."""
    declared = shape_text(variable.shape)
    if operand.rank != len(variable.shape):
        raise OpError(
            f"{call.op}() expects {variable.name} {declared}, found {shape_text(operand.shape)}",
            tree.span or call.span,
        )
    wanted = variable.dtype
    if (wanted == "index") != (operand.kind == "index"):
        raise OpError(
            f"{call.op}() expects {variable.name} to hold "
            f"{'labels' if wanted == 'index' else 'real numbers'}",
            tree.span or call.span,
        )
    pairs = list(zip(variable.shape, operand.shape, strict=True))
    if variable.index is not None and operand.labels is not None:
        pairs.append((variable.index, operand.labels))
    for dim, found in pairs:
        symbol = dim.as_symbol
        if symbol is not None and symbol not in sizes:
            sizes[symbol] = found
            continue
        expected = dim.substitute(sizes)
        if expected != found:
            raise OpError(
                f"{call.op}() expects {variable.name} {declared}: {dim} is {expected}, "
                f"found {found}",
                tree.span or call.span,
            )
