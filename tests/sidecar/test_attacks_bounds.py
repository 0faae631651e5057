"""What one client can make a worker keep or compute is bounded, however the client cuts and times its bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sessionward.sidecar.client.connection import ClientConnection
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.reader import MAX_PIECES, RequestReader
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.pool import Place
from tests.sidecar.stage import OK, PATIENCE, Stage, answering, read_answer, read_request, staged

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FarPlace(Place):
    """An upstream that is reached late, through a network that takes little at once."""

    async def connect(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        await asyncio.sleep(0.2)
        protocol = await Place.connect(self, loop, factory)
        assert isinstance(protocol, UpstreamConnection)
        protocol._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        return protocol


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["at once", "with 100-continue"])
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_an_upload_that_begins_before_its_upstream_is_there_is_kept_within_one_read(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], expects: bytes
) -> None:
    """An early body filled the buffer of the upstream. Then the client was read on without an end."""

    async def reads_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        writer.close()

    async def story() -> int:
        path, sent = str(tmp_path / "upstream"), 0
        upstream = await asyncio.start_unix_server(reads_nothing, path)
        async with upstream, staged(None, place=FarPlace(path=path)) as stage:
            _, writer = await stage.open()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (expects, 1 << 40))
            try:
                while sent < 64 * MEGABYTE:
                    writer.write(bytes(MEGABYTE))
                    async with asyncio.timeout(2.0):
                        await writer.drain()
                    sent += MEGABYTE
            except TimeoutError:
                pass
            writer.transport.abort()
            over.set()
        return sent

    with asyncio.Runner(loop_factory=loop) as runner:
        over = asyncio.Event()
        assert runner.run(story()) < 32 * MEGABYTE, "more than the kernel holds by itself"


# --- bytes that cost more than others ---------------------------------------------------------------------------------

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BLANK = b"\r\n" * 4_000


@pytest.mark.parametrize(
    "body",
    [
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(BLANK), BLANK),
        b"4\r\n\r\n\r\n\r\n" * 2_000 + b"0\r\n\r\n",
        b"%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(BLANK), BLANK),
    ],
    ids=["one chunk", "many chunks", "a trailer"],
)
def test_the_blank_lines_of_a_body_are_one_part_of_it(body: bytes) -> None:
    """Each of them may end the request, so each is a piece for the parser. Each was a copy of the rest and a write, too."""
    reader, next_one = RequestReader(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    rest = reader.read(HEAD + body + next_one)
    assert reader.head is not None
    parts = list[bytes]()
    while not reader.is_whole:
        rest = reader.read(rest)
        parts.append(reader.body)
    assert b"".join(parts) == b"\r\n" * 4_000
    assert len(parts) <= 8_000 / MAX_PIECES + 1
    assert rest == next_one


def test_an_upload_of_blank_lines_leaves_the_other_clients_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece costs a microsecond and has four bytes: one such client could hold the worker of all others."""
    most, pieces = 0, 0
    feed, size = RequestReader._feed, 200_000

    def counted(reader: RequestReader, *piece: Any) -> None:
        nonlocal pieces
        pieces += 1
        feed(reader, *piece)

    async def turn() -> None:
        nonlocal most, pieces
        while True:
            most, pieces = max(most, pieces), 0
            await asyncio.sleep(0)

    def upstream(stage: Stage) -> Any:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard = b""
            while not heard.endswith(b"\r\n0\r\n\r\n"):
                heard += await reader.read(1 << 16)
            stage.heard.append(heard)
            writer.write(OK)
            await read_request(reader)
            writer.write(OK)
            await reader.read()

        return script

    async def story() -> None:
        async with staged(upstream) as stage:
            turns = asyncio.create_task(turn())
            reader, writer = await stage.open()
            writer.write(HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"\r\n" * (size // 2)) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert [(await read_answer(reader))[-2:] for _ in range(2)] == [b"ok", b"ok"], "the body ends where it ends"
            turns.cancel()
            writer.close()
        assert stage.heard[0].count(b"\r\n") > size // 2

    monkeypatch.setattr(RequestReader, "_feed", counted)
    asyncio.run(story())
    assert 0 < most <= MAX_PIECES + 2


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_body_of_blank_lines_ends_where_it_ends_however_it_is_cut(cut: int) -> None:
    parts = (b"\r\n" * 6, b"\r\n\r\n0\r\n\r\n")
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nA: b\r\n\r\n"
    reader, data, found = RequestReader(), HEAD + framed + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", list[bytes]()
    for at in range(0, len(data), cut):
        packet = data[at : at + cut]
        while packet:
            packet = reader.read(packet)
            found += [b""] if reader.head is not None else []
            if found:
                found[-1] += reader.body
    assert found == [b"".join(parts), b""]
    assert reader.is_whole


def test_a_connection_too_many_counts_no_longer_than_its_refusal_takes() -> None:
    """Else one address fills what all have together with its refused connections."""

    async def story() -> None:
        limits = Limits(max_connections=100, max_connections_per_address=2, linger=PATIENCE * 3)
        async with staged(answering(OK), limits=limits) as stage:
            opened = [await stage.open() for _ in range(6)]
            for reader, _ in opened[2:]:
                async with asyncio.timeout(PATIENCE):
                    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
            assert stage.listener.connections == 2
            opened[0][1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await read_answer(opened[0][0])).endswith(b"ok")
            for _, writer in opened:
                writer.close()

    asyncio.run(story())


# --- times ------------------------------------------------------------------------------------------------------------


def test_a_blank_line_behind_a_body_begins_no_request() -> None:
    """Old clients send one. It must not become a 408, which the client would read as the answer to its next request."""

    async def story() -> None:
        async with staged(answering(OK), limits=Limits(head_timeout=0.05, idle_timeout=PATIENCE * 3)) as stage:
            reader, writer = await stage.open()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\n")
            assert (await read_answer(reader)).endswith(b"ok")
            await asyncio.sleep(0.3)  # six times what a head may take
            writer.write(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await read_answer(reader)).endswith(b"ok")
            writer.write(b"\r\nG")
            assert (await read_answer(reader)).startswith(b"HTTP/1.1 408 ")
            writer.close()

    asyncio.run(story())


def test_a_fault_in_the_check_of_one_connection_does_not_end_the_limits_of_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check, broken = ClientConnection.check, set[ClientConnection]()

    def checked(self: ClientConnection, now: float) -> None:
        if not broken:
            broken.add(self)
        if self in broken:
            raise RuntimeError("a fault of ours")
        check(self, now)

    async def story() -> None:
        monkeypatch.setattr(ClientConnection, "check", checked)
        async with staged(answering(OK), limits=Limits(head_timeout=0.05)) as stage:
            for _ in range(2):
                reader, writer = await stage.open()
                writer.write(b"GET / HTTP/1.1\r\n")
                async with asyncio.timeout(PATIENCE):
                    await reader.read()
                writer.close()

    asyncio.run(story())
    assert "its times could not be checked" in caplog.text
