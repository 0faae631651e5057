"""``sessions.list()`` and ``sessions.revoke(id)``: what an application gets of its caller's sessions, in both doors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import pytest

import sessionward
from sessionward import NotSignedIn, SessionRevoked, UsageError
from sessionward.backends import SessionList
from tests.doors.keepers import Foreign, Keeper, Memory, Rows
from tests.doors.sides import Browser, Builder, Here, House, Reply, town

UNKNOWN: Final = UUID(int=2**120 + 7)


class Desk:
    """The town, with one verb more: what ``ask`` makes of the caller's sessions, which ``answers`` has."""

    def __init__(self) -> None:
        self.ask: Callable[[Any], Any] = lambda sessions: sessions.list()
        self.answers: list[Any] = []

    async def __call__(self, here: Here) -> Reply:
        if here.path != "/ask":
            return await town(here)
        self.answers.append(await self.ask(here.sessions))
        return Reply()

    def answer(self, browser: Browser, ask: Callable[[Any], Any]) -> Any:
        """What the verb returns for this browser. Raises what it raises."""
        self.ask = ask
        browser.ask("GET", "/ask")
        return self.answers.pop()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def house(build: Builder, keeper: Keeper, desk: Desk) -> House:
    return build(desk, keeper.backend)


def ids_of(keeper: Keeper, user: str = "ann") -> list[UUID]:
    return [session.id for session in keeper.aside.list(user)]


def browsers_of(house: House, count: int, user: str = "ann") -> list[Browser]:
    browsers = [Browser(house) for _ in range(count)]
    for browser in browsers:
        browser.sign_in(user)
    return browsers


# --- list -------------------------------------------------------------------------------------------------------------


def test_the_list_has_all_live_sessions_of_the_caller_and_nobody_elses(house: House, keeper: Keeper, desk: Desk) -> None:
    first, *_ = browsers_of(house, 3)
    browsers_of(house, 2, "bob")
    listed = desk.answer(first, lambda sessions: sessions.list())
    assert isinstance(listed, SessionList)
    assert ([session.id for session in listed], listed.total) == (ids_of(keeper), 3)
    own = desk.answer(first, current)
    assert own.id in {session.id for session in listed}


async def current(sessions: Any) -> Any:
    return sessions.current


def test_the_list_goes_on_behind_its_last_session(house: House, keeper: Keeper, desk: Desk) -> None:
    first, *_ = browsers_of(house, 5)
    seen, after = [], None
    while page := desk.answer(first, lambda sessions, after=after: sessions.list(after=after, limit=2)):  # type: ignore[misc]
        assert page.total == 5
        seen += [session.id for session in page]
        after = page[-1]
    assert seen == ids_of(keeper)


WRONG: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    "list, a limit of zero": (lambda sessions: sessions.list(limit=0), "limit must be an int of at least 1"),
    "list, a limit that is a truth value": (lambda sessions: sessions.list(limit=True), "limit must be an int of at least 1"),
    "list, a limit that is a str": (lambda sessions: sessions.list(limit="2"), "limit must be an int of at least 1"),
    "list, after an id": (lambda sessions: sessions.list(after=UNKNOWN), "after must be a session of an earlier list"),
    "revoke, no UUID": (lambda sessions: sessions.revoke("7"), "the id of a session must be a UUID"),
    "revoke, a UUID in braces": (lambda sessions: sessions.revoke(f"{{{UNKNOWN}}}"), "the id of a session must be a UUID"),
    "revoke, digits beyond ASCII": (lambda sessions: sessions.revoke("\u0661" * 32), "the id of a session must be a UUID"),
    "revoke, a number": (lambda sessions: sessions.revoke(7), "the id of a session must be a UUID"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_told(build: Builder, desk: Desk, case: str) -> None:
    ask, said = WRONG[case]
    house = build(desk)
    (browser,) = browsers_of(house, 1)
    with pytest.raises(UsageError, match=re.escape(said)):
        desk.answer(browser, ask)


# --- revoke -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "as_given",
    [pytest.param(str, id="a str"), pytest.param(lambda own: own, id="a UUID"), pytest.param(lambda own: str(own).upper(), id="capitals")],
)
def test_one_session_is_revoked_and_the_caller_learns_whether_it_was_live(
    house: House, keeper: Keeper, desk: Desk, as_given: Callable[[UUID], Any]
) -> None:
    here, there = browsers_of(house, 2)
    own = desk.answer(here, current)
    (other,) = {*ids_of(keeper)} - {own.id}
    assert desk.answer(here, lambda sessions: sessions.revoke(as_given(other))) is True
    assert (here.me(), there.me()) == ("ann", "nobody")
    assert desk.answer(here, lambda sessions: sessions.revoke(as_given(other))) is False


def test_an_id_of_another_user_and_an_unknown_one_are_false_alike(house: House, keeper: Keeper, desk: Desk) -> None:
    (ann,), (bob,) = browsers_of(house, 1), browsers_of(house, 1, "bob")
    (foreign,) = ids_of(keeper, "bob")
    assert [desk.answer(ann, lambda sessions, other=other: sessions.revoke(other)) for other in (foreign, UNKNOWN)] == [False, False]  # type: ignore[misc]
    assert bob.me() == "bob"


def test_the_callers_own_session_is_for_logout(house: House, keeper: Keeper, desk: Desk) -> None:
    (browser,) = browsers_of(house, 1)
    (own,) = ids_of(keeper)
    with pytest.raises(UsageError, match=re.escape("this is the caller's own session; use logout()")):
        desk.answer(browser, lambda sessions: sessions.revoke(own))
    assert browser.me() == "ann"


def test_a_caller_who_has_been_revoked_meanwhile_revokes_nothing(house: House, keeper: Keeper, desk: Desk) -> None:
    here, there = browsers_of(house, 2)
    own = desk.answer(here, current)
    (other,) = {*ids_of(keeper)} - {own.id}

    async def late(sessions: Any) -> Any:
        assert sessions.current is not None
        keeper.aside.revoke("ann", own.id)
        return await sessions.revoke(other)

    with pytest.raises(SessionRevoked):
        desk.answer(here, late)
    assert there.me() == "ann"


# --- who may call them, and where -------------------------------------------------------------------------------------


VERBS: Final[dict[str, Callable[[Any], Any]]] = {
    "list": lambda sessions: sessions.list(),
    "revoke": lambda sessions: sessions.revoke(UNKNOWN),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_caller_who_is_not_signed_in_is_told(build: Builder, desk: Desk, verb: str) -> None:
    with pytest.raises(NotSignedIn, match=re.escape(f"{verb}() needs a signed-in caller")):
        desk.answer(Browser(build(desk)), VERBS[verb])


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("list", "Foreign has no list(): it cannot list the sessions of a user"),
        ("revoke", "Foreign has no revoke_one(): it cannot revoke a single session"),
    ],
)
def test_a_backend_that_cannot_is_told(build: Builder, desk: Desk, verb: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        desk.answer(Browser(build(desk, Foreign(Memory()))), VERBS[verb])


class ListedRows(Rows):
    """An application's own rows, which can be listed and revoked one by one."""

    def list(self, user_id: str, /, **asked: Any) -> SessionList:
        self.asked.append("list")
        return SessionList([sessionward.Session(id=UNKNOWN, user_id=user_id)], 1)

    def revoke_one(self, session: sessionward.Session, id: UUID, terms: Any, /) -> bool:
        self.asked.append("revoke_one")
        return id == UNKNOWN


def test_over_the_applications_own_rows_they_ask_who_is_calling_first(build: Builder, desk: Desk) -> None:
    rows = ListedRows(k1="ann")
    browser = Browser(build(desk, rows), name="sid", cookie="k1")
    assert [session.user_id for session in desk.answer(browser, VERBS["list"])] == ["ann"]
    assert desk.answer(browser, VERBS["revoke"]) is True
    assert rows.asked == ["find", "list", "find", "revoke_one"]
