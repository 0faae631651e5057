"""The command with short times, also in the processes that it starts: ``python -m tests.sidecar.hasty serve ...``."""

from __future__ import annotations

import sys

from sessionward.cli import main
from sessionward.sidecar.client.limits import Limits

GRACE = 1.0
"""Seconds without progress that a hasty sidecar waits for a slow side, where the real one waits for 60."""

LINGER = 0.25
"""Seconds for which it discards what a client still sends after a refusal, where the real one does it for 2."""

if __name__ in ("__main__", "__mp_main__"):  # by itself, or in a process that it has started; never where a test imports it
    assert Limits.__init__.__kwdefaults__ is not None
    Limits.__init__.__kwdefaults__.update(grace=GRACE, linger=LINGER)  # there are no options, since no user has a reason to choose

if __name__ == "__main__":
    sys.exit(main())
