"""``sessionward serve`` as a process, and applications for it to stand before."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from tests.support.servers import Server, served

ROOT = Path(__file__).parent.parent.parent
SECRET = "the secret of a sidecar in the tests: 0123456789"


@contextmanager
def sidecar(
    folder: Path, upstream: str, *arguments: str, backend: str = "", env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[Server]:
    """A sidecar over SQLite in the folder, on a free port."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    backend = backend or f"sqlite:///{folder}/sessions.db"
    command = [sys.executable, "-m", "sessionward", "serve", "--upstream", upstream, "--backend", backend, "--secret-file", str(secret)]
    if "--login-path" not in arguments:
        command += ["--login-path", "/in/"]
    if "--drain-delay" not in arguments:
        command += ["--drain-delay", "0"]
    with served(
        lambda port: [*command, "--listen", f"127.0.0.1:{port}", *arguments], log=folder / "sidecar.log", cwd=cwd, env=env
    ) as server:
        yield server


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until something is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it has not come to pass"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The workers of a sidecar: what Python's multiprocessing keeps beside them is none."""
    listed = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False).stdout
    return sorted(int(word) for word in listed.split())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for a small answer

    def do_GET(self) -> None:
        path = self.path
        shop: Any = self.server
        if path.startswith("/in/"):
            self._say(b"welcome", {"Session-Login": f"{path[4:]}; proof={self.headers['X-Session-Proof']}"})
        elif path == "/slow":
            shop.reached.set()
            shop.opened.wait(20)
            self._say(b"slow")
        elif path == "/events":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n")
            self.wfile.flush()
            shop.reached.set()
            shop.opened.wait(20)
            self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")
            self.wfile.flush()
        else:
            self._say(unquote(self.headers.get("X-Session-User") or "nobody").encode())

    def _say(self, body: bytes, fields: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to say."""


class Shop(ThreadingHTTPServer):
    """An application in plain Python that knows nothing of us but one field of its answer to a sign-in."""

    daemon_threads = True

    def __init__(self, path: Path | None = None) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        if path is not None:
            self.address_family = socket.AF_UNIX
        super().__init__(str(path) if path is not None else ("127.0.0.1", 0), _Handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def shop(path: Path | None = None) -> Iterator[Shop]:
    with Shop(path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.opened.set()
            server.shutdown()
            thread.join()


class Client:
    """One connection that keeps its cookies, as a browser does."""

    def __init__(self, port: int, path: Path | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        if path is not None:
            self._connection.sock = socket.socket(socket.AF_UNIX)
            self._connection.sock.connect(str(path))
        self.cookies: dict[str, str] = {}

    def ask(self, target: str, method: str = "GET", body: bytes | None = None, **fields: str) -> tuple[int, bytes]:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, target, body, headers)
        response = self._connection.getresponse()
        for set_cookie in response.headers.get_all("Set-Cookie", []):
            name, _, value = set_cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value or "max-age=0" in set_cookie.lower() or "01 Jan 1970" in set_cookie:
                self.cookies.pop(name)
        self.headers = response.headers
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
