"""Directions, Jacobians and second derivatives of random programs, judged by 60-digit differences.

    python -m tests.programs.second 300 [--first 0] [--loops]

The program k is the one of `run_many`.  A program whose forward pass or gradient is singular, or
has a kink, at a drawn point proves nothing there and counts as undefined; one that is refused must
be refused with a typed error.  Exit code 1 when a derivative was wrong or something crashed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable

from gradtool.derive.second import Differential, hessian, hvp, jacobian, jvp
from gradtool.emit.text import line
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.numeric.certify import CertificationError
from gradtool.numeric.certify_differential import certify_differential
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec
from tests.programs.generate import Program, generate
from tests.programs.looping import generate_loop
from tests.programs.prove import Outcome, prove

KINDS: dict[str, Callable[[Graph], Differential]] = {
    "jvp": lambda graph: jvp(graph, graph.wanted),
    "hvp": lambda graph: hvp(graph, graph.wanted, line),
    "jacobian": lambda graph: jacobian(graph, [(graph.outputs[0], graph.wanted[0])]),
    "hessian": lambda graph: hessian(graph, graph.wanted[0], graph.wanted[-1], line),
}


def prove_second(program: Program, seed: int = 0) -> dict[str, Outcome]:
    """The outcome of each kind of derivative; never raises for a fault of the engine."""
    try:
        spec = load_text(program.yaml, "program.yaml")
        graph = graph_of(spec)
    except (SpecError, UnsupportedError) as error:
        return {"jvp": Outcome("refused", str(error).splitlines()[0])}
    return {kind: _judged(kind, spec, graph, program, seed) for kind in KINDS}


def _judged(kind: str, spec: LayerSpec, graph: Graph, program: Program, seed: int) -> Outcome:
    try:
        found = KINDS[kind](graph)
        certify_differential(spec, graph, found)
        return Outcome("agrees")
    except UnsupportedError as error:
        return Outcome("refused", str(error))
    except CertificationError as error:
        # The first derivative says whether the point is one where there is no derivative.
        plain = prove(program, seed, size_sets=4)
        if plain.status == "undefined":
            return plain
        return Outcome("wrong", kind, f"{error}\n{plain}")
    except Exception:
        return Outcome("crashed", kind, "\n".join(traceback.format_exc().splitlines()[-8:]))


class _Late(Exception):
    pass


def _late(*_: object) -> None:
    raise _Late


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--loops", action="store_true", help="programs with a loop in each")
    given = parser.parse_args(arguments)
    counts: Counter[tuple[str, str]] = Counter()
    started = time.process_time()
    signal.signal(signal.SIGVTALRM, _late)
    for seed in range(given.first, given.first + given.count):
        make = generate_loop if given.loops else generate
        program = make(random.Random(seed))
        signal.setitimer(signal.ITIMER_VIRTUAL, 60)
        try:
            outcomes = prove_second(program, seed)
        except _Late:
            outcomes = {"": Outcome("crashed", "more than 60 s")}
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for kind, outcome in outcomes.items():
            counts[kind, outcome.status] += 1
            if outcome.status in ("wrong", "crashed", "refused"):
                print(
                    f"program {seed} {kind}: {outcome.status}: {outcome.reason}\n{outcome.detail}",
                    file=sys.stderr,
                )
                if outcome.status != "refused":
                    print(program.yaml, file=sys.stderr, flush=True)
    for (kind, status), number in sorted(counts.items()):
        print(f"{kind:<8} {status:<10} {number:>6}")
    print(f"{given.count} programs in {time.process_time() - started:.0f} s of the processor")
    return int(any(status in ("wrong", "crashed") for _, status in counts))


if __name__ == "__main__":
    sys.exit(main())
