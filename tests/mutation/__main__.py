"""``python -m tests.mutation [seen|unseen|opened|heldout] [layer ...] [-v] [--journal FILE]``.

Prints, for each set: how many mutants are found, how many causes are right, how many wrong causes
are stated.  With ``-v`` every mutant whose cause is missing or wrong.  With a journal a run that
was stopped goes on where it was; several processes, each with layers of its own, may share one,
and the command without layers then prints the sums.

"seen" and "unseen" halve the mutants of the first layers.  "opened" and "heldout" are sets of
layers of their own (``x-set: …`` in their files), and judged only when they are asked for: the
opened ones were held out once, and have been looked at since; the held-out ones have not.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.journal import parser
from tests.mutation.mutate import HELD_OUT, OPENED, Mutant
from tests.mutation.suite import Bench, causes, faulty, is_found, layer, layer_names

UNSURE = ("", "unknown")
_HALVES = ("seen", "unseen")
_SETS = (OPENED, HELD_OUT)


def judged(bench: Bench, mutant: Mutant) -> tuple[str, str]:
    """One of missed, crash, right, alike, wrong, unsure; and what was stated.

    "alike" is a cause that is right for another change with the same numbers.
    """
    verdict = bench.judge(layer(mutant.layer), mutant.text)
    if not is_found(verdict):
        return "missed", ""
    stated = causes(verdict)
    if not stated:
        return "crash", ""
    told = [
        f"d{g.name} {g.cause.code}: {g.cause.message}; {g.cause.proof}"
        for g in verdict.gradients
        if g.cause is not None
    ]
    kinds = {_kind(mutant, name, code) for name, code in stated.items()}
    # One gradient's right cause does not excuse a wrong one for another.
    for kind in ("wrong", "right", "alike"):
        if kind in kinds:
            return kind, " | ".join(told)
    return "unsure", " | ".join(told)


def _kind(mutant: Mutant, gradient: str, code: str) -> str:
    if code in mutant.right(gradient):
        return "right"
    if code in mutant.alike:
        return "alike"
    return "unsure" if code in UNSURE else "wrong"


def main(arguments: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("names", nargs="*", metavar="SET or LAYER")
    options.add_argument("-v", "--verbose", action="store_true")
    given = options.parse_intermixed_args(arguments)
    journal, verbose, asked = given.journal, given.verbose, set(given.names)
    halves = [half for half in (*_HALVES, *_SETS) if half in asked] or list(_HALVES)
    sets = {"" if half in _HALVES else half for half in halves}
    names = [n for each in sorted(sets) for n in layer_names(each)]
    chosen = [n for n in names if n in asked] or names
    if unknown := asked - {*_HALVES, *_SETS, *names}:
        options.error(f"no set, and no layer of these sets: {', '.join(sorted(unknown))}")
    counts: dict[str, Counter[str]] = {half: Counter() for half in halves}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in chosen:
            for number, mutant in enumerate(faulty(name)):
                if mutant.half not in halves:
                    continue
                key = f"{name} {number} {mutant.identity}".replace("\n", " ").replace("\t", " ")
                if key not in journal.results:
                    result, told = judged(bench, mutant)
                    journal.add(key, f"{result} {told}".replace("\n", " "))
                result, _, told = journal.results[key].partition(" ")
                counts[mutant.half][result] += 1
                if result == "missed" or (verbose and result in ("wrong", "unsure", "alike")):
                    print(
                        f"{result:<7} {mutant.identity}  {sorted(mutant.accepted)}\n        {told}",
                        flush=True,
                    )
        bench.end()
    for half, count in counts.items():
        total = sum(count.values())
        numeric = total - count["missed"] - count["crash"]
        right = count["right"] + count["alike"]
        print(
            f"{half}: {total} mutants, {total - count['missed']} found; "
            f"{count['crash']} give no number to explain, {numeric} do: "
            f"{right} causes right ({right / max(numeric, 1):.1%}; {count['alike']} of them by a "
            f"change with the same numbers), "
            f"{count['wrong']} wrong ({count['wrong'] / max(numeric, 1):.1%}), "
            f"{count['unsure']} not known"
        )
    return int(any(count["missed"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
