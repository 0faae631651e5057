"""Programs of their own for what a test cannot show inside its process: forks, exits, warnings at the end."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from sessionward.testing.bridge import PATIENCE

SIGNING_IN: Final = """
import asyncio, logging, os, sys, threading, warnings
from sessionward.backends import Credential, NewSession
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend

logging.getLogger("asyncio").setLevel(logging.ERROR)  # development mode tells of every 0.1 s
url = sys.argv[1]
credential = Credential(b"a key")
LOGIN = NewSession(user_id="ann", digest=credential.digest, lifetime=600.0)
"""
"""What the programs share. Their first argument is a URL."""


def run(program: str, *arguments: str) -> str:
    """Run a program with all warnings as errors and in development mode; what it printed. It must say nothing else."""
    source = SIGNING_IN + program
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout
