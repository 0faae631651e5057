"""The addresses of a host: one that does not answer leaves time for the next."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeoutError

from sessionward.backends.redis.wire import Node


def seconds_for_each(node: Node, seconds: float) -> float:
    """Returns how many of so many seconds the connection to one address of a host may take. Asks for the addresses of a name."""
    if not node.port or _is_address(node.host):
        return seconds
    try:
        return seconds / len(socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM))
    except OSError:
        return seconds  # redis-py asks again, and says what is wrong


async def connected(node: Node, seconds: float) -> socket.socket | None:
    """Returns a socket that is connected to the first address of a name that answers; None if the host is no name.

    asyncio tries one address after the other, and limits none. Its ``happy_eyeballs_delay`` is unknown to uvloop. Raises ``OSError``,
    or :class:`redis.exceptions.TimeoutError` after so many seconds.
    """
    if not node.port or _is_address(node.host):
        return None
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    found = await loop.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
    failure: Exception = OSError(f"{node.host} has no address")
    for left, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        now = loop.time()
        try:
            async with asyncio.timeout_at(now + max(0.0, ends_at - now) / left):
                return await _connected(socket.socket(family, kind, protocol), address)
        except TimeoutError:
            failure = RedisTimeoutError("Timeout connecting to server")
        except OSError as error:
            failure = error
    raise failure


async def _connected(opened: socket.socket, address: Any) -> socket.socket:
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return True
    return False
