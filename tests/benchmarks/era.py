"""What the era costs a check on PostgreSQL: the statement of the backend beside the same one without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from sessionward.backends.sql import SQLBackend
from sessionward.backends.sql.dialect import POSTGRESQL
from sessionward.backends.sql.executor import CompiledSQL, Executor
from sessionward.backends.sql.reading import check
from sessionward.backends.sql.statements import STATEMENTS
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, alternate, compared, repeated
from tests.benchmarks.signing import Browsers

NAME: Final = "check on PostgreSQL, with the era"
WITH: Final = STATEMENTS["check"]
WITHOUT: Final = WITH.replace(", s.era", "").replace(", t.era, t.rolled_back", "")


def measure(effort: Effort) -> Iterator[Result]:
    """On one connection, without a pool around it, which would only hide the difference."""
    assert len(WITH) - len(WITHOUT) == len(", s.era, t.era, t.rolled_back")
    with postgresql() as urls:
        if not urls:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        backend = SQLBackend(urls[0])
        backend.create_tables()
        backend.revoke_everybody()
        digests = Browsers.signed_in(backend).digests()
        backend.close()
        sql = CompiledSQL.of(POSTGRESQL, "psycopg", "format", {"check": WITH, "without": WITHOUT}, own=True)
        for prepared in (False, True):
            with psycopg.connect(urls[0], autocommit=True, prepare_threshold=1 if prepared else None) as connection:
                connection.execute(b"ANALYZE")
                executor = Executor(connection, sql, lambda: 1.0)
                live = check(digests[0]).run(executor).session
                assert live is not None
                assert live.generation
                sides = {"with": repeated(_with(executor), digests), "without": repeated(_without(executor), digests)}
                rounds = alternate(sides, effort.longer())
            how = ", prepared" if prepared else ""
            yield compared(NAME + how, rounds["with"], "the same without it", rounds["without"], 1.05)


def _with(executor: Executor) -> Callable[[bytes], object]:
    return lambda digest: check(digest).run(executor)


def _without(executor: Executor) -> Callable[[bytes], object]:
    """Reads the answer as the backend does, from a row that gets the two numbers here."""

    def ask(digest: bytes) -> object:
        row = executor.row("without", digest=digest)
        assert row is not None
        return check(digest).read(POSTGRESQL, (*row[:14], 0, *row[14:], 0, False))

    return ask
