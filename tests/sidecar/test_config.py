"""The configuration: the same names in three places, every mistake in one message, no secret shown."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionward import ConfigurationError
from sessionward.cli import main
from sessionward.cli.sidecar import printed, toml
from sessionward.sidecar import build
from sessionward.sidecar.config.addresses import Address, Upstream
from sessionward.sidecar.config.config import Config, configure
from sessionward.sidecar.config.options import OPTIONS, Option
from sessionward.sidecar.config.sources import Given, collect

SECRET = "a secret of the tests, long enough: 0123456789"
OTHER = "another secret of the tests: 0123456789abcdef"
BASE = {"upstream": "http://127.0.0.1:8000", "backend": "memory"}

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
    "path": ("/a", "/b"),
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
    "max-sessions": (5, "50"),
    "backend-timeout": (1, "2.5"),
    "debug": (True, "false"),
}
"""Of each option: a value as TOML has it, and another as text."""


def of(flags: Mapping[str, Any] = {}, environment: Mapping[str, str] = {}) -> Config:
    return configure("serve", {**BASE, **flags}, environment)


def mistakes(command: str = "serve", environment: Mapping[str, str] = {}, **flags: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        configure(command, {name.replace("_", "-"): value for name, value in flags.items()}, environment)
    return tuple(raised.value.mistakes)


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
        "--workers",
        "--lifetime",
        "--drain-delay",
        "--create-tables",
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


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no backend": ({"upstream": "http://a"}, "backend: it is needed"),
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
    "a secret file that is not there": ({**BASE, "secret_file": "/nowhere"}, "--secret-file: /nowhere cannot be read: No such file"),
    "an empty secret file": ({**BASE, "secret_file": "/dev/null"}, "--secret-file: /dev/null is empty"),
    "a config that is not there": ({**BASE, "config": "/nowhere"}, "config: /nowhere cannot be read"),
    "a password in the upstream": ({**BASE, "upstream": "http://u:hunter2@a"}, "upstream: it is not an address"),
    "TLS files without TLS": ({**BASE, "upstream_ca_file": "/dev/null"}, "upstream-ca-file: the upstream is not https"),
    "a proxy to itself": (
        {**BASE, "upstream": "http://127.0.0.1:8080"},
        "upstream: http://127.0.0.1:8080 is 127.0.0.1:8080, where we listen ourselves (listen)",
    ),
    "an empty secret": ({**BASE, "secret": ""}, "--secret: it is empty"),
    "a mask for a secret": ({**BASE, "identify": "flask", "identify_secret": ["********"]}, "--identify-secret: this is the mask"),
    "two secrets where there is one": (
        {**BASE, "identify": "starlette", "identify_secret": ["a", "b"]},
        "identify-secret: starlette takes one",
    ),
    "an endless secret file": ({**BASE, "secret_file": "/dev/zero"}, "--secret-file: /dev/zero is"),
    "a number without an end": ({**BASE, "lifetime": 10**400}, "--lifetime: a number of seconds"),
    "a line break": ({**BASE, "access_log": "a\nb"}, "--access-log: a string without control characters"),
    "a secret twice": ({**BASE, "secret": [SECRET], "secret_file": "/dev/null"}, "--secret: it is given twice"),
}


@pytest.mark.parametrize(("flags", "said"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_the_way_out(flags: dict[str, Any], said: str) -> None:
    assert any(said in mistake for mistake in mistakes(**flags))


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
        of({"backend": "postgresql://h/d"}).make_backend()
    assert told.value.mistakes == (f"backend: {module} is not installed; {said}",)
    extra = said.partition("[")[2].partition("]")[0]
    table = tomllib.loads(Path(__file__, "../../../pyproject.toml").resolve().read_text())
    assert not extra or extra in table["project"]["optional-dependencies"]


# --- addresses --------------------------------------------------------------------------------------------------------

GOOD = ["127.0.0.1:0", "0.0.0.0:80", "[::1]:8080", "localhost:65535", "unix:/run/a.sock"]
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


def test_secrets_in_the_table_of_an_identifier_are_masked_too() -> None:
    lines = printed(
        {"identify-table": Given({"kind": "flask", "secret_key": "hidden", "user_key": "uid", "session_cookie": "s"}, "a.toml")}
    )
    assert tomllib.loads("\n".join(lines)) == {
        "identify": {"kind": "flask", "secret_key": "********", "user_key": "uid", "session_cookie": "s"}
    }


def test_check_config_says_ok_or_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--upstream", "http://a:1", "--backend", "memory"]) == 0
    assert capsys.readouterr().out == "ok\n"
    assert main(["check-config", "--upstream", "http://a:1", "--backend", "memory", "--cookie-samesite", "odd", "--workers", "x"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "sessionward: --workers: a whole number from 1 on is needed",
        "sessionward: cookie-samesite: 'odd' is not one of lax, strict, none",
    ]
    assert main(["check-config", "--for", "authz", "--backend", "memory", "--trusted-proxy", "127.0.0.1"]) == 0


@pytest.mark.parametrize("engine", ["nginx", "caddy", "traefik", "haproxy", "haproxy-lua", "envoy"])
def test_a_snippet_is_printed(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", engine, "--authz", "10.1.2.3:9"]) == 0
    assert "10.1.2.3" in capsys.readouterr().out


def test_a_snippet_with_a_malformed_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snippet", "nginx", "--app", "nowhere"]) == 2
    assert "'nowhere' is not an address" in capsys.readouterr().err


# --- what an attack on all this has found -----------------------------------------------------------------------------

none = None


def test_an_identifier_that_is_none_is_a_mistake_and_not_an_open_door() -> None:
    with pytest.raises(ConfigurationError, match="test_config:none is None"):
        build.check(of({"identify": "tests.sidecar.test_config:none"}))


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
