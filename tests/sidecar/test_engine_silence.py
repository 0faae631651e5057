"""Real proxies with a WebSocket and an event stream that are silent for longer than proxies take by default."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from sessionward.backends.sql import SQLBackend
from sessionward.sidecar.snippet import snippet
from tests.sidecar.engines import ENGINES, App, Engine, engine
from tests.sidecar.town import WEBSOCKET, Town, wait_for
from tests.support.services import missing

FRAME: Final = b"\x81\x85\x00\x00\x00\x00hello"
HOUR: Final = 3600
SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": HOUR}
SILENCES: Mapping[str, tuple[str, ...]] = {
    "nginx": (r"^    proxy_read_timeout +(\d+)(\w)", r"^    proxy_send_timeout +(\d+)(\w)"),
    "haproxy": (r"^    timeout client +(\d+)(\w)", r"^    timeout server +(\d+)(\w)", r"^    timeout tunnel +(\d+)(\w)"),
    "envoy": (r"stream_idle_timeout: (\d+)(\w)",),
}
"""The settings of each engine that cut a silent stream. The first one of several in the configuration counts. Caddy has none."""


@pytest.mark.parametrize(("kind", "patterns"), SILENCES.items(), ids=SILENCES)
def test_a_stream_may_be_silent_for_an_hour(kind: str, patterns: tuple[str, ...]) -> None:
    text = snippet(kind, authz="127.0.0.1:1", app="127.0.0.1:2", listen="127.0.0.1:3")
    for pattern in patterns:
        found = re.search(pattern, text, re.MULTILINE)
        assert found is not None
        assert int(found[1]) * SECONDS[found[2]] >= HOUR


def one_second(kind: str) -> Callable[[str], str]:
    """Returns a change of a configuration by which a silent stream is cut after a second."""

    def change(text: str) -> str:
        for pattern in SILENCES.get(kind, ()):
            text = re.sub(pattern, lambda found: found[0].replace(found[1] + found[2], "1s"), text, count=1, flags=re.MULTILINE)
        return text

    return change


def test_the_printed_settings_are_those_that_cut_a_silent_stream(
    chosen: Engine, service: int, app: App, folder: Path, backend: SQLBackend
) -> None:
    if chosen.kind not in SILENCES:
        pytest.skip("it cuts none")
    place = folder / f"{chosen}-silent".replace(" ", "-")
    with engine(chosen, place, authz=service, app=app.port, change=one_second(chosen.kind)) as server:
        hurried = Town(server.port, app, folder, backend, chosen.kind)
        cookie = b"Cookie: " + hurried.login()
        for target, fields, until in ((b"/sse", (), b"data: 1"), (b"/ws", WEBSOCKET, b"\r\n\r\n")):
            with hurried.open(target, cookie, *fields, until=until) as stream:
                stream.settimeout(10)
                assert stream.recv(100) in (b"", b"0\r\n\r\n")  # cut


LONG: Final = 65
"""Seconds: longer than what these proxies and others take by default (60)."""


@pytest.mark.services
def test_a_stream_that_is_silent_for_more_than_a_minute_goes_on(service: int, app: App, folder: Path, backend: SQLBackend) -> None:
    """All engines at once, since this takes its time."""
    with ExitStack() as stack:
        streams = []
        for chosen in ENGINES:
            if chosen.binary is None:
                missing(str(chosen), "it is not installed")
            place = folder / f"{chosen}-minute".replace(" ", "-")
            server = stack.enter_context(engine(chosen, place, authz=service, app=app.port))
            town = Town(server.port, app, folder, backend, chosen.kind)
            cookie = b"Cookie: " + town.login()
            events = stack.enter_context(town.open(b"/sse?seconds=%d" % LONG, cookie, until=b"data: 1"))
            sockets = stack.enter_context(town.open(b"/ws", cookie, *WEBSOCKET, until=b"\r\n\r\n"))
            streams.append((events, sockets))
        time.sleep(LONG)
        for events, sockets in streams:
            wait_for(events, b"data: 2")
            sockets.sendall(FRAME)
            wait_for(sockets, FRAME)
