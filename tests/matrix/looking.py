"""What the checks look at beside answers: the log, the secrets in a jar, and the moment at which two callers meet."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Barrier, BrokenBarrierError

from tests.matrix.site import Site


def met(barrier: Barrier) -> Callable[[], None]:
    """Waits for the other caller for a moment; goes on alone where there is none."""

    def wait() -> None:
        try:
            barrier.wait(5)
        except BrokenBarrierError:
            return

    return wait


def parts_of(jar: Mapping[str, str]) -> set[str]:
    """Whatever in these cookies is long enough to be a secret, whole and in its parts."""
    return {part for value in jar.values() for part in (value, *re.split(r"[^A-Za-z0-9_-]", value)) if len(part) >= 20}


@contextmanager
def logged(site: Site) -> Iterator[list[str]]:
    """Every line that is logged inside the block, on any level, with its traceback."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name not in site.own_loggers:
                lines.append(formatter.format(record))

    formatter = logging.Formatter("%(name)s %(message)s")
    handler = Keeping()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
