"""Traefik is on no registry that a test can use, so its sub-request is emulated as its documentation describes ForwardAuth.

The printed configuration is read, and followed: which headers the check gets, which of its answer are copied, in which order
the middlewares run. What Traefik itself makes of it is not shown here.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sessionward.sidecar.snippet import snippet
from tests.sidecar.checks import Service, Silent, cookie, invalid

CONFIGURATION: dict[str, Any] = yaml.safe_load(snippet("traefik", authz="10.0.0.2:8090", app="10.0.0.3:80", listen="10.0.0.1:80"))["http"]
AUTH: dict[str, Any] = CONFIGURATION["middlewares"]["sessionward"]["forwardAuth"]
STRIPPED: dict[str, str] = CONFIGURATION["middlewares"]["without-spoofed-identity"]["headers"]["customRequestHeaders"]
TRAEFIK = ("10.0.0.1", 4711)
Field = tuple[str, str]


def through(service: Service, *fields: Field, target: str = "/page?x=1", method: str = "POST") -> tuple[int, dict[str, str]]:
    """The status of the check, and what the application gets of the fields if it passes."""
    given = {name: value for name, value in fields if STRIPPED.get(name) != ""}
    asked = [(name, value) for name, value in given.items() if name.lower() in {header.lower() for header in AUTH["authRequestHeaders"]}]
    asked += [  # https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/
        ("X-Forwarded-Method", method),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "app.example"),
        ("X-Forwarded-Uri", target),
        ("X-Forwarded-For", "203.0.113.9"),
    ]
    path = AUTH["address"].removeprefix("http://10.0.0.2:8090")
    answer = service.ask(path, *asked, client=TRAEFIK)
    if not 200 <= answer.status < 300:
        return answer.status, {}
    for name in AUTH["authResponseHeaders"]:
        given = {kept: value for kept, value in given.items() if kept.lower() != name.lower()}
        if answer.fields[name.lower()]:
            given[name] = answer.fields[name.lower()]
    return answer.status, given


@pytest.fixture
def service() -> Service:
    return Service(peers=["10.0.0.1"])


def test_the_middlewares_strip_first_and_ask_then_and_the_endpoint_is_asked_for_nothing() -> None:
    routers = CONFIGURATION["routers"]
    assert routers["application"]["middlewares"] == ["without-spoofed-identity", "sessionward"]
    assert "middlewares" not in routers["end-other-sessions"]
    assert routers["end-other-sessions"]["rule"] == "Method(`DELETE`) && Path(`/auth/sessions`)"
    assert routers["end-other-sessions"]["priority"] > routers["application"]["priority"]
    assert AUTH["trustForwardHeader"] is False


def test_a_live_session_passes_with_its_identity(service: Service) -> None:
    name, value = cookie(service.login("ann@example.com"))
    status, arrived = through(service, (name, f"theme=dark; {value}"), ("Accept", "text/html"))
    assert status == 204
    assert arrived["X-Session-User"] == "ann%40example.com"
    assert arrived["Cookie"] == f"theme=dark; {value}"
    assert arrived["Accept"] == "text/html"


def test_nobody_else_does(service: Service) -> None:
    for fields in ([], [("Cookie", "a=b")], [invalid(service)], [("X-Session-User", "eve")]):
        assert through(service, *fields) == (401, {})


@pytest.mark.parametrize(
    "name", ["X-Session-User", "X-Session-Id", "X-Session-Assertion", "X_Session_User", "X_Session_Id", "X_Session_Assertion"]
)
def test_a_spoofed_identity_never_arrives(service: Service, name: str) -> None:
    _, arrived = through(service, cookie(service.login("ann")), (name, "eve"))
    assert "eve" not in arrived.values()
    assert arrived["X-Session-User"] == "ann"


def test_a_live_token_decides_over_an_invalid_cookie(service: Service) -> None:
    gone, live = invalid(service), service.login("ann")
    _, arrived = through(service, gone, ("X-Session-Token", live))
    assert arrived["X-Session-User"] == "ann"
    assert arrived["X-Session-Token"] == live


def test_a_silent_backend_lets_nobody_pass() -> None:
    assert through(Service(Silent(), peers=["10.0.0.1"]), cookie("x" * 32)) == (401, {})
    assert through(Service(Silent(), peers=["10.0.0.1"]), cookie(Service().login())) == (503, {})
