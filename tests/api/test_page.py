"""The page *Your devices*: each scenario is written once, and runs through every side of both doors and the sidecar's gate."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from threading import Event, get_ident
from time import monotonic
from typing import Any, Final

import pytest

from sessionward import BackendUnavailable, ConfigurationError, OutcomeUnknown, Session
from sessionward.api.page import Page
from sessionward.api.page.endpoints import SIZE
from sessionward.api.page.labels import plain
from sessionward.backends import Credential, NewSession, SessionList
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.credential.token import new_token
from sessionward.deadline import CALL_THREADS
from sessionward.door.parts import warn
from tests.api.houses import NOBODY, Client, Opener, sign_in
from tests.doors.keepers import Keeper, Memory
from tests.doors.sides import SESSIONS, Answer

HTML: Final = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
OWN: Final = ("Origin", "https://app.example")
PRIVATE: Final = ("192.168.1.1", "10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.1.2.3")


class Seen(HTMLParser):
    """What a browser makes of a page: ``elements`` with their attributes, ``ids``, and the ``text`` that a person reads."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = 0
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text = " ".join(f"{self.text} {data}".split())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [value for found, attributes in self.elements if found == tag and (value := attributes.get(name)) is not None]


def page_of(client: Client, query: str = "", *fields: tuple[str, str], language: str = "en") -> Answer:
    return client.house.ask("GET", SESSIONS, client.cookie, HTML, ("Accept-Language", language), *fields, query=query)


def submitted(client: Client, path: str = "/revoke-others", *fields: tuple[str, str]) -> Answer:
    return client.house.ask("POST", SESSIONS + path, client.cookie, HTML, *(fields or [OWN]))


def followed(client: Client, answer: Answer) -> Seen:
    """The page that a browser is sent to."""
    assert answer.status == 303
    path, _, query = answer.value("location").partition("?")
    assert path == SESSIONS
    return Seen(page_of(client, query))


def three(open_house: Opener, backend: Any = None, **settings: Any) -> tuple[Client, Client, Client]:
    house = open_house(Memory() if backend is None else backend, **settings)
    return sign_in(house), sign_in(house, agent="MyApp/1"), sign_in(house, agent="Other/2")


class Dressed(Memory):
    """Shows sessions as ``dress`` says, and is as old as it says."""

    def __init__(self, **dress: Any) -> None:
        super().__init__()
        self.dress = dress

    def find(self, credential: Any, /) -> Session | None:
        session = super().find(credential)
        return None if session is None else replace(session, **self.dress)

    def list(self, user_id: str, /, **which: Any) -> SessionList:
        sessions = super().list(user_id, **which)
        return SessionList((replace(session, **self.dress) for session in sessions), sessions.total, sessions.now)


# --- who gets the page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "is_html"),
    [
        pytest.param(HTML[1], True, id="a browser"),
        pytest.param("text/html", True, id="HTML alone"),
        pytest.param("application/json, text/html", False, id="both alike"),
        pytest.param("application/json;q=0.9, text/html", True, id="HTML rather"),
        pytest.param("application/json, text/plain, */*", False, id="axios"),
        pytest.param("application/json", False, id="the Python SDK"),
        pytest.param("*/*", False, id="curl"),
        pytest.param("text/*", False, id="text of any kind"),
        pytest.param("text/html;q=0", False, id="no HTML"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_a_client_gets_the_form_that_it_prefers(open_house: Opener, accept: str | None, is_html: bool) -> None:
    own, *_ = three(open_house)
    answer = own.house.ask("GET", SESSIONS, own.cookie, *([] if accept is None else [("Accept", accept)]))
    assert answer.status == 200
    assert answer.value("content-type") == ("text/html; charset=utf-8" if is_html else "application/json; charset=utf-8")
    assert answer.value("vary") == "Accept, Accept-Language, Cookie, Authorization, X-Session-Token"


def test_the_page_has_every_header_that_keeps_it_to_itself(open_house: Opener) -> None:
    own, *_ = three(open_house)
    answer = page_of(own)
    assert answer.value("cache-control") == "no-store"
    assert answer.value("x-content-type-options") == "nosniff"
    assert answer.value("referrer-policy") == "same-origin"
    assert answer.value("cross-origin-opener-policy") == answer.value("cross-origin-resource-policy") == "same-origin"
    assert answer.value("content-language") == "en"
    assert int(answer.value("content-length")) == len(answer.body)
    policy = answer.value("content-security-policy")
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; script-src 'sha256-[\w+/]{43}='; connect-src 'self'; form-action 'self';"
        r" frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        policy,
    )
    assert page_of(own, language="ja").value("content-security-policy") == policy


def test_head_has_the_headers_of_the_page(open_house: Opener) -> None:
    own, *_ = three(open_house)
    answer = own.house.ask("HEAD", SESSIONS, own.cookie, HTML)
    assert (answer.status, answer.body, answer.value("content-type")) == (200, b"", "text/html; charset=utf-8")


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_the_page_shows_the_callers_device_first_and_a_button_for_each_other(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, first, second = (sign_in(house, agent=agent, aside=keeper.aside) for agent in ("Here/1", "There/1", "Far/1"))
    foreign = sign_in(house, "eve", agent="Eve/1", aside=keeper.aside)
    seen = Seen(page_of(own))
    assert seen.text.index("This device") < seen.text.index("Here") < seen.text.index("Other devices") < seen.text.index("There")
    assert "Far" in seen.text
    assert "2 other sign-ins" in seen.text
    assert "Eve" not in seen.text
    asked = [attributes.get("value") for _, attributes in seen.elements if attributes.get("name") == "ask"]
    assert sorted(map(str, asked)) == sorted(["others", first.id, second.id])
    assert own.id not in page_of(own).body.decode().partition("Other devices")[2]
    assert foreign.id not in page_of(own).body.decode()


def test_whoever_has_no_other_device_gets_no_button(open_house: Opener) -> None:
    own = sign_in(open_house(Memory()))
    seen = Seen(page_of(own))
    assert "You are not signed in anywhere else." in seen.text
    assert "ask" not in seen.attributes("form", "class")


def test_sessions_with_one_label_and_place_fold_into_one_group(open_house: Opener) -> None:
    house = open_house(Memory())
    own, *_ = [sign_in(house, agent=agent, address="198.51.100.7") for agent in ("Here/1", "MyApp/1", "MyApp/2", "MyApp/3", "Other/1")]
    seen = Seen(page_of(own))
    assert "3 sign-ins" in seen.text
    assert seen.text.count("3 of 3") == 1
    assert seen.attributes("li", "class").count("card group") == 1


@pytest.mark.parametrize("address", PRIVATE)
def test_one_private_address_for_all_is_hidden_and_the_log_says_why(
    open_house: Opener, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    warn.cache_clear()
    house = open_house(Memory())
    own, _ = (sign_in(house, address=address) for _ in range(2))
    shown = Seen(page_of(own)).text
    assert address not in shown
    page_of(own)
    assert len([record for record in caplog.records if "X-Forwarded-For" in record.getMessage()]) == 1, "once, and not for each page"
    assert address not in caplog.text


def test_addresses_that_differ_are_shown(open_house: Opener) -> None:
    house = open_house(Memory())
    own, _ = (sign_in(house, address=address) for address in ("10.0.0.1", "198.51.100.7"))
    shown = Seen(page_of(own)).text
    assert "10.0.0.1" in shown
    assert "198.51.100.7" in shown


def impersonated(client: Client) -> Client:
    """A member of the staff acts as the user."""
    token = new_token()
    digest = Credential(token.encode()).digest
    new = NewSession(user_id="ada", digest=digest, lifetime=3600.0, kind="impersonation", actor="root")
    return Client(client.house, token, client.house.backend.login(new))


def test_an_impersonation_is_shown_as_one_without_a_button(open_house: Opener) -> None:
    own = sign_in(open_house(Memory()))
    acting = impersonated(own)
    for query in ("", "ask=others", f"ask={acting.id}"):
        seen = Seen(page_of(own, query))
        assert seen.text.count("root is signed in as you") == 1
        assert "ask" not in seen.attributes("form", "class")
        assert questions(seen) == []


def test_the_number_of_a_form_is_without_impersonations_and_they_stay(open_house: Opener) -> None:
    own, *_ = three(open_house)
    impersonated(own)
    seen = followed(own, submitted(own))
    assert "Done. 2 other sign-ins have ended." in seen.text
    assert "root is signed in as you" in seen.text


def test_who_acts_for_the_user_sees_no_buttons(open_house: Opener) -> None:
    class Acting(Memory):
        def find(self, credential: Any, /) -> Session | None:
            session = super().find(credential)
            return None if session is None else replace(session, kind="impersonation", actor="root")

    own, other, _ = three(open_house, Acting())
    for query in ("", "ask=others", f"ask={other.id}"):
        seen = Seen(page_of(own, query))
        assert "Only the user can sign out devices." in seen.text
        assert "MyApp" in seen.text
        assert "ask" not in seen.attributes("form", "class")
        assert questions(seen) == []


def test_a_backend_without_a_clock_has_the_hosts(open_house: Opener) -> None:
    class Timeless(Memory):
        def list(self, user_id: str, /, **which: Any) -> SessionList:
            sessions = super().list(user_id, **which)
            return SessionList(sessions, sessions.total)

    own, *_ = three(open_house, Timeless())
    assert "Done. 2 other sign-ins have ended." in followed(own, submitted(own)).text


def test_every_session_is_reached_by_the_links_of_the_page(open_house: Opener) -> None:
    house = open_house(Memory())
    own, *others = [sign_in(house, agent=f"App{'abcdefghij'[number % 10]}/1") for number in range(2 * SIZE + 11)]
    found: list[str] = []
    query, pages = "", 0
    while pages < 9:
        pages += 1
        seen = Seen(page_of(own, query))
        found += [str(value) for value in seen.attributes("input", "value") if value not in ("others", query.partition("=")[2])]
        further = [attributes["href"] for tag, attributes in seen.elements if tag == "a" and attributes.get("rel") == "next"]
        assert bool(query) == ("first" in seen.attributes("a", "rel"))
        if not further:
            break
        query = str(further[0]).partition("?")[2]
    assert pages == 3
    assert sorted(found) == sorted(other.id for other in others)


# --- hostile texts ----------------------------------------------------------------------------------------------------

HOSTILE: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}\u202e\u2066\x07"


def test_what_a_client_wrote_is_text_and_never_markup(open_house: Opener) -> None:
    def answered(written: str) -> Answer:
        dress = {"user_agent": written, "ip_address": written, "methods": (written,), "actor": written}
        page = Page(name=plain(written), label=lambda agent: agent, place=lambda address, language: address + written)
        return page_of(three(open_house, Dressed(**dress), page=page)[0])

    answer = answered(HOSTILE)
    seen = Seen(answer)
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in Seen(answered("harmless")).elements]
    assert not any(name.startswith("on") for _, attributes in seen.elements for name in attributes)
    assert "{{ 7 * 7 }}" in seen.text
    assert not re.search("[\x00-\x08\u202a-\u202e]", answer.body.decode())


def test_a_hostile_name_of_a_request_is_escaped_on_an_error_page(open_house: Opener) -> None:
    answer = open_house(Memory()).ask("GET", SESSIONS, HTML, ("X-Request-Id", "<script>1</script>"))
    assert answer.status == 401
    assert b"&lt;script&gt;1" in answer.body


# --- the question -----------------------------------------------------------------------------------------------------


def test_the_page_asks_before_it_signs_out(open_house: Opener) -> None:
    own, other, _ = three(open_house)
    for query, action in (("ask=others", "/revoke-others"), (f"ask={other.id}", f"/{other.id}/revoke")):
        seen = Seen(page_of(own, query))
        assert questions(seen) == [SESSIONS + action]
        assert "Cancel" in seen.text
    assert other.is_live()


@pytest.mark.parametrize("asked", ["{own}", str(NOBODY), "nonsense", "", "<script>"])
def test_the_page_asks_about_no_session_that_it_does_not_show(open_house: Opener, asked: str) -> None:
    own, *_ = three(open_house)
    assert questions(Seen(page_of(own, "ask=" + asked.replace("{own}", own.id)))) == []


def questions(seen: Seen) -> list[str | None]:
    """Where the forms that change something are sent to. The dialog has no address before its script has set one."""
    forms = [attributes for tag, attributes in seen.elements if tag == "form" and attributes.get("method") == "post"]
    return [attributes["action"] for attributes in forms if "action" in attributes]


# --- the forms --------------------------------------------------------------------------------------------------------


def test_p1_the_form_signs_out_all_others_and_the_page_says_the_true_number(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, *others = (sign_in(house, aside=keeper.aside) for _ in range(4))
    seen = followed(own, submitted(own))
    assert "Done. 3 other sign-ins have ended." in seen.text
    assert own.is_live()
    assert not any(other.is_live() for other in others)
    assert "There was nothing to end" in followed(own, submitted(own)).text


def test_the_form_of_a_row_signs_out_that_one_and_says_when_it_was_gone(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, other, third = (sign_in(house, aside=keeper.aside) for _ in range(3))
    assert "The device has been signed out." in followed(own, submitted(own, f"/{other.id}/revoke")).text
    assert (own.is_live(), other.is_live(), third.is_live()) == (True, False, True)
    assert "That device had already been signed out." in followed(own, submitted(own, f"/{other.id}/revoke")).text


def test_a_form_ends_no_session_of_another_user(open_house: Opener) -> None:
    own, *_ = three(open_house)
    eve = sign_in(own.house, "eve")
    assert "had already been signed out" in followed(own, submitted(own, f"/{eve.id}/revoke")).text
    assert eve.is_live()


@pytest.mark.parametrize("path", ["/revoke-others", "/{other}/revoke"], ids=["all others", "one"])
@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        pytest.param([OWN], True, id="own origin"),
        pytest.param([("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], True, id="same origin, by Sec-Fetch-Site"),
        pytest.param([("Sec-Fetch-Site", "same-site"), ("Origin", "https://evil.example")], False, id="a sibling's form"),
        pytest.param([("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.test")], False, id="a stranger's form"),
        pytest.param([("Origin", "null")], False, id="a sandboxed frame"),
        pytest.param([("Accept-Language", "en")], False, id="neither Origin nor Sec-Fetch-Site"),
    ],
)
def test_a_form_of_another_page_is_refused_with_a_page(open_house: Opener, path: str, fields: list[tuple[str, str]], passes: bool) -> None:
    own, other, _ = three(open_house)
    answer = submitted(own, path.replace("{other}", other.id), *fields)
    assert answer.status == (303 if passes else 403)
    assert other.is_live() is not passes
    if not passes:
        assert "security_csrf_violation" in Seen(answer).text


def test_a_form_counts_only_with_the_cookie(open_house: Opener) -> None:
    own, other, _ = three(open_house)
    for credential in (own.header, own.bearer):
        answer = own.house.ask("POST", SESSIONS + "/revoke-others", credential, OWN)
        assert (answer.status, answer.error) == (403, "security_csrf_violation")
    assert other.is_live()


def test_the_wrong_id_in_a_form_is_a_page_that_says_so(open_house: Opener) -> None:
    own, *_ = three(open_house)
    for path, error in ((f"/{own.id}/revoke", "cannot_revoke_current_session"), ("/nonsense/revoke", "invalid_session_id")):
        answer = submitted(own, path)
        assert answer.status == 400
        assert error in Seen(answer).text
    assert own.is_live()


@pytest.mark.parametrize("path", ["/a/b/revoke", "/revoke-others/revoke/x", f"/{NOBODY}/revoked"])
def test_no_other_path_is_a_form(open_house: Opener, path: str) -> None:
    own, *_ = three(open_house)
    assert submitted(own, path).body in (b"the application", b"")


# --- what the page says afterwards ------------------------------------------------------------------------------------


def says(seen: Seen) -> bool:
    return any(said in seen.text for said in ("Done.", "There was nothing to end", "has been signed out.", "already been signed out"))


def receipt_of(client: Client) -> str:
    return submitted(client).value("location").partition("?")[2]


def test_a_receipt_is_good_for_one_minute(open_house: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    for module in ("sessionward.door.handle", "sessionward.sidecar.gate"):
        monkeypatch.setattr(f"{module}.time", lambda: now)
    own, *_ = three(open_house)
    query = receipt_of(own)
    assert says(Seen(page_of(own, query)))
    now += 50
    assert says(Seen(page_of(own, query)))
    now += 15
    assert not says(Seen(page_of(own, query)))


def test_a_form_reads_no_list_of_sessions(open_house: Opener) -> None:
    """Some stores can only read the sessions of all users."""

    class Listless(Memory):
        def list(self, user_id: str, /, **which: Any) -> SessionList:
            raise AssertionError

    own, *others = three(open_house, Listless())
    assert submitted(own, f"/{others[0].id}/revoke").status == 303
    assert submitted(own).status == 303


def test_a_receipt_is_no_good_to_another_session_of_the_same_user(open_house: Opener) -> None:
    own, *_ = three(open_house)
    query = receipt_of(own)
    assert not says(Seen(page_of(sign_in(own.house), query)))
    assert not says(Seen(page_of(sign_in(own.house, "eve"), query)))


FORGED: Final[Mapping[str, Callable[[str], str]]] = {
    "a bare number": lambda text: "revoked=99",
    "another number": lambda text: text.replace("others-2", "others-9"),
    "another form": lambda text: text.replace("others-2", "one-2"),
    "another signature": lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
    "another time": lambda text: re.sub(r"-(\d{10})-", lambda at: f"-{int(at[1]) + 1}-", text),
    "no signature": lambda text: text[:-24],
    "something behind it": lambda text: text + "x",
    "noise": lambda text: "revoked=%00%ff" + "9" * 5000,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_nobody_else_can_make_the_page_say_that_devices_were_signed_out(open_house: Opener, forged: Callable[[str], str]) -> None:
    own, *_ = three(open_house)
    query = receipt_of(own)
    assert "Done. 2 other sign-ins" in Seen(page_of(own, query)).text
    assert forged(query) != query
    assert not says(Seen(page_of(own, forged(query))))


def test_after_the_answer_the_page_says_what_was_not_ended_and_what_to_do(open_house: Opener) -> None:
    own, *_ = three(open_house, page=Page(tokens="/keys", change_password="/password"))
    seen = followed(own, submitted(own))
    assert "API keys and connected apps stay signed in." in seen.text
    assert {"/keys", "/password"} <= set(seen.attributes("a", "href"))


def test_where_the_setting_also_ends_tokens_the_page_says_so_after_all_others(open_house: Opener) -> None:
    called: list[str] = []
    own, other, _ = three(open_house, page=Page(tokens="/keys"), also=called.append)

    def said(answer: Answer) -> list[str]:
        shown = followed(own, answer)
        assert shown.attributes("p", "data-after") == ["one", "others"]
        return [str(seen["data-after"]) for _, seen in shown.elements if "data-after" in seen and "hidden" not in seen]

    assert said(submitted(own, f"/{other.id}/revoke")) == ["one"]
    assert called == []
    assert said(submitted(own)) == ["others"]
    assert called == ["ada"]


def test_where_users_may_end_impersonations_they_have_a_button_and_are_counted(open_house: Opener) -> None:
    own = sign_in(open_house(Memory(), revoke_impersonations=True))
    acting = impersonated(own)
    seen = Seen(page_of(own, f"ask={acting.id}"))
    assert questions(seen) == [f"{SESSIONS}/{acting.id}/revoke"]
    assert "End the session of \u2068root\u2069?" in seen.text
    assert "The device has been signed out." in followed(own, submitted(own, f"/{acting.id}/revoke")).text


def test_an_impersonation_may_not_use_the_forms(open_house: Opener) -> None:
    own, other, _ = three(open_house)
    root = impersonated(own)
    for path in ("/revoke-others", f"/{other.id}/revoke"):
        answer = submitted(root, path)
        assert answer.status == 403
        assert "Only the user can sign out devices." in Seen(answer).text
        assert "forbidden_for_impersonation" in Seen(answer).text
    assert other.is_live()


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusals(own: Client, other: Client) -> dict[str, Callable[..., Answer]]:
    house = own.house
    return {
        "session_inactive": lambda *f: house.ask("GET", SESSIONS, *f),
        "header_too_large": lambda *f: house.ask("GET", SESSIONS, ("Cookie", "x=" + "y" * 17_000), *f),
        "ambiguous_credentials": lambda *f: house.ask("GET", SESSIONS, own.header, other.bearer, *f),
        "invalid_page": lambda *f: house.ask("GET", SESSIONS, own.cookie, *f, query="page_token=x"),
        "security_csrf_violation": lambda *f: house.ask("POST", SESSIONS + "/revoke-others", own.cookie, *f),
        "invalid_session_id": lambda *f: house.ask("POST", SESSIONS + "/x/revoke", own.cookie, OWN, *f),
        "method_not_allowed": lambda *f: house.ask("GET", SESSIONS + "/revoke-others", own.cookie, *f),
    }


@pytest.mark.parametrize(
    "error",
    [
        "session_inactive",
        "header_too_large",
        "ambiguous_credentials",
        "invalid_page",
        "security_csrf_violation",
        "invalid_session_id",
        "method_not_allowed",
    ],
)
def test_a_browser_gets_a_refusal_as_a_page_of_the_same_status_id_and_request(open_house: Opener, error: str) -> None:
    own, other, _ = three(open_house)
    ask = refusals(own, other)[error]
    request = ("X-Request-Id", "r-4711")
    page, plain = ask(HTML, request), ask(request)
    assert plain.error == error
    assert page.status == plain.status
    assert page.value("content-type") == "text/html; charset=utf-8"
    seen = Seen(page)
    assert error in seen.text
    assert "r-4711" in seen.text
    kept = {"www-authenticate", "allow", "retry-after"}
    assert {field for field in page.fields if field[0] in kept} == {field for field in plain.fields if field[0] in kept}
    assert page.value("content-security-policy")
    assert page.value("vary") == "Accept, Accept-Language, Cookie, Authorization, X-Session-Token"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        pytest.param(BackendUnavailable("x"), "Nothing was changed.", id="backend_unavailable"),
        pytest.param(OutcomeUnknown("x"), "We could not find out whether it worked.", id="outcome_unknown"),
    ],
)
def test_p7_a_form_whose_outcome_is_not_known_says_so(open_house: Opener, failure: Exception, said: str) -> None:
    backend = Memory()
    own, *_ = three(open_house, backend)

    def fail() -> None:
        raise failure

    backend.on_revoke_others = fail
    answer = submitted(own)
    assert answer.status == 503
    assert 1 <= int(answer.value("retry-after")) <= 5
    assert said in Seen(answer).text


def test_p7_a_list_that_cannot_be_read_is_no_empty_page(open_house: Opener) -> None:
    class Silent(Memory):
        def list(self, user_id: str, /, **which: Any) -> SessionList:
            raise BackendUnavailable("x")

    answer = page_of(three(open_house, Silent())[0])
    assert answer.status == 503
    assert "backend_unavailable" in Seen(answer).text


@pytest.mark.parametrize(
    ("age", "is_recent"), [(10, True), (301, False), (-60, False)], ids=["a recent sign-in", "an old one", "one of the future"]
)
def test_where_a_recent_sign_in_is_asked_for_the_button_leads_to_it(open_house: Opener, age: int, is_recent: bool) -> None:
    backend = Memory()
    own, other, _ = three(open_house, backend, recent=300, sign_in="/login?next={return_to}")
    backend.now += age
    seen = Seen(page_of(own, "ask=others"))
    there = "/login?next=%2Fauth%2Fsessions"
    assert ("Sign in again to sign out other devices" in seen.text) is not is_recent
    assert (there in seen.attributes("a", "href")) is not is_recent
    assert len(questions(seen)) == seen.attributes("form", "class").count("ask") / 3 == is_recent
    answer = submitted(own)
    assert answer.status == (303 if is_recent else 403)
    assert other.is_live() is not is_recent
    if not is_recent:
        assert there in Seen(answer).attributes("a", "href")
        assert "session_refresh_required" in Seen(answer).text


def test_who_is_not_signed_in_gets_a_link_to_the_sign_in(open_house: Opener) -> None:
    answer = open_house(Memory(), sign_in="https://id.example/?to={return_to}").ask("GET", SESSIONS, HTML)
    assert answer.status == 401
    assert "https://id.example/?to=%2Fauth%2Fsessions" in Seen(answer).attributes("a", "href")


def test_a_form_beyond_the_rate_is_a_page_with_retry_after(open_house: Opener) -> None:
    own, *_ = three(open_house, rate_limit=1)
    assert submitted(own).status == 303
    assert submitted(own).status == 303  # it finds nothing to revoke
    own.house.backend.now += 1
    sign_in(own.house)
    answer = submitted(own)
    assert answer.status == 429
    assert int(answer.value("retry-after")) > 0
    assert "rate_limited" in Seen(answer).text


# --- languages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "language", "direction"),
    [("en", "en", "ltr"), ("de-AT,de;q=0.9", "de", "ltr"), ("ja", "ja", "ltr"), ("ar-EG", "ar", "rtl"), ("xx", "en", "ltr")],
)
def test_the_page_speaks_the_readers_language(open_house: Opener, asked: str, language: str, direction: str) -> None:
    own, *_ = three(open_house)
    answer = page_of(own, language=asked)
    (html,) = [attributes for tag, attributes in Seen(answer).elements if tag == "html"]
    assert html == {"lang": language, "dir": direction}
    assert answer.value("content-language") == language


def test_an_application_can_choose_one_language_for_all(open_house: Opener) -> None:
    own, *_ = three(open_house, page=Page(language="fr"))
    assert page_of(own, language="ja").value("content-language") == "fr"


# --- what an application changes --------------------------------------------------------------------------------------


def test_the_page_has_the_name_the_colour_the_sheet_and_the_logo_of_the_application(open_house: Opener) -> None:
    page = Page(name="Acme & Co", accent="Navy", css="/static/x.css", logo="https://cdn.example/logo.svg")
    own, *_ = three(open_house, page=page, public_origin="https://app.example")
    answer = page_of(own)
    assert "Acme & Co" in Seen(answer).text
    assert b"--accent:#000080;--on-accent:#fff" in answer.body
    policy = answer.value("content-security-policy")
    assert "= https://app.example/static/x.css'".replace("= ", "=' ").rstrip("'") in policy
    assert "img-src https://cdn.example/logo.svg;" in policy


def test_without_an_origin_of_its_own_a_sheet_may_come_from_the_same_host(open_house: Opener) -> None:
    own, *_ = three(open_house, page=Page(css="/static/x.css"))
    assert re.search(r"style-src 'sha256-\S+' 'self';", page_of(own).value("content-security-policy"))


def test_an_applications_template_extends_ours_and_escapes_as_ours(open_house: Opener, tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text(
        '{% extends "sessionward/layout.html" %}{% block header %}<nav>My site {{ "<b>" }}</nav>{% endblock %}', encoding="utf-8"
    )
    (tmp_path / "devices.html").write_text(
        '{% extends "sessionward/devices.html" %}{% block content %}<p>Before</p>{{ super() }}{% endblock %}', encoding="utf-8"
    )
    own, *_ = three(open_house, page=Page(templates=str(tmp_path)))
    answer = page_of(own)
    seen = Seen(answer)
    assert seen.text.index("My site <b>") < seen.text.index("Before") < seen.text.index("Other devices")
    assert "My site" in Seen(own.house.ask("GET", SESSIONS, HTML)).text


def test_the_blocks_of_an_applications_layout_are_on_every_page_and_the_page_keeps_its_script(open_house: Opener, tmp_path: Path) -> None:
    blocks = "".join(f"{{% block {name} %}}<p>MY {name}</p>{{% endblock %}}" for name in ("head", "header", "footer"))
    (tmp_path / "layout.html").write_text('{% extends "sessionward/layout.html" %}' + blocks, encoding="utf-8")
    own, *_ = three(open_house, page=Page(templates=str(tmp_path)))
    devices, refusal = page_of(own), own.house.ask("GET", SESSIONS, HTML)
    assert (devices.status, refusal.status) == (200, 401)
    for answer in (devices, refusal):
        assert all(f"<p>MY {name}</p>".encode() in answer.body for name in ("head", "header", "footer"))
    assert b'<div id="words"' in devices.body
    assert b"<script>" in devices.body
    assert b"<script>" not in refusal.body


@pytest.mark.parametrize("name", ["", "Acme"])
def test_a_logo_says_nothing_that_is_not_there(name: str, open_house: Opener) -> None:
    own, *_ = three(open_house, page=Page(name=name, logo="/x.svg"))
    assert b'<img src="/x.svg" alt=""' in page_of(own).body, "the name stands beside it, and it is no link"


def test_functions_of_the_application_name_devices_and_places(open_house: Opener) -> None:
    page = Page(
        label=lambda agent: "" if agent == "Other/2" else f"The {agent}", place=lambda address, language: f"near {address} ({language})"
    )
    own, *_ = three(open_house, page=page)
    seen = Seen(page_of(own, language="de"))
    assert "The MyApp/1" in seen.text
    assert "Other" in seen.text, "no name of the application, so our own"
    assert "near 192.0.2.7 (de)" in seen.text


def test_a_function_of_the_application_that_fails_costs_no_page(open_house: Opener, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()

    def fail(*_: str) -> str:
        raise RuntimeError("secret")

    own, *_ = three(open_house, page=Page(label=fail, place=fail))
    assert "MyApp" in Seen(page_of(own)).text
    assert "label() raised RuntimeError" in caplog.text
    assert "secret" not in caplog.text


class Beside:
    """Runs a request on an event loop that runs already, asked from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(5)


@pytest.fixture(params=["memory", "sqlite", "sqlite in one thread"])
def where(request: pytest.FixtureRequest, open_house: Opener, sqlite_url: str) -> Iterator[Keeper]:
    """One for each driver."""
    if request.param == "memory":
        memory = Memory()
        yield Keeper(memory, memory)
        return
    with closing(SQLBackend(sqlite_url)) as aside:
        aside.create_tables()
        in_thread = request.param != "sqlite" or not (open_house.is_asgi or open_house.place == "sidecar")
        yield Keeper(SQLBackend(sqlite_url, pool_size=1) if in_thread else AsyncSQLBackend(sqlite_url), aside)


def test_while_a_place_is_looked_up_other_requests_are_served(open_house: Opener, where: Keeper) -> None:
    threads: set[int] = set()

    def place(address: str, language: str) -> str:
        threads.add(get_ident())
        runner: Any = getattr(house, "runner", None)
        if runner is not None:
            house.runner = Beside(runner.get_loop())  # type: ignore[attr-defined]
        try:
            return f"answer {own.ask('GET', '/whoami').status}"
        finally:
            if runner is not None:
                house.runner = runner  # type: ignore[attr-defined]

    house = open_house(where.backend, page=Page(place=place), backend_timeout=10)
    own = sign_in(house, aside=where.aside)
    assert "answer 200" in Seen(page_of(own)).text
    assert threads.isdisjoint({get_ident()})


def test_a_place_that_is_not_found_in_time_is_left_out_of_the_page(
    open_house: Opener, where: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    warn.cache_clear()
    over = Event()

    def place(address: str, language: str) -> str:
        return "Vienna" if address == "192.0.2.1" or over.wait(20) else ""

    house = open_house(where.backend, page=Page(place=place), backend_timeout=1)
    own = sign_in(house, aside=where.aside, address="192.0.2.1")
    for number in (2, 3):
        sign_in(house, aside=where.aside, address=f"192.0.2.{number}")
    began = monotonic()
    pages = [page_of(own), page_of(own)]
    took = monotonic() - began
    over.set()
    assert took < 10
    assert all(f"192.0.2.{number}" in Seen(page).text for number in (2, 3) for page in pages)
    assert [Seen(page).text.count("Vienna") for page in pages] == [1, 1]
    assert own.ask("GET", "/whoami").status == 200
    assert caplog.text.count("place() did not answer within backend_timeout") == 1
    assert "192.0.2." not in caplog.text


def test_a_place_may_be_async_except_under_wsgi(open_house: Opener, where: Keeper) -> None:
    async def place(address: str, language: str) -> str:
        await asyncio.sleep(0)
        if address == "192.0.2.2":
            await asyncio.Event().wait()
        return "Vienna"

    page = Page(place=place)
    if not (open_house.is_asgi or open_house.place == "sidecar"):
        with pytest.raises(ConfigurationError, match=r"page\.place: this function is async, and a WSGI application cannot await it"):
            open_house(where.backend, page=page)
        return
    house = open_house(where.backend, page=page, backend_timeout=1)
    own = sign_in(house, aside=where.aside, address="192.0.2.1")
    assert "Vienna" in Seen(page_of(own)).text
    sign_in(house, aside=where.aside, address="192.0.2.2")
    seen = Seen(page_of(own))
    assert ("Vienna" in seen.text, "192.0.2.2" in seen.text) == (True, True)


def test_places_that_hang_keep_no_thread_from_the_setting_also(open_house: Opener) -> None:
    over, called = Event(), list[str]()
    page = Page(place=lambda address, language: str(over.wait(20)))
    own, other, _ = three(open_house, page=page, also=called.append, backend_timeout=0.2)
    try:
        for _ in range(CALL_THREADS + 1):
            assert page_of(own).status == 200
        assert own.ask("DELETE").json() == {"count": 2}
    finally:
        over.set()
    assert called == ["ada"]
    assert not other.is_kept()


def test_below_a_mount_point_every_address_has_it(open_house: Opener) -> None:
    if not open_house.is_mountable:
        pytest.skip("the sidecar has no mount point")
    own, other, _ = three(open_house)
    answer = own.house.ask("GET", SESSIONS, own.cookie, HTML, query=f"ask={other.id}", mount="/app")
    seen = Seen(answer)
    actions = set(seen.attributes("form", "action"))
    assert actions == {f"/app{SESSIONS}", f"/app{SESSIONS}/{other.id}/revoke"}
    answer = own.house.ask("POST", f"{SESSIONS}/revoke-others", own.cookie, HTML, OWN, mount="/app")
    assert answer.value("location").startswith(f"/app{SESSIONS}?revoked=others-2-")


# --- over sessions that the application has started -------------------------------------------------------------------


def test_over_rows_of_the_application_the_page_shows_what_they_know(open_house: Opener, tmp_path: Path) -> None:
    """Neither a label nor a place nor a time, and the buttons all the same."""
    file = f"{tmp_path}/app.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE logins (token TEXT PRIMARY KEY, owner TEXT NOT NULL)")
        connection.executemany("INSERT INTO logins VALUES (?, ?)", [("own", "ada"), ("other", "ada"), ("third", "ada"), ("eves", "eve")])
    backend = (AsyncTableBackend if open_house.is_asgi else TableBackend)(
        f"sqlite:///{file}", "logins", key="token", user="owner", cookie="sid"
    )
    house = open_house(backend, secrets=[])
    cookie = ("Cookie", "sid=own")
    seen = Seen(house.ask("GET", SESSIONS, cookie, HTML))
    assert "2 sign-ins" in seen.text
    assert seen.text.count("Unknown device") == 4, "this one, the group, and the two in it"
    one = next(value for value in seen.attributes("input", "value") if value != "others")
    answer = house.ask("POST", f"{SESSIONS}/{one}/revoke", cookie, HTML, OWN)
    query = answer.value("location").partition("?")[2]
    assert "The device has been signed out." in Seen(house.ask("GET", SESSIONS, cookie, HTML, query=query)).text
    answer = house.ask("POST", f"{SESSIONS}/revoke-others", cookie, HTML, OWN)
    query = answer.value("location").partition("?")[2]
    assert "Done. 1 other sign-in has ended." in Seen(house.ask("GET", SESSIONS, cookie, HTML, query=query)).text
    with closing(sqlite3.connect(file)) as connection:
        assert sorted(connection.execute("SELECT token FROM logins")) == [("eves",), ("own",)]
