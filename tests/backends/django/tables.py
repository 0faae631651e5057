"""Our tables: made when they are first needed, by whoever comes first."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import multiprocessing

from django.db import connection, connections, transaction

import sessionward
from sessionward.backends.django import tables as ours
from tests.backends.django.world import OURS, at_once, backend, drop_ours, person, refused, session, sign_in, tables


def present() -> set[str]:
    return {table for table in tables() if table.startswith(OURS)}


ALL = {model._meta.db_table for model in ours.TABLES}


def case_they_are_made_when_they_are_first_needed() -> None:
    drop_ours()
    backend()
    assert present() == set()
    backend().revoke_all("1")
    assert present() == ALL


def case_callers_at_once_make_them_once() -> None:
    for _ in range(3):
        drop_ours()
        assert at_once([lambda: backend().revoke_all("1")] * 6) == [0] * 6
        assert present() == ALL


def case_processes_at_once_make_them_once() -> None:
    drop_ours()
    connections.close_all()
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(4)
    outcomes = context.Queue()

    def work() -> None:
        ready.wait(30)
        try:
            outcomes.put(backend().revoke_all("1"))
        except Exception as error:
            outcomes.put(repr(error))
        finally:
            connections.close_all()

    workers = [context.Process(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    told = [outcomes.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(30)
    assert told == [0] * 4, told
    assert present() == ALL


def case_one_that_is_missing_is_added() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE sessionward_django_state")
    ours._there.clear()
    own = sign_in(person("ann"))
    assert backend().revoke_others(session(own)) == 0
    assert present() == ALL


def case_they_are_not_made_inside_a_transaction() -> None:
    drop_ours()
    with transaction.atomic():
        assert "transaction" in refused(lambda: ours.ensure("default"), sessionward.UsageError)
    assert present() == set()
    ours.ensure("default")
    assert present() == ALL
