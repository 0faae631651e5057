"""Our four tables in Django's database, over Django's connections. Import this module only after Django is set up."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import DatabaseError, connections, models
from django.utils import timezone

from sessionward.backends.django.raw_sql import (
    CLOCKS,
    SET,
    Answer,
    Statement,
    ask,
    ask_in_order,
    change,
    in_sets,
    seconds_now,
    sends_together,
)
from sessionward.backends.django.timeouts import READ_COMMITTED, limits, read_committed
from sessionward.errors import BackendUnavailable, UsageError


class Ended(models.Model):
    """A session that was revoked: the SHA-256 of its key, as 64 hexadecimal digits. Only ``purge`` deletes it."""

    digest = models.CharField(max_length=64, primary_key=True)
    ended_at = models.DateTimeField(db_index=True)

    class Meta:
        app_label = "sessionward"
        db_table = "sessionward_django_ended"


class Entry(models.Model):
    """An entry of the index: the user of a session when we last saw it. Keys are in clear, as in ``django_session`` itself."""

    session_key = models.CharField(max_length=40, primary_key=True)
    user = models.CharField(max_length=64, db_index=True)

    class Meta:
        app_label = "sessionward"
        db_table = "sessionward_django_index"


class User(models.Model):
    """A row to lock for each user. ``closed``: we refuse this user's sessions that are not in the index.

    ``revoked_at``: when this user's sessions were last revoked, in seconds since 1970 by the database's clock.
    """

    user = models.CharField(max_length=64, primary_key=True)
    closed = models.BooleanField(default=False)  # pyright: ignore[reportArgumentType]
    revoked_at = models.FloatField(null=True)

    class Meta:
        app_label = "sessionward"
        db_table = "sessionward_django_users"


class State(models.Model):
    """How far ``sessionward index`` has come."""

    name = models.CharField(max_length=32, primary_key=True)
    value = models.CharField(max_length=255)

    class Meta:
        app_label = "sessionward"
        db_table = "sessionward_django_state"


TABLES: Final[tuple[type[models.Model], ...]] = (Ended, Entry, User, State)

_there: Final[set[str]] = set()
"""Databases in which this process has seen the tables."""


EVERYBODY: Final = "\0everybody"
"""Replaces the id of a user where all users are meant. No id has a control character.

Its row in :class:`User` says when the sessions of all users were last revoked. ``closed`` there, and a row of its digest in
:class:`Ended`: we refuse all sessions that are not in the index.
"""


def user_digest(user_id: str) -> str:
    """Returns the SHA-256 of a user's id in hexadecimal digits, so that no collation takes two users for one."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def ensure(using: str) -> None:
    """Creates the tables that are missing. It is safe to repeat, also in several workers at once.

    Raises :class:`BackendUnavailable`, with the SQL, if the database user may not create them, and :class:`UsageError` if they
    are missing inside a transaction.
    """
    if using in _there:
        return
    missing = _missing(using)
    if missing and connections[using].in_atomic_block:  # a rollback would drop them, and we would not notice
        raise UsageError(
            "the tables of sessionward are missing, and cannot be created inside a transaction; call the backend once outside of one"
        )
    for model in missing:
        _create(using, model)
    _there.add(using)


def _create(using: str, model: type[models.Model]) -> None:
    for last in (False, False, True):
        try:
            with connections[using].cursor() as cursor:
                for statement in _sql(using, model):
                    cursor.execute(statement)
            return
        except DatabaseError as error:
            missing = _missing(using)
            if model not in missing:  # another worker was faster
                return
            if last:
                needed = " ".join(f"{statement.rstrip('; ')};" for wanted in missing for statement in _sql(using, wanted))
                why = type(error).__name__
                raise BackendUnavailable(f"the tables of sessionward could not be created ({why}); create them: {needed}") from None


def lock(using: str, user_id: str) -> bool:
    """Locks a user until the transaction ends: other revocations of this user's sessions wait. Returns False if there is no row yet.

    SQLite has one lock for the whole database, and this write takes it before anything is read.
    """
    return change(using, "UPDATE {table} SET {user} = {user} WHERE {user} = %s", [user_digest(user_id)], **USERS) > 0


def close(using: str, user_id: str) -> None:
    """Refuses, from now on, the sessions of this user that are not in the index. The transaction must have the user's lock."""
    change(using, "UPDATE {table} SET {closed} = %s WHERE {user} = %s", [True, user_digest(user_id)], **USERS)


UNDER_WAY: Final = 1e12
"""The time, in the future, of a revocation that is not committed yet, or whose process died before it could write the time."""


def begin_revocation(using: str, user_id: str, timeout: float, then: Sequence[Statement]) -> tuple[bool, Sequence[Answer]]:
    """Locks a user as :func:`lock` does, and marks a revocation whose time is known only after its commit.

    It does so at the beginning of a transaction, and sets its timeout. Returns whether there was a row to lock, and the answers
    to ``then``, which the database executes once it has the lock.
    """
    before = limits(using, timeout)
    mark = Statement("UPDATE {table} SET {revoked_at} = %s WHERE {user} = %s", [UNDER_WAY, user_digest(user_id)], USERS)
    marked, *answers = ask_in_order(using, [*before, mark, *then])[len(before) :]
    return marked.found > 0, answers


def date_revocation(using: str, user_id: str) -> None:
    """Writes the time of this user's last revocation, after its commit. No request that begins later finds what it revoked.

    We read the clock once we have the lock, since another revocation may be committed while we wait for it.
    """
    if sends_together(using) and connections[using].get_autocommit():  # then one message is one transaction
        user = [user_digest(user_id)]
        ask_in_order(
            using,
            [
                READ_COMMITTED,
                # We need not wait for the disk: without this time, what is on the disk already counts as a revocation of the moment.
                Statement("SET LOCAL synchronous_commit = off"),
                Statement("SELECT 1 FROM {table} WHERE {user} = %s FOR UPDATE", user, USERS),
                Statement(f"UPDATE {{table}} SET {{revoked_at}} = {CLOCKS['postgresql']} WHERE {{user}} = %s", user, USERS),
            ],
        )
        return
    with read_committed(using):
        lock(using, user_id)
        _set_revoked_at(using, user_id, seconds_now(using))


def _set_revoked_at(using: str, user_id: str, moment: float) -> None:
    change(using, "UPDATE {table} SET {revoked_at} = %s WHERE {user} = %s", [moment, user_digest(user_id)], **USERS)


def is_revoked_within(using: str, user_id: str, seconds: float) -> bool:
    """Returns whether sessions of this user were revoked in the last ``seconds``. The transaction must have the lock.

    A time in the future means that the clock was set back, or that a process died before it could write the time. It counts
    as a revocation of this moment, and we write the present time, so that only the caller who finds it first is refused.
    """
    found = ask(using, "SELECT {revoked_at} FROM {table} WHERE {user} = %s", [user_digest(user_id)], **USERS)
    moment = found[0][0] if found else None
    if moment is None:
        return False
    now = seconds_now(using)
    if moment > now:
        _set_revoked_at(using, user_id, now)
    return bool(now - moment <= seconds)


USERS: Final = {"table": User._meta.db_table, "user": "user", "closed": "closed", "revoked_at": "revoked_at"}


def add_lock(using: str, user_id: str) -> None:
    """Adds the row to lock, in a separate transaction: with MariaDB's shared lock on it, two transactions would wait for each other."""
    with read_committed(using):
        User.objects.using(using).bulk_create([User(user=user_digest(user_id))], ignore_conflicts=True)


def is_closed(using: str, user_id: str) -> bool:
    """Returns whether we refuse the sessions of this user that are not in the index."""
    users = {user_digest(user_id), user_digest(EVERYBODY)}
    return bool(User.objects.using(using).filter(user__in=users, closed=True).exists())


def record(using: str, digests: Iterable[bytes]) -> None:
    """Records sessions as revoked."""
    now = timezone.now()
    rows = [Ended(digest=digest.hex(), ended_at=now) for digest in digests]
    Ended.objects.using(using).bulk_create(rows, ignore_conflicts=True, batch_size=SET)


def recorded_among(using: str, digests: Iterable[bytes]) -> set[bytes]:
    """Returns those of these sessions that are recorded as revoked."""
    rows = Ended.objects.using(using)
    found = (rows.filter(digest__in=some).values_list("digest", flat=True) for some in in_sets(digest.hex() for digest in digests))
    return {bytes.fromhex(digest) for digests in found for digest in digests}


ALL: Final = bytes.fromhex(user_digest(EVERYBODY))
"""In the record of revoked sessions: all sessions that are not in the index. No key has this digest."""
HAS_ALL: Final = Statement("SELECT 1 FROM {table} WHERE {digest} = %s", [ALL.hex()], {"table": Ended._meta.db_table, "digest": "digest"})


def forget_revoked(using: str, limit: datetime) -> int:
    """Deletes what was recorded as revoked before ``limit``. Returns how many sessions."""
    ended = Ended.objects.using(using).filter(ended_at__lt=limit)
    count = int(ended.exclude(digest=ALL.hex()).delete()[0])
    with read_committed(using):
        lock(using, EVERYBODY)
        if ended.filter(digest=ALL.hex()).delete()[0]:  # all sessions of that time have expired
            change(using, "UPDATE {table} SET {closed} = %s WHERE {user} = %s", [False, user_digest(EVERYBODY)], **USERS)
    return count


def are_missing(using: str) -> bool:
    """Returns whether one of our tables is missing. Then no session was ever revoked, since a revocation creates them first."""
    return using not in _there and bool(_missing(using))


def _missing(using: str) -> list[type[models.Model]]:
    present = set(connections[using].introspection.table_names())
    return [model for model in TABLES if model._meta.db_table not in present]


def _sql(using: str, model: type[models.Model]) -> list[str]:
    """Returns the statements that Django would execute. We run them without its editor, whose exit checks a whole SQLite database."""
    editor: Any = connections[using].schema_editor(collect_sql=True)
    editor.deferred_sql = []
    editor.create_model(model)
    return [*editor.collected_sql, *(str(statement) for statement in editor.deferred_sql)]
