"""Writes lines from a thread of its own, so that a pipe without a reader or a slow disk stops no request."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

ATOMIC: Final = 4_096
"""Bytes that one write puts into a pipe without those of another process between them (POSIX, PIPE_BUF on Linux)."""
MAX_LINES: Final = 10_000
"""Lines that wait for the thread. Further ones are lost."""
TOO_SLOW: Final = "what is behind it does not read fast enough"
FLUSH: Final = 1.0
"""Seconds that :meth:`Writer.close` waits for the thread."""


class Writer:
    """A queue of lines and the thread that writes them. The thread starts with the first line.

    One write has whole lines and less than 4 096 bytes, so that the lines of several workers do not mix in a pipe. A line that
    cannot be written is lost and counted.
    """

    def __init__(
        self,
        file: int,
        *,
        delay: float = 0.0,
        lost: Callable[[str], None] = lambda _why: None,
        again: Callable[[int], None] = lambda _lost: None,
        reopen: Callable[[], int] | None = None,
    ) -> None:
        """``file``: a descriptor, which :meth:`close` closes if ``reopen`` is given.

        ``delay``: seconds for which lines are collected, since each switch to the thread costs. ``lost``: called with the reason
        when the first line is lost. ``again``: called with the number of lost lines when lines are written again. Both are called
        from any thread. ``reopen``: opens the file again; it may raise OSError.
        """
        self._file = file
        self._delay = delay
        self._on_lost = lost
        self._on_again = again
        self._open = reopen
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._is_torn = False
        self._is_reopening = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Hands a line with its end to the thread. Does not block."""
        if len(self._lines) >= MAX_LINES:
            self._lose(1, TOO_SLOW)
            return
        self._lines.append(line)
        self._awake()

    def reopen(self) -> None:
        """Makes the thread open the file again before its next write."""
        self._is_reopening = True
        self._awake()

    def close(self, timeout: float = FLUSH) -> int:
        """Writes what is waiting, for at most ``timeout`` seconds, and closes the file. Returns the number of lines that remain."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():  # it is in a write that does not return, and its file stays open
                return len(self._lines)
        if self._open is not None:
            os.close(self._file)
        return 0

    def _awake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sessionward-writer", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if self._delay:
                self._closing.wait(self._delay)
            self._wake.clear()  # before the lines are read: one that comes later sets it again
            if self._is_reopening:
                self._is_reopening = False
                self._reopen()
            while self._lines:
                self._put(*self._batch())
            if self._closing.is_set() and not self._lines:
                return

    def _batch(self) -> tuple[bytes, int]:
        """Takes as many lines from the queue as fit into one write, and at least one. Returns them with their number."""
        lines, size = [self._lines.popleft()], 1
        size += len(lines[0])
        while self._lines and size + len(self._lines[0]) < ATOMIC:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines), len(lines)

    def _put(self, data: bytes, number: int) -> None:
        if self._is_torn:  # the rest of a line that was torn must not spoil this one
            data = b"\n" + data
        try:
            written = self._written(data)
        except OSError as error:  # a full disk, or a pipe that nothing reads any more: no request fails for that
            self._lose(number, error.strerror or str(error))
            return
        self._is_torn = written < len(data)
        if self._is_torn:
            whole = data.count(b"\n", 0, written) - data.startswith(b"\n")
            self._lose(number - whole, "not all of a line was written")
        elif self._lost and len(self._lines) < MAX_LINES // 2:  # else a slow reader would be reported again and again
            with self._lock:
                lost, self._lost = self._lost, 0
            self._on_again(lost)

    def _written(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._file, data)
            except BlockingIOError:  # another process has made our standard output non-blocking
                poll = select.poll()
                poll.register(self._file, select.POLLOUT)
                poll.poll()

    def _lose(self, number: int, why: str) -> None:
        with self._lock:
            is_first = not self._lost
            self._lost += number
        if is_first:
            self._on_lost(why)

    def _reopen(self) -> None:
        if self._open is None:
            return
        try:
            opened = self._open()
        except OSError as error:
            self._on_lost(error.strerror or str(error))
            return
        os.close(self._file)
        self._file, self._is_torn = opened, False
