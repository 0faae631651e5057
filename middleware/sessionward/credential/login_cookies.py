"""Finds the application's own login cookies and headers in a request, in every spelling, and removes them.

Each framework reads cookies in its own way: some unquote, decode octal escapes, cut at blanks, or continue after invalid bytes.
So a pair is a login credential if *any* framework could read it as one. We use its value only in the one spelling that all
frameworks read alike, and remove every other spelling without asking the identifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import Final
from urllib.parse import unquote_to_bytes

from sessionward.credential.carriers import BLANKS, Carrier, HeaderOf
from sessionward.request.request import Fields

MAX_LOGINS: Final = 8
"""The largest number of login credentials in one request. If a request carries more, we remove them all."""
MAX_SUSPECTS: Final = 256
"""The largest number of pairs of one Cookie field that we read closely. If a request carries more, we remove them all."""

# The bytes of a cookie name (RFC 9110, 5.6.2, token), and those that every framework reads as part of a value. After any
# other byte some framework may begin to read a new name.
_NAME_BYTES: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NOT_NAME: Final = bytes(byte for byte in range(256) if byte not in _NAME_BYTES)
_PLAIN: Final = rb"0-9A-Za-z!#$%&'()*+\-./:<=>?@^_`{|}~"
_JUNK: Final = b"[^;" + re.escape(bytes(sorted(_NAME_BYTES))) + b"]*"
"""The bytes between those of a name that some framework may skip."""
_PLAIN_PAIR: Final = re.compile(rb"[!#$&'*+\-.^_`|~0-9A-Za-z]+=[" + _PLAIN + rb"]+")
_PLAIN_VALUE: Final = re.compile(rb"[" + _PLAIN + rb"]+")


class LoginNames:
    """The names of the cookies and headers that can sign a user in, prepared for lookups."""

    __slots__ = ("_buried", "_exact", "_parts", "_suspect", "headers")

    def __init__(self, cookies: Iterable[bytes], headers: Sequence[Carrier] = ()) -> None:
        names = list(cookies)
        self._exact = {name: name.decode() for name in names if not name.endswith(b"*")}
        self._parts = [(name[:-1], name.decode()) for name in names if name.endswith(b"*")]
        self.headers = tuple(headers)
        spelled = [re.escape(name) for name in self._exact] + [re.escape(prefix) + rb"[0-9]+" for prefix, _ in self._parts]
        self._buried = re.compile(rb"(?:\A|[^" + _PLAIN + rb"])(?:" + b"|".join(spelled or [rb"(?!)"]) + rb")[^" + _PLAIN + rb"]*=")

        stems = [*self._exact, *(prefix for prefix, _ in self._parts)]
        scattered = [_JUNK.join(re.escape(bytes([byte])) for byte in stem) for stem in stems]
        self._suspect = re.compile(rb"|".join([*scattered, rb"%[0-9A-Fa-f]"]))

    def suspects(self, cookie: bytes) -> list[int]:
        """Returns the numbers of the pairs that may be a login in any spelling: a superset, found in one pass over the field.

        Most pairs are none, so a client that sends thousands of them costs little.
        """
        places: list[int] = []
        place = last = 0
        for match in self._suspect.finditer(cookie):
            place += cookie.count(b";", last, match.start())
            last = match.start()
            if not places or places[-1] != place:
                places.append(place)
        return places

    def of(self, name: bytes) -> tuple[str, int] | None:
        """Returns the identifier's name for a cookie of exactly this name, and its part number, or None if it is another cookie."""
        if name in self._exact:
            return self._exact[name], 0
        for prefix, called in self._parts:
            number = name[len(prefix) :]
            if name.startswith(prefix) and number.isdigit() and len(number) < 4 and (number == b"0" or number[:1] != b"0"):
                return called, int(number)
        return None

    def obfuscated(self, pair: bytes) -> bool:
        """Returns whether some framework may read a login cookie in a pair that does not have exactly such a name."""
        name = pair.partition(b"=")[0]
        if any(name.startswith(prefix) and name[len(prefix) :].isdigit() for prefix, _ in self._parts):
            return True  # its part number is too high, or begins with a zero
        if _PLAIN_PAIR.fullmatch(pair):
            return False  # it has only this name, and the caller has looked that up
        freed = name.translate(None, _NOT_NAME)
        if self.of(freed) is not None or (b"%" in name and self.of(unquote_to_bytes(name).translate(None, _NOT_NAME)) is not None):
            return True
        return self._buried.search(pair) is not None


@dataclass(frozen=True, slots=True)
class LoginCredential:
    """One login credential of a request. ``places``: the pairs of the Cookie field that carry it, empty for a header.

    ``lenient``: a word of a header with another scheme, which only some frameworks would read.
    """

    name: str
    value: str = field(repr=False)
    places: tuple[int, ...] = ()
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class ParsedCredentials:
    """The pairs of a request's Cookie field, its login credentials, and what we remove since only some frameworks read it."""

    pairs: Sequence[bytes] = field(repr=False)
    credentials: Sequence[LoginCredential]
    obfuscated: frozenset[int]
    obfuscated_headers: frozenset[str]

    def doubled(self) -> bool:
        """Returns whether one name has several values."""
        names = [credential.name for credential in self.credentials]
        return len(set(names)) < len(names)


def parse_login_credentials(header: HeaderOf, names: LoginNames) -> ParsedCredentials:
    """Returns the login credentials of a request. For a fixed set of names its time is linear in the length of its input."""
    cookie = header(b"cookie") or b""
    pairs = cookie.split(b";")
    suspects = names.suspects(cookie)
    obfuscated: set[int] = set()
    if len(suspects) > MAX_SUSPECTS:
        obfuscated.update(suspects)
        suspects = []
    parts: dict[str, list[tuple[int, bytes, int]]] = {}
    for place in suspects:
        pair = pairs[place].strip(BLANKS)
        name, equals, value = pair.partition(b"=")
        known = names.of(name.rstrip(BLANKS)) if equals else None
        plain = None if known is None else verbatim_value(value.lstrip(BLANKS))
        if known is not None and plain is not None:
            parts.setdefault(known[0], []).append((known[1], plain, place))
        elif names.obfuscated(pair):
            obfuscated.add(place)
    logins: list[LoginCredential] = []
    for called, found in parts.items():
        if called.endswith("*"):
            _join(called, found, logins, obfuscated)
        else:
            _merge(called, found, logins)
    obfuscated_headers = _read_headers(header, names, logins)
    if len(logins) > MAX_LOGINS:
        obfuscated |= {place for login in logins for place in login.places}
        obfuscated_headers |= {login.name for login in logins if not login.places}
        logins = []
    return ParsedCredentials(pairs, logins, frozenset(obfuscated), frozenset(obfuscated_headers))


def verbatim_value(value: bytes) -> bytes | None:
    """Returns a value without one pair of quotes around it, or None if some frameworks would read it otherwise."""
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = value[1:-1]
    return value if _PLAIN_VALUE.fullmatch(value) else None


def _merge(called: str, found: list[tuple[int, bytes, int]], logins: list[LoginCredential]) -> None:
    places: dict[bytes, list[int]] = {}
    for _, value, place in found:
        places.setdefault(value, []).append(place)
    logins.extend(LoginCredential(called, value.decode("latin-1"), tuple(at)) for value, at in places.items())


def _join(called: str, found: list[tuple[int, bytes, int]], logins: list[LoginCredential], obfuscated: set[int]) -> None:
    """Joins numbered parts to one value. If a part comes twice, or if their numeric order is not their alphabetic order,
    frameworks may read different values, so all parts count as obfuscated."""
    found.sort()
    places = tuple(place for _, _, place in found)
    numbers = [number for number, _, _ in found]
    if len(set(numbers)) < len(numbers) or sorted(numbers, key=str) != numbers:
        obfuscated.update(places)
    else:
        logins.append(LoginCredential(called, b"".join(value for _, value, _ in found).decode("latin-1"), places))


def _read_headers(header: HeaderOf, names: LoginNames, logins: list[LoginCredential]) -> set[str]:
    """Adds the credentials of headers. Returns the names of headers in which some framework may find a token that we cannot read.

    Each framework extracts a token in its own way, so we read a header only if it holds nothing else.
    """
    obfuscated: set[str] = set()
    for carrier in names.headers:
        name, field = carrier.name.decode(), header(carrier.name) or b""
        scheme, _, value = field.partition(b" ") if carrier.scheme else (b"", b"", field.strip(BLANKS))
        words = [word for word in _BETWEEN_WORDS.split(field) if word]
        if scheme.lower() == carrier.scheme and words[-1:] == [value]:
            logins.append(LoginCredential(name, value.decode("latin-1")))
        elif _may_hold_token(field, carrier):
            obfuscated.add(name)
        else:
            logins.extend(LoginCredential(name, word.decode("latin-1"), lenient=True) for word in dict.fromkeys(words))
    return obfuscated


def _may_hold_token(field: bytes, carrier: Carrier) -> bool:
    """Returns whether some framework may find a login in a field that does not have the exact form.

    It cannot in a field of another scheme, such as Basic, Digest, Negotiate or an API key. We look for a JSON Web Token
    after deleting every byte that a decoder may skip.
    """
    if not carrier.scheme and carrier.name != b"authorization":
        return bool(field.strip(BLANKS))
    names_scheme = bool(carrier.scheme) and re.search(rb"(?<![0-9a-z])" + re.escape(carrier.scheme), field.lower()) is not None
    return names_scheme or _JSON_WEB_TOKEN.search(field.translate(None, _NOT_BASE64URL)) is not None


_BETWEEN_WORDS: Final = re.compile(rb"[^\x21-\x2b\x2d-\x7e]+")
"""Blanks, commas, control characters and non-ASCII bytes: each may separate words for some framework."""
_NOT_BASE64URL: Final = bytes(byte for byte in range(256) if chr(byte) not in ascii_letters + digits + "-_.")
_JSON_WEB_TOKEN: Final = re.compile(rb"e[wy][0-9A-Za-z_-]{14,}\.[0-9A-Za-z_-]{3,}\.")
"""RFC 7519, 3: the first part is JSON in base64url, at least ``{"alg":"..."}``."""


def strip(fields: Fields, parsed: ParsedCredentials, out: Iterable[LoginCredential]) -> Fields | None:
    """Returns the fields of a request without the credentials ``out`` and the obfuscated ones, or None if nothing changes.

    It joins the rest of several Cookie fields to one. We judged the credentials over all fields, and a framework that reads
    only one of them, or joins them by commas, would read something else.
    """
    places = set(parsed.obfuscated)
    headers = set(parsed.obfuscated_headers)
    for credential in out:
        places.update(credential.places)
        if not credential.places:
            headers.add(credential.name)
    if not places and not headers:
        return None
    kept = [(name, value) for name, value in fields if name != b"cookie" and name.decode("latin-1") not in headers]
    pairs = (pair.strip(BLANKS) for place, pair in enumerate(parsed.pairs) if place not in places)
    cookie = b"; ".join(pair for pair in pairs if pair)
    return [*kept, (b"cookie", cookie)] if cookie else kept


def with_one_cookie_field(fields: Fields) -> Fields | None:
    """Returns the fields of a request with all Cookie fields joined to one, or None if nothing changes."""
    cookies = [value for name, value in fields if name == b"cookie"]
    return None if len(cookies) < 2 else [*(field for field in fields if field[0] != b"cookie"), (b"cookie", b"; ".join(cookies))]
