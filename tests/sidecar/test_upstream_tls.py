"""Over TLS, too, bytes behind an answer free no connection: they can lie decrypted, where no look at the socket finds them."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from sessionward.sidecar.errors import UpstreamError
from sessionward.sidecar.upstream.answer import Answer
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.pool import Place, Pool
from tests.sidecar.stage import OK, PATIENCE
from tests.sidecar.test_serve import certificate
from tests.support.servers import HOST

EVIL = b"HTTP/1.1 200 OK\r\nX-Evil: yes\r\nContent-Length: 4\r\n\r\nevil"


class Asks:
    """Waits for an answer, and takes it slowly: it pauses the connection at the head."""

    def __init__(self, connection: UpstreamConnection, *, pauses: bool) -> None:
        self.connection, self.pauses = connection, pauses
        self.whole = asyncio.get_running_loop().create_future()
        self.evil = b""

    def answered(self, answer: Answer | None, body: bytes, is_whole: bool, /) -> None:
        if answer is not None:
            self.evil += b"".join(name for name, _ in answer.fields if name == b"X-Evil")
            if self.pauses:
                self.connection.pause()
        if is_whole:
            self.whole.set_result(None)

    def failed(self, failure: UpstreamError, /) -> None:
        if not self.whole.done():
            self.whole.set_exception(failure)

    def may_continue(self) -> None: ...
    def upstream_is_full(self) -> None: ...
    def upstream_has_room(self) -> None: ...


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def story(folder: Path, *, pauses: bool, surplus: bytes) -> bool:
    """Asks once, and then again at the moment at which the first connection is kept; returns whether it was used again."""
    public, private = certificate(folder, HOST, days=1)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(public, private)
    told, tasks = asyncio.Event(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await asyncio.sleep(0.05)
            writer.write(surplus)
            await asyncio.sleep(0.05)
            told.set()
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, HOST, 0, ssl=server_side)
    place = Place(host=HOST, port=server.sockets[0].getsockname()[1], tls=ssl.create_default_context(cafile=str(public)))
    pool = Pool(place, connect_timeout=PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await pool.open()
            asks = Asks(connection, pauses=pauses)
            connection.ask(asks, b"GET", GET)
            connection.sent()
            await asks.whole
            await told.wait()
            pool.keep(connection)
            kept = pool.kept()  # in the same turn of the loop, as the request of another client can come
            if kept is not None:
                kept.abort()
            return kept is connection
    finally:
        pool.close()
        server.close()
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("pauses", [False, True], ids=["the client is fast", "the client is slow"])
def test_bytes_behind_an_answer_free_no_connection_over_tls(tmp_path: Path, pauses: bool) -> None:
    assert not asyncio.run(story(tmp_path, pauses=pauses, surplus=EVIL))


def test_a_whole_answer_over_tls_frees_its_connection(tmp_path: Path) -> None:
    assert asyncio.run(story(tmp_path, pauses=False, surplus=b""))
