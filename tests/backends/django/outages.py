"""When the database does not answer, or not in time, that is what we say; and what was begun has happened wholly or not at all."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from unittest.mock import patch

from django.db import connection

from sessionward import BackendUnavailable, OutcomeUnknown
from sessionward.backends.django.store import TableStore
from tests.backends.django.faults import cut_off, fails_for, gone, read_by_another, row_locked, table_locked
from tests.backends.django.world import (
    backend,
    everything,
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

WAIT = 0.3
"""Seconds; MariaDB rounds it up to one."""


def in_time(ask: Callable[[], object]) -> str:
    began = monotonic()
    said = refused(ask)
    assert monotonic() - began < 4, "it took longer than a deadline"
    return said


def case_a_session_that_is_locked_is_waited_for_until_the_deadline() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours, before = session(own), backend(timeout=WAIT), everything()
    with meanwhile_in_another_thread(lambda: row_locked(other)):
        in_time(lambda: ours.revoke_others(known))
        in_time(lambda: ours.revoke_all(ann))
    assert without_users(everything()) == without_users(before)
    assert ours.revoke_others(known) == 1


def without_users(state: dict[str, object]) -> dict[str, object]:
    return {table: found for table, found in state.items() if table != "sessionward_django_users"}


def case_a_table_that_is_locked_is_waited_for_until_the_deadline() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(timeout=WAIT)
    with meanwhile_in_another_thread(table_locked):
        in_time(lambda: found(own, timeout=WAIT))
        in_time(lambda: ours.revoke_others(known))
    assert [whom(key) for key in (own, other)] == [ann, ann]


def case_a_database_that_is_gone_is_no_unknown_session() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(timeout=WAIT)
    with gone():
        in_time(lambda: found(own))
        in_time(lambda: ours.revoke_others(known))
        in_time(lambda: ours.revoke_all(ann))
        in_time(lambda: ours.purge(0.0))
        answer = visit("/auth/sessions", own, "DELETE")
        assert answer.status == 503
        assert any(name.lower() == "retry-after" for name, _ in answer.headers)
        assert not any(name.lower() == "set-cookie" for name, _ in answer.headers)
    assert [whom(key) for key in (own, other)] == [ann, ann]


def case_what_fails_at_commit_is_unknown_and_can_be_repeated() -> None:
    ann = person("ann")
    own, *others = (sign_in(ann) for _ in range(3))
    known, ours, revoke = session(own), backend(timeout=WAIT), TableStore.revoke
    ours.revoke_all(person("bob"))
    ours._tables.add_lock("default", ann)
    before = everything()

    def revoke_and_be_cut_off(self: TableStore, keys: list[str]) -> None:
        revoke(self, keys)
        if connection.vendor != "sqlite":
            cut_off()

    def ask() -> None:
        with patch.object(TableStore, "revoke", revoke_and_be_cut_off):
            said = refused(lambda: ours.revoke_others(known), OutcomeUnknown)
            assert not any(key in said for key in (own, *others))

    if connection.vendor == "sqlite":
        with meanwhile_in_another_thread(read_by_another):
            ask()
    else:
        ask()
    assert without_users(everything()) == without_users(before)
    assert ours.revoke_others(known) == 2


def case_what_is_cut_off_before_the_commit_has_not_happened() -> None:
    if connection.vendor == "sqlite":
        return  # nobody can cut it off
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours, revoke = session(own), backend(), TableStore.revoke

    def cut_off_first(self: TableStore, keys: list[str]) -> None:
        cut_off()
        revoke(self, keys)

    with patch.object(TableStore, "revoke", cut_off_first):
        try:
            ours.revoke_others(known)
        except BackendUnavailable as error:
            assert type(error) is BackendUnavailable  # noqa: PT017 - not of the kind below it
    assert [whom(key) for key in (own, other)] == [ann, ann]


def case_one_of_several_that_cannot_be_ended_leaves_all_as_they_were() -> None:
    ann = person("ann")
    own, *others = (sign_in(ann) for _ in range(4))
    known, ours, before = session(own), backend(), everything()
    with fails_for(rows().model._meta.db_table, "UPDATE", "OLD.session_key", sorted(others)[1]):
        refused(lambda: ours.revoke_others(known))
    assert without_users(everything()) == without_users(before)
    assert ours.revoke_others(known) == 3
