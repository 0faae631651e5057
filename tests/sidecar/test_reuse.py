"""Before the servers that people run, no request is lost while connections are used again, however these servers end them.

With FULL_SIZE=1 in the environment: 1 000 requests of each method; else fewer, for the sake of time.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sidecar.processes import ROOT, sidecar
from tests.support.servers import HOST, Server, served

FULL = os.environ.get("FULL_SIZE") == "1"
COUNT = 1_000 if FULL else 96
"""Requests of each method."""
CLIENTS = 8
METHODS = {"GET": None, "HEAD": None, "POST": b"p" * 300, "PUT": b"u" * 40_000, "DELETE": None, "OPTIONS": None, "PATCH": b""}
"""With the body that goes with them."""

WSGI, ASGI = "tests.sidecar.stacks.counting:wsgi", "tests.sidecar.stacks.counting:asgi"
JAVA = ("POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
UWSGI = "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"


def python(*arguments: str) -> Callable[[int], Sequence[str]]:
    """The command of a Python server; ``{address}`` and ``{port}`` are filled in."""
    return lambda port: [sys.executable, *(each.format(address=f"{HOST}:{port}", port=port) for each in arguments)]


def gunicorn(*arguments: str, app: str = WSGI) -> Callable[[int], Sequence[str]]:
    common = ("--bind", "{address}", "--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--log-level", "error")
    return python("-m", "gunicorn", *common, *arguments, app)


SERVERS: dict[str, Callable[[int], Sequence[str]]] = {
    "uWSGI, which closes without a word": python(
        "-c", UWSGI, "--http-socket", "{address}", "--module", WSGI, "--processes", "4", "--need-app", "--die-on-term",
        "--disable-logging", "--master",
    ),
    "waitress": python("-m", "waitress", "--listen", "{address}", "--threads", "4", WSGI),
    "cheroot": python("-m", "cheroot", "--bind", "{address}", "--threads", "4", "--timeout", "1", WSGI),
    "gunicorn sync": gunicorn("--workers", "2"),
    "gunicorn gthread": gunicorn("--worker-class", "gthread", "--threads", "4", "--workers", "2", "--keep-alive", "1"),
    "gunicorn with uvicorn's worker": gunicorn("--worker-class", "uvicorn.workers.UvicornWorker", "--workers", "2", app=ASGI),
    "gunicorn whose workers end": gunicorn(
        "--worker-class", "gthread", "--threads", "2", "--workers", "2", "--max-requests", "100", "--max-requests-jitter", "50",
    ),
    "uvicorn": python("-m", "uvicorn", "--port", "{port}", "--log-level", "error", "--workers", "2", ASGI),
    "Hypercorn": python("-m", "hypercorn", "--bind", "{address}", "--workers", "2", "--log-level", "error", ASGI),
    "Node": lambda port: ["node", str(ROOT / "tests/sidecar/stacks/counting.js"), str(port)],
}  # fmt: skip


class Lost(list[str]):
    """What came in place of an answer, or an answer to another request."""


def ask_many(port: int, count: int) -> Lost:
    """One client on one connection, which it opens again where the sidecar has closed it."""
    lost = Lost()
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    for number in range(count * len(METHODS)):
        method, body = list(METHODS.items())[number % len(METHODS)]
        try:
            connection.request(method, f"/{number}", body)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as failure:
            lost.append(f"{method}: {failure!r}")
            connection.close()
            continue
        expected = b"" if method == "HEAD" else b"%s %d" % (method.encode(), len(body or b""))
        if response.status != 200 or said != expected:
            lost.append(f"{method}: {response.status} {said[:300]!r}")
    connection.close()
    return lost


def run(server: Server) -> Lost:
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask_many, server.port, COUNT // CLIENTS) for _ in range(CLIENTS)]
        return Lost(each for client in clients for each in client.result())


@pytest.mark.parametrize("name", SERVERS)
def test_no_request_is_lost(tmp_path: Path, name: str) -> None:
    if name == "Node" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    with (
        served(SERVERS[name], log=tmp_path / "app.log", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}) as app,
        sidecar(tmp_path, app.url, backend="memory") as server,
    ):
        lost = run(server)
    assert not lost, f"{len(lost)} of {COUNT * len(METHODS)}: {lost[:3]}"


@pytest.mark.parametrize("name", ["uvicorn", "uWSGI, which closes without a word"])
def test_no_request_of_javas_client_is_lost(tmp_path: Path, name: str) -> None:
    """It asks for h2c with every request that opens a connection, also where the request has a body."""
    if shutil.which("javac") is None:
        pytest.skip("no JDK is installed")
    with (
        served(SERVERS[name], log=tmp_path / "app.log", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}) as app,
        sidecar(tmp_path, app.url, backend="memory") as server,
    ):
        command = ["java", "-XX:TieredStopAtLevel=1", str(ROOT / "tests/sidecar/java/Ask.java"), str(server.port), str(COUNT)]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert printed.splitlines() == [f"{method}: 0 of {COUNT} lost" for method in JAVA]
