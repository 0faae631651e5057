"""A name with several addresses is reached by the first one that answers, also where another one swallows all packets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sessionward.sidecar.errors import TooSlow, UpstreamError
from sessionward.sidecar.upstream.pool import Place, Pool

NAME = "app.example"
TIMEOUT = 5.0


@contextmanager
def swallowing(address: str) -> Iterator[int]:
    """A port whose queue of connections is full, so that the system drops the packets of another one."""
    with socket.socket() as full:
        full.bind((address, 0))
        full.listen(0)
        waiting: list[socket.socket] = []
        try:
            for _ in range(8):
                each = socket.socket()
                each.setblocking(False)
                each.connect_ex(full.getsockname())
                waiting.append(each)
            yield full.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


async def opened(port: int, *addresses: str) -> float:
    """How many seconds it takes to connect to a name that has these addresses, in this order."""

    async def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    asyncio.get_running_loop().getaddrinfo = found  # type: ignore[method-assign]
    pool = Pool(Place(host=NAME, port=port), connect_timeout=TIMEOUT)
    began = time.monotonic()
    connection = await pool.open()
    connection.abort()
    await asyncio.sleep(0)
    return time.monotonic() - began


def test_an_address_that_swallows_packets_does_not_take_the_whole_time() -> None:
    with swallowing("127.0.0.2") as port, socket.create_server(("127.0.0.1", port)):
        assert asyncio.run(opened(port, "127.0.0.2", "127.0.0.1")) < TIMEOUT / 2


def test_an_address_that_refuses_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert asyncio.run(opened(listening.getsockname()[1], "127.0.0.2", "127.0.0.1")) < TIMEOUT / 2


def test_where_every_address_swallows_packets_the_time_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.TIMEOUT", 0.5)
    with swallowing("127.0.0.2") as port, pytest.raises(TooSlow):
        asyncio.run(opened(port, "127.0.0.2"))


def test_where_every_address_refuses_the_failure_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(UpstreamError, match=r"(?i)refused"):
        asyncio.run(opened(port, "127.0.0.2", "127.0.0.1"))
