"""``python -m sessionward``: the command."""

import sys

from sessionward.cli import main

sys.exit(main())
