"""The cases of the Autobahn test suite end through the sidecar as they end without it.

They are played by kosoku, which runs Autobahn's own case files on today's Python, against an echo server of the websockets
library. With FULL_SIZE=1 all of them, which takes minutes; else those that neither wait nor move megabytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sessionward.sidecar.upstream.pool import Place
from tests.sidecar.stage import staged

kosoku = pytest.importorskip("kosoku", reason="kosoku has no wheel for this machine")

FULL = os.environ.get("FULL_SIZE") == "1"
SECTIONS = (
    None if FULL else ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.*", "9.2.1", "9.5.*", "9.6.1", "10.*", "12.1.1", "13.1.1"]
)
LEFT_OUT = None if FULL else ["5.19", "5.20", "6.4.*", "9.1.6", "9.5.1", "9.5.2"]
TOGETHER = 16
"""Cases at a time."""


async def echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def played(port: int) -> Sequence[Any]:
    try:
        results: Sequence[Any] = await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}", SECTIONS, LEFT_OUT, concurrency=TOGETHER)
    except kosoku.FailureError as failure:
        results = failure.results
    return results


def verdict(result: Any) -> tuple[object, ...]:
    """How a case ended: what came, in order, and how the socket was closed and by whom.

    A case for information (7.1.6: a long message, and a close at once) has no right end: what comes before the close is chance.
    """
    behavior = result.behavior.value
    is_chance = behavior == "INFORMATIONAL"
    return (
        result.case_id,
        "OK" if behavior == "NON-STRICT" else behavior,  # both are right; how fast an echo is beside a failure is chance
        result.behavior_close.value,
        result.remote_close_code,
        result.remote_close_reason,
        result.was_clean,
        "" if is_chance else str(result.received),
    )


@pytest.mark.filterwarnings("ignore:unclosed file .*autobahntestsuite:ResourceWarning")  # the case files of section 12 leave theirs open
def test_every_case_ends_as_it_does_direct(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="websockets")  # it tells of each broken frame

    async def story() -> None:
        async with (
            asyncio.timeout(1_200 if FULL else 60),
            serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server,
        ):
            port = server.sockets[0].getsockname()[1]
            direct = await played(port)
            async with staged(None, place=Place(host="127.0.0.1", port=port)) as stage:
                through = await played(stage.port)
        assert len(direct) > (500 if FULL else 240)
        assert sum(result.passed for result in direct) > len(direct) * 0.97  # the library itself fails a few
        for one, other in zip(direct, through, strict=True):
            assert verdict(other) == verdict(one)

    asyncio.run(story())
