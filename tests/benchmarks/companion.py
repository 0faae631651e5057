"""A page of a Flask-Login application for a signed-in user, with companions in SQLite and without, under gunicorn."""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.benchmarks.measure import Effort, LeftOut, Result, Row, ratios, times
from tests.benchmarks.served import ROOT, Burst, burst, pinned
from tests.support.servers import served

NAME = "a page of a Flask-Login application under gunicorn (one worker), companions in SQLite: requests a second"


def measure(effort: Effort) -> Iterator[Result]:
    if shutil.which("wrk") is None:
        yield LeftOut(NAME, "wrk is not installed")
        return
    rounds = 15 if effort.rounds >= Effort.full().rounds else 3
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        places = {"BENCHMARK_DATABASE": f"sqlite:///{folder}/sessions.db"}
        servers = {
            side: stack.enter_context(served(_command(side), log=Path(folder) / side, cwd=ROOT, env=places))
            for side in ("application", "guarded")
        }
        fields = {side: ["-H", f"Cookie: {_sign_in(server.port)}"] for side, server in servers.items()}
        found: dict[str, list[Burst]] = {side: [] for side in servers}
        for turn in range(rounds):
            for side in servers if turn % 2 == 0 else reversed(list(servers)):
                found[side].append(burst(servers[side], 1, fields[side]))
    ours, bare = ([made.rate for made in found[side]] for side in ("guarded", "application"))
    yield Row(
        NAME, f"{median(ours):,.0f}/s", f"the application alone {median(bare):,.0f}/s", ratios(ours, bare), times, 0.85, at_least=True
    )


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
