"""Wrong settings are told at once, all of them, in words that name the way out and show no secret."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from sessionward import ASGIMiddleware, ConfigurationError, Session, WSGIMiddleware
from sessionward.backends import Carrier, Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.own import OwnCredential
from sessionward.identify import Function
from sessionward.modes.application import Application
from sessionward.modes.assertion import Assertion
from sessionward.modes.choose import choose
from sessionward.modes.companion.mode import Companion
from sessionward.modes.own import Own
from sessionward.modes.recorded import Recorded
from sessionward.session.capabilities import Capabilities
from sessionward.settings import Settings
from tests.support.core import (
    OLD_SECRET,
    SECRET,
    TOKEN,
    AsyncFindsAndEnds,
    FindsAndEnds,
    OverCarriers,
    mode_of,
    unsigned,
)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def wsgi_app(environ: Any, start_response: Any) -> Any:
    raise NotImplementedError


def mistakes(**options: object) -> list[str]:
    """What :class:`Settings` says about these."""
    try:
        Settings.of({"secrets": [SECRET], **options})
    except ConfigurationError as error:
        return list(error.mistakes)
    return []


# --- defaults ---------------------------------------------------------------------------------------------------------


def test_every_default_is_the_one_of_the_contract() -> None:
    settings = Settings.of({})
    assert {name: getattr(settings, name) for name in Settings.__dataclass_fields__} == {
        "secrets": (),
        "assertion_secrets": (),
        "identify": None,
        "path": "/auth/sessions",
        "api": False,
        "page": None,
        "cookie_name": "__Host-session-ward",
        "cookie_domain": None,
        "cookie_samesite": "lax",
        "insecure": False,
        "on_invalid": "strip",
        "exempt_paths": (),
        "trusted_origins": (),
        "public_origin": None,
        "audience": "",
        "remote_user": False,
        "lifetime": 14 * 24 * 60 * 60.0,
        "idle_timeout": None,
        "max_sessions": 1000,
        "at_limit": "revoke",
        "recent": None,
        "sign_in": None,
        "rate_limit": None,
        "limits": None,
        "revoke_impersonations": False,
        "also": None,
        "backend_timeout": 2.0,
        "lease": 0.0,
        "lease_waiters": 0,
        "recheck": 5.0,
        "recheck_paths": None,
        "debug": False,
    }


def test_over_plain_http_the_cookie_has_another_name() -> None:
    assert Settings.of({"insecure": True}).cookie_name == "session-ward"
    assert Settings.of({"insecure": True, "cookie_name": "mine"}).cookie_name == "mine"


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({}, b"; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"cookie_samesite": "Strict"}, b"; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ({"cookie_samesite": "NONE"}, b"; Path=/; Secure; HttpOnly; SameSite=None"),
        ({"insecure": True}, b"; Path=/; HttpOnly; SameSite=Lax"),
    ],
    ids=["default", "strict", "none", "plain http"],
)
def test_the_attributes_of_the_cookie(options: dict[str, Any], attributes: bytes) -> None:
    assert OwnCredential(Settings.of({"secrets": [SECRET], **options})).cleared.partition(b"; Max-Age=0")[2] == attributes


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings.of({}).debug = True  # type: ignore[misc]


# --- as a user writes them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        ("lifetime", timedelta(days=2), 172_800.0),
        ("lifetime", 60, 60.0),
        ("lifetime", 1, 1.0),
        ("idle_timeout", timedelta(minutes=15), 900.0),
        ("idle_timeout", 120, 120.0),
        ("idle_timeout", 14 * 86_400, 1_209_600.0),
        ("idle_timeout", None, None),
        ("max_sessions", 1, 1),
        ("max_sessions", 1_000_000, 1_000_000),
        ("backend_timeout", timedelta(milliseconds=250), 0.25),
        ("backend_timeout", 60, 60.0),
        ("backend_timeout", 0.001, 0.001),
        ("lease", timedelta(milliseconds=50), 0.05),
        ("lease", 5, 5.0),
        ("recheck", timedelta(minutes=1), 60.0),
        ("recheck", 0.1, 0.1),
        ("recheck", None, None),
        ("recheck_paths", ["/events"], ("/events",)),
        ("recheck_paths", None, None),
        ("secrets", [SECRET, OLD_SECRET.encode()], (SECRET.encode(), OLD_SECRET.encode())),
        ("secrets", (SECRET,), (SECRET.encode(),)),
        ("secrets", ["ključ-žaba-čaša-đak-šuma-32"], ("ključ-žaba-čaša-đak-šuma-32".encode(),)),
        ("exempt_paths", ["/static/", "/health"], ("/static/", "/health")),
        ("trusted_origins", ["https://a.example:8443", "http://[::1]"], ("https://a.example:8443", "http://[::1]")),
        ("public_origin", "https://app.example", "https://app.example"),
        ("cookie_samesite", "Strict", "strict"),
        ("path", "/me/devices", "/me/devices"),
        ("cookie_name", "__Secure-x", "__Secure-x"),
    ],
)
def test_a_setting_is_kept_in_its_normal_form(name: str, written: object, kept: object) -> None:
    value = getattr(Settings.of({name: written}), name)
    assert value == kept
    assert type(value) is type(kept)


# --- what is wrong ----------------------------------------------------------------------------------------------------


class Keyword:
    """A function that cannot be called as we call it."""

    def __call__(self, *, user_id: str) -> None: ...


WRONG: Mapping[str, tuple[dict[str, object], str]] = {
    "secret of 31 bytes": ({"secrets": ["x9" * 15 + "x"]}, "secrets: number 1 has 31 bytes"),
    "empty secret": ({"secrets": [SECRET, ""]}, "secrets: number 2 has 0 bytes"),
    "secret of one letter": ({"secrets": ["a" * 40]}, "placeholder"),
    "secret of seven letters": ({"secrets": ["abcdefg" * 6]}, "placeholder"),
    "secret twice": ({"secrets": [SECRET, SECRET.encode()]}, "listed twice"),
    "short assertion secret": ({"assertion_secrets": ["short"]}, "assertion_secrets: number 1 has 5 bytes"),
    "assertion secret that signs cookies": ({"assertion_secrets": [SECRET]}, "assertion_secrets: one of them is also in secrets"),
    "17 secrets": ({"secrets": [f"{n:02}{SECRET}" for n in range(17)]}, "at most 16"),
    "secret not in a list": ({"secrets": SECRET}, "secrets: must be a list"),
    "bytes not in a list": ({"secrets": SECRET.encode()}, "secrets: must be a list"),
    "secrets in a set": ({"secrets": {SECRET}}, "secrets: must be a list"),
    "secret is a number": ({"secrets": [12345678]}, "secrets: must be a list"),
    "secrets is None": ({"secrets": None}, "secrets: must be a list"),
    "path without a slash": ({"path": "auth/sessions"}, "path: 'auth/sessions'"),
    "path ends in a slash": ({"path": "/auth/"}, "path: '/auth/'"),
    "path is a slash": ({"path": "/"}, "path: '/'"),
    "path is empty": ({"path": ""}, "path: ''"),
    "path with a doubled slash": ({"path": "//auth"}, "path: '//auth'"),
    "path with a parameter": ({"path": "/auth/{id}"}, "path: "),
    "path with a line feed": ({"path": "/auth\n"}, "path: "),
    "path with a segment that clients take away": ({"path": "/auth/../sessions"}, "path: '/auth/../sessions'"),
    "path that is a dot": ({"path": "/."}, "path: '/.'"),
    "path with a query": ({"path": "/auth?x"}, "path: "),
    "path is bytes": ({"path": b"/auth"}, "path: must be a str"),
    "cookie name with a blank": ({"cookie_name": "my cookie"}, "cookie_name: 'my cookie'"),
    "cookie name with a semicolon": ({"cookie_name": "a;b"}, "cookie_name: "),
    "cookie name with an equals sign": ({"cookie_name": "a=b"}, "cookie_name: "),
    "cookie name outside ASCII": ({"cookie_name": "é"}, "cookie_name: "),
    "cookie name with a line feed": ({"cookie_name": "a\n"}, "cookie_name: "),
    "cookie name too long": ({"cookie_name": "a" * 257}, "cookie_name: "),
    "cookie name is a number": ({"cookie_name": 5}, "cookie_name: must be a str"),
    "__Host- over plain http": ({"insecure": True, "cookie_name": "__Host-x"}, "browsers refuse '__Host-x' without Secure"),
    "__secure- over plain http": ({"insecure": True, "cookie_name": "__secure-x"}, "browsers refuse '__secure-x' without Secure"),
    "SameSite=None over plain http": ({"insecure": True, "cookie_samesite": "none"}, "browsers refuse SameSite=None"),
    "cookie_samesite is a word": ({"cookie_samesite": "loose"}, "cookie_samesite: 'loose' is not one of lax, strict, none"),
    "cookie_samesite is None": ({"cookie_samesite": None}, "cookie_samesite: must be a str"),
    "insecure is a str": ({"insecure": "no"}, "insecure: must be True or False"),
    "insecure is a number": ({"insecure": 1}, "insecure: must be True or False"),
    "on_invalid is a word": ({"on_invalid": "ignore"}, "on_invalid: 'ignore' is not one of strip, reject"),
    "on_invalid is None": ({"on_invalid": None}, "on_invalid: must be a str"),
    "exempt path is a str": ({"exempt_paths": "/static/"}, "exempt_paths: must be a list of str"),
    "exempt path holds bytes": ({"exempt_paths": [b"/static/"]}, "exempt_paths: must be a list of str"),
    "exempt path holds a slash": ({"exempt_paths": ["/"]}, "exempt_paths: '/' is not a path prefix"),
    "exempt path holds nothing": ({"exempt_paths": [""]}, "exempt_paths: '' is not a path prefix"),
    "exempt path that would never be exempt": (
        {"exempt_paths": ["/a;b/"]},
        "exempt_paths: '/a;b/' is a path that servers do not read alike",
    ),
    "exempt path with dots": ({"exempt_paths": ["/a/../b"]}, "exempt_paths: '/a/../b' is a path that servers"),
    "exempt path holds a pattern": ({"exempt_paths": ["*.css"]}, "exempt_paths: '*.css' is not a path prefix"),
    "exempt path holds our path": (
        {"exempt_paths": ["/static/", "/auth"]},
        "exempt_paths: '/auth' contains the path '/auth/sessions' itself",
    ),
    "exempt path holds exactly our path": ({"exempt_paths": ["/auth/sessions"]}, "exempt_paths: '/auth/sessions' contains"),
    "trusted_origins is a str": ({"trusted_origins": "https://a.example"}, "trusted_origins: must be a list of str"),
    "trusted origin with a slash": ({"trusted_origins": ["https://a.example/"]}, "trusted_origins: 'https://a.example/'"),
    "trusted origin without a scheme": ({"trusted_origins": ["a.example"]}, "trusted_origins: 'a.example'"),
    "trusted origin is a pattern": ({"trusted_origins": ["https://*.example"]}, "trusted_origins: 'https://*.example'"),
    "trusted origin is null": ({"trusted_origins": ["null"]}, "trusted_origins: 'null'"),
    "trusted origin is a star": ({"trusted_origins": ["*"]}, "trusted_origins: '*'"),
    "trusted origin in upper case": ({"trusted_origins": ["https://A.example"]}, "trusted_origins: 'https://A.example'"),
    "trusted origin with userinfo": ({"trusted_origins": ["https://u@a.example"]}, "trusted_origins: "),
    "trusted origin with a line feed": ({"trusted_origins": ["https://a.example\n"]}, "trusted_origins: "),
    "trusted origin with the default port": ({"trusted_origins": ["https://a.example:443"]}, "default port"),
    "public origin with the default port": ({"public_origin": "http://a.example:80"}, "default port"),
    "public origin with a path": ({"public_origin": "https://a.example/app"}, "public_origin: 'https://a.example/app'"),
    "public origin is empty": ({"public_origin": ""}, "public_origin: ''"),
    "public origin is bytes": ({"public_origin": b"https://a.example"}, "public_origin: "),
    "audience is None": ({"audience": None}, "audience: must be a str"),
    "remote_user is a str": ({"remote_user": "yes"}, "remote_user: must be True or False"),
    "debug is a str": ({"debug": "0"}, "debug: must be True or False"),
    "lifetime under a second": ({"lifetime": 0.5}, "lifetime: must be at least one second"),
    "lifetime is negative": ({"lifetime": timedelta(days=-1)}, "lifetime: must be at least one second"),
    "lifetime is not a number": ({"lifetime": math.nan}, "lifetime: "),
    "lifetime is endless": ({"lifetime": math.inf}, "lifetime: "),
    "lifetime goes beyond the calendar": ({"lifetime": timedelta.max}, "lifetime: "),
    "lifetime is more than a float holds": ({"lifetime": 10**400}, "lifetime: must be a number of seconds"),
    "recheck is more than a float holds": ({"recheck": 10**400}, "recheck: must be a number of seconds"),
    "audience has half of a character": ({"audience": "a\ud800"}, "audience: has a character that UTF-8 cannot encode"),
    "exempt_paths has half of a character": ({"exempt_paths": ["/\ud800"]}, "exempt_paths: has a character that UTF-8 cannot encode"),
    "recheck_paths has half of a character": ({"recheck_paths": ["/\udfff"]}, "recheck_paths: has a character that UTF-8 cannot encode"),
    "lifetime is a str": ({"lifetime": "14d"}, "lifetime: must be seconds or a timedelta"),
    "lifetime is a truth": ({"lifetime": True}, "lifetime: must be seconds or a timedelta"),
    "idle_timeout under two minutes": ({"idle_timeout": 119.9}, "idle_timeout: must be at least 120 seconds, or None"),
    "idle_timeout is not a number": ({"idle_timeout": math.nan}, "idle_timeout: must be at least 120 seconds"),
    "idle_timeout is a str": ({"idle_timeout": "15m"}, "idle_timeout: must be seconds or a timedelta"),
    "idle_timeout beyond the lifetime": ({"idle_timeout": 900, "lifetime": 600}, "idle_timeout: must be at most the lifetime, 600 seconds"),
    "max_sessions is zero": ({"max_sessions": 0}, "max_sessions: must be at least 1"),
    "max_sessions is less than zero": ({"max_sessions": -1}, "max_sessions: must be at least 1"),
    "max_sessions is more than anybody has": ({"max_sessions": 10**30}, "max_sessions: must be at most 1000000"),
    "max_sessions is not whole": ({"max_sessions": 1.5}, "max_sessions: must be an int"),
    "max_sessions is a truth value": ({"max_sessions": True}, "max_sessions: must be an int"),
    "max_sessions is None": ({"max_sessions": None}, "max_sessions: must be an int"),
    "backend_timeout is zero": ({"backend_timeout": 0}, "backend_timeout: must be more than 0"),
    "backend_timeout is negative": ({"backend_timeout": -1}, "backend_timeout: must be more than 0"),
    "backend_timeout over a minute": ({"backend_timeout": 60.1}, "backend_timeout: must be more than 0 and at most 60"),
    "backend_timeout is endless": ({"backend_timeout": math.inf}, "backend_timeout: "),
    "backend_timeout is not a number": ({"backend_timeout": math.nan}, "backend_timeout: "),
    "recheck is short": ({"recheck": 0.09}, "recheck: must be from 0.1 to 3600 seconds, or None"),
    "recheck is long": ({"recheck": 3601}, "recheck: must be from 0.1 to 3600 seconds, or None"),
    "recheck is not a number": ({"recheck": math.nan}, "recheck: must be from 0.1 to 3600 seconds, or None"),
    "recheck is a str": ({"recheck": "5"}, "recheck: must be seconds or a timedelta"),
    "recheck_paths is one str": ({"recheck_paths": "/events"}, "recheck_paths: must be a list of str"),
    "recheck_paths without a slash": ({"recheck_paths": ["events"]}, "recheck_paths: 'events' is not a path prefix such as '/events/'"),
    "revoke_impersonations is a str": ({"revoke_impersonations": "no"}, "revoke_impersonations: must be True or False"),
    "also is no function": ({"also": "revoke_tokens"}, "also: must be a function of the user's id, or None"),
    "also takes no user": ({"also": lambda: None}, "also: the function must take one argument, the user's id"),
    "also takes more": ({"also": lambda user, why: None}, "also: the function must take one argument, the user's id"),
    "also takes its user by name": ({"also": Keyword()}, "also: the function must take one argument, the user's id"),
    "lease is negative": ({"lease": -0.1}, "lease: must be at least 0 and at most 5 seconds"),
    "lease over 5 seconds": ({"lease": 5.1}, "lease: must be at least 0 and at most 5 seconds"),
    "lease is not a number": ({"lease": math.nan}, "lease: "),
    "lease_waiters is negative": ({"lease_waiters": -1}, "lease_waiters: must be at least 0"),
    "lease_waiters is a float": ({"lease_waiters": 2.5}, "lease_waiters: must be an int"),
    "backend_timeout is None": ({"backend_timeout": None}, "backend_timeout: must be seconds or a timedelta"),
    "unknown": ({"timeout": 1}, "timeout: there is no such setting"),
    "unknown, but near": ({"cookiename": "x"}, "cookiename: there is no such setting; did you mean cookie_name?"),
    "singular": ({"secret": SECRET}, "secret: there is no such setting; did you mean secrets?"),
    "of another spelling": ({"same_site": "lax"}, "same_site: there is no such setting; did you mean cookie_samesite?"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_told(options: dict[str, object], told: str) -> None:
    found = mistakes(**options)
    assert len(found) == 1
    assert told in found[0]


def test_a_list_with_several_wrong_members_tells_each() -> None:
    assert len(mistakes(trusted_origins=["a", "https://ok.example", "b"], exempt_paths=["c", "d"], secrets=["e", "f"])) == 6


@pytest.mark.parametrize("insecure", [True, False])
@pytest.mark.parametrize("door", [ASGIMiddleware, WSGIMiddleware])
def test_all_mistakes_are_told_in_one_error(door: Any, insecure: bool) -> None:
    with pytest.raises(ConfigurationError) as told:
        door(
            asgi_app if door is ASGIMiddleware else wsgi_app,
            FindsAndEnds,
            secrets=["short"],
            path="x",
            insecure=insecure,
            cookie_samesite="sometimes",
            on_invalid="alive",
            exempt_paths=["y"],
            trusted_origins=["z"],
            public_origin="w",
            lifetime=0,
            backend_timeout="soon",
            colour="blue",
        )
    names = [
        "backend",
        "secrets",
        "path",
        "cookie_samesite",
        "on_invalid",
        "exempt_paths",
        "trusted_origins",
        "public_origin",
    ]
    names += ["lifetime", "backend_timeout", "colour"]
    assert sorted(mistake.partition(":")[0] for mistake in told.value.mistakes) == sorted(names)
    assert str(told.value).startswith("several settings are wrong:\n  - ")
    assert str(told.value).count("\n  - ") == len(names)


def test_a_setting_of_a_wrong_kind_hides_no_other_mistake() -> None:
    found = mistakes(path=5, debug="no", cookie_domain=1, secrets=["short"], on_invalid="alive", trusted_origins=["z"], lifetime=0)
    assert sorted(m.partition(":")[0] for m in found) == [
        "cookie_domain",
        "debug",
        "lifetime",
        "on_invalid",
        "path",
        "secrets",
        "trusted_origins",
    ]


def test_one_mistake_alone_stands_without_a_list() -> None:
    with pytest.raises(ConfigurationError) as told:
        Settings.of({"on_invalid": "alive"})
    assert str(told.value) == told.value.mistakes[0]


@pytest.mark.parametrize("options", [options for options, _ in WRONG.values()], ids=WRONG)
def test_no_message_shows_a_secret(options: dict[str, object]) -> None:
    found = " ".join(mistakes(**options))
    secrets = options.get("secrets", options.get("secret", ()))
    listed = [secrets] if isinstance(secrets, (str, bytes)) else list(secrets or ())  # type: ignore[call-overload]
    for secret in listed:
        text = secret.decode() if isinstance(secret, bytes) else str(secret)
        assert not text or text not in found
    assert SECRET not in found


# --- the backend ------------------------------------------------------------------------------------------------------


class Mixed(FindsAndEnds):
    """One async method among sync ones."""

    async def begin_login(self, user_id: str, /) -> int:
        raise NotImplementedError


class FindsOnly:
    def find(self, credential: Credential, /) -> Session | None:
        raise NotImplementedError


class NotCallable(FindsAndEnds):
    revoke_others: ClassVar[Any] = None


class CarriersAndLogin(OverCarriers):
    """Reads credentials of the application's own, but also starts sessions of ours."""

    def login(self, user_id: str, digest: bytes, /, **how: object) -> Session:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        pytest.param(MemoryBackend, "backend: MemoryBackend is a class; pass an instance, MemoryBackend(...)", id="a class"),
        pytest.param(FindsOnly(), "backend: FindsOnly has no revoke_others", id="one operation is missing"),
        pytest.param(NotCallable(), "backend: NotCallable has no revoke_others", id="one operation is not a function"),
        pytest.param("sqlite:///x.db", "backend: pass an object", id="a str"),
        pytest.param(None, "backend: pass an object", id="None"),
        pytest.param(object(), "backend: object has no find and no revoke_others", id="anything"),
        pytest.param(Mixed(), "backend: Mixed mixes sync and async: only begin_login are async", id="sync and async"),
    ],
)
@pytest.mark.parametrize("door", [ASGIMiddleware, WSGIMiddleware])
def test_what_is_not_a_backend_is_told(backend: object, told: str, door: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        door(asgi_app if door is ASGIMiddleware else wsgi_app, backend, secrets=[SECRET])
    (mistake,) = error.value.mistakes
    assert told in mistake


def test_an_async_backend_is_refused_by_the_wsgi_door_which_names_its_twin() -> None:
    with pytest.raises(ConfigurationError, match=r"AsyncFindsAndEnds is async.*use FindsAndEnds"):
        WSGIMiddleware(wsgi_app, AsyncFindsAndEnds(), secrets=[SECRET])  # type: ignore[arg-type]


def test_an_async_backend_in_the_wsgi_door_is_told_beside_the_other_mistakes() -> None:
    with pytest.raises(ConfigurationError) as error:
        WSGIMiddleware(wsgi_app, AsyncFindsAndEnds(), secrets=["short"])  # type: ignore[arg-type]
    assert sorted(mistake.partition(":")[0] for mistake in error.value.mistakes) == ["backend", "secrets"]


@pytest.mark.parametrize("options", [{}, {"secrets": []}, {"secrets": ()}], ids=["not given", "empty list", "empty tuple"])
@pytest.mark.parametrize("backend", [MemoryBackend(), FindsAndEnds(), AsyncFindsAndEnds()], ids=["signs in", "sync", "async"])
def test_a_door_with_cookies_of_ours_does_not_start_without_secrets(backend: object, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"secrets: .*token_urlsafe"):
        choose(backend, options, float)


def test_a_backend_with_carriers_of_its_own_needs_no_secrets() -> None:
    assert choose(OverCarriers(), {}, float).settings.secrets == ()


@pytest.mark.parametrize("options", [{}, {"secrets": [SECRET]}], ids=["without secrets", "with secrets"])
@pytest.mark.parametrize("door", [ASGIMiddleware, WSGIMiddleware])
def test_a_backend_with_carriers_that_also_signs_in_is_refused(door: Any, options: dict[str, Any]) -> None:
    """Nothing would read the cookie that its login sets."""
    with pytest.raises(ConfigurationError) as error:
        door(asgi_app if door is ASGIMiddleware else wsgi_app, CarriersAndLogin(), **options)
    (mistake,) = error.value.mistakes
    assert mistake.startswith("backend: CarriersAndLogin has carriers and login()")


def test_what_a_backend_can_do_is_seen_from_its_methods() -> None:
    memory, sync, other = (Capabilities.of(backend) for backend in (MemoryBackend(), FindsAndEnds(), AsyncFindsAndEnds()))
    login = {"login", "begin_login", "revoke", "revoke_all"}
    companions = {"companion_status", "is_revoked_app_session", "adopt", "extend"}
    assert memory == Capabilities(
        "MemoryBackend",
        frozenset(
            {"find", "find_many", "list", "note_seen", "revoke_everybody", "revoke_one", "revoke_others", "revoke_others_quietly"}
            | login
            | companions
        ),
        False,
        False,
        (),
        judges=frozenset({"recent", "rate_limit", "at_limit"}),
    )
    assert sync == Capabilities("FindsAndEnds", frozenset({"find", "revoke_others"}), False, True, ())
    assert other == Capabilities("AsyncFindsAndEnds", frozenset({"find", "revoke_others"}), True, True, ())
    assert memory.supports_login
    assert memory.supports_companions
    assert not sync.supports_login
    assert Capabilities.of(OverCarriers()).carriers == (Carrier.header("X-Key", scheme="Key"), Carrier.cookie("sid"))


class KeepsARecord(OverCarriers):
    def which_revoked(self, credentials: Any, /) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("backend", "options", "kind"),
    [
        pytest.param(MemoryBackend(), {}, Own, id="own"),
        pytest.param(FindsAndEnds(), {}, Own, id="own, without login"),
        pytest.param(MemoryBackend(), {"assertion_secrets": [OLD_SECRET]}, Assertion, id="assertion"),
        pytest.param(OverCarriers(), {}, Application, id="application"),
        pytest.param(KeepsARecord(), {}, Recorded, id="recorded"),
        pytest.param(MemoryBackend(), {"identify": Function(lambda name, value: None, cookies=["sid"])}, Companion, id="companion"),
    ],
)
def test_the_mode_follows_from_the_backend_and_the_settings(backend: object, options: dict[str, Any], kind: type) -> None:
    assert type(choose(backend, {"secrets": [SECRET], **options}, float)) is kind


# --- what a door works out --------------------------------------------------------------------------------------------


def own(**options: object) -> OwnCredential:
    mode = mode_of(**options)
    assert isinstance(mode, Own)
    return mode.own


def test_a_mode_signs_with_the_newest_secret_and_verifies_with_all() -> None:
    both, before = own(secrets=[SECRET, OLD_SECRET]).signature, own(secrets=[OLD_SECRET]).signature
    assert both.sign(TOKEN) == own(secrets=[SECRET]).signature.sign(TOKEN)
    assert unsigned(both, before.sign(TOKEN)) == TOKEN


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"audience": "shop"}, "__Host-session-ward-MARK"),
        ({"audience": "shop", "insecure": True}, "session-ward-MARK"),
        ({"audience": "shop", "cookie_domain": "example.com"}, "__Secure-session-ward-MARK"),
        ({"audience": "shop", "cookie_name": "mine"}, "mine"),
    ],
)
def test_with_an_audience_the_default_cookie_name_ends_in_its_mark(options: dict[str, Any], name: str) -> None:
    number = int(hashlib.sha256(b"shop").hexdigest(), 16)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    whole = ""
    while number:
        number, digit = divmod(number, 62)
        whole = alphabet[digit] + whole
    assert Settings.of(options).cookie_name == name.replace("MARK", whole.rjust(43, "0")[:6])


def test_cookies_of_one_audience_are_none_of_another() -> None:
    shop, forum = own(audience="shop").signature, own(audience="forum").signature
    assert unsigned(shop, forum.sign(TOKEN)) is None
    assert unsigned(mode_of(audience="shop").tickets, shop.sign(TOKEN)) is None


@pytest.mark.parametrize(
    ("prefix", "written"),
    [("/static/", b"/static/"), ("/my files/", b"/my%20files/"), ("/é", b"/%C3%A9"), ("/a%20b", b"/a%20b")],
    ids=["plain", "blank", "outside ASCII", "already encoded"],
)
def test_exempt_paths_are_compared_as_they_stand_in_a_request_line(prefix: str, written: bytes) -> None:
    assert mode_of(exempt_paths=[prefix]).settings.exempt == (written,)


def test_construction_touches_neither_application_nor_backend() -> None:
    """Both would raise if they were called."""
    assert ASGIMiddleware(asgi_app, AsyncFindsAndEnds(), secrets=[SECRET]).app is asgi_app
    assert WSGIMiddleware(wsgi_app, FindsAndEnds(), secrets=[SECRET]).app is wsgi_app
