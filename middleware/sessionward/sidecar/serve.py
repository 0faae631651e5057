"""Runs a sidecar: its sockets, its workers, and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from sessionward.drive import kind_and_place
from sessionward.errors import SessionwardError
from sessionward.sidecar import signals, systemd, tables
from sessionward.sidecar.build import prepare
from sessionward.sidecar.config.addresses import Address
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.descriptors import raise_descriptor_limit
from sessionward.sidecar.observe.counts import Counts, shared
from sessionward.sidecar.observe.log import log_to_standard_error
from sessionward.sidecar.reload import reread
from sessionward.sidecar.supervisor import Supervisor
from sessionward.sidecar.worker import Worker

CANNOT_BIND: Final = 3
BACKEND_FAILED: Final = 4

log = logging.getLogger("sessionward")


def run(config: Config) -> int:
    """Serves until a signal ends it. Returns the exit code."""
    log_to_standard_error()
    raise_descriptor_limit()
    with _sockets(config) as sockets:
        if sockets is None:
            return CANNOT_BIND
        try:
            asyncio.run(prepare(config))
        except Exception as error:
            log.error("the backend cannot be used: %s", _why(error))
            return BACKEND_FAILED
        behind = f" in front of {config.upstream}" if config.upstream else ""
        log.info("%s on %s%s", config.command, config.listen, behind)
        if config.workers == 1:
            return _Alone(config).run(sockets)
        with tempfile.TemporaryDirectory(prefix="sessionward-") as folder:
            counts = Path(folder) / "counts"
            shared(counts, config.workers)
            return Supervisor(config, sockets, counts).run()


def _why(failure: Exception) -> str:
    """Returns why the backend cannot be used. The message of an exception that is not ours may hold a password."""
    if tables.are_missing(failure):
        return f"{tables.MISSING}; {tables.WAY_OUT}"
    return str(failure) if isinstance(failure, SessionwardError) else f"it failed with {kind_and_place(failure)}"


@contextmanager
def _sockets(config: Config) -> Generator[list[socket.socket] | None]:
    opened: list[socket.socket] = []
    bound: list[Address] = []
    try:
        for address in filter(None, (config.listen, config.admin)):
            try:
                opened.append(address.bind())
            except OSError as error:
                log.error("cannot listen on %s: %s", address, error.strerror or error)
                yield None
                return
            bound.append(address)
            signals.at_end(partial(_remove, address))
        yield opened
    finally:
        for each in opened:
            each.close()
        for address in bound:
            _remove(address)


def _remove(address: Address) -> None:
    """Removes the file of a socket that we have made."""
    if address.path:
        with suppress(FileNotFoundError):
            os.unlink(address.path)


class _Alone:
    """One worker in this process, which obeys the signals itself."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._worker = Worker(config, Counts())
        self._reloading: asyncio.Task[None] | None = None
        self._asked_again = False

    def run(self, sockets: list[socket.socket]) -> int:
        """Serves until a signal ends it. Returns the exit code."""
        return self._worker.run(sockets, self._begin)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        for each in signals.STOPS:
            loop.add_signal_handler(each, self._stop, each)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR1, self._worker.reopen)
        loop.add_signal_handler(signal.SIGUSR2, log.warning, "SIGUSR2 is ignored: it has no meaning here")
        for number in signals.later():
            os.kill(os.getpid(), number)
        systemd.notify(systemd.READY, systemd.status("serving"))

    def _stop(self, number: int) -> None:
        if self._worker.is_draining:
            self._worker.cut()
            return
        systemd.notify(systemd.STOPPING)
        self._worker.drain(number)

    def _reload(self) -> None:
        if self._reloading is not None and not self._reloading.done():
            self._asked_again = True  # a file may have changed after it was read
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reread())

    async def _reread(self) -> None:
        """Reads in a thread, so that requests go on meanwhile."""
        self._asked_again = True
        while self._asked_again:
            self._asked_again = False
            systemd.notify(systemd.reloading())
            found = await asyncio.to_thread(reread, self._config)
            if found is not None and self._worker.adopt(found):
                self._config = found
            systemd.notify(systemd.READY)
