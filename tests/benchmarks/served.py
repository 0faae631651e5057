"""Requests a second under uvicorn (httptools), behind the door and without it, by wrk on the other core."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.guarded import COOKIE, signed
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, ratios, times, typical
from tests.support.servers import Server, served

NAME = "under uvicorn (httptools) and wrk, requests a second"
ROOT = Path(__file__).parent.parent.parent


def measure(effort: Effort) -> Iterator[Result]:
    if shutil.which("wrk") is None:
        yield LeftOut(NAME, "wrk is not installed")
        return
    rounds, seconds = (25, 1) if effort.rounds >= Effort.full().rounds else (5, 1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {name: stack.enter_context(served(_command(name), log=Path(folder) / name, cwd=ROOT)) for name in ("bare", "guarded")}
        token = _sign_in(servers["guarded"].port)
        fields: dict[str, Sequence[str]] = {
            "no credential": [],
            "a live session, cookie": ["-H", f"Cookie: {COOKIE}={signed(token)}"],
            "a live session, header token": ["-H", f"X-Session-Token: {token}"],
        }
        sides = [(name, side) for name in fields for side in servers]  # the bare route gets the same fields, which it must read as well
        found: dict[tuple[str, str], list[Burst]] = {side: [] for side in sides}
        for turn in range(rounds):
            for name, side in sides if turn % 2 == 0 else reversed(sides):
                found[name, side].append(burst(servers[side], seconds, fields[name]))
    for name, limit in (("no credential", 0.97), ("a live session, cookie", 0.88), ("a live session, header token", 0.88)):
        ours, bare = found[name, "guarded"], found[name, "bare"]
        rate, bare_rate = [made.rate for made in ours], [made.rate for made in bare]
        beside = f"the bare Starlette route {median(bare_rate):,.0f}/s"
        yield Row(f"{NAME}: {name}", f"{median(rate):,.0f}/s", beside, ratios(rate, bare_rate), times, limit, at_least=True)
        work, bare_work = [made.work for made in ours], [made.work for made in bare]
        if min(work) > 0:
            beside = f"the bare Starlette route {typical(bare_work)}"
            yield Row("the same by the server's processor time for a request", typical(work), beside, ratios(bare_work, work), times, None)


def _command(name: str) -> Callable[[int], Sequence[str]]:
    uvicorn = [*pinned(0), sys.executable, "-m", "uvicorn", f"tests.benchmarks.served_app:{name}", "--http", "httptools"]
    return lambda port: [*uvicorn, "--port", str(port), "--no-access-log", "--log-level", "warning"]


def pinned(core: int) -> Sequence[str]:
    """What in front of a command keeps it on one core."""
    return ["taskset", "-c", str(core)] if shutil.which("taskset") else []


def _sign_in(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/sign-in")
    token = connection.getresponse().read().decode()
    connection.close()
    return token


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk made of a server: requests a second, and seconds of processor time for one, which other processes do not change."""

    rate: float
    work: float


def burst(server: Server, seconds: int, fields: Sequence[str]) -> Burst:
    """Let wrk ask a server for so many seconds."""
    command = [*pinned(1), "wrk", "-t1", "-c16", f"-d{seconds}s", *fields, f"{server.url}/"]
    before = _processor_time(server)
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    worked = _processor_time(server) - before
    rate, number = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    assert rate is not None
    assert number is not None
    assert "Non-2xx" not in said
    return Burst(float(rate[1]), worked / int(number[1]))


def _processor_time(server: Server) -> float:
    """Seconds that the process has run so far; 0 where Linux does not say."""
    try:
        return int(Path(f"/proc/{server.process.pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError):
        return 0.0
