"""Where a credential travels in a request: found there, and taken out.

CONTRACT.md 2 is the source of every rule here. The reader works on bytes, never unquotes and never decodes: whatever
it returns stands in the request exactly so. Its time is linear in the length of what it reads.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sessionward.credential.token import TOKEN_LENGTH, Credential, Signature, is_token
from sessionward.request.request import Fields

BLANKS: Final = b" \t"
OWN_FIELDS: Final = frozenset({b"cookie", b"x-session-token", b"authorization"})
"""The fields of a request in which a credential of ours travels, in lower case."""


class Unproven(enum.Enum):
    """What a request says about its caller where that is not enough to ask a backend."""

    NONE = enum.auto()  # nothing of ours at all
    FOREIGN = enum.auto()  # an X-Session-Token that does not have the form of ours: decides, signs nobody in
    INVALID = enum.auto()  # a cookie of our name that proves nothing: forged, truncated, quoted, of another purpose
    AMBIGUOUS = enum.auto()  # several values of which at least one is ours
    AMBIGUOUS_FOREIGN = enum.auto()  # several X-Session-Token values, none of our form


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where an application's own credential travels: a cookie, or a header with an optional scheme before the value.

    A backend over somebody else's sessions declares these in ``carriers``, in order of precedence.
    """

    name: bytes
    is_cookie: bool
    scheme: bytes = b""

    @classmethod
    def cookie(cls, name: str) -> Carrier:
        """A cookie of this name."""
        return cls(name.encode("ascii"), is_cookie=True)

    @classmethod
    def header(cls, name: str, *, scheme: str = "") -> Carrier:
        """A header of this name; with ``scheme``, the value behind it: ``Authorization: Token ...``."""
        return cls(name.lower().encode("ascii"), is_cookie=False, scheme=scheme.lower().encode("ascii"))


HeaderOf = Callable[[bytes], bytes | None]
"""Gives a header's value by its lower-case name, several fields joined by ``,`` (Cookie: ``; ``); None if absent."""


class CredentialSource(enum.Enum):
    """What carried a credential: the cross-site rule is for cookies, the challenge of a 401 tells of headers."""

    NOTHING = enum.auto()
    HEADER = enum.auto()
    COOKIE = enum.auto()


# Looking up a member of an enum costs 50 ns; these are looked up at each request.
_HEADER, _COOKIE, _INVALID = CredentialSource.HEADER, CredentialSource.COOKIE, Unproven.INVALID


def read_own(fields: Fields, cookie_name: bytes, signature: Signature) -> tuple[Credential | Unproven, CredentialSource]:
    """The credential of our own kind among the fields of a request, by the order and the rules of CONTRACT.md 2."""
    token = authorization = cookie = None
    for name, value in fields:  # in one pass, since it is done at each request
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
    first = values[0]
    if _differ(values):
        return Unproven.AMBIGUOUS, _COOKIE
    signed = first[:TOKEN_LENGTH]
    return Credential(signed) if is_token(signed) and signature.verifies(signed, first) else _INVALID, _COOKIE


def read_carriers(header: HeaderOf, carriers: Iterable[Carrier]) -> tuple[Credential | Unproven, CredentialSource]:
    """The credential of an application's own kind; the first carrier that has a value decides."""
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
    """All values that a Cookie field gives to exactly ``name``, in order. Looks only at pairs that hold the name."""
    found: list[bytes] = []
    if cookie is None:
        return found
    at = cookie.find(name)
    while at >= 0:
        begin = cookie.rfind(b";", 0, at) + 1
        end = cookie.find(b";", at)
        key, equals, value = (cookie[begin:] if end < 0 else cookie[begin:end]).partition(b"=")
        if equals and key.strip(BLANKS) == name:
            found.append(value.strip(BLANKS))
        at = -1 if end < 0 else cookie.find(name, end)
    return found


def _differ(values: Sequence[bytes]) -> bool:
    """Whether there are several values; equal ones count as one."""
    return len(values) > 1 and len(set(values)) > 1


def _parts(field: bytes | None) -> list[bytes]:
    """The values of a field that some servers have joined by commas; empty ones count as absent."""
    if not field:
        return []
    if field.find(b",") < 0:  # not `in`: bytes.__contains__ first tries its operand as a number, five times as slow
        field = field.strip(BLANKS)
        return [field] if field else []
    return [part for part in (part.strip(BLANKS) for part in field.split(b",")) if part]


def _bearers(authorization: bytes) -> list[bytes]:
    """Bearer values of our form; where there is one, every other part of the field stands beside it as a rival."""
    parts = _parts(authorization)
    if not any(map(_is_own_bearer, parts)):
        return []
    return [part[7:] if _is_own_bearer(part) else part for part in parts]


def _is_own_bearer(part: bytes) -> bool:
    return part[:7].lower() == b"bearer " and is_token(part[7:])


def schemed(field: bytes | None, scheme: bytes) -> list[bytes]:
    """The values of a header that stand behind a scheme; all of them where there is none."""
    parts = _parts(field)
    if not scheme:
        return parts
    length = len(scheme) + 1
    return [part[length:].strip(BLANKS) for part in parts if part[:length].lower() == scheme + b" "]


# --- taking out -------------------------------------------------------------------------------------------------------


def without_cookie(cookie: bytes, name: bytes) -> bytes:
    """A Cookie field without the pairs of ``name``; every other byte stays as it was."""
    kept = [pair for pair in cookie.split(b";") if pair.partition(b"=")[0].strip(BLANKS) != name]
    return b";".join(kept).strip(BLANKS)


def holds_own(name: bytes, value: bytes) -> bool:
    """Whether a field, named in lower case, has a token of our form where we would read it."""
    if name == b"x-session-token":
        return any(map(is_token, _parts(value)))
    return name == b"authorization" and any(map(_is_own_bearer, _parts(value)))


def without_own(fields: Fields, cookie_name: bytes) -> Fields:
    """These fields of a request without any credential of ours."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if name == b"cookie":
            rest = without_cookie(value, cookie_name) if cookie_name in value else value
            if rest or rest is value:
                kept.append((name, rest))
        elif not holds_own(name, value):
            kept.append((name, value))
    return kept
