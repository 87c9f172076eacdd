"""Entries that belong to the isolation itself."""

from __future__ import annotations


def nothing(read_fd: int, write_fd: int) -> None:
    """The first job of a zygote: only the layers matter."""
