"""Who may revoke, and how often; what a sign-in beyond the limit meets; and what a standard asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import product
from typing import Any, ClassVar, Final

import pytest

from sessionward import ConfigurationError, Session, StaleLogin, TooManySessions, UsageError
from sessionward.api.endpoints import revoke_session
from sessionward.backends import RateLimited, SignInTooOld, Terms
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.table import TableBackend
from sessionward.flow import begin_login, login, revoke_others, revoke_others_endpoint
from sessionward.identify import Function
from sessionward.modes.choose import choose
from sessionward.response.answer import Response, sign_in_target
from sessionward.session.session import ANY_TERMS
from sessionward.session.steps import Find, Login, RevokeOne, RevokeOthers
from sessionward.settings import Settings
from sessionward.settings.limits import PROFILES, AtLimit
from tests.support.core import (
    PAIR,
    SECRET,
    SESSION,
    AsyncFindsAndEnds,
    FindsAndEnds,
    Opened,
    OverCarriers,
    Played,
    answered,
    mode_of,
    opened,
    play,
)

OTHER: Final = "0190163d-8694-739b-aea5-966c26f8ad90"


def called(change: str, answer: object, *, mount: str = "", **settings: object) -> Played[Response]:
    """A live session calls a route that revokes. ``answer``: of the backend to the change."""
    mode = mode_of(api=True, **settings)
    here = opened((b"cookie", PAIR), mode=mode, method="DELETE", path=f"{mount}/auth/sessions", root_path=mount)
    flow = revoke_others_endpoint(*here) if change == "others" else revoke_session(OTHER.encode(), *here)
    return answered(flow, lambda step: SESSION if isinstance(step, Find) else answer)


def body_of(played: Played[Response]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(played.value.body)
    del found["error"]["request"]
    return found


changes = pytest.mark.parametrize("change", ["others", "one"])

# --- recent -----------------------------------------------------------------------------------------------------------


@changes
def test_a_sign_in_that_is_too_old_gets_403_in_the_shape_of_kratos(change: str) -> None:
    played = called(change, SignInTooOld("a driver's words"), recent=300, sign_in="/login?refresh=true&next={return_to}", mount="/shop")
    assert played.value.status == 403
    target = "/login?refresh=true&next=%2Fshop%2Fauth%2Fsessions"
    assert body_of(played) == {
        "error": {
            "id": "session_refresh_required",
            "code": 403,
            "status": "Forbidden",
            "message": "The requested action was forbidden",
            "reason": "The sign-in of this session is too old for this. Nothing was changed; please sign in again.",
            "details": {"max_age": 300, "redirect_browser_to": target},
        },
        "redirect_browser_to": target,
    }


@changes
def test_without_the_setting_sign_in_there_is_no_address(change: str) -> None:
    found = body_of(called(change, SignInTooOld(), recent=timedelta(minutes=10)))
    assert found["error"]["details"] == {"max_age": 600}
    assert list(found) == ["error"]


@pytest.mark.parametrize(
    ("sign_in", "target"),
    [
        pytest.param("/login", "/login", id="a path"),
        pytest.param("/login?next={return_to}", "/login?next=%2Fauth%2Fsessions", id="a path and ours"),
        pytest.param("https://id.example/a?b=1&to={return_to}#top", "https://id.example/a?b=1&to=%2Fauth%2Fsessions#top", id="a URL"),
        pytest.param("https://id.example:8443/", "https://id.example:8443/", id="a port"),
    ],
)
def test_our_own_path_and_nothing_else_stands_in_the_address(sign_in: str, target: str) -> None:
    mode = mode_of(sign_in=sign_in)
    hostile = ((b"host", b"evil.example"), (b"referer", b"https://evil.example/"), (b"x-forwarded-host", b"evil.example"))
    here = opened(*hostile, mode=mode, path="/auth/sessions", query_string=b"return_to=https://evil.example")
    assert sign_in_target(here.context.request, mode.settings) == target


@pytest.mark.parametrize(
    "sign_in",
    [
        "",
        "login",
        "//evil.example/login",
        "/\\evil.example",
        "/a b",
        "/login?next={next}",
        "/login?next={return_to}&again={return_to}",
        "/ü",
        "/login\r\nSet-Cookie: a=b",
        "http://id.example/login",
        "javascript:alert(1)",
        "https://user@id.example/login",
        "https://id.example",
        "https:///login",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused_at_start(sign_in: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^sign_in: "):
        Settings.of({"sign_in": sign_in})


def test_in_development_the_address_may_be_plain_http() -> None:
    assert Settings.of({"sign_in": "http://localhost:3000/login", "insecure": True}).sign_in == "http://localhost:3000/login"


# --- how often --------------------------------------------------------------------------------------------------------


@changes
@pytest.mark.parametrize(("left", "field"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.001, b"2"), (359.5, b"360")])
def test_a_call_too_often_gets_429_with_whole_seconds_and_at_least_one(change: str, left: float, field: bytes) -> None:
    played = called(change, RateLimited(left), rate_limit=10)
    assert played.value.status == 429
    assert [value for name, value in played.value.headers if name == b"retry-after"] == [field]
    assert body_of(played)["error"]["id"] == "rate_limited"
    assert "details" not in body_of(played)["error"]


# --- the terms --------------------------------------------------------------------------------------------------------


@changes
def test_the_backend_judges_by_the_settings_under_its_lock(change: str) -> None:
    asked = called(change, 0, recent=300, rate_limit=10).asked[-1]
    assert isinstance(asked, RevokeOthers | RevokeOne)
    assert asked.terms == Terms(recent=300.0, rate_limit=10)


@changes
def test_without_the_settings_there_are_no_terms(change: str) -> None:
    asked = called(change, 0).asked[-1]
    assert isinstance(asked, RevokeOthers | RevokeOne)
    assert asked.terms == ANY_TERMS


def test_the_verbs_are_not_bound_by_them() -> None:
    here = opened(mode=mode_of(recent=300, rate_limit=1))
    here.context.session = SESSION
    assert play(revoke_others(*here), 1).asked == [RevokeOthers(SESSION)]


# --- beyond max_sessions ----------------------------------------------------------------------------------------------


def signing_in(here: Opened, user: str = "ada", **more: Any) -> Any:
    """The flow of the verb."""
    form: dict[str, Any] = {"ticket": None, "methods": ("password",), "persistent": True, **more}
    return login(*here, user, **form)


MINTED: Final = SESSION


def asked_to_sign_in(here: Opened, **more: Any) -> Any:
    (asked,) = play(signing_in(here, **more), MINTED).asked
    assert isinstance(asked, Login)
    return asked.new


def refused(here: Opened, *, generation: int = 7, **more: Any) -> TooManySessions:
    played = play(signing_in(here, **more), TooManySessions(3, generation))
    assert isinstance(played.raised, TooManySessions)
    assert here.context.cookie is None
    assert here.context.session is None
    return played.raised


def test_the_setting_says_what_happens_at_the_limit() -> None:
    assert asked_to_sign_in(opened()).at_limit is AtLimit.REVOKE
    assert asked_to_sign_in(opened(mode=mode_of(at_limit="refuse"))).at_limit is AtLimit.REFUSE


def test_the_ticket_of_a_refusal_signs_in_and_compares_the_generation_that_the_refusal_read() -> None:
    mode = mode_of(at_limit="refuse")
    full = refused(opened(mode=mode))
    assert (full.count, full.generation) == (3, 7)
    new = asked_to_sign_in(opened(mode=mode), ticket=full.ticket)
    assert (new.at_limit, new.generation) == (AtLimit.REVOKE, 7)  # P3 (b)


def test_the_ticket_of_a_sign_in_over_several_requests_does_not_pass_the_limit() -> None:
    mode = mode_of(at_limit="refuse")
    begun = play(begin_login(mode, "ada"), 7).value
    new = asked_to_sign_in(opened(mode=mode), ticket=begun)
    assert (new.at_limit, new.generation) == (AtLimit.REFUSE, 7)
    full = refused(opened(mode=mode), ticket=begun)
    assert full.ticket != begun


def test_a_ticket_cannot_be_made_to_pass_the_limit_or_be_used_by_another_user() -> None:
    mode = mode_of(at_limit="refuse")
    begun = play(begin_login(mode, "ada"), 7).value
    full = refused(opened(mode=mode)).ticket
    generation, _, signature = begun.partition(".")
    for forged in (
        f"{generation}-revoke.{signature}",
        full.replace("7-revoke", "8-revoke"),
        full.replace("-revoke", ""),
        full[:-1],
        full + "x",
    ):
        assert isinstance(play(signing_in(opened(mode=mode), ticket=forged)).raised, StaleLogin), forged
    assert isinstance(play(signing_in(opened(mode=mode), "bob", ticket=full)).raised, StaleLogin)


def test_a_ticket_of_a_refusal_does_not_show_whose_it_is_or_how_many() -> None:
    full = refused(opened(mode=mode_of(at_limit="refuse")))
    assert "ada" not in full.ticket
    assert "ada" not in str(full)


def test_a_remembered_user_has_no_recent_sign_in() -> None:
    for settings in ({}, {"identify": IDENTIFY}):
        mode = mode_of(**settings)
        assert asked_to_sign_in(opened(mode=mode)).is_fresh
        assert not asked_to_sign_in(opened(mode=mode), methods=[]).is_fresh


# --- what a backend cannot judge --------------------------------------------------------------------------------------


class Untimed(MemoryBackend):
    """Knows no time of a sign-in."""

    judges_recent: ClassVar[bool] = False


class Uncounted(MemoryBackend):
    """Counts no calls."""

    judges_rate: ClassVar[bool] = False


class Unlimited(MemoryBackend):
    """Refuses no sign-in."""

    judges_limit: ClassVar[bool] = False


def table(**columns: str) -> TableBackend:
    """A table of the application's; ``issued`` names the column with the time of the sign-in."""
    return TableBackend("sqlite:///application.db", "sessions", key="key", user="user", cookie="sid", **columns)  # type: ignore[arg-type]


IDENTIFY: Final = Function(lambda name, value: None, cookies=["sid"])
REFUSED: Final[Mapping[str, tuple[object, dict[str, Any], str]]] = {
    "recent, no terms": (FindsAndEnds(), {"recent": 300}, "recent: FindsAndEnds does not know when"),
    "recent, no terms, async": (AsyncFindsAndEnds(), {"recent": 300}, "recent: AsyncFindsAndEnds does not know when"),
    "recent, by its own word": (Untimed(), {"recent": 300}, "recent: Untimed does not know when"),
    "idle_timeout by a profile": (FindsAndEnds(), {"limits": "pci"}, "limits: FindsAndEnds does not keep when a session was used last"),
    "recent by a profile": (Untimed(), {"limits": "asvs-l2"}, "limits: Untimed does not know when"),
    "recent over rows": (OverCarriers(), {"recent": 300}, "recent: OverCarriers does not know when"),
    "recent over a table without times": (table(), {"recent": 300}, "recent: TableBackend does not know when"),
    "rate_limit over a table": (table(issued="at"), {"rate_limit": 10}, "rate_limit: TableBackend does not count"),
    "rate_limit, no terms": (FindsAndEnds(), {"rate_limit": 10}, "rate_limit: FindsAndEnds does not count"),
    "rate_limit, by its own word": (Uncounted(), {"rate_limit": 10}, "rate_limit: Uncounted does not count"),
    "refuse, no login": (FindsAndEnds(), {"at_limit": "refuse"}, "at_limit: FindsAndEnds does not refuse"),
    "refuse, by its own word": (Unlimited(), {"at_limit": "refuse"}, "at_limit: Unlimited does not refuse"),
    "refuse with identify": (MemoryBackend(), {"at_limit": "refuse", "identify": IDENTIFY}, "at_limit: with identify we see a sign-in"),
    "refuse over rows": (OverCarriers(), {"at_limit": "refuse"}, "at_limit: the application starts its sessions itself"),
    "an overall limit with identify": (
        MemoryBackend(),
        {"limits": "nist-aal1", "identify": IDENTIFY},
        "limits: with identify the application's login has to have the lifetime of 'nist-aal1'",
    ),
    "a profile over rows": (OverCarriers(), {"limits": "nist-aal1"}, "limits: the application starts its sessions itself"),
}


@pytest.mark.parametrize(("backend", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_a_limit_that_would_not_hold_is_refused_at_start(backend: object, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        choose(backend, {"secrets": [SECRET], **options}, float)
    (mistake,) = told.value.mistakes
    assert mistake.startswith(says)


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        pytest.param(Uncounted(), {"recent": 300}, id="recent, without counts"),
        pytest.param(Untimed(), {"rate_limit": 10}, id="rate_limit, without times"),
        pytest.param(table(issued="at"), {"recent": 300}, id="recent over a table with times"),
        pytest.param(table(issued="at"), {"limits": "asvs-l2"}, id="a profile over a table with times"),
        pytest.param(MemoryBackend(), {"at_limit": "revoke", "identify": IDENTIFY}, id="revoke with identify"),
        pytest.param(MemoryBackend(), {"recent": 300, "rate_limit": 3, "identify": IDENTIFY}, id="with identify"),
        pytest.param(MemoryBackend(), {"limits": "pci", "identify": IDENTIFY}, id="an idle limit with identify"),
        pytest.param(MemoryBackend(), {"recent": 300, "rate_limit": 3, "at_limit": "refuse", "limits": "nist-aal1"}, id="all"),
    ],
)
def test_what_holds_is_taken(backend: object, options: dict[str, Any]) -> None:
    choose(backend, {"secrets": [SECRET], **options}, float)


AT_THEIR_DEFAULTS: Final = {
    "idle_timeout": None,
    "at_limit": "revoke",
    "revoke_impersonations": False,
    "recheck_paths": None,
    "recent": None,
}


@pytest.mark.parametrize("backend", [OverCarriers(), table()], ids=lambda backend: type(backend).__name__)
def test_over_the_applications_own_sessions_a_setting_may_be_written_out_at_its_default(backend: object) -> None:
    choose(backend, AT_THEIR_DEFAULTS, float)
    for setting, other in {"idle_timeout": 900, "at_limit": "refuse", "revoke_impersonations": True, "recheck_paths": []}.items():
        with pytest.raises(ConfigurationError, match=setting):
            choose(backend, {**AT_THEIR_DEFAULTS, setting: other}, float)


# --- what standards ask for -------------------------------------------------------------------------------------------

BOUNDS: Final = {(profile, bound.setting): bound for profile, bounds in PROFILES.items() for bound in bounds}


def test_the_profiles_are_those_of_the_standards() -> None:
    assert {key: bound.seconds for key, bound in BOUNDS.items()} == {
        ("nist-aal1", "lifetime"): 30 * 86_400,
        ("nist-aal2", "lifetime"): 86_400,
        ("nist-aal2", "idle_timeout"): 3_600,
        ("nist-aal3", "lifetime"): 43_200,
        ("nist-aal3", "idle_timeout"): 900,
        ("pci", "idle_timeout"): 900,
        ("asvs-l2", "recent"): 300,
    }
    assert all(bound.source for bound in BOUNDS.values())


@pytest.mark.parametrize(("profile", "setting"), BOUNDS)
def test_a_profile_sets_what_is_not_given(profile: str, setting: str) -> None:
    assert getattr(Settings.of({"limits": profile}), setting) == BOUNDS[profile, setting].seconds


@pytest.mark.parametrize(("profile", "setting"), BOUNDS)
def test_a_stricter_setting_and_the_bound_itself_stay(profile: str, setting: str) -> None:
    bound = BOUNDS[profile, setting].seconds
    for given in (bound, bound - 1):
        assert getattr(Settings.of({"limits": profile, setting: given}), setting) == given


@pytest.mark.parametrize(("profile", "setting"), BOUNDS)
def test_a_laxer_setting_is_refused_with_the_source(profile: str, setting: str) -> None:
    bound = BOUNDS[profile, setting]
    for given in (bound.seconds + 1, timedelta(seconds=bound.seconds + 1)):
        with pytest.raises(ConfigurationError) as told:
            Settings.of({"limits": profile, setting: given})
        (mistake,) = told.value.mistakes
        assert mistake.startswith(f"{setting}: {bound.seconds + 1:.0f} seconds is laxer than limits={profile!r} allows")
        assert bound.source in mistake


def test_a_lifetime_that_is_not_longer_than_an_idle_limit_needs_none() -> None:
    assert Settings.of({"limits": "pci", "lifetime": 60}).idle_timeout is None
    assert Settings.of({"limits": "pci", "lifetime": timedelta(minutes=15)}).idle_timeout is None
    assert Settings.of({"limits": "nist-aal2", "lifetime": 1800, "idle_timeout": None}).idle_timeout is None
    assert Settings.of({"limits": "pci", "lifetime": 901}).idle_timeout == 900


def test_no_idle_limit_is_laxer_where_the_lifetime_is_longer() -> None:
    with pytest.raises(ConfigurationError, match=r"^idle_timeout: None is laxer than limits='pci' allows: 900 seconds"):
        Settings.of({"limits": "pci", "lifetime": 901, "idle_timeout": None})


@pytest.mark.parametrize(
    ("sign_in", "says"),
    [
        ("/login?next={next}", "sign_in: '{next}' is no placeholder that we know; write {return_to}, which becomes our own path"),
        ("/login?a={return_to}&next={}", "sign_in: '{}' is no placeholder that we know"),
        ("/login?next={return_to}&again={return_to}", "sign_in: {return_to} is there more than once; write it once"),
        ("login", "sign_in: 'login' is not a path or an https URL, such as '/login?next={return_to}'"),
    ],
)
def test_a_wrong_placeholder_is_told(sign_in: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        Settings.of({"sign_in": sign_in})
    (mistake,) = told.value.mistakes
    assert mistake.startswith(says)


def test_none_is_laxer_than_any_bound() -> None:
    with pytest.raises(ConfigurationError, match=r"^recent: None is laxer than limits='asvs-l2' allows: 300 seconds"):
        Settings.of({"limits": "asvs-l2", "recent": None})


def test_what_a_profile_does_not_name_stays_as_it_is() -> None:
    for profile, setting in product(PROFILES, Settings.__dataclass_fields__):
        if (profile, setting) not in BOUNDS and setting not in ("limits", "cookie_name"):
            assert getattr(Settings.of({"limits": profile}), setting) == getattr(Settings.of({}), setting), (profile, setting)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"recent": 0.5}, "recent: must be at least one second"),
        ({"recent": True}, "recent: must be seconds or a timedelta"),
        ({"recent": float("nan")}, "recent: must be at least one second"),
        ({"rate_limit": 0}, "rate_limit: must be from 1 to 3600 an hour, or None"),
        ({"rate_limit": 3601}, "rate_limit: must be from 1 to 3600 an hour, or None"),
        ({"rate_limit": 1.5}, "rate_limit: must be an int or None"),
        ({"rate_limit": True}, "rate_limit: must be an int or None"),
        ({"at_limit": "ask"}, "at_limit: 'ask' is not one of revoke, refuse"),
        ({"limits": "nist"}, "limits: 'nist' is not one of nist-aal1, nist-aal2, nist-aal3, pci, asvs-l2"),
        ({"limits": 2}, "limits: must be a str or None"),
        ({"limits": ["pci"]}, "limits: must be a str or None"),
        ({"sign_in": 5}, "sign_in: must be a str or None"),
    ],
)
def test_a_wrong_value_is_told(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        choose(MemoryBackend(), {"secrets": [SECRET], **options}, float)
    (mistake,) = told.value.mistakes
    assert mistake.startswith(says)


def test_a_ticket_must_be_a_str() -> None:
    assert isinstance(play(signing_in(opened(), ticket=7)).raised, UsageError)


def test_a_session_without_a_known_sign_in_is_a_session() -> None:
    assert Session(id=SESSION.id, user_id="ada", authenticated_at=None).authenticated_at is None
