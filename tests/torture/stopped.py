"""A worker that is stopped in the middle of a check."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from time import monotonic
from typing import Final
from unittest.mock import patch

from sessionward.credential.token import new_token
from sessionward.lease import Leases
from sessionward.session.session import Checked
from tests.torture.doors import Answer, Call
from tests.torture.leases import Worker
from tests.torture.naive_leases import VARIANTS

STOPPED: Final = 0.4
"""Seconds. A stop lasts longer than this, and a thread waits less for its turn."""


def is_accepted(answer: Answer) -> bool:
    return answer.body.startswith("signed in")


def checks_and_is_stopped(worker: Worker, token: str, line: Connection) -> None:
    """Stops itself between the answer to its question and the use of it. Says how that check ended, and the one after it."""

    class Stopping(VARIANTS.get(worker.variant, Leases)):  # type: ignore[misc]
        def _trust(self, digest: bytes, began: float, checked: Checked) -> None:
            if checked.session is not None:
                line.send("stopped")
                last = monotonic()
                os.kill(os.getpid(), signal.SIGSTOP)
                while (now := monotonic()) - last < STOPPED:  # another thread may get the signal, and this one run on for a moment
                    last = now
            super()._trust(digest, began, checked)

    with patch.dict(VARIANTS, {worker.variant: Stopping}):
        door = worker.open()
    try:
        door(Call(token=new_token()))  # connects
        line.send([is_accepted(door(Call(token=token))) for _ in range(2)])
    finally:
        door.close()
