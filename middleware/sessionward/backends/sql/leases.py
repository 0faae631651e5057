"""The lease that all workers of an installation share, and the queries that read and set it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sessionward.backends.leased import Lease
from sessionward.backends.sql.dialect import Dialect
from sessionward.backends.sql.executor import Executor, reads, writes
from sessionward.session.session import LEASES_WITHIN


@reads
def lease(executor: Executor) -> Lease:
    """Returns the lease and how long a revocation waits. The statement has a transaction of its own, so it reads what is committed now."""
    row = executor.row("lease")
    if row is None:
        return Lease(0.0, 0.0, None)
    seconds, former_lease, lowered_at, now = row
    dialect = executor.dialect
    seconds, wait = lease_and_wait(dialect, seconds, former_lease, lowered_at, dialect.time_out(now))
    return Lease(seconds, wait, dialect.time_out(lowered_at) + timedelta(seconds=LEASES_WITHIN) if wait > seconds else None)


@writes
def set_lease(executor: Executor, seconds: float) -> None:
    """Sets the lease. If it becomes shorter, records the longer one and when."""
    _change(executor, seconds, lower=True)


@writes
def raise_lease(executor: Executor, seconds: float) -> None:
    """Sets the lease if it is shorter."""
    _change(executor, seconds, lower=False)


def lease_and_wait(
    dialect: Dialect, seconds: float | None, former_lease: float | None, lowered_at: Any, now: datetime
) -> tuple[float, float]:
    """Returns the lease, and the largest of the last hour. Both are 0 if the table has no row, as after a migration of Alembic's."""
    if seconds is None or former_lease is None:
        return 0.0, 0.0
    # A time that lies in the future counts too: the clock was set back, and the longer wait is the safe one.
    if lowered_at is None or (now - dialect.time_out(lowered_at)).total_seconds() >= LEASES_WITHIN:
        return seconds, seconds
    return seconds, max(seconds, former_lease)


def _change(executor: Executor, seconds: float, *, lower: bool) -> None:
    def body(executor: Executor) -> bool:
        row = executor.row("lock_lease")
        if row is None:
            return False
        before, former, lowered = row
        if seconds < before:
            if not lower:
                return True
            dialect = executor.dialect
            clock = executor.row("now")  # read under the lock
            assert clock is not None
            now = dialect.time_out(clock[0])
            _, former = lease_and_wait(dialect, before, former, lowered, now)
            lowered = dialect.time_in(now)
        if seconds != before:
            executor.change("set_lease", lease=seconds, former=former, lowered=lowered)
        return True

    if not executor.transact(body):
        executor.change("add_state")
        executor.transact(body)
