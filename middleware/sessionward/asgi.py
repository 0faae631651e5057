"""The door of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable
from time import time
from typing import Final, Unpack, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.context import Policy, Visit
from sessionward.credential.carriers import holds_own, stripped_scope
from sessionward.credential.login_cookies import with_one_cookie_field
from sessionward.drive import SyncDriver, async_driver
from sessionward.errors import ConfigurationError
from sessionward.flow import Admission, concerned, revoke_others_endpoint, guard, misplaced, seal
from sessionward.handle import ASGI_KEY, AsyncDoor, AsyncWard, warn
from sessionward.request.request import ASGIRequest
from sessionward.response.answer import Headers, Response
from sessionward.response.head import sets_cookie
from sessionward.session.assertion import stated_in_scope
from sessionward.session.backend import AnyBackend
from sessionward.session.session import Session
from sessionward.settings import Options

HEADS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry the head of a response, and with it cookies."""

POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1. Before the handshake is accepted, servers turn it into 403."""


class ASGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of an ASGI application and guards the rest.

    ``backend`` keeps the sessions; a plain one that waits is moved to threads. The keyword settings are those of
    :class:`sessionward.Settings`, which says what each means. Raises :class:`sessionward.ConfigurationError` that names
    everything wrong with them.
    """

    def __init__(self, app: ASGIApp, backend: AnyBackend, **settings: Unpack[Options]) -> None:
        if hasattr(app, "wsgi_app"):
            raise ConfigurationError("app: this is a WSGI application; put sessionward.WSGIMiddleware around its wsgi_app")
        self.app = app
        self._backend = backend
        self._policy = policy = Policy(backend, settings)
        capabilities, timeout, spec = policy.capabilities, policy.settings.backend_timeout, policy.spec
        is_async = capabilities.is_async or (spec is not None and spec.is_async)
        blocks = capabilities.blocks or (spec is not None and spec.blocks)
        driver = async_driver(backend, timeout, is_async=is_async, blocks=blocks)
        self._door = AsyncDoor(policy, driver, None if capabilities.is_async else SyncDriver(backend, timeout, blocks=capabilities.blocks))
        self._signs_in = capabilities.signs_in
        self._cookie = policy.cookie_name
        self._needles = _needles(policy)
        self._own_bearers = spec is None or b"authorization" not in {carrier.name for carrier in spec.headers}
        self._outer_key = None if spec is None else spec.outer_key
        self._watches = policy.logins is not None
        self._verifier = policy.verifier
        self._attends = self._signs_in or self._watches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if scope["method"] == "DELETE" and (request := ASGIRequest(scope)).route() in self._policy.spellings:
                visit = AsyncWard(self._door, scope).visit(request)
                if self._outer_key in scope:
                    return await self._misplaced(visit, scope, receive, send)
                return await _send_response(await self._door.driver(revoke_others_endpoint(visit)), send)
        elif kind != "websocket":
            return await self.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
        if self._verifier is not None:
            scope, session = stated_in_scope(scope, self._verifier, time())
            if session is not None:
                return await self._stated(session, scope, receive, send)
        needles = self._needles
        for name, value in scope["headers"]:
            if (
                name in needles
                and value.find(needles[name]) >= 0
                and (name != b"authorization" or not self._own_bearers or holds_own(name, value))
            ):
                return await self._guarded(scope, receive, send)
        if not self._attends:
            return await self.app(scope, receive, send)
        if self._watches:
            return await self._watched(AsyncWard(self._door, scope), scope, receive, send)
        scope[ASGI_KEY] = ward = AsyncWard(self._door, scope)
        return await self.app(scope, receive, self._sealing(ward, send))

    def concerns(self, scope: Scope) -> bool:
        """For a server of ours: whether this request would be looked at at all, or its answer. If not, it may go past this door."""
        if (
            self._watches
            or self._verifier is not None
            or (scope["method"] == "DELETE" and ASGIRequest(scope).route() in self._policy.spellings)
        ):
            return True
        needles = self._needles
        for name, value in scope["headers"]:
            if (
                name in needles
                and value.find(needles[name]) >= 0
                and (name != b"authorization" or not self._own_bearers or holds_own(name, value))
            ):
                return True
        return False

    def _sealing(self, ward: AsyncWard, send: Send) -> Send:
        """The ``send`` of a request that came without a credential. (Not in ``__call__``: a closure's cells would slow all of it.)"""

        def sealed(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                visit = ward.head_goes_out()
                if visit is not None and visit.cookie is not None:
                    return self._send_sealed(visit, message, send)
            return send(message)

        return sealed

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        ward = AsyncWard(self._door, scope)
        visit = ward.visit(ASGIRequest(scope))
        if self._outer_key in scope:
            return await self._misplaced(visit, scope, receive, send)
        admission = await self._door.driver(guard(visit))
        if admission is not _AS_IT_CAME:
            if isinstance(admission, Response):
                return await self._refuse(admission, scope, receive, send)
            scope = stripped_scope(scope if visit.taken is None else visit.taken.from_scope(scope), self._cookie)
        elif visit.taken is not None:
            scope = visit.taken.from_scope(scope)
        elif visit.kept:
            scope = with_one_cookie_field(scope)
        if self._watches:
            return await self._watched(ward, scope, receive, send)
        return await self._served(ward, visit, scope, receive, send)

    async def _stated(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        """A request of whose caller a sidecar in front has convinced itself."""
        ward = AsyncWard(self._door, scope)
        visit = ward.visit(ASGIRequest(scope))
        visit.session = session
        await self._served(ward, visit, scope, receive, send)

    async def _served(self, ward: AsyncWard, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if visit.session is not None or self._signs_in:
            scope[ASGI_KEY] = ward

        def sealed(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                ward.head_goes_out()
                if visit.cookie is not None or sets_cookie(_headers(message), self._cookie):
                    return self._send_sealed(visit, message, send)
            return send(message)

        return await self.app(scope, receive, sealed)

    async def _watched(self, ward: AsyncWard, scope: Scope, receive: Receive, send: Send) -> None:
        """A request to an application that has its own login: what its answer says of that is looked at."""
        if self._outer_key in scope:
            return await self._misplaced(ward.visit(), scope, receive, send)
        if self._signs_in:
            scope[ASGI_KEY] = ward

        def sealed(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                visit = ward.visit()
                ward.head_goes_out()
                if concerned(visit, _headers(message)):
                    return self._send_sealed(visit, message, send)
            return send(message)

        return await self.app(scope, receive, sealed)

    async def _misplaced(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        response = misplaced(visit)
        warn(visit.warning or "")
        await self._refuse(response, scope, receive, send)

    async def _send_sealed(self, visit: Visit, message: Message, send: Send) -> None:
        headers = await self._door.driver(seal(visit, _headers(message)))
        if visit.warning is not None:
            warn(visit.warning)
        await send({**message, "headers": headers})

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send_response(response, send)
            return
        await receive()  # websocket.connect
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await _send_response(response, send, "websocket.http.response")
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})

    def _closing(self, send: Send) -> Send:
        """The send of the lifespan: the backend closes when the application has."""

        async def closing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await _close(self._backend)
            await send(message)

        return closing


_AS_IT_CAME: Final = Admission.AS_IT_CAME


def _needles(policy: Policy) -> dict[bytes, bytes]:
    """What a field must hold to be worth a closer look. A login cookie of the application's may be oddly spelled."""
    own = {b"cookie": policy.cookie_name, b"x-session-token": b"", b"authorization": b""}
    if policy.spec is not None:
        return {**own, b"cookie": b"", **dict.fromkeys((carrier.name for carrier in policy.spec.headers), b"")}
    if policy.capabilities.carriers:
        return {b"cookie": b""} if "which_revoked" in policy.capabilities.operations else {}
    return own


async def _close(backend: AnyBackend) -> None:
    close = getattr(backend, "close", None)
    closed = close() if callable(close) else None
    if isinstance(closed, Awaitable):
        await closed


async def _send_response(response: Response, send: Send, prefix: str = "http.response") -> None:
    await send({"type": f"{prefix}.start", "status": int(response.status), "headers": list(response.headers)})
    await send({"type": f"{prefix}.body", "body": response.body})


def _headers(message: Message) -> Headers:
    """The fields of a head. An iterator, which ASGI allows, is put down as a list, since it is looked at twice."""
    fields = message.get("headers") or ()
    if not isinstance(fields, (list, tuple)):
        message["headers"] = fields = list(fields)
    return cast("Headers", fields)
