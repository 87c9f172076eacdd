"""What every worker will do, done a few times before the first of them is forked.

A fork shares memory until somebody writes, and the interpreter writes when it runs code for the
first few times: it rewrites instructions for the types that it sees, and fills caches.  Each
worker would do so in its own copies, page by page.  Here it is done once for all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gradtool.check import frames
from gradtool.lint import sample
from gradtool.lint.isolation import frames as pipes
from gradtool.lint.serve import Observed, answer_all, note_ours

_TIMES = 10  # an instruction is rewritten after eight runs
Header = dict[str, Any]

_PLACES = {"X": "a0", "k": "a1", "dY": "a2"}


def rehearse() -> None:
    """Answer what a worker is asked, about a file of our own, of which nothing stays."""
    file = str(Path(sample.__file__))
    requests = _requests(file)
    for _ in range(_TIMES):
        with _undone():
            _answer(requests)
    note_ours()


def _requests(file: str) -> tuple[bytes, ...]:
    """All that a right submission is asked: about its text, to load it, a script, a place."""
    snippets = {"setup": None, "forward": sample.FORWARD, "backward": sample.BACKWARD}
    about: Header = {"file": file, "tag": None, "max_bytes": 0}
    look = {**about, "op": "look"}
    load = {**about, "op": "load", "root": str(Path(file).parent), "only": False, "provide": {}}
    bound: Header = {"snippets": snippets, "grads": {}, "max_bytes": 0}
    where = {**about, **bound, "op": "where", "names": ["X"]}
    bind = {**bound, "op": "bind", "outputs": ["Y"], "gradients": ["X", "k"], "read": []}
    run: Header = {"op": "run", "scalars": {"N": 2, "D": 3, "eps": 1e-5}, "seed": 1, "slot": 0}
    run |= {"watch": True, "forward_only": False, "max_bytes": 1 << 20, "work": 1}
    others = [{**run, "watch": False, "op": op} for op in ("start", "finish", "count", "steps")]
    live = {**run, "watch": False, "op": "live", "calls": ["forward", "backward", "change"]}
    script: list[Header] = [{"header": bind, "arrays": {}}]
    script += [{"header": one, "arrays": _PLACES} for one in (run, live, *others)]
    batch: Header = {"op": "batch", "requests": script, "seconds": 60.0}
    arrays = {"a0": np.arange(6.0).reshape(2, 3), "a1": np.arange(3.0), "a2": np.ones((2, 3))}
    plain = [frames.encode(one, {}) for one in (look, load, where)]
    return (*plain, frames.encode(batch, arrays))


def _answer(requests: Sequence[bytes]) -> None:
    """As in a worker: over pipes, which hold all of it."""
    ask, asking = os.pipe()
    answered, answer = os.pipe()
    try:
        for request in requests:
            pipes.write_frame(asking, request)
        os.close(asking)
        answer_all(ask, answer, Observed())
        for _ in requests:
            pipes.read_frame(answered, 1 << 20)
    finally:
        for descriptor in (ask, answered, answer):
            os.close(descriptor)


@contextmanager
def _undone() -> Iterator[None]:
    """The interpreter's own lists, what was imported, the folder we are in: as they were."""
    lists: list[list[Any]] = [sys.path, sys.meta_path, sys.path_hooks]
    before = [list(kept) for kept in lists]
    modules, importers = set(sys.modules), dict(sys.path_importer_cache)
    arguments, hook, folder = sys.argv, sys.breakpointhook, os.getcwd()
    try:
        yield
    finally:
        os.chdir(folder)
        for kept, old in zip(lists, before, strict=True):
            kept[:] = old
        for name in set(sys.modules) - modules:
            del sys.modules[name]
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(importers)
        sys.argv, sys.breakpointhook = arguments, hook
