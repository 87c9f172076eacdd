"""Small NumPy functions that an emitted module carries with it when it uses them.

Each file holds one function of the file's name with an underscore before it, written as it is
copied: it uses NumPy as ``np`` and nothing else of the file.  The files are read as text here and
imported as ordinary modules by the tests.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent


@cache
def helper(name: str) -> str:
    """The source of the function ``_name``.

    Raises:
        FileNotFoundError: there is no such helper.
    """
    text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return text[text.index("def _") :].rstrip()


@cache
def helper_names() -> frozenset[str]:
    return frozenset(p.stem for p in _FOLDER.glob("*.py") if not p.stem.startswith("_"))
