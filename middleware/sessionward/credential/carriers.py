"""The headers and cookies that carry a credential: finds the credential in a request, and removes it.

CONTRACT.md 2 is the source of every rule here. The reader works on bytes, never unquotes and never decodes: it returns exactly
the bytes of the request. Its time is linear in the length of its input.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sessionward.credential.token import Credential, Proofs, is_token
from sessionward.request.request import Fields

BLANKS: Final = b" \t"
OWN_FIELDS: Final = frozenset({b"cookie", b"x-session-token", b"authorization"})
"""The names of the fields that can carry our own credential, in lower case."""


class Unproven(enum.Enum):
    """The results of reading a request in which there is no credential to ask the backend about."""

    NONE = enum.auto()  # the request carries none of our credentials
    FOREIGN = enum.auto()  # an X-Session-Token that does not have the form of our token; it decides, and the request is anonymous
    INVALID = enum.auto()  # our cookie with an invalid value: forged, truncated, quoted, or signed for another purpose
    AMBIGUOUS = enum.auto()  # several values, of which at least one has the form of our token
    AMBIGUOUS_FOREIGN = enum.auto()  # several X-Session-Token values, none in the form of our token


@dataclass(frozen=True, slots=True)
class Carrier:
    """The cookie or header that carries an application's own credential. A header may have a scheme before the value.

    A backend over an application's own sessions lists them in ``carriers``, in order of precedence.
    """

    name: bytes
    is_cookie: bool
    scheme: bytes = b""

    @classmethod
    def cookie(cls, name: str) -> Carrier:
        """Returns the carrier for a cookie of this name. Raises ``UnicodeEncodeError`` if the name is not ASCII."""
        return cls(name.encode("ascii"), is_cookie=True)

    @classmethod
    def header(cls, name: str, *, scheme: str = "") -> Carrier:
        """Returns the carrier for a header of this name. ``scheme``: the word before the value, ``Authorization: Token ...``."""
        return cls(name.lower().encode("ascii"), is_cookie=False, scheme=scheme.lower().encode("ascii"))


def own_carriers(cookie_name: str) -> Sequence[Carrier]:
    """Returns the carriers of our own credential, in order of precedence (CONTRACT.md 2)."""
    return (Carrier.header("X-Session-Token"), Carrier.header("Authorization", scheme="Bearer"), Carrier.cookie(cookie_name))


HeaderOf = Callable[[bytes], bytes | None]
"""Returns a header's value by its lower-case name, or None. Joins several fields by ``,`` (Cookie: ``; ``)."""


class CredentialSource(enum.Enum):
    """What carried a credential. The cross-site rule applies to cookies; a 401 to a header has another challenge."""

    NOTHING = enum.auto()
    HEADER = enum.auto()
    COOKIE = enum.auto()


# Looking up a member of an enum costs 50 ns, and each request needs these.
_HEADER, _COOKIE, _INVALID = CredentialSource.HEADER, CredentialSource.COOKIE, Unproven.INVALID


def read_own(fields: Fields, cookie_name: bytes, proofs: Proofs) -> tuple[Credential | Unproven, CredentialSource]:
    """Returns our own credential among the fields of a request, and what carried it, by the rules of CONTRACT.md 2."""
    token = authorization = cookie = None
    for name, value in fields:  # in one pass, since each request needs it
        if name == b"cookie":
            cookie = value if cookie is None else cookie + b"; " + value
        elif name == b"x-session-token":
            token = value if token is None else token + b"," + value
        elif name == b"authorization":
            authorization = value if authorization is None else authorization + b"," + value
    candidates = _parts(token)
    if authorization:
        candidates += _bearers(authorization)
    if candidates:
        value = candidates[0]
        if _differ(candidates):
            return Unproven.AMBIGUOUS if any(map(is_token, candidates)) else Unproven.AMBIGUOUS_FOREIGN, _HEADER
        return Credential(value) if is_token(value) else Unproven.FOREIGN, _HEADER
    values = cookie_values(cookie, cookie_name)
    if not values:
        return Unproven.NONE, CredentialSource.NOTHING
    if _differ(values):
        # A sibling host can plant a cookie of our name, but cannot sign it: only what we have signed counts.
        proven = list(filter(None, map(proofs.credential, dict.fromkeys(values))))
        if len(proven) > 1:
            return Unproven.AMBIGUOUS, _COOKIE
        return proven[0] if proven else _INVALID, _COOKIE
    return proofs.credential(values[0]) or _INVALID, _COOKIE


def read_carriers(header: HeaderOf, carriers: Iterable[Carrier]) -> tuple[Credential | Unproven, CredentialSource]:
    """Returns the application's own credential, and what carried it. The first carrier that has a value decides."""
    for carrier in carriers:
        if carrier.is_cookie:
            source, values = CredentialSource.COOKIE, set(filter(None, cookie_values(header(b"cookie"), carrier.name)))
        else:
            source, values = CredentialSource.HEADER, set(schemed(header(carrier.name), carrier.scheme))
        if len(values) > 1:
            return Unproven.AMBIGUOUS, source
        if values:
            return Credential(values.pop()), source
    return Unproven.NONE, CredentialSource.NOTHING


def cookie_values(cookie: bytes | None, name: bytes) -> list[bytes]:
    """Returns all values of exactly ``name`` in a Cookie field, in order. It parses only the pairs that contain the name."""
    found: list[bytes] = []
    if cookie is None:
        return found
    usual = usual_value(cookie, name)
    if usual is not None:
        return [usual.strip(BLANKS)]
    at = cookie.find(name)
    while at >= 0:
        begin = cookie.rfind(b";", 0, at) + 1
        end = cookie.find(b";", at)
        key, equals, value = (cookie[begin:] if end < 0 else cookie[begin:end]).partition(b"=")
        if equals and key.strip(BLANKS) == name:
            found.append(value.strip(BLANKS))
        at = -1 if end < 0 else cookie.find(name, end)
    return found


def usual_value(cookie: bytes, name: bytes) -> bytes | None:
    """Returns the value of the only pair of ``name`` in a Cookie field, if it is written as browsers write it.

    :func:`cookie_values` finds the same in 1.3 times the time.
    """
    parts = cookie.split(name)
    if len(parts) == 2 and parts[1][:1] == b"=" and (not parts[0] or parts[0][-2:] == b"; "):
        return parts[1][1:].partition(b";")[0]
    return None


def _differ(values: Sequence[bytes]) -> bool:
    """Returns whether the values differ."""
    return len(values) > 1 and len(set(values)) > 1


def _parts(field: bytes | None) -> list[bytes]:
    """Returns the values of a field that a server may have joined by commas. Empty values count as absent."""
    if not field:
        return []
    if field.find(b",") < 0:  # not `in`: bytes.__contains__ first tries its operand as a number, five times as slow
        field = field.strip(BLANKS)
        return [field] if field else []
    return [part for part in (part.strip(BLANKS) for part in field.split(b",")) if part]


def _bearers(authorization: bytes) -> list[bytes]:
    """Returns the bearer values in the form of our token. If there is one, it also returns all other parts, which then conflict."""
    parts = _parts(authorization)
    if not any(map(_is_own_bearer, parts)):
        return []
    return [part[7:] if _is_own_bearer(part) else part for part in parts]


def _is_own_bearer(part: bytes) -> bool:
    return part[:7].lower() == b"bearer " and is_token(part[7:])


def schemed(field: bytes | None, scheme: bytes) -> list[bytes]:
    """Returns the values of a header that follow this scheme, or all values if the scheme is empty."""
    parts = _parts(field)
    if not scheme:
        return parts
    length = len(scheme) + 1
    return [part[length:].strip(BLANKS) for part in parts if part[:length].lower() == scheme + b" "]


# --- removal ----------------------------------------------------------------------------------------------------------


def without_cookie(cookie: bytes, name: bytes) -> bytes:
    """Returns a Cookie field without the pairs of ``name``. All other bytes stay the same."""
    kept = [pair for pair in cookie.split(b";") if pair.partition(b"=")[0].strip(BLANKS) != name]
    return b";".join(kept).strip(BLANKS)


def holds_own(name: bytes, value: bytes) -> bool:
    """Returns whether a field, by its lower-case name, carries a value in the form of our token where we would read it."""
    if name == b"x-session-token":
        return any(map(is_token, _parts(value)))
    return name == b"authorization" and any(map(_is_own_bearer, _parts(value)))


def without_own(fields: Fields, cookie_name: bytes) -> Fields:
    """Returns the fields of a request without our credentials."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if name == b"cookie":
            rest = without_cookie(value, cookie_name) if cookie_name in value else value
            if rest or rest is value:
                kept.append((name, rest))
        elif not holds_own(name, value):
            kept.append((name, value))
    return kept
