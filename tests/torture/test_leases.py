"""P1 and P10 with leases: who is accepted after the 200, or after any client has learned that a session is not live.

With FULL_SIZE=1 in the environment: 100 000 checks of each kind that begin after a 200; else 1 000, for the sake of time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.torture.conftest import Databases
from tests.torture.crew import Crew
from tests.torture.leases import Worker, changing_lease, checked_while_revoked, with_lease
from tests.torture.places import Place, async_places, sync_place

FULL: Final = os.environ.get("FULL_SIZE") == "1"
LATE: Final = 100_000 if FULL else 1_000
TAIL: Final = 1.0 if FULL else 0.3
LEASES: Final = (0.0, 0.05, 1.0)
CANARY_LEASE: Final = 0.2
DATABASES: Final = ["sqlite", "postgresql", "redis", "redis cluster"]
WITH_CANARIES: Final = ["sqlite", "postgresql", "redis"]
CANARIES: Final = ["TimeToLive", "WaitsForNoCheck", "WaitsForNoChange"]


@pytest.fixture
def place(databases: Databases, database: str) -> Iterator[Place]:
    """With the lease of a new installation; and without one afterwards, since other tests do not want to wait."""
    place = sync_place(databases, database)
    with_lease(place, 0.0)
    yield place
    with_lease(place, 0.0)


def workers_of(databases: Databases, database: str, settings: tuple[float, float, float, float], variant: str = "") -> list[Worker]:
    """A sync one under WSGI, one in threads under ASGI, and two async ones. Two say 401, and two pass the request on."""
    sync, asynchronous = sync_place(databases, database), async_places(databases, database)
    return [
        Worker(sync, False, settings[0], variant),
        Worker(sync, True, settings[1], variant, "reject"),
        Worker(asynchronous[0], True, settings[2], variant),
        Worker(asynchronous[-1], True, settings[3], variant, "reject"),
    ]


@pytest.mark.parametrize("lease", LEASES, ids=lambda lease: f"lease {lease:g}")
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.usefixtures("place")
def test_p1_p10_no_check_after_the_200_or_after_a_first_refusal_is_accepted(
    databases: Databases, crew: Crew, database: str, lease: float
) -> None:
    workers = workers_of(databases, database, (lease,) * 4)
    outcome = checked_while_revoked(crew, workers, late=LATE, tail=TAIL)
    print(database, lease, outcome)
    assert outcome.keeps_the_promise, outcome
    assert outcome.late >= LATE
    assert outcome.after_a_refusal, "nobody was refused before others asked: this showed nothing"


@pytest.mark.parametrize("variant", CANARIES)
@pytest.mark.parametrize("database", WITH_CANARIES)
@pytest.mark.usefixtures("place")
def test_canary_naive_leases_are_caught(databases: Databases, crew: Crew, database: str, variant: str) -> None:
    workers = workers_of(databases, database, (CANARY_LEASE,) * 4, variant)
    outcome = checked_while_revoked(crew, workers, late=20_000)
    if variant == "WaitsForNoCheck":
        assert outcome.out_of_order > 0
    else:
        assert outcome.accepted > 0
    assert outcome.wrong == 0


MIXED: Final = (0.0, 0.3, 0.3, 0.05)


@pytest.mark.parametrize("database", DATABASES)
def test_p1_p10_the_lease_may_be_raised_and_lowered_while_workers_run(
    databases: Databases, crew: Crew, database: str, place: Place
) -> None:
    with changing_lease(place, max(MIXED)):
        outcome = checked_while_revoked(crew, workers_of(databases, database, MIXED), late=LATE, tail=TAIL)
    print(database, "changing", outcome)
    assert outcome.keeps_the_promise, outcome
    assert outcome.late >= LATE


@pytest.mark.parametrize("variant", ["ForgetsTheFormerLease", "TrustsTheSetting"])
@pytest.mark.parametrize("database", WITH_CANARIES)
def test_canary_a_changed_lease_is_taken_wrongly(databases: Databases, crew: Crew, database: str, place: Place, variant: str) -> None:
    if variant == "ForgetsTheFormerLease":
        workers = [Worker(place.of(variant), number % 2 == 0, setting) for number, setting in enumerate(MIXED)]
        changing = changing_lease(place, max(MIXED))
    else:
        workers = [Worker(place, number % 2 == 0, setting, variant) for number, setting in enumerate(MIXED)]
        changing = changing_lease(place, 0.05)
    with changing:
        outcome = checked_while_revoked(crew, workers, late=30_000)
    assert outcome.accepted or outcome.out_of_order
    assert outcome.wrong == 0
