"""What can be wrong with a gradient: modules that propose causes, found by themselves.

A module here may define ``propose(evidence) -> Iterable[Hypothesis]``; the words for each code,
with a wrong and a right example, stand in one YAML file each in `explained`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache

from gradtool.check.diagnose_evidence import Evidence
from gradtool.check.diagnose_hypothesis import Hypothesis

Proposer = Callable[[Evidence], Iterable[Hypothesis]]


@cache
def proposers() -> tuple[Proposer, ...]:
    """Every proposer of this package, in the order of the modules' names."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    return tuple(module.propose for module in modules if hasattr(module, "propose"))
