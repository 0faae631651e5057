"""Several workers on the same sockets: one that dies is replaced, and orders go to all."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from time import monotonic
from typing import Any, Final

from sessionward.sidecar import signals, systemd
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.log import log_to_standard_error
from sessionward.sidecar.reload import reread
from sessionward.sidecar.worker import DONE, FAILED, Worker

MAX_FAILED_STARTS: Final = 5
"""Workers in a row that end before they serve; after these we give up."""
MAX_PAUSE: Final = 30.0
"""Seconds before a worker that dies again and again is replaced."""
STEADY: Final = 60.0
"""Seconds after which a worker that serves counts as one that does not die."""
GRACE: Final = 10.0
"""Seconds after the last moment of a drain, after which a worker is killed."""

_TO_WORKERS: Final = (*signals.OTHERS, signal.SIGINT, signal.SIGQUIT)
"""Signals that a terminal or a tool may send to the whole group. A worker gets its orders from us, through a pipe."""

log = logging.getLogger("sessionward")


@dataclass(slots=True)
class _Place:
    """One worker and its successors. ``due``: when the next one starts, if there is none now."""

    number: int
    process: SpawnProcess | None = None
    orders: Connection[Any, Any] | None = None
    serves_since: float | None = None
    deaths: int = 0
    due: float = 0.0


class Supervisor:
    """Starts the workers, replaces those that die, hands orders on, and ends with the last of them."""

    def __init__(self, config: Config, sockets: Sequence[socket.socket], counts: Path) -> None:
        self._config = config
        self._counts = counts
        self._sockets = sockets
        self._context = multiprocessing.get_context("spawn")
        self._places = [_Place(number) for number in range(config.workers)]
        self._failed_starts = 0
        self._is_ready = False
        self._kill_at: float | None = None
        self._code = DONE

    def run(self) -> int:
        """Returns the exit code once all workers have ended."""
        woken, waking = socket.socketpair()
        with woken, waking:
            waking.setblocking(False)
            woken.setblocking(False)
            signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
            for each in (*signals.STOPS, *signals.OTHERS):
                signal.signal(each, lambda _number, _frame: None)  # its number arrives in `woken`
            for number in signals.later():
                os.kill(os.getpid(), number)
            try:
                while self._goes_on():
                    self._turn(woken)
            finally:
                signal.set_wakeup_fd(-1)
        return self._code

    @property
    def _is_ending(self) -> bool:
        return self._kill_at is not None

    def _goes_on(self) -> bool:
        return not self._is_ending or any(place.process for place in self._places)

    def _turn(self, woken: socket.socket) -> None:
        """Starts what is due, waits for the next event, and deals with it."""
        now = monotonic()
        if self._kill_at is None:
            for place in self._places:
                if place.process is None and place.due <= now:
                    self._start(place)
        elif self._kill_at <= now:
            self._kill()
        due = [place.due for place in self._places if place.process is None and not self._is_ending]
        if self._kill_at is not None:
            due.append(self._kill_at)
        running = [place for place in self._places if place.process is not None]
        watched: list[Any] = [woken]
        for place in running:
            assert place.process is not None
            watched.append(place.process.sentinel)
            if place.serves_since is None and place.orders is not None:
                watched.append(place.orders)
        found = wait(watched, max(0.0, min(due) - now) if due else None)
        for place in running:
            assert place.process is not None
            if place.orders in found:
                self._heard(place)
            if place.process.sentinel in found:
                self._ended(place)
        if woken in found:
            for number in woken.recv(4096):
                self._obey(number)

    def _start(self, place: _Place) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (self._config, list(self._sockets), self._counts, place.number, theirs)
        process = self._context.Process(target=_worker, args=arguments, name=f"sessionward-{place.number}")
        with signals.held(_TO_WORKERS):
            process.start()
        theirs.close()
        place.process, place.orders, place.serves_since = process, ours, None

    def _heard(self, place: _Place) -> None:
        """Notes that a worker serves."""
        assert place.orders is not None
        try:
            place.orders.recv()
        except (EOFError, OSError):
            return  # it has ended, as its sentinel says
        place.serves_since = monotonic()
        log.info("worker %d serves", place.number)
        self._failed_starts = 0
        if not self._is_ready and all(each.serves_since is not None for each in self._places):
            self._is_ready = True
            systemd.notify(systemd.READY, systemd.status(f"{len(self._places)} workers serve"))

    def _ended(self, place: _Place) -> None:
        process, since = place.process, place.serves_since
        assert process is not None
        assert place.orders is not None
        process.join()
        code = process.exitcode or DONE
        process.close()
        place.orders.close()
        place.process = place.orders = place.serves_since = None
        if self._is_ending:
            if since is not None or code != -signal.SIGTERM:  # which ends one that does not serve yet
                self._code = self._code or (code if code >= 0 else 128 - code)
            return
        log.error("worker %d ended with %s", place.number, code)
        now = monotonic()
        if since is None:
            self._failed_starts += 1
        place.deaths = 1 if since is not None and now - since > STEADY else place.deaths + 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            log.error("%d workers in a row ended before they served: giving up", self._failed_starts)
            self._code = FAILED
            self._stop(signal.SIGTERM)
            return
        pause = 0.0 if place.deaths == 1 else min(MAX_PAUSE, 0.1 * 2**place.deaths)
        place.due = now + pause
        if pause:
            log.warning("worker %d is replaced in %g s", place.number, pause)

    def _obey(self, number: int) -> None:
        if number in signals.STOPS:
            if self._is_ending:
                self._order("cut")
            else:
                self._stop(number)
        elif number == signal.SIGUSR1:
            self._order("reopen")
        elif number == signal.SIGUSR2:
            log.warning("SIGUSR2 is ignored: it has no meaning here")
        elif number == signal.SIGHUP and not self._is_ending:
            self._reload()

    def _reload(self) -> None:
        """Reads the configuration once for all workers. One that does not serve yet obeys when it does."""
        if self._is_ready:
            systemd.notify(systemd.reloading())
        config = reread(self._config)
        if config is not None:
            self._config = config
            self._order("reload", config)
        if self._is_ready:
            systemd.notify(systemd.READY)

    def _stop(self, number: int) -> None:
        """Lets all workers drain. One that does not serve yet ends at once."""
        systemd.notify(systemd.STOPPING)
        self._kill_at = monotonic() + self._config.drain_delay + self._config.drain_timeout + GRACE
        for each in self._sockets:
            each.close()  # so that the last worker that stops accepting is the last that listens
        for place in self._places:
            if place.process is not None and place.serves_since is None:
                place.process.terminate()
        self._order("drain", number)

    def _order(self, *order: object) -> None:
        for place in self._places:
            if place.orders is not None:
                with suppress(OSError):  # it has just ended
                    place.orders.send(order)

    def _kill(self) -> None:
        self._kill_at = monotonic() + GRACE
        for place in self._places:
            if place.process is not None:
                log.error("worker %d does not end: it is killed", place.number)
                place.process.kill()


# --- in the worker ----------------------------------------------------------------------------------------------------


def _worker(config: Config, sockets: list[socket.socket], counts: Path, number: int, orders: Connection[Any, Any]) -> None:
    """Runs one worker. Its orders come through a pipe; the pipe ends when the supervisor does."""
    os.setpgrp()  # Ctrl-C reaches the supervisor alone
    for each in _TO_WORKERS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_WORKERS)
    log_to_standard_error()
    worker = Worker(config, Counts(counts, rows=config.workers, row=number))

    def begin(loop: asyncio.AbstractEventLoop) -> None:
        # systemd sends SIGTERM to all processes of a service, and the supervisor sends its order too: the second of them is no
        # wish to cut.
        loop.add_signal_handler(signal.SIGTERM, worker.drain, signal.SIGTERM)
        loop.add_reader(orders.fileno(), _obey, loop, worker, orders)
        orders.send("serves")

    sys.exit(worker.run(sockets, begin))


def _obey(loop: asyncio.AbstractEventLoop, worker: Worker, orders: Connection[Any, Any]) -> None:
    try:
        order, *arguments = orders.recv()
    except (EOFError, OSError):  # the supervisor is gone
        loop.remove_reader(orders.fileno())
        worker.drain(signal.SIGTERM)
        return
    if order == "drain":
        worker.drain(*arguments)
    elif order == "cut":
        worker.cut()
    elif order == "reopen":
        worker.reopen()
    else:
        worker.adopt(*arguments)
