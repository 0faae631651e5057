"""What Django's own sessions pay: ending the others on PostgreSQL, ordinary requests, and filling the index."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Final, TypeAlias

from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import (
    Effort,
    LeftOut,
    Result,
    Row,
    added,
    alternate,
    compared,
    ratios,
    times,
    trials,
    typical,
)
from tests.benchmarks.served import ROOT

Ask: TypeAlias = Callable[[str, int], float]
"""Has a project do a piece of work, and answers its figure."""

SESSIONS: Final = 10
MANY: Final = 100
SMALL: Final = 10_000
ALLAUTH: Final = ("django.contrib.messages", "allauth", "allauth.account", "allauth.usersessions")
ENDS: Final = "revoke_others in Django's db engine on PostgreSQL"
PASSES: Final = "an ordinary request of a Django project in process, 8 headers, time added"
VISITORS: Final = ("no cookie", "signed in")
INDEX: Final = "sessionward index on SQLite"


def measure(effort: Effort) -> Iterator[Result]:
    quick = effort.rounds < Effort.full().rounds
    yield from _ending(100_000 if quick else 1_000_000, (3, 5) if quick else (15, 20))
    yield from _passing(effort)
    yield from _indexing((2_000, 10_000, 3) if quick else (20_000, 100_000, 9))


@contextmanager
def project(url: str, *applications: str) -> Iterator[Ask]:
    """A Django project in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.django_project", url, *applications]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(work: str, number: int) -> float:
            print(json.dumps([work, number]), file=asked, flush=True)
            answer = answers.readline()
            if not answer:
                raise RuntimeError(f"the Django project has ended instead of its work: {work}")
            return float(json.loads(answer))

        ask("nothing", 0)  # it has started
        yield ask


def _ending(large: int, effort: tuple[int, int]) -> Iterator[Result]:
    """Two databases at once, a small one and a large one, so that both are measured at the same time."""
    rounds, each = effort
    with ExitStack() as stack:
        urls = stack.enter_context(postgresql(2))
        if not urls:
            yield LeftOut(ENDS, "no PostgreSQL answers")
            return
        small, big = (stack.enter_context(project(url)) for url in urls)
        small("crowd", SMALL)
        big("crowd", large)
        found = trials(
            {
                "ours": lambda: big("end", SESSIONS),
                "update": lambda: big("update", SESSIONS),
                "first": lambda: big("find and end first", SESSIONS),
                "small": lambda: small("end", SESSIONS),
            },
            rounds,
            each,
        )
        name = f"{ENDS}, index complete, {SESSIONS} sessions of {large:,}, p50"
        bare = f"a bare UPDATE of the ten rows {typical(found['update'])}"
        yield Row(name, typical(found["ours"]), bare, ratios(found["ours"], found["update"]), times, 3.0)
        yield Row(
            "the same with find before it, for a user who calls it for the first time",
            typical(found["first"]),
            bare,
            ratios(found["first"], found["update"]),
            times,
            None,
        )
        beside = f"of {SMALL:,} rows {typical(found['small'])}"
        yield Row(f"{ENDS}, {large:,} rows, p50", typical(found["ours"]), beside, ratios(found["ours"], found["small"]), times, 1.3)
        beside_allauth = stack.enter_context(project(urls[1], *ALLAUTH))
        yield _beside_allauth(beside_allauth, 1 if each < 20 else 15)


def _beside_allauth(ask: Ask, rounds: int) -> Row:
    """A project that has both, in the large database: allauth's own flow, as its view calls it."""
    found = trials({"ours": lambda: ask("end", MANY), "allauth": lambda: ask("allauth", MANY)}, rounds, 3)
    beside = f"allauth's usersessions {typical(found['allauth'])}"
    faster = ratios(found["allauth"], found["ours"])
    return Row(f"{ENDS}, {MANY} sessions of the user, p50", typical(found["ours"]), beside, faster, times, 10.0, at_least=True)


def _passing(effort: Effort) -> Iterator[Result]:
    """Beside what the smallest middlewares add to the same request; ``django_project.passing`` has the names."""
    with tempfile.TemporaryDirectory() as folder, project(f"sqlite:///{folder}/django.db") as ask:
        for door, limit in (("ASGI", 0.5), ("WSGI", 0.3)):
            beside = {"ASGI": "Starlette's TrustedHostMiddleware, time added", "WSGI": "Werkzeug's ProxyFix, time added"}[door]
            sides = [f"{door} {side}, {visitor}" for visitor in VISITORS for side in ("bare", "guarded", "beside")]
            rounds = alternate({side: _asked(ask, side) for side in sides}, effort)
            for visitor in VISITORS:
                ours, other = (added(rounds, f"{door} {side}, {visitor}", f"{door} bare, {visitor}") for side in ("guarded", "beside"))
                yield compared(f"{PASSES}: {door}, {visitor}", ours, beside, other, limit)


def _asked(ask: Ask, work: str) -> Callable[[int], float]:
    return lambda number: ask(work, number)


def _indexing(sizes: tuple[int, int, int]) -> Iterator[Result]:
    few, many, rounds = sizes
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        small, large = (stack.enter_context(project(f"sqlite:///{folder}/{size}.db")) for size in (few, many))
        small("sessions", few)
        large("sessions", many)
        found = trials({"index": lambda: small("index", few), "read": lambda: small("read", few)}, rounds, 1)
        beside = f"a loop that only reads and decodes {few / median(found['read']):,.0f}/s"
        rate = f"{few / median(found['index']):,.0f}/s"
        slower = ratios(found["read"], found["index"])
        yield Row(f"{INDEX}, sessions a second, all of them signed in", rate, beside, slower, times, 0.7, at_least=True)
        peaks = [ask("peak", 0) for ask in (small, large)]
        kept, grown = (f"{peak / 1024:,.0f} KiB" for peak in peaks)
        yield Row(f"{INDEX}, peak memory, {many:,} sessions", grown, f"with {few:,} {kept}", [peaks[1] / peaks[0]], times, 1.2)
