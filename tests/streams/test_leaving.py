"""A request that is over leaves no reference cycle: servers hold the scope, the scope holds the handle, and the handle must let go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import sessionward
from sessionward import ASGIMiddleware
from tests.doors.sides import SECRET
from tests.streams.played import Many, scope_of, token_of

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
PART = {"type": "http.response.body", "body": b"1", "more_body": True}
LAST = {"type": "http.response.body", "body": b"2"}


class Served:
    """What a server keeps of one request, as uvicorn does: the scope, and with it whatever the application is given."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def responds(scope: Any, receive: Any, send: Any) -> None:
    _ = sessionward.of(scope).current
    await send(HEAD)
    await send(LAST)


async def reads_and_streams(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(HEAD)
    await send(PART)
    await send(LAST)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What is left must go by itself."""
    gc.disable()
    yield
    gc.enable()


def ended(app: Any, *, anonymous: bool, **settings: Any) -> bool:
    """Whether nothing of a request is left when it is over."""
    backend = Many()

    async def served() -> Any:
        token = token_of(backend, "ann")
        request = Served(scope_of(None if anonymous else token))
        await ASGIMiddleware(app, backend, secrets=[SECRET], **settings)(request.scope, request.receive, request.send)
        assert request.sent[-1] == LAST
        return weakref.ref(request)

    return asyncio.run(served())() is None


@pytest.mark.parametrize("app", [responds, reads_and_streams])
@pytest.mark.parametrize("anonymous", [True, False], ids=["no credential", "a live session"])
@pytest.mark.parametrize("settings", [{}, {"recheck": None}, {"recheck_paths": ["/other/"]}], ids=["watched", "never", "elsewhere"])
def test_nothing_of_a_request_is_left_when_it_is_over(app: Any, anonymous: bool, settings: Any) -> None:
    assert ended(app, anonymous=anonymous, **settings)


def test_a_handle_that_keeps_the_server_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary."""
    monkeypatch.setattr("sessionward.streams.answering.Answering._leave", lambda self: None)
    assert not ended(responds, anonymous=False)


@pytest.mark.parametrize("anonymous", [True, False], ids=["no credential", "a live session"])
def test_a_task_of_the_application_may_finish_the_response_after_it_has_returned(anonymous: bool) -> None:
    backend = Many()

    async def story() -> None:
        tasks: list[asyncio.Task[None]] = []
        released = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            async def finish() -> None:
                await released.wait()
                await send(LAST)

            await send(HEAD)
            await send(PART)
            tasks.append(asyncio.ensure_future(finish()))

        request = Served(scope_of(None if anonymous else token_of(backend, "ann")))
        await ASGIMiddleware(application, backend, secrets=[SECRET])(request.scope, request.receive, request.send)
        released.set()
        await tasks[0]
        assert [message["type"] for message in request.sent] == ["http.response.start", *["http.response.body"] * 2]

    asyncio.run(story())


def test_trailers_follow_the_last_part_of_a_body() -> None:
    backend = Many()
    trailers = {"type": "http.response.trailers", "headers": [], "more_trailers": False}

    async def story() -> None:
        kept: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            kept.append(send)
            await send({**HEAD, "trailers": True})
            await send(LAST)

        request = Served(scope_of(token_of(backend, "ann")))
        await ASGIMiddleware(application, backend, secrets=[SECRET])(request.scope, request.receive, request.send)
        await kept[0](trailers)
        assert request.sent[-1] == trailers

    asyncio.run(story())


def test_after_the_end_sends_are_ignored_and_the_client_is_gone() -> None:
    """As ASGI says of what follows a complete response. Who is signed in can be read for ever."""
    backend = Many()

    async def story() -> None:
        kept: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            kept.extend((receive, send))
            await responds(scope, receive, send)

        request = Served(scope_of(token_of(backend, "ann")))
        await ASGIMiddleware(application, backend, secrets=[SECRET])(request.scope, request.receive, request.send)
        receive, send = kept
        await send(LAST)
        assert request.sent == [HEAD, LAST]
        assert await receive() == {"type": "http.disconnect"}
        current = sessionward.of(request.scope).current
        assert current is not None
        assert current.user_id == "ann"

    asyncio.run(story())
