"""Whatever is given as a spec file, the answer is a spec or clear problems, and soon."""

from __future__ import annotations

import io
import os
import time
from functools import partial
from pathlib import Path

import pytest

from gradtool.spec.errors import Problem, SpecError
from gradtool.spec.load import MAX_BYTES, load_bytes, load_path, load_stdin, load_text

GOOD = "layer: a\ninputs: {X: [N]}\nforward: Y = X\n"


def only_problem(run: object) -> Problem:
    assert callable(run)
    with pytest.raises(SpecError) as caught:
        run()
    (problem,) = caught.value.problems
    return problem


def said(problem: Problem) -> str:
    return problem.message + (f" -> {problem.hint}" if problem.hint else "")


def test_a_file_and_standard_input_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_path(path).source.file == str(path)
    assert load_stdin(io.BytesIO(GOOD.encode())).source.file == "<stdin>"


def test_standard_input_that_is_closed() -> None:
    closed = io.BytesIO()
    closed.close()
    problem = only_problem(lambda: load_stdin(closed))
    assert said(problem) == "standard input cannot be read -> pipe a spec into it"


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "affine.yaml").write_text(GOOD)
    found = only_problem(lambda: load_path(tmp_path / "afine.yaml"))
    assert said(found) == f"no such file -> did you mean '{tmp_path / 'affine.yaml'}'?"
    assert (found.file, found.line, found.column) == (str(tmp_path / "afine.yaml"), 1, 1)
    assert said(only_problem(lambda: load_path(tmp_path / "zebra.yaml"))) == "no such file"
    missing = tmp_path / "no" / "a.yaml"
    assert said(only_problem(lambda: load_path(missing))) == (
        f"no such file -> there is no directory '{missing.parent}' either"
    )


def test_a_directory_names_a_spec_inside(tmp_path: Path) -> None:
    problem = only_problem(lambda: load_path(tmp_path))
    assert said(problem) == ("expected a spec file, found a directory -> it holds no .yaml file")
    (tmp_path / "b.yaml").write_text(GOOD)
    problem = only_problem(lambda: load_path(tmp_path))
    assert problem.hint == f"give one of its files, such as '{tmp_path / 'b.yaml'}'"


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    if os.geteuid() == 0:  # root reads every file
        assert load_path(path).name == "a"
        return
    assert said(only_problem(lambda: load_path(path))) == (
        "the file cannot be read: Permission denied"
    )


@pytest.mark.parametrize("name", ["a\0.yaml", "a" * 5000])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert "file" in only_problem(lambda: load_path(tmp_path / name)).message


def test_an_endless_file_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    hole = tmp_path / "hole.yaml"
    hole.touch()
    os.truncate(hole, 1 << 40)  # takes no room on the disk
    device = Path("/dev/zero")  # tells no size
    for path in (hole, device) if device.exists() else (hole,):
        assert "larger file" in only_problem(partial(load_path, path)).message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a layer spec, found an empty file"),
        (b" \n\n", "expected a layer spec, found an empty file"),
        (b"\xef\xbb\xbf", "expected a layer spec, found an empty file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "expected a text file, found binary data (NUL in byte 9)"),
        (b"layer: \xff\n", "expected UTF-8 text, found the byte 0xFF"),
        (GOOD.encode("utf-16"), "expected UTF-8 text, found UTF-16"),
        (
            b"# " + b"x" * 10_000_000,
            "expected a spec of at most 1,000,000 bytes, found a larger file",
        ),
    ],
    ids=["empty", "blank", "mark only", "binary", "latin-1", "utf-16", "10 MB"],
)
def test_what_is_no_spec_text_at_all(content: bytes, message: str) -> None:
    assert only_problem(lambda: load_bytes(content, "s.yaml")).message == message


def test_a_wrong_byte_is_found_by_line_and_character() -> None:
    problem = only_problem(lambda: load_bytes("é: 1\nñ: ".encode() + b"\xe9\n", "s.yaml"))
    assert (problem.line, problem.column) == (2, 4)


HOSTILE = {
    "flow lists": "x-a: " + "[" * 400_000,
    "flow mappings": "{a: " * 200_000,
    "block mappings": "\n".join(" " * k + "a:" for k in range(900)),
    "complex keys": "? " * 300_000,
    "dashes": "- " * 300_000,
    "many items": "x-a: [" + "a," * 400_000 + "]",
    "many keys": "\n".join(f"k{k}: 1" for k in range(60_000)),
    "a bomb of aliases": "x-a: &a [1]\n"
    + "".join(f"x-{k}: &b{k} [{', '.join(['*a'] * 9)}]\n" for k in range(100)),
    "parentheses": GOOD + "check: {forward: '" + "(" * 300_000 + "'}\n",
    "signs": GOOD + "check: {forward: '" + "-" * 300_000 + "1'}\n",
    "attributes": GOOD + "check: {forward: '" + "a" + ".a" * 200_000 + "'}\n",
    "a long number in code": GOOD + "check: {forward: 'x = " + "9" * 5_000 + "'}\n",
    "a huge power": GOOD.replace("[N]", "[((((2**8)**8)**8)**8)**8]"),
    "a huge product": GOOD.replace("[N]", "[" + "*".join(["(a+b)"] * 33) + "]"),
    "a deep size": GOOD.replace("[N]", "[" + "(" * 90 + "N" + ")" * 90 + "*" * 9 + "]"),
    "a long size": GOOD.replace("[N]", "[" + "+".join("N" * 10_000) + "]"),
    "a huge exponent": GOOD + "constants: {c: 1e999999999}\n",
    "a long constant": GOOD + "constants: {c: " + "9" * 100_000 + "}\n",
    "a long name": GOOD.replace("layer: a", "layer: " + "a" * 100_000),
    "lone surrogates": "layer: \udc80\n",
    "control characters": "".join(map(chr, range(32))),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_is_refused_in_time(text: str) -> None:
    assert len(text) < MAX_BYTES
    start = time.perf_counter()
    with pytest.raises(SpecError):
        load_text(text, "s.yaml")
    assert time.perf_counter() - start < 10


def test_an_alias_is_refused_before_it_is_expanded() -> None:
    """Nine levels of nine aliases would be 387 million values."""
    text = "x-0: &a0 [x]\n" + "".join(
        f"x-{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
    )
    with pytest.raises(SpecError, match="aliases are not allowed"):
        load_text(text + GOOD, "s.yaml")
