"""Histories asked for through leases: three workers in each process, two of whose four callers share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final, TypeVar
from uuid import UUID

from sessionward import Session
from sessionward.backends import Credential, RevokedCount
from sessionward.drive import SyncDriver, async_driver
from sessionward.lease import Leases
from sessionward.process import clock
from sessionward.session.session import ANY_TERMS
from sessionward.session.step import Flow
from sessionward.session.steps import BeginLogin, Login, Revoke, RevokeAll, RevokeOne, RevokeOthers
from tests.support.sessions import new_session
from tests.torture.crew import MEETING, Crew, Meet
from tests.torture.history import CALLERS, AmongLeases, AmongLeasesOnRedis, Event, Plan, ask, in_two_moments, with_tickets
from tests.torture.linearize import Verdict, judged, stocked
from tests.torture.naive_leases import VARIANTS
from tests.torture.places import Place
from tests.torture.redis_keys import is_redis
from tests.torture.tables import PATIENCE

T = TypeVar("T")

PROCESSES: Final = 2
LANES: Final = 6
"""Histories that go on beside one another in a process: most of their time they wait."""
WORKERS: Final = 3


def through_leases(crew: Crew, place: Place, histories: int, lease: float, variant: str = "") -> Verdict:
    """Histories on a database. ``variant``: the name of naive leases, or ours."""
    plans = stocked(place, histories, mostly_checks=0.5)
    answers = crew.run(_play, [(place, plans[number::PROCESSES], lease, variant) for number in range(PROCESSES)])
    asked = [one for number in range(PROCESSES) for one in plans[number::PROCESSES]]
    parts = [one for answer in answers for one in answer]
    parts = [_in_order(one) for one in parts]
    if not is_redis(place.url):
        return judged(asked, parts, AmongLeases)
    for its_plan, one in zip(asked, parts, strict=True):
        in_two_moments(one, its_plan.owner)
    return judged(asked, parts, AmongLeasesOnRedis)


def _in_order(parts: list[list[Event]]) -> list[list[Event]]:
    """Without lists, which are outside of the order, and without checks of sessions whose sign-in had not been answered yet."""
    with_tickets(parts)
    answered = {event.name: event.end for part in parts for event in part if event.kind == "login"}

    def counts(event: Event) -> bool:
        return event.kind != "list" and not (event.kind == "find" and event.start < answered.get(event.name, 0))

    return [[event for event in part if counts(event)] for part in parts]


def _play(meet: Meet, place: Place, plans: list[Plan], lease: float, variant: str) -> list[list[list[Event]]]:
    workers = [VARIANTS.get(variant, Leases)(lease, waiters=1_000, clock=clock) for _ in range(WORKERS)]
    backend = place.backend(pool_size=LANES * CALLERS)
    told = {one.tokens[name] for one in plans for name in one.known}
    barriers = [Barrier(CALLERS) for _ in range(LANES)]

    def part(lane: int, caller: int) -> list[list[Event]]:
        asked = _Asked(backend, workers[caller % WORKERS], told)
        try:
            asked.begin_login("nobody")  # connects
            parts: list[list[Event]] = []
            for one in plans[lane::LANES]:
                barriers[lane].wait(MEETING)
                parts.append(ask(asked, one, one.calls[caller]))
            return parts
        finally:
            asked.close()

    with ThreadPoolExecutor(LANES * CALLERS) as threads:
        lanes = [[threads.submit(part, lane, caller) for caller in range(CALLERS)] for lane in range(LANES)]
        played: dict[int, list[list[Event]]] = {}
        for lane, callers in enumerate(lanes):
            for number, parts in enumerate(zip(*(one.result() for one in callers), strict=True)):
                played[lane + number * LANES] = list(parts)
    if not place.is_async:
        backend.close()
    return [played[number] for number in range(len(plans))]


class _Asked:
    """One caller of a worker: the flows of a door, without the door. An async backend has a loop for each caller.

    ``told``: the tokens that clients know. No client asks with another one, and so we do not either.
    """

    def __init__(self, backend: Any, leases: Leases, told: set[str]) -> None:
        self._backend = backend
        self._told = told
        self._leases = leases
        self._tokens: dict[UUID, str] = {}
        self._runner: asyncio.Runner | None = None
        self._sync = SyncDriver(backend, PATIENCE, blocks=True)
        if asyncio.iscoroutinefunction(backend.find):
            self._runner = asyncio.Runner()
            self._async = async_driver(backend, PATIENCE, is_async=True, blocks=True)

    def find(self, token: str, /) -> Session | None:
        if token not in self._told:
            return None
        session = self._done(self._leases.find(Credential(token.encode())))
        if session is not None:
            self._tokens[session.id] = token
        return session

    def login(self, user: str, token: str, /, *, generation: int | None, age: Callable[[], float], replaces: Session | None) -> Session:
        new = new_session(user, token, generation=generation, age=age, replaces=replaces, methods=("password",))
        session = self._done(self._leases.settled(Login(new), self._credential(replaces)))
        self._tokens[session.id] = token
        self._told.add(token)
        return session

    def begin_login(self, user: str, /) -> int:
        return self._done(iter(BeginLogin(user)))

    def revoke(self, session: Session, /) -> bool:
        return self._done(self._leases.settled(Revoke(session.user_id, session.id), self._credential(session)))

    def revoke_others(self, session: Session, /) -> RevokedCount:
        return self._count(self._leases.settled(RevokeOthers(session)))

    def revoke_one(self, session: Session, id: UUID, /) -> bool:
        return self._done(self._leases.settled(RevokeOne(session, id, ANY_TERMS)))

    def revoke_all(self, user: str, /) -> RevokedCount:
        return self._count(self._leases.settled(RevokeAll(user)))

    def list(self, user: str, /) -> Sequence[Session]:
        return ()

    def close(self) -> None:
        if self._runner is not None:
            self._runner.run(self._backend.close())
            self._runner.close()

    def _credential(self, session: Session | None) -> Credential | None:
        token = None if session is None else self._tokens.get(session.id)
        return None if token is None else Credential(token.encode())

    def _count(self, flow: Flow[int]) -> RevokedCount:
        count = self._done(flow)
        assert isinstance(count, RevokedCount)
        return count

    def _done(self, flow: Flow[T]) -> T:
        return self._sync(flow) if self._runner is None else self._runner.run(self._async(flow))
