"""MariaDB Galera: what goes wrong on two nodes, that a node is refused, and that one node is as good as any server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sessionward import ConfigurationError, StaleLogin
from sessionward.cli import main
from sessionward.credential.token import Credential, new_token
from sessionward.testing import CompanionsContract, LoginContract
from tests.contract.sql_world import ASYNCMY, ASYNCMY_ENGINE, PYMYSQL, PYMYSQL_ENGINE, Kind, SQLWorld
from tests.support.galera import GaleraNode, galera
from tests.support.sessions import new_session

BALLAST = (100_000, 300_000, 1_000_000)
"""Rows that keep the second node busy while the first one revokes; more if it was done too soon."""
AGE = 60.0
"""Seconds: the sign-in began long before the revocation, with the old password."""


@pytest.fixture(scope="module")
def galera_nodes() -> Iterator[Sequence[GaleraNode]]:
    with galera() as found:
        yield found


def world_on(node: GaleraNode, kind: Kind) -> SQLWorld:
    return SQLWorld(kind, node.url, timeout=20.0, galera="single_node")


def sign_in_late(world: SQLWorld) -> tuple[Any, str]:
    """A sign-in that began before, and mints only now."""
    token = new_token()
    return world.sessions.login(new_session("ann", token, age=lambda: AGE)), token


@pytest.fixture
def two(galera_nodes: Sequence[GaleraNode]) -> Iterator[tuple[SQLWorld, SQLWorld]]:
    """Workers on two nodes, whose operator has said what is not true."""
    worlds = world_on(galera_nodes[0], PYMYSQL), world_on(galera_nodes[1], PYMYSQL)
    worlds[0].sessions.create_tables()
    yield worlds
    for world in worlds:
        world.close()


def test_p3_on_two_nodes_a_login_that_began_before_a_revocation_is_minted_after_its_success(
    two: tuple[SQLWorld, SQLWorld], galera_nodes: Sequence[GaleraNode]
) -> None:
    """The fault for which a cluster is refused."""
    first, second = two
    first.sessions.revoke_all("ann")
    with pytest.raises(StaleLogin):
        sign_in_late(first)  # on the same node
    for rows in BALLAST:
        first.clean()
        client = first.sign_in("ann")
        galera_nodes[0].ask("DROP TABLE IF EXISTS sessions.ballast")
        galera_nodes[0].ask("CREATE TABLE sessions.ballast (number INT PRIMARY KEY)")
        galera_nodes[1].until("SELECT COUNT(*) FROM sessions.sessionward_sessions", "1")
        galera_nodes[0].ask(f"INSERT INTO sessions.ballast SELECT seq FROM sessions.seq_1_to_{rows}")
        assert first.sessions.revoke_all("ann") == 1  # the client has its 200
        try:
            _, token = sign_in_late(second)
        except StaleLogin:
            continue
        galera_nodes[0].until("SELECT COUNT(*) FROM sessions.ballast", str(rows))
        galera_nodes[1].until("SELECT COUNT(*) FROM sessions.sessionward_sessions WHERE ended_at IS NOT NULL", "1")
        for world in two:
            assert world.sessions.find(client.credential) is None
            assert world.sessions.find(Credential(token.encode())) is not None
        return
    pytest.fail("the second node was never late; the fault was not shown")


@pytest.mark.parametrize("kind", [PYMYSQL, ASYNCMY, PYMYSQL_ENGINE, ASYNCMY_ENGINE], ids=str)
def test_a_node_is_refused_until_the_operator_has_said_that_all_use_one(kind: Kind, galera_nodes: Sequence[GaleraNode]) -> None:
    world = SQLWorld(kind, galera_nodes[0].url, timeout=20.0)
    try:
        world.sessions.create_tables()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"Galera cluster \(3 nodes\).*galera='single_node'"):
                world.sessions.revoke_all("ann")
    finally:
        world.close()


def test_a_url_can_say_so_for_the_commands_and_the_sidecar(galera_nodes: Sequence[GaleraNode], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revoke", "--backend", galera_nodes[0].url, "ann"]) == 2
    assert "Galera" in capsys.readouterr().err
    assert main(["revoke", "--backend", f"{galera_nodes[0].url}?galera=single_node", "ann"]) == 0


@pytest.fixture(scope="class")
def node_world(request: pytest.FixtureRequest, galera_nodes: Sequence[GaleraNode]) -> Iterator[SQLWorld]:
    world = world_on(galera_nodes[2], request.cls.kind)
    world.sessions.create_tables()
    yield world
    world.close()


@pytest.fixture
def world(node_world: SQLWorld) -> SQLWorld:
    node_world.clean()
    return node_world


class TestPyMySQLOnOneNode(LoginContract, CompanionsContract):
    kind = PYMYSQL


class TestAsyncmyOnOneNode(LoginContract, CompanionsContract):
    kind = ASYNCMY
