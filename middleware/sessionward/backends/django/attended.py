"""Runs our queries on Django's connections, outside of Django's request signals."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connections

from sessionward.backends.django.requests import is_answered_here
from sessionward.backends.django.silence import waits_at_most
from sessionward.errors import BackendUnavailable, OutcomeUnknown, UsageError


@contextmanager
def attended(using: str, timeout: float, *, alone: bool = False) -> Generator[list[str]]:
    """Runs code outside of Django's request signals: closes old connections as Django does, and raises our own errors.

    ``timeout``: how many seconds the code waits for the databases of the sessions (``using``) and of the users.
    ``alone``: we use the connections of this thread alone, unless Django answers a request here, whose view calls us. Otherwise
    the application may have an open cursor on a connection that is open now, so we leave that connection to Django.
    """
    phase: list[str] = []
    is_view = alone and is_answered_here()
    kept = [connection for connection in connections.all(initialized_only=True) if connection.connection is not None]
    try:
        if is_view:
            _close_dead(kept)
        elif alone:
            kept = []
            _close_old(kept)
        with waits_at_most(using, timeout):
            yield phase
    except Error as failure:
        kind = OutcomeUnknown if phase else BackendUnavailable
        raise kind(f"Django's database failed with {type(failure).__name__}") from None
    finally:
        _close_old(kept)


def _close_old(kept: Collection[Any]) -> None:
    """Does what Django's ``close_old_connections()`` does, except for ``kept`` and for connections inside a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and connection not in kept:
            connection.close_if_unusable_or_obsolete()


def _close_dead(kept: Collection[Any]) -> None:
    """Closes the connections that the server has closed. Django does so only when it begins a request, or ends one."""
    for connection in kept:
        if connection.errors_occurred and not connection.in_atomic_block and not connection.is_usable():
            connection.close()


def refuse_inside(using: str) -> None:
    """Raises ``UsageError`` inside a transaction of the application: its rollback would make revoked sessions live again.

    The transaction of a TestCase is allowed: its rollback removes the sessions as well.
    """
    connection = connections[using]
    if connection.in_atomic_block and not connection.atomic_blocks[-1]._from_testcase:
        raise UsageError(
            "sessions cannot be revoked inside transaction.atomic(), which may roll back; revoke them in transaction.on_commit(...)"
        )
