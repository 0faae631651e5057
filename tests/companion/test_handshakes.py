"""WebSocket handshakes are guarded like any request, and may sign in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sessionward.backends.memory import MemoryBackend
from tests.companion.identifiers import Awaited, Signed, sealed
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import COOKIE, ASGIHouse
from tests.doors.test_websocket import Messages, Scope, handshake

COPY = f"session={sealed('ann.1')}"


class Socket:
    """Accepts with these fields; ``scope`` is what it saw."""

    def __init__(self, *fields: tuple[bytes, bytes]) -> None:
        self.fields = [*fields]
        self.scope: Scope = {}
        self.meanwhile: Callable[[], object] = int

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        self.scope = scope
        await receive()
        self.meanwhile()
        await send({"type": "websocket.accept", "headers": self.fields})

    def cookies(self) -> list[bytes]:
        return [value for name, value in self.scope["headers"] if name == b"cookie"]


def signed_in(backend: MemoryBackend) -> Browser:
    """A browser with a companion."""
    house = ASGIHouse(SigningShop(), backend, identify=Signed())
    browser = Browser(house)
    browser.get("/login/ann.1")
    house.close()
    return browser


def set_cookies(sent: Messages) -> list[bytes]:
    return [value for name, value in sent[0]["headers"] if name == b"set-cookie"]


@pytest.mark.parametrize("identifier", [Signed(), Awaited(Signed())], ids=["sync", "async"])
def test_a_copy_does_not_reach_the_socket_once_companions_are_compulsory(identifier: Any) -> None:
    backend, socket = MemoryBackend(), Socket()
    browser = signed_in(backend)
    backend.revoke_others(backend.list("ann")[0])
    handshake(socket, backend, ("Cookie", f"theme=dark; {COPY}"), identify=identifier)
    assert socket.cookies() == [b"theme=dark"]
    handshake(socket, backend, ("Cookie", f"{COPY}; {COOKIE}={browser.companion}"), identify=identifier)
    assert socket.cookies()[0].startswith(COPY.encode())


def test_an_accept_adopts_and_signs_in() -> None:
    backend = MemoryBackend()
    sent, _ = handshake(Socket(), backend, ("Cookie", COPY), identify=Signed())
    assert [value.startswith(f"{COOKIE}=".encode()) for value in set_cookies(sent)] == [True]
    login = f"session={sealed('bob.1')}".encode()
    sent, _ = handshake(Socket((b"set-cookie", login)), backend, identify=Signed())
    assert [value.partition(b"=")[0] for value in set_cookies(sent)] == [b"session", COOKIE.encode()]
    assert [len(backend.list(user)) for user in ("ann", "bob")] == [1, 1]


def test_p9_an_accept_on_its_way_while_the_session_was_revoked_sets_no_login() -> None:
    backend, socket = MemoryBackend(), Socket((b"set-cookie", COPY.encode()), (b"set-cookie", b"theme=dark"))
    browser = signed_in(backend)
    socket.meanwhile = lambda: backend.revoke_all("ann")
    sent, _ = handshake(socket, backend, ("Cookie", f"{COPY}; {COOKIE}={browser.companion}"), identify=Signed())
    assert set_cookies(sent) == [b"theme=dark"]


def test_p7_an_identifier_that_raises_refuses_the_handshake() -> None:
    identifier, socket = Signed(), Socket()

    def fail() -> None:
        raise RuntimeError

    identifier.before = fail
    sent, _ = handshake(socket, MemoryBackend(), ("Cookie", COPY), identify=identifier)
    assert (sent, socket.scope) == ([{"type": "websocket.close", "code": 1008, "reason": ""}], {})
