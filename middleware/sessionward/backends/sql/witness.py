"""Examines the server of each new connection: whether it has lost commits, and whether it keeps our promises."""

from __future__ import annotations

import logging
from collections import deque
from enum import Enum
from time import monotonic
from typing import Any, Final

from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, Dialect
from sessionward.backends.sql.driver import is_not_allowed
from sessionward.backends.sql.executor import Executor
from sessionward.backends.sql.galera import Galera, refuse_galera
from sessionward.backends.sql.lineage import Lineage, Lost, Seen, Server, judge, position_of, shown, timeline_of
from sessionward.backends.sql.server import TRIES, HiddenLog, ServerRow, accepted_now, ask_server, has_changed
from sessionward.errors import BackendUnavailable, OutcomeUnknown
from sessionward.session.era import new_era

log = logging.getLogger("sessionward")

REMEMBERED: Final = 1024
"""How many positions a worker remembers: more than it has commits at one time, since these may be noted in any order."""
QUIET: Final = 60.0
"""Seconds between two lines of the log that say the same."""


class OnRollback(Enum):
    """What happens when commits are missing."""

    REFUSE = "refuse"
    REVOKE = "revoke"
    IGNORE = "ignore"


class Witness:
    """What one worker knows of its server. Each new connection is examined by one query, and each commit tells how far the log is.

    ``examination``: changes when what the worker knows changes. A connection that was examined under another one is closed and never
    examined again: it may lead to a server that the worker has left.
    """

    def __init__(self, dialect: Dialect, on_rollback: OnRollback, galera: Galera) -> None:
        self.examination = object()
        self.follows = dialect is POSTGRESQL and on_rollback is not OnRollback.IGNORE
        self.is_needed = self.follows or (dialect is MYSQL and galera is Galera.REFUSE)
        self._dialect = dialect
        self._on_rollback = on_rollback
        self._memory: Seen | None = None
        """The place that was examined first on this timeline, and what the database remembered then."""
        self._left: set[tuple[int, int]] = set()
        """The logs that this worker has followed before. Their servers may live on."""
        self._noted: deque[tuple[int, int, int]] = deque(maxlen=REMEMBERED)
        """Timeline, ``accepted`` and position of the last commits, in any order. A deque needs no lock."""
        self._has_warned = False
        self._said: dict[str, float] = {}

    def examine(self, executor: Executor) -> object:
        """Returns the examination that the server has passed. Raises ``BackendUnavailable`` or ``ConfigurationError`` if it is refused."""
        if self._dialect is MYSQL:
            refuse_galera(executor)
        elif self.follows:
            return self._follow(executor)
        return self.examination

    def committed(self, file: str, position: str) -> None:
        """Notes how far the log is after a commit. Raises ``OutcomeUnknown`` if it is not the log that was examined."""
        memory, at = self._memory, position_of(position)
        if memory is None:
            return
        if timeline_of(file) == memory.place.timeline and at >= memory.place.position:
            self._noted.append((memory.place.timeline, memory.lineage.accepted, at))
            return
        self.examination = object()  # behind a connection pooler, the server changes and the connection stays
        raise OutcomeUnknown(f"PostgreSQL is on timeline {timeline_of(file)} at {shown(at)} since this transaction; its server has changed")

    def _seen(self, memory: Seen | None) -> Seen | None:
        """Returns the last place that this worker has seen on the timeline of ``memory``."""
        if memory is None:
            return None
        timeline, accepted = memory.place.timeline, memory.lineage.accepted
        positions = [at for *about, at in list(self._noted) if about == [timeline, accepted]]
        return memory._replace(place=memory.place._replace(position=max(positions, default=memory.place.position)))

    def _follow(self, executor: Executor) -> object:
        for _ in range(TRIES):
            examination, memory = self.examination, self._memory
            before = self._seen(memory)
            try:
                row = ask_server(executor)
            except HiddenLog as hidden:
                self.follows = False
                self._say(
                    logging.WARNING,
                    f"PostgreSQL does not let this role see its log ({hidden.code}): a restored backup or a promoted standby that lagged"
                    " is not noticed; run sessionward restored after each",
                )
                return self.examination
            self._warn(row)
            server = row.server()
            if self._memory is memory:
                # What others have committed meanwhile lies behind the end of the log that this server has just told, if it is the same one.
                seen = before if before is None or before.place.log == server.place.log else self._seen(memory)
                lineage = self._accepted(executor, server, row.kept, seen)
                if lineage is not None:
                    return self._remember(server, lineage, seen, examination)
        raise BackendUnavailable("other workers are deciding on the lineage of this PostgreSQL server")

    def _accepted(self, executor: Executor, server: Server, kept: str, seen: Seen | None) -> Lineage | None:
        """Returns what the database remembers now of a server that may be used, or None if another worker has changed it."""
        verdict = judge(server, seen)
        if isinstance(verdict, Lost):
            # A server that this worker has left lives beside the one that it follows: each would end the sessions of the other in turn.
            if self._on_rollback is OnRollback.REFUSE or server.place.log in self._left:
                self._refuse(executor, server, verdict)
            lineage = accepted_now(server, executor)
            if not has_changed(executor, "begin_era_of_server", lineage=lineage.written(), kept=kept, era=new_era()):
                return None
            self._say(
                logging.ERROR, f"this PostgreSQL server may have lost commits: {verdict.reason}. All sessions of all users were revoked"
            )
            return lineage
        lineage = verdict.lineage
        if lineage.written() != kept and not self._may_change(executor, "note_lineage", lineage=lineage.written(), kept=kept):
            return None
        if seen is not None and lineage.accepted > seen.lineage.accepted:
            self._say(logging.WARNING, "an operator has accepted this PostgreSQL server")
        elif seen is not None and seen.place.log != server.place.log:
            self._say(
                logging.WARNING, f"PostgreSQL went from timeline {seen.place.timeline} to {server.place.timeline}, and nothing is missing"
            )
        return lineage

    def _remember(self, server: Server, lineage: Lineage, seen: Seen | None, examination: object) -> object:
        """Notes what was found. Returns the examination that counts from now on."""
        if seen is not None and seen.place.log == server.place.log and seen.lineage == lineage:
            self._noted.append((server.place.timeline, lineage.accepted, server.place.position))
            return examination
        if seen is not None:
            self._left.add(seen.place.log)
        self._left.discard(server.place.log)
        self._memory = Seen(server.place, lineage)
        self.examination = examination = object()
        return examination

    def _refuse(self, executor: Executor, server: Server, lost: Lost) -> None:
        self.examination = object()
        if lost.is_proved and not server.rolled_back:
            self._may_change(executor, "note_rollback")
        reason = f"this PostgreSQL server may have lost commits: {lost.reason}"
        self._say(
            logging.ERROR,
            f"{reason}. Revoked sessions may be live there, so every request is answered 503. Run sessionward restored, which revokes"
            " all sessions, or sessionward restored --nothing-lost if you know that the server has every commit",
            about="lost",
        )
        raise BackendUnavailable(f"{reason}; an operator must decide: sessionward restored")

    def _may_change(self, executor: Executor, statement: str, **values: Any) -> bool:
        """Returns False if the row is not what it was. A role that may not write keeps what it knows to itself."""
        try:
            return has_changed(executor, statement, **values)
        except Exception as error:
            if not is_not_allowed(error, self._dialect):
                raise
            return True

    def _warn(self, row: ServerRow) -> None:
        """Says once in each worker what the server would lose."""
        if not self._has_warned:
            self._has_warned = True
            for weakness in row.weaknesses():
                self._say(logging.WARNING, weakness)

    def _say(self, level: int, text: str, *, about: str = "") -> None:
        """Says something in the log, and once a minute at most. ``about``: what stands for the same with other figures in it."""
        now, about = monotonic(), about or text
        if now - self._said.get(about, -QUIET) >= QUIET:
            self._said[about] = now
            log.log(level, "%s", text)
