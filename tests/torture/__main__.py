"""The tortures at full size, as a table: ``python -m tests.torture --trials 300 --histories 1000``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from tests.support.redis_cluster import redis_cluster
from tests.support.services import MARIADB, POSTGRESQL, fresh_database, redis_server
from tests.torture.crew import SIZES, Crew
from tests.torture.late import late_logins, unchecked_logins
from tests.torture.linearize import Verdict, in_processes, in_threads
from tests.torture.places import Place, async_places, sync_place
from tests.torture.race import race
from tests.torture.redis_keys import forget, is_redis

IN_SQL = ("CheckThenUpdate", "FindThenDelete", "LocksWithoutLooking")
IN_REDIS = ("CheckThenDelete", "DeletesInTransaction")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--trials", type=int, default=300, help="of simultaneous callers and of late logins, for each cell")
    parser.add_argument("--histories", type=int, default=1000, help="for each backend")
    parser.add_argument("--only", choices=["survivors", "histories", "logins"], help="one of the three tables")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {"sqlite": f"sqlite:///{folder}/sessions.db"}
        for name, server in (("postgresql", POSTGRESQL), ("mariadb", MARIADB)):
            urls[name] = stack.enter_context(fresh_database(server))
        for url in urls.values():
            backend = SQLBackend(url, timeout=30)
            backend.create_tables()
            backend.close()
        prefix = f"torture-{uuid4().hex[:12]}"
        urls["redis"] = f"{redis_server()}#{prefix}"
        stack.callback(forget, urls["redis"])
        urls["redis cluster"] = f"{stack.enter_context(redis_cluster(Path(folder))).url}#{prefix}"
        crew = stack.enter_context(Crew())
        places = [place for name in urls for place in (sync_place(urls, name), *async_places(urls, name))]
        naive = [sync_place(urls, name) for name in urls]
        bad: list[str] = []
        if options.only in (None, "survivors"):
            bad += _survivors(crew, places, naive, options.trials)
        if options.only in (None, "histories"):
            bad += _histories(crew, places, naive, options.histories)
        if options.only in (None, "logins"):
            bad += _logins(crew, places, naive, options.trials)
    print("\nevery claim holds" if not bad else "\n".join(["\nthese rows do not hold:", *bad]))
    return bool(bad)


def _row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def _head(*cells: str) -> None:
    print()
    _row(*cells)
    _row(*("---" for _ in cells))


def _survivors(crew: Crew, places: list[Place], naive: list[Place], trials: int) -> list[str]:
    """P2. Ours must be clean everywhere; a naive variant must leave nobody in most trials of two callers."""
    _head(f"simultaneous callers, {trials} trials a cell", "N", "nobody left", "several left", "wrong winner", "wrong count", "errors", "s")
    variants = [place.of(variant) for place in naive for variant in (IN_REDIS if is_redis(place.url) else IN_SQL)]
    bad: list[str] = []
    for place in [*places, *variants]:
        for callers in SIZES if not place.variant else (2,):
            started = monotonic()
            tally = race(crew, place, callers=callers, trials=trials)
            found = (tally.nobody, tally.several, tally.wrong_winner, tally.wrong_count, tally.errors.total())
            _row(place.spoken, callers, *found, f"{monotonic() - started:.1f}")
            if tally.nobody <= trials / 2 if place.variant else not tally.clean:
                bad.append(f"simultaneous callers, {place.spoken}, {callers}: {tally}")
    return bad


def _histories(crew: Crew, places: list[Place], naive: list[Place], histories: int) -> list[str]:
    """P10. Every history of ours must be linearizable; of a naive variant, some must be caught."""
    _head("histories of 4 callers x 4 calls", "histories", "not linearizable", "questions", "stale logins refused", "s")
    variants = [place.of(variant) for place in naive for variant in (IN_REDIS if is_redis(place.url) else (*IN_SQL, "LocksOnlyItself"))]
    bad: list[str] = []

    def show(spoken: str, started: float, verdict: Verdict) -> None:
        found = (verdict.histories, verdict.unexplained, verdict.events, verdict.refused)
        _row(spoken, *found, f"{monotonic() - started:.1f}")

    started = monotonic()
    verdict = in_threads(MemoryBackend(), histories)
    show("memory, threads", started, verdict)
    if verdict.unexplained:
        bad.append("histories, memory, threads")
    for place in [*places, *variants]:
        started = monotonic()
        verdict = in_processes(crew, place, histories)
        show(place.spoken, started, verdict)
        if verdict.unexplained == 0 if place.variant else verdict.unexplained > 0:
            bad.append(f"histories, {place.spoken}")
        if verdict.unexplained and not place.variant:
            print(verdict.example, file=sys.stderr)
    return bad


def _logins(crew: Crew, places: list[Place], naive: list[Place], trials: int) -> list[str]:
    """P3. No session that rests on the old password may be live."""
    _head(f"late logins, {trials} trials a cell", "by", "minted", "refused", "alive on the old password", "wrong count", "s")
    bad: list[str] = []
    for place in [*places, *(place.of("InsertsUnchecked") for place in naive)]:
        for ticket in (False, True) if not place.variant else (False,):
            started = monotonic()
            if place.variant:
                outcome = unchecked_logins(crew, place, trials=trials)
            else:
                outcome = late_logins(crew, place, trials=trials, ticket=ticket)
            how = "nothing" if place.variant else "ticket" if ticket else "age"
            found = (outcome.minted, outcome.refused, outcome.alive, outcome.wrong)
            _row(place.spoken, how, *found, f"{monotonic() - started:.1f}")
            if not outcome.is_caught if place.variant else outcome.alive or outcome.wrong:
                bad.append(f"late logins, {place.spoken}, {how}: {outcome}")
    return bad


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pytest.skip.Exception as skipped:
        sys.exit(str(skipped))
