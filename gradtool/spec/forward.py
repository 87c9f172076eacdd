"""The forward block of a spec, lowered line by line to a graph, with every mistake collected."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph
from gradtool.ir.index import Tensor
from gradtool.ir.poly import size
from gradtool.ir.tree import Call, Name, Span, Tree
from gradtool.ops.build import Builder, Lowering, Operand, constant, of_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.registry import vocabulary
from gradtool.ops.shape import dim_tree
from gradtool.spec.conditions import size_conditions
from gradtool.spec.ends import outputs_of, refuse_cotangent_names
from gradtool.spec.errors import SpecError
from gradtool.spec.indexed import IndexNotation, is_index_statement
from gradtool.spec.loop_frame import LoopFrame
from gradtool.spec.loops import Around, loaded_names, lower_loop, stored_names
from gradtool.spec.lowering import Find, Scope, problem_at, version
from gradtool.spec.model import LayerSpec, Variable
from gradtool.spec.parse import ParseError, Reader, parse_block
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.used import use_spec


def graph_of(spec: LayerSpec, find: Find | None = None) -> Graph:
    """Lower the forward pass of a spec.

    Raises:
        SpecError: every mistake of the block, with line, column and shapes.
        UnsupportedError: a construct that is refused.
    """
    dimensions = _dimensions(spec)
    build = Builder(Words(vocabulary()), dict(spec.constants), dimensions)
    scope = Scope(
        spec, build, find or (lambda _: None), (spec.name,), constants=dict(spec.constants)
    )
    for variable in spec.variables:
        build.scope[variable.name] = of_tensor(tensor_of(variable))
    build.vocabulary = Words(vocabulary(), scope)
    _run(scope)
    outputs = outputs_of(scope)
    refuse_cotangent_names(scope)
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
        remarks=(*scope.remarks, *_size_remarks(build, spec)),
        hints=dict(build.hints),
        distributions=frozenset(
            v.name
            for v in spec.variables
            if v.constant and v.domain.kind in ("probabilities", "one-hot")
        ),
    )


def _size_remarks(build: Builder, spec: LayerSpec) -> list[str]:
    conditions = size_conditions(build.assumptions, spec)
    return [f"for sizes with {conditions}"] if conditions else []


def tensor_of(variable: Variable) -> Tensor:
    return Tensor(variable.name, variable.shape, variable.dtype, variable.index)


def declared_names(scope: Scope) -> frozenset[str]:
    """What an index cannot be called like."""
    return frozenset((*(v.name for v in scope.spec.variables), *scope.spec.constants))


def _dimensions(spec: LayerSpec) -> frozenset[str]:
    found: set[str] = set(spec.sizes)
    for variable in spec.variables:
        for dim in (*variable.shape, *([variable.index] if variable.index else [])):
            found |= dim.symbols
    return frozenset(found - set(spec.constants))


class Words(Mapping[str, Lowering]):
    """The vocabulary, extended by other specs as functions and by index notation."""

    def __init__(self, words: Mapping[str, Lowering], scope: Scope | None = None) -> None:
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

    def _declared(self) -> frozenset[str]:
        return frozenset() if self.scope is None else declared_names(self.scope)

    def _checked(self, name: str, rule: Lowering) -> Lowering:
        def lower(build: Builder, call: Call) -> Operand:
            # Operators and methods cannot be hidden by a variable, a plain call can.
            if (
                call.plain
                and self._shadowed(name)
                and call.span is not None
                and build.scope[name].tree == Name(name)
            ):
                raise OpError(
                    f"'{name}' is a variable here, it cannot be called",
                    call.span,
                    hint=f"use the method form, x.{name}(…), or rename the variable",
                )
            if call.keyword("over") is not None:
                return IndexNotation(build, self._declared()).value(call)
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
        return lambda build, call: use_spec(scope, spec, call, _run_inner)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.words)

    def __len__(self) -> int:
        return len(self.words)


# -- lines --------------------------------------------------------------------------------


def _run_inner(scope: Scope) -> None:
    scope.build.vocabulary = Words(vocabulary(), scope)
    _run(scope)


def _run(scope: Scope) -> None:
    block = scope.spec.forward
    try:
        module = parse_block(block.text)
    except ParseError as error:
        scope.problems.append(problem_at(scope, block, error.span, error.message, error.hint))
        return
    assigned = set[str]()
    for node in ast.walk(module):
        # An index statement, F[j, k] = …, names its array too.
        named = node.value if isinstance(node, ast.Subscript) else node
        if isinstance(named, ast.Name) and isinstance(getattr(node, "ctx", None), ast.Store):
            assigned.add(named.id)
    if not scope.sub:
        scope.reserved = frozenset(assigned | set(scope.build.scope))
    reader = Reader(block.text.split("\n"), assigned | set(scope.build.scope))
    stored = [frozenset(stored_names(statement)) for statement in module.body]
    times = Counter(name for names in stored for name in names)
    for place, (statement, own) in enumerate(zip(module.body, stored, strict=True)):
        scope.rest = module.body[place + 1 :]
        scope.elsewhere = frozenset(n for n, count in times.items() if count > (n in own))
        _guarded(scope, reader, statement)


def _guarded(scope: Scope, reader: Reader, statement: ast.stmt) -> bool:
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
        scope.problems.append(problem_at(scope, block, error.span, error.message, error.hint))
    except SpecError as error:
        scope.problems.extend(error.problems)
        scope.problems.append(
            problem_at(
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
            scope.problems.append(
                problem_at(scope, block, span, error.message, _hint(scope, error))
            )
    _poison(scope, statement)
    return False


def _loop(scope: Scope, reader: Reader, node: ast.For) -> bool:
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


def _echo(scope: Scope, error: OpError) -> bool:
    """An unknown name whose own line already has an error needs no second one."""
    return error.near is not None and error.near[1] in scope.poisoned


def _poison(scope: Scope, statement: ast.stmt) -> None:
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


def _hint(scope: Scope, error: OpError) -> str:
    if error.near is None or error.hint:
        return error.hint
    kind, text = error.near
    if kind == "name":
        known = [*scope.build.scope, *scope.build.constants, *sorted(scope.build.dimensions)]
        return did_you_mean(text, known)
    return did_you_mean(text, vocabulary()) or "`gradtool words` lists the vocabulary"


def _line(scope: Scope, reader: Reader, statement: ast.stmt) -> None:
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


def _assign(scope: Scope, reader: Reader, target: ast.expr, value: ast.expr) -> None:
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
        notation = IndexNotation(scope.build, declared_names(scope))
        name, operand = notation.statement(reader, target, value)
        _bind(scope, reader.span(target), name, operand)
    elif isinstance(target, ast.Name):
        _name(scope, reader, target, reader.expression(value))
    else:
        raise ParseError("assign to a plain name", reader.span(target))


def _unpack(scope: Scope, reader: Reader, target: ast.Tuple, value: ast.expr) -> None:
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


def _alias_size(scope: Scope, span: Span, name: str, dim: Dim) -> None:

    if dim.as_symbol == name:
        return
    scope.build.scope[name] = constant(size(dim), dim_tree(dim), dim)


def _name(scope: Scope, reader: Reader, target: ast.Name, tree: Tree) -> None:
    _bind(scope, reader.span(target), target.id, scope.build.operand(tree))


def _bind(scope: Scope, span: Span, name: str, operand: Operand) -> None:
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
    unique = version(scope, name)
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
