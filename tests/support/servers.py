"""Servers for tests: a process on a free port, waited for until it listens, ended by its id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
START = 20.0
"""Seconds within which a server listens; also on a machine that is busy."""
STOP = 10.0
"""Seconds within which it ends by itself once it has been asked to."""
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens. ``log``: the file with all that it has printed."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


class NotStarted(Exception):
    """The process ended, or did not listen in time; the message has what it printed."""


def mariadb_install(data: Path) -> Sequence[str]:
    """The command that makes the files of a MariaDB server in the folder ``data``.

    Its temporary files are there too: each server that starts deletes what it takes for its own in the common folder
    of them, and one that another is filling crashes.
    """
    how = ["--auth-root-authentication-method=normal", "--skip-name-resolve", "--skip-test-db"]
    return ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--tmpdir={data}", *how]


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    command: Callable[[int], Sequence[str]], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``command(port)`` until the block ends. ``env`` is added to ours.

    Another process may take the port between our look and the server's: then the server ends, and gets another one.
    """
    for attempt in range(1, ATTEMPTS + 1):
        server = start(command(port := free_port()), port=port, log=log, cwd=cwd, env=env)
        try:
            wait_until_listening(server)
        except NotStarted as failure:
            end(server.process)
            if attempt == ATTEMPTS or "address already in use" not in str(failure).lower():
                raise
            continue
        except BaseException:
            end(server.process)
            raise
        try:
            yield server
        finally:
            end(server.process)
        return


def start(command: Sequence[str], *, port: int, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Server:
    """Start a process that will listen on ``port``, in a process group of its own."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(port, process, log)


def wait_until_listening(server: Server, *, seconds: float = START) -> None:
    """Return once the port can be connected to. Raises :class:`NotStarted` if the process ends or time runs out."""
    ends = time.monotonic() + seconds
    while True:
        if (code := server.process.poll()) is not None:
            raise NotStarted(f"the process ended with {code}:\n{server.printed()}")
        with suppress(OSError), socket.create_connection((HOST, server.port), timeout=1):
            return
        if time.monotonic() >= ends:
            raise NotStarted(f"nothing listens on port {server.port} after {seconds:g} s:\n{server.printed()}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that :func:`start` has started, and whatever it started in its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP)
    with suppress(ProcessLookupError):  # workers that outlived it: the group has its id
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
