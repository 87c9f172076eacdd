"""``python -m tests.mutation [seen|unseen|heldout] [layer ...]``: the rates that the README states.

Prints, for each set: how many mutants are found, how many causes are right, how many wrong causes
are stated.  With ``-v`` every mutant whose cause is missing or wrong.

"seen" and "unseen" halve the mutants of the first layers.  "heldout" is a set of layers of its
own (``x-set: heldout`` in their files), and judged only when it is asked for.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.mutate import HELD_OUT, Mutant
from tests.mutation.suite import Bench, causes, faulty, is_found, layer, layer_names

UNSURE = ("", "unknown")


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
    codes = set(stated.values())
    if codes & (mutant.accepted | mutant.alike):
        # One gradient's right cause does not excuse a wrong one for another.
        wrong = codes - mutant.accepted - mutant.alike - set(UNSURE)
        right = "right" if codes & mutant.accepted else "alike"
        return ("wrong" if wrong else right), " | ".join(told)
    return ("unsure" if codes <= set(UNSURE) else "wrong"), " | ".join(told)


def main(arguments: list[str]) -> int:
    verbose = "-v" in arguments
    halves = [a for a in arguments if a in ("seen", "unseen", HELD_OUT)] or ["seen", "unseen"]
    names = [n for is_out in {h == HELD_OUT for h in halves} for n in layer_names(is_out)]
    chosen = [n for n in names if n in arguments] or names
    counts: dict[str, Counter[str]] = {half: Counter() for half in halves}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in chosen:
            for mutant in faulty(name):
                if mutant.half not in halves:
                    continue
                result, told = judged(bench, mutant)
                counts[mutant.half][result] += 1
                if result == "missed" or (verbose and result in ("wrong", "unsure", "alike")):
                    print(
                        f"{result:<7} {mutant.identity}  {sorted(mutant.accepted)}\n        {told}"
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
