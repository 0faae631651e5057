"""A name or an address leads to one PostgreSQL server now and to another one then, and both may run: workers go over with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward import BackendUnavailable
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import Credential, new_token
from sessionward.testing.bridge import Bridged, Loop
from tests.contract.sql_world import ASYNCPG, ASYNCPG_ENGINE, PSYCOPG, PSYCOPG_ASYNC, PSYCOPG_ENGINE, Kind
from tests.support.faulty_proxy import FaultyProxy
from tests.support.postgresql import READY, Node, cluster, standby_of
from tests.support.servers import HOST
from tests.support.sessions import new_session

OURS = "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
ERA = "SELECT era FROM sessionward_state"


@pytest.fixture
def primary() -> Iterator[Node]:
    with cluster() as node:
        SQLBackend(url_of(node.port)).create_tables()
        yield node


@pytest.fixture
def standby(primary: Node) -> Node:
    return standby_of(primary)


@pytest.fixture
def address(primary: Node) -> Iterator[FaultyProxy]:
    with FaultyProxy(primary.port) as proxy:
        yield proxy


def url_of(port: int, scheme: str = "postgresql") -> str:
    return f"{scheme}://postgres@{HOST}:{port}/postgres"


Make = Callable[..., Any]


@pytest.fixture
def make(address: FaultyProxy) -> Iterator[Make]:
    """Makes a backend that connects to the address."""
    ends: list[Callable[[], Any]] = []

    def made(kind: Kind, **options: Any) -> Any:
        url = url_of(address.port, kind.scheme)
        loop = Loop() if kind.is_async else None
        create: Any = create_async_engine if kind.is_async else create_engine
        database: Any = create(url) if kind.over_engine else url
        backend: Any = (AsyncSQLBackend if kind.is_async else SQLBackend)(database, timeout=READY, **options)
        found = backend if loop is None else Bridged(backend, loop)
        ends.append(found.close)
        if kind.over_engine:
            ends.append(database.dispose if loop is None else lambda: loop.run(database.dispose()))
        if loop is not None:
            ends.append(loop.close)
        return found

    yield made
    for end in ends:
        end()


@pytest.mark.parametrize("kind", [PSYCOPG, PSYCOPG_ASYNC, ASYNCPG, PSYCOPG_ENGINE, ASYNCPG_ENGINE], ids=str)
def test_a_worker_that_has_met_a_standby_goes_on_when_the_address_leads_to_the_primary(
    kind: Kind, make: Make, primary: Node, standby: Node, address: FaultyProxy
) -> None:
    backend = make(kind)
    primary.keep_up(standby)
    address.lead_to(standby.port)
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="is a standby"):
            backend.begin_login("ann")
    address.lead_to(primary.port)
    assert backend.begin_login("ann") == 0
    standby.until(OURS, "0")


@pytest.mark.parametrize("on_rollback", ["refuse", "revoke"])
@pytest.mark.parametrize("kind", [PSYCOPG, PSYCOPG_ENGINE], ids=str)
def test_p6_a_connection_to_a_server_that_the_worker_has_left_is_closed(
    kind: Kind, on_rollback: str, make: Make, primary: Node, standby: Node, address: FaultyProxy
) -> None:
    """The old primary lives on, and a question to it lasts until the worker follows the new one."""
    backend = make(kind, on_rollback=on_rollback)
    token = new_token()
    own = backend.login(new_session("ann", token))
    primary.keep_up(standby)
    before = Credential(token.encode())
    engine = create_engine(url_of(primary.port, "postgresql+psycopg"))
    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as holder:
            holder.execute(text("LOCK TABLE sessionward_sessions IN ACCESS EXCLUSIVE MODE"))
            late = threads.submit(backend.find, before)
            primary.until("SELECT COUNT(*) FROM pg_locks WHERE NOT granted", "1")
            standby.promote()
            address.lead_to(standby.port)
            assert backend.revoke_all("ann") == 1
        assert late.result(READY) == own, "the test shows nothing without a late answer of the old primary"
    engine.dispose()
    if not kind.over_engine:
        primary.until(OURS, "0")  # closed when it came back
    for _ in range(3):
        assert backend.find(before) is None
        assert backend.begin_login("ann") == 1
    primary.until(OURS, "0")
    assert (primary.ask(ERA), standby.ask(ERA)) == ("0", "0")


def test_p6_two_primaries_behind_one_address_do_not_sign_everybody_out_in_turn(
    make: Make, primary: Node, standby: Node, address: FaultyProxy
) -> None:
    backend = make(PSYCOPG, on_rollback="revoke")
    backend.revoke_all("ann")
    primary.keep_up(standby)
    standby.promote()
    for _ in range(2):
        address.lead_to(standby.port)
        backend.close()
        assert backend.begin_login("ann") == 1
        address.lead_to(primary.port)
        backend.close()
        with pytest.raises(BackendUnavailable, match="was on 2"):
            backend.begin_login("ann")
    assert (primary.ask(ERA), standby.ask(ERA)) == ("0", "0")
