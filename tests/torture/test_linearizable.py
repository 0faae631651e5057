"""P10: login, check, logout, revoke_others, revoke_one and revoke_all of one user happen in some one order that explains every answer."""

from __future__ import annotations

from dataclasses import replace
from time import sleep
from typing import Final

import pytest

from sessionward import Session, SessionRevoked
from sessionward.backends import RevokedCount
from sessionward.backends.memory import MemoryBackend
from tests.torture.conftest import Databases
from tests.torture.crew import Crew
from tests.torture.history import GONE, STALE, Event, OnRedis, in_two_moments, is_linearizable
from tests.torture.linearize import in_processes, in_threads
from tests.torture.places import async_places, sync_place

HISTORIES: Final = 60
IN_MEMORY: Final = 3000
"""Histories in memory: they take no time, and what goes wrong there goes wrong for a microsecond."""
SQL: Final = ["sqlite", "postgresql", "mariadb"]
DATABASES: Final = [*SQL, "redis", "redis cluster"]
CANARIES: Final = {
    "CheckThenUpdate": 0.1,
    "FindThenDelete": 0.1,
    "LocksWithoutLooking": 0.1,
    "LocksOnlyItself": 0.1,
    "RevokesOneUnseen": 0.05,
}
REDIS_CANARIES: Final = {"CheckThenDelete": 0.1, "DeletesInTransaction": 0.1}
"""The share of a naive variant's histories that must be caught at least. It is 0.2 to 0.8: one that is busy overlaps less."""


def test_p10_histories_in_memory_are_linearizable() -> None:
    verdict = in_threads(MemoryBackend(), IN_MEMORY)
    assert verdict.unexplained == 0, verdict.example
    assert verdict.refused


@pytest.mark.parametrize("database", DATABASES)
def test_p10_histories_on_a_database_are_linearizable_sync_and_async(databases: Databases, crew: Crew, database: str) -> None:
    for place in [sync_place(databases, database), *async_places(databases, database)]:
        verdict = in_processes(crew, place, HISTORIES)
        assert verdict.unexplained == 0, f"{place.spoken}\n{verdict.example}"
        assert verdict.overlapping
        assert verdict.refused


CASES: Final = [
    *((database, variant, share) for database in SQL for variant, share in CANARIES.items()),
    *(("redis", variant, share) for variant, share in REDIS_CANARIES.items()),
]


@pytest.mark.parametrize(("database", "variant", "share"), CASES, ids=[f"{database}-{variant}" for database, variant, _ in CASES])
def test_canary_histories_of_a_naive_variant_are_caught(
    databases: Databases, crew: Crew, database: str, variant: str, share: float
) -> None:
    verdict = in_processes(crew, sync_place(databases, database).of(variant), HISTORIES // 2)
    assert verdict.unexplained >= HISTORIES // 2 * share, verdict


class _ForgetfulMemory(MemoryBackend):
    """Looks, thinks, and then acts on what it saw."""

    def revoke_others(self, session: Session, /) -> RevokedCount:
        if not any(one.id == session.id for one in self.list(session.user_id)):
            raise SessionRevoked
        others = [one for one in self.list(session.user_id) if one.id != session.id]
        sleep(0.0001)
        for one in others:
            self.revoke(one.user_id, one.id)
        return RevokedCount(len(others), self.begin_login(session.user_id) + 1)


def test_canary_histories_of_a_naive_memory_are_caught() -> None:
    assert in_threads(_ForgetfulMemory(), HISTORIES).unexplained > HISTORIES / 2


OWNER: Final = {"one": "ann", "two": "ann", "new": "ann"}
BOTH: Final = frozenset({"one", "two"})


def _history(*parts: list[Event]) -> bool:
    return is_linearizable(parts, OWNER, BOTH)


def _event(kind: str, name: str, answer: object, start: int, end: int, **more: object) -> Event:
    return Event(kind, name, "ann", answer, start=start, end=end, **more)  # type: ignore[arg-type]


def test_the_search_finds_the_order_in_which_overlapping_answers_make_sense() -> None:
    assert _history([_event("others", "one", (1, 1), 0, 9)], [_event("others", "two", GONE, 1, 8)])
    assert _history([_event("others", "one", (1, 1), 0, 9)], [_event("find", "two", 0, 1, 8)], [_event("find", "two", None, 2, 7)])


def test_the_search_refuses_two_winners_a_wrong_count_and_an_answer_from_before() -> None:
    assert not _history([_event("others", "one", (1, 1), 0, 9)], [_event("others", "two", (1, 1), 1, 8)])
    assert not _history([_event("others", "one", (2, 1), 0, 9)])
    assert not _history([_event("others", "one", (1, 1), 0, 1)], [_event("find", "two", 0, 2, 3)])


def test_the_search_refuses_two_that_have_revoked_one_another_and_a_revocation_of_one_who_was_gone() -> None:
    first, second = _event("one", "one", True, 0, 9, other="two"), _event("one", "two", True, 1, 8, other="one")
    assert not _history([first], [second])
    assert _history([first], [_event("one", "two", GONE, 1, 8, other="one")])
    assert not _history([_event("one", "one", True, 0, 1, other="two")], [_event("find", "two", 0, 2, 3)])
    assert not _history([_event("one", "one", False, 0, 1, other="two")])
    assert _history([_event("revoke", "two", True, 0, 1)], [_event("one", "one", False, 2, 3, other="two")])


def test_the_search_refuses_a_late_login_that_was_let_in_and_a_fresh_one_that_was_refused() -> None:
    ended = [_event("others", "one", (1, 1), 0, 1)]
    assert not _history(ended, [_event("login", "new", 1, 2, 3, ticket=0)])
    assert _history(ended, [_event("login", "new", STALE, 2, 3, ticket=0)])
    assert not _history(ended, [_event("login", "new", STALE, 2, 3)])
    assert not _history(ended, [_event("login", "new", STALE, 2, 3, ticket=1)])
    assert not _history(ended, [_event("login", "new", 1, 2, 3, replaces="two")])


def test_the_model_of_redis_lets_only_what_was_overtaken_be_refused() -> None:
    def explained(*parts: list[Event]) -> bool:
        return is_linearizable(parts, OWNER, BOTH, OnRedis(parts))

    ended = [_event("others", "one", (1, 1), 2, 5)]
    assert explained(ended, [_event("login", "new", STALE, 1, 3)])
    assert not explained(ended, [_event("login", "new", STALE, 6, 7)])
    assert not explained(ended, [_event("login", "new", STALE, 0, 1)])
    assert not explained(ended, [_event("login", "new", STALE, 6, 7, ticket=1)])
    assert not explained(ended, [_event("login", "new", STALE, 1, 3, replaces="one")])


def test_a_sign_in_in_two_moments_ends_what_it_replaces_after_it_has_begun_and_before_it_is_answered() -> None:
    owner = OWNER | {"bob": "bob"}

    def explained(*parts: list[Event]) -> bool:
        in_two_moments(parts, owner)
        return is_linearizable(parts, owner, BOTH | {"bob"}, OnRedis(parts))

    def login() -> list[Event]:
        return [_event("login", "new", 0, 0, 9, replaces="bob")]

    def found(name: str, answer: object, start: int) -> Event:
        return Event("find", name, owner[name], answer, start=start, end=start + 1)  # type: ignore[arg-type]

    assert explained(login(), [found("new", 0, 1), found("bob", 0, 3), found("bob", None, 5)])
    assert not explained(login(), [found("bob", None, 1), found("new", None, 3)])
    assert not explained(login(), [found("bob", 0, 10)])
    assert explained([replace(one, answer=STALE, old=True) for one in login()], [found("bob", 0, 10)], [_event("all", "", (2, 1), 0, 1)])
