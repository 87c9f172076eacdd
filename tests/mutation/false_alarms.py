"""``python -m tests.mutation.false_alarms [runs] [--journal FILE]``: correct code, no alarm.

Every layer in every style at seed after seed; prints what was called wrong, and the count.  With
a journal a run that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import count, cycle
from pathlib import Path

from tests.mutation.journal import parser
from tests.mutation.suite import Bench, layer, layer_names


def main(arguments: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("runs", nargs="?", type=int, default=5000)
    chosen = options.parse_args(arguments)
    journal, runs = chosen.journal, chosen.runs
    styles = [
        (name, title, text)
        for name in layer_names()
        for title, text in (("as it is", layer(name).text), *layer(name).variants.items())
    ]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for seed, (name, title, text) in zip(count(), cycle(styles), strict=False):
            if seed == runs:
                break
            key = f"{seed} {name} ({title})"
            if key in journal.results:
                continue
            verdict = bench.judge(layer(name), text, seed=seed, explain=False)
            journal.add(key, verdict.verdict)
            if verdict.verdict != "pass":
                print(f"{key}: {verdict}", flush=True)
        bench.end()
    alarms = sum(result != "pass" for result in journal.results.values())
    done = len(journal.results)
    print(f"{done} runs of {len(styles)} correct implementations: {alarms} false alarms")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
