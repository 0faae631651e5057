"""Runs the demo: a server on this machine, the story, and then the page."""

from __future__ import annotations

import secrets
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import sessionward
from sessionward.api.page import Page
from sessionward.backends.sql import SQLBackend
from sessionward.cli.demo.application import DemoApplication
from sessionward.cli.demo.story import bold, tell

HOST: Final = "127.0.0.1"
PULSE: Final = 0.5
"""Seconds that the main thread waits at a time. An endless wait would miss a Ctrl-C that comes just before it."""


def demo(*, once: bool, port: int) -> None:
    """Serves a small application on 127.0.0.1 and shows what the button does.

    Three devices sign in and one of them signs out the others. Then the demo serves a page that you can open in two
    browsers, until you press Ctrl-C. It keeps its sessions in a temporary SQLite file and deletes it at the end.
    """
    with tempfile.TemporaryDirectory(prefix="sessionward-") as folder:
        backend = SQLBackend(f"sqlite:///{Path(folder) / 'sessions.db'}")
        backend.create_tables()
        has_page = find_spec("jinja2") is not None  # the extra `page`
        # Plain http on this machine only, hence insecure=True; the secret lives as long as the demo.
        door = sessionward.WSGIMiddleware(
            DemoApplication(backend, has_page=has_page),
            backend,
            secrets=[secrets.token_bytes(32)],
            insecure=True,
            api=True,
            page=Page(name="sessionward demo") if has_page else None,
            sign_in="/",
        )
        with _listening(port) as server:
            server.set_app(door)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                tell(HOST, server.server_port)
                if not once:
                    _serve(server.server_port, thread)
            finally:
                server.shutdown()
                backend.close()


def _serve(port: int, thread: threading.Thread) -> None:
    try:
        print(bold("\nNow try it yourself."))
        print(f"  Open http://{HOST}:{port}/ in two browsers, or in one browser and a private window of it.")
        print("  Press Ctrl-C to stop the demo.", flush=True)
        while thread.is_alive():
            thread.join(PULSE)
    except KeyboardInterrupt:
        print()


def _listening(port: int) -> _Server:
    try:
        return _Server((HOST, port), _QuietHandler)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise OSError(f"{HOST}:{port}: {why}; give another --port, or none to get a free one") from error


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        super().server_bind()
        self.server_name = HOST  # does not ask the DNS for the name of this machine


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass
