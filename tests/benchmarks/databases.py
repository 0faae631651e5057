"""A fresh PostgreSQL database, and a relay that counts what goes to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import pytest
from sqlalchemy import make_url

from tests.support.services import POSTGRESQL, fresh_database


@contextmanager
def postgresql(number: int = 1) -> Iterator[list[str]]:
    """The URLs of so many fresh databases; none where no server answers."""
    with ExitStack() as stack:
        try:
            urls = [stack.enter_context(fresh_database(POSTGRESQL)) for _ in range(number)]
        except (pytest.skip.Exception, pytest.fail.Exception):
            urls = []
        yield urls


@contextmanager
def counting_relay(url: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """The URL of a relay to the same database, and how often its clients have sent something so far.

    Whoever waits for each answer before it sends again, as a driver does, has made so many round trips.
    """
    target = make_url(url)
    bursts = [0]
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[Thread] = []

    def copy(source: socket.socket, to: socket.socket, sent: list[int]) -> None:
        while data := _received(source):
            sent[0] += 1
            to.sendall(data)
        for end in (source, to):
            _shut_down(end)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the relay is over
                return
            server = socket.create_connection((target.host or "127.0.0.1", target.port or 5432))
            for arguments in ((client, server, bursts), (server, client, [0])):
                threads.append(Thread(target=copy, args=arguments, daemon=True))
                threads[-1].start()

    accepting = Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield target.set(host="127.0.0.1", port=listener.getsockname()[1]).render_as_string(hide_password=False), lambda: bursts[0]
    finally:
        _shut_down(listener)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join(5)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


def _shut_down(end: socket.socket) -> None:
    with suppress(OSError):  # the other side may have been quicker
        end.shutdown(socket.SHUT_RDWR)
