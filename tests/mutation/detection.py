"""``python -m tests.mutation.detection [opened|heldout] [layer ...] [--journal FILE]``: all found?

Only the verdict is asked for, no cause, so this is much faster than ``python -m tests.mutation``.
A mutant is missed when its file passes and no remark says that its scale is another.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.journal import parser
from tests.mutation.mutate import HELD_OUT, OPENED
from tests.mutation.suite import Bench, faulty, is_found, layer, layer_names


def main(arguments: list[str]) -> int:
    options = parser(__doc__)
    every = [name for kind in ("", OPENED, HELD_OUT) for name in layer_names(kind)]
    options.add_argument("names", nargs="*", metavar="SET or LAYER")
    chosen = options.parse_args(arguments)
    if unknown := set(chosen.names) - {OPENED, HELD_OUT, *every}:
        options.error(f"there are no mutants of {', '.join(sorted(unknown))}")
    journal = chosen.journal
    sets = [layer_names(a) if a in (OPENED, HELD_OUT) else [a] for a in chosen.names]
    names = [name for each in sets for name in each] or layer_names()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in names:
            mine: Counter[str] = Counter()
            for number, mutant in enumerate(faulty(name)):
                key = f"{name} {number} {mutant.identity}".replace("\n", " ").replace("\t", " ")
                if key not in journal.results:
                    verdict = bench.judge(layer(name), mutant.text, explain=False)
                    journal.add(key, "found" if is_found(verdict) else "missed")
                result = journal.results[key]
                mine[result] += 1
                if result == "missed":
                    print(f"missed  {key}", flush=True)
            print(f"{name}: {mine['found']} of {mine.total()} mutants found", flush=True)
            counts += mine
        bench.end()
    print(f"{counts['found']} of {counts.total()} mutants of {len(names)} layers found")
    return int(counts["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
