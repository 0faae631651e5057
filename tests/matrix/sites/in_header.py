"""Clients whose login is a token in a header: they find it in the body of an answer, and keep it where a browser keeps cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar

import httpx2

from tests.matrix.browser import cookies_of
from tests.matrix.site import Site


class InHeader(Site):
    """To be mixed into a site. ``session_cookie`` names the place in the client's jar; no server ever sees a cookie of this name."""

    in_header: ClassVar[bool] = True
    forgets_without_revoking: ClassVar[bool] = True
    session_cookie: ClassVar[str] = "token"
    header: ClassVar[str] = "Authorization"
    scheme: ClassVar[str] = ""

    @property
    def neighbour_cookie(self) -> str:
        return "session"

    def token_in(self, request: httpx2.Request, answer: httpx2.Response) -> str | None:
        """The token that an answer hands out; "" where the client has to forget its own; None for every other answer."""
        if request.url.path == "/logout":
            return ""
        return answer.text if request.url.path in ("/login", "/slow-renew") and answer.status_code == 200 else None

    def asked(self, request: httpx2.Request) -> httpx2.Request:
        """What the client's own way to sign in and out makes of a request."""
        return request

    def send(self, app: Any, request: httpx2.Request) -> Future[httpx2.Response]:
        jar = dict(cookies_of(request.headers.get("Cookie", "")))
        token = jar.pop(self.session_cookie, None)
        request.headers.pop("Cookie", None)
        if jar:
            request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        if token is not None and not request.url.path.startswith("/shop"):
            request.headers[self.header] = self.scheme + token
        kept: Future[httpx2.Response] = Future()
        sent = super().send(app, self.asked(request))  # type: ignore[safe-super]  # of the site that this is mixed into
        sent.add_done_callback(lambda sent: self._keep(request, sent, kept))
        return kept

    def _keep(self, request: httpx2.Request, sent: Future[httpx2.Response], kept: Future[httpx2.Response]) -> None:
        try:
            answer = sent.result()
            token = self.token_in(request, answer)
            if token is not None:
                lives = "" if token else "; Max-Age=0"
                fields = [*answer.headers.multi_items(), ("set-cookie", f"{self.session_cookie}={token}; Path=/; Secure{lives}")]
                answer.headers = httpx2.Headers(fields)
        except BaseException as error:
            kept.set_exception(error)
        else:
            kept.set_result(answer)

    def credentials(self, header: Callable[[str], str]) -> Mapping[str, str]:
        """For the naive way: the token, as if it had come in a cookie."""
        return {self.session_cookie: header(self.header).removeprefix(self.scheme)}
