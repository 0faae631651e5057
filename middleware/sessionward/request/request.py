"""Reads the few parts of a request that we need, from an ASGI scope or a WSGI environ.

Both classes return the same: header values as bytes, and the path as the server received it. Nothing here reads a body.

We keep no scope and no environ while the application works. They refer to our handle, so each request would leave a reference
cycle to the garbage collector.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote_to_bytes

from sessionward.settings.paths import UNCLEAR

Mapping = MutableMapping[str, Any]
Fields = Sequence[tuple[bytes, bytes]]
Peer = Sequence[Any] | None


class Location(NamedTuple):
    """Decides which cookies a browser sends: the host, in lower case and without its port, the whole path, and the scheme."""

    host: str
    path: str
    scheme: str = ""


class Request(Protocol):
    """The parts of a request that the core reads."""

    def header(self, name: bytes, /) -> bytes | None:
        """Returns the value of a header by its lower-case name, or None. Joins several fields by ``,`` (Cookie: ``; ``)."""
        ...

    def route(self) -> bytes:
        """Returns the path below the mount point, with the client's own percent-encoding if the server keeps it."""
        ...

    def mount(self) -> bytes:
        """Returns the mount point, percent-encoded and without a slash at its end: what our URLs have before the path."""
        ...

    def query(self) -> bytes:
        """Returns the query, as the server received it and without its ``?``."""
        ...

    def client(self) -> str | None:
        """Returns the address of the client, as the server gives it, or None."""
        ...

    def location(self) -> Location:
        """Returns the host and the path of the URL, as far as the server shows them."""
        ...


class ASGIRequest:
    """The parts of an ASGI scope. Header names are lower case there (ASGI 3, HTTP connection scope)."""

    __slots__ = ("_headers", "_path", "_peer", "_query", "_raw", "_root", "_scheme")

    def __init__(self, scope: Mapping) -> None:
        self._headers: Fields = scope["headers"]
        self._peer: Peer = scope.get("client")
        self._raw: bytes | None = scope.get("raw_path")
        self._path: str = scope.get("path", "")
        self._root: str = scope.get("root_path", "")
        self._scheme: str = scope.get("scheme", "")
        self._query: bytes = scope.get("query_string", b"")

    def header(self, name: bytes, /) -> bytes | None:
        return joined(self._headers, name)

    def route(self) -> bytes:
        raw = self._raw
        return _below(raw.partition(b"?")[0] if raw else self._path.encode("utf-8", "replace"), self._root)

    def decoded_route(self) -> bytes:
        """Returns the decoded path below the mount point, by which an application chooses what answers."""
        return _below(self._path.encode("utf-8", "replace"), self._root)

    def mount(self) -> bytes:
        return quote(self._root.rstrip("/"), safe=_SAFE).encode()

    def query(self) -> bytes:
        return self._query

    def client(self) -> str | None:
        return address_of(self._peer)

    def location(self) -> Location:
        path = self._raw.partition(b"?")[0].decode("latin-1") if self._raw else self._path
        return Location(host_of((self.header(b"host") or b"").decode("latin-1")), path, self._scheme)


def address_of(peer: Peer) -> str | None:
    """Returns the address in the ``client`` of an ASGI scope. An iterator is left for the application to read."""
    return peer[0] if isinstance(peer, (list, tuple)) and peer else None


def host_of(field: str) -> str:
    """Returns a Host field, decoded as latin-1, without its port, in lower case."""
    host = field.lower()
    return host[: host.find("]") + 1] if host[:1] == "[" else host.partition(":")[0]


def joined(fields: Fields, name: bytes) -> bytes | None:
    """Returns the value of a header among the fields of an ASGI scope, or None."""
    value = None
    for key, field in fields:
        if key == name:
            value = field if value is None else value + (b"; " if name == b"cookie" else b",") + field
    return value


class WSGIRequest:
    """The parts of a WSGI environ. Its ``str`` values are bytes decoded as latin-1 (PEP 3333)."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping) -> None:
        self._environ = environ

    def header(self, name: bytes, /) -> bytes | None:
        value: str | None = self._environ.get(environ_key(name))
        return None if value is None else value.encode("latin-1", "replace")

    def route(self) -> bytes:
        environ = self._environ
        raw: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        mount: str = environ.get("SCRIPT_NAME", "")
        inside: str = environ.get("PATH_INFO", "")
        path = inside.encode("latin-1", "replace")
        if not raw.startswith("/"):
            return path
        shown = raw.partition("?")[0].encode("latin-1", "replace")
        if unquote_to_bytes(shown) == path:  # a proxy has removed the mount point
            return shown
        return _below(shown, mount.encode("latin-1", "replace").decode("utf-8", "replace"))

    def decoded_route(self) -> bytes:
        """Returns the decoded path below the mount point, by which an application chooses what answers."""
        path: str = self._environ.get("PATH_INFO", "")
        return path.encode("latin-1", "replace")

    def mount(self) -> bytes:
        mount: str = self._environ.get("SCRIPT_NAME", "")
        return quote(mount.rstrip("/").encode("latin-1", "replace"), safe=_SAFE).encode()

    def query(self) -> bytes:
        query: str = self._environ.get("QUERY_STRING", "")
        return query.encode("latin-1", "replace")

    def client(self) -> str | None:
        return self._environ.get("REMOTE_ADDR") or None

    def location(self) -> Location:
        environ = self._environ
        raw: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        if raw[:1] != "/":
            raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return Location(host_of(environ.get("HTTP_HOST", "")), raw.partition("?")[0], environ.get("wsgi.url_scheme", ""))


class Sender:
    """The address and the user agent of a request: all that we keep while the application works."""

    __slots__ = ("_agent", "_client")

    def __init__(self, client: str | None, agent: bytes | None) -> None:
        self._client = client
        self._agent = agent

    def header(self, name: bytes, /) -> bytes | None:
        return self._agent if name == b"user-agent" else None

    def route(self) -> bytes:
        return b""

    mount = query = route

    def client(self) -> str | None:
        return self._client

    def location(self) -> Location:
        return Location("", "/")


_SAFE = "/!$&'()*+,;=:@~"
"""What a path may contain unencoded, beside letters and digits (RFC 3986, 3.3)."""


def _below(path: bytes, mount: str) -> bytes:
    """Returns ``path`` without the mount point, if the path begins with it as whole segments."""
    mount = mount.rstrip("/")
    if mount:
        for prefix in (mount.encode(), quote(mount).encode()):
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"/", b""):
                return path[len(prefix) :]
    return path


def is_exempt(path: bytes, prefixes: tuple[bytes, ...]) -> bool:
    """Returns whether a raw path, without its query, has one of these prefixes (CONTRACT.md 4).

    A path that another server could read as another path is never exempt.
    """
    return path.startswith(prefixes) and UNCLEAR.search(path) is None if prefixes else False


def may_be_below(path: bytes, prefixes: tuple[bytes, ...]) -> bool:
    """Returns whether a raw path has one of these decoded prefixes, in any spelling that a server could read so."""
    return unquote_to_bytes(path).startswith(prefixes) or UNCLEAR.search(path) is not None


def underscored(names: Iterable[bytes]) -> frozenset[bytes]:
    """Returns these names of fields with some or all of their ``-`` as ``_``.

    A bridge to a WSGI application treats both spellings alike.
    """
    found: set[bytes] = set()
    for name in names:
        first, *rest = name.split(b"-")
        spelled = {first}
        for part in rest:
            spelled = {before + glue + part for before in spelled for glue in (b"-", b"_")}
        found |= spelled - {name}
    return frozenset(found)


def fields_in(environ: Mapping, names: Iterable[bytes]) -> Fields:
    """Returns the header fields of a WSGI environ that have these lower-case names."""
    return [(name, environ[key].encode("latin-1", "replace")) for name in names if (key := environ_key(name)) in environ]


_KEYS: dict[bytes, str] = {}


def environ_key(name: bytes) -> str:
    """Returns the key of a header in a WSGI environ."""
    key = _KEYS.get(name)
    if key is None:
        key = _KEYS[name] = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    return key


def despelled(path: bytes) -> bytes:
    """Returns one of our paths in its exact spelling, if it has one trailing slash, or one doubled slash between segments, or both.

    Clients whose base URL ends in a slash send a doubled one. ``//auth``, ``%2f`` and ``;`` are other paths, and stay so.
    """
    if path.find(b"//", 1) > 0 and not path.endswith(b"//"):
        path = path[:1] + path[1:].replace(b"//", b"/", 1)
    return path[:-1] if path.endswith(b"/") else path
