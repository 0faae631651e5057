"""The configuration: the same names in three places, every mistake in one message, no secret shown."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from grp import getgrgid
from pathlib import Path
from textwrap import dedent
from threading import Event
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sessionward import ConfigurationError
from sessionward.api.page import Page
from sessionward.cli import main
from sessionward.cli.sidecar import printed, toml
from sessionward.identify import Function
from sessionward.session.identifier import IdentifierSpec
from sessionward.sidecar import build
from sessionward.sidecar.config.addresses import Address, Upstream
from sessionward.sidecar.config.config import Config, configure
from sessionward.sidecar.config.loops import is_same_place
from sessionward.sidecar.config.options import OPTIONS, Option
from sessionward.sidecar.config.sources import Given, collect, in_container
from tests.support.core import OverCarriers

SECRET = "a secret of the tests, long enough: 0123456789"
OTHER = "another secret of the tests: 0123456789abcdef"
BASE: dict[str, Any] = {"upstream": "http://127.0.0.1:8000", "backend": "memory"}

SAMPLES: dict[str, tuple[Any, str]] = {
    "upstream": ("http://10.0.0.1:80", "http://10.0.0.2:80"),
    "backend": ("sqlite:///a.db", "sqlite:///b.db"),
    "listen": ("127.0.0.1:1", "127.0.0.1:2"),
    "secret": ([SECRET], OTHER),
    "identify": ("starlette", "flask"),
    "identify-secret": (["one"], "two"),
    "identify-user": ("uid", "user"),
    "identify-cookie": ("sid", "s"),
    "trusted-proxy": (["10.0.0.0/8"], "127.0.0.1,unix"),
    "assertion-secret": ([OTHER], OTHER + "!"),
    "login-path": (["/login"], "/login,/oauth/"),
    "pass-cookie": (True, "false"),
    "proxy-protocol": (["10.0.0.0/8"], "127.0.0.1,unix"),
    "preflight": ("pass", "check"),
    "login-url": ("/login", "https://a.example/login"),
    "admin": ("127.0.0.1:3", "127.0.0.1:4"),
    "access-log": ("a.log", "-"),
    "workers": (2, "3"),
    "drain-delay": (0.5, "7"),
    "drain-timeout": (5, "6"),
    "create-tables": (False, "true"),
    "connect-timeout": (1.5, "2"),
    "response-timeout": (10, "20"),
    "upstream-keepalive": (False, "true"),
    "upstream-idle-timeout": (0.5, "2"),
    "max-connections": (100, "200"),
    "max-connections-per-address": (10, "20"),
    "idle-timeout": (600, "5"),
    "head-timeout": (1, "2.5"),
    "tunnel-idle-timeout": (60, "90"),
    "readiness": (["backend"], "upstream,backend"),
    "upstream-ca-file": ("a.pem", "b.pem"),
    "upstream-cert-file": ("a.pem", "b.pem"),
    "upstream-key-file": ("a.pem", "b.pem"),
    "upstream-server-name": ("a", "b"),
    "page-name": ("A", "B"),
    "page-accent": ("navy", "#000"),
    "page-css": ("/a.css", "/b.css"),
    "page-logo": ("/a.svg", "/b.svg"),
    "page-templates": ("a", "b"),
    "page-language": ("de", "fr"),
    "page-change-password": ("/a", "/b"),
    "page-tokens": ("/a", "/b"),
    "path": ("/a", "/b"),
    "api": (True, "false"),
    "cookie-name": ("a", "b"),
    "cookie-domain": ("a.example", "b.example"),
    "cookie-samesite": ("lax", "strict"),
    "insecure": (True, "false"),
    "on-invalid": ("strip", "reject"),
    "exempt-paths": (["/a/"], "/b/,/c/"),
    "trusted-origins": (["https://a.example"], "https://b.example"),
    "public-origin": ("https://a.example", "https://b.example"),
    "audience": ("a", "b"),
    "lifetime": (3600, "7200"),
    "session-idle-timeout": (300, "900"),
    "max-sessions": (5, "50"),
    "revoke-impersonations": (True, "false"),
    "at-limit": ("revoke", "refuse"),
    "recent": (300, "600"),
    "sign-in": ("/login", "/login?next={return_to}"),
    "rate-limit": (5, "50"),
    "limits": ("nist-aal1", "pci"),
    "backend-timeout": (1, "2.5"),
    "lease": (1, "0.5"),
    "lease-waiters": (5, "50"),
    "recheck": (1, "2.5"),
    "recheck-paths": (["/a/"], "/b/,/c/"),
    "debug": (True, "false"),
}
"""Of each option: a value as TOML has it, and another as text."""


def of(flags: Mapping[str, Any] = {}, environment: Mapping[str, str] = {}) -> Config:
    return configure("serve", {**BASE, **flags}, environment)


def mistakes(command: str = "serve", environment: Mapping[str, str] = {}, **flags: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        configure(command, {name.replace("_", "-"): value for name, value in flags.items()}, environment)
    return tuple(raised.value.mistakes)


def test_a_recheck_of_0_means_that_streams_stay_open() -> None:
    assert of({"recheck": "0"}).settings["recheck"] is None
    assert of({"recheck": "2.5"}).settings["recheck"] == 2.5
    assert "recheck" not in of({}).settings
    assert mistakes(recheck="0.05", upstream="http://a:1", backend="memory") == ("recheck: must be from 0.1 to 3600 seconds, or None",)


@pytest.mark.parametrize("command", ["serve", "authz", "doctor", "restored", "revoke"])
def test_the_help_of_a_backend_tells_of_redis(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "redis" in capsys.readouterr().out.lower().partition("\n  --backend ")[2].partition("\n  --")[0]


def test_there_is_a_sample_of_every_option() -> None:
    assert list(SAMPLES) == [option.name for option in OPTIONS]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_flag_decides_over_a_variable_over_the_file_over_the_default(option: Option, tmp_path: Path) -> None:
    in_file, as_text = SAMPLES[option.name]
    file = tmp_path / "sessionward.toml"
    file.write_text(f"{option.name} = {toml(in_file)}\n")

    def found(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Given | None:
        values, wrong = collect(flags, environment, option.only or "serve")
        assert wrong == []
        return values.get(option.name)

    default = found({}, {})
    assert (None if default is None else default.value) == option.default
    config = {"config": str(file)}
    variable = {option.variable: as_text}
    by_file, by_variable = found(config, {}), found(config, variable)
    assert by_file == Given(option.read(in_file), f"{option.name} in {file}")
    assert by_variable == Given(option.read(as_text), option.variable)
    assert found({}, {**variable, "SESSIONWARD_CONFIG": str(file)}) == by_variable
    if option.is_secret:
        secret = tmp_path / "secret"
        secret.write_text(f"{as_text}\n")
        assert found({**config, f"{option.name}-file": str(secret)}, variable) == Given(option.read(as_text), f"--{option.name}-file")
        assert found(config, {f"{option.variable}_FILE": str(secret)}) == Given(option.read(as_text), f"{option.variable}_FILE")
        file.write_text(f"{option.name}-file = {toml(str(secret))}\n")
        assert found(config, {}) == Given(option.read(as_text), f"{option.name}-file in {file}")
    else:
        assert found({**config, option.name: as_text}, {option.variable: "nonsense,"}) == Given(option.read(as_text), f"--{option.name}")


def test_what_is_made_of_it() -> None:
    config = of(
        {
            "secret": [SECRET],
            "exempt-paths": ["/static/"],
            "lifetime": "60",
            "trusted-proxy": "10.0.0.0/8",
            "assertion-secret": [OTHER],
            "workers": 1,
        }
    )
    assert config.settings == {"secrets": (SECRET,), "exempt_paths": ("/static/",), "lifetime": 60.0}
    assert config.trusted_proxy == ("10.0.0.0/8",)
    assert config.assertion_secrets == (OTHER.encode(),)
    assert config.upstream == Upstream(host="127.0.0.1", port=8000)
    assert pickle.loads(pickle.dumps(config)) == config
    assert SECRET not in repr(config)
    assert OTHER not in repr(config)
    build.check(config)


def test_all_mistakes_are_told_at_once_and_under_the_names_of_this_place() -> None:
    told = mistakes(
        upstream="ftp://a", backend="nonsense", listen="here", admin="127.0.0.1", workers="0", cookie_samesite="odd", cookie_domain="x",
        trusted_proxy="10.0.0.300",
        secret=["short"], lifetime="soon", drain_delay="-1", create_tables="perhaps",
    )  # fmt: skip
    beginnings = [
        "workers",
        "lifetime",
        "drain-delay",
        "create-tables",
        "listen",
        "admin",
        "upstream",
        "backend",
        "trusted-proxy",
        "secret",
        "cookie-domain",
        "cookie-samesite",
    ]
    assert sorted(mistake.partition(":")[0] for mistake in told) == sorted(beginnings)


WRONG_URLS = {
    "a scheme": ("postgresl://x", "backend: postgresl:// is not supported; "),
    "a number": ("postgresql://h/d?prepare_threshold=often", "backend: prepare_threshold in the URL must be a whole number or none"),
    "a database in memory": ("sqlite://", "backend: an SQLite database in memory "),
    "a setting of Redis": ("redis://h/0?wait=1", "backend: wait in the URL must be "),
}


@pytest.mark.parametrize(("url", "said"), WRONG_URLS.values(), ids=WRONG_URLS)
def test_what_is_wrong_with_a_url_is_among_all_mistakes(url: str, said: str) -> None:
    backend, lease = mistakes(**{**BASE, "backend": url, "lease": "9"})
    assert backend.startswith(said)
    assert lease.startswith("lease: must be")


def test_the_doctor_tells_of_a_wrong_url_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--upstream", "http://a", "--backend", "postgresl://x"]) == 2
    told = capsys.readouterr()
    assert told.out == "", "nothing is right before the options are"
    assert told.err.count("postgresl:// is not supported") == 1


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no backend": ({"upstream": "http://a"}, "backend: it is needed"),
    "a backend that is no URL": (
        {**BASE, "backend": "sessions.db"},
        "backend: it is no URL such as 'sqlite:///sessions.db' or 'redis://host:6379/0', and not memory, django or package.module:object",
    ),
    "no upstream": ({"backend": "memory"}, "upstream: it is needed"),
    "an upstream with a path": ({**BASE, "upstream": "http://a/app"}, "upstream: it has the path '/app'"),
    "memory and workers": ({**BASE, "workers": "2"}, "workers: with memory there can be one only"),
    "a key without its certificate": ({**BASE, "upstream_key_file": "/dev/null"}, "upstream-key-file: it is the key of"),
    "a file that is not there": ({**BASE, "upstream_ca_file": "/nowhere"}, "upstream-ca-file: /nowhere cannot be read"),
    "a short assertion secret": ({**BASE, "assertion_secret": ["short"]}, "assertion-secret: number 1 has 5 bytes, at least 32"),
    "one secret for both": ({**BASE, "secret": [SECRET], "assertion_secret": [SECRET]}, "assertion-secret: one of them is also in secrets"),
    "no secret for the world": ({**BASE, "listen": "0.0.0.0:80"}, "secret: our cookies are signed"),
    "an unknown identifier": ({**BASE, "identify": "rails"}, "identify: 'rails' is not one of flask"),
    "a secret for nobody": ({**BASE, "identify_secret": ["x"]}, "identify: a kind is needed"),
    "Django takes no secret": ({**BASE, "identify": "django", "identify_secret": ["x"]}, "identify: django takes no secret"),
    "a secret file that is not there": ({**BASE, "secret_file": "/nowhere"}, "secret-file: /nowhere cannot be read: No such file"),
    "an empty secret file": ({**BASE, "secret_file": "/dev/null"}, "secret-file: /dev/null is empty"),
    "a config that is not there": ({**BASE, "config": "/nowhere"}, "config: /nowhere cannot be read"),
    "a password in the upstream": ({**BASE, "upstream": "http://u:hunter2@a"}, "upstream: it is not an address"),
    "TLS files without TLS": ({**BASE, "upstream_ca_file": "/dev/null"}, "upstream-ca-file: the upstream is not https"),
    "a proxy to itself": (
        {**BASE, "upstream": "http://127.0.0.1:8080"},
        "upstream: http://127.0.0.1:8080 is 127.0.0.1:8080, where we listen ourselves (listen)",
    ),
    "an empty secret": ({**BASE, "secret": ""}, "secret: it is empty"),
    "a mask for a secret": ({**BASE, "identify": "flask", "identify_secret": ["********"]}, "identify-secret: this is the mask"),
    "two secrets where there is one": (
        {**BASE, "identify": "starlette", "identify_secret": ["a", "b"]},
        "identify-secret: starlette takes one",
    ),
    "an endless secret file": ({**BASE, "secret_file": "/dev/zero"}, "secret-file: /dev/zero is"),
    "a number without an end": ({**BASE, "lifetime": 10**400}, "lifetime: a number of seconds"),
    "a line break": ({**BASE, "access_log": "a\nb"}, "access-log: a string without control characters"),
    "no time to connect": ({**BASE, "connect_timeout": "0"}, "connect-timeout: more than 0 seconds are needed"),
    "no time for an answer": ({**BASE, "response_timeout": "0"}, "response-timeout: more than 0 seconds are needed"),
    "no time for a head": ({**BASE, "head_timeout": "0"}, "head-timeout: more than 0 seconds are needed"),
    "no time between requests": ({**BASE, "idle_timeout": "0"}, "idle-timeout: more than 0 seconds are needed"),
    "no time for a tunnel": ({**BASE, "tunnel_idle_timeout": "0"}, "tunnel-idle-timeout: more than 0 seconds are needed"),
    "no time before reuse": ({**BASE, "upstream_idle_timeout": "0"}, "upstream-idle-timeout: more than 0 seconds are needed"),
    "two days to connect": ({**BASE, "connect_timeout": "172800"}, "connect-timeout: at most 86400 seconds"),
    "two days to drain": ({**BASE, "drain_timeout": "172800"}, "drain-timeout: at most 86400 seconds"),
    "100 000 workers": ({**BASE, "workers": "100000"}, "workers: at most 256 are possible"),
    "no connections": ({**BASE, "max_connections": "0"}, "max-connections: a whole number from 1 on"),
    "connections without end": ({**BASE, "max_connections": "9" * 30}, "max-connections: a whole number from 1 on"),
    "the admin where we listen": ({**BASE, "admin": "127.0.0.1:8080"}, "admin: it is the address of listen, 127.0.0.1:8080"),
    "the admin under another name": ({**BASE, "admin": "localhost:8080"}, "admin: it is the address of listen"),
    "the admin on all addresses": ({**BASE, "admin": "0.0.0.0:8080"}, "admin: it is the address of listen"),
    "the admin on the same socket": (
        {**BASE, "listen": "unix:/run/a", "admin": "unix:/run/../run/a"},
        "admin: it is the address of listen",
    ),
    "a proxy to its admin": ({**BASE, "admin": "127.0.0.1:9", "upstream": "http://127.0.0.1:9"}, "where we listen ourselves (admin)"),
    "every path signs in": ({**BASE, "login_path": ["/"]}, "login-path: / is a prefix of every path"),
    "a login path with a query": ({**BASE, "login_path": ["/login?a"]}, "login-path: '/login?a' is not a plain path"),
    "a login path with an escape": ({**BASE, "login_path": ["/%6cogin"]}, "login-path: '/%6cogin' is not a plain path"),
    "a login path that climbs": ({**BASE, "login_path": ["/a/../login"]}, "login-path: '/a/../login' is not a plain path"),
    "a login path without a slash": ({**BASE, "login_path": ["login"]}, "login-path: 'login' is not a plain path"),
    "a peer that is no address": ({**BASE, "proxy_protocol": ["here"]}, "proxy-protocol: 'here' is not an address"),
    "an unknown readiness": ({**BASE, "readiness": ["all"]}, "readiness: 'all' is not one of upstream, backend"),
    "a secret twice": ({**BASE, "secret": [SECRET], "secret_file": "/dev/null"}, "secret: it is given twice"),
}


@pytest.mark.parametrize(("flags", "said"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_the_way_out(flags: dict[str, Any], said: str) -> None:
    assert any(said in mistake for mistake in mistakes(**flags))


def test_each_mistake_begins_with_its_option_and_says_where_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("workers = 0\nsession-idle-timeout = 5\n")
    told = mistakes("serve", {"SESSIONWARD_LIFETIME": "soon"}, config=str(file), max_sessions="0", **BASE)
    assert sorted(told) == [
        "lifetime: a number of seconds is needed (SESSIONWARD_LIFETIME)",
        "max-sessions: a whole number from 1 on is needed",
        "session-idle-timeout: must be at least 120 seconds, or None",
        f"workers: a whole number from 1 on is needed (workers in {file})",
    ]


def test_names_that_are_mistyped_are_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('upstraem = "x"\n')
    told = mistakes("serve", {"SESSIONWARD_BACKND": "x", "SESSIONWARD_TEST_REDIS": "x"}, config=str(file), **BASE)
    assert told == (
        "SESSIONWARD_BACKND: there is no such variable; did you mean SESSIONWARD_BACKEND?",
        f"upstraem in {file}: there is no such key; did you mean upstream?",
    )


@pytest.mark.parametrize("content", [b"a = ", b"\xff"])
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    assert "is not TOML" in mistakes(config=str(file), upstream="http://a", backend="memory")[0]


@pytest.mark.parametrize("backend", ["memory", "sqlite:///a.db", "tests.sidecar.engines:flagged"])
def test_on_this_machine_only_a_secret_is_made_and_all_workers_have_the_same(backend: str) -> None:
    config = of({"backend": backend})
    (secret,) = config.settings["secrets"]
    assert len(secret) >= 32
    assert "ends with this process" in config.told[0]
    assert secret not in config.told[0]
    assert of().settings["secrets"] != of().settings["secrets"]


def test_django_needs_no_secret_and_its_settings_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    config = of({"backend": "django", "listen": "0.0.0.0:80"})
    assert "secrets" not in config.settings
    with pytest.raises(ConfigurationError, match="set DJANGO_SETTINGS_MODULE"):
        build.check(config)


def test_authz_wants_to_know_whom_it_may_answer() -> None:
    assert "trusted-proxy: authz answers only" in mistakes("authz", backend="memory")[0]
    for flags in ({"trusted-proxy": "127.0.0.1"}, {"listen": "unix:/run/a.sock"}):
        assert configure("authz", {"backend": "memory", **flags}, {}).upstream is None


AUTHZ = {"backend": "memory", "trusted_proxy": "127.0.0.1"}
WRONG_AUTHZ: dict[str, tuple[dict[str, Any], str]] = {
    "no upstream to be ready": ({"readiness": ["upstream"]}, "readiness: 'upstream' is not one of backend"),
    "an unknown word for preflights": ({"preflight": "allow"}, "preflight: check or pass is needed"),
    "a sign-in page without a scheme": ({"login_url": "app.example/login"}, "login-url: 'app.example/login' is neither"),
    "a sign-in page of another host": ({"login_url": "//evil.example/"}, "login-url: '//evil.example/' is neither"),
    "a sign-in page with a backslash": ({"login_url": "/\\\\evil.example"}, "login-url: "),
}


@pytest.mark.parametrize(("flags", "said"), WRONG_AUTHZ.values(), ids=WRONG_AUTHZ)
def test_a_mistake_of_authz_is_reported(flags: dict[str, Any], said: str) -> None:
    assert any(said in mistake for mistake in mistakes("authz", **{**AUTHZ, **flags}))


def test_readiness_asks_what_there_is_to_ask() -> None:
    assert of().readiness == ("upstream", "backend")
    assert configure("authz", {name.replace("_", "-"): value for name, value in AUTHZ.items()}, {}).readiness == ("backend",)
    assert of({"readiness": "backend"}).readiness == ("backend",)


# --- where requests would come back to us -----------------------------------------------------------------------------

LOOPS = [
    ("localhost:8080", "http://127.0.0.1:8080"),
    ("127.0.0.1:8080", "http://localhost:8080"),
    ("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"),
    ("0.0.0.0:8080", "http://127.0.0.1:8080"),
    ("0.0.0.0:8080", "http://localhost:8080"),
    ("0.0.0.0:8080", "http://0.0.0.0:8080"),
    ("[::]:8080", "http://127.0.0.1:8080"),
    ("[::]:8080", "http://[::1]:8080"),
    ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080"),
    ("0.0.0.0:443", "https://127.0.0.7"),
    ("unix:/run/a.sock", "unix:/run/../run/a.sock"),
]
NO_LOOPS = [
    ("127.0.0.1:8080", "http://127.0.0.1:8081"),
    ("127.0.0.1:8080", "http://127.0.0.2:8080"),
    ("0.0.0.0:8080", "http://192.0.2.1:8080"),
    ("0.0.0.0:8080", "http://[::1]:8080"),
    ("[::]:8080", "http://[2001:db8::1]:8080"),
    ("unix:/run/a.sock", "unix:/run/b.sock"),
    ("unix:/run/a.sock", "http://127.0.0.1:8080"),
    ("0.0.0.0:8080", "http://no-such-host.invalid:8080"),
]


@pytest.mark.parametrize(("listen", "upstream"), LOOPS, ids=[f"{upstream} at {listen}" for listen, upstream in LOOPS])
def test_an_upstream_that_is_our_own_address_is_refused(listen: str, upstream: str) -> None:
    assert any("where we listen ourselves (listen)" in mistake for mistake in mistakes(**{**BASE, "listen": listen, "upstream": upstream}))


@pytest.mark.parametrize(("listen", "upstream"), NO_LOOPS, ids=[f"{upstream} at {listen}" for listen, upstream in NO_LOOPS])
def test_an_upstream_elsewhere_is_not_taken_for_our_own_address(listen: str, upstream: str) -> None:
    assert str(of({"listen": listen, "upstream": upstream, "secret": [SECRET]}).listen) == listen


def test_an_address_of_this_machine_is_ours_where_we_listen_on_all() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, and shows which address this machine would send from
        except OSError:
            pytest.skip("this machine has no route")
        own = probe.getsockname()[0]
    assert is_same_place(Upstream.parse(f"http://{own}:8080"), Address.parse("0.0.0.0:8080"))


def test_a_name_that_takes_too_long_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()

    def slow(*_: object, **__: object) -> list[Any]:
        answered.wait(60)
        return []

    monkeypatch.setattr("sessionward.sidecar.config.loops.PATIENCE", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert not is_same_place(Upstream.parse("http://slow.example:8080"), Address.parse("127.0.0.1:8080"))
    answered.set()


# --- secrets that others can read -------------------------------------------------------------------------------------


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every user of the machine can enter, on a machine that is no container."""
    monkeypatch.setattr("sessionward.sidecar.config.sources.in_container", lambda: False)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            monkeypatch.setattr(Path, "parents", property(lambda path: [tmp_path]))  # what is above is not ours to open
    tmp_path.chmod(0o755)
    return tmp_path


def test_a_secret_file_that_every_user_can_read_is_refused(public: Path) -> None:
    file = public / "secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    said = f"secret-file: {file} can be read by every user of this machine; chmod o-r {file}"
    assert said in mistakes(**BASE, secret_file=str(file))
    file.chmod(0o640)
    assert of({"secret-file": str(file)}).settings["secrets"] == (SECRET,)
    file.chmod(0o644)
    public.chmod(0o750)
    assert of({"secret-file": str(file)}).settings["secrets"] == (SECRET,), "no other user can enter the folder"


def test_a_secret_that_is_wrong_is_not_said_to_be_missing_too() -> None:
    world = {**BASE, "listen": "0.0.0.0:80"}
    (told,) = mistakes(**world, secret_file="/nowhere")
    assert told.startswith("secret-file: /nowhere cannot be read")
    (told,) = mistakes(environment={"SESSIONWARD_SECRET": ""}, **world)
    assert told.startswith("secret: it is empty")
    (told,) = mistakes(**world)
    assert told.startswith("secret: our cookies are signed")


def test_in_a_container_a_readable_secret_is_what_engines_mount(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = public / "secret"
    file.write_text(SECRET)
    file.chmod(0o444)
    monkeypatch.setattr("sessionward.sidecar.config.sources.in_container", lambda: True)
    assert of({"secret-file": str(file)}).settings["secrets"] == (SECRET,)


def test_a_public_file_of_options_may_not_hold_a_secret(public: Path) -> None:
    file = public / "a.toml"
    file.write_text(f'secret = "{SECRET}"\n')
    file.chmod(0o644)
    assert f"config: {file} holds a secret and can be read by every user of this machine; chmod o-r {file}" in mistakes(
        **BASE, config=str(file)
    )
    file.write_text('[identify]\nkind = "starlette"\nuser = "id"\nsecret = "x"\n')
    assert any("holds a secret and can be read by every user" in mistake for mistake in mistakes(**BASE, config=str(file)))
    file.write_text('on-invalid = "reject"\n[identify]\nkind = "redis"\nurl = "redis://a"\nkey = "{value}"\ncookie = "a"\nuser = "b"\n')
    assert of({"config": str(file)}).settings["on_invalid"] == "reject"


def test_a_container_is_known_by_its_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.exists", lambda path: False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not in_container()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert in_container()


# --- what a reload reads again ----------------------------------------------------------------------------------------


def test_a_reload_reads_the_same_places_again(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "a.toml"
    secret.write_text(SECRET)
    file.write_text('trusted-proxy = ["10.0.0.1"]\n')
    config = of({"config": str(file), "secret-file": str(secret)}, {"SESSIONWARD_HEAD_TIMEOUT": "3", "PATH": "/bin"})
    config = pickle.loads(pickle.dumps(config))
    assert config.reread() == config
    assert dict(config.environment) == {"SESSIONWARD_HEAD_TIMEOUT": "3"}
    secret.write_text(f"{OTHER}\n{SECRET}\n")
    file.write_text('trusted-proxy = ["10.0.0.2"]\nlisten = "127.0.0.1:9"\n')
    now = config.reread()
    assert now.settings["secrets"] == (OTHER, SECRET)
    assert now.trusted_proxy == ("10.0.0.2",)
    assert now.head_timeout == 3.0
    assert now.listen == config.listen
    assert now.told == ("listen: it has changed, and only a restart changes it; the old value stays",)
    assert now.reread() == now


def test_a_reload_of_a_bad_file_leaves_the_configuration_as_it_is(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    config = of({"secret-file": str(secret)})
    secret.write_text("short\n")
    with pytest.raises(ConfigurationError, match="at least 32"):
        config.reread()
    assert config.settings["secrets"] == (SECRET,)


def test_a_reload_keeps_the_secret_that_was_made_at_the_start() -> None:
    config = of()
    assert config.reread().settings == config.settings


# --- what is made -----------------------------------------------------------------------------------------------------

IDENTIFIERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flask": (
        {"identify-secret": ["k1", "k2"], "identify-user": "uid", "identify-cookie": "s"},
        {"secret_key": "k1", "fallbacks": ["k2"], "user_key": "uid", "session_cookie": "s"},
    ),
    "starlette": ({"identify-secret": ["k1"], "identify-user": "uid"}, {"secret_key": "k1", "user": "uid"}),
    "jwt": (
        {"identify-table": {"key": SECRET, "algorithms": ["HS256"]}, "identify-cookie": "jwt"},
        {"key": SECRET, "algorithms": ["HS256"], "cookies": ["jwt"]},
    ),
}


@pytest.mark.parametrize(("kind", "sample"), IDENTIFIERS.items(), ids=IDENTIFIERS)
def test_identifiers_are_made_of_their_options(kind: str, sample: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    flags, options = sample
    table = flags.pop("identify-table", None) if "identify-table" in flags else None
    if table is not None:
        file = tmp_path / "a.toml"
        file.write_text("[identify]\n" + f'kind = "{kind}"\n' + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
        config = of({"config": str(file), **flags})
    else:
        config = of({"identify": kind, **flags})
    assert config.identify_options == options
    assert config.make_identifier().cookies
    assert "k1" not in repr(config)


APPLICATIONS = {
    "Trac": """
        kind = "sql"
        database = "sqlite:///trac.db"
        query = "SELECT name FROM auth_cookie WHERE cookie = :value"
        cookie = "trac_auth"
        """,
    "Datasette": """
        kind = "signed-cookie"
        secret-file = "{secret}"
        salt = "actor"
        cookie = "ds_actor"
        user = "a.id"
        expires = "e"
        """,
    "LNbits": """
        kind = "jwt"
        secret-file = "{secret}"
        claim = "usr"
        cookie = "cookie_access_token"
        """,
    "express-session": """
        kind = "redis"
        url = "redis://127.0.0.1:1/0"
        key = "sess:{{value}}"
        field = "passport.user"
        cookie = "connect.sid"
        pattern = 's%3A([^.]+)\\..+'
        """,
    "an API with tokens": """
        kind = "sql"
        database = "sqlite:///api.db"
        query = "SELECT user_id, created FROM token WHERE digest = :value"
        header = "Authorization: Token"
        digest = "sha256"
        """,
}
NAMED = {
    "Trac": ("trac_auth", None),
    "Datasette": ("ds_actor", None),
    "LNbits": ("cookie_access_token", None),
    "express-session": ("connect.sid", None),
    "an API with tokens": (None, (b"authorization", b"token")),
}


@pytest.mark.parametrize("application", APPLICATIONS)
def test_an_application_needs_no_file_of_python(application: str, tmp_path: Path) -> None:
    file, secret = tmp_path / "a.toml", tmp_path / "own"
    secret.write_text(f"{SECRET}\n")
    file.write_text("[identify]\n" + dedent(APPLICATIONS[application].format(secret=secret)))
    config = of({"config": str(file)})
    build.check(config)
    spec = IdentifierSpec.of(config.make_identifier())
    cookie, header = NAMED[application]
    assert spec.cookies == ((cookie.encode(),) if cookie else ())
    assert [(each.name, each.scheme) for each in spec.headers] == ([header] if header else [])


def test_a_token_of_lnbits_names_its_account(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[identify]\nkind = "jwt"\nclaim = "usr"\ncookie = "cookie_access_token"\n')
    identifier = of({"config": str(file), "identify-secret": [SECRET]}).make_identifier()
    payload = {"sub": "", "usr": "0f" * 16, "email": "ann@example.org", "auth_time": 1_700_000_000, "exp": 4_102_444_800}
    assert identifier.identify("cookie_access_token", jwt.encode(payload, SECRET, "HS256")).user_id == "0f" * 16


def test_a_jwt_needs_a_secret_only_and_the_cookies_that_it_reads_are_reported(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(f"{SECRET}\n")
    config = of({"identify": "jwt", "identify-secret-file": str(secret), "secret": [OTHER]})
    build.check(config)
    assert config.make_identifier().algorithms == ("HS256",)
    assert "identify: jwt reads the cookies access_token_cookie and refresh_token_cookie" in config.told[0]
    named = of(
        {"identify": "jwt", "identify-secret-file": str(secret), "identify-cookie": "at,rt", "identify-user": "uid", "secret": [OTHER]}
    )
    assert named.told == ()
    assert (named.make_identifier().cookies, named.make_identifier().user_claim) == (("at", "rt"), "uid")


def test_a_public_key_is_one_secret_and_wants_its_algorithm(tmp_path: Path) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key, file = tmp_path / "key.pem", tmp_path / "a.toml"
    key.write_bytes(public)
    flags = {"identify": "jwt", "identify-secret-file": str(key), "identify-cookie": "at"}
    with pytest.raises(ConfigurationError, match=r'identify: JWT needs algorithms: algorithms = "\.\.\." in the table \[identify\]'):
        build.check(of(flags))
    file.write_text('[identify]\nalgorithm = "ES256"\n')
    build.check(of({**flags, "config": str(file)}))


WRONG_TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "a mask": ({"kind": "flask", "secret_key": "********"}, "[identify] secret_key: this is the mask of print-config"),
    "a key under two names": ({"kind": "jwt", "secret": "a", "key": "b"}, "[identify] key: it is given twice"),
    "a file that is not there": ({"kind": "jwt", "secret-file": "/nowhere"}, "[identify] secret-file: /nowhere cannot be read"),
    "options of an object": ({"kind": "a.b:c", "secret": "x"}, "identify: package.module:object takes no options from here"),
    "no kind": ({"secret": "x"}, "identify: a kind is needed"),
}


@pytest.mark.parametrize(("table", "said"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_a_mistake_in_the_table_of_an_identifier_is_told(table: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[identify]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
    assert any(said in mistake for mistake in mistakes(**BASE, config=str(file)))


@pytest.mark.parametrize(("kind", "word"), [("sql", "secret"), ("sql", "user"), ("django", "cookie"), ("redis", "secret")])
def test_an_option_that_an_identifier_does_not_have_is_refused(kind: str, word: str) -> None:
    flags: dict[str, Any] = {"identify": kind, f"identify_{word}": ["x"] if word == "secret" else "x"}
    assert f"identify: {kind} takes no {word} from here" in mistakes(**BASE, **flags)


LACKING = {
    "a query": ({"kind": "sql", "database": "sqlite:///a.db", "cookie": "a"}, 'SQLQuery needs query: query = "..." in the table'),
    "a carrier": (
        {"kind": "sql", "database": "sqlite:///a.db", "query": "SELECT :value"},
        "identify: cookie: neither a cookie nor a header",
    ),
    "a cookie": ({"kind": "signed-cookie", "secret": "s", "user": "id"}, "SignedCookie needs cookie: identify-cookie"),
    "a key": ({"kind": "redis", "url": "redis://a", "cookie": "a"}, 'RedisKey needs key: key = "..." in the table [identify]'),
    "a good name": ({"kind": "sql", "querry": "SELECT :value"}, "SQLQuery has no querry; did you mean query?"),
}


@pytest.mark.parametrize(("table", "said"), LACKING.values(), ids=LACKING)
def test_what_an_identifier_lacks_is_named_as_it_is_given_here(table: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[identify]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
    with pytest.raises(ConfigurationError) as raised:
        build.check(of({"config": str(file)}))
    assert any(said in mistake for mistake in raised.value.mistakes), raised.value.mistakes


def test_a_keyword_that_an_identifier_does_not_have_is_told(tmp_path: Path) -> None:
    file, secret = tmp_path / "a.toml", tmp_path / "own"
    secret.write_text("its secret\n")
    file.write_text(f'[identify]\nkind = "flask"\nsecret_key-file = "{secret}"\nnonsense = 1\n')
    config = of({"config": str(file)})
    assert config.identify_options["secret_key"] == "its secret"
    with pytest.raises(ConfigurationError, match="FlaskLogin has no nonsense"):
        build.check(config)


MODULES = {
    "no such module": ("nowhere_at_all:x", "backend: No module named"),
    "no such name": ("tests.sidecar.engines:nothing", "backend: module .* has no attribute"),
    "something that fails": ("tests.sidecar.test_config:broken", "backend: ZeroDivisionError"),
    "no driver": ("nosuchdb://x/y", "backend: nosuchdb:// is not supported"),
    "a wrong URL of Redis": ("redis://h/main", "backend: the URL of Redis is wrong: its database is no number"),
    "a misspelled setting of Redis": (
        "redis://h/0?keep_revokd=9",
        "backend: the URL has an option that is not supported: do you mean keep_revoked?",
    ),
    "a wrong setting of Redis": ("redis://h/0?wait=1", "backend: wait in the URL must be replicas and milliseconds, for example 1,500"),
}


def broken() -> None:
    _ = 1 / 0


@pytest.mark.parametrize(("backend", "said"), MODULES.values(), ids=MODULES)
def test_a_backend_that_cannot_be_made_is_a_mistake_not_a_traceback(backend: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build.check(of({"backend": backend}))


MISSING = {
    "asyncpg": "pip install 'sessionward[asyncpg]'",
    "psycopg": "pip install 'sessionward[postgresql]'",
    "asyncmy": "pip install 'sessionward[mysql-async]'",
    "jwt": "pip install 'sessionward[jwt]'",
    "django": "pip install django",
    "flask": "pip install flask",
}


@pytest.mark.parametrize(("module", "said"), MISSING.items(), ids=MISSING)
def test_a_library_that_is_missing_is_told_with_how_to_install_it(module: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name=f"{module}.part")

    monkeypatch.setattr("sessionward.sidecar.config.backend.import_module", missing)
    with pytest.raises(ConfigurationError) as told:
        of({"backend": "postgresql://h/d", "lease": "9"})
    assert told.value.mistakes[0] == f"backend: {module} is not installed; {said}"
    assert len(told.value.mistakes) == 2, "it is among all mistakes"
    extra = said.partition("[")[2].partition("]")[0]
    table = tomllib.loads(Path(__file__, "../../../pyproject.toml").resolve().read_text())
    assert not extra or extra in table["project"]["optional-dependencies"]


# --- addresses --------------------------------------------------------------------------------------------------------

GOOD = ["127.0.0.1:0", "0.0.0.0:80", "[::1]:8080", "localhost:65535", "unix:/run/a.sock", "fd:3", "systemd", "systemd:web.socket"]
BAD = [
    "",
    "8080",
    ":8080",
    "host",
    "host:99999",
    "host:http",
    "a b:1",
    "http://a:1",
    "unix:a.sock",
    "unix:/a?mode=999",
    "unix:/a?x=1",
    "unix:/a?mode=660&group=a b",
    "unix:/a?mode=660&mode=600&group=x",
    "fd:x",
    "systemd:",
    "::1:80",
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_shown_as_it_was_given(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("127.0.0.5:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/a", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("host:1", False),
    ],
)
def test_what_others_can_reach_is_not_private(text: str, private: bool) -> None:
    assert Address.parse(text).is_private is private


def test_a_socket_has_its_mode_from_the_first_moment(tmp_path: Path) -> None:
    with Address.parse(f"unix:{tmp_path}/a.sock?mode=640").bind() as listening:
        assert listening.family is socket.AF_UNIX
        assert (tmp_path / "a.sock").stat().st_mode & 0o777 == 0o640
        with pytest.raises(OSError, match="in use"):
            Address.parse(f"unix:{tmp_path}/a.sock").bind()


def test_a_socket_can_belong_to_a_group(tmp_path: Path) -> None:
    group = os.getgid()
    with Address.parse(f"unix:{tmp_path}/a.sock?mode=660&group={group}").bind():
        status = (tmp_path / "a.sock").stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o660, group)
    with pytest.raises(OSError, match="there is no group no-such-group"):
        Address.parse(f"unix:{tmp_path}/b.sock?group=no-such-group").bind()


def test_a_socket_of_a_group_by_name_is_found(tmp_path: Path) -> None:
    name = getgrgid(os.getgid()).gr_name
    with Address.parse(f"unix:{tmp_path}/a.sock?group={name}").bind():
        assert (tmp_path / "a.sock").stat().st_gid == os.getgid()


@pytest.fixture
def passed() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_passed_descriptor_is_listened_on_and_stays_open(passed: socket.socket) -> None:
    for _ in range(2):
        with Address.parse(f"fd:{passed.fileno()}").bind() as ours:
            assert ours.getsockname() == passed.getsockname()
            assert ours.fileno() != passed.fileno()


def test_systemd_passes_sockets_by_number_and_by_name(passed: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionward.sidecar.config.addresses.FIRST_PASSED", passed.fileno() - 1)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_FDNAMES", "admin:web.socket")
    with Address.parse("systemd:web.socket").bind() as ours:
        assert ours.getsockname() == passed.getsockname()
    with pytest.raises(OSError, match=r"no socket with this name, but admin, web\.socket"):
        Address.parse("systemd:other").bind()
    monkeypatch.setenv("LISTEN_PID", "1")
    with pytest.raises(OSError, match="systemd passes no socket to this process"):
        Address.parse("systemd").bind()


def test_a_passed_socket_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle, pytest.raises(OSError, match="does not listen for connections"):
        Address.parse(f"fd:{idle.fileno()}").bind()


def test_a_passed_socket_is_our_own_address_too(passed: socket.socket) -> None:
    port = passed.getsockname()[1]
    assert is_same_place(Upstream.parse(f"http://localhost:{port}"), Address.parse(f"fd:{passed.fileno()}"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("http://a", "http://a:80"), ("https://a", "https://a:443"), ("http://[::1]:8/", "http://[::1]:8"), ("unix:/a.sock", "unix:/a.sock")],
)
def test_an_upstream_has_the_port_of_its_scheme(text: str, shown: str) -> None:
    assert str(Upstream.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:80",
        "ftp://a",
        "http://",
        "http://u:p@a",
        "http://a?x",
        "http://a#x",
        "http://a:port",
        "http://a/x",
        "http://a:0",
        "http://a:70000",
        "http://a b",
        "http://a..b",
        "http://@a",
        "unix:/a?mode=660",
        "unix:/",
    ],
)
def test_what_is_no_upstream_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|has the path|is not a port"):
        Upstream.parse(text)


# --- what is printed --------------------------------------------------------------------------------------------------


@given(st.recursive(st.text() | st.booleans() | st.integers(-(2**60), 2**60), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_whatever_is_printed_is_read_back_the_same(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        return
    assert tomllib.loads(f"a = {toml(value)}")["a"] == value


def test_what_is_printed_is_a_file_that_means_the_same_and_shows_no_secret(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    arguments = [
        "--upstream",
        "http://a:1",
        "--backend",
        "postgresql://u:hidden@h/d",
        "--secret-file",
        str(secret),
        "--exempt-paths",
        "/a/",
        "--exempt-paths",
        "/b/",
        "--insecure",
        "--drain-delay",
        "2",
    ]
    assert main(["print-config", *arguments]) == 0
    shown = capsys.readouterr().out
    assert SECRET not in shown
    assert "hidden" not in shown
    table = tomllib.loads(shown)
    assert table["secret"] == ["********"]
    assert (table["upstream"], table["exempt-paths"], table["insecure"], table["drain-delay"]) == ("http://a:1", ["/a/", "/b/"], True, 2.0)
    assert "# --upstream" in shown
    assert "# default" in shown
    file = tmp_path / "again.toml"
    file.write_text(shown.replace('secret = ["********"]', f"secret = [{toml(SECRET)}]"))
    assert main(["print-config", "--config", str(file)]) == 0
    assert tomllib.loads(capsys.readouterr().out) == table


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hidden@h/0?prefix=shop", "redis://:***@h/0?prefix=shop"),
        (
            "redis+sentinel://ann:hidden@h1:1,h2/mymaster/0?sentinel_password=hidden&wait=1,500",
            "redis+sentinel://ann:***@h1:1,h2/mymaster/0?sentinel_password=***&wait=1,500",
        ),
        ("redis+cluster://ann@h1,h2:7000", "redis+cluster://ann@h1,h2:7000"),
        ("redis://:hidden@[::1", "********"),
        ("redis://:hid?den@h", "********"),
        ("redis://:hid/den@h", "********"),
        ("redis://:hid#den@h", "********"),
        ("unix:///run/re@dis.sock?db=1", "unix:///run/re@dis.sock?db=1"),
    ],
    ids=["one server", "Sentinels", "a cluster", "no URL", "a ? as it is", "a / as it is", "a # as it is", "a Unix socket with an @"],
)
def test_a_url_of_redis_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert tomllib.loads("\n".join(printed({"backend": Given(url, "--backend")}))) == {"backend": shown}


def test_a_url_of_sql_whose_password_has_an_at_is_not_shown() -> None:
    url = "postgresql://ann:hid@den@h/db"
    assert tomllib.loads("\n".join(printed({"backend": Given(url, "--backend")}))) == {"backend": "********"}


def test_secrets_in_the_table_of_an_identifier_are_masked_too() -> None:
    lines = printed(
        {"identify-table": Given({"kind": "flask", "secret_key": "hidden", "user_key": "uid", "session_cookie": "s"}, "a.toml")}
    )
    assert tomllib.loads("\n".join(lines)) == {
        "identify": {"kind": "flask", "secret_key": "********", "user_key": "uid", "session_cookie": "s"}
    }


def test_what_is_no_secret_in_the_table_of_an_identifier_is_shown() -> None:
    of_redis = {"kind": "redis", "url": "redis://:hunter2@h/0", "key": "sess:{value}", "field": "a.b", "pattern": "(x)"}
    of_sql = {"kind": "sql", "database": "postgresql://u:hunter3@h/d", "query": "SELECT :value", "cookie": "c"}
    of_jwt = {"kind": "jwt", "key": "hunter4", "claim": "usr", "algorithm": "HS256"}
    shown = ["\n".join(printed({"identify-table": Given(table, "f")})) for table in (of_redis, of_sql, of_jwt)]
    assert "hunter" not in "".join(shown)
    assert [tomllib.loads(each)["identify"] for each in shown] == [
        {**of_redis, "url": "redis://:***@h/0"},
        {**of_sql, "database": "postgresql://u:***@h/d"},
        {**of_jwt, "key": "********"},
    ]


def test_check_config_says_ok_or_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--upstream", "http://a:1", "--backend", "memory"]) == 0
    assert capsys.readouterr().out == "ok\n"
    assert main(["check-config", "--upstream", "http://a:1", "--backend", "memory", "--cookie-samesite", "odd", "--workers", "x"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "sessionward: workers: a whole number from 1 on is needed",
        "sessionward: cookie-samesite: 'odd' is not one of lax, strict, none",
    ]
    assert main(["check-config", "--for", "authz", "--backend", "memory", "--trusted-proxy", "127.0.0.1"]) == 0


SERVE: Final = ["check-config", "--upstream", "http://a:1", "--backend"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            [*SERVE, "memory"],
            "lifetime 1209600 s; idle_timeout none; recent none; rate_limit none; max_sessions 1000, at_limit revoke",
            id="the defaults",
        ),
        pytest.param(
            [
                *SERVE,
                "memory",
                "--limits",
                "nist-aal1",
                "--recent",
                "300",
                "--rate-limit",
                "10",
                "--max-sessions",
                "5",
                "--at-limit",
                "refuse",
            ],
            "lifetime 2592000 s; idle_timeout none; recent 300 s; rate_limit 10 an hour; max_sessions 5, at_limit refuse;"
            " nist-aal1: lifetime at most 2592000 s (NIST SP 800-63B-4, 2.1.3)",
            id="a profile and settings",
        ),
        pytest.param(
            ["check-config", "--for", "authz", "--trusted-proxy", "127.0.0.1", "--backend", "memory", "--limits", "asvs-l2"],
            "lifetime 1209600 s; idle_timeout none; recent 300 s; rate_limit none; max_sessions 1000, at_limit revoke;"
            " asvs-l2: recent at most 300 s (OWASP ASVS 5.0, 7.5.2; the five minutes are ours)",
            id="authz",
        ),
        pytest.param(
            [*SERVE, "memory", "--identify", "tests.sidecar.test_config:LOGIN"],
            "lifetime of the application; idle_timeout none; recent none; rate_limit none; max_sessions 1000, at_limit revoke",
            id="companions",
        ),
        pytest.param(
            [*SERVE, "memory", "--identify", "tests.sidecar.test_config:LOGIN", "--lifetime", "3600", "--limits", "asvs-l2"],
            "lifetime 3600 s; idle_timeout none; recent 300 s; rate_limit none; max_sessions 1000, at_limit revoke;"
            " asvs-l2: recent at most 300 s (OWASP ASVS 5.0, 7.5.2; the five minutes are ours)",
            id="companions with a lifetime and a profile",
        ),
        pytest.param(
            [*SERVE, "tests.sidecar.test_config:ROWS"],
            "lifetime of the application; idle_timeout of the application; recent none; rate_limit none; max_sessions of the application",
            id="rows of the application",
        ),
    ],
)
def test_check_config_says_which_limits_are_in_force(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"sessionward: limits in force: {says}"


@pytest.mark.parametrize("engine", ["nginx", "caddy", "traefik", "haproxy", "haproxy-lua", "envoy"])
def test_a_snippet_is_printed(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", engine, "--authz", "10.1.2.3:9"]) == 0
    assert "10.1.2.3" in capsys.readouterr().out


def test_a_snippet_with_a_malformed_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", "--app", "nowhere"]) == 2
    assert "'nowhere' is not an address" in capsys.readouterr().err


# --- what an attack on all this has found -----------------------------------------------------------------------------

none = None
LOGIN = Function(lambda name, value: None, cookies=["sid"])
ROWS = OverCarriers()


def test_an_identifier_that_is_none_is_a_mistake_and_not_an_open_door() -> None:
    with pytest.raises(ConfigurationError, match="test_config:none is None"):
        build.check(of({"identify": "tests.sidecar.test_config:none"}))


class Leaseless:
    """A backend that waits, over sessions without a lease."""

    def find(self, credential: object, /) -> None: ...

    def revoke_others(self, session: object, /) -> int:
        return 0


@pytest.mark.parametrize("command", ["serve", "authz"])
def test_check_config_says_what_is_wrong_with_a_lease(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--upstream", "http://a:1"] if command == "serve" else ["--trusted-proxy", "127.0.0.1"]
    check = ["check-config", "--for", command, *arguments, "--backend"]
    assert main([*check, f"sqlite:///{tmp_path}/a.db", "--lease", "2.5", "--lease-waiters", "10"]) == 0
    capsys.readouterr()
    assert main([*check, f"sqlite:///{tmp_path}/a.db", "--lease", "5.1", "--lease-waiters", "0"]) == 2
    assert [line.removeprefix("sessionward: ") for line in capsys.readouterr().err.splitlines()] == [
        "lease-waiters: a whole number from 1 on is needed",
        "lease: must be at least 0 and at most 5 seconds",
    ]
    assert main([*check, f"{__name__}:Leaseless", "--lease", "1"]) == 2
    assert "lease: Leaseless keeps no lease, so every request asks it; leave the setting out" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "authz", "check-config", "print-config"])
@pytest.mark.parametrize("flag", ["--secret", "--assertion-secret", "--identify-secret"])
def test_a_secret_given_as_a_flag_is_refused_and_not_shown(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([flag, "hunter2"], [f"{flag}=hunter2"]):
        with pytest.raises(SystemExit) as left:
            main([command, "--backend", "memory", *arguments])
        assert left.value.code == 2
        said = capsys.readouterr()
        assert "is not a flag" in said.err
        assert "hunter2" not in said.err + said.out


def test_nothing_that_may_be_a_secret_is_printed() -> None:
    table = {"kind": "flask", "fallbacks": ["hunter1"], "options": {"secret": "hunter2"}, "odd key": "hunter3", "secret_key-file": "/a"}
    shown = "\n".join(
        printed({"backend": Given("postgresql://u:hunter4@h/d?password=hunter5&a=b", "x\ny"), "identify-table": Given(table, "f")})
    )
    assert "hunter" not in shown
    read = tomllib.loads(shown)
    assert read["identify"]["secret_key-file"] == "/a"
    assert "a=b" in read["backend"]


def test_what_kubernetes_puts_beside_a_service_of_our_name_is_none_of_ours() -> None:
    injected = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_PROTO", "PORT_8080_TCP_ADDR"]
    injected += [f"AUTHZ_{name}" for name in injected]
    assert of({}, {f"SESSIONWARD_{name}": "tcp://10.0.0.1:8080" for name in injected}).backend == "memory"


class Closing:
    """A backend that is there already, and must not be closed by whoever only looks at it."""

    closed = False
    blocking = True

    def find(self, credential: object, /) -> None:
        assert not self.closed

    def revoke_others(self, session: object, /) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


closing = Closing()


def test_a_backend_that_was_there_already_is_not_closed_before_it_serves() -> None:
    config = of({"backend": "tests.sidecar.test_config:closing"})
    asyncio.run(build.prepare(config))
    assert not config.make_backend().closed


def test_a_backend_in_memory_by_another_name_does_not_go_with_workers() -> None:
    with pytest.raises(ConfigurationError, match="there can be one worker only"):
        build.check(of({"backend": "sessionward.backends.memory:MemoryBackend", "workers": "2"}))


def test_mistakes_of_all_parts_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build.check(of({"backend": "nowhere_at_all:x", "identify": "jwt", "access-log": f"{tmp_path}/no/log"}))
    assert [mistake.partition(":")[0] for mistake in raised.value.mistakes] == ["backend", "identify", "access-log"]
    assert "identify: JWT needs key: identify-secret" in raised.value.mistakes


def test_a_jwt_in_a_header_can_be_configured(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        f'[identify]\nkind = "jwt"\nkey = "{SECRET}"\nalgorithms = ["HS256"]\nheader = ["authorization", "bearer"]\ncookies = []\n'
    )
    assert of({"config": str(file)}).make_identifier().headers


def test_a_socket_whose_queue_is_full_is_in_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as stack:
        listening.bind(f"{tmp_path}/full.sock")
        listening.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect_ex(f"{tmp_path}/full.sock")
        with pytest.raises(OSError, match="in use"):
            Address.parse(f"unix:{tmp_path}/full.sock").bind()


def test_a_name_that_no_host_can_have_is_told() -> None:
    with pytest.raises(OSError, match="no name of a host"):
        Address.parse("a..b:80").bind()


class Beside:
    """A backend that wants to know that the application runs in another process."""

    told = False

    def find(self, credential: object, /) -> None: ...

    def revoke_others(self, session: object, /) -> int:
        return 0

    def for_sidecar(self) -> Beside:
        view = Beside()
        view.told = True
        return view


def test_a_backend_is_told_that_the_application_runs_elsewhere() -> None:
    assert of({"backend": f"{__name__}:Beside"}).make_backend().told


# --- the page ---------------------------------------------------------------------------------------------------------

PAGED = {"upstream": "http://127.0.0.1:9", "backend": "sqlite:///x.db", "api": "true"}


def test_the_options_of_the_page_make_the_page() -> None:
    page = configure("serve", {**PAGED, "page-name": "Shop", "page-accent": "navy", "page-change-password": "/password"}, {}).settings[
        "page"
    ]
    assert page == Page(name="Shop", accent="navy", change_password="/password")
    assert "page" not in configure("serve", PAGED, {}).settings


def test_the_page_is_pickled_for_the_workers() -> None:
    config = configure("authz", {"backend": "sqlite:///x.db", "api": "true", "trusted-proxy": ["127.0.0.1"], "page-name": "Shop"}, {})
    assert pickle.loads(pickle.dumps(config)).settings["page"] == config.settings["page"]


def test_a_wrong_page_is_refused_by_the_names_of_the_options() -> None:
    with pytest.raises(ConfigurationError) as refused:
        configure("serve", {**PAGED, "page-accent": "url(x)", "page-change-password": "//evil.example", "page-language": "xx"}, {})
    assert [mistake.partition(":")[0] for mistake in refused.value.mistakes] == ["page-accent", "page-change-password", "page-language"]


def test_a_wrong_page_is_refused_with_its_value_as_it_was_written_and_with_all_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configure("serve", {**PAGED, "page-accent": "my_colour", "at-limit": "foo", "limits": "foo"}, {})
    assert any(mistake.startswith("page-accent: 'my_colour' is not") for mistake in refused.value.mistakes)
    assert sorted(mistake.partition(":")[0] for mistake in refused.value.mistakes) == ["at-limit", "limits", "page-accent"]
    with pytest.raises(ConfigurationError) as refused:
        configure("serve", {**PAGED, "page-templates": str(tmp_path), "limits": "foo"}, {})
    assert sorted(mistake.partition(":")[0] for mistake in refused.value.mistakes) == ["limits", "page-templates"]


def test_a_page_without_the_api_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^page-css: there is no page without the session API; give --api, too$"):
        configure("serve", {**PAGED, "api": "false", "page-css": "/a.css", "page-logo": "/b.png"}, {})
