"""A request judged by us, as it reaches the application, and everything that the frameworks then read as a login."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha1
from hmac import new as hmac
from typing import Any, Final

from sessionward.credential.login_cookies import LoginNames, ParsedCredentials, parse_login_credentials, strip, with_one_cookie_field
from sessionward.request.request import Fields, fields_in, joined
from tests.parsers.frameworks import ASGI, BEAKER_SECRET, PARSERS, WSGI

NAMES: Final = LoginNames([b"session", b"remember_token", b"session-*"])
LOGINS: Final = ("session", "remember_token")
PART: Final = re.compile(r"session-([0-9]+)")
"""As Litestar looks for the parts of its session (``ClientSideSessionBackend``), in text that it has read as latin-1."""


def signed(value: str) -> str:
    """As Beaker signs."""
    return hmac(BEAKER_SECRET.encode(), value.encode(), sha1).hexdigest() + value


GOOD: Final = signed("ann.1-own_")
"""The one value that the identifier accepts, if any."""
COPY: Final = signed("ann.2-copied_")
"""As genuine as the other, but nobody has proved that it may be used."""

Decide = Callable[[Sequence[bytes], str | None], tuple[Mapping[str, Any], Mapping[str, Any]]]


def scope_with(fields: Sequence[bytes]) -> dict[str, Any]:
    """An ASGI scope with these Cookie fields."""
    headers = [(b"host", b"app.example"), *((b"cookie", field) for field in fields)]
    return {
        "type": "http", "method": "GET", "scheme": "http", "http_version": "1.1", "path": "/", "raw_path": b"/",
        "root_path": "", "query_string": b"", "headers": headers,
    }  # fmt: skip


def environ_with(fields: Sequence[bytes], *, joint: bytes = b"; ") -> dict[str, Any]:
    """A WSGI environ, whose server has joined the fields by ``joint``: by a comma, too, some of them."""
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "app.example", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
        "HTTP_COOKIE": joint.join(fields).decode("latin-1"),
    }  # fmt: skip


def judge(fields: Sequence[bytes], proven: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The scope and the environ as they go on to the application; ``proven``: the one value that may pass."""
    scope, environ = scope_with(fields), environ_with(fields)
    passed = going_on(of_scope(scope), proven)
    if passed is not None:
        scope["headers"] = [*(field for field in scope["headers"] if field[0] != b"cookie"), *passed]
    passed = going_on(of_environ(environ), proven)
    if passed is not None:
        del environ["HTTP_COOKIE"]
        for _, value in passed:
            environ["HTTP_COOKIE"] = value.decode("latin-1")
    return scope, environ


def of_scope(scope: Mapping[str, Any]) -> Fields:
    """The Cookie fields that a door finds in an ASGI scope."""
    return [field for field in scope["headers"] if field[0] == b"cookie"]


def of_environ(environ: dict[str, Any]) -> Fields:
    """The Cookie field that a door finds in a WSGI environ."""
    return fields_in(environ, [b"cookie"])


def parsed_of(fields: Fields) -> ParsedCredentials:
    """All login credentials in these fields."""
    return parse_login_credentials(partial(joined, fields), NAMES)


def going_on(fields: Fields, proven: str | None) -> Fields | None:
    """What stands in place of these fields, as the door has it; None if they stay as they came."""
    left = stripped(fields, proven)
    return with_one_cookie_field(fields) if left is None and parsed_of(fields).credentials else left


def stripped(fields: Fields, proven: str | None) -> Fields | None:
    """What is left of a request where only the proven value may pass; None if it stays as it came."""
    parsed = parsed_of(fields)
    return strip(fields, parsed, [credential for credential in parsed.credentials if credential.value != proven])


def naive(fields: Sequence[bytes], proven: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The canary: cut at semicolons, strip, compare the name."""

    def ours(pair: bytes) -> bool:
        name, _, value = pair.partition(b"=")
        login = name.strip().decode("latin-1")
        return (login in LOGINS or PART.fullmatch(login) is not None) and value.strip().decode("latin-1") != proven

    kept = [b"; ".join(pair for pair in field.split(b";") if not ours(pair)) for field in fields]
    return scope_with(kept), environ_with(kept)


def cookie_fields(scope: Mapping[str, Any]) -> list[bytes]:
    """The Cookie fields of an ASGI scope."""
    return [value for name, value in scope["headers"] if name == b"cookie"]


def readings(scope: Mapping[str, Any], environ: Mapping[str, Any]) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """Every framework, and the pairs that it reads."""
    for framework, of_scope in ASGI.items():
        yield framework, list(of_scope(scope))
    for framework, of_environ in WSGI.items():
        yield framework, list(of_environ(environ))
    field = environ.get("HTTP_COOKIE", "")
    for framework, of_field in PARSERS.items():
        yield framework, list(of_field(field))


def logins_of(pairs: Iterable[tuple[str, str]]) -> set[str]:
    """All values that an application would take for a login."""
    pairs = list(pairs)
    return wholes_of(pairs) | joined_parts_of(pairs)


def wholes_of(pairs: Iterable[tuple[str, str]]) -> set[str]:
    """The values of cookies that are a login by themselves."""
    return {value for name, value in pairs if name in LOGINS and value}


def joined_parts_of(pairs: Iterable[tuple[str, str]]) -> set[str]:
    """The values that parts make, in the order of their numbers and in that of their names."""
    read = dict(reversed(list(pairs)))  # of several, the first: as Werkzeug; the others have one only
    parts = [name for name in read if PART.fullmatch(name)]
    return {"".join(read[name] for name in order) for order in (sorted(parts, key=_number), sorted(parts))} - {""}


def _number(name: str) -> tuple[int, str]:
    digits = name[len("session-") :].lstrip("0")
    return len(digits), digits  # int() refuses more than 4300 of them


def unproven(fields: Sequence[bytes], proven: str | None, *, decide: Decide = judge) -> dict[str, set[str]]:
    """What frameworks read as a login though it is not the proven one. The claim is that this is always empty."""
    scope, environ = decide(fields, proven)
    found: dict[str, set[str]] = {}
    for framework, pairs in readings(scope, environ):
        wrong = {value for value in wholes_of(pairs) if value != proven}
        # Some stop at rubbish between two parts: what they have by then is a piece of the proven value, and no login.
        wrong |= {value for value in joined_parts_of(pairs) if proven is None or value not in proven}
        if wrong:
            found[framework] = wrong
    return found
