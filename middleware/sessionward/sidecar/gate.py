"""What the core decides about a request and its answer: its flows, driven directly."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, time
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

from sessionward import flow
from sessionward.context import Context
from sessionward.credential.carriers import holds_own, without_cookie
from sessionward.door import tell
from sessionward.drive import async_driver, run_sync
from sessionward.errors import BackendUnavailable, OutcomeUnknown, StaleLogin, UsageError
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, is_exempt, spellings, underscored
from sessionward.response.answer import Problem, Response, preflight, unavailable
from sessionward.response.head import with_header
from sessionward.session.session import Session
from sessionward.session.step import Flow, Step
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem, refusal_of
from sessionward.sidecar.upstream.answer import Answer
from sessionward.sidecar.upstream.headers import TOKEN_REQUEST

T = TypeVar("T")

log = logging.getLogger("sessionward")


_LOGIN: Final = re.compile(rb"((?:[A-Za-z0-9\-._~!*'()@]|%[0-9A-Fa-f]{2})+); proof=([A-Za-z0-9_-]{22})")
"""The grammar of Session-Login (CONTRACT.md 7)."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that goes on to the upstream.

    ``context``: for the answer; None for an anonymous request without a credential of our own. ``fields``: the fields of the request
    that the upstream gets. ``session``: the live session of the caller, or None.
    """

    context: Context | None
    fields: Fields
    session: Session | None


@dataclass(frozen=True, slots=True)
class Impossible:
    """What the upstream says of a login cannot be done."""

    reason: str


class Gate:
    """The flows of one mode over one backend.

    ``passes_cookie``: whether the upstream gets our own cookie. ``login_refused``: is called for each sign-in of the upstream that
    we do not believe.
    """

    def __init__(
        self, backend: Any, settings: dict[str, Any], *, passes_cookie: bool = False, login_refused: Callable[[], None] | None = None
    ) -> None:
        """Raises :class:`~sessionward.errors.ConfigurationError`."""
        self.mode: Mode[Any] = choose(backend, settings)
        mode = self.mode
        self._backend = backend
        self._driver = async_driver(backend, mode.settings.backend_timeout, is_async=mode.is_async, blocks=mode.blocks)
        self._waits = mode.is_async or mode.blocks
        self._always = mode.looks_always or mode.asks_late
        self._routes = spellings(mode.settings.path)
        self._twins = underscored(mode.names)
        self._needles = {**mode.needles, **dict.fromkeys(underscored(mode.needles), b"")}
        self._own_cookie = b"" if passes_cookie or not mode.can_set_cookies else mode.settings.cookie_name.encode()
        self._login_refused = login_refused
        self._tasks: set[asyncio.Task[None]] = set()

    # --- running flows ---

    def carry(self, asked: Flow[T], request: Request, then: Callable[[T | Response], None], loop: asyncio.AbstractEventLoop) -> None:
        """Runs a flow, and calls ``then`` with what it returns: at once if the flow need not wait, else from a task.

        A flow that has begun runs to its end, also if the client is gone (P4). A fault of our own becomes 503.
        """
        result: T | Response
        try:
            if self._waits:
                task = loop.create_task(self._carried(asked, asked.send(None), request, then))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            result = run_sync(asked, self._ask)
        except StopIteration as end:  # the flow has decided without the backend
            result = end.value
        except Exception:
            result = _fault(request)
        then(result)

    async def _carried(self, asked: Flow[T], step: Step[Any], request: Request, then: Callable[[T | Response], None]) -> None:
        try:
            result: T | Response = await self._driver(asked, step)
        except Exception:
            result = _fault(request)
        then(result)

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self._backend)

    async def drive(self, asked: Flow[T]) -> T:
        """Runs a flow to its end. Raises what the flow raises."""
        return await self._driver(asked)

    def continues(self, before: Gate) -> None:
        """Makes :meth:`finished` also wait for the flows of a gate that this one replaces."""
        self._tasks = before._tasks

    async def finished(self) -> None:
        """Returns when no flow is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # --- before the upstream ---

    def passes(self, request: Request) -> bool:
        """Returns whether no flow has to decide about a request: it is anonymous, and not for our route."""
        method = request.method
        if self._always or (method in (b"DELETE", b"OPTIONS") and request.path in self._routes):
            return False
        needles = self._needles
        for name, value in request.fields:
            if name in needles and value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                return False
        return True

    def is_for_our_route(self, request: Request) -> bool:
        """Returns whether the path of a request is that of our route."""
        return request.path in self._routes

    def before(self, request: Request) -> Flow[Response | Admitted]:
        """Decides about a request: a response of our own, or what the upstream gets."""
        mode = self.mode
        if request.path in self._routes:
            if request.method == b"DELETE":
                context = self._context(request)
                response = yield from flow.revoke_others_endpoint(mode, context)
                tell(context)
                return response
            if request.method == b"OPTIONS" and (answer := preflight(request, mode.settings)) is not None:
                return answer
        context = self._context(request)
        fields = yield from flow.on_request(mode, context)
        tell(context)
        if isinstance(fields, Response):
            return fields
        session = None
        if not is_exempt(request.path, mode.settings.exempt):
            try:
                session = yield from flow.current(mode, context)
            except Exception as failure:  # the driver has logged it
                return unavailable(failure, request, mode.settings)
        if session is not None:
            request.session = session.id
        return Admitted(context, self._passed_on(request, fields), session)

    def _context(self, request: Request) -> Context:
        names, twins, has_twins = self.mode.names, self._twins, False
        found: list[tuple[bytes, bytes]] = []
        for field in request.fields:
            if field[0] in names:
                found.append(field)
            elif field[0] in twins:
                has_twins = True
        context: Context = self.mode.context(request, found, partial(_since, request.began), time)
        context.has_twins = has_twins
        return context

    def _passed_on(self, request: Request, replaced: Fields | None) -> Fields:
        """Returns the fields that the upstream gets. Those that carry credentials are ``replaced``, in the same places."""
        own, names = self._own_cookie, self.mode.names
        new = None if replaced is None else [*replaced]
        fields: list[tuple[bytes, bytes]] = []
        for field in request.fields:
            if new is not None and field[0] in names:
                if not new or new[0][0] != field[0]:
                    continue
                field = new.pop(0)
            if own and field[0] == b"cookie" and own in field[1]:
                rest = without_cookie(field[1], own)
                if not rest:
                    continue
                field = (b"cookie", rest)
            fields.append(field)
        return [*fields, *new] if new else fields

    # --- after it ---

    def touches(self, context: Context | None, answer: Answer) -> bool:
        """Returns whether :meth:`after` has to decide about an answer."""
        return bool(answer.logins or answer.logouts) or (context is not None and self.mode.touches(context, answer.fields))

    def after(self, context: Context | None, request: Request, answer: Answer, proof: bytes) -> Flow[Response | Fields | Impossible]:
        """Decides about an answer: the fields that the client gets, or a response of our own in its place.

        ``proof``: the X-Session-Proof of this request, empty on paths where the upstream cannot sign users in.
        """
        mode = self.mode
        fields: Fields = answer.fields
        if context is None:
            context = self._context(request)
        user = self._announced(answer, request, proof)
        if isinstance(user, Impossible):
            return user
        try:
            if user is not None:
                token = yield from flow.login(mode, context, user, ticket=None, methods=("password",), persistent=True)
                if request.header(TOKEN_REQUEST) == b"1":
                    context.cookie = None
                    fields = with_header(fields, b"x-session-token", token.encode())
            elif answer.logouts:
                yield from flow.logout(mode, context)
        except StaleLogin:
            return refusal_of(SidecarProblem.STALE_LOGIN, request)
        except OutcomeUnknown:
            return refusal_of(Problem.UNKNOWN, request)
        except BackendUnavailable:
            return refusal_of(Problem.UNAVAILABLE, request)
        except UsageError as error:
            return Impossible(str(error))
        if mode.touches(context, fields):
            fields = yield from mode.on_response(context, fields)
        tell(context)
        return fields

    def _announced(self, answer: Answer, request: Request, proof: bytes) -> str | Impossible | None:
        """Returns the user whom an answer signs in, or None."""
        logins: Sequence[bytes] = answer.logins
        if len(logins) + len(answer.logouts) > 1:
            return Impossible("the answer has Session-Login or Session-Logout more than once, or both")
        if answer.logouts and answer.logouts[0].strip() != b"1":
            return Impossible("Session-Logout must be 1")
        if not logins:
            return None
        parts = _LOGIN.fullmatch(logins[0])
        if not proof or (parts is None and b"proof=" not in logins[0]):
            self._refuse_login(request, has_path=bool(proof))
            return None
        if parts is None:
            return Impossible("Session-Login must be: user id, percent-encoded, then '; proof=' and the X-Session-Proof of the request")
        if parts[2] != proof:
            self._refuse_login(request, has_path=True)
            return None
        try:
            return unquote_to_bytes(parts[1]).decode()
        except UnicodeDecodeError:
            return Impossible("Session-Login must name the user in percent-encoded UTF-8")

    def _refuse_login(self, request: Request, *, has_path: bool) -> None:
        if self._login_refused is not None:
            self._login_refused()
        path = request.path[:200].decode("ascii", "replace")
        if has_path:
            log.warning(
                "%s: the upstream signs a user in without the proof of this request, so the sign-in is ignored; answer with"
                " 'Session-Login: <user>; proof=<the X-Session-Proof of the request>' (request %s)", path, request.id,
            )  # fmt: skip
        else:
            log.warning(
                "%s: the upstream signs a user in here, but this is no login path, so the sign-in is ignored; set --login-path"
                " (request %s)", path, request.id,
            )  # fmt: skip


def _fault(request: Request) -> Response:
    log.exception("request %s could not be served", request.id)
    return refusal_of(Problem.UNAVAILABLE, request)


def _since(began: float) -> float:
    return monotonic() - began
