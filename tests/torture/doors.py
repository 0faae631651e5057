"""Both doors around a small application, called in this process."""

from __future__ import annotations

import asyncio
import json
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final, TypeAlias
from wsgiref.util import setup_testing_defaults

import sessionward
from sessionward.wsgi import StartResponse

SECRET: Final = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"
PATH: Final = "/auth/sessions"


@dataclass(frozen=True, slots=True)
class Call:
    """A request. ``cookie``, ``token`` and ``bearer``: what signs it in."""

    method: str = "GET"
    path: str = "/"
    cookie: str = ""
    token: str = ""
    bearer: str = ""
    origin: str = ""

    def fields(self) -> list[tuple[str, str]]:
        signing = [("cookie", self.cookie), ("x-session-token", self.token), ("authorization", self.bearer and f"Bearer {self.bearer}")]
        return [(name, value) for name, value in [("host", "app.example"), ("origin", self.origin), *signing] if value]


@dataclass(frozen=True, slots=True)
class Answer:
    """``seconds``: how long it took."""

    status: int
    fields: Sequence[tuple[str, str]]
    body: str
    seconds: float

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name), None)

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"]["id"])


Visit: TypeAlias = Generator[Call | float, Answer | None, None]
"""What one client does: yields a request and gets the answer, or yields seconds and gets None when they have passed."""


class Door(ABC):
    """``/login/<user>`` signs in and shows the token; all else shows who is signed in."""

    def __init__(self) -> None:
        self.reached = 0
        """How many requests have come to the application."""
        self.failures: list[str] = []
        """What the application was told when a verb failed, with all that led to it."""

    def __call__(self, call: Call) -> Answer:
        return self.at_once([call])[0]

    @abstractmethod
    def at_once(self, calls: Sequence[Call]) -> list[Answer]: ...

    @abstractmethod
    def visited(self, visits: Sequence[Visit]) -> None:
        """Serves all of them at once, under WSGI each in a thread, under ASGI each in a task."""

    @abstractmethod
    def close(self) -> None: ...

    def sign_in(self, user: str) -> str:
        """A browser that is signed in now: its cookie."""
        answer = self(Call(path=f"/login/{user}"))
        cookie = answer.field("set-cookie")
        assert cookie is not None, answer
        return cookie.partition(";")[0]


class WSGIDoor(Door):
    def __init__(self, backend: Any, *, timeout: float, **settings: Any) -> None:
        super().__init__()
        self._backend = backend
        self._app = sessionward.WSGIMiddleware(self._application, backend, secrets=[SECRET], backend_timeout=timeout, **settings)

    def at_once(self, calls: Sequence[Call]) -> list[Answer]:
        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(self._call, calls))

    def visited(self, visits: Sequence[Visit]) -> None:
        with ThreadPoolExecutor(len(visits)) as threads:
            list(threads.map(self._serve, visits))

    def _serve(self, visit: Visit) -> None:
        with suppress(StopIteration):
            wish = next(visit)
            while True:
                if isinstance(wish, float):
                    sleep(max(0.0, wish))
                    wish = next(visit)
                else:
                    wish = visit.send(self._call(wish))

    def close(self) -> None:
        if hasattr(self._backend, "close"):
            self._backend.close()

    def _application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self.reached += 1
        path: str = environ["PATH_INFO"]
        try:
            sessions = sessionward.of(environ)
            text = sessions.login(path.rpartition("/")[2]) if path.startswith("/login/") else _who(sessions.current)
        except Exception:
            self.failures.append(traceback.format_exc())
            start_response("503 Service Unavailable", [("content-type", "text/plain")])
            return [b"the application says so"]
        start_response("200 OK", [("content-type", "text/plain")])
        return [text.encode()]

    def _call(self, call: Call) -> Answer:
        environ: dict[str, Any] = {"REQUEST_METHOD": call.method, "PATH_INFO": call.path}
        setup_testing_defaults(environ)
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.fields()}
        head: list[Any] = []

        def start_response(status: str, fields: list[tuple[str, str]], exc_info: object = None, /) -> Callable[[bytes], object]:
            head[:] = [int(status[:3]), fields]
            return lambda _data: None

        started = monotonic()
        body = b"".join(self._app(environ, start_response))
        return Answer(head[0], head[1], body.decode(), monotonic() - started)


class ASGIDoor(Door):
    """``ending``: what else must be awaited at the end."""

    def __init__(
        self, make: Callable[[], Any], *, timeout: float, ending: Callable[[], Awaitable[object]] | None = None, **settings: Any
    ) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._backend = make()
        self._ending = ending
        self._app = sessionward.ASGIMiddleware(self._application, self._backend, secrets=[SECRET], backend_timeout=timeout, **settings)

    def at_once(self, calls: Sequence[Call]) -> list[Answer]:
        async def gathered() -> list[Answer]:
            return list(await asyncio.gather(*map(self._call, calls)))

        return self._runner.run(gathered())

    def visited(self, visits: Sequence[Visit]) -> None:
        async def gathered() -> None:
            await asyncio.gather(*map(self._serve, visits))

        self._runner.run(gathered())

    async def _serve(self, visit: Visit) -> None:
        with suppress(StopIteration):
            wish = next(visit)
            while True:
                if isinstance(wish, float):
                    await asyncio.sleep(max(0.0, wish))
                    wish = next(visit)
                else:
                    answer = await self._call(wish)
                    await asyncio.sleep(0)  # one whose answers need no question would keep the loop for itself
                    wish = visit.send(answer)

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        closed = self._backend.close() if hasattr(self._backend, "close") else None
        if closed is not None:
            await closed
        if self._ending is not None:
            await self._ending()

    async def _application(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.reached += 1
        path: str = scope["path"]
        status = 200
        try:
            sessions = sessionward.of(scope)
            text = await sessions.login(path.rpartition("/")[2]) if path.startswith("/login/") else _who(sessions.current)
        except Exception:
            self.failures.append(traceback.format_exc())
            status, text = 503, "the application says so"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": text.encode()})

    async def _call(self, call: Call) -> Answer:
        scope = {
            "type": "http",
            "method": call.method,
            "path": call.path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in call.fields()],
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        started = monotonic()
        await self._app(scope, receive, send)
        fields = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        body: bytes = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], fields, body.decode(), monotonic() - started)


def _who(session: sessionward.Session | None) -> str:
    return "anonymous" if session is None else f"signed in: {session.user_id}"
