"""One file against one layer: load, bind, judge.  What the command line, lint and tests call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding, BindingProblem, from_check, not_found
from gradtool.check.candidate import Candidate, of_one
from gradtool.check.conventions import bindings
from gradtool.check.guesses import unclear
from gradtool.check.judge import Judgement, failed, judge
from gradtool.check.numerical import with_means
from gradtool.check.process import Asked
from gradtool.check.recognise import candidates, distinct, recognise
from gradtool.check.reference import Reference
from gradtool.check.result import Compared, Trouble
from gradtool.check.session import CheckTrouble, Session, trouble_in
from gradtool.check.wanted import EVERYTHING, Wanted
from gradtool.check.words import is_label
from gradtool.records import replace

if TYPE_CHECKING:
    from gradtool.check.live import Live

_SECONDS = 10.0
_OF_WHAT_IS_GIVEN = frozenset({"wrong-function", "wrong-tensor", "wrong-gradient", "wrong-point"})
_READINGS = 4  # of which each is judged, and explained
_RUN = 40  # candidates that are run where names do not tell


def check_pair(
    reference: Reference,
    file: Path,
    *,
    seed: int,
    version: str,
    wanted: Wanted = EVERYTHING,
    seconds: float = _SECONDS,
    worker: Asked | None = None,
    explain: bool = True,
) -> Judgement:
    """The judgement on a file; never raises for what is in the file.

    `wanted` chooses the functions to check where several would do.
    `worker` is one that was started before; it is closed at the end.  With `explain` the causes
    of wrong gradients are looked for.
    """
    check, layer, name = reference.spec.check, reference.spec.name, str(file)
    session = Session(
        file,
        root=str(Path(reference.spec.source.file).parent / check.load_root)
        if check and check.load_root
        else None,
        only_definitions=check is not None and check.load_only == "definitions",
        python2=check is not None and check.load_python == 2,
        provide={n: block.text for n, block in check.provide.items()} if check else {},
        seconds=seconds,
        worker=worker,
    )
    with session:
        try:
            session.load()
            bindings = bindings_of(reference, session, wanted, file.name, seed)
        except (CheckTrouble, BindingProblem) as problem:
            trouble = trouble_in(problem)
            verdict = failed(name, layer, trouble, seed=seed, version=version, notes=session.notes)
            return Judgement(verdict, (), None)
        judges = partial(judge_with_left, reference, file=name, seed=seed, version=version)
        judgement = judges(session, bindings)
        if explain and unclear(judgement):
            known = _by_its_mistake(reference, session, judgement, bindings, judges)
            if known is not None:
                return known
        return with_means(reference, session, _told(reference, session, judgement, explain), judges)


def _by_its_mistake(
    reference: Reference,
    session: Session,
    judgement: Judgement,
    bindings: Sequence[Binding],
    judges: Callable[[Session, Sequence[Binding]], Judgement],
) -> Judgement | None:
    """The judgement on the only one of several readings in which one mistake explains what is
    wrong; None where there is none, or more than one.

    Right code shows itself which of them is meant.  Of wrong code this does: in any other reading
    more is wrong than what somebody mistook.  A change of what the code is given proves nothing:
    it may be right for something that is computed elsewhere.
    """
    from gradtool.check.diagnose import with_causes
    from gradtool.check.diagnose_where import called_in, functions_of

    guess = judgement.binding.unsure if judgement.binding is not None else ""
    ways = [one for one in bindings if guess and one.unsure == guess and not one.last_resort]
    found: list[Judgement] = []
    for way in ways[:_READINGS] if len(ways) > 1 else ():
        one = judges(session, (way,))
        if one.verdict.verdict == "fail" and all(o.standing == "ok" for o in one.verdict.forward):
            told = with_causes(reference, session, one)
            functions = functions_of(session.file, way)
            given = {
                argument.arg
                for name in called_in((way.backward,), functions)
                for argument in functions[name].node.args.args
                if argument.arg != "self" and not is_label(argument.arg)
            }
            wrong = [g for g in told.verdict.gradients if g.standing == "wrong"]
            if wrong and all(_is_proved(g, given) for g in wrong):
                found.append(told)
    return found[0] if len(found) == 1 else None


def _is_proved(gradient: Compared, given: Collection[str]) -> bool:
    """Whether a change of the code, and not of what it is given, shows the mistake."""
    cause = gradient.cause
    if cause is None or not cause.measure.startswith("tried") or cause.code in _OF_WHAT_IS_GIVEN:
        return False
    try:
        nodes = ast.walk(ast.parse(gradient.source))
    except SyntaxError:
        return False
    return all(node.id not in given for node in nodes if isinstance(node, ast.Name))


def judge_with_left(
    reference: Reference,
    session: Session,
    bindings: Sequence[Binding],
    *,
    file: str,
    seed: int,
    version: str,
) -> Judgement:
    """The verdict on a loaded file, with gradients that an object holds where no text shows it."""
    judgement = judge(reference, session, bindings, file=file, seed=seed, version=version)
    if all(gradient.standing != "not offered" for gradient in judgement.verdict.gradients):
        return judgement
    # Only here: code that offers its gradients must not wait for the search.
    from gradtool.check.left import with_left

    return with_left(reference, session, judgement, file=file, seed=seed, version=version)


def _told(reference: Reference, session: Session, judgement: Judgement, explain: bool) -> Judgement:
    """A judgement as it is told: none that rests on a guess, and with `explain` with causes."""
    if reason := unclear(judgement):
        verdict = failed(
            judgement.verdict.file,
            reference.spec.name,
            Trouble("unclear", reason),
            seed=judgement.verdict.seed,
            version=judgement.verdict.version,
            notes=session.notes,
        )
        return Judgement(verdict, (), judgement.binding)
    if explain and _is_wrong(judgement):
        # Only here: a file that is right must not wait for the derivation.
        from gradtool.check.diagnose import with_causes

        return with_causes(reference, session, judgement)
    return judgement


def _is_wrong(judgement: Judgement) -> bool:
    verdict = judgement.verdict
    return any(c.standing == "wrong" for c in verdict.forward) or any(
        c.standing != "ok" for c in verdict.gradients
    )


def check_live(
    reference: Reference, live: Live, *, seed: int, version: str, explain: bool = True
) -> Judgement:
    """The judgement on functions that are loaded already; never raises for what they do.

    A spec's `check:` block is used where it calls them by their names.
    """
    name, layer = live.file.name, reference.spec.name
    stated = from_check(reference.spec.check) if reference.spec.check else None
    usable = stated is not None and (stated.forward or stated.backward)
    with Session(live.file, worker=live, varies=live.reloadable, loaded=True) as session:
        session.load()
        try:
            if stated and usable and all(n in live.names for n in _functions(stated, session)):
                ways: tuple[Binding, ...] = (stated,)
            else:
                ways = bindings(_pair(live), Names.of(reference))
        except NoMatch as reason:
            verdict = failed(
                name, layer, Trouble("binding", str(reason)), seed=seed, version=version
            )
            return Judgement(verdict, (), None)
        judgement = judge_with_left(reference, session, ways, file=name, seed=seed, version=version)
        return _told(reference, session, judgement, explain)


def _functions(stated: Binding, session: Session) -> list[str]:
    """What a stated binding calls of the user's; an unknown name counts as one."""
    called = [c.name for c in stated.called(session.inventory)]
    return [*called, *stated.missing(session.names)] or [""]


def _pair(live: Live) -> Candidate:
    found = live.inventory
    if found.classes and not found.functions:
        whole = [c for c in candidates(found) if c.owner is not None]
        if not whole:
            raise NoMatch(f"{found.classes[0].name} has no methods for both passes")
        return whole[0]
    first, *rest = found.functions
    return Candidate(first, rest[0]) if rest else of_one(first)


def bindings_of(
    reference: Reference, session: Session, wanted: Wanted, file: str, seed: int
) -> tuple[Binding, ...]:
    """The spec's own binding where the file has its functions, else what is recognised.

    Names decide; where they do not, the candidates are run, and the only one whose forward is
    the layer's is taken.

    Raises:
        BindingProblem: nothing fits, or more than one thing does.
        CheckTrouble: a candidate ended the worker.
    """
    spec = reference.spec
    stated = from_check(spec.check) if spec.check else None
    usable = stated is not None and (stated.forward or stated.backward)
    missing = stated.missing(session.names) if stated and usable else ()
    if stated and usable and not missing:
        missing = _elsewhere(stated, session)
    if stated and usable and not missing and wanted.everything:
        return (stated,)
    try:
        return recognise(reference, session.inventory, wanted, file)
    except BindingProblem:
        if missing:
            raise BindingProblem(not_found(missing, file, session.inventory)) from None
        ways = _by_running(reference, session, wanted, seed)
        ways = ways or _with_what_stands_before(reference, session, wanted, file)
        if not ways:
            raise
        return ways


def _elsewhere(stated: Binding, session: Session) -> tuple[str, ...]:
    """What a stated binding calls for the gradients, where none of it is in the cells that count:
    it was handed out, or answers another question.
    """
    answer = replace(stated, forward=None) if stated.backward else stated
    called = () if answer.called(session.inventory) else answer.called(session.whole)
    return tuple(one.name for one in called)


def _with_what_stands_before(
    reference: Reference, session: Session, wanted: Wanted, file: str
) -> tuple[Binding, ...]:
    """The bindings of an answer in the cells that count, with what it lacks out of those before.

    There stands a forward pass, say, that was handed out.  A backward pass that does is nobody's
    answer.
    """
    own = session.inventory
    places = {*(one.place for one in own.functions), *(one.place for one in own.classes)}
    inside = replace(wanted, places=frozenset(places))
    try:
        return recognise(reference, session.whole, inside, file)
    except BindingProblem:
        return ()


def _by_running(
    reference: Reference, session: Session, wanted: Wanted, seed: int
) -> tuple[Binding, ...]:
    """The bindings of the only candidate whose forward gives the layer's numbers."""
    from gradtool.check.matching import match
    from gradtool.check.trying import Layers

    layers = Layers([reference], seed, open=False)
    chosen = distinct(c for c in candidates(session.inventory) if wanted.keeps(c))
    found = [one for c in chosen[:_RUN] if (one := match(session, c, layers)).layer]
    if len(found) != 1:
        return ()
    why = "chosen because its forward gives the layer's numbers"
    return tuple(replace(way, convention=f"{way.convention}; {why}") for way in found[0].bindings)
