"""Run a command as uid 65534, from root, with the folders that it needs within its reach.

Interpreters often live below a home folder that only root may enter. In a mount namespace of
its own such a folder is replaced by an empty one, into which only what is needed is bound.

    python as_nobody.py FOLDER... -- COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import sys

NOBODY = 65534
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    library = ctypes.CDLL(None, use_errno=True)
    words = [text.encode() for text in (source, target, kind)]
    checked(library.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def closed_above(folder: str) -> str:
    """The topmost folder on the way that others may not enter, or ""."""
    parts = folder.strip("/").split("/")
    for count in range(1, len(parts)):
        above = "/" + "/".join(parts[:count])
        if not os.stat(above).st_mode & 0o001:
            return above
    return ""


def expose(folders: list[str]) -> None:
    """Put every folder within everybody's reach, for this process only."""
    assert sys.platform == "linux"
    library = ctypes.CDLL(None, use_errno=True)
    checked(library.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    below: dict[str, dict[str, int]] = {}
    for folder in folders:
        if closed := closed_above(folder):
            below.setdefault(closed, {})[folder] = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    for closed, kept in below.items():
        mount("tmpfs", closed, "tmpfs", 0, "mode=755")
        for folder, fd in kept.items():
            os.makedirs(folder, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", folder, "", MS_BIND)


def main(arguments: list[str]) -> None:
    cut = arguments.index("--")
    expose(arguments[:cut])
    os.environ["HOME"] = "/nonexistent"
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execv(arguments[cut + 1], arguments[cut + 1 :])


if __name__ == "__main__":
    if sys.platform == "linux":
        main(sys.argv[1:])
