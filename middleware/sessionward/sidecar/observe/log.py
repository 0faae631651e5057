"""The log of the sidecar itself, on standard error."""

from __future__ import annotations

import logging
from typing import Final

from sessionward.sidecar.observe.writer import Writer

STANDARD_ERROR: Final = 2
FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"


def log_to_standard_error() -> None:
    """Sends what is logged to standard error, from a thread: a full pipe there stops no request either."""
    handler = _StandardError()
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


class _StandardError(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._writer = Writer(STANDARD_ERROR, again=self._again)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Writes what is waiting, for at most one second. Python calls this at the end of the process."""
        self._writer.close()
        super().close()

    def _again(self, lost: int) -> None:
        self._writer.write(f"sessionward: {lost} lines of this log were lost\n".encode())
