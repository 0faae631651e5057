"""The runners behind one function, and the scripts that the tests of them call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from sessionward.backends.redis.call import Call, Flow, Script
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from sessionward.backends.redis.server import Server
from sessionward.testing.bridge import Loop

COUNT: Final = Script("count", "#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])")
READ: Final = Script("read", "#!lua flags=allow-oom\nreturn redis.call('GET', KEYS[1]) or false")
ECHO: Final = Script("echo", "#!lua flags=allow-oom\nreturn {ARGV[1], #ARGV, false}")
BROKEN: Final = Script("broken", "#!lua flags=allow-oom\nredis.call('INCR', KEYS[1])\nreturn redis.call('LPUSH', KEYS[1], 'x')")

TIMEOUT: Final = 1.0
"""Seconds of a call that is answered."""
SHORT: Final = 0.3
"""Seconds of a call that is not."""
AT_MOST: Final = 5.0
"""Seconds that a call may take on a machine that does much else. Without a deadline it would take for ever."""

Ask = Callable[..., Any]

both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def called(script: Script, key: bytes, *arguments: bytes | str | int) -> Flow[Any]:
    return (yield Call(script, key, arguments, writes=script in (COUNT, BROKEN), lasts=script is COUNT))


@contextmanager
def asking(server: object, *, is_async: bool, size: int = 4, wait: Wait | None = None, strict: bool = False) -> Iterator[Ask]:
    """A function that asks a flow. It closes what it has opened."""
    if not is_async:
        runner = SyncRunner(_server(server, is_async=False), size=size, wait=wait, strict=strict)
        try:
            yield lambda flow, timeout=TIMEOUT: runner.ask(flow, timeout)
        finally:
            runner.close()
        return
    loop, awaited = Loop(), AsyncRunner(_server(server, is_async=True), size=size, wait=wait, strict=strict)
    try:
        yield lambda flow, timeout=TIMEOUT: loop.run(awaited.ask(flow, timeout))
    finally:
        loop.run(awaited.close())
        loop.run(asyncio.sleep(0))  # a transport that is aborted closes its socket in the next round
        loop.close()


def _server(server: object, *, is_async: bool) -> Server:
    return server if isinstance(server, Server) else server_of(server, is_async=is_async)
