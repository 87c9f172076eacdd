"""Emitted NumPy code of random programs against the graph itself, entry by entry.

    python -m tests.programs.emitted 300 [--first 0] [--loops]

The forward pass must equal the graph, the backward pass the raw reverse sweep, on arrays that
cannot be written to.  Exit code 1 when one did not, or something crashed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter

from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.reference import SamplingError, reference_for
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from tests.emit.numpy_oracle import run_locked, small_sets
from tests.programs.generate import Program, generate
from tests.programs.looping import generate_loop

_SECONDS = 60


class _Late(Exception):
    pass


def _late(*_: object) -> None:
    raise _Late


def judged(program: Program) -> tuple[str, str]:
    """ "agrees", "refused", "wrong" or "crashed", and what is to be told of it."""
    try:
        reference = reference_for(load_text(program.yaml, "program.yaml"))
        for sizes in small_sets(reference)[:2]:
            run_locked(reference, sizes)
    except (SpecError, UnsupportedError, SamplingError) as error:
        return "refused", str(error).splitlines()[0]
    except _Late:
        return "late", f"more than {_SECONDS} s"
    except AssertionError as error:
        return "wrong", str(error) or traceback.format_exc()
    except Exception:
        return "crashed", "\n".join(traceback.format_exc().splitlines()[-6:])
    return "agrees", ""


def main(arguments: list[str] | None = None) -> int:
    """Print what went wrong, and how often."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.emitted")
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--loops", action="store_true", help="programs with a loop in each")
    given = parser.parse_args(arguments)
    make = generate_loop if given.loops else generate
    counts: Counter[str] = Counter()
    started = time.process_time()
    signal.signal(signal.SIGVTALRM, _late)
    warnings.simplefilter("ignore", RuntimeWarning)
    for seed in range(given.first, given.first + given.count):
        program = make(random.Random(seed))
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
        status, why = judged(program)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        counts[status] += 1
        if status in ("wrong", "crashed", "late"):
            print(f"program {seed}: {status}: {why}\n{program.yaml}", file=sys.stderr, flush=True)
    for status, number in sorted(counts.items()):
        print(f"{status:<10} {number:>6}")
    print(f"{given.count} programs in {time.process_time() - started:.0f} s of the processor")
    return int(any(status in ("wrong", "crashed") for status in counts))


if __name__ == "__main__":
    sys.exit(main())
