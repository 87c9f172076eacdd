"""A submission on its way to another machine: what was copied of it, as plain bytes."""

from __future__ import annotations

import os
from pathlib import Path

from gradtool.check.reaching import reaches
from gradtool.lint.submissions import CODE, Refused, Staged, names_random
from gradtool.records import Struct


class Parcel(Struct, frozen=True):
    """A private copy of a submission, without a folder.

    Attributes:
        files: relative names, as bytes (a name need not be text), and contents.
        alone, refused, digest: as in `Staged`.
    """

    files: tuple[tuple[bytes, bytes], ...]
    alone: bool
    refused: tuple[Refused, ...]
    digest: str


def packed(staged: Staged) -> Parcel:
    """The content of a private folder."""
    files = tuple((os.fsencode(n), (staged.folder / n).read_bytes()) for n in staged.files)
    return Parcel(files, staged.alone, staged.refused, staged.digest)


def unpacked(parcel: Parcel, target: Path) -> Staged:
    """The same in `target`, an empty private folder."""
    names = []
    for name, content in parcel.files:
        relative = os.fsdecode(name)
        place = target / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        names.append(relative)
    random = any(names_random(content) for _, content in parcel.files)
    code = (content for name, content in parcel.files if os.fsdecode(name).endswith(CODE))
    reaching = any(map(reaches, code))
    told = tuple(names), parcel.refused, parcel.digest
    return Staged(target, parcel.alone, *told, random, reaching)
