"""Runs the command as ``python -m sessionward``."""

import sys

from sessionward.cli import main

if __name__ == "__main__":  # workers of the sidecar import this module as well
    sys.exit(main())
