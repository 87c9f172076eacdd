"""A file of what was done, so that a long run goes on where it was stopped."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path


class Journal:
    """Lines of ``key<tab>result``; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: dict[str, str] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                key, _, result = line.partition("\t")
                self.results[key] = result

    def add(self, key: str, result: str) -> None:
        self.results[key] = result
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(f"{key}\t{result}\n")


def parser(text: str | None) -> ArgumentParser:
    """Of a command with ``--journal FILE``, which gives the `Journal` of that file."""
    found = ArgumentParser(description=text, formatter_class=RawDescriptionHelpFormatter)
    found.add_argument("--journal", metavar="FILE", type=_journal, default=Journal(None))
    return found


def _journal(name: str) -> Journal:
    return Journal(Path(name))
