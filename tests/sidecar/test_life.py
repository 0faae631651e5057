"""The life of the process: signals at any time, a reload under load, workers that die, and pipes that nothing reads."""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from sessionward.sidecar.build import build
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.worker import Worker
from tests.sidecar.processes import SECRET, Client, Shop, children, shop, until
from tests.support.servers import Server, end, free_port, served, start, wait_until_listening

PATIENCE = 20.0
"""Seconds after which a process that should have ended has failed; also on a machine that is busy."""

SLOW = """\
import asyncio, multiprocessing, os, time
from sessionward.backends.sql import AsyncSQLBackend

def waits(place):
    if os.environ.get("SLOW") == place:
        open("reached", "w").close()
        time.sleep(float(os.environ.get("SECONDS", "600")))

class Backend(AsyncSQLBackend):
    async def create_tables(self):
        waits("in the event loop")
        await asyncio.to_thread(waits, "in a thread")
        await super().create_tables()

def backend():
    if multiprocessing.parent_process() is not None:
        waits("in a worker")
        if os.environ.get("SLOW") == "a worker dies":
            time.sleep(1.1)
            raise RuntimeError("it dies")
    return Backend("sqlite:///sessions.db")

waits("in an import")
"""


def command(folder: Path, upstream: str, *arguments: str) -> list[str]:
    """A sidecar whose configuration is in a file, over the slow backend."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "secret").write_text(SECRET)
    (folder / "config.toml").write_text(configuration(upstream))
    return [sys.executable, "-m", "sessionward", "serve", "--config", "config.toml", "--drain-delay", "0", *arguments]


def configuration(upstream: str, *lines: str) -> str:
    return "\n".join(
        [f'upstream = "{upstream}"', 'backend = "slow:backend"', 'secret-file = "secret"', 'login-path = ["/in/"]', *lines, ""]
    )


@contextmanager
def running(folder: Path, upstream: str, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[Server]:
    base = [*before, *command(folder, upstream, *arguments)]
    with served(lambda port: [*base, "--listen", f"127.0.0.1:{port}"], log=folder / "log", cwd=folder, env=env_of(None)) as server:
        yield server


@contextmanager
def starting(
    folder: Path, *arguments: str, slow: str, before: tuple[str, ...] = (), env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A sidecar that has reached the slow part of its start."""
    port = free_port()
    begun = [*before, *command(folder, "http://127.0.0.1:9", *arguments, "--listen", f"127.0.0.1:{port}")]
    server = start(begun, port=port, log=folder / "log", cwd=folder, env=env_of({"SLOW": slow, **(env or {})}))
    try:
        until((folder / "reached").exists)
        yield server
    finally:
        end(server.process)


def env_of(env: Mapping[str, str] | None) -> dict[str, str]:
    import sessionward

    return {"PYTHONPATH": str(Path(sessionward.__file__).parent.parent), **(env or {})}


@pytest.fixture
def application() -> Iterator[Shop]:
    with shop() as server:
        yield server


# --- a signal during the start ----------------------------------------------------------------------------------------

STARTS = {
    f"{number.name}, {slow}, {workers} worker{'s' * (workers > 1)}": (number, slow, workers)
    for number, slow, workers in [
        (signal.SIGTERM, "in an import", 1),
        (signal.SIGTERM, "in the event loop", 1),
        (signal.SIGTERM, "in a thread", 1),
        (signal.SIGTERM, "in a thread", 2),
        (signal.SIGTERM, "in a worker", 2),
        (signal.SIGINT, "in a thread", 1),
        (signal.SIGINT, "in a worker", 2),
        (signal.SIGQUIT, "in a thread", 1),
    ]
}


@pytest.mark.parametrize(("number", "slow", "workers"), STARTS.values(), ids=STARTS)
def test_a_signal_in_the_middle_of_the_start_ends_it_at_once(tmp_path: Path, number: signal.Signals, slow: str, workers: int) -> None:
    with starting(tmp_path, "--workers", str(workers), slow=slow) as server:
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.printed()
        assert slow == "in a worker" or f"{number.name} during the start" in server.printed()


def _namespaces() -> bool:
    made = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False)
    return made.returncode == 0


@pytest.mark.skipif(not _namespaces(), reason="this user may make no namespace of processes")
@pytest.mark.parametrize(("slow", "workers"), [("in an import", 1), ("in a thread", 1), ("in a thread", 2), ("in a worker", 2)])
def test_process_1_of_a_container_obeys_during_the_start_too(tmp_path: Path, slow: str, workers: int) -> None:
    """The kernel has no default action for process 1, so the signal was lost."""
    before = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with starting(tmp_path, "--workers", str(workers), slow=slow, before=before) as server:
        (first,) = subprocess.run(
            ["pgrep", "-P", str(server.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        os.kill(int(first), signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_other_signals_during_the_start_end_nothing_and_a_reload_is_not_lost(tmp_path: Path, application: Shop, workers: int) -> None:
    with starting(tmp_path, "--workers", str(workers), slow="in a thread", env={"SECONDS": "0.5"}) as server:
        (tmp_path / "config.toml").write_text(configuration(application.url))
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            server.process.send_signal(number)
        wait_until_listening(server)
        until(lambda: "was read again" in server.printed())
        until(lambda: ask(server) == (200, b"nobody"))


# --- signals while it serves ------------------------------------------------------------------------------------------


def ask(server: Server, target: str = "/") -> tuple[int, bytes]:
    with Client(server.port) as client:
        return client.ask(target)


@pytest.mark.parametrize("workers", [1, 2])
def test_quit_drains_and_usr2_is_ignored_with_a_line(tmp_path: Path, application: Shop, workers: int) -> None:
    with running(tmp_path, application.url, "--workers", str(workers)) as server, Client(server.port) as client:
        server.process.send_signal(signal.SIGUSR2)
        until(lambda: "SIGUSR2 is ignored" in server.printed())
        answered: list[object] = []
        asking = threading.Thread(target=lambda: answered.append(client.ask("/slow")))
        asking.start()
        assert application.reached.wait(PATIENCE)
        server.process.send_signal(signal.SIGQUIT)
        until(lambda: "draining" in server.printed())
        application.opened.set()
        asking.join()
        assert answered == [(200, b"slow")]
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.printed()


def test_a_signal_to_all_processes_of_a_service_is_one_signal(tmp_path: Path, application: Shop) -> None:
    """systemd sends SIGTERM to each process of the control group, and the supervisor hands it on as well."""
    with running(tmp_path, application.url, "--workers", "2") as server, Client(server.port) as client:
        until(lambda: server.printed().count(" serves") == 2)
        answered: list[object] = []
        asking = threading.Thread(target=lambda: answered.append(client.ask("/slow")))
        asking.start()
        assert application.reached.wait(PATIENCE)
        for pid in (*children(server.process.pid), server.process.pid):
            os.kill(pid, signal.SIGTERM)
        until(lambda: server.printed().count("draining") == 2)
        application.opened.set()
        asking.join()
        assert answered == [(200, b"slow")]
        assert server.process.wait(PATIENCE) == 0


class Echo:
    """An application that answers each request with 101, and says nothing more."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                self._open.append(peer)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += peer.recv(65_536)
                accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                peer.sendall(
                    b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._open:
            each.close()
        self._thread.join()


def test_an_idle_websocket_does_not_make_the_end_take_its_whole_time(tmp_path: Path) -> None:
    with (
        Echo() as echo,
        running(tmp_path, echo.url, "--drain-timeout", "60") as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 101")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        assert "cut" not in server.printed()


# --- reload -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_under_load_loses_no_request_and_takes_effect(tmp_path: Path, application: Shop, workers: int) -> None:
    failed: list[object] = []
    answered = [0] * 4
    over = threading.Event()
    with shop() as other, running(tmp_path, application.url, "--workers", str(workers)) as server:

        def keeps_asking(number: int) -> None:
            try:
                while not over.is_set():
                    with Client(server.port) as client:
                        for _ in range(50):
                            if client.ask("/") != (200, b"nobody"):
                                failed.append("another answer")
                            answered[number] += 1
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

        with Client(server.port) as slow:
            outcome: list[object] = []
            asking = threading.Thread(target=lambda: outcome.append(slow.ask("/slow")))  # it lives through all reloads
            asking.start()
            assert application.reached.wait(PATIENCE)
            busy = [threading.Thread(target=keeps_asking, args=(number,)) for number in range(4)]
            for thread in busy:
                thread.start()
            for number in range(1, 5):
                (tmp_path / "config.toml").write_text(configuration((other if number % 2 else application).url))
                server.process.send_signal(signal.SIGHUP)
                until(lambda number=number: server.printed().count("was read again") == number)  # type: ignore[misc]
                before = list(answered)
                until(lambda before=before: all(now > then + 20 for now, then in zip(answered, before, strict=True)))  # type: ignore[misc]
            over.set()
            for thread in busy:
                thread.join()
            assert failed == []
            application.opened.set()
            asking.join()
            assert outcome == [(200, b"slow")]
        (tmp_path / "config.toml").write_text(configuration(other.url))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.printed().count("was read again") == 5)
        other.opened.set()
        until(lambda: ask(server, "/slow") == (200, b"slow") and other.reached.is_set())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_reads_the_secrets_again(tmp_path: Path, application: Shop, workers: int) -> None:
    with running(tmp_path, application.url, "--workers", str(workers)) as server, Client(server.port) as client:
        assert client.ask("/in/ann") == (200, b"welcome")
        new = "another secret of the tests, long enough: 0123456789"
        for number, (secrets, user) in enumerate([((new, SECRET), b"ann"), ((new,), b"nobody")], 1):
            (tmp_path / "secret").write_text("\n".join(secrets))
            server.process.send_signal(signal.SIGHUP)
            until(lambda number=number: server.printed().count("was read again") == number)  # type: ignore[misc]
            kept = dict(client.cookies)
            until(lambda kept=kept, user=user: asked_with(server, kept) == (200, user))  # type: ignore[misc]


def asked_with(server: Server, cookies: dict[str, str]) -> tuple[int, bytes]:
    with Client(server.port) as client:
        client.cookies.update(cookies)
        return client.ask("/")


BROKEN = {
    "no TOML": ("upstream = ", "config.toml"),
    "an unknown option": (configuration("http://127.0.0.1:1", "no-such-option = 1"), "no-such-option"),
    "no certificate there": (configuration("https://127.0.0.1:1", 'upstream-ca-file = "nowhere"'), "upstream-ca-file"),
}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_of_a_broken_file_keeps_the_old_configuration_and_says_why(tmp_path: Path, application: Shop, workers: int) -> None:
    with running(tmp_path, application.url, "--workers", str(workers)) as server:
        for number, (text, said) in enumerate(BROKEN.values(), 1):
            (tmp_path / "config.toml").write_text(text)
            server.process.send_signal(signal.SIGHUP)
            until(lambda number=number: server.printed().count("the old one stays in effect") == number)  # type: ignore[misc]
            assert said in server.printed()
            for _ in range(4):
                assert ask(server) == (200, b"nobody")
        assert "Traceback" not in server.printed()


def test_what_only_a_restart_changes_is_named(tmp_path: Path, application: Shop) -> None:
    with running(tmp_path, application.url) as server:
        (tmp_path / "config.toml").write_text(configuration(application.url, "workers = 2", 'access-log = "log.json"'))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "was read again" in server.printed())
        for name in ("workers", "access-log"):
            assert f"{name}: it has changed, and only a restart changes it" in server.printed()
        assert ask(server) == (200, b"nobody")


# --- workers that die -------------------------------------------------------------------------------------------------


def test_workers_that_die_in_a_slow_start_are_not_replaced_for_ever(tmp_path: Path) -> None:
    port = free_port()
    begun = command(tmp_path, "http://127.0.0.1:9", "--workers", "2", "--listen", f"127.0.0.1:{port}")
    server = start(begun, port=port, log=tmp_path / "log", cwd=tmp_path, env=env_of({"SLOW": "a worker dies"}))
    try:
        assert server.process.wait(60) == 1
    finally:
        end(server.process)
    assert "5 workers in a row ended before they served: giving up" in server.printed()


def test_a_worker_that_dies_again_is_replaced_after_a_pause(tmp_path: Path, application: Shop) -> None:
    with running(tmp_path, application.url, "--workers", "2") as server:
        until(lambda: server.printed().count(" serves") == 2)
        stays, dies = children(server.process.pid)
        for number in range(1, 4):
            os.kill(dies, signal.SIGKILL)
            until(lambda number=number: server.printed().count(" serves") == 2 + number)  # type: ignore[misc]
            (dies,) = set(children(server.process.pid)) - {stays}
        assert [line.rpartition(" in ")[2] for line in server.printed().splitlines() if "is replaced in" in line] == ["0.4 s", "0.8 s"]
        assert ask(server) == (200, b"nobody")


# --- a pipe that nothing reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_that_nothing_reads_stops_no_request_and_no_end(tmp_path: Path, application: Shop, workers: int) -> None:
    """A worker stopped after 289 requests, when the pipe was full."""
    reading, writing = os.pipe()
    port = free_port()
    begun = command(tmp_path, application.url, "--access-log", "-", "--workers", str(workers), "--listen", f"127.0.0.1:{port}")
    with subprocess.Popen(
        begun, cwd=tmp_path, env={**os.environ, **env_of(None)}, stdout=writing, stderr=writing, start_new_session=True
    ) as process:
        server = Server(port, process, tmp_path / "log")
        (tmp_path / "log").touch()
        try:
            wait_until_listening(server)
            with Client(port) as client:
                for _ in range(1_500):
                    assert client.ask("/") == (200, b"nobody")
            process.send_signal(signal.SIGUSR1)
            process.send_signal(signal.SIGHUP)  # which logs to the full pipe
            for _ in range(10):
                assert ask(server) == (200, b"nobody")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            end(process)
            os.close(reading)
            os.close(writing)


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_too_many_open_files_are_one_line_a_minute_and_other_failures_keep_their_traceback(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    config = configure("serve", {"upstream": "http://127.0.0.1:9", "backend": "memory"}, {})
    worker = Worker(config, counts)
    worker._parts = build(config, counts)
    loop = asyncio.new_event_loop()
    try:
        for _ in range(3):
            worker._failed(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
        worker._failed(loop, {"message": "other", "exception": OSError(errno.EPIPE, "Broken pipe")})
    finally:
        loop.close()
    assert counts.sums()["bound:descriptors"] == 3
    first, second = [record.message for record in caplog.records]
    assert first.startswith("too many open files, so connections are refused")
    assert second.startswith("other")


def test_running_out_of_descriptors_is_logged_and_it_serves_again_afterwards(tmp_path: Path, application: Shop) -> None:
    with running(tmp_path, application.url, "--max-connections", "1000", before=("prlimit", "--nofile=64:64")) as server:
        with ExitStack() as stack:
            for _ in range(100):
                with suppress(OSError):
                    stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            until(lambda: "too many open files" in server.printed())
            assert "Traceback" not in server.printed()
        until(lambda: answers(server))
        assert server.printed().count("too many open files, so") == 1


def answers(server: Server) -> bool:
    try:
        return ask(server) == (200, b"nobody")
    except (OSError, http.client.HTTPException):
        return False
