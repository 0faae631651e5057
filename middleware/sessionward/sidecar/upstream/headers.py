"""Which header fields go on to the upstream, and which return from it.

We first remove every field that a server could take for one that we set, in every spelling. Then we remove the hop-by-hop
fields. We add our own fields last, so that nothing in a request can remove them (CONTRACT.md 4; RFC 9110, 7.6.1).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote
from uuid import UUID

from sessionward.request.request import Fields
from sessionward.session.session import Session
from sessionward.sidecar.client.request import Request

SESSION_USER: Final = b"x-session-user"
SESSION_ID: Final = b"x-session-id"
SESSION_ASSERTION: Final = b"x-session-assertion"
SESSION_PROOF: Final = b"x-session-proof"
TOKEN_REQUEST: Final = b"x-session-token-request"
SESSION_LOGIN: Final = b"session-login"
SESSION_LOGOUT: Final = b"session-logout"


class Kind(enum.Enum):
    """What happens to a field, by its name."""

    PASSES = enum.auto()
    DROPPED = enum.auto()
    FORWARDED = enum.auto()  # passes if a trusted proxy sends it
    CONNECTION = enum.auto()  # names further fields that are for us alone
    CODING = enum.auto()  # Transfer-Encoding
    HOST = enum.auto()
    EXPECT = enum.auto()
    LENGTH = enum.auto()
    LOGIN = enum.auto()
    LOGOUT = enum.auto()
    UPGRADE = enum.auto()
    DATE = enum.auto()
    AUTHENTICATE = enum.auto()  # passes; may belong to a scheme that signs in a connection, not a request


# Looking up a member of an enum costs 50 ns, and each field needs one.
_PASSES, _DROPPED, _FORWARDED, _CONNECTION = Kind.PASSES, Kind.DROPPED, Kind.FORWARDED, Kind.CONNECTION
_HOST, _AUTHENTICATE = Kind.HOST, Kind.AUTHENTICATE

_OURS: Final = frozenset({SESSION_USER, SESSION_ID, SESSION_ASSERTION, SESSION_PROOF, TOKEN_REQUEST, SESSION_LOGIN, SESSION_LOGOUT})
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
"""What a Connection field cannot remove: the upstream would see another request than the one that we have judged."""

_NOT_PLAIN: Final = bytes(byte if chr(byte).isalnum() and byte < 128 else ord("-") for byte in range(256))
"""Servers that put fields into an environment fold ``_``, ``.`` and others into one character (CGI, WSGI, PHP)."""

MAX_NAMES: Final = 1024
"""Names whose kind we keep."""


class _Kinds(dict[bytes, Kind]):
    """The kinds of the names that have occurred, so that each name is judged once."""

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
    if b"_" in name or plain in _OURS or name == _CGI or (plain in read_by_us and plain != name):
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
    b"authorization": Kind.AUTHENTICATE,
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
    b"date": Kind.DATE,
    b"www-authenticate": Kind.AUTHENTICATE,
    SESSION_LOGIN: Kind.LOGIN,
    SESSION_LOGOUT: Kind.LOGOUT,
}

RESPONSE_KINDS: Final = _Kinds(_response_kind)
"""What happens to the fields of an answer, by their names in any case."""


class RequestFields:
    """Makes the head lines of requests for the upstream.

    ``read_by_us``: lower-case names of the fields that can carry a credential. Their other spellings are not credentials to us,
    but some servers would take them for one. ``host``: the Host of a request of HTTP/1.0 that has none.
    """

    def __init__(self, read_by_us: Sequence[bytes] = (), host: bytes = b"localhost") -> None:
        names = frozenset((b"x-session-token", b"authorization", *read_by_us))
        self._kinds = _Kinds(lambda name: _request_kind(name, names))
        self._host = host

    def lines(self, request: Request, fields: Fields, ours: Sequence[bytes]) -> list[bytes]:
        """Returns the lines of a head without its request line. ``ours``: the lines that we add last."""
        kinds = self._kinds
        lines: list[bytes] = []
        trusted = request.is_trusted
        host, tokens = None, None
        for field in fields:
            kind = kinds[field[0]]
            if kind is _PASSES:
                lines.append(b": ".join(field))
            elif kind is _HOST:
                host = field[1]
                lines.append(b"host: " + host)
            elif kind is _CONNECTION:
                tokens = _tokens(field[1], tokens)
            elif kind is _AUTHENTICATE or (kind is _FORWARDED and trusted):
                lines.append(b": ".join(field))
        if tokens:
            lines = [line for line in lines if line.partition(b":")[0] not in tokens]
        if host is None:
            lines.append(b"host: " + self._host)
        lines.append(_forwarded_further(request, fields, host or b"") if trusted else _forwarded(request, host or b""))
        lines += ours
        if request.is_chunked:
            lines.append(b"transfer-encoding: chunked")
        if request.expects and request.has_body:
            lines.append(b"expect: 100-continue")
        return lines


def signs_in_connection(value: bytes) -> bool:
    """Returns whether a value of Authorization or WWW-Authenticate belongs to NTLM or Negotiate.

    These sign in a connection, not a request (RFC 4559, 6): the next request on it would be that user's.
    """
    return value[:9].lower().startswith((b"ntlm", b"negotiate")) or _IN_A_LIST.search(value) is not None


_IN_A_LIST: Final = re.compile(rb",[ \t]*(?:ntlm|negotiate)\b", re.IGNORECASE)


def _tokens(value: bytes, before: frozenset[bytes] | None) -> frozenset[bytes] | None:
    """Returns the fields that Connection names, without those that no Connection can remove."""
    if value.lower() in _NAMES_NOTHING:
        return before
    tokens = frozenset(token.strip(b" \t").lower() for token in value.split(b",")) - _END_TO_END
    return tokens if before is None else tokens | before


_NAMES_NOTHING: Final = (b"keep-alive", b"close", b"upgrade")


def _forwarded(request: Request, host: bytes) -> bytes:
    """Returns X-Forwarded-* for a client that no trusted proxy has vouched for."""
    client = request.peer
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b" % (
        client.encode() if client else b"unknown",
        request.scheme.encode(),
        host,
    )


_MAPPED: Final = re.compile(rb"(?i)(?<![0-9a-f:])::ffff:(?=\d+\.)")
"""What a proxy that listens on both families writes before an address of IPv4."""


def _forwarded_further(request: Request, fields: Fields, host: bytes) -> bytes:
    """Returns X-Forwarded-* behind a trusted proxy: what it sent, and its own address."""
    said: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _REBUILT:
            said[name] = said[name] + b", " + value if name in said else value
    peer = request.peer
    before = _MAPPED.sub(b"", said.get(b"x-forwarded-for", b""))
    chain = [part for part in (before, peer.encode() if peer else None) if part]
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b" % (
        b", ".join(chain) or b"unknown",
        said.get(b"x-forwarded-proto", request.scheme.encode()),
        said.get(b"x-forwarded-host", host),
    )


ANONYMOUS: Final = (SESSION_USER + b": ", SESSION_ID + b": ")
"""The lines that say that the caller is anonymous."""


def identity_lines(session: Session) -> Sequence[bytes]:
    """Returns the lines that say who is calling."""
    return _lines(session.user_id, session.id.int)


def identity(session: Session) -> tuple[bytes, bytes]:
    """Returns a user's id, percent-encoded, and the public id of a session, as header fields carry them."""
    return _identity(session.user_id, session.id.int)


@lru_cache(maxsize=4096)
def _lines(user_id: str, number: int) -> Sequence[bytes]:
    user, public = _identity(user_id, number)
    return (SESSION_USER + b": " + user, SESSION_ID + b": " + public)


@lru_cache(maxsize=4096)
def _identity(user_id: str, number: int) -> tuple[bytes, bytes]:
    """``number``: that of the UUID, whose own hash is computed in Python (0.4 us)."""
    return quote(user_id, safe="").encode(), str(UUID(int=number)).encode()
