"""In the sidecar, streams and tunnels end with their session, each so that its client can tell, and no other does."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sessionward.sidecar.errors import UpstreamError
from sessionward.sidecar.exchange import Exchange
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.observer import Observer
from sessionward.sidecar.upstream.frames import Frames, close_frame
from sessionward.sidecar.upstream.pool import Place
from tests.doors.keepers import Foreign
from tests.sidecar.checks import cookie
from tests.sidecar.stage import Stage, read_answer, staged
from tests.sidecar.test_login import proof_of
from tests.sidecar.test_streaming import acting
from tests.streams.played import RECHECK, Many, periods, played, until

GET: Final = b"GET %b HTTP/1.%d\r\nHost: app.example\r\nX-Session-Token: %b\r\n\r\n"
HEADS: Final = {"chunked": b"Transfer-Encoding: chunked", "length": b"Content-Length: 100000", "close": b"Connection: close"}
BLOCK: Final = b"9\r\ndata: 1\n\n\r\n"
EVENT: Final = b"data: 1\n\n"


async def events(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends an event after the other, framed as the path says, until the sidecar closes."""
    framing = stage.heard[-1].split(b" ")[1].decode().strip("/")
    writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % HEADS[framing])
    try:
        while not writer.is_closing():
            writer.write(BLOCK if framing == "chunked" else EVENT)
            await writer.drain()
            await asyncio.sleep(0.01)
    finally:
        stage.heard.append(b"<gone>")


async def taken(reader: asyncio.StreamReader) -> str:
    """Reads an answer to its end. Returns how it ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
    except ConnectionError:
        return "reset"
    if b"chunked" in head.lower():
        return "clean" if rest.endswith(b"0\r\n\r\n") else "broken"
    return "broken" if b"content-length" in head.lower() else "clean"


async def revoke(stage: Stage, own: str) -> None:
    answer = await stage.say(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\nX-Session-Token: %b\r\n\r\n" % own.encode())
    assert b'"count": 1' in answer


@pytest.mark.parametrize("version", [1, 0], ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", HEADS)
@pytest.mark.parametrize("kind", [Many, Foreign], ids=["asks about many", "asks about each"])
def test_the_answers_of_the_other_session_are_cut_so_that_the_client_can_tell(framing: str, version: int, kind: Any) -> None:
    async def story() -> None:
        many = Many()
        async with staged(acting(events), backend=many if kind is Many else Foreign(many), recheck=RECHECK) as stage:
            stage.backend = many
            own, other, bob = [await stage.login(user) for user in ("ann", "ann", "bob")]
            readers = []
            for token in (own, other, bob):
                reader, writer = await stage.open()
                writer.write(GET % (b"/" + framing.encode(), version, token.encode()))
                readers.append((reader, writer))
            await until(lambda: len(stage.heard) == 3)
            await revoke(stage, own)
            expected = "broken" if framing == "length" or version == 1 else "reset"
            assert await taken(readers[1][0]) == expected
            await until(lambda: b"<gone>" in stage.heard)  # the application is told as well
            await asyncio.sleep(3 * RECHECK)
            assert stage.heard.count(b"<gone>") == 1
            for reader, _ in (readers[0], readers[2]):
                assert EVENT in await reader.read(10_000)
                await reader.readuntil(EVENT)
            for _, writer in readers:
                writer.close()

    played(story)


def test_an_answer_that_ends_in_time_is_whole_and_its_connections_are_used_again() -> None:
    async def story() -> None:
        many = Many()

        async def report(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            many.revoke_all("ann")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + BLOCK)
            await asyncio.sleep(RECHECK / 2)
            writer.write(b"0\r\n\r\n")

        async with staged(acting(report), backend=many, recheck=RECHECK) as stage:
            token = await stage.login("ann")
            reader, writer = await stage.open()
            writer.write(GET % (b"/", 1, token.encode()))
            assert (await read_answer(reader)).endswith(EVENT)
            writer.write(b"GET /warm HTTP/1.1\r\nHost: app.example\r\n\r\n")
            assert (await read_answer(reader)).endswith(b"ok")
            writer.close()
            assert stage.connections == 1

    played(story)


# --- tunnels ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tunnels(backend: Many, users: Sequence[str], handler: Any) -> AsyncIterator[tuple[Stage, list[str], list[ClientConnection]]]:
    """A WebSocket of each user through the sidecar, and their tokens."""
    async with serve(handler, "127.0.0.1", 0, close_timeout=1) as server, AsyncExitStack() as stack:
        port = server.sockets[0].getsockname()[1]
        stage = await stack.enter_async_context(staged(None, backend=backend, place=Place(host="127.0.0.1", port=port), recheck=RECHECK))
        tokens = [await stage.login(user) for user in users]
        sockets = [
            await stack.enter_async_context(
                connect(
                    f"ws://127.0.0.1:{stage.port}/",
                    additional_headers={"X-Session-Token": token},
                    proxy=None,
                    max_size=None,
                    close_timeout=1,
                )
            )
            for token in tokens
        ]
        yield stage, tokens, sockets


async def echo(socket: ServerConnection) -> None:
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass


def test_the_tunnel_of_the_other_session_is_closed_with_1008_and_the_upstream_is_told() -> None:
    async def story() -> None:
        left: list[ServerConnection] = []

        async def noting(socket: ServerConnection) -> None:
            await echo(socket)
            left.append(socket)

        backend = Many()
        async with tunnels(backend, ["ann", "ann", "bob"], noting) as (stage, tokens, sockets):
            for socket in sockets:
                await socket.send("hello" * 20_000)
                assert await socket.recv() == "hello" * 20_000
            await revoke(stage, tokens[0])
            with pytest.raises(ConnectionClosed) as closed:
                await sockets[1].recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            await until(lambda: left)
            await periods(backend, 3)
            assert len(left) == 1
            for stays in (sockets[0], sockets[2]):
                await stays.send("still here")
                assert await stays.recv() == "still here"

    played(story)


def test_a_tunnel_in_the_middle_of_a_frame_just_ends() -> None:
    """A close frame there would be taken for a part of the message."""

    async def story() -> None:
        backend = Many()

        async def half(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x82\x05hel")
            await reader.read()

        counts = Counts()
        async with staged(acting(half), backend=backend, recheck=RECHECK, observer=Observer(counts)) as stage:
            token = await stage.login("ann")
            reader, writer = await stage.open()
            writer.write(
                b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Session-Token: %b\r\n\r\n" % token.encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            backend.revoke_all("ann")
            assert await reader.read() == b"\x82\x05hel"
            writer.close()
            assert counts.sums()["requests:cut"] == 1

    played(story)


@pytest.mark.parametrize("is_known", [False, True], ids=["an anonymous client", "a client with a session"])
def test_a_tunnel_that_signs_in_at_its_handshake_ends_with_that_session(is_known: bool) -> None:
    async def story() -> None:
        many = Many()

        async def chat(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            login = b"Session-Login: ann; proof=%b" % proof_of(stage.heard[-1])
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b\r\n\r\n" % login)
            await reader.read()

        async with staged(acting(chat), backend=many, recheck=RECHECK) as stage:
            name, value = cookie(await stage.login("bob"))
            known = b"%b: %b\r\n" % (name.encode(), value.encode()) if is_known else b""
            reader, writer = await stage.open()
            writer.write(b"GET /in/chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n" % known)
            assert b"et-cookie: " in (await reader.readuntil(b"\r\n\r\n")).lower()
            assert many.revoke_all("ann") == 1
            assert await reader.read() == close_frame(1008)
            writer.close()

    played(story)


def test_a_tunnel_whose_upstream_was_lost_at_its_handshake_is_watched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = Exchange._decided

    def lost_meanwhile(self: Exchange, *arguments: Any) -> None:
        self._held_failure = UpstreamError("the connection ended")
        decided(self, *arguments)

    async def story() -> None:
        many = Many()

        async def chat(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            login = b"Session-Login: ann; proof=%b" % proof_of(stage.heard[-1])
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b\r\n\r\n" % login)
            await reader.read()

        async with staged(acting(chat), backend=many, recheck=RECHECK) as stage:
            reader, writer = await stage.open()
            writer.write(b"GET /in/chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            await reader.read()
            streams = stage.gate.streams
            assert streams is not None
            registry = streams.here()
            assert registry is not None
            assert not registry.streams
            writer.close()

    monkeypatch.setattr(Exchange, "_decided", lost_meanwhile)
    played(story)


def test_without_a_free_descriptor_every_stream_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response of HTTP/1.0 is reset, for which a descriptor is needed."""

    def refused(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    async def story() -> None:
        many = Many()
        async with staged(acting(events), backend=many, recheck=RECHECK) as stage:
            token = await stage.login("ann")
            opened = [await stage.open() for _ in range(4)]
            for number, (_, writer) in enumerate(opened):
                writer.write(GET % (b"/chunked", number % 2, token.encode()))
            await until(lambda: len(stage.heard) == 4)
            monkeypatch.setattr(os, "dup", refused)
            many.revoke_all("ann")
            await until(lambda: stage.heard.count(b"<gone>") == 4)
            for reader, writer in opened:
                await taken(reader)
                writer.close()

    played(story)


def frame(opcode: int, size: int) -> bytes:
    if size < 126:
        head = bytes((opcode, size))
    else:
        head = bytes((opcode, 126)) + size.to_bytes(2) if size < 65_536 else bytes((opcode, 127)) + size.to_bytes(8)
    return head + bytes(size)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 10**6])
def test_frames_are_followed_however_they_are_cut_into_reads(step: int) -> None:
    sizes = [0, 1, 125, 126, 65_535, 65_536, 5, 0]
    sent = b"".join(frame(0x82 if number % 2 else 0x02, size) for number, size in enumerate(sizes))
    ends, position = {0}, 0
    for number, size in enumerate(sizes):
        position += len(frame(0x82 if number % 2 else 0x02, size))
        ends.add(position)
    frames, position = Frames(), 0
    while position < len(sent):
        frames.follow(sent[position : position + step])
        position = min(position + step, len(sent))
        assert frames.may_close == (position in ends), position
    frames.follow(close_frame(1000))
    assert not frames.may_close


def test_a_masked_frame_is_followed_too() -> None:
    frames = Frames()
    frames.follow(bytes((0x82, 0x83)) + b"mask")
    assert not frames.may_close
    frames.follow(b"abc")
    assert frames.may_close
