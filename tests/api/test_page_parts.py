"""The parts of the page by themselves: what the application may set, which form a client prefers, and what is there without Jinja2."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any, Final
from uuid import uuid4

import pytest

import sessionward
from sessionward import ConfigurationError, Session
from sessionward.api.negotiation import prefers_html
from sessionward.api.page import Page
from sessionward.api.page.languages import catalogue
from sessionward.api.page.optional import renderer_of
from sessionward.api.page.receipt import GOOD_FOR, Receipt, read, signed
from sessionward.api.page.render import SAMPLES, Renderer
from sessionward.api.page.view import view_of
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.door.parts import warn
from sessionward.drive import run_sync
from sessionward.settings import Settings
from sessionward.settings.page import LANGUAGES
from sessionward.sidecar.gate import Gate
from tests.api.houses import sign_in
from tests.doors.keepers import Memory
from tests.doors.sides import SECRET, SESSIONS, SIDES, House, town

NOW: Final = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def asgi_door(**settings: Any) -> object:
    return sessionward.ASGIMiddleware(_asgi, MemoryBackend(), secrets=[SECRET], **settings)


def wsgi_door(**settings: Any) -> object:
    return sessionward.WSGIMiddleware(_wsgi, MemoryBackend(), secrets=[SECRET], **settings)


def sidecar(**settings: Any) -> object:
    return Gate(MemoryBackend(), {"secrets": [SECRET], **settings})


every_door = pytest.mark.parametrize("door", [asgi_door, wsgi_door, sidecar])


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    """An application that nothing calls."""


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """An application that nothing calls."""
    return []


async def _async_label(agent: str) -> str:
    raise AssertionError


# --- what the application may set -------------------------------------------------------------------------------------

WRONG: Final[dict[str, tuple[dict[str, object], str]]] = {
    "a name that is no str": ({"name": b"x"}, "page.name: must be a str"),
    "a name with half of a character": ({"name": "x\ud800"}, "page.name: has a character that UTF-8 cannot encode"),
    "a colour that ends the rule": ({"accent": "#fff}body{display:none"}, "page.accent: "),
    "a colour with four digits": ({"accent": "#ffff"}, "page.accent: "),
    "a colour with a line feed": ({"accent": "#ffffff\n"}, "page.accent: "),
    "an unknown colour": ({"accent": "rebeccapurple"}, "page.accent: "),
    "a colour that is a function of CSS": ({"accent": "url(x)"}, "page.accent: "),
    "a sheet that ends the policy": ({"css": "/x; script-src *"}, "page.css: "),
    "a sheet on another host by two slashes": ({"css": "//evil.example/x.css"}, "page.css: "),
    "a logo as data": ({"logo": "data:image/png;base64,AAAA"}, "page.logo: "),
    "a link that is a script": ({"change_password": "javascript:alert(1)"}, "page.change_password: "),
    "a link that is relative": ({"tokens": "keys"}, "page.tokens: must be a path such as '/account/keys' or an https URL, not 'keys'"),
    "templates that are a Path": ({"templates": Path()}, "page.templates: must be the path"),
    "a label that is no function": ({"label": "x"}, "page.label: must be a function"),
    "a label that is async": ({"label": _async_label}, "page.label: this function is async"),
    "a place that is no function": ({"place": "x"}, "page.place: must be a function"),
    "a language that there is not": ({"language": "tlh"}, "page.language: 'tlh' is not one of"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_page_is_refused_with_its_field(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match="^" + message.replace(".", r"\.")):
        Page(**options)


def test_one_error_names_all_mistakes() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Page(accent="nice", css="x", language="tlh")
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == ["page.accent", "page.css", "page.language"]


@pytest.mark.parametrize(
    ("accent", "colours"),
    [
        ("#000", ("#000000", "#fff")),
        ("#FFF", ("#ffffff", "#000")),
        ("Navy", ("#000080", "#fff")),
        ("yellow", ("#ffff00", "#000")),
        ("#0b57d0", ("#0b57d0", "#fff")),
        ("gray", ("#808080", "#000")),
    ],
)
def test_the_text_on_a_button_is_what_is_easier_to_read(accent: str, colours: tuple[str, str]) -> None:
    assert Page(accent=accent).colours == colours


@every_door
def test_a_page_that_cannot_be_shown_is_refused_at_start(door: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "layout.html").write_text("{% block", encoding="utf-8")
    for settings, message in (
        ({"page": Page()}, "page: there is no page without the session API"),
        ({"page": object(), "api": True}, "page: must be a sessionward.api.page.Page"),
        ({"page": Page, "api": True}, "page: must be a sessionward.api.page.Page"),
        ({"page": Page(templates=str(tmp_path)), "api": True}, "page.templates: .* has neither layout.html nor"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            door(**settings)


@every_door
def test_a_wrong_page_is_told_in_one_message_with_all_other_mistakes(door: Callable[..., object], tmp_path: Path) -> None:
    for page, mistake in (("x", "page"), (Page(templates=str(tmp_path)), "page.templates")):
        with pytest.raises(ConfigurationError) as refused:
            door(page=page, api=True, assertion_secrets=["short"], at_limit="foo", rate_limit=0)
        assert sorted(each.partition(":")[0] for each in refused.value.mistakes) == ["assertion_secrets", "at_limit", mistake, "rate_limit"]


@pytest.mark.parametrize("template", ["devices.html", "problem.html"])
def test_a_template_that_is_no_template_is_refused_at_start(template: str, tmp_path: Path) -> None:
    (tmp_path / template).write_text("{% block", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"page.templates: {template}: "):
        Renderer(Page(templates=str(tmp_path)), Settings(api=True))


# --- without Jinja2 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def no_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jinja2 is not installed."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "sessionward.api.page.render")
    warn.cache_clear()


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES.keys())
@pytest.mark.usefixtures("no_jinja")
def test_without_jinja_browsers_get_json_and_the_log_names_the_extra_once(side: type[House], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        house = side(town, Memory(), api=True)
        client = sign_in(house)
        answer = house.ask("GET", SESSIONS, client.cookie, ("Accept", "text/html"))
        assert (answer.status, answer.json()) == (200, [])
        answer = house.ask("POST", SESSIONS + "/revoke-others", client.cookie, ("Accept", "text/html"))
        assert (answer.status, answer.error) == (403, "security_csrf_violation")
        house.close()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        'api: the page Your devices needs Jinja2: pip install "sessionward[page]"; browsers get JSON'
    ]


@every_door
@pytest.mark.usefixtures("no_jinja")
def test_a_page_that_somebody_asks_for_needs_jinja(door: Callable[..., object]) -> None:
    with pytest.raises(ConfigurationError, match=r"page: .*sessionward\[page\]"):
        door(api=True, page=Page())
    door()  # who wants no page needs none


def test_an_installation_that_is_broken_otherwise_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sessionward.api.page.headers", None)
    monkeypatch.delitem(sys.modules, "sessionward.api.page.render")
    with pytest.raises(ModuleNotFoundError, match="headers"):
        renderer_of(Settings(api=True))


# --- which form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"TEXT/HTML", True),
        (b"text/html;level=1;q=0.4, application/json;q=0.3", True),
        (b"text/html;q=0.3, application/json;q=0.4", False),
        (b"text/html;q=1.5", False),
        (b"text/html;q=x", False),
        (b"text/html ; q=0.5 , */*;q=0.1", True),
        (b"application/*, text/html", False),
        (b"text/htmlx", False),
        (b"", False),
        (b",;,=;q=,", False),
        (b"\xff\x00text/html", False),
        (b"a/b," * 30 + b"text/html", False),
    ],
)
def test_html_must_be_named_and_preferred(accept: bytes, html: bool) -> None:
    assert prefers_html(accept) is html


@pytest.mark.parametrize("accept", [b"text/html;" * 100_000, b"," * 1_000_000, b"q=" * 500_000, b"text/html;q=0." + b"0" * 1_000_000])
def test_a_hostile_accept_costs_no_time(accept: bytes) -> None:
    began = process_time()
    for _ in range(20):
        prefers_html(accept)
    assert process_time() - began < 1.0


# --- receipts ---------------------------------------------------------------------------------------------------------


def test_a_receipt_is_read_for_a_minute_by_its_caller_alone() -> None:
    own, other = Credential(b"a"), Credential(b"b")
    text = signed(Receipt("others", 12), own, NOW)
    assert read(text, own, NOW) == Receipt("others", 12)
    assert read(text, own, NOW + timedelta(seconds=GOOD_FOR - 1)) == Receipt("others", 12)
    assert read(text, own, NOW + timedelta(seconds=GOOD_FOR)) is None
    assert read(text, own, NOW - timedelta(seconds=GOOD_FOR - 1)) == Receipt("others", 12), "the clock of another host is behind"
    assert read(text, own, NOW - timedelta(seconds=GOOD_FOR)) is None
    assert read(text, other, NOW) is None


def test_no_changed_character_of_a_receipt_passes() -> None:
    own = Credential(b"a")
    text = signed(Receipt("others", 12), own, NOW)
    for place, letter in enumerate(text):
        for other in {"0", "1", "A", "-", "\n", "\u0661"} - {letter}:
            assert read(text[:place] + other + text[place + 1 :], own, NOW) is None


# --- plurals and order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_samples_of_the_script_have_every_plural_of_every_language(language: str) -> None:
    words = catalogue(language)

    def said(count: int) -> str:
        return words.ngettext("Done. %(count)s other sign-in has ended.", "Done. %(count)s other sign-ins have ended.", count)

    numbers = (*range(1, 120), 200, 1_000, 100_000, 1_000_000, 2_000_000)
    assert {said(number) for number in numbers} == {said(sample) for sample in SAMPLES}


def session(number: int, **more: Any) -> Session:
    hour = timedelta(hours=number)
    dress: dict[str, Any] = {
        "issued_at": NOW - hour,
        "authenticated_at": NOW - hour,
        "last_seen_at": NOW - hour,
        "expires_at": NOW + timedelta(days=7),
        "methods": ("password", "totp"),
        "ip_address": f"198.51.100.{number}",
        "user_agent": f"Mozilla/5.0 (Windows NT 10.0; rv:147.0) Gecko/20100101 Firefox/{number}.0",
    }
    return Session(id=uuid4(), user_id="ada", **{**dress, **more})


def test_other_sessions_come_by_last_use_and_impersonations_before_them() -> None:
    others = [session(5), session(2), session(9, kind="impersonation", actor="root"), session(3, last_seen_at=None)]
    view = run_sync(view_of(session(0), others, NOW, catalogue("en"), Page()), lambda step: step.ask(None))
    assert [group[0].id for group in view.groups] == [str(others[at].id) for at in (2, 1, 3, 0)]
    assert [group[0].may_revoke for group in view.groups] == [False, True, True, True]
