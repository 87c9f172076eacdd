"""What can be wrong with a gradient: modules that propose causes, found by themselves.

A module here may define ``propose(evidence) -> Iterable[Hypothesis]``; the words for each code,
with a wrong and a right example, stand in one YAML file each in `explained`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator

from gradtool.check.diagnose_evidence import Evidence
from gradtool.check.diagnose_hypothesis import Hypothesis

Proposer = Callable[[Evidence], Iterable[Hypothesis]]


def proposers() -> Iterator[Proposer]:
    """Every proposer of this package, in the order of the modules' names."""
    for module in pkgutil.iter_modules(__path__):
        found = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(found, "propose"):
            yield found.propose
