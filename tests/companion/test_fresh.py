"""Which companions have a sign-in that is of now: what the setting ``recent`` goes by."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sessionward.identify import Identity
from tests.companion.conftest import Site
from tests.companion.identifiers import Signed, Stored, sealed
from tests.companion.shops import Browser, SigningShop, StoringShop

WORDS: Final = {"fresh": True, "remembered": False}


class Says(Signed):
    """The login says itself how it came about: ``ann.fresh``, ``ann.remembered``, ``ann`` says nothing."""

    def identify(self, name: str, value: str, /) -> Identity | None:
        identity = super().identify(name, value)
        if identity is None:
            return None
        return Identity(user_id=identity.user_id, fresh=WORDS.get(value.split(".")[1]))


class Shop(SigningShop):
    def __init__(self) -> None:
        super().__init__()
        self.identifier = Says()


class Told(Stored):
    """The same in a store: ``ann/fresh``."""

    def identify(self, name: str, value: str, /) -> Identity | None:
        identity = super().identify(name, value)
        if identity is None:
            return None
        user, _, word = identity.user_id.partition("/")
        return Identity(user_id=user, session_id=self.id_of(value), fresh=WORDS.get(word))


class Store(StoringShop):
    def __init__(self) -> None:
        super().__init__()
        self.identifier = Told(self.store)


def signing(site: Site) -> Browser:
    return Browser(site.open(Shop(), api=True))


def storing(site: Site) -> Browser:
    return Browser(site.open(Store(), api=True))


def session(browser: Browser) -> dict[str, Any]:
    answer = browser.ask("GET", "/auth/sessions/whoami")
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_login_that_an_answer_sets_is_a_sign_in_of_now(site: Site) -> None:
    browser = signing(site)
    browser.get("/login/ann.1")
    assert session(browser)["authenticated_at"] == session(browser)["issued_at"] is not None


def test_so_is_one_whose_identifier_says_that_it_is_fresh(site: Site) -> None:
    browser = signing(site)
    browser.get("/login/ann.fresh")
    assert session(browser)["authenticated_at"] is not None


def test_a_login_that_was_remembered_is_no_sign_in(site: Site) -> None:
    browser = signing(site)
    browser.get("/login/ann.remembered")
    assert session(browser)["authenticated_at"] is None


def test_a_login_from_before_the_installation_is_no_sign_in_whatever_it_says(site: Site) -> None:
    browser = signing(site)
    browser.jar["session"] = sealed("ann.fresh")
    browser.get("/me")
    assert browser.companion is not None
    assert session(browser)["authenticated_at"] is None


@pytest.mark.parametrize("before", ["remembered", "fresh", "1"])
@pytest.mark.parametrize("after", ["remembered", "fresh", "2"])
def test_only_from_remembered_to_fresh_does_an_answer_to_the_same_user_sign_in_anew(site: Site, before: str, after: str) -> None:
    """A rolling session sets its cookie with each answer, so a login that was fresh already says nothing new."""
    browser = signing(site)
    browser.get(f"/login/ann.{before}")
    first = session(browser)
    browser.get(f"/login/ann.{after}")
    second = session(browser)
    is_confirmed = (before, after) == ("remembered", "fresh")
    assert (first["id"] != second["id"]) == is_confirmed
    assert (second["authenticated_at"] is not None) == (before != "remembered" or is_confirmed)
    assert len(site.place.live()) == 1


def test_the_companion_before_is_revoked(site: Site) -> None:
    browser = signing(site)
    browser.get("/login/ann.remembered")
    thief = browser.cloned()
    browser.get("/login/ann.fresh")
    assert session(browser)["authenticated_at"] is not None
    assert len(site.place.live()) == 1
    assert thief.ask("GET", "/auth/sessions/whoami").status == 401


def test_a_store_confirms_nothing_since_each_request_in_flight_reads_it(site: Site) -> None:
    """A copied login would otherwise get the new companion, if it is answered before the user who has just confirmed."""
    browser = storing(site)
    browser.get("/login/ann/remembered")
    first, thief = session(browser), browser.cloned()
    store: dict[str, str] = browser.house.handler.store  # type: ignore[attr-defined]
    for key in store:
        store[key] = "ann/fresh"
    thief.get("/me")
    browser.get("/login/ann/fresh")
    for one in (thief, browser):
        assert (session(one)["id"], session(one)["authenticated_at"]) == (first["id"], None)
    browser.get("/logout")
    browser.get("/login/ann/fresh")
    assert session(browser)["authenticated_at"] is not None
    assert thief.ask("GET", "/auth/sessions/whoami").status == 401


def test_a_fresh_login_that_the_request_already_had_confirms_nothing(site: Site) -> None:
    """Else a copied cookie beside the login would renew the sign-in."""
    browser = signing(site)
    browser.get("/login/ann.remembered")
    browser.jar["remember"] = sealed("ann.fresh")
    first = session(browser)
    browser.house.handler.fields = [("Set-Cookie", "session=; Path=/; Max-Age=0")]  # type: ignore[attr-defined]
    browser.get("/me")
    assert session(browser)["id"] == first["id"]
    assert session(browser)["authenticated_at"] is None
