"""What the core decides about a request and its answer: its flows, driven directly."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from functools import partial
from time import monotonic, time
from typing import Any, Final, NamedTuple, TypeVar

from sessionward import flow
from sessionward.api.mode import mode_of
from sessionward.context import Context
from sessionward.credential.carriers import holds_own, without_cookie
from sessionward.door.handle import tell
from sessionward.door.parts import routes_of
from sessionward.door.short_way import recalling
from sessionward.drive import async_driver, run_sync
from sessionward.errors import BackendUnavailable, OutcomeUnknown, StaleLogin, TooManySessions, UsageError
from sessionward.modes.mode import Mode
from sessionward.process import clock
from sessionward.request.request import Fields, is_exempt, underscored
from sessionward.response.answer import Problem, Response, unavailable
from sessionward.response.head import with_header
from sessionward.seen.flush import seen_of
from sessionward.session.session import Session
from sessionward.session.step import Flow, Step
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem, refusal_of
from sessionward.sidecar.logins import Impossible, Logins
from sessionward.sidecar.upstream.answer import Answer
from sessionward.sidecar.upstream.headers import TOKEN_REQUEST
from sessionward.streams.registry import Registries
from sessionward.streams.watching import Watching

T = TypeVar("T")

log = logging.getLogger("sessionward")


class Admitted(NamedTuple):
    """A request that goes on to the upstream.

    ``context``: for the answer; None for an anonymous request without a credential of our own. ``fields``: the fields of the request
    that the upstream gets. ``session``: the live session of the caller, or None.
    """

    context: Context | None
    fields: Fields
    session: Session | None


class Undecided(enum.Enum):
    """The result of :meth:`Gate.at_once` where a flow must decide."""

    UNDECIDED = enum.auto()


UNDECIDED: Final = Undecided.UNDECIDED


class Gate:
    """The flows of one mode over one backend.

    ``passes_cookie``: whether the upstream gets our own cookie. ``login_refused``: is called for each sign-in of the upstream that
    we do not believe. ``streams``: those that end with their session, None if none does. ``seen``: notes the sessions that are used.
    """

    def __init__(
        self, backend: Any, settings: dict[str, Any], *, passes_cookie: bool = False, login_refused: Callable[[], None] | None = None
    ) -> None:
        """Raises :class:`~sessionward.errors.ConfigurationError`."""
        self.mode: Mode[Any] = mode_of(backend, settings, clock)
        mode = self.mode
        self._backend = backend
        self._driver = async_driver(backend, mode.settings.backend_timeout, is_async=mode.is_async, blocks=mode.blocks)
        watching = Watching.of(mode, everywhere=True)
        self.streams = None if watching is None else Registries(watching, self._driver)
        self.seen = seen_of(mode, backend)
        self._waits = mode.is_async or mode.blocks
        self._always = mode.looks_always or mode.asks_late
        self._routes = routes_of(mode)
        self._methods = None if self._routes.methods is None else frozenset(map(str.encode, self._routes.methods))
        self._twins = underscored(mode.names)
        self._needles = {**mode.needles, **dict.fromkeys(underscored(mode.needles), b"")}
        self._own_cookie = b"" if passes_cookie or not mode.can_set_cookies else mode.settings.cookie_name.encode()
        self._recall = None if self._always else recalling(mode, backend)
        if self._recall is None:
            mode.recall = None  # then it need not remember anything for it
        self._logins = Logins(login_refused)
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

    def at_once(self, request: Request) -> Admitted | Undecided | None:
        """Decides about a request that needs no flow: one without a credential (None), or with a session that is known to be live.

        It decides as :meth:`before` does, for a fifth of its time.
        """
        method = request.method
        methods = self._methods
        if self._always or ((methods is None or method in methods) and self._routes.at(request.path) is not None):
            return UNDECIDED
        needles, hits, cookie = self._needles, 0, None
        for name, value in request.fields:
            if name in needles and value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                hits += 1
                if name == b"cookie":
                    cookie = value
        if not hits:
            return None
        if cookie is None or hits > 1 or self._recall is None or is_exempt(request.path, self.mode.settings.exempt):
            return UNDECIDED
        recalled = self._recall(cookie)
        if not isinstance(recalled, tuple):
            return UNDECIDED
        context: Context = self.mode.context(request, (), partial(_since, request.began), time)
        context.session, context.credential = recalled
        request.session = recalled[0].id
        if self.seen is not None:
            self.seen.note(recalled[0], request.began)
        return Admitted(context, self._without_own(request.fields, cookie), recalled[0])

    def _without_own(self, fields: Fields, cookie: bytes) -> Fields:
        """Returns the fields without our own cookie, if the upstream does not get it. ``cookie``: the value of the field with it."""
        if not self._own_cookie:
            return fields
        kept, rest = [*fields], without_cookie(cookie, self._own_cookie)
        at = kept.index((b"cookie", cookie))
        if rest:
            kept[at] = (b"cookie", rest)
        else:
            del kept[at]
        return kept

    def is_for_our_route(self, request: Request) -> bool:
        """Returns whether the path of a request is that of one of our routes."""
        return self._routes.at(request.path) is not None

    def before(self, request: Request) -> Flow[Response | Admitted]:
        """Decides about a request: a response of our own, or what the upstream gets."""
        mode = self.mode
        context = self.context_of(request)
        route = self._routes.at(request.path)
        if route is not None and (endpoint := self._routes.endpoint(route, request.method.decode("ascii"), request)) is not None:
            response = yield from endpoint(mode, context)
            if self.seen is not None:
                self.seen.note_in(context, request.began)
            tell(context)
            return response
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
            if self.seen is not None:
                self.seen.note_in(context, request.began)
        return Admitted(context, self._passed_on(request, fields), session)

    def context_of(self, request: Request) -> Context:
        """Makes the context of a request."""
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

    def after(self, context: Context, request: Request, answer: Answer, proof: bytes) -> Flow[Response | Fields | Impossible]:
        """Decides about an answer: the fields that the client gets, or a response of our own in its place.

        ``proof``: the X-Session-Proof of this request, empty on paths where the upstream cannot sign users in.
        """
        mode = self.mode
        fields: Fields = answer.fields
        user = self._logins.announced(answer, request, proof)
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
        except TooManySessions:
            return refusal_of(SidecarProblem.SESSION_LIMIT, request)
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


def _fault(request: Request) -> Response:
    log.exception("request %s could not be served", request.id)
    return refusal_of(Problem.UNAVAILABLE, request)


def _since(began: float) -> float:
    return monotonic() - began
