"""Each request comes to an end, whatever its upstream does before it is asked or while we decide."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from sessionward.backends.memory import MemoryBackend
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.observer import Observer
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.pool import Place
from tests.sidecar.stage import OK, PATIENCE, Script, Stage, answering, staged

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True, slots=True, kw_only=True)
class LatePlace(Place):
    """An upstream whose connection is over before it is asked, as can happen in a TLS handshake."""

    async def connect(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        protocol = await Place.connect(self, loop, factory)
        assert isinstance(protocol, UpstreamConnection)
        while not protocol._transport.is_closing():
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        return protocol


FIRST: dict[str, tuple[bytes, bytes]] = {
    "it closes": (b"", b"upstream_failed"),
    "it speaks": (b"HTTP/1.1 200 OK\r\nSession-Login: admin\r\nContent-Length: 2\r\n\r\nok", b"upstream_invalid"),
}


@pytest.mark.parametrize(("said", "problem"), FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_connection_that_is_over_before_it_is_asked_is_a_502_at_once(
    loop: Callable[[], asyncio.AbstractEventLoop], said: bytes, problem: bytes
) -> None:
    """The request was written to a closed connection. Then its client waited for the whole response timeout."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async def story() -> None:
        upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
        place = LatePlace(host="127.0.0.1", port=upstream.sockets[0].getsockname()[1])
        async with upstream, staged(None, place=place, response_timeout=PATIENCE * 3) as stage:
            for method in (b"GET", b"POST"):
                answer = await stage.say(GET.replace(b"GET", method))
                assert answer.startswith(b"HTTP/1.1 502 ")
                assert problem in answer

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example", "\udcff.example"], ids=["empty label", "long label", "no name"])
def test_a_name_that_cannot_be_looked_up_is_a_502(host: str) -> None:
    """Python raises UnicodeError for it. The task of the connection ended with that, and the client waited for ever."""

    async def story() -> None:
        async with staged(None, place=Place(host=host, port=80)) as stage:
            answer = await stage.say(GET)
            assert answer.startswith(b"HTTP/1.1 502 ")
            assert b"upstream_failed" in answer
            assert stage.failures == ["connect"]

    asyncio.run(story())


# --- the end of an upstream while we decide ---------------------------------------------------------------------------

HANDSHAKE = b"GET /in/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Unpausable(UpstreamConnection):
    """Shows the end of its connection also while it is not read, as TLS does."""

    def pause(self) -> None:
        """Does nothing."""


class Slow:
    """Sessions in memory, behind a wait for an event."""

    def __init__(self, goes_on: asyncio.Event) -> None:
        memory = MemoryBackend()

        def later(name: str) -> Callable[..., Any]:
            async def method(*arguments: Any) -> Any:
                await goes_on.wait()
                return getattr(memory, name)(*arguments)

            return method

        for name in ("find", "revoke_others", "login", "begin_login", "revoke", "revoke_all", "list"):
            setattr(self, name, later(name))


def test_a_tunnel_whose_upstream_ends_while_we_decide_about_its_handshake_ends_too() -> None:
    """It stayed open until the limit for silent tunnels: an hour."""
    ended = asyncio.Event()

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            proof = head.partition(b"x-session-proof: ")[2].partition(b"\r\n")[0]
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Session-Login: ann; proof=%b\r\n\r\nthe last words" % proof
            )
            writer.close()
            await writer.wait_closed()
            ended.set()

        return script

    async def story() -> None:
        goes_on = asyncio.Event()
        async with staged(of, backend=Slow(goes_on), factory=Unpausable) as stage:
            reader, writer = await stage.open()
            writer.write(HANDSHAKE)
            await ended.wait()
            for _ in range(20):
                await asyncio.sleep(0.005)  # the end reaches us
            goes_on.set()
            async with asyncio.timeout(PATIENCE):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert answer.endswith(b"\r\n\r\nthe last words")
            writer.close()
            assert stage.listener.under_way == 0

    asyncio.run(story())


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("sent", [b"", GET, GET * 50, HANDSHAKE, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"])
def test_a_client_that_resets_leaves_nothing_behind(loop: Callable[[], asyncio.AbstractEventLoop], sent: bytes) -> None:
    wrong: list[dict[str, Any]] = []
    counts = Counts()

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with staged(answering(OK), observer=Observer(counts)) as stage:
            for turns in range(12):
                with socket.socket() as client:
                    client.connect(("127.0.0.1", stage.port))
                    client.sendall(sent)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with asyncio.timeout(PATIENCE):
                while stage.listener.connections or stage.listener.under_way:
                    await asyncio.sleep(0.01)
            assert (await stage.say(GET)).endswith(b"ok")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())
    assert not wrong
    assert counts.sums()["in_flight"] == 0
