"""`gradtool lint` and `gradtool merge`: from paths to reports and an exit code."""

from __future__ import annotations

import gc
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from gradtool import __version__
from gradtool.lint import imagined
from gradtool.lint.assignment import Assignment, Question
from gradtool.lint.choice import Choice, is_clean, is_graded, parse_codes
from gradtool.lint.cluster import Cluster, Order
from gradtool.lint.credit import FORWARD, unknown_shares
from gradtool.lint.foresight import Foresight
from gradtool.lint.grade import Bench
from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.isolation.status import unguarded
from gradtool.lint.isolation.zygote import (
    LibraryFails,
    SandboxUnavailable,
    Zygote,
    ZygoteGone,
)
from gradtool.lint.memo import Remembering
from gradtool.lint.preparation import LIBRARIES, setup_for
from gradtool.lint.read_assignment import load_assignment
from gradtool.lint.result import Course, Heading, Sandbox
from gradtool.lint.run import grade_all, share
from gradtool.lint.settings import Settings, read_settings
from gradtool.lint.stopping import as_interrupt
from gradtool.lint.store import Store, merged
from gradtool.lint.submissions import Submission, files_below, shown_name, submissions_in
from gradtool.lint.summary import summary
from gradtool.records import Struct, replace
from gradtool.report import (
    cache,
    feedback,
    formats,
    library,
    lint_notices,
    lint_text,
    memory,
    plans,
)
from gradtool.report.fold import as_utf8
from gradtool.report.lint_outputs import TEXT, known, places, spare
from gradtool.report.progress import progress
from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.model import Place, Source
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError

_CLEAN, _FINDINGS, _USAGE, _BUG = 0, 1, 2, 3
_EXECUTORS = ("local", "dask")
_THRESHOLD = 20_000  # objects between two looks for garbage, while submissions are graded


class Request(Struct, frozen=True):
    """The command line of `gradtool lint`.

    Attributes:
        single: a folder is one submission, not a folder of them.
        form: what goes to stdout; `outputs` are format and file of further reports, `feedback` is
            the folder of a page for each submission.
        require_sandbox: None to decide by the environment.
        executor: "local", or "dask" with the address of a `scheduler`.
        hide_expected: None to do as the assignment says.
    """

    paths: tuple[Path, ...]
    assignment: Path | None = None
    specs: tuple[str, ...] = ()
    single: bool = False
    form: str = TEXT
    outputs: tuple[str, ...] = ()
    feedback: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    statistics: bool = False
    exit_zero: bool = False
    jobs: int | None = None
    seed: int | None = None
    results: Path | None = None
    fresh: bool = False
    shard: str | None = None
    require_sandbox: bool | None = None
    hide_expected: bool | None = None
    executor: str = "local"
    scheduler: str | None = None


def run(request: Request, out: TextIO, begun: Zygote | None = None) -> int:
    """Grade and report; 0 clean, 1 findings, 3 where gradtool failed at one of the submissions.

    `begun` is used where it fits the assignment, else closed.

    Raises:
        SpecError, UsageError: the assignment, a spec or the command line is wrong.
    """
    settings = read_settings(_belongs_to(request.assignment))
    choice = Choice(
        _codes(request.select, settings.select, "select", settings),
        _codes(request.ignore, settings.ignore, "ignore", settings),
    )
    outputs = places(request.outputs, [*filter(None, [request.assignment, request.results])])
    known(request.form)
    shard = parse_shard(request.shard)
    assignment, folder = _assignment(request, settings)
    found = _submissions(request.paths, bool(assignment.text), request.single)
    spare(found, [file for _, file in outputs])
    if request.feedback is not None:
        feedback.usable(request.feedback, request.paths if assignment.text else ())
    if "gradescope" in (request.form, *(name for name, _ in outputs)) and len(found) != 1:
        raise UsageError(
            f"the format gradescope is for one submission, found {len(found)}",
            "Gradescope runs the autograder once for each submission; use csv for a class",
        )
    if request.executor == "local":  # on a cluster they are where the workers are
        _see_installed(assignment)
    mine = share(found, shard)
    at_once = request.jobs or settings.jobs or _usual_jobs()
    started = time.monotonic()
    memory.together()
    setup = setup_for(assignment.libraries)
    require = _require(request, settings)
    with ExitStack() as stack:
        zygote, cluster = None, _cluster(request, setup, assignment, require)
        if begun is not None and (cluster is not None or not begun.is_for(setup)):
            begun.close()
            begun = None
        if cluster is None:
            zygote = stack.enter_context(begun or Zygote(setup))
            start: Callable[[], Sandbox] = partial(_start, zygote, assignment, require)
        else:
            start = stack.enter_context(closing(cluster)).start
        with ThreadPoolExecutor(1) as other:  # the zygote imports NumPy while specs are derived
            starting = other.submit(start)
            references, texts = _references(assignment, folder)
            seed = secrets.randbits(31) if request.seed is None else request.seed
            foresight = Foresight()
            if zygote is not None and len(mine) > 1:
                stack.enter_context(imagined.graded(references.values(), foresight, seed))
            import numpy.random  # noqa: F401 - at its first use, when workers wait for samples

            sandbox = starting.result()
        if sandbox.missing:
            lint_notices.unsafe(sandbox)
        asked = () if request.seed is None else (str(request.seed),)
        key = cache.key(["lint", assignment.text, repr(assignment), *texts, *asked])
        heading = Heading(
            assignment=assignment.name,
            title=assignment.title,
            key=key,
            version=__version__,
            questions=tuple(question.name for question in assignment.questions),
            points=float(assignment.points) if assignment.text else 0.0,
            hide_expected=assignment.hide_expected,
            explain=assignment.explain,
            sandbox=sandbox,
            seed=seed,
            shard=shard,
            total=len(found),
        )
        place = _results(request, heading)
        gc.freeze()  # what there is now stays, and need not be looked at again
        gc.set_threshold(_THRESHOLD)
        with (
            as_interrupt(),
            ExitStack() as stop,  # says what it says behind the progress
            Store(place, heading, fresh=request.fresh, needed=bool(request.results)) as store,
            progress(len(mine), sys.stderr) as shown,
        ):
            if store.aside is not None:
                stop.callback(lint_notices.set_aside, request.results, store.aside)
            if zygote is not None:
                bench = Bench(
                    zygote, assignment, references, seed, __version__, key, foresight=foresight
                )
                every = grade_all(mine, bench, store, at_once)
            else:
                assert cluster is not None
                order = Order(assignment, references, setup, seed, key, require)
                every = cluster.grade_all(mine, order, store)
            number = kept = failures = opened = 0
            try:
                for done in every:
                    number, kept = number + 1, kept + done.kept
                    failures += not is_graded(done.graded)
                    opened += any(answer.file for answer in done.graded.answers)
                    shown.step(done.graded.name, done.graded.passed)
            except KeyboardInterrupt:
                stop.callback(lint_notices.interrupted, number, len(mine), kept=place is not None)
                raise
        if zygote is not None:
            zygote.dismiss()  # it ends while the report is written
        lint_notices.kept(kept, len(mine))
        if mine and not opened:
            lint_notices.nothing_opened(request.paths, single=request.single)
        in_folder = len(request.paths) == 1 and assignment.text and not request.single
        top = _top(request.paths[0]) if in_folder else ""
        if in_folder and request.paths[0].is_dir():
            reports = [file for _, file in outputs]
            ours = [*filter(None, [request.assignment, request.results]), *reports]
            lint_notices.not_graded(request.paths[0], ours)
        course = Course(heading, store.lines, top, time.monotonic() - started)
        code = _report(
            course,
            choice,
            request.form,
            outputs,
            request.feedback,
            request.statistics,
            request.exit_zero,
            out,
        )
        if not assignment.text:
            code = code or _nowhere(course, choice, request.paths)
        return _unless(failures, code)


def merge(
    paths: Sequence[Path],
    *,
    form: str,
    outputs: Sequence[str],
    pages: Path | None,
    select: Sequence[str],
    ignore: Sequence[str],
    statistics: bool,
    exit_zero: bool,
    out: TextIO,
) -> int:
    """Report on the results of several shards as on one run.

    Raises:
        UsageError: they are not all the shards of one run.
    """
    choice = Choice(parse_codes(select, "--select"), parse_codes(ignore, "--ignore"))
    written = places(outputs, paths)
    known(form)
    if pages is not None:
        feedback.usable(pages, ())
    heading, lines = merged(paths)
    course = Course(heading, lines)
    code = _report(course, choice, form, written, pages, statistics, exit_zero, out)
    return _unless(sum(not is_graded(one) for one in lines), code)


def _nowhere(course: Course, choice: Choice, paths: Sequence[Path]) -> int:
    """2 where no file of a folder has a layer that was asked for: it would look as if it was right.

    Files that have changed need not have any.
    """
    found = summary(course.graded, choice)
    folder = any(path.is_dir() for path in paths)
    if not found.unseen or (found.checked and not folder):
        return _CLEAN
    lint_notices.nowhere(found)
    return _USAGE if folder and course.heading.shard == (1, 1) else _CLEAN


def _unless(failures: int, code: int) -> int:
    """The exit code, where gradtool itself has not failed at some of the submissions."""
    if failures:
        lint_notices.not_decided(failures)
    return _BUG if failures else code


def parse_shard(text: str | None) -> tuple[int, int]:
    """``2/4`` as the second of four parts; None is all of it.

    Raises:
        UsageError: it is not of that form.
    """
    if text is None:
        return 1, 1
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(
            f"--shard {text!r}: expected I/N with 1 <= I <= N", "for example: --shard 2/4"
        )
    return int(number), int(count)


def _belongs_to(assignment: Path | None) -> Path:
    """Where to look for settings: beside an assignment, for the folder that the command is called
    in may be a submission's, which must not say what counts as a mistake or what is not guarded.
    """
    return Path.cwd() if assignment is None else assignment.resolve().parent


def _codes(
    given: Sequence[str], set_: Sequence[str], name: str, settings: Settings
) -> tuple[str, ...]:
    """The command line goes before the settings."""
    if given:
        return parse_codes(given, f"--{name}")
    return parse_codes(set_, settings.named(name)) if set_ else ()


def _assignment(request: Request, settings: Settings) -> tuple[Assignment, Path | None]:
    """The assignment, and the folder that its specs are relative to: None for where we are."""
    path, specs = request.assignment, request.specs
    folder, named = None, "--spec"
    if path and specs:
        raise UsageError("give --assignment or --spec, not both")
    if path is None and not specs and settings.folder is not None:
        path = settings.folder / settings.assignment if settings.assignment else None
        specs, folder, named = settings.spec, settings.folder, settings.named("spec")
        if path is not None and specs:
            raise UsageError(f"{named}: there is an assignment, too: give one of the two")
    if path is not None:
        assignment = load_assignment(path)
        if request.hide_expected is not None:
            assignment = replace(assignment, hide_expected=request.hide_expected)
        return assignment, path.parent
    if not specs:
        raise UsageError(
            "what do the files implement? Give --assignment FILE or --spec LAYER",
            "`gradtool init --assignment` writes a first assignment",
        )
    questions = tuple(
        Question(
            name=Path(spec).stem,
            title=spec,
            spec=spec,
            place=Place(1, 1),
            files=("*",),
            points=Fraction(0),  # here only mistakes count
            required=False,
        )
        for spec in specs
    )
    if len({question.name for question in questions}) < len(questions):
        raise UsageError(f"{named}: the same layer is given twice")
    hide = bool(request.hide_expected)
    source = Source(named, ())
    # Which means count is for an assignment to say; a project may import what it likes, and what is
    # not granted is not there.
    own = Assignment(
        "lint",
        "lint",
        questions,
        source,
        forbidden=("numeric-differentiation",),
        hide_expected=hide,
    )
    return own, folder


def _see_installed(assignment: Assignment) -> None:
    """See that what submissions may import is there: without it, each that does is wrong.

    Raises:
        SpecError: a library is not.
    """
    hint = "install it here, or write the name that `import` takes"
    problems = [
        assignment.source.problem(place, f"libraries: there is no package {name}", hint, len(name))
        for name, place in assignment.places.items()
        if name in assignment.libraries and not _is_installed(name)
    ]
    if problems:
        raise SpecError(problems)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module of this process that comes from nowhere, such as `__main__`
        return False


def _submissions(paths: Sequence[Path], course: bool, single: bool) -> tuple[Submission, ...]:
    """What to grade: the entries of one folder, or each of several paths; never nothing, which
    would look like a class in which all is right.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"there is no file or folder {shown_name(str(path))}")
    if not course:
        files = [Submission(shown_name(str(file)), file) for file in files_below(paths)]
    elif len(paths) == 1 and paths[0].is_dir() and not single:
        files = list(submissions_in(paths[0]))
    else:
        files = [Submission(shown_name(str(path)), path) for path in paths]
    if not files:
        raise UsageError(*lint_notices.nothing(paths, course))
    unique = {submission.name: submission for submission in files}
    return tuple(sorted(unique.values(), key=lambda one: one.name))


def _references(
    assignment: Assignment, folder: Path | None
) -> tuple[dict[str, Remembering], tuple[str, ...]]:
    """The reference of each question, and the texts of all specs that took part."""
    references: dict[str, Remembering] = {}
    texts: list[str] = []
    problems: list[Problem] = []
    for question in assignment.questions:
        try:
            if folder is not None:
                spec = library.load_from(folder, question.spec)
            else:
                spec = library.load(question.spec)
        except UsageError as error:
            if folder is None:
                raise
            if not assignment.text:
                message = f"{assignment.source.file}: {error.message}"
                raise UsageError(message, error.hint) from None
            length = len(question.spec)
            place = question.place
            problems.append(
                assignment.source.problem(place, error.message, error.hint, length=length)
            )
            continue
        find = library.finder(spec)
        reference = plans.reference_of(spec, find)
        try:
            references[question.name] = Remembering(reference, question.probes)
        except ValueError as error:
            message = f"probes: {error}"
            place = question.places["probes"]
            problems.append(assignment.source.problem(place, message))
        texts += [spec.text, *find.texts]
        for name in unknown_shares(question, spec):
            message = f"credit: {spec.name} has no gradient of {name}"
            hint = did_you_mean(name, [FORWARD, "follows", *(v.name for v in spec.variables)])
            place = question.places[f"credit.{name}"]
            problems.append(assignment.source.problem(place, message, hint, len(name)))
    if problems:
        raise SpecError(problems)
    return references, tuple(texts)


def _cluster(
    request: Request, setup: Setup, assignment: Assignment, require: bool
) -> Cluster | None:
    """The cluster that was asked for."""
    if request.executor not in _EXECUTORS:
        hint = did_you_mean(request.executor, _EXECUTORS)
        raise UsageError(f"there is no executor '{request.executor}'", hint)
    if request.executor == "local":
        if request.scheduler is not None:
            raise UsageError("--scheduler is for --executor dask")
        return None
    if request.scheduler is None:
        raise UsageError(
            "--executor dask needs the address of a scheduler",
            "for example: --scheduler tcp://127.0.0.1:8786",
        )
    return Cluster(request.scheduler, setup, assignment, require)


def _start(zygote: Zygote, assignment: Assignment, require: bool) -> Sandbox:
    try:
        zygote.start(assignment.limits, require)
    except SandboxUnavailable as error:
        raise UsageError(
            f"the submissions were not run: {error}",
            "run on Linux 5.13 or newer with unprivileged user namespaces, or give "
            "--no-require-sandbox for files that you trust",
        ) from None
    except ZygoteGone as error:
        raise _not_started(error, assignment) from None
    return Sandbox(zygote.layers_active, unguarded(zygote.layers_active))


def _not_started(error: ZygoteGone, assignment: Assignment) -> SpecError | UsageError:
    if isinstance(error, LibraryFails) and error.library in assignment.places:
        place = assignment.places[error.library]
        hint = "mend it where gradtool is installed, or take it from the list"
        message = f"libraries: {error}"
        problem = assignment.source.problem(place, message, hint, len(error.library))
        return SpecError([problem])
    own = ", ".join(name for name in assignment.libraries if name not in LIBRARIES)
    hint = f"it may be a library of the assignment: see whether Python imports {own}" if own else ""
    return UsageError(f"no worker could be started: {error}", hint)


def _usual_jobs() -> int:
    """One more than the cores that this process may use: one waits for the judge, say."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return (len(affinity(0)) if affinity else os.cpu_count() or 1) + 1


def _require(request: Request, settings: Settings) -> bool:
    """Whether to refuse without a complete sandbox: asked for, or nobody is watching."""
    for stated in (request.require_sandbox, settings.require_sandbox):
        if stated is not None:
            return stated
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _results(request: Request, heading: Heading) -> Path | None:
    """Where results are kept: as asked, else with the cache, but for a run that could forge them.

    Nor in linter mode, where a run is over before a file of results would pay.
    """
    if request.results is not None:
        return request.results
    place = cache.folder()
    if place is None or heading.sandbox.missing or not heading.points:
        return None
    number, count = heading.shard
    text = "\0".join((*(str(path.resolve()) for path in request.paths), f"{number}/{count}"))
    return place / "lint" / f"{cache.key([heading.key, text])}.jsonl"


def _top(path: Path) -> str:
    return "" if str(path) == "." or not path.is_dir() else shown_name(path.as_posix()).rstrip("/")


def _report(
    course: Course,
    choice: Choice,
    form: str,
    outputs: Sequence[tuple[str, Path]],
    pages: Path | None,
    statistics: bool,
    exit_zero: bool,
    out: TextIO,
) -> int:
    failed = []
    for name, place in outputs:
        try:
            with place.open("w", encoding="utf-8", newline="") as stream:
                _write(name, course, choice, statistics, stream)
        except OSError as error:  # the others are no worse for it
            failed.append(f"--output: {place} cannot be written: {error.strerror}")
    if pages is not None:
        try:
            feedback.write(pages, course, choice)
        except OSError as error:
            failed.append(f"--feedback: {error.filename} cannot be written: {error.strerror}")
    if form != TEXT:
        as_utf8(out)
    _write(form, course, choice, statistics, out)
    if failed:
        out.flush()
        raise UsageError("\n".join(failed))
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if form == "github" and page:
        _step_summary(Path(page), course, choice)
    return _CLEAN if exit_zero or is_clean(course, choice) else _FINDINGS


def _write(name: str, course: Course, choice: Choice, statistics: bool, out: TextIO) -> None:
    if name == TEXT:
        lint_text.write(course, choice, out, statistics=statistics)
    else:
        for piece in formats.pieces(name, course, choice):
            out.write(piece)


_STEP_SUMMARY = 900_000  # bytes; the platform drops a page of more than 1 MiB


def _step_summary(page: Path, course: Course, choice: Choice) -> None:
    text = formats.find("markdown").text(course, choice).encode()
    if len(text) > _STEP_SUMMARY:
        text = text[:_STEP_SUMMARY].rpartition(b"\n")[0] + b"\n\nThe rest was left out.\n"
    with page.open("ab") as stream:
        stream.write(text)
