"""``python -m gradtool``."""

import sys

from gradtool.cli import main

if __name__ == "__main__":
    sys.exit(main())
