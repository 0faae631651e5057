"""Sessions to measure on, the cookies that carry them, and the cookies of what they are compared with."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import thread_time
from typing import Any, Final, TypeAlias

from itsdangerous import Signer, TimestampSigner

from sessionward.backends import Credential, Device, NewSession
from sessionward.credential.token import Signature, new_token
from tests.benchmarks.measure import Timed
from tests.benchmarks.requests import SECRET, Fields, with_cookie, with_header

COOKIE: Final = "__Host-session-ward"

LIVE: Final = 1_000
"""So many browsers ask in turn, each with a session of its own."""


def sign_in(user: str, token: str) -> NewSession:
    """A login like that of a browser, younger than any revocation."""
    return NewSession(
        user_id=user,
        digest=Credential(token.encode()).digest,
        lifetime=86_400.0,
        age=lambda: -1.0,
        device=Device(ip_address="127.0.0.1", user_agent="Mozilla/5.0"),
        methods=("password",),
    )


def tokens(backend: Any, user: str, number: int) -> Sequence[str]:
    """The tokens of so many new sessions of a user."""
    made = [new_token() for _ in range(number)]
    for token in made:
        backend.login(sign_in(user, token))
    return made


def signed(token: str, secret: str = SECRET) -> str:
    """The cookie's value for a token."""
    return Signature([secret.encode()], "cookie").sign(token.encode()).decode()


@dataclass(frozen=True, slots=True)
class Browsers:
    """Browsers, by the token of the session of each."""

    tokens: Sequence[str]

    @classmethod
    def signed_in(cls, backend: Any, number: int = LIVE) -> Browsers:
        """So many browsers, each of another user."""
        return cls([tokens(backend, f"user {one}", 1)[0] for one in range(number)])

    def cookies(self, secret: str = SECRET) -> Sequence[Fields]:
        """Their fields, with our cookie."""
        signature = Signature([secret.encode()], "cookie")
        return [with_cookie(COOKIE, signature.sign(token.encode()).decode()) for token in self.tokens]

    def headers(self) -> Sequence[Fields]:
        """Their fields, with a header token."""
        return [with_header(token) for token in self.tokens]

    def digests(self) -> Sequence[bytes]:
        return [Credential(token.encode()).digest for token in self.tokens]


Serve: TypeAlias = Callable[[str, Sequence[Fields]], Timed]
"""Makes a middleware with this secret, and requests of these browsers to it."""


def first_sight(browsers: Browsers, serve: Serve) -> Timed:
    """Requests whose cookie the middleware has not seen before: after one of each browser, it is a new middleware with a new secret."""

    def timed(number: int) -> float:
        seconds = 0.0
        while number > 0:
            some, secret = Browsers(browsers.tokens[:number]), new_token()
            seconds += serve(secret, some.cookies(secret))(len(some.tokens))
            number -= len(some.tokens)
        return seconds

    return timed


# --- what people use --------------------------------------------------------------------------------------------------


def unsigned(browsers: Browsers) -> Timed:
    """One ``unsign`` of each of our cookies by itsdangerous."""
    signer = Signer(SECRET, "sessionward.cookie.v1:", key_derivation="hmac", digest_method=hashlib.sha256)
    values = [signed(token).encode() for token in browsers.tokens]
    assert [signer.unsign(value).decode() for value in values] == browsers.tokens
    turns = cycle(values)

    def timed(number: int) -> float:
        some = list(islice(turns, number))
        began = thread_time()
        for value in some:
            signer.unsign(value)
        return thread_time() - began

    return timed


def starlette_cookies(number: int = LIVE) -> Sequence[str]:
    """Cookies as Starlette's ``SessionMiddleware`` sets them, for sessions of a few keys, each of another user."""
    signer = TimestampSigner(SECRET)
    sessions = ({"user_id": f"user {one}", "csrf_token": new_token(), "locale": "en"} for one in range(number))
    return [signer.sign(b64encode(json.dumps(session).encode())).decode() for session in sessions]


def select_of_the_row(placeholder: str) -> str:
    """What whoever keeps sessions in a table asks in any case, and all that the bare drivers are asked here."""
    return (
        "SELECT id, user_id, issued_at, authenticated_at, expires_at FROM sessionward_sessions"
        f" WHERE digest = {placeholder} AND ended_at IS NULL"
    )
