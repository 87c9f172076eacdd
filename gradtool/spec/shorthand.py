"""Shapes in one line, as a command line gives them: ``X: [N, D], W: [D, C]``."""

from __future__ import annotations

from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.model import Place, Source, Variable
from gradtool.spec.names import shown
from gradtool.spec.sections.reading import Reading
from gradtool.spec.sections.scope import Scope
from gradtool.spec.sections.variables import check_chances, check_excluded, nodes_of, read_variables
from gradtool.spec.yamltree import Mapping, read_tree, source_of

MAX_LENGTH = 10_000
_EXPECTED = "expected shapes such as 'X: [N, D], W: [D, C]'"
_HINT = "write a colon after each name and a comma between the shapes"


def parse_inputs(text: str, option: str = "--inputs") -> tuple[Variable, ...]:
    """Read the shapes of inputs; each may also be in the long form of a spec.

    ``X: [N, D], y: {shape: [N], index: C}`` is what stands between the braces of
    ``inputs: {…}`` in a spec file, so it is read as that.

    Raises:
        SpecError: with every problem; `option` stands for the name of the file.
    """
    if len(text) > MAX_LENGTH:
        message = f"expected at most {MAX_LENGTH:,} characters"
        raise SpecError([Problem(option, 1, 1, 1, "", message)])
    source, body = source_of(text, option)
    if not body.strip():
        raise SpecError([Problem(option, 1, 1, 1, "", f"{_EXPECTED}, found nothing")])
    root, problems = read_tree(body, source, in_braces=True)
    variables: list[Variable] = []
    if isinstance(root, Mapping):
        reading, scope = Reading(source, problems), Scope()
        variables = read_variables(root, "input", reading, scope)
        check_excluded(variables, nodes_of("not", root), reading)
        check_chances(variables, nodes_of("domain", root), {}, reading)
        scope.check_sizes(reading)
        scope.check_gradient_names(variables, reading)
    if problems:
        raise SpecError(_inside(problem, source) for problem in problems)
    return tuple(variables)


def _inside(problem: Problem, source: Source) -> Problem:
    """The problem moved off the braces, which the user did not write."""
    if problem.line < 1:
        found = shown(source.lines[0].strip())
        return source.problem(Place(1, 1), f"{_EXPECTED}, found {found}", _HINT)
    if problem.line > len(source.lines):
        line = source.lines[-1]
        return problem._replace(line=len(source.lines), column=len(line) + 1, source=line)
    return problem
