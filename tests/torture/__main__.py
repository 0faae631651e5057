"""The tortures at full size, as a table: ``python -m tests.torture --trials 300 --histories 1000``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from time import monotonic

import pytest

from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from tests.support.services import MARIADB, POSTGRESQL, fresh_database
from tests.torture.crew import SIZES, Crew
from tests.torture.late import late_logins
from tests.torture.linearize import Verdict, in_processes, in_threads
from tests.torture.places import Place, async_places, sync_place
from tests.torture.race import race

DATABASES = ["sqlite", "postgresql", "mariadb"]


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
        crew = stack.enter_context(Crew())
        places = [place for name in DATABASES for place in (sync_place(urls, name), *async_places(urls, name))]
        naive = [sync_place(urls, name) for name in DATABASES]
        bad = 0
        if options.only in (None, "survivors"):
            bad += _survivors(crew, places, naive, options.trials)
        if options.only in (None, "histories"):
            bad += _histories(crew, places, naive, options.histories)
        if options.only in (None, "logins"):
            bad += _logins(crew, places, naive, options.trials)
    print(f"\n{'every claim holds' if not bad else f'{bad} rows do not hold'}")
    return bad > 0


def _row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def _head(*cells: str) -> None:
    print()
    _row(*cells)
    _row(*("---" for _ in cells))


def _survivors(crew: Crew, places: list[Place], naive: list[Place], trials: int) -> int:
    """P2. Ours must be clean everywhere; a naive variant must leave nobody in most trials of two callers."""
    _head(f"simultaneous callers, {trials} trials a cell", "N", "nobody left", "several left", "wrong winner", "wrong count", "errors", "s")
    variants = [place.of(variant) for place in naive for variant in ("CheckThenUpdate", "FindThenDelete", "LocksWithoutLooking")]
    bad = 0
    for place in [*places, *variants]:
        for callers in SIZES if not place.variant else (2,):
            started = monotonic()
            tally = race(crew, place, callers=callers, trials=trials)
            found = (tally.nobody, tally.several, tally.wrong_winner, tally.wrong_count, tally.errors.total())
            _row(place.spoken, callers, *found, f"{monotonic() - started:.1f}")
            bad += tally.nobody <= trials / 2 if place.variant else not tally.clean
    return bad


def _histories(crew: Crew, places: list[Place], naive: list[Place], histories: int) -> int:
    """P10. Every history of ours must be linearizable; of a naive variant, some must be caught."""
    _head("histories of 4 callers x 4 calls", "histories", "not linearizable", "questions", "stale logins refused", "s")
    variants = ("CheckThenUpdate", "FindThenDelete", "LocksWithoutLooking", "LocksOnlyItself")
    bad = 0

    def show(spoken: str, started: float, verdict: Verdict) -> None:
        found = (verdict.histories, verdict.unexplained, verdict.events, verdict.refused)
        _row(spoken, *found, f"{monotonic() - started:.1f}")

    started = monotonic()
    verdict = in_threads(MemoryBackend(), histories)
    show("memory, threads", started, verdict)
    bad += verdict.unexplained > 0
    for place in [*places, *(place.of(variant) for place in naive for variant in variants)]:
        started = monotonic()
        verdict = in_processes(crew, place, histories)
        show(place.spoken, started, verdict)
        bad += verdict.unexplained == 0 if place.variant else verdict.unexplained > 0
        if verdict.unexplained and not place.variant:
            print(verdict.example, file=sys.stderr)
    return bad


def _logins(crew: Crew, places: list[Place], naive: list[Place], trials: int) -> int:
    """P3. No session that rests on the old password may be live."""
    _head(f"late logins, {trials} trials a cell", "by", "minted", "refused", "alive on the old password", "wrong count", "s")
    bad = 0
    for place in [*places, *(place.of("InsertsUnchecked") for place in naive)]:
        for ticket in (False, True) if not place.variant else (False,):
            started = monotonic()
            outcome = late_logins(crew, place, trials=trials, ticket=ticket)
            how = "nothing" if place.variant else "ticket" if ticket else "age"
            found = (outcome.minted, outcome.refused, outcome.alive, outcome.wrong)
            _row(place.spoken, how, *found, f"{monotonic() - started:.1f}")
            bad += outcome.alive <= trials / 4 if place.variant else outcome.alive > 0 or outcome.wrong > 0
    return bad


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pytest.skip.Exception as skipped:
        sys.exit(str(skipped))
