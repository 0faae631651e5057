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

from sessionward.credential.token import new_token
from tests.benchmarks.guarded import COOKIE, signed
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, microseconds, ratios, times
from tests.benchmarks.requests import SECRET
from tests.benchmarks.served import ROOT
from tests.sidecar import load
from tests.sidecar.engines import Engine, engine
from tests.support.servers import Server, served

NAME = "sidecar"
MEBIBYTE = 1 << 20
CONNECTIONS = 64


def measure(effort: Effort) -> Iterator[Result]:
    missing = [tool for tool in ("wrk", "nginx") if shutil.which(tool) is None]
    if missing:
        yield LeftOut(NAME, f"{' and '.join(missing)} not installed")
        return
    rounds = 15 if effort.rounds >= Effort.full().rounds else 3
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)  # nginx's workers are nobody
        here = Path(folder)
        (here / "secret").write_text(SECRET)
        app = stack.enter_context(served(_application, log=here / "application.log", cwd=ROOT))
        yield from _proxies(here, app, stack, rounds)
        yield from _authorized(here, stack, rounds)


# --- the reverse proxy ------------------------------------------------------------------------------------------------


def _proxies(here: Path, app: Server, stack: ExitStack, rounds: int) -> Iterator[Result]:
    nginx = stack.enter_context(_plain_nginx(here / "nginx", app))
    sidecar = stack.enter_context(_sidecar(here, app))
    plain = stack.enter_context(served(lambda port: _plain(port, app), log=here / "plain.log", cwd=ROOT))
    idle = float(load.resident(sidecar.process.pid))
    sides = {"direct": app, "nginx": nginx, "serve": sidecar, "plain": plain}
    many = _alternating(sides, rounds, CONNECTIONS, [])
    direct, beside, ours = ([burst.rate for burst in many[side]] for side in ("direct", "nginx", "serve"))
    before = f"direct {median(direct):,.0f}/s"
    ratio = ratios(ours, direct)
    yield Row(f"{NAME}: before a uvicorn app, requests a second", f"{median(ours):,.0f}/s", before, ratio, times, 0.4, at_least=True)
    yield Row("the same, nginx in its place", f"{median(beside):,.0f}/s", before, ratios(beside, direct), times, None)
    long_way = [burst.rate for burst in many["plain"]]
    yield Row("the same without the straight way", f"{median(long_way):,.0f}/s", before, ratios(long_way, direct), times, None)
    one = _alternating({side: sides[side] for side in ("direct", "nginx", "serve")}, rounds, 1, [])
    added = {side: [burst.p50 - bare.p50 for burst, bare in zip(one[side], one["direct"], strict=True)] for side in ("nginx", "serve")}
    shown = f"nginx {microseconds(median(added['nginx']))}"
    here_too = microseconds(median(added["serve"]))
    ratio = ratios(added["serve"], added["nginx"])
    yield Row(f"{NAME}: latency added on one connection, p50", here_too, shown, ratio, times, 3.0)
    yield Row(f"{NAME}: resident memory, idle, one worker", _mebibytes(idle), "", [idle], _mebibytes, 60.0 * MEBIBYTE)
    large = here / "large"
    large.mkdir()
    for name, grown in asyncio.run(_grown(large)).items():
        yield Row(f"{NAME}: {name}: resident memory grows by at most", _mebibytes(grown), "", [grown], _mebibytes, 16.0 * MEBIBYTE)
    number, held = asyncio.run(_idle_connections(large))
    yield Row(f"{NAME}: {number} idle connections: resident memory", _mebibytes(held), "", [held], _mebibytes, 150.0 * MEBIBYTE)


async def _grown(here: Path) -> Mapping[str, float]:
    """Bytes by which a sidecar is larger while a GiB goes through it."""
    found: dict[str, float] = {}
    async with load.tank() as far:
        with load.sidecar(far.port, here) as server:
            pid = server.process.pid
            for name, send in (("1 GiB down", load.download), ("1 GiB up", load.upload)):
                await send(server.port, MEBIBYTE)
                before = load.resident(pid)
                load.forget_peak(pid)
                await send(server.port, 1024 * MEBIBYTE)
                found[name] = float(load.peak(pid) - before)
    return found


async def _idle_connections(here: Path) -> tuple[int, float]:
    number = load.connections_allowed(10_000)
    async with load.tank() as far:
        with load.sidecar(far.port, here) as server:
            opened = await load.clients(server.port, number)
            await load.download(server.port, 1)  # by then all have been accepted
            held = float(load.resident(server.process.pid))
            for client in opened:
                client.transport.abort()
    return number, held


# --- the authorization service ----------------------------------------------------------------------------------------


def _authorized(here: Path, stack: ExitStack, rounds: int) -> Iterator[Result]:
    """Before an application that costs next to nothing (nginx itself), so that it is the check which is measured."""
    token = new_token()
    cookie = f"Cookie: {COOKIE}={signed(token)}"
    static = stack.enter_context(_static_nginx(here / "static"))
    sock = here / "authz.sock"
    authz = _command("authz", "--backend", "tests.benchmarks.sidecar_app:remembering", "--secret-file", str(here / "secret"))
    authz += ["--listen", f"unix:{sock}?mode=666", "--drain-delay", "0"]
    env = {"TOKEN": token}
    stack.enter_context(served(lambda port: [*authz, "--admin", f"127.0.0.1:{port}"], log=here / "authz.log", cwd=ROOT, env=env))
    bare = stack.enter_context(_plain_nginx(here / "bare", static))

    def by_socket(text: str) -> str:
        return text.replace("server 127.0.0.1:9;", f"server unix:{sock};")

    asking = stack.enter_context(engine(Engine("nginx"), here / "asking", authz=9, app=static.port, change=by_socket))
    found = _alternating({"bare": bare, "asking": asking}, rounds, CONNECTIONS, [cookie])
    ours, without = ([burst.rate for burst in found[side]] for side in ("asking", "bare"))
    beside = f"nginx without it {median(without):,.0f}/s"
    measured = f"{NAME}: authz behind nginx, a live session in memory, requests a second"
    yield Row(measured, f"{median(ours):,.0f}/s", beside, ratios(ours, without), times, 0.38, at_least=True)


# --- servers ----------------------------------------------------------------------------------------------------------


def _application(port: int) -> Sequence[str]:
    return _uvicorn("tests.benchmarks.sidecar_app:application", port)


def _uvicorn(app: str, port: int) -> Sequence[str]:
    command = [sys.executable, "-m", "uvicorn", app, "--http", "httptools", "--loop", "uvloop", "--port", str(port)]
    return [*command, "--no-access-log", "--log-level", "warning"]


def _plain(port: int, app: Server) -> Sequence[str]:
    return [sys.executable, "-m", "tests.benchmarks.sidecar_app", str(port), str(app.port)]


def _command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sessionward", name, *arguments]


def _sidecar(here: Path, app: Server) -> AbstractContextManager[Server]:
    command = _command("serve", "--upstream", app.url, "--backend", f"sqlite:///{here}/sessions.db", "--secret-file", str(here / "secret"))
    command += ["--drain-delay", "0", "--drain-timeout", "1"]
    return served(lambda port: [*command, "--listen", f"127.0.0.1:{port}"], log=here / "serve.log", cwd=ROOT)


_BARE = """
worker_processes 1; daemon off; pid {folder}/pid; error_log stderr warn; events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
scgi_temp_path {folder}; {more} }}
"""
_PROXY = """upstream app {{ server 127.0.0.1:{app}; keepalive 64; }} server {{ listen 127.0.0.1:{port};
location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; }} }}"""
_STATIC = "server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 'hello'; }} }}"


def _plain_nginx(folder: Path, app: Server) -> AbstractContextManager[Server]:
    return _nginx(folder, lambda port: _PROXY.format(app=app.port, port=port))


def _static_nginx(folder: Path) -> AbstractContextManager[Server]:
    return _nginx(folder, lambda port: _STATIC.format(port=port))


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
    """What wrk has made of a server in a second: requests a second, and seconds that half of them took at most."""

    rate: float
    p50: float


def _alternating(sides: Mapping[str, Server], rounds: int, connections: int, fields: Sequence[str]) -> Mapping[str, list[Burst]]:
    found: dict[str, list[Burst]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side in sides if turn % 2 == 0 else reversed(list(sides)):
            burst = _burst(sides[side], connections, fields)
            if turn > 0:  # the first one warms up
                found[side].append(burst)
    return found


def _burst(server: Server, connections: int, fields: Sequence[str]) -> Burst:
    given = [word for field in fields for word in ("-H", field)]
    command = ["wrk", "-t1", f"-c{connections}", "-d1s", "--latency", *given, f"{server.url}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Non-2xx" not in said, said
    rate, p50 = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    assert rate is not None
    assert p50 is not None
    return Burst(float(rate[1]), float(p50[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[p50[2]])


def _mebibytes(number: float) -> str:
    return f"{number / MEBIBYTE:.1f} MiB"
