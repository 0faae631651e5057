"""The options of a sidecar: one table, from which flags, environment variables and TOML keys are all made."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

PREFIX: Final = "SESSIONWARD_"
NOT_OURS: Final = ("SESSIONWARD_TEST_", "SESSIONWARD_REQUIRE_SERVICES")
"""Variables of the project's own tests."""
MASK: Final = "********"
_OF_KUBERNETES: Final = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""What Kubernetes puts into every container beside a Service that is called sessionward."""
MAX_SECRET_FILE: Final = 65_536
"""Bytes."""

Read: TypeAlias = Callable[[Any], Any]
"""Makes a value of what stands in one of the three places. Raises ValueError."""


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text is needed")
    if not value.isprintable():
        raise ValueError("a text without control characters is needed")
    return value


def switch(value: Any) -> bool:
    """True or false."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("true or false is needed")
    return known[value.lower()]


def seconds(value: Any) -> float:
    """A duration in seconds."""
    if isinstance(value, bool):
        raise ValueError("a number of seconds is needed")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number of seconds is needed") from None
    if not 0 <= number < float("inf"):
        raise ValueError("a number of seconds, not below 0, is needed")
    return number


def whole(value: Any) -> int:
    """A whole number from 1 on."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number from 1 on is needed")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts; in one text they are parted by commas."""
    if isinstance(value, str):
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in cast("Sequence[object]", value)):
        raise ValueError("a list of texts is needed")
    return tuple(part for item in cast("Sequence[str]", value) for part in texts(item))


def one_of(*words: str) -> Read:
    """Returns a reader that accepts these words only."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{' or '.join(words)} is needed")
        return str(value)

    return read


def secrets(value: Any) -> tuple[str, ...]:
    """Secrets, newest first; in one text each has a line."""
    if isinstance(value, str):
        value = [line for line in (line.strip() for line in value.splitlines()) if line]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in cast("Sequence[object]", value)):
        raise ValueError("a list of texts is needed, newest first")
    found = tuple(cast("Sequence[str]", value))
    if not found:
        raise ValueError("it is empty; leave it out if there is none")
    if MASK in found:
        raise ValueError("this is the mask that print-config shows; give the secret itself")
    return found


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``secret``: it is no flag, since flags are seen by everybody on the machine; ``NAME-file`` is one."""

    name: str
    read: Read
    help: str
    default: Any = None
    only: str = ""
    """The one command that has it; by default both."""
    is_secret: bool = False
    of_door: bool = False
    """A setting of the door (:class:`sessionward.Settings`), by the same name."""

    @property
    def variable(self) -> str:
        return _variable(self.name)

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")


def _door(name: str, read: Read, help: str) -> Option:
    return Option(name, read, help, of_door=True)


OPTIONS: Final = (
    Option("upstream", text, "the application: http://host:port, https://host:port or unix:/path", only="serve"),
    Option("backend", text, "where sessions live: a database URL, memory, django, or package.module:object"),
    Option(
        "listen", text, "where to listen: host:port, unix:/path?mode=660&group=www-data, systemd, systemd:NAME or fd:N", "127.0.0.1:8080"
    ),
    Option("secret", secrets, "what signs the cookies: newest first, each at least 32 bytes", (), is_secret=True),
    Option("identify", text, "who the application says is signed in: flask, starlette, django, jwt, or package.module:object"),
    Option("identify-secret", secrets, "the application's own secret, with which it signs its login cookie", (), is_secret=True),
    Option("identify-user", text, "the key of the application's session that holds the user's id"),
    Option("identify-cookie", text, "the name of the application's login cookie"),
    Option("trusted-proxy", texts, "peers whose X-Forwarded-* is believed: addresses, networks, unix; repeatable; none by default", ()),
    Option("assertion-secret", secrets, "signs X-Session-Assertion for the application; without it there is none", (), is_secret=True),
    Option(
        "login-path",
        texts,
        "paths on which the application can sign users in, exact, or prefixes that end in /; repeatable; none by default",
        (),
        only="serve",
    ),
    Option("pass-cookie", switch, "leave our own cookie in the requests that the application receives", False, only="serve"),
    Option(
        "proxy-protocol",
        texts,
        "peers that must send a PROXY protocol header (v1 or v2): addresses, networks, unix; repeatable; none by default",
        (),
    ),
    Option("preflight", one_of("check", "pass"), "check or pass: what happens to CORS preflights", "check", only="authz"),
    Option("login-url", text, "where a browser that wants a page is sent to sign in: a URL or a path", only="authz"),
    Option("admin", text, "where /livez, /readyz and /metrics are; not served by default"),
    Option("access-log", text, "a file for one JSON line a request, - for standard output; none by default"),
    Option("workers", whole, "processes", 1),
    Option("drain-delay", seconds, "seconds between SIGTERM (readyz says 503) and the end of listening", 1.0),
    Option("drain-timeout", seconds, "seconds that requests under way then have", 30.0),
    Option("create-tables", switch, "create the tables that are missing at start", True),
    Option("connect-timeout", seconds, "seconds to connect to the application", 5.0, only="serve"),
    Option("response-timeout", seconds, "seconds until the head of its answer", 60.0, only="serve"),
    Option("upstream-keepalive", switch, "reuse connections to the application; off: each request gets its own", True, only="serve"),
    Option("upstream-idle-timeout", seconds, "seconds after which an idle connection to the application is not reused", 1.5, only="serve"),
    Option("max-connections", whole, "connections of clients in each worker; as many as the descriptors allow by default, at most 10000"),
    Option("max-connections-per-address", whole, "connections of one address; trusted proxies are not counted", 1000),
    Option("idle-timeout", seconds, "seconds that an idle connection of a client stays open", 75.0),
    Option("head-timeout", seconds, "seconds until the head of a request has arrived", 10.0),
    Option("tunnel-idle-timeout", seconds, "seconds that a WebSocket without traffic stays open", 3600.0, only="serve"),
    Option("readiness", texts, "what /readyz asks: upstream, backend; repeatable; both by default, backend for authz"),
    Option("upstream-ca-file", text, "certificates that the application's TLS certificate is verified with", only="serve"),
    Option("upstream-cert-file", text, "our certificate, where the application wants one", only="serve"),
    Option("upstream-key-file", text, "the key of that certificate", only="serve"),
    Option("upstream-server-name", text, "the name that the application's certificate must have; its host by default", only="serve"),
    _door("path", text, "where DELETE is answered (/auth/sessions)"),
    _door("cookie-name", text, "the name of our cookie (__Host-session-ward)"),
    _door("cookie-domain", text, "the Domain of our cookie, where the application's login cookie has one"),
    _door("cookie-samesite", text, "lax, strict or none"),
    _door("insecure", switch, "development over plain http: our cookie goes without Secure"),
    _door("on-invalid", text, "strip or reject: what happens to a request whose credential is invalid"),
    _door("exempt-paths", texts, "path prefixes that pass without a lookup and without our credential; repeatable"),
    _door("trusted-origins", texts, "other sites whose pages may call our routes; repeatable"),
    _door("public-origin", text, "our own origin as browsers see it"),
    _door("audience", text, "names this application where several share a secret"),
    _door("lifetime", seconds, "seconds that a session lives"),
    _door("max-sessions", whole, "live sessions of one user; a sign-in beyond it revokes the one used longest ago"),
    _door("backend-timeout", seconds, "seconds that a request waits for the backend"),
    _door("debug", switch, "errors say what was wrong with the credential; never in production"),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
FILE: Final = "-file"
IDENTIFY: Final = "identify"


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and where it was given."""

    value: Any
    source: str


_Place: TypeAlias = tuple[Mapping[str, Any], Callable[[str], str]]
"""What stands in one of the three places by the names of options, and what an option is called there."""


def collect(flags: Mapping[str, Any], environment: Mapping[str, str], command: str) -> tuple[dict[str, Given], list[str]]:
    """What is given for a command, by the names of options: a flag before a variable before the file before the default.

    ``flags``: by name, without those that were not given. Also answers what is wrong; such options have their default.
    """
    mistakes: list[str] = []
    file = flags.get("config") or environment.get(f"{PREFIX}CONFIG")
    places: list[_Place] = [
        (dict(flags), _flag),
        (_from_environment(environment, mistakes), _variable),
        (_from_file(file, mistakes) if file else {}, lambda name: f"{name} in {file}"),
    ]
    found: dict[str, Given] = {}
    for option in OPTIONS:
        if option.only not in ("", command):
            continue
        given = next(iter(_given(option, places, mistakes)), None)
        if given is not None:
            found[option.name] = given
        elif option.default is not None:
            found[option.name] = Given(option.default, "default")
    table = places[2][0].get(IDENTIFY)
    if isinstance(table, Mapping):
        found["identify-table"] = Given(dict(cast("Mapping[str, Any]", table)), f"[identify] in {file}")
    return found, mistakes


def _given(option: Option, places: Sequence[_Place], mistakes: list[str]) -> Iterator[Given]:
    for values, called in places:
        names = [name for name in (option.name, option.name + FILE) if name in values and (name == option.name or option.is_secret)]
        if len(names) > 1:
            mistakes.append(f"{called(option.name)}: it is given twice, as itself and as a file")
        for name in names[:1]:
            value = values[name]
            if option.name == IDENTIFY and isinstance(value, Mapping):
                continue
            try:
                yield Given(option.read(value if name == option.name else content_of(value)), called(name))
            except ValueError as wrong:
                mistakes.append(f"{called(name)}: {wrong}")


def content_of(path: Any) -> str:
    """What a file of secrets holds. Raises ValueError."""
    try:
        with open(text(path), "rb") as opened:
            data = opened.read(MAX_SECRET_FILE + 1)
        content = data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text in UTF-8") from None
    if not content.strip():
        raise ValueError(f"{path} is empty")
    if len(data) > MAX_SECRET_FILE:
        raise ValueError(f"{path} is longer than {MAX_SECRET_FILE} bytes")
    return content


def _flag(name: str) -> str:
    return f"--{name}"


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace("-", "_")


def _names() -> list[str]:
    return [*BY_NAME, *(option.name + FILE for option in OPTIONS if option.is_secret)]


def _from_environment(environment: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    known = {_variable(name): name for name in _names()}
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable in known:
            found[known[variable]] = value
        elif variable.startswith(PREFIX) and not _is_anothers(variable):
            mistakes.append(f"{variable}: there is no such variable{near(variable, known)}")
    return found


def _is_anothers(variable: str) -> bool:
    return variable == f"{PREFIX}CONFIG" or variable.startswith(NOT_OURS) or _OF_KUBERNETES.fullmatch(variable) is not None


def _from_file(path: str, mistakes: list[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as opened:
            table = tomllib.load(opened)
    except OSError as error:
        mistakes.append(f"config: {path} cannot be read: {error.strerror}")
        return {}
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such
        mistakes.append(f"config: {path} is not TOML: {error}")
        return {}
    known = _names()
    mistakes.extend(f"{name} in {path}: there is no such key{near(name, known)}" for name in table if name not in known)
    return table


def near(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, as the end of a sentence."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
