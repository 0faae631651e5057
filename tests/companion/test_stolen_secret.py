"""Mode companion: what a new secret alone ends, and that nothing passes once everybody was revoked."""

from __future__ import annotations

from typing import Final

from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser

NEW: Final = "a new secret, made since the old one was stolen: 0123456789"


def test_a_new_secret_alone_adopts_the_logins_of_users_who_need_no_companion_and_refuses_the_others(site: Site) -> None:
    shop, ann = site.signing()
    bob, other = Browser(ann.house), Browser(ann.house)
    ann.get("/login/ann.1")
    for number, browser in enumerate((bob, other)):
        browser.get(f"/login/bob.{number}")
    assert bob.press().json() == {"count": 1}
    assert [site.place.companion_required(user) for user in ("ann", "bob")] == [False, True]
    after = site.open(shop, secrets=[NEW])
    assert [Browser(after, dict(browser.jar)).me() for browser in (ann, bob)] == ["ann", "nobody"]


def test_once_everybody_was_revoked_no_login_passes_without_a_new_sign_in(site: Site) -> None:
    """Not even one that was forged with a stolen secret of the application."""
    shop, ann = site.signing()
    ann.get("/login/ann.1")
    after = site.open(shop, secrets=[NEW])
    forged = Browser(after, {"session": sealed("cid.1")})
    assert forged.me() == "cid", "before, a login without a companion is adopted"
    site.place.aside.revoke_everybody()
    for jar in (ann.jar, {"session": ann.jar["session"]}, forged.jar, {"session": sealed("cid.1")}, {"session": sealed("dan.1")}):
        assert Browser(after, dict(jar)).me() == "nobody"
    signed_in = Browser(after)
    signed_in.get("/login/ann.2")
    assert signed_in.me() == "ann"
