"""``python -m tests.benchmarks``: measure, and print one table in Markdown."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg

from tests.benchmarks import (
    api,
    companion,
    durability,
    era,
    guarded,
    idle,
    parts,
    passthrough,
    replicas,
    revoke_others,
    served,
    sidecar,
    sqlite,
)
from tests.benchmarks import django as in_django
from tests.benchmarks import postgresql as on_postgresql
from tests.benchmarks import redis as on_redis
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, Result, Row, table

TOPICS: dict[str, Callable[[Effort], Iterator[Result]]] = {
    "passthrough": passthrough.measure,
    "guarded": guarded.measure,
    "served": served.measure,
    "sqlite": sqlite.measure,
    "postgresql": on_postgresql.measure,
    "revoke_others": revoke_others.measure,
    "companion": companion.measure,
    "django": in_django.measure,
    "sidecar": sidecar.measure,
    "api": api.measure,
    "idle": idle.measure,
    "era": era.measure,
    "redis": on_redis.measure,
    "replicas": replicas.measure,
    "durability": durability.measure,
    "parts": parts.measure,
}
ONLY_IF_NAMED = {"parts", "replicas", "durability"}
"""For the work on the middlewares, and for the page about backends: they compare nothing of ours with others, and have no reach."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "topics", nargs="*", metavar="topic", help=f"what to measure, all by default but those without a reach: {', '.join(TOPICS)}"
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds: to see that it runs, not to quote")
    parser.add_argument("--check", action="store_true", help="end with status 1 if something is out of reach")
    arguments = parser.parse_args()
    unknown = [topic for topic in arguments.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"no such topic: {', '.join(unknown)}")
    effort = Effort.quick() if arguments.quick else Effort.full()
    results: list[Result] = []
    for topic in arguments.topics or [topic for topic in TOPICS if topic not in ONLY_IF_NAMED]:
        print(f"measuring {topic} ...", file=sys.stderr, flush=True)
        results += TOPICS[topic](effort)
    print(surroundings(), end="\n\n")
    print("\n".join(table(results)))
    return 1 if arguments.check and not all(result.reached for result in results if isinstance(result, Row)) else 0


def surroundings() -> str:
    """On what it was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "psycopg", "asyncpg", "redis", "uvicorn", "starlette"))
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}, PostgreSQL {_postgresql()}; {packages}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _postgresql() -> str:
    with postgresql() as urls:
        if not urls:
            return "not there"
        with psycopg.connect(urls[0]) as connection:
            return str(connection.info.parameter_status("server_version"))


if __name__ == "__main__":
    sys.exit(main())
