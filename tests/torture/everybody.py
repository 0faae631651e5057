"""Everybody is revoked again and again while users sign in and are checked (P1, P3): the administrator, and the workers."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final

from sqlalchemy import update

from sessionward import StaleLogin
from sessionward.backends.sql import metadata
from sessionward.credential.token import new_token
from tests.torture.crew import Crew, Meet
from tests.torture.places import Place
from tests.torture.tables import engine_of

state: Final = metadata.tables["sessionward_state"]
WORKERS: Final = 3
PAUSE: Final = 0.03
"""Seconds between two revocations at most; drawn anew each time."""
KEPT: Final = 40
"""So many of its last sessions a worker goes on to ask about."""


@dataclass(slots=True)
class Seen:
    """What one worker has seen: when a check and the sign-in of its session began, of the accepted and of the refused ones."""

    accepted: array[float] = field(default_factory=lambda: array("d"))
    refused: array[float] = field(default_factory=lambda: array("d"))
    minted: int = 0
    stale: int = 0


@dataclass(slots=True)
class Outcome:
    """``late``: checks after a revocation of sessions whose sign-in began before it; ``alive``: those of them that were accepted.

    ``wrong``: checks that were refused although nobody had been revoked since the sign-in began.
    """

    late: int = 0
    alive: int = 0
    wrong: int = 0
    minted: int = 0
    stale: int = 0


def without_era(url: str) -> None:
    """Leaves the database as the other tests want it, which put sessions in directly."""
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            connection.execute(update(state).values(era=0, era_at=None))
    finally:
        engine.dispose()


def revoked_while_signing_in(crew: Crew, place: Place, *, late: int) -> Outcome:
    """Goes on until so many checks were late, or one of them was accepted."""
    outcome = Outcome()
    for _ in count():
        with TemporaryDirectory() as folder:
            over = Path(folder) / "over"
            parts = [(place, over, number) for number in range(WORKERS + 1)]
            revocations, *seen = crew.run(_take_part, parts)
        assert not isinstance(revocations, Seen)
        for one in seen:
            assert isinstance(one, Seen)
            _judge(outcome, revocations, one)
        if outcome.late >= late or outcome.alive:
            return outcome
    raise AssertionError


Span = tuple[float, float]
"""When a revocation of everybody began, and when it returned."""


def _take_part(meet: Meet, place: Place, over: Path, number: int) -> Sequence[Span] | Seen:
    return _works(meet, place, over, number) if number else _administers(meet, place, over)


def _administers(meet: Meet, place: Place, over: Path) -> Sequence[Span]:
    caller, spans = place.of("").open(), list[Span]()
    try:
        caller.list("nobody")  # connects
        meet()
        for _ in range(30):
            sleep(random.uniform(0, PAUSE))
            began = monotonic()
            caller.revoke_everybody()
            spans.append((began, monotonic()))
        sleep(PAUSE)  # so that checks come after the last one, too
        return spans
    finally:
        over.touch()
        caller.close()


def _works(meet: Meet, place: Place, over: Path, number: int) -> Seen:
    caller, seen, kept = place.open(), Seen(), list[tuple[float, str]]()
    try:
        caller.list("nobody")
        meet()
        while not over.exists():
            user, token = f"everybody {number} {random.randrange(5)}", new_token()
            ticket = caller.begin_login(user) if random.random() < 0.5 else None
            began = monotonic()  # the check of the password, for which there is a ticket already
            try:
                caller.login(user, token, generation=ticket, age=partial(_since, began), replaces=None)
                kept.append((began, token))
                seen.minted += 1
            except StaleLogin:
                seen.stale += 1
            for signed_in, known in random.sample(kept[-KEPT:], min(5, len(kept))):
                asked = monotonic()
                (seen.accepted if caller.find(known) is not None else seen.refused).extend((asked, signed_in))
        return seen
    finally:
        caller.close()


def _since(began: float) -> float:
    return monotonic() - began


def _judge(outcome: Outcome, revocations: Sequence[Span], seen: Seen) -> None:
    for checks in (seen.accepted, seen.refused):
        for asked, signed_in in zip(checks[::2], checks[1::2], strict=True):
            is_late = any(signed_in < began and ended < asked for began, ended in revocations)
            was_revoked = any(signed_in < ended for _, ended in revocations)
            outcome.late += is_late
            outcome.alive += is_late and checks is seen.accepted
            outcome.wrong += not was_revoked and checks is seen.refused
    outcome.minted += seen.minted
    outcome.stale += seen.stale
