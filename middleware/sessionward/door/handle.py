"""The base class of the handles, and what the middlewares do with the handle of a request."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
from functools import partial
from time import monotonic, time
from typing import Any

from sessionward.context import Context
from sessionward.credential.token import Credential
from sessionward.door.parts import warn
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Location, Request, Sender
from sessionward.session.session import Session

log = logging.getLogger("sessionward")


class Handle:
    """The base class of the handles. It makes the context only when it is needed, since most requests never need it.

    It has no slots: a default on the class costs nothing for each request.
    """

    _head_is_out: bool = False
    """Whether the response head has been sent, so that we cannot set a cookie any more."""
    _context: Context | None = None
    _session: Session | None = None
    """The live session of a request that was recalled, and ``_credential`` what proves it. A context takes them over."""
    _credential: Credential | None = None
    _location: Location = Location("", "/")
    """Where a request went that was recalled, if the mode keeps it."""
    _started: float
    _door: Any

    def __repr__(self) -> str:
        session = self._session if self._context is None else self._context.session
        return f"<{type(self).__name__.strip('_')}: {session!r}>"

    def _recalled(self) -> Session | None:
        """Returns the session of a request that was recalled, until a context takes it over."""
        return self._session if self._context is None else None

    def _mode(self) -> Mode[Any]:
        raise NotImplementedError

    def _found(self) -> Fields:
        """Returns the fields of the request that can carry credentials."""
        raise NotImplementedError

    def _sender(self) -> Sender:
        """Returns what we keep of the request while the application works."""
        raise NotImplementedError


def context_of(handle: Handle, request: Request | None = None, found: Fields | None = None) -> Context:
    """Returns the context of this request, and makes it at the first call. Of threads that call first at once, all get the same."""
    context = handle._context
    if context is None:
        seen = handle._found() if found is None else found
        made: Context = handle._door.mode.context(request or handle._sender(), seen, partial(_since, handle._started), time)
        made.head_is_out, made.session, made.credential = handle._head_is_out, handle._session, handle._credential
        if handle._session is not None:
            handle._door.mode.resume(made, handle._location)
        context = handle.__dict__.setdefault("_context", made)
    return context


def credential_of(handle: Handle) -> Credential | None:
    """Returns what proves the session of this request now."""
    return handle._credential if handle._context is None else handle._context.credential


def head_goes_out(handle: Handle, head: Fields) -> Context | None:
    """Records that the response head is sent, so that we cannot set a cookie any more. Returns the context if the head needs a look."""
    handle._head_is_out = True
    context, mode = handle._context, handle._door.mode
    if context is None:
        if handle._session is None or not mode.touches_recalled(head):
            return None
        context = context_of(handle)
    context.head_is_out = True
    return context if mode.touches(context, head) else None


def began(handle: Handle, moment: float) -> None:
    """Records that the server received the request as early as this moment of the monotonic clock (P3 a)."""
    handle._started = min(handle._started, moment)
    if handle._context is not None:
        handle._context.age = partial(_since, handle._started)


def tell(context: Context) -> None:
    """Logs what the operator should know about a request."""
    if context.warning is not None:
        warn(context.warning)
    if context.refusal is not None:
        log.warning("%s", context.refusal)
        context.refusal = None


def _since(started: float) -> float:
    return monotonic() - started
