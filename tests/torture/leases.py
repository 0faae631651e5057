"""Workers that trust for a while what they have read, and a user who revokes: who is accepted afterwards? (P1, P10)

Two moments count for each user: when the revocation was answered with 200, and when any client of the user's was first
refused. No check that begins after one of them may be accepted, in no worker. The workers of one machine share its
monotonic clock, so "after" has a meaning among them.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

from sessionward.credential.token import new_token
from sessionward.lease import Leases
from tests.torture.crew import Crew, Meet
from tests.torture.doors import PATH, Answer, ASGIDoor, Call, Door, Visit, WSGIDoor
from tests.torture.naive_leases import VARIANTS
from tests.torture.places import Place
from tests.torture.tables import PATIENCE

WORKERS: Final = 4
USERS: Final = 12
"""Users of a trial. Each worker revokes for its share of them."""
OTHERS: Final = 3
CHECKERS: Final = 4
"""Clients of each worker that do nothing but check. Under ASGI there is one for each session, as each may wait for the lease."""
CALM: Final = 0.1
"""Seconds until the first revocation: every worker trusts every session by then."""
SPREAD: Final = 0.15
"""Seconds in which the revocations begin, each at a time that chance decides."""
TAIL: Final = 0.3
"""Seconds that the checks go on after the last 200 and one more lease: until then most of them wait."""
PAUSE: Final = 0.0005
"""Seconds between two checks of a client: threads that never wait would leave none of their process to one that revokes."""
OWN: Final = 0.1
"""The share of the checks that are of the session that lives on."""


@dataclass(frozen=True, slots=True)
class Worker:
    """``lease``: its setting. ``variant``: the name of naive leases, or ours."""

    place: Place
    is_asgi: bool
    lease: float
    variant: str = ""
    on_invalid: str = "strip"

    def open(self) -> Door:
        settings: dict[str, Any] = {"timeout": PATIENCE, "lease": self.lease, "on_invalid": self.on_invalid}
        with patch("sessionward.modes.choose.Leases", VARIANTS.get(self.variant, Leases)):
            if self.is_asgi:
                return ASGIDoor(lambda: self.place.backend(pool_size=CHECKERS), **settings)
            return WSGIDoor(self.place.backend(pool_size=CHECKERS), **settings)


@dataclass(frozen=True, slots=True)
class User:
    """``own``: the token of the session that revokes the others."""

    own: str
    others: Sequence[str]


@dataclass(slots=True)
class Seen:
    """What a worker has seen of a user: when checks of the others began that were accepted, and that were refused."""

    accepted: array[float] = field(default_factory=lambda: array("d"))
    refused: array[float] = field(default_factory=lambda: array("d"))
    first_refusal: float = inf
    revoked: float = inf
    wrong: int = 0
    """Checks of the session that lives on that were refused, and answers of a kind that nobody expects."""


@dataclass(slots=True)
class Outcome:
    """``late``: checks that began after the 200; ``accepted`` of them. ``out_of_order``: accepted though a client was refused before."""

    trials: int = 0
    late: int = 0
    accepted: int = 0
    after_a_refusal: int = 0
    out_of_order: int = 0
    wrong: int = 0

    @property
    def keeps_the_promise(self) -> bool:
        return self.accepted == self.out_of_order == self.wrong == 0


def with_lease(place: Place, seconds: float) -> None:
    """Sets the lease, and forgets that there was ever another: what a new installation has."""
    ground = place.ground()
    try:
        ground.with_lease(seconds)
    finally:
        ground.close()


@contextmanager
def changing_lease(place: Place, longest: float) -> Iterator[None]:
    """Lowers the lease and raises it in turn, as an operator does and a worker that starts with a larger setting."""
    backend, over = place.backend(timeout=PATIENCE), Event()

    def change() -> None:
        while not over.is_set():
            backend.raise_lease(longest)
            over.wait(random.uniform(0, longest))
            backend.set_lease(random.choice([0.0, longest / 8]))
            over.wait(random.uniform(0, longest / 4))

    with ThreadPoolExecutor(1) as threads:
        changing = threads.submit(change)
        try:
            yield
        finally:
            over.set()
            changing.result(PATIENCE)
            backend.close()


def checked_while_revoked(crew: Crew, workers: Sequence[Worker], *, late: int, tail: float = TAIL) -> Outcome:
    """Goes on until so many checks have begun after a 200, or one of them was accepted.

    ``tail``: for how many seconds the checks go on after the last 200 of a trial, and one more lease.
    """
    outcome = Outcome()
    ground = workers[0].place.of("").ground()
    try:
        for trial in count(1):
            users = [User(new_token(), [new_token() for _ in range(OTHERS)]) for _ in range(USERS)]
            ground.stock({f"lease {uuid4()}": [user.own, *user.others] for user in users})
            with TemporaryDirectory() as folder:
                parts = [(worker, number, users, Path(folder), tail) for number, worker in enumerate(workers)]
                seen = crew.run(_take_part, parts)
            for of_user in zip(*seen, strict=True):
                _judge(outcome, of_user)
            outcome.trials = trial
            if outcome.late >= late or not outcome.keeps_the_promise:
                return outcome
    finally:
        ground.close()
    raise AssertionError


class _Ending:
    """The checks go on for a while after the last 200 of all workers. Each says that it has its own by a file in a folder."""

    def __init__(self, folder: Path, number: int, revocations: int, tail: float) -> None:
        self._folder = folder
        self._tail = tail
        self._number = number
        self._missing = revocations
        self._look_at = 0.0
        self._ends = inf

    def answered(self) -> None:
        self._missing -= 1
        if not self._missing:
            (self._folder / f"{self._number}").touch()

    def is_over(self, now: float) -> bool:
        if self._ends == inf and now > self._look_at:
            self._look_at = now + TAIL / 20
            if len(list(self._folder.iterdir())) == WORKERS:
                self._ends = now + self._tail
        return now > self._ends


def _take_part(meet: Meet, worker: Worker, number: int, users: list[User], folder: Path, tail: float) -> list[Seen]:
    seen = [Seen() for _ in users]
    door = worker.open()
    try:
        door(Call(token=new_token()))  # connects
        meet()
        began = monotonic()
        own = range(number, len(users), WORKERS)
        checkers = USERS * OTHERS if worker.is_asgi else CHECKERS
        ending = _Ending(folder, number, len(own), tail + worker.lease)
        revoking = [_revokes(users[one], seen[one], began + CALM + random.uniform(0, SPREAD), ending) for one in own]
        door.visited([*(_checks(users, seen, ending) for _ in range(checkers)), *revoking])
        return seen
    finally:
        door.close()


def _checks(users: Sequence[User], seen: Sequence[Seen], ending: _Ending) -> Visit:
    while not ending.is_over(start := monotonic()):
        number = random.randrange(len(users))
        is_own = random.random() < OWN
        answer = yield Call(token=users[number].own if is_own else random.choice(users[number].others))
        end, one = monotonic(), seen[number]
        said = _said(answer)
        yield PAUSE
        if said is None:
            continue
        if is_own:
            one.wrong += not said
        elif said:
            one.accepted.append(start)
        else:
            one.refused.append(start)
            one.first_refusal = min(one.first_refusal, end)


def _said(answer: Answer | None) -> bool | None:
    """Whether somebody is signed in. None if the door could not say, since it has too much to do."""
    assert answer is not None
    if answer.status == 503 and answer.error == "backend_unavailable":
        return None
    if answer.status == 401 or answer.body == "anonymous":
        return False
    assert answer.body.startswith("signed in: "), answer
    return True


def _revokes(user: User, seen: Seen, at: float, ending: _Ending) -> Visit:
    yield at - monotonic()
    answer = yield Call("DELETE", PATH, token=user.own)
    assert answer is not None
    seen.revoked = monotonic()
    ending.answered()
    seen.wrong += (answer.status, answer.body) != (200, f'{{"count": {len(user.others)}}}')


def _judge(outcome: Outcome, seen: Sequence[Seen]) -> None:
    revoked, refused = min(one.revoked for one in seen), min(one.first_refusal for one in seen)
    accepted, checks = list(_starts(seen, accepted=True)), list(_starts(seen, accepted=False))
    outcome.accepted += sum(start > revoked for start in accepted)
    outcome.out_of_order += sum(start > refused for start in accepted)
    outcome.late += sum(start > revoked for start in [*accepted, *checks])
    outcome.after_a_refusal += sum(start > refused for start in [*accepted, *checks])
    outcome.wrong += sum(one.wrong for one in seen) + (revoked == inf)


def _starts(seen: Sequence[Seen], *, accepted: bool) -> Iterator[float]:
    for one in seen:
        yield from one.accepted if accepted else one.refused
