"""gradtool derives, prints and checks the backward pass of neural network layers."""

# The one place of the version: the build reads it from here, and reading it costs no import.
__version__ = "0.1.0"

# What a program imports from gradtool, each from where it is defined, when it is first used:
# the command line must not wait for NumPy and sympy.
_LATER = {"assert_gradients": "gradtool.report.assertion"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _LATER:
        raise AttributeError(f"module 'gradtool' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
