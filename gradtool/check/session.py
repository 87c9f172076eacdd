"""A user's file in a worker, or in another one where that was lost: loaded, bound, evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradtool.check import python2
from gradtool.check.answers import Run, read_run, texts, trouble_of
from gradtool.check.bind import Binding
from gradtool.check.definitions import CUT_SHORT
from gradtool.check.frames import Frame
from gradtool.check.inventory import Inventory, from_json
from gradtool.check.process import Asked, Foresees, Recalls, Worker, WorkerLost
from gradtool.check.recall import NOTHING, Recall
from gradtool.check.result import RUNNING, Trouble
from gradtool.check.unwritten import plainly
from gradtool.check.widths import FRAMEWORKS
from gradtool.records import replace

if TYPE_CHECKING:
    from gradtool.check.rewrite import Change


class CheckTrouble(Exception):
    """The file cannot be checked, for the reason given."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class TooSlow(CheckTrouble):
    """There was no answer in time; another worker may answer to less."""


def trouble_in(problem: Exception) -> Trouble:
    """What a problem says; if it is not the file's, how the file is called cannot be told."""
    return (
        problem.trouble if isinstance(problem, CheckTrouble) else Trouble("binding", str(problem))
    )


class Session:
    """One file in one worker.  A context manager."""

    def __init__(
        self,
        file: Path,
        *,
        root: str | None = None,
        only_definitions: bool = False,
        python2: bool = False,
        provide: Mapping[str, str] | None = None,
        tag: str | None = None,
        seconds: float = 10.0,
        worker: Asked | None = None,
        start: Callable[[], Asked] | None = None,
        spare: Callable[[], Asked] | None = None,
        varies: bool = True,
        loaded: bool = False,
        resolved: bool = False,
        answers: Recall = NOTHING,
    ) -> None:
        """`file` is `resolved` where it is absolute and none of it is a link.

        `start` starts a worker, here and again when one was lost: it must be as safe as
        `worker`, a first one that runs already.  With `varies` the file may be loaded again with
        something changed, in a worker that `spare` starts beside the other; it is `loaded` where
        the functions come from elsewhere and need not be the file's.  `answers` keeps what
        a class answers alike."""
        self.file = file if resolved else file.resolve()
        self.seconds = seconds
        self.varies = varies
        self.loaded = loaded
        self._start = start or self._plain
        self._spare = spare or self._start
        self.answers = answers
        self.notes: list[str] = []
        self.inventory = Inventory()  # of what counts
        self.whole = self.inventory  # with what stands before the cells that count
        self.names: frozenset[str] = frozenset()
        self._snippets: Mapping[str, str | None] = {}
        self._change: Change | None = None
        self.frameworks: tuple[str, ...] = ()
        self.lost = False  # whether the worker is, and no other has taken its place
        self.told: dict[str, object] = {}  # how results are made up, by the snippets that are bound
        self._replaced = False
        self._load: dict[str, Any] = {
            "op": "load",
            "file": str(self.file),
            "only": only_definitions,
            "python2": python2,
            "provide": dict(provide or {}),
        }
        self._load |= {k: v for k, v in (("root", root), ("tag", tag)) if v is not None}
        self._worker = worker or self._start()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.close()

    @property
    def loading(self) -> Mapping[str, Any]:
        """What `load` will ask first."""
        return self._load

    def load(self) -> None:
        """Import the file; if that ends or hangs the worker, its definitions in a new one.

        Raises:
            CheckTrouble: neither works.
        """
        try:
            reply = self._worker.ask(self._load)
        except WorkerLost as lost:
            if self._load["only"] or lost.kind == "garbled":
                raise CheckTrouble(Trouble("import", f"importing the file: {lost}")) from None
            self.notes.append(f"{CUT_SHORT}: {lost}; only the definitions were taken")
            self._load["only"] = True
            self._restart()
            try:
                reply = self._worker.ask(self._load)
            except WorkerLost as again:
                raise CheckTrouble(Trouble("import", f"importing the file: {again}")) from None
        trouble = trouble_of(reply.header)
        if trouble:
            raise CheckTrouble(trouble)
        self._note(reply.header)
        try:
            self.inventory = from_json(reply.header.get("inventory"))
            whole = reply.header.get("whole")
            self.whole = self.inventory if whole is None else from_json(whole)
        except ValueError as error:
            raise CheckTrouble(Trouble("import", str(error))) from None
        self.names = frozenset(filter(str.isidentifier, texts(reply.header.get("names"))))

    def again(self) -> None:
        """Load the file in a new worker, where the last one was lost.

        Raises:
            CheckTrouble: it cannot be loaded any more.
        """
        self._restart()
        try:
            self.load()
        except CheckTrouble:
            self.lost = True  # it has nothing that could be asked
            raise

    def varied(self, change: Change, only: bool = False) -> Session:
        """The same file with a change made before it runs, in a worker of its own, loaded.

        `only`: nothing but its definitions is run.

        Raises:
            CheckTrouble: it cannot be loaded like that.
        """
        session = Session(self.file, seconds=self.seconds, start=self._spare, resolved=True)
        session._change = change if self._change is None else self._change.also(change)
        session._load = {
            **self._load,
            "change": session._change.to_json(),
            "only": only or self._load["only"],
            "frameworks": self.frameworks,
        }
        try:
            session.load()
        except CheckTrouble:
            session._worker.close()
            raise
        return session

    def guards(self) -> list[object]:
        """The tiny numbers that the file adds where a zero would do harm, as the worker tells.

        Raises:
            CheckTrouble: the worker is lost.
        """
        found = self.ask({"op": "guards"}, {}, 0).header.get("guards")
        return found if isinstance(found, list) else []

    def _plain(self) -> Asked:
        return Worker(self.file.parent, self.seconds)

    def _restart(self) -> None:
        self._worker.close()
        self._worker = self._start()
        self.lost, self._replaced = False, True

    def bind(
        self,
        binding: Binding,
        outputs: Iterable[str],
        gradients: Iterable[str],
        read: Iterable[str],
    ) -> None:
        """Give the worker the snippets.

        Raises:
            CheckTrouble: one is no Python.
        """
        if self._snippets != binding.snippets:  # in another worker they may be the same
            self.told = {}
        self._snippets = binding.snippets
        header = {
            "op": "bind",
            "snippets": binding.snippets,
            "grads": dict(binding.grads),
            "outputs": list(outputs),
            "gradients": list(gradients),
            "read": list(read),
        }
        trouble = trouble_of(self.ask(header, {}, 0).header)
        if trouble:
            raise CheckTrouble(trouble)

    def evaluate(
        self,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, int | float],
        *,
        seed: int,
        max_bytes: int,
        op: str = "run",
        slot: int = 0,
        watch: bool = False,
        forward_only: bool = False,
        turned: Sequence[str] = (),
    ) -> Run:
        """One evaluation, or with `op` "start" and "finish" its two halves.

        The arrays that are `turned` are transposed views: the same values, in Fortran order.

        Raises:
            CheckTrouble: the worker hung, ended or crashed.
        """
        header = _evaluation(op, scalars, seed, slot, watch, forward_only)
        if turned:
            header["turned"] = list(turned)
        return self._run(self.ask(header, arrays, max_bytes))

    def live(
        self,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, int | float],
        *,
        calls: Sequence[str],
        seed: int,
        max_bytes: int,
    ) -> Run:
        """Several calls on one object, as `gradtool.check.life` makes them: what the last gave.

        In `mutated` is what the first ones returned and later ones overwrote.

        Raises:
            CheckTrouble: the worker hung, ended or crashed.
        """
        header = _evaluation("live", scalars, seed, 0, False, False)
        return self._run(self.ask({**header, "calls": list(calls)}, arrays, max_bytes))

    def foresee(
        self,
        points: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, int | float], int]],
        *,
        seed: int,
        watch: bool = False,
        forward_only: bool = False,
    ) -> None:
        """Tell arrays, scalars and most bytes of evaluations that follow; some may not.

        It saves time where talking to the worker takes longer than what it is asked to do.
        """
        if isinstance(self._worker, Foresees):
            self._worker.foresee(
                [
                    (_evaluation("run", scalars, seed, 0, watch, forward_only), arrays, most)
                    for arrays, scalars, most in points
                ]
            )

    def recalled(self, about: object) -> object | None:
        """What equal answers of another file led to, where that is known; see `Recalls`."""
        return self._worker.recalled(about) if isinstance(self._worker, Recalls) else None

    def keep(self, about: object, found: object) -> None:
        """Keep for others what the answers led to, of a file about which nothing was noted.

        What answers of a worker led to that was lost, nobody else's answers show.
        """
        noted = self.notes or self.frameworks or self._replaced
        if isinstance(self._worker, Recalls) and not noted:
            self._worker.keep(about, found)

    def ask(
        self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], max_bytes: int
    ) -> Frame:
        """The worker's answer to any request.

        Raises:
            CheckTrouble: it hung, ended or crashed.
        """
        try:
            return self._worker.ask(header, arrays, max_bytes)
        except WorkerLost as lost:
            self.lost = True
            kind = TooSlow if lost.kind == "timeout" else CheckTrouble
            raise kind(Trouble("worker", f"{RUNNING}{lost}")) from None

    def _run(self, reply: Frame) -> Run:
        self._note(reply.header)
        if not reply.raw:
            return self._hinted(read_run(reply))
        key, size = ("run", reply.raw), 2 * len(reply.raw)
        return self._hinted(self.answers.of(key, lambda: read_run(reply), size=size))

    def _hinted(self, run: Run) -> Run:
        """With its exception in plain words: a function returned None, or divides as Python 2."""
        if run.trouble is None:
            return run
        trouble = plainly(run.trouble, self._snippets, self.whole)
        if python2.is_float_size(trouble.message) and not self._python2:
            trouble = replace(trouble, message=f"{trouble.message}; {python2.OLD_DIVISION}")
        return run if trouble == run.trouble else replace(run, trouble=trouble)

    @property
    def _python2(self) -> bool:
        """Whether the spec says so, or the file was seen to be Python 2."""
        seen = f"{self.file.name} is Python 2"
        return bool(self._load["python2"]) or any(note.startswith(seen) for note in self.notes)

    def _note(self, header: Mapping[str, Any]) -> None:
        self.notes += [text for text in texts(header.get("notes")) if text not in self.notes]
        if isinstance(more := header.get("told"), dict):
            self.told |= more
        found = texts(header.get("frameworks"))
        self.frameworks = tuple(name for name in FRAMEWORKS if name in found) or self.frameworks


def _evaluation(
    op: str, scalars: Mapping[str, int | float], seed: int, slot: int, watch: bool, forward: bool
) -> dict[str, Any]:
    """The header that asks for one."""
    return {
        "op": op,
        "scalars": dict(scalars),
        "seed": seed,
        "slot": slot,
        "watch": watch,
        "forward_only": forward,
    }
