"""One file of one submission: loaded in a worker once, asked question by question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from gradtool.check import numerical
from gradtool.check.answers import Run, clean, read_run
from gradtool.check.bind import Binding, BindingProblem
from gradtool.check.guesses import unclear
from gradtool.check.judge import Judgement, as_read, failed
from gradtool.check.measure import bind
from gradtool.check.outgrown import outgrown
from gradtool.check.pair import bindings_of, judge_with_left
from gradtool.check.probes import Probe
from gradtool.check.process import WorkerLost
from gradtool.check.recall import Recall
from gradtool.check.reference import Reference
from gradtool.check.result import DIFFERENCES, Compared, Trouble, Verdict, is_lost
from gradtool.check.rewrite import Change
from gradtool.check.session import CheckTrouble, Session, trouble_in
from gradtool.check.wanted import Wanted
from gradtool.lint import counting, means, sealed
from gradtool.lint.assignment import Assignment, Question
from gradtool.lint.causes import Causes
from gradtool.lint.findings import End, called_at
from gradtool.lint.foresight import Foreseeing, Foresight
from gradtool.lint.isolation.limits import Limits
from gradtool.lint.isolation.worker import Worker
from gradtool.lint.isolation.zygote import Zygote
from gradtool.lint.presence import Presence, presence
from gradtool.lint.result import Finding, Spot
from gradtool.lint.transport import Boxed, Clock
from gradtool.records import Struct, replace

_SERVE = "gradtool.lint.serve"
ENTRY, KEEP = f"{_SERVE}:serve", f"{_SERVE}:keep"
BEFORE = {False: f"{_SERVE}:make_ready", True: f"{_SERVE}:make_ready_with_random"}
_HOW = "The assignment can choose with function: NAME, or the spec in its check: block"
_HOW_ALONE = "The spec can choose in its check: block"  # there is no assignment
_IMPORT_SHARE = 0.5  # of the time of a question, so that there is some left for the definitions


class Loading(Struct, frozen=True):
    """How a file is imported, by a spec's `load:` and the question, and within which limits.

    Questions with the same one share a worker. `tag` is that of the notebook cells that count.
    """

    root: str | None
    only_definitions: bool
    python2: bool
    provide: tuple[tuple[str, str], ...]
    tag: str | None
    limits: Limits


def loading_of(reference: Reference, question: Question, assignment: Assignment) -> Loading:
    """What a layer's spec and its question say; `root` is relative to the submission."""
    check, tag, limits = reference.spec.check, question.cell, assignment.limits_of(question)
    if check is None:
        return Loading(None, False, False, (), tag, limits)
    provide = tuple((name, block.text) for name, block in check.provide.items())
    only, old = check.load_only == "definitions", check.load_python == 2
    return Loading(check.load_root, only, old, provide, tag, limits)


class Judged(Struct, frozen=True):
    """What a question came to.

    Attributes:
        end: how the worker was lost, if it was.
        means: findings on forbidden means.
        presence: whether the file has the layer; it is looked into where nobody says it must.
    """

    judgement: Judgement
    end: End | None
    means: tuple[Finding, ...]
    presence: Presence = "there"


class Desk:
    """A context manager; leaving it ends the worker and everything that it started.

    Attributes:
        cpu_seconds, peak_bytes: of the workers so far.
    """

    def __init__(
        self,
        zygote: Zygote,
        assignment: Assignment,
        loading: Loading,
        folder: Path,
        file: str,
        *,
        questions: int,
        seed: int,
        version: str,
        causes: Causes,
        answers: Recall,
        foresight: Foresight,
        layers: Collection[str] = (),
        random: bool = True,
        reaches: bool = False,
    ) -> None:
        """`questions` will be asked: the worker as a whole gets the time of all of them.

        `layers` are those of the whole assignment.
        `folder`, resolved, is all that the worker may read of the submissions; `random`: it is
        likely to need `numpy.random`; `reaches`: it could reach what runs it.
        """
        self.cpu_seconds = 0.0
        self.peak_bytes = 0
        self._zygote = zygote
        self._assignment = assignment
        self._loading = loading
        self._folder = folder
        self._file = file
        self._path = folder / file
        self._seed = seed
        self._version = version
        self._causes = causes
        self._answers = answers
        self._foresight = foresight
        self._layers = layers
        self._before = BEFORE[random]
        self._reaches = reaches
        self._ahead: Foreseeing | None = None
        self._rushed = False
        self._plainly = False
        limits = loading.limits
        self._seconds = limits.wall_seconds
        self._limits = Limits(
            wall_seconds=limits.wall_seconds * (questions + 1),
            cpu_seconds=limits.cpu_seconds * (questions + 1),
            memory_bytes=limits.memory_bytes,
            output_bytes=0,
        )
        self._clock = Clock(self._seconds)
        self._worker: Boxed | None = None
        self._spares: list[Boxed] = []
        self._session: Session | None = None
        self._imports: object = {}
        self._may_step = True
        self._longer = self._moves = self._subtracts = False
        self._lost: End | None = None  # how a worker was lost that another one took the place of
        self._looked = False
        self._unloadable: tuple[CheckTrouble, End | None] | None = None

    def __enter__(self) -> Desk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def drop(self) -> None:
        """End the worker; the next question gets one of its own."""
        self._leave()

    def ask(self, question: Question, reference: Reference) -> Judged:
        """The judgement on one question; never raises for what is in the file."""
        layer = reference.spec.name
        try:
            self._loaded()
            self._clock = Clock(self._seconds)
            judgement, found = self._asked(question, reference)
            # The worker is asked first: its clock goes on while the judge looks for causes.
            judgement = self._causes.told(question.name, reference, self._placed(judgement))
        except (CheckTrouble, BindingProblem) as problem:
            trouble = trouble_in(problem)
            notes: Iterable[str] = self._session.notes if self._session else ()
            verdict = failed(
                self._file, layer, trouble, seed=self._seed, version=self._version, notes=notes
            )
            judgement, found = Judgement(verdict, (), None), ()
        there = self._presence(question, reference, judgement)
        end = self._unloadable[1] if self._unloadable else self._lost or self._end()
        self._lost = None
        if end is not None:
            self._leave()  # the next question gets a worker of its own
        if "frameworks" in self._assignment.forbidden_in(question):
            found = (*means.imports(self._imports, self._file), *found)
        return Judged(judgement, end, tuple(dict.fromkeys(found)), there)

    def _presence(self, question: Question, reference: Reference, judgement: Judgement) -> Presence:
        """Of what cannot be loaded nobody knows: that is told."""
        verdict = judgement.verdict
        if question.required or verdict.verdict == "pass" or self._session is None:
            return "there"
        return presence(reference, self._session, verdict)

    def _asked(
        self, question: Question, reference: Reference
    ) -> tuple[Judgement, tuple[Finding, ...]]:
        """What counts of who was lost on the way through a script is how it answers one by one."""
        clock = self._clock
        try:
            found = self._judged(question, reference)
        except (CheckTrouble, BindingProblem):
            if not self._was_rushed():
                raise
        else:
            if not self._was_rushed():
                return found
        return self._again(question, reference, clock)

    def _was_rushed(self) -> bool:
        """Whether this worker was lost like that, or one that it took the place of."""
        return self._rushed or (self._ahead is not None and self._ahead.rushed)

    def _judged(
        self, question: Question, reference: Reference
    ) -> tuple[Judgement, tuple[Finding, ...]]:
        session = self._loaded()
        ahead = self._ahead
        if ahead is not None:
            ahead.patient = False
        others = tuple(layer for layer in self._layers if layer != reference.spec.name)
        bindings = bindings_of(
            reference,
            session,
            Wanted(
                question.function,
                elsewhere=others,
                how=_HOW if question.required else _HOW_ALONE,
            ),
            Path(self._file).name,
            self._seed,
        )
        judgement = self._judgement(reference, session, bindings)
        if reason := unclear(judgement):
            raise CheckTrouble(Trouble("unclear", reason))
        if self._was_rushed():
            return judgement, ()  # and is judged again
        found = self._means(question, reference, session, judgement)
        # Another worker in its place was asked the rest only.
        if ahead is not None and ahead is self._ahead and not self._end():
            ahead.learn(right=judgement.verdict.verdict == "pass")
        return judgement, found

    def _judgement(
        self, reference: Reference, session: Session, bindings: Sequence[Binding]
    ) -> Judgement:
        return judge_with_left(
            reference,
            session,
            bindings,
            file=self._file,
            seed=self._seed,
            version=self._version,
        )

    def _again(
        self, question: Question, reference: Reference, clock: Clock
    ) -> tuple[Judgement, tuple[Finding, ...]]:
        """The same in a new worker, without a script, in the time that is left."""
        self._leave()
        self._plainly = True
        try:
            self._loaded()
            self._clock = clock
            return self._judged(question, reference)
        finally:
            self._plainly = False

    def _loaded(self) -> Session:
        if self._unloadable is not None:
            raise self._unloadable[0]
        if self._session is None:
            root = self._loading.root
            session = Session(
                self._path,
                root=str(self._folder / root) if root else str(self._folder),
                only_definitions=self._loading.only_definitions,
                python2=self._loading.python2,
                provide=dict(self._loading.provide),
                tag=self._loading.tag,
                seconds=self._seconds,
                start=self._start,
                spare=self._spare,
                resolved=True,
                answers=self._answers,
            )
            try:
                self._look(session.loading)
                session.load()
            except CheckTrouble as problem:
                self._unloadable = problem, self._end()
                session.__exit__(None, None, None)
                raise
            except BaseException:
                session.__exit__(None, None, None)
                raise
            self._session = session
        return self._session

    def _start(self) -> Boxed | Foreseeing:
        self._account()
        self._rushed = self._was_rushed()
        self._clock = Clock(self._seconds * _IMPORT_SHARE)
        self._worker = Boxed(self._run(self._foresight.kept), lambda: self._clock)
        self._ahead = None if self._plainly else Foreseeing(self._worker, self._foresight)
        return self._ahead or self._worker

    def _spare(self) -> Boxed:
        """A worker beside the one that counts, as confined as that."""
        spare = Boxed(self._run({}), lambda: self._clock)
        self._spares.append(spare)
        return spare

    def _run(self, data: Mapping[str, bytes]) -> Worker:
        return self._zygote.run(
            ENTRY, (self._folder,), self._limits, before=self._before, keep=KEEP, data=data
        )

    def _look(self, following: Mapping[str, Any]) -> None:
        """Ask what the file says about itself, before any of its code has run."""
        if self._looked:
            return
        self._looked = True
        try:
            look = {"op": "look", "file": str(self._path), "tag": self._loading.tag}
            reply = self._ask(look, following)
        except WorkerLost as lost:
            # What takes too long may be Python all the same, on a machine that is busy.
            stage = "import" if lost.kind == "timeout" else "file"
            raise CheckTrouble(Trouble(stage, f"parsing the file: {lost}")) from None
        self._imports = reply.get("imports")
        self._may_step = reply.get("steps") is not False
        self._longer = reply.get("longer") is True
        self._subtracts = reply.get("subtracts") is True
        self._moves = self._subtracts and reply.get("moves") is True

    def _ask(
        self, header: Mapping[str, Any], following: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        assert self._worker is not None
        return dict(self._worker.ask(header, following=following).header)

    def _means(
        self, question: Question, reference: Reference, session: Session, judgement: Judgement
    ) -> tuple[Finding, ...]:
        """Run once more with calls counted, where something is right to some digits at all."""
        verdict, assignment = judgement.verdict, self._assignment
        forbidden = assignment.forbidden_in(question)
        right = any(
            gradient.was_right or (gradient.cause and gradient.cause.code == DIFFERENCES)
            for gradient in verdict.gradients
        )
        if not judgement.points or judgement.binding is None:
            return ()
        if not right and not counting.has_digits(judgement):
            return ()
        at = called_at(verdict)[-1]
        point = judgement.points[0]
        probe = counting.probe_for(reference, judgement.binding, point.probe, self._seed)
        lost = self._end()
        if lost is not None:
            # Lost at large values, say: what is right before counts, and so do its means.
            self._lost = lost
            self._plainly = True
            try:
                session.again()
            except CheckTrouble:
                return (at.finding("GT403", "it cannot be run again to count its calls"),)
            finally:
                self._plainly = False
            self._clock = Clock(self._seconds)
        if lost is not None or verdict.verdict != "pass":
            # The worker has no binding, or the last one that was tried.
            if self._ahead is not None:
                self._ahead.patient = True
            try:
                bind(session, reference, judgement.binding)
            except CheckTrouble:
                return (at.finding("GT403", "it cannot be run again to count its calls"),)
        header = numerical.counting(probe, self._seed)
        worker = self._ahead or self._worker
        assert worker is not None
        self._clock = Clock(self._seconds)  # what slow code has used up before is no evasion
        try:
            answer = worker.ask(header, probe.arrays, probe.max_bytes)
            reply = answer.header
            steps, moved = [reply.get("step")], [reply.get("moved")]
            may = self._may_step or reply.get("may_move") is True
            if may and "numeric-differentiation" in forbidden and not numerical.tells(reply):
                self._clock = Clock(self._seconds)
                again = worker.ask({**header, "op": "steps"}, probe.arrays, probe.max_bytes)
                steps.append(again.header.get("step"))
                moved += numerical.moves(again.header, reference)
        except WorkerLost as gone:
            if gone.kind == "timeout" and is_lost(verdict.trouble) and not _earns(verdict):
                return ()  # it is slow, and to evade this would gain it nothing
            return (at.finding("GT403", "the code ends the process when its calls are counted"),)

        def once_more(change: Change, only: bool, evading: Finding) -> tuple[Finding, ...]:
            self._clock = Clock(self._seconds)
            varied = partial(session.varied, change, only)
            return sealed.findings(reference, varied, judgement, header, probe, evading)

        found: tuple[Finding, ...] = ()
        if "numeric-differentiation" in forbidden:
            if means.is_accompanied(reply):
                # It may be what the file has left behind: the monitor of a progress bar, say.
                found += once_more(Change(seal=self._reaches), True, means.beside_it(at))
            else:
                found += means.counted(reply, point, at)
            if counting.is_otherwise(session, reference, judgement, probe, answer, self._seed):
                found += means.otherwise(at)
            found += means.complex_step(steps, at)
            found += means.entry_by_entry(moved, at)
            found += means.differenced(judgement, at)
            # What is known already needs no second look with other numbers.
            if not found:
                found = self._rounded_away(reference, session, judgement, at)
            if not found and self._reaches:
                found = once_more(Change(seal=True), False, means.reaching(at))
            if not found and (self._longer or reply.get("longer") is True):
                found = self._in_double(reference, session, judgement, probe, header, at)
            if not found and (self._moves or (self._subtracts and reply.get("may_move") is True)):
                found = self._outgrown(reference, judgement, probe, at)  # no worker may be left
        if "frameworks" in forbidden:
            found += means.loaded(reply.get("modules"), assignment.libraries, self._imports)
        return found

    def _rounded_away(
        self, reference: Reference, session: Session, judgement: Judgement, at: Spot
    ) -> tuple[Finding, ...]:
        """Findings on differences whose error is below that of float32, to which they were rounded.

        The file is loaded once more with its float32 read as float64; nothing else of that counts.
        """
        binding = judgement.binding
        outcomes = [o for point in judgement.points for o in point.gradients.values()]
        if binding is None or not any(outcome.single for outcome in outcomes):
            return ()
        try:
            with session.varied(Change(widen=True)) as other:
                wide = self._judgement(reference, other, (binding,))
        except CheckTrouble:
            return ()
        return means.differenced(wide, at)

    def _outgrown(
        self, reference: Reference, judgement: Judgement, probe: Probe, at: Spot
    ) -> tuple[Finding, ...]:
        """Findings on differences of a layer that is linear in a variable, or quadratic: they have
        no error but where that is large.
        """
        binding = judgement.binding
        assert binding is not None
        assert self._worker is not None
        read = as_read(reference, binding)
        answers: list[tuple[Probe, Run]] = []
        # What is wrong as it is says nothing about what becomes of it there.
        right = {gradient.name for gradient in judgement.verdict.gradients if gradient.was_right}
        for one in outgrown(read, binding, probe):
            if right.isdisjoint(one.scale):
                continue
            header = {**numerical.counting(one, self._seed), "op": "run"}
            self._clock = Clock(self._seconds)
            try:
                answer = self._worker.ask(header, one.arrays, one.max_bytes)
            except WorkerLost as gone:
                self._leave()
                if gone.kind == "exit":
                    return (at.finding("GT403", f"the code ends the process where {one.varies}"),)
                break  # where values are as large as nobody has them it is no matter
            answers.append((one, read_run(answer)))
        return means.outgrown(numerical.by_growth(read, binding, answers, self._seed), at)

    def _in_double(
        self,
        reference: Reference,
        session: Session,
        judgement: Judgement,
        probe: Probe,
        count: Mapping[str, Any],
        at: Spot,
    ) -> tuple[Finding, ...]:
        """Findings on differences whose error numbers that are longer than float64 have hidden."""
        binding = judgement.binding
        assert binding is not None
        self._clock = Clock(self._seconds)
        judges = partial(self._judgement, reference)
        told = numerical.in_double(reference, session, judgement, binding, count, probe, judges)
        return means.without_longer(told, at)

    def _placed(self, judgement: Judgement) -> Judgement:
        """With the line that assigns each wrong gradient, which the worker reads off the file."""
        verdict, binding = judgement.verdict, judgement.binding
        wrong = [g.name for g in verdict.gradients if g.standing == "wrong"]
        if not wrong or binding is None or self._worker is None or self._end() is not None:
            return judgement
        header = {
            "op": "where",
            "file": str(self._path),
            "snippets": binding.snippets,
            "grads": dict(binding.grads),
            "names": wrong,
            "tag": self._loading.tag,
        }
        try:
            told = self._ask(header).get("where")
        except WorkerLost:
            return judgement
        places = told if isinstance(told, dict) else {}
        gradients = tuple(_at(g, places.get(g.name)) for g in verdict.gradients)
        return replace(judgement, verdict=replace(verdict, gradients=gradients))

    def _end(self) -> End | None:
        """How the worker was lost, None while it lives."""
        if self._worker is None or self._worker.ended is None:
            return None
        if self._worker.lost and self._worker.ended.kind == "memory":
            return "memory"
        return self._worker.lost

    def _leave(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)
        elif self._worker is not None:
            self._worker.close()
        self._account()
        self._session, self._worker, self._ahead, self._rushed = None, None, None, False

    def _account(self) -> None:
        workers = [*self._spares, *filter(None, [self._worker])]
        self._spares = []
        for worker in workers:
            worker.close()
            ended = worker.ended
            if ended is not None:
                self.cpu_seconds += ended.cpu_seconds
                self.peak_bytes = max(self.peak_bytes, ended.peak_bytes)


def _earns(verdict: Verdict) -> bool:
    """Whether anything of it may be worth points."""
    earning = any(row.standing in ("ok", "follows") for _, row in verdict.rows)
    return verdict.verdict == "pass" or earning


def _at(gradient: Compared, told: object) -> Compared:
    match told:
        case [int(line), str(source), str(place)]:
            return replace(gradient, line=line, source=clean(source), place=clean(place))
    return gradient
