"""``python -m tests.mutation.false_alarms [runs]``: correct code, many seeds, no alarm.

Every layer in every style at seed after seed; prints what was called wrong, and the count.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import count, cycle
from pathlib import Path

from tests.mutation.suite import Bench, layer, layer_names


def main(arguments: list[str]) -> int:
    runs = int(arguments[0]) if arguments else 5000
    alarms = done = 0
    styles = [
        (name, title, text)
        for name in layer_names()
        for title, text in (("as it is", layer(name).text), *layer(name).variants.items())
    ]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for seed, (name, title, text) in zip(count(), cycle(styles), strict=False):
            if done == runs:
                break
            verdict = bench.judge(layer(name), text, seed=seed)
            done += 1
            if verdict.verdict != "pass":
                alarms += 1
                print(f"{name} ({title}), seed {seed}: {verdict}", flush=True)
        bench.end()
    print(f"{done} runs of {len(styles)} correct implementations: {alarms} false alarms")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
