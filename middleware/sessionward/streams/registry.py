"""The open streams of each event loop, and the one question for all of them in each period.

A timer runs only while something is open. A request that is over before the timer comes has cost two operations on a set.
"""

# A handle is a stream, and an editor does not offer to its user what is private.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Semaphore, Task, gather
from collections.abc import Collection, Mapping
from contextvars import Context as ContextVariables
from time import monotonic
from typing import Final, Protocol

from sessionward.credential.token import Credential
from sessionward.door.parts import warn
from sessionward.drive import AsyncDriver
from sessionward.errors import SessionwardError
from sessionward.streams.watching import Watching, is_live, said_after, which_live

log = logging.getLogger("sessionward")

AT_ONCE: Final = 8
"""Questions under way at a time, to a backend that answers about one session only."""


class OpenStream(Protocol):
    """A response from its head to its last byte, or a WebSocket from its accept to its close."""

    @property
    def _due(self) -> float:
        """When it may be cut, by the monotonic clock: until then it may end as a response that is no stream."""
        ...

    @property
    def _proof(self) -> Credential | None:
        """What proves its session. It may change until the head is sent."""
        ...

    def _cut(self) -> None:
        """Ends it, since its session is not live any more."""
        ...


class Registry:
    """The open streams of the event loop that is running. See :meth:`Registries.here`."""

    def __init__(self, watching: Watching, driver: AsyncDriver, loop: AbstractEventLoop) -> None:
        self.watching = watching
        self.loop = loop
        self._driver = driver
        self.streams: set[OpenStream] = set()
        """Those that are open. Whatever adds one here, which spares a call, also calls :meth:`wait` unless ``is_waiting``."""
        self.is_waiting = False
        self._asking: Task[None] | None = None
        self._variables = ContextVariables()  # else the timer would keep those of the first request

    def add(self, stream: OpenStream) -> None:
        """Watches a stream until :meth:`discard`."""
        self.streams.add(stream)
        if not self.is_waiting:
            self.wait()

    def discard(self, stream: OpenStream) -> None:
        """Forgets a stream that is over."""
        self.streams.discard(stream)

    def wait(self) -> None:
        """Looks at what is open after one period."""
        self.is_waiting = True
        self.loop.call_later(self.watching.recheck, self._look, context=self._variables)

    def _look(self) -> None:
        """Asks about what is open. What opens later is asked about next time, before it is due."""
        self.is_waiting = False
        if not self.streams:
            return
        self.wait()
        if self._asking is not None and not self._asking.done():
            return
        asked = {stream: credential for stream in self.streams if (credential := stream._proof) is not None}
        if asked:
            self._asking = self.loop.create_task(self._ask(asked), context=self._variables)

    async def _ask(self, asked: Mapping[OpenStream, Credential]) -> None:
        try:
            live = frozenset(await self._which_live(frozenset(asked.values())))
            over = [pair for pair in asked.items() if pair[1] not in live]
            not_before = monotonic() + (await self._driver(said_after(self.watching)) if over else 0.0)
        except SessionwardError:  # P7: nothing is cut. The driver has logged it, and the next period asks again
            return
        for stream, credential in over:
            self._end(stream, credential, not_before)

    def _end(self, stream: OpenStream, credential: Credential, not_before: float) -> None:
        """Cuts a stream whose session is not live, once it is due. Until then it is a request in flight, which may finish (P9)."""
        if stream not in self.streams or stream._proof != credential:
            return
        left = max(stream._due, not_before) - monotonic()
        if left > 0:
            self.loop.call_later(left, self._end, stream, credential, not_before, context=self._variables)
            return
        try:
            stream._cut()
            self.streams.discard(stream)
        except Exception:  # the others must end all the same
            log.exception("a stream whose session is not live any more could not be cut")

    async def _which_live(self, credentials: Collection[Credential]) -> Collection[Credential]:
        if self.watching.asks_many:
            return await self._driver(which_live(credentials))
        limit = Semaphore(AT_ONCE)

        async def may_be_live(credential: Credential) -> bool:
            async with limit:
                try:
                    return await self._driver(is_live(credential))
                except SessionwardError:  # P7
                    return True

        answers = await gather(*map(may_be_live, credentials))
        return {credential for credential, answer in zip(credentials, answers, strict=True) if answer}


class Registries:
    """A registry for each event loop that runs our middleware. The test client of Starlette makes a loop for each request."""

    def __init__(self, watching: Watching, driver: AsyncDriver) -> None:
        self.watching = watching
        self._driver = driver
        self._by_loop: dict[AbstractEventLoop, Registry] = {}

    def here(self) -> Registry | None:
        """Returns the registry of the event loop that is running, None under trio."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            warn("streams are not watched under trio: a WebSocket or a stream of a revoked session stays open until it ends by itself")
            return None
        registry = self._by_loop.get(loop)
        if registry is None:
            for other in list(self._by_loop):
                if other.is_closed():
                    self._by_loop.pop(other, None)
            registry = self._by_loop[loop] = Registry(self.watching, self._driver, loop)
        return registry
