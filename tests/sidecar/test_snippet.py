"""The configurations as they are printed: each place is filled, and the command beside them has the same switches."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from sessionward.cli import main
from sessionward.errors import ConfigurationError
from sessionward.sidecar.snippet import ENGINES, snippet
from tests.test_prose import EVERYWHERE, IN_CODE, found

SWITCHES: Mapping[str, Any] = {
    "preflight": "pass",
    "exempt_paths": ["/static/", "/a&b/"],
    "login_url": "https://app.example/login?a=b",
}
PLACES: Mapping[str, str] = {"authz": "10.0.0.2:9001", "app": "10.0.0.3:9002", "listen": "10.0.0.1:9003"}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("switches", [{}, SWITCHES], ids=["plain", "switched"])
def test_every_snippet_has_its_addresses_and_no_place_left_open(kind: str, switches: Mapping[str, Any]) -> None:
    text = snippet(kind, **PLACES, path="/sessions", **switches)
    assert "10.0.0.2" in text
    assert not any(f"@{name}" in text for name in ("AUTHZ", "APP", "LISTEN", "PATH", "OPTIONS", "if", "else", "end@"))
    assert not any(line.strip().startswith("@") and line.strip().endswith("@") for line in text.splitlines())


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind != "haproxy-lua"])
def test_the_command_beside_a_snippet_has_its_switches(kind: str) -> None:
    (line,) = [line for line in snippet(kind, **PLACES, **SWITCHES).splitlines() if "sessionward authz --listen" in line]
    words = shlex.split(line.partition("--backend ... ")[2])
    assert words == [
        "--preflight", "pass", "--exempt-paths", "/static/", "--exempt-paths", "/a&b/", "--login-url", "https://app.example/login?a=b",
    ]  # fmt: skip
    assert not any("--backend ... " in line for line in snippet(kind, **PLACES).splitlines())


@pytest.mark.parametrize("kind", ENGINES)
def test_the_comments_are_plain(kind: str) -> None:
    comments = [
        line.strip().lstrip("#- ") for line in snippet(kind, **PLACES, **SWITCHES).splitlines() if line.strip().startswith(("#", "--"))
    ]
    assert found([*EVERYWHERE, *IN_CODE], " ".join(comments)) == []


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:http", "unix:/run/a.sock", "fd:3", "systemd"])
@pytest.mark.parametrize("place", PLACES)
def test_a_malformed_address_is_refused(place: str, address: str) -> None:
    with pytest.raises(ValueError, match=r"is not an? (address|host and a port)"):
        snippet("nginx", **{**PLACES, place: address})


@pytest.mark.parametrize("switches", [{"preflight": "x"}, {"exempt_paths": ["a\n"]}, {"login_url": "/a;\n}"}], ids=str)
def test_a_switch_that_the_service_refuses_is_refused(switches: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        snippet("nginx", **PLACES, **switches)


def test_an_ipv6_address_has_brackets_only_beside_its_port() -> None:
    text = snippet("envoy", authz="[::1]:1", app="[::2]:2", listen="[::3]:3")
    assert "--listen [::1]:1 --trusted-proxy ::1 " in text
    assert 'address: "::3", port_value: 3' in text


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_snippet_with_its_switches(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--preflight", "pass", "--exempt-paths", "/static/", "--exempt-paths", "/a&b/", "--login-url", "https://app.example/login?a=b"]
    for place, address in PLACES.items():
        flags += [f"--{place}", address]
    assert main(["snippet", "nginx", *flags]) == 0
    assert capsys.readouterr().out == snippet("nginx", **PLACES, **SWITCHES)


def test_the_command_names_every_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", "--exempt-paths", "static", "--login-url", "//evil.example"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.partition(": ")[2].partition(":")[0] for line in printed.err.splitlines()] == ["exempt-paths", "login-url"]
