"""Mode companion: neither a companion nor a bare copy of the application's login outlives the restore of a backup."""

from __future__ import annotations

import time
from contextlib import closing

from tests.companion.identifiers import Tokens, sealed
from tests.companion.shops import Browser, SigningShop, StoringShop
from tests.doors.sides import COOKIE, SESSIONS, House
from tests.restore.conftest import Place

REVIVED = "the backup must revive it, or this shows nothing"


def signed_in(house: House, user: str) -> Browser:
    browser = Browser(house)
    browser.get(f"/login/{user}")
    assert browser.me() == user
    assert browser.companion
    return browser


def bearer(house: House, user: str, issued: float) -> str:
    """Whom the application takes the token for."""
    answer = house.ask("GET", "/me", ("Authorization", f"Bearer {sealed(f'{user}.{int(issued)}')}"))
    assert answer.status == 200
    return user if house.seen[-1].header("authorization") is not None else "nobody"


def test_p6_after_the_command_no_companion_and_no_bare_copy_passes(place: Place) -> None:
    shop = SigningShop()
    house = place.open(shop, identify=shop.identifier)
    own, other = signed_in(house, "ann"), signed_in(house, "ann")
    copy, clone, unseen = other.copied(), other.cloned(), Browser(house, {"session": sealed("carl")})
    place.take()
    assert own.press().json() == {"count": 1}
    assert [own.me(), copy.me(), clone.me()] == ["ann", "nobody", "nobody"]
    place.restore()
    assert [clone.me(), copy.copied().me()] == ["ann", "ann"], REVIVED
    place.restored()
    everybody = [own.cloned(), own.copied(), copy.copied(), copy.cloned(), clone, unseen.cloned()]
    assert [browser.me() for browser in everybody] == ["nobody"] * 6
    assert [browser.companion for browser in (copy.copied(), unseen)] == [None, None]
    assert own.press().status == 401
    new, newer = signed_in(house, "ann"), signed_in(house, "ann")
    signed_in(house, "carl")
    assert new.press().json() == {"count": 1}
    assert [new.me(), newer.me(), newer.copied().me(), unseen.me()] == ["ann", "nobody", "nobody", "nobody"]


def test_p6_a_user_without_a_row_and_without_a_backup_is_refused_too(dumped: Place) -> None:
    """Nobody has used the installation yet. The database is restored to the day it was made."""
    shop = SigningShop()
    house = dumped.open(shop, identify=shop.identifier)
    dumped.take()
    dumped.restore()
    dumped.restored()
    bare = Browser(house, {"session": sealed("ann")})
    assert (bare.me(), bare.companion) == ("nobody", None)
    assert signed_in(house, "ann").me() == "ann"


def test_p6_header_tokens_of_before_are_refused_for_every_user(place: Place) -> None:
    house = place.open(SigningShop(), identify=Tokens())
    place.take()
    with closing(place.aside()) as aside:
        aside.revoke_all("ann")
    issued = time.time()
    assert [bearer(house, user, issued) for user in ("ann", "carl")] == ["nobody", "carl"]
    place.restore()
    assert [bearer(house, user, issued) for user in ("ann", "carl")] == ["ann", "carl"], REVIVED
    place.restored()
    assert [bearer(house, user, issued) for user in ("ann", "carl")] == ["nobody", "nobody"]
    assert [bearer(house, user, time.time() + 3600) for user in ("ann", "carl")] == ["ann", "carl"]


def test_p3_a_sign_in_that_the_application_answers_while_it_runs_gets_no_companion(dumped: Place) -> None:
    shop = SigningShop()
    house = dumped.open(shop, identify=shop.identifier)
    dumped.take()
    dumped.restore()
    shop.meanwhile = dumped.restored
    browser = Browser(house)
    browser.ask("GET", "/login/ann")
    assert browser.companion is None
    assert browser.copied().me() == "nobody"
    assert signed_in(house, "ann").me() == "ann"


def test_p6_an_id_of_the_applications_store_that_stays_signs_nobody_in(dumped: Place) -> None:
    """The record of which ids were revoked is lost in the restore, and the application writes one of them back."""
    shop = StoringShop()
    house = dumped.open(shop, identify=shop.identifier)
    own, other = signed_in(house, "ann"), signed_in(house, "ann")
    thief = other.copied()
    dumped.take()
    assert own.press().json() == {"count": 1}
    dumped.restore()
    dumped.restored()
    assert shop.user([("sid", thief.jar["sid"])]) == "ann"
    assert [thief.me(), thief.me(), other.me(), own.me()] == ["nobody"] * 4
    again = Browser(house)
    again.get("/login/ann")
    assert again.jar.get(COOKIE)
    assert house.ask("DELETE", SESSIONS, ("Cookie", f"sid={thief.jar['sid']}")).status == 401
