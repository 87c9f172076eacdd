"""The commands: parse, call, print, exit.

What a command does stands in another module, which it imports when it runs, so that
``gradtool --help`` does not wait for NumPy and sympy.

Exit codes: 0 clean, 1 findings, 2 usage or configuration, 3 a bug in gradtool, 130 interrupted,
141 the reader of the output has gone (both as a shell reports the signal).
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.main import get_command

from gradtool import __version__, terminal
from gradtool.report import arguments
from gradtool.spec.errors import SpecError, UnsupportedError
from gradtool.spec.usage import UsageError

_USAGE, _BUG, _INTERRUPTED, _BROKEN_PIPE = 2, 3, 130, 141

# Plain help: typer's boxes would import rich, which costs as much as typer itself.
app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradtool {__version__}")
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

    Exit codes: 0 all is well, 1 something in your code is wrong, 2 the command or a spec is
    wrong, 3 a bug in gradtool.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
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
        typer.Option(metavar="NAMES", help="Only these gradients, for example W,b."),
    ] = None,
    form: Annotated[
        Literal["text", "numpy", "latex", "index", "json"],
        typer.Option(
            "--format",
            help="text to read, numpy code to run, latex to typeset, index for subscripts, "
            "json for programs.",
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

    return derive_command.run(
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
        list[str],
        typer.Option(
            "--spec",
            metavar="SPEC",
            help="The layer your code implements: a bundled name or a path. Repeat for several.",
            show_default=False,
        ),
    ],
) -> int:
    """Check a backward pass that you wrote.

    Your file runs in a process of its own with a time limit. Its functions are found by name
    (affine_forward and affine_backward for the layer affine), or as the spec's `check:` says.
    """
    from gradtool.report import check_command

    return check_command.run(file=file, specs=tuple(spec), out=sys.stdout)


@app.command("specs")
def list_specs() -> int:
    """List the layers that come with gradtool."""
    from gradtool.spec.bundled import about, bundled_specs

    found = bundled_specs()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        typer.echo(f"{name:<{width}}  {about(path)}".rstrip())
    return 0


@app.command("schema")
def print_schema() -> int:
    """Print the JSON Schema of spec files, for completion in editors."""
    import json

    from gradtool.spec.schema import schema

    typer.echo(json.dumps(schema(), indent=2))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; the one place that handles errors."""
    terminal.prepare_streams()
    try:
        code = get_command(app).main(argv, prog_name="gradtool", standalone_mode=False)
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
        return _fail(_bug_report(error, sys.argv[1:] if argv is None else argv), _BUG)


def _fail(text: str, code: int) -> int:
    typer.echo(text, err=True)
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
