"""The sidecar before a uvicorn application, beside nginx; the authorization service behind nginx; by wrk, all on the same cores."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import new_token
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, compared, microseconds, rates
from tests.benchmarks.requests import SECRET
from tests.benchmarks.served import ROOT
from tests.benchmarks.sidecar_parts import PARTS, parts
from tests.benchmarks.signing import COOKIE, sign_in, signed
from tests.sidecar import load
from tests.sidecar.engines import Engine, engine
from tests.support.servers import Server, served

NAME = "sidecar"
MEBIBYTE = 1 << 20
CONNECTIONS = 64
IDLE_CONNECTIONS = 10_000


def measure(effort: Effort) -> Iterator[Result]:
    rounds = 9 if effort.rounds >= Effort.full().rounds else 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)  # the workers of nginx run as another user
        here = Path(folder)
        secret = here / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        if shutil.which("wrk") is None:
            yield LeftOut(f"{NAME}: requests a second, latency", "wrk is not installed")
        else:
            yield from _proxies(here, stack, rounds)
            if shutil.which("nginx") is None:
                yield LeftOut(f"{NAME}: authz", "nginx is not installed")
            else:
                yield from _authorized(here, stack, rounds, effort)
        yield from _memory(here / "large")


# --- the reverse proxy ------------------------------------------------------------------------------------------------


def _proxies(here: Path, stack: ExitStack, rounds: int) -> Iterator[Result]:
    token = new_token()
    app = stack.enter_context(served(_application, log=here / "application.log", cwd=ROOT))
    sides = {"direct": app, "serve": stack.enter_context(_serve(here, app, token))}
    if shutil.which("nginx") is None:
        yield LeftOut(f"{NAME}: nginx in its place", "nginx is not installed")
    else:
        sides["nginx"] = stack.enter_context(_plain_nginx(here / "nginx", app))
    session = f"Cookie: {COOKIE}={signed(token)}"
    yield from _rates(f"{NAME}: serve before a uvicorn app, anonymous users", _alternating(sides, rounds, CONNECTIONS, []), 0.6)
    yield from _rates("the same, a live session in memory", _alternating(sides, rounds, CONNECTIONS, [session]), 0.5)
    if "nginx" in sides:
        one = _alternating(sides, rounds, 1, [])
        added = {side: [burst.p50 - bare.p50 for burst, bare in zip(one[side], one["direct"], strict=True)] for side in ("nginx", "serve")}
        yield compared(f"{NAME}: latency added on one connection, p50", added["serve"], "nginx", added["nginx"], 2.0)


def _rates(measured: str, found: Mapping[str, Sequence[Burst]], limit: float) -> Iterator[Result]:
    rate = {side: [burst.rate for burst in each] for side, each in found.items()}
    yield rates(f"{measured}, requests a second", rate["serve"], "direct", rate["direct"], limit)
    if "nginx" in rate:
        yield rates("the same, nginx in its place", rate["nginx"], "direct", rate["direct"], None)


# --- memory -----------------------------------------------------------------------------------------------------------


def _memory(here: Path) -> Iterator[Result]:
    here.mkdir()
    for name, grown in asyncio.run(_grown(here)).items():
        limit = (60.0 if name == "resident memory, idle" else 16.0) * MEBIBYTE
        yield Row(f"{NAME}: {name}", _mebibytes(grown), "", [grown], _mebibytes, limit)
    number, held = asyncio.run(_idle_connections(here))
    measured = f"{NAME}: {number:,} idle connections: resident memory"
    if number < IDLE_CONNECTIONS:
        yield LeftOut(f"{NAME}: {IDLE_CONNECTIONS:,} idle connections", f"the limit of open files allows {number:,}")
    yield Row(measured, _mebibytes(held), "", [held], _mebibytes, 120.0 * MEBIBYTE)


async def _grown(here: Path) -> Mapping[str, float]:
    """Returns the bytes of an idle sidecar, and how many more there are while a GiB passes."""
    found: dict[str, float] = {}
    async with load.tank() as upstream:
        with load.sidecar(upstream.port, here) as server:
            pid = server.process.pid
            found["resident memory, idle"] = float(load.resident(pid))
            for name, send in (("1 GiB down", load.download), ("1 GiB up", load.upload)):
                await send(server.port, MEBIBYTE)
                before = load.resident(pid)
                load.forget_peak(pid)
                await send(server.port, 1024 * MEBIBYTE)
                found[f"{name}: resident memory grows by at most"] = float(load.peak(pid) - before)
    return found


async def _idle_connections(here: Path) -> tuple[int, float]:
    number = load.connections_allowed(IDLE_CONNECTIONS)
    bounds = ("--max-connections", str(number + 10), "--max-connections-per-address", str(number + 10), "--idle-timeout", "600")
    async with load.tank() as upstream:
        with load.sidecar(upstream.port, here, *bounds) as server:
            opened = await load.clients(server.port, number)
            await load.download(server.port, 1)  # by then it has accepted all
            held = float(load.resident(server.process.pid))
            assert not any(client.lost for client in opened), "a connection was refused"
            for client in opened:
                client.transport.abort()
    return number, held


# --- the authorization service ----------------------------------------------------------------------------------------


def _authorized(here: Path, stack: ExitStack, rounds: int, effort: Effort) -> Iterator[Result]:
    """The application costs next to nothing (nginx itself), so that the check is what is measured."""
    token = new_token()
    cookie = f"{COOKIE}={signed(token)}"
    static = stack.enter_context(_nginx(here / "static", lambda port: _STATIC.format(port=port)))
    sockets = {name: here / f"{name}.sock" for name in ("authz", "free", "leased")}
    authz = stack.enter_context(_authz(here, sockets["authz"], token, "tests.benchmarks.sidecar_app:remembering"))
    stack.enter_context(_nginx(here / "free", lambda port: _STATIC.format(port=port) + _FREE.format(socket=sockets["free"])))
    sides = {"bare": stack.enter_context(_plain_nginx(here / "bare", static))}
    switches: dict[str, Mapping[str, Any]] = {"authz": {}, "free": {}}
    database = f"sqlite:///{here}/sessions.db"
    backend = SQLBackend(database)
    backend.create_tables()
    backend.login(sign_in("ada", token))
    backend.close()
    stack.enter_context(_authz(here, sockets["leased"], token, database, "--lease", "2"))
    switches["leased"] = {"cache": str(here / "checks")}
    for name, given in switches.items():

        def by_socket(text: str, socket: Path = sockets[name]) -> str:
            return text.replace("server 127.0.0.1:9;", f"server unix:{socket};")

        sides[name] = stack.enter_context(
            engine(Engine("nginx"), here / f"asks-{name}", authz=9, app=static.port, change=by_socket, **given)
        )
    found = _alternating(sides, rounds, CONNECTIONS, [f"Cookie: {cookie}"], of=authz)
    rate = {side: [burst.rate for burst in each] for side, each in found.items()}
    without = "nginx without it"
    yield rates(f"{NAME}: authz behind nginx, a live session in memory, requests a second", rate["authz"], without, rate["bare"], 0.3)
    yield rates("its limit: nginx answers the check too", rate["free"], without, rate["bare"], None)
    cached = f"{NAME}: authz behind nginx with --cache and a lease of 2 s, a live session in SQLite, requests a second"
    yield rates(cached, rate["leased"], without, rate["bare"], 0.8)
    yield from _shares(found["authz"], parts(token, cookie, effort))


def _authz(here: Path, socket: Path, token: str, backend: str, *options: str) -> AbstractContextManager[Server]:
    command = _command("authz", here, backend, "--listen", f"unix:{socket}?mode=666", *options)
    log = here / f"{socket.stem}.log"
    return served(lambda port: [*command, "--admin", f"127.0.0.1:{port}"], log=log, cwd=ROOT, env={"TOKEN": token})


def _shares(bursts: Sequence[Burst], by_part: Mapping[str, Sequence[float]]) -> Iterator[Result]:
    """The parts of the processor time that authz takes for a check."""
    whole, system = median(burst.work for burst in bursts), median(burst.system for burst in bursts)
    spent = {name: median(by_part[name]) for name in PARTS} | {"system calls": system}
    spent["event loop, connection, the rest"] = whole - sum(spent.values())
    for name, seconds in spent.items():
        beside = f"of {microseconds(whole)} of processor time"
        yield Row(f"authz, one check: {name}", microseconds(seconds), beside, [seconds / whole], _percent, None)


# --- servers ----------------------------------------------------------------------------------------------------------


def _application(port: int) -> Sequence[str]:
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.sidecar_app:application", "--http", "httptools", "--loop", "uvloop"]
    return [*command, "--port", str(port), "--no-access-log", "--log-level", "warning"]


def _command(name: str, here: Path, backend: str, *options: str) -> Sequence[str]:
    command = [sys.executable, "-m", "sessionward", name, "--backend", backend, "--secret-file", str(here / "secret")]
    return [*command, "--workers", "1", "--drain-delay", "0", "--drain-timeout", "1", *options]


def _serve(here: Path, app: Server, token: str) -> AbstractContextManager[Server]:
    command = _command("serve", here, "tests.benchmarks.sidecar_app:remembering", "--upstream", app.url)
    return served(lambda port: [*command, "--listen", f"127.0.0.1:{port}"], log=here / "serve.log", cwd=ROOT, env={"TOKEN": token})


_BARE = """
worker_processes 1; daemon off; pid {folder}/pid; error_log stderr warn; events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
scgi_temp_path {folder}; {more} }}
"""
_PROXY = """upstream app {{ server 127.0.0.1:{app}; keepalive 64; }} server {{ listen 127.0.0.1:{port};
location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; }} }}"""
_STATIC = "server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 'hello'; }} }}"
_FREE = "server {{ listen unix:{socket}; location / {{ return 204; }} }}"


def _plain_nginx(folder: Path, app: Server) -> AbstractContextManager[Server]:
    return _nginx(folder, lambda port: _PROXY.format(app=app.port, port=port))


def _nginx(folder: Path, more: Callable[[int], str]) -> AbstractContextManager[Server]:
    folder.mkdir()
    folder.chmod(0o777)

    def command(port: int) -> Sequence[str]:
        (folder / "nginx.conf").write_text(_BARE.format(folder=folder, more=more(port)))
        return ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")]

    return served(command, log=folder / "log")


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk measures of a server in a second.

    ``rate``: requests a second. ``p50``: in seconds. ``work``: seconds of processor time for a request; ``system``: of these, those
    in the kernel.
    """

    rate: float
    p50: float
    work: float
    system: float


def _alternating(
    sides: Mapping[str, Server], rounds: int, connections: int, fields: Sequence[str], *, of: Server | None = None
) -> Mapping[str, list[Burst]]:
    """Measures all sides in turn. ``of``: the server whose processor time is measured, else the side itself."""
    found: dict[str, list[Burst]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side in sides if turn % 2 == 0 else reversed(list(sides)):
            burst = _burst(sides[side], connections, fields, of or sides[side])
            if turn > 0:  # the first one warms up
                found[side].append(burst)
    return found


def _burst(server: Server, connections: int, fields: Sequence[str], of: Server) -> Burst:
    given = [word for field in fields for word in ("-H", field)]
    command = ["wrk", "-t1", f"-c{connections}", "-d1s", "--latency", *given, f"{server.url}/"]
    before = _processor_times(of.process.pid)
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    user, system = (now - then for now, then in zip(_processor_times(of.process.pid), before, strict=True))
    assert "Non-2xx" not in said, said
    rate, p50 = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    number = re.search(r"(\d+) requests in", said)
    assert rate is not None
    assert p50 is not None
    assert number is not None
    count = int(number[1])
    return Burst(float(rate[1]), float(p50[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[p50[2]], (user + system) / count, system / count)


def _processor_times(pid: int) -> tuple[float, float]:
    """Returns the seconds of processor time of a process, in its code and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


def _mebibytes(number: float) -> str:
    return f"{number / MEBIBYTE:.1f} MiB"


def _percent(share: float) -> str:
    return f"{share:.0%}"
