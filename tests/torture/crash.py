"""Children that are killed in the middle of a question."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final

from sessionward import Session
from tests.torture.crew import context
from tests.torture.failpoint import Counted, die, watched
from tests.torture.places import Caller, Place

PATIENCE: Final = 5.0
"""Seconds within which whoever comes after a crash must have the lock."""


def died(child: Callable[..., None], *args: Any) -> bool:
    """Run a child; whether it was killed. It ends well if its time never came."""
    process = context().Process(target=child, args=args)
    process.start()
    process.join(30)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{child.__name__}{args} did not end")
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def ask_and_die(place: Place, verb: str, own: Session, token: str, at: int, moment: str) -> None:
    """Die before or after the n-th statement of a question."""
    caller = place.open(timeout=PATIENCE)
    caller.list("nobody")  # connects
    deadly = Counted(at, die)
    with watched(before=deadly) if moment == "before" else watched(after=deadly):
        asked(caller, verb, own, token)
    os._exit(0)


def asked(caller: Caller, verb: str, own: Session, token: str) -> None:
    """Ask a question of which all or nothing happens."""
    if verb == "revoke_others":
        caller.revoke_others(own)
    elif verb == "revoke_all":
        caller.revoke_all(own.user_id)
    else:
        caller.login(own.user_id, token, generation=None, age=lambda: 0.0, replaces=own)


def revoke_each_and_die(place: Place, others: Sequence[Session]) -> None:
    """What revokes sessions one by one, and dies half-way."""
    caller = place.open(timeout=PATIENCE)
    for number, one in enumerate(others):
        if number == len(others) // 2:
            die()
        caller.revoke(one)
