"""The configurations as they are printed: each place is filled, and the command beside them has the same switches."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sessionward.cli import main
from sessionward.errors import ConfigurationError
from sessionward.lease import WAITED
from sessionward.response.answer import Problem
from sessionward.settings import MAX_LEASE, Settings
from sessionward.sidecar.snippet import ENGINES, snippet
from tests.test_prose import EVERYWHERE, IN_CODE, found

SWITCHES: Mapping[str, Any] = {
    "preflight": "pass",
    "exempt_paths": ["/static/", "/a&b/"],
    "login_url": "https://app.example/login?a=b",
    "api": True,
}
PLACES: Mapping[str, Any] = {"authz": "10.0.0.2:9001", "app": "10.0.0.3:9002", "listen": "10.0.0.1:9003"}


LOCAL: Mapping[str, Any] = {**PLACES, "authz": "127.0.0.2:9001"}
"""The places where a cache is allowed: the service is on the same machine."""
CACHED: Mapping[str, Any] = {"cache": "/run/checks"}
CASES: Sequence[Any] = [
    *(pytest.param(kind, switches, id=f"{kind}-{name}") for kind in ENGINES for name, switches in (("plain", {}), ("switched", SWITCHES))),
    pytest.param("nginx", CACHED, id="nginx-cached"),
    pytest.param("nginx", {**SWITCHES, **CACHED}, id="nginx-cached-switched"),
]


@pytest.mark.parametrize(("kind", "switches"), CASES)
def test_every_snippet_has_its_addresses_and_no_place_left_open(kind: str, switches: Mapping[str, Any]) -> None:
    places = LOCAL if "cache" in switches else PLACES
    text = snippet(kind, **places, path="/sessions", **switches)
    assert places["authz"].partition(":")[0] in text
    assert not any(
        f"@{name}" in text for name in ("AUTHZ", "APP", "LISTEN", "PATH", "OPTIONS", "CACHE", "KEY", "EXEMPT", "if", "else", "end@")
    )
    assert not any(line.strip().startswith("@") and line.strip().endswith("@") for line in text.splitlines())


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind != "haproxy-lua"])
def test_the_command_beside_a_snippet_has_its_switches(kind: str) -> None:
    (line,) = [line for line in snippet(kind, **PLACES, **SWITCHES).splitlines() if "sessionward authz --listen" in line]
    words = shlex.split(line.partition("--backend ... ")[2])
    assert words == [
        "--api", "--preflight", "pass", "--exempt-paths", "/static/", "--exempt-paths", "/a&b/", "--login-url", "https://app.example/login?a=b",
    ]  # fmt: skip
    assert not any("--backend ... " in line for line in snippet(kind, **PLACES).splitlines())


@pytest.mark.parametrize(("kind", "switches"), CASES)
def test_the_comments_are_plain(kind: str, switches: Mapping[str, Any]) -> None:
    comments = [
        line.strip().lstrip("#- ") for line in snippet(kind, **LOCAL, **switches).splitlines() if line.strip().startswith(("#", "--"))
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


# --- a cache of checks ------------------------------------------------------------------------------------------------


def directives(text: str) -> dict[str, str]:
    """Returns the directives of the check, by their names."""
    block = text.partition("location = /sessionward/check {")[2].partition("\n    }")[0]
    lines = [line.partition("#")[0].strip().rstrip(";").split(None, 1) for line in block.splitlines()]
    return {words[0]: words[1] for words in lines if len(words) == 2}


CREDENTIALS = r"$http_cookie\n$http_authorization\n$http_x_session_token"


@pytest.mark.parametrize(
    ("switches", "key"),
    [
        ({}, ""),
        ({"login_url": "/login"}, ""),
        ({"preflight": "pass"}, r"\n$sessionward_preflight"),
        ({"exempt_paths": ["/static/"]}, r"\n$sessionward_exempt"),
        (SWITCHES, r"\n$sessionward_preflight\n$sessionward_exempt"),
    ],
    ids=["plain", "login", "preflight", "exempt", "all"],
)
def test_the_key_has_what_an_answer_with_a_live_session_depends_on(switches: Mapping[str, Any], key: str) -> None:
    text = snippet("nginx", **LOCAL, **switches, **CACHED)
    assert directives(text)["proxy_cache_key"] == f'"{CREDENTIALS}{key}"'
    for name in ("preflight", "exempt"):
        assert (f" $sessionward_{name} {{" in text) == (f"$sessionward_{name}" in key)


def test_nothing_else_decides_what_is_kept_and_for_how_long() -> None:
    text = snippet("nginx", **LOCAL, **SWITCHES, **CACHED)
    assert "\nproxy_cache_path /run/checks levels=" in text
    check = directives(text)
    for name in ("use_stale", "background_update", "lock"):
        assert check[f"proxy_cache_{name}"] == "off"
    assert check["proxy_ignore_headers"] == "Expires"
    commands = [line.split("#")[0] for line in text.splitlines()]
    assert not any("proxy_cache_valid" in line or "timer_resolution" in line for line in commands)
    (start,) = [line for line in text.splitlines() if "sessionward authz --listen" in line]
    assert shlex.split(start)[-2:] == ["--lease", "2"]


def test_without_it_there_is_no_cache() -> None:
    assert "cache" not in snippet("nginx", **PLACES, **SWITCHES).replace("Cache-Control", "")


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind != "nginx"])
def test_an_engine_without_a_cache_of_checks_is_refused_with_the_reason(kind: str) -> None:
    with pytest.raises(ValueError, match=r"cache: .*(Caddy|ForwardAuth|HAProxy|ext_authz).*; leave it out"):
        snippet(kind, **PLACES, **CACHED)


@pytest.mark.parametrize("folder", ["", "checks", "/", "/a b", "/a;", "/a/", "/a\n", '/"', "/$a"])
def test_a_folder_that_nginx_would_read_in_another_way_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="cache: "):
        snippet("nginx", **LOCAL, cache=folder)


@pytest.mark.parametrize(
    "address", ["10.0.0.2:9001", "0.0.0.0:9001", "[::]:9001", "[fd00::2]:9001", "authz:9001", "localhost.example:9001"]
)
def test_a_cache_before_a_service_that_may_be_on_another_machine_is_refused(address: str) -> None:
    places = {**PLACES, "authz": address}
    with pytest.raises(ValueError, match=r"^cache: authz listens on .* on one machine: name an address of the loopback"):
        snippet("nginx", **places, **CACHED)
    assert "proxy_cache " not in snippet("nginx", **places)


@pytest.mark.parametrize("address", ["127.0.0.1:9001", "127.8.9.1:9001", "[::1]:9001", "localhost:9001"])
def test_a_cache_before_a_service_on_the_loopback_is_printed(address: str) -> None:
    assert "proxy_cache " in snippet("nginx", **{**PLACES, "authz": address}, **CACHED)


WAITS = {
    "nginx": r"proxy_read_timeout +(\d+)s;  # the",
    "haproxy": r"timeout server (\d+)s\n    server sessionward",
    "haproxy-lua": r"MILLISECONDS = (\d+)000",
    "envoy": r"cluster: sessionward, timeout: (\d+)s",
}


@pytest.mark.parametrize(("kind", "pattern"), WAITS.items(), ids=WAITS)
def test_an_engine_waits_for_the_longest_lease_and_for_the_backend(kind: str, pattern: str) -> None:
    """Caddy and Traefik wait for longer by default."""
    found = re.findall(pattern, snippet(kind, **PLACES))
    assert found
    assert all(int(seconds) >= WAITED * MAX_LEASE + Settings().backend_timeout for seconds in found)


def texts(kind: str) -> list[dict[str, Any]]:
    """Returns the errors that an engine says by itself."""
    return [json.loads(body)["error"] for body in re.findall(r"[`'](\{\"error\": .*\}\})[`']", snippet(kind, **PLACES))]


@pytest.mark.parametrize(
    ("kind", "problems"),
    [
        ("nginx", [Problem.INACTIVE, Problem.UNAVAILABLE, Problem.UNKNOWN]),
        ("caddy", [Problem.UNKNOWN, Problem.UNAVAILABLE]),
        ("haproxy", [Problem.INACTIVE, Problem.UNAVAILABLE]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_engine_says_errors_as_the_service_does(kind: str, problems: Sequence[Problem]) -> None:
    """``reason`` may be missing: some engines say ``backend_unavailable`` of the application too."""
    said = texts(kind)
    assert [error["id"] for error in said] == [problem.id for problem in problems]
    for error, problem in zip(said, problems, strict=True):
        assert (error["code"], error["status"], error["message"]) == (problem.status, problem.status.phrase, problem.message)
        assert error.get("reason", problem.reason) == problem.reason


def test_nginx_and_caddy_do_not_know_the_outcome_of_a_call_of_the_endpoint_that_has_no_answer() -> None:
    nginx, caddy = (snippet(kind, **PLACES) for kind in ("nginx", "caddy"))
    endpoint = nginx.partition("location @sessionward_end {")[2].partition("\n    }")[0]
    assert re.findall(r"error_page +(.+);", endpoint) == ["502 504 = @sessionward_unknown"]
    assert '"outcome_unknown"' in nginx.partition("location @sessionward_unknown {")[2].partition("\n    }")[0]
    assert '"outcome_unknown"' in caddy.partition("handle @unknown {")[2].partition("\n\t\t}")[0]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_snippet_with_its_switches(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--api",
        "--preflight",
        "pass",
        "--exempt-paths",
        "/static/",
        "--exempt-paths",
        "/a&b/",
        "--login-url",
        "https://app.example/login?a=b",
    ]
    for place, address in PLACES.items():
        flags += [f"--{place}", address]
    assert main(["snippet", "nginx", *flags]) == 0
    assert capsys.readouterr().out == snippet("nginx", **PLACES, **SWITCHES)


@pytest.mark.parametrize(("flags", "folder"), [(["--cache"], "/run/sessionward-checks"), (["--cache", "/a/b"], "/a/b")], ids=str)
def test_the_command_prints_a_snippet_with_a_cache(flags: list[str], folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", *flags]) == 0
    assert f"\nproxy_cache_path {folder} " in capsys.readouterr().out


def test_the_command_refuses_a_cache_for_another_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "envoy", "--cache"]) == 2
    assert capsys.readouterr().err.startswith("sessionward: cache: ext_authz of Envoy keeps no answers")


def test_the_command_refuses_a_cache_before_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", "--cache", "--authz", "10.0.0.2:9001"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("sessionward: cache: authz listens on '10.0.0.2:9001', and nginx compares")


def test_the_command_names_every_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", "--exempt-paths", "static", "--login-url", "//evil.example"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.partition(": ")[2].partition(":")[0] for line in printed.err.splitlines()] == ["exempt-paths", "login-url"]
