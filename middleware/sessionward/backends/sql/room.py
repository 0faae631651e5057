"""What a sign-in beyond ``max_sessions`` does: it ends other sessions, or it is refused."""

from __future__ import annotations

from typing import Final

from sessionward.backends.sql.executor import Executor
from sessionward.errors import BackendUnavailable, TooManySessions
from sessionward.session.session import IMPERSONATION, NewSession, Session

ROOM_TRIES: Final = 10
"""How often a sign-in looks for sessions beyond ``max_sessions``. Uses of one session are recorded seconds apart, so two suffice."""


def refuse_beyond(executor: Executor, session: Session, new: NewSession, era: int) -> None:
    """Raises ``TooManySessions`` if the session would be one too many. Under the user's lock, so that of several none is too many."""
    if new.max_sessions is None or session.kind == IMPERSONATION:
        return
    row = executor.row("count_ordinary", user=executor.dialect.user_in(session.user_id), era=era)
    assert row is not None
    if int(row[0]) >= new.max_sessions:
        raise TooManySessions(int(row[0]), session.generation or 0)


def make_room(executor: Executor, session: Session, limit: int, era: int) -> int:
    """Revokes the sessions of the user that were used longest ago until one more is allowed. Returns how many.

    It requires no companions: an evicted one is adopted again. A record of a use takes no lock on the user, so it may move a session
    out of what is beyond between the two statements. Then we look again.
    """
    dialect, count = executor.dialect, 0
    user = dialect.user_in(session.user_id)
    for _ in range(ROOM_TRIES):
        row = executor.row("first_beyond", user=user, kept=limit - 1, era=era)
        if row is None:
            return count
        seen, issued, oldest = row
        place = {"seen": seen, "issued": issued, "id": oldest}
        count += executor.change("revoke_beyond", user=user, **place, by=dialect.id_in(session.id), era=era)
    raise BackendUnavailable("the sessions of a user were used so often meanwhile that none could be ended for max_sessions; try again")
