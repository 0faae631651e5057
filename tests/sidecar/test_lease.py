"""The sidecar with a lease: it asks once, and its revocations wait until nobody trusts an older answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential
from sessionward.session.session import Checked
from tests.sidecar.processes import Client, shop, sidecar
from tests.sidecar.stage import OK, answering, staged

LEASE: Final = 1.0


class Counting(SQLBackend):
    """Counts the questions about sessions."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[Credential] = []  # its views share it

    def check(self, credential: Credential, /) -> Checked:
        self.asked.append(credential)
        return super().check(credential)

    def check_now(self, credential: Credential, /) -> Checked | None:
        return None  # so that check is asked


def test_requests_within_a_lease_ask_once(tmp_path: Path) -> None:
    backend = Counting(f"sqlite:///{tmp_path}/sessions.db")
    backend.create_tables()
    backend.set_lease(5.0)

    async def story() -> None:
        async with staged(answering(OK), backend=backend, lease=5.0) as stage:
            token = await stage.login("ann")
            request = f"GET / HTTP/1.1\r\nHost: a\r\nX-Session-Token: {token}\r\n\r\n".encode()
            for _ in range(5):
                assert (await stage.say(request)).startswith(b"HTTP/1.1 200")
            assert len(stage.heard) == 5
            assert all(b"x-session-user: ann" in heard.lower() for heard in stage.heard)

    asyncio.run(story())
    backend.close()
    assert len(backend.asked) == 1


def test_a_revocation_waits_for_the_lease_of_all_workers(tmp_path: Path) -> None:
    with (
        shop() as application,
        sidecar(tmp_path, application.url, "--lease", str(LEASE), "--workers", "2") as server,
        Client(server.port) as mine,
        Client(server.port) as other,
    ):
        for client in (mine, other):
            assert client.ask("/in/ann")[0] == 200
            for _ in range(3):  # the first question raises the lease of the backend, and the next one trusts it
                assert client.ask("/") == (200, b"ann")
        began = time.monotonic()
        assert mine.ask("/auth/sessions", "DELETE") == (200, b'{"count": 1}')
        assert time.monotonic() - began > LEASE
        for _ in range(6):
            with Client(server.port) as again:  # by either worker
                again.cookies = dict(other.cookies)
                assert again.ask("/") == (200, b"nobody")
        assert mine.ask("/") == (200, b"ann")
