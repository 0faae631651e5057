"""Random histories, asked for by processes or threads, and how many of them no order explains."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Barrier
from uuid import uuid4

from sessionward.backends.memory import MemoryBackend
from tests.torture.crew import MEETING, Crew, Meet
from tests.torture.history import (
    CALLERS,
    STALE,
    Event,
    Model,
    OnRedis,
    Plan,
    ask,
    exactly,
    in_two_moments,
    is_linearizable,
    named,
    plan,
)
from tests.torture.places import Caller, Place
from tests.torture.redis_keys import is_redis


@dataclass(slots=True)
class Verdict:
    """How many histories there were, how many of them no order explains, and how much they had in them."""

    histories: int = 0
    unexplained: int = 0
    events: int = 0
    overlapping: int = 0
    refused: int = 0
    example: str = ""


def in_processes(crew: Crew, place: Place, histories: int) -> Verdict:
    """Histories on a database, by one process for each caller."""
    plans = stocked(place, histories)
    answers = crew.run(play, [(place, plans, caller) for caller in range(CALLERS)])
    played = [[answer[number] for answer in answers] for number in range(histories)]
    if not is_redis(place.url):
        return judged(plans, played)
    for one, parts in zip(plans, played, strict=True):
        in_two_moments(parts, one.owner)
    return judged(plans, played, OnRedis)


def stocked(place: Place, histories: int, *, mostly_checks: float = 0.0) -> list[Plan]:
    """Plans, whose users have their first sessions in the database. ``mostly_checks``: the share of those that are."""
    ground = place.ground()
    try:
        plans = [plan(f"history {uuid4()}", mostly_checks=random.random() < mostly_checks) for _ in range(histories)]
        users: dict[str, list[str]] = {user: [] for one in plans for user in one.owner.values()}
        for one in plans:
            for name in _at_start(one):
                users[one.owner[name]].append(one.tokens[name])
        made = ground.stock(users)
        for one in plans:
            one.known = {name: made[one.tokens[name]] for name in _at_start(one)}
        return plans
    finally:
        ground.close()


def play(meet: Meet, place: Place, plans: list[Plan], caller: int) -> list[list[Event]]:
    """One caller's part in all histories."""
    asked = place.open()
    try:
        asked.list("nobody")  # connects
        parts: list[list[Event]] = []
        for one in plans:
            meet()
            parts.append(ask(asked, one, one.calls[caller]))
        return parts
    finally:
        asked.close()


def in_threads(backend: MemoryBackend, histories: int) -> Verdict:
    """Histories in memory, by threads that are interrupted as often as the interpreter can."""
    asked = Caller(backend)
    plans = [plan(f"history {uuid4()}") for _ in range(histories)]
    for one in plans:
        for name in _at_start(one):
            one.known[name] = asked.login(one.owner[name], one.tokens[name], generation=None, age=lambda: 0.0, replaces=None)
    barrier = Barrier(CALLERS)

    def part(caller: int) -> list[list[Event]]:
        parts: list[list[Event]] = []
        for one in plans:
            barrier.wait(MEETING)
            parts.append(ask(asked, one, one.calls[caller]))
        return parts

    with _restless(), ThreadPoolExecutor(CALLERS) as threads:
        answers = list(threads.map(part, range(CALLERS), timeout=MEETING))
    return judged(plans, [[answer[number] for answer in answers] for number in range(histories)])


@contextmanager
def _restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _at_start(plan: Plan) -> list[str]:
    return [name for name in plan.owner if not name.startswith("n")]


def judged(
    plans: list[Plan], histories: list[list[list[Event]]], model_of: Callable[[list[list[Event]]], Model] = lambda _: exactly
) -> Verdict:
    verdict = Verdict(len(plans))
    for one, parts in zip(plans, histories, strict=True):
        named(parts, one.known)
        events = sorted((event for part in parts for event in part), key=lambda event: event.start)
        verdict.events += len(events)
        verdict.overlapping += sum(later.start < event.end for event, later in pairwise(events))
        verdict.refused += sum(event.answer == STALE for event in events)
        if not is_linearizable(parts, one.owner, frozenset(one.known), model_of(parts)):
            verdict.unexplained += 1
            verdict.example = verdict.example or "\n".join(map(str, events))
    return verdict
