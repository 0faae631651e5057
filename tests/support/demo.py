"""Runs ``sessionward demo`` for tests, as a user starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COMMAND: Final = (sys.executable, "-m", "sessionward")


@contextmanager
def running_demo(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo that serves its page, and its port. It keeps its files in ``temporary``."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        found = next(found for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:(\d+)/", line)))
        yield process, int(found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
