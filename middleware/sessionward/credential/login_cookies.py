"""The application's own login cookies and headers, found in every spelling, and taken out.

Frameworks read cookies each in their own way: they unquote, take octal escapes, cut at blanks, go on behind rubbish.
So a pair counts as a login credential if *any* of them could read it as one, and it is understood only in the one
spelling that all of them read alike. What is spelled otherwise is taken out without a question.
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
"""Login credentials of one request that the identifier is asked about. Of a request that carries more, none passes."""
MAX_SUSPECTS: Final = 256
"""Pairs of one Cookie field that are read closely. Of a request that carries more, none of them passes."""

# Bytes of a cookie name (RFC 9110, 5.6.2, token), and those that every framework reads as part of a value. Behind any
# other byte one of them may begin to read a new name.
_NAME_BYTES: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NOT_NAME: Final = bytes(byte for byte in range(256) if byte not in _NAME_BYTES)
_PLAIN: Final = rb"0-9A-Za-z!#$%&'()*+\-./:<=>?@^_`{|}~"
_JUNK: Final = b"[^;" + re.escape(bytes(sorted(_NAME_BYTES))) + b"]*"
"""What may stand between the bytes of a name that some framework reads all the same."""
_PLAIN_PAIR: Final = re.compile(rb"[!#$&'*+\-.^_`|~0-9A-Za-z]+=[" + _PLAIN + rb"]+")
_PLAIN_VALUE: Final = re.compile(rb"[" + _PLAIN + rb"]+")


class LoginNames:
    """The names of the cookies and headers that can sign someone in, prepared for looking them up."""

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
        """Which pairs of a Cookie field may be a login in any spelling: a superset, found in one pass over the field.

        Most pairs of most requests are none; a client that sends thousands of them costs no more than its bytes.
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
        """What the identifier calls a cookie of exactly this name, and which part of it it is."""
        if name in self._exact:
            return self._exact[name], 0
        for prefix, called in self._parts:
            number = name[len(prefix) :]
            if name.startswith(prefix) and number.isdigit() and len(number) < 4 and (number == b"0" or number[:1] != b"0"):
                return called, int(number)
        return None

    def obfuscated(self, pair: bytes) -> bool:
        """Whether some framework may read a login cookie in a pair that is not plainly one."""
        name = pair.partition(b"=")[0]
        if any(name.startswith(prefix) and name[len(prefix) :].isdigit() for prefix, _ in self._parts):
            return True  # a part of a number that we do not count to, or that begins with a zero
        if _PLAIN_PAIR.fullmatch(pair):
            return False  # its name stands there as it is, and has been looked up
        freed = name.translate(None, _NOT_NAME)
        if self.of(freed) is not None or (b"%" in name and self.of(unquote_to_bytes(name).translate(None, _NOT_NAME)) is not None):
            return True
        return self._buried.search(pair) is not None


@dataclass(frozen=True, slots=True)
class LoginCredential:
    """One login credential of a request. ``places``: which pairs of the Cookie field carry it; none: a header.

    ``lenient``: a word of a header of another scheme: some frameworks would read it.
    """

    name: str
    value: str = field(repr=False)
    places: tuple[int, ...] = ()
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class ParsedCredentials:
    """What a request carries: all pairs of its Cookie field, the credentials among them, and what none may read."""

    pairs: Sequence[bytes] = field(repr=False)
    credentials: Sequence[LoginCredential]
    obfuscated: frozenset[int]
    obfuscated_headers: frozenset[str]

    def doubled(self) -> bool:
        """Whether one name has several values."""
        names = [credential.name for credential in self.credentials]
        return len(set(names)) < len(names)


def parse_login_credentials(header: HeaderOf, names: LoginNames) -> ParsedCredentials:
    """Every login credential in a request. Its time is linear in what it reads, for a fixed set of names."""
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
    """A value that every framework reads alike; one pair of quotes around it is none of it."""
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = value[1:-1]
    return value if _PLAIN_VALUE.fullmatch(value) else None


def _merge(called: str, found: list[tuple[int, bytes, int]], logins: list[LoginCredential]) -> None:
    places: dict[bytes, list[int]] = {}
    for _, value, place in found:
        places.setdefault(value, []).append(place)
    logins.extend(LoginCredential(called, value.decode("latin-1"), tuple(at)) for value, at in places.items())


def _join(called: str, found: list[tuple[int, bytes, int]], logins: list[LoginCredential], obfuscated: set[int]) -> None:
    """Numbered parts are one value. A part that is there twice, or an order that depends on whether one counts or spells,
    leaves nothing that could be understood."""
    found.sort()
    places = tuple(place for _, _, place in found)
    numbers = [number for number, _, _ in found]
    if len(set(numbers)) < len(numbers) or sorted(numbers, key=str) != numbers:
        obfuscated.update(places)
    else:
        logins.append(LoginCredential(called, b"".join(value for _, value, _ in found).decode("latin-1"), places))


def _read_headers(header: HeaderOf, names: LoginNames, logins: list[LoginCredential]) -> set[str]:
    """Appends the logins in headers. Returns the headers in which some framework may find a token that we cannot read.

    Frameworks pick a token out of a header each in their own way, so one counts only where it is all that stands there.
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
    """Whether some framework may find a login in a field that is not plainly one.

    Not in a field of another scheme, such as Basic, Digest, Negotiate or an API key of the application's. A JSON Web Token
    is looked for behind every byte that a decoder may skip.
    """
    if not carrier.scheme and carrier.name != b"authorization":
        return bool(field.strip(BLANKS))
    names_scheme = bool(carrier.scheme) and re.search(rb"(?<![0-9a-z])" + re.escape(carrier.scheme), field.lower()) is not None
    return names_scheme or _JSON_WEB_TOKEN.search(field.translate(None, _NOT_BASE64URL)) is not None


_BETWEEN_WORDS: Final = re.compile(rb"[^\x21-\x2b\x2d-\x7e]+")
"""Blanks, commas, controls and what is not ASCII: between them, some framework may see a word."""
_NOT_BASE64URL: Final = bytes(byte for byte in range(256) if chr(byte) not in ascii_letters + digits + "-_.")
_JSON_WEB_TOKEN: Final = re.compile(rb"e[wy][0-9A-Za-z_-]{14,}\.[0-9A-Za-z_-]{3,}\.")
"""RFC 7519, 3: the first part is ``{"...`` in base64url and at least ``{"alg":"..."}``."""


def strip(fields: Fields, parsed: ParsedCredentials, out: Iterable[LoginCredential]) -> Fields | None:
    """These fields of a request without the credentials ``out`` and without what is obfuscated; None if nothing changes.

    What is left of several Cookie fields becomes one: the credentials were judged over all of them, and a framework that
    reads only one of them, or joins them by commas, would read something else.
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
    """These fields of a request with one Cookie field in place of several; None if nothing changes."""
    cookies = [value for name, value in fields if name == b"cookie"]
    return None if len(cookies) < 2 else [*(field for field in fields if field[0] != b"cookie"), (b"cookie", b"; ".join(cookies))]
