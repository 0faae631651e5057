"""Which header fields go on to the upstream, and which come back from it.

Whatever could be taken for one of ours is taken out first, in every spelling that some server folds into it; then the
hop-by-hop fields go; what we say ourselves is added last, so that nothing a client names can remove it (CONTRACT.md 4,
RFC 9110 7.6.1).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from sessionward.request.request import Fields, Mapping
from sessionward.session.session import Session
from sessionward.sidecar.peers import PEER

SESSION_USER: Final = b"x-session-user"
SESSION_ID: Final = b"x-session-id"
SESSION_ASSERTION: Final = b"x-session-assertion"
TOKEN_REQUEST: Final = b"x-session-token-request"
SESSION_LOGIN: Final = b"session-login"
SESSION_LOGOUT: Final = b"session-logout"


class Kind(enum.Enum):
    """What becomes of a field, by its name."""

    PASSES = enum.auto()
    DROPPED = enum.auto()
    FORWARDED = enum.auto()  # passes if a trusted peer says it
    CONNECTION = enum.auto()  # names further fields that are meant for us alone
    CODING = enum.auto()  # Transfer-Encoding
    HOST = enum.auto()
    EXPECT = enum.auto()
    LENGTH = enum.auto()
    LOGIN = enum.auto()
    LOGOUT = enum.auto()
    UPGRADE = enum.auto()


# Looking up a member of an enum costs 50 ns; these are looked up for each field.
_PASSES, _DROPPED, _FORWARDED, _CONNECTION = Kind.PASSES, Kind.DROPPED, Kind.FORWARDED, Kind.CONNECTION
_CODING, _HOST, _EXPECT = Kind.CODING, Kind.HOST, Kind.EXPECT

_OURS: Final = frozenset({SESSION_USER, SESSION_ID, SESSION_ASSERTION, TOKEN_REQUEST, SESSION_LOGIN, SESSION_LOGOUT})
_HOP_BY_HOP: Final = frozenset(
    {b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings", b"proxy-authorization"}
)
_REBUILT: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_HEARSAY: Final = frozenset({b"forwarded", b"x-real-ip", b"x-client-ip", b"x-rewrite-url", b"x-cluster-client-ip", b"true-client-ip"})
_HEARSAY_PREFIXES: Final = (b"x-forwarded-", b"x-original-")
_CGI: Final = b"proxy"
"""Becomes HTTP_PROXY in the environment of a CGI program (CVE-2016-5385)."""
_END_TO_END: Final = frozenset(
    {b"host", b"cookie", b"authorization", b"x-session-token", b"content-length", b"content-type", b"content-encoding"}
)
"""What a Connection field cannot take out: the upstream would see another request than the one that was judged."""

_NOT_PLAIN: Final = bytes(byte if chr(byte).isalnum() and byte < 128 else ord("-") for byte in range(256))
"""Servers that put fields into an environment fold ``_``, ``.`` and others into one character (CGI, WSGI, PHP)."""

MAX_NAMES: Final = 1024
"""Names whose kind is kept."""


class _Kinds(dict[bytes, Kind]):
    """The kind of each name that was seen, so that no name is looked at twice."""

    def __init__(self, judge: Callable[[bytes], Kind]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> Kind:
        kind = self._judge(name)
        if len(self) < MAX_NAMES:
            self[name] = kind
        return kind


def _request_kind(name: bytes, read_by_us: frozenset[bytes]) -> Kind:
    plain = name.lower().translate(_NOT_PLAIN)
    if plain in _OURS or name == _CGI or (plain in read_by_us and plain != name):
        return _DROPPED
    if plain in _REBUILT:
        return _DROPPED
    if plain in _HEARSAY or plain.startswith(_HEARSAY_PREFIXES):
        return _FORWARDED if plain == name else _DROPPED
    if name in _REQUEST_NAMED:
        return _REQUEST_NAMED[name]
    return _DROPPED if name in _HOP_BY_HOP or plain in _REQUEST_NAMED else _PASSES


_REQUEST_NAMED: Final = {
    b"connection": Kind.CONNECTION,
    b"transfer-encoding": Kind.CODING,
    b"host": Kind.HOST,
    b"expect": Kind.EXPECT,
}


def _response_kind(name: bytes) -> Kind:
    lower = name.lower()
    if lower in _RESPONSE_NAMED:
        return _RESPONSE_NAMED[lower]
    return _DROPPED if lower.translate(_NOT_PLAIN) in _OURS or lower in _HOP_BY_HOP else _PASSES


_RESPONSE_NAMED: Final = {
    b"connection": Kind.CONNECTION,
    b"transfer-encoding": Kind.CODING,
    b"content-length": Kind.LENGTH,
    b"upgrade": Kind.UPGRADE,
    SESSION_LOGIN: Kind.LOGIN,
    SESSION_LOGOUT: Kind.LOGOUT,
}


class Onward:
    """The fields of a request as they go on, and what was found on the way."""

    __slots__ = ("chunked", "expects", "lines")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.chunked = False
        self.expects = False


class RequestFields:
    """Makes the fields of requests for the upstream.

    ``read_by_us``: lower-case names of the header fields that a credential may stand in; their other spellings are not
    credentials for us, but some servers would take them for one.
    """

    def __init__(self, read_by_us: Sequence[bytes] = ()) -> None:
        names = frozenset((b"x-session-token", b"authorization", *read_by_us))
        self._kinds = _Kinds(lambda name: _request_kind(name, names))

    def onward(self, scope: Mapping, identity: Sequence[bytes]) -> Onward:
        """``identity``: the lines of :func:`identity_lines`, and others of ours; they come last."""
        kinds, found = self._kinds, Onward()
        lines = found.lines
        fields: Fields = scope["headers"]
        trusted = PEER in scope
        host, tokens = b"", None
        for name, value in fields:
            kind = kinds[name]
            if kind is _PASSES:
                lines.append(name + b": " + value)
            elif kind is _HOST:
                host = value
                lines.append(b"host: " + value)
            elif kind is _CONNECTION:
                tokens = _tokens(value, tokens)
            elif kind is _CODING:
                found.chunked = True
            elif kind is _EXPECT:
                found.expects = True
            elif kind is _FORWARDED and trusted:
                lines.append(name + b": " + value)
        if tokens:
            lines[:] = [line for line in lines if line.partition(b":")[0] not in tokens]
        lines.append(_forwarded_further(scope, fields, host) if trusted else _forwarded(scope, host))
        lines += identity
        return found


def _tokens(value: bytes, before: frozenset[bytes] | None) -> frozenset[bytes] | None:
    """The fields that Connection names, beyond those that no Connection can take out."""
    if value.lower() in _NAMES_NOTHING:
        return before
    tokens = frozenset(token.strip(b" \t").lower() for token in value.split(b",")) - _END_TO_END
    return tokens if before is None else tokens | before


_NAMES_NOTHING: Final = (b"keep-alive", b"close", b"upgrade")


def _forwarded(scope: Mapping, host: bytes) -> bytes:
    """X-Forwarded-* of a client that nobody has vouched for."""
    client: tuple[str, int] | None = scope.get("client")
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b" % (
        client[0].encode() if client else b"unknown",
        _SCHEMES[scope["scheme"]],
        host,
    )


_SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}


def _forwarded_further(scope: Mapping, fields: Fields, host: bytes) -> bytes:
    """X-Forwarded-* behind a proxy that is trusted: what it said, and the proxy itself."""
    said: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _REBUILT:
            said[name] = said[name] + b", " + value if name in said else value
    peer = scope[PEER]
    chain = [part for part in (said.get(b"x-forwarded-for"), peer[0].encode() if peer else None) if part]
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b" % (
        b", ".join(chain) or b"unknown",
        said.get(b"x-forwarded-proto", _SCHEMES[scope["scheme"]]),
        said.get(b"x-forwarded-host", host),
    )


NOBODY: Final = (SESSION_USER + b": ", SESSION_ID + b": ")


def identity_lines(session: Session | None) -> Sequence[bytes]:
    """Who is calling, for the upstream: always both fields, empty for a visitor."""
    return NOBODY if session is None else _named(session.user_id, session.id)


@lru_cache(maxsize=4096)
def _named(user_id: str, id: object) -> Sequence[bytes]:
    user, public = identity(user_id, id)
    return (SESSION_USER + b": " + user, SESSION_ID + b": " + public)


@lru_cache(maxsize=4096)
def identity(user_id: str, id: object) -> tuple[bytes, bytes]:
    """A user's id, percent-encoded, and the public id of a session, as they stand in header fields."""
    return quote(user_id, safe="").encode(), str(id).encode()


# --- back to the client -----------------------------------------------------------------------------------------------

RESPONSE_KINDS: Final = _Kinds(_response_kind)
"""What becomes of the fields of an answer. Names as they come, in any case."""
