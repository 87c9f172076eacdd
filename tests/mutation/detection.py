"""``python -m tests.mutation.detection [layer ...] [--journal FILE]``: is every mutant found?

Only the verdict is asked for, no cause, so this is much faster than ``python -m tests.mutation``.
A mutant is missed when its file passes and no remark says that its scale is another.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.journal import taken
from tests.mutation.suite import Bench, faulty, is_found, layer, layer_names


def main(arguments: list[str]) -> int:
    journal, rest = taken(arguments)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in rest or layer_names():
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
    layers = len(rest or layer_names())
    print(f"{counts['found']} of {counts.total()} mutants of {layers} layers found")
    return int(counts["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
