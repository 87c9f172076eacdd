"""gradtool derives, prints and checks the backward pass of neural network layers.

``gradtool.load`` and the classes of its results stand in `gradtool.api`; they are loaded when they
are first used, because ``gradtool --help`` must not wait for NumPy and sympy.
"""

# The one place of the version: the build reads it from here, and reading it costs no import.
__version__ = "0.1.0"

# What is imported on first use, and from where; `__init__.pyi` tells type checkers the same.
_ON_USE = {
    "assert_gradients": "gradtool.report.assertion",
    "load": "gradtool.api",
    "Layer": "gradtool.api",
    "Derived": "gradtool.api",
    "Differential": "gradtool.api",
    "Formula": "gradtool.api",
    "SpecError": "gradtool.api",
    "UnsupportedError": "gradtool.api",
    "UsageError": "gradtool.api",
}


def __getattr__(name: str) -> object:
    if name not in _ON_USE:
        raise AttributeError(f"module 'gradtool' has no attribute '{name}'")
    import importlib

    found = getattr(importlib.import_module(_ON_USE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted((*globals(), *_ON_USE))
