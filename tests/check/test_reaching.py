"""Code that looks into the process that runs it, and the same code where it cannot."""

from __future__ import annotations

import ast
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gradtool.check.reaching import WORDS, reaches
from gradtool.check.rewrite import Change, changed
from gradtool.lint.parcel import packed, unpacked
from gradtool.lint.submissions import Submission, stage

REACHING = (
    "import sys; sys._getframe()",
    "from sys import _getframe as look; look()",
    "import inspect; inspect.currentframe()",
    "getattr(__import__('sys'), '_getframe')()",
    "eval('__import__(\"sys\")._getframe()')",
    "eval(b'__import__(\"sys\")._getframe()')",
    "(lambda: (yield))().gi_frame.f_back",
    "import gc; gc.get_objects()",
    "object.__subclasses__()",
    "import ctypes; ctypes.c_int(1)",
    "from ctypes import c_int; c_int(1)",
    "import ctypes.util; ctypes.util",
    "import sys; sys.getprofile()",
    "import sys; sys._getf\uff52ame()",
)


def run(text: str, *, sealed: bool) -> dict[str, Any]:
    tree = ast.parse(text)
    if sealed:
        tree = changed(tree, "f.py", Change(seal=True))
    namespace: dict[str, Any] = {}
    exec(compile(tree, "f.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("text", REACHING)
def test_what_is_the_interpreters_is_not_there(text: str) -> None:
    assert reaches(text.encode())
    run(text, sealed=False)
    with pytest.raises((AttributeError, ImportError, NameError)):
        run(text, sealed=True)


def test_what_is_the_codes_own_stays() -> None:
    text = (
        "class Scene:\n"
        "    settrace = 1\n"
        "    def get_objects(self, f_back=2):\n"
        "        return f_back\n"
        "def count(*, ctypes):\n"
        "    global getprofile\n"
        "    getprofile = ctypes\n"
        "count(ctypes=4)\n"
        "found = Scene().settrace, Scene().get_objects(), getattr(Scene, 'settrace'), getprofile\n"
        "kept = {'tb_frame': 5}['tb_frame']\n"
    )
    plain, sealed = run(text, sealed=False), run(text, sealed=True)
    assert plain["found"] == sealed["found"] == (1, 2, 1, 4)
    assert plain["kept"] == sealed["kept"] == 5


def test_what_has_none_of_these_words_is_left_as_it_is() -> None:
    text = "import numpy as np\ndef f(x):\n    '''A frame, objects.'''\n    return np.exp(x), 'é'\n"
    assert not reaches(text.encode())
    tree = ast.parse(text)
    assert ast.dump(changed(tree, "f.py", Change(seal=True))) == ast.dump(tree)


@pytest.mark.parametrize(
    "content",
    [
        b"# -*- coding: utf-7 -*-\n",
        b"#!/usr/bin/python\n# coding=rot13\n",
        b'{"source": ["sys.\\u005fgetframe()"]}',
    ],
)
def test_what_cannot_be_seen_is_taken_for_the_worst(content: bytes) -> None:
    assert reaches(content)


@pytest.mark.parametrize(
    "content",
    [b"# -*- coding: utf-8 -*-\n", b"# coding: latin-1\n# \xe9\n", b"# encoding=cp1252\n", b""],
)
def test_usual_encodings_are_read(content: bytes) -> None:
    assert not reaches(content)


def test_many_letters_that_stand_for_more_cost_no_memory() -> None:
    content = "\ufdfa".encode() * 300_000
    tracemalloc.start()
    try:
        assert not reaches(content)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_change_survives_json() -> None:
    assert Change.from_json(Change(seal=True).to_json()) == Change(seal=True)
    both = Change(seal=True).also(Change(narrow=True))
    assert both == Change(narrow=True, seal=True)


def test_a_helper_may_reach_for_its_neighbour(tmp_path: Path) -> None:
    folder = tmp_path / "hand-in"
    folder.mkdir()
    for number, (name, found) in enumerate({"helper.py": True, "notes.txt": False}.items()):
        (folder / "layers.py").write_text("x = 1\n")
        (folder / name).write_text("import sys\nsys._getframe()\n")
        for place in ("staged", "unpacked"):
            (tmp_path / f"{place}{number}").mkdir()
        staged = stage(Submission("hand-in", folder), tmp_path / f"staged{number}")
        assert staged.reaches is found
        assert unpacked(packed(staged), tmp_path / f"unpacked{number}").reaches is found
        (folder / name).unlink()


def test_every_word_is_one() -> None:
    assert all(word.isidentifier() for word in WORDS)
    # In the letters of a plot there is no word that is long enough, by chance.
    assert min(map(len, WORDS)) >= 6
