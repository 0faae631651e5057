"""Somebody acts as a user by the application's own login, which the identifier sees."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from itsdangerous import BadSignature

from sessionward.errors import InvalidCredential, SignInTooOld, UsageError
from sessionward.identify import Function, Identity
from sessionward.session.session import Terms
from tests.companion.conftest import Site
from tests.companion.identifiers import SIGNER, sealed
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import Here, Reply


def read(name: str, value: str) -> Identity | None:
    """``ada.1`` is Ada's first login, ``ada.2:root`` one by which root acts as Ada."""
    try:
        payload = SIGNER.unsign(value).decode()
    except BadSignature:
        raise InvalidCredential("not as the application signs it") from None
    login, _, actor = payload.partition(":")
    return Identity(user_id=login.partition(".")[0], actor=actor or None)


KNOWING = Function(read, cookies=["session"], blocking=False, lifetime=1000.0)


def knowing(site: Site) -> Browser:
    return Browser(site.open(SigningShop(), KNOWING))


def kinds(site: Site, user: str = "ada") -> Sequence[tuple[str, str | None]]:
    return [(session.kind, session.actor) for session in site.place.live(user)]


# --- the identifier says it -------------------------------------------------------------------------------------------


def test_a_login_by_which_somebody_acts_brings_an_impersonation_and_its_release_an_ordinary_companion(site: Site) -> None:
    browser = knowing(site)
    browser.get("/login/root.1")
    assert (kinds(site, "root"), browser.me()) == ([("", None)], "root")
    browser.get("/login/ada.1:root")
    assert (kinds(site), kinds(site, "root"), browser.me()) == ([("impersonation", "root")], [], "ada")
    browser.get("/login/root.2")
    assert (kinds(site), kinds(site, "root"), browser.me()) == ([], [("", None)], "root")


def test_it_may_not_press_the_button_and_the_users_button_spares_it(site: Site) -> None:
    root, ada = knowing(site), knowing(site)
    root.get("/login/ada.1:root")
    ada.get("/login/ada.2")
    answer = root.press()
    assert (answer.status, answer.error) == (403, "forbidden_for_impersonation")
    assert ada.press().json() == {"count": 0}
    assert (root.me(), ada.me()) == ("ada", "ada")


def test_it_is_no_recent_sign_in_of_the_user(site: Site) -> None:
    root = Browser(site.open(SigningShop(), KNOWING, api=True, recent=300))
    root.get("/login/ada.1:root")
    answer = root.ask("GET", "/auth/sessions/whoami")
    assert (answer.status, answer.json()["kind"], answer.json()["authenticated_at"]) == (200, "impersonation", None)
    assert root.press().error == "forbidden_for_impersonation"
    (acting,) = site.place.live("ada")
    with pytest.raises(SignInTooOld):
        site.place.aside.revoke_others_quietly(acting, Terms(recent=300))


def test_a_login_from_before_the_installation_is_adopted_as_what_it_is(site: Site) -> None:
    browser = knowing(site)
    browser.jar["session"] = sealed("ada.1:root")
    browser.get("/me")
    assert kinds(site) == [("impersonation", "root")]


@pytest.mark.parametrize(
    ("companion", "login"),
    [
        pytest.param("ada.1", "ada.2:root", id="the user's own companion"),
        pytest.param("ada.1:eve", "ada.2:root", id="the companion of another actor"),
    ],
)
def test_a_login_by_which_somebody_acts_does_not_pass_with(site: Site, companion: str, login: str) -> None:
    browser = knowing(site)
    browser.get(f"/login/{companion}")
    browser.jar["session"] = sealed(login)
    assert browser.me() == "nobody"


def test_the_same_user_by_another_actor_is_another_sign_in(site: Site) -> None:
    browser = knowing(site)
    browser.get("/login/ada.1")
    browser.get("/login/ada.2:root")
    assert (kinds(site), browser.me()) == ([("impersonation", "root")], "ada")


def test_it_lives_as_long_as_the_login_since_the_application_ends_it(memory: Site) -> None:
    browser = knowing(memory)
    browser.get("/login/ada.1:root")
    (before,) = memory.place.live("ada")
    memory.place.pass_time(600)
    browser.get("/login/ada.2:root")
    (after,) = memory.place.live("ada")
    assert before.expires_at is not None
    assert after.expires_at is not None
    assert (after.id, after.expires_at > before.expires_at, browser.me()) == (before.id, True, "ada")


def test_an_actor_must_be_a_user_id() -> None:
    with pytest.raises(UsageError, match="a user id must be 1 to 255 bytes"):
        Identity(user_id="ada", actor="")
    assert Identity(user_id="ada", actor=7).actor == "7"  # type: ignore[arg-type]


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_refuses_an_impersonation_since_the_login_would_outlive_it(memory: Site) -> None:
    async def wrong(here: Here) -> Reply:
        with pytest.raises(UsageError, match=re.escape("with identify the identifier says who acts as a user")):
            await here.sessions.login("ada", kind="impersonation", actor="root")
        return Reply()

    Browser(memory.open(wrong, KNOWING)).ask("GET", "/")  # type: ignore[arg-type]
    assert memory.place.live("ada") == ()
