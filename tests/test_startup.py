"""`--help`, `--version` and a usage error load typer, gradtool and the standard library: no more.

Everything else (NumPy 0.2 s, sympy 0.5 s, rich 0.1 s) would be paid by everybody who mistypes an
option, and by every submission that a course checks.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

# Runs a program and then writes the names of all loaded modules as the last line of stderr.
_PROBE = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
{program}
"""
_COMMAND = "from gradtool.cli import main\nsys.exit(main({arguments!r}))"


def loaded(run_python: RunPython, program: str) -> set[str]:
    """The top-level modules that a program leaves loaded."""
    ended = run_python("-c", _PROBE.format(program=program))
    return {name.split(".")[0] for name in json.loads(ended.err.splitlines()[-1])}


def unexpected(run_python: RunPython, program: str) -> set[str]:
    """Those that neither ``import typer`` loads nor the standard library or gradtool has."""
    allowed = loaded(run_python, "import typer") | sys.stdlib_module_names | {"gradtool"}
    return loaded(run_python, program) - allowed


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["derive", "--help"],
        ["check", "--help"],
        ["lint", "--help"],
        ["derive", "--oops"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded(run_python: RunPython, arguments: list[str]) -> None:
    assert unexpected(run_python, _COMMAND.format(arguments=arguments)) == set()


@pytest.mark.parametrize("module", ["numpy", "sympy", "yaml", "rich.console"])
def test_the_guard_notices_a_heavy_import(run_python: RunPython, module: str) -> None:
    # The same command, in a program that also does what the guard must catch.
    program = f"import {module}\n" + _COMMAND.format(arguments=["--version"])
    assert module.split(".")[0] in unexpected(run_python, program)


def test_the_guard_sees_the_command_run(run_python: RunPython) -> None:
    # A probe that stopped before the command would find nothing heavy either.
    assert "gradtool" in loaded(run_python, _COMMAND.format(arguments=["--help"]))
    assert "typer" in loaded(run_python, _COMMAND.format(arguments=["--help"]))


def test_typer_itself_does_not_load_pydantic(run_python: RunPython) -> None:
    # The reason of the upper bound on typer in pyproject.toml.
    assert "pydantic" not in loaded(run_python, _COMMAND.format(arguments=["derive", "--help"]))
