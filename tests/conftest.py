"""Fixtures of all tests, the markers, which tests run beside which, and who pays for what a test leaves open."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from time import thread_time
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support.redis_cluster import Cluster, redis_cluster
from tests.support.redis_servers import Node, Watched, one_redis, primary_and_replica, watched_by_sentinels
from tests.support.services import MARIADB, POSTGRESQL, fresh_database, redis_server

settings.register_profile("sessionward", deadline=None, database=None)  # no test depends on how busy the machine is
settings.load_profile("sessionward")

HERE: Final = Path(__file__).parent
MEMORY: Final = Path("/dev/shm")

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**32:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # thousands of tests commit to SQLite, and would wait for a disk


def pytest_configure() -> None:
    """Compiles the catalogues of a checkout that was not installed since they were changed.

    Undoes what a shell does to jobs in the background: they ignore Ctrl-C, and so would each process that a test starts.
    """
    if (HERE.parent / "hatch_build.py").is_file():  # not where the tests run against a wheel
        from hatch_build import compile_catalogues

        compile_catalogues(HERE.parent)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A fresh PostgreSQL database, as ``postgresql://...``."""
    with fresh_database(POSTGRESQL) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A fresh MariaDB database, as ``mysql://...``."""
    with fresh_database(MARIADB) as url:
        yield url


@pytest.fixture
def empty_postgresql_url() -> Iterator[str]:
    """A PostgreSQL database that no other test has."""
    with fresh_database(POSTGRESQL) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that others use at the same time: each test has a prefix of its own there."""
    return redis_server()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Node]:
    """A Redis that no other test has, which may be stopped, filled and killed."""
    with one_redis(tmp_path) as node:
        yield node


@pytest.fixture
def redis_pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """A Redis and its replica."""
    with primary_and_replica(tmp_path) as pair:
        yield pair


@pytest.fixture
def watched_redis(tmp_path: Path) -> Iterator[Watched]:
    """A Redis, its replica, and three Sentinels."""
    with watched_by_sentinels(tmp_path) as watched:
        yield watched


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Redis Cluster that other tests use too: each has a prefix of its own there, and no node is harmed."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def breakable_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Redis Cluster of this module, whose nodes may be killed. A test leaves it ready."""
    with redis_cluster(tmp_path_factory.mktemp("breakable")) as cluster:
        yield cluster


@pytest.fixture
def sqlite_url(tmp_path: Path) -> Iterator[str]:
    """A database file that does not exist yet, as ``sqlite:///...``."""
    yield f"sqlite:///{tmp_path}/sessions.db"
    from sessionward.seen import flush

    for seen in list(flush._at_exit()):  # pyright: ignore[reportPrivateUsage]
        seen._here().drop()  # pyright: ignore[reportPrivateUsage]  # else a thread misses the file, and says so in the log of another test


@pytest.fixture
def never_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that sign in right after a revocation and are not about P3.

    A sign-in that the machine holds up for a second, a millisecond after a revocation, would be refused (``CLOCK_RATE``).
    """
    for module in ("sql.queries", "memory.backend", "redis.login"):
        monkeypatch.setattr(f"sessionward.backends.{module}.CLOCK_RATE", 0.0)


# --- markers ----------------------------------------------------------------------------------------------------------

SLOW: Final = (
    "api/test_schemathesis.py",
    "api/test_sdks.py",
    "api/test_servers.py",
    "backends/django/",
    "backends/redis/test_cluster",
    "backends/redis/test_failures",
    "backends/test_deadlines.py",
    "backends/test_last_use.py",
    "backends/test_many.py",
    "backends/test_table_knox.py",
    "backends/test_table_many.py",
    "backends/test_table_races.py",
    "companion/test_races.py",
    "companion/test_slow_identifiers.py",
    "doors/test_rotation.py",
    "doors/test_servers.py",
    "failover/",
    "matrix/",
    "parsers/test_spellings.py",
    "restore/",
    "servers/",
    "sidecar/test_companion.py",
    "sidecar/test_engine",
    "sidecar/test_lease.py",
    "sidecar/test_life.py",
    "sidecar/test_faults_bounds.py",
    "sidecar/test_resources.py",
    "sidecar/test_reuse.py",
    "sidecar/test_serve.py",
    "sidecar/test_stacks.py",
    "sidecar/test_streaming.py",
    "sidecar/test_systemd.py",
    "test_cli.py",
    "test_examples",
    "torture/",
)
"""Whole sites and servers, callers at once, timeouts that are waited for, ten thousand sessions."""
SLOW_CLAIMS: Final = frozenset(
    {
        "test_a_store_that_cannot_answer_is_no_unknown_session",
        "test_no_login_in_any_spelling_is_overlooked_in_the_first_pass",
        "test_p3_a_stolen_session_that_calls_on_and_on_does_not_lock_its_owner_out",
        "test_plain_pairs_stay_in_order_between_whatever_attacks",
    }
)
"""Tests that take seconds in a module whose others do not."""
SLOW_FIXTURES: Final = frozenset({"duplex", "real", "server"})
"""A server in a process of its own."""

SERVICES: Final = frozenset(
    {"chosen", "empty_postgresql_url", "mariadb_url", "pgbouncer", "postgresql_url", "redis_url", "spin"}
    | {
        "breakable_cluster",
        "galera_nodes",
        "own_redis",
        "lossy",
        "primary",
        "redis_pair",
        "shared_cluster",
        "shared_redis",
        "stoppable",
        "watched_redis",
    }
)
"""Fixtures that need a server."""
CHOICES: Final = frozenset(
    {"claims", "database", "database_url", "databases", "empty", "make", "make_encoded", "own_place", "place", "seen", "server", "stack"}
)
"""Fixtures that need a server if the parameters or the class of a test name one."""
NAMES: Final = re.compile(r"postgresql|mariadb|mysql|asyncpg|redis|node", re.IGNORECASE)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers. Workers begin with what is slow, so that none of them is left with it at the end."""
    for item in items:
        assert isinstance(item, pytest.Function)
        fixtures = frozenset(item.fixturenames)
        file = item.path.relative_to(HERE).as_posix()
        if file.startswith(SLOW) or fixtures & SLOW_FIXTURES or item.originalname in SLOW_CLAIMS:
            item.add_marker(pytest.mark.slow)
        if fixtures & SERVICES or (fixtures & CHOICES and names_a_server(item)):
            item.add_marker(pytest.mark.services)
        if any(name.startswith("chromium") for name in fixtures):
            item.add_marker(pytest.mark.browser)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def names_a_server(item: pytest.Function) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(NAMES.search(str(named)) for named in (*parameters, getattr(item.cls, "kind", "")))


# --- in parallel ------------------------------------------------------------------------------------------------------


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half as many again as there are cores, and at most 8: servers are waited for most of the time.

    Without workers a few tests begin at once and ``-s`` works; so there are none where files or tests are named.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores + cores // 2) if all(Path(name).is_dir() for name in config.args) else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Scheduling(config, log)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of a module on one worker, or of a class, or of one of Django's sites: what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return nodeid.rpartition("-")[0] if scope.endswith("test_sites.py") else scope


# --- what a test leaves open ------------------------------------------------------------------------------------------

OPENING: Final = (
    "backends/",
    "companion/",
    "doors/",
    "failover/",
    "identify/",
    "matrix/",
    "servers/",
    "sidecar/",
    "torture/",
    "test_drive.py",
    "test_cli.py",
    "test_examples",
)
"""Tests of what has sockets, files, threads and event loops."""


LONG: Final = 0.003
"""Seconds."""


@pytest.fixture(autouse=True)
def closes_what_it_opens(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects garbage after the test, so that a socket which nobody has closed fails this test and not another one."""
    yield
    if request.path.relative_to(HERE).as_posix().startswith(OPENING):
        begun = thread_time()
        gc.collect()
        if thread_time() - begun > LONG:  # what is alive now is kept for other tests, and need not be looked through again
            gc.freeze()


def pytest_collection_finish() -> None:
    """Spares the collector the modules and the tests themselves: it takes a millisecond then, not half a second."""
    gc.collect()
    gc.freeze()
