"""Runs one application under one server on a socket that is already listening: ``serve KIND FD MODULE:NAME``."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from importlib import import_module
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to say."""


def main(kind: str, number: str, target: str) -> None:
    fd = int(number)
    if kind.startswith("gunicorn"):
        _, worker, *more = kind.split()
        command = [
            "gunicorn",
            "--bind",
            f"fd://{fd}",
            "--worker-class",
            worker,
            "--log-level",
            "warning",
            "--no-control-socket",
            *more,
            target,
        ]
        os.execv(sys.executable, [sys.executable, "-m", *command])
    if kind.startswith("uwsgi"):
        options = ["--http-socket", f"fd://{fd}", "--wsgi", target, "--master", "--die-on-term", "--disable-logging", "--need-app"]
        program = "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"
        os.execv(sys.executable, [sys.executable, "-c", program, *options, *kind.split()[1:]])
    module, _, name = target.partition(":")
    app: Any = getattr(import_module(module), name)
    if kind.startswith("uvicorn"):
        import uvicorn

        uvicorn.run(app, fd=fd, http=kind.split()[1], log_level="warning", lifespan="on")
    elif kind == "hypercorn":
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{fd}"]
        asyncio.run(serve(app, config))
    elif kind == "daphne":
        os.execv(sys.executable, [sys.executable, "-m", "daphne", "--fd", str(fd), "--verbosity", "0", target])
    elif kind == "waitress":
        import waitress  # type: ignore[import-untyped]

        # By itself it holds 16 MiB of an answer for a client that reads slowly; what is watched here is our memory, not its.
        waitress.serve(app, sockets=[socket.socket(fileno=fd)], threads=4, outbuf_high_watermark=2**20, _quiet=True)
    elif kind == "wsgiref":
        server = _Threading(("127.0.0.1", 0), _Quiet, bind_and_activate=False)
        server.socket.close()
        server.socket = socket.socket(fileno=fd)
        server.server_name, server.server_port = "localhost", server.socket.getsockname()[1]
        server.setup_environ()
        server.set_app(app)
        server.serve_forever()
    else:
        raise SystemExit(f"{kind} is no server")


if __name__ == "__main__":
    main(*sys.argv[1:])
