"""What PostgreSQL is sent in one message: few round trips, and each part still waits for the lock before it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Final, TypeVar
from unittest.mock import patch

from django.db import connection, connections, transaction

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.raw_sql import CLOCKS, Answer, Statement, ask_in_order, seconds_now
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import UNDER_WAY, User, add_lock, begin_revocation, date_revocation, lock, user_digest
from tests.backends.django.isolation import at_level, levels
from tests.backends.django.world import backend, bare, meanwhile_in_another_thread, person, queries, session, sign_in, whom

T = TypeVar("T")

BEGIN: Final = "sessionward.backends.django.index.begin_revocation"
PATIENCE: Final = 10.0


@contextmanager
def user_locked(user: str) -> Iterator[None]:
    """A transaction that has a user's lock and does not end."""
    with transaction.atomic():
        assert lock("default", user)
        yield


def while_it_waits(user: str, ask: Callable[[], T], meanwhile: Callable[[], object]) -> T:
    """What a question answers that waits for a user's lock, while ``meanwhile`` happens."""

    def asked() -> T:
        try:
            return ask()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with meanwhile_in_another_thread(lambda: user_locked(user)):
            answer: Future[T] = pool.submit(asked)
            wait_until_one_waits()
            meanwhile()
        return answer.result(PATIENCE)


def wait_until_one_waits() -> None:
    ends = monotonic() + PATIENCE
    while monotonic() < ends:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            if cursor.fetchall():
                return
        sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def ends_a_login_that_came_meanwhile() -> bool:
    """Whether a caller who waits for the lock also ends a session that is made while it waits."""
    ann = person("ann")
    own = sign_in(ann)
    add_lock("default", ann)
    mark_complete(store_of())
    known, ask, late = session(own), backend(timeout=PATIENCE), list[str]()
    count = while_it_waits(ann, lambda: ask.revoke_others(known), lambda: late.append(sign_in(ann, through=bare)))
    assert whom(own) == ann
    assert (whom(late[0]) == "nobody") == (count == 1)
    return count == 1


def case_the_index_is_read_once_the_lock_is_held() -> None:
    assert ends_a_login_that_came_meanwhile()


def case_reading_it_in_the_statement_that_locks_would_be_too_early() -> None:
    """The canary of the claim above: a statement reads what was committed before it began, and that was before it waited."""

    def naive(using: str, user_id: str, timeout: float, then: Sequence[Statement]) -> tuple[bool, Sequence[Answer]]:
        mark = f"UPDATE sessionward_django_users SET revoked_at = {UNDER_WAY} WHERE \"user\" = '{user_digest(user_id)}' RETURNING 1"
        keys = 'SELECT array_agg(session_key) FROM sessionward_django_index WHERE "user" = %s'
        with connections[using].cursor() as cursor:
            cursor.execute(f"WITH marked AS ({mark}) SELECT ({keys}) FROM marked", [user_digest(user_id)])
            (found,) = cursor.fetchone()
        locked, (_, complete, *_) = begin_revocation(using, user_id, timeout, then)
        return locked, [Answer([(key,) for key in found], 0), complete]

    with patch(BEGIN, naive):
        assert not ends_a_login_that_came_meanwhile()


def revoked_at(user: str) -> float:
    moment: float = User.objects.get(user=user_digest(user)).revoked_at
    return moment


def is_dated_while_it_waits(user: str) -> bool:
    """Whether the time of a revocation, written by one who waited for the lock, is later than the wait."""
    add_lock("default", user)
    held: list[float] = []
    while_it_waits(user, lambda: date_revocation("default", user), lambda: held.append(seconds_now("default")))
    return held[0] < revoked_at(user) <= seconds_now("default")


def case_the_time_of_a_revocation_is_read_once_the_lock_is_held() -> None:
    """At each isolation level of the project, since another revocation may have been committed meanwhile."""
    assert is_dated_while_it_waits("ann")
    for level in levels():
        with at_level(level):
            assert is_dated_while_it_waits(f"ann at {level}")


def case_a_clock_that_is_read_before_would_be_too_early() -> None:
    """The canary of the claim above: ``now()`` is the time when the transaction began, which was before it waited."""
    with patch.dict(CLOCKS, {"postgresql": "EXTRACT(EPOCH FROM now())"}):
        held: list[float] = []
        add_lock("default", "ann")
        while_it_waits("ann", lambda: date_revocation("default", "ann"), lambda: held.append(clock_of_the_machine()))
        assert revoked_at("ann") < held[0]


def clock_of_the_machine() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())")
        return float(cursor.fetchone()[0])


def case_a_revocation_is_marked_until_its_time_is_written() -> None:
    ann = person("ann")
    own = sign_in(ann)
    known, ask = session(own), backend()
    with patch("sessionward.backends.django.tables.date_revocation", side_effect=RuntimeError("the process dies")):
        ask.revoke_others(known)
    assert revoked_at(ann) == UNDER_WAY
    ask.revoke_others(known)
    assert 0 <= seconds_now("default") - revoked_at(ann) < PATIENCE


def case_once_the_index_is_complete_six_messages_do() -> None:
    """Beginning, lock and index and sessions, user, renaming, commit, time. Django tells of the beginning and the commit, too."""
    ann = person("ann")
    own, *others = (sign_in(ann) for _ in range(11))
    mark_complete(store_of())
    add_lock("default", ann)
    known, ask = session(own), backend()
    sent = queries(lambda: ask.revoke_others(known))
    assert len(sent) == 6, sent
    assert {whom(key) for key in others} == {"nobody"}


def case_a_server_that_binds_the_values_takes_the_same() -> None:
    """The driver then sends values beside a statement, and the server accepts only one statement with them."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    kept = connections.settings["default"]["OPTIONS"]
    with patch.dict(connection.settings_dict, {"OPTIONS": {**kept, "server_side_binding": True}}):
        connections.close_all()
        known = session(own)
        assert backend().revoke_others(known) == 1
        assert revoked_at(ann) < UNDER_WAY
    connections.close_all()
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_answers_are_in_the_order_of_the_statements() -> None:
    add_lock("default", "ann")
    statements = [
        Statement("SELECT %s::int", [17]),
        Statement('UPDATE {table} SET closed = %s WHERE "user" = %s', [True, user_digest("ann")], {"table": User._meta.db_table}),
        Statement('UPDATE {table} SET closed = %s WHERE "user" = %s', [True, user_digest("bob")], {"table": User._meta.db_table}),
        Statement("SELECT %s WHERE false", ["100 %"]),
    ]
    answers = ask_in_order("default", statements)
    assert [(list(answer.rows), answer.found) for answer in answers] == [([(17,)], 1), ([], 1), ([], 0), ([], 0)]
