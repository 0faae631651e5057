"""The sidecar before a uvicorn application, and beside nginx; the authorization service behind nginx; by wrk, all on two cores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.benchmarks.guarded import COOKIE, signed
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, ratios, times
from tests.benchmarks.served import ROOT
from tests.sidecar.load import download, upload
from tests.support.servers import Server, served

NAME = "before a uvicorn application, requests a second"
SECRET = "the sidecar's secret in this measurement: 0123456789abcdef"
BARE = "tests.benchmarks.served_app:bare"
GIBIBYTE = 1 << 30


def measure(effort: Effort) -> Iterator[Result]:
    missing = [tool for tool in ("wrk", "nginx") if shutil.which(tool) is None]
    if missing:
        yield LeftOut(NAME, f"{' and '.join(missing)} not installed")
        return
    rounds = 15 if effort.rounds >= Effort.full().rounds else 3
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)  # nginx's workers are nobody
        here = Path(folder)
        app = stack.enter_context(served(_uvicorn, log=here / "app.log", cwd=ROOT))
        nginx = stack.enter_context(_nginx(here, "plain", app))
        sidecar = stack.enter_context(_sidecar(here, "serve", app))
        plain = stack.enter_context(_sidecar(here, "plain-serve", app, SESSIONWARD_STRAIGHT="false"))
        yield from _end_to_end({"direct": app, "nginx": nginx, "serve": sidecar, "without the straight way": plain}, rounds)
        yield from _latency({"direct": app, "nginx": nginx, "serve": sidecar}, rounds)
        yield from _memory(here, app)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)
        here = Path(folder)
        app = stack.enter_context(served(_uvicorn, log=here / "app.log", cwd=ROOT))
        yield from _authorization(here, app, stack, rounds)


def _uvicorn(port: int) -> Sequence[str]:
    return [
        sys.executable, "-m", "uvicorn", BARE, "--http", "httptools", "--loop", "uvloop", "--port", str(port), "--no-access-log",
        "--log-level", "warning",
    ]  # fmt: skip
