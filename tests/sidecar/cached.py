"""nginx with a cache of checks, and clients that look whether a revoked session still passes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Self

from tests.sidecar.stage import read_answer
from tests.sidecar.town import Town

MARK: Final = (
    "auth_request_set  $sessionward_cached $upstream_cache_status;\n        add_header X-Checked $sessionward_cached always;\n        "
)
"""Makes nginx tell whether a check was a HIT."""
VICTIMS: Final = 4
PERIOD: Final = 0.1
"""Seconds between two requests of one client."""


def marked(text: str, change: Callable[[str], str] = str) -> str:
    """Returns a configuration whose answers say where the check came from."""
    before = "auth_request_set  $sessionward_user "
    assert before in text
    return change(text.replace(before, MARK + before, 1))


def checked(head: bytes) -> bytes:
    """Returns whether the check of an answer was a HIT, a MISS or something else."""
    return head.lower().partition(b"\r\nx-checked: ")[2].partition(b"\r\n")[0].upper()


@dataclass
class Seen:
    """What the clients of all trials have seen.

    ``late``: how long after a 200 a request with a session that it revoked began, and passed. ``hurt``: statuses other than 200 of
    sessions that nobody revoked. ``hits``: checks of the sessions to be revoked that came from the cache.
    """

    trials: int = 0
    late: list[float] = field(default_factory=list[float])
    hurt: list[int] = field(default_factory=list[int])
    hits: int = 0


class Client:
    """One connection that is kept, and the cookie of its session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cookie: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._cookie = cookie
        self._free = asyncio.Lock()

    @classmethod
    async def of(cls, port: int, cookie: bytes) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port), cookie)

    async def ask(self, line: bytes = b"GET / HTTP/1.1") -> tuple[float, int, bytes]:
        """Returns when the request began, the status, and where its check came from."""
        async with self._free:
            began = monotonic()
            self._writer.write(line + b"\r\nHost: app.example\r\nCookie: " + self._cookie + b"\r\n\r\n")
            answer = await read_answer(self._reader)
            return began, int(answer[9:12]), checked(answer)

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def _trial(town: Town, name: str, delay: float, seen: Seen) -> None:
    """One user revokes all sessions but one, while all of them ask for pages again and again."""
    mine, bystander, *others = [
        await Client.of(town.port, cookie)
        for cookie in await asyncio.to_thread(
            lambda: [town.login(name), town.login(f"{name}-2"), *(town.login(name) for _ in range(VICTIMS))]
        )
    ]
    answered: list[float] = []

    async def look(victim: Client) -> None:
        await asyncio.sleep(random.uniform(0, PERIOD))
        while not answered:
            note(await victim.ask())
            await asyncio.sleep(PERIOD)
        for _ in range(3):
            note(await victim.ask())
            await asyncio.sleep(PERIOD / 2)

    def note(told: tuple[float, int, bytes]) -> None:
        began, status, cached = told
        seen.hits += cached == b"HIT"
        if status == 200 and answered and began > answered[0]:
            seen.late.append(began - answered[0])

    async def unhurt(client: Client) -> None:
        while not answered:
            seen.hurt += [status for _, status, _ in [await client.ask()] if status != 200]
            await asyncio.sleep(PERIOD)

    async def revoke() -> None:
        await asyncio.sleep(delay)
        _, status, _ = await mine.ask(b"DELETE /auth/sessions HTTP/1.1")
        answered.append(monotonic())
        assert status == 200

    await asyncio.gather(revoke(), unhurt(bystander), *map(look, others))
    assert (await mine.ask())[1] == (await bystander.ask())[1] == 200
    seen.trials += len(others)
    for client in (mine, bystander, *others):
        await client.close()


def probed(town: Town, *, callers: int, rounds: int) -> Seen:
    """Returns what the clients of so many users see, all at once, in so many rounds.

    They revoke in every part of two seconds: for so long does nginx trust an answer that is to be trusted for one.
    """
    seen = Seen()

    async def caller(number: int) -> None:
        for turn in range(rounds):
            await _trial(town, f"probe-{number}-{turn}", 0.5 + (2 * number / callers + turn / 7) % 2, seen)

    async def story() -> None:
        await asyncio.gather(*map(caller, range(callers)))

    asyncio.run(story())
    return seen
