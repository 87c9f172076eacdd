"""A right submission that exists in the judge only, graded before the first that was handed in.

What is right at each point, and what a right submission is asked, is then worked out while the
workers start, and not while the first of them wait for the next question.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.frames import Frame
from gradtool.check.judge import judge
from gradtool.check.life import plain
from gradtool.check.numerical import counting
from gradtool.check.process import WorkerLost
from gradtool.check.reference import Reference
from gradtool.check.session import Session
from gradtool.lint.counting import probe_for
from gradtool.lint.foresight import Foresight, Request
from gradtool.numeric.shake import Arrays

_EVALUATED = ("run", "start", "live")


@contextmanager
def graded(references: Iterable[Reference], foresight: Foresight, seed: int) -> Iterator[None]:
    """Have one graded by each reference beside what is done in this block, or as far as it gets."""
    over = threading.Event()

    def grade_all() -> None:
        for reference in references:
            if over.is_set() or any(v.read for v in reference.spec.variables):
                continue
            with suppress(Exception):  # what fails is told where a submission is graded
                grade(reference, foresight, seed, over)

    thread = threading.Thread(target=grade_all, name="imagined", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def grade(reference: Reference, foresight: Foresight, seed: int, over: threading.Event) -> None:
    """Grade one, for a layer that draws nothing itself."""
    imagined = Imagined(reference, over)
    binding = usual(reference)
    name = Path(f"{reference.spec.name}.py")
    with Session(name, start=lambda: imagined, varies=False, resolved=True) as session:
        judgement = judge(reference, session, [binding], file="", seed=seed, version="")
    if judgement.verdict.verdict != "pass" or over.is_set():
        return
    probe = probe_for(reference, binding, judgement.points[0].probe, seed)
    count = Request(counting(probe, seed), probe.arrays, probe.max_bytes)
    foresight.learn(None, [*imagined.asked, count], right=True)


def usual(reference: Reference) -> Binding:
    """Two functions that take everything there is and return everything that is asked for."""
    variables = reference.spec.variables
    outputs = ", ".join(reference.outputs)
    gradients = tuple(v.name for v in variables if v.differentiable)
    upstream = ", ".join(f"d{name}" for name in reference.outputs)
    given = ", ".join([*(v.name for v in variables), *reference.constants])
    returned = ", ".join(f"d{name}" for name in gradients)
    return Binding(
        "imagined",
        f"{outputs} = forward({given})",
        f"{returned} = backward({upstream}, {given})",
        gradients=gradients,
    )


class Imagined:
    """A worker that gives what is right; implements `gradtool.check.process.Asked`.

    Attributes:
        asked: the evaluations that it was asked for.
    """

    def __init__(self, reference: Reference, over: threading.Event) -> None:
        """It is of no further use once it is `over`."""
        self.asked: list[Request] = []
        self._reference = reference
        self._over = over
        self._open: dict[int, Frame] = {}

    def ask(
        self, header: Mapping[str, Any], arrays: Arrays | None = None, max_bytes: int = 0
    ) -> Frame:
        """The reply to a request.

        Raises:
            WorkerLost: it is over.
        """
        if self._over.is_set():
            raise WorkerLost("exit", "nobody waits for it")
        if header["op"] in _EVALUATED:
            self.asked.append(Request(header, arrays or {}, max_bytes))
            answer = self._evaluated(header, arrays or {})
            if header["op"] == "start":
                self._open[header["slot"]] = answer
            return answer
        if header["op"] == "finish":
            self.asked.append(Request(header, arrays or {}, max_bytes))
            return self._open.pop(header["slot"])
        return Frame({}, {})

    def close(self) -> None:
        """Nothing to end."""

    def _evaluated(self, header: Mapping[str, Any], arrays: Arrays) -> Frame:
        reference = self._reference
        last = dict(arrays)
        if "change" in header.get("calls", ()):
            last |= {plain(name): array for name, array in arrays.items() if name != plain(name)}
        values = {v.name: last[v.name] for v in reference.spec.variables}
        upstream = {name: last[f"d{name}"] for name in reference.outputs}
        known = reference.constants
        sizes = {n: v for n, v in header["scalars"].items() if n not in known or known[n] != v}
        with np.errstate(all="ignore"):
            outputs, gradients = reference.evaluate(values, upstream, sizes)
        found = {f"output {name}": array for name, array in outputs.items()}
        found |= {f"gradient {name}": array for name, array in gradients.items()}
        return Frame({"values": {name: _described(array) for name, array in found.items()}}, found)


def _described(array: np.ndarray) -> list[object]:
    """As a worker describes an array that it sends."""
    return ["array", "float64", list(array.shape), ""]
