"""What "sign out my other devices" pays on PostgreSQL, beside what a naive query would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final, TypeAlias

import psycopg

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, ratios, times, trials, typical
from tests.benchmarks.signing import tokens

Connection: TypeAlias = psycopg.Connection[Any]

SESSIONS: Final = 10
MANY: Final = 10_000
FIND: Final = b"SELECT id, user_id FROM sessionward_sessions WHERE digest = %s AND ended_at IS NULL AND expires_at > now()"
END: Final = b"UPDATE sessionward_sessions SET ended_at = now() WHERE user_id = %s AND ended_at IS NULL AND id <> %s"
CLEAR: Final = b"DELETE FROM sessionward_sessions WHERE user_id = %s"
FILL: Final = (
    b"INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, last_seen_at, ended_at)"
    b" SELECT gen_random_uuid(), %s || (i %% %s)::text, sha256(gen_random_uuid()::text::bytea), now(), now(),"
    b" now() + interval '1 day', now(), CASE WHEN %s THEN now() END FROM generate_series(1, %s) AS i"
)
NAME: Final = "revoke_others on PostgreSQL"


def measure(effort: Effort) -> Iterator[Result]:
    quick = effort.rounds < Effort.full().rounds
    with postgresql(2) as urls:
        if not urls:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        with psycopg.connect(urls[0], autocommit=True) as one, psycopg.connect(urls[1], autocommit=True) as other:
            backends = [SQLBackend(url, timeout=30) for url in urls]
            for backend in backends:
                backend.create_tables()
            rounds, each = (3, 10) if quick else (15, 20)
            yield _beside_the_naive_way(backends[0], one, rounds, each)
            yield _old_rows(backends[0], one, rounds, each)
            yield _many_sessions(backends[0], one, 3 if quick else 15)
            yield _growth(backends, [one, other], 100_000 if quick else 1_000_000, rounds, each)
            for backend in backends:
                backend.close()


def _beside_the_naive_way(backend: SQLBackend, connection: Connection, rounds: int, each: int) -> Row:
    """Ten sessions, one of which revokes the others: find and revoke, as the endpoint does."""

    def naive(token: bytes) -> int:
        row = connection.execute(FIND, (Credential(token).digest,)).fetchone()
        assert row is not None
        return connection.execute(END, (row[1], row[0])).rowcount

    found = trials({"ours": _signed_in_anew(backend, "ada", _ours(backend)), "naive": _signed_in_anew(backend, "bob", naive)}, rounds, each)
    beside = f"a naive find, then UPDATE {typical(found['naive'])}"
    return Row(f"{NAME}, {SESSIONS} live sessions, p50", typical(found["ours"]), beside, ratios(found["ours"], found["naive"]), times, 2.5)


def _old_rows(backend: SQLBackend, connection: Connection, rounds: int, each: int) -> Row:
    fill(connection, "old ", 1, MANY, ended=True)
    connection.execute(b"VACUUM ANALYZE sessionward_sessions")
    ours = _ours(backend)
    found = trials({"without": _signed_in_anew(backend, "new 0", ours), "with": _signed_in_anew(backend, "old 0", ours)}, rounds, each)
    beside = f"without them {typical(found['without'])}"
    return Row(
        f"{NAME}, {MANY:,} ended rows of old, p50", typical(found["with"]), beside, ratios(found["with"], found["without"]), times, 1.3
    )


def _many_sessions(backend: SQLBackend, connection: Connection, rounds: int) -> Row:
    """Ten thousand sessions of one user, new ones each time; what is left is cleared away, and that is not timed."""

    def fresh(end: Callable[[bytes], int]) -> Callable[[], float]:
        def trial() -> float:
            connection.execute(CLEAR, ("many 0",))
            fill(connection, "many ", 1, MANY)
            connection.execute(b"VACUUM ANALYZE sessionward_sessions")
            return _timed(end, tokens(backend, "many 0", 1)[0], MANY)

        return trial

    def bare(token: bytes) -> int:
        row = connection.execute(b"SELECT id FROM sessionward_sessions WHERE digest = %s", (Credential(token).digest,)).fetchone()
        assert row is not None
        return connection.execute(END, ("many 0", row[0])).rowcount

    found = trials({"ours": fresh(_ours(backend)), "bare": fresh(bare)}, rounds, 1)
    beside = f"a bare UPDATE of the same rows {typical(found['bare'])}"
    return Row(f"{NAME}, a user with {MANY:,} sessions", typical(found["ours"]), beside, ratios(found["ours"], found["bare"]), times, 1.5)


def _growth(backends: list[SQLBackend], connections: list[Connection], large: int, rounds: int, each: int) -> Row:
    """Two databases at once, a small one and a large one, so that both are measured at the same time."""
    for connection, rows in zip(connections, (10_000, large), strict=True):
        connection.execute(b"TRUNCATE sessionward_sessions")
        fill(connection, "crowd ", rows // SESSIONS, rows)
        connection.execute(b"VACUUM ANALYZE sessionward_sessions")
        connection.execute(b"CHECKPOINT")
    small, big = (_signed_in_anew(backend, "ada", _ours(backend)) for backend in backends)
    found = trials({"small": small, "large": big}, rounds, each)
    beside = f"with 10,000 rows {typical(found['small'])}"
    return Row(
        f"{NAME}, {large:,} rows in the table, p50", typical(found["large"]), beside, ratios(found["large"], found["small"]), times, 1.3
    )


def fill(connection: Connection, prefix: str, users: int, rows: int, *, ended: bool = False) -> None:
    connection.execute(FILL, (prefix, users, ended, rows))


def _signed_in_anew(backend: SQLBackend, user: str, end: Callable[[bytes], int]) -> Callable[[], float]:
    """A trial: sign in, which is not timed, and end all sessions but the last."""
    return lambda: _timed(end, tokens(backend, user, SESSIONS)[-1], SESSIONS - 1)


def _timed(end: Callable[[bytes], int], token: str, at_least: int) -> float:
    began = perf_counter()
    count = end(token.encode())
    took = perf_counter() - began
    assert count >= at_least
    return took


def _ours(backend: SQLBackend) -> Callable[[bytes], int]:
    def end(token: bytes) -> int:
        session = backend.find(Credential(token))
        assert session is not None
        return int(backend.revoke_others(session))

    return end
