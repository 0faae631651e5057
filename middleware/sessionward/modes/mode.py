"""The interface of a mode: what the middlewares, the endpoint and the verbs call.

A middleware chooses its mode once, in its constructor (``choose.py``). No other code branches on who owns the sessions.

==================  ==================================================================================================
``needles``         what the middlewares search for in the headers of a request, before they make any object
``on_request``      before the application: the fields that it gets, or a refusal
``touches``         whether ``on_response`` has to run for a response head
``on_response``     after the application: the response head that the client gets
``read`` ...        the endpoint calls these
``current`` ...     the verbs of ``sessionward.of(request)`` call these
==================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource, Unproven
from sessionward.credential.token import Credential, Signature
from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.session.backend import Capabilities
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow
from sessionward.settings import Settings

C = TypeVar("C", bound=Context)


class Mode(Generic[C]):
    """The base class of the modes. A middleware makes one mode, which never changes; the values of a request are in its context.

    ``is_async``, ``blocks``: whether its questions have async answers, and whether an answer may wait. They choose the driver.
    """

    context: type[C]
    """The class of the context that a request in this mode gets."""
    names: frozenset[bytes]
    """The names of the fields that can carry a credential, in lower case. ``Context.found`` has those of a request."""
    needles: Mapping[bytes, bytes] = {}
    """Maps the name of a field to the bytes that it must contain, or else we do not read it. ``Authorization`` counts only with one
    of our bearer tokens. The middlewares inline this scan, and pass a request on unchanged if it finds nothing."""
    looks_always: bool = False
    """Whether ``on_request`` and ``touches`` run for every request, even if the scan finds nothing."""
    can_set_cookies: bool = False
    """Whether the application may set our cookie, so that the middleware must wrap ``send`` or ``start_response``."""
    asks_late: bool = False
    """Whether the first read of ``current`` asks the backend who is calling, and nothing asks before."""
    outer_key: str | None = None
    """A key that the application's session middleware sets in the scope or environ. We see it only if that middleware runs before ours."""

    def __init__(self, capabilities: Capabilities, settings: Settings) -> None:
        self.capabilities = capabilities
        self.settings = settings
        self.is_async = capabilities.is_async
        self.blocks = capabilities.blocks
        self.tickets = Signature(settings.secrets, "ticket", settings.audience)

    # --- before the application

    def on_request(self, context: C) -> Flow[Response | Fields | None]:
        """Decides what the application gets of a request.

        Returns None if the request passes on unchanged, or the fields that replace ``context.found``, or a refusal.
        """
        raise NotImplementedError

    def exempt(self, context: C) -> Fields | None:
        """Does the same for a request on an exempt path. It asks no question, so it must remove all credentials from the request."""
        raise NotImplementedError

    # --- after it

    def touches(self, context: C, head: Fields) -> bool:
        """Returns whether a response head needs :meth:`on_response`.

        ``head``: at least its ``Set-Cookie`` and ``Clear-Site-Data`` fields.
        """
        raise NotImplementedError

    def on_response(self, context: C, head: Fields) -> Flow[Fields]:
        """Returns the response head that the client gets.

        If the backend cannot answer, it drops the login cookies and never the response: the application has done its work.
        """
        raise NotImplementedError

    # --- for the endpoint

    def read(self, context: C) -> tuple[Credential | Unproven, CredentialSource]:
        """Returns the credential of the caller, and what carried it."""
        raise NotImplementedError

    def confirm(self, context: C, session: Session) -> Flow[str | None]:
        """Returns None if the live session may revoke the others, or the reason why not."""
        raise NotImplementedError

    def why_inactive(self, unproven: Unproven) -> str:
        """Returns what was wrong with the credential, for ``debug``."""
        raise NotImplementedError

    # --- for the verbs

    def current(self, context: C) -> Flow[Session | None]:
        """Returns the live session of the caller, or None."""
        raise NotImplementedError

    def held(self, context: C) -> Session | None:
        """Returns the session that this browser has, even if the caller may not use it. A login replaces it, a logout revokes it."""
        raise NotImplementedError

    def new_session(self, context: C, user_id: str, digest: bytes, generation: int | None, methods: Sequence[str]) -> NewSession:
        """Returns the argument of the backend's ``login``."""
        raise NotImplementedError

    def hold(self, context: C, session: Session, credential: Credential, *, persistent: bool) -> None:
        """Gives the browser this session. ``persistent``: whether the browser keeps it after it has been closed."""
        raise NotImplementedError

    def forget(self, context: C, *, clear_cookie: bool) -> None:
        """Takes the session from the browser. ``clear_cookie``: whether the response deletes the cookie."""
        raise NotImplementedError
