"""The commands: parse, call, print, exit.

What a command does stands in another module, which it imports when it runs, so that
``gradtool --help`` does not wait for NumPy and sympy.

Exit codes: 0 clean, 1 findings, 2 usage or configuration, 3 a bug in gradtool, 130 interrupted,
141 the reader of the output has gone (both as a shell reports the signal).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from typer.main import get_command, get_command_name
from typer.models import CommandInfo

from gradtool import __version__, terminal
from gradtool.report import arguments
from gradtool.spec.errors import SpecError, UnsupportedError
from gradtool.spec.usage import UsageError

_USAGE, _BUG, _INTERRUPTED, _BROKEN_PIPE = 2, 3, 130, 141

# Options that `lint` and `merge` share.
_Form: TypeAlias = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Of what is printed: text, json, junit, sarif, github, gitlab, gradescope, csv "
        "or markdown.",
    ),
]
_Output: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--output", "-o", metavar="FORMAT=FILE", help="Also write a report to a file; repeatable."
    ),
]
_Feedback: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--feedback", metavar="DIR", help="Also write a page for each student to a folder."
    ),
]
_Select: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="CODES", help="Only these findings, for example GT2,GT401."),
]
_Ignore: TypeAlias = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="CODES", help="Not these findings.")
]
_Statistics: TypeAlias = Annotated[
    bool, typer.Option("--statistics", help="Count the findings of each code.")
]
_ExitZero: TypeAlias = Annotated[
    bool, typer.Option("--exit-zero", help="Exit with 0 even when there are findings.")
]

# Plain help: typer's boxes would import rich, which costs as much as typer itself.
app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gradtool {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _gradtool(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> int:
    """Derive, print and check the backward pass of neural network layers.

    You write the forward pass of a layer; gradtool derives its gradients, verifies them and
    prints them as a textbook would. Or you wrote the backward pass yourself, and gradtool says
    whether it is right.

    \b
    Examples:
      gradtool derive affine
      gradtool derive batch_norm --steps
      gradtool check my_layers.py --spec affine
      gradtool lint submissions/ --assignment hw1.yaml

    Exit codes: 0 all is well, 1 something in your code is wrong, 2 the command or a spec is
    wrong, 3 a bug in gradtool.
    """
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
    return _USAGE


@app.command()
def derive(
    context: typer.Context,
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC...",
            help="A bundled layer (see `gradtool specs`), a path to a YAML file, "
            "or - for standard input.",
            show_default=False,
        ),
    ] = None,
    wrt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Only these gradients, for example W,b; values of the forward pass too.",
        ),
    ] = None,
    form: Annotated[
        Literal["text", "numpy", "torch", "jax", "latex", "index", "json"],
        typer.Option(
            "--format",
            help="text to read, numpy, torch or jax for code to run, latex to typeset, "
            "index for subscripts, json for programs.",
        ),
    ] = "text",
    steps: Annotated[
        bool, typer.Option("--steps", help="Explain every gradient step by step.")
    ] = False,
    staged: Annotated[
        bool,
        typer.Option(
            "--staged", help="One backward line per forward line, instead of closed forms."
        ),
    ] = False,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT",
            help="Show values and gradients at a point: x=-2,y=5 or 'w=[0.5, 1]'.",
        ),
    ] = None,
    jvp: Annotated[
        bool,
        typer.Option("--jvp", help="Instead: how the outputs change along a direction (Xdot)."),
    ] = False,
    jacobian: Annotated[
        str | None,
        typer.Option(
            metavar="OF,WRT",
            help="Instead: every entry of an output by every entry of a variable; or only WRT, "
            "or all.",
        ),
    ] = None,
    hvp: Annotated[
        bool, typer.Option("--hvp", help="Instead: the Hessian times a direction.")
    ] = False,
    hessian: Annotated[
        str | None,
        typer.Option(metavar="OF,WRT", help="Instead: second derivatives; x means x,x."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Derive every bundled layer.")] = False,
) -> int:
    """Derive the backward pass of a layer from its forward pass.

    The gradients are verified before they are printed: against high-precision differences of
    the forward pass, and by evaluating the printed formulas themselves.
    """
    if every and specs:
        context.fail("Give SPEC or --all, not both.")
    if not every and not specs:
        context.fail("Missing argument 'SPEC...'; `gradtool specs` lists the bundled layers.")
    chosen_names = arguments.names(wrt, "--wrt") if wrt else None
    chosen_point = arguments.point(at, "--at") if at else None
    if every:
        from gradtool.spec.bundled import bundled_specs

        specs = list(bundled_specs())
    from gradtool.report import derive_command
    from gradtool.report.order import order_of

    return derive_command.run(
        order=order_of(jvp=jvp, hvp=hvp, jacobian=jacobian, hessian=hessian, wrt=chosen_names),
        specs=tuple(specs or ()),
        wrt=chosen_names,
        form=form,
        steps=steps,
        staged=staged,
        at=chosen_point,
        out=sys.stdout,
    )


@app.command()
def check(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Your Python file, unmodified.",
            exists=True,
            dir_okay=False,
            readable=True,
            show_default=False,
        ),
    ],
    spec: Annotated[
        list[str] | None,
        typer.Option(
            "--spec",
            metavar="SPEC",
            help="The layer your code implements: a bundled name or a path. Repeat for several. "
            "Without one, every pair of functions is matched with the bundled layers.",
            show_default=False,
        ),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The function or class to check, where several would do."
        ),
    ] = None,
    line: Annotated[
        str | None,
        typer.Option(
            metavar="LINE",
            help="Only what stands at this line; of a notebook: this cell, or CELL:LINE.",
        ),
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Without a spec: the function that computes the output."),
    ] = None,
    backward: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Without a spec: that of the gradients, unless it is the same."
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPES",
            help="Without a spec: 'X: [N, D], W: [D, C], y: {shape: [N], index: C}'.",
        ),
    ] = None,
    form: Annotated[
        Literal["text", "json", "github"],
        typer.Option(
            "--format", help="text to read, json for programs, github for annotations in CI."
        ),
    ] = "text",
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling.")] = 0,
    hide_expected: Annotated[
        bool, typer.Option("--hide-expected", help="Tell no right values and no formula.")
    ] = False,
    explain: Annotated[
        Literal["none", "cause", "full"],
        typer.Option(help="How much to tell of what is wrong."),
    ] = "full",
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again whenever the file is saved.")
    ] = False,
) -> int:
    """Check a backward pass that you wrote.

    Your file runs in a process of its own with a time limit. Its functions are found by name
    (affine_forward and affine_backward for the layer affine), or as the spec's `check:` says.

    \b
    Examples:
      gradtool check layers.py
      gradtool check layers.py --spec affine --spec my_layer.yaml
      gradtool check homework.ipynb --line 7
      gradtool check layers.py --forward f --backward g --inputs "X: [N, D], W: [D, C]"
    """
    if (forward is None) != (inputs is None) or (backward is not None and forward is None):
        context.fail("Give --forward and --inputs together, and --backward with them.")
    if forward is not None and (spec or function or line):
        context.fail(
            "--forward and --inputs are for a check without --spec, --function and --line."
        )
    from gradtool.report import check_command

    request = check_command.Request(
        file=file,
        specs=tuple(spec or ()),
        form=form,
        seed=seed,
        hide_expected=hide_expected,
        function=function,
        line=line,
        forward=forward,
        backward=backward,
        inputs=inputs,
        explain=explain,
    )
    if watch:
        check_command.watch(request, sys.stdout)
    return check_command.run(request, sys.stdout)


@app.command(short_help="Grade a course, or check changed files.")
def lint(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="With an assignment: the folder of all submissions, or single ones. "
            "With --spec: files, and folders to look through.",
            show_default=False,
        ),
    ],
    assignment: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What was asked for; `gradtool init --assignment` writes one."
        ),
    ] = None,
    spec: Annotated[
        list[str] | None,
        typer.Option(
            "--spec", metavar="SPEC", help="Without an assignment: the layers to check for."
        ),
    ] = None,
    single: Annotated[
        bool,
        typer.Option("--single", help="The folder is one submission, not a folder of them."),
    ] = False,
    form: _Form = "text",
    output: _Output = None,
    feedback: _Feedback = None,
    select: _Select = None,
    ignore: _Ignore = None,
    statistics: _Statistics = False,
    exit_zero: _ExitZero = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Submissions at once; one more than cores."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the sampling; drawn anew for each run otherwise."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep results here, and go on with those that are there, "
            "instead of in gradtool's cache.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Grade everything again.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N parts; `gradtool merge` joins them."),
    ] = None,
    require_sandbox: Annotated[
        bool | None,
        typer.Option(
            "--require-sandbox/--no-require-sandbox",
            help="Refuse to run without a complete sandbox; the default when CI is set.",
            show_default=False,
        ),
    ] = None,
    hide_expected: Annotated[
        bool | None,
        typer.Option(
            "--hide-expected/--show-expected",
            help="Right values in what JSON and Gradescope get; otherwise as the assignment says.",
            show_default=False,
        ),
    ] = None,
    executor: Annotated[
        str, typer.Option(metavar="WHERE", help="local, or dask: an existing, trusted cluster.")
    ] = "local",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of the cluster's scheduler.")
    ] = None,
) -> int:
    """Grade a course, or check changed files, without trusting any of them.

    Every submission runs in a process of its own, behind all that the system can enforce; the
    report says what that was. An interrupted run goes on where it stopped.

    \b
    Examples:
      gradtool lint submissions/ --assignment hw1.yaml --output csv=grades.csv
      gradtool lint src/layers.py --spec affine --spec batch_norm
      gradtool lint submissions/ --assignment hw1.yaml --shard 1/4 --results part1.jsonl
      gradtool lint submissions/ --assignment hw1.yaml --executor dask --scheduler tcp://host:8786
    """
    from gradtool.lint import early

    with early.begun() as zygote:  # before what takes long to import
        from gradtool.report import lint_command

        return lint_command.run(
            lint_command.Request(
                paths=tuple(paths),
                assignment=assignment,
                specs=tuple(spec or ()),
                single=single,
                form=form,
                outputs=tuple(output or ()),
                feedback=feedback,
                select=tuple(select or ()),
                ignore=tuple(ignore or ()),
                statistics=statistics,
                exit_zero=exit_zero,
                jobs=jobs,
                seed=seed,
                results=results,
                fresh=fresh,
                shard=shard,
                require_sandbox=require_sandbox,
                hide_expected=hide_expected,
                executor=executor,
                scheduler=scheduler,
            ),
            sys.stdout,
            zygote,
        )


@app.command()
def merge(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="The --results of every shard of one run.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    form: _Form = "text",
    output: _Output = None,
    feedback: _Feedback = None,
    select: _Select = None,
    ignore: _Ignore = None,
    statistics: _Statistics = False,
    exit_zero: _ExitZero = False,
) -> int:
    """Join the results of `gradtool lint --shard` into one report."""
    from gradtool.report import lint_command

    return lint_command.merge(
        files,
        form=form,
        outputs=output or (),
        pages=feedback,
        select=select or (),
        ignore=ignore or (),
        statistics=statistics,
        exit_zero=exit_zero,
        out=sys.stdout,
    )


@app.command()
def explain(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="As in a report, or its name; all without one."),
    ] = None,
) -> int:
    """Explain a code of a report."""
    from gradtool.report import explain_command

    print(terminal.folded(explain_command.text(code)))
    return 0


@app.command()
def init(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Write a first spec for a pair of functions in this file.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    function: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which one, where the file has several.")
    ] = None,
    assignment: Annotated[
        bool, typer.Option("--assignment", help="Write assignment.yaml, with comments.")
    ] = False,
    gradescope: Annotated[
        bool,
        typer.Option("--gradescope", help="Write a Gradescope autograder around the assignment."),
    ] = False,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where to.")] = Path("."),
) -> int:
    """Write a first spec for a file, or the first files of a course.

    A file that is there already is never changed. The shapes in a spec are read from docstrings,
    or asked for in a terminal.
    """
    if not assignment and not gradescope and file is None:
        context.fail("Give FILE, --assignment or --gradescope.")
    if function is not None and file is None:
        context.fail("--function is for FILE.")
    from gradtool.report import init_command

    paths = init_command.run(folder, assignment=assignment, gradescope=gradescope)
    if file is not None:
        ask = _asked_shape if sys.stdin.isatty() else None
        paths.append(init_command.run_spec(folder, file, function, ask))
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)
    return 0


def _asked_shape(name: str, example: str) -> str:
    answer: str = typer.prompt(
        f"shape of {name}, such as {example} (nothing for a number)", default="", err=True
    )
    return answer


@app.command("specs")
def list_specs() -> int:
    """List the layers that come with gradtool."""
    from gradtool.spec.bundled import about, bundled_specs

    found = bundled_specs()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        print(terminal.beside(name, width + 2, about(path)))
    return 0


@app.command("cache", short_help="Derive the bundled layers ahead.")
def fill_cache() -> int:
    """Derive the bundled layers ahead, so that the first check of each is as fast as the next."""
    from gradtool.report import plans
    from gradtool.spec.bundled import bundled_specs

    return plans.build(list(bundled_specs()), sys.stderr)


@app.command("words", short_help="List the vocabulary of forward passes.")
def list_words() -> int:
    """List the vocabulary of forward passes: every function, its arguments and what it does."""
    from gradtool.ops.registry import vocabulary_words

    for usage, meaning in vocabulary_words():
        print(terminal.beside(usage, 60, meaning))
    return 0


@app.command("schema")
def print_schema() -> int:
    """Print the JSON Schema of spec files, for completion in editors."""
    import json

    from gradtool.spec.schema import schema

    print(json.dumps(schema(), indent=2))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; the one place that handles errors."""
    terminal.prepare_streams()
    # The arrays are small: threads of BLAS cost more to start than they save, and on a busy machine
    # they wait for each other.
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    try:
        command = get_command(_with_one(sys.argv[1:] if argv is None else argv))
        code = command.main(argv, prog_name="gradtool", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except typer.TyperException as error:
        return _fail(_typer_message(error), _USAGE)
    except (SpecError, UnsupportedError, UsageError) as error:
        return _fail(_message(error), _USAGE)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (BrokenPipeError, SystemExit):  # typer turns a broken pipe into SystemExit(1)
        terminal.abandon_stdout()
        return _BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            terminal.abandon_stdout()
            return _fail(f"gradtool: cannot write the output: {error.strerror}", _USAGE)
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            hint = "allow more (ulimit -n 1024), or let it do less at once (lint --jobs 1)"
            return _fail(f"gradtool: too many files are open\n{hint}", _USAGE)
        return _fail(_bug_report(error, sys.argv[1:] if argv is None else argv), _BUG)


def _with_one(argv: Sequence[str]) -> typer.Typer:
    """The app with the one command that is called, for to build all of them takes longer than some
    run; the whole of it where none is: for help, and to say what a wrong name may mean.
    """
    found = [c for c in app.registered_commands if argv and _name_of(c) == argv[0]]
    if not found:
        return app
    one = copy(app)
    one.registered_commands = found
    return one


def _name_of(command: CommandInfo) -> str:
    assert command.callback is not None
    return get_command_name(command.name or command.callback.__name__)


def _fail(text: str, code: int) -> int:
    # Not typer's echo, which goes round the streams that were prepared: it writes UTF-8 where an
    # encoding is ASCII.
    print(text, file=sys.stderr)
    return code


def _message(error: SpecError | UnsupportedError | UsageError) -> str:
    match error:
        case SpecError():
            return str(error)
        case UnsupportedError(construct=construct, hint=hint):
            text = f"gradtool: not supported: {construct}"
            return f"{text}\n{hint}" if hint else text
        case UsageError():
            return f"gradtool: {error}"


def _typer_message(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context else "gradtool"
    return f"{command}: {error.format_message()}\nTry '{command} --help'."


def _bug_report(error: Exception, argv: Sequence[str]) -> str:
    import platform
    import traceback

    return (
        "This is a bug in gradtool, not in your files. Please report it with this text:\n\n"
        f"gradtool {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {list(argv)}\n" + "".join(traceback.format_exception(error)).rstrip()
    )
