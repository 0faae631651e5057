"""What "sign out my other devices" pays on PostgreSQL, beside what a naive query would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any, Final

import psycopg

from sessionward.backends.sql import SQLBackend
from sessionward.credential import Credential
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, duration, ratios, times, typical
from tests.benchmarks.signing import tokens

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


def measure(effort: Effort) -> Iterator[Result]:
    with postgresql() as url:
        if url is None:
            yield LeftOut("end_others on PostgreSQL", "no PostgreSQL answers")
            return
        backend = SQLBackend(url, deadline=30)
        backend.create_tables()
        with psycopg.connect(url, autocommit=True) as connection:
            rounds = max(20, effort.rounds)
            yield from _beside_the_naive_way(backend, connection, rounds)
            yield from _many_sessions(backend, connection, max(5, effort.rounds // 3))
            yield from _old_rows(backend, connection, rounds)
            yield from _growth(backend, connection, rounds)
        backend.close()


def _beside_the_naive_way(backend: SQLBackend, connection: psycopg.Connection[Any], rounds: int) -> Iterator[Result]:
    ours: list[float] = []
    naive: list[float] = []
    for _ in range(rounds):
        ours.append(_timed(_ours(backend), backend, "ours"))
        naive.append(_timed(_naive(connection), backend, "naive"))
    beside = f"naive find, then UPDATE {typical(naive)}"
    yield Row(f"end_others on PostgreSQL, {SESSIONS} live sessions", typical(ours), beside, [_p50(ours, naive)], times, 2.5)


def _many_sessions(backend: SQLBackend, connection: psycopg.Connection[Any], rounds: int) -> Iterator[Result]:
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        _fill(connection, "many ", 1, MANY)
        ours.append(_timed(_ours(backend), backend, "many 0", 1))
        connection.execute(CLEAR, ("many 0",))
        _fill(connection, "many ", 1, MANY)
        token = tokens(backend, "many 0", 1)[0]
        row = connection.execute(FIND, (Credential(token.encode()).digest,)).fetchone()
        assert row is not None
        began = perf_counter()
        connection.execute(END, ("many 0", row[0]))
        bare.append(perf_counter() - began)
        connection.execute(CLEAR, ("many 0",))
    yield Row(
        f"end_others, a user with {MANY:,} sessions",
        typical(ours),
        f"a bare UPDATE of the same rows {typical(bare)}",
        ratios(ours, bare),
        times,
        1.5,
    )


def _old_rows(backend: SQLBackend, connection: psycopg.Connection[Any], rounds: int) -> Iterator[Result]:
    _fill(connection, "old ", 1, MANY, ended=True)
    connection.execute(b"VACUUM ANALYZE sessionward_sessions")
    without: list[float] = []
    beside: list[float] = []
    for _ in range(rounds):
        without.append(_timed(_ours(backend), backend, "new"))
        beside.append(_timed(_ours(backend), backend, "old 0"))
    yield Row(
        f"end_others, {MANY:,} ended rows of old", typical(beside), f"without them {typical(without)}", [_p50(beside, without)], times, 1.3
    )


def _growth(backend: SQLBackend, connection: psycopg.Connection[Any], rounds: int) -> Iterator[Result]:
    connection.execute(b"TRUNCATE sessionward_sessions")
    seconds: list[list[float]] = []
    for rows in (10_000, 1_000_000):
        present = connection.execute(b"SELECT count(*) FROM sessionward_sessions").fetchone()
        assert present is not None
        _fill(connection, "crowd ", rows // SESSIONS, rows - int(present[0]))
        connection.execute(b"VACUUM ANALYZE sessionward_sessions")
        connection.execute(b"CHECKPOINT")
        _timed(_ours(backend), backend, "warm")
        seconds.append([_timed(_ours(backend), backend, "crowd 1", SESSIONS) for _ in range(rounds * 2)])
    small, large = seconds
    yield Row("end_others, 1,000,000 rows in the table", typical(large), f"10,000 rows {typical(small)}", [_p50(large, small)], times, 1.3)


def _p50(ours: list[float], beside: list[float]) -> float:
    return median(ours) / median(beside)


def _fill(connection: psycopg.Connection[Any], prefix: str, users: int, rows: int, *, ended: bool = False) -> None:
    connection.execute(FILL, (prefix, users, ended, rows))


def _timed(end: Callable[[str, bytes], int], backend: SQLBackend, user: str, sessions: int = SESSIONS) -> float:
    """Seconds for ending the other sessions of a user, all newly signed in; signing in is not timed."""
    digest = tokens(backend, user, sessions)[0].encode()
    began = perf_counter()
    count = end(user, digest)
    took = perf_counter() - began
    if count < sessions - 1:
        raise AssertionError(f"{count} sessions were ended, which is not what was to be measured: {duration(took)}")
    return took


def _ours(backend: SQLBackend) -> Callable[[str, bytes], int]:
    def end(_user: str, token: bytes) -> int:
        session = backend.find(Credential(token))
        assert session is not None
        return int(backend.end_others(session))

    return end


def _naive(connection: psycopg.Connection[Any]) -> Callable[[str, bytes], int]:
    def end(user: str, token: bytes) -> int:
        row = connection.execute(FIND, (Credential(token).digest,)).fetchone()
        assert row is not None
        return connection.execute(END, (user, row[0])).rowcount

    return end
