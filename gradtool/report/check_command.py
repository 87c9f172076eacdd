"""`gradtool check`: specs and a file to verdicts, printed.

The worker is started first, so that it imports NumPy while this process reads the specs and
imports its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

from gradtool import __version__
from gradtool.check.process import Worker
from gradtool.records import Struct

if TYPE_CHECKING:
    from gradtool.check.reference import Reference
    from gradtool.check.result import Verdict
    from gradtool.check.wanted import Wanted

Explain: TypeAlias = Literal["none", "cause", "full"]
Form: TypeAlias = Literal["text", "json", "github"]

_CLEAN, _FINDINGS, _USAGE = 0, 1, 2
_SECONDS = 10.0  # for each question to the worker


class Request(Struct, frozen=True):
    """What was asked for on the command line.

    Attributes:
        specs: the layers to check for; none to match every pair of the file with the bundled.
        function: the name of a function or class, where several would do.
        line: the line, or for a notebook the cell and the line, of what is to be checked.
        forward: without a spec, the function that computes the output; with `backward`, unless
            it returns the gradients itself, and with `inputs`, what its arguments are.
        seconds: for each question to the worker.
        explain: how much is told of the causes of wrong gradients.
    """

    file: Path
    specs: tuple[str, ...] = ()
    form: Form = "text"
    seed: int = 0
    hide_expected: bool = False
    function: str | None = None
    line: str | None = None
    forward: str | None = None
    backward: str | None = None
    inputs: str | None = None
    seconds: float = _SECONDS
    explain: Explain = "full"


def run(request: Request, out: TextIO) -> int:
    """Check a file; print; 0 all right, 1 findings, 2 nothing to compare.

    Raises:
        SpecError: a spec is wrong.
        UsageError: a bundled name is unknown, or a line is no line.
    """
    worker = Worker(request.file.resolve().parent, request.seconds)
    try:
        verdicts = list(_verdicts(request, worker))
    finally:
        worker.close()
    _print(verdicts, out, request)
    return exit_code(verdicts)


def watch(request: Request, out: TextIO) -> None:
    """Check now and whenever the file or a spec of one's own is saved; ends when interrupted."""
    from gradtool.report.watch import on_save

    files = [request.file, *(Path(name) for name in request.specs if Path(name).is_file())]

    def act() -> None:
        from gradtool.spec.errors import SpecError, UnsupportedError

        try:
            run(request, out)
        except (SpecError, UnsupportedError) as error:  # a spec that is being written, too
            print(error, file=sys.stderr)
        out.flush()

    on_save(files, act, lambda text: print(f"-- {text}", file=sys.stderr, flush=True))


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """2 only when the file or the choice of functions is to blame, not what the code does.

    Pairs that are none of the bundled layers do not count, unless there is nothing else.
    """
    known = [v for v in verdicts if v.trouble is None or v.trouble.stage != "match"]
    if not known or any(
        v.trouble is not None and v.trouble.stage in ("binding", "file", "unclear") for v in known
    ):
        return _USAGE
    return _CLEAN if all(v.verdict == "pass" for v in known) else _FINDINGS


def _verdicts(request: Request, worker: Worker) -> Iterator[Verdict]:
    if request.specs:
        return _against(request, worker)
    if request.inputs is not None:
        return _unaided(request, worker)
    return _every(request, worker)


def _unaided(request: Request, worker: Worker) -> Iterator[Verdict]:
    """The verdict by differences of the user's forward alone."""
    from gradtool.check.declared import declared
    from gradtool.check.unaided import Functions, check_unaided
    from gradtool.numeric.plain import plain_forward

    assert request.inputs is not None
    assert request.forward is not None
    spec = declared(request.inputs, request.forward.rpartition(".")[2])
    yield check_unaided(
        plain_forward(spec),
        request.file,
        Functions(request.forward, request.backward),
        seed=request.seed,
        version=__version__,
        seconds=request.seconds,
        worker=worker,
    )


def _against(request: Request, worker: Worker) -> Iterator[Verdict]:
    """One verdict for each spec."""
    from gradtool.report import plans

    layers = [plans.reference(name) for name in request.specs]
    wanted = _wanted(request)
    for layer in layers:
        yield _verdict(layer, request, wanted, worker)
        if layer is not layers[-1]:
            worker = Worker(request.file.resolve().parent, request.seconds)


def _every(request: Request, worker: Worker) -> Iterator[Verdict]:
    """One verdict for each pair of the file."""
    from gradtool.check.every import check_every
    from gradtool.report.every_layer import bundled_layers

    layers, reference_for = bundled_layers(request.seed)
    yield from check_every(
        request.file,
        layers,
        reference_for,
        _wanted(request),
        seed=request.seed,
        version=__version__,
        seconds=request.seconds,
        worker=worker,
        explain=request.explain != "none",
    )


def _wanted(request: Request) -> Wanted:
    from gradtool.check.wanted import Wanted
    from gradtool.spec.usage import UsageError

    if request.line is None:
        return Wanted(request.function)
    first, colon, second = request.line.partition(":")
    notebook = request.file.suffix == ".ipynb"
    numbers = [first, second] if colon else [first]
    if not all(n.isascii() and n.isdigit() and int(n) for n in numbers) or (colon and not notebook):
        raise UsageError(
            f"--line {request.line!r} is no place in {request.file.name}",
            "give the number of a cell, or CELL:LINE" if notebook else "give a line number",
        )
    if notebook:
        return Wanted(request.function, int(first), int(second) if colon else None)
    return Wanted(request.function, None, int(first))


def _verdict(reference: Reference, request: Request, wanted: Wanted, worker: Worker) -> Verdict:
    from gradtool.check.pair import check_pair

    return check_pair(
        reference,
        request.file,
        seed=request.seed,
        version=__version__,
        wanted=wanted,
        seconds=request.seconds,
        worker=worker,
        explain=request.explain != "none",
    ).verdict


def _print(verdicts: Sequence[Verdict], out: TextIO, request: Request) -> None:
    hide = request.hide_expected
    if request.form == "json":
        from gradtool.report.check_json import document

        out.write(document(verdicts, hide_expected=hide))
        return
    if request.form == "github":
        from gradtool.report import check_github

        out.write(check_github.document(verdicts, hide_expected=hide))
        return
    from gradtool.report import check_text
    from gradtool.report.fold import is_styled, width_of

    # Without specs, the layers are the bundled ones; without a layer, there is nothing to derive.
    specs = request.specs or tuple(verdict.layer for verdict in verdicts)
    width = width_of(out)
    pages = check_text.pages(
        verdicts, specs, hide_expected=hide, explain=request.explain, width=width
    )
    if not is_styled(out):
        out.write("\n".join(check_text.plain_lines(page) for page in pages))
        return
    from rich.console import Console

    console = Console(file=out, width=width, highlight=False)
    for number, page in enumerate(pages):
        out.write("\n" if number else "")
        console.print(check_text.coloured_lines(page), soft_wrap=True, end="")
