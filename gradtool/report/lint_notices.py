"""What `gradtool lint` says on stderr beside its report: what it left out, kept, or did not do."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from gradtool import __version__
from gradtool.lint.result import Sandbox
from gradtool.lint.rules import NOT_GRADED, NOTHING
from gradtool.lint.submissions import Submission, is_archive, left_out, shown_name
from gradtool.lint.summary import Summary
from gradtool.report import findings_text
from gradtool.report.safe import one_line

_NAMED = 5
_UNPACK = "each archive into a folder of its own"


def unsafe(sandbox: Sandbox) -> None:
    """Nothing guards something here."""
    states = "; ".join(str(layer) for layer in sandbox.layers if not layer.active)
    print(
        f"warning: nothing guards {', '.join(sandbox.missing)} on this host ({states}).\n"
        "This is not safe for files that you do not trust.",
        file=sys.stderr,
    )


def not_graded(folder: Path, ours: Collection[Path]) -> None:
    """Entries of a course that are no submissions, but for `ours`: an assignment, reports."""
    known = {path.resolve() for path in ours}
    others = [one for one in left_out(folder) if one.path.resolve() not in known]
    if not others:
        return
    what = "is no Python file, notebook or folder and was"
    if len(others) > 1:
        what = "are no Python files, notebooks or folders and were"
    print(f"warning: {_listed(others)} {what} not graded", file=sys.stderr)
    if any(is_archive(one.name) for one in others):
        print(f"Unpack {_UNPACK} to have it graded.", file=sys.stderr)


def nothing_opened(paths: Sequence[Path], *, single: bool) -> None:
    """No submission has a file that a question asks for."""
    print("warning: no submission has a file that could be opened", file=sys.stderr)
    if single or not paths[0].is_dir():
        return
    if len(paths) > 1:
        text = "Several paths are a submission each: to grade a folder of them, give it alone."
    else:
        where = one_line(shown_name(str(paths[0])))
        text = (
            f"Is {where} the folder of all submissions, with a file or a folder for each student? "
            "Does file: of the assignment say what they are called?"
        )
    print(text, file=sys.stderr)


def nothing(paths: Sequence[Path], course: bool) -> tuple[str, str]:
    """That there is nothing to grade, and what to do; `course`: in a folder of submissions."""
    where = ", ".join(one_line(shown_name(str(path))) for path in paths)
    if not course:
        return (
            f"there is no Python file or notebook in {where}",
            "give the files to check, or a folder that holds them",
        )
    others = left_out(paths[0])
    held = f"; what is there is {_listed(others)}" if others else ""
    packed = any(is_archive(one.name) for one in others)
    return (
        f"there is no submission in {where}{held}",
        "expected a Python file, a notebook or a folder for each student"
        + (f"; unpack {_UNPACK}" if packed else ""),
    )


def nowhere(found: Summary) -> None:
    """Layers that were asked for are in no file."""
    print(
        f"warning: {findings_text.nowhere(found)}. Was something renamed? --select {NOTHING} says "
        "of each file what there is.",
        file=sys.stderr,
    )


def _listed(found: Sequence[Submission]) -> str:
    more = len(found) - _NAMED
    names = [one_line(one.name) for one in found[:_NAMED]]
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def set_aside(results: Path | None, other: Path) -> None:
    """The file of results held those of another run."""
    print(
        f"{results} held results of another assignment, part or version: they are in {other} now",
        file=sys.stderr,
    )


def kept(number: int, total: int) -> None:
    """Some results are those of an earlier run."""
    if number:
        results = "result is" if total == 1 else f"results {'is' if number == 1 else 'are'}"
        again = "--fresh grades all again"
        print(f"{number} of {total} {results} kept from an earlier run ({again})", file=sys.stderr)


def not_decided(number: int) -> None:
    """Gradtool itself failed at some submissions."""
    them = "a submission was" if number == 1 else f"{number} submissions were"
    print(
        f"{them} not graded: this is a bug in gradtool, not in your files. Please report what the "
        f"report says of {NOT_GRADED}, for gradtool {__version__}.",
        file=sys.stderr,
    )


def interrupted(number: int, total: int, *, kept: bool) -> None:
    """The run was stopped; `kept` says whether what was graded stays."""
    then = "the same command goes on from there" if kept else "their results are not kept"
    print(f"interrupted: {number} of {total} are graded; {then}", file=sys.stderr)
