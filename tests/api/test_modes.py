"""The session API in each mode, within a lease, and over a backend that cannot list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest

from sessionward import ConfigurationError, Session
from sessionward.api.endpoints import list_sessions, revoke_session, whoami
from sessionward.backends import Credential, Position, SessionList, Terms, public_id
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.session.session import Checked
from sessionward.session.steps import Check, LeaseWait, ListSessions, RevokeOne
from sessionward.sidecar.config.config import configure
from tests.api.houses import Opener
from tests.companion.places import MemoryPlace
from tests.companion.shops import Browser, SigningShop
from tests.doors.keepers import Foreign, Memory, Rows
from tests.doors.sides import SESSIONS, ASGIHouse, House, WebTestHouse
from tests.support.core import SECRET, SESSION, TOKEN, AsyncFindsAndEnds, FindsAndEnds, opened, play

# --- a backend that cannot --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", [FindsAndEnds(), AsyncFindsAndEnds(), Foreign(Memory())], ids=["sync", "async", "in memory"])
def test_a_backend_that_cannot_list_is_refused_with_the_way_out(backend: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^api: \w+ cannot list .* leave the setting out"):
        choose(backend, {"secrets": [SECRET], "api": True}, float)
    choose(backend, {"secrets": [SECRET], "api": False}, float)


def test_a_backend_that_can_only_list_is_refused_too() -> None:
    class Lists(FindsAndEnds):
        def list(self, user_id: str, /, **keywords: object) -> SessionList:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match=r"^api: Lists cannot list"):
        choose(Lists(), {"secrets": [SECRET], "api": True}, float)


# --- mode application -------------------------------------------------------------------------------------------------


class ListedRows(Rows):
    """The same rows, which can be listed."""

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        credentials = [Credential(key.encode()) for key, user in self.users.items() if user == user_id]
        sessions = sorted((Session(id=public_id(each), user_id=user_id) for each in credentials), key=lambda each: each.id, reverse=True)
        others = [each for each in sessions if each.id != without]
        page = [each for each in others if after is None or each.id < after.id]
        return SessionList(page[:limit], total=len(others))

    def revoke_one(self, session: Session, id: UUID, terms: Terms, /) -> bool:
        keys = [key for key, user in self.users.items() if user == session.user_id and public_id(Credential(key.encode())) == id]
        for key in keys:
            del self.users[key]
        return bool(keys)


def test_the_applications_own_sessions_are_listed_and_revoked_by_its_own_cookie(open_house: Opener) -> None:
    rows = ListedRows(one="ada", two="ada", three="ada", four="bob")
    house = open_house(rows)
    own = ("Cookie", "sid=one")

    def ask(method: str, path: str = "", query: str = "", *fields: tuple[str, str]) -> Any:
        return house.ask(method, SESSIONS + path, *(fields or (own,)), query=query)

    assert ask("GET", "/whoami").json()["identity"]["external_id"] == "ada"
    first = ask("GET", "", "page_size=1")
    assert (first.value("x-total-count"), len(first.json())) == ("2", 1)
    after = first.value("link").partition("page_token=")[2].partition(">")[0]
    second = ask("GET", "", f"page_size=1&page_token={after}")
    ids = {each["id"] for answer in (first, second) for each in answer.json()}
    assert ids == {str(public_id(Credential(key))) for key in (b"two", b"three")}
    assert ask("DELETE", f"/{public_id(Credential(b'two'))}").status == 204
    assert ask("DELETE", f"/{public_id(Credential(b'four'))}").status == 204
    assert sorted(rows.users) == ["four", "one", "three"]
    assert ask("DELETE", f"/{public_id(Credential(b'one'))}").status == 400
    assert ask("GET", "/whoami", "", ("Cookie", "sid=two")).status == 401
    schemes = ask("GET", "/openapi.json").json()["components"]["securitySchemes"]
    assert [(scheme["in"], scheme["name"]) for scheme in schemes.values()] == [("cookie", "sid")]


# --- mode companion ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[ASGIHouse, WebTestHouse], ids=["asgi", "wsgi"])
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """An application with its own login, and companions beside it."""
    place = MemoryPlace()
    monkeypatch.setattr("sessionward.door.handle.time", place.now)
    shop = SigningShop()
    house: House = request.param(shop, place.backend, identify=shop.identifier, api=True)
    yield house
    house.close()


def signed_in(house: House, user: str) -> Browser:
    browser = Browser(house)
    browser.get(f"/login/{user}")
    assert browser.companion is not None
    return browser


def test_companions_are_listed_to_who_has_both_a_companion_and_the_login(shop: House) -> None:
    laptop, phone, stranger = (signed_in(shop, user) for user in ("ann.1", "ann.2", "bob.1"))
    own = laptop.ask("GET", f"{SESSIONS}/whoami").json()
    (other,) = laptop.ask("GET", SESSIONS).json()
    assert own["identity"] == other["identity"]
    assert other["id"] == phone.ask("GET", f"{SESSIONS}/whoami").json()["id"] != own["id"]
    assert laptop.ask("DELETE", f"{SESSIONS}/{stranger.ask('GET', f'{SESSIONS}/whoami').json()['id']}").status == 204
    assert laptop.ask("DELETE", f"{SESSIONS}/{other['id']}").status == 204
    assert (laptop.me(), phone.me(), stranger.me()) == ("ann", "nobody", "bob")
    assert laptop.ask("GET", SESSIONS).json() == []


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/whoami"), ("DELETE", "/00000000-0000-4000-8000-000000000000")])
def test_a_companion_or_a_login_alone_sees_and_changes_nothing(shop: House, method: str, path: str) -> None:
    browser = signed_in(shop, "ann.1")
    assert browser.ask(method, SESSIONS + path).status in (200, 204)
    companion_alone = Browser(shop, {name: value for name, value in browser.jar.items() if name != "session"})
    mixed = Browser(shop, {**browser.jar, "session": signed_in(shop, "bob.1").jar["session"]})
    for thief in browser.copied(), companion_alone, mixed:
        assert thief.ask(method, SESSIONS + path).status == 401


# --- leases -----------------------------------------------------------------------------------------------------------


class Leasing(FindsAndEnds):
    """A backend with leases, which nobody asks: the flows are stepped by hand."""

    def _unasked(self, *args: object, **keywords: object) -> Any:
        raise NotImplementedError

    login = begin_login = revoke = revoke_all = check = lease_wait = raise_lease = set_lease = list = revoke_one = _unasked


NOW: Final = [100.0]


@pytest.fixture
def leased() -> Mode[Any]:
    NOW[0] = 100.0
    return choose(Leasing(), {"secrets": [SECRET], "api": True, "lease": 1.0}, lambda: NOW[0])


LIVE: Final = Checked(SESSION, user_id="ada", remaining=1e6, lease=1.0, wait=1.0)
ENDED: Final = Checked(None, has_ended=True, user_id="ada", lease=1.0, wait=1.0)
FIELD: Final = (b"x-session-token", TOKEN)


def test_p1_whoami_trusts_an_answer_within_the_lease_and_asks_after_it(leased: Mode[Any]) -> None:
    for moment, kinds in ((100.0, ["Check"]), (100.8, []), (101.0, ["Check"])):
        NOW[0] = moment
        played = play(whoami(*opened(FIELD, mode=leased)), LIVE)
        assert (played.kinds, played.value.status) == (kinds, 200)


def test_p1_whoami_of_a_revoked_session_is_401_only_after_the_wait(leased: Mode[Any]) -> None:
    played = play(whoami(*opened(FIELD, mode=leased)), ENDED, None)
    assert (played.kinds, played.value.status) == (["Check", "Wait"], 401)


def test_the_list_asks_each_time_also_within_the_lease(leased: Mode[Any]) -> None:
    empty = SessionList([], total=0)
    assert play(list_sessions(*opened(FIELD, mode=leased)), LIVE, empty).kinds == ["Check", "ListSessions"]
    for _ in range(2):
        played = play(list_sessions(*opened(FIELD, mode=leased)), empty)
        assert (played.kinds, played.value.status) == (["ListSessions"], 200)


@pytest.mark.parametrize("was_live", [True, False])
def test_p1_a_session_is_said_to_be_revoked_only_after_the_wait_whether_it_was_live_or_not(leased: Mode[Any], was_live: bool) -> None:
    other = str(UUID(int=7)).encode()
    played = play(revoke_session(other, *opened(FIELD, mode=leased)), LIVE, was_live, 1.0, None)
    assert [type(step) for step in played.asked[:3]] == [Check, RevokeOne, LeaseWait]
    assert (played.kinds[3:], played.value.status) == (["Wait"], 204)


def test_the_steps_of_the_list_write_nothing() -> None:
    assert not ListSessions.writes
    assert RevokeOne.writes


# --- the sidecar ------------------------------------------------------------------------------------------------------


def test_the_sidecar_refuses_the_api_over_a_backend_that_cannot_list(tmp_path: Any) -> None:
    from sessionward.sidecar.build import build
    from sessionward.sidecar.observe.counts import Counts

    config = configure("serve", {"upstream": "http://127.0.0.1:9", "backend": "tests.api.test_modes:UNLISTED", "api": "true"}, {})
    with pytest.raises(ConfigurationError, match=r"^api: "):
        build(config, Counts())


UNLISTED: Final = Foreign(Memory())
