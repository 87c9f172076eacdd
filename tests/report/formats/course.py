"""A course as a report gets it, with names and texts that try to break out of every format."""

from __future__ import annotations

from gradtool.check.result import Called, Compared, Remark, Trouble, Verdict, Worst
from gradtool.lint.isolation.status import LayerStatus
from gradtool.lint.result import Answer, Course, Finding, Graded, Heading, Part, Sandbox
from gradtool.lint.store import Lines, line_of

HOSTILE = (
    "plain.py",
    "new\nline\r\n::error file=a::x.py",
    "##[set-env name=PATH]x.py",
    "\x1b[2J\x1b[31mred\x07.py",
    "<script>alert(1)</script>]]>&amp;.py",
    "=cmd|' /C calc'!A1.py",
    '"quoted", with, commas.py',
    "| table | [link](javascript:x) `code` *b*.py",
    "\u202eyp.exe \u0000 \ufffe \U0001f600.py",
    "{{mustache}} ${{ secrets.TOKEN }} %PATH% %0A::debug::.py",
    "a:b.py",
)


def verdict(text: str) -> Verdict:
    """A failed check with one wrong gradient, every text of it foreign."""
    worst = Worst((0, 1), 1.5, 2.25, 0.75, 1e-12, (("N", 3),))
    return Verdict(
        verdict="fail",
        file=text,
        layer="affine",
        called=(Called(text, 4),),
        convention="as the spec says",
        binding=(),
        forward=(Compared("Y", "(N, C)", "ok", 0.0),),
        gradients=(Compared("W", "(D, C)", "wrong", float("inf"), worst, text),),
        remarks=(Remark("float32", text),),
        conduct=(),
        notes=(text,),
        trouble=Trouble("backward", text, text, 3, text),
        probes=4,
        seed=1,
        version="0",
    )


def graded(name: str) -> Graded:
    """One wrong submission whose every text is its name."""
    findings = (
        Finding("GT202", name, 7, "dW", "transposed", name),
        Finding("GT303", name, 0),
        Finding("GT304", name, 3),
        Finding("GT106", name, 1),
    )
    parts = (Part("forward", 1.0, 1.0), Part("dW", 0.0, 2.0))
    wrong = Answer("affine <1>", name, False, 1.0, 3.0, parts, findings, verdict(name), 0.25)
    missing = Answer("b", "", False, 0.0, 1.0, (), (Finding("GT101", name),), None)
    return Graded(name, "k" * 32, (wrong, missing), 1.5, 0.1, 1 << 20)


def right(name: str) -> Graded:
    """One submission without any finding."""
    answers = tuple(
        Answer(question, name, True, 2.0, 2.0, (), (), None) for question in ("affine <1>", "b")
    )
    return Graded(name, "r" * 32, answers, 0.5)


def course(*all_graded: Graded, missing: tuple[str, ...] = ()) -> Course:
    """A run over these."""
    sandbox = Sandbox((LayerStatus("rlimits", True, "", frozenset({"cpu"})),), missing)
    heading = Heading(
        assignment="hw1",
        title="Homework <1> & \x1b[31m::error::",
        key="k",
        version="0.1.0",
        questions=("affine <1>", "b"),
        points=4.0,
        hide_expected=True,
        explain=True,
        sandbox=sandbox,
        seed=5,
        total=len(all_graded),
    )
    lines = Lines((one.name, line_of(one)) for one in all_graded)
    return Course(heading, lines, "hand-ins", 2.0)


HOSTILE_COURSE = course(right("right.py"), *map(graded, HOSTILE), missing=("network",))
