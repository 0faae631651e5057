"""A WebSocket through the sidecar is the WebSocket of the two ends: nobody in between reads a frame, or makes one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from sessionward.sidecar.upstream.pool import Place
from tests.sidecar.stage import OK, PATIENCE, Script, Stage, read_answer, staged
from tests.sidecar.test_login import proof_of

HANDSHAKE = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b\r\n"


def told(story: Callable[[], Awaitable[None]], seconds: float = PATIENCE) -> None:
    """Run a story to its end; one that hangs has failed."""

    async def whole() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(whole())


async def echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]] = echo, **options: Any) -> AsyncIterator[Stage]:
    """The sidecar before a WebSocket server of the websockets library."""
    async with serve(handler, "127.0.0.1", 0, **{"close_timeout": 2, **options}) as server:
        port = server.sockets[0].getsockname()[1]
        async with staged(None, place=Place(host="127.0.0.1", port=port)) as stage:
            yield stage


@asynccontextmanager
async def connected(stage: Stage, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{stage.port}/chat?x=1", **{"close_timeout": 2, "proxy": None, **options}) as client:
        yield client


def raw(act: Callable[[Stage, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Callable[[Stage], Script]:
    """An upstream that reads a handshake, and then does as it likes with the bytes."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stage.heard.append(await reader.readuntil(b"\r\n\r\n"))
            await act(stage, reader, writer)

        return script

    return of


async def ends(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            heard += data
    return heard


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_arrive_as_they_were_sent(compression: Any) -> None:
    async def story() -> None:
        async with (
            serving(compression=compression, max_size=None) as stage,
            connected(stage, compression=compression, max_size=None) as client,
        ):
            assert bool(client.protocol.extensions) == (compression is not None)
            for message in ("", b"", "Zoë", b"\x00\xff" * 10, "x" * 125, "y" * 126, "z" * 65_535, b"a" * 65_536, os.urandom(1 << 20)):
                await client.send(message)
                assert await client.recv() == message
            fragments = ["one ", "two ", "", "three"]
            await client.send(fragments)
            assert await client.recv() == "one two three"

    told(story)


def test_fragments_stay_fragments() -> None:
    """Each is answered before the next is sent, so nobody has put them together."""

    async def story() -> None:
        async def by_fragment(socket: ServerConnection) -> None:
            async for fragment in socket.recv_streaming():
                await socket.send(fragment)

        async with serving(by_fragment) as stage, connected(stage) as client:

            async def parts() -> AsyncIterator[str]:
                for number in range(5):
                    yield f"part {number}"
                    assert await client.recv() == f"part {number}"

            await client.send(parts())

    told(story)


def test_the_subprotocol_is_agreed_between_the_ends() -> None:
    async def story() -> None:
        ours = [Subprotocol(name) for name in ("chat.v2", "chat.v1")]
        async with serving(subprotocols=ours[1:]) as stage, connected(stage, subprotocols=ours) as client:
            assert client.subprotocol == "chat.v1"

    told(story)


def test_each_end_can_ping_the_other() -> None:
    async def story() -> None:
        pinged = asyncio.Event()

        async def pinging(socket: ServerConnection) -> None:
            await (await socket.ping(b"from the server"))
            pinged.set()
            await echo(socket)

        async with serving(pinging, ping_interval=None) as stage, connected(stage, ping_interval=None) as client:
            await (await client.ping(b"from the client"))
            await pinged.wait()

    told(story)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
@pytest.mark.parametrize("first", ["client", "server"])
def test_the_close_code_and_its_reason_reach_the_other_end(code: int, first: str) -> None:
    async def story() -> None:
        seen = asyncio.get_running_loop().create_future()

        async def closing(socket: ServerConnection) -> None:
            if first == "server":
                await socket.close(CloseCode(code) if code < 4000 else code, "that is it; bye")
                return
            await socket.wait_closed()
            seen.set_result((socket.close_code, socket.close_reason))

        async with serving(closing) as stage, connected(stage) as client:
            if first == "client":
                await client.close(code, "that is it; bye")
                assert await seen == (code, "that is it; bye")
            else:
                await client.wait_closed()
                assert (client.close_code, client.close_reason) == (code, "that is it; bye")

    told(story)


# --- handshakes -------------------------------------------------------------------------------------------------------


def test_bytes_that_come_with_the_handshake_are_not_lost() -> None:
    """In both directions, and however large."""

    async def story() -> None:
        async def greeting(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"Set-Cookie: theme=dark\r\nset-cookie: b=2\r\nX-Case: Kept\r\n" + b"welcome")
            stage.heard.append(await reader.readexactly(300_000))
            writer.write(b"thanks")

        async with staged(raw(greeting)) as stage:
            reader, writer = await stage.open()
            early = os.urandom(300_000)
            writer.write(HANDSHAKE % b"" + early)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert b"\r\nSet-Cookie: theme=dark\r\nset-cookie: b=2\r\nX-Case: Kept\r\n" in head
            assert b"\r\nupgrade: websocket\r\n" in head.lower()
            assert b"\r\nconnection: upgrade\r\n" in head.lower()
            assert await reader.read() == b"welcomethanks"
            assert stage.heard[1] == early
            writer.close()

    told(story)


@pytest.mark.parametrize("split", [1, 20, 100, 1_000])
def test_a_handshake_in_pieces_is_one_all_the_same(split: int) -> None:
    async def story() -> None:
        async def back(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for byte in SWITCHED % b"":
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            writer.write(await reader.readexactly(5))

        async with staged(raw(back)) as stage:
            reader, writer = await stage.open()
            whole = HANDSHAKE % b"" + b"hello"
            for place in range(0, len(whole), split):
                writer.write(whole[place : place + split])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await reader.read()).endswith(b"\r\n\r\nhello")
            writer.close()

    told(story)


DENIALS = {
    "401 with JSON": b'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"error": "no"}',
    "403 with HTML in chunks": b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\n<p>no\n\r\n4\r\n</p>\r\n0\r\n\r\n",
    "200 that ends with the connection": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nthis is no socket",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /sign-in\r\nContent-Length: 0\r\n\r\n",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("denial", DENIALS.values(), ids=DENIALS.keys())
@pytest.mark.parametrize("early", [b"", bytes(200_000)], ids=["", "with early frames"])
def test_a_handshake_that_the_upstream_denies_is_a_plain_answer(denial: bytes, early: bytes) -> None:
    async def story() -> None:
        async def deny(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(denial)

        async with staged(raw(deny)) as stage:
            head, _, body = (await stage.say(HANDSHAKE % b"" + early)).partition(b"\r\n\r\n")
            their_head, _, their_body = denial.partition(b"\r\n\r\n")
            assert head.split(b"\r\n")[0] == their_head.split(b"\r\n")[0]
            assert head.split(b"\r\n")[1] == their_head.split(b"\r\n")[1]
            assert body == (b"<p>no\n</p>" if b"chunked" in their_head else their_body)
            assert stage.failures == []

    told(story)


def test_a_denial_by_a_real_server_is_what_a_real_client_sees() -> None:
    async def story() -> None:
        def denies(socket: ServerConnection, request: Request) -> Response:
            return socket.respond(403, "not you\n")

        async with serving(process_request=denies) as stage:
            with pytest.raises(InvalidStatus) as caught:
                async with connected(stage):
                    pass
            assert caught.value.response.status_code == 403
            assert caught.value.response.body == b"not you\n"

    told(story)


WRONG = {
    "no Upgrade field": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "two protocols": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
    "a list of protocols": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    "no Connection field": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "another Connection": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_an_upstream_that_switches_to_something_else_is_not_followed(answer: bytes) -> None:
    async def story() -> None:
        async def switch(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with staged(raw(switch)) as stage:
            heard = await stage.say(HANDSHAKE % b"" + b"early")
            assert heard.startswith(b"HTTP/1.1 502 ")
            assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["id"].startswith("upstream_")

    told(story)


def test_a_101_that_nobody_asked_for_is_refused() -> None:
    async def story() -> None:
        async def switch(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"" + b"hello")

        async with staged(raw(switch)) as stage:
            for upgrade in (b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"):
                heard = await stage.say(b"GET / HTTP/1.1\r\nHost: app.example\r\n%b\r\n" % upgrade)
                assert heard.startswith(b"HTTP/1.1 502 ")
                assert b"upgrade" not in stage.heard[-1].lower()

    told(story)


def test_without_an_upstream_a_handshake_is_a_502_in_the_error_form() -> None:
    async def story() -> None:
        async with staged(None) as stage:
            heard = await stage.say(HANDSHAKE % b"")
            assert heard.startswith(b"HTTP/1.1 502 ")
            assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["id"] == "upstream_failed"

    told(story)


def test_an_upstream_that_says_nothing_to_a_handshake_is_a_504() -> None:
    async def story() -> None:
        async def silent(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ends(reader)
            stage.heard.append(b"<end>")

        async with staged(raw(silent), response_timeout=0.3) as stage:
            assert (await stage.say(HANDSHAKE % b"")).startswith(b"HTTP/1.1 504 ")
            while len(stage.heard) < 2:
                await asyncio.sleep(0.01)

    told(story)


@pytest.mark.parametrize("way", ["closes", "resets"])
@pytest.mark.parametrize("early", [b"", bytes(10_000)], ids=["", "with early frames"])
def test_a_client_that_leaves_during_the_handshake_is_missed(way: str, early: bytes) -> None:
    async def story() -> None:
        async def silent(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ends(reader)
            stage.heard.append(b"<end>")

        async with staged(raw(silent), response_timeout=60) as stage:
            _, writer = await stage.open()
            writer.write(HANDSHAKE % b"" + early)
            while not stage.heard:
                await asyncio.sleep(0.001)
            if way == "closes":
                writer.close()
            else:
                writer.transport.abort()
            async with asyncio.timeout(2):
                while len(stage.heard) < 2:
                    await asyncio.sleep(0.01)

    told(story)


# --- who is calling ---------------------------------------------------------------------------------------------------


async def accept(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SWITCHED % b"")


def field_of(head: bytes, name: bytes) -> list[bytes]:
    return [line.partition(b": ")[2] for line in head.split(b"\r\n")[1:] if line.partition(b":")[0].lower() == name]


def test_the_upstream_is_told_who_opens_the_socket() -> None:
    async def story() -> None:
        async with staged(raw(accept)) as stage:
            token = (await stage.login("Zoë")).encode()
            spoofed = b"X-Session-User: eve\r\nx_session_user: eve\r\nX-Session-Id: 1\r\nX-Forwarded-For: 6.6.6.6\r\n"
            answer = await stage.say(HANDSHAKE % (b"X-Session-Token: " + token + b"\r\n" + spoofed))
            assert answer.startswith(b"HTTP/1.1 101 ")
            head = stage.heard[0]
            assert head.startswith(b"GET /chat?x=1 HTTP/1.1\r\n")
            assert field_of(head, b"x-session-user") == [b"Zo%C3%AB"]
            assert len(field_of(head, b"x-session-id")) == 1
            assert field_of(head, b"x-forwarded-for") == [b"127.0.0.1"]
            assert b"eve" not in head
            assert field_of(head, b"sec-websocket-key") == [b"dGhlIHNhbXBsZSBub25jZQ=="]
            assert [value.lower() for value in field_of(head, b"upgrade")] == [b"websocket"]
            assert [value.lower() for value in field_of(head, b"connection")] == [b"upgrade"]

    told(story)


def test_a_session_that_is_not_live_is_taken_out_of_the_handshake() -> None:
    async def story() -> None:
        async def signs_in(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if b"/chat" in stage.heard[-1]:
                await accept(stage, reader, writer)
            else:
                proof = proof_of(stage.heard[-1])
                writer.write(b"HTTP/1.1 200 OK\r\nSession-Login: ann; proof=%b\r\nContent-Length: 0\r\n\r\n" % proof)

        async with staged(raw(signs_in)) as stage:

            async def signed_in() -> bytes:
                answer = await stage.say(b"GET /in/ HTTP/1.1\r\nHost: app.example\r\n\r\n")
                return field_of(answer.partition(b"\r\n\r\n")[0], b"set-cookie")[0].partition(b";")[0]

            laptop, phone = await signed_in(), await signed_in()
            await stage.say(HANDSHAKE % (b"Cookie: theme=dark; " + phone + b"\r\n"))
            assert field_of(stage.heard[-1], b"x-session-user") == [b"ann"]
            answer = await stage.say(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\nCookie: " + laptop + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 ")
            heard = len(stage.heard)
            answer = await stage.say(HANDSHAKE % (b"Cookie: theme=dark; " + phone + b"\r\n"))
            assert answer.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 401 "))
            for head in stage.heard[heard:]:
                assert field_of(head, b"x-session-user") == [b""]
                assert phone not in head
                assert field_of(head, b"cookie") == [b"theme=dark"]

    told(story)


# --- ends and back-pressure -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["closes", "resets"])
@pytest.mark.parametrize("gone", ["client", "upstream"])
def test_the_loss_of_one_end_closes_the_other(gone: str, way: str) -> None:
    """What had been sent before the end arrives first."""

    async def story() -> None:
        leave = asyncio.Event()

        async def act(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"" + b"last words")
            await writer.drain()
            if gone == "upstream":
                await leave.wait()
                if way == "resets":
                    writer.transport.abort()
                return
            stage.heard.append(await ends(reader))

        async with staged(raw(act)) as stage:
            reader, writer = await stage.open()
            writer.write(HANDSHAKE % b"" + b"mine")
            await reader.readuntil(b"last words")
            if gone == "upstream":
                leave.set()
                assert await ends(reader) == b""
                writer.close()
                return
            if way == "resets":
                writer.transport.abort()
            else:
                writer.close()
            while len(stage.heard) < 2:
                await asyncio.sleep(0.01)
            assert stage.heard[1] == b"mine"

    told(story)


def test_a_long_message_before_the_end_arrives_whole() -> None:
    """Each end closes as soon as it has written: closing must wait for what is still on its way."""

    async def story() -> None:
        page = os.urandom(5_000_000)

        async def act(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"")
            if b"x-down" in stage.heard[-1]:
                writer.write(page)
                await writer.drain()
                return
            stage.heard.append(await ends(reader))

        async with staged(raw(act)) as stage:
            reader, writer = await stage.open()
            writer.write(HANDSHAKE % b"x-down: 1\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.1)  # the client is slow; the upstream has gone away by now
            assert await ends(reader) == page
            writer.close()
            reader, writer = await stage.open()
            writer.write(HANDSHAKE % b"")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(page)
            writer.close()
            while len(stage.heard) < 3:
                await asyncio.sleep(0.01)
            assert stage.heard[2] == page

    told(story)


MOST = 50_000_000
"""Bytes: more than the systems of both connections take (tcp_wmem and tcp_rmem, grown)."""
SIZE = 80_000_000


async def pour(writer: asyncio.StreamWriter, count: list[int]) -> None:
    for _ in range(SIZE // 64_000):
        writer.write(bytes(64_000))
        await writer.drain()
        count[0] += 64_000


async def stands_still(count: list[int]) -> int:
    before = -1
    while before != (before := count[0]):
        await asyncio.sleep(0.15)
    return before


async def swallow(reader: asyncio.StreamReader, size: int = SIZE) -> int:
    got = 0
    while got < size:
        data = await reader.read(1 << 20)
        if not data:
            break
        got += len(data)
    return got


@pytest.mark.parametrize("at_once", [0, 1_000_000], ids=["", "with the handshake"])
def test_the_upstream_is_not_read_while_the_client_does_not_read(at_once: int) -> None:
    async def story() -> None:
        sent = [0]

        async def flood(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"" + bytes(at_once))
            await pour(writer, sent)
            stage.heard.append(b"<sent>")
            await ends(reader)

        async with staged(raw(flood)) as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=4096)
            writer.write(HANDSHAKE % b"")
            while not sent[0]:
                await asyncio.sleep(0.001)
            assert 0 < await stands_still(sent) < MOST
            await reader.readuntil(b"\r\n\r\n")
            assert await swallow(reader, SIZE + at_once) == SIZE + at_once
            writer.close()

    told(story)


def test_the_client_is_not_read_while_the_upstream_does_not_read() -> None:
    async def story() -> None:
        sent, reads = [0], asyncio.Event()

        async def lazy(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCHED % b"")
            await reads.wait()
            stage.heard.append(b"%d" % await swallow(reader))

        async with staged(raw(lazy)) as stage:
            reader, writer = await stage.open()
            writer.write(HANDSHAKE % b"")
            await reader.readuntil(b"\r\n\r\n")
            pouring = asyncio.create_task(pour(writer, sent))
            while not sent[0]:
                await asyncio.sleep(0.001)
            assert 0 < await stands_still(sent) < MOST
            reads.set()
            await pouring
            while len(stage.heard) < 2:
                await asyncio.sleep(0.01)
            assert stage.heard[1] == b"%d" % SIZE
            writer.close()

    told(story)


def test_other_requests_are_served_while_sockets_are_open() -> None:
    async def story() -> None:
        async def act(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if b"/chat" not in stage.heard[-1]:
                writer.write(OK)
                return
            writer.write(SWITCHED % b"")
            while data := await reader.read(100):
                writer.write(data)

        async with staged(raw(act)) as stage:
            sockets = [await stage.open() for _ in range(20)]
            for reader, writer in sockets:
                writer.write(HANDSHAKE % b"")
                await reader.readuntil(b"\r\n\r\n")
            for _ in range(3):
                assert (await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"ok")
            for number, (reader, writer) in enumerate(sockets):
                writer.write(b"%03d" % number)
                assert await reader.readexactly(3) == b"%03d" % number
                writer.close()

    told(story)


def test_a_socket_needs_get_and_an_upgrade() -> None:
    """Else it is a request like any other, without the fields that would make it one."""

    async def story() -> None:
        async def plain(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)

        async with staged(raw(plain)) as stage:
            for request in (
                (HANDSHAKE % b"").replace(b"GET", b"POST", 1),
                (HANDSHAKE % b"").replace(b"keep-alive, Upgrade", b"keep-alive", 1),
                (HANDSHAKE % b"").replace(b"Upgrade: WebSocket\r\n", b"", 1),
            ):
                reader, writer = await stage.open()
                writer.write(request)
                answer = await read_answer(reader)
                assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
                writer.close()
            for head in stage.heard:
                assert field_of(head, b"upgrade") == []

    told(story)
