"""What a PostgreSQL server says of itself, and how an operator accepts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sessionward.backends.sql.dialect import POSTGRESQL
from sessionward.backends.sql.driver import code_of, is_not_allowed
from sessionward.backends.sql.executor import Executor, writes
from sessionward.backends.sql.lineage import Lineage, Place, Server, position_of, timeline_of
from sessionward.errors import BackendUnavailable

TRIES: Final = 5
"""How often a worker looks again, if another one has changed what the database remembers meanwhile."""


class HiddenLog(Exception):
    """The role may not see the log of the server, or the server lacks a function for it. ``code``: that of the refusal."""

    def __init__(self, code: str) -> None:
        self.code = code


class ServerRow(NamedTuple):
    """The row of the statement ``server``, as the driver returns it. A standby has no ``file`` and no ``position``."""

    is_standby: bool
    system: Any
    file: str | None
    position: str | None
    received: str | None
    replayed: str | None
    durable: str
    fsync: str
    standby_names: str
    standbys: int
    lineage: str | None
    rolled_back: Any

    @property
    def kept(self) -> str:
        """What the database remembers, as the statements compare it."""
        return self.lineage or ""

    def weaknesses(self) -> Sequence[str]:
        """Returns what the server would lose, one sentence each."""
        found: list[str] = []
        if self.durable == "off" or self.fsync == "off":
            found.append(
                f"PostgreSQL may lose revocations when it crashes (synchronous_commit={self.durable}, fsync={self.fsync}): set both to on"
            )
        if self.standbys and (not self.standby_names or self.durable in ("off", "local")):
            found.append(
                "PostgreSQL has standbys and waits for none of them (synchronous_standby_names is empty, or synchronous_commit is off or"
                " local): one that lags and is promoted has lost revocations; see on_rollback"
            )
        return found

    def server(self) -> Server:
        assert self.file is not None
        assert self.position is not None
        place = Place(int(self.system), timeline_of(self.file), position_of(self.position))
        # Without what was received, this process has restarted since: then what it replayed is another matter.
        branched = None if self.received is None or self.replayed is None else position_of(self.replayed)
        try:
            kept, is_readable = (Lineage.read(self.kept) if self.kept else None), True
        except ValueError:
            kept, is_readable = None, False
        return Server(place, branched, kept, bool(self.rolled_back), is_readable)


def ask_server(executor: Executor) -> ServerRow:
    """Returns what the primary says of itself. Raises ``BackendUnavailable`` for a standby, and :class:`HiddenLog`."""
    try:
        row = executor.row("server")
    except Exception as error:
        if is_not_allowed(error, executor.dialect):
            raise HiddenLog(code_of(error, executor.dialect)) from error
        raise
    assert row is not None
    found = ServerRow(*row)
    if found.is_standby:
        raise BackendUnavailable(
            "this PostgreSQL server is a standby, whose answers are late: connect to the primary (target_session_attrs=read-write)"
        )
    return found


def accepted_now(server: Server, executor: Executor) -> Lineage:
    """Returns the lineage of a server that is accepted now."""
    clock = executor.row("now")
    assert clock is not None
    now = int(executor.dialect.time_out(clock[0]).timestamp() * 1_000_000)
    before = 0 if server.kept is None else server.kept.accepted
    return Lineage(system=server.place.system, timeline=server.place.timeline, accepted=max(now, before + 1))


def has_changed(executor: Executor, statement: str, **values: Any) -> bool:
    """Returns whether a statement has changed the row of the state. A migration of Alembic's makes the table and no row."""
    if executor.change(statement, **values):
        return True
    executor.change("add_state")
    return False


@writes
def accept_server(executor: Executor) -> str:
    """Accepts the server as it is. Returns what was accepted, or an empty string where no lineage is followed."""
    if executor.dialect is not POSTGRESQL:
        return ""
    for _ in range(TRIES):
        try:
            row = ask_server(executor)
        except HiddenLog:
            return ""
        server = row.server()
        if has_changed(executor, "accept_lineage", lineage=accepted_now(server, executor).written(), kept=row.kept):
            return f"PostgreSQL {server.place.system}, timeline {server.place.timeline}"
    raise BackendUnavailable("other workers are deciding on the lineage of this PostgreSQL server")
