"""The queries that date the era of all sessions.

Each locks the row of the state by a statement of its own, and dates the era by the next one. MariaDB and MySQL read the clock when a
statement begins, before it waits for a row: a sign-in that began during the wait would be newer than the era.
"""

from __future__ import annotations

from sessionward.backends.sql.executor import Executor, writes


@writes
def revoke_everybody(executor: Executor, era: int) -> int:
    """Begins an era, by one write, whatever the number of sessions (P4). Returns it.

    It locks no user, so it waits for no sign-in. One that has read the era of before adds a session of that era, which is never live.
    """

    def body(executor: Executor) -> int:
        executor.row("lock_state")  # P3: the time is read under the lock
        return executor.change("new_era", era=era)

    if not executor.transact(body):  # a migration of Alembic's makes the table and no row
        executor.change("add_state")
        executor.transact(body)
    return era


def note_era_anew(executor: Executor) -> None:
    """Lets the era begin now, in a transaction of the caller, if it lies in the future, since the clock was set back."""
    executor.row("lock_state")
    executor.change("note_era_anew")
