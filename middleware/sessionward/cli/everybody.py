"""The commands ``sessionward restored`` and ``sessionward revoke --everybody``: all sessions of all users end at once."""

from __future__ import annotations

from typing import Final

from sessionward.cli.database import refuse, told_if_stopped
from sessionward.cli.named import EndsAll, over_any
from sessionward.cli.where import told_where
from sessionward.deadline import sleep_until
from sessionward.errors import SessionwardError
from sessionward.lease import WAITED
from sessionward.process import clock
from sessionward.settings import MAX_LEASE

LONGEST: Final = MAX_LEASE
"""Seconds that any worker may trust what it has read. The lease in what was restored may be shorter than that of the workers."""


def restored(database: str, *, nothing_lost: bool = False) -> int:
    """Run it after a backup was restored, or a replica that lagged was promoted, before clients are let in again.

    Sessions that were revoked after the backup was made are live in it. The command revokes all sessions of all users. It refuses
    sign-ins that are under way, and returns when no worker accepts a session of before any more: after 5.5 s where leases are kept,
    whatever lease the backup says. Workers that refuse a PostgreSQL server because commits are missing use it from then on.
    """
    with told_if_stopped():
        return told_where(database, lambda: over_any(database, _nothing_lost if nothing_lost else _restored))


def revoke_everybody(database: str) -> int:
    """Revokes all sessions of all users, as :func:`restored` does."""
    with told_if_stopped():
        return told_where(database, lambda: over_any(database, _everybody))


def _restored(backend: EndsAll) -> int:
    backend.use_any_server()
    backend.revoke_everybody()
    _wait(LONGEST if backend.keeps_leases else 0.0)
    print("Revoked all sessions of all users, also those that were live again after the restore. All users must sign in again.")
    try:
        accepted = backend.accept_server()  # only now, when no session of before is live
    except SessionwardError as error:
        return refuse(f"all sessions are revoked, but the server was not accepted, so run the command once more: {error}", code=1)
    if accepted:
        print(f"Accepted the server as it is: {accepted}.")
    return 0


def _nothing_lost(backend: EndsAll) -> int:
    backend.use_any_server()
    accepted = backend.accept_server()
    if not accepted:
        return refuse("--nothing-lost: there is nothing to accept: the server is not one that is refused for lost commits", code=2)
    print(f"Accepted the server as it is: {accepted}. No session was revoked.")
    return 0


def _everybody(backend: EndsAll) -> int:
    backend.revoke_everybody()
    _wait(backend.lease_wait())
    print("Revoked all sessions of all users. All users must sign in again.")
    return 0


def _wait(lease: float) -> None:
    """Waits, from a commit on, until no worker trusts what it read before."""
    sleep_until(clock() + WAITED * lease)
