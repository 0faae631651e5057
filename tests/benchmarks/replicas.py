"""How often a check on a replica of PostgreSQL accepts a session that was revoked before the check began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread
from time import perf_counter, sleep
from typing import Final

import psycopg
import pytest

from sessionward.backends import Credential
from sessionward.backends.sql import SQLBackend
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, typical
from tests.benchmarks.signing import tokens
from tests.support.postgresql import Node, cluster
from tests.support.servers import HOST

NAME: Final = "checks begun after the 200 that accept a revoked session, PostgreSQL"
PLACES: Final = {
    "the primary": ("primary", "", "on"),
    "an asynchronous standby": ("standby", "", "on"),
    "a synchronous standby, `remote_write`": ("standby", "*", "remote_write"),
    "a synchronous standby, `on`": ("standby", "*", "on"),
    "a synchronous standby, `remote_apply`": ("standby", "*", "remote_apply"),
}
"""Which server is asked, and what the primary has for ``synchronous_standby_names`` and ``synchronous_commit``."""
READERS: Final = 3
AFTER: Final = 0.1
"""Seconds for which the readers go on asking after the 200."""


@dataclass(slots=True)
class Seen:
    """What the readers of one place have seen. ``worst``: seconds from the 200 to the last check that accepted."""

    checks: int = 0
    accepted: int = 0
    trials: int = 0
    worst: float = 0.0
    took: list[float] = field(default_factory=list[float])
    """Seconds of each revocation."""


def measure(effort: Effort) -> Iterator[Result]:
    trials = 100 if effort.rounds >= Effort.full().rounds else 10
    seen = {place: Seen() for place in PLACES}
    try:
        with cluster() as primary:
            standby = primary.copy(follows=True, name="standby")
            standby.start()
            for place, (asked, names, commit) in PLACES.items():
                _wait_at_commits(primary, names, commit)
                backend = SQLBackend(_url(primary))
                backend.create_tables()
                for _ in range(trials):
                    _trial(backend, _url(primary if asked == "primary" else standby), seen[place])
                backend.close()
    except pytest.skip.Exception as missing:
        yield LeftOut(NAME, str(missing))
        return
    for place, found in seen.items():
        shown = (
            f"{found.accepted:,} of {found.checks:,}, in {found.trials} of {trials} trials, the last {found.worst * 1e3:.1f} ms after it"
        )
        yield Row(
            f"{NAME}: {place}",
            shown,
            f"the revocation took {typical(found.took)}",
            [found.accepted / found.checks],
            lambda part: f"{part:.2%}",
            None,
        )


def _trial(backend: SQLBackend, url: str, seen: Seen) -> None:
    """Two sessions, of which one revokes the other while three readers ask whether that one is live."""
    kept, other = (Credential(token.encode()) for token in tokens(backend, "ann", 2))
    session = backend.find(kept)
    assert session is not None
    until = float("inf")
    begun: list[tuple[float, bool]] = []

    def ask() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while (now := perf_counter()) < until:
                row = connection.execute(LIVE, (other.digest,)).fetchone()
                begun.append((now, row is not None))

    readers = [Thread(target=ask) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    while not any(live for _, live in begun):  # the standby has the session
        sleep(0.001)
    began = perf_counter()
    assert backend.revoke_others(session) == 1
    done = perf_counter()
    until = done + AFTER
    for reader in readers:
        reader.join()
    backend.revoke_all("ann")
    later = [(at, live) for at, live in begun if at >= done]
    accepted = [at for at, live in later if live]
    seen.took.append(done - began)
    seen.checks += len(later)
    seen.accepted += len(accepted)
    seen.trials += bool(accepted)
    seen.worst = max(seen.worst, max(accepted, default=done) - done)


LIVE: Final = b"SELECT id FROM sessionward_sessions WHERE digest = %s AND ended_at IS NULL AND expires_at > clock_timestamp()"


# --- two servers ------------------------------------------------------------------------------------------------------


def _url(node: Node) -> str:
    return f"postgresql://postgres@{HOST}:{node.port}/postgres"


def _wait_at_commits(primary: Node, names: str, commit: str) -> None:
    """Has the primary wait at a commit for what these settings say, and waits until it does."""
    primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    primary.ask(f"ALTER SYSTEM SET synchronous_commit = '{commit}'")
    primary.ask("SELECT pg_reload_conf()")
    primary.until("SELECT min(sync_state) FROM pg_stat_replication WHERE state = 'streaming'", "sync" if names else "async")
