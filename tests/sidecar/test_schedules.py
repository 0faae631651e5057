"""Answers in every cut of packets, with more bytes behind them: no client is given a byte that belongs to another.

With FULL_SIZE=1 in the environment: 10 000 random schedules, else 500. SCHEDULES_SEED repeats the ones of a failure.
"""

from __future__ import annotations

import asyncio
import enum
import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sessionward.sidecar.upstream.connection import UpstreamConnection
from tests.sidecar.stage import PATIENCE, Script, Stage, read_answer, staged

FULL = os.environ.get("FULL_SIZE") == "1"
COUNT = 10_000 if FULL else 500
SEED = int(os.environ.get("SCHEDULES_SEED") or random.SystemRandom().randrange(1 << 32))
EVIL = b"evil"


class When(enum.Enum):
    """When the upstream sends what nobody has asked for."""

    WITH = "with the last packet of the answer"
    BEFORE = "before the next request is written"
    TOGETHER = "when the next request is there to read, but not yet read"
    AFTER = "after the next request is written"


@dataclass(frozen=True, slots=True)
class Kind:
    """What an attacker asks for and is given. ``upload``: how many bytes it says that it sends, and how many it does send."""

    method: bytes
    answer: bytes
    times: Sequence[When]
    upload: tuple[int, int] | None = None


ANY_TIME, NOT_LATER = tuple(When), (When.WITH, When.BEFORE, When.TOGETHER)
LENGTH = b"Content-Length: 2\r\n\r\nok"
KINDS: dict[str, Kind] = {
    "HEAD with a length": Kind(b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", ANY_TIME),
    "HEAD in chunks": Kind(b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ANY_TIME),
    "HEAD with neither": Kind(b"HEAD", b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", ANY_TIME),
    "204": Kind(b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", ANY_TIME),
    "204 with a length": Kind(b"DELETE", b"HTTP/1.1 204 No Content\r\nContent-Length: 90\r\n\r\n", ANY_TIME),
    "304": Kind(b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", ANY_TIME),
    "304 with a length": Kind(b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 90\r\n\r\n", ANY_TIME),
    "304 in chunks": Kind(b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", ANY_TIME),
    "a length": Kind(b"GET", b"HTTP/1.1 200 OK\r\n" + LENGTH, NOT_LATER),
    "a length of zero": Kind(b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NOT_LATER),
    "chunks": Kind(b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", NOT_LATER),
    "chunks and a trailer": Kind(b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n", NOT_LATER),
    "a 103 before it": Kind(b"GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH, NOT_LATER),
    "an error": Kind(b"GET", b"HTTP/1.1 500 Internal Server Error\r\n" + LENGTH, NOT_LATER),
    "a whole upload": Kind(b"POST", b"HTTP/1.1 200 OK\r\n" + LENGTH, NOT_LATER, (10, 10)),
    "an early answer to an upload": Kind(b"POST", b"HTTP/1.1 413 Content Too Large\r\n" + LENGTH, ANY_TIME, (1_000, 10)),
    "an early answer to an upload of nothing yet": Kind(b"PUT", b"HTTP/1.1 200 OK\r\n" + LENGTH, ANY_TIME, (1_000, 0)),
}

TAILS: Sequence[bytes] = (
    b"HTTP/1.1 200 OK\r\nX-Evil: evil\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 200 OK\r\nSession-Login: evil\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nX-Evil: evil\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nevil",
    b"evil",
    b"\r\nHTTP/1.1 200 OK\r\nX-Evil: evil\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Evil: ev",
)


@dataclass(slots=True)
class Plan:
    """How the upstream answers one request of the attacker. ``tail`` goes out when ``now`` is set."""

    kind: Kind
    when: When
    cuts: Sequence[int]
    tail: bytes
    tail_cuts: Sequence[int]
    writer: asyncio.StreamWriter | None = None
    now: asyncio.Event = field(default_factory=asyncio.Event)
    said: asyncio.Event = field(default_factory=asyncio.Event)
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    def spill(self) -> None:
        """Sends what is behind the answer in this turn of the loop."""
        assert self.writer is not None
        if not self.writer.is_closing():
            self.writer.write(self.tail)
        self.tail = b""


def cuts(rng: random.Random, size: int) -> Sequence[int]:
    return sorted({rng.randrange(size + 1) for _ in range(rng.choice((0, 0, 1, 1, 2, 5)))})


async def write(writer: asyncio.StreamWriter, data: bytes, places: Sequence[int], rng: random.Random) -> None:
    """Writes data in the packets that these cuts make, some of them read before the next one comes."""
    for start, end in zip((0, *places), (*places, len(data)), strict=True):
        if data[start:end]:
            writer.write(data[start:end])
            await breath(rng)


async def breath(rng: random.Random) -> None:
    """Lets the others do a random part of what they can do."""
    for _ in range(rng.choice((0, 0, 1, 2, 3, 6))):
        await asyncio.sleep(0)


class Upstream:
    """Answers ``/honest/<number>`` with the number, and ``/plan/<number>`` as it is planned.

    ``gate``: an honest answer waits for it, so that what is planned can come before it.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.plans: dict[bytes, Plan] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.tails: set[asyncio.Task[None]] = set()

    def __call__(self, stage: Stage) -> Script:
        return self._serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            _, kind, number = head.split(b" ")[1].split(b"/")
            if kind == b"honest":
                await self.gate.wait()
                said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(number), number)
                await write(writer, said, cuts(self.rng, len(said)), self.rng)
                continue
            plan = self.plans[number]
            if plan.kind.upload:
                await reader.readexactly(plan.kind.upload[1])
            said = plan.kind.answer
            if plan.when is When.WITH:
                said, plan.tail = said + plan.tail, b""
            await write(writer, said, plan.cuts, self.rng)
            plan.writer = writer
            plan.said.set()
            task = asyncio.create_task(self._say_later(plan, writer))
            self.tails.add(task)
            task.add_done_callback(self.tails.discard)

    async def _say_later(self, plan: Plan, writer: asyncio.StreamWriter) -> None:
        await plan.now.wait()
        if plan.tail and not writer.is_closing():
            await write(writer, plan.tail, plan.tail_cuts, self.rng)
        plan.sent.set()


class Client:
    """One connection, opened again where it is closed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._method = b""

    async def send(self, request: bytes) -> None:
        self._method = request.partition(b" ")[0]
        if self._connection is None or self._connection[0].at_eof() or self._connection[1].is_closing():
            self.close()
            self._connection = await self._stage.open()
        self._connection[1].write(request)

    async def answer(self) -> bytes:
        assert self._connection is not None
        reader, _ = self._connection
        try:
            if self._method == b"HEAD":
                return await reader.readuntil(b"\r\n\r\n")
            while (said := await read_answer(reader)).startswith(b"HTTP/1.1 103 "):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            said = b""
        if not said or b"\r\nconnection: close\r\n" in said.lower():
            self.close()
        return said

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
        self._connection = None


@dataclass
class World:
    stage: Stage
    upstream: Upstream
    rng: random.Random
    numbers: int = 0

    def number(self) -> bytes:
        self.numbers += 1
        return b"%d" % self.numbers


async def schedule(world: World, attacker: Client, victim: Client) -> str:
    """Runs one: the attacker's request with bytes behind it, then requests of both; returns what was wrong."""
    rng, upstream = world.rng, world.upstream
    name = rng.choice(list(KINDS))
    kind = KINDS[name]
    tail = rng.choice(TAILS)
    when = rng.choice(kind.times)
    whole = len(kind.answer) + (len(tail) if when is When.WITH else 0)
    plan = Plan(kind, when, cuts(rng, whole), tail, cuts(rng, len(tail)))
    number = world.number()
    upstream.plans[number] = plan
    told = f"{name}, {when.value}, cut at {plan.cuts} and {plan.tail_cuts}, {tail!r}"

    announced, sent = kind.upload or (0, 0)
    fields = b"Content-Length: %d\r\n" % announced if kind.upload else b""
    await attacker.send(b"%b /plan/%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (kind.method, number, fields) + b"a" * sent)
    await plan.said.wait()
    said = await attacker.answer()
    if EVIL in said:
        return f"{told}: the attacker's answer is {said!r}"
    if when is When.BEFORE:
        plan.now.set()
        await plan.sent.wait()
    if rng.random() < 0.5:
        await breath(rng)
    if when is When.AFTER and rng.random() < 0.7:
        upstream.gate.clear()

    for place in range(rng.randrange(1, 4)):
        honest = world.number()
        client = victim if rng.random() < 0.7 or announced != sent else attacker
        await client.send(b"GET /honest/%b HTTP/1.1\r\nHost: a\r\n\r\n" % honest)
        if when is When.TOGETHER and place == 0:
            plan.spill()
        elif when is When.AFTER and place == 0:
            await breath(rng)
            plan.now.set()
            await plan.sent.wait()
            await breath(rng)
            upstream.gate.set()
        said = await client.answer()
        if said == b"" and client is attacker and place == 0:
            continue  # its connection was closed behind the answer
        if not said.startswith(b"HTTP/1.1 200 ") or not said.endswith(b"\r\n\r\n" + honest) or EVIL in said:
            return f"{told}: the next answer is {said!r}"
    plan.now.set()
    if announced != sent:
        attacker.close()
    return ""


async def run(count: int, seed: int, *, most: int = 5, seconds: float = PATIENCE) -> list[str]:
    """Runs so many schedules on kept connections; returns the first ones that were wrong, at most so many."""
    rng = random.Random(seed)
    upstream, wrong = Upstream(rng), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(f"seed {seed}: {context}"))
    async with staged(upstream) as stage:
        world = World(stage, upstream, rng)
        attacker, victim = Client(stage), Client(stage)
        for place in range(count):
            try:
                async with asyncio.timeout(seconds):
                    found = await schedule(world, attacker, victim)
            except TimeoutError:
                found = "no answer came"
            if found:
                wrong.append(f"schedule {place} of seed {seed}: {found}")
                upstream.gate.set()
                attacker.close()
                victim.close()
            if len(wrong) >= most:
                break
            upstream.plans.clear()
        attacker.close()
        victim.close()
        for _ in range(100):
            await asyncio.sleep(0.001 if stage.listener.connections else 0)
        if stage.listener.under_way or stage.listener.connections:
            wrong.append(f"seed {seed}: {stage.listener.under_way} requests are under way without a client")
        for task in upstream.tails:
            task.cancel()
    return wrong


def test_no_client_is_given_a_byte_that_belongs_to_another() -> None:
    print(f"SCHEDULES_SEED={SEED}")
    wrong = asyncio.run(run(COUNT, SEED))
    assert not wrong, "\n".join(wrong)


class FreeAtTheHead(UpstreamConnection):
    """What was there before: a connection that is free when nothing more of its answer should come."""

    @property
    def is_free(self) -> bool:
        return self._answer is not None and self._reader.is_whole and self._failure is None and not self._transport.is_closing()


class NeverQuiet(UpstreamConnection):
    """One that does not look at its socket before the next request."""

    @property
    def is_quiet(self) -> bool:
        return True


@pytest.mark.parametrize("canary", [FreeAtTheHead, NeverQuiet])
def test_a_connection_that_is_free_at_the_head_is_caught(canary: type[UpstreamConnection], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UpstreamConnection, "is_free", canary.is_free)
    monkeypatch.setattr(UpstreamConnection, "is_quiet", canary.is_quiet)
    assert asyncio.run(run(COUNT, SEED, most=1, seconds=1.0))


class Narrow(UpstreamConnection):
    """One whose system takes little ahead, so that what the upstream does not read waits with us."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        super().connection_made(transport)


def test_a_connection_with_bytes_that_the_upstream_has_not_taken_is_never_kept() -> None:
    """An early answer comes while the end of the upload waits in our own buffer: what is written next would wait behind it."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.05)  # as much of the upload is on its way as can be
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"HTTP/1.1 413 Content Too Large\r\n" + LENGTH)
            await asyncio.sleep(PATIENCE)

        return script

    async def upload(size: int) -> int:
        async with staged(of, factory=Narrow) as stage:
            reader, writer = await stage.open()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            async with asyncio.timeout(PATIENCE):
                assert (await read_answer(reader)).endswith(b"ok")
            await asyncio.sleep(0.02)
            kept = stage.pool.kept()
            unsent = 0 if kept is None else kept.unsent
            writer.transport.abort()
            if kept is not None:
                kept.abort()
            return unsent

    async def story() -> list[int]:
        return [await upload(size << 16) for size in range(1, 9)]

    found = asyncio.run(story())
    assert found == [0] * len(found)
