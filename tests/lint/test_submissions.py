"""What is graded is a copy of regular files; nothing is followed, and nothing larger is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradtool.lint.parcel import packed, unpacked
from gradtool.lint.submissions import (
    MAX_FILE,
    MAX_NOTEBOOK,
    Submission,
    choose,
    contents,
    files_below,
    fits,
    further,
    left_out,
    stage,
    submissions_in,
)
from gradtool.records import replace


def test_links_pipes_and_large_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "hand-in"
    folder.mkdir()
    (folder / "good.py").write_text("x = 1")
    (folder / "link.py").symlink_to("good.py")
    (folder / "large.py").write_bytes(b"#" * (MAX_FILE + 1))
    (folder / "out").symlink_to("/etc")
    os.mkfifo(folder / "pipe.py")
    target = tmp_path / "target"
    target.mkdir()
    found = stage(Submission("hand-in", folder), target)
    assert found.files == ("good.py",)
    assert {one.name: one.reason for one in found.refused} == {
        "link.py": "it is a link, and links are not followed",
        "large.py": "it is larger than 1 MB",
        "pipe.py": "it is no regular file",
    }
    assert sorted(os.listdir(target)) == ["good.py"]


def test_a_notebook_may_hold_the_plots_that_it_shows(tmp_path: Path) -> None:
    for name, size, reason in (
        ("plots.ipynb", MAX_FILE + 1, ""),
        ("most.ipynb", MAX_NOTEBOOK, ""),
        ("large.ipynb", MAX_NOTEBOOK + 1, "it is larger than 16 MB"),
    ):
        (tmp_path / name).write_bytes(b" " * size)
        target = tmp_path / f"target of {name}"
        target.mkdir()
        found = stage(Submission(name, tmp_path / name), target)
        assert [one.reason for one in found.refused] == ([reason] if reason else [])
        assert found.files == (() if reason else (name,))


HIDDEN = (
    "._hw.py",  # AppleDouble: what a zip made on macOS leaves beside hw.py
    "__MACOSX/._hw.py",
    ".ipynb_checkpoints/hw-checkpoint.py",
    ".Trash/hw.py",
    ".vscode/hw.py",
    "src/.#hw.py",  # a lock of Emacs
    ".DS_Store",
)


def test_what_is_hidden_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Nor does it change the digest, so a result is kept when only an editor was at work."""
    digests = set()
    for number, names in enumerate([("hw.py", *HIDDEN), ("hw.py",)]):
        folder, target = tmp_path / f"{number}" / "hand-in", tmp_path / f"{number}" / "target"
        target.mkdir(parents=True)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\0\5\x16\7" if name in HIDDEN else b"x = 1")
        staged = stage(Submission("hand-in", folder), target)
        assert staged.files == ("hw.py",)
        assert not staged.refused
        assert choose(staged, ("*.py", "*.ipynb")) == ("hw.py", "")
        assert [path.name for path in files_below([folder])] == ["hw.py"]
        digests.add(staged.digest)
    assert len(digests) == 1


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    digests = set()
    for number, (name, text) in enumerate([("a.py", "1"), ("b.py", "1"), ("a.py", "2")]):
        folder = tmp_path / str(number)
        (folder / "target").mkdir(parents=True)
        (folder / name).write_text(text)
        digests.add(stage(Submission(name, folder / name), folder / "target").digest)
    assert len(digests) == 3


def test_a_parcel_is_what_was_staged(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source / "lib", target):
        folder.mkdir(parents=True)
    (source / "a.py").write_text("x = 1")
    for text, random in (("np.random.rand()", True), ("np.rad2deg(1)", False)):
        (source / "lib" / "b.py").write_text(text)
        room = tmp_path / f"room{random}"
        room.mkdir()
        staged = stage(Submission("source", source), room)
        again = unpacked(packed(staged), target / f"{random}")
        assert again == replace(staged, folder=again.folder)
        assert staged.random == random
        assert (again.folder / "lib" / "b.py").read_text() == text


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (("layers.py",), "src/layers.py"),
        (("missing.py", "*.py"), "main.py"),
        (("src/*.py",), ""),
        (("tests/*.py",), "tests/layers_test.py"),
        (("*.ipynb",), ""),
    ],
)
def test_the_first_pattern_that_fits_decides(
    patterns: tuple[str, ...], chosen: str, tmp_path: Path
) -> None:
    folder, target = tmp_path / "hand-in", tmp_path / "target"
    target.mkdir()
    for name in ("main.py", "src/layers.py", "src/other.py", "tests/layers_test.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    found, problem = choose(stage(Submission("hand-in", folder), target), patterns)
    assert found == chosen
    assert ("several files fit" in problem) == (patterns == ("src/*.py",))


def test_patterns() -> None:
    assert fits("a/b/layers.py", "layers.py")
    assert fits("a/b/layers.py", "**/layers.py")
    assert fits("a/b.py", "a/*.py")
    assert not fits("b/a/b.py", "a/*.py")


def test_a_course_is_the_entries_of_its_folder(tmp_path: Path) -> None:
    for name in ("b.py", "a.ipynb", "notes.txt", ".hidden.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "team").mkdir()
    (tmp_path / "__pycache__").mkdir()
    assert [one.name for one in submissions_in(tmp_path)] == ["a.ipynb", "b.py", "team"]


def test_linter_mode_looks_through_folders(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/b/c.py", "src/.git/d.py", "src/venv/e.py", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in files_below([tmp_path])]
    assert found == ["src/a.py", "src/b/c.py"]
    (tmp_path / "src" / "also_a.py").symlink_to("a.py")
    assert [path.name for path in files_below([tmp_path])] == ["a.py", "c.py"]
    # What no other name leads to is refused, and told.
    (tmp_path / "src" / "elsewhere.py").symlink_to("/etc/hostname")
    assert [path.name for path in files_below([tmp_path])] == ["a.py", "elsewhere.py", "c.py"]
    assert [path.name for path in files_below([tmp_path / "src" / "also_a.py"])] == ["also_a.py"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["setup.py", "src/layers.py"], ("src/layers.py",)),
        (["setup.py", "src/layers.py", "src/deep/a.py"], ("src/layers.py", "src/deep/a.py")),
        (["setup.py", "src/layers.py", "src/more.py", "src/deep/a.py"], ()),
        (["setup.py", "a/layers.py", "b/layers.py"], ()),
        (["setup.py", "hw.ipynb", "src/layers.py"], ("hw.ipynb", "src/layers.py")),
        (["setup.py"], ()),
    ],
)
def test_what_else_may_hold_the_answer(
    files: list[str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "hand-in"
    (tmp_path / "target").mkdir()
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1")
    staged = stage(Submission("hand-in", folder), tmp_path / "target")
    assert choose(staged, ("*.py", "*.ipynb")) == ("setup.py", "")
    assert further(staged, ("*.py", "*.ipynb"), "setup.py") == expected


def test_what_vanishes_meanwhile_has_a_result(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    found = stage(Submission("gone.py", tmp_path / "gone.py"), tmp_path / "target")
    expected = "gone.py: it cannot be read: No such file or directory"
    assert choose(found, ("*.py",)) == ("", expected)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "none"),
        ({"notes.txt": 9}, "only notes.txt"),
        ({"a.txt": 9, "b.txt": 9, "c.txt": 9, "d.txt": 9}, "only a.txt, b.txt, c.txt and 1 more"),
        ({"work.ZIP": 9}, "only work.ZIP; unpack the archive"),
        (
            {"hw.tar.gz": MAX_FILE + 1},
            "only hw.tar.gz (it is larger than 1 MB); unpack the archive",
        ),
    ],
)
def test_what_is_there_instead_is_told(files: dict[str, int], told: str, tmp_path: Path) -> None:
    folder = tmp_path / "hand-in"
    folder.mkdir()
    (tmp_path / "target").mkdir()
    for name, size in files.items():
        (folder / name).write_bytes(b"x" * size)
    found = stage(Submission("hand-in", folder), tmp_path / "target")
    assert choose(found, ("*.py",)) == ("", "")
    assert contents(found) == told


def test_what_is_no_submission_is_known(tmp_path: Path) -> None:
    for name in ("ann.py", "Bob, Müller.zip", "essay.txt", "cid.PY", ".hidden", "link"):
        (tmp_path / name).touch()
    (tmp_path / "dan").mkdir()
    assert [one.name for one in submissions_in(tmp_path)] == ["ann.py", "dan"]
    names = ["Bob, Müller.zip", "cid.PY", "essay.txt", "link"]
    assert [one.name for one in left_out(tmp_path)] == names


def test_nobody_is_shown_under_the_name_of_another(tmp_path: Path) -> None:
    """Who is shown like another one would be graded in his place."""
    names = [b"\xe9l\xe8ve.py", b"\\xe9l\\xe8ve.py", b"\\\xe9l\\xe8ve.py", b"\xe9l\\xe8ve.py"]
    for name in names:
        try:
            with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
                pass
        except OSError:
            pytest.skip("this file system takes no such names")
    found = [one.name for one in submissions_in(tmp_path)]
    assert len(set(found)) == len(names)
    assert r"\xe9l\xe8ve.py" in found
