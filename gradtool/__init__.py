"""gradtool derives, prints and checks the backward pass of neural network layers."""

# The one place of the version: the build reads it from here, and reading it costs no import.
__version__ = "0.1.0"
