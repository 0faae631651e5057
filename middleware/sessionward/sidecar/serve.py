"""Runs a sidecar: its sockets, its workers, and its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from sessionward.errors import SessionwardError
from sessionward.sidecar.build import Built, build, prepare
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.counts import Counts, shared
from sessionward.sidecar.listener import Listener

DONE: Final = 0
FAILED: Final = 1
CANNOT_BIND: Final = 3
BACKEND_REFUSED: Final = 4

KEEP_ALIVE: Final = 75
"""Seconds that an idle connection of a client is kept open."""
BACKLOG: Final = 2048
QUICK: Final = 1.0
"""Seconds; a worker that ends sooner will do so again."""
QUICK_DEATHS: Final = 5

log = logging.getLogger("sessionward")


def run(config: Config) -> int:
    """Serve until a signal ends it; answers the exit code."""
    _log()
    with _sockets(config) as sockets:
        if sockets is None:
            return CANNOT_BIND
        try:
            asyncio.run(prepare(config))
        except SessionwardError as error:
            log.error("the backend refuses: %s", error)
            return BACKEND_REFUSED
        except Exception as error:  # its text may hold what it likes
            log.error("the backend refuses: it failed with %s", type(error).__name__)
            return BACKEND_REFUSED
        _tell(config)
        if config.workers == 1:
            return work(config, sockets, Counts())
        with tempfile.TemporaryDirectory(prefix="sessionward-") as folder:
            counts = Path(folder) / "counts"
            shared(counts, config.workers)
            return _Crew(config, sockets, counts).run()


@contextmanager
def _sockets(config: Config) -> Generator[list[socket.socket] | None]:
    opened: list[socket.socket] = []
    try:
        for address in filter(None, (config.listen, config.admin)):
            try:
                opened.append(address.bind())
            except OSError as error:
                log.error("cannot listen on %s: %s", address, error.strerror or error)
                yield None
                return
        yield opened
    finally:
        for each in opened:
            each.close()
        for path in [each.path for each in (config.listen, config.admin) if each is not None][: len(opened)]:
            if path:
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _tell(config: Config) -> None:
    behind = f" in front of {config.upstream}" if config.upstream else ""
    log.info("%s on %s%s", config.command, config.listen, behind)


def work(config: Config, sockets: list[socket.socket], counts: Counts, in_a_hurry: Callable[[], bool] = bool) -> int:
    """One worker: serve until it is told to end. ``in_a_hurry``: whether SIGTERM means what SIGINT does."""
    built = build(config, counts)
    server = _Server(
        _uvicorn(built.app, config, built, http=_WithoutTunnels if config.upstream is None else Listener), built, config, in_a_hurry
    )
    beside = None if built.admin is None else uvicorn.Server(_uvicorn(built.admin, config, built, http="httptools"))
    gc.collect()
    gc.freeze()  # what is there now stays; looking through it again and again costs
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        return runner.run(_serve(server, beside, sockets))


class _WithoutTunnels(Listener):
    tunnels = False


async def _serve(server: _Server, beside: uvicorn.Server | None, sockets: list[socket.socket]) -> int:
    if beside is None:
        await server.serve(sockets=sockets)
        return server.exit_code
    beside.capture_signals = _no_signals  # type: ignore[method-assign]
    admin = asyncio.create_task(beside.serve(sockets=sockets[1:]))
    try:
        await server.serve(sockets=sockets[:1])
    finally:
        beside.should_exit = beside.force_exit = True  # nothing there is worth waiting for
        with suppress(asyncio.CancelledError):
            await admin
    return server.exit_code


@contextmanager
def _no_signals() -> Generator[None]:
    yield


def _uvicorn(app: ASGIApp, config: Config, built: Built, *, http: Any) -> uvicorn.Config:
    made = uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(config.drain_timeout)),
    )
    made.draining = lambda: built.readiness.draining  # type: ignore[attr-defined]
    made.straight = built.straight  # type: ignore[attr-defined]
    made.unreadable = built.unreadable  # type: ignore[attr-defined]
    return made


class _Server(uvicorn.Server):
    """Ends in steps: it says that it drains, goes on serving for the delay, takes no more, finishes, and cuts what does not end."""

    def __init__(self, config: uvicorn.Config, built: Built, settings: Config, in_a_hurry: Callable[[], bool]) -> None:
        super().__init__(config)
        self._in_a_hurry = in_a_hurry
        self._built = built
        self._settings = settings
        self._signal = 0
        self.exit_code = DONE

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self.end, signal.SIGINT)
        loop.add_signal_handler(signal.SIGUSR1, self._built.reopen)
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop.add_reader(parent.sentinel, self._orphaned, loop, parent.sentinel)
        yield

    def end(self, number: int) -> None:
        """The first time: drain (SIGINT: without the delay). The second time: cut."""
        if self._in_a_hurry():
            number = signal.SIGINT
        if self._signal:
            self._cut(number)
            return
        self._signal = number
        self._built.readiness.draining = True
        delay = self._settings.drain_delay if number == signal.SIGTERM else 0.0
        log.info("draining: %g s of notice, then at most %g s for what is under way", delay, self._settings.drain_timeout)
        loop = asyncio.get_running_loop()
        loop.call_later(delay, self._stop)
        loop.call_later(delay + self._settings.drain_timeout, self._cut, number)

    def _stop(self) -> None:
        self.should_exit = True

    def _cut(self, number: int) -> None:
        if not self.server_state.tasks and not self.server_state.connections:
            return
        log.warning("cutting %d requests that are under way", len(self.server_state.tasks))
        self.exit_code = 128 + number
        self.should_exit = self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()

    def _orphaned(self, loop: asyncio.AbstractEventLoop, sentinel: int) -> None:
        loop.remove_reader(sentinel)
        self.end(signal.SIGTERM)


class _Crew:
    """Several workers on the same sockets. One that dies is replaced; a signal goes to all."""

    def __init__(self, config: Config, sockets: list[socket.socket], counts: Path) -> None:
        self._config = config
        self._counts = counts
        self._sockets = sockets
        self._context = multiprocessing.get_context("spawn")
        self._hurry = self._context.Event()
        self._workers: dict[int, tuple[SpawnProcess, float]] = {}
        self._ending = False

    def run(self) -> int:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(each, self._hand_on)
        for number in range(self._config.workers):
            self._start(number)
        quick, code = 0, DONE
        while self._workers:
            ended = wait([process.sentinel for process, _ in self._workers.values()])
            for number, (process, since) in list(self._workers.items()):
                if process.sentinel not in ended:
                    continue
                process.join()
                del self._workers[number]
                if self._ending:
                    if process.exitcode != -signal.SIGTERM:  # which ends one that has not begun to serve
                        code = code or process.exitcode or DONE
                    continue
                log.error("worker %d ended with %s", number, process.exitcode)
                quick = quick + 1 if monotonic() - since < QUICK else 0
                if quick >= QUICK_DEATHS:
                    log.error("workers end as soon as they start: giving up")
                    code = FAILED
                    self._hand_on(signal.SIGTERM, None)
                else:
                    self._start(number)
        return code if code >= 0 else 128 - code

    def _start(self, number: int) -> None:
        process = self._context.Process(
            target=_worker, args=(self._config, self._sockets, self._counts, number, self._hurry), name=f"sessionward-{number}"
        )
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # which the new process keeps until it can open a log anew
        process.start()
        signal.signal(signal.SIGUSR1, self._hand_on)
        self._workers[number] = (process, monotonic())

    def _hand_on(self, number: int, _frame: object) -> None:
        """SIGINT as SIGTERM, in a hurry: a worker that is only starting would end in the middle of an import with a traceback."""
        if number != signal.SIGUSR1:
            self._ending = True
        if number == signal.SIGINT:
            self._hurry.set()
            number = signal.SIGTERM
        for process, _ in self._workers.values():
            with suppress(ProcessLookupError):
                if process.pid is not None:
                    os.kill(process.pid, number)


def _worker(config: Config, sockets: list[socket.socket], counts: Path, number: int, hurry: Event) -> None:
    os.setpgrp()  # Ctrl-C reaches the parent alone, which hands it on: a second signal would cut
    _log()
    sys.exit(work(config, sockets, Counts(counts, rows=config.workers, row=number), hurry.is_set))


def _log() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
