"""The table of our routes: which flow answers a method and a path. The middlewares and the sidecar read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from sessionward.api.document import openapi
from sessionward.api.endpoints import revoke_session, whoami
from sessionward.api.page.endpoints import show, submit_one, submit_others, wrong_method
from sessionward.api.page.optional import NO_JINJA, renderer_of
from sessionward.context import Context
from sessionward.flow import revoke_others_endpoint
from sessionward.modes.mode import Mode
from sessionward.request.request import Request, despelled
from sessionward.response.answer import Response, compact, preflight, shown
from sessionward.session.step import Flow, answered
from sessionward.settings import Settings

Endpoint: TypeAlias = Callable[[Mode[Any], Any], Flow[Response]]
"""Answers a request to one of our routes: a flow of the mode and the context of the request."""

Methods: TypeAlias = Mapping[str, Endpoint]


class Routes:
    """The routes of one middleware. ``api``: whether they are more than ``DELETE`` on the path of the settings.

    ``methods``: those that a request to one of our routes can have, or None for all. ``mark``: bytes that each of our paths contains,
    so that a middleware need not read the others. ``warning``: a message to the operator, for the log, or None. Raises
    :class:`~sessionward.errors.ConfigurationError` for a wrong ``page``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.path.encode()
        self._below = self._path + b"/"
        self.mark = self._path.rpartition(b"/")[2]
        self.api = settings.api
        self.methods = None if settings.api else frozenset({"DELETE", "OPTIONS"} if settings.trusted else {"DELETE"})
        only: Methods = {"DELETE": revoke_others_endpoint}
        renderer = self._renderer = renderer_of(settings)
        self.warning = f"api: {NO_JINJA}; browsers get JSON" if settings.api and renderer is None else None
        self._base: Methods = {**_readable(partial(show, renderer)), **only} if settings.api else only
        self._named: Mapping[bytes, Methods] = {**_NAMED, b"revoke-others": {"POST": partial(submit_others, renderer)}}
        below: Mapping[bytes, Methods] = {self._below + name: methods for name, methods in self._named.items()}
        self._spelled: Mapping[bytes, Methods] = {self._path: self._base, **(below if settings.api else {})}
        """By the paths in their exact spelling."""

    def at(self, path: bytes) -> Methods | None:
        """Returns the methods of the route with this path, which begins below the mount point, or None: it is not ours."""
        spelled = self._spelled.get(path)
        if spelled is not None or path.find(self.mark) < 0:  # most paths
            return spelled
        path = despelled(path)
        if path == self._path:
            return self._base
        if not (self.api and path.startswith(self._below)):
            return None
        name = path[len(self._below) :]
        return self._named.get(name) or self._one(name)

    def _one(self, name: bytes) -> Methods | None:
        """Returns the methods of one session, or of the form that revokes it, or None: it is not ours."""
        own, slash, form = name.partition(b"/")
        if not own or (slash and form != b"revoke"):
            return None
        return {"POST": partial(submit_one, own, self._renderer)} if slash else {"DELETE": partial(revoke_session, own)}

    def endpoint(self, methods: Methods, method: str, request: Request) -> Endpoint | None:
        """Returns what answers a request to one of our routes, or None if the application does."""
        found = methods.get(method)
        if found is None and method == "OPTIONS":
            answer = preflight(request, self._settings, ", ".join(methods).encode())
            return None if answer is None else partial(_answer, answer)
        if found is None and not self.api:
            return None
        found = found or partial(wrong_method, tuple(methods), self._renderer)
        return partial(_head, found) if method == "HEAD" else found


def _answer(response: Response, mode: Mode[Any], context: Context) -> Flow[Response]:  # noqa: ARG001 - it has been decided
    return answered(response)


def _head(endpoint: Endpoint, mode: Mode[Any], context: Context) -> Flow[Response]:
    """Answers HEAD as GET is answered, with the length of the body in place of the body (RFC 9110, 9.3.2)."""
    response = yield from endpoint(mode, context)
    return Response(response.status, response.headers, b"")


def _described(mode: Mode[Any], context: Context) -> Flow[Response]:
    """Answers with the description of the API, which is no secret: anonymous clients get it too."""
    mount = context.request.mount().decode("ascii")
    return answered(shown(compact(openapi(mode.settings.path, mount, mode.accepts)), context.request, mode.settings))


def _readable(endpoint: Endpoint) -> Methods:
    return {"GET": endpoint, "HEAD": endpoint}


_NAMED: Final[Mapping[bytes, Methods]] = {b"whoami": _readable(whoami), b"openapi.json": _readable(_described)}
"""The routes with a name of their own, below the path of the list."""
