"""One worker: it serves, reloads, and ends in steps."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from sessionward.errors import ConfigurationError
from sessionward.sidecar.build import Parts, build
from sessionward.sidecar.client.listener import Listener
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.observe.counts import Counts

DONE: Final = 0
FAILED: Final = 1
CLOSE: Final = 2.0
"""Seconds for the connections to the upstream and to the backend to close at the end."""
PROBE: Final = 5.0
"""Seconds between two checks whether a descriptor is left. uvloop does not report that it refuses connections for want of one."""
NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger("sessionward")


class Worker:
    """Serves on sockets that listen already, until :meth:`drain`."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self._config = config
        self._counts = counts
        self._signal = 0
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self._parts: Parts
        self._public: Listener
        self._admin: Listener | None = None

    def run(self, sockets: Sequence[socket.socket], begin: Callable[[asyncio.AbstractEventLoop], None]) -> int:
        """Serves until it is over. Returns the exit code.

        ``sockets``: the public one, and the one of the admin address if there is one. ``begin``: called in the event loop once
        the worker serves.
        """
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(self._serve(sockets, begin))

    async def _serve(self, sockets: Sequence[socket.socket], begin: Callable[[asyncio.AbstractEventLoop], None]) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._failed)
        try:
            parts = self._parts = build(self._config, self._counts)
        except ConfigurationError as error:
            _report(error)
            return FAILED
        self._public = Listener(parts.service, parts.limits, parts.observer, parts.trusted, parts.proxied)
        self._admin = None if parts.admin is None else Listener(parts.admin, parts.limits)
        gc.collect()
        gc.freeze()  # what exists now stays, and the collector need not read it again
        await self._public.start(sockets[:1])
        if self._admin is not None:
            await self._admin.start(sockets[1:])
        self._probe(loop)
        begin(loop)
        await self._stop.wait()
        code = await self._end()
        if self._admin is not None:
            self._admin.stop()
            self._admin.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE):
                await self._parts.close()
        return code

    def drain(self, number: int) -> None:
        """Ends the worker in steps. ``number``: the signal that asked for it; SIGINT asks for an end without the delay."""
        if not self._signal:
            self._signal = number
            self._stop.set()

    def cut(self) -> None:
        """Ends the worker at once."""
        self._cut.set()
        self._stop.set()

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun."""
        return self._stop.is_set()

    def adopt(self, config: Config) -> bool:
        """Replaces the parts by those of another configuration. Returns whether it did.

        Requests under way end with the parts that they began with.
        """
        if self.is_draining:
            log.warning("the configuration is not read again, since the process is ending")
            return False
        before = self._parts
        try:
            parts = build(config, self._counts, before)
        except ConfigurationError as error:
            _report(error)
            log.error("the old configuration stays in effect")
            return False
        self._config, self._parts = config, parts
        public = self._public
        public.service, public.limits, public.trusted, public.proxied = parts.service, parts.limits, parts.trusted, parts.proxied
        if self._admin is not None and parts.admin is not None:
            self._admin.service = parts.admin
        before.retire()
        return True

    def reopen(self) -> None:
        """Opens the access log again."""
        self._parts.observer.reopen()

    async def _end(self) -> int:
        """Reports that it drains, serves for the delay, accepts no more, waits for what is under way, and cuts the rest."""
        self._parts.readiness.draining = True
        delay = 0.0 if self._signal == signal.SIGINT else self._config.drain_delay
        log.info("draining: %g s of notice, then at most %g s for what is under way", delay, self._config.drain_timeout)
        public = self._public
        public.announce()
        await _either(self._cut.wait(), timeout=delay)
        public.stop()
        public.drain()
        await _either(self._cut.wait(), public.wait_closed(), timeout=self._config.drain_timeout)
        if not public.connections:
            return DONE
        cut = public.cut()
        await _either(public.wait_closed(), timeout=CLOSE)
        if not cut:  # connections that were between two requests
            return DONE
        log.warning("cut %d requests that were under way", cut)
        return 128 + (self._signal or signal.SIGTERM)

    def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            os.close(os.dup(2))
        except OSError:
            self._parts.observer.bound("descriptors")
        loop.call_later(PROBE, self._probe, loop)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in NO_DESCRIPTORS:
            self._parts.observer.bound("descriptors")  # one line a minute; a traceback a second helps less
        else:
            loop.default_exception_handler(context)


async def _either(*awaitables: Awaitable[object], timeout: float) -> None:
    """Waits until one of these is done, or the time is over."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _report(error: ConfigurationError) -> None:
    for mistake in error.mistakes:
        log.error("%s", mistake)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return factory
