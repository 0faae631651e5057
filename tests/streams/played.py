"""A stage in one process: the middleware, a backend that counts its questions, and clients that are ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import sessionward
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from tests.doors.keepers import Memory
from tests.doors.sides import COOKIE, SECRET
from tests.doors.test_scenarios import signed
from tests.support.sessions import started

RECHECK: Final = 0.1
"""Seconds."""
PATIENCE: Final = 10.0
"""Seconds after which a story that hangs has failed."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Many(Memory):
    """``questions``: the credentials of each question about many. ``on_many``: called first, and may raise."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Collection[Credential]] = []
        self.on_many: Callable[[], object] = lambda: None

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        self.questions.append(credentials)
        self.on_many()
        return [credential for credential in credentials if MemoryBackend.find(self, credential) is not None]


def scope_of(token: str | None, *, path: str = "/events", kind: str = "http", method: str = "GET") -> dict[str, Any]:
    fields = [] if token is None else [(b"cookie", f"{COOKIE}={signed(token)}".encode())]
    scope = {"type": kind, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": fields}
    return scope if kind == "websocket" else {**scope, "method": method}


class Client:
    """One request. ``sent``: what the server got. ``over``: the task that serves it."""

    def __init__(self, door: Any, token: str | None, *, path: str = "/events", kind: str = "http", method: str = "GET") -> None:
        self.scope = scope_of(token, path=path, kind=kind, method=method)
        self.sent: list[Any] = []
        self.given: asyncio.Queue[Any] = asyncio.Queue()
        self.waiting = 0
        self.blocked: asyncio.Event | None = None
        self._begun = asyncio.Event()
        self.given.put_nowait({"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""})
        self.over = asyncio.create_task(door(self.scope, self._receive, self._send))

    async def _receive(self) -> Any:
        self.waiting += 1
        assert self.waiting == 1, "a second receive() while one waits"
        try:
            return await self.given.get()
        finally:
            self.waiting -= 1

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self._begun.set()
        if self.blocked is not None:
            await self.blocked.wait()

    async def begun(self) -> Client:
        """Returns when the head has been sent."""
        await self._begun.wait()
        return self

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]


def token_of(backend: Any, user: str) -> str:
    return started(backend, user)[1]


def door_of(app: Any, backend: Any, **settings: Any) -> Any:
    return sessionward.ASGIMiddleware(app, backend, **{"secrets": [SECRET], "recheck": RECHECK, **settings})


def played(story: Callable[[], Awaitable[None]]) -> None:
    """Plays a story to its end; one that hangs has failed."""

    async def whole() -> None:
        async with asyncio.timeout(PATIENCE):
            await story()

    asyncio.run(whole())


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds."""
    while not condition():
        await asyncio.sleep(0.005)


async def periods(backend: Many, count: int) -> None:
    """Returns after so many more questions."""
    asked = len(backend.questions) + count
    await until(lambda: len(backend.questions) >= asked)
