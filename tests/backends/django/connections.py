"""What becomes of Django's connections: none is left open, none that somebody needs is closed, all are as they were."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import asyncio
import gc
import os
from time import monotonic, sleep
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished, request_started
from django.db import connection, connections, transaction

import sessionward
from sessionward.backends.django import tables as ours
from tests.backends.django.faults import row_locked
from tests.backends.django.together import PATIENCE
from tests.backends.django.views import VERBS
from tests.backends.django.world import (
    DEADLINE,
    at_once,
    backend,
    delete,
    environ,
    found,
    meanwhile_in_another_thread,
    person,
    refused,
    rows,
    session,
    sign_in,
    visit,
    whom,
)
from tests.contract.doors import asgi_scope, ask_asgi

KEPT = settings.DATABASES["default"]["CONN_MAX_AGE"]
THREADS = 10
"""As many as the ASGI door has for a sync backend."""


def open_connections() -> int:
    """Those to the database of the site, beside the one of this thread."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        targets = [
            os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")
        ]
        return targets.count(str(name)) - (connection.connection is not None)
    asked = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(asked, [name])
        return int(cursor.fetchone()[0])


def left(before: int, most: int) -> bool:
    """Whether no more than so many more are open than before. A server needs a moment to notice that its client has closed one."""
    ends = monotonic() + PATIENCE
    while open_connections() - before > most:
        if monotonic() > ends:
            return False
        sleep(0.01)
    return True


def case_none_stays_open_after_a_question_outside_of_a_request() -> None:
    ann = person("ann")
    own = sign_in(ann)
    known, ours = session(own), backend()
    for ask in (lambda: found(own), lambda: ours.revoke_others(known), lambda: ours.revoke_all("0"), lambda: ours.purge(9e9)):
        ask()
        assert (connection.connection is None) == (KEPT == 0)


def case_none_stays_open_after_a_question_that_failed() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(timeout=0.3)
    with meanwhile_in_another_thread(lambda: row_locked(other)):
        refused(lambda: ours.revoke_others(known))
        assert (connection.connection is None) == (KEPT == 0)


def case_threads_of_the_asgi_door_leave_none_behind() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(3)]

    async def main() -> list[int]:
        door = sessionward.ASGIMiddleware(get_asgi_application(), backend(), backend_timeout=DEADLINE)
        scopes = [asgi_scope("DELETE", "/auth/sessions", {"Cookie": f"sessionid={key}"}) for key in [*keys, "x" * 32] * 6]
        statuses = [(await ask_asgi(door, scope)).status for scope in scopes[:4]]
        answers = await asyncio.gather(*(ask_asgi(door, scope) for scope in scopes))
        return [*statuses, *(answer.status for answer in answers)]

    before = open_connections()
    statuses = asyncio.run(main())
    assert set(statuses) == {200, 401}
    assert left(before, THREADS if KEPT else 0)
    assert sum(whom(key) == ann for key in keys) == 1


def case_a_view_keeps_its_own_while_it_calls_a_verb() -> None:
    people = [person(f"ann{number}") for number in range(5)]
    count = get_user_model().objects.count()
    for verb in VERBS:
        answer = visit(f"/between/{verb}", sign_in(people[0]))
        assert (answer.status, answer.body) == (200, b"1 %d" % count), verb
        assert (connection.connection is None) == (KEPT == 0), verb


def case_a_view_whose_own_is_dead_gets_another_one() -> None:
    """Also where nobody has told Django that the request has ended."""
    own = sign_in(person("ann"))
    known = session(own)
    request_started.send(None, environ=environ("GET", "/", own))
    assert found(own) == known
    connection.ensure_connection()
    dead = connection.connection
    with patch.object(connections["default"], "is_usable", lambda: False):
        connection.errors_occurred = True
        assert found(own) == known
    assert connection.connection is not dead
    request_finished.send(None)


def case_one_inside_somebodys_transaction_is_not_closed() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    backend()
    with transaction.atomic():
        rows().filter(session_key=other).delete()
        inside = connection.connection
        assert found(own) is not None
        assert connection.connection is inside
        assert connection.in_atomic_block
        transaction.set_rollback(True)
    assert whom(other) == ann


def case_an_ending_inside_somebodys_transaction_is_refused() -> None:
    """Rolled back with it, what was revoked would live again; and nobody could say that it had not."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend()
    with transaction.atomic():
        assert "on_commit" in refused(lambda: ours.revoke_others(known), sessionward.UsageError)
        assert "on_commit" in refused(lambda: ours.revoke_all(ann), sessionward.UsageError)
        transaction.on_commit(lambda: counted.append(ours.revoke_all(ann)))
        counted: list[int] = []
    assert counted == [2]
    assert [whom(key) for key in (own, other)] == ["nobody"] * 2


def patience() -> object:
    asked = {
        "sqlite": "PRAGMA busy_timeout",
        "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.lock_wait_timeout",
        "postgresql": "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return cursor.fetchone()


def case_a_connection_that_is_kept_is_as_patient_as_before() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(timeout=0.3)
    kept = {"CONN_MAX_AGE": 600}
    with patch.dict(connection.settings_dict, kept):
        connection.close()
        before, same = patience(), connection.connection
        with meanwhile_in_another_thread(lambda: row_locked(other)):
            refused(lambda: ours.revoke_others(known))
        assert ours.revoke_others(known) == 1
        assert found(own, timeout=0.3) is not None
        assert patience() == before
        assert connection.connection is same
        with transaction.atomic():
            assert found(own, timeout=0.3) is not None
            assert patience() == before
        connection.close()


def case_ordinary_requests_leave_none_behind() -> None:
    own = sign_in(person("ann"))
    at_once([lambda: [whom(own), delete(own)]] * 4)
    connection.close()
    gc.collect()  # what a thread has kept open closes when Django's object is collected, which is a circle
    ends = monotonic() + 10
    while at_once([open_connections]) != [0]:  # the server takes a moment to see that they are closed
        assert monotonic() < ends
        gc.collect()
    assert ours._there == {"default"}
