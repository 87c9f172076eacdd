"""`gradtool check`: specs and a file to verdicts, printed.

The worker is started first, so that it imports NumPy while this process reads the specs and
imports its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from gradtool import __version__
from gradtool.check.process import Worker

if TYPE_CHECKING:
    from gradtool.check.reference import Reference
    from gradtool.check.result import Verdict
    from gradtool.report.check_text import Explain
    from gradtool.spec.model import LayerSpec

_CLEAN, _FINDINGS, _USAGE = 0, 1, 2
_SECONDS = 10.0  # for each question to the worker


def run(
    *,
    file: Path,
    specs: Sequence[str],
    out: TextIO,
    form: Literal["text", "json"] = "text",
    seed: int = 0,
    hide_expected: bool = False,
    function: str | None = None,
    seconds: float = _SECONDS,
    explain: Explain = "full",
) -> int:
    """Check a file against each spec; print; 0 all right, 1 findings, 2 nothing to compare.

    `explain` chooses how much is told of the causes of wrong gradients.

    Raises:
        SpecError: a spec is wrong.
        UsageError: a bundled name is unknown.
    """
    worker = Worker(file.resolve().parent, seconds)
    verdicts = []
    try:
        layers = [_spec(name) for name in specs]
        for layer in layers:
            reference = _reference(layer)
            verdict = _verdict(reference, file, seed, function, seconds, worker, explain)
            verdicts.append(verdict)
            worker = Worker(file.resolve().parent, seconds) if layer is not layers[-1] else worker
    finally:
        worker.close()
    _print(verdicts, out, form, hide_expected, explain)
    return exit_code(verdicts)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """2 only when the file or the choice of functions is to blame, not what the code does."""
    if any(v.trouble is not None and v.trouble.stage in ("binding", "file") for v in verdicts):
        return _USAGE
    return _CLEAN if all(v.verdict == "pass" for v in verdicts) else _FINDINGS


def _spec(name: str) -> LayerSpec:
    from gradtool.spec.bundled import bundled_specs
    from gradtool.spec.load import load_path, load_stdin
    from gradtool.spec.suggest import nearest
    from gradtool.spec.usage import UsageError

    if name == "-":
        return load_stdin()
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return load_path(path)
    bundled = bundled_specs()
    if name not in bundled:
        near = nearest(name, bundled)
        hint = f"did you mean {near}?" if near else "`gradtool specs` lists the bundled layers"
        raise UsageError(f"{name!r} is no bundled layer and no file", hint)
    return load_path(bundled[name])


def _reference(spec: LayerSpec) -> Reference:
    from gradtool.numeric.reference import reference_for

    return reference_for(spec)


def _verdict(
    reference: Reference,
    file: Path,
    seed: int,
    function: str | None,
    seconds: float,
    worker: Worker,
    explain: Explain,
) -> Verdict:
    from gradtool.check.pair import check_pair

    return check_pair(
        reference,
        file,
        seed=seed,
        version=__version__,
        function=function,
        seconds=seconds,
        worker=worker,
        explain=explain != "none",
    ).verdict


def _print(
    verdicts: Sequence[Verdict],
    out: TextIO,
    form: Literal["text", "json"],
    hide_expected: bool,
    explain: Explain,
) -> None:
    if form == "json":
        from gradtool.report.check_json import document

        out.write(document(verdicts, hide_expected=hide_expected))
        return
    from gradtool.report import check_text

    if not out.isatty():
        texts = [
            check_text.plain(v, hide_expected=hide_expected, explain=explain) for v in verdicts
        ]
        out.write("\n".join(texts))
        return
    from rich.console import Console

    console = Console(file=out, highlight=False)
    for verdict in verdicts:
        shown = check_text.coloured(verdict, hide_expected=hide_expected, explain=explain)
        console.print(shown, soft_wrap=True)
