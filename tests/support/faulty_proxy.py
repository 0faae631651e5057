"""A TCP proxy before a server, which loses an answer, or a question, or falls silent: on purpose, and once for each time it is told."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from enum import Enum
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Final, Self

from tests.support.servers import HOST

CHUNK: Final = 65_536
PATIENCE: Final = 20.0
"""Seconds within which something is lost after the proxy has been told to."""


class Loss(Enum):
    """What becomes of a question that is chosen, and how the client learns of it."""

    ANSWER_BY_RESET = "the answer is lost, and the connection is reset"
    ANSWER_BY_SILENCE = "the answer is lost, and the connection stays open"
    QUESTION_BY_RESET = "the question is lost, and the connection is reset"

    @property
    def of_the_question(self) -> bool:
        return self is Loss.QUESTION_BY_RESET


class FaultyProxy:
    """Passes everything on until it is told otherwise. Use it as a context manager. ``port``: where it listens."""

    def __init__(self, port: int) -> None:
        self._target = (HOST, port)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = Condition()
        self._armed: Loss | None = None
        self._of = b""
        self._after = 0
        self._lost = 0
        self._speaks = Event()
        self._speaks.set()
        self._links: list[_Link] = []
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server, as a name or an address does. Those that are open stay."""
        self._target = (HOST, port)

    def lose(self, loss: Loss, of: bytes, *, after: int = 0) -> None:
        """Lose one, of the next question that has these bytes in it, or of a later one: after so many others."""
        with self._changed:
            self._armed, self._of, self._after, self._lost = loss, of, after, 0

    def lose_nothing(self) -> bool:
        """Lose nothing more. Whether something has been lost."""
        with self._changed:
            self._armed = None
            return self._lost == 1

    def until_lost(self) -> None:
        """Wait until it has happened. What the server was asked then has been answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._lost == 1, PATIENCE), "nothing was lost"

    def fall_silent(self) -> None:
        """Hold back every answer until :meth:`speak`. Questions arrive."""
        self._speaks.clear()

    def speak(self) -> None:
        self._speaks.set()

    def reset_all(self) -> None:
        """Reset every connection that is open now."""
        for link in self._links:
            link.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.speak()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(PATIENCE)
        self.reset_all()
        for thread in self._threads:
            thread.join(PATIENCE)
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                link = _Link(client, server)
                self._links.append(link)
                for passing in (self._pass_questions, self._pass_answers):
                    self._threads.append(Thread(target=passing, args=(link,), daemon=True))
                    self._threads[-1].start()

    def _pass_questions(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.client.recv(CHUNK):
                with self._changed:
                    if self._armed is not None and self._of in data:
                        self._after -= 1
                        if self._after < 0:
                            link.loss, self._armed = self._armed, None
                if link.loss is not None and link.loss.of_the_question:
                    self._note_loss()  # before the client learns of it, and asks us
                    link.reset()
                    return
                link.server.sendall(data)
        with suppress(OSError):
            link.server.shutdown(socket.SHUT_WR)

    def _pass_answers(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.server.recv(CHUNK):
                if link.loss is None:
                    self._speaks.wait()
                    link.client.sendall(data)
                    continue
                self._note_loss()
                if link.loss is Loss.ANSWER_BY_RESET:
                    link.reset()
        with suppress(OSError):
            link.client.shutdown(socket.SHUT_WR)

    def _note_loss(self) -> None:
        with self._changed:
            self._lost = 1
            self._changed.notify_all()


class _Link:
    """Both sides of one connection. ``loss``: what has been lost on it; nothing follows then."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.loss: Loss | None = None

    def reset(self) -> None:
        """The client gets a reset, and the server the end of what the client says."""
        with suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.client.close()

    def close(self) -> None:
        self.client.close()
        self.server.close()
