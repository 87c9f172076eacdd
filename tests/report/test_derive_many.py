"""Several layers in one command: one LaTeX document, one module at a time, one summary."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gradtool.report.derive_command import run
from gradtool.spec.errors import SpecError
from gradtool.spec.usage import UsageError


def derived(*specs: str, form: str = "text") -> str:
    out = io.StringIO()
    run(
        specs=specs,
        wrt=None,
        form=form,  # type: ignore[arg-type]
        steps=False,
        staged=False,
        at=None,
        out=out,
    )
    return out.getvalue()


def test_several_layers_are_one_latex_document() -> None:
    text = derived("gate", "affine", form="latex")
    for once in ("\\documentclass", "\\begin{document}", "\\end{document}", "{Notation}"):
        assert text.count(once) == 1, once
    assert text.index("\\section*{gate}") < text.index("\\section*{affine}")
    assert text.endswith("\\end{document}\n")


def test_modules_are_written_one_at_a_time() -> None:
    with pytest.raises(UsageError, match="one module, 2 layers"):
        derived("gate", "affine", form="numpy")


def test_a_summary_tells_the_least_agreement(capsys: pytest.CaptureFixture[str]) -> None:
    derived("gate", "affine")
    told = capsys.readouterr().err
    assert told.startswith("2 layers, 6 gradients: all certified, to 1e-")


def test_a_refusal_points_to_the_line_of_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "never.yaml"
    path.write_text(
        "layer: never\ninputs: {X: [N]}\nforward: |\n  A = X * 2\n\n  Y = A / (X - X)\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError) as caught:
        derived(str(path))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (6, 3)
    assert problem.source == "  Y = A / (X - X)"
    assert "singular" in problem.message


def test_huge_numbers_are_neither_written_out_nor_taken_for_a_bug(
    tmp_path: Path,
) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text(
        "layer: huge\ninputs: {X: [N]}\nforward: Y = X**2 * 1e200 + 1e180\n", encoding="utf-8"
    )
    assert "2e200 * dY * X" in derived(str(path))
