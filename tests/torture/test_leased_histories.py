"""P10 among workers with leases: login, check, logout, revoke_others and revoke_all happen in some one order.

With FULL_SIZE=1 in the environment: 2 000 histories with a lease of 0.05 s on each database, and 50 with one of 1 s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.torture.conftest import Databases
from tests.torture.crew import Crew
from tests.torture.history import GONE, STALE, AmongLeases, Event, is_linearizable, with_tickets
from tests.torture.leased_histories import through_leases
from tests.torture.leases import with_lease
from tests.torture.places import async_places, sync_place

FULL: Final = os.environ.get("FULL_SIZE") == "1"
DATABASES: Final = ["sqlite", "postgresql", "redis", "redis cluster"]
WITH_CANARIES: Final = ["sqlite", "postgresql", "redis"]
HISTORIES: Final = {0.05: 1_000 if FULL else 40, 1.0: 50 if FULL else 12}
"""By the lease, sync and async each; the longer one sync only."""
CANARIES: Final = ["TimeToLive", "WaitsForNoChange"]
"""Of those that let a check say too early that a session has ended, one in 200 is caught here. test_leases.py catches them at once."""


@pytest.fixture(autouse=True)
def _without_a_lease_before_and_after(databases: Databases, request: pytest.FixtureRequest) -> Iterator[None]:
    if "database" in request.fixturenames:
        place = sync_place(databases, request.getfixturevalue("database"))
        with_lease(place, 0.0)
        yield
        with_lease(place, 0.0)
    else:
        yield


@pytest.mark.parametrize("lease", HISTORIES, ids=lambda lease: f"lease {lease:g}")
@pytest.mark.parametrize("database", DATABASES)
def test_p10_histories_through_leases_are_linearizable(databases: Databases, crew: Crew, database: str, lease: float) -> None:
    places = [sync_place(databases, database), async_places(databases, database)[0]]
    for place in places if lease < 1 else places[:1]:
        verdict = through_leases(crew, place, HISTORIES[lease], lease)
        print(place.spoken, lease, verdict)
        assert verdict.unexplained == 0, f"{place.spoken}\n{verdict.example}"
        assert verdict.overlapping
        assert verdict.refused


@pytest.mark.parametrize("variant", CANARIES)
@pytest.mark.parametrize("database", WITH_CANARIES)
def test_canary_histories_through_naive_leases_are_caught(databases: Databases, crew: Crew, database: str, variant: str) -> None:
    verdict = through_leases(crew, sync_place(databases, database), 60, 0.2, variant)
    print(database, variant, verdict.histories, verdict.unexplained)
    assert verdict.unexplained


OWNER: Final = {"one": "ann", "two": "ann", "new": "ann"}


def _history(*parts: list[Event]) -> bool:
    with_tickets(parts)
    return is_linearizable(parts, OWNER, frozenset({"one", "two"}), AmongLeases(parts))


def _event(kind: str, name: str, answer: object, start: int, end: int, **more: object) -> Event:
    return Event(kind, name, "ann", answer, start=start, end=end, **more)  # type: ignore[arg-type]


def test_the_model_with_leases_refuses_an_answer_from_before_and_a_wrong_count() -> None:
    ended = [_event("others", "one", (1, 1), 0, 1)]
    assert _history(ended, [_event("find", "two", None, 2, 3)])
    assert not _history(ended, [_event("find", "two", 0, 2, 3)])
    assert not _history([_event("others", "one", (2, 1), 0, 1)])
    assert not _history([_event("others", "one", (1, 1), 0, 9)], [_event("find", "two", None, 1, 2), _event("find", "two", 0, 3, 4)])
    assert not _history([_event("others", "one", (1, 1), 0, 9)], [_event("others", "two", GONE, 1, 2), _event("find", "two", 0, 3, 4)])


def test_the_model_with_leases_judges_a_refused_ticket_by_when_it_was_made() -> None:
    def refused(answer: object) -> list[Event]:
        return [_event("begin", "", 7, 2, 3), _event("login", "new", answer, 8, 9, ticket=7)]

    early, between = [_event("others", "one", (1, 1), 0, 1)], [_event("others", "one", (1, 1), 4, 7)]
    assert not _history(early, refused(STALE))
    assert _history(between, refused(STALE))


def test_the_model_with_leases_leaves_alone_what_was_signed_in_meanwhile_and_nothing_else() -> None:
    """The sign-in survives, was not counted, and is answered before a check that still accepts what has ended."""
    check = [_event("find", "two", 0, 3, 4)]
    assert _history([_event("others", "one", (1, 1), 0, 9)], [_event("login", "new", 1, 1, 2), *check], [_event("find", "new", 1, 10, 11)])
    assert not _history([_event("others", "one", (0, 1), 0, 9)], check, [_event("find", "two", 0, 10, 11)])
    assert not _history([_event("login", "new", 0, 0, 1)], [_event("others", "one", (1, 1), 2, 9)], [_event("find", "new", 0, 10, 11)])


def test_the_model_with_leases_does_not_compare_how_often_a_user_has_revoked() -> None:
    assert _history([_event("others", "one", (1, 1), 0, 9)], [_event("find", "one", 1, 1, 2), _event("find", "one", 0, 3, 4)])
