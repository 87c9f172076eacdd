"""Exit codes and messages: a mistake on the command line is 2 with one clear text, a bug is 3."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradtool.report
from gradtool import __version__
from gradtool.cli import main
from gradtool.records import asdict
from gradtool.spec.errors import Problem, SpecError, UnsupportedError
from gradtool.spec.usage import UsageError
from tests.conftest import ROOT, RunPython

Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def derive_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Puts a function in the place of what `gradtool derive` calls."""
    return _stand_in("derive_command", monkeypatch)


@pytest.fixture
def check_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Puts a function in the place of what `gradtool check` calls."""
    from gradtool.report import check_command

    return lambda run: monkeypatch.setattr(check_command, "run", run)


def _stand_in(name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    def use(run: Run) -> None:
        module = ModuleType(f"gradtool.report.{name}")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(gradtool.report, name, module, raising=False)

    return use


def _raising(error: BaseException) -> Run:
    def run(*_: Any, **__: Any) -> int:
        raise error

    return run


# -- what is asked for ------------------------------------------------------------------------


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gradtool {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", ["derive", "check", "specs", "schema"])
def test_every_command_has_help(capsys: Capture, command: str, option: str) -> None:
    assert main([command, option]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: gradtool {command}")
    assert shown.err == ""


def test_help_lists_the_commands_of_the_readme(capsys: Capture) -> None:
    main(["--help"])
    help_text = capsys.readouterr().out
    table = [
        line.split("`")[1].split()[1]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `gradtool ")
    ]
    listed = [line.split()[0] for line in help_text.split("Commands:\n")[1].splitlines()]
    assert listed == table


@pytest.mark.parametrize("width", [60, 79])
def test_help_fits_a_narrow_terminal(run_python: RunPython, width: int) -> None:
    shown = run_python("-m", "gradtool", "derive", "--help", env={"COLUMNS": str(width)})
    assert shown.code == 0
    assert max(map(len, shown.out.splitlines())) <= width


def test_derive_passes_on_what_was_typed(derive_with: Callable[[Run], None]) -> None:
    seen: dict[str, Any] = {}
    derive_with(lambda **given: seen.update(given) or 0)
    arguments = "derive a b --wrt W,b --wrt x --format json --steps --staged --at x=-2,y=[1,2.5]"
    assert main(arguments.split()) == 0
    assert seen.pop("out") is sys.stdout
    assert seen == {
        "specs": ("a", "b"),
        "wrt": ("W", "b", "x"),
        "form": "json",
        "steps": True,
        "staged": True,
        "at": {"x": -2, "y": [1, 2.5]},
        "order": None,
    }


def test_derive_defaults(derive_with: Callable[[Run], None]) -> None:
    seen: dict[str, Any] = {}
    derive_with(lambda **given: seen.update(given) or 0)
    assert main(["derive", "-"]) == 0
    assert seen["specs"] == ("-",)
    assert (seen["wrt"], seen["form"], seen["at"]) == (None, "text", None)
    assert (seen["steps"], seen["staged"]) == (False, False)


def test_derive_all_means_every_bundled_spec(derive_with: Callable[[Run], None]) -> None:
    seen: dict[str, Any] = {}
    derive_with(lambda **given: seen.update(given) or 0)
    assert main(["derive", "--all"]) == 0
    assert sorted(seen["specs"]) == sorted(path.stem for path in (ROOT / "specs").rglob("*.yaml"))


def test_check_passes_on_what_was_typed(check_with: Callable[[Run], None], tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    check_with(lambda request, out: seen.update(asdict(request), out=out) or 1)
    file = tmp_path / "mine.py"
    file.touch()
    more = ["--function", "f", "--format", "json", "--seed", "7", "--hide-expected"]
    more += ["--explain", "cause", "--line", "3"]
    assert main(["check", str(file), "--spec", "a", "--spec", "b.yaml", *more]) == 1
    chosen: dict[str, object] = {"function": "f", "form": "json", "seed": 7}
    chosen |= {"hide_expected": True, "explain": "cause", "line": "3", "seconds": 10.0}
    chosen |= {"forward": None, "backward": None, "inputs": None}
    assert seen == {"file": file, "specs": ("a", "b.yaml"), "out": sys.stdout, **chosen}


def test_specs_names_every_bundled_spec_once(capsys: Capture) -> None:
    assert main(["specs"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == sorted(path.stem for path in (ROOT / "specs").rglob("*.yaml"))


# -- usage errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["deriv"], "gradtool: No such command 'deriv'. Did you mean 'derive'?"),
        (["--oops"], "gradtool: No such option: --oops"),
        (["derive", "a", "--stage"], "gradtool derive: No such option: --stage"),
        (["derive"], "gradtool derive: Missing argument 'SPEC...'; `gradtool specs` lists"),
        (["derive", "a", "--all"], "gradtool derive: Give SPEC or --all, not both."),
        (["derive", "a", "--wrt"], "gradtool: Option '--wrt' requires an argument."),
        (["derive", "a", "--wrt", "W,,b"], "gradtool: --wrt 'W,,b': expected names"),
        (["derive", "a", "--at", "x"], "gradtool: --at 'x': expected name=value pairs"),
        (["derive", "a", "--format", "pdf"], "gradtool derive: Invalid value for '--format'"),
        (["check"], "gradtool check: Missing argument 'FILE'."),
        (["check", "gone.py", "--spec", "a"], "gradtool check: Invalid value for 'FILE': File"),
        (["check", __file__, "--forward", "f"], "gradtool check: Give --forward and --inputs"),
        (
            ["check", __file__, "--forward", "f", "--inputs", "x: [N]", "--spec", "relu"],
            "gradtool check: --forward and --inputs are for a check without --spec",
        ),
        (["specs", "extra"], "gradtool specs: Got unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_usage_errors(capsys: Capture, arguments: list[str], expected: str) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(expected)
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_no_command_shows_the_help_as_an_error(capsys: Capture) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Usage: gradtool")


# -- errors of the commands -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            SpecError([Problem("a.yaml", 3, 5, 2, "    Y = XW", "unknown name XW", "X @ W?")]),
            "a.yaml:3:5: unknown name XW\n        Y = XW\n        ^^\n    X @ W?\n",
        ),
        (
            UnsupportedError("scipy.special.erfcx", "write it with exp"),
            "gradtool: not supported: scipy.special.erfcx\nwrite it with exp\n",
        ),
        (UnsupportedError("erfcx"), "gradtool: not supported: erfcx\n"),
        (
            UsageError("no bundled layer is called 'afine'", "did you mean affine?"),
            "gradtool: no bundled layer is called 'afine'\ndid you mean affine?\n",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_user_are_told_in_full(
    capsys: Capture, derive_with: Callable[[Run], None], error: Exception, expected: str
) -> None:
    derive_with(_raising(error))
    assert main(["derive", "a"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", expected)


def test_a_bug_is_reported_as_one(capsys: Capture, derive_with: Callable[[Run], None]) -> None:
    derive_with(_raising(RuntimeError("the sum of the parts")))
    assert main(["derive", "affine"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("This is a bug in gradtool, not in your files.")
    assert f"gradtool {__version__}, Python " in shown.err
    assert "arguments: ['derive', 'affine']" in shown.err
    assert shown.err.rstrip().endswith("RuntimeError: the sum of the parts")


def test_an_interrupt_is_quiet(capsys: Capture, derive_with: Callable[[Run], None]) -> None:
    derive_with(_raising(KeyboardInterrupt()))
    assert main(["derive", "a"]) == 130
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


# -- streams ----------------------------------------------------------------------------------


def _run_main(body: str, *arguments: str) -> str:
    """A program whose `derive` does `body`, with the stream `out`."""
    return (
        "import sys, types\nimport gradtool.report\nmodule = types.ModuleType('x')\n"
        f"def run(*, out, **_):\n    {body}\n    return 0\n"
        "module.run = run\n"
        "sys.modules['gradtool.report.derive_command'] = module\n"
        "gradtool.report.derive_command = module\n"
        f"from gradtool.cli import main\nsys.exit(main({list(arguments)!r}))"
    )


@pytest.mark.parametrize("lines", [1, 100_000], ids=["on the last flush", "while writing"])
def test_a_reader_that_has_gone_is_no_error(lines: int) -> None:
    program = _run_main(f"out.write('gradient\\n' * {lines})", "derive", "a")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk: /dev/full is not on every system.
    program = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    program += _run_main("out.write('gradient\\n')", "derive", "a")
    with (tmp_path / "full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-B", "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"gradtool: cannot write the output: ")
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_the_letters_gets_ascii(run_python: RunPython, encoding: str) -> None:
    program = _run_main(r"out.write('\u03a3_n \u03c3\u2032 \u2264 1 \u2502\n')", "derive", "a")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    ended = run_python("-c", program, env=env)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "sum_n sigma' <= 1 |\n"


def test_no_line_of_the_help_is_cut(run_python: RunPython) -> None:
    ended = run_python("-m", "gradtool", "--help")
    listed = ended.out.partition("Commands:\n")[2]
    assert "  lint " in listed
    assert all(line.endswith(".") and not line.endswith("...") for line in listed.splitlines())


@pytest.mark.parametrize("arguments", [("words",), ("derive", "naïve")])
def test_lists_and_errors_keep_to_an_encoding(
    run_python: RunPython, arguments: tuple[str, ...]
) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = run_python("-m", "gradtool", *arguments, env=env)
    assert "axis=..." in ended.out or "'naive'" in ended.err
    assert (ended.out + ended.err).isascii()


def test_an_argument_that_is_not_text_is_still_told(run_python: RunPython) -> None:
    # A byte that is no UTF-8 arrives as a lone surrogate, which no encoding can write.
    ended = run_python("-c", _run_main("pass", "derive", "a", "--format", "\udcff"))
    assert ended.code == 2
    assert "is not one of" in ended.err


def test_a_closed_stdout_is_no_bug() -> None:
    ended = subprocess.run(
        ["sh", "-c", '"$0" -m gradtool specs >&-', sys.executable],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
