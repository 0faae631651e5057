"""Somebody else acts as a user: what the user sees of it, what it may not do, and that its browser never loses who acts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

import sessionward
from sessionward import Session, UsageError
from sessionward.backends.memory import MemoryBackend
from tests.doors.keepers import Foreign, Keeper, Memory
from tests.doors.sides import SESSIONS, SIDES, Answer, Browser, Builder, Here, House, Reply, town


async def desk(here: Here) -> Reply:
    """The town, and a desk from which administrators act as users: ``/act/ada/root``, ``/act/ada/root/60``."""
    verb, *rest = here.path[1:].split("/")
    try:
        if verb == "act":
            more = {} if len(rest) == 2 else {"lifetime": float(rest[2])}
            return Reply((await here.sessions.login(rest[0], kind="impersonation", actor=rest[1], **more)).encode())
        if verb == "who":
            session = here.sessions.current
            return Reply(f"{session.user_id} {session.kind} {session.actor}".encode())
        if verb == "revoke":
            return Reply(str(await here.sessions.revoke(rest[0])).encode())
        return await town(here)
    except (UsageError, sessionward.NotSignedIn) as wrong:
        return Reply(str(wrong).encode(), 400)


def acting(house: House, user: str = "ada", actor: str = "root", lifetime: str = "") -> Browser:
    browser = Browser(house)
    assert browser.ask("POST", f"/act/{user}/{actor}{lifetime}").status == 200
    return browser


def told(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.body.decode()


def who(browser: Browser) -> str:
    return told(browser.ask("GET", "/who"))


@pytest.fixture
def house(build: Builder, keeper: Keeper) -> House:
    return build(desk, keeper.backend, api=True)


def session_of(keeper: Keeper, user: str = "ada") -> Session:
    """The only live session of a user."""
    (session,) = keeper.aside.list(user)
    assert isinstance(session, Session)
    return session


# --- what it is -------------------------------------------------------------------------------------------------------


def test_it_is_the_users_session_and_says_who_acts(house: House) -> None:
    browser = acting(house)
    assert (browser.me(), who(browser)) == ("ada", "ada impersonation root")
    shown = browser.ask("GET", f"{SESSIONS}/whoami").json()
    assert (shown["kind"], shown["actor"]) == ("impersonation", {"sub": "root"})
    assert (shown["authenticated_at"], shown["authentication_methods"]) == (None, [])


def test_the_user_sees_it_in_the_list_with_its_actor_and_an_ordinary_session_says_no_kind(house: House) -> None:
    ada, phone, _ = Browser(house), Browser(house), acting(house)
    ada.sign_in("ada")
    phone.sign_in("ada")
    shown = ada.ask("GET", SESSIONS).json()
    assert [(one.get("kind"), one.get("actor")) for one in shown] == [(None, None), ("impersonation", {"sub": "root"})]


@pytest.mark.parametrize(
    ("lifetime", "settings", "seconds"),
    [
        pytest.param("", {}, 3600, id="an hour by default"),
        pytest.param("/60", {}, 60, id="as long as it is told"),
        pytest.param("", {"lifetime": timedelta(minutes=5)}, 300, id="no longer than an ordinary session"),
        pytest.param("/300", {"lifetime": timedelta(minutes=5)}, 300, id="as long as an ordinary session"),
    ],
)
def test_it_lives_shortly(build: Builder, keeper: Keeper, lifetime: str, settings: dict[str, Any], seconds: int) -> None:
    house = build(desk, keeper.backend, **settings)
    answer = Browser(house).ask("POST", f"/act/ada/root{lifetime}")
    session = session_of(keeper)
    assert session.expires_at is not None
    assert session.issued_at is not None
    assert session.expires_at - session.issued_at == timedelta(seconds=seconds)
    assert f"Max-Age={seconds}" in answer.value("set-cookie")


def test_what_inherits_it_has_a_cookie_that_lives_no_longer() -> None:
    now = [1.9e9]
    backend = MemoryBackend(clock=lambda: now[0])
    house = SIDES["webtest"](desk, backend)
    house.open()
    root = Browser(house)
    assert "Max-Age=3600" in root.ask("POST", "/act/ada/root").value("set-cookie")
    now[0] += 3000
    assert "Max-Age=600" in root.ask("POST", "/login/ada").value("set-cookie")
    house.close()


def test_it_ends_no_session_of_the_user_for_max_sessions_and_none_of_the_users_sign_ins_ends_it(build: Builder, keeper: Keeper) -> None:
    house = build(desk, keeper.backend, max_sessions=1)
    ada, root = Browser(house), None
    ada.sign_in("ada")
    root = acting(house)
    assert (ada.me(), root.me()) == ("ada", "ada")
    phone = Browser(house)
    phone.sign_in("ada")
    assert [browser.me() for browser in (ada, phone, root)] == ["nobody", "ada", "ada"]


# --- what it may not do -----------------------------------------------------------------------------------------------


def test_it_may_not_sign_the_user_out(house: House, keeper: Keeper) -> None:
    ada, root = Browser(house), acting(house)
    ada.sign_in("ada")
    (own,) = (session for session in keeper.aside.list("ada") if not session.kind)
    for method, path in (("DELETE", SESSIONS), ("DELETE", f"{SESSIONS}/{own.id}")):
        answer = root.ask(method, path)
        assert (answer.status, answer.error) == (403, "forbidden_for_impersonation")
    assert (ada.me(), root.me()) == ("ada", "ada")


def test_the_forms_of_the_page_refuse_it_too(house: House) -> None:
    root = acting(house)
    fields = (("Origin", "https://app.example"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "text/html"))
    for form in ("revoke-others", "00000000-0000-4000-8000-000000000000/revoke"):
        answer = root.ask("POST", f"{SESSIONS}/{form}", *fields)
        assert (answer.status, b"forbidden_for_impersonation" in answer.body) == (403, True)


def test_an_impersonation_that_has_ended_gets_401_as_everybody(house: House) -> None:
    root = acting(house)
    ended = Browser(house, cookie=root.cookie)
    root.ask("POST", "/logout")
    assert (ended.press().status, ended.press().error) == (401, "session_inactive")


def test_nothing_is_asked_of_the_backend_but_whose_session_it_is(build: Builder) -> None:
    memory = Memory()
    root = acting(build(desk, memory))
    memory.asked.clear()
    assert root.press().status == 403
    assert memory.asked == ["find"]


@pytest.mark.parametrize("path", ["/revoke_others", "/revoke/00000000-0000-4000-8000-000000000000"])
def test_the_verbs_for_the_user_refuse_it(house: House, path: str) -> None:
    root = acting(house)
    answer = root.ask("POST", path)
    assert answer.status == 400
    assert "is for the user, and this session is an impersonation" in answer.body.decode()


# --- what ends it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "count", "after"),
    [
        pytest.param({}, 1, "ada", id="not by default"),
        pytest.param({"revoke_impersonations": True}, 2, "nobody", id="if the setting says so"),
    ],
)
def test_the_users_button_spares_it_and_does_not_count_it(
    build: Builder, keeper: Keeper, settings: dict[str, Any], count: int, after: str
) -> None:
    house = build(desk, keeper.backend, **settings)
    ada, phone, root = Browser(house), Browser(house), acting(house)
    ada.sign_in("ada")
    phone.sign_in("ada")
    assert ada.press().json() == {"count": count}
    assert [browser.me() for browser in (ada, phone, root)] == ["ada", "nobody", after]
    assert ada.press().json() == {"count": 0}


@pytest.mark.parametrize(
    ("settings", "after"),
    [pytest.param({}, "ada", id="not by default"), pytest.param({"revoke_impersonations": True}, "nobody", id="by the setting")],
)
def test_the_user_revokes_it_alone_only_if_the_setting_says_so(
    build: Builder, keeper: Keeper, settings: dict[str, Any], after: str
) -> None:
    house = build(desk, keeper.backend, api=True, **settings)
    root = acting(house)
    impersonation = session_of(keeper)
    ada = Browser(house)
    ada.sign_in("ada")
    assert ada.ask("DELETE", f"{SESSIONS}/{impersonation.id}").status == 204
    assert root.me() == after


ENDS: Final[dict[str, tuple[Callable[[Browser, Session], Answer], str]]] = {
    "revoke_others() of the user": (lambda ada, root: ada.ask("POST", "/revoke_others"), "1"),
    "revoke(id) of the user": (lambda ada, root: ada.ask("POST", f"/revoke/{root.id}"), "True"),
    "revoke_all(user)": (lambda ada, root: ada.ask("POST", "/revoke_all/ada"), "2"),
}


@pytest.mark.parametrize("way", ENDS)
def test_the_verbs_end_it(house: House, keeper: Keeper, way: str) -> None:
    root = acting(house)
    impersonation = session_of(keeper)
    ada = Browser(house)
    ada.sign_in("ada")
    end, said = ENDS[way]
    assert told(end(ada, impersonation)) == said
    assert root.me() == "nobody"


def test_logout_ends_it_and_nothing_else(house: House) -> None:
    ada, root, other = Browser(house), acting(house), acting(house, actor="eve")
    ada.sign_in("ada")
    root.ask("POST", "/logout")
    assert [browser.me() for browser in (ada, root, other)] == ["ada", "nobody", "ada"]


# --- who acts is never lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "after"),
    [
        pytest.param("ada", "ada impersonation root", id="the same user"),
        pytest.param("bob", "bob impersonation root", id="another user, to whom the actor has gone on"),
        pytest.param("root", "root  None", id="the actor, who is itself again"),
    ],
)
def test_a_sign_in_in_its_browser_inherits_kind_actor_and_end(house: House, keeper: Keeper, user: str, after: str) -> None:
    root = acting(house, lifetime="/600")
    end = session_of(keeper).expires_at
    first = Browser(house, cookie=root.cookie)
    root.sign_in(user)
    assert (who(root), first.me()) == (after, "nobody")
    assert (session_of(keeper, user).expires_at == end) == ("impersonation" in after)


def test_an_idle_limit_is_not_the_end_that_is_inherited(build: Builder, keeper: Keeper) -> None:
    root = acting(build(desk, keeper.backend, idle_timeout=120), lifetime="/600")
    first = session_of(keeper)
    root.sign_in("bob")
    second = session_of(keeper, "bob")
    assert first.ends_at is not None
    assert first.ends_at == second.ends_at
    assert first.expires_at is not None
    assert second.expires_at is not None
    assert first.expires_at <= second.expires_at < first.expires_at + timedelta(seconds=60)


def test_a_sign_in_after_it_has_logged_out_is_ordinary(house: House) -> None:
    root = acting(house)
    root.ask("POST", "/logout")
    root.sign_in("ada")
    assert who(root) == "ada  None"


def test_its_actor_goes_on_to_another_user_with_a_time_of_its_own(house: House, keeper: Keeper) -> None:
    root = acting(house, lifetime="/60")
    assert root.ask("POST", "/act/bob/root/600").status == 200
    session = session_of(keeper, "bob")
    assert session.expires_at is not None
    assert session.issued_at is not None
    assert (who(root), session.expires_at - session.issued_at) == ("bob impersonation root", timedelta(seconds=600))


def test_nobody_else_acts_in_its_browser_or_the_trail_would_break(house: House) -> None:
    root = acting(house)
    answer = root.ask("POST", "/act/bob/ada")
    assert (answer.status, answer.body) == (400, b"this browser has an impersonation by another actor; call logout() first")
    assert who(root) == "ada impersonation root"


# --- wrong calls ------------------------------------------------------------------------------------------------------

WRONG: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "another kind": ({"kind": "robot", "actor": "root"}, "the kind of a session must be 'impersonation', or empty"),
    "no kind": ({"kind": None}, "the kind of a session must be 'impersonation', or empty"),
    "no actor": ({"kind": "impersonation"}, "must name its actor"),
    "an actor who is no user": ({"kind": "impersonation", "actor": ""}, "a user id must be 1 to 255 bytes"),
    "the user": ({"kind": "impersonation", "actor": "ada"}, "must not be the user"),
    "an actor of an ordinary session": ({"actor": "root"}, "actor and lifetime are for login(kind='impersonation')"),
    "a lifetime of an ordinary session": ({"lifetime": 60}, "actor and lifetime are for login(kind='impersonation')"),
    "a lifetime that is a str": ({"kind": "impersonation", "actor": "root", "lifetime": "1h"}, "lifetime: must be seconds or a timedelta"),
    "no time": ({"kind": "impersonation", "actor": "root", "lifetime": 0}, "lifetime: must be at least one second"),
    "not a number": ({"kind": "impersonation", "actor": "root", "lifetime": float("nan")}, "lifetime: must be at least one second"),
    "a long time": ({"kind": "impersonation", "actor": "root", "lifetime": timedelta(days=15)}, "at most that of an ordinary session"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_told_and_signs_nobody_in(build: Builder, case: str) -> None:
    arguments, said = WRONG[case]

    async def wrong(here: Here) -> Reply:
        with pytest.raises(UsageError, match=re.escape(said)):
            await here.sessions.login("ada", **arguments)
        return Reply()

    memory = Memory()
    answer = Browser(build(wrong, memory)).ask("POST", "/")
    assert (answer.values("set-cookie"), memory.list("ada")) == ([], ())


class SignsIn(Foreign):
    """Starts sessions, and knows nothing of kinds."""

    def __getattr__(self, name: str) -> Any:
        if name in {"login", "begin_login", "revoke", "revoke_all"}:
            return getattr(self.inner, name)
        raise AttributeError(name)


def test_a_backend_that_would_not_spare_it_refuses_it(build: Builder) -> None:
    memory = Memory()
    answer = Browser(build(desk, SignsIn(memory))).ask("POST", "/act/ada/root")
    assert answer.status == 400
    assert "SignsIn has no revoke_others_quietly(): it does not spare impersonations" in answer.body.decode()
    assert memory.list("ada") == ()
