"""A page of a Flask-Login application for a signed-in user, with companions in SQLite and without, under gunicorn."""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.measure import Effort, LeftOut, Result, rates
from tests.benchmarks.served import ROOT, bursts, pinned
from tests.support.servers import served

NAME = "a page of a Flask-Login application under gunicorn (one worker), companions in SQLite, requests a second"
APPLICATION = "the application alone"


def measure(effort: Effort) -> Iterator[Result]:
    if shutil.which("wrk") is None:
        yield LeftOut(NAME, "wrk is not installed")
        return
    rounds = 11 if effort.rounds >= Effort.full().rounds else 3
    limits = {"guarded": 0.8, "leased": 0.92}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            side: stack.enter_context(
                served(
                    _command(side),
                    log=Path(folder) / f"{side}.log",
                    cwd=ROOT,
                    env={"BENCHMARK_DATABASE": f"sqlite:///{folder}/{side}.db"},  # a lease is that of a whole database
                )
            )
            for side in ("application", *limits)
        }
        sides = {side: (server, ["-H", f"Cookie: {_sign_in(server.port)}"]) for side, server in servers.items()}
        found = bursts(sides, rounds)
    bare = [made.rate for made in found["application"]]
    for side, limit in limits.items():
        measured = f"{NAME}: {'lease=1' if side == 'leased' else 'without a lease'}"
        yield rates(measured, [made.rate for made in found[side]], APPLICATION, bare, limit)


def _command(side: str) -> Callable[[int], Sequence[str]]:
    gunicorn = [*pinned(0), sys.executable, "-m", "gunicorn", "--workers", "1", "--log-level", "warning"]
    return lambda port: [*gunicorn, "--bind", f"127.0.0.1:{port}", f"tests.benchmarks.companion_app:{side}()"]


def _sign_in(port: int) -> str:
    """The Cookie field of a browser that has signed in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/login")
    response = connection.getresponse()
    pairs = [field.partition(";")[0] for field in response.headers.get_all("Set-Cookie", [])]
    connection.close()
    return "; ".join(pairs)
