"""A small application to see it work: sign in on three devices, press one button."""

from __future__ import annotations

import html
import http.client
import json
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.wsgi import Environ, StartResponse, WSGIApplication

HOST: Final = "127.0.0.1"
MAX_FORM: Final = 4096
"""Bytes of a form that are read."""


def demo(*, once: bool, port: int) -> None:
    """See it work: a small application on 127.0.0.1 over SQLite, one user on three devices, and one button."""
    with tempfile.TemporaryDirectory(prefix="sessionward-") as folder:
        backend = SQLBackend(f"sqlite:///{Path(folder) / 'sessions.db'}")
        backend.create_tables()
        # Plain http on this machine only, hence insecure=True; the secret lives as long as the demo.
        door = sessionward.WSGIMiddleware(_application(backend), backend, secrets=[secrets.token_bytes(32)], insecure=True)
        with _Server((HOST, port), _QuietHandler) as server:
            server.set_app(door)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                _tell(server.server_port)
                if not once:
                    _serve(server.server_port, thread)
            finally:
                server.shutdown()
                backend.close()


# --- the application: what is signed in where is not its affair -------------------------------------------------------


def _application(backend: SQLBackend) -> WSGIApplication:
    page = (files("sessionward.cli") / "demo.html").read_text("utf-8")

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessions = sessionward.of(environ)
        route = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        if route == "POST /sign-in":
            name = _form(environ).get("user", [""])[0].strip()[:64]
            if name and name.isprintable():
                sessions.login(name)
            return _to_the_page(start_response)
        if route == "POST /sign-out":
            sessions.logout()
            return _to_the_page(start_response)
        user = sessions.current.user_id if sessions.current else None
        browsers = len(backend.list(user)) if user else 0
        if route == "GET /me":
            return _answer(start_response, "200 OK", "application/json", json.dumps({"user": user, "browsers": browsers}))
        if route == "GET /":
            state = "in" if user else "out"
            shown = page.replace("{state}", state).replace("{browsers}", str(browsers)).replace("{user}", html.escape(user or ""))
            return _answer(start_response, "200 OK", "text/html; charset=utf-8", shown)
        return _answer(start_response, "404 Not Found", "text/plain; charset=utf-8", "There is nothing here; the page is at /\n")

    return application


def _form(environ: Environ) -> dict[str, list[str]]:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = min(int(length), MAX_FORM) if length.isdecimal() else 0
    body: bytes = environ["wsgi.input"].read(size)
    return parse_qs(body.decode("utf-8", "replace"))


def _answer(start_response: StartResponse, status: str, kind: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
    return [body]


def _to_the_page(start_response: StartResponse) -> Iterable[bytes]:
    start_response("303 See Other", [("Location", "/"), ("Content-Length", "0")])
    return [b""]


# --- the server -------------------------------------------------------------------------------------------------------


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        super().server_bind()
        self.server_name = HOST  # without asking anybody for the name of this machine


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


# --- the story --------------------------------------------------------------------------------------------------------


class _Device:
    """A browser, as far as the story needs one: it keeps its cookie."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._port = port
        self._cookie = ""

    def send(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=10)
        headers = {"User-Agent": self.name, "Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        self._cookie = (response.headers.get("Set-Cookie") or self._cookie).partition(";")[0]
        text = response.read().decode()
        connection.close()
        return response.status, text

    def state(self) -> str:
        user = json.loads(self.send("GET", "/me")[1])["user"]
        return _green(f"signed in as {user}") if user else _red("signed out")


def _tell(port: int) -> None:
    devices = [_Device(name, port) for name in ("laptop", "phone", "tablet")]
    print(_bold("Ada signs in on three devices."))
    for device in devices:
        device.send("POST", "/sign-in", "user=ada")
        print(f"  {device.name:8} {device.state()}")
    print(_bold("\nOn the laptop she presses “sign out my other devices”."))
    status, text = devices[0].send("DELETE", "/auth/sessions")
    print(f"  DELETE /auth/sessions\n  {status} {text}")
    print(_bold("\nWho is in now?"))
    for device in devices:
        print(f"  {device.name:8} {device.state()}")
    print()


def _serve(port: int, thread: threading.Thread) -> None:
    try:
        print(_bold("Try it yourself:"), f"open http://{HOST}:{port}/ in two browsers (or in one and a private window of it).")
        print("Ctrl-C ends the demo.", flush=True)
        thread.join()
    except KeyboardInterrupt:
        print()


def _styled(code: int, text: str) -> str:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ  # https://no-color.org
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text


def _bold(text: str) -> str:
    return _styled(1, text)


def _green(text: str) -> str:
    return _styled(32, text)


def _red(text: str) -> str:
    return _styled(31, text)
