"""The command ``gradtool``, and ``python -m gradtool``: a process that ends with it."""

from __future__ import annotations

import gc
import sys
from contextlib import AbstractContextManager, nullcontext

THRESHOLD = 20_000
"""Objects between two looks for garbage: importing makes hundreds of thousands, and none of it."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(THRESHOLD)
    with _workers_ahead() if sys.argv[1:2] == ["lint"] else nullcontext():
        from gradtool import cli

        code = cli.main()
    gc.freeze()  # the interpreter looks through all there is several times before it ends
    sys.exit(code)


def _workers_ahead() -> AbstractContextManager[object]:
    from gradtool.lint import early

    return early.ahead()


if __name__ == "__main__":
    main()
