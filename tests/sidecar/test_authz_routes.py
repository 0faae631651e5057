"""What passes ``sessionward authz`` without a session: decided by the route, and by the one place where its engine says what was asked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import pytest

from sessionward.credential.token import new_token
from sessionward.errors import ConfigurationError
from sessionward.sidecar.authz.routes import UNKNOWN, Asked, route_of
from sessionward.sidecar.authz.settings import MAX_RETURN, AuthzSettings
from tests.sidecar.checks import Answer, Field, Service, Silent, cookie, invalid

ALL = AuthzSettings.of(preflight="pass", exempt_paths=["/static/", "/health"], login_url="/login?a=b")
PREFLIGHT: Sequence[Field] = (("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT"))
HTML: Field = ("Accept", "text/html")


def through(engine: str, service: Service, target: str, *fields: Field, method: str = "GET", optional: bool = False) -> Answer:
    """Returns the answer to the check that an engine makes for a request with this method and target."""
    root = "/authz/optional" if optional else "/authz"
    if engine == "envoy":
        return service.ask(f"{root}/envoy{target}", *fields, method=method)
    prefix, uri = ("X-Forwarded", "Uri") if engine == "forward" else ("X-Original", "URI")
    return service.ask(f"{root}/{engine}", (f"{prefix}-Method", method), (f"{prefix}-{uri}", target), *fields)


ENGINES = ("nginx", "haproxy", "forward", "envoy")
every_engine = pytest.mark.parametrize("engine", ENGINES)

# --- the route --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/authz", 204),
        ("/authz/200", 200),
        ("/authz/200/", 200),
        ("/authz/200/a/b", 200),
        ("/authz/nginx", 204),
        ("/authz/forward", 204),
        ("/authz/haproxy", 204),
        ("/authz/envoy/", 200),
        ("/authz/envoy/a/b", 200),
    ],
)
def test_a_route_has_its_status_and_its_optional_twin(path: str, status: int) -> None:
    route, twin = route_of(path.encode()), route_of(path.replace("/authz", "/authz/optional", 1).encode())
    assert route is not None
    assert twin is not None
    assert (route.status, route.is_optional) == (status, False)
    assert (twin.status, twin.is_optional, twin.source, twin.redirect) == (status, True, route.source, route.redirect)


@pytest.mark.parametrize("path", ["/", "/authzx", "/AUTHZ", "//authz", "/auth", "/x/authz", ""])
def test_what_is_not_below_the_root_is_no_check(path: str) -> None:
    assert route_of(path.encode()) is None


APPENDED = [
    "/",
    "/optional",
    "/optional/",
    "/optional/200",
    "/optional/200/a",
    "/optional/nginx",
    "/optional/envoy/a",
    "/../optional",
    "/a",
    "*",
]


@pytest.mark.parametrize("path", ["/authz/200", "/authz/envoy", "/authz/nginx", "/authz/forward", "/authz/haproxy"])
@pytest.mark.parametrize("appended", APPENDED)
def test_no_path_that_an_engine_appends_makes_a_required_session_optional(path: str, appended: str) -> None:
    route = route_of(f"{path}{appended}".encode())
    assert route is not None
    assert not route.is_optional
    assert Service().ask(f"{path}{appended}").status == 401


@pytest.mark.parametrize("appended", ["/", "/a", "/index.html", "/optional/a", "/optional/", "*"])
def test_an_engine_that_appends_its_path_to_the_root_does_not_work_at_all(appended: str, caplog: pytest.LogCaptureFixture) -> None:
    """Else a client of such an engine could ask for ``/optional``."""
    service = Service()
    with caplog.at_level(logging.WARNING, logger="sessionward"):
        assert route_of(f"/authz{appended}".encode()) in (UNKNOWN, None)
        if appended != "*":
            assert service.ask(f"/authz{appended}", cookie(service.login())).status == 401


# --- preflights -------------------------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("optional", [False, True])
def test_a_preflight_passes_with_nothing(engine: str, optional: bool) -> None:
    service = Service(passes=ALL)
    fields = [cookie(service.login()), ("Authorization", "Basic YTpi"), ("X-Session-Token", "x"), *PREFLIGHT]
    answer = through(engine, service, "/private", *fields, method="OPTIONS", optional=optional)
    assert answer.status == (200 if engine == "envoy" else 204)
    names = ("x-session-user", "x-session-id", "x-session-assertion", "cookie", "authorization", "x-session-token")
    assert {name: answer.fields[name] for name in names} == dict.fromkeys(names, "")


@every_engine
@pytest.mark.parametrize("missing", [0, 1])
def test_a_preflight_has_both_its_fields(engine: str, missing: int) -> None:
    assert through(engine, Service(passes=ALL), "/private", PREFLIGHT[missing], method="OPTIONS").status == 401
    blank = (PREFLIGHT[missing], (PREFLIGHT[1 - missing][0], ""))
    assert through(engine, Service(passes=ALL), "/private", *blank, method="OPTIONS").status == 401


@every_engine
@pytest.mark.parametrize("method", ["GET", "POST", "options", "OPTION", "OPTIONS,GET"])
def test_any_other_method_is_no_preflight(engine: str, method: str) -> None:
    assert through(engine, Service(passes=ALL), "/private", *PREFLIGHT, method=method).status == 401


@every_engine
def test_a_preflight_is_checked_by_default(engine: str) -> None:
    assert through(engine, Service(), "/private", *PREFLIGHT, method="OPTIONS").status == 401


# --- exempt paths -----------------------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("target", ["/static/a.css", "/static/", "/health", "/static/a?../b//c;%2e", "/static/.a"])
def test_an_exempt_path_passes_without_a_question_and_without_our_credential(engine: str, target: str) -> None:
    service = Service(Silent(), passes=ALL)
    name, value = cookie(new_token())
    answer = through(engine, service, target, (name, f"theme=dark; {value}"), ("Authorization", "Basic YTpi"))
    assert answer.status in (200, 204)
    assert answer.fields["x-session-user"] == ""
    assert answer.fields["cookie"] == "theme=dark"
    assert answer.fields["authorization"] == "Basic YTpi"


@every_engine
@pytest.mark.parametrize(
    "target",
    [
        "/static/../private", "/static/./a", "/static/..", "/static//a", "/static/%2e%2E/a", "/static/a%2Fb", "/static/a%5cb",
        "/static/a\\b", "/static/a;b", "/static/..#", "/static/.#x", "/static/..%00", "/static", "/Static/a", "//static/a",
        "/private?/static/", "http://a/static/", "static/", "%2Fstatic/a", "*",
    ],
)  # fmt: skip
def test_another_spelling_is_never_exempt(engine: str, target: str) -> None:
    if engine == "envoy" and not target.startswith("/"):
        target = f"/x{target}"
    assert through(engine, Service(passes=ALL), target).status == 401


SAID = (
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-Url",
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X_Original_URI",
)


@every_engine
def test_the_fields_of_other_engines_change_nothing(engine: str) -> None:
    own = {"nginx": "X-Original", "haproxy": "X-Original", "forward": "X-Forwarded"}.get(engine, "none")
    service = Service(passes=ALL)
    for value in ("/static/a", "OPTIONS", "GET"):
        others = [(name, value) for name in SAID if not (name.startswith(own) and name[len(own) :].lower() in ("-method", "-uri"))]
        assert through(engine, service, "/private", *others, *PREFLIGHT).status == 401


@pytest.mark.parametrize("path", ["/authz", "/authz/200", "/authz/200/static/a", "/authz/optional/200"])
def test_a_route_without_an_engine_never_exempts(path: str) -> None:
    service = Service(passes=ALL, on_invalid="reject")
    said = [(name, "OPTIONS" if name.endswith("Method") else "/static/a") for name in SAID]
    assert service.ask(path, *said, *PREFLIGHT, HTML, invalid(service), method="OPTIONS").status == 401


@pytest.mark.parametrize("engine", ["nginx", "haproxy", "forward"])
def test_a_field_that_is_absent_empty_or_there_twice_exempts_nothing(engine: str) -> None:
    prefix = "X-Forwarded" if engine == "forward" else "X-Original"
    method, uri = (f"{prefix}-Method", "OPTIONS"), (f"{prefix}-URI", "/static/a")
    service = Service(passes=ALL)
    for said in ([], [method], [uri], [method, (uri[0], "")], [(method[0], ""), uri], [method, uri, uri], [method, method, uri]):
        assert service.ask(f"/authz/{engine}", *said, *PREFLIGHT, HTML).status == 401
        assert "location" not in service.ask(f"/authz/{engine}", *said, *PREFLIGHT, HTML).fields


def test_a_stranger_passes_by_no_switch() -> None:
    for target in ("/authz/envoy/static/a", "/authz/optional/envoy/static/a"):
        answer = Service(passes=ALL).ask(target, *PREFLIGHT, HTML, method="OPTIONS", is_trusted=False)
        assert (answer.status, "location" in answer.fields) == (401, False)


# --- the sign-in page -------------------------------------------------------------------------------------------------

RETURNS = {
    "/": "%2F",
    "/a/b?c=d&e": "%2Fa%2Fb%3Fc%3Dd%26e",
    "/a b": "%2F",
    "/\xe9": "%2F",
    "//evil.example": "%2F",
    "/./evil": "%2F",
    "/../evil": "%2F",
    "/\\evil": "%2F",
    "/a\r\nSet-Cookie: b": "%2F",
    "/a\x00": "%2F",
    "/.well-known/a": "%2F.well-known%2Fa",
    "/%0d%0a%5c": "%2F%250d%250a%255c",
    "/" + "a" * MAX_RETURN: "%2F",
    "https://evil.example/": "%2F",
}


@every_engine
@pytest.mark.parametrize(("target", "returns"), RETURNS.items(), ids=lambda value: ascii(value)[:40])
def test_a_browser_is_sent_to_the_sign_in_page_with_the_way_back(engine: str, target: str, returns: str) -> None:
    if engine == "envoy" and not target.startswith("/"):
        target = f"//{target}"
    answer = through(engine, Service(passes=ALL), target, HTML)
    assert answer.fields["location"] == f"/login?a=b&return_to={returns}"
    assert answer.status == (302 if engine in ("forward", "envoy") else 401)
    assert answer.fields["cache-control"] == "no-store"


def test_the_way_back_begins_the_query_of_a_url_that_has_none() -> None:
    passes = AuthzSettings.of(login_url="https://id.example")
    assert through("nginx", Service(passes=passes), "/a", HTML).fields["location"] == "https://id.example?return_to=%2Fa"


ACCEPTS = {
    "text/html": True,
    "TEXT/HTML": True,
    "application/json, text/html ; q=0.1": True,
    "text/html;level=1": True,
    "": False,
    "*/*": False,
    "text/*": False,
    "text/htmlx": False,
    "application/xhtml+xml": False,
    "text/html;q=0": False,
    "text/html; q=0.000": False,
}


@pytest.mark.parametrize(("accept", "wants"), ACCEPTS.items(), ids=ACCEPTS)
def test_only_a_client_that_names_html_wants_a_page(accept: str, wants: bool) -> None:
    assert ("location" in through("nginx", Service(passes=ALL), "/a", ("Accept", accept)).fields) == wants


@every_engine
def test_a_live_session_an_anonymous_user_and_an_outage_are_sent_nowhere(engine: str) -> None:
    service = Service(passes=ALL)
    assert through(engine, service, "/a", HTML, cookie(service.login())).status in (200, 204)
    assert through(engine, service, "/a", HTML, optional=True).status in (200, 204)
    assert through(engine, Service(Silent(), passes=ALL), "/a", HTML, cookie(service.login())).status == 503


@pytest.mark.parametrize("method", ["HEAD", "POST", "get"])
def test_only_a_get_is_sent_to_the_sign_in_page(method: str) -> None:
    assert "location" not in through("nginx", Service(passes=ALL), "/a", HTML, method=method).fields


# --- the settings -----------------------------------------------------------------------------------------------------


def test_by_default_nothing_passes_and_a_browser_is_sent_nowhere() -> None:
    assert AuthzSettings.of() == AuthzSettings()
    assert not AuthzSettings().is_exempt(Asked(b"GET", b"/"))


WRONG: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "preflight": [{"preflight": "yes"}],
    "exempt-paths": [
        {"exempt_paths": [prefix]}
        for prefix in ("", "/", "static/", "//", "/a//", "/a/../b", "/a;b", "/a%2fb", "/a\\", "/a b", "/\xe9", "/a?b")
    ],
    "login-url": [
        {"login_url": url}
        for url in (
            "",
            "login",
            "//evil.example",
            "/\\evil",
            "javascript:a",
            "https://",
            "https://a@b/",
            "https://a/b#c",
            "/a b",
            "/a\r\nb",
            "/a\\b",
        )
    ],
}


@pytest.mark.parametrize(("option", "settings"), [(option, each) for option, all_ in WRONG.items() for each in all_], ids=str)
def test_a_setting_that_cannot_be_meant_is_refused_by_its_name(option: str, settings: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=option):
        AuthzSettings.of(**settings)


def test_every_mistake_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuthzSettings.of(preflight="x", exempt_paths=["a", "b"], login_url="c")
    assert len(caught.value.mistakes) == 4


def test_a_status_is_one_that_the_engines_know() -> None:
    assert UNKNOWN.status is HTTPStatus.UNAUTHORIZED
