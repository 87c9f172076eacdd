"""One file against one layer: load, bind, judge.  What the command line, lint and tests call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gradtool.check.bind import Binding, BindingProblem, from_check, not_found
from gradtool.check.judge import Judgement, failed, judge
from gradtool.check.matching import Layers, match
from gradtool.check.process import Asked
from gradtool.check.recognise import candidates, recognise
from gradtool.check.reference import Reference
from gradtool.check.result import Trouble
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.wanted import EVERYTHING, Wanted

_SECONDS = 10.0
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
            trouble = (
                problem.trouble
                if isinstance(problem, CheckTrouble)
                else Trouble("binding", str(problem))
            )
            verdict = failed(name, layer, trouble, seed=seed, version=version, notes=session.notes)
            return Judgement(verdict, (), None)
        judgement = judge(reference, session, bindings, file=name, seed=seed, version=version)
        if explain and any(g.standing != "ok" for g in judgement.verdict.gradients):
            # Only here: a file that is right must not wait for the derivation.
            from gradtool.check.diagnose import with_causes

            judgement = with_causes(reference, session, judgement)
        return judgement


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
    if stated and usable and not missing and wanted.everything:
        return (stated,)
    try:
        return recognise(reference, session.inventory, wanted, file)
    except BindingProblem:
        if missing:
            raise BindingProblem(not_found(missing, file, session.inventory)) from None
        ways = _by_running(reference, session, wanted, seed)
        if not ways:
            raise
        return ways


def _by_running(
    reference: Reference, session: Session, wanted: Wanted, seed: int
) -> tuple[Binding, ...]:
    """The bindings of the only candidate whose forward gives the layer's numbers."""
    layers = Layers([reference], seed)
    chosen = [c for c in candidates(session.inventory) if wanted.keeps(c)]
    found = [one for c in chosen[:_RUN] if (one := match(session, c, layers)).layer]
    if len(found) != 1:
        return ()
    why = "chosen because its forward gives the layer's numbers"
    return tuple(replace(way, convention=f"{way.convention}; {why}") for way in found[0].bindings)
