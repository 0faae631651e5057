"""URLs of Redis: one server, a Unix socket, Sentinels, or servers of a cluster."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis import asyncio as redis_async
from redis import connection as redis_sync

from sessionward.backends.redis.server import Kind, Maker, Server
from sessionward.backends.redis.wire import Node
from sessionward.errors import ConfigurationError

SCHEMES: Final = {
    "redis": "redis://host:6379/0",
    "rediss": "rediss://host:6379/0",
    "unix": "unix:///run/redis.sock",
    "redis+sentinel": "redis+sentinel://host1:26379,host2:26379/mymaster/0",
    "rediss+sentinel": "rediss+sentinel://host1:26379,host2:26379/mymaster/0",
    "redis+cluster": "redis+cluster://host1:6379,host2:6379",
    "rediss+cluster": "rediss+cluster://host1:6379,host2:6379",
}
"""Each with an example."""
OPTIONS: Final = ("db", "client_name")
TLS_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS: Final = (*TLS_FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers")
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
ELSEWHERE: Final = {
    "decode_responses": "leave it out: answers are bytes",
    "protocol": "leave it out",
    "retry_on_timeout": "leave it out: nothing is ever repeated whose outcome is unknown",
    "socket_timeout": "use the backend's timeout",
    "socket_connect_timeout": "use the backend's timeout",
    "timeout": "use the backend's timeout",
    "max_connections": "use the backend's pool_size",
    **{name: f"use the backend's {name}" for name in ("prefix", "wait", "strict", "keep_revoked")},
    "username": "write it before the host: redis://user:password@host",
    "password": "write it before the host: redis://user:password@host",
}
"""What some clients accept in a URL, and the way out."""
CERT_REQS: Final = ("required", "optional", "none")
FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
PORTS: Final[Mapping[Kind, int]] = {"server": 6379, "sentinel": 26_379, "cluster": 6379}


def from_url(text: str, *, is_async: bool) -> Server:
    """Raises :class:`ConfigurationError` for a URL that is not supported. The error shows nothing that may be secret."""
    try:
        url = urlsplit(text)
    except ValueError:
        raise _wrong("its host cannot be read") from None
    scheme = url.scheme.lower()
    if scheme not in SCHEMES:
        shown = f"{scheme}:// is not supported" if "://" in text and scheme else "it is no URL"
        raise _wrong(f"{shown}; use one of {', '.join(f'{known}://' for known in SCHEMES)}")
    if url.fragment:
        raise _wrong("it has a #; percent-encode it as %23 in a user name or password", scheme)
    if "@" in url.path and "@" not in url.netloc and scheme != "unix":
        raise _wrong("it has an @ behind a /; percent-encode / as %2F in a user name or password", scheme)
    options = _options(url, scheme)
    user = _credentials(url)
    classes: Any = redis_async if is_async else redis_sync
    if scheme == "unix":
        socket = unquote(url.path)
        if url.netloc.rpartition("@")[2] or socket in ("", "/"):
            raise _wrong("the path of a Unix socket must follow three slashes", scheme)
        settings = {**user, **options, "db": _database(options.get("db", "0"), scheme)}
        return Server("server", (Node(socket, 0),), is_async, Maker(classes.UnixDomainSocketConnection, settings))
    kind: Kind = "server" if "+" not in scheme else "cluster" if scheme.endswith("cluster") else "sentinel"
    make: Any = classes.SSLConnection if scheme.startswith("rediss") else classes.Connection
    nodes = _nodes(url, kind, scheme)
    first, *rest = [unquote(part) for part in url.path.strip("/").split("/")]
    if kind == "sentinel" and not first:
        raise _wrong("the name of the primary must follow the Sentinels", scheme)
    path = rest if kind == "sentinel" else [first, *rest] if first else []
    sentinel_user = {name.removeprefix("sentinel_"): options.pop(name) for name in SENTINEL_OPTIONS if name in options}
    database = _database(path[0] if path else options.get("db", "0"), scheme)
    if len(path) > 1:
        raise _wrong("its path has too many parts", scheme)
    if kind == "cluster":
        if database:
            raise _wrong("a cluster has the database 0 only", scheme)
        options.pop("db", None)
        return Server(kind, nodes, is_async, Maker(make, {**user, **options}))
    settings = {**user, **options, "db": database}
    if kind == "server":
        return Server(kind, nodes, is_async, Maker(make, settings))
    tls = {name: value for name, value in options.items() if name in TLS_OPTIONS}
    return Server(kind, nodes, is_async, Maker(make, settings), Maker(make, {**tls, **sentinel_user}), first)


def _wrong(why: str, scheme: str = "redis") -> ConfigurationError:
    return ConfigurationError(f"server: the URL of Redis is wrong: {why}, for example {SCHEMES.get(scheme, SCHEMES['redis'])}")


def _credentials(url: SplitResult) -> dict[str, Any]:
    credentials, at, _ = url.netloc.rpartition("@")
    if not at:
        return {}
    user, _, password = credentials.partition(":")
    found = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in found.items() if value}


def _nodes(url: SplitResult, kind: Kind, scheme: str) -> tuple[Node, ...]:
    hosts = url.netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and kind == "server":
        raise _wrong("it names several servers; write redis+sentinel:// or redis+cluster:// for these", scheme)
    return tuple(_node(host, kind, scheme) for host in hosts)


def _node(text: str, kind: Kind, scheme: str) -> Node:
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        host, port = text, str(PORTS[kind])
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise _wrong("its host has a colon; write an address of IPv6 in brackets, as in [::1]:6379", scheme)
    host = host.strip("[]")
    if not host:
        raise _wrong("it names no host", scheme)
    if not (port.isdigit() and port.isascii() and 0 < int(port) < 65_536):
        raise _wrong("a port is no number from 1 to 65535", scheme)
    return Node(host, int(port), kind == "sentinel")


def _database(text: str, scheme: str) -> int:
    if not (text.isdigit() and text.isascii()):
        raise _wrong("its database is no number", scheme)
    return int(text)


def _options(url: SplitResult, scheme: str) -> dict[str, Any]:
    allowed: Sequence[str] = OPTIONS
    if scheme.startswith("rediss"):
        allowed = (*allowed, *TLS_OPTIONS)
    if scheme.endswith("sentinel"):
        allowed = (*allowed, *SENTINEL_OPTIONS)
    pairs = parse_qsl(url.query, keep_blank_values=True)
    has_at = any("@" in word for pair in pairs for word in pair)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in allowed:
            if has_at and name not in ELSEWHERE:  # the end of a password, as far as we know
                raise _wrong("it has an @ behind a ?; percent-encode ? as %3F in a user name or password", scheme)
            if not re.fullmatch("[a-z_]+", name):
                raise _wrong(f"an option is not supported; use one of {', '.join(allowed)}", scheme)
            way_out = "it is for rediss:// only" if name in TLS_OPTIONS else ELSEWHERE.get(name, f"use one of {', '.join(allowed)}")
            raise _wrong(f"the option {name!r} is not supported: {way_out}", scheme)
        if name in TLS_FILES and not os.path.exists(value):
            raise _wrong(f"{name}: there is no {'such file' if has_at else repr(value)}", scheme)
        found[name] = value
    if "ssl_check_hostname" in found:
        flag = FLAGS.get(found["ssl_check_hostname"].lower())
        if flag is None:
            raise _wrong("ssl_check_hostname must be yes or no", scheme)
        found["ssl_check_hostname"] = flag
    if found.get("ssl_cert_reqs", "none") not in CERT_REQS:
        raise _wrong(f"ssl_cert_reqs must be one of {', '.join(CERT_REQS)}", scheme)
    if "ssl_ciphers" in found:
        _check_ciphers(found["ssl_ciphers"], scheme)
    return found


def _check_ciphers(ciphers: str, scheme: str) -> None:
    try:
        ssl.create_default_context().set_ciphers(ciphers)
    except (ssl.SSLError, ValueError):
        raise _wrong("ssl_ciphers names no cipher that this Python has", scheme) from None
