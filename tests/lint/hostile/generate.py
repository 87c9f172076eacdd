"""Write the hostile course: ``python -m tests.lint.hostile.generate DIR`` from the checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.lint.hostile import broken, escape, forbidden, forging, honest, packaging, resource
from tests.lint.hostile.model import Case, Fifo, Link

CASES: tuple[Case, ...] = (
    *honest.CASES,
    *broken.CASES,
    *resource.CASES,
    *forging.CASES,
    *escape.CASES,
    *packaging.CASES,
    *forbidden.CASES,
)

ASSIGNMENT = """\
assignment: hostile
title: "<b>Hostile</b> & co"
questions:
  - spec: affine
    file: [layers.py, "*.py", "*.ipynb"]
    points: 10
limits: {seconds: 2, cpu: 1, memory: 256 MB}
"""


def write(folder: Path, cases: Iterable[Case] = CASES) -> dict[str, Case]:
    """Write the submissions into an empty folder; each by the name of its result."""
    found = {}
    for case in cases:
        top = folder if len(case.files) == 1 else folder / case.name
        for name, content in case.files.items():
            path = os.path.join(
                os.fsencode(top), name if isinstance(name, bytes) else name.encode()
            )
            os.makedirs(os.path.dirname(path), exist_ok=True)
            match content:
                case Link(target):
                    os.symlink(target, path)
                case Fifo():
                    os.mkfifo(path)
                case str() | bytes():
                    data = content.encode() if isinstance(content, str) else content
                    with open(path, "wb") as stream:
                        stream.write(data)
        found[_shown(case)] = case
    return found


def _shown(case: Case) -> str:
    if len(case.files) > 1:
        return case.name
    name = next(iter(case.files))
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    (target.parent / "hostile.yaml").write_text(ASSIGNMENT)
    print(f"{len(write(target))} submissions in {target}, the assignment beside it")
