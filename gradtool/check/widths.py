"""The types of numbers that frameworks make where no text says which.

``torch.ones(3)`` is float32 unless the process says otherwise, and JAX makes nothing longer until
it is told to.  Reading a file's float32 numbers as float64 means these, too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable

FRAMEWORKS = ("torch", "jax", "tensorflow", "mxnet", "cupy", "numba", "paddle")


def loaded_frameworks() -> list[str]:
    """The frameworks that this process has imported."""
    return [name for name in FRAMEWORKS if name in sys.modules]


def widen_defaults(names: Iterable[str]) -> None:
    """Let the frameworks of these names make float64 where nobody asks for a type.

    For a process that runs one file and is then ended: nothing is set back.
    """
    for name in names:
        try:
            module = importlib.import_module(name)
            if name == "torch":
                module.set_default_dtype(module.float64)
            elif name == "jax":
                module.config.update("jax_enable_x64", True)
        except (Exception, SystemExit):  # without it the file may still be right
            continue
