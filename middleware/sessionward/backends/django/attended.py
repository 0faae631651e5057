"""Work on Django's connections outside of its request signals."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connections

from sessionward.backends.django.silence import waits_at_most
from sessionward.errors import BackendUnavailable, OutcomeUnknown, UsageError


@contextmanager
def attended(using: str, timeout: float, *, alone: bool = False) -> Generator[list[str]]:
    """Work outside Django's request signals: connections are closed as Django does it, failures become errors of ours.

    ``timeout``: seconds that it waits at most for the database of ``using``, and that of the users.
    ``alone``: the application answers no request in this thread. Otherwise a connection that is open now may have an open
    cursor of the application's, and is left to Django.
    """
    phase: list[str] = []
    kept = [] if alone else [connection for connection in connections.all(initialized_only=True) if connection.connection is not None]
    try:
        if alone:
            _close_old(kept)
        with waits_at_most(using, timeout):
            yield phase
    except Error as failure:
        kind = OutcomeUnknown if phase else BackendUnavailable
        raise kind(f"Django's database failed with {type(failure).__name__}") from None
    finally:
        _close_old(kept)


def _close_old(kept: Collection[Any]) -> None:
    """As Django's ``close_old_connections()``, except for those inside a transaction of the application's."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and connection not in kept:
            connection.close_if_unusable_or_obsolete()


def refuse_inside(using: str) -> None:
    """Rolled back by a transaction of the application's, revoked sessions would live again. (A TestCase rolls back everything.)"""
    connection = connections[using]
    if connection.in_atomic_block and not connection.atomic_blocks[-1]._from_testcase:
        raise UsageError("sessions cannot be revoked inside transaction.atomic(); call it by transaction.on_commit(...)")
