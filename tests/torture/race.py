"""N callers of one user, each with a session of its own, all at once: who is left? (P2, P5)"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sessionward import Session, SessionRevoked
from sessionward.credential.token import new_token
from tests.torture.crew import Crew, Meet
from tests.torture.places import Place

GONE = "SessionRevoked"


@dataclass(slots=True)
class Tally:
    """How many trials of a cell ended how; all but ``trials`` ought to be 0."""

    trials: int
    nobody: int = 0
    several: int = 0
    wrong_winner: int = 0
    wrong_count: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not (self.nobody or self.several or self.wrong_winner or self.wrong_count or self.errors)


def race(crew: Crew, place: Place, *, callers: int, trials: int) -> Tally:
    """One cell."""
    ground = place.ground()
    try:
        users = [f"race {uuid4()}" for _ in range(trials)]
        tokens = {user: [new_token() for _ in range(callers)] for user in users}
        made = ground.stock(tokens)
        parts = [(place, [made[tokens[user][number]] for user in users]) for number in range(callers)]
        answers = crew.run(run, parts)
        tally = Tally(trials)
        for trial, user in enumerate(users):
            ids = [made[token].id for token in tokens[user]]
            _judge(tally, ids, [answer[trial] for answer in answers], ground.live_ids(user))
        return tally
    finally:
        ground.close()


def run(meet: Meet, place: Place, own: list[Session]) -> list[int | str]:
    """One caller's part: each trial's count, or what was raised instead."""
    caller = place.open()
    try:
        caller.list("nobody")  # connects
        answers: list[int | str] = []
        for session in own:
            meet()
            try:
                answers.append(int(caller.revoke_others(session)))
            except SessionRevoked:
                answers.append(GONE)
            except Exception as error:
                answers.append(repr(error))
        return answers
    finally:
        caller.close()


def _judge(tally: Tally, ids: list[UUID], answers: list[int | str], live: set[UUID]) -> None:
    tally.errors.update(answer for answer in answers if isinstance(answer, str) and answer != GONE)
    winners = [number for number, answer in enumerate(answers) if isinstance(answer, int)]
    tally.nobody += not live
    tally.several += len(live) > 1
    tally.wrong_winner += live != {ids[number] for number in winners} or len(winners) != 1
    tally.wrong_count += sum(answer for answer in answers if isinstance(answer, int)) != len(ids) - 1
