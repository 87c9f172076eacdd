"""One file against one layer: load, bind, judge.  What the command line, lint and tests call."""

from __future__ import annotations

from pathlib import Path

from gradtool.check.bind import Binding, BindingProblem, from_check, not_found
from gradtool.check.judge import Judgement, failed, judge
from gradtool.check.process import Asked
from gradtool.check.recognise import recognise
from gradtool.check.reference import Reference
from gradtool.check.result import Trouble
from gradtool.check.session import CheckTrouble, Session

_SECONDS = 10.0


def check_pair(
    reference: Reference,
    file: Path,
    *,
    seed: int,
    version: str,
    function: str | None = None,
    seconds: float = _SECONDS,
    worker: Asked | None = None,
    explain: bool = True,
) -> Judgement:
    """The judgement on a file; never raises for what is in the file.

    `function` names the forward or backward (or the class) to check where several would do.
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
        provide={n: block.text for n, block in check.provide.items()} if check else {},
        seconds=seconds,
        worker=worker,
    )
    with session:
        try:
            session.load()
            bindings = bindings_of(reference, session, function, file.name)
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
    reference: Reference, session: Session, function: str | None, file: str
) -> tuple[Binding, ...]:
    """The spec's own binding where the file has its functions, else what is recognised."""
    spec = reference.spec
    stated = from_check(spec.check) if spec.check else None
    usable = stated is not None and (stated.forward or stated.backward)
    missing = stated.missing(session.names) if stated and usable else ()
    if stated and usable and not missing and function is None:
        return (stated,)
    try:
        return recognise(reference, session.inventory, function, file)
    except BindingProblem:
        if missing:
            raise BindingProblem(not_found(missing, file, session.inventory)) from None
        raise
