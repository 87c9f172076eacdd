"""The worker: imports a user's file and answers with raw numbers, in a process of its own.

It is told the file, the snippets and input arrays; it knows neither the reference nor a
verdict.  `serve` is the whole of it and needs only two file descriptors, so that an isolated
process can be forked around it.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from gradtool.check import frames
from gradtool.check.cells import Cell, FileProblem
from gradtool.check.convert import convert
from gradtool.check.evaluate import (
    Evaluation,
    Program,
    SnippetProblem,
    compile_program,
    finish,
    opened,
    start,
)
from gradtool.check.habits import habit
from gradtool.check.inventory import inventory, to_json
from gradtool.check.life import Life, at_first
from gradtool.check.load import Known, Loaded, Options, load
from gradtool.check.reached import OBJECT, arrays_of, changed
from gradtool.check.rewrite import Change
from gradtool.check.tiny import guards
from gradtool.check.widths import loaded_frameworks, widen_defaults

MAX_REQUEST = 1 << 36
_NAMES = 5000
_GUARDS = 50
_NOTICED = 0.01  # seconds
_PAUSE = 0.1  # seconds: longer than a busy machine lets a short answer wait; else it sleeps
_MESSAGE = 1000  # characters of an exception's text

SERVING = False
"""Whether this process is a worker: what it imports must not start others."""


def serve(read_fd: int, write_fd: int) -> None:
    """Answer requests until the other end closes; one reply for each request."""
    global SERVING
    SERVING = True
    process = os.getpid()
    worker = Responder()

    def read(count: int) -> bytes:
        chunks: list[bytes] = []
        while count:
            chunk = os.read(read_fd, min(count, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    while True:
        request = frames.read_frame(read, MAX_REQUEST)
        if request is None:
            return
        reply, arrays = worker.answer(request)
        if os.getpid() != process:  # the user's code forked, and this is the child
            os._exit(0)
        data = memoryview(frames.encode(reply, arrays))
        while data:
            data = data[os.write(write_fd, data) :]


def _taken(wall: float, processor: float) -> float:
    """The seconds on a processor since these times; on the clock, where that was long."""
    elapsed = time.perf_counter() - wall
    return elapsed if elapsed > _PAUSE else time.thread_time() - processor


def _counting(loaded: Loaded, file: Path, tag: str | None) -> tuple[tuple[Cell, ast.Module], ...]:
    """The cells whose functions count: those of a notebook with the tag, though none be left."""
    if tag is None or file.suffix != ".ipynb":
        return loaded.cells
    return tuple((cell, tree) for cell, tree in loaded.cells if tag in cell.tags)


class Responder:
    """The state between requests: what is known of files before they are loaded, the loaded
    module, the compiled snippets, open evaluations.

    Attributes:
        observed: entered wherever the user's code may be run.
        called: where functions begin that were called when calls were counted; None before.
    """

    def __init__(self) -> None:
        self.known = Known()
        self.loaded: Loaded | None = None
        self.program: Program | None = None
        self.open: dict[int, Evaluation] = {}
        self.told = 0
        self.observed: AbstractContextManager[object] = nullcontext()
        self.called: frozenset[tuple[str, int]] | None = None

    def answer(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header = request.header
        try:
            match header["op"]:
                case "load":
                    return self._load(header), {}
                case "bind":
                    return self._bind(header), {}
                case "guards":
                    return self._guards(), {}
                case "left":
                    return self._left(header, request.arrays), {}
                case "held" | "attempt":
                    return self._vary(header, request.arrays)
                case "live":
                    return self._live(header, request.arrays)
                case "count" | "steps":
                    return self._watched(request)
                case "start" | "finish" | "run":
                    return self._evaluate(header, request.arrays)
        except FileProblem as problem:
            where = {"line": problem.line, "place": problem.place, "source": problem.source}
            return {"error": {"stage": "file", "message": str(problem)} | where}, {}
        except SnippetProblem as problem:
            return {"error": {"stage": "snippet", "message": str(problem)}}, {}
        except BaseException as error:  # SystemExit and worse: the user's code ran
            return {"error": self._described(error, str(header["op"]))}, {}
        return {"error": {"stage": "protocol", "message": "unknown request"}}, {}

    def _load(self, header: Mapping[str, Any]) -> dict[str, Any]:
        options = Options(
            header.get("root"),
            bool(header.get("only")),
            bool(header.get("python2")),
            header.get("provide", {}),
            Change.from_json(header["change"]) if header.get("change") else None,
            header.get("tag"),
        )
        if options.change is not None and options.change.widen:
            widen_defaults(header.get("frameworks", ()))
        file = Path(header["file"])
        self.loaded = load(file, options, self.known)
        names = [name for name in self.loaded.module.__dict__ if isinstance(name, str)]
        counting = _counting(self.loaded, file, options.tag)
        told = {"inventory": to_json(inventory(counting))}
        if len(counting) < len(self.loaded.cells):
            told["whole"] = to_json(inventory(self.loaded.cells))
        return {
            **told,
            "names": names[:_NAMES],
            "frameworks": loaded_frameworks(),
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        """What was told since the last reply."""
        if self.loaded is None:
            return []
        fresh = self.loaded.notes[self.told :]
        self.told = len(self.loaded.notes)
        return fresh

    def _bind(self, header: Mapping[str, Any]) -> dict[str, Any]:
        self.program = compile_program(
            header["snippets"],
            header["grads"],
            header["outputs"],
            header["gradients"],
            header["read"],
        )
        return {}

    def _guards(self) -> dict[str, Any]:
        found = [
            guard
            for cell, tree in (self.loaded.cells if self.loaded else ())
            for guard in guards(tree, cell.place)
        ]
        return {"guards": [[g.key, g.line, g.text, g.value] for g in found[:_GUARDS]]}

    def _left(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What the backward pass has changed in an object; see `gradtool.check.left`."""
        assert self.program is not None
        evaluation = start(self.program, self._opened(header, arrays))
        before = arrays_of(evaluation.namespace.get(OBJECT))
        finish(self.program, evaluation)
        after = arrays_of(evaluation.namespace.get(OBJECT))
        evaluation.let_go()
        return {"left": changed(before, after)}

    def _vary(
        self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The user's functions with something changed; see `gradtool.check.repairs`."""
        from gradtool.check.repairs import trial  # only for what is wrong

        loaded, program = self.loaded, self.program
        assert loaded is not None
        assert program is not None

        def run() -> trial.Results:
            evaluation = start(program, self._opened(header, arrays))
            finish(program, evaluation)
            evaluation.let_go()
            return evaluation.outputs, evaluation.gradients

        return trial.answer(loaded.module, header, run)

    def _watched(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What the text, and a look at the code as it runs, tell of differences."""
        from gradtool.check import watched  # only for what is right, once

        look = watched.steps if request.header["op"] == "steps" else watched.count
        return look(self, request)

    def _opened(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Evaluation:
        """What a request asks to evaluate, with nothing run yet."""
        assert self.loaded is not None
        assert self.program is not None
        return opened(
            self.loaded,
            self.program,
            arrays,
            header["scalars"],
            int(header["seed"]),
            bool(header.get("watch")),
            self._cell,
            header.get("turned", ()),
        )

    def _evaluate(
        self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        assert self.program is not None
        stage, slot = "forward", int(header.get("slot", 0))
        error: BaseException | None = None
        evaluation: Evaluation | None = None
        began = time.perf_counter(), time.thread_time()
        try:
            if header["op"] in ("start", "run"):
                evaluation = self._opened(header, arrays)
                with self.observed:
                    start(self.program, evaluation)
                self.open[slot] = evaluation
            if header["op"] in ("finish", "run") and not header.get("forward_only"):
                stage = "backward"
                evaluation = self.open.pop(slot)
                with self.observed:
                    finish(self.program, evaluation)
        except BaseException as caught:
            error = caught
            evaluation = evaluation or self.open.pop(slot, None)
        seconds = _taken(*began)
        keep_complex = any(array.dtype.kind == "c" for array in arrays.values())
        with self.observed:  # what is returned may be computed only now that it is read
            reply, sent = self._gathered(evaluation, int(header["max_bytes"]), keep_complex)
        if evaluation is not None and slot not in self.open:
            evaluation.let_go()
        self._end(reply, error, stage, seconds)
        return reply, sent

    def _live(
        self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Several calls on one object: what the last ones gave."""
        assert self.program is not None
        error: BaseException | None = None
        life = Life(self.program, self._opened(header, at_first(arrays)), arrays)
        began = time.perf_counter(), time.thread_time()
        try:
            life.run(header["calls"])
        except BaseException as caught:
            error = caught
        seconds = _taken(*began)
        reply, sent = self._gathered(life.evaluation, int(header["max_bytes"]), False)
        life.evaluation.let_go()
        reply |= {"mutated": life.overwritten, "unlike": life.unlike}
        self._end(reply, error, life.stage, seconds)
        return reply, sent

    def _end(
        self, reply: dict[str, Any], error: BaseException | None, stage: str, seconds: float
    ) -> None:
        """What every answer tells beside its numbers."""
        if error is not None:
            reply["error"] = self._described(error, stage)
        if seconds > _NOTICED:  # not in all answers, most of which are the same in a class
            reply["seconds"] = seconds
        reply["notes"] = self._notes()
        if found := loaded_frameworks():  # a snippet may have been the first to ask for one
            reply["frameworks"] = found

    def _gathered(
        self, evaluation: Evaluation | None, max_bytes: int, keep_complex: bool
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        values: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        if evaluation is None:
            return {"values": {}, "mutated": [], "aliased": []}, {}
        results = {f"output {n}": v for n, v in evaluation.outputs.items()}
        results |= {f"gradient {n}": v for n, v in evaluation.gradients.items()}
        for name, raw in results.items():
            value = convert(raw, max_bytes, keep_complex)
            values[name] = [value.kind, value.dtype, list(value.shape), value.detail]
            if value.array is not None:
                arrays[name] = value.array
                max_bytes -= value.array.nbytes
        for name, error in evaluation.grad_errors.items():
            described = self._described(error, "grads")
            values[f"gradient {name}"] = ["error", "", [], described["message"]]
        reply: dict[str, Any] = {"values": values}
        reply |= {"mutated": evaluation.mutated, "aliased": evaluation.aliased}
        if evaluation.told:
            reply["told"] = evaluation.told
        return reply, arrays

    def _cell(self, text: str, namespace: dict[str, Any]) -> None:
        """Run the notebook cell that begins with `text`, in the namespace of the evaluation."""
        assert self.loaded is not None
        for cell, tree in self.loaded.cells:
            if cell.text.lstrip().startswith(text.strip()):
                exec(compile(tree, cell.place, "exec", dont_inherit=True), namespace)
                return
        raise LookupError(f"no cell begins with {text!r}")

    def _described(self, error: BaseException, stage: str) -> dict[str, Any]:
        """The last line of the user's that took part, and what was raised."""
        place, line = "", 0
        trace = error.__traceback__
        while trace:
            filename = trace.tb_frame.f_code.co_filename
            mine = self.loaded is not None and self.loaded.is_users(filename)
            if mine or (not place.strip() and filename.startswith("check: ")):
                place, line = filename, trace.tb_lineno
            trace = trace.tb_next
        try:
            message = str(error)[:_MESSAGE] + habit(error)
        except BaseException:
            message = ""
        source = self._source_line(place, line)
        name = type(error).__name__[:100]
        return {
            "stage": stage,
            "type": name,
            "message": message,
            "place": place,
            "line": line,
            "source": source,
        }

    def _source_line(self, place: str, line: int) -> str:
        for cell, _ in self.loaded.cells if self.loaded else ():
            lines = cell.text.splitlines()
            if cell.place == place and 0 < line <= len(lines):
                return lines[line - 1].strip()[:200]
        return ""
