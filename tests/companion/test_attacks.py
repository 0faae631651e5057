"""Attacks that worked once: ids that come back, tokens behind odd schemes, answers that come late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from webtest import TestApp  # type: ignore[import-untyped]

import sessionward
from sessionward.backends import Carrier
from sessionward.backends.memory import MemoryBackend
from sessionward.identify import AnonymousSession, Function, Identity, InvalidCredential
from tests.support.core import SECRET

OLD = "old.ann"


class Shop:
    """A WSGI application whose session ids stay, in a store that anybody may write back into."""

    def __init__(self) -> None:
        self.store: dict[str, str] = {}
        self.meanwhile: Callable[[], object] = bool
        self.sets: list[str] = []
        self.door: Any = sessionward.WSGIMiddleware(
            self, MemoryBackend(), identify=Function(self.read, cookies=["sid"], server_side=True, keeps_id_at_login=True), secrets=[SECRET]
        )

    def read(self, name: str, value: str) -> Identity | AnonymousSession:
        if value not in self.store:
            raise InvalidCredential("unknown")
        user = self.store[value]
        return Identity(user_id=user, session_id=value) if user else AnonymousSession(session_id=value)

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        held = dict(pair.split("=", 1) for pair in environ.get("HTTP_COOKIE", "").split("; ") if "=" in pair)
        sid = held.get("sid", "")
        if sid not in self.store:
            sid = f"s{len(self.store)}"
        do = environ["PATH_INFO"]
        if do == "/login":
            self.store[sid] = "ann"
        elif do in ("/logout", "/visit"):
            self.store[sid] = ""
        self.meanwhile()
        headers = [("Content-Type", "text/plain"), *(("Set-Cookie", field) for field in self.sets)]
        if sid in self.store and sid != held.get("sid"):
            headers.append(("Set-Cookie", f"sid={sid}; Path=/"))
        start_response("200 OK", headers)
        return [(self.store.get(sid) or "nobody").encode()]

    def browser(self) -> TestApp:
        return TestApp(self.door, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "localhost"})


def test_p6_an_id_that_was_revoked_signs_nobody_in_though_it_is_anonymous_by_now_and_written_back_later() -> None:
    shop = Shop()
    ann, victim = shop.browser(), shop.browser()
    ann.get("/login")
    victim.get("/login")
    stolen = victim.cookies["sid"]
    thief = shop.browser()
    assert ann.delete("/auth/sessions").json == {"count": 1}
    shop.store[stolen] = ""  # a sign-out of the thief's that kept the id
    shop.meanwhile = lambda: shop.store.update({stolen: "ann"})  # a slow request of the thief's ends now, and writes it back
    answer = thief.get("/me", headers={"Cookie": f"sid={stolen}"})
    assert (answer.text, [field for field in answer.headers.getall("set-cookie") if "session-ward" in field]) == ("nobody", [])


def test_p6_nor_does_one_that_its_thief_has_signed_in_to_meanwhile() -> None:
    shop = Shop()
    ann, victim, thief = shop.browser(), shop.browser(), shop.browser()
    ann.get("/login")
    victim.get("/login")
    stolen = victim.cookies["sid"]
    shop.store[stolen] = "mallory"
    assert ann.delete("/auth/sessions").json == {"count": 1}
    shop.meanwhile = lambda: shop.store.update({stolen: "ann"})
    answer = thief.get("/me", headers={"Cookie": f"sid={stolen}"})
    assert [field for field in answer.headers.getall("set-cookie") if "session-ward" in field] == []
    shop.meanwhile = bool
    assert thief.get("/me", headers={"Cookie": f"sid={stolen}"}).text == "nobody"


def test_p6_nor_is_it_signed_in_by_an_answer_that_was_under_way_at_the_moment_of_the_revocation() -> None:
    shop = Shop()
    ann, victim, thief = shop.browser(), shop.browser(), shop.browser()
    ann.get("/login")
    victim.get("/login")
    stolen = victim.cookies["sid"]
    victim.get("/logout")
    shop.store["planted"] = ""

    def meanwhile() -> None:
        shop.meanwhile = bool
        shop.store["planted"] = "ann"

    for value in ("planted", stolen):
        shop.store[value] = ""
        shop.meanwhile = meanwhile
        answer = thief.get("/me", headers={"Cookie": f"sid={value}"})
        minted = [field for field in answer.headers.getall("set-cookie") if "session-ward" in field]
        assert bool(minted) == (value == "planted"), "a planted id is the application's to refuse; a spent one is ours"


def test_a_sign_in_seen_by_two_answers_makes_one_companion_though_the_id_is_set_again() -> None:
    shop = Shop()
    ann = shop.browser()
    ann.get("/visit")
    sid = ann.cookies["sid"]
    ann.get("/login")
    shop.store[sid] = ""
    other = shop.browser()
    shop.sets = [f"sid={sid}; Path=/"]
    shop.meanwhile = lambda: shop.store.update({sid: "ann"})
    answer = other.get("/me", headers={"Cookie": f"sid={sid}"})
    assert [field for field in answer.headers.getall("set-cookie") if "session-ward" in field] == []


def test_an_id_that_nobody_had_before_is_signed_in() -> None:
    shop = Shop()
    ann = shop.browser()
    ann.get("/visit")
    before = ann.cookies["sid"]
    ann.get("/login")
    assert (ann.cookies["sid"], ann.get("/me").text) == (before, "ann")
    ann.get("/logout")
    ann.get("/login")
    assert ann.cookies["sid"] != before
    assert ann.get("/me").text == "ann"


@pytest.mark.parametrize("writes_back", [False, True], ids=["finds its session gone", "writes it back and sets it again"])
def test_a_late_answer_does_not_sign_out_whoever_has_a_new_id_by_then(writes_back: bool) -> None:
    shop = Shop()
    ann, late = shop.browser(), shop.browser()
    ann.get("/login")
    old = ann.cookies["sid"]
    pairs = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())

    def regenerates() -> None:
        shop.meanwhile, shop.sets = bool, ["sid=fresh; Path=/"]
        shop.store["fresh"] = "ann"
        ann.get("/me")  # another tab: the companion follows the new id
        shop.sets = [f"sid={old}; Path=/"] if writes_back else []
        if not writes_back:
            del shop.store[old]

    shop.meanwhile = regenerates
    answer = late.get("/me", headers={"Cookie": pairs})
    assert answer.headers.getall("set-cookie") == []
    shop.sets = []
    assert (ann.cookies["sid"], ann.get("/me").text) == ("fresh", "ann")
    assert ann.delete("/auth/sessions").json == {"count": 0}


def test_a_deletion_of_a_namesake_on_another_domain_signs_nobody_out() -> None:
    shop = Shop()
    ann = shop.browser()
    ann.get("/login")
    shop.sets = ["sid=; Domain=old.example; Path=/; Max-Age=0"]
    assert [ann.get("/me").text for _ in range(2)] == ["ann", "ann"]
    assert ann.delete("/auth/sessions").json == {"count": 0}


def test_a_session_token_of_the_applications_own_does_not_hide_the_companion() -> None:
    shop = Shop()
    ann, other = shop.browser(), shop.browser()
    ann.get("/login")
    other.get("/login")
    assert ann.delete("/auth/sessions").json == {"count": 1}
    assert ann.get("/me", headers={"X-Session-Token": "of-the-application"}).text == "ann"


def test_an_answer_on_an_exempt_path_puts_no_empty_session_over_the_login() -> None:
    shop = Shop()
    shop.door = sessionward.WSGIMiddleware(
        shop,
        MemoryBackend(),
        identify=Function(shop.read, cookies=["sid"], server_side=True, keeps_id_at_login=True),
        secrets=[SECRET],
        exempt_paths=("/static/",),
    )
    ann = shop.browser()
    ann.get("/login")
    shop.sets = ["sid=fresh; Path=/"]
    shop.store["fresh"] = ""
    assert ann.get("/static/logo.png").headers.getall("set-cookie") == []
    shop.sets = []
    assert ann.get("/me").text == "ann"


@pytest.mark.parametrize(
    ("told", "shown"), [("none", "; SameSite=None"), ("strict", "; SameSite=Strict"), ("", ""), (None, "; SameSite=Lax")]
)
def test_a_companion_by_adoption_has_the_samesite_that_the_identifier_tells(told: str | None, shown: str) -> None:
    shop = Shop()

    class Told:
        cookies: ClassVar = ["sid"]
        keeps_id_at_login: ClassVar = True
        samesite: ClassVar = told

        def identify(self, name: str, value: str, /) -> Identity | AnonymousSession:
            return shop.read(name, value)

    shop.door = sessionward.WSGIMiddleware(shop, MemoryBackend(), identify=Told(), secrets=[SECRET])
    shop.store["before"] = "ann"
    (field,) = shop.browser().get("/me", headers={"Cookie": "sid=before"}).headers.getall("set-cookie")
    assert field.endswith(f"; HttpOnly{shown}")


def bearers() -> tuple[Any, Any]:
    """An application that splits at any blank, as many do, and its backend."""

    def read(name: str, value: str) -> Identity:
        if value != OLD:
            raise InvalidCredential("no token of ours")
        return Identity(user_id="ann", issued_at=0.0)

    def whom(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        words = environ.get("HTTP_AUTHORIZATION", "").split()
        return [b"ann" if OLD in words else b" ".join(word.encode("latin-1") for word in words) or b"nobody"]

    backend = MemoryBackend()
    identify = Function(read, headers=[Carrier.header("Authorization", scheme="Bearer")])
    return TestApp(sessionward.WSGIMiddleware(whom, backend, identify=identify, secrets=[SECRET])), backend


@pytest.mark.parametrize("blank", [" ", "\t", "  ", "\x0b", "\x1c", "\x85", "\xa0"], ids=ascii)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Foo", "Token"])
def test_an_old_token_is_taken_out_behind_whatever_scheme_and_blank(scheme: str, blank: str) -> None:
    app, backend = bearers()
    assert app.get("/", headers={"Authorization": f"Bearer {OLD}"}).text == "ann"
    backend.revoke_all("ann")
    many = ",".join("abcdefghij")
    for field in (
        f"{scheme}{blank}{OLD}",
        f"{blank}{scheme}{blank}{OLD}",
        f"{scheme}{blank}{OLD}{blank}x",
        f"{scheme}{blank}x, {OLD}",
        f"{scheme}{blank}{OLD},Bearer another",
        f"{scheme}{blank}{OLD},{many}",
        f"{scheme}{blank}{OLD},{many},{many}",
    ):
        assert app.get("/", headers={"Authorization": field}).text == "nobody", field


def test_what_is_no_token_of_the_applications_passes_as_it_came() -> None:
    app, backend = bearers()
    backend.revoke_all("ann")
    assert app.get("/", headers={"Authorization": "Basic YW5uOnNlY3JldA=="}).text == "Basic YW5uOnNlY3JldA=="
