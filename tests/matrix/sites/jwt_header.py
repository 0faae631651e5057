"""The application of ``jwt_cookie`` for clients that send their token as ``Authorization: Bearer``, and for one browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import httpx2
import jwt
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sessionward.modes.companion.before import SKEW
from tests.matrix.browser import NOBODY
from tests.matrix.sites.in_header import InHeader
from tests.matrix.sites.jwt_cookie import KEY, OPTIONS, JWTCookie, token_of

LATER: Final = "X-Later"
"""By how many seconds this sign-in happens later."""
LEEWAY: Final = 2 * SKEW
CANNOT_CALL: Final = "a token in a header has no companion, so it cannot make the call; browsers of the same application make it"


class JWTHeader(InHeader, JWTCookie):
    """Of each user, who signs in first is a browser with a cookie, since it makes the call. The others send their token in the header.

    For a minute after a revocation new tokens in headers are refused too, since the clocks of the issuer and the backend are
    not one. So who signs in again does it a minute later, and says so, since no check waits for that.
    """

    counts_all: ClassVar[bool] = False
    tells_its_id: ClassVar[bool] = True
    scheme: ClassVar[str] = "Bearer "
    excuses: ClassVar[Mapping[str, str]] = {
        "6-signs-in-again-at-once": "for a minute after a revocation every new token in a header is refused",
        "8-two-callers": CANNOT_CALL,
        "9-another-users-id": CANNOT_CALL,
        "13-open-streams": "a stream is watched by the companion of its session, and a token in a header has none",
        "18-ten-thousand-sessions": CANNOT_CALL,
    }

    def __init__(self, place: Path) -> None:
        self._have_browsers: set[str] = set()
        super().__init__(place)

    def user_of(self, request: Request) -> str:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.cookies.get("access_token_cookie", "")
        try:
            return self.user_named(jwt.decode(shown, KEY, ["HS256"], leeway=LEEWAY, options=OPTIONS)["sub"])
        except jwt.InvalidTokenError:
            return NOBODY

    def asked(self, request: httpx2.Request) -> httpx2.Request:
        if request.url.path == "/login" and self.header in request.headers:
            request.headers[LATER] = str(SKEW + 1)
        return request

    def handed_out(self, request: Request, user: str) -> Response:
        return super().renewed(PlainTextResponse(token_of(user, float(request.headers.get(LATER, 0)))), user)

    def renewed(self, response: Response, user: str) -> Response:
        return response

    @property
    def login_cookies(self) -> tuple[str, ...]:
        return ("access_token_cookie", self.session_cookie)

    def token_in(self, request: httpx2.Request, answer: httpx2.Response) -> str | None:
        token = super().token_in(request, answer)
        if not token:
            return token
        user = dict(parse_qsl(request.content.decode())).get("username", "")
        is_browser = "access_token_cookie" in request.headers.get("Cookie", "") or user not in self._have_browsers
        if is_browser and self.header not in request.headers:
            self._have_browsers.add(user)
            return None  # it has the cookie
        answer.headers.pop("set-cookie", None)
        return token

    def identifier(self) -> Any:
        from sessionward.identify.jwt import JWT

        return JWT(key=KEY, algorithms=["HS256"], cookies=["access_token_cookie"], header=("Authorization", "Bearer"), leeway=LEEWAY)
