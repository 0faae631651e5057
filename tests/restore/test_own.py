"""Mode own: cookies, header tokens, tickets and sign-ins under way do not outlive the restore of a backup."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from sessionward import StaleLogin
from tests.contract.sql_world import safe_engine
from tests.doors.sides import Browser, Here, House, Reply, town
from tests.restore.conftest import Place


class Town:
    """An application that signs in over several requests too. ``meanwhile``: called while a sign-in is under way."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = bool

    async def __call__(self, here: Here) -> Reply:
        if here.path == "/begin":
            return Reply((await here.sessions.begin_login("ann")).encode())
        if here.path not in ("/finish", "/slow"):
            return await town(here)
        self.meanwhile()
        try:
            await here.sessions.login("ann", ticket=here.header("x-ticket"))
        except StaleLogin:
            return Reply(b"stale")
        return Reply(b"signed in")


def by_header(house: House, token: str) -> str:
    return house.ask("GET", "/me", ("X-Session-Token", token)).body.decode()


@pytest.fixture
def application() -> Town:
    return Town()


@pytest.fixture
def house(place: Place, application: Town) -> House:
    return place.open(application)


def test_p6_a_restored_backup_revives_sessions_and_after_the_command_nobody_is_signed_in(place: Place, house: House) -> None:
    own, other, bob = Browser(house), Browser(house), Browser(house)
    own.sign_in()
    other.sign_in()
    bob.sign_in("bob")
    token = house.ask("POST", "/login/ann").body.decode()
    ticket = house.ask("POST", "/begin").body.decode()
    place.take()
    assert own.press().json() == {"count": 2}
    assert [own.me(), other.me(), by_header(house, token)] == ["ann", "nobody", "nobody"]
    place.restore()
    assert [own.me(), other.me(), by_header(house, token)] == ["ann", "ann", "ann"], "the backup must revive them, or this shows nothing"
    place.restored()
    assert [own.me(), other.me(), bob.me(), by_header(house, token)] == ["nobody"] * 4
    assert own.press().status == 401
    assert house.ask("POST", "/finish", ("X-Ticket", ticket)).body == b"stale"
    new, newer = Browser(house), Browser(house)
    new.sign_in()
    newer.sign_in()
    assert new.press().json() == {"count": 1}
    assert [new.me(), newer.me(), own.me()] == ["ann", "nobody", "nobody"]


@pytest.fixture
def branch(dumped: Place, application: Town) -> House:
    return dumped.open(application)


def test_p6_a_backup_of_an_earlier_era_brings_nobody_back(dumped: Place, branch: House) -> None:
    own = Browser(branch)
    own.sign_in()
    dumped.take()
    dumped.restored()
    later = Browser(branch)
    later.sign_in()
    dumped.restore()
    assert own.me() == "ann", "the backup must revive it, or this shows nothing"
    dumped.restored()
    assert [own.me(), later.me()] == ["nobody", "nobody"]


def test_p3_a_sign_in_under_way_is_refused(dumped: Place, branch: House, application: Town) -> None:
    dumped.take()
    dumped.restore()
    application.meanwhile = dumped.restored
    assert branch.ask("POST", "/slow").body == b"stale"
    application.meanwhile = bool
    assert branch.ask("POST", "/slow").body == b"signed in"


def test_a_check_that_does_not_compare_the_era_is_seen(sql_dumped: Place) -> None:
    """The canary: with the era of today in each row of the backup, its sessions live."""
    own = Browser(sql_dumped.open(town))
    own.sign_in()
    sql_dumped.take()
    sql_dumped.restore()
    sql_dumped.restored()
    assert own.me() == "nobody"
    engine = safe_engine(sql_dumped.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE sessionward_sessions SET era = (SELECT era FROM sessionward_state)"))
    engine.dispose()
    assert own.me() == "ann"
