"""Every cause that is explained has an example whose wrong version is diagnosed as that cause."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gradtool.check.causes.catalogue import codes, explanation, title
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text
from tests.lasting_worker import LastingWorker

EXAMPLES = [code for code in codes() if (e := explanation(code)) is not None and e.wrong]


@cache
def reference(text: str) -> DerivedReference:
    return reference_for(load_text(text, "example.yaml"))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingWorker]:
    with LastingWorker(tmp_path_factory.mktemp("examples")) as made:
        yield made


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_wrong_example_has_that_cause(code: str, worker: LastingWorker) -> None:
    entry = explanation(code)
    assert entry is not None
    assert entry.example.count(entry.right) == 1
    changed = entry.example.replace(entry.right, entry.wrong)
    verdict = worker.check(reference(entry.spec), changed, "example")
    told = [*verdict.forward, *verdict.gradients]
    causes = [g.cause.code for g in told if g.cause is not None]
    assert set(causes) == {code}, [g.cause for g in told]


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_examples_that_are_shown_are_whole_statements(code: str) -> None:
    entry = explanation(code)
    assert entry is not None
    for shown, piece in (
        (entry.right_statements, entry.right),
        (entry.wrong_statements, entry.wrong),
    ):
        assert piece.splitlines()[0] in shown
        head = shown.endswith(":")
        lines = ast.parse(f"def f():\n{textwrap.indent(shown + ' pass' * head, '    ')}")
        assert all(isinstance(node, ast.stmt) for node in lines.body)
    assert entry.right_statements != entry.wrong_statements


@pytest.mark.parametrize("spec_code", sorted({(e.spec, e.example) for c in EXAMPLES
                                              if (e := explanation(c))}))  # fmt: skip
def test_the_right_example_passes(spec_code: tuple[str, str], worker: LastingWorker) -> None:
    spec, code = spec_code
    verdict = worker.check(reference(spec), code, "example")
    assert (verdict.verdict, verdict.trouble) == ("pass", None)


def test_every_code_that_is_proposed_is_explained() -> None:
    """The codes in the source of the proposers, found as texts that look like codes."""
    import gradtool.check.causes as causes

    folder = Path(causes.__file__).parent
    modules = [*folder.glob("*.py"), *folder.parent.glob("diagnose*.py")]
    made: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and (node.func.id in ("Hypothesis", "Edit", "Change"))
            ):
                match node.args[:1]:
                    case [ast.Constant(value=str(code))]:
                        made.add(code)
    assert len(made) > 20
    assert made <= set(codes())


def test_titles_are_short_and_say_no_formula() -> None:
    for code in codes():
        assert len(title(code)) < 50
        assert not set(title(code)) & set("*/@()")
