"""Clients and an upstream that do anything at any time: each answer is its own or visibly cut, and nothing is left behind.

With FULL_SIZE=1 in the environment: 2 000 random storms, else 100. STORMS_SEED repeats the ones of a failure.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from sessionward.backends.memory import MemoryBackend
from tests.sidecar.stage import PATIENCE, Script, Stage, staged

FULL = os.environ.get("FULL_SIZE") == "1"
COUNT = 2_000 if FULL else 100
SEED = int(os.environ.get("STORMS_SEED") or random.SystemRandom().randrange(1 << 32))
SIZES = (0, 1, 100, 5_000, 70_000, 300_000)
MARK = re.compile(rb"<(\d+)>")


def body_of(number: int, size: int) -> bytes:
    """A body of at least this size whose every part says whose it is."""
    return b"<%d>" % number * (size // 8 + 1) if size else b""


async def breath(rng: random.Random) -> None:
    """Lets the others do a random part of what they can do."""
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        await asyncio.sleep(0)


class SlowMemory:
    """Sessions in memory, behind a door that answers some turns of the loop later."""

    def __init__(self, rng: random.Random) -> None:
        memory = MemoryBackend()
        self.memory = memory

        def later(name: str) -> Callable[..., Awaitable[Any]]:
            async def method(*arguments: Any, **named: Any) -> Any:
                await breath(rng)
                return getattr(memory, name)(*arguments, **named)

            return method

        for name in ("find", "revoke_others", "login", "begin_login", "revoke", "revoke_all", "list"):
            setattr(self, name, later(name))


# --- the upstream -----------------------------------------------------------------------------------------------------


class Broken(Exception):
    """The upstream ends the connection here, not always in an orderly way."""


async def packets(writer: asyncio.StreamWriter, data: bytes, rng: random.Random) -> None:
    """Writes data in a few packets, or in two where it is large."""
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    for start, end in zip((0, *places), (*places, len(data)), strict=True):
        if data[start:end]:
            writer.write(data[start:end])
            await breath(rng)
            if rng.random() < 0.5:
                await writer.drain()


@dataclass
class Weather:
    """What an upstream does, drawn anew for each request."""

    rng: random.Random
    heard: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __call__(self, stage: Stage) -> Script:
        return self._serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(Broken):
            while True:
                await self._one(reader, writer)
        if self.rng.random() < 0.3:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rng = self.rng
        head = await reader.readuntil(b"\r\n\r\n")
        line = re.match(rb"(\w+) /(in/)?(\d+)\?(\d+) HTTP/1\.1\r\n", head)
        if line is None:
            self.wrong.append(f"the upstream was asked {head[:200]!r}")
            raise Broken
        method, number, size = line[1], int(line[3]), int(line[4])
        self.heard.append(number)
        way = rng.choice(("whole",) * 6 + ("early", "closes", "in the head", "in the body", "until the end", "informs", "logout"))
        if way == "closes":
            raise Broken
        if way != "early":
            await self._read(reader, head, number, writer)
        await breath(rng)
        fields = b""
        proof = re.search(rb"\r\nx-session-proof: (\S+)\r\n", head)
        if proof is not None:
            fields = b"Session-Login: ann; proof=%b\r\n" % proof[1]
        elif way == "logout":
            fields = b"Session-Logout: 1\r\n"
        if way == "informs":
            await packets(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * rng.randrange(1, 4), rng)
        await self._answer(writer, method, number, size, fields, way)
        if way == "early":
            await self._read(reader, head, number, writer)

    async def _read(self, reader: asyncio.StreamReader, head: bytes, number: int, writer: asyncio.StreamWriter) -> None:
        """Reads the body of a request, which must be its own."""
        if b"expect: 100-continue" in head and not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
        if {int(each) for each in MARK.findall(body)} - {number} or len(MARK.sub(b"", body)):
            self.wrong.append(f"request {number} has the body {body[:200]!r}")

    async def _answer(self, writer: asyncio.StreamWriter, method: bytes, number: int, size: int, fields: bytes, way: str) -> None:
        rng, body = self.rng, body_of(number, size)
        status = rng.choice((b"200 OK", b"200 OK", b"404 Not Found", b"204 No Content", b"304 Not Modified", b"500 Internal Server Error"))
        if status[:3] in (b"204", b"304"):
            await packets(writer, b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields), rng)
            return
        if way == "until the end":
            await packets(writer, b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields) + (b"" if method == b"HEAD" else body), rng)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            raise ConnectionError
        if rng.random() < 0.5:
            said = b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n" % (status, fields, len(body))
            whole = said + (b"" if method == b"HEAD" else body)
        else:
            step = rng.choice((7, 1_000, 80_000))
            chunks = [
                b"%x\r\n%b\r\n" % (len(body[at : at + step]), body[at : at + step]) for at in range(0, min(len(body), 40 * step), step)
            ]
            chunks += [b"%x\r\n%b\r\n" % (len(rest), rest)] if (rest := body[40 * step :]) else []
            said = b"HTTP/1.1 %b\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (status, fields)
            whole = said + (b"" if method == b"HEAD" else b"".join(chunks) + b"0\r\n\r\n")
        if way == "in the head":
            whole = whole[: rng.randrange(1, len(said))]
        elif way == "in the body" and len(whole) > len(said):
            whole = whole[: rng.randrange(len(said), len(whole))]
        await packets(writer, whole, rng)
        if way in ("in the head", "in the body"):
            raise Broken


# --- the clients ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a client, and what its answer has to be."""

    number: int
    method: bytes
    size: int
    data: bytes


class Visitor:
    """Sends requests one behind the other, sometimes some at once, and leaves at any time."""

    def __init__(self, stage: Stage, rng: random.Random, numbers: list[int]) -> None:
        self.stage, self.rng, self.numbers = stage, rng, numbers
        self.cookie = b""
        self.wrong: list[str] = []
        self.whole = 0

    def request(self) -> Asked:
        rng = self.rng
        self.numbers[0] += 1
        number, size = self.numbers[0], rng.choice(SIZES)
        method = rng.choice((b"GET", b"GET", b"HEAD", b"POST", b"POST", b"PUT", b"DELETE", b"PATCH"))
        fields, body = rng.choice((b"", b"", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"X-A: b\r\n", self.cookie)), b""
        if method in (b"POST", b"PUT", b"PATCH"):
            plain = body_of(number, rng.choice(SIZES))
            if rng.random() < 0.5:
                fields, body = fields + b"Content-Length: %d\r\n" % len(plain), plain
            else:
                step = rng.choice((11, 5_000, 400_000))
                step = max(step, len(plain) // 50)
                parts = [plain[at : at + step] for at in range(0, len(plain), step)]
                body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
                fields += b"Transfer-Encoding: chunked\r\n"
            if rng.random() < 0.2:
                fields += b"Expect: 100-continue\r\n"
        path = b"/in/%d" % number if rng.random() < 0.2 else b"/%d" % number
        return Asked(number, method, size, b"%b %b?%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, path, size, fields) + body)

    async def visit(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            reader, writer = await self.stage.open()
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._stay(reader, writer)
            writer.transport.abort()

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rng = self.rng
        for _ in range(rng.randrange(1, 4)):
            asked = [self.request() for _ in range(rng.choice((1, 1, 1, 2, 4)))]
            data = b"".join(each.data for each in asked)
            leaves = rng.random() < 0.15
            sending = asyncio.create_task(packets(writer, data[: rng.randrange(len(data))] if leaves else data, rng))
            if leaves:
                with suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(rng.choice((0.0, 0.001, 0.02))):
                        await sending
                        await reader.read(100)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                return
            try:
                for each in asked:
                    if not await self._answer(reader, each):
                        return
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, asked: Asked) -> bool:
        """Reads one answer; returns whether the connection goes on."""
        head = b"HTTP/1.1 1"
        while head.startswith(b"HTTP/1.1 1"):
            head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        goes_on = b"\r\nconnection: close\r\n" not in head.lower()
        cookie = re.search(rb"(?i)\r\nset-cookie: ([^;]*)", head)
        if cookie is not None:
            self.cookie = b"Cookie: %b\r\n" % cookie[1]
        if asked.method == b"HEAD" or status in (204, 304):
            return goes_on
        body = b""
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        try:
            if length is not None:
                body = await reader.readexactly(int(length[1]))
            else:
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += (await reader.readexactly(size + 2))[:-2]
                await reader.readexactly(2)
        except asyncio.IncompleteReadError as cut:
            if {int(each) for each in MARK.findall(body + cut.partial)} - {asked.number}:
                self.wrong.append(f"request {asked.number} got {(body + cut.partial)[:200]!r}")
            return False
        ours = status in (400, 408, 409, 502, 503, 504) and b'"error"' in body  # 409: two sign-ins replace one session
        if not ours and body != body_of(asked.number, asked.size):
            self.wrong.append(f"request {asked.number} got {status} and {body[:200]!r} of {len(body)} bytes")
        self.whole += not ours
        return goes_on


@asynccontextmanager
async def watched(wrong: list[str], seed: int) -> AsyncIterator[None]:
    """Notes what the event loop would only log."""
    loop = asyncio.get_running_loop()

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        wrong.append("".join(traceback.format_exception(error)) if error is not None else str(context))

    loop.set_exception_handler(note)
    yield
    loop.set_exception_handler(None)


async def storm(seed: int, backend: Callable[[random.Random], Any]) -> tuple[Sequence[str], int]:
    """Runs one; returns what was wrong, and how many answers were whole."""
    rng = random.Random(seed)
    weather, numbers, wrong = Weather(rng), [0], list[str]()
    async with watched(wrong, seed), staged(weather, backend=backend(rng), keeps=rng.random() < 0.9) as stage:
        visitors = [Visitor(stage, rng, numbers) for _ in range(rng.randrange(1, 5))]
        try:
            async with asyncio.timeout(PATIENCE * 3):
                await asyncio.gather(*(visitor.visit() for visitor in visitors))
        except TimeoutError:
            wrong.append("no answer came")
        wrong += [each for visitor in visitors for each in visitor.wrong]
        wrong += weather.wrong
        if len(set(weather.heard)) < len(weather.heard) - len(weather.heard) // 2:
            wrong.append("requests were repeated again and again")
        for _ in range(400):
            if not stage.listener.connections:
                break
            await asyncio.sleep(0.01)
        if stage.listener.connections or stage.listener.under_way:
            wrong.append(f"{stage.listener.connections} connections and {stage.listener.under_way} requests are left")
    return [f"storm {seed}: {each}" for each in wrong], sum(visitor.whole for visitor in visitors)


BACKENDS: dict[str, Callable[[random.Random], Any]] = {"answers at once": lambda _: MemoryBackend(), "answers later": SlowMemory}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_each_answer_is_its_own_and_nothing_is_left_behind(backend: Callable[[random.Random], Any]) -> None:
    print(f"STORMS_SEED={SEED}")
    whole = 0
    for seed in range(SEED, SEED + COUNT // 2):
        wrong, answers = asyncio.run(storm(seed, backend))
        whole += answers
        assert not wrong, "\n".join(wrong[:5])
    assert whole > COUNT, "most answers are whole"
