"""Traefik is on no registry that a test can use, so it is emulated as its documentation describes routers, headers and ForwardAuth.

The printed configuration is read, and followed: which router takes a request, in which order its middlewares run, which headers the
check gets, which of its answer are copied. What Traefik itself makes of it is not shown here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.snippet import snippet
from tests.sidecar.checks import Field, Service, Silent, cookie, invalid

SWITCHES: Mapping[str, Any] = {"preflight": "pass", "exempt_paths": ["/static/"], "login_url": "https://app.example/login"}


def configuration(**switches: Any) -> dict[str, Any]:
    printed = snippet("traefik", authz="10.0.0.2:8090", app="10.0.0.3:80", listen="10.0.0.1:80", **switches)
    found: dict[str, Any] = yaml.safe_load(printed)["http"]
    return found


PLAIN, SWITCHED = configuration(), configuration(**SWITCHES)


class Passage(NamedTuple):
    """What became of a request. ``arrived``: the fields that the application got, if it passed."""

    router: str
    status: int
    location: str
    arrived: Mapping[str, str]


class Traefik:
    """A proxy with one configuration in front of a service."""

    def __init__(self, service: Service, configured: Mapping[str, Any]) -> None:
        self._service = service
        self._configured = configured

    def ask(self, *fields: Field, target: str = "/page?x=1", method: str = "POST") -> Passage:
        """Follows the configuration for one request. It has each field once, as Traefik's own headers have."""
        given = dict(fields)
        routers: Mapping[str, Any] = self._configured["routers"]
        taken = [name for name, router in routers.items() if _takes(router["rule"], given, target, method)]
        chosen = max(taken, key=lambda name: int(routers[name]["priority"]))
        answered, location = 200, ""
        for name in routers[chosen].get("middlewares", []):
            ((kind, options),) = self._configured["middlewares"][name].items()
            if kind == "headers":
                for header, value in options["customRequestHeaders"].items():
                    _set(given, header, value)
            elif kind == "buffering":
                assert options == {"maxRequestBodyBytes": 1}
            else:
                answered, location = self._checked(options, given, target, method)
                if not 200 <= answered < 300:
                    return Passage(chosen, answered, location, {})
        return Passage(chosen, answered, location, given)

    def _checked(self, options: Mapping[str, Any], given: dict[str, str], target: str, method: str) -> tuple[int, str]:
        assert options["trustForwardHeader"] is False
        names = {header.lower() for header in options["authRequestHeaders"]}
        asked = [(name, value) for name, value in given.items() if name.lower() in names]
        asked += [  # https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "app.example"),
            ("X-Forwarded-Uri", target),
            ("X-Forwarded-For", "203.0.113.9"),
        ]
        answer = self._service.ask(options["address"].removeprefix("http://10.0.0.2:8090"), *asked)
        if 200 <= answer.status < 300:
            for name in options["authResponseHeaders"]:
                _set(given, name, answer.fields[name.lower()])
        return answer.status, answer.fields.get("location", "")


def _set(fields: dict[str, str], name: str, value: str) -> None:
    for kept in [kept for kept in fields if kept.lower() == name.lower()]:
        del fields[kept]
    if value:
        fields[name] = value


def _takes(rule: str, fields: Mapping[str, str], target: str, method: str) -> bool:
    return all(_matches(part, {name.lower(): value for name, value in fields.items()}, target, method) for part in rule.split(" && "))


def _matches(part: str, fields: Mapping[str, str], target: str, method: str) -> bool:
    found = re.fullmatch(r"(\w+)\(`([^`]*)`(?:, `([^`]*)`)?\)", part)
    assert found is not None
    kind, first, pattern = found.groups()
    matchers = {
        "Method": lambda: method == first,
        "Path": lambda: target.partition("?")[0] == first,
        "PathPrefix": lambda: target.startswith(first),
        "Header": lambda: fields.get(first.lower()) == pattern,
        "HeaderRegexp": lambda: re.search(pattern, fields.get(first.lower(), "")) is not None,
    }
    return matchers[kind]()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def traefik(service: Service) -> Traefik:
    return Traefik(service, PLAIN)


@pytest.fixture
def switched() -> Traefik:
    return Traefik(Service(passes=AuthzSettings.of(**SWITCHES)), SWITCHED)


# --- the check --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configured", [PLAIN, SWITCHED], ids=["plain", "switched"])
def test_every_way_to_the_application_strips_first_and_checks_last(configured: Mapping[str, Any]) -> None:
    routers = configured["routers"]
    for router in routers.values():
        if router["service"] == "application":
            assert router["middlewares"][0] == "without-spoofed-identity"
            assert router["middlewares"][-1] in ("sessionward", "sessionward-preflight")
    assert "sessionward" not in routers["end-other-sessions"]["middlewares"]
    assert routers["end-other-sessions"]["rule"] == "Method(`DELETE`) && Path(`/auth/sessions`)"
    assert routers["end-other-sessions"]["priority"] == max(router["priority"] for router in routers.values())


def test_the_endpoint_is_served_without_a_check(traefik: Traefik) -> None:
    assert traefik.ask(method="DELETE", target="/auth/sessions")[:2] == ("end-other-sessions", 200)


@pytest.mark.parametrize(("method", "router"), [("DELETE", "end-preflight"), ("PUT", "application")])
def test_a_preflight_of_the_endpoint_is_answered_by_the_service(traefik: Traefik, method: str, router: str) -> None:
    fields = [("Origin", "https://other.example"), ("Access-Control-Request-Method", method)]
    assert traefik.ask(*fields, method="OPTIONS", target="/auth/sessions").router == router


def test_a_live_session_passes_with_its_identity(service: Service, traefik: Traefik) -> None:
    name, value = cookie(service.login("ann@example.com"))
    _, status, _, arrived = traefik.ask((name, f"theme=dark; {value}"), ("Accept", "text/html"))
    assert status == 204
    assert arrived["X-Session-User"] == "ann%40example.com"
    assert arrived["Cookie"] == f"theme=dark; {value}"
    assert arrived["Accept"] == "text/html"


def test_nobody_else_does(service: Service, traefik: Traefik) -> None:
    for fields in ([], [("Cookie", "a=b")], [invalid(service)], [("X-Session-User", "eve")]):
        assert traefik.ask(*fields)[1:] == (401, "", {})


@pytest.mark.parametrize(
    "name", ["X-Session-User", "X-Session-Id", "X-Session-Assertion", "X_Session_User", "X_Session_Id", "X_Session_Assertion"]
)
def test_a_spoofed_identity_never_arrives(service: Service, traefik: Traefik, name: str) -> None:
    for upgrade in ([], [("Upgrade", "websocket")], [("Upgrade", "h2c")]):
        arrived = traefik.ask(cookie(service.login("ann")), (name, "eve"), *upgrade).arrived
        assert "eve" not in arrived.values()
        assert arrived["X-Session-User"] == "ann"


def test_a_live_token_decides_over_an_invalid_cookie(service: Service, traefik: Traefik) -> None:
    gone, live = invalid(service), service.login("ann")
    arrived = traefik.ask(gone, ("X-Session-Token", live)).arrived
    assert arrived["X-Session-User"] == "ann"
    assert arrived["X-Session-Token"] == live


def test_a_silent_backend_lets_nobody_pass() -> None:
    traefik = Traefik(Service(Silent()), PLAIN)
    assert traefik.ask(cookie("x" * 32)).status == 401
    assert traefik.ask(cookie(Service().login()))[1:] == (503, "", {})


# --- upgrades ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["h2c", "H2C", "websocket, h2c", "h2c, websocket", "h2c/2", "websocketx", "xwebsocket"])
def test_no_upgrade_but_to_a_websocket_arrives(service: Service, traefik: Traefik, value: str) -> None:
    fields = [("Upgrade", value), ("Connection", "Upgrade, HTTP2-Settings, X-Session-User"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")]
    router, status, _, arrived = traefik.ask(cookie(service.login("ann")), *fields, method="GET")
    assert (router, status) == ("application", 204)
    assert {"upgrade", "connection", "http2-settings"}.isdisjoint(name.lower() for name in arrived)


@pytest.mark.parametrize("value", ["websocket", "WebSocket"])
def test_an_upgrade_to_a_websocket_arrives_if_the_session_is_live(service: Service, traefik: Traefik, value: str) -> None:
    fields = [("Upgrade", value), ("Connection", "Upgrade, X-Session-User"), ("HTTP2-Settings", "AAMA")]
    router, status, _, arrived = traefik.ask(cookie(service.login("ann")), *fields, method="GET")
    assert (router, status) == ("websocket", 204)
    assert (arrived["Upgrade"], arrived["Connection"], arrived["X-Session-User"]) == ("websocket", "Upgrade", "ann")
    assert "HTTP2-Settings" not in arrived
    assert traefik.ask(*fields, method="GET").status == 401


# --- the switches -----------------------------------------------------------------------------------------------------

PREFLIGHT = (("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT"))


def test_a_preflight_passes_without_credentials_and_override(switched: Traefik, traefik: Traefik) -> None:
    carried = [
        ("Cookie", "theme=dark"),
        ("Authorization", "Basic YTpi"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Method-Override", "PUT"),
    ]
    router, status, _, arrived = switched.ask(*PREFLIGHT, *carried, ("X-Session-User", "eve"), ("Upgrade", "websocket"), method="OPTIONS")
    assert (router, status) == ("preflight", 204)
    assert arrived == dict(PREFLIGHT)
    assert traefik.ask(*PREFLIGHT, method="OPTIONS").status == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_method_is_no_preflight(switched: Traefik, method: str) -> None:
    assert switched.ask(*PREFLIGHT, ("X-Forwarded-Method", "OPTIONS"), method=method).status == 401


def test_an_exempt_path_passes_and_no_field_makes_another_one_exempt(switched: Traefik) -> None:
    assert switched.ask(target="/static/a.css").status == 204
    for target in ("/static/../a", "/static/%2e%2e/a", "/a"):
        assert switched.ask(("X-Forwarded-Uri", "/static/a.css"), target=target).status == 401


def test_a_browser_is_sent_to_the_sign_in_page(switched: Traefik) -> None:
    passage = switched.ask(("Accept", "text/html"), method="GET")
    assert (passage.status, passage.location) == (302, "https://app.example/login?return_to=%2Fpage%3Fx%3D1")


def test_a_sign_in_page_needs_a_host_since_traefik_would_use_that_of_the_check() -> None:
    with pytest.raises(ValueError, match="login-url: Traefik needs a URL with a host"):
        configuration(login_url="/login")
