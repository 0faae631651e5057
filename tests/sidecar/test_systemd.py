"""systemd passes sockets to a sidecar, and is informed of its state."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import sessionward
from sessionward.sidecar import systemd
from tests.sidecar.processes import SECRET, Client, Shop, shop, until
from tests.support.servers import end

PATIENCE = 20.0

ACTIVATE = """\
import fcntl, os, sys
count = int(sys.argv[1])
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 50) for number in sys.argv[2:2 + count]]
for number, each in enumerate(given, 3):
    os.dup2(each, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=sys.argv[2 + count])
os.execv(sys.executable, [sys.executable, *sys.argv[3 + count:]])
"""
"""Puts sockets where systemd puts them, and becomes the program."""


@dataclass
class Unit:
    """A service that was activated. ``states``: the datagrams that it has sent."""

    process: subprocess.Popen[bytes]
    log: Path
    notified: socket.socket

    def state(self) -> dict[str, str]:
        """Returns the next datagram."""
        return dict(line.partition("=")[::2] for line in self.notified.recv(4096).decode().splitlines())


@contextmanager
def activated(folder: Path, *arguments: str, sockets: dict[str, socket.socket], address: str = "") -> Iterator[Unit]:
    (folder / "secret").write_text(SECRET)
    address = address or str(folder / "notify")
    numbers = [str(each.fileno()) for each in sockets.values()]
    command = [sys.executable, "-c", ACTIVATE, str(len(sockets)), *numbers, ":".join(sockets), "-m", "sessionward", *arguments]
    env = {**os.environ, "PYTHONPATH": str(Path(sessionward.__file__).parent.parent), "NOTIFY_SOCKET": address}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        (folder / "log").open("wb") as log,
    ):
        notified.bind("\0" + address[1:] if address.startswith("@") else address)
        notified.settimeout(PATIENCE)
        with subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True, pass_fds=list(map(int, numbers))
        ) as process:
            try:
                yield Unit(process, folder / "log", notified)
            finally:
                end(process)


@pytest.fixture
def application() -> Iterator[Shop]:
    with shop() as server:
        yield server


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_on_passed_sockets_and_tells_its_state(tmp_path: Path, application: Shop, workers: int) -> None:
    serve = ["serve", "--upstream", application.url, "--backend", f"sqlite:///{tmp_path}/sessions.db", "--secret-file", "secret"]
    serve += ["--listen", "systemd:public", "--admin", "systemd:admin", "--workers", str(workers), "--drain-delay", "0"]
    with socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(("127.0.0.1", 0)) as public:
        with activated(tmp_path, *serve, sockets={"admin": admin, "public": public}) as unit:
            assert unit.state()["READY"] == "1"
            with Client(public.getsockname()[1]) as client:
                assert client.ask("/") == (200, b"nobody")
            with Client(admin.getsockname()[1]) as client:
                assert client.ask("/readyz")[0] == 200
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            unit.process.send_signal(signal.SIGHUP)
            reloading = unit.state()
            assert reloading["RELOADING"] == "1"
            assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert unit.state() == {"READY": "1"}
            unit.process.send_signal(signal.SIGTERM)
            assert unit.state() == {"STOPPING": "1"}
            assert unit.process.wait(PATIENCE) == 0
        with socket.create_connection(public.getsockname()):  # systemd's own socket still listens, for the next start
            pass


def test_a_reload_that_failed_is_over_too(tmp_path: Path, application: Shop) -> None:
    (tmp_path / "config.toml").write_text(
        f'upstream = "{application.url}"\nbackend = "memory"\nlisten = "systemd"\nsecret-file = "secret"\n'
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as public,
        activated(tmp_path, "serve", "--config", "config.toml", sockets={"": public}, address=f"@sessionward-{os.getpid()}") as unit,
    ):
        assert unit.state()["READY"] == "1"
        (tmp_path / "config.toml").write_text("broken")
        unit.process.send_signal(signal.SIGHUP)
        assert [next(iter(unit.state())) for _ in range(2)] == ["RELOADING", "READY"]
        until(lambda: "the old one stays in effect" in unit.log.read_text())


def test_a_socket_that_is_not_passed_is_code_3(tmp_path: Path, application: Shop) -> None:
    serve = ["serve", "--upstream", application.url, "--backend", "memory", "--secret-file", "secret", "--listen", "systemd:other"]
    with socket.create_server(("127.0.0.1", 0)) as public, activated(tmp_path, *serve, sockets={"public": public}) as unit:
        assert unit.process.wait(PATIENCE) == 3
        assert "cannot listen on systemd:other" in unit.log.read_text()


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/at/all"])
def test_without_systemd_there_is_nothing_to_tell(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify(systemd.READY)
