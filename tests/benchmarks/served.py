"""Requests a second under uvicorn (httptools), behind our middleware and beside what people use, by wrk on the other core."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from sessionward.backends.sql import SQLBackend
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, compared, rates
from tests.benchmarks.signing import COOKIE, Browsers, signed, starlette_cookies
from tests.support.servers import Server, served

NAME = "under uvicorn (httptools) and wrk, requests a second"
BARE = "the bare Starlette route"
ROOT = Path(__file__).parent.parent.parent
CONNECTIONS = 16

Arguments = Sequence[str]
"""What follows in the command of wrk: the fields of a browser, or a script with the browsers."""


def measure(effort: Effort) -> Iterator[Result]:
    if shutil.which("wrk") is None:
        yield LeftOut(NAME, "wrk is not installed")
        return
    rounds = 11 if effort.rounds >= Effort.full().rounds else 3
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        servers = {name: stack.enter_context(_serve(name, here)) for name in ("bare", "starlette", "guarded")}
        browsers = in_turn(here / "ours", _cookies(_sign_in(servers["guarded"].port)))
        sides: dict[str, tuple[Server, Arguments]] = {
            "bare": (servers["bare"], browsers),  # it gets the same fields, which it must read as well
            "starlette": (servers["starlette"], in_turn(here / "starlette's", [f"session={cookie}" for cookie in starlette_cookies()])),
            "guarded": (servers["guarded"], browsers),
            "bare, anonymous": (servers["bare"], []),
            "anonymous": (servers["guarded"], []),
        }
        for database, url in _databases(here, stack).items():
            sides |= _leased(database, url, here, stack)
        found = bursts(sides, rounds)
    yield from _rows(found)
    for database in ("SQLite", "PostgreSQL"):
        yield from _leased_rows(database, found)


def _rows(found: Mapping[str, Sequence[Burst]]) -> Iterator[Result]:
    ours, bare = found["guarded"], found["bare"]
    cookie = f"{NAME}: a live cookie, seen before, memory"
    yield rates(cookie, _rates(ours), BARE, _rates(bare), 0.85)
    yield rates(cookie, _rates(ours), "it behind Starlette's SessionMiddleware", _rates(found["starlette"]), 1.15)
    work, bare_work = [made.work for made in ours], [made.work for made in bare]
    if min(work) > 0:
        yield compared("the same, the server's processor time for a request", work, BARE, bare_work, None)
    yield rates(f"{NAME}: no credential", _rates(found["anonymous"]), BARE, _rates(found["bare, anonymous"]), 0.97)


def _leased_rows(database: str, found: Mapping[str, Sequence[Burst]]) -> Iterator[Result]:
    measured = f"{NAME}: a live cookie, lease=1, {database}, one session for each connection of wrk"
    if f"{database}, few" not in found:
        yield LeftOut(measured, f"no {database} answers")
        return
    bare = _rates(found["bare"])
    yield rates(measured, _rates(found[f"{database}, few"]), BARE, bare, 0.93)
    yield rates("the same, a thousand sessions in turn, each looked up once a second", _rates(found[f"{database}, many"]), BARE, bare, None)


# --- servers ----------------------------------------------------------------------------------------------------------


def _serve(name: str, here: Path, database: str = "") -> AbstractContextManager[Server]:
    """The application by this name."""
    uvicorn = [*pinned(0), sys.executable, "-m", "uvicorn", "--factory", f"tests.benchmarks.served_app:{name}", "--http", "httptools"]
    uvicorn += ["--no-access-log", "--log-level", "warning"]
    log = here / f"{name} {database.partition(':')[0]}.log"
    return served(lambda port: [*uvicorn, "--port", str(port)], log=log, cwd=ROOT, env={"BENCHMARK_DATABASE": database})


def pinned(core: int) -> Sequence[str]:
    """What in front of a command keeps it on one core."""
    return ["taskset", "-c", str(core)] if shutil.which("taskset") else []


def _databases(here: Path, stack: ExitStack) -> Mapping[str, str]:
    """The URLs of the databases that are there."""
    return {"SQLite": f"sqlite:///{here}/sessions.db"} | dict(zip(["PostgreSQL"], stack.enter_context(postgresql()), strict=False))


def _leased(database: str, url: str, here: Path, stack: ExitStack) -> Mapping[str, tuple[Server, Arguments]]:
    backend = SQLBackend(url)
    backend.create_tables()
    cookies = _cookies(Browsers.signed_in(backend))
    backend.close()
    server = stack.enter_context(_serve("leased", here, url))
    few, many = in_turn(here / f"few {database}", cookies[:CONNECTIONS]), in_turn(here / f"many {database}", cookies)
    return {f"{database}, few": (server, few), f"{database}, many": (server, many)}


# --- browsers ---------------------------------------------------------------------------------------------------------


def _sign_in(port: int) -> Browsers:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/sign-in")
    tokens = json.loads(connection.getresponse().read())
    connection.close()
    return Browsers(tokens)


def _cookies(browsers: Browsers) -> Sequence[str]:
    return [f"{COOKIE}={signed(token)}" for token in browsers.tokens]


def in_turn(file: Path, cookies: Sequence[str]) -> Arguments:
    """Has wrk ask as each of the browsers with these Cookie fields in turn."""
    file.write_text("\n".join(cookies))
    return ["-s", str(Path(__file__).parent / "browsers.lua"), str(file)]


# --- bursts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk made of a server: requests a second, and seconds of processor time for one, which other processes do not change."""

    rate: float
    work: float


def bursts(sides: Mapping[str, tuple[Server, Arguments]], rounds: int) -> Mapping[str, Sequence[Burst]]:
    """Lets wrk ask all sides in turn, a second each; every other round in the opposite order."""
    found: dict[str, list[Burst]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else reversed(list(sides)):
            found[side].append(burst(*sides[side]))
    return found


def burst(server: Server, arguments: Arguments) -> Burst:
    """Lets wrk ask a server for a second."""
    command = [*pinned(1), "wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", *arguments[:2], f"{server.url}/", *arguments[2:]]
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


def _rates(made: Sequence[Burst]) -> list[float]:
    return [burst.rate for burst in made]
