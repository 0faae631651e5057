"""Records when sessions were used last, many in one short transaction, and moves their ends.

A plain statement reads which of the sessions are due. Only those are locked, and a row that another transaction holds is left alone:
no revocation is waited for, and a record with nothing to write takes no lock. Both the statement that locks and the one that writes
have the conditions. Without them a record that comes late would make an ended session live again (P6).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sessionward.backends.sql.executor import Executor, writes
from sessionward.backends.sql.reading import refuse_rolled_back
from sessionward.backends.sql.statements import AT_ONCE, parameters
from sessionward.session.session import Session
from sessionward.session.use import TOO_LATE, seen_pause


@writes
def note_seen(
    executor: Executor, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float]
) -> Mapping[UUID, float]:
    ids = list({session.id for session in sessions})
    due_again: dict[UUID, float] = {}
    for start in range(0, len(ids), AT_ONCE[-1]):
        due_again.update(_noted(executor, ids[start : start + AT_ONCE[-1]], idle_timeout, age))
    return due_again


def _noted(executor: Executor, ids: Sequence[UUID], idle_timeout: float | None, age: Callable[[], float]) -> dict[UUID, float]:
    out, pause = executor.dialect.time_out, seen_pause(idle_timeout)
    size, named = _named(executor, ids)
    rows = executor.rows(f"seen_of_{size}", **named)
    if not rows:
        return {}
    refuse_rolled_back(rows[-1][0] is None)
    # The clock of before the locks. A transaction that takes a while writes an older time, and the session ends earlier.
    now, ago = out(rows[0][-1]), max(0.0, age())
    since = {executor.dialect.id_out(own): (now - out(last_seen_at)).total_seconds() for own, last_seen_at, _ in rows}
    due = [own for own, seconds in since.items() if seconds < 0 or seconds - ago >= pause]  # less than 0: the clock was set back
    due_again = {own: max(0.0, pause - seconds) for own, seconds in since.items()}
    written = _written(executor, due, now, ago, idle_timeout)
    return due_again | dict.fromkeys(due, 0.0) | dict.fromkeys(written, max(0.0, pause - ago))


def _written(executor: Executor, ids: Sequence[UUID], now: datetime, ago: float, idle_timeout: float | None) -> Sequence[UUID]:
    """Returns those of the sessions whose use it has recorded."""
    if not ids:
        return ()
    dialect, pause = executor.dialect, seen_pause(idle_timeout)
    used = now - timedelta(seconds=ago)
    times = {
        "seen": used,
        "now_is": now,
        "before": used - timedelta(seconds=pause),
        "alive": now + timedelta(seconds=TOO_LATE),
        "idle": used + timedelta(seconds=idle_timeout or 0.0),
    }
    values = {name: dialect.time_in(time) for name, time in times.items()}
    statement = "note_seen" if idle_timeout is None else "note_use"

    def body(executor: Executor) -> Sequence[UUID]:
        size, named = _named(executor, ids)
        free = [dialect.id_out(own) for (own,) in executor.rows(f"lock_seen_of_{size}", **named, **values)]
        if free:
            size, named = _named(executor, free)
            executor.change(f"{statement}_of_{size}", **named, **values)
        return free

    return executor.transact(body)


def _named(executor: Executor, ids: Sequence[UUID]) -> tuple[int, dict[str, Any]]:
    """Returns how many ids a statement takes, and its parameters. The first id fills the places that are left."""
    size = next(size for size in AT_ONCE if size >= len(ids))
    filled = [executor.dialect.id_in(own) for own in [*ids, *[ids[0]] * (size - len(ids))]]
    return size, dict(zip(parameters(size), filled, strict=True))
