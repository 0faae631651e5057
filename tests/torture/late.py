"""A sign-in that checks the old password while its owner changes it and revokes the other sessions (P3)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from time import monotonic, sleep
from typing import Final
from uuid import uuid4

from sessionward import Session, StaleLogin
from sessionward.credential.token import new_token
from tests.torture.crew import Crew, Meet
from tests.torture.places import Place

HASHING: Final = 0.004
"""Seconds that it takes at most to check a password; drawn anew each time, as is the owner's delay."""
ROUNDS: Final = 5
"""The most rounds in which a variant that checks nothing must be seen."""
DELAYS: Final = (HASHING, 4 * HASHING, 0.0, 16 * HASHING, HASHING)
"""Seconds that the owner waits at most, round by round: on some machines one of the two is much faster than the other."""
OLD, NEW = 1, 2


@dataclass(slots=True)
class Outcome:
    """``alive``: trials in which a session that rests on the old password is live after all is done."""

    trials: int
    minted: int = 0
    refused: int = 0
    alive: int = 0
    wrong: int = 0
    """Counts of the owner that do not fit."""

    @property
    def is_caught(self) -> bool:
        """Whether a variant that checks nothing was seen to do so."""
        return self.alive > self.trials / 4


def late_logins(crew: Crew, place: Place, *, trials: int, ticket: bool, delay: float = HASHING) -> Outcome:
    """One intruder who knows the old password, against one owner, who waits up to ``delay`` seconds."""
    ground = place.ground()
    try:
        names = [f"late {uuid4()}" for _ in range(trials)]
        tokens = [new_token() for _ in names]
        made = ground.stock({name: [token] for name, token in zip(names, tokens, strict=True)})
        ground.set_passwords(names, OLD)
        own = [made[token] for token in tokens]
        intruded = [new_token() for _ in names]
        answers = crew.run(_take_part, [(place, names, own, ticket, delay), (place, names, intruded, ticket, delay)])
        return _judged(place, intruded, *answers)
    finally:
        ground.close()


def early_and_late_logins(crew: Crew, place: Place, *, trials: int, ticket: bool) -> Outcome:
    """All of some rounds, until at least one sign-in was in time and one was late."""
    total = Outcome(0)
    for delay in DELAYS:
        outcome = late_logins(crew, place, trials=trials, ticket=ticket, delay=delay)
        total = Outcome(*(one + other for one, other in zip(astuple(total), astuple(outcome), strict=True)))
        if total.minted and total.refused:
            break
    return total


def unchecked_logins(crew: Crew, place: Place, *, trials: int) -> Outcome:
    """What a variant that checks nothing lets in. A machine that is busy may let the two meet too seldom, so it has several rounds."""
    outcome = late_logins(crew, place, trials=trials, ticket=False)
    for _ in range(ROUNDS - 1):
        if outcome.is_caught:
            break
        outcome = late_logins(crew, place, trials=trials, ticket=False)
    return outcome


def _take_part(meet: Meet, place: Place, names: list[str], part: Sequence[Session | str], ticket: bool, delay: float) -> list[int | str]:
    """The owner has sessions, the intruder tokens of sessions to come."""
    ground, caller = place.ground(), place.open()
    answers: list[int | str] = []
    try:
        caller.list("nobody")  # connects, as does the next line
        ground.password("nobody")
        for name, one in zip(names, part, strict=True):
            meet(delay if isinstance(one, Session) else 0)
            if isinstance(one, Session):
                ground.set_passwords([name], NEW)
                answers.append(int(caller.revoke_others(one)))
                continue
            started = monotonic()
            generation = caller.begin_login(name) if ticket else None
            version = ground.password(name)
            sleep(random.uniform(0, HASHING))
            if version != OLD:
                answers.append("new password")
                continue
            try:
                caller.login(name, one, generation=generation, age=partial(_since, started), replaces=None)
                answers.append("minted")
            except StaleLogin:
                answers.append("refused")
        return answers
    finally:
        caller.close()
        ground.close()


def _since(started: float) -> float:
    return monotonic() - started


def _judged(place: Place, intruded: list[str], owner: list[int | str], intruder: list[int | str]) -> Outcome:
    outcome = Outcome(len(intruded))
    caller = place.open()
    try:
        for token, count, answer in zip(intruded, owner, intruder, strict=True):
            minted, alive = answer == "minted", caller.find(token) is not None
            outcome.minted += minted
            outcome.refused += answer == "refused"
            outcome.alive += alive
            outcome.wrong += count != int(minted and not alive)
        return outcome
    finally:
        caller.close()
